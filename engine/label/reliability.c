#include "engine/label/reliability.h"

#include <math.h>

#include "engine/base/err.h"
#include "engine/base/rng.h"

static const double weight_least = 0.2;

int32_t fly_reliability_sample(const uint8_t *speaks, int32_t n_chips, int32_t chips[FLY_RELIABILITY_CHIPS])
{
    int64_t all = 0, seen = 0, most;
    int32_t n = 0;

    for (int32_t k = 0; k < n_chips; k++)
        all += speaks[k] != 0;
    most = all < FLY_RELIABILITY_CHIPS ? all : FLY_RELIABILITY_CHIPS;
    for (int32_t k = 0; k < n_chips && n < most; k++)
        if (speaks[k]) {
            if (seen == n * all / most)
                chips[n++] = k;
            seen++;
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

static double dot(const float *x, const float *y, int32_t width)
{
    double sum = 0.0;

    for (int32_t i = 0; i < width; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static double cosine(const float *rows, const double *norm, int32_t i, int32_t j, int32_t width)
{
    if (norm[i] <= 0.0 || norm[j] <= 0.0)
        return 0.0;
    return dot(rows + (size_t)i * (size_t)width, rows + (size_t)j * (size_t)width, width) / (norm[i] * norm[j]);
}

double fly_reliability(const float *a, const float *b, int32_t n, int32_t width)
{
    double norm_a[FLY_RELIABILITY_CHIPS], norm_b[FLY_RELIABILITY_CHIPS];
    double mean_a = 0.0, mean_b = 0.0, aa = 0.0, bb = 0.0, ab = 0.0, pairs = 0.0, r;

    FLY_ASSERT(n >= 0 && n <= FLY_RELIABILITY_CHIPS);
    for (int32_t i = 0; i < n; i++) {
        norm_a[i] = sqrt(dot(a + (size_t)i * (size_t)width, a + (size_t)i * (size_t)width, width));
        norm_b[i] = sqrt(dot(b + (size_t)i * (size_t)width, b + (size_t)i * (size_t)width, width));
    }
    /* Running moments (Welford 1962): cosines may all lie close to 1. */
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++) {
            double x = cosine(a, norm_a, i, j, width), y = cosine(b, norm_b, i, j, width), dx = x - mean_a,
                   dy = y - mean_b;

            pairs++;
            mean_a += dx / pairs;
            mean_b += dy / pairs;
            aa += dx * (x - mean_a);
            bb += dy * (y - mean_b);
            ab += dx * (y - mean_b);
        }
    if (n < 3 || !(aa > 0.0) || !(bb > 0.0))
        return NAN;
    r = ab / sqrt(aa * bb);
    return r <= 0.0 ? 0.0 : fmin(2.0 * r / (1.0 + r), 1.0);
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
