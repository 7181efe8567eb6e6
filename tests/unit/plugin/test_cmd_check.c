#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugin/commands.h"
#include "stream/recording.h"

static char folder[] = "/tmp/fly-check-XXXXXX";
static char path[256];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void put(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(fly_file_write(path, text, strlen(text)), FLY_OK);
}

/* Exit code of `flyback check [--grid GRID] path`, what it wrote to stderr in words. */
static int check(const char *grid, char words[1024])
{
    char *argv[] = {"check", path, "--grid", (char *)(uintptr_t)grid, NULL};
    FILE *file = tmpfile();
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY), code;
    size_t len;

    assert_true(file && out >= 0 && err >= 0 && null >= 0);
    fflush(stdout);
    dup2(null, STDOUT_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    code = fly_cmd_check(grid ? 4 : 2, argv);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    close(null);
    rewind(file);
    len = fread(words, 1, 1023, file);
    words[len] = '\0';
    fclose(file);
    return code;
}

static void configurations_are_judged_with_the_place_of_the_mistake(void **state)
{
    char words[1024];

    (void)state;
    put("c.yaml", "chip:\n  size_px: 20\n");
    assert_int_equal(check(NULL, words), 0);
    assert_string_equal(words, "");
    put("c.yaml", "chip:\n  size_px: 0\n");
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "c.yaml:2:12: chip.size_px: "));
    put("c.yaml", "chip:\n  pitch_px: 20\n"); /* right by itself, wrong beside the default */
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "c.yaml:2:13: chip.pitch_px: 20 is wider"));
    unlink(path);
}

static void the_k_factor_file_of_a_configuration_is_read_as_well(void **state)
{
    char words[1024], yaml[512], file[300];

    (void)state;
    put("k.json", "{\"k_factors\": {\"Fe_Ka\": 1.35}}");
    snprintf(file, sizeof file, "%s", path);
    snprintf(yaml, sizeof yaml, "eds:\n  k_factor_file: %s\n", file);
    put("c.yaml", yaml);
    assert_int_equal(check(NULL, words), 0);
    assert_string_equal(words, "");
    put("k.json", "{\"k_factors\": {\"Fe_Ka\": 1.35, \"O_Ka\": 0}}");
    put("c.yaml", yaml);
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "c.yaml:2:18: eds.k_factor_file: "));
    assert_non_null(strstr(words, "k.json: k_factors: O_Ka: a number above 0 is needed"));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "k.json: No such file or directory"));
    put("c.yaml", "eds:\n  k_factor_file: k.json\n  k_factors: \"Fe_Ka=1\"\n");
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "c.yaml:2:18: eds.k_factor_file: \"k.json\" and eds.k_factors ("));
    unlink(path);
}

static void support_sets_are_judged_against_the_grid_that_is_given(void **state)
{
    char words[1024];

    (void)state;
    put("s.json", "{\"a\": [[0, 0]], \"b\": [[33, 2]]}");
    assert_int_equal(check(NULL, words), 0);
    assert_int_equal(check("34x3", words), 0);
    assert_int_equal(check("33x3", words), 1);
    assert_non_null(strstr(words, "class \"b\", chip 0: row 33 is outside 0 .. 32"));
    assert_int_equal(check("33", words), 2);
    assert_int_equal(check("33x0", words), 2);
    unlink(path);
}

static int64_t now_ns(void *ctx)
{
    struct timespec t;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void a_torn_recording_is_told_with_the_byte_where_it_ends(void **state)
{
    struct fly_recorder_config config = {.path = path, .disk = fly_disk_system(),
                                         .clock = {.mono_ns = now_ns, .unix_ns = now_ns}, .ring_bytes = 1 << 20,
                                         .sync_ms = 10, .writers = 1, .wake_fd = -1};
    struct fly_recorder *recorder;
    struct fly_part part = {"some bytes of a message", 23};
    struct stat file;
    uint64_t ticket;
    char words[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/r.fly", folder);
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fly_recorder_append(recorder, FLY_REC_INGEST, i, &part, 1, &ticket), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    assert_int_equal(check(NULL, words), 0);
    assert_string_equal(words, "");
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(truncate(path, file.st_size - 5), 0);
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "torn at byte "));
    unlink(path);
}

static void what_is_none_of_the_three_is_said_to_be_so(void **state)
{
    char words[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/x.txt", folder);
    assert_int_equal(check(NULL, words), 2);
    assert_non_null(strstr(words, "neither .yaml, .json nor .fly"));
    snprintf(path, sizeof path, "%s/none.fly", folder);
    assert_int_equal(check(NULL, words), 1);
    assert_non_null(strstr(words, "none.fly"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_are_judged_with_the_place_of_the_mistake),
        cmocka_unit_test(the_k_factor_file_of_a_configuration_is_read_as_well),
        cmocka_unit_test(support_sets_are_judged_against_the_grid_that_is_given),
        cmocka_unit_test(a_torn_recording_is_told_with_the_byte_where_it_ends),
        cmocka_unit_test(what_is_none_of_the_three_is_said_to_be_so),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
