/* Names, defaults and ranges. */
#include <math.h>
#include <string.h>

#include "engine/steer/policy.h"

static const char *const policies[FLY_STEER_POLICIES] = {"adaptive", "margin", "interlaced", "raster", "random", "frozen"};

const char *fly_steer_policy_name(enum fly_steer_policy policy)
{
    FLY_ASSERT((int)policy >= 0 && policy < FLY_STEER_POLICIES);
    return policies[policy];
}

int fly_steer_policy_of_name(const char *name)
{
    for (int p = 0; name && p < FLY_STEER_POLICIES; p++)
        if (strcmp(name, policies[p]) == 0)
            return p;
    return -1;
}

const char *fly_steer_reason_name(enum fly_steer_reason reason)
{
    static const char *const names[FLY_STEER_REASONS] = {"survey",   "margin",      "boundary", "novel",
                                                         "disagree", "composition", "support",  "explore", "pass"};

    FLY_ASSERT((int)reason >= 0 && reason < FLY_STEER_REASONS);
    return names[reason];
}

const char *fly_steer_stop_name(enum fly_steer_stop stop)
{
    static const char *const names[FLY_STEER_STOPS] = {"go", "error", "floor", "dose", "time"};

    FLY_ASSERT((int)stop >= 0 && stop < FLY_STEER_STOPS);
    return names[stop];
}

struct fly_steer_config fly_steer_config_default(void)
{
    return (struct fly_steer_config){.policy = FLY_STEER_ADAPTIVE,
                                     .seed = 1,
                                     .signal = FLY_STEER_SIGNAL_AUTO,
                                     .alpha = 0.01,
                                     .hysteresis = 1.2,
                                     .potts_beta = 0.8,
                                     .potts_iterations = 3,
                                     .boundary = 0.05,
                                     .novel = 0.1,
                                     .again = 0.5,
                                     .disagree = 0.05,
                                     .composition = 0.02,
                                     .support = 0.5,
                                     .explore = 0.1,
                                     .dwell_max = 2.0,
                                     .dwell_min = 0.125,
                                     .tiles = 64,
                                     .apart = 1,
                                     .uneven = 2.0,
                                     .rate_floor = 0.001,
                                     .rate_unknown = 1.0,
                                     .hopeless = 20.0,
                                     .cap = 8.0,
                                     .cap_us = INFINITY,
                                     .settle_us = 100.0,
                                     .flyback_us = 50.0,
                                     .slew_px_per_us = 20.0,
                                     .stop_error = 0.02,
                                     .stop_epochs = 3,
                                     .stop_agreement = 0.02,
                                     .stop_composition = 0.1,
                                     .stop_floor = 0.01};
}

struct range {
    const char *name;
    double value, least, most;
};

/* NaN is in no range. */
static int check_ranges(const struct range *range, int n)
{
    for (int i = 0; i < n; i++)
        if (!(range[i].value >= range[i].least && range[i].value <= range[i].most))
            return fly_fail(FLY_ERANGE, "steering: %s %g, %g .. %g are possible", range[i].name, range[i].value,
                            range[i].least, range[i].most);
    return FLY_OK;
}

int fly_steer_config_check(const struct fly_steer_config *config)
{
    const struct fly_steer_config *c = config;
    const double tiny = 1e-9; /* above 0, and far below any dwell or speed there is */
    const struct range ranges[] = {
        {"policy", c->policy, 0, FLY_STEER_POLICIES - 1},
        {"signal", c->signal, FLY_STEER_SIGNAL_AUTO, FLY_SIGNALS - 1},
        {"alpha", c->alpha, 1e-9, 0.4},
        {"hysteresis", c->hysteresis, 1.0, 4.0},
        {"potts_beta", c->potts_beta, 0.0, 4.0},
        {"potts_iterations", c->potts_iterations, 0, 16},
        {"boundary", c->boundary, 0.0, 1.0},
        {"novel", c->novel, 0.0, 1.0},
        {"again", c->again, 0.0, 1.0},
        {"disagree", c->disagree, 0.0, 1.0},
        {"composition", c->composition, 0.0, 1.0},
        {"support", c->support, 0.0, 1.0},
        {"explore", c->explore, 0.0, 1.0},
        {"dwell_max", c->dwell_max, 1.0, 64.0},
        {"dwell_min", c->dwell_min, 0.01, 1.0},
        {"tiles", c->tiles, 1, FLY_STEER_TILES_MAX},
        {"apart", c->apart, 0, 1},
        {"uneven", c->uneven, 1.0, 1e6},
        {"rate_floor", c->rate_floor, 1e-9, 1.0},
        {"rate_unknown", c->rate_unknown, 1e-6, 1000.0},
        {"hopeless", c->hopeless, 1.0, 1e6},
        {"cap", c->cap, 1.0, 1e6},
        {"cap_us", c->cap_us, tiny, INFINITY},
        {"budget", c->budget, 0.0, INFINITY},
        {"rest_ms", c->rest_ms, 0.0, 1e9},
        {"settle_us", c->settle_us, 0.0, 1e6},
        {"flyback_us", c->flyback_us, 0.0, 1e6},
        {"slew_px_per_us", c->slew_px_per_us, tiny, INFINITY},
        {"stop_error", c->stop_error, 0.0, 1.0},
        {"stop_epochs", c->stop_epochs, 0, 1000},
        {"stop_agreement", c->stop_agreement, 0.0, 2.0},
        {"stop_composition", c->stop_composition, tiny, INFINITY},
        {"stop_floor", c->stop_floor, 0.0, INFINITY},
    };

    return check_ranges(ranges, sizeof ranges / sizeof *ranges);
}
