#include "sim/scan.h"

#include "engine/base/rng.h"

static const char *const names[FLY_ORDERS] = {"raster", "serpentine", "shuffled"};

const char *fly_scan_order_name(enum fly_scan_order order)
{
    FLY_ASSERT(order < FLY_ORDERS);
    return names[order];
}

int32_t fly_scan_blocks(const struct fly_scan *scan)
{
    return (scan->height_px + scan->block_px - 1) / scan->block_px;
}

/* A permutation without memory: a Feistel network of four rounds over the next even number of bits,
 * walked until it lands inside (Black, Rogaway 2002, doi:10.1007/3-540-45760-7_9). */
static uint32_t shuffle_at(uint32_t i, uint32_t count, uint64_t key)
{
    uint32_t half_bits = 1;

    while ((count - 1) >> 2 * half_bits)
        half_bits++;
    uint32_t mask = (1u << half_bits) - 1;

    do {
        uint32_t left = i >> half_bits, right = i & mask;

        for (uint64_t round = 0; round < 4; round++) {
            uint32_t mixed = left ^ ((uint32_t)fly_mix64(key + round + ((uint64_t)right << 8)) & mask);

            left = right;
            right = mixed;
        }
        i = left << half_bits | right;
    } while (i >= count);
    return i;
}

void fly_scan_block(const struct fly_scan *scan, int64_t frame, int32_t step, int32_t *y0_px,
                    int32_t *lines)
{
    int32_t blocks = fly_scan_blocks(scan), block = step;

    FLY_ASSERT(step >= 0 && step < blocks);
    if (scan->order == FLY_ORDER_SERPENTINE && (frame & 1))
        block = blocks - 1 - step;
    if (scan->order == FLY_ORDER_SHUFFLED)
        block = (int32_t)shuffle_at((uint32_t)step, (uint32_t)blocks,
                                    fly_mix64(scan->seed ^ 0x5CA9) ^ fly_rng_at((uint64_t)frame));
    *y0_px = block * scan->block_px;
    *lines = scan->height_px - *y0_px < scan->block_px ? scan->height_px - *y0_px : scan->block_px;
}
