/* Communities by the configured graph, as an analysis writes them. */
#include "plugin/analyze_out.h"

#include <stdio.h>
#include <stdlib.h>

int fly_analyze_communities(struct fly_analyze_out *out)
{
    float *confidence = malloc((size_t)out->chips * sizeof *confidence);
    int rc = confidence ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for communities");

    for (int m = 0; rc == FLY_OK && m < FLY_MODALITIES; m++) {
        char name[64];

        if (!fly_engine_has_graph(out->engine, (enum fly_modality)m))
            continue;
        out->community[m] = malloc((size_t)out->chips * sizeof *out->community[m]);
        if (!out->community[m]) {
            rc = fly_fail(FLY_ENOMEM, "no memory for communities");
            break;
        }
        rc = fly_engine_exact(out->engine, (enum fly_modality)m, out->community[m], confidence, &out->graph[m]);
        snprintf(name, sizeof name, "community_%s", fly_modality_name((enum fly_modality)m));
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, name, FLY_NPY_I32, 1, (int64_t[]){out->chips}, out->community[m]);
        snprintf(name, sizeof name, "community_%s_confidence", fly_modality_name((enum fly_modality)m));
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, name, FLY_NPY_F32, 1, (int64_t[]){out->chips}, confidence);
    }
    free(confidence);
    return rc;
}

void fly_analyze_communities_free(struct fly_analyze_out *out)
{
    for (int m = 0; m < FLY_MODALITIES; m++) {
        free(out->community[m]);
        out->community[m] = NULL;
    }
}

const int32_t *fly_analyze_labels(const struct fly_analyze_out *out, enum fly_method method,
                                  enum fly_modality modality)
{
    struct fly_map_view view;

    if (method == FLY_COMMUNITY)
        return out->community[modality];
    if (method == FLY_WARD)
        return out->ward[modality];
    fly_engine_map(out->engine, method, modality, &view);
    return view.labels;
}

void fly_analyze_tell_communities(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_options *options = fly_session_options(out->session);

    fly_json_key(json, "communities");
    fly_json_object(json);
    fly_json_key(json, "threshold_rule");
    fly_json_str(json, options->graph.threshold);
    fly_json_key(json, "mode");
    fly_json_str(json, fly_options_word(options, "graph.mode"));
    fly_json_key(json, "edge");
    fly_json_str(json, fly_options_word(options, "graph.edge"));
    fly_json_key(json, "resolution");
    fly_json_f64(json, options->graph.resolution);
    fly_json_key(json, "eds_feature");
    fly_json_str(json, fly_options_word(options, "eds.feature.community"));
    for (int m = 0; m < FLY_MODALITIES; m++) {
        const struct fly_graph_view *view = &out->graph[m];

        if (!out->community[m])
            continue;
        fly_json_key(json, fly_modality_name((enum fly_modality)m));
        fly_json_object(json);
        fly_json_key(json, "threshold");
        fly_json_f64(json, view->threshold);
        fly_json_key(json, "modularity");
        fly_json_f64(json, view->modularity);
        fly_json_key(json, "communities");
        fly_json_int(json, view->communities);
        fly_json_key(json, "enough_structure");
        fly_json_bool(json, view->told);
        fly_json_key(json, "chips");
        fly_json_int(json, view->chips);
        fly_json_key(json, "edges");
        fly_json_int(json, view->edges);
        fly_json_end(json);
    }
    fly_json_end(json);
}
