/* engine/graph/row_wide.h: the passes of row.h for AVX-512 (wide.h); row.c chooses. */
#ifndef FLY_GRAPH_ROW_WIDE_H
#define FLY_GRAPH_ROW_WIDE_H

#include "engine/graph/row.h"

void fly_row_move_wide(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from);
void fly_row_add_part_wide(const struct fly_dense *graph, const int32_t *rows, int32_t count, uint32_t *to,
                           size_t first, size_t len);
float fly_row_best_wide(const struct fly_dense *graph, int32_t i, const float *k, float pull,
                        float *block_best);

#endif
