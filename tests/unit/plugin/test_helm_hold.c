/* The helm: holds, those of people here and the guard's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/plugin/helm_rig.h"

/* ---- hold ------------------------------------------------------------------------------------------- */

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

/* ---- the guard's own ------------------------------------------------------------------------------ */

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

static void tell_hold(struct rig *rig, const char *name, const char *words)
{
    struct fly_helm_peer from = peer(name);

    fly_helm_guard_hold(&rig->helm, &from, words);
}

static void a_hold_that_the_guard_tells_is_known_before_a_command_is_refused(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    tell_hold(rig, "g", "");
    assert_int_equal(told(rig, "guard_held") + told(rig, "guard_resumed"), 0);
    tell_hold(rig, "g", "held by signal");
    tell_hold(rig, "g", "held by signal"); /* with each status */
    assert_string_equal(rig->helm.guard_held, "held by signal");
    assert_int_equal(told(rig, "guard_held"), 1);
    decide(rig, "1");
    assert_int_equal(rig->n_sent, 0); /* what would be refused does not leave, and uses no number up */
    tell_hold(rig, "g", "held by the acquisition"); /* other words of the same hold */
    assert_string_equal(rig->helm.guard_held, "held by the acquisition");
    assert_int_equal(told(rig, "guard_held"), 1);
    tell_hold(rig, "g", "");
    assert_string_equal(rig->helm.guard_held, "");
    assert_int_equal(told(rig, "guard_resumed"), 1);
    decide(rig, "2");
    assert_int_equal(rig->n_sent, 1);
}

static void a_hold_that_the_guard_tells_ends_when_it_says_so_and_not_by_an_ack(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_STARTED);
    tell_hold(rig, "g", "held by signal");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE); /* it ended as the guard told it to stop */
    assert_string_equal(rig->helm.guard_held, "held by signal");
    tell_hold(rig, "g", "");
    pass(rig, calibrated.cycle_ns);
    answer(rig, "2", FLY_ACK_REJECTED, "guard: held: held since it came"); /* the word of it is on its way */
    assert_string_equal(rig->helm.guard_held, "");
    assert_int_equal(told(rig, "command_rejected"), 1);
}

static void what_is_ready_as_the_guard_begins_to_hold_is_void(void **state)
{
    struct rig *rig = rig_new(&calibrated);

    (void)state;
    attach_well(rig, "g", FLY_STEER_AUTO);
    decide(rig, "1");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_STARTED);
    decide(rig, "2"); /* one command at a time: it waits */
    assert_int_equal(rig->helm.ready, 1);
    tell_hold(rig, "g", "held by signal");
    assert_int_equal(rig->helm.ready, 0);
    assert_int_equal(told(rig, "decision_expired"), 1);
    tell_hold(rig, "g", "");
    ack(rig, "g", rig->sent[0].cmd_id, FLY_ACK_DONE);
    pass(rig, calibrated.cycle_ns);
    assert_int_equal(rig->n_sent, 1);
}

static void while_the_guard_holds_approvals_are_refused_and_vetoes_are_not(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    const char *code;

    (void)state;
    assert_int_equal(attach(rig, "g", FLY_STEER_ASK, 1, &code), FLY_OK);
    decide(rig, "1");
    tell_hold(rig, "g", "held by signal");
    assert_int_equal(verdict(rig, "1", 1, &code), FLY_ERANGE);
    assert_string_equal(code, "held");
    assert_non_null(strstr(fly_fail_text(), "held by signal"));
    assert_int_equal(verdict(rig, "1", 0, &code), FLY_OK);
    assert_int_equal(rig->n_sent, 0);
}

static void nobody_but_the_guard_that_owns_the_beam_tells_of_its_hold(void **state)
{
    struct rig *rig = rig_new(&calibrated);
    struct fly_helm_peer guard = peer("g");
    const char *code;

    (void)state;
    tell_hold(rig, "g", "held by signal"); /* not attached yet */
    assert_string_equal(rig->helm.guard_held, "");
    attach_well(rig, "g", FLY_STEER_AUTO);
    tell_hold(rig, "b", "held by signal");
    assert_string_equal(rig->helm.guard_held, "");
    tell_hold(rig, "g", "held by signal");
    assert_int_equal(fly_helm_detach(&rig->helm, &guard, &code), FLY_OK);
    assert_string_equal(rig->helm.guard_held, ""); /* what it told goes with it */
    assert_int_equal(attach(rig, "c", FLY_STEER_ASK, 0, &code), FLY_OK);
    tell_hold(rig, "c", "held by signal"); /* a controller has steer.hold for that */
    assert_string_equal(rig->helm.guard_held, "");
    decide(rig, "1");
    assert_int_equal(rig->helm.open, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_is_of_somebody_in_a_role_with_an_id),
        cmocka_unit_test(hold_comes_before_the_next_command_and_stops_the_one_that_runs),
        cmocka_unit_test(what_is_held_is_not_approved),
        cmocka_unit_test(hold_does_not_wait_for_a_disk_but_resume_does),
        cmocka_unit_test(a_hold_goes_on_in_the_next_session_and_is_written_down_there),
        cmocka_unit_test(a_hold_stops_whoever_has_the_beam_though_nothing_is_known_to_run),
        cmocka_unit_test(a_hold_is_kept_for_the_next_process_with_and_without_a_session),
        cmocka_unit_test(a_hold_of_the_guards_own_is_known_by_its_verdicts),
        cmocka_unit_test(a_hold_that_the_guard_tells_is_known_before_a_command_is_refused),
        cmocka_unit_test(a_hold_that_the_guard_tells_ends_when_it_says_so_and_not_by_an_ack),
        cmocka_unit_test(what_is_ready_as_the_guard_begins_to_hold_is_void),
        cmocka_unit_test(while_the_guard_holds_approvals_are_refused_and_vetoes_are_not),
        cmocka_unit_test(nobody_but_the_guard_that_owns_the_beam_tells_of_its_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
