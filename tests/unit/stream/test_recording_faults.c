/* What a recorder makes of disks that fill, stall, fail and lose power. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/eventfd.h>

#include "stream/recording_format.h"
#include "tests/support/fault_disk.h"
#include "tests/support/records.h"

enum { LEN_MAX = 200 };

struct world {
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder;
};

static void world_open(struct world *world)
{
    fault_init(&world->disk);
    world->table = fault_table(&world->disk);
    world->config = records_config("mem", &world->table);
    world->recorder = NULL;
    assert_int_equal(fly_recorder_open(&world->recorder, &world->config, 0), FLY_OK);
}

static struct fly_recorder_status status_of(const struct world *world)
{
    struct fly_recorder_status status;

    fly_recorder_status(world->recorder, &status);
    return status;
}

static void append_samples(struct world *world, uint64_t first, uint64_t last)
{
    for (uint64_t ticket = first; ticket <= last; ticket++)
        assert_int_equal(sample_append(world->recorder, ticket, LEN_MAX), FLY_OK);
}

static void a_full_disk_is_told_and_recording_goes_on_when_there_is_room(void **state)
{
    struct world world;
    struct fly_recorder_status status;

    world_open(&world);
    append_samples(&world, 1, 20);
    assert_int_equal(fly_recorder_wait(world.recorder, 20, 10000), FLY_OK);

    fault_lock(&world.disk);
    world.disk.space = (int64_t)world.disk.file.len + 1000; /* a record or two, and a piece of the next */
    fault_unlock(&world.disk);
    append_samples(&world, 21, 60);
    fault_wait_refused(&world.disk, 2); /* tried again */
    status = status_of(&world);
    assert_int_equal(status.state, FLY_RECORDER_BEHIND);
    assert_non_null(strstr(status.error, strerror(ENOSPC)));
    assert_int_equal(status.durable, 20);
    assert_int_equal(status.appended, 60);
    assert_int_equal(fly_recorder_wait(world.recorder, 60, 0), FLY_EAGAIN);

    fault_lock(&world.disk);
    world.disk.space = -1;
    fault_unlock(&world.disk);
    assert_int_equal(fly_recorder_wait(world.recorder, 60, 10000), FLY_OK);
    status = status_of(&world);
    assert_int_equal(status.state, FLY_RECORDER_OK);
    assert_string_equal(status.error, "");
    assert_int_equal(status.dropped, 0);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    assert_int_equal(records_count("mem", &world.table, LEN_MAX, NULL), 60);
    fault_fini(&world.disk);
}

static void a_disk_full_at_close_is_an_error_and_the_file_a_prefix(void **state)
{
    struct world world;
    int64_t count;

    world_open(&world);
    append_samples(&world, 1, 20);
    assert_int_equal(fly_recorder_wait(world.recorder, 20, 10000), FLY_OK);
    fault_lock(&world.disk);
    world.disk.space = (int64_t)world.disk.file.len + 1000;
    fault_unlock(&world.disk);
    append_samples(&world, 21, 60);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "records after 20 of 60"));
    assert_null(world.recorder);
    count = records_count("mem", &world.table, LEN_MAX, NULL);
    assert_true(count >= 20 && count < 60);
    fault_fini(&world.disk);
}

static void short_writes_are_gone_on_with(void **state)
{
    struct world world;

    world_open(&world);
    fault_lock(&world.disk);
    world.disk.write_max = 17;
    fault_unlock(&world.disk);
    append_samples(&world, 1, 100);
    assert_int_equal(fly_recorder_wait(world.recorder, 100, 10000), FLY_OK);
    fault_lock(&world.disk);
    world.disk.write_max = 0;
    fault_unlock(&world.disk);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    assert_int_equal(records_count("mem", &world.table, LEN_MAX, NULL), 100);
    fault_fini(&world.disk);
}

static void a_failed_sync_is_final_and_durable_stands_still(void **state)
{
    struct world world;
    struct fly_recorder_status status;

    world_open(&world);
    append_samples(&world, 1, 10);
    assert_int_equal(fly_recorder_wait(world.recorder, 10, 10000), FLY_OK);
    fault_lock(&world.disk);
    world.disk.sync_error = EIO;
    fault_unlock(&world.disk);
    append_samples(&world, 11, 20);
    assert_int_equal(fly_recorder_wait(world.recorder, 20, 10000), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), strerror(EIO)));

    /* A disk that syncs again proves nothing about the pages it lost. */
    fault_lock(&world.disk);
    world.disk.sync_error = 0;
    fault_unlock(&world.disk);
    assert_int_equal(sample_append(world.recorder, 21, LEN_MAX), FLY_EAGAIN);
    status = status_of(&world);
    assert_int_equal(status.state, FLY_RECORDER_FAILED);
    assert_int_equal(status.durable, 10);
    assert_int_equal(status.dropped, 1);
    assert_non_null(strstr(status.error, "fdatasync"));
    assert_int_equal(fly_recorder_wait(world.recorder, 10, 0), FLY_OK);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_EIO);
    assert_true(records_count("mem", &world.table, LEN_MAX, NULL) >= 10);
    fault_fini(&world.disk);
}

static void a_stuck_disk_costs_records_and_nobody_waits(void **state)
{
    struct world world;
    struct fly_recorder_status status;
    uint64_t taken = 0, after;
    int refused = 0;

    world_open(&world);
    fault_lock(&world.disk);
    world.disk.stalled = 1;
    fault_unlock(&world.disk);
    while (refused < 100) {
        int rc = sample_append(world.recorder, taken + 1, RECORDS_PART_MAX);

        if (rc == FLY_OK) {
            taken++;
        } else {
            assert_int_equal(rc, FLY_EAGAIN);
            refused++;
        }
    }
    fault_wait_stalled(&world.disk);
    status = status_of(&world);
    assert_int_equal(status.state, FLY_RECORDER_BEHIND);
    assert_int_equal(status.dropped, 100);
    assert_int_equal(status.appended, taken);
    assert_int_equal(status.durable, 0);
    assert_true(status.bytes_appended <= FLY_FILE_HEAD + world.config.ring_bytes);

    fault_lock(&world.disk);
    world.disk.stalled = 0;
    fault_unlock(&world.disk);
    assert_int_equal(fly_recorder_wait(world.recorder, taken, 10000), FLY_OK);
    status = status_of(&world);
    assert_int_equal(status.state, FLY_RECORDER_OK);
    assert_int_equal(status.bytes_durable, status.bytes_appended);
    after = taken + 1; /* numbers go on without a hole: a refused record took none */
    assert_int_equal(sample_append(world.recorder, after, RECORDS_PART_MAX), FLY_OK);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    assert_int_equal(records_count("mem", &world.table, RECORDS_PART_MAX, NULL), after);
    fault_fini(&world.disk);
}

static void what_can_never_fit_is_told_apart_from_what_may_later(void **state)
{
    struct world world;
    static unsigned char bytes[1 << 20];
    struct fly_part parts[9] = {{bytes, (1 << 19) - FLY_RECORD_HEAD}};
    uint64_t ticket;

    world_open(&world);
    assert_int_equal(fly_recorder_append(world.recorder, FLY_REC_INGEST, 0, parts, 1, &ticket), FLY_OK);
    parts[0].len++;
    assert_int_equal(fly_recorder_append(world.recorder, FLY_REC_INGEST, 0, parts, 1, &ticket), FLY_ERANGE);
    parts[0].len = FLY_PAYLOAD_MAX + 1;
    assert_int_equal(fly_recorder_append(world.recorder, FLY_REC_INGEST, 0, parts, 1, &ticket), FLY_ERANGE);
    parts[0].len = 0;
    assert_int_equal(fly_recorder_append(world.recorder, FLY_REC_INGEST, 0, parts, 9, &ticket), FLY_ERANGE);
    assert_int_equal(status_of(&world).dropped, 0);
    assert_int_equal(status_of(&world).appended, 1);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    fault_fini(&world.disk);
}

static void settings_out_of_range_are_refused_before_a_file_is_made(void **state)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder *recorder = NULL;
    const size_t rings[] = {0, 1 << 19, (1 << 20) + 1, 3 << 20, (size_t)2 << 30};
    const int32_t syncs[] = {-1, 0, 10001};

    fault_init(&disk);
    table = fault_table(&disk);
    for (size_t i = 0; i < sizeof rings / sizeof rings[0]; i++) {
        struct fly_recorder_config config = records_config("mem", &table);

        config.ring_bytes = rings[i];
        assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_ERANGE);
    }
    for (size_t i = 0; i < sizeof syncs / sizeof syncs[0]; i++) {
        struct fly_recorder_config config = records_config("mem", &table);

        config.sync_ms = syncs[i];
        assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_ERANGE);
    }
    assert_null(recorder);
    assert_false(disk.exists);
    fault_fini(&disk);
}

static void a_file_that_takes_no_head_is_not_opened(void **state)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;

    fault_init(&disk);
    table = fault_table(&disk);
    config = records_config("mem", &table);
    disk.space = 20;
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), strerror(ENOSPC)));
    disk.space = -1;
    disk.sync_error = EIO;
    assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_EIO);
    disk.sync_error = 0;
    assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_OK);
    assert_int_equal(sample_append(recorder, 1, LEN_MAX), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    assert_int_equal(disk.open_fds, 0);
    assert_int_equal(records_count("mem", &table, LEN_MAX, NULL), 1);
    fault_fini(&disk);
}

static void the_wake_fd_is_written_when_durable_moves(void **state)
{
    struct world world;
    eventfd_t count = 0;
    int fd = eventfd(0, EFD_CLOEXEC);

    fault_init(&world.disk);
    world.table = fault_table(&world.disk);
    world.config = records_config("mem", &world.table);
    world.config.wake_fd = fd;
    world.recorder = NULL;
    assert_int_equal(fly_recorder_open(&world.recorder, &world.config, 0), FLY_OK);
    append_samples(&world, 1, 1);
    assert_int_equal(eventfd_read(fd, &count), 0); /* blocks until it comes */
    assert_int_equal(fly_recorder_durable(world.recorder), 1);
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    close(fd);
    fault_fini(&world.disk);
}

/* ---- threads ------------------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 2000 };

struct appender {
    struct fly_recorder *recorder;
    unsigned char id;
    uint64_t ticket[EACH];
};

static void *append_many(void *arg)
{
    struct appender *me = arg;
    unsigned char bytes[300];

    for (uint32_t i = 0; i < EACH; i++) {
        struct fly_part parts[2] = {{&i, sizeof i}, {bytes, (i * 7 + me->id) % sizeof bytes}};
        int rc;

        memset(bytes, me->id, sizeof bytes);
        while ((rc = fly_recorder_append(me->recorder, FLY_REC_INGEST, me->id, parts, 2,
                                         &me->ticket[i])) == FLY_EAGAIN)
            if (i > 0 && fly_recorder_wait(me->recorder, me->ticket[i - 1], 10000) != FLY_OK)
                return "the disk never came";
        if (rc != FLY_OK)
            return "append failed";
    }
    return NULL;
}

static void records_of_many_threads_stand_in_the_order_of_their_tickets(void **state)
{
    static struct appender appender[THREADS];
    struct world world;
    pthread_t thread[THREADS];
    struct fly_recording *recording = NULL;
    struct fly_record record;
    uint32_t next[THREADS] = {0};

    world_open(&world);
    for (int t = 0; t < THREADS; t++) {
        appender[t] = (struct appender){.recorder = world.recorder, .id = (unsigned char)t};
        assert_int_equal(pthread_create(&thread[t], NULL, append_many, &appender[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        void *wrong;

        pthread_join(thread[t], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    assert_int_equal(fly_recording_open(&recording, "mem", &world.table), FLY_OK);
    for (uint64_t n = 1; n <= THREADS * EACH; n++) {
        uint32_t i, t;

        assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
        t = (uint32_t)record.t_ns;
        memcpy(&i, record.parts[0].bytes, sizeof i);
        assert_int_equal(i, next[t]);
        assert_int_equal(appender[t].ticket[i], n);
        assert_int_equal(record.parts[1].len, (i * 7 + t) % 300);
        for (size_t k = 0; k < record.parts[1].len; k++)
            assert_int_equal(((const unsigned char *)record.parts[1].bytes)[k], t);
        next[t]++;
    }
    assert_int_equal(fly_recording_next(recording, &record), FLY_EAGAIN);
    fly_recording_close(&recording);
    fault_fini(&world.disk);
}

/* ---- power --------------------------------------------------------------------------------------- */

static uint64_t durable_now(void *arg)
{
    struct world *world = arg;

    return world->recorder ? fly_recorder_durable(world->recorder) : 0;
}

/* Every moment of a session of two thousand records, some synced while others come, the disk full for a
 * while: whatever the platter holds then, all that was durable is read, and the recorder goes on. */
static void power_lost_at_any_moment_costs_no_durable_record(void **state)
{
    enum { RECORDS = 2000 };
    struct world world;
    struct fault_image image = {0};
    struct fly_rng rng = {11};
    uint64_t most = 0;
    int64_t torn = 0;

    fault_init(&world.disk);
    world.table = fault_table(&world.disk);
    world.config = records_config("mem", &world.table);
    world.config.sync_ms = 1;
    world.recorder = NULL;
    world.disk.keep_trace = 1;
    assert_int_equal(fly_recorder_open(&world.recorder, &world.config, 0), FLY_OK);
    fault_lock(&world.disk);
    world.disk.note = durable_now;
    world.disk.note_arg = &world;
    world.disk.write_max = 3000;
    fault_unlock(&world.disk);
    for (uint64_t ticket = 1; ticket <= RECORDS; ticket++) {
        assert_int_equal(sample_append(world.recorder, ticket, LEN_MAX), FLY_OK);
        if (ticket % 40 == 0)
            assert_int_equal(fly_recorder_wait(world.recorder, ticket - 20, 10000), FLY_OK);
        if (ticket == 1000) {
            fault_lock(&world.disk);
            world.disk.space = (int64_t)world.disk.file.len + 700;
            fault_unlock(&world.disk);
        }
        if (ticket == 1015) {
            fault_wait_refused(&world.disk, 1);
            fault_lock(&world.disk);
            world.disk.space = -1;
            fault_unlock(&world.disk);
        }
    }
    assert_int_equal(fly_recorder_close(&world.recorder), FLY_OK);
    assert_true(world.disk.n_trace > 150);

    for (size_t n = 1; n <= world.disk.n_trace; n++) {
        /* What had been promised before the next change began. */
        uint64_t promised = n < world.disk.n_trace ? world.disk.trace[n].note : RECORDS;

        assert_true(promised >= most || n == 1);
        most = promised;
        for (int turn = 0; turn < 3; turn++) {
            struct fault_disk after;
            struct fly_disk table;
            struct fly_recorder_config config;
            struct fly_recorder *recorder = NULL;
            struct fly_recording_info info;
            int64_t count;

            fault_cut(&world.disk, n, turn == 0 ? NULL : &rng, &image);
            fault_init(&after);
            table = fault_table(&after);
            fault_put(&after, image.bytes, image.len);
            count = image.len < FLY_FILE_HEAD ? 0 : records_count("mem", &table, LEN_MAX, &info);
            if (image.len >= FLY_FILE_HEAD && count < 0 && promised == 0)
                count = 0; /* the head itself was on its way */
            assert_true(count >= (int64_t)promised);
            torn += count > 0 && info.good_bytes < info.file_bytes;

            if (turn == 1 && n % 8 == 0) {
                config = records_config("mem", &table);
                config.sync_ms = 10000;
                assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_OK);
                assert_int_equal(sample_append(recorder, (uint64_t)count + 1, LEN_MAX), FLY_OK);
                assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
                assert_int_equal(records_count("mem", &table, LEN_MAX, NULL), count + 1);
            }
            fault_fini(&after);
        }
    }
    assert_int_equal(most, RECORDS);
    assert_true(torn > 10); /* or the test tore nothing */
    free(image.bytes);
    fault_fini(&world.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_is_told_and_recording_goes_on_when_there_is_room),
        cmocka_unit_test(a_disk_full_at_close_is_an_error_and_the_file_a_prefix),
        cmocka_unit_test(short_writes_are_gone_on_with),
        cmocka_unit_test(a_failed_sync_is_final_and_durable_stands_still),
        cmocka_unit_test(a_stuck_disk_costs_records_and_nobody_waits),
        cmocka_unit_test(what_can_never_fit_is_told_apart_from_what_may_later),
        cmocka_unit_test(settings_out_of_range_are_refused_before_a_file_is_made),
        cmocka_unit_test(a_file_that_takes_no_head_is_not_opened),
        cmocka_unit_test(the_wake_fd_is_written_when_durable_moves),
        cmocka_unit_test(records_of_many_threads_stand_in_the_order_of_their_tickets),
        cmocka_unit_test(power_lost_at_any_moment_costs_no_durable_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
