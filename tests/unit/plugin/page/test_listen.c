#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugin/page/listen.h"

static void this_machine_is_taken_by_number_and_by_name(void **state)
{
    static const struct {
        const char *text, *host;
        int port, v6;
    } cases[] = {{"127.0.0.1:5580", "127.0.0.1", 5580, 0},
                 {"127.3.2.1:0", "127.3.2.1", 0, 0},
                 {"localhost:80", "127.0.0.1", 80, 0},
                 {"[::1]:65535", "[::1]", 65535, 1}};
    struct fly_listen listen;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(fly_listen_parse(&listen, cases[i].text), FLY_OK);
        assert_string_equal(listen.host, cases[i].host);
        assert_int_equal(listen.port, cases[i].port);
        assert_int_equal(listen.v6, cases[i].v6);
    }
}

static void addresses_that_others_reach_or_that_are_none_are_refused(void **state)
{
    static const char *const open[] = {"0.0.0.0:5580", "192.168.1.4:5580", "[::]:5580", "flyback.lab:5580", "126.0.0.1:1",
                                       "128.0.0.1:1",  "127.0.0.1.evil.example:80", "127.1:80", "[::1:80"};
    static const char *const none[] = {"", ":", "5580", ":5580", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                                       "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:1x", "127.0.0.1:000001"};
    struct fly_listen listen = {.host = "kept", .port = 7};

    (void)state;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        assert_int_equal(fly_listen_parse(&listen, open[i]), FLY_ERANGE);
        assert_non_null(strstr(fly_fail_text(), "ssh -L"));
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(fly_listen_parse(&listen, none[i]), FLY_ERANGE);
        assert_non_null(strstr(fly_fail_text(), "no address"));
    }
    assert_string_equal(listen.host, "kept");
    assert_int_equal(listen.port, 7);
}

static void hosts_of_this_machine_alone_are_ours(void **state)
{
    static const char *const ours[] = {"127.0.0.1:5580", "localhost:5580", "LocalHost:5580", "[::1]:5580", "127.0.0.2:5580"};
    static const char *const others[] = {"",
                                         "127.0.0.1",
                                         "localhost",
                                         "127.0.0.1:5581",
                                         "127.0.0.1:55800",
                                         "127.0.0.1:5580.evil.example",
                                         "evil.example:5580",
                                         "localhost.evil.example:5580",
                                         "127.0.0.1.evil.example:5580",
                                         "127.0.0.3:5580",
                                         "localhost:5580/",
                                         "x@localhost:5580",
                                         "localhost:"};
    struct fly_listen listen;

    (void)state;
    assert_int_equal(fly_listen_parse(&listen, "127.0.0.2:5580"), FLY_OK);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_true(fly_listen_is_host(&listen, ours[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(fly_listen_is_host(&listen, others[i]));
    assert_false(fly_listen_is_host(&listen, NULL));
    listen.port = 80; /* which browsers leave out */
    assert_true(fly_listen_is_host(&listen, "localhost"));
    assert_true(fly_listen_is_host(&listen, "localhost:80"));
}

static void an_origin_is_ours_or_not_sent(void **state)
{
    static const char *const others[] = {"null", "", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:5580",
                                         "http://127.0.0.1:5580/", "http://127.0.0.1:5580, http://evil.example",
                                         "127.0.0.1:5580", "HTTP://127.0.0.1:5580"};
    struct fly_listen listen;

    (void)state;
    assert_int_equal(fly_listen_parse(&listen, "127.0.0.1:5580"), FLY_OK);
    assert_true(fly_listen_is_origin(&listen, NULL));
    assert_true(fly_listen_is_origin(&listen, "http://127.0.0.1:5580"));
    assert_true(fly_listen_is_origin(&listen, "http://localhost:5580"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(fly_listen_is_origin(&listen, others[i]));
}

static void a_port_is_found_and_one_in_use_is_told(void **state)
{
    struct fly_listen listen, again;
    char url[96], want[96];
    int fd, other;

    (void)state;
    assert_int_equal(fly_listen_parse(&listen, "127.0.0.1:0"), FLY_OK);
    assert_int_equal(fly_listen_open(&fd, &listen), FLY_OK);
    assert_true(listen.port > 0);
    fly_listen_url(&listen, url);
    snprintf(want, sizeof want, "http://127.0.0.1:%d/", listen.port);
    assert_string_equal(url, want);
    again = listen;
    assert_int_equal(fly_listen_open(&other, &again), FLY_EIO);
    snprintf(want, sizeof want, "127.0.0.1:%d: Address already in use", listen.port);
    assert_string_equal(fly_fail_text(), want);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_is_taken_by_number_and_by_name),
        cmocka_unit_test(addresses_that_others_reach_or_that_are_none_are_refused),
        cmocka_unit_test(hosts_of_this_machine_alone_are_ours),
        cmocka_unit_test(an_origin_is_ours_or_not_sent),
        cmocka_unit_test(a_port_is_found_and_one_in_use_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
