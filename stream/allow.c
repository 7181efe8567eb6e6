#include "stream/allow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_NS INT64_C(100000000) /* well above the grain of a file system's stamps */

static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
static const char name_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
static const char *const role_names[FLY_PEER_ROLES] = {"viewer", "instrument", "controller", "operator", "guard"};

/* ---- words -------------------------------------------------------------------------------------- */

enum fly_peer_role fly_peer_role_at(int32_t i)
{
    FLY_ASSERT(i >= 0 && i < FLY_PEER_ROLES);
    return (enum fly_peer_role)(1 << i);
}

const char *fly_peer_role_name(enum fly_peer_role role)
{
    for (int32_t i = 0; i < FLY_PEER_ROLES; i++)
        if (fly_peer_role_at(i) == role)
            return role_names[i];
    FLY_ASSERT(!"a role of its own");
    return NULL;
}

char *fly_peer_roles_text(uint32_t roles, char *out, size_t cap)
{
    size_t len = 0;

    FLY_ASSERT(cap > 0);
    snprintf(out, cap, "none");
    for (int32_t i = 0; i < FLY_PEER_ROLES; i++)
        if (roles >> i & 1 && len < cap)
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? "," : "", role_names[i]);
    return out;
}

int fly_peer_roles_parse(uint32_t *roles, const char *words)
{
    uint32_t set = 0;

    for (const char *at = words;; at++) {
        size_t len = strcspn(at, ",");
        int32_t i = 0;

        while (i < FLY_PEER_ROLES && (strlen(role_names[i]) != len || memcmp(role_names[i], at, len) != 0))
            i++;
        if (i == FLY_PEER_ROLES)
            return fly_fail(FLY_ERANGE, "\"%.40s\" is no role; allowed: viewer, instrument, controller, operator, guard, "
                            "or several with commas between", words);
        if (set & 1u << i)
            return fly_fail(FLY_ERANGE, "\"%.40s\" names the role %s twice", words, role_names[i]);
        set |= 1u << i;
        at += len;
        if (!*at)
            break;
    }
    if (set & FLY_PEER_GUARD && set != FLY_PEER_GUARD)
        return fly_fail(FLY_ERANGE, "\"%.40s\": guard stands alone: whoever holds the limits holds no other role", words);
    *roles = set;
    return FLY_OK;
}

int fly_peer_name_check(const char *name)
{
    size_t len = strlen(name);

    if (len < 1 || len > FLY_PEER_NAME_MAX || strspn(name, name_letters) != len)
        return fly_fail(FLY_ERANGE, "name \"%.80s\": 1 .. %d of [A-Za-z0-9._-] are allowed", name, FLY_PEER_NAME_MAX);
    return FLY_OK;
}

int fly_z85_is_key(const char *text, size_t len)
{
    if (len != FLY_Z85_LEN)
        return 0;
    for (size_t group = 0; group < len; group += 5) {
        uint64_t value = 0;

        for (size_t i = 0; i < 5; i++) {
            const char *at = text[group + i] ? strchr(z85, text[group + i]) : NULL;

            if (!at)
                return 0;
            value = value * 85 + (uint64_t)(at - z85);
        }
        if (value > UINT32_MAX)
            return 0;
    }
    return 1;
}

void fly_z85_print(const unsigned char key[32], char out[FLY_Z85_LEN + 1])
{
    for (int group = 0; group < 8; group++) {
        const unsigned char *b = key + 4 * group;
        uint32_t value = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];

        for (int i = 4; i >= 0; i--, value /= 85)
            out[5 * group + i] = z85[value % 85];
    }
    out[FLY_Z85_LEN] = '\0';
}

/* ---- the list ----------------------------------------------------------------------------------- */

static int order(const void *a, const void *b)
{
    return strcmp(((const struct fly_allowed *)a)->key, ((const struct fly_allowed *)b)->key);
}

const struct fly_allowed *fly_allow_find(const struct fly_allow_list *list, const char *key)
{
    struct fly_allowed wanted;

    if (list->count == 0 || strlen(key) != FLY_Z85_LEN)
        return NULL;
    memcpy(wanted.key, key, sizeof wanted.key);
    return bsearch(&wanted, list->items, (size_t)list->count, sizeof *list->items, order);
}

void fly_allow_fini(struct fly_allow_list *list)
{
    free(list->items);
    *list = (struct fly_allow_list){0};
}

/* The next word of a line, up to a comment; len 0: there is none. */
static const char *next_word(const char **at, const char *end, size_t *len)
{
    const char *word;

    while (*at < end && (**at == ' ' || **at == '\t'))
        (*at)++;
    word = *at;
    if (*at < end && **at == '#')
        *at = end;
    *len = 0;
    while (*at < end && **at != ' ' && **at != '\t') {
        (*at)++;
        (*len)++;
    }
    return word;
}

static int parse_line(struct fly_allowed *out, int *empty, const char *text, size_t len, const char *path, int line)
{
    const char *at = text, *end = text + len, *word;
    char words[3][FLY_PEER_NAME_MAX + 1];
    size_t n;
    int count = 0;

    if (memchr(text, '\0', len))
        return fly_fail(FLY_EWIRE, "%s:%d: a NUL byte: this is not a text", path, line);
    for (; (word = next_word(&at, end, &n)), n > 0; count++) {
        if (count == 3)
            return fly_fail(FLY_EWIRE, "%s:%d: \"%.*s\" stands behind the name; allowed: public key, role, name", path,
                            line, n > 40 ? 40 : (int)n, word);
        if (n >= sizeof words[0])
            return fly_fail(FLY_EWIRE, "%s:%d: a word of %zu letters; a key has %d, a name at most %d", path, line, n,
                            FLY_Z85_LEN, FLY_PEER_NAME_MAX);
        memcpy(words[count], word, n);
        words[count][n] = '\0';
    }
    *empty = count == 0;
    if (*empty)
        return FLY_OK;
    if (!fly_z85_is_key(words[0], strlen(words[0])))
        return fly_fail(FLY_EWIRE, "%s:%d: \"%.40s\" is no public key, which has %d letters of Z85", path, line, words[0],
                        FLY_Z85_LEN);
    if (count < 3)
        return fly_fail(FLY_EWIRE, "%s:%d: %s is missing; needed: public key, role, name", path, line,
                        count == 1 ? "the role" : "the name");
    memcpy(out->key, words[0], sizeof out->key);
    memcpy(out->name, words[2], sizeof out->name);
    if (fly_peer_roles_parse(&out->roles, words[1]) < 0 || fly_peer_name_check(words[2]) < 0) {
        char why[300];

        snprintf(why, sizeof why, "%s", fly_fail_text());
        return fly_fail(FLY_EWIRE, "%s:%d: %s", path, line, why);
    }
    return FLY_OK;
}

static int parse_lines(struct fly_allowed *items, int32_t *count, const char *text, size_t len, const char *path)
{
    int line = 1;

    for (size_t at = 0; at < len; line++) {
        const char *begin = text + at, *newline = memchr(begin, '\n', len - at);
        size_t n = newline ? (size_t)(newline - begin) : len - at, bare = n;
        struct fly_allowed item;
        int empty, rc;

        if (bare && begin[bare - 1] == '\r')
            bare--;
        rc = parse_line(&item, &empty, begin, bare, path, line);
        if (rc < 0)
            return rc;
        for (int32_t i = 0; !empty && i < *count; i++)
            if (strcmp(items[i].key, item.key) == 0)
                return fly_fail(FLY_EWIRE, "%s:%d: the key of %s stands above already, as that of %s: a key has one line",
                                path, line, item.name, items[i].name);
        if (!empty && *count == FLY_ALLOW_MAX)
            return fly_fail(FLY_ERANGE, "%s:%d: more than %d clients", path, line, FLY_ALLOW_MAX);
        if (!empty)
            items[(*count)++] = item;
        at += n + 1;
    }
    return FLY_OK;
}

int fly_allow_parse(struct fly_allow_list *list, const char *text, size_t len, const char *path)
{
    struct fly_allowed *items = calloc(FLY_ALLOW_MAX, sizeof *items);
    int32_t count = 0;
    int rc;

    if (!items)
        return fly_fail(FLY_ENOMEM, "%s: no memory for its lines", path);
    rc = parse_lines(items, &count, text, len, path);
    if (rc < 0) {
        free(items);
        return rc;
    }
    qsort(items, (size_t)count, sizeof *items, order);
    *list = (struct fly_allow_list){items, count};
    return FLY_OK;
}

/* ---- the file ----------------------------------------------------------------------------------- */

static int64_t stamp_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void take_print(struct fly_allow_print *print, const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    *print = (struct fly_allow_print){.inode = (uint64_t)st->st_ino,
                                      .size = (uint64_t)st->st_size,
                                      .changed_ns = stamp_ns(&st->st_ctim),
                                      .modified_ns = stamp_ns(&st->st_mtim)};
    print->settled = stamp_ns(&now) - print->changed_ns > SETTLE_NS;
}

int fly_allow_has_changed(const char *path, const struct fly_allow_print *print)
{
    struct fly_allow_print now;
    struct stat st;

    if (stat(path, &st) < 0)
        return 1;
    take_print(&now, &st);
    return !print->settled || now.inode != print->inode || now.size != print->size ||
           now.changed_ns != print->changed_ns || now.modified_ns != print->modified_ns;
}

static int read_text(int fd, const char *path, size_t size, struct fly_allow_list *list)
{
    char *text = malloc(size + 1);
    size_t have = 0;
    ssize_t n = 1;
    int rc;

    if (!text)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", path);
    while (have < size + 1 && (n = read(fd, text + have, size + 1 - have)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        have += (size_t)n;
    }
    if (n < 0)
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    else if (have != size)
        rc = fly_fail(FLY_EIO, "%s: it is being written", path);
    else
        rc = fly_allow_parse(list, text, have, path);
    free(text);
    return rc;
}

int fly_allow_read(struct fly_allow_list *list, const char *path, struct fly_allow_print *print)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    } else if (take_print(print, &st), !S_ISREG(st.st_mode)) {
        rc = fly_fail(FLY_EIO, "%s: no file, but a folder or device", path);
    } else if (st.st_mode & S_IWOTH) {
        rc = fly_fail(FLY_EIO, "%s: its mode %04o lets everybody write in it, and so let anybody in: chmod o-w %s", path,
                      (unsigned)(st.st_mode & 07777), path);
    } else if (st.st_size > FLY_ALLOW_FILE_MAX) {
        rc = fly_fail(FLY_EWIRE, "%s: %lld bytes, an allow-list has at most %d", path, (long long)st.st_size,
                      FLY_ALLOW_FILE_MAX);
    } else {
        rc = read_text(fd, path, (size_t)st.st_size, list);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}
