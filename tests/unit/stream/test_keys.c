#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream/keys.h"

static char folder[64], secret[96], public[96], other[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fly_keys.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(secret, sizeof secret, "%s/secret.key", folder);
    snprintf(public, sizeof public, "%s/public.key", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    return 0;
}

static int drop_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct fly_key_pair make(const char *name, const char *role)
{
    struct fly_key_pair pair;

    if (fly_key_pair_make(&pair, name, role) != FLY_OK || fly_key_pair_write(&pair, folder) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    return pair;
}

static size_t slurp(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, cap, f);
    fclose(f);
    return n;
}

static void put(const char *path, const char *text, size_t len)
{
    FILE *f;

    unlink(path);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void expect_refused(int code, const char *words)
{
    struct fly_key_pair pair = {.name = "as it was"};

    assert_int_equal(fly_key_pair_read(&pair, folder), code);
    if (!strstr(fly_fail_text(), words))
        fail_msg("said \"%s\", not \"%s\"", fly_fail_text(), words);
    assert_string_equal(pair.name, "as it was");
}

static void what_was_written_is_read_with_the_modes_that_were_promised(void **state)
{
    struct fly_key_pair made = make("acquisition-pc", "viewer,instrument"), got;
    struct stat st;

    (void)state;
    assert_int_equal(stat(secret, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(public, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(fly_key_pair_read(&got, folder), FLY_OK);
    assert_memory_equal(&got, &made, sizeof got);
    assert_int_equal(fly_public_key_read(&got, public), FLY_OK);
    assert_string_equal(got.public_key, made.public_key);
    assert_string_equal(got.secret_key, "");
    assert_string_equal(got.role, "viewer,instrument");
    fly_key_pair_wipe(&made);
    for (size_t i = 0; i < sizeof made.secret_key; i++)
        assert_int_equal(made.secret_key[i], 0);
}

static void folders_that_are_missing_are_made_for_their_owner_alone(void **state)
{
    struct fly_key_pair pair;
    struct stat st;
    char deep[128];

    (void)state;
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    assert_int_equal(fly_key_pair_make(&pair, "n", "server"), FLY_OK);
    assert_int_equal(fly_key_pair_write(&pair, deep), FLY_OK);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    put(other, "", 0);
    snprintf(deep, sizeof deep, "%s/other/b", folder);
    assert_int_equal(fly_key_pair_write(&pair, deep), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "other"));
}

static void nothing_is_overwritten_and_nothing_half_is_left(void **state)
{
    struct fly_key_pair first = make("one", "viewer"), second, got;

    (void)state;
    assert_int_equal(fly_key_pair_make(&second, "two", "viewer"), FLY_OK);
    assert_int_equal(fly_key_pair_write(&second, folder), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "secret.key: there is a key already"));
    assert_int_equal(fly_key_pair_read(&got, folder), FLY_OK);
    assert_string_equal(got.secret_key, first.secret_key);
    assert_int_equal(unlink(secret), 0); /* the public half alone is a key too */
    assert_int_equal(fly_key_pair_write(&second, folder), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "public.key: there is a key already"));
    assert_int_not_equal(access(secret, F_OK), 0);
    assert_int_equal(fly_public_key_read(&got, public), FLY_OK);
    assert_string_equal(got.public_key, first.public_key);
}

static void a_secret_that_others_reach_is_refused_with_the_command_that_helps(void **state)
{
    static const mode_t modes[] = {0640, 0620, 0604, 0602, 0660, 0644, 0666, 0610, 0601, 0777};
    struct fly_key_pair pair = make("one", "viewer");

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(secret, modes[i]), 0);
        expect_refused(FLY_EIO, "chmod 600");
    }
    assert_int_equal(chmod(secret, 0400), 0); /* stricter is fine */
    assert_int_equal(fly_key_pair_read(&pair, folder), FLY_OK);
    assert_int_equal(chmod(secret, 0600), 0);
    assert_int_equal(rename(secret, other), 0);
    assert_int_equal(symlink(other, secret), 0);
    expect_refused(FLY_EIO, "a link");
    assert_int_equal(unlink(secret), 0);
    expect_refused(FLY_EIO, "No such file");
    assert_int_equal(mkdir(secret, 0700), 0);
    expect_refused(FLY_EIO, "no file");
    assert_int_equal(rmdir(secret), 0);
    assert_int_equal(mkfifo(secret, 0600), 0); /* must not be waited for */
    expect_refused(FLY_EIO, "no file");
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(fly_key_pair_read(&pair, public), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "the folder"));
    assert_int_equal(fly_key_pair_read(&pair, "/nowhere/keys"), FLY_EIO);
    if (geteuid() == 0) {
        assert_int_equal(rename(other, secret), 0);
        assert_int_equal(chown(secret, 65534, (gid_t)-1), 0);
        expect_refused(FLY_EIO, "belongs to user 65534");
    }
}

static void each_byte_counts(void **state)
{
    struct fly_key_pair pair = make("one", "viewer"), got;
    char text[1024], changed[1024];
    const char *paths[2] = {secret, public};

    (void)state;
    for (int p = 0; p < 2; p++) {
        size_t len = slurp(paths[p], text, sizeof text);

        for (size_t i = 0; i < len; i++) {
            for (int bit = 0; bit < 8; bit += 3) {
                memcpy(changed, text, len);
                changed[i] ^= (char)(1 << bit);
                put(other, changed, len);
                if (p == 0) {
                    put(secret, changed, len);
                    assert_int_equal(fly_key_pair_read(&got, folder), FLY_EWIRE);
                } else {
                    assert_int_equal(fly_public_key_read(&got, other), FLY_EWIRE);
                }
            }
            put(other, text, i); /* cut off before it */
            if (p == 0) {
                put(secret, text, i);
                assert_int_equal(fly_key_pair_read(&got, folder), FLY_EWIRE);
            } else {
                assert_int_equal(fly_public_key_read(&got, other), FLY_EWIRE);
            }
        }
        memcpy(changed, text, len);
        changed[len] = '\n';
        put(p == 0 ? secret : other, changed, len + 1);
        assert_int_equal(p == 0 ? fly_key_pair_read(&got, folder) : fly_public_key_read(&got, other), FLY_EWIRE);
        put(p == 0 ? secret : other, text, len);
        assert_int_equal(p == 0 ? fly_key_pair_read(&got, folder) : fly_public_key_read(&got, other), FLY_OK);
        assert_string_equal(got.public_key, pair.public_key);
    }
}

static void what_is_no_key_of_ours_is_called_what_it_is(void **state)
{
    static const char ssh[] = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n";
    struct fly_key_pair pair = make("one", "viewer"), second, got;
    char big[2048] = {0};

    (void)state;
    put(secret, ssh, strlen(ssh));
    expect_refused(FLY_EWIRE, "no key of Flyback's");
    put(secret, "", 0);
    expect_refused(FLY_EWIRE, "no key of Flyback's");
    put(secret, big, sizeof big);
    expect_refused(FLY_EWIRE, "more than 512 bytes");
    put(secret, "flyback-key 2 secret\n", 21);
    expect_refused(FLY_EWIRE, "version 2");
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(rename(public, secret), 0);
    assert_int_equal(chmod(secret, 0600), 0);
    expect_refused(FLY_EWIRE, "kind \"public\"");
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(fly_key_pair_make(&second, "two", "viewer"), FLY_OK);
    memcpy(pair.secret_key, second.secret_key, sizeof pair.secret_key); /* a right sum over keys of two pairs */
    assert_int_equal(fly_key_pair_write(&pair, folder), FLY_OK);
    expect_refused(FLY_EWIRE, "not a pair");
    assert_int_equal(fly_public_key_read(&got, secret), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "never leaves its folder"));
}

static void names_and_roles_that_are_none_make_no_pair(void **state)
{
    struct fly_key_pair pair;

    (void)state;
    assert_int_equal(fly_key_pair_make(&pair, "", "viewer"), FLY_ERANGE);
    assert_int_equal(fly_key_pair_make(&pair, "a b", "viewer"), FLY_ERANGE);
    assert_int_equal(fly_key_pair_make(&pair, "a", "boss"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "server, viewer, instrument"));
    assert_int_equal(fly_key_pair_make(&pair, "a", "guard,operator"), FLY_ERANGE);
    assert_int_equal(fly_key_pair_make(&pair, "a", "server"), FLY_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(fly_key_pair_make(&pair, "a", "guard"), FLY_OK);
        assert_null(strchr("/.-#$=+*&<>()[]{}@%^!?:", pair.public_key[0]));
    }
}

static void a_client_needs_its_own_pair_and_the_servers_key(void **state)
{
    struct fly_key_pair pair = make("one", "viewer");
    struct fly_curve curve = {.server_key = "as it was"};

    (void)state;
    assert_int_equal(fly_client_keys(&curve, NULL, NULL), FLY_OK);
    assert_string_equal(curve.server_key, "as it was");
    assert_int_equal(fly_client_keys(&curve, folder, NULL), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "--server-key is missing"));
    assert_int_equal(fly_client_keys(&curve, NULL, public), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "--keys is missing"));
    assert_int_equal(fly_client_keys(&curve, folder, "public.kez"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "neither a file nor a key"));
    /* Forty letters that could be a key, and are a path that is missing. */
    assert_int_equal(fly_client_keys(&curve, folder, "/srv/flyback/keys/server/key/public.keyy"), FLY_ERANGE);
    assert_int_equal(fly_client_keys(&curve, folder, secret), FLY_EWIRE);
    assert_string_equal(curve.server_key, "as it was");
    for (int by_file = 0; by_file < 2; by_file++) {
        assert_int_equal(fly_client_keys(&curve, folder, by_file ? public : pair.public_key), FLY_OK);
        assert_string_equal(curve.server_key, pair.public_key);
        assert_string_equal(curve.public_key, pair.public_key);
        assert_string_equal(curve.secret_key, pair.secret_key);
        memset(&curve, 0, sizeof curve);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_with_the_modes_that_were_promised, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(folders_that_are_missing_are_made_for_their_owner_alone, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(nothing_is_overwritten_and_nothing_half_is_left, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_secret_that_others_reach_is_refused_with_the_command_that_helps, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(each_byte_counts, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(what_is_no_key_of_ours_is_called_what_it_is, make_folder, drop_folder),
        cmocka_unit_test(names_and_roles_that_are_none_make_no_pair),
        cmocka_unit_test_setup_teardown(a_client_needs_its_own_pair_and_the_servers_key, make_folder, drop_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
