#include "plugin/stage_engine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/engine_state.h"
#include "plugin/look.h"
#include "plugin/overview.h"

enum {
    RING_INPUTS = 8192, /* also the pool's size: a push to these rings never fails */
    INPUTS_A_TURN = 512, /* then requests get their say */
};

#define UNASSEMBLED_TOLD_NS INT64_C(1000000000)

/* Maps to which nothing came for so long are at rest, and what chips are called then is shown. Sooner, and rows of a
 * slow scan would each be a rest. */
#define SETTLE_NS INT64_C(1000000000)

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
        rc = fly_ring_init(&stage->jobs, FLY_STAGE_JOBS, stage->wake_fd, &stage->sleeps);
    if (rc == FLY_OK)
        rc = fly_ring_init(&stage->replies, FLY_STAGE_JOBS, config->bus->publish_wake_fd,
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
    fly_dose_fini(&stage->dose);
    fly_stage_steer_close(stage);
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
    for (int32_t i = 0; i < s->n_crystals; i++)
        fly_job_free(s->crystals[i]);
    for (int32_t i = 0; i < s->n_sweeps; i++)
        fly_job_free(s->sweeps[i]);
    fly_sweep_fini(&s->sweep);
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
    int64_t due = fly_stage_steer_due(stage), now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    if (due != INT64_MAX && due - now < (int64_t)timeout_ms * 1000000)
        timeout_ms = due <= now ? 0 : (int32_t)((due - now) / 1000000 + 1);
    /* seq_cst, then one more look: see fly_ring_push. */
    atomic_store_explicit(&stage->sleeps, 1, memory_order_seq_cst);
    if (fly_ring_len(&stage->inputs) == 0 && fly_ring_len(&stage->jobs) == 0 &&
        poll(&fd, 1, timeout_ms) > 0)
        fly_wake_clear(stage->wake_fd);
    atomic_store_explicit(&stage->sleeps, 0, memory_order_seq_cst);
}

static void post_options(struct fly_stage_engine *stage)
{
    fly_bus_post_options(stage->config.bus, stage->info->serial, fly_session_options(stage->session));
}

static void reply(struct fly_stage_engine *stage, struct fly_job *job);
static void job_failed(struct fly_job *job, const char *code, const char *message);
static void fail_looks(struct fly_stage_engine *stage);

/* ---- inputs ------------------------------------------------------------------------------------ */

static void open_session(struct fly_stage_engine *stage, struct fly_input *input)
{
    fail_looks(stage);
    close_session(stage);
    stage->info = input->info;
    input->info = NULL;
    stage->draining = stage->ended = 0;
    stage->range_told = stage->names_waiting = 0;
    stage->told = (struct fly_engine_counts){0};
    stage->trace = (struct fly_trace){.len = 0};
    memset(stage->clusters_due, 0, sizeof stage->clusters_due);
    memset(stage->news, 0, sizeof stage->news);
    stage->unknown_regions = 0;
    stage->quality = (struct fly_quality_watch){0};
    stage->quality_due = 0; /* not before data: a producer may take a warning for the refusal of its start */
    stage->quality_ns = 0;
    stage->dose_ns = 0;
    memset(stage->begun, 0, sizeof stage->begun);
    stage->n_shifts_owed = 0;
    memset(stage->shift_told, 0, sizeof stage->shift_told);
    memset(stage->refusal_ns, 0, sizeof stage->refusal_ns);
    stage->shown = 0;
    stage->last_ticket = input->ticket;
    memset(stage->as_of, 0, sizeof stage->as_of);
    stage->as_of[0] = input->as_of;
    if (fly_session_open(&stage->session, stage->info,
                         stage->info->embedder ? stage->info->embedder : stage->config.embedder, NULL, 0,
                         &stage->config.exec) < 0 ||
        fly_map_set_init(&stage->maps, fly_grid_chips(&stage->info->plan.grid), fly_maps_count(stage->info)) < 0) {
        fly_bus_event(stage->config.bus, FLY_ERROR, "session_open", NULL, 0,
                      "session %s is recorded but not analysed: %s", stage->info->id, fly_fail_text());
        fly_session_close(&stage->session);
        return;
    }
    fly_stage_steer_open(stage);
    fly_engine_set_adoption(fly_session_engine(stage->session), stage->info->options.drift.adopt);
    post_options(stage);
    if (fly_session_quantify_note(stage->session)[0])
        fly_bus_event(stage->config.bus, FLY_INFO, "quantification", NULL, 0, "%s",
                      fly_session_quantify_note(stage->session));
    if (fly_stage_recorder(stage) && !atomic_load(&stage->info->resuming) &&
        fly_journal_keep_support(fly_stage_recorder(stage), fly_stage_unix_ns(stage),
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
    fly_stage_adopt_ahead(stage, input->ingest.frame);
    fly_session_apply(stage->session, &input->ingest, input->arrival_ns, &effect);
    fly_stage_steer_data(stage, &input->ingest);
    stage->quality_due = 1;
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
        if (strncmp(name, "steer.", 6) == 0)
            fly_stage_steer_recall(stage, name, args, &input->msg.parts[1]);
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
    fly_stage_adopt_shifts(stage);
    stage->end = input->end;
    stage->draining = 1;
    if (!stage->session)
        return;
    fly_stage_mark_journal(stage, FLY_MARK_FINISH, 0);
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
static int journal_control(struct fly_stage_engine *stage, struct fly_job *job, struct fly_value value)
{
    const void *args;
    size_t args_len = fly_value_bytes(value, &args);
    int rc;

    if (!fly_stage_recorder(stage) || stage->ended)
        return FLY_OK;
    /* What was thought before it comes before it. */
    if (stage->trace.len || stage->trace.lost)
        fly_stage_mark_journal(stage, FLY_MARK_REQUEST, 0);
    rc = fly_journal_keep_request(fly_stage_recorder(stage), fly_stage_unix_ns(stage), job->request.op, args, args_len,
                             stage->last_ticket, &job->ticket);
    job->serial = stage->info->serial;
    if (rc == FLY_EAGAIN)
        return fly_fail(FLY_EAGAIN, "the recording is behind: nothing was changed, try again");
    return rc;
}

static void act(struct fly_stage_engine *stage, struct fly_job *job, void *room)
{
    struct fly_value args = fly_session_control_args(stage->session, job->request.op, job->request.args, room);
    struct fly_pack result;
    const char *code;

    if (journal_control(stage, job, args) < 0) {
        job_failed(job, "not_recorded", fly_fail_text());
        return;
    }
    fly_pack_init(&result, job->result, FLY_RESULT_CAP);
    if (fly_session_control(stage->session, job->request.op, args, &result, &code) < 0) {
        job_failed(job, code, fly_fail_text());
        return;
    }
    job->ok = 1;
    job->result_len = result.len;
    stage->urgent = 1;
    post_options(stage);
}

static void run_change(struct fly_stage_engine *stage, struct fly_job *job)
{
    void *room;

    if (!stage->session) {
        job_failed(job, "no_session", "there is no session yet");
        return;
    }
    if (atomic_load(&stage->info->resuming)) {
        job_failed(job, "resuming", "the session is being read back from its recording, try again");
        return;
    }
    job->result = malloc(FLY_RESULT_CAP);
    room = malloc(FLY_HEADER_MAX);
    if (job->result && room)
        act(stage, job, room);
    else
        job_failed(job, "memory", "no memory for the reply");
    free(room);
}

static void take_job(struct fly_stage_engine *stage, struct fly_job *job)
{
    const char *op = job->request.op;

    if (fly_session_control_known(op)) {
        run_change(stage, job);
        /* The map shows the change before the answer says that it did. */
        if (job->ok && stage->session)
            fly_stage_cut_epoch(stage, stage->ended);
        reply(stage, job);
    } else if (fly_look_is_exact(job) && stage->session) {
        stage->exact[stage->n_exact++] = job;
    } else if (strcmp(op, "graph.curve") == 0 && stage->session) {
        stage->curves[stage->n_curves++] = job;
    } else if (strcmp(op, "crystallinity.get") == 0 && stage->session) {
        stage->crystals[stage->n_crystals++] = job;
    } else if (fly_sweep_known(op) && stage->session) {
        stage->sweeps[stage->n_sweeps++] = job;
    } else if (fly_overview_known(op) && stage->session) {
        fly_overview(stage->session, job);
        reply(stage, job);
    } else if (strcmp(op, "dose.get") == 0 && stage->session) {
        fly_dose_get(stage->session, job, stage->as_of);
        reply(stage, job);
    } else {
        fly_look(stage->session, job, stage->as_of, stage->draining, fly_stage_unix_ns(stage));
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

/* Some chips of a map of crystallinity; 1: there was one to make. */
static int step_crystal(struct fly_stage_engine *stage)
{
    struct fly_job *job = stage->crystals[0];

    if (!stage->n_crystals)
        return 0;
    if (!fly_crystal_step(&stage->crystal_next, stage->session, job, &stage->config.clock))
        return 1;
    stage->crystal_next = 0;
    memmove(stage->crystals, stage->crystals + 1, (size_t)--stage->n_crystals * sizeof job);
    reply(stage, job);
    return 1;
}

/* A part of a scan or of a region; 1: there was one to read. */
static int step_sweep(struct fly_stage_engine *stage)
{
    struct fly_job *job = stage->sweeps[0];

    if (!stage->n_sweeps)
        return 0;
    if (!fly_sweep_step(&stage->sweep, stage->session, job))
        return 1;
    memmove(stage->sweeps, stage->sweeps + 1, (size_t)--stage->n_sweeps * sizeof job);
    reply(stage, job);
    return 1;
}

/* Their session is gone. */
static void fail_looks(struct fly_stage_engine *stage)
{
    for (int32_t i = 0; i < stage->n_curves; i++) {
        job_failed(stage->curves[i], "no_session", "the session ended before its curve was made");
        reply(stage, stage->curves[i]);
    }
    for (int32_t i = 0; i < stage->n_crystals; i++) {
        job_failed(stage->crystals[i], "no_session", "the session ended before its crystallinity was measured");
        reply(stage, stage->crystals[i]);
    }
    for (int32_t i = 0; i < stage->n_sweeps; i++) {
        job_failed(stage->sweeps[i], "no_session", "the session ended before it was looked at");
        reply(stage, stage->sweeps[i]);
    }
    fly_sweep_fini(&stage->sweep);
    stage->n_curves = stage->curve_begun = stage->n_crystals = stage->crystal_next = stage->n_sweeps = 0;
}

/* ---- the turn ---------------------------------------------------------------------------------- */

static void end_session(struct fly_stage_engine *stage)
{
    struct fly_bus *bus = stage->config.bus;

    if (stage->session) {
        fly_stage_cut_epoch(stage, 1);
        for (int m = 0; m < FLY_MAPS; m++)
            fly_stage_tell_clusters(stage, m);
        fly_stage_tell_quality(stage, 1);
        fly_stage_tell_dose(stage, 1);
        stage->end.complete = fly_look_complete(stage->session);
    }
    stage->ended = 1;
    fly_bus_end_session(bus, &stage->end);
    atomic_store_explicit(&stage->done_serial, stage->end.serial, memory_order_release);
}

/* Features that no epoch has shown yet. */
static uint64_t unshown(const struct fly_stage_engine *stage)
{
    struct fly_engine_counts counts;

    fly_engine_count(fly_session_engine(stage->session), &counts);
    return counts.features_changed - stage->shown;
}

static int has_news(const struct fly_stage_engine *stage)
{
    return unshown(stage) > 0 || fly_engine_regrouped(fly_session_engine(stage->session));
}

/* Maps have come to rest and do not yet look like what they are. */
static int should_settle(const struct fly_stage_engine *stage)
{
    return fly_engine_unsettled(fly_session_engine(stage->session)) &&
           stage->config.clock.mono_ns(stage->config.clock.ctx) - stage->epoch_ns >= SETTLE_NS;
}

/* An epoch for each row of chips, and whenever nothing waits but news. */
static int is_due(const struct fly_stage_engine *stage)
{
    return unshown(stage) >= (uint64_t)stage->info->plan.grid.cols || should_settle(stage) ||
           (has_news(stage) && !fly_engine_busy(fly_session_engine(stage->session)) &&
            fly_ring_len(&stage->inputs) == 0);
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
    while (stage->n_exact < FLY_STAGE_JOBS && stage->n_curves < FLY_STAGE_JOBS && stage->n_crystals < FLY_STAGE_JOBS &&
           stage->n_sweeps < FLY_STAGE_JOBS && (job = fly_ring_pop(&stage->jobs))) {
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
    /* A decision need not wait for thinking that makes no other maps. */
    did |= !has_news(stage) && fly_stage_steer(stage);
    /* After the end, too: a request may have changed what chips are made of. */
    stepped = fly_session_step(stage->session) == FLY_OK;
    if (stepped) {
        stage->quality_due = 1;
        fly_trace_step(&stage->trace, stage->last_ticket);
        fly_crash_here(FLY_CRASH_EMBEDDED);
    }
    fly_stage_tell_range(stage);
    if (stage->urgent || is_due(stage))
        fly_stage_cut_epoch(stage, stage->ended);
    did |= fly_stage_steer(stage); /* from these maps, and before what takes longer */
    fly_stage_tell_next_clusters(stage);
    fly_stage_tell_quality(stage, 0);
    fly_stage_tell_dose(stage, 0);
    if (!stepped)
        fly_stage_tell_waiting(stage);
    if (!stepped && stage->n_exact) {
        /* After the end too, where chips changed while the next session waits at the door. */
        if (!stage->ended || has_news(stage))
            fly_stage_cut_epoch(stage, stage->ended);
        for (int32_t i = 0; i < stage->n_exact; i++) {
            fly_look(stage->session, stage->exact[i], stage->as_of, stage->draining, fly_stage_unix_ns(stage));
            reply(stage, stage->exact[i]);
        }
        stage->n_exact = 0;
        did = 1;
    }
    if (!stepped && stage->draining && !stage->ended)
        end_session(stage);
    did |= step_curve(stage);
    did |= step_sweep(stage);
    return step_crystal(stage) || did || stepped;
}
