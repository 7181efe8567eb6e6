/* tests/bench/npy_out.h: an array into DIR/NAME.npy, for compare_igraph.py. */
#ifndef FLY_TESTS_BENCH_NPY_OUT_H
#define FLY_TESTS_BENCH_NPY_OUT_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/npy.h"

/* (rows, cols), or (rows) when cols is 0. FLY_EIO: the file could not be written. */
static inline int npy_out(const char *dir, const char *name, enum fly_npy_type type, int64_t rows, int64_t cols,
                          const void *data)
{
    unsigned char header[FLY_NPY_HEADER_CAP];
    int64_t shape[2] = {rows, cols}, items = rows * (cols ? cols : 1);
    size_t len = fly_npy_header(header, type, cols ? 2 : 1, shape), size = fly_npy_type_size(type);
    char path[4096];
    FILE *file;
    int ok;

    snprintf(path, sizeof path, "%s/%s.npy", dir, name);
    file = fopen(path, "wb");
    if (!file)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    ok = fwrite(header, 1, len, file) == len && fwrite(data, size, (size_t)items, file) == (size_t)items;
    if (fclose(file) != 0 || !ok)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    return FLY_OK;
}

#endif
