#include "sim/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/tool.h"
#include "stream/request.h"

struct fly_ask {
    struct fly_endpoint *dealer;
    char address[128];
    uint64_t id;
    struct fly_msg reply; /* the last, which results point into */
    unsigned char header[FLY_HEADER_MAX];
};

int fly_ask_open(struct fly_ask **out, struct fly_net *net, const char *control, const struct fly_curve *curve)
{
    struct fly_endpoint_config config = {.socket = FLY_DEALER, .address = control, .high_water = 100};
    struct fly_ask *ask = calloc(1, sizeof *ask);
    int rc;

    if (!ask)
        return fly_fail(FLY_ENOMEM, "%s: no memory to ask there", control);
    if (curve)
        config.curve = *curve;
    strncpy(ask->address, control, sizeof ask->address - 1);
    rc = fly_endpoint_open(&ask->dealer, net, &config);
    if (rc < 0) {
        free(ask);
        return rc;
    }
    *out = ask;
    return FLY_OK;
}

void fly_ask_close(struct fly_ask **ask)
{
    if (!*ask)
        return;
    fly_msg_close(&(*ask)->reply);
    fly_endpoint_close(&(*ask)->dealer);
    free(*ask);
    *ask = NULL;
}

static int send_question(struct fly_ask *ask, const char *op, const struct fly_pack *args)
{
    static const char nothing = '\0';
    struct fly_pack pack;

    fly_pack_init(&pack, ask->header, sizeof ask->header);
    fly_request_begin(&pack, ++ask->id, op);
    if (args)
        fly_pack_raw(&pack, args->bytes, args->len);
    else
        fly_pack_nil(&pack);
    if (pack.full || (args && args->full))
        return fly_fail(FLY_ERANGE, "%s: more than a request holds, %d bytes", op, FLY_HEADER_MAX);
    return fly_endpoint_send(ask->dealer, (struct fly_part[]){{&nothing, 0}, {pack.bytes, pack.len}}, 2);
}

/* 1: the message is the reply to the last question; *ok and *body are what it says. */
static int read_reply(const struct fly_ask *ask, int *ok, struct fly_value *body)
{
    const struct fly_part *head = &ask->reply.parts[1];
    struct fly_value root, value;
    uint64_t id;

    if (ask->reply.n_parts < 2 || fly_wire_scan(head->bytes, head->len) != FLY_REFUSE_NONE)
        return 0;
    root = fly_value_root(head->bytes, head->len);
    if (!fly_value_get(root, "id", &value) || !fly_value_uint(value, &id) || id != ask->id)
        return 0; /* to a question that was given up */
    return fly_value_get(root, "ok", &value) && fly_value_bool(value, ok) &&
           fly_value_get(root, *ok ? "result" : "error", body);
}

static int refused(struct fly_value error)
{
    struct fly_value value;
    const char *code = "error", *words = "refused without a word";
    size_t code_len = strlen(code), len = strlen(words);

    if (fly_value_get(error, "code", &value))
        (void)fly_value_str(value, &code, &code_len);
    if (fly_value_get(error, "message", &value))
        (void)fly_value_str(value, &words, &len);
    return fly_fail(FLY_ERANGE, "%.*s: %.*s", (int)code_len, code, (int)len, words);
}

int fly_ask(struct fly_ask *ask, const char *op, const struct fly_pack *args, int32_t timeout_ms,
            struct fly_value *result)
{
    struct fly_clock clock = fly_tool_clock();
    int64_t until = clock.mono_ns(clock.ctx) + (int64_t)timeout_ms * 1000000;
    int rc = send_question(ask, op, args);

    if (rc < 0 && rc != FLY_EAGAIN) /* a full queue is one that nobody reads: no reply will come */
        return rc;
    for (;;) {
        struct fly_value body;
        int ok = 0;

        if (*fly_tool_stop())
            return FLY_EAGAIN;
        fly_msg_close(&ask->reply);
        rc = fly_endpoint_recv(ask->dealer, &ask->reply);
        if (rc == FLY_OK && read_reply(ask, &ok, &body)) {
            if (!ok)
                return refused(body);
            if (result)
                *result = body;
            return FLY_OK;
        }
        if (rc < 0 && rc != FLY_EAGAIN)
            return rc;
        rc = fly_endpoint_handshake(ask->dealer);
        if (rc == FLY_EIO || clock.mono_ns(clock.ctx) > until) {
            char why[300] = "";

            if (rc < 0)
                snprintf(why, sizeof why, ": %s", fly_fail_text());
            return fly_fail(FLY_EIO, "no reply to %s from %s within %g s%s", op, ask->address, timeout_ms / 1000.0, why);
        }
        rc = fly_net_wait(&ask->dealer, 1, 0, -1, 50);
        if (rc < 0 && rc != FLY_EAGAIN)
            return rc;
    }
}

int fly_ask_handshake(struct fly_ask *ask)
{
    return fly_endpoint_handshake(ask->dealer);
}
