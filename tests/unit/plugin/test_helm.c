/* The helm: who has the beam, what is asked of a person, a restart and an end. Commands are test_helm_command.c, holds
 * test_helm_hold.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/plugin/helm_rig.h"

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
        cmocka_unit_test(who_has_the_beam_and_who_holds_is_told_once),
        cmocka_unit_test(an_owner_that_cannot_be_reached_is_none),
        cmocka_unit_test(what_a_silent_owner_had_is_withdrawn),
        cmocka_unit_test(an_approved_suggestion_becomes_one_command),
        cmocka_unit_test(a_vetoed_suggestion_is_left_alone),
        cmocka_unit_test(an_undecided_suggestion_expires),
        cmocka_unit_test(only_ask_is_decided),
        cmocka_unit_test(a_restart_keeps_hold_and_goes_on_with_its_numbers),
        cmocka_unit_test(the_end_of_a_session_withdraws_what_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
