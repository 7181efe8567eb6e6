#include "plugin/page/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 128, PORT_OF_HTTP = 80 };

/* Digits alone, so that no sign and no blank slips in. -1: no port. */
static int port_of(const char *text)
{
    int port = 0;

    if (!text[0] || strlen(text) > 5)
        return -1;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        port = port * 10 + (*at - '0');
    }
    return port <= 65535 ? port : -1;
}

int fly_listen_parse(struct fly_listen *out, const char *text)
{
    const char *colon = strrchr(text, ':');
    struct fly_listen made = {0};
    struct in_addr v4;
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!colon || len == 0 || len >= sizeof made.host || (made.port = port_of(colon + 1)) < 0)
        return fly_fail(FLY_ERANGE, "\"%.80s\" is no address to listen at; allowed: 127.0.0.1:PORT, [::1]:PORT (PORT 0: any "
                        "free one), or nothing", text);
    memcpy(made.host, text, len);
    if (strcmp(made.host, "localhost") == 0)
        snprintf(made.host, sizeof made.host, "127.0.0.1");
    made.v6 = strcmp(made.host, "[::1]") == 0;
    if (!made.v6 && (inet_pton(AF_INET, made.host, &v4) != 1 || ntohl(v4.s_addr) >> 24 != 127))
        return fly_fail(FLY_ERANGE, "\"%.80s\" is open to other machines; allowed: this machine (127.0.0.1:PORT, [::1]:PORT), "
                        "reached from another through a tunnel: ssh -L 5580:127.0.0.1:5580 USER@THIS_MACHINE", text);
    *out = made;
    return FLY_OK;
}

union name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t name_of(const struct fly_listen *listen, union name *name)
{
    memset(name, 0, sizeof *name);
    if (listen->v6) {
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_addr = in6addr_loopback;
        name->v6.sin6_port = htons((uint16_t)listen->port);
        return sizeof name->v6;
    }
    name->v4.sin_family = AF_INET;
    inet_pton(AF_INET, listen->host, &name->v4.sin_addr);
    name->v4.sin_port = htons((uint16_t)listen->port);
    return sizeof name->v4;
}

int fly_listen_open(int *fd, struct fly_listen *at)
{
    union name name;
    socklen_t len = name_of(at, &name), got = sizeof name;
    int made = socket(name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, said;

    /* Without it a plugin that is started again waits for the old one's connections to time out. */
    if (made >= 0 && setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(made, &name.any, len) == 0 && listen(made, BACKLOG) == 0 && getsockname(made, &name.any, &got) == 0) {
        at->port = ntohs(at->v6 ? name.v6.sin6_port : name.v4.sin_port);
        *fd = made;
        return FLY_OK;
    }
    said = errno;
    if (made >= 0)
        close(made);
    return fly_fail(FLY_EIO, "%s:%d: %s", at->host, at->port, strerror(said));
}

void fly_listen_url(const struct fly_listen *listen, char out[96])
{
    snprintf(out, 96, "http://%s:%d/", listen->host, listen->port);
}

int fly_listen_is_host(const struct fly_listen *listen, const char *host)
{
    const char *const names[] = {listen->host, "localhost", "127.0.0.1", "[::1]"};

    for (size_t i = 0; host && i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);

        if (strncasecmp(host, names[i], len) != 0)
            continue;
        if (host[len] == ':' ? port_of(host + len + 1) == listen->port
                             : host[len] == '\0' && listen->port == PORT_OF_HTTP)
            return 1;
    }
    return 0;
}

int fly_listen_is_origin(const struct fly_listen *listen, const char *origin)
{
    static const char scheme[] = "http://";

    return !origin || (strncmp(origin, scheme, sizeof scheme - 1) == 0 &&
                       fly_listen_is_host(listen, origin + sizeof scheme - 1));
}
