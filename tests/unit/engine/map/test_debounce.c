#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/map/debounce.h"
#include "tests/unit/engine/map/map_rig.h"

enum { N = 8 };

struct shown {
    struct fly_arena arena;
    struct fly_debounce debounce;
    struct rig rig;
};

static void open_shown(struct shown *s)
{
    assert_int_equal(fly_arena_init(&s->arena, fly_debounce_need(N), NULL, "shown"), FLY_OK);
    fly_debounce_init(&s->debounce, N, &s->arena);
    rig_open(&s->rig, N, 1);
}

static void close_shown(struct shown *s)
{
    fly_arena_fini(&s->arena);
    rig_close(&s->rig);
}

/* Clusters are numbered as they will be told. */
static void step(struct shown *s, const char *map, const float *margin, const char *shown)
{
    rig_draw(&s->rig, map);
    assert_memory_equal(s->rig.identity.label, drawn(map), N * sizeof(int32_t));

    int32_t before[N], waiting = 0;

    memcpy(before, s->debounce.shown, sizeof before);
    int changed = fly_debounce_step(&s->debounce, s->rig.identity.label, margin, &s->rig.story);

    assert_memory_equal(s->debounce.shown, drawn(shown), N * sizeof(int32_t));
    assert_int_equal(changed, memcmp(before, s->debounce.shown, sizeof before) != 0);
    for (int i = 0; i < N; i++)
        waiting += s->debounce.shown[i] != s->rig.identity.label[i];
    assert_int_equal(s->debounce.waiting, waiting);
}

static void a_new_label_is_shown_the_second_time(void **state)
{
    static struct shown s;

    (void)state;
    open_shown(&s);
    step(&s, "aaaabbb.", NULL, "aaaabbb.");
    step(&s, "aaabbbba", NULL, "aaaabbba"); /* a first label at once */
    step(&s, "aaaabbba", NULL, "aaaabbba"); /* back before it was shown */
    step(&s, "aaabbbba", NULL, "aaaabbba");
    step(&s, "aaabbbbb", NULL, "aaabbbba"); /* another map has it, too: another chip moved */
    step(&s, "aaab-b?b", NULL, "aaab-b?b"); /* facts at once, both ways */
    step(&s, "aaababbb", NULL, "aaababbb");
    close_shown(&s);
}

static void a_map_that_comes_again_is_no_other_until_it_rests(void **state)
{
    static struct shown s;

    (void)state;
    open_shown(&s);
    step(&s, "aaaabbbb", NULL, "aaaabbbb");
    for (int round = 0; round < 2; round++) {
        step(&s, "aaabbbbb", NULL, "aaaabbbb");
        for (int again = 1; again < FLY_SHOWN_REST; again++)
            step(&s, "aaabbbbb", NULL, "aaaabbbb");
        step(&s, "aaabbbbb", NULL, "aaabbbbb");
        for (int again = 0; again < 2 * FLY_SHOWN_REST; again++)
            step(&s, "aaabbbbb", NULL, "aaabbbbb");
        step(&s, "aaaabbbb", NULL, "aaabbbbb");
        step(&s, "aaaabbba", NULL, "aaaabbbb"); /* counting begins anew with each map */
        step(&s, "aaaabbbb", NULL, "aaaabbbb");
    }
    close_shown(&s);
}

static void a_clear_one_is_shown_at_once(void **state)
{
    const float margin[N] = {0.95f, 0.9f, NAN, 0.0f, 0.95f, 0.9f, NAN, 0.0f};
    static struct shown s;

    (void)state;
    open_shown(&s);
    step(&s, "aaaabbbb", NULL, "aaaabbbb");
    step(&s, "baaaabbb", margin, "baaaabbb");
    step(&s, "bbaaaabb", margin, "baaaabbb");
    step(&s, "bbbaaaab", margin, "bbaaaabb");
    close_shown(&s);
}

static void a_map_can_be_shown_as_it_is(void **state)
{
    static struct shown s;

    (void)state;
    open_shown(&s);
    step(&s, "aaaabbbb", NULL, "aaaabbbb");
    step(&s, "aaabbbbb", NULL, "aaaabbbb");
    rig_draw(&s.rig, "aabbbbbb");
    assert_int_equal(fly_debounce_settle(&s.debounce, s.rig.identity.label), 1);
    assert_memory_equal(s.debounce.shown, drawn("aabbbbbb"), N * sizeof(int32_t));
    assert_int_equal(s.debounce.waiting, 0);
    assert_int_equal(fly_debounce_settle(&s.debounce, s.rig.identity.label), 0);
    step(&s, "abbbbbbb", NULL, "aabbbbbb"); /* and goes on from there */
    step(&s, "abbbbbba", NULL, "abbbbbbb");
    close_shown(&s);
}

static void nothing_is_shown_that_is_gone(void **state)
{
    static struct shown s;

    (void)state;
    open_shown(&s);
    step(&s, "aaaaabbb", NULL, "aaaaabbb");
    step(&s, "aaaaaaaa", NULL, "aaaaaaaa");
    close_shown(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_label_is_shown_the_second_time),
        cmocka_unit_test(a_map_that_comes_again_is_no_other_until_it_rests),
        cmocka_unit_test(a_clear_one_is_shown_at_once),
        cmocka_unit_test(a_map_can_be_shown_as_it_is),
        cmocka_unit_test(nothing_is_shown_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
