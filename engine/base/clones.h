/* engine/base/clones.h: one source, several processors, for the loops that touch every pair, pixel or number.
 *
 *   FLY_CLONES        no operation is contracted or reordered, so clones differ in speed alone
 *   FLY_CLONES_EXACT  for products and sums that are exact: fused or not, they have the same bytes
 *   FLY_CLONES_FUSED  products and sums may be one operation, for bounds whose proof covers either
 *   FLY_UNROLL        before a loop of a number known to the compiler: written out, so that arrays of sums stay in
 *                     registers
 *   FLY_WIDE          passes written by hand for AVX-512, where FLY_HAS_WIDE is 1, each beside a portable one
 *                     that gives the same bytes; FLY_NO_WIDE builds without them, as other processors do
 *
 * clang 14 does not know the last name of a clone; the thread sanitizer cannot start a program whose functions are
 * chosen at load. At -O2 gcc leaves plain loops of unknown length as they are; these few are what vectors are for.
 */
#ifndef FLY_BASE_CLONES_H
#define FLY_BASE_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(FLY_SANITIZE_thread)
#define FLY_CLONES_TARGETS target_clones("default", "avx2", "arch=x86-64-v4")
#define FLY_CLONES __attribute__((FLY_CLONES_TARGETS, optimize("O3", "no-trapping-math")))
#define FLY_CLONES_EXACT __attribute__((FLY_CLONES_TARGETS, optimize("O3", "fp-contract=fast")))
#define FLY_CLONES_FUSED __attribute__((FLY_CLONES_TARGETS, optimize("O3", "no-trapping-math", "fp-contract=fast")))
#else
#define FLY_CLONES
#define FLY_CLONES_EXACT
#define FLY_CLONES_FUSED
#endif

#ifdef __clang__
#define FLY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FLY_UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(FLY_NO_WIDE)
#define FLY_HAS_WIDE 1
#define FLY_WIDE        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define FLY_WIDE_INLINE static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define FLY_HAS_WIDE 0
#endif

#endif
