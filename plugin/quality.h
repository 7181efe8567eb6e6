/* plugin/quality.h: what is said of data quality (engine/quality.h), on the wire and to people.
 *
 * A condition is told as an event when it begins to hold, once; and again when it went and came back, at most once a
 * minute. The numbers behind it stand in every `metrics`.
 *
 *   code                     level    holds while
 *   counts_low               warning  more than half of the chips with a composition have too few counts of their own,
 *                                     those being a quarter of the scan or more
 *   saturation               warning  0.1 % of the pixels or more lie on a value where the detector clips
 *   drift                    warning  the frame measured last lies farther from the first, what fly_engine_shift made
 *                                     good apart, than a tenth of a chip, 1 px and 3 sigma
 *   damage                   warning  chips' early data disagree with their late ones (engine/damage.h); told again when
 *                                     twice as many do
 *   chip_below_cell          warning  chips hold less than one unit cell
 *   chip_size                info     all that is ever looked at was, and chips hold a cell, or are larger than needed
 *   uncalibrated_pixel       warning  an image without a pixel size
 *   uncalibrated_k_factors   info     compositions by k-factors of the table; a warning where sets are mixed
 *
 * Threads  a watch belongs to one.
 */
#ifndef FLY_PLUGIN_QUALITY_H
#define FLY_PLUGIN_QUALITY_H

#include <stdint.h>

#include "engine/quality.h"
#include "plugin/bus.h"
#include "stream/publish.h"

enum fly_quality_condition {
    FLY_UNCALIBRATED_PIXEL = 0,
    FLY_UNCALIBRATED_K_FACTORS,
    FLY_CHIP_BELOW_CELL,
    FLY_CHIP_SIZE,
    FLY_COUNTS_LOW,
    FLY_SATURATION,
    FLY_DRIFT,
    FLY_DAMAGE,
    FLY_QUALITY_CONDITIONS
};

/* All zeros: nothing told yet. */
struct fly_quality_watch {
    struct {
        int holds, told;
        int64_t told_ns;
    } of[FLY_QUALITY_CONDITIONS];
    int32_t damaged; /* chips, as last told */
};

/* 1: event is the next to be told of this state; call it again until 0. now_ns: of a clock that never goes back. */
int fly_quality_watch_next(struct fly_quality_watch *watch, const struct fly_quality *quality, int64_t now_ns,
                           struct fly_event *event);

/* As `metrics` and result.json say it. Words are static. */
void fly_quality_told(struct fly_pub_quality *out, const struct fly_quality *quality);

#endif
