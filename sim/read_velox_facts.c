/* What Velox knows of the microscope and the scan. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/read_velox.h"

/* A length of one pixel in nm: BinaryResult.PixelSize, in m. */
static int read_pixel_size(struct fly_import *out, const json_t *meta,
                           const struct fly_import_options *options)
{
    static const char *const keys[] = {"height", "width"}, *const units[] = {"PixelUnitY",
                                                                             "PixelUnitX"};

    for (int i = 0; i < 2; i++) {
        int there;
        double size = fly_json_number(meta, &there, "BinaryResult", "PixelSize", keys[i], NULL);

        if (!there || strcmp(fly_json_text(meta, "BinaryResult", units[i], NULL), "m") != 0 ||
            isfinite(options->pixel_nm[0]))
            continue;
        if (!isfinite(size) || size <= 0.0)
            return fly_fail(FLY_EWIRE,
                            "%s: PixelSize.%s is %g m, which must be finite and above 0; "
                            "--pixel-nm replaces it",
                            out->path, keys[i], size);
        out->meta.pixel_nm[i] = size * 1e9;
    }
    return FLY_OK;
}

static double positive(double value)
{
    return isfinite(value) && value > 0.0 ? value : NAN;
}

int fly_velox_facts(struct fly_import *out, const json_t *meta, const char *detector, int32_t width_px,
                    const struct fly_import_options *options)
{
    struct fly_start *facts = &out->meta;
    const json_t *imaging = fly_velox_detector(meta, detector);
    double begin = fly_json_number(imaging, NULL, "CollectionAngleRange", "begin", NULL);
    double end = fly_json_number(imaging, NULL, "CollectionAngleRange", "end", NULL);
    double t0 =
        fly_json_number(meta, NULL, "Acquisition", "AcquisitionStartDatetime", "DateTime", NULL);
    const char *sample = fly_json_text(meta, "Sample", "SampleDescription", NULL);

    facts->beam_energy_kev =
        positive(fly_json_number(meta, NULL, "Optics", "AccelerationVoltage", NULL)) / 1e3;
    facts->convergence_mrad =
        positive(fly_json_number(meta, NULL, "Optics", "BeamConvergence", NULL)) * 1e3;
    facts->magnification = positive(
        fly_json_number(meta, NULL, "CustomProperties", "StemMagnification", "value", NULL));
    if (begin >= 0.0 && end > begin && isfinite(end)) {
        facts->collection_mrad[0] = begin * 1e3;
        facts->collection_mrad[1] = end * 1e3;
    }
    facts->pixel_time_us = positive(fly_json_number(meta, NULL, "Scan", "DwellTime", NULL)) * 1e6;
    out->line_time_us = positive(fly_json_number(meta, NULL, "Scan", "LineTime", NULL)) * 1e6;
    out->frame_time_us = positive(fly_json_number(meta, NULL, "Scan", "FrameTime", NULL)) * 1e6;
    if (!isfinite(facts->pixel_time_us)) {
        /* FrameTime of a point acquisition is the survey's; without a dwell neither is ours. */
        out->line_time_us = out->frame_time_us = NAN;
    } else if (out->line_time_us >= facts->pixel_time_us * width_px) {
        facts->flyback_time_us = out->line_time_us - facts->pixel_time_us * width_px;
    }
    if (isfinite(t0) && t0 > 0.0 && t0 < 9e9)
        out->t0_ns = (int64_t)(t0 * 1e9);
    if (!sample[0])
        sample = fly_json_text(meta, "Sample", "SampleId", NULL);
    snprintf(facts->sample, sizeof facts->sample, "%s", sample);
    return read_pixel_size(out, meta, options);
}
