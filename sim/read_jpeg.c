#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "sim/read_files.h"
#include "sim/read_picture.h"

struct reading {
    struct jpeg_error_mgr errors; /* first: libjpeg hands out its address */
    jmp_buf jump;
    struct jpeg_decompress_struct jpeg;
    FILE *file;
    int64_t height, width;
    unsigned char *pixels, *row;
    char why[JMSG_LENGTH_MAX];
};

static void stop(j_common_ptr jpeg)
{
    struct reading *reading = (struct reading *)jpeg->err;

    jpeg->err->format_message(jpeg, reading->why);
    longjmp(reading->jump, 1);
}

/* libjpeg fills what a truncated file lacks with grey and only warns; such pixels were never
 * measured. */
static void message(j_common_ptr jpeg, int level)
{
    if (level < 0 && jpeg->err->msg_code != JWRN_EXTRANEOUS_DATA)
        stop(jpeg);
}

static void say_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

static int decode(const struct fly_import *out, struct reading *reading)
{
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    int rc;

    jpeg_stdio_src(jpeg, reading->file);
    jpeg_read_header(jpeg, TRUE);
    reading->height = jpeg->image_height;
    reading->width = jpeg->image_width;
    rc = fly_import_shape(out->path, "a picture", 1, reading->height, reading->width);
    if (rc < 0)
        return rc;
    if (jpeg->num_components != 1 && jpeg->num_components != 3)
        return fly_fail(FLY_ERANGE, "%s: a JPEG of %d components, taken are 1 and 3", out->path,
                        jpeg->num_components);
    if (jpeg->num_components == 3)
        jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
    reading->pixels = malloc((size_t)reading->height * (size_t)reading->width);
    reading->row = malloc((size_t)reading->width * (size_t)jpeg->output_components);
    if (!reading->pixels || !reading->row)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " x %" PRId64 " px", out->path,
                        reading->height, reading->width);
    for (int64_t y = 0; y < reading->height; y++) {
        JSAMPROW row = reading->row;

        jpeg_read_scanlines(jpeg, &row, 1);
        rc = fly_picture_grey(out, y, row, jpeg->output_components, 1, reading->width,
                              reading->pixels + y * reading->width);
        if (rc < 0)
            return rc;
    }
    jpeg_finish_decompress(jpeg);
    return FLY_OK;
}

int fly_read_jpeg(struct fly_import *out, const struct fly_import_options *options)
{
    struct reading *reading = calloc(1, sizeof *reading);
    int64_t height, width;
    volatile int rc = FLY_OK;
    unsigned char *pixels;

    if (!reading)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    reading->file = fopen(out->path, "rbe");
    if (!reading->file) {
        rc = fly_fail(FLY_EIO, "%s: %s", out->path, strerror(errno));
    } else {
        reading->jpeg.err = jpeg_std_error(&reading->errors);
        reading->errors.error_exit = stop;
        reading->errors.emit_message = message;
        reading->errors.output_message = say_nothing;
        if (setjmp(reading->jump)) {
            rc =
                fly_fail(FLY_EWIRE, "%s: a damaged or truncated JPEG: %s", out->path, reading->why);
        } else {
            jpeg_create_decompress(&reading->jpeg);
            rc = decode(out, reading);
        }
        jpeg_destroy_decompress(&reading->jpeg);
        fclose(reading->file);
    }
    free(reading->row);
    pixels = reading->pixels;
    height = reading->height;
    width = reading->width;
    free(reading);
    if (rc < 0) {
        free(pixels);
        return rc;
    }
    return fly_picture_hold(out, pixels, FLY_U8, height, width);
}
