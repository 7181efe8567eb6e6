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
#include <sys/stat.h>
#include <unistd.h>

#include "engine/label/fewshot.h"
#include "plugin/figures_draw.h"
#include "plugin/number.h"

/* ---- what a figure shows ------------------------------------------------------------------------ */

struct shown {
    int32_t width, height;
    unsigned char *rgb;
};

static struct fly_text png_of(enum fly_figure figure, const struct fly_figures *in)
{
    struct fly_text png;

    fly_text_init(&png);
    assert_int_equal(fly_figure_png(figure, in, &png), FLY_OK);
    return png;
}

static struct shown show(enum fly_figure figure, const struct fly_figures *in)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    struct fly_text png = png_of(figure, in);
    struct shown shown = {0};

    assert_true(png_image_begin_read_from_memory(&image, png.bytes, png.len));
    image.format = PNG_FORMAT_RGB;
    shown.rgb = malloc(PNG_IMAGE_SIZE(image));
    assert_non_null(shown.rgb);
    assert_true(png_image_finish_read(&image, NULL, shown.rgb, 0, NULL));
    shown.width = (int32_t)image.width;
    shown.height = (int32_t)image.height;
    fly_text_fini(&png);
    return shown;
}

static uint32_t dot(const struct shown *shown, int32_t y, int32_t x)
{
    const unsigned char *at = shown->rgb + ((size_t)y * (size_t)shown->width + (size_t)x) * 3;

    assert_true(y >= 0 && x >= 0 && y < shown->height && x < shown->width);
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static int64_t count(const struct shown *shown, uint32_t colour)
{
    int64_t n = 0;

    for (int32_t y = 0; y < shown->height; y++)
        for (int32_t x = 0; x < shown->width; x++)
            n += dot(shown, y, x) == colour;
    return n;
}

static int same(enum fly_figure figure, const struct fly_figures *a, const struct fly_figures *b)
{
    struct fly_text x = png_of(figure, a), y = png_of(figure, b);
    int equal = x.len == y.len && memcmp(x.bytes, y.bytes, x.len) == 0;

    fly_text_fini(&x);
    fly_text_fini(&y);
    return equal;
}

/* ---- a small analysis --------------------------------------------------------------------------- */

enum { SIDE_PX = 8, R = 6, C = 6, K = R * C, H = R * SIDE_PX, W = C * SIDE_PX, N = 3, FFT = 32 };

/* Where figure 3's first panel begins without title and note: margin, title, gap, method, caption. */
enum { PANEL_X = 32, PANEL_Y = 32 + 16 + 26 + 13 + 12 + 19, CHIP = 340 / 6, PANEL_PITCH = 340 + 26 };

static struct scene {
    struct fly_figures in;
    float image[H * W], confidence[K], crystallinity[K], power[FFT * FFT];
    int32_t labels[K];
    double percent[K * N], composition[4][N], sigma[N], limit[N];
    double ami[FLY_FIGURE_METHODS][FLY_FIGURE_PAIRS], ari[FLY_FIGURE_METHODS][FLY_FIGURE_PAIRS];
    struct fly_figure_region regions[40];
} s;

static const char *const elements[] = {"La", "Fe", "O"};
static const struct fly_figure_name names[] = {{0, "STO"}, {1, "LFO"}, {2, "LFO disordered"}};
static const struct fly_spacing crystal = {.state = FLY_SPACING_MEASURED, .crystalline = 1, .d = 0.39, .spots = 2,
                                           .spot = {{.fx = 0.25, .d = 0.39, .d_sd = 0.001},
                                                    {.fy = 0.25, .d = 0.391, .d_sd = 0.001}}};
static const struct fly_figure_difference differences[] = {{"La", 4.4, 0.9, 4.3, 0.9}, {"O", -44.9, NAN, 57.9, NAN}};

static void set_region(int i, int32_t chips)
{
    s.regions[i] = (struct fly_figure_region){.label = i, .chips = chips, .percent = s.composition[i % 3],
                                              .sigma = s.sigma, .limit = s.limit, .square_row = 2 * (i % 3),
                                              .square_n = 2, .power = s.power, .power_px = FFT,
                                              .spacing = &crystal};
}

/* Three layers of chips, two rows each. */
static struct fly_figures *scene(void)
{
    memset(&s, 0, sizeof s);
    for (int i = 0; i < H * W; i++)
        s.image[i] = (float)(i % W);
    for (int i = 0; i < FFT * FFT; i++)
        s.power[i] = (float)(i % 7);
    for (int k = 0; k < K; k++) {
        s.labels[k] = k / C / 2;
        s.confidence[k] = 1;
        s.crystallinity[k] = (float)k / (K - 1);
        for (int e = 0; e < N; e++)
            s.percent[k * N + e] = e == s.labels[k] ? 80 : 10;
    }
    for (int i = 0; i < 3; i++) {
        for (int e = 0; e < N; e++)
            s.composition[i][e] = e == i ? 50 : 25;
        set_region(i, 12);
        s.sigma[i] = 1;
        s.limit[i] = NAN;
    }
    for (int m = 0; m < FLY_FIGURE_METHODS; m++) {
        for (int p = 0; p < FLY_FIGURE_PAIRS; p++)
            s.ami[m][p] = s.ari[m][p] = 0.1 * (m + p);
        for (int j = 0; j < FLY_MODALITIES; j++)
            s.in.maps[m][j] = (struct fly_figure_map){.labels = s.labels, .n_names = 3, .names = names};
    }
    s.in.height_px = H;
    s.in.width_px = W;
    s.in.image = s.image;
    s.in.pixel_nm = 0.05;
    s.in.rows = R;
    s.in.cols = C;
    s.in.side_px = s.in.pitch_px = SIDE_PX;
    s.in.n_elements = N;
    s.in.elements = elements;
    s.in.percent = s.percent;
    s.in.n_regions = 3;
    s.in.regions = s.regions;
    s.in.ordered = "LFO";
    s.in.disordered = "LFO disordered";
    s.in.n_differences = 2;
    s.in.differences = differences;
    s.in.crystallinity = s.crystallinity;
    s.in.ami = (const double(*)[FLY_FIGURE_PAIRS])s.ami;
    s.in.ari = (const double(*)[FLY_FIGURE_PAIRS])s.ari;
    return &s.in;
}

/* ---- numbers and words -------------------------------------------------------------------------- */

static void numbers_have_the_digits_that_their_margin_leaves(void **state)
{
    char out[FLY_FIG_NUMBER];

    (void)state;
    assert_string_equal(fly_fig_measured_number(out, 0.39054, 0.00071), "0.39054 \xC2\xB1 0.00071");
    assert_string_equal(fly_fig_measured_number(out, 16.9, 1.234), "16.9 \xC2\xB1 1.2");
    assert_string_equal(fly_fig_measured_number(out, 1234.5, 67), "1234 \xC2\xB1 67");
    assert_string_equal(fly_fig_measured_number(out, 0.39054, NAN), "0.3905");
    assert_string_equal(fly_fig_measured_number(out, 5.6, 0), "5.600");
    assert_string_equal(fly_fig_measured_number(out, NAN, 1), "-");
    assert_string_equal(fly_fig_number(out, -0.04, 1), "0.0");
    assert_string_equal(fly_fig_number(out, -0.05001, 1), "-0.1");
    assert_string_equal(fly_fig_number(out, -0.3, 0), "0");
    assert_string_equal(fly_fig_number(out, INFINITY, 1), "-");
    assert_string_equal(fly_fig_number(out, 1e300, 1), "1.00e+300");
}

static void steps_are_one_two_or_five(void **state)
{
    (void)state;
    assert_true(fabs(fly_number_round(24) - 20) < 1e-9);
    assert_true(fabs(fly_number_round(0.0099) - 0.005) < 1e-12);
    assert_true(fabs(fly_number_round(7) - 5) < 1e-9);
    assert_true(fabs(fly_number_round(1) - 1) < 1e-9);
}

static void words_are_cut_to_their_room_at_whole_characters(void **state)
{
    struct fly_fig_page page = {0};
    char long_words[900];

    (void)state;
    memset(long_words, 'w', sizeof long_words - 1);
    long_words[sizeof long_words - 1] = '\0';
    for (double room = 40; room < 400; room += 13)
        assert_true(fly_fig_words(&page, 0, 0, room, FLY_FIG_LEFT, &fly_fig_text, long_words) <= room);
    assert_true(fly_fig_words(&page, 0, 0, 1e6, FLY_FIG_LEFT, &fly_fig_text, "STO") ==
                fly_fig_width(&fly_fig_text, "STO"));
    assert_true(fly_fig_words(&page, 0, 0, 30, FLY_FIG_LEFT, &fly_fig_text, "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9") <= 30);
    assert_true(fly_fig_words(&page, 0, 0, 30, FLY_FIG_LEFT, &fly_fig_text, "") == 0);
}

/* ---- all of them -------------------------------------------------------------------------------- */

static void the_same_input_makes_the_same_bytes(void **state)
{
    (void)state;
    for (int f = 0; f < FLY_FIGURES; f++) {
        struct fly_figures *in = scene();

        assert_true(same((enum fly_figure)f, in, in));
    }
}

static void figures_are_as_wide_as_their_blocks(void **state)
{
    static const int32_t widths[FLY_FIGURES] = {2 * 32 + 512 + 26 + 4 * 190 - 20, 2 * 32 + 3 * 340 + 2 * 26,
                                                2 * 32 + 190 + 3 * 150, 2 * 32 + 4 * 240 - 20,
                                                2 * 32 + 130 + 3 * 190 + 150};

    (void)state;
    for (int f = 0; f < FLY_FIGURES; f++) {
        struct shown shown = show((enum fly_figure)f, scene());

        assert_int_equal(shown.width, widths[f]);
        for (int32_t x = 0; x < shown.width; x++) /* a margin all round */
            assert_true(dot(&shown, 20, x) == 0xFFFFFF && dot(&shown, shown.height - 20, x) == 0xFFFFFF);
        for (int32_t y = 0; y < shown.height; y++)
            assert_true(dot(&shown, y, 20) == 0xFFFFFF && dot(&shown, y, shown.width - 20) == 0xFFFFFF);
        free(shown.rgb);
    }
}

/* A title as long as that must not widen the page either. */
static void long_titles_are_cut_at_the_page(void **state)
{
    char title[2000];

    (void)state;
    memset(title, 'W', sizeof title - 1);
    title[sizeof title - 1] = '\0';
    for (int f = 0; f < FLY_FIGURES; f++) {
        struct shown before = show((enum fly_figure)f, scene()), after;

        s.in.title = s.in.note = title;
        s.in.ordered = title;
        after = show((enum fly_figure)f, &s.in);
        assert_int_equal(before.width, after.width);
        for (int32_t y = 0; y < after.height; y++)
            assert_true(dot(&after, y, after.width - 26) == 0xFFFFFF);
        free(before.rgb);
        free(after.rgb);
    }
}

static void nothing_at_all_still_makes_all_five(void **state)
{
    struct fly_figures nothing = {0};

    (void)state;
    for (int f = 0; f < FLY_FIGURES; f++) {
        struct shown shown = show((enum fly_figure)f, &nothing);

        assert_true(shown.width > 400 && shown.height > 100);
        free(shown.rgb);
    }
}

static void what_is_missing_is_said_in_the_callers_words(void **state)
{
    static const struct {
        enum fly_figure figure;
        const char *no_eds, *absent, *no_regions, *no_lattice;
    } say[] = {{FLY_FIGURE_2, "no EDS", 0, 0, 0},        {FLY_FIGURE_3, 0, "no EDS", 0, 0},
               {FLY_FIGURE_4, "no EDS", 0, 0, 0},        {FLY_FIGURE_4, 0, 0, "too few chips", 0},
               {FLY_FIGURE_5, 0, 0, "too few chips", 0}, {FLY_FIGURE_5, 0, 0, 0, "too little structure"}};

    (void)state;
    for (size_t i = 0; i < sizeof say / sizeof *say; i++) {
        struct fly_figures *in = scene(), said;

        in->percent = NULL;
        in->crystallinity = NULL;
        in->maps[FLY_FIGURE_WARD][FLY_EDS].labels = NULL;
        if (say[i].no_regions)
            in->n_regions = 0;
        for (int r = 0; r < 3; r++)
            s.regions[r].percent = NULL;
        said = *in;
        said.no_eds = say[i].no_eds;
        said.maps[FLY_FIGURE_WARD][FLY_EDS].absent = say[i].absent;
        said.no_regions = say[i].no_regions;
        said.no_lattice = say[i].no_lattice;
        assert_false(same(say[i].figure, in, &said));
    }
}

/* ---- figure 2 ----------------------------------------------------------------------------------- */

static void element_maps_run_from_dark_to_light_and_hatch_what_is_not_there(void **state)
{
    const int32_t x = 32 + 512 + 26, y = 32 + 16 + 26 + 19 + 8 + 19, chip = 170 / 6; /* the first element's map */
    struct shown shown;

    (void)state;
    scene();
    s.percent[0] = NAN;
    shown = show(FLY_FIGURE_2, &s.in);
    assert_int_equal(dot(&shown, y + chip / 2, x + chip + chip / 2), fly_heat_colour(1)); /* chip 1: La 80 */
    assert_int_equal(dot(&shown, y + 5 * chip + chip / 2, x + chip / 2), fly_heat_colour(0));
    for (int32_t j = 0; j < chip; j++) {
        for (int32_t i = 0; i < chip; i++) { /* chip 0: greys */
            uint32_t c = dot(&shown, y + j, x + i);

            assert_true(abs((int)(c >> 16 & 255) - (int)(c & 255)) < 30);
        }
    }
    free(shown.rgb);
}

static void an_element_that_does_not_vary_shows_no_structure(void **state)
{
    struct shown shown;

    (void)state;
    scene();
    for (int k = 0; k < K; k++) /* noise of a tenth of a percent */
        for (int e = 0; e < N; e++)
            s.percent[k * N + e] = 10 + 0.1 * (k % 2);
    shown = show(FLY_FIGURE_2, &s.in);
    assert_true(count(&shown, fly_heat_colour(1)) < 200); /* the ends of three bars, no chips */
    free(shown.rgb);
}

static void lengths_are_in_nm_where_pixels_have_a_size(void **state)
{
    struct fly_figures nm = *scene(), px = nm;

    (void)state;
    px.pixel_nm = NAN;
    assert_false(same(FLY_FIGURE_2, &nm, &px));
    assert_false(same(FLY_FIGURE_5, &nm, &px));
}

/* ---- figure 3 ----------------------------------------------------------------------------------- */

static void a_chip_has_its_colour_where_it_lies(void **state)
{
    struct shown shown = show(FLY_FIGURE_3, scene());

    (void)state;
    for (int m = 0; m < FLY_MODALITIES; m++)
        for (int32_t r = 0; r < R; r++)
            for (int32_t c = 0; c < C; c++)
                assert_int_equal(dot(&shown, PANEL_Y + r * CHIP + CHIP / 2, PANEL_X + m * PANEL_PITCH + c * CHIP + 2),
                                 fly_palette_colour(s.labels[r * C + c]));
    free(shown.rgb);
}

static void a_chip_is_paler_the_less_sure(void **state)
{
    static const float sure[] = {1, 0.6f, 0.2f, 0};
    struct shown shown;
    int last = -1;

    (void)state;
    scene();
    s.in.maps[FLY_FIGURE_FEWSHOT][FLY_HAADF].confidence = s.confidence;
    for (int i = 0; i < 4; i++)
        s.confidence[i] = sure[i];
    s.confidence[4] = NAN;
    shown = show(FLY_FIGURE_3, &s.in);
    for (int i = 0; i < 4; i++) {
        uint32_t c = dot(&shown, PANEL_Y + CHIP / 2, PANEL_X + i * CHIP + CHIP / 2);
        int light = (int)((c >> 16 & 255) + (c >> 8 & 255) + (c & 255));

        assert_true(light > last);
        last = light;
    }
    assert_true(last < 3 * 255 - 60); /* not gone */
    assert_int_equal(dot(&shown, PANEL_Y + CHIP / 2, PANEL_X + CHIP / 2), fly_palette_colour(0));
    assert_int_equal(dot(&shown, PANEL_Y + CHIP / 2, PANEL_X + 4 * CHIP + CHIP / 2), fly_palette_colour(0));
    free(shown.rgb);
}

static void each_kind_of_no_label_has_a_look_and_a_line_of_its_own(void **state)
{
    struct shown none = show(FLY_FIGURE_3, scene()), all;

    (void)state;
    for (int i = 0; i < 4; i++)
        s.labels[i] = FLY_LABEL_PENDING - i;
    all = show(FLY_FIGURE_3, &s.in);
    /* Three classes in two lines of two columns; four more make four lines. In each of three rows. */
    assert_int_equal(all.height - none.height, 3 * 2 * 19);
    for (int a = 0; a < 4; a++) {
        for (int b = 0; b < a; b++) {
            int64_t differ = 0;

            for (int32_t j = 2; j < CHIP - 2; j++)
                for (int32_t i = PANEL_X + 2; i < PANEL_X + CHIP - 2; i++)
                    differ += dot(&all, PANEL_Y + j, a * CHIP + i) != dot(&all, PANEL_Y + j, b * CHIP + i);
            assert_true(differ > CHIP * CHIP / 10);
        }
    }
    free(none.rgb);
    free(all.rgb);
}

static void a_name_too_long_is_cut_within_its_column(void **state)
{
    struct fly_figure_name a[] = {{0, "the interface that we saw on Monday, perhaps poor in oxygen"}};
    struct fly_figure_name b[] = {{0, "the interface that we saw on Monday, perhaps, or elsewhere"}};
    struct fly_figures x = *scene(), y = x;

    (void)state;
    for (int m = 0; m < FLY_FIGURE_METHODS; m++) {
        for (int j = 0; j < FLY_MODALITIES; j++) {
            x.maps[m][j].n_names = y.maps[m][j].n_names = 1;
            x.maps[m][j].names = a;
            y.maps[m][j].names = b;
        }
    }
    assert_true(same(FLY_FIGURE_3, &x, &y)); /* they differ where there is no room any more */
    assert_true(same(FLY_FIGURE_4, &x, &y));
    assert_true(same(FLY_FIGURE_5, &x, &y));
    assert_false(same(FLY_FIGURE_3, &x, scene()));
}

static void of_many_communities_the_largest_are_told(void **state)
{
    struct shown some, many;
    int32_t few[K];

    (void)state;
    scene();
    for (int k = 0; k < K; k++)
        few[k] = k < 12 ? k : 0; /* 12 of them: just as many as there is room for */
    for (int m = 0; m < FLY_FIGURE_METHODS; m++)
        for (int j = 0; j < FLY_MODALITIES; j++)
            s.in.maps[m][j].labels = few;
    some = show(FLY_FIGURE_3, &s.in);
    for (int k = 0; k < K; k++)
        few[k] = k;
    many = show(FLY_FIGURE_3, &s.in);
    assert_int_equal(some.height, many.height);
    free(some.rgb);
    free(many.rgb);
}

static void a_large_grid_is_thinned_and_a_small_one_enlarged(void **state)
{
    static int32_t labels[700 * 700];
    static const int32_t sides[] = {1, 2, 170, 171, 256, 340, 341, 700};

    (void)state;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct fly_fig_fit fit = fly_fig_fit(sides[i], sides[i], 340);
        struct fly_figures in = {.rows = sides[i], .cols = sides[i], .side_px = 4, .pitch_px = 4};
        struct shown shown;
        int64_t want = 9 * (int64_t)fit.w * fit.h;

        assert_true(fit.w <= 340 && fit.w >= 170 && fit.w == fit.h && (fit.up == 1 || fit.down == 1));
        for (int m = 0; m < FLY_FIGURE_METHODS; m++)
            for (int j = 0; j < FLY_MODALITIES; j++)
                in.maps[m][j].labels = labels;
        shown = show(FLY_FIGURE_3, &in);
        assert_true(llabs(count(&shown, fly_palette_colour(0)) - want - 9 * 11 * 11) < 9 * 60);
        free(shown.rgb);
    }
}

/* ---- figure 4 ----------------------------------------------------------------------------------- */

/* Pixels of a region's colour in the chart's rows: below the notes, above the table. */
static int64_t in_chart(const struct shown *shown, uint32_t colour)
{
    int64_t n = 0;

    for (int32_t y = 110; y < 110 + 345; y++)
        for (int32_t x = 32 + 190; x < shown->width; x++)
            n += dot(shown, y, x) == colour;
    return n;
}

static void bars_are_as_long_as_their_values(void **state)
{
    struct shown shown;
    double twice;

    (void)state;
    scene();
    for (int e = 0; e < N; e++) {
        s.composition[0][e] = 50;
        s.composition[1][e] = 25;
        s.sigma[e] = NAN;
    }
    shown = show(FLY_FIGURE_4, &s.in);
    twice = (double)in_chart(&shown, fly_palette_colour(0)) / (double)in_chart(&shown, fly_palette_colour(1));
    assert_true(fabs(twice - 2) < 0.05);
    free(shown.rgb);
}

static void an_upper_limit_is_hollow_and_told(void **state)
{
    struct fly_figures *in = scene();
    struct shown full, hollow;

    (void)state;
    full = show(FLY_FIGURE_4, in);
    for (int e = 0; e < N; e++)
        s.limit[e] = s.composition[0][e];
    hollow = show(FLY_FIGURE_4, in);
    assert_true(in_chart(&hollow, fly_palette_colour(0)) > 300);
    assert_true(in_chart(&hollow, fly_palette_colour(0)) * 3 < in_chart(&full, fly_palette_colour(0)));
    free(full.rgb);
    free(hollow.rgb);
}

static void percents_below_zero_hang_below_the_axis(void **state)
{
    struct shown shown;
    int32_t first = -1, last = -1;

    (void)state;
    scene();
    for (int e = 0; e < N; e++)
        s.composition[1][e] = -20; /* as likely as above, where nothing is */
    shown = show(FLY_FIGURE_4, &s.in);
    for (int32_t y = 110; y < 110 + 345; y++) {
        for (int32_t x = 32 + 190; x < shown.width; x++) {
            if (dot(&shown, y, x) == fly_palette_colour(0))
                last = y;
            if (dot(&shown, y, x) == fly_palette_colour(1) && first < 0)
                first = y;
        }
    }
    assert_true(last > 0 && first > last);
    free(shown.rgb);
}

static void of_many_regions_the_largest_are_shown(void **state)
{
    struct fly_figures *in = scene();
    struct shown shown;

    (void)state;
    for (int i = 0; i < 20; i++)
        set_region(i, i == 3 ? 1 : 100 - i);
    in->n_regions = 20;
    for (int f = FLY_FIGURE_4; f <= FLY_FIGURE_5; f++) {
        shown = show((enum fly_figure)f, in);
        for (int i = 0; i < 20; i++) {
            int64_t n = count(&shown, fly_palette_colour(i)); /* at least a swatch */

            assert_true(i < 9 && i != 3 ? n >= 11 * 11 : n == 0);
        }
        free(shown.rgb);
    }
}

static void differences_need_both_names(void **state)
{
    struct fly_figures both = *scene(), one = both;
    struct shown with, without;

    (void)state;
    one.disordered = NULL;
    with = show(FLY_FIGURE_4, &both);
    without = show(FLY_FIGURE_4, &one);
    assert_true(with.height > without.height + 60);
    free(with.rgb);
    free(without.rgb);
}

/* ---- figure 5 ----------------------------------------------------------------------------------- */

/* Yellow around a point of the picture. */
static int ring_at(const struct shown *shown, double y, double x)
{
    int n = 0;

    for (int a = 0; a < 8; a++) {
        double j = y + 8 * sin(a * 0.785398), i = x + 8 * cos(a * 0.785398);

        n += dot(shown, (int32_t)floor(j), (int32_t)floor(i)) == 0xF0E442;
    }
    return n >= 6;
}

static void spots_are_circled_with_their_mirror_images(void **state)
{
    /* Spots at a quarter are 8 bins of 32 out; half as far again is shown: 12 bins each way, 25 in 220 px. */
    const double bin = 220.0 / 25, x = 32 + 12.5 * bin;
    const double y = 32 + 16 + 26 + 10 + 19 + 20 + 18 + 19 + 220 + 10 + 12.5 * bin;
    struct shown shown = show(FLY_FIGURE_5, scene());

    (void)state;
    assert_true(ring_at(&shown, y, x + 8 * bin) && ring_at(&shown, y, x - 8 * bin));
    assert_true(ring_at(&shown, y + 8 * bin, x) && ring_at(&shown, y - 8 * bin, x));
    assert_false(ring_at(&shown, y + 8 * bin, x + 8 * bin));
    free(shown.rgb);
}

static void what_does_not_stand_out_is_not_circled(void **state)
{
    struct fly_spacing other[5] = {crystal, crystal, crystal, crystal, crystal};
    struct fly_text said[5];

    (void)state;
    other[0].state = FLY_SPACING_NONE;
    other[1].state = FLY_SPACING_TOO_SMALL;
    other[2].state = other[3].state = other[4].state = FLY_SPACING_DISORDERED;
    other[3].d_most = 0.45;
    other[4].d_most = 7;
    other[4].in_px = 1;
    for (int i = 0; i < 5; i++) {
        struct shown shown;

        scene();
        for (int r = 0; r < 3; r++)
            s.regions[r].spacing = &other[i];
        shown = show(FLY_FIGURE_5, &s.in);
        assert_int_equal(count(&shown, 0xF0E442), 0);
        free(shown.rgb);
        said[i] = png_of(FLY_FIGURE_5, &s.in);
        for (int j = 0; j < i; j++) /* in different words */
            assert_true(said[i].len != said[j].len || memcmp(said[i].bytes, said[j].bytes, said[i].len) != 0);
    }
    for (int i = 0; i < 5; i++)
        fly_text_fini(&said[i]);
}

/* Its strongest peak has a place and a spacing whether it stands out or not. */
static void the_papers_peak_counts_where_it_is_crystalline(void **state)
{
    struct fly_spacing paper = {.state = FLY_SPACING_MEASURED, .crystalline = 1, .d = 0.39, .d_sd = NAN, .spots = 1,
                                .spot = {{.fx = 0.25, .d = 0.39, .d_sd = NAN}}};
    struct shown shown;

    (void)state;
    scene();
    for (int r = 0; r < 3; r++)
        s.regions[r].spacing = &paper;
    shown = show(FLY_FIGURE_5, &s.in);
    assert_true(count(&shown, 0xF0E442) > 3 * 2 * 20);
    free(shown.rgb);
    paper.crystalline = 0;
    shown = show(FLY_FIGURE_5, &s.in);
    assert_int_equal(count(&shown, 0xF0E442), 0);
    free(shown.rgb);
}

static void squares_without_image_or_transform_say_so(void **state)
{
    struct fly_figures *in = scene();
    struct shown shown;

    (void)state;
    in->image = NULL;
    s.regions[0].power = NULL;
    s.regions[1].square_n = 0;
    shown = show(FLY_FIGURE_5, in);
    free(shown.rgb);
}

/* ---- table 1 ------------------------------------------------------------------------------------ */

static void the_table_tells_numbers_and_who_leads(void **state)
{
    double other[FLY_FIGURE_METHODS][FLY_FIGURE_PAIRS];
    struct fly_figures *in = scene(), against = *in;

    (void)state;
    against.ami = NULL;
    assert_false(same(FLY_TABLE_1, in, &against));
    against.ami = (const double(*)[FLY_FIGURE_PAIRS])other;
    s.ami[0][FLY_HAADF_WITH_ENSEMBLE] = s.ami[0][FLY_EDS_WITH_ENSEMBLE];
    memcpy(other, s.ami, sizeof other);
    other[0][FLY_HAADF_WITH_ENSEMBLE] += 0.0001; /* told as 0.200, too: nobody leads */
    assert_true(same(FLY_TABLE_1, in, &against));
    other[0][FLY_HAADF_WITH_ENSEMBLE] += 0.01;
    assert_false(same(FLY_TABLE_1, in, &against));
}

/* ---- sizes and files ---------------------------------------------------------------------------- */

static void awkward_sizes_still_make_figures(void **state)
{
    static float large[4096 * 4096];
    static int32_t labels[16384];
    static double percent[16384 * FLY_ELEMENTS_MAX];
    static const char *symbols[FLY_ELEMENTS_MAX];
    static const struct {
        int32_t h, w, rows, cols, side;
    } sizes[] = {{4096, 4096, 16, 16, 256}, {8, 4096, 1, 512, 8}, {4096, 1, 4096, 1, 1}, {1, 1, 1, 1, 1},
                 {20, 30, 0, 0, 0}};

    (void)state;
    for (int e = 0; e < FLY_ELEMENTS_MAX; e++)
        symbols[e] = "Uuo";
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct fly_figure_region region = {.chips = 1, .square_n = 1, .power = large, .power_px = 1,
                                           .percent = percent, .spacing = &crystal};
        struct fly_figures in = {.height_px = sizes[i].h, .width_px = sizes[i].w, .image = large, .pixel_nm = 1e-6,
                                 .rows = sizes[i].rows, .cols = sizes[i].cols, .side_px = sizes[i].side,
                                 .pitch_px = sizes[i].side, .n_elements = FLY_ELEMENTS_MAX, .elements = symbols,
                                 .percent = percent, .n_regions = sizes[i].rows > 0, .regions = &region};

        in.maps[0][0].labels = labels;
        in.maps[0][0].names = (const struct fly_figure_name[]){{0, NULL}};
        in.maps[0][0].n_names = 1;
        for (int f = 0; f < FLY_FIGURES; f++) {
            struct shown shown = show((enum fly_figure)f, &in);

            assert_true(shown.width < 2000 && shown.height < 4000);
            free(shown.rgb);
        }
    }
}

/* Every pixel the mean of what lies under it, whatever the ratio. */
static void images_are_averaged_to_size(void **state)
{
    enum { SMALL = 3, LARGE = 1000 };
    static float chess[LARGE * LARGE];
    struct fly_fig_field field = {.f32 = chess, .step = 1, .stride = LARGE, .rows = LARGE, .cols = LARGE};
    struct fly_fig_fit fit = fly_fig_stretch(LARGE, LARGE, 250);
    struct fly_fig_page page = {0};
    double lo, hi;

    (void)state;
    for (int i = 0; i < LARGE * LARGE; i++)
        chess[i] = (float)((i / LARGE + i % LARGE) % 2);
    assert_int_equal(fly_fig_range(&field, 0.001, 0.999, &lo, &hi), FLY_OK);
    assert_true(lo == 0 && hi == 1);
    assert_int_equal(fly_canvas_open(&page.canvas, 250, 250, 0xFF0000), FLY_OK);
    fly_fig_values(&page, 0, 0, &field, &fit, lo, hi, fly_fig_grey);
    for (int i = 0; i < 250 * 250 * 3; i++)
        assert_int_equal(page.canvas.rgb[i], 128);
    field.rows = field.cols = SMALL; /* 250 / 3: no whole number */
    fit = fly_fig_stretch(SMALL, SMALL, 250);
    fly_fig_values(&page, 0, 0, &field, &fit, lo, hi, fly_fig_grey);
    assert_int_equal(page.canvas.rgb[(40 * 250 + 40) * 3], 0);
    assert_int_equal(page.canvas.rgb[(40 * 250 + 125) * 3], 255);
    assert_int_equal(page.canvas.rgb[(40 * 250 + 83) * 3], 170); /* from 2.99 to 3.0 x 83.3: two thirds of the next */
    fly_canvas_close(&page.canvas);
}

static void all_five_are_written_under_their_names(void **state)
{
    char dir[] = "/tmp/fly_figures_XXXXXX", path[600];
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(fly_figures_write(dir, scene()), FLY_OK);
    for (int f = 0; f < FLY_FIGURES; f++) {
        snprintf(path, sizeof path, "%s/%s.png", dir, fly_figure_name((enum fly_figure)f));
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size > 1000);
        unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void a_folder_that_takes_nothing_is_named(void **state)
{
    (void)state;
    assert_int_equal(fly_figures_write("/proc/nowhere", scene()), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "/proc/nowhere/figure2.png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_the_digits_that_their_margin_leaves),
        cmocka_unit_test(steps_are_one_two_or_five),
        cmocka_unit_test(words_are_cut_to_their_room_at_whole_characters),
        cmocka_unit_test(the_same_input_makes_the_same_bytes),
        cmocka_unit_test(figures_are_as_wide_as_their_blocks),
        cmocka_unit_test(long_titles_are_cut_at_the_page),
        cmocka_unit_test(nothing_at_all_still_makes_all_five),
        cmocka_unit_test(what_is_missing_is_said_in_the_callers_words),
        cmocka_unit_test(element_maps_run_from_dark_to_light_and_hatch_what_is_not_there),
        cmocka_unit_test(an_element_that_does_not_vary_shows_no_structure),
        cmocka_unit_test(lengths_are_in_nm_where_pixels_have_a_size),
        cmocka_unit_test(a_chip_has_its_colour_where_it_lies),
        cmocka_unit_test(a_chip_is_paler_the_less_sure),
        cmocka_unit_test(each_kind_of_no_label_has_a_look_and_a_line_of_its_own),
        cmocka_unit_test(a_name_too_long_is_cut_within_its_column),
        cmocka_unit_test(of_many_communities_the_largest_are_told),
        cmocka_unit_test(a_large_grid_is_thinned_and_a_small_one_enlarged),
        cmocka_unit_test(bars_are_as_long_as_their_values),
        cmocka_unit_test(an_upper_limit_is_hollow_and_told),
        cmocka_unit_test(percents_below_zero_hang_below_the_axis),
        cmocka_unit_test(of_many_regions_the_largest_are_shown),
        cmocka_unit_test(differences_need_both_names),
        cmocka_unit_test(spots_are_circled_with_their_mirror_images),
        cmocka_unit_test(what_does_not_stand_out_is_not_circled),
        cmocka_unit_test(the_papers_peak_counts_where_it_is_crystalline),
        cmocka_unit_test(squares_without_image_or_transform_say_so),
        cmocka_unit_test(the_table_tells_numbers_and_who_leads),
        cmocka_unit_test(awkward_sizes_still_make_figures),
        cmocka_unit_test(images_are_averaged_to_size),
        cmocka_unit_test(all_five_are_written_under_their_names),
        cmocka_unit_test(a_folder_that_takes_nothing_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
