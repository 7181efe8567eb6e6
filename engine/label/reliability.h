/* engine/label/reliability.h: how well a modality repeats itself, without a label.
 *
 * Two independent halves of the same data have the same signal and different noise. The correlation r of their
 * similarities, over pairs of a sample of chips, tells how much of a similarity's variance repeats; Spearman and
 * Brown's formula (1910) tells it of the whole data, 2 r / (1 + r). A modality's weight is its signal over its
 * noise, reliability / (1 - reliability), normalised, held to 0.2 .. 0.8: no modality is silenced by a number that
 * knows nothing of what its signal means. That both agree with each other is no evidence of either.
 *
 * Halves of photons need no second frame: of every photon a coin decides to which half it goes. Halves of a Poisson
 * number thinned so are independent Poisson numbers (Kingman 1993), so a spectrum once summed will do. Pixels of
 * an image detector are no counts; their halves are the means of odd and of even frames, embedded both. The
 * caller keeps those sums for the sampled chips alone; with one frame there are no halves, and no weight.
 *
 * Bytes    of a sample of 64 chips: shares 2 x 64 x B floats (131 kB at B = 256); odd and even pixels 2 x 64 x S^2
 *          floats, embeddings 2 x 64 x D.
 * Threads  pure functions.
 */
#ifndef FLY_LABEL_RELIABILITY_H
#define FLY_LABEL_RELIABILITY_H

#include <stdint.h>

/* 2016 pairs: a reliability is known to a tenth where half of it is noise, to a hundredth near 1. */
enum { FLY_RELIABILITY_CHIPS = 64 };

/* The chips sampled of K: all, or FLY_RELIABILITY_CHIPS, one of as many runs of equal length, each at another place of
 * its run (multiples of the golden section): at the same one a sample would keep to few columns of a grid. Ascending;
 * returns how many. */
int32_t fly_reliability_sample(int32_t n_chips, int32_t chips[FLY_RELIABILITY_CHIPS]);

/* Photons of counts (E) by the toss of a coin: half gets those of heads, the rest is counts - half. The same for the
 * same seed and chip. half may be counts. */
void fly_thin_half(const uint32_t *counts, int32_t n_channels, uint64_t seed, int32_t chip, uint32_t *half);

/* Reliability 0 .. 1 of the whole from halves (n, D) of the same n chips: Pearson's r of the pairs' cosines, after
 * Spearman and Brown; r below 0 gives 0. NaN: fewer than 3 chips, or a half whose cosines are all alike. A row of
 * zeros has cosine 0. Time n^2 times the numbers of a row that are not 0. */
double fly_reliability(const float *a, const float *b, int32_t n, int32_t width);

/* The same of Poisson counts, with cosines x.y / sqrt((|x|^2 - sum x)(|y|^2 - sum y)), which hang on their numbers in
 * noise alone (engine/graph/vectors.h). A row whose squares do not exceed its sum has cosine 0. */
double fly_reliability_of_counts(const float *a, const float *b, int32_t n, int32_t width);

/* Expected squared distance of the whole's vector from its true value (the noise of calibrate.h) from halves: mean of
 * |a - b|^2 / 4. NaN without a chip. Right for a feature that averages; of an embedding, which bends, about. */
double fly_halves_noise(const float *a, const float *b, int32_t n, int32_t width);

/* Weights of two modalities from their reliabilities; a NaN gives equal ones. Returns 1 when they were used. */
int fly_reliability_weights(const double reliability[2], double weight[2]);

#endif
