/* plugin/verify.h: is a recording whole, and if not, what is wrong where?
 *
 * Threads  one a file.
 */
#ifndef FLY_PLUGIN_VERIFY_H
#define FLY_PLUGIN_VERIFY_H

#include "stream/recording.h"
#include "stream/wire.h"

/* What a recording's beginning says. */
struct fly_brief {
    char id[FLY_SESSION_MAX + 1];
    int64_t t_ns;   /* of its start message */
    int64_t bytes;
    int finished;   /* as far as its end tells without reading all: after a clean close */
    struct fly_start start;
};

/* FLY_EIO; FLY_EWIRE: no recording, or no start in it. */
FLY_MUST_USE int fly_brief_read(struct fly_brief *brief, const char *path);

struct fly_verified {
    uint64_t records, messages, requests, gaps; /* gaps: told ones */
    uint64_t decisions, commands, acks; /* of steering; stops among the commands */
    int finished;
    int32_t n_streams;
    struct {
        char name[FLY_NAME_MAX + 1];
        uint64_t last, have, missing; /* highest number seen or told by the stop; how many came; the difference */
    } stream[FLY_STREAMS_MAX];
    char wrong[256];  /* the first record that is: damage, a torn tail; "": none */
    char broken[256]; /* the first message that breaks the protocol, or that there is no start; "": none. Numbers that are
                       * missing are neither: an instrument may have dropped them */
};

/* Read all of it. FLY_EIO, FLY_ENOMEM; FLY_EWIRE: no recording. A recording that is wrong is FLY_OK, and says so. */
FLY_MUST_USE int fly_verify(struct fly_verified *verified, const char *path);

#endif
