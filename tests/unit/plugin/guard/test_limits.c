/* Limits of the guard: read, refused with the line, printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/guard/limits.h"
#include "stream/disk.h"

static const char good[] = "# limits\n"
                           "guard_limits: 1\n"
                           "chip_dose_e_per_A2: 1e4   # of a pixel\n"
                           "total_dose_e_per_A2: 500.5\n"
                           "dwell_min_us: 0.5\n"
                           "dwell_max_us: 100\n"
                           "step_px: 600\n"
                           "slew_px_per_us: 2\n"
                           "commands_per_s: 2\n"
                           "targets_per_command: 64\n"
                           "box_px: 256\n"
                           "frames_per_command: 8\n"
                           "safe_state: raster\n";

static int read_text(struct fly_guard_limits *limits, const char *text)
{
    return fly_guard_limits_read(limits, text, strlen(text), "limits.yaml");
}

static void a_file_gives_its_values_and_safe_defaults(void **state)
{
    struct fly_guard_limits limits;

    assert_int_equal(read_text(&limits, good), FLY_OK);
    assert_true(limits.chip_dose_e_per_A2 == 1e4 && limits.total_dose_e_per_A2 == 500.5);
    assert_int_equal(limits.safe_state, FLY_GUARD_SAFE_RASTER);
    assert_int_equal(limits.targets_per_command, 64);
    assert_true(limits.heartbeat_s == 1.5 && limits.valid_ahead_s == 10 && limits.revisit_ms == 0);
    assert_int_equal(limits.survey_frames, 1);
    assert_int_equal(limits.open_commands, 2);
}

/* {what is put in place of what, words of the refusal} */
static void each_wrong_line_is_refused_with_its_number(void **state)
{
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"guard_limits: 1", "guard_limits: 2", "limits.yaml:2: guard_limits '2', allowed: a whole number 1 .. 1"},
        {"step_px: 600", "step_px: 600\nstep_px: 700", "limits.yaml:8: step_px stands in line 7 already"},
        {"step_px: 600", "stepp_px: 600", "limits.yaml:7: stepp_px: no such key; there are guard_limits,"},
        {"step_px: 600", "step_px", "limits.yaml:7: 'step_px' is no `key: value`"},
        {"step_px: 600", "step_px:", "limits.yaml:7: step_px '', allowed: 1 .. 32768"},
        {"step_px: 600", "step_px: nan", "limits.yaml:7: step_px 'nan', allowed: 1 .. 32768"},
        {"step_px: 600", "step_px: 0x10", "limits.yaml:7: step_px '0x10'"},
        {"step_px: 600", "step_px: 600 px", "limits.yaml:7: step_px '600 px'"},
        {"step_px: 600", "step_px: 0.5", "limits.yaml:7: step_px '0.5', allowed: 1 .. 32768"},
        {"targets_per_command: 64", "targets_per_command: 6.5", "a whole number 1 .. 512"},
        {"safe_state: raster", "safe_state: Raster", "safe_state 'Raster', allowed: stop, blank, raster"},
        {"safe_state: raster\n", "", "the file ends without safe_state, which has no default"},
        {"chip_dose_e_per_A2: 1e4", "", "without chip_dose_e_per_A2"},
        {"dwell_min_us: 0.5", "dwell_min_us: 200", "dwell_min_us 200 lies above dwell_max_us 100"},
        {"safe_state: raster", "safe_state: raster\nheartbeat_s: 2", "heartbeat_s '2', allowed: 0.5 .. 1.8"},
    };
    struct fly_guard_limits limits, before;

    memset(&limits, 7, sizeof limits);
    before = limits;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        const char *at = strstr(good, cases[i].from);

        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, cases[i].to, at + strlen(cases[i].from));
        assert_int_equal(read_text(&limits, text), FLY_ERANGE);
        if (!strstr(fly_fail_text(), cases[i].words))
            fail_msg("'%s' does not say '%s'", fly_fail_text(), cases[i].words);
        assert_memory_equal(&limits, &before, sizeof limits);
    }
}

static void a_file_tells_what_it_is(void **state)
{
    static const char other[] = "# a configuration\nchip:\n  size_px: 15\n";

    assert_true(fly_guard_limits_is(good, strlen(good)));
    assert_false(fly_guard_limits_is(other, strlen(other)));
    assert_false(fly_guard_limits_is("", 0));
    assert_false(fly_guard_limits_is("# only\n\n", 8));
}

static void what_is_printed_reads_back_the_same(void **state)
{
    struct fly_guard_limits limits, back;

    assert_int_equal(read_text(&limits, good), FLY_OK);
    for (int comments = 0; comments < 2; comments++) {
        struct fly_text text;

        fly_text_init(&text);
        fly_guard_limits_print(&limits, &text, comments);
        assert_int_equal(fly_text_done(&text, "limits"), FLY_OK);
        memset(&back, 0, sizeof back);
        assert_int_equal(read_text(&back, text.bytes), FLY_OK);
        for (int i = 0;; i++) {
            const char *key, *word, *other;
            double a, b;

            if (!fly_guard_limits_at(&limits, i, &key, &a, &word))
                break;
            assert_true(fly_guard_limits_at(&back, i, &key, &b, &other));
            assert_true(a == b && word == other);
        }
        fly_text_fini(&text);
    }
}

/* The shipped page is the print of its own values: no key of the table can be missing in it, or told otherwise. */
static void the_shipped_file_is_what_the_table_prints(void **state)
{
    static const char path[] = FLY_TEST_DIR "/../configs/guard-limits.yaml";
    struct fly_guard_limits limits;
    unsigned char *bytes;
    struct fly_text text;
    size_t len;

    assert_int_equal(fly_guard_limits_load(&limits, path), FLY_OK);
    assert_int_equal(fly_file_read(path, 1 << 20, &bytes, &len), FLY_OK);
    fly_text_init(&text);
    fly_guard_limits_print(&limits, &text, 1);
    assert_int_equal(text.len, len);
    assert_memory_equal(text.bytes, bytes, len);
    fly_text_fini(&text);
    free(bytes);
}

static void an_attachment_can_only_tighten(void **state)
{
    struct fly_guard_limits limits, out;

    assert_int_equal(read_text(&limits, good), FLY_OK);
    out = fly_guard_limits_tighten(&limits, &(struct fly_guard_tighter){NAN, NAN, NAN});
    assert_true(out.chip_dose_e_per_A2 == 1e4 && out.box_px == 256 && out.commands_per_s == 2);
    out = fly_guard_limits_tighten(&limits, &(struct fly_guard_tighter){1e9, 1e9, 1e9});
    assert_true(out.chip_dose_e_per_A2 == 1e4 && out.box_px == 256 && out.commands_per_s == 2);
    out = fly_guard_limits_tighten(&limits, &(struct fly_guard_tighter){100, 16, 0.5});
    assert_true(out.chip_dose_e_per_A2 == 100 && out.box_px == 16 && out.commands_per_s == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gives_its_values_and_safe_defaults),
        cmocka_unit_test(each_wrong_line_is_refused_with_its_number),
        cmocka_unit_test(a_file_tells_what_it_is),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(the_shipped_file_is_what_the_table_prints),
        cmocka_unit_test(an_attachment_can_only_tighten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
