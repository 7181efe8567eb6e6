/* Dose as an analysis tells it: of chips and pixels as arrays, in result.json keys of topic `dose`, and a picture. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/analyze_out.h"
#include "plugin/dose.h"
#include "plugin/picture.h"
#include "stream/disk.h"

static const uint64_t nothing[FLY_STREAMS_MAX];

static int write_pixels(const struct fly_analyze_out *out, double factor)
{
    const struct fly_grid *grid = fly_engine_grid(out->engine);
    size_t n = (size_t)grid->height_px * (size_t)grid->width_px;
    float *px = malloc(n * sizeof *px);
    int rc;

    if (!px)
        return fly_fail(FLY_ENOMEM, "dose_px.npy: no memory");
    fly_engine_dose_pixels(out->engine, (struct fly_rect){0, 0, grid->height_px, grid->width_px}, px);
    for (size_t i = 0; i < n; i++)
        px[i] = (float)(factor * (double)px[i]);
    rc = fly_analyze_npy(out, "dose_px", FLY_NPY_F32, 2, (int64_t[]){grid->height_px, grid->width_px}, px);
    free(px);
    return rc;
}

static void tell_number(struct fly_json *json, const char *key, double number)
{
    fly_json_key(json, key);
    fly_json_f64(json, number);
}

static void tell(struct fly_json *json, const struct fly_pub_dose *told)
{
    fly_json_key(json, "dose");
    fly_json_object(json);
    fly_json_key(json, "unit");
    fly_json_str(json, told->calibrated ? "e_per_A2" : "us");
    tell_number(json, "factor", told->factor);
    tell_number(json, "max", told->max);
    tell_number(json, "mean", told->mean);
    tell_number(json, "gini", told->gini);
    tell_number(json, "survey", told->survey);
    fly_json_key(json, "unknown");
    fly_json_int(json, told->unknown);
    fly_json_key(json, "late");
    fly_json_int(json, told->late);
    fly_json_end(json);
}

int fly_analyze_dose(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_grid *grid = fly_engine_grid(out->engine);
    int64_t shape[2] = {grid->rows, grid->cols};
    struct fly_dose dose = {.serial = 0};
    int rc = fly_dose_take(&dose, out->session, nothing);

    if (rc == FLY_OK)
        rc = fly_analyze_npy(out, "dose", FLY_NPY_F32, 2, shape, dose.mean);
    if (rc == FLY_OK)
        rc = fly_analyze_npy(out, "dose_max", FLY_NPY_F32, 2, shape, dose.most);
    if (rc == FLY_OK)
        rc = write_pixels(out, dose.told.factor);
    if (rc == FLY_OK)
        tell(json, &dose.told);
    fly_dose_fini(&dose);
    return rc;
}

/* Chips as parts of what the most exposed one had. */
static int draw(const struct fly_dose *dose, struct fly_session *session, const char *path)
{
    const struct fly_session_info *info = fly_session_facts(session);
    const struct fly_grid *grid = &info->plan.grid;
    double top = 0.0;
    char title[160], note[200], name[80];
    struct fly_text png;
    int rc;

    for (int32_t k = 0; k < dose->n_chips; k++)
        top = (double)dose->mean[k] > top ? (double)dose->mean[k] : top; /* comparisons with NaN are false */
    if (!(top > 0.0))
        return FLY_OK;
    for (int32_t k = 0; k < dose->n_chips; k++)
        dose->mean[k] = (float)((double)dose->mean[k] / top);
    snprintf(title, sizeof title, "%s: dose", info->id);
    snprintf(note, sizeof note, "%d x %d chips of %d px, mean %.4g, largest pixel %.4g %s", grid->rows, grid->cols,
             grid->side_px, dose->told.mean, dose->told.max, dose->told.calibrated ? "e-/A^2" : "us");
    snprintf(name, sizeof name, "dose of a chip, 1: %.4g %s", top, dose->told.calibrated ? "e-/A^2" : "us");
    fly_text_init(&png);
    rc = fly_picture_png(&(struct fly_scan_picture){.title = title,
                                                    .note = note,
                                                    .height_px = grid->height_px,
                                                    .width_px = grid->width_px,
                                                    .pixel_nm = info->plan.pixel_nm[1],
                                                    .rows = grid->rows,
                                                    .cols = grid->cols,
                                                    .side_px = grid->side_px,
                                                    .pitch_px = grid->pitch_px,
                                                    .heat = dose->mean,
                                                    .heat_name = name},
                         &png);
    if (rc == FLY_OK)
        rc = fly_file_write(path, png.bytes, png.len);
    fly_text_fini(&png);
    return rc;
}

int fly_results_dose_picture(struct fly_session *session, const char *path)
{
    struct fly_dose dose = {.serial = 0};
    int rc = fly_dose_take(&dose, session, nothing);

    if (rc == FLY_OK)
        rc = draw(&dose, session, path);
    fly_dose_fini(&dose);
    return rc;
}
