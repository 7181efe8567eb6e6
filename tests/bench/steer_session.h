/* tests/bench/steer_session.h: a recorded session as the specimen of a closed loop (steer_rig.h).
 *
 * The engine is opened as `flyback run` opened it for that session, settings and support set included: the former as at
 * its start, but without communities and hierarchies, which steering does not look at; the latter as it stood at the end,
 * by the journal. Nothing is measured yet. Each pixel has its recorded frames (sim/stack.h), and whoever exposes it buys
 * the next.
 *
 * Dwell    as recorded, or another that the engine is told instead: the same counts by a beam so much weaker or stronger,
 *          which changes nothing but how dwell and moves compare.
 * Dose     a frame costs what it cost then, image and X-rays together, whichever of them is looked at.
 * Threads  one.
 */
#ifndef FLY_TESTS_BENCH_STEER_SESSION_H
#define FLY_TESTS_BENCH_STEER_SESSION_H

#include "engine/engine.h"

struct steer_session;

struct steer_session_facts {
    int32_t height_px, width_px;
    int32_t frames;   /* that every chip has, at least 2 */
    double dwell_us;  /* of a pixel and frame, as the engine is told */
};

/* dwell_us: of a frame; 0: as recorded.
 *
 * FLY_EIO, FLY_EWIRE   no recording, or none that can be read
 * FLY_ERANGE           chips overlap, frames of which every chip has fewer than 2, or a support set of fewer than two
 *                      classes
 * FLY_ENOMEM */
FLY_MUST_USE int steer_session_open(struct steer_session **out, const char *path, double dwell_us);
void steer_session_close(struct steer_session **session);

void steer_session_facts(const struct steer_session *session, struct steer_session_facts *facts);
struct fly_engine *steer_session_engine(struct steer_session *session); /* lent */

/* Buy one frame of a chip, as part of frame number `frame`. Returns 1, or 0 when the chip's stack is used up; errors of
 * the session's own making end the program. */
int steer_session_buy(struct steer_session *session, int64_t frame, int32_t chip, enum fly_signal signal, int64_t stamp);

#endif
