/* Where boxes lie in a picture, by the sums of box_drift_sum.c: peaks, rivals, the place and how well it is known. */
#include "engine/chip/box_drift_own.h"

#include <math.h>
#include <string.h>

enum { SIDE_MAX = FLY_BOX_SIDE_MAX, PEAKS = 256 /* a lattice of 3 px has no more within the search */ };

static const double noise_sigmas = 6.0, rival_sigmas = 3.0; /* as correlate.c */
static const double rival_share = 0.03;
/* More than correlate.c's half: boxes see less, so that what has nothing in common shares more by chance. What is the same
 * shares 0.8 and more. */
static const double structure_shared = 0.7;
/* What one group of boxes more or less moves along both axes is no place that they agree upon. */
static const double disagreement_px = 0.4;
/* Below it structure is not told from what two numbers of 10^4 px differ by. */
static const double structure_least = 0.01;
/* The parabola's error between pixels, of features of 2 px. */
static const double sigma_least_px = 0.01;

struct peak {
    int32_t y, x;    /* from the corner of the search */
    double top[2];   /* beyond that, NaN: none along that axis */
    double value;    /* of r, smoothed, there */
    double sum, squares; /* over boxes, of how much the highest is above it */
};

static double ratio(double fg, double ff, double gg)
{
    return ff > 0.0 && gg > 0.0 ? fg / sqrt(ff * gg) : 0.0;
}

/* 3 x 3 values around the one at `at` of lines `stride` long, weighed 1 2 1 each way. */
static double smoothed(const double *at, int32_t stride)
{
    return (at[-stride - 1] + at[-stride + 1] + at[stride - 1] + at[stride + 1] +
            2.0 * (at[-stride] + at[-1] + at[1] + at[stride]) + 4.0 * at[0]) / 16.0;
}

static void smooth_all(struct fly_box_finder *finder)
{
    const struct fly_box_sums *s = &finder->sums;
    int32_t side = 2 * s->reach + 1;
    double r[SIDE_MAX * SIDE_MAX];

    for (int32_t i = 0; i < side * side; i++)
        r[i] = ratio(s->fg[i], s->ff, s->gg[i]);
    for (int32_t y = 1; y < side - 1; y++)
        for (int32_t x = 1; x < side - 1; x++)
            finder->smooth[y * side + x] = smoothed(r + y * side + x, side);
}

/* A quadric through 3 x 3 values by least squares: value and slopes in the middle, second derivatives. */
struct quadric {
    double value, y, x, yy, xx, xy;
};

static struct quadric quadric_of(const double *v)
{
    double all = v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7] + v[8];
    struct quadric q = {.y = (v[6] + v[7] + v[8] - v[0] - v[1] - v[2]) / 6.0,
                        .x = (v[2] + v[5] + v[8] - v[0] - v[3] - v[6]) / 6.0,
                        .yy = all / 3.0 - v[3] - v[4] - v[5],
                        .xx = all / 3.0 - v[1] - v[4] - v[7],
                        .xy = (v[0] + v[8] - v[2] - v[6]) / 4.0};

    q.value = all / 9.0 - (q.yy + q.xx) / 3.0;
    return q;
}

/* Its maximum, from the middle. Along an axis that it does not fall to both sides of, or falls to so slowly that the
 * maximum is elsewhere: NaN. */
static void top_of(const struct quadric *q, double top[2])
{
    double det = q->yy * q->xx - q->xy * q->xy;

    top[0] = q->yy < 0.0 ? -q->y / q->yy : NAN;
    top[1] = q->xx < 0.0 ? -q->x / q->xx : NAN;
    if (q->yy < 0.0 && q->xx < 0.0 && det > 0.0) {
        top[0] = -(q->xx * q->y - q->xy * q->x) / det;
        top[1] = -(q->yy * q->x - q->xy * q->y) / det;
    }
    for (int i = 0; i < 2; i++)
        if (!(fabs(top[i]) <= 1.5))
            top[i] = NAN;
}

static double value_at(const struct quadric *q, const double at[2])
{
    double y = isnan(at[0]) ? 0.0 : at[0], x = isnan(at[1]) ? 0.0 : at[1];

    return q->value + q->y * y + q->x * x + 0.5 * (q->yy * y * y + q->xx * x * x) + q->xy * y * x;
}

/* One of several equal neighbours, the first, is one. */
static int is_peak(const double *at, int32_t side)
{
    for (int32_t dy = -1; dy <= 1; dy++)
        for (int32_t dx = -1; dx <= 1; dx++) {
            double other = at[dy * side + dx];

            if ((dy || dx) && (other > *at || (other == *at && (dy < 0 || (!dy && dx < 0)))))
                return 0;
        }
    return 1;
}

static struct peak peak_at(const struct fly_box_finder *finder, int32_t y, int32_t x)
{
    int32_t side = 2 * finder->sums.reach + 1;
    struct peak peak = {.y = y, .x = x};
    struct quadric q;
    double v[9];

    for (int32_t i = 0; i < 9; i++)
        v[i] = finder->smooth[(y + i / 3 - 1) * side + x + i % 3 - 1];
    q = quadric_of(v);
    top_of(&q, peak.top);
    peak.value = value_at(&q, peak.top);
    return peak;
}

/* The PEAKS highest, the highest first. */
static int32_t find_peaks(const struct fly_box_finder *finder, struct peak *peaks)
{
    int32_t side = 2 * finder->sums.reach + 1, n = 0;

    for (int32_t y = FLY_BOX_MARGIN; y < side - FLY_BOX_MARGIN; y++)
        for (int32_t x = FLY_BOX_MARGIN; x < side - FLY_BOX_MARGIN; x++) {
            int32_t at = n < PEAKS ? n : PEAKS - 1;
            struct peak peak;

            if (!is_peak(finder->smooth + y * side + x, side))
                continue;
            peak = peak_at(finder, y, x);
            if (n == PEAKS && peak.value <= peaks[at].value)
                continue;
            for (; at > 0 && peaks[at - 1].value < peak.value; at--)
                peaks[at] = peaks[at - 1];
            peaks[at] = peak;
            n += n < PEAKS;
        }
    return n;
}

/* How much lies on each other of the structure that both have: r, were there no noise. */
static double structure(const struct fly_box_sums *s, const struct peak *peak)
{
    int32_t at = peak->y * (2 * s->reach + 1) + peak->x;
    double triples = s->triples > 0 ? s->triples : 1.0;
    double f = 1.0 - s->rough_f / triples * s->px / s->ff, g = 1.0 - s->rough_g / triples * s->px / s->gg[at];

    return fmin(ratio(s->fg[at], s->ff, s->gg[at]) / sqrt(fmax(f, structure_least) * fmax(g, structure_least)), 1.0);
}

/* fg around a peak, smoothed, where its top is; of the patch that is loaded. */
static double product_at(const struct fly_box_patch *p, const struct peak *peak)
{
    double fg[FLY_BOX_NEAR * FLY_BOX_NEAR], v[9];
    struct quadric q;

    for (int32_t dy = 0; dy < FLY_BOX_NEAR; dy++) {
        float line[FLY_BOX_LANES];

        fly_box_products(p, peak->y + dy - FLY_BOX_NEAR / 2, peak->x - FLY_BOX_NEAR / 2, line);
        for (int32_t dx = 0; dx < FLY_BOX_NEAR; dx++)
            fg[FLY_BOX_NEAR * dy + dx] = (double)line[dx];
    }
    for (int32_t i = 0; i < 9; i++)
        v[i] = smoothed(fg + (i / 3 + 1) * FLY_BOX_NEAR + i % 3 + 1, FLY_BOX_NEAR);
    q = quadric_of(v);
    return value_at(&q, peak->top);
}

static int is_close(const struct peak *peaks, int32_t i)
{
    return peaks[i].value >= (1.0 - rival_share) * peaks[0].value;
}

/* Over boxes, by how much the highest peak is above those that are not close to it. */
static void compare(struct fly_box_finder *finder, const struct fly_box_look *look, struct peak *peaks, int32_t n)
{
    const struct fly_box_sums *s = &finder->sums;
    int32_t side = 2 * s->reach + 1, far = 0;
    double norm[PEAKS];

    for (int32_t i = 0; i < n; i++) {
        norm[i] = sqrt(s->ff * s->gg[peaks[i].y * side + peaks[i].x]);
        far += !is_close(peaks, i);
    }
    for (int32_t b = 0; far && b < look->cut->n_boxes; b++) {
        double highest;

        if (!fly_box_load(&finder->patch, look, &look->cut->box[b], s->reach))
            continue;
        highest = product_at(&finder->patch, &peaks[0]) / norm[0];
        for (int32_t i = 1; i < n; i++) {
            double above;

            if (is_close(peaks, i))
                continue;
            above = highest - product_at(&finder->patch, &peaks[i]) / norm[i];
            peaks[i].sum += above;
            peaks[i].squares += above * above;
        }
    }
}

/* Of the peaks where as much of the structure is shared as is asked of the highest, those that are close to it or not surely
 * lower; it stays the first. */
static int32_t keep_rivals(struct fly_box_finder *finder, const struct fly_box_look *look, struct peak *peaks, int32_t n)
{
    const struct fly_box_sums *s = &finder->sums;
    int32_t likely = 1, kept = 1;

    for (int32_t i = 1; i < n; i++)
        if (structure(s, &peaks[i]) >= structure_shared)
            peaks[likely++] = peaks[i];
    compare(finder, look, peaks, likely);
    for (int32_t i = 1; i < likely; i++) {
        double square = peaks[i].squares - peaks[i].sum * peaks[i].sum / s->boxes;

        if (is_close(peaks, i) || peaks[i].sum <= rival_sigmas * sqrt(fmax(square, 0.0) * s->boxes / (s->boxes - 1.0)))
            peaks[kept++] = peaks[i];
    }
    return kept;
}

/* From 5 x 5 sums. */
static void top_of_sums(const double *fg, double ff, const double *gg, double top[2])
{
    double r[FLY_BOX_NEAR * FLY_BOX_NEAR], v[9];
    struct quadric q;

    for (int32_t i = 0; i < FLY_BOX_NEAR * FLY_BOX_NEAR; i++)
        r[i] = ratio(fg[i], ff, gg[i]);
    for (int32_t i = 0; i < 9; i++)
        v[i] = smoothed(r + (i / 3 + 1) * FLY_BOX_NEAR + i % 3 + 1, FLY_BOX_NEAR);
    q = quadric_of(v);
    top_of(&q, top);
}

/* Sums around the peak, by groups of boxes; returns how many groups. */
static int32_t sum_groups(struct fly_box_finder *finder, const struct fly_box_look *look, const struct peak *peak)
{
    int32_t groups = finder->sums.boxes < FLY_BOX_GROUPS ? finder->sums.boxes : FLY_BOX_GROUPS, seen_boxes = 0;

    memset(finder->group_fg, 0, sizeof finder->group_fg);
    memset(finder->group_gg, 0, sizeof finder->group_gg);
    memset(finder->group_ff, 0, sizeof finder->group_ff);
    for (int32_t b = 0; b < look->cut->n_boxes; b++) {
        int32_t g;

        if (!fly_box_load(&finder->patch, look, &look->cut->box[b], finder->sums.reach))
            continue;
        g = seen_boxes++ % groups;
        finder->group_ff[g] += finder->patch.ff;
        for (int32_t dy = 0; dy < FLY_BOX_NEAR; dy++) {
            float line[FLY_BOX_LANES];

            fly_box_products(&finder->patch, peak->y + dy - FLY_BOX_NEAR / 2, peak->x - FLY_BOX_NEAR / 2, line);
            for (int32_t dx = 0; dx < FLY_BOX_NEAR; dx++) {
                finder->group_fg[g][FLY_BOX_NEAR * dy + dx] += (double)line[dx];
                finder->group_gg[g][FLY_BOX_NEAR * dy + dx] += fly_box_spread(
                    &finder->patch, peak->y + dy - FLY_BOX_NEAR / 2, peak->x + dx - FLY_BOX_NEAR / 2);
            }
        }
    }
    return groups;
}

/* The delete-one jackknife (Efron, Stein 1981, doi:10.1214/aos/1176345462): (G - 1)/G sum (place without a group -
 * their mean)^2. */
static void refine(struct fly_box_finder *finder, const struct fly_box_look *look, const struct peak *peak,
                   struct fly_box_found *found)
{
    double fg[FLY_BOX_NEAR * FLY_BOX_NEAR] = {0}, gg[FLY_BOX_NEAR * FLY_BOX_NEAR] = {0}, ff = 0.0;
    double top[2], places[FLY_BOX_GROUPS][2];
    int32_t groups = sum_groups(finder, look, peak);

    for (int32_t g = 0; g < groups; g++) {
        ff += finder->group_ff[g];
        for (int32_t i = 0; i < FLY_BOX_NEAR * FLY_BOX_NEAR; i++) {
            fg[i] += finder->group_fg[g][i];
            gg[i] += finder->group_gg[g][i];
        }
    }
    for (int32_t g = 0; g < groups; g++) {
        double less_fg[FLY_BOX_NEAR * FLY_BOX_NEAR], less_gg[FLY_BOX_NEAR * FLY_BOX_NEAR];

        for (int32_t i = 0; i < FLY_BOX_NEAR * FLY_BOX_NEAR; i++) {
            less_fg[i] = fg[i] - finder->group_fg[g][i];
            less_gg[i] = gg[i] - finder->group_gg[g][i];
        }
        top_of_sums(less_fg, ff - finder->group_ff[g], less_gg, places[g]);
    }
    top_of_sums(fg, ff, gg, top);
    for (int i = 0; i < 2; i++) {
        int32_t from = i ? peak->x : peak->y;
        double mean = 0.0, squares = 0.0;

        for (int32_t g = 0; g < groups; g++)
            mean += places[g][i] / groups;
        for (int32_t g = 0; g < groups; g++)
            squares += (places[g][i] - mean) * (places[g][i] - mean);
        found->at_px[i] = (double)lround(look->near[i]) + from - finder->sums.reach + top[i];
        found->sigma_px[i] = hypot(sqrt((groups - 1.0) / groups * squares), sigma_least_px);
        if (isnan(squares) || isnan(top[i])) { /* nothing says that it is elsewhere than it was */
            found->at_px[i] = look->near[i];
            found->sigma_px[i] = INFINITY;
        }
    }
}

/* Where a peak is, y or x, in the reference. */
static double place(const struct fly_box_look *look, const struct peak *peak, int32_t reach, int axis)
{
    return (double)lround(look->near[axis]) + (axis ? peak->x : peak->y) - reach +
           (isnan(peak->top[axis]) ? 0.0 : peak->top[axis]);
}

static double apart(const struct fly_box_look *look, const struct peak *peak, int32_t reach, const double from[2])
{
    return hypot(place(look, peak, reach, 0) - from[0], place(look, peak, reach, 1) - from[1]);
}

/* The peak nearest to where it was last, and its nearest rival; two closer than 2 px are one, and of two so far that only
 * one of them is likely the other is none. */
static void choose(struct fly_box_finder *finder, const struct fly_box_look *look, const struct peak *peaks, int32_t n,
                   struct fly_box_found *found)
{
    int32_t reach = finder->sums.reach;
    const struct peak *best = peaks;
    double nearest = INFINITY, likely;

    for (int32_t i = 1; i < n; i++)
        if (apart(look, &peaks[i], reach, look->near) < apart(look, best, reach, look->near))
            best = &peaks[i];
    likely = apart(look, best, reach, look->near) < 0.5 * look->reach ? 0.5 * look->reach : INFINITY;
    refine(finder, look, best, found);
    found->correlation = structure(&finder->sums, best);
    for (int32_t i = 0; i < n; i++) {
        double away = apart(look, &peaks[i], reach, found->at_px);

        if (&peaks[i] == best || away < 2.0 || away >= nearest || apart(look, &peaks[i], reach, look->near) > likely)
            continue;
        nearest = away;
        found->ambiguous = 1;
        for (int axis = 0; axis < 2; axis++)
            found->rival_px[axis] = place(look, &peaks[i], reach, axis);
    }
}

void fly_box_find(struct fly_box_finder *finder, const struct fly_box_look *look, struct fly_box_found *found)
{
    const struct fly_box_sums *s = fly_box_sum(finder, look);
    struct peak peaks[PEAKS];
    double noise;
    int32_t n;

    *found = (struct fly_box_found){.rival_px = {NAN, NAN}};
    if (s->boxes < FLY_BOX_DRIFT_BOXES_MIN || !(s->white > 0.0))
        return;
    smooth_all(finder);
    n = find_peaks(finder, peaks);
    if (!n)
        return;
    /* Not less for being smoothed: what comes of noise in one picture is as smooth as the other. */
    noise = sqrt(s->white) / sqrt(s->ff * s->gg[peaks[0].y * (2 * s->reach + 1) + peaks[0].x]);
    if (!(peaks[0].value >= noise_sigmas * noise) || !(structure(s, &peaks[0]) >= structure_shared))
        return;
    n = keep_rivals(finder, look, peaks, n);
    choose(finder, look, peaks, n, found);
    found->measured = fmin(found->sigma_px[0], found->sigma_px[1]) <= disagreement_px;
}
