#include "engine/map/flicker.h"

#include "engine/base/err.h"

struct fly_flicker fly_flicker(const int32_t *before, const int32_t *now, const uint8_t *revised, int32_t n,
                               struct fly_map_scratch *s)
{
    const struct fly_overlaps *o = &s->overlaps;
    struct fly_flicker flicker = {0};
    int32_t rows, cols, least;

    FLY_ASSERT(n <= s->n_cap);
    rows = fly_number_labels(&s->numbers, now, n, s->now);
    cols = fly_number_labels(&s->numbers, before, n, s->then);
    for (int32_t i = 0; i < n; i++) {
        if (revised && revised[i])
            s->now[i] = -1;
        if (s->now[i] < 0 || s->then[i] < 0)
            continue;
        flicker.chips++;
        flicker.changed += now[i] != before[i];
    }
    fly_overlaps_fill(&s->overlaps, s->now, rows, s->then, cols, NULL, n);
    for (int32_t at = 0; at < o->start[o->rows]; at++)
        s->weight[at] = o->cell[at].chips;
    fly_match_fill(&s->match, &s->overlaps, s->weight);
    least = flicker.chips;
    for (int32_t row = 0; row < rows; row++)
        for (int32_t at = o->start[row]; at < o->start[row + 1]; at++)
            if (o->cell[at].col == s->match.col_of[row])
                least -= o->cell[at].chips;
    flicker.avoidable = flicker.changed - least;
    return flicker;
}

int32_t fly_reversals(const int32_t *const *maps, int32_t count, int32_t n, int32_t *chips)
{
    int32_t back = 0;

    FLY_ASSERT(count >= 3);
    *chips = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t now = maps[count - 1][i], in = 1, came = 0;

        for (int32_t m = 0; m < count; m++)
            in &= maps[m][i] >= 0;
        for (int32_t m = 0; m + 2 < count; m++)
            came |= maps[m][i] == now;
        *chips += in;
        back += in && came && maps[count - 2][i] != now;
    }
    return back;
}

int32_t fly_kept_final(const int32_t *const *maps, int32_t count, int32_t n, int32_t *chips)
{
    int32_t kept = 0;

    FLY_ASSERT(count >= 1);
    *chips = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t last = maps[count - 1][i], same = 1;

        if (last < 0)
            continue;
        for (int32_t m = 0; m + 1 < count; m++)
            same &= maps[m][i] < 0 || maps[m][i] == last;
        ++*chips;
        kept += same;
    }
    return kept;
}
