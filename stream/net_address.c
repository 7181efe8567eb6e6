#include "stream/net_address.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

enum { HOST_MAX = 253, NAME_MAX_INPROC = 255 };

static int check_port(const char *address, const char *port, int bind)
{
    long value = 0;
    size_t len = strlen(port);

    if (bind && strcmp(port, "*") == 0)
        return FLY_OK;
    for (size_t i = 0; i < len && i < 6; i++) {
        if (port[i] < '0' || port[i] > '9')
            value = 1000000;
        value = value * 10 + (port[i] - '0');
    }
    if (len < 1 || len > 5 || value > 65535 || (value < 1 && !bind))
        return fly_fail(FLY_ERANGE, "address %s: port \"%s\" is not %s", address, port,
                        bind ? "1 .. 65535, or * or 0 for any that is free" : "1 .. 65535");
    return FLY_OK;
}

static int check_tcp(struct fly_address_facts *facts, const char *address, int bind)
{
    const char *host = address + strlen("tcp://"), *colon = strrchr(host, ':');
    size_t len = colon ? (size_t)(colon - host) : 0;
    char name[HOST_MAX + 1];
    struct in_addr number;

    facts->is_tcp = 1;
    if (len < 1 || len > HOST_MAX)
        return fly_fail(FLY_ERANGE, "address %s: tcp://HOST:PORT is allowed", address);
    memcpy(name, host, len);
    name[len] = '\0';
    if (inet_pton(AF_INET, name, &number) == 1) {
        facts->is_loopback = ntohl(number.s_addr) >> 24 == 127;
    } else if (bind) {
        /* A name could turn out to be any interface; only numbers say what they open. */
        if (strcmp(name, "*") != 0)
            return fly_fail(FLY_ERANGE,
                            "address %s: to bind, \"%s\" must be an IPv4 number such as 127.0.0.1, or *",
                            address, name);
    } else if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != len) {
        return fly_fail(FLY_ERANGE, "address %s: \"%s\" is not a host name or IPv4 number", address, name);
    } else {
        facts->is_loopback = strcmp(name, "localhost") == 0;
    }
    return check_port(address, colon + 1, bind);
}

int fly_address_check(struct fly_address_facts *facts, const char *address, int bind)
{
    size_t len = strlen(address);

    *facts = (struct fly_address_facts){0};
    if (strncmp(address, "tcp://", 6) == 0)
        return check_tcp(facts, address, bind);
    facts->is_loopback = 1;
    if (strncmp(address, "ipc://", 6) == 0) {
        facts->is_ipc = 1;
        if (len == 6 || len - 6 >= sizeof((struct sockaddr_un *)0)->sun_path)
            return fly_fail(FLY_ERANGE, "address %s: a path of 1 .. %zu bytes follows ipc://", address,
                            sizeof((struct sockaddr_un *)0)->sun_path - 1);
        return FLY_OK;
    }
    if (strncmp(address, "inproc://", 9) == 0) {
        if (len == 9 || len - 9 > NAME_MAX_INPROC)
            return fly_fail(FLY_ERANGE, "address %s: a name of 1 .. %d bytes follows inproc://", address,
                            NAME_MAX_INPROC);
        return FLY_OK;
    }
    return fly_fail(FLY_ERANGE, "address %s: tcp://HOST:PORT, ipc://PATH and inproc://NAME are allowed",
                    address);
}
