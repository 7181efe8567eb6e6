#include "engine/graph/affinity.h"

#include <math.h>
#include <string.h>

#include "engine/graph/affinity_state.h"
#include "engine/base/clones.h"

static size_t row_len(int32_t n)
{
    return (size_t)fly_tile_count(n) * (size_t)fly_tile_width(n);
}

static int32_t chips_of(const struct fly_affinity_config *config)
{
    return fly_vectors_config(config->a)->n_chips;
}

static size_t wider(const struct fly_affinity_config *config)
{
    int32_t a = fly_vectors_config(config->a)->width;
    int32_t b = config->b ? fly_vectors_config(config->b)->width : 0;

    return (size_t)(a > b ? a : b);
}

size_t fly_affinity_need_of(int32_t n, int32_t width_a, int32_t width_b)
{
    size_t chips = (size_t)n, ld = row_len(n), words = (chips + 63) / 64;
    size_t tiles = (size_t)fly_tile_count(n), bytes;

    bytes = fly_arena_need(1, sizeof(struct fly_affinity));
    bytes = fly_size_add(bytes, fly_arena_need(chips * words * 64, sizeof(uint16_t)));
    bytes = fly_size_add(bytes, fly_arena_need(chips * words, sizeof(uint64_t)));
    bytes = fly_size_add(bytes, fly_arena_need(chips, sizeof(int64_t)));
    bytes = fly_size_add(bytes, fly_arena_need(chips, 1));
    bytes = fly_size_add(bytes, fly_arena_need(1, sizeof(struct fly_histogram)));
    bytes = fly_size_add(bytes, fly_arena_need(FLY_BLOCK_MAX * (ld + 64), sizeof(uint16_t)));
    bytes = fly_size_add(bytes, fly_arena_need(ld + 64, sizeof(uint16_t)));
    bytes = fly_size_add(bytes, fly_arena_need(words, sizeof(uint64_t)));
    bytes = fly_size_add(bytes, fly_arena_need(ld + 64, sizeof(uint32_t)));
    bytes = fly_size_add(bytes, fly_arena_need(tiles, sizeof(int64_t)));
    bytes = fly_size_add(bytes, fly_arena_need(tiles, sizeof(int64_t)));
    return fly_size_add(bytes, fly_arena_need((size_t)(width_a > width_b ? width_a : width_b), sizeof(double)));
}

size_t fly_affinity_need(const struct fly_affinity_config *config)
{
    return fly_affinity_need_of(chips_of(config), fly_vectors_config(config->a)->width,
                                config->b ? fly_vectors_config(config->b)->width : 0);
}

static int check(const struct fly_affinity_config *config)
{
    if (config->b && fly_vectors_config(config->b)->n_chips != chips_of(config))
        return fly_fail(FLY_ERANGE, "a mix of vectors of %d chips with those of %d", chips_of(config),
                        fly_vectors_config(config->b)->n_chips);
    if (config->b && !(config->weight_a >= 0.0 && config->weight_a <= 1.0))
        return fly_fail(FLY_ERANGE, "weight %g in a mix, 0 .. 1 are possible", config->weight_a);
    if (!isfinite(config->fixed))
        return fly_fail(FLY_ERANGE, "a threshold that is no number");
    return FLY_OK;
}

static void set_error(struct fly_affinity *g)
{
    const struct fly_affinity_config *c = &g->config;

    g->error = fly_vectors_error(c->a);
    if (c->b)
        g->error = c->weight_a * g->error + (1.0 - c->weight_a) * fly_vectors_error(c->b) + 0x1p-22;
    g->doubt = (int32_t)ceil(g->error * FLY_WEIGHT_ONE) + 2;
    g->zero_exact = !c->b && fly_vectors_config(c->a)->kind != FLY_VECTORS_F32;
}

/* As if no chip had ever come; the threshold stays. */
static void clear(struct fly_affinity *g)
{
    memset(g->code, 0xff, (size_t)g->n * g->stride * sizeof *g->code);
    memset(g->bits, 0, (size_t)g->n * g->words * sizeof *g->bits);
    memset(g->degree, 0, (size_t)g->n * sizeof *g->degree);
    memset(g->member, 0, (size_t)g->n);
    memset(g->histogram, 0, sizeof *g->histogram);
    g->reach = 0;
    g->members = 0;
    g->m2 = 0;
    g->edges = 0;
}

int fly_affinity_open(struct fly_affinity **out, const struct fly_affinity_config *config,
                      struct fly_arena *arena)
{
    struct fly_affinity *g;
    int32_t n = chips_of(config);
    int rc = check(config);

    if (rc < 0)
        return rc;
    g = fly_arena_take(arena, 1, sizeof *g);
    FLY_ASSERT(g);
    memset(g, 0, sizeof *g);
    g->config = *config;
    g->n = n;
    g->tile = fly_tile_width(n);
    g->tiles = fly_tile_count(n);
    /* Rows in hand are read in whole words. */
    g->ld = row_len(n) + 64;
    g->words = ((size_t)n + 63) / 64;
    g->stride = g->words * 64;
    g->code = fly_arena_take(arena, (size_t)n * g->stride, sizeof *g->code);
    g->bits = fly_arena_take(arena, (size_t)n * g->words, sizeof *g->bits);
    g->degree = fly_arena_take(arena, (size_t)n, sizeof *g->degree);
    g->member = fly_arena_take(arena, (size_t)n, 1);
    g->histogram = fly_arena_take(arena, 1, sizeof *g->histogram);
    g->fresh = fly_arena_take(arena, FLY_BLOCK_MAX * g->ld, sizeof *g->fresh);
    g->absent = fly_arena_take(arena, g->ld, sizeof *g->absent);
    g->new_bits = fly_arena_take(arena, g->words, sizeof *g->new_bits);
    g->change = fly_arena_take(arena, g->ld, sizeof *g->change);
    g->exact = fly_arena_take(arena, (size_t)g->tiles, sizeof *g->exact);
    g->products = fly_arena_take(arena, (size_t)g->tiles, sizeof *g->products);
    g->scratch = fly_arena_take(arena, wider(config), sizeof *g->scratch);
    FLY_ASSERT(g->code && g->bits && g->degree && g->member && g->histogram && g->fresh && g->absent);
    FLY_ASSERT(g->new_bits && g->change && g->exact && g->products && g->scratch);
    memset(g->fresh, 0xff, FLY_BLOCK_MAX * g->ld * sizeof *g->fresh);
    memset(g->absent, 0xff, g->ld * sizeof *g->absent);
    clear(g);
    set_error(g);
    g->cut = fly_cut_at_p100(0);
    g->bin = -1;
    g->hysteresis = fly_hysteresis_none();
    *out = g;
    return FLY_OK;
}

/* ---- similarities become codes ------------------------------------------------------------------ */

double fly_affinity_similarity(const struct fly_affinity *graph, int32_t i, int32_t j)
{
    const struct fly_affinity_config *c = &graph->config;
    double s = fly_vectors_similarity(c->a, i, j);

    return c->b ? c->weight_a * s + (1.0 - c->weight_a) * fly_vectors_similarity(c->b, i, j) : s;
}

int fly_affinity_asks(struct fly_affinity *graph, int32_t i, int32_t j, const struct fly_cut *cut)
{
    graph->work.exact++;
    return fly_affinity_similarity(graph, i, j) >= cut->value;
}

FLY_CLONES static void mix(float *restrict to, const float *restrict a, const float *restrict b,
                           float weight_a, float weight_b, int32_t len)
{
    for (int32_t j = 0; j < len; j++)
        to[j] = weight_a * a[j] + weight_b * b[j];
}

enum { LANES = 8 };

typedef float f32_lanes __attribute__((vector_size(32)));
typedef int32_t i32_lanes __attribute__((vector_size(32)));

/* Lanes of a where the mask is set, of b elsewhere; all as integers. */
#define SELECT(mask, a, b) (((i32_lanes)(a) & (mask)) | ((i32_lanes)(b) & ~(mask)))
#define ALL(x)             ((f32_lanes){0} + (x))

/* The codes of fast similarities, as fly_code_of has them but for edges of p100; doubtful is set where one
 * is within `zone` hundredths (near 0, too: the sign decides). len is a multiple of LANES. gcc 12 makes
 * vectors of neither half when they are one. */
FLY_CLONES static void encode(uint16_t *restrict code, uint8_t *restrict doubtful,
                              const float *restrict similarity, const uint16_t *restrict absent, float zone,
                              float most, int32_t len)
{
    int32_t codes[FLY_TILE_MAX], doubts[FLY_TILE_MAX];

    for (int32_t j = 0; j < len; j += LANES) {
        f32_lanes s, x, hundredths, nearest, off;
        i32_lanes up, down;

        memcpy(&s, similarity + j, sizeof s);
        s = (f32_lanes)SELECT(s < ALL(most), s, ALL(most));
        s = (f32_lanes)SELECT(s > ALL(-1.0f), s, ALL(-1.0f));
        x = s * ALL((float)FLY_WEIGHT_ONE);
        up = __builtin_convertvector(x + ALL(0.5f), i32_lanes);
        up = SELECT((up & 15) == 0, __builtin_convertvector(x, i32_lanes), up); /* as plain_code, code.c */
        up = SELECT(up > 1, up, (i32_lanes){0} + 1);
        down = __builtin_convertvector((s + ALL(1.0f)) * ALL(1024.0f), i32_lanes) + FLY_CODE_NEGATIVE;
        up = SELECT(s < ALL(0.0f), down, up);
        hundredths = s * ALL(100.0f);
        nearest = __builtin_convertvector(__builtin_convertvector(hundredths + ALL(0.5f), i32_lanes),
                                          f32_lanes);
        nearest = (f32_lanes)SELECT(nearest < ALL(99.0f), nearest, ALL(99.0f)); /* 1 is no edge */
        off = (f32_lanes)((i32_lanes)(hundredths - nearest) & 0x7fffffff);
        down = off < ALL(zone);
        memcpy(codes + j, &up, sizeof up);
        memcpy(doubts + j, &down, sizeof down);
    }
    for (int32_t j = 0; j < len; j++) {
        code[j] = (uint16_t)(codes[j] | absent[j]);
        doubtful[j] = (uint8_t)(doubts[j] & ~absent[j] & 1);
    }
}

/* The code of a similarity beside an edge of p100: the canonical one decides where the fast one cannot.
 * Of a mix the first part is asked for first: it is nearly always the one in doubt, and the second is
 * dear where it is counts. */
static uint16_t settle_doubt(const struct fly_affinity *g, int32_t at, int32_t j, float fast, int64_t *exact)
{
    const struct fly_affinity_config *c = &g->config;
    double s = (double)fast, edge = fly_p100_edge((int32_t)(fast * 100.0f + 0.5f)), error = g->error;
    int32_t i = g->block[at];

    if (fast == 0.0f && g->zero_exact)
        return 0;
    if (fabs(s - edge) <= error && c->b) {
        error = (1.0 - c->weight_a) * fly_vectors_error(c->b) + 0x1p-40;
        s = c->weight_a * fly_vectors_similarity(c->a, i, j) +
            (1.0 - c->weight_a) * (double)fly_vectors_row(c->b, at)[j];
        ++*exact;
    }
    if (fabs(s - edge) <= error) {
        *exact += !c->b;
        s = fly_affinity_similarity(g, i, j);
    }
    return fly_code_of(s > -1.0 ? s : -1.0);
}

static void encode_row(struct fly_affinity *g, int32_t at, int32_t tile)
{
    const struct fly_affinity_config *c = &g->config;
    size_t from = (size_t)tile * (size_t)g->tile;
    const float *row = fly_vectors_row(c->a, at) + from;
    uint16_t *code = g->fresh + (size_t)at * g->ld + from;
    uint8_t doubtful[FLY_TILE_MAX + 8] = {0};
    float mixed[FLY_TILE_MAX];
    int debiased = fly_vectors_config(c->a)->debiased || (c->b && fly_vectors_config(c->b)->debiased);
    float most = debiased ? (float)FLY_CODE_TOP / (float)FLY_WEIGHT_ONE : 1.0f;
    float zone = (float)(100.0 * (g->error + 2.0 / FLY_WEIGHT_ONE) + 1e-5);

    if (c->b) {
        mix(mixed, row, fly_vectors_row(c->b, at) + from, (float)c->weight_a, (float)(1.0 - c->weight_a),
            g->tile);
        row = mixed;
    }
    encode(code, doubtful, row, g->absent + from, zone, most, g->tile);
    for (int32_t j = 0; j < g->tile; j += 8) {
        uint64_t eight;

        memcpy(&eight, doubtful + j, sizeof eight);
        for (int32_t l = 0; eight; l++, eight >>= 8)
            if (eight & 0xff && g->block[at] != (int32_t)from + j + l)
                code[j + l] =
                    settle_doubt(g, at, (int32_t)from + j + l, row[j + l], &g->exact[tile]);
    }
}

/* ---- updates ------------------------------------------------------------------------------------ */

enum { SOURCES_MAX = 16 };

struct update {
    struct fly_affinity *const *graphs;
    int32_t n_graphs;
    struct fly_vectors *sources[SOURCES_MAX];
    int32_t n_sources;
};

static void add_source(struct update *u, struct fly_vectors *source)
{
    if (!source)
        return;
    for (int32_t s = 0; s < u->n_sources; s++)
        if (u->sources[s] == source)
            return;
    FLY_ASSERT(u->n_sources < SOURCES_MAX);
    u->sources[u->n_sources++] = source;
}

/* Does any new row meet any chip in this tile? */
static int meets(const struct fly_affinity *g, int32_t tile)
{
    const uint16_t *absent = g->absent + (size_t)tile * (size_t)g->tile;
    int joins = 0, present = 0;

    for (int32_t a = 0; a < g->block_count; a++)
        joins |= g->joins[a];
    for (int32_t j = 0; joins && j < g->tile; j++)
        present |= !absent[j];
    return present;
}

static void fill_tile(void *arg, int32_t tile, int32_t worker)
{
    const struct update *u = arg;
    int filled[SOURCES_MAX] = {0};

    (void)worker;
    for (int32_t k = 0; k < u->n_graphs; k++) {
        struct fly_affinity *g = u->graphs[k];
        int meet = meets(g, tile);

        for (int32_t s = 0; meet && s < u->n_sources; s++)
            if (!filled[s] && (u->sources[s] == g->config.a || u->sources[s] == g->config.b)) {
                fly_vectors_fill(u->sources[s], tile);
                filled[s] = 1;
            }
        for (int32_t a = 0; a < g->block_count; a++)
            if (meet && g->joins[a]) {
                encode_row(g, a, tile);
                g->products[tile] += g->tile;
            } else {
                memset(g->fresh + (size_t)a * g->ld + (size_t)tile * (size_t)g->tile, 0xff,
                       (size_t)g->tile * sizeof *g->fresh);
            }
    }
}

static void commit_graph(void *arg, int32_t k, int32_t worker)
{
    (void)worker;
    fly_affinity_commit(((const struct update *)arg)->graphs[k]);
}

static int usable(const struct fly_affinity *g, int32_t chip)
{
    return fly_vectors_usable(g->config.a, chip) && (!g->config.b || fly_vectors_usable(g->config.b, chip));
}

/* Nobody meets the chips that this update has yet to come to: they meet everybody in their turn. */
static void begin(struct fly_affinity *g, const int32_t *chips, int32_t count)
{
    for (int32_t j = 0; j < g->n; j++)
        g->absent[j] = g->member[j] ? 0 : 0xffff;
    for (int32_t k = 0; k < count; k++) {
        FLY_ASSERT(chips[k] >= 0 && chips[k] < g->n);
        g->absent[chips[k]] = 0xffff;
    }
}

static void take_block(struct fly_affinity *g, const int32_t *chips, int32_t count)
{
    memcpy(g->block, chips, (size_t)count * sizeof *chips);
    g->block_count = count;
    for (int32_t a = 0; a < count; a++) {
        g->was[a] = g->member[chips[a]];
        g->joins[a] = (uint8_t)usable(g, chips[a]);
        if (g->joins[a]) {
            FLY_ASSERT(g->absent[chips[a]]); /* no chip twice */
            g->absent[chips[a]] = 0;
            if (chips[a] >= g->reach)
                g->reach = (chips[a] + 64) / 64 * 64;
        }
    }
}

void fly_affinity_update(struct fly_affinity *const *graphs, int32_t n_graphs, const int32_t *chips,
                         int32_t count, const struct fly_exec *exec)
{
    struct update u = {.graphs = graphs, .n_graphs = n_graphs};

    FLY_ASSERT(n_graphs >= 1);
    for (int32_t k = 0; k < n_graphs; k++) {
        FLY_ASSERT(graphs[k]->n == graphs[0]->n);
        add_source(&u, graphs[k]->config.a);
        add_source(&u, graphs[k]->config.b);
        begin(graphs[k], chips, count);
    }
    for (int32_t from = 0; from < count; from += FLY_BLOCK_MAX) {
        int32_t block = count - from < FLY_BLOCK_MAX ? count - from : FLY_BLOCK_MAX;

        for (int32_t k = 0; k < n_graphs; k++)
            take_block(graphs[k], chips + from, block);
        for (int32_t s = 0; s < u.n_sources; s++)
            fly_vectors_block(u.sources[s], chips + from, block);
        exec->run(exec->ctx, graphs[0]->tiles, fill_tile, &u);
        exec->run(exec->ctx, n_graphs, commit_graph, &u);
    }
}

int fly_affinity_reweigh(struct fly_affinity *graph, double weight_a)
{
    if (!graph->config.b || !(weight_a >= 0.0 && weight_a <= 1.0))
        return fly_fail(FLY_ERANGE, "weight %g in a mix of %d, 0 .. 1 of two are possible", weight_a,
                        graph->config.b ? 2 : 1);
    graph->config.weight_a = weight_a;
    set_error(graph);
    return FLY_OK;
}

int fly_affinity_mix(struct fly_affinity *graph, double weight_a, const struct fly_exec *exec)
{
    int32_t chips[FLY_BLOCK_MAX], count = 0;

    if (fly_affinity_reweigh(graph, weight_a) < 0)
        return FLY_ERANGE;
    clear(graph);
    for (int32_t k = 0; k < graph->n; k++) {
        if (usable(graph, k))
            chips[count++] = k;
        if (count && (count == FLY_BLOCK_MAX || k + 1 == graph->n)) {
            fly_affinity_update(&graph, 1, chips, count, exec);
            count = 0;
        }
    }
    return FLY_OK;
}

/* ---- the threshold ------------------------------------------------------------------------------ */

static void tell_jump(struct fly_affinity *g, double from, int32_t from_bin)
{
    if (g->jump_count == FLY_JUMPS_MAX) {
        g->jump_first = (g->jump_first + 1) % FLY_JUMPS_MAX;
        g->jump_count--;
    }
    g->jumps[(g->jump_first + g->jump_count++) % FLY_JUMPS_MAX] = (struct fly_threshold_jump){
        .from = from, .to = g->cut.value, .from_bin = from_bin, .to_bin = g->bin};
}

static int32_t mode_bin(struct fly_affinity *g, const int64_t *bins, int32_t n_bins, int32_t per_unit,
                        int exact)
{
    if (!g->config.hysteresis)
        return fly_fullest(bins, n_bins);
    if (exact)
        g->hysteresis = fly_hysteresis_none();
    return fly_hysteresis_step(&g->hysteresis, bins, n_bins, per_unit);
}

static struct fly_cut cut_by_rule(struct fly_affinity *g, int exact)
{
    int64_t bins[FLY_M2_BINS];

    switch (g->config.rule) {
    case FLY_THRESHOLD_P100:
        fly_histogram_p100(g->histogram, bins);
        g->bin = mode_bin(g, bins, FLY_P100_BINS, 100, exact);
        return fly_cut_at_p100(g->bin);
    case FLY_THRESHOLD_M2:
        fly_histogram_m2(g->histogram, bins);
        g->bin = mode_bin(g, bins, FLY_M2_BINS, 1024, exact);
        return fly_cut_at(fly_m2_centre(g->bin), g->doubt);
    case FLY_THRESHOLD_MEAN:
        return fly_cut_at(fly_affinity_mean(g), g->doubt);
    case FLY_THRESHOLD_MEDIAN:
        return fly_cut_at(fly_histogram_median(g->histogram), g->doubt);
    case FLY_THRESHOLD_FIXED:
        break;
    }
    return fly_cut_at(g->config.fixed, g->doubt);
}

static void settle(struct fly_affinity *g, int exact)
{
    struct fly_cut cut;
    double from = g->cut.value;
    int32_t from_bin = g->bin;

    g->bin = -1;
    cut = cut_by_rule(g, exact);
    fly_affinity_retarget(g, &cut);
    if (from_bin >= 0 && g->bin >= 0 && fabs(cut.value - from) > 0.05 - 1e-9)
        tell_jump(g, from, from_bin);
    if (g->members < 2)
        g->bin = -1;
}

struct settling {
    struct fly_affinity *const *graphs;
    int exact;
};

static void settle_graph(void *arg, int32_t k, int32_t worker)
{
    const struct settling *s = arg;

    (void)worker;
    settle(s->graphs[k], s->exact);
}

void fly_affinity_settle(struct fly_affinity *const *graphs, int32_t n_graphs, int exact,
                         const struct fly_exec *exec)
{
    struct settling s = {.graphs = graphs, .exact = exact};

    exec->run(exec->ctx, n_graphs, settle_graph, &s);
}

void fly_affinity_look(struct fly_affinity *graph, struct fly_affinity_stand *stand)
{
    struct fly_cut cut;

    *stand = (struct fly_affinity_stand){graph->bin, graph->cut, graph->hysteresis};
    graph->bin = -1;
    cut = cut_by_rule(graph, 1);
    fly_affinity_retarget(graph, &cut);
    if (graph->members < 2)
        graph->bin = -1;
}

void fly_affinity_look_at(struct fly_affinity *graph, double threshold, struct fly_affinity_stand *stand)
{
    struct fly_cut cut = fly_cut_at(threshold, graph->doubt);

    *stand = (struct fly_affinity_stand){graph->bin, graph->cut, graph->hysteresis};
    fly_affinity_retarget(graph, &cut);
}

void fly_affinity_return(struct fly_affinity *graph, const struct fly_affinity_stand *stand)
{
    fly_affinity_retarget(graph, &stand->cut);
    graph->bin = stand->bin;
    graph->hysteresis = stand->hysteresis;
}

int fly_affinity_rule(struct fly_affinity *graph, enum fly_threshold_rule rule, double fixed)
{
    if (!isfinite(fixed))
        return fly_fail(FLY_ERANGE, "a threshold that is no number");
    graph->config.rule = rule;
    graph->config.fixed = fixed;
    graph->hysteresis = fly_hysteresis_none();
    graph->bin = -1;
    return FLY_OK;
}
