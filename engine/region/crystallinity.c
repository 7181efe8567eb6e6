#include "engine/region/crystallinity.h"

#include <math.h>

enum { WINDOW = 3 };

static int32_t first_of(int32_t at, int32_t n, int32_t count)
{
    int32_t first = at - n / 2;

    return first < 0 ? 0 : first > count - n ? count - n : first;
}

struct fly_square fly_crystallinity_window(int32_t rows, int32_t cols, int32_t row, int32_t col)
{
    int32_t narrow = rows < cols ? rows : cols, n = narrow < WINDOW ? narrow : WINDOW;

    return (struct fly_square){.row = first_of(row, n, rows), .col = first_of(col, n, cols), .n = n};
}

int fly_crystallinity(float *out, const struct fly_transforms *transforms, int32_t worker,
                      const struct fly_spacing_config *config, const struct fly_picture *window)
{
    struct fly_spacing spacing;
    int rc = fly_spacing_robust(&spacing, transforms, worker, config, window, NULL);

    if (rc == FLY_OK)
        *out = spacing.missing > 0.5 ? NAN : (float)spacing.crystallinity;
    return rc;
}
