#include "plugin/journal.h"

#include <stdlib.h>
#include <string.h>

#include "stream/wire.h"

enum {
    SUPPORT_CHIPS_A_REQUEST = 4096, /* what support.add takes at once */
    SUPPORT_ARGS_CAP = 64 * 1024,
};

void fly_trace_step(struct fly_trace *trace, uint64_t ticket)
{
    if (trace->len && trace->ticket[trace->len - 1] == ticket) {
        trace->steps[trace->len - 1]++;
    } else if (trace->len < FLY_TRACE_MAX) {
        trace->ticket[trace->len] = ticket;
        trace->steps[trace->len++] = 1;
    } else {
        trace->lost = 1;
    }
}

int fly_journal_keep_mark(struct fly_recorder *recorder, int64_t unix_ns, struct fly_trace *trace,
                          enum fly_mark mark, uint64_t epoch, uint64_t after)
{
    unsigned char bytes[FLY_TRACE_MAX * 16 + 64];
    struct fly_pack pack;
    uint64_t ticket;
    int rc;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, mark == FLY_MARK_REQUEST ? 2 : 3);
    if (mark == FLY_MARK_EPOCH) {
        fly_pack_str(&pack, "epoch");
        fly_pack_uint(&pack, epoch);
    } else if (mark == FLY_MARK_FINISH) {
        fly_pack_str(&pack, "finish");
        fly_pack_bool(&pack, 1);
    }
    fly_pack_str(&pack, "after");
    fly_pack_uint(&pack, after);
    fly_pack_str(&pack, "steps");
    if (trace->lost) {
        fly_pack_nil(&pack);
    } else {
        fly_pack_array(&pack, (uint32_t)trace->len * 2);
        for (int32_t i = 0; i < trace->len; i++) {
            fly_pack_uint(&pack, trace->ticket[i]);
            fly_pack_uint(&pack, trace->steps[i]);
        }
    }
    FLY_ASSERT(!pack.full);
    rc = fly_recorder_append(recorder, FLY_REC_MARK, unix_ns, &(struct fly_part){bytes, pack.len}, 1, &ticket);
    trace->len = 0;
    trace->lost = rc < 0;
    return rc;
}

int fly_journal_keep_request(struct fly_recorder *recorder, int64_t unix_ns, const char *op, const void *args,
                        size_t args_len, uint64_t after, uint64_t *ticket)
{
    return fly_journal_keep_more(recorder, unix_ns, op, args, args_len, NULL, 0, after, ticket);
}

int fly_journal_keep_more(struct fly_recorder *recorder, int64_t unix_ns, const char *op, const void *args,
                          size_t args_len, const void *more, size_t more_len, uint64_t after, uint64_t *ticket)
{
    unsigned char head[256], *whole;
    struct fly_pack pack;
    int rc;

    fly_pack_init(&pack, head, sizeof head);
    fly_pack_map(&pack, 3);
    fly_pack_str(&pack, "after");
    fly_pack_uint(&pack, after);
    fly_pack_str(&pack, "op");
    fly_pack_str(&pack, op);
    fly_pack_str(&pack, "args");
    FLY_ASSERT(!pack.full);
    whole = malloc(pack.len + args_len);
    if (!whole)
        return fly_fail(FLY_ENOMEM, "no memory for the journal's copy");
    memcpy(whole, head, pack.len);
    memcpy(whole + pack.len, args, args_len);
    rc = fly_recorder_append(recorder, FLY_REC_CONTROL, unix_ns,
                             (struct fly_part[]){{whole, pack.len + args_len}, {more, more_len}}, more_len ? 2 : 1, ticket);
    free(whole);
    return rc;
}

int fly_journal_keep_support(struct fly_recorder *recorder, int64_t unix_ns, const struct fly_support *support,
                        int32_t cols, uint64_t after)
{
    unsigned char *args = malloc(SUPPORT_ARGS_CAP);
    int rc = args ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for the journal's copy");

    for (int32_t c = 0; rc == FLY_OK && c < support->n_classes; c++) {
        int32_t left = support->classes[c].chips, k = 0;

        while (rc == FLY_OK && left > 0) {
            int32_t n = left < SUPPORT_CHIPS_A_REQUEST ? left : SUPPORT_CHIPS_A_REQUEST;
            struct fly_pack pack;
            uint64_t ticket;

            fly_pack_init(&pack, args, SUPPORT_ARGS_CAP);
            fly_pack_map(&pack, 2);
            fly_pack_str(&pack, "class");
            fly_pack_str(&pack, support->classes[c].name);
            fly_pack_str(&pack, "chips");
            fly_pack_array(&pack, (uint32_t)n);
            left -= n;
            for (; n > 0; k++)
                if (support->class_of[k] == c) {
                    fly_pack_array(&pack, 2);
                    fly_pack_int(&pack, k / cols);
                    fly_pack_int(&pack, k % cols);
                    n--;
                }
            FLY_ASSERT(!pack.full);
            rc = fly_journal_keep_request(recorder, unix_ns, "support.add", args, pack.len, after, &ticket);
        }
    }
    free(args);
    return rc;
}
