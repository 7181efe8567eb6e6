#include "sim/head.h"

void fly_head_begin(struct fly_head *head, struct fly_pack *pack, const char *type, int32_t stream, int64_t t_ns,
                    uint32_t more, struct fly_message *message)
{
    *message = (struct fly_message){.stream = stream, .seq = ++head->seq[stream], .n_parts = 1};
    fly_pack_init(pack, head->bytes, sizeof head->bytes);
    fly_pack_map(pack, 5 + more);
    fly_put_str(pack, "type", type);
    fly_put_str(pack, "session", head->session);
    fly_put_str(pack, "stream", head->names[stream]);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, message->seq);
    fly_put_int(pack, "t_ns", t_ns);
}

int fly_head_end(struct fly_head *head, const struct fly_pack *pack, struct fly_message *message)
{
    if (pack->full) {
        fly_head_take_back(head, message);
        return fly_fail(FLY_ERANGE, "a message of stream %s does not fit a header of %d bytes",
                        head->names[message->stream], FLY_HEADER_MAX);
    }
    message->parts[0] = (struct fly_part){pack->bytes, pack->len};
    return FLY_OK;
}

/* 33 streams with names of 64 bytes fit many times over. */
static void end_small(struct fly_head *head, const struct fly_pack *pack, struct fly_message *message)
{
    int rc = fly_head_end(head, pack, message);

    FLY_ASSERT(rc == FLY_OK);
}

static void put_counts(const struct fly_head *head, struct fly_pack *pack, const char *key, int zero)
{
    fly_pack_str(pack, key);
    fly_pack_map(pack, (uint32_t)head->n_streams);
    for (int32_t i = 0; i < head->n_streams; i++) {
        fly_pack_str(pack, head->names[i]);
        fly_pack_uint(pack, zero ? 0 : head->seq[i]);
    }
}

void fly_head_heartbeat(struct fly_head *head, int64_t t_ns, int64_t backlog, struct fly_message *message)
{
    struct fly_pack pack;

    fly_head_begin(head, &pack, "heartbeat", 0, t_ns, 3, message);
    put_counts(head, &pack, "last_seq", 0);
    fly_put_int(&pack, "backlog", backlog);
    put_counts(head, &pack, "dropped", 1);
    end_small(head, &pack, message);
}

void fly_head_stop(struct fly_head *head, int64_t t_ns, const char *exit_status, const char *reason,
                   struct fly_message *message)
{
    struct fly_pack pack;

    fly_head_begin(head, &pack, "stop", 0, t_ns, 3, message);
    fly_put_str(&pack, "exit_status", exit_status);
    fly_put_str(&pack, "reason", reason);
    put_counts(head, &pack, "count", 0);
    end_small(head, &pack, message);
}

uint32_t fly_head_place_keys(const struct fly_patch *patch)
{
    return patch->cmd_id ? 6 : 5;
}

void fly_head_place(struct fly_pack *pack, const struct fly_patch *patch)
{
    fly_put_int(pack, "frame", patch->frame);
    fly_put_int(pack, "y0_px", patch->y0_px);
    fly_put_int(pack, "x0_px", patch->x0_px);
    fly_put_pair(pack, "shape", patch->h, patch->w);
    fly_put_f64(pack, "dwell_us", patch->dwell_us);
    if (patch->cmd_id)
        fly_put_str(pack, "cmd_id", patch->cmd_id);
}

void fly_head_take_back(struct fly_head *head, const struct fly_message *message)
{
    FLY_ASSERT(head->seq[message->stream] == message->seq);
    head->seq[message->stream]--;
}
