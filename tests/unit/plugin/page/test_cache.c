#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "plugin/page/cache.h"
#include "stream/steer.h"

enum { R = 5, C = 7, K = R * C };

static unsigned char room[FLY_HEADER_MAX], instrument[1024];
static struct fly_pack pack;
static struct fly_pub_message message;
static struct fly_page_cache cache;

static int set_up(void **state)
{
    (void)state;
    return fly_page_cache_init(&cache, 1000000) == FLY_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    fly_page_cache_fini(&cache);
    return 0;
}

static void take(void)
{
    fly_page_cache_take(&cache, message.parts, message.n_parts);
}

static void empty(void)
{
    fly_pack_init(&pack, room, sizeof room);
}

static void pack_pair(struct fly_pack *to, const char *key, int64_t a, int64_t b)
{
    fly_pack_str(to, key);
    fly_pack_array(to, 2);
    fly_pack_int(to, a);
    fly_pack_int(to, b);
}

static void start(const char *session, uint64_t seq)
{
    struct fly_pub_start said = {.grid_shape = {R, C}, .chip_px = 4, .pitch_px = 4, .profile = "robust",
                                 .embedder = "spectral", .flyback_version = "1"};
    struct fly_pack own;

    fly_pack_init(&own, instrument, sizeof instrument);
    fly_pack_map(&own, 8);
    fly_pack_str(&own, "type");
    fly_pack_str(&own, "start");
    fly_pack_str(&own, "session");
    fly_pack_str(&own, session);
    fly_pack_str(&own, "stream");
    fly_pack_str(&own, "control");
    fly_pack_str(&own, "seq");
    fly_pack_int(&own, 1);
    fly_pack_str(&own, "t_ns");
    fly_pack_int(&own, 1);
    fly_pack_str(&own, "schema");
    fly_pack_array(&own, 2);
    fly_pack_int(&own, 1);
    fly_pack_int(&own, 0);
    pack_pair(&own, "scan_shape_px", R * 4, C * 4);
    fly_pack_str(&own, "detectors");
    fly_pack_array(&own, 1);
    fly_pack_str(&own, "HAADF");
    empty();
    assert_int_equal(fly_pub_start(&message, &pack, &(struct fly_pub_id){session, seq, 5},
                                   &(struct fly_part){instrument, own.len}, &said),
                     FLY_OK);
    take();
}

struct maps {
    int32_t labels[K], shown[K];
    float confidence[K];
    uint32_t age[K];
};

/* A box of it, gathered. */
static void publish(const char *session, uint64_t seq, uint64_t base, const struct maps *maps, const int32_t box[4],
                    int calm)
{
    static struct maps cut;
    struct fly_pub_map map = {.method = "ward", .modality = "eds", .full_shape = {R, C},
                              .base = base ? FLY_PUB_DELTA : FLY_PUB_KEYFRAME, .base_seq = base,
                              .labels = cut.labels, .confidence = cut.confidence, .age = cut.age,
                              .shown = calm ? cut.shown : NULL};
    int32_t n = 0;

    memcpy(map.bbox, box, sizeof map.bbox);
    for (int32_t r = box[0]; r < box[0] + box[2]; r++)
        for (int32_t c = box[1]; c < box[1] + box[3]; c++, n++) {
            cut.labels[n] = maps->labels[r * C + c];
            cut.shown[n] = maps->shown[r * C + c];
            cut.confidence[n] = maps->confidence[r * C + c];
            cut.age[n] = maps->age[r * C + c];
        }
    empty();
    assert_int_equal(fly_pub_map(&message, &pack, &(struct fly_pub_id){session, seq, 9}, &map), FLY_OK);
    take();
}

static const int32_t whole[4] = {0, 0, R, C};

static json_t *header_of(const struct fly_blob *blob)
{
    uint32_t n = 0;
    json_t *header;

    if (blob->is_bundle)
        memcpy(&n, blob->bytes, 4);
    header = json_loadb((const char *)blob->bytes + (blob->is_bundle ? 4 : 0), blob->is_bundle ? n : blob->len,
                        JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    return header;
}

/* What is served is that map, in every payload, and claims to be whole. */
static void check_served(const struct maps *maps, int calm)
{
    struct fly_blob *blob = fly_page_cache_map(&cache, "ward/eds");
    const void *const want[4] = {maps->labels, maps->confidence, maps->age, maps->shown};
    json_t *header;
    uint32_t n;
    size_t at;

    assert_non_null(blob);
    header = header_of(blob);
    assert_int_equal(json_integer_value(json_object_get(header, "base_seq")), 0);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(header, "bbox"), 2)), R);
    assert_int_equal(json_array_size(json_object_get(header, "payloads")), calm ? 4 : 3);
    memcpy(&n, blob->bytes, 4);
    at = (4 + n + 7) / 8 * 8;
    for (int i = 0; i < (calm ? 4 : 3); i++, at += (4 * K + 7) / 8 * 8)
        assert_memory_equal(blob->bytes + at, want[i], 4 * K);
    json_decref(header);
    fly_blob_drop(&blob);
}

static void shake(struct fly_rng *rng, struct maps *maps, int32_t box[4])
{
    box[0] = (int32_t)fly_rng_below(rng, R);
    box[1] = (int32_t)fly_rng_below(rng, C);
    box[2] = 1 + (int32_t)fly_rng_below(rng, (uint64_t)(R - box[0]));
    box[3] = 1 + (int32_t)fly_rng_below(rng, (uint64_t)(C - box[1]));
    for (int32_t r = box[0]; r < box[0] + box[2]; r++)
        for (int32_t c = box[1]; c < box[1] + box[3]; c++) {
            int32_t k = r * C + c;

            maps->labels[k] = (int32_t)fly_rng_below(rng, 9) - 4;
            maps->shown[k] = (int32_t)fly_rng_below(rng, 9) - 4;
            maps->confidence[k] = fly_rng_below(rng, 4) ? (float)fly_rng_uniform(rng) : NAN;
            maps->age[k]++;
        }
}

static void deltas_on_a_keyframe_make_the_map_that_was_sent(void **state)
{
    struct fly_rng rng = {1};
    struct maps maps = {{0}, {0}, {0}, {0}};
    uint64_t seq = 1;
    int32_t box[4];

    (void)state;
    for (int calm = 0; calm < 2; calm++) {
        start(calm ? "b" : "a", 1);
        seq = 1;
        publish(calm ? "b" : "a", seq, 0, &maps, whole, calm);
        for (int i = 0; i < 400; i++) {
            shake(&rng, &maps, box);
            if (fly_rng_below(&rng, 20) == 0)
                publish(calm ? "b" : "a", seq + 1, 0, &maps, whole, calm);
            else
                publish(calm ? "b" : "a", seq + 1, seq, &maps, box, calm);
            seq++;
            if (i % 3 == 0)
                check_served(&maps, calm);
        }
        check_served(&maps, calm);
    }
}

static void a_delta_whose_base_was_lost_asks_for_the_map(void **state)
{
    struct maps maps = {{0}, {0}, {0}, {0}}, later;
    const int32_t box[4] = {1, 1, 2, 2};
    char method[32], modality[32];
    struct fly_part payloads[4];
    struct fly_pub_map whole_map = {.method = "ward", .modality = "eds", .full_shape = {R, C}, .bbox = {0, 0, R, C}};

    (void)state;
    start("a", 1);
    publish("a", 1, 0, &maps, whole, 0);
    assert_false(fly_page_cache_lacks(&cache, method, modality));
    later = maps;
    later.labels[C + 1] = 3;
    publish("a", 3, 2, &later, box, 0); /* 2 never came */
    assert_true(fly_page_cache_lacks(&cache, method, modality));
    assert_string_equal(method, "ward");
    assert_string_equal(modality, "eds");
    check_served(&maps, 0);
    later.labels[0] = 2;
    whole_map.labels = later.labels;
    whole_map.confidence = later.confidence;
    whole_map.age = later.age;
    empty();
    fly_pub_map_header(&pack, &(struct fly_pub_id){"a", 4, 1}, &whole_map);
    fly_page_cache_take_map(&cache, fly_value_root(room, pack.len), payloads, fly_pub_map_payloads(payloads, &whole_map));
    assert_false(fly_page_cache_lacks(&cache, method, modality));
    check_served(&later, 0);
    publish("a", 2, 1, &maps, box, 0); /* late: it changes nothing */
    check_served(&later, 0);
}

static void a_new_session_shows_nothing_of_the_old_one(void **state)
{
    struct maps maps = {{0}, {0}, {0}, {0}};
    struct fly_blob *image;
    json_t *header;
    uint64_t old;

    (void)state;
    start("a", 1);
    publish("a", 7, 0, &maps, whole, 0);
    old = cache.picture.newest;
    start("b", 1);
    assert_null(fly_page_cache_map(&cache, "ward/eds"));
    publish("a", 8, 0, &maps, whole, 0); /* of the old one, on its way */
    assert_null(fly_page_cache_map(&cache, "ward/eds"));
    publish("b", 2, 0, &maps, whole, 0); /* a lower number than the old one's */
    check_served(&maps, 0);
    image = fly_page_cache_image(&cache, old);
    header = header_of(image);
    assert_int_equal(json_integer_value(json_object_get(header, "rows")), R * 4);
    json_decref(header);
    fly_blob_drop(&image);
}

static void event(const char *session, uint64_t seq)
{
    char text[32];

    snprintf(text, sizeof text, "event %d", (int)seq);
    empty();
    assert_int_equal(fly_pub_event(&message, &pack, &(struct fly_pub_id){session, seq, 1},
                                   &(struct fly_pub_event){"info", "code", text, {NULL, 0}}),
                     FLY_OK);
    take();
}

static void the_newest_events_are_kept_and_counted(void **state)
{
    struct fly_blob *blob;
    json_t *root, *list, *one;
    size_t i;

    (void)state;
    for (uint64_t seq = 1; seq <= 500; seq++) {
        event("", seq);
        event("", seq); /* the repeat for somebody who came later */
    }
    blob = fly_page_cache_events(&cache, 0);
    root = header_of(blob);
    list = json_object_get(root, "events");
    assert_int_equal(json_integer_value(json_object_get(root, "last")), 500);
    assert_int_equal(json_array_size(list), FLY_PAGE_EVENTS);
    json_array_foreach(list, i, one) {
        char text[32];

        snprintf(text, sizeof text, "event %d", 301 + (int)i);
        assert_int_equal(json_integer_value(json_object_get(one, "n")), 301 + i);
        assert_string_equal(json_string_value(json_object_get(one, "text")), text);
    }
    json_decref(root);
    fly_blob_drop(&blob);
    blob = fly_page_cache_events(&cache, 498);
    root = header_of(blob);
    assert_int_equal(json_array_size(json_object_get(root, "events")), 2);
    json_decref(root);
    fly_blob_drop(&blob);
    blob = fly_page_cache_events(&cache, 9999); /* of another process */
    root = header_of(blob);
    assert_int_equal(json_array_size(json_object_get(root, "events")), FLY_PAGE_EVENTS);
    json_decref(root);
    fly_blob_drop(&blob);
}

static void metrics(uint64_t seq, double ami)
{
    struct fly_pub_metrics said = {.n_methods = 2, .methods = {{"fewshot", {ami, NAN, 0.5}, {0}, NULL},
                                                               {"ward", {1 - ami, 0, 0}, {0}, NULL}}};

    empty();
    assert_int_equal(fly_pub_metrics(&message, &pack, &(struct fly_pub_id){"a", seq, (int64_t)seq * 1000}, &said), FLY_OK);
    take();
}

static void agreement_over_time_is_the_newest_ten_minutes(void **state)
{
    struct fly_blob *blob;
    json_t *root, *t, *ami;

    (void)state;
    start("a", 1);
    for (uint64_t seq = 1; seq <= FLY_PAGE_AGREEMENTS + 50; seq++)
        metrics(seq, (double)seq / 1000);
    blob = fly_page_cache_agreement(&cache);
    root = header_of(blob);
    t = json_object_get(root, "t_ns");
    assert_int_equal(json_array_size(t), FLY_PAGE_AGREEMENTS);
    assert_int_equal(json_integer_value(json_array_get(t, 0)), 51000);
    ami = json_object_get(json_object_get(root, "ami"), "fewshot");
    assert_true(json_real_value(json_array_get(json_object_get(ami, "haadf_eds"), 0)) == 0.051);
    assert_true(json_is_null(json_array_get(json_object_get(ami, "haadf_ens"), 0)));
    assert_int_equal(json_array_size(json_object_get(ami, "eds_ens")), FLY_PAGE_AGREEMENTS);
    assert_non_null(json_object_get(json_object_get(root, "ami"), "ward"));
    json_decref(root);
    fly_blob_drop(&blob);
}

static void dose(const char *session, uint64_t seq, const float *chips)
{
    struct fly_pub_dose said = {.calibrated = 1, .factor = 2.5, .full_shape = {R, C}, .max = 40, .mean = 20, .gini = 0.1,
                                .survey = 10, .cap = 80, .chips = chips};

    empty();
    assert_int_equal(fly_pub_dose(&message, &pack, &(struct fly_pub_id){session, seq, 1}, &said), FLY_OK);
    take();
}

static void the_dose_is_served_as_it_was_published(void **state)
{
    float chips[K];
    struct fly_blob *blob;
    json_t *root;
    uint32_t n;

    (void)state;
    for (int k = 0; k < K; k++)
        chips[k] = k % 5 ? 1.5f * (float)k : NAN;
    start("a", 1);
    assert_null(fly_page_cache_dose(&cache));
    dose("a", 1, chips);
    chips[1] = 99;
    dose("a", 2, chips);
    blob = fly_page_cache_dose(&cache);
    assert_non_null(blob);
    root = header_of(blob);
    assert_string_equal(json_string_value(json_object_get(root, "unit")), "e_per_A2");
    assert_int_equal(json_integer_value(json_object_get(root, "seq")), 2);
    assert_true(json_number_value(json_object_get(root, "cap")) == 80);
    assert_int_equal(json_array_size(json_object_get(root, "payloads")), 1);
    json_decref(root);
    memcpy(&n, blob->bytes, 4);
    assert_memory_equal(blob->bytes + (4 + n + 7) / 8 * 8, chips, sizeof chips);
    fly_blob_drop(&blob);
    dose("b", 3, chips); /* of a session that we do not follow */
    start("b", 1);
    assert_null(fly_page_cache_dose(&cache));
}

static void suggest(const char *session, uint64_t seq, double error)
{
    static struct fly_target target = {.kind = FLY_TARGET_BOX, .px = {0, 0, 4, 4}, .dwell_us = 20,
                                       .expected_gain = 0.3, .dose_e_per_A2 = NAN, .reason = "margin"};
    const struct fly_steer_field field = {R * 4, C * 4, {NAN, NAN}};
    struct fly_suggest said = {.decision_id = "d-7", .policy = "adaptive", .mode = "ask", .targets = &target,
                               .n_targets = 1, .targets_cap = 1, .valid_until_ns = 5, .expected_error = error};

    empty();
    assert_int_equal(fly_pub_suggest(&message, &pack, &(struct fly_pub_id){session, seq, (int64_t)seq * 1000}, &said, &field),
                     FLY_OK);
    take();
}

static void the_newest_suggestion_is_served_whole(void **state)
{
    struct fly_blob *blob;
    json_t *root, *target;

    (void)state;
    start("a", 1);
    assert_null(fly_page_cache_topic(&cache, FLY_PAGE_SUGGEST));
    suggest("a", 1, 0.5);
    suggest("a", 2, NAN);
    blob = fly_page_cache_topic(&cache, FLY_PAGE_SUGGEST);
    assert_non_null(blob);
    root = header_of(blob);
    assert_string_equal(json_string_value(json_object_get(root, "decision_id")), "d-7");
    assert_true(json_is_null(json_object_get(root, "expected_error")));
    target = json_array_get(json_object_get(root, "targets"), 0);
    assert_string_equal(json_string_value(json_object_get(target, "reason")), "margin");
    assert_int_equal(json_array_size(json_object_get(target, "px")), 4);
    json_decref(root);
    fly_blob_drop(&blob);
    start("b", 1);
    assert_null(fly_page_cache_topic(&cache, FLY_PAGE_SUGGEST));
}

/* Of however many suggestions: evenly spaced ones, from the first on, at least half of what there is room for. */
static void the_course_of_a_long_session_reaches_back_to_its_beginning(void **state)
{
    static const int32_t many[] = {1, 10, FLY_PAGE_COURSE, FLY_PAGE_COURSE + 1, 5000, 20000};

    (void)state;
    for (size_t m = 0; m < sizeof many / sizeof *many; m++) {
        struct fly_blob *blob;
        json_t *root, *t, *error;
        size_t n;
        int64_t step;

        start(m % 2 ? "a" : "b", 1);
        for (int32_t seq = 1; seq <= many[m]; seq++) {
            suggest(m % 2 ? "a" : "b", (uint64_t)seq, 1.0 / seq);
            suggest(m % 2 ? "a" : "b", (uint64_t)seq, 1.0 / seq); /* the repeat for somebody who came later */
        }
        blob = fly_page_cache_course(&cache);
        root = header_of(blob);
        t = json_object_get(root, "t_ns");
        error = json_object_get(root, "expected_error");
        n = json_array_size(t);
        assert_int_equal(n, json_array_size(error));
        assert_true(n <= FLY_PAGE_COURSE && (n >= FLY_PAGE_COURSE / 2 || n == (size_t)many[m]));
        step = n > 1 ? json_integer_value(json_array_get(t, 1)) - 1000 : 0;
        for (size_t i = 0; i < n; i++) {
            int64_t at = json_integer_value(json_array_get(t, i));

            assert_int_equal(at, 1000 + (int64_t)i * step);
            assert_true(json_number_value(json_array_get(error, i)) == 1.0 / ((double)at / 1000));
        }
        assert_true((int64_t)many[m] * 1000 - (1000 + ((int64_t)n - 1) * step) < (step ? step : 1));
        json_decref(root);
        fly_blob_drop(&blob);
    }
}

static void news_tell_of_everything_that_changed_and_of_nothing_else(void **state)
{
    struct maps maps = {{0}, {0}, {0}, {0}};
    struct fly_blob *blob;
    json_t *root;
    uint64_t before;

    (void)state;
    start("a", 1);
    before = cache.changes;
    start("a", 1);
    assert_true(cache.changes == before);
    publish("a", 3, 0, &maps, whole, 0);
    assert_true(cache.changes > before);
    before = cache.changes;
    publish("a", 3, 0, &maps, whole, 0);
    assert_true(cache.changes == before);
    event("a", 1);
    metrics(4, 0.1);
    suggest("a", 6, 0.2);
    dose("a", 8, maps.confidence);
    assert_true(cache.changes > before);
    blob = fly_page_cache_news(&cache);
    root = header_of(blob);
    assert_string_equal(json_string_value(json_object_get(root, "session")), "a");
    assert_int_equal(json_integer_value(json_object_get(root, "start")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "stop")), 0);
    assert_int_equal(json_integer_value(json_object_get(root, "metrics")), 4);
    assert_int_equal(json_integer_value(json_object_get(root, "event")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "agreement")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "suggest")), 6);
    assert_int_equal(json_integer_value(json_object_get(root, "course")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "dose")), 8);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "map"), "ward/eds")), 3);
    json_decref(root);
    fly_blob_drop(&blob);
}

static void what_is_served_twice_is_made_once(void **state)
{
    struct maps maps = {{0}, {0}, {0}, {0}};
    struct fly_blob *a, *b;

    (void)state;
    start("a", 1);
    publish("a", 1, 0, &maps, whole, 0);
    a = fly_page_cache_map(&cache, "ward/eds");
    b = fly_page_cache_map(&cache, "ward/eds");
    assert_ptr_equal(a, b);
    fly_blob_drop(&b);
    publish("a", 2, 0, &maps, whole, 0);
    b = fly_page_cache_map(&cache, "ward/eds");
    assert_ptr_not_equal(a, b); /* and the first stays whole for who is still sending it */
    assert_int_equal(a->len, b->len);
    fly_blob_drop(&a);
    fly_blob_drop(&b);
    a = fly_page_cache_image(&cache, 0);
    b = fly_page_cache_image(&cache, 0);
    assert_ptr_equal(a, b);
    fly_blob_drop(&a);
    fly_blob_drop(&b);
}

static void garbage_changes_nothing(void **state)
{
    struct fly_rng rng = {77};
    unsigned char bytes[200];
    uint64_t before;

    (void)state;
    start("a", 1);
    before = cache.changes;
    for (int i = 0; i < 20000; i++) {
        struct fly_part parts[5] = {{"map", 3}, {bytes, (size_t)fly_rng_below(&rng, sizeof bytes)}, {bytes, 4}, {bytes, 4}, {bytes, 4}};

        for (size_t b = 0; b < sizeof bytes; b++)
            bytes[b] = (unsigned char)fly_rng_below(&rng, 256);
        fly_page_cache_take(&cache, parts, (int32_t)fly_rng_below(&rng, 6));
    }
    assert_true(cache.changes == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deltas_on_a_keyframe_make_the_map_that_was_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_delta_whose_base_was_lost_asks_for_the_map, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_session_shows_nothing_of_the_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_events_are_kept_and_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(agreement_over_time_is_the_newest_ten_minutes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_dose_is_served_as_it_was_published, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_suggestion_is_served_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_course_of_a_long_session_reaches_back_to_its_beginning, set_up, tear_down),
        cmocka_unit_test_setup_teardown(news_tell_of_everything_that_changed_and_of_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_served_twice_is_made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(garbage_changes_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
