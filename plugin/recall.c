#include "plugin/recall.h"

#include <stdlib.h>
#include <string.h>

/* Runs of one kind, one after the other: 2 lists of them, 10 bytes a run at most, stay well below the size of a
 * record's map (FLY_HEADER_MAX). A map of 2601 chips that is all noise has about as many. */
enum { RUNS_MAX = 2048 };
enum { ABSENT = 0, PRESENT, MEMBER }; /* of a chip */
#define ALIKE 0.3

void fly_recall_init(struct fly_recall *recall, int32_t n_chips)
{
    *recall = (struct fly_recall){.n_chips = n_chips};
}

void fly_recall_fini(struct fly_recall *recall)
{
    for (int32_t i = 0; i < recall->n; i++)
        free(recall->item[i].chip);
    free(recall->item);
    *recall = (struct fly_recall){0};
}

/* ---- chips of a cluster -------------------------------------------------------------------------- */

static int in_cluster(int32_t label)
{
    return label >= 0 || label == FLY_LABEL_MINOR;
}

static void mark(uint8_t *chip, const int32_t *labels, int32_t n, int32_t id)
{
    int32_t runs = 0;

    memset(chip, ABSENT, (size_t)n);
    for (int32_t k = 0; k < n; k++) {
        uint8_t at = labels[k] == id ? MEMBER : in_cluster(labels[k]) ? PRESENT : ABSENT;

        runs += k == 0 || at != chip[k - 1];
        if (runs > RUNS_MAX)
            return;
        chip[k] = at;
    }
}

static const int32_t *labels_of(const struct fly_engine *engine, int map)
{
    struct fly_map_view view;

    fly_engine_map(engine, fly_map_method(map), fly_map_modality(map), &view);
    return view.labels;
}

static const struct fly_cluster *living(const struct fly_engine *engine, int map, int32_t id)
{
    int fresh;
    const struct fly_story *story = fly_engine_story(engine, map, &fresh);

    return story ? fly_story_find(story, id) : NULL;
}

/* Over the chips present in both. */
static double alike(const uint8_t *a, const uint8_t *b, int32_t n)
{
    int32_t both = 0, either = 0;

    for (int32_t k = 0; k < n; k++) {
        if (a[k] == ABSENT || b[k] == ABSENT)
            continue;
        both += a[k] == MEMBER && b[k] == MEMBER;
        either += a[k] == MEMBER || b[k] == MEMBER;
    }
    return either ? (double)both / either : 0.0;
}

/* ---- on record ----------------------------------------------------------------------------------- */

static uint32_t walk_runs(struct fly_pack *out, const uint8_t *chip, int32_t n, uint8_t least)
{
    uint32_t runs = 0;

    for (int32_t k = 0, end; k < n; k = end) {
        for (end = k; end < n && (chip[end] >= least) == (chip[k] >= least);)
            end++;
        if (chip[k] < least)
            continue;
        runs++;
        if (out) {
            fly_pack_int(out, k);
            fly_pack_int(out, end - k);
        }
    }
    return runs;
}

static void pack_runs(struct fly_pack *out, const char *key, const uint8_t *chip, int32_t n, uint8_t least)
{
    fly_pack_str(out, key);
    fly_pack_array(out, 2 * walk_runs(NULL, chip, n, least));
    walk_runs(out, chip, n, least);
}

void fly_recall_pack(struct fly_pack *out, struct fly_value args, struct fly_engine *engine, int map, int32_t id)
{
    static const char *const keys[] = {"method", "modality", "id", "to"};
    enum { KEYS = sizeof keys / sizeof *keys };
    struct fly_value value[KEYS], to;
    /* With `to` no string it is refused, and may fill the record by itself. */
    int told = map >= 0 && living(engine, map, id) && fly_value_get(args, "to", &to) &&
               fly_value_kind(to) == FLY_KIND_STR;
    int32_t n = !told || fly_map_method(map) == FLY_FEWSHOT ? 0 : fly_grid_chips(fly_engine_grid(engine));
    uint8_t *chip = n ? malloc((size_t)n) : NULL;
    uint32_t found = 0;

    told = told && (chip || n == 0);
    if (chip)
        mark(chip, labels_of(engine, map), n, id);
    for (int i = 0; i < KEYS; i++)
        found += fly_value_get(args, keys[i], &value[i]) != 0;
    fly_pack_map(out, found + (told ? 2 : 0));
    for (int i = 0; i < KEYS; i++)
        if (fly_value_get(args, keys[i], &value[i])) {
            const void *bytes;
            size_t len = fly_value_bytes(value[i], &bytes);

            fly_pack_str(out, keys[i]);
            fly_pack_raw(out, bytes, len);
        }
    if (told) {
        pack_runs(out, "members", chip, n, MEMBER);
        pack_runs(out, "present", chip, n, PRESENT);
    }
    free(chip);
}

static int read_runs(struct fly_value list, uint8_t *chip, int32_t n, uint8_t as)
{
    struct fly_value_iter it = {0};
    struct fly_value key, first, count;

    while (fly_value_next(list, &it, &key, &first)) {
        int64_t from, len;

        if (!fly_value_next(list, &it, &key, &count) || !fly_value_int(first, &from) || !fly_value_int(count, &len) ||
            from < 0 || from >= n || len < 1 || len > n - from)
            return 0;
        memset(chip + from, as, (size_t)len);
    }
    return 1;
}

/* What the arguments tell of the cluster's chips; *chip stays NULL where that is nothing. */
static int read_chips(struct fly_value args, int32_t n, uint8_t **chip)
{
    struct fly_value members, present;

    if (!fly_value_get(args, "members", &members) || fly_value_kind(members) != FLY_KIND_ARRAY ||
        !fly_value_get(args, "present", &present) || fly_value_kind(present) != FLY_KIND_ARRAY)
        return FLY_OK;
    *chip = calloc((size_t)n, 1);
    if (!*chip)
        return fly_fail(FLY_ENOMEM, "no memory for the chips of a cluster");
    if (read_runs(present, *chip, n, PRESENT) && read_runs(members, *chip, n, MEMBER))
        return FLY_OK;
    free(*chip);
    *chip = NULL;
    return fly_fail(FLY_ERANGE, "args.members: runs of chips 0 .. %d are needed", n - 1);
}

/* ---- waiting ------------------------------------------------------------------------------------- */

/* The one that waits for the same cluster; -1: none does. */
static int32_t find_waiting(const struct fly_recall *recall, int map, int32_t id, const uint8_t *chip)
{
    double most = ALIKE;
    int32_t best = -1;

    for (int32_t i = 0; i < recall->n; i++) {
        const struct fly_recalled *item = &recall->item[i];
        double likeness;

        if (item->map != map)
            continue;
        likeness = item->chip ? alike(item->chip, chip, recall->n_chips) : item->id == id;
        if (likeness >= most) {
            most = likeness;
            best = i;
        }
    }
    return best;
}

static void remove_at(struct fly_recall *recall, int32_t at)
{
    free(recall->item[at].chip);
    recall->n--;
    memmove(recall->item + at, recall->item + at + 1, (size_t)(recall->n - at) * sizeof *recall->item);
}

/* Lay what was asked for over what waits already. */
static void lay_over(struct fly_recalled *under, const struct fly_recalled *asked)
{
    if (asked->has_name)
        memcpy(under->name, asked->name, sizeof under->name);
    if (asked->has_role)
        under->role = asked->role;
    under->has_name |= asked->has_name;
    under->has_role |= asked->has_role;
    under->id = asked->id;
}

/* chip is taken on success. */
static int keep(struct fly_recall *recall, const struct fly_recalled *asked, uint8_t **chip)
{
    struct fly_recalled kept = {.map = asked->map}, *more;
    int32_t at = find_waiting(recall, asked->map, asked->id, *chip), waiting = 0;

    for (int32_t i = 0; i < recall->n; i++)
        waiting += recall->item[i].map == asked->map;
    if (at < 0 && waiting >= FLY_NAMES_MAX)
        return fly_fail(FLY_ERANGE, "cluster %d would be number %d that waits for its name, %d are allowed", asked->id,
                        FLY_NAMES_MAX + 1, FLY_NAMES_MAX);
    more = realloc(recall->item, ((size_t)recall->n + 1) * sizeof *more);
    if (!more)
        return fly_fail(FLY_ENOMEM, "no memory for a name that waits");
    recall->item = more;
    if (at >= 0) {
        kept = recall->item[at];
        kept.chip = NULL;
        remove_at(recall, at);
    }
    lay_over(&kept, asked);
    kept.chip = *chip;
    *chip = NULL;
    recall->item[recall->n++] = kept;
    recall->untried[asked->map] = 1;
    return FLY_OK;
}

/* Something newer was said of the cluster. */
static void forget(struct fly_recall *recall, const struct fly_recalled *asked, const uint8_t *chip)
{
    int32_t at = find_waiting(recall, asked->map, asked->id, chip);

    if (at < 0)
        return;
    recall->item[at].has_name &= !asked->has_name;
    recall->item[at].has_role &= !asked->has_role;
    if (!recall->item[at].has_name && !recall->item[at].has_role)
        remove_at(recall, at);
}

static int apply(struct fly_engine *engine, const struct fly_recalled *asked, int32_t id)
{
    struct fly_names *names = fly_engine_names(engine, asked->map);
    int fresh, rc = FLY_OK;
    const struct fly_story *story = fly_engine_story(engine, asked->map, &fresh);

    if (asked->has_name)
        rc = fly_names_call(names, story, id, asked->name);
    if (rc == FLY_OK && asked->has_role)
        rc = fly_names_take_for(names, story, id, asked->role);
    return rc;
}

int fly_recall_give(struct fly_recall *recall, struct fly_engine *engine, struct fly_value args,
                    const struct fly_recalled *asked)
{
    int32_t n = recall->n_chips;
    uint8_t *then = NULL, *now = NULL;
    int here, rc = read_chips(args, n, &then);

    if (rc < 0)
        return rc;
    if (!then)
        return apply(engine, asked, asked->id);
    here = living(engine, asked->map, asked->id) != NULL;
    if (fly_map_method(asked->map) == FLY_FEWSHOT) {
        free(then);
        then = NULL;
    } else if (here) {
        now = malloc((size_t)n);
        if (!now) {
            free(then);
            return fly_fail(FLY_ENOMEM, "no memory for the chips of a cluster");
        }
        mark(now, labels_of(engine, asked->map), n, asked->id);
        here = memcmp(now, then, (size_t)n) == 0;
    }
    if (here) {
        forget(recall, asked, then);
        rc = apply(engine, asked, asked->id);
    } else {
        rc = keep(recall, asked, &then);
    }
    free(then);
    free(now);
    return rc;
}

/* ---- finding ------------------------------------------------------------------------------------- */

/* The living cluster most like it, -1: none is like it. tally: (clusters) twice. */
static int32_t find_cluster(const struct fly_recall *recall, const struct fly_recalled *item,
                            const struct fly_story *story, const int32_t *labels, int32_t *tally)
{
    int32_t *shared = tally, *size = tally + story->count, members = 0, best = -1;
    double most = 0.0;

    memset(tally, 0, 2 * (size_t)story->count * sizeof *tally);
    for (int32_t k = 0; k < recall->n_chips; k++) {
        const struct fly_cluster *cluster =
            item->chip[k] != ABSENT && labels[k] >= 0 ? fly_story_find(story, labels[k]) : NULL;

        members += item->chip[k] == MEMBER;
        if (!cluster)
            continue;
        size[cluster - story->cluster]++;
        shared[cluster - story->cluster] += item->chip[k] == MEMBER;
    }
    for (int32_t c = 0; c < story->count; c++) {
        double likeness = shared[c] ? (double)shared[c] / (size[c] + members - shared[c]) : 0.0;

        if (likeness >= ALIKE && likeness > most) {
            most = likeness;
            best = story->cluster[c].id;
        }
    }
    return best;
}

/* What the cluster has not been given yet. 1: it was something, and now it has it. */
static int give_to(struct fly_engine *engine, const struct fly_recalled *item, int32_t id)
{
    const struct fly_name *has = fly_names_find(fly_engine_names(engine, item->map), id);
    struct fly_recalled rest = *item;

    rest.has_name = item->has_name && !(has && has->name[0]);
    rest.has_role = item->has_role && !(has && has->role != FLY_ROLE_NONE);
    return (rest.has_name || rest.has_role) && apply(engine, &rest, id) == FLY_OK;
}

static void look_through(struct fly_recall *recall, struct fly_engine *engine, int map,
                            const struct fly_story *story)
{
    const int32_t *labels = labels_of(engine, map);
    int32_t *tally = malloc((2 * (size_t)story->count + 1) * sizeof *tally);

    if (!tally)
        return; /* they wait on */
    for (int32_t i = recall->n - 1; i >= 0; i--) {
        const struct fly_recalled *item = &recall->item[i];
        int32_t id;

        if (item->map != map)
            continue;
        if (item->chip)
            id = find_cluster(recall, item, story, labels, tally);
        else
            id = fly_story_find(story, item->id) ? item->id : -1;
        if (id >= 0 && give_to(engine, item, id))
            remove_at(recall, i);
    }
    free(tally);
    recall->untried[map] = 0;
}

void fly_recall_epoch(struct fly_recall *recall, struct fly_engine *engine)
{
    if (!recall->n)
        return;
    for (int map = 0; map < FLY_MAPS; map++) {
        int fresh;
        const struct fly_story *story = fly_engine_story(engine, map, &fresh);

        recall->untried[map] |= fresh;
        if (story && recall->untried[map] && !fly_engine_busy(engine))
            look_through(recall, engine, map, story);
    }
}
