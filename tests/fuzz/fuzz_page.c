/* tests/fuzz/fuzz_page.c: any bytes as the body of a request to the live page, and as the header of a reply to it.
 *
 * Holds    a body that is taken becomes a request that the control socket reads, under the id given, and its
 *          arguments, said as JSON and taken again, say the same; a reply that is taken becomes JSON, or a bundle
 *          whose header is JSON and whose payloads are all there.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/page/convert.h"
#include "stream/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char room[FLY_HEADER_MAX], again[FLY_HEADER_MAX];

static void say(struct fly_text *text, const struct fly_request *request)
{
    struct fly_json json;

    fly_text_clear(text);
    fly_json_init(&json, text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "op");
    fly_json_str(&json, request->op);
    fly_json_key(&json, "args");
    fly_json_value(&json, request->args);
    fly_json_end(&json);
}

static void check_body(const uint8_t *data, size_t size)
{
    struct fly_request request, second;
    struct fly_text text = {0}, back = {0};
    struct fly_pack pack;
    struct fly_part part;
    uint64_t id;

    fly_pack_init(&pack, room, sizeof room);
    if (fly_request_of_json(&pack, 77, (const char *)data, size) != FLY_OK)
        return;
    part = (struct fly_part){room, pack.len};
    FLY_ASSERT(fly_wire_scan(room, pack.len) == FLY_REFUSE_NONE);
    if (fly_request_decode(&request, &part, 1) != FLY_REFUSE_NONE)
        return; /* an op that is none, say: the plugin answers that, and its id was read */
    FLY_ASSERT(fly_value_uint(fly_value_root(request.id.bytes, request.id.len), &id) && id == 77);
    say(&text, &request);
    FLY_ASSERT(!text.failed);
    fly_pack_init(&pack, again, sizeof again);
    if (fly_request_of_json(&pack, 77, text.bytes, text.len) == FLY_OK) {
        part = (struct fly_part){again, pack.len};
        FLY_ASSERT(fly_request_decode(&second, &part, 1) == FLY_REFUSE_NONE);
        say(&back, &second);
        /* -0.0 is said as -0, which JSON takes for the integer 0. */
        FLY_ASSERT(strcmp(text.bytes, back.bytes) == 0 || strstr(text.bytes, "-0"));
    } else {
        FLY_ASSERT(size > 100); /* the same, said longer, may be too long */
    }
    fly_text_fini(&text);
    fly_text_fini(&back);
}

static void check_bundle(const struct fly_blob *blob)
{
    json_t *header, *item, *side;
    size_t at, i, d;
    uint32_t n;

    memcpy(&n, blob->bytes, 4);
    FLY_ASSERT(blob->len >= 4 && n <= blob->len - 4);
    header = json_loadb((const char *)blob->bytes + 4, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    FLY_ASSERT(header);
    at = (4 + n + 7) / 8 * 8;
    json_array_foreach(json_object_get(header, "payloads"), i, item) {
        size_t bytes = (size_t)(json_string_value(json_object_get(item, "dtype"))[2] - '0');

        json_array_foreach(json_object_get(item, "shape"), d, side)
            bytes *= (size_t)json_real_value(side);
        at += (bytes + 7) / 8 * 8;
    }
    FLY_ASSERT(at == blob->len);
    json_decref(header);
}

static void check_reply(const uint8_t *data, size_t size)
{
    static const char *const ops[] = {"status", "map.get", "image.get", "elements.get", "chip.get", "region.get",
                                      "crystallinity.get"};
    static const unsigned char array[48];
    const struct fly_part payloads[3] = {{array, 48}, {array, 24}, {array, 0}};
    struct fly_blob *blob;

    if (fly_wire_scan(data, size) != FLY_REFUSE_NONE)
        return;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int32_t n = 0; n <= 3; n += 3) {
            if (fly_reply_to_json(&blob, ops[i], fly_value_root(data, size), payloads, n) != FLY_OK)
                continue;
            if (blob->is_bundle) {
                check_bundle(blob);
            } else {
                json_t *root = json_loadb((const char *)blob->bytes, blob->len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);

                FLY_ASSERT(root);
                json_decref(root);
            }
            fly_blob_drop(&blob);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_body(data, size);
    check_reply(data, size);
    return 0;
}
