/* plugin/json.h: JSON, written value by value into a growing text.
 *
 * What comes out is valid JSON (RFC 8259) whatever goes in: text that is no UTF-8 becomes U+FFFD,
 * numbers that are not finite become null. The layout is that of one-space indentation, or all on one
 * line; the same calls give the same bytes everywhere.
 *
 * Misuse (a value without a key in an object, an end that does not fit its beginning) is our own bug
 * and asserted.
 *
 * Threads  a writer belongs to one thread at a time.
 */
#ifndef FLY_PLUGIN_JSON_H
#define FLY_PLUGIN_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/text.h"

enum { FLY_JSON_DEPTH = 32 };

struct fly_json {
    struct fly_text *text; /* lent; asks for memory, remembers that there was none */
    int depth;
    int keyed;             /* a key stands, its value is due */
    int flat;              /* depth from which all goes on one line; FLY_JSON_DEPTH + 1: none */
    struct {
        char kind; /* '{' or '[' */
        int items;
    } level[FLY_JSON_DEPTH + 1];
};

/* Write into `text`, after what it holds. one_line: no line breaks at all. */
void fly_json_init(struct fly_json *json, struct fly_text *text, int one_line);

void fly_json_object(struct fly_json *json); /* { */
void fly_json_array(struct fly_json *json);  /* [ */
void fly_json_row(struct fly_json *json);    /* [ whose content stays on one line */
void fly_json_end(struct fly_json *json);    /* closes the innermost of these */

void fly_json_key(struct fly_json *json, const char *key);
void fly_json_str(struct fly_json *json, const char *value);
void fly_json_strn(struct fly_json *json, const char *value, size_t len);
void fly_json_int(struct fly_json *json, int64_t value);
void fly_json_uint(struct fly_json *json, uint64_t value);
void fly_json_f64(struct fly_json *json, double value);
void fly_json_bool(struct fly_json *json, int value);
void fly_json_null(struct fly_json *json);

/* Ends the document with a line break (asserted: everything begun was ended). */
void fly_json_done(struct fly_json *json);

#endif
