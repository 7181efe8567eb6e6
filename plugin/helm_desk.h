/* plugin/helm_desk.h: the helm at the publisher's sockets: ops steer.*, acks, suggestions, commands, status.
 *
 * What the helm (helm.h) decides goes out here: commands over the control socket, suggestions over publish, its
 * journal into the session's recording, orders to the engine stage.
 *
 * Threads  the publisher's.
 */
#ifndef FLY_PLUGIN_HELM_DESK_H
#define FLY_PLUGIN_HELM_DESK_H

#include "plugin/publish_state.h"

#define FLY_HOLD_FILE "flyback.hold" /* in recording.dir */

FLY_MUST_USE int fly_helm_desk_open(struct fly_stage_publish *stage);
void fly_helm_desk_close(struct fly_stage_publish *stage);

/* The session that is shown has begun; called until the helm has it: a restart first reads its recording back. */
void fly_helm_desk_begin(struct fly_stage_publish *stage);
void fly_helm_desk_end(struct fly_stage_publish *stage); /* before its stop is published */

/* What came from the engine stage and from time: 1 did something. */
int fly_helm_desk_turn(struct fly_stage_publish *stage);
/* At most so long may be slept, ms. */
int32_t fly_helm_desk_wait(const struct fly_stage_publish *stage, int32_t timeout_ms);

/* A message came from a peer that may send it. */
void fly_helm_desk_heard(struct fly_stage_publish *stage, const struct fly_msg *msg);
void fly_helm_desk_ack(struct fly_stage_publish *stage, const struct fly_msg *msg);

/* What a guard says of itself as it asks for status: `own_hold`. Nothing is changed by one that is refused. */
enum fly_refusal fly_helm_desk_asked(struct fly_stage_publish *stage, const struct fly_msg *msg, struct fly_value args);

/* What the engine stage is to know, if it is new: after anything that may have changed it. */
void fly_helm_desk_post_orders(struct fly_stage_publish *stage);

/* 1: the op is steering's, and the job answered; its reply may have to wait for the disk. */
int fly_helm_desk_request(struct fly_stage_publish *stage, struct fly_job *job);

/* The entries `owner` and `steer` of a status. */
void fly_helm_desk_status(struct fly_stage_publish *stage, struct fly_pack *pack);

/* A peer's address: the words it chose, and 1; else its bytes in hexadecimals. */
int fly_helm_name_peer(char name[FLY_STEER_BY_MAX + 1], const struct fly_part *id);
/* The entries `held`, `held_by`, `held_role` and `held_id` of a map. */
void fly_helm_pack_held(struct fly_pack *pack, const struct fly_helm *helm);
void fly_helm_pack_limits(struct fly_pack *pack, const struct fly_steer_limits *limits);

/* ---- helm_hold.c: the file that a hold outlives the process in; without recording.enabled there is none ----- */

/* That `by` holds since unix_ns, or, by NULL, that nobody does: on disk when this returns, its folder as well. FLY_EIO. */
FLY_MUST_USE int fly_hold_keep(const struct fly_options *options, const char *by, int64_t unix_ns);
/* 1: a hold stands, and by whom. A file that cannot be read is one as well, by "". */
int fly_hold_read(const struct fly_options *options, char by[FLY_STEER_BY_MAX + 1]);

#endif
