#include "engine/region/spots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ln2 = 0.69314718055994531;

/* Decision D8: noise exceeds the bar in one picture of a hundred. */
static const double false_alarms = 0.01;

/* Independent powers that the median of one of a ring is worth: Hann's neighbours are correlated, and the
 * median of exponential powers has 0.48 of the mean's efficiency. Found as 1 / relative variance of the median over
 * rings of 12 to 140 bins of white noise: 0.26 to 0.32 a bin. */
static const double worth = 0.27;

/* Fewer periods than can be measured, since the start is good to some half: refinement decides. */
static const double periods_least = 3.5;

/* A spot in range may have its highest bin just outside: that many periods. Refinement decides. */
static const double edge = 0.75;

/* Times the background: what stands out that far is not noise, wherever. */
static const double plain_bar = 15.0;

enum { RING_LEAST = 10 }; /* bins that a background is taken from */

struct fly_annulus fly_annulus_of(const struct fly_transform *t, const struct fly_transform_work *work,
                                  const struct fly_picture *p, const double pixel[2], const double d[2])
{
    double scale = sqrt(pixel[0] * pixel[1]);

    return (struct fly_annulus){
        .power = work->half,
        .side = t->side,
        .columns = t->columns,
        .reach = t->reach,
        .y = scale / pixel[0],
        .x = scale / pixel[1],
        .in = scale * t->side / d[1],
        .out = scale * t->side / d[0],
        .period = t->side / sqrt((double)p->h * p->w),
        .period_y = (double)t->side / p->h,
        .period_x = (double)t->side / p->w,
    };
}

static double power_at(const struct fly_annulus *a, int32_t ky, int32_t kx)
{
    if (kx < 0) {
        kx = -kx;
        ky = -ky;
    }
    return (double)a->power[(size_t)kx * (size_t)a->side + (size_t)(ky < 0 ? ky + a->side : ky)];
}

/* The rows of column kx with in <= radius <= out: |ky| from first to last, both signs. 0: none. */
static int column_range(const struct fly_annulus *a, int32_t kx, double in, double out, int32_t *first, int32_t *last)
{
    double x = kx * a->x, rest = out * out - x * x, hole = in * in - x * x;
    int32_t most = (a->side - 1) / 2 - 1; /* a neighbour on either side short of the Nyquist limit */

    if (rest < 0.0 || kx > most || kx > a->columns - 2)
        return 0;
    if (most > a->reach - 1)
        most = a->reach - 1;
    *last = (int32_t)floor(sqrt(rest) / a->y);
    *first = hole > 0.0 ? (int32_t)ceil(sqrt(hole) / a->y) : 0;
    if (*last > most)
        *last = most;
    return *first <= *last;
}

/* Each bin of the half plane in a ring, once. */
#define FOR_RING(a, in, out, ky, kx)                                                                              \
    for (int32_t kx = 0, first_, last_; kx < (a)->columns; kx++)                                                  \
        if (column_range((a), kx, (in), (out), &first_, &last_))                                                  \
            for (int32_t ky = -last_; ky <= last_; ky = ky == -first_ && first_ > 0 ? first_ : ky + 1)            \
                if (kx > 0 || ky > 0)

static double radius_of(const struct fly_annulus *a, int32_t ky, int32_t kx)
{
    return sqrt(ky * a->y * (ky * a->y) + kx * a->x * (kx * a->x));
}

/* Are there periods enough that it can become a spot? */
static int periods_enough(const struct fly_annulus *a, int32_t ky, int32_t kx)
{
    double y = ky / a->period_y, x = kx / a->period_x;

    return y * y + x * x >= periods_least * periods_least;
}

static int near(const struct fly_annulus *a, const struct fly_peak *peak, int32_t ky, int32_t kx, double periods)
{
    double y = periods * a->period_y + 0.01, x = periods * a->period_x + 0.01;

    return (abs(ky - peak->ky) <= y && abs(kx - peak->kx) <= x) || (abs(ky + peak->ky) <= y && kx + peak->kx <= x);
}

static int near_any(const struct fly_annulus *a, const struct fly_peak *peaks, int32_t n, int32_t ky, int32_t kx,
                    double periods)
{
    for (int32_t i = 0; i < n; i++)
        if (near(a, &peaks[i], ky, kx, periods))
            return 1;
    return 0;
}

/* Mean power around a radius by the median, without what lies near the peaks; how many bins it is of. */
static double ring_background(const struct fly_annulus *a, double radius, double half_width,
                              const struct fly_peak *peaks, int32_t n_peaks, double periods, float *values,
                              int32_t *count)
{
    int32_t n = 0;

    FOR_RING(a, radius - half_width, radius + half_width, ky, kx)
        if (!near_any(a, peaks, n_peaks, ky, kx, periods))
            values[n++] = (float)power_at(a, ky, kx);
    *count = n;
    return n ? fly_median(values, n) / ln2 : 0.0;
}

static double widened_background(const struct fly_annulus *a, double radius, double half_width,
                                 const struct fly_peak *peaks, int32_t n_peaks, double periods, float *values,
                                 int32_t *count)
{
    double background = 0.0;

    for (int k = 0; k < 8; k++) {
        background = ring_background(a, radius, (half_width + 0.25 * k) * a->period, peaks, n_peaks, periods, values,
                                     count);
        if (*count >= RING_LEAST * a->period * a->period)
            break;
    }
    return background;
}

/* ---- finding ------------------------------------------------------------------------------------ */

/* Every bin of the annulus, and the ring of 3/2 periods it lies in. */
struct rings {
    int32_t n, bins, candidates;
    int32_t *place; /* (bins): kx M + ky, ky < 0 having M added */
    int32_t *ring;  /* (bins) */
    float *sorted;  /* (bins): power by ring, behind the power itself */
    int32_t *end;   /* (n + 1): where each ring ends in sorted; in tables 2 and 3 */
    double *bar;    /* (n): what a peak's power must exceed to be looked at; in table 4 */
};

static void rings_gather(struct rings *rings, const struct fly_annulus *a, struct fly_transform_work *work)
{
    size_t side = (size_t)a->side, half_plane = side * (side / 2 + 1);
    int32_t most = 2 * a->side / 3;
    double in = fmax(a->in - edge * a->period, 0.0), out = a->out + edge * a->period, width = out - in;
    double wanted = width / (1.5 * a->period), inverse;

    *rings = (struct rings){.n = wanted < 1.0 ? 1 : wanted > most ? most : (int32_t)wanted,
                            .place = (int32_t *)work->input,
                            .ring = (int32_t *)work->input + half_plane,
                            .sorted = work->half + side * (size_t)a->columns,
                            .end = (int32_t *)(work->table + 2 * side),
                            .bar = work->table + 4 * side};
    inverse = rings->n / width;
    memset(rings->end, 0, (size_t)(rings->n + 1) * sizeof *rings->end);
    FOR_RING(a, in, out, ky, kx) {
        int32_t ring = (int32_t)((radius_of(a, ky, kx) - in) * inverse);

        ring = ring < rings->n ? ring : rings->n - 1;
        rings->place[rings->bins] = kx * a->side + (ky < 0 ? ky + a->side : ky);
        rings->ring[rings->bins++] = ring;
        rings->end[ring + 1]++;
        rings->candidates += periods_enough(a, ky, kx);
    }
}

/* The bar that a single exponential power exceeds with the false alarm's probability, halved for medians that are
 * too high: here the ring has the spots in it. Whoever passes is weighed on its own. */
static void rings_fill(struct rings *rings, const struct fly_annulus *a, struct fly_transform_work *work)
{
    double factor;
    int32_t at = 0;

    rings_gather(rings, a, work);
    for (int32_t r = 0; r < rings->n; r++)
        rings->end[r + 1] += rings->end[r];
    for (int32_t i = 0; i < rings->bins; i++)
        rings->sorted[rings->end[rings->ring[i]]++] = a->power[rings->place[i]];
    factor = 0.5 * log((rings->candidates + 1) / false_alarms);
    for (int32_t r = 0; r < rings->n; at = rings->end[r++])
        rings->bar[r] = rings->end[r] > at ? factor * fly_median(rings->sorted + at, rings->end[r] - at) / ln2 : 0.0;
}

static int is_peak(const struct fly_annulus *a, int32_t ky, int32_t kx)
{
    double here = power_at(a, ky, kx);

    for (int32_t dy = -1; dy <= 1; dy++)
        for (int32_t dx = -1; dx <= 1; dx++) {
            double there = power_at(a, ky + dy, kx + dx);
            int before = dx < 0 || (dx == 0 && dy < 0);

            if ((dy || dx) && (there > here || (there == here && before)))
                return 0;
        }
    return here > 0.0;
}

/* Keep the FLY_PEAKS highest, sorted by snr. */
static int32_t keep(struct fly_peak *peaks, int32_t n, struct fly_peak peak)
{
    int32_t at = n;

    if (n == FLY_PEAKS && peak.snr <= peaks[n - 1].snr)
        return n;
    if (n == FLY_PEAKS)
        at = n - 1;
    for (; at > 0 && peaks[at - 1].snr < peak.snr; at--)
        peaks[at] = peaks[at - 1];
    peaks[at] = peak;
    return n < FLY_PEAKS ? n + 1 : n;
}

double fly_log_parabola(double left, double middle, double right)
{
    double l = log(fmax(left, 1e-300)), m = log(fmax(middle, 1e-300)), r = log(fmax(right, 1e-300));
    double curve = l - 2.0 * m + r;

    return curve < 0.0 ? fmin(fmax(0.5 * (l - r) / curve, -0.5), 0.5) : 0.0;
}

/* Weigh a peak against its own ring; 0: noise does that. */
static int weigh(struct fly_peak *peak, const struct fly_annulus *a, int32_t candidates,
                 struct fly_transform_work *work)
{
    double here = power_at(a, peak->ky, peak->kx), natural = a->period_y * a->period_x, chance, m;
    int32_t count;

    peak->background = widened_background(a, radius_of(a, peak->ky, peak->kx), 0.75, peak, 1, 1.0, work->input, &count);
    if (count == 0)
        return 0;
    peak->background = fmax(peak->background, 1e-12 * here); /* a picture without noise has snr 1e12 */
    peak->snr = here / peak->background;
    m = worth * count / natural;
    chance = -m * log1p(peak->snr / m);
    peak->fy = (peak->ky + fly_log_parabola(power_at(a, peak->ky - 1, peak->kx), here,
                                            power_at(a, peak->ky + 1, peak->kx))) / a->side;
    peak->fx = (peak->kx + fly_log_parabola(power_at(a, peak->ky, peak->kx - 1), here,
                                            power_at(a, peak->ky, peak->kx + 1))) / a->side;
    /* 1 - (1 - p)^N, N the candidates in periods rather than bins. */
    return chance < log(-expm1(log1p(-false_alarms) / fmax(1.0, candidates / natural)));
}

int32_t fly_peaks_find(struct fly_peak peaks[FLY_PEAKS], const struct fly_annulus *a, struct fly_transform_work *work)
{
    struct fly_peak rough[FLY_PEAKS];
    int32_t n_rough = 0, n = 0;
    struct rings rings;

    rings_fill(&rings, a, work);
    for (int32_t i = 0; i < rings.bins; i++) {
        double power = (double)a->power[rings.place[i]], bar = rings.bar[rings.ring[i]];
        int32_t kx, ky;

        if (!(power > bar))
            continue;
        kx = rings.place[i] / a->side;
        ky = rings.place[i] % a->side;
        ky = ky > a->side / 2 ? ky - a->side : ky;
        if (periods_enough(a, ky, kx) && is_peak(a, ky, kx))
            n_rough = keep(rough, n_rough, (struct fly_peak){.ky = ky, .kx = kx, .snr = power / fmax(bar, 1e-30)});
    }
    for (int32_t i = 0; i < n_rough; i++)
        if (weigh(&rough[i], a, rings.candidates, work))
            n = keep(peaks, n, rough[i]);
    return n;
}

int32_t fly_peaks_beside(struct fly_peak peaks[2 * FLY_PEAKS], int32_t n_peaks, const struct fly_annulus *a)
{
    double reach = 3.0 * a->period, bar = n_peaks ? plain_bar * peaks[0].background : 0.0;
    double side[2][2] = {{fmax(a->in - reach, 0.5 * a->period), a->in - edge * a->period},
                         {a->out + edge * a->period, a->out + reach}};
    int32_t n = 0;

    for (int k = 0; n_peaks && k < 2; k++)
        FOR_RING(a, side[k][0], side[k][1], ky, kx)
            if (power_at(a, ky, kx) > bar && !near_any(a, peaks, n_peaks, ky, kx, 1.0) && is_peak(a, ky, kx))
                n = keep(peaks + n_peaks, n, (struct fly_peak){.ky = ky, .kx = kx, .snr = power_at(a, ky, kx)});
    return n_peaks + n;
}

double fly_peak_background(const struct fly_annulus *a, const struct fly_peak *peak, const struct fly_peak *peaks,
                           int32_t n_peaks, struct fly_transform_work *work)
{
    int32_t count;
    double background = widened_background(a, radius_of(a, peak->ky, peak->kx), 1.5, peaks, n_peaks, 2.0, work->input,
                                           &count);

    /* Where spots leave next to nothing of the ring the little may be their feet. */
    if (count < 2 * RING_LEAST * a->period * a->period)
        background = count ? fmin(background, peak->background) : peak->background;
    return fmax(background, 1e-12 * peak->snr * peak->background);
}

double fly_peaks_share(const struct fly_annulus *a, const struct fly_peak *peaks, int32_t n_peaks, double floor)
{
    double all = 0.0, spots = 0.0, in = a->in * a->in, out = a->out * a->out;
    int32_t bins = 0;

    FOR_RING(a, a->in, a->out, ky, kx) {
        all += power_at(a, ky, kx);
        bins++;
    }
    all -= floor * bins;
    for (int32_t i = 0; i < n_peaks; i++) {
        int32_t y = (int32_t)(a->period_y + 0.01), x = (int32_t)(a->period_x + 0.01);

        for (int32_t ky = peaks[i].ky - y; ky <= peaks[i].ky + y; ky++)
            for (int32_t kx = peaks[i].kx - x; kx <= peaks[i].kx + x; kx++) {
                double radius = ky * a->y * (ky * a->y) + kx * a->x * (kx * a->x);

                if (radius >= in && radius <= out && !near_any(a, peaks, i, ky, kx, 1.0))
                    spots += power_at(a, ky, kx) - peaks[i].background;
            }
    }
    if (!(spots > 0.0))
        return 0.0;
    return all > spots ? spots / all : 1.0;
}
