/* tests/bench/bench_guard.c: what the supervisor of steering costs a command, of 128 tiles over 51 x 51 chips.
 *
 * judge: the rules alone. pass: journal (synced) and book on top. forward: from a plugin's send to the acquisition's
 * recv, through the sockets of a guard in a thread of its own: a status is asked and answered on the way, as it is for
 * each command. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "plugin/guard/guard.h"
#include "plugin/guard/journal.h"
#include "plugin/system_clock.h"
#include "stream/request.h"
#include "tests/bench/bench.h"
#include "tests/bench/measure.h"

enum { CHIPS = 51, CHIP_PX = 10, SIDE = CHIPS * CHIP_PX, TILES = 128, JUDGED = 2000, PASSED = 200 };

static struct fly_target targets[TILES];

static struct fly_guard_session the_session(void)
{
    return (struct fly_guard_session){.id = "bench", .height_px = SIDE, .width_px = SIDE, .frames_planned = 1,
                                      .pixel_nm = {0.1, 0.1}, .beam_current_na = 0.05, .pixel_time_us = 2,
                                      .rows = CHIPS, .cols = CHIPS, .chip_px = CHIP_PX, .pitch_px = CHIP_PX};
}

static struct fly_guard_limits the_limits(void)
{
    return (struct fly_guard_limits){
        .guard_limits = 1, .chip_dose_e_per_A2 = 1e9, .total_dose_e_per_A2 = 1e9, .dwell_min_us = 0.5,
        .dwell_max_us = 100, .step_px = 1000, .slew_px_per_us = 4, .commands_per_s = 50, .open_commands = 16,
        .targets_per_command = 256, .box_px = 512, .frames_per_command = 16, .valid_ahead_s = 10,
        .heartbeat_s = 1.5, .safe_state = FLY_GUARD_SAFE_BLANK, .survey_frames = 1};
}

/* A serpentine of single chips, as far as 128 of them reach. */
static struct fly_command the_command(int64_t number, int64_t unix_ns)
{
    struct fly_command c = {.kind = FLY_COMMAND_BOX, .targets = targets, .targets_cap = TILES, .n_targets = TILES,
                            .frame = number, .frames = 1, .dwell_us = 4, .valid_until_ns = unix_ns + 1000000000,
                            .as_of = {.count = 1}};

    for (int i = 0; i < TILES; i++) {
        int row = i / 16, col = row % 2 ? 15 - i % 16 : i % 16;

        targets[i] = (struct fly_target){.kind = FLY_TARGET_BOX, .dwell_us = 4,
                                         .px = {row * 6 * CHIP_PX, col * 3 * CHIP_PX, CHIP_PX, CHIP_PX}};
    }
    snprintf(c.cmd_id, sizeof c.cmd_id, "%lld", (long long)number);
    snprintf(c.decision_id, sizeof c.decision_id, "%lld", (long long)number);
    strcpy(c.as_of.names[0], "control");
    c.as_of.seq[0] = 1;
    return c;
}

static void print(FILE *out, const char *name, double *us, int n)
{
    fprintf(out, "{\"name\": \"guard.%s\", \"size\": %d, \"threads\": 1, \"median\": %.1f, \"unit\": \"us\", \"p99\": %.1f}\n",
            name, TILES, bench_quantile(us, n, 0.5), bench_quantile(us, n, 0.99));
}

/* ---- judge, pass ----------------------------------------------------------------------------------------- */

static int bench_rules(FILE *out, const char *path)
{
    struct fly_guard_limits limits = the_limits();
    struct fly_guard_session session = the_session();
    struct fly_disk disk = fly_disk_system();
    struct fly_guard_journal journal;
    struct fly_guard_past past;
    struct fly_guard_book book = {0};
    struct fly_guard_now now = {.mono_ns = 1, .unix_ns = 1, .session = "bench", .attached = 1, .ledger_asked = 1,
                                .journal_ok = 1};
    double *us = bench_need(JUDGED, sizeof *us);
    struct fly_command command = the_command(1, now.unix_ns);
    int rc = fly_guard_journal_open(&journal, &disk, path, &limits, 1, 1, &past);

    if (rc == FLY_OK)
        rc = fly_guard_book_open(&book, &limits, &session);
    for (int i = 0; rc == FLY_OK && i < JUDGED; i++) {
        double begin = bench_wall_s();

        FLY_ASSERT(fly_guard_judge(&limits, &book, &now, &command) == FLY_GUARD_PASS);
        us[i] = (bench_wall_s() - begin) * 1e6;
    }
    if (rc == FLY_OK)
        print(out, "judge", us, JUDGED);
    for (int i = 0; rc == FLY_OK && i < PASSED; i++) {
        struct fly_ack ack = {.status = FLY_ACK_DONE};
        double begin;

        command = the_command(i + 1, now.unix_ns);
        begin = bench_wall_s();
        FLY_ASSERT(fly_guard_judge(&limits, &book, &now, &command) == FLY_GUARD_PASS);
        rc = fly_guard_journal_command(&journal, now.unix_ns, &command, FLY_GUARD_PASS, "");
        fly_guard_book_take(&book, &command, now.mono_ns);
        us[i] = (bench_wall_s() - begin) * 1e6;
        memcpy(ack.cmd_id, command.cmd_id, sizeof ack.cmd_id);
        fly_guard_book_ack(&book, &ack, now.mono_ns);
        now.mono_ns += 1000000000;
        now.unix_ns += 1000000000;
    }
    if (rc == FLY_OK)
        print(out, "pass", us, PASSED);
    free(us);
    fly_guard_book_close(&book);
    fly_guard_book_close(&past.book);
    fly_guard_ids_close(&past.sessions);
    fly_guard_journal_close(&journal);
    unlink(path);
    return rc;
}

/* ---- forward --------------------------------------------------------------------------------------------- */

struct trio {
    struct fly_guard_config config;
    char address[64];  /* of the guard, once `up` is 1 */
    atomic_int up;     /* -1: it could not be opened */
    atomic_int ending;
    struct fly_net *net;
    struct fly_endpoint *plugin, *acquisition;
    struct fly_clock clock;
    unsigned char peer[255]; /* the guard, at the plugin */
    size_t peer_len;
    int attached, ledger_told;
    unsigned char bytes[FLY_HEADER_MAX];
};

static void quiet(void *ctx, enum fly_guard_level level, const char *code, const char *text)
{
    (void)ctx, (void)level, (void)code, (void)text;
}

static void pack_scan(struct fly_pack *pack, const struct fly_guard_session *s)
{
    static const char *const keys[] = {"frames_planned", "chip_px", "pitch_px", "beam_current_na", "pixel_time_us"};
    const double values[] = {(double)s->frames_planned, s->chip_px, s->pitch_px, s->beam_current_na, s->pixel_time_us};
    static const char *const pairs[] = {"shape_px", "pixel_nm", "grid_shape"};
    const double pair[][2] = {{s->height_px, s->width_px}, {s->pixel_nm[0], s->pixel_nm[1]}, {s->rows, s->cols}};

    fly_pack_map(pack, 9);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, s->id);
    for (int i = 0; i < 5; i++) {
        fly_pack_str(pack, keys[i]);
        if (i < 3)
            fly_pack_int(pack, (int64_t)values[i]);
        else
            fly_pack_f64(pack, values[i]);
    }
    for (int i = 0; i < 3; i++) {
        fly_pack_str(pack, pairs[i]);
        fly_pack_array(pack, 2);
        fly_pack_f64(pack, pair[i][0]);
        fly_pack_f64(pack, pair[i][1]);
    }
}

/* What a guard asks of a plugin, and no more. */
static int answer(struct trio *t, const struct fly_msg *msg)
{
    struct fly_guard_session session = the_session();
    struct fly_request request;
    struct fly_pack pack;

    if (fly_request_decode(&request, msg->parts + 2, msg->n_parts - 2) != FLY_REFUSE_NONE)
        return FLY_OK; /* an ack */
    t->peer_len = msg->parts[0].len;
    memcpy(t->peer, msg->parts[0].bytes, t->peer_len);
    fly_pack_init(&pack, t->bytes, sizeof t->bytes);
    if (strcmp(request.op, "dose.get") == 0) {
        t->ledger_told = 1;
        fly_reply_error(&pack, &request, "unknown_op", "none here");
    } else {
        fly_reply_begin(&pack, &request);
        t->attached |= strcmp(request.op, "steer.attach") == 0;
        fly_pack_map(&pack, 3);
        fly_pack_str(&pack, "session");
        fly_pack_str(&pack, session.id);
        fly_pack_str(&pack, "scan");
        pack_scan(&pack, &session);
        fly_pack_str(&pack, "owner");
        fly_pack_map(&pack, 1);
        fly_pack_str(&pack, "as");
        fly_pack_str(&pack, "guard");
    }
    return fly_endpoint_send(t->plugin, (struct fly_part[]){{t->peer, t->peer_len}, {"", 0}, {pack.bytes, pack.len}}, 3);
}

static int say(struct trio *t, const char *op)
{
    struct fly_pack pack;

    fly_pack_init(&pack, t->bytes, sizeof t->bytes);
    fly_pack_map(&pack, 4);
    fly_pack_str(&pack, "type");
    fly_pack_str(&pack, "request");
    fly_pack_str(&pack, "id");
    fly_pack_int(&pack, 1);
    fly_pack_str(&pack, "op");
    fly_pack_str(&pack, op);
    fly_pack_str(&pack, "args");
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "mode");
    fly_pack_str(&pack, "auto");
    return fly_endpoint_send(t->acquisition, (struct fly_part[]){{"", 0}, {pack.bytes, pack.len}}, 2);
}

static void *keep_guard(void *arg)
{
    struct trio *t = arg;
    struct fly_guard *guard = NULL;

    if (fly_guard_open(&guard, &t->config) < 0) {
        atomic_store(&t->up, -1);
        return NULL;
    }
    snprintf(t->address, sizeof t->address, "%s", fly_guard_address(guard));
    atomic_store(&t->up, 1);
    while (!atomic_load(&t->ending) && fly_guard_turn(guard) == FLY_OK)
        ;
    fly_guard_close(&guard);
    return NULL;
}

/* Wait a little and hear both sides; *came when the acquisition got a command. */
static int turn(struct trio *t, int *came)
{
    struct fly_endpoint *ends[] = {t->plugin, t->acquisition};
    struct fly_msg msg;
    int rc = fly_net_wait(ends, t->acquisition ? 2 : 1, 0, -1, 5);

    rc = rc == FLY_EAGAIN ? FLY_OK : rc;
    while (rc == FLY_OK && fly_endpoint_recv(t->plugin, &msg) == FLY_OK) {
        rc = answer(t, &msg);
        fly_msg_close(&msg);
    }
    while (rc == FLY_OK && t->acquisition && fly_endpoint_recv(t->acquisition, &msg) == FLY_OK) {
        *came |= msg.n_parts > 1 && fly_control_type_of(&msg.parts[1]) == FLY_CONTROL_COMMAND;
        fly_msg_close(&msg);
    }
    return rc;
}

static int forward_one(struct trio *t, int64_t number, double *us)
{
    struct fly_guard_session s = the_session();
    struct fly_steer_field field = {SIDE, SIDE, {s.pixel_nm[0], s.pixel_nm[1]}};
    struct fly_command command = the_command(number, t->clock.unix_ns(t->clock.ctx));
    struct fly_ack ack = {.status = FLY_ACK_DONE};
    struct fly_pack pack;
    double begin = bench_wall_s();
    int came = 0, rc;

    fly_pack_init(&pack, t->bytes, sizeof t->bytes);
    rc = fly_command_encode(&pack, &command, &field);
    if (rc == FLY_OK)
        rc = fly_endpoint_send(t->plugin, (struct fly_part[]){{t->peer, t->peer_len}, {"", 0}, {pack.bytes, pack.len}}, 3);
    while (rc == FLY_OK && !came && bench_wall_s() - begin < 5)
        rc = turn(t, &came);
    *us = (bench_wall_s() - begin) * 1e6;
    if (rc == FLY_OK && !came)
        return fly_fail(FLY_EIO, "guard: command %lld did not pass", (long long)number);
    memcpy(ack.cmd_id, command.cmd_id, sizeof ack.cmd_id);
    fly_pack_init(&pack, t->bytes, sizeof t->bytes);
    if (rc == FLY_OK)
        rc = fly_ack_encode(&pack, &ack);
    if (rc == FLY_OK)
        rc = fly_endpoint_send(t->acquisition, (struct fly_part[]){{"", 0}, {pack.bytes, pack.len}}, 2);
    return rc;
}

static int open_trio(struct trio *t, const char *path, pthread_t *thread)
{
    int rc = fly_net_open(&t->net), came = 0;

    t->clock = fly_clock_system();
    if (rc == FLY_OK)
        rc = fly_endpoint_open(&t->plugin, t->net, &(struct fly_endpoint_config){
                               .socket = FLY_ROUTER, .address = "tcp://127.0.0.1:*", .bind = 1, .high_water = 1000});
    if (rc < 0)
        return rc;
    t->config = (struct fly_guard_config){.plugin = fly_endpoint_address(t->plugin), .listen = "tcp://127.0.0.1:*",
                                          .journal = path, .limits = the_limits(), .clock = t->clock,
                                          .disk = fly_disk_system(), .keys = "", .allow = "", .plugin_key = "",
                                          .say = quiet};
    if (pthread_create(thread, NULL, keep_guard, t) != 0) {
        *thread = pthread_self();
        return fly_fail(FLY_EIO, "guard: no thread for it");
    }
    while (rc == FLY_OK && atomic_load(&t->up) == 0)
        rc = turn(t, &came);
    if (rc == FLY_OK && atomic_load(&t->up) < 0)
        rc = fly_fail(FLY_EIO, "guard: it could not be opened");
    if (rc == FLY_OK)
        rc = fly_endpoint_open(&t->acquisition, t->net, &(struct fly_endpoint_config){
                               .socket = FLY_DEALER, .address = t->address, .high_water = 1000});
    if (rc == FLY_OK)
        rc = say(t, "steer.attach");
    while (rc == FLY_OK && !(t->attached && t->ledger_told))
        rc = turn(t, &came);
    return rc;
}

static int bench_forward(FILE *out, const char *path)
{
    struct trio *t = bench_need(1, sizeof *t);
    double *us = bench_need(PASSED, sizeof *us);
    pthread_t thread = pthread_self();
    int came = 0, rc = open_trio(t, path, &thread);

    for (int i = 0; rc == FLY_OK && i < PASSED; i++) {
        double next = bench_wall_s() + 0.021; /* within commands_per_s */

        rc = forward_one(t, i + 1, &us[i]);
        while (rc == FLY_OK && bench_wall_s() < next)
            rc = turn(t, &came);
    }
    if (rc == FLY_OK)
        print(out, "forward", us, PASSED);
    atomic_store(&t->ending, 1);
    if (!pthread_equal(thread, pthread_self()))
        pthread_join(thread, NULL);
    fly_endpoint_close(&t->acquisition);
    fly_endpoint_close(&t->plugin);
    fly_net_close(&t->net);
    unlink(path);
    free(us);
    free(t);
    return rc;
}

int bench_guard(FILE *out, const struct bench_options *options)
{
    char path[1024];
    int rc;

    snprintf(path, sizeof path, "%.900s/guard-bench-%ld.jsonl", options->dir, (long)getpid());
    rc = bench_rules(out, path);
    return rc < 0 ? rc : bench_forward(out, path);
}
