#include "plugin/roles.h"

#include <string.h>

/* Whoever looks on, and whoever may do more than that. */
enum {
    LOOK = FLY_PEER_VIEWER | FLY_PEER_CONTROLLER | FLY_PEER_OPERATOR,
    STEER = FLY_PEER_CONTROLLER | FLY_PEER_OPERATOR,
    CHANGE = FLY_PEER_OPERATOR,
};

static const struct {
    const char *op;
    uint32_t roles;
} table[] = {
    {"status", FLY_PEER_ALL},
    {"map.get", LOOK},
    {"chip.get", LOOK},
    {"graph.curve", LOOK},
    {"crystallinity.get", LOOK},
    {"image.get", LOOK},
    {"region.get", LOOK},
    {"elements.get", LOOK},
    {"support.get", LOOK},
    {"changes.get", LOOK},
    {"dose.get", LOOK | FLY_PEER_GUARD},
    {"steer.hold", LOOK}, /* whoever sees that something is wrong may stop it */
    {"steer.attach", STEER | FLY_PEER_GUARD},
    {"steer.detach", STEER | FLY_PEER_GUARD},
    {"ack", STEER | FLY_PEER_GUARD}, /* the guard is the one that receives commands in auto */
    {"steer.decide", CHANGE},
    {"steer.resume", CHANGE},
    {"support.add", CHANGE},
    {"support.remove", CHANGE},
    {"class.rename", CHANGE},
    {"class.remove", CHANGE},
    {"params.set", CHANGE},
    {"frame.shift", CHANGE},
    {"cluster.name", CHANGE},
    {"cluster.role", CHANGE},
};

uint32_t fly_roles_of_op(const char *op)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(op, table[i].op) == 0)
            return table[i].roles;
    return CHANGE;
}

static int as_guard(struct fly_value args)
{
    struct fly_value value;
    const char *text;
    size_t len;

    return fly_value_get(args, "as", &value) && fly_value_str(value, &text, &len) && len == strlen("guard") &&
           memcmp(text, "guard", len) == 0;
}

int fly_roles_may(const struct fly_msg *msg, const char *op, struct fly_value args)
{
    uint32_t allowed = fly_roles_of_op(op);
    char have[64], need[64];
    const char *how = "";

    if (strcmp(op, "steer.attach") == 0) {
        int guard = as_guard(args);

        allowed = guard ? FLY_PEER_GUARD : STEER;
        how = guard ? " as guard" : "";
    }
    if (msg->roles & allowed)
        return FLY_OK;
    return fly_fail(FLY_ERANGE, "%s%s is not for the role %s%s%s; allowed: %s", op, how,
                    fly_peer_roles_text(msg->roles, have, sizeof have), msg->peer[0] ? " of " : "", msg->peer,
                    fly_peer_roles_text(allowed, need, sizeof need));
}
