#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/map/map_rig.h"

enum { N = 48, EPOCHS = 60 };

static const struct fly_cluster *of(const struct rig *rig, int32_t id)
{
    for (int32_t c = 0; c < rig->story.count + rig->story.gone; c++)
        if (rig->story.cluster[c].id == id)
            return &rig->story.cluster[c];
    return NULL;
}

static void assert_told(const struct rig *rig, int32_t id, int32_t chips, int32_t before, uint32_t events)
{
    const struct fly_cluster *cluster = of(rig, id);

    assert_non_null(cluster);
    assert_int_equal(cluster->chips, chips);
    assert_int_equal(cluster->before, before);
    assert_int_equal(cluster->events, events);
}

static void assert_parents(const struct rig *rig, int32_t id, int32_t count, int32_t first, int32_t second)
{
    const struct fly_cluster *cluster = of(rig, id);

    assert_int_equal(cluster->parents, count);
    if (count > 0)
        assert_int_equal(cluster->parent[0], first);
    if (count > 1)
        assert_int_equal(cluster->parent[1], second);
}

static void a_life_is_told(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 16, 3);
    rig_draw(&rig, "aaaaaaaa........");
    assert_told(&rig, 0, 8, 0, FLY_CLUSTER_BORN);
    assert_string_equal(fly_cluster_word(of(&rig, 0)), "born");
    rig_draw(&rig, "aaaaaaaaaabbbb..");
    assert_told(&rig, 0, 10, 8, 0);
    assert_null(fly_cluster_word(of(&rig, 0)));
    assert_told(&rig, 1, 4, 0, FLY_CLUSTER_BORN);
    assert_int_equal(rig.story.count_before, 1);
    rig_draw(&rig, "aaaaabbbbbcccc..");
    assert_told(&rig, 0, 5, 10, FLY_CLUSTER_SPLIT);
    assert_told(&rig, 2, 5, 0, FLY_CLUSTER_BORN | FLY_CLUSTER_SPLIT);
    assert_parents(&rig, 0, 1, 0, 0);
    assert_parents(&rig, 2, 1, 0, 0);
    assert_parents(&rig, 1, 0, 0, 0);
    assert_int_equal(rig.story.splits, 1);
    assert_string_equal(fly_cluster_word(of(&rig, 2)), "split");
    rig_draw(&rig, "aaaaabbbbbbbbbbb");
    assert_told(&rig, 2, 11, 5, FLY_CLUSTER_MERGED | FLY_CLUSTER_GREW);
    assert_parents(&rig, 2, 2, 1, 2);
    assert_told(&rig, 1, 0, 4, FLY_CLUSTER_GONE);
    assert_string_equal(fly_cluster_word(of(&rig, 1)), "gone");
    assert_string_equal(fly_cluster_word(of(&rig, 2)), "merged");
    assert_int_equal(rig.story.merges, 1);
    assert_int_equal(rig.story.gone, 1);
    assert_null(fly_story_find(&rig.story, 1));
    rig_draw(&rig, "aaaaabbbbbbccccc");
    assert_told(&rig, 1, 5, 0, FLY_CLUSTER_REVIVED | FLY_CLUSTER_SPLIT);
    assert_parents(&rig, 1, 1, 2, 0);
    assert_int_equal(rig.story.count, 3);
    assert_int_equal(rig.story.gone, 0);
    rig_close(&rig);
}

/* Exactly a quarter counts, of the chips that are present in both maps. */
static void a_quarter_is_enough(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 20, 3);
    rig_draw(&rig, "aaaaaaaaaaaabbbbbbb.");
    rig_draw(&rig, "aaaaaaaaabbbbbbbbbb.");
    assert_told(&rig, 1, 10, 7, FLY_CLUSTER_SPLIT | FLY_CLUSTER_MERGED);
    assert_parents(&rig, 1, 2, 0, 1);
    assert_told(&rig, 0, 9, 12, FLY_CLUSTER_SPLIT);
    rig_draw(&rig, "aaaaaaaaabbbbbbbbbb.");
    assert_told(&rig, 1, 10, 10, 0);
    rig_draw(&rig, "aaaaaaabbbbbbbbbbbb."); /* two of nine */
    assert_told(&rig, 1, 12, 10, 0);
    rig_draw(&rig, "aaaaa-bbbbbbbbbbbbbb"); /* one of six that are still there */
    assert_told(&rig, 1, 14, 12, 0);
    assert_told(&rig, 0, 5, 7, 0);
    rig_draw(&rig, "aaa--bbbbbbbbbbbbbbb"); /* none of three: chip 5 was not in it */
    assert_told(&rig, 1, 15, 14, 0);
    rig_draw(&rig, "--bbbbbbbbbbbbbbbbbb"); /* all of one */
    assert_told(&rig, 1, 18, 15, FLY_CLUSTER_MERGED);
    assert_told(&rig, 0, 0, 3, FLY_CLUSTER_GONE);
    rig_close(&rig);
}

/* Everything that is told, beside plain loops over the two maps. */
static void all_is_told_as_plain_loops_see_it(void **state)
{
    long merges = 0, splits = 0, revived = 0, weak = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fly_rng rng = {seed};
        static struct rig rig;
        static int32_t raw[N], was[N];
        int32_t clusters = 2 + (int32_t)(seed % 6), known = 0;

        rig_open(&rig, N, seed % 2 ? 3 : 1);
        for (int32_t i = 0; i < N; i++) {
            raw[i] = i * clusters / N;
            was[i] = -1;
        }
        for (int e = 0; e < EPOCHS; e++) {
            const int32_t *now = rig.identity.label;
            int32_t told = 0, parents[300] = {0}, before[300] = {0}, size[300] = {0}, children[300] = {0}, last = -1;
            static int32_t both[300][300], there[300], here[300];

            wander(&rng, raw, N, clusters);
            rig_step(&rig, raw);
            memset(both, 0, sizeof both);
            memset(there, 0, sizeof there);
            memset(here, 0, sizeof here);
            for (int32_t i = 0; i < N; i++) {
                int a = was[i] >= 0 || was[i] == FLY_MAP_MINOR, b = now[i] >= 0 || now[i] == FLY_MAP_MINOR;

                assert_true(now[i] < 300);
                before[was[i] >= 0 ? was[i] : 299] += was[i] >= 0;
                size[now[i] >= 0 ? now[i] : 299] += now[i] >= 0;
                if (a && b && was[i] >= 0)
                    there[was[i]]++;
                if (a && b && now[i] >= 0)
                    here[now[i]]++;
                if (was[i] >= 0 && now[i] >= 0)
                    both[was[i]][now[i]]++;
            }
            for (int32_t a = 0; a < 300; a++)
                for (int32_t b = 0; b < 300; b++)
                    if (both[a][b] > 0 && 4 * both[a][b] >= there[a]) {
                        children[a]++;
                        parents[b]++;
                    }
            for (int32_t id = 0; id < 299; id++) {
                const struct fly_cluster *c = of(&rig, id);
                uint32_t events = 0;
                int parted = 0;

                if (size[id] == 0 && before[id] == 0) {
                    assert_null(c);
                    continue;
                }
                told++;
                for (int32_t a = 0; a < 300; a++)
                    parted |= both[a][id] > 0 && 4 * both[a][id] >= there[a] && children[a] >= 2;
                events |= size[id] == 0 ? FLY_CLUSTER_GONE : 0;
                events |= before[id] == 0 ? (id >= known ? FLY_CLUSTER_BORN : FLY_CLUSTER_REVIVED) : 0;
                events |= parted ? FLY_CLUSTER_SPLIT : 0;
                events |= parents[id] >= 2 ? FLY_CLUSTER_MERGED : 0;
                events |= before[id] > 0 && 2 * size[id] > 3 * before[id] ? FLY_CLUSTER_GREW : 0;
                if (both[id][id] > 0 && 10 * both[id][id] < 3 * (there[id] + here[id] - both[id][id]))
                    events |= FLY_CLUSTER_WEAK;
                assert_told(&rig, id, size[id], before[id], events);
                assert_ptr_equal(fly_story_find(&rig.story, id), size[id] ? c : NULL);
                assert_int_equal(c->parents, parted || parents[id] >= 2 ? parents[id] : 0);
                for (int32_t p = 0; p < c->parents; p++) {
                    assert_true(4 * both[c->parent[p]][id] >= there[c->parent[p]] && both[c->parent[p]][id] > 0);
                    assert_true(p == 0 || c->parent[p] > c->parent[p - 1]);
                }
                merges += parents[id] >= 2;
                splits += parted;
                revived += (events & FLY_CLUSTER_REVIVED) != 0;
                weak += (events & FLY_CLUSTER_WEAK) != 0;
            }
            assert_int_equal(told, rig.story.count + rig.story.gone);
            for (int32_t c = 0; c < rig.story.count; c++) {
                assert_true(rig.story.cluster[c].id > last);
                last = rig.story.cluster[c].id;
            }
            known = rig.identity.next_id;
            memcpy(was, now, sizeof was);
        }
        rig_close(&rig);
    }
    assert_true(merges > 100 && splits > 100 && revived > 20 && weak > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_is_told),
        cmocka_unit_test(a_quarter_is_enough),
        cmocka_unit_test(all_is_told_as_plain_loops_see_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
