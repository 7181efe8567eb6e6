#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/label/fewshot.h"
#include "plugin/canvas.h"
#include "plugin/palette.h"
#include "plugin/picture.h"

/* What a PNG shows, read by libpng's own simple reader. */
struct shown {
    int32_t width, height;
    unsigned char *rgb;
};

static struct shown show(const struct fly_text *png)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    struct shown shown = {0};

    assert_true(png_image_begin_read_from_memory(&image, png->bytes, png->len));
    image.format = PNG_FORMAT_RGB;
    shown.rgb = malloc(PNG_IMAGE_SIZE(image));
    assert_non_null(shown.rgb);
    assert_true(png_image_finish_read(&image, NULL, shown.rgb, 0, NULL));
    shown.width = (int32_t)image.width;
    shown.height = (int32_t)image.height;
    return shown;
}

static uint32_t dot(const struct shown *shown, int32_t y, int32_t x)
{
    const unsigned char *at = shown->rgb + ((size_t)y * (size_t)shown->width + (size_t)x) * 3;

    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static int64_t count_colour(const struct shown *shown, uint32_t colour)
{
    int64_t n = 0;

    for (int32_t y = 0; y < shown->height; y++) {
        for (int32_t x = 0; x < shown->width; x++)
            n += dot(shown, y, x) == colour;
    }
    return n;
}

/* ---- palette ------------------------------------------------------------------------------------ */

static double linear(int value)
{
    double v = value / 255.0;

    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

/* OKLab of a colour as seen without green cones (deutan 1) or not (0); Ottosson 2020, Machado 2009. */
static void oklab(uint32_t colour, int deutan, double lab[3])
{
    static const double deficit[3][3] = {{0.367322, 0.860646, -0.227968},
                                         {0.280085, 0.672501, 0.047413},
                                         {-0.011820, 0.042940, 0.968881}};
    double rgb[3] = {linear(colour >> 16 & 255), linear(colour >> 8 & 255), linear(colour & 255)}, c[3], l, m, s;

    for (int i = 0; i < 3; i++)
        c[i] = deutan ? fmax(0, deficit[i][0] * rgb[0] + deficit[i][1] * rgb[1] + deficit[i][2] * rgb[2]) : rgb[i];
    l = cbrt(0.4122214708 * c[0] + 0.5363325363 * c[1] + 0.0514459929 * c[2]);
    m = cbrt(0.2119034982 * c[0] + 0.6806995451 * c[1] + 0.1073969566 * c[2]);
    s = cbrt(0.0883024619 * c[0] + 0.2817188376 * c[1] + 0.6299787005 * c[2]);
    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

static double apart(int32_t a, int32_t b, int deutan)
{
    double x[3], y[3];

    oklab(fly_palette_colour(a), deutan, x);
    oklab(fly_palette_colour(b), deutan, y);
    return sqrt((x[0] - y[0]) * (x[0] - y[0]) + (x[1] - y[1]) * (x[1] - y[1]) + (x[2] - y[2]) * (x[2] - y[2]));
}

/* 0.02 is about what an eye tells side by side. */
static void colours_of_classes_can_be_told_apart(void **state)
{
    (void)state;
    for (int32_t a = 0; a < FLY_PALETTE; a++) {
        for (int32_t b = 0; b < a; b++) {
            assert_true(apart(a, b, 0) > 0.07);
            assert_true(apart(a, b, 1) > 0.04);
            if (a < 7)
                assert_true(apart(a, b, 0) > 0.15 && apart(a, b, 1) > 0.07);
        }
    }
    assert_int_equal(fly_palette_colour(FLY_PALETTE), fly_palette_colour(0));
}

static void a_colour_reads_back_from_its_text(void **state)
{
    static const char *const bad[] = {"", "#12345", "1234567", "#12345g", "#1234567"};
    char text[FLY_COLOUR_TEXT];
    uint32_t colour = 1;

    (void)state;
    assert_string_equal(fly_colour_text(text, 0xE69F00), "#e69f00");
    assert_true(fly_colour_parse("#E69f00", 7, &colour));
    assert_int_equal(colour, 0xE69F00);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(fly_colour_parse(bad[i], strlen(bad[i]), &colour));
}

static void heat_grows_lighter_all_the_way(void **state)
{
    double last = -1;

    (void)state;
    for (int i = 0; i <= 100; i++) {
        double lab[3];

        oklab(fly_heat_colour(i / 100.0), 0, lab);
        assert_true(lab[0] > last);
        last = lab[0];
    }
    assert_int_equal(fly_heat_colour(-3), fly_heat_colour(0));
    assert_int_equal(fly_heat_colour(7), fly_heat_colour(1));
}

static void terminal_colours_are_the_nearest_of_the_256(void **state)
{
    (void)state;
    assert_int_equal(fly_colour_xterm(0x000000), 16);
    assert_int_equal(fly_colour_xterm(0xFFFFFF), 231);
    assert_int_equal(fly_colour_xterm(0xFF0000), 196);
    assert_int_equal(fly_colour_xterm(0x808080), 244);
}

/* ---- canvas and letters ------------------------------------------------------------------------- */

static void what_is_drawn_comes_out_of_the_png(void **state)
{
    struct fly_canvas canvas;
    struct fly_text png;
    struct shown shown;

    (void)state;
    fly_text_init(&png);
    assert_int_equal(fly_canvas_open(&canvas, 5, 3, 0x102030), FLY_OK);
    fly_canvas_fill(&canvas, 1, 1, 2, 1, 0xFF0000, 1);
    fly_canvas_fill(&canvas, 3, 1, 100, 100, 0xFFFFFF, 0.5);
    fly_canvas_dot(&canvas, -1, 0, 0xFFFFFF, 1);
    fly_canvas_dot(&canvas, 0, 3, 0xFFFFFF, 1);
    assert_int_equal(fly_canvas_png(&canvas, &png), FLY_OK);
    shown = show(&png);
    assert_int_equal(shown.width, 5);
    assert_int_equal(shown.height, 3);
    assert_int_equal(dot(&shown, 0, 0), 0x102030);
    assert_int_equal(dot(&shown, 1, 1), 0xFF0000);
    assert_int_equal(dot(&shown, 1, 2), 0xFF0000);
    assert_int_equal(dot(&shown, 2, 4), 0x889098);
    free(shown.rgb);
    fly_canvas_close(&canvas);
    fly_text_fini(&png);
}

static void a_canvas_out_of_range_is_refused(void **state)
{
    struct fly_canvas canvas;

    (void)state;
    assert_int_equal(fly_canvas_open(&canvas, 0, 5, 0), FLY_ERANGE);
    assert_int_equal(fly_canvas_open(&canvas, 5, 32769, 0), FLY_ERANGE);
    assert_null(canvas.rgb);
}

static int64_t ink_of(const char *text)
{
    struct fly_canvas canvas;
    int64_t ink = 0;

    assert_int_equal(fly_canvas_open(&canvas, 40, 40, 0xFFFFFF), FLY_OK);
    fly_canvas_text(&canvas, 8, 28, 20, FLY_REGULAR, 0, text);
    for (int i = 0; i < 40 * 40 * 3; i++)
        ink += 255 - canvas.rgb[i];
    fly_canvas_close(&canvas);
    return ink;
}

static void every_letter_is_drawn_and_no_two_are_the_same(void **state)
{
    static unsigned char drawn[128][40 * 40 * 3];

    (void)state;
    assert_int_equal(ink_of(" "), 0);
    for (int c = 33; c < 127; c++) {
        struct fly_canvas canvas;

        assert_int_equal(fly_canvas_open(&canvas, 40, 40, 0xFFFFFF), FLY_OK);
        fly_canvas_text(&canvas, 8, 28, 20, FLY_REGULAR, 0, (char[]){(char)c, '\0'});
        memcpy(drawn[c], canvas.rgb, sizeof drawn[c]);
        fly_canvas_close(&canvas);
        assert_true(ink_of((char[]){(char)c, '\0'}) > 500);
        for (int b = 33; b < c; b++)
            assert_memory_not_equal(drawn[b], drawn[c], sizeof drawn[c]);
    }
    assert_true(ink_of("\xC3\xA9") > 500); /* a box: something stands there */
    assert_int_equal(ink_of("\xC3\xA9"), ink_of("\xFF"));
}

static void the_width_of_a_text_is_where_its_ink_ends(void **state)
{
    static const char *const texts[] = {"HAADF", "0123", "LaFeO3 disordered", "W"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fly_canvas canvas;
        int32_t last = 0, first = 400;
        double width = fly_canvas_text_width(20, texts[i]);

        assert_int_equal(fly_canvas_open(&canvas, 400, 40, 0xFFFFFF), FLY_OK);
        fly_canvas_text(&canvas, 10, 30, 20, FLY_REGULAR, 0, texts[i]);
        for (int32_t x = 0; x < 400; x++) {
            for (int32_t y = 0; y < 40; y++) {
                if (canvas.rgb[(y * 400 + x) * 3] < 128) {
                    last = x;
                    first = x < first ? x : first;
                }
            }
        }
        assert_true(first >= 9 && first <= 12);
        assert_true(fabs(last + 1 - (10 + width + 20 * FLY_REGULAR)) < 2.5);
        fly_canvas_close(&canvas);
    }
    assert_true(fly_canvas_text_width(20, "") == 0);
    assert_true(fly_canvas_text_width(20, "11") == fly_canvas_text_width(20, "80")); /* figures in columns */
}

/* ---- pictures ----------------------------------------------------------------------------------- */

enum { H = 64, W = 96, SIDE = 16, R = 4, C = 6 };

static float image[H * W];
static int32_t labels[R * C];
static float heat[R * C];
static const struct fly_picture_class classes[] = {{0, "STO"}, {1, "LFO"}};

static struct fly_scan_picture scene(void)
{
    for (int i = 0; i < H * W; i++)
        image[i] = (float)(i % W);
    for (int k = 0; k < R * C; k++) {
        labels[k] = k % C < 3 ? 0 : 1;
        heat[k] = (float)k / (R * C - 1);
    }
    return (struct fly_scan_picture){.title = "t", .height_px = H, .width_px = W, .image = image, .pixel_nm = 0.1,
                                .rows = R, .cols = C, .side_px = SIDE, .pitch_px = SIDE, .labels = labels,
                                .n_classes = 2, .classes = classes};
}

static struct shown picture(const struct fly_scan_picture *what)
{
    struct fly_text png;
    struct shown shown;

    fly_text_init(&png);
    assert_int_equal(fly_picture_png(what, &png), FLY_OK);
    shown = show(&png);
    fly_text_fini(&png);
    return shown;
}

static void a_small_scan_is_enlarged_to_700_px(void **state)
{
    struct fly_scan_picture what = scene();
    struct shown shown = picture(&what);

    (void)state;
    assert_int_equal(shown.width, W * 8 + 2 * 28); /* 96 px, 8 times: the first whole number past 700 */
    assert_true(shown.height > H * 8);
    free(shown.rgb);
}

static void swatches_and_borders_have_the_colours_of_the_classes(void **state)
{
    struct fly_scan_picture what = scene();
    struct shown shown = picture(&what);

    (void)state;
    assert_true(count_colour(&shown, fly_palette_colour(0)) > 300); /* a swatch of 20 x 20 */
    assert_true(count_colour(&shown, fly_palette_colour(1)) > 300);
    assert_int_equal(count_colour(&shown, fly_palette_colour(2)), 0);
    free(shown.rgb);
}

static void a_chip_that_is_not_measured_has_no_classes_colour(void **state)
{
    struct fly_scan_picture what = scene();
    struct shown before, after;
    int32_t y = 28 + 17 + 14 + 4 + 8 * SIDE / 2, x = 28 + 8 * SIDE / 2; /* middle of chip 0 */

    (void)state;
    before = picture(&what);
    labels[0] = FLY_LABEL_PENDING;
    after = picture(&what);
    assert_int_not_equal(dot(&before, y, x), dot(&after, y, x));
    for (int32_t j = y - 40; j < y + 40; j++) {
        for (int32_t i = x - 40; i < x + 40; i++) { /* greys, hatched */
            uint32_t c = dot(&after, j, i);

            assert_true(abs((int)(c >> 16 & 255) - (int)(c & 255)) < 30);
        }
    }
    free(before.rgb);
    free(after.rgb);
}

static void each_kind_of_no_label_has_a_pattern_of_its_own(void **state)
{
    struct shown shown[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct fly_scan_picture what = scene();

        labels[7] = -1 - i;
        shown[i] = picture(&what);
        for (int j = 0; j < i; j++) {
            int64_t differ = 0;

            for (int32_t y = 28; y < 28 + 35 + 8 * H; y++) {
                for (int32_t x = 28; x < 28 + 8 * W; x++)
                    differ += dot(&shown[i], y, x) != dot(&shown[j], y, x);
            }
            assert_true(differ > 8 * SIDE * 8 * SIDE / 8);
        }
    }
    for (int i = 0; i < 4; i++)
        free(shown[i].rgb);
}

static void the_same_input_makes_the_same_bytes(void **state)
{
    struct fly_scan_picture what = scene();
    struct fly_text a, b;

    (void)state;
    fly_text_init(&a);
    fly_text_init(&b);
    assert_int_equal(fly_picture_png(&what, &a), FLY_OK);
    assert_int_equal(fly_picture_png(&what, &b), FLY_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.bytes, b.bytes, a.len);
    fly_text_fini(&a);
    fly_text_fini(&b);
}

static void without_a_pixel_size_there_is_no_scale_bar(void **state)
{
    struct fly_scan_picture what = scene();
    struct shown with, without;
    int32_t y = 28 + 17 + 14 + 4 + 8 * H - 14 - 5, x = 28 + 14 + 5; /* in the bar's box */

    (void)state;
    with = picture(&what);
    what.pixel_nm = NAN;
    without = picture(&what);
    assert_int_not_equal(dot(&with, y, x), dot(&without, y, x));
    free(with.rgb);
    free(without.rgb);
}

static void heat_shows_its_colours_and_a_bar(void **state)
{
    struct fly_scan_picture what = scene();
    struct shown shown;

    (void)state;
    what.labels = NULL;
    what.image = NULL;
    what.heat = heat;
    what.heat_name = "confidence";
    heat[5] = NAN;
    shown = picture(&what);
    assert_true(count_colour(&shown, fly_heat_colour(0)) >= 8 * SIDE * 8 * SIDE);
    assert_true(count_colour(&shown, fly_heat_colour(1)) >= 8 * SIDE * 8 * SIDE - 8000); /* the scale bar's box */
    free(shown.rgb);
}

static void pixels_not_measured_are_hatched_not_black(void **state)
{
    struct fly_scan_picture what = scene();
    struct shown shown;

    (void)state;
    what.labels = NULL;
    for (int i = 0; i < H * W; i++)
        image[i] = i < H * W / 2 ? (float)(i % W) : NAN;
    shown = picture(&what);
    for (int32_t x = 28 + 200; x < 28 + 8 * W; x++)
        assert_true((dot(&shown, 28 + 35 + 8 * H - 4, x) & 255) > 0x70);
    free(shown.rgb);
}

/* Sizes at their ends, overlap, nothing measured at all: no crash and a picture each time. */
static void awkward_scans_still_make_a_picture(void **state)
{
    static float large[4096 * 8];
    struct fly_scan_picture what = scene();
    struct shown shown;
    static int32_t one[1024];
    float dim[1] = {NAN};

    (void)state;
    what.pitch_px = 8;
    what.rows = (H - SIDE) / 8 + 1;
    what.cols = (W - SIDE) / 8 + 1;
    what.labels = one;
    shown = picture(&what);
    free(shown.rgb);

    what = (struct fly_scan_picture){.height_px = 8, .width_px = 4096, .image = large, .side_px = 8, .pitch_px = 8,
                                .rows = 1, .cols = 512, .labels = one, .pixel_nm = 1e-6};
    shown = picture(&what);
    assert_int_equal(shown.width, 2048 + 56);
    free(shown.rgb);

    what = (struct fly_scan_picture){.height_px = 1, .width_px = 1, .image = dim, .side_px = 1, .pitch_px = 1};
    shown = picture(&what);
    free(shown.rgb);

    what = (struct fly_scan_picture){.height_px = 4096, .width_px = 8, .image = large, .side_px = 8, .pitch_px = 8};
    shown = picture(&what);
    assert_int_equal(shown.width, 700 + 56);
    free(shown.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_of_classes_can_be_told_apart),
        cmocka_unit_test(a_colour_reads_back_from_its_text),
        cmocka_unit_test(heat_grows_lighter_all_the_way),
        cmocka_unit_test(terminal_colours_are_the_nearest_of_the_256),
        cmocka_unit_test(what_is_drawn_comes_out_of_the_png),
        cmocka_unit_test(a_canvas_out_of_range_is_refused),
        cmocka_unit_test(every_letter_is_drawn_and_no_two_are_the_same),
        cmocka_unit_test(the_width_of_a_text_is_where_its_ink_ends),
        cmocka_unit_test(a_small_scan_is_enlarged_to_700_px),
        cmocka_unit_test(swatches_and_borders_have_the_colours_of_the_classes),
        cmocka_unit_test(a_chip_that_is_not_measured_has_no_classes_colour),
        cmocka_unit_test(each_kind_of_no_label_has_a_pattern_of_its_own),
        cmocka_unit_test(the_same_input_makes_the_same_bytes),
        cmocka_unit_test(without_a_pixel_size_there_is_no_scale_bar),
        cmocka_unit_test(heat_shows_its_colours_and_a_bar),
        cmocka_unit_test(pixels_not_measured_are_hatched_not_black),
        cmocka_unit_test(awkward_scans_still_make_a_picture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
