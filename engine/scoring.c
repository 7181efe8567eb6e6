/* Few-shot within the engine: which chips are scored in an epoch, and by what. */
#include "engine/state.h"

#include <math.h>
#include <string.h>

static int by_composition(const struct fly_engine *e, int m)
{
    return m == FLY_EDS && fly_engine_fewshot_feature(e) == FLY_EDS_COMPOSITION;
}

static struct fly_features features_of(const struct fly_engine *e, int m)
{
    if (m == FLY_HAADF)
        return (struct fly_features){e->embeddings, e->width, FLY_FEATURE_F32};
    if (by_composition(e, m))
        return (struct fly_features){e->percent, e->n_elements, FLY_FEATURE_F64};
    return (struct fly_features){fly_spectra_of(e->spectra, 0), e->config.n_channels, FLY_FEATURE_U32};
}

/* Does the chip have what is compared? A complete chip may still wait for its composition. */
static int is_ready(const struct fly_engine *e, int m, int32_t k)
{
    return by_composition(e, m) ? e->made[k] != FLY_MADE_NOT : e->modality[m].measured[k];
}

/* In the robust profile a spectrum without a single photon says nothing; the paper gives it the class of
 * the smallest norm. Neither does a composition that too few counts were there to make. What a composition
 * lacked is told as of its making: photons may have come since. */
static int says_nothing(const struct fly_engine *e, int m, int32_t k)
{
    int robust = e->config.profile == FLY_PROFILE_ROBUST;

    if (m != FLY_EDS)
        return 0;
    if (by_composition(e, m))
        return e->status[k] == FLY_QUANTIFY_TOO_FEW || (robust && e->made[k] == FLY_MADE_EMPTY);
    return robust && fly_spectra_total(e->spectra, k) == 0;
}

struct score_work {
    struct fly_engine *e;
    int m;
    const int32_t *chips;
};

/* As if it had never been scored. */
static void set_pending(struct fly_modality_state *mod, int32_t k)
{
    size_t row = (size_t)k * FLY_CLASSES_MAX;

    memset(mod->scores + row, 0, FLY_CLASSES_MAX * sizeof *mod->scores);
    if (mod->distances)
        memset(mod->distances + row, 0, FLY_CLASSES_MAX * sizeof *mod->distances);
    mod->labels[k] = FLY_LABEL_PENDING;
    mod->confidence[k] = NAN;
}

static void set_label(struct fly_modality_state *mod, int32_t k, int32_t label)
{
    mod->labels[k] = label;
    mod->confidence[k] = label >= 0 ? (float)mod->scores[(size_t)k * FLY_CLASSES_MAX + (size_t)label] : NAN;
}

static void score_job(void *arg, int32_t i, int32_t worker)
{
    struct score_work *work = arg;
    struct fly_engine *e = work->e;
    struct fly_modality_state *mod = &e->modality[work->m];
    struct fly_features features = features_of(e, work->m);
    int32_t k = work->chips[i], n = e->support.n_classes;
    double *d = mod->distances + (size_t)k * FLY_CLASSES_MAX;
    double *score = mod->scores + (size_t)k * FLY_CLASSES_MAX;

    (void)worker;
    uint32_t version = by_composition(e, work->m) ? e->made_version[k] : mod->version[k];

    mod->age[k] = version ? version - 1 : 0;
    if (!is_ready(e, work->m, k)) {
        set_pending(mod, k);
        return;
    }
    if (says_nothing(e, work->m, k)) {
        for (int32_t c = 0; c < n; c++) {
            d[c] = NAN;
            score[c] = 0.0;
        }
        set_label(mod, k, FLY_LABEL_TOO_LITTLE);
        return;
    }
    fly_fewshot_distances(&mod->prototypes, &features, k, d);
    fly_fewshot_scores(d, n, e->config.temperature, score);
    set_label(mod, k, fly_fewshot_label(score, n));
}

static void ensemble_job(void *arg, int32_t i, int32_t worker)
{
    struct score_work *work = arg;
    struct fly_engine *e = work->e;
    struct fly_modality_state *ens = &e->modality[FLY_ENSEMBLE];
    const struct fly_modality_state *a = &e->modality[FLY_HAADF], *b = &e->modality[FLY_EDS];
    int32_t k = work->chips[i], n = e->support.n_classes;
    size_t row = (size_t)k * FLY_CLASSES_MAX;
    double weights[2] = {e->config.weights[0], e->config.weights[1]};

    (void)worker;
    ens->age[k] = a->age[k] + b->age[k];
    if (!is_ready(e, FLY_HAADF, k) || !is_ready(e, FLY_EDS, k)) {
        set_pending(ens, k);
        return;
    }
    /* A spectrum that says nothing of this chip leaves the word to the image. */
    if (says_nothing(e, FLY_EDS, k)) {
        weights[0] = 1.0;
        weights[1] = 0.0;
    }
    fly_fewshot_ensemble(a->scores + row, b->scores + row, n, weights, ens->scores + row);
    set_label(ens, k, fly_fewshot_label(ens->scores + row, n));
}

/* Does any support chip stand among those whose features changed? */
static int support_moved(const struct fly_engine *e, int m)
{
    for (int32_t k = 0; k < e->n_chips; k++)
        if (e->modality[m].changed[k] && e->support.class_of[k] >= 0)
            return 1;
    return 0;
}

/* Chips to score in a modality, into e->dirty. */
static int32_t pick_changed(struct fly_engine *e, int m, int all)
{
    struct fly_modality_state *mod = &e->modality[m];
    int32_t n = 0;

    for (int32_t k = 0; k < e->n_chips; k++) {
        mod->stamp[k] = mod->changed[k] ? mod->arrived[k] : 0;
        if (mod->changed[k] || (all && is_ready(e, m, k)))
            e->dirty[n++] = k;
    }
    return n;
}

int fly_engine_score(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_modality_state *ens = &e->modality[FLY_ENSEMBLE];
    int anything = 0, all_ensemble = e->support_changed || e->ensemble_changed;

    memset(ens->changed, 0, (size_t)e->n_chips);
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        struct fly_modality_state *mod = &e->modality[m];
        int there = m == FLY_HAADF ? e->assembly != NULL : e->spectra != NULL;

        if (!there)
            continue;
        int remake = e->support_changed || support_moved(e, m);
        int all = remake || e->ensemble_changed;
        struct fly_features features = features_of(e, m);

        if (remake) {
            for (int32_t k = 0; k < e->n_chips; k++)
                e->speaks[k] = (uint8_t)(is_ready(e, m, k) && !(by_composition(e, m) &&
                                                                e->status[k] == FLY_QUANTIFY_TOO_FEW));
            fly_prototypes_make(&mod->prototypes, &e->support, &features, e->speaks);
            e->counts.prototypes_made++;
        }
        int32_t n = pick_changed(e, m, all);
        struct score_work work = {e, m, e->dirty};

        e->exec.run(e->exec.ctx, n, score_job, &work);
        e->counts.chips_scored += (uint64_t)n;
        for (int32_t i = 0; i < n; i++) {
            int32_t k = e->dirty[i];

            ens->changed[k] = 1;
            ens->measured[k] = 1;
            if (mod->changed[k] && mod->arrived[k] > ens->arrived[k])
                ens->arrived[k] = mod->arrived[k];
        }
        anything |= n > 0;
    }
    int32_t n = pick_changed(e, FLY_ENSEMBLE, all_ensemble);
    struct score_work work = {e, FLY_ENSEMBLE, e->dirty};

    e->exec.run(e->exec.ctx, n, ensemble_job, &work);
    e->counts.chips_scored += (uint64_t)n;
    /* While the other modality is awaited, the newest data of the first wait with it. */
    for (int32_t i = 0; i < n; i++)
        if (ens->labels[e->dirty[i]] != FLY_LABEL_PENDING)
            ens->arrived[e->dirty[i]] = 0;
    anything |= all_ensemble;
    e->support_changed = e->ensemble_changed = 0;
    return anything;
}
