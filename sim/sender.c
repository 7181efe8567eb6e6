#include "sim/sender.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "sim/window.h"
#include "stream/request.h"

enum {
    PUSH_HIGH_WATER = 64,      /* what sits in a socket dies with it and goes twice: keep it short */
    HEAR_HIGH_WATER = 20000,
    BURST           = 256,     /* messages sent before the ears are used again */
    ASK_EVERY_MS    = 500,
    ASK_DEAF_MS     = 100,     /* in place of heartbeats, which come as the disk does */
    HOLD_MS         = 200,     /* a message waits no longer than this for one to change places with */
    BACKOFF_MAX     = 16,
};

struct stream {
    char name[FLY_NAME_MAX + 1];
    uint64_t put, durable, last; /* last: the highest that Flyback said it had seen */
    int64_t progress_ns;         /* when durable last grew, or the first message waited for it */
    int32_t backoff;
};

struct fly_sender {
    struct fly_sender_config config;
    char session[FLY_SESSION_MAX + 1];
    struct fly_endpoint *push, *sub, *dealer;
    struct fly_window *window;
    struct stream streams[FLY_STREAMS_MAX];
    struct fly_rng rng;
    struct fly_sender_report report;
    int64_t heard_ns, asked_ns, put_ns;
    int64_t unknown_ns;  /* since when Flyback answers without knowing the session; 0: it knows it */
    int64_t start_t_ns;  /* of the last published start heard */
    uint64_t ask_id;     /* of the newest request; older replies say old things */
    int answered;        /* that request has its reply */
    int rewind_wanted;   /* its reply begins the sending anew */
    char forbidden[200]; /* Flyback's words about our role, once it does not even answer `status` */
    int deaf;            /* our key's role hears nothing that is published: status is asked all the time */
    uint64_t stop_seq;   /* 0: not finished */
};

struct fly_sender_config fly_sender_config_default(void)
{
    return (struct fly_sender_config){
        .ingest = "tcp://127.0.0.1:5570",
        .publish = "tcp://127.0.0.1:5571",
        .control = "tcp://127.0.0.1:5572",
        .window_bytes = (size_t)256 << 20,
        .window_messages = 65536,
        .resend_ms = 1500,
        .silence_ms = 3000,
        .lost_ms = 15000,
    };
}

static int64_t now_ns(const struct fly_sender *s)
{
    return s->config.clock.mono_ns(s->config.clock.ctx);
}

static int64_t ms(int64_t count)
{
    return count * 1000000;
}

static int open_socket(struct fly_sender *s, struct fly_endpoint **out, enum fly_socket socket,
                       const char *address, int32_t high_water)
{
    struct fly_endpoint_config config = {.socket = socket, .address = address, .high_water = high_water,
                                         .curve = s->config.curve};

    return fly_endpoint_open(out, s->config.net, &config);
}

static int subscribe(struct fly_sender *s)
{
    static const char *const always[] = {"heartbeat", "start", "stop"};
    const char *at = s->config.topics ? s->config.topics : "";
    char topic[32];
    int rc = FLY_OK;

    for (size_t i = 0; rc == FLY_OK && i < sizeof always / sizeof *always; i++)
        rc = fly_endpoint_subscribe(s->sub, always[i]);
    while (rc == FLY_OK && *at) {
        size_t len = strcspn(at, " ");

        if (len >= sizeof topic)
            return fly_fail(FLY_ERANGE, "topic '%.*s' is too long", (int)len, at);
        snprintf(topic, sizeof topic, "%.*s", (int)len, at);
        if (len)
            rc = fly_endpoint_subscribe(s->sub, topic);
        at += len + (at[len] == ' ');
    }
    return rc;
}

static int check(const struct fly_sender_config *c)
{
    const struct fly_sender_faults *f = &c->faults;

    FLY_ASSERT(c->n_streams >= 1 && c->n_streams <= FLY_STREAMS_MAX);
    FLY_ASSERT(strlen(c->session) <= FLY_SESSION_MAX);
    if (!(f->drop >= 0.0 && f->drop <= 0.5))
        return fly_fail(FLY_ERANGE, "fault drop=%g, allowed are 0 .. 0.5", f->drop);
    if (!(f->duplicate >= 0.0 && f->duplicate <= 1.0))
        return fly_fail(FLY_ERANGE, "fault dup=%g, allowed are 0 .. 1", f->duplicate);
    if (f->reorder < 0 || f->reorder > 1000)
        return fly_fail(FLY_ERANGE, "fault reorder=%d, allowed are 0 .. 1000", f->reorder);
    if (c->resend_ms < 10 || c->silence_ms < 10 || c->lost_ms < 10)
        return fly_fail(FLY_ERANGE, "sender times of %d, %d and %d ms, each is 10 or more", c->resend_ms,
                        c->silence_ms, c->lost_ms);
    return FLY_OK;
}

int fly_sender_open(struct fly_sender **out, const struct fly_sender_config *config)
{
    int rc = check(config);

    if (rc < 0)
        return rc;
    struct fly_sender *s = calloc(1, sizeof *s);

    if (!s)
        return fly_fail(FLY_ENOMEM, "sender: no memory");
    s->config = *config;
    s->rng.state = fly_mix64(config->faults.seed ^ 0xFA017);
    s->report.complete = NAN;
    strcpy(s->session, config->session);
    for (int32_t i = 0; i < config->n_streams; i++) {
        FLY_ASSERT(strlen(config->streams[i]) <= FLY_NAME_MAX);
        strcpy(s->streams[i].name, config->streams[i]);
        s->streams[i].backoff = 1;
    }
    rc = fly_window_open(&s->window, config->window_bytes, config->window_messages);
    if (rc == FLY_OK)
        rc = open_socket(s, &s->push, FLY_PUSH, config->ingest, PUSH_HIGH_WATER);
    if (rc == FLY_OK)
        rc = open_socket(s, &s->sub, FLY_SUB, config->publish, HEAR_HIGH_WATER);
    if (rc == FLY_OK)
        rc = open_socket(s, &s->dealer, FLY_DEALER, config->control, 100);
    if (rc == FLY_OK)
        rc = subscribe(s);
    if (rc < 0) {
        fly_sender_close(&s);
        return rc;
    }
    *out = s;
    return FLY_OK;
}

void fly_sender_close(struct fly_sender **sender)
{
    if (!*sender)
        return;
    fly_endpoint_close(&(*sender)->push);
    fly_endpoint_close(&(*sender)->sub);
    fly_endpoint_close(&(*sender)->dealer);
    fly_window_close(&(*sender)->window);
    free(*sender);
    *sender = NULL;
}

/* ---- what Flyback says --------------------------------------------------------------------------- */

static struct stream *find_stream(struct fly_sender *s, const char *name, size_t len)
{
    for (int32_t i = 0; i < s->config.n_streams; i++)
        if (strlen(s->streams[i].name) == len && !memcmp(s->streams[i].name, name, len))
            return &s->streams[i];
    return NULL;
}

static void take_durable(struct fly_sender *s, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;
    const char *name;
    uint64_t seq;
    size_t len;

    if (fly_value_kind(map) != FLY_KIND_MAP)
        return;
    while (fly_value_next(map, &it, &key, &value)) {
        struct stream *stream = fly_value_str(key, &name, &len) ? find_stream(s, name, len) : NULL;

        if (!stream || !fly_value_uint(value, &seq) || seq <= stream->durable)
            continue;
        stream->durable = seq;
        stream->progress_ns = now_ns(s);
        stream->backoff = 1;
        fly_window_ack(s->window, (int32_t)(stream - s->streams), seq);
    }
}

/* 1 when Flyback says to have seen less of a stream than it said before: it was another process. */
static int take_last(struct fly_sender *s, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;
    const char *name;
    uint64_t seq;
    size_t len;
    int less = 0;

    if (fly_value_kind(map) != FLY_KIND_MAP)
        return 0;
    while (fly_value_next(map, &it, &key, &value)) {
        struct stream *stream = fly_value_str(key, &name, &len) ? find_stream(s, name, len) : NULL;

        if (!stream || !fly_value_uint(value, &seq))
            continue;
        less |= seq < stream->last;
        stream->last = seq;
    }
    return less;
}

static void ask_status(struct fly_sender *s, int rewind)
{
    static const char nothing = '\0';
    unsigned char header[128];
    struct fly_pack pack;

    s->rewind_wanted |= rewind;
    /* Only the newest question's reply counts: not the next one before it is there, or long overdue. */
    if (s->asked_ns && now_ns(s) - s->asked_ns < ms(s->deaf && s->answered ? ASK_DEAF_MS : ASK_EVERY_MS))
        return;
    fly_pack_init(&pack, header, sizeof header);
    fly_request_begin(&pack, s->ask_id + 1, "status");
    fly_pack_nil(&pack);
    FLY_ASSERT(!pack.full);
    struct fly_part parts[2] = {{&nothing, 0}, {header, pack.len}};

    s->asked_ns = now_ns(s);
    /* A queue full of questions means that nobody reads them: the next try is due soon enough. */
    if (fly_endpoint_send(s->dealer, parts, 2) == FLY_OK) {
        s->ask_id++;
        s->answered = 0;
    }
}

static void begin_anew(struct fly_sender *s)
{
    s->rewind_wanted = 0;
    if (fly_window_count(s->window) == 0)
        return;
    fly_window_rewind(s->window);
    s->report.rewinds++;
    for (int32_t i = 0; i < s->config.n_streams; i++) {
        struct stream *stream = &s->streams[i];

        stream->progress_ns = now_ns(s);
        if (stream->put > stream->durable && stream->backoff < BACKOFF_MAX)
            stream->backoff *= 2;
    }
}

static void hear_heartbeat(struct fly_sender *s, const struct fly_published *message)
{
    struct fly_value map;

    if (strcmp(message->session, s->session) != 0)
        return;
    s->unknown_ns = 0;
    if (fly_value_get(message->header, "last_seq", &map) && take_last(s, map))
        ask_status(s, 1);
    if (fly_value_get(message->header, "durable_seq", &map))
        take_durable(s, map);
}

static void hear_stop(struct fly_sender *s, const struct fly_published *message)
{
    struct fly_value value;
    const char *text;
    size_t len;

    s->report.stopped = 1;
    if (fly_value_get(message->header, "complete", &value))
        (void)fly_value_f64(value, &s->report.complete);
    if (fly_value_get(message->header, "exit_status", &value) && fly_value_str(value, &text, &len))
        snprintf(s->report.exit_status, sizeof s->report.exit_status, "%.*s", (int)len, text);
}

static void hear_start(struct fly_sender *s, const struct fly_published *message)
{
    struct fly_value value;
    int resumed = 0;

    /* A resumed session with a start we had not heard: the process is a new one. */
    if (message->t_ns != s->start_t_ns && fly_value_get(message->header, "resumed", &value) &&
        fly_value_bool(value, &resumed) && resumed)
        ask_status(s, 1);
    s->start_t_ns = message->t_ns;
}

static int hear_published(struct fly_sender *s)
{
    struct fly_published message;
    struct fly_msg msg;
    int heard = 0;

    while (fly_endpoint_recv(s->sub, &msg) == FLY_OK) {
        /* What breaks the rules is not Flyback's: passed over, it proves nothing. */
        if (fly_published_decode(&message, msg.parts, msg.n_parts) == FLY_OK) {
            int ours = strcmp(message.session, s->session) == 0;

            heard = 1;
            s->heard_ns = now_ns(s);
            if (!strcmp(message.type, "heartbeat"))
                hear_heartbeat(s, &message);
            else if (ours && !strcmp(message.type, "start"))
                hear_start(s, &message);
            else if (ours && !strcmp(message.type, "stop"))
                hear_stop(s, &message);
            if (s->config.hear)
                s->config.hear(s->config.hear_ctx, &message);
        }
        fly_msg_close(&msg);
    }
    return heard;
}

/* Flyback answers and does not have our session. */
static void hear_unknown(struct fly_sender *s)
{
    if (s->stop_seq && s->streams[0].durable >= s->stop_seq) {
        s->report.stopped = 1; /* finished while we did not listen */
        return;
    }
    if (!s->unknown_ns)
        s->unknown_ns = now_ns(s);
    /* Nothing of it is durable, not even its start: it begins again, unless it has only just begun. */
    if (s->streams[0].durable == 0 && s->rewind_wanted &&
        now_ns(s) - s->streams[0].progress_ns > ms(s->config.resend_ms) * s->streams[0].backoff)
        begin_anew(s);
}

static void take_status(struct fly_sender *s, struct fly_value result)
{
    struct fly_value value;
    const char *session = "";
    size_t len = 0;

    if (fly_value_get(result, "session", &value))
        (void)fly_value_str(value, &session, &len);
    if (len != strlen(s->session) || memcmp(session, s->session, len) != 0) {
        hear_unknown(s);
        return;
    }
    s->unknown_ns = 0;
    if (fly_value_get(result, "last_seq", &value))
        (void)take_last(s, value);
    if (fly_value_get(result, "durable_seq", &value))
        take_durable(s, value);
    /* Whoever hears is told by Flyback's stop, which says more. */
    if (s->deaf && s->stop_seq && s->streams[0].durable >= s->stop_seq && fly_value_get(result, "state", &value) &&
        fly_value_str(value, &session, &len) && len == strlen("idle") && memcmp(session, "idle", len) == 0)
        s->report.stopped = 1;
    if (s->rewind_wanted)
        begin_anew(s);
}

/* Struck off the allow-list while we send: what we say is dropped from now on. */
static void take_error(struct fly_sender *s, struct fly_value error)
{
    struct fly_value value;
    const char *text;
    size_t len;

    if (!fly_value_get(error, "code", &value) || !fly_value_str(value, &text, &len) || len != strlen("forbidden") ||
        memcmp(text, "forbidden", len) != 0)
        return;
    snprintf(s->forbidden, sizeof s->forbidden, "forbidden");
    if (fly_value_get(error, "message", &value) && fly_value_str(value, &text, &len))
        snprintf(s->forbidden, sizeof s->forbidden, "%.*s", len > 180 ? 180 : (int)len, text);
}

static int hear_replies(struct fly_sender *s)
{
    struct fly_value header, value, result;
    struct fly_msg msg;
    uint64_t id;
    int heard = 0, ok;

    while (fly_endpoint_recv(s->dealer, &msg) == FLY_OK) {
        if (msg.n_parts >= 2 && msg.parts[0].len == 0 &&
            fly_wire_scan(msg.parts[1].bytes, msg.parts[1].len) == FLY_REFUSE_NONE) {
            header = fly_value_root(msg.parts[1].bytes, msg.parts[1].len);
            if (fly_value_get(header, "id", &value) && fly_value_uint(value, &id) && id == s->ask_id &&
                fly_value_get(header, "ok", &value) && fly_value_bool(value, &ok) &&
                fly_value_get(header, ok ? "result" : "error", &result)) {
                heard = 1;
                s->heard_ns = now_ns(s);
                s->answered |= ok;
                if (ok)
                    take_status(s, result);
                else
                    take_error(s, result);
            }
        }
        fly_msg_close(&msg);
    }
    return heard;
}

/* ---- what we send -------------------------------------------------------------------------------- */

/* With reordering a few messages wait for others to change places with, unless none come. */
static int held_back(const struct fly_sender *s)
{
    return s->config.faults.reorder && !s->stop_seq &&
           fly_window_unsent(s->window) <= s->config.faults.reorder && now_ns(s) - s->put_ns < ms(HOLD_MS);
}

static int spared(const struct fly_sender *s, const struct fly_kept *kept)
{
    return kept->sends > 0 || (kept->stream == 0 && (kept->seq == 1 || kept->seq == s->stop_seq));
}

/* 1 when something went out, 0 when nothing could, or the error. */
static int transmit(struct fly_sender *s)
{
    const struct fly_sender_faults *faults = &s->config.faults;
    struct fly_kept kept;
    int moved = 0;

    for (int i = 0; i < BURST && !held_back(s) && fly_window_next(s->window, &kept) == FLY_OK; i++) {
        int rc = FLY_OK;

        if (!spared(s, &kept) && faults->drop > 0.0 && fly_rng_uniform(&s->rng) < faults->drop) {
            s->report.dropped++;
        } else {
            rc = fly_endpoint_send(s->push, kept.parts, kept.n_parts);
            if (rc == FLY_EAGAIN)
                break;
            if (rc < 0)
                return rc;
            s->report.sent++;
            if (!spared(s, &kept) && faults->duplicate > 0.0 &&
                fly_rng_uniform(&s->rng) < faults->duplicate &&
                fly_endpoint_send(s->push, kept.parts, kept.n_parts) == FLY_OK)
                s->report.duplicated++;
        }
        fly_window_sent(s->window);
        moved = 1;
    }
    return moved;
}

int fly_sender_put(struct fly_sender *s, int32_t stream, uint64_t seq, const struct fly_part *parts,
                   int32_t n_parts)
{
    FLY_ASSERT(stream >= 0 && stream < s->config.n_streams);
    struct stream *of = &s->streams[stream];
    int rc = fly_window_put(s->window, stream, seq, parts, n_parts);

    if (rc < 0)
        return rc;
    s->put_ns = now_ns(s);
    if (of->put <= of->durable)
        of->progress_ns = s->put_ns;
    if (seq > of->put)
        of->put = seq;
    s->report.put++;
    if (s->config.faults.reorder)
        fly_window_swap(s->window, (int32_t)fly_rng_below(&s->rng, (uint64_t)s->config.faults.reorder + 1));
    return FLY_OK;
}

void fly_sender_finish(struct fly_sender *s, uint64_t stop_seq)
{
    s->stop_seq = stop_seq;
}

/* FLY_EIO: Flyback will never take us with this key. */
static int watch_keys(struct fly_sender *s)
{
    char why[300];

    if (fly_endpoint_handshake(s->push) == FLY_EIO || fly_endpoint_handshake(s->dealer) == FLY_EIO) {
        snprintf(why, sizeof why, "%s", fly_fail_text());
        return fly_fail(FLY_EIO, "no way into Flyback: %s; its log names the key and the role", why);
    }
    if (s->forbidden[0])
        return fly_fail(FLY_EIO, "Flyback at %s takes nothing more with this key: %s", s->config.control, s->forbidden);
    if (s->deaf || fly_endpoint_handshake(s->sub) != FLY_EIO)
        return FLY_OK;
    if (s->config.topics)
        return fly_fail(FLY_EIO, "Flyback at %s does not let this key's role hear what it publishes, which is needed here: give "
                        "its line in the allow-list the roles instrument,viewer", s->config.publish);
    s->deaf = 1;
    return FLY_OK;
}

/* Ask whenever something does not go as it should. */
static int watch(struct fly_sender *s)
{
    int64_t now = now_ns(s);
    int silent = now - s->heard_ns > ms(s->config.silence_ms), rc = watch_keys(s);

    if (rc < 0)
        return rc;
    s->report.alive = !silent;
    s->report.silent_s = (double)(now - s->heard_ns) * 1e-9;
    if (s->report.stopped)
        return FLY_OK;
    if (s->unknown_ns && now - s->unknown_ns > ms(s->config.lost_ms))
        return fly_fail(FLY_EIO, "Flyback at %s answers but does not have session %s: it refused it (an id is used once), "
                        "lost it (no recording), or took another", s->config.control, s->session);
    if (silent || s->unknown_ns) {
        ask_status(s, silent || s->streams[0].durable == 0);
        return FLY_OK;
    }
    for (int32_t i = 0; i < s->config.n_streams; i++) {
        const struct stream *stream = &s->streams[i];
        /* After its stop Flyback waits for what is missing, but not for long. */
        int64_t patience_ns = ms(s->config.resend_ms) * stream->backoff / (s->stop_seq ? 3 : 1);

        if (stream->put > stream->durable && now - stream->progress_ns > patience_ns)
            ask_status(s, 1);
    }
    if (s->rewind_wanted || s->deaf)
        ask_status(s, 0);
    return FLY_OK;
}

int fly_sender_step(struct fly_sender *s, int32_t timeout_ms)
{
    struct fly_endpoint *ends[3] = {s->sub, s->dealer, s->push};
    struct fly_kept kept;
    int moved = transmit(s);

    if (moved < 0)
        return moved;
    moved |= hear_published(s);
    moved |= hear_replies(s);
    int rc = watch(s);

    if (rc < 0 || moved || timeout_ms <= 0)
        return rc;
    /* Room in the socket is worth waiting for only while there is something to put into it. */
    int writing = !held_back(s) && fly_window_next(s->window, &kept) == FLY_OK;

    rc = fly_net_wait(ends, writing ? 3 : 2, writing ? 1u << 2 : 0, -1, timeout_ms);
    if (rc < 0 && rc != FLY_EAGAIN)
        return rc;
    moved = transmit(s);
    if (moved < 0)
        return moved;
    hear_published(s);
    hear_replies(s);
    return FLY_OK;
}

int fly_sender_connect(struct fly_sender *s, int32_t timeout_ms, const volatile int *stop)
{
    int64_t until = now_ns(s) + ms(timeout_ms);

    while (!s->answered) {
        struct fly_endpoint *ends[2] = {s->sub, s->dealer};

        if (stop && *stop)
            return FLY_EAGAIN;
        if (now_ns(s) > until) {
            char why[300] = "";

            if (fly_endpoint_handshake(s->dealer) < 0)
                snprintf(why, sizeof why, ": %s", fly_fail_text());
            return fly_fail(FLY_EIO, "no Flyback answers at %s within %g s%s", s->config.control, timeout_ms / 1000.0, why);
        }
        ask_status(s, 0);
        int rc = fly_net_wait(ends, 2, 0, -1, 50);

        if (rc < 0 && rc != FLY_EAGAIN)
            return rc;
        rc = watch_keys(s);
        if (rc < 0)
            return rc;
        hear_published(s);
        hear_replies(s);
    }
    s->unknown_ns = 0; /* that it does not know our session yet is as it should be */
    return FLY_OK;
}

void fly_sender_report(const struct fly_sender *s, struct fly_sender_report *report)
{
    *report = s->report;
    report->kept = fly_window_count(s->window);
    report->resent = fly_window_resent(s->window);
    for (int32_t i = 0; i < s->config.n_streams; i++)
        report->durable[i] = s->streams[i].durable;
}
