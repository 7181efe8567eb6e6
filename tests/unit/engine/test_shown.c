/* The picture for a person's eye, through the whole engine. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "engine/map/debounce.h"
#include "tests/unit/engine/engine_rig.h"

enum { SMALL = 4, ROWS = H / SMALL, COLS = W / SMALL, CHIPS = ROWS * COLS, PIECES = 80 };

static const struct fly_tree_config tree = {.k = 3, .feature = FLY_EDS_COMPOSITION, .min_counts = 30};
static const struct fly_graph_config graph = {.rule = FLY_THRESHOLD_P100, .resolution = FLY_RESOLUTION_ONE,
                                              .weights = {1, 1}, .feature = FLY_EDS_SPECTRUM, .min_counts = 10};

/* (K, 2) in place of an embedder's: two kinds that lie close. */
static const float *given(void)
{
    static float rows[CHIPS][2];

    for (int k = 0; k < CHIPS; k++)
        for (int i = 0; i < 2; i++)
            rows[k][i] = (float)((k % COLS < COLS / 2 ? 1.0 : 1.4) +
                                 (double)(fly_rng_at((uint64_t)(2 * k + i)) >> 40) * 0x1p-24);
    return rows[0];
}

static struct fly_engine *open_scene(enum fly_profile profile, const struct fly_exec *exec)
{
    openblas_set_num_threads(1);
    return rig_open(NULL, exec, &(struct rig_options){.profile = profile, .side_px = SMALL, .given = given(),
                                                      .tree = &tree, .graph = &graph, .min_counts = 40});
}

/* What a viewer keeps of one map. */
struct eye {
    int32_t shown[CHIPS], last[CHIPS];
    int rest;
};

static int lives(const int32_t *labels, int32_t id)
{
    for (int k = 0; id >= 0 && k < CHIPS; k++)
        if (labels[k] == id)
            return 1;
    return 0;
}

static double margin_of(const struct fly_engine *e, int map, int32_t k, int32_t label)
{
    const double *score = fly_engine_scores(e, fly_map_modality(map)) + (size_t)k * FLY_CLASSES_MAX;
    double next = 0.0;

    if (fly_map_method(map) != FLY_FEWSHOT)
        return 0.0;
    for (int c = 0; c < FLY_CLASSES_MAX; c++)
        next = c != label && score[c] > next ? score[c] : next;
    return score[label] - next;
}

/* By the words of debounce.h, from what the map says alone. Returns how many chips wait. */
static int follow(struct eye *eye, const struct fly_engine *e, int map, int plain)
{
    struct fly_map_view view;
    int waiting = 0;

    fly_engine_map(e, fly_map_method(map), fly_map_modality(map), &view);
    int again = memcmp(view.labels, eye->last, sizeof eye->last) == 0;

    if (again && memcmp(eye->shown, eye->last, sizeof eye->last) != 0)
        plain |= ++eye->rest == FLY_SHOWN_REST;
    if (!again || plain)
        eye->rest = 0;
    for (int32_t k = 0; k < CHIPS; k++) {
        int32_t label = view.labels[k];
        int at_once = plain || (!again && (label < 0 || label == eye->last[k] || !lives(view.labels, eye->shown[k])));

        if (label >= 0 && label != eye->shown[k] && !at_once && !again)
            at_once = (float)margin_of(e, map, k, label) > FLY_SHOWN_MARGIN;
        if (at_once)
            eye->shown[k] = label;
        eye->last[k] = label;
        waiting += eye->shown[k] != label;
    }
    assert_memory_equal(view.shown, eye->shown, sizeof eye->shown);
    return waiting;
}

/* Will the next epoch have anything to tell? shown: features that an epoch has shown. */
static int has_news(const struct fly_engine *e, uint64_t *shown)
{
    struct fly_engine_counts counts;

    fly_engine_count(e, &counts);
    int news = counts.features_changed != *shown || fly_engine_regrouped(e);

    *shown = counts.features_changed;
    return news;
}

static int follow_all(struct eye eyes[FLY_MAPS], const struct fly_engine *e, int plain)
{
    int waiting = 0;

    for (int map = 0; map < FLY_MAPS; map++)
        waiting += follow(&eyes[map], e, map, plain);
    assert_int_equal(fly_engine_unsettled(e), waiting > 0);
    return waiting;
}

/* Few-shot, communities and Ward's clusters alike; what a person asked for is there at once, and when nothing came all
 * is shown. */
static void every_map_is_calmed_as_it_is_written(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    static struct eye eyes[FLY_MAPS];
    int waited = 0, settled = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct scene *s = scene_make(seed);
        struct fly_engine *e = open_scene(FLY_PROFILE_ROBUST, &serial);
        struct fly_rng rng = {seed + 50};
        uint64_t shown = 0;

        memset(eyes, 0xff, sizeof eyes);
        for (int p = 0; p < PIECES; p++) {
            struct piece piece = random_piece(&rng);
            int asked = p == 0; /* the support set that the rig gave */

            put(e, s, &piece);
            for (uint64_t steps = fly_rng_below(&rng, 8); steps > 0; steps--)
                (void)fly_engine_step(e);
            if (fly_rng_below(&rng, 12) == 0) {
                assert_int_equal(fly_engine_set_tree_k(e, 2 + (int32_t)fly_rng_below(&rng, 3)), FLY_OK);
                asked = 1;
            }
            int news = has_news(e, &shown);

            fly_engine_epoch(e);
            int waiting = follow_all(eyes, e, asked || !news);

            waited += waiting > 0;
            if (waiting == 0 || fly_rng_below(&rng, 3) > 0)
                continue;
            assert_int_equal(fly_engine_epoch(e), 1);
            assert_int_equal(follow_all(eyes, e, 1), 0);
            assert_int_equal(fly_engine_epoch(e), 0);
            settled++;
        }
        fly_engine_finish(e);
        think(e);
        assert_int_equal(follow_all(eyes, e, 1), 0);
        fly_engine_close(&e);
        free(s);
    }
    assert_true(waited > 20 && settled > 5);
}

static void every_wish_of_a_person_is_shown_at_once(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(1);
    struct fly_engine *e = open_scene(FLY_PROFILE_ROBUST, &serial);
    static struct eye eyes[FLY_MAPS];
    struct fly_graph_config other = graph;
    int32_t id;

    (void)state;
    memset(eyes, 0xff, sizeof eyes);
    for (int eds = 0; eds < 2; eds++)
        put(e, s, &(struct piece){.eds = eds, .frame = 0, .rect = {0, 0, H, W}});
    think(e);
    follow_all(eyes, e, 1);
    for (int wish = 0; wish < 5; wish++) {
        switch (wish) {
        case 0:
            assert_int_equal(fly_support_add(fly_engine_support(e), "c", (const int32_t[]){2, 17, 30}, 3, &id), FLY_OK);
            fly_engine_support_changed(e);
            break;
        case 1:
            assert_int_equal(fly_engine_set_ensemble(e, (const double[]){0.9, 0.1}, 2.0), FLY_OK);
            break;
        case 2:
            assert_int_equal(fly_engine_set_fewshot_feature(e, FLY_EDS_SPECTRUM), FLY_OK);
            break;
        case 3:
            other.resolution = 3 * FLY_RESOLUTION_ONE;
            assert_int_equal(fly_engine_set_graph(e, &other), FLY_OK);
            break;
        default:
            assert_int_equal(fly_engine_set_tree_k(e, 7), FLY_OK);
        }
        assert_int_equal(fly_engine_epoch(e), 1);
        assert_int_equal(follow_all(eyes, e, 1), 0);
    }
    fly_engine_close(&e);
    free(s);
}

static void the_paper_has_no_such_picture(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine *paper = open_scene(FLY_PROFILE_PAPER, &serial);
    struct fly_engine *robust = open_scene(FLY_PROFILE_ROBUST, &serial);
    struct fly_map_view view;

    (void)state;
    fly_engine_epoch(paper);
    assert_int_equal(fly_engine_unsettled(paper), 0);
    for (int map = 0; map < FLY_MAPS; map++) {
        fly_engine_map(paper, fly_map_method(map), fly_map_modality(map), &view);
        assert_non_null(view.labels);
        assert_null(view.shown);
        fly_engine_map(robust, fly_map_method(map), fly_map_modality(map), &view);
        for (int k = 0; k < CHIPS; k++)
            assert_int_equal(view.shown[k], FLY_LABEL_PENDING);
    }
    fly_engine_close(&paper);
    fly_engine_close(&robust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_map_is_calmed_as_it_is_written),
        cmocka_unit_test(every_wish_of_a_person_is_shown_at_once),
        cmocka_unit_test(the_paper_has_no_such_picture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
