/* plugin/curve.h: graph.curve, what other thresholds would make of the communities.
 *
 * A point costs as much as a search for communities (15 ms at 2601 chips), so the engine stage makes one a turn
 * and the stream goes on in between: points of a running scan stand on slightly different data, of one that
 * rests on the same.
 *
 * Request  {modality, from: 0, to: 1, points: 51} -> {modality, epochs: [first, last], thresholds, modularity,
 *          communities, minor_chips, edges, ami_now, ami_fewshot}, lists of `points`; ami_now is the agreement
 *          with the communities published, ami_fewshot with the few-shot labels; nil where there are none.
 */
#ifndef FLY_PLUGIN_CURVE_H
#define FLY_PLUGIN_CURVE_H

#include "plugin/input.h"
#include "plugin/session.h"

enum { FLY_CURVE_POINTS = 201 };

struct fly_curve_job {
    enum fly_modality modality;
    int32_t n, next;
    uint64_t first_epoch;
    struct fly_graph_point points[FLY_CURVE_POINTS];
};

/* 1: begun. 0: the job is answered, with words for what is wrong. */
int fly_curve_begin(struct fly_curve_job *curve, struct fly_session *session, struct fly_job *job);

/* The next point; 1 when the job is answered. */
int fly_curve_step(struct fly_curve_job *curve, struct fly_session *session, struct fly_job *job);

#endif
