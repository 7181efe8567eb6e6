#include "sim/motion.h"

#include <math.h>
#include <stddef.h>

struct fly_motion_config fly_motion_config_default(void)
{
    return (struct fly_motion_config){
        .px_per_us = 20.0, .settle_us = 50.0, .flyback_us = 20.0, .hysteresis = 0.005, .relax_us = 200.0};
}

int fly_motion_config_check(const struct fly_motion_config *config)
{
    const struct {
        const char *what;
        double value, low, high;
    } limits[] = {
        {"slew, px per us", config->px_per_us, 0.001, 1e6},
        {"settling time, us", config->settle_us, 0.0, 1e6},
        {"flyback time, us", config->flyback_us, 0.0, 1e6},
        {"hysteresis", config->hysteresis, 0.0, 0.1},
        {"relaxation, us", config->relax_us, 1.0, 1e7},
    };

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].low && limits[i].value <= limits[i].high))
            return fly_fail(FLY_ERANGE, "%s of %g, allowed are %g .. %g", limits[i].what, limits[i].value,
                            limits[i].low, limits[i].high);
    return FLY_OK;
}

void fly_motion_init(struct fly_motion *motion, const struct fly_motion_config *config, double y_px, double x_px)
{
    *motion = (struct fly_motion){.config = *config, .at_px = {y_px, x_px}};
}

double fly_motion_cost_us(const struct fly_motion *motion, double y_px, double x_px)
{
    double way = hypot(y_px - motion->at_px[0], x_px - motion->at_px[1]);

    return way > 0.0 ? way / motion->config.px_per_us + motion->config.settle_us : 0.0;
}

void fly_motion_rest(struct fly_motion *motion, double us)
{
    double left = exp(-us / motion->config.relax_us);

    motion->error_px[0] *= left;
    motion->error_px[1] *= left;
}

double fly_motion_jump(struct fly_motion *motion, double y_px, double x_px)
{
    const double to[2] = {y_px, x_px};
    double us = fly_motion_cost_us(motion, y_px, x_px);

    if (us == 0.0)
        return 0.0;
    fly_motion_rest(motion, us - motion->config.settle_us);
    for (int i = 0; i < 2; i++) {
        double error = motion->error_px[i] - motion->config.hysteresis * (to[i] - motion->at_px[i]);

        motion->error_px[i] = fmax(-FLY_MOTION_ERROR_MAX_PX, fmin(FLY_MOTION_ERROR_MAX_PX, error));
        motion->at_px[i] = to[i];
    }
    fly_motion_rest(motion, motion->config.settle_us);
    return us;
}

double fly_motion_line(struct fly_motion *motion, double w_px, double dwell_us)
{
    motion->at_px[1] += w_px;
    fly_motion_rest(motion, w_px * dwell_us);
    return w_px * dwell_us;
}

double fly_motion_flyback(struct fly_motion *motion, double y_px, double x_px)
{
    motion->at_px[0] = y_px;
    motion->at_px[1] = x_px;
    fly_motion_rest(motion, motion->config.flyback_us);
    return motion->config.flyback_us;
}
