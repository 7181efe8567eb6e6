/* sim/support_send.h: a support set {class: [[row, col], ...]} in JSON, sent as support.add requests. */
#ifndef FLY_SIM_SUPPORT_SEND_H
#define FLY_SIM_SUPPORT_SEND_H

#include "sim/ask.h"

struct fly_support_classes; /* what stands in the file */

/* FLY_EIO, FLY_EWIRE (no JSON, or not of that shape), FLY_ENOMEM. Whether the chips lie in the grid is for
 * Flyback to say. */
FLY_MUST_USE int fly_support_classes_load(struct fly_support_classes **out, const char *path);
void fly_support_classes_free(struct fly_support_classes **classes);

/* Add each class in the order of the file. The first that is refused ends it; the message names it. Errors as
 * fly_ask. */
FLY_MUST_USE int fly_support_classes_send(const struct fly_support_classes *classes, struct fly_ask *ask);

#endif
