/* tests/fuzz/replay_main.c: runs a fuzz target over the files of its corpus, as an ordinary test.
 *
 * Each argument is a file or a folder of files. What the fuzzer once found stays found in every build,
 * with any compiler. An empty corpus is a failure: a test of nothing must not pass.
 *
 * Each input is also given cut short and with single bits turned, from a fixed seed, so that a build without
 * libFuzzer still looks beside the trodden path.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { INPUT_MAX = 4 << 20, TWISTS = 200 };

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* The target gets a block of exactly its length, so that a sanitizer sees the first byte beyond it. */
static void give(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        abort();
    if (len)
        memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static int run_file(const char *path, long *runs)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    size_t len;

    if (!file || !bytes) {
        fprintf(stderr, "replay: %s cannot be read\n", path);
        if (file)
            fclose(file);
        free(bytes);
        return -1;
    }
    len = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    give(bytes, len);
    (*runs)++;
    for (int i = 0; len && i < TWISTS; i++) {
        size_t at = draw() % len;

        if (i % 4 == 0) {
            give(bytes, at);
        } else {
            uint8_t was = bytes[at];

            bytes[at] = i % 4 == 1 ? (uint8_t)draw() : (uint8_t)(was ^ (1u << (draw() % 8)));
            give(bytes, len);
            bytes[at] = was;
        }
        (*runs)++;
    }
    free(bytes);
    return 0;
}

static int run_path(const char *path, long *files, long *runs)
{
    struct stat st;
    struct dirent **names;
    int n, rc = 0;

    if (stat(path, &st) < 0) {
        fprintf(stderr, "replay: %s is not there\n", path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        (*files)++;
        return run_file(path, runs);
    }
    n = scandir(path, &names, NULL, alphasort);
    if (n < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        char full[4096];

        if (names[i]->d_name[0] != '.') {
            snprintf(full, sizeof full, "%s/%s", path, names[i]->d_name);
            if (run_path(full, files, runs) < 0)
                rc = -1;
        }
        free(names[i]);
    }
    free(names);
    return rc;
}

int main(int argc, char **argv)
{
    long files = 0, runs = 0;
    int rc = 0;

    for (int i = 1; i < argc; i++)
        if (run_path(argv[i], &files, &runs) < 0)
            rc = 1;
    printf("%ld files of corpus, %ld inputs with their twists\n", files, runs);
    if (files == 0) {
        fprintf(stderr, "replay: the corpus is empty\n");
        rc = 1;
    }
    return rc;
}
