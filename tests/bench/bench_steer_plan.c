/* What a plan costs: maps of patches whose boundaries are in doubt. */
#include "tests/bench/bench.h"

#include <string.h>

#include "engine/base/rng.h"
#include "engine/steer/policy.h"
#include "tests/bench/measure.h"

enum { PLANS = 200, QUICK_PLANS = 20, PATCH = 9 };

struct map {
    struct fly_steer_view view;
    struct fly_steer_config config;
    struct fly_arena arena;
    struct fly_steer *state;
    double *posterior, *rate;
    float *mean_us, *max_us, *novel;
    int32_t *label[2];
    int64_t *last_ns;
    uint8_t *measured, *barred;
};

static void fill(struct map *m, int32_t side, int32_t classes, double doubtful)
{
    struct fly_rng rng = {11};

    for (int32_t k = 0; k < side * side; k++) {
        int32_t row = k / side, col = k % side, class_of = (row / PATCH * 7 + col / PATCH * 3) % classes;
        double *p = m->posterior + (size_t)k * (size_t)classes, sum = 0.0, doubt = fly_rng_uniform(&rng) < doubtful;

        for (int32_t c = 0; c < classes; c++)
            sum += p[c] = exp(6.0 * (c == class_of) + (doubt > 0.0 ? 6.0 : 1.0) * fly_rng_uniform(&rng));
        for (int32_t c = 0; c < classes; c++)
            p[c] /= sum;
        m->measured[k] = 1;
        m->novel[k] = (float)(0.05 * fly_rng_uniform(&rng));
        m->mean_us[k] = m->max_us[k] = 2.0f + 2.0f * (float)fly_rng_below(&rng, 4);
        m->label[0][k] = m->label[1][k] = class_of;
    }
    for (int32_t i = 0; i < classes * classes; i++)
        m->rate[i] = 0.2 + fly_rng_uniform(&rng);
}

static void map_open(struct map *m, int32_t side, int32_t classes, double doubtful)
{
    size_t k = (size_t)side * (size_t)side;

    memset(m, 0, sizeof *m);
    m->posterior = bench_need(k * (size_t)classes, sizeof *m->posterior);
    m->rate = bench_need((size_t)classes * (size_t)classes, sizeof *m->rate);
    m->mean_us = bench_need(k, sizeof *m->mean_us);
    m->max_us = bench_need(k, sizeof *m->max_us);
    m->novel = bench_need(k, sizeof *m->novel);
    m->last_ns = bench_need(k, sizeof *m->last_ns);
    m->measured = bench_need(k, 1);
    m->barred = bench_need(k, 1);
    for (int i = 0; i < 2; i++)
        m->label[i] = bench_need(k, sizeof *m->label[i]);
    fill(m, side, classes, doubtful);
    m->view = (struct fly_steer_view){.rows = side, .cols = side, .side_px = 10, .pitch_px = 10, .classes = classes,
                                      .has_haadf = 1, .has_eds = 1, .surveyed = 1, .posterior = m->posterior,
                                      .measured = m->measured, .novel = m->novel, .label_haadf = m->label[0],
                                      .label_eds = m->label[1], .rate_eds = m->rate, .mean_us = m->mean_us,
                                      .max_us = m->max_us, .last_ns = m->last_ns, .barred = m->barred,
                                      .survey_us = 2.0, .now_ns = 1, .dose_left_us = INFINITY, .time_left_us = INFINITY,
                                      .agreement = NAN, .beam_px = {0.0, 0.0}};
    m->config = fly_steer_config_default();
    m->config.stop_error = 0.0;
    bench_check(fly_arena_init(&m->arena, fly_steer_need(side, side, classes), NULL, "bench"));
    bench_check(fly_steer_init(&m->state, side, side, classes, &m->arena));
}

static void map_close(struct map *m)
{
    fly_arena_fini(&m->arena);
    free(m->posterior);
    free(m->rate);
    free(m->mean_us);
    free(m->max_us);
    free(m->novel);
    free(m->last_ns);
    free(m->measured);
    free(m->barred);
    free(m->label[0]);
    free(m->label[1]);
}

static void one_case(FILE *out, int32_t side, int32_t classes, double doubtful, int32_t plans)
{
    static struct fly_steer_plan plan;
    double *took = bench_need((size_t)plans, sizeof *took), median, p99;
    struct map m;

    map_open(&m, side, classes, doubtful);
    for (int32_t i = -1; i < plans; i++) { /* memory is there after the first */
        double begin = bench_now_s();

        m.view.epoch++;
        bench_check(fly_steer_plan(m.state, &m.config, &m.view, &plan));
        if (i >= 0)
            took[i] = bench_now_s() - begin;
    }
    median = bench_median(took, plans);
    p99 = bench_quantile(took, plans, 0.99);
    fprintf(out, "{\"name\": \"steer_plan\", \"size\": %d, \"classes\": %d, \"threads\": 1, \"median\": %.4g, \"p99\": %.4g, "
            "\"unit\": \"ms\", \"queued\": %d, \"tiles\": %d}\n", side * side, classes, 1e3 * median, 1e3 * p99, plan.queued,
            plan.n_tiles);
    fflush(out);
    map_close(&m);
    free(took);
}

int bench_steer_plan(FILE *out, const struct bench_options *options)
{
    int32_t plans = options->quick ? QUICK_PLANS : PLANS;

    one_case(out, 51, 4, 0.3, plans);
    one_case(out, 51, 16, 0.3, plans);
    one_case(out, 256, 4, 0.3, plans);
    one_case(out, 256, 4, 1.0, plans);
    one_case(out, 256, 8, 0.3, plans);
    one_case(out, 256, 16, 1.0, plans);
    return FLY_OK;
}
