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
#include <unistd.h>

#include "engine/base/agreement.h"
#include "engine/base/rng.h"
#include "sim/judge.h"

enum { R = 12, C = 12, K = R * C };

/* One published message by Flyback's own encoder. */
struct said {
    unsigned char bytes[4096];
    struct fly_pub_message message;
    struct fly_published read;
};

static struct fly_specimen *specimen(void)
{
    struct fly_specimen_config config = {.height_px = 128, .width_px = 128, .pixel_nm = 0.1,
                                         .growth = FLY_DEFECTIVE, .dpa = 0.1, .warp_px = 1.0, .seed = 3};
    struct fly_specimen *s = NULL;

    assert_int_equal(fly_specimen_open(&s, &config), FLY_OK);
    return s;
}

static void say_start(struct said *said, int64_t t_ns, int resumed)
{
    static const unsigned char instrument[] = "\x82\xa4type\xa5start\xa6schema\x92\x01\x00";
    struct fly_part part = {instrument, sizeof instrument - 1};
    struct fly_pub_id id = {.session = "s", .seq = 1, .t_ns = t_ns};
    struct fly_pub_start start = {.grid_shape = {R, C}, .chip_px = 10, .pitch_px = 10, .origin_px = {2, 4},
                                  .profile = "paper", .embedder = "spectral", .flyback_version = "0",
                                  .resumed = resumed};
    struct fly_pack pack;

    fly_pack_init(&pack, said->bytes, sizeof said->bytes);
    assert_int_equal(fly_pub_start(&said->message, &pack, &id, &part, &start), FLY_OK);
    assert_int_equal(fly_published_decode(&said->read, said->message.parts, said->message.n_parts), FLY_OK);
}

static void say_map(struct said *said, const char *method, uint64_t seq, enum fly_pub_base base,
                    uint64_t base_seq, const int32_t bbox[4], const int32_t *labels, int final)
{
    static const struct fly_pub_class classes[] = {
        {7, "STO", "#000000"}, {3, "LFO", "#111111"}, {1, "LFO_disordered", "#222222"}, {0, "cap", "#333333"}};
    static const struct fly_pub_class nameless[] = {{0, "a", "#000000"}, {1, "b", "#000000"}};
    static float confidence[K];
    static uint32_t age[K];
    struct fly_pub_id id = {.session = "s", .seq = seq, .t_ns = 5};
    int named = !strcmp(method, "fewshot");
    struct fly_pub_map map = {.method = method, .modality = "haadf", .full_shape = {R, C}, .base = base,
                              .base_seq = base_seq, .final = final, .classes = named ? classes : nameless,
                              .n_classes = named ? 4 : 2, .labels = labels, .confidence = confidence,
                              .age = age};
    struct fly_pack pack;

    memcpy(map.bbox, bbox, sizeof map.bbox);
    fly_pack_init(&pack, said->bytes, sizeof said->bytes);
    assert_int_equal(fly_pub_map(&said->message, &pack, &id, &map), FLY_OK);
    assert_int_equal(fly_published_decode(&said->read, said->message.parts, said->message.n_parts), FLY_OK);
}

static const int32_t whole[4] = {0, 0, R, C};
static const int32_t id_of_phase[FLY_PHASES] = {7, 3, 1, 0};

static struct fly_truth *truth_of(const struct fly_specimen *s)
{
    const int32_t origin[2] = {2, 4};
    struct fly_truth *t = NULL;

    assert_int_equal(fly_truth_open(&t, s, 10, 10, origin, R, C), FLY_OK);
    return t;
}

static void scores_equal_a_count_by_hand(void **state)
{
    struct fly_specimen *s = specimen();
    struct fly_truth *t = truth_of(s);
    struct fly_judge *judge = NULL;
    struct fly_rng rng = {2};
    static struct said said;
    const struct fly_score *scores;
    int32_t labels[K], kept_truth[K], kept_label[K];

    assert_int_equal(fly_judge_open(&judge, s, "s"), FLY_OK);
    say_start(&said, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0.0, 0.0), FLY_OK);
    for (int round = 0; round < 20; round++) {
        int n = 0, right = 0;

        for (int k = 0; k < K; k++) {
            labels[k] = (int32_t)fly_rng_below(&rng, 3) ? id_of_phase[t->label[k]]
                                                        : id_of_phase[fly_rng_below(&rng, 4)];
            if (fly_rng_below(&rng, 5) == 0)
                labels[k] = -1 - (int32_t)fly_rng_below(&rng, 4);
            if (labels[k] >= 0) {
                kept_truth[n] = t->label[k];
                kept_label[n++] = labels[k];
                right += labels[k] == id_of_phase[t->label[k]];
            }
        }
        say_map(&said, "fewshot", (uint64_t)round + 1, FLY_PUB_KEYFRAME, 0, whole, labels, round == 19);
        assert_int_equal(fly_judge_hear(judge, &said.read, round, round / 20.0), FLY_OK);
        assert_int_equal(fly_judge_scores(judge, &scores), round + 1);
        const struct fly_score *last = &scores[round];

        assert_true(last->labelled == (double)n / K && last->accuracy == (double)right / n);
        assert_true(last->accuracy_all == (double)right / K);
        assert_true(last->ami == fly_ami(kept_truth, kept_label, n));
        assert_true(last->ari == fly_ari(kept_truth, kept_label, n));
        assert_int_equal(last->final, round == 19);
    }
    fly_judge_close(&judge);
    fly_truth_close(&t);
    fly_specimen_close(&s);
}

static void deltas_build_on_their_base_or_are_missed(void **state)
{
    static const int32_t corner[4] = {3, 5, 2, 4};
    struct fly_specimen *s = specimen();
    struct fly_truth *t = truth_of(s);
    struct fly_judge *judge = NULL;
    static struct said said;
    const struct fly_score *scores;
    int32_t labels[K], part[8];

    assert_int_equal(fly_judge_open(&judge, s, "s"), FLY_OK);
    for (int k = 0; k < K; k++)
        labels[k] = -1;
    say_map(&said, "fewshot", 1, FLY_PUB_KEYFRAME, 0, whole, labels, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    assert_int_equal(fly_judge_missed(judge), 1); /* no start yet */
    say_start(&said, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    say_map(&said, "fewshot", 4, FLY_PUB_KEYFRAME, 0, whole, labels, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    for (int i = 0; i < 8; i++)
        part[i] = id_of_phase[t->label[(3 + i / 4) * C + 5 + i % 4]];
    say_map(&said, "fewshot", 6, FLY_PUB_DELTA, 4, corner, part, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    assert_int_equal(fly_judge_scores(judge, &scores), 2);
    assert_true(isnan(scores[0].accuracy) && isnan(scores[0].ami) && scores[0].labelled == 0.0);
    assert_true(scores[1].accuracy == 1.0 && scores[1].labelled == 8.0 / K);
    say_map(&said, "fewshot", 8, FLY_PUB_DELTA, 7, corner, part, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    say_map(&said, "fewshot", 4, FLY_PUB_KEYFRAME, 0, whole, labels, 0); /* repeated for someone else */
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    assert_int_equal(fly_judge_scores(judge, &scores), 2);
    assert_int_equal(fly_judge_missed(judge), 2);
    /* A restarted Flyback counts from 1: its maps are new all the same. */
    say_start(&said, 99, 1);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    say_map(&said, "fewshot", 1, FLY_PUB_KEYFRAME, 0, whole, labels, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    assert_int_equal(fly_judge_scores(judge, &scores), 3);
    fly_judge_close(&judge);
    fly_truth_close(&t);
    fly_specimen_close(&s);
}

static void maps_without_names_have_agreement_and_no_accuracy(void **state)
{
    char path[] = "/tmp/flyback-judge-XXXXXX";
    struct fly_specimen *s = specimen();
    struct fly_truth *t = truth_of(s);
    struct fly_judge *judge = NULL;
    static struct said said;
    struct fly_score last[4];
    int32_t labels[K];

    assert_int_equal(fly_judge_open(&judge, s, "s"), FLY_OK);
    say_start(&said, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    for (int k = 0; k < K; k++)
        labels[k] = 50 - t->label[k]; /* the same partition under other numbers */
    say_map(&said, "ward", 1, FLY_PUB_KEYFRAME, 0, whole, labels, 1);
    assert_int_equal(fly_judge_hear(judge, &said.read, 2.5, 1), FLY_OK);
    assert_int_equal(fly_judge_last(judge, last, 4), 1);
    assert_true(isnan(last[0].accuracy) && last[0].ami == 1.0 && last[0].ari == 1.0 && last[0].final);

    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fly_judge_write(judge, path), FLY_OK);
    json_t *json = json_load_file(path, 0, NULL);
    json_t *ward = json_object_get(json_object_get(json_object_get(json, "final"), "ward"), "haadf");

    assert_true(json_real_value(json_object_get(ward, "ami")) == 1.0);
    assert_true(json_is_null(json_object_get(ward, "accuracy")));
    assert_int_equal(json_array_size(json_object_get(json, "history")), 1);
    json_decref(json);
    unlink(path);
    fly_judge_close(&judge);
    fly_truth_close(&t);
    fly_specimen_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_equal_a_count_by_hand),
        cmocka_unit_test(deltas_build_on_their_base_or_are_missed),
        cmocka_unit_test(maps_without_names_have_agreement_and_no_accuracy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
