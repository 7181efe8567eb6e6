/* The options of `flyback sim --obey`. */
#include <stdio.h>
#include <string.h>

#include "sim/sim_options.h"
#include "sim/tool.h"

void fly_obey_options_default(struct fly_obey_options *options)
{
    *options = (struct fly_obey_options){.from_mib = 2048, .config = fly_obey_config_default()};
}

static int read_word(const char *option, const char *text, const char *const *words, int n, int *out)
{
    for (int i = 0; i < n; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return FLY_OK;
        }
    if (n == 2)
        return fly_fail(FLY_ERANGE, "%s %.80s: %s or %s is allowed", option, text, words[0], words[1]);
    return fly_fail(FLY_ERANGE, "%s %.80s: %s, %s or %s is allowed", option, text, words[0], words[1], words[2]);
}

static int read_mode(struct fly_obey_options *o, const char *text)
{
    static const char *const modes[] = {"ask", "auto"};
    int word = 0, rc = read_word("--obey", text, modes, 2, &word);

    if (rc == FLY_OK)
        o->mode = modes[word];
    return rc;
}

static int read_signal(struct fly_obey_options *o, const char *text)
{
    const char *const words[] = {fly_signal_name(FLY_SIGNAL_BOTH), fly_signal_name(FLY_SIGNAL_HAADF),
                                 fly_signal_name(FLY_SIGNAL_EDS)};
    int word = 0, rc = read_word("--signal", text, words, FLY_SIGNALS, &word);

    if (rc == FLY_OK)
        o->signal = (enum fly_signal)word;
    return rc;
}

int fly_obey_option(struct fly_obey_options *o, const char *name, const char *text)
{
    struct fly_motion_config *motion = &o->config.motion;
    const struct {
        const char *name;
        double low, high, unit; /* the number kept is the one given times unit */
        double *out;
    } numbers[] = {
        {"--refuse", 0.0, 1.0, 1.0, &o->config.refuse},
        {"--command-delay-ms", 0.0, 1e5, 1e3, &o->config.delay_us},
        {"--dead-us", 0.0, 1e7, 1.0, &o->config.dead_us},
        {"--slew-px-per-us", 0.001, 1e6, 1.0, &motion->px_per_us},
        {"--settle-us", 0.0, 1e6, 1.0, &motion->settle_us},
        {"--flyback-us", 0.0, 1e6, 1.0, &motion->flyback_us},
        {"--hysteresis", 0.0, 0.1, 1.0, &motion->hysteresis},
        {"--relax-us", 1.0, 1e7, 1.0, &motion->relax_us},
        {"--dwell-max-us", 0.1, 1e6, 1.0, &o->dwell_max_us},
        {"--dose-budget", 0.0, 1e6, 1.0, &o->dose_budget},
        {"--seconds", 0.0, 1e6, 1.0, &o->seconds},
    };
    int64_t value;
    int rc;

    if (!o->given[0])
        snprintf(o->given, sizeof o->given, "%s", name);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            rc = fly_tool_f64(name, text, numbers[i].low, numbers[i].high, numbers[i].out);
            if (rc == FLY_OK)
                *numbers[i].out *= numbers[i].unit;
            return rc;
        }
    if (strcmp(name, "--obey") == 0)
        return read_mode(o, text);
    if (strcmp(name, "--signal") == 0)
        return read_signal(o, text);
    if (strcmp(name, "--steered-by") == 0) {
        o->address = text;
        return FLY_OK;
    }
    if (strcmp(name, "--steered-by-key") == 0) {
        o->key = text;
        return FLY_OK;
    }
    if (strcmp(name, "--from") == 0) {
        o->from = text;
        return FLY_OK;
    }
    if (strcmp(name, "--from-mib") != 0)
        return FLY_EAGAIN;
    rc = fly_tool_int(name, text, 1, 1 << 20, &value);
    if (rc == FLY_OK)
        o->from_mib = (int32_t)value;
    return rc;
}
