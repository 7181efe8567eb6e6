/* tests/unit/engine/steer/policy_rig.h: views of maps that do not exist. To be included after cmocka's headers. */
#ifndef FLY_TESTS_POLICY_RIG_H
#define FLY_TESTS_POLICY_RIG_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/steer/policy.h"

enum { RIG_CHIPS = 1600, RIG_CLASSES = 6 };

/* A view and all that it lends, and a state for it. */
struct rig {
    struct fly_steer_view view;
    double posterior[RIG_CHIPS * RIG_CLASSES];
    double rate_haadf[RIG_CLASSES * RIG_CLASSES], rate_eds[RIG_CLASSES * RIG_CLASSES], composition[RIG_CLASSES];
    float novel[RIG_CHIPS], mean_us[RIG_CHIPS], max_us[RIG_CHIPS];
    int32_t label_haadf[RIG_CHIPS], label_eds[RIG_CHIPS];
    int64_t last_ns[RIG_CHIPS];
    uint8_t measured[RIG_CHIPS], barred[RIG_CHIPS], taught[RIG_CHIPS];
    struct fly_arena arena;
    struct fly_steer *state;
    struct fly_steer_config config;
    struct fly_steer_plan plan;
};

static inline void rig_state(struct rig *rig, int32_t rows, int32_t cols, int32_t classes)
{
    struct fly_alloc alloc = fly_alloc_system();

    assert_int_equal(fly_arena_init(&rig->arena, fly_steer_need(rows, cols, classes), &alloc, "test"), FLY_OK);
    assert_int_equal(fly_steer_init(&rig->state, rows, cols, classes, &rig->arena), FLY_OK);
    assert_int_equal(rig->arena.used, rig->arena.cap);
}

/* Left half class 0, right half class 1, all surveyed at 2 us and sure; one nat a us tells any two apart. */
static inline struct rig *rig_make(int32_t rows, int32_t cols, int32_t classes)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct fly_steer_view *v = &rig->view;

    assert_true(rows * cols <= RIG_CHIPS && classes <= RIG_CLASSES);
    *v = (struct fly_steer_view){.rows = rows, .cols = cols, .side_px = 10, .pitch_px = 10, .classes = classes,
                                 .has_haadf = 1, .has_eds = 1, .surveyed = 1, .posterior = rig->posterior,
                                 .measured = rig->measured, .mean_us = rig->mean_us, .max_us = rig->max_us,
                                 .rate_haadf = rig->rate_haadf, .rate_eds = rig->rate_eds, .survey_us = 2.0,
                                 .now_ns = 1000000000000, .dose_left_us = INFINITY, .time_left_us = INFINITY,
                                 .agreement = NAN, .beam_px = {0.0, 0.0}};
    for (int32_t k = 0; k < rows * cols; k++) {
        rig->measured[k] = 1;
        rig->mean_us[k] = rig->max_us[k] = 2.0f;
        for (int32_t c = 0; c < classes; c++)
            rig->posterior[k * classes + c] = classes == 1 ? 1.0 : 1e-9 / (classes - 1);
        rig->posterior[k * classes + (classes > 1 && k % cols >= cols / 2)] = classes == 1 ? 1.0 : 1.0 - 1e-9;
    }
    for (int32_t i = 0; i < classes * classes; i++) {
        rig->rate_haadf[i] = 0.1;
        rig->rate_eds[i] = 0.9;
    }
    rig->config = fly_steer_config_default();
    rig->config.dwell_max = 8.0;
    rig->config.hopeless = 1.0;
    rig->config.again = 0.0;
    rig->config.uneven = 1e6; /* rules are looked at one by one */
    rig->config.tiles = 128;
    rig_state(rig, rows, cols, classes);
    return rig;
}

static inline void rig_free(struct rig *rig)
{
    fly_arena_fini(&rig->arena);
    free(rig);
}

/* The chip is class 0 or 1 by odds of e^llr. */
static inline void rig_doubt(struct rig *rig, int32_t k, double llr)
{
    int32_t n = rig->view.classes;
    double a = 1.0 / (1.0 + exp(-llr));

    for (int32_t c = 0; c < n; c++)
        rig->posterior[k * n + c] = c == 0 ? a : c == 1 ? 1.0 - a : 0.0;
}

static inline void rig_plan(struct rig *rig)
{
    assert_int_equal(fly_steer_plan(rig->state, &rig->config, &rig->view, &rig->plan), FLY_OK);
}

/* (K) 1: in the plan. */
static inline int32_t rig_chips(const struct rig *rig, uint8_t *in)
{
    int32_t n = 0;

    memset(in, 0, (size_t)rig->view.rows * (size_t)rig->view.cols);
    for (int32_t i = 0; i < rig->plan.n_tiles; i++) {
        const struct fly_steer_tile *tile = &rig->plan.tiles[i];

        assert_int_equal(tile->rows, 1);
        assert_true(tile->row >= 0 && tile->row < rig->view.rows && tile->col >= 0);
        assert_true(tile->cols >= 1 && tile->col + tile->cols <= rig->view.cols);
        for (int32_t c = 0; c < tile->cols; c++, n++) {
            uint8_t *at = &in[tile->row * rig->view.cols + tile->col + c];

            assert_int_equal(*at, 0); /* no chip twice */
            *at = 1;
        }
    }
    return n;
}

static inline double rig_between(struct fly_rng *rng, double least, double most)
{
    return least + (most - least) * fly_rng_uniform(rng);
}

static inline int rig_coin(struct fly_rng *rng)
{
    return (int)fly_rng_below(rng, 2);
}

static inline int32_t rig_whole(struct fly_rng *rng, int32_t least, int32_t most)
{
    return least + (int32_t)fly_rng_below(rng, (uint64_t)(most - least + 1));
}

static inline void rig_random_chip(struct rig *rig, struct fly_rng *rng, int32_t k, double sure)
{
    int32_t n = rig->view.classes;
    double *p = rig->posterior + k * n, sum = 0.0;

    for (int32_t c = 0; c < n; c++)
        sum += p[c] = rig_coin(rng) && rig_coin(rng) ? 0.0 : exp(sure * fly_rng_uniform(rng));
    if (sum == 0.0)
        sum = p[0] = 1.0;
    for (int32_t c = 0; c < n; c++)
        p[c] /= sum;
    rig->measured[k] = fly_rng_below(rng, 50) != 0;
    rig->novel[k] = rig_coin(rng) ? NAN : (float)fly_rng_uniform(rng);
    rig->mean_us[k] = (float)(rig->view.survey_us * rig_whole(rng, 0, 8) * rig_between(rng, 0.9, 1.0));
    rig->max_us[k] = rig->mean_us[k] * (float)rig_between(rng, 1.0, 1.2);
    rig->label_haadf[k] = rig_whole(rng, -3, n - 1);
    rig->label_eds[k] = rig_whole(rng, -3, n - 1);
    rig->last_ns[k] = rig_coin(rng) ? 0 : rig->view.now_ns - (int64_t)fly_rng_below(rng, 2000000000);
    rig->barred[k] = fly_rng_below(rng, 20) == 0;
    rig->taught[k] = fly_rng_below(rng, 20) == 0;
}

/* Anything that a view may be. */
static inline struct rig *rig_random(uint64_t seed)
{
    struct fly_rng rng = {seed};
    int32_t rows = rig_whole(&rng, 1, 20), cols = rig_whole(&rng, 1, 30), classes = rig_whole(&rng, 1, RIG_CLASSES);
    struct rig *rig = rig_make(rows, cols, classes);
    struct fly_steer_view *v = &rig->view;
    struct fly_steer_config *c = &rig->config;
    double sure = rig_between(&rng, 0.0, 20.0);

    v->side_px = rig_whole(&rng, 1, 20);
    v->pitch_px = rig_coin(&rng) ? v->side_px : rig_whole(&rng, (v->side_px + 2) / 3, v->side_px);
    v->epoch = fly_rng_next(&rng);
    v->survey_us = rig_between(&rng, 0.1, 20.0);
    v->novel = rig_coin(&rng) ? rig->novel : NULL;
    v->label_haadf = rig_coin(&rng) ? rig->label_haadf : NULL;
    v->label_eds = rig->label_eds;
    v->last_ns = rig_coin(&rng) ? rig->last_ns : NULL;
    v->barred = rig_coin(&rng) ? rig->barred : NULL;
    v->taught = rig_coin(&rng) ? rig->taught : NULL;
    v->rate_haadf = rig_coin(&rng) ? rig->rate_haadf : NULL;
    v->rate_eds = rig_coin(&rng) ? rig->rate_eds : NULL;
    v->composition_error = rig_coin(&rng) ? rig->composition : NULL;
    v->agreement = rig_coin(&rng) ? NAN : rig_between(&rng, -1.0, 1.0);
    v->births = fly_rng_below(&rng, 5);
    v->beam_px[0] = rig_coin(&rng) ? NAN : 3.0;
    if (fly_rng_below(&rng, 5) == 0)
        v->dose_left_us = rig_between(&rng, 0.0, 0.3 * v->survey_us);
    if (fly_rng_below(&rng, 5) == 0)
        v->time_left_us = rig_between(&rng, 0.0, 1e5);
    for (int32_t k = 0; k < rows * cols; k++)
        rig_random_chip(rig, &rng, k, sure);
    if (rig_coin(&rng))
        memset(rig->measured, 1, (size_t)rows * (size_t)cols);
    for (int32_t i = 0; i < classes * classes; i++) {
        rig->rate_haadf[i] = fly_rng_below(&rng, 6) == 0 ? NAN : exp(rig_between(&rng, -8.0, 3.0)) / v->survey_us;
        rig->rate_eds[i] = fly_rng_below(&rng, 6) == 0 ? NAN : exp(rig_between(&rng, -8.0, 3.0)) / v->survey_us;
    }
    for (int32_t i = 0; i < classes; i++)
        rig->composition[i] = rig_coin(&rng) ? rig_between(&rng, 0.0, 0.3) : NAN;
    c->policy = (enum fly_steer_policy)(rig_coin(&rng) ? 0 : rig_whole(&rng, 0, FLY_STEER_POLICIES - 1));
    c->seed = fly_rng_next(&rng);
    c->signal = rig_coin(&rng) ? FLY_STEER_SIGNAL_AUTO : rig_whole(&rng, 0, FLY_SIGNALS - 1);
    c->apart = rig_coin(&rng);
    c->tiles = rig_coin(&rng) ? rig_whole(&rng, 1, 40) : rig_whole(&rng, 1, FLY_STEER_TILES_MAX);
    c->explore = rig_coin(&rng) ? 0.1 : rig_coin(&rng) ? fly_rng_uniform(&rng) : (double)rig_coin(&rng);
    c->hopeless = rig_coin(&rng) ? 1.0 : 3.0;
    c->potts_iterations = rig_whole(&rng, 0, 5);
    c->rest_ms = rig_coin(&rng) ? 0.0 : 500.0;
    c->budget = rig_coin(&rng) ? 0.0 : rig_between(&rng, 0.0, 8.0);
    c->cap_us = rig_coin(&rng) ? INFINITY : rig_between(&rng, 0.5, 8.0) * v->survey_us;
    c->slew_px_per_us = rig_coin(&rng) ? INFINITY : exp(rig_between(&rng, -4.0, 4.0));
    c->stop_epochs = rig_whole(&rng, 0, 1);
    c->stop_floor = rig_coin(&rng) ? 0.0 : 0.01;
    c->again = rig_coin(&rng) ? 0.5 : 0.0;
    c->support = rig_coin(&rng) ? 0.5 : 0.0;
    c->uneven = rig_coin(&rng) ? rig_between(&rng, 1.0, 3.0) : 1e6;
    return rig;
}

#endif
