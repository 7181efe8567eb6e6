/* The `quality` of a metrics message. */
#include "stream/publish.h"

static void put_number(struct fly_pack *pack, const char *key, double number)
{
    fly_pack_str(pack, key);
    fly_pack_f64(pack, number);
}

static void put_int(struct fly_pack *pack, const char *key, int64_t number, int there)
{
    fly_pack_str(pack, key);
    if (there)
        fly_pack_int(pack, number);
    else
        fly_pack_nil(pack);
}

static void put_flag(struct fly_pack *pack, const char *key, int flag)
{
    fly_pack_str(pack, key);
    fly_pack_bool(pack, flag);
}

static void put_word(struct fly_pack *pack, const char *key, const char *word)
{
    fly_pack_str(pack, key);
    if (word)
        fly_pack_str(pack, word);
    else
        fly_pack_nil(pack);
}

/* A map of so many keys, or nil: 0. */
static int open_part(struct fly_pack *pack, const char *key, uint32_t keys, int there)
{
    fly_pack_str(pack, key);
    if (there)
        fly_pack_map(pack, keys);
    else
        fly_pack_nil(pack);
    return there;
}

static void pack_counts(struct fly_pack *pack, const struct fly_pub_quality *q)
{
    if (!open_part(pack, "counts", 5, q->has_eds))
        return;
    put_int(pack, "chips", q->counts.chips, 1);
    put_int(pack, "needed", q->counts.needed, 1);
    put_number(pack, "too_few", q->counts.too_few);
    put_number(pack, "pooled", q->counts.pooled);
    put_number(pack, "median", q->counts.median);
}

static void pack_saturation(struct fly_pack *pack, const struct fly_pub_quality *q)
{
    if (!open_part(pack, "saturation", 4, q->has_image))
        return;
    put_number(pack, "top", q->saturation.top);
    put_number(pack, "bottom", q->saturation.bottom);
    put_number(pack, "top_value", q->saturation.top_value);
    put_number(pack, "bottom_value", q->saturation.bottom_value);
}

static void pack_drift(struct fly_pack *pack, const struct fly_pub_quality *q)
{
    if (!open_part(pack, "drift", 14, q->has_image))
        return;
    put_int(pack, "frames", q->drift.frames, 1);
    put_int(pack, "unmeasured", q->drift.unmeasured, 1);
    put_int(pack, "frame", q->drift.frame, q->drift.frame >= 0);
    put_number(pack, "dy_px", q->drift.dy_px);
    put_number(pack, "dx_px", q->drift.dx_px);
    put_number(pack, "sigma_dy_px", q->drift.sigma_dy_px);
    put_number(pack, "sigma_dx_px", q->drift.sigma_dx_px);
    put_number(pack, "correlation", q->drift.correlation);
    put_flag(pack, "ambiguous", q->drift.ambiguous);
    put_number(pack, "applied_dy_px", q->drift.applied_dy_px);
    put_number(pack, "applied_dx_px", q->drift.applied_dx_px);
    put_number(pack, "largest_px", q->drift.largest_px);
    put_int(pack, "largest_frame", q->drift.largest_frame, q->drift.largest_frame >= 0);
    put_int(pack, "adopted", q->drift.adopted, 1);
}

static void pack_damage(struct fly_pack *pack, const struct fly_pub_quality *q)
{
    open_part(pack, "damage", 6, 1);
    put_int(pack, "chips", q->damage.chips, 1);
    put_int(pack, "barred", q->damage.barred, 1);
    put_word(pack, "sign", q->damage.sign);
    fly_pack_str(pack, "chip");
    if (q->damage.row >= 0) {
        fly_pack_array(pack, 2);
        fly_pack_int(pack, q->damage.row);
        fly_pack_int(pack, q->damage.col);
    } else {
        fly_pack_nil(pack);
    }
    put_word(pack, "element", q->damage.element);
    put_number(pack, "change", q->damage.change);
}

static void pack_chip_size(struct fly_pack *pack, const struct fly_pub_quality *q)
{
    if (!open_part(pack, "chip_size", 6, q->has_image))
        return;
    put_word(pack, "reason", q->chip_size.reason);
    put_int(pack, "advised_px", q->chip_size.advised_px, q->chip_size.advised_px > 0);
    put_number(pack, "cell_px", q->chip_size.cell_px);
    put_number(pack, "cells", q->chip_size.cells);
    put_int(pack, "lines", q->chip_size.lines, 1);
    put_flag(pack, "final", q->chip_size.final);
}

void fly_pub_pack_quality(struct fly_pack *pack, const struct fly_pub_quality *quality)
{
    if (!quality) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, 6);
    pack_counts(pack, quality);
    pack_saturation(pack, quality);
    pack_drift(pack, quality);
    pack_damage(pack, quality);
    pack_chip_size(pack, quality);
    open_part(pack, "calibration", 2, 1);
    put_flag(pack, "pixel", quality->pixel_known);
    put_word(pack, "k_factors", quality->k_factors);
}
