/* What the tests of published messages share: a message being made, read back, and looked into. */
#ifndef TESTS_PUBLISH_RIG_H
#define TESTS_PUBLISH_RIG_H

#include <math.h>
#include <string.h>

#include "stream/publish.h"
#include "tests/unit/stream/wire_make.h"

static unsigned char room[FLY_HEADER_MAX];
static struct fly_pack pack;
static struct fly_pub_message out;
static const struct fly_pub_id id = {"s-1", 42, 1700000000000000001};

static inline void empty(size_t cap)
{
    fly_pack_init(&pack, room, cap);
    out = (struct fly_pub_message){.n_parts = -1};
}

static inline struct fly_published read_back(void)
{
    struct fly_published published;

    if (fly_published_decode(&published, out.parts, out.n_parts) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    assert_string_equal(published.session, "s-1");
    assert_int_equal(published.seq, 42);
    assert_int_equal(published.t_ns, 1700000000000000001);
    return published;
}

static inline struct fly_value get(struct fly_value map, const char *key)
{
    struct fly_value value;

    if (!fly_value_get(map, key, &value))
        fail_msg("no %s", key);
    return value;
}

static inline int64_t get_int(struct fly_value map, const char *key)
{
    int64_t v;

    assert_int_equal(fly_value_int(get(map, key), &v), 1);
    return v;
}

static inline double get_f64(struct fly_value map, const char *key)
{
    double v;

    assert_int_equal(fly_value_f64(get(map, key), &v), 1);
    return v;
}

static inline int get_bool(struct fly_value map, const char *key)
{
    int v;

    assert_int_equal(fly_value_bool(get(map, key), &v), 1);
    return v;
}

static inline void assert_text(struct fly_value map, const char *key, const char *want)
{
    const char *text;
    size_t len;

    assert_int_equal(fly_value_str(get(map, key), &text, &len), 1);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

static inline void assert_nil(struct fly_value map, const char *key)
{
    assert_int_equal(fly_value_kind(get(map, key)), FLY_KIND_NIL);
}

#endif
