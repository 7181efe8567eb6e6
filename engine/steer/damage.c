#include "engine/steer/damage_own.h"

#include <string.h>

const char *fly_damage_sign_name(enum fly_damage_sign sign)
{
    static const char *const names[FLY_DAMAGE_SIGNS] = {"none", "share", "rate", "image"};

    return names[sign];
}

static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    return arena ? fly_arena_take(arena, count, size) : NULL;
}

/* With a NULL arena it only counts. */
static size_t lay_out(struct fly_damage *d, struct fly_arena *arena)
{
    size_t need = 0, k = (size_t)d->config.rows * (size_t)d->config.cols, each = k * (size_t)d->config.windows;

    d->counted = take(arena, &need, k, sizeof *d->counted);
    d->count = take(arena, &need, each, sizeof *d->count);
    d->slant = take(arena, &need, each, sizeof *d->slant);
    d->seen = take(arena, &need, each, sizeof *d->seen);
    d->seen_total = take(arena, &need, k, sizeof *d->seen_total);
    d->seen_us = take(arena, &need, k, sizeof *d->seen_us);
    d->imaged = take(arena, &need, k, sizeof *d->imaged);
    d->booked = take(arena, &need, k, sizeof *d->booked);
    d->is_booked = take(arena, &need, k, sizeof *d->is_booked);
    d->sorted = take(arena, &need, 2 * k, sizeof *d->sorted);
    d->damaged = take(arena, &need, k, sizeof *d->damaged);
    d->barred = take(arena, &need, k, sizeof *d->barred);
    return need;
}

size_t fly_damage_need(const struct fly_damage_config *config)
{
    struct fly_damage counting = {.config = *config};

    return fly_size_add(fly_arena_need(1, sizeof counting), lay_out(&counting, NULL));
}

int fly_damage_init(struct fly_damage **out, const struct fly_damage_config *config, struct fly_arena *arena)
{
    struct fly_damage *d;
    size_t mark = fly_arena_mark(arena);

    if (config->rows < 1 || config->cols < 1 || config->rows > INT32_MAX / config->cols)
        return fly_fail(FLY_ERANGE, "damage watch of %d x %d chips, needs at least one", config->rows, config->cols);
    if (config->windows < 0 || config->windows > FLY_DAMAGE_WINDOWS_MAX)
        return fly_fail(FLY_ERANGE, "damage watch of %d windows, allowed are 0 .. %d", config->windows,
                        (int)FLY_DAMAGE_WINDOWS_MAX);
    d = fly_arena_take(arena, 1, sizeof *d);
    if (!d)
        return fly_fail(FLY_ENOMEM, "damage watch: no memory for its handle");
    memset(d, 0, sizeof *d);
    d->config = *config;
    lay_out(d, arena);
    if (!d->barred) {
        fly_arena_reset(arena, mark);
        return fly_fail(FLY_ENOMEM, "damage watch: no memory for %d x %d chips", config->rows, config->cols);
    }
    d->chips = config->rows * config->cols;
    memset(d->seen, 0, (size_t)d->chips * (size_t)config->windows * sizeof *d->seen);
    memset(d->seen_total, 0, (size_t)d->chips * sizeof *d->seen_total);
    memset(d->seen_us, 0, (size_t)d->chips * sizeof *d->seen_us);
    memset(d->damaged, 0, (size_t)d->chips);
    memset(d->barred, 0, (size_t)d->chips);
    d->batch_chips = d->chips < FLY_DAMAGE_BATCH ? d->chips : FLY_DAMAGE_BATCH;
    d->moved = 0.1;
    fly_damage_forget(d);
    *out = d;
    return FLY_OK;
}

void fly_damage_forget(struct fly_damage *damage)
{
    size_t k = (size_t)damage->chips, each = k * (size_t)damage->config.windows;

    memset(damage->counted, 0, k * sizeof *damage->counted);
    memset(damage->imaged, 0, k * sizeof *damage->imaged);
    memset(damage->slant, 0, each * sizeof *damage->slant);
    memset(damage->count, 0, each * sizeof *damage->count);
    memset(damage->is_booked, 0, k);
    damage->n_booked = 0;
    damage->photons.n = damage->images.n = 0;
    for (int way = 0; way < FLY_DAMAGE_WAYS; way++) {
        damage->since_spread[way] = INT64_MAX / 2; /* they are due */
        damage->spread[way] = 0.0;
    }
    damage->photons.current = damage->images.current = 1.0;
    damage->rss = damage->rss_by_mean = damage->freedom = damage->weight = damage->brightness = 0.0;
}

void fly_damage_moved(struct fly_damage *damage, double share)
{
    damage->moved = share;
}

/* ---- exposures --------------------------------------------------------------------------------------------- */

/* a of an exposure that is now added to the course. */
static double step(struct fly_damage_course *course, double dwell_us)
{
    double middle = course->dose_us + 0.5 * dwell_us;

    if (course->exposures++ == 0)
        course->first_us = course->looked_us = dwell_us;
    course->dose_us += dwell_us;
    return log(middle / course->first_us);
}

static void add_powers(double *sums, int powers, double weight, double a)
{
    for (int p = 0; p < powers; p++, weight *= a)
        sums[p] += weight;
}

/* What a batch has in common against what its chips were before; chips without a past, and those that are barred, say
 * nothing of it. Where too few say something it is as it was. */
static double common(const struct fly_damage *d, struct fly_damage_batch *batch,
                     double (*level)(const struct fly_damage *, int32_t))
{
    int photons = batch == &d->photons;
    double is = 0.0, was = 0.0;
    int32_t n = 0;

    for (int32_t i = 0; i < batch->n; i++) {
        const struct fly_damage_waiting *e = &batch->exposure[i];
        double before = level(d, e->chip);

        if (d->barred[e->chip] || !(before > 0.0))
            continue;
        is += photons ? e->amount : e->amount * e->dwell_us;
        was += before * e->dwell_us;
        n++;
    }
    if (2 * n >= batch->n && is > 0.0 && was > 0.0)
        batch->current = is / was;
    return batch->current;
}

/* ---- booking ----------------------------------------------------------------------------------------------- */

static void note_booked(struct fly_damage *d, struct fly_damage_batch *batch, int way)
{
    for (int32_t i = 0; i < batch->n; i++) {
        int32_t k = batch->exposure[i].chip;

        if (!d->is_booked[k])
            d->booked[d->n_booked++] = k;
        d->is_booked[k] |= (uint8_t)(1 << way);
    }
    d->since_spread[way] += batch->n;
    batch->n = 0;
}

static void book_photons(struct fly_damage *d)
{
    double current = common(d, &d->photons, fly_damage_rate_of);

    for (int32_t i = 0; i < d->photons.n; i++) {
        const struct fly_damage_waiting *e = &d->photons.exposure[i];
        struct fly_damage_counted *c = &d->counted[e->chip];
        size_t at = (size_t)e->chip * (size_t)d->config.windows;
        double a = step(&c->course, e->dwell_us);

        add_powers(c->n, 4, e->amount, a);
        add_powers(c->x, 4, e->dwell_us * current, a);
        for (int32_t w = 0; w < d->config.windows; w++) {
            d->count[at + (size_t)w] += e->counts[w];
            d->slant[at + (size_t)w] += a * e->counts[w];
        }
    }
    note_booked(d, &d->photons, FLY_DAMAGE_BY_COUNTS);
}

/* Scatter about the line, summed; freedom: exposures less two. */
static double scatter(const struct fly_damage_imaged *c)
{
    struct fly_damage_moments a = fly_damage_moments_of(c->w, 3);
    double u = c->m[1] - c->m[0] * a.mean, spread = c->w[0] * a.variance;

    return fmax(0.0, c->m2 - c->m[0] * c->m[0] / c->w[0] - (spread > 0.0 ? u * u / spread : 0.0));
}

/* Take a chip's image out of the sums over all chips (sign -1), or put it there. */
static void count_image(struct fly_damage *d, int32_t chip, double sign)
{
    struct fly_damage_imaged *c = &d->imaged[chip];
    double mean = fabs(fly_damage_mean_of(d, chip));

    d->weight += sign * c->w[0];
    d->brightness += sign * c->m[0];
    if (c->course.exposures <= 2 || !(mean > 0.0))
        return;
    d->freedom += sign * (c->course.exposures - 2);
    d->rss += sign * c->rss;
    d->rss_by_mean += sign * c->rss / mean;
}

static void book_images(struct fly_damage *d)
{
    double current = common(d, &d->images, fly_damage_mean_of);

    for (int32_t i = 0; i < d->images.n; i++) {
        const struct fly_damage_waiting *e = &d->images.exposure[i];
        struct fly_damage_imaged *c = &d->imaged[e->chip];
        double intensity = e->amount / current, a;

        if (c->course.exposures)
            count_image(d, e->chip, -1.0);
        a = step(&c->course, e->dwell_us);
        add_powers(c->w, 3, e->dwell_us, a);
        add_powers(c->m, 2, e->dwell_us * intensity, a);
        c->m2 += e->dwell_us * intensity * intensity;
        c->rss = scatter(c);
        count_image(d, e->chip, 1.0);
    }
    note_booked(d, &d->images, FLY_DAMAGE_BY_IMAGE);
}

static struct fly_damage_waiting *wait_in(struct fly_damage_batch *batch, int32_t chip, double dwell_us, double amount)
{
    struct fly_damage_waiting *e = &batch->exposure[batch->n++];

    *e = (struct fly_damage_waiting){.chip = chip, .dwell_us = dwell_us, .amount = amount};
    return e;
}

/* Counts that are others than they were: rates and shares of the chip are what they were, told by as many photons. */
static void rescale(struct fly_damage *d, int32_t chip, const uint32_t *counts, uint64_t total)
{
    struct fly_damage_counted *c = &d->counted[chip];
    size_t at = (size_t)chip * (size_t)d->config.windows;
    double before = c->n[0], mean = before > 0.0 ? c->n[1] / before : 0.0;
    double added = (double)total - (double)d->seen_total[chip], factor;

    if (!(before > 0.0) || !(before + added > 0.0))
        return;
    factor = 1.0 + added / before;
    for (int p = 0; p < 4; p++) {
        c->n[p] *= factor;
        c->x[p] *= factor;
    }
    for (int32_t w = 0; w < d->config.windows; w++) {
        double change = (double)counts[w] - (double)d->seen[at + (size_t)w];

        if (d->count[at + (size_t)w] + change < 0.0)
            change = -(double)d->count[at + (size_t)w];
        d->count[at + (size_t)w] = (uint32_t)(d->count[at + (size_t)w] + change);
        d->slant[at + (size_t)w] += change * mean;
    }
}

static int fell(const struct fly_damage *d, int32_t chip, const uint32_t *counts, uint64_t total, double dwell_us)
{
    size_t at = (size_t)chip * (size_t)d->config.windows;

    if (total < d->seen_total[chip] || !(dwell_us > d->seen_us[chip]))
        return 1;
    for (int32_t w = 0; w < d->config.windows; w++)
        if (counts[w] < d->seen[at + (size_t)w])
            return 1;
    return 0;
}

void fly_damage_counts(struct fly_damage *damage, int32_t chip, const uint32_t *counts, uint64_t total, double dwell_us,
                       int exposed)
{
    struct fly_damage *d = damage;
    size_t at = (size_t)chip * (size_t)d->config.windows;

    FLY_ASSERT(chip >= 0 && chip < d->chips);
    if (!exposed || fell(d, chip, counts, total, dwell_us)) {
        rescale(d, chip, counts, total);
    } else {
        struct fly_damage_waiting *e = wait_in(&d->photons, chip, dwell_us - d->seen_us[chip],
                                    (double)(total - d->seen_total[chip]));

        for (int32_t w = 0; w < d->config.windows; w++)
            e->counts[w] = counts[w] - d->seen[at + (size_t)w];
    }
    d->seen_total[chip] = total;
    d->seen_us[chip] = dwell_us;
    if (d->config.windows)
        memcpy(d->seen + at, counts, (size_t)d->config.windows * sizeof *counts);
    if (d->photons.n == d->batch_chips)
        book_photons(d);
}

void fly_damage_image(struct fly_damage *damage, int32_t chip, double mean, double dwell_us)
{
    FLY_ASSERT(chip >= 0 && chip < damage->chips);
    if (!(dwell_us > 0.0) || !isfinite(mean))
        return;
    wait_in(&damage->images, chip, dwell_us, mean);
    if (damage->images.n == damage->batch_chips)
        book_images(damage);
}

/* ---- telling ----------------------------------------------------------------------------------------------- */

int fly_damage_is(const struct fly_damage *damage, int32_t chip)
{
    return damage->damaged[chip];
}

int fly_damage_bars(const struct fly_damage *damage, int32_t chip)
{
    return damage->barred[chip];
}

int32_t fly_damage_found(const struct fly_damage *damage, int32_t *barred, struct fly_damage_finding *last)
{
    if (barred)
        *barred = damage->n_barred;
    if (last)
        *last = damage->last;
    return damage->n_damaged;
}
