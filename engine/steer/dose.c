/* Numbers made of dose, by whoever it was counted (ledger.h). */
#include <math.h>

#include "engine/steer/ledger.h"

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
