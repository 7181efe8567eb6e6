/* The writer thread of a recorder.
 *
 * Whole stretches of the ring go to the file, up to WRITE_MAX each and several at a time, straight from
 * the ring's memory. At most once each sync_ns a goal is set: all that is committed then. When the file
 * has everything up to the goal, a sync begins; when the sync ends well, the goal is durable. Writes
 * behind the goal go on meanwhile.
 *
 * A failed write is tried again for as long as it takes (somebody may make room on the disk), and what
 * was written behind it is cut off first: the file is a prefix of the session at any time. A failed
 * sync is final. The kernel may have dropped the pages that it could not write and told it once (the
 * "fsyncgate" of 2018), so a later success would prove nothing.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "stream/recorder_state.h"
#include "stream/recording_format.h"

enum { WRITE_MAX = 1 << 20 };
static const int64_t retry_ns = 200 * 1000000;

struct write {
    uint64_t at;
    size_t len, done;
};

struct writer {
    struct fly_recorder *rec;
    int64_t now_ns;

    /* as last seen under the lock */
    uint64_t committed, committed_ticket;
    int closing;

    /* writes: slots [first, first + n_writes) modulo FLY_IO_WRITES, in the order of the file */
    struct write slot[FLY_IO_WRITES];
    int first, n_writes, in_flight, depth;
    uint64_t submitted; /* writes have begun up to here */
    uint64_t written;   /* the file has all up to here */
    uint64_t reached;   /* no byte of the file lies behind this */
    uint64_t freed;     /* as the appending threads know it */
    int undo;           /* a write failed: stop, cut the file back to written, begin again */
    int64_t retry_at_ns; /* no write before */
    int64_t cut_at_ns;   /* no cut before */

    uint64_t goal, goal_ticket;
    int has_goal, syncing;
    int64_t next_sync_ns;
};

static int64_t mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void say_error(struct writer *w, const char *what, int64_t result, int final)
{
    struct fly_recorder *rec = w->rec;

    pthread_mutex_lock(&rec->lock);
    snprintf(rec->error, sizeof rec->error, "%s: %s", what, strerror((int)-result));
    if (final) {
        rec->failed = 1;
        pthread_cond_broadcast(&rec->moved);
    }
    pthread_mutex_unlock(&rec->lock);
    if (final && rec->wake_fd >= 0)
        eventfd_write(rec->wake_fd, 1); /* whoever waits for durable learns that it stands for good */
}

static void look(struct writer *w)
{
    struct fly_recorder *rec = w->rec;

    w->now_ns = mono_ns();
    pthread_mutex_lock(&rec->lock);
    w->committed = rec->committed;
    w->committed_ticket = rec->committed_ticket;
    if (rec->closing && !w->closing)
        w->retry_at_ns = w->cut_at_ns = 0; /* one last attempt, now */
    w->closing = rec->closing;
    pthread_mutex_unlock(&rec->lock);
}

static int is_durable(const struct writer *w)
{
    return w->committed_ticket == atomic_load_explicit(&w->rec->durable, memory_order_relaxed);
}

static void set_goal(struct writer *w)
{
    if (w->has_goal || is_durable(w) || (w->now_ns < w->next_sync_ns && !w->closing))
        return;
    w->goal = w->committed;
    w->goal_ticket = w->committed_ticket;
    w->has_goal = 1;
    w->next_sync_ns = w->now_ns + w->rec->sync_ns;
}

static size_t write_worth(const struct writer *w)
{
    size_t share = w->rec->ring_bytes / 8;

    return share < WRITE_MAX ? share : WRITE_MAX;
}

static void begin_part(struct writer *w, int slot)
{
    struct write *part = &w->slot[slot];
    uint64_t at = part->at + part->done;

    fly_io_write(w->rec->io, slot, w->rec->ring + (at & (w->rec->ring_bytes - 1)), part->len - part->done,
                 w->rec->base + (int64_t)at);
}

static void begin_writes(struct writer *w)
{
    size_t ring_bytes = w->rec->ring_bytes;

    if (w->undo || w->now_ns < w->retry_at_ns)
        return;
    while (w->n_writes < w->depth && w->committed > w->submitted) {
        uint64_t len = w->committed - w->submitted, to_end = ring_bytes - (w->submitted & (ring_bytes - 1));
        int slot = (w->first + w->n_writes) % FLY_IO_WRITES;

        /* Little pieces wait for each other, unless a sync waits for them. */
        if (len < write_worth(w) && !(w->has_goal && w->submitted < w->goal))
            return;
        len = len < to_end ? len : to_end;
        len = len < WRITE_MAX ? len : WRITE_MAX;
        w->slot[slot] = (struct write){.at = w->submitted, .len = (size_t)len};
        w->submitted += len;
        w->n_writes++;
        w->in_flight++;
        begin_part(w, slot);
    }
}

static void begin_sync(struct writer *w)
{
    if (!w->has_goal || w->syncing || w->written < w->goal)
        return;
    w->syncing = 1;
    fly_io_sync(w->rec->io);
}

static void write_failed(struct writer *w, const char *what, int64_t result)
{
    say_error(w, what, result, w->closing);
    w->undo = 1;
    w->retry_at_ns = w->now_ns + retry_ns;
}

static void end_write(struct writer *w, int slot, int64_t result)
{
    struct write *part = &w->slot[slot];

    if (result == -EINTR || result == -EAGAIN) {
        begin_part(w, slot);
        return;
    }
    if (result > 0) {
        part->done += (size_t)result;
        FLY_ASSERT(part->done <= part->len);
        if (part->at + part->done > w->reached)
            w->reached = part->at + part->done;
        if (part->done < part->len && !w->undo) {
            begin_part(w, slot); /* a short write: the reason comes with the rest of it, if there is one */
            return;
        }
    }
    w->in_flight--;
    if (result <= 0)
        write_failed(w, "write", result < 0 ? result : -EIO);
}

static void end_sync(struct writer *w, int64_t result)
{
    struct fly_recorder *rec = w->rec;

    w->syncing = 0;
    if (result == -EINTR)
        return; /* begins again: the goal still stands */
    w->has_goal = 0;
    if (result < 0) {
        say_error(w, "fdatasync", result, 1);
        return;
    }
    pthread_mutex_lock(&rec->lock);
    rec->durable_pos = w->goal;
    atomic_store_explicit(&rec->durable, w->goal_ticket, memory_order_release); /* durable's acquire */
    pthread_cond_broadcast(&rec->moved);
    pthread_mutex_unlock(&rec->lock);
    if (rec->wake_fd >= 0)
        eventfd_write(rec->wake_fd, 1);
}

/* Give the ring back what the file has, in order. */
static void retire(struct writer *w)
{
    struct fly_recorder *rec = w->rec;
    int wrote = 0;

    while (w->n_writes > 0 && w->slot[w->first].done == w->slot[w->first].len) {
        w->written += w->slot[w->first].len;
        w->first = (w->first + 1) % FLY_IO_WRITES;
        w->n_writes--;
        wrote = 1;
    }
    if (w->written == w->freed)
        return;
    w->freed = w->written;
    pthread_mutex_lock(&rec->lock);
    rec->freed = w->freed;
    if (rec->reserved - rec->freed <= rec->ring_bytes / 2)
        rec->behind = 0;
    if (wrote && !w->undo && !rec->failed)
        rec->error[0] = '\0'; /* the disk takes bytes again */
    pthread_mutex_unlock(&rec->lock);
}

/* After a failed write, once nothing is in flight: no byte may stand behind the hole. */
static void undo_writes(struct writer *w)
{
    int rc;

    if (!w->undo || w->in_flight > 0 || w->now_ns < w->cut_at_ns)
        return;
    if (w->n_writes > 0)
        w->written += w->slot[w->first].done;
    w->n_writes = 0;
    w->submitted = w->written;
    if (w->reached > w->written) {
        rc = w->rec->disk.truncate(w->rec->disk.ctx, w->rec->fd, w->rec->base + (int64_t)w->written);
        if (rc < 0) {
            write_failed(w, "truncate", rc);
            w->cut_at_ns = w->retry_at_ns;
            return;
        }
        w->reached = w->written;
    }
    w->undo = 0;
}

/* How long nothing has to be done, -1 for ever; tells append when to end that early. */
static int64_t plan_wait(struct writer *w)
{
    struct fly_recorder *rec = w->rec;
    int failed, changed, waits_for_disk = w->in_flight > 0 || w->syncing;
    int64_t until_ns = INT64_MAX;
    uint64_t kick_at = UINT64_MAX;

    if (w->undo || w->now_ns < w->retry_at_ns) {
        until_ns = w->retry_at_ns;
    } else if (w->n_writes < w->depth) {
        /* A stretch worth a write is news; with no sync due soon, so is the first byte. */
        kick_at = w->submitted + (is_durable(w) ? 1 : write_worth(w));
    }
    if (!w->has_goal && !is_durable(w) && w->next_sync_ns < until_ns)
        until_ns = w->next_sync_ns;

    pthread_mutex_lock(&rec->lock);
    failed = rec->failed;
    changed = rec->closing != w->closing || (!failed && rec->committed >= kick_at);
    rec->kick_at = failed || changed ? UINT64_MAX : kick_at;
    pthread_mutex_unlock(&rec->lock);
    if (changed)
        return 0;
    if (failed || until_ns == INT64_MAX)
        return -1;
    if (until_ns <= w->now_ns)
        return waits_for_disk ? -1 : 0;
    return until_ns - w->now_ns;
}

/* A clean close says so in the file: damage before a seal is known for damage. Every record is durable
 * already, so a disk that takes no seal takes nothing away. */
static void leave_seal(struct writer *w)
{
    struct fly_recorder *rec = w->rec;
    struct fly_record_head seal = {.kind = FLY_RECORD_SEAL,
                                   .flags = rec->finished ? FLY_SEAL_FINISHED : 0,
                                   .ticket = w->committed_ticket,
                                   .durable = w->committed_ticket};
    unsigned char bytes[FLY_RECORD_HEAD];

    if (w->committed_ticket == rec->first_ticket)
        return;
    fly_record_head_write(bytes, &seal, rec->seed);
    if (rec->disk.pwrite(rec->disk.ctx, rec->fd, bytes, sizeof bytes, rec->base + (int64_t)w->written) ==
        (int64_t)sizeof bytes)
        rec->disk.sync(rec->disk.ctx, rec->fd);
}

static void collect(struct writer *w, int64_t timeout_ns)
{
    struct fly_io_end ends[FLY_IO_SLOTS];
    int n = fly_io_wait(w->rec->io, timeout_ns, ends);

    if (n < 0) {
        /* The ring is gone, and with it any knowledge of what is in flight. */
        say_error(w, "io_uring", n, 1);
        w->in_flight = w->syncing = 0;
        return;
    }
    w->now_ns = mono_ns();
    for (int i = 0; i < n; i++) {
        if (ends[i].slot == FLY_IO_SYNC)
            end_sync(w, ends[i].result);
        else
            end_write(w, ends[i].slot, ends[i].result);
    }
    retire(w);
}

static void wait_for_close(struct writer *w)
{
    struct pollfd kick = {.fd = w->rec->kick_fd, .events = POLLIN};
    eventfd_t count;

    /* Not through the ring, which may be what failed. */
    if (poll(&kick, 1, -1) > 0)
        eventfd_read(w->rec->kick_fd, &count);
}

void *fly_recorder_write(void *recorder)
{
    struct fly_recorder *rec = recorder;
    struct writer w = {.rec = rec, .depth = rec->uring ? FLY_IO_WRITES : 1};

    /* A batch thread does not push the one that woke it off its processor: append stays short on a busy
     * machine. Refused, it costs that and nothing more. */
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){0});
    w.next_sync_ns = mono_ns() + rec->sync_ns;
    for (;;) {
        look(&w);
        if (rec->failed && w.in_flight == 0 && !w.syncing) { /* failed: this thread's alone to write */
            if (w.closing)
                break;
            wait_for_close(&w);
            continue;
        }
        if (!rec->failed) {
            set_goal(&w);
            undo_writes(&w);
            begin_writes(&w);
            begin_sync(&w);
            if (w.closing && is_durable(&w)) {
                leave_seal(&w);
                break;
            }
        }
        collect(&w, plan_wait(&w));
    }
    return NULL;
}
