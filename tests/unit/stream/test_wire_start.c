#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "tests/unit/stream/wire_make.h"

static const struct fly_session_view none;
static struct made made;
static struct fly_start start;

static enum fly_refusal decode(void)
{
    struct fly_ingest msg;

    return made_decode(&made, &msg, &start, NULL, 0, &none);
}

static void the_shortest_start_says_only_what_is_required(void **state)
{
    made_common(&made, "start", "control", 1);
    made_set(&made, "schema", V_INTS(1, 0));
    made_set(&made, "scan_shape_px", V_INTS(16384, 1));
    made_set(&made, "detectors", v_list(1, (const struct made_value[]){made_detector("haadf", "<u2")}));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(start.height_px, 16384);
    assert_int_equal(start.width_px, 1);
    assert_int_equal(start.n_detectors, 1);
    assert_string_equal(start.detectors[0].name, "haadf");
    assert_int_equal(start.detectors[0].dtype, FLY_U16);
    assert_int_equal(start.n_segments, 0);
    assert_int_equal(start.frames_planned, 0);
    assert_int_equal(start.scan_path, FLY_SCAN_UNSAID);
    assert_true(isnan(start.pixel_nm[0]) && isnan(start.pixel_nm[1]));
    assert_true(isnan(start.rotation_rad) && isnan(start.pixel_time_us));
    assert_true(isnan(start.flyback_time_us) && isnan(start.beam_energy_kev));
    assert_true(isnan(start.beam_current_na) && isnan(start.convergence_mrad));
    assert_true(isnan(start.collection_mrad[0]) && isnan(start.magnification));
    assert_int_equal(start.n_elements, 0);
    assert_int_equal(start.n_k_factors, 0);
    assert_string_equal(start.k_basis, "");
    assert_string_equal(start.sample, "");
}

static void nil_is_as_good_as_absent_where_a_key_is_optional(void **state)
{
    static const char *const optional[] = {
        "frames_planned", "scan_path", "pixel_nm", "rotation_rad", "pixel_time_us",
        "flyback_time_us", "beam_energy_kev", "beam_current_na", "convergence_mrad",
        "collection_mrad", "magnification", "eds", "elements", "k_factors", "k_basis", "sample",
        "operator", "user_data"};

    made_start(&made);
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        made_set(&made, optional[i], v_nil());
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(start.n_segments, 0);
    assert_int_equal(start.frames_planned, 0);
    assert_true(isnan(start.pixel_time_us));
}

static void every_key_of_a_start_arrives(void **state)
{
    made_start(&made);
    made_set(&made, "schema", V_INTS(1, 3)); /* a later minor version adds keys, no more */
    made_set(&made, "scan_path", v_str("serpentine"));
    made_set(&made, "pixel_nm", V_F64S(0.05, 0.06));
    made_set(&made, "rotation_rad", v_f64(-0.1));
    made_set(&made, "flyback_time_us", v_int(50));
    made_set(&made, "beam_energy_kev", v_int(200));
    made_set(&made, "beam_current_na", v_f64(0.1));
    made_set(&made, "convergence_mrad", v_f64(25));
    made_set(&made, "collection_mrad", V_F64S(60, 200));
    made_set(&made, "magnification", v_f64(1.8e6));
    made_set(&made, "elements", v_list(3, (const struct made_value[]){v_str("Fe"), v_str("O"), v_str("Uue")}));
    made_set(&made, "k_factors", v_map(2, (const char *const[]){"Fe_Ka", "La_La"},
                                       (const struct made_value[]){v_f64(1.5), v_int(2)}));
    made_set(&made, "k_basis", v_str("atomic"));
    made_set(&made, "sample", v_str("LSTO \xe2\x82\x82"));
    made_set(&made, "operator", V_INTS(1, 2)); /* the protocol does not say what it is */
    made_set(&made, "user_data", v_map(1, (const char *const[]){"x"}, (const struct made_value[]){v_int(1)}));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(start.n_detectors, 2);
    assert_int_equal(start.detectors[1].dtype, FLY_F32);
    assert_int_equal(start.n_segments, 2);
    assert_string_equal(start.segments[1].name, "sdd2");
    assert_int_equal(start.segments[1].n_channels, 16);
    assert_true(start.segments[0].ev_per_channel == 10.0);
    assert_true(start.segments[0].ev_offset == -200.5);
    assert_true(isnan(start.segments[0].takeoff_deg));
    assert_int_equal(start.frames_planned, 2);
    assert_int_equal(start.scan_path, FLY_SCAN_SERPENTINE);
    assert_true(start.pixel_nm[0] == 0.05 && start.pixel_nm[1] == 0.06);
    assert_true(start.rotation_rad == -0.1 && start.pixel_time_us == 2.0);
    assert_true(start.flyback_time_us == 50.0 && start.beam_energy_kev == 200.0);
    assert_true(start.beam_current_na == 0.1 && start.convergence_mrad == 25.0);
    assert_true(start.collection_mrad[0] == 60.0 && start.collection_mrad[1] == 200.0);
    assert_true(start.magnification == 1.8e6);
    assert_int_equal(start.n_elements, 3);
    assert_string_equal(start.elements[2], "Uue");
    assert_int_equal(start.n_k_factors, 2);
    assert_string_equal(start.k_factors[1].line, "La_La");
    assert_true(start.k_factors[1].value == 2.0);
    assert_string_equal(start.k_basis, "atomic");
    assert_string_equal(start.sample, "LSTO \xe2\x82\x82");
    assert_string_equal(start.operator_name, "");
}

struct twist {
    const char *key;
    struct made_value value;
    enum fly_refusal why;
};

static struct made_value one(struct made_value value)
{
    return v_list(1, &value);
}

static struct made_value entry(int n, const char *const *keys, const struct made_value *values)
{
    return one(v_map(n, keys, values));
}
#define ENTRY(n, keys, ...)                                                                        \
    entry(n, (const char *const[])keys, (const struct made_value[]){__VA_ARGS__})
#define KEYS(...) {__VA_ARGS__}
#define SEGMENT_KEYS KEYS("name", "n_channels", "ev_per_channel", "ev_offset")

static void a_start_is_refused_for_each_thing_that_can_be_wrong(void **state)
{
    char name65[66];

    memset(name65, 'n', sizeof name65);
    name65[65] = 0;
    const struct twist twists[] = {
        {"schema", v_str("1.0"), FLY_REFUSE_BAD_TYPE},
        {"schema", V_F64S(1, 0), FLY_REFUSE_BAD_TYPE},
        {"schema", V_INTS(0, 9), FLY_REFUSE_VERSION},
        {"schema", V_INTS(2, 0), FLY_REFUSE_VERSION},
        {"schema", V_INTS(1), FLY_REFUSE_VERSION},
        {"schema", V_INTS(1, 0, 0), FLY_REFUSE_VERSION},
        {"schema", V_INTS(1, -1), FLY_REFUSE_VERSION},
        {"scan_shape_px", v_int(512), FLY_REFUSE_BAD_TYPE},
        {"scan_shape_px", V_F64S(512, 512), FLY_REFUSE_BAD_TYPE},
        {"scan_shape_px", V_INTS(512), FLY_REFUSE_BAD_VALUE},
        {"scan_shape_px", V_INTS(1, 2, 3), FLY_REFUSE_BAD_VALUE},
        {"scan_shape_px", V_INTS(0, 512), FLY_REFUSE_BAD_VALUE},
        {"scan_shape_px", V_INTS(512, -1), FLY_REFUSE_BAD_VALUE},
        {"scan_shape_px", V_INTS(16385, 1), FLY_REFUSE_OVERSIZE},
        {"scan_shape_px", V_INTS(1, 16385), FLY_REFUSE_OVERSIZE},
        {"scan_shape_px", V_INTS(1, INT64_MAX), FLY_REFUSE_OVERSIZE},
        {"frames_planned", v_int(0), FLY_REFUSE_BAD_VALUE},
        {"frames_planned", v_int(FLY_FRAMES_MAX + 1), FLY_REFUSE_BAD_VALUE},
        {"frames_planned", v_f64(1), FLY_REFUSE_BAD_TYPE},
        {"scan_path", v_str("spiral"), FLY_REFUSE_BAD_VALUE},
        {"scan_path", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"pixel_nm", v_f64(0.1), FLY_REFUSE_BAD_TYPE},
        {"pixel_nm", V_F64S(0.1), FLY_REFUSE_BAD_VALUE},
        {"pixel_nm", V_F64S(0.1, 0), FLY_REFUSE_BAD_VALUE},
        {"pixel_nm", V_F64S(-0.1, 0.1), FLY_REFUSE_BAD_VALUE},
        {"pixel_nm", one(v_nil()), FLY_REFUSE_BAD_TYPE},
        {"rotation_rad", v_str("0"), FLY_REFUSE_BAD_TYPE},
        {"rotation_rad", v_f64(1e6), FLY_REFUSE_BAD_VALUE},
        {"pixel_time_us", v_f64(0), FLY_REFUSE_BAD_VALUE},
        {"pixel_time_us", v_f64(2e9), FLY_REFUSE_BAD_VALUE},
        {"pixel_time_us", V_RAW("\xca\x7f\xc0\x00\x00"), FLY_REFUSE_BAD_VALUE},
        {"flyback_time_us", v_f64(-1), FLY_REFUSE_BAD_VALUE},
        {"beam_energy_kev", v_f64(0), FLY_REFUSE_BAD_VALUE},
        {"beam_current_na", v_f64(-0.1), FLY_REFUSE_BAD_VALUE},
        {"convergence_mrad", v_bool(1), FLY_REFUSE_BAD_TYPE},
        {"collection_mrad", V_F64S(200, 60), FLY_REFUSE_BAD_VALUE},
        {"collection_mrad", V_F64S(60), FLY_REFUSE_BAD_VALUE},
        {"magnification", v_f64(0), FLY_REFUSE_BAD_VALUE},
        {"magnification", V_RAW("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), FLY_REFUSE_BAD_VALUE},
        {"anything", V_RAW("\x91\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), FLY_REFUSE_BAD_VALUE},
        {"elements", one(v_int(26)), FLY_REFUSE_BAD_TYPE},
        {"elements", one(v_str("fe")), FLY_REFUSE_BAD_VALUE},
        {"elements", one(v_str("FE")), FLY_REFUSE_BAD_VALUE},
        {"elements", one(v_str("Iron")), FLY_REFUSE_BAD_VALUE},
        {"elements", one(v_str("")), FLY_REFUSE_BAD_VALUE},
        {"elements", v_list(2, (const struct made_value[]){v_str("O"), v_str("O")}), FLY_REFUSE_BAD_VALUE},
        {"k_factors", V_INTS(1), FLY_REFUSE_BAD_TYPE},
        {"k_factors", v_map(1, (const char *const[]){"Fe_Ka"}, (const struct made_value[]){v_str("1")}),
         FLY_REFUSE_BAD_TYPE},
        {"k_factors", v_map(1, (const char *const[]){"Fe_Ka"}, (const struct made_value[]){v_f64(0)}),
         FLY_REFUSE_BAD_VALUE},
        {"k_factors", v_map(1, (const char *const[]){"Fe"}, (const struct made_value[]){v_f64(1)}),
         FLY_REFUSE_BAD_VALUE},
        {"k_factors", v_map(1, (const char *const[]){"Fe_"}, (const struct made_value[]){v_f64(1)}),
         FLY_REFUSE_BAD_VALUE},
        {"k_factors", v_map(1, (const char *const[]){"Fe_Kabcdefgh"}, (const struct made_value[]){v_f64(1)}),
         FLY_REFUSE_BAD_VALUE},
        {"k_basis", v_str("mass"), FLY_REFUSE_BAD_VALUE},
        {"k_basis", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"detectors", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"detectors", one(v_str("haadf")), FLY_REFUSE_BAD_TYPE},
        {"detectors", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"detectors", ENTRY(1, KEYS("name"), v_str("a")), FLY_REFUSE_BAD_KEY},
        {"detectors", ENTRY(1, KEYS("dtype"), v_str("<u2")), FLY_REFUSE_BAD_KEY},
        {"detectors", ENTRY(2, KEYS("name", "dtype"), v_int(1), v_str("<u2")), FLY_REFUSE_BAD_TYPE},
        {"detectors", ENTRY(2, KEYS("name", "dtype"), v_str("a"), v_int(2)), FLY_REFUSE_BAD_TYPE},
        {"detectors", one(made_detector("", "<u2")), FLY_REFUSE_BAD_VALUE},
        {"detectors", one(made_detector("a/b", "<u2")), FLY_REFUSE_BAD_VALUE},
        {"detectors", one(made_detector(name65, "<u2")), FLY_REFUSE_BAD_VALUE},
        {"detectors", one(made_detector("control", "<u2")), FLY_REFUSE_BAD_VALUE},
        {"detectors", one(made_detector("sdd1", "<u2")), FLY_REFUSE_BAD_VALUE}, /* eds has it */
        {"detectors", one(made_detector("haadf", "u2")), FLY_REFUSE_DTYPE},
        {"detectors", one(made_detector("haadf", ">u2")), FLY_REFUSE_DTYPE},
        {"detectors", one(made_detector("haadf", "<u8")), FLY_REFUSE_DTYPE},
        {"eds", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"eds", one(made_segment("control", 16)), FLY_REFUSE_BAD_VALUE},
        {"eds", one(made_segment("haadf", 16)), FLY_REFUSE_BAD_VALUE},
        {"eds", one(made_segment("a", 0)), FLY_REFUSE_BAD_VALUE},
        {"eds", one(made_segment("a", 16385)), FLY_REFUSE_OVERSIZE},
        {"eds", ENTRY(3, KEYS("name", "n_channels", "ev_per_channel"), v_str("a"), v_int(4), v_int(10)),
         FLY_REFUSE_BAD_KEY},
        {"eds", ENTRY(4, SEGMENT_KEYS, v_str("a"), v_f64(4), v_int(10), v_int(0)), FLY_REFUSE_BAD_TYPE},
        {"eds", ENTRY(4, SEGMENT_KEYS, v_str("a"), v_int(4), v_int(0), v_int(0)), FLY_REFUSE_BAD_VALUE},
        {"eds", ENTRY(4, SEGMENT_KEYS, v_str("a"), v_int(4), v_int(10), v_nil()), FLY_REFUSE_BAD_TYPE},
        {"eds", ENTRY(4, SEGMENT_KEYS, v_str("a"), v_int(4), v_int(10), v_f64(1e9)), FLY_REFUSE_BAD_VALUE},
        {"eds", ENTRY(5, KEYS("name", "n_channels", "ev_per_channel", "ev_offset", "takeoff_deg"),
                      v_str("a"), v_int(4), v_int(10), v_int(0), v_int(91)), FLY_REFUSE_BAD_VALUE},
        {"eds", ENTRY(5, KEYS("name", "n_channels", "ev_per_channel", "ev_offset", "takeoff_deg"),
                      v_str("a"), v_int(4), v_int(10), v_int(0), v_str("18")), FLY_REFUSE_BAD_TYPE},
    };

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        made_start(&made);
        made_set(&made, twists[i].key, twists[i].value);
        memset(&start, 0x5a, sizeof start);
        if (decode() != twists[i].why)
            fail_msg("%s, case %zu: %s", twists[i].key, i, fly_fail_text());
        for (size_t k = 0; k < sizeof start; k++) /* a refused start leaves no trace */
            assert_int_equal(((unsigned char *)&start)[k], 0x5a);
    }
}

static void required_keys_are_missed(void **state)
{
    static const char *const keys[] = {"schema", "scan_shape_px", "detectors"};

    for (int i = 0; i < 3; i++) {
        made_start(&made);
        made_drop(&made, keys[i]);
        ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode());
    }
}

static void either_list_may_be_empty_but_not_both(void **state)
{
    made_start(&made);
    made_set(&made, "detectors", V_RAW("\x90"));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(start.n_segments, 2);
    made_set(&made, "eds", V_RAW("\x90"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, decode());
    made_drop(&made, "eds");
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, decode());
}

static void lists_end_at_their_limits(void **state)
{
    struct made_value *items = calloc(40, sizeof *items);
    static char names[40][8];

    for (int over = 0; over < 2; over++) {
        made_start(&made);
        made_drop(&made, "eds");
        for (int i = 0; i < FLY_DETECTORS_MAX + over; i++) {
            names[i][0] = 'd';
            names[i][1] = (char)('a' + i);
            items[i] = made_detector(names[i], "<u1");
        }
        made_set(&made, "detectors", v_list(FLY_DETECTORS_MAX + over, items));
        ASSERT_REFUSED(over ? FLY_REFUSE_OVERSIZE : FLY_REFUSE_NONE, decode());

        made_start(&made);
        for (int i = 0; i < FLY_SEGMENTS_MAX + over; i++)
            items[i] = made_segment(names[i][0] ? names[i] : "z", 16384);
        made_set(&made, "eds", v_list(FLY_SEGMENTS_MAX + over, items));
        ASSERT_REFUSED(over ? FLY_REFUSE_OVERSIZE : FLY_REFUSE_NONE, decode());

        made_start(&made);
        for (int i = 0; i < FLY_START_ELEMENTS_MAX + over; i++)
            items[i] = v_str((const char[]){(char)('A' + i % 26), (char)('a' + i / 26), 0});
        made_set(&made, "elements", v_list(FLY_START_ELEMENTS_MAX + over, items));
        ASSERT_REFUSED(over ? FLY_REFUSE_OVERSIZE : FLY_REFUSE_NONE, decode());
    }
    free(items);
}

static void long_texts_are_cut_and_names_may_have_64_bytes(void **state)
{
    char text[600], name[65];

    memset(text, 't', sizeof text);
    text[599] = 0;
    memset(name, 'n', sizeof name);
    name[64] = 0;
    made_start(&made);
    made_set(&made, "sample", v_str(text));
    made_set(&made, "detectors", one(made_detector(name, "|u1")));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(strlen(start.sample), sizeof start.sample - 1);
    assert_string_equal(start.detectors[0].name, name);
    assert_int_equal(start.detectors[0].dtype, FLY_U8);
}

static void starts_are_the_same_but_for_time_order_and_width(void **state)
{
    static struct made other;
    struct fly_part a, b;

    made_start(&made);
    made_set(&made, "user_data", v_map(2, (const char *const[]){"a", "b"},
                                       (const struct made_value[]){v_int(1), V_INTS(-7, 2)}));
    other = made;
    a = made_pack(&made);
    b = made_pack(&other);
    assert_true(fly_start_same(&a, &b));
    made_set(&other, "t_ns", v_int(5));
    made_set(&other, "pixel_time_us", v_int(2)); /* was 2.0 */
    made_set(&other, "user_data", v_map(2, (const char *const[]){"b", "a"},
                                        (const struct made_value[]){V_RAW("\x92\xd1\xff\xf9\x02"),
                                                                    V_RAW("\xcd\x00\x01")}));
    for (int i = 0; i < other.n / 2; i++) {
        const char *key = other.key[i];
        struct made_value value = other.value[i];

        other.key[i] = other.key[other.n - 1 - i];
        other.value[i] = other.value[other.n - 1 - i];
        other.key[other.n - 1 - i] = key;
        other.value[other.n - 1 - i] = value;
    }
    b = made_pack(&other);
    assert_true(fly_start_same(&a, &b));
}

static void starts_differ_by_anything_else(void **state)
{
    static struct made other;
    const struct twist twists[] = {
        {"seq", v_int(2), 0},
        {"session", v_str("s-2"), 0},
        {"scan_shape_px", V_INTS(64, 32), 0},
        {"pixel_time_us", v_f64(2.5), 0},
        {"pixel_time_us", v_nil(), 0},
        {"eds", V_RAW("\x90"), 0},
        {"sample", v_str("x"), 0},
        {"user_data", V_INTS(1, 2), 0},
        {"user_data", v_map(1, (const char *const[]){"t_ns"}, (const struct made_value[]){v_int(2)}), 0},
        {"user_data", v_bool(0), 0},
        {"user_data", v_int(-1), 0},
    };

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        struct fly_part a, b;

        made_start(&made);
        made_set(&made, "user_data", v_map(1, (const char *const[]){"t_ns"},
                                           (const struct made_value[]){v_int(1)}));
        other = made;
        made_set(&other, twists[i].key, twists[i].value);
        a = made_pack(&made);
        b = made_pack(&other);
        assert_false(fly_start_same(&a, &b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_start_says_only_what_is_required),
        cmocka_unit_test(nil_is_as_good_as_absent_where_a_key_is_optional),
        cmocka_unit_test(every_key_of_a_start_arrives),
        cmocka_unit_test(a_start_is_refused_for_each_thing_that_can_be_wrong),
        cmocka_unit_test(required_keys_are_missed),
        cmocka_unit_test(either_list_may_be_empty_but_not_both),
        cmocka_unit_test(lists_end_at_their_limits),
        cmocka_unit_test(long_texts_are_cut_and_names_may_have_64_bytes),
        cmocka_unit_test(starts_are_the_same_but_for_time_order_and_width),
        cmocka_unit_test(starts_differ_by_anything_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
