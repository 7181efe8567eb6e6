/* plugin/options_pack.h: settings as packed values, for status and params.set. */
#ifndef FLY_PLUGIN_OPTIONS_PACK_H
#define FLY_PLUGIN_OPTIONS_PACK_H

#include "plugin/options.h"
#include "stream/wire.h"

/* One value, in the type it has: number, bool, string, list of numbers. */
void fly_options_pack_value(struct fly_pack *pack, const struct fly_options *options,
                            const struct fly_option *row);

/* {key: value} of the whole table. */
void fly_options_pack(struct fly_pack *pack, const struct fly_options *options);

/* params.set: args {key: value} of run-time keys into options, whole or not at all; result {key: value in
 * force}. FLY_ERANGE names the key and what is allowed. */
FLY_MUST_USE int fly_options_set_packed(struct fly_options *options, struct fly_value args,
                                        struct fly_pack *result);

#endif
