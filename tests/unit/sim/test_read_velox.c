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

    snprintf(path, sizeof path, "%s/%s.emd", scratch, name);
    import_all(imported, &one, 1, NULL);
}

static void assert_truth(const struct imported *imported, const char *name, const char *detector)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s.%s.npy", scratch, name, detector);
    assert_cube(imported->taken, detector, path);
}

static void every_photon_and_pixel_comes_out_where_it_was_measured(void **state)
{
    struct imported imported;
    const struct taken *taken;

    import_one(&imported, "plain");
    taken = imported.taken;
    assert_int_equal(taken->start.height_px, 5);
    assert_int_equal(taken->start.width_px, 7);
    assert_int_equal(taken->frames, 3);
    assert_int_equal(taken->start.n_detectors, 1);
    assert_int_equal(taken->start.n_segments, 2);
    assert_image(taken, "HAADF", in_scratch("plain.haadf.npy"));
    assert_truth(&imported, "plain", "SuperXG21");
    assert_truth(&imported, "plain", "SuperXG22");
    assert_int_equal(taken->n_lines, 15);
    assert_int_equal(taken->n_eds, 30);
    assert_int_equal(taken->n_layout[2], 30);
    assert_int_equal(imported.files[0]->eds[0].marks, 105);
    assert_int_equal(imported.files[0]->eds[0].events, taken->photons[0]);
    import_end(&imported);
}

static void what_velox_knows_of_the_session_is_in_the_start(void **state)
{
    struct imported imported;
    const struct fly_start *start;

    import_one(&imported, "plain");
    start = &imported.taken->start;
    assert_float_equal(start->pixel_nm[0], 3.0, 1e-9);
    assert_float_equal(start->pixel_nm[1], 3.0, 1e-9);
    assert_float_equal(start->pixel_time_us, 2.0, 1e-9);
    assert_float_equal(start->flyback_time_us, 1.0, 1e-9);
    assert_float_equal(start->beam_energy_kev, 300.0, 1e-9);
    assert_float_equal(start->convergence_mrad, 25.0, 1e-9);
    assert_float_equal(start->collection_mrad[0], 50.0, 1e-9);
    assert_float_equal(start->collection_mrad[1], 200.0, 1e-9);
    assert_true(isnan(start->beam_current_na));
    assert_string_equal(start->sample, "garnet \xce\xb2");
    assert_int_equal(start->segments[0].n_channels, 64);
    assert_float_equal(start->segments[0].ev_per_channel, 10.0, 0.0);
    assert_float_equal(start->segments[0].ev_offset, -250.0, 0.0);
    assert_float_equal(start->segments[0].takeoff_deg, 18.0, 1e-6);
    /* 15 lines of 7 pixels of 2 us, 0.9 of it alive; the flyback is no exposure. */
    assert_float_equal(imported.taken->real_us[0], 15 * 14.0, 1e-6);
    assert_float_equal(imported.taken->live_us[0], 15 * 14.0 * 0.9, 1e-6);
    import_end(&imported);
}

static void stamps_follow_dwell_and_flyback_from_the_start_of_acquisition(void **state)
{
    struct imported imported;

    import_one(&imported, "plain");
    assert_int_equal(imported.taken->t_first_ns, INT64_C(1700000000000000000));
    assert_int_equal(imported.taken->t_last_ns - imported.taken->t_first_ns, 15 * 15 * 1000);
    import_end(&imported);
}

static void a_missing_last_mark_loses_nothing(void **state)
{
    struct imported imported;

    import_one(&imported, "nolast");
    assert_truth(&imported, "nolast", "SuperXG21");
    assert_int_equal(imported.files[0]->eds[0].marks, 104);
    assert_int_equal(imported.taken->n_eds, 30);
    assert_int_equal(imported.taken->seen[0][3 * 35 - 1], 1);
    import_end(&imported);
    import_one(&imported, "notable");
    assert_truth(&imported, "notable", "SuperXG21");
    assert_int_equal(imported.taken->frames, 3);
    import_end(&imported);
}

static void an_empty_stream_is_told_and_not_waited_for(void **state)
{
    struct imported imported;

    import_one(&imported, "one_empty");
    assert_int_equal(imported.taken->start.n_segments, 1);
    assert_int_equal(imported.files[0]->n_silent, 1);
    assert_string_equal(imported.files[0]->silent[0].name, "SuperXG22");
    assert_non_null(strstr(imported.files[0]->notes, "SuperXG22 is empty"));
    assert_truth(&imported, "one_empty", "SuperXG21");
    import_end(&imported);
}

static void version_11_without_operations_is_read_by_its_detectors(void **state)
{
    struct imported imported;

    import_one(&imported, "v11");
    assert_int_equal(imported.taken->start.n_detectors, 2);
    assert_image(imported.taken, "HAADF", in_scratch("v11.haadf.npy"));
    assert_image(imported.taken, "DF4", in_scratch("v11.df4.npy"));
    /* The survey image and Velox's own map are named and left. */
    assert_non_null(strstr(imported.files[0]->notes, "image of HAADF, 11 x 13 px: left"));
    assert_non_null(strstr(imported.files[0]->notes, "image of SuperXG2, 5 x 7 px: left"));
    import_end(&imported);
}

static void a_point_without_marks_is_one_pixel_with_all_events(void **state)
{
    struct imported imported;

    import_one(&imported, "point");
    assert_int_equal(imported.taken->start.height_px, 1);
    assert_int_equal(imported.taken->start.width_px, 1);
    assert_int_equal(imported.taken->frames, 1);
    assert_int_equal(imported.taken->start.n_detectors, 0);
    assert_int_equal(imported.files[0]->eds[0].marks, 0);
    assert_truth(&imported, "point", "SuperXG21");
    assert_truth(&imported, "point", "SuperXG22");
    assert_float_equal(imported.taken->live_us[0], 0.9e6, 1e-3);
    assert_float_equal(imported.taken->real_us[0], 1e6, 1e-3);
    import_end(&imported);
}

static void scan_size_and_area_decide_which_axis_is_slow(void **state)
{
    struct imported imported;

    import_one(&imported, "swapped");
    assert_int_equal(imported.taken->start.height_px, 5);
    assert_int_equal(imported.taken->start.width_px, 7);
    assert_image(imported.taken, "HAADF", in_scratch("swapped.haadf.npy"));
    assert_truth(&imported, "swapped", "SuperXG21");
    import_end(&imported);
    import_one(&imported, "no_area");
    assert_image(imported.taken, "HAADF", in_scratch("no_area.haadf.npy"));
    import_end(&imported);
}

static void without_an_image_the_metadata_tell_the_shape(void **state)
{
    struct imported imported;

    import_one(&imported, "no_image");
    assert_int_equal(imported.taken->start.height_px, 5);
    assert_int_equal(imported.taken->start.width_px, 7);
    assert_truth(&imported, "no_image", "SuperXG22");
    import_end(&imported);
}

static void pixels_that_the_beam_never_reached_are_not_sent(void **state)
{
    struct imported imported;
    const struct taken *taken;

    import_one(&imported, "short");
    taken = imported.taken;
    for (size_t i = 0; i < 105; i++)
        assert_int_equal(taken->seen[0][i], i < 70 + 17 ? 1 : 0);
    assert_int_equal(taken->n_eds, 2 * 13);
    assert_truth(&imported, "short", "SuperXG21");
    assert_non_null(
        strstr(imported.files[0]->notes, "frame 2 of SuperXG21 ends after 17 of its 35 pixels"));
    import_end(&imported);
}

static void streams_that_are_no_x_rays_are_named_and_left(void **state)
{
    struct imported imported;

    import_one(&imported, "eels");
    assert_int_equal(imported.taken->start.n_segments, 2);
    assert_non_null(strstr(imported.files[0]->notes, "EELS-1, a SpectrometerDetector"));
    assert_non_null(strstr(imported.files[0]->notes, "Data/EelsSpectrumImage: left"));
    import_end(&imported);
}

static void a_sum_over_a_part_is_told_and_no_damage(void **state)
{
    struct imported imported;

    import_one(&imported, "part_sum");
    assert_non_null(
        strstr(imported.files[0]->notes, "sum of SuperXG21 is of a part of its events"));
    assert_truth(&imported, "part_sum", "SuperXG21");
    import_end(&imported);
}

static void wide_scans_and_image_only_files_work(void **state)
{
    struct imported imported;

    import_one(&imported, "wide");
    assert_image(imported.taken, "HAADF", in_scratch("wide.haadf.npy"));
    assert_truth(&imported, "wide", "SuperXG22");
    import_end(&imported);
    import_one(&imported, "haadf_alone");
    assert_image(imported.taken, "HAADF", in_scratch("haadf_alone.haadf.npy"));
    assert_int_equal(imported.taken->start.n_segments, 0);
    import_end(&imported);
}

static void damaged_and_foreign_files_are_refused_in_words(void **state)
{
    static const struct {
        const char *name;
        int code;
        const char *says;
    } cases[] = {
        {"damaged", FLY_EWIRE, "fewer than Velox's own sum"},
        {"lost", FLY_EWIRE, "fewer than Velox's own sum"},
        {"too_many_marks", FLY_EWIRE, "more marks in frame 2 than the scan's 5 x 7 pixels"},
        {"pruned", FLY_ERANGE, "pruned"},
        {"misfit", FLY_EWIRE, "5 x 8 px, ScanSize and ScanArea make it 5 high and 7 wide"},
        {"twice", FLY_ERANGE, "more than one acquisition"},
        {"nan_pixel", FLY_EWIRE, "PixelSize.height is nan m"},
        {"nan_dispersion", FLY_EWIRE, "Dispersion nan"},
        {"absurd_image", FLY_EWIRE, "never written whole"},
        {"absurd_stream", FLY_EWIRE, "never written whole"},
        {"no_metadata", FLY_EWIRE, "no Metadata"},
        {"bad_json", FLY_EWIRE, "no JSON"},
        {"truncated", FLY_EWIRE, "truncated"},
        {"foreign", FLY_ERANGE, "a Berkeley (NCEM) .emd"},
        {"camera", FLY_ERANGE, "1 images, none of a scanning detector"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s.emd", cases[i].name);
        import_refused(in_scratch(name), NULL, cases[i].code, cases[i].says);
    }
}

static void layouts_4_to_13_tell_the_same_in_other_places(void **state)
{
    static const char *const images[] = {"HAADF", "BF", "DF4", "iDPC", "A-C"};

    for (int version = 4; version <= 13; version++) {
        struct imported imported;
        const struct fly_start *start;
        char name[32], file[64];

        snprintf(name, sizeof name, "layout%d", version);
        import_one(&imported, name);
        start = &imported.taken->start;
        assert_int_equal(start->height_px, 4);
        assert_int_equal(start->width_px, 5);
        assert_int_equal(imported.taken->frames, 3);
        assert_int_equal(start->n_detectors, 5);
        assert_string_equal(start->detectors[0].name, "HAADF");
        for (int i = 0; i < 5; i++) {
            snprintf(file, sizeof file, "%s.%s.npy", name, images[i]);
            assert_image(imported.taken, images[i], in_scratch(file));
        }
        assert_int_equal(start->n_segments, 2);
        for (int i = 0; i < 2; i++)
            assert_truth(&imported, name, start->segments[i].name);
        assert_string_equal(start->segments[1].name, version < 6     ? "SuperX2"
                                                     : version == 6  ? "DualX2"
                                                     : version == 12 ? "UltraX2"
                                                                     : "SuperXG22");
        assert_int_equal(start->n_elements, 2);
        assert_string_equal(start->elements[0], "Fe");
        assert_string_equal(start->elements[1], "O");
        /* 4 lines of 10 us in each of 3 frames; alive 0.9, 0.8, 0.7, or as told for the first. */
        assert_float_equal(imported.taken->real_us[0], 120.0, 1e-6);
        assert_float_equal(imported.taken->live_us[0],
                           version == 7 || version == 13 ? 120.0 * 0.9 : 40.0 * 2.4, 1e-6);
        assert_non_null(strstr(imported.files[0]->notes, "image of "));
        assert_null(strstr(imported.files[0]->notes, "Velox layout"));
        if (version == 13)
            assert_non_null(strstr(imported.files[0]->notes, "2 frames of SuperXG21 lack metadata"));
        import_end(&imported);
    }
}

static void unknown_layouts_are_tried_with_a_warning(void **state)
{
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"v14", "Velox layout 14, known are 4 .. 13"},
        {"v3", "Velox layout 3, known are 4 .. 13"},
        {"no_version", "does not say its Velox version"},
        {"odd_version", "\"Velox\" is no number"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imported imported;

        import_one(&imported, cases[i].name);
        assert_non_null(strstr(imported.files[0]->notes, cases[i].says));
        assert_truth(&imported, cases[i].name, "SuperXG21");
        import_end(&imported);
    }
}

static void unequal_segments_keep_their_own_axes(void **state)
{
    struct imported imported;
    const struct fly_segment *segments;

    import_one(&imported, "unequal");
    segments = imported.taken->start.segments;
    assert_int_equal(imported.taken->start.n_segments, 2);
    assert_float_equal(segments[0].ev_per_channel, 10.0, 0.0);
    assert_float_equal(segments[0].ev_offset, -250.0, 0.0);
    assert_int_equal(segments[0].n_channels, 64);
    assert_float_equal(segments[1].ev_per_channel, 5.0, 0.0);
    assert_float_equal(segments[1].ev_offset, -100.0, 0.0);
    assert_int_equal(segments[1].n_channels, 128);
    assert_truth(&imported, "unequal", "SuperXG21");
    assert_truth(&imported, "unequal", "SuperXG22");
    assert_non_null(strstr(imported.files[0]->notes, "SuperXG22 (128 channels of 5 eV from -100 eV)"));
    assert_null(strstr(imported.files[0]->notes, "SuperXG21 (64 channels"));
    import_end(&imported);
}

static void what_is_left_or_of_a_part_is_told(void **state)
{
    struct imported imported;

    import_one(&imported, "fft");
    assert_non_null(strstr(imported.files[0]->notes, "image of HAADF, of complex numbers: left"));
    assert_image(imported.taken, "HAADF", in_scratch("fft.haadf.npy"));
    import_end(&imported);
    import_one(&imported, "subset");
    assert_non_null(strstr(imported.files[0]->notes, "spectrum image is of frames 2 .. 3 of 3"));
    assert_truth(&imported, "subset", "SuperXG21");
    import_end(&imported);
    import_one(&imported, "encoding");
    assert_non_null(strstr(imported.files[0]->notes, "encoded as packed12, taken is uint16"));
    assert_int_equal(imported.taken->start.n_segments, 0);
    import_end(&imported);
    import_one(&imported, "eels_map");
    assert_non_null(strstr(imported.files[0]->notes, "Data/EelsSpectrumImage: left"));
    assert_image(imported.taken, "HAADF", in_scratch("eels_map.haadf.npy"));
    import_end(&imported);
}

static void another_scanning_detector_stands_in_for_haadf(void **state)
{
    struct imported imported;

    import_one(&imported, "no_haadf");
    assert_int_equal(imported.taken->start.n_detectors, 1);
    assert_image(imported.taken, "BF", in_scratch("no_haadf.bf.npy"));
    assert_truth(&imported, "no_haadf", "SuperXG22");
    assert_float_equal(imported.taken->start.collection_mrad[1], 10.0, 1e-9);
    import_end(&imported);
}

static void foreign_files_are_called_by_their_names(void **state)
{
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"oxford.h5", "an Oxford Instruments .h5oina; plugin/clients/python/flyback_convert.py"},
        {"nexus.h5", "a NeXus file"},
        {"py4dstem.h5", "4D-STEM"},
        {"nion.h5", "perhaps a Nion Swift .h5"},
        {"strange.h5", "neither HyperSpy's nor Velox's"},
        {"foreign.bcf", "a Bruker .bcf; plugin/clients/python/flyback_convert.py"},
        {"foreign.spd", "an EDAX spectrum map"},
        {"foreign.ser", "an FEI/TIA series"},
        {"foreign.ndata", "a Nion .ndata"},
        {"foreign.blo", "diffraction patterns"},
        {"foreign.gz", "unpack it first"},
        {"foreign.fly", "a recording of Flyback already"},
        {"foreign.msa", "one spectrum in EMSA/MAS text"},
        {"foreign.mat", "a MATLAB file"},
        {"foreign.EMD", "by its name HDF5, by its first bytes not"},
        {"foreign.xyz", "not a file that import knows; taken are HyperSpy .hspy"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        import_refused(in_scratch(cases[i].name), NULL, FLY_ERANGE, cases[i].says);
}

static void an_unknown_pixel_size_can_be_given(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("nan_pixel.emd");
    struct imported imported;

    options.pixel_nm[0] = 1.5;
    options.pixel_nm[1] = 2.5;
    import_all(&imported, &path, 1, &options);
    assert_float_equal(imported.taken->start.pixel_nm[0], 1.5, 0.0);
    assert_float_equal(imported.taken->start.pixel_nm[1], 2.5, 0.0);
    import_end(&imported);
}

static void no_damaged_byte_crashes_the_reader(void **state)
{
    import_damaged(in_scratch("plain.emd"), 150,
                   61); /* the first kilobytes hold most of the structure */
    import_damaged(in_scratch("plain.emd"), 150, 7919);
}

static int has_shared(void)
{
    if (access(in_shared("velox/velox11_themisZ_300kV_SI_16x16.emd"), R_OK) == 0)
        return 1;
    printf("NOT RUN: %s is not there\n", in_shared("velox"));
    return 0;
}

static void the_real_themis_file_has_exactly_its_counts(void **state)
{
    static const uint64_t events[] = {13945, 10177, 11538, 6437};
    static const char *const names[] = {"SuperXG21", "SuperXG22", "SuperXG23", "SuperXG24"};
    const char *path = in_shared("velox/velox11_themisZ_300kV_SI_16x16.emd");
    struct imported imported;
    const struct taken *taken;

    if (!has_shared())
        skip();
    import_all(&imported, &path, 1, NULL);
    taken = imported.taken;
    assert_int_equal(taken->frames, 2);
    assert_int_equal(taken->start.height_px, 16);
    assert_int_equal(taken->start.width_px, 16);
    assert_int_equal(taken->start.n_detectors, 1);
    assert_int_equal(taken->start.detectors[0].dtype, FLY_U16);
    assert_int_equal(taken->n_lines, 32);
    assert_int_equal(taken->n_eds, 128);
    assert_int_equal(taken->start.n_elements, 4); /* C, O, Ca and Cu were chosen in Velox */
    assert_string_equal(taken->start.elements[2], "Ca");
    for (int i = 0; i < 4; i++) {
        assert_string_equal(imported.files[0]->eds[i].segment.name, names[i]);
        assert_int_equal(imported.files[0]->eds[i].events, events[i]);
        assert_int_equal(imported.files[0]->eds[i].marks, 512);
        assert_int_equal(taken->photons[i], events[i]);
        assert_int_equal(taken->outside[i], 0);
    }
    assert_float_equal(taken->start.pixel_nm[0], 3.5992492559614689, 1e-9);
    assert_float_equal(taken->start.beam_energy_kev, 300.0, 1e-9);
    assert_float_equal(taken->start.pixel_time_us, 1000.0, 1e-9);
    /* 32 lines of 18 ms */
    assert_int_equal(taken->t_last_ns - taken->t_first_ns, INT64_C(576000000));
    import_end(&imported);
}

static void the_real_spot_file_is_one_pixel(void **state)
{
    static const uint64_t events[] = {34344, 8501, 70797, 77188};
    const char *path = in_shared("velox/velox_spectra300_200kV_STO_spot_EDS.emd");
    struct imported imported;

    if (!has_shared())
        skip();
    import_all(&imported, &path, 1, NULL);
    assert_int_equal(imported.taken->start.height_px * imported.taken->start.width_px, 1);
    assert_int_equal(imported.taken->start.n_segments, 4);
    assert_int_equal(imported.taken->start.n_elements, 4); /* O, Ti, Cu and Sr, as Velox found them */
    assert_string_equal(imported.taken->start.elements[3], "Sr");
    for (int i = 0; i < 4; i++)
        assert_int_equal(imported.taken->photons[i], events[i]);
    assert_float_equal(imported.taken->start.segments[0].ev_per_channel, 5.0, 0.0);
    assert_float_equal(imported.taken->real_us[0], 26200044.075, 1.0);
    import_end(&imported);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_photon_and_pixel_comes_out_where_it_was_measured),
        cmocka_unit_test(what_velox_knows_of_the_session_is_in_the_start),
        cmocka_unit_test(stamps_follow_dwell_and_flyback_from_the_start_of_acquisition),
        cmocka_unit_test(a_missing_last_mark_loses_nothing),
        cmocka_unit_test(an_empty_stream_is_told_and_not_waited_for),
        cmocka_unit_test(version_11_without_operations_is_read_by_its_detectors),
        cmocka_unit_test(a_point_without_marks_is_one_pixel_with_all_events),
        cmocka_unit_test(scan_size_and_area_decide_which_axis_is_slow),
        cmocka_unit_test(without_an_image_the_metadata_tell_the_shape),
        cmocka_unit_test(pixels_that_the_beam_never_reached_are_not_sent),
        cmocka_unit_test(streams_that_are_no_x_rays_are_named_and_left),
        cmocka_unit_test(a_sum_over_a_part_is_told_and_no_damage),
        cmocka_unit_test(wide_scans_and_image_only_files_work),
        cmocka_unit_test(damaged_and_foreign_files_are_refused_in_words),
        cmocka_unit_test(layouts_4_to_13_tell_the_same_in_other_places),
        cmocka_unit_test(unknown_layouts_are_tried_with_a_warning),
        cmocka_unit_test(unequal_segments_keep_their_own_axes),
        cmocka_unit_test(what_is_left_or_of_a_part_is_told),
        cmocka_unit_test(another_scanning_detector_stands_in_for_haadf),
        cmocka_unit_test(foreign_files_are_called_by_their_names),
        cmocka_unit_test(an_unknown_pixel_size_can_be_given),
        cmocka_unit_test(no_damaged_byte_crashes_the_reader),
        cmocka_unit_test(the_real_themis_file_has_exactly_its_counts),
        cmocka_unit_test(the_real_spot_file_is_one_pixel),
    };
    int rc, failed;

    if (scratch_make(NULL) != 0)
        return 1;
    rc = run_python("make_velox.py");
    failed = rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(NULL);
    return failed;
}
