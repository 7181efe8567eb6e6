/* plugin/look.h: the requests that only look at a session: map.get with exact, chip.get. */
#ifndef FLY_PLUGIN_LOOK_H
#define FLY_PLUGIN_LOOK_H

#include "plugin/input.h"
#include "plugin/session.h"

enum { FLY_RESULT_CAP = 256 * 1024 }; /* bytes of a reply's result */

/* 1: a map.get that asks for the exact partition of what is assembled now. */
int fly_look_is_exact(const struct fly_job *job);

/* Answer: fills ok and result with payloads, or code and message. session may be NULL. t_ns: now, for headers. */
void fly_look(struct fly_session *session, struct fly_job *job, const uint64_t as_of[FLY_STREAMS_MAX],
              int final, int64_t t_ns);

/* method and modality of a map.get, among what the session has, as fly_map_index; words in
 * fly_fail_text(). */
enum fly_refusal fly_map_args(struct fly_value args, const struct fly_session_info *info, int *map);

/* A map as the answer to map.get: header as result, three payloads. FLY_ENOMEM. */
struct fly_map_out;
struct fly_pub_id;
FLY_MUST_USE int fly_look_give_map(struct fly_job *job, const struct fly_pub_id *id,
                                   struct fly_map_out *out);

/* Fraction of the scan's pixels measured: of the image where there is one, else of the chips with
 * complete spectra. */
double fly_look_complete(struct fly_session *session);

#endif
