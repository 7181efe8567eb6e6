/* The judge: each limit at it, just inside and just beyond; and what never stands in a stop's way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/plugin/guard/judge_rig.h"

/* ---- the world -------------------------------------------------------------------------------------- */

static void a_good_command_passes_and_judging_changes_nothing(void **state)
{
    for (int i = 0; i < 3; i++)
        expect(FLY_GUARD_PASS);
    for (int k = 0; k < 64; k++)
        assert_int_equal(rig.book.hits[k], 0);
    assert_int_equal(rig.book.n_open, 0);
}

static void nothing_passes_while_the_world_is_not_right(void **state)
{
    rig.now.journal_ok = 0;
    expect(FLY_GUARD_JOURNAL);
    rig.now.journal_ok = 1;
    rig.now.attached = 0;
    expect(FLY_GUARD_DETACHED);
    rig.now.attached = 1;
    rig.now.held = 1;
    expect(FLY_GUARD_HELD);
    rig.now.held = 0;
    rig.now.session = "another";
    expect(FLY_GUARD_SESSION);
    rig.now.session = "rig";
    rig.now.ledger_asked = 0;
    expect(FLY_GUARD_LEDGER);
    rig.now.ledger_asked = 1;
    assert_int_equal(fly_guard_judge(&rig.limits, NULL, &rig.now, &rig.command), FLY_GUARD_SESSION);
    expect(FLY_GUARD_PASS);
}

static void stop_and_blank_pass_whatever_is_wrong(void **state)
{
    static const enum fly_command_kind kinds[] = {FLY_COMMAND_STOP, FLY_COMMAND_BLANK};
    struct fly_guard_now nothing = {.session = "", .held = 1};
    struct fly_command command = {.frame = -7, .dwell_us = NAN, .valid_until_ns = 1, .n_targets = 9};

    for (int i = 0; i < 2; i++) {
        command.kind = kinds[i];
        assert_int_equal(fly_guard_judge(&rig.limits, NULL, &nothing, &command), FLY_GUARD_PASS);
    }
    command.kind = (enum fly_command_kind)FLY_COMMAND_KINDS;
    assert_int_equal(fly_guard_judge(&rig.limits, &rig.book, &rig.now, &command), FLY_GUARD_KIND);
    command.kind = (enum fly_command_kind)-1;
    assert_int_equal(fly_guard_judge(&rig.limits, &rig.book, &rig.now, &command), FLY_GUARD_KIND);
}

static void a_session_without_current_pixel_or_dwell_is_refused(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct fly_guard_session session = rig_session();
        struct fly_guard_limits limits = rig_limits();

        if (i == 0)
            session.beam_current_na = NAN;
        else if (i == 1)
            session.pixel_nm[1] = NAN;
        else
            session.pixel_time_us = NAN;
        fly_guard_book_close(&rig.book);
        assert_true(rig_open(&rig, &limits, &session));
        expect(FLY_GUARD_CALIBRATION);
        /* what a person wrote down stands in for what the session does not say */
        limits.beam_current_na = 1;
        limits.pixel_nm = 0.3;
        limits.survey_dwell_us = 2;
        fly_guard_book_close(&rig.book);
        assert_true(rig_open(&rig, &limits, &session));
        expect(FLY_GUARD_PASS);
    }
}

/* ---- ids, times, frames ----------------------------------------------------------------------------- */

static void an_id_passes_once(void **state)
{
    char id[FLY_CMD_ID_MAX + 1];

    strcpy(id, rig.command.cmd_id);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    strcpy(rig.command.cmd_id, id);
    expect(FLY_GUARD_REPEATED);
}

static void a_refused_id_is_used_up_as_well(void **state)
{
    fly_guard_book_refuse(&rig.book, rig.command.cmd_id);
    expect(FLY_GUARD_REPEATED);
}

static void a_decision_is_answered_once(void **state)
{
    char id[FLY_CMD_ID_MAX + 1];

    strcpy(id, rig.command.decision_id);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    strcpy(rig.command.decision_id, id);
    expect(FLY_GUARD_DECISION);
    rig.command.decision_id[0] = '\0';
    expect(FLY_GUARD_DECISION);
}

static void numbers_of_ids_rise(void **state)
{
    rig.number = 41;
    rig_next(&rig);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS); /* c-42 */
    strcpy(rig.command.cmd_id, "c-041");
    expect(FLY_GUARD_ID_ORDER);
    strcpy(rig.command.cmd_id, "c-042");
    expect(FLY_GUARD_ID_ORDER);
    strcpy(rig.command.cmd_id, "x-7");
    expect(FLY_GUARD_PASS);
    strcpy(rig.command.cmd_id, "no-number");
    expect(FLY_GUARD_PASS);
    strcpy(rig.command.cmd_id, "c-43");
    expect(FLY_GUARD_PASS);
}

static void ids_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"", "with space", "umlaut-\xc3\xa4", "semi;colon", "guard-1"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        strcpy(rig.command.cmd_id, bad[i]);
        expect(FLY_GUARD_ID);
    }
    memset(rig.command.cmd_id, 'a', sizeof rig.command.cmd_id); /* no end */
    expect(FLY_GUARD_ID);
}

static void a_command_is_void_at_its_time_and_not_valid_for_too_long(void **state)
{
    rig.command.valid_until_ns = rig.now.unix_ns;
    expect(FLY_GUARD_EXPIRED);
    rig.command.valid_until_ns = rig.now.unix_ns + 1;
    expect(FLY_GUARD_PASS);
    rig.command.valid_until_ns = rig.now.unix_ns + 9999 * INT64_C(1000000);
    expect(FLY_GUARD_PASS);
    rig.command.valid_until_ns = rig.now.unix_ns + 10001 * INT64_C(1000000);
    expect(FLY_GUARD_AHEAD);
    rig.command.valid_until_ns = INT64_MAX;
    expect(FLY_GUARD_AHEAD);
    rig.command.valid_until_ns = INT64_MIN;
    expect(FLY_GUARD_EXPIRED);
}

static void a_decision_on_older_data_is_stale(void **state)
{
    rig.command.as_of.seq[1] = 100;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    rig.command.as_of.seq[1] = 99;
    expect(FLY_GUARD_STALE);
    rig.command.as_of.seq[1] = 100;
    expect(FLY_GUARD_PASS);
    strcpy(rig.command.as_of.names[1], "other");
    expect(FLY_GUARD_STALE);
    rig.command.as_of.count = 0;
    expect(FLY_GUARD_STALE);
}

static void frames_rise_and_begin_after_the_sessions_own(void **state)
{
    rig.command.frame = 0;
    expect(FLY_GUARD_FRAME_ORDER);
    rig.command.frame = 1;
    rig.command.frames = 4;
    expect(FLY_GUARD_PASS);
    rig.command.frames = 5;
    expect(FLY_GUARD_FRAMES);
    rig.command.frames = 0;
    expect(FLY_GUARD_FRAMES);
    rig.command.frames = 3;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS); /* 1, 2, 3 */
    rig.command.frame = 3;
    expect(FLY_GUARD_FRAME_ORDER);
    rig.command.frame = 4;
    expect(FLY_GUARD_PASS);
    rig.command.frame = FLY_FRAMES_MAX - 1;
    expect(FLY_GUARD_PASS);
    rig.command.frame = FLY_FRAMES_MAX;
    expect(FLY_GUARD_FRAME_ORDER);
    rig.command.frame = INT64_MAX;
    expect(FLY_GUARD_FRAME_ORDER);
}

/* ---- targets ---------------------------------------------------------------------------------------- */

static void targets_are_counted(void **state)
{
    rig.command.n_targets = 0;
    expect(FLY_GUARD_TARGETS);
    for (int i = 0; i < 9; i++)
        put_box(i, 0, 6 * i, 8, 6);
    rig.command.n_targets = 8;
    expect(FLY_GUARD_PASS);
    rig.command.n_targets = 9;
    expect(FLY_GUARD_TARGETS);
    rig.command.n_targets = 1;
    rig.targets[0].kind = FLY_TARGET_POINT;
    expect(FLY_GUARD_TARGETS);
}

static void numbers_are_finite_and_whole(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300};

    for (int k = 0; k < 4; k++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            one_box(8, 8, 8, 8);
            rig.targets[0].px[k] = bad[i];
            expect(FLY_GUARD_NUMBER);
        }
    for (int k = 0; k < 4; k++) {
        one_box(8, 8, 8, 8);
        rig.targets[0].px[k] += 0.25;
        expect(FLY_GUARD_NUMBER);
    }
    one_box(8, 8, 0, 8);
    expect(FLY_GUARD_NUMBER);
    one_box(8, 8, 8, -1);
    expect(FLY_GUARD_NUMBER);
}

static void dwell_has_two_ends(void **state)
{
    static const struct { double dwell; enum fly_guard_verdict verdict; } cases[] = {
        {1, FLY_GUARD_PASS}, {0.999999, FLY_GUARD_DWELL}, {20, FLY_GUARD_PASS}, {20.000001, FLY_GUARD_DWELL},
        {NAN, FLY_GUARD_DWELL}, {INFINITY, FLY_GUARD_DWELL}, {-2, FLY_GUARD_DWELL}, {0, FLY_GUARD_DWELL}};

    rig.limits.chip_dose_e_per_A2 = 1e6;
    rig.limits.total_dose_e_per_A2 = 1e6;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig.command.dwell_us = cases[i].dwell;
        rig.targets[0].dwell_us = rig.targets[1].dwell_us = cases[i].dwell;
        expect(cases[i].verdict);
    }
    rig.command.dwell_us = 5;
    rig.targets[0].dwell_us = 4;
    rig.targets[1].dwell_us = 5;
    expect(FLY_GUARD_PASS);
    rig.targets[1].dwell_us = 5.01; /* longer than the command says */
    expect(FLY_GUARD_DWELL);
    rig.targets[1].dwell_us = NAN;
    expect(FLY_GUARD_DWELL);
}

static void slew_is_a_pixel_in_a_dwell_time(void **state)
{
    rig.limits.slew_px_per_us = 0.5;
    expect(FLY_GUARD_PASS); /* 2 us */
    rig.limits.slew_px_per_us = 0.499;
    expect(FLY_GUARD_SLEW);
    rig.command.kind = FLY_COMMAND_LINE;
    rig.command.n_targets = 1;
    rig.targets[0] = (struct fly_target){.kind = FLY_TARGET_LINE, .px = {4, 4, 20, 20}, .dwell_us = 2};
    rig.limits.slew_px_per_us = 0.5; /* a diagonal goes sqrt 2 a pixel */
    expect(FLY_GUARD_SLEW);
    rig.limits.slew_px_per_us = 0.7072;
    expect(FLY_GUARD_PASS);
}

static void the_field_has_a_margin(void **state)
{
    rig.limits.margin_px = 4;
    one_box(4, 4, 16, 16);
    expect(FLY_GUARD_PASS);
    one_box(3, 4, 16, 16);
    expect(FLY_GUARD_OUTSIDE);
    one_box(4, 44, 16, 16);
    expect(FLY_GUARD_PASS);
    one_box(4, 45, 16, 16);
    expect(FLY_GUARD_OUTSIDE);
    one_box(45, 4, 16, 16);
    expect(FLY_GUARD_OUTSIDE);
    rig.command.kind = FLY_COMMAND_POINT_LIST;
    rig.targets[0] = (struct fly_target){.kind = FLY_TARGET_POINT, .px = {59, 4}, .dwell_us = 2};
    expect(FLY_GUARD_PASS);
    rig.targets[0].px[0] = 60; /* the pixel of row 60 */
    expect(FLY_GUARD_OUTSIDE);
    rig.targets[0].px[0] = -1;
    expect(FLY_GUARD_OUTSIDE);
    rig.command.kind = FLY_COMMAND_LINE;
    rig.targets[0] = (struct fly_target){.kind = FLY_TARGET_LINE, .px = {10, 59, 10, 40}, .dwell_us = 2};
    expect(FLY_GUARD_PASS);
    rig.targets[0].px[1] = 60;
    expect(FLY_GUARD_OUTSIDE);
}

static void boxes_have_a_longest_side(void **state)
{
    one_box(0, 0, 1, 32);
    expect(FLY_GUARD_PASS);
    one_box(0, 0, 1, 33);
    expect(FLY_GUARD_BOX);
    one_box(0, 0, 33, 1);
    expect(FLY_GUARD_BOX);
}

static void targets_go_one_way(void **state)
{
    static const struct { double a[4], b[4], c[4]; enum fly_guard_verdict verdict; } cases[] = {
        {{0, 0, 8, 8}, {0, 8, 8, 8}, {0, 16, 8, 8}, FLY_GUARD_PASS},        /* along a band */
        {{0, 16, 8, 8}, {0, 8, 8, 8}, {0, 0, 8, 8}, FLY_GUARD_PASS},        /* the other way */
        {{0, 0, 8, 8}, {0, 16, 8, 8}, {0, 8, 8, 8}, FLY_GUARD_LINE_ORDER},  /* back */
        {{0, 0, 8, 8}, {8, 8, 8, 8}, {16, 0, 8, 8}, FLY_GUARD_PASS},        /* down */
        {{16, 0, 8, 8}, {8, 8, 8, 8}, {0, 0, 8, 8}, FLY_GUARD_PASS},        /* up */
        {{0, 0, 8, 8}, {16, 8, 8, 8}, {8, 0, 8, 8}, FLY_GUARD_LINE_ORDER},  /* down, up */
        {{0, 0, 8, 8}, {0, 8, 8, 8}, {8, 8, 8, 8}, FLY_GUARD_PASS},         /* serpentine */
        {{0, 0, 8, 8}, {4, 8, 8, 8}, {16, 8, 8, 8}, FLY_GUARD_LINE_ORDER},  /* bands that share lines */
        {{0, 0, 8, 8}, {0, 7, 8, 8}, {0, 16, 8, 8}, FLY_GUARD_OVERLAP},
        {{0, 0, 8, 8}, {8, 0, 8, 8}, {0, 0, 8, 8}, FLY_GUARD_OVERLAP},
        {{0, 0, 8, 8}, {0, 0, 8, 8}, {8, 0, 8, 8}, FLY_GUARD_OVERLAP},
    };

    rig.limits.open_commands = 16;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_box(0, cases[i].a[0], cases[i].a[1], cases[i].a[2], cases[i].a[3]);
        put_box(1, cases[i].b[0], cases[i].b[1], cases[i].b[2], cases[i].b[3]);
        put_box(2, cases[i].c[0], cases[i].c[1], cases[i].c[2], cases[i].c[3]);
        expect(cases[i].verdict);
    }
}

static void steps_are_measured_from_end_to_begin(void **state)
{
    rig.limits.step_px = 50;
    rig.command.n_targets = 0;
    put_box(0, 0, 0, 1, 1);
    put_box(1, 0, 50, 1, 8);
    expect(FLY_GUARD_PASS);
    put_box(1, 0, 51, 1, 8);
    expect(FLY_GUARD_STEP);
    /* back to the first target for the next frame */
    put_box(1, 0, 40, 1, 8); /* 7 px beyond 40, so 47 */
    rig.command.frames = 2;
    expect(FLY_GUARD_PASS);
    put_box(1, 0, 44, 1, 8);
    expect(FLY_GUARD_STEP);
    rig.command.frames = 1;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    /* from the command before: it ends at [0, 51] */
    one_box(0, 1, 1, 1);
    expect(FLY_GUARD_PASS);
    one_box(0, 0, 1, 1);
    expect(FLY_GUARD_STEP);
    fly_guard_book_abandon(&rig.book, rig.now.mono_ns); /* nobody knows where the beam is */
    expect(FLY_GUARD_PASS);
}

/* ---- rate and rest -------------------------------------------------------------------------------- */

static void commands_are_counted_in_any_second(void **state)
{
    int64_t begin_ns = rig.now.mono_ns;

    rig.limits.open_commands = 16;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
        rig.now.mono_ns = begin_ns + (i + 1) * 1000000;
    }
    rig.now.mono_ns = begin_ns + 999999999;
    expect(FLY_GUARD_RATE);
    rig.now.mono_ns = begin_ns + 1000000000;
    expect(FLY_GUARD_PASS);
    rig.limits.commands_per_s = 0.25; /* one in four seconds, from the last */
    rig.now.mono_ns = begin_ns + 1000000 + INT64_C(3999999999);
    expect(FLY_GUARD_RATE);
    rig.now.mono_ns += 1;
    expect(FLY_GUARD_PASS);
}

static void commands_under_way_are_counted(void **state)
{
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    expect(FLY_GUARD_OPEN);
    rig_ack(&rig, "c-1", FLY_ACK_RECEIVED);
    rig_ack(&rig, "c-1", FLY_ACK_STARTED);
    rig_ack(&rig, "no-such", FLY_ACK_DONE);
    expect(FLY_GUARD_OPEN);
    rig_ack(&rig, "c-1", FLY_ACK_DONE);
    expect(FLY_GUARD_PASS);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    expect(FLY_GUARD_OPEN);
    /* the oldest was never answered, and has been void for long enough not to begin any more */
    rig.now.unix_ns += INT64_C(10000000000);
    fly_guard_book_lapse(&rig.book, rig.now.unix_ns, rig.now.mono_ns);
    rig.command.valid_until_ns = rig.now.unix_ns + 1000000;
    expect(FLY_GUARD_PASS);
}

static void a_place_rests_from_the_end_of_one_command(void **state)
{
    rig.limits.revisit_ms = 500;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    expect(FLY_GUARD_REVISIT); /* a second later, but still under way */
    rig.command.n_targets = 1;
    put_box(0, 40, 8, 8, 8); /* elsewhere */
    expect(FLY_GUARD_PASS);
    rig_next(&rig);
    rig_ack(&rig, "c-1", FLY_ACK_DONE);
    rig.now.mono_ns += 499999999;
    expect(FLY_GUARD_REVISIT);
    rig.now.mono_ns += 1;
    expect(FLY_GUARD_PASS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_command_passes_and_judging_changes_nothing),
        TEST(nothing_passes_while_the_world_is_not_right),
        TEST(stop_and_blank_pass_whatever_is_wrong),
        TEST(a_session_without_current_pixel_or_dwell_is_refused),
        TEST(an_id_passes_once),
        TEST(a_refused_id_is_used_up_as_well),
        TEST(a_decision_is_answered_once),
        TEST(numbers_of_ids_rise),
        TEST(ids_that_are_none_are_refused),
        TEST(a_command_is_void_at_its_time_and_not_valid_for_too_long),
        TEST(a_decision_on_older_data_is_stale),
        TEST(frames_rise_and_begin_after_the_sessions_own),
        TEST(targets_are_counted),
        TEST(numbers_are_finite_and_whole),
        TEST(dwell_has_two_ends),
        TEST(slew_is_a_pixel_in_a_dwell_time),
        TEST(the_field_has_a_margin),
        TEST(boxes_have_a_longest_side),
        TEST(targets_go_one_way),
        TEST(steps_are_measured_from_end_to_begin),
        TEST(commands_are_counted_in_any_second),
        TEST(commands_under_way_are_counted),
        TEST(a_place_rests_from_the_end_of_one_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
