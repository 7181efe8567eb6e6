/* The guard as a client of the plugin: requests and their replies. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/guard/guard_state.h"

#define ASK_NS (500 * INT64_C(1000000))
/* The plugin is told a little less than it may, so that the jitter of a wire breaks no limit. */
static const double rate_margin = 0.9;

/* ---- asking -------------------------------------------------------------------------------------------- */

static void send_header(struct fly_guard *g, const struct fly_pack *pack)
{
    struct fly_part parts[2] = {{"", 0}, {pack->bytes, pack->len}};

    FLY_ASSERT(!pack->full);
    if (fly_endpoint_send(g->plugin_end, parts, 2) < 0)
        return; /* a queue that is full is one that nobody reads: the silence will tell */
}

/* What a reply answers stands in its id. */
enum asked { ASKED_STATUS, ASKED_OTHER };

/* Its args are to follow. */
static uint64_t begin_request(struct fly_guard *g, struct fly_pack *pack, const char *op)
{
    enum asked asked = strcmp(op, "status") == 0 ? ASKED_STATUS : ASKED_OTHER;

    g->plugin.id = (g->plugin.id / 2 + 1) * 2 + asked;
    fly_pack_init(pack, g->header, sizeof g->header);
    fly_request_begin(pack, g->plugin.id, op);
    return g->plugin.id;
}

static uint64_t ask(struct fly_guard *g, const char *op)
{
    struct fly_pack pack;
    uint64_t id = begin_request(g, &pack, op);

    fly_pack_nil(&pack);
    send_header(g, &pack);
    return id;
}

/* With it the plugin is told whether we hold by ourselves, which it has no other way to see before it commands. */
uint64_t fly_guard_plugin_ask_status(struct fly_guard *g)
{
    struct fly_pack pack;
    uint64_t id = begin_request(g, &pack, "status");

    fly_pack_map(&pack, 1);
    fly_pack_key_text(&pack, "own_hold", g->held ? g->held_by : NULL);
    send_header(g, &pack);
    return id;
}

static void ask_attach(struct fly_guard *g)
{
    const struct fly_guard_limits *limits = &g->in_force;
    struct fly_pack pack;

    g->plugin.attach_id = begin_request(g, &pack, "steer.attach");
    fly_pack_map(&pack, 3);
    fly_pack_key_str(&pack, "mode", fly_guard_modes[g->acquisition.mode]);
    fly_pack_key_str(&pack, "as", "guard");
    fly_pack_str(&pack, "limits");
    fly_pack_map(&pack, 3);
    fly_pack_key_f64(&pack, "dose_e_per_A2", limits->chip_dose_e_per_A2);
    fly_pack_key_f64(&pack, "box_px", limits->box_px);
    fly_pack_key_f64(&pack, "rate_hz", limits->commands_per_s * rate_margin);
    send_header(g, &pack);
}

static void ask_ledger(struct fly_guard *g)
{
    g->plugin.ledger_ns = fly_guard_mono(g);
    g->plugin.ledger_id = ask(g, "dose.get");
}

int fly_guard_wants_commands(const struct fly_guard *g)
{
    return fly_guard_steers(g) && !g->acquisition.gone;
}

void fly_guard_plugin_ask(struct fly_guard *g)
{
    struct fly_guard_plugin *p = &g->plugin;
    int64_t now = fly_guard_mono(g);

    if (p->id > 0 && now - p->asked_ns < ASK_NS)
        return;
    p->asked_ns = now;
    if (fly_guard_wants_commands(g) && !p->attached && p->heard && !p->lost)
        ask_attach(g);
    (void)fly_guard_plugin_ask_status(g); /* after attach: from others nobody believes a hold */
    if ((p->attached || p->attach_id) && now - p->ledger_ns >= 2 * ASK_NS)
        ask_ledger(g);
}

void fly_guard_plugin_leave(struct fly_guard *g)
{
    if (g->plugin.attached || g->plugin.attach_id)
        (void)ask(g, "steer.detach");
    g->plugin.attached = 0;
    g->plugin.attach_id = g->plugin.ledger_id = 0;
    g->plugin.ledger_answered = 0;
    g->plugin.ledger_ns = 0; /* to be asked with the next attach */
}

void fly_guard_plugin_forget(struct fly_guard *g)
{
    for (int i = 0; i < g->n_pending; i++)
        fly_msg_close(&g->pending[i].msg);
    g->n_pending = 0;
    g->plugin.attach_id = g->plugin.ledger_id = 0;
}

void fly_guard_plugin_ack(struct fly_guard *g, const struct fly_ack *ack)
{
    struct fly_pack pack;

    fly_pack_init(&pack, g->header, sizeof g->header);
    if (fly_ack_encode(&pack, ack) == FLY_OK)
        send_header(g, &pack);
}

void fly_guard_plugin_reject(struct fly_guard *g, const char *cmd_id, const char *reason)
{
    struct fly_ack ack = {.status = FLY_ACK_REJECTED};

    snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", cmd_id);
    snprintf(ack.reason, sizeof ack.reason, "guard: %.240s", reason);
    fly_guard_plugin_ack(g, &ack);
}

/* ---- the session --------------------------------------------------------------------------------------- */

static int get_int(struct fly_value map, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
    struct fly_value value;

    return fly_value_get(map, key, &value) && fly_value_int(value, out) && *out >= lo && *out <= hi;
}

static double get_f64(struct fly_value map, const char *key)
{
    struct fly_value value;
    double number;

    return fly_value_get(map, key, &value) && fly_value_f64(value, &number) ? number : NAN;
}

static int get_pair(struct fly_value map, const char *key, double out[2])
{
    struct fly_value list, value;
    struct fly_value_iter it = {0};
    int n = 0;

    out[0] = out[1] = NAN;
    if (!fly_value_get(map, key, &list) || fly_value_kind(list) != FLY_KIND_ARRAY)
        return 0;
    for (; n < 2 && fly_value_next(list, &it, NULL, &value); n++)
        if (!fly_value_f64(value, &out[n]))
            out[n] = NAN;
    return n == 2;
}

int fly_guard_get_str(struct fly_value map, const char *key, char *out, size_t cap)
{
    struct fly_value value;
    const char *text;
    size_t len;

    if (!fly_value_get(map, key, &value) || !fly_value_str(value, &text, &len) || len >= cap || memchr(text, 0, len))
        return 0;
    memcpy(out, text, len);
    out[len] = '\0';
    return 1;
}

static int read_scan(struct fly_value scan, struct fly_guard_session *s)
{
    double shape[2], grid[2];
    int64_t chip = 0, pitch = 0;

    *s = (struct fly_guard_session){0};
    if (!fly_guard_get_str(scan, "session", s->id, sizeof s->id) || !get_pair(scan, "shape_px", shape))
        return 0;
    for (int i = 0; i < 2; i++)
        if (!(shape[i] >= 1 && shape[i] <= FLY_SCAN_SIDE_MAX))
            return 0;
    s->height_px = (int32_t)shape[0];
    s->width_px = (int32_t)shape[1];
    (void)get_pair(scan, "pixel_nm", s->pixel_nm);
    s->beam_current_na = get_f64(scan, "beam_current_na");
    s->pixel_time_us = get_f64(scan, "pixel_time_us");
    if (!get_int(scan, "frames_planned", 1, FLY_FRAMES_MAX, &s->frames_planned))
        s->frames_planned = 0;
    if (get_pair(scan, "grid_shape", grid) && get_int(scan, "chip_px", 1, FLY_SCAN_SIDE_MAX, &chip) &&
        get_int(scan, "pitch_px", 1, FLY_SCAN_SIDE_MAX, &pitch) && grid[0] >= 1 && grid[1] >= 1 &&
        grid[0] <= FLY_SCAN_SIDE_MAX && grid[1] <= FLY_SCAN_SIDE_MAX) {
        s->rows = (int32_t)grid[0];
        s->cols = (int32_t)grid[1];
        s->chip_px = (int32_t)chip;
        s->pitch_px = (int32_t)pitch;
    }
    return fly_guard_session_fits(s);
}

/* Of one name and one scan: what was booked holds for it. */
static int same_session(const struct fly_guard_session *a, const struct fly_guard_session *b)
{
    return strcmp(a->id, b->id) == 0 && a->height_px == b->height_px && a->width_px == b->width_px;
}

static void take_session(struct fly_guard *g, const struct fly_guard_session *session)
{
    if (g->has_book && same_session(&g->book.session, session))
        return;
    /* What is forgotten here may not go on there. */
    if (g->has_book && g->book.n_open > 0 && fly_guard_steers(g))
        fly_guard_give_order(g, FLY_COMMAND_STOP, "its session is over");
    fly_guard_abandon(g, "its session is over");
    fly_guard_book_close(&g->book);
    g->has_book = g->session_kept = 0;
    g->plugin.ledger_id = 0;
    g->plugin.ledger_answered = 0;
    g->plugin.ledger_ns = 0;
    if (fly_guard_ids_has(&g->sessions, session->id)) {
        fly_guard_say(g, FLY_GUARD_ERROR, "session", "session %s was booked before, and is over or had another scan: no command of it passes", session->id);
        return;
    }
    if (fly_guard_book_open(&g->book, &g->config.limits, session) < 0) {
        fly_guard_say(g, FLY_GUARD_ERROR, "session", "%s: no command passes", fly_fail_text());
        return;
    }
    g->has_book = 1;
    if (g->plugin.attached || g->plugin.attach_id) /* what was asked before may be of the other session */
        ask_ledger(g);
    fly_guard_ids_add(&g->sessions, session->id);
    fly_guard_wrote(g, fly_guard_journal_session(&g->journal, fly_guard_unix(g), session));
    g->session_kept = g->journal.ok;
    fly_guard_say(g, FLY_GUARD_INFO, "session", "%s: %d x %d px in cells of %d px, %g e-/A^2 booked for %lld frame%s",
                  session->id, session->height_px, session->width_px, g->book.cell_px, fly_guard_book_mean(&g->book),
                  (long long)g->book.survey_frames, fly_plural(g->book.survey_frames));
}

/* ---- replies ------------------------------------------------------------------------------------------- */

/* 0: what stands there is nobody's, or another's. */
static int guard_owns(struct fly_value result)
{
    struct fly_value owner;
    char as[16];

    return fly_value_get(result, "owner", &owner) && fly_value_kind(owner) == FLY_KIND_MAP &&
           fly_guard_get_str(owner, "as", as, sizeof as) && strcmp(as, "guard") == 0;
}

static void read_status(struct fly_guard *g, struct fly_value result)
{
    struct fly_guard_plugin *p = &g->plugin;
    struct fly_guard_session session;
    struct fly_value scan, steer, held;
    int was_held = p->held;

    if (!fly_guard_get_str(result, "session", p->session, sizeof p->session))
        p->session[0] = '\0';
    if (fly_value_get(result, "scan", &scan) && fly_value_kind(scan) == FLY_KIND_MAP && read_scan(scan, &session) &&
        strcmp(session.id, p->session) == 0)
        take_session(g, &session);
    p->held = 0;
    if (fly_value_get(result, "steer", &steer) && fly_value_kind(steer) == FLY_KIND_MAP &&
        fly_value_get(steer, "held", &held))
        (void)fly_value_bool(held, &p->held);
    if (p->held && !was_held)
        fly_guard_commands_drop(g, "held at the plugin since it came");
    /* It acts at once, and answers attach when that is on its disk: a command may come before. */
    p->attached |= p->attach_id && guard_owns(result);
    if (p->attached && !p->attach_id && !guard_owns(result)) {
        fly_guard_say(g, FLY_GUARD_WARNING, "plugin", "the plugin does not know us any more: attaching again");
        p->attached = 0;
    }
}

static void read_attached(struct fly_guard *g, int ok, struct fly_value body)
{
    struct fly_guard_plugin *p = &g->plugin;
    char words[FLY_GUARD_WORDS];

    p->attach_id = 0;
    if (ok) {
        p->attached = 1;
        p->refusal[0] = '\0';
        fly_guard_say(g, FLY_GUARD_INFO, "attach", "attached to the plugin, mode %s", fly_guard_modes[g->acquisition.mode]);
        fly_guard_wrote(g, fly_guard_journal_attach(&g->journal, fly_guard_unix(g), "plugin",
                                                    fly_guard_modes[g->acquisition.mode], &g->in_force));
        return;
    }
    p->attached = 0;
    if (!fly_guard_get_str(body, "message", words, sizeof words))
        snprintf(words, sizeof words, "without words");
    if (strcmp(words, p->refusal) != 0)
        fly_guard_say(g, FLY_GUARD_WARNING, "plugin", "the plugin does not let us attach: %s", words);
    memcpy(p->refusal, words, sizeof words);
}

static void take_ledger(struct fly_guard *g, struct fly_value result, const struct fly_part *payloads, int32_t n)
{
    int32_t rows = g->book.session.rows, cols = g->book.session.cols;
    size_t count = (size_t)rows * (size_t)cols;
    double mean = get_f64(result, "mean"), factor = get_f64(result, "factor");
    char unit[16];
    float *max_us;

    if (n < 2 || payloads[1].len != count * sizeof(float) || !fly_guard_get_str(result, "unit", unit, sizeof unit) ||
        (strcmp(unit, "us") != 0 && !(factor > 0))) {
        fly_guard_say(g, FLY_GUARD_WARNING, "ledger", "the plugin's ledger is not one of %d x %d chips: passed over", rows,
                      cols);
        return;
    }
    max_us = malloc((count + 1) * sizeof *max_us);
    if (!max_us)
        return;
    if (strcmp(unit, "us") == 0)
        factor = 1;
    memcpy(max_us, payloads[1].bytes, count * sizeof *max_us);
    for (size_t k = 0; k < count; k++)
        max_us[k] = (float)((double)max_us[k] / factor);
    if (fly_guard_book_ledger(&g->book, max_us, rows, cols, mean / factor, g->plugin.ledger_ns) < 0)
        fly_guard_say(g, FLY_GUARD_WARNING, "ledger", "%s: passed over", fly_fail_text());
    free(max_us);
}

static void read_ledger(struct fly_guard *g, int ok, struct fly_value body, const struct fly_part *payloads, int32_t n)
{
    char code[32];

    g->plugin.ledger_id = 0;
    /* Without a ledger what the guard booked itself holds; but a plugin that only has no time is asked again. */
    if (!ok && fly_guard_get_str(body, "code", code, sizeof code) && strcmp(code, "busy") == 0)
        return;
    if (ok && g->has_book)
        take_ledger(g, body, payloads, n);
    if (g->has_book)
        g->plugin.ledger_answered = 1;
}

static void read_reply(struct fly_guard *g, struct fly_value header, const struct fly_part *payloads, int32_t n)
{
    struct fly_guard_plugin *p = &g->plugin;
    struct fly_value value, body;
    uint64_t id;
    int ok;

    if (!fly_value_get(header, "id", &value) || !fly_value_uint(value, &id) || !fly_value_get(header, "ok", &value) ||
        !fly_value_bool(value, &ok) || !fly_value_get(header, ok ? "result" : "error", &body))
        return;
    if (id % 2 == ASKED_STATUS && ok && fly_value_kind(body) == FLY_KIND_MAP) {
        read_status(g, body);
        p->status_seen = id;
        fly_guard_commands_judge(g);
    } else if (id == p->attach_id && id > 0) {
        read_attached(g, ok, body);
    } else if (id == p->ledger_id && id > 0) {
        read_ledger(g, ok, body, payloads, n);
        fly_guard_commands_judge(g);
    }
}

static void heard(struct fly_guard *g)
{
    struct fly_guard_plugin *p = &g->plugin;

    p->heard_ns = fly_guard_mono(g);
    p->heard = 1;
    if (!p->lost)
        return;
    p->lost = 0;
    fly_guard_say(g, FLY_GUARD_INFO, "ready", "the plugin is back");
    fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), "ready", "plugin", NULL));
    if (g->order.active && g->order.kind == FLY_COMMAND_RASTER)
        fly_guard_give_order(g, FLY_COMMAND_STOP, "the plugin is back");
}

int32_t fly_guard_n_parts(const struct fly_msg *msg)
{
    return msg->n_seen > msg->n_parts ? FLY_PARTS_MAX + 1 : msg->n_parts - 1;
}

void fly_guard_plugin_read(struct fly_guard *g, struct fly_msg *msg)
{
    const struct fly_part *parts = msg->parts + 1;
    int32_t n_parts = fly_guard_n_parts(msg);
    enum fly_control_type type;

    if (msg->n_parts < 2 || msg->parts[0].len != 0)
        return;
    type = fly_control_type_of(&parts[0]);
    if (type == FLY_CONTROL_COMMAND) {
        heard(g);
        fly_guard_commands_take(g, msg);
    } else if (type == FLY_CONTROL_REPLY && n_parts <= FLY_PARTS_MAX &&
               fly_wire_scan(parts[0].bytes, parts[0].len) == FLY_REFUSE_NONE) {
        heard(g);
        read_reply(g, fly_value_root(parts[0].bytes, parts[0].len), parts + 1, n_parts - 1);
    }
}
