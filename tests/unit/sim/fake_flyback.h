/* tests/unit/sim/fake_flyback.h: the least of a Flyback that a sender can talk to, on real sockets.
 *
 * It remembers a hash of each message it got, acknowledges whole prefixes, and can be killed: what was
 * not acknowledged is then forgotten, the sockets go, and after a while come back at the same place.
 */
#ifndef FLY_TEST_FAKE_FLYBACK_H
#define FLY_TEST_FAKE_FLYBACK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream/net.h"
#include "stream/publish.h"
#include "stream/request.h"
#include "stream/sequence.h"
#include "stream/wire.h"

enum { FAKE_STREAMS = 3, FAKE_SEQS = 20000 };

struct fake {
    /* set before start */
    char ingest[96], publish[96], control[96];
    int kill_after[4];     /* die when so many messages came since the last birth; 0: live on */
    int forget_on_kill;    /* 1: comes back without the session */
    int lose_session;      /* comes back and never takes it again */

    /* read after join, or the atomics at any time */
    uint64_t hash[FAKE_STREAMS][FAKE_SEQS];
    uint64_t durable[FAKE_STREAMS];
    uint64_t stop_seq, count[FAKE_STREAMS]; /* of the stop message */
    int conflicts, repeats, unknown_stream;
    char session[FLY_SESSION_MAX + 1];
    atomic_int received, deaths, quit;

    pthread_t thread;
    struct fly_net *net;
    struct fly_endpoint *pull, *pub, *router;
    uint64_t beats;
    int since_birth, finished;
    unsigned char header[FLY_HEADER_MAX];
};

static const char *const fake_names[FAKE_STREAMS] = {"control", "haadf", "eds"};

static int64_t fake_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fake_bind(struct fake *f)
{
    struct {
        struct fly_endpoint **end;
        enum fly_socket socket;
        char *address;
    } sockets[3] = {{&f->pull, FLY_PULL, f->ingest}, {&f->pub, FLY_XPUB, f->publish},
                    {&f->router, FLY_ROUTER, f->control}};

    for (int i = 0; i < 3; i++) {
        struct fly_endpoint_config config = {.socket = sockets[i].socket, .address = sockets[i].address,
                                             .bind = 1, .high_water = 1000, .linger_ms = 100};
        int rc = -1;

        for (int tries = 0; tries < 100 && rc != FLY_OK; tries++) {
            rc = fly_endpoint_open(sockets[i].end, f->net, &config);
            if (rc != FLY_OK)
                usleep(20000);
        }
        FLY_ASSERT(rc == FLY_OK);
        snprintf(sockets[i].address, 96, "%s", fly_endpoint_address(*sockets[i].end));
    }
}

static void fake_unbind(struct fake *f)
{
    fly_endpoint_close(&f->pull);
    fly_endpoint_close(&f->pub);
    fly_endpoint_close(&f->router);
}

static uint64_t fake_last(const struct fake *f, int stream)
{
    uint64_t seq = FAKE_SEQS - 1;

    while (seq > 0 && !f->hash[stream][seq])
        seq--;
    return seq;
}

static void fake_streams(const struct fake *f, struct fly_pub_streams *last, struct fly_pub_streams *durable)
{
    last->count = durable->count = *f->session ? FAKE_STREAMS : 0;
    for (int i = 0; i < FAKE_STREAMS; i++) {
        last->names[i] = durable->names[i] = fake_names[i];
        last->seq[i] = fake_last(f, i);
        durable->seq[i] = f->durable[i];
    }
}

static void fake_beat(struct fake *f)
{
    struct fly_pub_id id = {.session = f->session, .seq = ++f->beats, .t_ns = 1};
    struct fly_pub_heartbeat beat = {.state = *f->session ? "running" : "idle", .recording = "ok"};
    struct fly_pub_message message;
    struct fly_pack pack;

    for (int i = 0; i < FAKE_STREAMS; i++)
        while (f->durable[i] + 1 < FAKE_SEQS && f->hash[i][f->durable[i] + 1])
            f->durable[i]++;
    fake_streams(f, &beat.last_seq, &beat.durable_seq);
    fly_pack_init(&pack, f->header, sizeof f->header);
    FLY_ASSERT(fly_pub_heartbeat(&message, &pack, &id, &beat) == FLY_OK);
    (void)!fly_endpoint_send(f->pub, message.parts, message.n_parts);
    int whole = f->stop_seq > 0;

    for (int i = 0; i < FAKE_STREAMS; i++)
        whole &= f->durable[i] >= f->count[i];
    if (whole && !f->finished) {
        struct fly_pub_stop stop = {.exit_status = "success", .reason = "", .complete = 1.0};

        f->finished = 1;
        id.seq = 1;
        fly_pack_init(&pack, f->header, sizeof f->header);
        FLY_ASSERT(fly_pub_stop(&message, &pack, &id, &stop) == FLY_OK);
        (void)!fly_endpoint_send(f->pub, message.parts, message.n_parts);
    }
}

static void fake_take(struct fake *f, const struct fly_msg *msg)
{
    struct fly_value header = fly_value_root(msg->parts[0].bytes, msg->parts[0].len), value;
    const char *text = "";
    size_t len = 0;
    uint64_t seq = 0;
    int stream = -1;

    FLY_ASSERT(fly_wire_scan(msg->parts[0].bytes, msg->parts[0].len) == FLY_REFUSE_NONE);
    FLY_ASSERT(fly_value_get(header, "stream", &value) && fly_value_str(value, &text, &len));
    for (int i = 0; i < FAKE_STREAMS; i++)
        if (strlen(fake_names[i]) == len && !memcmp(fake_names[i], text, len))
            stream = i;
    FLY_ASSERT(fly_value_get(header, "seq", &value) && fly_value_uint(value, &seq) && seq < FAKE_SEQS);
    FLY_ASSERT(fly_value_get(header, "type", &value) && fly_value_str(value, &text, &len));
    if (stream < 0 || (f->lose_session && f->deaths)) {
        f->unknown_stream += stream < 0;
        return;
    }
    if (len == 5 && !memcmp(text, "start", 5) && !*f->session) {
        const char *session;

        FLY_ASSERT(fly_value_get(header, "session", &value) && fly_value_str(value, &session, &len));
        snprintf(f->session, sizeof f->session, "%.*s", (int)len, session);
    } else if (!*f->session) {
        return; /* no_session */
    }
    if (len == 4 && !memcmp(text, "stop", 4)) {
        struct fly_value counts;

        f->stop_seq = seq;
        FLY_ASSERT(fly_value_get(header, "count", &counts));
        for (int i = 0; i < FAKE_STREAMS; i++)
            FLY_ASSERT(fly_value_get(counts, fake_names[i], &value) && fly_value_uint(value, &f->count[i]));
    }
    uint64_t hash = fly_hash_parts(msg->parts, msg->n_parts) | 1;

    if (f->hash[stream][seq] && f->hash[stream][seq] != hash)
        f->conflicts++;
    f->repeats += f->hash[stream][seq] == hash;
    f->hash[stream][seq] = hash;
    f->since_birth++;
    atomic_fetch_add(&f->received, 1);
}

static void fake_answer(struct fake *f, const struct fly_msg *msg)
{
    struct fly_pub_streams last, durable;
    struct fly_request request;
    struct fly_part parts[3];
    struct fly_pack pack;

    FLY_ASSERT(msg->n_parts == 3 && msg->parts[1].len == 0);
    FLY_ASSERT(fly_request_decode(&request, msg->parts + 2, 1) == FLY_REFUSE_NONE);
    FLY_ASSERT(strcmp(request.op, "status") == 0);
    fly_pack_init(&pack, f->header, sizeof f->header);
    fly_reply_begin(&pack, &request);
    fly_pack_map(&pack, 3);
    fly_pack_str(&pack, "session");
    fly_pack_str(&pack, f->session);
    fake_streams(f, &last, &durable);
    fly_pack_str(&pack, "last_seq");
    fly_pub_pack_streams(&pack, &last);
    fly_pack_str(&pack, "durable_seq");
    fly_pub_pack_streams(&pack, &durable);
    parts[0] = msg->parts[0];
    parts[1] = msg->parts[1];
    parts[2] = (struct fly_part){pack.bytes, pack.len};
    (void)!fly_endpoint_send(f->router, parts, 3);
}

static void fake_die(struct fake *f)
{
    fake_unbind(f);
    for (int i = 0; i < FAKE_STREAMS; i++)
        for (uint64_t seq = f->forget_on_kill ? 1 : f->durable[i] + 1; seq < FAKE_SEQS; seq++)
            f->hash[i][seq] = 0;
    if (f->forget_on_kill || f->durable[0] == 0)
        memset(f->session, 0, sizeof f->session);
    if (f->forget_on_kill)
        memset(f->durable, 0, sizeof f->durable);
    if (f->stop_seq > f->durable[0])
        f->stop_seq = 0;
    usleep(150000);
    f->deaths++;
    f->since_birth = 0;
    fake_bind(f);
}

static void *fake_run(void *arg)
{
    struct fake *f = arg;
    int64_t next_beat = 0;

    while (!atomic_load(&f->quit)) {
        struct fly_endpoint *ends[3] = {f->pull, f->pub, f->router};
        struct fly_msg msg;
        int limit = f->deaths < 4 ? f->kill_after[f->deaths] : 0;

        (void)!fly_net_wait(ends, 3, 0, -1, 10);
        while ((!limit || f->since_birth < limit) && fly_endpoint_recv(f->pull, &msg) == FLY_OK) {
            fake_take(f, &msg);
            fly_msg_close(&msg);
        }
        while (fly_endpoint_recv(f->pub, &msg) == FLY_OK)
            fly_msg_close(&msg); /* subscriptions */
        while (fly_endpoint_recv(f->router, &msg) == FLY_OK) {
            fake_answer(f, &msg);
            fly_msg_close(&msg);
        }
        if (limit && f->since_birth >= limit) {
            fake_die(f);
            continue;
        }
        if (fake_now_ms() >= next_beat) {
            next_beat = fake_now_ms() + 50;
            fake_beat(f);
        }
    }
    fake_unbind(f);
    return NULL;
}

static struct fake *fake_start(const struct fake *settings)
{
    struct fake *f = calloc(1, sizeof *f);

    FLY_ASSERT(f);
    memcpy(f->kill_after, settings->kill_after, sizeof f->kill_after);
    f->forget_on_kill = settings->forget_on_kill;
    f->lose_session = settings->lose_session;
    strcpy(f->ingest, "tcp://127.0.0.1:*");
    strcpy(f->publish, f->ingest);
    strcpy(f->control, f->ingest);
    FLY_ASSERT(fly_net_open(&f->net) == FLY_OK);
    fake_bind(f);
    FLY_ASSERT(pthread_create(&f->thread, NULL, fake_run, f) == 0);
    return f;
}

static void fake_join(struct fake *f)
{
    atomic_store(&f->quit, 1);
    pthread_join(f->thread, NULL);
    fly_net_close(&f->net);
}

#endif
