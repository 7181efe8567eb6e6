#include "plugin/guard/guard.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/guard/guard_state.h"

enum { TURN_MS = 50, MESSAGES_A_TURN = 32, LINGER_MS = 500 };

const char *const fly_guard_modes[FLY_GUARD_MODES] = {"off", "advise", "ask", "auto"};

const char *fly_guard_state_name(enum fly_guard_state state)
{
    static const char *const names[] = {"waiting", "steering", "held", "safe"};

    return names[state];
}

int64_t fly_guard_mono(const struct fly_guard *g)
{
    return g->config.clock.mono_ns(g->config.clock.ctx);
}

int64_t fly_guard_unix(const struct fly_guard *g)
{
    return g->config.clock.unix_ns(g->config.clock.ctx);
}

void fly_guard_say(const struct fly_guard *g, enum fly_guard_level level, const char *code, const char *format, ...)
{
    char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    g->config.say(g->config.ctx, level, code, text);
}

int fly_guard_steers(const struct fly_guard *g)
{
    return g->acquisition.attached && g->acquisition.mode >= FLY_GUARD_MODE_ASK;
}

int fly_guard_held(const struct fly_guard *g)
{
    return g->held || g->plugin.held;
}

enum fly_guard_state fly_guard_state_of(const struct fly_guard *g)
{
    if (!fly_guard_steers(g) || g->acquisition.gone)
        return FLY_GUARD_WAITING;
    if (g->plugin.lost)
        return FLY_GUARD_SAFE;
    if (fly_guard_held(g))
        return FLY_GUARD_HOLDING;
    return g->plugin.attached ? FLY_GUARD_STEERING : FLY_GUARD_WAITING;
}

void fly_guard_wrote(struct fly_guard *g, int rc)
{
    if (rc < 0)
        fly_guard_say(g, FLY_GUARD_ERROR, "journal", "%s: no command passes", fly_fail_text());
}

/* ---- orders of our own --------------------------------------------------------------------------------- */

static void send_order(struct fly_guard *g)
{
    struct fly_command command = {.kind = g->order.kind, .frame = -1, .dwell_us = NAN,
                                  .valid_until_ns = fly_guard_unix(g) + 10 * INT64_C(1000000000)};

    memcpy(command.cmd_id, g->order.cmd_id, sizeof command.cmd_id);
    g->order.sent_ns = fly_guard_mono(g);
    /* A peer that is not there is noticed by its silence. */
    (void)fly_guard_acquisition_command(g, &command);
}

/* A raster may go on without a plugin to watch it: only where its dose can be booked, and fits. */
static int may_raster(const struct fly_guard *g)
{
    const struct fly_guard_book *book = &g->book;
    double frame = (double)book->survey_ns * 1e-3 * book->factor;

    return g->has_book && frame > 0 && fly_guard_book_worst(book) + frame <= g->in_force.chip_dose_e_per_A2 &&
           fly_guard_book_mean(book) + frame <= g->in_force.total_dose_e_per_A2;
}

void fly_guard_give_order(struct fly_guard *g, enum fly_command_kind kind, const char *why)
{
    struct fly_guard_order *order = &g->order;

    if (kind == FLY_COMMAND_RASTER && fly_guard_held(g))
        kind = FLY_COMMAND_STOP;
    else if (kind == FLY_COMMAND_RASTER && !may_raster(g))
        kind = FLY_COMMAND_BLANK;
    *order = (struct fly_guard_order){.active = 1, .kind = kind, .since_ns = fly_guard_mono(g)};
    /* By the clock, so that a restarted guard does not use a number again; rising within the same ms. */
    g->own = g->own >= (uint64_t)(fly_guard_unix(g) / 1000000) ? g->own + 1 : (uint64_t)(fly_guard_unix(g) / 1000000);
    snprintf(order->cmd_id, sizeof order->cmd_id, "guard-%llu", (unsigned long long)g->own);
    if (g->acquisition.attached)
        send_order(g);
    fly_guard_say(g, FLY_GUARD_WARNING, "safe", "%s: the acquisition is told to %s", why, fly_command_kind_name(kind));
    fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), "safe", fly_command_kind_name(kind), why));
}

enum fly_command_kind fly_guard_safe_kind(const struct fly_guard *g)
{
    static const enum fly_command_kind kinds[] = {[FLY_GUARD_SAFE_STOP] = FLY_COMMAND_STOP,
                                                  [FLY_GUARD_SAFE_BLANK] = FLY_COMMAND_BLANK,
                                                  [FLY_GUARD_SAFE_RASTER] = FLY_COMMAND_RASTER};

    return kinds[g->in_force.safe_state];
}

/* Each frame is booked as it begins, as fast as the dwell time allows; those of a turn with one line. */
static void meter_raster(struct fly_guard *g, int64_t now)
{
    struct fly_guard_order *order = &g->order;
    int64_t begun = 0;
    double frame_ns;
    int fits = 1;

    if (!order->active || order->kind != FLY_COMMAND_RASTER || !g->has_book)
        return;
    frame_ns = (double)g->book.survey_ns * g->book.session.height_px * g->book.session.width_px;
    while ((double)order->frames <= (double)(now - order->since_ns) / frame_ns && (fits = may_raster(g))) {
        order->frames++;
        begun++;
        fly_guard_book_frame(&g->book);
    }
    if (!fits)
        fly_guard_give_order(g, FLY_COMMAND_BLANK, "another full frame would pass a dose limit");
    if (begun > 0)
        fly_guard_wrote(g, fly_guard_journal_frames(&g->journal, fly_guard_unix(g), begun));
}

/* ---- hold ---------------------------------------------------------------------------------------------- */

/* What is at work is told to stop when a hold begins, whoever's it is. */
static void obey_hold(struct fly_guard *g)
{
    int held = fly_guard_held(g), rests = g->order.active && g->order.kind != FLY_COMMAND_RASTER;

    if (held && !g->told_held && fly_guard_steers(g) && !rests)
        fly_guard_give_order(g, FLY_COMMAND_STOP, g->held ? "held" : "held at the plugin");
    g->told_held = held && (g->told_held || fly_guard_steers(g));
}

void fly_guard_set_hold(struct fly_guard *g, int held, const char *by)
{
    if (g->held == held)
        return;
    g->held = held;
    snprintf(g->held_by, sizeof g->held_by, "held by %s", by);
    obey_hold(g);
    (void)fly_guard_plugin_ask_status(g);
    fly_guard_say(g, FLY_GUARD_WARNING, held ? "hold" : "resume", "%s by %s", held ? "held" : "resumed", by);
    fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), held ? "hold" : "resume", by, NULL));
    if (held)
        fly_guard_commands_drop(g, "held since it came");
}

static void obey_signal(struct fly_guard *g)
{
    int said = g->signal;

    if (said == 0)
        return;
    g->signal = 0;
    fly_guard_set_hold(g, said == 1, "signal");
}

void fly_guard_hold_by_signal(struct fly_guard *guard, int hold)
{
    guard->signal = hold ? 1 : 2;
}

/* ---- silence ------------------------------------------------------------------------------------------- */

void fly_guard_abandon(struct fly_guard *g, const char *why)
{
    if (!g->has_book || g->book.n_open == 0)
        return;
    for (int i = 0; i < FLY_GUARD_TRACKED; i++)
        if (g->book.tracks[i].stage == FLY_GUARD_SENT || g->book.tracks[i].stage == FLY_GUARD_STARTED)
            fly_guard_plugin_reject(g, g->book.tracks[i].cmd_id, why);
    fly_guard_book_abandon(&g->book, fly_guard_mono(g));
    fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), "abandon", NULL, why));
}

void fly_guard_part(struct fly_guard *g, const char *why, int for_good)
{
    struct fly_guard_acquisition *a = &g->acquisition;

    if (!a->attached)
        return;
    if (!a->gone) {
        fly_guard_say(g, FLY_GUARD_WARNING, "detach", "acquisition %s: %s", a->name, why);
        fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), "detach", "acquisition", why));
        fly_guard_abandon(g, why);
        fly_guard_plugin_leave(g);
    }
    a->gone = 1;
    g->told_held = 0;
    if (!for_good)
        return;
    *a = (struct fly_guard_acquisition){0};
    g->in_force = g->config.limits;
    if (g->order.kind != FLY_COMMAND_RASTER) /* that may still go on, and is booked */
        g->order.active = 0;
}

static void watch_acquisition(struct fly_guard *g, int64_t now)
{
    struct fly_guard_acquisition *a = &g->acquisition;

    if (!a->attached)
        return;
    if (now - a->heard_ns > FLY_GUARD_FREE_NS)
        fly_guard_part(g, "silent for 5 s", 1);
    else if (now - a->heard_ns > FLY_GUARD_GONE_NS)
        fly_guard_part(g, "silent for 2 s", 0);
}

static void watch_plugin(struct fly_guard *g, int64_t now)
{
    struct fly_guard_plugin *p = &g->plugin;
    char why[80];

    if (!p->heard || p->lost || (double)(now - p->heard_ns) <= g->in_force.heartbeat_s * 1e9)
        return;
    p->lost = 1;
    p->attached = p->ledger_answered = 0; /* a hold of its own stands until it says otherwise */
    fly_guard_plugin_forget(g);
    snprintf(why, sizeof why, "the plugin is silent for %g s", g->in_force.heartbeat_s);
    if (fly_guard_steers(g))
        fly_guard_give_order(g, fly_guard_safe_kind(g), why);
    else
        fly_guard_say(g, FLY_GUARD_WARNING, "plugin", "%s", why);
}

static void tick(struct fly_guard *g)
{
    int64_t now = fly_guard_mono(g);

    obey_signal(g);
    watch_plugin(g, now);
    watch_acquisition(g, now);
    obey_hold(g);
    meter_raster(g, now);
    if (g->has_book)
        fly_guard_book_lapse(&g->book, fly_guard_unix(g), now);
    if (g->has_book && !g->session_kept)
        g->session_kept = fly_guard_journal_session(&g->journal, fly_guard_unix(g), &g->book.session) == FLY_OK;
    if (g->order.active && !g->order.heard && g->acquisition.attached && now - g->order.sent_ns >= FLY_GUARD_BEAT_NS)
        send_order(g);
    if (now - g->beat_ns >= FLY_GUARD_BEAT_NS) {
        g->beat_ns = now;
        fly_guard_acquisition_beat(g);
    }
    fly_guard_plugin_ask(g);
}

/* ---- opening, turning, closing ------------------------------------------------------------------------- */

static void peer_refused(void *ctx, const char *text)
{
    fly_guard_say(ctx, FLY_GUARD_WARNING, "peer_refused", "%s", text);
}

static void list_reread(void *ctx, int ok, const char *text)
{
    fly_guard_say(ctx, ok ? FLY_GUARD_INFO : FLY_GUARD_ERROR, "allow_list", "%s%s", text,
                  ok ? "" : "; the list before stays in force");
}

static int open_sockets(struct fly_guard *g)
{
    const struct fly_guard_config *config = &g->config;
    struct fly_endpoint_config plugin = {.socket = FLY_DEALER, .address = config->plugin, .high_water = 1000,
                                         .linger_ms = LINGER_MS};
    struct fly_endpoint_config listen = {.socket = FLY_ROUTER, .address = config->listen, .bind = 1,
                                         .high_water = 1000, .part_max = FLY_HEADER_MAX, .linger_ms = LINGER_MS};
    struct fly_zap_config gate = {.allow = config->allow, .n_domains = 1, .refused = peer_refused,
                                   .reread = list_reread, .ctx = g,
                                   .domains = {{"guard", FLY_PEER_ALL & ~(uint32_t)FLY_PEER_GUARD}}};
    struct fly_key_pair pair = {0};
    int rc = fly_net_open(&g->net);

    if (rc == FLY_OK && config->plugin_key[0])
        rc = fly_client_keys(&plugin.curve, config->keys, config->plugin_key);
    if (rc == FLY_OK)
        rc = fly_endpoint_open(&g->plugin_end, g->net, &plugin);
    if (rc == FLY_OK && config->keys[0]) {
        gate.net = g->net;
        rc = fly_key_pair_read(&pair, config->keys);
        if (rc == FLY_OK)
            rc = fly_zap_open(&g->gate, &gate);
        if (rc == FLY_OK) {
            listen.door = fly_zap_door(g->gate);
            listen.domain = "guard";
            listen.admits = gate.domains[0].roles;
            memcpy(listen.curve.secret_key, pair.secret_key, sizeof listen.curve.secret_key);
        }
    }
    if (rc == FLY_OK)
        rc = fly_endpoint_open(&g->listen_end, g->net, &listen);
    fly_key_pair_wipe(&pair);
    explicit_bzero(&plugin.curve, sizeof plugin.curve);
    explicit_bzero(&listen.curve, sizeof listen.curve);
    return rc;
}

/* The past comes first: without it nobody knows what was exposed. */
static int open_journal(struct fly_guard *g)
{
    struct fly_guard_past past;
    int rc = fly_guard_journal_open(&g->journal, &g->config.disk, g->config.journal, &g->config.limits,
                                    fly_guard_unix(g), fly_guard_mono(g), &past);

    if (rc < 0)
        return rc;
    g->book = past.book;
    g->sessions = past.sessions;
    g->has_book = g->session_kept = past.has_session;
    g->held = past.held;
    snprintf(g->held_by, sizeof g->held_by, "held since before its restart");
    if (past.has_session)
        fly_guard_say(g, FLY_GUARD_INFO, "journal", "%lld lines read back: session %s, %d command%s, worst dose %g e-/A^2",
                      (long long)past.lines, g->book.session.id, (int)g->book.commands.count,
                      fly_plural(g->book.commands.count),
                      fly_guard_book_worst(&g->book));
    if (past.lines == 0)
        fly_guard_say(g, FLY_GUARD_WARNING, "journal_new", "%s is new: no dose, id or hold of an earlier guard is known",
                      g->config.journal);
    if (g->held)
        fly_guard_say(g, FLY_GUARD_WARNING, "hold", "held since before the restart");
    return fly_guard_journal_begin(&g->journal, fly_guard_unix(g), &g->config.limits);
}

int fly_guard_open(struct fly_guard **out, const struct fly_guard_config *config)
{
    struct fly_guard *g = calloc(1, sizeof *g);
    int rc;

    if (!g)
        return fly_fail(FLY_ENOMEM, "guard: no memory");
    g->config = *config;
    g->in_force = config->limits;
    g->journal.fd = -1;
    rc = open_journal(g);
    if (rc == FLY_OK)
        rc = open_sockets(g);
    if (rc < 0) {
        fly_guard_close(&g);
        return rc;
    }
    *out = g;
    return FLY_OK;
}

void fly_guard_close(struct fly_guard **guard)
{
    struct fly_guard *g = *guard;

    if (!g)
        return;
    if (g->listen_end && fly_guard_steers(g))
        /* Nobody would book the frames of a raster. */
        fly_guard_give_order(g, fly_guard_safe_kind(g) == FLY_COMMAND_RASTER ? FLY_COMMAND_BLANK : fly_guard_safe_kind(g),
                             "the guard ends");
    if (g->plugin_end)
        fly_guard_plugin_leave(g);
    if (g->listen_end)
        (void)fly_guard_journal_word(&g->journal, fly_guard_unix(g), "close", NULL, NULL);
    fly_guard_plugin_forget(g);
    fly_endpoint_close(&g->plugin_end);
    fly_endpoint_close(&g->listen_end);
    fly_zap_close(&g->gate);
    fly_net_close(&g->net);
    fly_guard_journal_close(&g->journal);
    fly_guard_book_close(&g->book);
    fly_guard_ids_close(&g->sessions);
    free(g);
    *guard = NULL;
}

int fly_guard_turn(struct fly_guard *g)
{
    struct fly_endpoint *ends[] = {g->plugin_end, g->listen_end};
    struct fly_msg msg;
    int rc;

    rc = fly_net_wait(ends, 2, 0, -1, TURN_MS);
    if (rc < 0 && rc != FLY_EAGAIN)
        return rc;
    /* A person's hold comes in at listen: before the commands that it is to stop. */
    for (int n = 0; n < MESSAGES_A_TURN && fly_endpoint_recv(g->listen_end, &msg) == FLY_OK; n++) {
        fly_guard_acquisition_read(g, &msg);
        fly_msg_close(&msg);
    }
    obey_signal(g);
    obey_hold(g);
    for (int n = 0; n < MESSAGES_A_TURN && fly_endpoint_recv(g->plugin_end, &msg) == FLY_OK; n++) {
        fly_guard_plugin_read(g, &msg);
        fly_msg_close(&msg);
    }
    /* Last: what a slow disk kept us from hearing is no silence. */
    tick(g);
    return FLY_OK;
}

void fly_guard_look(const struct fly_guard *g, struct fly_guard_look *look)
{
    *look = (struct fly_guard_look){
        .state = fly_guard_state_of(g),
        .session = g->plugin.session,
        .mode = g->acquisition.attached ? fly_guard_modes[g->acquisition.mode] : "",
        .plugin_attached = g->plugin.attached,
        .held = fly_guard_held(g),
        .journal_ok = g->journal.ok && !g->journal.broken,
        .passed = g->passed,
        .refused = g->refused,
        .worst_e_per_A2 = g->has_book ? fly_guard_book_worst(&g->book) : NAN,
        .mean_e_per_A2 = g->has_book ? fly_guard_book_mean(&g->book) : NAN,
        .last = g->last,
    };
}

const char *fly_guard_address(const struct fly_guard *g)
{
    return fly_endpoint_address(g->listen_end);
}
