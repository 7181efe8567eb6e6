#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/read_dm.h"
#include "test_import_sink.h"

static const char *const versions[] = {"dm3", "dm4"};

static void import_one(struct imported *imported, const char *name)
{
    const char *path = in_scratch(name);

    import_all(imported, &path, 1, NULL);
}

static void images_of_both_versions_and_byte_orders_come_out_alike(void **state)
{
    static const char *const stems[] = {"image", "big"};

    for (int i = 0; i < 4; i++) {
        struct imported imported;
        const struct fly_start *start;
        char name[64];

        snprintf(name, sizeof name, "%s.%s", stems[i / 2], versions[i % 2]);
        import_one(&imported, name);
        start = &imported.taken->start;
        assert_int_equal(start->n_detectors, 1); /* the thumbnail is none */
        assert_int_equal(start->detectors[0].dtype, FLY_F32);
        snprintf(name, sizeof name, "%s.HAADF.npy", stems[i / 2]);
        assert_image(imported.taken, "HAADF", in_scratch(name));
        assert_float_equal(start->pixel_nm[0], 0.5, 1e-7);
        assert_float_equal(start->pixel_nm[1], 0.25, 1e-7);
        assert_float_equal(start->beam_energy_kev, 200.0, 0.0);
        assert_float_equal(start->magnification, 80000.0, 0.0);
        assert_float_equal(start->beam_current_na, 0.25, 0.0);
        assert_float_equal(start->pixel_time_us, 12.0, 0.0);
        assert_string_equal(start->sample, "garnet \xce\xb2");
        assert_int_equal(imported.taken->t_first_ns, INT64_C(1709236684000000000)); /* 19:58:04 */
        import_end(&imported);
    }
}

static void x_ray_maps_keep_every_count_axis_and_time(void **state)
{
    static const char *const stems[] = {"image_map", "big_map"};

    for (int i = 0; i < 4; i++) {
        struct imported imported;
        const struct fly_start *start;
        char name[64];

        snprintf(name, sizeof name, "%s.%s", stems[i / 2], versions[i % 2]);
        import_one(&imported, name);
        start = &imported.taken->start;
        assert_int_equal(start->n_detectors, 1);
        assert_int_equal(start->n_segments, 1);
        snprintf(name, sizeof name, "%s.EDS.npy", stems[i / 2]);
        assert_cube(imported.taken, "EDS", in_scratch(name));
        snprintf(name, sizeof name, "%s.HAADF.npy", stems[i / 2]);
        assert_image(imported.taken, "HAADF", in_scratch(name));
        assert_int_equal(start->segments[0].n_channels, 90);
        assert_float_equal(start->segments[0].ev_per_channel, 10.0, 1e-5);
        assert_float_equal(start->segments[0].ev_offset, -200.0, 1e-4);
        assert_float_equal(start->segments[0].takeoff_deg, 22.0, 0.0);
        assert_float_equal(start->pixel_time_us, 50000.0, 1e-6);
        assert_float_equal(imported.taken->live_us[0], 0.9e6, 1e-3);
        assert_float_equal(imported.taken->real_us[0], 1.2e6, 1e-3);
        import_end(&imported);
    }
}

static void energy_may_run_fastest_or_slowest(void **state)
{
    struct imported imported;

    import_one(&imported, "energy_fast.dm4");
    assert_cube(imported.taken, "EDS", in_scratch("energy_fast.EDS.npy"));
    assert_float_equal(imported.taken->start.segments[0].ev_offset, -250.0, 1e-4);
    assert_float_equal(imported.taken->start.pixel_nm[0], 0.5, 1e-7);
    assert_float_equal(imported.taken->start.pixel_nm[1], 0.25, 1e-7);
    import_end(&imported);
    import_one(&imported, "line.dm3");
    assert_int_equal(imported.taken->start.height_px, 1);
    assert_int_equal(imported.taken->start.width_px, 6);
    assert_cube(imported.taken, "EDS", in_scratch("line.EDS.npy"));
    import_end(&imported);
    import_one(&imported, "kev_untold.dm3"); /* in keV: X-rays, whoever names them */
    assert_cube(imported.taken, "EDS", in_scratch("kev_untold.EDS.npy"));
    import_end(&imported);
    import_one(&imported, "float_counts.dm3");
    assert_cube(imported.taken, "EDS", in_scratch("float_counts.EDS.npy"));
    import_end(&imported);
}

static void an_energy_axis_without_unit_can_be_given(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("energy_untold.dm3");
    struct imported imported;

    import_refused(path, NULL, FLY_ERANGE, "--ev-per-channel and --ev-offset replace them");
    options.ev_per_channel = 5.0;
    options.ev_offset = -100.0;
    import_all(&imported, &path, 1, &options);
    assert_float_equal(imported.taken->start.segments[0].ev_per_channel, 5.0, 0.0);
    assert_float_equal(imported.taken->start.segments[0].ev_offset, -100.0, 0.0);
    import_end(&imported);
}

static void every_type_of_pixel_is_taken_without_loss(void **state)
{
    static const struct {
        const char *name;
        enum fly_dtype dtype;
    } cases[] = {
        {"i1", FLY_I16}, {"u1", FLY_U8}, {"i2", FLY_I16}, {"u2", FLY_U16},  {"i4", FLY_I32}, {"u4", FLY_U32},
        {"i8", FLY_I32}, {"u8", FLY_U32}, {"f4", FLY_F32}, {"f8", FLY_F64}, {"bool", FLY_U8},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imported imported;
        char name[64];

        snprintf(name, sizeof name, "dtype_%s.dm3", cases[i].name);
        import_one(&imported, name);
        assert_int_equal(imported.taken->start.detectors[0].dtype, cases[i].dtype);
        snprintf(name, sizeof name, "dtype_%s.HAADF.npy", cases[i].name);
        assert_image(imported.taken, "HAADF", in_scratch(name));
        import_end(&imported);
    }
}

static void stacks_pairs_and_odd_units_are_taken(void **state)
{
    struct imported imported;

    import_one(&imported, "stack.dm3");
    assert_int_equal(imported.taken->frames, 3);
    assert_image(imported.taken, "ABF", in_scratch("stack.ABF.npy"));
    import_end(&imported);
    import_one(&imported, "pair.dm3");
    assert_image(imported.taken, "HAADF", in_scratch("pair.HAADF.npy"));
    assert_image(imported.taken, "BF", in_scratch("pair.BF.npy"));
    import_end(&imported);
    import_one(&imported, "micron.dm3");
    assert_float_equal(imported.taken->start.pixel_nm[0], 1.0, 1e-6);
    assert_float_equal(imported.taken->start.pixel_nm[1], 2.0, 1e-6);
    import_end(&imported);
    import_one(&imported, "no_units.dm3");
    assert_true(isnan(imported.taken->start.pixel_nm[0]));
    assert_image(imported.taken, "HAADF", in_scratch("no_units.HAADF.npy"));
    import_end(&imported);
}

static void what_is_of_another_kind_is_named_and_left(void **state)
{
    struct imported imported;

    import_one(&imported, "other_scan.dm3");
    assert_int_equal(imported.taken->start.n_detectors, 0);
    assert_non_null(strstr(imported.files[0]->notes, "overview: 7 x 3 px, of another scan"));
    assert_cube(imported.taken, "EDS", in_scratch("other_scan.EDS.npy"));
    import_end(&imported);
    import_one(&imported, "eels.dm3");
    assert_int_equal(imported.taken->start.n_segments, 0);
    assert_non_null(strstr(imported.files[0]->notes, "loss: electron energy loss"));
    assert_image(imported.taken, "HAADF", in_scratch("eels.HAADF.npy"));
    import_end(&imported);
}

static void damaged_and_foreign_files_are_refused_in_words(void **state)
{
    static const struct {
        const char *name;
        int code;
        const char *says;
    } cases[] = {
        {"spectrum", FLY_ERANGE, "one spectrum or profile of 90 channels, not a map"},
        {"eels_alone", FLY_ERANGE, "electron energy loss"},
        {"ev_untold", FLY_ERANGE, "X-rays or electron energy losses"},
        {"complex", FLY_ERANGE, "pixels of DM type 3"},
        {"pattern", FLY_ERANGE, "a pattern in 1/nm"},
        {"four", FLY_ERANGE, "4 dimensions"},
        {"six", FLY_ERANGE, "more than 5 dimensions"},
        {"nan_scale", FLY_EWIRE, "scale nan"},
        {"zero_energy", FLY_ERANGE, "energy axis of scale 0"},
        {"fraction", FLY_ERANGE, "pixel y 2 x 3 channel 4 holds no count"},
        {"nothing", FLY_ERANGE, "it holds no image"},
        {"only_thumbnail", FLY_ERANGE, "it holds no image"},
        {"truncated", FLY_EWIRE, "truncated or damaged"},
        {"cut_data", FLY_EWIRE, "truncated or damaged"},
        {"no_mark", FLY_EWIRE, "no value where a tag announces one"},
        {"short", FLY_EWIRE, "do not fill"},
        {"absurd", FLY_EWIRE, "do not fill"},
        {"deep", FLY_ERANGE, "deep"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s.dm3", cases[i].name);
        import_refused(in_scratch(name), NULL, cases[i].code, cases[i].says);
    }
}

static void no_damaged_byte_crashes_the_reader(void **state)
{
    import_damaged(in_scratch("image_map.dm3"), 300, 7);
    import_damaged(in_scratch("image_map.dm4"), 300, 31);
}

static void no_cut_crashes_the_parser(void **state)
{
    struct fly_dm *dm = malloc(sizeof *dm);
    unsigned char *bytes;
    size_t len;

    assert_int_equal(fly_file_read(in_scratch("image_map.dm4"), 1 << 20, &bytes, &len), FLY_OK);
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1); /* a sanitizer sees the first byte beyond */
        int rc;

        memcpy(copy, bytes, cut);
        rc = fly_dm_parse(dm, copy, cut, "cut");
        /* What follows the last image does not matter: the trailing zeros, and no more. */
        assert_true(rc == FLY_EWIRE || (rc == FLY_OK && cut + 8 >= len));
        free(copy);
    }
    free(bytes);
    free(dm);
}

/* Writer and reader share an author: a third party reads the same files. */
static void hyperspy_reads_the_test_files_alike(void **state)
{
    int rc = run_python_with("make_dm.py", "--check");

    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_both_versions_and_byte_orders_come_out_alike),
        cmocka_unit_test(x_ray_maps_keep_every_count_axis_and_time),
        cmocka_unit_test(energy_may_run_fastest_or_slowest),
        cmocka_unit_test(an_energy_axis_without_unit_can_be_given),
        cmocka_unit_test(every_type_of_pixel_is_taken_without_loss),
        cmocka_unit_test(stacks_pairs_and_odd_units_are_taken),
        cmocka_unit_test(what_is_of_another_kind_is_named_and_left),
        cmocka_unit_test(damaged_and_foreign_files_are_refused_in_words),
        cmocka_unit_test(no_damaged_byte_crashes_the_reader),
        cmocka_unit_test(no_cut_crashes_the_parser),
        cmocka_unit_test(hyperspy_reads_the_test_files_alike),
    };
    int rc, failed;

    if (scratch_make(NULL) != 0)
        return 1;
    rc = run_python("make_dm.py");
    failed = rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(NULL);
    return failed;
}
