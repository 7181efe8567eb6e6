/* engine/graph/clones.h: one source, several processors, for the loops that touch every pair.
 *
 * Integers are exact, and no float operation is contracted or reordered, so clones differ in speed
 * alone. clang 14 does not know the last name; the thread sanitizer cannot start a program whose
 * functions are chosen at load. At -O2 gcc leaves plain loops of unknown length as they are; these few
 * are what vectors are for.
 */
#ifndef FLY_GRAPH_CLONES_H
#define FLY_GRAPH_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(FLY_SANITIZE_thread)
#define FLY_CLONES \
    __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3", "no-trapping-math")))
/* For products and sums that are exact: fused or not, they have the same bytes. */
#define FLY_CLONES_EXACT \
    __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3", "fp-contract=fast")))
#else
#define FLY_CLONES
#define FLY_CLONES_EXACT
#endif

/* A loop of a number known to the compiler, written out, so that arrays of sums stay in registers. */
#ifdef __clang__
#define FLY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FLY_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
