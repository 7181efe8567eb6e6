#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "tests/support/pool_exec.h"
#include "tests/unit/engine/tree/ward_rig.h"

/* Pairs looked at, short or in full. */
static int64_t looked_at(const struct fly_ward_work *after, const struct fly_ward_work *before)
{
    return after->distances - before->distances + after->bounds - before->bounds + after->products - before->products;
}

static void put_drawn(struct ward_rig *r, struct fly_rng *rng, int32_t point)
{
    double x[64];

    /* Six kinds and a tenth of noise, in 32 numbers: the data of algorithms 3.2. */
    ward_rig_draw(rng, x, 32, (int)fly_rng_below(rng, 6), 1.0, fly_rng_below(rng, 10) ? 0.35 : 2.0);
    ward_rig_put(r, point, x);
}

/* What an update of these many new and changed points looks at, as a part of what a rebuild does. */
static double part_of_rebuild(struct ward_rig *r, struct fly_rng *rng, int32_t *next, int32_t fresh, int32_t changed)
{
    struct fly_ward_work before = r->ward.work, after;
    int64_t update;

    for (int32_t c = 0; c < fresh; c++)
        put_drawn(r, rng, (*next)++);
    for (int32_t c = 0; c < changed; c++)
        put_drawn(r, rng, (int32_t)fly_rng_below(rng, (uint64_t)*next));
    ward_rig_update(r);
    after = r->ward.work;
    assert_int_equal(after.rebuilds, before.rebuilds);
    assert_int_equal(after.kept - before.kept + after.made - before.made, r->ward.count - 1);
    update = looked_at(&after, &before);
    assert_as_rebuilt(r);
    return (double)update / (double)looked_at(&r->ward.work, &after);
}

static void an_update_looks_at_few_pairs(void **state)
{
    enum { N = 2800, BEGIN = 2576 };
    struct fly_rng rng = {21};
    struct ward_rig r;
    int32_t next = 0;

    (void)state;
    ward_rig_open(&r, N, 32, 0);
    while (next < BEGIN)
        put_drawn(&r, &rng, next++);
    ward_rig_update(&r);
    for (int32_t turn = 0; turn < 2; turn++) {
        assert_true(part_of_rebuild(&r, &rng, &next, 1, 0) <= 1.0 / 20.0);
        assert_true(part_of_rebuild(&r, &rng, &next, 24, 0) <= 1.0 / 4.0);
        assert_true(part_of_rebuild(&r, &rng, &next, 51, 0) <= 1.0 / 4.0);
        assert_true(part_of_rebuild(&r, &rng, &next, 24, 5) <= 1.0 / 4.0);
        assert_true(part_of_rebuild(&r, &rng, &next, 0, 1) <= 1.0 / 10.0);
    }
    ward_rig_close(&r);
}

/* Short vectors leave a few candidates a query where points have few directions, however long they are. */
static void few_distances_in_full_are_measured(void **state)
{
    enum { N = 600, D = 400, DIRECTIONS = 10 };
    struct fly_rng rng = {5};
    struct ward_rig r;
    double axes[DIRECTIONS][D];

    (void)state;
    ward_rig_open(&r, N, D, 0);
    for (int32_t a = 0; a < DIRECTIONS; a++)
        for (int32_t d = 0; d < D; d++)
            axes[a][d] = fly_rng_normal(&rng) / (1 + a);
    for (int32_t i = 0; i < N; i++) {
        double x[D] = {0.0};

        for (int32_t a = 0; a < DIRECTIONS; a++) {
            double by = fly_rng_normal(&rng);

            for (int32_t d = 0; d < D; d++)
                x[d] += by * axes[a][d];
        }
        ward_rig_put(&r, i, x);
    }
    ward_rig_update(&r);
    /* A query needs one or two; there are about four of them a point. */
    assert_true(r.ward.work.distances < 8 * N);
    ward_rig_close(&r);
}

/* Trees and work are functions of the calls: of neither threads nor what else was asked. */
static void threads_change_neither_tree_nor_work(void **state)
{
    enum { N = 500, D = 300 };
    struct pool_exec pool = {.width = 2};
    struct ward_rig one, two;

    (void)state;
    for (int noise = 0; noise < 2; noise++) {
        struct fly_rng rng = {31};

        ward_rig_open(&one, N, D, 1);
        ward_rig_open(&two, N, D, 1);
        two.exec = pool_exec(&pool);
        for (int32_t i = 0; i < N; i++) {
            double x[D] = {0.0};

            ward_rig_draw(&rng, x, noise ? D : 40, i % 4, noise ? 0.05 : 1.0, 1.0);
            ward_rig_put(&one, i, x);
            ward_rig_put(&two, i, x);
            if (i % 50 == 49) {
                int32_t label[N];

                ward_rig_update(&one);
                ward_rig_update(&two);
                fly_ward_cut(&two.ward, 3, label);
            }
        }
        fly_ward_rebuild(&one.ward, &one.exec);
        fly_ward_rebuild(&two.ward, &two.exec);
        assert_memory_equal(one.ward.merge, two.ward.merge, (N - 1) * sizeof *one.ward.merge);
        assert_memory_equal(&one.ward.work, &two.ward.work, sizeof one.ward.work);
        assert_true((one.ward.work.products > 0) == noise);
        ward_rig_close(&one);
        ward_rig_close(&two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_looks_at_few_pairs),
        cmocka_unit_test(few_distances_in_full_are_measured),
        cmocka_unit_test(threads_change_neither_tree_nor_work),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
