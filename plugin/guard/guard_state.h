/* plugin/guard/guard_state.h: the guard's inside, for guard*.c alone.
 *
 *   guard.c              opening, turning, silence, hold, safe states
 *   guard_plugin.c       requests to the plugin, and its replies
 *   guard_command.c      its commands: judged, written down and sent on, or refused
 *   guard_acquisition.c  what is asked at guard.listen; acks; what is told to the acquisition
 */
#ifndef FLY_PLUGIN_GUARD_GUARD_STATE_H
#define FLY_PLUGIN_GUARD_GUARD_STATE_H

#include <signal.h>

#include "plugin/guard/guard.h"
#include "plugin/guard/journal.h"
#include "stream/keys.h"
#include "stream/request.h"
#include "stream/zap.h"

enum { FLY_GUARD_PEER_MAX = 255, FLY_GUARD_WORDS = 300, FLY_GUARD_PENDING = 4 };

enum fly_guard_mode { FLY_GUARD_MODE_OFF, FLY_GUARD_MODE_ADVISE, FLY_GUARD_MODE_ASK, FLY_GUARD_MODE_AUTO, FLY_GUARD_MODES };
extern const char *const fly_guard_modes[FLY_GUARD_MODES];

struct fly_guard_plugin {
    int heard;               /* ever */
    int lost;                /* silent for too long */
    int64_t heard_ns, asked_ns;
    int attached, held;
    char session[FLY_SESSION_MAX + 1];
    char refusal[FLY_GUARD_WORDS]; /* why it does not let us attach; "": it does, or was not asked */
    uint64_t id;             /* of the newest request */
    uint64_t attach_id, ledger_id; /* 0: none is waited for */
    uint64_t status_seen;    /* the newest that was answered */
    int64_t ledger_ns;       /* when the ledger was asked for */
    int ledger_answered;
};

/* A command that waits for a status said after it: of which session it is, and whether that is held by now. */
struct fly_guard_pending {
    struct fly_msg msg;
    uint64_t status_id;
};

struct fly_guard_acquisition {
    int attached, gone;      /* gone: silent, but nobody else may attach yet */
    unsigned char peer[FLY_GUARD_PEER_MAX];
    size_t peer_len;
    char key_name[FLY_PEER_NAME_MAX + 1]; /* of its key in the allow-list; "": without keys */
    char name[FLY_PEER_NAME_MAX + 1];
    enum fly_guard_mode mode;
    int64_t heard_ns;
};

/* What the guard itself tells the acquisition to do, until that says that it heard. */
struct fly_guard_order {
    int active, heard;
    enum fly_command_kind kind;
    char cmd_id[FLY_CMD_ID_MAX + 1];
    int64_t sent_ns;
    int64_t since_ns, frames; /* of raster: begun, and frames booked */
};

struct fly_guard {
    struct fly_guard_config config;
    struct fly_guard_limits in_force; /* of the file and the attachment */
    struct fly_net *net;
    struct fly_zap *gate;
    struct fly_endpoint *plugin_end, *listen_end;
    struct fly_guard_journal journal;

    int has_book, session_kept;       /* kept: the journal has the session's line */
    struct fly_guard_book book;
    struct fly_guard_id_set sessions; /* those that were booked: a dose is not begun anew under an old name */

    struct fly_guard_plugin plugin;
    struct fly_guard_pending pending[FLY_GUARD_PENDING]; /* oldest first */
    int n_pending;
    struct fly_guard_acquisition acquisition;
    struct fly_guard_order order;
    char stop_id[FLY_CMD_ID_MAX + 1]; /* of the plugin's newest stop or blank */
    int held;                         /* by us */
    char held_by[FLY_PEER_NAME_MAX + 32]; /* "held by ...", while it is */
    int told_held;                    /* the acquisition was told to stop for a hold that stands */
    volatile sig_atomic_t signal;     /* 0 nothing, 1 hold, 2 resume */
    int64_t beat_ns;
    uint64_t own;                     /* number of the newest command of our own */

    uint64_t passed, refused;
    char last[FLY_GUARD_WORDS + FLY_CMD_ID_MAX];
    char last_id[FLY_CMD_ID_MAX + 1];
    enum fly_guard_verdict last_verdict;

    unsigned char header[FLY_HEADER_MAX];
    struct fly_target targets[FLY_TARGETS_MAX];
};

int64_t fly_guard_mono(const struct fly_guard *g);
int64_t fly_guard_unix(const struct fly_guard *g);
void fly_guard_say(const struct fly_guard *g, enum fly_guard_level level, const char *code, const char *format, ...)
    FLY_PRINTF(4, 5);
enum fly_guard_state fly_guard_state_of(const struct fly_guard *g);
int fly_guard_held(const struct fly_guard *g); /* here, or at the plugin as far as it was heard */

/* An acquisition is attached in ask or auto. In advise and off it is sent neither commands nor orders, and nobody
 * need be attached for it at the plugin. */
int fly_guard_steers(const struct fly_guard *g);

/* ---- guard.c ------------------------------------------------------------------------------------------ */

/* Tell the acquisition stop, blank or raster, and again until it is heard. While held a raster is a stop. */
void fly_guard_give_order(struct fly_guard *g, enum fly_command_kind kind, const char *why);
enum fly_command_kind fly_guard_safe_kind(const struct fly_guard *g); /* of the limits in force */
/* What runs is told to stop before the disk is waited for. */
void fly_guard_set_hold(struct fly_guard *g, int held, const char *by);
/* Nothing is under way any more; the plugin is told so of each command, with why. */
void fly_guard_abandon(struct fly_guard *g, const char *why);
/* The acquisition left, or fell silent. */
void fly_guard_part(struct fly_guard *g, const char *why, int for_good);
/* A line of the journal was or was not written: said once each way. */
void fly_guard_wrote(struct fly_guard *g, int rc);

/* ---- guard_plugin.c ----------------------------------------------------------------------------------- */

/* May keep the message, and then leaves an empty one. */
void fly_guard_plugin_read(struct fly_guard *g, struct fly_msg *msg);
void fly_guard_plugin_forget(struct fly_guard *g); /* what waited for its answers */
void fly_guard_plugin_ask(struct fly_guard *g);   /* what is due: status, attach, ledger */
/* Tells whether we hold by ourselves, too. What it returns is in status_seen once it is answered. */
uint64_t fly_guard_plugin_ask_status(struct fly_guard *g);
void fly_guard_plugin_leave(struct fly_guard *g); /* detach there */
void fly_guard_plugin_ack(struct fly_guard *g, const struct fly_ack *ack);
void fly_guard_plugin_reject(struct fly_guard *g, const char *cmd_id, const char *reason);

int fly_guard_wants_commands(const struct fly_guard *g);
/* After the empty part, as many as came: too many are for the codec to refuse. */
int32_t fly_guard_n_parts(const struct fly_msg *msg);
/* A text of less than cap bytes: 1. 0: there is none, out is as it was. */
int fly_guard_get_str(struct fly_value map, const char *key, char *out, size_t cap);

/* ---- guard_command.c ---------------------------------------------------------------------------------- */

/* A stop and a blank leave at once; what measures waits for a status said after it. May keep the message, and then
 * leaves an empty one. */
void fly_guard_commands_take(struct fly_guard *g, struct fly_msg *msg);
void fly_guard_commands_judge(struct fly_guard *g); /* those whose status has come */
/* Refuse those that wait: something came that they may not outlive. */
void fly_guard_commands_drop(struct fly_guard *g, const char *why);

/* ---- guard_acquisition.c ------------------------------------------------------------------------------ */

void fly_guard_acquisition_read(struct fly_guard *g, struct fly_msg *msg);
void fly_guard_acquisition_beat(struct fly_guard *g);
/* FLY_EAGAIN, FLY_EIO: nothing was sent. */
int fly_guard_acquisition_command(struct fly_guard *g, const struct fly_command *command);

#endif
