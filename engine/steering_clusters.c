/* Steering without a support set: clusters stand for classes. */
#include "engine/steering.h"

#include <math.h>
#include <string.h>

#include "engine/state.h"

/* calibrate.c's: the least scatter as a share of that of all where noise is known, and where it is not; the least
 * ratio. */
static const double scatter_share_noise_known = 0.02, scatter_share = 0.1, ratio_least = 0.05;

/* What chips are compared by. */
struct feature {
    const double *f64; /* (K, width) one of both */
    const float *f32;
    const double *noise; /* (K) or NULL */
    int32_t width;
    double tau;
    const int32_t *cluster; /* (K) */
};

static int feature_of(const struct fly_engine *e, struct feature *f)
{
    *f = (struct feature){NULL};
    if (e->has_trees && e->trees.one[FLY_TREE_EDS].there && e->quantifier) {
        f->f64 = e->percent;
        f->noise = e->percent_noise;
        f->width = e->n_elements;
        f->tau = fly_tau_prior(FLY_KIND_COMPOSITION).tau;
        f->cluster = e->trees.raw[FLY_EDS];
    } else if (e->has_trees && e->trees.one[FLY_TREE_EDS].there && e->share) {
        f->f32 = e->share;
        f->noise = e->share_noise;
        f->width = e->share_width;
        f->tau = fly_tau_prior(FLY_KIND_SPECTRUM).tau;
        f->cluster = e->trees.raw[FLY_EDS];
    } else if (e->has_trees && e->trees.one[FLY_TREE_IMAGE].there) {
        f->f32 = fly_engine_comparable(e);
        f->width = e->width;
        f->tau = fly_tau_prior(FLY_KIND_EMBEDDING).tau;
        f->cluster = e->trees.raw[FLY_HAADF];
    }
    return f->width > 0;
}

static double number_of(const struct feature *f, int32_t k, int32_t i)
{
    size_t at = (size_t)k * (size_t)f->width + (size_t)i;

    return f->f64 ? f->f64[at] : (double)f->f32[at];
}

static double noise_of(const struct feature *f, int32_t k)
{
    return f->noise ? f->noise[k] : 0.0;
}

/* The chip has numbers that say something. */
static int speaks(const struct feature *f, int32_t k)
{
    return f->cluster[k] >= 0 && isfinite(noise_of(f, k));
}

static double square_to(const struct feature *f, int32_t k, const double *centre)
{
    double sum = 0.0;

    for (int32_t i = 0; i < f->width; i++) {
        double d = number_of(f, k, i) - centre[i];

        sum += d * d;
    }
    return sum;
}

/* Means of the clusters' chips, members (C). Returns how many clusters there are. */
static int32_t find_centres(const struct fly_engine *e, const struct feature *f, int32_t cap, double *centre,
                            int32_t *members)
{
    int32_t n = 0;

    for (int32_t k = 0; k < e->n_chips; k++)
        if (f->cluster[k] >= n)
            n = f->cluster[k] + 1;
    if (n > cap)
        return n;
    memset(members, 0, (size_t)n * sizeof *members);
    memset(centre, 0, (size_t)n * (size_t)f->width * sizeof *centre);
    for (int32_t k = 0; k < e->n_chips; k++) {
        double *to = centre + (size_t)f->cluster[k] * (size_t)f->width;

        if (!speaks(f, k))
            continue;
        members[f->cluster[k]]++;
        for (int32_t i = 0; i < f->width; i++)
            to[i] += number_of(f, k, i);
    }
    for (int32_t c = 0; c < n; c++)
        for (int32_t i = 0; members[c] && i < f->width; i++)
            centre[(size_t)c * (size_t)f->width + (size_t)i] /= members[c];
    return n;
}

/* Squares of chips about the means of their clusters, noise taken off, pooled; at least a share of those about the mean
 * of all. */
static double scatter_of(const struct fly_engine *e, const struct feature *f, const double *centre,
                         const int32_t *members, int32_t clusters)
{
    double within = 0.0, noise = 0.0, between = 0.0, total = 0.0, share;
    int32_t n = 0, freedom = 0;

    for (int32_t k = 0; k < e->n_chips; k++)
        if (speaks(f, k)) {
            within += square_to(f, k, centre + (size_t)f->cluster[k] * (size_t)f->width);
            noise += noise_of(f, k);
            n++;
        }
    for (int32_t c = 0; c < clusters; c++) {
        freedom += members[c] ? members[c] - 1 : 0;
        for (int32_t b = 0; b < c; b++)
            for (int32_t i = 0; members[c] && members[b] && i < f->width; i++) {
                double d = centre[(size_t)c * (size_t)f->width + (size_t)i] - centre[(size_t)b * (size_t)f->width + (size_t)i];

                between += (double)members[c] * members[b] / n * d * d;
            }
    }
    share = f->noise ? scatter_share_noise_known : scatter_share;
    total = n > 1 ? fmax(0.0, (within + between) / (n - 1) - noise / n) : 0.0;
    return fmax(freedom > 0 ? within / freedom - noise / n : 0.0, share * total);
}

/* Posterior (C) of a chip; all alike where nothing is said. */
static void judge(const struct feature *f, int32_t k, const double *centre, const int32_t *members, double scatter,
                  int32_t clusters, double *p)
{
    double spread = scatter + noise_of(f, k), sum = 0.0;

    for (int32_t c = 0; c < clusters; c++) {
        double ratio = 1.0;

        if (speaks(f, k) && spread > 0.0)
            ratio = fmax(square_to(f, k, centre + (size_t)c * (size_t)f->width) / spread, ratio_least);
        p[c] = members[c] ? pow(1.0 + ratio, -1.0 / f->tau) : 0.0;
        sum += p[c];
    }
    for (int32_t c = 0; c < clusters; c++)
        p[c] = sum > 0.0 ? p[c] / sum : 1.0 / clusters;
}

int fly_engine_steer_clusters(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_steering_state *s = &e->steering;
    int32_t members[FLY_STEER_CLASSES_MAX];
    struct feature f;
    double scatter;

    if (!feature_of(e, &f))
        return fly_fail(FLY_EAGAIN, "steering needs two classes of a support set, or clusters of a hierarchy");
    s->classes = find_centres(e, &f, s->classes_cap, s->centre, members);
    if (s->classes > s->classes_cap)
        return fly_fail(FLY_ERANGE, "steering between %d clusters, %d chips allow %d", s->classes, e->n_chips, s->classes_cap);
    if (s->classes < 2)
        return fly_fail(FLY_EAGAIN, "steering needs two clusters, or two classes of a support set: the map has %s",
                        s->classes ? "one cluster" : "no cluster yet");
    s->by_cluster = 1;
    scatter = scatter_of(e, &f, s->centre, members, s->classes);
    for (int32_t k = 0; k < e->n_chips; k++) {
        judge(&f, k, s->centre, members, scatter, s->classes, s->posterior + (size_t)k * (size_t)s->classes);
        s->measured[k] = (!e->assembly || e->modality[FLY_HAADF].measured[k]) &&
                         (!e->spectra || (e->quantifier ? e->made[k] != FLY_MADE_NOT : e->modality[FLY_EDS].measured[k]));
        s->label[k] = f.cluster[k] >= 0 ? f.cluster[k] : -1;
        s->novel[k] = NAN;
        for (int m = 0; m < 2; m++)
            s->one[m][k] = e->trees.raw[m] ? e->trees.raw[m][k] : -1;
    }
    for (int32_t c = 0; c < s->classes; c++)
        s->class_id[c] = c;
    return FLY_OK;
}
