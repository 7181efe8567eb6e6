#include "sim/layout.h"

#include <math.h>

#define TAU 6.283185307179586

/* Waves of 1 .. FLY_WAVE_TERMS times `cycles` over `length`, of that rms, the faster the weaker. */
static void wave_init(struct fly_wave *wave, double rms, double length_px, double cycles,
                      struct fly_rng *rng)
{
    double square = 0.0;

    wave->reach = 0.0;
    for (int i = 0; i < FLY_WAVE_TERMS; i++)
        square += 0.5 / ((i + 1.0) * (i + 1.0));
    for (int i = 0; i < FLY_WAVE_TERMS; i++) {
        wave->amplitude[i] = rms / sqrt(square) / (i + 1.0);
        wave->rad_per_px[i] = TAU * cycles * (i + 1.0) / length_px;
        wave->phase[i] = TAU * fly_rng_uniform(rng);
        wave->reach += wave->amplitude[i];
    }
}

static double wave_at(const struct fly_wave *wave, double at_px)
{
    double sum = 0.0;

    for (int i = 0; i < FLY_WAVE_TERMS; i++)
        sum += wave->amplitude[i] * sin(wave->rad_per_px[i] * at_px + wave->phase[i]);
    return sum;
}

/* Defects grown in: vertical columns every 6.5 nm or so, 1.1 to 1.6 nm wide, wider once irradiated. */
static void columns_init(struct fly_layout *layout, struct fly_rng *rng)
{
    const struct fly_specimen_config *c = &layout->config;
    double width_nm = c->width_px * c->pixel_nm, count = round(width_nm / 6.5);

    if (c->growth != FLY_DEFECTIVE)
        return;
    count = count < 2 ? 2 : count > FLY_LAYOUT_COLUMNS ? FLY_LAYOUT_COLUMNS : count;
    layout->n_columns = (int32_t)count;
    layout->column_pitch_px = c->width_px / count;
    for (int32_t i = 0; i < layout->n_columns; i++) {
        double off = 0.25 * (fly_rng_uniform(rng) - 0.5), wide = 1.1 + 0.5 * fly_rng_uniform(rng);

        layout->column_px[i] = (i + 0.5 + off) * layout->column_pitch_px;
        layout->column_half_px[i] = 0.5 * wide * (c->dpa > 0.0 ? 1.6 : 1.0) / c->pixel_nm;
    }
}

/* A disc somewhere in the film, of its own random numbers: all else is where it is without one. */
static int inclusion_init(struct fly_layout *layout)
{
    const struct fly_specimen_config *c = &layout->config;
    struct fly_rng rng = {fly_mix64(c->seed ^ 0xFE304)};
    double radius = sqrt(c->inclusion * c->height_px * c->width_px / (0.5 * TAU));
    double top = layout->cap_px + layout->cap_wave.reach + radius;
    double bottom = layout->film_px - layout->film_wave.reach - radius;

    if (!(c->inclusion > 0.0))
        return FLY_OK;
    if (top > bottom || 2.0 * radius > c->width_px)
        return fly_fail(FLY_ERANGE, "an inclusion of %g of the area is %.0f px wide, the film has room for %.0f",
                        c->inclusion, 2.0 * radius, fmin(fmax(0.0, bottom - top + 2.0 * radius), c->width_px));
    layout->inclusion_radius_px = radius;
    layout->inclusion_px[0] = top + (bottom - top) * fly_rng_uniform(&rng);
    layout->inclusion_px[1] = radius + (c->width_px - 2.0 * radius) * fly_rng_uniform(&rng);
    return FLY_OK;
}

int fly_layout_init(struct fly_layout *layout, const struct fly_specimen_config *config)
{
    struct fly_rng rng = {fly_mix64(config->seed ^ 0x1A707)};
    double h = config->height_px, w = config->width_px, px = config->pixel_nm;
    double film_px = fmin(12.5 / px, 0.42 * h);

    *layout = (struct fly_layout){.config = *config};
    layout->cap_px = 0.25 * h;
    layout->film_px = 0.25 * h + film_px;
    wave_init(&layout->cap_wave, 0.15 / px, w, 1.5, &rng);
    wave_init(&layout->film_wave, 0.08 / px, w, 1.5, &rng);
    wave_init(&layout->thickness, 0.02, w, 0.7, &rng);
    wave_init(&layout->wander, 0.15 / px, h, 1.0, &rng);
    for (int i = 0; i < 2; i++) {
        wave_init(&layout->warp[i][0], config->warp_px * 0.5, h, 0.5, &rng);
        wave_init(&layout->warp[i][1], config->warp_px * 0.5, w, 0.5, &rng);
    }
    columns_init(layout, &rng);
    if (config->dpa > 0.0) {
        int pristine = config->growth == FLY_PRISTINE;

        layout->triangle_x_px = w * (pristine ? 0.45 + 0.1 * fly_rng_uniform(&rng) : 0.5);
        layout->triangle_half_px = w * (pristine ? 0.30 : 0.25);
        layout->triangle_depth_px = film_px * (pristine ? 0.75 : 0.35);
    }
    layout->grain_key = fly_rng_next(&rng);
    layout->grain_px = 3.0 / px;
    layout->fringe_px = (config->cap == FLY_CAP_PT ? 0.226 : 0.204) / px;
    return inclusion_init(layout);
}

static int in_column(const struct fly_layout *layout, double y_px, double x_px)
{
    /* Columns stand within an eighth of a pitch of their slot: only the nearest three can be hit. */
    int32_t slot = (int32_t)floor(x_px / layout->column_pitch_px);

    for (int32_t i = slot - 1; i <= slot + 1; i++)
        if (i >= 0 && i < layout->n_columns) {
            double off = wave_at(&layout->wander, y_px + 0.382 * layout->config.height_px * i);

            if (fabs(x_px - layout->column_px[i] - off) < layout->column_half_px[i])
                return 1;
        }
    return 0;
}

enum fly_phase fly_layout_phase(const struct fly_layout *layout, double y_px, double x_px)
{
    if (y_px < layout->cap_px - layout->cap_wave.reach)
        return FLY_CAP;
    if (y_px >= layout->film_px + layout->film_wave.reach)
        return FLY_STO;
    double under_cap = y_px - layout->cap_px - wave_at(&layout->cap_wave, x_px);

    if (under_cap < 0.0)
        return FLY_CAP;
    if (y_px >= layout->film_px - layout->film_wave.reach &&
        y_px >= layout->film_px + wave_at(&layout->film_wave, x_px))
        return FLY_STO;
    if (hypot(y_px - layout->inclusion_px[0], x_px - layout->inclusion_px[1]) < layout->inclusion_radius_px)
        return FLY_INCLUSION;
    double slope = 1.0 - fabs(x_px - layout->triangle_x_px) / layout->triangle_half_px;

    if (layout->triangle_depth_px > 0.0 && under_cap < layout->triangle_depth_px * slope)
        return FLY_LFO_DISORDERED;
    if (layout->n_columns && in_column(layout, y_px, x_px))
        return FLY_LFO_DISORDERED;
    return FLY_LFO;
}

/* Grains are the cells around one point in each square of a grid, moved about by its own numbers. */
double fly_layout_grain(const struct fly_layout *layout, double y_px, double x_px)
{
    int64_t cy = (int64_t)floor(y_px / layout->grain_px), cx = (int64_t)floor(x_px / layout->grain_px);
    double nearest = INFINITY;
    struct fly_rng grain = {0};

    for (int64_t i = cy - 1; i <= cy + 1; i++)
        for (int64_t j = cx - 1; j <= cx + 1; j++) {
            struct fly_rng rng = {fly_mix64(layout->grain_key + (uint64_t)i * 0x1000003u + (uint64_t)j)};
            double dy = (i + fly_rng_uniform(&rng)) * layout->grain_px - y_px;
            double dx = (j + fly_rng_uniform(&rng)) * layout->grain_px - x_px;

            if (dy * dy + dx * dx < nearest) {
                nearest = dy * dy + dx * dx;
                grain = rng;
            }
        }
    double level = 0.85 + 0.3 * fly_rng_uniform(&grain), angle = 0.5 * TAU * fly_rng_uniform(&grain);

    if (fly_rng_uniform(&grain) < 0.3) {
        double along = y_px * sin(angle) + x_px * cos(angle);

        level *= 1.0 + 0.1 * cos(TAU * along / layout->fringe_px);
    }
    return level;
}

double fly_layout_thickness(const struct fly_layout *layout, double y_px, double x_px)
{
    return 0.95 + 0.1 * y_px / layout->config.height_px + wave_at(&layout->thickness, x_px);
}

void fly_layout_warp(const struct fly_layout *layout, double y_px, double x_px, double warp[2])
{
    for (int i = 0; i < 2; i++)
        warp[i] = layout->config.warp_px > 0.0
                      ? wave_at(&layout->warp[i][0], y_px) + wave_at(&layout->warp[i][1], x_px)
                      : 0.0;
}

/* Fixed point: the warp changes by a few percent of a pixel per pixel, so each round gains a digit. */
void fly_layout_unwarp(const struct fly_layout *layout, double y_px, double x_px, double place[2])
{
    double warp[2];

    place[0] = y_px;
    place[1] = x_px;
    for (int round = 0; layout->config.warp_px > 0.0 && round < 3; round++) {
        fly_layout_warp(layout, place[0], place[1], warp);
        place[0] = y_px - warp[0];
        place[1] = x_px - warp[1];
    }
}
