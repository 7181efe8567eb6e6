/* Numbers made of dose, by whoever it was counted (ledger.h). */
#include <math.h>

#include "engine/steer/ledger.h"

#define ELECTRON_C 1.602176634e-19
#define A2_PER_NM2 100.0

double fly_dose_factor(double beam_current_na, const double pixel_nm[2])
{
    double electrons_per_us = beam_current_na * 1e-9 * 1e-6 / ELECTRON_C;

    if (!(beam_current_na > 0.0) || !(pixel_nm[0] > 0.0) || !(pixel_nm[1] > 0.0))
        return NAN;
    return electrons_per_us / (pixel_nm[0] * pixel_nm[1] * A2_PER_NM2);
}

static void swap(float *a, float *b)
{
    float kept = *a;

    *a = *b;
    *b = kept;
}

/* Heapsort: in place, without a worst case. */
static void sink(float *heap, int32_t at, int32_t n)
{
    for (int32_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (heap[at] >= heap[child])
            return;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

static void sort(float *values, int32_t n)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sink(values, i, n);
    for (int32_t end = n - 1; end > 0; end--) {
        swap(&values[0], &values[end]);
        sink(values, 0, end);
    }
}

double fly_dose_gini(float *values, int32_t n)
{
    double sum = 0.0, ranked = 0.0;

    sort(values, n);
    for (int32_t i = 0; i < n; i++) {
        sum += (double)values[i];
        ranked += (2.0 * (i + 1) - n - 1.0) * (double)values[i];
    }
    return sum > 0.0 ? ranked / (n * sum) : NAN;
}
