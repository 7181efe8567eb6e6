#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "stream/keys.h"
#include "stream/zap.h"
#include "tests/support/tsan_zmq.h"

enum { PATIENCE_MS = 20000, CLIENTS = 5 };

/* One pair for each role, in order of fly_peer_role_at, and a stranger's. */
static struct fly_key_pair server, clients[CLIENTS], stranger;
static char folder[64], file[96], ipc[96];

struct lab {
    struct fly_net *net;
    struct fly_zap *gate;
    struct fly_endpoint *ingest, *publish, *control;
    pthread_mutex_t lock;
    int refused, reread_ok, reread_bad;
    char refused_text[8][400], reread_text[512]; /* the last ones */
};

static void on_refused(void *ctx, const char *text)
{
    struct lab *lab = ctx;

    pthread_mutex_lock(&lab->lock);
    snprintf(lab->refused_text[lab->refused++ % 8], sizeof lab->refused_text[0], "%s", text);
    pthread_mutex_unlock(&lab->lock);
}

static void on_reread(void *ctx, int ok, const char *text)
{
    struct lab *lab = ctx;

    pthread_mutex_lock(&lab->lock);
    lab->reread_ok += ok;
    lab->reread_bad += !ok;
    snprintf(lab->reread_text, sizeof lab->reread_text, "%s", text);
    pthread_mutex_unlock(&lab->lock);
}

static int was_refused(struct lab *lab, const char *words)
{
    int found = 0;

    pthread_mutex_lock(&lab->lock);
    for (int i = 0; i < 8; i++)
        found |= strstr(lab->refused_text[i], words) != NULL;
    pthread_mutex_unlock(&lab->lock);
    return found;
}

static int count_of(struct lab *lab, const int *counter)
{
    int n;

    pthread_mutex_lock(&lab->lock);
    n = *counter;
    pthread_mutex_unlock(&lab->lock);
    return n;
}

/* The list with the clients whose bit is set, in front of any further text. */
static void write_list(unsigned set, const char *more)
{
    char fresh[128];
    FILE *f;

    snprintf(fresh, sizeof fresh, "%s.new", file);
    f = fopen(fresh, "w");
    assert_non_null(f);
    for (int i = 0; i < CLIENTS; i++)
        if (set >> i & 1)
            fprintf(f, "%s %s %s\n", clients[i].public_key, clients[i].role, clients[i].name);
    fputs(more, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, file), 0); /* whole or not at all */
}

static struct fly_endpoint *serve(struct lab *lab, enum fly_socket socket, const char *address, const char *domain,
                                  uint32_t admits)
{
    struct fly_endpoint_config config = {.socket = socket, .address = address, .bind = 1, .high_water = 1000,
                                         .door = fly_zap_door(lab->gate), .domain = domain, .admits = admits};
    struct fly_endpoint *endpoint = NULL;

    memcpy(config.curve.secret_key, server.secret_key, sizeof config.curve.secret_key);
    if (fly_endpoint_open(&endpoint, lab->net, &config) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    return endpoint;
}

static struct lab *open_lab(void)
{
    struct lab *lab = calloc(1, sizeof *lab);
    struct fly_zap_config config = {.allow = file,
                                     .domains = {{"ingest", FLY_PEER_INSTRUMENT},
                                                 {"publish", FLY_PEER_VIEWER | FLY_PEER_OPERATOR},
                                                 {"control", FLY_PEER_ALL}},
                                     .n_domains = 3,
                                     .refused = on_refused,
                                     .reread = on_reread,
                                     .ctx = lab};

    assert_non_null(lab);
    pthread_mutex_init(&lab->lock, NULL);
    assert_int_equal(fly_net_open(&lab->net), FLY_OK);
    config.net = lab->net;
    if (fly_zap_open(&lab->gate, &config) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    lab->ingest = serve(lab, FLY_PULL, "tcp://127.0.0.1:*", "ingest", FLY_PEER_INSTRUMENT);
    lab->publish = serve(lab, FLY_XPUB, ipc, "publish", FLY_PEER_VIEWER | FLY_PEER_OPERATOR);
    lab->control = serve(lab, FLY_ROUTER, "tcp://127.0.0.1:*", "control", 0);
    return lab;
}

static void close_lab(struct lab *lab)
{
    fly_endpoint_close(&lab->control);
    fly_endpoint_close(&lab->publish);
    fly_endpoint_close(&lab->ingest);
    fly_zap_close(&lab->gate);
    fly_net_close(&lab->net);
    pthread_mutex_destroy(&lab->lock);
    free(lab);
}

static struct fly_endpoint *come(struct lab *lab, enum fly_socket socket, const struct fly_endpoint *at,
                                 const struct fly_key_pair *pair, const char *server_key)
{
    struct fly_endpoint_config config = {.socket = socket, .address = fly_endpoint_address(at), .high_water = 1000};
    struct fly_endpoint *endpoint = NULL;

    if (pair) {
        memcpy(config.curve.public_key, pair->public_key, sizeof pair->public_key);
        memcpy(config.curve.secret_key, pair->secret_key, sizeof pair->secret_key);
        memcpy(config.curve.server_key, server_key, FLY_Z85_LEN + 1);
    }
    if (fly_endpoint_open(&endpoint, lab->net, &config) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    if (socket == FLY_SUB)
        assert_int_equal(fly_endpoint_subscribe(endpoint, ""), FLY_OK);
    return endpoint;
}

static void say(struct fly_endpoint *endpoint, const char *text)
{
    assert_int_equal(fly_endpoint_send(endpoint, &(struct fly_part){text, strlen(text)}, 1), FLY_OK);
}

static void hear(struct fly_endpoint *endpoint, struct fly_msg *msg)
{
    for (int waited = 0; fly_endpoint_recv(endpoint, msg) == FLY_EAGAIN; waited += 20) {
        assert_true(waited < PATIENCE_MS);
        (void)!fly_net_wait(&endpoint, 1, 0, -1, 20);
    }
}

/* Until the client knows how its handshake went; the servers meanwhile look after theirs. */
static int outcome(struct lab *lab, struct fly_endpoint *client)
{
    struct fly_endpoint *none = NULL;
    struct fly_msg msg;
    int rc = FLY_OK;

    for (int waited = 0; rc == FLY_OK && waited < PATIENCE_MS; waited += 10) {
        assert_int_equal(fly_endpoint_recv(lab->ingest, &msg), FLY_EAGAIN);
        assert_int_equal(fly_endpoint_recv(lab->control, &msg), FLY_EAGAIN);
        (void)!fly_net_wait(&none, 0, 0, -1, 10);
        rc = fly_endpoint_handshake(client);
    }
    return rc;
}

static void the_receiver_knows_who_speaks(void **state)
{
    struct lab *lab = open_lab();
    struct fly_endpoint *instrument = come(lab, FLY_PUSH, lab->ingest, &clients[1], server.public_key);
    struct fly_endpoint *viewer = come(lab, FLY_SUB, lab->publish, &clients[0], server.public_key), *near;
    struct fly_endpoint_config config = {.socket = FLY_DEALER, .address = "inproc://near", .high_water = 10};
    struct fly_msg msg;

    (void)state;
    assert_int_equal(fly_zap_clients(lab->gate), CLIENTS);
    say(instrument, "lines");
    hear(lab->ingest, &msg);
    assert_int_equal(msg.roles, FLY_PEER_INSTRUMENT);
    assert_string_equal(msg.peer, "instrument-pc");
    fly_msg_close(&msg);
    hear(lab->publish, &msg);
    assert_int_equal(msg.roles, FLY_PEER_VIEWER);
    assert_string_equal(msg.peer, "viewer-pc");
    fly_msg_close(&msg);
    for (int i = 0; i < CLIENTS; i++) {
        struct fly_endpoint *dealer = come(lab, FLY_DEALER, lab->control, &clients[i], server.public_key);

        say(dealer, "request");
        hear(lab->control, &msg);
        assert_int_equal(msg.roles, fly_peer_role_at(i));
        assert_string_equal(msg.peer, clients[i].name);
        fly_msg_close(&msg);
        assert_int_equal(fly_endpoint_handshake(dealer), FLY_OK);
        fly_endpoint_close(&dealer);
    }
    /* This process needs no keys, and is nobody's guard. */
    assert_int_equal(fly_endpoint_bind_inproc(lab->control, "inproc://near"), FLY_OK);
    assert_int_equal(fly_endpoint_open(&near, lab->net, &config), FLY_OK);
    say(near, "request");
    hear(lab->control, &msg);
    assert_int_equal(msg.roles, FLY_PEER_OPERATOR);
    assert_string_equal(msg.peer, "");
    fly_msg_close(&msg);
    assert_int_equal(lab->refused, 0);
    fly_endpoint_close(&near);
    fly_endpoint_close(&viewer);
    fly_endpoint_close(&instrument);
    close_lab(lab);
}

static void whoever_may_not_is_refused_told_and_counted(void **state)
{
    struct lab *lab = open_lab();
    struct fly_endpoint *peer;

    (void)state;
    peer = come(lab, FLY_DEALER, lab->control, &stranger, server.public_key);
    say(peer, "let me in");
    assert_int_equal(outcome(lab, peer), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "not in the allow-list"));
    assert_true(was_refused(lab, stranger.public_key) && was_refused(lab, "control: the key"));
    fly_endpoint_close(&peer);

    for (int i = 0; i < CLIENTS; i++) {
        char words[128];

        if (i == 1)
            continue;
        peer = come(lab, FLY_PUSH, lab->ingest, &clients[i], server.public_key);
        assert_int_equal(outcome(lab, peer), FLY_EIO);
        snprintf(words, sizeof words, "ingest: %.60s may not come here", clients[i].name);
        assert_true(was_refused(lab, words));
        fly_endpoint_close(&peer);
    }
    assert_int_equal(lab->refused, CLIENTS);

    peer = come(lab, FLY_DEALER, lab->control, NULL, NULL);
    say(peer, "plain");
    assert_int_equal(outcome(lab, peer), FLY_EAGAIN);
    assert_non_null(strstr(fly_fail_text(), "it wants keys"));
    while (!was_refused(lab, "control: a peer that showed no key"))
        (void)!outcome(lab, peer);
    fly_endpoint_close(&peer);

    peer = come(lab, FLY_DEALER, lab->control, &clients[3], stranger.public_key);
    say(peer, "wrong server");
    assert_int_equal(outcome(lab, peer), FLY_EAGAIN);
    assert_non_null(strstr(fly_fail_text(), "--server-key"));
    while (!was_refused(lab, "control: a peer that takes us for another server"))
        (void)!outcome(lab, peer);
    fly_endpoint_close(&peer);
    close_lab(lab);
}

static void whoever_is_struck_off_loses_everything_at_the_next_message(void **state)
{
    struct lab *lab = open_lab();
    struct fly_endpoint *instrument = come(lab, FLY_PUSH, lab->ingest, &clients[1], server.public_key);
    struct fly_endpoint *operator_ = come(lab, FLY_DEALER, lab->control, &clients[3], server.public_key);
    struct fly_endpoint *gone = come(lab, FLY_SUB, lab->publish, &clients[0], server.public_key);
    struct fly_endpoint *stays = come(lab, FLY_SUB, lab->publish, &clients[3], server.public_key);
    struct fly_endpoint *near = NULL;
    struct fly_endpoint_config config = {.socket = FLY_SUB, .address = "inproc://near", .high_water = 10};
    struct fly_msg msg;
    int refused, rounds = 0;

    (void)state;
    assert_int_equal(fly_endpoint_bind_inproc(lab->publish, "inproc://near"), FLY_OK);
    assert_int_equal(fly_endpoint_open(&near, lab->net, &config), FLY_OK);
    assert_int_equal(fly_endpoint_subscribe(near, ""), FLY_OK);
    for (int i = 0; i < 3; i++) { /* all three are there */
        hear(lab->publish, &msg);
        fly_msg_close(&msg);
    }
    say(instrument, "before");
    hear(lab->ingest, &msg);
    fly_msg_close(&msg);
    say(operator_, "before");
    hear(lab->control, &msg);
    fly_msg_close(&msg);
    say(lab->publish, "for all");
    hear(gone, &msg);
    fly_msg_close(&msg);
    hear(stays, &msg);
    fly_msg_close(&msg);
    hear(near, &msg);
    fly_msg_close(&msg);

    write_list(1u << 2 | 1u << 4, "\n# the operator is a viewer now\n"); /* controller and guard stay */
    while (count_of(lab, &lab->reread_ok) == 0)
        (void)!fly_net_wait(NULL, 0, 0, -1, 10);
    assert_string_equal(lab->reread_text, "2 clients in force; some rights were taken back");
    refused = count_of(lab, &lab->refused);
    say(instrument, "after");
    while (count_of(lab, &lab->refused) == refused) {
        assert_int_equal(fly_endpoint_recv(lab->ingest, &msg), FLY_EAGAIN); /* it never comes through */
        (void)!fly_net_wait(&lab->ingest, 1, 0, -1, 10);
    }
    assert_true(was_refused(lab, "ingest: a message of a client, whose role is now none"));
    say(operator_, "after");
    hear(lab->control, &msg); /* taken, for it is to be told why not */
    assert_int_equal(msg.roles, 0);
    fly_msg_close(&msg);

    /* Those who listen: the one in the list again comes back by itself, the other hears no more. */
    write_list(1u << 3, "");
    while (count_of(lab, &lab->reread_ok) == 1)
        (void)!fly_net_wait(NULL, 0, 0, -1, 10);
    while (fly_endpoint_handshake(gone) == FLY_OK) {
        assert_int_equal(fly_endpoint_recv(lab->publish, &msg), FLY_EAGAIN);
        assert_true(rounds++ < PATIENCE_MS / 10);
        (void)!fly_net_wait(&lab->publish, 1, 0, -1, 10);
    }
    assert_int_equal(fly_endpoint_handshake(gone), FLY_EIO);
    say(lab->publish, "for few");
    hear(near, &msg);
    assert_memory_equal(msg.parts[0].bytes, "for few", 7);
    fly_msg_close(&msg);
    assert_int_equal(fly_endpoint_recv(gone, &msg), FLY_EAGAIN);
    fly_endpoint_close(&near);
    fly_endpoint_close(&stays);
    fly_endpoint_close(&gone);
    fly_endpoint_close(&operator_);
    fly_endpoint_close(&instrument);
    close_lab(lab);
    write_list(31, "");
}

static void a_viewer_that_stays_in_the_list_is_back_by_itself(void **state)
{
    struct lab *lab = open_lab();
    struct fly_endpoint *stays;
    struct fly_msg msg, none;
    int subscribed, rounds = 0;

    (void)state;
    fly_endpoint_close(&lab->publish); /* open to other machines, the port by the system's choice */
    lab->publish = serve(lab, FLY_XPUB, "tcp://*:0", "publish", FLY_PEER_VIEWER | FLY_PEER_OPERATOR);
    stays = come(lab, FLY_SUB, lab->publish, &clients[3], server.public_key);
    hear(lab->publish, &msg);
    fly_msg_close(&msg);
    write_list(1u << 3, "");
    while (count_of(lab, &lab->reread_ok) == 0)
        (void)!fly_net_wait(NULL, 0, 0, -1, 10);
    do { /* first that it left, then that it subscribes anew; a client at work reads its socket all the time */
        while (fly_endpoint_recv(lab->publish, &msg) == FLY_EAGAIN) {
            assert_true(rounds++ < PATIENCE_MS / 10);
            assert_int_equal(fly_endpoint_recv(stays, &none), FLY_EAGAIN);
            (void)!fly_net_wait(&lab->publish, 1, 0, -1, 10);
        }
        subscribed = *(const char *)msg.parts[0].bytes;
        assert_string_equal(msg.peer, subscribed ? "operator-pc" : "");
        fly_msg_close(&msg);
    } while (!subscribed);
    say(lab->publish, "hello again");
    hear(stays, &msg);
    fly_msg_close(&msg);
    assert_int_equal(count_of(lab, &lab->refused), 0);
    fly_endpoint_close(&stays);
    close_lab(lab);
    write_list(31, "");
}

static void a_list_with_a_mistake_is_told_once_and_the_old_one_stays(void **state)
{
    struct lab *lab = open_lab();
    struct fly_endpoint *dealer;
    struct fly_msg msg;

    (void)state;
    write_list(1, "what is this\n");
    while (count_of(lab, &lab->reread_bad) == 0)
        (void)!fly_net_wait(NULL, 0, 0, -1, 10);
    assert_non_null(strstr(lab->reread_text, "allow.txt:2: \"what\" is no public key"));
    assert_int_equal(fly_zap_clients(lab->gate), CLIENTS);
    dealer = come(lab, FLY_DEALER, lab->control, &clients[3], server.public_key);
    say(dealer, "still here");
    hear(lab->control, &msg);
    assert_int_equal(msg.roles, FLY_PEER_OPERATOR);
    fly_msg_close(&msg);
    unlink(file);
    while (count_of(lab, &lab->reread_bad) == 1)
        (void)!fly_net_wait(NULL, 0, 0, -1, 10);
    assert_non_null(strstr(lab->reread_text, "No such file"));
    write_list(1u << 3, "");
    while (count_of(lab, &lab->reread_ok) == 0)
        (void)!fly_net_wait(NULL, 0, 0, -1, 10);
    assert_int_equal(count_of(lab, &lab->reread_bad), 2); /* each mistake once, though it is looked at twice a second */
    assert_int_equal(fly_zap_clients(lab->gate), 1);
    fly_endpoint_close(&dealer);
    close_lab(lab);
    write_list(31, "");
}

static void a_net_has_one_gate(void **state)
{
    struct lab *lab = open_lab();
    struct fly_zap_config config = {.net = lab->net, .allow = file, .refused = on_refused, .reread = on_reread, .ctx = lab};
    struct fly_zap *second = NULL;

    (void)state;
    assert_int_equal(fly_zap_open(&second, &config), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "the gate"));
    assert_null(second);
    config.allow = "/nowhere/allow.txt";
    assert_int_equal(fly_zap_open(&second, &config), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "/nowhere/allow.txt"));
    close_lab(lab);
}

static uint32_t anything(void *ctx, const char *key, char name[FLY_PEER_NAME_MAX + 1])
{
    (void)ctx;
    (void)key;
    (void)name;
    return FLY_PEER_ALL;
}

static void untold(void *ctx, const char *domain, const char *why)
{
    (void)ctx;
    (void)domain;
    (void)why;
}

static uint64_t never(void *ctx)
{
    (void)ctx;
    return 0;
}

/* Whether this libzmq lets nobody in when its question has no answer (ZMQ_ZAP_ENFORCE_DOMAIN, a draft). */
static int can_enforce(void)
{
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_ROUTER);
    int yes = 1, can = zmq_setsockopt(socket, 93, &yes, sizeof yes) == 0;

    zmq_close(socket);
    zmq_ctx_term(context);
    return can;
}

static void without_an_answer_the_door_stays_shut(void **state)
{
    struct lab lab = {0};
    struct fly_door door = {.ctx = NULL, .roles = anything, .refused = untold, .revoked = never};
    struct fly_endpoint_config config = {.socket = FLY_ROUTER, .address = "tcp://127.0.0.1:*", .bind = 1, .high_water = 10,
                                         .door = &door, .domain = "control"};
    struct fly_endpoint *router = NULL, *dealer;
    struct fly_msg msg;

    (void)state;
    assert_int_equal(fly_net_open(&lab.net), FLY_OK);
    memcpy(config.curve.secret_key, server.secret_key, sizeof config.curve.secret_key);
    assert_int_equal(fly_endpoint_open(&router, lab.net, &config), FLY_OK);
    dealer = come(&lab, FLY_DEALER, router, &clients[3], server.public_key);
    say(dealer, "is anybody there?");
    for (int rounds = 0; fly_endpoint_handshake(dealer) == FLY_OK; rounds++) {
        if (fly_endpoint_recv(router, &msg) == FLY_OK) { /* then it has at least no rights */
            assert_int_equal(msg.roles, 0);
            assert_false(can_enforce());
            fly_msg_close(&msg);
            break;
        }
        assert_true(rounds < PATIENCE_MS / 10);
        (void)!fly_net_wait(&router, 1, 0, -1, 10);
    }
    fly_endpoint_close(&dealer);
    fly_endpoint_close(&router);
    fly_net_close(&lab.net);
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fly_zap.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/allow.txt", folder);
    snprintf(ipc, sizeof ipc, "ipc://%s/p", folder);
    assert_int_equal(fly_key_pair_make(&server, "lab", "server"), FLY_OK);
    assert_int_equal(fly_key_pair_make(&stranger, "stranger", "operator"), FLY_OK);
    for (int i = 0; i < CLIENTS; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s-pc", fly_peer_role_name(fly_peer_role_at(i)));
        assert_int_equal(fly_key_pair_make(&clients[i], name, fly_peer_role_name(fly_peer_role_at(i))), FLY_OK);
    }
    write_list(31, "");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(file);
    unlink(ipc + strlen("ipc://"));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_receiver_knows_who_speaks),
        cmocka_unit_test(whoever_may_not_is_refused_told_and_counted),
        cmocka_unit_test(whoever_is_struck_off_loses_everything_at_the_next_message),
        cmocka_unit_test(a_viewer_that_stays_in_the_list_is_back_by_itself),
        cmocka_unit_test(a_list_with_a_mistake_is_told_once_and_the_old_one_stays),
        cmocka_unit_test(a_net_has_one_gate),
        cmocka_unit_test(without_an_answer_the_door_stays_shut),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
