/* From files to a session: values, plans, names, messages and recordings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "test_import_sink.h"

/* ---- values --------------------------------------------------------------------------------- */

static void counts_are_whole_numbers_of_32_bits(void **state)
{
    const double good[] = {0.0, 1.0, 4294967295.0};
    const double bad[] = {-1.0, 0.5, 4294967296.0, NAN, INFINITY};
    const int64_t wide[] = {7, -7};
    uint32_t out[3];

    assert_int_equal(fly_import_counts(out, FLY_NPY_F64, good, 3), 3);
    assert_int_equal(out[2], UINT32_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(fly_import_counts(out, FLY_NPY_F64, &bad[i], 1), 0);
    assert_int_equal(fly_import_counts(out, FLY_NPY_I64, wide, 2), 1);
}

static void names_are_what_the_wire_takes(void **state)
{
    static const char *const cases[][2] = {
        {"HAADF", "HAADF"},
        {"DF 4/left", "DF_4_left"},
        {"", "EDS"},
        {"\xc2\xb5", "EDS"},
        {"..", "EDS"},
        {"control", "control_"},
        {"Super-X_1.2", "Super-X_1.2"},
    };
    char name[FLY_NAME_MAX + 1], wide[200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fly_import_name(name, cases[i][0], "EDS");
        assert_string_equal(name, cases[i][1]);
    }
    memset(wide, 'a', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    fly_import_name(name, wide, "EDS");
    assert_int_equal(strlen(name), FLY_NAME_MAX);
}

/* ---- files made up here --------------------------------------------------------------------- */

struct made {
    struct fly_import import;
    uint32_t *counts;
    int fail_line;
};

static int made_image(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct made *made = ctx;
    uint16_t *pixels = out;

    if (y_px == made->fail_line)
        return fly_fail(FLY_EWIRE, "the made-up file is torn at line %d", y_px);
    for (int32_t x = 0; x < made->import.images[0].width_px; x++)
        pixels[x] = (uint16_t)(frame * 1000 + y_px * 100 + x);
    return FLY_OK;
}

/* One photon in the last channel of each pixel, two in channel x. */
static int made_counts(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                       struct fly_import_photons *out)
{
    struct made *made = ctx;
    size_t channels = (size_t)made->import.eds[0].segment.n_channels;

    assert_true(width_px <= made->import.eds[0].block_px);
    memset(made->counts, 0, (size_t)width_px * channels * sizeof *made->counts);
    for (int32_t x = 0; x < width_px; x++) {
        made->counts[(size_t)x * channels + channels - 1]++;
        made->counts[(size_t)x * channels + (size_t)(x0_px + x) % channels] += 2;
    }
    *out = (struct fly_import_photons){.x0_px = x0_px,
                                       .width_px = width_px,
                                       .counts = made->counts,
                                       .live_time_us = NAN,
                                       .real_time_us = NAN};
    return FLY_OK;
}

static void made_init(struct made *made, const char *path, int32_t height, int32_t width)
{
    struct fly_import_image *image = &made->import.images[0];

    memset(made, 0, sizeof *made);
    made->fail_line = -1;
    fly_import_init(&made->import, path);
    strcpy(image->name, "HAADF");
    image->dtype = FLY_U16;
    image->height_px = height;
    image->width_px = width;
    image->frames = 1;
    image->line = made_image;
    image->ctx = made;
    made->import.n_images = 1;
}

static void made_add_cube(struct made *made, int32_t channels, int32_t block_px)
{
    struct fly_import_eds *eds = &made->import.eds[0];

    eds->segment = (struct fly_segment){"EDS", channels, 10.0, 0.0, NAN};
    eds->height_px = made->import.images[0].height_px;
    eds->width_px = made->import.images[0].width_px;
    eds->frames = 1;
    eds->block_px = block_px;
    eds->line = made_counts;
    eds->ctx = made;
    made->counts = malloc((size_t)block_px * (size_t)channels * sizeof *made->counts);
    made->import.n_eds = 1;
}

/* ---- plans and names ------------------------------------------------------------------------ */

static void equal_names_are_told_apart_and_facts_come_together(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    struct made a, b;
    struct fly_import *files[] = {&a.import, &b.import};
    struct fly_import_plan plan;

    made_init(&a, "a", 3, 4);
    made_init(&b, "b", 3, 4);
    b.import.images[0].frames = 5;
    a.import.meta.beam_energy_kev = 200.0;
    b.import.meta.beam_energy_kev = 300.0;
    b.import.meta.pixel_time_us = 4.0;
    a.import.meta.pixel_nm[0] = 1.0;
    b.import.meta.pixel_nm[0] = 1.0005;
    b.import.meta.pixel_nm[1] = 2.0;
    assert_int_equal(fly_import_plan(&plan, files, 2, &options), FLY_OK);
    assert_string_equal(plan.start.detectors[0].name, "HAADF");
    assert_string_equal(plan.start.detectors[1].name, "HAADF_2");
    assert_string_equal(b.import.images[0].name, "HAADF_2");
    assert_int_equal(plan.frames, 5);
    assert_float_equal(plan.start.beam_energy_kev, 200.0, 0.0);
    assert_float_equal(plan.start.pixel_time_us, 4.0, 0.0);
    assert_float_equal(plan.start.pixel_nm[0], 1.0, 0.0);
    assert_float_equal(plan.start.pixel_nm[1], 2.0, 0.0);
    assert_float_equal(plan.line_time_us, 16.0, 0.0);
    assert_float_equal(plan.frame_time_us, 48.0, 0.0);
}

static void times_that_would_run_backwards_are_mended(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    struct made a;
    struct fly_import *files[] = {&a.import};
    struct fly_import_plan plan;

    made_init(&a, "a", 3, 4);
    a.import.meta.pixel_time_us = 10.0;
    a.import.line_time_us = 39.0;
    a.import.frame_time_us = 100.0;
    assert_int_equal(fly_import_plan(&plan, files, 1, &options), FLY_OK);
    assert_float_equal(plan.line_time_us, 40.0, 0.0);
    assert_float_equal(plan.frame_time_us, 120.0, 0.0);
}

static void a_session_is_named_by_its_content_alone(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *a = in_scratch("one two.emd"), *b = in_scratch("copy.emd");
    struct made made;
    struct fly_import *files[] = {&made.import};
    struct fly_import_plan plan;
    char first[FLY_SESSION_MAX + 1];

    write_file(a, "some bytes of a file");
    made_init(&made, a, 3, 4);
    assert_int_equal(fly_import_plan(&plan, files, 1, &options), FLY_OK);
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_OK);
    strcpy(first, plan.session);
    assert_int_equal(strncmp(first, "one_two-", 8), 0);
    assert_int_equal(strlen(first), 8 + 16);
    /* Another date changes nothing. */
    plan.t0_ns += 12345;
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_OK);
    assert_string_equal(plan.session, first);
    /* Another name changes the stem, not the hash. */
    write_file(b, "some bytes of a file");
    assert_int_equal(fly_import_identify(&plan, &b, 1, &options), FLY_OK);
    assert_string_equal(plan.session + 4, first + 7);
    /* Another byte, and another fact in the start, change the hash. */
    write_file(b, "some bytes of a filf");
    assert_int_equal(fly_import_identify(&plan, &b, 1, &options), FLY_OK);
    assert_string_not_equal(plan.session + 4, first + 7);
    plan.start.pixel_nm[0] = plan.start.pixel_nm[1] = 2.0;
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_OK);
    assert_string_not_equal(plan.session, first);
    unlink(a);
    unlink(b);
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_EIO);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void write_made(struct made *made, struct taken *taken, int expect)
{
    struct fly_import_options options = fly_import_options_default();
    struct fly_import *files[] = {&made->import};
    struct fly_import_sink sink = {take, taken};
    struct fly_import_plan plan;

    assert_int_equal(fly_import_plan(&plan, files, 1, &options), FLY_OK);
    strcpy(plan.session, "made-up");
    if (fly_import_write(&plan, &options, &sink) != expect)
        fail_msg("%s", fly_fail_text());
}

static void lines_too_large_for_a_message_come_in_blocks(void **state)
{
    struct taken *taken = calloc(1, sizeof *taken);
    struct made made;

    made_init(&made, "a", 2, 10);
    made_add_cube(&made, 64, 4);
    write_made(&made, taken, FLY_OK);
    assert_int_equal(taken->n_eds, 2 * 3);
    assert_int_equal(taken->photons[0], 2 * 10 * 3);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(taken->seen[0][i], 1);
        assert_int_equal(taken->cube[0][i * 64 + 63], 1);
        assert_int_equal(taken->cube[0][i * 64 + i % 10], 2);
    }
    taken_free(taken);
    free(made.counts);
}

static void text_from_files_is_made_valid(void **state)
{
    struct taken *taken = calloc(1, sizeof *taken);
    struct made made;

    made_init(&made, "dir/na\xffme.tif", 2, 2);
    strcpy(made.import.meta.sample, "ok \xce\xbc \xed\xa0\x80 \xc0\x80 \xf0\x9f\x94\xac \xce");
    write_made(&made, taken, FLY_OK);
    assert_string_equal(taken->source[0], "na?me.tif");
    assert_string_equal(taken->start.sample, "ok \xce\xbc ??? ?? \xf0\x9f\x94\xac ?");
    taken_free(taken);
}

static void facts_beyond_the_protocol_are_refused_before_anything_is_sent(void **state)
{
    struct taken *taken = calloc(1, sizeof *taken);
    struct made made;

    made_init(&made, "a", 2, 2);
    made.import.meta.pixel_nm[0] = made.import.meta.pixel_nm[1] = 1e12;
    write_made(&made, taken, FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "pixel_nm"));
    assert_int_equal(taken->n_start, 0);
    taken_free(taken);
}

static void a_sink_that_fails_ends_the_import_at_once(void **state)
{
    for (int at = 1; at <= 8; at++) { /* session, start, 2 lines, 2 eds, stop, end */
        struct taken *taken = calloc(1, sizeof *taken);
        struct made made;

        made_init(&made, "a", 2, 3);
        made_add_cube(&made, 64, 3);
        taken->fail_at = at;
        write_made(&made, taken, FLY_EIO);
        assert_int_equal(taken->n_put, at);
        taken_free(taken);
        free(made.counts);
    }
}

/* ---- recordings ----------------------------------------------------------------------------- */

static int record_made(struct made *made, const char *path, const char *session,
                       struct fly_import_options *options)
{
    struct fly_import *files[] = {&made->import};
    struct fly_import_plan plan;
    int rc = fly_import_plan(&plan, files, 1, options);

    assert_int_equal(rc, FLY_OK);
    strcpy(plan.session, session);
    return fly_import_record(&plan, options, path);
}

static void a_recording_read_back_is_what_was_sent(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    struct taken *sent = calloc(1, sizeof *sent), *read = calloc(1, sizeof *read);
    const char *path = in_scratch("made.fly");
    struct made made;

    made_init(&made, "a", 40, 300);
    made.import.images[0].frames = 3;
    made_add_cube(&made, 64, 300);
    write_made(&made, sent, FLY_OK);
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_OK);
    take_recording(read, path);
    assert_int_equal(read->n_lines, sent->n_lines);
    assert_memory_equal(read->image[0], sent->image[0], 3 * 40 * 300 * sizeof(double));
    assert_memory_equal(read->cube[0], sent->cube[0], 3 * 40 * 300 * 64 * sizeof(uint32_t));
    assert_memory_equal(read->seq, sent->seq, sizeof read->seq);
    assert_int_equal(read->t_last_ns, sent->t_last_ns);
    assert_int_equal(scratch_count(), 1);
    taken_free(sent);
    taken_free(read);
    free(made.counts);
    unlink(path);
}

static int interrupt(void *ctx, const char *what, double done)
{
    int *left = ctx;

    return --*left < 0;
}

static void a_failed_or_interrupted_import_leaves_nothing(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("torn.fly");
    struct made made;
    int left = 3;

    made_init(&made, "a", 10, 10);
    made.fail_line = 7;
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "torn at line 7"));
    assert_int_equal(scratch_count(), 0);
    made.fail_line = -1;
    options.tick = interrupt;
    options.tick_ctx = &left;
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_EAGAIN);
    assert_int_equal(scratch_count(), 0);
    options.tick = NULL;
    assert_true(record_made(&made, in_scratch("no/such/folder.fly"), "made-up", &options) < 0);
    assert_int_equal(scratch_count(), 0);
}

static void what_was_measured_is_never_overwritten(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("there.fly");
    struct stat before, after;
    struct made made;

    made_init(&made, "a", 2, 2);
    write_file(path, "something else");
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_ERANGE);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, 14);
    unlink(path);
    /* The same import may be made again, another may not take its place. */
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(record_made(&made, path, "another", &options), FLY_ERANGE);
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_OK);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_ino != before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    unlink(path);
    assert_int_equal(scratch_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_whole_numbers_of_32_bits),
        cmocka_unit_test(names_are_what_the_wire_takes),
        cmocka_unit_test(equal_names_are_told_apart_and_facts_come_together),
        cmocka_unit_test(times_that_would_run_backwards_are_mended),
        cmocka_unit_test(a_session_is_named_by_its_content_alone),
        cmocka_unit_test(lines_too_large_for_a_message_come_in_blocks),
        cmocka_unit_test(text_from_files_is_made_valid),
        cmocka_unit_test(facts_beyond_the_protocol_are_refused_before_anything_is_sent),
        cmocka_unit_test(a_sink_that_fails_ends_the_import_at_once),
        cmocka_unit_test(a_recording_read_back_is_what_was_sent),
        cmocka_unit_test(a_failed_or_interrupted_import_leaves_nothing),
        cmocka_unit_test(what_was_measured_is_never_overwritten),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
