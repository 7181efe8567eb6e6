/* stream/request.h: the words of the control socket: requests taken apart, replies made.
 *
 * A request is {type "request", id, op, args}; the reply carries its id. What an op does is for the
 * plugin; here are the shape, the limits and the helpers that fetch an op's arguments, whose words
 * name the key and what is allowed, for a person reads them.
 *
 * Parts    as after the empty part: [header][payload 0..n].
 * Memory   views into the parts.
 * Threads  pure but for fly_fail's text.
 */
#ifndef FLY_STREAM_REQUEST_H
#define FLY_STREAM_REQUEST_H

#include <stdint.h>

#include "stream/wire.h"

enum {
    FLY_REQUEST_ID_MAX = 4096, /* bytes of a packed id; a longer one is refused, and nil echoed */
    FLY_REQUEST_OP_MAX = 64,
};

struct fly_request {
    char op[FLY_REQUEST_OP_MAX + 1];
    struct fly_value args;  /* a map; the empty one when the request has none */
    struct fly_part id;     /* packed; nil when it has none */
    const struct fly_part *payloads;
    int32_t n_payloads;
};

/* Returns FLY_REFUSE_NONE, or why not, with words in fly_fail_text(); the id is filled whenever it could
 * be read, so that fly_reply_error can answer. The first of these that holds is the reason: oversize
 * or malformed header; oversize id, parts or payload; bad_key, bad_type of type; unknown_type (no
 * request); bad_value (a number that is not finite); bad_key, bad_type of op; bad_type of args;
 * bad_value of op. */
enum fly_refusal fly_request_decode(struct fly_request *request, const struct fly_part *parts,
                                    int32_t n_parts);

/* The header of a request up to its args; pack exactly one value next, a map or nil. */
void fly_request_begin(struct fly_pack *pack, uint64_t id, const char *op);

/* The header up to the result; pack exactly one value next, then send [header][payloads]. A result
 * that does not fit sets pack->full: say an error instead. */
void fly_reply_begin(struct fly_pack *pack, const struct fly_request *request);

/* A whole header that says no. code is a word for programs, text for people. */
void fly_reply_error(struct fly_pack *pack, const struct fly_request *request, const char *code,
                     const char *text);

/* ---- arguments ----------------------------------------------------------------------------------- */

/* Each returns FLY_REFUSE_NONE and fills out, or FLY_REFUSE_BAD_KEY (missing), FLY_REFUSE_BAD_TYPE or
 * FLY_REFUSE_BAD_VALUE with words that name the key and what is allowed. fly_refusal_name of it is the
 * error's code. */

/* A string of 1 .. max bytes, without NUL; text has room for max + 1. */
enum fly_refusal fly_arg_str(struct fly_value args, const char *key, size_t max, char *text);

enum fly_refusal fly_arg_int(struct fly_value args, const char *key, int64_t lo, int64_t hi,
                             int64_t *out);

/* fallback when the key is missing or nil. */
enum fly_refusal fly_arg_bool(struct fly_value args, const char *key, int fallback, int *out);

/* One of n_words words; out is its index. */
enum fly_refusal fly_arg_word(struct fly_value args, const char *key, const char *const *words,
                              int32_t n_words, int32_t *out);

/* [[r, c] ...], at least one pair, within rows x cols; chips[i] = r * cols + c. 1 .. cap of them; a
 * chip may be named twice. */
enum fly_refusal fly_arg_chips(struct fly_value args, const char *key, int32_t rows, int32_t cols,
                               int32_t *chips, int32_t cap, int32_t *count);

/* `limits` of steer.attach, whoever answers it: a map, nil or missing. Each number is above 0, at most 1e15; NaN when it is
 * missing or nil. */
enum fly_refusal fly_arg_limits(struct fly_value args, double *dose_e_per_A2, double *box_px, double *rate_hz);

#endif
