#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "sim/read_files.h"
#include "sim/read_picture.h"

enum { ALLOC_MAX = 1 << 30 };

struct tiff {
    TIFF *file;
    const struct fly_import *out;
    char why[160];
    int64_t height, width, frames;
    enum fly_dtype dtype;
    int samples;
    int64_t page;          /* decoded in pixels, -1: none */
    unsigned char *pixels; /* (height, width) */
};

static int keep_error(TIFF *file, void *ctx, const char *module, const char *format, va_list args)
{
    struct tiff *tiff = ctx;

    (void)file;
    (void)module;
    vsnprintf(tiff->why, sizeof tiff->why, format, args);
    return 1; /* 1: handled, nothing goes to stderr */
}

static int drop_warning(TIFF *file, void *ctx, const char *module, const char *format, va_list args)
{
    (void)file;
    (void)ctx;
    (void)module;
    (void)format;
    (void)args;
    return 1; /* microscopes write private tags, libtiff warns of each */
}

static void tiff_close(void *ctx)
{
    struct tiff *tiff = ctx;

    if (tiff->file)
        TIFFClose(tiff->file);
    free(tiff->pixels);
    free(tiff);
}

static int damaged(struct tiff *tiff, int64_t page)
{
    return fly_fail(FLY_EWIRE, "%s: page %" PRId64 " is damaged or truncated: %s", tiff->out->path,
                    page, tiff->why[0] ? tiff->why : "libtiff does not say why");
}

/* The number type of the present page; -1 when it is none of the wire's. */
static int page_dtype(TIFF *file)
{
    uint16_t bits = 1, format = SAMPLEFORMAT_UINT;

    TIFFGetFieldDefaulted(file, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(file, TIFFTAG_SAMPLEFORMAT, &format);
    if (format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID)
        return bits == 8 ? FLY_U8 : bits == 16 ? FLY_U16 : bits == 32 ? FLY_U32 : -1;
    if (format == SAMPLEFORMAT_INT)
        return bits == 16 ? FLY_I16 : bits == 32 ? FLY_I32 : -1;
    if (format == SAMPLEFORMAT_IEEEFP)
        return bits == 32 ? FLY_F32 : bits == 64 ? FLY_F64 : -1;
    return -1;
}

/* Look at the present page and refuse what would be read wrongly. */
static int look(struct tiff *tiff, int64_t page, int64_t *height, int64_t *width, int *dtype,
                int *samples)
{
    const char *path = tiff->out->path;
    uint32_t h = 0, w = 0;
    uint16_t spp = 1, planar = PLANARCONFIG_CONTIG, photometric = PHOTOMETRIC_MINISBLACK,
             orientation = 1;
    uint16_t compression = COMPRESSION_NONE;
    int rc;

    TIFFGetField(tiff->file, TIFFTAG_IMAGELENGTH, &h);
    TIFFGetField(tiff->file, TIFFTAG_IMAGEWIDTH, &w);
    TIFFGetFieldDefaulted(tiff->file, TIFFTAG_SAMPLESPERPIXEL, &spp);
    TIFFGetFieldDefaulted(tiff->file, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(tiff->file, TIFFTAG_ORIENTATION, &orientation);
    TIFFGetFieldDefaulted(tiff->file, TIFFTAG_COMPRESSION, &compression);
    TIFFGetField(tiff->file, TIFFTAG_PHOTOMETRIC, &photometric);
    rc = fly_import_shape(path, "a page", 1, h, w);
    if (rc < 0)
        return rc;
    *height = h;
    *width = w;
    *samples = spp;
    *dtype = page_dtype(tiff->file);
    if (*dtype < 0)
        return fly_fail(FLY_ERANGE,
                        "%s: page %" PRId64 " has samples of another kind than 8, 16, 32-bit "
                        "whole numbers and 32, 64-bit floats",
                        path, page);
    if (photometric != PHOTOMETRIC_MINISBLACK && photometric != PHOTOMETRIC_RGB)
        return fly_fail(FLY_ERANGE,
                        "%s: page %" PRId64 " has colour scheme %u; taken are black-is-zero "
                        "grey and RGB with equal channels",
                        path, page, photometric);
    if (spp < 1 || spp > 4 || (spp > 1 && planar != PLANARCONFIG_CONTIG) ||
        (photometric == PHOTOMETRIC_RGB && spp < 3))
        return fly_fail(FLY_ERANGE,
                        "%s: page %" PRId64 " has %u samples a pixel, taken are 1 and 3 together "
                        "with opacity, interleaved",
                        path, page, spp);
    if (orientation != ORIENTATION_TOPLEFT)
        return fly_fail(FLY_ERANGE,
                        "%s: page %" PRId64 " is stored turned (orientation %u), taken is 1, top "
                        "left",
                        path, page, orientation);
    if (!TIFFIsCODECConfigured(compression))
        return fly_fail(FLY_ERANGE,
                        "%s: page %" PRId64 " is compressed by method %u, which is not installed",
                        path, page, compression);
    return FLY_OK;
}

static int read_strips(struct tiff *tiff, int64_t page)
{
    size_t item = fly_dtype_size(tiff->dtype);
    size_t row_bytes = (size_t)TIFFScanlineSize64(tiff->file);
    unsigned char *row;
    int rc = FLY_OK;

    if (row_bytes < (size_t)tiff->width * item * (size_t)tiff->samples)
        return damaged(tiff, page);
    row = malloc(row_bytes);
    if (!row)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a line", tiff->out->path);
    for (int64_t y = 0; y < tiff->height && rc == FLY_OK; y++) {
        if (TIFFReadScanline(tiff->file, row, (uint32_t)y, 0) < 0)
            rc = damaged(tiff, page);
        else
            rc = fly_picture_grey(tiff->out, y, row, tiff->samples, item, tiff->width,
                                  tiff->pixels + (size_t)(y * tiff->width) * item);
    }
    free(row);
    return rc;
}

static int read_tiles(struct tiff *tiff, int64_t page)
{
    size_t item = fly_dtype_size(tiff->dtype);
    uint32_t tile_w = 0, tile_h = 0;
    uint64_t bytes = TIFFTileSize64(tiff->file);
    unsigned char *tile;
    int rc = FLY_OK;

    TIFFGetField(tiff->file, TIFFTAG_TILEWIDTH, &tile_w);
    TIFFGetField(tiff->file, TIFFTAG_TILELENGTH, &tile_h);
    if (tile_w < 1 || tile_h < 1 || bytes > ALLOC_MAX ||
        bytes < (uint64_t)tile_w * tile_h * item * (uint64_t)tiff->samples)
        return damaged(tiff, page);
    tile = malloc(bytes);
    if (!tile)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a tile", tiff->out->path);
    for (int64_t y0 = 0; y0 < tiff->height && rc == FLY_OK; y0 += tile_h)
        for (int64_t x0 = 0; x0 < tiff->width && rc == FLY_OK; x0 += tile_w) {
            int64_t h = tiff->height - y0 < tile_h ? tiff->height - y0 : tile_h;
            int64_t w = tiff->width - x0 < tile_w ? tiff->width - x0 : tile_w;

            if (TIFFReadTile(tiff->file, tile, (uint32_t)x0, (uint32_t)y0, 0, 0) < 0)
                rc = damaged(tiff, page);
            for (int64_t y = 0; y < h && rc == FLY_OK; y++)
                rc = fly_picture_grey(tiff->out, y0 + y,
                                      tile + (size_t)(y * tile_w) * item * (size_t)tiff->samples,
                                      tiff->samples, item, w,
                                      tiff->pixels + (size_t)((y0 + y) * tiff->width + x0) * item);
        }
    free(tile);
    return rc;
}

static int read_page(struct tiff *tiff, int64_t page)
{
    int rc;

    if (tiff->page == page)
        return FLY_OK;
    tiff->page = -1;
    if (!TIFFSetDirectory(tiff->file, (tdir_t)page))
        return damaged(tiff, page);
    rc = TIFFIsTiled(tiff->file) ? read_tiles(tiff, page) : read_strips(tiff, page);
    if (rc == FLY_OK)
        tiff->page = page;
    return rc;
}

static int tiff_line(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct tiff *tiff = ctx;
    size_t bytes = (size_t)tiff->width * fly_dtype_size(tiff->dtype);
    int rc = read_page(tiff, frame);

    if (rc == FLY_OK)
        memcpy(out, tiff->pixels + (size_t)y_px * bytes, bytes);
    return rc;
}

/* Pages of the first one's shape and type are frames; a smaller preview or other picture is left.
 */
static int look_at_pages(struct fly_import *out, struct tiff *tiff)
{
    int64_t page = 0, height, width;
    int dtype, samples;
    int rc;

    rc = look(tiff, 0, &tiff->height, &tiff->width, &dtype, &tiff->samples);
    if (rc < 0)
        return rc;
    tiff->dtype = (enum fly_dtype)dtype;
    tiff->frames = 1;
    while (TIFFReadDirectory(tiff->file)) {
        page++;
        rc = look(tiff, page, &height, &width, &dtype, &samples);
        if (rc < 0 || height != tiff->height || width != tiff->width || dtype != (int)tiff->dtype ||
            samples != tiff->samples) {
            fly_import_note(out,
                            "%s: page %" PRId64
                            " and those after it are of another kind than the first: left",
                            out->path, page);
            return FLY_OK;
        }
        tiff->frames++;
        if (tiff->frames > UINT16_MAX)
            return fly_fail(FLY_ERANGE, "%s: more than %d pages", out->path, UINT16_MAX);
    }
    return tiff->why[0] ? damaged(tiff, page + 1) : FLY_OK;
}

int fly_read_tiff(struct fly_import *out, const struct fly_import_options *options)
{
    struct fly_import_image *image = &out->images[0];
    struct tiff *tiff = calloc(1, sizeof *tiff);
    TIFFOpenOptions *open_options = TIFFOpenOptionsAlloc();
    int rc;

    if (!tiff || !open_options) {
        free(tiff);
        TIFFOpenOptionsFree(open_options);
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    }
    out->ctx = tiff;
    out->close = tiff_close;
    tiff->out = out;
    tiff->page = -1;
    TIFFOpenOptionsSetErrorHandlerExtR(open_options, keep_error, tiff);
    TIFFOpenOptionsSetWarningHandlerExtR(open_options, drop_warning, tiff);
    TIFFOpenOptionsSetMaxSingleMemAlloc(open_options, ALLOC_MAX);
    tiff->file = TIFFOpenExt(out->path, "r", open_options);
    TIFFOpenOptionsFree(open_options);
    if (!tiff->file)
        return fly_fail(FLY_EWIRE, "%s: a damaged or truncated TIFF: %s", out->path, tiff->why);
    rc = look_at_pages(out, tiff);
    if (rc < 0)
        return rc;
    tiff->pixels = malloc((size_t)tiff->height * (size_t)tiff->width * fly_dtype_size(tiff->dtype));
    if (!tiff->pixels)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " x %" PRId64 " px", out->path,
                        tiff->height, tiff->width);
    rc = read_page(tiff, 0); /* a file that is damaged from the start is told now, not half-way */
    if (rc < 0)
        return rc;
    snprintf(image->name, sizeof image->name, "HAADF");
    image->dtype = tiff->dtype;
    image->height_px = (int32_t)tiff->height;
    image->width_px = (int32_t)tiff->width;
    image->frames = tiff->frames;
    image->line = tiff_line;
    image->ctx = tiff;
    out->n_images = 1;
    return FLY_OK;
}
