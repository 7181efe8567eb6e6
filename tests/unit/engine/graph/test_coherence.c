#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/graph/coherence.h"

static double same_beside(const int32_t *labels, int32_t rows, int32_t cols)
{
    double same = 0.0;

    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < cols; c++) {
            int32_t k = r * cols + c;

            if (labels[k] < 0)
                continue;
            same += c + 1 < cols && labels[k + 1] == labels[k];
            same += r + 1 < rows && labels[k + cols] == labels[k];
        }
    return same;
}

/* Mean and deviation are those of labels dealt anew: by dealing them 20 000 times. */
static void it_is_the_deviation_from_dealt_labels(void **state)
{
    enum { ROWS = 5, COLS = 6, N = ROWS * COLS, DEALS = 20000 };
    struct fly_rng rng = {4};

    (void)state;
    for (int scene = 0; scene < 4; scene++) {
        int32_t labels[N], dealt[N], scratch[N], where[N], n = 0;
        double sum = 0.0, squares = 0.0, mean, sd, z;

        for (int32_t k = 0; k < N; k++) {
            labels[k] = scene == 0 ? k / COLS : scene == 1 ? (k % COLS + k / COLS) % 2 : (int32_t)fly_rng_below(&rng, 3);
            if (scene == 3 && k % 4 == 1)
                labels[k] = -1;
            if (labels[k] >= 0)
                where[n++] = k;
        }
        memcpy(dealt, labels, sizeof dealt);
        for (int t = 0; t < DEALS; t++) {
            double same;

            for (int32_t i = n - 1; i > 0; i--) {
                int32_t j = (int32_t)fly_rng_below(&rng, (uint64_t)i + 1), was = dealt[where[i]];

                dealt[where[i]] = dealt[where[j]];
                dealt[where[j]] = was;
            }
            same = same_beside(dealt, ROWS, COLS);
            sum += same;
            squares += same * same;
        }
        mean = sum / DEALS;
        sd = sqrt(squares / DEALS - mean * mean);
        z = (same_beside(labels, ROWS, COLS) - mean) / sd;
        assert_true(fabs(fly_coherence(labels, ROWS, COLS, scratch) - z) < 0.05 + 0.02 * fabs(z));
    }
}

static void phases_are_coherent_and_noise_is_not(void **state)
{
    enum { SIDE = 24, N = SIDE * SIDE };
    int32_t labels[N], scratch[N];
    struct fly_rng rng = {9};
    double most = 0.0;

    (void)state;
    for (int32_t k = 0; k < N; k++)
        labels[k] = k / SIDE < 8 ? 0 : k % SIDE < 12 ? 1 : 2;
    assert_true(fly_coherence(labels, SIDE, SIDE, scratch) > 20.0);
    for (int32_t k = 0; k < N; k++)
        labels[k] = (k / SIDE + k % SIDE) % 2;
    assert_true(fly_coherence(labels, SIDE, SIDE, scratch) < -20.0);
    for (int t = 0; t < 300; t++) {
        for (int32_t k = 0; k < N; k++)
            labels[k] = (int32_t)fly_rng_below(&rng, 4);
        most = fmax(most, fabs(fly_coherence(labels, SIDE, SIDE, scratch)));
    }
    assert_true(most > 1.5 && most < FLY_COHERENT);
}

static void where_chance_has_no_room_it_is_0(void **state)
{
    int32_t alike[6] = {3, 3, 3, 3, 3, 3}, different[6] = {0, 1, 2, 3, 4, 5}, none[6] = {-1, -1, -1, -1, -1, -1};
    int32_t apart[6] = {0, -1, 0, -1, 1, -1}, scratch[6];

    (void)state;
    assert_true(fly_coherence(alike, 2, 3, scratch) == 0.0);
    assert_true(fly_coherence(different, 2, 3, scratch) == 0.0);
    assert_true(fly_coherence(none, 2, 3, scratch) == 0.0);
    assert_true(fly_coherence(apart, 2, 3, scratch) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_deviation_from_dealt_labels),
        cmocka_unit_test(phases_are_coherent_and_noise_is_not),
        cmocka_unit_test(where_chance_has_no_room_it_is_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
