/* What the tests of the judge and of the book share: one rig, opened anew for each test, and what is expected of it. */
#ifndef TESTS_GUARD_JUDGE_RIG_H
#define TESTS_GUARD_JUDGE_RIG_H

#include "tests/unit/plugin/guard/guard_rig.h"

static struct rig rig;

static inline void open_rig(void)
{
    struct fly_guard_limits limits = rig_limits();
    struct fly_guard_session session = rig_session();

    fly_guard_book_close(&rig.book);
    assert_true(rig_open(&rig, &limits, &session));
}

static inline int begin(void **state)
{
    open_rig();
    return 0;
}

static inline int end(void **state)
{
    fly_guard_book_close(&rig.book);
    return 0;
}

static inline void expect(enum fly_guard_verdict wanted)
{
    enum fly_guard_verdict verdict = rig_judge(&rig);

    if (verdict != wanted)
        fail_msg("%s (%s), wanted %s", fly_guard_verdict_name(verdict), verdict ? fly_fail_text() : "",
                 fly_guard_verdict_name(wanted));
}

static inline void put_box(int i, double y0, double x0, double h, double w)
{
    rig.targets[i] = (struct fly_target){.kind = FLY_TARGET_BOX, .px = {y0, x0, h, w}, .dwell_us = 2};
    if (rig.command.n_targets <= i)
        rig.command.n_targets = i + 1;
}

static inline void one_box(double y0, double x0, double h, double w)
{
    rig.command.n_targets = 1;
    put_box(0, y0, x0, h, w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
