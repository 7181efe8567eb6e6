#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/label/fewshot.h"
#include "plugin/terminal.h"

static const int32_t two_rows[] = {0, 0, 1, -1, 1, -2};

static struct fly_view small_view(void)
{
    struct fly_view view = {.session = "s1", .state = "running", .method = "fewshot", .modality = "ensemble",
                            .map_rows = 2, .map_cols = 3, .labels = two_rows, .n_classes = 2,
                            .classes = {{0, 0xE69F00, "STO"}, {1, 0x56B4E9, "LFO"}},
                            .lines_s = 976.4, .p50_ms = 8.25, .p99_ms = 21, .backlog_chips = 3, .gaps = 0,
                            .undurable = 12, .ami = {NAN, NAN, NAN}, .threshold = NAN, .modularity = NAN};

    return view;
}

static const char *draw(const struct fly_view *view, struct fly_terminal terminal)
{
    static struct fly_text text;

    fly_text_clear(&text);
    fly_terminal_draw(&text, view, &terminal);
    assert_int_equal(fly_text_done(&text, "frame"), FLY_OK);
    return fly_text_str(&text);
}

static void letters_without_a_terminal_are_plain_lines(void **state)
{
    struct fly_view view = small_view();

    (void)state;
    assert_string_equal(draw(&view, (struct fly_terminal){120, 30, FLY_TERMINAL_LETTERS, 0}),
                        "Flyback   running   session s1   fewshot/ensemble\n"
                        "A A B\n"
                        ". B ?\n"
                        "A STO 2   B LFO 2   . not measured 1   ? unknown 1\n"
                        "976 lines/s   chips 5/6 (83 %)   backlog 3   latency p50 8.2 ms, p99 21.0 ms   "
                        "12 not on disk   gaps 0\n");
}

static void blocks_carry_two_chips_a_cell_in_24_bit_colour(void **state)
{
    struct fly_view view = small_view();

    (void)state;
    view.n_classes = 0;
    view.lines_s = view.p50_ms = NAN;
    view.backlog_chips = view.gaps = view.undurable = -1;
    view.classes[0] = view.classes[1] = (struct fly_view_class){0};
    /* Of 7 lines 3 are left for the map, 6 half lines: 2 x 3 chips are enlarged three times. */
    assert_string_equal(draw(&view, (struct fly_terminal){20, 7, FLY_TERMINAL_24BIT, 1}),
                        "\033[H\033[1mFlyback   running   \033[0m\033[K\r\n"
                        "\033[38;2;230;159;0m\033[48;2;230;159;0m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80"
                        "\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80\033[38;2;86;180;233m\033[48;2;86;180;233m"
                        "\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80\033[0m\033[K\r\n"
                        "\033[38;2;230;159;0m\033[48;2;42;46;53m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80"
                        "\033[48;2;86;180;233m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80\033[38;2;86;180;233m"
                        "\033[48;2;228;230;234m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80\033[0m\033[K\r\n"
                        "\033[38;2;42;46;53m\033[48;2;42;46;53m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80"
                        "\033[38;2;86;180;233m\033[48;2;86;180;233m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80"
                        "\033[38;2;228;230;234m\033[48;2;228;230;234m\xE2\x96\x80\xE2\x96\x80\xE2\x96\x80"
                        "\033[0m\033[K\r\n"
                        "\033[38;2;42;46;53m\xE2\x96\xA0\033[0m not measured 1\033[K\r\n"
                        "\033[38;2;228;230;234m\xE2\x96\xA0\033[0m unknown 1\033[K\r\n"
                        "chips 5/6 (83 %)\033[K\033[J");
}

static void letters_on_a_terminal_have_no_colour_sequence(void **state)
{
    struct fly_view view = small_view();
    const char *frame = draw(&view, (struct fly_terminal){80, 24, FLY_TERMINAL_LETTERS, 1});

    (void)state;
    for (const char *at = frame; (at = strchr(at, '\033')); at++)
        assert_non_null(strchr("HKJ", at[2]));
    assert_non_null(strstr(frame, "A A B\033[K\r\n. B ?\033[K\r\n"));
}

/* Lines of a frame and the columns of its widest, escapes taken out. */
static int32_t measure(const char *frame, int32_t *lines)
{
    int32_t widest = 0, column = 0;

    *lines = 0;
    for (const char *c = frame; *c; c++) {
        if (*c == '\033') {
            while (*c && !strchr("mHKJ", *c))
                c++;
        } else if (*c == '\n') {
            (*lines)++;
            column = 0;
        } else if (*c != '\r' && ((unsigned char)*c & 0xC0) != 0x80) {
            column++;
            widest = column > widest ? column : widest;
        }
    }
    *lines += column > 0;
    return widest;
}

static void a_frame_never_leaves_the_terminal(void **state)
{
    struct fly_rng rng = {5};

    (void)state;
    for (int round = 0; round < 400; round++) {
        struct fly_view view = small_view();
        struct fly_terminal terminal = {20 + (int32_t)fly_rng_below(&rng, 120), 6 + (int32_t)fly_rng_below(&rng, 50),
                                        (enum fly_terminal_colours)fly_rng_below(&rng, 3), 1};
        int32_t rows = 1 + (int32_t)fly_rng_below(&rng, 90), cols = 1 + (int32_t)fly_rng_below(&rng, 90), lines;
        int32_t *labels = malloc((size_t)(rows * cols) * sizeof *labels);

        for (int32_t k = 0; k < rows * cols; k++)
            labels[k] = (int32_t)fly_rng_below(&rng, 40) - 4;
        view.labels = labels;
        view.map_rows = rows;
        view.map_cols = cols;
        if (round % 3)
            view.steer = (struct fly_view_steer){1, "auto", "adaptive", 1, 2, 0.1, "budget"};
        if (round % 2)
            strcpy(view.event, "warning gap: something went by that is told in a rather long sentence, twice");
        for (int32_t c = 0; c < 30; c++)
            view.classes[c] = (struct fly_view_class){c, 0x123456, "a class with a name"};
        view.n_classes = (int32_t)fly_rng_below(&rng, 30);
        assert_true(measure(draw(&view, terminal), &lines) <= terminal.cols);
        assert_true(lines <= terminal.rows);
        assert_true(draw(&view, terminal)[strlen(draw(&view, terminal)) - 1] == 'J');
        free(labels);
    }
}

static void a_large_map_shows_the_label_most_chips_of_a_cell_have(void **state)
{
    enum { SIDE = 40 };
    static int32_t labels[SIDE * SIDE];
    struct fly_view view = small_view();
    const char *frame;

    (void)state;
    for (int32_t k = 0; k < SIDE * SIDE; k++) /* of each 2 x 2: three of class 1, one of class 0 */
        labels[k] = k / SIDE % 2 == 0 && k % 2 == 0 ? 0 : 1;
    view.labels = labels;
    view.map_rows = view.map_cols = SIDE;
    frame = draw(&view, (struct fly_terminal){SIDE / 2, 60, FLY_TERMINAL_LETTERS, 0});
    assert_non_null(strstr(frame, "\nBBBBBBBBBBBBBBBBBBBB\nBBBBBBBBBBBBBBBBBBBB\n"));
    assert_null(strstr(frame, "BA"));
}

static void every_kind_of_label_has_its_letter(void **state)
{
    static const int32_t labels[] = {0, 25, 26, 51, 52, FLY_LABEL_PENDING, FLY_LABEL_UNKNOWN,
                                     FLY_LABEL_TOO_LITTLE, FLY_LABEL_MINOR, -9};
    struct fly_view view = small_view();

    (void)state;
    view.labels = labels;
    view.map_rows = 1;
    view.map_cols = 10;
    assert_non_null(strstr(draw(&view, (struct fly_terminal){80, 24, FLY_TERMINAL_LETTERS, 0}),
                           "\nA Z a z * . ? - ~ !\n"));
}

static void names_from_outside_cannot_drive_the_terminal(void **state)
{
    struct fly_view view = small_view();

    (void)state;
    strcpy(view.classes[0].name, "\033[2J\x07" "evil\xFF\xC2\x9B");
    strcpy(view.event, "info x: a\nb\xE2\x80\xAE");
    assert_non_null(strstr(draw(&view, (struct fly_terminal){120, 30, FLY_TERMINAL_LETTERS, 0}),
                           "A ?[2J?evil\xEF\xBF\xBD? 2   "));
    assert_non_null(strstr(draw(&view, (struct fly_terminal){120, 30, FLY_TERMINAL_LETTERS, 0}), "info x: a?b?\n"));
}

static void a_line_for_the_log_has_everything_on_one_line(void **state)
{
    struct fly_view view = small_view();
    struct fly_text text;

    (void)state;
    fly_text_init(&text);
    view.final = 1;
    view.undurable = 0;
    fly_terminal_line(&text, &view);
    assert_string_equal(text.bytes, "Flyback   running   session s1   fewshot/ensemble   final   976 lines/s   "
                                    "chips 5/6 (83 %)   backlog 3   latency p50 8.2 ms, p99 21.0 ms   all on disk   "
                                    "gaps 0   STO 2   LFO 2   not measured 1   unknown 1\n");
    fly_text_fini(&text);
}

static void agreement_and_the_graph_are_told_where_they_are_known(void **state)
{
    struct fly_view view = small_view();

    (void)state;
    view.ami[0] = 0.81;
    view.ami[1] = 0.9;
    view.ami[2] = 0.955;
    snprintf(view.leads, sizeof view.leads, "eds");
    view.threshold = 0.28;
    view.modularity = 0.2017;
    assert_non_null(strstr(draw(&view, (struct fly_terminal){300, 30, FLY_TERMINAL_LETTERS, 0}),
                           "modularity 0.202 at threshold 0.28   "
                           "AMI haadf-eds 0.81, haadf-ensemble 0.90, eds-ensemble 0.95: led by eds   12 not"));
    view.leads[0] = '\0';
    view.modularity = NAN;
    view.has_reliability = 1;
    view.reliability[0] = 0.974;
    view.reliability[1] = 0.41;
    assert_non_null(strstr(draw(&view, (struct fly_terminal){300, 30, FLY_TERMINAL_LETTERS, 0}),
                           "21.0 ms   AMI haadf-eds 0.81, haadf-ensemble 0.90, eds-ensemble 0.95   "
                           "reliability haadf 0.97, eds 0.41   12 not"));
}

static void steering_and_dose_have_a_line_of_their_own(void **state)
{
    struct fly_view view = small_view();

    (void)state;
    view.steer = (struct fly_view_steer){1, "auto", "adaptive", 0, 1, 0.0432, ""};
    view.dose = (struct fly_view_dose){1, 1, 55.25, 312};
    assert_non_null(strstr(draw(&view, (struct fly_terminal){300, 30, FLY_TERMINAL_LETTERS, 0}),
                           "\nsteering auto, adaptive   expected error 4.3 %   1 command   "
                           "dose 55.25 in the mean, 312 at most, e-/A^2\n"));
    view.steer = (struct fly_view_steer){1, "ask", "margin", 1, 0, NAN, "error"};
    view.dose.calibrated = 0;
    assert_non_null(strstr(draw(&view, (struct fly_terminal){300, 30, FLY_TERMINAL_LETTERS, 0}),
                           "\nsteering ask, margin, HELD   nothing more to measure: error   "
                           "dose 55.25 in the mean, 312 at most, us\n"));
    view.dose.mean = NAN;
    view.steer.there = 0;
    assert_null(strstr(draw(&view, (struct fly_terminal){300, 30, FLY_TERMINAL_LETTERS, 0}), "steering"));
    assert_null(strstr(draw(&view, (struct fly_terminal){300, 30, FLY_TERMINAL_LETTERS, 0}), "dose"));
}

static void before_anything_came_there_is_a_title(void **state)
{
    struct fly_view view = {.method = "fewshot", .modality = "haadf", .lines_s = NAN, .p50_ms = NAN, .p99_ms = NAN,
                            .ami = {NAN, NAN, NAN}, .threshold = NAN, .modularity = NAN, .backlog_chips = -1, .gaps = -1, .undurable = -1};

    (void)state;
    assert_string_equal(draw(&view, (struct fly_terminal){80, 24, FLY_TERMINAL_LETTERS, 0}),
                        "Flyback   waiting   fewshot/haadf\n");
}

static void what_a_terminal_can_do_follows_its_variables(void **state)
{
    static const struct {
        int is_tty;
        const char *term, *colorterm, *no_color;
        int redraw;
        enum fly_terminal_colours colours;
    } cases[] = {
        {0, "xterm-256color", "truecolor", NULL, 0, FLY_TERMINAL_LETTERS},
        {1, "xterm-256color", "truecolor", NULL, 1, FLY_TERMINAL_24BIT},
        {1, "xterm-256color", "24bit", "", 1, FLY_TERMINAL_24BIT}, /* an empty NO_COLOR is none */
        {1, "xterm-256color", NULL, NULL, 1, FLY_TERMINAL_256},
        {1, "xterm", "truecolor", "1", 1, FLY_TERMINAL_LETTERS},
        {1, "dumb", "truecolor", NULL, 0, FLY_TERMINAL_LETTERS},
        {1, NULL, NULL, NULL, 0, FLY_TERMINAL_LETTERS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fly_terminal terminal = {0};

        fly_terminal_decide(&terminal, cases[i].is_tty, cases[i].term, cases[i].colorterm, cases[i].no_color);
        assert_int_equal(terminal.redraw, cases[i].redraw);
        assert_int_equal(terminal.colours, cases[i].colours);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_without_a_terminal_are_plain_lines),
        cmocka_unit_test(blocks_carry_two_chips_a_cell_in_24_bit_colour),
        cmocka_unit_test(letters_on_a_terminal_have_no_colour_sequence),
        cmocka_unit_test(a_frame_never_leaves_the_terminal),
        cmocka_unit_test(a_large_map_shows_the_label_most_chips_of_a_cell_have),
        cmocka_unit_test(every_kind_of_label_has_its_letter),
        cmocka_unit_test(names_from_outside_cannot_drive_the_terminal),
        cmocka_unit_test(a_line_for_the_log_has_everything_on_one_line),
        cmocka_unit_test(agreement_and_the_graph_are_told_where_they_are_known),
        cmocka_unit_test(steering_and_dose_have_a_line_of_their_own),
        cmocka_unit_test(before_anything_came_there_is_a_title),
        cmocka_unit_test(what_a_terminal_can_do_follows_its_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
