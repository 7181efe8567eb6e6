/* sim/stack.h: a recorded session as a specimen: each pixel is a stack of frames that can be bought, each once.
 *
 * Frame by frame a pixel has its image values and its photons. A patch takes of each of its pixels the next
 * frames not yet bought, as many as its dwell has of the recorded one (1 at least): photons add up, image values are
 * averaged, rounded to nearest where the detector counts whole numbers. With one frame at a time the pixels and
 * photons are the recording's own. A pixel owns those frames that every stream of the recording has of it.
 *
 * Survey   the recording's pixel time; frames measured with another dwell than the first are left out and counted.
 * Out      under a new session id, frames numbered as commanded. The start is the recorded one, but for that id and
 *          its number, frames_planned (nil) and scan_path (list). What a beam would miss by (off_px) means nothing here.
 * Memory   the recording's pixels, 4 bytes for each pixel and frame, 4 more for each segment, 2 for each photon. Refused
 *          beyond a limit.
 * Threads  one.
 */
#ifndef FLY_SIM_STACK_H
#define FLY_SIM_STACK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "sim/instrument.h"

struct fly_stack;

struct fly_stack_facts {
    int32_t height_px, width_px;
    int32_t frames;       /* recorded, of the first one's dwell */
    int64_t pixels;       /* frames of all pixels */
    uint64_t photons;
    uint64_t left_out;    /* messages of another dwell, or that the wire's rules refuse */
    double dwell_us;      /* of a frame; 1 where the recording does not say */
    size_t bytes;         /* taken */
};

/* Read all of it. session: the id to send under.
 *
 * FLY_EIO, FLY_EWIRE   no recording, or one without a start or data
 * FLY_ERANGE           more streams than 16, or an id that is none
 * FLY_ENOMEM           more than bytes_max, or than there is */
FLY_MUST_USE int fly_stack_open(struct fly_stack **out, const char *path, const char *session, size_t bytes_max);
void fly_stack_close(struct fly_stack **stack);

void fly_stack_facts(const struct fly_stack *stack, struct fly_stack_facts *facts);

/* How many frames a pixel has left. */
int32_t fly_stack_left(const struct fly_stack *stack, int32_t y_px, int32_t x_px);

/* The recording as a table; stack is lent as long as it is used. */
struct fly_instrument fly_stack_instrument(struct fly_stack *stack);

#endif
