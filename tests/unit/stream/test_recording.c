/* What a reader makes of files: whole, torn at any byte, with any bit flipped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "stream/recording_format.h"
#include "tests/support/fault_disk.h"
#include "tests/support/records.h"

/* Write `count` samples to a fresh file in memory. Records are durable once `durable_each` follow each
 * other (0: none knows of another's sync). The seal is left when `seal`. */
static void write_file(struct fault_disk *disk, uint64_t count, size_t len_max, uint64_t durable_each,
                       int seal)
{
    struct fly_disk table = fault_table(disk);
    struct fly_recorder_config config = records_config("mem", &table);
    struct fly_recorder *recorder = NULL;

    config.sync_ms = durable_each ? 1 : 10000;
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    for (uint64_t ticket = 1; ticket <= count; ticket++) {
        assert_int_equal(sample_append(recorder, ticket, len_max), FLY_OK);
        if (durable_each && ticket % durable_each == 0)
            assert_int_equal(fly_recorder_wait(recorder, ticket, 10000), FLY_OK);
    }
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    if (!seal)
        fault_image_size(&disk->file, disk->file.len - FLY_RECORD_HEAD);
}

static void samples_of_all_kinds_and_sizes_come_back(void **state)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recording_info info;
    struct fly_record record;
    struct fly_recording *recording = NULL;

    fault_init(&disk);
    table = fault_table(&disk);
    write_file(&disk, 500, RECORDS_PART_MAX, 50, 1);
    assert_int_equal(records_count("mem", &table, RECORDS_PART_MAX, &info), 500);
    assert_int_equal(info.records, 500);
    assert_int_equal(info.good_bytes, info.file_bytes);
    assert_false(info.finished);

    /* And once more after rewind, with the parts where arrays may be read in place. */
    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_OK);
    for (int turn = 0; turn < 2; turn++) {
        for (uint64_t ticket = 1; ticket <= 500; ticket++) {
            assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
            assert_true(sample_is(&record, ticket, RECORDS_PART_MAX));
            for (int32_t i = 0; i < record.n_parts; i++)
                assert_int_equal((uintptr_t)record.parts[i].bytes % 8, 0);
            assert_int_equal(record.offset % 8, 0);
        }
        assert_int_equal(fly_recording_next(recording, &record), FLY_EAGAIN);
        assert_int_equal(fly_recording_next(recording, &record), FLY_EAGAIN);
        fly_recording_rewind(recording);
    }
    fly_recording_close(&recording);
    assert_null(recording);
    assert_int_equal(disk.open_fds, 0);
    fault_fini(&disk);
}

static void a_part_of_64_mib_goes_round_the_ring_and_comes_back(void **state)
{
    size_t len = (size_t)64 << 20;
    unsigned char *big = malloc(len);
    struct fly_part parts[2] = {{"head", 4}, {big, len}};
    char dir[64], path[128];
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;
    struct fly_recording *recording = NULL;
    struct fly_record record;
    uint64_t ticket;

    assert_non_null(big);
    for (size_t i = 0; i < len; i += 8)
        memcpy(big + i, &(uint64_t){fly_rng_at(i)}, 8);
    folder_make(dir);
    snprintf(path, sizeof path, "%s/big.fly", dir);
    config = records_config(path, NULL);
    config.ring_bytes = 256 << 20;
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    for (int i = 0; i < 5; i++) { /* the ring's end falls into one of them */
        int rc;

        while ((rc = fly_recorder_append(recorder, FLY_REC_INGEST, i, parts, 2, &ticket)) == FLY_EAGAIN)
            if (fly_recorder_wait(recorder, (uint64_t)i, 10000) != FLY_OK)
                fail_msg("%s", fly_fail_text());
        assert_int_equal(rc, FLY_OK);
    }
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    assert_int_equal(fly_recording_open(&recording, path, NULL), FLY_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
        assert_int_equal(record.t_ns, i);
        assert_int_equal(record.parts[1].len, len);
        assert_memory_equal(record.parts[0].bytes, "head", 4);
        assert_int_equal(memcmp(record.parts[1].bytes, big, len), 0);
    }
    assert_int_equal(fly_recording_next(recording, &record), FLY_EAGAIN);
    fly_recording_close(&recording);
    folder_remove(dir, (const char *[]){"big.fly"}, 1);
    free(big);
}

/* Where each of the records ends; the file's own length is ends[count]. */
static void find_ends(struct fault_disk *disk, size_t *ends, size_t count)
{
    struct fly_disk table = fault_table(disk);
    struct fly_recording *recording = NULL;
    struct fly_recording_info info;
    struct fly_record record;

    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_OK);
    ends[0] = FLY_FILE_HEAD;
    for (size_t i = 1; i <= count; i++) {
        assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
        fly_recording_info(recording, &info);
        ends[i] = (size_t)info.good_bytes;
    }
    fly_recording_close(&recording);
}

/* Reads `len` bytes cut at `cut`, followed by junk, and goes on after them; `whole` records are there. */
static void check_torn(const unsigned char *bytes, size_t cut, const void *junk, size_t junk_len,
                       int64_t whole, size_t good)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recording_info info;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;

    fault_init(&disk);
    table = fault_table(&disk);
    fault_put(&disk, bytes, cut);
    fault_image_write(&disk.file, junk, junk_len, cut);
    if (cut >= FLY_FILE_HEAD) {
        assert_int_equal(records_count("mem", &table, 40, &info), whole);
        assert_int_equal(info.good_bytes, good);
        assert_int_equal(info.file_bytes, cut + junk_len);
    }
    config = records_config("mem", &table);
    config.sync_ms = 10000;
    assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_OK);
    assert_int_equal(disk.file.len, good);
    assert_int_equal(fly_recorder_durable(recorder), whole);
    assert_int_equal(sample_append(recorder, (uint64_t)whole + 1, 40), FLY_OK);
    assert_int_equal(sample_append(recorder, (uint64_t)whole + 2, 40), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    assert_int_equal(records_count("mem", &table, 40, &info), whole + 2);
    assert_int_equal(info.good_bytes, info.file_bytes);
    fault_fini(&disk);
}

static void a_file_torn_at_any_byte_has_the_records_before_and_goes_on_after_them(void **state)
{
    enum { COUNT = 12 };
    struct fault_disk disk;
    size_t ends[COUNT + 1];
    unsigned char zeros[200] = {0}, garbage[200];
    struct fly_rng rng = {7};
    int64_t whole = 0;

    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (unsigned char)fly_rng_next(&rng);
    fault_init(&disk);
    write_file(&disk, COUNT, 40, 0, 0);
    find_ends(&disk, ends, COUNT);
    for (size_t cut = 0; cut <= disk.file.len; cut++) {
        while (whole < COUNT && ends[whole + 1] <= cut)
            whole++;
        check_torn(disk.file.bytes, cut, NULL, 0, whole, ends[whole]);
        if (cut >= FLY_FILE_HEAD && cut % 5 == 0) {
            size_t junk_len = 1 + fly_rng_below(&rng, sizeof zeros);

            /* Zeros are what file systems leave; some may be the record's own. */
            if (ends[whole] == cut)
                check_torn(disk.file.bytes, cut, zeros, junk_len, whole, ends[whole]);
            check_torn(disk.file.bytes, cut, garbage, junk_len, whole, ends[whole]);
        }
    }
    assert_int_equal(whole, COUNT);
    fault_fini(&disk);
}

/* Each bit of a sealed file: either a message tells, or fewer records are there than the seal knows. */
static void any_flipped_bit_is_found_and_costs_one_record_at_most(void **state)
{
    enum { COUNT = 12 };
    struct fault_disk disk;
    struct fly_disk table;
    size_t ends[COUNT + 1];

    fault_init(&disk);
    table = fault_table(&disk);
    write_file(&disk, COUNT, 40, 0, 1);
    find_ends(&disk, ends, COUNT);
    for (size_t bit = 0; bit < 8 * disk.file.len; bit++) {
        struct fly_recording *recording = NULL;
        struct fly_recording_info info;
        struct fly_record record;
        uint64_t want = 1, damaged = 0;
        int rc, told = 0;

        disk.file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        while (damaged < COUNT && ends[damaged] <= bit / 8)
            damaged++;
        rc = fly_recording_open(&recording, "mem", &table);
        if (damaged == 0) {
            assert_int_equal(rc, FLY_EWIRE);
        } else {
            int in_seal = bit / 8 >= ends[COUNT];

            assert_int_equal(rc, FLY_OK);
            while ((rc = fly_recording_next(recording, &record)) != FLY_EAGAIN) {
                if (rc == FLY_EWIRE) {
                    assert_int_equal(want, damaged);
                    told++;
                    want++;
                    continue;
                }
                assert_int_equal(rc, FLY_OK);
                assert_true(sample_is(&record, want, 40));
                want++;
            }
            fly_recording_info(recording, &info);
            assert_int_equal(told, !in_seal);
            assert_int_equal(want, COUNT + 1);
            assert_int_equal(info.good_bytes, in_seal ? ends[COUNT] : disk.file.len);
            fly_recording_close(&recording);
        }
        disk.file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    fault_fini(&disk);
}

static void damage_before_durable_records_is_told_with_its_place_and_they_are_kept(void **state)
{
    enum { COUNT = 30 };
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;
    struct fly_recording *recording = NULL;
    struct fly_record record;
    size_t ends[COUNT + 1];
    char place[64];

    fault_init(&disk);
    table = fault_table(&disk);
    write_file(&disk, COUNT, 40, 5, 0); /* no seal: the records themselves know */
    find_ends(&disk, ends, COUNT);
    memset(disk.file.bytes + ends[10], 0, ends[13] - ends[10]); /* 11, 12, 13 */

    assert_int_equal(fly_recorder_open(&recorder, (config = records_config("mem", &table), &config), 1),
                     FLY_OK);
    assert_int_equal(fly_recorder_durable(recorder), COUNT);
    assert_int_equal(sample_append(recorder, COUNT + 1, 40), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);

    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_OK);
    for (uint64_t ticket = 1; ticket <= 10; ticket++)
        assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
    assert_int_equal(fly_recording_next(recording, &record), FLY_EWIRE);
    snprintf(place, sizeof place, "from byte %zu to %zu, 3 records", ends[10], ends[13]);
    assert_non_null(strstr(fly_fail_text(), place));
    for (uint64_t ticket = 14; ticket <= COUNT + 1; ticket++) {
        assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
        assert_true(sample_is(&record, ticket, 40));
    }
    assert_int_equal(fly_recording_next(recording, &record), FLY_EAGAIN);
    fly_recording_close(&recording);
    fault_fini(&disk);
}

/* The ticket of the damaged last record was handed out and promised: it is not handed out again. (It once
 * was, and the reader then took the new record for damage.) */
static void numbers_go_on_after_the_seal_when_the_last_record_is_damaged(void **state)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;
    struct fly_recording *recording = NULL;
    struct fly_record record;
    size_t ends[8];

    fault_init(&disk);
    table = fault_table(&disk);
    config = records_config("mem", &table);
    write_file(&disk, 7, 40, 0, 1);
    find_ends(&disk, ends, 7);
    disk.file.bytes[ends[6] + 8] ^= 1;
    assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_OK);
    assert_int_equal(sample_append(recorder, 8, 40), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);

    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_OK);
    for (uint64_t ticket = 1; ticket <= 6; ticket++)
        assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
    assert_int_equal(fly_recording_next(recording, &record), FLY_EWIRE);
    assert_int_equal(fly_recording_next(recording, &record), FLY_OK);
    assert_true(sample_is(&record, 8, 40));
    assert_int_equal(fly_recording_next(recording, &record), FLY_EAGAIN);
    fly_recording_close(&recording);
    fault_fini(&disk);
}

/* A power cut may leave a hole with whole records behind it. Nobody was promised those, and what the
 * session did then it did after what is lost: the file ends at the hole. */
static void records_behind_a_hole_that_were_never_durable_are_a_tail(void **state)
{
    enum { COUNT = 30 };
    struct fault_disk disk;
    struct fly_disk table;
    size_t ends[COUNT + 1];

    fault_init(&disk);
    table = fault_table(&disk);
    write_file(&disk, COUNT, 40, 0, 0);
    find_ends(&disk, ends, COUNT);
    memset(disk.file.bytes + ends[10], 0, ends[13] - ends[10]);
    assert_int_equal(records_count("mem", &table, 40, NULL), 10);
    fault_fini(&disk);
}

static void a_recording_inside_a_recording_is_payload(void **state)
{
    struct fault_disk inner, outer;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;
    struct fly_recording *recording = NULL;
    struct fly_record record;
    uint64_t ticket;
    int rc;

    fault_init(&inner);
    write_file(&inner, 20, 40, 0, 1);
    fault_init(&outer);
    table = fault_table(&outer);
    config = records_config("mem", &table);
    config.clock.unix_ns = NULL; /* another file, another stamp */
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fly_recorder_append(recorder, FLY_REC_INGEST, 0,
                                             &(struct fly_part){inner.file.bytes, inner.file.len}, 1,
                                             &ticket),
                         FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    outer.file.bytes[FLY_FILE_HEAD + 1] ^= 1; /* the search for the next record walks through the inner */

    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_OK);
    assert_int_equal(fly_recording_next(recording, &record), FLY_EWIRE);
    for (ticket = 2; (rc = fly_recording_next(recording, &record)) == FLY_OK; ticket++) {
        assert_int_equal(record.ticket, ticket);
        assert_int_equal(record.parts[0].len, inner.file.len);
    }
    assert_int_equal(rc, FLY_EAGAIN);
    assert_int_equal(ticket, 4);
    fly_recording_close(&recording);
    fault_fini(&inner);
    fault_fini(&outer);
}

static void what_is_no_recording_is_refused_and_left_alone(void **state)
{
    static const char letter[] = "Dear all, these bytes are somebody's only copy of a letter.\n";
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;
    struct fly_recording *recording = NULL;
    unsigned char head[FLY_FILE_HEAD];
    uint32_t crc;

    fault_init(&disk);
    table = fault_table(&disk);
    config = records_config("mem", &table);
    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_EIO);
    assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_EIO);
    for (size_t len = 1; len < sizeof letter; len += 7) {
        fault_put(&disk, letter, len);
        assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_EWIRE);
        assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_EWIRE);
        assert_int_equal(disk.file.len, len);
    }
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), strerror(EEXIST)));

    /* Newer than this build. */
    fly_file_head_write(head, 0);
    head[8] = FLY_FILE_VERSION + 1;
    crc = fly_crc32c(0, head, 28);
    memcpy(head + 28, &crc, 4);
    fault_put(&disk, head, sizeof head);
    assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "version 2"));
    assert_int_equal(fly_recorder_open(&recorder, &config, 1), FLY_EWIRE);
    assert_null(recording);
    assert_null(recorder);
    assert_int_equal(disk.open_fds, 0);
    fault_fini(&disk);
}

static void a_head_with_wrong_numbers_is_no_record_whatever_its_checksum(void **state)
{
    const struct fly_record_head good = {.kind = FLY_REC_INGEST, .ticket = 1, .n_parts = 1, .len = {16}};
    struct fly_record_head wrong[] = {good, good, good, good, good, good, good}, back;
    unsigned char bytes[FLY_RECORD_HEAD];

    fly_record_head_write(bytes, &good, 5);
    assert_true(fly_record_head_read(&back, bytes, 5));
    assert_false(fly_record_head_read(&back, bytes, 6)); /* of another file */
    wrong[0].kind = FLY_REC_END + 1;
    wrong[1].n_parts = FLY_PARTS_MAX + 1;
    wrong[2].len[0] = (uint32_t)FLY_PAYLOAD_MAX + 1;
    wrong[3].len[1] = 1; /* a length without a part */
    wrong[4].ticket = 0;
    wrong[5].kind = FLY_RECORD_SEAL; /* seals have no parts */
    wrong[6].ticket = (uint64_t)INT64_MAX + 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fly_record_head_write(bytes, &wrong[i], 5);
        assert_false(fly_record_head_read(&back, bytes, 5));
    }
}

static void the_end_is_known_at_open_after_a_clean_close_and_by_reading_after_another(void **state)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recorder_config config;
    struct fly_recorder *recorder = NULL;
    struct fly_recording *recording = NULL;
    struct fly_recording_info info;
    struct fly_record record;
    uint64_t ticket;

    fault_init(&disk);
    table = fault_table(&disk);
    config = records_config("mem", &table);
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    assert_int_equal(sample_append(recorder, 1, 40), FLY_OK);
    assert_int_equal(fly_recorder_append(recorder, FLY_REC_END, 9, NULL, 0, &ticket), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);

    for (int sealed = 1; sealed >= 0; sealed--) {
        assert_int_equal(fly_recording_open(&recording, "mem", &table), FLY_OK);
        fly_recording_info(recording, &info);
        assert_int_equal(info.finished, sealed);
        while (fly_recording_next(recording, &record) == FLY_OK)
            ;
        fly_recording_info(recording, &info);
        assert_true(info.finished);
        assert_int_equal(info.records, 2);
        fly_recording_close(&recording);
        fault_image_size(&disk.file, disk.file.len - FLY_RECORD_HEAD);
    }
    fault_fini(&disk);
}

/* The pages of a huge file cannot be held: what a record claims is checked before any memory is. */
static void a_claim_beyond_the_file_asks_for_no_memory(void **state)
{
    struct fly_record_head claim = {.kind = FLY_REC_INGEST, .ticket = 1, .n_parts = FLY_PARTS_MAX};
    unsigned char bytes[FLY_FILE_HEAD + FLY_RECORD_HEAD];
    struct fault_disk disk;
    struct fly_disk table;
    struct fly_recording_info info;
    uint32_t seed = fly_file_head_write(bytes, 0);

    for (int i = 0; i < FLY_PARTS_MAX; i++)
        claim.len[i] = (uint32_t)FLY_PAYLOAD_MAX;
    assert_true(fly_record_size(&claim) == FLY_RECORD_HEAD + 8 * (uint64_t)FLY_PAYLOAD_MAX);
    fly_record_head_write(bytes + FLY_FILE_HEAD, &claim, seed);
    fault_init(&disk);
    table = fault_table(&disk);
    fault_put(&disk, bytes, sizeof bytes);
    assert_int_equal(records_count("mem", &table, 40, &info), 0);
    assert_int_equal(info.good_bytes, FLY_FILE_HEAD);
    fault_fini(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_all_kinds_and_sizes_come_back),
        cmocka_unit_test(a_part_of_64_mib_goes_round_the_ring_and_comes_back),
        cmocka_unit_test(a_file_torn_at_any_byte_has_the_records_before_and_goes_on_after_them),
        cmocka_unit_test(any_flipped_bit_is_found_and_costs_one_record_at_most),
        cmocka_unit_test(damage_before_durable_records_is_told_with_its_place_and_they_are_kept),
        cmocka_unit_test(numbers_go_on_after_the_seal_when_the_last_record_is_damaged),
        cmocka_unit_test(records_behind_a_hole_that_were_never_durable_are_a_tail),
        cmocka_unit_test(a_recording_inside_a_recording_is_payload),
        cmocka_unit_test(what_is_no_recording_is_refused_and_left_alone),
        cmocka_unit_test(a_head_with_wrong_numbers_is_no_record_whatever_its_checksum),
        cmocka_unit_test(the_end_is_known_at_open_after_a_clean_close_and_by_reading_after_another),
        cmocka_unit_test(a_claim_beyond_the_file_asks_for_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
