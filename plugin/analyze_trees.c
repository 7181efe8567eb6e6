/* Ward's hierarchies, as an analysis writes them. */
#include "plugin/analyze_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/tree/chain.h"

/* ward_heights_<name>.npy: all of them, ascending. */
static int write_heights(const struct fly_analyze_out *out, const char *name, const struct fly_ward_merge *merge,
                         int32_t count)
{
    double *heights = malloc((size_t)(count ? count : 1) * sizeof *heights);
    char file[64];
    int rc;

    if (!heights)
        return fly_fail(FLY_ENOMEM, "ward_heights_%s: no memory", name);
    for (int32_t i = 0; i < count; i++)
        heights[i] = merge[i].height;
    snprintf(file, sizeof file, "ward_heights_%s", name);
    rc = fly_analyze_npy(out, file, FLY_NPY_F64, 1, (int64_t[]){count}, heights);
    free(heights);
    return rc;
}

/* As in golden: what is compared names the file. */
static const char *name_of(const struct fly_analyze_out *out, int m)
{
    if (m == FLY_HAADF)
        return "emb";
    if (m == FLY_ENSEMBLE)
        return "vote";
    return fly_session_options(out->session)->eds.feature_ward == FLY_EDS_COMPOSITION ? "at" : "spec";
}

/* The hierarchy of raw spectra, which no session keeps unless it was asked to: of equally good ones that of the
 * reference (chain.h). */
static int write_spectra(const struct fly_analyze_out *out)
{
    struct fly_alloc alloc = fly_alloc_system();
    int32_t width, n = out->chips, k = fly_session_options(out->session)->tree.k, *labels = malloc((size_t)n * sizeof *labels);
    struct fly_ward_merge *merge = malloc((size_t)n * sizeof *merge);
    const uint32_t *spectra = fly_engine_spectra(out->engine, &width, NULL);
    struct fly_arena arena = {0};
    int rc = labels && merge ? FLY_OK : fly_fail(FLY_ENOMEM, "ward_spec: no memory");

    if (rc == FLY_OK)
        rc = fly_arena_init(&arena, fly_ward_chain_need(n, width), &alloc, "ward_spec");
    if (rc == FLY_OK) {
        fly_ward_chain(spectra, n, width, merge, &arena);
        fly_ward_chain_cut(merge, n, k < n ? k : n, labels, &arena);
        rc = fly_analyze_npy(out, "ward_spec", FLY_NPY_I32, 1, (int64_t[]){n}, labels);
    }
    if (rc == FLY_OK)
        rc = write_heights(out, "spec", merge, n - 1);
    fly_arena_fini(&arena);
    free(labels);
    free(merge);
    return rc;
}

int fly_analyze_trees(struct fly_analyze_out *out)
{
    float *confidence = malloc((size_t)out->chips * sizeof *confidence);
    int rc = confidence ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for hierarchies");

    for (int m = 0; rc == FLY_OK && m < FLY_MODALITIES; m++) {
        const char *of = name_of(out, m);
        const struct fly_ward_merge *merge;
        int32_t count;
        char name[64];

        if (!fly_engine_has_tree(out->engine, (enum fly_modality)m))
            continue;
        out->ward[m] = malloc((size_t)out->chips * sizeof *out->ward[m]);
        if (!out->ward[m]) {
            rc = fly_fail(FLY_ENOMEM, "no memory for hierarchies");
            break;
        }
        rc = fly_engine_ward_exact(out->engine, (enum fly_modality)m, out->ward[m], confidence);
        snprintf(name, sizeof name, "ward_%s", of);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, name, FLY_NPY_I32, 1, (int64_t[]){out->chips}, out->ward[m]);
        snprintf(name, sizeof name, "ward_%s_confidence", of);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, name, FLY_NPY_F32, 1, (int64_t[]){out->chips}, confidence);
        merge = fly_engine_merges(out->engine, (enum fly_modality)m, &count);
        if (rc == FLY_OK && merge)
            rc = write_heights(out, of, merge, count);
    }
    if (rc == FLY_OK && out->a->is_case && fly_session_facts(out->session)->plan.n_segments > 0 &&
        fly_session_options(out->session)->eds.feature_ward == FLY_EDS_COMPOSITION)
        rc = write_spectra(out);
    free(confidence);
    return rc;
}

void fly_analyze_trees_free(struct fly_analyze_out *out)
{
    for (int m = 0; m < FLY_MODALITIES; m++) {
        free(out->ward[m]);
        out->ward[m] = NULL;
    }
}

/* Where each hierarchy was cut, and how plain that is. */
void fly_analyze_tell_trees(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_options *options = fly_session_options(out->session);

    fly_json_key(json, "ward");
    fly_json_object(json);
    fly_json_key(json, "k");
    fly_json_int(json, options->tree.k);
    fly_json_key(json, "eds_feature");
    fly_json_str(json, fly_options_word(options, "eds.feature.ward"));
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        struct fly_tree_view view;

        if (!out->ward[m])
            continue;
        fly_engine_tree(out->engine, (enum fly_modality)m, &view);
        fly_json_key(json, fly_modality_name((enum fly_modality)m));
        fly_json_object(json);
        fly_json_key(json, "chips");
        fly_json_int(json, view.chips);
        fly_json_key(json, "height_below");
        fly_json_f64(json, view.parted);
        fly_json_key(json, "height_above");
        if (isfinite(view.merged))
            fly_json_f64(json, view.merged);
        else
            fly_json_null(json);
        fly_json_end(json);
    }
    fly_json_end(json);
}
