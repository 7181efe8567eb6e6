#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "stream/publish.h"
#include "tests/unit/stream/wire_make.h"

static unsigned char room[FLY_HEADER_MAX];
static struct fly_pack pack;
static struct fly_pub_message out;
static const struct fly_pub_id id = {"s-1", 42, 1700000000000000001};

static void empty(size_t cap)
{
    fly_pack_init(&pack, room, cap);
    out = (struct fly_pub_message){.n_parts = -1};
}

static struct fly_published read_back(void)
{
    struct fly_published published;

    if (fly_published_decode(&published, out.parts, out.n_parts) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    assert_string_equal(published.session, "s-1");
    assert_int_equal(published.seq, 42);
    assert_int_equal(published.t_ns, 1700000000000000001);
    return published;
}

static struct fly_value get(struct fly_value map, const char *key)
{
    struct fly_value value;

    if (!fly_value_get(map, key, &value))
        fail_msg("no %s", key);
    return value;
}

static int64_t get_int(struct fly_value map, const char *key)
{
    int64_t v;

    assert_int_equal(fly_value_int(get(map, key), &v), 1);
    return v;
}

static double get_f64(struct fly_value map, const char *key)
{
    double v;

    assert_int_equal(fly_value_f64(get(map, key), &v), 1);
    return v;
}

static int get_bool(struct fly_value map, const char *key)
{
    int v;

    assert_int_equal(fly_value_bool(get(map, key), &v), 1);
    return v;
}

static void assert_text(struct fly_value map, const char *key, const char *want)
{
    const char *text;
    size_t len;

    assert_int_equal(fly_value_str(get(map, key), &text, &len), 1);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

static void assert_nil(struct fly_value map, const char *key)
{
    assert_int_equal(fly_value_kind(get(map, key)), FLY_KIND_NIL);
}

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

/* ---- clusters ------------------------------------------------------------------------------------ */

static const char *const elements[] = {"Sr", "Ti", "O"};

static const struct fly_pub_region region = {
    .square = {4, 0, 12}, .found = "crystalline", .snr = 31.5, .n_vectors = 2, .angle_deg = NAN,
    .vectors = {{0.125, -0.0625, {7.25, 0.5}, {0.390625, 0.125}}, {0.0, 0.125, {8.0, NAN}, {NAN, NAN}}}};

static const double relative[3] = {-6.5, NAN, 0.25}, symmetric[3] = {6.75, NAN, 0.25}, margin[3] = {0.5, 0.5, NAN};
static const struct fly_pub_difference difference = {0, 3, relative, margin, symmetric, margin};

/* Two of them: the larger one stands second and has everything, the smaller one nothing. */
static struct fly_pub_clusters two_clusters(void)
{
    static double percent[3] = {19.5, 20.25, -0.5}, sigma[3] = {0.5, 0, 0.25};
    static const int32_t parents[] = {7, -2};
    static struct fly_pub_cluster clusters[2];

    sigma[1] = NAN;
    clusters[0] = (struct fly_pub_cluster){.id = 3, .name = "3", .chips = 44, .d_spacing_nm = {NAN, 1},
                                           .crystallinity = NAN};
    clusters[1] = (struct fly_pub_cluster){.id = 0, .name = "\xce\xb1-phase", .role = "ordered", .chips = 612,
                                           .parents = parents, .n_parents = 2, .event = "merged", .percent = percent,
                                           .sigma = sigma, .d_spacing_nm = {0.390625, 0.125}, .crystallinity = 0.75,
                                           .region = &region};
    return (struct fly_pub_clusters){.method = "community", .modality = "ensemble",
                                     .as_of = {2, {"control", "haadf"}, {3, UINT64_MAX}}, .final = 1,
                                     .elements = elements, .n_elements = 3, .clusters = clusters, .n_clusters = 2,
                                     .difference = &difference};
}

static struct fly_clusters_read read_clusters(void)
{
    struct fly_published published = read_back();
    struct fly_clusters_read back;

    assert_string_equal(published.type, "clusters");
    assert_int_equal(published.n_payloads, 0);
    if (fly_clusters_decode(&back, published.header) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    return back;
}

static struct fly_cluster_read nth_cluster(const struct fly_clusters_read *back, int nth)
{
    struct fly_value_iter it = {0};
    struct fly_value entry;
    struct fly_cluster_read cluster;

    for (int i = 0; i <= nth; i++)
        assert_int_equal(fly_value_next(back->clusters, &it, NULL, &entry), 1);
    if (fly_cluster_decode(&cluster, entry) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    return cluster;
}

static void clusters_come_back_as_they_were_said_the_largest_first(void **state)
{
    const struct fly_pub_clusters said = two_clusters();
    struct fly_clusters_read back;
    struct fly_cluster_read cluster;
    const void *bytes;
    double value, sigma;
    uint64_t seq;

    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    assert_int_equal(out.n_parts, 2);
    back = read_clusters();
    assert_string_equal(back.method, "community");
    assert_string_equal(back.modality, "ensemble");
    assert_int_equal(back.final, 1);
    assert_int_equal(back.omitted, 0);
    assert_int_equal(fly_value_uint(get(back.as_of, "haadf"), &seq), 1);
    assert_true(seq == UINT64_MAX);
    assert_int_equal(fly_value_bytes(back.elements, &bytes), 9);
    assert_memory_equal(bytes, "\x93\xa2Sr\xa2Ti\xa1O", 9);
    assert_int_equal(fly_value_count(back.clusters), 2);

    cluster = nth_cluster(&back, 0);
    assert_int_equal(cluster.id, 0);
    assert_int_equal(cluster.name_len, 8);
    assert_memory_equal(cluster.name, "\xce\xb1-phase", 8);
    assert_int_equal(cluster.chips, 612);
    assert_int_equal(fly_value_bytes(cluster.parents, &bytes), 3);
    assert_memory_equal(bytes, "\x92\x07\xfe", 3);
    assert_int_equal(cluster.event_len, 6);
    assert_memory_equal(cluster.event, "merged", 6);
    assert_int_equal(fly_cluster_percent(&cluster, "Sr", &value, &sigma), 1);
    assert_true(value == 19.5 && sigma == 0.5);
    assert_int_equal(fly_cluster_percent(&cluster, "Ti", &value, &sigma), 1);
    assert_true(value == 20.25 && isnan(sigma));
    assert_int_equal(fly_cluster_percent(&cluster, "O", &value, &sigma), 1);
    assert_true(value == -0.5 && sigma == 0.25);
    assert_int_equal(fly_cluster_percent(&cluster, "Fe", &value, &sigma), 0);
    assert_true(cluster.d_spacing_nm[0] == 0.390625 && cluster.d_spacing_nm[1] == 0.125);
    assert_true(cluster.crystallinity == 0.75);
    assert_int_equal(cluster.role_len, 7);
    assert_memory_equal(cluster.role, "ordered", 7);
    assert_int_equal(cluster.square[0], 4);
    assert_int_equal(cluster.square[1], 0);
    assert_int_equal(cluster.square[2], 12);
    assert_int_equal(cluster.found_len, 11);
    assert_memory_equal(cluster.found, "crystalline", 11);
}

static void a_lattice_comes_back_with_what_is_known_of_it(void **state)
{
    const struct fly_pub_clusters said = two_clusters();
    struct fly_clusters_read back;
    struct fly_value_iter it = {0};
    struct fly_value entry, vector;

    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    back = read_clusters();
    assert_int_equal(fly_value_next(back.clusters, &it, NULL, &entry), 1);
    entry = get(entry, "region");
    assert_true(get_f64(entry, "snr") == 31.5);
    assert_nil(entry, "angle_deg");
    assert_int_equal(fly_value_count(get(entry, "vectors")), 2);
    it = (struct fly_value_iter){0};
    assert_int_equal(fly_value_next(get(entry, "vectors"), &it, NULL, &vector), 1);
    assert_true(get_f64(vector, "fy_per_px") == 0.125 && get_f64(vector, "fx_per_px") == -0.0625);
    assert_true(get_f64(get(vector, "d_px"), "value") == 7.25 && get_f64(get(vector, "d_px"), "sigma") == 0.5);
    assert_true(get_f64(get(vector, "d_nm"), "value") == 0.390625);
    assert_int_equal(fly_value_next(get(entry, "vectors"), &it, NULL, &vector), 1);
    assert_nil(get(vector, "d_px"), "sigma");
    assert_nil(vector, "d_nm"); /* no pixel size */
}

static void a_difference_names_its_two_clusters_and_each_element(void **state)
{
    const struct fly_pub_clusters said = two_clusters();
    struct fly_published published;
    struct fly_value percent;
    int64_t number;

    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    published = read_back();
    percent = get(published.header, "difference");
    assert_int_equal(fly_value_int(get(percent, "ordered"), &number), 1);
    assert_int_equal(number, 0);
    assert_int_equal(fly_value_int(get(percent, "disordered"), &number), 1);
    assert_int_equal(number, 3);
    percent = get(percent, "percent");
    assert_int_equal(fly_value_count(percent), 3);
    assert_true(get_f64(get(get(percent, "Sr"), "relative"), "value") == -6.5);
    assert_true(get_f64(get(get(percent, "Sr"), "symmetric"), "sigma") == 0.5);
    assert_nil(get(percent, "Ti"), "relative");
    assert_nil(get(get(percent, "O"), "relative"), "sigma");
}

static void what_a_cluster_does_not_have_is_nil(void **state)
{
    const struct fly_pub_clusters said = two_clusters();
    struct fly_clusters_read back;
    struct fly_cluster_read cluster;
    struct fly_value_iter it = {0};
    struct fly_value entry;
    double value, sigma;

    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    back = read_clusters();
    for (int i = 0; i < 2; i++)
        assert_int_equal(fly_value_next(back.clusters, &it, NULL, &entry), 1);
    assert_nil(entry, "event");
    assert_nil(entry, "atomic_percent");
    assert_nil(entry, "d_spacing_nm"); /* although it has a sigma */
    assert_nil(entry, "crystallinity");
    assert_nil(entry, "role");
    assert_nil(entry, "region");
    assert_int_equal(fly_value_count(get(entry, "parents")), 0);
    cluster = nth_cluster(&back, 1);
    assert_int_equal(cluster.id, 3);
    assert_null(cluster.event);
    assert_int_equal(fly_cluster_percent(&cluster, "Sr", &value, &sigma), 0);
    assert_true(isnan(value) && isnan(sigma));
    assert_true(isnan(cluster.d_spacing_nm[0]) && isnan(cluster.d_spacing_nm[1]));
    assert_true(isnan(cluster.crystallinity));
    assert_null(cluster.role);
    assert_null(cluster.found);
    assert_int_equal(cluster.square[2], 0);
}

/* Of an element without a result there is no percent, however well its sigma is known. */
static void a_percent_that_is_not_defined_is_nil(void **state)
{
    const double percent[3] = {NAN, 20, INFINITY}, sigma[3] = {0.5, 0.5, NAN};
    struct fly_pub_clusters said = two_clusters();
    struct fly_pub_cluster cluster = said.clusters[1];
    struct fly_clusters_read back;
    struct fly_cluster_read read;
    double value, s;

    cluster.percent = percent;
    cluster.sigma = sigma;
    said.clusters = &cluster;
    said.n_clusters = 1;
    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    back = read_clusters();
    read = nth_cluster(&back, 0);
    assert_nil(get(read.percent, "Sr"), "value");
    assert_true(get_f64(get(read.percent, "Sr"), "sigma") == 0.5);
    assert_nil(get(read.percent, "O"), "value");
    assert_nil(get(read.percent, "O"), "sigma");
    assert_int_equal(fly_cluster_percent(&read, "Sr", &value, &s), 0);
    assert_int_equal(fly_cluster_percent(&read, "Ti", &value, &s), 1);
    assert_int_equal(fly_cluster_percent(&read, "O", &value, &s), 0);
}

static void no_cluster_is_a_message_too(void **state)
{
    const struct fly_pub_clusters said = {.method = "ward", .modality = "eds"};
    struct fly_clusters_read back;

    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    back = read_clusters();
    assert_int_equal(fly_value_count(back.clusters) + fly_value_count(back.elements), 0);
    assert_int_equal(back.final, 0);
}

enum { MANY = 3000 };

/* Sizes that come again and again, in an order that looks like none. */
static struct fly_pub_clusters many_clusters(int32_t n_elements)
{
    static const char *const twelve[] = {"Al", "C", "Cr", "Cu", "Fe", "Ga", "La", "N", "O", "Pt", "Sr", "Ti"};
    static const double numbers[12] = {0.1, 1.1, 2.1, 3.1, 4.1, 5.1, 6.1, 7.1, 8.1, 9.1, 10.1, 11.1};
    static struct fly_pub_cluster clusters[MANY];

    for (int32_t i = 0; i < MANY; i++)
        clusters[i] = (struct fly_pub_cluster){.id = i, .name = "community", .chips = 3 + i * 7919 % 997,
                                               .percent = n_elements ? numbers : NULL, .sigma = numbers,
                                               .d_spacing_nm = {NAN, NAN}, .crystallinity = 0.3};
    return (struct fly_pub_clusters){.method = "community", .modality = "haadf", .as_of = {1, {"control"}, {3}},
                                     .elements = twelve, .n_elements = n_elements, .clusters = clusters,
                                     .n_clusters = MANY, .more = 7};
}

/* How many clusters of said come back; those are its largest, in order, and the rest is counted. */
static int32_t assert_the_largest(const struct fly_pub_clusters *said)
{
    struct fly_clusters_read back = read_clusters();
    struct fly_value_iter it = {0};
    struct fly_value entry;
    struct fly_cluster_read cluster;
    static unsigned char seen[MANY];
    int64_t last_chips = INT64_MAX, last_id = -1;
    int32_t n = 0;

    memset(seen, 0, sizeof seen);
    for (; fly_value_next(back.clusters, &it, NULL, &entry); n++) {
        assert_int_equal(fly_cluster_decode(&cluster, entry), FLY_OK);
        assert_int_equal(cluster.chips, said->clusters[cluster.id].chips);
        assert_true(cluster.chips < last_chips || (cluster.chips == last_chips && cluster.id > last_id));
        last_chips = cluster.chips;
        last_id = cluster.id;
        assert_int_equal(seen[cluster.id]++, 0);
    }
    assert_int_equal(back.omitted, said->n_clusters + said->more - n);
    for (int32_t i = 0; i < said->n_clusters; i++)
        if (!seen[i])
            assert_true(said->clusters[i].chips < last_chips ||
                        (said->clusters[i].chips == last_chips && i > last_id));
    return n;
}

static void what_has_no_room_is_left_out_the_smallest_first_and_counted(void **state)
{
    struct fly_pub_clusters said = many_clusters(12);
    int32_t n, fewer;

    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    n = assert_the_largest(&said);
    /* 12 elements and the rest are some 550 bytes: there was no room for one more. */
    assert_true(n > 80 && n < 200);
    assert_true(FLY_HEADER_MAX - pack.len < pack.len / (size_t)n);

    said.n_clusters = n; /* just those that fit: nothing is left out */
    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    assert_int_equal(assert_the_largest(&said), n);
    said.n_clusters = n + 1;
    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    assert_true(assert_the_largest(&said) <= n + 1);

    said = many_clusters(0); /* short ones: many more */
    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    fewer = assert_the_largest(&said);
    assert_true(fewer > 500 && fewer < FLY_PUB_CLUSTERS_MAX);

    /* A pack of more bytes than the protocol allows changes nothing. */
    static unsigned char large[2 * FLY_HEADER_MAX];

    fly_pack_init(&pack, large, sizeof large);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_OK);
    assert_int_equal(assert_the_largest(&said), fewer);
}

/* Every capacity between none and all: what is sent is whole, or nothing is. */
static void clusters_fit_whatever_room_there_is(void **state)
{
    struct fly_pub_clusters said = many_clusters(3);
    int32_t n = -1;

    said.n_clusters = 20;
    for (size_t cap = 0; n < 20; cap += 3) {
        int rc;

        empty(cap);
        rc = fly_pub_clusters(&out, &pack, &id, &said);
        if (n < 0 && rc == FLY_ERANGE) {
            assert_int_equal(out.n_parts, -1);
            continue;
        }
        assert_int_equal(rc, FLY_OK);
        int32_t now = assert_the_largest(&said);

        assert_true(now >= n && now <= n + 1);
        n = now;
    }
}

static void clusters_that_would_break_the_rules_are_not_sent(void **state)
{
    static const char *const twice[] = {"Sr", "Ti", "Sr"};
    struct fly_pub_clusters said = two_clusters();

    said.elements = twice; /* a key that stands twice in atomic_percent */
    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_ERANGE);
    said = two_clusters();
    said.modality = "\xff";
    empty(sizeof room);
    assert_int_equal(fly_pub_clusters(&out, &pack, &id, &said), FLY_ERANGE);
    assert_int_equal(out.n_parts, -1);
}

static void wrong_clusters_are_not_read(void **state)
{
    static const char *const keys[] = {"method", "modality", "as_of", "final", "elements", "clusters"};
    const struct {
        const char *key;
        struct made_value value;
    } twists[] = {
        {"method", v_int(1)}, {"method", v_str("")}, {"modality", v_nil()},
        {"modality", v_str("a name of more than thirty-one bytes")}, {"as_of", V_INTS(1)}, {"final", v_int(1)},
        {"elements", v_str("Sr")}, {"elements", v_nil()}, {"omitted", v_int(-1)}, {"omitted", v_f64(1)},
        {"clusters", v_nil()}, {"clusters", v_int(0)},
    };
    static struct made made;

    for (size_t i = 0; i < 6 + sizeof twists / sizeof twists[0] + 2; i++) {
        struct fly_clusters_read back;
        struct fly_part header;
        int good = i == 6 || i == 7;

        made_common(&made, "clusters", "clusters", 1);
        made_set(&made, "method", v_str("ward"));
        made_set(&made, "modality", v_str("eds"));
        made_set(&made, "as_of", V_RAW("\x80"));
        made_set(&made, "final", v_bool(0));
        made_set(&made, "elements", V_RAW("\x90"));
        made_set(&made, "omitted", i == 6 ? v_int(5) : v_nil());
        made_set(&made, "clusters", V_RAW("\x90"));
        made_set(&made, "new_in_1_1", v_nil());
        if (i < 6)
            made_drop(&made, keys[i]);
        else if (i == 7)
            made_drop(&made, "omitted");
        else if (i > 7)
            made_set(&made, twists[i - 8].key, twists[i - 8].value);
        header = made_pack(&made);
        assert_int_equal(fly_clusters_decode(&back, fly_value_root(header.bytes, header.len)),
                         good ? FLY_OK : FLY_EWIRE);
        if (good)
            assert_int_equal(back.omitted, i == 6 ? 5 : 0);
    }
}

static void wrong_entries_of_clusters_are_not_read(void **state)
{
    static const char *const keys[] = {"id", "name", "chips", "parents"};
    const struct made_value bare = v_map(1, (const char *const[]){"Sr"}, (const struct made_value[]){v_f64(1)});
    const struct made_value words = v_map(1, (const char *const[]){"value"}, (const struct made_value[]){v_str("1")});
    const struct {
        const char *key;
        struct made_value value;
    } twists[] = {
        {"id", v_f64(1)}, {"id", v_nil()}, {"name", v_int(1)}, {"chips", v_int(-1)}, {"chips", v_f64(3)},
        {"parents", v_int(1)}, {"parents", v_nil()}, {"parents", V_F64S(1, 2)}, {"event", v_int(1)},
        {"atomic_percent", V_F64S(1)}, {"atomic_percent", bare}, {"d_spacing_nm", v_f64(1)}, {"d_spacing_nm", words},
        {"crystallinity", v_str("1")}, {"crystallinity", v_bool(1)},
    };
    static struct made made;

    for (size_t i = 0; i < 4 + sizeof twists / sizeof twists[0] + 2; i++) {
        struct fly_cluster_read back;
        struct fly_part entry;
        int good = i == 4 || i == 5;

        made.n = 0;
        made_set(&made, "id", v_int(-1));
        made_set(&made, "name", v_str(""));
        made_set(&made, "chips", v_int(0));
        made_set(&made, "parents", V_RAW("\x90"));
        if (i == 4)
            made_set(&made, "atomic_percent", V_RAW("\x80")); /* of no element */
        if (i < 4)
            made_drop(&made, keys[i]);
        else if (i > 5)
            made_set(&made, twists[i - 6].key, twists[i - 6].value);
        entry = made_pack(&made);
        assert_int_equal(fly_cluster_decode(&back, fly_value_root(entry.bytes, entry.len)),
                         good ? FLY_OK : FLY_EWIRE);
        if (good)
            assert_true(back.id == -1 && !back.event && isnan(back.crystallinity) && isnan(back.d_spacing_nm[0]));
    }
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
        cmocka_unit_test(clusters_come_back_as_they_were_said_the_largest_first),
        cmocka_unit_test(a_lattice_comes_back_with_what_is_known_of_it),
        cmocka_unit_test(a_difference_names_its_two_clusters_and_each_element),
        cmocka_unit_test(what_a_cluster_does_not_have_is_nil),
        cmocka_unit_test(a_percent_that_is_not_defined_is_nil),
        cmocka_unit_test(no_cluster_is_a_message_too),
        cmocka_unit_test(what_has_no_room_is_left_out_the_smallest_first_and_counted),
        cmocka_unit_test(clusters_fit_whatever_room_there_is),
        cmocka_unit_test(clusters_that_would_break_the_rules_are_not_sent),
        cmocka_unit_test(wrong_clusters_are_not_read),
        cmocka_unit_test(wrong_entries_of_clusters_are_not_read),
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
