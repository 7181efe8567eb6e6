/* Stable ids and the story of one map after another: what an epoch costs, beside the table of shared chips alone. */
#include "tests/bench/bench.h"

#include <string.h>

#include "engine/base/agreement.h"
#include "engine/base/rng.h"
#include "engine/map/flicker.h"
#include "engine/map/identity.h"
#include "engine/map/story.h"
#include "tests/bench/measure.h"

enum { EPOCHS = 200, QUICK_EPOCHS = 20 };

/* Clusters in patches, numbered anew at each epoch, one chip in 50 elsewhere; or all at random, where the most is to
 * be matched. */
static void next_map(struct fly_rng *rng, int32_t *raw, int32_t n, int32_t clusters, int at_random)
{
    int32_t turn = (int32_t)fly_rng_below(rng, (uint64_t)clusters);

    for (int32_t i = 0; i < n; i++) {
        int32_t c = (int32_t)((int64_t)i * clusters / n);

        if (at_random || fly_rng_below(rng, 50) == 0)
            c = (int32_t)fly_rng_below(rng, (uint64_t)clusters);
        raw[i] = (c + turn) % clusters;
    }
}

static double seconds_of_table(const int32_t *before, const int32_t *now, int32_t n, struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    struct fly_contingency table;
    double begin = bench_now_s(), took;

    fly_contingency_fill(&table, before, now, n, arena);
    took = bench_now_s() - begin;
    fly_arena_reset(arena, mark);
    return took;
}

static void one_case(FILE *out, const char *name, int32_t n, int32_t clusters, int at_random, int32_t epochs)
{
    struct fly_identity_config config = {.n = n, .smallest = 3};
    struct fly_map_scratch scratch;
    struct fly_identity identity;
    struct fly_story story;
    struct fly_arena arena;
    struct fly_rng rng = {7};
    int32_t *raw = bench_need((size_t)n, sizeof *raw), *before = bench_need((size_t)n, sizeof *before);
    double *ours = bench_need((size_t)epochs, sizeof *ours), *table = bench_need((size_t)epochs, sizeof *table);
    double median, reference;

    bench_check(fly_arena_init(&arena, fly_map_scratch_need(n) + fly_identity_need(&config) +
                               fly_story_need(n, config.smallest) + fly_contingency_need(n), NULL, "bench"));
    fly_map_scratch_init(&scratch, n, &arena);
    fly_identity_init(&identity, &config, &arena);
    fly_story_init(&story, n, config.smallest, &arena);
    for (int32_t e = -1; e < epochs; e++) { /* the first map has none before it */
        double begin;

        memcpy(before, identity.label, (size_t)n * sizeof *before);
        next_map(&rng, raw, n, clusters, at_random);
        begin = bench_now_s();
        fly_identity_step(&identity, raw, NULL, NULL, &scratch);
        fly_story_tell(&story, identity.label, &scratch);
        if (e < 0)
            continue;
        ours[e] = bench_now_s() - begin;
        table[e] = seconds_of_table(before, raw, n, &arena);
        FLY_ASSERT(fly_flicker(before, identity.label, NULL, n, &scratch).avoidable == 0);
    }
    median = bench_median(ours, epochs);
    reference = bench_median(table, epochs);
    fprintf(out, "{\"name\": \"%s\", \"size\": %d, \"clusters\": %d, \"threads\": 1, \"median\": %.4g, \"max\": %.4g, "
            "\"unit\": \"us\", \"reference\": %.4g, \"ratio\": %.3f}\n", name, n, clusters, 1e6 * median,
            1e6 * ours[epochs - 1], 1e6 * reference, reference / median);
    fflush(out);
    fly_arena_fini(&arena);
    free(raw);
    free(before);
    free(ours);
    free(table);
}

int bench_map(FILE *out, const struct bench_options *options)
{
    int32_t epochs = options->quick ? QUICK_EPOCHS : EPOCHS;

    one_case(out, "map.epoch", 2601, 4, 0, epochs);
    one_case(out, "map.epoch", 2601, 64, 0, epochs);
    one_case(out, "map.epoch", 65536, 64, 0, epochs / 5);
    one_case(out, "map.random", 2601, 64, 1, epochs);
    one_case(out, "map.random", 2601, 512, 1, epochs);
    one_case(out, "map.random", 65536, 512, 1, QUICK_EPOCHS / 2);
    return FLY_OK;
}
