#include "sim/read_picture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct held {
    unsigned char *pixels;
    size_t row_bytes;
};

static void held_close(void *ctx)
{
    struct held *held = ctx;

    free(held->pixels);
    free(held);
}

static int held_line(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct held *held = ctx;

    memcpy(out, held->pixels + (size_t)y_px * held->row_bytes, held->row_bytes);
    return FLY_OK;
}

int fly_picture_hold(struct fly_import *out, void *pixels, enum fly_dtype dtype, int64_t height,
                     int64_t width)
{
    struct held *held = malloc(sizeof *held);
    struct fly_import_image *image = &out->images[0];

    if (!held) {
        free(pixels);
        return fly_fail(FLY_ENOMEM, "%s: no memory to hold it", out->path);
    }
    held->pixels = pixels;
    held->row_bytes = (size_t)width * fly_dtype_size(dtype);
    out->ctx = held;
    out->close = held_close;
    snprintf(image->name, sizeof image->name, "HAADF");
    image->dtype = dtype;
    image->height_px = (int32_t)height;
    image->width_px = (int32_t)width;
    image->frames = 1;
    image->line = held_line;
    image->ctx = held;
    out->n_images = 1;
    return FLY_OK;
}

static int is_full(const unsigned char *sample, size_t item_bytes)
{
    for (size_t i = 0; i < item_bytes; i++)
        if (sample[i] != 0xFF)
            return 0;
    return 1;
}

int fly_picture_grey(const struct fly_import *out, int64_t y_px, const void *in, int samples,
                     size_t item_bytes, int64_t width, void *grey)
{
    const unsigned char *at = in;
    unsigned char *to = grey;
    int colours = samples >= 3 ? 3 : 1;

    for (int64_t x = 0; x < width; x++) {
        for (int c = 1; c < colours; c++)
            if (memcmp(at, at + (size_t)c * item_bytes, item_bytes) != 0)
                return fly_fail(
                    FLY_ERANGE,
                    "%s: a colour picture (its channels differ at y %" PRId64 " x %" PRId64
                    "); which brightness a colour stands for is not told, save it as grey",
                    out->path, y_px, x);
        if (samples > colours && !is_full(at + (size_t)colours * item_bytes, item_bytes))
            return fly_fail(FLY_ERANGE,
                            "%s: transparent at y %" PRId64 " x %" PRId64
                            ", save it without opacity",
                            out->path, y_px, x);
        memmove(to, at, item_bytes);
        at += (size_t)samples * item_bytes;
        to += item_bytes;
    }
    return FLY_OK;
}
