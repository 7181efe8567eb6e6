#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "test_import_sink.h"

static void write_npy(const char *path, enum fly_npy_type type, int32_t dims, const int64_t *shape,
                      const void *data)
{
    unsigned char header[FLY_NPY_HEADER_CAP];
    size_t len = fly_npy_header(header, type, dims, shape), items = 1;
    FILE *file = fopen(path, "wb");

    for (int32_t i = 0; i < dims; i++)
        items *= (size_t)shape[i];
    assert_non_null(file);
    assert_int_equal(fwrite(header, 1, len, file), len);
    assert_int_equal(fwrite(data, fly_npy_type_size(type), items, file), items);
    fclose(file);
}

static struct fly_import_options with_energy(void)
{
    struct fly_import_options options = fly_import_options_default();

    options.ev_per_channel = 20.0;
    options.ev_offset = -100.0;
    return options;
}

static void two_axes_are_an_image_and_three_a_stack(void **state)
{
    const char *path = in_scratch("image.npy");
    const int64_t shape[] = {2, 3, 4};
    uint16_t pixels[24];
    struct imported imported;

    for (int i = 0; i < 24; i++)
        pixels[i] = (uint16_t)(i * 2731);
    write_npy(path, FLY_NPY_U16, 2, shape + 1, pixels);
    import_all(&imported, &path, 1, NULL);
    assert_int_equal(imported.taken->frames, 1);
    assert_image(imported.taken, "HAADF", path);
    import_end(&imported);
    write_npy(path, FLY_NPY_U16, 3, shape, pixels);
    import_all(&imported, &path, 1, NULL);
    assert_int_equal(imported.taken->frames, 2);
    assert_int_equal(imported.taken->start.height_px, 3);
    assert_image(imported.taken, "HAADF", path);
    import_end(&imported);
}

static void types_of_64_bits_become_ones_that_lose_nothing(void **state)
{
    static const struct {
        int64_t lo, hi;
        int dtype; /* -1: refused */
    } cases[] = {
        {-5, 7, FLY_I32},          {INT32_MIN, INT32_MAX, FLY_I32}, {0, UINT32_MAX, FLY_U32},
        {-1, UINT32_MAX, FLY_F64}, {0, INT64_C(1) << 53, FLY_F64},  {0, (INT64_C(1) << 53) + 1, -1},
        {INT64_MIN, 0, -1},
    };
    const char *path = in_scratch("wide.npy");
    const int64_t shape[] = {1, 2};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t pixels[] = {cases[i].lo, cases[i].hi};
        struct imported imported;

        write_npy(path, FLY_NPY_I64, 2, shape, pixels);
        if (cases[i].dtype < 0) {
            import_refused(path, NULL, FLY_ERANGE, "beyond 2^53");
            continue;
        }
        import_all(&imported, &path, 1, NULL);
        assert_int_equal(imported.taken->start.detectors[0].dtype, cases[i].dtype);
        assert_true(imported.taken->image[0][0] == (double)cases[i].lo);
        assert_true(imported.taken->image[0][1] == (double)cases[i].hi);
        import_end(&imported);
    }
}

static void three_axes_after_their_image_are_a_cube(void **state)
{
    char image[512], cube[512];
    const char *paths[] = {image, cube};
    const int64_t shape[] = {3, 4, 70};
    const float pixels[12] = {1.5f, -2.0f};
    struct fly_import_options options = with_energy();
    uint8_t counts[3 * 4 * 70];
    struct imported imported;

    strcpy(image, in_scratch("i.npy"));
    strcpy(cube, in_scratch("c.npy"));
    for (size_t i = 0; i < sizeof counts; i++)
        counts[i] = (uint8_t)(i % 11 == 0);
    write_npy(image, FLY_NPY_F32, 2, shape, pixels);
    write_npy(cube, FLY_NPY_U8, 3, shape, counts);
    import_all(&imported, paths, 2, &options);
    assert_image(imported.taken, "HAADF", image);
    assert_cube(imported.taken, "EDS", cube);
    assert_non_null(strstr(imported.files[1]->notes, "taken as a cube of 70 channels"));
    assert_float_equal(imported.taken->start.segments[0].ev_per_channel, 20.0, 0.0);
    assert_float_equal(imported.taken->start.segments[0].ev_offset, -100.0, 0.0);
    import_end(&imported);
    /* Without its energy axis it would be a cube of nothing. */
    assert_int_equal(import_try(&imported, paths, 2, NULL, 0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "--ev-per-channel"));
    import_end(&imported);
}

static void lists_of_events_come_out_by_line_and_pixel(void **state)
{
    /* Out of order, two of one pixel, one in the last pixel, none in line 1. */
    static const int32_t ys[] = {2, 0, 2, 0, 2};
    static const uint8_t xs[] = {3, 1, 0, 1, 0};
    static const uint16_t chs[] = {9, 5, 2, 5, 1};
    const int64_t n = 5;
    char y[512], x[512], ch[512];
    struct fly_import_options options = with_energy();
    struct fly_import import;
    struct fly_import_photons photons;

    strcpy(y, in_scratch("y.npy"));
    strcpy(x, in_scratch("x.npy"));
    strcpy(ch, in_scratch("ch.npy"));
    options.channels = 10;
    write_npy(y, FLY_NPY_I32, 1, &n, ys);
    write_npy(x, FLY_NPY_U8, 1, &n, xs);
    write_npy(ch, FLY_NPY_U16, 1, &n, chs);
    assert_int_equal(fly_import_open_events(&import, y, x, ch, 3, 4, &options), FLY_OK);
    assert_int_equal(import.eds[0].events, 5);
    assert_int_equal(import.eds[0].photons_max, 3);
    assert_int_equal(import.eds[0].line(import.eds[0].ctx, 0, 0, 0, 4, &photons), FLY_OK);
    assert_int_equal(photons.n, 2);
    assert_true(photons.pixel[0] == 1 && photons.pixel[1] == 1 && photons.channel[0] == 5);
    assert_int_equal(import.eds[0].line(import.eds[0].ctx, 0, 1, 0, 4, &photons), FLY_OK);
    assert_int_equal(photons.n, 0);
    assert_int_equal(photons.width_px, 4);
    assert_int_equal(import.eds[0].line(import.eds[0].ctx, 0, 2, 0, 4, &photons), FLY_OK);
    assert_int_equal(photons.n, 3);
    assert_true(photons.pixel[0] == 0 && photons.channel[0] == 2);
    assert_true(photons.pixel[1] == 0 && photons.channel[1] == 1);
    assert_true(photons.pixel[2] == 3 && photons.channel[2] == 9);
    fly_import_close(&import);

    options.channels = 9;
    assert_int_equal(fly_import_open_events(&import, y, x, ch, 3, 4, &options), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "event 0 has channel 9, allowed is 0 .. 8"));
    options.channels = 10;
    assert_int_equal(fly_import_open_events(&import, y, x, ch, 2, 4, &options), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "event 0 has y 2, allowed is 0 .. 1"));
    write_npy(x, FLY_NPY_U8, 1, &(int64_t){4}, xs);
    assert_int_equal(fly_import_open_events(&import, y, x, ch, 3, 4, &options), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "4 entries, the other lists have 5"));
}

static void the_events_of_a_golden_case_are_all_there(void **state)
{
    char y[512], x[512], ch[512], haadf[512];
    struct fly_import_options options = with_energy();
    struct fly_import import;
    unsigned char *bytes;
    struct fly_npy npy;
    size_t len;
    uint64_t n = 0;

    snprintf(y, sizeof y, "%s/golden/a_tiny/ev_y.npy", FLY_TEST_DIR);
    snprintf(x, sizeof x, "%s/golden/a_tiny/ev_x.npy", FLY_TEST_DIR);
    snprintf(ch, sizeof ch, "%s/golden/a_tiny/ev_ch.npy", FLY_TEST_DIR);
    options.channels = 4096;
    snprintf(haadf, sizeof haadf, "%s/golden/a_tiny/haadf.npy", FLY_TEST_DIR);
    assert_int_equal(fly_file_read(haadf, (size_t)1 << 28, &bytes, &len), FLY_OK);
    assert_int_equal(fly_npy_view(&npy, bytes, len, haadf), FLY_OK);
    assert_int_equal(fly_import_open_events(&import, y, x, ch, (int32_t)npy.shape[0],
                                            (int32_t)npy.shape[1], &options),
                     FLY_OK);
    for (int32_t line = 0; line < import.eds[0].height_px; line++) {
        struct fly_import_photons photons;

        assert_int_equal(
            import.eds[0].line(import.eds[0].ctx, 0, line, 0, import.eds[0].width_px, &photons),
            FLY_OK);
        for (int64_t i = 1; i < photons.n; i++)
            assert_true(photons.pixel[i - 1] <= photons.pixel[i]);
        n += (uint64_t)photons.n;
    }
    assert_int_equal(n, import.eds[0].events);
    assert_true(n > 1000);
    fly_import_close(&import);
    free(bytes);
}

static void wrong_arrays_are_refused(void **state)
{
    const char *path = in_scratch("wrong.npy");
    const int64_t one[] = {4}, empty[] = {0, 4}, flat[] = {3, 70};
    const double values[210] = {0};
    struct fly_import_options options = with_energy();
    struct fly_import import;
    struct stat st;

    write_npy(path, FLY_NPY_F64, 1, one, values);
    import_refused(path, NULL, FLY_ERANGE, "1 axes");
    write_npy(path, FLY_NPY_F64, 2, empty, values);
    import_refused(path, NULL, FLY_ERANGE, "0 x 4 px");
    write_npy(path, FLY_NPY_F64, 2, flat, values);
    assert_int_equal(fly_import_open(&import, path, 1, &options), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "a cube has 3"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 1), 0);
    import_refused(path, NULL, FLY_EWIRE, "items announced");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_axes_are_an_image_and_three_a_stack),
        cmocka_unit_test(types_of_64_bits_become_ones_that_lose_nothing),
        cmocka_unit_test(three_axes_after_their_image_are_a_cube),
        cmocka_unit_test(lists_of_events_come_out_by_line_and_pixel),
        cmocka_unit_test(the_events_of_a_golden_case_are_all_there),
        cmocka_unit_test(wrong_arrays_are_refused),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
