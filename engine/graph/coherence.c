#include "engine/graph/coherence.h"

#include <math.h>
#include <string.h>

/* Pairs beside each other that count, those with one label, and pairs of such pairs with a chip in common. */
struct joins {
    double all, same, touching;
};

static void join(const int32_t *labels, int32_t a, int32_t b, struct joins *joins, int *beside)
{
    if (labels[b] < 0)
        return;
    ++*beside;
    if (a < b) { /* each pair once */
        joins->all += 1.0;
        joins->same += labels[a] == labels[b];
    }
}

static struct joins count_joins(const int32_t *labels, int32_t rows, int32_t cols)
{
    struct joins joins = {0};

    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < cols; c++) {
            int32_t k = r * cols + c;
            int beside = 0;

            if (labels[k] < 0)
                continue;
            if (c > 0)
                join(labels, k, k - 1, &joins, &beside);
            if (c + 1 < cols)
                join(labels, k, k + 1, &joins, &beside);
            if (r > 0)
                join(labels, k, k - cols, &joins, &beside);
            if (r + 1 < rows)
                join(labels, k, k + cols, &joins, &beside);
            joins.touching += 0.5 * beside * (beside - 1);
        }
    return joins;
}

double fly_coherence(const int32_t *labels, int32_t rows, int32_t cols, int32_t *chips)
{
    struct joins joins = count_joins(labels, rows, cols);
    double n = 0.0, two = 0.0, two_squared = 0.0, three = 0.0, four = 0.0, mean, square, variance;
    int32_t count = rows * cols;

    memset(chips, 0, (size_t)count * sizeof *chips);
    for (int32_t k = 0; k < count; k++)
        if (labels[k] >= 0)
            chips[labels[k]]++;
    for (int32_t id = 0; id < count; id++) { /* falling factorials of the label's chips */
        double m = chips[id], pairs = m * (m - 1.0);

        n += m;
        two += pairs;
        two_squared += pairs * pairs;
        three += pairs * (m - 2.0);
        four += pairs * (m - 2.0) * (m - 3.0);
    }
    if (n < 4.0 || joins.all == 0.0)
        return 0.0;
    mean = joins.all * two / (n * (n - 1.0));
    /* Two pairs are both of one label: with a chip in common when all three chips have it, else when all four
     * have one or each two have their own. */
    square = mean + 2.0 * joins.touching * three / (n * (n - 1.0) * (n - 2.0)) +
             (joins.all * (joins.all - 1.0) - 2.0 * joins.touching) * (four + two * two - two_squared) /
                 (n * (n - 1.0) * (n - 2.0) * (n - 3.0));
    variance = square - mean * mean;
    return variance > 1e-9 * (1.0 + square) ? (joins.same - mean) / sqrt(variance) : 0.0;
}
