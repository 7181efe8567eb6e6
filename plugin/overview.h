/* plugin/overview.h: looks at a session as a whole: changes.get, elements.get, support.get.
 *
 * changes.get tells at little cost whether there is something to ask for: versions, and the rows of the image that
 * changed. What others ask again and again, they ask it first. Requests and results stand in stream/PROTOCOL.md, 7.
 */
#ifndef FLY_PLUGIN_OVERVIEW_H
#define FLY_PLUGIN_OVERVIEW_H

#include "plugin/input.h"
#include "plugin/session.h"

int fly_overview_known(const char *op); /* 1: an op of these */
void fly_overview(struct fly_session *session, struct fly_job *job);

#endif
