#include "sim/import.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/foreign.h"
#include "sim/read_dm.h"
#include "sim/read_files.h"

struct fly_import_options fly_import_options_default(void)
{
    struct fly_import_options options = {
        .pixel_nm = {NAN, NAN},
        .ev_per_channel = NAN,
        .ev_offset = NAN,
        .n_elements = -1,
    };
    return options;
}

int fly_import_tick(const struct fly_import_options *options, const char *what, double done)
{
    if (options->tick && options->tick(options->tick_ctx, what, done))
        return fly_fail(FLY_EAGAIN, "interrupted");
    return FLY_OK;
}

static void clear_facts(struct fly_start *facts)
{
    memset(facts, 0, sizeof *facts);
    facts->pixel_nm[0] = facts->pixel_nm[1] = NAN;
    facts->rotation_rad = facts->pixel_time_us = facts->flyback_time_us = NAN;
    facts->beam_energy_kev = facts->beam_current_na = facts->convergence_mrad = NAN;
    facts->collection_mrad[0] = facts->collection_mrad[1] = facts->magnification = NAN;
}

void fly_import_init(struct fly_import *import, const char *path)
{
    struct stat st;

    memset(import, 0, sizeof *import);
    snprintf(import->path, sizeof import->path, "%s", path);
    clear_facts(&import->meta);
    import->line_time_us = import->frame_time_us = NAN;
    if (stat(path, &st) == 0)
        import->t0_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

void fly_import_close(struct fly_import *import)
{
    if (import->close)
        import->close(import->ctx);
    free(import->notes);
    import->close = NULL;
    import->ctx = NULL;
    import->notes = NULL;
}

void fly_import_note(struct fly_import *import, const char *format, ...)
{
    char line[512];
    size_t have = import->notes ? strlen(import->notes) : 0;
    va_list args;
    char *grown;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    grown = realloc(import->notes, have + strlen(line) + 2);
    if (!grown)
        return;
    import->notes = grown;
    sprintf(grown + have, "%s\n", line);
}

int fly_import_shape(const char *path, const char *what, int64_t frames, int64_t height,
                     int64_t width)
{
    if (height < 1 || height > FLY_SCAN_SIDE_MAX || width < 1 || width > FLY_SCAN_SIDE_MAX)
        return fly_fail(FLY_ERANGE,
                        "%s: %s of %" PRId64 " x %" PRId64 " px, allowed is 1 .. %d each way", path,
                        what, height, width, FLY_SCAN_SIDE_MAX);
    if (frames < 1 || frames > FLY_FRAMES_MAX)
        return fly_fail(FLY_ERANGE, "%s: %s of %" PRId64 " frames, allowed is 1 .. %d", path, what,
                        frames, FLY_FRAMES_MAX);
    return FLY_OK;
}

void fly_import_name(char out[FLY_NAME_MAX + 1], const char *text, const char *otherwise)
{
    size_t n = 0;
    int useful = 0;

    for (const char *at = text ? text : ""; *at && n < FLY_NAME_MAX; at++) {
        unsigned char c = (unsigned char)*at;
        int plain = (c < 128 && isalnum(c)) || c == '.' || c == '_' || c == '-';

        useful |= c < 128 && isalnum(c);
        out[n++] = plain ? (char)c : '_';
    }
    out[n] = '\0';
    if (!useful)
        snprintf(out, FLY_NAME_MAX + 1, "%s", otherwise);
    if (strcmp(out, "control") == 0) /* the wire keeps this name for its own stream */
        snprintf(out, FLY_NAME_MAX + 1, "control_");
}

static int image_name_of_file(struct fly_import *import, const struct fly_import_options *options)
{
    if (options->detector && import->n_images > 0)
        fly_import_name(import->images[0].name, options->detector, "HAADF");
    return FLY_OK;
}

int fly_import_open(struct fly_import *out, const char *path, int as_eds,
                    const struct fly_import_options *options)
{
    unsigned char magic[FLY_MAGIC_BYTES] = {0};
    struct stat st;
    FILE *file;
    size_t got;
    int rc;

    fly_import_init(out, path);
    if (strlen(path) >= sizeof out->path)
        return fly_fail(FLY_ERANGE, "a path of %zu bytes, at most %zu are taken", strlen(path),
                        sizeof out->path - 1);
    if (stat(path, &st) != 0)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fly_fail(FLY_EIO, "%s: not a regular file", path);
    file = fopen(path, "rbe");
    if (!file)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    got = fread(magic, 1, sizeof magic, file);
    fclose(file);

    if (got == 0)
        rc = fly_fail(FLY_EWIRE, "%s: the file is empty", path);
    else if (memcmp(magic, "\x89HDF\r\n\x1a\n", 8) == 0)
        rc = fly_read_h5(out, options);
    else if (memcmp(magic, "\x93NUMPY", 6) == 0)
        rc = fly_read_npy(out, as_eds, options);
    else if (memcmp(magic, "\x89PNG\r\n\x1a\n", 8) == 0)
        rc = fly_read_png(out, options);
    else if (memcmp(magic, "\xff\xd8\xff", 3) == 0)
        rc = fly_read_jpeg(out, options);
    else if (memcmp(magic, "II*\0", 4) == 0 || memcmp(magic, "MM\0*", 4) == 0 ||
             memcmp(magic, "II+\0", 4) == 0 || memcmp(magic, "MM\0+", 4) == 0)
        rc = fly_read_tiff(out, options);
    else if (fly_dm_magic(magic, got))
        rc = fly_read_dm(out, options);
    else
        rc = fly_foreign_refuse(path, magic, got);
    if (rc < 0) {
        fly_import_close(out);
        return rc;
    }
    FLY_ASSERT(out->n_images + out->n_eds > 0);
    return image_name_of_file(out, options);
}

struct fly_import_range fly_import_range_none(void)
{
    struct fly_import_range range = {.lo = INT64_MAX, .hi = INT64_MIN, .top = 0};
    return range;
}

void fly_import_range_add(struct fly_import_range *range, enum fly_npy_type type, const void *in,
                          size_t n)
{
    const unsigned char *at = in;

    for (size_t i = 0; i < n; i++, at += 8) {
        if (type == FLY_NPY_I64) {
            int64_t v;

            memcpy(&v, at, sizeof v);
            range->lo = v < range->lo ? v : range->lo;
            range->hi = v > range->hi ? v : range->hi;
        } else {
            uint64_t v;

            FLY_ASSERT(type == FLY_NPY_U64);
            memcpy(&v, at, sizeof v);
            range->top = v > range->top ? v : range->top;
        }
    }
}

int fly_import_dtype(enum fly_npy_type type, const struct fly_import_range *range)
{
    const int64_t exact = INT64_C(1) << 53; /* whole numbers that a double holds */

    switch (type) {
    case FLY_NPY_BOOL:
        return FLY_U8;
    case FLY_NPY_I8:
        return FLY_I16;
    case FLY_NPY_U64:
        if (range->top <= UINT32_MAX)
            return FLY_U32;
        return range->top <= (uint64_t)exact ? FLY_F64 : -1;
    case FLY_NPY_I64:
        if (range->lo > range->hi || (range->lo >= INT32_MIN && range->hi <= INT32_MAX))
            return FLY_I32;
        if (range->lo >= 0 && range->hi <= UINT32_MAX)
            return FLY_U32;
        return range->lo >= -exact && range->hi <= exact ? FLY_F64 : -1;
    default:
        return type < FLY_NPY_I64 ? (int)type : -1; /* the wire has this type itself */
    }
}

/* One value of a 64-bit or odd type, as a double: exact for all that fly_import_dtype let through.
 */
static double value_at(enum fly_npy_type type, const void *in, size_t i)
{
    const unsigned char *at = (const unsigned char *)in + i * fly_npy_type_size(type);

#define CASE(name, ctype)                                                                          \
    case name: {                                                                                   \
        ctype v;                                                                                   \
        memcpy(&v, at, sizeof v);                                                                  \
        return (double)v;                                                                          \
    }
    switch (type) {
        CASE(FLY_NPY_U8, uint8_t)
        CASE(FLY_NPY_BOOL, uint8_t)
        CASE(FLY_NPY_I8, int8_t)
        CASE(FLY_NPY_U16, uint16_t)
        CASE(FLY_NPY_I16, int16_t)
        CASE(FLY_NPY_U32, uint32_t)
        CASE(FLY_NPY_I32, int32_t)
        CASE(FLY_NPY_U64, uint64_t)
        CASE(FLY_NPY_I64, int64_t)
        CASE(FLY_NPY_F32, float)
        CASE(FLY_NPY_F64, double)
    case FLY_NPY_TYPES:
        break;
    }
#undef CASE
    FLY_ASSERT(!"a type outside the enumeration");
    return 0.0;
}

void fly_import_convert(enum fly_dtype to, void *out, enum fly_npy_type from, const void *in,
                        size_t n)
{
    unsigned char *at = out;

    if ((int)from == (int)to || (from == FLY_NPY_BOOL && to == FLY_U8)) {
        memcpy(out, in, n * fly_dtype_size(to));
        return;
    }
    for (size_t i = 0; i < n; i++, at += fly_dtype_size(to)) {
        double v = value_at(from, in, i);
        uint32_t u = to == FLY_U32 ? (uint32_t)v : 0;
        int32_t s = to == FLY_I32 ? (int32_t)v : 0;
        int16_t h = to == FLY_I16 ? (int16_t)v : 0;

        switch (to) {
        case FLY_U32:
            memcpy(at, &u, sizeof u);
            break;
        case FLY_I32:
            memcpy(at, &s, sizeof s);
            break;
        case FLY_I16:
            memcpy(at, &h, sizeof h);
            break;
        default:
            FLY_ASSERT(to == FLY_F64);
            memcpy(at, &v, sizeof v);
        }
    }
}

size_t fly_import_counts(uint32_t *out, enum fly_npy_type from, const void *in, size_t n)
{
    if (from == FLY_NPY_U32) {
        memcpy(out, in, n * sizeof *out);
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        double v = value_at(from, in, i);

        if (!(v >= 0.0 && v <= (double)UINT32_MAX) || v != floor(v))
            return i;
        out[i] = (uint32_t)v;
    }
    return n;
}
