#include "sim/read_h5.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/foreign.h"
#include "sim/read_files.h"

/* What deflate can make of a run of zeros, rounded up: a dataset larger than its stored bytes times
 * this was not written whole. (zlib's own figure is 1032:1.) */
enum { EXPANSION_MAX = 1100 };
enum { CHUNK_CACHE_MAX = 512 * 1024 * 1024, TEXT_MAX = 1024 * 1024 };

int fly_h5_has(hid_t loc, const char *name)
{
    return H5Lexists(loc, name, H5P_DEFAULT) > 0 && H5Oexists_by_name(loc, name, H5P_DEFAULT) > 0;
}

/* The number type of a dataset; -1 when it holds none that we read. */
static int number_type(hid_t file_type, hid_t *mem_type)
{
    size_t size = H5Tget_size(file_type);
    H5T_class_t class = H5Tget_class(file_type);

    *mem_type = -1;
    if (class == H5T_ENUM && size == 1) { /* h5py's bool */
        *mem_type = H5Tcopy(file_type);
        return FLY_NPY_BOOL;
    }
    if (class == H5T_INTEGER) {
        int is_signed = H5Tget_sign(file_type) == H5T_SGN_2;

        switch (size) {
        case 1:
            *mem_type = H5Tcopy(is_signed ? H5T_NATIVE_INT8 : H5T_NATIVE_UINT8);
            return is_signed ? FLY_NPY_I8 : FLY_NPY_U8;
        case 2:
            *mem_type = H5Tcopy(is_signed ? H5T_NATIVE_INT16 : H5T_NATIVE_UINT16);
            return is_signed ? FLY_NPY_I16 : FLY_NPY_U16;
        case 4:
            *mem_type = H5Tcopy(is_signed ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT32);
            return is_signed ? FLY_NPY_I32 : FLY_NPY_U32;
        case 8:
            *mem_type = H5Tcopy(is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64);
            return is_signed ? FLY_NPY_I64 : FLY_NPY_U64;
        }
    }
    if (class == H5T_FLOAT && (size == 2 || size == 4)) {
        *mem_type = H5Tcopy(H5T_NATIVE_FLOAT);
        return FLY_NPY_F32;
    }
    if (class == H5T_FLOAT && size == 8) {
        *mem_type = H5Tcopy(H5T_NATIVE_DOUBLE);
        return FLY_NPY_F64;
    }
    return -1;
}

/* Every filter of the dataset must be one that this libhdf5 can undo. */
static int check_filters(const struct fly_h5_set *set, hid_t plist, int *deflated)
{
    int n = H5Pget_nfilters(plist);

    *deflated = 0;
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t values = 0;
        char name[64] = "";
        H5Z_filter_t filter =
            H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);

        *deflated |= filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32;
        if (H5Zfilter_avail(filter) <= 0)
            return fly_fail(FLY_ERANGE,
                            "%s: compressed with %s (HDF5 filter %d), which is not installed here; "
                            "save it again with gzip or without compression",
                            set->name, name[0] ? name : "a filter", (int)filter);
    }
    return FLY_OK;
}

static int check_storage(const struct fly_h5_set *set, hid_t plist)
{
    uint64_t bytes = fly_npy_type_size(set->type);
    uint64_t stored = H5Dget_storage_size(set->id);
    int deflated;
    int rc = check_filters(set, plist, &deflated);

    if (rc < 0)
        return rc;
    for (int32_t i = 0; i < set->dims; i++) {
        if (set->shape[i] > 0 && bytes > (UINT64_C(1) << 48) / (uint64_t)set->shape[i])
            return fly_fail(FLY_ERANGE, "%s: a dataset of more than 2^48 bytes", set->name);
        bytes *= (uint64_t)set->shape[i];
    }
    /* Half floats and enlarged types store less than they read as, by a factor of two at most. */
    if (stored > UINT64_MAX / EXPANSION_MAX || bytes / (deflated ? EXPANSION_MAX : 2) > stored)
        return fly_fail(FLY_EWIRE,
                        "%s: declares %" PRIu64 " bytes and stores %" PRIu64
                        "; it was never written whole, or is damaged",
                        set->name, bytes, stored);
    return FLY_OK;
}

int fly_h5_set_open(struct fly_h5_set *set, const char *path, hid_t loc, const char *name)
{
    const char *base = strrchr(path, '/');
    hsize_t shape[H5S_MAX_RANK];
    hid_t space = -1, file_type = -1, plist = -1;
    int rc, type;

    memset(set, 0, sizeof *set);
    set->mem_type = -1;
    snprintf(set->name, sizeof set->name, "%.96s: %.80s", base ? base + 1 : path, name);
    set->id = H5Dopen2(loc, name, H5P_DEFAULT);
    if (set->id < 0) {
        set->id = 0;
        return fly_fail(FLY_EWIRE, "%s: no such dataset, or a damaged one", set->name);
    }
    space = H5Dget_space(set->id);
    file_type = H5Dget_type(set->id);
    plist = H5Dget_create_plist(set->id);
    type = file_type < 0 ? -1 : number_type(file_type, &set->mem_type);
    set->dims = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (set->dims < 0 || plist < 0) {
        rc = fly_fail(FLY_EWIRE, "%s: the dataset's description cannot be read", set->name);
    } else if (type < 0) {
        rc = fly_fail(FLY_ERANGE, "%s: holds no real numbers of 1, 2, 4 or 8 bytes", set->name);
    } else if (set->dims > FLY_H5_DIMS) {
        rc = fly_fail(FLY_ERANGE, "%s: %d dimensions, at most %d are taken", set->name, set->dims,
                      FLY_H5_DIMS);
    } else {
        set->type = (enum fly_npy_type)type;
        rc = FLY_OK;
        H5Sget_simple_extent_dims(space, shape, NULL);
        for (int32_t i = 0; i < set->dims && rc == FLY_OK; i++) {
            if (shape[i] > UINT64_C(1) << 48)
                rc = fly_fail(FLY_ERANGE, "%s: axis %d has %llu items", set->name, i,
                              (unsigned long long)shape[i]);
            else
                set->shape[i] = (int64_t)shape[i];
        }
        if (rc == FLY_OK)
            rc = check_storage(set, plist);
    }
    if (plist >= 0)
        H5Pclose(plist);
    if (file_type >= 0)
        H5Tclose(file_type);
    if (space >= 0)
        H5Sclose(space);
    if (rc < 0)
        fly_h5_set_close(set);
    return rc;
}

void fly_h5_set_close(struct fly_h5_set *set)
{
    if (set->id > 0) {
        H5Dclose(set->id);
        if (set->mem_type > 0)
            H5Tclose(set->mem_type);
    }
    set->id = 0;
    set->mem_type = -1;
}

int fly_h5_set_cache(struct fly_h5_set *set, hid_t loc, const char *name, const int64_t *box)
{
    hid_t plist = H5Dget_create_plist(set->id);
    hsize_t chunk[FLY_H5_DIMS];
    uint64_t count = 1, bytes = fly_npy_type_size(set->type);
    hid_t access;

    if (plist < 0 || H5Pget_layout(plist) != H5D_CHUNKED ||
        H5Pget_chunk(plist, FLY_H5_DIMS, chunk) != set->dims) {
        if (plist >= 0)
            H5Pclose(plist);
        return FLY_OK; /* nothing is chunked, nothing to keep */
    }
    H5Pclose(plist);
    for (int32_t i = 0; i < set->dims; i++) {
        count *= ((uint64_t)box[i] + chunk[i] - 1) / chunk[i];
        bytes *= chunk[i]; /* a chunk has less than 2^32 bytes, says the format */
    }
    if (bytes > CHUNK_CACHE_MAX)
        return fly_fail(FLY_ERANGE, "%s: chunks of %" PRIu64 " bytes, at most %d are taken",
                        set->name, bytes, CHUNK_CACHE_MAX);
    bytes *= count;
    if (bytes > CHUNK_CACHE_MAX)
        return FLY_OK; /* too many to keep: slower, and right all the same */
    access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access < 0)
        return fly_fail(FLY_ENOMEM, "%s: no memory to open it", set->name);
    /* A prime-ish number of slots well above the chunks kept, as libhdf5 advises. */
    H5Pset_chunk_cache(access, (size_t)(count * 100 + 1), (size_t)bytes + 1, 1.0);
    /* While it is open elsewhere a dataset keeps the cache that it has, so close it first. */
    H5Dclose(set->id);
    set->id = H5Dopen2(loc, name, access);
    H5Pclose(access);
    if (set->id >= 0)
        return FLY_OK;
    set->id = 0;
    H5Tclose(set->mem_type);
    set->mem_type = -1;
    return fly_fail(FLY_EWIRE, "%s: cannot be opened again", set->name);
}

int fly_h5_set_read(const struct fly_h5_set *set, const int64_t *start, const int64_t *count,
                    void *out)
{
    hsize_t at[FLY_H5_DIMS], n[FLY_H5_DIMS], items = 1;
    hid_t file_space, mem_space;
    herr_t status = -1;

    for (int32_t i = 0; i < set->dims; i++) {
        FLY_ASSERT(start[i] >= 0 && count[i] > 0 && start[i] + count[i] <= set->shape[i]);
        at[i] = (hsize_t)start[i];
        n[i] = (hsize_t)count[i];
        items *= n[i];
    }
    file_space = H5Dget_space(set->id);
    mem_space = H5Screate_simple(1, &items, NULL);
    if (file_space >= 0 && mem_space >= 0 &&
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, at, NULL, n, NULL) >= 0)
        status = H5Dread(set->id, set->mem_type, mem_space, file_space, H5P_DEFAULT, out);
    if (file_space >= 0)
        H5Sclose(file_space);
    if (mem_space >= 0)
        H5Sclose(mem_space);
    if (status < 0)
        return fly_fail(FLY_EWIRE, "%s: cannot be read; the file is truncated or damaged",
                        set->name);
    return FLY_OK;
}

int fly_h5_attr_f64(hid_t loc, const char *at, const char *name, double *out)
{
    hid_t attr, type, space;
    int found = 0;

    if (H5Aexists_by_name(loc, at, name, H5P_DEFAULT) <= 0)
        return 0;
    attr = H5Aopen_by_name(loc, at, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0)
        return 0;
    type = H5Aget_type(attr);
    space = H5Aget_space(attr);
    if (type >= 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == 1) {
        H5T_class_t class = H5Tget_class(type);
        signed char flag;

        if (class == H5T_INTEGER || class == H5T_FLOAT) {
            found = H5Aread(attr, H5T_NATIVE_DOUBLE, out) >= 0;
        } else if (class == H5T_ENUM && H5Tget_size(type) == 1) {
            found = H5Aread(attr, type, &flag) >= 0;
            if (found)
                *out = flag;
        }
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(attr);
    return found;
}

/* Copy text of at most len bytes, without breaking a UTF-8 sequence at the cut. */
static void copy_text(char *out, size_t cap, const char *text, size_t len)
{
    size_t n = strnlen(text, len);

    if (n >= cap) {
        n = cap - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
            n--;
    }
    memcpy(out, text, n);
    out[n] = '\0';
}

int fly_h5_attr_text(hid_t loc, const char *at, const char *name, char *out, size_t cap)
{
    hid_t attr, type, space;
    int found = 0;

    if (H5Aexists_by_name(loc, at, name, H5P_DEFAULT) <= 0)
        return 0;
    attr = H5Aopen_by_name(loc, at, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0)
        return 0;
    type = H5Aget_type(attr);
    space = H5Aget_space(attr);
    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING &&
        H5Sget_simple_extent_npoints(space) == 1) {
        if (H5Tis_variable_str(type) > 0) {
            char *text = NULL;

            if (H5Aread(attr, type, &text) >= 0 && text) {
                copy_text(out, cap, text, strlen(text));
                found = 1;
            }
            H5free_memory(text);
        } else {
            size_t size = H5Tget_size(type);
            char *text = size <= TEXT_MAX ? malloc(size) : NULL;

            if (text && H5Aread(attr, type, text) >= 0) {
                copy_text(out, cap, text, size);
                found = 1;
            }
            free(text);
        }
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(attr);
    return found;
}

/* All strings of a small dataset, one after another; NULL when it holds none. Either *vlen (count
 * pointers, to be reclaimed) or *fixed (count times size bytes) is filled. */
struct strings {
    hid_t id, type, space;
    hssize_t count;
    size_t size;
    char **vlen;
    char *fixed;
};

static void strings_close(struct strings *s)
{
    if (s->vlen) {
        H5Dvlen_reclaim(s->type, s->space, H5P_DEFAULT, s->vlen);
        free(s->vlen);
    }
    free(s->fixed);
    if (s->space >= 0)
        H5Sclose(s->space);
    if (s->type >= 0)
        H5Tclose(s->type);
    if (s->id >= 0)
        H5Dclose(s->id);
}

static int strings_open(struct strings *s, hid_t loc, const char *name, hssize_t max)
{
    *s = (struct strings){.id = -1, .type = -1, .space = -1};
    if (!fly_h5_has(loc, name))
        return 0;
    s->id = H5Dopen2(loc, name, H5P_DEFAULT);
    if (s->id < 0)
        return 0;
    s->type = H5Dget_type(s->id);
    s->space = H5Dget_space(s->id);
    s->count = s->space < 0 ? 0 : H5Sget_simple_extent_npoints(s->space);
    if (s->type < 0 || H5Tget_class(s->type) != H5T_STRING || s->count < 1 || s->count > max)
        return 0;
    if (H5Tis_variable_str(s->type) > 0) {
        s->vlen = calloc((size_t)s->count, sizeof *s->vlen);
        return s->vlen && H5Dread(s->id, s->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->vlen) >= 0;
    }
    s->size = H5Tget_size(s->type);
    if (s->size > TEXT_MAX / (size_t)s->count)
        return 0;
    s->fixed = malloc((size_t)s->count * s->size);
    return s->fixed && H5Dread(s->id, s->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->fixed) >= 0;
}

char *fly_h5_text(hid_t loc, const char *name)
{
    struct strings s;
    char *out = NULL;

    if (strings_open(&s, loc, name, 1)) {
        const char *text = s.vlen ? s.vlen[0] : s.fixed;
        size_t len = !text ? 0 : s.vlen ? strlen(text) : strnlen(text, s.size);

        if (text && len <= TEXT_MAX)
            out = strndup(text, len);
    }
    strings_close(&s);
    return out;
}

int32_t fly_h5_texts(hid_t loc, const char *name, char *out, size_t item_cap, int32_t max)
{
    struct strings s;
    int32_t n = 0;

    if (strings_open(&s, loc, name, 4096)) {
        for (; n < s.count && n < max; n++) {
            const char *text = s.vlen ? s.vlen[n] : s.fixed + (size_t)n * s.size;

            copy_text(out + (size_t)n * item_cap, item_cap, text ? text : "",
                      !text    ? 0
                      : s.vlen ? strlen(text)
                               : s.size);
        }
    }
    strings_close(&s);
    return n;
}

struct names {
    char (*list)[256];
    int32_t count, cap, max;
    int too_many, no_memory;
};

static herr_t take_name(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
    struct names *names = arg;

    if (strlen(name) >= sizeof *names->list)
        return 0;
    if (names->count == names->max) {
        names->too_many = 1;
        return 1;
    }
    if (names->count == names->cap) {
        int32_t cap = names->cap ? names->cap * 2 : 16;
        void *grown = realloc(names->list, (size_t)cap * sizeof *names->list);

        if (!grown) {
            names->no_memory = 1;
            return 1;
        }
        names->list = grown;
        names->cap = cap;
    }
    strcpy(names->list[names->count++], name);
    return 0;
}

int fly_h5_names(const char *path, hid_t loc, const char *group, int32_t max, char (**out)[256],
                 int32_t *count)
{
    struct names names = {.max = max};
    hid_t id;

    *out = NULL;
    *count = 0;
    if (!fly_h5_has(loc, group))
        return FLY_OK;
    id = H5Gopen2(loc, group, H5P_DEFAULT);
    if (id < 0)
        return FLY_OK; /* something else of that name */
    H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, NULL, take_name, &names);
    H5Gclose(id);
    if (names.too_many || names.no_memory) {
        free(names.list);
        if (names.no_memory)
            return fly_fail(FLY_ENOMEM, "%s: no memory for the names in %s", path, group);
        return fly_fail(FLY_ERANGE, "%s: %s has more than %d members", path, group, max);
    }
    *out = names.list;
    *count = names.count;
    return FLY_OK;
}

int fly_read_h5(struct fly_import *out, const struct fly_import_options *options)
{
    char format[64] = "";
    hid_t file;
    int rc;

    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    file = H5Fopen(out->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0)
        return fly_fail(FLY_EWIRE,
                        "%s: HDF5 cannot open it: truncated, damaged or still being written",
                        out->path);
    fly_h5_attr_text(file, ".", "file_format", format, sizeof format);
    if (strcasecmp(format, "hyperspy") == 0)
        return fly_read_hspy(out, file, options);
    if (fly_h5_has(file, "Data") &&
        (fly_h5_has(file, "Data/Image") || fly_h5_has(file, "Data/SpectrumStream") ||
         fly_h5_has(file, "Data/SpectrumImage") || fly_h5_has(file, "Data/Spectrum") ||
         fly_h5_has(file, "Data/EelsSpectrumImage")))
        return fly_read_velox(out, file, options);
    rc = fly_foreign_refuse_h5(out->path, file);
    H5Fclose(file);
    return rc;
}
