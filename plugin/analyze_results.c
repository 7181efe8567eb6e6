/* What an analysis leaves: arrays under the names of golden/ (golden/README.md), result.json, pictures. */
#include "plugin/confidence.h"
#include "plugin/reliability.h"
#include "plugin/analyze_out.h"
#include "plugin/maps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/agreement.h"
#include "engine/chip/prepare.h"
#include "plugin/json.h"
#include "plugin/picture.h"
#include "stream/disk.h"

int fly_analyze_npy(const struct fly_analyze_out *out, const char *name, enum fly_npy_type type, int32_t dims,
                    const int64_t *shape, const void *data)
{
    char path[2048];
    size_t items = 1;
    int rc;

    for (int32_t i = 0; i < dims; i++)
        items *= (size_t)shape[i];
    size_t body = items * fly_npy_type_size(type);
    unsigned char *bytes = malloc(FLY_NPY_HEADER_CAP + body);

    if (!bytes)
        return fly_fail(FLY_ENOMEM, "%s.npy: no memory for %zu bytes", name, body);
    size_t head = fly_npy_header(bytes, type, dims, shape);

    if (body)
        memcpy(bytes + head, data, body);
    snprintf(path, sizeof path, "%s/%s.npy", out->dir, name);
    rc = fly_file_write(path, bytes, head + body);
    free(bytes);
    return rc;
}

/* ---- chips and input --------------------------------------------------------------------------- */

static int write_input(const struct fly_analyze_out *out, struct fly_embedder *embedder)
{
    int32_t side = fly_engine_grid(out->engine)->side_px;
    int32_t px = embedder ? fly_embedder_input_px(embedder) : side;
    int32_t n = out->chips < 4 ? out->chips : 4;
    size_t chip = (size_t)side * (size_t)side, input = (size_t)px * (size_t)px;
    double *mean = malloc(chip * sizeof *mean), *resized = malloc(input * sizeof *resized);
    float *grey = calloc(input * (size_t)n, sizeof *grey);
    double lo, hi;
    int rc = mean && resized && grey ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for the first chips");

    if (rc == FLY_OK && fly_engine_range(out->engine, &lo, &hi))
        for (int32_t k = 0; rc == FLY_OK && k < n; k++) {
            if (fly_engine_chip_mean(out->engine, k, mean) < 0)
                continue; /* not measured: its picture stays zero */
            fly_map_intensity(mean, mean, (int64_t)chip, lo, hi);
            if (k == 0)
                rc = fly_analyze_npy(out, "chip0_255", FLY_NPY_F64, 2, (int64_t[]){side, side}, mean);
            fly_resize_bilinear(mean, side, resized, px);
            for (size_t i = 0; i < input; i++)
                grey[(size_t)k * input + i] = (float)resized[i];
        }
    if (rc == FLY_OK)
        rc = fly_analyze_npy(out, "input_grey_first4", FLY_NPY_F32, 3, (int64_t[]){n, px, px}, grey);
    free(mean);
    free(resized);
    free(grey);
    return rc;
}

/* ---- spectra ----------------------------------------------------------------------------------- */

static int write_spectra(const struct fly_analyze_out *out)
{
    int32_t channels;
    const uint32_t *spectra = fly_engine_spectra(out->engine, &channels, NULL);
    size_t k = (size_t)out->chips, e = (size_t)channels, n = 0, at = 0;
    int wide = out->chips > UINT16_MAX + 1;
    int rc;

    if (!spectra)
        return FLY_OK;
    for (size_t i = 0; i < k * e; i++) {
        n += spectra[i] != 0;
        wide |= spectra[i] > UINT16_MAX;
    }
    int64_t *chip_total = calloc(k, sizeof *chip_total), *channel_total = calloc(e, sizeof *channel_total);
    uint32_t *nnz = malloc((n ? n : 1) * 3 * sizeof *nnz);

    if (!chip_total || !channel_total || !nnz) {
        rc = fly_fail(FLY_ENOMEM, "no memory to write the spectra");
    } else {
        for (size_t c = 0; c < k; c++)
            for (size_t ch = 0; ch < e; ch++) {
                uint32_t count = spectra[c * e + ch];

                if (!count)
                    continue;
                chip_total[c] += count;
                channel_total[ch] += count;
                nnz[at++] = (uint32_t)c;
                nnz[at++] = (uint32_t)ch;
                nnz[at++] = count;
            }
        /* golden keeps these in 16 bits; a scan that needs more gets more */
        for (size_t i = 0; !wide && i < n * 3; i++)
            ((uint16_t *)nnz)[i] = (uint16_t)nnz[i];
        rc = fly_analyze_npy(out, "spec_chip_total", FLY_NPY_I64, 1, (int64_t[]){(int64_t)k}, chip_total);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, "spec_channel_total", FLY_NPY_I64, 1, (int64_t[]){(int64_t)e}, channel_total);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, "spec_nnz", wide ? FLY_NPY_U32 : FLY_NPY_U16, 2, (int64_t[]){(int64_t)n, 3},
                           nnz);
    }
    free(chip_total);
    free(channel_total);
    free(nnz);
    return rc;
}

/* ---- few-shot ---------------------------------------------------------------------------------- */

/* Rows of FLY_CLASSES_MAX become rows of the classes there are. */
static int write_rows(const struct fly_analyze_out *out, const char *name, const double *rows)
{
    double *tight = malloc((size_t)out->chips * (size_t)out->classes * sizeof *tight + 1);
    int rc;

    if (!tight)
        return fly_fail(FLY_ENOMEM, "%s: no memory", name);
    for (int32_t k = 0; k < out->chips; k++)
        memcpy(tight + (size_t)k * (size_t)out->classes, rows + (size_t)k * FLY_CLASSES_MAX,
               (size_t)out->classes * sizeof *tight);
    rc = fly_analyze_npy(out, name, FLY_NPY_F64, 2, (int64_t[]){out->chips, out->classes}, tight);
    free(tight);
    return rc;
}

static int write_fewshot(const struct fly_analyze_out *out, enum fly_modality modality, const char *suffix)
{
    struct fly_map_view view;
    char name[64];
    int rc = FLY_OK;

    fly_engine_map(out->engine, FLY_FEWSHOT, modality, &view);
    snprintf(name, sizeof name, "fs_label_%s", suffix);
    rc = fly_analyze_npy(out, name, FLY_NPY_I32, 1, (int64_t[]){out->chips}, view.labels);
    snprintf(name, sizeof name, "fs_score_%s", suffix);
    if (rc == FLY_OK && out->classes)
        rc = write_rows(out, name, fly_engine_scores(out->engine, modality));
    snprintf(name, sizeof name, "fs_dist_%s", suffix);
    if (rc == FLY_OK && out->classes && fly_engine_distances(out->engine, modality))
        rc = write_rows(out, name, fly_engine_distances(out->engine, modality));
    return rc;
}

/* Every ensemble asked for, one after the other: the engine rescores, the arrays follow. The first is
 * the configured one and is what stands in the engine afterwards. With atomic percent as the EDS half the
 * names are golden's; with the spectrum they say so. */
static int write_ensembles(const struct fly_analyze_out *out, enum fly_eds_feature feature)
{
    const struct fly_options *options = fly_session_options(out->session);
    int32_t n = out->a->n_weights ? out->a->n_weights : 1;
    int rc = FLY_OK;

    for (int32_t i = n - 1; rc == FLY_OK && i >= 0; i--) {
        const double *w = i == 0 ? options->fewshot.weights : out->a->weights[i];
        char suffix[64];

        snprintf(suffix, sizeof suffix, "ens_%s%g_%g", feature == FLY_EDS_SPECTRUM ? "spec_" : "", w[0], w[1]);
        rc = fly_engine_set_ensemble(out->engine, w, options->fewshot.temperature);
        if (rc == FLY_OK) {
            fly_session_epoch(out->session);
            rc = write_fewshot(out, FLY_ENSEMBLE, suffix);
        }
    }
    return rc;
}

/* Few-shot on the X-rays, by each feature that the session has; the configured one last, so that it stands. */
static int write_eds_fewshot(const struct fly_analyze_out *out, int with_image)
{
    enum fly_eds_feature mine = fly_engine_fewshot_feature(out->engine);
    int rc = FLY_OK;

    for (int i = 0; rc == FLY_OK && i < 2; i++) {
        enum fly_eds_feature feature = i == 0 ? (mine == FLY_EDS_SPECTRUM ? FLY_EDS_COMPOSITION : FLY_EDS_SPECTRUM)
                                              : mine;

        if (feature == FLY_EDS_COMPOSITION && !fly_engine_quantifier(out->engine))
            continue;
        rc = fly_engine_set_fewshot_feature(out->engine, feature);
        if (rc < 0)
            break;
        fly_session_epoch(out->session);
        rc = write_fewshot(out, FLY_EDS, feature == FLY_EDS_SPECTRUM ? "spec" : "at");
        if (rc == FLY_OK && with_image)
            rc = write_ensembles(out, feature);
    }
    return rc;
}

/* ---- result.json ------------------------------------------------------------------------------- */

struct trace_ctx {
    struct fly_json *json;
};

static void trace_layer(void *ctx, int32_t layer, const char *name, int32_t channels, int32_t h, int32_t w,
                        const float *map)
{
    struct fly_json *json = ((struct trace_ctx *)ctx)->json;
    size_t n = (size_t)channels * (size_t)h * (size_t)w;
    double sum = 0.0, square = 0.0;

    (void)layer;
    (void)name;
    for (size_t i = 0; i < n; i++) {
        sum += (double)map[i];
        square += (double)map[i] * (double)map[i];
    }
    fly_json_row(json);
    fly_json_f64(json, sum / (double)n);
    fly_json_f64(json, sqrt(square));
    fly_json_end(json);
}

/* Mean and L2 of every layer's map of chip 0, as golden has them. */
static int tell_layers(const struct fly_analyze_out *out, struct fly_json *json, struct fly_embedder *embedder)
{
    int32_t side = fly_engine_grid(out->engine)->side_px, px = fly_embedder_input_px(embedder);
    double *mean = malloc((size_t)side * (size_t)side * sizeof *mean);
    double *picture = malloc((size_t)px * (size_t)px * sizeof *picture);
    float *vector = malloc((size_t)fly_embedder_width(embedder) * sizeof *vector);
    struct trace_ctx ctx = {json};
    double lo, hi;
    int rc = mean && picture && vector ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for the layer trace");

    if (rc == FLY_OK && fly_engine_range(out->engine, &lo, &hi) &&
        fly_engine_chip_mean(out->engine, 0, mean) == FLY_OK) {
        fly_map_intensity(mean, mean, (int64_t)side * side, lo, hi);
        fly_resize_bilinear(mean, side, picture, px);
        fly_json_key(json, "layer_trace_chip0_mean_l2");
        fly_json_array(json);
        rc = fly_embedder_trace(embedder, picture, NULL, trace_layer, &ctx, vector);
        fly_json_end(json);
    }
    free(mean);
    free(picture);
    free(vector);
    return rc;
}

/* Labels >= 0 in both, side by side; returns how many. */
static int32_t pair_up(const int32_t *a, const int32_t *b, int32_t n, int32_t *out_a, int32_t *out_b)
{
    int32_t kept = 0;

    for (int32_t k = 0; k < n; k++)
        if (a[k] >= 0 && b[k] >= 0) {
            out_a[kept] = a[k];
            out_b[kept++] = b[k];
        }
    return kept;
}

static void tell_pair(struct fly_json *json, const char *key, const int32_t *a, const int32_t *b, int32_t n,
                      int32_t *scratch, int use_ari)
{
    int32_t kept = pair_up(a, b, n, scratch, scratch + n);

    fly_json_key(json, key);
    if (kept)
        fly_json_f64(json, use_ari ? fly_ari(scratch, scratch + n, kept) : fly_ami(scratch, scratch + n, kept));
    else
        fly_json_null(json);
}

static void tell_agreement(const struct fly_analyze_out *out, struct fly_json *json, int32_t *scratch)
{
    static const struct {
        const char *key;
        enum fly_modality a, b;
    } pairs[] = {{"haadf_eds", FLY_HAADF, FLY_EDS},
                 {"haadf_ens", FLY_HAADF, FLY_ENSEMBLE},
                 {"eds_ens", FLY_EDS, FLY_ENSEMBLE}};

    for (int use_ari = 0; use_ari < 2; use_ari++) {
        fly_json_key(json, use_ari ? "ari" : "ami");
        fly_json_object(json);
        for (int method = 0; method < FLY_METHODS; method++) {
            if (!fly_analyze_labels(out, (enum fly_method)method, FLY_ENSEMBLE))
                continue;
            fly_json_key(json, fly_method_name((enum fly_method)method));
            fly_json_object(json);
            for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++)
                tell_pair(json, pairs[p].key, fly_analyze_labels(out, (enum fly_method)method, pairs[p].a),
                          fly_analyze_labels(out, (enum fly_method)method, pairs[p].b), out->chips, scratch,
                          use_ari);
            fly_json_end(json);
        }
        fly_json_end(json);
    }
}

static int compare_int(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return x < y ? -1 : x > y;
}

/* Truth classes sorted are the few-shot classes in order: class index -> position among those present. */
static void tell_truth(const struct fly_analyze_out *out, struct fly_json *json, int32_t *scratch)
{
    int32_t *truth = scratch + 2 * out->chips, *sorted = scratch + 3 * out->chips, present = 0;

    for (int32_t k = 0; k < out->chips; k++)
        truth[k] = sorted[k] = (int32_t)fly_array_int(&out->a->truth, k);
    qsort(sorted, (size_t)out->chips, sizeof *sorted, compare_int);
    for (int32_t k = 0; k < out->chips; k++)
        if (k == 0 || sorted[k] != sorted[present - 1])
            sorted[present++] = sorted[k];
    fly_json_key(json, "vs_truth");
    fly_json_object(json);
    for (int method = 0; method < FLY_METHODS; method++) {
        fly_json_key(json, fly_method_name((enum fly_method)method));
        fly_json_object(json);
        for (int m = 0; m < FLY_MODALITIES; m++) {
            const int32_t *labels = fly_analyze_labels(out, (enum fly_method)method, (enum fly_modality)m);
            int32_t right = 0;

            if (!labels)
                continue;
            for (int32_t k = 0; k < out->chips; k++)
                right += labels[k] >= 0 && labels[k] < present && sorted[labels[k]] == truth[k];
            fly_json_key(json, fly_modality_name((enum fly_modality)m));
            fly_json_object(json);
            tell_pair(json, "ami", truth, labels, out->chips, scratch, 0);
            tell_pair(json, "ari", truth, labels, out->chips, scratch, 1);
            if (method == FLY_FEWSHOT) { /* communities have no names to be right about */
                fly_json_key(json, "acc");
                fly_json_f64(json, (double)right / (double)out->chips);
            }
            fly_json_end(json);
        }
        fly_json_end(json);
    }
    fly_json_end(json);
}

static void tell_classes(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_support *support = fly_engine_support(out->engine);
    struct fly_map_view v[FLY_MODALITIES];

    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_map(out->engine, FLY_FEWSHOT, (enum fly_modality)m, &v[m]);
    fly_json_key(json, "classes");
    fly_json_array(json);
    for (int32_t c = 0; c < support->n_classes; c++) {
        if (!support->classes[c].alive)
            continue;
        fly_json_object(json);
        fly_json_key(json, "id");
        fly_json_int(json, c);
        fly_json_key(json, "name");
        fly_json_str(json, support->classes[c].name);
        fly_json_key(json, "support");
        fly_json_int(json, support->classes[c].chips);
        fly_json_key(json, "chips");
        fly_json_object(json);
        for (int m = 0; m < FLY_MODALITIES; m++) {
            int64_t n = 0;

            for (int32_t k = 0; k < out->chips; k++)
                n += v[m].labels[k] == c;
            fly_json_key(json, fly_modality_name((enum fly_modality)m));
            fly_json_int(json, n);
        }
        fly_json_end(json);
        fly_json_end(json);
    }
    fly_json_end(json);
}

/* What each element is quantified by, in the order of the arrays' columns. */
static void tell_elements(struct fly_json *json, const struct fly_quantifier *quantifier, int32_t n)
{
    fly_json_key(json, "elements");
    fly_json_array(json);
    for (int32_t i = 0; i < n; i++) {
        struct fly_quantified_line line = fly_quantifier_line(quantifier, i);

        fly_json_object(json);
        fly_json_key(json, "symbol");
        fly_json_str(json, line.symbol);
        fly_json_key(json, "line");
        fly_json_str(json, line.line);
        fly_json_key(json, "kev");
        fly_json_f64(json, line.kev);
        fly_json_key(json, "k_weight");
        fly_json_f64(json, line.k);
        fly_json_key(json, "k_from");
        fly_json_str(json, line.users_k ? "user" : "table");
        fly_json_end(json);
    }
    fly_json_end(json);
}

static void tell_session(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_session_info *info = fly_session_facts(out->session);
    const struct fly_options *options = fly_session_options(out->session);
    const struct fly_grid *grid = fly_engine_grid(out->engine);
    double lo, hi;

    fly_json_key(json, "profile");
    fly_json_str(json, fly_options_word(options, "profile"));
    fly_json_key(json, "version");
    fly_json_str(json, FLY_VERSION);
    fly_json_key(json, "embedder");
    fly_json_str(json, fly_session_embedder_name(out->session));
    fly_json_key(json, "eds_feature_fewshot");
    fly_json_str(json, fly_engine_fewshot_feature(out->engine) == FLY_EDS_COMPOSITION ? "composition" : "spectrum");
    int32_t n_elements = 0;

    fly_engine_percent(out->engine, &n_elements, NULL);
    tell_elements(json, fly_engine_quantifier(out->engine), n_elements);
    fly_json_key(json, "session");
    fly_json_str(json, info->id);
    fly_json_key(json, "scan_shape_px");
    fly_json_row(json);
    fly_json_int(json, grid->height_px);
    fly_json_int(json, grid->width_px);
    fly_json_end(json);
    fly_json_key(json, "grid_shape");
    fly_json_row(json);
    fly_json_int(json, grid->rows);
    fly_json_int(json, grid->cols);
    fly_json_end(json);
    fly_json_key(json, "chip_px");
    fly_json_int(json, grid->side_px);
    fly_json_key(json, "haadf_range");
    if (fly_engine_range(out->engine, &lo, &hi)) {
        fly_json_row(json);
        fly_json_f64(json, lo);
        fly_json_f64(json, hi);
        fly_json_end(json);
    } else {
        fly_json_null(json);
    }
    struct fly_pub_calibration calibration;
    struct fly_pub_reliability reliability;

    fly_confidence_of(&calibration, out->engine);
    fly_json_key(json, "fewshot_calibration");
    fly_confidence_json(json, &calibration);
    fly_reliability_of(&reliability, out->engine);
    fly_json_key(json, "reliability");
    fly_reliability_json(json, &reliability);
    fly_json_key(json, "fewshot_weights");
    fly_json_row(json);
    fly_json_f64(json, options->fewshot.weights[0]);
    fly_json_f64(json, options->fewshot.weights[1]);
    fly_json_end(json);
}

static int write_json(const struct fly_analyze_out *out, struct fly_embedder *embedder)
{
    struct fly_text text;
    struct fly_json json;
    char path[2048];
    int32_t *scratch = malloc((size_t)out->chips * 4 * sizeof *scratch);
    int rc = scratch ? FLY_OK : fly_fail(FLY_ENOMEM, "result.json: no memory");

    fly_text_init(&text);
    fly_json_init(&json, &text, 0);
    fly_json_object(&json);
    tell_session(out, &json);
    if (rc == FLY_OK && embedder && !out->a->emb.bytes && fly_session_facts(out->session)->plan.image > 0 &&
        strncmp(fly_embedder_name(embedder), "spectral", 8) != 0)
        rc = tell_layers(out, &json, embedder);
    if (rc == FLY_OK) {
        tell_classes(out, &json);
        if (out->community[FLY_HAADF] || out->community[FLY_EDS])
            fly_analyze_tell_communities(out, &json);
        if (out->ward[FLY_HAADF] || out->ward[FLY_EDS])
            fly_analyze_tell_trees(out, &json);
        fly_analyze_tell_names(out, &json);
        fly_analyze_tell_quality(out, &json);
        rc = fly_analyze_dose(out, &json);
        tell_agreement(out, &json, scratch);
        if (out->a->truth.bytes && out->a->truth.npy.items == out->chips)
            tell_truth(out, &json, scratch);
        if (rc == FLY_OK)
            rc = fly_analyze_post(out, &json);
        if (rc == FLY_OK && out->a->is_case && fly_engine_quantifier(out->engine) &&
            fly_session_facts(out->session)->plan.image > 0)
            rc = fly_analyze_graphs(out, &json);
    }
    fly_json_end(&json);
    fly_json_done(&json);
    snprintf(path, sizeof path, "%s/result.json", out->dir);
    if (rc == FLY_OK)
        rc = fly_text_done(&text, "result.json");
    if (rc == FLY_OK)
        rc = fly_file_write(path, text.bytes, text.len);
    fly_text_fini(&text);
    free(scratch);
    return rc;
}

/* ---- all of it --------------------------------------------------------------------------------- */

int fly_results_write(struct fly_session *session, const struct fly_analysis *analysis,
                      struct fly_embedder *embedder, const char *dir)
{
    struct fly_analyze_out out = {.dir = dir, .session = session, .a = analysis, .engine = fly_session_engine(session)};
    const struct fly_plan *plan = &fly_session_facts(session)->plan;
    int32_t width;
    const float *emb = fly_engine_embeddings(out.engine, &width, NULL);
    int rc = FLY_OK;

    out.chips = fly_grid_chips(fly_engine_grid(out.engine));
    out.classes = fly_engine_support(out.engine)->n_classes;
    if (plan->image > 0) {
        rc = write_input(&out, analysis->emb.bytes ? NULL : embedder);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(&out, "emb", FLY_NPY_F32, 2, (int64_t[]){out.chips, width}, emb);
        if (rc == FLY_OK)
            rc = write_fewshot(&out, FLY_HAADF, "emb");
    }
    if (rc == FLY_OK && plan->n_segments) {
        rc = write_spectra(&out);
        if (rc == FLY_OK && fly_engine_quantifier(out.engine))
            rc = fly_analyze_quantities(&out);
        if (rc == FLY_OK)
            rc = write_eds_fewshot(&out, plan->image > 0);
    }
    if (rc == FLY_OK)
        rc = fly_analyze_communities(&out);
    if (rc == FLY_OK)
        rc = fly_analyze_trees(&out);
    if (rc == FLY_OK)
        rc = write_json(&out, embedder);
    fly_analyze_communities_free(&out);
    fly_analyze_trees_free(&out);
    return rc;
}

int fly_results_picture(struct fly_session *session, int map, const char *path)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_session_info *info = fly_session_facts(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    const struct fly_support *support = fly_engine_support(engine);
    struct fly_picture_class classes[FLY_MAP_CLASSES_MAX];
    char names[FLY_MAP_CLASSES_MAX][24];
    int32_t ids[FLY_MAP_CLASSES_MAX], chips[FLY_MAP_CLASSES_MAX], more;
    struct fly_map_view view;
    struct fly_text png;
    char title[160], note[200];
    float *image = NULL;
    int32_t n = 0;
    int rc = FLY_OK;

    fly_engine_map(engine, fly_map_method(map), fly_map_modality(map), &view);
    for (int32_t c = 0; fly_map_method(map) == FLY_FEWSHOT && c < support->n_classes; c++)
        if (support->classes[c].alive)
            classes[n++] = (struct fly_picture_class){c, support->classes[c].name};
    if (fly_map_method(map) != FLY_FEWSHOT)
        n = fly_label_ids(view.labels, fly_grid_chips(grid), ids, chips, FLY_MAP_CLASSES_MAX, &more);
    for (int32_t c = 0; fly_map_method(map) != FLY_FEWSHOT && c < n; c++) {
        const struct fly_name *name = fly_names_find(fly_engine_names(engine, map), ids[c]);

        fly_cluster_call(names[c], sizeof names[c], fly_map_method(map), ids[c]);
        classes[c] = (struct fly_picture_class){ids[c], name && name->name[0] ? name->name : names[c]};
    }
    if (info->plan.image > 0) {
        image = malloc((size_t)grid->height_px * (size_t)grid->width_px * sizeof *image);
        if (!image)
            return fly_fail(FLY_ENOMEM, "%s: no memory for the image", path);
        fly_engine_peek(engine, (struct fly_rect){0, 0, grid->height_px, grid->width_px}, image);
    }
    snprintf(title, sizeof title, "%s: %s, %s", info->id,
             fly_map_method(map) == FLY_FEWSHOT  ? "few-shot"
             : fly_map_method(map) == FLY_WARD ? "Ward"
                                               : "communities",
             fly_modality_name(fly_map_modality(map)));
    snprintf(note, sizeof note, "%s, profile %s, %d x %d chips of %d px", fly_session_embedder_name(session),
             fly_options_word(fly_session_options(session), "profile"), grid->rows, grid->cols, grid->side_px);
    fly_text_init(&png);
    rc = fly_picture_png(&(struct fly_scan_picture){.title = title,
                                               .note = note,
                                               .height_px = grid->height_px,
                                               .width_px = grid->width_px,
                                               .image = image,
                                               .pixel_nm = info->plan.pixel_nm[1],
                                               .rows = grid->rows,
                                               .cols = grid->cols,
                                               .side_px = grid->side_px,
                                               .pitch_px = grid->pitch_px,
                                               .labels = view.labels,
                                               .n_classes = n,
                                               .classes = classes},
                         &png);
    if (rc == FLY_OK)
        rc = fly_file_write(path, png.bytes, png.len);
    fly_text_fini(&png);
    free(image);
    return rc;
}
