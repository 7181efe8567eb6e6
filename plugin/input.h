/* plugin/input.h: what travels from the producer stage to the engine stage, and requests with their replies.
 *
 * Inputs come from a pool that the producer reserved; the engine stage sends each one back.
 */
#ifndef FLY_PLUGIN_INPUT_H
#define FLY_PLUGIN_INPUT_H

#include <stdint.h>

#include "plugin/bus.h"
#include "plugin/session.h"
#include "stream/net.h"
#include "stream/request.h"
#include "stream/wire.h"

enum fly_input_kind {
    FLY_INPUT_OPEN,    /* a session begins: info */
    FLY_INPUT_DATA,    /* ingest: lines or eds */
    FLY_INPUT_CONTROL, /* a journaled request, while a restart replays its recording: msg part 0 */
    FLY_INPUT_STOP,    /* no more data: finish, publish, say so. ingest has the stop */
};

struct fly_input {
    enum fly_input_kind kind;
    struct fly_msg msg;              /* owns what ingest's views point into */
    struct fly_ingest ingest;
    struct fly_session_info *info;   /* OPEN: held for the engine stage */
    struct fly_session_end end;      /* STOP */
    uint64_t ticket;                 /* in the recording; 0: not recorded */
    uint64_t as_of;                  /* contiguous seq of its stream, this one taken in */
    int64_t arrival_ns;              /* monotonic */
    void *copy;                      /* malloc: what ingest views while a recording is read back */
    size_t bytes;                    /* counted against ingest.queue_mib */
};

enum { FLY_JOB_PAYLOADS = FLY_PUB_MAP_PAYLOADS };

/* One request on its way from the publisher (which owns the control socket) to the engine and back. */
struct fly_job {
    struct fly_msg msg;        /* identity, empty part, header: request's views point into it */
    struct fly_request request;
    int ok;
    char code[32];             /* of the error */
    char message[480];
    unsigned char *result;     /* packed value, malloc; NULL: nil */
    size_t result_len;
    void *payload[FLY_JOB_PAYLOADS]; /* malloc */
    size_t payload_len[FLY_JOB_PAYLOADS];
    int n_payloads;
    uint64_t serial, ticket;   /* the reply waits until this is on disk; ticket 0: at once */
    int64_t wait_until_ns;
};

void fly_job_free(struct fly_job *job);

/* Points where `flyback run --crash-at POINT:N` ends itself by SIGKILL, for tests of restarts. */
enum fly_crash_point { FLY_CRASH_ARRIVAL, FLY_CRASH_RECORDED, FLY_CRASH_EMBEDDED, FLY_CRASH_PUBLISHED,
                       FLY_CRASH_POINTS };
/* "embedded:12": at the 12th time. FLY_ERANGE lists the points. */
FLY_MUST_USE int fly_crash_arm(const char *text);
void fly_crash_here(enum fly_crash_point point);

#endif
