#include "plugin/session.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/graph_choice.h"
#include "plugin/quantify_choice.h"
#include "stream/disk.h"

/* FFTW's planner serves one thread at a time, and giving a plan back counts as planning. Embedders and engines plan;
 * stages open and drop them each in its own thread. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

void fly_session_embedder_close(struct fly_embedder **embedder)
{
    pthread_mutex_lock(&planner);
    fly_embedder_close(embedder);
    pthread_mutex_unlock(&planner);
}

/* ---- plan -------------------------------------------------------------------------------------- */

const char *fly_start_stream(const struct fly_start *start, int32_t idx)
{
    if (idx == 0)
        return "control";
    if (idx <= start->n_detectors)
        return start->detectors[idx - 1].name;
    return start->segments[idx - 1 - start->n_detectors].name;
}

static int32_t pick_image(const struct fly_options *options, const struct fly_start *start)
{
    if (start->n_detectors == 0)
        return -1;
    if (options->haadf.detector[0] == '\0')
        return 1;
    for (int32_t i = 0; i < start->n_detectors; i++)
        if (strcmp(start->detectors[i].name, options->haadf.detector) == 0)
            return 1 + i;
    return -1;
}

int fly_plan_make(struct fly_plan *plan, const struct fly_options *options, const struct fly_start *start)
{
    struct fly_plan made = {.n_channels = 0};
    int32_t streams = fly_start_streams(start);
    int rc = fly_grid_init(&made.grid, start->height_px, start->width_px, options->chip.size_px,
                           options->chip.pitch_px, options->chip.rows, options->chip.cols);

    if (rc < 0)
        return rc;
    made.image = pick_image(options, start);
    if (made.image < 0 && start->n_detectors && options->haadf.detector[0])
        return fly_fail(FLY_ERANGE, "haadf.detector '%s' is not among the session's detectors (first: '%s')",
                        options->haadf.detector, start->detectors[0].name);
    if (made.image > 0)
        made.dtype = start->detectors[made.image - 1].dtype;
    for (int32_t i = 0; i < FLY_STREAMS_MAX; i++)
        made.segment_of[i] = -1;
    for (int32_t i = 0; i < start->n_segments; i++) {
        const struct fly_segment *seg = &start->segments[i], *first = &start->segments[0];

        if (seg->n_channels == first->n_channels && seg->ev_per_channel == first->ev_per_channel &&
            seg->ev_offset == first->ev_offset)
            made.segment_of[1 + start->n_detectors + i] = made.n_segments++;
    }
    if (made.n_segments) {
        made.n_channels = start->segments[0].n_channels;
        made.ev_per_channel = start->segments[0].ev_per_channel;
        made.ev_offset = start->segments[0].ev_offset;
    }
    for (int i = 0; i < 2; i++) {
        made.pixel_nm[i] = start->pixel_nm[i];
        if (!isfinite(made.pixel_nm[i]) && options->pixel_nm > 0.0)
            made.pixel_nm[i] = options->pixel_nm;
    }
    made.communities = fly_grid_chips(&made.grid) <= options->graph.chips_max;
    made.ward = fly_grid_chips(&made.grid) <= options->tree.chips_max;
    made.n_ignored = streams - 1 - (made.image > 0) - made.n_segments;
    *plan = made;
    return FLY_OK;
}

/* ---- facts ------------------------------------------------------------------------------------- */

int fly_session_info_make(struct fly_session_info **out, const char *id, const struct fly_start *start,
                          const struct fly_part *header, const struct fly_options *options)
{
    struct fly_session_info *info = calloc(1, sizeof *info);
    int rc;

    if (!info)
        return fly_fail(FLY_ENOMEM, "session %s: no memory for its facts", id);
    rc = fly_plan_make(&info->plan, options, start);
    if (rc == FLY_OK && header->len) {
        info->header = malloc(header->len);
        if (!info->header)
            rc = fly_fail(FLY_ENOMEM, "session %s: no memory for its header", id);
    }
    if (rc < 0) {
        free(info);
        return rc;
    }
    if (header->len)
        memcpy(info->header, header->bytes, header->len);
    info->header_len = header->len;
    atomic_init(&info->holders, 1);
    memcpy(info->id, id, strnlen(id, FLY_SESSION_MAX) + 1);
    info->start = *start;
    info->options = *options;
    if (!isfinite(start->pixel_time_us) && options->instrument.pixel_time_us > 0.0)
        info->start.pixel_time_us = options->instrument.pixel_time_us;
    if (!isfinite(start->flyback_time_us) && options->instrument.flyback_time_us > 0.0)
        info->start.flyback_time_us = options->instrument.flyback_time_us;
    *out = info;
    return FLY_OK;
}

struct fly_session_info *fly_session_info_hold(struct fly_session_info *info)
{
    atomic_fetch_add_explicit(&info->holders, 1, memory_order_relaxed);
    return info;
}

void fly_session_info_drop(struct fly_session_info **info)
{
    struct fly_session_info *held = *info;

    *info = NULL;
    /* acq_rel: the last holder sees what the others did before they let go. */
    if (held && atomic_fetch_sub_explicit(&held->holders, 1, memory_order_acq_rel) == 1) {
        fly_session_embedder_close(&held->embedder);
        free(held->header);
        free(held);
    }
}

/* ---- embedder ---------------------------------------------------------------------------------- */

static int names_made_weights(const char *weights)
{
    return strncmp(weights, "he:", 3) == 0 || strcmp(weights, "closed:") == 0;
}

int fly_options_same_embedder(const struct fly_options *a, const struct fly_options *b)
{
    return a->embed.model == b->embed.model && strcmp(a->embed.weights, b->embed.weights) == 0 &&
           a->embed.input_px == b->embed.input_px && a->embed.tap == b->embed.tap &&
           a->embed.precision == b->embed.precision && a->embed.preproc == b->embed.preproc &&
           a->chip.size_px == b->chip.size_px;
}

int fly_embedder_from_options(struct fly_embedder **out, const struct fly_options *options, int32_t width)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    const char *weights = options->embed.weights, *slash = strrchr(weights, '/');
    int made = names_made_weights(weights), file = weights[0] && !made;
    int rc;

    *out = NULL;
    if (file) {
        rc = fly_file_read(weights, (size_t)1 << 31, &bytes, &len);
        if (rc < 0) {
            char text[400];

            snprintf(text, sizeof text, "%s", fly_fail_text());
            return fly_fail(rc, "embed.weights: %s; %s wants torchvision's weights as a safetensors file, `spectral` none", text,
                            fly_options_word(options, "embed.model"));
        }
    }
    pthread_mutex_lock(&planner);
    rc = fly_embedder_open(out, &(struct fly_embedder_config){
                                    .model = fly_options_word(options, "embed.model"),
                                    .side_px = options->chip.size_px,
                                    .input_px = options->embed.input_px,
                                    .tap = fly_options_word(options, "embed.tap"),
                                    .preproc = 
                                        options->embed.preproc == FLY_OPTION_PREPROC_AUTO
                                            ? NULL
                                            : fly_options_word(options, "embed.preproc"),
                                    .weights = made ? weights : NULL,
                                    .weight_bytes = bytes,
                                    .weight_len = len,
                                    .weight_name = slash ? slash + 1 : weights,
                                    .width = width,
                                });
    pthread_mutex_unlock(&planner);
    free(bytes);
    return rc;
}

/* ---- session ----------------------------------------------------------------------------------- */

struct fly_session {
    struct fly_session_info *info;
    struct fly_options options;
    struct fly_embedder *embedder; /* lent */
    struct fly_engine *engine;
    struct fly_recall recall;
    uint64_t names_told; /* versions of all names at the last epoch, summed: each only grows */
    int given;
    char quantify_note[400];
};

/* 1: compositions can be made, and how; else the session's note says why not. */
static int quantify_elements(struct fly_session *session, struct fly_quantify_choice *choice)
{
    const struct fly_session_info *info = session->info;

    if (info->plan.n_segments == 0)
        return 0;
    return fly_quantify_choose(choice, &info->start, &info->plan, &session->options, session->quantify_note,
                               sizeof session->quantify_note);
}

const char *fly_session_quantify_note(const struct fly_session *session)
{
    return session->quantify_note;
}

int fly_session_open(struct fly_session **out, struct fly_session_info *info,
                     struct fly_embedder *embedder, const float *given, int32_t given_width,
                     const struct fly_exec *exec)
{
    const struct fly_options *o = &info->options;
    const struct fly_plan *plan = &info->plan;
    struct fly_session *session = calloc(1, sizeof *session);
    int64_t frames = info->start.frames_planned;
    struct fly_quantify_choice quantify;
    struct fly_graph_config graph;
    int quantified, rc;

    if (!session)
        return fly_fail(FLY_ENOMEM, "session %s: no memory for its handle", info->id);
    session->info = fly_session_info_hold(info);
    fly_recall_init(&session->recall, fly_grid_chips(&plan->grid));
    session->options = *o;
    session->embedder = embedder;
    session->given = given != NULL;
    quantified = quantify_elements(session, &quantify);
    /* What is in force is told, whatever the configuration says. */
    if (!quantified)
        session->options.eds.feature_fewshot = session->options.eds.feature_community =
            session->options.eds.feature_ward = FLY_EDS_SPECTRUM;
    fly_graph_choose(&graph, o, quantified);
    pthread_mutex_lock(&planner);
    rc = fly_engine_open(&session->engine,
                         &(struct fly_engine_config){
                             .grid = plan->grid,
                             .profile = (enum fly_profile)o->profile,
                             .has_image = plan->image > 0,
                             .dtype = plan->dtype,
                             .lo = o->haadf.lo,
                             .hi = o->haadf.hi,
                             .range_rows = o->haadf.range_rows,
                             .segments = plan->n_segments,
                             .n_channels = plan->n_channels,
                             .ev_per_channel = plan->ev_per_channel,
                             .region = {.pixel_nm = {plan->pixel_nm[0], plan->pixel_nm[1]},
                                        .d_nm = {o->region.d_range_nm[0], o->region.d_range_nm[1]}},
                             .box_drift = o->drift.adopt,
                             .frames_held = o->engine.frames_held,
                             /* Commands have frames of their own beyond those planned. */
                             .frames_max = frames > o->engine.frames_max ? frames : o->engine.frames_max,
                             .quantify = quantified ? &quantify.config : NULL,
                             .graph = plan->communities ? &graph : NULL,
                             .tree = plan->ward ? &(struct fly_tree_config){o->tree.k, (enum fly_eds_feature)o->eds.feature_ward,
                                                                        o->graph.min_counts}
                                                : NULL,
                             .fewshot_feature = (enum fly_eds_feature)o->eds.feature_fewshot,
                             .photons_held = (int64_t)o->engine.photons_held_millions * 1000000,
                             .embedder = given || plan->image < 0 ? NULL : embedder,
                             .embed_width = given ? given_width : 0,
                             .step_chips = info->step_chips,
                             .weights = {o->fewshot.weights[0], o->fewshot.weights[1]},
                             .temperature = o->fewshot.temperature,
                             .memory_limit = (size_t)o->engine.memory_limit_mib << 20,
                         },
                         exec, NULL);
    pthread_mutex_unlock(&planner);
    if (rc == FLY_OK && given)
        fly_engine_give_embeddings(session->engine, given);
    if (rc == FLY_OK && o->fewshot.support[0])
        rc = fly_session_load_support(session, o->fewshot.support);
    if (rc < 0) {
        fly_session_close(&session);
        return rc;
    }
    *out = session;
    return FLY_OK;
}

void fly_session_close(struct fly_session **session)
{
    struct fly_session *s = *session;

    if (!s)
        return;
    pthread_mutex_lock(&planner);
    fly_engine_close(&s->engine);
    pthread_mutex_unlock(&planner);
    fly_recall_fini(&s->recall);
    fly_session_info_drop(&s->info);
    free(s);
    *session = NULL;
}

static void apply_lines(struct fly_session *s, const struct fly_ingest *msg, int64_t stamp,
                        struct fly_effect *effect)
{
    struct fly_taken taken = {0};
    int rc = fly_engine_lines(s->engine, msg->frame, (struct fly_rect){msg->y0, msg->x0, msg->h, msg->w},
                              msg->payload[0].bytes, msg->dwell_ns, stamp, &taken);

    effect->unassembled = rc < 0;
    effect->chips_done = taken.chips_done;
    effect->pixels = taken.fresh_px;
    effect->nonfinite = taken.nonfinite_px;
    effect->unchecked = taken.unchecked_px;
    effect->conflict = taken.conflict_px > 0;
}

static void apply_eds(struct fly_session *s, const struct fly_ingest *msg, int64_t stamp,
                      struct fly_effect *effect)
{
    struct fly_eds_taken taken = {0};
    struct fly_photons photons = {
        .segment = s->info->plan.segment_of[msg->stream_idx],
        .frame = msg->frame,
        .y0 = msg->y0,
        .x0 = msg->x0,
        .h = msg->h,
        .w = msg->w,
        .dwell_ns = msg->dwell_ns,
        .layout = (enum fly_eds_layout)msg->layout,
        .dtype = msg->dtype,
        .photons = msg->photons,
    };

    if (photons.layout == FLY_EDS_DENSE) {
        photons.dense = msg->payload[0].bytes;
    } else {
        if (photons.layout == FLY_EDS_CSR)
            photons.rows = msg->payload[0].bytes;
        else
            photons.pixels = msg->payload[0].bytes;
        photons.channels = msg->payload[1].bytes;
    }
    effect->unassembled = fly_engine_photons(s->engine, &photons, stamp, &taken) < 0;
    effect->chips_done = taken.chips_done;
    effect->photons = taken.photons;
    effect->photon_outside = taken.outside;
    effect->unchecked = taken.unchecked_px;
    effect->conflict = taken.conflict_px > 0;
}

void fly_session_apply(struct fly_session *session, const struct fly_ingest *msg, int64_t stamp,
                       struct fly_effect *effect)
{
    const struct fly_plan *plan = &session->info->plan;

    *effect = (struct fly_effect){0};
    if (msg->type == FLY_INGEST_LINES && msg->stream_idx == plan->image)
        apply_lines(session, msg, stamp, effect);
    else if (msg->type == FLY_INGEST_EDS && plan->segment_of[msg->stream_idx] >= 0)
        apply_eds(session, msg, stamp, effect);
    else if (msg->type == FLY_INGEST_LINES || msg->type == FLY_INGEST_EDS)
        fly_engine_exposed(session->engine, msg->frame, (struct fly_rect){msg->y0, msg->x0, msg->h, msg->w},
                           msg->dwell_ns, stamp);
}

void fly_session_finish(struct fly_session *session)
{
    fly_engine_finish(session->engine);
}

int fly_session_step(struct fly_session *session)
{
    return fly_engine_step(session->engine);
}

int fly_session_epoch(struct fly_session *session)
{
    int changed = fly_engine_epoch(session->engine);
    uint64_t versions = 0;

    fly_recall_epoch(&session->recall, session->engine);
    for (int map = 0; map < FLY_MAPS; map++) {
        const struct fly_names *names = fly_engine_names(session->engine, map);

        versions += names ? names->version : 0;
    }
    changed |= versions != session->names_told;
    session->names_told = versions;
    return changed;
}

struct fly_engine *fly_session_engine(struct fly_session *session)
{
    return session->engine;
}

const struct fly_session_info *fly_session_facts(const struct fly_session *session)
{
    return session->info;
}

const struct fly_options *fly_session_options(const struct fly_session *session)
{
    return &session->options;
}

struct fly_options *fly_session_options_mutable(struct fly_session *session)
{
    return &session->options;
}

const char *fly_session_embedder_name(const struct fly_session *session)
{
    if (session->given)
        return "given";
    return session->info->plan.image > 0 ? fly_embedder_name(session->embedder) : "none";
}

struct fly_recall *fly_session_recall(struct fly_session *session)
{
    return &session->recall;
}
