/* PNG, TIFF and JPEG, written here with the same libraries' other half. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>

#include "test_import_sink.h"

enum { H = 5, W = 7 };

/* Numbers without a pattern, the same each time. */
static unsigned noise(size_t i)
{
    return (unsigned)((i + 1) * 2654435761u >> 7) & 0xFFFF;
}

static void write_png(const char *path, int bits, int colour, const unsigned char *rows,
                      size_t row_bytes)
{
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);

    assert_non_null(file);
    png_init_io(png, file);
    png_set_IHDR(png, info, W, H, bits, colour, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < H; y++)
        png_write_row(png, rows + (size_t)y * row_bytes);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static void write_jpeg(const char *path, int components, const unsigned char *rows)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = W;
    jpeg.image_height = H;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < H; y++) {
        JSAMPROW row = (JSAMPROW)(rows + (size_t)y * W * (size_t)components);

        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
}

struct tiff_page {
    int bits, format, samples, photometric, tile;
    const void *pixels;
};

static void write_tiff(const char *path, const struct tiff_page *pages, int n_pages,
                       const char *mode)
{
    TIFF *tiff = TIFFOpen(path, mode);

    assert_non_null(tiff);
    for (int p = 0; p < n_pages; p++) {
        size_t pixel = (size_t)pages[p].bits / 8 * (size_t)pages[p].samples;
        const unsigned char *pixels = pages[p].pixels;

        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, W);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, H);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, pages[p].bits);
        TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, pages[p].format);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, pages[p].samples);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, pages[p].photometric);
        TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
        if (pages[p].tile) {
            unsigned char tile[16 * 16 * 8] = {0};

            TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
            TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
            for (int y = 0; y < H; y++)
                memcpy(tile + (size_t)y * 16 * pixel, pixels + (size_t)y * W * pixel, W * pixel);
            assert_true(TIFFWriteTile(tiff, tile, 0, 0, 0, 0) > 0);
        } else {
            for (int y = 0; y < H; y++) {
                unsigned char row[W * 8]; /* libtiff turns the bytes of what it is handed */

                memcpy(row, pixels + (size_t)y * W * pixel, W * pixel);
                assert_int_equal(TIFFWriteScanline(tiff, row, (uint32_t)y, 0), 1);
            }
        }
        TIFFWriteDirectory(tiff);
    }
    TIFFClose(tiff);
}

static void cut_file(const char *path, long keep)
{
    assert_int_equal(truncate(path, keep), 0);
}

static void import_picture(struct imported *imported, const char *path, enum fly_dtype dtype,
                           int64_t frames)
{
    import_all(imported, &path, 1, NULL);
    assert_int_equal(imported->taken->start.n_detectors, 1);
    assert_string_equal(imported->taken->start.detectors[0].name, "HAADF");
    assert_int_equal(imported->taken->start.detectors[0].dtype, dtype);
    assert_int_equal(imported->taken->start.height_px, H);
    assert_int_equal(imported->taken->start.width_px, W);
    assert_int_equal(imported->taken->frames, frames);
}

static void a_png_of_8_or_16_bits_keeps_its_values(void **state)
{
    const char *path = in_scratch("a.png");
    unsigned char eight[H * W], sixteen[H * W * 2];
    struct imported imported;

    for (size_t i = 0; i < H * W; i++) {
        eight[i] = (unsigned char)noise(i);
        sixteen[2 * i] = (unsigned char)(noise(i) >> 8);
        sixteen[2 * i + 1] = (unsigned char)noise(i);
    }
    write_png(path, 8, PNG_COLOR_TYPE_GRAY, eight, W);
    import_picture(&imported, path, FLY_U8, 1);
    for (size_t i = 0; i < H * W; i++)
        assert_true(imported.taken->image[0][i] == eight[i]);
    import_end(&imported);
    write_png(path, 16, PNG_COLOR_TYPE_GRAY, sixteen, W * 2);
    import_picture(&imported, path, FLY_U16, 1);
    for (size_t i = 0; i < H * W; i++)
        assert_true(imported.taken->image[0][i] == noise(i));
    import_end(&imported);
}

static void colour_with_equal_channels_is_grey_and_other_colour_is_refused(void **state)
{
    const char *png = in_scratch("b.png"), *jpg = in_scratch("b.jpg");
    unsigned char grey[H * W], rgb[H * W * 3], rgba[H * W * 4];
    struct imported imported;

    for (size_t i = 0; i < H * W; i++) {
        grey[i] = (unsigned char)(noise(i) & 0xF8);
        memset(rgb + 3 * i, grey[i], 3);
        memset(rgba + 4 * i, grey[i], 3);
        rgba[4 * i + 3] = 255;
    }
    write_png(png, 8, PNG_COLOR_TYPE_RGB, rgb, W * 3);
    import_picture(&imported, png, FLY_U8, 1);
    for (size_t i = 0; i < H * W; i++)
        assert_true(imported.taken->image[0][i] == grey[i]);
    import_end(&imported);
    write_png(png, 8, PNG_COLOR_TYPE_RGB_ALPHA, rgba, W * 4);
    import_picture(&imported, png, FLY_U8, 1);
    import_end(&imported);
    write_jpeg(jpg, 3, rgb);
    import_picture(&imported, jpg, FLY_U8, 1);
    import_end(&imported);

    rgba[4 * (2 * W + 3) + 3] = 254;
    write_png(png, 8, PNG_COLOR_TYPE_RGB_ALPHA, rgba, W * 4);
    import_refused(png, NULL, FLY_ERANGE, "transparent at y 2 x 3");
    rgb[3 * (4 * W + 5) + 1] ^= 0x80;
    write_png(png, 8, PNG_COLOR_TYPE_RGB, rgb, W * 3);
    import_refused(png, NULL, FLY_ERANGE, "differ at y 4 x 5");
    for (size_t i = 0; i < H * W; i++)
        rgb[3 * i] = 250;
    write_jpeg(jpg, 3, rgb);
    import_refused(jpg, NULL, FLY_ERANGE, "a colour picture");
}

static void tiff_samples_of_every_kind_keep_their_values(void **state)
{
    static const struct {
        int bits, format;
        enum fly_dtype dtype;
    } kinds[] = {
        {8, SAMPLEFORMAT_UINT, FLY_U8},     {16, SAMPLEFORMAT_UINT, FLY_U16},
        {32, SAMPLEFORMAT_UINT, FLY_U32},   {16, SAMPLEFORMAT_INT, FLY_I16},
        {32, SAMPLEFORMAT_INT, FLY_I32},    {32, SAMPLEFORMAT_IEEEFP, FLY_F32},
        {64, SAMPLEFORMAT_IEEEFP, FLY_F64},
    };
    const char *path = in_scratch("c.tiff");

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int variant = 0; variant < 4;
             variant++) { /* strips, tiles, each in both byte orders */
            unsigned char pixels[H * W * 8];
            struct tiff_page page = {kinds[k].bits,          kinds[k].format, 1,
                                     PHOTOMETRIC_MINISBLACK, variant & 1,     pixels};
            struct imported imported;

            for (size_t i = 0; i < sizeof pixels; i++)
                pixels[i] = (unsigned char)(noise(i) & 0x3F); /* no exponent of all ones */
            write_tiff(path, &page, 1, variant & 2 ? "wb" : "wl");
            import_picture(&imported, path, kinds[k].dtype, 1);
            for (size_t i = 0; i < H * W; i++)
                assert_true(imported.taken->image[0][i] == pixel_value(kinds[k].dtype, pixels, i));
            import_end(&imported);
        }
}

static void pages_of_a_tiff_are_frames_and_odd_ones_are_left(void **state)
{
    const char *path = in_scratch("d.tiff");
    uint16_t pixels[3][H * W];
    unsigned char small[H * W] = {0};
    struct tiff_page pages[4] = {{16, SAMPLEFORMAT_UINT, 1, PHOTOMETRIC_MINISBLACK, 0, pixels[0]},
                                 {16, SAMPLEFORMAT_UINT, 1, PHOTOMETRIC_MINISBLACK, 0, pixels[1]},
                                 {16, SAMPLEFORMAT_UINT, 1, PHOTOMETRIC_MINISBLACK, 1, pixels[2]},
                                 {8, SAMPLEFORMAT_UINT, 1, PHOTOMETRIC_MINISBLACK, 0, small}};
    struct imported imported;

    for (size_t i = 0; i < 3 * H * W; i++)
        pixels[i / (H * W)][i % (H * W)] = (uint16_t)noise(i);
    write_tiff(path, pages, 4, "w");
    import_picture(&imported, path, FLY_U16, 3);
    for (size_t i = 0; i < 3 * H * W; i++)
        assert_true(imported.taken->image[0][i] == noise(i));
    assert_non_null(strstr(imported.files[0]->notes, "page 3"));
    assert_int_equal(imported.taken->n_lines, 15);
    import_end(&imported);
}

static void tiffs_that_would_be_read_wrongly_are_refused(void **state)
{
    const char *path = in_scratch("e.tiff");
    unsigned char pixels[H * W * 3] = {0};
    struct tiff_page white = {8, SAMPLEFORMAT_UINT, 1, PHOTOMETRIC_MINISWHITE, 0, pixels};
    struct tiff_page rgb = {8, SAMPLEFORMAT_UINT, 3, PHOTOMETRIC_RGB, 0, pixels};
    struct imported imported;

    write_tiff(path, &white, 1, "w");
    import_refused(path, NULL, FLY_ERANGE, "colour scheme 0");
    write_tiff(path, &rgb, 1, "w");
    import_picture(&imported, path, FLY_U8, 1);
    import_end(&imported);
    pixels[3 * 9 + 2] = 1;
    write_tiff(path, &rgb, 1, "w");
    import_refused(path, NULL, FLY_ERANGE, "differ at y 1 x 2");
}

static void truncated_pictures_are_refused_at_every_length(void **state)
{
    const char *png = in_scratch("f.png"), *jpg = in_scratch("f.jpg"), *tif = in_scratch("f.tiff");
    unsigned char pixels[H * W];
    struct tiff_page page = {8, SAMPLEFORMAT_UINT, 1, PHOTOMETRIC_MINISBLACK, 0, pixels};
    struct stat st;

    for (size_t i = 0; i < H * W; i++)
        pixels[i] = (unsigned char)noise(i);
    for (int tenth = 1; tenth < 10; tenth++) {
        write_png(png, 8, PNG_COLOR_TYPE_GRAY, pixels, W);
        assert_int_equal(stat(png, &st), 0);
        cut_file(png, st.st_size * tenth / 10);
        import_refused(png, NULL, FLY_EWIRE, "truncated PNG");
        write_jpeg(jpg, 1, pixels);
        assert_int_equal(stat(jpg, &st), 0);
        cut_file(jpg, st.st_size * tenth / 10);
        import_refused(jpg, NULL, FLY_EWIRE, "truncated JPEG");
        write_tiff(tif, &page, 1, "w");
        assert_int_equal(stat(tif, &st), 0);
        cut_file(tif, st.st_size * tenth / 10);
        import_refused(tif, NULL, FLY_EWIRE, "truncated");
    }
}

static void foreign_empty_and_missing_files_are_refused(void **state)
{
    const char *path = in_scratch("g.png");
    FILE *file = fopen(path, "wb");

    fclose(file);
    import_refused(path, NULL, FLY_EWIRE, "the file is empty");
    file = fopen(path, "wb");
    fputs("this is no picture", file);
    fclose(file);
    import_refused(path, NULL, FLY_ERANGE, "taken are HyperSpy .hspy, Velox .emd");
    unlink(path);
    import_refused(path, NULL, FLY_EIO, "No such file");
    import_refused(scratch, NULL, FLY_EIO, "not a regular file");
}

static void a_detector_can_be_named(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("h.png");
    unsigned char pixels[H * W] = {0};
    struct imported imported;

    options.detector = "DF 4/left";
    write_png(path, 8, PNG_COLOR_TYPE_GRAY, pixels, W);
    import_all(&imported, &path, 1, &options);
    assert_string_equal(imported.taken->start.detectors[0].name, "DF_4_left");
    import_end(&imported);
}

static int has_shared(const char *path)
{
    if (access(path, R_OK) == 0)
        return 1;
    printf("NOT RUN: %s is not there\n", path);
    return 0;
}

static void the_real_16_bit_tiff_and_large_jpeg_are_read(void **state)
{
    const char *tif = in_shared("haadf/moo3/moo3_512_u16.tiff"),
               *jpg = in_shared("haadf/sto_ge/STO-Ge-HAADF.jpg");
    struct imported imported;
    double least = 1e9, most = 0.0;

    if (!has_shared(tif) || !has_shared(jpg))
        skip();
    import_all(&imported, &tif, 1, NULL);
    assert_int_equal(imported.taken->start.height_px, 512);
    assert_int_equal(imported.taken->start.detectors[0].dtype, FLY_U16);
    assert_int_equal(imported.taken->n_lines, 512);
    import_end(&imported);
    import_all(&imported, &jpg, 1, NULL);
    assert_int_equal(imported.taken->start.height_px, 3044);
    assert_int_equal(imported.taken->start.width_px, 3042);
    assert_int_equal(imported.taken->start.detectors[0].dtype, FLY_U8);
    for (size_t i = 0; i < (size_t)3044 * 3042; i++) {
        least = fmin(least, imported.taken->image[0][i]);
        most = fmax(most, imported.taken->image[0][i]);
    }
    assert_true(least >= 0.0 && most <= 255.0 && most - least > 100.0);
    import_end(&imported);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_png_of_8_or_16_bits_keeps_its_values),
        cmocka_unit_test(colour_with_equal_channels_is_grey_and_other_colour_is_refused),
        cmocka_unit_test(tiff_samples_of_every_kind_keep_their_values),
        cmocka_unit_test(pages_of_a_tiff_are_frames_and_odd_ones_are_left),
        cmocka_unit_test(tiffs_that_would_be_read_wrongly_are_refused),
        cmocka_unit_test(truncated_pictures_are_refused_at_every_length),
        cmocka_unit_test(foreign_empty_and_missing_files_are_refused),
        cmocka_unit_test(a_detector_can_be_named),
        cmocka_unit_test(the_real_16_bit_tiff_and_large_jpeg_are_read),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
