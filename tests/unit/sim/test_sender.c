#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_flyback.h"
#include "sim/sender.h"
#include "sim/tool.h"
#include "tests/support/tsan_zmq.h"

enum { PER_STREAM = 1500 };

/* A sender and what it delivered, by hash: the same as the fake keeps. */
struct world {
    struct fake *fake;
    struct fly_net *net;
    struct fly_sender *sender;
    uint64_t hash[FAKE_STREAMS][FAKE_SEQS];
    uint64_t seq[FAKE_STREAMS];
};

static void setup(struct world *w, const struct fake *settings, const struct fly_sender_faults *faults)
{
    struct fly_sender_config config = fly_sender_config_default();

    memset(w, 0, sizeof *w);
    w->fake = fake_start(settings);
    assert_int_equal(fly_net_open(&w->net), FLY_OK);
    config.net = w->net;
    config.clock = fly_tool_clock();
    config.ingest = w->fake->ingest;
    config.publish = w->fake->publish;
    config.control = w->fake->control;
    config.session = "test-1";
    config.n_streams = FAKE_STREAMS;
    for (int i = 0; i < FAKE_STREAMS; i++)
        config.streams[i] = fake_names[i];
    /* Where nothing goes wrong nothing may be sent twice, however slow the machine. */
    int calm = !settings->kill_after[0] && faults->drop == 0.0;

    config.resend_ms = calm ? 20000 : 200;
    config.silence_ms = calm ? 20000 : 400;
    config.lost_ms = 700;
    config.window_messages = 400;
    config.faults = *faults;
    assert_int_equal(fly_sender_open(&w->sender, &config), FLY_OK);
    assert_int_equal(fly_sender_connect(w->sender, 5000, NULL), FLY_OK);
}

static void teardown(struct world *w)
{
    fly_sender_close(&w->sender);
    fly_net_close(&w->net);
    fake_join(w->fake);
    free(w->fake);
}

/* Put one message, stepping while there is no room. Returns the last code. */
static int send_one(struct world *w, int stream, const char *type)
{
    unsigned char header[256], payload[300];
    struct fly_pack pack;
    uint64_t seq = ++w->seq[stream];

    fly_pack_init(&pack, header, sizeof header);
    fly_pack_map(&pack, 6);
    fly_pack_str(&pack, "type");
    fly_pack_str(&pack, type);
    fly_pack_str(&pack, "count");
    fly_pack_map(&pack, FAKE_STREAMS);
    for (int i = 0; i < FAKE_STREAMS; i++) {
        fly_pack_str(&pack, fake_names[i]);
        fly_pack_uint(&pack, w->seq[i]);
    }
    fly_pack_str(&pack, "session");
    fly_pack_str(&pack, "test-1");
    fly_pack_str(&pack, "stream");
    fly_pack_str(&pack, fake_names[stream]);
    fly_pack_str(&pack, "seq");
    fly_pack_uint(&pack, seq);
    fly_pack_str(&pack, "t_ns");
    fly_pack_int(&pack, (int64_t)seq);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (unsigned char)(seq * 31 + i * 7 + (uint64_t)stream);
    struct fly_part parts[2] = {{header, pack.len}, {payload, sizeof payload}};

    w->hash[stream][seq] = fly_hash_parts(parts, 2) | 1;
    for (int64_t until = fake_now_ms() + 60000; fake_now_ms() < until;) {
        int rc = fly_sender_put(w->sender, stream, seq, parts, 2);

        if (rc != FLY_EAGAIN)
            return rc == FLY_OK ? fly_sender_step(w->sender, 0) : rc;
        rc = fly_sender_step(w->sender, 10);
        if (rc < 0)
            return rc;
    }
    return FLY_EAGAIN;
}

static int wait_stopped(struct world *w, struct fly_sender_report *report)
{
    int rc = FLY_OK;

    for (int64_t until = fake_now_ms() + 60000; rc == FLY_OK && fake_now_ms() < until;) {
        rc = fly_sender_step(w->sender, 10);
        fly_sender_report(w->sender, report);
        if (report->stopped)
            break;
    }
    return rc;
}

static void deliver_all(struct world *w, struct fly_sender_report *report)
{
    assert_int_equal(send_one(w, 0, "start"), FLY_OK);
    for (int i = 0; i < PER_STREAM; i++) {
        assert_int_equal(send_one(w, 1, "lines"), FLY_OK);
        assert_int_equal(send_one(w, 2, "eds"), FLY_OK);
        if (i % 500 == 250)
            assert_int_equal(send_one(w, 0, "heartbeat"), FLY_OK);
    }
    assert_int_equal(send_one(w, 0, "stop"), FLY_OK);
    fly_sender_finish(w->sender, w->seq[0]);
    assert_int_equal(wait_stopped(w, report), FLY_OK);
    assert_true(report->stopped);
    assert_string_equal(report->exit_status, "success");
}

/* Every message there, none changed on the way, whatever happened to it. */
static void check_all(struct world *w)
{
    fake_join(w->fake);
    for (int i = 0; i < FAKE_STREAMS; i++) {
        assert_int_equal(w->fake->durable[i], w->seq[i]);
        for (uint64_t seq = 1; seq <= w->seq[i]; seq++)
            assert_true(w->fake->hash[i][seq] == w->hash[i][seq]);
    }
    assert_int_equal(w->fake->conflicts, 0);
    fly_sender_close(&w->sender);
    fly_net_close(&w->net);
    free(w->fake);
}

static void a_calm_session_is_sent_once(void **state)
{
    struct fake settings = {0};
    struct fly_sender_faults faults = {0};
    struct fly_sender_report report;
    static struct world w;

    setup(&w, &settings, &faults);
    deliver_all(&w, &report);
    check_all(&w);
    assert_int_equal(w.seq[1], PER_STREAM);
    assert_int_equal(report.resent, 0);
}

static void flyback_killed_three_times_gets_everything(void **state)
{
    struct fake settings = {.kill_after = {37, 900, 1100}};
    struct fly_sender_faults faults = {0};
    struct fly_sender_report report;
    static struct world w;

    setup(&w, &settings, &faults);
    deliver_all(&w, &report);
    assert_int_equal(w.fake->deaths, 3);
    assert_true(report.rewinds >= 3);
    check_all(&w);
}

/* The start is not durable after one message; the session has to begin again. */
static void flyback_killed_at_once_hears_the_start_again(void **state)
{
    struct fake settings = {.kill_after = {1}};
    struct fly_sender_faults faults = {0};
    struct fly_sender_report report;
    static struct world w;

    setup(&w, &settings, &faults);
    deliver_all(&w, &report);
    check_all(&w);
}

static void drops_duplicates_and_reordering_heal(void **state)
{
    struct fake settings = {0};
    struct fly_sender_faults faults = {.drop = 0.01, .duplicate = 0.05, .reorder = 12, .seed = 3};
    struct fly_sender_report report;
    static struct world w;

    setup(&w, &settings, &faults);
    deliver_all(&w, &report);
    assert_true(report.dropped > 5 && report.duplicated > 50);
    assert_true(report.rewinds >= 1);
    check_all(&w);
}

static void a_lost_session_is_an_error_that_says_so(void **state)
{
    struct fake settings = {.kill_after = {400}, .forget_on_kill = 1, .lose_session = 1};
    struct fly_sender_faults faults = {0};
    static struct world w;
    int rc = FLY_OK;

    setup(&w, &settings, &faults);
    assert_int_equal(send_one(&w, 0, "start"), FLY_OK);
    for (int i = 0; rc == FLY_OK && i < 4000; i++)
        rc = send_one(&w, 1, "lines");
    assert_int_equal(rc, FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "does not have session test-1"));
    teardown(&w);
}

static void nobody_there_is_told_after_the_timeout(void **state)
{
    struct fly_sender_config config = fly_sender_config_default();
    struct fly_sender *sender = NULL;
    struct fly_net *net = NULL;

    assert_int_equal(fly_net_open(&net), FLY_OK);
    config.net = net;
    config.clock = fly_tool_clock();
    config.session = "s";
    config.n_streams = 1;
    config.streams[0] = "control";
    config.ingest = config.publish = config.control = "ipc:///tmp/flyback-test-nobody.sock";
    assert_int_equal(fly_sender_open(&sender, &config), FLY_OK);
    assert_int_equal(fly_sender_connect(sender, 200, NULL), FLY_EIO);
    volatile int stop = 1;

    assert_int_equal(fly_sender_connect(sender, 60000, &stop), FLY_EAGAIN);
    fly_sender_close(&sender);
    config.faults.drop = 0.6;
    assert_int_equal(fly_sender_open(&sender, &config), FLY_ERANGE);
    assert_null(sender);
    fly_net_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_calm_session_is_sent_once),
        cmocka_unit_test(flyback_killed_three_times_gets_everything),
        cmocka_unit_test(flyback_killed_at_once_hears_the_start_again),
        cmocka_unit_test(drops_duplicates_and_reordering_heal),
        cmocka_unit_test(a_lost_session_is_an_error_that_says_so),
        cmocka_unit_test(nobody_there_is_told_after_the_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
