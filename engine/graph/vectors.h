/* engine/graph/vectors.h: the feature vectors of one modality, and the cosines between them.
 *
 * A similarity is a function of its two vectors alone, to the bit, whatever was computed beside it:
 *
 *   counts   products are integers, exact in any order; the canonical cosine of counts that are not
 *            debiased rounds as the reference does (vectors_kinds.h)
 *   doubles  one written order of summation
 *   floats   where the processor has AVX-512 one fused sum from the first number to the last; elsewhere
 *            OpenBLAS in tiles of one shape. Its order of summation depends on the shape of a call, on some
 *            processors on the place within it, so open tries shapes and takes the smallest whose products
 *            are the same in every place and under exchange; where none is, plain loops serve.
 *
 * Beside that fast single precision there is the canonical similarity in double. |fast - canonical| is
 * at most fly_vectors_error, proved and not measured: whoever needs the side of an edge asks again where
 * a fast value lies that near.
 *
 * A zero vector has similarity 0 with everything. Cosines are cut to -1 .. 1. `debiased` counts:
 * x.y / sqrt((|x|^2 - sum x)(|y|^2 - sum y)), whose numerator and squares are free of the Poisson bias
 * (algorithms 8.4); it is not cut, and a chip below min_counts is kept out and told as too little.
 *
 * Shapes   vectors (K, D), copied at put.
 * Threads  one writes; similarities may be asked by several while nobody writes.
 */
#ifndef FLY_GRAPH_VECTORS_H
#define FLY_GRAPH_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"

struct fly_vectors;

enum fly_vectors_kind {
    FLY_VECTORS_F32,    /* embeddings */
    FLY_VECTORS_COUNTS, /* spectra, uint32 */
    FLY_VECTORS_F64,    /* compositions */
};

struct fly_vectors_config {
    enum fly_vectors_kind kind;
    int32_t n_chips;     /* K, 1 .. 65536 */
    int32_t width;       /* D, 1 .. 16384 */
    int64_t entries_max; /* counts: channels that are not zero, over all chips; 0: K * D */
    int debiased;        /* counts only */
    int64_t min_counts;  /* debiased: fewer photons are too little; see fly_vectors_counts_needed */
};

size_t fly_vectors_need(const struct fly_vectors_config *config);

/* FLY_ERANGE  a number outside its range (named) */
FLY_MUST_USE int fly_vectors_open(struct fly_vectors **out, const struct fly_vectors_config *config,
                                  struct fly_arena *arena);

const struct fly_vectors_config *fly_vectors_config(const struct fly_vectors *vectors);

/* Take or replace the vector of a chip, (D), lent for the call. Graphs learn of it by
 * fly_affinity_update, which is due before anything else is asked of them.
 *
 * FLY_ERANGE  a value that is not finite, or a sum of squared counts above 2^53: nothing changed
 * FLY_ENOMEM  entries_max is used up: nothing changed
 */
FLY_MUST_USE int fly_vectors_put_f32(struct fly_vectors *vectors, int32_t chip, const float *x);
FLY_MUST_USE int fly_vectors_put_counts(struct fly_vectors *vectors, int32_t chip, const uint32_t *x);
FLY_MUST_USE int fly_vectors_put_f64(struct fly_vectors *vectors, int32_t chip, const double *x);
void fly_vectors_drop(struct fly_vectors *vectors, int32_t chip);

/* 1: the chip has a vector, and enough counts. too_little: it has one, with too few counts. */
int fly_vectors_usable(const struct fly_vectors *vectors, int32_t chip);
int fly_vectors_too_little(const struct fly_vectors *vectors, int32_t chip);

/* Counts below which a debiased cosine is noise: 3 / sum p^2, with sum p^2 estimated without bias from
 * coincidences within chips (algorithms 8.4). 0 before there is one. */
double fly_vectors_counts_needed(const struct fly_vectors *vectors);

/* The canonical similarity of two chips that have vectors. */
double fly_vectors_similarity(const struct fly_vectors *vectors, int32_t i, int32_t j);

/* Mean of the canonical similarity over all pairs of the chips whose byte in `members` (K) is not 0,
 * by |sum of unit vectors|^2: O(K * D). 0 for fewer than two. scratch: (D). */
double fly_vectors_mean(const struct fly_vectors *vectors, const uint8_t *members, double *scratch);

/* sums (K) += weight times the sum of the similarities of each member with all others; scratch: (D). */
void fly_vectors_sums(const struct fly_vectors *vectors, const uint8_t *members, double weight, double *sums,
                      double *scratch);

/* No fast similarity is further from the canonical one. */
double fly_vectors_error(const struct fly_vectors *vectors);

/* Fast similarities of a block of chips with all, row by row. Tiles are columns [t * width, ...). */
enum { FLY_BLOCK_MAX = 64, FLY_TILE_MAX = 1024 };

int32_t fly_tile_width(int32_t n_chips);
int32_t fly_tile_count(int32_t n_chips);

/* Announce the next block, 1 .. FLY_BLOCK_MAX chips; then fill tiles, in any order, on any thread. A row
 * has fly_tile_width * fly_tile_count floats; rows and columns of chips without a vector are anything
 * finite. Rows stand until the next block. */
void fly_vectors_block(struct fly_vectors *vectors, const int32_t *chips, int32_t count);
void fly_vectors_fill(struct fly_vectors *vectors, int32_t tile);
const float *fly_vectors_row(const struct fly_vectors *vectors, int32_t at);

/* Rows that are multiplied together, 1 with AVX-512; 0: plain loops serve. For tests and benches. */
int32_t fly_vectors_granule(const struct fly_vectors *vectors);
void fly_vectors_use_plain_loops(struct fly_vectors *vectors);

#endif
