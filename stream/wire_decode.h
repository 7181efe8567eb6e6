/* stream/wire_decode.h: how the files that decode ingest messages share the work.
 *
 *   wire.c          who sent it: type, session, stream, seq; hands on by type
 *   wire_start.c    start
 *   wire_data.c     lines, eds
 *   wire_control.c  heartbeat, stop
 *
 * For stream/wire*.c alone.
 */
#ifndef FLY_STREAM_WIRE_DECODE_H
#define FLY_STREAM_WIRE_DECODE_H

#include "stream/wire_keys.h"

/* Each fills its share of msg and returns FLY_REFUSE_NONE, or the first reason in the order of
 * PROTOCOL.md. nonfinite: the scan found a NaN or infinity somewhere, which comes after the types of
 * the keys and before their values. msg is filled up to t_ns, and msg->payload is set. */
enum fly_refusal fly_decode_start(struct fly_start *start, const struct fly_keys *keys,
                                  int nonfinite);
enum fly_refusal fly_decode_lines(struct fly_ingest *msg, const struct fly_keys *keys,
                                  const struct fly_start *start, int32_t n_payload, int nonfinite);
enum fly_refusal fly_decode_eds(struct fly_ingest *msg, const struct fly_keys *keys,
                                const struct fly_start *start, int32_t n_payload, int nonfinite);
enum fly_refusal fly_decode_heartbeat(struct fly_ingest *msg, const struct fly_keys *keys,
                                      const struct fly_start *start, int nonfinite);
enum fly_refusal fly_decode_stop(struct fly_ingest *msg, const struct fly_keys *keys,
                                 const struct fly_start *start, int nonfinite);

/* stream_idx of a declared stream ("control" is 0), or -1. start may be NULL: control alone. */
int32_t fly_stream_find(const struct fly_start *start, const char *name, size_t len);

static inline enum fly_refusal fly_refuse_nonfinite(int nonfinite)
{
    return nonfinite ? FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "the header has a number that is not finite")
                     : FLY_REFUSE_NONE;
}

#endif
