/* stream/wire_item.h: one msgpack item at a time, for the files of this room that walk headers.
 *
 * msgpack's format: github.com/msgpack/msgpack/blob/master/spec.md. A container's item is its head
 * alone; its members are the items that follow. Reading is bounded by end and trusts nothing.
 */
#ifndef FLY_STREAM_WIRE_ITEM_H
#define FLY_STREAM_WIRE_ITEM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum fly_item_kind {
    FLY_ITEM_NIL,
    FLY_ITEM_BOOL,
    FLY_ITEM_UINT, /* 0 .. 2^64-1, whatever the width */
    FLY_ITEM_NEG,  /* an integer of a signed width; may be >= 0 */
    FLY_ITEM_F32,
    FLY_ITEM_F64,
    FLY_ITEM_STR,
    FLY_ITEM_ARRAY,
    FLY_ITEM_MAP,
    FLY_ITEM_BIN,
    FLY_ITEM_EXT
};

struct fly_item {
    enum fly_item_kind kind;
    uint32_t head; /* bytes before the body */
    uint64_t body; /* bytes of a str, bin, ext or number */
    uint64_t members; /* items that follow and belong to it: entries of a map count twice */
};

static inline uint64_t fly_be(const unsigned char *at, uint32_t bytes)
{
    uint16_t b2;
    uint32_t b4;
    uint64_t b8;

    switch (bytes) {
    case 1:
        return at[0];
    case 2:
        memcpy(&b2, at, 2);
        return __builtin_bswap16(b2);
    case 4:
        memcpy(&b4, at, 4);
        return __builtin_bswap32(b4);
    default:
        memcpy(&b8, at, 8);
        return __builtin_bswap64(b8);
    }
}

/* The rest of fly_item_head: kinds that are told by a whole byte. */
int fly_item_wide(const unsigned char *at, const unsigned char *end, struct fly_item *item);

/* The head of the item at `at`: 1, or 0 when there is none (0xc1, or the head itself is cut off). The
 * body and the members may still reach beyond end. */
static inline int fly_item_head(const unsigned char *at, const unsigned char *end,
                                struct fly_item *item)
{
    unsigned c;

    if (at >= end)
        return 0;
    c = *at;
    item->head = 1;
    item->body = item->members = 0;
    if (c < 0x80) {
        item->kind = FLY_ITEM_UINT;
    } else if (c >= 0xe0) {
        item->kind = FLY_ITEM_NEG;
    } else if (c < 0x90) {
        item->kind = FLY_ITEM_MAP;
        item->members = 2 * (uint64_t)(c & 15);
    } else if (c < 0xa0) {
        item->kind = FLY_ITEM_ARRAY;
        item->members = c & 15;
    } else if (c < 0xc0) {
        item->kind = FLY_ITEM_STR;
        item->body = c & 31;
    } else {
        return fly_item_wide(at, end, item);
    }
    return 1;
}

/* Past the item at `at` with all that belongs to it; NULL when it reaches beyond end. However deep: no
 * recursion, one step for each item. */
static inline const unsigned char *fly_item_skip(const unsigned char *at, const unsigned char *end)
{
    uint64_t pending = 1;
    struct fly_item item;

    while (pending > 0) {
        if (!fly_item_head(at, end, &item))
            return NULL;
        if (item.head + item.body > (uint64_t)(end - at))
            return NULL;
        at += item.head + item.body;
        pending += item.members - 1;
        if (pending > (uint64_t)(end - at)) /* every item takes a byte */
            return NULL;
    }
    return at;
}

/* An integer item's value as two's complement, and whether it is below 0. */
static inline uint64_t fly_item_int(const unsigned char *at, const struct fly_item *item, int *negative)
{
    uint64_t v;

    *negative = 0;
    if (item->kind == FLY_ITEM_UINT)
        return item->body ? fly_be(at + 1, (uint32_t)item->body) : *at;
    if (item->body == 0) {
        *negative = 1;
        return (uint64_t)(int64_t)(int8_t)*at;
    }
    v = fly_be(at + 1, (uint32_t)item->body);
    if (item->body < 8) /* carry the sign up */
        v = (uint64_t)((int64_t)(v << (64 - 8 * item->body)) >> (64 - 8 * item->body));
    *negative = (int64_t)v < 0;
    return v;
}

static inline double fly_item_float(const unsigned char *at, const struct fly_item *item)
{
    uint32_t b4;
    uint64_t b8;
    float f;
    double d;

    if (item->kind == FLY_ITEM_F32) {
        b4 = (uint32_t)fly_be(at + 1, 4);
        memcpy(&f, &b4, 4);
        return (double)f;
    }
    b8 = fly_be(at + 1, 8);
    memcpy(&d, &b8, 8);
    return d;
}

#endif
