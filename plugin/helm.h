/* plugin/helm.h: who steers, and what becomes of a decision: the state machine between plans and commands.
 *
 * One owner at a time has the beam (steer.attach). A decision of the engine stage (steering.h) is a suggestion; in the
 * mode `ask` a person's yes makes a command of it, in `auto` it is one at once. One command is under way at a time:
 *
 *   decision ─ advise ─▶ told
 *            ─ ask ────▶ undecided ─ yes ─▶ ready ┐
 *            ─ auto ─────────────────────▶ ready ─┴▶ sent ─▶ received ─▶ started ─▶ done
 *
 * and from any of the last: rejected by the acquisition, or withdrawn, past its time or with nobody there.
 *
 * A decision is commanded at most once, a command never sent twice, and numbers never used again: those of commands
 * follow the clock (the larger of the last + 1 and Unix ms), frames are reserved on disk before they are used
 * (fly_helm_reserved), so that a kill at any moment loses none. Hold is a level: while it is up no command
 * leaves, and what runs is told to stop. A guard may hold by itself: no command leaves then, either, as far as it
 * tells; it stops what runs itself.
 *
 * Nothing here touches a socket, a file or a clock of its own: what goes out goes through struct fly_helm_out.
 *
 * Threads  the publisher's.
 */
#ifndef FLY_PLUGIN_HELM_H
#define FLY_PLUGIN_HELM_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "plugin/bus.h"
#include "plugin/decision.h"
#include "stream/steer.h"

enum {
    FLY_HELM_PEER_MAX = 255,    /* bytes of a ROUTER's name for a peer */
    FLY_HELM_COMMANDS = 3,      /* remembered: the one under way, and those whose data may still come */
    FLY_HELM_LEFT_MAX = 256,    /* boxes of chips that are left alone */
    FLY_HELM_FATES = 32,        /* decisions whose fate is remembered */
    FLY_HELM_FRAMES_AHEAD = 64, /* frame numbers reserved at a time */
};

_Static_assert((int)FLY_HELM_LEFT_MAX >= (int)FLY_DECISION_TARGETS, "a whole decision can be left alone");
_Static_assert((int)FLY_STEER_BARRED_MAX >= FLY_HELM_COMMANDS * (int)FLY_DECISION_TARGETS + (int)FLY_HELM_LEFT_MAX,
               "all that is barred is told");

/* An owner that says nothing for so long is none. */
#define FLY_HELM_SILENCE_NS (5 * INT64_C(1000000000))
/* A command may be begun two cycles long, and so long at least: shorter, and a busy owner would lose it for nothing. */
#define FLY_HELM_BEGIN_NS INT64_C(1000000000)
/* After `done`, how long data may take to come before their chips may be proposed again. */
#define FLY_HELM_DATA_NS (2 * INT64_C(1000000000))
/* A command that was taken, but is not done after twice its time and so long, is given up. */
#define FLY_HELM_GRACE_NS (5 * INT64_C(1000000000))
/* Data may have been measured with a dwell so far from what was commanded, before it is told: half a line more or
 * less of flyback is not a dose. */
#define FLY_HELM_DWELL_PART 0.05

/* Who asks: lent. */
struct fly_helm_peer {
    const void *id;   /* the ROUTER's name for it */
    size_t id_len;
    const char *name; /* for people; at most FLY_STEER_BY_MAX bytes are kept */
    const char *key;  /* what its key proves it to be, "" without keys: another one under the same id is another peer */
    const char *role; /* what it is let in as, for people; "" without keys */
    const char *address; /* id, for programs: words or hexadecimals */
};

struct fly_helm_ask {
    enum fly_steer_mode mode;
    struct fly_steer_limits limits;
    int guard; /* 1: attached `as` guard, who may be one (desk.c knows) */
};

/* Of the session. */
struct fly_helm_facts {
    uint64_t serial;
    double beam_current_na, pixel_nm[2]; /* NaN: not known */
    int64_t frames_planned, frames_max;  /* numbers planned (0: not said), and that there may be */
    int32_t chip_px;
    int64_t cycle_ns, ask_ns;            /* steer.cycle_ms, steer.ask_s */
    int off;                             /* steer.mode is off: nothing is suggested, whoever owns the beam */
};

/* What the helm does to the world. ctx is handed back. */
struct fly_helm_out {
    /* FLY_OK: on its way. FLY_EAGAIN: not now. FLY_EIO: no such peer. */
    int (*send)(void *ctx, const void *peer, size_t peer_len, const struct fly_command *command);
    /* Into the journal: op, and its arguments as one packed value. FLY_EAGAIN: the recording is behind. */
    int (*keep)(void *ctx, const char *op, const void *args, size_t args_len);
    /* That `by` holds, or, by NULL, that nobody does, as what the next process knows. FLY_OK: on disk, or there is no
     * disk to keep it on. FLY_EIO. */
    int (*keep_hold)(void *ctx, const char *by);
    /* Frame numbers below `through` may be used once this is on disk: then call fly_helm_reserved. */
    int (*reserve)(void *ctx, int64_t through);
    void (*tell)(void *ctx, enum fly_level level, const char *code, const void *data, size_t data_len, const char *text);
    void (*count)(void *ctx, enum fly_counter counter);
    void *ctx;
};

enum fly_helm_state {
    FLY_HELM_NONE = 0, FLY_HELM_SENT, FLY_HELM_RECEIVED, FLY_HELM_STARTED, FLY_HELM_DONE, FLY_HELM_REJECTED,
    FLY_HELM_WITHDRAWN
};

struct fly_helm_command {
    enum fly_helm_state state;
    char cmd_id[FLY_CMD_ID_MAX + 1], decision_id[FLY_CMD_ID_MAX + 1];
    int64_t pixels;         /* commanded, all targets */
    int64_t valid_until_ns; /* Unix */
    int64_t work_ns;        /* what it is thought to take */
    int64_t due_ns;         /* monotonic: taken, it is given up then; done, its data are waited for until then */
    int bars;               /* 1: its chips are not proposed until their data came */
    int64_t came;           /* pixels of it that did */
    int differs_told;
    double dwell_us;        /* commanded of each pixel: targets of one command have one dwell */
    char reason[FLY_ACK_REASON_MAX + 1]; /* why it was rejected or withdrawn, else "" */
    struct fly_chip_box boxes[FLY_DECISION_TARGETS];
    int32_t n_boxes;
};

enum fly_helm_fate { FLY_FATE_OPEN = 0, FLY_FATE_APPROVED, FLY_FATE_COMMANDED, FLY_FATE_VETOED, FLY_FATE_EXPIRED };

struct fly_helm {
    struct fly_helm_out out;
    struct fly_clock clock;
    struct fly_helm_facts facts;
    int in_session;

    int owned;
    unsigned char owner[FLY_HELM_PEER_MAX];
    size_t owner_len;
    char owner_name[FLY_STEER_BY_MAX + 1], owner_key[FLY_STEER_BY_MAX + 1];
    struct fly_helm_ask asked;     /* what the owner attached with */
    int capped;                    /* this session lacks what ask and auto need: advise */
    int64_t since_ns, heard_ns;    /* Unix; monotonic */

    int held;
    char held_by[FLY_STEER_BY_MAX + 1];
    char held_role[FLY_STEER_BY_MAX + 1], held_id[FLY_STEER_BY_MAX + 1]; /* "" after a restart: it was another's socket */
    /* The guard's own words, while it holds by itself: as it tells, or, where it does not, as far as it answered the last
     * command. "": it does not hold. */
    char guard_held[FLY_ACK_REASON_MAX + 1];
    int guard_tells;               /* the owner is a guard that does */

    struct fly_decision decision;  /* open (ask), or ready to be commanded */
    int open, ready;
    struct { char id[FLY_CMD_ID_MAX + 1]; enum fly_helm_fate fate; } fates[FLY_HELM_FATES];
    int32_t fate_next;

    struct fly_helm_command commands[FLY_HELM_COMMANDS]; /* the first is under way, or was last */
    struct { char cmd_id[FLY_CMD_ID_MAX + 1]; enum fly_helm_state state; } stop; /* the last one sent */
    int64_t last_number, sent_ns;  /* of commands; monotonic, 0: none yet */
    int64_t retry_ns;              /* monotonic: the journal took nothing, not before */
    int64_t frame_next, reserved, reserving;
    int frames_told;

    struct fly_chip_box left[FLY_HELM_LEFT_MAX]; /* vetoed or rejected: left alone until resume or attach */
    int32_t n_left;

    struct fly_steer_orders orders;
    uint64_t fresh_from;           /* decisions made under earlier orders hold to another owner's limits */
    int stale;                     /* orders are to be made anew */
};

void fly_helm_init(struct fly_helm *helm, const struct fly_helm_out *out, const struct fly_clock *clock);

/* What keep_hold kept of another process: before the first session. */
void fly_helm_recall(struct fly_helm *helm, const char *by);

/* A session begins. An owner stays, but where the session lacks what its mode needs it gets advice alone. memory:
 * what a recording says of the time before a restart, or NULL. facts may change while it runs (update). */
void fly_helm_begin(struct fly_helm *helm, const struct fly_helm_facts *facts, const struct fly_helm_memory *memory);
void fly_helm_update(struct fly_helm *helm, const struct fly_helm_facts *facts);
/* No more data come: what is under way is withdrawn, its owner told to stop. */
void fly_helm_end(struct fly_helm *helm);

/* ---- what is asked: FLY_OK, or FLY_ERANGE with *code a word for programs and words in fly_fail_text ------------- */

/* Codes: busy; steer_off; guard_required; own_id (auto, from a peer that chose its routing id: who took it up after it would
 * get its commands); uncalibrated (the words name the missing keys); bad_value. The owner may
 * attach again, with another mode. Without a session it is the next one that has to have the keys. */
FLY_MUST_USE int fly_helm_attach(struct fly_helm *helm, const struct fly_helm_peer *peer, const struct fly_helm_ask *ask,
                                 const char **code);
FLY_MUST_USE int fly_helm_detach(struct fly_helm *helm, const struct fly_helm_peer *peer, const char **code); /* not_owner */

/* Codes: unknown_decision; not_asked (the mode is not ask); decided; expired; held (an approval, while held, here or by the
 * guard). */
FLY_MUST_USE int fly_helm_decide(struct fly_helm *helm, const struct fly_helm_peer *peer, const char *decision_id,
                                 int approve, const char *reason, const char **code); /* reason: at most 255 bytes */

/* Whoever has the beam in ask or auto is told to stop, a command being under way or not: one that was withdrawn may
 * run all the same. FLY_EAGAIN, FLY_EIO: it is in force, but the recording is behind, or keep_hold could not. */
FLY_MUST_USE int fly_helm_hold(struct fly_helm *helm, const struct fly_helm_peer *peer);
/* FLY_EAGAIN, FLY_EIO: it holds on. */
FLY_MUST_USE int fly_helm_resume(struct fly_helm *helm, const struct fly_helm_peer *peer);

/* ---- what happens ------------------------------------------------------------------------------------------- */

/* Somebody said something, whatever: an owner that does is there. */
void fly_helm_heard(struct fly_helm *helm, const struct fly_helm_peer *peer);

/* A guard tells whether it holds by itself: in its own words, at most FLY_ACK_REASON_MAX bytes, "": it does not. Passed over
 * from anybody but the owner, attached as guard. */
void fly_helm_guard_hold(struct fly_helm *helm, const struct fly_helm_peer *peer, const char *words);

/* A new decision, copied. 1: it is to be told, valid_until_ns is filled in. 0: it was made before it was known that another
 * one waits for a person, or that the owner's limits are others. */
int fly_helm_decision(struct fly_helm *helm, struct fly_decision *decision);

/* An ack. One that comes from another than the owner, names no command under way, goes back or repeats is refused:
 * counted and told, without effect. */
void fly_helm_ack(struct fly_helm *helm, const struct fly_helm_peer *peer, const struct fly_ack *ack);

/* What came in of a command's data so far. The first of it that was measured otherwise than commanded is told at once. */
void fly_helm_answer(struct fly_helm *helm, const struct fly_answer *answer);

void fly_helm_seen(struct fly_helm *helm, int64_t frame);       /* the highest frame that data carried */
void fly_helm_reserved(struct fly_helm *helm, int64_t through); /* on disk */

/* Time passes: expiry, withdrawal, silence; commands that had to wait leave. */
void fly_helm_tick(struct fly_helm *helm);
/* Monotonic ns at which tick has something to do; INT64_MAX: nothing waits for time. */
int64_t fly_helm_due(const struct fly_helm *helm);

/* What the engine stage is to know, as of now; lent. */
const struct fly_steer_orders *fly_helm_orders(struct fly_helm *helm);

/* The mode in force: the owner's, as far as this session allows it; without one advise, or off. */
enum fly_steer_mode fly_helm_mode(const struct fly_helm *helm);
const char *fly_helm_state_name(enum fly_helm_state state); /* "sent", "received", ...; of FLY_HELM_NONE "none" */
int fly_helm_under_way(const struct fly_helm *helm); /* 1: a command was sent and is neither over nor given up */

#endif
