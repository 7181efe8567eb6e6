/* plugin/dose.h: the dose of a session on its way to people: published, asked for, written into files.
 *
 * Dose is dwell times fly_dose_factor where the session's start tells its beam current and its pixel size is known, and
 * dwell in us, a relative unit, elsewhere. A chip with an exposure whose dwell nothing told has none: NaN.
 *
 * Threads  a dose belongs to one.
 */
#ifndef FLY_PLUGIN_DOSE_H
#define FLY_PLUGIN_DOSE_H

#include <stdint.h>

#include "stream/publish.h"

struct fly_job;
struct fly_session;
struct fly_session_info;

struct fly_dose {
    uint64_t serial;  /* of the session; 0: empty */
    uint64_t version; /* of the ledger that it was taken from */
    int32_t n_chips, cap_chips;
    struct fly_pub_dose told; /* as_of left out: see below */
    uint64_t as_of[FLY_STREAMS_MAX];
    float *mean, *most; /* (n_chips), in the unit told; told.chips is mean */
};

/* Make room for so many chips; what it held is lost when it had less. FLY_ENOMEM: it is empty. A dose of zeros is fine. */
FLY_MUST_USE int fly_dose_fit(struct fly_dose *dose, int32_t n_chips);
void fly_dose_fini(struct fly_dose *dose);
FLY_MUST_USE int fly_dose_copy(struct fly_dose *to, const struct fly_dose *from);

/* 1: the session's ledger changed since the dose was taken from it, or, of a dose of zeros, since it began. */
int fly_dose_differs(const struct fly_dose *dose, struct fly_session *session);

/* As it is now. FLY_ENOMEM. */
FLY_MUST_USE int fly_dose_take(struct fly_dose *dose, struct fly_session *session,
                               const uint64_t as_of[FLY_STREAMS_MAX]);

/* The message of topic `dose`, and what dose.get answers: fills ok and result with two payloads (means, largest pixels),
 * or code and message. */
FLY_MUST_USE int fly_dose_message(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                                  const struct fly_dose *dose, const struct fly_session_info *info);
void fly_dose_get(struct fly_session *session, struct fly_job *job, const uint64_t as_of[FLY_STREAMS_MAX]);

#endif
