#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "sim/motion.h"

static const struct fly_motion_config config = {
    .px_per_us = 10.0, .settle_us = 40.0, .flyback_us = 15.0, .hysteresis = 0.01, .relax_us = 100.0};

static void assert_near(double got, double want)
{
    if (fabs(got - want) > 1e-12 * fmax(1.0, fabs(want)))
        fail_msg("%.15g where %.15g was meant", got, want);
}

static void a_jump_takes_its_way_and_the_settling(void **state)
{
    struct fly_motion motion;

    fly_motion_init(&motion, &config, 10.0, 20.0);
    assert_near(fly_motion_cost_us(&motion, 40.0, 60.0), 50.0 / 10.0 + 40.0);
    assert_near(fly_motion_jump(&motion, 40.0, 60.0), 45.0);
    assert_near(motion.at_px[0], 40.0);
    assert_near(motion.at_px[1], 60.0);
    assert_near(fly_motion_jump(&motion, 40.0, 60.0), 0.0);
}

static void the_beam_falls_short_by_a_share_of_the_way_and_creeps_up(void **state)
{
    struct fly_motion motion;

    fly_motion_init(&motion, &config, 0.0, 0.0);
    (void)fly_motion_jump(&motion, 30.0, -40.0);
    assert_near(motion.error_px[0], -0.3 * exp(-0.4));
    assert_near(motion.error_px[1], 0.4 * exp(-0.4));
    /* A line, a flyback and a rest are all the same to it. */
    assert_near(fly_motion_line(&motion, 20.0, 2.0), 40.0);
    assert_near(fly_motion_flyback(&motion, 31.0, -40.0), 15.0);
    fly_motion_rest(&motion, 25.0);
    assert_near(motion.error_px[0], -0.3 * exp(-0.4 - 0.8));
    assert_near(motion.at_px[0], 31.0);
    assert_near(motion.at_px[1], -40.0);
}

static void what_is_left_of_one_jump_adds_to_the_next(void **state)
{
    struct fly_motion motion;
    double left;

    fly_motion_init(&motion, &config, 0.0, 0.0);
    (void)fly_motion_jump(&motion, 100.0, 0.0);
    left = motion.error_px[0];
    (void)fly_motion_jump(&motion, 0.0, 0.0);
    assert_near(motion.error_px[0], (left * exp(-0.1) + 1.0) * exp(-0.4));
}

static void an_error_has_an_end(void **state)
{
    struct fly_motion_config strong = config;
    struct fly_motion motion;

    strong.settle_us = 0.0;
    fly_motion_init(&motion, &strong, 0.0, 0.0);
    (void)fly_motion_jump(&motion, 0.0, 1000.0);
    assert_near(motion.error_px[1], -FLY_MOTION_ERROR_MAX_PX);
}

static void a_wrong_number_is_named(void **state)
{
    const struct fly_motion_config good = fly_motion_config_default();
    struct fly_motion_config wrong[5] = {good, good, good, good, good};

    assert_int_equal(fly_motion_config_check(&good), FLY_OK);
    wrong[0].px_per_us = 0.0;
    wrong[1].settle_us = -1.0;
    wrong[2].flyback_us = NAN;
    wrong[3].hysteresis = 0.2;
    wrong[4].relax_us = INFINITY;
    for (int i = 0; i < 5; i++)
        assert_int_equal(fly_motion_config_check(&wrong[i]), FLY_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jump_takes_its_way_and_the_settling),
        cmocka_unit_test(the_beam_falls_short_by_a_share_of_the_way_and_creeps_up),
        cmocka_unit_test(what_is_left_of_one_jump_adds_to_the_next),
        cmocka_unit_test(an_error_has_an_end),
        cmocka_unit_test(a_wrong_number_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
