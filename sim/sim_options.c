#include "sim/sim_options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "sim/tool.h"
#include "stream/keys.h"

static const char help_text[] =
    "Usage: flyback sim [options]\n"
    "\n"
    "A simulated microscope: scans a LaFeO3 film on SrTiO3 whose truth is known and sends HAADF lines\n"
    "and EDS photons to a running Flyback. Prints one JSON object when done.\n"
    "\n"
    "Where to\n"
    "  --ingest ADDR          Flyback's ingest socket (tcp://127.0.0.1:5570)\n"
    "  --publish ADDR         its publish socket (tcp://127.0.0.1:5571)\n"
    "  --control ADDR         its control socket (tcp://127.0.0.1:5572)\n"
    "  --keys DIR             our pair of keys (flyback keygen), where Flyback runs with keys: of the role\n"
    "                         instrument, instrument,viewer with --judge, and with --obey\n"
    "                         instrument,viewer,controller\n"
    "  --server-key FILE      its public.key, or the 40 characters themselves\n"
    "  --connect-timeout-s T  wait so long for Flyback to answer, 0 .. 3600 (30)\n"
    "  --patience-s T         give up when Flyback stays silent so long, 1 .. 86400 (120)\n"
    "  --stop-timeout-s T     wait so long for its own stop, 0 .. 3600 (60)\n"
    "\n"
    "Specimen\n"
    "  --geometry NAME        table2_pristine_0 (default), table2_pristine_0.1, table2_defective_0 or\n"
    "                         table2_defective_0.1: sets the six below; they can be set after it\n"
    "  --size HxW             pixels, each side 32 .. 16384 (512x512)\n"
    "  --pixel-pm P           10 .. 200 (50)\n"
    "  --kind KIND            pristine or defective\n"
    "  --dpa D                irradiation, 0 .. 1: above 0 the film has an amorphous triangle (0)\n"
    "  --cap METAL            Cr or Pt\n"
    "  --inclusion SHARE      of the area taken by one inclusion of Fe3O4 in the film, 0 .. 0.05 (0: none)\n"
    "  --damage KIND=LOSS     the middle third each way loses with its dose, of oxygen or thickness, up to this share,\n"
    "                         0 .. 1: 63 % of it after 4 survey dwells\n"
    "  --chip S               side of the chips that truth, support and judge speak of, 4 .. 256 (15)\n"
    "  --rows R, --cols C     chips each way, 0 as many as fit (33, 33; 0, 0 once --size or --chip is set)\n"
    "  --seed N               of all that is random, 0 .. 9223372036854775807 (1)\n"
    "\n"
    "Scan\n"
    "  --frames N             1 .. 1000000 (10; with --obey 1)\n"
    "  --dwell-us D           per pixel, 0.1 .. 10000 (2)\n"
    "  --pace X               1 real time, 2 twice as fast, 0 as fast as Flyback takes it; 0 .. 1000 (1)\n"
    "  --order ORDER          raster (default), serpentine or shuffled\n"
    "  --lines-per-message N  1 .. the height (1)\n"
    "  --drift-px D           drift along y per frame, 0 .. 2; along x -0.6 of it (0.04)\n"
    "  --line-jitter-px J     0 .. 1 (0.08)\n"
    "  --warp-px W            slow distortion of the scan, 0 .. 4 (1)\n"
    "\n"
    "Detectors\n"
    "  --no-haadf             no image\n"
    "  --eds-counts C         mean photons per pixel and frame, 0 .. 1000, 0 no EDS (0.1)\n"
    "  --eds-layout LAYOUT    pairs (default), csr or dense\n"
    "  --segments N           EDS segments of unequal efficiency, 1 .. 4 (1)\n"
    "  --channels N           1 .. 16384 (4096)\n"
    "  --ev-per-channel E     0.1 .. 1000 (10)\n"
    "  --ev-offset E          energy of channel 0, eV, -10000 .. 10000 (0)\n"
    "  --zero-peak SHARE      of the photons in a peak at 0 eV, 0 .. 0.9 (0)\n"
    "\n"
    "Steered by Flyback\n"
    "  --obey MODE            ask or auto: survey, attach, then measure what is commanded\n"
    "  --steered-by ADDR      whom to attach to: Flyback's control socket (ask), the guard's (auto)\n"
    "                         (the --control address; tcp://127.0.0.1:5573)\n"
    "  --steered-by-key FILE  its public.key where it has keys, or the 40 characters themselves (--server-key\n"
    "                         with ask, none with auto)\n"
    "  --signal S             what the survey's --frames measure: both (default), haadf or eds\n"
    "  --dwell-max-us D       longest dwell taken from a command, 0.1 .. 1e6 (32 of --dwell-us; with --from any)\n"
    "  --dose-budget D        end at this mean dose of the map, in survey dwells, 0 .. 1e6, 0 none (0)\n"
    "  --seconds T            end after so much time, waiting for commands included, 0 .. 1e6, 0 no end (0)\n"
    "  --slew-px-per-us V     a jump takes its way over this, 0.001 .. 1e6 (20)\n"
    "  --settle-us T          and this, 0 .. 1e6 (50)\n"
    "  --flyback-us T         of each line, 0 .. 1e6 (20)\n"
    "  --hysteresis F         share of a jump that the beam falls short by, 0 .. 0.1 (0.005)\n"
    "  --relax-us T           it creeps up to its place so fast, 1 .. 1e7 (200)\n"
    "  --dead-us T            of each command before its first move, 0 .. 1e7 (500)\n"
    "  --command-delay-ms T   from hearing a command to beginning it, 0 .. 1e5 (0)\n"
    "  --refuse P             chance that a command is refused for no fault of its own, 0 .. 1 (0)\n"
    "  --from FILE            a recorded session is the specimen: a command buys of each of its pixels the next\n"
    "                         recorded frames, as many as its dwell has of theirs; the survey buys the first.\n"
    "                         Specimen, dwell and detectors are the recording's, and a jump misses nothing\n"
    "  --from-mib N           most memory for it, 1 .. 1048576 (2048)\n"
    "\n"
    "Session and files\n"
    "  --session ID           1 .. 64 of [A-Za-z0-9._-] (a fresh one)\n"
    "  --t0-ns N              stamp of the first pixel, Unix ns (now)\n"
    "  --truth DIR            write truth_px.npy, truth_chip.npy, truth_purity.npy and truth.json there\n"
    "  --support FILE         write a support set {class: [[r, c] ...]} of the purest chips\n"
    "  --support-shots N      chips per class in it, 1 .. 100 (4)\n"
    "  --judge FILE           score every published map against the truth; history and last scores as JSON\n"
    "  --faults LIST          for tests, comma list of drop=P (0 .. 0.5), dup=P (0 .. 1), reorder=N\n"
    "                         (0 .. 1000): what was dropped goes again when Flyback misses it\n"
    "  --window-mib N         of unacknowledged messages kept for resending, 1 .. 16384 (256)\n"
    "  --quiet                no progress, no table\n"
    "  --help                 this text\n"
    "\n"
    "Flyback may be killed and restarted at any time: what is not yet on its disk is sent again.\n"
    "Exit codes: 0 Flyback confirmed the stop, 1 failed, 2 wrong usage, 130 interrupted.\n"
    "\n"
    "Examples\n"
    "  flyback sim --geometry table2_defective_0 --frames 20 --eds-counts 0.5 --judge scores.json\n"
    "  flyback sim --size 128x128 --chip 16 --pace 0 --frames 3 --order shuffled --faults drop=0.02,dup=0.1\n"
    "  flyback sim --obey ask --dose-budget 4 --judge scores.json\n";

const char *fly_sim_help(void)
{
    return help_text;
}

enum option_id {
    OPT_INGEST = 1000, OPT_PUBLISH, OPT_CONTROL, OPT_KEYS, OPT_SERVER_KEY, OPT_CONNECT, OPT_PATIENCE, OPT_STOP_TIMEOUT, OPT_GEOMETRY,
    OPT_SIZE, OPT_PIXEL, OPT_KIND, OPT_DPA, OPT_CAP, OPT_INCLUSION, OPT_DAMAGE, OPT_CHIP, OPT_ROWS, OPT_COLS, OPT_SEED, OPT_FRAMES,
    OPT_DWELL, OPT_PACE, OPT_ORDER, OPT_LINES, OPT_DRIFT, OPT_JITTER, OPT_WARP, OPT_NO_HAADF, OPT_EDS_COUNTS,
    OPT_EDS_LAYOUT, OPT_SEGMENTS, OPT_CHANNELS, OPT_EV_PER, OPT_EV_OFFSET, OPT_ZERO, OPT_SESSION, OPT_T0,
    OPT_TRUTH, OPT_SUPPORT, OPT_SHOTS, OPT_JUDGE, OPT_FAULTS, OPT_WINDOW, OPT_QUIET, OPT_HELP,
    OPT_OBEYING /* all of obey_options.c */
};

static const struct option long_options[] = {
    {"ingest", 1, NULL, OPT_INGEST},
    {"publish", 1, NULL, OPT_PUBLISH},
    {"control", 1, NULL, OPT_CONTROL},
    {"keys", 1, NULL, OPT_KEYS},
    {"server-key", 1, NULL, OPT_SERVER_KEY},
    {"connect-timeout-s", 1, NULL, OPT_CONNECT},
    {"patience-s", 1, NULL, OPT_PATIENCE},
    {"stop-timeout-s", 1, NULL, OPT_STOP_TIMEOUT},
    {"geometry", 1, NULL, OPT_GEOMETRY},
    {"size", 1, NULL, OPT_SIZE},
    {"pixel-pm", 1, NULL, OPT_PIXEL},
    {"kind", 1, NULL, OPT_KIND},
    {"dpa", 1, NULL, OPT_DPA},
    {"cap", 1, NULL, OPT_CAP},
    {"inclusion", 1, NULL, OPT_INCLUSION},
    {"damage", 1, NULL, OPT_DAMAGE},
    {"chip", 1, NULL, OPT_CHIP},
    {"rows", 1, NULL, OPT_ROWS},
    {"cols", 1, NULL, OPT_COLS},
    {"seed", 1, NULL, OPT_SEED},
    {"frames", 1, NULL, OPT_FRAMES},
    {"dwell-us", 1, NULL, OPT_DWELL},
    {"pace", 1, NULL, OPT_PACE},
    {"order", 1, NULL, OPT_ORDER},
    {"lines-per-message", 1, NULL, OPT_LINES},
    {"drift-px", 1, NULL, OPT_DRIFT},
    {"line-jitter-px", 1, NULL, OPT_JITTER},
    {"warp-px", 1, NULL, OPT_WARP},
    {"no-haadf", 0, NULL, OPT_NO_HAADF},
    {"eds-counts", 1, NULL, OPT_EDS_COUNTS},
    {"eds-layout", 1, NULL, OPT_EDS_LAYOUT},
    {"segments", 1, NULL, OPT_SEGMENTS},
    {"channels", 1, NULL, OPT_CHANNELS},
    {"ev-per-channel", 1, NULL, OPT_EV_PER},
    {"ev-offset", 1, NULL, OPT_EV_OFFSET},
    {"zero-peak", 1, NULL, OPT_ZERO},
    {"session", 1, NULL, OPT_SESSION},
    {"t0-ns", 1, NULL, OPT_T0},
    {"truth", 1, NULL, OPT_TRUTH},
    {"support", 1, NULL, OPT_SUPPORT},
    {"support-shots", 1, NULL, OPT_SHOTS},
    {"judge", 1, NULL, OPT_JUDGE},
    {"faults", 1, NULL, OPT_FAULTS},
    {"window-mib", 1, NULL, OPT_WINDOW},
    {"quiet", 0, NULL, OPT_QUIET},
    {"help", 0, NULL, OPT_HELP},
    {"obey", 1, NULL, OPT_OBEYING},
    {"steered-by", 1, NULL, OPT_OBEYING},
    {"steered-by-key", 1, NULL, OPT_OBEYING},
    {"signal", 1, NULL, OPT_OBEYING},
    {"dwell-max-us", 1, NULL, OPT_OBEYING},
    {"dose-budget", 1, NULL, OPT_OBEYING},
    {"seconds", 1, NULL, OPT_OBEYING},
    {"slew-px-per-us", 1, NULL, OPT_OBEYING},
    {"settle-us", 1, NULL, OPT_OBEYING},
    {"flyback-us", 1, NULL, OPT_OBEYING},
    {"hysteresis", 1, NULL, OPT_OBEYING},
    {"relax-us", 1, NULL, OPT_OBEYING},
    {"dead-us", 1, NULL, OPT_OBEYING},
    {"command-delay-ms", 1, NULL, OPT_OBEYING},
    {"refuse", 1, NULL, OPT_OBEYING},
    {"from", 1, NULL, OPT_OBEYING},
    {"from-mib", 1, NULL, OPT_OBEYING},
    {0},
};

static void use_geometry(struct fly_sim_options *o, const struct fly_geometry *g)
{
    o->specimen.height_px = g->height_px;
    o->specimen.width_px = g->width_px;
    o->specimen.pixel_nm = g->pixel_nm;
    o->specimen.growth = g->growth;
    o->specimen.dpa = g->dpa;
    o->specimen.cap = g->cap;
    o->chip_px = g->chip_px;
    o->rows = g->rows;
    o->cols = g->cols;
}

static void set_defaults(struct fly_sim_options *o)
{
    *o = (struct fly_sim_options){
        .specimen = {.warp_px = 1.0, .seed = 1},
        .beam = fly_beam_config_default(),
        .acquire = {.haadf = 1, .layout = FLY_LAYOUT_PAIRS, .scan = {.block_px = 1}},
        .sender = fly_sender_config_default(),
        .pace = 1.0,
        .support_shots = 4,
        .connect_timeout_s = 30.0,
        .stop_timeout_s = 60.0,
        .patience_s = 120.0,
    };
    o->beam.eds_counts = 0.1;
    fly_obey_options_default(&o->obey);
    use_geometry(o, fly_geometry_at(0));
}

static int one_of(const char *option, const char *text, const char *const *words, int count, int *out)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(text, words[i])) {
            *out = i;
            return FLY_OK;
        }
    if (count == 2)
        return fly_fail(FLY_ERANGE, "%s %.80s: %s or %s is allowed", option, text, words[0], words[1]);
    return fly_fail(FLY_ERANGE, "%s %.80s: %s, %s or %s is allowed", option, text, words[0], words[1],
                    words[2]);
}

static int read_faults(struct fly_sender_faults *faults, const char *list)
{
    char copy[256], *save = NULL;
    int64_t count;
    int rc = FLY_OK;

    if (strlen(list) >= sizeof copy)
        return fly_fail(FLY_ERANGE, "--faults: longer than %zu letters", sizeof copy - 1);
    strcpy(copy, list);
    for (char *item = strtok_r(copy, ",", &save); item && rc == FLY_OK; item = strtok_r(NULL, ",", &save)) {
        if (!strncmp(item, "drop=", 5)) {
            rc = fly_tool_f64("--faults drop", item + 5, 0.0, 0.5, &faults->drop);
        } else if (!strncmp(item, "dup=", 4)) {
            rc = fly_tool_f64("--faults dup", item + 4, 0.0, 1.0, &faults->duplicate);
        } else if (!strncmp(item, "reorder=", 8)) {
            rc = fly_tool_int("--faults reorder", item + 8, 0, 1000, &count);
            if (rc == FLY_OK)
                faults->reorder = (int32_t)count;
        } else {
            rc = fly_fail(FLY_ERANGE, "--faults %.80s: drop=P, dup=P and reorder=N are allowed", item);
        }
    }
    return rc;
}

static int read_int32(const char *option, const char *text, int64_t low, int64_t high, int32_t *out)
{
    int64_t value;
    int rc = fly_tool_int(option, text, low, high, &value);

    if (rc == FLY_OK)
        *out = (int32_t)value;
    return rc;
}

static int read_damage(struct fly_harm_config *harm, const char *text)
{
    if (strncmp(text, "oxygen=", 7) == 0)
        harm->kind = FLY_HARM_OXYGEN;
    else if (strncmp(text, "thickness=", 10) == 0)
        harm->kind = FLY_HARM_THICKNESS;
    else
        return fly_fail(FLY_ERANGE, "--damage %.80s: oxygen=LOSS or thickness=LOSS is allowed", text);
    return fly_tool_f64("--damage", strchr(text, '=') + 1, 0.0, 1.0, &harm->loss);
}

static int read_specimen(struct fly_sim_options *o, int id, const char *option, const char *text)
{
    const char *kinds[] = {fly_growth_name(FLY_PRISTINE), fly_growth_name(FLY_DEFECTIVE)};
    const char *caps[] = {fly_cap_metal_name(FLY_CAP_CR), fly_cap_metal_name(FLY_CAP_PT)};
    const struct fly_geometry *geometry;
    int32_t size[2];
    int64_t seed;
    int word = 0, rc;

    switch (id) {
    case OPT_GEOMETRY:
        geometry = fly_geometry_find(text);
        if (!geometry)
            return fly_fail(FLY_ERANGE, "--geometry %.80s: %s, %s, %s or %s is allowed", text,
                            fly_geometry_at(0)->name, fly_geometry_at(1)->name, fly_geometry_at(2)->name,
                            fly_geometry_at(3)->name);
        use_geometry(o, geometry);
        return FLY_OK;
    case OPT_SIZE:
        rc = fly_tool_size(option, text, FLY_SPECIMEN_SIDE_MIN, FLY_SPECIMEN_SIDE_MAX, size);
        if (rc == FLY_OK) {
            o->specimen.height_px = size[0];
            o->specimen.width_px = size[1];
            o->rows = o->cols = 0;
        }
        return rc;
    case OPT_PIXEL:
        rc = fly_tool_f64(option, text, 10.0, 200.0, &o->specimen.pixel_nm);
        o->specimen.pixel_nm /= rc == FLY_OK ? 1000.0 : 1.0;
        return rc;
    case OPT_KIND:
        rc = one_of(option, text, kinds, 2, &word);
        o->specimen.growth = word ? FLY_DEFECTIVE : FLY_PRISTINE;
        return rc;
    case OPT_CAP:
        rc = one_of(option, text, caps, 2, &word);
        o->specimen.cap = word ? FLY_CAP_PT : FLY_CAP_CR;
        return rc;
    case OPT_DPA:
        return fly_tool_f64(option, text, 0.0, 1.0, &o->specimen.dpa);
    case OPT_INCLUSION:
        return fly_tool_f64(option, text, 0.0, 0.05, &o->specimen.inclusion);
    case OPT_DAMAGE:
        return read_damage(&o->acquire.harm, text);
    case OPT_WARP:
        return fly_tool_f64(option, text, 0.0, 4.0, &o->specimen.warp_px);
    case OPT_CHIP:
        rc = read_int32(option, text, 4, 256, &o->chip_px);
        o->rows = o->cols = 0;
        return rc;
    case OPT_ROWS:
        return read_int32(option, text, 0, FLY_SPECIMEN_SIDE_MAX, &o->rows);
    case OPT_COLS:
        return read_int32(option, text, 0, FLY_SPECIMEN_SIDE_MAX, &o->cols);
    default:
        FLY_ASSERT(id == OPT_SEED);
        rc = fly_tool_int(option, text, 0, INT64_MAX, &seed);
        if (rc == FLY_OK)
            o->specimen.seed = (uint64_t)seed;
        return rc;
    }
}

static int read_scan(struct fly_sim_options *o, int id, const char *option, const char *text)
{
    const char *orders[FLY_ORDERS], *layouts[FLY_LAYOUTS];
    int word = 0, rc;

    for (int i = 0; i < FLY_ORDERS; i++)
        orders[i] = fly_scan_order_name((enum fly_scan_order)i);
    for (int i = 0; i < FLY_LAYOUTS; i++)
        layouts[i] = fly_photon_layout_name((enum fly_photon_layout)i);

    switch (id) {
    case OPT_FRAMES:
        return read_int32(option, text, 1, 1000000, &o->acquire.frames);
    case OPT_DWELL:
        return fly_tool_f64(option, text, 0.1, 10000.0, &o->beam.dwell_us);
    case OPT_PACE:
        return fly_tool_f64(option, text, 0.0, 1000.0, &o->pace);
    case OPT_ORDER:
        rc = one_of(option, text, orders, FLY_ORDERS, &word);
        o->acquire.scan.order = (enum fly_scan_order)word;
        return rc;
    case OPT_LINES:
        return read_int32(option, text, 1, FLY_SPECIMEN_SIDE_MAX, &o->acquire.scan.block_px);
    case OPT_DRIFT:
        rc = fly_tool_f64(option, text, 0.0, 2.0, &o->beam.drift_px[0]);
        o->beam.drift_px[1] = -0.6 * o->beam.drift_px[0];
        return rc;
    case OPT_JITTER:
        return fly_tool_f64(option, text, 0.0, 1.0, &o->beam.line_jitter_px);
    case OPT_EDS_COUNTS:
        return fly_tool_f64(option, text, 0.0, 1000.0, &o->beam.eds_counts);
    case OPT_EDS_LAYOUT:
        rc = one_of(option, text, layouts, FLY_LAYOUTS, &word);
        o->acquire.layout = (enum fly_photon_layout)word;
        return rc;
    case OPT_SEGMENTS:
        return read_int32(option, text, 1, FLY_BEAM_SEGMENTS, &o->beam.segments);
    case OPT_CHANNELS:
        return read_int32(option, text, 1, FLY_CHANNELS_MAX, &o->beam.axis.n_channels);
    case OPT_EV_PER:
        return fly_tool_f64(option, text, 0.1, 1000.0, &o->beam.axis.ev_per_channel);
    case OPT_EV_OFFSET:
        return fly_tool_f64(option, text, -10000.0, 10000.0, &o->beam.axis.ev_offset);
    default:
        FLY_ASSERT(id == OPT_ZERO);
        return fly_tool_f64(option, text, 0.0, 0.9, &o->beam.axis.zero_peak);
    }
}

static int read_session(struct fly_sim_options *o, int id, const char *option, const char *text)
{
    int64_t value;
    int rc;

    switch (id) {
    case OPT_INGEST:
        o->sender.ingest = text;
        return FLY_OK;
    case OPT_PUBLISH:
        o->sender.publish = text;
        return FLY_OK;
    case OPT_CONTROL:
        o->sender.control = text;
        return FLY_OK;
    case OPT_KEYS:
        o->keys = text;
        return FLY_OK;
    case OPT_SERVER_KEY:
        o->server_key = text;
        return FLY_OK;
    case OPT_CONNECT:
        return fly_tool_f64(option, text, 0.0, 3600.0, &o->connect_timeout_s);
    case OPT_PATIENCE:
        return fly_tool_f64(option, text, 1.0, 86400.0, &o->patience_s);
    case OPT_STOP_TIMEOUT:
        return fly_tool_f64(option, text, 0.0, 3600.0, &o->stop_timeout_s);
    case OPT_SESSION:
        rc = fly_tool_session_check(text);
        if (rc == FLY_OK)
            strcpy(o->session, text);
        return rc;
    case OPT_T0:
        return fly_tool_int(option, text, 1, INT64_MAX / 2, &o->t0_ns);
    case OPT_TRUTH:
        o->truth_dir = text;
        return FLY_OK;
    case OPT_SUPPORT:
        o->support_file = text;
        return FLY_OK;
    case OPT_SHOTS:
        return read_int32(option, text, 1, 100, &o->support_shots);
    case OPT_JUDGE:
        o->judge_file = text;
        return FLY_OK;
    case OPT_FAULTS:
        return read_faults(&o->sender.faults, text);
    default:
        FLY_ASSERT(id == OPT_WINDOW);
        rc = fly_tool_int(option, text, 1, 16384, &value);
        if (rc == FLY_OK)
            o->sender.window_bytes = (size_t)value << 20;
        return rc;
    }
}

static int read_one(struct fly_sim_options *o, int id, const char *option, const char *text)
{
    if (id == OPT_OBEYING)
        return fly_obey_option(&o->obey, option, text);
    if (id == OPT_HELP)
        o->help = 1;
    else if (id == OPT_QUIET)
        o->quiet = 1;
    else if (id == OPT_NO_HAADF)
        o->acquire.haadf = 0;
    else if ((id >= OPT_GEOMETRY && id <= OPT_SEED) || id == OPT_WARP)
        return read_specimen(o, id, option, text);
    else if (id >= OPT_FRAMES && id <= OPT_ZERO)
        return read_scan(o, id, option, text);
    else
        return read_session(o, id, option, text);
    return FLY_OK;
}

/* What follows from the rest for an acquisition that is steered. */
static int complete_obeying(struct fly_sim_options *o)
{
    int eds = o->beam.eds_counts > 0.0 || o->obey.from != NULL, image = o->acquire.haadf || o->obey.from != NULL;

    if (!o->obey.mode && o->obey.given[0])
        return fly_fail(FLY_ERANGE, "%s: only with --obey%s", o->obey.given,
                        o->obey.from ? "; flyback replay plays a recording as it is" : "");
    if (o->obey.from && o->acquire.harm.kind != FLY_HARM_NONE)
        return fly_fail(FLY_ERANGE, "--from: a recorded specimen has no --damage");
    if (o->obey.from && (o->truth_dir || o->support_file || o->judge_file))
        return fly_fail(FLY_ERANGE, "--from: of a recorded specimen there is no --truth, --support or --judge");
    if (!o->obey.mode)
        return FLY_OK;
    if ((o->obey.signal == FLY_SIGNAL_HAADF && !image) || (o->obey.signal == FLY_SIGNAL_EDS && !eds))
        return fly_fail(FLY_ERANGE, "--signal %s: that detector is off", fly_signal_name(o->obey.signal));
    if (!o->obey.address)
        o->obey.address = strcmp(o->obey.mode, "auto") == 0 ? "tcp://127.0.0.1:5573" : o->sender.control;
    o->obey.config.seed = o->specimen.seed;
    o->acquire.commanded = 1;
    o->beam.dwell_max_us = o->obey.dwell_max_us > 0.0 ? o->obey.dwell_max_us : 32.0 * o->beam.dwell_us;
    if (!o->obey.from && o->beam.dwell_max_us < o->beam.dwell_us)
        return fly_fail(FLY_ERANGE, "--dwell-max-us %g: the survey has --dwell-us %g", o->beam.dwell_max_us,
                        o->beam.dwell_us);
    return FLY_OK;
}

/* What follows from the rest. */
static int complete(struct fly_sim_options *o)
{
    int rc = FLY_OK;

    o->beam.seed = fly_mix64(o->specimen.seed ^ 0xBEA3);
    o->sender.faults.seed = o->specimen.seed;
    o->acquire.scan.seed = o->specimen.seed;
    o->acquire.scan.height_px = o->specimen.height_px;
    o->acquire.dwell_us = o->beam.dwell_us;
    o->acquire.eds = o->beam.eds_counts > 0.0;
    if (o->acquire.frames == 0)
        o->acquire.frames = o->obey.mode ? 1 : 10;
    snprintf(o->sample, sizeof o->sample, "LaFeO3 on SrTiO3, %s, %g dpa, %s cap (simulated, seed %llu)",
             fly_growth_name(o->specimen.growth), o->specimen.dpa, fly_cap_metal_name(o->specimen.cap),
             (unsigned long long)o->specimen.seed);
    o->acquire.sample = o->sample;
    if (!*o->session)
        rc = fly_tool_session("sim-", o->session);
    o->acquire.session = o->session;
    o->sender.session = o->session;
    if (rc == FLY_OK)
        rc = complete_obeying(o);
    if (rc == FLY_OK)
        rc = fly_client_keys(&o->sender.curve, o->keys, o->server_key);
    if (rc == FLY_OK && o->obey.key)
        rc = fly_client_keys(&o->obey.curve, o->keys, o->obey.key);
    else if (rc == FLY_OK && o->obey.mode && strcmp(o->obey.mode, "ask") == 0)
        o->obey.curve = o->sender.curve;
    if (rc == FLY_OK && !o->acquire.haadf && !o->acquire.eds)
        rc = fly_fail(FLY_ERANGE, "--no-haadf --eds-counts 0: nothing would be measured");
    if (rc == FLY_OK && o->acquire.scan.block_px > o->specimen.height_px)
        rc = fly_fail(FLY_ERANGE, "--lines-per-message %d: the scan has %d lines", o->acquire.scan.block_px,
                      o->specimen.height_px);
    return rc;
}

int fly_sim_options_read(struct fly_sim_options *options, int argc, char **argv)
{
    int id, at = 0, rc = FLY_OK;

    set_defaults(options);
    optind = 0; /* begin anew, whatever was read before in this process */
    opterr = 0;
    while (rc == FLY_OK && (id = getopt_long(argc, argv, "", long_options, &at)) != -1) {
        char option[40];

        if (id == '?' || id == ':') {
            rc = fly_fail(FLY_ERANGE, "%.80s: no such option, or its value is missing",
                          argv[optind > 0 ? optind - 1 : 0]);
            break;
        }
        snprintf(option, sizeof option, "--%s", long_options[at].name);
        rc = read_one(options, id, option, optarg);
    }
    if (rc == FLY_OK && optind < argc)
        rc = fly_fail(FLY_ERANGE, "%.80s: no file or word is expected here", argv[optind]);
    return rc == FLY_OK && !options->help ? complete(options) : rc;
}
