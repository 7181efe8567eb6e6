/* A million plans of a policy out of its mind, and a plain oracle that keeps its own account: pixel by pixel, with no
 * cells, no hashes and no windows but lists of what went before. What the judge lets through must keep to every limit
 * of the oracle's; and it must let something through, or the test says nothing.
 *
 * The oracle's numbers are worked out from the limits and the session alone, by other means than the guard's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "engine/base/rng.h"
#include "guard_rig.h"
#include "stream/wire_keys.h"

#if defined(FLY_SANITIZE_address_undefined) || defined(FLY_SANITIZE_thread) || defined(FLY_SANITIZE_address)
enum { PLANS = 100000, WIRE = 20000 };
#else
enum { PLANS = 1000000, WIRE = 100000 };
#endif

enum { SIDE = 64, HISTORY = 2048, LEFT = 64 };

/* ---- the oracle ------------------------------------------------------------------------------------- */

/* Pixels that the beam is on at some time: a bit each, a word a row. */
struct mask {
    uint64_t row[SIDE];
};

struct sent {
    char cmd_id[FLY_CMD_ID_MAX + 1], decision_id[FLY_CMD_ID_MAX + 1];
    int64_t mono_ns, end_ns; /* end_ns 0: under way */
    int n_targets;
    struct fly_target targets[8];
    struct mask mask;
};

struct oracle {
    const struct fly_guard_limits *limits;
    double factor;                 /* e-/A^2 a us */
    double us[SIDE][SIDE];         /* dwell of each pixel, survey included */
    struct sent sent[HISTORY];
    int n_sent;
    int64_t next_frame;
    uint64_t seq[2];
    double beam[2];
    int has_beam;
};

static struct oracle oracle;

static void oracle_open(const struct fly_guard_limits *limits, const struct fly_guard_session *session)
{
    memset(&oracle, 0, sizeof oracle);
    oracle.limits = limits;
    /* nA us = 1e-15 C */
    oracle.factor = session->beam_current_na * 1e-15 / 1.602176634e-19 /
                    (session->pixel_nm[0] * 10 * session->pixel_nm[1] * 10);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            oracle.us[y][x] = session->pixel_time_us * (double)session->frames_planned;
    oracle.next_frame = session->frames_planned;
}

static void mark(struct mask *m, double y, double x)
{
    if (y >= 0 && y < SIDE && x >= 0 && x < SIDE)
        m->row[(int)y] |= (uint64_t)1 << (int)x;
}

static struct mask mask_of(const struct fly_target *t)
{
    struct mask m = {{0}};

    if (t->kind == FLY_TARGET_POINT)
        mark(&m, t->px[0], t->px[1]);
    else if (t->kind == FLY_TARGET_LINE)
        for (int i = 0; i <= 512; i++) /* walked finely */
            mark(&m, t->px[0] + i / 512.0 * (t->px[2] - t->px[0]), t->px[1] + i / 512.0 * (t->px[3] - t->px[1]));
    else
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                if (y + 1 > t->px[0] && y < t->px[0] + t->px[2] && x + 1 > t->px[1] && x < t->px[1] + t->px[3])
                    mark(&m, y, x);
    return m;
}

static int meet(const struct mask *a, const struct mask *b)
{
    uint64_t any = 0;

    for (int y = 0; y < SIDE; y++)
        any |= a->row[y] & b->row[y];
    return any != 0;
}

static void join(struct mask *a, const struct mask *b)
{
    for (int y = 0; y < SIDE; y++)
        a->row[y] |= b->row[y];
}

static void ends_of(const struct fly_target *t, double begin[2], double end[2])
{
    double y1 = t->kind == FLY_TARGET_BOX ? ceil(t->px[0] + t->px[2]) - 1
                : t->kind == FLY_TARGET_LINE ? floor(fmax(t->px[0], t->px[2])) : floor(t->px[0]);
    double x1 = t->kind == FLY_TARGET_BOX ? ceil(t->px[1] + t->px[3]) - 1
                : t->kind == FLY_TARGET_LINE ? floor(fmax(t->px[1], t->px[3])) : floor(t->px[1]);

    begin[0] = floor(t->kind == FLY_TARGET_LINE ? fmin(t->px[0], t->px[2]) : t->px[0]);
    begin[1] = floor(t->kind == FLY_TARGET_LINE ? fmin(t->px[1], t->px[3]) : t->px[1]);
    end[0] = y1;
    end[1] = x1;
}

#define HOLDS(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what))                                                                                                   \
            fail_msg("command %s passed, and breaks: %s", c->cmd_id, #what);                                           \
    } while (0)

static void oracle_targets(const struct fly_command *c, struct mask *all)
{
    const struct fly_guard_limits *l = oracle.limits;
    static const enum fly_target_kind kind_of[] = {FLY_TARGET_BOX, FLY_TARGET_POINT, FLY_TARGET_LINE};
    double last[2] = {oracle.beam[0], oracle.beam[1]}, first[2] = {0, 0};
    int has_last = oracle.has_beam;

    HOLDS(c->n_targets >= 1 && c->n_targets <= l->targets_per_command);
    for (int i = 0; i < c->n_targets; i++) {
        const struct fly_target *t = &c->targets[i];
        double begin[2], end[2], long_side, extent_y, extent_x;
        struct mask mask;
        int numbers = t->kind == FLY_TARGET_POINT ? 2 : 4;

        HOLDS(t->kind == kind_of[c->kind]);
        for (int k = 0; k < numbers; k++)
            HOLDS(isfinite(t->px[k]));
        HOLDS(t->dwell_us >= l->dwell_min_us && t->dwell_us <= l->dwell_max_us && t->dwell_us <= c->dwell_us);
        ends_of(t, begin, end);
        HOLDS(begin[0] >= l->margin_px && begin[1] >= l->margin_px);
        HOLDS(end[0] < SIDE - l->margin_px && end[1] < SIDE - l->margin_px);
        extent_y = t->kind == FLY_TARGET_BOX ? t->px[2] : t->kind == FLY_TARGET_LINE ? fabs(t->px[2] - t->px[0]) : 0;
        extent_x = t->kind == FLY_TARGET_BOX ? t->px[3] : t->kind == FLY_TARGET_LINE ? fabs(t->px[3] - t->px[1]) : 0;
        long_side = fmax(extent_y, extent_x);
        HOLDS(long_side <= l->box_px);
        if (t->kind == FLY_TARGET_BOX)
            HOLDS(1 / t->dwell_us <= l->slew_px_per_us);
        if (t->kind == FLY_TARGET_LINE && long_side > 0)
            HOLDS(sqrt(extent_y * extent_y + extent_x * extent_x) / long_side / t->dwell_us <=
                  l->slew_px_per_us * (1 + 1e-12));
        if (has_last)
            HOLDS(sqrt(pow(begin[0] - last[0], 2) + pow(begin[1] - last[1], 2)) <= l->step_px * (1 + 1e-12));
        if (i == 0)
            memcpy(first, begin, sizeof first);
        memcpy(last, end, sizeof last);
        has_last = 1;
        mask = mask_of(t);
        HOLDS(!meet(&mask, all));
        join(all, &mask);
    }
    if (c->frames > 1)
        HOLDS(sqrt(pow(first[0] - last[0], 2) + pow(first[1] - last[1], 2)) <= l->step_px * (1 + 1e-12));
    /* no line is gone back to: rows of targets, in their order, never turn */
    for (int i = 2; i < c->n_targets; i++) {
        double a[2], b[2], d[2], end[2];

        ends_of(&c->targets[i - 2], a, end);
        ends_of(&c->targets[i - 1], b, end);
        ends_of(&c->targets[i], d, end);
        HOLDS(!(b[0] > a[0] && d[0] < b[0]) && !(b[0] < a[0] && d[0] > b[0]));
        if (a[0] == b[0] && b[0] == d[0])
            HOLDS((b[1] > a[1]) == (d[1] > b[1]));
    }
}

static void oracle_history(const struct fly_command *c, const struct mask *all, int64_t mono_ns)
{
    const struct fly_guard_limits *l = oracle.limits;
    double window_ns = l->commands_per_s < 1 ? 1e9 / l->commands_per_s
                                             : 1e9 * floor(l->commands_per_s) / l->commands_per_s;
    int in_window = 0, open = 0;

    for (int i = 0; i < oracle.n_sent; i++) {
        const struct sent *s = &oracle.sent[i];

        HOLDS(strcmp(s->cmd_id, c->cmd_id) != 0);
        HOLDS(strcmp(s->decision_id, c->decision_id) != 0);
        in_window += (double)(mono_ns - s->mono_ns) < window_ns;
        open += s->end_ns == 0;
        if (l->revisit_ms > 0 && (s->end_ns == 0 || (double)(mono_ns - s->end_ns) < l->revisit_ms * 1e6))
            HOLDS(!meet(&s->mask, all));
    }
    HOLDS(in_window < fmax(1, floor(l->commands_per_s)));
    HOLDS(open < l->open_commands);
}

/* Book what passed, at the dwell time that the command allows, and hold the sums against the caps. */
static void oracle_dose(const struct fly_command *c, const struct mask *all)
{
    const struct fly_guard_limits *l = oracle.limits;
    double sum = 0, worst = 0;

    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            if (all->row[y] >> x & 1)
                oracle.us[y][x] += c->dwell_us * c->frames;
            sum += oracle.us[y][x];
            worst = fmax(worst, oracle.us[y][x]);
        }
    HOLDS(worst * oracle.factor <= l->chip_dose_e_per_A2 * (1 + 1e-9));
    HOLDS(sum / SIDE / SIDE * oracle.factor <= l->total_dose_e_per_A2 * (1 + 1e-9));
}

static void oracle_check(const struct fly_command *c, const struct fly_guard_now *now)
{
    const struct fly_guard_limits *l = oracle.limits;
    struct mask all = {{0}};
    struct sent *s;
    double end[2];

    HOLDS(now->journal_ok && now->attached && !now->held && now->ledger_asked && strcmp(now->session, "rig") == 0);
    HOLDS(c->kind == FLY_COMMAND_BOX || c->kind == FLY_COMMAND_POINT_LIST || c->kind == FLY_COMMAND_LINE);
    HOLDS(c->valid_until_ns > now->unix_ns);
    HOLDS(c->valid_until_ns - now->unix_ns <= l->valid_ahead_s * 1e9);
    HOLDS(c->frames >= 1 && c->frames <= l->frames_per_command && c->frame >= oracle.next_frame);
    HOLDS(c->dwell_us >= l->dwell_min_us && c->dwell_us <= l->dwell_max_us);
    HOLDS(c->as_of.count == 2 && c->as_of.seq[0] >= oracle.seq[0] && c->as_of.seq[1] >= oracle.seq[1]);
    oracle_targets(c, &all);
    oracle_history(c, &all, now->mono_ns);
    oracle_dose(c, &all);

    assert_true(oracle.n_sent < HISTORY);
    s = &oracle.sent[oracle.n_sent++];
    *s = (struct sent){.mono_ns = now->mono_ns, .n_targets = c->n_targets, .mask = all};
    memcpy(s->cmd_id, c->cmd_id, sizeof s->cmd_id);
    memcpy(s->decision_id, c->decision_id, sizeof s->decision_id);
    memcpy(s->targets, c->targets, (size_t)c->n_targets * sizeof *c->targets);
    oracle.next_frame = c->frame + c->frames;
    oracle.seq[0] = c->as_of.seq[0];
    oracle.seq[1] = c->as_of.seq[1];
    ends_of(&c->targets[c->n_targets - 1], end, oracle.beam);
    oracle.has_beam = 1;
}

/* ---- plans out of their mind ------------------------------------------------------------------------ */

static struct fly_rng rng;

static int one_in(int n)
{
    return fly_rng_below(&rng, (uint64_t)n) == 0;
}

static double wild(double good)
{
    static const double worst[] = {NAN, INFINITY, -INFINITY, 0, -1, 1e300, -1e300, 1e9, 63.999, 64, 64.001, -1e-9, 5e-324};

    switch (fly_rng_below(&rng, 4)) {
    case 0:
        return worst[fly_rng_below(&rng, sizeof worst / sizeof *worst)];
    case 1:
        return good * (1 + 1e-12);
    case 2:
        return good + (fly_rng_uniform(&rng) - 0.5) * 40;
    default:
        return (fly_rng_uniform(&rng) - 0.2) * 100;
    }
}

/* Tiles in line order, of a random grid; what is spoiled is spoiled afterwards. */
static void make_targets(struct fly_command *c)
{
    int y = (int)fly_rng_below(&rng, 20), n = 1 + (int)fly_rng_below(&rng, 5), right = one_in(2);
    int h = c->kind == FLY_COMMAND_BOX ? 1 + (int)fly_rng_below(&rng, 10) : 1;
    int x = right ? (int)fly_rng_below(&rng, 20) : 40 + (int)fly_rng_below(&rng, 20);

    c->n_targets = 0;
    for (int i = 0; i < n; i++) {
        int w = 1 + (int)fly_rng_below(&rng, 12);
        struct fly_target *t = &c->targets[c->n_targets++];

        *t = (struct fly_target){.dwell_us = c->dwell_us};
        if (one_in(3)) {
            y += h + (int)fly_rng_below(&rng, 8);
            right = !right;
            x = right ? (int)fly_rng_below(&rng, 20) : 40 + (int)fly_rng_below(&rng, 20);
        }
        if (!right)
            x -= w;
        t->kind = c->kind == FLY_COMMAND_BOX ? FLY_TARGET_BOX
                  : c->kind == FLY_COMMAND_POINT_LIST ? FLY_TARGET_POINT : FLY_TARGET_LINE;
        t->px[0] = y;
        t->px[1] = x;
        if (t->kind == FLY_TARGET_BOX) {
            t->px[2] = h;
            t->px[3] = w;
        } else if (t->kind == FLY_TARGET_LINE) {
            t->px[2] = y;
            t->px[3] = x + w - 1;
        }
        x += right ? w + (int)fly_rng_below(&rng, 4) : -(int)fly_rng_below(&rng, 4);
    }
}

static void make_plan(struct rig *rig)
{
    struct fly_command *c = &rig->command;
    const struct fly_guard_limits *l = &rig->limits;

    rig_next(rig);
    c->kind = (enum fly_command_kind)fly_rng_below(&rng, 3);
    c->frame = rig->book.next_frame + (one_in(4) ? (int64_t)fly_rng_below(&rng, 3) : 0);
    c->frames = 1 + (int32_t)fly_rng_below(&rng, 2);
    c->dwell_us = l->dwell_min_us + fly_rng_uniform(&rng) * (one_in(4) ? l->dwell_max_us : 1);
    c->as_of.seq[0] = 1 + fly_rng_below(&rng, 3) / 2;
    c->as_of.seq[1] = oracle.seq[1] + fly_rng_below(&rng, 3);
    if (oracle.seq[0] > c->as_of.seq[0])
        c->as_of.seq[0] = oracle.seq[0];
    make_targets(c);
}

/* Replays, permutations, lies. */
static void spoil(struct rig *rig)
{
    struct fly_command *c = &rig->command;
    int i = (int)fly_rng_below(&rng, (uint64_t)c->n_targets);
    const struct sent *old = oracle.n_sent ? &oracle.sent[fly_rng_below(&rng, (uint64_t)oracle.n_sent)] : NULL;

    switch (fly_rng_below(&rng, 18)) {
    case 0: c->targets[i].px[fly_rng_below(&rng, 4)] = wild(c->targets[i].px[0]); break;
    case 1: c->targets[i].dwell_us = wild(c->targets[i].dwell_us); break;
    case 2: c->dwell_us = wild(c->dwell_us); break;
    case 3: c->frames = (int32_t)fly_rng_next(&rng); break;
    case 4: c->frame = (int64_t)fly_rng_next(&rng) >> fly_rng_below(&rng, 64); break;
    case 5: c->valid_until_ns = one_in(2) ? (int64_t)fly_rng_next(&rng) : rig->now.unix_ns; break;
    case 6: if (old) strcpy(c->cmd_id, old->cmd_id); break;
    case 7: if (old) strcpy(c->decision_id, old->decision_id); break;
    case 8: c->as_of.seq[fly_rng_below(&rng, 2)] = fly_rng_next(&rng) >> 60; break;
    case 9: c->as_of.count = 0; break;
    case 10: { /* permuted */
        struct fly_target t = c->targets[0];
        c->targets[0] = c->targets[i];
        c->targets[i] = t;
        break;
    }
    case 11: if (c->n_targets < 8) c->targets[c->n_targets++] = c->targets[i]; break; /* twice there */
    case 12: c->kind = (enum fly_command_kind)fly_rng_below(&rng, 9); break;
    case 13: c->targets[i].kind = (enum fly_target_kind)fly_rng_below(&rng, 4); break;
    case 14: c->n_targets = (int32_t)fly_rng_below(&rng, 12); break;
    case 15: snprintf(c->cmd_id, sizeof c->cmd_id, "c-%d", (int)fly_rng_below(&rng, (uint64_t)rig->number + 2)); break;
    case 16: if (old) { /* a whole command of before, under a new id */
        c->n_targets = old->n_targets;
        memcpy(c->targets, old->targets, (size_t)old->n_targets * sizeof *old->targets);
        break;
    } break;
    default: c->targets[i].px[fly_rng_below(&rng, 4)] *= 1 + fly_rng_uniform(&rng); break;
    }
}

static void pass_time(struct rig *rig)
{
    int64_t ns = (int64_t)fly_rng_below(&rng, one_in(3) ? 900000000 : 300000000);

    rig->now.mono_ns += ns;
    rig->now.unix_ns += ns;
    rig->now.held = one_in(40);
    rig->now.attached = !one_in(60);
    rig->now.journal_ok = !one_in(60);
    rig->now.session = one_in(60) ? "other" : "rig";
}

/* The acquisition answers some; each answered one counts as exposed in the oracle, rejected or not. */
static void answer_some(struct rig *rig)
{
    for (int i = oracle.n_sent > LEFT ? oracle.n_sent - LEFT : 0; i < oracle.n_sent; i++) {
        struct sent *s = &oracle.sent[i];

        if (s->end_ns || one_in(2))
            continue;
        rig_ack(rig, s->cmd_id, FLY_ACK_STARTED);
        rig_ack(rig, s->cmd_id, one_in(3) ? FLY_ACK_REJECTED : FLY_ACK_DONE);
        s->end_ns = rig->now.mono_ns;
    }
}

static struct rig rig;
static uint64_t verdicts[FLY_GUARD_VERDICTS];

static void random_limits(struct fly_guard_limits *l)
{
    *l = rig_limits();
    l->chip_dose_e_per_A2 = 2000 + fly_rng_uniform(&rng) * 40000;
    l->total_dose_e_per_A2 = 1300 + fly_rng_uniform(&rng) * 4000;
    l->margin_px = (int32_t)fly_rng_below(&rng, 3);
    l->step_px = 20 + fly_rng_uniform(&rng) * 70;
    l->slew_px_per_us = 0.5 + fly_rng_uniform(&rng);
    l->commands_per_s = one_in(2) ? 0.5 + fly_rng_uniform(&rng) : 1 + fly_rng_uniform(&rng) * 6;
    l->open_commands = 1 + (int32_t)fly_rng_below(&rng, 4);
    l->targets_per_command = 3 + (int32_t)fly_rng_below(&rng, 6);
    l->box_px = 6 + (double)fly_rng_below(&rng, 10);
    l->frames_per_command = 1 + (int32_t)fly_rng_below(&rng, 3);
    l->revisit_ms = one_in(2) ? 0 : fly_rng_uniform(&rng) * 2000;
    l->cell_px = one_in(2) ? 0 : 1 + (int32_t)fly_rng_below(&rng, 12);
}

static void one_plan(void)
{
    enum fly_guard_verdict verdict;

    make_plan(&rig);
    while (!one_in(2))
        spoil(&rig);
    pass_time(&rig);
    rig.command.valid_until_ns += rig.command.valid_until_ns < INT64_MAX / 2 && !one_in(8) ? 1000000000 : 0;
    verdict = rig_judge(&rig);
    verdicts[verdict]++;
    if (verdict != FLY_GUARD_PASS) {
        if (verdict > FLY_GUARD_ID)
            fly_guard_book_refuse(&rig.book, rig.command.cmd_id);
    } else if (rig.command.kind != FLY_COMMAND_STOP && rig.command.kind != FLY_COMMAND_BLANK) {
        /* a raster that passes has limits of its own, tested in test_rules */
        if (rig.command.kind == FLY_COMMAND_RASTER)
            return;
        oracle_check(&rig.command, &rig.now);
        fly_guard_book_take(&rig.book, &rig.command, rig.now.mono_ns);
    }
    answer_some(&rig);
}

static void no_plan_of_a_million_passes_a_limit(void **state)
{
    enum { SESSION = 2000 };
    struct fly_guard_session session = rig_session();
    static struct fly_guard_limits limits;
    uint64_t refused = 0;

    rng.state = 6;
    for (int i = 0; i < PLANS; i++) {
        if (i % SESSION == 0) {
            random_limits(&limits);
            fly_guard_book_close(&rig.book);
            assert_true(rig_open(&rig, &limits, &session));
            oracle_open(&limits, &session);
        }
        one_plan();
    }
    fly_guard_book_close(&rig.book);
    for (int v = 1; v < FLY_GUARD_VERDICTS; v++)
        refused += verdicts[v];
    print_message("%d plans: %llu passed, %llu refused\n", PLANS, (unsigned long long)verdicts[0],
                  (unsigned long long)refused);
    for (int v = 0; v < FLY_GUARD_VERDICTS; v++)
        print_message("  %-12s %llu\n", fly_guard_verdict_name((enum fly_guard_verdict)v),
                      (unsigned long long)verdicts[v]);
    assert_true(verdicts[FLY_GUARD_PASS] > PLANS / 200);
    /* every reason was met but those that a session needs to be otherwise */
    for (int v = FLY_GUARD_JOURNAL; v < FLY_GUARD_VERDICTS; v++)
        if (v != FLY_GUARD_LEDGER && v != FLY_GUARD_CALIBRATION && v != FLY_GUARD_FULL && v != FLY_GUARD_ID)
            if (verdicts[v] == 0)
                fail_msg("no plan was refused as %s", fly_guard_verdict_name((enum fly_guard_verdict)v));
}

/* ---- the same through the wire ---------------------------------------------------------------------- */

static void mutate(unsigned char *bytes, size_t *len, size_t cap)
{
    for (int n = (int)fly_rng_below(&rng, 4); n > 0; n--) {
        size_t at = fly_rng_below(&rng, *len);

        switch (fly_rng_below(&rng, 5)) {
        case 0: bytes[at] = (unsigned char)fly_rng_next(&rng); break;
        case 1: bytes[at] ^= (unsigned char)(1 << fly_rng_below(&rng, 8)); break;
        case 2: *len = 1 + fly_rng_below(&rng, *len); break;
        case 3: if (*len < cap) { memmove(bytes + at + 1, bytes + at, *len - at); (*len)++; } break;
        default: memmove(bytes + at, bytes + (at + 1 < *len ? at + 1 : at), *len - at - (at + 1 < *len)); *len -= *len > 1; break;
        }
    }
}

static void no_bytes_of_a_hundred_thousand_pass_a_limit(void **state)
{
    enum { SESSION = 500 };
    struct fly_guard_session session = rig_session();
    struct fly_steer_field field = {SIDE, SIDE, {session.pixel_nm[0], session.pixel_nm[1]}};
    static struct fly_guard_limits limits;
    static unsigned char bytes[FLY_HEADER_MAX];
    static struct fly_target targets[FLY_TARGETS_MAX];
    int passed = 0, decoded = 0;

    rng.state = 60;
    for (int i = 0; i < WIRE; i++) {
        struct fly_command command = {.targets = targets, .targets_cap = FLY_TARGETS_MAX};
        struct fly_part part = {bytes, 0};
        struct fly_pack pack;
        size_t len;

        if (i % SESSION == 0) {
            random_limits(&limits);
            fly_guard_book_close(&rig.book);
            assert_true(rig_open(&rig, &limits, &session));
            oracle_open(&limits, &session);
        }
        make_plan(&rig);
        if (one_in(2))
            rig.command.dwell_us = rig.command.targets[0].dwell_us;
        pass_time(&rig);
        rig.command.valid_until_ns = rig.now.unix_ns + 1000000000;
        fly_pack_init(&pack, bytes, sizeof bytes);
        if (fly_command_encode(&pack, &rig.command, &field) < 0)
            continue; /* what the codec will not say */
        len = pack.len;
        if (!one_in(3))
            mutate(bytes, &len, sizeof bytes);
        part.len = len;
        if (fly_command_decode(&command, &field, &part, 1) != FLY_REFUSE_NONE)
            continue;
        decoded++;
        rig.command.targets = targets;
        if (fly_guard_judge(&rig.limits, &rig.book, &rig.now, &command) == FLY_GUARD_PASS &&
            fly_command_measures(command.kind)) {
            passed++;
            oracle_check(&command, &rig.now);
            fly_guard_book_take(&rig.book, &command, rig.now.mono_ns);
        }
        rig.command.targets = rig.targets;
        answer_some(&rig);
    }
    fly_guard_book_close(&rig.book);
    print_message("%d messages: %d decoded, %d passed\n", WIRE, decoded, passed);
    assert_true(passed > WIRE / 200 && decoded > WIRE / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_plan_of_a_million_passes_a_limit),
        cmocka_unit_test(no_bytes_of_a_hundred_thousand_pass_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
