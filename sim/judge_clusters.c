#include "sim/judge_clusters.h"

#include <math.h>
#include <string.h>

/* The phase that most of these chips have, and its share; -1 of none. */
static int32_t most_of(const int64_t count[FLY_PHASES], double *share)
{
    int32_t best = 0;
    int64_t sum = 0;

    for (int32_t p = 0; p < FLY_PHASES; p++) {
        sum += count[p];
        best = count[p] > count[best] ? p : best;
    }
    *share = sum ? (double)count[best] / (double)sum : NAN;
    return sum ? best : -1;
}

static void match_chips(struct fly_cluster_score *out, const struct fly_truth *truth, const int32_t *labels)
{
    int64_t count[FLY_PHASES] = {0};

    for (int32_t k = 0; labels && k < truth->rows * truth->cols; k++)
        if (labels[k] == out->id)
            count[truth->label[k]]++;
    out->phase = most_of(count, &out->purity);
}

static int match_square(struct fly_cluster_score *out, const struct fly_truth *truth, const int32_t square[3])
{
    int64_t count[FLY_PHASES] = {0};

    if (square[2] > truth->rows - square[0] || square[2] > truth->cols - square[1])
        return fly_fail(FLY_EWIRE, "clusters: the square [%d, %d, %d] leaves %d x %d chips", square[0], square[1],
                        square[2], truth->rows, truth->cols);
    for (int32_t r = square[0]; r < square[0] + square[2]; r++)
        for (int32_t c = square[1]; c < square[1] + square[2]; c++)
            count[truth->label[r * truth->cols + c]]++;
    out->square_phase = most_of(count, &out->square_purity);
    return FLY_OK;
}

static int is_word(const struct fly_cluster_read *cluster, const char *word)
{
    return cluster->found && cluster->found_len == strlen(word) && !memcmp(cluster->found, word, cluster->found_len);
}

static void judge_lattice(struct fly_cluster_score *out, const struct fly_cluster_read *cluster,
                          const struct fly_specimen *specimen)
{
    double d = out->square_phase >= 0 ? specimen->d_nm[out->square_phase] : 0.0;

    out->told = is_word(cluster, "crystalline") ? 1 : is_word(cluster, "not_crystalline") ? 0 : -1;
    out->right = out->told < 0 || out->square_phase < 0 ? -1 : out->told == (d > 0.0);
    out->d_nm = cluster->d_spacing_nm[0];
    out->d_sigma_nm = cluster->d_spacing_nm[1];
    out->d_true_nm = d > 0.0 ? d : NAN;
    out->d_error_percent = 100.0 * (out->d_nm - out->d_true_nm) / out->d_true_nm;
    out->d_error_sigma = out->d_sigma_nm > 0.0 ? (out->d_nm - out->d_true_nm) / out->d_sigma_nm : NAN;
}

static void judge_composition(struct fly_cluster_score *out, const struct fly_cluster_read *cluster,
                              const struct fly_specimen *specimen)
{
    double told[FLY_XRAY_ELEMENTS], sigma[FLY_XRAY_ELEMENTS], whole = 0.0, squares = 0.0, in_sigma = 0.0;
    int32_t n = 0, n_sigma = 0;

    out->percent_error = out->percent_sigma = NAN;
    if (out->phase < 0)
        return;
    for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
        if (fly_cluster_percent(cluster, fly_xray_symbol((enum fly_xray_element)e), &told[e], &sigma[e]))
            whole += specimen->atoms[out->phase][e];
    for (int e = 0; e < FLY_XRAY_ELEMENTS; e++) {
        double error = told[e] - 100.0 * specimen->atoms[out->phase][e] / whole;

        if (!isfinite(error))
            continue;
        squares += error * error;
        n++;
        if (sigma[e] > 0.0) {
            in_sigma += error * error / (sigma[e] * sigma[e]);
            n_sigma++;
        }
    }
    out->percent_error = n ? sqrt(squares / n) : NAN;
    out->percent_sigma = n_sigma ? sqrt(in_sigma / n_sigma) : NAN;
}

int fly_clusters_judge(struct fly_clusters_score *out, const struct fly_clusters_read *clusters,
                       const struct fly_specimen *specimen, const struct fly_truth *truth, const int32_t *labels)
{
    struct fly_value_iter it = {0};
    struct fly_value entry;

    memset(out, 0, sizeof *out);
    strcpy(out->method, clusters->method);
    strcpy(out->modality, clusters->modality);
    out->final = clusters->final;
    while (out->n < FLY_JUDGE_CLUSTERS && fly_value_next(clusters->clusters, &it, NULL, &entry)) {
        struct fly_cluster_score *score = &out->cluster[out->n];
        struct fly_cluster_read cluster;
        int rc = fly_cluster_decode(&cluster, entry);

        if (rc < 0)
            return rc;
        if (cluster.chips == 0)
            continue; /* it is gone */
        *score = (struct fly_cluster_score){.id = cluster.id, .chips = cluster.chips};
        match_chips(score, truth, labels);
        rc = match_square(score, truth, cluster.square);
        if (rc < 0)
            return rc;
        judge_lattice(score, &cluster, specimen);
        judge_composition(score, &cluster, specimen);
        out->n++;
    }
    return FLY_OK;
}

struct mean {
    double squares, chips;
};

static void add(struct mean *mean, double error, int64_t chips)
{
    if (!isfinite(error))
        return;
    mean->squares += error * error * (double)chips;
    mean->chips += (double)chips;
}

struct fly_clusters_sum fly_clusters_sum(const struct fly_clusters_score *score)
{
    struct fly_clusters_sum sum = {0};
    struct mean d[2] = {{0}}, percent[2] = {{0}};

    for (int32_t c = 0; c < score->n; c++) {
        const struct fly_cluster_score *one = &score->cluster[c];

        sum.told += one->right >= 0;
        sum.right += one->right == 1;
        add(&d[0], one->d_error_percent, one->chips);
        add(&d[1], one->d_error_sigma, one->chips);
        add(&percent[0], one->percent_error, one->chips);
        add(&percent[1], one->percent_sigma, one->chips);
    }
    sum.d_error_percent = sqrt(d[0].squares / d[0].chips);
    sum.d_error_sigma = sqrt(d[1].squares / d[1].chips);
    sum.percent_error = sqrt(percent[0].squares / percent[0].chips);
    sum.percent_sigma = sqrt(percent[1].squares / percent[1].chips);
    return sum;
}
