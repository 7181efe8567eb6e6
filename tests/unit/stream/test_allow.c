#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "engine/base/rng.h"
#include "stream/allow.h"

#define A "0123456789abcdefghij0123456789abcdefghij"
#define B "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define C "x#x$xx#x$xx#x$xx#x$xx#x$xx#x$xx#x$xx#x$x" /* # and $ are letters of a key, but for the first of five */

static char folder[64], file[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fly_allow.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/allow.txt", folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder);
}

static void write_text(const char *text)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void lines_of_people_are_read(void **state)
{
    static const char text[] = "# the lab\n"
                               "\n"
                               A " instrument acquisition-pc\n"
                               "  " B "\tviewer,operator \t room.3   # sends, and looks on\r\n"
                               "\t# nobody else\n" C " guard g_1#x\n";
    struct fly_allow_list list = {0};
    const struct fly_allowed *found;

    (void)state;
    /* g_1#x: a name has no #, and a comment needs a blank before it. */
    assert_int_equal(fly_allow_parse(&list, text, strlen(text), "allow.txt"), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "allow.txt:6: name"));
    assert_null(list.items);
    assert_int_equal(fly_allow_parse(&list, text, strlen(text) - 3, "allow.txt"), FLY_OK);
    assert_int_equal(list.count, 3);
    found = fly_allow_find(&list, A);
    assert_non_null(found);
    assert_int_equal(found->roles, FLY_PEER_INSTRUMENT);
    assert_string_equal(found->name, "acquisition-pc");
    found = fly_allow_find(&list, B);
    assert_non_null(found);
    assert_int_equal(found->roles, FLY_PEER_VIEWER | FLY_PEER_OPERATOR);
    assert_string_equal(found->name, "room.3");
    found = fly_allow_find(&list, C);
    assert_non_null(found);
    assert_int_equal(found->roles, FLY_PEER_GUARD);
    assert_null(fly_allow_find(&list, "0123456789abcdefghij0123456789abcdefghiJ"));
    assert_null(fly_allow_find(&list, ""));
    assert_null(fly_allow_find(&list, A "0"));
    fly_allow_fini(&list);
    assert_int_equal(fly_allow_parse(&list, "", 0, "allow.txt"), FLY_OK); /* nobody is a list, too */
    assert_int_equal(list.count, 0);
    assert_null(fly_allow_find(&list, A));
    fly_allow_fini(&list);
}

static void a_wrong_line_is_told_by_its_number_and_takes_the_whole_list_along(void **state)
{
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {A " viewer one\n" B "\n", "x:2: the role is missing"},
        {A " viewer one\n\n" B " viewer\n", "x:3: the name is missing"},
        {A " viewer one more\n", "x:1: \"more\" stands behind the name"},
        {"# ok\nviewer one " A "\n", "x:2: \"viewer\" is no public key"},
        {"0123456789abcdefghij0123456789abcdefghi viewer one\n", "is no public key"},
        {A "0 viewer one\n", "is no public key"},
        {"%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc1 viewer one\n", "is no public key"}, /* 2^32 and more */
        {"\"123456789abcdefghij0123456789abcdefghij viewer one\n", "is no public key"},
        {A " boss one\n", "\"boss\" is no role; allowed: viewer"},
        {A " viewer, one\n", "\"viewer,\" is no role"},
        {A " viewer,viewer one\n", "twice"},
        {A " operator,guard one\n", "guard stands alone"},
        {A " viewer o/ne\n", "name \"o/ne\""},
        {A " viewer one\n" A " operator two\n", "x:2: the key of two stands above already, as that of one"},
        {A " viewer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "x:1: a word of"},
    };
    struct fly_allow_list list = {0};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(fly_allow_parse(&list, wrong[i].text, strlen(wrong[i].text), "x"), FLY_EWIRE);
        if (!strstr(fly_fail_text(), wrong[i].words))
            fail_msg("%s\nsaid \"%s\", not \"%s\"", wrong[i].text, fly_fail_text(), wrong[i].words);
        assert_null(list.items);
    }
    assert_int_equal(fly_allow_parse(&list, A " viewer o\0e\n", strlen(A) + 12, "x"), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "NUL"));
}

static void a_list_has_an_end(void **state)
{
    size_t cap = (FLY_ALLOW_MAX + 1) * 64, len = 0;
    char *text = malloc(cap);
    struct fly_allow_list list = {0};

    (void)state;
    assert_non_null(text);
    for (int i = 0; i <= FLY_ALLOW_MAX; i++) {
        if (i == FLY_ALLOW_MAX) {
            assert_int_equal(fly_allow_parse(&list, text, len, "x"), FLY_OK);
            assert_int_equal(list.count, FLY_ALLOW_MAX);
            fly_allow_fini(&list);
        }
        len += (size_t)snprintf(text + len, cap - len, "%05d%035d viewer n%d\n", i, 0, i);
    }
    assert_int_equal(fly_allow_parse(&list, text, len, "x"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "x:1025"));
    free(text);
}

/* The list as a text again, in its own order. */
static size_t print_list(const struct fly_allow_list *list, char *text, size_t cap)
{
    char roles[64];
    size_t len = 0;

    for (int32_t i = 0; i < list->count; i++)
        len += (size_t)snprintf(text + len, cap - len, "%s %s %s\n", list->items[i].key,
                                fly_peer_roles_text(list->items[i].roles, roles, sizeof roles), list->items[i].name);
    return len;
}

static void whatever_is_taken_reads_the_same_when_written_again(void **state)
{
    static const char seed[] = "# lab\n" A " viewer,operator one\r\n\n" B "\tguard  two # x\n" C " instrument three";
    static const char letters[] = " \t\n\r#,aA0{viewer\0";
    struct fly_rng rng = {.state = 7};
    char text[512], again[512], third[512];
    int taken = 0, refused = 0;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        struct fly_allow_list list = {0}, back = {0};
        size_t len = sizeof seed - 1, n;

        memcpy(text, seed, len);
        for (uint64_t edits = fly_rng_below(&rng, 4); edits; edits--) {
            size_t place = (size_t)fly_rng_below(&rng, len);
            char letter = letters[fly_rng_below(&rng, sizeof letters - 1)];

            switch (fly_rng_below(&rng, 3)) {
            case 0: text[place] = letter; break;
            case 1: memmove(text + place, text + place + 1, len-- - place - 1); break;
            default:
                memmove(text + place + 1, text + place, len++ - place);
                text[place] = letter;
            }
        }
        if (fly_allow_parse(&list, text, len, "x") < 0) {
            assert_null(list.items);
            assert_memory_equal(fly_fail_text(), "x:", 2);
            refused++;
            continue;
        }
        taken++;
        n = print_list(&list, again, sizeof again);
        assert_int_equal(fly_allow_parse(&back, again, n, "x"), FLY_OK);
        assert_int_equal(print_list(&back, third, sizeof third), n);
        assert_memory_equal(again, third, n);
        for (int32_t i = 0; i < list.count; i++)
            assert_ptr_equal(fly_allow_find(&list, list.items[i].key), &list.items[i]);
        fly_allow_fini(&back);
        fly_allow_fini(&list);
    }
    assert_true(taken > 1000 && refused > 1000);
}

static void z85_agrees_with_the_library_that_uses_it(void **state)
{
    unsigned char raw[32], back[32];
    char ours[41], theirs[41];

    (void)state;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 32; i++)
            raw[i] = round == 0 ? 0 : round == 1 ? 255 : (unsigned char)rand();
        fly_z85_print(raw, ours);
        assert_non_null(zmq_z85_encode(theirs, raw, 32));
        assert_string_equal(ours, theirs);
        assert_true(fly_z85_is_key(ours, 40));
        assert_non_null(zmq_z85_decode(back, ours));
        assert_memory_equal(back, raw, 32);
        assert_int_not_equal(ours[0], '#'); /* a line that begins with it is a comment */
    }
}

static void roles_are_told_as_they_are_read(void **state)
{
    char text[64], cut[8];

    (void)state;
    for (uint32_t set = 1; set <= FLY_PEER_ALL; set++) {
        uint32_t got = 0;
        int alone = !(set & FLY_PEER_GUARD) || set == FLY_PEER_GUARD;

        assert_int_equal(fly_peer_roles_parse(&got, fly_peer_roles_text(set, text, sizeof text)), alone ? FLY_OK : FLY_ERANGE);
        assert_int_equal(got, alone ? set : 0);
    }
    assert_string_equal(fly_peer_roles_text(0, text, sizeof text), "none");
    assert_string_equal(fly_peer_roles_text(FLY_PEER_ALL, cut, sizeof cut), "viewer,");
}

static void a_file_that_anybody_may_write_is_no_list(void **state)
{
    struct fly_allow_list list = {0};
    struct fly_allow_print print;

    (void)state;
    write_text(A " viewer one\n");
    assert_int_equal(chmod(file, 0664), 0);
    assert_int_equal(fly_allow_read(&list, file, &print), FLY_OK);
    assert_int_equal(list.count, 1);
    fly_allow_fini(&list);
    assert_int_equal(chmod(file, 0666), 0);
    assert_int_equal(fly_allow_read(&list, file, &print), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "chmod o-w"));
    assert_int_equal(fly_allow_read(&list, folder, &print), FLY_EIO);
    assert_int_equal(fly_allow_read(&list, "/nowhere/allow.txt", &print), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "No such file"));
}

static void a_change_is_noticed_even_one_that_keeps_size_and_time(void **state)
{
    struct fly_allow_list list = {0};
    struct fly_allow_print print;
    struct timespec stamps[2];
    struct stat st;

    (void)state;
    write_text(A " viewer one\n");
    do { /* until the file has rested long enough to be trusted */
        assert_int_equal(fly_allow_read(&list, file, &print), FLY_OK);
        fly_allow_fini(&list);
    } while (!print.settled);
    assert_false(fly_allow_has_changed(file, &print));
    assert_int_equal(stat(file, &st), 0);
    write_text(A " viewer two\n");
    stamps[0] = st.st_atim;
    stamps[1] = st.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, file, stamps, 0), 0);
    assert_true(fly_allow_has_changed(file, &print));
    assert_int_equal(fly_allow_read(&list, file, &print), FLY_OK);
    assert_string_equal(list.items[0].name, "two");
    fly_allow_fini(&list);
    assert_true(fly_allow_has_changed(file, &print)); /* a moment ago: once more */
    unlink(file);
    assert_true(fly_allow_has_changed(file, &print));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_people_are_read),
        cmocka_unit_test(a_wrong_line_is_told_by_its_number_and_takes_the_whole_list_along),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(whatever_is_taken_reads_the_same_when_written_again),
        cmocka_unit_test(z85_agrees_with_the_library_that_uses_it),
        cmocka_unit_test(roles_are_told_as_they_are_read),
        cmocka_unit_test_setup_teardown(a_file_that_anybody_may_write_is_no_list, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_change_is_noticed_even_one_that_keeps_size_and_time, make_folder, drop_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
