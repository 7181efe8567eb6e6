#include "engine/map/vote.h"

#include <string.h>

#include "engine/base/err.h"
#include "engine/map/identity.h"

size_t fly_vote_need(const struct fly_vote_config *config)
{
    size_t sum = fly_arena_need((size_t)config->n, sizeof(int32_t));

    sum = fly_size_add(sum, fly_arena_need((size_t)config->pairs, 2 * sizeof(int32_t)));
    return fly_size_add(sum, fly_numbers_need(config->pairs));
}

void fly_vote_init(struct fly_vote *vote, const struct fly_vote_config *config, struct fly_arena *arena)
{
    FLY_ASSERT(config->n >= 0 && config->smallest >= 1 && config->pairs >= 1);
    *vote = (struct fly_vote){.config = *config};
    vote->label = fly_arena_take(arena, (size_t)config->n, sizeof *vote->label);
    vote->pair = fly_arena_take(arena, (size_t)config->pairs, sizeof *vote->pair);
    FLY_ASSERT(vote->label && vote->pair);
    fly_numbers_init(&vote->ids, config->pairs, arena);
    for (int32_t i = 0; i < config->n; i++)
        vote->label[i] = FLY_MAP_NONE;
}

/* What is told of a chip that lacks one of its labels. */
static int32_t lacking(int32_t a, int32_t b)
{
    static const int32_t known[] = {-1, -3, -2};

    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (a == known[k] || b == known[k])
            return known[k];
    return a < b ? a : b;
}

static uint64_t key_of(int32_t a, int32_t b)
{
    return (uint64_t)a << 32 | (uint32_t)b;
}

/* The id of chip i's pair, a new one where there is room. */
static int32_t id_of(struct fly_vote *vote, int32_t a, int32_t b)
{
    int32_t id = fly_number(&vote->ids, key_of(a, b));

    if (id < 0)
        return FLY_MAP_MINOR;
    vote->pair[id][0] = a;
    vote->pair[id][1] = b;
    vote->count = vote->ids.count;
    return id;
}

void fly_vote_step(struct fly_vote *vote, const int32_t *a, const int32_t *b, struct fly_map_scratch *s)
{
    int32_t n = vote->config.n, *size = s->a, *id = s->b;

    FLY_ASSERT(s->n_cap >= n);
    fly_numbers_clear(&s->numbers);
    memset(size, 0, (size_t)n * sizeof *size);
    for (int32_t i = 0; i < n; i++) {
        s->now[i] = a[i] < 0 || b[i] < 0 ? -1 : fly_number(&s->numbers, key_of(a[i], b[i]));
        if (s->now[i] >= 0)
            size[s->now[i]]++;
    }
    for (int32_t p = 0; p < s->numbers.count; p++)
        id[p] = -1; /* not asked for yet */
    vote->omitted = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t p = s->now[i];

        if (p < 0) {
            vote->label[i] = lacking(a[i], b[i]);
            continue;
        }
        if (id[p] == -1)
            id[p] = size[p] < vote->config.smallest ? FLY_MAP_MINOR : id_of(vote, a[i], b[i]);
        vote->label[i] = id[p];
        vote->omitted += id[p] < 0 && size[p] >= vote->config.smallest;
    }
}
