/* plugin/graph_choice.h: what the configuration makes of a session's affinity graphs. */
#ifndef FLY_PLUGIN_GRAPH_CHOICE_H
#define FLY_PLUGIN_GRAPH_CHOICE_H

#include "engine/engine.h"
#include "plugin/options.h"

/* Of options that were checked. quantified: compositions are made; without them spectra are compared. */
void fly_graph_choose(struct fly_graph_config *config, const struct fly_options *options, int quantified);

/* Do graph.threshold and graph.weights read well? FLY_ERANGE names the key and what is allowed. */
FLY_MUST_USE int fly_graph_options_check(const struct fly_options *options);

#endif
