#include "plugin/page/cache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const topics[FLY_PAGE_TOPICS] = {"start", "heartbeat", "metrics", "stop", "suggest"};

const char *fly_page_topic_name(enum fly_page_topic topic)
{
    return topics[topic];
}

int fly_page_cache_init(struct fly_page_cache *cache, uint64_t first_revision)
{
    memset(cache, 0, sizeof *cache);
    cache->revision_base = first_revision;
    cache->course.every = 1;
    fly_picture_init(&cache->picture, first_revision);
    cache->agreement = calloc(FLY_PAGE_AGREEMENTS, sizeof *cache->agreement);
    return cache->agreement ? FLY_OK : fly_fail(FLY_ENOMEM, "the page has no memory for what it shows");
}

/* ---- messages that are kept ---------------------------------------------------------------------- */

static void forget(struct fly_page_kept *kept)
{
    fly_blob_drop(&kept->made);
    kept->seq = 0;
    kept->len = 0;
}

static void let_go(struct fly_page_kept *kept)
{
    forget(kept);
    free(kept->packed);
    memset(kept, 0, sizeof *kept);
}

static int keep(struct fly_page_kept *kept, struct fly_value value, uint64_t seq)
{
    const void *bytes;
    size_t len = fly_value_bytes(value, &bytes);

    if (kept->cap < len) {
        unsigned char *room = realloc(kept->packed, len);

        if (!room)
            return 0;
        kept->packed = room;
        kept->cap = len;
    }
    fly_blob_drop(&kept->made);
    memcpy(kept->packed, bytes, len);
    kept->len = len;
    kept->seq = seq;
    return 1;
}

static void free_map(struct fly_page_map *map)
{
    free(map->labels);
    free(map->shown);
    free(map->confidence);
    free(map->age);
    let_go(&map->head);
    memset(map, 0, sizeof *map);
}

void fly_page_cache_fini(struct fly_page_cache *cache)
{
    for (int i = 0; i < FLY_PAGE_TOPICS; i++)
        let_go(&cache->topic[i]);
    for (int i = 0; i < FLY_PAGE_MAPS; i++) {
        free_map(&cache->map[i]);
        let_go(&cache->clusters[i]);
    }
    for (int i = 0; i < FLY_PAGE_EVENTS; i++)
        let_go(&cache->event[i]);
    let_go(&cache->dose.head);
    free(cache->dose.chips);
    let_go(&cache->support);
    fly_blob_drop(&cache->elements);
    fly_blob_drop(&cache->image);
    fly_picture_fini(&cache->picture);
    free(cache->agreement);
    memset(cache, 0, sizeof *cache);
}

int fly_page_cache_get(const struct fly_page_cache *cache, enum fly_page_topic topic, const char *key,
                       struct fly_value *out)
{
    const struct fly_page_kept *kept = &cache->topic[topic];

    return kept->seq && fly_value_get(fly_value_root(kept->packed, kept->len), key, out);
}

/* ---- sessions ------------------------------------------------------------------------------------ */

/* A pair of sizes of the start; 0: it has none. */
static int pair_of(const struct fly_page_cache *cache, const char *key, int64_t out[2])
{
    struct fly_value list, item, name;
    struct fly_value_iter it = {0};
    int n = 0;

    if (!fly_page_cache_get(cache, FLY_PAGE_START, key, &list) || fly_value_kind(list) != FLY_KIND_ARRAY)
        return 0;
    while (n < 2 && fly_value_next(list, &it, &name, &item))
        if (!fly_value_int(item, &out[n++]))
            return 0;
    return n == 2;
}

/* Nothing of the session before is shown as if it were of this one. Events are of the process, and stay. */
static void begin_session(struct fly_page_cache *cache, const char *session)
{
    struct fly_value detectors;
    int64_t side[2] = {0, 0};

    snprintf(cache->session, sizeof cache->session, "%s", session);
    for (int i = 0; i < FLY_PAGE_MAPS; i++) {
        free_map(&cache->map[i]);
        let_go(&cache->clusters[i]);
    }
    forget(&cache->topic[FLY_PAGE_METRICS]);
    forget(&cache->topic[FLY_PAGE_STOP]);
    forget(&cache->topic[FLY_PAGE_SUGGEST]);
    forget(&cache->dose.head);
    cache->course.n = 0;
    cache->course.came = 0;
    cache->course.every = 1;
    forget(&cache->support);
    fly_blob_drop(&cache->elements);
    fly_blob_drop(&cache->image);
    cache->elements_revision = 0;
    cache->agreements = 0;
    memset(cache->method, 0, sizeof cache->method);
    if (!fly_page_cache_get(cache, FLY_PAGE_START, "detectors", &detectors) || fly_value_count(detectors) == 0 ||
        !pair_of(cache, "scan_shape_px", side) || side[0] < 1 || side[1] < 1 || side[0] > FLY_SCAN_SIDE_MAX ||
        side[1] > FLY_SCAN_SIDE_MAX)
        side[0] = side[1] = 0;
    /* Without memory there is no picture; all else goes on. */
    if (fly_picture_begin(&cache->picture, (int32_t)side[0], (int32_t)side[1]) < 0)
        return;
}

/* ---- maps ---------------------------------------------------------------------------------------- */

static void key_of(char out[FLY_PAGE_KEY], const char *method, const char *modality)
{
    snprintf(out, FLY_PAGE_KEY, "%s/%s", method, modality);
}

static struct fly_page_map *map_of(struct fly_page_cache *cache, const char *key)
{
    for (int i = 0; i < FLY_PAGE_MAPS; i++) {
        struct fly_page_map *map = &cache->map[i];

        if (!map->head.key[0])
            snprintf(map->head.key, sizeof map->head.key, "%s", key);
        if (strcmp(map->head.key, key) == 0)
            return map;
    }
    return NULL;
}

static int make_room(struct fly_page_map *map, const struct fly_map_read *read)
{
    size_t count = (size_t)read->full_shape[0] * (size_t)read->full_shape[1];
    int wants_shown = read->shown != read->labels;

    if (map->labels && map->rows == read->full_shape[0] && map->cols == read->full_shape[1] &&
        wants_shown == (map->shown != NULL))
        return 1;
    free(map->labels);
    free(map->shown);
    free(map->confidence);
    free(map->age);
    map->labels = malloc(count * sizeof *map->labels);
    map->confidence = malloc(count * sizeof *map->confidence);
    map->age = malloc(count * sizeof *map->age);
    map->shown = wants_shown ? malloc(count * sizeof *map->shown) : NULL;
    map->rows = read->full_shape[0];
    map->cols = read->full_shape[1];
    if (map->labels && map->confidence && map->age && (map->shown || !wants_shown))
        return 1;
    free(map->labels);
    map->labels = NULL;
    return 0;
}

static void write_box(void *array, const struct fly_page_map *map, const struct fly_map_read *read,
                      const unsigned char *from)
{
    for (int32_t r = 0; r < read->bbox[2]; r++)
        memcpy((unsigned char *)array + ((size_t)(read->bbox[0] + r) * (size_t)map->cols + (size_t)read->bbox[1]) * 4,
               from + (size_t)r * (size_t)read->bbox[3] * 4, (size_t)read->bbox[3] * 4);
}

static void take_map(struct fly_page_cache *cache, struct fly_value header, uint64_t seq, const struct fly_map_read *read,
                     int keyframe)
{
    char key[FLY_PAGE_KEY];
    struct fly_page_map *map;

    key_of(key, read->method, read->modality);
    map = map_of(cache, key);
    if (!map || seq <= map->head.seq)
        return; /* a repeat for somebody who came later */
    if (!keyframe && (read->base_seq != map->head.seq || !map->labels)) {
        map->lacks = 1;
        return;
    }
    if (!make_room(map, read) || !keep(&map->head, header, seq)) {
        map->head.seq = 0;
        map->lacks = 1;
        return;
    }
    write_box(map->labels, map, read, read->labels);
    write_box(map->confidence, map, read, read->confidence);
    write_box(map->age, map, read, read->age);
    if (map->shown)
        write_box(map->shown, map, read, read->shown);
    map->lacks = 0;
    cache->changes++;
}

void fly_page_cache_take_map(struct fly_page_cache *cache, struct fly_value result, const struct fly_part *payloads,
                             int32_t n_payloads)
{
    struct fly_map_read read;
    struct fly_value seq, session;
    const char *text;
    size_t len;
    uint64_t number;

    if (fly_map_decode(&read, result, payloads, n_payloads) < 0 || !fly_value_get(result, "seq", &seq) ||
        !fly_value_uint(seq, &number) || !fly_value_get(result, "session", &session) ||
        !fly_value_str(session, &text, &len))
        return;
    if (len == strlen(cache->session) && memcmp(text, cache->session, len) == 0)
        take_map(cache, result, number, &read, 1);
}

int fly_page_cache_lacks(const struct fly_page_cache *cache, char method[32], char modality[32])
{
    for (int i = 0; i < FLY_PAGE_MAPS; i++) {
        const char *key = cache->map[i].head.key, *slash = strchr(key, '/');

        if (!cache->map[i].lacks || !slash)
            continue;
        snprintf(method, 32, "%.*s", (int)(slash - key), key);
        snprintf(modality, 32, "%s", slash + 1);
        return 1;
    }
    return 0;
}

/* ---- clusters, events, agreement ------------------------------------------------------------------ */

static void take_clusters(struct fly_page_cache *cache, const struct fly_published *msg)
{
    struct fly_clusters_read read;
    char key[FLY_PAGE_KEY];

    if (fly_clusters_decode(&read, msg->header) < 0)
        return;
    key_of(key, read.method, read.modality);
    for (int i = 0; i < FLY_PAGE_MAPS; i++) {
        struct fly_page_kept *kept = &cache->clusters[i];

        if (!kept->key[0])
            snprintf(kept->key, sizeof kept->key, "%s", key);
        if (strcmp(kept->key, key) != 0)
            continue;
        if (msg->seq > kept->seq && keep(kept, msg->header, msg->seq))
            cache->changes++;
        return;
    }
}

static void take_event(struct fly_page_cache *cache, const struct fly_published *msg)
{
    struct fly_page_kept *last = &cache->event[cache->events % FLY_PAGE_EVENTS];
    struct fly_page_kept *next = &cache->event[(cache->events + 1) % FLY_PAGE_EVENTS];
    const void *bytes;
    size_t len = fly_value_bytes(msg->header, &bytes);

    /* A repeat for somebody who came later is the newest again. */
    if (cache->events && last->len == len && memcmp(last->packed, bytes, len) == 0)
        return;
    if (!keep(next, msg->header, msg->seq))
        return;
    cache->events++;
    cache->changes++;
}

static void take_agreement(struct fly_page_cache *cache, const struct fly_published *msg)
{
    static const char *const pairs[3] = {"haadf_eds", "haadf_ens", "eds_ens"};
    struct fly_page_agreement *at = &cache->agreement[cache->agreements % FLY_PAGE_AGREEMENTS];
    struct fly_value methods, method, name, value;
    struct fly_value_iter it = {0};
    const char *text;
    size_t len;

    if (!fly_value_get(msg->header, "ami", &methods) || fly_value_kind(methods) != FLY_KIND_MAP)
        return;
    at->t_ns = msg->t_ns;
    for (int m = 0; m < FLY_PUB_METHODS_MAX; m++)
        at->ami[m][0] = at->ami[m][1] = at->ami[m][2] = NAN;
    while (fly_value_next(methods, &it, &name, &method)) {
        int m = 0;

        if (!fly_value_str(name, &text, &len) || len >= sizeof cache->method[0] || fly_value_kind(method) != FLY_KIND_MAP)
            continue;
        while (m < FLY_PUB_METHODS_MAX && cache->method[m][0] &&
               (strlen(cache->method[m]) != len || memcmp(cache->method[m], text, len) != 0))
            m++;
        if (m == FLY_PUB_METHODS_MAX)
            continue;
        snprintf(cache->method[m], sizeof cache->method[m], "%.*s", (int)len, text);
        for (int p = 0; p < 3; p++)
            if (!fly_value_get(method, pairs[p], &value) || !fly_value_f64(value, &at->ami[m][p]))
                at->ami[m][p] = NAN;
    }
    cache->agreements++;
}

/* ---- dose, the course of steering ------------------------------------------------------------------ */

static void take_dose(struct fly_page_cache *cache, const struct fly_published *msg)
{
    struct fly_page_dose *dose = &cache->dose;
    struct fly_dose_read read;
    size_t bytes;

    if (msg->seq == dose->head.seq || fly_dose_decode(&read, msg->header, msg->payloads, msg->n_payloads) < 0)
        return;
    bytes = (size_t)read.full_shape[0] * (size_t)read.full_shape[1] * sizeof *dose->chips;
    if (!dose->chips || dose->rows != read.full_shape[0] || dose->cols != read.full_shape[1]) {
        free(dose->chips);
        dose->chips = malloc(bytes);
        forget(&dose->head);
    }
    if (!dose->chips || !keep(&dose->head, msg->header, msg->seq))
        return;
    memcpy(dose->chips, read.chips, bytes);
    dose->rows = read.full_shape[0];
    dose->cols = read.full_shape[1];
    cache->changes++;
}

static void take_course(struct fly_page_course *course, const struct fly_published *msg)
{
    struct fly_value value;

    if (course->came++ % course->every != 0)
        return;
    if (course->n == FLY_PAGE_COURSE) {
        course->n /= 2;
        course->every *= 2;
        for (int32_t i = 0; i < course->n; i++) {
            course->t_ns[i] = course->t_ns[2 * i];
            course->error[i] = course->error[2 * i];
        }
    }
    course->t_ns[course->n] = msg->t_ns;
    if (!fly_value_get(msg->header, "expected_error", &value) || !fly_value_f64(value, &course->error[course->n]))
        course->error[course->n] = NAN;
    course->n++;
}

/* ---- messages in --------------------------------------------------------------------------------- */

static void take_topic(struct fly_page_cache *cache, enum fly_page_topic topic, const struct fly_published *msg)
{
    struct fly_page_kept *kept = &cache->topic[topic];

    /* Of another session numbers begin anew. */
    if (msg->seq == kept->seq && strcmp(msg->session, cache->session) == 0)
        return;
    if (!keep(kept, msg->header, msg->seq))
        return;
    cache->changes++;
    if (topic == FLY_PAGE_METRICS)
        take_agreement(cache, msg);
    else if (topic == FLY_PAGE_SUGGEST)
        take_course(&cache->course, msg);
}

void fly_page_cache_take(struct fly_page_cache *cache, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_published msg;
    struct fly_map_read read;

    if (fly_published_decode(&msg, parts, n_parts) < 0)
        return;
    if (strcmp(msg.type, "event") == 0) {
        take_event(cache, &msg);
        return;
    }
    if (strcmp(msg.type, "start") == 0) {
        int other = strcmp(msg.session, cache->session) != 0;

        take_topic(cache, FLY_PAGE_START, &msg);
        if (other)
            begin_session(cache, msg.session);
        return;
    }
    if (strcmp(msg.type, "heartbeat") == 0) {
        take_topic(cache, FLY_PAGE_HEARTBEAT, &msg);
        return;
    }
    if (strcmp(msg.session, cache->session) != 0)
        return;
    if (strcmp(msg.type, "map") == 0) {
        if (fly_map_decode(&read, msg.header, msg.payloads, msg.n_payloads) == FLY_OK)
            take_map(cache, msg.header, msg.seq, &read, read.has_base && read.base_seq == 0);
    } else if (strcmp(msg.type, "clusters") == 0) {
        take_clusters(cache, &msg);
    } else if (strcmp(msg.type, "metrics") == 0) {
        take_topic(cache, FLY_PAGE_METRICS, &msg);
    } else if (strcmp(msg.type, "stop") == 0) {
        take_topic(cache, FLY_PAGE_STOP, &msg);
    } else if (strcmp(msg.type, "suggest") == 0) {
        take_topic(cache, FLY_PAGE_SUGGEST, &msg);
    } else if (strcmp(msg.type, "dose") == 0) {
        take_dose(cache, &msg);
    }
}

/* ---- looks --------------------------------------------------------------------------------------- */

static int pair_in(struct fly_value map, const char *key, int64_t out[2])
{
    struct fly_value list, item, name;
    struct fly_value_iter it = {0};
    int n = 0;

    if (!fly_value_get(map, key, &list) || fly_value_kind(list) != FLY_KIND_ARRAY)
        return 0;
    while (n < 2 && fly_value_next(list, &it, &name, &item))
        if (!fly_value_int(item, &out[n++]))
            return 0;
    return n == 2;
}

void fly_page_cache_take_image(struct fly_page_cache *cache, struct fly_value result, const struct fly_part *payload)
{
    struct fly_picture *picture = &cache->picture;
    struct fly_value value;
    int64_t shape[2], y0 = 0, step = 0;
    uint64_t before = picture->newest;

    if (!picture->step || !pair_in(result, "shape", shape) || !fly_value_get(result, "y0_px", &value) ||
        !fly_value_int(value, &y0) || !fly_value_get(result, "step", &value) || !fly_value_int(value, &step))
        return;
    if (step != picture->step || shape[1] != picture->w || y0 % step != 0 || y0 < 0 || shape[0] < 1 ||
        y0 / step + shape[0] > picture->h ||
        payload->len != (size_t)shape[0] * (size_t)shape[1] * sizeof(float))
        return; /* of the session before */
    fly_picture_put(picture, (int32_t)(y0 / step), (int32_t)shape[0], payload->bytes);
    cache->changes += picture->newest != before;
}

void fly_page_cache_take_elements(struct fly_page_cache *cache, struct fly_value result,
                                  const struct fly_part *payloads, int32_t n_payloads)
{
    struct fly_bundle_part parts[2];
    struct fly_value elements;
    struct fly_text text;
    struct fly_json json;
    int64_t grid[2];
    size_t len;

    if (n_payloads != 2 || !fly_value_get(result, "elements", &elements) || !pair_in(result, "grid_shape", grid))
        return;
    len = (size_t)fly_value_count(elements) * (size_t)grid[0] * (size_t)grid[1] * sizeof(float);
    for (int i = 0; i < 2; i++) {
        if (payloads[i].len != len)
            return;
        parts[i] = (struct fly_bundle_part){
            payloads[i].bytes, "<f4", 3, {(int64_t)fly_value_count(elements), grid[0], grid[1]}};
    }
    fly_blob_drop(&cache->elements);
    cache->elements_revision = ++cache->revision_base;
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "revision");
    fly_json_uint(&json, cache->elements_revision);
    fly_json_key(&json, "elements");
    fly_json_value(&json, elements);
    fly_json_key(&json, "grid_shape");
    fly_json_row(&json);
    fly_json_int(&json, grid[0]);
    fly_json_int(&json, grid[1]);
    fly_json_end(&json);
    cache->elements = fly_bundle_make(&json, parts, 2);
    fly_text_fini(&text);
    cache->changes++;
}

void fly_page_cache_take_support(struct fly_page_cache *cache, struct fly_value result)
{
    struct fly_page_kept *kept = &cache->support;
    const void *bytes;
    size_t len = fly_value_bytes(result, &bytes);

    if (kept->seq && kept->len == len && memcmp(kept->packed, bytes, len) == 0)
        return;
    if (keep(kept, result, ++cache->revision_base))
        cache->changes++;
}
