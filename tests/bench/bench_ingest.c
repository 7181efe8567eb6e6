/* 1-KiB lines into a running plugin, recording on, beside the same messages over bare sockets. */
#include "tests/bench/bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/rng.h"
#include "stream/net.h"
#include "stream/publish.h"
#include "stream/wire.h"

enum { SCAN = 512, FRAMES = 200, LINES = SCAN * FRAMES, ROUNDS = 3, WAIT_S = 60 };

struct sockets {
    char ingest[256], publish[256], raw[256];
    char dir[256];
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int open_end(struct fly_endpoint **out, struct fly_net *net, enum fly_socket socket, const char *address,
                    int bind)
{
    return fly_endpoint_open(out, net, &(struct fly_endpoint_config){.socket = socket,
                                                                     .address = address,
                                                                     .bind = bind,
                                                                     .high_water = 1000,
                                                                     .linger_ms = 1000});
}

static int send_waiting(struct fly_endpoint *push, const struct fly_part *parts, int32_t n)
{
    int rc;

    while ((rc = fly_endpoint_send(push, parts, n)) == FLY_EAGAIN)
        if (fly_net_wait(&push, 1, 1, -1, 1000 * WAIT_S) < 0)
            return fly_fail(FLY_EIO, "bench: nobody takes the messages");
    return rc;
}

/* ---- bare sockets ------------------------------------------------------------------------------ */

struct taker {
    struct fly_net *net;
    const char *address;
    atomic_int ready;
    int rc;
};

static void *take_all(void *arg)
{
    struct taker *taker = arg;
    struct fly_endpoint *pull = NULL;
    struct fly_msg msg;

    taker->rc = open_end(&pull, taker->net, FLY_PULL, taker->address, 1);
    atomic_store(&taker->ready, 1);
    for (int n = 0; taker->rc == FLY_OK && n < LINES;) {
        if (fly_endpoint_recv(pull, &msg) == FLY_OK) {
            fly_msg_close(&msg);
            n++;
        } else if (fly_net_wait(&pull, 1, 0, -1, 1000 * WAIT_S) < 0) {
            taker->rc = fly_fail(FLY_EIO, "bench: the bare messages stopped coming");
        }
    }
    fly_endpoint_close(&pull);
    return NULL;
}

static int bare_rate(struct fly_net *net, const struct sockets *at, double *rate)
{
    struct taker taker = {.net = net, .address = at->raw};
    struct fly_endpoint *push = NULL;
    static unsigned char header[200], line[2 * SCAN];
    struct fly_part parts[2] = {{header, sizeof header}, {line, sizeof line}};
    pthread_t thread;
    double begin;
    int rc;

    if (pthread_create(&thread, NULL, take_all, &taker))
        return fly_fail(FLY_EIO, "bench: no thread");
    while (!atomic_load(&taker.ready))
        usleep(1000);
    rc = open_end(&push, net, FLY_PUSH, at->raw, 0);
    begin = now_s();
    for (int i = 0; rc == FLY_OK && i < LINES; i++)
        rc = send_waiting(push, parts, 2);
    pthread_join(thread, NULL);
    *rate = LINES / (now_s() - begin);
    fly_endpoint_close(&push);
    return rc < 0 ? rc : taker.rc;
}

/* ---- the plugin -------------------------------------------------------------------------------- */

static pid_t start_plugin(const struct sockets *at, const char *session)
{
    char set[4][600];
    pid_t pid;

    snprintf(set[0], sizeof set[0], "sockets.ingest=%s", at->ingest);
    snprintf(set[1], sizeof set[1], "sockets.publish=%s", at->publish);
    snprintf(set[2], sizeof set[2], "sockets.control=ipc://%s/control", at->dir);
    snprintf(set[3], sizeof set[3], "recording.dir=%s/%s", at->dir, session);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "flyback", "run", "--set", set[0], "--set", set[1], "--set", set[2], "--set",
              set[3], "--set", "log.level=error", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void pack_head(struct fly_pack *pack, uint32_t keys, const char *type, const char *session,
                      const char *stream, uint64_t seq)
{
    fly_pack_map(pack, keys + 5);
    fly_pack_str(pack, "type");
    fly_pack_str(pack, type);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, session);
    fly_pack_str(pack, "stream");
    fly_pack_str(pack, stream);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, seq);
    fly_pack_str(pack, "t_ns");
    fly_pack_int(pack, 1);
}

static int send_start(struct fly_endpoint *push, const char *session)
{
    unsigned char bytes[512];
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, sizeof bytes);
    pack_head(&pack, 3, "start", session, "control", 1);
    fly_pack_str(&pack, "schema");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, 1);
    fly_pack_int(&pack, 0);
    fly_pack_str(&pack, "scan_shape_px");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, SCAN);
    fly_pack_int(&pack, SCAN);
    fly_pack_str(&pack, "detectors");
    fly_pack_array(&pack, 1);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "name");
    fly_pack_str(&pack, "HAADF");
    fly_pack_str(&pack, "dtype");
    fly_pack_str(&pack, "<u2");
    return send_waiting(push, &(struct fly_part){bytes, pack.len}, 1);
}

static int send_line(struct fly_endpoint *push, const char *session, int i, const uint16_t *pixels)
{
    unsigned char bytes[512];
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, sizeof bytes);
    pack_head(&pack, 5, "lines", session, "HAADF", (uint64_t)i + 1);
    fly_pack_str(&pack, "frame");
    fly_pack_int(&pack, i / SCAN);
    fly_pack_str(&pack, "y0_px");
    fly_pack_int(&pack, i % SCAN);
    fly_pack_str(&pack, "x0_px");
    fly_pack_int(&pack, 0);
    fly_pack_str(&pack, "dtype");
    fly_pack_str(&pack, "<u2");
    fly_pack_str(&pack, "shape");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, 1);
    fly_pack_int(&pack, SCAN);
    struct fly_part parts[2] = {{bytes, pack.len}, {pixels, 2 * SCAN}};

    return send_waiting(push, parts, 2);
}

/* Wait for heartbeats until the stream's `what` ("last_seq", "durable_seq") reaches n. */
static int wait_for(struct fly_endpoint *sub, const char *what, uint64_t n)
{
    double end = now_s() + WAIT_S;
    struct fly_msg msg;

    while (now_s() < end) {
        struct fly_published said;
        struct fly_value map, value;
        uint64_t got = 0;

        if (fly_endpoint_recv(sub, &msg) != FLY_OK) {
            if (fly_net_wait(&sub, 1, 0, -1, 200) < 0)
                continue;
            continue;
        }
        if (fly_published_decode(&said, msg.parts, msg.n_parts) == FLY_OK &&
            fly_value_get(said.header, what, &map) && fly_value_get(map, "HAADF", &value))
            fly_value_uint(value, &got);
        fly_msg_close(&msg);
        if (got >= n)
            return FLY_OK;
    }
    return fly_fail(FLY_EIO, "bench: %s of the plugin did not reach %llu", what, (unsigned long long)n);
}

static int plugin_rate(struct fly_net *net, const struct sockets *at, int round, double *seen, double *durable)
{
    struct fly_endpoint *push = NULL, *sub = NULL;
    static uint16_t pixels[16][SCAN];
    struct fly_rng rng = {7};
    char session[32];
    double begin;
    pid_t pid;
    int rc;

    for (int i = 0; i < 16 * SCAN; i++)
        pixels[i / SCAN][i % SCAN] = (uint16_t)fly_rng_below(&rng, 60000);
    snprintf(session, sizeof session, "bench%d", round);
    pid = start_plugin(at, session);
    rc = open_end(&sub, net, FLY_SUB, at->publish, 0);
    if (rc == FLY_OK)
        rc = fly_endpoint_subscribe(sub, "heartbeat");
    if (rc == FLY_OK)
        rc = open_end(&push, net, FLY_PUSH, at->ingest, 0);
    if (rc == FLY_OK)
        rc = send_start(push, session);
    if (rc == FLY_OK)
        rc = send_line(push, session, 0, pixels[0]);
    if (rc == FLY_OK)
        rc = wait_for(sub, "durable_seq", 1); /* it is up, the session is open */
    begin = now_s();
    for (int i = 1; rc == FLY_OK && i < LINES; i++)
        rc = send_line(push, session, i, pixels[i % 16]);
    if (rc == FLY_OK)
        rc = wait_for(sub, "last_seq", LINES);
    *seen = (LINES - 1) / (now_s() - begin);
    if (rc == FLY_OK)
        rc = wait_for(sub, "durable_seq", LINES);
    *durable = (LINES - 1) / (now_s() - begin);
    fly_endpoint_close(&push);
    fly_endpoint_close(&sub);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return rc;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int bench_ingest(FILE *out, const char *dir)
{
    struct sockets at;
    struct fly_net *net = NULL;
    double bare[ROUNDS], seen[ROUNDS], durable[ROUNDS];
    int rc = fly_net_open(&net);

    snprintf(at.dir, sizeof at.dir, "%.200s", dir);
    snprintf(at.ingest, sizeof at.ingest, "ipc://%.200s/ingest", dir);
    snprintf(at.publish, sizeof at.publish, "ipc://%.200s/publish", dir);
    snprintf(at.raw, sizeof at.raw, "ipc://%.200s/raw", dir);
    for (int r = 0; rc == FLY_OK && r < ROUNDS; r++) {
        rc = bare_rate(net, &at, &bare[r]);
        if (rc == FLY_OK)
            rc = plugin_rate(net, &at, r, &seen[r], &durable[r]);
    }
    fly_net_close(&net);
    if (rc < 0)
        return rc;
    qsort(bare, ROUNDS, sizeof *bare, compare);
    qsort(seen, ROUNDS, sizeof *seen, compare);
    qsort(durable, ROUNDS, sizeof *durable, compare);
    fprintf(out,
            "{\"name\": \"ingest.lines_1kib\", \"size\": 1024, \"threads\": 3, \"median\": %.4g, \"unit\": "
            "\"lines/s\", \"reference\": %.4g, \"ratio\": %.3f}\n"
            "{\"name\": \"ingest.lines_1kib.durable\", \"size\": 1024, \"threads\": 3, \"median\": %.4g, \"unit\": "
            "\"lines/s\", \"reference\": %.4g, \"ratio\": %.3f}\n",
            seen[ROUNDS / 2], bare[ROUNDS / 2], seen[ROUNDS / 2] / bare[ROUNDS / 2], durable[ROUNDS / 2],
            bare[ROUNDS / 2], durable[ROUNDS / 2] / bare[ROUNDS / 2]);
    fflush(out);
    return FLY_OK;
}
