/* flyback import as people run it, and the process of its own that it reads files in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <time.h>

#include "sim/commands.h"
#include "test_import_sink.h"

/* ---- a process of its own ------------------------------------------------------------------- */

static int return_it(void *ctx)
{
    return *(int *)ctx;
}

static int crash(void *ctx)
{
    raise(SIGSEGV);
    return 0;
}

/* Lets its parent be asked to stop, again and again; deaf: as a library that looks at no flag. */
static int outstay(void *ctx)
{
    if (*(int *)ctx)
        signal(SIGTERM, SIG_IGN);
    for (int i = 0; i < 10000; i++) {
        kill(getppid(), SIGTERM);
        usleep(1000);
    }
    return 0;
}

static void a_child_that_dies_takes_nobody_with_it(void **state)
{
    struct fly_apart apart;
    int code = 7;

    assert_int_equal(fly_import_apart(&apart, return_it, &code), FLY_OK);
    assert_int_equal(apart.exit_code, 7);
    assert_int_equal(apart.interrupted, 0);
    assert_int_equal(fly_import_apart(&apart, crash, NULL), FLY_OK);
    assert_int_equal(apart.exit_code, -1);
    assert_int_equal(apart.signal, SIGSEGV);
}

static void a_signal_is_passed_on_and_the_second_kills(void **state)
{
    struct fly_apart apart;
    int deaf = 0;

    assert_int_equal(fly_import_apart(&apart, outstay, &deaf), FLY_OK);
    assert_int_equal(apart.signal, SIGTERM);
    assert_int_equal(apart.interrupted, 1);
    deaf = 1;
    assert_int_equal(fly_import_apart(&apart, outstay, &deaf), FLY_OK);
    assert_int_equal(apart.signal, SIGKILL);
    assert_int_equal(apart.interrupted, 1);
}

static int spin(void *ctx)
{
    fly_import_alive(*(int *)ctx);
    for (volatile unsigned i = 0;; i++)
        ;
    return 0;
}

static int get_on(void *ctx)
{
    struct timespec now;
    double cpu_s;

    do {
        fly_import_alive(*(int *)ctx);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        cpu_s = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    } while (cpu_s < 1.3);
    return 5;
}

static void a_child_that_gets_no_further_is_ended(void **state)
{
    struct fly_apart apart;
    int cpu_s = 1;

    assert_int_equal(fly_import_apart(&apart, spin, &cpu_s), FLY_OK);
    assert_int_equal(apart.signal, SIGPROF);
    assert_int_equal(apart.interrupted, 0);
    assert_int_equal(fly_import_apart(&apart, get_on, &cpu_s), FLY_OK);
    assert_int_equal(apart.exit_code, 5);
}

/* ---- the command ---------------------------------------------------------------------------- */

struct said {
    int code;
    char out[8192], err[8192];
};

static void read_all(const char *path, char *text, size_t cap)
{
    FILE *file = fopen(path, "r");
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, cap - 1, file);
    text[n] = '\0';
    fclose(file);
    unlink(path);
}

/* Stands in for the plugin, which sees the engine: tells that it was asked, or fails. */
static int propose_fails;

static int propose(const char *recording, FILE *to)
{
    if (propose_fails)
        return fly_fail(FLY_EIO, "nothing to be seen in %s", recording);
    fprintf(to, "asked about %s\n", recording);
    return FLY_OK;
}

static void run_command(struct said *said, ...)
{
    char out[512], err[512];
    char *argv[32] = {"import"};
    int argc = 1, old_out, old_err, fd;
    va_list args;

    va_start(args, said);
    while ((argv[argc] = va_arg(args, char *)) != NULL)
        argc++;
    va_end(args);
    snprintf(out, sizeof out, "%s.out", scratch);
    snprintf(err, sizeof err, "%s.err", scratch);
    fflush(NULL);
    old_out = dup(STDOUT_FILENO);
    old_err = dup(STDERR_FILENO);
    fd = open(out, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(fd, STDOUT_FILENO);
    close(fd);
    fd = open(err, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(fd, STDERR_FILENO);
    close(fd);
    said->code = fly_cmd_import(argc, argv, propose);
    fflush(NULL);
    dup2(old_out, STDOUT_FILENO);
    dup2(old_err, STDERR_FILENO);
    close(old_out);
    close(old_err);
    read_all(out, said->out, sizeof said->out);
    read_all(err, said->err, sizeof said->err);
}

static void wrong_usage_is_told_with_exit_code_2(void **state)
{
    struct said said;

    run_command(&said, NULL);
    assert_int_equal(said.code, 2);
    assert_non_null(strstr(said.err, "which FILE?"));
    run_command(&said, "a.emd", "--pixel-nm", "nan", NULL);
    assert_int_equal(said.code, 2);
    run_command(&said, "a.emd", "--pixel-nm", "1,2,3", NULL);
    assert_int_equal(said.code, 2);
    run_command(&said, "a.emd", "--no-such-option", NULL);
    assert_int_equal(said.code, 2);
    run_command(&said, "a.npy", "--events", "y,x", "--channels", "9", NULL);
    assert_int_equal(said.code, 2);
    run_command(&said, "a.npy", "--events", "y,x,c", NULL);
    assert_int_equal(said.code, 2);
    assert_non_null(strstr(said.err, "--events needs --channels"));
    assert_string_equal(said.out, "");
    run_command(&said, "a.npy", "--elements", "Sr,Xx", NULL);
    assert_int_equal(said.code, 2);
    assert_non_null(strstr(said.err, "symbols like Sr,Ti,O"));
    run_command(&said, "a.npy", "--elements", "Sr,Ti,Sr", NULL);
    assert_int_equal(said.code, 2);
    run_command(&said, "a.npy", "--elements", "", NULL);
    assert_int_equal(said.code, 2);
    run_command(&said, "--help", NULL);
    assert_int_equal(said.code, 0);
    assert_non_null(strstr(said.out, "examples:"));
}

static void a_missing_or_foreign_file_is_refused_with_exit_code_1(void **state)
{
    const char *path = in_scratch("foreign.emd");
    struct said said;

    run_command(&said, "no_such_file.emd", NULL);
    assert_int_equal(said.code, 1);
    assert_non_null(strstr(said.err, "no_such_file.emd: No such file"));
    write_file(path, "this is text");
    run_command(&said, path, "--dir", scratch, NULL);
    assert_int_equal(said.code, 1);
    assert_non_null(strstr(said.err, "not a file that import knows"));
    assert_string_equal(said.out, "");
    assert_int_equal(scratch_count(), 1);
    unlink(path);
}

static void a_golden_case_becomes_a_session_with_all_its_events(void **state)
{
    char haadf[512], events[1600], session[512];
    struct taken *taken = calloc(1, sizeof *taken);
    struct said said;
    json_t *report;
    const char *golden = FLY_TEST_DIR "/golden/a_tiny";

    snprintf(haadf, sizeof haadf, "%s/haadf.npy", golden);
    snprintf(events, sizeof events, "%s/ev_y.npy,%s/ev_x.npy,%s/ev_ch.npy", golden, golden, golden);
    snprintf(session, sizeof session, "%s/tiny.fly", scratch);
    run_command(&said, haadf, "--events", events, "--channels", "4096", "--ev-per-channel", "10",
                "--ev-offset", "0", "--out", session, "--pixel-nm", "0.5", "--detector", "DF",
                NULL);
    if (said.code != 0)
        fail_msg("%s", said.err);
    report = json_loads(said.out, 0, NULL);
    assert_non_null(report);
    assert_string_equal(json_string_value(json_object_get(report, "session")), session);
    assert_int_equal(json_integer_value(json_object_get(report, "frames")), 1);
    take_recording(taken, session);
    assert_string_equal(taken->start.detectors[0].name, "DF");
    assert_image(taken, "DF", haadf);
    assert_int_equal(json_integer_value(json_object_get(
                         json_array_get(json_object_get(report, "detectors"), 0), "events")),
                     taken->photons[0]);
    assert_true(taken->photons[0] > 1000);
    assert_float_equal(taken->start.pixel_nm[1], 0.5, 0.0);
    json_decref(report);
    taken_free(taken);
    unlink(session);
}

/* Import a small image with one photon list; what the flags make of its elements. */
static void import_tiny(struct said *said, const char *session, const char *flag, const char *value)
{
    char haadf[512], events[1600];
    const char *golden = FLY_TEST_DIR "/golden/a_tiny";

    snprintf(haadf, sizeof haadf, "%s/haadf.npy", golden);
    snprintf(events, sizeof events, "%s/ev_y.npy,%s/ev_x.npy,%s/ev_ch.npy", golden, golden, golden);
    run_command(said, haadf, "--events", events, "--channels", "4096", "--ev-per-channel", "10", "--ev-offset", "0",
                "--out", session, flag, value, NULL);
}

static void elements_are_proposed_when_nobody_named_any(void **state)
{
    const char *session = in_scratch("proposed.fly");
    struct taken *taken = calloc(1, sizeof *taken);
    struct said said;

    import_tiny(&said, session, NULL, NULL);
    assert_int_equal(said.code, 0);
    assert_non_null(strstr(said.err, "asked about "));
    assert_null(strstr(said.out, "asked"));
    import_tiny(&said, session, "--elements", "none");
    assert_int_equal(said.code, 0);
    assert_non_null(strstr(said.err, "asked about "));
    unlink(session);
    import_tiny(&said, session, "--elements", "Sr,Ti,O");
    assert_int_equal(said.code, 0);
    assert_string_equal(said.err, "");
    take_recording(taken, session);
    assert_int_equal(taken->start.n_elements, 3);
    assert_string_equal(taken->start.elements[1], "Ti");
    unlink(session);
    import_tiny(&said, session, "--elements=Sr", "--propose-elements");
    assert_int_equal(said.code, 0);
    assert_non_null(strstr(said.err, "asked about "));
    unlink(session);
    taken_free(taken);
}

static void a_proposal_that_fails_costs_no_recording(void **state)
{
    const char *session = in_scratch("unproposed.fly");
    struct said said;

    propose_fails = 1;
    import_tiny(&said, session, NULL, NULL);
    assert_int_equal(said.code, 0);
    assert_non_null(strstr(said.err, "no elements are proposed: nothing to be seen in"));
    import_tiny(&said, session, "--propose-elements", NULL);
    assert_int_equal(said.code, 1);
    assert_non_null(strstr(said.out, "\"session\":"));
    assert_int_equal(access(session, F_OK), 0);
    propose_fails = 0;
    unlink(session);
}

static void the_default_place_is_a_folder_made_for_it(void **state)
{
    char path[512], dir[600], there[1200];
    struct said said;
    json_t *report;

    snprintf(path, sizeof path, "%s/golden/a_tiny/haadf.npy", FLY_TEST_DIR);
    snprintf(dir, sizeof dir, "%s/deep/er", scratch);
    run_command(&said, path, "--dir", dir, NULL);
    assert_int_equal(said.code, 0);
    report = json_loads(said.out, 0, NULL);
    snprintf(there, sizeof there, "%s", json_string_value(json_object_get(report, "session")));
    assert_int_equal(strncmp(there, dir, strlen(dir)), 0);
    assert_int_equal(strncmp(there + strlen(dir), "/haadf-", 7), 0);
    /* Again: the very same session takes its own place. */
    run_command(&said, path, "--dir", dir, NULL);
    assert_int_equal(said.code, 0);
    assert_int_equal(unlink(there), 0);
    assert_int_equal(rmdir(dir), 0);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(rmdir(dir), 0);
    json_decref(report);
}

static int has_shared(const char *path)
{
    if (access(path, R_OK) == 0)
        return 1;
    printf("NOT RUN: %s is not there\n", path);
    return 0;
}

static void the_real_themis_file_is_reported_exactly(void **state)
{
    static const char *const want = "{\"detectors\":[{\"events\":13945,\"marks\":512,\"name\":"
                                    "\"SuperXG21\"},{\"events\":10177,\"marks\":512,"
                                    "\"name\":\"SuperXG22\"},{\"events\":11538,\"marks\":512,"
                                    "\"name\":\"SuperXG23\"},{\"events\":6437,\"marks\":512,"
                                    "\"name\":\"SuperXG24\"}],\"frames\":2,\"images\":[{\"dtype\":"
                                    "\"<u2\",\"frames\":2,\"name\":\"HAADF\"}],"
                                    "\"scan_shape_px\":[16,16],\"session\":";
    const char *path = in_shared("velox/velox11_themisZ_300kV_SI_16x16.emd"),
               *session = in_scratch("themis.fly");
    struct taken *taken = calloc(1, sizeof *taken);
    struct said said;

    if (!has_shared(path)) {
        free(taken);
        skip();
    }
    run_command(&said, path, "--out", session, NULL);
    assert_int_equal(said.code, 0);
    said.out[strlen(want)] = '\0';
    assert_string_equal(said.out, want);
    take_recording(taken, session);
    assert_int_equal(taken->photons[0] + taken->photons[1] + taken->photons[2] + taken->photons[3],
                     42097);
    taken_free(taken);
    unlink(session);
}

/* Bits flipped in a real file: the command ends with 0 or 1, and leaves a whole session or none.
 * (Bits nearer the beginning make libhdf5 spin until it is ended, which takes a minute.) */
static void damaged_real_files_never_take_the_command_down(void **state)
{
    const char *whole = in_shared("eds/SiO2_HAADF.hspy");
    char path[512], session[512];
    unsigned char *bytes;
    size_t len;
    int refused = 0;

    if (!has_shared(whole))
        skip();
    snprintf(path, sizeof path, "%s/damaged.hspy", scratch);
    snprintf(session, sizeof session, "%s/damaged.fly", scratch);
    assert_int_equal(fly_file_read(whole, 1 << 28, &bytes, &len), FLY_OK);
    for (int i = 0; i < 60; i++) {
        size_t at = i == 1 ? 2227 /* libhdf5 1.10.8 crashes */ : (4096 + (size_t)i * 131) % len;
        FILE *file = fopen(path, "wb");
        struct said said;

        bytes[at] ^= (unsigned char)(1 << i % 8);
        assert_int_equal(fwrite(bytes, 1, len, file), len);
        fclose(file);
        bytes[at] ^= (unsigned char)(1 << i % 8);
        run_command(&said, path, "--out", session, NULL);
        assert_in_range(said.code, 0, 1);
        refused += said.code;
        assert_int_equal(access(session, F_OK) == 0, said.code == 0);
        assert_int_equal(scratch_count(), said.code == 0 ? 2 : 1);
        /* AddressSanitizer ends a child in its own words. */
        if (said.code && !strstr(said.err, "AddressSanitizer"))
            assert_non_null(strstr(said.err, "damaged.hspy"));
        unlink(session);
    }
    assert_true(refused > 0);
    unlink(path);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_that_dies_takes_nobody_with_it),
        cmocka_unit_test(a_signal_is_passed_on_and_the_second_kills),
        cmocka_unit_test(a_child_that_gets_no_further_is_ended),
        cmocka_unit_test(wrong_usage_is_told_with_exit_code_2),
        cmocka_unit_test(a_missing_or_foreign_file_is_refused_with_exit_code_1),
        cmocka_unit_test(a_golden_case_becomes_a_session_with_all_its_events),
        cmocka_unit_test(elements_are_proposed_when_nobody_named_any),
        cmocka_unit_test(a_proposal_that_fails_costs_no_recording),
        cmocka_unit_test(the_default_place_is_a_folder_made_for_it),
        cmocka_unit_test(the_real_themis_file_is_reported_exactly),
        cmocka_unit_test(damaged_real_files_never_take_the_command_down),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
