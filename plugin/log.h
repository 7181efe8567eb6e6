/* plugin/log.h: what happened, for whoever reads stderr.
 *
 *   2026-03-01T12:00:00.123Z warning ingest_refused: lines of HAADF2, not declared by the start
 *   {"t": "2026-03-01T12:00:00.123Z", "level": "warning", "code": "ingest_refused", "text": "..."}
 *
 * Stamps are UTC. Text lines are coloured on a terminal unless NO_COLOR is set; line breaks and control
 * characters inside a message are replaced, so that one message is one line whatever a peer sent.
 *
 * Threads  fly_log from any; each line is one write. fly_log_open before other threads start.
 */
#ifndef FLY_PLUGIN_LOG_H
#define FLY_PLUGIN_LOG_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"

/* In the order of log.level's words. */
enum fly_log_level { FLY_LOG_ERROR = 0, FLY_LOG_WARNING, FLY_LOG_INFO, FLY_LOG_DEBUG };
enum fly_log_format { FLY_LOG_TEXT = 0, FLY_LOG_JSON };
enum { FLY_LOG_TEXT_MAX = 1000 }; /* bytes of a message; longer ones end in "..." */

const char *fly_log_level_name(enum fly_log_level level); /* "warning", also the protocol's word */

struct fly_log_config {
    enum fly_log_level level; /* graver or equal is written */
    enum fly_log_format format;
    int fd;                   /* where to; -1: nowhere */
    int colour;               /* text only: 1 yes, 0 no, -1 when fd is a terminal and NO_COLOR unset */
    const struct fly_clock *clock; /* for stamps, lent for good; NULL: the system's */
};

/* Until the first call: info and graver, text, stderr. */
void fly_log_open(const struct fly_log_config *config);
void fly_log_set_level(enum fly_log_level level);
int fly_log_wants(enum fly_log_level level); /* 1: a message of this level would be written */

/* code: a short word for programs ("recording_behind"), or NULL. */
void fly_log(enum fly_log_level level, const char *code, const char *format, ...) FLY_PRINTF(3, 4);

/* One message a second and code, and how many were held back since the last. For the log and for the
 * events on the wire; one gate for each purpose and thread. Zeros are a fresh gate. */
enum { FLY_GATE_CODES = 64, FLY_GATE_CODE_MAX = 40 };
struct fly_gate {
    int32_t count;
    struct {
        char code[FLY_GATE_CODE_MAX];
        int64_t last_ns;
        uint64_t held;
    } codes[FLY_GATE_CODES];
};

/* 1: say it now, *held (may be NULL) were not said since the last; 0: less than a second has passed, it
 * is counted. More codes than FLY_GATE_CODES share one second. now_ns is monotonic. */
int fly_gate_open(struct fly_gate *gate, const char *code, int64_t now_ns, uint64_t *held);

#endif
