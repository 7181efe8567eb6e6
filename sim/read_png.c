#include <errno.h>
#include <inttypes.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/read_files.h"
#include "sim/read_picture.h"

/* What must outlive a longjmp out of libpng. */
struct reading {
    FILE *file;
    png_structp png;
    png_infop info;
    enum fly_dtype dtype;
    int64_t height, width;
    unsigned char *pixels, *row;
    char why[160];
};

static void keep_error(png_structp png, png_const_charp text)
{
    struct reading *reading = png_get_error_ptr(png);

    snprintf(reading->why, sizeof reading->why, "%s", text);
    longjmp(png_jmpbuf(png), 1);
}

static void drop_warning(png_structp png, png_const_charp text)
{
    (void)png; /* of colour profiles and text chunks; pixels that are wrong come as errors */
    (void)text;
}

/* Decode into reading->pixels. Returns FLY_OK, or a code with its message set; jumps on libpng's
 * errors. */
static int decode(const struct fly_import *out, struct reading *reading)
{
    png_structp png = reading->png;
    size_t item_bytes;
    int samples, rc;

    png_init_io(png, reading->file);
    png_set_user_limits(png, FLY_SCAN_SIDE_MAX, FLY_SCAN_SIDE_MAX);
    png_read_info(png, reading->info);
    reading->width = png_get_image_width(png, reading->info);
    reading->height = png_get_image_height(png, reading->info);
    rc = fly_import_shape(out->path, "a picture", 1, reading->height, reading->width);
    if (rc < 0)
        return rc;
    if (png_get_interlace_type(png, reading->info) != PNG_INTERLACE_NONE)
        return fly_fail(FLY_ERANGE, "%s: an interlaced PNG, save it without interlacing",
                        out->path);
    if (png_get_color_type(png, reading->info) == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (png_get_valid(png, reading->info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    if (png_get_bit_depth(png, reading->info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_bit_depth(png, reading->info) == 16)
        png_set_swap(png); /* PNG is big-endian */
    png_read_update_info(png, reading->info);
    samples = png_get_channels(png, reading->info);
    item_bytes = png_get_bit_depth(png, reading->info) == 16 ? 2 : 1;
    reading->dtype = item_bytes == 2 ? FLY_U16 : FLY_U8;
    reading->pixels = malloc((size_t)reading->height * (size_t)reading->width * item_bytes);
    reading->row = malloc(png_get_rowbytes(png, reading->info));
    if (!reading->pixels || !reading->row)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " x %" PRId64 " px", out->path,
                        reading->height, reading->width);
    for (int64_t y = 0; y < reading->height; y++) {
        png_read_row(png, reading->row, NULL);
        rc = fly_picture_grey(out, y, reading->row, samples, item_bytes, reading->width,
                              reading->pixels + (size_t)(y * reading->width) * item_bytes);
        if (rc < 0)
            return rc;
    }
    png_read_end(png, NULL); /* also checks that nothing is missing */
    return FLY_OK;
}

int fly_read_png(struct fly_import *out, const struct fly_import_options *options)
{
    struct reading *reading = calloc(1, sizeof *reading);
    enum fly_dtype dtype;
    int64_t height, width;
    volatile int rc = FLY_OK;
    unsigned char *pixels;

    if (!reading)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    reading->file = fopen(out->path, "rbe");
    if (!reading->file) {
        rc = fly_fail(FLY_EIO, "%s: %s", out->path, strerror(errno));
    } else {
        reading->png =
            png_create_read_struct(PNG_LIBPNG_VER_STRING, reading, keep_error, drop_warning);
        reading->info = reading->png ? png_create_info_struct(reading->png) : NULL;
        if (!reading->info)
            rc = fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
        else if (setjmp(png_jmpbuf(reading->png)))
            rc = fly_fail(FLY_EWIRE, "%s: a damaged or truncated PNG: %s", out->path, reading->why);
        else
            rc = decode(out, reading);
        png_destroy_read_struct(&reading->png, &reading->info, NULL);
        fclose(reading->file);
    }
    free(reading->row);
    pixels = reading->pixels;
    dtype = reading->dtype;
    height = reading->height;
    width = reading->width;
    free(reading);
    if (rc < 0) {
        free(pixels);
        return rc;
    }
    return fly_picture_hold(out, pixels, dtype, height, width);
}
