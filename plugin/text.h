/* plugin/text.h: bytes that grow: what is going to be printed, written or sent, put together first.
 *
 * A text remembers that memory ran out and takes nothing more from then on, so that callers ask once,
 * at the end, instead of after every piece.
 *
 * Threads  a text belongs to one thread at a time.
 */
#ifndef FLY_PLUGIN_TEXT_H
#define FLY_PLUGIN_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct fly_text {
    char *bytes; /* len of them and a NUL; NULL while nothing was ever put in */
    size_t len, cap;
    int failed;  /* memory ran out */
};

void fly_text_init(struct fly_text *text);
void fly_text_fini(struct fly_text *text);  /* a text of zeros is fine */
void fly_text_clear(struct fly_text *text); /* empty again, memory kept, failure forgotten */

void fly_text_add(struct fly_text *text, const char *more);
void fly_text_addn(struct fly_text *text, const void *more, size_t len);
void fly_text_addf(struct fly_text *text, const char *format, ...) FLY_PRINTF(2, 3);
void fly_text_repeat(struct fly_text *text, const char *more, int times); /* nothing when times <= 0 */

/* The text as a C string, "" when empty. Lent until the next change. */
const char *fly_text_str(const struct fly_text *text);

/* FLY_ENOMEM when any piece found no memory; `what` is named in the message. */
FLY_MUST_USE int fly_text_done(const struct fly_text *text, const char *what);

/* The ending of what n are there: "s", but "" of one: "%d chip%s". */
const char *fly_plural(int64_t n);

/* The next character of UTF-8 text[0 .. len): returns its bytes, 1 .. 4, and fills `code` (may be
 * NULL). Bytes that are no UTF-8 (RFC 3629: overlong forms, surrogates and numbers past 0x10FFFF
 * included) come one at a time as U+FFFD. len > 0. */
size_t fly_utf8_next(const char *text, size_t len, unsigned *code);

/* 1 when that byte range is valid UTF-8. */
int fly_utf8_valid(const char *text, size_t len);

#endif
