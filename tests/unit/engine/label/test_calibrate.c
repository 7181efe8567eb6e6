#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/label/calibrate.h"

enum { CHIPS = 120, WIDTH = 9, CLASSES = 4 };

/* A support set, features with noise, and what is made of them. */
struct scene {
    struct fly_arena arena;
    struct fly_support support;
    struct fly_left_out left;
    struct fly_prototypes prototypes;
    struct fly_calibration cal;
    double x[CHIPS * WIDTH], noise[CHIPS];
    uint8_t measured[CHIPS];
    struct fly_features features;
    int has_noise;
};

static void scene_open(struct scene *s)
{
    memset(s, 0, sizeof *s);
    assert_int_equal(fly_arena_init(&s->arena, fly_support_need(CHIPS) + fly_left_out_need() +
                                                   fly_prototypes_need(WIDTH) + fly_calibration_need(), NULL, "test"),
                     FLY_OK);
    fly_support_init(&s->support, CHIPS, &s->arena);
    fly_left_out_init(&s->left, &s->arena);
    fly_prototypes_init(&s->prototypes, WIDTH, &s->arena);
    fly_calibration_init(&s->cal, &s->arena);
    memset(s->measured, 1, sizeof s->measured);
    s->features = (struct fly_features){s->x, WIDTH, FLY_FEATURE_F64};
}

static void support_add(struct scene *s, int32_t class_of, int32_t chip)
{
    char name[2] = {(char)('a' + class_of), 0};
    int32_t id;

    assert_int_equal(fly_support_add(&s->support, name, &chip, chip >= 0, &id), FLY_OK);
    assert_int_equal(id, class_of);
}

static void make(struct scene *s)
{
    struct fly_tau_prior prior = {0.25, 2.0};

    fly_left_out_pick(&s->left, &s->support);
    fly_prototypes_make(&s->prototypes, &s->support, &s->features, s->measured);
    fly_calibrate(&s->cal, &prior, &s->prototypes, &s->support, &s->features, s->has_noise ? s->noise : NULL,
                  s->measured, &s->left);
}

static void ask(const struct scene *s, int32_t chip, double *ratio, double *score)
{
    double d[FLY_CLASSES_MAX];

    fly_fewshot_distances(&s->prototypes, &s->features, chip, d);
    fly_calibrated_ratios(&s->cal, d, s->has_noise ? s->noise[chip] : 0.0, ratio);
    fly_calibrated_scores(&s->cal, ratio, score);
}

/* Chip k is of class k % CLASSES, about a mean of its class. */
static void fill(struct scene *s, uint64_t seed, double apart, double noise)
{
    struct fly_rng rng = {seed};

    s->has_noise = noise > 0.0;
    for (int32_t k = 0; k < CHIPS; k++) {
        double width = noise * (0.2 + fly_rng_uniform(&rng));

        s->noise[k] = width * width * WIDTH;
        for (int32_t i = 0; i < WIDTH; i++) {
            struct fly_rng mean = {(uint64_t)(k % CLASSES * WIDTH + i)};

            s->x[k * WIDTH + i] = apart * fly_rng_normal(&mean) + 0.5 * fly_rng_normal(&rng) +
                                  width * fly_rng_normal(&rng);
        }
    }
}

/* Of class c, shots[c] chips. */
static void support_fill(struct scene *s, const int32_t shots[CLASSES])
{
    for (int32_t c = 0; c < CLASSES; c++)
        for (int32_t i = 0; i < shots[c]; i++)
            support_add(s, c, i * CLASSES + c);
}

static void near(double got, double want, double within)
{
    assert_true(fabs(got - want) <= within * (1.0 + fabs(want)));
}

/* Two classes on a line at 0, 2 and 10, 14, each chip with noise 0.5. Squares within: 2 and 8, less half of the noise
 * of two chips each: 1.5, 7.5. All of them about 6.5: 131 / 3 less 0.5, a fiftieth of it for one degree of freedom. A
 * class's own scatter has one degree of freedom beside four of the pooled one. */
static void two_pairs_on_a_line(void **state)
{
    static const double at[5] = {0.0, 2.0, 10.0, 14.0, 5.0};
    struct scene s;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], pooled, scatter[2], doubt[2];

    (void)state;
    scene_open(&s);
    s.has_noise = 1;
    for (int k = 0; k < 5; k++) {
        s.x[k * WIDTH] = at[k];
        s.noise[k] = 0.5;
    }
    for (int32_t k = 0; k < 4; k++)
        support_add(&s, k / 2, k);
    make(&s);
    pooled = (1.5 + 7.5 + 0.02 * (131.0 / 3.0 - 0.5)) / 3.0;
    near(s.cal.scatter, pooled, 1e-13);
    for (int c = 0; c < 2; c++) {
        scatter[c] = ((c ? 7.5 : 1.5) + 4.0 * pooled) / 5.0;
        doubt[c] = (scatter[c] + 0.5) / 2.0;
        near(s.cal.class_scatter[c], scatter[c], 1e-13);
        near(s.cal.doubt[c], doubt[c], 1e-13);
    }
    assert_int_equal(s.cal.state, FLY_CALIBRATION_FITTED);
    assert_int_equal(s.cal.left_out, 4);
    assert_int_equal(s.cal.mistaken, 0);
    ask(&s, 4, ratio, score);
    near(ratio[0], (16.0 - doubt[0]) / (scatter[0] + 0.5), 1e-13);
    near(ratio[1], (49.0 - doubt[1]) / (scatter[1] + 0.5), 1e-13);
    near(score[0], 1.0 / (1.0 + pow((1.0 + ratio[0]) / (1.0 + ratio[1]), 1.0 / s.cal.tau)), 1e-13);
    /* On top of its prototype less than the doubt away: the least ratio there is. */
    s.x[4 * WIDTH] = 1.0;
    ask(&s, 4, ratio, score);
    assert_true(ratio[0] == 0.05);
    fly_arena_fini(&s.arena);
}

/* Leaving out by algebra equals a support set without the chip, in every class size that allows it. */
static void leaving_out_equals_making_anew(void **state)
{
    static const int32_t shots[][CLASSES] = {{4, 4, 4, 4}, {2, 3, 1, 7}, {2, 2, 0, 0}, {5, 0, 0, 0}, {20, 3, 2, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof shots / sizeof *shots; i++)
        for (int noisy = 0; noisy < 2; noisy++) {
            struct scene s;
            struct fly_calibration without = {0};
            int32_t could = 0;

            scene_open(&s);
            fill(&s, 10 + i, 1.0, noisy ? 0.7 : 0.0);
            support_fill(&s, shots[i]);
            make(&s);
            without.ratio = malloc(sizeof(double) * FLY_LEFT_OUT_MAX * FLY_CLASSES_MAX);
            for (int32_t j = 0; j < s.left.n; j++) {
                struct fly_tau_prior prior = {0.25, 2.0};
                double d[FLY_CLASSES_MAX], ratio[FLY_CLASSES_MAX];
                const double *told = s.cal.ratio + (size_t)j * FLY_CLASSES_MAX;
                int32_t k = s.left.chip[j], c = s.left.class_of[j], n = s.support.n_classes;

                if (shots[i][c] < 2) {
                    assert_true(isnan(told[c]));
                    continue;
                }
                could++;
                s.measured[k] = 0;
                fly_prototypes_make(&s.prototypes, &s.support, &s.features, s.measured);
                fly_calibrate(&without, &prior, &s.prototypes, &s.support, &s.features, noisy ? s.noise : NULL,
                              s.measured, &s.left);
                s.measured[k] = 1;
                fly_fewshot_distances(&s.prototypes, &s.features, k, d);
                fly_calibrated_ratios(&without, d, noisy ? s.noise[k] : 0.0, ratio);
                for (int32_t e = 0; e < n; e++)
                    if (isnan(ratio[e]))
                        assert_true(isnan(told[e]));
                    else
                        near(told[e], ratio[e], 1e-9);
            }
            assert_int_equal(s.cal.left_out, could);
            free(without.ratio);
            fly_arena_fini(&s.arena);
        }
}

/* tau has the least cost of its grid, a finer one has little less, and the likelihood told is tau's. */
static void tau_minimises_what_it_says(void **state)
{
    static const int32_t shots[CLASSES] = {4, 4, 4, 4};

    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct scene s;
        double least = INFINITY, least_fine = INFINITY, at_tau = INFINITY;

        scene_open(&s);
        fill(&s, seed, 0.1 * (double)seed, seed % 2 ? 0.5 : 0.0);
        support_fill(&s, shots);
        make(&s);
        for (int step = -64; step <= 64; step++) {
            double octaves = step / 16.0, tau = 0.25 * exp2(octaves), nll = 0.0, cost;

            for (int32_t i = 0; i < s.left.n; i++) {
                const double *ratio = s.cal.ratio + (size_t)i * FLY_CLASSES_MAX;
                int32_t of = s.left.class_of[i];
                double sum = 0.0, own = s.cal.width[of] * (1.0 + ratio[of]);

                for (int32_t c = 0; c < CLASSES; c++)
                    sum += pow(s.cal.width[c] * (1.0 + ratio[c]) / own, -1.0 / tau);
                nll += log(sum);
            }
            cost = nll + 2.0 * octaves * octaves;
            least_fine = fmin(least_fine, cost);
            if (step % 4 == 0)
                least = fmin(least, cost);
            if (fabs(tau / s.cal.tau - 1.0) < 1e-9) {
                at_tau = cost;
                near(s.cal.nll, nll / s.left.n, 1e-9);
            }
        }
        near(at_tau, least, 1e-9);
        assert_true(at_tau <= least_fine + 0.1);
        fly_arena_fini(&s.arena);
    }
}

/* A class whose chips lie ten times as far apart as the others' do: they are nearer to it than the pooled scatter
 * alone would have them, and where noise is not known, what is as many of its widths away as of another's is the
 * other's. */
static void a_varied_class_is_wider(void **state)
{
    static const int32_t shots[CLASSES] = {6, 6, 6, 0};
    const double even[3] = {2.0, 2.0, 2.0};

    (void)state;
    for (int noisy = 0; noisy < 2; noisy++) {
        double mean = 0.0, score[FLY_CLASSES_MAX];
        struct scene s;

        scene_open(&s);
        fill(&s, 9, 20.0, noisy ? 0.3 : 0.0);
        for (int32_t k = 0; k < CHIPS; k += CLASSES)
            for (int32_t i = 0; i < WIDTH; i++) {
                struct fly_rng rng = {(uint64_t)i};
                double middle = 20.0 * fly_rng_normal(&rng);

                s.x[k * WIDTH + i] = middle + 10.0 * (s.x[k * WIDTH + i] - middle);
            }
        support_fill(&s, shots);
        make(&s);
        assert_true(s.cal.class_scatter[0] > 1.5 * s.cal.scatter);
        assert_true(s.cal.class_scatter[1] < s.cal.scatter && s.cal.class_scatter[2] < s.cal.scatter);
        for (int32_t k = 6 * CLASSES; k < CHIPS; k += CLASSES) {
            double ratio[FLY_CLASSES_MAX];

            ask(&s, k, ratio, score);
            mean += ratio[0] / (CHIPS / CLASSES - 6);
        }
        assert_true(mean < 2.0); /* 1.4 expected; of squares of 100, 1 and 1 pooled, 2.9 */
        fly_calibrated_scores(&s.cal, even, score);
        if (noisy)
            assert_true(score[0] == score[1] && score[1] == score[2]);
        else
            assert_true(score[0] < score[1] && score[0] < score[2]);
        fly_arena_fini(&s.arena);
    }
}

static void order_of_classes_does_not_matter(void **state)
{
    static const int32_t other[CLASSES] = {2, 0, 3, 1};
    struct scene a, b;

    (void)state;
    scene_open(&a);
    scene_open(&b);
    fill(&a, 5, 0.6, 0.4);
    fill(&b, 5, 0.6, 0.4);
    for (int32_t c = 0; c < CLASSES; c++)
        support_add(&b, c, -1);
    for (int32_t k = 0; k < 4 * CLASSES; k++) {
        support_add(&b, other[k % CLASSES], k);
        support_add(&a, k % CLASSES, k);
    }
    make(&a);
    make(&b);
    near(b.cal.tau, a.cal.tau, 1e-12);
    near(b.cal.unknown.threshold, a.cal.unknown.threshold, 1e-12);
    for (int32_t k = 0; k < CHIPS; k++) {
        double ratio_a[FLY_CLASSES_MAX], ratio_b[FLY_CLASSES_MAX], p[FLY_CLASSES_MAX], q[FLY_CLASSES_MAX];

        ask(&a, k, ratio_a, p);
        ask(&b, k, ratio_b, q);
        for (int32_t c = 0; c < CLASSES; c++)
            near(q[other[c]], p[c], 1e-11);
    }
    fly_arena_fini(&a.arena);
    fly_arena_fini(&b.arena);
}

static void units_do_not_matter(void **state)
{
    static const int32_t shots[CLASSES] = {4, 3, 2, 1};

    (void)state;
    for (int noisy = 0; noisy < 2; noisy++) {
        struct scene a, b;

        scene_open(&a);
        scene_open(&b);
        fill(&a, 6, 0.6, noisy ? 0.4 : 0.0);
        fill(&b, 6, 0.6, noisy ? 0.4 : 0.0);
        for (int32_t i = 0; i < CHIPS * WIDTH; i++)
            b.x[i] *= 1000.0;
        for (int32_t k = 0; k < CHIPS; k++)
            b.noise[k] *= 1e6;
        support_fill(&a, shots);
        support_fill(&b, shots);
        make(&a);
        make(&b);
        for (int32_t k = 0; k < CHIPS; k++) {
            double ratio[FLY_CLASSES_MAX], p[FLY_CLASSES_MAX], q[FLY_CLASSES_MAX];

            ask(&a, k, ratio, p);
            ask(&b, k, ratio, q);
            for (int32_t c = 0; c < CLASSES; c++)
                near(q[c], p[c], 1e-10);
        }
        fly_arena_fini(&a.arena);
        fly_arena_fini(&b.arena);
    }
}

/* The same picture of a chip, told to be noisier: its best score falls to 1 / C and stays a distribution. */
static void noise_flattens_scores_to_even(void **state)
{
    static const int32_t shots[CLASSES] = {4, 4, 4, 4};
    struct scene s;

    (void)state;
    scene_open(&s);
    fill(&s, 8, 2.0, 0.3);
    support_fill(&s, shots);
    make(&s);
    for (int32_t k = 50; k < 60; k++) {
        double last = 1.0, ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

        for (double noise = 0.01; noise < 1e12; noise *= 10.0) {
            double sum = 0.0, best = 0.0;

            s.noise[k] = noise;
            ask(&s, k, ratio, score);
            for (int32_t c = 0; c < CLASSES; c++) {
                sum += score[c];
                best = fmax(best, score[c]);
            }
            near(sum, 1.0, 1e-12);
            assert_true(best <= last + 1e-3); /* ratios below the least are cut, which bends the fall a little */
            last = best;
        }
        near(last, 1.0 / CLASSES, 1e-4);
        s.noise[k] = INFINITY;
        ask(&s, k, ratio, score);
        for (int32_t c = 0; c < CLASSES; c++)
            assert_true(ratio[c] == 1.0 && score[c] == 1.0 / CLASSES);
    }
    fly_arena_fini(&s.arena);
}

/* ---- little to go by ---------------------------------------------------------------------------------- */

static void no_class_names_nothing(void **state)
{
    struct scene s;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], confidence;

    (void)state;
    scene_open(&s);
    fill(&s, 1, 1.0, 0.0);
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_NONE);
    support_add(&s, 0, 3);
    s.measured[3] = 0;
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_NONE);
    assert_true(isnan(s.cal.nll));
    ask(&s, 5, ratio, score);
    assert_true(isnan(ratio[0]) && score[0] == 0.0);
    assert_int_equal(fly_calibrated_label(&s.cal.unknown, ratio, score, 1, &confidence), FLY_LABEL_TOO_LITTLE);
    assert_true(isnan(confidence));
    fly_arena_fini(&s.arena);
}

/* One chip and no noise tell nothing of what is far; with noise, or a second chip, there is a scale. */
static void one_support_chip_alone_is_bare(void **state)
{
    struct scene s;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], confidence;

    (void)state;
    scene_open(&s);
    fill(&s, 2, 1.0, 0.0);
    support_add(&s, 0, 0);
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_BARE);
    ask(&s, 1, ratio, score);
    assert_int_equal(fly_calibrated_label(&s.cal.unknown, ratio, score, 1, &confidence), 0);
    assert_true(score[0] == 1.0 && isnan(confidence));
    support_add(&s, 0, 4);
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_PRIOR);
    fly_arena_fini(&s.arena);
}

/* What used to be certain of everything. */
static void chips_that_scatter_more_than_the_support_chips_lie_as_near(void **state)
{
    static const int32_t shots[CLASSES] = {4, 4, 4, 4};
    struct scene s;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], d[FLY_CLASSES_MAX];
    struct fly_calibration before;

    (void)state;
    scene_open(&s);
    fill(&s, 3, 4.0, 0.0);
    support_fill(&s, shots);
    make(&s);
    before = s.cal;
    fly_calibration_widen(&s.cal, 0.0);
    assert_true(s.cal.scatter == before.scatter && s.cal.width[1] == before.width[1]);
    fly_calibration_widen(&s.cal, 0.7);
    fly_fewshot_distances(&s.prototypes, &s.features, CHIPS - 1, d);
    ask(&s, CHIPS - 1, ratio, score);
    near(s.cal.scatter, before.scatter + 0.7, 1e-13);
    for (int c = 0; c < CLASSES; c++) {
        near(s.cal.width[c], sqrt((before.class_scatter[c] + 0.7) / (before.scatter + 0.7)), 1e-13);
        near(ratio[c], fmax(0.05, (d[c] * d[c] - before.doubt[c]) / (before.class_scatter[c] + 0.7)), 1e-13);
    }
    fly_arena_fini(&s.arena);
}

/* One chip scatters by nothing: what is missing is all there is to go by. */
static void one_support_chip_can_be_widened(void **state)
{
    struct scene s;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

    (void)state;
    scene_open(&s);
    fill(&s, 5, 4.0, 0.0);
    support_add(&s, 0, 0);
    make(&s);
    fly_calibration_widen(&s.cal, 0.7);
    ask(&s, 1, ratio, score);
    assert_true(s.cal.width[0] == 1.0 && isfinite(ratio[0]) && score[0] == 1.0);
    fly_arena_fini(&s.arena);
}

static void a_single_class_is_as_sure_as_the_chip_is_like_it(void **state)
{
    static const int32_t shots[CLASSES] = {6, 0, 0, 0};
    struct scene s;
    int own = 0, others = 0;

    (void)state;
    scene_open(&s);
    fill(&s, 3, 3.0, 0.3);
    support_fill(&s, shots);
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_PRIOR);
    assert_true(s.cal.tau == 0.25);
    for (int32_t k = 6 * CLASSES; k < CHIPS; k++) {
        double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], confidence;
        int32_t label;

        ask(&s, k, ratio, score);
        label = fly_calibrated_label(&s.cal.unknown, ratio, score, 1, &confidence);
        if (label == 0)
            assert_true(confidence >= 0.5 && confidence < 1.0);
        else
            assert_true(label == FLY_LABEL_UNKNOWN && isnan(confidence));
        own += k % CLASSES == 0 && label == 0;
        others += k % CLASSES != 0 && label == FLY_LABEL_UNKNOWN;
    }
    assert_true(own >= 22 && others == 72); /* of 24 and 72 */
    fly_arena_fini(&s.arena);
}

static void one_shot_classes_keep_the_prior(void **state)
{
    static const int32_t shots[CLASSES] = {1, 1, 1, 1};
    struct scene s;
    int right = 0;

    (void)state;
    scene_open(&s);
    fill(&s, 4, 2.0, 0.0);
    support_fill(&s, shots);
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_PRIOR);
    assert_int_equal(s.cal.left_out, 0);
    assert_true(isnan(s.cal.nll) && s.cal.tau == 0.25 && s.cal.scatter > 0.0);
    assert_true(isfinite(s.cal.unknown.threshold));
    for (int32_t k = CLASSES; k < CHIPS; k++) {
        double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

        ask(&s, k, ratio, score);
        right += fly_fewshot_label(score, CLASSES) == k % CLASSES;
    }
    assert_true(right > (CHIPS - CLASSES) * 9 / 10);
    fly_arena_fini(&s.arena);
}

static void chips_all_alike_share_their_scores(void **state)
{
    static const int32_t shots[CLASSES] = {2, 2, 3, 1};

    (void)state;
    for (int noisy = 0; noisy < 2; noisy++) {
        struct scene s;
        double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

        scene_open(&s);
        s.has_noise = noisy;
        for (int32_t k = 0; k < CHIPS; k++)
            s.noise[k] = 1.0;
        support_fill(&s, shots);
        make(&s);
        assert_int_equal(s.cal.state, noisy ? FLY_CALIBRATION_FITTED : FLY_CALIBRATION_BARE);
        ask(&s, 50, ratio, score);
        for (int32_t c = 0; c < CLASSES; c++)
            assert_true(score[c] == 0.25);
        fly_arena_fini(&s.arena);
    }
}

/* Every class's chips fall on one point: no scatter is seen, the points lie apart. */
static void classes_without_scatter_are_told_apart(void **state)
{
    static const int32_t shots[CLASSES] = {3, 3, 3, 3};
    struct scene s;

    (void)state;
    scene_open(&s);
    for (int32_t k = 0; k < CHIPS; k++)
        s.x[k * WIDTH + k % CLASSES] = 5.0;
    support_fill(&s, shots);
    make(&s);
    assert_int_equal(s.cal.state, FLY_CALIBRATION_FITTED);
    assert_true(s.cal.scatter > 0.0 && s.cal.mistaken == 0);
    for (int32_t k = 0; k < CHIPS; k++) {
        double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

        ask(&s, k, ratio, score);
        assert_int_equal(fly_fewshot_label(score, CLASSES), k % CLASSES);
        assert_true(score[k % CLASSES] > 0.9);
    }
    fly_arena_fini(&s.arena);
}

static void at_most_sixteen_of_a_class_are_left_out_at_even_steps(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s);
    for (int32_t k = 0; k < 40; k++)
        support_add(&s, 0, k);
    for (int32_t k = 100; k < 103; k++)
        support_add(&s, 1, k);
    fly_left_out_pick(&s.left, &s.support);
    assert_int_equal(s.left.n, 19);
    for (int32_t i = 0; i < 16; i++) {
        assert_int_equal(s.left.class_of[i], 0);
        assert_int_equal(s.left.chip[i], i * 40 / 16);
    }
    for (int32_t i = 16; i < 19; i++) {
        assert_int_equal(s.left.class_of[i], 1);
        assert_int_equal(s.left.chip[i], 84 + i);
    }
    fly_arena_fini(&s.arena);
}

static void a_class_that_does_not_count_has_no_score(void **state)
{
    static const int32_t shots[CLASSES] = {3, 0, 3, 2};
    struct scene s;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

    (void)state;
    scene_open(&s);
    fill(&s, 12, 1.0, 0.2);
    for (int32_t c = 0; c < CLASSES; c++)
        support_add(&s, c, -1);
    support_fill(&s, shots);
    s.measured[0 * CLASSES + 3] = s.measured[1 * CLASSES + 3] = 0;
    make(&s);
    for (int32_t k = 60; k < CHIPS; k++) {
        ask(&s, k, ratio, score);
        assert_true(isnan(ratio[1]) && score[1] == 0.0 && isnan(ratio[3]) && score[3] == 0.0);
        near(score[0] + score[2], 1.0, 1e-12);
    }
    assert_int_equal(s.cal.left_out, 6);
    fly_arena_fini(&s.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_pairs_on_a_line),
        cmocka_unit_test(leaving_out_equals_making_anew),
        cmocka_unit_test(tau_minimises_what_it_says),
        cmocka_unit_test(a_varied_class_is_wider),
        cmocka_unit_test(order_of_classes_does_not_matter),
        cmocka_unit_test(units_do_not_matter),
        cmocka_unit_test(noise_flattens_scores_to_even),
        cmocka_unit_test(no_class_names_nothing),
        cmocka_unit_test(one_support_chip_alone_is_bare),
        cmocka_unit_test(chips_that_scatter_more_than_the_support_chips_lie_as_near),
        cmocka_unit_test(one_support_chip_can_be_widened),
        cmocka_unit_test(a_single_class_is_as_sure_as_the_chip_is_like_it),
        cmocka_unit_test(one_shot_classes_keep_the_prior),
        cmocka_unit_test(chips_all_alike_share_their_scores),
        cmocka_unit_test(classes_without_scatter_are_told_apart),
        cmocka_unit_test(at_most_sixteen_of_a_class_are_left_out_at_even_steps),
        cmocka_unit_test(a_class_that_does_not_count_has_no_score),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
