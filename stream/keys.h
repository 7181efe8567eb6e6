/* stream/keys.h: key pairs on disk.
 *
 * A pair is a folder with two files of text, each line one thing, in this order:
 *
 *   DIR/secret.key, mode 0600        DIR/public.key, mode 0644
 *     flyback-key 1 secret             flyback-key 1 public
 *     name acquisition-pc              name acquisition-pc
 *     role instrument                  role instrument
 *     public <40 of Z85>               public <40 of Z85>
 *     secret <40 of Z85>               check 5b1f0a97
 *     check 01c3d2e4
 *
 * The keys are those of CURVE (ZeroMQ RFC 26, Curve25519) in Z85 (RFC 32). `check` is the CRC-32C of all bytes above
 * it, in eight hexadecimal digits: a file that was cut off, or put together from two, is told. `role` is what the pair
 * was made for, `server` or those of the allow-list (allow.h); what is in force stands in the allow-list alone.
 *
 * The secret file is one person's: reading refuses it where its mode lets others in, where another user owns it, and
 * where it is a link. The public file may be copied, renamed and sent about.
 *
 * Threads  pure but for the files and fly_fail's text.
 */
#ifndef FLY_STREAM_KEYS_H
#define FLY_STREAM_KEYS_H

#include <stddef.h>

#include "engine/base/err.h"
#include "stream/allow.h"
#include "stream/net.h"

#define FLY_SECRET_FILE "secret.key"
#define FLY_PUBLIC_FILE "public.key"

struct fly_key_pair {
    char name[FLY_PEER_NAME_MAX + 1];
    char role[64]; /* "server", "instrument", "viewer,instrument" */
    char public_key[FLY_Z85_LEN + 1];
    char secret_key[FLY_Z85_LEN + 1]; /* "" where the public file was read */
};

/* A fresh pair. Its public key begins with a letter or digit, and so is never taken for a path or an option.
 * FLY_ERANGE  name or role; FLY_EIO  the system has no random numbers */
FLY_MUST_USE int fly_key_pair_make(struct fly_key_pair *pair, const char *name, const char *role);

/* Forget the secret, also in this memory. */
void fly_key_pair_wipe(struct fly_key_pair *pair);

/* Write both files into a folder, which is made (mode 0700, those above it too) when it is missing. Nothing is
 * overwritten: FLY_EIO when one of them is there. After an error none of them is left that was not there before. */
FLY_MUST_USE int fly_key_pair_write(const struct fly_key_pair *pair, const char *folder);

/* The pair in a folder, from its secret file.
 * FLY_EIO    it cannot be read, or others could: the message says what to do (chmod 600 FILE)
 * FLY_EWIRE  no such file of Flyback's, one cut off or altered, a public key that is not of this secret one */
FLY_MUST_USE int fly_key_pair_read(struct fly_key_pair *pair, const char *folder);

/* A public file. FLY_EIO, FLY_EWIRE as above; FLY_EWIRE also for a secret file: it is not to be handed about. */
FLY_MUST_USE int fly_public_key_read(struct fly_key_pair *pair, const char *path);

/* The keys of a client: those of its folder, and the server's, a public file or the 40 characters themselves. What is
 * not given as such may be NULL; both or none. FLY_ERANGE when one is missing, or server is neither file nor key;
 * else as above, and curve is as it was. */
FLY_MUST_USE int fly_client_keys(struct fly_curve *curve, const char *folder, const char *server);

#endif
