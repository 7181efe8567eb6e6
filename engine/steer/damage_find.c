/* Does a chip change? Trends, what else makes them, and looks. */
#include "engine/steer/damage_own.h"

#include <stdlib.h>

static const double nominal = 1e-4;      /* p of one chip at one look, at most */
static const double look_growth = 1.25;  /* of dose, from look to look */
static const double skew_most = 1.5;     /* |g z| */
/* A step at 1 / e of a dose of 60 exposures has 2 times its height as the trend's whole way, what grows evenly 1.3. */
static const double overstated = 2.0;
static const double chance_sigmas = 1.5; /* the highest and the lowest of nine that are equal lie so far from their mean */
static const double image_share = 0.02;  /* of the scan's mean: less is the detector's offset */
static const int32_t image_exposures = 4;
static const double image_freedom = 30.0; /* degrees that the noise of all chips is known by */

/* ---- trends ---------------------------------------------------------------------------------------------- */

static double share_of(const struct fly_damage *d, int32_t chip, int32_t window)
{
    double n = d->counted[chip].n[0];

    return n > 0.0 ? d->count[(size_t)chip * (size_t)d->config.windows + (size_t)window] / n : NAN;
}

/* A trend: U, its variance and third cumulant. */
struct trend {
    double u, variance, third;
    double lever; /* U of a slope of 1, relative to what there is */
    double own, own_doubt; /* image: variance by the chips' own scatter, and sum of its squares over their freedom */
};

static void add_share(const struct fly_damage *d, int32_t chip, int32_t window, struct trend *t)
{
    size_t at = (size_t)chip * (size_t)d->config.windows + (size_t)window;
    const struct fly_damage_counted *c = &d->counted[chip];
    double p = share_of(d, chip, window), n = d->count[at];
    struct fly_damage_moments a;

    if (c->course.exposures < 2 || !(c->n[0] > 0.0))
        return;
    a = fly_damage_moments_of(c->n, 4);
    t->u += d->slant[at] - n * a.mean;
    t->variance += n * (1.0 - p) * a.variance;
    t->lever += n * (1.0 - p) * a.variance;
    t->third += n * (1.0 - p) * (1.0 - 2.0 * p) * a.third;
}

static void add_rate(const struct fly_damage *d, int32_t chip, int32_t window, struct trend *t)
{
    const struct fly_damage_counted *c = &d->counted[chip];
    struct fly_damage_moments a;

    (void)window;
    if (c->course.exposures < 2 || !(c->x[0] > 0.0))
        return;
    a = fly_damage_moments_of(c->x, 4);
    t->u += c->n[1] - c->n[0] * a.mean;
    t->variance += c->n[0] * a.variance;
    t->lever += c->n[0] * a.variance;
    t->third += c->n[0] * a.third;
}

/* Variance of a us of a chip's intensity, by that of all chips. */
static double image_noise(const struct fly_damage *d, int32_t chip)
{
    return fmax(d->rss, d->rss_by_mean * fabs(fly_damage_mean_of(d, chip))) / d->freedom;
}

static void add_image(const struct fly_damage *d, int32_t chip, int32_t window, struct trend *t)
{
    const struct fly_damage_imaged *c = &d->imaged[chip];
    struct fly_damage_moments a;
    double own;

    (void)window;
    if (c->course.exposures < 3)
        return;
    a = fly_damage_moments_of(c->w, 3);
    own = c->rss / (c->course.exposures - 2) * c->w[0] * a.variance;
    t->u += c->m[1] - c->m[0] * a.mean;
    t->variance += image_noise(d, chip) * c->w[0] * a.variance;
    t->own += own;
    t->own_doubt += own * own / (c->course.exposures - 2);
    t->lever += fabs(c->m[0]) * a.variance;
}

/* Two-sided; 1 where too few counts let nothing be said. spread: of slopes, whatever the counts. */
static double p_of(const struct trend *t, double spread)
{
    double variance = t->variance + t->lever * t->lever * spread * spread, z, skew, corrected;

    if (!(variance > 0.0))
        return 1.0;
    z = t->u / sqrt(variance);
    skew = t->third / (variance * sqrt(variance));
    if (fabs(skew * z) > skew_most)
        return 1.0;
    corrected = z - skew * (z * z - 1.0) / 6.0;
    if (z * corrected <= 0.0)
        return 1.0;
    return erfc(fmin(fabs(z), fabs(corrected)) / sqrt(2.0));
}

/* The same by the chips' own scatter: Student's t, with the freedom of Welch and Satterthwaite, as a normal deviate
 * (Wallace 1959, doi:10.1214/aoms/1177706101). */
static double p_by_own(const struct trend *t, double spread)
{
    double apart = t->lever * t->lever * spread * spread, variance = t->own + apart, freedom, z;

    if (!(t->own_doubt > 0.0))
        return 0.0; /* it scatters not at all */
    freedom = variance * variance / t->own_doubt;
    z = sqrt(freedom * log1p(t->u * t->u / variance / freedom)) * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0);
    return erfc(z / sqrt(2.0));
}

struct test {
    enum fly_damage_sign sign;
    int32_t window;
    void (*add)(const struct fly_damage *, int32_t, int32_t, struct trend *);
};

/* The box of chips within reach of one. */
struct box {
    int32_t r0, r1, c0, c1;
};

static struct box around(const struct fly_damage *d, int32_t chip, int32_t reach)
{
    int32_t r = chip / d->config.cols, c = chip % d->config.cols;

    return (struct box){r > reach ? r - reach : 0, r + reach < d->config.rows ? r + reach : d->config.rows - 1,
                        c > reach ? c - reach : 0, c + reach < d->config.cols ? c + reach : d->config.cols - 1};
}

static struct trend trend_of(const struct fly_damage *d, const struct test *test, int32_t chip, int32_t reach)
{
    struct box box = around(d, chip, reach);
    struct trend t = {.u = 0.0};

    for (int32_t r = box.r0; r <= box.r1; r++)
        for (int32_t c = box.c0; c <= box.c1; c++)
            test->add(d, r * d->config.cols + c, test->window, &t);
    return t;
}

/* What a test looks at in a chip, and its standard deviation by counting or noise. */
static double level_of(const struct fly_damage *d, const struct test *test, int32_t chip, double *sigma)
{
    const struct fly_damage_counted *counted = &d->counted[chip];
    double is;

    switch (test->sign) {
    case FLY_DAMAGE_SHARE:
        is = share_of(d, chip, test->window);
        *sigma = sqrt(is * (1.0 - is) / counted->n[0]);
        return is;
    case FLY_DAMAGE_RATE:
        is = fly_damage_rate_of(d, chip);
        *sigma = is / sqrt(counted->n[0]);
        return is;
    default:
        *sigma = d->imaged[chip].w[0] > 0.0 ? sqrt(image_noise(d, chip) / d->imaged[chip].w[0]) : NAN;
        return fly_damage_mean_of(d, chip);
    }
}

static const struct fly_damage_course *course_of(const struct fly_damage *d, const struct test *test, int32_t chip)
{
    return test->sign == FLY_DAMAGE_IMAGE ? &d->imaged[chip].course : &d->counted[chip].course;
}

/* How far a went since the first exposure. */
static double span_of(const struct fly_damage *d, const struct test *test, int32_t chip)
{
    const struct fly_damage_course *course = course_of(d, test, chip);

    return log(2.0 * course->dose_us / course->first_us);
}

/* A slope as a change since the chip's first exposure; slopes of shares are those of odds. */
static double change_of(const struct fly_damage *d, const struct test *test, int32_t chip, double slope)
{
    double went = slope * span_of(d, test, chip);

    if (test->sign == FLY_DAMAGE_SHARE)
        went *= 1.0 - share_of(d, chip, test->window);
    return test->sign == FLY_DAMAGE_IMAGE ? went : expm1(went);
}

/* The largest slope that a specimen which moved may make. A shift by a part of a chip exchanges that part of it, for what
 * may lie as far from what goes as any two chips around do; of what they seem to, chance makes some. */
static double slope_of_drift(const struct fly_damage *d, const struct test *test, int32_t chip, int32_t reach)
{
    struct box box = around(d, chip, reach + 1);
    double sigma, own = level_of(d, test, chip, &sigma), low = INFINITY, high = -INFINITY, went;

    for (int32_t r = box.r0; r <= box.r1; r++)
        for (int32_t c = box.c0; c <= box.c1; c++) {
            double is = level_of(d, test, r * d->config.cols + c, &sigma);

            low = fmin(low, is + chance_sigmas * sigma); /* a NaN gives way */
            high = fmax(high, is - chance_sigmas * sigma);
        }
    if (!(high > low))
        return 0.0;
    went = overstated * d->moved * (high - low) / fabs(own);
    if (test->sign == FLY_DAMAGE_SHARE)
        went /= 1.0 - own;
    return went / span_of(d, test, chip);
}

static void mark(struct fly_damage *d, int32_t chip)
{
    struct box box = around(d, chip, 1);

    d->n_damaged += !d->damaged[chip];
    d->damaged[chip] = 1;
    for (int32_t r = box.r0; r <= box.r1; r++)
        for (int32_t c = box.c0; c <= box.c1; c++) {
            uint8_t *barred = &d->barred[r * d->config.cols + c];

            d->n_barred += !*barred;
            *barred = 1;
        }
}

static int is_much(const struct fly_damage *d, const struct test *test, int32_t chip, double change)
{
    return fabs(change) >= FLY_DAMAGE_LEAST &&
           (test->sign != FLY_DAMAGE_IMAGE ||
            fabs(change * fly_damage_mean_of(d, chip)) >= image_share * fabs(d->brightness / d->weight));
}

static double p_told(const struct test *test, const struct trend *t, double spread)
{
    double p = p_of(t, spread);

    return test->sign == FLY_DAMAGE_IMAGE ? fmax(p, p_by_own(t, spread)) : p;
}

/* 1: it was found. */
static int try(struct fly_damage *d, const struct test *test, int32_t chip, int32_t reach, double below)
{
    double spread = test->sign == FLY_DAMAGE_SHARE ? 0.0 : d->spread[test->sign == FLY_DAMAGE_IMAGE];
    struct trend t = trend_of(d, test, chip, reach), beyond = t;
    double change, p;

    if (p_told(test, &t, spread) >= below)
        return 0;
    change = change_of(d, test, chip, t.u / t.lever);
    if (!is_much(d, test, chip, change))
        return 0;
    beyond.u = copysign(fmax(0.0, fabs(t.u) - t.lever * slope_of_drift(d, test, chip, reach)), t.u);
    p = p_told(test, &beyond, spread);
    if (p >= below)
        return 0;
    d->last = (struct fly_damage_finding){.sign = test->sign, .chip = chip, .window = test->window, .together = reach > 0,
                                          .change = change, .p = p, .dose_us = course_of(d, test, chip)->dose_us};
    mark(d, chip);
    return 1;
}

static int due(struct fly_damage_course *course)
{
    if (course->exposures < 2 || course->dose_us < look_growth * course->looked_us)
        return 0;
    course->looked_us = course->dose_us;
    course->looks++;
    return 1;
}

/* p that one of the tests of this look must come below. */
static double level(const struct fly_damage *d, const struct fly_damage_course *course)
{
    double look = FLY_DAMAGE_FALSE / d->chips / ((double)course->looks * (course->looks + 1.0));

    return fmin(nominal, look) / (2.0 * (d->config.windows + 2));
}

static int look(struct fly_damage *d, int32_t chip, struct fly_damage_course *course, const struct test *tests, int32_t n)
{
    double below;

    if (!due(course))
        return 0;
    below = level(d, course);
    for (int32_t reach = 0; reach <= !d->config.chips_overlap; reach++)
        for (int32_t i = 0; i < n; i++)
            if (try(d, &tests[i], chip, reach, below))
                return 1;
    return 0;
}

static int look_at_counts(struct fly_damage *d, int32_t chip)
{
    struct test tests[FLY_DAMAGE_WINDOWS_MAX + 1];
    int32_t n = 0;

    for (; n < d->config.windows; n++)
        tests[n] = (struct test){FLY_DAMAGE_SHARE, n, add_share};
    tests[n++] = (struct test){FLY_DAMAGE_RATE, 0, add_rate};
    return look(d, chip, &d->counted[chip].course, tests, n);
}

static int look_at_image(struct fly_damage *d, int32_t chip)
{
    const struct test test = {FLY_DAMAGE_IMAGE, 0, add_image};

    return d->imaged[chip].course.exposures >= image_exposures && d->freedom >= image_freedom &&
           look(d, chip, &d->imaged[chip].course, &test, 1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* How far relative slopes scatter beyond what noise does, by the medians of both; 1.4826: of a normal's absolute
 * deviation (Hampel 1974). That of noise is taken to be as large as chance may have made it in so many chips. */
static double spread_of(struct fly_damage *d, const struct test *test)
{
    double *slope = d->sorted, *noise = d->sorted + d->chips, seen, excess;
    int32_t n = 0;

    for (int32_t k = 0; k < d->chips; k++) {
        struct trend t = {.u = 0.0};

        test->add(d, k, 0, &t);
        if (d->damaged[k] || !(t.lever > 0.0))
            continue;
        slope[n] = fabs(t.u / t.lever);
        noise[n++] = t.variance / (t.lever * t.lever);
    }
    if (n == 0)
        return 0.0;
    qsort(slope, (size_t)n, sizeof *slope, by_value);
    qsort(noise, (size_t)n, sizeof *noise, by_value);
    seen = 1.4826 * slope[n / 2];
    excess = seen * seen - (1.0 + 5.0 / sqrt(n)) * noise[n / 2];
    return excess > 0.0 ? sqrt(excess) : 0.0;
}

static void take_spreads(struct fly_damage *d)
{
    static const struct test tests[FLY_DAMAGE_WAYS] = {{FLY_DAMAGE_RATE, 0, add_rate}, {FLY_DAMAGE_IMAGE, 0, add_image}};

    for (int way = 0; way < FLY_DAMAGE_WAYS; way++) {
        if (d->since_spread[way] < (d->chips + 3) / 4 || (way == FLY_DAMAGE_BY_IMAGE && !(d->freedom > 0.0)))
            continue;
        d->spread[way] = spread_of(d, &tests[way]);
        d->since_spread[way] = 0;
    }
}

void fly_damage_look(struct fly_damage *damage)
{
    struct fly_damage *d = damage;

    if (d->n_booked)
        take_spreads(d);
    for (int32_t i = 0; i < d->n_booked; i++) {
        int32_t k = d->booked[i];

        if (!d->damaged[k] && d->moved <= 1.0 && !((d->is_booked[k] & 1 << FLY_DAMAGE_BY_COUNTS) && look_at_counts(d, k)) &&
            d->is_booked[k] & 1 << FLY_DAMAGE_BY_IMAGE)
            look_at_image(d, k);
        d->is_booked[k] = 0;
    }
    d->n_booked = 0;
}
