/* stream/allow.h: who may come in: the allow-list, a text file that a person reads and writes.
 *
 *   # one client a line: public key, role, name
 *   Zx9...40 characters...  instrument           acquisition-pc
 *   B0k...                  viewer,instrument    sem-room-3    # sends, and looks on
 *
 * A key is a CURVE public key in Z85 (ZeroMQ RFC 32). Roles are one or several with commas between, none of them
 * blank; `guard` stands alone, for whoever holds the limits must not hold anything else. A name is 1 .. 64 of
 * [A-Za-z0-9._-], and stands in logs. Blanks or tabs part the three. # begins a comment at the beginning of a line or
 * after a blank: within a key it is a letter as any other, and no key begins with it.
 *
 * Threads  a list is a plain value.
 */
#ifndef FLY_STREAM_ALLOW_H
#define FLY_STREAM_ALLOW_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

enum fly_peer_role {
    FLY_PEER_VIEWER = 1,
    FLY_PEER_INSTRUMENT = 2,
    FLY_PEER_CONTROLLER = 4,
    FLY_PEER_OPERATOR = 8,
    FLY_PEER_GUARD = 16,
    FLY_PEER_ALL = 31, /* where there are no keys: whoever reaches the socket is of this machine */
};

enum {
    FLY_PEER_ROLES = 5,
    FLY_PEER_NAME_MAX = 64,
    FLY_Z85_LEN = 40,            /* a key of 32 bytes */
    FLY_ALLOW_MAX = 1024,        /* clients */
    FLY_ALLOW_FILE_MAX = 262144, /* bytes */
};

/* The i-th role, 0 .. FLY_PEER_ROLES - 1, and its name. */
enum fly_peer_role fly_peer_role_at(int32_t i);
const char *fly_peer_role_name(enum fly_peer_role role);

/* "viewer,operator" of a set of roles, "none" of the empty one; returns out, cut at cap. */
char *fly_peer_roles_text(uint32_t roles, char *out, size_t cap);

/* The set that such words name. FLY_ERANGE: a word that is no role, one twice, or guard with others. */
FLY_MUST_USE int fly_peer_roles_parse(uint32_t *roles, const char *words);

/* FLY_ERANGE unless 1 .. FLY_PEER_NAME_MAX of [A-Za-z0-9._-]. */
FLY_MUST_USE int fly_peer_name_check(const char *name);

/* 1: 40 characters that are 32 bytes in Z85. */
int fly_z85_is_key(const char *text, size_t len);

/* The 32 bytes of a key as its 40 characters; out has room for one more, NUL. */
void fly_z85_print(const unsigned char key[32], char out[FLY_Z85_LEN + 1]);

struct fly_allowed {
    char key[FLY_Z85_LEN + 1];
    uint32_t roles;
    char name[FLY_PEER_NAME_MAX + 1];
};

struct fly_allow_list {
    struct fly_allowed *items; /* (count), in order of keys */
    int32_t count;
};

/* Read a text; path stands in messages: "allow.txt:7: ...". The list is filled on success, untouched on error.
 * FLY_EWIRE   a line that is none, or a key that stands twice
 * FLY_ERANGE  more than FLY_ALLOW_MAX clients
 * FLY_ENOMEM */
FLY_MUST_USE int fly_allow_parse(struct fly_allow_list *list, const char *text, size_t len, const char *path);
void fly_allow_fini(struct fly_allow_list *list);

/* NULL: not among them. Lent. */
const struct fly_allowed *fly_allow_find(const struct fly_allow_list *list, const char *key);

/* What tells one state of a file from the next. */
struct fly_allow_print {
    uint64_t inode, size;
    int64_t changed_ns, modified_ns;
    int settled; /* 0: it was written a moment ago, and a further write might leave the same stamps */
};

/* Read a file. It may be anybody's to read, and a group's to write, but not everybody's.
 * FLY_EIO (it cannot be read, or whoever likes may write it), FLY_EWIRE, FLY_ERANGE, FLY_ENOMEM as above. The print
 * is filled whenever the file could be looked at. */
FLY_MUST_USE int fly_allow_read(struct fly_allow_list *list, const char *path, struct fly_allow_print *print);

/* 1: the file is not as it was when `print` was taken, or nobody can tell. */
int fly_allow_has_changed(const char *path, const struct fly_allow_print *print);

#endif
