#include "plugin/stage_engine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/clusters.h"
#include "plugin/curve.h"
#include "plugin/journal.h"
#include "plugin/look.h"
#include "plugin/maps.h"

enum {
    RING_INPUTS = 8192, /* also the pool's size: a push to these rings never fails */
    RING_JOBS = 256,
    INPUTS_A_TURN = 512, /* then requests get their say */
};

#define UNASSEMBLED_TOLD_NS INT64_C(1000000000)
#define CLUSTERS_EVERY_NS   INT64_C(250000000)
#define JUMP_TOLD_NS        INT64_C(1000000000)

struct fly_stage_engine {
    struct fly_stage_engine_config config;
    struct fly_ring inputs, spent, jobs, replies;
    int wake_fd;
    atomic_int sleeps;

    struct fly_session *session; /* stands after its stop, until the next start */
    struct fly_session_info *info;
    int draining, ended;
    struct fly_session_end end;
    atomic_uint_fast64_t done_serial;

    uint64_t as_of[FLY_STREAMS_MAX];
    uint64_t last_ticket;       /* of the last input taken in */
    struct fly_trace trace;
    uint64_t shown;             /* features_changed of the engine at the last epoch */
    int urgent;                 /* a person changed something: cut the epoch now */
    struct fly_map_set maps;
    struct fly_clusters *clusters; /* scratch */
    int clusters_due[FLY_MAPS];    /* the map changed since its groups were told of */
    int clusters_next;
    int64_t clusters_ns;           /* when some were last */
    struct fly_engine_counts told; /* as already added to the bus's counters */
    int range_told;
    int64_t unassembled_told_ns;
    struct fly_job *exact[RING_JOBS]; /* wait until nothing is left to embed; no input is taken then */
    int32_t n_exact;
    struct fly_job *curves[RING_JOBS]; /* graph.curve: the first is under way */
    int32_t n_curves;
    struct fly_curve_job curve;
    int curve_begun;
    int64_t jump_ns[FLY_MODALITIES];   /* when one was last told of */
};

int fly_stage_engine_open(struct fly_stage_engine **out, const struct fly_stage_engine_config *config)
{
    struct fly_stage_engine *stage = calloc(1, sizeof *stage);
    int rc;

    if (!stage)
        return fly_fail(FLY_ENOMEM, "engine stage: no memory for its handle");
    stage->config = *config;
    stage->clusters = malloc(sizeof *stage->clusters);
    if (!stage->clusters) {
        free(stage);
        return fly_fail(FLY_ENOMEM, "engine stage: no memory for its clusters");
    }
    stage->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stage->wake_fd < 0) {
        free(stage->clusters);
        free(stage);
        return fly_fail(FLY_EIO, "eventfd: %s", strerror(errno));
    }
    rc = fly_ring_init(&stage->inputs, RING_INPUTS, stage->wake_fd, &stage->sleeps);
    if (rc == FLY_OK)
        rc = fly_ring_init(&stage->spent, RING_INPUTS, -1, NULL);
    if (rc == FLY_OK)
        rc = fly_ring_init(&stage->jobs, RING_JOBS, stage->wake_fd, &stage->sleeps);
    if (rc == FLY_OK)
        rc = fly_ring_init(&stage->replies, RING_JOBS, config->bus->publish_wake_fd,
                           &config->bus->publish_sleeps);
    if (rc < 0) {
        fly_stage_engine_close(&stage);
        return rc;
    }
    *out = stage;
    return FLY_OK;
}

static void close_session(struct fly_stage_engine *stage)
{
    fly_session_close(&stage->session);
    fly_session_info_drop(&stage->info);
    fly_map_set_fini(&stage->maps);
}

void fly_stage_engine_close(struct fly_stage_engine **stage)
{
    struct fly_stage_engine *s = *stage;

    if (!s)
        return;
    for (int32_t i = 0; i < s->n_exact; i++)
        fly_job_free(s->exact[i]);
    for (int32_t i = 0; i < s->n_curves; i++)
        fly_job_free(s->curves[i]);
    close_session(s);
    fly_ring_fini(&s->inputs);
    fly_ring_fini(&s->spent);
    fly_ring_fini(&s->jobs);
    fly_ring_fini(&s->replies);
    close(s->wake_fd);
    free(s->clusters);
    free(s);
    *stage = NULL;
}

struct fly_ring *fly_stage_engine_inputs(struct fly_stage_engine *stage)
{
    return &stage->inputs;
}

struct fly_ring *fly_stage_engine_spent(struct fly_stage_engine *stage)
{
    return &stage->spent;
}

struct fly_ring *fly_stage_engine_jobs(struct fly_stage_engine *stage)
{
    return &stage->jobs;
}

struct fly_ring *fly_stage_engine_replies(struct fly_stage_engine *stage)
{
    return &stage->replies;
}

uint64_t fly_stage_engine_done(const struct fly_stage_engine *stage)
{
    return atomic_load_explicit(&stage->done_serial, memory_order_acquire);
}

void fly_stage_engine_wake(struct fly_stage_engine *stage)
{
    fly_wake(stage->wake_fd);
}

void fly_stage_engine_wait(struct fly_stage_engine *stage, int32_t timeout_ms)
{
    struct pollfd fd = {.fd = stage->wake_fd, .events = POLLIN};

    /* seq_cst, then one more look: see fly_ring_push. */
    atomic_store_explicit(&stage->sleeps, 1, memory_order_seq_cst);
    if (fly_ring_len(&stage->inputs) == 0 && fly_ring_len(&stage->jobs) == 0 &&
        poll(&fd, 1, timeout_ms) > 0)
        fly_wake_clear(stage->wake_fd);
    atomic_store_explicit(&stage->sleeps, 0, memory_order_seq_cst);
}

static struct fly_recorder *recorder_of(const struct fly_stage_engine *stage)
{
    return atomic_load_explicit(&stage->info->recorder, memory_order_acquire);
}

static int64_t unix_now(const struct fly_stage_engine *stage)
{
    return stage->config.clock.unix_ns(stage->config.clock.ctx);
}

/* After the end nobody follows. */
static void keep_mark(struct fly_stage_engine *stage, enum fly_mark mark, uint64_t epoch)
{
    if (stage->ended || !recorder_of(stage))
        stage->trace = (struct fly_trace){.len = 0};
    else if (fly_journal_keep_mark(recorder_of(stage), unix_now(stage), &stage->trace, mark, epoch,
                                   stage->last_ticket) < 0)
        fly_count(stage->config.bus, FLY_COUNT_UNRECORDED, 1);
}

/* ---- maps -------------------------------------------------------------------------------------- */

static void fill_maps(struct fly_stage_engine *stage, struct fly_map_set *set, int final)
{
    struct fly_engine *engine = fly_session_engine(stage->session);
    const struct fly_support *support = fly_engine_support(engine);
    struct fly_engine_counts counts;
    size_t k = (size_t)set->n_chips;

    fly_engine_count(engine, &counts);
    set->serial = stage->info->serial;
    set->epoch = counts.epochs;
    set->final = final;
    memcpy(set->classes, support->classes, sizeof set->classes);
    set->n_classes = support->n_classes;
    memcpy(set->as_of, stage->as_of, sizeof set->as_of);
    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_graph(engine, (enum fly_modality)m, &set->graph[m]);
    for (int m = 0; m < FLY_MAPS; m++) {
        struct fly_map_view view;

        fly_engine_map(engine, fly_map_method(m), fly_map_modality(m), &view);
        if (!view.labels)
            continue; /* there is none: it is not published either */
        memcpy(set->labels[m], view.labels, k * sizeof *view.labels);
        memcpy(set->confidence[m], view.confidence, k * sizeof *view.confidence);
        memcpy(set->age[m], view.age, k * sizeof *view.age);
        memcpy(set->stamp[m], view.stamp, k * sizeof *view.stamp);
    }
}

static void tell_counts(struct fly_stage_engine *stage)
{
    struct fly_bus *bus = stage->config.bus;
    struct fly_engine *engine = fly_session_engine(stage->session);
    struct fly_engine_counts now, *told = &stage->told;

    fly_engine_count(engine, &now);
    fly_count(bus, FLY_COUNT_EMBEDDED_FIRST, now.embedded_first - told->embedded_first);
    fly_count(bus, FLY_COUNT_EMBEDDED_AGAIN, now.embedded_again - told->embedded_again);
    fly_count(bus, FLY_COUNT_QUANTIFIED, now.chips_quantified - told->chips_quantified);
    fly_count(bus, FLY_COUNT_SCORED, now.chips_scored - told->chips_scored);
    fly_count(bus, FLY_COUNT_GRAPH_UPDATES, now.graph_updates - told->graph_updates);
    fly_count(bus, FLY_COUNT_PAIRS, now.pairs_compared - told->pairs_compared);
    fly_count(bus, FLY_COUNT_CODES, now.codes_changed - told->codes_changed);
    fly_count(bus, FLY_COUNT_EDGES, now.edges_flipped - told->edges_flipped);
    fly_count(bus, FLY_COUNT_VISITED, now.nodes_visited - told->nodes_visited);
    fly_count(bus, FLY_COUNT_MOVED, now.nodes_moved - told->nodes_moved);
    fly_count(bus, FLY_COUNT_ROWS_READ, now.rows_read - told->rows_read);
    fly_count(bus, FLY_COUNT_NOT_COMPARED, now.not_compared - told->not_compared);
    fly_count(bus, FLY_COUNT_EPOCHS, now.epochs - told->epochs);
    *told = now;
    stage->shown = now.features_changed;
    pthread_mutex_lock(&bus->lock);
    bus->status.backlog_chips = fly_engine_backlog(engine, NULL, NULL);
    bus->status.range_known = fly_engine_range(engine, &bus->status.range_lo, &bus->status.range_hi);
    pthread_mutex_unlock(&bus->lock);
}

static void tell_range(struct fly_stage_engine *stage)
{
    unsigned char bytes[64];
    struct fly_pack pack;
    double lo, hi;

    if (stage->range_told || !fly_engine_range(fly_session_engine(stage->session), &lo, &hi))
        return;
    stage->range_told = 1;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "lo");
    fly_pack_f64(&pack, lo);
    fly_pack_str(&pack, "hi");
    fly_pack_f64(&pack, hi);
    fly_bus_event(stage->config.bus, FLY_INFO, "haadf_range", bytes, pack.len,
                  "intensities %g .. %g become 0 .. 255 from here to the end of the session", lo, hi);
}

/* At most one a second and modality; what `metrics` says holds anyway. */
static void tell_jumps(struct fly_stage_engine *stage)
{
    struct fly_engine *engine = fly_session_engine(stage->session);
    struct fly_threshold_jump jump;
    enum fly_modality modality;
    unsigned char bytes[128];
    struct fly_pack pack;

    while (fly_engine_jump(engine, &modality, &jump)) {
        int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx);

        if (stage->jump_ns[modality] && now - stage->jump_ns[modality] < JUMP_TOLD_NS)
            continue; /* a scan that begins jumps with each row */
        stage->jump_ns[modality] = now;
        fly_pack_init(&pack, bytes, sizeof bytes);
        fly_pack_map(&pack, 3);
        fly_pack_str(&pack, "modality");
        fly_pack_str(&pack, fly_modality_name(modality));
        fly_pack_str(&pack, "from");
        fly_pack_f64(&pack, jump.from);
        fly_pack_str(&pack, "to");
        fly_pack_f64(&pack, jump.to);
        fly_bus_event(stage->config.bus, FLY_INFO, "threshold_jump", bytes, pack.len,
                      "the threshold of %s went from %.2f to %.2f: its communities answer another question now",
                      fly_modality_name(modality), jump.from, jump.to);
    }
}

static void cut_epoch(struct fly_stage_engine *stage, int final)
{
    int changed = fly_session_epoch(stage->session);

    stage->urgent = 0;
    fill_maps(stage, &stage->maps, final);
    keep_mark(stage, FLY_MARK_EPOCH, stage->maps.epoch);
    tell_counts(stage);
    tell_jumps(stage);
    if (!changed && !final)
        return;
    fly_bus_post_maps(stage->config.bus, &stage->maps);
    for (int m = 0; m < FLY_MAPS; m++)
        stage->clusters_due[m] = fly_maps_has_map(stage->info, m);
}

static int tell_clusters(struct fly_stage_engine *stage, int map)
{
    if (!stage->clusters_due[map])
        return 0;
    stage->clusters_due[map] = 0;
    fly_clusters_make(stage->clusters, fly_session_engine(stage->session), &stage->maps, map);
    fly_bus_post_clusters(stage->config.bus, stage->clusters);
    return 1;
}

/* One map at a time, now and then: they cost more than the map. */
static void tell_next_clusters(struct fly_stage_engine *stage)
{
    int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    if (now - stage->clusters_ns < CLUSTERS_EVERY_NS)
        return;
    for (int i = 0; i < FLY_MAPS; i++) {
        int map = stage->clusters_next;

        stage->clusters_next = (map + 1) % FLY_MAPS;
        if (tell_clusters(stage, map)) {
            stage->clusters_ns = now;
            return;
        }
    }
}

static void post_options(struct fly_stage_engine *stage)
{
    fly_bus_post_options(stage->config.bus, stage->info->serial, fly_session_options(stage->session));
}

static void reply(struct fly_stage_engine *stage, struct fly_job *job);
static void job_failed(struct fly_job *job, const char *code, const char *message);
static void fail_curves(struct fly_stage_engine *stage);

/* ---- inputs ------------------------------------------------------------------------------------ */

static void open_session(struct fly_stage_engine *stage, struct fly_input *input)
{
    fail_curves(stage);
    close_session(stage);
    stage->info = input->info;
    input->info = NULL;
    stage->draining = stage->ended = 0;
    stage->range_told = 0;
    stage->told = (struct fly_engine_counts){0};
    stage->trace = (struct fly_trace){.len = 0};
    memset(stage->clusters_due, 0, sizeof stage->clusters_due);
    stage->shown = 0;
    stage->last_ticket = input->ticket;
    memset(stage->as_of, 0, sizeof stage->as_of);
    stage->as_of[0] = input->as_of;
    if (fly_session_open(&stage->session, stage->info,
                         stage->info->embedder ? stage->info->embedder : stage->config.embedder, NULL, 0,
                         &stage->config.exec) < 0 ||
        fly_map_set_init(&stage->maps, fly_grid_chips(&stage->info->plan.grid)) < 0) {
        fly_bus_event(stage->config.bus, FLY_ERROR, "session_open", NULL, 0,
                      "session %s is recorded but not analysed: %s", stage->info->id, fly_fail_text());
        fly_session_close(&stage->session);
        return;
    }
    post_options(stage);
    if (fly_session_quantify_note(stage->session)[0])
        fly_bus_event(stage->config.bus, FLY_INFO, "quantification", NULL, 0, "%s",
                      fly_session_quantify_note(stage->session));
    if (recorder_of(stage) && !atomic_load(&stage->info->resuming) &&
        fly_journal_keep_support(recorder_of(stage), unix_now(stage),
                            fly_engine_support(fly_session_engine(stage->session)), stage->info->plan.grid.cols,
                            stage->last_ticket) < 0)
        fly_bus_event(stage->config.bus, FLY_WARNING, "recording", NULL, 0,
                      "the support set of the configuration is not in the recording: %s", fly_fail_text());
    /* A support set from the configuration is there before the first chip. */
    stage->urgent = fly_engine_support(fly_session_engine(stage->session))->n_classes > 0;
}

static void take_data(struct fly_stage_engine *stage, struct fly_input *input)
{
    struct fly_bus *bus = stage->config.bus;
    struct fly_effect effect;

    if (!stage->session)
        return;
    fly_session_apply(stage->session, &input->ingest, input->arrival_ns, &effect);
    fly_count(bus, FLY_COUNT_PIXELS, (uint64_t)effect.pixels);
    fly_count(bus, FLY_COUNT_PHOTONS, (uint64_t)effect.photons);
    fly_count(bus, FLY_COUNT_PHOTON_OUTSIDE, (uint64_t)effect.photon_outside);
    fly_count(bus, FLY_COUNT_NONFINITE, (uint64_t)effect.nonfinite);
    fly_count(bus, FLY_COUNT_UNCHECKED, (uint64_t)effect.unchecked);
    fly_count(bus, FLY_COUNT_CONFLICT, (uint64_t)effect.conflict);
    if (effect.unassembled) {
        fly_count(bus, FLY_COUNT_UNASSEMBLED, 1);
        if (input->arrival_ns - stage->unassembled_told_ns < UNASSEMBLED_TOLD_NS)
            return;
        stage->unassembled_told_ns = input->arrival_ns;
        fly_bus_event(bus, FLY_WARNING, "unassembled", NULL, 0,
                      "%s %llu is recorded but not in the maps: %s", input->ingest.stream,
                      (unsigned long long)input->ingest.seq, fly_fail_text());
    }
}

/* A request from the recording: it succeeded or failed the first time, and does so again. */
static void replay_control(struct fly_stage_engine *stage, struct fly_input *input)
{
    struct fly_value root = fly_value_root(input->msg.parts[0].bytes, input->msg.parts[0].len);
    unsigned char *scratch = malloc(FLY_RESULT_CAP);
    struct fly_value op, args;
    struct fly_pack result;
    const char *text;
    char name[64] = "";
    const char *code;
    size_t len;

    if (scratch && stage->session && fly_value_get(root, "op", &op) && fly_value_str(op, &text, &len) &&
        len < sizeof name && fly_value_get(root, "args", &args)) {
        memcpy(name, text, len);
        fly_pack_init(&result, scratch, FLY_RESULT_CAP);
        if (fly_session_control_known(name) &&
            fly_session_control(stage->session, name, args, &result, &code) == FLY_OK) {
            stage->urgent = 1;
            post_options(stage);
        }
    }
    free(scratch);
}

static void take_stop(struct fly_stage_engine *stage, struct fly_input *input)
{
    stage->end = input->end;
    stage->draining = 1;
    if (!stage->session)
        return;
    keep_mark(stage, FLY_MARK_FINISH, 0);
    fly_session_finish(stage->session);
}

static void take_input(struct fly_stage_engine *stage, struct fly_input *input)
{
    void *spent = input;

    switch (input->kind) {
    case FLY_INPUT_OPEN:
        open_session(stage, input);
        break;
    case FLY_INPUT_DATA:
        take_data(stage, input);
        stage->as_of[input->ingest.stream_idx] = input->as_of;
        break;
    case FLY_INPUT_CONTROL:
        replay_control(stage, input);
        break;
    case FLY_INPUT_STOP:
        take_stop(stage, input);
        stage->as_of[0] = input->as_of;
        break;
    }
    if (input->ticket)
        stage->last_ticket = input->ticket;
    fly_msg_close(&input->msg);
    FLY_ASSERT(fly_ring_push(&stage->spent, &spent) == FLY_OK);
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void reply(struct fly_stage_engine *stage, struct fly_job *job)
{
    void *item = job;

    FLY_ASSERT(fly_ring_push(&stage->replies, &item) == FLY_OK);
}

static void job_failed(struct fly_job *job, const char *code, const char *message)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "%s", code);
    snprintf(job->message, sizeof job->message, "%s", message);
}

/* It goes to the recording before it acts, so that a restart does neither more nor less than was answered
 * for. */
static int journal_control(struct fly_stage_engine *stage, struct fly_job *job)
{
    const void *args;
    size_t args_len = fly_value_bytes(job->request.args, &args);
    int rc;

    if (!recorder_of(stage) || stage->ended)
        return FLY_OK;
    /* What was thought before it comes before it. */
    if (stage->trace.len || stage->trace.lost)
        keep_mark(stage, FLY_MARK_REQUEST, 0);
    rc = fly_journal_keep_request(recorder_of(stage), unix_now(stage), job->request.op, args, args_len,
                             stage->last_ticket, &job->ticket);
    job->serial = stage->info->serial;
    if (rc == FLY_EAGAIN)
        return fly_fail(FLY_EAGAIN, "the recording is behind: nothing was changed, try again");
    return rc;
}

static void run_change(struct fly_stage_engine *stage, struct fly_job *job)
{
    struct fly_pack result;
    const char *code;

    if (!stage->session) {
        job_failed(job, "no_session", "there is no session yet");
        return;
    }
    if (atomic_load(&stage->info->resuming)) {
        job_failed(job, "resuming", "the session is being read back from its recording, try again");
        return;
    }
    if (journal_control(stage, job) < 0) {
        job_failed(job, "not_recorded", fly_fail_text());
        return;
    }
    job->result = malloc(FLY_RESULT_CAP);
    if (!job->result) {
        job_failed(job, "memory", "no memory for the reply");
        return;
    }
    fly_pack_init(&result, job->result, FLY_RESULT_CAP);
    if (fly_session_control(stage->session, job->request.op, job->request.args, &result, &code) < 0) {
        job_failed(job, code, fly_fail_text());
        return;
    }
    job->ok = 1;
    job->result_len = result.len;
    stage->urgent = 1;
    post_options(stage);
}

static void take_job(struct fly_stage_engine *stage, struct fly_job *job)
{
    const char *op = job->request.op;

    if (fly_session_control_known(op)) {
        run_change(stage, job);
        /* The map shows the change before the answer says that it did. */
        if (job->ok && stage->session)
            cut_epoch(stage, stage->ended);
        reply(stage, job);
    } else if (fly_look_is_exact(job) && stage->session) {
        stage->exact[stage->n_exact++] = job;
    } else if (strcmp(op, "graph.curve") == 0 && stage->session) {
        stage->curves[stage->n_curves++] = job;
    } else {
        fly_look(stage->session, job, stage->as_of, stage->draining);
        reply(stage, job);
    }
}

/* A point of a threshold curve; 1: there was one to make. */
static int step_curve(struct fly_stage_engine *stage)
{
    struct fly_job *job = stage->curves[0];

    if (!stage->n_curves)
        return 0;
    if (!stage->curve_begun && fly_curve_begin(&stage->curve, stage->session, job)) {
        stage->curve_begun = 1;
        return 1;
    }
    if (stage->curve_begun && !fly_curve_step(&stage->curve, stage->session, job))
        return 1;
    stage->curve_begun = 0;
    memmove(stage->curves, stage->curves + 1, (size_t)--stage->n_curves * sizeof job);
    reply(stage, job);
    return 1;
}

/* Their session is gone. */
static void fail_curves(struct fly_stage_engine *stage)
{
    for (int32_t i = 0; i < stage->n_curves; i++) {
        job_failed(stage->curves[i], "no_session", "the session ended before its curve was made");
        reply(stage, stage->curves[i]);
    }
    stage->n_curves = stage->curve_begun = 0;
}

/* ---- the turn ---------------------------------------------------------------------------------- */

static void end_session(struct fly_stage_engine *stage)
{
    struct fly_bus *bus = stage->config.bus;

    if (stage->session) {
        cut_epoch(stage, 1);
        for (int m = 0; m < FLY_MAPS; m++)
            tell_clusters(stage, m);
        stage->end.complete = fly_look_complete(stage->session);
    }
    stage->ended = 1;
    fly_bus_end_session(bus, &stage->end);
    atomic_store_explicit(&stage->done_serial, stage->end.serial, memory_order_release);
}

/* An epoch for each row of chips, and whenever nothing waits but news. */
static int is_due(const struct fly_stage_engine *stage)
{
    struct fly_engine *engine = fly_session_engine(stage->session);
    struct fly_engine_counts counts;
    uint64_t fresh;

    fly_engine_count(engine, &counts);
    fresh = counts.features_changed - stage->shown;
    if (fresh >= (uint64_t)stage->info->plan.grid.cols)
        return 1;
    return (fresh > 0 || fly_engine_regrouped(engine)) && !fly_engine_busy(engine) &&
           fly_ring_len(&stage->inputs) == 0;
}

int fly_stage_engine_step(struct fly_stage_engine *stage)
{
    struct fly_job *job;
    struct fly_input *input;
    int did = 0, stepped = 0;

    /* Inputs first: a request that followed a start finds its session. */
    for (int i = 0; i < INPUTS_A_TURN && !stage->n_exact && !(stage->draining && !stage->ended) &&
                    (input = fly_ring_pop(&stage->inputs));
         i++) {
        take_input(stage, input);
        did = 1;
    }
    while (stage->n_exact < RING_JOBS && stage->n_curves < RING_JOBS && (job = fly_ring_pop(&stage->jobs))) {
        take_job(stage, job);
        did = 1;
    }
    if (!stage->session) {
        if (stage->draining && !stage->ended)
            end_session(stage);
        return did;
    }
    if (atomic_load(&stage->info->resuming))
        return did;
    if (!stage->ended) {
        stepped = fly_session_step(stage->session) == FLY_OK;
        if (stepped) {
            fly_trace_step(&stage->trace, stage->last_ticket);
            fly_crash_here(FLY_CRASH_EMBEDDED);
        }
        tell_range(stage);
    }
    if (stage->urgent || is_due(stage))
        cut_epoch(stage, 0);
    tell_next_clusters(stage);
    if (!stepped && stage->n_exact) {
        if (!stage->ended)
            cut_epoch(stage, 0);
        for (int32_t i = 0; i < stage->n_exact; i++) {
            fly_look(stage->session, stage->exact[i], stage->as_of, stage->draining);
            reply(stage, stage->exact[i]);
        }
        stage->n_exact = 0;
        did = 1;
    }
    if (!stepped && stage->draining && !stage->ended)
        end_session(stage);
    return step_curve(stage) || did || stepped;
}
