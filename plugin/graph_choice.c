#include "plugin/graph_choice.h"

#include <math.h>
#include <string.h>

#include "plugin/number.h"

static const double FIXED_MAX = 1.9; /* codes end at 2 (engine/graph/code.h), debiased similarities near 1 */

/* 1: a rule, and for FLY_THRESHOLD_FIXED its number. */
static int read_threshold(const struct fly_options *options, enum fly_threshold_rule *rule, double *fixed)
{
    const char *text = options->graph.threshold;

    *fixed = 0.0;
    if (strcmp(text, "mode") == 0)
        *rule = options->graph.mode == FLY_OPTION_M2 ? FLY_THRESHOLD_M2 : FLY_THRESHOLD_P100;
    else if (strcmp(text, "mean") == 0)
        *rule = FLY_THRESHOLD_MEAN;
    else if (strcmp(text, "median") == 0)
        *rule = FLY_THRESHOLD_MEDIAN;
    else if (fly_number_parse(text, strlen(text), fixed) && *fixed >= 0.0 && *fixed <= FIXED_MAX)
        *rule = FLY_THRESHOLD_FIXED;
    else
        return 0;
    return 1;
}

void fly_graph_choose(struct fly_graph_config *config, const struct fly_options *options, int quantified)
{
    int by_reliability = isnan(options->graph.weights[0]); /* auto */

    *config = (struct fly_graph_config){
        .binary = options->graph.edge,
        .resolution = (int32_t)lrint(options->graph.resolution * FLY_RESOLUTION_ONE),
        .weights = {by_reliability ? 0.5 : options->graph.weights[0], by_reliability ? 0.5 : options->graph.weights[1]},
        .by_reliability = by_reliability,
        .feature = quantified ? (enum fly_eds_feature)options->eds.feature_community : FLY_EDS_SPECTRUM,
        .min_counts = options->graph.min_counts,
    };
    FLY_ASSERT(read_threshold(options, &config->rule, &config->fixed));
}

int fly_graph_options_check(const struct fly_options *options)
{
    enum fly_threshold_rule rule;
    double fixed;

    if (!read_threshold(options, &rule, &fixed))
        return fly_fail(FLY_ERANGE, "%s: graph.threshold: \"%.80s\" is neither mode, mean, median nor a number of "
                                    "0 .. %g",
                        fly_options_origin(options, "graph.threshold"), options->graph.threshold, FIXED_MAX);
    if (options->graph.weights[0] + options->graph.weights[1] <= 0)
        return fly_fail(FLY_ERANGE, "%s: graph.weights: both are 0, one must weigh something",
                        fly_options_origin(options, "graph.weights"));
    return FLY_OK;
}
