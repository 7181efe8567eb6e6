#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stream/net.h"
#include "tests/support/tsan_zmq.h"

enum { PATIENCE_MS = 10000 }; /* for what must come; nothing that passes waits so long */

static struct fly_net *net;

static int net_setup(void **state)
{
    return fly_net_open(&net);
}

static int net_teardown(void **state)
{
    fly_net_close(&net);
    return 0;
}

static struct fly_endpoint_config config_of(enum fly_socket socket, const char *address, int bind)
{
    return (struct fly_endpoint_config){
        .socket = socket, .address = address, .bind = bind, .high_water = 1000};
}

static struct fly_endpoint *open_one(enum fly_socket socket, const char *address, int bind)
{
    struct fly_endpoint_config config = config_of(socket, address, bind);
    struct fly_endpoint *endpoint = NULL;

    if (fly_endpoint_open(&endpoint, net, &config) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    return endpoint;
}

static void send_texts(struct fly_endpoint *endpoint, const char *const *texts, int32_t count)
{
    struct fly_part parts[40];

    for (int32_t i = 0; i < count; i++)
        parts[i] = (struct fly_part){texts[i], strlen(texts[i])};
    assert_int_equal(fly_endpoint_send(endpoint, parts, count), FLY_OK);
}

static void recv_wait(struct fly_endpoint *endpoint, struct fly_msg *msg)
{
    while (fly_endpoint_recv(endpoint, msg) == FLY_EAGAIN)
        assert_int_equal(fly_net_wait(&endpoint, 1, 0, -1, PATIENCE_MS), FLY_OK);
    assert_true(msg->n_parts > 0);
}

static void assert_part(const struct fly_msg *msg, int32_t i, const char *text)
{
    assert_true(i < msg->n_parts);
    assert_int_equal(msg->parts[i].len, strlen(text));
    assert_memory_equal(msg->parts[i].bytes, text, strlen(text));
}

static void a_pushed_message_is_pulled_part_by_part(void **state)
{
    static const char *const addresses[] = {"tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "ipc://*",
                                            "inproc://pair"};

    for (size_t a = 0; a < sizeof addresses / sizeof addresses[0]; a++) {
        struct fly_endpoint *pull = open_one(FLY_PULL, addresses[a], 1), *push;
        struct fly_msg msg;

        assert_null(strchr(fly_endpoint_address(pull), '*'));
        push = open_one(FLY_PUSH, fly_endpoint_address(pull), 0);
        assert_int_equal(fly_endpoint_recv(pull, &msg), FLY_EAGAIN);
        send_texts(push, (const char *[]){"header", "", "payload"}, 3);
        send_texts(push, (const char *[]){"next"}, 1);
        recv_wait(pull, &msg);
        assert_int_equal(msg.n_parts, 3);
        assert_int_equal(msg.n_seen, 3);
        assert_int_equal(msg.bytes, 13);
        assert_part(&msg, 0, "header");
        assert_part(&msg, 1, "");
        assert_part(&msg, 2, "payload");
        fly_msg_close(&msg);
        assert_int_equal(msg.n_parts, 0);
        fly_msg_close(&msg); /* closed already: nothing to do */
        recv_wait(pull, &msg);
        assert_part(&msg, 0, "next");
        fly_msg_close(&msg);
        fly_endpoint_close(&push);
        fly_endpoint_close(&pull);
        assert_null(pull);
    }
}

static void a_router_answers_the_dealer_and_the_req_that_asked(void **state)
{
    struct fly_endpoint *router = open_one(FLY_ROUTER, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *peers[2] = {open_one(FLY_DEALER, fly_endpoint_address(router), 0),
                                     open_one(FLY_REQ, fly_endpoint_address(router), 0)};

    for (int i = 0; i < 2; i++) {
        struct fly_msg msg, back;

        if (i == 0) /* a REQ adds the empty part itself, and takes it off */
            send_texts(peers[i], (const char *[]){"", "question", "array"}, 3);
        else
            send_texts(peers[i], (const char *[]){"question", "array"}, 2);
        recv_wait(router, &msg);
        assert_int_equal(msg.n_parts, 4);
        assert_int_equal(msg.parts[0].len, 5);
        assert_part(&msg, 1, "");
        assert_part(&msg, 2, "question");
        assert_part(&msg, 3, "array");
        assert_int_equal(fly_endpoint_send(router,
                                           (struct fly_part[]){msg.parts[0], {"", 0}, {"answer", 6}}, 3),
                         FLY_OK);
        fly_msg_close(&msg);
        recv_wait(peers[i], &back);
        assert_part(&back, back.n_parts - 1, "answer");
        assert_int_equal(back.n_parts, i == 0 ? 2 : 1);
        fly_msg_close(&back);
    }
    for (int i = 0; i < 2; i++)
        fly_endpoint_close(&peers[i]);
    fly_endpoint_close(&router);
}

static void a_reply_to_a_peer_that_left_or_never_was_is_told(void **state)
{
    struct fly_endpoint *router = open_one(FLY_ROUTER, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *dealer = open_one(FLY_DEALER, fly_endpoint_address(router), 0);
    struct fly_msg msg, none;
    int rc;

    assert_int_equal(fly_endpoint_send(router, (struct fly_part[]){{"nobody", 6}, {"x", 1}}, 2), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "no such peer"));
    send_texts(dealer, (const char *[]){"hello"}, 1);
    recv_wait(router, &msg);
    fly_endpoint_close(&dealer);
    /* The news that it left comes in as messages do, to a socket that is read; replies until then go
     * into its queue, or fill it. */
    while ((rc = fly_endpoint_send(router, (struct fly_part[]){msg.parts[0], {"x", 1}}, 2)) != FLY_EIO) {
        assert_true(rc == FLY_OK || rc == FLY_EAGAIN);
        assert_int_equal(fly_endpoint_recv(router, &none), FLY_EAGAIN);
    }
    fly_msg_close(&msg);

    /* And the socket still serves: nothing of the refused replies is left in it. */
    dealer = open_one(FLY_DEALER, fly_endpoint_address(router), 0);
    send_texts(dealer, (const char *[]){"again"}, 1);
    recv_wait(router, &msg);
    assert_int_equal(fly_endpoint_send(router, (struct fly_part[]){msg.parts[0], {"y", 1}}, 2), FLY_OK);
    fly_msg_close(&msg);
    recv_wait(dealer, &msg);
    assert_int_equal(msg.n_parts, 1);
    assert_part(&msg, 0, "y");
    fly_msg_close(&msg);
    fly_endpoint_close(&dealer);
    fly_endpoint_close(&router);
}

static void a_req_that_waits_for_its_reply_says_so(void **state)
{
    struct fly_endpoint *router = open_one(FLY_ROUTER, "inproc://busy", 1);
    struct fly_endpoint *req = open_one(FLY_REQ, "inproc://busy", 0);

    send_texts(req, (const char *[]){"one"}, 1);
    assert_int_equal(fly_endpoint_send(req, &(struct fly_part){"two", 3}, 1), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "still waits"));
    fly_endpoint_close(&req);
    fly_endpoint_close(&router);
}

static void subscriptions_are_heard_and_a_late_joiner_of_the_same_topic_too(void **state)
{
    struct fly_endpoint *xpub = open_one(FLY_XPUB, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *subs[2];
    struct fly_msg msg;

    for (int i = 0; i < 2; i++) {
        subs[i] = open_one(FLY_SUB, fly_endpoint_address(xpub), 0);
        assert_int_equal(fly_endpoint_subscribe(subs[i], "map"), FLY_OK);
        recv_wait(xpub, &msg);
        assert_int_equal(msg.n_parts, 1);
        assert_part(&msg, 0, "\001map");
        fly_msg_close(&msg);
        send_texts(xpub, (const char *[]){"event", "not asked for"}, 2);
        send_texts(xpub, (const char *[]){"map", "keyframe"}, 2);
        for (int k = 0; k <= i; k++) {
            recv_wait(subs[k], &msg);
            assert_int_equal(msg.n_parts, 2);
            assert_part(&msg, 0, "map");
            assert_part(&msg, 1, "keyframe");
            fly_msg_close(&msg);
        }
    }
    /* The first to leave is not told, the last one is. */
    fly_endpoint_close(&subs[0]);
    fly_endpoint_close(&subs[1]);
    recv_wait(xpub, &msg);
    assert_int_equal(msg.parts[0].len, 4);
    assert_memory_equal(msg.parts[0].bytes, "\0map", 4);
    fly_msg_close(&msg);
    fly_endpoint_close(&xpub);
}

static void peers_of_the_same_process_are_served_at_one_more_address(void **state)
{
    struct fly_endpoint *router = open_one(FLY_ROUTER, "ipc://*", 1), *far, *near;
    struct fly_endpoint *asking[2];
    struct fly_msg msg;

    (void)state;
    far = open_one(FLY_DEALER, fly_endpoint_address(router), 0);
    assert_int_equal(fly_endpoint_bind_inproc(router, "inproc://beside"), FLY_OK);
    assert_int_equal(fly_endpoint_bind_inproc(router, "inproc://beside"), FLY_EIO); /* it is taken */
    assert_int_equal(fly_endpoint_bind_inproc(router, "tcp://0.0.0.0:*"), FLY_ERANGE);
    assert_int_equal(strncmp(fly_endpoint_address(router), "ipc://", 6), 0);
    near = open_one(FLY_DEALER, "inproc://beside", 0);
    asking[0] = far;
    asking[1] = near;
    for (int i = 0; i < 2; i++) {
        send_texts(asking[i], (const char *[]){"", i ? "near" : "far"}, 2);
        recv_wait(router, &msg);
        assert_part(&msg, 2, i ? "near" : "far");
        assert_int_equal(fly_endpoint_send(router, msg.parts, msg.n_parts), FLY_OK);
        fly_msg_close(&msg);
        recv_wait(asking[i], &msg);
        assert_part(&msg, 1, i ? "near" : "far");
        fly_msg_close(&msg);
        fly_endpoint_close(&asking[i]);
    }
    fly_endpoint_close(&router);
}

static void parts_beyond_the_limit_are_counted_and_dropped(void **state)
{
    struct fly_endpoint *pull = open_one(FLY_PULL, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *push = open_one(FLY_PUSH, fly_endpoint_address(pull), 0);
    const char *many[30];
    struct fly_msg msg;

    for (int i = 0; i < 30; i++)
        many[i] = i % 2 ? "odd" : "even";
    send_texts(push, many, 30);
    send_texts(push, many, FLY_MSG_PARTS);
    send_texts(push, (const char *[]){"good"}, 1);
    recv_wait(pull, &msg);
    assert_int_equal(msg.n_parts, FLY_MSG_PARTS);
    assert_int_equal(msg.n_seen, 30);
    assert_int_equal(msg.bytes, 15 * 7);
    assert_part(&msg, FLY_MSG_PARTS - 1, many[FLY_MSG_PARTS - 1]);
    fly_msg_close(&msg);
    recv_wait(pull, &msg);
    assert_int_equal(msg.n_parts, FLY_MSG_PARTS);
    assert_int_equal(msg.n_seen, FLY_MSG_PARTS);
    fly_msg_close(&msg);
    recv_wait(pull, &msg);
    assert_part(&msg, 0, "good");
    fly_msg_close(&msg);
    fly_endpoint_close(&push);
    fly_endpoint_close(&pull);
}

static void an_oversize_part_costs_its_sender_the_connection_and_nobody_else(void **state)
{
    struct fly_endpoint_config config = config_of(FLY_PULL, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *pull = NULL, *rude, *kind;
    static char big[1001];
    struct fly_msg msg;
    int rc;

    config.part_max = 1000;
    assert_int_equal(fly_endpoint_open(&pull, net, &config), FLY_OK);
    rude = open_one(FLY_PUSH, fly_endpoint_address(pull), 0);
    kind = open_one(FLY_PUSH, fly_endpoint_address(pull), 0);
    assert_int_equal(fly_endpoint_send(rude, &(struct fly_part){big, 1001}, 1), FLY_OK);
    assert_int_equal(fly_endpoint_send(kind, &(struct fly_part){big, 1000}, 1), FLY_OK);
    recv_wait(pull, &msg);
    assert_int_equal(msg.bytes, 1000);
    fly_msg_close(&msg);
    /* What the rude one sends once it is connected again: the large part itself never comes, and what
     * was under way behind it is gone with the connection. */
    while (fly_endpoint_recv(pull, &msg) == FLY_EAGAIN) {
        send_texts(rude, (const char *[]){"sorry"}, 1);
        rc = fly_net_wait(&pull, 1, 0, -1, 10);
        assert_true(rc == FLY_OK || rc == FLY_EAGAIN);
    }
    assert_part(&msg, 0, "sorry");
    fly_msg_close(&msg);
    fly_endpoint_close(&rude);
    fly_endpoint_close(&kind);
    fly_endpoint_close(&pull);
}

static void a_full_queue_takes_nothing_and_loses_nothing(void **state)
{
    struct fly_endpoint_config config = config_of(FLY_PULL, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *pull = NULL, *push = NULL;
    size_t len = 1 << 20;
    unsigned char *big = calloc(1, len);
    struct fly_part parts[2];
    uint32_t sent = 0, got = 0;
    struct fly_msg msg;

    config.high_water = 2;
    assert_int_equal(fly_endpoint_open(&pull, net, &config), FLY_OK);
    config = config_of(FLY_PUSH, fly_endpoint_address(pull), 0);
    config.high_water = 2;
    assert_int_equal(fly_endpoint_open(&push, net, &config), FLY_OK);
    parts[0] = (struct fly_part){&sent, sizeof sent};
    parts[1] = (struct fly_part){big, len};
    for (;;) {
        int rc = fly_endpoint_send(push, parts, 2);

        if (rc == FLY_OK) {
            sent++;
            assert_true(sent < 1000); /* back-pressure, not memory */
            continue;
        }
        assert_int_equal(rc, FLY_EAGAIN);
        /* Room again within a moment means the kernel's buffers were still filling. */
        if (fly_net_wait(&push, 1, 1, -1, 200) == FLY_EAGAIN)
            break;
    }
    assert_true(sent >= 2);
    while (got < sent) {
        uint32_t number;

        recv_wait(pull, &msg);
        assert_int_equal(msg.n_parts, 2);
        memcpy(&number, msg.parts[0].bytes, sizeof number);
        assert_int_equal(number, got);
        assert_int_equal(msg.parts[1].len, len);
        fly_msg_close(&msg);
        got++;
    }
    assert_int_equal(fly_net_wait(&push, 1, 1, -1, PATIENCE_MS), FLY_OK);
    assert_int_equal(fly_endpoint_send(push, parts, 2), FLY_OK);
    recv_wait(pull, &msg);
    fly_msg_close(&msg);
    fly_endpoint_close(&push);
    fly_endpoint_close(&pull);
    free(big);
}

static void an_address_in_use_is_named_with_the_reason(void **state)
{
    char ipc[64];
    const char *const addresses[] = {"tcp://127.0.0.1:*", ipc, "inproc://one"};

    snprintf(ipc, sizeof ipc, "ipc:///tmp/flyback-test-net-%d.sock", (int)getpid());
    for (size_t a = 0; a < sizeof addresses / sizeof addresses[0]; a++) {
        struct fly_endpoint *first = open_one(FLY_PULL, addresses[a], 1), *second = NULL, *push;
        struct fly_endpoint_config config = config_of(FLY_PULL, fly_endpoint_address(first), 1);
        struct fly_msg msg;

        assert_int_equal(fly_endpoint_open(&second, net, &config), FLY_EIO);
        assert_non_null(strstr(fly_fail_text(), fly_endpoint_address(first)));
        assert_non_null(strstr(fly_fail_text(), strerror(EADDRINUSE)));
        assert_null(second);
        push = open_one(FLY_PUSH, fly_endpoint_address(first), 0);
        send_texts(push, (const char *[]){"still served"}, 1);
        recv_wait(first, &msg);
        fly_msg_close(&msg);
        fly_endpoint_close(&push);
        fly_endpoint_close(&first);
    }
    unlink(ipc + strlen("ipc://"));
}

static void a_socket_file_whose_owner_is_dead_is_no_owner(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct fly_endpoint *heir;
    char ipc[64];

    snprintf(ipc, sizeof ipc, "ipc:///tmp/flyback-test-dead-%d.sock", (int)getpid());
    strcpy(name.sun_path, ipc + strlen("ipc://"));
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
    assert_int_equal(access(name.sun_path, F_OK), 0);
    heir = open_one(FLY_PULL, ipc, 1);
    fly_endpoint_close(&heir);
    unlink(name.sun_path); /* libzmq may leave a file that it did not make */
}

static void wrong_addresses_and_numbers_are_refused_in_words(void **state)
{
    static const struct {
        const char *address;
        int bind;
        const char *word;
    } wrong[] = {
        {"", 1, "are allowed"},
        {"127.0.0.1:5570", 1, "are allowed"},
        {"udp://127.0.0.1:5570", 1, "are allowed"},
        {"pgm://127.0.0.1:5570", 0, "are allowed"},
        {"tcp://", 1, "HOST:PORT"},
        {"tcp://127.0.0.1", 1, "HOST:PORT"},
        {"tcp://:5570", 1, "HOST:PORT"},
        {"tcp://127.0.0.1:", 1, "port"},
        {"tcp://127.0.0.1:70000", 1, "65535"},
        {"tcp://127.0.0.1:5a", 1, "port"},
        {"tcp://127.0.0.1:-1", 1, "port"},
        {"tcp://127.0.0.1:999999999999999999999", 1, "port"},
        {"tcp://127.0.0.1:*", 0, "port"},
        {"tcp://127.0.0.1:0", 0, "port"},
        {"tcp://eth0:5570", 1, "IPv4"},
        {"tcp://[::1]:5570", 1, "IPv4"},
        {"tcp://[::1]:5570", 0, "host name"},
        {"tcp://a b:5570", 0, "host name"},
        {"tcp://10.0.0.1:1;10.0.0.2:2", 0, "host name"},
        {"tcp://0.0.0.0:5570", 1, "CURVE"},
        {"tcp://*:5570", 1, "CURVE"},
        {"tcp://192.168.1.10:5570", 1, "CURVE"},
        {"ipc://", 1, "path"},
        {"ipc:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaa",
         1, "path"},
        {"inproc://", 1, "name"},
    };
    struct fly_endpoint_config config;
    struct fly_endpoint *endpoint = NULL;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        config = config_of(FLY_PULL, wrong[i].address, wrong[i].bind);
        assert_int_equal(fly_endpoint_open(&endpoint, net, &config), FLY_ERANGE);
        if (!strstr(fly_fail_text(), wrong[i].word) || !strstr(fly_fail_text(), wrong[i].address))
            fail_msg("%s: said \"%s\"", wrong[i].address, fly_fail_text());
    }
    config = config_of(FLY_PULL, "tcp://127.0.0.1:*", 1);
    config.high_water = 0;
    assert_int_equal(fly_endpoint_open(&endpoint, net, &config), FLY_ERANGE);
    config.high_water = 100001;
    assert_int_equal(fly_endpoint_open(&endpoint, net, &config), FLY_ERANGE);
    config.high_water = 1;
    config.linger_ms = -1;
    assert_int_equal(fly_endpoint_open(&endpoint, net, &config), FLY_ERANGE);
    config.linger_ms = 0;
    memcpy(config.curve.secret_key, "short", 6);
    assert_int_equal(fly_endpoint_open(&endpoint, net, &config), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "Z85"));
    assert_null(endpoint);
}

static void a_wake_up_ends_a_wait_and_nothing_else_does(void **state)
{
    struct fly_endpoint *pull = open_one(FLY_PULL, "inproc://wait", 1);
    struct fly_endpoint *push = open_one(FLY_PUSH, "inproc://wait", 0);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd_t count;
    struct fly_msg msg;

    assert_int_equal(fly_net_wait(&pull, 1, 0, fd, 0), FLY_EAGAIN);
    assert_int_equal(fly_net_wait(NULL, 0, 0, fd, 1), FLY_EAGAIN);
    eventfd_write(fd, 1);
    assert_int_equal(fly_net_wait(&pull, 1, 0, fd, -1), FLY_OK);
    assert_int_equal(fly_net_wait(NULL, 0, 0, fd, -1), FLY_OK); /* it was not read */
    eventfd_read(fd, &count);
    assert_int_equal(fly_net_wait(&pull, 1, 0, fd, 0), FLY_EAGAIN);
    send_texts(push, (const char *[]){"x"}, 1);
    assert_int_equal(fly_net_wait((struct fly_endpoint *[]){pull, push}, 2, 0, fd, -1), FLY_OK);
    recv_wait(pull, &msg);
    fly_msg_close(&msg);
    assert_int_equal(fly_net_wait(&push, 1, 0, -1, 0), FLY_EAGAIN); /* a PUSH has nothing to read */
    assert_int_equal(fly_net_wait(&push, 1, 1, -1, PATIENCE_MS), FLY_OK);
    close(fd);
    fly_endpoint_close(&push);
    fly_endpoint_close(&pull);
}

static void *close_elsewhere(void *arg)
{
    struct fly_msg *msgs = arg;

    for (int i = 0; i < 50; i++)
        fly_msg_close(&msgs[i]);
    return NULL;
}

static void messages_change_threads_and_outlive_their_net(void **state)
{
    static struct fly_msg msgs[50], last;
    struct fly_endpoint *pull = open_one(FLY_PULL, "tcp://127.0.0.1:*", 1);
    struct fly_endpoint *push = open_one(FLY_PUSH, fly_endpoint_address(pull), 0);
    pthread_t thread;

    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 50; i++)
            send_texts(push, (const char *[]){"head", "a payload that is too long to lie in the message"}, 2);
        for (int i = 0; i < 50; i++)
            recv_wait(pull, &msgs[i]);
        assert_int_equal(pthread_create(&thread, NULL, close_elsewhere, msgs), 0);
        pthread_join(thread, NULL);
    }
    send_texts(push, (const char *[]){"head", "a payload that is too long to lie in the message"}, 2);
    recv_wait(pull, &last);
    fly_endpoint_close(&push);
    fly_endpoint_close(&pull);
    fly_net_close(&net);
    assert_part(&last, 0, "head");
    fly_msg_close(&last);
    assert_int_equal(fly_net_open(&net), FLY_OK);
}

static void a_server_with_keys_serves_those_with_keys_alone(void **state)
{
    struct fly_endpoint_config config = config_of(FLY_ROUTER, "tcp://0.0.0.0:*", 1);
    struct fly_endpoint *router = NULL, *keyed = NULL, *plain, *astray = NULL;
    struct fly_curve server, client;
    char address[64], other[41];
    struct fly_msg msg;

    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    assert_int_equal(fly_curve_keypair(server.public_key, server.secret_key), FLY_OK);
    assert_int_equal(fly_curve_keypair(client.public_key, client.secret_key), FLY_OK);
    assert_int_equal(strlen(server.public_key), 40);
    config.curve = server; /* with keys, beyond loopback */
    if (fly_endpoint_open(&router, net, &config) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    snprintf(address, sizeof address, "tcp://127.0.0.1%s", strrchr(fly_endpoint_address(router), ':'));

    plain = open_one(FLY_DEALER, address, 0);
    send_texts(plain, (const char *[]){"let me in"}, 1);
    config = config_of(FLY_DEALER, address, 0);
    config.curve = client;
    memcpy(config.curve.server_key, client.public_key, 41); /* not this server's */
    assert_int_equal(fly_endpoint_open(&astray, net, &config), FLY_OK);
    send_texts(astray, (const char *[]){"wrong door"}, 1);
    memcpy(config.curve.server_key, server.public_key, 41);
    assert_int_equal(fly_endpoint_open(&keyed, net, &config), FLY_OK);
    send_texts(keyed, (const char *[]){"first"}, 1);
    recv_wait(router, &msg);
    assert_part(&msg, 1, "first");
    fly_msg_close(&msg);

    /* Ten more rounds through the server: the others, who asked before, never got a word in. */
    for (int i = 0; i < 10; i++) {
        send_texts(keyed, (const char *[]){"more"}, 1);
        recv_wait(router, &msg);
        assert_part(&msg, 1, "more");
        fly_msg_close(&msg);
    }
    /* A client that has keys must know the server's. */
    fly_endpoint_close(&keyed);
    config.curve.server_key[0] = '\0';
    assert_int_equal(fly_endpoint_open(&keyed, net, &config), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "server's public key"));
    assert_int_equal(fly_curve_keypair(other, client.secret_key), FLY_OK);
    assert_string_not_equal(other, client.public_key);
    fly_endpoint_close(&astray);
    fly_endpoint_close(&plain);
    fly_endpoint_close(&router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pushed_message_is_pulled_part_by_part),
        cmocka_unit_test(a_router_answers_the_dealer_and_the_req_that_asked),
        cmocka_unit_test(a_reply_to_a_peer_that_left_or_never_was_is_told),
        cmocka_unit_test(a_req_that_waits_for_its_reply_says_so),
        cmocka_unit_test(subscriptions_are_heard_and_a_late_joiner_of_the_same_topic_too),
        cmocka_unit_test(peers_of_the_same_process_are_served_at_one_more_address),
        cmocka_unit_test(parts_beyond_the_limit_are_counted_and_dropped),
        cmocka_unit_test(an_oversize_part_costs_its_sender_the_connection_and_nobody_else),
        cmocka_unit_test(a_full_queue_takes_nothing_and_loses_nothing),
        cmocka_unit_test(an_address_in_use_is_named_with_the_reason),
        cmocka_unit_test(a_socket_file_whose_owner_is_dead_is_no_owner),
        cmocka_unit_test(wrong_addresses_and_numbers_are_refused_in_words),
        cmocka_unit_test(a_wake_up_ends_a_wait_and_nothing_else_does),
        cmocka_unit_test(messages_change_threads_and_outlive_their_net),
        cmocka_unit_test(a_server_with_keys_serves_those_with_keys_alone),
    };

    return cmocka_run_group_tests(tests, net_setup, net_teardown);
}
