#include "engine/label/reliability.h"

#include <math.h>

#include "engine/base/err.h"
#include "engine/base/rng.h"

static const double weight_least = 0.2;

int32_t fly_reliability_sample(int32_t n_chips, int32_t chips[FLY_RELIABILITY_CHIPS])
{
    int32_t n = n_chips < FLY_RELIABILITY_CHIPS ? n_chips : FLY_RELIABILITY_CHIPS;

    for (int64_t i = 0; i < n; i++) {
        int64_t from = i * n_chips / n, to = (i + 1) * n_chips / n;
        uint32_t place = (uint32_t)i * UINT32_C(2654435769); /* 2^32 / golden section: its multiples modulo 1 */

        chips[i] = (int32_t)(from + (int64_t)((uint64_t)place * (uint64_t)(to - from) >> 32));
    }
    return n;
}

void fly_thin_half(const uint32_t *counts, int32_t n_channels, uint64_t seed, int32_t chip, uint32_t *half)
{
    struct fly_rng rng = {fly_rng_at(seed ^ fly_rng_at((uint64_t)chip))};

    for (int32_t ch = 0; ch < n_channels; ch++) {
        uint32_t left = counts[ch], heads = 0;

        /* The ones among as many random bits as there are photons are binomial exactly. */
        for (; left >= 64; left -= 64)
            heads += (uint32_t)__builtin_popcountll(fly_rng_next(&rng));
        if (left)
            heads += (uint32_t)__builtin_popcountll(fly_rng_next(&rng) >> (64 - left));
        half[ch] = heads;
    }
}

/* Products of row i with those up to it: dots (i + 1). Most channels of a half's spectrum are empty, and skipped. */
static void dots_of(const float *rows, int32_t i, int32_t width, double *dots)
{
    enum { BLOCK = 512 };
    const float *x = rows + (size_t)i * (size_t)width;
    int32_t full[BLOCK];

    for (int32_t j = 0; j <= i; j++)
        dots[j] = 0.0;
    for (int32_t from = 0; from < width; from += BLOCK) {
        int32_t to = from + BLOCK < width ? from + BLOCK : width, n = 0;

        for (int32_t d = from; d < to; d++)
            if (x[d] != 0.0f)
                full[n++] = d;
        for (int32_t j = 0; n && j <= i; j++) {
            const float *y = rows + (size_t)j * (size_t)width;
            double even = 0.0, odd = 0.0; /* two sums keep the adder busy */
            int32_t k = 0;

            for (; k + 2 <= n; k += 2) {
                even += (double)x[full[k]] * (double)y[full[k]];
                odd += (double)x[full[k + 1]] * (double)y[full[k + 1]];
            }
            if (k < n)
                even += (double)x[full[k]] * (double)y[full[k]];
            dots[j] += even + odd;
        }
    }
}

/* Cosines of row i with those before it (i); norm (i) of those, norm[i] is filled. */
static void cosines_of(const float *rows, int32_t i, int32_t width, int counts, double *norm, double *cosine)
{
    double bias = 0.0;

    dots_of(rows, i, width, cosine);
    for (int32_t d = 0; counts && d < width; d++)
        bias += (double)rows[(size_t)i * (size_t)width + (size_t)d];
    norm[i] = sqrt(fmax(cosine[i] - bias, 0.0));
    for (int32_t j = 0; j < i; j++)
        cosine[j] = norm[i] > 0.0 && norm[j] > 0.0 ? cosine[j] / (norm[i] * norm[j]) : 0.0;
}

static double reliability(const float *a, const float *b, int32_t n, int32_t width, int counts)
{
    double norm_a[FLY_RELIABILITY_CHIPS], norm_b[FLY_RELIABILITY_CHIPS];
    double of_a[FLY_RELIABILITY_CHIPS], of_b[FLY_RELIABILITY_CHIPS];
    double mean_a = 0.0, mean_b = 0.0, aa = 0.0, bb = 0.0, ab = 0.0, pairs = 0.0, r;

    FLY_ASSERT(n >= 0 && n <= FLY_RELIABILITY_CHIPS);
    /* Running moments (Welford 1962): cosines may all lie close to 1. */
    for (int32_t i = 0; i < n; i++) {
        cosines_of(a, i, width, counts, norm_a, of_a);
        cosines_of(b, i, width, counts, norm_b, of_b);
        for (int32_t j = 0; j < i; j++) {
            double dx = of_a[j] - mean_a, dy = of_b[j] - mean_b;

            pairs++;
            mean_a += dx / pairs;
            mean_b += dy / pairs;
            aa += dx * (of_a[j] - mean_a);
            bb += dy * (of_b[j] - mean_b);
            ab += dx * (of_b[j] - mean_b);
        }
    }
    if (n < 3 || !(aa > 0.0) || !(bb > 0.0))
        return NAN;
    r = ab / sqrt(aa * bb);
    return r <= 0.0 ? 0.0 : fmin(2.0 * r / (1.0 + r), 1.0);
}

double fly_reliability(const float *a, const float *b, int32_t n, int32_t width)
{
    return reliability(a, b, n, width, 0);
}

double fly_reliability_of_counts(const float *a, const float *b, int32_t n, int32_t width)
{
    return reliability(a, b, n, width, 1);
}

double fly_halves_noise(const float *a, const float *b, int32_t n, int32_t width)
{
    double sum = 0.0;

    for (size_t i = 0; i < (size_t)n * (size_t)width; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return n < 1 ? NAN : sum / (4.0 * n);
}

int fly_reliability_weights(const double reliability[2], double weight[2])
{
    /* signal_m / (signal_0 + signal_1) with signal = r / (1 - r), multiplied out: r may be 0 or 1. */
    double x = reliability[0] * (1.0 - reliability[1]), y = reliability[1] * (1.0 - reliability[0]);

    weight[0] = weight[1] = 0.5;
    if (isnan(x) || isnan(y) || !(x + y > 0.0))
        return 0;
    weight[0] = fmin(fmax(x / (x + y), weight_least), 1.0 - weight_least);
    weight[1] = 1.0 - weight[0];
    return 1;
}
