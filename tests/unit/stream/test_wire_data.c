#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "tests/unit/stream/wire_make.h"

static struct made_session session;
static struct made made;
static struct fly_ingest msg;
static unsigned char bytes[8192];

static int open_session(void **state)
{
    made_open(&session);
    return 0;
}

struct twist {
    const char *key;
    struct made_value value;
    enum fly_refusal why;
};

static enum fly_refusal decode_lines(size_t len)
{
    const struct fly_part payload = {bytes, len};

    return made_decode(&made, &msg, NULL, &payload, 1, &session.view);
}

static void lines_arrive_whole(void **state)
{
    struct fly_part parts[2];
    struct fly_start start;

    made_lines(&made, 9);
    made_set(&made, "frame", v_int(1));
    made_set(&made, "x0_px", v_int(10));
    made_set(&made, "shape", V_INTS(27, 54)); /* to the last pixel */
    made_set(&made, "cmd_id", v_int(12));
    parts[0] = made_pack(&made);
    parts[1] = (struct fly_part){bytes, 27 * 54 * 2};
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_ingest_decode(&msg, &start, parts, 2, &session.view));
    assert_int_equal(msg.frame, 1);
    assert_int_equal(msg.y0, 5);
    assert_int_equal(msg.x0, 10);
    assert_int_equal(msg.h, 27);
    assert_int_equal(msg.w, 54);
    assert_int_equal(msg.dtype, FLY_U16);
    assert_int_equal(msg.dwell_ns, 2000); /* pixel_time_us of the start */
    assert_int_equal(msg.cmd_id, 12);
    assert_int_equal(msg.n_payload, 1);
    assert_ptr_equal(msg.payload[0].bytes, bytes);
    assert_int_equal(msg.payload[0].len, 27 * 54 * 2);
}

static void lines_are_refused_for_each_thing_that_can_be_wrong(void **state)
{
    const struct twist twists[] = {
        {"frame", v_f64(0), FLY_REFUSE_BAD_TYPE},
        {"frame", v_int(-1), FLY_REFUSE_OUTSIDE},
        {"frame", v_int(2), FLY_REFUSE_OUTSIDE}, /* frames_planned is 2 */
        {"frame", v_uint(UINT64_MAX), FLY_REFUSE_OUTSIDE},
        {"y0_px", v_f64(5), FLY_REFUSE_BAD_TYPE},
        {"y0_px", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"y0_px", v_int(-1), FLY_REFUSE_OUTSIDE},
        {"y0_px", v_int(32), FLY_REFUSE_OUTSIDE},
        {"y0_px", v_int(INT64_MAX), FLY_REFUSE_OUTSIDE},
        {"y0_px", v_uint((uint64_t)1 << 63), FLY_REFUSE_OUTSIDE},
        {"x0_px", v_int(1), FLY_REFUSE_OUTSIDE}, /* 1 + 64 > 64 */
        {"x0_px", v_int(INT64_MIN), FLY_REFUSE_OUTSIDE},
        {"x0_px", v_str("0"), FLY_REFUSE_BAD_TYPE},
        {"dtype", v_int(2), FLY_REFUSE_BAD_TYPE},
        {"dtype", v_str("<u4"), FLY_REFUSE_DTYPE},
        {"dtype", v_str("<i2"), FLY_REFUSE_DTYPE},
        {"dtype", v_str("uint16"), FLY_REFUSE_DTYPE},
        {"shape", v_int(64), FLY_REFUSE_BAD_TYPE},
        {"shape", V_F64S(1, 64), FLY_REFUSE_BAD_TYPE},
        {"shape", V_INTS(64), FLY_REFUSE_SHAPE},
        {"shape", V_INTS(1, 64, 1), FLY_REFUSE_SHAPE},
        {"shape", V_INTS(0, 64), FLY_REFUSE_SHAPE},
        {"shape", V_INTS(1, -64), FLY_REFUSE_SHAPE},
        {"shape", V_INTS(28, 64), FLY_REFUSE_OUTSIDE}, /* 5 + 28 > 32 */
        {"shape", V_INTS(INT64_MAX, INT64_MAX), FLY_REFUSE_OUTSIDE},
        {"shape", V_INTS(2, 64), FLY_REFUSE_PAYLOAD_SIZE},
        {"shape", V_INTS(1, 63), FLY_REFUSE_PAYLOAD_SIZE},
        {"dwell_us", v_int(0), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", v_f64(0.0004), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", v_f64(-1), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", v_f64(1.1e9), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", V_RAW("\xca\xff\x80\x00\x00"), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", v_str("2"), FLY_REFUSE_BAD_TYPE},
        {"cmd_id", v_f64(1), FLY_REFUSE_BAD_TYPE},
        {"cmd_id", v_int(-1), FLY_REFUSE_BAD_VALUE},
        {"unknown", V_RAW("\xca\x7f\xc0\x00\x00"), FLY_REFUSE_BAD_VALUE},
    };
    static const char *const required[] = {"frame", "y0_px", "x0_px", "dtype", "shape"};

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        made_lines(&made, 9);
        made_set(&made, twists[i].key, twists[i].value);
        if (decode_lines(128) != twists[i].why)
            fail_msg("%s, case %zu: %s", twists[i].key, i, fly_fail_text());
        assert_int_equal(msg.seq, 9); /* used up, whatever was wrong */
        assert_int_equal(msg.stream_idx, 1);
    }
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        made_lines(&made, 9);
        made_drop(&made, required[i]);
        ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode_lines(128));
    }
}

static void a_payload_fits_its_shape_to_the_byte(void **state)
{
    const struct fly_part two[2] = {{bytes, 128}, {bytes, 0}};

    made_lines(&made, 9);
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_lines(127));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_lines(129));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_lines(0));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, made_decode(&made, &msg, NULL, two, 0, &session.view));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, made_decode(&made, &msg, NULL, two, 2, &session.view));
}

static void without_planned_frames_any_frame_may_come_that_can_be_kept(void **state)
{
    struct made_session endless = session;

    endless.start.frames_planned = 0;
    endless.view.start = &endless.start;
    for (int over = 0; over < 2; over++) {
        const struct fly_part payload = {bytes, 128};

        made_lines(&made, 9);
        made_set(&made, "frame", v_int(FLY_FRAMES_MAX - 1 + over));
        ASSERT_REFUSED(over ? FLY_REFUSE_OUTSIDE : FLY_REFUSE_NONE,
                       made_decode(&made, &msg, NULL, &payload, 1, &endless.view));
    }
}

static void what_was_commanded_comes_beyond_the_frames_planned(void **state)
{
    made_lines(&made, 9);
    made_set(&made, "shape", V_INTS(1, 64));
    made_set(&made, "frame", v_int(2)); /* frames_planned is 2 */
    ASSERT_REFUSED(FLY_REFUSE_OUTSIDE, decode_lines(64 * 2));
    made_set(&made, "cmd_id", v_str("1795808217399"));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(64 * 2));
    assert_int_equal(msg.frame, 2);
    made_set(&made, "frame", v_int(FLY_FRAMES_MAX));
    ASSERT_REFUSED(FLY_REFUSE_OUTSIDE, decode_lines(64 * 2));
}

static void dwell_is_whole_nanoseconds(void **state)
{
    static const struct {
        double us;
        uint64_t ns;
    } cases[] = {{2.0, 2000},      {0.001, 1},      {0.0006, 1},       {0.0015, 2},
                 {0.0025, 2},      {1.2344, 1234},  {1.2346, 1235},    {1099511627.776, (uint64_t)1 << 40}};
    struct made_session untimed = session;
    const struct fly_part payload = {bytes, 128};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made_lines(&made, 9);
        made_set(&made, "dwell_us", v_f64(cases[i].us));
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
        assert_int_equal(msg.dwell_ns, cases[i].ns);
    }
    made_set(&made, "dwell_us", v_int(3)); /* an integer where a float is meant */
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
    assert_int_equal(msg.dwell_ns, 3000);
    made_set(&made, "dwell_us", v_nil());
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
    assert_int_equal(msg.dwell_ns, 2000);
    untimed.start.pixel_time_us = NAN;
    untimed.view.start = &untimed.start;
    ASSERT_REFUSED(FLY_REFUSE_NONE, made_decode(&made, &msg, NULL, &payload, 1, &untimed.view));
    assert_int_equal(msg.dwell_ns, 1);
}

static void a_command_has_a_number_or_a_name(void **state)
{
    made_lines(&made, 9);
    made_set(&made, "cmd_id", v_uint(UINT64_MAX));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
    assert_true(msg.cmd_id == UINT64_MAX);
    made_set(&made, "cmd_id", v_str("a")); /* the published FNV-1a of "a" */
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
    assert_true(msg.cmd_id == 0xaf63dc4c8601ec8cu);
    made_set(&made, "cmd_id", v_nil());
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_lines(128));
    assert_true(msg.cmd_id == 0);
}

/* ---- photons ------------------------------------------------------------------------------------ */

static enum fly_refusal decode_eds(const void *first, size_t first_len, const void *second,
                                   size_t second_len, int32_t n)
{
    const struct fly_part payload[2] = {{first, first_len}, {second, second_len}};

    return made_decode(&made, &msg, NULL, payload, n, &session.view);
}

static void dense_counts_fill_rectangle_and_channels(void **state)
{
    static const struct {
        const char *dtype;
        size_t size;
    } types[] = {{"<u1", 1}, {"|u1", 1}, {"<u2", 2}, {"<u4", 4}};
    static const char *const wrong[] = {"<i2", "<i4", "<f4", "<f8", "x", ""};

    for (size_t i = 0; i < 4; i++) {
        made_eds(&made, "dense", 3);
        made_set(&made, "dtype", v_str(types[i].dtype));
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(bytes, 8 * 16 * types[i].size, NULL, 0, 1));
        assert_int_equal(fly_dtype_size(msg.dtype), types[i].size);
        assert_int_equal(msg.layout, 0);
        ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(bytes, 8 * 16 * types[i].size - 1, NULL, 0, 1));
        ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(bytes, 8 * 16 * types[i].size, bytes, 0, 2));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        made_set(&made, "dtype", v_str(wrong[i]));
        ASSERT_REFUSED(FLY_REFUSE_DTYPE, decode_eds(bytes, 128, NULL, 0, 1));
    }
    made_drop(&made, "dtype");
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode_eds(bytes, 128, NULL, 0, 1));
}

static void row_pointers_begin_at_zero_never_fall_and_end_at_the_photons(void **state)
{
    static const struct {
        uint32_t rows[9];
        size_t photons;
        enum fly_refusal why;
    } cases[] = {
        {{0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, FLY_REFUSE_NONE},
        {{0, 1, 1, 4, 4, 4, 5, 5, 9}, 9, FLY_REFUSE_NONE},
        {{0, 9, 9, 9, 9, 9, 9, 9, 9}, 9, FLY_REFUSE_NONE},
        {{1, 1, 1, 4, 4, 4, 5, 5, 9}, 9, FLY_REFUSE_PHOTONS},
        {{0, 1, 1, 4, 3, 4, 5, 5, 9}, 9, FLY_REFUSE_PHOTONS},
        {{0, 1, 1, 4, 4, 4, 5, 5, 9}, 8, FLY_REFUSE_PHOTONS},
        {{0, 1, 1, 4, 4, 4, 5, 5, 9}, 10, FLY_REFUSE_PHOTONS},
        {{0, 1, 1, 4, 4, 4, 5, 10, 9}, 9, FLY_REFUSE_PHOTONS},
        {{0, 4294967295u, 1, 4, 4, 4, 5, 5, 9}, 9, FLY_REFUSE_PHOTONS},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made_eds(&made, "csr", 3);
        ASSERT_REFUSED(cases[i].why, decode_eds(cases[i].rows, 36, bytes, 2 * cases[i].photons, 2));
        if (cases[i].why == FLY_REFUSE_NONE)
            assert_int_equal(msg.photons, cases[i].photons);
    }
    made_eds(&made, "csr", 3);
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(cases[0].rows, 32, bytes, 0, 2));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(cases[0].rows, 0, bytes, 0, 2));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(cases[1].rows, 36, bytes, 17, 2));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(cases[1].rows, 36, bytes, 18, 1));
}

/* Sweeps run in blocks: a fault is found wherever it stands, at block edges above all. */
static void a_single_bad_row_or_pixel_is_found_wherever_it_is(void **state)
{
    enum { N = 32 * 64 };
    static uint32_t rows[N + 1], pixels[N];

    made_eds(&made, "csr", 3);
    made_set(&made, "y0_px", v_int(0));
    made_set(&made, "x0_px", v_int(0));
    made_set(&made, "shape", V_INTS(32, 64));
    for (uint32_t i = 0; i <= N; i++)
        rows[i] = i;
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(rows, sizeof rows, bytes, 2 * N, 2));
    for (uint32_t i = 1; i < N; i += (i % 1024 > 1020 || i % 1024 < 4) ? 1 : 61) {
        rows[i] = i + 2;
        ASSERT_REFUSED(FLY_REFUSE_PHOTONS, decode_eds(rows, sizeof rows, bytes, 2 * N, 2));
        rows[i] = i;
    }
    made_set(&made, "layout", v_str("pairs"));
    for (uint32_t i = 0; i < N; i++)
        pixels[i] = N - 1 - i;
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(pixels, sizeof pixels, bytes, 2 * N, 2));
    assert_int_equal(msg.photons, N);
    for (uint32_t i = 0; i < N; i += (i % 1024 > 1020 || i % 1024 < 4) ? 1 : 61) {
        pixels[i] = N;
        ASSERT_REFUSED(FLY_REFUSE_PHOTONS, decode_eds(pixels, sizeof pixels, bytes, 2 * N, 2));
        pixels[i] = 0;
    }
}

static void pairs_have_a_pixel_and_a_channel_each(void **state)
{
    static const uint32_t pixels[4] = {0, 7, 7, 3};

    made_eds(&made, "pairs", 3);
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(pixels, 16, bytes, 8, 2));
    assert_int_equal(msg.photons, 4);
    assert_int_equal(msg.layout, 2);
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(pixels, 0, bytes, 0, 2));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(pixels, 16, bytes, 6, 2));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(pixels, 15, bytes, 8, 2));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode_eds(pixels, 0, NULL, 0, 0));
    made_set(&made, "shape", V_INTS(1, 4)); /* pixel 7 is beyond */
    ASSERT_REFUSED(FLY_REFUSE_PHOTONS, decode_eds(pixels, 16, bytes, 8, 2));
}

static void eds_is_refused_for_each_thing_that_can_be_wrong(void **state)
{
    const struct twist twists[] = {
        {"layout", v_str("sparse"), FLY_REFUSE_BAD_VALUE},
        {"layout", v_int(0), FLY_REFUSE_BAD_TYPE},
        {"live_time_us", v_f64(-1), FLY_REFUSE_BAD_VALUE},
        {"live_time_us", v_str("x"), FLY_REFUSE_BAD_TYPE},
        {"real_time_us", V_INTS(1), FLY_REFUSE_BAD_TYPE},
        {"shape", V_INTS(3, 4), FLY_REFUSE_OUTSIDE},
        {"shape", V_INTS(2, 4, 16), FLY_REFUSE_SHAPE},
        {"frame", v_int(2), FLY_REFUSE_OUTSIDE},
        {"dtype", v_int(1), FLY_REFUSE_BAD_TYPE},
    };
    static const char *const required[] = {"frame", "y0_px", "x0_px", "shape", "layout"};

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        made_eds(&made, "pairs", 3);
        made_set(&made, twists[i].key, twists[i].value);
        if (decode_eds(bytes, 0, bytes, 0, 2) != twists[i].why)
            fail_msg("%s, case %zu: %s", twists[i].key, i, fly_fail_text());
    }
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        made_eds(&made, "pairs", 3);
        made_drop(&made, required[i]);
        ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode_eds(bytes, 0, bytes, 0, 2));
    }
}

static void live_and_real_times_are_numbers_or_unsaid(void **state)
{
    made_eds(&made, "pairs", 3);
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(bytes, 0, bytes, 0, 2));
    assert_true(isnan(msg.live_time_us) && isnan(msg.real_time_us));
    made_set(&made, "live_time_us", v_nil());
    made_set(&made, "real_time_us", v_int(12));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_eds(bytes, 0, bytes, 0, 2));
    assert_true(isnan(msg.live_time_us) && msg.real_time_us == 12.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_arrive_whole),
        cmocka_unit_test(lines_are_refused_for_each_thing_that_can_be_wrong),
        cmocka_unit_test(a_payload_fits_its_shape_to_the_byte),
        cmocka_unit_test(without_planned_frames_any_frame_may_come_that_can_be_kept),
        cmocka_unit_test(what_was_commanded_comes_beyond_the_frames_planned),
        cmocka_unit_test(dwell_is_whole_nanoseconds),
        cmocka_unit_test(a_command_has_a_number_or_a_name),
        cmocka_unit_test(dense_counts_fill_rectangle_and_channels),
        cmocka_unit_test(row_pointers_begin_at_zero_never_fall_and_end_at_the_photons),
        cmocka_unit_test(a_single_bad_row_or_pixel_is_found_wherever_it_is),
        cmocka_unit_test(pairs_have_a_pixel_and_a_channel_each),
        cmocka_unit_test(eds_is_refused_for_each_thing_that_can_be_wrong),
        cmocka_unit_test(live_and_real_times_are_numbers_or_unsaid),
    };

    return cmocka_run_group_tests(tests, open_session, NULL);
}
