#include "engine/base/calibration_metrics.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/err.h"

struct scored {
    double score;
    int32_t at;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;

    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Ascending, ties by index; NULL: no memory. */
static struct scored *sorted(const double *score, int32_t n)
{
    struct scored *s = malloc((size_t)n * sizeof *s);

    for (int32_t i = 0; s && i < n; i++)
        s[i] = (struct scored){score[i], i};
    if (s)
        qsort(s, (size_t)n, sizeof *s, by_score);
    return s;
}

double fly_calibration_ece(const double *confidence, const uint8_t *right, int32_t n, int32_t bins)
{
    struct scored *s;
    double sum = 0.0;
    int32_t at = 0;

    FLY_ASSERT(bins >= 1);
    if (n < 1 || !(s = sorted(confidence, n)))
        return NAN;
    for (int32_t b = 0; b < bins; b++) {
        int32_t end = at + n / bins + (b < n % bins);
        double gap = 0.0;

        for (; at < end; at++)
            gap += s[at].score - right[s[at].at];
        sum += fabs(gap);
    }
    free(s);
    return sum / n;
}

double fly_calibration_nll(const double *p, const int32_t *truth, int32_t n, int32_t n_classes)
{
    double sum = 0.0;

    for (int32_t i = 0; i < n; i++) {
        double q = p[(size_t)i * (size_t)n_classes + (size_t)truth[i]];

        sum -= log(q < 0x1p-52 ? 0x1p-52 : q > 1.0 ? 1.0 : q);
    }
    return n < 1 ? NAN : sum / n;
}

double fly_calibration_brier(const double *p, const int32_t *truth, int32_t n, int32_t n_classes)
{
    double sum = 0.0;

    for (int32_t i = 0; i < n; i++)
        for (int32_t c = 0; c < n_classes; c++) {
            double off = p[(size_t)i * (size_t)n_classes + (size_t)c] - (c == truth[i]);

            sum += off * off;
        }
    return n < 1 ? NAN : sum / n;
}

/* Mann and Whitney's U from the ranks of the positives; things of one score share the mean of their ranks. */
double fly_calibration_auroc(const double *score, const uint8_t *positive, int32_t n)
{
    struct scored *s;
    double ranks = 0.0, positives = 0.0;

    if (n < 1 || !(s = sorted(score, n)))
        return NAN;
    for (int32_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && s[end].score == s[i].score; end++)
            ;
        for (int32_t j = i; j < end; j++)
            if (positive[s[j].at]) {
                ranks += 0.5 * ((double)i + 1.0 + (double)end);
                positives++;
            }
    }
    free(s);
    if (positives == 0.0 || positives == n)
        return NAN;
    return (ranks - 0.5 * positives * (positives + 1.0)) / (positives * (n - positives));
}

double fly_calibration_macro_f1(const int32_t *truth, const int32_t *guess, int32_t n, int32_t n_classes)
{
    double sum = 0.0;
    int32_t occurring = 0;

    for (int32_t c = 0; c < n_classes; c++) {
        int64_t both = 0, either = 0;

        for (int32_t i = 0; i < n; i++) {
            both += truth[i] == c && guess[i] == c;
            either += (truth[i] == c) + (guess[i] == c);
        }
        occurring += either > 0;
        sum += either ? 2.0 * (double)both / (double)either : 0.0;
    }
    return occurring ? sum / occurring : NAN;
}
