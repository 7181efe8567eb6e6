/* plugin/analyze_out.h: what the writers of an analysis share; nobody else includes it. */
#ifndef FLY_PLUGIN_ANALYZE_OUT_H
#define FLY_PLUGIN_ANALYZE_OUT_H

#include "plugin/analyze.h"
#include "plugin/json.h"

struct fly_analyze_out {
    const char *dir;
    struct fly_session *session;
    const struct fly_analysis *a;
    struct fly_engine *engine;
    int32_t chips, classes;
    /* By fly_analyze_communities: exact ones, NULL where there is no graph. (K) */
    int32_t *community[FLY_MODALITIES];
    struct fly_graph_view graph[FLY_MODALITIES];
    int32_t *ward[FLY_MODALITIES]; /* by fly_analyze_trees: the same of hierarchies */
};

/* DIR/name.npy. FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_analyze_npy(const struct fly_analyze_out *out, const char *name, enum fly_npy_type type,
                                 int32_t dims, const int64_t *shape, const void *data);

/* Intensities and atomic percents of every chip: with --case by fit and by window, else by the method in
 * force, with their uncertainties. */
FLY_MUST_USE int fly_analyze_quantities(const struct fly_analyze_out *out);

/* The "post" object: what the regions of the ensemble (of the one modality there is), by each method, and of the truth
 * where it is there, are made of, and the lattice in the largest square of each. */
FLY_MUST_USE int fly_analyze_post(const struct fly_analyze_out *out, struct fly_json *json);

/* The exact communities of each modality by the configured graph, as they would be on the wire:
 * community_<modality>.npy and community_<modality>_confidence.npy; filled in `out`. _free afterwards. */
FLY_MUST_USE int fly_analyze_communities(struct fly_analyze_out *out);
void fly_analyze_communities_free(struct fly_analyze_out *out);
/* The "communities" object: what they were found by. */
void fly_analyze_tell_communities(const struct fly_analyze_out *out, struct fly_json *json);

/* The clusters of Ward's hierarchies where they are cut, under golden's names: ward_<emb, at or spec, vote>.npy,
 * ward_..._confidence.npy, ward_heights_....npy; with --case that of raw spectra, too. Filled in `out`. _free
 * afterwards. */
FLY_MUST_USE int fly_analyze_trees(struct fly_analyze_out *out);
void fly_analyze_trees_free(struct fly_analyze_out *out);
/* The "ward" object. */
void fly_analyze_tell_trees(const struct fly_analyze_out *out, struct fly_json *json);

/* The "quality" object: what `metrics` says of the data (plugin/quality.h). */
void fly_analyze_tell_quality(const struct fly_analyze_out *out, struct fly_json *json);

/* dose.npy (mean of each chip), dose_max.npy (its largest pixel), dose_px.npy, all in the unit of the "dose" object, which
 * has the keys of topic `dose` (plugin/dose.h) but cap, full_shape and as_of. */
FLY_MUST_USE int fly_analyze_dose(const struct fly_analyze_out *out, struct fly_json *json);

/* The "names" list: name and role that persons gave, under the label in the arrays; null where no cluster has it now:
 * it is gone, or none is like it (recall.h). Of few-shot its classes with a role. */
void fly_analyze_tell_names(const struct fly_analyze_out *out, struct fly_json *json);

/* Labels of a modality by a method, NULL where there are none. */
const int32_t *fly_analyze_labels(const struct fly_analyze_out *out, enum fly_method method,
                                  enum fly_modality modality);

/* With --case: similarities, histograms, thresholds and communities of the four graphs, by every rule; the
 * "graph" object. Needs image, spectra and compositions. */
FLY_MUST_USE int fly_analyze_graphs(const struct fly_analyze_out *out, struct fly_json *json);

#endif
