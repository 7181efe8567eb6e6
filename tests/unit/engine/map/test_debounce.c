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
    fly_debounce_step(&s->debounce, s->rig.identity.label, margin, &s->rig.story);
    assert_memory_equal(s->debounce.shown, drawn(shown), N * sizeof(int32_t));
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
    step(&s, "aaabbbba", NULL, "aaabbbba");
    step(&s, "aaab-b?a", NULL, "aaab-b?a"); /* facts at once, both ways */
    step(&s, "aaababba", NULL, "aaababba");
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
        cmocka_unit_test(a_clear_one_is_shown_at_once),
        cmocka_unit_test(nothing_is_shown_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
