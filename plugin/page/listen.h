/* plugin/page/listen.h: where the live page listens, and which requests are meant for it.
 *
 * The page listens to this machine alone: whoever reaches it may change the session, and there are no
 * keys to tell people apart. A web page from elsewhere, open in the same browser, can send requests here,
 * and by a name of its own that it makes point here (DNS rebinding) even read the answers; so the name
 * that a browser was told (Host) and the page that asks (Origin) must both be of this machine.
 *
 * Threads  pure but for fly_fail's text.
 */
#ifndef FLY_PLUGIN_PAGE_LISTEN_H
#define FLY_PLUGIN_PAGE_LISTEN_H

#include "engine/base/err.h"

struct fly_listen {
    char host[48]; /* "127.0.0.1", "[::1]": as it stands in an address of the web */
    int v6;
    int port;      /* 0: any free one */
};

/* "127.0.0.1:5580", "localhost:5580", "[::1]:0"; all of 127.0.0.0/8 is this machine.
 * FLY_ERANGE  not an address, or one that other machines reach: the message begins with the address */
FLY_MUST_USE int fly_listen_parse(struct fly_listen *out, const char *text);

/* A socket that listens there; the port is filled in where it was 0.
 * FLY_EIO  "127.0.0.1:5580: Address already in use" */
FLY_MUST_USE int fly_listen_open(int *fd, struct fly_listen *listen);

/* "http://127.0.0.1:5580/" */
void fly_listen_url(const struct fly_listen *listen, char out[96]);

/* 1: a Host header (NULL: none) names this machine and the port; an Origin header does, or there is none. */
int fly_listen_is_host(const struct fly_listen *listen, const char *host);
int fly_listen_is_origin(const struct fly_listen *listen, const char *origin);

#endif
