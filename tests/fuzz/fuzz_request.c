/* tests/fuzz/fuzz_request.c: any bytes as a request's header, and as a published map's or cluster list's.
 *
 * Holds    whatever the request, a reply can be made that passes our own scan and carries its id; the
 *          helpers for arguments stay within what they were given; a map that is read has arrays of the
 *          size its bbox says; clusters that are read, said again and read again are the same.
 */
#include <math.h>
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
    static const unsigned char array[4 * 12], picture[sizeof array];
    struct fly_part parts[2 + FLY_PUB_MAP_PAYLOADS] = {{"map", 3}, *header};
    struct fly_published published;
    struct fly_map_read map;

    for (int i = 2; i < 5; i++)
        parts[i] = (struct fly_part){array, sizeof array};
    parts[5] = (struct fly_part){picture, sizeof picture};
    /* Without a picture of its own it is the labels. */
    for (int32_t n = 5; n <= 6; n++) {
        if (fly_published_decode(&published, parts, n) != FLY_OK ||
            fly_map_decode(&map, published.header, published.payloads, published.n_payloads) != FLY_OK)
            return;
        FLY_ASSERT(map.labels == array && map.shown == (n == 6 ? picture : array));
    }
    FLY_ASSERT((size_t)map.bbox[2] * (size_t)map.bbox[3] * 4 == sizeof array);
    FLY_ASSERT(map.bbox[0] + map.bbox[2] <= map.full_shape[0]);
    FLY_ASSERT(map.bbox[1] + map.bbox[3] <= map.full_shape[1]);
}

enum { CLUSTERS = 32, ELEMENTS = 8, PARENTS = 8, WORD = 64 }; /* all of it fits a header */

/* What was read, with memory of its own, as the encoder takes it. Only what our own limits hold. */
struct said {
    struct fly_pub_cluster clusters[CLUSTERS];
    char name[CLUSTERS][WORD], event[CLUSTERS][WORD], element[ELEMENTS][WORD];
    int32_t parents[CLUSTERS][PARENTS];
    double percent[CLUSTERS][ELEMENTS], sigma[CLUSTERS][ELEMENTS];
    const char *elements[ELEMENTS];
    struct fly_pub_clusters all;
};

static int take_text(char out[WORD], const char *text, size_t len)
{
    if (len >= WORD || memchr(text, '\0', len))
        return 0;
    memcpy(out, text, len);
    out[len] = '\0';
    return 1;
}

static int take_elements(struct said *said, struct fly_value elements)
{
    struct fly_value_iter it = {0};
    struct fly_value value;
    const char *text;
    size_t len;

    if (fly_value_count(elements) > ELEMENTS)
        return 0;
    while (fly_value_next(elements, &it, NULL, &value)) {
        int32_t n = said->all.n_elements++;

        if (!fly_value_str(value, &text, &len) || !take_text(said->element[n], text, len))
            return 0;
        said->elements[n] = said->element[n];
        for (int32_t i = 0; i < n; i++)
            if (strcmp(said->element[i], said->element[n]) == 0)
                return 0;
    }
    return 1;
}

static int take_cluster(struct said *said, struct fly_value entry)
{
    int32_t n = said->all.n_clusters;
    struct fly_pub_cluster *cluster = &said->clusters[n];
    struct fly_cluster_read read;
    struct fly_value_iter it = {0};
    struct fly_value value;
    int64_t id;

    if (n == CLUSTERS || fly_cluster_decode(&read, entry) != FLY_OK)
        return 0;
    if (read.id != (int32_t)read.id || read.chips != (int32_t)read.chips ||
        fly_value_count(read.parents) > PARENTS || !take_text(said->name[n], read.name, read.name_len) ||
        (read.event && !take_text(said->event[n], read.event, read.event_len)))
        return 0;
    while (fly_value_next(read.parents, &it, NULL, &value)) {
        if (!fly_value_int(value, &id) || id != (int32_t)id)
            return 0;
        said->parents[n][cluster->n_parents++] = (int32_t)id;
    }
    for (int32_t e = 0; e < said->all.n_elements; e++)
        (void)fly_cluster_percent(&read, said->element[e], &said->percent[n][e], &said->sigma[n][e]);
    cluster->id = (int32_t)read.id;
    cluster->name = said->name[n];
    cluster->chips = (int32_t)read.chips;
    cluster->parents = said->parents[n];
    cluster->event = read.event ? said->event[n] : NULL;
    if (fly_value_kind(read.percent) != FLY_KIND_NIL) {
        cluster->percent = said->percent[n];
        cluster->sigma = said->sigma[n];
    }
    memcpy(cluster->d_spacing_nm, read.d_spacing_nm, sizeof read.d_spacing_nm);
    cluster->crystallinity = read.crystallinity;
    said->all.n_clusters++;
    return 1;
}

/* Read, take over; 0 where it holds more than a test has room for. */
static int take_clusters(struct said *said, const struct fly_part parts[2], struct fly_clusters_read *read)
{
    struct fly_published published;
    struct fly_value_iter it = {0};
    struct fly_value entry;

    memset(said, 0, sizeof *said);
    if (fly_published_decode(&published, parts, 2) != FLY_OK ||
        fly_clusters_decode(read, published.header) != FLY_OK || !take_elements(said, read->elements))
        return 0;
    while (fly_value_next(read->clusters, &it, NULL, &entry))
        if (!take_cluster(said, entry))
            return 0;
    said->all.method = read->method;
    said->all.modality = read->modality;
    said->all.final = read->final;
    said->all.elements = said->elements;
    said->all.clusters = said->clusters;
    return 1;
}

static int same_words(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* To the bit. A spacing without a value has no sigma either. */
static int same_cluster(const struct fly_pub_cluster *a, const struct fly_pub_cluster *b, int32_t n_elements)
{
    size_t numbers = (size_t)n_elements * sizeof *a->percent;
    size_t spacing = (isfinite(a->d_spacing_nm[0]) ? 2 : 1) * sizeof *a->d_spacing_nm;

    return a->id == b->id && a->chips == b->chips && same_words(a->name, b->name) && same_words(a->event, b->event) &&
           a->n_parents == b->n_parents &&
           memcmp(a->parents, b->parents, (size_t)a->n_parents * sizeof *a->parents) == 0 &&
           !a->percent == !b->percent &&
           (!a->percent || (memcmp(a->percent, b->percent, numbers) == 0 && memcmp(a->sigma, b->sigma, numbers) == 0)) &&
           memcmp(a->d_spacing_nm, b->d_spacing_nm, spacing) == 0 &&
           memcmp(&a->crystallinity, &b->crystallinity, sizeof a->crystallinity) == 0;
}

/* What was read and said again is read as the same, the largest first; said once more it is the same to
 * the byte. */
static void check_clusters(const struct fly_part *header)
{
    static unsigned char first[FLY_HEADER_MAX], second[FLY_HEADER_MAX];
    static struct said said, again;
    const struct fly_pub_id id = {"s", 1, 2};
    struct fly_part parts[2] = {{"clusters", 8}, *header};
    struct fly_clusters_read read, read_again;
    struct fly_pub_message out;
    struct fly_pack pack;
    unsigned char used[CLUSTERS] = {0};
    size_t len;

    if (!take_clusters(&said, parts, &read))
        return;
    fly_pack_init(&pack, first, sizeof first);
    FLY_ASSERT(fly_pub_clusters(&out, &pack, &id, &said.all) == FLY_OK);
    len = pack.len;
    parts[1] = (struct fly_part){first, len};
    FLY_ASSERT(take_clusters(&again, parts, &read_again));
    FLY_ASSERT(again.all.n_clusters == said.all.n_clusters && read_again.omitted == 0);
    FLY_ASSERT(again.all.n_elements == said.all.n_elements && again.all.final == said.all.final);
    for (int32_t i = 0; i < said.all.n_clusters; i++) {
        int32_t next = -1;

        for (int32_t k = 0; k < said.all.n_clusters; k++)
            if (!used[k] && (next < 0 || said.clusters[k].chips > said.clusters[next].chips))
                next = k;
        used[next] = 1;
        FLY_ASSERT(same_cluster(&said.clusters[next], &again.clusters[i], said.all.n_elements));
    }
    fly_pack_init(&pack, second, sizeof second);
    FLY_ASSERT(fly_pub_clusters(&out, &pack, &id, &again.all) == FLY_OK);
    FLY_ASSERT(pack.len == len && memcmp(first, second, len) == 0);
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
    check_clusters(&header);
    free(copy);
    return 0;
}
