/* The `dose` message and the result of dose.get: made and read. */
#include <math.h>
#include <string.h>

#include "stream/publish.h"
#include "stream/publish_head.h"
#include "stream/wire_keys.h"

enum { KEYS = 11 };

static void pack_keys(struct fly_pack *pack, const struct fly_pub_dose *dose)
{
    fly_pack_str(pack, "unit");
    fly_pack_str(pack, dose->calibrated ? "e_per_A2" : "us");
    fly_pack_key_f64(pack, "factor", dose->factor);
    fly_pack_str(pack, "full_shape");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, dose->full_shape[0]);
    fly_pack_int(pack, dose->full_shape[1]);
    fly_pack_key_f64(pack, "max", dose->max);
    fly_pack_key_f64(pack, "mean", dose->mean);
    fly_pack_key_f64(pack, "gini", dose->gini);
    fly_pack_key_f64(pack, "survey", dose->survey);
    fly_pack_key_f64(pack, "cap", dose->cap);
    fly_pack_str(pack, "unknown");
    fly_pack_int(pack, dose->unknown);
    fly_pack_str(pack, "late");
    fly_pack_int(pack, dose->late);
    fly_pack_str(pack, "as_of");
    fly_pub_pack_streams(pack, &dose->as_of);
}

void fly_pub_pack_dose(struct fly_pack *pack, const struct fly_pub_dose *dose)
{
    fly_pack_map(pack, KEYS);
    pack_keys(pack, dose);
}

int fly_pub_dose(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                 const struct fly_pub_dose *dose)
{
    int rc;

    fly_pub_open_header(pack, "dose", id, KEYS);
    pack_keys(pack, dose);
    rc = fly_pub_close_header(out, pack, "dose");
    if (rc < 0)
        return rc;
    out->parts[out->n_parts++] = (struct fly_part){
        dose->chips, (size_t)dose->full_shape[0] * (size_t)dose->full_shape[1] * sizeof *dose->chips};
    return FLY_OK;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static int missing(const char *key, const char *kind)
{
    return fly_fail(FLY_EWIRE, "dose: %s is missing or not %s", key, kind);
}

/* A number of at least 0, or nil. */
static int get_number(struct fly_value map, const char *key, double *out)
{
    struct fly_value value;

    *out = NAN;
    if (!fly_value_get(map, key, &value))
        return missing(key, "a number of at least 0, or nil");
    if (fly_value_kind(value) == FLY_KIND_NIL)
        return FLY_OK;
    if (!fly_value_f64(value, out) || !(*out >= 0.0) || isinf(*out))
        return missing(key, "a number of at least 0, or nil");
    return FLY_OK;
}

static int get_count(struct fly_value map, const char *key, int64_t *out)
{
    struct fly_value value;

    if (!fly_value_get(map, key, &value) || !fly_value_int(value, out) || *out < 0)
        return missing(key, "an integer of at least 0");
    return FLY_OK;
}

static int get_shape(struct fly_value map, int32_t shape[2])
{
    struct fly_value_iter it = {0};
    struct fly_value list, value;

    if (!fly_value_get(map, "full_shape", &list) || fly_value_kind(list) != FLY_KIND_ARRAY ||
        fly_value_count(list) != 2)
        return missing("full_shape", "two integers");
    for (int i = 0; fly_value_next(list, &it, NULL, &value); i++) {
        int64_t side;

        if (!fly_value_int(value, &side) || side < 1 || side > FLY_SCAN_SIDE_MAX)
            return fly_fail(FLY_EWIRE, "dose: full_shape[%d], allowed are integers of 1 .. %d", i, FLY_SCAN_SIDE_MAX);
        shape[i] = (int32_t)side;
    }
    return FLY_OK;
}

static int get_unit(struct fly_value map, int *calibrated)
{
    struct fly_value value;
    const char *text;
    size_t len;

    if (!fly_value_get(map, "unit", &value) || !fly_value_str(value, &text, &len))
        return missing("unit", "a string");
    *calibrated = len == 8 && memcmp(text, "e_per_A2", 8) == 0;
    return *calibrated || (len == 2 && memcmp(text, "us", 2) == 0)
               ? FLY_OK
               : fly_fail(FLY_EWIRE, "dose: unit '%s', allowed are e_per_A2, us", fly_quote_text(text, len).text);
}

int fly_dose_decode(struct fly_dose_read *out, struct fly_value header, const struct fly_part *payloads,
                    int32_t n_payloads)
{
    struct {
        const char *key;
        double *to;
    } numbers[] = {{"factor", &out->factor}, {"max", &out->max},       {"mean", &out->mean},
                   {"gini", &out->gini},     {"survey", &out->survey}, {"cap", &out->cap}};
    size_t want;

    memset(out, 0, sizeof *out);
    if (fly_value_kind(header) != FLY_KIND_MAP)
        return fly_fail(FLY_EWIRE, "dose: the header is no map");
    if (get_unit(header, &out->calibrated) < 0 || get_shape(header, out->full_shape) < 0 ||
        get_count(header, "unknown", &out->unknown) < 0 || get_count(header, "late", &out->late) < 0)
        return FLY_EWIRE;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (get_number(header, numbers[i].key, numbers[i].to) < 0)
            return FLY_EWIRE;
    if (!fly_value_get(header, "as_of", &out->as_of) || fly_value_kind(out->as_of) != FLY_KIND_MAP)
        return missing("as_of", "a map");
    want = (size_t)out->full_shape[0] * (size_t)out->full_shape[1] * sizeof(float);
    if (n_payloads < 1 || n_payloads > 2)
        return fly_fail(FLY_EWIRE, "dose: %d payloads, it has 1, of dose.get 2", n_payloads);
    for (int32_t i = 0; i < n_payloads; i++)
        if (payloads[i].len != want)
            return fly_fail(FLY_EWIRE, "dose: payload %d of %zu bytes, [%d, %d] needs %zu", i, payloads[i].len,
                            out->full_shape[0], out->full_shape[1], want);
    out->chips = payloads[0].bytes;
    out->most = n_payloads > 1 ? payloads[1].bytes : NULL;
    return FLY_OK;
}
