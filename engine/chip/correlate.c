#include "engine/chip/correlate_own.h"

#include <math.h>
#include <string.h>

static const double leak = 1e-6; /* of the strongest wave's power, that a window spreads everywhere */
static const double high_enough = 0.7; /* of the highest L: correlate.h */
static const double standing_out = 6.0, least_correlation = 0.5;
static const double doubt_sigmas = 4.0, doubt_share = 0.03; /* within which two peaks are alike */

/* ---- geometry ------------------------------------------------------------------------------------------ */

/* The smallest power of 2 that is not below px. FFTW's plans for other sizes, 200 x 300 say, ask for memory each time
 * they run. */
static int32_t padded_size(int32_t px)
{
    int32_t size = FLY_CORRELATE_SIDE_MIN;

    while (size < px)
        size *= 2;
    return size;
}

static int32_t reach_of(int32_t px)
{
    return px / 4;
}

size_t fly_correlator_need(int32_t h, int32_t w)
{
    size_t ny = (size_t)padded_size(h), nx = (size_t)padded_size(w), half = ny * (nx / 2 + 1);
    size_t ry = (size_t)reach_of(h), rx = (size_t)reach_of(w), need;

    need = fly_arena_need(1, sizeof(struct fly_correlator));
    need = fly_size_add(need, fly_arena_need((size_t)h, sizeof(double)) + fly_arena_need((size_t)w, sizeof(double)));
    need = fly_size_add(need, fly_arena_need(ry + 1, sizeof(double)) + fly_arena_need(rx + 1, sizeof(double)));
    need = fly_size_add(need, 5 * fly_arena_need(half, sizeof(fftwf_complex)));
    need = fly_size_add(need, 2 * fly_arena_need((size_t)h * (size_t)w, sizeof(float)));
    need = fly_size_add(need, 2 * fly_arena_need(half, sizeof(float)) + fly_arena_need(ny, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(ny * nx, sizeof(float)) + fly_arena_need(half / 2 + 1, sizeof(float)));
    need = fly_size_add(need, fly_arena_need((2 * ry + 1) * (2 * rx + 1), sizeof(float)));
    return fly_size_add(need, fly_arena_need(2 * (ny + nx / 2 + 1), sizeof(double)));
}

void fly_window_lay(int32_t px, double moved_px, double *window)
{
    for (int32_t i = 0; i < px; i++) {
        double at = (i + 0.5 - moved_px) / px;

        window[i] = at > 0.0 && at < 1.0 ? 0.5 - 0.5 * cos(2.0 * fly_pi * at) : 0.0;
    }
}

/* Returns n * sum w^4 / (sum w^2)^2, how many of n waves a window makes alike. */
static double fill_overlap(int32_t px, int32_t n, int32_t reach, const double *window, double *overlap)
{
    double squares = 0.0, fourths = 0.0;

    for (int32_t i = 0; i < px; i++) {
        squares += window[i] * window[i];
        fourths += window[i] * window[i] * window[i] * window[i];
    }
    for (int32_t d = 0; d <= reach; d++) {
        overlap[d] = 0.0;
        for (int32_t i = 0; i + d < px; i++)
            overlap[d] += window[i] * window[i + d];
        overlap[d] /= squares;
    }
    return n * fourths / (squares * squares);
}

int fly_correlator_open(struct fly_correlator **out, int32_t h, int32_t w, struct fly_arena *arena)
{
    struct fly_correlator *c;
    size_t half, pixels, places;

    FLY_ASSERT(h >= FLY_CORRELATE_SIDE_MIN && w >= FLY_CORRELATE_SIDE_MIN && h <= FLY_CORRELATE_SIDE_MAX &&
               w <= FLY_CORRELATE_SIDE_MAX);
    if (arena->cap - arena->used < fly_correlator_need(h, w))
        return fly_fail(FLY_ENOMEM, "correlation of %d x %d px: the reserve is too small", h, w);
    c = fly_arena_take(arena, 1, sizeof *c);
    memset(c, 0, sizeof *c);
    c->h = h;
    c->w = w;
    c->ny = padded_size(h);
    c->nx = padded_size(w);
    c->columns = c->nx / 2 + 1;
    c->reach_y = reach_of(h);
    c->reach_x = reach_of(w);
    half = (size_t)c->ny * (size_t)c->columns;
    pixels = (size_t)c->ny * (size_t)c->nx;
    places = (size_t)(2 * c->reach_y + 1) * (size_t)(2 * c->reach_x + 1);
    c->window_y = fly_arena_take(arena, (size_t)h, sizeof(double));
    c->window_x = fly_arena_take(arena, (size_t)w, sizeof(double));
    c->overlap_y = fly_arena_take(arena, (size_t)c->reach_y + 1, sizeof(double));
    c->overlap_x = fly_arena_take(arena, (size_t)c->reach_x + 1, sizeof(double));
    c->reference.waves = fly_arena_take(arena, half, sizeof(fftwf_complex));
    c->now.waves = fly_arena_take(arena, half, sizeof(fftwf_complex));
    c->product = fly_arena_take(arena, half, sizeof(fftwf_complex));
    c->moved[0] = fly_arena_take(arena, half, sizeof(fftwf_complex));
    c->moved[1] = fly_arena_take(arena, half, sizeof(fftwf_complex));
    c->reference.pixels = fly_arena_take(arena, (size_t)h * (size_t)w, sizeof(float));
    c->now.pixels = fly_arena_take(arena, (size_t)h * (size_t)w, sizeof(float));
    c->end = fly_arena_take(arena, (size_t)c->ny, sizeof(int32_t));
    c->reference.power = fly_arena_take(arena, half, sizeof(float));
    c->now.power = fly_arena_take(arena, half, sizeof(float));
    c->real = fly_arena_take(arena, pixels, sizeof(float));
    c->sorted = fly_arena_take(arena, half / 2 + 1, sizeof(float));
    c->map = fly_arena_take(arena, places, sizeof(float));
    c->turn = fly_arena_take(arena, 2 * (size_t)(c->ny + c->columns), sizeof(double));
    FLY_ASSERT(c->turn);
    fly_window_lay(h, 0.0, c->window_y);
    fly_window_lay(w, 0.0, c->window_x);
    c->widening = fill_overlap(h, c->ny, c->reach_y, c->window_y, c->overlap_y) *
                  fill_overlap(w, c->nx, c->reach_x, c->window_x, c->overlap_x);
    /* Estimated, not measured: a plan chosen by timing would change bits from start to start. */
    c->forward = fftwf_plan_dft_r2c_2d(c->ny, c->nx, c->real, c->now.waves, FFTW_ESTIMATE);
    c->backward = fftwf_plan_dft_c2r_2d(c->ny, c->nx, c->product, c->real, FFTW_ESTIMATE);
    if (!c->forward || !c->backward) {
        fly_correlator_close(&c);
        return fly_fail(FLY_ENOMEM, "correlation: FFTW makes no plan for %d x %d px", h, w);
    }
    *out = c;
    return FLY_OK;
}

void fly_correlator_close(struct fly_correlator **correlator)
{
    struct fly_correlator *c = *correlator;

    if (!c)
        return;
    if (c->forward)
        fftwf_destroy_plan(c->forward);
    if (c->backward)
        fftwf_destroy_plan(c->backward);
    *correlator = NULL;
}

/* ---- one picture --------------------------------------------------------------------------------------- */

/* Takes the mean off and the range as the unit, since the square of a float should be one, too; 0 when no two pixels
 * differ. */
static int take(const struct fly_correlator *c, const float *picture, float *pixels)
{
    size_t n = (size_t)c->h * (size_t)c->w, finite = 0;
    float low = INFINITY, high = -INFINITY;
    double sum = 0.0, range;

    for (size_t i = 0; i < n; i++) {
        float v = picture[i];

        if (!isfinite(v))
            continue;
        finite++;
        sum += (double)v;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    if (!(low < high))
        return 0;
    range = (double)high - (double)low;
    for (size_t i = 0; i < n; i++)
        pixels[i] = isfinite(picture[i]) ? (float)(((double)picture[i] - sum / (double)finite) / range) : 0.0f;
    return 1;
}

void fly_correlator_transform(struct fly_correlator *c, const float *pixels, fftwf_complex *waves)
{
    double sum = 0.0, sum_y = 0.0, sum_x = 0.0;
    float mean;

    for (int32_t x = 0; x < c->w; x++)
        sum_x += c->window_x[x];
    for (int32_t y = 0; y < c->h; y++) {
        const float *from = pixels + (size_t)y * (size_t)c->w;
        double row = 0.0;

        for (int32_t x = 0; x < c->w; x++)
            row += c->window_x[x] * (double)from[x];
        sum += c->window_y[y] * row;
        sum_y += c->window_y[y];
    }
    mean = (float)(sum / (sum_y * sum_x));
    memset(c->real, 0, (size_t)c->ny * (size_t)c->nx * sizeof *c->real);
    for (int32_t y = 0; y < c->h; y++) {
        const float *from = pixels + (size_t)y * (size_t)c->w;
        float *to = c->real + (size_t)y * (size_t)c->nx;

        for (int32_t x = 0; x < c->w; x++)
            to[x] = (from[x] - mean) * (float)(c->window_y[y] * c->window_x[x]);
    }
    fftwf_execute_dft_r2c(c->forward, c->real, waves);
}

static void swap(float *a, float *b)
{
    float t = *a;

    *a = *b;
    *b = t;
}

/* The middle one of n numbers, which it moves about (Hoare's selection). n > 0. */
static float median(float *v, int32_t n)
{
    int32_t from = 0, to = n - 1, middle = n / 2;

    while (from < to) {
        float pivot = v[from + (to - from) / 2];
        int32_t i = from, j = to;

        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j)
                swap(&v[i++], &v[j--]);
        }
        if (middle <= j)
            to = j;
        else if (middle >= i)
            from = i;
        else
            break;
    }
    return v[middle];
}

static float power_of(const fftwf_complex *wave)
{
    return (*wave)[0] * (*wave)[0] + (*wave)[1] * (*wave)[1];
}

/* Power of the noise: where waves are finer than a probe shows, |k| of half the Nyquist frequency and more, every
 * second row of them. An exponential distribution's median is ln 2 times its mean, and does not see spots. */
static double noise_of(struct fly_correlator *c)
{
    const fftwf_complex *waves = c->now.waves;
    float strongest = 0.0f;
    int32_t n = 0;

    for (int32_t y = 0; y < c->ny; y += 2) {
        double ky = (double)(y <= c->ny / 2 ? y : y - c->ny) / (0.5 * c->ny);

        for (int32_t x = 0; x < c->columns; x++) {
            double kx = (double)x / (0.5 * c->nx);
            float power = power_of(&waves[(size_t)y * (size_t)c->columns + (size_t)x]);

            strongest = power > strongest ? power : strongest;
            if (ky * ky + kx * kx >= 0.25)
                c->sorted[n++] = power;
        }
    }
    return fmax((double)median(c->sorted, n) / log(2.0), (double)strongest * leak);
}

/* Waves each way that the mean power is taken over: one, or two where zeros around the picture make waves alike. */
static int32_t spread(int32_t px, int32_t n)
{
    return 2 * n >= 3 * px ? 2 : 1;
}

/* Powers of a row, continued on either side by 2 waves: those beyond the half plane are mirror images in row -y. */
static void power_row(const struct fly_correlator *c, const fftwf_complex *waves, int32_t y, float *power)
{
    const fftwf_complex *row = waves + (size_t)y * (size_t)c->columns;
    const fftwf_complex *mirror = waves + (size_t)(y ? c->ny - y : 0) * (size_t)c->columns;
    int32_t last = c->columns - 1;

    for (int32_t x = 0; x <= last; x++)
        power[x + 2] = power_of(&row[x]);
    for (int32_t d = 1; d <= 2; d++) {
        power[2 - d] = power_of(&mirror[d]);
        power[last + 2 + d] = power_of(&mirror[last - d]);
    }
}

/* Mean power of a wave and its neighbours. */
static void smooth(struct fly_correlator *c, struct fly_look *s)
{
    int32_t ny = c->ny, ry = spread(c->h, ny), rx = spread(c->w, c->nx);
    float scale = 1.0f / (float)((2 * ry + 1) * (2 * rx + 1));
    float *across = c->real; /* (ny, columns): sums along x */

    for (int32_t y = 0; y < ny; y++) {
        float *power = c->sorted, *to = across + (size_t)y * (size_t)c->columns;

        power_row(c, s->waves, y, power);
        for (int32_t x = 0; x < c->columns; x++)
            to[x] = power[x + 1] + power[x + 2] + power[x + 3];
        for (int32_t x = 0; rx == 2 && x < c->columns; x++)
            to[x] += power[x] + power[x + 4];
    }
    for (int32_t y = 0; y < ny; y++) {
        float *to = s->power + (size_t)y * (size_t)c->columns;

        memset(to, 0, (size_t)c->columns * sizeof *to);
        for (int32_t d = -ry; d <= ry; d++) {
            const float *from = across + (size_t)((y + d + ny) % ny) * (size_t)c->columns;

            for (int32_t x = 0; x < c->columns; x++)
                to[x] += from[x] * scale;
        }
    }
}

int fly_correlator_look(struct fly_correlator *correlator, const float *picture)
{
    struct fly_correlator *c = correlator;
    size_t half = (size_t)c->ny * (size_t)c->columns;
    double noise;
    float scale;

    c->has_now = take(c, picture, c->now.pixels);
    if (!c->has_now)
        return 0;
    fly_window_lay(c->h, 0.0, c->window_y);
    fly_window_lay(c->w, 0.0, c->window_x);
    fly_correlator_transform(c, c->now.pixels, c->now.waves);
    noise = noise_of(c);
    if (!(noise > 0.0)) { /* all that differs is lost under the window's edge */
        c->has_now = 0;
        return 0;
    }
    scale = (float)(1.0 / sqrt(noise));
    for (size_t i = 0; i < (size_t)c->h * (size_t)c->w; i++)
        c->now.pixels[i] *= scale;
    for (size_t i = 0; i < half; i++) {
        c->now.waves[i][0] *= scale;
        c->now.waves[i][1] *= scale;
    }
    smooth(c, &c->now);
    return 1;
}

void fly_correlator_adopt(struct fly_correlator *correlator)
{
    struct fly_look old = correlator->reference;

    FLY_ASSERT(correlator->has_now);
    correlator->reference = correlator->now;
    correlator->now = old;
    correlator->has_reference = 1;
    correlator->has_now = 0;
}

/* ---- two pictures -------------------------------------------------------------------------------------- */

/* Weighs every wave, and tells what L is where all lies on each other, and how it scatters anywhere. */
static void weigh(struct fly_correlator *c)
{
    double noise = 0.0, expected = 0.0, strong = 0.0;

    for (int32_t y = 0; y < c->ny; y++) {
        float row_noise = 0.0f, row_expected = 0.0f, row_strong = 0.0f;

        for (int32_t x = 0; x < c->columns; x++) {
            size_t i = (size_t)y * (size_t)c->columns + (size_t)x;
            float times = x == 0 || x == c->columns - 1 ? 1.0f : 2.0f; /* a wave stands for its mirror image, too */
            float weight, s = fly_structure(c, i, &weight), share = times * weight * s;

            fly_multiply(weight, &c->reference.waves[i], &c->now.waves[i], &c->product[i]);
            row_noise += times * weight * weight * (2.0f * s + 1.0f);
            row_expected += share;
            row_strong += s > fly_strong ? share : 0.0f;
        }
        noise += (double)row_noise;
        expected += (double)row_expected;
        strong += (double)row_strong;
    }
    c->noise = sqrt(noise * c->widening);
    c->all_strong = !(strong > standing_out * c->noise);
    c->expected = c->all_strong ? expected : strong;
}

static size_t place(const struct fly_correlator *c, int32_t y, int32_t x)
{
    return (size_t)(y + c->reach_y) * (size_t)(2 * c->reach_x + 1) + (size_t)(x + c->reach_x);
}

static void fill_map(struct fly_correlator *c)
{
    fftwf_execute_dft_c2r(c->backward, c->product, c->real); /* destroys the product */
    for (int32_t y = -c->reach_y; y <= c->reach_y; y++) {
        const float *row = c->real + (size_t)(y < 0 ? y + c->ny : y) * (size_t)c->nx;
        double overlap = c->overlap_y[y < 0 ? -y : y];

        for (int32_t x = -c->reach_x; x <= c->reach_x; x++)
            c->map[place(c, y, x)] =
                (float)((double)row[x < 0 ? x + c->nx : x] / (overlap * c->overlap_x[x < 0 ? -x : x]));
    }
}

/* The top of the parabola through three neighbours: where it lies, -0.5 .. 0.5, and how much it rises. */
static double top(double before, double here, double after, double *rise)
{
    double slope = 0.5 * (after - before), bend = before - 2.0 * here + after, at;

    *rise = 0.0;
    if (!(bend < 0.0))
        return 0.0;
    at = fmax(-0.5, fmin(0.5, -slope / bend));
    *rise = slope * at + 0.5 * bend * at * at;
    return at;
}

/* 1 and the peak when no neighbour is higher (of equal ones, the first in the map). */
static int peak_at(const struct fly_correlator *c, int32_t y, int32_t x, struct fly_peak *peak)
{
    float here = c->map[place(c, y, x)];
    double rise_y = 0.0, rise_x = 0.0;

    for (int32_t v = -1; v <= 1; v++)
        for (int32_t u = -1; u <= 1; u++) {
            float other;

            if (y + v < -c->reach_y || y + v > c->reach_y || x + u < -c->reach_x || x + u > c->reach_x)
                continue;
            other = c->map[place(c, y + v, x + u)];
            if (other > here || (other == here && (v < 0 || (v == 0 && u < 0))))
                return 0;
        }
    *peak = (struct fly_peak){.y_px = y, .x_px = x};
    if (y > -c->reach_y && y < c->reach_y)
        peak->y_px += top(c->map[place(c, y - 1, x)], here, c->map[place(c, y + 1, x)], &rise_y);
    if (x > -c->reach_x && x < c->reach_x)
        peak->x_px += top(c->map[place(c, y, x - 1)], here, c->map[place(c, y, x + 1)], &rise_x);
    peak->value = (double)here + rise_y + rise_x;
    return 1;
}

static double overlap_at(const struct fly_correlator *c, int32_t y, int32_t x)
{
    return c->overlap_y[y < 0 ? -y : y] * c->overlap_x[x < 0 ? -x : x];
}

int fly_correlator_compare(struct fly_correlator *correlator)
{
    struct fly_correlator *c = correlator;
    double best_overlap = 0.0;

    FLY_ASSERT(c->has_reference && c->has_now);
    weigh(c);
    fill_map(c);
    c->highest = 0.0;
    for (int32_t y = -c->reach_y; y <= c->reach_y; y++)
        for (int32_t x = -c->reach_x; x <= c->reach_x; x++)
            c->highest = fmax(c->highest, (double)c->map[place(c, y, x)] * overlap_at(c, y, x));
    c->best = (struct fly_peak){.value = -INFINITY};
    for (int32_t y = -c->reach_y; y <= c->reach_y; y++)
        for (int32_t x = -c->reach_x; x <= c->reach_x; x++) {
            struct fly_peak peak;

            if (!peak_at(c, y, x, &peak) || peak.value <= c->best.value ||
                peak.value * overlap_at(c, y, x) < high_enough * c->highest)
                continue;
            c->best = peak;
            best_overlap = overlap_at(c, y, x);
        }
    return c->best.value * best_overlap > standing_out * c->noise &&
           c->best.value > least_correlation * c->expected;
}

/* Differences of two places have the noise of both. */
static double least_value(const struct fly_correlator *c)
{
    return c->best.value * (1.0 - doubt_share) - doubt_sigmas * sqrt(2.0) * c->noise;
}

int32_t fly_correlator_peaks(const struct fly_correlator *correlator, struct fly_peak *peaks, int32_t cap)
{
    const struct fly_correlator *c = correlator;
    double least = least_value(c);
    int32_t n = 0;

    if (cap < 1)
        return 0;
    peaks[n++] = c->best;
    for (int32_t y = -c->reach_y; y <= c->reach_y; y++)
        for (int32_t x = -c->reach_x; x <= c->reach_x; x++) {
            struct fly_peak peak;

            if (n < cap && (double)c->map[place(c, y, x)] > 0.8 * least && peak_at(c, y, x, &peak) &&
                peak.value >= least && peak.value * overlap_at(c, y, x) >= high_enough * c->highest &&
                (peak.y_px != c->best.y_px || peak.x_px != c->best.x_px))
                peaks[n++] = peak;
        }
    return n;
}

static double parabola(double before, double here, double after, double at)
{
    return 0.5 * (after - before) * at + 0.5 * (before - 2.0 * here + after) * at * at;
}

/* By parabolas through the neighbours of the nearest pixel. */
static double value_at(const struct fly_correlator *c, double y_px, double x_px)
{
    int32_t y = (int32_t)floor(y_px + 0.5), x = (int32_t)floor(x_px + 0.5);
    double here = (double)c->map[place(c, y, x)], value = here;

    if (y > -c->reach_y && y < c->reach_y)
        value += parabola((double)c->map[place(c, y - 1, x)], here, (double)c->map[place(c, y + 1, x)], y_px - y);
    if (x > -c->reach_x && x < c->reach_x)
        value += parabola((double)c->map[place(c, y, x - 1)], here, (double)c->map[place(c, y, x + 1)], x_px - x);
    return value;
}

double fly_correlator_lack(const struct fly_correlator *correlator, double y_px, double x_px)
{
    const struct fly_correlator *c = correlator;

    if (fabs(y_px) > c->reach_y || fabs(x_px) > c->reach_x)
        return INFINITY;
    return (c->best.value - value_at(c, y_px, x_px)) / (c->best.value - least_value(c));
}
