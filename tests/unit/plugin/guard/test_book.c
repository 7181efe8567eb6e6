/* The book behind the judge: the dose of cells and of the field, the plugin's ledger, and how much is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/plugin/guard/judge_rig.h"

/* ---- dose ----------------------------------------------------------------------------------------- */

static void the_factor_is_the_closed_form_and_the_stricter_source_wins(void **state)
{
    struct fly_guard_limits limits = rig_limits();
    struct fly_guard_session session = rig_session();

    /* 1 nA for 1 us is 6241.509 electrons, on 0.1 nm^2 = 10 A^2 */
    assert_true(fabs(fly_guard_factor(&limits, &session) - 624.1509074460763) < 1e-9);
    limits.beam_current_na = 0.5;
    limits.pixel_nm = 1;
    assert_true(fabs(fly_guard_factor(&limits, &session) - 624.1509074460763) < 1e-9);
    limits.beam_current_na = 2;
    limits.pixel_nm = 0.1;
    assert_true(fabs(fly_guard_factor(&limits, &session) - 2 * 6241.509074460763) < 1e-6);
}

/* Survey 2 us; each command adds 2 us: the cap of a pixel is met at exactly n of them. */
static void the_dose_of_a_chip_is_capped_to_the_nanosecond(void **state)
{
    double factor = rig.book.factor;

    rig.limits.total_dose_e_per_A2 = 1e9;
    rig.limits.open_commands = 16;
    rig.limits.chip_dose_e_per_A2 = 6.0001 * factor;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS); /* 4 us */
    rig.command.dwell_us = 2.001;
    expect(FLY_GUARD_CHIP_DOSE);
    rig.command.dwell_us = 2;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS); /* 6 us */
    rig.command.dwell_us = 1;
    rig.targets[0].dwell_us = rig.targets[1].dwell_us = 1;
    expect(FLY_GUARD_CHIP_DOSE);
    put_box(0, 0, 8, 8, 8); /* a band that nobody looked at */
    rig.command.n_targets = 1;
    rig.targets[0].dwell_us = 1;
    expect(FLY_GUARD_PASS);
    rig.command.frames = 4;
    expect(FLY_GUARD_PASS);
    rig.command.dwell_us = rig.targets[0].dwell_us = 1.001; /* times four frames, on two of survey */
    expect(FLY_GUARD_CHIP_DOSE);
}

static void two_targets_in_one_cell_count_twice(void **state)
{
    rig.limits.total_dose_e_per_A2 = 1e9;
    rig.limits.chip_dose_e_per_A2 = 5.9 * rig.book.factor;
    rig.command.n_targets = 0;
    put_box(0, 0, 0, 8, 4);
    put_box(1, 0, 4, 8, 4);
    expect(FLY_GUARD_CHIP_DOSE); /* 2 + 2 + 2 */
    rig.limits.chip_dose_e_per_A2 = 6.0001 * rig.book.factor;
    expect(FLY_GUARD_PASS);
}

static void the_dose_of_the_field_is_capped(void **state)
{
    double field = 64.0 * 64, factor = rig.book.factor;

    /* survey 2 us everywhere, and 2 us on 8 x 24 px */
    rig.limits.chip_dose_e_per_A2 = 1e9;
    rig.limits.total_dose_e_per_A2 = factor * (2 + 2 * 8 * 24 / field) * (1 + 1e-9);
    expect(FLY_GUARD_PASS);
    rig.limits.total_dose_e_per_A2 = factor * (2 + 2 * 8 * 24 / field) * (1 - 1e-9);
    expect(FLY_GUARD_TOTAL_DOSE);
}

static void only_what_never_began_is_given_back(void **state)
{
    double factor = rig.book.factor;

    rig.limits.total_dose_e_per_A2 = 1e9;
    rig.limits.chip_dose_e_per_A2 = 4.5 * factor;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    expect(FLY_GUARD_CHIP_DOSE);
    rig_ack(&rig, "c-1", FLY_ACK_REJECTED);
    expect(FLY_GUARD_PASS);
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 2 * factor) < 1e-9);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    rig_ack(&rig, "c-2", FLY_ACK_STARTED);
    rig_ack(&rig, "c-2", FLY_ACK_REJECTED);
    expect(FLY_GUARD_CHIP_DOSE);
}

/* ---- the plugin's ledger ---------------------------------------------------------------------------- */

static float ledger[64];

static void tell_ledger(double us, int64_t asked_ns)
{
    for (int k = 0; k < 64; k++)
        ledger[k] = (float)us;
    assert_int_equal(fly_guard_book_ledger(&rig.book, ledger, 8, 8, us, asked_ns), FLY_OK);
}

static void a_ledger_that_says_more_is_believed_and_one_that_says_less_is_not(void **state)
{
    double factor = rig.book.factor;

    tell_ledger(0, rig.now.mono_ns);
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 2 * factor) < 1e-9);
    tell_ledger(3.5, rig.now.mono_ns);
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 3.5 * factor) < 1e-3);
    assert_true(fabs(fly_guard_book_mean(&rig.book) - 3.5 * factor) < 1e-3);
    tell_ledger(0, rig.now.mono_ns);
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 3.5 * factor) < 1e-3);
}

/* The ledger says 5 and a command of 2 is under way: 7, though nobody ever said so. */
static void what_is_under_way_comes_on_top_of_the_ledger(void **state)
{
    double factor = rig.book.factor;

    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    tell_ledger(5, rig.now.mono_ns);
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 7 * factor) < 1e-3);
    rig_ack(&rig, "c-1", FLY_ACK_DONE);
    tell_ledger(5.5, rig.now.mono_ns + 1000000000); /* done, but its data may still be on their way */
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 7.5 * factor) < 1e-3);
    tell_ledger(7.2, rig.now.mono_ns + INT64_C(3000000000)); /* by now it is in: nothing on top */
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 7.5 * factor) < 1e-3);
}

static void a_ledger_of_another_grid_or_of_no_numbers_changes_nothing(void **state)
{
    double before = fly_guard_book_worst(&rig.book);

    for (int k = 0; k < 64; k++)
        ledger[k] = 9;
    assert_int_equal(fly_guard_book_ledger(&rig.book, ledger, 4, 16, 9, 0), FLY_ERANGE);
    ledger[63] = -1;
    assert_int_equal(fly_guard_book_ledger(&rig.book, ledger, 8, 8, 9, 0), FLY_ERANGE);
    ledger[63] = INFINITY;
    assert_int_equal(fly_guard_book_ledger(&rig.book, ledger, 8, 8, 9, 0), FLY_ERANGE);
    assert_true(fly_guard_book_worst(&rig.book) == before);
    ledger[63] = NAN; /* a chip that it does not know */
    assert_int_equal(fly_guard_book_ledger(&rig.book, ledger, 8, 8, NAN, 0), FLY_OK);
}

static void a_frame_of_the_safe_raster_is_booked_everywhere(void **state)
{
    double factor = rig.book.factor;

    fly_guard_book_frame(&rig.book);
    assert_true(fabs(fly_guard_book_worst(&rig.book) - 4 * factor) < 1e-9);
    assert_true(fabs(fly_guard_book_mean(&rig.book) - 4 * factor) < 1e-9);
}

static void a_raster_of_the_plugin_counts_for_the_whole_field(void **state)
{
    rig.limits.chip_dose_e_per_A2 = 4.001 * rig.book.factor;
    rig.limits.total_dose_e_per_A2 = 1e9;
    rig.command.kind = FLY_COMMAND_RASTER;
    expect(FLY_GUARD_TARGETS);
    rig.command.n_targets = 0;
    expect(FLY_GUARD_PASS);
    rig.command.frames = 2;
    expect(FLY_GUARD_CHIP_DOSE);
    rig.command.frames = 0; /* for ever */
    expect(FLY_GUARD_FRAMES);
    rig.command.frames = 1;
    rig.limits.margin_px = 1;
    expect(FLY_GUARD_OUTSIDE);
    rig.limits.margin_px = 0;
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
    expect(FLY_GUARD_CHIP_DOSE);
}

static void cells_grow_until_they_are_few_enough(void **state)
{
    struct fly_guard_limits limits = rig_limits();
    struct fly_guard_session session = rig_session();
    struct fly_guard_area last = {16383, 16383, 16384, 16384}, at;

    session.height_px = session.width_px = 16384;
    session.rows = session.cols = 2048;
    fly_guard_book_close(&rig.book);
    assert_true(rig_open(&rig, &limits, &session));
    assert_int_equal(rig.book.cell_px, 16);
    assert_true((int64_t)rig.book.rows * rig.book.cols <= FLY_GUARD_CELLS_MAX);
    at = fly_guard_cells(&rig.book, &last);
    assert_true(at.y1 == rig.book.rows - 1 && at.x1 == rig.book.cols - 1);
    limits.cell_px = 4096;
    fly_guard_book_close(&rig.book);
    assert_true(rig_open(&rig, &limits, &session));
    assert_int_equal(rig.book.cell_px, 4096);
    assert_int_equal(rig.book.rows, 4);
}

static void more_ids_than_can_be_remembered_end_the_session(void **state)
{
    for (int i = 0; i < FLY_GUARD_IDS_MAX; i++) {
        char id[32];

        snprintf(id, sizeof id, "junk-%d", i);
        fly_guard_book_refuse(&rig.book, id);
    }
    expect(FLY_GUARD_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_factor_is_the_closed_form_and_the_stricter_source_wins),
        TEST(the_dose_of_a_chip_is_capped_to_the_nanosecond),
        TEST(two_targets_in_one_cell_count_twice),
        TEST(the_dose_of_the_field_is_capped),
        TEST(only_what_never_began_is_given_back),
        TEST(a_ledger_that_says_more_is_believed_and_one_that_says_less_is_not),
        TEST(what_is_under_way_comes_on_top_of_the_ledger),
        TEST(a_ledger_of_another_grid_or_of_no_numbers_changes_nothing),
        TEST(a_frame_of_the_safe_raster_is_booked_everywhere),
        TEST(a_raster_of_the_plugin_counts_for_the_whole_field),
        TEST(cells_grow_until_they_are_few_enough),
        TEST(more_ids_than_can_be_remembered_end_the_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
