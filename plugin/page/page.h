/* plugin/page/page.h: the live page: an HTTP server inside `flyback run`, and a client of its sockets.
 *
 * What it serves stands in plugin/docs/page-api.md. Two threads of its own: one is a client of the plugin
 * as any other, subscribed to publish and asking control, and keeps the newest of everything
 * (page/cache.h); the other speaks HTTP (libmicrohttpd, one epoll loop). No stage of the plugin waits for
 * either. A viewer that does not read costs its connection and the one answer on its way, and what it
 * missed is skipped; viewers, connections, bodies and what is under way are limited.
 *
 * While somebody looks, the client asks the engine at most ten times a second what changed, once for all
 * viewers; else never.
 *
 * Threads  open and close from one thread.
 */
#ifndef FLY_PLUGIN_PAGE_PAGE_H
#define FLY_PLUGIN_PAGE_PAGE_H

#include "engine/base/clock.h"
#include "stream/net.h"

struct fly_page;

struct fly_page_config {
    struct fly_net *net;     /* lent */
    struct fly_clock clock;
    const char *listen;      /* "127.0.0.1:5580" (listen.h) */
    const char *publish, *control; /* addresses of the plugin's sockets, bound: inproc://... */
};

/* FLY_ERANGE  an address that is none or is open to other machines
 * FLY_EIO     it cannot be listened at: "127.0.0.1:5580: Address already in use"
 * FLY_ENOMEM */
FLY_MUST_USE int fly_page_open(struct fly_page **out, const struct fly_page_config *config);
void fly_page_close(struct fly_page **page);

/* "http://127.0.0.1:5580/", with the real port. Lent. */
const char *fly_page_url(const struct fly_page *page);

#endif
