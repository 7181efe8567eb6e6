#include "engine/trees.h"

#include <math.h>
#include <string.h>

/* What is known of a chip of one source. */
enum { UNKNOWN = 0, TAKEN, TOO_LITTLE };

enum { PAIRS_CHIPS_MAX = 8192 };

/* ---- open ---------------------------------------------------------------------------------------- */

static int32_t width_of(const struct fly_trees_config *config, int source)
{
    return source == FLY_TREE_IMAGE ? config->image_width : config->eds_width;
}

static struct fly_ward_config ward_config(const struct fly_trees_config *config, int source)
{
    int32_t width = width_of(config, source);

    /* 4 bytes a pair; pages of it that data without noise never need are never touched. */
    return (struct fly_ward_config){.points = config->n_chips,
                                    .width = width,
                                    .pairs = width > FLY_WARD_SHORT && config->n_chips <= PAIRS_CHIPS_MAX};
}

int fly_trees_check(const struct fly_trees_config *config)
{
    if (config->tree.k < 1 || config->tree.k > FLY_TREE_K_MAX)
        return fly_fail(FLY_ERANGE, "tree.k %d, 1 .. %d are possible", config->tree.k, (int)FLY_TREE_K_MAX);
    if (config->tree.min_counts < 0)
        return fly_fail(FLY_ERANGE, "graph.min_counts %lld, at least 0", (long long)config->tree.min_counts);
    for (int s = 0; s < FLY_TREES; s++) {
        struct fly_ward_config ward = ward_config(config, s);
        int rc = ward.width > 0 ? fly_ward_check(&ward) : FLY_OK;

        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

static int there(const struct fly_trees_config *config, int m)
{
    return (m == FLY_EDS || config->image_width > 0) && (m == FLY_HAADF || config->eds_width > 0);
}

size_t fly_trees_need(const struct fly_trees_config *config)
{
    size_t k = (size_t)config->n_chips, need = fly_arena_need(k, sizeof(int64_t));

    need = fly_size_add(need, fly_arena_need(FLY_TREE_K_MAX * FLY_TREE_K_MAX, sizeof(int32_t)));
    for (int s = 0; s < FLY_TREES; s++) {
        struct fly_ward_config ward = ward_config(config, s);

        if (ward.width == 0)
            continue;
        need = fly_size_add(need, fly_ward_need(&ward));
        need = fly_size_add(need, 2 * fly_arena_need(k, sizeof(uint8_t)));
        need = fly_size_add(need, 2 * fly_arena_need(k, sizeof(int32_t)));
    }
    for (int m = 0; m < FLY_MODALITIES; m++)
        if (there(config, m))
            need = fly_size_add(need, 3 * fly_arena_need(k, sizeof(int32_t)));
    return need;
}

static void *take(struct fly_arena *arena, size_t count, size_t size)
{
    void *at = fly_arena_take(arena, count, size);

    FLY_ASSERT(at);
    memset(at, 0, count * size);
    return at;
}

void fly_trees_open(struct fly_trees *trees, const struct fly_trees_config *config, struct fly_arena *arena)
{
    size_t k = (size_t)config->n_chips;

    memset(trees, 0, sizeof *trees);
    trees->config = *config;
    trees->n = config->n_chips;
    trees->stamp = take(arena, k, sizeof *trees->stamp);
    trees->number = take(arena, FLY_TREE_K_MAX * FLY_TREE_K_MAX, sizeof *trees->number);
    for (int s = 0; s < FLY_TREES; s++) {
        struct fly_ward_config ward = ward_config(config, s);
        struct fly_one_tree *one = &trees->one[s];

        one->there = ward.width > 0;
        if (!one->there)
            continue;
        fly_ward_init(&one->ward, &ward, arena);
        one->known = take(arena, k, sizeof *one->known);
        one->waits = take(arena, k, sizeof *one->waits);
        one->version = take(arena, k, sizeof *one->version);
        one->queue = take(arena, k, sizeof *one->queue);
    }
    for (int m = 0; m < FLY_MODALITIES; m++) {
        if (!there(config, m))
            continue;
        trees->raw[m] = take(arena, k, sizeof *trees->raw[m]);
        trees->confidence[m] = take(arena, k, sizeof *trees->confidence[m]);
        trees->age[m] = take(arena, k, sizeof *trees->age[m]);
        for (int32_t i = 0; i < trees->n; i++) {
            trees->raw[m][i] = FLY_LABEL_PENDING;
            trees->confidence[m][i] = NAN;
        }
    }
}

int fly_trees_has(const struct fly_trees *trees, enum fly_modality modality)
{
    return trees->raw[modality] != NULL;
}

/* ---- updates ------------------------------------------------------------------------------------- */

void fly_trees_touch(struct fly_trees *trees, int32_t chip, enum fly_tree_source source)
{
    struct fly_one_tree *one = &trees->one[source];

    if (!one->there || one->waits[chip])
        return;
    one->waits[chip] = 1;
    one->queue[one->waiting++] = chip;
}

int32_t fly_trees_waiting(const struct fly_trees *trees, enum fly_tree_source source)
{
    return trees->one[source].waiting;
}

static int put_image(struct fly_trees *t, const struct fly_graph_features *f, int32_t chip)
{
    return fly_ward_put_f32(&t->one[FLY_TREE_IMAGE].ward, chip,
                            f->embeddings + (size_t)chip * (size_t)t->config.image_width);
}

/* FLY_EAGAIN: too few counts to be compared. */
static int put_eds(struct fly_trees *t, const struct fly_graph_features *f, int32_t chip)
{
    struct fly_ward *ward = &t->one[FLY_TREE_EDS].ward;
    size_t at = (size_t)chip * (size_t)t->config.eds_width;
    uint64_t total = f->spectrum_total ? f->spectrum_total(f->ctx, chip) : 0;

    if (t->config.feature == FLY_EDS_COMPOSITION)
        return isfinite(f->percent[at]) ? fly_ward_put_f64(ward, chip, f->percent + at) : FLY_EAGAIN;
    if (!t->config.robust)
        return fly_ward_put_u32(ward, chip, f->spectra + at, 1.0);
    if (total == 0 || total < (uint64_t)t->config.tree.min_counts)
        return FLY_EAGAIN;
    return fly_ward_put_u32(ward, chip, f->spectra + at, 1.0 / (double)total);
}

static void take_in(struct fly_trees *t, int source, const struct fly_graph_features *f, int32_t chip)
{
    struct fly_one_tree *one = &t->one[source];
    int is_there = source == FLY_TREE_IMAGE ? f->embedded[chip] : f->eds_there[chip];
    int rc = !is_there ? FLY_EAGAIN : source == FLY_TREE_IMAGE ? put_image(t, f, chip) : put_eds(t, f, chip);

    if (rc < 0)
        fly_ward_drop(&one->ward, chip);
    t->refused += rc < 0 && rc != FLY_EAGAIN;
    one->known[chip] = !is_there ? UNKNOWN : rc < 0 ? TOO_LITTLE : TAKEN;
    one->version[chip] = !is_there ? 0 : source == FLY_TREE_IMAGE ? f->image_version[chip] : f->eds_version[chip];
    one->waits[chip] = 0;
}

void fly_trees_update(struct fly_trees *trees, enum fly_tree_source source, const struct fly_graph_features *features,
                      const struct fly_exec *exec)
{
    struct fly_one_tree *one = &trees->one[source];

    for (int32_t i = 0; i < one->waiting; i++)
        take_in(trees, (int)source, features, one->queue[i]);
    one->waiting = 0;
    one->moved = 1;
    if (fly_ward_stale(&one->ward))
        fly_ward_update(&one->ward, exec);
    trees->updates++;
}

int fly_trees_spare(struct fly_trees *trees)
{
    for (int s = 0; s < FLY_TREES; s++)
        if (trees->one[s].there && fly_ward_ponders(&trees->one[s].ward)) {
            fly_ward_ponder(&trees->one[s].ward);
            return 1;
        }
    return 0;
}

/* ---- telling ------------------------------------------------------------------------------------- */

void fly_trees_set_k(struct fly_trees *trees, int32_t k)
{
    FLY_ASSERT(k >= 1 && k <= FLY_TREE_K_MAX);
    if (k == trees->config.tree.k)
        return;
    trees->config.tree.k = k;
    for (int s = 0; s < FLY_TREES; s++)
        trees->one[s].moved = trees->one[s].there;
}

int fly_trees_untold(const struct fly_trees *trees)
{
    return trees->one[FLY_TREE_IMAGE].moved || trees->one[FLY_TREE_EDS].moved;
}

static uint32_t age_of(const struct fly_one_tree *one, int32_t chip)
{
    return one->version[chip] ? one->version[chip] - 1 : 0;
}

static void tell_one(struct fly_trees *t, int source)
{
    struct fly_one_tree *one = &t->one[source];
    int m = source == FLY_TREE_IMAGE ? FLY_HAADF : FLY_EDS;

    fly_ward_cut(&one->ward, t->config.tree.k, t->raw[m]);
    fly_ward_confidence(&one->ward, t->confidence[m]);
    for (int32_t i = 0; i < t->n; i++) {
        if (t->raw[m][i] < 0)
            t->raw[m][i] = one->known[i] == TOO_LITTLE ? FLY_LABEL_TOO_LITTLE : FLY_LABEL_PENDING;
        t->age[m][i] = age_of(one, i);
    }
}

/* Pairs by first appearance. Not measured before too little. */
static void tell_vote(struct fly_trees *t)
{
    const int32_t *a = t->raw[FLY_HAADF], *b = t->raw[FLY_EDS];
    int32_t *to = t->raw[FLY_ENSEMBLE], count = 0;

    for (int32_t i = 0; i < FLY_TREE_K_MAX * FLY_TREE_K_MAX; i++)
        t->number[i] = -1;
    for (int32_t i = 0; i < t->n; i++) {
        t->age[FLY_ENSEMBLE][i] = t->age[FLY_HAADF][i] + t->age[FLY_EDS][i];
        t->confidence[FLY_ENSEMBLE][i] = NAN;
        if (a[i] < 0 || b[i] < 0) {
            to[i] = a[i] == FLY_LABEL_PENDING || b[i] == FLY_LABEL_PENDING ? FLY_LABEL_PENDING : FLY_LABEL_TOO_LITTLE;
            continue;
        }
        int32_t *number = &t->number[a[i] * FLY_TREE_K_MAX + b[i]];

        if (*number < 0)
            *number = count++;
        to[i] = *number;
        t->confidence[FLY_ENSEMBLE][i] = fminf(t->confidence[FLY_HAADF][i], t->confidence[FLY_EDS][i]);
    }
}

unsigned fly_trees_tell(struct fly_trees *trees)
{
    unsigned changed = 0;

    for (int s = 0; s < FLY_TREES; s++) {
        if (!trees->one[s].moved)
            continue;
        trees->one[s].moved = 0;
        tell_one(trees, s);
        changed |= 1u << (s == FLY_TREE_IMAGE ? FLY_HAADF : FLY_EDS);
    }
    if (changed && trees->raw[FLY_ENSEMBLE]) {
        tell_vote(trees);
        changed |= 1u << FLY_ENSEMBLE;
    }
    return changed;
}

void fly_trees_view(const struct fly_trees *trees, enum fly_modality modality, struct fly_tree_view *view)
{
    const struct fly_one_tree *one = &trees->one[modality == FLY_HAADF ? FLY_TREE_IMAGE : FLY_TREE_EDS];
    int32_t k = trees->config.tree.k;

    *view = (struct fly_tree_view){.k = k, .merged = NAN, .parted = NAN};
    if (modality == FLY_ENSEMBLE || !one->there)
        return;
    view->chips = one->ward.count;
    if (view->chips == 0)
        return;
    view->parted = fly_ward_height(&one->ward, k + 1);
    view->merged = fly_ward_height(&one->ward, k);
}

void fly_trees_count(const struct fly_trees *trees, struct fly_engine_counts *counts)
{
    counts->tree_updates += trees->updates;
    counts->not_compared += trees->refused;
    for (int s = 0; s < FLY_TREES; s++) {
        const struct fly_ward_work *work = &trees->one[s].ward.work;

        if (!trees->one[s].there)
            continue;
        counts->tree_distances += (uint64_t)work->distances;
        counts->tree_merges_kept += (uint64_t)work->kept;
        counts->tree_merges_made += (uint64_t)work->made;
    }
}
