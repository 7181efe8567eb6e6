#include <string.h>

#include "engine/graph/affinity_state.h"
#include "engine/graph/code_row.h"

static void count_codes(struct fly_histogram *histogram, const uint16_t *code, size_t len, uint32_t sign)
{
    for (size_t j = 0; j < len; j++)
        histogram->count[code[j]] += sign;
}

/* ---- the commit --------------------------------------------------------------------------------- */

/* What pairs within the block would be counted twice, once from either end. */
struct inner {
    int64_t weight, edges, codes, flips;
};

static uint16_t weight_of(const struct fly_affinity *g, uint16_t code)
{
    return g->config.binary ? 1 : code;
}

static int bit(const uint64_t *bits, int32_t j)
{
    return (int)(bits[j / 64] >> (j % 64) & 1);
}

/* Take the old rows of the block out of histogram, degrees and totals. */
static void take_out(struct fly_affinity *g)
{
    size_t len = (size_t)g->reach;
    int64_t weight = 0, edges = 0, inner_weight = 0, inner_edges = 0;

    for (int32_t a = 0; a < g->block_count; a++) {
        size_t i = (size_t)g->block[a];
        const uint16_t *code = g->code + i * g->stride;
        const uint64_t *bits = g->bits + i * g->words;

        if (!g->was[a])
            continue;
        count_codes(g->histogram, code, len, UINT32_MAX);
        weight += fly_codes_add(g->change, code, bits, len / 64, g->config.binary, UINT32_MAX);
        for (size_t w = 0; w < len / 64; w++)
            edges += __builtin_popcountll(bits[w]);
        for (int32_t b = 0; b < g->block_count; b++) {
            int32_t j = g->block[b];

            if (b > a)
                g->histogram->count[code[j]]++;
            if (bit(bits, j)) {
                inner_weight += weight_of(g, code[j]);
                inner_edges++;
            }
        }
    }
    g->m2 -= 2 * weight - inner_weight;
    g->edges -= edges - inner_edges / 2;
}

/* Which codes of a chip's row are edges at a cut: g->new_bits. */
static void cut_row(struct fly_affinity *g, int32_t i, const uint16_t *code, size_t len,
                    const struct fly_cut *cut)
{
    uint16_t maybe = cut->maybe, sure = cut->sure;

    fly_codes_keep(g->new_bits, code, len / 64, sure);
    for (size_t at = 0; maybe < sure && at < len; at += 64)
        if (fly_codes_any(code + at, maybe, sure))
            for (size_t j = at; j < at + 64; j++)
                if (code[j] >= maybe && code[j] < sure && fly_affinity_asks(g, i, (int32_t)j, cut))
                    g->new_bits[at / 64] |= (uint64_t)1 << (j - at);
}

/* Put the new rows in: rows of codes and bits, histogram, degrees of others and totals. */
static void put_in(struct fly_affinity *g)
{
    size_t len = (size_t)g->reach;
    int64_t weight = 0, edges = 0, codes = 0, flips = 0;
    struct inner inner = {0};

    for (int32_t a = 0; a < g->block_count; a++) {
        size_t i = (size_t)g->block[a];
        uint16_t *fresh = g->fresh + (size_t)a * g->ld, *code = g->code + i * g->stride;
        uint64_t *bits = g->bits + i * g->words;
        uint32_t sum;

        fresh[i] = FLY_CODE_NONE;
        count_codes(g->histogram, fresh, len, 1);
        cut_row(g, g->block[a], fresh, len, &g->cut);
        sum = fly_codes_add(g->change, fresh, g->new_bits, len / 64, g->config.binary, 1);
        weight += sum;
        codes += fly_codes_differ(code, fresh, len / 64);
        for (size_t w = 0; w < len / 64; w++) {
            edges += __builtin_popcountll(g->new_bits[w]);
            flips += __builtin_popcountll(g->new_bits[w] ^ bits[w]);
        }
        for (int32_t b = 0; b < g->block_count; b++) {
            int32_t j = g->block[b];

            if (b > a)
                g->histogram->count[fresh[j]]--;
            inner.codes += code[j] != fresh[j];
            inner.flips += bit(bits, j) != bit(g->new_bits, j);
            if (bit(g->new_bits, j)) {
                inner.weight += weight_of(g, fresh[j]);
                inner.edges++;
            }
        }
        g->degree[i] = sum;
        memcpy(code, fresh, len * sizeof *code);
        memcpy(bits, g->new_bits, len / 64 * sizeof *bits);
    }
    g->m2 += 2 * weight - inner.weight;
    g->edges += edges - inner.edges / 2;
    g->work.codes_changed += codes - inner.codes / 2;
    g->work.edges_flipped += flips - inner.flips / 2;
}

/* Hacker's Delight 7-3, for 64 words: bit j of word i goes to bit i of word j. */
static void transpose(uint64_t x[64])
{
    uint64_t mask = 0x00000000ffffffffu;

    for (int32_t width = 32; width; width >>= 1, mask ^= mask << width)
        for (int32_t k = 0; k < 64; k = ((k | width) + 1) & ~width) {
            uint64_t t = (x[k] >> width ^ x[k | width]) & mask;

            x[k | width] ^= t;
            x[k] ^= t << width;
        }
}

/* Columns follow rows: in all rows, the bits of those of 64 neighbouring chips that `changed` names. */
static void mirror_bits(struct fly_affinity *g, size_t group, uint64_t changed)
{
    for (size_t w = 0; w < (size_t)g->reach / 64; w++) {
        uint64_t block[64];

        for (size_t l = 0; l < 64; l++)
            block[l] = 64 * group + l < (size_t)g->n ? g->bits[(64 * group + l) * g->words + w] : 0;
        transpose(block);
        for (size_t l = 0; l < 64 && 64 * w + l < (size_t)g->n; l++) {
            uint64_t *to = g->bits + (64 * w + l) * g->words + group;

            *to = (*to & ~changed) | (block[l] & changed);
        }
    }
}

/* The same for codes. Chips of a block are neighbours mostly: their columns lie side by side. */
static void mirror_codes(struct fly_affinity *g)
{
    int32_t end = g->reach < g->n ? g->reach : g->n;

    for (int32_t a = 0, run; a < g->block_count; a += run) {
        for (run = 1; a + run < g->block_count && g->block[a + run] == g->block[a] + run; run++)
            ;
        fly_codes_transpose(g->code + g->block[a], g->stride, g->fresh + (size_t)a * g->ld, g->ld, run, end);
    }
}

static void count_work(struct fly_affinity *g)
{
    int64_t joins = 0, present = 0;

    for (int32_t a = 0; a < g->block_count; a++)
        joins += g->joins[a];
    for (int32_t j = 0; j < g->n; j++)
        present += !g->absent[j];
    g->work.pairs += joins * present - joins * (joins + 1) / 2;
    for (int32_t t = 0; t < g->tiles; t++) {
        g->work.exact += g->exact[t];
        g->work.products += g->products[t];
    }
    memset(g->exact, 0, (size_t)g->tiles * sizeof *g->exact);
    memset(g->products, 0, (size_t)g->tiles * sizeof *g->products);
}

void fly_affinity_commit(struct fly_affinity *graph)
{
    struct fly_affinity *g = graph;
    uint8_t in_block[FLY_BLOCK_MAX];

    memset(g->change, 0, (size_t)g->reach * sizeof *g->change);
    take_out(g);
    put_in(g);
    g->histogram->count[FLY_CODE_NONE] = 0;
    for (int32_t a = 0; a < g->block_count; a++)
        g->change[g->block[a]] = 0; /* rows of the block have set theirs */
    for (int32_t j = 0; j < g->reach && j < g->n; j++)
        g->degree[j] += (int32_t)g->change[j];
    mirror_codes(g);
    memset(in_block, 0, sizeof in_block);
    for (int32_t a = 0; a < g->block_count; a++) {
        uint64_t changed = 0;

        if (in_block[a])
            continue;
        for (int32_t b = a; b < g->block_count; b++)
            if (g->block[b] / 64 == g->block[a] / 64) {
                changed |= (uint64_t)1 << g->block[b] % 64;
                in_block[b] = 1;
            }
        mirror_bits(g, (size_t)g->block[a] / 64, changed);
    }
    for (int32_t a = 0; a < g->block_count; a++) {
        g->member[g->block[a]] = g->joins[a];
        g->members += g->joins[a] - g->was[a];
    }
    count_work(g);
}

/* ---- another threshold -------------------------------------------------------------------------- */

static int edge_at(struct fly_affinity *g, int32_t i, int32_t j, uint16_t code, const struct fly_cut *cut)
{
    if (code >= cut->sure)
        return code < FLY_CODE_NEGATIVE;
    return code >= cut->maybe && fly_affinity_asks(g, i, j, cut);
}

static void flip(struct fly_affinity *g, int32_t i, int32_t j, uint16_t code)
{
    uint64_t *row = g->bits + (size_t)i * g->words + j / 64;
    int64_t sign = *row >> (j % 64) & 1 ? -1 : 1, weight = sign * weight_of(g, code);

    *row ^= (uint64_t)1 << (j % 64);
    g->bits[(size_t)j * g->words + (size_t)i / 64] ^= (uint64_t)1 << (i % 64);
    g->degree[i] += weight;
    g->degree[j] += weight;
    g->m2 += 2 * weight;
    g->edges += sign;
    g->work.edges_flipped++;
}

/* Flip the pairs of a row with chips before it, where their codes lie between the cuts. */
static void flip_row(struct fly_affinity *g, int32_t i, uint16_t low, uint16_t high, const struct fly_cut *cut)
{
    const uint16_t *code = g->code + (size_t)i * g->stride;
    const uint64_t *bits = g->bits + (size_t)i * g->words;

    for (int32_t at = 0; at < i; at += 64) {
        if (!fly_codes_any(code + at, low, high))
            continue;
        for (int32_t j = at; j < at + 64 && j < i; j++)
            if (code[j] >= low && code[j] < high &&
                edge_at(g, i, j, code[j], cut) != (int)(bits[j / 64] >> (j % 64) & 1))
                flip(g, i, j, code[j]);
    }
}

/* Make a row anew. Totals count every pair from both ends. */
static void remake_row(struct fly_affinity *g, int32_t i, const struct fly_cut *cut, int64_t *edges,
                       int64_t *flips)
{
    const uint16_t *code = g->code + (size_t)i * g->stride;
    uint64_t *bits = g->bits + (size_t)i * g->words;
    size_t len = (size_t)g->reach;

    cut_row(g, i, code, len, cut);
    for (size_t w = 0; w < len / 64; w++) {
        *edges += __builtin_popcountll(g->new_bits[w]);
        *flips += __builtin_popcountll(g->new_bits[w] ^ bits[w]);
    }
    memcpy(bits, g->new_bits, len / 64 * sizeof *bits);
    g->degree[i] = fly_codes_add(NULL, code, bits, len / 64, g->config.binary, 1);
    g->m2 += g->degree[i];
}

void fly_affinity_retarget(struct fly_affinity *graph, const struct fly_cut *cut)
{
    enum { FLIP_COST = 100 }; /* of a pair, against making it anew, measured */
    struct fly_affinity *g = graph;
    uint16_t low = g->cut.maybe < cut->maybe ? g->cut.maybe : cut->maybe;
    uint16_t high = g->cut.sure > cut->sure ? g->cut.sure : cut->sure;
    int64_t pairs = 0, all = (int64_t)g->members * g->members, edges = 0, flips = 0;

    if (g->cut.value == cut->value && g->cut.maybe == cut->maybe && g->cut.sure == cut->sure)
        return;
    for (int32_t code = low; code < high; code++)
        pairs += g->histogram->count[code];
    if (pairs * FLIP_COST > all) {
        g->m2 = 0;
        for (int32_t i = 0; i < g->n; i++)
            if (g->member[i])
                remake_row(g, i, cut, &edges, &flips);
        g->edges = edges / 2;
        g->work.edges_flipped += flips / 2;
    } else {
        for (int32_t i = 0; pairs && i < g->n; i++)
            if (g->member[i])
                flip_row(g, i, low, high, cut);
    }
    g->cut = *cut;
}
