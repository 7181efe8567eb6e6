#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream/disk.h"
#include "tests/support/records.h"

static void a_file_written_whole_is_read_back(void **state)
{
    char dir[64], path[128], tmp[136];
    unsigned char *bytes = NULL;
    size_t len = 1;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    assert_int_equal(fly_file_write(path, "", 0), FLY_OK);
    assert_int_equal(fly_file_read(path, 0, &bytes, &len), FLY_OK);
    assert_int_equal(len, 0);
    free(bytes);
    assert_int_equal(fly_file_write(path, "abc\0def", 7), FLY_OK);
    assert_int_equal(fly_file_read(path, 7, &bytes, &len), FLY_OK);
    assert_int_equal(len, 7);
    assert_memory_equal(bytes, "abc\0def", 7);
    free(bytes);
    assert_int_equal(access(tmp, F_OK), -1);
    folder_remove(dir, (const char *[]){"file"}, 1);
}

static void a_file_larger_than_asked_for_is_refused(void **state)
{
    char dir[64], path[128];
    unsigned char *bytes = NULL;
    size_t len = 99;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    assert_int_equal(fly_file_write(path, "12345678", 8), FLY_OK);
    assert_int_equal(fly_file_read(path, 7, &bytes, &len), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), path));
    assert_null(bytes);
    assert_int_equal(len, 99);
    folder_remove(dir, (const char *[]){"file"}, 1);
}

static void what_the_system_refuses_is_told_with_the_path(void **state)
{
    char dir[64], path[128];
    unsigned char *bytes = NULL;
    size_t len;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/none/file", dir);
    assert_int_equal(fly_file_read(path, 10, &bytes, &len), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), path));
    assert_non_null(strstr(fly_fail_text(), strerror(ENOENT)));
    assert_int_equal(fly_file_write(path, "x", 1), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), path));
    assert_int_equal(fly_file_read(dir, 1 << 20, &bytes, &len), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), strerror(EISDIR)));
    folder_remove(dir, NULL, 0);
}

static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    char dir[64], path[128], tmp[136];

    folder_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    /* A folder cannot be replaced by a file: rename fails, after all else went well. */
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(fly_file_write(path, "new", 3), FLY_EIO);
    assert_int_equal(access(tmp, F_OK), -1);
    assert_int_equal(rmdir(path), 0);
    folder_remove(dir, NULL, 0);
}

static void a_file_being_written_has_no_second_writer(void **state)
{
    struct fly_disk disk = fly_disk_system();
    char dir[64], path[128];
    int first, second;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    first = disk.open(disk.ctx, path, O_RDWR | O_CREAT | O_EXCL, 0644);
    assert_true(first >= 0);
    assert_int_equal(disk.open(disk.ctx, path, O_RDWR, 0), -EWOULDBLOCK);
    second = disk.open(disk.ctx, path, O_RDONLY, 0);
    assert_true(second >= 0);
    assert_int_equal(disk.close(disk.ctx, first), 0);
    first = disk.open(disk.ctx, path, O_RDWR, 0);
    assert_true(first >= 0);
    assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
    disk.close(disk.ctx, first);
    disk.close(disk.ctx, second);
    folder_remove(dir, (const char *[]){"file"}, 1);
}

static void the_system_table_does_what_the_calls_do(void **state)
{
    struct fly_disk disk = fly_disk_system();
    char dir[64], path[128], back[8] = "";
    struct stat about;
    int fd;

    folder_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    assert_int_equal(disk.open(disk.ctx, path, O_RDONLY, 0), -ENOENT);
    fd = disk.open(disk.ctx, path, O_RDWR | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(disk.pwrite(disk.ctx, fd, "abcdef", 6, 2), 6);
    assert_int_equal(disk.size(disk.ctx, fd), 8);
    assert_int_equal(disk.truncate(disk.ctx, fd, 5), 0);
    assert_int_equal(disk.pread(disk.ctx, fd, back, 8, 0), 5);
    assert_memory_equal(back, "\0\0abc", 5);
    assert_int_equal(disk.sync(disk.ctx, fd), 0);
    assert_int_equal(disk.sync_dir(disk.ctx, path), 0);
    assert_int_equal(disk.sync_dir(disk.ctx, "/tmp"), 0);
    assert_int_equal(disk.sync_dir(disk.ctx, "a_name_in_this_folder"), 0);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777 & ~0644, 0);
    assert_int_equal(disk.close(disk.ctx, fd), 0);
    assert_true(disk.is_real(disk.ctx));
    folder_remove(dir, (const char *[]){"file"}, 1);
}

static void folders_are_made_with_those_above_them(void **state)
{
    char dir[64], deep[128], mid[128], file[128], under[160];
    struct stat about;

    (void)state;
    folder_make(dir);
    snprintf(mid, sizeof mid, "%s/a", dir);
    snprintf(deep, sizeof deep, "%s/a//b/", dir);
    assert_int_equal(fly_folder_make(deep), FLY_OK);
    assert_int_equal(stat(deep, &about), 0);
    assert_true(S_ISDIR(about.st_mode));
    assert_int_equal(fly_folder_make(deep), FLY_OK);

    /* A file in the way is told by its name. */
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(under, sizeof under, "%s/below", file);
    assert_int_equal(fly_file_write(file, "x", 1), FLY_OK);
    assert_int_equal(fly_folder_make(under), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "file"));
    assert_int_equal(fly_folder_make(file), FLY_EIO);
    assert_int_equal(fly_folder_make(""), FLY_EIO);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(mid), 0);
    folder_remove(dir, (const char *[]){"file"}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_written_whole_is_read_back),
        cmocka_unit_test(a_file_larger_than_asked_for_is_refused),
        cmocka_unit_test(what_the_system_refuses_is_told_with_the_path),
        cmocka_unit_test(a_failed_write_leaves_the_old_file_and_no_other),
        cmocka_unit_test(a_file_being_written_has_no_second_writer),
        cmocka_unit_test(the_system_table_does_what_the_calls_do),
        cmocka_unit_test(folders_are_made_with_those_above_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
