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
};

/* DIR/name.npy. FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_analyze_npy(const struct fly_analyze_out *out, const char *name, enum fly_npy_type type,
                                 int32_t dims, const int64_t *shape, const void *data);

/* Intensities and atomic percents of every chip: with --case by fit and by window, else by the method in
 * force, with their uncertainties. */
FLY_MUST_USE int fly_analyze_quantities(const struct fly_analyze_out *out);

/* The "post" object: what the regions of the few-shot ensemble, and of the truth where it is there, are made of. */
FLY_MUST_USE int fly_analyze_post(const struct fly_analyze_out *out, struct fly_json *json);

/* With --case: similarities, histograms, thresholds and communities of the four graphs, by every rule; the
 * "graph" object. Needs image, spectra and compositions. */
FLY_MUST_USE int fly_analyze_graphs(const struct fly_analyze_out *out, struct fly_json *json);

#endif
