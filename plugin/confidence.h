/* plugin/confidence.h: what few-shot's confidence rests on, for the wire and for result.json. */
#ifndef FLY_PLUGIN_CONFIDENCE_H
#define FLY_PLUGIN_CONFIDENCE_H

#include "engine/engine.h"
#include "plugin/json.h"
#include "stream/publish.h"

/* As of the last epoch; there is none in the paper profile. */
void fly_confidence_of(struct fly_pub_calibration *out, const struct fly_engine *engine);

/* The value that follows a key: an object, or null where there is none. */
void fly_confidence_json(struct fly_json *json, const struct fly_pub_calibration *calibration);

#endif
