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

#include "plugin/log.h"

static int64_t fixed_unix_ns(void *ctx)
{
    (void)ctx;
    return 1772366400123456789; /* 2026-03-01 12:00:00.123 UTC */
}
static const struct fly_clock noon = {.unix_ns = fixed_unix_ns, .mono_ns = fixed_unix_ns};

static FILE *file;

static void open_log(enum fly_log_level level, enum fly_log_format format, int colour)
{
    file = tmpfile();
    assert_non_null(file);
    fly_log_open(&(struct fly_log_config){level, format, fileno(file), colour, &noon});
}

/* All that was logged since open_log; static. */
static const char *logged(void)
{
    static char text[1 << 20];
    size_t len;

    rewind(file);
    len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    fly_log_open(&(struct fly_log_config){FLY_LOG_INFO, FLY_LOG_TEXT, -1, 0, NULL});
    return text;
}

static void a_text_line_has_stamp_level_code_and_words(void **state)
{
    (void)state;
    open_log(FLY_LOG_INFO, FLY_LOG_TEXT, 0);
    fly_log(FLY_LOG_WARNING, "recording_behind", "%d records wait", 12);
    fly_log(FLY_LOG_INFO, NULL, "ready");
    assert_string_equal(logged(), "2026-03-01T12:00:00.123Z warning recording_behind: 12 records wait\n"
                                  "2026-03-01T12:00:00.123Z info ready\n");
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    open_log(FLY_LOG_INFO, FLY_LOG_JSON, 0);
    fly_log(FLY_LOG_ERROR, "disk", "path \"%s\"", "/data");
    assert_string_equal(logged(), "{\"t\": \"2026-03-01T12:00:00.123Z\", \"level\": \"error\", \"code\": \"disk\", "
                                  "\"text\": \"path \\\"/data\\\"\"}\n");
}

static void messages_below_the_level_are_not_written(void **state)
{
    (void)state;
    open_log(FLY_LOG_WARNING, FLY_LOG_TEXT, 0);
    assert_false(fly_log_wants(FLY_LOG_INFO));
    fly_log(FLY_LOG_INFO, NULL, "no");
    fly_log_set_level(FLY_LOG_DEBUG);
    fly_log(FLY_LOG_DEBUG, NULL, "yes");
    assert_string_equal(logged(), "2026-03-01T12:00:00.123Z debug yes\n");
}

static void a_file_is_no_terminal_and_gets_no_colour(void **state)
{
    (void)state;
    open_log(FLY_LOG_INFO, FLY_LOG_TEXT, -1);
    fly_log(FLY_LOG_ERROR, NULL, "plain");
    assert_null(strchr(logged(), '\033'));
    open_log(FLY_LOG_INFO, FLY_LOG_TEXT, 1);
    fly_log(FLY_LOG_ERROR, NULL, "red");
    assert_string_equal(logged(), "2026-03-01T12:00:00.123Z \033[1;31merror\033[0m red\n");
}

static void what_a_peer_sent_cannot_break_the_line_or_drive_the_terminal(void **state)
{
    (void)state;
    open_log(FLY_LOG_INFO, FLY_LOG_TEXT, 0);
    fly_log(FLY_LOG_INFO, NULL, "%s", "a\nfake line\r\033[2Jb\tc");
    assert_string_equal(logged(), "2026-03-01T12:00:00.123Z info a fake line  [2Jb c\n");
}

static void long_messages_end_in_dots(void **state)
{
    char long_text[3000];
    const char *line;

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    open_log(FLY_LOG_INFO, FLY_LOG_TEXT, 0);
    fly_log(FLY_LOG_INFO, NULL, "%s", long_text);
    line = logged();
    assert_int_equal(strlen(line), strlen("2026-03-01T12:00:00.123Z info ") + FLY_LOG_TEXT_MAX + 1);
    assert_non_null(strstr(line, "x...\n"));
}

static void *talk(void *arg)
{
    for (int i = 0; i < 200; i++)
        fly_log(FLY_LOG_INFO, "thread", "%c%c%c%c%c%c%c%c", *(char *)arg, *(char *)arg, *(char *)arg, *(char *)arg,
                *(char *)arg, *(char *)arg, *(char *)arg, *(char *)arg);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    char names[4] = {'a', 'b', 'c', 'd'};
    pthread_t threads[4];
    const char *line;
    int count = 0;

    (void)state;
    open_log(FLY_LOG_INFO, FLY_LOG_TEXT, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (line = logged(); *line; count++) {
        const char *word = strstr(line, "thread: ");

        assert_non_null(word);
        assert_int_equal(strspn(word + 8, (char[]){word[8], '\0'}), 8);
        line = strchr(line, '\n') + 1;
    }
    assert_int_equal(count, 800);
}

static void a_gate_lets_one_a_second_and_code_through_and_counts_the_rest(void **state)
{
    struct fly_gate gate = {0};
    uint64_t held = 99;
    const int64_t s = 1000000000;

    (void)state;
    assert_true(fly_gate_open(&gate, "gap", 5 * s, &held));
    assert_int_equal(held, 0);
    assert_false(fly_gate_open(&gate, "gap", 5 * s + 1, &held));
    assert_true(fly_gate_open(&gate, "shape", 5 * s + 2, &held));
    assert_false(fly_gate_open(&gate, "gap", 6 * s - 1, &held));
    assert_true(fly_gate_open(&gate, "gap", 6 * s, &held));
    assert_int_equal(held, 2);
    assert_true(fly_gate_open(&gate, "gap", 9 * s, &held));
    assert_int_equal(held, 0);
}

static void more_codes_than_a_gate_knows_share_one_second(void **state)
{
    struct fly_gate gate = {0};
    char code[20];
    int open = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(code, sizeof code, "code%d", i);
        open += fly_gate_open(&gate, code, 1000, NULL);
    }
    assert_int_equal(open, FLY_GATE_CODES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_stamp_level_code_and_words),
        cmocka_unit_test(a_json_line_is_one_object),
        cmocka_unit_test(messages_below_the_level_are_not_written),
        cmocka_unit_test(a_file_is_no_terminal_and_gets_no_colour),
        cmocka_unit_test(what_a_peer_sent_cannot_break_the_line_or_drive_the_terminal),
        cmocka_unit_test(long_messages_end_in_dots),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(a_gate_lets_one_a_second_and_code_through_and_counts_the_rest),
        cmocka_unit_test(more_codes_than_a_gate_knows_share_one_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
