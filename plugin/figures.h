/* plugin/figures.h: the figures of a paper, drawn from what an analysis found.
 *
 * One call, one PNG: white paper, dark text, colours of plugin/palette.h. Letters are drawn for 100 %: the
 * smallest capital is 9 px high.
 *
 *   figure2  what was measured: HAADF with scale bar, atomic percent of each element with its own range
 *   figure3  what it was taken for: few-shot, Ward, community (rows) x HAADF, EDS, ensemble (columns)
 *   figure4  what the regions of one labelling are made of, and how disordered differs from ordered
 *   figure5  each region's largest square, its Fourier transform with the spots found, its spacing; crystallinity
 *   table1   the paper's Table I: how far the labels of the modalities agree
 *
 * Missing  Any part may be: NULL, or 0 of it. Its place then says so, in the caller's words where there are
 *          some ("no EDS"). All five figures are always made.
 * Many     Of more classes or regions than there is room for the largest are shown, "and n more" is told.
 *          Chips are enlarged by whole numbers; of grids beyond 340 chips one chip in 2 x 2 (3 x 3, ...) is
 *          drawn, which the panel says. Images and values are averaged down.
 * Colours  A label's colour is fly_palette_colour(label); with a confidence it is the paler the less sure.
 *          Labels below 0 (enum fly_label) look as in plugin/picture.h and stand in the legend.
 * Memory   lent for the call, all of it; the call itself needs the picture (some 10 MB), 12 bytes a chip,
 *          and at most 4 MB besides. The same input makes the same bytes.
 * Shapes   image (H, W); chips (R, C), K = R C; n elements. Row-major.
 * Threads  any; pure but for the files that _write leaves.
 */
#ifndef FLY_PLUGIN_FIGURES_H
#define FLY_PLUGIN_FIGURES_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/region/spacing.h"
#include "plugin/text.h"

enum fly_figure { FLY_FIGURE_2, FLY_FIGURE_3, FLY_FIGURE_4, FLY_FIGURE_5, FLY_TABLE_1, FLY_FIGURES };

/* The paper's methods: those of the engine (enum fly_method), and Ward's tree. */
enum fly_figure_method { FLY_FIGURE_FEWSHOT, FLY_FIGURE_WARD, FLY_FIGURE_COMMUNITY, FLY_FIGURE_METHODS };

/* Whose labels are compared in Table I. */
enum fly_figure_pair { FLY_HAADF_WITH_EDS, FLY_HAADF_WITH_ENSEMBLE, FLY_EDS_WITH_ENSEMBLE, FLY_FIGURE_PAIRS };

/* A label's own name: a class's, or one that a person gave. The others are called "class 3", "ward 3",
 * "community 3". */
struct fly_figure_name {
    int32_t label;
    const char *name; /* UTF-8; cut with "..." where it is too long */
};

struct fly_figure_map {
    const int32_t *labels;   /* (K); NULL: none */
    const float *confidence; /* (K) 0 .. 1, NaN where there is none; NULL: full colours */
    int32_t n_names;
    const struct fly_figure_name *names;
    const char *absent; /* why there are no labels: "no EDS"; NULL: "not made" */
};

struct fly_figure_region {
    int32_t label; /* >= 0, in the map that the regions are of */
    int32_t chips;

    /* at.% (n_elements); percent NULL: not quantified. sigma 68 %. limit is finite where the element was not
     * detected, and then stands in place of percent: an upper limit. sigma and limit may be NULL. */
    const double *percent, *sigma, *limit;

    int32_t square_row, square_col, square_n; /* chips; its largest square. n 0: none */
    const struct fly_spacing *spacing; /* what was found in the square; NULL: not looked for. Spots are circled where
                                        * it is crystalline, with their mirror images */
    const float *power; /* (power_px, power_px) as fly_spacing_robust or _paper fills it; NULL: none */
    int32_t power_px;
};

/* Of the paper's comparison: "La", "Fe", "O", "extraneous". Percents; margins 68 %, NaN where not known. */
struct fly_figure_difference {
    const char *name;
    double relative, relative_margin;   /* 100 (disordered - ordered) / ordered */
    double symmetric, symmetric_margin; /* 100 |difference| / mean */
};

struct fly_figures {
    const char *title; /* the sample or session; NULL: none */
    const char *note;  /* a smaller line: embedder, profile, chips; NULL: none */

    int32_t height_px, width_px; /* H, W, 1 .. 16384 where there is an image */
    const float *image;          /* NaN where not measured; NULL: none */
    double pixel_nm;             /* 0 or NaN: not known, lengths are in px */
    int32_t rows, cols;          /* R, C, 0 .. 16384; the grid lies within the image */
    int32_t side_px, pitch_px;   /* of chips, >= 1 where there is a grid */

    int32_t n_elements;          /* 0 .. FLY_ELEMENTS_MAX */
    const char *const *elements; /* (n) symbols */
    const double *percent;       /* (K, n) at.%, NaN where there is none; NULL: none */
    const char *no_eds;          /* why there are no percents, here and in figure 4: "no EDS"; NULL: "not made" */

    struct fly_figure_map maps[FLY_FIGURE_METHODS][FLY_MODALITIES];

    enum fly_figure_method regions_method; /* whose labels the regions are */
    enum fly_modality regions_modality;
    int32_t n_regions;
    const struct fly_figure_region *regions; /* in any order */
    const char *no_regions;                  /* why there are none; NULL: "no regions" */

    const char *ordered, *disordered; /* names of the two that are compared; NULL: nothing is */
    int32_t n_differences;
    const struct fly_figure_difference *differences;

    const float *crystallinity; /* (K) 0 .. 1, NaN where there is none; NULL: none */
    const char *no_lattice; /* why there is neither that nor power: "too little structure"; NULL: "not made" */

    const double (*ami)[FLY_FIGURE_PAIRS]; /* (methods, pairs); NaN: "-"; NULL: all "-" */
    const double (*ari)[FLY_FIGURE_PAIRS];
};

/* "figure2" .. "table1" */
const char *fly_figure_name(enum fly_figure figure);

/* Append one figure as PNG. FLY_ENOMEM. Sizes outside their ranges are asserted. */
FLY_MUST_USE int fly_figure_png(enum fly_figure figure, const struct fly_figures *input, struct fly_text *out);

/* DIR/figure2.png .. DIR/table1.png. FLY_ENOMEM; FLY_EIO names the file and what the system said. */
FLY_MUST_USE int fly_figures_write(const char *dir, const struct fly_figures *input);

#endif
