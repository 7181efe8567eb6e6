#include "stream/wire.h"

#include <math.h>

#include "stream/wire_item.h"

/* Values come from scanned bytes, so an item that cannot be read is our own bug: somebody skipped
 * the scan. Asserting costs next to nothing and keeps such a bug from reading stray memory. */
static inline enum fly_item_kind head_of(struct fly_value value, struct fly_item *item)
{
    FLY_ASSERT(fly_item_head(value.at, value.end, item));
    FLY_ASSERT(item->head + item->body <= (uint64_t)(value.end - value.at));
    return item->kind;
}

struct fly_value fly_value_root(const void *bytes, size_t len)
{
    return (struct fly_value){bytes, (const unsigned char *)bytes + len};
}

enum fly_kind fly_value_kind(struct fly_value value)
{
    struct fly_item item;

    switch (head_of(value, &item)) {
    case FLY_ITEM_NIL:
        return FLY_KIND_NIL;
    case FLY_ITEM_BOOL:
        return FLY_KIND_BOOL;
    case FLY_ITEM_UINT:
    case FLY_ITEM_NEG:
        return FLY_KIND_INT;
    case FLY_ITEM_F32:
    case FLY_ITEM_F64:
        return FLY_KIND_FLOAT;
    case FLY_ITEM_STR:
        return FLY_KIND_STR;
    case FLY_ITEM_ARRAY:
        return FLY_KIND_ARRAY;
    case FLY_ITEM_MAP:
        return FLY_KIND_MAP;
    default:
        FLY_ASSERT(!"bin and ext do not pass the scan");
        return FLY_KIND_NIL;
    }
}

int fly_value_str(struct fly_value value, const char **text, size_t *len)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(value, &item);

    if (kind != FLY_ITEM_STR)
        return 0;
    *text = (const char *)value.at + item.head;
    *len = item.body;
    return 1;
}

int fly_value_int(struct fly_value value, int64_t *out)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(value, &item);
    uint64_t v;
    int negative;

    if (kind != FLY_ITEM_UINT && kind != FLY_ITEM_NEG)
        return 0;
    v = fly_item_int(value.at, &item, &negative);
    if (!negative && v > INT64_MAX)
        return 0;
    *out = (int64_t)v;
    return 1;
}

int fly_value_uint(struct fly_value value, uint64_t *out)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(value, &item);
    uint64_t v;
    int negative;

    if (kind != FLY_ITEM_UINT && kind != FLY_ITEM_NEG)
        return 0;
    v = fly_item_int(value.at, &item, &negative);
    if (negative)
        return 0;
    *out = v;
    return 1;
}

int fly_value_f64(struct fly_value value, double *out)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(value, &item);
    uint64_t v;
    double d;
    int negative;

    if (kind == FLY_ITEM_UINT || kind == FLY_ITEM_NEG) {
        v = fly_item_int(value.at, &item, &negative);
        *out = negative ? (double)(int64_t)v : (double)v;
        return 1;
    }
    if (kind != FLY_ITEM_F32 && kind != FLY_ITEM_F64)
        return 0;
    d = fly_item_float(value.at, &item);
    if (!isfinite(d))
        return 0;
    *out = d;
    return 1;
}

int fly_value_bool(struct fly_value value, int *out)
{
    struct fly_item item;

    if (head_of(value, &item) != FLY_ITEM_BOOL)
        return 0;
    *out = *value.at == 0xc3;
    return 1;
}

uint32_t fly_value_count(struct fly_value value)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(value, &item);

    if (kind == FLY_ITEM_MAP)
        return (uint32_t)(item.members / 2);
    return kind == FLY_ITEM_ARRAY ? (uint32_t)item.members : 0;
}

/* The value that begins at *at, with its own end; *at moves behind it. */
static struct fly_value cut(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *next = fly_item_skip(*at, end);
    struct fly_value value = {*at, next};

    FLY_ASSERT(next);
    *at = next;
    return value;
}

int fly_value_next(struct fly_value container, struct fly_value_iter *it, struct fly_value *key,
                   struct fly_value *value)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(container, &item);

    if (!it->at) {
        it->at = container.at + item.head;
        it->left = fly_value_count(container);
    }
    if (it->left == 0)
        return 0;
    it->left--;
    if (kind == FLY_ITEM_MAP) {
        struct fly_value name = cut(&it->at, container.end);

        if (key)
            *key = name;
    }
    *value = cut(&it->at, container.end);
    return 1;
}

int fly_value_get(struct fly_value map, const char *key, struct fly_value *out)
{
    struct fly_item item;
    enum fly_item_kind kind = head_of(map, &item);
    size_t key_len = strlen(key);
    const unsigned char *at = map.at + item.head;
    uint64_t left = kind == FLY_ITEM_MAP ? item.members / 2 : 0;

    for (; left > 0; left--) {
        struct fly_value name = cut(&at, map.end);
        const char *text;
        size_t len;

        if (fly_value_str(name, &text, &len) && len == key_len && memcmp(text, key, len) == 0) {
            *out = cut(&at, map.end);
            return 1;
        }
        (void)cut(&at, map.end);
    }
    return 0;
}

size_t fly_value_bytes(struct fly_value value, const void **bytes)
{
    const unsigned char *next = fly_item_skip(value.at, value.end);

    FLY_ASSERT(next);
    *bytes = value.at;
    return (size_t)(next - value.at);
}
