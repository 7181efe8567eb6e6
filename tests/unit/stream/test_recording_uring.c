/* io_uring, its absence, real disks, and writers that are killed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "stream/recording_format.h"
#include "tests/support/records.h"

enum { COUNT = 3000 };

/* From here on this process gets `said` from a system call. */
static int forbid(int call, int said)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)said),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Write COUNT samples, synced at close alone so that no record knows of another's sync. Returns whether
 * io_uring wrote them, or -1. */
static int write_samples(const char *path, int writers)
{
    struct fly_recorder_config config = records_config(path, NULL);
    struct fly_recorder *recorder = NULL;
    struct fly_recorder_status status;

    config.sync_ms = 10000;
    config.ring_bytes = 64 << 20;
    config.writers = writers;
    if (fly_recorder_open(&recorder, &config, 0) < 0)
        return -1;
    for (uint64_t ticket = 1; ticket <= COUNT; ticket++)
        if (sample_append(recorder, ticket, RECORDS_PART_MAX) != FLY_OK)
            return -1;
    fly_recorder_status(recorder, &status);
    return fly_recorder_close(&recorder) == FLY_OK ? status.uring : -1;
}

/* The same in a child that may not use a system call; its answer. */
static int write_samples_without(const char *path, int call, int said)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(forbid(call, said) ? 1 + write_samples(path, 0) : 99);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) - 1 : -2;
}

static void check_same_file(const char *a, const char *b)
{
    unsigned char *bytes_a = NULL, *bytes_b = NULL;
    size_t len_a = 0, len_b = 0;

    assert_int_equal(fly_file_read(a, 1 << 28, &bytes_a, &len_a), FLY_OK);
    assert_int_equal(fly_file_read(b, 1 << 28, &bytes_b, &len_b), FLY_OK);
    assert_int_equal(len_a, len_b);
    assert_int_equal(memcmp(bytes_a, bytes_b, len_a), 0);
    free(bytes_a);
    free(bytes_b);
}

static void the_bytes_are_the_same_with_and_without_io_uring(void **state)
{
    static const char *const names[] = {"pwrite", "uring", "eperm", "enosys", "enter"};
    char dir[64], path[5][128];

    folder_make(dir);
    for (int i = 0; i < 5; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", dir, names[i]);
    assert_int_equal(write_samples(path[0], 1), 0);
    assert_int_equal(records_count(path[0], NULL, RECORDS_PART_MAX, NULL), COUNT);

    assert_int_equal(write_samples_without(path[2], SYS_io_uring_setup, EPERM), 0);
    check_same_file(path[0], path[2]);
    assert_int_equal(write_samples_without(path[3], SYS_io_uring_setup, ENOSYS), 0);
    check_same_file(path[0], path[3]);
    /* A sandbox that allows the set-up and then refuses to enter the ring. */
    assert_int_equal(write_samples_without(path[4], SYS_io_uring_enter, EPERM), 0);
    check_same_file(path[0], path[4]);

    if (write_samples(path[1], 0) == 1)
        check_same_file(path[0], path[1]);
    else
        print_message("NOT RUN: this kernel gives us no io_uring\n");
    folder_remove(dir, names, 5);
}

static void a_new_file_must_not_exist_and_is_ours_alone(void **state)
{
    struct fly_recorder_config config;
    struct fly_recorder *first = NULL, *second = NULL;
    char dir[64], path[128];
    struct stat about;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/a.fly", dir);
    config = records_config(path, NULL);
    assert_int_equal(fly_recorder_open(&first, &config, 0), FLY_OK);
    assert_int_equal(fly_recorder_open(&second, &config, 0), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), strerror(EEXIST)));
    assert_int_equal(fly_recorder_open(&second, &config, 1), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "another process"));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777 & ~0644, 0);
    assert_int_equal(fly_recorder_close(&first), FLY_OK);
    assert_int_equal(fly_recorder_open(&second, &config, 1), FLY_OK);
    assert_int_equal(fly_recorder_close(&second), FLY_OK);
    assert_int_equal(fly_recorder_close(&second), FLY_OK); /* closed already: nothing to do */
    folder_remove(dir, (const char *[]){"a.fly"}, 1);
}

/* The kernel's own refusal, by a limit on the size of files: several writes are in flight when the first
 * of them fails, and none behind it may stay in the file. */
static void a_limit_met_by_writes_in_flight_leaves_a_prefix(void **state)
{
    char dir[64], path[128];
    int status;
    int64_t count;
    pid_t child;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/a.fly", dir);
    child = fork();
    if (child == 0) {
        struct rlimit limit = {3000000, RLIM_INFINITY};
        struct fly_recorder_config config = records_config(path, NULL);
        struct fly_recorder *recorder = NULL;
        struct fly_recorder_status seen;
        uint64_t ticket = 1;

        config.ring_bytes = 64 << 20;
        config.sync_ms = 100;
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || fly_recorder_open(&recorder, &config, 0) < 0)
            _exit(1);
        for (; ticket <= COUNT; ticket++)
            if (sample_append(recorder, ticket, RECORDS_PART_MAX) != FLY_OK)
                _exit(2);
        do
            fly_recorder_status(recorder, &seen);
        while (seen.state != FLY_RECORDER_BEHIND);
        if (!strstr(seen.error, strerror(EFBIG)))
            _exit(3);
        limit.rlim_cur = RLIM_INFINITY;
        if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || fly_recorder_wait(recorder, COUNT, 20000) != FLY_OK)
            _exit(4);
        _exit(fly_recorder_close(&recorder) == FLY_OK ? 0 : 5);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    count = records_count(path, NULL, RECORDS_PART_MAX, NULL);
    assert_int_equal(count, COUNT);
    folder_remove(dir, (const char *[]){"a.fly"}, 1);
}

/* Append from where the file ends for ever, and say on the pipe what is durable. */
static void write_until_killed(const char *path, int pipe_fd, int append, int writers)
{
    struct fly_recorder_config config = records_config(path, NULL);
    struct fly_recorder *recorder = NULL;
    struct fly_recorder_status status;
    uint64_t said, ticket;

    config.sync_ms = 1;
    config.writers = writers;
    if (fly_recorder_open(&recorder, &config, append) < 0)
        _exit(1);
    fly_recorder_status(recorder, &status);
    said = status.durable; /* no news */
    for (ticket = status.appended + 1;;) {
        uint64_t durable;
        int rc = sample_append(recorder, ticket, RECORDS_PART_MAX);

        if (rc == FLY_OK)
            ticket++;
        else if (rc != FLY_EAGAIN)
            _exit(2);
        durable = fly_recorder_durable(recorder);
        if (durable > said && write(pipe_fd, &durable, sizeof durable) != sizeof durable)
            _exit(3);
        said = durable;
    }
}

static void a_killed_writer_loses_nothing_that_it_called_durable(void **state)
{
    enum { KILLS = 24 };
    struct fly_rng rng = {3};
    char dir[64], path[128];
    int64_t before = 0;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/a.fly", dir);
    for (int kill_nr = 0; kill_nr < KILLS; kill_nr++) {
        uint64_t said = 0, words = 1 + fly_rng_below(&rng, 12);
        int64_t count;
        int ends[2];
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        child = fork();
        if (child == 0) {
            close(ends[0]);
            write_until_killed(path, ends[1], kill_nr > 0, kill_nr % 2);
        }
        close(ends[1]);
        /* Killed while it works: after some news of durable records, whenever that is. */
        for (uint64_t i = 0; i < words; i++)
            assert_int_equal(read(ends[0], &said, sizeof said), sizeof said);
        kill(child, SIGKILL);
        while (read(ends[0], &said, sizeof said) == sizeof said)
            ; /* what it still said before it died counts */
        waitpid(child, NULL, 0);
        close(ends[0]);
        count = records_count(path, NULL, RECORDS_PART_MAX, NULL);
        assert_true(count >= (int64_t)said);
        assert_true(count > before);
        before = count;
    }
    folder_remove(dir, (const char *[]){"a.fly"}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_the_same_with_and_without_io_uring),
        cmocka_unit_test(a_new_file_must_not_exist_and_is_ours_alone),
        cmocka_unit_test(a_limit_met_by_writes_in_flight_leaves_a_prefix),
        cmocka_unit_test(a_killed_writer_loses_nothing_that_it_called_durable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
