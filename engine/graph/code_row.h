/* engine/graph/code_row.h: passes over one row of codes (code.h), and of the bits that say which are edges.
 *
 * Rows are read in whole words: 64 codes, and one bit of each. Portable loops, and by hand for AVX-512
 * (wide.h); all give the same bytes.
 *
 * Threads  pure.
 */
#ifndef FLY_GRAPH_CODE_ROW_H
#define FLY_GRAPH_CODE_ROW_H

#include <stddef.h>
#include <stdint.h>

/* Bits of the codes sure .. FLY_CODE_TOP. */
void fly_codes_keep(uint64_t *bits, const uint16_t *code, size_t words, uint16_t sure);

/* The sum of the weights that `bits` keeps: codes, or 1 each where binary. change (64 * words), where not
 * NULL, += sign times each, modulo 2^32. */
uint32_t fly_codes_add(uint32_t *change, const uint16_t *code, const uint64_t *bits, size_t words, int binary,
                       uint32_t sign);

/* 1: one of 64 codes is low .. high - 1. */
int fly_codes_any(const uint16_t *code, uint16_t low, uint16_t high);

/* Of 64 * words pairs of codes, those that differ. */
int32_t fly_codes_differ(const uint16_t *a, const uint16_t *b, size_t words);

/* Column k of the rows to[j * stride ..] becomes the row from[k * ld ..], k < width, j < len: a block of new
 * rows goes into a symmetric matrix a second time, as columns that lie side by side. */
void fly_codes_transpose(uint16_t *to, size_t stride, const uint16_t *from, size_t ld, int32_t width, int32_t len);

#endif
