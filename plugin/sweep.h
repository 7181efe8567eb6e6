/* plugin/sweep.h: image.get and region.get, looks at a session that may take long: a part a turn of the engine stage.
 *
 * Of a whole scan there is more to read than a turn has time for, so each turn reads at most a quarter of a million
 * pixels or a million channels (about a millisecond) and the stream goes on in between: rows and chips are as of the
 * turn that came to them.
 *
 * Requests and results stand in stream/PROTOCOL.md, 7.
 */
#ifndef FLY_PLUGIN_SWEEP_H
#define FLY_PLUGIN_SWEEP_H

#include "plugin/input.h"
#include "plugin/session.h"

struct fly_sweep {
    int begun;
    /* image.get */
    struct fly_rect rect;   /* of the scan, px */
    int32_t step, w;        /* w: of the result */
    int32_t next_px;        /* row of rect to be read next */
    float *row;             /* (rect.w) */
    double *sum;            /* (w) of the rows read so far of a row of the result */
    int32_t *count;         /* (w) */
    /* region.get */
    int32_t *chips, n_chips, next_chip, complete;
    uint64_t *spectrum;     /* (E) */
};

int fly_sweep_known(const char *op); /* 1: an op of these */

/* A turn for the job, begun by it if it is not: 1 when the job is answered, and the sweep is empty again. */
int fly_sweep_step(struct fly_sweep *sweep, struct fly_session *session, struct fly_job *job);
void fly_sweep_fini(struct fly_sweep *sweep); /* forget the one begun */

/* "ev_per_channel", "ev_offset" and "lines" of the session's spectra: three entries of a map. */
void fly_sweep_pack_axis(struct fly_pack *pack, struct fly_session *session);

#endif
