#include "stream/publish.h"

#include <math.h>
#include <string.h>

#include "stream/wire_keys.h"

static int missing(const char *what, const char *key, const char *kind)
{
    return fly_fail(FLY_EWIRE, "%s: %s is missing or not %s", what, key, kind);
}

static int get_text(struct fly_value map, const char *key, const char **text, size_t *len)
{
    struct fly_value value;

    return fly_value_get(map, key, &value) && fly_value_str(value, text, len);
}

/* Absent and nil say the same. */
static int is_nil(struct fly_value map, const char *key)
{
    struct fly_value value;

    return !fly_value_get(map, key, &value) || fly_value_kind(value) == FLY_KIND_NIL;
}

int fly_published_decode(struct fly_published *out, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_value value;
    const char *text = NULL;
    size_t len = 0;

    memset(out, 0, sizeof *out);
    if (n_parts < 2 || n_parts > 1 + FLY_PARTS_MAX)
        return fly_fail(FLY_EWIRE, "published: %d parts, allowed are 2 .. %d", n_parts,
                        1 + FLY_PARTS_MAX);
    if (fly_wire_scan(parts[1].bytes, parts[1].len) != FLY_REFUSE_NONE)
        return FLY_EWIRE;
    out->header = fly_value_root(parts[1].bytes, parts[1].len);
    if (!get_text(out->header, "type", &text, &len) || len == 0 || len >= sizeof out->type)
        return missing("published", "type", "a short string");
    fly_text_copy(out->type, sizeof out->type, text, len);
    if (parts[0].len != len || memcmp(parts[0].bytes, text, len) != 0)
        return fly_fail(FLY_EWIRE, "published: the topic is not the type, '%s'",
                        fly_quote_text(text, len).text);
    if (!get_text(out->header, "session", &text, &len) || (len > 0 && !fly_name_valid(text, len)))
        return missing(out->type, "session", "a session's id");
    fly_text_copy(out->session, sizeof out->session, text, len);
    if (!fly_value_get(out->header, "seq", &value) || !fly_value_uint(value, &out->seq))
        return missing(out->type, "seq", "an integer >= 0");
    if (!fly_value_get(out->header, "t_ns", &value) || !fly_value_int(value, &out->t_ns))
        return missing(out->type, "t_ns", "an integer");
    out->payloads = parts + 2;
    out->n_payloads = n_parts - 2;
    return FLY_OK;
}

/* count integers of 0 .. max. */
static int get_ints(struct fly_value map, const char *key, int32_t *out, uint32_t count,
                    int32_t max)
{
    struct fly_value_iter it = {0};
    struct fly_value list, value;

    if (!fly_value_get(map, key, &list) || fly_value_kind(list) != FLY_KIND_ARRAY ||
        fly_value_count(list) != count)
        return missing("map", key, "a list of as many integers as it has");
    for (uint32_t i = 0; fly_value_next(list, &it, NULL, &value); i++) {
        int64_t v;

        if (!fly_value_int(value, &v) || v < 0 || v > max)
            return fly_fail(FLY_EWIRE, "map: %s[%u], allowed are integers of 0 .. %d", key, i, max);
        out[i] = (int32_t)v;
    }
    return FLY_OK;
}

static int get_arrays(struct fly_map_read *out, const struct fly_part *payloads, int32_t n_payloads)
{
    size_t want = (size_t)out->bbox[2] * (size_t)out->bbox[3] * 4;

    if (n_payloads < FLY_PUB_MAP_PAYLOADS - 1 || n_payloads > FLY_PUB_MAP_PAYLOADS)
        return fly_fail(FLY_EWIRE, "map: %d payloads, it has 3 or 4", n_payloads);
    for (int32_t i = 0; i < n_payloads; i++)
        if (payloads[i].len != want)
            return fly_fail(FLY_EWIRE, "map: payload %d of %zu bytes, [%d, %d] needs %zu", i,
                            payloads[i].len, out->bbox[2], out->bbox[3], want);
    out->labels = payloads[0].bytes;
    out->confidence = payloads[1].bytes;
    out->age = payloads[2].bytes;
    out->shown = n_payloads == FLY_PUB_MAP_PAYLOADS ? payloads[3].bytes : out->labels;
    return FLY_OK;
}

int fly_map_decode(struct fly_map_read *out, struct fly_value header,
                   const struct fly_part *payloads, int32_t n_payloads)
{
    struct fly_value value;
    const char *text = NULL;
    size_t len = 0;

    memset(out, 0, sizeof *out);
    if (fly_value_kind(header) != FLY_KIND_MAP)
        return fly_fail(FLY_EWIRE, "map: the header is no map");
    if (!get_text(header, "method", &text, &len) || len == 0 || len >= sizeof out->method)
        return missing("map", "method", "a short string");
    fly_text_copy(out->method, sizeof out->method, text, len);
    if (!get_text(header, "modality", &text, &len) || len == 0 || len >= sizeof out->modality)
        return missing("map", "modality", "a short string");
    fly_text_copy(out->modality, sizeof out->modality, text, len);

    if (get_ints(header, "full_shape", out->full_shape, 2, FLY_SCAN_SIDE_MAX) < 0 ||
        get_ints(header, "bbox", out->bbox, 4, FLY_SCAN_SIDE_MAX) < 0)
        return FLY_EWIRE;
    for (int i = 0; i < 2; i++)
        if (out->bbox[2 + i] < 1 || out->bbox[i] + out->bbox[2 + i] > out->full_shape[i])
            return fly_fail(FLY_EWIRE, "map: bbox [%d, %d, %d, %d] leaves [%d, %d]", out->bbox[0],
                            out->bbox[1], out->bbox[2], out->bbox[3], out->full_shape[0],
                            out->full_shape[1]);

    if (!fly_value_get(header, "base_seq", &value))
        return missing("map", "base_seq", "an integer >= 0 or nil");
    out->has_base = fly_value_kind(value) != FLY_KIND_NIL;
    if (out->has_base && !fly_value_uint(value, &out->base_seq))
        return missing("map", "base_seq", "an integer >= 0 or nil");
    if (!fly_value_get(header, "final", &value) || !fly_value_bool(value, &out->final))
        return missing("map", "final", "a bool");
    if (!fly_value_get(header, "as_of", &out->as_of) || fly_value_kind(out->as_of) != FLY_KIND_MAP)
        return missing("map", "as_of", "a map");
    if (!fly_value_get(header, "classes", &out->classes) ||
        fly_value_kind(out->classes) != FLY_KIND_ARRAY)
        return missing("map", "classes", "a list");
    return get_arrays(out, payloads, n_payloads);
}

int fly_map_class(struct fly_value entry, int64_t *id, const char **name, size_t *name_len,
                  char color[8])
{
    struct fly_value value;
    const char *text = NULL;
    size_t len = 0;

    color[0] = 0;
    if (!fly_value_get(entry, "id", &value) || !fly_value_int(value, id) ||
        !get_text(entry, "name", name, name_len))
        return 0;
    if (get_text(entry, "color", &text, &len) && len == 7)
        fly_text_copy(color, 8, text, len);
    return 1;
}

/* ---- clusters ----------------------------------------------------------------------------------- */

int fly_clusters_decode(struct fly_clusters_read *out, struct fly_value header)
{
    struct fly_value value;
    const char *text = NULL;
    size_t len = 0;

    memset(out, 0, sizeof *out);
    if (fly_value_kind(header) != FLY_KIND_MAP)
        return fly_fail(FLY_EWIRE, "clusters: the header is no map");
    if (!get_text(header, "method", &text, &len) || len == 0 || len >= sizeof out->method)
        return missing("clusters", "method", "a short string");
    fly_text_copy(out->method, sizeof out->method, text, len);
    if (!get_text(header, "modality", &text, &len) || len == 0 || len >= sizeof out->modality)
        return missing("clusters", "modality", "a short string");
    fly_text_copy(out->modality, sizeof out->modality, text, len);
    if (!fly_value_get(header, "as_of", &out->as_of) || fly_value_kind(out->as_of) != FLY_KIND_MAP)
        return missing("clusters", "as_of", "a map");
    if (!fly_value_get(header, "final", &value) || !fly_value_bool(value, &out->final))
        return missing("clusters", "final", "a bool");
    if (!fly_value_get(header, "elements", &out->elements) ||
        fly_value_kind(out->elements) != FLY_KIND_ARRAY)
        return missing("clusters", "elements", "a list");
    if (!is_nil(header, "omitted") &&
        (!fly_value_get(header, "omitted", &value) || !fly_value_int(value, &out->omitted) ||
         out->omitted < 0))
        return missing("clusters", "omitted", "an integer >= 0");
    if (!fly_value_get(header, "clusters", &out->clusters) ||
        fly_value_kind(out->clusters) != FLY_KIND_ARRAY)
        return missing("clusters", "clusters", "a list");
    return FLY_OK;
}

/* A number, or NaN where it is absent or nil. 0 when something else stands there. */
static int get_number(struct fly_value map, const char *key, double *out)
{
    struct fly_value value;

    *out = NAN;
    return is_nil(map, key) || (fly_value_get(map, key, &value) && fly_value_f64(value, out));
}

static int get_estimate(struct fly_value map, double *value, double *sigma)
{
    return fly_value_kind(map) == FLY_KIND_MAP && get_number(map, "value", value) &&
           get_number(map, "sigma", sigma);
}

static int percents_are_right(struct fly_value percent)
{
    struct fly_value_iter it = {0};
    struct fly_value key, estimate;
    double value, sigma;

    if (fly_value_kind(percent) == FLY_KIND_NIL)
        return 1;
    if (fly_value_kind(percent) != FLY_KIND_MAP)
        return 0;
    while (fly_value_next(percent, &it, &key, &estimate))
        if (!get_estimate(estimate, &value, &sigma))
            return 0;
    return 1;
}

static int parents_are_right(struct fly_value parents)
{
    struct fly_value_iter it = {0};
    struct fly_value value;
    int64_t id;

    if (fly_value_kind(parents) != FLY_KIND_ARRAY)
        return 0;
    while (fly_value_next(parents, &it, NULL, &value))
        if (!fly_value_int(value, &id))
            return 0;
    return 1;
}

/* Role and region are younger than the rest: absent is nil. */
static int decode_region(struct fly_cluster_read *out, struct fly_value entry)
{
    struct fly_value region, square, item;
    struct fly_value_iter it = {0};
    int64_t number;
    int n = 0;

    if (!is_nil(entry, "role") && !get_text(entry, "role", &out->role, &out->role_len))
        return missing("cluster", "role", "a string or nil");
    if (is_nil(entry, "region"))
        return FLY_OK;
    if (!fly_value_get(entry, "region", &region) || fly_value_kind(region) != FLY_KIND_MAP ||
        !get_text(region, "found", &out->found, &out->found_len))
        return missing("cluster", "region", "{square, found, ...} or nil");
    if (!fly_value_get(region, "square", &square) || fly_value_kind(square) != FLY_KIND_ARRAY)
        return missing("region", "square", "[row, column, side]");
    while (fly_value_next(square, &it, NULL, &item)) {
        if (n >= 3 || !fly_value_int(item, &number) || number < 0 || number > INT32_MAX)
            return missing("region", "square", "[row, column, side]");
        out->square[n++] = (int32_t)number;
    }
    return n == 3 ? FLY_OK : missing("region", "square", "[row, column, side]");
}

int fly_cluster_decode(struct fly_cluster_read *out, struct fly_value entry)
{
    static const unsigned char nil = 0xC0;
    struct fly_value value;

    memset(out, 0, sizeof *out);
    out->d_spacing_nm[0] = out->d_spacing_nm[1] = out->crystallinity = NAN;
    if (fly_value_kind(entry) != FLY_KIND_MAP)
        return fly_fail(FLY_EWIRE, "clusters: an entry is no map");
    if (!fly_value_get(entry, "id", &value) || !fly_value_int(value, &out->id))
        return missing("cluster", "id", "an integer");
    if (!get_text(entry, "name", &out->name, &out->name_len))
        return missing("cluster", "name", "a string");
    if (!fly_value_get(entry, "chips", &value) || !fly_value_int(value, &out->chips) || out->chips < 0)
        return missing("cluster", "chips", "an integer >= 0");
    if (!fly_value_get(entry, "parents", &out->parents) || !parents_are_right(out->parents))
        return missing("cluster", "parents", "a list of integers");
    if (!is_nil(entry, "event") && !get_text(entry, "event", &out->event, &out->event_len))
        return missing("cluster", "event", "a string or nil");
    if (!fly_value_get(entry, "atomic_percent", &out->percent))
        out->percent = fly_value_root(&nil, 1);
    if (!percents_are_right(out->percent))
        return missing("cluster", "atomic_percent", "{element: {value, sigma}} or nil");
    if (!is_nil(entry, "d_spacing_nm") &&
        (!fly_value_get(entry, "d_spacing_nm", &value) ||
         !get_estimate(value, &out->d_spacing_nm[0], &out->d_spacing_nm[1])))
        return missing("cluster", "d_spacing_nm", "{value, sigma} or nil");
    if (!get_number(entry, "crystallinity", &out->crystallinity))
        return missing("cluster", "crystallinity", "a number or nil");
    return decode_region(out, entry);
}

int fly_cluster_percent(const struct fly_cluster_read *cluster, const char *element, double *value,
                        double *sigma)
{
    struct fly_value estimate;

    *value = *sigma = NAN;
    return fly_value_kind(cluster->percent) == FLY_KIND_MAP &&
           fly_value_get(cluster->percent, element, &estimate) && get_estimate(estimate, value, sigma) &&
           isfinite(*value);
}
