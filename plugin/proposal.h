/* plugin/proposal.h: the elements that a recording's spectra speak of, in words.
 *
 * The spectra of all segments that count like the first are added up over the whole scan and given to
 * engine/eds/propose.h.
 *
 * Threads  pure but for the file and the printing.
 */
#ifndef FLY_PLUGIN_PROPOSAL_H
#define FLY_PLUGIN_PROPOSAL_H

#include <stdio.h>

#include "engine/eds/propose.h"
#include "stream/wire.h"

struct fly_proposal_source {
    char path[1024];
    struct fly_start start; /* n_segments 0: there are no spectra, and no proposals; height_px 0: no session */
};

/* Add up and propose.
 *
 * FLY_EIO, FLY_EWIRE  the recording cannot be read
 * FLY_ENOMEM, FLY_ERANGE  as fly_propose */
FLY_MUST_USE int fly_proposal_of_recording(struct fly_proposals *out, struct fly_proposal_source *source,
                                           const char *path);

/* One line for each, and how to name them; the words of a recording without spectra when there are none. */
void fly_proposal_print(FILE *to, const struct fly_proposals *proposals, const struct fly_proposal_source *source);

/* Both, for a command: what is wrong is printed too. */
FLY_MUST_USE int fly_proposal_tell(const char *recording, FILE *to);

#endif
