#include "sim/specimen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/layout.h"

enum { MARGIN = FLY_SPECIMEN_MARGIN_PX, PATCH = 64 };

static const struct fly_geometry geometries[FLY_GEOMETRIES] = {
    {"table2_pristine_0", 512, 512, 0.0500, 15, 33, 33, FLY_PRISTINE, 0.0, FLY_CAP_CR},
    {"table2_pristine_0.1", 512, 512, 0.0354, 20, 24, 24, FLY_PRISTINE, 0.1, FLY_CAP_CR},
    {"table2_defective_0", 512, 512, 0.0500, 15, 34, 34, FLY_DEFECTIVE, 0.0, FLY_CAP_PT},
    {"table2_defective_0.1", 512, 512, 0.0710, 10, 51, 51, FLY_DEFECTIVE, 0.1, FLY_CAP_PT},
};

const struct fly_geometry *fly_geometry_at(int32_t i)
{
    FLY_ASSERT(i >= 0 && i < FLY_GEOMETRIES);
    return &geometries[i];
}

const struct fly_geometry *fly_geometry_find(const char *name)
{
    for (int32_t i = 0; i < FLY_GEOMETRIES; i++)
        if (!strcmp(name, geometries[i].name))
            return &geometries[i];
    return NULL;
}

const char *fly_phase_name(enum fly_phase phase)
{
    static const char *const names[FLY_PHASES] = {"STO", "LFO", "LFO_disordered", "cap", "Fe3O4"};

    FLY_ASSERT(phase < FLY_PHASES);
    return names[phase];
}

const char *fly_growth_name(enum fly_growth growth)
{
    return growth == FLY_DEFECTIVE ? "defective" : "pristine";
}

const char *fly_cap_metal_name(enum fly_cap_metal cap)
{
    return cap == FLY_CAP_PT ? "Pt" : "Cr";
}

/* Signal of a column of nuclei of charge z, La = 1. */
static double brightness(double z)
{
    return pow(z / 57.0, 1.7);
}

/* Atomic fractions of the pure phases, and what preparation leaves everywhere: C of contamination, Cu
 * of the grid, Ga and Al of the ion beam and the holder, N of the air. */
static void fill_composition(struct fly_specimen *s)
{
    double (*atoms)[FLY_XRAY_ELEMENTS] = s->atoms;
    int pt = s->config.cap == FLY_CAP_PT;

    atoms[FLY_STO][FLY_EL_SR] = atoms[FLY_STO][FLY_EL_TI] = 0.2;
    atoms[FLY_STO][FLY_EL_O] = 0.6;
    atoms[FLY_LFO][FLY_EL_LA] = 0.18;
    atoms[FLY_LFO][FLY_EL_SR] = 0.02;
    atoms[FLY_LFO][FLY_EL_FE] = 0.2;
    atoms[FLY_LFO][FLY_EL_O] = 0.6;
    memcpy(atoms[FLY_LFO_DISORDERED], atoms[FLY_LFO], sizeof *atoms);
    atoms[FLY_LFO_DISORDERED][FLY_EL_LA] *= 1.0 - 0.067;
    atoms[FLY_LFO_DISORDERED][FLY_EL_FE] *= 1.0 - 0.105;
    atoms[FLY_LFO_DISORDERED][FLY_EL_O] += 0.18 * 0.067 + 0.2 * 0.105;
    atoms[FLY_CAP][pt ? FLY_EL_PT : FLY_EL_CR] = pt ? 0.97 : 0.92;
    atoms[FLY_CAP][pt ? FLY_EL_C : FLY_EL_O] = pt ? 0.03 : 0.08;
    atoms[FLY_INCLUSION][FLY_EL_FE] = 3.0 / 7.0;
    atoms[FLY_INCLUSION][FLY_EL_O] = 4.0 / 7.0;
    for (int p = 0; p < FLY_PHASES; p++) {
        double sum = 0.0;

        atoms[p][FLY_EL_C] += 0.045;
        atoms[p][FLY_EL_CU] += 0.015;
        atoms[p][FLY_EL_GA] += 0.006;
        atoms[p][FLY_EL_AL] += 0.004;
        atoms[p][FLY_EL_N] += 0.004;
        for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
            sum += atoms[p][e];
        for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
            atoms[p][e] /= sum;
    }
    s->photon_yield[FLY_STO] = 0.85;
    s->photon_yield[FLY_LFO] = 1.0;
    s->photon_yield[FLY_LFO_DISORDERED] = 0.97;
    s->photon_yield[FLY_CAP] = pt ? 1.15 : 0.9;
    s->photon_yield[FLY_INCLUSION] = 0.9;
}

/* Add a Gaussian at a place of the scan. */
static void stamp(struct fly_specimen *s, double y_px, double x_px, double height, double sigma_px)
{
    float gauss_y[PATCH], gauss_x[PATCH];
    int32_t reach = (int32_t)ceil(3.5 * sigma_px);

    FLY_ASSERT(2 * reach + 1 <= PATCH);
    int32_t y0 = (int32_t)floor(y_px) - reach, x0 = (int32_t)floor(x_px) - reach, n = 2 * reach + 1;
    int32_t from_y = y0 < -MARGIN ? -MARGIN - y0 : 0, from_x = x0 < -MARGIN ? -MARGIN - x0 : 0;
    int32_t to_y = y0 + n > s->config.height_px + MARGIN ? s->config.height_px + MARGIN - y0 : n;
    int32_t to_x = x0 + n > s->config.width_px + MARGIN ? s->config.width_px + MARGIN - x0 : n;

    for (int32_t i = 0; i < n; i++) {
        double dy = (y0 + i + 0.5 - y_px) / sigma_px, dx = (x0 + i + 0.5 - x_px) / sigma_px;

        gauss_y[i] = (float)(height * exp(-0.5 * dy * dy));
        gauss_x[i] = (float)exp(-0.5 * dx * dx);
    }
    for (int32_t i = from_y; i < to_y; i++) {
        float *row = s->signal + fly_specimen_at(s, y0 + i, x0);

        for (int32_t j = from_x; j < to_x; j++)
            row[j] += gauss_y[i] * gauss_x[j];
    }
}

/* Put one atom column, given where it is in the specimen, onto the scan if it belongs to that phase. */
static void put_column(struct fly_specimen *s, const struct fly_layout *layout, double y_px, double x_px,
                       enum fly_phase phase, double height, double sigma_px)
{
    double warp[2], limit = MARGIN - 1.0;

    if (fly_layout_phase(layout, y_px, x_px) != phase)
        return;
    fly_layout_warp(layout, y_px, x_px, warp);
    y_px += warp[0];
    x_px += warp[1];
    if (y_px < -limit || x_px < -limit || y_px >= s->config.height_px + limit ||
        x_px >= s->config.width_px + limit)
        return;
    stamp(s, y_px, x_px, height, sigma_px);
}

struct lattice {
    enum fly_phase phase;
    double d_nm, a_site, b_site; /* heights */
    double jitter_nm;            /* of a column about its site, standard deviation */
    double sigma_nm;
};

/* A and B columns of a perovskite seen along [001]: two square lattices, half a period apart. */
static void put_lattice(struct fly_specimen *s, const struct fly_layout *layout,
                        const struct lattice *lattice, struct fly_rng *rng)
{
    double px = s->config.pixel_nm, d_px = lattice->d_nm / px;
    double origin[2] = {fly_rng_uniform(rng) * d_px, fly_rng_uniform(rng) * d_px};
    int32_t first = -(int32_t)(2 * MARGIN / d_px) - 2;
    int32_t rows = (int32_t)((s->config.height_px + 2 * MARGIN) / d_px) + 2;
    int32_t cols = (int32_t)((s->config.width_px + 2 * MARGIN) / d_px) + 2;

    for (int site = 0; site < 2; site++) {
        double height = site ? lattice->b_site : lattice->a_site;

        for (int32_t i = first; i < rows; i++)
            for (int32_t j = first; j < cols; j++) {
                double y = (i + 0.5 * site) * d_px + origin[0], x = (j + 0.5 * site) * d_px + origin[1];
                double jitter = lattice->jitter_nm / px;

                y += jitter * fly_rng_normal(rng);
                x += jitter * fly_rng_normal(rng);
                put_column(s, layout, y, x, lattice->phase, height * (1.0 + 0.05 * fly_rng_normal(rng)),
                           lattice->sigma_nm / px);
            }
    }
}

/* Amorphous film: as many columns as the crystal has, anywhere, blurred by not being columns. */
static void put_amorphous(struct fly_specimen *s, const struct fly_layout *layout, struct fly_rng *rng)
{
    double px = s->config.pixel_nm, height = s->config.height_px + 2 * MARGIN;
    double width = s->config.width_px + 2 * MARGIN;
    int64_t count = (int64_t)(2.0 * height * width * px * px / (0.41 * 0.41));

    for (int64_t i = 0; i < count; i++) {
        double y = fly_rng_uniform(rng) * height - MARGIN, x = fly_rng_uniform(rng) * width - MARGIN;
        double z = fly_rng_below(rng, 2) ? 0.55 * brightness(57) : 0.6 * brightness(26);

        put_column(s, layout, y, x, FLY_LFO_DISORDERED, z, 0.0775 / px);
    }
}

static void put_atoms(struct fly_specimen *s, const struct fly_layout *layout)
{
    int irradiated = s->config.dpa > 0.0, defective = s->config.growth == FLY_DEFECTIVE;
    double shake_nm = irradiated ? 0.012 : 0.004, sigma_nm = 0.062;
    struct fly_rng rng = {fly_mix64(s->config.seed ^ 0xA70A5)};
    struct lattice sto = {FLY_STO, 0.3905, brightness(38), brightness(22), shake_nm, sigma_nm};
    struct lattice film = {FLY_LFO, irradiated || defective ? 0.41 : 0.405, 0.93 * brightness(57),
                           brightness(26), shake_nm, sigma_nm};
    struct lattice columns = {FLY_LFO_DISORDERED, 0.42, 0.7 * brightness(57), 0.8 * brightness(26),
                              irradiated ? 0.042 : 0.022, sigma_nm};

    put_lattice(s, layout, &sto, &rng);
    put_lattice(s, layout, &film, &rng);
    s->d_nm[FLY_STO] = sto.d_nm;
    s->d_nm[FLY_LFO] = film.d_nm;
    if (defective) {
        put_lattice(s, layout, &columns, &rng);
        s->d_nm[FLY_LFO_DISORDERED] = columns.d_nm;
    } else if (irradiated) {
        put_amorphous(s, layout, &rng);
    }
    if (s->config.inclusion > 0.0) {
        /* Columns of octahedral iron are twice as dense as those of tetrahedral iron; together they shine half as
         * bright as the film, by the atoms in a volume of both. */
        struct lattice magnetite = {FLY_INCLUSION, 0.297, 0.8 * brightness(26), 0.4 * brightness(26), shake_nm,
                                    sigma_nm};

        put_lattice(s, layout, &magnetite, &rng);
        s->d_nm[FLY_INCLUSION] = magnetite.d_nm;
    }
}

/* Phases, the signal between the columns, the cap's grains, and a foil that is not quite flat. */
static void fill_ground(struct fly_specimen *s, const struct fly_layout *layout)
{
    static const double ground[FLY_PHASES] = {0.16, 0.24, 0.26, 0.05, 0.18};

    for (int32_t y = -MARGIN; y < s->config.height_px + MARGIN; y++)
        for (int32_t x = -MARGIN; x < s->config.width_px + MARGIN; x++) {
            size_t at = fly_specimen_at(s, y, x);
            double place[2];

            fly_layout_unwarp(layout, y + 0.5, x + 0.5, place);
            enum fly_phase phase = fly_layout_phase(layout, place[0], place[1]);
            double value = s->signal[at] + ground[phase];

            if (phase == FLY_CAP)
                value += fly_layout_grain(layout, place[0], place[1]) *
                         (s->config.cap == FLY_CAP_PT ? 0.55 * brightness(78) : brightness(24));
            value *= fly_layout_thickness(layout, place[0], place[1]);
            s->phase[at] = (uint8_t)phase;
            s->signal[at] = value > 0.0 ? (float)value : 0.0f;
            if (s->signal[at] > s->signal_max)
                s->signal_max = s->signal[at];
        }
}

static int check(const struct fly_specimen_config *c)
{
    if (c->height_px < FLY_SPECIMEN_SIDE_MIN || c->height_px > FLY_SPECIMEN_SIDE_MAX ||
        c->width_px < FLY_SPECIMEN_SIDE_MIN || c->width_px > FLY_SPECIMEN_SIDE_MAX)
        return fly_fail(FLY_ERANGE, "specimen of %d x %d px, a side has %d .. %d", c->height_px, c->width_px,
                        FLY_SPECIMEN_SIDE_MIN, FLY_SPECIMEN_SIDE_MAX);
    if (!(c->pixel_nm >= 0.01 && c->pixel_nm <= 0.2))
        return fly_fail(FLY_ERANGE, "pixel of %g nm, allowed are 0.01 .. 0.2", c->pixel_nm);
    if (!(c->dpa >= 0.0 && c->dpa <= 1.0))
        return fly_fail(FLY_ERANGE, "%g dpa, allowed are 0 .. 1", c->dpa);
    if (!(c->warp_px >= 0.0 && c->warp_px <= 4.0))
        return fly_fail(FLY_ERANGE, "distortion of %g px, allowed are 0 .. 4", c->warp_px);
    if (!(c->inclusion >= 0.0 && c->inclusion <= 0.05))
        return fly_fail(FLY_ERANGE, "inclusion of %g of the area, allowed are 0 .. 0.05", c->inclusion);
    return FLY_OK;
}

int fly_specimen_open(struct fly_specimen **out, const struct fly_specimen_config *config)
{
    struct fly_layout layout;
    int rc = check(config);

    if (rc == FLY_OK)
        rc = fly_layout_init(&layout, config);
    if (rc < 0)
        return rc;
    struct fly_specimen *s = calloc(1, sizeof *s);
    size_t pixels = (size_t)(config->height_px + 2 * MARGIN) * (size_t)(config->width_px + 2 * MARGIN);

    if (!s)
        return fly_fail(FLY_ENOMEM, "specimen: no memory");
    s->config = *config;
    s->stride_px = config->width_px + 2 * MARGIN;
    s->signal = calloc(pixels, sizeof *s->signal);
    s->phase = calloc(pixels, sizeof *s->phase);
    if (!s->signal || !s->phase) {
        fly_specimen_close(&s);
        return fly_fail(FLY_ENOMEM, "specimen of %d x %d px: no memory for its %zu MiB", config->height_px,
                        config->width_px, pixels * 5 >> 20);
    }
    fill_composition(s);
    put_atoms(s, &layout);
    fill_ground(s, &layout);
    *out = s;
    return FLY_OK;
}

void fly_specimen_close(struct fly_specimen **specimen)
{
    if (!*specimen)
        return;
    free((*specimen)->signal);
    free((*specimen)->phase);
    free(*specimen);
    *specimen = NULL;
}
