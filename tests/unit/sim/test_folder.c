/* A watched folder: what counts as complete, what is left, and what is remembered of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/folder.h"
#include "sim/played.h"

static const char *const endings[] = {".emd", ".tif", NULL};
static char root[64], path[256];
static struct fly_folder *folder;
static struct fly_folder_file file;

static const char *in_root(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_file(const char *name, const char *text, const char *mode)
{
    FILE *to = fopen(in_root(name), mode);

    assert_non_null(to);
    fputs(text, to);
    assert_int_equal(fclose(to), 0);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/fly-folder-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    char command[128];

    (void)state;
    fly_folder_close(&folder);
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void watch(int existing, double settle_s)
{
    struct fly_folder_config config = {.path = root, .endings = endings, .settle_s = settle_s, .poll_s = 0.05,
                                       .existing = existing};

    assert_int_equal(fly_folder_open(&folder, &config), FLY_OK);
}

static void assert_next(const char *name)
{
    assert_int_equal(fly_folder_next(folder, 10000, &file), FLY_OK);
    assert_string_equal(file.name, name);
}

static void assert_none(int32_t timeout_ms)
{
    assert_int_equal(fly_folder_next(folder, timeout_ms, &file), FLY_EAGAIN);
}

static void what_is_there_at_the_beginning_is_left_until_it_changes(void **state)
{
    (void)state;
    write_file("old.emd", "1", "w");
    watch(0, 0.05);
    assert_none(200);
    write_file("new.emd", "2", "w");
    assert_next("new.emd");
    assert_none(100);
    write_file("old.emd", "34", "w");
    assert_next("old.emd");
    assert_int_equal(file.size, 2);
    assert_none(100);
}

static void existing_files_come_the_oldest_first(void **state)
{
    static const char *const names[] = {"b.tif", "a.tif", "c.TIF"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};

        write_file(names[i], "x", "w");
        assert_int_equal(utimensat(AT_FDCWD, in_root(names[i]), times, 0), 0);
    }
    watch(1, 0.05);
    for (int i = 0; i < 3; i++)
        assert_next(names[i]);
    assert_none(100);
}

static void temporary_hidden_and_foreign_names_are_left(void **state)
{
    static const char *const names[] = {".hidden.emd", "~lock.emd", "scan.emd.part", "scan.emd.tmp", "scan.emd~",
                                        "notes.txt", ".emd"};

    (void)state;
    watch(1, 0.05);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        write_file(names[i], "x", "w");
    assert_int_equal(mkdir(in_root("folder.emd"), 0700), 0);
    assert_none(250);
    char from[256];

    snprintf(from, sizeof from, "%s", in_root("scan.emd.part"));
    assert_int_equal(rename(from, in_root("scan.emd")), 0);
    assert_next("scan.emd");
}

static void a_file_that_still_grows_is_not_complete(void **state)
{
    (void)state;
    watch(0, 1.0);
    for (int i = 0; i < 12; i++) { /* longer in all than it takes to settle */
        write_file("slow.emd", "0123456789", "a");
        assert_none(100);
    }
    assert_next("slow.emd");
    assert_int_equal(file.size, 120);
}

static void a_folder_that_is_none_is_told_by_name(void **state)
{
    struct fly_folder_config config = {.path = "/nowhere/at/all", .endings = endings, .settle_s = 1, .poll_s = 1};

    (void)state;
    assert_int_equal(fly_folder_open(&folder, &config), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "/nowhere/at/all"));
    assert_null(folder);
    watch(0, 0.05);
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(fly_folder_next(folder, 5000, &file), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), root));
    assert_int_equal(mkdir(root, 0700), 0); /* for the one who tidies up */
}

static void what_was_sent_is_known_by_file_and_by_session_also_later(void **state)
{
    struct fly_folder_file one = {"a scan, of\xc3\xa9.emd", 10, 123456789012345}, other = one;
    struct fly_played *played;

    (void)state;
    assert_int_equal(fly_played_open(&played, root), FLY_OK);
    assert_int_equal(fly_played_file(played, &one), 0);
    assert_int_equal(fly_played_add(played, "a-0123", &one), FLY_OK);
    assert_int_equal(fly_played_file(played, &one), 1);
    fly_played_close(&played);

    write_file("sent.tsv", "b-cut-of", "a"); /* a crash while it was written */
    assert_int_equal(fly_played_open(&played, root), FLY_OK);
    assert_int_equal(fly_played_file(played, &one), 1);
    assert_int_equal(fly_played_session(played, "a-0123"), 1);
    assert_int_equal(fly_played_session(played, "b-cut-of"), 0);
    other.mtime_ns++;
    assert_int_equal(fly_played_file(played, &other), 0);
    assert_int_equal(fly_played_add(played, "c-0", &other), FLY_OK);
    fly_played_close(&played);
    assert_int_equal(fly_played_open(&played, root), FLY_OK);
    assert_int_equal(fly_played_file(played, &other), 1);
    assert_int_equal(fly_played_session(played, "c-0"), 1);
    fly_played_close(&played);
}

static void a_line_that_is_none_is_told_with_its_place(void **state)
{
    struct fly_played *played = NULL;

    (void)state;
    write_file("sent.tsv", "a-1\t1\t2\tx.emd\nwhat is this\n", "w");
    assert_int_equal(fly_played_open(&played, root), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "sent.tsv:2:"));
    assert_null(played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_there_at_the_beginning_is_left_until_it_changes, make_root, drop_root),
        cmocka_unit_test_setup_teardown(existing_files_come_the_oldest_first, make_root, drop_root),
        cmocka_unit_test_setup_teardown(temporary_hidden_and_foreign_names_are_left, make_root, drop_root),
        cmocka_unit_test_setup_teardown(a_file_that_still_grows_is_not_complete, make_root, drop_root),
        cmocka_unit_test_setup_teardown(a_folder_that_is_none_is_told_by_name, make_root, drop_root),
        cmocka_unit_test_setup_teardown(what_was_sent_is_known_by_file_and_by_session_also_later, make_root, drop_root),
        cmocka_unit_test_setup_teardown(a_line_that_is_none_is_told_with_its_place, make_root, drop_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
