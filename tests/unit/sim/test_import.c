/* From files to a session: values, plans, names, messages, recordings, and the command itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <time.h>

#include "sim/commands.h"
#include "test_import_sink.h"

/* ---- values
 * -------------------------------------------------------------------------------------- */

static void counts_are_whole_numbers_of_32_bits(void **state)
{
    const double good[] = {0.0, 1.0, 4294967295.0};
    const double bad[] = {-1.0, 0.5, 4294967296.0, NAN, INFINITY};
    const int64_t wide[] = {7, -7};
    uint32_t out[3];

    assert_int_equal(fly_import_counts(out, FLY_NPY_F64, good, 3), 3);
    assert_int_equal(out[2], UINT32_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(fly_import_counts(out, FLY_NPY_F64, &bad[i], 1), 0);
    assert_int_equal(fly_import_counts(out, FLY_NPY_I64, wide, 2), 1);
}

static void names_are_what_the_wire_takes(void **state)
{
    static const char *const cases[][2] = {
        {"HAADF", "HAADF"},
        {"DF 4/left", "DF_4_left"},
        {"", "EDS"},
        {"\xc2\xb5", "EDS"},
        {"..", "EDS"},
        {"control", "control_"},
        {"Super-X_1.2", "Super-X_1.2"},
    };
    char name[FLY_NAME_MAX + 1], wide[200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fly_import_name(name, cases[i][0], "EDS");
        assert_string_equal(name, cases[i][1]);
    }
    memset(wide, 'a', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    fly_import_name(name, wide, "EDS");
    assert_int_equal(strlen(name), FLY_NAME_MAX);
}

/* ---- files made up here
 * --------------------------------------------------------------------------- */

struct made {
    struct fly_import import;
    uint32_t *counts;
    int fail_line;
};

static int made_image(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct made *made = ctx;
    uint16_t *pixels = out;

    if (y_px == made->fail_line)
        return fly_fail(FLY_EWIRE, "the made-up file is torn at line %d", y_px);
    for (int32_t x = 0; x < made->import.images[0].width_px; x++)
        pixels[x] = (uint16_t)(frame * 1000 + y_px * 100 + x);
    return FLY_OK;
}

/* One photon in the last channel of each pixel, two in channel x. */
static int made_counts(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                       struct fly_import_photons *out)
{
    struct made *made = ctx;
    size_t channels = (size_t)made->import.eds[0].segment.n_channels;

    assert_true(width_px <= made->import.eds[0].block_px);
    memset(made->counts, 0, (size_t)width_px * channels * sizeof *made->counts);
    for (int32_t x = 0; x < width_px; x++) {
        made->counts[(size_t)x * channels + channels - 1]++;
        made->counts[(size_t)x * channels + (size_t)(x0_px + x) % channels] += 2;
    }
    *out = (struct fly_import_photons){.x0_px = x0_px,
                                       .width_px = width_px,
                                       .counts = made->counts,
                                       .live_time_us = NAN,
                                       .real_time_us = NAN};
    return FLY_OK;
}

static void made_init(struct made *made, const char *path, int32_t height, int32_t width)
{
    struct fly_import_image *image = &made->import.images[0];

    memset(made, 0, sizeof *made);
    made->fail_line = -1;
    fly_import_init(&made->import, path);
    strcpy(image->name, "HAADF");
    image->dtype = FLY_U16;
    image->height_px = height;
    image->width_px = width;
    image->frames = 1;
    image->line = made_image;
    image->ctx = made;
    made->import.n_images = 1;
}

static void made_add_cube(struct made *made, int32_t channels, int32_t block_px)
{
    struct fly_import_eds *eds = &made->import.eds[0];

    eds->segment = (struct fly_segment){"EDS", channels, 10.0, 0.0, NAN};
    eds->height_px = made->import.images[0].height_px;
    eds->width_px = made->import.images[0].width_px;
    eds->frames = 1;
    eds->block_px = block_px;
    eds->line = made_counts;
    eds->ctx = made;
    made->counts = malloc((size_t)block_px * (size_t)channels * sizeof *made->counts);
    made->import.n_eds = 1;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* ---- plans and names
 * ------------------------------------------------------------------------------ */

static void equal_names_are_told_apart_and_facts_come_together(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    struct made a, b;
    struct fly_import *files[] = {&a.import, &b.import};
    struct fly_import_plan plan;

    made_init(&a, "a", 3, 4);
    made_init(&b, "b", 3, 4);
    b.import.images[0].frames = 5;
    a.import.meta.beam_energy_kev = 200.0;
    b.import.meta.beam_energy_kev = 300.0;
    b.import.meta.pixel_time_us = 4.0;
    a.import.meta.pixel_nm[0] = 1.0;
    b.import.meta.pixel_nm[0] = 1.0005;
    b.import.meta.pixel_nm[1] = 2.0;
    assert_int_equal(fly_import_plan(&plan, files, 2, &options), FLY_OK);
    assert_string_equal(plan.start.detectors[0].name, "HAADF");
    assert_string_equal(plan.start.detectors[1].name, "HAADF_2");
    assert_string_equal(b.import.images[0].name, "HAADF_2");
    assert_int_equal(plan.frames, 5);
    assert_float_equal(plan.start.beam_energy_kev, 200.0, 0.0);
    assert_float_equal(plan.start.pixel_time_us, 4.0, 0.0);
    assert_float_equal(plan.start.pixel_nm[0], 1.0, 0.0);
    assert_float_equal(plan.start.pixel_nm[1], 2.0, 0.0);
    assert_float_equal(plan.line_time_us, 16.0, 0.0);
    assert_float_equal(plan.frame_time_us, 48.0, 0.0);
}

static void times_that_would_run_backwards_are_mended(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    struct made a;
    struct fly_import *files[] = {&a.import};
    struct fly_import_plan plan;

    made_init(&a, "a", 3, 4);
    a.import.meta.pixel_time_us = 10.0;
    a.import.line_time_us = 39.0;
    a.import.frame_time_us = 100.0;
    assert_int_equal(fly_import_plan(&plan, files, 1, &options), FLY_OK);
    assert_float_equal(plan.line_time_us, 40.0, 0.0);
    assert_float_equal(plan.frame_time_us, 120.0, 0.0);
}

static void a_session_is_named_by_its_content_alone(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *a = in_scratch("one two.emd"), *b = in_scratch("copy.emd");
    struct made made;
    struct fly_import *files[] = {&made.import};
    struct fly_import_plan plan;
    char first[FLY_SESSION_MAX + 1];

    write_file(a, "some bytes of a file");
    made_init(&made, a, 3, 4);
    assert_int_equal(fly_import_plan(&plan, files, 1, &options), FLY_OK);
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_OK);
    strcpy(first, plan.session);
    assert_int_equal(strncmp(first, "one_two-", 8), 0);
    assert_int_equal(strlen(first), 8 + 16);
    /* Another date changes nothing. */
    plan.t0_ns += 12345;
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_OK);
    assert_string_equal(plan.session, first);
    /* Another name changes the stem, not the hash. */
    write_file(b, "some bytes of a file");
    assert_int_equal(fly_import_identify(&plan, &b, 1, &options), FLY_OK);
    assert_string_equal(plan.session + 4, first + 7);
    /* Another byte, and another fact in the start, change the hash. */
    write_file(b, "some bytes of a filf");
    assert_int_equal(fly_import_identify(&plan, &b, 1, &options), FLY_OK);
    assert_string_not_equal(plan.session + 4, first + 7);
    plan.start.pixel_nm[0] = plan.start.pixel_nm[1] = 2.0;
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_OK);
    assert_string_not_equal(plan.session, first);
    unlink(a);
    unlink(b);
    assert_int_equal(fly_import_identify(&plan, &a, 1, &options), FLY_EIO);
}

/* ---- messages
 * ------------------------------------------------------------------------------------- */

static void write_made(struct made *made, struct taken *taken, int expect)
{
    struct fly_import_options options = fly_import_options_default();
    struct fly_import *files[] = {&made->import};
    struct fly_import_sink sink = {take, taken};
    struct fly_import_plan plan;

    assert_int_equal(fly_import_plan(&plan, files, 1, &options), FLY_OK);
    strcpy(plan.session, "made-up");
    if (fly_import_write(&plan, &options, &sink) != expect)
        fail_msg("%s", fly_fail_text());
}

static void lines_too_large_for_a_message_come_in_blocks(void **state)
{
    struct taken *taken = calloc(1, sizeof *taken);
    struct made made;

    made_init(&made, "a", 2, 10);
    made_add_cube(&made, 64, 4);
    write_made(&made, taken, FLY_OK);
    assert_int_equal(taken->n_eds, 2 * 3);
    assert_int_equal(taken->photons[0], 2 * 10 * 3);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(taken->seen[0][i], 1);
        assert_int_equal(taken->cube[0][i * 64 + 63], 1);
        assert_int_equal(taken->cube[0][i * 64 + i % 10], 2);
    }
    taken_free(taken);
    free(made.counts);
}

static void text_from_files_is_made_valid(void **state)
{
    struct taken *taken = calloc(1, sizeof *taken);
    struct made made;

    made_init(&made, "dir/na\xffme.tif", 2, 2);
    strcpy(made.import.meta.sample, "ok \xce\xbc \xed\xa0\x80 \xc0\x80 \xf0\x9f\x94\xac \xce");
    write_made(&made, taken, FLY_OK);
    assert_string_equal(taken->source[0], "na?me.tif");
    assert_string_equal(taken->start.sample, "ok \xce\xbc ??? ?? \xf0\x9f\x94\xac ?");
    taken_free(taken);
}

static void facts_beyond_the_protocol_are_refused_before_anything_is_sent(void **state)
{
    struct taken *taken = calloc(1, sizeof *taken);
    struct made made;

    made_init(&made, "a", 2, 2);
    made.import.meta.pixel_nm[0] = made.import.meta.pixel_nm[1] = 1e12;
    write_made(&made, taken, FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "pixel_nm"));
    assert_int_equal(taken->n_start, 0);
    taken_free(taken);
}

static void a_sink_that_fails_ends_the_import_at_once(void **state)
{
    for (int at = 1; at <= 8; at++) { /* session, start, 2 lines, 2 eds, stop, end */
        struct taken *taken = calloc(1, sizeof *taken);
        struct made made;

        made_init(&made, "a", 2, 3);
        made_add_cube(&made, 64, 3);
        taken->fail_at = at;
        write_made(&made, taken, FLY_EIO);
        assert_int_equal(taken->n_put, at);
        taken_free(taken);
        free(made.counts);
    }
}

/* ---- recordings
 * ----------------------------------------------------------------------------------- */

static int record_made(struct made *made, const char *path, const char *session,
                       struct fly_import_options *options)
{
    struct fly_import *files[] = {&made->import};
    struct fly_import_plan plan;
    int rc = fly_import_plan(&plan, files, 1, options);

    assert_int_equal(rc, FLY_OK);
    strcpy(plan.session, session);
    return fly_import_record(&plan, options, path);
}

/* All records of a recording through the checks of the sink. */
static void take_recording(struct taken *taken, const char *path)
{
    struct fly_disk disk = fly_disk_system();
    struct fly_recording_info info;
    struct fly_recording *recording;
    struct fly_record record;
    int rc;

    if (fly_recording_open(&recording, path, &disk) < 0)
        fail_msg("%s", fly_fail_text());
    fly_recording_info(recording, &info);
    while ((rc = fly_recording_next(recording, &record)) == FLY_OK)
        assert_int_equal(take(taken, record.kind, record.t_ns, record.parts, record.n_parts),
                         FLY_OK);
    assert_int_equal(rc, FLY_EAGAIN);
    fly_recording_info(recording, &info);
    assert_true(info.finished);
    assert_int_equal(info.good_bytes, info.file_bytes);
    fly_recording_close(&recording);
    assert_int_equal(taken->n_stop, 1);
    assert_int_equal(taken->n_end, 1);
}

static void a_recording_read_back_is_what_was_sent(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    struct taken *sent = calloc(1, sizeof *sent), *read = calloc(1, sizeof *read);
    const char *path = in_scratch("made.fly");
    struct made made;

    made_init(&made, "a", 40, 300);
    made.import.images[0].frames = 3;
    made_add_cube(&made, 64, 300);
    write_made(&made, sent, FLY_OK);
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_OK);
    take_recording(read, path);
    assert_int_equal(read->n_lines, sent->n_lines);
    assert_memory_equal(read->image[0], sent->image[0], 3 * 40 * 300 * sizeof(double));
    assert_memory_equal(read->cube[0], sent->cube[0], 3 * 40 * 300 * 64 * sizeof(uint32_t));
    assert_memory_equal(read->seq, sent->seq, sizeof read->seq);
    assert_int_equal(read->t_last_ns, sent->t_last_ns);
    assert_int_equal(scratch_count(), 1);
    taken_free(sent);
    taken_free(read);
    free(made.counts);
    unlink(path);
}

static int interrupt(void *ctx, const char *what, double done)
{
    int *left = ctx;

    return --*left < 0;
}

static void a_failed_or_interrupted_import_leaves_nothing(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("torn.fly");
    struct made made;
    int left = 3;

    made_init(&made, "a", 10, 10);
    made.fail_line = 7;
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "torn at line 7"));
    assert_int_equal(scratch_count(), 0);
    made.fail_line = -1;
    options.tick = interrupt;
    options.tick_ctx = &left;
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_EAGAIN);
    assert_int_equal(scratch_count(), 0);
    options.tick = NULL;
    assert_true(record_made(&made, in_scratch("no/such/folder.fly"), "made-up", &options) < 0);
    assert_int_equal(scratch_count(), 0);
}

static void what_was_measured_is_never_overwritten(void **state)
{
    struct fly_import_options options = fly_import_options_default();
    const char *path = in_scratch("there.fly");
    struct stat before, after;
    struct made made;

    made_init(&made, "a", 2, 2);
    write_file(path, "something else");
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_ERANGE);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, 14);
    unlink(path);
    /* The same import may be made again, another may not take its place. */
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(record_made(&made, path, "another", &options), FLY_ERANGE);
    assert_int_equal(record_made(&made, path, "made-up", &options), FLY_OK);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_ino != before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    unlink(path);
    assert_int_equal(scratch_count(), 0);
}

/* ---- a process of its own
 * -------------------------------------------------------------------------- */

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
    for (volatile int i = 0;; i++)
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

/* ---- the command
 * ----------------------------------------------------------------------------------- */

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
    said->code = fly_cmd_import(argc, argv);
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
        if (said.code)
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
        cmocka_unit_test(counts_are_whole_numbers_of_32_bits),
        cmocka_unit_test(names_are_what_the_wire_takes),
        cmocka_unit_test(equal_names_are_told_apart_and_facts_come_together),
        cmocka_unit_test(times_that_would_run_backwards_are_mended),
        cmocka_unit_test(a_session_is_named_by_its_content_alone),
        cmocka_unit_test(lines_too_large_for_a_message_come_in_blocks),
        cmocka_unit_test(text_from_files_is_made_valid),
        cmocka_unit_test(facts_beyond_the_protocol_are_refused_before_anything_is_sent),
        cmocka_unit_test(a_sink_that_fails_ends_the_import_at_once),
        cmocka_unit_test(a_recording_read_back_is_what_was_sent),
        cmocka_unit_test(a_failed_or_interrupted_import_leaves_nothing),
        cmocka_unit_test(what_was_measured_is_never_overwritten),
        cmocka_unit_test(a_child_that_dies_takes_nobody_with_it),
        cmocka_unit_test(a_signal_is_passed_on_and_the_second_kills),
        cmocka_unit_test(a_child_that_gets_no_further_is_ended),
        cmocka_unit_test(wrong_usage_is_told_with_exit_code_2),
        cmocka_unit_test(a_missing_or_foreign_file_is_refused_with_exit_code_1),
        cmocka_unit_test(a_golden_case_becomes_a_session_with_all_its_events),
        cmocka_unit_test(the_default_place_is_a_folder_made_for_it),
        cmocka_unit_test(the_real_themis_file_is_reported_exactly),
        cmocka_unit_test(damaged_real_files_never_take_the_command_down),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
