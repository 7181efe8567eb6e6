/* Published messages: start, map, metrics, event, heartbeat, stop. Clusters are test_publish_clusters.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stream/publish_rig.h"

/* ---- start -------------------------------------------------------------------------------------- */

static const struct fly_pub_start additions = {
    {33, 34}, 15, 14, {2, 3}, "robust", "spectral", "0.1.0", 1, NULL, 0.0, 0.0};

static void a_published_start_has_all_the_instrument_said_and_more(void **state)
{
    static struct made made;
    struct fly_part header;
    struct fly_published published;
    const void *a, *b;
    size_t len;
    struct fly_value value;

    made_start(&made);
    made_set(&made, "user_data", v_map(1, (const char *const[]){"x"}, (const struct made_value[]){v_int(1)}));
    made_set(&made, "vendor_key", V_INTS(1, 2, 3));
    made_set(&made, "resumed", v_str("an instrument's own")); /* ours stands */
    header = made_pack(&made);
    empty(sizeof room);
    assert_int_equal(fly_pub_start(&out, &pack, &id, &header, &additions), FLY_OK);
    published = read_back();
    assert_string_equal(published.type, "start");
    assert_int_equal(published.n_payloads, 0);
    assert_text(published.header, "stream", "start"); /* on publish, the topic */
    assert_int_equal(get_int(published.header, "chip_px"), 15);
    assert_int_equal(get_int(published.header, "pitch_px"), 14);
    assert_int_equal(get_bool(published.header, "resumed"), 1);
    assert_text(published.header, "embedder", "spectral");
    assert_text(published.header, "profile", "robust");
    assert_text(published.header, "flyback_version", "0.1.0");
    len = fly_value_bytes(get(published.header, "grid_shape"), &a);
    assert_int_equal(len, 3);
    assert_memory_equal(a, "\x92\x21\x22", 3);
    fly_value_bytes(get(published.header, "origin_px"), &a);
    assert_memory_equal(a, "\x92\x02\x03", 3);
    for (int i = 0; i < made.n; i++) {
        if (i < 5 || strcmp(made.key[i], "resumed") == 0)
            continue;
        value = get(published.header, made.key[i]);
        len = fly_value_bytes(value, &b);
        assert_int_equal(len, made.value[i].len);
        assert_memory_equal(b, made.value[i].bytes, len);
    }
}

/* nil says the same as absent: what the configuration knows stands there, and once. */
static void what_an_instrument_does_not_say_of_itself_is_filled_in(void **state)
{
    static struct made made;
    struct fly_pub_start start = additions;
    struct fly_part header;
    struct fly_published published;
    struct fly_value value;
    double us;

    start.instrument = "Themis Z";
    start.pixel_time_us = 2.5;
    start.flyback_time_us = 40.0;
    made_start(&made);
    made_set(&made, "pixel_time_us", v_f64(0.5)); /* its own word stands */
    made_set(&made, "flyback_time_us", v_nil());
    header = made_pack(&made);
    empty(sizeof room);
    assert_int_equal(fly_pub_start(&out, &pack, &id, &header, &start), FLY_OK);
    published = read_back();
    assert_text(published.header, "instrument", "Themis Z");
    assert_true(fly_value_f64(get(published.header, "pixel_time_us"), &us) && us == 0.5);
    assert_true(fly_value_f64(get(published.header, "flyback_time_us"), &us) && us == 40.0);

    start.instrument = "";
    start.flyback_time_us = 0.0; /* not known */
    empty(sizeof room);
    assert_int_equal(fly_pub_start(&out, &pack, &id, &header, &start), FLY_OK);
    published = read_back();
    assert_int_equal(fly_value_get(published.header, "instrument", &value), 0);
    assert_int_equal(fly_value_kind(get(published.header, "flyback_time_us")), FLY_KIND_NIL);
}

/* A header of just 64 KiB has no room for what we add. */
static void a_start_that_would_grow_too_long_leaves_out_what_the_protocol_does_not_name(void **state)
{
    static struct made made;
    static unsigned char big[FLY_HEADER_MAX];
    struct fly_pack fill;
    struct fly_part header;
    struct fly_published published;
    struct fly_value value;
    uint32_t items;

    made_start(&made);
    made_set(&made, "sample", v_str("kept"));
    header = made_pack(&made);
    fly_pack_init(&fill, big, sizeof big);
    fly_pack_map(&fill, (uint32_t)made.n + 2);
    fly_pack_raw(&fill, made.header + 1, header.len - 1); /* all behind the map's head */
    fly_pack_str(&fill, "user_data");
    items = (uint32_t)(FLY_HEADER_MAX - fill.len) - 20;
    fly_pack_array(&fill, items);
    for (uint32_t i = 0; i < items; i++)
        fly_pack_nil(&fill);
    fly_pack_str(&fill, "vendor");
    fly_pack_int(&fill, 7);
    assert_int_equal(fill.full, 0);
    assert_int_equal(fly_wire_scan(big, fill.len), FLY_REFUSE_NONE);
    header = (struct fly_part){big, fill.len};

    empty(sizeof room);
    assert_int_equal(fly_pub_start(&out, &pack, &id, &header, &additions), FLY_OK);
    published = read_back();
    assert_int_equal(fly_value_get(published.header, "user_data", &value), 0);
    assert_int_equal(fly_value_get(published.header, "vendor", &value), 0);
    assert_text(published.header, "sample", "kept");
    assert_int_equal(fly_value_count(get(published.header, "detectors")), 2);
    assert_int_equal(get_int(published.header, "chip_px"), 15);
}

/* ---- map ---------------------------------------------------------------------------------------- */

static const struct fly_pub_class classes[] = {{0, "\xce\xb1-phase", "#ff8000"}, {3, "b", "#000000"}};
static const int32_t labels[6] = {0, 3, -1, -2, -3, -4};
static const uint32_t age[6] = {0, 1, 2, 3, 4, 5};

static struct fly_pub_map a_map(void)
{
    static float confidence[6] = {0.5f, 1, 0, 0, 0, 0};

    confidence[2] = NAN;
    return (struct fly_pub_map){
        "fewshot", "haadf", {4, 5}, {1, 2, 2, 3}, FLY_PUB_DELTA, 41,
        {2, {"control", "haadf"}, {3, UINT64_MAX}}, 1, classes, 2, labels, confidence, age, NULL};
}

static void a_delta_comes_back_as_it_was_said(void **state)
{
    struct fly_pub_map map = a_map();
    struct fly_published published;
    struct fly_map_read back;
    struct fly_value_iter it = {0};
    struct fly_value entry;
    const char *name;
    size_t name_len;
    char color[8];
    int64_t class_id;
    uint64_t seq;

    empty(sizeof room);
    assert_int_equal(fly_pub_map(&out, &pack, &id, &map), FLY_OK);
    assert_int_equal(out.n_parts, 5);
    assert_int_equal(out.parts[0].len, 3);
    assert_memory_equal(out.parts[0].bytes, "map", 3);
    published = read_back();
    assert_int_equal(fly_map_decode(&back, published.header, published.payloads, published.n_payloads),
                     FLY_OK);
    assert_string_equal(back.method, "fewshot");
    assert_string_equal(back.modality, "haadf");
    assert_memory_equal(back.full_shape, map.full_shape, sizeof back.full_shape);
    assert_memory_equal(back.bbox, map.bbox, sizeof back.bbox);
    assert_int_equal(back.has_base, 1);
    assert_int_equal(back.base_seq, 41);
    assert_int_equal(back.final, 1);
    assert_memory_equal(back.labels, labels, sizeof labels);
    assert_memory_equal(back.confidence, map.confidence, 24);
    assert_memory_equal(back.age, age, sizeof age);
    assert_int_equal(fly_value_uint(get(back.as_of, "haadf"), &seq), 1);
    assert_true(seq == UINT64_MAX);
    assert_int_equal(fly_value_count(back.classes), 2);
    assert_int_equal(fly_value_next(back.classes, &it, NULL, &entry), 1);
    assert_int_equal(fly_map_class(entry, &class_id, &name, &name_len, color), 1);
    assert_int_equal(class_id, 0);
    assert_int_equal(name_len, 8);
    assert_memory_equal(name, "\xce\xb1-phase", 8);
    assert_string_equal(color, "#ff8000");
}

static void a_picture_for_the_eye_goes_along_or_is_the_labels(void **state)
{
    static const int32_t shown[6] = {3, 3, -1, -2, -3, -4};
    struct fly_pub_map map = a_map();
    struct fly_published published;
    struct fly_map_read back;

    for (int there = 0; there < 2; there++) {
        map.shown = there ? shown : NULL;
        empty(sizeof room);
        assert_int_equal(fly_pub_map(&out, &pack, &id, &map), FLY_OK);
        published = read_back();
        assert_int_equal(published.n_payloads, 3 + there);
        assert_int_equal(fly_map_decode(&back, published.header, published.payloads, published.n_payloads), FLY_OK);
        assert_memory_equal(back.labels, labels, sizeof labels);
        assert_memory_equal(back.shown, there ? shown : labels, sizeof labels);
    }
}

static void keyframes_say_zero_and_exact_maps_nil(void **state)
{
    struct fly_pub_map map = a_map();
    struct fly_map_read back;
    struct fly_published published;

    memcpy(map.bbox, (const int32_t[]){0, 0, 2, 3}, sizeof map.bbox);
    memcpy(map.full_shape, (const int32_t[]){2, 3}, sizeof map.full_shape);
    map.base = FLY_PUB_KEYFRAME;
    empty(sizeof room);
    assert_int_equal(fly_pub_map(&out, &pack, &id, &map), FLY_OK);
    published = read_back();
    assert_int_equal(fly_map_decode(&back, published.header, published.payloads, 3), FLY_OK);
    assert_int_equal(back.has_base, 1);
    assert_int_equal(back.base_seq, 0);
    map.base = FLY_PUB_EXACT;
    empty(sizeof room);
    assert_int_equal(fly_pub_map(&out, &pack, &id, &map), FLY_OK);
    published = read_back();
    assert_nil(published.header, "base_seq");
    assert_int_equal(fly_map_decode(&back, published.header, published.payloads, 3), FLY_OK);
    assert_int_equal(back.has_base, 0);
}

static void wrong_maps_are_not_read(void **state)
{
    static const char *const keys[] = {"method", "modality", "full_shape", "bbox", "base_seq",
                                       "as_of", "final", "classes"};
    const struct {
        const char *key;
        struct made_value value;
    } twists[] = {
        {"method", v_int(1)}, {"method", v_str("")}, {"modality", v_nil()},
        {"modality", v_str("a name of more than thirty-one bytes")},
        {"full_shape", V_INTS(2)}, {"full_shape", V_F64S(2, 3)}, {"full_shape", V_INTS(2, 16385)},
        {"bbox", V_INTS(0, 0, 2)}, {"bbox", V_INTS(0, 0, 2, 4)}, {"bbox", V_INTS(1, 0, 2, 3)},
        {"bbox", V_INTS(-1, 0, 2, 3)}, {"bbox", V_INTS(0, 0, 0, 3)}, {"bbox", V_INTS(0, 0, 1, 3)},
        {"base_seq", v_int(-1)}, {"base_seq", v_f64(0)}, {"final", v_int(1)}, {"as_of", V_INTS(1)},
        {"classes", v_nil()},
    };
    const struct fly_part payloads[5] = {{labels, 24}, {labels, 24}, {labels, 24}, {labels, 24}, {labels, 24}};
    const struct fly_part shorter[4] = {{labels, 24}, {labels, 24}, {labels, 24}, {labels, 20}};
    static struct made made;

    for (size_t i = 0; i < 8 + sizeof twists / sizeof twists[0] + 1; i++) {
        struct fly_map_read back;
        struct fly_part header;
        int rc;

        made_common(&made, "map", "map", 1);
        made_set(&made, "method", v_str("ward"));
        made_set(&made, "modality", v_str("eds"));
        made_set(&made, "full_shape", V_INTS(2, 3));
        made_set(&made, "bbox", V_INTS(0, 0, 2, 3));
        made_set(&made, "base_seq", v_int(0));
        made_set(&made, "as_of", V_RAW("\x80"));
        made_set(&made, "final", v_bool(0));
        made_set(&made, "classes", V_RAW("\x90"));
        made_set(&made, "new_in_1_1", v_nil());
        if (i < 8)
            made_drop(&made, keys[i]);
        else if (i > 8)
            made_set(&made, twists[i - 9].key, twists[i - 9].value);
        header = made_pack(&made);
        rc = fly_map_decode(&back, fly_value_root(header.bytes, header.len), payloads, 3);
        assert_int_equal(rc, i == 8 ? FLY_OK : FLY_EWIRE);
        for (int32_t n = 2; i == 8 && n <= 5; n++)
            assert_int_equal(fly_map_decode(&back, fly_value_root(header.bytes, header.len), payloads, n),
                             n == 3 || n == 4 ? FLY_OK : FLY_EWIRE);
        assert_int_equal(fly_map_decode(&back, fly_value_root(header.bytes, header.len), shorter, 4), FLY_EWIRE);
    }
}

static void wrong_publications_are_not_read(void **state)
{
    static struct made made;
    struct fly_published published;
    struct fly_part parts[2] = {{"map", 3}, {0}};

    made_common(&made, "map", "map", 1);
    parts[1] = made_pack(&made);
    assert_int_equal(fly_published_decode(&published, parts, 2), FLY_OK);
    assert_int_equal(fly_published_decode(&published, parts, 1), FLY_EWIRE);
    parts[0].len = 2;
    assert_int_equal(fly_published_decode(&published, parts, 2), FLY_EWIRE);
    parts[0] = (struct fly_part){"mup", 3};
    assert_int_equal(fly_published_decode(&published, parts, 2), FLY_EWIRE);
    parts[0] = (struct fly_part){"map", 3};
    parts[1].len--;
    assert_int_equal(fly_published_decode(&published, parts, 2), FLY_EWIRE);
    made_set(&made, "session", v_str("")); /* outside any */
    parts[1] = made_pack(&made);
    assert_int_equal(fly_published_decode(&published, parts, 2), FLY_OK);
    made_set(&made, "seq", v_f64(1));
    parts[1] = made_pack(&made);
    assert_int_equal(fly_published_decode(&published, parts, 2), FLY_EWIRE);
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static const struct fly_pub_counter items[] = {{"repeat", 2}, {"gap", UINT64_MAX}};

static void each_modality_has_its_own_modularity_and_threshold(void **state)
{
    struct fly_pub_metrics metrics = {
        .n_modalities = 3,
        .modalities = {{"haadf", 0.75, 0.5}, {"eds", NAN, 0.25}, {"ensemble", 0.125, NAN}},
        .counters = {items, 2, NULL}};
    struct fly_value header;

    empty(sizeof room);
    assert_int_equal(fly_pub_metrics(&out, &pack, &id, &metrics), FLY_OK);
    header = read_back().header;
    assert_int_equal(fly_value_count(get(header, "modularity")), 3);
    assert_int_equal(fly_value_count(get(header, "threshold")), 3);
    assert_true(get_f64(get(header, "modularity"), "haadf") == 0.75);
    assert_nil(get(header, "modularity"), "eds");
    assert_true(get_f64(get(header, "modularity"), "ensemble") == 0.125);
    assert_true(get_f64(get(header, "threshold"), "haadf") == 0.5);
    assert_true(get_f64(get(header, "threshold"), "eds") == 0.25);
    assert_nil(get(header, "threshold"), "ensemble");
    assert_int_equal(fly_value_count(get(header, "ami")), 0);

    metrics.n_modalities = 0;
    empty(sizeof room);
    assert_int_equal(fly_pub_metrics(&out, &pack, &id, &metrics), FLY_OK);
    header = read_back().header;
    assert_int_equal(fly_value_kind(get(header, "modularity")), FLY_KIND_MAP);
    assert_int_equal(fly_value_count(get(header, "modularity")), 0);
    assert_int_equal(fly_value_count(get(header, "threshold")), 0);
    assert_nil(header, "calibration");
    assert_nil(header, "reliability");
}

static void metrics_say_nil_where_nothing_is_defined(void **state)
{
    const struct fly_pub_metrics metrics = {
        .n_methods = 2,
        .methods = {{"fewshot", {0.5, NAN, 1}, {NAN, -0.25, 0}, "eds"}, {"ward", {0, 0, 0}, {0, 0, 0}, NULL}},
        .n_modalities = 1, .modalities = {{"haadf", 0.75, NAN}},
        .n_hierarchies = 1, .hierarchies = {{"eds", 4, 36, 1.5, INFINITY}},
        .calibration = {.there = 1,
                        .modality = {{"haadf", "fitted", 0.25, 1.5, INFINITY, 12, 1, 0.5, NAN},
                                     {"eds", "no_class", NAN, NAN, NAN, 0, 0, NAN, NAN}},
                        .weights = {0.75, 0.25}, .weights_from = "learned", .nll = 0.125, .nll_equal = NAN},
        .reliability = {2, {{"fewshot", 0.875, 0.25, {0.75, 0.25}, 1, "measured"},
                            {"community", NAN, 0.5, {0.5, 0.5}, 0, "no_halves"}}},
        .p50_ms = 1.5, .p99_ms = 2.5, .max_ms = INFINITY, .counters = {items, 2, NULL}};
    struct fly_value header, of_method, of_modality, latency, counters, value;
    uint64_t n;

    empty(sizeof room);
    assert_int_equal(fly_pub_metrics(&out, &pack, &id, &metrics), FLY_OK);
    header = read_back().header;
    {
        const char *text;
        size_t len;

        assert_true(fly_value_str(get(get(header, "leads"), "fewshot"), &text, &len));
        assert_int_equal(len, 3);
        assert_memory_equal(text, "eds", 3);
    }
    assert_int_equal(fly_value_kind(get(get(header, "leads"), "ward")), FLY_KIND_NIL);
    of_method = get(get(header, "ami"), "fewshot");
    assert_true(get_f64(of_method, "haadf_eds") == 0.5);
    assert_nil(of_method, "haadf_ens");
    assert_true(get_f64(of_method, "eds_ens") == 1);
    of_method = get(get(header, "ari"), "fewshot");
    assert_nil(of_method, "haadf_eds");
    assert_true(get_f64(of_method, "haadf_ens") == -0.25);
    of_modality = get(header, "modularity");
    assert_true(get_f64(of_modality, "haadf") == 0.75);
    assert_nil(get(header, "threshold"), "haadf");
    value = get(get(header, "hierarchy"), "eds");
    assert_true(get_f64(value, "k") == 4 && get_f64(value, "chips") == 36 && get_f64(value, "height_below") == 1.5);
    assert_nil(value, "height_above");
    value = get(get(header, "calibration"), "haadf");
    assert_true(get_f64(value, "temperature") == 0.25 && get_f64(value, "scatter") == 1.5);
    assert_nil(value, "unknown_above");
    assert_true(get_f64(value, "left_out") == 12 && get_f64(value, "mistaken") == 1);
    assert_nil(get(get(header, "calibration"), "eds"), "temperature");
    assert_true(get_f64(get(header, "calibration"), "nll") == 0.125);
    assert_nil(get(header, "calibration"), "nll_equal");
    value = get(get(header, "reliability"), "fewshot");
    assert_true(get_f64(value, "haadf") == 0.875 && get_f64(value, "eds") == 0.25);
    assert_int_equal(fly_value_count(get(value, "weights")), 2);
    assert_int_equal(fly_value_kind(get(value, "used")), FLY_KIND_BOOL);
    value = get(get(header, "reliability"), "community");
    assert_nil(value, "haadf");
    assert_true(get_f64(value, "eds") == 0.5);
    latency = get(header, "latency_ms");
    assert_true(get_f64(latency, "p50") == 1.5);
    assert_nil(latency, "max");
    counters = get(header, "counters");
    assert_int_equal(fly_value_uint(get(counters, "gap"), &n), 1);
    assert_true(n == UINT64_MAX);
    assert_int_equal(fly_value_get(counters, "refused", &value), 0);
}

static void events_carry_a_packed_value_or_nil(void **state)
{
    struct fly_pub_event event = {"info", "haadf_range", "range frozen", {NULL, 0}};
    unsigned char data[64];
    struct fly_pack packed;
    struct fly_value header;

    empty(sizeof room);
    assert_int_equal(fly_pub_event(&out, &pack, &id, &event), FLY_OK);
    assert_nil(read_back().header, "data");
    fly_pack_init(&packed, data, sizeof data);
    fly_pack_map(&packed, 2);
    fly_pack_str(&packed, "lo");
    fly_pack_f64(&packed, 10.5);
    fly_pack_str(&packed, "hi");
    fly_pack_f64(&packed, 60000);
    event.data = (struct fly_part){data, packed.len};
    empty(sizeof room);
    assert_int_equal(fly_pub_event(&out, &pack, &id, &event), FLY_OK);
    header = read_back().header;
    assert_text(header, "level", "info");
    assert_text(header, "code", "haadf_range");
    assert_text(header, "text", "range frozen");
    assert_true(get_f64(get(header, "data"), "lo") == 10.5);
    assert_true(get_f64(get(header, "data"), "hi") == 60000);
}

static void heartbeats_count_refusals_by_reason(void **state)
{
    uint64_t refused[FLY_REFUSALS] = {0};
    struct fly_pub_heartbeat heartbeat = {
        "running", {2, {"control", "haadf"}, {1, 9}}, {2, {"control", "haadf"}, {1, 7}}, 12, 1 << 20,
        "behind", {items, 2, refused}};
    struct fly_value header, reasons;

    refused[FLY_REFUSE_DTYPE] = 3;
    refused[FLY_REFUSE_NO_SESSION] = 1;
    empty(sizeof room);
    assert_int_equal(fly_pub_heartbeat(&out, &pack, &id, &heartbeat), FLY_OK);
    header = read_back().header;
    assert_text(header, "state", "running");
    assert_int_equal(get_int(get(header, "last_seq"), "haadf"), 9);
    assert_int_equal(get_int(get(header, "durable_seq"), "haadf"), 7);
    assert_int_equal(get_int(get(header, "durable_seq"), "control"), 1);
    assert_int_equal(get_int(header, "backlog_chips"), 12);
    assert_int_equal(get_int(header, "rss_bytes"), 1 << 20);
    assert_text(header, "recording", "behind");
    reasons = get(get(header, "counters"), "refused");
    assert_int_equal(fly_value_count(reasons), 2);
    assert_int_equal(get_int(reasons, "dtype"), 3);
    assert_int_equal(get_int(reasons, "no_session"), 1);
}

static void a_stop_says_it_is_drained(void **state)
{
    const struct fly_pub_stop stop = {"success", "done", {2, {"control", "haadf"}, {4, 512}},
                                      0.75, 1, 2, 3, NAN, {items, 2, NULL}};
    struct fly_value header;

    empty(sizeof room);
    assert_int_equal(fly_pub_stop(&out, &pack, &id, &stop), FLY_OK);
    header = read_back().header;
    assert_text(header, "exit_status", "success");
    assert_text(header, "reason", "done");
    assert_int_equal(get_int(get(header, "count"), "haadf"), 512);
    assert_true(get_f64(header, "complete") == 0.75);
    assert_int_equal(get_bool(header, "drained"), 1);
    assert_true(get_f64(get(header, "latency_ms"), "p999") == 3);
    assert_nil(get(header, "latency_ms"), "max");
}

static void a_header_that_does_not_fit_is_not_sent(void **state)
{
    struct fly_pub_map map = a_map();
    const struct fly_pub_event event = {"info", "code", "text", {NULL, 0}};
    size_t whole;

    empty(sizeof room);
    assert_int_equal(fly_pub_map(&out, &pack, &id, &map), FLY_OK);
    whole = pack.len;
    for (size_t cap = 0; cap < whole; cap += 7) {
        empty(cap);
        assert_int_equal(fly_pub_map(&out, &pack, &id, &map), FLY_ERANGE);
        assert_int_equal(out.n_parts, -1);
    }
    empty(10);
    assert_int_equal(fly_pub_event(&out, &pack, &id, &event), FLY_ERANGE);
}

static void what_would_break_the_rules_is_not_sent(void **state)
{
    static char text[FLY_STRING_MAX + 2];
    struct fly_pub_event event = {"info", "code", text, {NULL, 0}};

    memset(text, 'x', FLY_STRING_MAX);
    empty(sizeof room);
    assert_int_equal(fly_pub_event(&out, &pack, &id, &event), FLY_OK);
    text[FLY_STRING_MAX] = 'x';
    empty(sizeof room);
    assert_int_equal(fly_pub_event(&out, &pack, &id, &event), FLY_ERANGE);
    event.text = "\xff";
    empty(sizeof room);
    assert_int_equal(fly_pub_event(&out, &pack, &id, &event), FLY_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_start_has_all_the_instrument_said_and_more),
        cmocka_unit_test(what_an_instrument_does_not_say_of_itself_is_filled_in),
        cmocka_unit_test(a_start_that_would_grow_too_long_leaves_out_what_the_protocol_does_not_name),
        cmocka_unit_test(a_delta_comes_back_as_it_was_said),
        cmocka_unit_test(a_picture_for_the_eye_goes_along_or_is_the_labels),
        cmocka_unit_test(keyframes_say_zero_and_exact_maps_nil),
        cmocka_unit_test(wrong_maps_are_not_read),
        cmocka_unit_test(wrong_publications_are_not_read),
        cmocka_unit_test(each_modality_has_its_own_modularity_and_threshold),
        cmocka_unit_test(metrics_say_nil_where_nothing_is_defined),
        cmocka_unit_test(events_carry_a_packed_value_or_nil),
        cmocka_unit_test(heartbeats_count_refusals_by_reason),
        cmocka_unit_test(a_stop_says_it_is_drained),
        cmocka_unit_test(a_header_that_does_not_fit_is_not_sent),
        cmocka_unit_test(what_would_break_the_rules_is_not_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
