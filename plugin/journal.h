/* plugin/journal.h: what a session was asked and how it thought, beside the data in its recording.
 *
 * Requests are written before they act. Each epoch leaves a mark: how many steps were taken after which
 * input, so that whoever follows the recording (follow.h) comes by the same maps to the bit.
 *
 * Threads  the engine stage's.
 */
#ifndef FLY_PLUGIN_JOURNAL_H
#define FLY_PLUGIN_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/label/support.h"
#include "stream/recording.h"

enum { FLY_TRACE_MAX = 512 };

/* What was done between two marks, in runs: after input `ticket`, `steps` units of thinking. */
struct fly_trace {
    uint64_t ticket[FLY_TRACE_MAX];
    uint32_t steps[FLY_TRACE_MAX];
    int32_t len;
    int lost; /* did not fit: this epoch cannot be followed */
};
void fly_trace_step(struct fly_trace *trace, uint64_t ticket);

/* FLY_REC_MARK, {after, steps: [ticket, n, ...] or nil when they did not fit, and what came then: epoch: its
 * number, finish: true (no more data), or neither (a request acts next)}; empties the trace. A recorder that is
 * behind skips marks first: they serve following, not safety, and the next mark says that steps were lost.
 * Codes of fly_recorder_append. */
enum fly_mark { FLY_MARK_EPOCH, FLY_MARK_FINISH, FLY_MARK_REQUEST };
FLY_MUST_USE int fly_journal_keep_mark(struct fly_recorder *recorder, int64_t unix_ns, struct fly_trace *trace,
                                       enum fly_mark mark, uint64_t epoch, uint64_t after);

/* FLY_REC_CONTROL, {after, op, args}; args is one packed value. Codes of fly_recorder_append. */
FLY_MUST_USE int fly_journal_keep_request(struct fly_recorder *recorder, int64_t unix_ns, const char *op,
                                     const void *args, size_t args_len, uint64_t after, uint64_t *ticket);

/* The same with a second part, bytes as they are: what no map of numbers and words holds. more_len 0: without. */
FLY_MUST_USE int fly_journal_keep_more(struct fly_recorder *recorder, int64_t unix_ns, const char *op, const void *args,
                                       size_t args_len, const void *more, size_t more_len, uint64_t after,
                                       uint64_t *ticket);

/* A whole support set, as the requests that would have made it: the file that it came from may change. */
FLY_MUST_USE int fly_journal_keep_support(struct fly_recorder *recorder, int64_t unix_ns,
                                     const struct fly_support *support, int32_t cols, uint64_t after);

#endif
