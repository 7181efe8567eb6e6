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
static const int32_t id_of_phase[FLY_PHASES_USUAL] = {7, 3, 1, 0};

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

/* The largest square of chips that the truth gives to one phase alone, or to none. */
static int32_t square_of(const struct fly_truth *t, enum fly_phase phase, int32_t square[3])
{
    square[2] = 0;
    for (int32_t n = 1; n <= R; n++)
        for (int32_t r = 0; r + n <= R; r++)
            for (int32_t c = 0; c + n <= C && square[2] < n; c++) {
                int pure = 1;

                for (int32_t i = 0; i < n * n; i++)
                    pure &= t->label[(r + i / n) * C + c + i % n] == (int32_t)phase;
                if (pure)
                    memcpy(square, (int32_t[3]){r, c, n}, 3 * sizeof *square);
            }
    return square[2];
}

struct told {
    struct fly_pub_cluster cluster[FLY_PHASES_USUAL + 1];
    struct fly_pub_region region[FLY_PHASES_USUAL + 1];
    double percent[FLY_PHASES_USUAL + 1][3], sigma[FLY_PHASES_USUAL + 1][3];
};
static const char *const elements[] = {"La", "Fe", "C"};
static const enum fly_xray_element numbers[] = {FLY_EL_LA, FLY_EL_FE, FLY_EL_C};

/* Cluster 10 p is phase p, as it is but for what the tests change; told of three elements, brought to 100. */
static void tell_truth(struct told *told, const struct fly_specimen *s, const struct fly_truth *t)
{
    memset(told, 0, sizeof *told);
    for (int p = 0; p < FLY_PHASES_USUAL; p++) {
        double sum = 0.0;

        for (int e = 0; e < 3; e++)
            sum += s->atoms[p][numbers[e]];
        for (int e = 0; e < 3; e++) {
            told->percent[p][e] = 100.0 * s->atoms[p][numbers[e]] / sum;
            told->sigma[p][e] = 0.5;
        }
        assert_true(square_of(t, (enum fly_phase)p, told->region[p].square) > 0);
        told->region[p].found = s->d_nm[p] > 0.0 ? "crystalline" : "not_crystalline";
        told->region[p].snr = told->region[p].angle_deg = NAN;
        told->cluster[p] = (struct fly_pub_cluster){
            .id = 10 * p, .name = "a", .chips = t->count[p], .percent = told->percent[p], .sigma = told->sigma[p],
            .d_spacing_nm = {s->d_nm[p] > 0.0 ? s->d_nm[p] : NAN, s->d_nm[p] > 0.0 ? 0.001 : NAN},
            .crystallinity = NAN, .region = &told->region[p]};
    }
    told->cluster[FLY_PHASES_USUAL] = (struct fly_pub_cluster){
        .id = 77, .name = "gone", .event = "gone", .d_spacing_nm = {NAN, NAN}, .crystallinity = NAN};
}

static void say_clusters(struct said *said, const struct told *told, uint64_t seq, int final)
{
    struct fly_pub_clusters all = {.method = "ward", .modality = "haadf", .final = final, .elements = elements,
                                   .n_elements = 3, .clusters = told->cluster, .n_clusters = FLY_PHASES_USUAL + 1};
    struct fly_pub_id id = {.session = "s", .seq = seq, .t_ns = 5};
    struct fly_pack pack;

    fly_pack_init(&pack, said->bytes, sizeof said->bytes);
    assert_int_equal(fly_pub_clusters(&said->message, &pack, &id, &all), FLY_OK);
    assert_int_equal(fly_published_decode(&said->read, said->message.parts, said->message.n_parts), FLY_OK);
}

static const struct fly_cluster_score *score_of(const struct fly_judge *judge, enum fly_phase phase)
{
    const struct fly_clusters_score *all;

    assert_int_equal(fly_judge_clusters(judge, &all, 1), 1);
    assert_int_equal(all->n, FLY_PHASES_USUAL); /* without the one that is gone */
    for (int c = 0; c < all->n; c++)
        if (all->cluster[c].id == 10 * (int)phase)
            return &all->cluster[c];
    fail();
    return NULL;
}

static void clusters_stand_against_the_phase_they_are_of(void **state)
{
    struct fly_specimen *s = specimen();
    struct fly_truth *t = truth_of(s);
    struct fly_judge *judge = NULL;
    static struct said said;
    struct told told;
    const struct fly_clusters_score *all;
    const struct fly_cluster_score *one;
    int32_t labels[K];

    (void)state;
    assert_true(s->d_nm[FLY_CAP] == 0.0 && s->d_nm[FLY_LFO_DISORDERED] == 0.42);
    tell_truth(&told, s, t);
    assert_int_equal(fly_judge_open(&judge, s, "s"), FLY_OK);
    say_clusters(&said, &told, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    assert_int_equal(fly_judge_clusters(judge, &all, 1), 0); /* no start yet */
    say_start(&said, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    say_clusters(&said, &told, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    one = score_of(judge, FLY_LFO); /* nor a map: the square has its phase, the cluster has none */
    assert_true(one->phase == -1 && one->square_phase == FLY_LFO && one->right == 1 && isnan(one->percent_error));
    for (int k = 0; k < K; k++)
        labels[k] = 10 * t->label[k];
    say_map(&said, "ward", 1, FLY_PUB_KEYFRAME, 0, whole, labels, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);

    /* As they are. */
    say_clusters(&said, &told, 2, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 3.5, 0.25), FLY_OK);
    for (int p = 0; p < FLY_PHASES_USUAL; p++) {
        one = score_of(judge, (enum fly_phase)p);
        assert_true(one->phase == p && one->purity == 1.0 && one->square_phase == p && one->square_purity == 1.0);
        assert_true(one->right == 1 && one->told == (s->d_nm[p] > 0.0) && fabs(one->percent_error) < 1e-12);
        assert_true(s->d_nm[p] > 0.0 ? one->d_error_percent == 0.0 : isnan(one->d_error_percent));
    }
    assert_int_equal(fly_judge_clusters(judge, &all, 1), 1);
    assert_true(all->time_s == 3.5 && all->scanned == 0.25 && all->seq == 2 && !all->final);
    assert_true(fly_clusters_sum(all).told == 4 && fly_clusters_sum(all).right == 4);

    /* Wrong in every way. */
    told.cluster[FLY_STO].d_spacing_nm[0] *= 1.01;
    told.cluster[FLY_LFO].d_spacing_nm[0] *= 0.98;
    told.region[FLY_CAP].found = "crystalline";
    told.cluster[FLY_CAP].d_spacing_nm[0] = 0.4;
    told.region[FLY_LFO_DISORDERED].found = "not_crystalline";
    told.cluster[FLY_LFO_DISORDERED].d_spacing_nm[0] = NAN;
    told.percent[FLY_LFO][0] += 3.0;
    told.percent[FLY_LFO][1] -= 3.0;
    say_clusters(&said, &told, 3, 1);
    assert_int_equal(fly_judge_hear(judge, &said.read, 4, 1), FLY_OK);
    one = score_of(judge, FLY_STO);
    assert_true(one->right == 1 && fabs(one->d_error_percent - 1.0) < 1e-9 && fabs(one->d_error_sigma - 3.905) < 1e-6);
    one = score_of(judge, FLY_LFO);
    assert_true(fabs(one->d_error_percent + 2.0) < 1e-9 && fabs(one->percent_error - sqrt(6.0)) < 1e-9);
    assert_true(fabs(one->percent_sigma - 2.0 * sqrt(6.0)) < 1e-9);
    one = score_of(judge, FLY_CAP);
    assert_true(one->told == 1 && one->right == 0 && isnan(one->d_true_nm) && isnan(one->d_error_percent));
    one = score_of(judge, FLY_LFO_DISORDERED);
    assert_true(one->told == 0 && one->right == 0 && isnan(one->d_error_percent));
    assert_int_equal(fly_judge_clusters(judge, &all, 1), 1);
    struct fly_clusters_sum sum = fly_clusters_sum(all);

    assert_true(sum.told == 4 && sum.right == 2 && all->final);
    assert_true(fabs(sum.d_error_percent - sqrt((1.0 * t->count[FLY_STO] + 4.0 * t->count[FLY_LFO]) /
                                                (t->count[FLY_STO] + t->count[FLY_LFO]))) < 1e-9);
    assert_true(fabs(sum.percent_error - sqrt(6.0 * t->count[FLY_LFO] / K)) < 1e-9);

    /* Half of the square is another phase's: the majority decides, and its share is told. */
    told.region[FLY_STO].found = "not_measurable";
    memcpy(told.region[FLY_STO].square, (int32_t[3]){0, 0, R}, 3 * sizeof(int32_t));
    say_clusters(&said, &told, 4, 1);
    assert_int_equal(fly_judge_hear(judge, &said.read, 4, 1), FLY_OK);
    one = score_of(judge, FLY_STO);
    assert_true(one->told == -1 && one->right == -1 && one->square_purity < 1.0 && one->square_phase >= 0);
    say_clusters(&said, &told, 3, 1); /* repeated for someone who came late */
    assert_int_equal(fly_judge_hear(judge, &said.read, 9, 1), FLY_OK);
    assert_int_equal(fly_judge_clusters(judge, &all, 1), 1);
    assert_true(all->time_s == 4);
    memcpy(told.region[FLY_STO].square, (int32_t[3]){1, 0, R}, 3 * sizeof(int32_t));
    say_clusters(&said, &told, 5, 1);
    assert_int_equal(fly_judge_hear(judge, &said.read, 4, 1), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "leaves"));
    fly_judge_close(&judge);
    fly_truth_close(&t);
    fly_specimen_close(&s);
}

static void clusters_stand_in_the_file(void **state)
{
    char path[] = "/tmp/flyback-judge-XXXXXX";
    struct fly_specimen *s = specimen();
    struct fly_truth *t = truth_of(s);
    struct fly_judge *judge = NULL;
    static struct said said;
    struct told told;

    (void)state;
    tell_truth(&told, s, t);
    told.cluster[FLY_STO].d_spacing_nm[0] *= 1.01;
    assert_int_equal(fly_judge_open(&judge, s, "s"), FLY_OK);
    say_start(&said, 1, 0);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    say_clusters(&said, &told, 1, 1);
    assert_int_equal(fly_judge_hear(judge, &said.read, 0, 0), FLY_OK);
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fly_judge_write(judge, path), FLY_OK);
    json_t *json = json_load_file(path, 0, NULL);
    json_t *ward = json_object_get(json_object_get(json_object_get(json, "clusters"), "ward"), "haadf");
    json_t *list = json_object_get(ward, "clusters");

    assert_int_equal(json_integer_value(json_object_get(ward, "lattices_right")), 4);
    assert_true(fabs(json_real_value(json_object_get(ward, "d_error_percent")) -
                     sqrt((double)t->count[FLY_STO] / (K - t->count[FLY_CAP]))) < 1e-9);
    assert_int_equal(json_array_size(list), FLY_PHASES_USUAL);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        int p = (int)json_integer_value(json_object_get(one, "id")) / 10;

        assert_string_equal(json_string_value(json_object_get(one, "square_phase")), fly_phase_name((enum fly_phase)p));
        assert_true(json_is_null(json_object_get(one, "phase")));
        assert_true(json_is_null(json_object_get(one, "d_nm")) == (s->d_nm[p] == 0.0));
    }
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
        cmocka_unit_test(clusters_stand_against_the_phase_they_are_of),
        cmocka_unit_test(clusters_stand_in_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
