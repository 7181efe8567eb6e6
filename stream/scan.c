#include "stream/wire.h"

#include <math.h>

#include "stream/wire_item.h"

/* Keys of a map are compared one by one while there are this many; beyond, they are sorted. */
enum { FEW_KEYS = 64 };

struct level {
    uint64_t left;  /* items to come; in a map, keys stand where this is even */
    uint32_t first; /* its first key in keys[] */
    int is_map;
    uint64_t seen; /* a bit for each hash of a key so far: most keys are new at a glance */
};

struct scan {
    const unsigned char *bytes;
    const unsigned char *end;
    uint32_t n_keys;
    int depth;
    struct level level[FLY_NESTING_MAX];
    /* Offsets of the keys of the maps that are open, outer maps first. A map's keys lie together,
     * for inner ones are gone when it goes on. Two bytes is the least that an entry takes. */
    uint16_t keys[FLY_HEADER_MAX / 2];
};

_Static_assert(FLY_HEADER_MAX <= 65536, "offsets of keys are 16 bits wide");

static const char *key_text(const struct scan *scan, uint16_t offset, size_t *len)
{
    struct fly_item item;

    FLY_ASSERT(fly_item_head(scan->bytes + offset, scan->end, &item));
    *len = item.body;
    return (const char *)scan->bytes + offset + item.head;
}

static int key_order(const struct scan *scan, uint16_t a, uint16_t b)
{
    size_t a_len, b_len;
    const char *a_text = key_text(scan, a, &a_len);
    const char *b_text = key_text(scan, b, &b_len);

    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a_text, b_text, a_len);
}

static void sift(const struct scan *scan, uint16_t *heap, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        uint16_t held = heap[root];

        if (child >= count)
            return;
        if (child + 1 < count && key_order(scan, heap[child], heap[child + 1]) < 0)
            child++;
        if (key_order(scan, held, heap[child]) >= 0)
            return;
        heap[root] = heap[child];
        heap[child] = held;
        root = child;
    }
}

/* 1 when two of the keys are equal. Heapsort: in place, and no order of keys makes it slow, so that
 * a hostile header costs milliseconds and not seconds. */
static int sorted_twice(const struct scan *scan, uint16_t *keys, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sift(scan, keys, i, count);
    for (uint32_t n = count - 1; n > 0; n--) {
        uint16_t top = keys[0];

        keys[0] = keys[n];
        keys[n] = top;
        sift(scan, keys, 0, n);
    }
    for (uint32_t i = 1; i < count; i++)
        if (key_order(scan, keys[i - 1], keys[i]) == 0)
            return 1;
    return 0;
}

/* Note a key of the innermost map: 1 when the map has it already (as far as looked at here). */
static int key_twice(struct scan *scan, struct level *level, uint16_t offset,
                     const unsigned char *text, size_t len)
{
    uint32_t count = scan->n_keys - level->first;
    uint64_t bit = 0;

    if (count < FEW_KEYS) {
        uint32_t hash = (uint32_t)len;

        if (len > 0)
            hash += text[0] * 5u + text[len - 1] * 11u + text[len / 2] * 23u;
        bit = (uint64_t)1 << (hash & 63);
        if (level->seen & bit)
            for (uint32_t i = 0; i < count; i++)
                if (key_order(scan, scan->keys[level->first + i], offset) == 0)
                    return 1;
    }
    level->seen |= bit;
    scan->keys[scan->n_keys++] = offset;
    return 0;
}

/* Bytes of the UTF-8 sequence at `at`, 1 .. 4; 0 when there is none (RFC 3629, table of section 4).
 */
static size_t utf8_step(const unsigned char *at, const unsigned char *end)
{
    unsigned c = at[0];
    unsigned lo = 0x80, hi = 0xbf;
    size_t more;

    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf) {
        more = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        more = 2;
        if (c == 0xe0)
            lo = 0xa0; /* below: a longer form of a shorter sequence */
        else if (c == 0xed)
            hi = 0x9f; /* above: surrogates */
    } else if (c >= 0xf0 && c <= 0xf4) {
        more = 3;
        if (c == 0xf0)
            lo = 0x90;
        else if (c == 0xf4)
            hi = 0x8f; /* above: beyond U+10FFFF */
    } else {
        return 0;
    }
    if ((size_t)(end - at) <= more || at[1] < lo || at[1] > hi)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return 1 + more;
}

/* Most strings are short and plain: two loads that overlap see all of 4 .. 8 bytes. */
static int ascii_short(const unsigned char *at, size_t len)
{
    uint32_t first = 0, last = 0;

    if (len >= 4) {
        memcpy(&first, at, 4);
        memcpy(&last, at + len - 4, 4);
    } else {
        for (size_t i = 0; i < len; i++)
            first |= at[i];
    }
    return ((first | last) & 0x80808080u) == 0;
}

static int utf8_valid(const unsigned char *at, size_t len)
{
    const unsigned char *end = at + len;

    while (at < end) {
        uint64_t eight;
        size_t step;

        if (end - at <= 8 && ascii_short(at, (size_t)(end - at)))
            return 1;
        if (end - at >= 8) {
            memcpy(&eight, at, 8);
            if (!(eight & 0x8080808080808080u)) {
                at += 8;
                continue;
            }
        }
        step = utf8_step(at, end);
        if (step == 0)
            return 0;
        at += step;
    }
    return 1;
}

static enum fly_refusal malformed(const struct scan *scan, const unsigned char *at,
                                  const char *what)
{
    fly_fail(FLY_EWIRE, "header byte %td of %td: %s", at - scan->bytes, scan->end - scan->bytes,
             what);
    return FLY_REFUSE_MALFORMED;
}

/* A container opens: room for its members, one more level. */
static enum fly_refusal open_level(struct scan *scan, const unsigned char *at,
                                   const struct fly_item *item)
{
    if (item->members > (uint64_t)(scan->end - at))
        return malformed(scan, at, "a map or array has more members than bytes follow");
    if (scan->depth == FLY_NESTING_MAX) {
        fly_fail(FLY_EWIRE, "header byte %td: nested deeper than %d", at - scan->bytes,
                 FLY_NESTING_MAX);
        return FLY_REFUSE_OVERSIZE;
    }
    scan->level[scan->depth++] =
        (struct level){item->members, scan->n_keys, item->kind == FLY_ITEM_MAP, 0};
    return FLY_REFUSE_NONE;
}

/* Close every container that has no members left. */
static enum fly_refusal close_levels(struct scan *scan, const unsigned char *at)
{
    while (scan->depth > 0 && scan->level[scan->depth - 1].left == 0) {
        struct level *level = &scan->level[scan->depth - 1];
        uint32_t count = scan->n_keys - level->first;

        if (level->is_map) {
            if (count > FEW_KEYS && sorted_twice(scan, scan->keys + level->first, count))
                return malformed(scan, at, "a map before it has a key twice");
            scan->n_keys = level->first;
        }
        scan->depth--;
    }
    return FLY_REFUSE_NONE;
}

static enum fly_refusal scan_item(struct scan *scan, const unsigned char **where, int *nonfinite)
{
    const unsigned char *at = *where;
    struct level *level = scan->depth > 0 ? &scan->level[scan->depth - 1] : NULL;
    int is_key = level && level->is_map && level->left % 2 == 0;
    struct fly_item item;

    if (!fly_item_head(at, scan->end, &item))
        return malformed(scan, at, "not msgpack, or cut off");
    if (!level && item.kind != FLY_ITEM_MAP)
        return malformed(scan, at, "a header is one map");
    if (item.kind == FLY_ITEM_BIN || item.kind == FLY_ITEM_EXT)
        return malformed(scan, at, "bin and ext have no place in a header");
    if (is_key && item.kind != FLY_ITEM_STR)
        return malformed(scan, at, "keys are strings");
    if (item.kind == FLY_ITEM_STR && item.body > FLY_STRING_MAX) {
        fly_fail(FLY_EWIRE, "header byte %td: a string of %llu bytes, at most %d are allowed",
                 at - scan->bytes, (unsigned long long)item.body, FLY_STRING_MAX);
        return FLY_REFUSE_OVERSIZE;
    }
    if (item.head + item.body > (uint64_t)(scan->end - at))
        return malformed(scan, at, "cut off");
    if (item.kind == FLY_ITEM_STR) {
        if (!utf8_valid(at + item.head, item.body))
            return malformed(scan, at, "a string that is not UTF-8");
        if (is_key &&
            key_twice(scan, level, (uint16_t)(at - scan->bytes), at + item.head, item.body))
            return malformed(scan, at, "a key that its map has already");
    } else if (item.kind == FLY_ITEM_F32 || item.kind == FLY_ITEM_F64) {
        *nonfinite |= !isfinite(fly_item_float(at, &item));
    }

    if (level)
        level->left--;
    *where = at + item.head + item.body;
    if (item.kind == FLY_ITEM_MAP || item.kind == FLY_ITEM_ARRAY)
        return open_level(scan, *where, &item);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_wire_scan(const void *bytes, size_t len)
{
    struct scan scan;
    const unsigned char *at = bytes;
    enum fly_refusal why;
    int nonfinite = 0;

    if (len > FLY_HEADER_MAX) {
        fly_fail(FLY_EWIRE, "a header of %zu bytes, at most %d are allowed", len, FLY_HEADER_MAX);
        return FLY_REFUSE_OVERSIZE;
    }
    scan.bytes = at;
    scan.end = at + len;
    scan.n_keys = 0;
    scan.depth = 0;
    do {
        why = scan_item(&scan, &at, &nonfinite);
        if (why == FLY_REFUSE_NONE)
            why = close_levels(&scan, at);
        if (why != FLY_REFUSE_NONE)
            return why;
    } while (scan.depth > 0);

    if (at != scan.end)
        return malformed(&scan, at, "bytes after the map");
    if (nonfinite) {
        fly_fail(FLY_EWIRE, "the header has a number that is not finite");
        return FLY_REFUSE_BAD_VALUE;
    }
    return FLY_REFUSE_NONE;
}
