#include "plugin/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/label/fewshot.h"
#include "plugin/palette.h"
#include "plugin/text.h"

const char fly_terminal_enter[] = "\033[2J\033[?25l";
const char fly_terminal_leave[] = "\033[0m\033[?25h";

void fly_terminal_decide(struct fly_terminal *terminal, int is_tty, const char *term,
                         const char *colorterm, const char *no_color)
{
    int dumb = !term || !term[0] || strcmp(term, "dumb") == 0;

    terminal->redraw = is_tty && !dumb;
    if (!terminal->redraw || (no_color && no_color[0]))
        terminal->colours = FLY_TERMINAL_LETTERS;
    else if (colorterm && (strcmp(colorterm, "truecolor") == 0 || strcmp(colorterm, "24bit") == 0))
        terminal->colours = FLY_TERMINAL_24BIT;
    else
        terminal->colours = FLY_TERMINAL_256;
}

void fly_terminal_look(struct fly_terminal *terminal, int fd)
{
    struct winsize size = {0};

    terminal->cols = 80;
    terminal->rows = 24;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
        terminal->cols = size.ws_col;
        terminal->rows = size.ws_row;
    }
    fly_terminal_decide(terminal, isatty(fd), getenv("TERM"), getenv("COLORTERM"), getenv("NO_COLOR"));
}

void fly_view_count(const struct fly_view *view, int64_t chips[FLY_VIEW_CLASSES_MAX], int64_t *measured)
{
    int64_t count = (int64_t)view->map_rows * view->map_cols;

    memset(chips, 0, FLY_VIEW_CLASSES_MAX * sizeof *chips);
    *measured = 0;
    for (int64_t k = 0; k < count; k++) {
        *measured += view->labels[k] != FLY_LABEL_PENDING;
        for (int32_t c = 0; c < view->n_classes; c++)
            chips[c] += view->labels[k] == view->classes[c].id;
    }
}

/* ---- lines that know how wide they are ---------------------------------------------------------- */

struct pen {
    struct fly_text *out;
    const struct fly_terminal *terminal;
    int32_t used;  /* columns of the line so far */
    int32_t lines; /* begun */
    uint32_t fore, back;
    int has_fore, has_back;
};

/* Columns of a character: two for East Asian wide ones, roughly by their blocks, none for the marks that
 * combine. */
static int columns_of(unsigned code)
{
    if ((code >= 0x300 && code < 0x370) || (code >= 0x200B && code <= 0x200F) || code == 0xFEFF)
        return 0;
    return (code >= 0x1100 && code < 0x1160) || (code >= 0x2E80 && code < 0xD7A4) ||
                   (code >= 0xF900 && code < 0xFB00) || (code >= 0xFE30 && code < 0xFE70) ||
                   (code >= 0xFF00 && code < 0xFF61) || code >= 0x1F300
               ? 2
               : 1;
}

/* Controls, and the marks that turn the writing round, would speak to the terminal. */
static int is_unsafe(unsigned code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069);
}

/* Columns that a text will take, as put() writes it. */
static int32_t width_of(const char *text)
{
    size_t len = strlen(text);
    int32_t columns = 0;

    for (size_t i = 0; i < len;) {
        unsigned code;

        i += fly_utf8_next(text + i, len - i, &code);
        columns += is_unsafe(code) ? 1 : columns_of(code);
    }
    return columns;
}

/* Text, cut at the terminal's width. */
static void put(struct pen *pen, const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len;) {
        unsigned code;
        size_t bytes = fly_utf8_next(text + i, len - i, &code);
        int columns = is_unsafe(code) ? 1 : columns_of(code);

        if (pen->used + columns > pen->terminal->cols)
            return;
        if (is_unsafe(code))
            fly_text_add(pen->out, "?");
        else if (code == 0xFFFD)
            fly_text_add(pen->out, "\xEF\xBF\xBD");
        else
            fly_text_addn(pen->out, text + i, bytes);
        pen->used += columns;
        i += bytes;
    }
}

static void style(struct pen *pen, const char *sequence)
{
    if (pen->terminal->colours != FLY_TERMINAL_LETTERS)
        fly_text_add(pen->out, sequence);
}

static void plain(struct pen *pen)
{
    style(pen, "\033[0m");
    pen->has_fore = pen->has_back = 0;
}

static void end_line(struct pen *pen)
{
    if (pen->has_fore || pen->has_back)
        plain(pen);
    if (pen->terminal->redraw)
        fly_text_add(pen->out, "\033[K");
    pen->lines++;
    /* The last line of a full terminal has no break: it would scroll the first one away. */
    if (!pen->terminal->redraw || pen->lines < pen->terminal->rows)
        fly_text_add(pen->out, pen->terminal->redraw ? "\r\n" : "\n");
    pen->used = 0;
}

static void colour(struct pen *pen, int ground, uint32_t rgb)
{
    uint32_t *last = ground ? &pen->back : &pen->fore;
    int *has = ground ? &pen->has_back : &pen->has_fore;

    if (pen->terminal->colours == FLY_TERMINAL_LETTERS || (*has && *last == rgb))
        return;
    *last = rgb;
    *has = 1;
    if (pen->terminal->colours == FLY_TERMINAL_24BIT)
        fly_text_addf(pen->out, "\033[%d;2;%d;%d;%dm", ground ? 48 : 38, (int)(rgb >> 16 & 0xFF),
                      (int)(rgb >> 8 & 0xFF), (int)(rgb & 0xFF));
    else
        fly_text_addf(pen->out, "\033[%d;5;%dm", ground ? 48 : 38, fly_colour_xterm(rgb));
}

/* ---- the map ------------------------------------------------------------------------------------ */

static char letter_of(int32_t label)
{
    switch (label) {
    case FLY_LABEL_PENDING:
        return '.';
    case FLY_LABEL_UNKNOWN:
        return '?';
    case FLY_LABEL_TOO_LITTLE:
        return '-';
    case FLY_LABEL_MINOR:
        return '~';
    }
    return label < 0 ? '!' : label < 26 ? (char)('A' + label) : label < 52 ? (char)('a' + label - 26) : '*';
}

static uint32_t colour_of(const struct fly_view *view, int32_t label)
{
    switch (label) {
    case FLY_LABEL_PENDING:
        return 0x2A2E35;
    case FLY_LABEL_UNKNOWN:
        return 0xE4E6EA;
    case FLY_LABEL_TOO_LITTLE:
        return 0x6B6F76;
    case FLY_LABEL_MINOR:
        return 0x9AA0A8;
    }
    for (int32_t c = 0; c < view->n_classes; c++) {
        if (view->classes[c].id == label)
            return view->classes[c].colour;
    }
    return label >= 0 ? fly_palette_colour(label) : 0xE4E6EA;
}

/* The label most of a square of chips have; of equals the one met first. */
static int32_t label_of(const struct fly_view *view, int32_t r0, int32_t c0, int32_t side)
{
    int32_t labels[64], counts[64], n = 0, best = 0;

    if (side == 1)
        return view->labels[(size_t)r0 * (size_t)view->map_cols + (size_t)c0];
    for (int32_t r = r0; r < r0 + side && r < view->map_rows; r++) {
        for (int32_t c = c0; c < c0 + side && c < view->map_cols; c++) {
            int32_t label = view->labels[(size_t)r * (size_t)view->map_cols + (size_t)c], i;

            for (i = 0; i < n && labels[i] != label; i++)
                ;
            if (i == n && n < 64) {
                labels[n] = label;
                counts[n++] = 0;
            }
            if (i < n)
                counts[i]++;
        }
    }
    for (int32_t i = 1; i < n; i++)
        best = counts[i] > counts[best] ? i : best;
    return labels[best];
}

/* How chips become cells: `up` cells each way for a chip, or `down` chips each way for a cell. */
struct fit {
    int32_t up, down;
    int32_t rows, cols; /* cells */
};

static int32_t ceil_div(int32_t a, int32_t b)
{
    return (a + b - 1) / b;
}

static struct fit fit_map(const struct fly_view *view, int32_t rows, int32_t cols)
{
    struct fit fit = {1, 1, 0, 0};

    while (ceil_div(view->map_rows, fit.down) > rows || ceil_div(view->map_cols, fit.down) > cols)
        fit.down++;
    while (fit.down == 1 && view->map_rows * (fit.up + 1) <= rows && view->map_cols * (fit.up + 1) <= cols)
        fit.up++;
    fit.rows = ceil_div(view->map_rows, fit.down) * fit.up;
    fit.cols = ceil_div(view->map_cols, fit.down) * fit.up;
    return fit;
}

static int32_t cell(const struct fly_view *view, const struct fit *fit, int32_t r, int32_t c)
{
    return label_of(view, r / fit->up * fit->down, c / fit->up * fit->down, fit->down);
}

static void draw_blocks(struct pen *pen, const struct fly_view *view, int32_t lines)
{
    struct fit fit = fit_map(view, 2 * lines, pen->terminal->cols);

    for (int32_t r = 0; r < fit.rows; r += 2) {
        for (int32_t c = 0; c < fit.cols; c++) {
            colour(pen, 0, colour_of(view, cell(view, &fit, r, c)));
            if (r + 1 < fit.rows)
                colour(pen, 1, colour_of(view, cell(view, &fit, r + 1, c)));
            put(pen, "\xE2\x96\x80");
        }
        end_line(pen);
    }
}

static void draw_letters(struct pen *pen, const struct fly_view *view, int32_t lines)
{
    /* A letter and a space are about as wide as a line is high. */
    int wide = view->map_cols * 2 - 1 <= pen->terminal->cols;
    struct fit fit = fit_map(view, lines, pen->terminal->cols);

    if (fit.up > 1)
        fit = (struct fit){1, 1, view->map_rows, view->map_cols};
    for (int32_t r = 0; r < fit.rows; r++) {
        for (int32_t c = 0; c < fit.cols; c++) {
            char text[3] = {letter_of(cell(view, &fit, r, c)), ' ', '\0'};

            if (!wide || c + 1 == fit.cols)
                text[1] = '\0';
            put(pen, text);
        }
        end_line(pen);
    }
}

/* ---- words around it ---------------------------------------------------------------------------- */

enum { ITEMS_MAX = FLY_VIEW_CLASSES_MAX + 16, ITEM_CAP = 112 };

/* Pieces that are laid out in lines, "   " between them. */
struct items {
    int count;
    struct {
        char text[ITEM_CAP];
        int has_swatch;
        int32_t label;
    } item[ITEMS_MAX];
};

static int32_t item_width(const struct items *items, int i)
{
    return width_of(items->item[i].text) + (items->item[i].has_swatch ? 2 : 0);
}

/* Lines that the items take; draws them when there is a pen. At most `most` lines. */
static int32_t flow(struct pen *pen, const struct fly_view *view, const struct items *items, int32_t cols,
                    int32_t most)
{
    int32_t lines = items->count > 0 && most > 0, used = 0;

    for (int i = 0; i < items->count && most > 0; i++) {
        int32_t w = item_width(items, i);

        if (used > 0 && used + 3 + w > cols) {
            if (lines == most)
                break;
            lines++;
            used = 0;
            if (pen)
                end_line(pen);
        }
        if (used > 0) {
            used += 3;
            if (pen)
                put(pen, "   ");
        }
        if (pen && items->item[i].has_swatch) {
            if (pen->terminal->colours == FLY_TERMINAL_LETTERS) {
                char letter[3] = {letter_of(items->item[i].label), ' ', '\0'};

                put(pen, letter);
            } else {
                colour(pen, 0, colour_of(view, items->item[i].label));
                put(pen, "\xE2\x96\xA0"); /* black square */
                plain(pen);
                put(pen, " ");
            }
        }
        if (pen)
            put(pen, items->item[i].text);
        used += w;
    }
    if (pen && lines > 0)
        end_line(pen);
    return lines;
}

static void add_item(struct items *items, const char *format, ...) FLY_PRINTF(2, 3);
static void add_item(struct items *items, const char *format, ...)
{
    va_list args;

    FLY_ASSERT(items->count < ITEMS_MAX);
    va_start(args, format);
    vsnprintf(items->item[items->count].text, ITEM_CAP, format, args);
    va_end(args);
    items->item[items->count].has_swatch = 0;
    items->count++;
}

static void add_swatch(struct items *items, int32_t label, const char *name, int64_t chips)
{
    add_item(items, "%s %" PRId64, name, chips);
    items->item[items->count - 1].has_swatch = 1;
    items->item[items->count - 1].label = label;
}

static void list_classes(struct items *items, const struct fly_view *view)
{
    static const char *const others[] = {"not measured", "unknown", "too little", "minor"};
    int64_t chips[FLY_VIEW_CLASSES_MAX], measured, other[4] = {0};

    items->count = 0;
    if (!view->map_rows)
        return;
    fly_view_count(view, chips, &measured);
    for (int64_t k = 0; k < (int64_t)view->map_rows * view->map_cols; k++) {
        if (view->labels[k] < 0 && view->labels[k] >= -4)
            other[-view->labels[k] - 1]++;
    }
    for (int32_t c = 0; c < view->n_classes; c++)
        add_swatch(items, view->classes[c].id, view->classes[c].name, chips[c]);
    for (int32_t i = 0; i < 4; i++) {
        if (other[i])
            add_swatch(items, -1 - i, others[i], other[i]);
    }
}

static void list_numbers(struct items *items, const struct fly_view *view)
{
    int64_t total = (int64_t)view->map_rows * view->map_cols, chips[FLY_VIEW_CLASSES_MAX], measured;

    items->count = 0;
    if (isfinite(view->lines_s))
        add_item(items, "%.0f lines/s", view->lines_s);
    if (total) {
        fly_view_count(view, chips, &measured);
        add_item(items, "chips %" PRId64 "/%" PRId64 " (%d %%)", measured, total, (int)(100 * measured / total));
    }
    if (view->backlog_chips >= 0)
        add_item(items, "backlog %" PRId64, view->backlog_chips);
    if (isfinite(view->p50_ms) && isfinite(view->p99_ms))
        add_item(items, "latency p50 %.1f ms, p99 %.1f ms", view->p50_ms, view->p99_ms);
    if (isfinite(view->threshold) && isfinite(view->modularity))
        add_item(items, "modularity %.3f at threshold %.2f", view->modularity, view->threshold);
    if (isfinite(view->ami[0]) && isfinite(view->ami[1]) && isfinite(view->ami[2]))
        add_item(items, "AMI haadf-eds %.2f, haadf-ensemble %.2f, eds-ensemble %.2f%s%s", view->ami[0], view->ami[1],
                 view->ami[2], view->leads[0] ? ": led by " : "", view->leads);
    if (view->has_reliability)
        add_item(items, "reliability haadf %.2f, eds %.2f", view->reliability[0], view->reliability[1]);
    if (view->undurable == 0)
        add_item(items, "all on disk");
    else if (view->undurable > 0)
        add_item(items, "%" PRId64 " not on disk", view->undurable);
    if (view->gaps >= 0)
        add_item(items, "gaps %" PRId64, view->gaps);
}

static void list_steering(struct items *items, const struct fly_view *view)
{
    const struct fly_view_steer *steer = &view->steer;
    const struct fly_view_dose *dose = &view->dose;

    items->count = 0;
    if (steer->there) {
        add_item(items, "steering %s, %s%s", steer->mode, steer->policy, steer->held ? ", HELD" : "");
        if (isfinite(steer->expected_error))
            add_item(items, "expected error %.1f %%", 100 * steer->expected_error);
        if (steer->pending > 0)
            add_item(items, "%" PRId64 " command%s", steer->pending, fly_plural(steer->pending));
        if (steer->stop[0])
            add_item(items, "nothing more to measure: %s", steer->stop);
    }
    if (dose->there && isfinite(dose->mean) && isfinite(dose->max))
        add_item(items, "dose %.4g in the mean, %.4g at most, %s", dose->mean, dose->max,
                 dose->calibrated ? "e-/A^2" : "us");
}

static void title_of(char *out, size_t cap, const struct fly_view *view)
{
    snprintf(out, cap, "Flyback   %s%s%s   %s/%s%s", view->state[0] ? view->state : "waiting",
             view->session[0] ? "   session " : "", view->session, view->method, view->modality,
             view->final ? "   final" : "");
}

void fly_terminal_draw(struct fly_text *out, const struct fly_view *view,
                       const struct fly_terminal *terminal)
{
    struct pen pen = {.out = out, .terminal = terminal};
    struct items *classes = malloc(3 * sizeof *classes), *numbers = classes + 1, *steering = classes + 2;
    char title[256];
    int32_t class_lines, number_lines, steering_lines, event_lines = view->event[0] != '\0', map_lines;

    FLY_ASSERT(terminal->cols >= 20 && terminal->rows >= 6);
    if (!classes) {
        out->failed = 1;
        return;
    }
    list_classes(classes, view);
    list_numbers(numbers, view);
    list_steering(steering, view);
    class_lines = flow(NULL, view, classes, terminal->cols, 2);
    number_lines = flow(NULL, view, numbers, terminal->cols, 2);
    steering_lines = flow(NULL, view, steering, terminal->cols, 1);
    map_lines = terminal->rows - 1 - class_lines - number_lines - steering_lines - event_lines;
    if (map_lines < 1) { /* a very low window: the map first */
        event_lines = steering_lines = 0;
        number_lines = 1;
        map_lines = terminal->rows - 1 - class_lines - number_lines;
    }

    if (terminal->redraw)
        fly_text_add(out, "\033[H");
    style(&pen, "\033[1m");
    title_of(title, sizeof title, view);
    put(&pen, title);
    style(&pen, "\033[0m");
    end_line(&pen);
    if (view->map_rows && terminal->colours == FLY_TERMINAL_LETTERS)
        draw_letters(&pen, view, map_lines);
    else if (view->map_rows)
        draw_blocks(&pen, view, map_lines);
    flow(&pen, view, classes, terminal->cols, class_lines);
    flow(&pen, view, numbers, terminal->cols, number_lines);
    flow(&pen, view, steering, terminal->cols, steering_lines);
    if (event_lines) {
        put(&pen, view->event);
        end_line(&pen);
    }
    if (terminal->redraw)
        fly_text_add(out, "\033[J");
    free(classes);
}

static void put_items(struct pen *pen, const struct items *items)
{
    for (int i = 0; i < items->count; i++) {
        put(pen, "   ");
        put(pen, items->item[i].text);
    }
}

void fly_terminal_line(struct fly_text *out, const struct fly_view *view)
{
    struct fly_terminal endless = {.cols = INT32_MAX / 2, .rows = INT32_MAX / 2};
    struct pen pen = {.out = out, .terminal = &endless};
    struct items *items = malloc(sizeof *items);
    char title[256];

    if (!items) {
        out->failed = 1;
        return;
    }
    title_of(title, sizeof title, view);
    put(&pen, title);
    list_numbers(items, view);
    put_items(&pen, items);
    list_steering(items, view);
    put_items(&pen, items);
    list_classes(items, view);
    put_items(&pen, items);
    fly_text_add(out, "\n");
    free(items);
}
