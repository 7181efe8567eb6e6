#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "test_import_sink.h"

static void import_one(struct imported *imported, const char *name)
{
    char path[512];
    const char *one = path;

    snprintf(path, sizeof path, "%s/%s.hspy", scratch, name);
    import_all(imported, &one, 1, NULL);
}

static void an_image_keeps_its_type_and_values(void **state)
{
    struct imported imported;

    import_one(&imported, "image");
    assert_int_equal(imported.taken->start.n_detectors, 1);
    assert_string_equal(imported.taken->start.detectors[0].name, "HAADF");
    assert_int_equal(imported.taken->start.detectors[0].dtype, FLY_F32);
    assert_int_equal(imported.taken->start.height_px, 4);
    assert_int_equal(imported.taken->start.width_px, 6);
    assert_image(imported.taken, "HAADF", in_scratch("image.picture.npy"));
    assert_float_equal(imported.taken->start.pixel_nm[0], 2.5, 0.0);
    /* 2020-02-03 04:05:06, taken as UTC */
    assert_int_equal(imported.taken->t_first_ns, INT64_C(1580702706000000000));
    import_end(&imported);
}

static void image_and_cube_in_one_file_are_one_session(void **state)
{
    struct imported imported;
    const struct fly_start *start;

    import_one(&imported, "pair");
    start = &imported.taken->start;
    assert_image(imported.taken, "HAADF", in_scratch("pair.picture.npy"));
    assert_cube(imported.taken, "EDS", in_scratch("pair.spectra.npy"));
    assert_int_equal(imported.taken->n_lines, 4);
    assert_int_equal(imported.taken->n_eds, 4);
    assert_int_equal(imported.taken->n_layout[1], 4);
    assert_int_equal(imported.files[0]->eds[0].events, imported.taken->photons[0]);
    assert_float_equal(start->segments[0].ev_per_channel, 10.0, 0.0);
    assert_float_equal(start->segments[0].ev_offset, -200.0, 0.0);
    assert_float_equal(start->segments[0].takeoff_deg, 40.0, 0.0);
    assert_float_equal(start->beam_energy_kev, 200.0, 0.0);
    assert_float_equal(start->beam_current_na, 0.77, 0.0);
    assert_float_equal(start->magnification, 80000.0, 0.0);
    assert_string_equal(start->sample, "E7 \xce\xbc");
    assert_int_equal(start->n_elements, 2);
    assert_string_equal(start->elements[0], "Si");
    assert_string_equal(start->elements[1], "O");
    import_end(&imported);
}

static void cubes_of_any_whole_numbers_give_the_same_photons(void **state)
{
    static const char *const names[] = {"cube_f4", "cube_i8", "cube_keV"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct imported imported;
        char truth[64];

        import_one(&imported, names[i]);
        snprintf(truth, sizeof truth, "%s.spectra.npy", names[i]);
        assert_cube(imported.taken, "EDS", in_scratch(truth));
        assert_float_equal(imported.taken->start.segments[0].ev_per_channel, 10.0, 1e-12);
        assert_float_equal(imported.taken->start.segments[0].ev_offset, -200.0, 1e-12);
        import_end(&imported);
    }
}

static void crowded_spectra_come_dense(void **state)
{
    struct imported imported;

    import_one(&imported, "cube_dense");
    assert_int_equal(imported.taken->n_layout[0], 4);
    assert_cube(imported.taken, "EDS", in_scratch("cube_dense.spectra.npy"));
    import_end(&imported);
}

static void a_leading_axis_is_frames(void **state)
{
    struct imported imported;

    import_one(&imported, "frames");
    assert_int_equal(imported.taken->frames, 3);
    assert_image(imported.taken, "HAADF", in_scratch("frames.stack.npy"));
    assert_cube(imported.taken, "EDS", in_scratch("frames.spectra.npy"));
    assert_int_equal(imported.taken->n_lines, 12);
    assert_int_equal(imported.taken->n_eds, 8);
    import_end(&imported);
}

static void points_and_lines_are_small_scans(void **state)
{
    struct imported imported;

    import_one(&imported, "spectrum");
    assert_int_equal(imported.taken->start.height_px * imported.taken->start.width_px, 1);
    assert_cube(imported.taken, "EDS", in_scratch("spectrum.point.npy"));
    import_end(&imported);
    import_one(&imported, "line");
    assert_int_equal(imported.taken->start.height_px, 1);
    assert_int_equal(imported.taken->start.width_px, 9);
    assert_cube(imported.taken, "EDS", in_scratch("line.scan.npy"));
    import_end(&imported);
}

static void lengths_of_every_unit_come_out_in_nm(void **state)
{
    static const struct {
        const char *name;
        double y_nm, x_nm;
    } cases[] = {{"micron", 10.0, 20.0}, {"angstrom", 0.3, 0.4}, {"no_units", NAN, NAN}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imported imported;
        const double *nm;

        import_one(&imported, cases[i].name);
        nm = imported.taken->start.pixel_nm;
        if (isnan(cases[i].y_nm))
            assert_true(isnan(nm[0]) && isnan(nm[1]));
        else
            assert_true(fabs(nm[0] - cases[i].y_nm) < 1e-9 && fabs(nm[1] - cases[i].x_nm) < 1e-9);
        import_end(&imported);
    }
}

static void types_that_the_wire_lacks_become_ones_that_lose_nothing(void **state)
{
    static const struct {
        const char *name;
        enum fly_dtype dtype;
    } cases[] = {
        {"u1", FLY_U8},  {"u2", FLY_U16}, {"u4", FLY_U32},    {"i1", FLY_I16},
        {"i2", FLY_I16}, {"i4", FLY_I32}, {"i8", FLY_I32},    {"u8", FLY_U32},
        {"f2", FLY_F32}, {"f8", FLY_F64}, {"be_u2", FLY_U16}, {"bool", FLY_U8},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imported imported;
        char name[64], truth[80];

        snprintf(name, sizeof name, "dtype_%s", cases[i].name);
        import_one(&imported, name);
        assert_string_equal(imported.taken->start.detectors[0].name, "ABF");
        assert_int_equal(imported.taken->start.detectors[0].dtype, cases[i].dtype);
        /* numpy's own reading of the two odd types is compared by their plain neighbours */
        snprintf(truth, sizeof truth, "%s.picture.npy", name);
        if (strcmp(cases[i].name, "f2") != 0 && strcmp(cases[i].name, "be_u2") != 0)
            assert_image(imported.taken, "ABF", in_scratch(truth));
        import_end(&imported);
    }
}

static void what_is_no_image_or_eds_is_named_and_left(void **state)
{
    struct imported imported;

    import_one(&imported, "eels");
    assert_int_equal(imported.taken->start.n_segments, 0);
    assert_int_equal(imported.taken->start.n_detectors, 1);
    assert_non_null(strstr(imported.files[0]->notes, "eels.hspy: loss: EELS signal"));
    import_end(&imported);
}

static void what_cannot_be_taken_is_refused_in_words(void **state)
{
    static const struct {
        const char *name;
        int code;
        const char *says;
    } cases[] = {
        {"eels_alone", FLY_ERANGE, "EELS signal"},
        {"complex", FLY_ERANGE, "no real numbers"},
        {"diffraction", FLY_ERANGE, "a pattern in 1/nm"},
        {"big_i8", FLY_ERANGE, "beyond 2^53"},
        {"fraction", FLY_ERANGE, "pixel y 2 x 3 channel 4 holds no count"},
        {"negative", FLY_ERANGE, "pixel y 1 x 0 channel 89 holds no count"},
        {"nan_scale", FLY_EWIRE, "scale nan"},
        {"nan_energy", FLY_EWIRE, "scale nan"},
        {"zero_energy", FLY_EWIRE, "scale 0"},
        {"no_energy_unit", FLY_EWIRE, "taken are eV and keV"},
        {"wrong_size", FLY_EWIRE, "axis-0 has size 5, the array 4"},
        {"no_axis", FLY_EWIRE, "axis-1 is missing"},
        {"wide", FLY_ERANGE, "2 x 16385 px, allowed is 1 .. 16384"},
        {"absurd", FLY_EWIRE, "never written whole"},
        {"nothing", FLY_ERANGE, "nothing to import"},
        {"truncated", FLY_EWIRE, "truncated"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s.hspy", cases[i].name);
        import_refused(in_scratch(name), NULL, cases[i].code, cases[i].says);
    }
}

static void files_that_are_not_one_scan_are_refused(void **state)
{
    char paths[3][512];
    const char *shape[] = {paths[0], paths[1]}, *pixel[] = {paths[0], paths[2]};
    struct fly_import_options options = fly_import_options_default();
    struct imported imported;

    strcpy(paths[0], in_scratch("image.hspy"));
    strcpy(paths[1], in_scratch("other_shape.hspy"));
    strcpy(paths[2], in_scratch("other_pixel.hspy"));
    assert_int_equal(import_try(&imported, shape, 2, NULL, 0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "EDS has 4 x 7 px, image.hspy has 4 x 6"));
    import_end(&imported);
    assert_int_equal(import_try(&imported, pixel, 2, NULL, 0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "a pixel is 3 nm high"));
    import_end(&imported);
    options.pixel_nm[0] = options.pixel_nm[1] = 2.0;
    import_all(&imported, pixel, 2, &options);
    assert_float_equal(imported.taken->start.pixel_nm[0], 2.0, 0.0);
    import_end(&imported);
}

static void no_damaged_byte_crashes_the_reader(void **state)
{
    import_damaged(in_scratch("pair.hspy"), 150,
                   61); /* the first kilobytes hold most of the structure */
    import_damaged(in_scratch("pair.hspy"), 150, 7919);
}

static void the_real_silica_pair_is_one_session_with_all_its_counts(void **state)
{
    char haadf[512], eds[512];
    const char *paths[] = {haadf, eds};
    struct imported imported;
    const struct taken *taken;
    double sum = 0.0;

    snprintf(haadf, sizeof haadf, "%s", in_shared("eds/SiO2_HAADF.hspy"));
    snprintf(eds, sizeof eds, "%s", in_shared("eds/SiO2_EDS.hspy"));
    if (access(eds, R_OK) != 0) {
        printf("NOT RUN: %s is not there\n", eds);
        skip();
    }
    import_all(&imported, paths, 2, NULL);
    taken = imported.taken;
    assert_int_equal(taken->start.height_px, 128);
    assert_int_equal(taken->start.width_px, 128);
    assert_int_equal(taken->frames, 1);
    assert_int_equal(taken->n_lines, 128);
    assert_int_equal(taken->n_eds, 128);
    assert_int_equal(taken->photons[0], 823049);
    assert_int_equal(taken->start.segments[0].n_channels, 2048);
    assert_float_equal(taken->start.segments[0].ev_per_channel, 10.0, 1e-5);
    assert_float_equal(taken->start.pixel_nm[0], 8.552446, 1e-6);
    assert_float_equal(taken->start.beam_energy_kev, 200.0, 0.0);
    assert_float_equal(taken->start.beam_current_na, 0.77, 1e-6);
    assert_string_equal(taken->source[0], "SiO2_HAADF.hspy");
    assert_string_equal(taken->source[1], "SiO2_EDS.hspy");
    for (size_t i = 0; i < 128 * 128; i++)
        sum += taken->image[0][i];
    assert_true(isfinite(sum) && sum > 0.0);
    import_end(&imported);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_keeps_its_type_and_values),
        cmocka_unit_test(image_and_cube_in_one_file_are_one_session),
        cmocka_unit_test(cubes_of_any_whole_numbers_give_the_same_photons),
        cmocka_unit_test(crowded_spectra_come_dense),
        cmocka_unit_test(a_leading_axis_is_frames),
        cmocka_unit_test(points_and_lines_are_small_scans),
        cmocka_unit_test(lengths_of_every_unit_come_out_in_nm),
        cmocka_unit_test(types_that_the_wire_lacks_become_ones_that_lose_nothing),
        cmocka_unit_test(what_is_no_image_or_eds_is_named_and_left),
        cmocka_unit_test(what_cannot_be_taken_is_refused_in_words),
        cmocka_unit_test(files_that_are_not_one_scan_are_refused),
        cmocka_unit_test(no_damaged_byte_crashes_the_reader),
        cmocka_unit_test(the_real_silica_pair_is_one_session_with_all_its_counts),
    };
    int rc, failed;

    if (scratch_make(NULL) != 0)
        return 1;
    rc = run_python("make_hspy.py");
    failed = rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(NULL);
    return failed;
}
