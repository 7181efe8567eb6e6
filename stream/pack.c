#include "stream/wire.h"

#include <math.h>
#include <msgpack/pack.h>
#include <string.h>

/* msgpack-c hands over an item in one or two writes; take_back below makes it whole or nothing. */
static int put(void *data, const char *bytes, size_t len)
{
    struct fly_pack *pack = data;

    if (pack->full || len > pack->cap - pack->len) {
        pack->full = 1;
        return -1;
    }
    if (len > 0)
        memcpy(pack->bytes + pack->len, bytes, len);
    pack->len += len;
    return 0;
}

static void take_back(struct fly_pack *pack, size_t len)
{
    if (pack->full)
        pack->len = len;
}

void fly_pack_init(struct fly_pack *pack, void *bytes, size_t cap)
{
    *pack = (struct fly_pack){bytes, 0, cap, 0};
}

void fly_pack_map(struct fly_pack *pack, uint32_t entries)
{
    msgpack_packer pk = {pack, put};

    msgpack_pack_map(&pk, entries);
}

void fly_pack_array(struct fly_pack *pack, uint32_t items)
{
    msgpack_packer pk = {pack, put};

    msgpack_pack_array(&pk, items);
}

void fly_pack_strn(struct fly_pack *pack, const char *text, size_t len)
{
    msgpack_packer pk = {pack, put};
    size_t before = pack->len;

    if (msgpack_pack_str(&pk, len) == 0)
        msgpack_pack_str_body(&pk, text, len);
    take_back(pack, before);
}

void fly_pack_str(struct fly_pack *pack, const char *text)
{
    fly_pack_strn(pack, text, strlen(text));
}

void fly_pack_int(struct fly_pack *pack, int64_t value)
{
    msgpack_packer pk = {pack, put};

    msgpack_pack_int64(&pk, value);
}

void fly_pack_uint(struct fly_pack *pack, uint64_t value)
{
    msgpack_packer pk = {pack, put};

    msgpack_pack_uint64(&pk, value);
}

void fly_pack_f64(struct fly_pack *pack, double value)
{
    msgpack_packer pk = {pack, put};

    if (isfinite(value))
        msgpack_pack_double(&pk, value);
    else
        msgpack_pack_nil(&pk);
}

void fly_pack_bool(struct fly_pack *pack, int value)
{
    msgpack_packer pk = {pack, put};

    if (value)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

void fly_pack_nil(struct fly_pack *pack)
{
    msgpack_packer pk = {pack, put};

    msgpack_pack_nil(&pk);
}

void fly_pack_raw(struct fly_pack *pack, const void *bytes, size_t len)
{
    put(pack, bytes, len);
}

/* ---- entries of a map -------------------------------------------------------------------------- */

void fly_pack_key_str(struct fly_pack *pack, const char *key, const char *text)
{
    fly_pack_str(pack, key);
    fly_pack_str(pack, text);
}

void fly_pack_key_text(struct fly_pack *pack, const char *key, const char *text)
{
    fly_pack_str(pack, key);
    if (text && text[0])
        fly_pack_str(pack, text);
    else
        fly_pack_nil(pack);
}

void fly_pack_key_int(struct fly_pack *pack, const char *key, int64_t value)
{
    fly_pack_str(pack, key);
    fly_pack_int(pack, value);
}

void fly_pack_key_uint(struct fly_pack *pack, const char *key, uint64_t value)
{
    fly_pack_str(pack, key);
    fly_pack_uint(pack, value);
}

void fly_pack_key_f64(struct fly_pack *pack, const char *key, double value)
{
    fly_pack_str(pack, key);
    fly_pack_f64(pack, value);
}

void fly_pack_key_bool(struct fly_pack *pack, const char *key, int value)
{
    fly_pack_str(pack, key);
    fly_pack_bool(pack, value);
}
