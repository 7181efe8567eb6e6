/* plugin/figures_draw.h: what the figures are drawn with; nobody but plugin/figures*.c (and their test) includes it.
 *
 * A figure is drawn twice by the same function: on a canvas of zeros, which takes nothing and tells how large
 * the page becomes, and then on paper. So no block needs to know how high another one is.
 */
#ifndef FLY_PLUGIN_FIGURES_DRAW_H
#define FLY_PLUGIN_FIGURES_DRAW_H

#include "plugin/canvas.h"
#include "plugin/figures.h"
#include "plugin/palette.h"

/* Pixels. CAP_* are heights of a capital. */
enum {
    FLY_FIG_MARGIN = 32, FLY_FIG_GAP = 26,
    CAP_TITLE = 16, CAP_HEAD = 13, CAP_TEXT = 10, CAP_SMALL = 9,
    LEADING = 19, /* baseline to baseline of CAP_TEXT and CAP_SMALL */
    SWATCH = 13,
};
static const uint32_t fig_paper = 0xFFFFFF, fig_ink = 0x1B1F24, fig_faint = 0x5D6470, fig_line = 0xC9CED6,
                      fig_void = 0xF3F4F6;

struct fly_fig_page {
    struct fly_canvas canvas; /* zeros: being measured */
    const struct fly_figures *in;
    int32_t right, y; /* the page so far: what was drawn ends there */
    int panels;       /* lettered so far: (a), (b), ... */
};

typedef int fly_fig_draw(struct fly_fig_page *page);
fly_fig_draw fly_fig_measured, fly_fig_segmented, fly_fig_composed, fly_fig_lattice, fly_fig_table;

static inline int fly_fig_measuring(const struct fly_fig_page *page)
{
    return !page->canvas.rgb;
}

/* The page reaches that far. */
void fly_fig_reach(struct fly_fig_page *page, int32_t right, int32_t bottom);

/* Title, the caller's title and note at the top; leaves page->y below them. */
void fly_fig_title(struct fly_fig_page *page, const char *words);

/* ---- words --------------------------------------------------------------------------------------- */

enum fly_fig_align { FLY_FIG_LEFT, FLY_FIG_MIDDLE, FLY_FIG_RIGHT }; /* of x, or within width */

struct fly_fig_type {
    double cap_px, weight;
    uint32_t colour;
};
extern const struct fly_fig_type fly_fig_head, fly_fig_text, fly_fig_strong, fly_fig_note, fly_fig_small;

double fly_fig_width(const struct fly_fig_type *type, const char *words);
/* At most `width` px wide, cut with "..." where it is more. Returns the width used. */
double fly_fig_words(struct fly_fig_page *page, double x, double baseline, double width, enum fly_fig_align align,
                     const struct fly_fig_type *type, const char *words);

/* "(a) words" above a panel at x; `aside` faint on the right, may be NULL. */
void fly_fig_caption(struct fly_fig_page *page, int32_t x, int32_t baseline, int32_t width, const char *words,
                     const char *aside);
/* An empty place that says why. */
void fly_fig_absent(struct fly_fig_page *page, int32_t x, int32_t y, int32_t w, int32_t h, const char *why);

enum { FLY_FIG_NUMBER = 64 };
/* With that many digits after the point; "-" when not finite. Never "-0". */
char *fly_fig_number(char out[FLY_FIG_NUMBER], double value, int decimals);
/* "0.3905 +- 0.0004" (the sign itself), two digits of sigma; without sigma four digits of value. */
char *fly_fig_measured_number(char out[FLY_FIG_NUMBER], double value, double sigma);

/* ---- pictures ------------------------------------------------------------------------------------ */

/* How rows x cols become a picture. */
struct fly_fig_fit {
    int32_t w, h;     /* pixels of it */
    int32_t up, down; /* of chips: every one up x up pixels, or one pixel of down x down */
    double scale;     /* pixels an item */
};
/* Chips, by whole numbers: at most side x side. */
struct fly_fig_fit fly_fig_fit(int32_t rows, int32_t cols, int32_t side);
/* Images: the longer side is `side`. */
struct fly_fig_fit fly_fig_stretch(int32_t rows, int32_t cols, int32_t side);

/* Values of a rectangle, wherever they lie. */
struct fly_fig_field {
    const float *f32; /* or */
    const double *f64;
    int64_t step, stride; /* items from one to the next, along a row and down */
    int32_t rows, cols;
};
/* The low and high quantile of what is finite, of a million values evenly taken. lo = hi = 0: none is.
 * FLY_ENOMEM. */
FLY_MUST_USE int fly_fig_range(const struct fly_fig_field *field, double low, double high, double *lo, double *hi);

typedef uint32_t fly_fig_colours(double value); /* 0 .. 1 */
uint32_t fly_fig_grey(double value);
/* Each pixel the mean of what lies under it; NaN hatched. */
void fly_fig_values(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_fig_field *field,
                    const struct fly_fig_fit *fit, double lo, double hi, fly_fig_colours *colours);
void fly_fig_bar(struct fly_fig_page *page, int32_t x, int32_t y, int32_t w, int32_t h, fly_fig_colours *colours);
/* A scale bar in the lower left of a picture of the scan: nm where the pixel size is known, else px. */
void fly_fig_scale(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_fig_fit *fit);

/* ---- labels -------------------------------------------------------------------------------------- */

/* The colour of a label >= 0, paler with less confidence (NaN: full). */
uint32_t fly_fig_colour(int32_t label, double confidence);
void fly_fig_swatch(struct fly_fig_page *page, int32_t x, int32_t y, int32_t label);
/* Its own name, or "ward 3". */
const char *fly_fig_label_name(char out[FLY_FIG_NUMBER], const struct fly_figure_map *map,
                               enum fly_figure_method method, int32_t label);
const char *fly_fig_method_name(enum fly_figure_method method);   /* "Few-shot" */
const char *fly_fig_modality_name(enum fly_modality modality);    /* "HAADF" */

void fly_fig_labels(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_map *map,
                    const struct fly_fig_fit *fit);

/* A label and how many chips have it. */
struct fly_fig_count {
    int32_t label, chips;
};
/* Those that occur: labels >= 0 with most chips first, then those below 0 from -1 down. *groups: how many of the
 * first kind. The caller frees *out. FLY_ENOMEM. */
FLY_MUST_USE int fly_fig_counts(struct fly_fig_count **out, int32_t *n, int32_t *groups, const int32_t *labels,
                                int32_t chips);

/* Swatches, names and chips of what a map has, by label, in columns `width` wide together; of many groups the
 * largest, "and n more". FLY_ENOMEM. */
FLY_MUST_USE int fly_fig_legend(struct fly_fig_page *page, int32_t x, int32_t y, int32_t width,
                                const struct fly_figure_map *map, enum fly_figure_method method);

/* ---- regions ------------------------------------------------------------------------------------- */

enum { FLY_FIG_REGIONS = 8 };
/* The largest, by label; returns how many. The page says which labels they are of and how many are left out. */
int fly_fig_regions(const struct fly_figures *in, const struct fly_figure_region *shown[FLY_FIG_REGIONS]);
/* Whose labels they are and what is left out, in a line at y, and `more` in another; goes on below them. */
void fly_fig_tell_regions(struct fly_fig_page *page, const char *more);
const char *fly_fig_region_name(char out[FLY_FIG_NUMBER], const struct fly_figures *in,
                                const struct fly_figure_region *region);

#endif
