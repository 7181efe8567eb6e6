/* What of the cache goes out: made once a version, shared by all who ask. */
#include "plugin/page/cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct fly_blob *made_of(struct fly_page_kept *kept)
{
    struct fly_text text;
    struct fly_json json;

    if (!kept->seq)
        return NULL;
    if (!kept->made) {
        fly_text_init(&text);
        fly_json_init(&json, &text, 1);
        fly_json_value(&json, fly_value_root(kept->packed, kept->len));
        kept->made = fly_blob_of_text(&text);
        fly_text_fini(&text);
    }
    return fly_blob_hold(kept->made);
}

struct fly_blob *fly_page_cache_topic(struct fly_page_cache *cache, enum fly_page_topic topic)
{
    return made_of(&cache->topic[topic]);
}

struct fly_blob *fly_page_cache_support(struct fly_page_cache *cache)
{
    return made_of(&cache->support);
}

struct fly_blob *fly_page_cache_clusters(struct fly_page_cache *cache, const char *key)
{
    for (int i = 0; i < FLY_PAGE_MAPS; i++)
        if (strcmp(cache->clusters[i].key, key) == 0)
            return made_of(&cache->clusters[i]);
    return NULL;
}

/* ---- maps ---------------------------------------------------------------------------------------- */

/* The newest header, as that of a keyframe. */
static struct fly_blob *make_map(const struct fly_page_map *map)
{
    static const char *const without[] = {"bbox", "base_seq", NULL};
    struct fly_bundle_part parts[4] = {{map->labels, "<i4", 2, {map->rows, map->cols}},
                                       {map->confidence, "<f4", 2, {map->rows, map->cols}},
                                       {map->age, "<u4", 2, {map->rows, map->cols}},
                                       {map->shown, "<i4", 2, {map->rows, map->cols}}};
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_entries(&json, fly_value_root(map->head.packed, map->head.len), without);
    fly_json_key(&json, "bbox");
    fly_json_row(&json);
    fly_json_int(&json, 0);
    fly_json_int(&json, 0);
    fly_json_int(&json, map->rows);
    fly_json_int(&json, map->cols);
    fly_json_end(&json);
    fly_json_key(&json, "base_seq");
    fly_json_int(&json, 0);
    blob = fly_bundle_make(&json, parts, map->shown ? 4 : 3);
    fly_text_fini(&text);
    return blob;
}

struct fly_blob *fly_page_cache_map(struct fly_page_cache *cache, const char *key)
{
    for (int i = 0; i < FLY_PAGE_MAPS; i++) {
        struct fly_page_map *map = &cache->map[i];

        if (!map->head.seq || strcmp(map->head.key, key) != 0)
            continue;
        if (!map->head.made)
            map->head.made = make_map(map);
        return fly_blob_hold(map->head.made);
    }
    return NULL;
}

/* ---- dose ---------------------------------------------------------------------------------------- */

struct fly_blob *fly_page_cache_dose(struct fly_page_cache *cache)
{
    struct fly_page_dose *dose = &cache->dose;
    struct fly_text text;
    struct fly_json json;

    if (!dose->head.seq)
        return NULL;
    if (!dose->head.made) {
        fly_text_init(&text);
        fly_json_init(&json, &text, 1);
        fly_json_object(&json);
        fly_json_entries(&json, fly_value_root(dose->head.packed, dose->head.len), (const char *const[]){NULL});
        dose->head.made =
            fly_bundle_make(&json, &(struct fly_bundle_part){dose->chips, "<f4", 2, {dose->rows, dose->cols}}, 1);
        fly_text_fini(&text);
    }
    return fly_blob_hold(dose->head.made);
}

/* ---- the image, elements ------------------------------------------------------------------------- */

static void copy_entry(struct fly_json *json, const struct fly_page_cache *cache, const char *key)
{
    struct fly_value value;

    fly_json_key(json, key);
    if (fly_page_cache_get(cache, FLY_PAGE_START, key, &value))
        fly_json_value(json, value);
    else
        fly_json_null(json);
}

static void pair(struct fly_json *json, const char *key, int64_t a, int64_t b)
{
    fly_json_key(json, key);
    fly_json_row(json);
    fly_json_int(json, a);
    fly_json_int(json, b);
    fly_json_end(json);
}

static struct fly_blob *make_image(const struct fly_page_cache *cache, uint64_t since)
{
    static const char *const of_start[] = {"pixel_nm", "chip_px", "pitch_px", "origin_px", "grid_shape"};
    const struct fly_picture *p = &cache->picture;
    struct fly_blob *blob = NULL;
    struct fly_text text;
    struct fly_json json;
    int32_t y0, rows;
    uint16_t *q;

    fly_picture_changed(p, since, &y0, &rows);
    q = malloc((size_t)rows * (size_t)p->w * sizeof *q + 1);
    if (!q)
        return NULL;
    fly_picture_quantise(p, y0, rows, q);
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "revision");
    fly_json_uint(&json, p->newest);
    pair(&json, "shape_px", p->height_px, p->width_px);
    fly_json_key(&json, "step");
    fly_json_int(&json, p->step);
    pair(&json, "shape", p->h, p->w);
    fly_json_key(&json, "y0");
    fly_json_int(&json, y0);
    fly_json_key(&json, "rows");
    fly_json_int(&json, rows);
    fly_json_key(&json, "lo");
    fly_json_f64(&json, p->has_range ? p->lo : 0.0);
    fly_json_key(&json, "hi");
    fly_json_f64(&json, p->has_range ? p->hi : 1.0);
    for (size_t i = 0; i < sizeof of_start / sizeof *of_start; i++)
        copy_entry(&json, cache, of_start[i]);
    blob = fly_bundle_make(&json, &(struct fly_bundle_part){q, "<u2", 2, {rows, p->w}}, 1);
    fly_text_fini(&text);
    free(q);
    return blob;
}

/* Viewers that keep up all lack the same rows. */
struct fly_blob *fly_page_cache_image(struct fly_page_cache *cache, uint64_t since)
{
    if (!cache->picture.step)
        return NULL;
    if (!cache->image || cache->image_since != since || cache->image_newest != cache->picture.newest) {
        fly_blob_drop(&cache->image);
        cache->image = make_image(cache, since);
        cache->image_since = since;
        cache->image_newest = cache->picture.newest;
    }
    return fly_blob_hold(cache->image);
}

struct fly_blob *fly_page_cache_elements(struct fly_page_cache *cache, uint64_t since)
{
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    if (!cache->elements || since != cache->elements_revision)
        return fly_blob_hold(cache->elements);
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "revision");
    fly_json_uint(&json, cache->elements_revision);
    blob = fly_bundle_make(&json, NULL, 0);
    fly_text_fini(&text);
    return blob;
}

/* ---- lists --------------------------------------------------------------------------------------- */

struct fly_blob *fly_page_cache_events(struct fly_page_cache *cache, uint64_t since)
{
    uint64_t first = cache->events > FLY_PAGE_EVENTS ? cache->events - FLY_PAGE_EVENTS + 1 : 1;
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    /* A number that is not of this process brings all. */
    if (since <= cache->events && since + 1 > first)
        first = since + 1;
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "last");
    fly_json_uint(&json, cache->events);
    fly_json_key(&json, "events");
    fly_json_array(&json);
    for (uint64_t n = first; n <= cache->events; n++) {
        const struct fly_page_kept *kept = &cache->event[n % FLY_PAGE_EVENTS];

        fly_json_object(&json);
        fly_json_key(&json, "n");
        fly_json_uint(&json, n);
        fly_json_entries(&json, fly_value_root(kept->packed, kept->len), (const char *const[]){"n", NULL});
        fly_json_end(&json);
    }
    fly_json_end(&json);
    fly_json_end(&json);
    blob = fly_blob_of_text(&text);
    fly_text_fini(&text);
    return blob;
}

struct fly_blob *fly_page_cache_agreement(struct fly_page_cache *cache)
{
    static const char *const pairs[3] = {"haadf_eds", "haadf_ens", "eds_ens"};
    uint64_t first = cache->agreements > FLY_PAGE_AGREEMENTS ? cache->agreements - FLY_PAGE_AGREEMENTS : 0;
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "t_ns");
    fly_json_row(&json);
    for (uint64_t n = first; n < cache->agreements; n++)
        fly_json_int(&json, cache->agreement[n % FLY_PAGE_AGREEMENTS].t_ns);
    fly_json_end(&json);
    fly_json_key(&json, "ami");
    fly_json_object(&json);
    for (int m = 0; m < FLY_PUB_METHODS_MAX && cache->method[m][0]; m++) {
        fly_json_key(&json, cache->method[m]);
        fly_json_object(&json);
        for (int p = 0; p < 3; p++) {
            fly_json_key(&json, pairs[p]);
            fly_json_row(&json);
            for (uint64_t n = first; n < cache->agreements; n++)
                fly_json_f64(&json, cache->agreement[n % FLY_PAGE_AGREEMENTS].ami[m][p]); /* NaN becomes null */
            fly_json_end(&json);
        }
        fly_json_end(&json);
    }
    fly_json_end(&json);
    fly_json_end(&json);
    blob = fly_blob_of_text(&text);
    fly_text_fini(&text);
    return blob;
}

struct fly_blob *fly_page_cache_course(struct fly_page_cache *cache)
{
    const struct fly_page_course *course = &cache->course;
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "t_ns");
    fly_json_row(&json);
    for (int32_t i = 0; i < course->n; i++)
        fly_json_int(&json, course->t_ns[i]);
    fly_json_end(&json);
    fly_json_key(&json, "expected_error");
    fly_json_row(&json);
    for (int32_t i = 0; i < course->n; i++)
        fly_json_f64(&json, course->error[i]); /* NaN becomes null */
    fly_json_end(&json);
    fly_json_end(&json);
    blob = fly_blob_of_text(&text);
    fly_text_fini(&text);
    return blob;
}

/* ---- news ---------------------------------------------------------------------------------------- */

struct fly_blob *fly_page_cache_news(const struct fly_page_cache *cache)
{
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "session");
    fly_json_str(&json, cache->session);
    for (int t = 0; t < FLY_PAGE_TOPICS; t++) {
        fly_json_key(&json, fly_page_topic_name((enum fly_page_topic)t));
        fly_json_uint(&json, cache->topic[t].seq);
    }
    fly_json_key(&json, "map");
    fly_json_object(&json);
    for (int i = 0; i < FLY_PAGE_MAPS; i++)
        if (cache->map[i].head.seq) {
            fly_json_key(&json, cache->map[i].head.key);
            fly_json_uint(&json, cache->map[i].head.seq);
        }
    fly_json_end(&json);
    fly_json_key(&json, "clusters");
    fly_json_object(&json);
    for (int i = 0; i < FLY_PAGE_MAPS; i++)
        if (cache->clusters[i].seq) {
            fly_json_key(&json, cache->clusters[i].key);
            fly_json_uint(&json, cache->clusters[i].seq);
        }
    fly_json_end(&json);
    fly_json_key(&json, "support");
    fly_json_uint(&json, cache->support.seq);
    fly_json_key(&json, "image");
    fly_json_uint(&json, cache->picture.step ? cache->picture.newest : 0);
    fly_json_key(&json, "elements");
    fly_json_uint(&json, cache->elements_revision);
    fly_json_key(&json, "event");
    fly_json_uint(&json, cache->events);
    fly_json_key(&json, "agreement");
    fly_json_uint(&json, cache->agreements);
    fly_json_key(&json, "dose");
    fly_json_uint(&json, cache->dose.head.seq);
    fly_json_key(&json, "course");
    fly_json_uint(&json, cache->course.came);
    fly_json_end(&json);
    blob = fly_blob_of_text(&text);
    fly_text_fini(&text);
    return blob;
}
