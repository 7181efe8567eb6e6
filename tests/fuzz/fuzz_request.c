/* tests/fuzz/fuzz_request.c: any bytes as a request's header, and as a published map's.
 *
 * Holds    whatever the request, a reply can be made that passes our own scan and carries its id; the
 *          helpers for arguments stay within what they were given; a map that is read has arrays of the
 *          size its bbox says.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stream/publish.h"
#include "stream/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char room[FLY_HEADER_MAX];

static void check_reply(const struct fly_request *request, enum fly_refusal why)
{
    struct fly_pack pack;
    struct fly_value id;
    const void *bytes;

    fly_pack_init(&pack, room, sizeof room);
    if (why == FLY_REFUSE_NONE) {
        fly_reply_begin(&pack, request);
        fly_pack_nil(&pack);
    } else {
        fly_reply_error(&pack, request, fly_refusal_name(why), fly_fail_text());
    }
    FLY_ASSERT(!pack.full);
    FLY_ASSERT(fly_wire_scan(room, pack.len) == FLY_REFUSE_NONE);
    FLY_ASSERT(fly_value_get(fly_value_root(room, pack.len), "id", &id));
    FLY_ASSERT(fly_value_bytes(id, &bytes) == request->id.len);
    FLY_ASSERT(memcmp(bytes, request->id.bytes, request->id.len) == 0);
}

static void check_arguments(struct fly_value args)
{
    static const char *const words[] = {"fewshot", "community", "ward"};
    char text[9];
    int64_t number;
    int32_t chips[8], count, word;
    int truth;

    if (fly_arg_str(args, "class", 8, text) == FLY_REFUSE_NONE)
        FLY_ASSERT(strlen(text) >= 1 && strlen(text) <= 8);
    if (fly_arg_int(args, "r", -3, 7, &number) == FLY_REFUSE_NONE)
        FLY_ASSERT(number >= -3 && number <= 7);
    (void)fly_arg_bool(args, "exact", 0, &truth);
    if (fly_arg_word(args, "method", words, 3, &word) == FLY_REFUSE_NONE)
        FLY_ASSERT(word >= 0 && word < 3);
    if (fly_arg_chips(args, "chips", 3, 5, chips, 8, &count) == FLY_REFUSE_NONE) {
        FLY_ASSERT(count >= 1 && count <= 8);
        for (int32_t i = 0; i < count; i++)
            FLY_ASSERT(chips[i] >= 0 && chips[i] < 15);
    }
}

static void check_map(const struct fly_part *header)
{
    static const unsigned char array[4 * 12];
    struct fly_part parts[5] = {{"map", 3}, *header};
    struct fly_published published;
    struct fly_map_read map;

    for (int i = 2; i < 5; i++)
        parts[i] = (struct fly_part){array, sizeof array};
    if (fly_published_decode(&published, parts, 5) != FLY_OK)
        return;
    if (fly_map_decode(&map, published.header, published.payloads, published.n_payloads) != FLY_OK)
        return;
    FLY_ASSERT((size_t)map.bbox[2] * (size_t)map.bbox[3] * 4 == sizeof array);
    FLY_ASSERT(map.bbox[0] + map.bbox[2] <= map.full_shape[0]);
    FLY_ASSERT(map.bbox[1] + map.bbox[3] <= map.full_shape[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy = malloc(size + !size);
    const struct fly_part header = {copy, size};
    struct fly_request request;
    enum fly_refusal why;

    if (size > 0)
        memcpy(copy, data, size);
    why = fly_request_decode(&request, &header, 1);
    check_reply(&request, why);
    if (why == FLY_REFUSE_NONE)
        check_arguments(request.args);
    check_map(&header);
    free(copy);
    return 0;
}
