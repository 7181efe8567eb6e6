#include "plugin/maps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/palette.h"

_Static_assert(FLY_COLOUR_TEXT == 8, "colour of struct fly_map_out");

int fly_map_out_init(struct fly_map_out *out, int32_t n_chips)
{
    size_t k = (size_t)n_chips;

    memset(out, 0, sizeof *out);
    out->labels = malloc(k * sizeof *out->labels);
    out->confidence = malloc(k * sizeof *out->confidence);
    out->age = malloc(k * sizeof *out->age);
    out->shown = malloc(k * sizeof *out->shown);
    if (!out->labels || !out->confidence || !out->age || !out->shown) {
        fly_map_out_fini(out);
        return fly_fail(FLY_ENOMEM, "maps of %d chips: no memory", n_chips);
    }
    out->cap = n_chips;
    return FLY_OK;
}

void fly_map_out_fini(struct fly_map_out *out)
{
    free(out->labels);
    free(out->confidence);
    free(out->age);
    free(out->shown);
    memset(out, 0, sizeof *out);
}

void fly_streams_of(struct fly_pub_streams *out, const struct fly_session_info *info, const uint64_t *seq)
{
    out->count = fly_start_streams(&info->start);
    for (int32_t i = 0; i < out->count; i++) {
        out->names[i] = fly_start_stream(&info->start, i);
        out->seq[i] = seq[i];
    }
}

struct label_count {
    int32_t id, chips;
};

static int by_id(const void *a, const void *b)
{
    const struct label_count *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static int by_chips(const void *a, const void *b)
{
    const struct label_count *x = a, *y = b;

    return x->chips != y->chips ? (x->chips > y->chips ? -1 : 1) : by_id(a, b);
}

/* Runs of equal labels, which are long in a map, brought together: ascending, each id once. */
static int32_t count_labels(struct label_count *counts, const int32_t *labels, int32_t n)
{
    int32_t runs = 0, count = 0;

    for (int32_t k = 0; k < n; k++) {
        if (labels[k] < 0)
            continue;
        if (k > 0 && labels[k] == labels[k - 1])
            counts[runs - 1].chips++;
        else
            counts[runs++] = (struct label_count){labels[k], 1};
    }
    qsort(counts, (size_t)runs, sizeof *counts, by_id);
    for (int32_t r = 0; r < runs; r++)
        if (count && counts[count - 1].id == counts[r].id)
            counts[count - 1].chips += counts[r].chips;
        else
            counts[count++] = counts[r];
    return count;
}

int32_t fly_label_ids(const int32_t *labels, int32_t n, int32_t *ids, int32_t *chips, int32_t cap, int32_t *more)
{
    struct label_count *counts = malloc((size_t)n * sizeof *counts);
    int32_t count = counts ? count_labels(counts, labels, n) : 0;

    *more = count > cap ? count - cap : 0;
    if (*more) {
        qsort(counts, (size_t)count, sizeof *counts, by_chips);
        count = cap;
        qsort(counts, (size_t)count, sizeof *counts, by_id);
    }
    for (int32_t c = 0; c < count; c++) {
        ids[c] = counts[c].id;
        chips[c] = counts[c].chips;
    }
    free(counts);
    return count;
}

void fly_cluster_call(char *out, size_t cap, enum fly_method method, int32_t id)
{
    snprintf(out, cap, "%s %d", fly_method_name(method), (int)id);
}

/* Communities and clusters have the names that persons gave them; else the number serves. */
static void fill_clusters(struct fly_map_out *out, const struct fly_map_set *set, int map)
{
    int32_t ids[FLY_MAP_CLASSES_MAX], chips[FLY_MAP_CLASSES_MAX], more;
    int32_t n = fly_label_ids(set->labels[map], set->n_chips, ids, chips, FLY_MAP_CLASSES_MAX, &more);

    for (int32_t c = 0; c < n; c++) {
        const struct fly_name *name = fly_map_name(set, map, ids[c]);

        fly_cluster_call(out->name[c], sizeof out->name[c], fly_map_method(map), ids[c]);
        out->classes[c] = (struct fly_pub_class){
            ids[c], name && name->name[0] ? name->name : out->name[c], fly_colour_text(out->colour[c], fly_palette_colour(ids[c]))};
    }
    out->map.classes = out->classes;
    out->map.n_classes = n;
}

static void fill_classes(struct fly_map_out *out, const struct fly_map_set *set)
{
    int32_t n = 0;

    for (int32_t c = 0; c < set->n_classes; c++) {
        if (!set->classes[c].alive)
            continue;
        out->classes[n] = (struct fly_pub_class){
            c, set->classes[c].name, fly_colour_text(out->colour[n], fly_palette_colour(c))};
        n++;
    }
    out->map.classes = out->classes;
    out->map.n_classes = n;
}

void fly_map_out_fill(struct fly_map_out *out, const struct fly_session_info *info,
                      const struct fly_map_set *set, int map, const int32_t *box)
{
    int32_t rows = info->plan.grid.rows, cols = info->plan.grid.cols;
    const int32_t all[4] = {0, 0, rows, cols};
    size_t at = 0;

    FLY_ASSERT(out->cap >= set->n_chips);
    if (!box)
        box = all;
    out->map = (struct fly_pub_map){.method = fly_method_name(fly_map_method(map)),
                                    .modality = fly_modality_name(fly_map_modality(map)),
                                    .full_shape = {rows, cols},
                                    .bbox = {box[0], box[1], box[2], box[3]},
                                    .final = set->final};
    fly_streams_of(&out->map.as_of, info, set->as_of);
    if (fly_map_method(map) != FLY_FEWSHOT)
        fill_clusters(out, set, map);
    else
        fill_classes(out, set);
    for (int32_t r = box[0]; r < box[0] + box[2]; r++) {
        size_t from = (size_t)r * (size_t)cols + (size_t)box[1], n = (size_t)box[3];

        memcpy(out->labels + at, set->labels[map] + from, n * sizeof *out->labels);
        memcpy(out->confidence + at, set->confidence[map] + from, n * sizeof *out->confidence);
        memcpy(out->age + at, set->age[map] + from, n * sizeof *out->age);
        if (set->calm)
            memcpy(out->shown + at, set->shown[map] + from, n * sizeof *out->shown);
        at += n;
    }
    out->map.labels = out->labels;
    out->map.confidence = out->confidence;
    out->map.age = out->age;
    out->map.shown = set->calm ? out->shown : NULL;
}

int fly_maps_differ(const struct fly_map_set *a, const struct fly_map_set *b, int map, int32_t cols,
                    int32_t box[4])
{
    int32_t r0 = INT32_MAX, r1 = -1, c0 = INT32_MAX, c1 = -1;

    for (int32_t k = 0; k < a->n_chips; k++) {
        /* Confidence by its bytes: NaN equals NaN here. */
        if (a->labels[map][k] == b->labels[map][k] && a->age[map][k] == b->age[map][k] &&
            memcmp(&a->confidence[map][k], &b->confidence[map][k], sizeof(float)) == 0 &&
            !(b->calm && a->shown[map][k] != b->shown[map][k]))
            continue;
        int32_t r = k / cols, c = k % cols;

        r0 = r < r0 ? r : r0;
        r1 = r > r1 ? r : r1;
        c0 = c < c0 ? c : c0;
        c1 = c > c1 ? c : c1;
    }
    if (r1 < 0)
        return 0;
    box[0] = r0;
    box[1] = c0;
    box[2] = r1 - r0 + 1;
    box[3] = c1 - c0 + 1;
    return 1;
}

const struct fly_name *fly_map_name(const struct fly_map_set *set, int map, int32_t id)
{
    return set->names ? fly_names_find(&set->names[map], id) : NULL;
}

int fly_names_differ(const struct fly_map_set *a, const struct fly_map_set *b, int map)
{
    return a->names[map].version != b->names[map].version;
}

int fly_classes_differ(const struct fly_map_set *a, const struct fly_map_set *b)
{
    if (a->n_classes != b->n_classes)
        return 1;
    for (int32_t c = 0; c < a->n_classes; c++)
        if (a->classes[c].alive != b->classes[c].alive || strcmp(a->classes[c].name, b->classes[c].name) != 0)
            return 1;
    return 0;
}

int fly_maps_has(const struct fly_session_info *info, enum fly_modality modality)
{
    switch (modality) {
    case FLY_HAADF:
        return info->plan.image > 0;
    case FLY_EDS:
        return info->plan.n_segments > 0;
    default:
        return info->plan.image > 0 && info->plan.n_segments > 0;
    }
}

int fly_maps_has_map(const struct fly_session_info *info, int map)
{
    return fly_maps_has(info, fly_map_modality(map)) && fly_maps_has_method(info, fly_map_method(map));
}
