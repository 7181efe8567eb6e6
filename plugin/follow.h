/* plugin/follow.h: a recording is read back into a session, in the order in which it was lived.
 *
 * Ingest records come in the order of the file; a journaled request comes after the input it names; with
 * an epoch callback, so do the steps and epochs that timing decided, and every interim map is
 * made again to the bit. Where the plugin was started again in between, so is the session: it takes in what
 * was recorded until then, thinks of nothing meanwhile, and goes on, as it did the first time.
 */
#ifndef FLY_PLUGIN_FOLLOW_H
#define FLY_PLUGIN_FOLLOW_H

#include "plugin/options.h"
#include "plugin/session.h"

struct fly_journal_item;

struct fly_follow_calls {
    /* Open the session for this start; when it was open before, close that first. step_chips: as recorded, 0
     * when not. */
    int (*open)(void *ctx, const char *id, const struct fly_start *start, const struct fly_part *header,
                int32_t step_chips, struct fly_session **session);
    /* An epoch of the journal was cut. NULL: the journal's steps and epochs are passed over, requests
     * are not. */
    int (*epoch)(void *ctx, struct fly_session *session, uint64_t epoch);
    /* A request of the journal that is steering's (its op begins with "steer."), in its place between the epochs; args
     * and more are lent. NULL: passed over. Not called while a restart reads back what was before it. */
    int (*steer)(void *ctx, struct fly_session *session, const struct fly_journal_item *item);
    void *ctx;
};

/* FLY_EWIRE: not a recording, no start in it, or (following epochs) a mark that was lost. */
FLY_MUST_USE int fly_follow(const char *path, const struct fly_follow_calls *calls);

/* The start message of a recording. FLY_EWIRE: there is none. */
FLY_MUST_USE int fly_follow_start(const char *path, struct fly_start *start);

/* What fly_options_origin begins with for a key that a recording set. */
#define FLY_FOLLOW_ORIGIN "recorded configuration"

/* The configuration that stands in a recording, over `options`; imported ones have none. */
FLY_MUST_USE int fly_follow_options(const char *path, struct fly_options *options);

/* One thing the engine stage wrote into the journal. */
struct fly_journal_item {
    enum { FLY_JOURNAL_CONTROL, FLY_JOURNAL_STEPS, FLY_JOURNAL_EPOCH, FLY_JOURNAL_FINISH, FLY_JOURNAL_LOST,
           FLY_JOURNAL_RESUME } kind;
    uint64_t at;         /* its own ticket */
    uint64_t after;      /* ticket of the input it came after; of a RESUME its own: nothing behind it came before */
    uint64_t number;     /* steps, or the epoch */
    unsigned char *bytes; /* CONTROL: the packed {after, op, args}, malloc */
    size_t len;
    const unsigned char *more; /* CONTROL: the second part, behind it in the same memory; NULL: none */
    size_t more_len;
};
struct fly_journal {
    struct fly_journal_item *items; /* in order */
    size_t n_items, cap;
};
/* Collect the journal of a recording (rewound afterwards), restarts among it. steps 0: requests alone. */
FLY_MUST_USE int fly_journal_read(struct fly_journal *journal, struct fly_recording *recording, int steps);
void fly_journal_free(struct fly_journal *journal);

/* Op and args of a CONTROL item; name holds at least 64 bytes. 0: not readable. */
int fly_journal_request(const struct fly_journal_item *item, char *name, struct fly_value *args);

#endif
