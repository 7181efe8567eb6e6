/* flyback watch: the live map in a terminal. */
#include "plugin/commands.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/number.h"
#include "plugin/options.h"
#include "plugin/page/convert.h"
#include "plugin/watch.h"
#include "stream/keys.h"
#include "stream/net.h"

extern char **environ;

enum { FRAME_MS = 100, LINE_MS = 1000, ASK_MS = 1000, LINGER_MS = 1000 };

struct watcher {
    const char *publish, *control, *keys, *server_key;
    struct fly_curve curve;
    const char *method, *modality;
    double seconds;    /* 0: no limit */
    int once, forever;
    struct fly_options options;
    struct fly_watch watch;
    struct fly_net *net;
    struct fly_endpoint *sub, *dealer;
    struct fly_terminal terminal;
    struct fly_text frame;
    int entered;       /* the terminal was cleared for us */
    int told;          /* that the greeting breaks off */
    int64_t drawn_ms, stopped_ms;
    uint64_t asked;    /* questions */
    struct question {
        uint64_t id;   /* of the newest; 0: none */
        int64_t ms;
    } map, status;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void print_help(void)
{
    printf("Usage: flyback watch [options]\n"
           "\n"
           "The map of a running session in this terminal, redrawn as it sharpens; on a pipe or in a file, one\n"
           "line a second. Ends with the session.\n"
           "\n"
           "  --publish ADDRESS   where maps are published (sockets.publish)\n"
           "  --control ADDRESS   where whole maps and the state of steering are asked for (sockets.control)\n"
           "  --keys DIR          our pair of keys (flyback keygen), where Flyback runs with keys\n"
           "  --server-key FILE   its public.key, or the 40 characters themselves\n"
           "  --method METHOD     fewshot (default), community or ward\n"
           "  --modality NAME     haadf, eds or ensemble (default)\n"
           "  --seconds N         end after N seconds, whatever comes\n"
           "  --once              draw the first whole picture and end\n"
           "  --forever           stay when a session stops, and follow the next\n"
           "  --config FILE, --set key=value   settings, for the two addresses\n"
           "\n"
           "NO_COLOR: letters in place of colours. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n"
           "\n"
           "Examples\n"
           "  flyback watch\n"
           "  flyback watch --publish tcp://127.0.0.1:6571 --modality haadf --once\n");
}

static int is_word(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(word, *words) == 0)
            return 1;
    }
    return 0;
}

/* -1: go on; else the exit code. */
static int read_args(struct watcher *w, int argc, char **argv)
{
    enum { PUBLISH = 1, CONTROL, KEYS, SERVER_KEY, METHOD, MODALITY, SECONDS, ONCE, FOREVER, HELP };
    static const struct option options[] = {
        {"publish", 1, 0, PUBLISH}, {"control", 1, 0, CONTROL}, {"method", 1, 0, METHOD},
        {"keys", 1, 0, KEYS}, {"server-key", 1, 0, SERVER_KEY},
        {"modality", 1, 0, MODALITY}, {"seconds", 1, 0, SECONDS}, {"once", 0, 0, ONCE},
        {"forever", 0, 0, FOREVER}, {"help", 0, 0, HELP}, {0, 0, 0, 0}};
    static const char *const methods[] = {"fewshot", "community", "ward", NULL};
    static const char *const modalities[] = {"haadf", "eds", "ensemble", NULL};
    int rc;

    fly_options_default(&w->options);
    rc = fly_options_load_args(&w->options, &argc, argv, environ);
    if (rc < 0) {
        fprintf(stderr, "flyback watch: %s\n", fly_fail_text());
        return 2;
    }
    w->publish = w->options.sockets.publish;
    w->control = w->options.sockets.control;
    w->method = methods[0];
    w->modality = modalities[2];
    optind = 0; /* glibc: begin anew */
    for (;;) {
        int option = getopt_long(argc, argv, "h", options, NULL);

        switch (option) {
        case -1:
            if (optind < argc) {
                fprintf(stderr, "flyback watch: \"%s\": it takes options alone, see --help\n", argv[optind]);
                return 2;
            }
            if (fly_client_keys(&w->curve, w->keys, w->server_key) < 0) {
                fprintf(stderr, "flyback watch: %s\n", fly_fail_text());
                return 2;
            }
            return -1;
        case PUBLISH:
            w->publish = optarg;
            break;
        case CONTROL:
            w->control = optarg;
            break;
        case KEYS:
            w->keys = optarg;
            break;
        case SERVER_KEY:
            w->server_key = optarg;
            break;
        case METHOD:
            if (!is_word(optarg, methods)) {
                fprintf(stderr, "flyback watch: --method %s: it is fewshot, community or ward\n", optarg);
                return 2;
            }
            w->method = optarg;
            break;
        case MODALITY:
            if (!is_word(optarg, modalities)) {
                fprintf(stderr, "flyback watch: --modality %s: it is haadf, eds or ensemble\n", optarg);
                return 2;
            }
            w->modality = optarg;
            break;
        case SECONDS:
            if (!fly_number_parse(optarg, strlen(optarg), &w->seconds) || !(w->seconds > 0)) {
                fprintf(stderr, "flyback watch: --seconds %s: it is a number above 0\n", optarg);
                return 2;
            }
            break;
        case ONCE:
            w->once = 1;
            break;
        case FOREVER:
            w->forever = 1;
            break;
        case HELP:
        case 'h':
            print_help();
            return 0;
        default:
            return 2; /* getopt has said why */
        }
    }
}

static int open_sockets(struct watcher *w)
{
    int rc = fly_net_open(&w->net);

    if (rc == FLY_OK)
        rc = fly_endpoint_open(&w->sub, w->net,
                               &(struct fly_endpoint_config){.socket = FLY_SUB, .address = w->publish,
                                                             .high_water = 1000, .curve = w->curve});
    if (rc == FLY_OK)
        rc = fly_endpoint_subscribe(w->sub, "");
    if (rc == FLY_OK)
        rc = fly_endpoint_open(&w->dealer, w->net,
                               &(struct fly_endpoint_config){.socket = FLY_DEALER, .address = w->control,
                                                             .high_water = 10, .curve = w->curve});
    explicit_bzero(&w->curve, sizeof w->curve); /* libzmq has its copy */
    return rc;
}

/* At most once a second. args: packed, or NULL. */
static void ask(struct watcher *w, struct question *question, const char *op, const struct fly_pack *args, int64_t now)
{
    unsigned char bytes[512];
    struct fly_pack pack;
    struct fly_part parts[2] = {{"", 0}}, packed = {args ? args->bytes : NULL, args ? args->len : 0};

    if (question->id && now - question->ms < ASK_MS)
        return;
    *question = (struct question){++w->asked, now};
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_request_pack(&pack, question->id, op, args ? &packed : NULL);
    FLY_ASSERT(!pack.full);
    parts[1] = (struct fly_part){bytes, pack.len};
    /* Nobody there: the next keyframe, and the next second, help as well. */
    (void)!fly_endpoint_send(w->dealer, parts, 2);
}

static void ask_map(struct watcher *w, int64_t now)
{
    unsigned char bytes[128];
    struct fly_pack args;

    fly_pack_init(&args, bytes, sizeof bytes);
    fly_pack_map(&args, 2);
    fly_pack_str(&args, "method");
    fly_pack_str(&args, w->method);
    fly_pack_str(&args, "modality");
    fly_pack_str(&args, w->modality);
    ask(w, &w->map, "map.get", &args, now);
}

/* A reply of control; only the answer to a newest question counts, and a refusal means to go on waiting. */
static void take_reply(struct watcher *w, const struct fly_msg *msg)
{
    struct fly_value header, value;
    uint64_t id;
    int ok = 0;

    if (msg->n_parts < 2 || msg->parts[0].len != 0 ||
        fly_wire_scan(msg->parts[1].bytes, msg->parts[1].len) != FLY_REFUSE_NONE)
        return;
    header = fly_value_root(msg->parts[1].bytes, msg->parts[1].len);
    if (!fly_value_get(header, "id", &value) || !fly_value_uint(value, &id) || (id != w->map.id && id != w->status.id))
        return;
    if (!fly_value_get(header, "ok", &value) || !fly_value_bool(value, &ok) || !ok)
        return;
    if (!fly_value_get(header, "result", &value) || fly_value_kind(value) != FLY_KIND_MAP)
        return;
    if (id == w->status.id)
        fly_watch_take_status(&w->watch, value);
    else if (fly_watch_take_map(&w->watch, value, msg->parts + 2, msg->n_parts - 2) < 0)
        fprintf(stderr, "flyback watch: %s\n", fly_fail_text());
}

static void receive(struct watcher *w)
{
    struct fly_msg msg;

    while (!interrupted && fly_endpoint_recv(w->sub, &msg) == FLY_OK) {
        if (fly_watch_take(&w->watch, msg.parts, msg.n_parts) < 0)
            snprintf(w->watch.view.event, sizeof w->watch.view.event, "passed over: %.180s", fly_fail_text());
        fly_msg_close(&msg);
    }
    while (fly_endpoint_recv(w->dealer, &msg) == FLY_OK) {
        take_reply(w, &msg);
        fly_msg_close(&msg);
    }
}

/* Write all of the frame, or say that nobody reads any more. */
static int put_frame(struct watcher *w)
{
    size_t done = 0;

    if (fly_text_done(&w->frame, "the frame") < 0)
        return FLY_ENOMEM;
    while (done < w->frame.len) {
        ssize_t n = write(STDOUT_FILENO, w->frame.bytes + done, w->frame.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fly_fail(FLY_EIO, "standard output: %s", strerror(errno));
        done += (size_t)n;
    }
    return FLY_OK;
}

/* whole: a picture also where lines would do. */
static int draw(struct watcher *w, int64_t now, int whole)
{
    fly_text_clear(&w->frame);
    w->drawn_ms = now;
    w->watch.changed = 0;
    if (w->terminal.redraw) {
        int32_t cols = w->terminal.cols, rows = w->terminal.rows;

        fly_terminal_look(&w->terminal, STDOUT_FILENO);
        if (!w->entered || cols != w->terminal.cols || rows != w->terminal.rows)
            fly_text_add(&w->frame, fly_terminal_enter);
        w->entered = 1;
    }
    if (w->terminal.cols < 20)
        w->terminal.cols = 20;
    if (w->terminal.rows < 6)
        w->terminal.rows = 6;
    if (w->terminal.redraw || whole)
        fly_terminal_draw(&w->frame, &w->watch.view, &w->terminal);
    else
        fly_terminal_line(&w->frame, &w->watch.view);
    return put_frame(w);
}

/* The session has ended and its last map is here, or does not come. */
static int is_over(struct watcher *w, int64_t now)
{
    if (!w->watch.stopped || w->forever) {
        w->stopped_ms = 0;
        return 0;
    }
    if (!w->stopped_ms)
        w->stopped_ms = now;
    return w->watch.complete || now - w->stopped_ms >= LINGER_MS;
}

/* A viewer waits for a Flyback that is not there yet; for one that will not have it there is nothing to wait for. */
static int look_at_handshake(struct watcher *w)
{
    int rc = fly_endpoint_handshake(w->sub);

    if (rc == FLY_EAGAIN && !w->told)
        fprintf(stderr, "flyback watch: %s: %s\n", w->publish, fly_fail_text());
    w->told |= rc == FLY_EAGAIN;
    return rc == FLY_EIO ? rc : FLY_OK;
}

static int run(struct watcher *w)
{
    int64_t began = now_ms();

    for (;;) {
        struct fly_endpoint *both[2] = {w->sub, w->dealer};
        int64_t now;
        int over, every = w->terminal.redraw ? FRAME_MS : LINE_MS;

        (void)!fly_net_wait(both, 2, 0, -1, FRAME_MS);
        receive(w);
        if (look_at_handshake(w) < 0)
            return 1;
        now = now_ms();
        if (w->watch.wants_map)
            ask_map(w, now);
        ask(w, &w->status, "status", NULL, now);
        if (interrupted)
            return 130;
        over = is_over(w, now) || (w->seconds > 0 && now - began >= (int64_t)(w->seconds * 1000));
        if (w->once) {
            if (over || (w->watch.map_seq > 0 && w->watch.heard))
                return draw(w, now, 1) < 0;
        } else if (over || (w->watch.changed && now - w->drawn_ms >= every)) {
            if (draw(w, now, 0) < 0)
                return 1;
        }
        if (over)
            return 0;
    }
}

int fly_cmd_watch(int argc, char **argv)
{
    struct watcher *w = calloc(1, sizeof *w);
    struct sigaction on = {.sa_handler = on_interrupt}, before;
    int code;

    if (!w) {
        fprintf(stderr, "flyback watch: no memory\n");
        return 1;
    }
    code = read_args(w, argc, argv);
    if (code >= 0) {
        free(w);
        return code;
    }
    fly_watch_init(&w->watch, w->method, w->modality);
    fly_text_init(&w->frame);
    fly_terminal_look(&w->terminal, STDOUT_FILENO);
    if (w->once && !w->terminal.redraw) { /* nobody scrolls here: the whole map, a letter a chip */
        w->terminal.cols = 8192;
        w->terminal.rows = 8192;
    }
    if (w->once)
        w->terminal.redraw = 0; /* what it draws stays where it is */
    interrupted = 0;
    sigaction(SIGINT, &on, &before);
    code = open_sockets(w) < 0 ? 1 : run(w);
    if (code == 1)
        fprintf(stderr, "flyback watch: %s\n", fly_fail_text());
    sigaction(SIGINT, &before, NULL);
    if (w->entered) {
        ssize_t wrote = write(STDOUT_FILENO, fly_terminal_leave, strlen(fly_terminal_leave));

        wrote = wrote < 0 ? wrote : write(STDOUT_FILENO, "\n", 1);
        (void)wrote;
    }
    fly_endpoint_close(&w->dealer);
    fly_endpoint_close(&w->sub);
    fly_net_close(&w->net);
    fly_watch_fini(&w->watch);
    fly_text_fini(&w->frame);
    free(w);
    return code;
}
