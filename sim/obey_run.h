/* sim/obey_run.h: a session that is steered: survey, attach, obey until it is enough.
 *
 * It ends when the dose budget or the time is spent, when Flyback says that nothing more is needed
 * (status.steer.stop or the `stop` of a suggestion) and nothing is commanded, or on a signal. When the other side
 * falls silent the line being measured is finished, the beam blanked and that told; commands are taken again once it is
 * back.
 *
 * Threads  one.
 */
#ifndef FLY_SIM_OBEY_RUN_H
#define FLY_SIM_OBEY_RUN_H

#include "sim/obey.h"
#include "sim/run.h"

struct fly_obeyed {
    struct fly_obey_report report;
    double time_us;      /* the beam's own: measuring, moves and waiting for commands */
    double idle_us;      /* of it, nothing was commanded */
    double mean_us;      /* mean exposure of a pixel */
    uint64_t losses;     /* times that the other side fell silent */
    char reason[128];    /* why it ended */
};

/* The session's start, survey and commands; not its stop. FLY_EAGAIN: a signal. told is filled in any case. */
FLY_MUST_USE int fly_obey_run(struct fly_run *run, struct fly_obeyed *told);

#endif
