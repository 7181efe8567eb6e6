/* plugin/guard/guard.h: the supervisor: commands pass from the plugin to the acquisition here, or not at all.
 *
 *   plugin ROUTER ──command──▶ DEALER  guard  ROUTER (guard.listen) ──command──▶ acquisition
 *          ◀──steer.attach, status, dose.get, ack──       ◀──steer.attach, status, ack, hold──
 *
 * It holds the limits (limits.h), judges each command (rules.h), writes down what it did before it does it
 * (journal.h), and knows nothing of maps. What is decoded, judged and written is encoded anew: the
 * acquisition gets what was judged, not what was sent.
 *
 * Silence  a plugin that says nothing for heartbeat_s is lost: the safe state of the limits is sent, and
 *          again until the acquisition acknowledges it. An acquisition that says nothing for
 *          FLY_GUARD_GONE_NS is gone: its open commands are told to the plugin as rejected, and the guard
 *          detaches there. The guard itself says `heartbeat` to the acquisition each FLY_GUARD_BEAT_NS.
 * Hold     is a level: the plugin's, or the guard's own (steer.hold here, or a signal), and the guard's own
 *          survives a restart. While one stands nothing passes, and an acquisition at work is told to stop; the safe
 *          state raster is then a stop, too. The plugin's stands until the plugin says otherwise.
 * Threads  one, which opens, turns and closes; fly_guard_hold_by_signal is for signal handlers.
 */
#ifndef FLY_PLUGIN_GUARD_GUARD_H
#define FLY_PLUGIN_GUARD_GUARD_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "plugin/guard/limits.h"
#include "stream/disk.h"
#include "stream/net.h"

#define FLY_GUARD_BEAT_NS (500 * INT64_C(1000000))
#define FLY_GUARD_GONE_NS (1900 * INT64_C(1000000))     /* with a turn of the guard: two seconds */
#define FLY_GUARD_FREE_NS (5 * INT64_C(1000000000))     /* then another acquisition may attach */

/* In the order of log.level's words. */
enum fly_guard_level { FLY_GUARD_ERROR = 0, FLY_GUARD_WARNING, FLY_GUARD_INFO, FLY_GUARD_DEBUG };

struct fly_guard_config {
    const char *plugin;  /* the plugin's control socket; lent, as all of these */
    const char *listen;  /* where the acquisition attaches */
    const char *journal;
    struct fly_guard_limits limits;
    struct fly_clock clock;
    struct fly_disk disk;
    const char *keys;       /* folder of the guard's own pair; "": none */
    const char *allow;      /* who may come to listen, with keys */
    const char *plugin_key; /* the plugin's public key or its file; "": the plugin has none */
    void (*say)(void *ctx, enum fly_guard_level level, const char *code, const char *text); /* not NULL */
    void *ctx;
};

enum fly_guard_state { FLY_GUARD_WAITING, FLY_GUARD_STEERING, FLY_GUARD_HOLDING, FLY_GUARD_SAFE };
const char *fly_guard_state_name(enum fly_guard_state state); /* "waiting", "steering", "held", "safe" */

struct fly_guard;

/* FLY_ERANGE  an address, a key
 * FLY_EIO     an address in use; the journal
 * FLY_EWIRE   the journal is damaged; a key file
 * FLY_ENOMEM */
FLY_MUST_USE int fly_guard_open(struct fly_guard **out, const struct fly_guard_config *config);

/* The acquisition is sent the safe state (blank for raster, whose frames nobody would book), the plugin a detach. */
void fly_guard_close(struct fly_guard **guard);

/* Wait for something to do, 50 ms at most, and do it. FLY_EIO: the system cannot wait. */
FLY_MUST_USE int fly_guard_turn(struct fly_guard *guard);

/* 1 hold, 0 resume: acts with the next turn. */
void fly_guard_hold_by_signal(struct fly_guard *guard, int hold);

/* What a person may want to see. */
struct fly_guard_look {
    enum fly_guard_state state;
    const char *session;    /* "": none; lent until the next turn */
    const char *mode;       /* of the acquisition; "": none is attached */
    int plugin_attached, held, journal_ok;
    uint64_t passed, refused;
    double worst_e_per_A2, mean_e_per_A2; /* NaN: not known */
    const char *last;       /* the verdict on the newest command, with words; "": none yet */
};
void fly_guard_look(const struct fly_guard *guard, struct fly_guard_look *look);
const char *fly_guard_address(const struct fly_guard *guard); /* bound, with the real port */

#endif
