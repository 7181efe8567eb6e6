/* engine/tree/clones.h: one source, several processors, for the loops that touch every number.
 *
 * FLY_CLONES: no operation is contracted or reordered, so clones differ in speed alone. FLY_CLONES_FUSED: products
 * and sums may be one operation, for bounds whose proof covers either. The thread sanitizer cannot start a program
 * whose functions are chosen at load.
 */
#ifndef FLY_TREE_CLONES_H
#define FLY_TREE_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(FLY_SANITIZE_thread)
#define FLY_CLONES \
    __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3", "no-trapping-math")))
#define FLY_CLONES_FUSED \
    __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3", "no-trapping-math", \
                                                                                "fp-contract=fast")))
#else
#define FLY_CLONES
#define FLY_CLONES_FUSED
#endif

/* A loop of a number known to the compiler, written out, so that arrays of sums stay in registers. */
#ifdef __clang__
#define FLY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FLY_UNROLL _Pragma("GCC unroll 16")
#endif

/* Passes written by hand for AVX-512, each beside a plain one; FLY_NO_WIDE builds without them. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(FLY_NO_WIDE)
#define FLY_HAS_WIDE 1
#define FLY_WIDE        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define FLY_WIDE_INLINE static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define FLY_HAS_WIDE 0
#endif

#endif
