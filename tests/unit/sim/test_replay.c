#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/replay.h"
#include "sim/tool.h"

enum { MESSAGES = 20 };

static char path[64];

static size_t header_of(unsigned char *bytes, const char *type, const char *stream, uint64_t seq)
{
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, 512);
    fly_pack_map(&pack, 7);
    fly_pack_str(&pack, "type");
    fly_pack_str(&pack, type);
    fly_pack_str(&pack, "extra");
    fly_pack_f64(&pack, 1.25);
    fly_pack_str(&pack, "session");
    fly_pack_str(&pack, "recorded");
    fly_pack_str(&pack, "stream");
    fly_pack_str(&pack, stream);
    fly_pack_str(&pack, "seq");
    fly_pack_uint(&pack, seq);
    fly_pack_str(&pack, "list");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, -5);
    fly_pack_nil(&pack);
    fly_pack_str(&pack, "t_ns");
    fly_pack_int(&pack, 1000 + (int64_t)seq);
    assert_false(pack.full);
    return pack.len;
}

/* A recording of start, lines with those numbers, and a stop if wanted; other records between. */
static void record(const uint64_t *seqs, int count, int with_stop)
{
    struct fly_recorder_config config = {.path = path, .disk = fly_disk_system(), .clock = fly_tool_clock(),
                                         .ring_bytes = 1 << 20, .sync_ms = 5, .writers = 1, .wake_fd = -1};
    struct fly_recorder *recorder = NULL;
    unsigned char header[512], payload[64];
    uint64_t ticket;

    snprintf(path, sizeof path, "/tmp/flyback-replay-%d.fly", (int)getpid());
    unlink(path);
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    for (int i = -1; i <= count; i++) {
        const char *type = i < 0 ? "start" : i == count ? "stop" : "lines";
        struct fly_part parts[2] = {{header, 0}, {payload, sizeof payload}};
        static const unsigned char mark[] = "\x80";
        struct fly_part between = {mark, 1};

        if (i == count && !with_stop)
            break;
        memset(payload, i, sizeof payload);
        parts[0].len = header_of(header, type, i < 0 || i == count ? "control" : "haadf",
                                 i < 0 ? 1 : i == count ? 2 : seqs[i]);
        assert_int_equal(fly_recorder_append(recorder, FLY_REC_INGEST, 5000 + 10 * i, parts, 2, &ticket),
                         FLY_OK);
        assert_int_equal(fly_recorder_append(recorder, FLY_REC_MARK, 1, &between, 1, &ticket), FLY_OK);
    }
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
}

static void messages_come_as_they_were_recorded(void **state)
{
    struct fly_replay *replay = NULL;
    struct fly_replay_message m;
    unsigned char header[512];
    uint64_t seqs[MESSAGES];

    for (int i = 0; i < MESSAGES; i++)
        seqs[i] = (uint64_t)i + 1;
    seqs[3] = 5; /* two came in the wrong order, and so they go again */
    seqs[4] = 4;
    record(seqs, MESSAGES, 1);
    assert_int_equal(fly_replay_open(&replay, path, 1, NULL), FLY_OK);
    assert_string_equal(fly_replay_session(replay), "recorded");
    assert_int_equal(fly_replay_streams(replay), 2);
    assert_int_equal(fly_replay_messages(replay), MESSAGES + 2);
    for (int i = -1; i <= MESSAGES; i++) {
        const char *type = i < 0 ? "start" : i == MESSAGES ? "stop" : "lines";
        int control = i < 0 || i == MESSAGES;
        uint64_t seq = i < 0 ? 1 : i == MESSAGES ? 2 : seqs[i];

        assert_int_equal(fly_replay_next(replay, &m), FLY_OK);
        assert_int_equal(m.n_parts, 2);
        assert_int_equal(m.seq, seq);
        assert_int_equal(m.t_ns, 5000 + 10 * i);
        assert_true(m.start == (i < 0) && m.stop == (i == MESSAGES));
        size_t len = header_of(header, type, control ? "control" : "haadf", seq);

        assert_int_equal(m.parts[0].len, len);
        assert_memory_equal(m.parts[0].bytes, header, len);
        assert_int_equal(((const unsigned char *)m.parts[1].bytes)[63], (unsigned char)i);
    }
    assert_int_equal(fly_replay_next(replay, &m), FLY_EAGAIN);
    fly_replay_close(&replay);
    unlink(path);
}

static int type_is(const struct fly_replay_message *m, const char *type)
{
    struct fly_value value, root = fly_value_root(m->parts[0].bytes, m->parts[0].len);
    const char *text;
    size_t len;

    assert_int_equal(fly_wire_scan(m->parts[0].bytes, m->parts[0].len), FLY_REFUSE_NONE);
    assert_true(fly_value_get(root, "type", &value) && fly_value_str(value, &text, &len));
    return len == strlen(type) && !memcmp(text, type, len);
}

/* From the 8th message on, 11 lost in a gap, no stop: every number comes once, as message or skip. */
static void what_is_missing_is_skipped_and_the_end_is_told(void **state)
{
    struct fly_replay *replay = NULL;
    struct fly_replay_message m;
    uint64_t seqs[MESSAGES];
    int seen[MESSAGES + 3] = {0}, skips = 0, stops = 0, rc;

    for (int i = 0; i < MESSAGES; i++)
        seqs[i] = (uint64_t)i + 1 + (i >= 10);
    record(seqs, MESSAGES, 0);
    assert_int_equal(fly_replay_open(&replay, path, 8, NULL), FLY_OK);
    while ((rc = fly_replay_next(replay, &m)) == FLY_OK) {
        if (m.stream == 1)
            seen[m.seq]++;
        if (type_is(&m, "skip")) {
            assert_true(m.seq < 7 || m.seq == 11);
            assert_true(m.n_parts == 1 && m.made);
            skips++;
        }
        if (m.stop) {
            struct fly_value value, count, root = fly_value_root(m.parts[0].bytes, m.parts[0].len);
            int64_t last;

            stops++;
            assert_true(type_is(&m, "stop") && m.seq == 2);
            assert_true(fly_value_get(root, "count", &count) && fly_value_get(count, "haadf", &value) &&
                        fly_value_int(value, &last));
            assert_int_equal(last, MESSAGES + 1);
        }
    }
    assert_int_equal(rc, FLY_EAGAIN);
    assert_true(skips == 7 && stops == 1);
    for (int seq = 1; seq <= MESSAGES + 1; seq++)
        assert_int_equal(seen[seq], 1);
    fly_replay_close(&replay);
    assert_int_equal(fly_replay_open(&replay, path, 500, NULL), FLY_ERANGE);
    unlink(path);
    assert_int_equal(fly_replay_open(&replay, path, 1, NULL), FLY_EIO);
    assert_null(replay);
}

static void a_new_id_changes_the_session_and_nothing_else(void **state)
{
    struct fly_replay *replay = NULL;
    struct fly_replay_message m;
    unsigned char header[512];
    uint64_t seqs[1] = {1};

    record(seqs, 1, 1);
    assert_int_equal(fly_replay_open(&replay, path, 1, "a b"), FLY_ERANGE);
    assert_int_equal(fly_replay_open(&replay, path, 1, "again"), FLY_OK);
    assert_int_equal(fly_replay_next(replay, &m), FLY_OK);
    assert_int_equal(fly_replay_next(replay, &m), FLY_OK);
    size_t len = header_of(header, "lines", "haadf", 1);
    unsigned char *at = memmem(header, len, "\xa8recorded", 9);

    assert_non_null(at);
    size_t before = (size_t)(at - header), after = len - before - 9;

    assert_int_equal(m.parts[0].len, len - 3);
    assert_memory_equal(m.parts[0].bytes, header, before);
    assert_memory_equal((const unsigned char *)m.parts[0].bytes + before, "\xa5" "again", 6);
    assert_memory_equal((const unsigned char *)m.parts[0].bytes + before + 6, at + 9, after);
    fly_replay_close(&replay);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_as_they_were_recorded),
        cmocka_unit_test(what_is_missing_is_skipped_and_the_end_is_told),
        cmocka_unit_test(a_new_id_changes_the_session_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
