/* sim/head.h: headers of the messages that an instrument sends, and the numbers of its streams.
 *
 * For the files of this room that make ingest messages (acquire.c, stack.c).
 *
 * Memory   a message's header is lent until the next begin.
 * Threads  one.
 */
#ifndef FLY_SIM_HEAD_H
#define FLY_SIM_HEAD_H

#include <stdint.h>

#include "sim/instrument.h"
#include "stream/wire.h"

struct fly_head {
    char session[FLY_SESSION_MAX + 1];
    int32_t n_streams;
    char names[FLY_STREAMS_MAX][FLY_NAME_MAX + 1]; /* 0 is "control" */
    uint64_t seq[FLY_STREAMS_MAX];                 /* last number given */
    unsigned char bytes[FLY_HEADER_MAX];
};

/* The five keys of every header; `more` others follow, and end says that they did. */
void fly_head_begin(struct fly_head *head, struct fly_pack *pack, const char *type, int32_t stream, int64_t t_ns,
                    uint32_t more, struct fly_message *message);
/* FLY_ERANGE: it does not fit a header; the number is free again. */
FLY_MUST_USE int fly_head_end(struct fly_head *head, const struct fly_pack *pack, struct fly_message *message);

/* Whole messages of the control stream. `dropped` is always 0: what cannot be delivered waits. */
void fly_head_heartbeat(struct fly_head *head, int64_t t_ns, int64_t backlog, struct fly_message *message);
void fly_head_stop(struct fly_head *head, int64_t t_ns, const char *exit_status, const char *reason,
                   struct fly_message *message);

/* Where a patch lies: so many keys, which lines and eds have. */
uint32_t fly_head_place_keys(const struct fly_patch *patch);
void fly_head_place(struct fly_pack *pack, const struct fly_patch *patch);

void fly_head_take_back(struct fly_head *head, const struct fly_message *message);

static inline void fly_put_str(struct fly_pack *pack, const char *key, const char *value)
{
    fly_pack_str(pack, key);
    fly_pack_str(pack, value);
}

static inline void fly_put_int(struct fly_pack *pack, const char *key, int64_t value)
{
    fly_pack_str(pack, key);
    fly_pack_int(pack, value);
}

static inline void fly_put_f64(struct fly_pack *pack, const char *key, double value)
{
    fly_pack_str(pack, key);
    fly_pack_f64(pack, value);
}

static inline void fly_put_pair(struct fly_pack *pack, const char *key, int64_t a, int64_t b)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, 2);
    fly_pack_int(pack, a);
    fly_pack_int(pack, b);
}

#endif
