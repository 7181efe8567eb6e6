/* The table itself: every key of Flyback, in the order in which people read them. */
#include "plugin/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "plugin/number.h"

static const char *const profiles[] = {"robust", "paper", NULL};
static const char *const models[] = {"spectral", "squeezenet1_1", "vgg16", NULL};
static const char *const taps[] = {"pool5_gap", "conv5_3_gap", "conv5_3_gmp", NULL};
static const char *const precisions[] = {"fp32", NULL};
static const char *const preprocs[] = {"auto", "caffe", "tv", NULL};
static const char *const eds_features[] = {"composition", "spectrum", NULL};
static const char *const eds_methods[] = {"auto", "fit", "window", "ml", NULL};
static const char *const line_tables[] = {"golden", "product", NULL};
static const char *const k_bases[] = {"weight", "atomic", NULL};
static const char *const thresholds[] = {"mode", "mean", "median", NULL};
static const char *const graph_modes[] = {"p100", "m2", NULL};
static const char *const graph_weights[] = {"auto", NULL};
static const char *const graph_edges[] = {"weight", "binary", NULL};
static const char *const steer_modes[] = {"off", "advise", NULL};
static const char *const steer_policies[] = {"adaptive", "margin", "interlaced", "raster", "random", "frozen", NULL};
static const char *const steer_signals[] = {"auto", "both", "haadf", "eds", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

#define AT(field) .at = offsetof(struct fly_options, field)

static const struct fly_option table[] = {
    {"profile", FLY_OPTION_ENUM, AT(profile), .unit = "", .initial = "robust", .words = profiles,
     .help = "paper: the definitions of the published method, number for number. robust: the same "
             "method made fit for live use. Every result names its profile."},
    {"pixel_nm", FLY_OPTION_FLOAT, AT(pixel_nm), .min = 0, .max = 1e6, .unit = "nm", .initial = "0",
     .help = "Size of a scan pixel, for inputs that do not say. 0: not known, and lengths come out "
             "in px."},

    {"instrument.name", FLY_OPTION_STRING, AT(instrument.name), .unit = "", .initial = "",
     .help = "What the microscope is called. Published with the start of each session."},
    {"instrument.dwell_floor_us", FLY_OPTION_FLOAT, AT(instrument.dwell_floor_us), .min = 0, .max = 1e6, .unit = "us",
     .initial = "0",
     .help = "Shortest dwell time that its scan can do: a session that claims less is warned about. 0: not known."},
    {"instrument.pixel_time_us", FLY_OPTION_FLOAT, AT(instrument.pixel_time_us), .min = 0, .max = 1e9, .unit = "us",
     .initial = "0", .help = "Dwell time of a pixel, for sessions that do not say. 0: not known."},
    {"instrument.flyback_time_us", FLY_OPTION_FLOAT, AT(instrument.flyback_time_us), .min = 0, .max = 1e9,
     .unit = "us", .initial = "0",
     .help = "From the end of a line to the next one's begin, for sessions that do not say. 0: not known."},
    {"instrument.rotation_sign", FLY_OPTION_INT, AT(instrument.rotation_sign), .min = -1, .max = 1, .unit = "",
     .initial = "0",
     .help = "1 where the vendor's scan rotation turns the scan counter-clockwise, -1 where clockwise; read by "
             "flyback_send.py, which sends rotation_rad. 0: not known, and no rotation is sent."},
    {"instrument.detectors", FLY_OPTION_STRING, AT(instrument.detectors), .unit = "", .initial = "",
     .help = "Image detectors that flyback_send.py asks for, NAME:TYPE, NAME:TYPE with numpy's types "
             "(HAADF:uint16). Empty: its adapter's own choice."},

    {"chip.size_px", FLY_OPTION_INT, AT(chip.size_px), .min = 1, .max = 1024, .unit = "px",
     .initial = "15", .help = "Side of a square chip: at least one unit cell of the specimen."},
    {"chip.pitch_px", FLY_OPTION_INT, AT(chip.pitch_px), .min = 0, .max = 1024, .unit = "px",
     .initial = "0",
     .help = "From one chip's corner to the next, at most chip.size_px; less makes chips overlap. "
             "0: chip.size_px."},
    {"chip.rows", FLY_OPTION_INT, AT(chip.rows), .min = 0, .max = 4096, .unit = "chips",
     .initial = "0", .help = "Rows of the chip grid. 0: as many as fit the scan."},
    {"chip.cols", FLY_OPTION_INT, AT(chip.cols), .min = 0, .max = 4096, .unit = "chips",
     .initial = "0", .help = "Columns of the chip grid. 0: as many as fit the scan."},

    {"haadf.detector", FLY_OPTION_STRING, AT(haadf.detector), .unit = "", .initial = "",
     .help = "Name of the image detector to embed. Empty: the first that the session declares."},
    {"haadf.lo", FLY_OPTION_FLOAT, AT(haadf.lo), .min = -1e30, .max = 1e30, .unit = "counts",
     .initial = "0",
     .help = "Intensity that becomes black. haadf.lo and haadf.hi both 0: from the 0.1 and 99.9 "
             "percentiles of frame 0, then frozen."},
    {"haadf.hi", FLY_OPTION_FLOAT, AT(haadf.hi), .min = -1e30, .max = 1e30, .unit = "counts",
     .initial = "0", .help = "Intensity that becomes white; above haadf.lo, or both 0."},
    {"haadf.range_rows", FLY_OPTION_INT, AT(haadf.range_rows), .min = 1, .max = 4096,
     .unit = "chip rows", .initial = "1",
     .help = "Topmost chip rows that the percentiles are taken from. Embedding waits for them; more "
             "rows see more of the specimen first."},

    {"embed.model", FLY_OPTION_ENUM, AT(embed.model), .unit = "", .initial = "spectral",
     .words = models,
     .help = "What turns a chip's image into a vector. spectral needs no weights; the two networks "
             "read theirs from embed.weights."},
    {"embed.weights", FLY_OPTION_STRING, AT(embed.weights), .unit = "", .initial = "",
     .help = "A safetensors file; for vgg16 also he:SEED or closed:, two synthetic sets for tests."},
    {"embed.input_px", FLY_OPTION_INT, AT(embed.input_px), .min = 0, .max = 1024, .unit = "px",
     .initial = "0",
     .help = "Side to which chips are resized for the network. 0: the model's own (vgg16 32, "
             "squeezenet1_1 64)."},
    {"embed.tap", FLY_OPTION_ENUM, AT(embed.tap), .unit = "", .initial = "pool5_gap", .words = taps,
     .help = "Where vgg16 is read out: after its last pool, or at conv5_3 by mean (gap) or maximum "
             "(gmp)."},
    {"embed.precision", FLY_OPTION_ENUM, AT(embed.precision), .unit = "", .initial = "fp32",
     .words = precisions, .help = "Arithmetic of the networks.",
     .refusal = "the networks are built for fp32 alone, the arithmetic that the reference results hold "
                "for"},
    {"embed.preproc", FLY_OPTION_ENUM, AT(embed.preproc), .unit = "", .initial = "auto",
     .words = preprocs,
     .help = "What vgg16 subtracts from and divides its input by. auto: what the weight file says, "
             "else caffe."},

    {"eds.feature.fewshot", FLY_OPTION_ENUM, AT(eds.feature_fewshot), .unit = "",
     .initial = "composition", .words = eds_features, .flags = FLY_OPTION_LIVE,
     .help = "What of a chip's X-rays few-shot compares: its atomic percents, or the raw counts of its "
             "spectrum."},
    {"eds.feature.community", FLY_OPTION_ENUM, AT(eds.feature_community), .unit = "",
     .initial = "spectrum", .words = eds_features,
     .help = "What of a chip's X-rays is compared in the affinity graph, by cosine."},
    {"eds.feature.ward", FLY_OPTION_ENUM, AT(eds.feature_ward), .unit = "",
     .initial = "composition", .words = eds_features,
     .help = "What of a chip's X-rays Ward's hierarchy compares."},
    {"eds.method", FLY_OPTION_ENUM, AT(eds.method), .unit = "", .initial = "auto", .words = eds_methods,
     .help = "How line intensities are found: linear fit, windows less background, or Poisson maximum "
             "likelihood (ml). auto: fit in the paper profile, ml in robust."},
    {"eds.elements", FLY_OPTION_STRING, AT(eds.elements), .unit = "", .initial = "",
     .help = "Elements to quantify, for sessions that name none: Sr,Ti,O or Sr_Ka,Ti,O. Empty: all of "
             "the line table."},
    {"eds.k_factors", FLY_OPTION_STRING, AT(eds.k_factors), .unit = "", .initial = "",
     .help = "Your instrument's Cliff-Lorimer factors, for sessions that bring none: Fe_Ka=1.35,O_Ka=1.9. "
             "Empty: those of the line table, from one 200 and 300 kV instrument."},
    {"eds.k_basis", FLY_OPTION_ENUM, AT(eds.k_basis), .unit = "", .initial = "weight", .words = k_bases,
     .help = "What eds.k_factors turn intensities into: weight or atomic ratios."},
    {"eds.k_factor_file", FLY_OPTION_STRING, AT(eds.k_factor_file), .unit = "", .initial = "",
     .help = "JSON in place of eds.k_factors: {\"k_basis\": \"weight\", \"k_factors\": {\"Fe_Ka\": 1.35}}; its k_basis "
             "may be absent, and counts before eds.k_basis; or a table of text such as Velox exports. Read at start, "
             "and recorded as eds.k_factors."},
    {"eds.min_counts", FLY_OPTION_INT, AT(eds.min_counts), .min = 0, .max = 1073741824, .unit = "photons",
     .initial = "100",
     .help = "Photons that a composition needs; below, a chip takes its neighbours' with it, or has none. "
             "The paper profile asks for none."},
    {"eds.line_table", FLY_OPTION_ENUM, AT(eds.line_table), .unit = "", .initial = "product",
     .words = line_tables,
     .help = "product: 18 elements with measured lines and factors. golden: the twelve made-up ones of the "
             "reference results."},
    {"eds.n_channels", FLY_OPTION_INT, AT(eds.n_channels), .min = 1, .max = 16384,
     .unit = "channels", .initial = "4096",
     .help = "Energy channels, for inputs that do not say."},
    {"eds.ev_offset", FLY_OPTION_FLOAT, AT(eds.ev_offset), .min = -1e5, .max = 1e5, .unit = "eV",
     .initial = "0", .help = "Energy of channel 0, for inputs that do not say."},
    {"eds.ev_per_channel", FLY_OPTION_FLOAT, AT(eds.ev_per_channel), .min = 0.01, .max = 1000,
     .unit = "eV", .initial = "10", .help = "Width of a channel, for inputs that do not say."},

    {"fewshot.weights", FLY_OPTION_FLOATS, AT(fewshot.weights), .count = 2, .min = 0, .max = 1e6,
     .unit = "", .initial = "[0.5, 0.5]", .flags = FLY_OPTION_LIVE,
     .help = "Weights of HAADF and EDS in the ensemble, not both 0."},
    {"fewshot.temperature", FLY_OPTION_FLOAT, AT(fewshot.temperature), .min = 1e-6, .max = 1e6,
     .unit = "", .initial = "1", .flags = FLY_OPTION_LIVE,
     .help = "Of the softmax over distances: lower is more decided. The paper's is 1."},
    {"fewshot.support", FLY_OPTION_STRING, AT(fewshot.support), .unit = "", .initial = "",
     .help = "A support set to start with, {class: [[row, col], ...]} in JSON. Empty: none."},

    {"graph.threshold", FLY_OPTION_STRING, AT(graph.threshold), .unit = "", .initial = "mode",
     .min = 0, .max = 1.9, .words = thresholds, .flags = FLY_OPTION_LIVE | FLY_OPTION_NONEMPTY | FLY_OPTION_NUMERAL,
     .help = "Two chips are linked when their similarity is at least this: the mode, mean or median of all "
             "pairs, or a number."},
    {"graph.mode", FLY_OPTION_ENUM, AT(graph.mode), .unit = "", .initial = "p100", .words = graph_modes,
     .flags = FLY_OPTION_LIVE,
     .help = "How the mode is found: the left edge of the fullest of 100 bins of 0 .. 1 (p100), or the centre "
             "of the fullest of 2048 of -1 .. 1 (m2).",
     .refusal = "m1, whose bins move with the extremes of all pairs, is written by `flyback analyze --case` "
                "alone"},
    {"graph.edge", FLY_OPTION_ENUM, AT(graph.edge), .unit = "", .initial = "weight", .words = graph_edges,
     .help = "What a link weighs: the similarity, or 1 (binary)."},
    {"graph.resolution", FLY_OPTION_FLOAT, AT(graph.resolution), .min = 0.001, .max = 64, .unit = "",
     .initial = "1", .flags = FLY_OPTION_LIVE,
     .help = "Of modularity: more makes smaller communities."},
    {"graph.weights", FLY_OPTION_FLOATS, AT(graph.weights), .count = 2, .min = 0, .max = 1e6, .unit = "",
     .initial = "[0.5, 0.5]", .words = graph_weights, .flags = FLY_OPTION_LIVE,
     .help = "How much haadf and eds count in the ensemble's similarities. auto: by how well each repeats itself between "
             "halves of the data, equal in the paper profile; on simulated scenes no better than equal weights."},
    {"graph.min_counts", FLY_OPTION_INT, AT(graph.min_counts), .min = 0, .max = 1073741824,
     .unit = "photons", .initial = "30",
     .help = "In the robust profile a chip whose spectrum has fewer photons stays out of the graph: its cosine, "
             "freed of the dose, would be noise. Phases that differ little need more."},
    {"graph.chips_max", FLY_OPTION_INT, AT(graph.chips_max), .min = 0, .max = 65536, .unit = "chips",
     .initial = "4096",
     .help = "Sessions of more chips have no communities: three graphs take 6 bytes for each chip and each "
             "other, 96 MiB at 4096. 0: never any."},

    {"tree.k", FLY_OPTION_INT, AT(tree.k), .min = 1, .max = 64, .unit = "clusters", .initial = "4",
     .flags = FLY_OPTION_LIVE,
     .help = "Where Ward's hierarchies are cut: so many clusters of images and of X-rays each. Their vote has up to "
             "k times k."},
    {"tree.chips_max", FLY_OPTION_INT, AT(tree.chips_max), .min = 0, .max = 65536, .unit = "chips",
     .initial = "4096",
     .help = "Sessions of more chips have no hierarchies. 0: never any."},

    {"region.d_range_nm", FLY_OPTION_FLOATS, AT(region.d_range_nm), .count = 2, .min = 0.01, .max = 1000, .unit = "nm",
     .initial = "[0.33, 0.55]", .flags = FLY_OPTION_LIVE,
     .help = "Lattice spacings looked for in regions, from and to. HAADF of perovskites shows {110} (0.28 nm) more "
             "strongly than the {100} that is meant."},

    {"recording.enabled", FLY_OPTION_BOOL, AT(recording.enabled), .unit = "", .initial = "true",
     .help = "Keep every accepted message on disk. Without it a crash loses the session."},
    {"recording.dir", FLY_OPTION_STRING, AT(recording.dir), .unit = "", .initial = "recordings",
     .flags = FLY_OPTION_NONEMPTY,
     .help = "Where <session>.fly files go; unfinished ones there are resumed at start."},
    {"recording.sync_ms", FLY_OPTION_INT, AT(recording.sync_ms), .min = 1, .max = 10000,
     .unit = "ms", .initial = "50",
     .help = "Longest time between two fsyncs, and so how far durable_seq may lag."},
    {"recording.ring_mib", FLY_OPTION_INT, AT(recording.ring_mib), .min = 1, .max = 1024,
     .unit = "MiB", .initial = "64", .flags = FLY_OPTION_POWER2,
     .help = "Room between the stages and the disk, a power of two. One message may take half of it; where "
             "a whole frame needs more, there is more."},

    {"ingest.stop_wait_s", FLY_OPTION_FLOAT, AT(ingest.stop_wait_s), .min = 0, .max = 600,
     .unit = "s", .initial = "2",
     .help = "After a stop, how long to wait for messages that it counts and that are still missing."},
    {"ingest.queue_mib", FLY_OPTION_INT, AT(ingest.queue_mib), .min = 1, .max = 4096, .unit = "MiB",
     .initial = "32",
     .help = "Messages that may wait for the engine; a full queue stops reading the socket."},

    {"engine.threads", FLY_OPTION_INT, AT(engine.threads), .min = 0, .max = 64, .unit = "threads",
     .initial = "0", .help = "Threads that embed. Results do not depend on it. 0: one a core."},
    {"engine.memory_limit_mib", FLY_OPTION_INT, AT(engine.memory_limit_mib), .min = 16,
     .max = 1048576, .unit = "MiB", .initial = "4096",
     .help = "A session whose geometry needs more is refused at its start."},
    {"engine.frames_held", FLY_OPTION_INT, AT(engine.frames_held), .min = 1, .max = 4096,
     .unit = "frames", .initial = "4",
     .help = "Frames whose pixels are kept at once, until all their chips are complete."},
    {"engine.frames_max", FLY_OPTION_INT, AT(engine.frames_max), .min = 1, .max = 1048576,
     .unit = "frames", .initial = "65536", .help = "Frame numbers that a session may use, those of commands among them."},
    {"engine.photons_held_millions", FLY_OPTION_INT, AT(engine.photons_held_millions), .min = 1,
     .max = 1024, .unit = "million photons", .initial = "4",
     .help = "Photons of chips that are not complete yet, over all detector segments."},

    {"drift.adopt", FLY_OPTION_BOOL, AT(drift.adopt), .unit = "", .initial = "false",
     .help = "Whether a frame is shifted by what its drift against the first one was measured to be (to whole pixels), "
             "where that is told with certainty, and steering's targets with it. Without it, frame.shift does so."},

    {"sockets.ingest", FLY_OPTION_STRING, AT(sockets.ingest), .unit = "",
     .initial = "tcp://127.0.0.1:5570", .flags = FLY_OPTION_ADDRESS,
     .help = "Where instruments push lines and photons (PULL)."},
    {"sockets.publish", FLY_OPTION_STRING, AT(sockets.publish), .unit = "",
     .initial = "tcp://127.0.0.1:5571", .flags = FLY_OPTION_ADDRESS,
     .help = "Where maps and states are published (XPUB)."},
    {"sockets.control", FLY_OPTION_STRING, AT(sockets.control), .unit = "",
     .initial = "tcp://127.0.0.1:5572", .flags = FLY_OPTION_ADDRESS,
     .help = "Where requests are answered (ROUTER)."},

    {"security.keys", FLY_OPTION_STRING, AT(security.keys), .unit = "", .initial = "",
     .help = "Folder with this server's pair of keys (flyback keygen --role server). With it all three sockets take "
             "clients of security.allow alone, on this machine too, and may listen to others (tcp://0.0.0.0:5570). "
             "Empty: no keys, and this machine alone."},
    {"security.allow", FLY_OPTION_STRING, AT(security.allow), .unit = "", .initial = "",
     .help = "The allow-list: a line a client, public key, role and name, as flyback keygen prints them. A change counts "
             "within a second, without a restart."},

    {"guard.listen", FLY_OPTION_STRING, AT(guard.listen), .unit = "", .initial = "tcp://127.0.0.1:5573",
     .flags = FLY_OPTION_ADDRESS, .help = "Of flyback guard: where the acquisition attaches (ROUTER)."},
    {"guard.plugin", FLY_OPTION_STRING, AT(guard.plugin), .unit = "", .initial = "",
     .help = "The plugin's control address, as the guard reaches it. Empty: sockets.control."},
    {"guard.plugin_key", FLY_OPTION_STRING, AT(guard.plugin_key), .unit = "", .initial = "",
     .help = "The plugin's public key, or the file with it, where the plugin has keys. The guard's own pair is "
             "security.keys, with the role guard in the plugin's list; who may come to guard.listen is security.allow."},
    {"guard.limits", FLY_OPTION_STRING, AT(guard.limits), .unit = "", .initial = "",
     .help = "File with the limits of steering (configs/guard-limits.yaml shows one). The guard needs it, reads it once, "
             "and nothing else changes a limit."},
    {"guard.journal", FLY_OPTION_STRING, AT(guard.journal), .unit = "", .initial = "guard-journal.jsonl",
     .flags = FLY_OPTION_NONEMPTY,
     .help = "What the guard let through and refused, one JSON object a line, only ever appended; read back when the guard "
             "starts, so that doses and used ids survive."},

    {"page.listen", FLY_OPTION_STRING, AT(page.listen), .unit = "", .initial = "127.0.0.1:5580",
     .flags = FLY_OPTION_LISTEN,
     .help = "Where a browser on this machine finds the live page; port 0 is any free one. Empty: no page."},

    {"publish.keyframe_s", FLY_OPTION_FLOAT, AT(publish.keyframe_s), .min = 0.05, .max = 2,
     .unit = "s", .initial = "2", .flags = FLY_OPTION_LIVE,
     .help = "Longest time between two whole maps while maps change; parts are sent in between."},

    {"steer.mode", FLY_OPTION_ENUM, AT(steer.mode), .unit = "", .initial = "advise", .words = steer_modes,
     .flags = FLY_OPTION_LIVE,
     .help = "advise: suggest what to measure next. off: neither that, nor any command.",
     .refusal = "ask and auto are a matter of whoever attaches (steer.attach)"},
    {"steer.policy", FLY_OPTION_ENUM, AT(steer.policy), .unit = "", .initial = "adaptive", .words = steer_policies,
     .flags = FLY_OPTION_LIVE,
     .help = "How places are chosen: adaptive by what a microsecond of beam there gains; the others to compare with "
             "(frozen: none ever)."},
    {"steer.signal", FLY_OPTION_ENUM, AT(steer.signal), .unit = "", .initial = "auto", .words = steer_signals,
     .help = "What a place is measured for: auto takes short frames for haadf alone where those decide."},
    {"steer.tiles", FLY_OPTION_INT, AT(steer.tiles), .min = 1, .max = 256, .unit = "chips", .initial = "64",
     .help = "Chips of a suggestion at most."},
    {"steer.dose_cap", FLY_OPTION_FLOAT, AT(steer.dose_cap), .min = 1, .max = 1e6, .unit = "survey dwells",
     .initial = "8", .help = "Dose that no pixel of a chip may pass, the survey's own included."},
    {"steer.dose_cap_e_per_A2", FLY_OPTION_FLOAT, AT(steer.dose_cap_e_per_A2), .min = 0, .max = 1e12, .unit = "e-/A^2",
     .initial = "0",
     .help = "The same in electrons, for sessions that know beam current and pixel size; the lower of both holds. "
             "0: none."},
    {"steer.budget", FLY_OPTION_FLOAT, AT(steer.budget), .min = 0, .max = 1e6, .unit = "survey dwells", .initial = "0",
     .flags = FLY_OPTION_LIVE, .help = "Mean dose of the map at which suggestions end. 0: none."},
    {"steer.explore", FLY_OPTION_FLOAT, AT(steer.explore), .min = 0, .max = 1, .unit = "", .initial = "0.1",
     .flags = FLY_OPTION_LIVE,
     .help = "Share of a suggestion that goes to the least-dosed chips, whatever the map says."},
    {"steer.damage", FLY_OPTION_BOOL, AT(steer.damage), .unit = "", .initial = "true", .flags = FLY_OPTION_LIVE,
     .help = "Whether chips whose early and late data disagree, and their neighbours, are measured no more."},
    {"steer.target_error", FLY_OPTION_FLOAT, AT(steer.target_error), .min = 0, .max = 1, .unit = "", .initial = "0.02",
     .flags = FLY_OPTION_LIVE, .help = "Expected error of the map at which suggestions end."},
    {"steer.cycle_ms", FLY_OPTION_INT, AT(steer.cycle_ms), .min = 20, .max = 60000, .unit = "ms", .initial = "500",
     .help = "Least time between two suggestions, and between two commands."},
    {"steer.ask_s", FLY_OPTION_FLOAT, AT(steer.ask_s), .min = 0.1, .max = 3600, .unit = "s", .initial = "10",
     .help = "In the mode ask, how long a suggestion waits for a person."},
    {"steer.rest_ms", FLY_OPTION_FLOAT, AT(steer.rest_ms), .min = 0, .max = 1e9, .unit = "ms", .initial = "0",
     .help = "How long a chip rests before it is exposed again."},
    {"steer.settle_us", FLY_OPTION_FLOAT, AT(steer.settle_us), .min = 0, .max = 1e6, .unit = "us", .initial = "100",
     .help = "Time that the scan needs before each box, when places are weighed."},
    {"steer.slew_px_per_us", FLY_OPTION_FLOAT, AT(steer.slew_px_per_us), .min = 0, .max = 1e9, .unit = "px/us",
     .initial = "20", .help = "How fast the beam goes from box to box, when places are weighed. 0: at once."},
    {"steer.seed", FLY_OPTION_INT, AT(steer.seed), .min = 0, .max = 2147483647, .unit = "", .initial = "1",
     .help = "Of what is drawn by chance in suggestions."},

    {"log.level", FLY_OPTION_ENUM, AT(log.level), .unit = "", .initial = "info",
     .words = log_levels, .flags = FLY_OPTION_LIVE, .help = "The least grave of what is logged."},
    {"log.format", FLY_OPTION_ENUM, AT(log.format), .unit = "", .initial = "text",
     .words = log_formats, .help = "Lines for people, or one JSON object a line for programs."},
};

enum { ROWS = (int)(sizeof table / sizeof table[0]) };
_Static_assert((int)ROWS <= (int)FLY_OPTIONS_MAX, "options have no room for the origin of every row");

const struct fly_option *fly_option_table(int32_t *count)
{
    *count = ROWS;
    return table;
}

const struct fly_option *fly_option_find(const char *key)
{
    for (int i = 0; i < ROWS; i++) {
        if (strcmp(table[i].key, key) == 0)
            return &table[i];
    }
    return NULL;
}

/* Edits between two words: letters put in, left out, changed, or two neighbours swapped (Damerau 1964,
 * the optimal string alignment of it). Words beyond 63 letters count as far away. */
static int edits(const char *a, const char *b)
{
    int cost[64][64];
    int la = (int)strlen(a), lb = (int)strlen(b);

    if (la > 63 || lb > 63)
        return 64;
    for (int i = 0; i <= la; i++) {
        for (int j = 0; j <= lb; j++) {
            int best;

            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (cost[i - 1][j] + 1 < best)
                best = cost[i - 1][j] + 1;
            if (cost[i][j - 1] + 1 < best)
                best = cost[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                cost[i - 2][j - 2] + 1 < best)
                best = cost[i - 2][j - 2] + 1;
            cost[i][j] = best;
        }
    }
    return cost[la][lb];
}

const char *fly_option_nearest(const char *key)
{
    const char *nearest = NULL;
    const char *last = strrchr(key, '.');
    int least = 0;

    last = last ? last + 1 : key;
    for (int i = 0; i < ROWS; i++) {
        const char *tail = strrchr(table[i].key, '.');
        int far = edits(key, table[i].key);

        /* The right word in a wrong or missing section is as good a guess as one slip. */
        if (tail && strcmp(tail + 1, last) == 0 && far > 1)
            far = 1;
        /* So is a key cut short: most often of its unit. */
        if (strlen(key) >= 4 && strncmp(key, table[i].key, strlen(key)) == 0 && far > 1)
            far = 1;
        if (!nearest || far < least) {
            nearest = table[i].key;
            least = far;
        }
    }
    return least <= 2 || least <= (int)strlen(key) / 4 ? nearest : NULL;
}

const char *fly_option_range(const struct fly_option *row, char *out, size_t cap)
{
    char lo[FLY_NUMBER_CAP], hi[FLY_NUMBER_CAP], each[96];
    size_t len = 0;

    switch (row->type) {
    case FLY_OPTION_BOOL:
        snprintf(out, cap, "true, false");
        break;
    case FLY_OPTION_STRING:
        if (row->flags & FLY_OPTION_NUMERAL) {
            out[0] = '\0';
            for (int i = 0; row->words[i] && len < cap; i++)
                len += (size_t)snprintf(out + len, cap - len, "%s, ", row->words[i]);
            if (len < cap)
                snprintf(out + len, cap - len, "or %s .. %s", fly_number_print(lo, row->min),
                         fly_number_print(hi, row->max));
            break;
        }
        snprintf(out, cap, "%s",
                 row->flags & FLY_OPTION_ADDRESS    ? "tcp://HOST:PORT or ipc://PATH"
                 : row->flags & FLY_OPTION_LISTEN   ? "127.0.0.1:PORT, [::1]:PORT, or empty"
                 : row->flags & FLY_OPTION_NONEMPTY ? "text, not empty"
                                                    : "text");
        break;
    case FLY_OPTION_ENUM:
        out[0] = '\0';
        for (int i = 0; row->words[i] && len < cap; i++)
            len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? ", " : "", row->words[i]);
        break;
    case FLY_OPTION_INT:
    case FLY_OPTION_FLOAT:
    case FLY_OPTION_FLOATS:
        snprintf(each, sizeof each, "%s .. %s%s%s%s", fly_number_print(lo, row->min),
                 fly_number_print(hi, row->max), row->unit[0] ? " " : "", row->unit,
                 row->flags & FLY_OPTION_POWER2 ? ", a power of two" : "");
        if (row->max >= 1e30) /* the bound is there to keep sums finite, nobody meets it */
            snprintf(each, sizeof each, "any number%s%s", row->unit[0] ? " of " : "", row->unit);
        if (row->type == FLY_OPTION_FLOATS)
            snprintf(out, cap, "%d numbers, each %s%s%s", (int)row->count, each, row->words ? ", or " : "",
                     row->words ? row->words[0] : "");
        else
            snprintf(out, cap, "%s", each);
        break;
    }
    return out;
}
