#include "plugin/stage_ingest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/ingest_session.h"
#include "plugin/resume.h"

enum {
    POOL_INPUTS = 2048,
    MESSAGES_A_TURN = 256,
};
#define HEARTBEAT_LATE_NS (5 * INT64_C(1000000000))

struct fly_stage_ingest {
    struct fly_stage_ingest_config config;
    struct fly_input *pool;   /* (POOL_INPUTS) */
    struct fly_input **spare; /* stack */
    int32_t n_spare;
    size_t bytes_out;         /* of messages the engine holds */
    int wake_fd;

    struct fly_ingest_session session; /* open, or the last one */
    struct fly_resume *resume;         /* while a recording is read back */
    struct fly_recorder *appending;    /* that recording, until the session takes it */
    struct fly_start *start;           /* scratch of decode */

    struct fly_msg hand; /* taken from the socket, not yet accepted */
    int has_hand, stalled;
    int heartbeat_told;
};

int fly_stage_ingest_open(struct fly_stage_ingest **out, const struct fly_stage_ingest_config *config)
{
    struct fly_stage_ingest *stage = calloc(1, sizeof *stage);

    if (!stage)
        return fly_fail(FLY_ENOMEM, "ingest stage: no memory for its handle");
    stage->config = *config;
    stage->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    stage->pool = calloc(POOL_INPUTS, sizeof *stage->pool);
    stage->spare = calloc(POOL_INPUTS, sizeof *stage->spare);
    stage->start = calloc(1, sizeof *stage->start);
    if (stage->wake_fd < 0 || !stage->pool || !stage->spare || !stage->start) {
        fly_stage_ingest_close(&stage);
        return fly_fail(FLY_ENOMEM, "ingest stage: no memory for its queue");
    }
    for (int32_t i = 0; i < POOL_INPUTS; i++)
        stage->spare[stage->n_spare++] = &stage->pool[i];
    fly_ingest_session_init(&stage->session, &stage->config, stage->wake_fd);
    *out = stage;
    return FLY_OK;
}

void fly_stage_ingest_close(struct fly_stage_ingest **stage)
{
    struct fly_stage_ingest *s = *stage;

    if (!s)
        return;
    fly_resume_close(&s->resume);
    if (s->appending && fly_recorder_close(&s->appending) < 0)
        fly_bus_event(s->config.bus, FLY_ERROR, "recording", NULL, 0, "%s", fly_fail_text());
    /* Asked to stop between its final maps and the end of its recording: a restart would do all of it again. */
    if (s->session.phase == FLY_PHASE_DRAINING &&
        fly_stage_engine_done(s->config.engine) >= s->session.info->serial)
        fly_ingest_session_end(&s->session);
    fly_ingest_session_fini(&s->session);
    if (s->has_hand)
        fly_msg_close(&s->hand);
    /* What the engine stage did not come to. */
    for (int32_t i = 0; s->pool && i < POOL_INPUTS; i++) {
        fly_msg_close(&s->pool[i].msg);
        free(s->pool[i].copy);
        fly_session_info_drop(&s->pool[i].info);
    }
    free(s->pool);
    free(s->spare);
    free(s->start);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    free(s);
    *stage = NULL;
}

int fly_stage_ingest_resume(struct fly_stage_ingest *stage)
{
    const struct fly_options *options = stage->config.options;
    char path[FLY_OPTION_TEXT_CAP + 280];
    int rc;

    if (!fly_resume_find(path, sizeof path, options, &stage->config.disk))
        return FLY_OK;
    rc = fly_ingest_session_append(&stage->session, path, &stage->appending);
    if (rc == FLY_OK)
        rc = fly_resume_open(&stage->resume, path, options, &stage->config.disk);
    atomic_store(&stage->config.bus->reading_back, rc == FLY_OK);
    if (rc < 0) {
        /* Told, and left as it is: an old session must not keep a new one from running. */
        fly_bus_event(stage->config.bus, FLY_ERROR, "resume", NULL, 0, "%s is not gone on with: %s", path,
                      fly_fail_text());
        if (stage->appending && fly_recorder_close(&stage->appending) < 0)
            fly_bus_event(stage->config.bus, FLY_ERROR, "recording", NULL, 0, "%s", fly_fail_text());
    }
    return FLY_OK;
}

void fly_stage_ingest_wake(struct fly_stage_ingest *stage)
{
    fly_wake(stage->wake_fd);
}

void fly_stage_ingest_wait(struct fly_stage_ingest *stage, int32_t timeout_ms)
{
    /* With a message in hand the socket is not read: the engine's progress is what we wait for. */
    int reading = !stage->has_hand && !stage->resume;
    int rc = fly_net_wait(&stage->config.endpoint, reading, 0, stage->wake_fd,
                          reading || timeout_ms < 1 ? timeout_ms : 1);

    if (rc == FLY_OK)
        fly_wake_clear(stage->wake_fd);
}

/* ---- inputs ------------------------------------------------------------------------------------ */

static void collect_spent(struct fly_stage_ingest *stage)
{
    struct fly_input *input;

    while ((input = fly_ring_pop(fly_stage_engine_spent(stage->config.engine)))) {
        stage->bytes_out -= input->bytes;
        free(input->copy);
        *input = (struct fly_input){0};
        stage->spare[stage->n_spare++] = input;
    }
}

/* NULL: the engine has all it may hold. A single message larger than the queue may pass alone. */
static struct fly_input *spare_input(struct fly_stage_ingest *stage, size_t bytes)
{
    size_t cap = (size_t)stage->config.options->ingest.queue_mib << 20;

    if (!stage->n_spare || (stage->bytes_out && stage->bytes_out + bytes > cap))
        return NULL;
    return stage->spare[--stage->n_spare];
}

static void give(struct fly_stage_ingest *stage, struct fly_input *input, size_t bytes)
{
    void *item = input;

    input->bytes = bytes;
    stage->bytes_out += bytes;
    FLY_ASSERT(fly_ring_push(fly_stage_engine_inputs(stage->config.engine), &item) == FLY_OK);
}

static int give_open(struct fly_stage_ingest *stage)
{
    struct fly_input *input = spare_input(stage, 0);

    if (!input)
        return FLY_EAGAIN;
    input->kind = FLY_INPUT_OPEN;
    input->info = fly_session_info_hold(stage->session.info);
    input->as_of = fly_sequence_as_of(&stage->session.sequences[0]);
    input->ticket = stage->session.start_ticket;
    give(stage, input, 0);
    fly_ingest_session_announce(&stage->session);
    return FLY_OK;
}

static int give_stop(struct fly_stage_ingest *stage)
{
    struct fly_input *input = spare_input(stage, 0);

    if (!input)
        return FLY_EAGAIN;
    input->kind = FLY_INPUT_STOP;
    input->end = stage->session.end;
    input->as_of = fly_sequence_as_of(&stage->session.sequences[0]);
    give(stage, input, 0);
    stage->session.phase = FLY_PHASE_DRAINING;
    return FLY_OK;
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* FLY_OK: dealt with. FLY_EAGAIN: the old session must end first, hold the message. */
static int take_start(struct fly_stage_ingest *stage, const struct fly_ingest *msg, struct fly_msg *raw)
{
    struct fly_ingest_session *session = &stage->session;
    struct fly_bus *bus = stage->config.bus;

    if (session->info && strcmp(session->info->id, msg->session) == 0) {
        const struct fly_part first = {session->info->header, session->info->header_len};

        if (session->phase < FLY_PHASE_DRAINING && fly_start_same(&first, &raw->parts[0]))
            fly_ingest_session_repeat(session, msg, raw);
        else if (session->phase == FLY_PHASE_RUNNING || session->phase == FLY_PHASE_STOPPING) {
            fly_ingest_session_use_up(session, FLY_REFUSE_SESSION_REUSED, msg, raw);
            fly_bus_refuse(bus, FLY_REFUSE_SESSION_REUSED, "this session is open with another start");
        } else {
            fly_bus_refuse(bus, FLY_REFUSE_SESSION_REUSED,
                           "this session was stopped; a new one needs an id of its own");
        }
        return FLY_OK;
    }
    if (fly_ingest_session_known(session, msg->session)) {
        fly_bus_refuse(bus, FLY_REFUSE_SESSION_REUSED,
                       "a recording of this id exists; a new session needs an id of its own");
        return FLY_OK;
    }
    /* A start that cannot be must not end the session that runs. */
    if (fly_ingest_session_may_begin(session, msg, stage->start, &raw->parts[0]) < 0) {
        fly_bus_refuse(bus, FLY_REFUSE_BAD_VALUE, fly_fail_text());
        return FLY_OK;
    }
    if (session->phase == FLY_PHASE_RUNNING)
        fly_ingest_session_abort(session, "another session began");
    if (session->phase == FLY_PHASE_STOPPING)
        session->stop_deadline_ns = INT64_MIN; /* it said what it had to: what is missing is not waited for */
    if (session->phase >= FLY_PHASE_STOPPING && session->phase <= FLY_PHASE_DRAINING)
        return FLY_EAGAIN;
    if (stage->n_spare < 2)
        return FLY_EAGAIN;
    if (fly_ingest_session_begin(session, msg, stage->start, raw, stage->config.step_chips) < 0) {
        fly_bus_refuse(bus, FLY_REFUSE_BAD_VALUE, fly_fail_text());
        return FLY_OK;
    }
    stage->heartbeat_told = 0;
    FLY_ASSERT(give_open(stage) == FLY_OK);
    return FLY_OK;
}

static int take_data(struct fly_stage_ingest *stage, const struct fly_ingest *msg, struct fly_msg *raw)
{
    struct fly_input *input = spare_input(stage, raw->bytes);
    struct fly_ingest_session *session = &stage->session;

    if (!input)
        return FLY_EAGAIN;
    fly_crash_here(FLY_CRASH_ARRIVAL);
    if (!fly_ingest_session_accept(session, msg, raw, &input->ticket)) {
        stage->spare[stage->n_spare++] = input;
        return FLY_OK;
    }
    fly_crash_here(FLY_CRASH_RECORDED);
    fly_count(stage->config.bus, msg->type == FLY_INGEST_LINES ? FLY_COUNT_LINES : FLY_COUNT_EDS, 1);
    input->kind = FLY_INPUT_DATA;
    input->ingest = *msg;
    input->msg = *raw;
    raw->owner = NULL;
    raw->n_parts = 0;
    input->as_of = fly_sequence_as_of(&session->sequences[msg->stream_idx]);
    input->arrival_ns = stage->config.clock.mono_ns(stage->config.clock.ctx);
    give(stage, input, raw->bytes);
    return FLY_OK;
}

static void take_refused(struct fly_stage_ingest *stage, enum fly_refusal why, const struct fly_ingest *msg,
                         const struct fly_msg *raw)
{
    struct fly_ingest_session *session = &stage->session;
    char text[480];

    snprintf(text, sizeof text, "%s", fly_fail_text());
    /* A number that could be read is used up, or the gap would never close. */
    if (session->phase == FLY_PHASE_RUNNING || session->phase == FLY_PHASE_STOPPING)
        fly_ingest_session_use_up(session, why, msg, raw);
    fly_bus_refuse(stage->config.bus, why, text);
}

static int take_message(struct fly_stage_ingest *stage, struct fly_msg *raw)
{
    struct fly_ingest_session *session = &stage->session;
    struct fly_session_view open = fly_ingest_session_view(session);
    struct fly_ingest msg;
    enum fly_refusal why;
    uint64_t ticket;

    why = fly_ingest_decode(&msg, stage->start, raw->parts, raw->n_seen > FLY_PARTS_MAX ? FLY_PARTS_MAX + 1 : raw->n_parts, &open);
    if (why != FLY_REFUSE_NONE) {
        take_refused(stage, why, &msg, raw);
        return FLY_OK;
    }
    switch (msg.type) {
    case FLY_INGEST_START:
        return take_start(stage, &msg, raw);
    case FLY_INGEST_LINES:
    case FLY_INGEST_EDS:
        if (fly_ingest_session_takes(session, raw) < 0) {
            take_refused(stage, FLY_REFUSE_OVERSIZE, &msg, raw);
            return FLY_OK;
        }
        return take_data(stage, &msg, raw);
    case FLY_INGEST_HEARTBEAT:
        session->heartbeat_ns = stage->config.clock.mono_ns(stage->config.clock.ctx);
        stage->heartbeat_told = 0;
        fly_ingest_session_accept(session, &msg, raw, &ticket);
        return FLY_OK;
    case FLY_INGEST_SKIP:
        fly_ingest_session_accept(session, &msg, raw, &ticket);
        return FLY_OK;
    case FLY_INGEST_STOP:
        if (fly_ingest_session_accept(session, &msg, raw, &ticket))
            fly_ingest_session_stop(session, &msg);
        return FLY_OK;
    }
    return FLY_OK;
}

/* ---- restart ----------------------------------------------------------------------------------- */

static void end_resume(struct fly_stage_ingest *stage)
{
    fly_resume_close(&stage->resume);
    fly_ingest_session_tell(&stage->session); /* the first answer knows the numbers that are on disk */
    if (stage->session.info)
        atomic_store(&stage->session.info->resuming, 0);
    fly_stage_engine_wake(stage->config.engine);
    atomic_store(&stage->config.bus->reading_back, 0);
    fly_bus_wake_publisher(stage->config.bus);
}

/* One record of an unfinished recording: the same way as from the socket, but it is on disk already. */
static int take_recorded(struct fly_stage_ingest *stage)
{
    struct fly_ingest_session *session = &stage->session;
    struct fly_resumed r;
    struct fly_input *input;
    int rc;

    if (stage->n_spare < 2 || stage->bytes_out > (size_t)stage->config.options->ingest.queue_mib << 20)
        return 0;
    rc = fly_resume_next(stage->resume, session, stage->start, &r);
    if (rc == FLY_EAGAIN) {
        /* A request of today must not overtake what was recorded: the engine takes all of that first. */
        if (stage->n_spare < POOL_INPUTS)
            return 0;
        if (session->info)
            fly_ingest_session_reopen(session, &stage->appending);
        end_resume(stage);
        return 1;
    }
    if (rc < 0) {
        fly_bus_event(stage->config.bus, FLY_ERROR, "resume", NULL, 0, "%s: %s",
                      fly_resume_path(stage->resume), fly_fail_text());
        end_resume(stage);
        if (session->phase == FLY_PHASE_RUNNING || session->phase == FLY_PHASE_STOPPING)
            fly_ingest_session_abort(session, "its recording cannot be read on");
        return 1;
    }
    switch (r.what) {
    case FLY_RESUMED_NOTHING:
        return 1;
    case FLY_RESUMED_START:
        stage->heartbeat_told = 0;
        FLY_ASSERT(give_open(stage) == FLY_OK);
        return 1;
    case FLY_RESUMED_DATA:
    case FLY_RESUMED_CONTROL:
        input = spare_input(stage, 0);
        FLY_ASSERT(input); /* looked for above */
        input->kind = r.what == FLY_RESUMED_DATA ? FLY_INPUT_DATA : FLY_INPUT_CONTROL;
        input->ingest = r.ingest;
        input->copy = r.copy;
        input->ticket = r.ticket;
        if (r.what == FLY_RESUMED_DATA)
            input->as_of = fly_sequence_as_of(&session->sequences[r.ingest.stream_idx]);
        else
            input->msg = (struct fly_msg){.parts = {{r.copy, r.bytes}, {r.more, r.more_len}}, .n_parts = r.more ? 2 : 1};
        give(stage, input, r.bytes);
        return 1;
    }
    return 1;
}

/* ---- the turn ---------------------------------------------------------------------------------- */

static void watch_heartbeat(struct fly_stage_ingest *stage, int64_t now)
{
    struct fly_ingest_session *session = &stage->session;

    if (session->phase != FLY_PHASE_RUNNING || stage->heartbeat_told ||
        now - session->heartbeat_ns < HEARTBEAT_LATE_NS)
        return;
    stage->heartbeat_told = 1;
    fly_bus_event(stage->config.bus, FLY_WARNING, "heartbeat_missing", NULL, 0,
                  "no heartbeat from the instrument of session %s for 5 s", session->info->id);
}

static int advance_session(struct fly_stage_ingest *stage)
{
    struct fly_ingest_session *session = &stage->session;
    int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    watch_heartbeat(stage, now);
    if (session->phase == FLY_PHASE_ABORTING ||
        (session->phase == FLY_PHASE_STOPPING && !stage->resume &&
         fly_ingest_session_all_here(session, now)))
        return give_stop(stage) == FLY_OK;
    if (session->phase == FLY_PHASE_DRAINING &&
        fly_stage_engine_done(stage->config.engine) >= session->info->serial) {
        fly_ingest_session_end(session);
        return 1;
    }
    return 0;
}

int fly_stage_ingest_step(struct fly_stage_ingest *stage)
{
    struct fly_bus *bus = stage->config.bus;
    int did = 0;

    collect_spent(stage);
    if (stage->resume)
        did = take_recorded(stage);
    for (int i = 0; !stage->resume && i < MESSAGES_A_TURN; i++) {
        if (!stage->has_hand) {
            if (fly_endpoint_recv(stage->config.endpoint, &stage->hand) != FLY_OK)
                break;
            stage->has_hand = 1;
            stage->stalled = 0;
            fly_count(bus, FLY_COUNT_MESSAGES, 1);
            fly_count(bus, FLY_COUNT_BYTES, stage->hand.bytes);
        }
        if (take_message(stage, &stage->hand) == FLY_EAGAIN) {
            if (!stage->stalled)
                fly_count(bus, FLY_COUNT_INGEST_STALLS, 1);
            stage->stalled = 1;
            break;
        }
        fly_msg_close(&stage->hand);
        stage->has_hand = 0;
        did = 1;
    }
    did |= advance_session(stage);
    fly_ingest_session_tell(&stage->session);
    return did;
}
