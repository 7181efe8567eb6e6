/* Data quality as an analysis tells it: the keys of `metrics`. */
#include "plugin/analyze_out.h"
#include "plugin/quality.h"

static void tell_int(struct fly_json *json, const char *key, int64_t number, int there)
{
    fly_json_key(json, key);
    if (there)
        fly_json_int(json, number);
    else
        fly_json_null(json);
}

static void tell_number(struct fly_json *json, const char *key, double number)
{
    fly_json_key(json, key);
    fly_json_f64(json, number);
}

static void tell_flag(struct fly_json *json, const char *key, int flag)
{
    fly_json_key(json, key);
    fly_json_bool(json, flag);
}

static void tell_word(struct fly_json *json, const char *key, const char *word)
{
    fly_json_key(json, key);
    if (word)
        fly_json_str(json, word);
    else
        fly_json_null(json);
}

/* An object begun, or null: 0. */
static int open_part(struct fly_json *json, const char *key, int there)
{
    fly_json_key(json, key);
    if (there)
        fly_json_object(json);
    else
        fly_json_null(json);
    return there;
}

static void tell_counts(struct fly_json *json, const struct fly_pub_quality *q)
{
    if (!open_part(json, "counts", q->has_eds))
        return;
    tell_int(json, "chips", q->counts.chips, 1);
    tell_int(json, "needed", q->counts.needed, 1);
    tell_number(json, "too_few", q->counts.too_few);
    tell_number(json, "pooled", q->counts.pooled);
    tell_number(json, "median", q->counts.median);
    fly_json_end(json);
}

static void tell_saturation(struct fly_json *json, const struct fly_pub_quality *q)
{
    if (!open_part(json, "saturation", q->has_image))
        return;
    tell_number(json, "top", q->saturation.top);
    tell_number(json, "bottom", q->saturation.bottom);
    tell_number(json, "top_value", q->saturation.top_value);
    tell_number(json, "bottom_value", q->saturation.bottom_value);
    fly_json_end(json);
}

static void tell_drift(struct fly_json *json, const struct fly_pub_quality *q)
{
    if (!open_part(json, "drift", q->has_image))
        return;
    tell_int(json, "frames", q->drift.frames, 1);
    tell_int(json, "unmeasured", q->drift.unmeasured, 1);
    tell_int(json, "frame", q->drift.frame, q->drift.frame >= 0);
    tell_number(json, "dy_px", q->drift.dy_px);
    tell_number(json, "dx_px", q->drift.dx_px);
    tell_number(json, "sigma_dy_px", q->drift.sigma_dy_px);
    tell_number(json, "sigma_dx_px", q->drift.sigma_dx_px);
    tell_number(json, "correlation", q->drift.correlation);
    tell_flag(json, "ambiguous", q->drift.ambiguous);
    tell_number(json, "applied_dy_px", q->drift.applied_dy_px);
    tell_number(json, "applied_dx_px", q->drift.applied_dx_px);
    tell_number(json, "largest_px", q->drift.largest_px);
    tell_int(json, "largest_frame", q->drift.largest_frame, q->drift.largest_frame >= 0);
    tell_int(json, "adopted", q->drift.adopted, 1);
    fly_json_end(json);
}

static void tell_damage(struct fly_json *json, const struct fly_pub_quality *q)
{
    open_part(json, "damage", 1);
    tell_int(json, "chips", q->damage.chips, 1);
    tell_int(json, "barred", q->damage.barred, 1);
    tell_word(json, "sign", q->damage.sign);
    fly_json_key(json, "chip");
    if (q->damage.row >= 0) {
        fly_json_row(json);
        fly_json_int(json, q->damage.row);
        fly_json_int(json, q->damage.col);
        fly_json_end(json);
    } else {
        fly_json_null(json);
    }
    tell_word(json, "element", q->damage.element);
    tell_number(json, "change", q->damage.change);
    fly_json_end(json);
}

static void tell_chip_size(struct fly_json *json, const struct fly_pub_quality *q)
{
    if (!open_part(json, "chip_size", q->has_image))
        return;
    tell_word(json, "reason", q->chip_size.reason);
    tell_int(json, "advised_px", q->chip_size.advised_px, q->chip_size.advised_px > 0);
    tell_number(json, "cell_px", q->chip_size.cell_px);
    tell_number(json, "cells", q->chip_size.cells);
    tell_int(json, "lines", q->chip_size.lines, 1);
    tell_flag(json, "final", q->chip_size.final);
    fly_json_end(json);
}

void fly_analyze_tell_quality(const struct fly_analyze_out *out, struct fly_json *json)
{
    struct fly_quality quality;
    struct fly_pub_quality told;

    while (fly_engine_quality_step(out->engine))
        continue;
    fly_engine_quality(out->engine, &quality);
    fly_quality_told(&told, &quality);
    open_part(json, "quality", 1);
    tell_counts(json, &told);
    tell_saturation(json, &told);
    tell_drift(json, &told);
    tell_damage(json, &told);
    tell_chip_size(json, &told);
    open_part(json, "calibration", 1);
    tell_flag(json, "pixel", told.pixel_known);
    tell_word(json, "k_factors", told.k_factors);
    fly_json_end(json);
    fly_json_end(json);
}
