/* plugin/resume.h: an unfinished recording, read back input by input after a crash.
 *
 * What was accepted comes in its order, and journaled requests where they acted; the engine then knows
 * what it knew. Numbers are noted with their tickets, so that durable_seq goes on from where it was.
 *
 * Threads  the producer's.
 */
#ifndef FLY_PLUGIN_RESUME_H
#define FLY_PLUGIN_RESUME_H

#include "plugin/ingest_session.h"

struct fly_resume;

/* The path of the newest unfinished recording in recording.dir: 1 when there is one. Files that hold
 * nothing measured (a kill came before the start was on disk) are removed. */
int fly_resume_find(char *path, size_t cap, const struct fly_options *options, const struct fly_disk *disk);

/* Begin to read it. Its recorder is open for appending by then: only so does the file end where it
 * ends, with no write of a dead process still under way. */
FLY_MUST_USE int fly_resume_open(struct fly_resume **out, const char *path,
                                 const struct fly_options *options, const struct fly_disk *disk);
void fly_resume_close(struct fly_resume **resume);
const char *fly_resume_path(const struct fly_resume *resume);

struct fly_resumed {
    enum { FLY_RESUMED_NOTHING, FLY_RESUMED_START, FLY_RESUMED_DATA, FLY_RESUMED_CONTROL } what;
    struct fly_ingest ingest; /* DATA: views into copy */
    unsigned char *copy;      /* DATA, CONTROL: malloc, the taker's */
    size_t bytes;
    const unsigned char *more; /* CONTROL: the second part, in copy; NULL: none */
    size_t more_len;
    uint64_t ticket;
};

/* The next thing. FLY_EAGAIN: all is read. FLY_EWIRE, FLY_EIO, FLY_ENOMEM: it cannot go on. */
FLY_MUST_USE int fly_resume_next(struct fly_resume *resume, struct fly_ingest_session *session,
                                 struct fly_start *start, struct fly_resumed *out);

#endif
