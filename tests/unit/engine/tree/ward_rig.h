/* A ward with its memory and the points that were put, and what the plain twin makes of them. */
#ifndef FLY_TESTS_WARD_RIG_H
#define FLY_TESTS_WARD_RIG_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/rng.h"
#include "engine/tree/ward.h"

struct ward_rig {
    struct fly_ward_config config;
    struct fly_arena arena;
    struct fly_ward ward;
    struct fly_exec exec;
    double *x;        /* (N, D) */
    uint8_t *there;   /* (N) */
    int32_t n, width;
    /* of the twin, ids as ward has them */
    struct fly_ward_merge *merge;
    int32_t count;
};

static inline void ward_rig_open(struct ward_rig *r, int32_t n, int32_t width, int pairs)
{
    *r = (struct ward_rig){.config = {.points = n, .width = width, .pairs = pairs}, .n = n, .width = width,
                           .exec = fly_exec_serial()};
    assert_int_equal(fly_ward_check(&r->config), FLY_OK);
    assert_int_equal(fly_arena_init(&r->arena, fly_ward_need(&r->config), NULL, "ward"), FLY_OK);
    fly_ward_init(&r->ward, &r->config, &r->arena);
    assert_int_equal(r->arena.used, fly_ward_need(&r->config));
    r->x = calloc((size_t)n * (size_t)width, sizeof *r->x);
    r->there = calloc((size_t)n, 1);
    r->merge = calloc((size_t)n, sizeof *r->merge);
}

static inline void ward_rig_close(struct ward_rig *r)
{
    fly_arena_fini(&r->arena);
    free(r->x);
    free(r->there);
    free(r->merge);
}

static inline void ward_rig_put(struct ward_rig *r, int32_t point, const double *x)
{
    memmove(r->x + (size_t)point * (size_t)r->width, x, (size_t)r->width * sizeof *x);
    r->there[point] = 1;
    assert_int_equal(fly_ward_put_f64(&r->ward, point, x), FLY_OK);
}

static inline void ward_rig_drop(struct ward_rig *r, int32_t point)
{
    r->there[point] = 0;
    fly_ward_drop(&r->ward, point);
}

static inline void ward_rig_update(struct ward_rig *r)
{
    fly_ward_update(&r->ward, &r->exec);
}

/* What the twin says of the points that are there. */
static inline void ward_rig_ref(struct ward_rig *r)
{
    double *x = malloc(((size_t)r->n * (size_t)r->width + 1) * sizeof *x);
    int32_t *point = malloc((size_t)r->n * sizeof *point);

    r->count = 0;
    for (int32_t i = 0; i < r->n; i++)
        if (r->there[i]) {
            memcpy(x + (size_t)r->count * (size_t)r->width, r->x + (size_t)i * (size_t)r->width,
                   (size_t)r->width * sizeof *x);
            point[r->count++] = i;
        }
    assert_int_equal(fly_ward_ref(x, r->count, r->width, r->merge), FLY_OK);
    for (int32_t m = 0; m < r->count - 1; m++) {
        r->merge[m].a = r->merge[m].a < r->count ? point[r->merge[m].a] : r->merge[m].a - r->count + r->n;
        r->merge[m].b = r->merge[m].b < r->count ? point[r->merge[m].b] : r->merge[m].b - r->count + r->n;
    }
    free(x);
    free(point);
}

/* Labels of the cut into k of these merges, by first appearance; -1 where there is no point. The long way: a cluster
 * is the set of points that are connected. */
static inline void ward_rig_cut(const struct ward_rig *r, const struct fly_ward_merge *merge, int32_t count, int32_t k,
                                int32_t *label)
{
    int32_t *of = malloc((size_t)(2 * r->n) * sizeof *of), next = 0;

    for (int32_t i = 0; i < 2 * r->n; i++)
        of[i] = i;
    for (int32_t m = 0; m < count - k; m++)
        for (int32_t i = 0; i < r->n; i++)
            if (of[i] == merge[m].a || of[i] == merge[m].b)
                of[i] = r->n + m;
    for (int32_t i = 0; i < r->n; i++) {
        label[i] = -1;
        for (int32_t j = 0; r->there[i] && j < i; j++)
            if (r->there[j] && of[j] == of[i]) {
                label[i] = label[j];
                break;
            }
        if (r->there[i] && label[i] < 0)
            label[i] = next++;
    }
    free(of);
}

/* Heights within `relative` of each other; what is 0 but for rounding is 0. */
static inline void assert_heights(const struct fly_ward_merge *a, const struct fly_ward_merge *b, int32_t count,
                                  double relative)
{
    double none = count > 1 ? 1e-12 * b[count - 2].height : 0.0;

    for (int32_t m = 0; m < count - 1; m++)
        if (!(fabs(a[m].height - b[m].height) <= relative * b[m].height + none))
            fail_msg("height %d of %d: %.17g, asked %.17g", (int)m, (int)count, a[m].height, b[m].height);
}

/* Heights to 1e-9, sizes, and the partitions into 2 .. 20 (A7 of the goals). */
static inline void assert_as_ref(struct ward_rig *r)
{
    int32_t *ours = malloc((size_t)r->n * sizeof *ours), *theirs = malloc((size_t)r->n * sizeof *theirs);

    ward_rig_ref(r);
    assert_int_equal(r->ward.count, r->count);
    assert_heights(r->ward.merge, r->merge, r->count, 1e-9);
    for (int32_t k = 2; k <= 20 && k <= r->count; k++) {
        assert_int_equal(fly_ward_cut(&r->ward, k, ours), k);
        ward_rig_cut(r, r->merge, r->count, k, theirs);
        assert_memory_equal(ours, theirs, (size_t)r->n * sizeof *ours);
    }
    free(ours);
    free(theirs);
}

/* The tree is the one that is made from nothing, to the bit. */
static inline void assert_as_rebuilt(struct ward_rig *r)
{
    size_t bytes = (size_t)r->n * sizeof *r->merge;
    struct fly_ward_merge *before = malloc(bytes);

    memcpy(before, r->ward.merge, bytes);
    fly_ward_rebuild(&r->ward, &r->exec);
    assert_memory_equal(before, r->ward.merge,
                        (size_t)(r->ward.count > 0 ? r->ward.count - 1 : 0) * sizeof *before);
    free(before);
}

/* Kinds of points in a space of `width`: a mean of each kind, and noise. */
static inline void ward_rig_draw(struct fly_rng *rng, double *x, int32_t width, int kind, double apart, double noise)
{
    for (int32_t d = 0; d < width; d++) {
        struct fly_rng of = {fly_rng_at((uint64_t)kind << 32 | (uint64_t)d)};

        x[d] = apart * fly_rng_normal(&of) + noise * fly_rng_normal(rng);
    }
}

#endif
