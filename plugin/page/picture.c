#include "plugin/page/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void fly_picture_init(struct fly_picture *picture, uint64_t first_revision)
{
    memset(picture, 0, sizeof *picture);
    picture->newest = first_revision;
}

void fly_picture_fini(struct fly_picture *picture)
{
    free(picture->mean);
    free(picture->revision);
    fly_picture_init(picture, picture->newest);
}

int fly_picture_begin(struct fly_picture *picture, int32_t height_px, int32_t width_px)
{
    struct fly_picture *p = picture;
    int32_t longer = height_px > width_px ? height_px : width_px;
    size_t count;

    fly_picture_fini(p);
    p->newest++;
    if (height_px == 0)
        return FLY_OK;
    p->step = (longer + FLY_PICTURE_MAX - 1) / FLY_PICTURE_MAX;
    p->h = (height_px + p->step - 1) / p->step;
    p->w = (width_px + p->step - 1) / p->step;
    count = (size_t)p->h * (size_t)p->w;
    p->mean = malloc(count * sizeof *p->mean);
    p->revision = malloc((size_t)p->h * sizeof *p->revision);
    if (!p->mean || !p->revision) {
        fly_picture_fini(p);
        return fly_fail(FLY_ENOMEM, "the page has no memory for a picture of %d x %d", (int)height_px, (int)width_px);
    }
    p->height_px = height_px;
    p->width_px = width_px;
    for (size_t i = 0; i < count; i++)
        p->mean[i] = NAN;
    for (int32_t y = 0; y < p->h; y++)
        p->revision[y] = p->newest;
    return FLY_OK;
}

/* Room above and below what was seen, so that the range is chosen a few times in a session, not in each row. */
static void widen(struct fly_picture *p, double least, double most)
{
    double lo = p->has_range && p->lo < least ? p->lo : least, hi = p->has_range && p->hi > most ? p->hi : most;
    double span = hi - lo > 0 ? hi - lo : fmax(fabs(hi), 1.0);

    if (p->has_range && least >= p->lo && most <= p->hi)
        return;
    p->lo = !p->has_range || least < p->lo ? lo - span / 2 : p->lo;
    p->hi = !p->has_range || most > p->hi ? hi + span / 2 : p->hi;
    p->has_range = 1;
    for (int32_t y = 0; y < p->h; y++)
        p->revision[y] = p->newest;
}

void fly_picture_put(struct fly_picture *picture, int32_t y0, int32_t rows, const float *mean)
{
    struct fly_picture *p = picture;
    double least = INFINITY, most = -INFINITY;
    int differs = 0;

    FLY_ASSERT(y0 >= 0 && rows >= 0 && y0 + rows <= p->h);
    for (int32_t y = 0; y < rows; y++) {
        const float *row = mean + (size_t)y * (size_t)p->w;
        float *ours = p->mean + (size_t)(y0 + y) * (size_t)p->w;

        if (memcmp(row, ours, (size_t)p->w * sizeof *row) == 0)
            continue;
        memcpy(ours, row, (size_t)p->w * sizeof *row);
        p->revision[y0 + y] = p->newest + 1;
        differs = 1;
        for (int32_t x = 0; x < p->w; x++) {
            if (row[x] < least)
                least = (double)row[x];
            if (row[x] > most)
                most = (double)row[x];
        }
    }
    if (!differs)
        return;
    p->newest++;
    if (least <= most && isfinite(least) && isfinite(most))
        widen(p, least, most);
}

void fly_picture_changed(const struct fly_picture *picture, uint64_t since, int32_t *y0, int32_t *rows)
{
    int32_t first = -1, last = -1;

    for (int32_t y = 0; y < picture->h; y++)
        if (picture->revision[y] > since || since > picture->newest) {
            first = first < 0 ? y : first;
            last = y;
        }
    *y0 = first < 0 ? 0 : first;
    *rows = first < 0 ? 0 : last - first + 1;
}

void fly_picture_quantise(const struct fly_picture *picture, int32_t y0, int32_t rows, uint16_t *out)
{
    const float *mean = picture->mean + (size_t)y0 * (size_t)picture->w;
    double scale = picture->has_range ? FLY_PICTURE_TOP / (picture->hi - picture->lo) : 0.0;
    size_t count = (size_t)rows * (size_t)picture->w;

    for (size_t i = 0; i < count; i++) {
        double q = ((double)mean[i] - picture->lo) * scale + 0.5;

        /* What is not finite fails both comparisons. */
        out[i] = q >= 0.0 && q < FLY_PICTURE_TOP + 1.0 ? (uint16_t)q : FLY_PICTURE_UNMEASURED;
    }
}
