#include "sim/truth.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/npy.h"
#include "stream/disk.h"

static int32_t fit(int32_t side_px, int32_t origin_px, int32_t chip_px, int32_t pitch_px)
{
    return side_px - origin_px < chip_px ? 0 : (side_px - origin_px - chip_px) / pitch_px + 1;
}

static void look_at_chip(struct fly_truth *t, const struct fly_specimen *s, int32_t row, int32_t col)
{
    int32_t seen[FLY_PHASES] = {0}, best = 0, k = row * t->cols + col;

    for (int32_t i = 0; i < t->chip_px; i++) {
        const uint8_t *phase = s->phase + fly_specimen_at(s, t->origin_px[0] + row * t->pitch_px + i,
                                                          t->origin_px[1] + col * t->pitch_px);

        for (int32_t j = 0; j < t->chip_px; j++)
            seen[phase[j]]++;
    }
    for (int32_t p = 1; p < FLY_PHASES; p++)
        if (seen[p] > seen[best])
            best = p;
    t->label[k] = best;
    t->purity[k] = (float)((double)seen[best] / ((double)t->chip_px * t->chip_px));
    t->count[best]++;
}

int fly_truth_open(struct fly_truth **out, const struct fly_specimen *s, int32_t chip_px, int32_t pitch_px,
                   const int32_t origin_px[2], int32_t rows, int32_t cols)
{
    int32_t h = s->config.height_px, w = s->config.width_px;

    if (pitch_px == 0)
        pitch_px = chip_px;
    if (chip_px < 1 || pitch_px < 1 || origin_px[0] < 0 || origin_px[1] < 0 || chip_px > h || chip_px > w)
        return fly_fail(FLY_ERANGE, "chips of %d px, %d px apart, from %d, %d do not fit %d x %d px", chip_px,
                        pitch_px, origin_px[0], origin_px[1], h, w);
    int32_t most_rows = fit(h, origin_px[0], chip_px, pitch_px);
    int32_t most_cols = fit(w, origin_px[1], chip_px, pitch_px);

    rows = rows ? rows : most_rows;
    cols = cols ? cols : most_cols;
    if (rows < 1 || cols < 1 || rows > most_rows || cols > most_cols)
        return fly_fail(FLY_ERANGE, "%d x %d chips of %d px, %d x %d px have room for %d x %d", rows, cols,
                        chip_px, h, w, most_rows, most_cols);
    struct fly_truth *t = calloc(1, sizeof *t);
    size_t chips = (size_t)rows * (size_t)cols;

    if (t) {
        *t = (struct fly_truth){.chip_px = chip_px, .pitch_px = pitch_px, .rows = rows, .cols = cols,
                                .origin_px = {origin_px[0], origin_px[1]},
                                .label = malloc(chips * sizeof *t->label),
                                .purity = malloc(chips * sizeof *t->purity)};
    }
    if (!t || !t->label || !t->purity) {
        fly_truth_close(&t);
        return fly_fail(FLY_ENOMEM, "truth of %zu chips: no memory", chips);
    }
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < cols; c++)
            look_at_chip(t, s, r, c);
    *out = t;
    return FLY_OK;
}

void fly_truth_close(struct fly_truth **truth)
{
    if (!*truth)
        return;
    free((*truth)->label);
    free((*truth)->purity);
    free(*truth);
    *truth = NULL;
}

/* The purity that the shots purest chips of a class reach: all above it and at it are candidates. */
static float purity_needed(const struct fly_truth *t, enum fly_phase phase, int32_t shots)
{
    float need = 2.0f;

    for (int32_t left = shots; left > 0;) {
        float best = -1.0f;
        int32_t have = 0;

        for (int32_t k = 0; k < t->rows * t->cols; k++)
            if (t->label[k] == (int32_t)phase && t->purity[k] < need && t->purity[k] >= best) {
                have = t->purity[k] > best ? 1 : have + 1;
                best = t->purity[k];
            }
        if (have == 0)
            break;
        need = best;
        left -= have;
    }
    return need;
}

int32_t fly_truth_support(const struct fly_truth *t, enum fly_phase phase, int32_t shots, int32_t *chips)
{
    FLY_ASSERT(phase < FLY_PHASES && shots > 0);
    float need = purity_needed(t, phase, shots);
    int64_t pure = 0, i = 0;
    int32_t taken = 0;

    for (int32_t k = 0; k < t->rows * t->cols; k++)
        pure += t->label[k] == (int32_t)phase && t->purity[k] >= need;
    if (shots > pure)
        shots = (int32_t)pure;
    /* The middles of `shots` equal stretches of the candidates. */
    for (int32_t k = 0; k < t->rows * t->cols && taken < shots; k++)
        if (t->label[k] == (int32_t)phase && t->purity[k] >= need) {
            if (i == (2 * taken + 1) * pure / (2 * shots))
                chips[taken++] = k;
            i++;
        }
    return taken;
}

static int write_json(json_t *json, const char *path)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) : NULL;
    int rc = text ? fly_file_write(path, text, strlen(text)) : fly_fail(FLY_ENOMEM, "%s: no memory", path);

    free(text);
    json_decref(json);
    return rc;
}

int fly_truth_write_support(const struct fly_truth *t, int32_t shots, const char *path)
{
    int32_t *chips = malloc((size_t)shots * sizeof *chips);
    json_t *json = json_object();

    if (!chips) {
        json_decref(json);
        return fly_fail(FLY_ENOMEM, "%s: no memory for %d chips", path, shots);
    }
    for (int p = 0; p < FLY_PHASES; p++) {
        int32_t n = fly_truth_support(t, (enum fly_phase)p, shots, chips);
        json_t *list = json_array();

        for (int32_t i = 0; i < n; i++)
            json_array_append_new(list, json_pack("[i,i]", chips[i] / t->cols, chips[i] % t->cols));
        if (n)
            json_object_set_new(json, fly_phase_name((enum fly_phase)p), list);
        else
            json_decref(list);
    }
    free(chips);
    return write_json(json, path);
}

static int write_npy(const char *dir, const char *name, enum fly_npy_type type, int64_t rows, int64_t cols,
                     const void *data)
{
    unsigned char header[FLY_NPY_HEADER_CAP];
    int64_t shape[2] = {rows, cols};
    size_t len = fly_npy_header(header, type, 2, shape);
    size_t bytes = (size_t)rows * (size_t)cols * fly_npy_type_size(type);
    unsigned char *whole = malloc(len + bytes);
    char path[4096];
    int rc;

    if (!whole)
        return fly_fail(FLY_ENOMEM, "%s/%s: no memory for its %zu bytes", dir, name, bytes);
    memcpy(whole, header, len);
    memcpy(whole + len, data, bytes);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    rc = fly_file_write(path, whole, len + bytes);
    free(whole);
    return rc;
}

static json_t *describe_class(const struct fly_truth *t, const struct fly_specimen *s,
                              const struct fly_beam *beam, int p)
{
    json_t *atoms = json_object();

    for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
        if (s->atoms[p][e] > 0.0)
            json_object_set_new(atoms, fly_xray_symbol((enum fly_xray_element)e),
                                json_real(100.0 * s->atoms[p][e]));
    return json_pack("{s:i, s:s, s:i, s:f, s:f, s:o}", "id", p, "name", fly_phase_name((enum fly_phase)p),
                     "chips", t->count[p], "d_nm", s->d_nm[p], "eds_counts_per_px",
                     fly_beam_phase_counts(beam, (enum fly_phase)p), "atomic_percent", atoms);
}

static json_t *describe(const struct fly_truth *t, const struct fly_specimen *s, const struct fly_beam *beam)
{
    const struct fly_beam_config *b = fly_beam_config_of(beam);
    json_t *classes = json_array();

    for (int p = 0; p < (s->config.inclusion > 0.0 ? FLY_PHASES : FLY_PHASES_USUAL); p++)
        json_array_append_new(classes, describe_class(t, s, beam, p));
    return json_pack("{s:o, s:[i,i], s:f, s:s, s:f, s:s, s:I, s:i, s:i, s:[i,i], s:[i,i], s:f, s:f, s:f, s:f, s:i}",
                     "classes", classes, "scan_shape_px", s->config.height_px, s->config.width_px,
                     "pixel_nm", s->config.pixel_nm, "kind", fly_growth_name(s->config.growth), "dpa",
                     s->config.dpa, "cap", fly_cap_metal_name(s->config.cap), "seed",
                     (json_int_t)s->config.seed, "chip_px", t->chip_px, "pitch_px", t->pitch_px, "origin_px",
                     t->origin_px[0], t->origin_px[1], "grid_shape", t->rows, t->cols, "eds_counts",
                     b->eds_counts, "dwell_us", b->dwell_us, "warp_px", s->config.warp_px, "inclusion",
                     s->config.inclusion, "segments", b->segments);
}

int fly_truth_write(const struct fly_truth *t, const struct fly_specimen *s, const struct fly_beam *beam,
                    const char *dir)
{
    size_t h = (size_t)s->config.height_px, w = (size_t)s->config.width_px;
    uint8_t *phases;
    char path[4096];
    int rc;

    rc = fly_folder_make(dir);
    if (rc < 0)
        return rc;
    phases = malloc(h * w);
    if (!phases)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %zu pixels", dir, h * w);
    for (size_t y = 0; y < h; y++)
        memcpy(phases + y * w, s->phase + fly_specimen_at(s, (int32_t)y, 0), w);
    rc = write_npy(dir, "truth_px.npy", FLY_NPY_U8, (int64_t)h, (int64_t)w, phases);
    free(phases);
    if (rc == FLY_OK)
        rc = write_npy(dir, "truth_chip.npy", FLY_NPY_I32, t->rows, t->cols, t->label);
    if (rc == FLY_OK)
        rc = write_npy(dir, "truth_purity.npy", FLY_NPY_F32, t->rows, t->cols, t->purity);
    snprintf(path, sizeof path, "%s/truth.json", dir);
    return rc == FLY_OK ? write_json(describe(t, s, beam), path) : rc;
}
