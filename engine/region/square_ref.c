#include "engine/region/square.h"

static int all_of(const int32_t *labels, int32_t cols, struct fly_square s, int32_t label)
{
    for (int32_t r = s.row; r < s.row + s.n; r++)
        for (int32_t c = s.col; c < s.col + s.n; c++)
            if (labels[(size_t)r * (size_t)cols + (size_t)c] != label)
                return 0;
    return 1;
}

struct fly_square fly_square_ref(const int32_t *labels, int32_t rows, int32_t cols, int32_t label)
{
    for (int32_t n = rows < cols ? rows : cols; n > 0; n--)
        for (int32_t r = 0; r + n <= rows; r++)
            for (int32_t c = 0; c + n <= cols; c++)
                if (all_of(labels, cols, (struct fly_square){r, c, n}, label))
                    return (struct fly_square){r, c, n};
    return (struct fly_square){0, 0, 0};
}
