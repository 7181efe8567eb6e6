#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/steered.h"
#include "stream/request.h"

/* The other side: a ROUTER in this process, and a clock that goes when told to. */
static struct fly_net *net;
static struct fly_endpoint *router;
static struct fly_steered *steered;
static int64_t mono_ns;
static int heard;              /* commands */
static unsigned char peer[64];
static size_t peer_len;
static struct fly_request request; /* the last one taken, whose bytes are in `msg` */
static struct fly_msg msg;

static int64_t clock_ns(void *ctx)
{
    return mono_ns;
}

static void go_ms(int64_t ms)
{
    mono_ns += ms * 1000000;
}

static int hear(void *ctx, const struct fly_part *parts, int32_t n_parts)
{
    assert_int_equal(fly_control_type_of(parts), FLY_CONTROL_COMMAND);
    assert_int_equal(n_parts, 1);
    heard++;
    return FLY_OK;
}

static int setup(void **state)
{
    static int number;
    char address[64];
    struct fly_endpoint_config there = {.socket = FLY_ROUTER, .address = address, .bind = 1, .high_water = 100};
    struct fly_steered_config config = fly_steered_config_default();

    snprintf(address, sizeof address, "inproc://steered-%d", number++);
    mono_ns = 1000000000;
    heard = 0;
    memset(&msg, 0, sizeof msg);
    assert_int_equal(fly_net_open(&net), FLY_OK);
    assert_int_equal(fly_endpoint_open(&router, net, &there), FLY_OK);
    config.net = net;
    config.clock = (struct fly_clock){.mono_ns = clock_ns, .unix_ns = clock_ns};
    config.address = address;
    config.mode = "ask";
    config.hear = hear;
    return fly_steered_open(&steered, &config);
}

static int teardown(void **state)
{
    fly_steered_close(&steered);
    fly_msg_close(&msg);
    fly_endpoint_close(&router);
    fly_net_close(&net);
    return 0;
}

static int step(void)
{
    return fly_steered_step(steered, 0);
}

/* The next message of the acquisition: its op; "ack", "" when there is none. */
static const char *taken(void)
{
    fly_msg_close(&msg);
    memset(&msg, 0, sizeof msg);
    if (fly_endpoint_recv(router, &msg) != FLY_OK)
        return "";
    assert_true(msg.n_parts == 3 && msg.parts[0].len <= sizeof peer && msg.parts[1].len == 0);
    peer_len = msg.parts[0].len;
    memcpy(peer, msg.parts[0].bytes, peer_len);
    if (fly_control_type_of(&msg.parts[2]) == FLY_CONTROL_ACK)
        return "ack";
    assert_int_equal(fly_request_decode(&request, &msg.parts[2], 1), FLY_REFUSE_NONE);
    return request.op;
}

static void send_pack(const struct fly_pack *pack)
{
    const struct fly_part parts[] = {{peer, peer_len}, {"", 0}, {pack->bytes, pack->len}};

    assert_int_equal(fly_endpoint_send(router, parts, 3), FLY_OK);
}

/* {owner: name or nil, steer: {stop: word or nil}} as an answer to the last request. */
static void answer(const char *owner, const char *stop)
{
    unsigned char bytes[512];
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_reply_begin(&pack, &request);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "owner");
    if (owner)
        fly_pack_str(&pack, owner);
    else
        fly_pack_nil(&pack);
    fly_pack_str(&pack, "steer");
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "stop");
    if (stop)
        fly_pack_str(&pack, stop);
    else
        fly_pack_nil(&pack);
    send_pack(&pack);
}

static void refuse(const char *code)
{
    unsigned char bytes[512];
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_reply_error(&pack, &request, code, "words of its own");
    send_pack(&pack);
}

static struct fly_steered_report report(void)
{
    struct fly_steered_report now;

    fly_steered_report(steered, &now);
    return now;
}

static void attach(void)
{
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "steer.attach");
    answer("sim", NULL);
    assert_int_equal(step(), FLY_OK);
    assert_true(report().attached);
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static void it_attaches_in_its_mode_and_then_asks(void **state)
{
    struct fly_value mode;
    const char *text;
    size_t len;

    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "steer.attach");
    assert_true(fly_value_get(request.args, "mode", &mode) && fly_value_str(mode, &text, &len));
    assert_true(len == 3 && memcmp(text, "ask", 3) == 0);
    answer("sim", NULL);
    assert_int_equal(step(), FLY_OK);
    assert_true(report().attached);
    assert_string_equal(taken(), ""); /* not before its time */
    go_ms(400);
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "status");
    answer("sim", "error");
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(report().stop, "error");
}

static void what_may_pass_is_tried_again_and_what_is_wrong_is_not(void **state)
{
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "steer.attach");
    refuse("busy");
    assert_int_equal(step(), FLY_OK);
    assert_false(report().attached);
    go_ms(400);
    attach();
    teardown(NULL);
    setup(NULL);
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "steer.attach");
    refuse("guard_required");
    assert_int_equal(step(), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "guard_required: words of its own"));
}

static void patience_has_an_end(void **state)
{
    assert_int_equal(step(), FLY_OK);
    go_ms(30001);
    assert_int_equal(step(), FLY_EIO);
    teardown(NULL);
    setup(NULL);
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "steer.attach");
    refuse("busy");
    go_ms(30001);
    assert_int_equal(step(), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "busy"));
}

static void silence_is_a_loss_and_a_word_no_silence(void **state)
{
    attach();
    for (int i = 0; i < 10; i++) {
        go_ms(450);
        assert_int_equal(step(), FLY_OK);
        assert_string_equal(taken(), "status");
        answer("sim", NULL);
    }
    assert_int_equal(step(), FLY_OK);
    assert_int_equal(report().losses, 0);
    go_ms(1501);
    assert_int_equal(step(), FLY_OK);
    assert_int_equal(report().losses, 1);
    assert_true(report().lost && !report().attached);
    while (strcmp(taken(), "steer.attach") != 0) {
        go_ms(400);
        assert_int_equal(step(), FLY_OK);
    }
    answer("sim", NULL);
    assert_int_equal(step(), FLY_OK);
    assert_true(report().attached && !report().lost);
}

static void who_forgot_us_is_attached_to_again(void **state)
{
    attach();
    go_ms(400);
    assert_int_equal(step(), FLY_OK);
    assert_string_equal(taken(), "status");
    answer(NULL, NULL);
    assert_int_equal(step(), FLY_OK);
    assert_false(report().attached);
    assert_int_equal(report().losses, 0);
    go_ms(400);
    attach();
}

static void commands_are_handed_on_and_acks_go_out(void **state)
{
    struct fly_command stop = {.cmd_id = "c-1", .kind = FLY_COMMAND_STOP, .frame = -1, .dwell_us = NAN};
    const struct fly_steer_field field = {64, 64, {NAN, NAN}};
    struct fly_ack ack = {.cmd_id = "c-1", .status = FLY_ACK_DONE}, read;
    unsigned char bytes[512];
    struct fly_pack pack;

    attach();
    fly_pack_init(&pack, bytes, sizeof bytes);
    assert_int_equal(fly_command_encode(&pack, &stop, &field), FLY_OK);
    send_pack(&pack);
    assert_int_equal(step(), FLY_OK);
    assert_int_equal(heard, 1);
    assert_int_equal(fly_steered_ack(steered, &ack), FLY_OK);
    assert_string_equal(taken(), "ack");
    assert_int_equal(fly_ack_decode(&read, &msg.parts[2], 1), FLY_REFUSE_NONE);
    assert_string_equal(read.cmd_id, "c-1");
    fly_steered_detach(steered);
    assert_string_equal(taken(), "steer.detach");
    fly_steered_detach(steered);
    assert_string_equal(taken(), "");
}

static void nonsense_is_passed_over(void **state)
{
    const struct fly_part parts[] = {{peer, 0}, {"", 0}, {"\xc1", 1}};
    struct fly_part all[3];

    attach();
    memcpy(all, parts, sizeof all);
    all[0].len = peer_len;
    assert_int_equal(fly_endpoint_send(router, all, 3), FLY_OK);
    assert_int_equal(fly_endpoint_send(router, all, 2), FLY_OK);
    assert_int_equal(step(), FLY_OK);
    assert_true(report().attached);
    assert_int_equal(heard, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_attaches_in_its_mode_and_then_asks),
        TEST(what_may_pass_is_tried_again_and_what_is_wrong_is_not),
        TEST(patience_has_an_end),
        TEST(silence_is_a_loss_and_a_word_no_silence),
        TEST(who_forgot_us_is_attached_to_again),
        TEST(commands_are_handed_on_and_acks_go_out),
        TEST(nonsense_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
