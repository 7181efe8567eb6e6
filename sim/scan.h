/* sim/scan.h: in which order the lines of a frame are measured.
 *
 * A frame is cut into blocks of whole lines, as many as go into one message. Raster: from the top,
 * every frame. Serpentine: the beam never flies back, so odd frames run from the bottom up. Shuffled:
 * a permutation of the blocks that depends on seed and frame alone.
 *
 * Threads  a scan is a plain value.
 */
#ifndef FLY_SIM_SCAN_H
#define FLY_SIM_SCAN_H

#include <stdint.h>

#include "engine/base/err.h"

enum fly_scan_order { FLY_ORDER_RASTER = 0, FLY_ORDER_SERPENTINE, FLY_ORDER_SHUFFLED, FLY_ORDERS };

struct fly_scan {
    int32_t height_px;
    int32_t block_px; /* lines in a block; the last block of a frame may have fewer */
    enum fly_scan_order order;
    uint64_t seed;
};

const char *fly_scan_order_name(enum fly_scan_order order);

int32_t fly_scan_blocks(const struct fly_scan *scan); /* of one frame */

/* Where the block lies that is measured at that step, 0 .. blocks - 1, of a frame. */
void fly_scan_block(const struct fly_scan *scan, int64_t frame, int32_t step, int32_t *y0_px,
                    int32_t *lines);

#endif
