#include "sim/steered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/request.h"

struct fly_steered {
    struct fly_steered_config config;
    struct fly_endpoint *dealer;
    struct fly_steered_report report;
    uint64_t id;
    uint64_t attach_id;   /* of the newest steer.attach; 0: none is out */
    int64_t asked_ns, heard_ns;
    int64_t wanted_ns;    /* since when it has tried to attach in vain; 0: it has not */
    int ever_heard;
    char refusal[256];    /* why the last attach was refused */
    unsigned char header[FLY_HEADER_MAX];
};

struct fly_steered_config fly_steered_config_default(void)
{
    return (struct fly_steered_config){.mode = "ask", .ask_ms = 400, .silence_ms = 1500, .connect_ms = 30000,
                                       .patience_ms = 120000};
}

static int64_t now_ns(const struct fly_steered *s)
{
    return s->config.clock.mono_ns(s->config.clock.ctx);
}

static int64_t ms(int64_t count)
{
    return count * 1000000;
}

int fly_steered_open(struct fly_steered **out, const struct fly_steered_config *config)
{
    struct fly_endpoint_config endpoint = {.socket = FLY_DEALER, .address = config->address, .high_water = 1000,
                                           .curve = config->curve};
    struct fly_steered *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return fly_fail(FLY_ENOMEM, "%s: no memory to be steered from there", config->address);
    s->config = *config;
    rc = fly_endpoint_open(&s->dealer, config->net, &endpoint);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->wanted_ns = now_ns(s);
    *out = s;
    return FLY_OK;
}

void fly_steered_close(struct fly_steered **steered)
{
    if (!*steered)
        return;
    fly_endpoint_close(&(*steered)->dealer);
    free(*steered);
    *steered = NULL;
}

void fly_steered_report(const struct fly_steered *steered, struct fly_steered_report *report)
{
    *report = steered->report;
}

/* ---- speaking ------------------------------------------------------------------------------------- */

/* A full queue is one that nobody reads: what would have been said is said again later, or is no news any more. */
static int send_header(struct fly_steered *s, const struct fly_pack *pack)
{
    static const char nothing = '\0';
    int rc;

    FLY_ASSERT(!pack->full);
    rc = fly_endpoint_send(s->dealer, (struct fly_part[]){{&nothing, 0}, {pack->bytes, pack->len}}, 2);
    return rc == FLY_EAGAIN ? FLY_OK : rc;
}

static int request(struct fly_steered *s, const char *op, const char *key, const char *value)
{
    struct fly_pack pack;

    fly_pack_init(&pack, s->header, sizeof s->header);
    fly_request_begin(&pack, ++s->id, op);
    fly_pack_map(&pack, key ? 1 : 0);
    if (key)
        fly_pack_key_str(&pack, key, value);
    return send_header(s, &pack);
}

static int ask(struct fly_steered *s)
{
    s->asked_ns = now_ns(s);
    if (s->report.attached)
        return request(s, "status", NULL, NULL);
    s->attach_id = s->id + 1;
    return request(s, "steer.attach", "mode", s->config.mode);
}

int fly_steered_ack(struct fly_steered *s, const struct fly_ack *ack)
{
    struct fly_pack pack;
    int rc;

    fly_pack_init(&pack, s->header, sizeof s->header);
    rc = fly_ack_encode(&pack, ack);
    return rc < 0 ? rc : send_header(s, &pack);
}

void fly_steered_detach(struct fly_steered *s)
{
    if (s->report.attached)
        (void)request(s, "steer.detach", NULL, NULL); /* whoever hears nothing for 5 s frees the place by itself */
    s->report.attached = 0;
}

/* ---- hearing -------------------------------------------------------------------------------------- */

static void take_word(char *out, size_t cap, struct fly_value map, const char *key)
{
    struct fly_value value;
    const char *text = "";
    size_t len = 0;

    if (fly_value_kind(map) == FLY_KIND_MAP && fly_value_get(map, key, &value))
        (void)fly_value_str(value, &text, &len);
    if (len > cap - 1)
        len = cap - 1;
    memcpy(out, text, len);
    out[len] = 0;
}

/* No waiting makes these right. Busy, say, or a session that is only about to begin, may pass. */
static int is_final(const char *code)
{
    static const char *const codes[] = {"guard_required", "unknown_op", "bad_key", "bad_type", "bad_value",
                                        "forbidden", "uncalibrated", "steer_off"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(code, codes[i]) == 0)
            return 1;
    return 0;
}

static int hear_refusal(struct fly_steered *s, struct fly_value header)
{
    struct fly_value error;
    char code[32] = "", words[200] = "";

    if (fly_value_get(header, "error", &error)) {
        take_word(code, sizeof code, error, "code");
        take_word(words, sizeof words, error, "message");
    }
    snprintf(s->refusal, sizeof s->refusal, "%s: %s", code, words);
    if (is_final(code))
        return fly_fail(FLY_ERANGE, "%s does not take this acquisition: %s", s->config.address, s->refusal);
    return FLY_OK;
}

/* What status says of who steers: the plugin names its owner, the guard its acquisition. */
static int is_nobody(struct fly_value status)
{
    struct fly_value who;

    return (fly_value_get(status, "owner", &who) || fly_value_get(status, "acquisition", &who)) &&
           fly_value_kind(who) == FLY_KIND_NIL;
}

static int hear_reply(struct fly_steered *s, struct fly_value header)
{
    struct fly_value value, steer;
    uint64_t id = 0;
    int ok = 0;

    if (!fly_value_get(header, "id", &value) || !fly_value_uint(value, &id) ||
        !fly_value_get(header, "ok", &value) || !fly_value_bool(value, &ok))
        return FLY_OK;
    if (s->attach_id && id == s->attach_id) {
        s->attach_id = 0;
        if (!ok)
            return hear_refusal(s, header);
        s->report.attached = 1;
        s->report.lost = 0;
        s->wanted_ns = 0;
        return FLY_OK;
    }
    if (!ok || !fly_value_get(header, "result", &value) || fly_value_kind(value) != FLY_KIND_MAP)
        return FLY_OK;
    if (fly_value_get(value, "steer", &steer))
        take_word(s->report.stop, sizeof s->report.stop, steer, "stop");
    if (s->report.attached && is_nobody(value)) {
        s->report.attached = 0; /* it was restarted, or had not heard from here for too long */
        s->wanted_ns = now_ns(s);
        s->refusal[0] = 0;
    }
    return FLY_OK;
}

static int hear_one(struct fly_steered *s, const struct fly_msg *msg)
{
    const struct fly_part *parts = msg->parts + 1;

    if (msg->n_parts < 2 || msg->parts[0].len != 0)
        return FLY_OK; /* nothing of this protocol */
    s->heard_ns = now_ns(s);
    s->ever_heard = 1;
    switch (fly_control_type_of(parts)) {
    case FLY_CONTROL_REPLY:
        return hear_reply(s, fly_value_root(parts->bytes, parts->len));
    case FLY_CONTROL_COMMAND:
        return s->config.hear(s->config.hear_ctx, parts, msg->n_parts - 1);
    default:
        return FLY_OK;
    }
}

static int hear_all(struct fly_steered *s)
{
    struct fly_msg msg;
    int rc;

    while ((rc = fly_endpoint_recv(s->dealer, &msg)) == FLY_OK) {
        rc = hear_one(s, &msg);
        fly_msg_close(&msg);
        if (rc < 0)
            return rc;
    }
    return rc == FLY_EAGAIN ? FLY_OK : rc;
}

/* Why nobody answers, where keys tell. */
static int fail_silent(struct fly_steered *s, int32_t patience_ms)
{
    char why[300] = "";

    if (fly_endpoint_handshake(s->dealer) < 0)
        snprintf(why, sizeof why, ": %s", fly_fail_text());
    return fly_fail(FLY_EIO, "%s %s within %g s%s", s->config.address,
                    s->ever_heard ? "did not come back" : "did not answer", patience_ms / 1000.0, why);
}

static int watch(struct fly_steered *s)
{
    int64_t now = now_ns(s);
    int32_t patience_ms = s->report.losses ? s->config.patience_ms : s->config.connect_ms;

    if (s->report.attached && now - s->heard_ns > ms(s->config.silence_ms)) {
        s->report.attached = 0;
        s->report.lost = 1;
        s->report.losses++;
        s->wanted_ns = now;
        s->refusal[0] = 0;
    }
    if (!s->report.attached && fly_endpoint_handshake(s->dealer) == FLY_EIO) {
        snprintf(s->refusal, sizeof s->refusal, "%s", fly_fail_text());
        return fly_fail(FLY_EIO, "no way to %s: %s", s->config.address, s->refusal);
    }
    if (s->report.attached || now - s->wanted_ns < ms(patience_ms))
        return FLY_OK;
    if (s->refusal[0])
        return fly_fail(FLY_ERANGE, "%s does not take this acquisition: %s", s->config.address, s->refusal);
    return fail_silent(s, patience_ms);
}

int fly_steered_step(struct fly_steered *s, int32_t timeout_ms)
{
    int rc = hear_all(s);

    if (rc == FLY_OK && (s->asked_ns == 0 || now_ns(s) - s->asked_ns >= ms(s->config.ask_ms)))
        rc = ask(s);
    if (rc == FLY_OK && timeout_ms > 0) {
        rc = fly_net_wait(&s->dealer, 1, 0, -1, timeout_ms);
        rc = rc == FLY_EAGAIN ? FLY_OK : rc;
        if (rc == FLY_OK)
            rc = hear_all(s);
    }
    return rc == FLY_OK ? watch(s) : rc;
}
