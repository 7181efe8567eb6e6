/* Calibrated few-shot: what it costs beside the plain one, and, on scenes whose truth is known, whether its
 * confidences hold.
 *
 *   calibrate.relabel_2601.*  the whole map anew, beside the plain scores
 *   calibrate.KIND.MAP        at size photons a chip: means over scenes and support sets of all chips, boundaries
 *                             among them; nll_ratio is to the plain softmax
 *   calibrate.KIND.weights    learned weights beside equal ones and the best there are
 *   calibrate.composition.oracle  what X-rays alone allow: the negative log likelihood of Gaussians that know mean and
 *                             covariance of every class's compositions, from all chips of the very scene. reference
 *                             is the plain softmax, calibrated what four shots a class reach. pair_*: within ordered
 *                             and disordered LFO, where both occur; not told apart at all would be ln 2, 0.693
 */
#include "tests/bench/bench.h"

#include <dirent.h>

#include "tests/bench/measure.h"
#include "tests/support/label_scene.h"

enum { CHIPS = 2601, CLASSES = 4, SHOTS = 4, ROUNDS = 31 };

/* ---- cost ------------------------------------------------------------------------------------------ */

struct costs {
    struct fly_support support;
    struct fly_left_out left;
    struct fly_prototypes prototypes;
    struct fly_calibration cal;
    struct fly_features features;
    const double *noise;
    const uint8_t *measured;
    enum fly_feature_kind kind;
    int32_t label[CHIPS];
};

static double plain_map(struct costs *c)
{
    double begin = bench_now_s();

    fly_prototypes_make(&c->prototypes, &c->support, &c->features, c->measured);
    for (int32_t k = 0; k < CHIPS; k++) {
        double d[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];

        fly_fewshot_distances(&c->prototypes, &c->features, k, d);
        fly_fewshot_scores(d, CLASSES, 1.0, score);
        c->label[k] = fly_fewshot_label(score, CLASSES);
    }
    return bench_now_s() - begin;
}

static void calibrate(struct costs *c)
{
    struct fly_tau_prior prior = fly_tau_prior(c->kind);

    fly_left_out_pick(&c->left, &c->support);
    fly_calibrate(&c->cal, &prior, &c->prototypes, &c->support, &c->features, c->noise, c->measured, &c->left);
}

static double calibrated_map(struct costs *c, double *making)
{
    double begin = bench_now_s(), made;

    fly_prototypes_make(&c->prototypes, &c->support, &c->features, c->measured);
    made = bench_now_s();
    calibrate(c);
    *making = bench_now_s() - made;
    for (int32_t k = 0; k < CHIPS; k++) {
        double d[FLY_CLASSES_MAX], ratio[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX], confidence;

        fly_fewshot_distances(&c->prototypes, &c->features, k, d);
        fly_calibrated_ratios(&c->cal, d, c->noise ? c->noise[k] : 0.0, ratio);
        fly_calibrated_scores(&c->cal, ratio, score);
        c->label[k] = fly_calibrated_label(&c->cal.unknown, ratio, score, CLASSES, &confidence);
    }
    return bench_now_s() - begin;
}

static void cost(FILE *out, const char *name, int32_t width, enum fly_feature_type type, enum fly_feature_kind kind)
{
    struct costs *c = bench_need(1, sizeof *c);
    size_t n = (size_t)CHIPS * (size_t)width;
    float *f = bench_need(n, sizeof *f);
    double *g = bench_need(n, sizeof *g), *noise = bench_need(CHIPS, sizeof *noise);
    double plain[ROUNDS], ours[ROUNDS], making[ROUNDS];
    uint8_t *measured = bench_need(CHIPS, 1);
    struct fly_rng rng = {1};
    struct fly_arena arena;

    for (size_t i = 0; i < n; i++) {
        g[i] = fly_rng_normal(&rng) + (double)((int32_t)(i / (size_t)width) / 600 % CLASSES);
        f[i] = (float)g[i];
    }
    for (int32_t k = 0; k < CHIPS; k++) {
        measured[k] = 1;
        noise[k] = 1.0;
    }
    bench_check(fly_arena_init(&arena, fly_support_need(CHIPS) + fly_left_out_need() + fly_prototypes_need(width) +
                                           fly_calibration_need(), NULL, "bench"));
    fly_support_init(&c->support, CHIPS, &arena);
    fly_left_out_init(&c->left, &arena);
    fly_prototypes_init(&c->prototypes, width, &arena);
    fly_calibration_init(&c->cal, &arena);
    c->features = (struct fly_features){type == FLY_FEATURE_F32 ? (const void *)f : (const void *)g, width, type};
    c->noise = kind == FLY_KIND_EMBEDDING ? NULL : noise;
    c->measured = measured;
    c->kind = kind;
    for (int32_t i = 0; i < CLASSES; i++) {
        const int32_t chips[SHOTS] = {i * 600, i * 600 + 1, i * 600 + 50, i * 600 + 51};
        char class_name[2] = {(char)('a' + i), 0};
        int32_t id;

        bench_check(fly_support_add(&c->support, class_name, chips, SHOTS, &id));
    }
    for (int r = 0; r < ROUNDS; r++) {
        plain[r] = plain_map(c);
        ours[r] = calibrated_map(c, &making[r]);
    }
    double theirs = bench_median(plain, ROUNDS), mine = bench_median(ours, ROUNDS);

    fprintf(out, "{\"name\": \"calibrate.relabel_2601.%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, "
                 "\"unit\": \"ms\", \"reference\": %.4g, \"ratio\": %.3f, \"calibration_ms\": %.4g}\n",
            name, width, 1e3 * mine, 1e3 * theirs, theirs / mine, 1e3 * bench_median(making, ROUNDS));
    fflush(out);
    fly_arena_fini(&arena);
    free(c);
    free(f);
    free(g);
    free(noise);
    free(measured);
}

/* ---- whether confidences hold ------------------------------------------------------------------------ */

enum { DRAWS = 8 }; /* support sets of a scene */

/* Of the maps of all scenes and support sets: means, and the worst. */
struct figures {
    int n;
    double accuracy, macro_f1, brier, ece, ece_most, nll, plain_ece, plain_nll, promised, rejected, rejected_most;
    int novel;
    double auroc, auroc_least, found;
};

static void add_known(struct figures *f, const struct label_trial *t, const struct label_data *data, int map)
{
    struct label_judgement ours = label_judge(t, data, t->p[map], 0.0);
    struct label_judgement theirs = label_judge(t, data, t->plain[map], 0.0);
    double rejected = label_novelty(t, data, map, -1).rejected;

    f->n++;
    f->accuracy += ours.accuracy;
    f->macro_f1 += ours.macro_f1;
    f->brier += ours.brier;
    f->ece += ours.ece;
    f->ece_most = fmax(f->ece_most, ours.ece);
    f->promised += ours.ece <= 0.05;
    f->nll += ours.nll;
    f->plain_ece += theirs.ece;
    f->plain_nll += theirs.nll;
    f->rejected += rejected;
    f->rejected_most = fmax(f->rejected_most, rejected);
}

static void add_novel(struct figures *f, const struct label_trial *t, const struct label_data *data, int map,
                      int32_t without)
{
    struct label_novelty novelty = label_novelty(t, data, map, without);

    if (isnan(novelty.auroc))
        return;
    f->auroc_least = f->novel ? fmin(f->auroc_least, novelty.auroc) : novelty.auroc;
    f->novel++;
    f->auroc += novelty.auroc;
    f->found += novelty.found;
}

/* Accuracy of the best of the grid's weights, which only the truth knows. */
static double best_accuracy(const struct label_trial *t, const struct label_data *data, double *p)
{
    double best = 0.0;

    for (int step = 0; step <= FLY_WEIGHT_STEPS; step++) {
        struct fly_joint joint = t->joint;
        double ratio[2][FLY_CLASSES_MAX], both[FLY_CLASSES_MAX], d[FLY_CLASSES_MAX];

        joint.weight[0] = (double)step / FLY_WEIGHT_STEPS;
        joint.weight[1] = 1.0 - joint.weight[0];
        for (int32_t k = 0; k < t->chips; k++) {
            if (!t->judged[k])
                continue;
            for (int m = 0; m < 2; m++) {
                fly_fewshot_distances(&t->prototypes[m], &data->features[m], k, d);
                fly_calibrated_ratios(&t->cal[m], d, data->noise[m] ? data->noise[m][k] : 0.0, ratio[m]);
            }
            fly_joint_scores(&joint, &t->cal[0], ratio[0], &t->cal[1], ratio[1],
                             p + (size_t)k * (size_t)t->n_classes, both);
        }
        best = fmax(best, label_judge(t, data, p, 0.0).accuracy);
    }
    return best;
}

struct weights_figures {
    int n;
    double weight, learned, even, best, worst_to_even, worst_to_best;
};

static void add_weights(struct weights_figures *w, const struct label_trial *t, const struct label_data *data,
                        double *p)
{
    double learned = label_judge(t, data, t->p[TRIAL_JOINT], 0.0).accuracy;
    double even = label_judge(t, data, t->even, 0.0).accuracy, best = best_accuracy(t, data, p);

    w->n++;
    w->weight += t->joint.weight[0];
    w->learned += learned;
    w->even += even;
    w->best += best;
    w->worst_to_even = fmin(w->worst_to_even, learned - even);
    w->worst_to_best = fmin(w->worst_to_best, learned - best);
}

static void print_figures(FILE *out, const char *eds, const char *map, double photons, const struct figures *f)
{
    fprintf(out, "{\"name\": \"calibrate.%s.%s\", \"size\": %.0f, \"threads\": 1, \"median\": %.4f, "
                 "\"unit\": \"ece\", ",
            eds, map, photons, f->ece / f->n);
    fprintf(out, "\"most\": %.4f, \"share_to_0.05\": %.3f, \"accuracy\": %.4f, \"macro_f1\": %.4f, ", f->ece_most,
            f->promised / f->n, f->accuracy / f->n, f->macro_f1 / f->n);
    fprintf(out, "\"brier\": %.4f, \"nll\": %.4f, \"plain_ece\": %.4f, \"plain_nll\": %.4f, \"nll_ratio\": %.3f, ",
            f->brier / f->n, f->nll / f->n, f->plain_ece / f->n, f->plain_nll / f->n, f->nll / f->plain_nll);
    fprintf(out, "\"known_rejected\": %.4f, \"known_rejected_most\": %.4f, \"maps\": %d", f->rejected / f->n,
            f->rejected_most, f->n);
    if (f->novel)
        fprintf(out, ", \"auroc\": %.4f, \"auroc_least\": %.4f, \"novel_found\": %.3f, \"novel_maps\": %d",
                f->auroc / f->novel, f->auroc_least, f->found / f->novel, f->novel);
    fprintf(out, "}\n");
    fflush(out);
}

static void print_weights(FILE *out, const char *eds, double photons, const struct weights_figures *w,
                          const struct figures *pair)
{
    fprintf(out, "{\"name\": \"calibrate.%s.weights\", \"size\": %.0f, \"threads\": 1, \"median\": %.4f, "
                 "\"unit\": \"accuracy\", \"reference\": %.4f, \"ratio\": %.4f, ",
            eds, photons, w->learned / w->n, w->even / w->n, w->learned / w->even);
    fprintf(out, "\"haadf_weight\": %.3f, \"best_fixed\": %.4f, \"worst_to_equal\": %.4f, \"worst_to_best\": %.4f",
            w->weight / w->n, w->best / w->n, w->worst_to_even, w->worst_to_best);
    if (pair->novel)
        fprintf(out, ", \"lfo_pair_auroc\": %.3f", pair->auroc / pair->novel);
    fprintf(out, "}\n");
    fflush(out);
}

/* ---- what compositions allow ------------------------------------------------------------------------- */

enum { ORDERED = 1, DISORDERED = 2 };

struct gaussian {
    int there;
    double mean[SCENE_ELEMENTS], root[SCENE_ELEMENTS][SCENE_ELEMENTS], log_width;
};

/* root root^T = covariance, whose lower half is given in root. */
static void factor(double root[SCENE_ELEMENTS][SCENE_ELEMENTS])
{
    for (int i = 0; i < SCENE_ELEMENTS; i++)
        for (int j = 0; j <= i; j++) {
            double sum = root[i][j];

            for (int l = 0; l < j; l++)
                sum -= root[i][l] * root[j][l];
            root[i][j] = i == j ? sqrt(sum) : sum / root[j][j];
        }
}

static void gaussian_fit(struct gaussian *g, const struct label_data *data, int32_t class_of)
{
    const double hundredth = 1e-4; /* an element that is never there still has a width, of 0.01 % */
    const double *x = data->features[1].rows;
    int32_t n = 0;

    memset(g, 0, sizeof *g);
    for (int32_t k = 0; k < data->chips; k++) {
        if (data->truth[k] != class_of || !data->speaks[1][k])
            continue;
        n++;
        for (int i = 0; i < SCENE_ELEMENTS; i++) {
            g->mean[i] += x[k * SCENE_ELEMENTS + i];
            for (int j = 0; j <= i; j++)
                g->root[i][j] += x[k * SCENE_ELEMENTS + i] * x[k * SCENE_ELEMENTS + j];
        }
    }
    g->there = n > SCENE_ELEMENTS;
    if (!g->there)
        return;
    for (int i = 0; i < SCENE_ELEMENTS; i++)
        g->mean[i] /= n;
    for (int i = 0; i < SCENE_ELEMENTS; i++)
        for (int j = 0; j <= i; j++)
            g->root[i][j] = g->root[i][j] / n - g->mean[i] * g->mean[j] + (i == j ? hundredth : 0.0);
    factor(g->root);
    for (int i = 0; i < SCENE_ELEMENTS; i++)
        g->log_width += log(g->root[i][i]);
}

/* -log density, up to what all classes share. */
static double gaussian_distance(const struct gaussian *g, const double *x)
{
    double z[SCENE_ELEMENTS], sum = 0.0;

    for (int i = 0; i < SCENE_ELEMENTS; i++) {
        z[i] = x[i] - g->mean[i];
        for (int j = 0; j < i; j++)
            z[i] -= g->root[i][j] * z[j];
        z[i] /= g->root[i][i];
        sum += z[i] * z[i];
    }
    return g->there ? 0.5 * sum + g->log_width : NAN;
}

/* Of maps: means. A pair's are of the maps that have it. */
struct oracle_figures {
    int n, pairs, ours;
    double nll, pair_share, pair_nll, pair_calibrated;
};

/* Mean -log of the right one's share of what p (K, C) gives the two; its chips counted. */
static double pair_nll(const struct label_data *data, const double *p, const uint8_t *judged, int32_t *chips)
{
    double sum = 0.0;

    *chips = 0;
    for (int32_t k = 0; k < data->chips; k++) {
        const double *row = p + (size_t)k * (size_t)data->n_classes;

        if (!judged[k] || (data->truth[k] != ORDERED && data->truth[k] != DISORDERED))
            continue;
        sum -= log(fmax(row[data->truth[k]] / (row[ORDERED] + row[DISORDERED]), 0x1p-52));
        ++*chips;
    }
    return sum / *chips;
}

static int has_pair(const struct label_data *data)
{
    for (int32_t k = 0; k < data->chips; k++)
        if (data->truth[k] == DISORDERED)
            return 1;
    return 0;
}

static void add_oracle(struct oracle_figures *o, const struct label_data *data)
{
    double *p = bench_need((size_t)data->chips * GOLDEN_CLASSES, sizeof *p), sum = 0.0;
    struct gaussian gaussian[GOLDEN_CLASSES];
    const double *x = data->features[1].rows;
    int32_t judged = 0, chips;

    for (int32_t c = 0; c < GOLDEN_CLASSES; c++)
        gaussian_fit(&gaussian[c], data, c);
    for (int32_t k = 0; k < data->chips; k++) {
        double distance[FLY_CLASSES_MAX], *score = p + (size_t)k * GOLDEN_CLASSES;

        if (!data->speaks[1][k])
            continue;
        for (int32_t c = 0; c < GOLDEN_CLASSES; c++)
            distance[c] = gaussian_distance(&gaussian[c], x + k * SCENE_ELEMENTS);
        fly_fewshot_scores(distance, GOLDEN_CLASSES, 1.0, score);
        sum -= log(fmax(score[data->truth[k]], 0x1p-52));
        judged++;
    }
    o->n++;
    o->nll += sum / judged;
    if (has_pair(data)) {
        o->pairs++;
        o->pair_nll += pair_nll(data, p, data->speaks[1], &chips);
        o->pair_share += (double)chips / judged;
    }
    free(p);
}

static void add_calibrated_pair(struct oracle_figures *o, const struct label_trial *t, const struct label_data *data)
{
    int32_t chips;

    if (!has_pair(data))
        return;
    o->ours++;
    o->pair_calibrated += pair_nll(data, t->p[TRIAL_EDS], t->judged, &chips);
}

static void print_oracle(FILE *out, double photons, const struct oracle_figures *o, const struct figures *eds)
{
    double nll = o->nll / o->n, plain = eds->plain_nll / eds->n;

    fprintf(out, "{\"name\": \"calibrate.composition.oracle\", \"size\": %.0f, \"threads\": 1, \"median\": %.4f, "
                 "\"unit\": \"nll\", \"reference\": %.4f, \"ratio\": %.3f, \"nll_ratio\": %.3f, "
                 "\"calibrated\": %.4f",
            photons, nll, plain, plain / nll, nll / plain, eds->nll / eds->n);
    if (o->pairs)
        fprintf(out, ", \"pair_share\": %.3f, \"pair_nll\": %.4f, \"pair_calibrated\": %.4f",
                o->pair_share / o->pairs, o->pair_nll / o->pairs, o->pair_calibrated / o->ours);
    fprintf(out, "}\n");
    fflush(out);
}

/* ---- scenes ------------------------------------------------------------------------------------------ */

/* Ordered and disordered LFO differ by some percent of their atoms: where both occur, neither without the other is
 * new to the X-rays, and only a damage that the image shows is. They are left out of the promise, and told apart. */
static int stands_apart(const struct label_data *data, int32_t c)
{
    return c == 0 || c == 3 || (c == ORDERED && !has_pair(data));
}

enum { CASES_MAX = 32 };

struct scene_path {
    char text[512];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct scene_path *)a)->text, ((const struct scene_path *)b)->text);
}

/* Sorted: whatever order the disk has them in, sums are the same to the last digit. */
static int find_cases(const char *folder, struct scene_path paths[CASES_MAX])
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir)) && n < CASES_MAX) {
        char truth[600];

        snprintf(paths[n].text, sizeof paths[n].text, "%.250s/%.250s", folder, entry->d_name);
        snprintf(truth, sizeof truth, "%s/truth_px.npy", paths[n].text);
        n += strncmp(entry->d_name, "table2_", 7) == 0 && golden_there(truth);
    }
    if (dir)
        closedir(dir);
    qsort(paths, (size_t)n, sizeof *paths, by_name);
    return n;
}

static void confidence(FILE *out, const char *folder, int quick)
{
    static const double doses[] = {100, 300, 1000, 3000, 10000};
    static const char *const maps[] = {"haadf", "eds", "joint"}, *const kinds[] = {"", "composition", "spectrum"};
    static struct scene_path paths[CASES_MAX];
    int cases = find_cases(folder, paths), draws = quick ? 2 : DRAWS;
    struct label_scene *scenes = bench_need((size_t)cases, sizeof *scenes);

    if (!cases)
        fprintf(stderr, "flyback bench: no scenes table2_* in %s, confidences are not judged\n", folder);
    for (int i = 0; i < cases; i++) {
        struct scene_path path = paths[i];

        label_scene_open(&scenes[i], path.text);
    }
    for (size_t d = 0; cases && d < sizeof doses / sizeof *doses; d++) {
        for (int i = 0; i < cases; i++)
            label_scene_expose(&scenes[i], doses[d], 1 + d);
        for (int eds = FLY_KIND_COMPOSITION; eds <= FLY_KIND_SPECTRUM; eds++) {
            struct figures f[TRIAL_MAPS] = {0}, pair[TRIAL_MAPS] = {0};
            struct weights_figures w = {0};
            struct oracle_figures o = {0};

            for (int i = 0; i < cases; i++) {
                struct label_data data = label_scene_data(&scenes[i], (enum fly_feature_kind)eds);
                double *p = bench_need((size_t)data.chips * GOLDEN_CLASSES, sizeof *p);

                if (eds == FLY_KIND_COMPOSITION)
                    add_oracle(&o, &data);
                for (int seed = 0; seed < draws; seed++) {
                    struct label_trial t;

                    label_trial_open(&t, &data, SHOTS, -1, (uint64_t)seed + 1);
                    for (int m = 0; m < TRIAL_MAPS; m++)
                        add_known(&f[m], &t, &data, m);
                    add_weights(&w, &t, &data, p);
                    add_calibrated_pair(&o, &t, &data);
                    label_trial_close(&t);
                    for (int32_t c = 0; c < GOLDEN_CLASSES && seed < draws / 2; c++) {
                        label_trial_open(&t, &data, SHOTS, c, (uint64_t)seed + 1);
                        for (int m = 0; m < TRIAL_MAPS; m++)
                            add_novel(stands_apart(&data, c) ? &f[m] : &pair[m], &t, &data, m, c);
                        label_trial_close(&t);
                    }
                }
                free(p);
            }
            for (int m = 0; m < TRIAL_MAPS; m++)
                print_figures(out, kinds[eds], maps[m], doses[d], &f[m]);
            print_weights(out, kinds[eds], doses[d], &w, &pair[TRIAL_JOINT]);
            if (eds == FLY_KIND_COMPOSITION)
                print_oracle(out, doses[d], &o, &f[TRIAL_EDS]);
        }
    }
    for (int i = 0; i < cases; i++)
        label_scene_close(&scenes[i]);
    free(scenes);
}

int bench_calibrate(FILE *out, const struct bench_options *options)
{
    cost(out, "embedding", 512, FLY_FEATURE_F32, FLY_KIND_EMBEDDING);
    cost(out, "composition", 12, FLY_FEATURE_F64, FLY_KIND_COMPOSITION);
    cost(out, "shares", 256, FLY_FEATURE_F32, FLY_KIND_SPECTRUM);
    confidence(out, options->cases, options->quick);
    return FLY_OK;
}
