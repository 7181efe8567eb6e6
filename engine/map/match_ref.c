#include "engine/map/match.h"

#include "engine/base/err.h"

/* best[s]: the largest sum of the rows so far in the columns of the set s. */
int64_t fly_match_ref(const int64_t *table, int32_t rows, int32_t cols)
{
    static _Thread_local int64_t best[1 << 16];
    int32_t sets = 1 << cols;

    FLY_ASSERT(cols >= 0 && cols <= 16);
    for (int32_t s = 0; s < sets; s++)
        best[s] = 0;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t s = sets - 1; s > 0; s--)
            for (int32_t c = 0; c < cols; c++)
                if (s >> c & 1) {
                    int64_t sum = best[s & ~(1 << c)] + table[(int64_t)r * cols + c];

                    if (sum > best[s])
                        best[s] = sum;
                }
    return best[sets - 1];
}
