/* plugin/reliability.h: how well image and X-rays repeat themselves, for the wire and for result.json. */
#ifndef FLY_PLUGIN_RELIABILITY_H
#define FLY_PLUGIN_RELIABILITY_H

#include "engine/engine.h"
#include "plugin/json.h"
#include "stream/publish.h"

/* Of few-shot, and of communities where the ensemble has a graph; nothing in the paper profile. Words are static. */
void fly_reliability_of(struct fly_pub_reliability *out, const struct fly_engine *engine);

/* The value that follows a key: an object, or null where there is nothing. */
void fly_reliability_json(struct fly_json *json, const struct fly_pub_reliability *reliability);

#endif
