#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/map/flicker.h"
#include "tests/unit/engine/map/map_rig.h"

enum { N = 60, CLUSTERS = 6, EPOCHS = 40, MANY = 64 };

/* ---- properties over random stories -------------------------------------------------------------- */

/* Two that are handed the same partitions under other numbers publish the same maps and keep the same state. */
static void numbers_of_clusters_change_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fly_rng rng = {seed};
        static struct rig one, two;
        static int32_t raw[N], other[N];
        static uint8_t revised[N];
        static float typical[N];
        int32_t smallest = seed % 2 ? 3 : 1;

        rig_open(&one, N, smallest);
        rig_open(&two, N, smallest);
        for (int32_t i = 0; i < N; i++)
            raw[i] = seed % 3 ? (int32_t)fly_rng_below(&rng, CLUSTERS) : i * CLUSTERS / N; /* equal ones: ties */
        for (int e = 0; e < EPOCHS; e++) {
            wander(&rng, raw, N, CLUSTERS);
            renumber(&rng, raw, other, N);
            for (int32_t i = 0; i < N; i++) {
                revised[i] = fly_rng_below(&rng, 4) == 0;
                typical[i] = fly_rng_below(&rng, 9) ? (float)fly_rng_below(&rng, 5) : NAN;
            }
            fly_identity_step(&one.identity, raw, e % 2 ? revised : NULL, e % 5 ? NULL : typical, &one.scratch);
            fly_identity_step(&two.identity, other, e % 2 ? revised : NULL, e % 5 ? NULL : typical, &two.scratch);
            assert_memory_equal(one.identity.label, two.identity.label, sizeof raw);
            assert_int_equal(one.identity.count, two.identity.count);
            assert_memory_equal(one.identity.id, two.identity.id, (size_t)one.identity.count * sizeof(int32_t));
            assert_int_equal(one.identity.next_id, two.identity.next_id);
            assert_memory_equal(one.identity.anchor, two.identity.anchor,
                                (size_t)one.identity.count * sizeof(int32_t));
        }
        assert_true(one.identity.next_id > CLUSTERS);
        rig_close(&one);
        rig_close(&two);
    }
}

/* How good a naming is, first things first. */
struct worth {
    int32_t still, chips, anchors, ages;
};

static int better(struct worth a, struct worth b)
{
    return a.still != b.still     ? a.still > b.still
           : a.chips != b.chips   ? a.chips > b.chips
           : a.anchors != b.anchors ? a.anchors > b.anchors
                                  : a.ages > b.ages;
}

/* What is known of two maps: worth of giving cluster b the id a, by plain counts. */
struct pairs {
    int32_t rows, cols;
    struct worth of[8][MANY];
};

static struct worth best_naming(const struct pairs *pairs, int32_t row, uint64_t taken)
{
    struct worth best;

    if (row == pairs->rows)
        return (struct worth){0};
    best = best_naming(pairs, row + 1, taken); /* a new id */
    for (int32_t col = 0; col < pairs->cols; col++) {
        struct worth rest, w = pairs->of[row][col];

        if (taken >> col & 1 || w.chips == 0)
            continue;
        rest = best_naming(pairs, row + 1, taken | (uint64_t)1 << col);
        w = (struct worth){w.still + rest.still, w.chips + rest.chips, w.anchors + rest.anchors, w.ages + rest.ages};
        if (better(w, best))
            best = w;
    }
    return best;
}

/* The chip that an id hangs on in a map: the one that has had it for longest. */
static int32_t anchor_of(int32_t maps[][N], int e, int32_t id)
{
    int32_t best = -1;
    int longest = 0;

    for (int32_t i = 0; i < N; i++) {
        int had = 0;

        while (had <= e && maps[e - had][i] == id)
            had++;
        if (had > longest) {
            longest = had;
            best = i;
        }
    }
    return best;
}

static void fill_pairs(struct pairs *pairs, int32_t maps[][N], int e, const uint8_t *revised)
{
    int32_t ids[2][MANY], count[2] = {0, 0};

    for (int m = 0; m < 2; m++)
        for (int32_t id = 0; id < MANY * 8; id++)
            for (int32_t i = 0; i < N; i++)
                if (maps[e - 1 + m][i] == id) {
                    ids[m][count[m]++] = id;
                    break;
                }
    pairs->rows = count[1];
    pairs->cols = count[0];
    assert_true(pairs->rows <= 8 && pairs->cols <= MANY);
    for (int32_t r = 0; r < pairs->rows; r++)
        for (int32_t c = 0; c < pairs->cols; c++) {
            struct worth w = {.ages = pairs->cols - c};

            for (int32_t i = 0; i < N; i++)
                if (maps[e][i] == ids[1][r] && maps[e - 1][i] == ids[0][c]) {
                    w.chips++;
                    w.still += !revised || !revised[i];
                }
            w.anchors = maps[e][anchor_of(maps, e - 1, ids[0][c])] == ids[1][r];
            pairs->of[r][c] = w;
        }
}

/* What was kept is worth as much as the best of all namings, tried in turn; and no flicker was avoidable, by a
 * count of it as by flicker.h. */
static void the_naming_is_the_best_of_all(void **state)
{
    long flickers = 0, ties = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fly_rng rng = {seed};
        static struct rig rig;
        static int32_t raw[N], maps[EPOCHS][N];
        static uint8_t revised[N];
        int32_t clusters = 2 + (int32_t)(seed % 4);

        rig_open(&rig, N, seed % 2 ? 3 : 1);
        for (int32_t i = 0; i < N; i++)
            raw[i] = i * clusters / N;
        for (int e = 0; e < EPOCHS; e++) {
            struct fly_flicker flicker;
            struct worth had = {0}, best;
            static struct pairs pairs;
            const uint8_t *content = e % 3 ? revised : NULL;

            if (e % 2)
                wander(&rng, raw, N, clusters);
            else
                for (int32_t i = 0; i < N; i++) /* halves and thirds: ties */
                    raw[i] = i % 2 ? i * clusters / N : i % clusters;
            for (int32_t i = 0; i < N; i++)
                revised[i] = e % 9 == 4 || fly_rng_below(&rng, 5) == 0;
            fly_identity_step(&rig.identity, raw, content, NULL, &rig.scratch);
            memcpy(maps[e], rig.identity.label, sizeof maps[e]);
            if (e == 0)
                continue;
            fill_pairs(&pairs, maps, e, content);
            best = best_naming(&pairs, 0, 0);
            for (int32_t a = 0, col = -1; a < MANY * 8; a++) {
                int there = 0, stayed = 0;
                struct worth w = {0};

                for (int32_t i = 0; i < N; i++) {
                    there |= maps[e - 1][i] == a;
                    if (maps[e - 1][i] != a || maps[e][i] != a)
                        continue;
                    stayed = 1;
                    w.chips++;
                    w.still += !content || !content[i];
                }
                col += there;
                if (!stayed)
                    continue;
                w.anchors = maps[e][anchor_of(maps, e - 1, a)] == a;
                w.ages = pairs.cols - col;
                had = (struct worth){had.still + w.still, had.chips + w.chips, had.anchors + w.anchors,
                                     had.ages + w.ages};
            }
            assert_memory_equal(&had, &best, sizeof had);
            flicker = fly_flicker(maps[e - 1], maps[e], content, N, &rig.scratch);
            assert_int_equal(flicker.avoidable, 0);
            assert_int_equal(flicker.chips - flicker.changed, best.still);
            flickers += flicker.changed;
            ties += had.anchors > 0;
        }
        rig_close(&rig);
    }
    assert_true(flickers > 1000 && ties > 100);
}

static int present(int32_t label)
{
    return label >= 0 || label == FLY_MAP_MINOR;
}

/* Is what had the id `a` in one map half or more of what two maps share with cluster `b` of another? */
static int alike(const int32_t *then, int32_t a, const int32_t *now, int32_t b)
{
    int32_t both = 0, either = 0;

    for (int32_t i = 0; i < N; i++) {
        if (!present(then[i]) || !present(now[i]))
            continue;
        both += then[i] == a && now[i] == b;
        either += then[i] == a || now[i] == b;
    }
    return either > 0 && 2 * both >= either;
}

/* The last map before e that has the id, -1. */
static int last_with(int32_t maps[][N], int e, int32_t id)
{
    for (int f = e - 1; f >= 0; f--)
        for (int32_t i = 0; i < N; i++)
            if (maps[f][i] == id)
                return f;
    return -1;
}

/* An id that is not of the last map is the next one, or went within five epochs and is alike to what it was then;
 * and a new id is given only where no such id is left. */
static void ids_come_back_alike_or_never(void **state)
{
    int32_t revived = 0, born = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fly_rng rng = {seed};
        static struct rig rig;
        static int32_t raw[N], maps[EPOCHS][N];
        int32_t clusters = 2 + (int32_t)(seed % 5);

        rig_open(&rig, N, seed % 2 ? 3 : 1);
        for (int32_t i = 0; i < N; i++)
            raw[i] = i * clusters / N;
        for (int e = 0; e < EPOCHS; e++) {
            int32_t known = rig.identity.next_id, next = known;

            wander(&rng, raw, N, clusters);
            if (e % 4 == 3) /* most have been here before */
                for (int32_t i = 0; i < N; i++)
                    raw[i] = i * clusters / N;
            fly_identity_step(&rig.identity, raw, NULL, NULL, &rig.scratch);
            memcpy(maps[e], rig.identity.label, sizeof maps[e]);
            for (int32_t i = 0; i < N; i++)
                for (int32_t j = 0; j < i; j++)
                    if (maps[e][i] >= 0 && maps[e][j] >= 0)
                        assert_int_equal(raw[i] == raw[j], maps[e][i] == maps[e][j]);
            for (int32_t i = 0; i < N; i++) { /* by first chip */
                int32_t id = maps[e][i];
                int f;

                if (id < 0 || (id < known && last_with(maps, e, id) == e - 1))
                    continue;
                if (id < known) {
                    f = last_with(maps, e, id);
                    assert_true(e - (f + 1) >= 1 && e - (f + 1) <= FLY_MAP_REMEMBERED);
                    assert_true(alike(maps[f], id, maps[e], id));
                    revived++;
                    continue;
                }
                if (id < next)
                    continue; /* seen already */
                assert_int_equal(id, next++);
                born++;
                for (int32_t a = 0; a < known; a++) {
                    f = last_with(maps, e, a);
                    if (f == e - 1 || e - (f + 1) > FLY_MAP_REMEMBERED || last_with(maps, e + 1, a) == e)
                        continue;
                    assert_false(alike(maps[f], a, maps[e], id));
                }
            }
            assert_int_equal(next, rig.identity.next_id);
        }
        rig_close(&rig);
    }
    assert_true(revived > 50 && born > 300);
}

/* ---- stories ------------------------------------------------------------------------------------- */

/* A scan from the top: clusters keep their ids however they are numbered, new ones get the next. */
static void ids_stay_while_a_scan_grows(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 16, 3);
    rig_draw(&rig, "aaaa............");
    assert_map(&rig, "0000............");
    rig_draw(&rig, "bbbbbaaa........");
    assert_map(&rig, "00000111........");
    rig_draw(&rig, "aaaaabbbabbbcccc");
    assert_map(&rig, "0000011101112222");
    rig_draw(&rig, "cccccbbbcbbb-?aa"); /* two have too little, or nothing that is known */
    assert_map(&rig, "000001110111-?__");
    assert_int_equal(rig.identity.count, 2);
    rig_close(&rig);
}

/* Four phases come into view row by row, one chip in 30 taken for another; at two fifths of the scan two of them are
 * one for three rows. Criteria A9 and A10, as far as they are this room's. */
static void phases_keep_their_ids_through_a_scan(void **state)
{
    enum { SIDE = 51, CHIPS = SIDE * SIDE, FROM = 7 * SIDE / 10 };
    static struct rig rig;
    static int32_t maps[SIDE][CHIPS], raw[CHIPS];
    const int32_t *from[SIDE];
    struct fly_rng rng = {51};
    int32_t chips, later = 0;

    (void)state;
    rig_open(&rig, CHIPS, 3);
    for (int32_t row = 0; row < SIDE; row++) {
        int32_t turn = (int32_t)fly_rng_below(&rng, 1000);

        for (int32_t i = 0; i < CHIPS; i++) {
            int32_t kind = i % SIDE * 4 / SIDE;

            if (kind == 3 && i / SIDE < SIDE / 4)
                kind = 2; /* the last comes late */
            if (fly_rng_at((uint64_t)i) % 30 == 0)
                kind = (kind + 1) % 4;
            if (kind == 1 && row >= 20 && row < 23)
                kind = 2;
            raw[i] = i / SIDE <= row ? (kind + turn) % 4 + 10 * turn : -1;
        }
        rig_step(&rig, raw);
        memcpy(maps[row], rig.identity.label, sizeof raw);
        from[row] = maps[row];
        if (row > 0)
            assert_int_equal(fly_flicker(maps[row - 1], maps[row], NULL, CHIPS, &rig.scratch).avoidable, 0);
        if (row >= FROM)
            later += fly_reversals(from + row - 3, FLY_REVERSAL_MAPS, CHIPS, &chips);
    }
    assert_int_equal(fly_kept_final(from + FROM, SIDE - FROM, CHIPS, &chips), CHIPS);
    assert_int_equal(chips, CHIPS);
    assert_int_equal(later, 0);
    assert_int_equal(rig.identity.next_id, 4); /* what parted had its id back */
    rig_close(&rig);
}

/* Of equal halves the one goes on that holds the chip which has had the id for longest, or the most typical. */
static void the_anchor_decides_between_halves(void **state)
{
    const float typical[8] = {NAN, 0.1f, 0.2f, 0.2f, NAN, 0.9f, 0.9f, NAN};
    static struct rig rig;

    (void)state;
    rig_open(&rig, 8, 1);
    rig_draw(&rig, "....aaaa");
    rig_draw(&rig, "aaaaaaaa");
    assert_map(&rig, "00000000");
    rig_draw(&rig, "aaaabbbb"); /* the first half came later */
    assert_map(&rig, "11110000");
    rig_close(&rig);

    rig_open(&rig, 8, 1);
    rig_draw(&rig, "aaaaaaaa");
    rig_draw(&rig, "aaaabbbb"); /* all equal: the first chip */
    assert_map(&rig, "00001111");
    rig_close(&rig);

    rig_open(&rig, 8, 1);
    fly_identity_step(&rig.identity, drawn("aaaaaaaa"), NULL, typical, &rig.scratch);
    rig_draw(&rig, "aaaabbbb");
    assert_map(&rig, "11110000");
    rig_close(&rig);
}

/* As many chips keep their id where cluster 2 goes on as where cluster 1 does. */
static void the_older_id_goes_on(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 25, 2);
    rig_draw(&rig, "aaabbbbbccccddddddddddddd");
    rig_draw(&rig, ".aa.bbbb.ccc.bbbbbaaacccc"); /* the anchors have no say */
    assert_map(&rig, ".00.1111.333.111110003333");
    rig_close(&rig);
}

/* Revised chips count only where the others are undecided. */
static void unrevised_chips_count_first(void **state)
{
    const uint8_t some[8] = {0, 0, 0, 1, 1, 1, 1, 1}, all[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    static struct rig rig;

    (void)state;
    rig_open(&rig, 8, 1);
    rig_draw(&rig, "aaaaaaaa");
    fly_identity_step(&rig.identity, drawn("aaabbbbb"), some, NULL, &rig.scratch);
    assert_map(&rig, "00011111");
    fly_identity_step(&rig.identity, drawn("bbbbbbaa"), all, NULL, &rig.scratch);
    assert_map(&rig, "00000011");
    rig_close(&rig);
}

/* Two merge: the older id stays at a tie, the larger otherwise; parted again each has its own back. */
static void a_merged_cluster_has_its_id_back_when_it_parts(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 12, 3);
    rig_draw(&rig, "aaaaaabbbbbb");
    assert_map(&rig, "000000111111");
    rig_draw(&rig, "aaaaaaaaaaaa");
    assert_map(&rig, "000000000000");
    rig_draw(&rig, "bbbbbbaaaaaa");
    assert_map(&rig, "000000111111");
    rig_draw(&rig, "aaaabbbbbbbb");
    assert_map(&rig, "000011111111");
    rig_draw(&rig, "aaaaaaaaaaaa");
    assert_map(&rig, "111111111111");
    rig_draw(&rig, "aaaabbbbbbbb");
    assert_map(&rig, "000011111111");
    rig_close(&rig);
}

/* Five epochs, not six; half alike, not less. */
static void what_went_is_remembered_for_five_epochs(void **state)
{
    static struct rig rig;

    (void)state;
    for (int away = 1; away <= 7; away++) {
        rig_open(&rig, 8, 3);
        rig_draw(&rig, "aaaabbbb");
        for (int e = 0; e < away; e++)
            rig_draw(&rig, "aaaa----");
        rig_draw(&rig, "aaaabbbb"); /* went at the first of those; `away` epochs later */
        assert_map(&rig, away <= FLY_MAP_REMEMBERED ? "00001111" : "00002222");
        rig_close(&rig);
    }
    rig_open(&rig, 12, 3);
    rig_draw(&rig, "aaaaaabbbb--");
    rig_draw(&rig, "aaaaaaaaaaaa");
    rig_draw(&rig, "aaaaaaaabbbb"); /* two of four, and of the new ones none was present then: 2 / 4 */
    assert_map(&rig, "000000001111");
    rig_draw(&rig, "aaaaaaaaaaaa");
    rig_draw(&rig, "aaaaaaaaa..."); /* not even present */
    rig_draw(&rig, "aaaaaaaaabbb"); /* three of four */
    assert_map(&rig, "000000000111");
    rig_draw(&rig, "aaaaaaaaaaaa");
    rig_draw(&rig, "aaaaaabbbbba"); /* two of six */
    assert_map(&rig, "000000222220");
    rig_close(&rig);
}

/* What came back is not remembered as gone, whoever went with it. */
static void an_id_comes_back_once(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 24, 3);
    rig_draw(&rig, "aaaaaaaabbbbcccc........");
    rig_draw(&rig, "aaaaaaaaaaaaaaaa........");
    rig_draw(&rig, "aaaaaaaabbbbaaaa........");
    rig_draw(&rig, "aaaaaaaabbbbaaaabbbbbbbb");
    assert_map(&rig, "000000001111000011111111");
    rig_draw(&rig, "aaaaaaaaddddaaaabbbbbbbb");
    assert_map(&rig, "000000003333000011111111");
    rig_draw(&rig, "aaaaaaaaddddccccbbbbbbbb");
    assert_map(&rig, "000000003333222211111111");
    rig_close(&rig);
}

static void minor_clusters_have_no_id(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 9, 3);
    rig_draw(&rig, "aabbbcdd?");
    assert_map(&rig, "__000___?");
    rig_draw(&rig, "aabbeccc."); /* it fell below three; another rose */
    assert_map(&rig, "_____111.");
    rig_draw(&rig, "ccaaaddd?"); /* and has its id back */
    assert_map(&rig, "__000111?");
    assert_int_equal(rig.identity.count, 2);
    assert_int_equal(rig.identity.next_id, 2);
    rig_close(&rig);
}

/* The largest of four equal parts goes on although its Jaccard index is a quarter. */
static void a_match_is_kept_however_little_is_left(void **state)
{
    static struct rig rig;
    const struct fly_cluster *cluster;

    (void)state;
    rig_open(&rig, 16, 3);
    rig_draw(&rig, "aaaaaaaaaaaaaaaa");
    rig_draw(&rig, "aaaabbbbccccdddd");
    assert_map(&rig, "0000111122223333");
    cluster = fly_story_find(&rig.story, 0);
    assert_true(cluster->events & FLY_CLUSTER_WEAK);
    assert_true(fly_story_find(&rig.story, 1)->events == (FLY_CLUSTER_BORN | FLY_CLUSTER_SPLIT));
    rig_close(&rig);
}

/* ---- bounds -------------------------------------------------------------------------------------- */

static void every_chip_may_be_a_cluster(void **state)
{
    enum { MOST = 4096 };
    static struct rig rig;
    int32_t *raw = malloc(MOST * sizeof *raw), *before = malloc(MOST * sizeof *before);
    struct fly_rng rng = {5};

    (void)state;
    rig_open(&rig, MOST, 1);
    for (int e = 0; e < 4; e++) {
        for (int32_t i = 0; i < MOST; i++)
            raw[i] = e % 2 ? MOST - i : i;
        rig_step(&rig, raw);
        for (int32_t i = 0; i < MOST; i++)
            assert_int_equal(rig.identity.label[i], i);
        assert_int_equal(rig.story.count, MOST);
    }
    /* At random in hundreds, all different each time: the most there is to match. */
    for (int e = 0; e < 8; e++) {
        memcpy(before, rig.identity.label, MOST * sizeof *before);
        for (int32_t i = 0; i < MOST; i++)
            raw[i] = (int32_t)fly_rng_below(&rng, 300);
        rig_step(&rig, raw);
        assert_int_equal(rig.identity.count, 300);
        assert_int_equal(fly_flicker(before, rig.identity.label, NULL, MOST, &rig.scratch).avoidable, 0);
    }
    free(raw);
    free(before);
    rig_close(&rig);
}

static void a_map_may_be_empty(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 0, 3);
    rig_step(&rig, NULL);
    assert_int_equal(rig.identity.count, 0);
    rig_close(&rig);
    rig_open(&rig, 4, 3);
    for (int e = 0; e < 12; e++)
        rig_draw(&rig, e % 2 ? "....": "-?.-");
    assert_map(&rig, "....");
    rig_draw(&rig, "aaa.");
    assert_map(&rig, "000.");
    rig_draw(&rig, "....");
    assert_int_equal(rig.story.gone, 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_clusters_change_nothing),
        cmocka_unit_test(the_naming_is_the_best_of_all),
        cmocka_unit_test(ids_come_back_alike_or_never),
        cmocka_unit_test(ids_stay_while_a_scan_grows),
        cmocka_unit_test(phases_keep_their_ids_through_a_scan),
        cmocka_unit_test(the_anchor_decides_between_halves),
        cmocka_unit_test(the_older_id_goes_on),
        cmocka_unit_test(unrevised_chips_count_first),
        cmocka_unit_test(a_merged_cluster_has_its_id_back_when_it_parts),
        cmocka_unit_test(what_went_is_remembered_for_five_epochs),
        cmocka_unit_test(an_id_comes_back_once),
        cmocka_unit_test(minor_clusters_have_no_id),
        cmocka_unit_test(a_match_is_kept_however_little_is_left),
        cmocka_unit_test(every_chip_may_be_a_cluster),
        cmocka_unit_test(a_map_may_be_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
