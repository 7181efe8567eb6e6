/* sim/judge.h: how right Flyback's maps are, as they come, against the truth of a simulated specimen.
 *
 * The judge follows the maps of every (method, modality) as any client would: keyframes and deltas
 * whose base it has; what it cannot apply it counts and waits for the next keyframe. Each map it could
 * apply is scored: the share of chips labelled (label >= 0), the accuracy through the names of the
 * map's classes (nan unless one of its names is a truth class's), AMI and ARI against truth over the
 * labelled chips.
 *
 * Of each (method, modality) it also keeps what was last said of its clusters, against the phases that they are of
 * (judge_clusters.h).
 *
 * Threads  one.
 */
#ifndef FLY_SIM_JUDGE_H
#define FLY_SIM_JUDGE_H

#include <stdint.h>

#include "engine/base/err.h"
#include "sim/judge_clusters.h"
#include "sim/specimen.h"
#include "sim/truth.h"
#include "stream/publish.h"

struct fly_judge;

struct fly_score {
    char method[32], modality[32];
    double time_s;       /* as the caller told */
    double scanned;      /* fraction of all blocks measured by then, as the caller told */
    uint64_t seq;
    int final;
    double labelled;     /* fraction of all chips */
    double accuracy;     /* of the labelled chips; NaN: not named, or none labelled */
    double accuracy_all; /* right ones among all chips, whether labelled or not */
    double ami, ari;     /* over the labelled chips; NaN: none */
};

/* specimen is lent until close. Chips are those that the session's published start tells. FLY_ENOMEM */
FLY_MUST_USE int fly_judge_open(struct fly_judge **out, const struct fly_specimen *specimen,
                                const char *session);
void fly_judge_close(struct fly_judge **judge);

/* A published message, of any topic and session; those of others are passed over. FLY_EWIRE a start, a
 * map or clusters that break the protocol; FLY_ERANGE a grid that leaves the scan; FLY_ENOMEM. */
FLY_MUST_USE int fly_judge_hear(struct fly_judge *judge, const struct fly_published *message,
                                double time_s, double scanned);

/* All scores so far, in order; lent until the next hear. */
int32_t fly_judge_scores(const struct fly_judge *judge, const struct fly_score **scores);
/* The last score of each (method, modality), in order of their first map; returns how many. Fills at
 * most cap. */
int32_t fly_judge_last(const struct fly_judge *judge, struct fly_score *scores, int32_t cap);
/* What was last said of the clusters of each (method, modality), in order of their first map; returns how many, fills
 * at most cap. Lent until the next hear. */
int32_t fly_judge_clusters(const struct fly_judge *judge, const struct fly_clusters_score **scores, int32_t cap);
uint64_t fly_judge_missed(const struct fly_judge *judge); /* maps that could not be applied */

/* {"session", "grid_shape", "missed", "final": {method: {modality: score}}, "clusters": {method: {modality: {what
 * fly_clusters_sum gives, "seq", "clusters": [...]}}}, "history": [score ...]}.
 * FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_judge_write(const struct fly_judge *judge, const char *path);

#endif
