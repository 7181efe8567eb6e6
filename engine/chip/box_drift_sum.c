/* Sums of products of boxes and of what lies around them in a picture, at every place of the search. */
#include "engine/chip/box_drift_own.h"

#include <math.h>
#include <string.h>

size_t fly_box_finder_need(void)
{
    return fly_arena_need(1, sizeof(struct fly_box_finder));
}

void fly_box_finder_init(struct fly_box_finder **out, struct fly_arena *arena)
{
    *out = fly_arena_take(arena, 1, sizeof **out);
    memset(*out, 0, sizeof **out);
}

/* ---- a patch --------------------------------------------------------------------------------------------- */

static int there(const struct fly_box_reference *r, int32_t y, int32_t x)
{
    size_t i = (size_t)y * (size_t)r->width_px + (size_t)x;

    return y >= 0 && x >= 0 && y < r->height_px && x < r->width_px && (r->there[i >> 6] >> (i & 63) & 1);
}

/* A window of the reference, upper left corner (y0, x0), less its mean, 0 where nothing is. Returns holes. */
static int32_t load_window(struct fly_box_patch *p, const struct fly_box_reference *r, int32_t y0, int32_t x0, int32_t h,
                           int32_t w)
{
    int32_t holes = 0;
    double sum = 0.0;

    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            float value = NAN;

            if (there(r, y0 + y, x0 + x))
                value = (float)fly_dtype_value(r->dtype, r->pixels,
                                               (size_t)(y0 + y) * (size_t)r->width_px + (size_t)(x0 + x));
            p->g[y * FLY_BOX_STRIDE + x] = value;
            holes += isnan(value);
            sum += isnan(value) ? 0.0 : (double)value;
        }
    sum /= h * w > holes ? h * w - holes : 1;
    for (int32_t y = 0; y < h; y++) {
        double *before = p->sum + y * (FLY_BOX_PATCH + 1), *square = p->square + y * (FLY_BOX_PATCH + 1);

        before[0] = square[0] = 0.0;
        for (int32_t x = 0; x < w; x++) {
            float *g = &p->g[y * FLY_BOX_STRIDE + x];
            int hole = isnan(*g);

            *g = hole ? 0.0f : *g - (float)sum;
            before[x + 1] = before[x] + (double)*g;
            square[x + 1] = square[x] + (double)*g * (double)*g;
            p->holes[(y + 1) * (FLY_BOX_PATCH + 1) + x + 1] = p->holes[y * (FLY_BOX_PATCH + 1) + x + 1] +
                                                      p->holes[(y + 1) * (FLY_BOX_PATCH + 1) + x] -
                                                      p->holes[y * (FLY_BOX_PATCH + 1) + x] + hole;
        }
    }
    return holes;
}

/* 1: wherever the search puts this pixel there is something. */
static int seen(const struct fly_box_patch *p, int32_t y, int32_t x)
{
    const int32_t *above = p->holes + y * (FLY_BOX_PATCH + 1) + x, side = 2 * p->reach + 1;
    const int32_t *below = above + side * (FLY_BOX_PATCH + 1);

    return below[side] - below[0] - above[side] + above[0] == 0;
}

static void add_pixel(struct fly_box_patch *p, int32_t y, int32_t x, float value)
{
    struct fly_box_run *last = p->n_runs ? &p->run[p->n_runs - 1] : NULL;

    if (!last || last->y != y || last->x + last->n != x) {
        last = &p->run[p->n_runs++];
        *last = (struct fly_box_run){.y = (int16_t)y, .x = (int16_t)x, .first = (int16_t)p->n};
    }
    last->n++;
    p->f[p->n++] = value;
}

static void take_off_mean(struct fly_box_patch *p)
{
    double mean = 0.0;

    for (int32_t i = 0; i < p->n; i++)
        mean += (double)p->f[i];
    mean /= p->n ? p->n : 1;
    p->ff = 0.0;
    for (int32_t i = 0; i < p->n; i++) {
        p->f[i] = (float)((double)p->f[i] - mean);
        p->ff += (double)p->f[i] * (double)p->f[i];
    }
}

int fly_box_load(struct fly_box_patch *p, const struct fly_box_look *look, const struct fly_box *box, int32_t reach)
{
    const struct fly_box_cut *cut = look->cut;
    uint64_t width = (uint64_t)cut->width_px;
    int32_t top = INT32_MAX, left = INT32_MAX, bottom = 0, right = 0, holes;

    for (int32_t i = box->first; i < box->first + box->n; i++) {
        uint64_t key = cut->at[cut->piece[i].first].key;
        int32_t y = (int32_t)(key / width), x = (int32_t)(key % width);

        top = y < top ? y : top;
        left = x < left ? x : left;
        bottom = y + 1 > bottom ? y + 1 : bottom;
        right = x + cut->piece[i].n > right ? x + cut->piece[i].n : right;
    }
    p->reach = reach;
    p->n = p->n_runs = 0;
    holes = load_window(p, look->reference, top + (int32_t)lround(look->near[0]) - reach,
                        left + (int32_t)lround(look->near[1]) - reach, bottom - top + 2 * reach, right - left + 2 * reach);
    for (int32_t i = box->first; i < box->first + box->n; i++)
        for (int32_t k = cut->piece[i].first; k < cut->piece[i].first + cut->piece[i].n; k++) {
            int32_t y = (int32_t)(cut->at[k].key / width) - top, x = (int32_t)(cut->at[k].key % width) - left;

            if (!holes || seen(p, y, x))
                add_pixel(p, y, x, cut->value[cut->at[k].first]);
        }
    take_off_mean(p);
    return p->n >= FLY_BOX_DRIFT_PX_MIN;
}

/* ---- sums ------------------------------------------------------------------------------------------------ */

void fly_box_products(const struct fly_box_patch *p, int32_t ty, int32_t tx, float to[FLY_BOX_LANES])
{
    float sum[FLY_BOX_LANES] = {0};

    for (int32_t r = 0; r < p->n_runs; r++) {
        const float *f = p->f + p->run[r].first, *g = p->g + (p->run[r].y + ty) * FLY_BOX_STRIDE + p->run[r].x + tx;

        for (int32_t i = 0; i < p->run[r].n; i++)
            for (int32_t k = 0; k < FLY_BOX_LANES; k++)
                sum[k] += f[i] * g[i + k];
    }
    memcpy(to, sum, sizeof sum);
}

double fly_box_spread(const struct fly_box_patch *p, int32_t ty, int32_t tx)
{
    double sum = 0.0, square = 0.0;

    for (int32_t r = 0; r < p->n_runs; r++) {
        size_t at = (size_t)((p->run[r].y + ty) * (FLY_BOX_PATCH + 1) + p->run[r].x + tx), end = at + (size_t)p->run[r].n;

        sum += p->sum[end] - p->sum[at];
        square += p->square[end] - p->square[at];
    }
    return fmax(square - sum * sum / p->n, 0.0);
}

/* Second differences of f and of g where f was last found. */
static void add_roughness(const struct fly_box_patch *p, struct fly_box_sums *sums)
{
    for (int32_t r = 0; r < p->n_runs; r++) {
        const float *f = p->f + p->run[r].first;
        const float *g = p->g + (p->run[r].y + p->reach) * FLY_BOX_STRIDE + p->run[r].x + p->reach;

        for (int32_t i = 1; i + 1 < p->run[r].n; i++) {
            double a = (double)f[i - 1] - 2.0 * (double)f[i] + (double)f[i + 1];
            double b = (double)g[i - 1] - 2.0 * (double)g[i] + (double)g[i + 1];

            sums->rough_f += a * a / 6.0;
            sums->rough_g += b * b / 6.0;
            sums->triples++;
        }
    }
}

static void add_sums(const struct fly_box_patch *p, struct fly_box_sums *sums)
{
    int32_t side = 2 * p->reach + 1;

    for (int32_t ty = 0; ty < side; ty++)
        for (int32_t tx = 0; tx < side; tx += FLY_BOX_LANES) {
            float fg[FLY_BOX_LANES];

            fly_box_products(p, ty, tx, fg);
            for (int32_t k = 0; k < FLY_BOX_LANES && tx + k < side; k++) {
                sums->fg[ty * side + tx + k] += (double)fg[k];
                sums->gg[ty * side + tx + k] += fly_box_spread(p, ty, tx + k);
            }
        }
    sums->ff += p->ff;
    sums->white += p->ff * fly_box_spread(p, p->reach, p->reach) / p->n;
    sums->boxes++;
    sums->px += p->n;
    add_roughness(p, sums);
}

const struct fly_box_sums *fly_box_sum(struct fly_box_finder *finder, const struct fly_box_look *look)
{
    struct fly_box_sums *sums = &finder->sums;

    FLY_ASSERT(look->reach <= FLY_BOX_DRIFT_REACH_MAX_PX);
    memset(sums, 0, sizeof *sums);
    sums->reach = look->reach + FLY_BOX_MARGIN;
    for (int32_t b = 0; b < look->cut->n_boxes; b++)
        if (fly_box_load(&finder->patch, look, &look->cut->box[b], sums->reach))
            add_sums(&finder->patch, sums);
    return sums;
}
