/* The tag tree of a DM file, walked once; what import needs is picked up on the way. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/read_dm.h"

enum { GROUP = 20, DATA = 21, STRUCT = 15, STRING = 18, ARRAY = 20, UTF16 = 4 };
enum { INFO_MAX = 256 }; /* codes of one tag: a struct of more than 100 fields is none that we know */
enum { PATH_MAX_BYTES = 512 };

struct walk {
    struct fly_dm *dm;
    const unsigned char *bytes;
    size_t len, at;
    const char *name; /* of the file */
    char path[PATH_MAX_BYTES];
    int depth;
};

/* One value: where it lies, and what it is. items of item_bytes; code of the items, 0 for others. */
struct value {
    size_t at;
    uint64_t items, item_bytes;
    int code, is_array;
};

static int torn(const struct walk *walk, const char *what)
{
    return fly_fail(FLY_EWIRE, "%s: %s at byte %zu of %zu: truncated or damaged", walk->name, what,
                    walk->at, walk->len);
}

static uint64_t big(const unsigned char *at, int bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++)
        v = v << 8 | at[i];
    return v;
}

/* A big-endian number of so many bytes. */
static int take(struct walk *walk, int bytes, uint64_t *out)
{
    if (walk->len - walk->at < (size_t)bytes)
        return torn(walk, "the file ends within a tag");
    *out = big(walk->bytes + walk->at, bytes);
    walk->at += (size_t)bytes;
    return FLY_OK;
}

/* A count or size: 32 bit in DM3, 64 bit in DM4. */
static int take_size(struct walk *walk, uint64_t *out)
{
    return take(walk, walk->dm->version == 4 ? 8 : 4, out);
}

static int code_bytes(uint64_t code)
{
    static const signed char bytes[] = {0, 0, 2, 4, 2, 4, 4, 8, 1, 1, 1, 8, 8};

    return code < sizeof bytes ? bytes[code] : 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t raw_value(const struct walk *walk, size_t at, int bytes)
{
    uint64_t v = 0;

    if (walk->dm->big_endian)
        return big(walk->bytes + at, bytes);
    for (int i = bytes; i-- > 0;)
        v = v << 8 | walk->bytes[at + (size_t)i];
    return v;
}

/* The number of a plain value, NaN for others. */
static double number_of(const struct walk *walk, const struct value *value)
{
    int bytes = code_bytes((uint64_t)value->code);
    uint64_t raw;
    uint32_t low;
    float f;
    double d;

    if (value->is_array || bytes == 0)
        return NAN;
    raw = raw_value(walk, value->at, bytes);
    switch (value->code) {
    case 2:
        return (double)(int16_t)raw;
    case 3:
        return (double)(int32_t)raw;
    case 6:
        low = (uint32_t)raw;
        memcpy(&f, &low, sizeof f);
        return (double)f;
    case 7:
        memcpy(&d, &raw, sizeof d);
        return d;
    case 9:
        return (double)(int8_t)raw;
    case 11:
        return (double)(int64_t)raw;
    default:
        return (double)raw;
    }
}

/* UTF-16 to UTF-8, cut at a whole character. Lone surrogates become '?'. */
static void text_of(const struct walk *walk, const struct value *value, char out[FLY_DM_TEXT])
{
    size_t n = 0;

    out[0] = '\0';
    if (!value->is_array || value->code != UTF16)
        return;
    for (uint64_t i = 0; i < value->items && n + 4 < FLY_DM_TEXT; i++) {
        uint32_t c = (uint32_t)raw_value(walk, value->at + (size_t)i * 2, 2);

        if (c == 0)
            break;
        if (c < 0x80) {
            out[n++] = (char)c;
        } else if (c < 0x800) {
            out[n++] = (char)(0xC0 | c >> 6);
            out[n++] = (char)(0x80 | (c & 0x3F));
        } else if (c >= 0xD800 && c < 0xE000) {
            out[n++] = '?';
        } else {
            out[n++] = (char)(0xE0 | c >> 12);
            out[n++] = (char)(0x80 | (c >> 6 & 0x3F));
            out[n++] = (char)(0x80 | (c & 0x3F));
        }
    }
    out[n] = '\0';
}

/* ---- picking up ------------------------------------------------------------------------------ */

/* Next number of a path: "12.Data" is 12, *rest "Data". -1: no number. */
static int path_index(const char *path, const char **rest)
{
    char *end;
    long i = strtol(path, &end, 10);

    if (end == path || i < 0 || i > 1000000)
        return -1;
    *rest = *end == '.' ? end + 1 : end;
    return (int)i;
}

/* 1: path ends in these names; case and "_" for " " do not matter. */
static int ends_in(const char *path, const char *names)
{
    size_t len = strlen(path), n = strlen(names);

    if (n > len || (n < len && path[len - n - 1] != '.'))
        return 0;
    for (size_t i = 0; i < n; i++) {
        char a = path[len - n + i], b = names[i];

        a = a == '_' ? ' ' : a >= 'A' && a <= 'Z' ? (char)(a + 32) : a;
        b = b == '_' ? ' ' : b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
        if (a != b)
            return 0;
    }
    return 1;
}

/* Facts in the tags of an image; the first of a name stands. */
static void take_fact(struct fly_dm_image *image, const struct walk *walk, const char *path,
                      const struct value *value)
{
    const struct {
        const char *names;
        double *to;
        double scale;
    } numbers[] = {
        {"Microscope Info.Voltage", &image->voltage_v, 1.0},
        {"Microscope Info.Indicated Magnification", &image->magnification, 1.0},
        {"Microscope Info.Probe Current (nA)", &image->current_na, 1.0},
        {"EELS.Experimental Conditions.Convergence semi-angle (mrad)", &image->convergence_mrad, 1.0},
        {"Microscope Info.Convergence semi-angle (mrad)", &image->convergence_mrad, 1.0},
        {"EDS.Detector Info.Elevation angle", &image->elevation_deg, 1.0},
        {"DigiScan.Sample Time", &image->dwell_us, 1.0},
        {"SI.Acquisition.Pixel time (s)", &image->dwell_us, 1e6},
        {"EDS.Live time", &image->live_s, 1.0},
        {"EDS.Real time", &image->real_s, 1.0},
    };
    const struct {
        const char *names;
        char *to;
    } texts[] = {
        {"Meta Data.Signal", image->signal},
        {"Meta Data.Format", image->format},
        {"DataBar.Signal Name", image->signal_name},
        {"DataBar.Acquisition Date", image->date},
        {"DataBar.Acquisition Time", image->time},
        {"SI.Acquisition.Date", image->date},
        {"SI.Acquisition.Start time", image->time},
        {"Session Info.Specimen", image->specimen},
        {"Microscope Info.Specimen", image->specimen},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!isfinite(*numbers[i].to) && ends_in(path, numbers[i].names))
            *numbers[i].to = number_of(walk, value) * numbers[i].scale;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!texts[i].to[0] && ends_in(path, texts[i].names))
            text_of(walk, value, texts[i].to);
    image->is_eels |= strncmp(path, "spim.eels", 9) == 0 || ends_in(path, "EELS.Acquisition.Exposure (s)");
}

static void take_axis(struct fly_dm_axis *axis, const struct walk *walk, const char *key,
                      const struct value *value)
{
    if (strcmp(key, "Origin") == 0)
        axis->origin = number_of(walk, value);
    else if (strcmp(key, "Scale") == 0)
        axis->scale = number_of(walk, value);
    else if (strcmp(key, "Units") == 0)
        text_of(walk, value, axis->units);
}

static int take_image_data(struct fly_dm_image *image, const struct walk *walk, const char *path,
                           const struct value *value)
{
    const char *rest;
    double n;
    int i;

    if (strcmp(path, "DataType") == 0) {
        n = number_of(walk, value);
        image->data_type = n >= 1.0 && n <= 1000.0 ? (int32_t)n : 0;
    } else if (strcmp(path, "Data") == 0 && value->is_array) {
        image->data_at = value->at;
        image->data_bytes = value->items * value->item_bytes;
    } else if (strncmp(path, "Dimensions.", 11) == 0) {
        i = path_index(path + 11, &rest);
        n = number_of(walk, value);
        if (i < 0 || i >= FLY_DM_DIMS)
            return fly_fail(FLY_ERANGE, "%s: an image of more than %d dimensions", walk->name,
                            FLY_DM_DIMS);
        if (!(n >= 1.0 && n <= (double)(INT64_C(1) << 40)))
            return fly_fail(FLY_EWIRE, "%s: an image is %g items long along dimension %d", walk->name,
                            n, i);
        image->shape[i] = (int64_t)n;
        image->n_dims = i + 1 > image->n_dims ? i + 1 : image->n_dims;
    } else if (strncmp(path, "Calibrations.Dimension.", 23) == 0) {
        i = path_index(path + 23, &rest);
        if (i >= 0 && i < FLY_DM_DIMS)
            take_axis(&image->axes[i], walk, rest, value);
    }
    return FLY_OK;
}

static void clear_image(struct fly_dm_image *image)
{
    memset(image, 0, sizeof *image);
    image->voltage_v = image->magnification = image->current_na = image->convergence_mrad = NAN;
    image->elevation_deg = image->dwell_us = image->live_s = image->real_s = NAN;
    for (int i = 0; i < FLY_DM_DIMS; i++)
        image->axes[i].origin = image->axes[i].scale = NAN;
}

/* A value under ImageList.N or Thumbnails.N. */
static int take_value(struct walk *walk, const struct value *value)
{
    struct fly_dm *dm = walk->dm;
    const char *rest;
    int i;

    if (strncmp(walk->path, "Thumbnails.", 11) == 0 && ends_in(walk->path, "ImageIndex")) {
        double n = number_of(walk, value);

        if (n >= 0.0 && n < FLY_DM_IMAGES)
            dm->images[(int)n].thumbnail = 1; /* kept when the image itself comes later */
        return FLY_OK;
    }
    if (strncmp(walk->path, "ImageList.", 10) != 0)
        return FLY_OK;
    i = path_index(walk->path + 10, &rest);
    if (i < 0)
        return FLY_OK;
    if (i >= FLY_DM_IMAGES)
        return fly_fail(FLY_ERANGE, "%s: more than %d images in one file", walk->name, FLY_DM_IMAGES);
    dm->n_images = i + 1 > dm->n_images ? i + 1 : dm->n_images;
    if (strncmp(rest, "ImageData.", 10) == 0)
        return take_image_data(&dm->images[i], walk, rest + 10, value);
    if (strcmp(rest, "Name") == 0)
        text_of(walk, value, dm->images[i].name);
    else if (strncmp(rest, "ImageTags.", 10) == 0)
        take_fact(&dm->images[i], walk, rest + 10, value);
    return FLY_OK;
}

/* ---- the tree -------------------------------------------------------------------------------- */

/* Bytes of one item that codes describe, from *i on, which is left behind them; 0 when they make no
 * sense. Arrays within arrays have a fixed length. */
static uint64_t item_bytes(const uint64_t *info, uint64_t n_info, uint64_t *i)
{
    uint64_t code = *i < n_info ? info[(*i)++] : 0, bytes = 0, fields, inner, count;

    if (code_bytes(code))
        return (uint64_t)code_bytes(code);
    if (code == STRING)
        return *i < n_info ? info[(*i)++] : 0;
    if (code == STRUCT && *i + 1 < n_info) {
        fields = info[*i + 1];
        *i += 2;
        for (uint64_t f = 0; f < fields && *i + 1 < n_info; f++) {
            uint64_t field = info[*i + 1]; /* behind the length of its name, always 0 */

            if (!code_bytes(field))
                return 0; /* no struct of structs was ever seen */
            bytes += (uint64_t)code_bytes(field);
            *i += 2;
        }
        return bytes;
    }
    if (code == ARRAY) {
        inner = item_bytes(info, n_info, i);
        count = *i < n_info ? info[(*i)++] : 0;
        return inner == 0 || count > (UINT64_C(1) << 48) / inner ? 0 : inner * count;
    }
    return 0;
}

/* What a tag's codes describe, at the walk's place. */
static int read_value(struct walk *walk, const uint64_t *info, uint64_t n_info, struct value *value)
{
    uint64_t i = 0;

    *value = (struct value){.at = walk->at, .items = 1, .code = (int)(info[0] < 32 ? info[0] : 0)};
    if (info[0] == ARRAY) {
        i = 1;
        value->is_array = 1;
        value->code = n_info > 1 && info[1] < 32 ? (int)info[1] : 0;
        value->item_bytes = item_bytes(info, n_info, &i);
        value->items = i < n_info ? info[i++] : 0;
    } else {
        value->item_bytes = item_bytes(info, n_info, &i);
        value->is_array = info[0] == STRUCT || info[0] == STRING;
    }
    if (value->item_bytes == 0 && value->items > 0 && info[0] != STRING && info[0] != STRUCT)
        return torn(walk, "a tag of a type that no DM file has");
    if (value->item_bytes && value->items > (walk->len - walk->at) / value->item_bytes)
        return torn(walk, "a value that goes beyond the end of the file");
    walk->at += (size_t)(value->items * value->item_bytes);
    return FLY_OK;
}

static int read_data(struct walk *walk)
{
    uint64_t mark = 0, n_info = 0, info[INFO_MAX];
    struct value value;
    int rc = take(walk, 4, &mark);

    if (rc == FLY_OK && mark != 0x25252525) /* "%%%%" */
        return torn(walk, "no value where a tag announces one");
    if (rc == FLY_OK)
        rc = take_size(walk, &n_info);
    if (rc == FLY_OK && (n_info < 1 || n_info > INFO_MAX))
        return torn(walk, "a tag that describes no value");
    for (uint64_t i = 0; i < n_info && rc == FLY_OK; i++)
        rc = take_size(walk, &info[i]);
    if (rc == FLY_OK)
        rc = read_value(walk, info, n_info, &value);
    return rc < 0 ? rc : take_value(walk, &value);
}

static int read_group(struct walk *walk);

/* A tag: its name is put behind the path, which is cut again afterwards. */
static int read_tag(struct walk *walk, uint64_t place)
{
    size_t stem = strlen(walk->path), room = sizeof walk->path - stem;
    uint64_t kind = 0, name_len = 0, skip = 0;
    int rc = take(walk, 1, &kind);

    if (rc == FLY_OK)
        rc = take(walk, 2, &name_len);
    if (rc == FLY_OK && walk->len - walk->at < name_len)
        rc = torn(walk, "the file ends within a name");
    if (rc < 0)
        return rc;
    if (name_len == 0) /* members of a list have no names, but places */
        snprintf(walk->path + stem, room, "%s%" PRIu64, stem ? "." : "", place);
    else
        snprintf(walk->path + stem, room, "%s%.*s", stem ? "." : "", (int)(name_len < 128 ? name_len : 128),
                 (const char *)walk->bytes + walk->at);
    walk->at += (size_t)name_len;
    if (walk->dm->version == 4)
        rc = take(walk, 8, &skip);
    if (rc == FLY_OK && kind == GROUP)
        rc = read_group(walk);
    else if (rc == FLY_OK && kind == DATA)
        rc = read_data(walk);
    else if (rc == FLY_OK)
        rc = torn(walk, "neither a group nor a value");
    walk->path[stem] = '\0';
    return rc;
}

static int read_group(struct walk *walk)
{
    uint64_t flags = 0, n = 0;
    int rc = take(walk, 2, &flags);

    if (rc == FLY_OK)
        rc = take_size(walk, &n);
    if (rc == FLY_OK && ++walk->depth > FLY_DM_DEPTH)
        return fly_fail(FLY_ERANGE, "%s: groups of tags %d deep", walk->name, walk->depth);
    for (uint64_t i = 0; i < n && rc == FLY_OK; i++)
        rc = read_tag(walk, i);
    walk->depth--;
    return rc;
}

int fly_dm_type(int32_t data_type)
{
    switch (data_type) {
    case 1:
        return FLY_NPY_I16;
    case 2:
        return FLY_NPY_F32;
    case 6:
        return FLY_NPY_U8;
    case 7:
        return FLY_NPY_I32;
    case 9:
        return FLY_NPY_I8;
    case 10:
        return FLY_NPY_U16;
    case 11:
        return FLY_NPY_U32;
    case 12:
        return FLY_NPY_F64;
    case 14:
        return FLY_NPY_BOOL;
    case 39:
        return FLY_NPY_I64;
    case 40:
        return FLY_NPY_U64;
    default:
        return -1;
    }
}

/* An image's shape must lie within the bytes it has. */
static int check_image(const struct fly_dm *dm, int32_t i, const char *name)
{
    const struct fly_dm_image *image = &dm->images[i];
    int type = fly_dm_type(image->data_type);
    uint64_t bytes = type < 0 ? 0 : fly_npy_type_size((enum fly_npy_type)type);

    if (bytes == 0 || image->data_bytes == 0 || image->n_dims == 0)
        return FLY_OK; /* not to be read as pixels */
    for (int32_t d = 0; d < image->n_dims; d++) {
        uint64_t n = (uint64_t)image->shape[d];

        if (n == 0 || bytes > image->data_bytes / n)
            return fly_fail(FLY_EWIRE,
                            "%s: image %d has a shape that its %" PRIu64 " bytes of data do not fill",
                            name, i, image->data_bytes);
        bytes *= n;
    }
    return FLY_OK;
}

int fly_dm_magic(const unsigned char *magic, size_t len)
{
    uint64_t version = len >= 16 ? big(magic, 4) : 0;

    return (version == 3 && big(magic + 8, 4) <= 1) || (version == 4 && big(magic + 12, 4) <= 1);
}

int fly_dm_parse(struct fly_dm *dm, const unsigned char *bytes, size_t len, const char *name)
{
    struct walk walk = {.dm = dm, .bytes = bytes, .len = len, .name = name};
    uint64_t version = 0, size = 0, little = 0;
    int rc;

    memset(dm, 0, sizeof *dm);
    for (int i = 0; i < FLY_DM_IMAGES; i++)
        clear_image(&dm->images[i]);
    rc = take(&walk, 4, &version);
    if (rc == FLY_OK && version != 3 && version != 4)
        return fly_fail(FLY_ERANGE, "%s: DM version %" PRIu64 ", taken are 3 and 4", name, version);
    dm->version = (int32_t)version;
    if (rc == FLY_OK)
        rc = take_size(&walk, &size);
    if (rc == FLY_OK)
        rc = take(&walk, 4, &little);
    dm->big_endian = little == 0;
    if (rc == FLY_OK)
        rc = read_group(&walk);
    for (int32_t i = 0; i < dm->n_images && rc == FLY_OK; i++)
        rc = check_image(dm, i, name);
    return rc;
}
