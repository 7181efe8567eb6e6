/* sim/steered.h: the acquisition's line to whoever steers it: attach, hear commands, acknowledge, stay attached.
 *
 * A DEALER to the control socket of Flyback, or to the guard that stands between (protocol section 5; the words are
 * the same). Its own `status` requests keep the ownership and are the heartbeat of the other side: silent for
 * silence_ms means that nobody watches the beam any more, and the caller goes into its safe state. It attaches anew
 * when the other side is back.
 *
 * Time     is handed in; deadlines use its mono_ns.
 * Threads  one, which opens, steps and closes.
 */
#ifndef FLY_SIM_STEERED_H
#define FLY_SIM_STEERED_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "stream/net.h"
#include "stream/steer.h"

struct fly_steered_config {
    struct fly_net *net;
    struct fly_clock clock;
    const char *address;
    struct fly_curve curve;
    const char *mode;     /* "ask", "auto": as steer.attach has them */
    int32_t ask_ms;       /* between two requests; default 400 */
    int32_t silence_ms;   /* default 1500: with a line to finish, the safe state is there within 2 s */
    int32_t connect_ms;   /* refused or unanswered for so long from the beginning: give up. Default 30000 */
    int32_t patience_ms;  /* the same once it had been attached. Default 120000 */
    int (*hear)(void *ctx, const struct fly_part *parts, int32_t n_parts); /* a command; what is not FLY_OK ends a step */
    void *hear_ctx;
};
struct fly_steered_config fly_steered_config_default(void);

struct fly_steered_report {
    int attached;
    int lost;             /* it was attached, and the other side fell silent */
    uint64_t losses;      /* times that it did */
    char stop[FLY_STEER_WORD_MAX + 1]; /* status.steer.stop, as last said; "": it goes on */
};

struct fly_steered;

/* Connects; nobody need be there yet. FLY_ERANGE, FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_steered_open(struct fly_steered **out, const struct fly_steered_config *config);
void fly_steered_close(struct fly_steered **steered);

/* Hear what is there, ask when it is time; waits at most timeout_ms for something to hear. FLY_ERANGE: the other side
 * refuses for good, or all the time (its words); FLY_EIO: it did not answer in time, or a socket failed. */
FLY_MUST_USE int fly_steered_step(struct fly_steered *steered, int32_t timeout_ms);

/* FLY_OK also when nobody hears it: an ack is not waited for. */
FLY_MUST_USE int fly_steered_ack(struct fly_steered *steered, const struct fly_ack *ack);

/* steer.detach; its reply is not waited for. */
void fly_steered_detach(struct fly_steered *steered);

void fly_steered_report(const struct fly_steered *steered, struct fly_steered_report *report);

#endif
