#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "tests/support/pool_exec.h"
#include "tests/unit/engine/engine_rig.h"

enum { SMALL = 4, ROWS = H / SMALL, COLS = W / SMALL, CHIPS = ROWS * COLS, PIECES = 60 };

static const struct fly_tree_config usual = {.k = 3, .feature = FLY_EDS_COMPOSITION, .min_counts = 30};

/* (K, 2) in place of an embedder's: two kinds, each with a spread. */
static const float *given(void)
{
    static float rows[CHIPS][2];

    for (int k = 0; k < CHIPS; k++)
        for (int i = 0; i < 2; i++)
            rows[k][i] = (float)((k % COLS < COLS / 2 ? 1.0 : 4.0) + (double)(fly_rng_at((uint64_t)(2 * k + i)) >> 40) * 0x1p-24);
    return rows[0];
}

static struct fly_engine *open_with(const struct fly_tree_config *tree, enum fly_profile profile,
                                    const struct fly_exec *exec)
{
    return rig_open(NULL, exec, &(struct rig_options){.profile = profile, .side_px = SMALL, .given = given(),
                                                      .tree = tree, .min_counts = 60});
}

struct exact {
    int32_t labels[CHIPS];
    float confidence[CHIPS];
};

static void ask(struct fly_engine *engine, enum fly_modality modality, struct exact *exact)
{
    assert_int_equal(fly_engine_ward_exact(engine, modality, exact->labels, exact->confidence), FLY_OK);
}

/* Partition, heights and confidence; labels below 0, too. */
static void same_hierarchies(struct fly_engine *a, struct fly_engine *b)
{
    static struct exact x, y;

    for (int m = 0; m < FLY_MODALITIES; m++) {
        const struct fly_ward_merge *left, *right;
        int32_t n, n_other;

        ask(a, (enum fly_modality)m, &x);
        ask(b, (enum fly_modality)m, &y);
        assert_memory_equal(x.labels, y.labels, sizeof x.labels);
        for (int k = 0; k < CHIPS; k++)
            assert_true(isnan(x.confidence[k]) ? isnan(y.confidence[k])
                                               : fabsf(x.confidence[k] - y.confidence[k]) <= 1e-6f);
        left = fly_engine_merges(a, (enum fly_modality)m, &n);
        right = fly_engine_merges(b, (enum fly_modality)m, &n_other);
        assert_int_equal(n, n_other);
        for (int32_t i = 0; i < n; i++)
            assert_true(fabs(left[i].height - right[i].height) <= 1e-9 * left[n - 1].height);
    }
}

/* After any pieces in any order the clusters are those of everything at once. */
static void clusters_equal_batch(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    int whole = 0;

    (void)state;
    openblas_set_num_threads(1);
    for (uint64_t seed = 0; seed < 6; seed++) {
        enum fly_profile profile = seed % 2 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST;
        struct scene *s = scene_make(seed);
        struct fly_engine *live = open_with(&usual, profile, &serial);
        struct fly_rng rng = {seed + 100};
        struct piece pieces[PIECES];

        for (int p = 0; p < PIECES; p++) {
            struct fly_engine *batch;

            pieces[p] = random_piece(&rng);
            put(live, s, &pieces[p]);
            for (uint64_t steps = fly_rng_below(&rng, 6); steps > 0; steps--)
                (void)fly_engine_step(live);
            if (fly_rng_below(&rng, 2))
                fly_engine_epoch(live);
            if (p % 12 != 11)
                continue;
            think(live);
            batch = open_with(&usual, profile, &serial);
            for (int q = 0; q <= p; q++)
                put(batch, s, &pieces[q]);
            think(batch);
            same_hierarchies(live, batch);
            struct fly_tree_view view;

            fly_engine_tree(live, FLY_HAADF, &view);
            whole += view.chips > CHIPS / 2;
            fly_engine_close(&batch);
        }
        fly_engine_close(&live);
        free(s);
    }
    assert_true(whole > 6);
}

static void put_rows(struct fly_engine *e, const struct scene *s, int64_t frame, int row)
{
    for (int eds = 0; eds < 2; eds++)
        put(e, s, &(struct piece){.eds = eds, .frame = frame, .rect = {row * SMALL, 0, SMALL, W}});
}

/* The map has the exact partition under ids that stay; the vote says which pair an id is. */
static void ids_stay_while_the_scan_grows(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(3);
    struct fly_engine *e = open_with(&(struct fly_tree_config){.k = 2, .feature = FLY_EDS_COMPOSITION, .min_counts = 30},
                                     FLY_PROFILE_ROBUST, &serial);
    static struct exact exact;
    int32_t left = -1, right = -1;

    (void)state;
    for (int row = 0; row < ROWS; row++) {
        struct fly_map_view map;

        put_rows(e, s, 0, row);
        think(e);
        fly_engine_map(e, FLY_WARD, FLY_HAADF, &map);
        ask(e, FLY_HAADF, &exact);
        for (int k = 0; k < (row + 1) * COLS; k++) {
            int is_left = k % COLS < COLS / 2;

            if (left < 0) {
                left = map.labels[0];
                right = map.labels[COLS - 1];
                assert_int_not_equal(left, right);
            }
            assert_int_equal(map.labels[k], is_left ? left : right);
            assert_int_equal(exact.labels[k], is_left ? 0 : 1);
            assert_true(map.confidence[k] > 0.5f && map.confidence[k] <= 1.0f);
        }
        for (int k = (row + 1) * COLS; k < CHIPS; k++)
            assert_int_equal(map.labels[k], FLY_LABEL_PENDING);
    }
    /* Both labels of a chip make its vote's. */
    struct fly_map_view map[FLY_MODALITIES];

    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_map(e, FLY_WARD, (enum fly_modality)m, &map[m]);
    for (int a = 0; a < CHIPS; a++)
        for (int b = 0; b < a; b++) {
            int both = map[FLY_HAADF].labels[a] == map[FLY_HAADF].labels[b] &&
                       map[FLY_EDS].labels[a] == map[FLY_EDS].labels[b];

            if (map[FLY_ENSEMBLE].labels[a] >= 0 && map[FLY_ENSEMBLE].labels[b] >= 0)
                assert_int_equal(map[FLY_ENSEMBLE].labels[a] == map[FLY_ENSEMBLE].labels[b], both);
        }
    fly_engine_close(&e);
    free(s);
}

static int32_t count_labels(const int32_t *labels)
{
    int32_t count = 0;

    for (int k = 0; k < CHIPS; k++) {
        int seen = labels[k] < 0;

        for (int j = 0; j < k && !seen; j++)
            seen = labels[j] == labels[k];
        count += !seen;
    }
    return count;
}

static void another_k_acts_at_the_next_epoch(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(5);
    struct fly_engine *e = open_with(&usual, FLY_PROFILE_ROBUST, &serial);
    struct fly_map_view map;
    struct fly_tree_view view;

    (void)state;
    for (int row = 0; row < ROWS; row++)
        put_rows(e, s, 0, row);
    think(e);
    for (int32_t k = 1; k <= 64; k = 2 * k + 1) {
        assert_int_equal(fly_engine_set_tree_k(e, k), FLY_OK);
        fly_engine_epoch(e);
        fly_engine_map(e, FLY_WARD, FLY_HAADF, &map);
        assert_int_equal(count_labels(map.labels), k);
        fly_engine_tree(e, FLY_HAADF, &view);
        assert_int_equal(view.k, k);
        assert_true(view.parted <= view.merged && isinf(view.merged) == (k == 1));
    }
    assert_int_equal(fly_engine_set_tree_k(e, 0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "tree.k 0"));
    assert_int_equal(fly_engine_set_tree_k(e, 65), FLY_ERANGE);
    assert_int_equal(view.k, 63);
    fly_engine_close(&e);
    free(s);
}

static void threads_change_nothing(void **state)
{
    struct pool_exec pool = {3};
    struct fly_exec serial = fly_exec_serial(), parallel = pool_exec(&pool);
    struct scene *s = scene_make(8);
    struct fly_engine *one = open_with(&usual, FLY_PROFILE_ROBUST, &serial);
    struct fly_engine *three = open_with(&usual, FLY_PROFILE_ROBUST, &parallel);

    (void)state;
    for (int row = 0; row < ROWS; row++) {
        put_rows(one, s, 0, row);
        put_rows(three, s, 0, row);
        think(one);
        think(three);
        for (int m = 0; m < FLY_MODALITIES; m++) {
            struct fly_map_view a, b;

            fly_engine_map(one, FLY_WARD, (enum fly_modality)m, &a);
            fly_engine_map(three, FLY_WARD, (enum fly_modality)m, &b);
            assert_memory_equal(a.labels, b.labels, CHIPS * sizeof *a.labels);
            assert_memory_equal(a.confidence, b.confidence, CHIPS * sizeof *a.confidence);
        }
    }
    fly_engine_close(&one);
    fly_engine_close(&three);
    free(s);
}

static void what_happened_is_told_once(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(2);
    struct fly_engine *e = open_with(&(struct fly_tree_config){.k = 1, .feature = FLY_EDS_COMPOSITION, .min_counts = 30},
                                     FLY_PROFILE_ROBUST, &serial);
    const int map = fly_map_index(FLY_WARD, FLY_HAADF);
    const struct fly_story *story;
    int fresh;

    (void)state;
    for (int row = 0; row < ROWS; row++)
        put_rows(e, s, 0, row);
    think(e);
    story = fly_engine_story(e, map, &fresh);
    assert_true(fresh && story->count == 1 && story->cluster[0].events == FLY_CLUSTER_BORN);
    assert_int_equal(fly_engine_set_tree_k(e, 2), FLY_OK);
    fly_engine_epoch(e);
    story = fly_engine_story(e, map, &fresh);
    assert_true(fresh && story->count == 2 && story->splits == 1);
    for (int c = 0; c < 2; c++) {
        assert_true(story->cluster[c].events & FLY_CLUSTER_SPLIT);
        assert_int_equal(story->cluster[c].parents, 1);
        assert_int_equal(story->cluster[c].parent[0], 0);
    }
    fly_engine_epoch(e);
    (void)fly_engine_story(e, map, &fresh);
    assert_int_equal(fresh, 0);
    assert_int_equal(fly_engine_set_tree_k(e, 1), FLY_OK);
    fly_engine_epoch(e);
    story = fly_engine_story(e, map, &fresh);
    assert_true(fresh && story->count == 1 && story->merges == 1 && story->gone == 1);
    fly_engine_close(&e);
    free(s);
}

static void without_trees_there_are_no_clusters(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine *e = open_with(NULL, FLY_PROFILE_ROBUST, &serial);
    struct fly_map_view map;
    static struct exact exact;
    int fresh;

    (void)state;
    fly_engine_map(e, FLY_WARD, FLY_HAADF, &map);
    assert_null(map.labels);
    assert_int_equal(fly_engine_ward_exact(e, FLY_HAADF, exact.labels, exact.confidence), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "tree.chips_max"));
    assert_int_equal(fly_engine_set_tree_k(e, 3), FLY_ERANGE);
    assert_null(fly_engine_story(e, fly_map_index(FLY_WARD, FLY_EDS), &fresh));
    assert_null(fly_engine_names(e, fly_map_index(FLY_WARD, FLY_EDS)));
    fly_engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_equal_batch),
        cmocka_unit_test(ids_stay_while_the_scan_grows),
        cmocka_unit_test(another_k_acts_at_the_next_epoch),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(what_happened_is_told_once),
        cmocka_unit_test(without_trees_there_are_no_clusters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
