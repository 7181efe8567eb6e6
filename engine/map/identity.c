#include "engine/map/identity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/err.h"

/* In gone: the chip was present, in a cluster that did not go. */
enum { ELSEWHERE = FLY_MAP_MINOR };

size_t fly_identity_need(const struct fly_identity_config *config)
{
    size_t n = (size_t)config->n, each = fly_arena_need(n, sizeof(int32_t));
    size_t clusters = fly_arena_need(n / (size_t)config->smallest, sizeof(int32_t));

    return fly_size_add((3 + FLY_MAP_REMEMBERED) * each, 2 * clusters);
}

static int32_t *take(struct fly_arena *arena, size_t count)
{
    int32_t *at = fly_arena_take(arena, count, sizeof *at);

    FLY_ASSERT(at);
    return at;
}

void fly_identity_init(struct fly_identity *identity, const struct fly_identity_config *config,
                       struct fly_arena *arena)
{
    size_t n = (size_t)config->n, clusters;

    FLY_ASSERT(config->n >= 0 && config->smallest >= 1);
    clusters = n / (size_t)config->smallest;
    *identity = (struct fly_identity){.config = *config};
    identity->label = take(arena, n);
    identity->index = take(arena, n);
    identity->since = take(arena, n);
    identity->id = take(arena, clusters);
    identity->anchor = take(arena, clusters);
    for (int e = 0; e < FLY_MAP_REMEMBERED; e++)
        identity->gone[e] = take(arena, n);
    for (int32_t i = 0; i < config->n; i++) {
        identity->label[i] = FLY_MAP_NONE;
        identity->index[i] = -1;
        identity->since[i] = 0;
    }
}

static int present(int32_t label)
{
    return label >= 0 || label == FLY_MAP_MINOR;
}

/* The map's clusters that are worth an id by first appearance, in s->now; returns how many. */
static int32_t number_clusters(const struct fly_identity *identity, const int32_t *raw,
                               struct fly_map_scratch *s)
{
    int32_t n = identity->config.n, clusters, worth = 0, *now = s->now, *size = s->a;

    clusters = fly_number_labels(&s->numbers, raw, n, now);
    memset(size, 0, (size_t)clusters * sizeof *size);
    for (int32_t i = 0; i < n; i++)
        if (now[i] >= 0)
            size[now[i]]++;
    for (int32_t c = 0; c < clusters; c++)
        size[c] = size[c] < identity->config.smallest ? FLY_MAP_MINOR : worth++;
    for (int32_t i = 0; i < n; i++)
        if (now[i] >= 0)
            now[i] = size[now[i]];
    return worth;
}

/* ---- keep ---------------------------------------------------------------------------------------- */

/* Each preference is worth more than all of the next together. */
static void weigh(const struct fly_identity *identity, struct fly_map_scratch *s)
{
    const struct fly_overlaps *o = &s->overlaps;
    fly_match_weight ages = (fly_match_weight)o->cols * o->cols + 1;

    for (int32_t row = 0; row < o->rows; row++)
        for (int32_t at = o->start[row]; at < o->start[row + 1]; at++) {
            struct fly_overlap_cell cell = o->cell[at];
            int32_t chip = identity->anchor[cell.col];
            fly_match_weight weight = cell.still;

            weight = weight * (identity->config.n + 1) + cell.chips;
            weight = weight * (o->cols + 1) + (s->now[chip] == row);
            s->weight[at] = weight * ages + (o->cols - cell.col);
        }
}

/* id_of: of each cluster, -1 where it has to be found elsewhere. kept: of each old one, 1. */
static void keep(const struct fly_identity *identity, int32_t clusters, const uint8_t *revised, int32_t *id_of,
                 int32_t *kept, struct fly_map_scratch *s)
{
    fly_overlaps_fill(&s->overlaps, s->now, clusters, identity->index, identity->count, revised,
                      identity->config.n);
    weigh(identity, s);
    fly_match_fill(&s->match, &s->overlaps, s->weight);
    for (int32_t row = 0; row < clusters; row++)
        id_of[row] = s->match.col_of[row] < 0 ? -1 : identity->id[s->match.col_of[row]];
    for (int32_t col = 0; col < identity->count; col++)
        kept[col] = s->match.row_of[col] >= 0;
}

/* ---- revive -------------------------------------------------------------------------------------- */

/* Chips of each cluster of either map that are present in both, and the ids of those that went. */
static void count_present(const int32_t *gone, int32_t clusters, int32_t ids, int32_t n, struct fly_map_scratch *s)
{
    int32_t *now_size = s->c, *then_size = s->d, *id = s->e;

    memset(now_size, 0, (size_t)clusters * sizeof *now_size);
    memset(then_size, 0, (size_t)ids * sizeof *then_size);
    for (int32_t i = 0; i < n; i++) {
        if (s->now[i] >= 0 && present(gone[i]))
            now_size[s->now[i]]++;
        if (gone[i] < 0)
            continue;
        id[s->then[i]] = gone[i];
        if (present(s->now[i]))
            then_size[s->then[i]]++;
    }
}

/* Clusters without an id that are alike to those which went at one epoch take theirs. Two of the one are alike
 * to the same of the other only where they are its halves: then the first comes first. */
static void revive_from(struct fly_identity *identity, int which, int32_t clusters, int32_t *id_of,
                        struct fly_map_scratch *s)
{
    const struct fly_overlaps *o = &s->overlaps;
    int32_t n = identity->config.n, *gone = identity->gone[which], *then = s->then, *id = s->e;
    int32_t ids = fly_number_labels(&s->numbers, gone, n, then);

    count_present(gone, clusters, ids, n, s);
    fly_overlaps_fill(&s->overlaps, s->now, clusters, then, ids, NULL, n);
    for (int32_t row = 0; row < clusters; row++)
        for (int32_t at = o->start[row]; at < o->start[row + 1] && id_of[row] < 0; at++) {
            int32_t both = o->cell[at].chips, col = o->cell[at].col;

            if (id[col] < 0 || 2 * both < s->c[row] + s->d[col] - both)
                continue;
            id_of[row] = id[col];
            id[col] = -1;
            identity->gone_count[which]--;
        }
    for (int32_t i = 0; i < n; i++)
        if (then[i] >= 0 && id[then[i]] < 0)
            gone[i] = ELSEWHERE;
}

static void revive(struct fly_identity *identity, int32_t clusters, int32_t *id_of, struct fly_map_scratch *s)
{
    for (int32_t age = 1; age <= FLY_MAP_REMEMBERED && age < identity->epoch; age++) {
        int which = (identity->epoch - age) % FLY_MAP_REMEMBERED, wanted = 0;

        for (int32_t row = 0; row < clusters; row++)
            wanted |= id_of[row] < 0;
        if (!wanted)
            return;
        if (identity->gone_count[which] > 0)
            revive_from(identity, which, clusters, id_of, s);
    }
}

/* What went at this epoch takes the place of what cannot come back any more. */
static void retire(struct fly_identity *identity, const int32_t *kept)
{
    int which = identity->epoch % FLY_MAP_REMEMBERED;
    int32_t *gone = identity->gone[which], count = identity->count;

    for (int32_t col = 0; col < identity->count; col++)
        count -= kept[col];
    identity->gone_count[which] = count;
    for (int32_t i = 0; count > 0 && i < identity->config.n; i++) {
        int32_t col = identity->index[i];

        if (col >= 0 && !kept[col])
            gone[i] = identity->label[i];
        else
            gone[i] = present(identity->label[i]) ? ELSEWHERE : FLY_MAP_NONE;
    }
}

/* ---- tell ---------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Of ids ascending: where id is. */
static int32_t place_of(const int32_t *ids, int32_t count, int32_t id)
{
    int32_t low = 0, high = count - 1;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;

        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void tell(struct fly_identity *identity, int32_t clusters, const int32_t *id_of, struct fly_map_scratch *s)
{
    int32_t *place = s->c;

    memcpy(identity->id, id_of, (size_t)clusters * sizeof *id_of);
    qsort(identity->id, (size_t)clusters, sizeof *identity->id, ascending);
    for (int32_t row = 0; row < clusters; row++)
        place[row] = place_of(identity->id, clusters, id_of[row]);
    identity->count = clusters;
    for (int32_t i = 0; i < identity->config.n; i++) {
        int32_t row = s->now[i], label = row < 0 ? row : id_of[row];

        if (label != identity->label[i])
            identity->since[i] = identity->epoch;
        identity->label[i] = label;
        identity->index[i] = row < 0 ? -1 : place[row];
    }
}

/* Is chip i a better anchor than chip k, which comes before it? */
static int stands_better(const struct fly_identity *identity, const float *typical, int32_t i, int32_t k)
{
    if (!typical)
        return identity->since[i] < identity->since[k];
    return typical[i] > typical[k] || (isnan(typical[k]) && !isnan(typical[i]));
}

static void set_anchors(struct fly_identity *identity, const float *typical)
{
    for (int32_t c = 0; c < identity->count; c++)
        identity->anchor[c] = -1;
    for (int32_t i = 0; i < identity->config.n; i++) {
        int32_t c = identity->index[i];

        if (c >= 0 && (identity->anchor[c] < 0 || stands_better(identity, typical, i, identity->anchor[c])))
            identity->anchor[c] = i;
    }
}

void fly_identity_step(struct fly_identity *identity, const int32_t *raw, const uint8_t *revised,
                       const float *typical, struct fly_map_scratch *scratch)
{
    int32_t clusters, *id_of = scratch->a, *kept = scratch->b;

    FLY_ASSERT(scratch->n_cap >= identity->config.n);
    identity->epoch++;
    clusters = number_clusters(identity, raw, scratch);
    keep(identity, clusters, revised, id_of, kept, scratch);
    revive(identity, clusters, id_of, scratch);
    for (int32_t row = 0; row < clusters; row++)
        if (id_of[row] < 0) {
            FLY_ASSERT(identity->next_id < INT32_MAX);
            id_of[row] = identity->next_id++;
        }
    retire(identity, kept);
    tell(identity, clusters, id_of, scratch);
    set_anchors(identity, typical);
}
