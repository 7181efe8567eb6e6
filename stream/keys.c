#include "stream/keys.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream/recording.h"

enum { PATH_CAP = 1200, FILE_MAX = 512 };

void fly_key_pair_wipe(struct fly_key_pair *pair)
{
    explicit_bzero(pair->secret_key, sizeof pair->secret_key);
}

static int check_role(const char *role)
{
    uint32_t roles;

    if (strcmp(role, "server") == 0)
        return FLY_OK;
    if (fly_peer_roles_parse(&roles, role) < 0)
        return fly_fail(FLY_ERANGE, "role \"%.40s\": allowed are server, viewer, instrument, controller, operator, guard; or "
                        "several of a client's, but for guard, with commas between", role);
    return FLY_OK;
}

int fly_key_pair_make(struct fly_key_pair *pair, const char *name, const char *role)
{
    int rc = fly_peer_name_check(name);

    if (rc == FLY_OK)
        rc = check_role(role);
    if (rc < 0)
        return rc;
    *pair = (struct fly_key_pair){0};
    snprintf(pair->name, sizeof pair->name, "%s", name);
    snprintf(pair->role, sizeof pair->role, "%s", role);
    do
        rc = fly_curve_keypair(pair->public_key, pair->secret_key);
    while (rc == FLY_OK && !isalnum((unsigned char)pair->public_key[0]));
    return rc;
}

/* ---- writing ------------------------------------------------------------------------------------ */

static size_t print_file(const struct fly_key_pair *pair, int secret, char text[FILE_MAX])
{
    int n = snprintf(text, FILE_MAX, "flyback-key 1 %s\nname %s\nrole %s\npublic %s\n", secret ? "secret" : "public",
                     pair->name, pair->role, pair->public_key);

    if (secret)
        n += snprintf(text + n, (size_t)(FILE_MAX - n), "secret %s\n", pair->secret_key);
    n += snprintf(text + n, (size_t)(FILE_MAX - n), "check %08x\n", fly_crc32c(0, text, (size_t)n));
    FLY_ASSERT(n < FILE_MAX);
    return (size_t)n;
}

static int path_of(char path[PATH_CAP], const char *folder, const char *file)
{
    if (snprintf(path, PATH_CAP, "%s/%s", folder, file) >= PATH_CAP)
        return fly_fail(FLY_ERANGE, "%.100s...: a path of more than %d letters", folder, PATH_CAP - 1);
    return FLY_OK;
}

/* mkdir -p; nobody else may look into what is made. */
static int make_folder(const char *folder)
{
    char path[PATH_CAP];
    size_t len = strlen(folder);

    if (len == 0 || len >= sizeof path)
        return fly_fail(FLY_ERANGE, "folder \"%.100s\": 1 .. %d letters are allowed", folder, PATH_CAP - 1);
    memcpy(path, folder, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return fly_fail(FLY_EIO, "folder %s: %s", path, strerror(errno));
        path[i] = folder[i];
    }
    return FLY_OK;
}

static int write_all(int fd, const char *text, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, text + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return fsync(fd);
}

static int write_file(const char *path, const struct fly_key_pair *pair, int secret)
{
    char text[FILE_MAX];
    size_t len = print_file(pair, secret, text);
    mode_t mode = secret ? 0600 : 0644;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), rc = FLY_OK;

    if (fd < 0 && errno == EEXIST) {
        rc = fly_fail(FLY_EIO, "%s: there is a key already, and none is overwritten: choose another folder (--out), or move "
                      "the old pair away", path);
    } else if (fd < 0) {
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    } else {
        /* fchmod, for a mask may have taken more away than it should. */
        if (fchmod(fd, mode) < 0 || write_all(fd, text, len) < 0)
            rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
        close(fd);
        if (rc < 0)
            unlink(path);
    }
    explicit_bzero(text, sizeof text);
    return rc;
}

int fly_key_pair_write(const struct fly_key_pair *pair, const char *folder)
{
    char secret[PATH_CAP], public[PATH_CAP];
    int rc = make_folder(folder);

    if (rc == FLY_OK)
        rc = path_of(secret, folder, FLY_SECRET_FILE);
    if (rc == FLY_OK)
        rc = path_of(public, folder, FLY_PUBLIC_FILE);
    if (rc == FLY_OK)
        rc = write_file(secret, pair, 1);
    if (rc < 0)
        return rc;
    rc = write_file(public, pair, 0);
    if (rc < 0)
        unlink(secret);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static int judge_secret(const char *path, const struct stat *st)
{
    if (st->st_uid != geteuid())
        return fly_fail(FLY_EIO, "%s: it belongs to user %u, not to %u who runs this: a secret key is its user's own", path,
                        (unsigned)st->st_uid, (unsigned)geteuid());
    if (st->st_mode & 077)
        return fly_fail(FLY_EIO, "%s: its mode %04o lets others in, and a secret that others could read is none: chmod 600 "
                        "%s, or better make a new pair", path, (unsigned)(st->st_mode & 07777), path);
    return FLY_OK;
}

/* A whole small file. Of a secret one no link is followed: who may make one could lead us to another's file. */
static int read_file(char text[FILE_MAX + 1], size_t *len, const char *path, int secret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (secret ? O_NOFOLLOW : 0)), rc = FLY_OK;
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 && errno == ELOOP)
        return fly_fail(FLY_EIO, "%s: a link; a secret key is a file itself", path);
    if (fd < 0)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0)
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = fly_fail(FLY_EIO, "%s: no file, but a folder or device", path);
    else if (secret)
        rc = judge_secret(path, &st);
    for (*len = 0; rc == FLY_OK && *len < FILE_MAX + 1; *len += n > 0 ? (size_t)n : 0) {
        n = read(fd, text + *len, FILE_MAX + 1 - *len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    }
    close(fd);
    if (rc == FLY_OK && *len > FILE_MAX)
        rc = fly_fail(FLY_EWIRE, "%s: more than %d bytes: no key of Flyback's (flyback keygen makes them)", path, FILE_MAX);
    return rc;
}

/* "word rest of the line\n": the rest, of less than cap letters; 0: another line. */
static int take_line(const char **at, const char *end, const char *word, char *rest, size_t cap)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    size_t n = strlen(word), len;

    if (!newline || (size_t)(newline - *at) <= n || memcmp(*at, word, n) != 0 || (*at)[n] != ' ')
        return 0;
    len = (size_t)(newline - *at) - n - 1;
    if (len == 0 || len >= cap)
        return 0;
    memcpy(rest, *at + n + 1, len);
    rest[len] = '\0';
    *at = newline + 1;
    return strlen(rest) == len;
}

static int parse_file(struct fly_key_pair *pair, const char *text, size_t len, int secret, const char *path)
{
    const char *at = text, *end = text + len, *sum;
    char head[16], check[9], kind[8];
    int whole;

    if (!take_line(&at, end, "flyback-key", head, sizeof head))
        return fly_fail(FLY_EWIRE, "%s: no key of Flyback's (flyback keygen makes them)", path);
    if (strncmp(head, "1 ", 2) != 0)
        return fly_fail(FLY_EWIRE, "%s: a key of version %.8s; this program reads version 1", path, head);
    snprintf(kind, sizeof kind, "%.6s", head + 2);
    if (!secret && strcmp(kind, "secret") == 0)
        return fly_fail(FLY_EWIRE, "%s: a secret key, which never leaves its folder; " FLY_PUBLIC_FILE " beside it is meant",
                        path);
    if (strcmp(head + 2, secret ? "secret" : "public") != 0)
        return fly_fail(FLY_EWIRE, "%s: a key of kind \"%s\", %s is needed", path, head + 2, secret ? "secret" : "public");
    whole = take_line(&at, end, "name", pair->name, sizeof pair->name) &&
            take_line(&at, end, "role", pair->role, sizeof pair->role) &&
            take_line(&at, end, "public", pair->public_key, sizeof pair->public_key) &&
            (!secret || take_line(&at, end, "secret", pair->secret_key, sizeof pair->secret_key));
    sum = at;
    whole = whole && take_line(&at, end, "check", check, sizeof check) && at == end;
    if (whole) {
        char wanted[9];

        snprintf(wanted, sizeof wanted, "%08x", fly_crc32c(0, text, (size_t)(sum - text)));
        whole = strcmp(wanted, check) == 0;
    }
    if (!whole || fly_peer_name_check(pair->name) < 0 || check_role(pair->role) < 0 ||
        !fly_z85_is_key(pair->public_key, strlen(pair->public_key)) ||
        (secret && !fly_z85_is_key(pair->secret_key, strlen(pair->secret_key))))
        return fly_fail(FLY_EWIRE, "%s: cut off or altered: copy it again, or make a new pair with flyback keygen", path);
    return FLY_OK;
}

static int read_pair(struct fly_key_pair *pair, const char *path, int secret)
{
    struct fly_key_pair got = {0};
    char text[FILE_MAX + 1], public_key[FLY_Z85_LEN + 1];
    size_t len = 0;
    int rc = read_file(text, &len, path, secret);

    if (rc == FLY_OK)
        rc = parse_file(&got, text, len, secret, path);
    if (rc == FLY_OK && secret) {
        rc = fly_curve_public(got.secret_key, public_key);
        if (rc == FLY_OK && strcmp(public_key, got.public_key) != 0)
            rc = fly_fail(FLY_EWIRE, "%s: its two keys are not a pair", path);
    }
    if (rc == FLY_OK)
        *pair = got;
    explicit_bzero(text, sizeof text);
    fly_key_pair_wipe(&got);
    return rc;
}

int fly_key_pair_read(struct fly_key_pair *pair, const char *folder)
{
    char path[PATH_CAP];
    struct stat st;
    int rc = path_of(path, folder, FLY_SECRET_FILE);

    if (rc < 0)
        return rc;
    if (stat(folder, &st) < 0)
        return fly_fail(FLY_EIO, "%s: %s; a folder with a pair of keys is meant (flyback keygen --out %s)", folder,
                        strerror(errno), folder);
    if (!S_ISDIR(st.st_mode))
        return fly_fail(FLY_EIO, "%s: a file; the folder with the pair of keys is meant", folder);
    return read_pair(pair, path, 1);
}

int fly_public_key_read(struct fly_key_pair *pair, const char *path)
{
    return read_pair(pair, path, 0);
}

static int server_key(char key[FLY_Z85_LEN + 1], const char *server)
{
    struct fly_key_pair pair;
    struct stat st;
    int rc;

    if (stat(server, &st) < 0 && fly_z85_is_key(server, strlen(server)) && server[0] != '/' && server[0] != '.') {
        memcpy(key, server, FLY_Z85_LEN + 1);
        return FLY_OK;
    }
    if (stat(server, &st) < 0)
        return fly_fail(FLY_ERANGE, "server key %.200s: neither a file nor a key of %d characters; the server's "
                        FLY_PUBLIC_FILE " is meant", server, FLY_Z85_LEN);
    rc = fly_public_key_read(&pair, server);
    if (rc == FLY_OK)
        memcpy(key, pair.public_key, sizeof pair.public_key);
    return rc;
}

int fly_client_keys(struct fly_curve *curve, const char *folder, const char *server)
{
    struct fly_curve got = {0};
    struct fly_key_pair pair;
    int rc;

    if (!folder && !server)
        return FLY_OK;
    if (!folder || !server)
        return fly_fail(FLY_ERANGE, "--keys DIR and --server-key FILE go together: whoever shows a key wants to know to whom; "
                        "%s is missing", folder ? "--server-key" : "--keys");
    rc = server_key(got.server_key, server);
    if (rc == FLY_OK)
        rc = fly_key_pair_read(&pair, folder);
    if (rc < 0)
        return rc;
    memcpy(got.public_key, pair.public_key, sizeof pair.public_key);
    memcpy(got.secret_key, pair.secret_key, sizeof pair.secret_key);
    *curve = got;
    fly_key_pair_wipe(&pair);
    explicit_bzero(&got, sizeof got);
    return FLY_OK;
}
