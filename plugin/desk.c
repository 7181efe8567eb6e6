#include "plugin/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/helm_desk.h"
#include "plugin/look.h"
#include "plugin/options_pack.h"
#include "plugin/ring.h"
#include "plugin/roles.h"

enum { REQUESTS_A_TURN = 32, REPLY_CAP = FLY_RESULT_CAP + 8192 };
#define DURABLE_WAIT_NS (10 * INT64_C(1000000000))

static const char *const ops[] = {"status",       "map.get",      "chip.get",   "support.add", "support.remove",
                                  "class.rename", "class.remove", "params.set", "frame.shift",
                                  "graph.curve",  "cluster.name", "cluster.role", "crystallinity.get",
                                  "image.get",    "region.get",   "elements.get", "support.get", "changes.get",
                                  "dose.get",     "steer.attach", "steer.detach", "steer.decide", "steer.hold",
                                  "steer.resume"};

void fly_job_free(struct fly_job *job)
{
    fly_msg_close(&job->msg);
    free(job->result);
    for (int i = 0; i < FLY_JOB_PAYLOADS; i++)
        free(job->payload[i]);
    free(job);
}

void fly_desk_close(struct fly_stage_publish *s)
{
    struct fly_job *job;

    for (int32_t i = 0; i < s->n_waiting; i++)
        fly_job_free(s->waiting[i]);
    s->n_waiting = 0;
    while ((job = fly_ring_pop(fly_stage_engine_replies(s->config.engine))))
        fly_job_free(job);
    while ((job = fly_ring_pop(fly_stage_engine_jobs(s->config.engine))))
        fly_job_free(job);
}

/* ---- replies ----------------------------------------------------------------------------------- */

static void send_reply(struct fly_stage_publish *s, struct fly_job *job)
{
    unsigned char *bytes = malloc(REPLY_CAP);
    struct fly_part parts[3 + FLY_JOB_PAYLOADS] = {job->msg.parts[0], {"", 0}};
    struct fly_pack pack;
    int32_t n = 3;

    if (bytes) {
        fly_pack_init(&pack, bytes, REPLY_CAP);
        if (job->ok) {
            fly_reply_begin(&pack, &job->request);
            if (job->result)
                fly_pack_raw(&pack, job->result, job->result_len);
            else
                fly_pack_nil(&pack);
        } else {
            fly_reply_error(&pack, &job->request, job->code, job->message);
            fly_count(s->config.bus, FLY_COUNT_REQUEST_ERRORS, 1);
        }
        parts[2] = (struct fly_part){bytes, pack.len};
        for (int i = 0; job->ok && i < job->n_payloads; i++)
            parts[n++] = (struct fly_part){job->payload[i], job->payload_len[i]};
        /* Whoever asked may be gone: nobody is left to tell. */
        if (fly_endpoint_send(s->config.control, parts, n) < 0)
            fly_count(s->config.bus, FLY_COUNT_REQUEST_ERRORS, 1);
    }
    free(bytes);
    fly_job_free(job);
}

static void fail_job(struct fly_job *job, const char *code, const char *text)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "%s", code);
    snprintf(job->message, sizeof job->message, "%s", text);
}

/* 1: the change is on disk, or will never be asked about again. */
static int is_durable(struct fly_stage_publish *s, struct fly_job *job, int64_t now)
{
    struct fly_bus *bus = s->config.bus;
    int there;

    if (!job->ticket)
        return 1;
    pthread_mutex_lock(&bus->lock);
    there = bus->durable_serial > job->serial ||
            (bus->durable_serial == job->serial && bus->durable_ticket >= job->ticket);
    pthread_mutex_unlock(&bus->lock);
    if (!there && now >= job->wait_until_ns) {
        fail_job(job, "not_durable", "the change is in force, but the disk has not taken it within 10 s: a "
                                     "crash now would undo it");
        return 1;
    }
    return there;
}

int fly_desk_replies(struct fly_stage_publish *s)
{
    int64_t now = s->config.clock.mono_ns(s->config.clock.ctx);
    struct fly_job *job;
    int did = 0;

    while (s->n_waiting < FLY_DESK_JOBS && (job = fly_ring_pop(fly_stage_engine_replies(s->config.engine)))) {
        s->jobs_out--;
        if (!job->ok)
            job->ticket = 0; /* nothing was changed: nothing to wait for */
        job->wait_until_ns = now + DURABLE_WAIT_NS;
        s->waiting[s->n_waiting++] = job;
    }
    for (int32_t i = 0; i < s->n_waiting;) {
        if (!is_durable(s, s->waiting[i], now)) {
            i++;
            continue;
        }
        send_reply(s, s->waiting[i]);
        s->waiting[i] = s->waiting[--s->n_waiting];
        did = 1;
    }
    return did;
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void pack_pair(struct fly_pack *pack, const char *key, double y, double x)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, y);
    fly_pack_f64(pack, x);
}

/* What a supervisor has to know of the scan, which has no business at the publish socket. */
static void pack_scan(const struct fly_session_info *info, struct fly_pack *pack)
{
    const struct fly_grid *grid = &info->plan.grid;

    fly_pack_map(pack, 9);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, info->id);
    fly_pack_str(pack, "shape_px");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, info->start.height_px);
    fly_pack_int(pack, info->start.width_px);
    fly_pack_str(pack, "frames_planned");
    if (info->start.frames_planned > 0)
        fly_pack_int(pack, info->start.frames_planned);
    else
        fly_pack_nil(pack);
    pack_pair(pack, "pixel_nm", info->plan.pixel_nm[0], info->plan.pixel_nm[1]);
    fly_pack_str(pack, "beam_current_na");
    fly_pack_f64(pack, info->start.beam_current_na);
    fly_pack_str(pack, "pixel_time_us");
    fly_pack_f64(pack, info->start.pixel_time_us);
    fly_pack_str(pack, "grid_shape");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, grid->rows);
    fly_pack_int(pack, grid->cols);
    fly_pack_str(pack, "chip_px");
    fly_pack_int(pack, grid->side_px);
    fly_pack_str(pack, "pitch_px");
    fly_pack_int(pack, grid->pitch_px);
}

static void pack_status(struct fly_stage_publish *s, struct fly_pack *pack)
{
    struct fly_bus *bus = s->config.bus;
    struct fly_pub_streams streams = {0};
    struct fly_status status;
    int in_session;

    pthread_mutex_lock(&bus->lock);
    status = bus->status;
    pthread_mutex_unlock(&bus->lock);
    in_session = status.n_streams > 0;
    if (s->stopped && s->info && strcmp(s->info->id, status.session) == 0)
        status.state = FLY_IDLE; /* its stop is out: what is left is to close the file */
    fly_pack_map(pack, 15);
    fly_pack_str(pack, "state");
    fly_pack_str(pack, fly_state_name(status.state));
    fly_pack_str(pack, "session");
    fly_pack_str(pack, status.session);
    streams.count = status.n_streams;
    for (int32_t i = 0; i < status.n_streams; i++) {
        streams.names[i] = status.stream[i];
        streams.seq[i] = status.last_seq[i];
    }
    fly_pack_str(pack, "last_seq");
    fly_pub_pack_streams(pack, &streams);
    for (int32_t i = 0; i < status.n_streams; i++)
        streams.seq[i] = status.durable_seq[i];
    fly_pack_str(pack, "durable_seq");
    fly_pub_pack_streams(pack, &streams);
    fly_pack_str(pack, "grid_shape");
    if (in_session) {
        fly_pack_array(pack, 2);
        fly_pack_int(pack, status.grid_rows);
        fly_pack_int(pack, status.grid_cols);
    } else {
        fly_pack_nil(pack);
    }
    fly_pack_str(pack, "scan");
    if (s->info)
        pack_scan(s->info, pack);
    else
        fly_pack_nil(pack);
    fly_pack_str(pack, "versions");
    fly_pack_map(pack, 2);
    fly_pack_str(pack, "flyback");
    fly_pack_str(pack, FLY_VERSION);
    fly_pack_str(pack, "protocol");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, 1);
    fly_pack_int(pack, 0);
    fly_pack_str(pack, "sockets");
    fly_pack_map(pack, 4);
    fly_pack_str(pack, "ingest");
    fly_pack_str(pack, s->config.ingest_address);
    fly_pack_str(pack, "publish");
    fly_pack_str(pack, fly_endpoint_address(s->config.publish));
    fly_pack_str(pack, "control");
    fly_pack_str(pack, fly_endpoint_address(s->config.control));
    fly_pack_str(pack, "page");
    if (s->config.page_url)
        fly_pack_str(pack, s->config.page_url);
    else
        fly_pack_nil(pack);
    fly_pack_str(pack, "config");
    fly_options_pack(pack, s->info ? &s->in_force : s->config.options);
    fly_helm_desk_status(s, pack);
    fly_pack_str(pack, "embedder");
    fly_pack_str(pack, s->info && s->info->embedder ? fly_embedder_name(s->info->embedder) : s->config.embedder);
    fly_pack_str(pack, "recording");
    fly_pack_str(pack, status.recording[0] ? status.recording : "off");
    fly_pack_str(pack, "backlog_chips");
    fly_pack_int(pack, status.backlog_chips);
    fly_pack_str(pack, "haadf_range");
    if (status.range_known) {
        fly_pack_array(pack, 2);
        fly_pack_f64(pack, status.range_lo);
        fly_pack_f64(pack, status.range_hi);
    } else {
        fly_pack_nil(pack);
    }
}

static void answer_status(struct fly_stage_publish *s, struct fly_job *job)
{
    struct fly_pack pack;

    job->result = malloc(FLY_RESULT_CAP);
    if (!job->result) {
        fail_job(job, "memory", "no memory for the reply");
        return;
    }
    fly_pack_init(&pack, job->result, FLY_RESULT_CAP);
    pack_status(s, &pack);
    job->result_len = pack.len;
    job->ok = 1;
}

/* The last published map, under its number, so that the next delta applies. */
static void answer_map(struct fly_stage_publish *s, struct fly_job *job)
{
    enum fly_refusal why;
    struct fly_pub_id id;
    int map, exact;

    if (!s->info) {
        fail_job(job, "no_session", "there is no session yet");
        return;
    }
    why = fly_map_args(job->request.args, s->info, &map);
    if (why == FLY_REFUSE_NONE)
        why = fly_arg_bool(job->request.args, "exact", 0, &exact);
    if (why != FLY_REFUSE_NONE) {
        fail_job(job, fly_refusal_name(why), fly_fail_text());
        return;
    }
    if (!s->map_seq[map]) {
        fail_job(job, "no_map", "no map of this kind was published yet");
        return;
    }
    fly_publish_keyframe(s, map, &id);
    if (fly_look_give_map(job, &id, &s->out) < 0)
        fail_job(job, "memory", fly_fail_text());
}

static int is_op(const char *op)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(op, ops[i]) == 0)
            return 1;
    return 0;
}

static void unknown_op(struct fly_job *job)
{
    size_t at = 0;

    job->ok = 0;
    snprintf(job->code, sizeof job->code, "unknown_op");
    at = (size_t)snprintf(job->message, sizeof job->message, "op '%.64s' is not known; known are", job->request.op);
    for (size_t i = 0; i < sizeof ops / sizeof *ops && at < sizeof job->message; i++)
        at += (size_t)snprintf(job->message + at, sizeof job->message - at, "%s %s", i ? "," : "", ops[i]);
}

static void forbid(struct fly_stage_publish *s, struct fly_job *job)
{
    fail_job(job, "forbidden", fly_fail_text());
    fly_bus_refuse_peer(s->config.bus, job->message);
}

/* Said, not asked: there is no reply. */
static void take_ack(struct fly_stage_publish *s, struct fly_msg *msg)
{
    if (fly_roles_may(msg, "ack", fly_value_root("\x80", 1)) < 0)
        fly_bus_refuse_peer(s->config.bus, fly_fail_text());
    else
        fly_helm_desk_ack(s, msg);
    fly_msg_close(msg);
}

/* Its answer, or 0: the op is another's. With no room for one more that waits for the disk, a hold is not kept waiting. */
static int steer(struct fly_stage_publish *s, struct fly_job *job)
{
    int full = s->n_waiting >= FLY_DESK_JOBS;

    if (full && strncmp(job->request.op, "steer.", 6) == 0 && strcmp(job->request.op, "steer.hold") != 0) {
        fail_job(job, "busy", "too many requests are waiting, try again");
        return 1;
    }
    if (!fly_helm_desk_request(s, job))
        return 0;
    if (full && job->ticket) {
        job->ticket = 0;
        fail_job(job, "not_recorded", "steering is held, but too many requests wait for the disk: whether it took this "
                                      "one is not known; say it again");
    }
    return 1;
}

/* Sent once what it changed is on disk. */
static void send_durable(struct fly_stage_publish *s, struct fly_job *job)
{
    if (!job->ticket) {
        send_reply(s, job);
        return;
    }
    job->wait_until_ns = s->config.clock.mono_ns(s->config.clock.ctx) + DURABLE_WAIT_NS;
    s->waiting[s->n_waiting++] = job;
}

static void take_request(struct fly_stage_publish *s, struct fly_msg *msg)
{
    struct fly_job *job = calloc(1, sizeof *job);
    enum fly_refusal why;
    void *item = job;

    if (!job || msg->n_parts < 3 || msg->parts[1].len != 0) {
        /* No empty part, so neither a REQ nor a DEALER that keeps the protocol: there is no way to answer it. */
        fly_count(s->config.bus, FLY_COUNT_REQUEST_ERRORS, 1);
        free(job);
        fly_msg_close(msg);
        return;
    }
    if (fly_control_type_of(&msg->parts[2]) == FLY_CONTROL_ACK) {
        free(job);
        take_ack(s, msg);
        return;
    }
    job->msg = *msg;
    why = fly_request_decode(&job->request, job->msg.parts + 2, job->msg.n_parts - 2);
    if (why != FLY_REFUSE_NONE) {
        fail_job(job, fly_refusal_name(why), fly_fail_text());
    } else if (!is_op(job->request.op)) {
        unknown_op(job);
    } else if (fly_roles_may(&job->msg, job->request.op, job->request.args) < 0) {
        forbid(s, job);
    } else if (fly_helm_desk_heard(s, &job->msg), steer(s, job)) {
        send_durable(s, job);
        return;
    } else if (strcmp(job->request.op, "status") == 0) {
        why = fly_helm_desk_asked(s, &job->msg, job->request.args);
        if (why != FLY_REFUSE_NONE)
            fail_job(job, fly_refusal_name(why), fly_fail_text());
        else
            answer_status(s, job);
    } else if (strcmp(job->request.op, "map.get") == 0 && !fly_look_is_exact(job)) {
        answer_map(s, job);
    } else if (s->jobs_out + s->n_waiting >= FLY_DESK_JOBS ||
               fly_ring_push(fly_stage_engine_jobs(s->config.engine), &item) != FLY_OK) {
        fail_job(job, "busy", "too many requests are waiting, try again");
    } else {
        s->jobs_out++;
        return;
    }
    send_reply(s, job);
}

int fly_desk_requests(struct fly_stage_publish *s)
{
    struct fly_msg msg;
    int n = 0;

    if (atomic_load(&s->config.bus->reading_back))
        return 0;
    fly_helm_desk_begin(s); /* what a recording says of steering counts before the first request */
    while (n < REQUESTS_A_TURN && fly_endpoint_recv(s->config.control, &msg) == FLY_OK) {
        fly_count(s->config.bus, FLY_COUNT_REQUESTS, 1);
        take_request(s, &msg);
        n++;
    }
    return n > 0;
}
