/* A sink that takes an import's messages as a plugin would: every one must pass the wire's own
 * checks, every stream must count from 1 without a gap, time must not run backwards. Pixels and
 * photons are put together again for comparison. Only for tests: failures end the test.
 */
#ifndef FLY_TEST_IMPORT_SINK_H
#define FLY_TEST_IMPORT_SINK_H

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/npy.h"
#include "sim/import.h"
#include "sim/import_apart.h"
#include "stream/disk.h"

struct taken {
    struct fly_start start;
    char session[FLY_SESSION_MAX + 1];
    int64_t frames;
    int n_session, n_start, n_stop, n_end, n_lines, n_eds;
    int n_layout[3];
    uint64_t seq[FLY_STREAMS_MAX];
    int64_t stop_count[FLY_STREAMS_MAX];
    int64_t t_first_ns, t_last_ns;
    double *image[FLY_DETECTORS_MAX];      /* (frames, H, W), NaN: never came */
    uint32_t *cube[FLY_SEGMENTS_MAX];      /* (frames, H, W, channels) */
    unsigned char *seen[FLY_SEGMENTS_MAX]; /* (frames, H, W) messages that covered it */
    uint64_t photons[FLY_SEGMENTS_MAX], outside[FLY_SEGMENTS_MAX];
    double live_us[FLY_SEGMENTS_MAX], real_us[FLY_SEGMENTS_MAX];
    char source[FLY_IMPORT_FILES_MAX][64];
    int32_t n_source;
    int fail_at; /* put refuses its n-th message; 0: never */
    int n_put;
};

static inline void taken_free(struct taken *taken)
{
    for (int i = 0; i < FLY_DETECTORS_MAX; i++)
        free(taken->image[i]);
    for (int i = 0; i < FLY_SEGMENTS_MAX; i++) {
        free(taken->cube[i]);
        free(taken->seen[i]);
    }
    free(taken);
}

static inline double pixel_value(enum fly_dtype dtype, const void *bytes, size_t i)
{
    const unsigned char *at = (const unsigned char *)bytes + i * fly_dtype_size(dtype);
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        int16_t i16;
        int32_t i32;
        float f32;
        double f64;
    } v;

    memcpy(&v, at, fly_dtype_size(dtype));
    switch (dtype) {
    case FLY_U8:
        return v.u8;
    case FLY_U16:
        return v.u16;
    case FLY_U32:
        return v.u32;
    case FLY_I16:
        return v.i16;
    case FLY_I32:
        return v.i32;
    case FLY_F32:
        return (double)v.f32;
    default:
        return v.f64;
    }
}

static inline void take_start(struct taken *taken)
{
    size_t pixels = (size_t)taken->start.height_px * (size_t)taken->start.width_px;

    taken->frames = taken->start.frames_planned;
    assert_true(taken->frames >= 1);
    for (int32_t i = 0; i < taken->start.n_detectors; i++) {
        taken->image[i] = malloc((size_t)taken->frames * pixels * sizeof(double));
        assert_non_null(taken->image[i]);
        for (size_t k = 0; k < (size_t)taken->frames * pixels; k++)
            taken->image[i][k] = NAN;
    }
    for (int32_t i = 0; i < taken->start.n_segments; i++) {
        size_t channels = (size_t)taken->start.segments[i].n_channels;

        taken->cube[i] = calloc((size_t)taken->frames * pixels * channels, sizeof(uint32_t));
        taken->seen[i] = calloc((size_t)taken->frames * pixels, 1);
        assert_non_null(taken->cube[i]);
        assert_non_null(taken->seen[i]);
    }
}

static inline size_t pixel_index(const struct taken *taken, const struct fly_ingest *msg, size_t k)
{
    size_t y = (size_t)msg->y0 + k / (size_t)msg->w, x = (size_t)msg->x0 + k % (size_t)msg->w;

    return ((size_t)msg->frame * (size_t)taken->start.height_px + y) *
               (size_t)taken->start.width_px +
           x;
}

static inline void take_photon(struct taken *taken, int32_t s, const struct fly_ingest *msg,
                               size_t pixel, uint32_t channel, uint32_t n)
{
    uint32_t channels = (uint32_t)taken->start.segments[s].n_channels;

    taken->photons[s] += n;
    if (channel >= channels)
        taken->outside[s] += n;
    else
        taken->cube[s][pixel_index(taken, msg, pixel) * channels + channel] += n;
}

static inline void take_eds(struct taken *taken, const struct fly_ingest *msg)
{
    int32_t s = msg->stream_idx - 1 - taken->start.n_detectors;
    size_t pixels = (size_t)msg->h * (size_t)msg->w;
    const uint32_t *first = msg->payload[0].bytes;
    const uint16_t *channel = msg->payload[1].bytes;

    assert_in_range(msg->layout, 0, 2);
    taken->n_layout[msg->layout]++;
    for (size_t k = 0; k < pixels; k++)
        taken->seen[s][pixel_index(taken, msg, k)]++;
    if (msg->layout == 0) {
        size_t channels = (size_t)taken->start.segments[s].n_channels;

        assert_int_equal(msg->dtype, FLY_U32);
        for (size_t i = 0; i < pixels * channels; i++)
            take_photon(taken, s, msg, i / channels, (uint32_t)(i % channels), first[i]);
    } else if (msg->layout == 1) {
        for (size_t k = 0; k < pixels; k++)
            for (uint32_t i = first[k]; i < first[k + 1]; i++)
                take_photon(taken, s, msg, k, channel[i], 1);
    } else {
        for (int64_t i = 0; i < msg->photons; i++)
            take_photon(taken, s, msg, first[i], channel[i], 1);
    }
    taken->live_us[s] += msg->live_time_us;
    taken->real_us[s] += msg->real_time_us;
}

static inline void take_session(struct taken *taken, const struct fly_part *part)
{
    struct fly_value root = fly_value_root(part->bytes, part->len), value, name;
    struct fly_value_iter it = {0};
    const char *text;
    size_t len;
    int imported = 0;

    assert_int_equal(fly_wire_scan(part->bytes, part->len), FLY_REFUSE_NONE);
    assert_true(fly_value_get(root, "imported", &value) && fly_value_bool(value, &imported) &&
                imported);
    assert_true(fly_value_get(root, "flyback_version", &value));
    assert_true(fly_value_get(root, "session", &value) && fly_value_str(value, &text, &len));
    memcpy(taken->session, text, len);
    assert_true(fly_value_get(root, "source", &value));
    while (fly_value_next(value, &it, NULL, &name)) {
        assert_true(fly_value_str(name, &text, &len) && len < sizeof *taken->source);
        memcpy(taken->source[taken->n_source++], text, len);
    }
}

static inline int take(void *ctx, enum fly_record_kind kind, int64_t t_ns,
                       const struct fly_part *parts, int32_t n_parts)
{
    struct taken *taken = ctx;
    struct fly_session_view open = {.session = taken->n_start ? taken->session : NULL,
                                    .start = &taken->start,
                                    .stopped = taken->n_stop > 0};
    struct fly_ingest msg;

    if (++taken->n_put == taken->fail_at)
        return fly_fail(FLY_EIO, "the disk of this test is full");
    if (kind == FLY_REC_SESSION) {
        assert_int_equal(taken->n_put, 1);
        taken->n_session++;
        take_session(taken, &parts[0]);
        return FLY_OK;
    }
    assert_int_equal(taken->n_session, 1);
    assert_int_equal(taken->n_end, 0);
    if (kind == FLY_REC_END) {
        assert_int_equal(taken->n_stop, 1);
        taken->n_end++;
        return FLY_OK;
    }
    assert_int_equal(kind, FLY_REC_INGEST);
    memset(&msg, 0, sizeof msg);
    if (fly_ingest_decode(&msg, &taken->start, parts, n_parts, &open) != FLY_REFUSE_NONE)
        fail_msg("message %d refused: %s", taken->n_put, fly_fail_text());
    assert_string_equal(msg.session, taken->session);
    assert_int_equal(msg.t_ns, t_ns);
    if (taken->n_start)
        assert_true(t_ns >= taken->t_last_ns);
    else
        taken->t_first_ns = t_ns;
    taken->t_last_ns = t_ns;
    assert_int_equal(msg.seq, taken->seq[msg.stream_idx] + 1);
    taken->seq[msg.stream_idx] = msg.seq;
    if (msg.type == FLY_INGEST_START) {
        taken->n_start++;
        take_start(taken);
    } else if (msg.type == FLY_INGEST_LINES) {
        taken->n_lines++;
        for (size_t k = 0; k < (size_t)msg.h * (size_t)msg.w; k++) {
            double *to = &taken->image[msg.stream_idx - 1][pixel_index(taken, &msg, k)];

            assert_true(isnan(*to));
            *to = pixel_value(msg.dtype, msg.payload[0].bytes, k);
        }
    } else if (msg.type == FLY_INGEST_EDS) {
        taken->n_eds++;
        take_eds(taken, &msg);
    } else {
        assert_int_equal(msg.type, FLY_INGEST_STOP);
        assert_string_equal(msg.exit_status, "success");
        memcpy(taken->stop_count, msg.count, sizeof msg.count);
        taken->n_stop++;
    }
    return FLY_OK;
}

/* Import files through the sink; the files stay open until import_end. */
struct imported {
    struct fly_import *files[FLY_IMPORT_FILES_MAX];
    int32_t n_files;
    struct taken *taken;
};

static inline void import_end(struct imported *imported)
{
    for (int32_t i = 0; i < imported->n_files; i++) {
        fly_import_close(imported->files[i]);
        free(imported->files[i]);
    }
    if (imported->taken)
        taken_free(imported->taken);
    memset(imported, 0, sizeof *imported);
}

/* Open, plan, name and send; FLY_OK or the first error. */
static inline int import_try(struct imported *imported, const char *const *paths, int32_t n_paths,
                             const struct fly_import_options *options, int fail_at)
{
    struct fly_import_options plain = fly_import_options_default();
    struct fly_import_plan plan;
    struct fly_import_sink sink = {take, NULL};
    int rc = FLY_OK;

    memset(imported, 0, sizeof *imported);
    if (options)
        plain = *options;
    for (int32_t i = 0; i < n_paths && rc == FLY_OK; i++) {
        struct fly_import *file = malloc(sizeof *file);

        rc = fly_import_open(file, paths[i], 0, &plain);
        if (rc < 0) {
            free(file);
            break;
        }
        imported->files[imported->n_files++] = file;
        if (file->n_images) {
            plain.image_px[0] = file->images[0].height_px;
            plain.image_px[1] = file->images[0].width_px;
        }
    }
    if (rc == FLY_OK)
        rc = fly_import_plan(&plan, imported->files, imported->n_files, &plain);
    if (rc == FLY_OK)
        rc = fly_import_identify(&plan, paths, n_paths, &plain);
    if (rc == FLY_OK) {
        imported->taken = calloc(1, sizeof *imported->taken);
        imported->taken->fail_at = fail_at;
        sink.ctx = imported->taken;
        rc = fly_import_write(&plan, &plain, &sink);
    }
    return rc;
}

/* The whole import works, and the session is well formed from its first record to its last. */
static inline void import_all(struct imported *imported, const char *const *paths, int32_t n_paths,
                              const struct fly_import_options *options)
{
    struct taken *taken;

    if (import_try(imported, paths, n_paths, options, 0) < 0)
        fail_msg("%s", fly_fail_text());
    taken = imported->taken;
    assert_int_equal(taken->n_start, 1);
    assert_int_equal(taken->n_stop, 1);
    assert_int_equal(taken->n_end, 1);
    for (int32_t i = 1; i <= taken->start.n_detectors + taken->start.n_segments; i++)
        assert_int_equal(taken->stop_count[i], taken->seq[i]);
    assert_int_equal(taken->n_source, n_paths);
}

/* The import is refused with this code, in words that hold `says`. */
static inline void import_refused(const char *path, const struct fly_import_options *options,
                                  int code, const char *says)
{
    struct imported imported;
    int rc = import_try(&imported, &path, 1, options, 0);

    import_end(&imported);
    if (rc != code || !strstr(fly_fail_text(), says))
        fail_msg("%s: %s, not %s with '%s': %s", path, fly_err_name(rc), fly_err_name(code), says,
                 rc < 0 ? fly_fail_text() : "");
    assert_non_null(strstr(fly_fail_text(), strrchr(path, '/') ? strrchr(path, '/') + 1 : path));
}

/* All records of a recording through the checks of the sink. */
static inline void take_recording(struct taken *taken, const char *path)
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

static inline int32_t segment_of(const struct taken *taken, const char *name)
{
    for (int32_t i = 0; i < taken->start.n_segments; i++)
        if (strcmp(taken->start.segments[i].name, name) == 0)
            return i;
    fail_msg("no segment %s", name);
    return -1;
}

static inline int32_t detector_of(const struct taken *taken, const char *name)
{
    for (int32_t i = 0; i < taken->start.n_detectors; i++)
        if (strcmp(taken->start.detectors[i].name, name) == 0)
            return i;
    fail_msg("no detector %s", name);
    return -1;
}

/* ---- truth from .npy ------------------------------------------------------------------------ */

static inline double npy_value(const struct fly_npy *npy, size_t i)
{
    const unsigned char *at = (const unsigned char *)npy->data + i * fly_npy_type_size(npy->type);
    int64_t i64;
    uint64_t u64;

    switch (npy->type) {
    case FLY_NPY_I64:
        memcpy(&i64, at, sizeof i64);
        return (double)i64;
    case FLY_NPY_U64:
        memcpy(&u64, at, sizeof u64);
        return (double)u64;
    case FLY_NPY_BOOL:
        return *at;
    case FLY_NPY_I8:
        return *(const signed char *)at;
    default:
        return pixel_value((enum fly_dtype)npy->type, at, 0);
    }
}

/* All pixels of all frames of an image, and no more. */
static inline void assert_image(const struct taken *taken, const char *detector, const char *path)
{
    const double *image = taken->image[detector_of(taken, detector)];
    size_t pixels = (size_t)taken->start.height_px * (size_t)taken->start.width_px;
    unsigned char *bytes;
    struct fly_npy npy;
    size_t len;

    assert_int_equal(fly_file_read(path, (size_t)1 << 30, &bytes, &len), FLY_OK);
    assert_int_equal(fly_npy_view(&npy, bytes, len, path), FLY_OK);
    assert_int_equal((size_t)npy.items % pixels, 0);
    for (size_t i = 0; i < (size_t)npy.items; i++)
        if (image[i] != npy_value(&npy, i))
            fail_msg("%s pixel %zu: %g, in the file %g", detector, i, image[i], npy_value(&npy, i));
    for (size_t i = (size_t)npy.items; i < (size_t)taken->frames * pixels; i++)
        assert_true(isnan(image[i]));
    free(bytes);
}

/* All counts of a segment, channel by channel. */
static inline void assert_cube(const struct taken *taken, const char *segment, const char *path)
{
    int32_t s = segment_of(taken, segment);
    size_t pixels = (size_t)taken->start.height_px * (size_t)taken->start.width_px;
    size_t items = (size_t)taken->frames * pixels * (size_t)taken->start.segments[s].n_channels;
    unsigned char *bytes;
    struct fly_npy npy;
    size_t len;

    assert_int_equal(fly_file_read(path, (size_t)1 << 30, &bytes, &len), FLY_OK);
    assert_int_equal(fly_npy_view(&npy, bytes, len, path), FLY_OK);
    assert_true((size_t)npy.items <= items);
    for (size_t i = 0; i < items; i++) {
        double truth = i < (size_t)npy.items ? npy_value(&npy, i) : 0.0;

        if ((double)taken->cube[s][i] != truth)
            fail_msg("%s item %zu: %u, in the file %g", segment, i, taken->cube[s][i], truth);
    }
    free(bytes);
}

/* ---- folders and programs ------------------------------------------------------------------- */

static char scratch[256]; /* this program's own folder */

static inline int scratch_make(void **state)
{
    const char *base = getenv("TMPDIR");

    snprintf(scratch, sizeof scratch, "%s/flyback-import-XXXXXX", base ? base : "/tmp");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_remove(void **state)
{
    DIR *dir = opendir(scratch);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        char path[600];

        snprintf(path, sizeof path, "%s/%s", scratch, entry->d_name);
        unlink(path);
        rmdir(path);
    }
    if (dir)
        closedir(dir);
    return rmdir(scratch);
}

/* A file of this text. */
static inline void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static inline int scratch_count(void)
{
    DIR *dir = opendir(scratch);
    int n = 0;

    if (!dir)
        fail_msg("%s: %s", scratch, strerror(errno));
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

/* Four names live at a time. */
static inline const char *in_scratch(const char *name)
{
    static char path[4][512];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof *path, "%s/%s", scratch, name);
    return path[next];
}

static inline const char *in_shared(const char *name)
{
    static char path[4][512];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof *path, "%s/data/%s", FLY_SHARED_DIR, name);
    return path[next];
}

/* Let python write its files into scratch; option may be NULL. Returns 77 when python, or a module that
 * the script needs, is not there; 1 when the script failed. */
static inline int run_python_with(const char *script, const char *option)
{
    char path[512];
    int status;
    pid_t child;

    snprintf(path, sizeof path, "%s/support/%s", FLY_TEST_DIR, script);
    child = fork();
    if (child == 0) {
        unsetenv("LD_PRELOAD");
        execl("/usr/bin/python3", "python3", path, scratch, option, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    if (WEXITSTATUS(status) == 0)
        return 0;
    /* Only what is absent is no failure: a script that ended otherwise found, or has, a fault. */
    if (WEXITSTATUS(status) != 77 && system("/usr/bin/python3 -c 'import numpy, h5py' 2>/dev/null") == 0) {
        printf("FAILED: %s %s ended with %d\n", script, option ? option : "", WEXITSTATUS(status));
        return 1;
    }
    printf("NOT RUN: %s %s needs a Python package that is absent\n", script, option ? option : "");
    return 77;
}

static inline int run_python(const char *script)
{
    return run_python_with(script, NULL);
}

/* ---- damaged files -------------------------------------------------------------------------- */

static inline void tell_where(int signal)
{
    void *frames[32];

    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    _exit(99);
}

/* Whose crash? The innermost frame of the report that lies in libhdf5 or in this program tells:
 * libhdf5 has faults of its own, which fly_import_apart contains. Reports are tell_where's, whose
 * first frame is tell_where itself, or AddressSanitizer's, whose lines begin with "#". Who ruined a
 * heap that the C library complains of later only AddressSanitizer can tell: without it that counts
 * as libhdf5's. */
static inline int crashed_in_hdf5(const char *report)
{
    FILE *file = fopen(report, "r");
    char line[1024];
    int verdict = -1, skip = 1;

    assert_non_null(file);
    while (verdict < 0 && fgets(line, sizeof line, file)) {
        int ours = strstr(line, "unit.sim") || strstr(line, "/sim/");

        if (strstr(line, "libhdf5") || strncmp(line, "free(): ", 8) == 0 ||
            strncmp(line, "malloc", 6) == 0 || strncmp(line, "corrupted ", 10) == 0 ||
            strncmp(line, "double free", 11) == 0)
            verdict = 1;
        else if (ours && (strstr(line, "    #") || !skip))
            verdict = 0;
        else if (ours)
            skip = 0;
    }
    if (verdict != 1) {
        rewind(file);
        while (fgets(line, sizeof line, file))
            print_error("%s", line);
    }
    fclose(file);
    return verdict == 1;
}

/* Import a file in a child. 0 imported, 1 refused, 2 libhdf5 crashed or never came back; our own
 * crash fails the test. */
static inline int import_apart(const char *path)
{
    char report[512];
    int status;
    pid_t child;

    snprintf(report, sizeof report, "%s/report", scratch);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        static char stack[1 << 16]; /* a crash may be one of endless recursion */
        const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGPROF};
        struct sigaction act = {.sa_handler = tell_where, .sa_flags = SA_ONSTACK};
        int fd = open(report, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        struct imported imported;
        void *frame;
        int rc;

        dup2(fd, STDERR_FILENO);
        (void)backtrace(&frame, 1); /* the first call takes memory, which a crash may have ruined */
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
        for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
            sigaction(fatal[i], &act, NULL);
        fly_import_alive(5);
        rc = import_try(&imported, &path, 1, NULL, 0);
        import_end(&imported);
        _exit(rc < 0 ? 11 : 10); /* 1 is AddressSanitizer's */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 10 || WEXITSTATUS(status) == 11))
        return WEXITSTATUS(status) - 10;
    assert_true(crashed_in_hdf5(report));
    return 2;
}

/* Flip one bit at a time, at every step-th byte. Whatever comes: no crash of ours. */
static inline void import_damaged(const char *whole, int rounds, size_t step)
{
    unsigned char *bytes;
    char path[512];
    int ends[3] = {0};
    size_t len;

    snprintf(path, sizeof path, "%s/damaged_bytes", scratch);
    assert_int_equal(fly_file_read(whole, 1 << 24, &bytes, &len), FLY_OK);
    for (int i = 0; i < rounds; i++) {
        size_t at = (size_t)i * step % len;
        FILE *file = fopen(path, "wb");

        bytes[at] ^= (unsigned char)(1 << i % 8);
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, len, file), len);
        fclose(file);
        ends[import_apart(path)]++;
        bytes[at] ^= (unsigned char)(1 << i % 8);
    }
    free(bytes);
    unlink(path);
    printf("%d files with a flipped bit: %d imported, %d refused, %d crash or hang libhdf5\n",
           rounds, ends[0], ends[1], ends[2]);
    assert_true(ends[1] > 0);
}

#endif
