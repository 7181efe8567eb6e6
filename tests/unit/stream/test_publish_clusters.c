/* The `clusters` message: made, read back, cut to the room there is, refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/stream/publish_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
