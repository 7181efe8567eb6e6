#include "engine/map/story.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/err.h"
#include "engine/map/identity.h"

size_t fly_story_need(int32_t n, int32_t smallest)
{
    size_t cap = (size_t)(n / smallest), sum = fly_arena_need((size_t)n, sizeof(int32_t));

    sum = fly_size_add(sum, fly_arena_need(2 * cap, sizeof(struct fly_cluster)));
    sum = fly_size_add(sum, 3 * fly_arena_need(cap, sizeof(int32_t)));
    return fly_size_add(sum, fly_arena_need(4 * cap, sizeof(int32_t)));
}

void fly_story_init(struct fly_story *story, int32_t n, int32_t smallest, struct fly_arena *arena)
{
    size_t cap;

    FLY_ASSERT(n >= 0 && smallest >= 1);
    cap = (size_t)(n / smallest);
    *story = (struct fly_story){.n = n, .cap = n / smallest};
    story->cluster = fly_arena_take(arena, 2 * cap, sizeof *story->cluster);
    story->index = fly_arena_take(arena, (size_t)n, sizeof *story->index);
    story->id = fly_arena_take(arena, cap, sizeof *story->id);
    story->size = fly_arena_take(arena, cap, sizeof *story->size);
    story->children = fly_arena_take(arena, cap, sizeof *story->children);
    story->parent = fly_arena_take(arena, 4 * cap, sizeof *story->parent);
    FLY_ASSERT(story->cluster && story->index && story->id && story->size && story->children && story->parent);
    for (int32_t i = 0; i < n; i++)
        story->index[i] = FLY_MAP_NONE;
}

static int by_id(const void *a, const void *b)
{
    const struct fly_cluster *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

const struct fly_cluster *fly_story_find(const struct fly_story *story, int32_t id)
{
    struct fly_cluster key = {.id = id};

    return bsearch(&key, story->cluster, (size_t)story->count, sizeof key, by_id);
}

static int present(int32_t label)
{
    return label >= 0 || label == FLY_MAP_MINOR;
}

/* The living, by id; s->now: where each chip's stands among them, or its label below 0. */
static void find_clusters(struct fly_story *story, const int32_t *labels, struct fly_map_scratch *s)
{
    int32_t count = fly_number_labels(&s->numbers, labels, story->n, s->now), *place = s->a;

    FLY_ASSERT(count <= story->cap);
    for (int32_t c = 0; c < count; c++)
        story->cluster[c] = (struct fly_cluster){0};
    for (int32_t i = 0; i < story->n; i++)
        if (s->now[i] >= 0) {
            story->cluster[s->now[i]].id = labels[i];
            story->cluster[s->now[i]].chips++;
            story->cluster[s->now[i]].before = s->now[i]; /* for a moment: its number */
        }
    qsort(story->cluster, (size_t)count, sizeof *story->cluster, by_id);
    story->count = count;
    for (int32_t c = 0; c < count; c++) {
        place[story->cluster[c].before] = c;
        story->cluster[c].before = 0;
    }
    for (int32_t i = 0; i < story->n; i++)
        if (s->now[i] >= 0)
            s->now[i] = place[s->now[i]];
}

/* Those that stayed, and those that went. Both lists ascend. */
static void compare_ids(struct fly_story *story)
{
    int32_t c = 0;

    story->gone = 0;
    for (int32_t a = 0; a < story->count_before; a++) {
        while (c < story->count && story->cluster[c].id < story->id[a])
            c++;
        if (c < story->count && story->cluster[c].id == story->id[a])
            story->cluster[c].before = story->size[a];
        else
            story->cluster[story->count + story->gone++] = (struct fly_cluster){
                .id = story->id[a], .before = story->size[a], .events = FLY_CLUSTER_GONE};
    }
    for (c = 0; c < story->count; c++) {
        struct fly_cluster *cluster = &story->cluster[c];

        if (cluster->before == 0)
            cluster->events |= cluster->id >= story->next_id ? FLY_CLUSTER_BORN : FLY_CLUSTER_REVIVED;
        else if (2 * (int64_t)cluster->chips > 3 * (int64_t)cluster->before)
            cluster->events |= FLY_CLUSTER_GREW;
    }
    for (c = 0; c < story->count; c++)
        if (story->cluster[c].id >= story->next_id)
            story->next_id = story->cluster[c].id + 1;
}

/* Chips of each cluster of either map that are present in both: now in s->b, then in s->c. */
static void count_present(const struct fly_story *story, struct fly_map_scratch *s)
{
    memset(s->b, 0, (size_t)story->count * sizeof *s->b);
    memset(s->c, 0, (size_t)story->count_before * sizeof *s->c);
    for (int32_t i = 0; i < story->n; i++) {
        if (!present(s->now[i]) || !present(story->index[i]))
            continue;
        if (s->now[i] >= 0)
            s->b[s->now[i]]++;
        if (story->index[i] >= 0)
            s->c[story->index[i]]++;
    }
}

static int is_parent(const struct fly_overlap_cell *cell, const int32_t *then_size)
{
    return 4 * (int64_t)cell->chips >= then_size[cell->col];
}

static void tell_cluster(struct fly_story *story, int32_t row, int32_t *used, const struct fly_map_scratch *s)
{
    const struct fly_overlaps *o = &s->overlaps;
    struct fly_cluster *cluster = &story->cluster[row];
    int32_t first = *used, parted = 0;

    for (int32_t at = o->start[row]; at < o->start[row + 1]; at++) {
        const struct fly_overlap_cell *cell = &o->cell[at];

        if (story->id[cell->col] == cluster->id &&
            10 * (int64_t)cell->chips < 3 * ((int64_t)s->b[row] + s->c[cell->col] - cell->chips))
            cluster->events |= FLY_CLUSTER_WEAK;
        if (!is_parent(cell, s->c))
            continue;
        story->parent[(*used)++] = story->id[cell->col];
        parted |= story->children[cell->col] >= 2;
    }
    if (*used - first >= 2)
        cluster->events |= FLY_CLUSTER_MERGED;
    if (parted)
        cluster->events |= FLY_CLUSTER_SPLIT;
    story->merges += *used - first >= 2;
    if (cluster->events & (FLY_CLUSTER_MERGED | FLY_CLUSTER_SPLIT)) {
        cluster->parent = story->parent + first;
        cluster->parents = *used - first;
    }
}

static void compare_chips(struct fly_story *story, struct fly_map_scratch *s)
{
    const struct fly_overlaps *o = &s->overlaps;
    int32_t used = 0;

    count_present(story, s);
    fly_overlaps_fill(&s->overlaps, s->now, story->count, story->index, story->count_before, NULL, story->n);
    memset(story->children, 0, (size_t)story->count_before * sizeof *story->children);
    for (int32_t at = 0; at < o->start[o->rows]; at++)
        story->children[o->cell[at].col] += is_parent(&o->cell[at], s->c);
    story->splits = story->merges = 0;
    for (int32_t a = 0; a < story->count_before; a++)
        story->splits += story->children[a] >= 2;
    for (int32_t row = 0; row < story->count; row++)
        tell_cluster(story, row, &used, s);
}

void fly_story_tell(struct fly_story *story, const int32_t *labels, struct fly_map_scratch *scratch)
{
    FLY_ASSERT(scratch->n_cap >= story->n);
    /* What was told last is what is compared with. */
    story->count_before = story->count;
    for (int32_t c = 0; c < story->count; c++) {
        story->id[c] = story->cluster[c].id;
        story->size[c] = story->cluster[c].chips;
    }
    find_clusters(story, labels, scratch);
    compare_ids(story);
    compare_chips(story, scratch);
    memcpy(story->index, scratch->now, (size_t)story->n * sizeof *story->index);
}

const char *fly_cluster_word(const struct fly_cluster *cluster)
{
    if (cluster->events & FLY_CLUSTER_GONE)
        return "gone";
    if (cluster->events & FLY_CLUSTER_MERGED)
        return "merged";
    if (cluster->events & FLY_CLUSTER_SPLIT)
        return "split";
    return cluster->events & (FLY_CLUSTER_BORN | FLY_CLUSTER_REVIVED) ? "born" : NULL;
}
