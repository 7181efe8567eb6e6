/* sim/read_h5.h: careful reading of HDF5: sizes are checked before anything is taken for them.
 *
 * Errors of libhdf5 come out as one message of ours, never on stderr.
 */
#ifndef FLY_SIM_READ_H5_H
#define FLY_SIM_READ_H5_H

#include <hdf5.h>

#include "sim/import.h"

enum { FLY_H5_DIMS = 4 };

/* An open dataset of numbers. Reading converts to the host's order; half floats come as F32. */
struct fly_h5_set {
    hid_t id; /* 0: none */
    hid_t mem_type;
    int32_t dims;
    int64_t shape[FLY_H5_DIMS];
    enum fly_npy_type type;
    char name[192]; /* file and dataset, for messages */
};

/* Open loc/name.
 * FLY_EWIRE: not there, no numbers, a filter that is not installed, more dimensions than
 * FLY_H5_DIMS, or a shape far larger than what the file stores for it. */
FLY_MUST_USE int fly_h5_set_open(struct fly_h5_set *set, const char *path, hid_t loc,
                                 const char *name);
void fly_h5_set_close(struct fly_h5_set *set); /* zeros are fine */

/* Keep the chunks under a box of this size in memory from now on. */
FLY_MUST_USE int fly_h5_set_cache(struct fly_h5_set *set, hid_t loc, const char *name,
                                  const int64_t *box);

/* Read the box start .. start + count of all dims into out, row-major. */
FLY_MUST_USE int fly_h5_set_read(const struct fly_h5_set *set, const int64_t *start,
                                 const int64_t *count, void *out);

int fly_h5_has(hid_t loc, const char *name); /* 1: a link of that name that leads somewhere */

/* Attributes of loc (of the object `at` below it; "." itself). 1 found and of that kind, 0 not.
 * Text is cut at cap - 1 bytes. */
int fly_h5_attr_f64(hid_t loc, const char *at, const char *name, double *out);
int fly_h5_attr_text(hid_t loc, const char *at, const char *name, char *out, size_t cap);

/* A dataset that holds one string: free(it), NULL when it is none (or longer than 1 MiB). */
char *fly_h5_text(hid_t loc, const char *name);

/* A 1-D dataset of strings, each cut at item_cap - 1: how many were read into out (at most max). */
int32_t fly_h5_texts(hid_t loc, const char *name, char *out, size_t item_cap, int32_t max);

/* Names of the links in loc/group, in the order of names: free(*names), an array of count strings.
 * A group that is not there has none. FLY_ERANGE: more than max. */
FLY_MUST_USE int fly_h5_names(const char *path, hid_t loc, const char *group, int32_t max,
                              char (**names)[256], int32_t *count);

/* The two layouts; file is theirs on success and after an error closed by fly_import_close. */
FLY_MUST_USE int fly_read_hspy(struct fly_import *out, hid_t file,
                               const struct fly_import_options *options);
FLY_MUST_USE int fly_read_velox(struct fly_import *out, hid_t file,
                                const struct fly_import_options *options);

#endif
