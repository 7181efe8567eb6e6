/* Calibrated few-shot: what it costs beside the plain one, and, on scenes whose truth is known, whether its
 * confidences hold. */
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

/* Ordered and disordered LFO differ by some percent of their atoms: where both occur, neither without the other is
 * new to the X-rays, and only a damage that the image shows is. They are left out of the promise, and told apart. */
static int stands_apart(const struct label_data *data, int32_t c)
{
    int disordered = 0;

    for (int32_t k = 0; k < data->chips; k++)
        disordered |= data->truth[k] == 2;
    return c == 0 || c == 3 || (c == 1 && !disordered);
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

            for (int i = 0; i < cases; i++) {
                struct label_data data = label_scene_data(&scenes[i], (enum fly_feature_kind)eds);
                double *p = bench_need((size_t)data.chips * GOLDEN_CLASSES, sizeof *p);

                for (int seed = 0; seed < draws; seed++) {
                    struct label_trial t;

                    label_trial_open(&t, &data, SHOTS, -1, (uint64_t)seed + 1);
                    for (int m = 0; m < TRIAL_MAPS; m++)
                        add_known(&f[m], &t, &data, m);
                    add_weights(&w, &t, &data, p);
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
