/* The fuzzers' inputs as an ordinary test: every file of their corpora, and changes of them drawn from a
 * fixed seed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>

#include "engine/base/rng.h"

#define LLVMFuzzerTestOneInput fuzz_wire
#include "tests/fuzz/fuzz_wire.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_request
#define room                   request_room
#include "tests/fuzz/fuzz_request.c"
#undef room
#undef LLVMFuzzerTestOneInput

enum { FILE_MAX = 65536, CHANGES = 3000 };

/* One to four small changes: a byte set, bits turned, a byte taken out or put in. */
static size_t change(unsigned char *bytes, size_t len, struct fly_rng *rng)
{
    for (uint64_t n = 1 + fly_rng_below(rng, 4); n > 0 && len > 1; n--) {
        size_t at = (size_t)fly_rng_below(rng, len);

        switch (fly_rng_below(rng, 4)) {
        case 0:
            bytes[at] = (unsigned char)fly_rng_next(rng);
            break;
        case 1:
            bytes[at] ^= (unsigned char)(1 << fly_rng_below(rng, 8));
            break;
        case 2:
            memmove(bytes + at, bytes + at + 1, len - at - 1);
            len--;
            break;
        default:
            memmove(bytes + at + 1, bytes + at, len - at);
            bytes[at] = (unsigned char)fly_rng_next(rng);
            len++;
            break;
        }
    }
    return len;
}

static int run_folder(const char *folder, int (*fuzz)(const uint8_t *data, size_t size))
{
    static unsigned char whole[FILE_MAX], changed[FILE_MAX + 8];
    struct fly_rng rng = {5};
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int files = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char path[4096];
        FILE *file;
        size_t len;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        file = fopen(path, "rb");
        assert_non_null(file);
        len = fread(whole, 1, sizeof whole, file);
        fclose(file);
        assert_int_equal(fuzz(whole, len), 0);
        for (int i = 0; i < CHANGES; i++) {
            memcpy(changed, whole, len);
            assert_int_equal(fuzz(changed, change(changed, len, &rng)), 0);
        }
        files++;
    }
    closedir(dir);
    return files;
}

static void ingest_messages_hold_what_the_fuzzer_asks(void **state)
{
    assert_true(run_folder(FLY_TEST_DIR "/fuzz/corpus/wire", fuzz_wire) >= 15);
}

static void requests_hold_what_the_fuzzer_asks(void **state)
{
    assert_true(run_folder(FLY_TEST_DIR "/fuzz/corpus/request", fuzz_request) >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ingest_messages_hold_what_the_fuzzer_asks),
        cmocka_unit_test(requests_hold_what_the_fuzzer_asks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
