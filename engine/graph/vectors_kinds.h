/* engine/graph/vectors_kinds.h: what the three kinds of vectors share (vectors.h is their face).
 *
 * A value counts `lanes` of padding with zeros where its loops want them. Every kind keeps for each chip
 * the square of its vector (debiased, where asked) and the float of one over its length.
 */
#ifndef FLY_GRAPH_VECTORS_KINDS_H
#define FLY_GRAPH_VECTORS_KINDS_H

#include "engine/graph/vectors.h"

enum {
    FLY_WIDTH_MAX     = 16384,
    FLY_PAGE_ENTRIES  = 32,
    FLY_GROUP         = 32, /* rows of counts go side by side in multiples of this */
    FLY_ENTRY_COUNT   = 18, /* bits of an entry that hold its count; the channel is above them */
    FLY_ENTRY_MAX     = (1 << FLY_ENTRY_COUNT) - 1,
};

struct fly_vectors {
    struct fly_vectors_config config;
    int32_t tile;
    int32_t tiles;
    size_t ld;       /* tile * tiles */
    size_t padded;   /* f32: D rounded up to 64 */
    int32_t granule;
    int wide;        /* f32: vectors_f32_wide.c serves */
    int32_t reach;   /* f32: chips from here on never came */
    double *square;  /* (K) 0: a zero vector */
    float *inverse;  /* (ld) 1 / sqrt(square), 0 for 0 */
    uint8_t *there;  /* (K) has a vector */
    float *rows;     /* (FLY_BLOCK_MAX, ld) */
    int32_t block[FLY_BLOCK_MAX];
    int32_t block_count;

    float *x;        /* f32: (ld, padded), each row times a power of two that brings it near length 1 */
    float *block_x;  /* f32: (FLY_BLOCK_MAX, padded); wide: (padded, FLY_BLOCK_MAX) */

    double *columns; /* f64: (D, ld), scaled as x is */

    uint64_t *total;   /* counts: (K) photons */
    uint64_t *raw;     /* counts: (K) sum of squared counts */
    uint32_t *entries; /* counts: (pages, FLY_PAGE_ENTRIES) channel << FLY_ENTRY_COUNT | count; 0: none */
    uint32_t *next;    /* counts: (pages) the page after, 0: none. Page 0 is nobody's. */
    uint32_t *first;   /* counts: (ld) a chip's first page */
    uint32_t pages;
    uint32_t free;     /* head of the chain of free pages */
    uint32_t free_count;
    void *dense;       /* counts: (D, abreast) bytes where sums are made in 16 bits, else numbers of the
                          type of the sums; the rows of the block side by side */
    int32_t abreast;
    uint64_t most;     /* counts: the largest of raw */
    enum fly_sums_in { FLY_SUMS_U16, FLY_SUMS_F32, FLY_SUMS_F64 } sums_in;
};

size_t fly_f32_need(const struct fly_vectors_config *config);
void fly_f32_open(struct fly_vectors *vectors, struct fly_arena *arena);
void fly_f32_put(struct fly_vectors *vectors, int32_t chip, const float *x);
double fly_f32_dot(const struct fly_vectors *vectors, int32_t i, int32_t j);
void fly_f32_block(struct fly_vectors *vectors);
void fly_f32_fill(struct fly_vectors *vectors, int32_t tile);
void fly_f32_block_wide(struct fly_vectors *vectors);
void fly_f32_fill_wide(struct fly_vectors *vectors, int32_t tile);

size_t fly_f64_need(const struct fly_vectors_config *config);
void fly_f64_open(struct fly_vectors *vectors, struct fly_arena *arena);
void fly_f64_put(struct fly_vectors *vectors, int32_t chip, const double *x);
double fly_f64_dot(const struct fly_vectors *vectors, int32_t i, int32_t j);
void fly_f64_fill(struct fly_vectors *vectors, int32_t tile);

size_t fly_counts_need(const struct fly_vectors_config *config);
void fly_counts_open(struct fly_vectors *vectors, struct fly_arena *arena);
FLY_MUST_USE int fly_counts_put(struct fly_vectors *vectors, int32_t chip, const uint32_t *x);
void fly_counts_drop(struct fly_vectors *vectors, int32_t chip);

/* The cosine as numpy has it: products of unit vectors, fused in the order of channels, in the stretches
 * that OpenBLAS's dsyrk cuts for AVX-512. Few photons make cosines that are k/100 exactly, thousands of
 * pairs of them, and there rounding decides on the bin of p100; golden has numpy's (only in the last of an
 * odd number of chips, which that library sums otherwise, not this one). */
double fly_counts_cosine(const struct fly_vectors *vectors, int32_t i, int32_t j);
double fly_counts_dot(const struct fly_vectors *vectors, int32_t i, int32_t j);
void fly_counts_block(struct fly_vectors *vectors);

/* vectors_meet.c: the block's products with one chip's photons, `abreast` of them. */
void fly_counts_meet(const struct fly_vectors *vectors, uint32_t first, double *sums);
void fly_counts_fill(struct fly_vectors *vectors, int32_t tile);

/* sum[d] += x[d] * scale, and the dot of a vector with a (D) array of doubles, over all kinds. */
void fly_counts_add(const struct fly_vectors *vectors, int32_t chip, double scale, double *sum);
double fly_counts_with(const struct fly_vectors *vectors, int32_t chip, const double *y);

#endif
