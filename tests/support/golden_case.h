/* tests/support/golden_case.h: a golden case's chips as 0..255 pictures, its truth and its supports.
 *
 * params.json is read with as much JSON as it has: numbers by key, and lists of lists of numbers.
 */
#ifndef FLY_TESTS_GOLDEN_CASE_H
#define FLY_TESTS_GOLDEN_CASE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/chip/prepare.h"
#include "tests/support/golden.h"
#include "tests/support/tensors.h"

enum { GOLDEN_CLASSES = 4, GOLDEN_SUPPORTS = 4 };

struct golden_case {
    int32_t side, rows, cols, chips;
    double lo, hi;
    double *pictures;  /* (chips, side, side), 0 .. 255 */
    int32_t *truth;    /* (chips), 0 STO, 1 LFO, 2 LFO disordered, 3 cap */
    int32_t classes;   /* with supports */
    int32_t support[GOLDEN_CLASSES][GOLDEN_SUPPORTS];
    int32_t supports[GOLDEN_CLASSES];
};

static inline double golden_number(const char *json, const char *key)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    at = strstr(json, quoted);
    if (!at)
        abort();
    return strtod(at + strlen(quoted), NULL);
}

static inline void golden_supports(struct golden_case *g, const char *json)
{
    const char *at = strstr(json, "\"support\":");
    int depth = 0;

    if (!at)
        abort();
    for (at = strchr(at, '['); at; ) {
        if (*at == '[') {
            depth++;
            at++;
        } else if (*at == ']') {
            g->classes += depth == 2;
            at++;
            if (--depth == 0)
                return;
        } else if (*at >= '0' && *at <= '9') {
            char *end;
            long value = strtol(at, &end, 10);

            if (g->classes >= GOLDEN_CLASSES || g->supports[g->classes] >= GOLDEN_SUPPORTS)
                abort();
            g->support[g->classes][g->supports[g->classes]++] = (int32_t)value;
            at = end;
        } else {
            at++;
        }
    }
    abort();
}

/* The case in `folder`, which is there. */
static inline struct golden_case golden_case_open(const char *folder)
{
    struct golden_case g = {0};
    struct golden haadf = golden_open(folder, "haadf"), truth = golden_open(folder, "truth_chip");
    char path[1024], *json;
    struct bytes file;

    snprintf(path, sizeof path, "%s/params.json", folder);
    file = bytes_of_file(path);
    json = calloc(1, file.len + 1);
    memcpy(json, file.at, file.len);
    g.side = (int32_t)golden_number(json, "chip");
    g.rows = (int32_t)golden_number(json, "rows");
    g.cols = (int32_t)golden_number(json, "cols");
    g.lo = golden_number(json, "lo");
    g.hi = golden_number(json, "hi");
    golden_supports(&g, json);
    g.chips = g.rows * g.cols;
    g.pictures = malloc((size_t)g.chips * (size_t)g.side * (size_t)g.side * sizeof *g.pictures);
    g.truth = malloc((size_t)g.chips * sizeof *g.truth);
    if (haadf.npy.type != FLY_NPY_U16 || truth.npy.type != FLY_NPY_I32 || truth.npy.items != g.chips)
        abort();
    memcpy(g.truth, truth.npy.data, (size_t)g.chips * sizeof *g.truth);
    for (int32_t k = 0; k < g.chips; k++)
        for (int32_t y = 0; y < g.side; y++)
            for (int32_t x = 0; x < g.side; x++) {
                int64_t row = (int64_t)(k / g.cols) * g.side + y, col = (int64_t)(k % g.cols) * g.side + x;
                uint16_t value;

                memcpy(&value, (const char *)haadf.npy.data + 2 * (row * haadf.npy.shape[1] + col), 2);
                g.pictures[((int64_t)k * g.side + y) * g.side + x] = value;
            }
    fly_map_intensity(g.pictures, g.pictures, (int64_t)g.chips * g.side * g.side, g.lo, g.hi);
    free(json);
    free(file.at);
    golden_close(&haadf);
    golden_close(&truth);
    return g;
}

static inline void golden_case_close(struct golden_case *g)
{
    free(g->pictures);
    free(g->truth);
}

/* (chips, px, px), the caller's to free */
static inline double *golden_case_resized(const struct golden_case *g, int32_t px)
{
    double *out = malloc((size_t)g->chips * (size_t)px * (size_t)px * sizeof *out);

    for (int32_t k = 0; k < g->chips; k++)
        fly_resize_bilinear(g->pictures + (size_t)k * (size_t)g->side * (size_t)g->side, g->side,
                            out + (size_t)k * (size_t)px * (size_t)px, px);
    return out;
}

#endif
