#include "engine/embed/spectral.h"

#include <fftw3.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/embed/kind.h"

enum { RINGS = FLY_SPECTRAL_RINGS, SECTORS = FLY_SPECTRAL_SECTORS, BINS = RINGS * SECTORS, BATCH = 8 };

static const double pi = 3.14159265358979323846;
static const double least_waves = 0.6; /* a chip, of the innermost ring: below, only the window is seen */

/* A coefficient of the half plane that lies in a ring. */
struct wave {
    uint32_t at;     /* in the spectrum, (N, N / 2 + 1) */
    float count;     /* 2 where its mirror image is not in the half plane, else 1 */
    float c2, s2;    /* count times cosine and sine of 2 and 4 times its angle */
    float c4, s4;
};

/* White noise of variance 1, in the power of some coefficients or in the length of their sum with a direction. */
struct white {
    double power;   /* mean of their power */
    double scatter; /* mean square of what it adds to the sum */
};

struct workspace {
    float *padded;           /* (N, N), zero outside the chip */
    fftwf_complex *spectrum; /* (N, N / 2 + 1) */
};

struct spectral {
    int32_t side, padded_px; /* S, N */
    fftwf_plan plan;
    double *window;          /* (S) */
    double window_sum;       /* of the 2-D window */
    double power_scale;      /* |F|^2 to grey^2 */
    struct white bins[BINS]; /* what white noise of variance 1 makes of them */
    struct white rings[RINGS], stripes[RINGS], square[RINGS]; /* the latter: power that of the ring */
    struct wave *waves;      /* sorted by ring and sector */
    uint32_t bin_end[BINS];  /* waves of bin b: bin_end[b - 1] .. bin_end[b] - 1 */
    struct workspace *workspaces; /* (workers) */
    struct fly_arena arena;  /* all arrays above */
};

/* The smallest even product of 2, 3 and 5 that is not below px: sizes that FFTW does fast. */
static int32_t fast_size(int32_t px)
{
    for (int32_t size = px + px % 2;; size += 2) {
        int32_t rest = size;

        for (int32_t p = 2; p <= 5; p++)
            while (rest % p == 0)
                rest /= p;
        if (rest == 1)
            return size;
    }
}

static int32_t padded_size(int32_t side)
{
    int32_t wanted = side < 64 ? 2 * side : side + 64;

    return fast_size(wanted < 64 ? 64 : wanted);
}

/* The bin of the coefficient in row y, column x of the half plane, or -1; its angle from the fast axis. */
static int32_t bin_of(const struct spectral *s, int32_t y, int32_t x, double *angle)
{
    double step = (double)s->side / s->padded_px; /* waves a chip between two coefficients */
    double ky = (y <= s->padded_px / 2 ? y : y - s->padded_px) * step, kx = x * step;
    double waves = hypot(ky, kx), most = 0.5 * s->side;
    double turn;
    int32_t ring, sector;

    if (waves < least_waves || waves >= most)
        return -1;
    ring = (int32_t)(RINGS * log(waves / least_waves) / log(most / least_waves));
    *angle = atan2(ky, kx);
    turn = *angle / pi + 0.5 / SECTORS;
    sector = (int32_t)floor((turn - floor(turn)) * SECTORS);
    FLY_ASSERT(ring >= 0 && sector >= 0);
    return (ring < RINGS ? ring : RINGS - 1) * SECTORS + (sector < SECTORS ? sector : SECTORS - 1);
}

/* Two passes over the half plane: count the waves of each bin, then put each in its place. */
static void sort_waves(struct spectral *s)
{
    int32_t n = s->padded_px, columns = n / 2 + 1;
    uint32_t next[BINS], counts[BINS] = {0}, first = 0;
    double angle = 0.0;

    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < columns; x++) {
            int32_t bin = bin_of(s, y, x, &angle);

            if (bin >= 0)
                counts[bin]++;
        }
    for (int32_t b = 0; b < BINS; b++) {
        next[b] = first;
        first += counts[b];
        s->bin_end[b] = first;
    }
    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < columns; x++) {
            int32_t bin = bin_of(s, y, x, &angle);
            float count = x == 0 || 2 * x == n ? 1.0f : 2.0f;

            if (bin < 0)
                continue;
            s->waves[next[bin]++] = (struct wave){.at = (uint32_t)(y * columns + x),
                                                  .count = count,
                                                  .c2 = count * (float)cos(2.0 * angle),
                                                  .s2 = count * (float)sin(2.0 * angle),
                                                  .c4 = count * (float)cos(4.0 * angle),
                                                  .s4 = count * (float)sin(4.0 * angle)};
        }
}

static void fill_window(struct spectral *s)
{
    double sum = 0.0, squares = 0.0, pixels = (double)s->padded_px * s->padded_px;

    for (int32_t i = 0; i < s->side; i++) {
        s->window[i] = 0.5 - 0.5 * cos(2.0 * pi * (i + 0.5) / s->side);
        sum += s->window[i];
        squares += s->window[i] * s->window[i];
    }
    s->window_sum = sum * sum;
    s->power_scale = 1.0 / (squares * squares * pixels);
}

/* The window's power of that exponent as a wave sees it, of a full turn every N / shift samples; 1 at 0. */
static double window_at(const struct spectral *s, int32_t shift, int exponent)
{
    double sum = 0.0, all = 0.0;

    for (int32_t i = 0; i < s->side; i++) {
        double w = exponent == 2 ? s->window[i] * s->window[i] : s->window[i];

        sum += w * cos(2.0 * pi * shift * (i - 0.5 * (s->side - 1)) / s->padded_px);
        all += w;
    }
    return sum / all;
}

/* The plane of coefficients, both halves. */
struct plane {
    int32_t n;     /* N */
    int32_t reach; /* coefficients further apart along an axis have nothing in common */
    int16_t *bin;  /* (N, N), -1: of none */
    float *angle;  /* (N, N) */
    double *mean;  /* (N) of the mean that is taken off, along one axis */
    double *own;   /* (N) of the window's square */
};

/* Covariance of two coefficients of white noise of variance 1, in units of 1 / N^2: the window's, the mean being taken off. */
static double common_of(const struct plane *p, int32_t y, int32_t x, int32_t v, int32_t u)
{
    double a = p->mean[y] * p->mean[x], b = p->mean[v] * p->mean[u];

    return p->own[(y - v + p->n) % p->n] * p->own[(x - u + p->n) % p->n] - b * p->own[y] * p->own[x] -
           a * p->own[v] * p->own[u] + a * b;
}

/* What the coefficient in row y, column x has in common with those of its ring: real pictures have it twice, with a
 * coefficient and with its mirror image. */
static void add_white(struct spectral *s, const struct plane *p, int32_t y, int32_t x)
{
    int32_t here = p->bin[y * p->n + x], r = here / SECTORS;
    double unit = 1.0 / ((double)p->n * p->n), power = unit * common_of(p, y, x, y, x);

    s->bins[here].power += power;
    s->rings[r].power += power;
    for (int32_t dy = -p->reach; dy <= p->reach; dy++)
        for (int32_t dx = -p->reach; dx <= p->reach; dx++) {
            int32_t v = (y + dy + p->n) % p->n, u = (x + dx + p->n) % p->n, there = p->bin[v * p->n + u];
            double turn = (double)(p->angle[y * p->n + x] - p->angle[v * p->n + u]), square;

            if (there < 0 || there / SECTORS != r)
                continue;
            square = unit * common_of(p, y, x, v, u);
            square *= 2.0 * square;
            s->rings[r].scatter += square;
            s->stripes[r].scatter += square * cos(2.0 * turn);
            s->square[r].scatter += square * cos(4.0 * turn);
            if (there == here)
                s->bins[here].scatter += square;
        }
}

/* Fill what white noise makes of bins and rings. */
static int measure_white(struct spectral *s)
{
    int32_t n = s->padded_px;
    struct plane p = {.n = n, .reach = 4 * n / s->side < n / 2 ? 4 * n / s->side : n / 2 - 1};
    size_t area = (size_t)n * (size_t)n;
    struct fly_arena arena;
    int rc = fly_arena_init(&arena,
                            fly_arena_need(area, sizeof *p.bin) + fly_arena_need(area, sizeof *p.angle) +
                                2 * fly_arena_need((size_t)n, sizeof(double)),
                            NULL, "spectral: plane of coefficients");

    if (rc < 0)
        return rc;
    p.bin = fly_arena_take(&arena, area, sizeof *p.bin);
    p.angle = fly_arena_take(&arena, area, sizeof *p.angle);
    p.mean = fly_arena_take(&arena, (size_t)n, sizeof(double));
    p.own = fly_arena_take(&arena, (size_t)n, sizeof(double));
    FLY_ASSERT(p.bin && p.angle && p.mean && p.own);
    for (int32_t i = 0; i < n; i++) {
        p.mean[i] = window_at(s, i, 1);
        p.own[i] = window_at(s, i, 2);
    }
    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < n; x++) {
            double angle = 0.0;
            int32_t half = x > n / 2; /* the mirror image is in the half plane */

            p.bin[y * n + x] = (int16_t)(half ? bin_of(s, (n - y) % n, n - x, &angle) : bin_of(s, y, x, &angle));
            p.angle[y * n + x] = (float)angle;
        }
    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < n; x++)
            if (p.bin[y * n + x] >= 0)
                add_white(s, &p, y, x);
    for (int32_t r = 0; r < RINGS; r++)
        s->stripes[r].power = s->square[r].power = s->rings[r].power;
    fly_arena_fini(&arena);
    return FLY_OK;
}

static void spectral_close(void *self)
{
    struct spectral *s = self;

    if (!s)
        return;
    if (s->plan)
        fftwf_destroy_plan(s->plan);
    fly_arena_fini(&s->arena);
    free(s);
}

static int spectral_open(void **self, struct fly_embedder_facts *facts,
                         const struct fly_embedder_config *config)
{
    size_t workers = (size_t)config->width, side = (size_t)config->side_px, n, half, need;
    struct spectral *s;
    int rc;

    if (config->input_px && config->input_px != config->side_px)
        return fly_fail(FLY_ERANGE, "spectral: input of %d px, it takes chips as they are, %d px (or 0)",
                        config->input_px, config->side_px);
    s = calloc(1, sizeof *s);
    if (!s)
        return fly_fail(FLY_ENOMEM, "spectral: no memory for its handle");
    s->side = config->side_px;
    s->padded_px = padded_size(s->side);
    n = (size_t)s->padded_px;
    half = n * (n / 2 + 1);
    need = fly_arena_need(side, sizeof *s->window) + fly_arena_need(half, sizeof *s->waves) +
           fly_arena_need(workers, sizeof *s->workspaces) +
           workers * (fly_arena_need(n * n, sizeof(float)) + fly_arena_need(half, sizeof(fftwf_complex)));
    rc = fly_arena_init(&s->arena, need, NULL, "spectral");
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->window = fly_arena_take(&s->arena, side, sizeof *s->window);
    s->waves = fly_arena_take(&s->arena, half, sizeof *s->waves);
    s->workspaces = fly_arena_take(&s->arena, workers, sizeof *s->workspaces);
    FLY_ASSERT(s->window && s->waves && s->workspaces);
    for (size_t i = 0; i < workers; i++) {
        s->workspaces[i].padded = fly_arena_take(&s->arena, n * n, sizeof(float));
        s->workspaces[i].spectrum = fly_arena_take(&s->arena, half, sizeof(fftwf_complex));
        FLY_ASSERT(s->workspaces[i].padded && s->workspaces[i].spectrum);
    }
    fill_window(s);
    sort_waves(s);
    rc = measure_white(s);
    if (rc < 0) {
        spectral_close(s);
        return rc;
    }
    /* Estimated, not measured: a plan chosen by timing would change bits from start to start. FFTW's
     * planner is not thread-safe; open belongs to one thread. */
    s->plan = fftwf_plan_dft_r2c_2d(s->padded_px, s->padded_px, s->workspaces[0].padded,
                                    s->workspaces[0].spectrum, FFTW_ESTIMATE);
    if (!s->plan) {
        spectral_close(s);
        return fly_fail(FLY_ENOMEM, "spectral: FFTW makes no plan for %zu x %zu", n, n);
    }
    facts->width = FLY_SPECTRAL_WIDTH;
    facts->batch = BATCH;
    facts->input_px = s->side;
    facts->bytes = sizeof *s + s->arena.cap;
    facts->levels = 1;
    snprintf(facts->name, sizeof facts->name, "spectral/%d", FLY_SPECTRAL_WIDTH);
    *self = s;
    return FLY_OK;
}

/* Variance of white noise, as a mask sees it that is blind to planes, edges along the axes and, nearly, long waves. */
static double noise_of(const double *picture, int32_t side)
{
    double sum = 0.0;

    for (int32_t y = 1; y + 1 < side; y++)
        for (int32_t x = 1; x + 1 < side; x++) {
            const double *at = picture + (size_t)y * (size_t)side + (size_t)x, *up = at - side, *down = at + side;
            double d = up[-1] - 2.0 * up[0] + up[1] - 2.0 * at[-1] + 4.0 * at[0] - 2.0 * at[1] + down[-1] -
                       2.0 * down[0] + down[1];

            sum += d * d;
        }
    return sum / (36.0 * (side - 2) * (side - 2));
}

/* White noise of a picture: the variance it has, and the variance it would have more, had it been measured shorter. */
struct noise {
    double there, more;
};

/* Mean, standard deviation and skewness of the grey values. Returns the squared scatter that is missing. */
static double describe_grey(const double *picture, int64_t pixels, struct noise noise, float *out)
{
    const double scale[3] = {1.5 / 64.0, 1.0 / 32.0, 0.5};
    double mean = 0.0, squares = 0.0, cubes = 0.0, sd, skew, structure, all = noise.there + noise.more, of[3] = {0.0};

    for (int64_t i = 0; i < pixels; i++)
        mean += picture[i];
    mean /= (double)pixels;
    for (int64_t i = 0; i < pixels; i++) {
        double d = picture[i] - mean;

        squares += d * d;
        cubes += d * d * d;
    }
    squares /= (double)pixels;
    sd = sqrt(squares + noise.more);
    skew = cubes / (double)pixels / ((sd + 4.0) * (sd + 4.0) * (sd + 4.0));
    out[FLY_SPECTRAL_MEAN] = (float)(mean * scale[0]);
    out[FLY_SPECTRAL_SD] = (float)(sd * scale[1]);
    out[FLY_SPECTRAL_SKEW] = (float)(scale[2] * (skew < -3.0 ? -3.0 : skew > 3.0 ? 3.0 : skew));
    if (!(noise.more > 0.0))
        return 0.0;
    structure = fmax(0.0, squares - noise.there);
    of[0] = noise.more;
    of[1] = (2.0 * (all * all - noise.there * noise.there) + 4.0 * structure * noise.more) / (4.0 * sd * sd);
    of[2] = 15.0 * (pow(all, 3.0) - pow(noise.there, 3.0)) / pow(sd + 4.0, 6.0);
    return (of[0] * scale[0] * scale[0] + of[1] * scale[1] * scale[1] + of[2] * scale[2] * scale[2]) / (double)pixels;
}

static void transform(const struct spectral *s, const double *picture, struct workspace *work)
{
    int32_t side = s->side;
    double mean = 0.0;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++)
            mean += picture[(size_t)y * (size_t)side + (size_t)x] * s->window[y] * s->window[x];
    mean /= s->window_sum; /* so that nothing is left at zero frequency */
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++)
            work->padded[(size_t)y * (size_t)s->padded_px + (size_t)x] =
                (float)((picture[(size_t)y * (size_t)side + (size_t)x] - mean) * s->window[y] *
                        s->window[x]);
    fftwf_execute_dft_r2c(s->plan, work->padded, work->spectrum);
}

/* The same of the noise that is missing, in sums that noise and structure have made. */
static struct white missing_of(const struct white *white, double power, struct noise noise)
{
    double there = noise.there, more = noise.more, structure = fmax(0.0, power - there * white->power);

    if (!(more > 0.0 && white->power > 0.0))
        return (struct white){0.0, 0.0};
    return (struct white){.power = more * white->power,
                          .scatter = white->scatter * more * (2.0 * there + more + 2.0 * structure / white->power)};
}

/* Mean square root of a power that varies; *scatter: its variance. */
static double root_of(double power, double variance, double *scatter)
{
    double relative = power > 0.0 ? fmin(1.0, variance / (power * power)) : 0.0;

    *scatter = power * relative * (1.0 - relative / 8.0) / 4.0;
    return sqrt(power) * (1.0 - relative / 8.0);
}

/* Mean square root of a length to whose square noise adds `more`; *scatter: its variance. */
static double root_of_length(double length, double more, double *scatter)
{
    double square = length * length, sum = square + more, relative;

    *scatter = 0.0;
    if (!(more > 0.0))
        return sqrt(length);
    relative = more * (more + 2.0 * square) / (sum * sum);
    *scatter = sqrt(sum) * relative * (1.0 + relative / 4.0) / 16.0;
    return sqrt(sqrt(sum)) * (1.0 - 3.0 / 32.0 * relative);
}

/* Returns the squared scatter that is missing. */
static double describe_waves(const struct spectral *s, const fftwf_complex *spectrum, struct noise noise, float *out)
{
    double ring[RINGS] = {0.0}, variance[RINGS], length[2][RINGS], scatter[2][RINGS];
    double all = 1.0; /* grey^2: spectral.h says why */
    double all_missing = 0.0, scatter_of;
    uint32_t i = 0;

    for (int32_t r = 0; r < RINGS; r++) {
        double c2 = 0.0, s2 = 0.0, c4 = 0.0, s4 = 0.0;
        struct white missing;

        for (int32_t b = r * SECTORS; b < (r + 1) * SECTORS; b++) {
            double sum = 0.0;

            for (; i < s->bin_end[b]; i++) {
                const struct wave *wave = &s->waves[i];
                double re = (double)spectrum[wave->at][0], im = (double)spectrum[wave->at][1];
                double power = (re * re + im * im) * s->power_scale;

                sum += power * (double)wave->count;
                c2 += power * (double)wave->c2;
                s2 += power * (double)wave->s2;
                c4 += power * (double)wave->c4;
                s4 += power * (double)wave->s4;
            }
            missing = missing_of(&s->bins[b], sum, noise);
            out[FLY_SPECTRAL_POWER + b] =
                (float)(root_of(sum + missing.power, missing.scatter, &scatter_of) * 2.0 / 64.0);
            all_missing += scatter_of * 4.0 / (64.0 * 64.0);
            ring[r] += sum;
        }
        length[0][r] = hypot(c2, s2);
        length[1][r] = hypot(c4, s4);
        scatter[0][r] = missing_of(&s->stripes[r], ring[r], noise).scatter;
        scatter[1][r] = missing_of(&s->square[r], ring[r], noise).scatter;
        missing = missing_of(&s->rings[r], ring[r], noise);
        ring[r] += missing.power;
        variance[r] = missing.scatter;
        all += ring[r];
    }
    for (int32_t r = 0; r < RINGS; r++) {
        out[FLY_SPECTRAL_SHARE + r] = (float)(3.0 * root_of(ring[r] / all, variance[r] / (all * all), &scatter_of));
        all_missing += 9.0 * scatter_of;
        for (int m = 0; m < 2; m++) {
            out[FLY_SPECTRAL_ORDER + 2 * r + m] =
                (float)(2.0 * root_of_length(length[m][r] / all, scatter[m][r] / (all * all), &scatter_of));
            all_missing += 4.0 * scatter_of;
        }
    }
    return all_missing;
}

/* Picture i at each level. */
static void describe_levels(const struct spectral *s, const double *picture, const fftwf_complex *spectrum,
                            const float *as_measured, const struct fly_embed_levels *levels, int32_t i)
{
    double there = NAN;

    for (int32_t l = i * levels->n; l < (i + 1) * levels->n; l++) {
        float *out = levels->out + (size_t)l * FLY_SPECTRAL_WIDTH;
        struct noise noise;

        levels->missing[l] = 0.0f;
        if (!(levels->exposures[l] > 1.0)) {
            memcpy(out, as_measured, FLY_SPECTRAL_WIDTH * sizeof *out);
            continue;
        }
        if (isnan(there))
            there = noise_of(picture, s->side);
        noise = (struct noise){there, there * (levels->exposures[l] - 1.0)};
        levels->missing[l] = (float)(describe_grey(picture, (int64_t)s->side * s->side, noise, out) +
                                     describe_waves(s, spectrum, noise, out));
    }
}

static void spectral_batch(void *self, int32_t worker, const double *pictures, int32_t n, float *out,
                           const struct fly_embed_levels *levels)
{
    const struct spectral *s = self;
    struct workspace *work = &s->workspaces[worker];
    size_t pixels = (size_t)s->side * (size_t)s->side;

    for (int32_t i = 0; i < n; i++) {
        const double *picture = pictures + (size_t)i * pixels;
        float *as_measured = out + (size_t)i * FLY_SPECTRAL_WIDTH;

        transform(s, picture, work);
        describe_grey(picture, (int64_t)pixels, (struct noise){0.0, 0.0}, as_measured);
        describe_waves(s, work->spectrum, (struct noise){0.0, 0.0}, as_measured);
        if (levels)
            describe_levels(s, picture, work->spectrum, as_measured, levels, i);
    }
}

const struct fly_embedder_kind fly_kind_spectral = {
    .model = "spectral",
    .open = spectral_open,
    .close = spectral_close,
    .batch = spectral_batch,
};
