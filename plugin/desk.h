/* plugin/desk.h: the control socket: requests in, replies out when what they promise is so. */
#ifndef FLY_PLUGIN_DESK_H
#define FLY_PLUGIN_DESK_H

#include "plugin/publish_state.h"

int fly_desk_requests(struct fly_stage_publish *stage); /* 1: some came */
int fly_desk_replies(struct fly_stage_publish *stage);  /* 1: some went */
void fly_desk_close(struct fly_stage_publish *stage);   /* forget what waits */

#endif
