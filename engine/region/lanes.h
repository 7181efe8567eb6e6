/* engine/region/lanes.h: one source, several processors, for the few loops that touch every pixel.
 *
 * Each lane adds up a column of its own and no product is fused with a sum, so clones differ in speed alone.
 * The thread sanitizer cannot start a program whose functions are chosen at load; clang 14 does not know the
 * last name.
 */
#ifndef FLY_REGION_LANES_H
#define FLY_REGION_LANES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(FLY_SANITIZE_thread)
#define FLY_LANES \
    __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3", "no-trapping-math")))
#else
#define FLY_LANES
#endif

#endif
