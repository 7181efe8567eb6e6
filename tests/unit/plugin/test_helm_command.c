/* The helm: what becomes of a decision that is commanded, from its sending to its data. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/plugin/helm_rig.h"

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
        memcpy(ack.cmd_id, rig->sent[0].cmd_id, sizeof ack.cmd_id);
        snprintf(ack.reason, sizeof ack.reason, "%s", said[i].reason);
        fly_helm_ack(&rig->helm, &from, &ack);
        assert_int_equal(told(rig, "command_rejected"), 1);
        assert_int_equal(barred(rig), said[i].barred);
        assert_string_equal(rig->helm.commands[0].reason, said[i].reason);
    }
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
        memcpy(ack.cmd_id, rig->sent[0].cmd_id, sizeof ack.cmd_id);
        fly_helm_ack(&rig->helm, &from, &ack);
        assert_int_equal(told(rig, "dose_differs"), said[i].told);
        assert_int_equal(rig->helm.commands[0].differs_told, said[i].told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_go_one_at_a_time_and_not_faster_than_a_cycle),
        cmocka_unit_test(a_newer_decision_overtakes_one_that_waits),
        cmocka_unit_test(an_unacknowledged_command_is_withdrawn_and_never_sent_again),
        cmocka_unit_test(a_rate_near_none_is_no_rate_at_all),
        cmocka_unit_test(a_command_that_is_taken_and_never_done_is_given_up),
        cmocka_unit_test(acks_go_forward_only_and_come_from_the_owner),
        cmocka_unit_test(what_the_acquisition_rejects_is_not_proposed_again),
        cmocka_unit_test(what_the_guard_did_not_pass_just_now_may_be_proposed_again),
        cmocka_unit_test(what_the_journal_does_not_take_does_not_leave),
        cmocka_unit_test(a_frame_number_is_used_only_once_it_is_reserved_on_disk),
        cmocka_unit_test(frames_that_are_used_up_are_told_once),
        cmocka_unit_test(chips_are_barred_until_their_data_came),
        cmocka_unit_test(data_that_never_come_are_told),
        cmocka_unit_test(a_dose_that_differs_is_told_once_from_five_percent_on),
        cmocka_unit_test(a_dose_that_the_acquisition_tells_otherwise_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
