#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "engine/map/names.h"
#include "tests/unit/engine/map/map_rig.h"

static const char *called(const struct fly_names *names, int32_t id)
{
    const struct fly_name *name = fly_names_find(names, id);

    return name ? name->name : "-";
}

static void a_name_follows_its_id(void **state)
{
    static struct rig rig;
    static struct fly_names names;

    (void)state;
    fly_names_init(&names);
    rig_open(&rig, 12, 3);
    rig_draw(&rig, "aaaaabbbb...");
    assert_int_equal(fly_names_call(&names, &rig.story, 0, "SrTiO\xE2\x82\x83"), FLY_OK);
    assert_int_equal(fly_names_call(&names, &rig.story, 1, "LFO"), FLY_OK);
    assert_int_equal(fly_names_take_for(&names, &rig.story, 1, FLY_ROLE_ORDERED), FLY_OK);
    rig_draw(&rig, "bbbbbaaaaaaa"); /* numbered otherwise */
    assert_int_equal(fly_names_follow(&names, &rig.story), 0);
    assert_string_equal(called(&names, rig.identity.label[0]), "SrTiO\xE2\x82\x83");
    assert_string_equal(called(&names, rig.identity.label[11]), "LFO");
    rig_draw(&rig, "aaaaaaaaaaaa"); /* merged: the larger one's stays */
    fly_names_follow(&names, &rig.story);
    assert_string_equal(called(&names, rig.identity.label[0]), "LFO");
    rig_draw(&rig, "aaaaabbbbbbb"); /* and the other's is back */
    fly_names_follow(&names, &rig.story);
    assert_string_equal(called(&names, rig.identity.label[0]), "SrTiO\xE2\x82\x83");
    assert_int_equal(fly_names_find(&names, 1)->role, FLY_ROLE_ORDERED);
    assert_false(fly_names_find(&names, 1)->doubtful);
    rig_close(&rig);
}

static void a_name_on_another_thing_is_doubtful(void **state)
{
    static struct rig rig;
    static struct fly_names names;
    uint32_t version;

    (void)state;
    fly_names_init(&names);
    rig_open(&rig, 16, 1);
    rig_draw(&rig, "aaaaaaaaaaaaaaaa");
    assert_int_equal(fly_names_call(&names, &rig.story, 0, "all"), FLY_OK);
    version = names.version;
    rig_draw(&rig, "aaaabbbbccccdddd");
    assert_int_equal(fly_names_follow(&names, &rig.story), 1);
    assert_true(fly_names_find(&names, 0)->doubtful && names.version == version + 1);
    rig_draw(&rig, "aaaabbbbccccdddd");
    assert_int_equal(fly_names_follow(&names, &rig.story), 0);
    assert_true(fly_names_find(&names, 0)->doubtful);
    rig_draw(&rig, "aefgbbbbccccdddd"); /* weak again: known */
    assert_true(fly_story_find(&rig.story, 0)->events & FLY_CLUSTER_WEAK);
    assert_int_equal(fly_names_follow(&names, &rig.story), 0);
    assert_int_equal(fly_names_call(&names, &rig.story, 0, "a chip"), FLY_OK);
    assert_false(fly_names_find(&names, 0)->doubtful);
    rig_close(&rig);
}

static void a_wrong_request_is_refused_by_name(void **state)
{
    static struct rig rig;
    static struct fly_names names, before;
    char longest[FLY_CLUSTER_NAME_MAX + 2];
    enum fly_role role = FLY_ROLE_NONE;

    (void)state;
    fly_names_init(&names);
    rig_open(&rig, 8, 3);
    rig_draw(&rig, "aaaabbbb");
    assert_int_equal(fly_names_call(&names, &rig.story, 0, "here"), FLY_OK);
    before = names;
    assert_int_equal(fly_names_call(&names, &rig.story, 2, "nobody"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "2"));
    assert_int_equal(fly_names_take_for(&names, &rig.story, -4, FLY_ROLE_OTHER), FLY_ERANGE);
    memset(longest, 'x', sizeof longest);
    longest[FLY_CLUSTER_NAME_MAX + 1] = 0;
    assert_int_equal(fly_names_call(&names, &rig.story, 1, longest), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "65"));
    assert_memory_equal(&names, &before, sizeof names);
    longest[FLY_CLUSTER_NAME_MAX] = 0;
    assert_int_equal(fly_names_call(&names, &rig.story, 1, longest), FLY_OK);
    assert_string_equal(called(&names, 1), longest);
    assert_int_equal(fly_role_of("orderly", &role), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "disordered"));
    for (int r = 1; r <= FLY_ROLE_OTHER; r++) {
        assert_int_equal(fly_role_of(fly_role_word((enum fly_role)r), &role), FLY_OK);
        assert_int_equal(role, r);
    }
    assert_null(fly_role_word(FLY_ROLE_NONE));
    rig_close(&rig);
}

/* What is taken back leaves room; a name of what is gone can be changed, but none given to it. */
static void there_is_room_for_so_many(void **state)
{
    enum { N = FLY_NAMES_MAX + 1 };
    static struct rig rig;
    static struct fly_names names;
    static int32_t raw[N];
    uint32_t version;

    (void)state;
    fly_names_init(&names);
    rig_open(&rig, N, 1);
    for (int32_t i = 0; i < N; i++)
        raw[i] = i;
    rig_step(&rig, raw);
    for (int32_t i = 0; i < FLY_NAMES_MAX; i++) {
        char name[16];

        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(fly_names_call(&names, &rig.story, i, name), FLY_OK);
    }
    assert_int_equal(fly_names_take_for(&names, &rig.story, FLY_NAMES_MAX, FLY_ROLE_OTHER), FLY_ERANGE);
    assert_int_equal(fly_names_take_for(&names, &rig.story, 7, FLY_ROLE_OTHER), FLY_OK);
    for (int32_t i = 0; i < N; i++)
        raw[i] = 0;
    rig_step(&rig, raw);
    version = names.version;
    assert_int_equal(fly_names_call(&names, &rig.story, 7, ""), FLY_OK); /* its role is left */
    assert_int_equal(names.count, FLY_NAMES_MAX);
    assert_int_equal(fly_names_take_for(&names, &rig.story, 7, FLY_ROLE_NONE), FLY_OK);
    assert_int_equal(names.count, FLY_NAMES_MAX - 1);
    assert_null(fly_names_find(&names, 7));
    assert_string_equal(called(&names, 8), "n8");
    assert_string_equal(called(&names, FLY_NAMES_MAX - 1), "n255");
    assert_true(names.version == version + 2);
    assert_int_equal(fly_names_call(&names, &rig.story, 7, "too late"), FLY_ERANGE);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_follows_its_id),
        cmocka_unit_test(a_name_on_another_thing_is_doubtful),
        cmocka_unit_test(a_wrong_request_is_refused_by_name),
        cmocka_unit_test(there_is_room_for_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
