#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/watch.h"

enum { R = 3, C = 4 };

static unsigned char bytes[FLY_HEADER_MAX];
static struct fly_pack pack;
static struct fly_pub_message message;

static const struct fly_pub_class classes[] = {{0, "STO", "#e69f00"}, {3, "LFO", "#112233"}};

static int take(struct fly_watch *watch)
{
    return fly_watch_take(watch, message.parts, message.n_parts);
}

static void make_shown(const char *session, uint64_t seq, uint64_t base, const int32_t *labels, const int32_t *shown,
                       const int32_t box[4], int final)
{
    static float confidence[R * C];
    static uint32_t age[R * C];
    struct fly_pub_map map = {.method = "fewshot", .modality = "ensemble", .full_shape = {R, C},
                              .bbox = {box[0], box[1], box[2], box[3]},
                              .base = base ? FLY_PUB_DELTA : FLY_PUB_KEYFRAME, .base_seq = base, .final = final,
                              .classes = classes, .n_classes = 2, .labels = labels, .confidence = confidence,
                              .age = age, .shown = shown};

    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_map(&message, &pack, &(struct fly_pub_id){session, seq, 1000}, &map), FLY_OK);
}

static void make_map(const char *session, uint64_t seq, uint64_t base, const int32_t *labels, const int32_t box[4],
                     int final)
{
    make_shown(session, seq, base, labels, NULL, box, final);
}

static const int32_t whole[4] = {0, 0, R, C};

static void make_heartbeat(int64_t t_ns, uint64_t lines, uint64_t last, uint64_t durable)
{
    struct fly_pub_counter counters[] = {{"lines", lines}, {"gap", 2}};
    struct fly_pub_heartbeat beat = {.state = "running",
                                     .recording = "ok",
                                     .last_seq = {2, {"control", "HAADF"}, {1, last}},
                                     .durable_seq = {2, {"control", "HAADF"}, {1, durable}},
                                     .backlog_chips = 7, .rss_bytes = 1, .counters = {counters, 2, NULL}};

    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_heartbeat(&message, &pack, &(struct fly_pub_id){"s1", 1, t_ns}, &beat), FLY_OK);
}

static void make_stop(const char *session)
{
    struct fly_pub_stop stop = {.exit_status = "success", .reason = "", .complete = 1, .p50_ms = 4, .p99_ms = 9,
                                .p999_ms = 9, .max_ms = 9};

    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_stop(&message, &pack, &(struct fly_pub_id){session, 1, 5}, &stop), FLY_OK);
}

static void a_keyframe_is_the_map_and_a_delta_patches_it(void **state)
{
    static const int32_t key[R * C] = {0, 0, 3, 3, 0, 0, 3, 3, -1, -1, -1, -1}, box[4] = {2, 1, 1, 2};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_map("s1", 4, 0, key, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_int_equal(watch.view.map_rows, R);
    assert_memory_equal(watch.view.labels, key, sizeof key);
    assert_int_equal(watch.view.n_classes, 2);
    assert_string_equal(watch.view.classes[1].name, "LFO");
    assert_int_equal(watch.view.classes[1].colour, 0x112233);
    make_map("s1", 6, 4, (int32_t[]){3, -2}, box, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_int_equal(watch.view.labels[2 * C + 1], 3);
    assert_int_equal(watch.view.labels[2 * C + 2], -2);
    assert_int_equal(watch.view.labels[2 * C + 3], -1);
    assert_int_equal(watch.map_seq, 6);
    assert_false(watch.wants_map);
    make_map("s1", 4, 0, (int32_t[R * C]){0}, whole, 0); /* repeated for a late joiner */
    assert_int_equal(take(&watch), FLY_OK);
    assert_int_equal(watch.view.labels[2 * C + 1], 3);
    fly_watch_fini(&watch);
}

static void what_is_meant_for_the_eye_is_shown(void **state)
{
    static const int32_t key[R * C] = {0, 3}, calm[R * C] = {3, 3}, box[4] = {0, 0, 1, 2};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_shown("s1", 1, 0, key, calm, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_memory_equal(watch.view.labels, calm, sizeof calm);
    make_shown("s1", 2, 1, key, key, box, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_memory_equal(watch.view.labels, key, sizeof key);
    fly_watch_fini(&watch);
}

static void a_delta_without_its_base_asks_for_the_whole_map(void **state)
{
    static const int32_t key[R * C] = {0}, box[4] = {0, 0, 1, 1};
    struct fly_watch watch;
    struct fly_published published;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_map("s1", 2, 0, key, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    make_map("s1", 5, 4, (int32_t[]){3}, box, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_true(watch.wants_map);
    assert_int_equal(watch.view.labels[0], 0);
    make_map("s1", 5, 0, (int32_t[R * C]){3, 3}, whole, 0); /* the answer: the same seq, as a keyframe */
    assert_int_equal(fly_published_decode(&published, message.parts, message.n_parts), FLY_OK);
    assert_int_equal(fly_watch_take_map(&watch, published.header, published.payloads, published.n_payloads), FLY_OK);
    assert_false(watch.wants_map);
    assert_int_equal(watch.view.labels[1], 3);
    make_map("s1", 7, 5, (int32_t[]){-2}, box, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_int_equal(watch.view.labels[0], -2);
    fly_watch_fini(&watch);
}

static void maps_of_other_kinds_are_passed_over(void **state)
{
    static const int32_t key[R * C] = {0};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "haadf");
    make_map("s1", 2, 0, key, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_int_equal(watch.map_seq, 0);
    fly_watch_fini(&watch);
}

static void a_broken_message_changes_nothing(void **state)
{
    static const int32_t key[R * C] = {0};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_map("s1", 2, 0, key, whole, 0);
    message.parts[2].len -= 4; /* a label short */
    assert_int_equal(take(&watch), FLY_EWIRE);
    assert_int_equal(fly_watch_take(&watch, message.parts, 1), FLY_EWIRE);
    assert_int_equal(fly_watch_take(&watch, (struct fly_part[]){{"map", 3}, {"junk", 4}}, 2), FLY_EWIRE);
    assert_int_equal(watch.map_seq, 0);
    assert_null(watch.view.labels);
    fly_watch_fini(&watch);
}

static void the_rate_of_lines_is_counted_over_a_second(void **state)
{
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_heartbeat(1000000000, 100, 101, 90);
    assert_int_equal(take(&watch), FLY_OK);
    assert_true(isnan(watch.view.lines_s));
    assert_int_equal(watch.view.backlog_chips, 7);
    assert_int_equal(watch.view.gaps, 2);
    assert_int_equal(watch.view.undurable, 11);
    assert_string_equal(watch.view.state, "running");
    make_heartbeat(1050000000, 150, 151, 151); /* one more because durable_seq moved */
    assert_int_equal(take(&watch), FLY_OK);
    assert_true(isnan(watch.view.lines_s));
    assert_int_equal(watch.view.undurable, 0);
    make_heartbeat(2000000000, 1076, 1077, 1077);
    assert_int_equal(take(&watch), FLY_OK);
    assert_true(watch.view.lines_s == 976);
    fly_watch_fini(&watch);
}

static void it_is_complete_with_the_stop_and_the_final_map_in_either_order(void **state)
{
    static const int32_t key[R * C] = {0};

    (void)state;
    for (int stop_first = 0; stop_first < 2; stop_first++) {
        struct fly_watch watch;

        fly_watch_init(&watch, "fewshot", "ensemble");
        make_map("s1", 2, 0, key, whole, 0);
        assert_int_equal(take(&watch), FLY_OK);
        for (int i = 0; i < 2; i++) {
            assert_false(watch.complete);
            if (i == stop_first)
                make_map("s1", 3, 0, key, whole, 1);
            else
                make_stop("s1");
            assert_int_equal(take(&watch), FLY_OK);
        }
        assert_true(watch.stopped && watch.complete);
        assert_string_equal(watch.exit_status, "success");
        assert_string_equal(watch.view.state, "stopped");
        assert_true(watch.view.p99_ms == 9);
        fly_watch_fini(&watch);
    }
}

static void a_new_session_begins_a_new_view(void **state)
{
    static const int32_t key[R * C] = {0};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_map("s1", 20, 0, key, whole, 1);
    assert_int_equal(take(&watch), FLY_OK);
    make_stop("s1");
    assert_int_equal(take(&watch), FLY_OK);
    make_map("s2", 1, 0, (int32_t[R * C]){3}, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_string_equal(watch.view.session, "s2");
    assert_false(watch.stopped || watch.complete || watch.view.final);
    assert_int_equal(watch.view.labels[0], 3);
    make_stop("s1"); /* the old one's, told again to a late joiner */
    assert_int_equal(take(&watch), FLY_OK);
    assert_false(watch.stopped);
    fly_watch_fini(&watch);
}

static void a_start_shows_the_empty_grid(void **state)
{
    static unsigned char instrument[1024];
    struct fly_pack header;
    struct fly_part part;
    struct fly_pub_start start = {.grid_shape = {R, C}, .chip_px = 15, .pitch_px = 15, .profile = "robust",
                                  .embedder = "spectral", .flyback_version = "0"};
    struct fly_watch watch;

    (void)state;
    fly_pack_init(&header, instrument, sizeof instrument);
    fly_pack_map(&header, 1);
    fly_pack_str(&header, "type");
    fly_pack_str(&header, "start");
    part = (struct fly_part){instrument, header.len};
    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_start(&message, &pack, &(struct fly_pub_id){"s1", 1, 5}, &part, &start), FLY_OK);
    fly_watch_init(&watch, "fewshot", "ensemble");
    assert_int_equal(take(&watch), FLY_OK);
    assert_int_equal(watch.view.map_rows, R);
    assert_int_equal(watch.view.map_cols, C);
    for (int k = 0; k < R * C; k++)
        assert_int_equal(watch.view.labels[k], -1);
    fly_watch_fini(&watch);
}

/* mode NULL: without a word of steering; guard: its own words while it holds by itself. */
static void take_status(struct fly_watch *watch, const char *mode, int held, const char *guard)
{
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, mode ? 2 : 1);
    fly_pack_key_str(&pack, "state", "running");
    if (mode) {
        fly_pack_str(&pack, "steer");
        fly_pack_map(&pack, 7);
        fly_pack_key_str(&pack, "mode", mode);
        fly_pack_key_str(&pack, "policy", "adaptive");
        fly_pack_key_bool(&pack, "held", held);
        fly_pack_key_text(&pack, "guard_held", guard);
        fly_pack_key_text(&pack, "stop", NULL);
        fly_pack_key_int(&pack, "pending", 2);
        fly_pack_key_f64(&pack, "expected_error", 0.25);
    }
    fly_watch_take_status(watch, fly_value_root(bytes, pack.len));
}

static void steering_is_what_the_last_status_told(void **state)
{
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    take_status(&watch, "ask", 1, NULL);
    assert_true(watch.view.steer.there && watch.view.steer.held && watch.changed);
    assert_string_equal(watch.view.steer.mode, "ask");
    assert_string_equal(watch.view.steer.policy, "adaptive");
    assert_string_equal(watch.view.steer.stop, "");
    assert_int_equal(watch.view.steer.pending, 2);
    assert_true(watch.view.steer.expected_error == 0.25);
    take_status(&watch, "off", 1, NULL); /* off, but held: that is worth a word */
    assert_true(watch.view.steer.there);
    take_status(&watch, "off", 0, NULL);
    assert_false(watch.view.steer.there);
    take_status(&watch, "advise", 0, NULL);
    assert_true(watch.view.steer.there && !watch.view.steer.held);
    take_status(&watch, "auto", 0, "held by signal");
    assert_true(watch.view.steer.held);
    take_status(&watch, NULL, 0, NULL); /* a plugin that does not steer */
    assert_false(watch.view.steer.there);
    fly_watch_fini(&watch);
}

static void the_dose_is_that_of_the_session_in_view(void **state)
{
    static const float chips[R * C];
    struct fly_pub_dose dose = {.calibrated = 1, .factor = 2, .full_shape = {R, C}, .max = 40, .mean = 20, .gini = NAN,
                                .survey = NAN, .cap = NAN, .chips = chips};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    make_map("s1", 4, 0, (int32_t[R * C]){0}, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_dose(&message, &pack, &(struct fly_pub_id){"s1", 1, 5}, &dose), FLY_OK);
    assert_int_equal(take(&watch), FLY_OK);
    assert_true(watch.view.dose.there && watch.view.dose.calibrated);
    assert_true(watch.view.dose.mean == 20 && watch.view.dose.max == 40);
    make_map("s2", 1, 0, (int32_t[R * C]){0}, whole, 0);
    assert_int_equal(take(&watch), FLY_OK);
    assert_false(watch.view.dose.there);
    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_dose(&message, &pack, &(struct fly_pub_id){"s1", 2, 5}, &dose), FLY_OK);
    assert_int_equal(take(&watch), FLY_OK);
    assert_false(watch.view.dose.there);
    fly_watch_fini(&watch);
}

static void the_newest_event_is_kept_as_one_text(void **state)
{
    struct fly_pub_event event = {.level = "warning", .code = "gap", .text = "3 numbers of HAADF"};
    struct fly_watch watch;

    (void)state;
    fly_watch_init(&watch, "fewshot", "ensemble");
    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_pub_event(&message, &pack, &(struct fly_pub_id){"s1", 1, 5}, &event), FLY_OK);
    assert_int_equal(take(&watch), FLY_OK);
    assert_string_equal(watch.view.event, "warning gap: 3 numbers of HAADF");
    fly_watch_fini(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keyframe_is_the_map_and_a_delta_patches_it),
        cmocka_unit_test(what_is_meant_for_the_eye_is_shown),
        cmocka_unit_test(a_delta_without_its_base_asks_for_the_whole_map),
        cmocka_unit_test(maps_of_other_kinds_are_passed_over),
        cmocka_unit_test(a_broken_message_changes_nothing),
        cmocka_unit_test(the_rate_of_lines_is_counted_over_a_second),
        cmocka_unit_test(it_is_complete_with_the_stop_and_the_final_map_in_either_order),
        cmocka_unit_test(a_new_session_begins_a_new_view),
        cmocka_unit_test(a_start_shows_the_empty_grid),
        cmocka_unit_test(steering_is_what_the_last_status_told),
        cmocka_unit_test(the_dose_is_that_of_the_session_in_view),
        cmocka_unit_test(the_newest_event_is_kept_as_one_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
