/* What confidences promise, on golden scenes with photons drawn anew, four shots a class. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/label_scene.h"

static const char *const folders[] = {
    FLY_SHARED_DIR "/golden/table2_pristine_0", FLY_SHARED_DIR "/golden/table2_pristine_0.1",
    FLY_SHARED_DIR "/golden/table2_defective_0", FLY_SHARED_DIR "/golden/table2_defective_0.1"};
static const double doses[] = {100.0, 1000.0, 10000.0};
enum { SCENES = sizeof folders / sizeof *folders, DOSES = sizeof doses / sizeof *doses, DRAWS = 8, SHOTS = 4 };

/* Means over scenes and support sets. */
struct means {
    int n, novel;
    double ece, nll, plain_nll, rejected, auroc, learned, even;
};

static struct means of[DOSES][2][TRIAL_MAPS]; /* by dose, kind of X-ray feature, map */

/* Ordered and disordered LFO differ by a few percent of their atoms: only classes apart in their chemistry can be
 * missed by it. */
static int stands_apart(const struct label_scene *s, int32_t c)
{
    int disordered = 0;

    for (int32_t k = 0; k < s->chips; k++)
        disordered |= s->truth[k] == 2;
    return c == 0 || c == 3 || (c == 1 && !disordered);
}

static void measure(const struct label_scene *s, struct means means[2][TRIAL_MAPS])
{
    for (int eds = 0; eds < 2; eds++) {
        struct label_data data = label_scene_data(s, eds ? FLY_KIND_SPECTRUM : FLY_KIND_COMPOSITION);
        struct label_trial t;

        for (uint64_t seed = 1; seed <= DRAWS; seed++) {
            label_trial_open(&t, &data, SHOTS, -1, seed);
            for (int m = 0; m < TRIAL_MAPS; m++) {
                struct label_judgement j = label_judge(&t, &data, t.p[m], 0.0);

                means[eds][m].n++;
                means[eds][m].ece += j.ece;
                means[eds][m].nll += j.nll;
                means[eds][m].plain_nll += label_judge(&t, &data, t.plain[m], 0.0).nll;
                means[eds][m].rejected += label_novelty(&t, &data, m, -1).rejected;
                means[eds][m].learned += j.accuracy;
                means[eds][m].even += label_judge(&t, &data, t.even, 0.0).accuracy;
            }
            label_trial_close(&t);
        }
        for (int32_t c = 0; c < GOLDEN_CLASSES; c++) {
            if (!stands_apart(s, c))
                continue;
            label_trial_open(&t, &data, SHOTS, c, 1);
            for (int m = 0; m < TRIAL_MAPS; m++) {
                means[eds][m].novel++;
                means[eds][m].auroc += label_novelty(&t, &data, m, c).auroc;
            }
            label_trial_close(&t);
        }
    }
}

static int there(void)
{
    for (int i = 0; i < SCENES; i++)
        if (!golden_there(folders[i]))
            return 0;
    return 1;
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; there() && i < SCENES; i++) {
        struct label_scene s;

        label_scene_open(&s, folders[i]);
        for (int d = 0; d < DOSES; d++) {
            label_scene_expose(&s, doses[d], 7);
            measure(&s, of[d]);
        }
        label_scene_close(&s);
    }
    return 0;
}

/* 0.05 on all chips, those of boundaries among them: the promise. */
static void calibration_errors_are_within_a_twentieth(void **state)
{
    (void)state;
    if (!there())
        skip();
    for (int d = 0; d < DOSES; d++)
        for (int eds = 0; eds < 2; eds++)
            for (int m = 0; m < TRIAL_MAPS; m++)
                assert_true(of[d][eds][m].ece / of[d][eds][m].n <= 0.05);
}

/* At most 0.7 of the plain softmax's, in every modality at every dose. */
static void likelihoods_beat_the_plain_softmax(void **state)
{
    (void)state;
    if (!there())
        skip();
    for (int d = 0; d < DOSES; d++)
        for (int eds = 0; eds < 2; eds++)
            for (int m = 0; m < TRIAL_MAPS; m++)
                assert_true(of[d][eds][m].nll <= 0.7 * of[d][eds][m].plain_nll);
}

static void what_was_left_out_is_new(void **state)
{
    (void)state;
    if (!there())
        skip();
    for (int d = 0; d < DOSES; d++)
        for (int eds = 0; eds < 2; eds++)
            for (int m = TRIAL_EDS; m < TRIAL_MAPS; m++)
                assert_true(of[d][eds][m].auroc / of[d][eds][m].novel >= 0.95);
}

static void what_is_known_is_rejected_rarely(void **state)
{
    (void)state;
    if (!there())
        skip();
    for (int d = 0; d < DOSES; d++)
        for (int eds = 0; eds < 2; eds++)
            assert_true(of[d][eds][TRIAL_JOINT].rejected / of[d][eds][TRIAL_JOINT].n <= 0.02);
}

static void learned_weights_lose_nothing_to_equal_ones(void **state)
{
    (void)state;
    if (!there())
        skip();
    for (int d = 0; d < DOSES; d++)
        for (int eds = 0; eds < 2; eds++) {
            const struct means *joint = &of[d][eds][TRIAL_JOINT];

            assert_true(joint->learned / joint->n >= joint->even / joint->n - 0.01);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calibration_errors_are_within_a_twentieth),
        cmocka_unit_test(likelihoods_beat_the_plain_softmax),
        cmocka_unit_test(what_was_left_out_is_new),
        cmocka_unit_test(what_is_known_is_rejected_rarely),
        cmocka_unit_test(learned_weights_lose_nothing_to_equal_ones),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
