#include <math.h>
#include <string.h>

#include "engine/base/clones.h"
#include "engine/graph/vectors_kinds.h"

/* Products of counts are summed in 16 bits where no sum can pass them (Cauchy and Schwarz bound it by the
 * larger square), in float up to 2^24, else in double: exact in each, so that the choice is never seen. */
#define U16_EXACT   ((uint64_t)UINT16_MAX)
#define FLOAT_EXACT ((uint64_t)1 << 24)
#define SQUARE_MAX  ((uint64_t)1 << 53)

static size_t page_count(const struct fly_vectors_config *config)
{
    size_t chips = (size_t)config->n_chips, width = (size_t)config->width;
    size_t entries = config->entries_max ? (size_t)config->entries_max : chips * width;

    return entries / FLY_PAGE_ENTRIES + chips + 1;
}

size_t fly_counts_need(const struct fly_vectors_config *config)
{
    size_t chips = (size_t)config->n_chips, pages = page_count(config), bytes;
    size_t ld = (size_t)fly_tile_count(config->n_chips) * (size_t)fly_tile_width(config->n_chips);

    bytes = fly_arena_need(2 * chips, sizeof(uint64_t));
    bytes = fly_size_add(bytes, fly_arena_need(pages * FLY_PAGE_ENTRIES, sizeof(uint32_t)));
    bytes = fly_size_add(bytes, fly_arena_need(pages, sizeof(uint32_t)));
    bytes = fly_size_add(bytes, fly_arena_need(ld, sizeof(uint32_t)));
    return fly_size_add(bytes, fly_arena_need(FLY_BLOCK_MAX * (size_t)config->width, sizeof(double)));
}

void fly_counts_open(struct fly_vectors *vectors, struct fly_arena *arena)
{
    struct fly_vectors *v = vectors;
    size_t chips = (size_t)v->config.n_chips, pages = page_count(&v->config);

    v->total = fly_arena_take(arena, 2 * chips, sizeof(uint64_t));
    v->entries = fly_arena_take(arena, pages * FLY_PAGE_ENTRIES, sizeof(uint32_t));
    v->next = fly_arena_take(arena, pages, sizeof(uint32_t));
    v->first = fly_arena_take(arena, v->ld, sizeof(uint32_t));
    v->dense = fly_arena_take(arena, FLY_BLOCK_MAX * (size_t)v->config.width, sizeof(double));
    FLY_ASSERT(v->total && v->entries && v->next && v->first && v->dense);
    v->raw = v->total + chips;
    memset(v->total, 0, 2 * chips * sizeof(uint64_t));
    memset(v->first, 0, v->ld * sizeof(uint32_t));
    v->pages = (uint32_t)pages;
    v->free_count = (uint32_t)pages - 1;
    v->free = pages > 1 ? 1 : 0;
    for (uint32_t p = 0; p < v->pages; p++)
        v->next[p] = p > 0 && p + 1 < v->pages ? p + 1 : 0;
}

/* ---- a chip's photons ---------------------------------------------------------------------------- */

void fly_counts_drop(struct fly_vectors *vectors, int32_t chip)
{
    struct fly_vectors *v = vectors;

    for (uint32_t p = v->first[chip], after; p; p = after) {
        after = v->next[p];
        v->next[p] = v->free;
        v->free = p;
        v->free_count++;
    }
    v->first[chip] = 0;
    v->total[chip] = 0;
    v->raw[chip] = 0;
}

static uint32_t take_page(struct fly_vectors *v, uint32_t *link)
{
    uint32_t page = v->free;

    FLY_ASSERT(page);
    v->free = v->next[page];
    v->free_count--;
    v->next[page] = 0;
    memset(v->entries + (size_t)page * FLY_PAGE_ENTRIES, 0, FLY_PAGE_ENTRIES * sizeof(uint32_t));
    *link = page;
    return page;
}

/* Which of up to 64 channels have counts. */
FLY_CLONES static uint64_t channels_of(const uint32_t *x, int32_t len)
{
    uint8_t ones[64] = {0};
    uint64_t word = 0;

    if (len == 64)
        for (int32_t b = 0; b < 64; b++)
            ones[b] = x[b] != 0;
    else
        for (int32_t b = 0; b < len; b++)
            ones[b] = x[b] != 0;
    for (int32_t q = 0; q < 8; q++) {
        uint64_t eight;

        memcpy(&eight, ones + 8 * q, sizeof eight);
        word |= (eight * 0x0102040810204080u) >> 56 << (8 * q); /* as in code_row.c */
    }
    return word;
}

int fly_counts_put(struct fly_vectors *vectors, int32_t chip, const uint32_t *x)
{
    enum { WORDS_MAX = FLY_WIDTH_MAX / 64 };
    struct fly_vectors *v = vectors;
    uint64_t total = 0, square = 0, entries = 0, own = 0, pages, there[WORDS_MAX];
    uint32_t *link = &v->first[chip], page = 0;
    int32_t used = FLY_PAGE_ENTRIES, width = v->config.width;

    for (int32_t w = 0; 64 * w < width; w++) {
        there[w] = channels_of(x + 64 * w, width - 64 * w < 64 ? width - 64 * w : 64);
        for (uint64_t word = there[w]; word; word &= word - 1) {
            uint64_t c = x[64 * w + __builtin_ctzll(word)];

            if (c > (uint32_t)1 << 26 || square + c * c > SQUARE_MAX)
                return fly_fail(FLY_ERANGE, "the squared counts of chip %d pass 2^53", chip);
            total += c;
            square += c * c;
            entries += (c + FLY_ENTRY_MAX - 1) / FLY_ENTRY_MAX;
        }
    }
    for (uint32_t p = v->first[chip]; p; p = v->next[p])
        own++;
    pages = (entries + FLY_PAGE_ENTRIES - 1) / FLY_PAGE_ENTRIES;
    if (pages > v->free_count + own)
        return fly_fail(FLY_ENOMEM, "the spectrum of chip %d takes %llu pages of %d channels, %llu are left",
                        chip, (unsigned long long)pages, FLY_PAGE_ENTRIES,
                        (unsigned long long)(v->free_count + own));

    fly_counts_drop(v, chip);
    v->total[chip] = total;
    v->raw[chip] = square;
    for (int32_t w = 0; 64 * w < width; w++)
        for (uint64_t word = there[w]; word; word &= word - 1) {
            uint32_t e = (uint32_t)(64 * w + __builtin_ctzll(word));

            for (uint32_t left = x[e], part; left; left -= part) {
                part = left < FLY_ENTRY_MAX ? left : FLY_ENTRY_MAX;
                if (used == FLY_PAGE_ENTRIES) {
                    page = take_page(v, link);
                    link = &v->next[page];
                    used = 0;
                }
                v->entries[(size_t)page * FLY_PAGE_ENTRIES + (size_t)used++] = e << FLY_ENTRY_COUNT | part;
            }
        }
    return FLY_OK;
}

void fly_counts_add(const struct fly_vectors *vectors, int32_t chip, double scale, double *sum)
{
    for (uint32_t p = vectors->first[chip]; p; p = vectors->next[p])
        for (int32_t q = 0; q < FLY_PAGE_ENTRIES; q++) {
            uint32_t entry = vectors->entries[(size_t)p * FLY_PAGE_ENTRIES + (size_t)q];

            sum[entry >> FLY_ENTRY_COUNT] += scale * (double)(entry & FLY_ENTRY_MAX);
        }
}

double fly_counts_with(const struct fly_vectors *vectors, int32_t chip, const double *y)
{
    double sum = 0.0;

    for (uint32_t p = vectors->first[chip]; p; p = vectors->next[p])
        for (int32_t q = 0; q < FLY_PAGE_ENTRIES; q++) {
            uint32_t entry = vectors->entries[(size_t)p * FLY_PAGE_ENTRIES + (size_t)q];

            sum += y[entry >> FLY_ENTRY_COUNT] * (double)(entry & FLY_ENTRY_MAX);
        }
    return sum;
}

/* Where a walk over a chip's entries stands. */
struct walk {
    const struct fly_vectors *v;
    uint32_t page;
    int32_t at;
};

/* The next channel and its whole count; 0 at the end. */
static int next_channel(struct walk *w, uint32_t *channel, uint64_t *count)
{
    *count = 0;
    for (;;) {
        uint32_t entry;

        if (w->at == FLY_PAGE_ENTRIES) {
            w->page = w->v->next[w->page];
            w->at = 0;
        }
        if (!w->page)
            return *count > 0;
        entry = w->v->entries[(size_t)w->page * FLY_PAGE_ENTRIES + (size_t)w->at];
        if (!entry || (*count && entry >> FLY_ENTRY_COUNT != *channel))
            return *count > 0;
        *channel = entry >> FLY_ENTRY_COUNT;
        *count += entry & FLY_ENTRY_MAX;
        w->at++;
    }
}

double fly_counts_dot(const struct fly_vectors *vectors, int32_t i, int32_t j)
{
    struct walk a = {vectors, vectors->first[i], 0}, b = {vectors, vectors->first[j], 0};
    uint32_t at_a = 0, at_b = 0;
    uint64_t x, y, sum = 0;
    int more = next_channel(&a, &at_a, &x) & next_channel(&b, &at_b, &y);

    while (more) {
        if (at_a < at_b) {
            more = next_channel(&a, &at_a, &x);
        } else if (at_b < at_a) {
            more = next_channel(&b, &at_b, &y);
        } else {
            sum += x * y;
            more = next_channel(&a, &at_a, &x) & next_channel(&b, &at_b, &y);
        }
    }
    return (double)sum;
}

/* Length of the next stretch of sums, of `left` channels. */
static uint32_t stretch(uint32_t left)
{
    enum { STRETCH = 384 };

    if (left >= 2 * STRETCH)
        return STRETCH;
    return left > STRETCH ? (left + 1) / 2 : left;
}

double fly_counts_cosine(const struct fly_vectors *vectors, int32_t i, int32_t j)
{
    struct walk a = {vectors, vectors->first[i], 0}, b = {vectors, vectors->first[j], 0};
    double length_a = sqrt((double)vectors->raw[i]), length_b = sqrt((double)vectors->raw[j]);
    uint32_t at_a = 0, at_b = 0, width = (uint32_t)vectors->config.width, end = stretch(width);
    double all = 0.0, part = 0.0;
    uint64_t x, y;
    int more = next_channel(&a, &at_a, &x) & next_channel(&b, &at_b, &y);

    while (more) {
        if (at_a < at_b) {
            more = next_channel(&a, &at_a, &x);
        } else if (at_b < at_a) {
            more = next_channel(&b, &at_b, &y);
        } else {
            while (at_a >= end) {
                all += part;
                part = 0.0;
                end += stretch(width - end);
            }
            part = fma((double)x / length_a, (double)y / length_b, part);
            more = next_channel(&a, &at_a, &x) & next_channel(&b, &at_b, &y);
        }
    }
    return all + part;
}

/* ---- blocks: rows stand side by side, and every photon of a column meets them all ------------------ */

void fly_counts_block(struct fly_vectors *vectors)
{
    static const size_t size[] = {sizeof(uint8_t), sizeof(float), sizeof(double)};
    struct fly_vectors *v = vectors;
    uint64_t most = 0;

    for (int32_t k = 0; k < v->config.n_chips; k++)
        most = v->raw[k] > most ? v->raw[k] : most;
    v->sums_in = most <= U16_EXACT ? FLY_SUMS_U16 : most <= FLOAT_EXACT ? FLY_SUMS_F32 : FLY_SUMS_F64;
    v->most = most;
    v->abreast = (v->block_count + FLY_GROUP - 1) / FLY_GROUP * FLY_GROUP;
    memset(v->dense, 0, (size_t)v->abreast * (size_t)v->config.width * size[v->sums_in]);
    for (int32_t a = 0; a < v->block_count; a++)
        for (uint32_t p = v->first[v->block[a]]; p; p = v->next[p])
            for (int32_t q = 0; q < FLY_PAGE_ENTRIES; q++) {
                uint32_t entry = v->entries[(size_t)p * FLY_PAGE_ENTRIES + (size_t)q];
                uint32_t count = entry & FLY_ENTRY_MAX;
                size_t to = (size_t)(entry >> FLY_ENTRY_COUNT) * (size_t)v->abreast + (size_t)a;

                if (v->sums_in == FLY_SUMS_U16)
                    ((uint8_t *)v->dense)[to] += (uint8_t)count; /* at most 255: its square is within U16_EXACT */
                else if (v->sums_in == FLY_SUMS_F32)
                    ((float *)v->dense)[to] += (float)count;
                else
                    ((double *)v->dense)[to] += (double)count;
            }
}

void fly_counts_fill(struct fly_vectors *vectors, int32_t tile)
{
    const struct fly_vectors *v = vectors;
    size_t from = (size_t)tile * (size_t)v->tile;
    double by[FLY_BLOCK_MAX];

    for (int32_t a = 0; a < v->block_count; a++)
        by[a] = (double)v->inverse[v->block[a]];
    for (size_t j = from; j < from + (size_t)v->tile; j++) {
        double sums[FLY_BLOCK_MAX];

        fly_counts_meet(v, v->first[j], sums);
        for (int32_t a = 0; a < v->block_count; a++)
            v->rows[(size_t)a * v->ld + j] = (float)(sums[a] * (by[a] * (double)v->inverse[j]));
    }
}
