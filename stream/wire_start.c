#include "stream/wire_decode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/rng.h"
#include "stream/wire_item.h"

/* A value that a list's entry must have. where is "detectors[2]" and the like. */
static enum fly_refusal entry_get(struct fly_value entry, const char *where, const char *key,
                                  enum fly_want want, struct fly_value *value)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", where, key);
    if (!fly_value_get(entry, key, value))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "start: no %s", name);
    return fly_want_check(*value, want, name);
}

/* The name of a detector or segment: well made, not control, not taken by an earlier one. */
static enum fly_refusal read_name(const struct fly_start *start, struct fly_value entry,
                                  const char *where, char out[FLY_NAME_MAX + 1])
{
    struct fly_value value = {0};
    const char *text = "";
    size_t len = 0;
    enum fly_refusal why = entry_get(entry, where, "name", FLY_WANT_STR, &value);

    if (why != FLY_REFUSE_NONE)
        return why;
    (void)fly_value_str(value, &text, &len);
    if (!fly_name_valid(text, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE,
                          "%s.name '%s', allowed are 1 .. %d of [A-Za-z0-9._-]", where,
                          fly_quote_text(text, len).text, FLY_NAME_MAX);
    if (fly_stream_find(start, text, len) >= 0)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE,
                          "%s.name '%s' is taken: names are unique, control is "
                          "not a detector's",
                          where, fly_quote_text(text, len).text);
    fly_text_copy(out, FLY_NAME_MAX + 1, text, len);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_detectors(struct fly_start *start, struct fly_value list)
{
    struct fly_value_iter it = {0};
    struct fly_value entry, value = {0};

    if (fly_value_count(list) > FLY_DETECTORS_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%u detectors, at most %d are allowed",
                          (unsigned)fly_value_count(list), FLY_DETECTORS_MAX);
    while (fly_value_next(list, &it, NULL, &entry)) {
        struct fly_detector *detector = &start->detectors[start->n_detectors];
        const char *text = "";
        size_t len = 0;
        char where[24];
        int dtype;
        enum fly_refusal why;

        snprintf(where, sizeof where, "detectors[%d]", start->n_detectors);
        why = read_name(start, entry, where, detector->name);
        if (why == FLY_REFUSE_NONE)
            why = entry_get(entry, where, "dtype", FLY_WANT_STR, &value);
        if (why != FLY_REFUSE_NONE)
            return why;
        (void)fly_value_str(value, &text, &len);
        dtype = fly_dtype_parse(text, len);
        if (dtype < 0)
            return FLY_REFUSE(FLY_REFUSE_DTYPE,
                              "%s.dtype '%s', allowed are <u1 <u2 <u4 <i2 <i4 <f4 <f8", where,
                              fly_quote_text(text, len).text);
        detector->dtype = (enum fly_dtype)dtype;
        start->n_detectors++;
    }
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_segment(struct fly_segment *segment, struct fly_value entry,
                                     const char *where)
{
    struct fly_value channels = {0}, step = {0}, offset = {0}, takeoff = {0};
    int64_t n_channels = 0;
    enum fly_refusal why = entry_get(entry, where, "n_channels", FLY_WANT_INT, &channels);

    segment->takeoff_deg = NAN;
    if (why == FLY_REFUSE_NONE)
        why = entry_get(entry, where, "ev_per_channel", FLY_WANT_NUM, &step);
    if (why == FLY_REFUSE_NONE)
        why = entry_get(entry, where, "ev_offset", FLY_WANT_NUM, &offset);
    if (why == FLY_REFUSE_NONE && fly_value_get(entry, "takeoff_deg", &takeoff) &&
        fly_value_kind(takeoff) != FLY_KIND_NIL)
        why = fly_want_check(takeoff, FLY_WANT_NUM, "takeoff_deg");
    else
        takeoff.at = NULL;

    if (why == FLY_REFUSE_NONE)
        why = fly_int_within(channels, "n_channels", 1, INT64_MAX, &n_channels);
    if (why == FLY_REFUSE_NONE && n_channels > FLY_CHANNELS_MAX)
        why = FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%s.n_channels %lld, at most %d are allowed", where,
                         (long long)n_channels, FLY_CHANNELS_MAX);
    segment->n_channels = (int32_t)n_channels;
    if (why == FLY_REFUSE_NONE)
        why = fly_f64_within(step, "ev_per_channel", 1e-3, 1e6, &segment->ev_per_channel);
    if (why == FLY_REFUSE_NONE)
        why = fly_f64_within(offset, "ev_offset", -1e6, 1e6, &segment->ev_offset);
    if (why == FLY_REFUSE_NONE && takeoff.at)
        why = fly_f64_within(takeoff, "takeoff_deg", -90, 90, &segment->takeoff_deg);
    return why;
}

static enum fly_refusal read_segments(struct fly_start *start, struct fly_value list)
{
    struct fly_value_iter it = {0};
    struct fly_value entry;

    if (fly_value_count(list) > FLY_SEGMENTS_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%u eds segments, at most %d are allowed",
                          (unsigned)fly_value_count(list), FLY_SEGMENTS_MAX);
    while (fly_value_next(list, &it, NULL, &entry)) {
        struct fly_segment *segment = &start->segments[start->n_segments];
        char where[24];
        enum fly_refusal why;

        snprintf(where, sizeof where, "eds[%d]", start->n_segments);
        why = read_name(start, entry, where, segment->name);
        if (why == FLY_REFUSE_NONE)
            why = read_segment(segment, entry, where);
        if (why != FLY_REFUSE_NONE)
            return why;
        start->n_segments++;
    }
    return FLY_REFUSE_NONE;
}

/* Bytes of the chemical symbol that text begins with: a capital and at most two small letters; 0
 * when there is none. Whether there is such an element is for those who quantify. */
static size_t symbol_len(const char *text, size_t len)
{
    size_t n = 1;

    if (len == 0 || text[0] < 'A' || text[0] > 'Z')
        return 0;
    while (n < len && n < 3 && text[n] >= 'a' && text[n] <= 'z')
        n++;
    return n;
}

static enum fly_refusal read_elements(struct fly_start *start, struct fly_value list)
{
    struct fly_value_iter it = {0};
    struct fly_value value;

    if (fly_value_count(list) > FLY_START_ELEMENTS_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%u elements, at most %d are allowed",
                          (unsigned)fly_value_count(list), FLY_START_ELEMENTS_MAX);
    while (fly_value_next(list, &it, NULL, &value)) {
        const char *text = "";
        size_t len = 0;

        (void)fly_value_str(value, &text, &len);
        if (len == 0 || symbol_len(text, len) != len)
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "elements[%d] '%s' is no chemical symbol",
                              start->n_elements, fly_quote_text(text, len).text);
        fly_text_copy(start->elements[start->n_elements], sizeof start->elements[0], text, len);
        for (int32_t i = 0; i < start->n_elements; i++)
            if (strcmp(start->elements[i], start->elements[start->n_elements]) == 0)
                return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "elements: %s twice", start->elements[i]);
        start->n_elements++;
    }
    return FLY_REFUSE_NONE;
}

/* "Fe_Ka": a symbol, an underscore, the name of a line that begins with its shell. */
static int line_valid(const char *text, size_t len)
{
    size_t n = symbol_len(text, len);

    if (n == 0 || len >= sizeof((struct fly_start *)0)->k_factors[0].line || len < n + 2 ||
        text[n] != '_' || text[n + 1] < 'K' || text[n + 1] > 'N')
        return 0;
    for (size_t i = n + 2; i < len; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9')))
            return 0;
    return 1;
}

static enum fly_refusal read_k_factors(struct fly_start *start, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;

    if (fly_value_count(map) > FLY_K_FACTORS_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%u k_factors, at most %d are allowed",
                          (unsigned)fly_value_count(map), FLY_K_FACTORS_MAX);
    while (fly_value_next(map, &it, &key, &value)) {
        const char *text = "";
        size_t len = 0;
        enum fly_refusal why;
        int32_t i = start->n_k_factors;

        (void)fly_value_str(key, &text, &len);
        if (!line_valid(text, len))
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "k_factors: '%s' is no line like Fe_Ka",
                              fly_quote_text(text, len).text);
        fly_text_copy(start->k_factors[i].line, sizeof start->k_factors[i].line, text, len);
        why =
            fly_f64_within(value, start->k_factors[i].line, 1e-9, 1e9, &start->k_factors[i].value);
        if (why != FLY_REFUSE_NONE)
            return why;
        start->n_k_factors++;
    }
    return FLY_REFUSE_NONE;
}

/* An optional number; NaN when absent or nil. */
static enum fly_refusal read_number(const struct fly_keys *keys, enum fly_key key, double lo,
                                    double hi, double *out)
{
    struct fly_value value;

    *out = NAN;
    if (!fly_keys_get(keys, key, &value))
        return FLY_REFUSE_NONE;
    return fly_f64_within(value, fly_key_name(key), lo, hi, out);
}

/* An optional pair of numbers; NaN, NaN when absent or nil. */
static enum fly_refusal read_pair(const struct fly_keys *keys, enum fly_key key, double lo,
                                  double hi, double out[2])
{
    struct fly_value_iter it = {0};
    struct fly_value list, value;
    enum fly_refusal why = FLY_REFUSE_NONE;

    out[0] = out[1] = NAN;
    if (!fly_keys_get(keys, key, &list))
        return FLY_REFUSE_NONE;
    if (fly_value_count(list) != 2)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: %u numbers, it has 2", fly_key_name(key),
                          (unsigned)fly_value_count(list));
    for (int i = 0; i < 2 && why == FLY_REFUSE_NONE && fly_value_next(list, &it, NULL, &value); i++)
        why = fly_f64_within(value, fly_key_name(key), lo, hi, &out[i]);
    return why;
}

/* An optional word out of a few; out is its index, or -1 when absent or nil. */
static enum fly_refusal read_word(const struct fly_keys *keys, enum fly_key key,
                                  const char *const *words, int n_words, int *out)
{
    struct fly_value value;
    const char *text = "";
    size_t len = 0;

    *out = -1;
    if (!fly_keys_get(keys, key, &value))
        return FLY_REFUSE_NONE;
    (void)fly_value_str(value, &text, &len);
    for (int i = 0; i < n_words; i++)
        if (strlen(words[i]) == len && memcmp(words[i], text, len) == 0) {
            *out = i;
            return FLY_REFUSE_NONE;
        }
    return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s '%s' is none of those allowed, %s .. %s",
                      fly_key_name(key), fly_quote_text(text, len).text, words[0],
                      words[n_words - 1]);
}

static enum fly_refusal read_scan(struct fly_start *start, const struct fly_keys *keys)
{
    static const char *const paths[] = {"raster", "serpentine", "list"};
    struct fly_value_iter it = {0};
    struct fly_value list = keys->slot[FLY_KEY_SCAN_SHAPE_PX], value;
    int64_t side[2] = {0, 0};
    enum fly_refusal why = FLY_REFUSE_NONE;
    int word;

    if (fly_value_count(list) != 2)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "scan_shape_px: %u numbers, it is [height, width]",
                          (unsigned)fly_value_count(list));
    for (int i = 0; i < 2 && why == FLY_REFUSE_NONE && fly_value_next(list, &it, NULL, &value); i++)
        why = fly_int_within(value, "scan_shape_px", 1, INT64_MAX, &side[i]);
    if (why != FLY_REFUSE_NONE)
        return why;
    if (side[0] > FLY_SCAN_SIDE_MAX || side[1] > FLY_SCAN_SIDE_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "scan_shape_px [%lld, %lld], at most %d are allowed",
                          (long long)side[0], (long long)side[1], FLY_SCAN_SIDE_MAX);
    start->height_px = (int32_t)side[0];
    start->width_px = (int32_t)side[1];

    if (fly_keys_get(keys, FLY_KEY_FRAMES_PLANNED, &value))
        why = fly_int_within(value, "frames_planned", 1, FLY_FRAMES_MAX, &start->frames_planned);
    if (why == FLY_REFUSE_NONE) {
        why = read_word(keys, FLY_KEY_SCAN_PATH, paths, 3, &word);
        start->scan_path = (enum fly_scan_path)(FLY_SCAN_UNSAID + 1 + word);
    }
    return why;
}

/* Sane is wide: these ranges keep out slipped units and signs, not unusual microscopes. */
static enum fly_refusal read_optics(struct fly_start *start, const struct fly_keys *keys)
{
    const struct {
        enum fly_key key;
        double lo, hi;
        double *out;
    } numbers[] = {
        {FLY_KEY_ROTATION_RAD, -1e3, 1e3, &start->rotation_rad},
        {FLY_KEY_PIXEL_TIME_US, 1e-3, (double)FLY_DWELL_MAX_NS * 1e-3, &start->pixel_time_us},
        {FLY_KEY_FLYBACK_TIME_US, 0, 1e9, &start->flyback_time_us},
        {FLY_KEY_BEAM_ENERGY_KEV, 1e-3, 1e5, &start->beam_energy_kev},
        {FLY_KEY_BEAM_CURRENT_NA, 0, 1e6, &start->beam_current_na},
        {FLY_KEY_CONVERGENCE_MRAD, 0, 1e4, &start->convergence_mrad},
        {FLY_KEY_MAGNIFICATION, 1e-3, 1e12, &start->magnification},
    };
    enum fly_refusal why = read_pair(keys, FLY_KEY_PIXEL_NM, 1e-6, 1e6, start->pixel_nm);

    for (size_t i = 0; why == FLY_REFUSE_NONE && i < sizeof numbers / sizeof numbers[0]; i++)
        why = read_number(keys, numbers[i].key, numbers[i].lo, numbers[i].hi, numbers[i].out);
    if (why == FLY_REFUSE_NONE)
        why = read_pair(keys, FLY_KEY_COLLECTION_MRAD, 0, 1e4, start->collection_mrad);
    if (why == FLY_REFUSE_NONE && start->collection_mrad[1] < start->collection_mrad[0])
        why = FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "collection_mrad: inner %.9g beyond outer %.9g",
                         start->collection_mrad[0], start->collection_mrad[1]);
    return why;
}

/* What the protocol leaves open may be anything; as text it is kept for those who show it. */
static void read_text(const struct fly_keys *keys, enum fly_key key, char *out, size_t cap)
{
    struct fly_value value;
    const char *text;
    size_t len;

    if (fly_keys_get(keys, key, &value) && fly_value_str(value, &text, &len))
        fly_text_copy(out, cap, text, len);
}

enum fly_refusal fly_decode_start(struct fly_start *start, const struct fly_keys *keys,
                                  int nonfinite)
{
    static const struct fly_key_rule rules[] = {
        {FLY_KEY_SCAN_SHAPE_PX, FLY_WANT_INTS, 1},   {FLY_KEY_DETECTORS, FLY_WANT_MAPS, 1},
        {FLY_KEY_FRAMES_PLANNED, FLY_WANT_INT, 0},   {FLY_KEY_SCAN_PATH, FLY_WANT_STR, 0},
        {FLY_KEY_PIXEL_NM, FLY_WANT_NUMS, 0},        {FLY_KEY_ROTATION_RAD, FLY_WANT_NUM, 0},
        {FLY_KEY_PIXEL_TIME_US, FLY_WANT_NUM, 0},    {FLY_KEY_FLYBACK_TIME_US, FLY_WANT_NUM, 0},
        {FLY_KEY_BEAM_ENERGY_KEV, FLY_WANT_NUM, 0},  {FLY_KEY_BEAM_CURRENT_NA, FLY_WANT_NUM, 0},
        {FLY_KEY_CONVERGENCE_MRAD, FLY_WANT_NUM, 0}, {FLY_KEY_COLLECTION_MRAD, FLY_WANT_NUMS, 0},
        {FLY_KEY_MAGNIFICATION, FLY_WANT_NUM, 0},    {FLY_KEY_EDS, FLY_WANT_MAPS, 0},
        {FLY_KEY_ELEMENTS, FLY_WANT_STRS, 0},        {FLY_KEY_K_FACTORS, FLY_WANT_NUM_MAP, 0},
        {FLY_KEY_K_BASIS, FLY_WANT_STR, 0},
    };
    static const char *const bases[] = {"weight", "atomic"};
    struct fly_value value;
    enum fly_refusal why = fly_keys_check(keys, rules, sizeof rules / sizeof rules[0], "start");
    int basis = -1;

    memset(start, 0, sizeof *start);
    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = read_scan(start, keys);
    if (why == FLY_REFUSE_NONE)
        why = read_detectors(start, keys->slot[FLY_KEY_DETECTORS]);
    if (why == FLY_REFUSE_NONE && fly_keys_get(keys, FLY_KEY_EDS, &value))
        why = read_segments(start, value);
    if (why == FLY_REFUSE_NONE && start->n_detectors + start->n_segments == 0)
        why =
            FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "start: neither detectors nor eds: nothing can come");
    if (why == FLY_REFUSE_NONE)
        why = read_optics(start, keys);
    if (why == FLY_REFUSE_NONE && fly_keys_get(keys, FLY_KEY_ELEMENTS, &value))
        why = read_elements(start, value);
    if (why == FLY_REFUSE_NONE && fly_keys_get(keys, FLY_KEY_K_FACTORS, &value))
        why = read_k_factors(start, value);
    if (why == FLY_REFUSE_NONE)
        why = read_word(keys, FLY_KEY_K_BASIS, bases, 2, &basis);
    if (why != FLY_REFUSE_NONE)
        return why;
    if (basis >= 0)
        fly_text_copy(start->k_basis, sizeof start->k_basis, bases[basis], strlen(bases[basis]));
    read_text(keys, FLY_KEY_SAMPLE, start->sample, sizeof start->sample);
    read_text(keys, FLY_KEY_OPERATOR, start->operator_name, sizeof start->operator_name);
    return FLY_REFUSE_NONE;
}

/* ---- one start or another?
 * ------------------------------------------------------------------------ */

static uint64_t fold(uint64_t hash, uint64_t more)
{
    return fly_mix64(hash ^ fly_mix64(more + 0x9E3779B97F4A7C15u));
}

static uint64_t digest_text(uint64_t hash, const char *text, size_t len)
{
    hash = fold(hash, len);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;

        memcpy(&word, text + i, len - i < 8 ? len - i : 8);
        hash = fold(hash, word);
    }
    return hash;
}

/* A number of the content alone: widths of integers and the order of keys do not enter, an integer
 * and the float that equals it are one. except is a key of the first level left out. Recursion is
 * bounded by the nesting of scanned headers. */
static uint64_t digest(struct fly_value value, const char *except)
{
    enum fly_kind kind = fly_value_kind(value);
    struct fly_value_iter it = {0};
    struct fly_value key, member;
    uint64_t hash = fly_mix64((uint64_t)kind + 1), bits = 0, sum = 0;
    const char *text = "";
    size_t len = 0;
    int64_t integer;
    int truth = 0;
    double d = 0;

    switch (kind) {
    case FLY_KIND_NIL:
        return hash;
    case FLY_KIND_BOOL:
        (void)fly_value_bool(value, &truth);
        return fold(hash, (uint64_t)truth);
    case FLY_KIND_INT:
        if (fly_value_uint(value, &bits))
            return fold(hash, bits);
        (void)fly_value_int(value, &integer);
        return fold(hash + 1, (uint64_t)integer);
    case FLY_KIND_FLOAT:
        (void)fly_value_f64(value, &d);
        if (d >= 0 && d < 0x1p64 && d == floor(d))
            return fold(fly_mix64((uint64_t)FLY_KIND_INT + 1), (uint64_t)d);
        if (d < 0 && d >= -0x1p63 && d == floor(d))
            return fold(fly_mix64((uint64_t)FLY_KIND_INT + 1) + 1, (uint64_t)(int64_t)d);
        memcpy(&bits, &d, sizeof bits);
        return fold(hash, bits);
    case FLY_KIND_STR:
        (void)fly_value_str(value, &text, &len);
        return digest_text(hash, text, len);
    case FLY_KIND_ARRAY:
        hash = fold(hash, fly_value_count(value));
        while (fly_value_next(value, &it, NULL, &member))
            hash = fold(hash, digest(member, NULL));
        return hash;
    case FLY_KIND_MAP:
        while (fly_value_next(value, &it, &key, &member)) {
            (void)fly_value_str(key, &text, &len);
            if (except && strlen(except) == len && memcmp(except, text, len) == 0)
                continue;
            sum += fold(digest_text(1, text, len), digest(member, NULL));
        }
        return fold(hash, sum);
    }
    return hash;
}

int fly_start_same(const struct fly_part *a, const struct fly_part *b)
{
    return digest(fly_value_root(a->bytes, a->len), "t_ns") ==
           digest(fly_value_root(b->bytes, b->len), "t_ns");
}
