#include "engine/graph/row.h"

#include <math.h>

void fly_row_move_ref(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from)
{
    for (int32_t j = 0; j < graph->n; j++) {
        uint32_t w = (uint32_t)fly_row_weight(graph, i, j);

        if (to)
            to[j] += w;
        if (from)
            from[j] -= w;
    }
}

float fly_row_best_ref(const struct fly_dense *graph, int32_t i, const float *k, float pull,
                       float *block_best)
{
    float best = -INFINITY;

    for (int32_t j = 0; j < graph->n; j++) {
        float gain = (float)fly_row_weight(graph, i, j) - pull * k[j];
        float *block = &block_best[j / FLY_ROW_BLOCK];

        if (j % FLY_ROW_BLOCK == 0 || gain > *block)
            *block = gain;
        if (gain > best)
            best = gain;
    }
    return best;
}
