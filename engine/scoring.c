/* Few-shot within the engine: which chips are scored in an epoch, and by what. */
#include "engine/state.h"

#include <math.h>
#include <string.h>

#include "engine/label/shares.h"

static int is_robust(const struct fly_engine *e)
{
    return e->config.profile == FLY_PROFILE_ROBUST;
}

static int by_composition(const struct fly_engine *e, int m)
{
    return m == FLY_EDS && fly_engine_fewshot_feature(e) == FLY_EDS_COMPOSITION;
}

/* What the classes of few-shot i are made of, those of the image at its level. */
static struct fly_features features_of(const struct fly_engine *e, int i)
{
    if (i != FLY_FEWSHOT_EDS)
        return fly_engine_level_features(e, i);
    if (by_composition(e, FLY_EDS))
        return (struct fly_features){e->percent, e->n_elements, FLY_FEATURE_F64};
    if (is_robust(e))
        return (struct fly_features){e->share, e->share_width, FLY_FEATURE_F32};
    return (struct fly_features){fly_spectra_of(e->spectra, 0), e->config.n_channels, FLY_FEATURE_U32};
}

/* What a chip itself is compared by (engine/levels.c): at level 0 that of level 1. */
static struct fly_features own_features(const struct fly_engine *e, int i)
{
    return features_of(e, i == 0 && e->levels.n > 1 ? 1 : i);
}

/* Expected squared errors of the rows of features (K), NULL: not known. */
static const double *noise_of(const struct fly_engine *e, int m)
{
    if (m == FLY_HAADF)
        return NULL;
    return by_composition(e, m) ? e->percent_noise : e->share_noise;
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
    int robust = is_robust(e);

    if (m != FLY_EDS)
        return 0;
    if (by_composition(e, m))
        return e->status[k] == FLY_QUANTIFY_TOO_FEW || (robust && e->made[k] == FLY_MADE_EMPTY);
    return robust && fly_spectra_total(e->spectra, k) == 0;
}

struct score_work {
    struct fly_engine *e;
    int m;
    int remade; /* the modality's prototypes, since every chip was scored */
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

static const struct fly_calibration *calibration_of(const struct fly_engine *e, int m, int32_t k)
{
    return &e->fewshot[fly_engine_fewshot_of(e, m, k)].calibration;
}

static void ratios_of(const struct fly_engine *e, int m, int32_t k, double *ratio)
{
    const double *noise = noise_of(e, m);

    fly_calibrated_ratios(calibration_of(e, m, k), e->modality[m].distances + (size_t)k * FLY_CLASSES_MAX,
                          noise ? noise[k] : 0.0, ratio);
}

/* The profile's scores of a chip from its distances, and its label. */
static void score_chip(struct fly_engine *e, int m, int32_t k)
{
    struct fly_modality_state *mod = &e->modality[m];
    double *score = mod->scores + (size_t)k * FLY_CLASSES_MAX, ratio[FLY_CLASSES_MAX], confidence;
    int32_t n = e->support.n_classes;

    if (!is_robust(e)) {
        fly_fewshot_scores(mod->distances + (size_t)k * FLY_CLASSES_MAX, n, e->config.temperature, score);
        set_label(mod, k, fly_fewshot_label(score, n));
        return;
    }
    ratios_of(e, m, k, ratio);
    fly_calibrated_scores(calibration_of(e, m, k), ratio, score);
    mod->labels[k] = fly_calibrated_label(&calibration_of(e, m, k)->unknown, ratio, score, n, &confidence);
    mod->confidence[k] = (float)confidence;
}

static void score_job(void *arg, int32_t i, int32_t worker)
{
    struct score_work *work = arg;
    struct fly_engine *e = work->e;
    struct fly_modality_state *mod = &e->modality[work->m];
    int32_t k = work->chips[i], n = e->support.n_classes, which = fly_engine_fewshot_of(e, work->m, k);
    struct fly_features features = own_features(e, which);
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
    /* A chip that is ready and unchanged was scored before: distances to prototypes that stand are as they were. */
    if (mod->changed[k])
        fly_fewshot_distances(&e->fewshot[which].prototypes, &features, k, d);
    else if (work->remade)
        fly_fewshot_distances_moved(&e->fewshot[which].prototypes, &features, k, d);
    score_chip(e, work->m, k);
}

/* Robust: both modalities' ratios in place of their scores. silent: the X-rays say nothing of this chip. Returns what
 * tells of these ratios who is unknown. */
static const struct fly_unknown *join(const struct fly_engine *e, int32_t k, int silent, double *score, double *ratio)
{
    const struct fly_calibration *image = calibration_of(e, FLY_HAADF, k), *eds = calibration_of(e, FLY_EDS, k);
    double a[FLY_CLASSES_MAX], b[FLY_CLASSES_MAX];

    ratios_of(e, FLY_HAADF, k, a);
    ratios_of(e, FLY_EDS, k, b);
    for (int32_t c = 0; silent && c < FLY_CLASSES_MAX; c++)
        b[c] = NAN;
    if (fly_joint_scores(&e->joint, image, a, eds, b, score, ratio) != 1)
        return &e->joint.unknown;
    return silent || eds->state == FLY_CALIBRATION_NONE ? &image->unknown : &eds->unknown;
}

static void score_both(struct fly_engine *e, int32_t k, int silent)
{
    struct fly_modality_state *ens = &e->modality[FLY_ENSEMBLE];
    double ratio[FLY_CLASSES_MAX], confidence;
    const struct fly_unknown *unknown = join(e, k, silent, ens->scores + (size_t)k * FLY_CLASSES_MAX, ratio);

    ens->labels[k] = fly_calibrated_label(unknown, ratio, ens->scores + (size_t)k * FLY_CLASSES_MAX,
                                          e->support.n_classes, &confidence);
    ens->confidence[k] = (float)confidence;
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
    if (is_robust(e)) {
        score_both(e, k, says_nothing(e, FLY_EDS, k));
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

/* Spectra of the chips to be scored, as shares. */
static void make_shares(struct fly_engine *e)
{
    for (int32_t k = 0; k < e->n_chips; k++)
        if (e->modality[FLY_EDS].changed[k] && e->modality[FLY_EDS].measured[k])
            e->share_noise[k] = fly_shares_make(fly_spectra_of(e->spectra, k), e->config.n_channels, e->share_channels,
                                                e->share + (size_t)k * (size_t)e->share_width);
}

static enum fly_feature_kind kind_of(const struct fly_engine *e, int m)
{
    return m == FLY_HAADF         ? FLY_KIND_EMBEDDING
           : by_composition(e, m) ? FLY_KIND_COMPOSITION
                                  : FLY_KIND_SPECTRUM;
}

static void calibrate(struct fly_engine *e, int i)
{
    struct fly_calibration *calibration = &e->fewshot[i].calibration;
    int m = i == FLY_FEWSHOT_EDS ? FLY_EDS : FLY_HAADF;
    struct fly_tau_prior prior = fly_tau_prior(kind_of(e, m));
    struct fly_features features = features_of(e, i);

    fly_calibrate(calibration, &prior, &e->fewshot[i].prototypes, &e->support, &features, noise_of(e, m), e->speaks,
                  &e->left_out);
    if (m == FLY_HAADF)
        fly_calibration_widen(calibration, fly_engine_level_missing(e, i));
    calibration->tau *= e->config.temperature;
    /* One chip a class tells nothing of how far its others lie. */
    if (calibration->left_out == 0)
        calibration->unknown.threshold = INFINITY;
}

/* Classes of a modality anew, at every level that a chip is compared at. */
static void make_classes(struct fly_engine *e, int m)
{
    int first = m == FLY_EDS ? FLY_FEWSHOT_EDS : 0, end = m == FLY_EDS ? FLY_FEWSHOTS : e->levels.n;

    for (int32_t k = 0; k < e->n_chips; k++)
        e->speaks[k] = (uint8_t)(is_ready(e, m, k) &&
                                 !(by_composition(e, m) && e->status[k] == FLY_QUANTIFY_TOO_FEW) &&
                                 !(is_robust(e) && says_nothing(e, m, k)));
    if (is_robust(e))
        fly_left_out_pick(&e->left_out, &e->support);
    for (int i = first; i < end; i++) {
        struct fly_features features = features_of(e, i);

        if (!e->fewshot[i].in_use)
            continue;
        fly_prototypes_make(&e->fewshot[i].prototypes, &e->support, &features, e->speaks);
        if (is_robust(e))
            calibrate(e, i);
    }
    e->counts.prototypes_made++;
}

/* Equal weights are nobody's opinion: they are learned, or where no chip can be left out follow how well each modality
 * repeats itself. In a session of one modality there is nothing to weigh. */
static void weigh(struct fly_engine *e)
{
    const double *given = e->config.weights[0] == e->config.weights[1] ? NULL : e->config.weights;
    const struct fly_repeat_use *repeat = &e->reliability.use[FLY_REPEAT_FEWSHOT];
    const struct fly_calibration *image = fly_engine_main_calibration(e, FLY_HAADF);

    if (!e->assembly || !e->spectra) {
        e->joint.weight[0] = e->assembly ? 1.0 : 0.0;
        e->joint.weight[1] = e->spectra ? 1.0 : 0.0;
        e->joint.reason = FLY_WEIGHTS_ALONE;
        return;
    }
    fly_joint_fit(&e->joint, image, &e->fewshot[FLY_FEWSHOT_EDS].calibration, &e->left_out, given);
    if (e->joint.left_out == 0)
        e->joint.unknown.threshold = INFINITY;
    if (e->joint.reason == FLY_WEIGHTS_EQUAL && image->state != FLY_CALIBRATION_NONE &&
        repeat->reason == FLY_REPEAT_MEASURED) {
        e->joint.weight[0] = repeat->weight[0];
        e->joint.weight[1] = repeat->weight[1];
        e->joint.reason = FLY_WEIGHTS_REPEAT;
    }
}

double fly_engine_known(const struct fly_engine *engine, enum fly_modality modality, int32_t chip)
{
    const struct fly_engine *e = engine;
    double ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], least = INFINITY;
    const struct fly_unknown *unknown;
    int silent = modality != FLY_HAADF && says_nothing(e, FLY_EDS, chip);

    if (!is_robust(e) || (silent && modality == FLY_EDS))
        return NAN;
    if (modality == FLY_ENSEMBLE) {
        unknown = join(e, chip, silent, score, ratio);
    } else {
        unknown = &calibration_of(e, (int)modality, chip)->unknown;
        ratios_of(e, (int)modality, chip, ratio);
    }
    for (int32_t c = 0; c < e->support.n_classes; c++)
        if (ratio[c] < least)
            least = ratio[c];
    return isinf(least) || isinf(unknown->threshold) ? NAN : fly_unknown_known(unknown, least);
}

const struct fly_calibration *fly_engine_calibration(const struct fly_engine *engine, enum fly_modality modality)
{
    FLY_ASSERT(modality != FLY_ENSEMBLE);
    return is_robust(engine) ? fly_engine_main_calibration(engine, (int)modality) : NULL;
}

const struct fly_joint *fly_engine_joint(const struct fly_engine *engine)
{
    return is_robust(engine) ? &engine->joint : NULL;
}

int fly_engine_score(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_modality_state *ens = &e->modality[FLY_ENSEMBLE];
    int anything = 0, all_ensemble = e->support_changed || e->ensemble_changed, calibrated = 0;
    int levels_moved = fly_engine_settle_levels(e);

    memset(ens->changed, 0, (size_t)e->n_chips);
    if (e->share && !by_composition(e, FLY_EDS))
        make_shares(e);
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        struct fly_modality_state *mod = &e->modality[m];
        int there = m == FLY_HAADF ? e->assembly != NULL : e->spectra != NULL;

        if (!there)
            continue;
        int remake = e->support_changed || (is_robust(e) && e->ensemble_changed) || support_moved(e, m) ||
                     (m == FLY_HAADF && levels_moved);
        int all = remake || e->ensemble_changed;

        if (remake) {
            make_classes(e, m);
            calibrated |= is_robust(e);
        }
        int32_t n = pick_changed(e, m, all);
        struct score_work work = {e, m, remake, e->dirty};

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
    if (calibrated) {
        weigh(e);
        all_ensemble = 1;
    }
    int32_t n = pick_changed(e, FLY_ENSEMBLE, all_ensemble);
    struct score_work work = {e, FLY_ENSEMBLE, 0, e->dirty};

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
