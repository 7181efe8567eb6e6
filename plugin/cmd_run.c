/* flyback run: the plugin: three stages on three threads, until it is told to stop. */
#include "plugin/commands.h"

#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugin/input.h"
#include "plugin/k_factor_file.h"
#include "plugin/log.h"
#include "plugin/page/page.h"
#include "plugin/pool.h"
#include "plugin/roles.h"
#include "plugin/stage_engine.h"
#include "plugin/stage_ingest.h"
#include "plugin/stage_publish.h"
#include "plugin/system_clock.h"
#include "stream/keys.h"
#include "stream/zap.h"

extern char **environ;

enum { WAIT_MS = 200 };

struct plugin {
    struct fly_options options;
    struct fly_clock clock;
    struct fly_bus bus;
    int bus_open;
    struct fly_net *net;
    struct fly_key_pair keys; /* ours; empty: none */
    struct fly_zap *gate;     /* NULL: no keys */
    struct fly_endpoint *ingest, *publish, *control;
    struct fly_page *page; /* NULL: none asked for, or it cannot be had */
    struct fly_pool *pool;
    struct fly_embedder *embedder;
    struct fly_stage_engine *engine;
    struct fly_stage_ingest *producer;
    struct fly_stage_publish *publisher;
    pthread_t threads[3];
    int n_threads;
    atomic_int stop_ingest, stop_engine, stop_publish;
};

static void print_help(void)
{
    struct fly_text text;

    fly_text_init(&text);
    fly_options_help(&text, NULL);
    printf("Usage: flyback run [--config FILE] [--set key=value ...] [--KEY VALUE ...]\n"
           "\n"
           "The plugin: takes HAADF lines and EDS photons from the instrument, records them, and publishes\n"
           "labelled maps while the beam still scans. Runs until SIGTERM or Ctrl-C; a session that is open\n"
           "then stays on disk and goes on at the next start.\n"
           "\n"
           "  --config FILE       settings in YAML; may be given several times, the later wins\n"
           "  --set key=value     one setting\n"
           "  --print-config      print the settings in force as a YAML page and exit\n"
           "  --crash-at P:N      for tests of restarts: SIGKILL itself at the Nth arrival, recorded, embedded\n"
           "                      or published\n"
           "\n"
           "Settings (each also as --KEY VALUE, and as FLYBACK_SECTION_KEY in the environment)\n%s"
           "\n"
           "Examples\n"
           "  flyback run --set chip.size_px=15 --set fewshot.support=classes.json\n"
           "  flyback run --config configs/demo.yaml --recording.dir /data/flyback\n"
           "  flyback run --security.keys keys/server --security.allow keys/allow.txt --sockets.control tcp://0.0.0.0:5572\n",
           fly_text_str(&text));
    fly_text_fini(&text);
}

/* ---- threads ----------------------------------------------------------------------------------- */

static void *producer_main(void *arg)
{
    struct plugin *p = arg;

    while (!atomic_load_explicit(&p->stop_ingest, memory_order_acquire))
        if (!fly_stage_ingest_step(p->producer))
            fly_stage_ingest_wait(p->producer, WAIT_MS);
    return NULL;
}

static void *engine_main(void *arg)
{
    struct plugin *p = arg;

    while (!atomic_load_explicit(&p->stop_engine, memory_order_acquire))
        if (!fly_stage_engine_step(p->engine))
            fly_stage_engine_wait(p->engine, WAIT_MS);
    return NULL;
}

static void *publisher_main(void *arg)
{
    struct plugin *p = arg;

    while (!atomic_load_explicit(&p->stop_publish, memory_order_acquire))
        if (!fly_stage_publish_step(p->publisher))
            fly_stage_publish_wait(p->publisher, p->options.recording.sync_ms < WAIT_MS
                                                     ? p->options.recording.sync_ms
                                                     : WAIT_MS);
    /* What was said last still goes out. */
    fly_stage_publish_step(p->publisher);
    return NULL;
}

static void log_level(int level)
{
    fly_log_set_level((enum fly_log_level)level);
}

static void log_event(const struct fly_event *event)
{
    static const enum fly_log_level levels[] = {FLY_LOG_INFO, FLY_LOG_WARNING, FLY_LOG_ERROR};

    fly_log(levels[event->level], event->code, "%s", event->text);
}

/* ---- up and down ------------------------------------------------------------------------------- */

static void tell_refused(void *ctx, const char *text)
{
    struct plugin *p = ctx;

    fly_bus_refuse_peer(&p->bus, text);
}

static void tell_reread(void *ctx, int ok, const char *text)
{
    struct plugin *p = ctx;

    fly_bus_event(&p->bus, ok ? FLY_INFO : FLY_ERROR, "allow_list", NULL, 0, "%s%s", text,
                  ok ? "" : "; the list before stays in force");
}

/* Before the sockets: they ask it about everyone who comes. */
static int open_gate(struct plugin *p)
{
    struct fly_zap_config config = {
        .net = p->net,
        .allow = p->options.security.allow,
        .domains = {{"ingest", FLY_ROLES_INGEST}, {"publish", FLY_ROLES_PUBLISH}, {"control", FLY_ROLES_CONTROL}},
        .n_domains = 3,
        .refused = tell_refused,
        .reread = tell_reread,
        .ctx = p};
    const char *key = "security.keys";
    char text[480];
    int rc;

    if (!p->options.security.keys[0])
        return FLY_OK;
    rc = fly_key_pair_read(&p->keys, p->options.security.keys);
    if (rc == FLY_OK) {
        key = "security.allow";
        rc = fly_zap_open(&p->gate, &config);
    }
    if (rc == FLY_OK)
        return rc;
    snprintf(text, sizeof text, "%s", fly_fail_text());
    return fly_fail(rc, "%s: %s", key, text);
}

static int open_endpoint(struct plugin *p, struct fly_endpoint **out, enum fly_socket socket,
                         const char *address, const char *key, uint32_t admits)
{
    struct fly_endpoint_config config = {
        .socket = socket,
        .address = address,
        .bind = 1,
        .high_water = socket == FLY_PULL ? 256 : 1000,
        .part_max = FLY_PAYLOAD_MAX,
        .linger_ms = socket == FLY_ROUTER ? 1000 : 0,
    };
    char text[480];
    int rc;

    if (p->gate) {
        config.door = fly_zap_door(p->gate);
        config.domain = key;
        config.admits = admits;
        memcpy(config.curve.secret_key, p->keys.secret_key, sizeof config.curve.secret_key);
    }
    rc = fly_endpoint_open(out, p->net, &config);
    explicit_bzero(&config.curve, sizeof config.curve);

    if (rc == FLY_OK)
        return rc;
    snprintf(text, sizeof text, "%s", fly_fail_text());
    return fly_fail(rc, "sockets.%s: %s", key, text);
}

/* The instrument does not stop for a page: without one the plugin runs on, and says what to do. */
static int open_page(struct plugin *p)
{
    static const char publish[] = "inproc://page-publish", control[] = "inproc://page-control";
    int rc;

    if (!p->options.page.listen[0])
        return FLY_OK;
    rc = fly_endpoint_bind_inproc(p->publish, publish);
    if (rc == FLY_OK)
        rc = fly_endpoint_bind_inproc(p->control, control);
    if (rc == FLY_OK)
        rc = fly_page_open(&p->page, &(struct fly_page_config){.net = p->net,
                                                               .clock = p->clock,
                                                               .listen = p->options.page.listen,
                                                               .publish = publish,
                                                               .control = control});
    if (rc < 0)
        fly_bus_event(&p->bus, FLY_WARNING, "page", NULL, 0,
                      "no live page: %s. End the program that holds the address (another Flyback?), or start with "
                      "--page.listen 127.0.0.1:0, any free port. All else runs", fly_fail_text());
    return FLY_OK;
}

static int bring_up(struct plugin *p)
{
    struct fly_disk disk = fly_disk_system();
    int rc = fly_bus_init(&p->bus, &p->clock);

    p->bus_open = rc == FLY_OK;
    if (rc == FLY_OK)
        rc = fly_net_open(&p->net);
    if (rc == FLY_OK)
        rc = open_gate(p);
    if (rc == FLY_OK)
        rc = open_endpoint(p, &p->ingest, FLY_PULL, p->options.sockets.ingest, "ingest", FLY_ROLES_INGEST);
    if (rc == FLY_OK)
        rc = open_endpoint(p, &p->publish, FLY_XPUB, p->options.sockets.publish, "publish", FLY_ROLES_PUBLISH);
    /* Whoever has lost all roles is still to be told so: the desk looks at each request. */
    if (rc == FLY_OK)
        rc = open_endpoint(p, &p->control, FLY_ROUTER, p->options.sockets.control, "control", 0);
    fly_key_pair_wipe(&p->keys); /* libzmq has its copy */
    if (rc == FLY_OK)
        rc = open_page(p);
    if (rc == FLY_OK)
        rc = fly_pool_open(&p->pool, p->options.engine.threads);
    if (rc == FLY_OK)
        rc = fly_embedder_from_options(&p->embedder, &p->options, fly_pool_exec(p->pool).width);
    if (rc == FLY_OK)
        rc = fly_stage_engine_open(&p->engine, &(struct fly_stage_engine_config){
                                                   .bus = &p->bus,
                                                   .clock = p->clock,
                                                   .exec = fly_pool_exec(p->pool),
                                                   .embedder = p->embedder,
                                                   .options = p->options,
                                               });
    if (rc == FLY_OK)
        rc = fly_stage_ingest_open(
            &p->producer,
            &(struct fly_stage_ingest_config){
                .bus = &p->bus,
                .clock = p->clock,
                .disk = disk,
                .options = &p->options,
                .endpoint = p->ingest,
                .engine = p->engine,
                .step_chips = fly_embedder_batch(p->embedder) * fly_pool_exec(p->pool).width,
                .exec_width = fly_pool_exec(p->pool).width,
            });
    if (rc == FLY_OK)
        rc = fly_stage_publish_open(&p->publisher, &(struct fly_stage_publish_config){
                                                       .bus = &p->bus,
                                                       .clock = p->clock,
                                                       .options = &p->options,
                                                       .publish = p->publish,
                                                       .control = p->control,
                                                       .engine = p->engine,
                                                       .ingest_address = fly_endpoint_address(p->ingest),
                                                       .page_url = p->page ? fly_page_url(p->page) : NULL,
                                                       .embedder = fly_embedder_name(p->embedder),
                                                       .log_event = log_event,
                                                       .log_level = log_level,
                                                   });
    if (rc == FLY_OK)
        rc = fly_stage_ingest_resume(p->producer);
    return rc;
}

static int start_threads(struct plugin *p)
{
    void *(*const mains[3])(void *) = {publisher_main, engine_main, producer_main};

    for (int i = 0; i < 3; i++) {
        int err = pthread_create(&p->threads[i], NULL, mains[i], p);

        if (err)
            return fly_fail(FLY_EIO, "stage thread: %s", strerror(err));
        p->n_threads++;
    }
    return FLY_OK;
}

/* In the order of the flow: the producer takes no more; the engine finishes its turn; the publisher says
 * what is left. Then the recording is written out: the disk has everything that was accepted. */
static void bring_down(struct plugin *p)
{
    atomic_int *stops[3] = {&p->stop_publish, &p->stop_engine, &p->stop_ingest};

    fly_page_close(&p->page); /* who looks on is let go first: nothing waits for them, nor they for us */
    for (int i = p->n_threads - 1; i >= 0; i--) {
        atomic_store_explicit(stops[i], 1, memory_order_release);
        if (i == 2)
            fly_stage_ingest_wake(p->producer);
        else if (i == 1)
            fly_stage_engine_wake(p->engine);
        else
            fly_bus_wake_publisher(&p->bus);
        pthread_join(p->threads[i], NULL);
    }
    fly_stage_publish_close(&p->publisher);
    fly_stage_ingest_close(&p->producer);
    fly_stage_engine_close(&p->engine);
    fly_embedder_close(&p->embedder);
    fly_pool_close(&p->pool);
    fly_endpoint_close(&p->control);
    fly_endpoint_close(&p->publish);
    fly_endpoint_close(&p->ingest);
    fly_zap_close(&p->gate);
    fly_net_close(&p->net);
    if (p->bus_open) {
        fly_session_info_drop(&p->bus.opened);
        fly_bus_fini(&p->bus);
    }
}

/* ---- the command ------------------------------------------------------------------------------- */

/* FLY_OK; 1 when everything asked for was printed. */
static int parse(struct plugin *p, int argc, char **argv)
{
    enum { HELP = 1, PRINT, CRASH };
    static const struct option longs[] = {
        {"help", 0, 0, HELP}, {"print-config", 0, 0, PRINT}, {"crash-at", 1, 0, CRASH}, {0, 0, 0, 0}};
    int c, print = 0, rc;

    fly_options_default(&p->options);
    rc = fly_options_load_args(&p->options, &argc, argv, environ);
    optind = 0;
    opterr = 0;
    while (rc == FLY_OK && (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        switch (c) {
        case HELP:
        case 'h':
            print_help();
            return 1;
        case PRINT:
            print = 1;
            break;
        case CRASH:
            rc = fly_crash_arm(optarg);
            break;
        default:
            rc = fly_fail(FLY_ERANGE, c == ':' ? "%s needs a value" : "%s: no such option (see --help)",
                          argv[optind - 1]);
        }
    }
    if (rc == FLY_OK && optind < argc)
        rc = fly_fail(FLY_ERANGE, "%s: settings are given with --set or --config (see --help)", argv[optind]);
    if (rc == FLY_OK)
        rc = fly_options_check(&p->options);
    if (rc == FLY_OK)
        rc = fly_k_factor_file_resolve(&p->options);
    if (rc == FLY_OK && print) {
        struct fly_text text;

        fly_text_init(&text);
        fly_options_print_yaml(&p->options, &text);
        fputs(fly_text_str(&text), stdout);
        fly_text_fini(&text);
        return 1;
    }
    return rc;
}

static atomic_int first_signal; /* any thread may get it */
static sem_t signalled;

static void on_signal(int number)
{
    int none = 0;

    atomic_compare_exchange_strong(&first_signal, &none, number);
    sem_post(&signalled);
}

/* Libraries have threads of their own before main, and theirs is a signal that all of ours block: as long as nobody waits for
 * it they would die of it, and we with them. So it is caught by whoever gets it, and ours block it, because it would
 * interrupt their calls. */
static void catch_signals(sigset_t *set)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sem_init(&signalled, 0, 0);
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    act.sa_mask = *set;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static int wait_for_signal(const sigset_t *set)
{
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
    while (!atomic_load(&first_signal))
        sem_wait(&signalled);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    return atomic_load(&first_signal);
}

int fly_cmd_run(int argc, char **argv)
{
    struct plugin *p = calloc(1, sizeof *p);
    sigset_t set;
    int rc, signal = 0;

    if (!p) {
        fprintf(stderr, "flyback run: no memory\n");
        return 1;
    }
    rc = parse(p, argc, argv);
    if (rc != FLY_OK) {
        if (rc < 0)
            fprintf(stderr, "flyback run: %s\n", fly_fail_text());
        free(p);
        return rc < 0 ? 2 : 0;
    }
    p->clock = fly_clock_system();
    fly_log_open(&(struct fly_log_config){.level = (enum fly_log_level)p->options.log.level,
                                          .format = (enum fly_log_format)p->options.log.format,
                                          .fd = 2,
                                          .colour = -1});
    catch_signals(&set); /* before any thread is made: all of them inherit what is blocked */
    rc = bring_up(p);
    if (rc == FLY_OK)
        rc = start_threads(p);
    if (rc == FLY_OK) {
        fly_log(FLY_LOG_INFO, "ready", "ingest %s, publish %s, control %s, embedder %s",
                fly_endpoint_address(p->ingest), fly_endpoint_address(p->publish),
                fly_endpoint_address(p->control), fly_embedder_name(p->embedder));
        if (p->gate)
            fly_log(FLY_LOG_INFO, "keys", "%s: clients with keys of %s alone, %d in the list now",
                    p->keys.public_key, p->options.security.allow, (int)fly_zap_clients(p->gate));
        if (p->page)
            fly_log(FLY_LOG_INFO, "page", "%s", fly_page_url(p->page));
        signal = wait_for_signal(&set);
        fly_log(FLY_LOG_INFO, "stopping", "%s: writing out what was accepted",
                signal == SIGINT ? "interrupted" : "asked to stop");
    } else {
        fly_log(FLY_LOG_ERROR, "start", "%s", fly_fail_text());
    }
    bring_down(p);
    free(p);
    if (rc < 0)
        return rc == FLY_ERANGE ? 2 : 1;
    return signal == SIGINT ? 130 : 0;
}
