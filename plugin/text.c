#include "plugin/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fly_text_init(struct fly_text *text)
{
    memset(text, 0, sizeof *text);
}

void fly_text_fini(struct fly_text *text)
{
    free(text->bytes);
    memset(text, 0, sizeof *text);
}

void fly_text_clear(struct fly_text *text)
{
    text->len = 0;
    text->failed = 0;
    if (text->bytes)
        text->bytes[0] = '\0';
}

/* Room for len more bytes and the NUL; 0 when there is none. */
static int grow(struct fly_text *text, size_t len)
{
    size_t cap = text->cap ? text->cap : 256;
    char *bytes;

    if (text->failed)
        return 0;
    if (len > (size_t)-1 / 4 - text->len) {
        text->failed = 1;
        return 0;
    }
    if (text->len + len + 1 <= text->cap)
        return 1;
    while (cap < text->len + len + 1)
        cap *= 2;
    bytes = realloc(text->bytes, cap);
    if (!bytes) {
        text->failed = 1;
        return 0;
    }
    text->bytes = bytes;
    text->cap = cap;
    return 1;
}

void fly_text_addn(struct fly_text *text, const void *more, size_t len)
{
    if (!grow(text, len))
        return;
    if (len)
        memcpy(text->bytes + text->len, more, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

void fly_text_add(struct fly_text *text, const char *more)
{
    fly_text_addn(text, more, strlen(more));
}

void fly_text_addf(struct fly_text *text, const char *format, ...)
{
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    FLY_ASSERT(len >= 0);
    if (grow(text, (size_t)len)) {
        vsnprintf(text->bytes + text->len, (size_t)len + 1, format, again);
        text->len += (size_t)len;
    }
    va_end(again);
}

void fly_text_repeat(struct fly_text *text, const char *more, int times)
{
    for (int i = 0; i < times; i++)
        fly_text_add(text, more);
}

const char *fly_text_str(const struct fly_text *text)
{
    return text->bytes ? text->bytes : "";
}

int fly_text_done(const struct fly_text *text, const char *what)
{
    if (text->failed)
        return fly_fail(FLY_ENOMEM, "%s: no memory beyond %zu bytes of it", what, text->len);
    return FLY_OK;
}

const char *fly_plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

size_t fly_utf8_next(const char *text, size_t len, unsigned *code)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned value, least, more;

    FLY_ASSERT(len > 0);
    if (at[0] < 0x80) {
        value = at[0];
        least = 0;
        more = 0;
    } else if (at[0] >= 0xC2 && at[0] <= 0xDF) {
        value = at[0] & 0x1Fu;
        least = 0x80;
        more = 1;
    } else if (at[0] >= 0xE0 && at[0] <= 0xEF) {
        value = at[0] & 0x0Fu;
        least = 0x800;
        more = 2;
    } else if (at[0] >= 0xF0 && at[0] <= 0xF4) {
        value = at[0] & 0x07u;
        least = 0x10000;
        more = 3;
    } else {
        goto bad;
    }
    if (more >= len)
        goto bad;
    for (unsigned i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80)
            goto bad;
        value = value << 6 | (at[i] & 0x3Fu);
    }
    if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        goto bad;
    if (code)
        *code = value;
    return more + 1;

bad:
    if (code)
        *code = 0xFFFD;
    return 1;
}

int fly_utf8_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned code;
        size_t bytes = fly_utf8_next(text + i, len - i, &code);

        if (code == 0xFFFD && bytes == 1) /* U+FFFD itself takes three */
            return 0;
        i += bytes;
    }
    return 1;
}
