#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "plugin/roles.h"

static unsigned char bytes[64];

static struct fly_value args_as(const char *as)
{
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, as ? 1 : 0);
    if (as) {
        fly_pack_str(&pack, "as");
        fly_pack_str(&pack, as);
    }
    return fly_value_root(bytes, pack.len);
}

static int may(uint32_t roles, const char *op, const char *as)
{
    struct fly_msg msg = {.roles = roles, .peer = "room-3"};

    return fly_roles_may(&msg, op, args_as(as)) == FLY_OK;
}

static void without_keys_everybody_may_do_everything(void **state)
{
    static const char *const ops[] = {"status", "map.get", "steer.attach", "steer.resume", "params.set", "ack", "never.heard"};

    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        assert_true(may(FLY_PEER_ALL, ops[i], NULL));
    assert_true(may(FLY_PEER_ALL, "steer.attach", "guard"));
}

static void whoever_has_lost_all_roles_may_not_even_look(void **state)
{
    (void)state;
    assert_false(may(0, "status", NULL));
    assert_non_null(strstr(fly_fail_text(), "status is not for the role none of room-3"));
    assert_false(may(0, "steer.hold", NULL));
}

static void what_the_table_does_not_know_is_the_operators(void **state)
{
    (void)state;
    for (int i = 0; i < FLY_PEER_ROLES; i++)
        assert_int_equal(may(fly_peer_role_at(i), "never.heard", NULL), fly_peer_role_at(i) == FLY_PEER_OPERATOR);
}

static void as_guard_is_the_guards_alone_and_nothing_else_is(void **state)
{
    (void)state;
    assert_true(may(FLY_PEER_GUARD, "steer.attach", "guard"));
    assert_false(may(FLY_PEER_GUARD, "steer.attach", NULL));
    assert_false(may(FLY_PEER_GUARD, "steer.attach", "guardian"));
    for (int i = 0; i < FLY_PEER_ROLES - 1; i++) {
        uint32_t role = fly_peer_role_at(i);

        assert_false(may(role, "steer.attach", "guard"));
        assert_non_null(strstr(fly_fail_text(), "steer.attach as guard is not for the role"));
        assert_int_equal(may(role, "steer.attach", NULL), role == FLY_PEER_CONTROLLER || role == FLY_PEER_OPERATOR);
    }
    /* What `as` says in another request is that op's business. */
    assert_true(may(FLY_PEER_OPERATOR, "params.set", "guard"));
}

static void roles_together_may_what_each_of_them_may(void **state)
{
    (void)state;
    assert_true(may(FLY_PEER_INSTRUMENT | FLY_PEER_VIEWER, "map.get", NULL));
    assert_false(may(FLY_PEER_INSTRUMENT | FLY_PEER_VIEWER, "support.add", NULL));
    assert_false(may(FLY_PEER_INSTRUMENT, "map.get", NULL));
    assert_string_equal(fly_fail_text(), "map.get is not for the role instrument of room-3; allowed: viewer,controller,operator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_keys_everybody_may_do_everything),
        cmocka_unit_test(whoever_has_lost_all_roles_may_not_even_look),
        cmocka_unit_test(what_the_table_does_not_know_is_the_operators),
        cmocka_unit_test(as_guard_is_the_guards_alone_and_nothing_else_is),
        cmocka_unit_test(roles_together_may_what_each_of_them_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
