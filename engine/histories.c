#include "engine/histories.h"

#include <math.h>
#include <string.h>

#include "engine/graph/community.h"

enum { VOTE_PAIRS = 65536 }; /* in the life of a session: k may change, and ids with it */

static int is_ward(int map)
{
    return fly_map_method(map) == FLY_WARD;
}

static int votes(int map)
{
    return is_ward(map) && fly_map_modality(map) == FLY_ENSEMBLE;
}

static int has_identity(int map)
{
    return fly_map_method(map) != FLY_FEWSHOT && !votes(map);
}

/* Where somebody asked for k clusters, one of a single chip is one of them. */
static struct fly_identity_config identity_config(int32_t n, int map)
{
    return (struct fly_identity_config){.n = n, .smallest = is_ward(map) ? 1 : FLY_COMMUNITY_SMALLEST};
}

static int32_t smallest_told(int map)
{
    return fly_map_method(map) == FLY_COMMUNITY ? FLY_COMMUNITY_SMALLEST : 1;
}

static struct fly_vote_config vote_config(int32_t n)
{
    return (struct fly_vote_config){.n = n, .smallest = 1, .pairs = n < VOTE_PAIRS / 16 ? 16 * n : VOTE_PAIRS};
}

static size_t history_need(int32_t n, int map, int calm)
{
    struct fly_identity_config config = identity_config(n, map);
    size_t chips = (size_t)n, need = fly_story_need(n, smallest_told(map));

    if (calm)
        need = fly_size_add(need, fly_debounce_need(n));
    if (fly_map_method(map) == FLY_FEWSHOT)
        return need;
    need = fly_size_add(need, fly_arena_need(chips, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(chips, sizeof(float)));
    need = fly_size_add(need, fly_arena_need(chips, sizeof(uint32_t)));
    return has_identity(map) ? fly_size_add(need, fly_identity_need(&config)) : need;
}

size_t fly_histories_need(int32_t n, const uint8_t *there, int calm)
{
    struct fly_vote_config vote = vote_config(n);
    size_t need = fly_size_add(fly_map_scratch_need(n), fly_arena_need((size_t)n, sizeof(uint8_t)));

    for (int map = 0; map < FLY_MAPS; map++) {
        if (there[map])
            need = fly_size_add(need, history_need(n, map, calm));
        if (there[map] && votes(map))
            need = fly_size_add(need, fly_vote_need(&vote));
    }
    return need;
}

static void *take(struct fly_arena *arena, size_t count, size_t size)
{
    void *at = fly_arena_take(arena, count, size);

    FLY_ASSERT(at);
    memset(at, 0, count * size);
    return at;
}

void fly_histories_init(struct fly_histories *histories, int32_t n, const uint8_t *there, int calm,
                        struct fly_arena *arena)
{
    memset(histories, 0, sizeof *histories);
    histories->n = n;
    histories->calm = calm;
    fly_map_scratch_init(&histories->scratch, n, arena);
    histories->revised = take(arena, (size_t)n, sizeof *histories->revised);
    for (int map = 0; map < FLY_MAPS; map++) {
        struct fly_history *h = &histories->of[map];
        struct fly_identity_config config = identity_config(n, map);
        struct fly_vote_config vote = vote_config(n);

        h->there = there[map];
        if (!h->there)
            continue;
        fly_story_init(&h->story, n, smallest_told(map), arena);
        fly_names_init(&h->names);
        if (calm)
            fly_debounce_init(&h->debounce, n, arena);
        if (fly_map_method(map) == FLY_FEWSHOT)
            continue;
        h->label = take(arena, (size_t)n, sizeof *h->label);
        h->confidence = take(arena, (size_t)n, sizeof *h->confidence);
        h->age = take(arena, (size_t)n, sizeof *h->age);
        for (int32_t k = 0; k < n; k++) {
            h->label[k] = FLY_LABEL_PENDING;
            h->confidence[k] = NAN;
        }
        if (has_identity(map))
            fly_identity_init(&h->identity, &config, arena);
        else
            fly_vote_init(&histories->vote, &vote, arena);
    }
}

/* Called once a map and epoch in which it changed. */
void fly_history_tell(struct fly_histories *histories, int map, const int32_t *labels)
{
    struct fly_history *h = &histories->of[map];

    fly_story_tell(&h->story, labels, &histories->scratch);
    (void)fly_names_follow(&h->names, &h->story);
    h->fresh = 1;
}

static void show(struct fly_histories *histories, int map, const int32_t *labels, const float *confidence)
{
    struct fly_history *h = &histories->of[map];

    for (int32_t k = 0; k < histories->n; k++) {
        h->label[k] = labels[k];
        h->confidence[k] = labels[k] >= 0 ? confidence[k] : NAN;
    }
}

void fly_history_step(struct fly_histories *histories, int map, const int32_t *raw, int told,
                      const float *confidence, const uint32_t *age)
{
    struct fly_history *h = &histories->of[map];
    size_t n = (size_t)histories->n;

    FLY_ASSERT(h->there && has_identity(map));
    if (!told) {
        show(histories, map, raw, confidence);
        return;
    }
    for (size_t k = 0; k < n; k++)
        histories->revised[k] = age[k] != h->age[k];
    memcpy(h->age, age, n * sizeof *age);
    fly_identity_step(&h->identity, raw, histories->revised, confidence, &histories->scratch);
    show(histories, map, h->identity.label, confidence);
    fly_history_tell(histories, map, h->label);
}

void fly_history_vote(struct fly_histories *histories, const float *confidence)
{
    const int map = fly_map_index(FLY_WARD, FLY_ENSEMBLE);
    struct fly_history *h = &histories->of[map];

    FLY_ASSERT(h->there);
    fly_vote_step(&histories->vote, histories->of[fly_map_index(FLY_WARD, FLY_HAADF)].label,
                  histories->of[fly_map_index(FLY_WARD, FLY_EDS)].label, &histories->scratch);
    show(histories, map, histories->vote.label, confidence);
    fly_history_tell(histories, map, h->label);
}

int fly_history_calm(struct fly_histories *histories, int map, const int32_t *labels, const float *margin, int plain)
{
    struct fly_history *h = &histories->of[map];

    FLY_ASSERT(h->there && histories->calm);
    return plain ? fly_debounce_settle(&h->debounce, labels)
                 : fly_debounce_step(&h->debounce, labels, margin, &h->story);
}
