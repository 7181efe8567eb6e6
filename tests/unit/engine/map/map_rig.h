/* tests/unit/engine/map/map_rig.h: maps of random clusters, and what the functions of the room stand on. */
#ifndef FLY_TESTS_MAP_RIG_H
#define FLY_TESTS_MAP_RIG_H

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/map/identity.h"
#include "engine/map/story.h"

struct rig {
    struct fly_arena arena;
    struct fly_map_scratch scratch;
    struct fly_identity identity;
    struct fly_story story;
};

static inline void rig_open(struct rig *rig, int32_t n, int32_t smallest)
{
    struct fly_identity_config config = {.n = n, .smallest = smallest};
    size_t need = fly_map_scratch_need(n) + fly_identity_need(&config) + fly_story_need(n, smallest);

    assert_int_equal(fly_arena_init(&rig->arena, need, NULL, "map"), FLY_OK);
    fly_map_scratch_init(&rig->scratch, n, &rig->arena);
    fly_identity_init(&rig->identity, &config, &rig->arena);
    fly_story_init(&rig->story, n, smallest, &rig->arena);
    assert_int_equal(rig->arena.used, need); /* what is reserved is what is taken */
}

static inline void rig_close(struct rig *rig)
{
    fly_arena_fini(&rig->arena);
}

static inline void rig_step(struct rig *rig, const int32_t *raw)
{
    fly_identity_step(&rig->identity, raw, NULL, NULL, &rig->scratch);
    fly_story_tell(&rig->story, rig->identity.label, &rig->scratch);
}

/* A map in letters: 'a' .. are clusters, '.' is not measured, '-' too little, '?' unknown. */
static inline const int32_t *drawn(const char *letters)
{
    static int32_t raw[256];

    for (int32_t i = 0; letters[i]; i++)
        raw[i] = letters[i] == '.' ? -1 : letters[i] == '?' ? -2 : letters[i] == '-' ? -3 : letters[i] - 'a';
    return raw;
}

static inline void rig_draw(struct rig *rig, const char *letters)
{
    assert_int_equal(strlen(letters), rig->identity.config.n);
    rig_step(rig, drawn(letters));
}

/* Ids as digits, '.', '?', '-' as above, '_' minor. */
static inline void assert_map(const struct rig *rig, const char *digits)
{
    char told[256] = {0};

    for (int32_t i = 0; i < rig->identity.config.n; i++) {
        int32_t label = rig->identity.label[i];

        told[i] = (char)(label >= 0 ? '0' + label : label == -1 ? '.' : label == -2 ? '?' : label == -3 ? '-' : '_');
    }
    assert_string_equal(told, digits);
}

/* A next map: most chips as they were, some moved, sometimes two clusters joined or one cut; some chips absent. */
static inline void wander(struct fly_rng *rng, int32_t *raw, int32_t n, int32_t clusters)
{
    uint64_t what = fly_rng_below(rng, 6);
    int32_t a = (int32_t)fly_rng_below(rng, (uint64_t)clusters), b = (int32_t)fly_rng_below(rng, (uint64_t)clusters);
    int32_t cut = (int32_t)fly_rng_below(rng, (uint64_t)n + 1);

    for (int32_t i = 0; i < n; i++) {
        if (raw[i] == a && (what == 0 || (what == 1 && i < cut)))
            raw[i] = b;
        if (what == 2)
            raw[i] = raw[i] < 0 ? raw[i] : (int32_t)fly_rng_below(rng, (uint64_t)clusters);
        if (fly_rng_below(rng, 8) == 0)
            raw[i] = (int32_t)fly_rng_below(rng, (uint64_t)clusters + 2) - 2;
    }
}

/* The same partition under other numbers, any. */
static inline void renumber(struct fly_rng *rng, const int32_t *raw, int32_t *out, int32_t n)
{
    int32_t number[64];

    for (int32_t c = 0; c < 64; c++)
        for (int again = 1; again;) {
            number[c] = (int32_t)fly_rng_below(rng, fly_rng_below(rng, 2) ? 100 : INT32_MAX);
            again = 0;
            for (int32_t d = 0; d < c; d++)
                again |= number[d] == number[c];
        }
    for (int32_t i = 0; i < n; i++)
        out[i] = raw[i] < 0 ? raw[i] : number[raw[i]];
}

#endif
