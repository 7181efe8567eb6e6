#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/helm.h"

#define MS     INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define BORN   (INT64_C(1767225600) * SECOND) /* Unix time at which the rig's clock begins */

enum { SENT_MAX = 64, NOTES_MAX = 256 };

/* A world that remembers what the helm did to it. */
struct rig {
    struct fly_helm helm;
    int64_t now;
    struct fly_command sent[SENT_MAX];
    char to[SENT_MAX][16];
    int n_sent;
    int send_rc, keep_rc, hold_rc;
    char hold[32];             /* as kept for the next process, "": none is */
    char notes[NOTES_MAX][32]; /* ops of the journal */
    int n_notes;
    char events[NOTES_MAX][32];
    int n_events;
    int64_t reserved;          /* asked for */
    int counts[FLY_COUNTERS];
};

static int64_t mono_ns(void *ctx)
{
    return ((struct rig *)ctx)->now;
}

static int64_t unix_ns(void *ctx)
{
    return BORN + ((struct rig *)ctx)->now;
}

static int rig_send(void *ctx, const void *peer, size_t peer_len, const struct fly_command *command)
{
    struct rig *rig = ctx;

    assert_true(rig->n_sent < SENT_MAX);
    rig->sent[rig->n_sent] = *command;
    assert_int_equal(*(const char *)peer, 0);
    snprintf(rig->to[rig->n_sent++], sizeof rig->to[0], "%.*s", (int)peer_len - 1, (const char *)peer + 1);
    return rig->send_rc;
}

static int rig_keep(void *ctx, const char *op, const void *args, size_t args_len)
{
    struct rig *rig = ctx;

    assert_int_equal(fly_wire_scan(args, args_len), FLY_REFUSE_NONE);
    if (rig->keep_rc < 0)
        return rig->keep_rc;
    assert_true(rig->n_notes < NOTES_MAX);
    snprintf(rig->notes[rig->n_notes++], sizeof rig->notes[0], "%s", op);
    return FLY_OK;
}

static int rig_keep_hold(void *ctx, const char *by)
{
    struct rig *rig = ctx;

    if (rig->hold_rc == FLY_OK)
        snprintf(rig->hold, sizeof rig->hold, "%s", by ? by : "");
    return rig->hold_rc;
}

static int rig_reserve(void *ctx, int64_t through)
{
    ((struct rig *)ctx)->reserved = through;
    return FLY_OK;
}

static void rig_tell(void *ctx, enum fly_level level, const char *code, const void *data, size_t data_len, const char *text)
{
    struct rig *rig = ctx;

    (void)level;
    assert_int_equal(fly_wire_scan(data, data_len), FLY_REFUSE_NONE);
    assert_true(strlen(text) > 0 && rig->n_events < NOTES_MAX);
    snprintf(rig->events[rig->n_events++], sizeof rig->events[0], "%s", code);
}

static void rig_count(void *ctx, enum fly_counter counter)
{
    ((struct rig *)ctx)->counts[counter]++;
}

static const struct fly_helm_facts calibrated = {.serial = 1, .beam_current_na = 0.1, .pixel_nm = {0.05, 0.05},
                                                 .frames_planned = 3, .frames_max = 1000, .chip_px = 15,
                                                 .cycle_ns = 500 * MS, .ask_ns = 10 * SECOND};

static struct rig *rig_new(const struct fly_helm_facts *facts)
{
    static struct rig rig;

    memset(&rig, 0, sizeof rig);
    rig.now = 1000 * SECOND;
    fly_helm_init(&rig.helm,
                  &(struct fly_helm_out){rig_send, rig_keep, rig_keep_hold, rig_reserve, rig_tell, rig_count, &rig},
                  &(struct fly_clock){mono_ns, unix_ns, &rig});
    if (facts)
        fly_helm_begin(&rig.helm, facts, NULL);
    return &rig;
}

/* Under an id as a ROUTER gives them: it begins with 0. */
static struct fly_helm_peer peer(const char *name)
{
    static char ids[16][16];
    static int next;
    char *id = ids[next++ % 16];

    snprintf(id + 1, sizeof ids[0] - 1, "%s", name);
    return (struct fly_helm_peer){id, strlen(name) + 1, name, "", "viewer", "id"};
}

static int attach(struct rig *rig, const char *name, enum fly_steer_mode mode, int guard, const char **code)
{
    struct fly_helm_peer who = peer(name);
    struct fly_helm_ask ask = {.mode = mode, .limits = {NAN, NAN, NAN}, .guard = guard};
    int rc;

    *code = "";
    rc = fly_helm_attach(&rig->helm, &who, &ask, code);
    if (rc == FLY_OK && rig->helm.reserving)
        fly_helm_reserved(&rig->helm, rig->reserved);
    return rc;
}

static void attach_well(struct rig *rig, const char *name, enum fly_steer_mode mode)
{
    const char *code;

    assert_int_equal(attach(rig, name, mode, mode == FLY_STEER_AUTO, &code), FLY_OK);
}

/* Two boxes of one chip each. */
static int decide_under(struct rig *rig, const char *id, uint64_t orders)
{
    struct fly_decision d = {.serial = 1, .orders = orders, .epoch = 7, .n_targets = 2, .cost_us = 1000,
                             .beam_px = {14, 44}, .boxes = {{0, 0, 1, 1}, {0, 2, 1, 1}}, .best_first = {1, 0}};

    snprintf(d.id, sizeof d.id, "%s", id);
    for (int i = 0; i < 2; i++)
        d.targets[i] = (struct fly_target){.kind = FLY_TARGET_BOX, .px = {0, 30.0 * i, 15, 15}, .dwell_us = 2.0,
                                           .expected_gain = 0.5, .dose_e_per_A2 = 10.0, .reason = "margin"};
    return fly_helm_decision(&rig->helm, &d);
}

static void decide(struct rig *rig, const char *id)
{
    assert_int_equal(decide_under(rig, id, fly_helm_orders(&rig->helm)->version), rig->helm.in_session);
}

static int verdict(struct rig *rig, const char *id, int approve, const char **code)
{
    struct fly_helm_peer who = peer("person");

    *code = "";
    return fly_helm_decide(&rig->helm, &who, id, approve, "", code);
}

static void ack(struct rig *rig, const char *from, const char *cmd_id, enum fly_ack_status status)
{
    struct fly_helm_peer who = peer(from);
    struct fly_ack a = {.status = status};

    snprintf(a.cmd_id, sizeof a.cmd_id, "%s", cmd_id);
    fly_helm_ack(&rig->helm, &who, &a);
}

/* Time passes, the owner being there. */
static void pass(struct rig *rig, int64_t ns)
{
    struct fly_helm_peer who = {rig->helm.owner, rig->helm.owner_len, "owner", "", "", ""};

    rig->now += ns;
    fly_helm_heard(&rig->helm, &who);
    fly_helm_tick(&rig->helm);
}

static int told(const struct rig *rig, const char *code)
{
    int n = 0;

    for (int i = 0; i < rig->n_events; i++)
        n += strcmp(rig->events[i], code) == 0;
    return n;
}

static int noted(const struct rig *rig, const char *op)
{
    int n = 0;

    for (int i = 0; i < rig->n_notes; i++)
        n += strcmp(rig->notes[i], op) == 0;
    return n;
}

/* Commands to measure: all but stops. */
static int commanded(const struct rig *rig)
{
    int n = 0;

    for (int i = 0; i < rig->n_sent; i++)
        n += rig->sent[i].kind != FLY_COMMAND_STOP;
    return n;
}

static int barred(struct rig *rig)
{
    return fly_helm_orders(&rig->helm)->n_barred;
}

/* ---- who has the beam ------------------------------------------------------------------------------- */

static void without_an_owner_it_gives_advice(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    assert_int_equal(fly_helm_mode(&rig->helm), FLY_STEER_ADVISE);
    assert_true(fly_helm_orders(&rig->helm)->wanted);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
}

static void one_has_the_beam_until_it_lets_go_or_falls_silent(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *code;
    struct fly_helm_peer a = peer("a"), b = peer("b");

    (void)state;
    attach_well(rig, "a", FLY_STEER_ASK);
    assert_int_equal(attach(rig, "b", FLY_STEER_ADVISE, 0, &code), FLY_ERANGE);
    assert_string_equal(code, "busy");
    assert_int_equal(fly_helm_detach(&rig->helm, &b, &code), FLY_ERANGE);
    assert_string_equal(code, "not_owner");
    rig->now += 3 * SECOND;
    fly_helm_heard(&rig->helm, &a);
    rig->now += FLY_HELM_SILENCE_NS - 1;
    assert_int_equal(attach(rig, "b", FLY_STEER_ADVISE, 0, &code), FLY_ERANGE);
    rig->now += 1;
    assert_true(fly_helm_due(&rig->helm) <= rig->now);
    assert_int_equal(attach(rig, "b", FLY_STEER_ADVISE, 0, &code), FLY_OK);
    assert_int_equal(told(rig, "owner_silent"), 1);
    assert_int_equal(fly_helm_detach(&rig->helm, &b, &code), FLY_OK);
    assert_int_equal(fly_helm_mode(&rig->helm), FLY_STEER_ADVISE);
    assert_int_equal(rig->helm.owned, 0);
}

static void what_ask_and_auto_need_is_named(void **state)
{
    struct fly_helm_facts facts = calibrated;
    const char *code;
    struct rig *rig;

    (void)state;
    facts.beam_current_na = NAN;
    rig = rig_new(&facts);
    assert_int_equal(attach(rig, "a", FLY_STEER_ASK, 0, &code), FLY_ERANGE);
    assert_string_equal(code, "uncalibrated");
    assert_non_null(strstr(fly_fail_text(), "no beam_current_na:"));
    facts.pixel_nm[0] = NAN;
    rig = rig_new(&facts);
    assert_int_equal(attach(rig, "g", FLY_STEER_AUTO, 1, &code), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "no beam_current_na and pixel_nm:"));
    struct fly_helm_peer who = peer("a");
    struct fly_helm_ask ask = {.mode = FLY_STEER_ADVISE, .limits = {100.0, NAN, NAN}};

    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_ERANGE);
    assert_string_equal(code, "uncalibrated");
    assert_int_equal(attach(rig, "a", FLY_STEER_ADVISE, 0, &code), FLY_OK);
}

static void auto_is_the_guards(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *code;

    (void)state;
    assert_int_equal(attach(rig, "a", FLY_STEER_AUTO, 0, &code), FLY_ERANGE);
    assert_string_equal(code, "guard_required");
    assert_int_equal(attach(rig, "g", FLY_STEER_AUTO, 1, &code), FLY_OK);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 1);
    assert_string_equal(rig->to[0], "g");
}

static void in_auto_nobody_can_step_into_the_guards_place(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer chosen = {"guard", 5, "guard", "guard", "guard", "guard"}, guard = peer("g"), other;
    struct fly_helm_ask ask = {.mode = FLY_STEER_AUTO, .limits = {NAN, NAN, NAN}, .guard = 1};
    const char *code = "";

    (void)state;
    assert_int_equal(fly_helm_attach(&rig->helm, &chosen, &ask, &code), FLY_ERANGE);
    assert_string_equal(code, "own_id");
    guard.key = "guard";
    assert_int_equal(fly_helm_attach(&rig->helm, &guard, &ask, &code), FLY_OK);
    fly_helm_reserved(&rig->helm, rig->reserved);
    decide(rig, "1");
    other = guard;
    other.key = "another"; /* the same id, with another key */
    fly_helm_ack(&rig->helm, &other, &(struct fly_ack){.cmd_id = "1"});
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 1);
    rig->now += FLY_HELM_SILENCE_NS;
    fly_helm_heard(&rig->helm, &other);
    fly_helm_tick(&rig->helm);
    assert_int_equal(rig->helm.owned, 0);
}

static void an_owner_gets_advice_alone_in_a_session_that_lacks_the_keys(void **state)
{
    struct fly_helm_facts facts = calibrated;
    struct rig *rig = rig_new(NULL);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    facts.pixel_nm[1] = NAN;
    fly_helm_begin(&rig->helm, &facts, NULL);
    assert_int_equal(fly_helm_mode(&rig->helm), FLY_STEER_ADVISE);
    assert_int_equal(told(rig, "steer_uncalibrated"), 1);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
    fly_helm_end(&rig->helm);
    fly_helm_begin(&rig->helm, &calibrated, NULL);
    fly_helm_reserved(&rig->helm, rig->reserved);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 1);
}

static void off_in_the_configuration_wins(void **state)
{
    struct fly_helm_facts facts = calibrated;
    struct rig *rig = rig_new(&calibrated);
    const char *code;

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    facts.off = 1;
    fly_helm_update(&rig->helm, &facts);
    assert_int_equal(rig->n_sent, 2);
    assert_int_equal(rig->sent[1].kind, FLY_COMMAND_STOP);
    assert_false(fly_helm_orders(&rig->helm)->wanted);
    assert_int_equal(attach(rig, "g", FLY_STEER_AUTO, 1, &code), FLY_ERANGE);
    assert_string_equal(code, "steer_off");
}

static void limits_are_of_the_owner_alone(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("a");
    struct fly_helm_ask ask = {.mode = FLY_STEER_ASK, .limits = {100.0, 14.0, 0.5}};
    const char *code = "";

    (void)state;
    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_ERANGE); /* a chip has 15 px */
    assert_string_equal(code, "bad_value");
    ask.limits.box_px = 30.0;
    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_OK);
    assert_float_equal(fly_helm_orders(&rig->helm)->limits.dose_e_per_A2, 100.0, 0.0);
    assert_float_equal(fly_helm_orders(&rig->helm)->limits.box_px, 30.0, 0.0);
    assert_int_equal(fly_helm_detach(&rig->helm, &who, &code), FLY_OK);
    assert_true(isnan(fly_helm_orders(&rig->helm)->limits.box_px));
}

static void what_was_decided_under_other_limits_is_void(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("a");
    struct fly_helm_ask ask = {.mode = FLY_STEER_ASK, .limits = {NAN, NAN, NAN}};
    const char *code;
    uint64_t before;

    (void)state;
    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_OK);
    fly_helm_reserved(&rig->helm, rig->reserved);
    decide(rig, "1");
    before = fly_helm_orders(&rig->helm)->version;
    ask.limits.dose_e_per_A2 = 10.0;
    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_OK);
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "expired");
    assert_int_equal(decide_under(rig, "2", before), 0); /* it was on its way */
    assert_int_equal(verdict(rig, "2", 1, &code), FLY_ERANGE);
    decide(rig, "3");
    assert_int_equal(verdict(rig, "3", 1, &code), FLY_OK);
    assert_int_equal(rig->n_sent, 1);
}

/* ---- ask -------------------------------------------------------------------------------------------- */

static void an_approved_suggestion_becomes_one_command(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *code;

    (void)state;
    attach_well(rig, "a", FLY_STEER_ASK);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
    assert_false(fly_helm_orders(&rig->helm)->wanted);
    assert_int_equal(decide_under(rig, "2", fly_helm_orders(&rig->helm)->version), 0); /* one waits already */
    assert_int_equal(verdict(rig, "2", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "unknown_decision");
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_OK);
    assert_int_equal(rig->n_sent, 1);
    assert_string_equal(rig->sent[0].decision_id, "1");
    assert_int_equal(rig->sent[0].frame, 3); /* beyond those planned */
    assert_int_equal(rig->sent[0].n_targets, 2);
    assert_int_equal(rig->sent[0].valid_until_ns, BORN + rig->now + SECOND);
    assert_int_equal(barred(rig), 2);
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "decided");
    assert_int_equal(rig->n_sent, 1);
    assert_int_equal(noted(rig, "steer.command"), 1);
}

static void a_vetoed_suggestion_is_left_alone(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("person");
    const char *code;
    uint64_t again;

    (void)state;
    attach_well(rig, "a", FLY_STEER_ASK);
    decide(rig, "1");
    again = fly_helm_orders(&rig->helm)->again;
    assert_int_equal(verdict(rig, "1", 0, &code), FLY_OK);
    assert_int_equal(rig->n_sent, 0);
    assert_int_equal(barred(rig), 2);
    assert_true(fly_helm_orders(&rig->helm)->again > again);
    assert_true(fly_helm_orders(&rig->helm)->wanted);
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "decided");
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    assert_int_equal(barred(rig), 0);
}

static void an_undecided_suggestion_expires(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *code;

    (void)state;
    attach_well(rig, "a", FLY_STEER_ASK);
    decide(rig, "1");
    pass(rig, calibrated.ask_ns - 1);
    assert_int_equal(told(rig, "decision_expired"), 0);
    pass(rig, 1);
    assert_int_equal(told(rig, "decision_expired"), 1);
    assert_int_equal(rig->counts[FLY_COUNT_DECISIONS_EXPIRED], 1);
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "expired");
    assert_int_equal(rig->n_sent, 0);
}

static void only_ask_is_decided(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *code;

    (void)state;
    decide(rig, "1");
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "not_asked");
}

/* ---- commands --------------------------------------------------------------------------------------- */

static void commands_go_one_at_a_time_and_not_faster_than_a_cycle(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    char first[FLY_CMD_ID_MAX + 1];

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 1);
    strcpy(first, rig->sent[0].cmd_id);
    pass(rig, 100 * MS);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 1);
    ack(rig, "g", first, FLY_ACK_RECEIVED);
    ack(rig, "g", first, FLY_ACK_STARTED);
    ack(rig, "g", first, FLY_ACK_DONE);
    assert_int_equal(rig->n_sent, 1); /* 100 ms after the one before */
    assert_int_equal(fly_helm_due(&rig->helm), rig->now + 400 * MS);
    pass(rig, 400 * MS);
    assert_int_equal(rig->n_sent, 2);
    assert_string_equal(rig->sent[1].decision_id, "2");
    assert_int_equal(rig->sent[1].frame, rig->sent[0].frame + 1);
    assert_true(strcmp(rig->sent[1].cmd_id, first) > 0);
    assert_int_equal(rig->counts[FLY_COUNT_COMMANDS_DONE], 1);
}

static void a_newer_decision_overtakes_one_that_waits(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    decide(rig, "2");
    decide(rig, "3");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    pass(rig, 500 * MS);
    assert_int_equal(rig->n_sent, 2);
    assert_string_equal(rig->sent[1].decision_id, "3");
}

static void an_unacknowledged_command_is_withdrawn_and_never_sent_again(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    uint64_t again;

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    again = fly_helm_orders(&rig->helm)->again;
    pass(rig, SECOND - 1);
    assert_int_equal(told(rig, "command_withdrawn"), 0);
    pass(rig, 1);
    assert_int_equal(told(rig, "command_withdrawn"), 1);
    assert_int_equal(rig->counts[FLY_COUNT_COMMANDS_WITHDRAWN], 1);
    assert_int_equal(barred(rig), 0);
    assert_true(fly_helm_orders(&rig->helm)->again > again);
    for (int i = 0; i < 20; i++)
        pass(rig, SECOND);
    assert_int_equal(rig->n_sent, 2);
    assert_int_equal(rig->sent[1].kind, FLY_COMMAND_STOP); /* it may run all the same */
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_RECEIVED); /* too late */
    assert_int_equal(told(rig, "ack_refused"), 1);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 3);
    assert_string_not_equal(rig->sent[2].cmd_id, rig->sent[0].cmd_id);
    assert_string_equal(rig->sent[2].decision_id, "2");
}

static void a_rate_near_none_is_no_rate_at_all(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("g");
    struct fly_helm_ask ask = {.mode = FLY_STEER_AUTO, .limits = {NAN, NAN, 1e-12}, .guard = 1};
    const char *code;

    (void)state;
    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_OK);
    fly_helm_reserved(&rig->helm, rig->reserved);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    pass(rig, 100 * SECOND);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 1);
    assert_true(fly_helm_due(&rig->helm) > rig->now);
}

static void a_command_that_is_taken_and_never_done_is_given_up(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1"); /* of 1 ms */
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_STARTED);
    pass(rig, 4 * SECOND);
    pass(rig, SECOND);
    assert_true(fly_helm_under_way(&rig->helm));
    pass(rig, 2 * MS);
    assert_false(fly_helm_under_way(&rig->helm));
    assert_int_equal(rig->sent[1].kind, FLY_COMMAND_STOP);
    assert_int_equal(told(rig, "command_withdrawn"), 1);
}

static void acks_go_forward_only_and_come_from_the_owner(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *id;

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    id = rig->sent[0].cmd_id;
    ack(rig, "x", id, FLY_ACK_RECEIVED);
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 1);
    ack(rig, "g", "nothing", FLY_ACK_RECEIVED);
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 2);
    ack(rig, "g", id, FLY_ACK_STARTED);
    ack(rig, "g", id, FLY_ACK_RECEIVED);
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 3);
    ack(rig, "g", id, FLY_ACK_STARTED);
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 4);
    assert_int_equal(rig->helm.commands[0].state, FLY_HELM_STARTED);
    ack(rig, "g", id, FLY_ACK_DONE);
    ack(rig, "g", id, FLY_ACK_DONE);
    ack(rig, "g", id, FLY_ACK_REJECTED);
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 6);
    assert_int_equal(rig->helm.commands[0].state, FLY_HELM_DONE);
    assert_int_equal(noted(rig, "steer.ack"), 2);
}

static void what_the_acquisition_rejects_is_not_proposed_again(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_RECEIVED);
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_REJECTED);
    assert_int_equal(told(rig, "command_rejected"), 1);
    assert_int_equal(barred(rig), 2);
    pass(rig, 30 * SECOND);
    assert_int_equal(barred(rig), 2);
}

static void who_has_the_beam_and_who_holds_is_told_once(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("viewer"), owner = peer("g");
    const char *code;

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    attach_well(rig, "g", FLY_STEER_AUTO);
    assert_int_equal(told(rig, "steer_attached"), 1);
    attach_well(rig, "g", FLY_STEER_ADVISE);
    assert_int_equal(told(rig, "steer_attached"), 2);
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_int_equal(fly_helm_hold(&rig->helm, &owner), FLY_OK);
    assert_int_equal(told(rig, "steer_held"), 1);
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    assert_int_equal(told(rig, "steer_resumed"), 1);
    assert_int_equal(fly_helm_detach(&rig->helm, &owner, &code), FLY_OK);
    assert_int_equal(told(rig, "steer_detached"), 1);
}

static void what_the_guard_did_not_pass_just_now_may_be_proposed_again(void **state)
{
    static const struct {
        const char *reason;
        int32_t barred;
    } said[] = {{"guard: ledger: the plugin has not told its ledger yet", 0},
                {"guard: rate: two a second are allowed", 0},
                {"guard: chip_dose: 9 e-/A^2, at most 8 are allowed", 2},
                {"rate: said by somebody else", 2}};

    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct rig *rig = rig_new(&calibrated);
        struct fly_ack ack = {.status = FLY_ACK_REJECTED};
        struct fly_helm_peer from = peer("g");

        attach_well(rig, "g", FLY_STEER_AUTO);
        decide(rig, "1");
        snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", rig->sent[0].cmd_id);
        snprintf(ack.reason, sizeof ack.reason, "%s", said[i].reason);
        fly_helm_ack(&rig->helm, &from, &ack);
        assert_int_equal(told(rig, "command_rejected"), 1);
        assert_int_equal(barred(rig), said[i].barred);
        assert_string_equal(rig->helm.commands[0].reason, said[i].reason);
    }
}

static void answer(struct rig *rig, const char *id, enum fly_ack_status status, const char *reason)
{
    struct fly_ack ack = {.status = status};
    struct fly_helm_peer from = peer("g");

    decide(rig, id);
    assert_string_equal(rig->helm.commands[0].decision_id, id);
    snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", rig->helm.commands[0].cmd_id);
    snprintf(ack.reason, sizeof ack.reason, "%s", reason);
    fly_helm_ack(&rig->helm, &from, &ack);
    pass(rig, calibrated.cycle_ns);
}

static void a_hold_of_the_guards_own_is_known_by_its_verdicts(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    answer(rig, "1", FLY_ACK_REJECTED, "guard: rate: two a second are allowed");
    assert_string_equal(rig->helm.guard_held, "");
    answer(rig, "2", FLY_ACK_REJECTED, "guard: held: held at the plugin since it came"); /* ours, and over */
    assert_string_equal(rig->helm.guard_held, "");
    assert_int_equal(told(rig, "command_rejected"), 2);
    answer(rig, "3", FLY_ACK_REJECTED, "guard: held: held by signal");
    answer(rig, "4", FLY_ACK_REJECTED, "guard: held: held by signal");
    assert_string_equal(rig->helm.guard_held, "held by signal");
    assert_int_equal(told(rig, "command_rejected"), 3); /* not with each command that it turns away */
    assert_int_equal(rig->counts[FLY_COUNT_COMMANDS_REJECTED], 4);
    answer(rig, "5", FLY_ACK_RECEIVED, "");
    assert_string_equal(rig->helm.guard_held, "");
}

static void a_hold_is_of_somebody_in_a_role_with_an_id(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer anna = peer("anna");

    (void)state;
    assert_int_equal(fly_helm_hold(&rig->helm, &anna), FLY_OK);
    assert_string_equal(rig->helm.held_by, "anna");
    assert_string_equal(rig->helm.held_role, "viewer");
    assert_string_equal(rig->helm.held_id, "id");
    assert_int_equal(fly_helm_resume(&rig->helm, &anna), FLY_OK);
    assert_string_equal(rig->helm.held_by, "");
    assert_string_equal(rig->helm.held_role, "");
    assert_string_equal(rig->helm.held_id, "");
}

static void an_owner_that_cannot_be_reached_is_none(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    rig->send_rc = FLY_EIO;
    decide(rig, "1");
    assert_int_equal(rig->helm.owned, 0);
    assert_int_equal(told(rig, "command_withdrawn"), 1);
}

static void what_a_silent_owner_had_is_withdrawn(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_STARTED);
    rig->now += FLY_HELM_SILENCE_NS;
    fly_helm_tick(&rig->helm);
    assert_int_equal(rig->helm.owned, 0);
    assert_int_equal(told(rig, "command_withdrawn"), 1);
    assert_int_equal(barred(rig), 0);
    assert_int_equal(rig->sent[rig->n_sent - 1].kind, FLY_COMMAND_STOP);
    assert_int_equal(noted(rig, "steer.detach"), 1);
}

static void what_the_journal_does_not_take_does_not_leave(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    rig->keep_rc = FLY_EAGAIN;
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
    assert_true(fly_helm_due(&rig->helm) > rig->now);
    rig->keep_rc = FLY_OK;
    pass(rig, 20 * MS);
    assert_int_equal(rig->n_sent, 1);
}

static void a_frame_number_is_used_only_once_it_is_reserved_on_disk(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("g");
    struct fly_helm_ask ask = {.mode = FLY_STEER_AUTO, .limits = {NAN, NAN, NAN}, .guard = 1};
    const char *code;

    (void)state;
    assert_int_equal(fly_helm_attach(&rig->helm, &who, &ask, &code), FLY_OK);
    assert_int_equal(rig->reserved, 3 + FLY_HELM_FRAMES_AHEAD);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
    fly_helm_seen(&rig->helm, 40);
    fly_helm_reserved(&rig->helm, rig->reserved);
    assert_int_equal(rig->n_sent, 1);
    assert_int_equal(rig->sent[0].frame, 41);
    assert_int_equal(rig->reserved, 41 + FLY_HELM_FRAMES_AHEAD); /* more is asked for before it is short */
}

static void frames_that_are_used_up_are_told_once(void **state)
{
    struct fly_helm_facts facts = calibrated;
    struct rig *rig;

    (void)state;
    facts.frames_max = 4;
    rig = rig_new(&facts);
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 1);
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    pass(rig, SECOND);
    decide(rig, "2");
    pass(rig, 100 * MS);
    assert_int_equal(rig->n_sent, 1);
    assert_int_equal(told(rig, "frames_used_up"), 1);
}

/* ---- hold ------------------------------------------------------------------------------------------- */

static void hold_comes_before_the_next_command_and_stops_the_one_that_runs(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("viewer");

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_STARTED);
    decide(rig, "2"); /* waits for the first */
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_int_equal(rig->n_sent, 2);
    assert_int_equal(rig->sent[1].kind, FLY_COMMAND_STOP);
    assert_int_equal(rig->sent[1].n_targets, 0);
    ack(rig, "g", rig->sent[1].cmd_id, FLY_ACK_DONE);
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    assert_int_equal(rig->counts[FLY_COUNT_ACKS_REFUSED], 0);
    for (int i = 0; i < 10; i++) {
        pass(rig, SECOND);
        decide(rig, "3");
    }
    assert_int_equal(rig->n_sent, 2);
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    decide(rig, "4");
    assert_int_equal(rig->n_sent, 3);
}

static void what_is_held_is_not_approved(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("person");
    const char *code;

    (void)state;
    attach_well(rig, "a", FLY_STEER_ASK);
    decide(rig, "1");
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "held");
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    assert_int_equal(commanded(rig), 0);
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_OK);
    assert_int_equal(commanded(rig), 1);
}

static void hold_does_not_wait_for_a_disk_but_resume_does(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("person");

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    rig->keep_rc = FLY_EAGAIN;
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_EAGAIN);
    rig->keep_rc = FLY_OK;
    decide(rig, "1");
    assert_int_equal(commanded(rig), 0);
    rig->keep_rc = FLY_EAGAIN;
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_EAGAIN);
    assert_true(rig->helm.held);
}

static void a_hold_goes_on_in_the_next_session_and_is_written_down_there(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("person");

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    fly_helm_end(&rig->helm);
    fly_helm_begin(&rig->helm, &calibrated, NULL);
    assert_int_equal(noted(rig, "steer.hold"), 2);
    decide(rig, "1");
    assert_int_equal(commanded(rig), 0);
}

static void a_hold_stops_whoever_has_the_beam_though_nothing_is_known_to_run(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer who = peer("viewer"), owner = peer("a");
    const char *code;

    (void)state;
    attach_well(rig, "a", FLY_STEER_ADVISE);
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_int_equal(rig->n_sent, 0); /* it is commanded nothing */
    attach_well(rig, "a", FLY_STEER_ASK);
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_int_equal(rig->n_sent, 1);
    assert_int_equal(rig->sent[0].kind, FLY_COMMAND_STOP);
    assert_int_equal(fly_helm_detach(&rig->helm, &owner, &code), FLY_OK);
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_int_equal(rig->n_sent, 1);
}

static void a_hold_is_kept_for_the_next_process_with_and_without_a_session(void **state)
{
    struct rig *rig = rig_new(NULL);
    struct fly_helm_memory memory = {.there = 1, .held = 1, .held_by = "ben"};
    struct fly_helm_peer who = peer("anna");

    (void)state;
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    assert_string_equal(rig->hold, "anna");
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    assert_string_equal(rig->hold, "");
    rig->hold_rc = FLY_EIO;
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_EIO);
    assert_true(rig->helm.held);
    rig->hold_rc = FLY_OK;
    assert_int_equal(fly_helm_hold(&rig->helm, &who), FLY_OK);
    rig->hold_rc = FLY_EIO;
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_EIO);
    assert_true(rig->helm.held);

    rig = rig_new(NULL); /* the next one */
    fly_helm_recall(&rig->helm, "anna");
    fly_helm_begin(&rig->helm, &calibrated, NULL);
    assert_int_equal(noted(rig, "steer.hold"), 1);
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
    assert_string_equal(rig->helm.held_by, "anna");

    rig = rig_new(NULL); /* one that finds it in a journal alone */
    fly_helm_begin(&rig->helm, &calibrated, &memory);
    assert_string_equal(rig->hold, "ben");
}

/* ---- restart and end -------------------------------------------------------------------------------- */

static void a_restart_keeps_hold_and_goes_on_with_its_numbers(void **state)
{
    struct rig *rig = rig_new(NULL);
    struct fly_helm_memory memory = {.there = 1, .held = 1, .held_by = "anna", .frames_through = 99,
                                     .last_number = INT64_C(9000000000000)};
    struct fly_helm_peer who = peer("person");

    (void)state;
    fly_helm_begin(&rig->helm, &calibrated, &memory);
    assert_true(rig->helm.held);
    assert_string_equal(rig->helm.held_by, "anna");
    assert_int_equal(rig->helm.owned, 0); /* the owner must attach again */
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0);
    assert_int_equal(fly_helm_resume(&rig->helm, &who), FLY_OK);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 1);
    assert_int_equal(rig->sent[0].frame, 99);
    assert_string_equal(rig->sent[0].cmd_id, "9000000000001");
}

static void the_end_of_a_session_withdraws_what_is_under_way(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    fly_helm_end(&rig->helm);
    assert_int_equal(rig->sent[1].kind, FLY_COMMAND_STOP);
    assert_int_equal(told(rig, "command_withdrawn"), 1);
    assert_false(fly_helm_orders(&rig->helm)->wanted);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 2);
}

/* ---- data ------------------------------------------------------------------------------------------- */

static struct fly_answer answer_to(const struct rig *rig, int64_t px, double dwell_us)
{
    struct fly_answer answer = {.image_px = px, .eds_px = px / 2, .dwell_us = dwell_us, .commanded_us = 2.0};

    memcpy(answer.cmd_id, rig->sent[0].cmd_id, sizeof answer.cmd_id);
    return answer;
}

static void chips_are_barred_until_their_data_came(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_answer answer;

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1"); /* 450 px */
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    assert_int_equal(barred(rig), 2);
    answer = answer_to(rig, 449, 2.0);
    fly_helm_answer(&rig->helm, &answer);
    assert_int_equal(barred(rig), 2);
    answer = answer_to(rig, 450, 2.0);
    fly_helm_answer(&rig->helm, &answer);
    assert_int_equal(barred(rig), 0);
    pass(rig, 10 * SECOND);
    assert_int_equal(told(rig, "data_short"), 0);
}

static void data_that_never_come_are_told(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    pass(rig, FLY_HELM_DATA_NS - 1);
    assert_int_equal(barred(rig), 2);
    pass(rig, 1);
    assert_int_equal(barred(rig), 0);
    assert_int_equal(told(rig, "data_short"), 1);
}

static void a_dose_that_differs_is_told_once_from_five_percent_on(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_answer answer;

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    answer = answer_to(rig, 15, 2.09);
    fly_helm_answer(&rig->helm, &answer);
    assert_int_equal(told(rig, "dose_differs"), 0);
    answer = answer_to(rig, 30, 1.89);
    fly_helm_answer(&rig->helm, &answer);
    fly_helm_answer(&rig->helm, &answer);
    assert_int_equal(told(rig, "dose_differs"), 1);
}

/* What data say of their dwell may be what was commanded, and the beam's another. */
static void a_dose_that_the_acquisition_tells_otherwise_is_told(void **state)
{
    static const struct {
        double dwell_us;
        int64_t pixels;
        int told;
    } said[] = {{2.0, 450, 0}, {2.09, 300, 0}, {NAN, 450, 0}, {0.0, 0, 0}, {2.11, 450, 1}, {1.89, 20, 1}, {2.0, 451, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct rig *rig = rig_new(&calibrated);
        struct fly_helm_peer from = peer("g");
        struct fly_ack ack = {.status = FLY_ACK_DONE, .has_achieved = 1,
                              .achieved = {1, said[i].pixels, said[i].dwell_us}};

        attach_well(rig, "g", FLY_STEER_AUTO);
        decide(rig, "1");
        snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", rig->sent[0].cmd_id);
        fly_helm_ack(&rig->helm, &from, &ack);
        assert_int_equal(told(rig, "dose_differs"), said[i].told);
        assert_int_equal(rig->helm.commands[0].differs_told, said[i].told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_owner_it_gives_advice),
        cmocka_unit_test(one_has_the_beam_until_it_lets_go_or_falls_silent),
        cmocka_unit_test(what_ask_and_auto_need_is_named),
        cmocka_unit_test(auto_is_the_guards),
        cmocka_unit_test(in_auto_nobody_can_step_into_the_guards_place),
        cmocka_unit_test(an_owner_gets_advice_alone_in_a_session_that_lacks_the_keys),
        cmocka_unit_test(off_in_the_configuration_wins),
        cmocka_unit_test(limits_are_of_the_owner_alone),
        cmocka_unit_test(what_was_decided_under_other_limits_is_void),
        cmocka_unit_test(an_approved_suggestion_becomes_one_command),
        cmocka_unit_test(a_vetoed_suggestion_is_left_alone),
        cmocka_unit_test(an_undecided_suggestion_expires),
        cmocka_unit_test(only_ask_is_decided),
        cmocka_unit_test(commands_go_one_at_a_time_and_not_faster_than_a_cycle),
        cmocka_unit_test(a_newer_decision_overtakes_one_that_waits),
        cmocka_unit_test(an_unacknowledged_command_is_withdrawn_and_never_sent_again),
        cmocka_unit_test(a_rate_near_none_is_no_rate_at_all),
        cmocka_unit_test(a_command_that_is_taken_and_never_done_is_given_up),
        cmocka_unit_test(acks_go_forward_only_and_come_from_the_owner),
        cmocka_unit_test(what_the_acquisition_rejects_is_not_proposed_again),
        cmocka_unit_test(who_has_the_beam_and_who_holds_is_told_once),
        cmocka_unit_test(what_the_guard_did_not_pass_just_now_may_be_proposed_again),
        cmocka_unit_test(a_hold_of_the_guards_own_is_known_by_its_verdicts),
        cmocka_unit_test(a_hold_is_of_somebody_in_a_role_with_an_id),
        cmocka_unit_test(an_owner_that_cannot_be_reached_is_none),
        cmocka_unit_test(what_a_silent_owner_had_is_withdrawn),
        cmocka_unit_test(what_the_journal_does_not_take_does_not_leave),
        cmocka_unit_test(a_frame_number_is_used_only_once_it_is_reserved_on_disk),
        cmocka_unit_test(frames_that_are_used_up_are_told_once),
        cmocka_unit_test(hold_comes_before_the_next_command_and_stops_the_one_that_runs),
        cmocka_unit_test(what_is_held_is_not_approved),
        cmocka_unit_test(hold_does_not_wait_for_a_disk_but_resume_does),
        cmocka_unit_test(a_hold_goes_on_in_the_next_session_and_is_written_down_there),
        cmocka_unit_test(a_hold_stops_whoever_has_the_beam_though_nothing_is_known_to_run),
        cmocka_unit_test(a_hold_is_kept_for_the_next_process_with_and_without_a_session),
        cmocka_unit_test(a_restart_keeps_hold_and_goes_on_with_its_numbers),
        cmocka_unit_test(the_end_of_a_session_withdraws_what_is_under_way),
        cmocka_unit_test(chips_are_barred_until_their_data_came),
        cmocka_unit_test(data_that_never_come_are_told),
        cmocka_unit_test(a_dose_that_differs_is_told_once_from_five_percent_on),
        cmocka_unit_test(a_dose_that_the_acquisition_tells_otherwise_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
