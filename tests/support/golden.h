/* tests/support/golden.h: golden arrays for tests: read whole, asserted to be what the test expects. */
#ifndef FLY_TESTS_GOLDEN_H
#define FLY_TESTS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/npy.h"

struct golden {
    unsigned char *bytes;
    struct fly_npy npy;
};

/* 1: the file is there (for cases of ../shared, which a fresh machine lacks). */
static inline int golden_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static inline struct golden golden_open(const char *folder, const char *name)
{
    struct golden g = {0};
    char path[1024];
    FILE *file;
    long len;

    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "golden file %s is missing\n", path);
        abort();
    }
    fseek(file, 0, SEEK_END);
    len = ftell(file);
    rewind(file);
    g.bytes = malloc((size_t)len);
    if (fread(g.bytes, 1, (size_t)len, file) != (size_t)len ||
        fly_npy_view(&g.npy, g.bytes, (size_t)len, path) < 0) {
        fprintf(stderr, "golden file %s: %s\n", path, fly_fail_text());
        abort();
    }
    fclose(file);
    return g;
}

static inline void golden_close(struct golden *g)
{
    free(g->bytes);
    g->bytes = NULL;
}

#endif
