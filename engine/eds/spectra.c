#include "engine/eds/spectra.h"

#include <string.h>

#include "engine/base/coverage.h"
#include "engine/base/rng.h"

enum {
    CHUNK_PHOTONS = 30,
    SCRATCH_PX = 1 << 18, /* pixels compared at once when reports come again */
    NONE = -1,
};

/* Photons of one block, in the order they came. */
struct photon {
    uint16_t at; /* pixel in the block, row-major */
    uint16_t channel;
};
struct chunk {
    int32_t next;
    int32_t len;
    struct photon photon[CHUNK_PHOTONS];
};
struct list {
    int32_t head, tail; /* chunks, NONE when empty */
};

/* One detector segment: who reported what, and the photons that go with it. */
struct segment {
    struct fly_cover *cover;
    struct list *lists;   /* (n_slots) */
    struct fly_spectra *spectra;
    int32_t *full;        /* (K) frames taken whole */
    uint8_t *whole;       /* (K) 1: after finish, partial frames together report every pixel */
};

struct fly_spectra {
    struct fly_spectra_config config;
    int32_t n_chips;
    struct segment segments[16];
    struct chunk *chunks;
    int32_t n_chunks, free_chunk, n_free;
    uint32_t *counts;     /* (K, E) */
    uint64_t *totals;     /* (K) */
    uint64_t *dwell_ns;   /* (K) */
    uint32_t *version;    /* (K) */
    uint64_t *dirty;      /* (K bits) */
    int32_t n_dirty;
    uint64_t *seen_hash;  /* (SCRATCH_PX) of the report at hand */
    uint64_t *held_hash;  /* (SCRATCH_PX) of what is held */
};

static struct fly_cover_config cover_config(const struct fly_spectra_config *config)
{
    return (struct fly_cover_config){.height_px = config->height_px,
                                     .width_px = config->width_px,
                                     .side_px = config->side_px,
                                     .pitch_px = config->pitch_px,
                                     .rows = config->rows,
                                     .cols = config->cols,
                                     .frames_held = config->frames_held,
                                     .frames_max = config->frames_max};
}

static size_t slots_of(const struct fly_spectra_config *config)
{
    size_t side = (size_t)fly_cover_block_side(config->pitch_px);
    size_t nby = ((size_t)config->height_px + side - 1) / side;
    size_t nbx = ((size_t)config->width_px + side - 1) / side;

    return nby * nbx * (size_t)config->frames_held;
}

/* Full chunks for the photons, and a last one, rarely full, for every block of a frame of each segment. */
static size_t chunks_of(const struct fly_spectra_config *config)
{
    size_t blocks = slots_of(config) / (size_t)config->frames_held;

    return (size_t)config->photons_held / CHUNK_PHOTONS + blocks * (size_t)config->segments + 1;
}

static size_t scratch_of(const struct fly_spectra_config *config)
{
    size_t px = (size_t)config->height_px * (size_t)config->width_px;

    return px < SCRATCH_PX ? px : SCRATCH_PX;
}

size_t fly_spectra_need(const struct fly_spectra_config *config)
{
    struct fly_cover_config cover = cover_config(config);
    size_t k = (size_t)config->rows * (size_t)config->cols, each = fly_cover_need(&cover), need;

    each = fly_size_add(each, fly_arena_need(slots_of(config), sizeof(struct list)));
    each = fly_size_add(each, fly_arena_need(k, sizeof(int32_t)));
    each = fly_size_add(each, fly_arena_need(k, 1));
    need = fly_arena_need(1, sizeof(struct fly_spectra));
    for (int32_t s = 0; s < config->segments; s++)
        need = fly_size_add(need, each);
    need = fly_size_add(need, fly_arena_need(chunks_of(config), sizeof(struct chunk)));
    need = fly_size_add(need, fly_arena_need(k * (size_t)config->n_channels, sizeof(uint32_t)));
    need = fly_size_add(need, 2 * fly_arena_need(k, sizeof(uint64_t)));
    need = fly_size_add(need, fly_arena_need(k, sizeof(uint32_t)));
    need = fly_size_add(need, fly_arena_need((k + 63) / 64, 8));
    return fly_size_add(need, 2 * fly_arena_need(scratch_of(config), 8));
}

/* ---- chunks ------------------------------------------------------------------------------------ */

static void free_list(struct fly_spectra *s, struct list *list)
{
    while (list->head != NONE) {
        int32_t next = s->chunks[list->head].next;

        s->chunks[list->head].next = s->free_chunk;
        s->free_chunk = list->head;
        s->n_free++;
        list->head = next;
    }
    list->tail = NONE;
}

static void block_evicted(void *ctx, int32_t slot)
{
    struct segment *segment = ctx;

    free_list(segment->spectra, &segment->lists[slot]);
}

static struct chunk *new_chunk(struct fly_spectra *s, struct list *list)
{
    int32_t at = s->free_chunk;

    FLY_ASSERT(at != NONE); /* make_room counted */
    s->free_chunk = s->chunks[at].next;
    s->n_free--;
    s->chunks[at].next = NONE;
    s->chunks[at].len = 0;
    if (list->tail != NONE)
        s->chunks[list->tail].next = at;
    else
        list->head = at;
    list->tail = at;
    return &s->chunks[at];
}

static inline void append(struct fly_spectra *s, struct list *list, int32_t at, uint32_t channel)
{
    struct chunk *chunk = list->tail != NONE ? &s->chunks[list->tail] : NULL;

    if (!chunk || chunk->len == CHUNK_PHOTONS)
        chunk = new_chunk(s, list);
    chunk->photon[chunk->len++] = (struct photon){(uint16_t)at, (uint16_t)channel};
}

/* ---- opening ----------------------------------------------------------------------------------- */

static void take_rest(void *ctx, const struct fly_cover_frame *record);

static int open_segment(struct fly_spectra *s, struct segment *segment, struct fly_arena *arena)
{
    struct fly_cover_config cover = cover_config(&s->config);
    size_t slots = slots_of(&s->config);
    int rc;

    cover.on_evict = block_evicted;
    cover.on_close = take_rest;
    cover.ctx = segment;
    segment->spectra = s;
    rc = fly_cover_open(&segment->cover, &cover, arena);
    if (rc < 0)
        return rc;
    segment->lists = fly_arena_take(arena, slots, sizeof *segment->lists);
    segment->full = fly_arena_take(arena, (size_t)s->n_chips, sizeof *segment->full);
    segment->whole = fly_arena_take(arena, (size_t)s->n_chips, 1);
    if (!segment->lists || !segment->full || !segment->whole)
        return fly_fail(FLY_ENOMEM, "spectra: the reserve is too small");
    for (size_t i = 0; i < slots; i++)
        segment->lists[i] = (struct list){NONE, NONE};
    memset(segment->full, 0, (size_t)s->n_chips * sizeof *segment->full);
    memset(segment->whole, 0, (size_t)s->n_chips);
    return FLY_OK;
}

int fly_spectra_open(struct fly_spectra **out, const struct fly_spectra_config *config,
                     struct fly_arena *arena)
{
    size_t k = (size_t)config->rows * (size_t)config->cols, e = (size_t)config->n_channels;
    struct fly_spectra *s;
    int rc = FLY_OK;

    if (config->n_channels < 1 || config->n_channels > 16384)
        return fly_fail(FLY_ERANGE, "%d channels, allowed are 1 .. 16384", config->n_channels);
    if (config->segments < 1 || config->segments > 16)
        return fly_fail(FLY_ERANGE, "%d EDS segments, allowed are 1 .. 16", config->segments);
    if (config->photons_held < 1 || chunks_of(config) > INT32_MAX)
        return fly_fail(FLY_ERANGE, "room for %lld photons in flight is out of range",
                        (long long)config->photons_held);
    s = fly_arena_take(arena, 1, sizeof *s);
    if (!s)
        return fly_fail(FLY_ENOMEM, "spectra: the reserve is too small");
    memset(s, 0, sizeof *s);
    s->config = *config;
    s->n_chips = (int32_t)k;
    for (int32_t i = 0; rc == FLY_OK && i < config->segments; i++)
        rc = open_segment(s, &s->segments[i], arena);
    if (rc < 0)
        return rc;
    s->n_chunks = s->n_free = (int32_t)chunks_of(config);
    s->chunks = fly_arena_take(arena, (size_t)s->n_chunks, sizeof *s->chunks);
    s->counts = fly_arena_take(arena, k * e, sizeof *s->counts);
    s->totals = fly_arena_take(arena, k, 8);
    s->dwell_ns = fly_arena_take(arena, k, 8);
    s->version = fly_arena_take(arena, k, 4);
    s->dirty = fly_arena_take(arena, (k + 63) / 64, 8);
    s->seen_hash = fly_arena_take(arena, scratch_of(config), 8);
    s->held_hash = fly_arena_take(arena, scratch_of(config), 8);
    if (!s->chunks || !s->counts || !s->totals || !s->dwell_ns || !s->version || !s->dirty || !s->seen_hash ||
        !s->held_hash)
        return fly_fail(FLY_ENOMEM, "spectra: the reserve is too small");
    for (int32_t i = 0; i < s->n_chunks; i++)
        s->chunks[i].next = i + 1 < s->n_chunks ? i + 1 : NONE;
    memset(s->counts, 0, k * e * sizeof *s->counts);
    memset(s->totals, 0, k * 8);
    memset(s->dwell_ns, 0, k * 8);
    memset(s->version, 0, k * 4);
    memset(s->dirty, 0, (k + 63) / 64 * 8);
    *out = s;
    return FLY_OK;
}

/* ---- chips ------------------------------------------------------------------------------------- */

static void mark_dirty(struct fly_spectra *s, int32_t chip)
{
    uint64_t bit = UINT64_C(1) << (chip & 63);

    s->version[chip]++;
    s->n_dirty += !(s->dirty[chip >> 6] & bit);
    s->dirty[chip >> 6] |= bit;
}

/* Count (sign 1) or take away (sign -1) the photons that a chip has of a frame of a segment. */
static void fold(struct fly_spectra *s, struct segment *segment, const struct fly_cover_frame *record,
                 int32_t chip, int sign)
{
    const struct fly_cover *cover = segment->cover;
    struct fly_cover_rect rect = fly_cover_chip(cover, record, chip);
    struct fly_cover_walk walk = {0};
    struct fly_cover_run run;
    uint32_t *counts = s->counts + (size_t)chip * (size_t)s->config.n_channels;
    uint32_t one = sign > 0 ? 1 : (uint32_t)-1;
    uint64_t dwell = 0, px = (uint64_t)s->config.side_px * (uint64_t)s->config.side_px;
    int32_t last = NONE, side = cover->side;
    int64_t n = 0;

    while (fly_cover_next(cover, record->frame, rect, &walk, &run)) {
        const uint8_t *marks = fly_cover_marks(cover, run.slot) + run.at;
        const struct fly_cover_slot *slot = &cover->slots[run.slot];
        int32_t y0, x0;

        for (int32_t i = 0; i < run.len; i++)
            if (marks[i])
                dwell += slot->dwell_ns[marks[i] - 1];
        if (run.slot == last)
            continue;
        last = run.slot;
        /* the chip's square in this block's own pixels */
        y0 = rect.y0 - slot->block / cover->nbx * side;
        x0 = rect.x0 - slot->block % cover->nbx * side;
        if (y0 == 0 && x0 == 0 && rect.h == side && rect.w == side) {
            for (int32_t at = segment->lists[run.slot].head; at != NONE; at = s->chunks[at].next) {
                const struct chunk *chunk = &s->chunks[at];

                for (int32_t i = 0; i < chunk->len; i++)
                    counts[chunk->photon[i].channel] += one;
                n += chunk->len;
            }
            continue;
        }
        for (int32_t at = segment->lists[run.slot].head; at != NONE; at = s->chunks[at].next)
            for (int32_t i = 0; i < s->chunks[at].len; i++) {
                struct photon p = s->chunks[at].photon[i];
                int32_t y = p.at / side - y0, x = p.at % side - x0;

                if (y >= 0 && y < rect.h && x >= 0 && x < rect.w) {
                    counts[p.channel] += one;
                    n++;
                }
            }
    }
    dwell = (dwell + px / 2) / px;
    s->totals[chip] += (uint64_t)(sign * n);
    s->dwell_ns[chip] += sign > 0 ? dwell : (uint64_t)0 - dwell;
}

/* No more of a frame is taken: chips take what it left partial, as at finish. */
static void take_rest(void *ctx, const struct fly_cover_frame *record)
{
    struct segment *segment = ctx;
    struct fly_spectra *s = segment->spectra;

    for (int32_t k = 0; record->held && k < s->n_chips; k++) {
        uint64_t before = s->totals[k];

        if (fly_cover_has(record, k))
            continue;
        fold(s, segment, record, k, 1);
        if (s->totals[k] != before)
            mark_dirty(s, k);
    }
}

static int32_t take_ready(struct fly_spectra *s, struct segment *segment, struct fly_cover_frame *record,
                          struct fly_cover_range touched)
{
    int32_t done = 0;

    for (int32_t r = touched.r0; r < touched.r1; r++)
        for (int32_t c = touched.c0; c < touched.c1; c++) {
            int32_t chip = r * s->config.cols + c;

            if (!fly_cover_ready(segment->cover, record, chip))
                continue;
            fold(s, segment, record, chip, 1);
            segment->full[chip] += fly_cover_whole(segment->cover, record, chip);
            mark_dirty(s, chip);
            done++;
            if (fly_cover_take(segment->cover, record, chip))
                return done;
        }
    return done;
}

/* ---- reading a message ------------------------------------------------------------------------- */

static uint32_t u32_at(const void *array, int64_t i)
{
    uint32_t v;

    memcpy(&v, (const unsigned char *)array + (size_t)i * sizeof v, sizeof v);
    return v;
}

static uint16_t u16_at(const void *array, int64_t i)
{
    uint16_t v;

    memcpy(&v, (const unsigned char *)array + (size_t)i * sizeof v, sizeof v);
    return v;
}

int fly_photons_check(const struct fly_photons *p)
{
    int64_t px = (int64_t)p->h * p->w;

    if (p->layout == FLY_EDS_CSR) {
        if (u32_at(p->rows, 0) != 0)
            return fly_fail(FLY_EWIRE, "row pointer 0 is %u, must be 0", u32_at(p->rows, 0));
        for (int64_t i = 0; i < px; i++)
            if (u32_at(p->rows, i + 1) < u32_at(p->rows, i))
                return fly_fail(FLY_EWIRE, "row pointer %lld is %u, below the one before", (long long)i + 1,
                                u32_at(p->rows, i + 1));
        if ((int64_t)u32_at(p->rows, px) != p->photons)
            return fly_fail(FLY_EWIRE, "the last row pointer is %u, there are %lld photons",
                            u32_at(p->rows, px), (long long)p->photons);
    } else if (p->layout == FLY_EDS_PAIRS) {
        for (int64_t i = 0; i < p->photons; i++)
            if (u32_at(p->pixels, i) >= (uint64_t)px)
                return fly_fail(FLY_EWIRE, "photon %lld is of pixel %u, the rectangle has %lld", (long long)i,
                                u32_at(p->pixels, i), (long long)px);
    }
    return FLY_OK;
}

/* How many photons a message has, those beyond the last channel included. */
static int64_t count_photons(const struct fly_spectra *s, const struct fly_photons *p)
{
    size_t items = (size_t)p->h * (size_t)p->w * (size_t)s->config.n_channels;
    int64_t n = 0;

    if (p->layout != FLY_EDS_DENSE)
        return p->photons;
    for (size_t i = 0; i < items; i++)
        n += p->dtype == FLY_U8    ? ((const unsigned char *)p->dense)[i]
             : p->dtype == FLY_U16 ? u16_at(p->dense, (int64_t)i)
                                   : u32_at(p->dense, (int64_t)i);
    return n;
}

struct reader {
    struct fly_spectra *s;
    struct segment *segment;
    const struct fly_photons *p;
    int32_t bx0, nbx, side;
};

static int32_t slot_of(const struct reader *r, int32_t y, int32_t x)
{
    return r->segment->cover->touched[(y / r->side - r->p->y0 / r->side) * r->nbx + x / r->side - r->bx0];
}

/* Calls `see` for each photon of a message within the channels: pixel of the rectangle, channel.
 * Inlined with its callee, so that the common layouts run as plain loops. */
typedef void see_photon(struct reader *r, void *ctx, int64_t pixel, uint32_t channel, uint32_t times);

static inline __attribute__((always_inline)) int64_t for_each(struct reader *r, see_photon *see, void *ctx)
{
    const struct fly_photons *p = r->p;
    uint32_t channels = (uint32_t)r->s->config.n_channels;
    int64_t px = (int64_t)p->h * p->w, outside = 0;

    switch (p->layout) {
    case FLY_EDS_PAIRS:
        for (int64_t i = 0; i < p->photons; i++) {
            uint32_t channel = u16_at(p->channels, i);

            if (channel < channels)
                see(r, ctx, u32_at(p->pixels, i), channel, 1);
            else
                outside++;
        }
        break;
    case FLY_EDS_CSR:
        for (int64_t pixel = 0, i = 0; pixel < px; pixel++)
            for (int64_t end = u32_at(p->rows, pixel + 1); i < end; i++) {
                uint32_t channel = u16_at(p->channels, i);

                if (channel < channels)
                    see(r, ctx, pixel, channel, 1);
                else
                    outside++;
            }
        break;
    case FLY_EDS_DENSE:
        for (int64_t pixel = 0; pixel < px; pixel++)
            for (uint32_t channel = 0; channel < channels; channel++) {
                int64_t at = pixel * channels + channel;
                uint32_t times = p->dtype == FLY_U8    ? ((const unsigned char *)p->dense)[at]
                                 : p->dtype == FLY_U16 ? u16_at(p->dense, at)
                                                       : u32_at(p->dense, at);

                if (times)
                    see(r, ctx, pixel, channel, times);
            }
        break;
    }
    return outside;
}

/* ---- a message of pixels never reported -------------------------------------------------------- */

struct fresh_ctx {
    /* of the column at hand */
    int64_t photons;
};

static inline __attribute__((always_inline)) void keep_photon(struct reader *r, void *ctx, int64_t pixel,
                                                              uint32_t channel, uint32_t times)
{
    struct fresh_ctx *fresh = ctx;
    const struct fly_photons *p = r->p;
    /* 32-bit division: a rectangle has at most 2^28 pixels */
    int32_t y = p->y0 + (p->h == 1 ? 0 : (int32_t)((uint32_t)pixel / (uint32_t)p->w));
    int32_t x = p->x0 + (p->h == 1 ? (int32_t)pixel : (int32_t)((uint32_t)pixel % (uint32_t)p->w));
    int32_t by = y / r->side, bx = x / r->side;
    int32_t slot = r->segment->cover->touched[(by - p->y0 / r->side) * r->nbx + bx - r->bx0];
    int32_t at = (y - by * r->side) * r->side + x - bx * r->side;

    for (uint32_t i = 0; i < times; i++)
        append(r->s, &r->segment->lists[slot], at, channel);
    fresh->photons += times;
}

static void put_fresh(struct reader *r, struct fly_eds_taken *taken)
{
    struct fresh_ctx ctx = {0};

    taken->outside = for_each(r, keep_photon, &ctx);
    taken->photons = ctx.photons;
}

/* ---- a message with pixels reported before ----------------------------------------------------- */

/* Stripes of rows that fit the scratch; in each, what came is compared with what is held by a hash that
 * does not mind the order of photons. */
struct again_ctx {
    int64_t from, to; /* pixels of the rectangle in this stripe */
    int64_t photons;
};

static inline __attribute__((always_inline)) void hash_photon(struct reader *r, void *ctx, int64_t pixel,
                                                              uint32_t channel, uint32_t times)
{
    struct again_ctx *again = ctx;

    if (pixel >= again->from && pixel < again->to)
        r->s->seen_hash[pixel - again->from] += times * fly_mix64(channel + 1);
}

static void keep_if_fresh(struct reader *r, void *ctx, int64_t pixel, uint32_t channel, uint32_t times)
{
    struct again_ctx *again = ctx;
    int32_t y = r->p->y0 + (int32_t)(pixel / r->p->w), x = r->p->x0 + (int32_t)(pixel % r->p->w);
    int32_t slot, at;

    if (pixel < again->from || pixel >= again->to)
        return;
    slot = slot_of(r, y, x);
    at = y % r->side * r->side + x % r->side;
    if (slot < 0 || fly_cover_marks(r->segment->cover, slot)[at])
        return;
    for (uint32_t i = 0; i < times; i++)
        append(r->s, &r->segment->lists[slot], at, channel);
    again->photons += times;
}

/* Hashes of what is held of the stripe's pixels. */
static void hash_held(struct reader *r, const struct again_ctx *again)
{
    struct fly_spectra *s = r->s;
    const struct fly_photons *p = r->p;
    struct fly_cover_rect rect = {p->y0 + (int32_t)(again->from / p->w), p->x0,
                                  (int32_t)((again->to - again->from) / p->w), p->w};
    struct fly_cover_walk walk = {0};
    struct fly_cover_run run;
    int32_t last = NONE;

    while (fly_cover_next(r->segment->cover, p->frame, rect, &walk, &run)) {
        int32_t block = r->segment->cover->slots[run.slot].block;
        int32_t y0 = block / r->segment->cover->nbx * r->side - rect.y0;
        int32_t x0 = block % r->segment->cover->nbx * r->side - rect.x0;

        if (run.slot == last)
            continue;
        last = run.slot;
        for (int32_t at = r->segment->lists[run.slot].head; at != NONE; at = s->chunks[at].next)
            for (int32_t i = 0; i < s->chunks[at].len; i++) {
                struct photon ph = s->chunks[at].photon[i];
                int32_t y = y0 + ph.at / r->side, x = x0 + ph.at % r->side;

                if (y >= 0 && y < rect.h && x >= 0 && x < rect.w)
                    s->held_hash[(size_t)y * (size_t)rect.w + (size_t)x] += fly_mix64(ph.channel + 1u);
            }
    }
}

static void put_again(struct reader *r, struct fly_eds_taken *taken)
{
    struct fly_spectra *s = r->s;
    const struct fly_photons *p = r->p;
    int64_t rows = (int64_t)scratch_of(&s->config) / p->w;

    for (int64_t row = 0; row < p->h; row += rows) {
        int64_t end = row + rows < p->h ? row + rows : p->h;
        struct again_ctx ctx = {.from = row * p->w, .to = end * p->w};

        memset(s->seen_hash, 0, (size_t)(ctx.to - ctx.from) * 8);
        memset(s->held_hash, 0, (size_t)(ctx.to - ctx.from) * 8);
        taken->outside = for_each(r, hash_photon, &ctx);
        hash_held(r, &ctx);
        for (int64_t i = ctx.from; i < ctx.to; i++) {
            int32_t y = p->y0 + (int32_t)(i / p->w), x = p->x0 + (int32_t)(i % p->w), slot = slot_of(r, y, x);

            if (slot < 0) {
                taken->repeated_px++;
                taken->unchecked_px++;
            } else if (fly_cover_marks(r->segment->cover, slot)[y % r->side * r->side + x % r->side]) {
                if (s->seen_hash[i - ctx.from] == s->held_hash[i - ctx.from])
                    taken->repeated_px++;
                else
                    taken->conflict_px++;
            }
        }
        for_each(r, keep_if_fresh, &ctx);
        taken->photons += ctx.photons;
    }
}

/* ---- put --------------------------------------------------------------------------------------- */

/* 1: every pixel of the rectangle is reported for the first time. */
static int all_fresh(const struct reader *r)
{
    const struct fly_photons *p = r->p;

    for (int32_t y = p->y0; y < p->y0 + p->h; y++)
        for (int32_t x = p->x0, n; x < p->x0 + p->w; x += n) {
            int32_t slot = slot_of(r, y, x);
            const uint8_t *marks;

            n = r->side - x % r->side;
            if (n > p->x0 + p->w - x)
                n = p->x0 + p->w - x;
            if (slot < 0)
                return 0;
            marks = fly_cover_marks(r->segment->cover, slot) + y % r->side * r->side + x % r->side;
            for (int32_t i = 0; i < n; i++)
                if (marks[i])
                    return 0;
        }
    return 1;
}

static void mark_reported(struct reader *r, struct fly_eds_taken *taken)
{
    const struct fly_photons *p = r->p;
    struct fly_cover *cover = r->segment->cover;

    for (int32_t y = p->y0; y < p->y0 + p->h; y++)
        for (int32_t x = p->x0, n; x < p->x0 + p->w; x += n) {
            int32_t slot = slot_of(r, y, x), fresh = 0;
            uint8_t *marks, mark;

            n = r->side - x % r->side;
            if (n > p->x0 + p->w - x)
                n = p->x0 + p->w - x;
            if (slot < 0)
                continue;
            marks = fly_cover_marks(cover, slot) + y % r->side * r->side + x % r->side;
            mark = fly_cover_dwell(cover, slot, p->dwell_ns);
            for (int32_t i = 0; i < n; i++)
                if (!marks[i]) {
                    marks[i] = mark;
                    fresh++;
                }
            cover->slots[slot].measured += fresh;
            taken->fresh_px += fresh;
        }
}

/* Chunks for every photon of a message, and one more for each block it touches. */
static int make_room(struct fly_spectra *s, const struct reader *r)
{
    const struct fly_photons *p = r->p;
    int64_t blocks = (int64_t)((p->y0 + p->h - 1) / r->side - p->y0 / r->side + 1) * r->nbx;
    int64_t photons = count_photons(s, p), want = photons / CHUNK_PHOTONS + blocks;

    while (s->n_free < want) {
        int gone = 0;

        for (int32_t i = 0; i < s->config.segments && !gone; i++)
            gone = fly_cover_evict(s->segments[i].cover);
        for (int32_t i = 0; i < s->config.segments && !gone && want <= s->n_chunks; i++)
            gone = fly_cover_close_oldest(s->segments[i].cover, p->frame);
        if (!gone)
            return fly_fail(FLY_ENOMEM,
                            "frame %lld: %lld photons, and those of unfinished chips before, are more than "
                            "engine.photons_held_millions allows",
                            (long long)p->frame, (long long)photons);
    }
    return FLY_OK;
}

int fly_spectra_put(struct fly_spectra *spectra, const struct fly_photons *photons,
                    struct fly_eds_taken *taken)
{
    struct fly_spectra *s = spectra;
    const struct fly_photons *p = photons;
    struct fly_cover_rect rect = {p->y0, p->x0, p->h, p->w};
    struct fly_cover_frame *record;
    struct reader r;
    int rc;

    FLY_ASSERT(p->y0 >= 0 && p->x0 >= 0 && p->h > 0 && p->w > 0 && p->y0 + p->h <= s->config.height_px &&
               p->x0 + p->w <= s->config.width_px);
    *taken = (struct fly_eds_taken){0};
    if (p->segment < 0 || p->segment >= s->config.segments)
        return fly_fail(FLY_ERANGE, "EDS segment %d, there are %d", p->segment, s->config.segments);
    rc = fly_photons_check(p);
    if (rc < 0)
        return rc;
    r = (struct reader){.s = s, .segment = &s->segments[p->segment], .p = p};
    r.side = r.segment->cover->side;
    r.bx0 = p->x0 / r.side;
    r.nbx = (p->x0 + p->w - 1) / r.side - r.bx0 + 1;
    /* Room first: what eviction takes away must not be what begin is about to look up. */
    rc = make_room(s, &r);
    if (rc == FLY_OK)
        rc = fly_cover_begin(r.segment->cover, p->frame, rect, p->dwell_ns, &record);
    if (rc < 0)
        return rc;
    if (all_fresh(&r))
        put_fresh(&r, taken);
    else
        put_again(&r, taken);
    mark_reported(&r, taken);
    if (taken->fresh_px && record) {
        struct fly_cover_rect moved = {p->y0 + record->dy_px, p->x0 + record->dx_px, p->h, p->w};

        taken->chips_done =
            take_ready(s, r.segment, record, fly_cover_touched(&r.segment->cover->config, moved));
    }
    return FLY_OK;
}

/* ---- shift and finish -------------------------------------------------------------------------- */

/* All segments can, or none does. */
static int records_of(struct fly_spectra *s, int64_t frame, int32_t dy_px, int32_t dx_px,
                      struct fly_cover_frame *record[16])
{
    int rc = FLY_OK;

    for (int32_t i = 0; rc == FLY_OK && i < s->config.segments; i++)
        rc = fly_cover_shift(s->segments[i].cover, frame, dy_px, dx_px, &record[i]);
    return rc;
}

int fly_spectra_may_shift(struct fly_spectra *spectra, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    struct fly_cover_frame *record[16];

    return records_of(spectra, frame, dy_px, dx_px, record);
}

int fly_spectra_shift(struct fly_spectra *spectra, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    struct fly_spectra *s = spectra;
    struct fly_cover_range all = {0, s->config.rows, 0, s->config.cols};
    struct fly_cover_frame *record[16];
    int rc = records_of(s, frame, dy_px, dx_px, record);

    if (rc < 0)
        return rc;
    for (int32_t i = 0; i < s->config.segments; i++) {
        for (int32_t k = 0; k < s->n_chips; k++)
            if (fly_cover_has(record[i], k)) {
                fold(s, &s->segments[i], record[i], k, -1);
                s->segments[i].full[k] -= fly_cover_whole(s->segments[i].cover, record[i], k);
                mark_dirty(s, k);
                record[i]->bits[k >> 6] &= ~(UINT64_C(1) << (k & 63));
            }
        record[i]->taken = 0;
        record[i]->dy_px = dy_px;
        record[i]->dx_px = dx_px;
        take_ready(s, &s->segments[i], record[i], all);
    }
    return FLY_OK;
}

/* Do the frames that a chip takes in part report all its pixels together? Asked once, at the end. */
static int reported_together(const struct fly_spectra *s, const struct segment *segment, int32_t chip)
{
    int32_t side = s->config.side_px;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            int found = 0;

            for (int32_t f = 0; f < FLY_COVER_FRAMES && !found; f++) {
                const struct fly_cover_frame *record = &segment->cover->frames[f];
                struct fly_cover_walk walk = {0};
                struct fly_cover_rect rect;
                struct fly_cover_run run;

                if (record->frame < 0)
                    continue;
                rect = fly_cover_chip(segment->cover, record, chip);
                rect = (struct fly_cover_rect){rect.y0 + y, rect.x0 + x, 1, 1};
                found = fly_cover_next(segment->cover, record->frame, rect, &walk, &run) &&
                        fly_cover_marks(segment->cover, run.slot)[run.at];
            }
            if (!found)
                return 0;
        }
    return 1;
}

void fly_spectra_finish(struct fly_spectra *spectra)
{
    struct fly_spectra *s = spectra;

    for (int32_t k = 0; k < s->n_chips; k++) {
        int changed = 0;

        for (int32_t i = 0; i < s->config.segments; i++) {
            struct segment *segment = &s->segments[i];

            if (!segment->full[k] && !segment->whole[k]) {
                segment->whole[k] = (uint8_t)reported_together(s, segment, k);
                changed |= segment->whole[k];
            }
            for (int32_t f = 0; f < FLY_COVER_FRAMES; f++) {
                struct fly_cover_frame *record = &segment->cover->frames[f];
                uint64_t before = s->totals[k];

                if (record->frame < 0 || fly_cover_has(record, k))
                    continue;
                fold(s, segment, record, k, 1);
                changed |= s->totals[k] != before;
                fly_cover_take(segment->cover, record, k);
            }
        }
        if (changed)
            mark_dirty(s, k);
    }
}

/* ---- looking ----------------------------------------------------------------------------------- */

int fly_spectra_complete(const struct fly_spectra *spectra, int32_t chip)
{
    for (int32_t i = 0; i < spectra->config.segments; i++)
        if (!spectra->segments[i].full[chip] && !spectra->segments[i].whole[chip])
            return 0;
    return 1;
}

uint32_t fly_spectra_version(const struct fly_spectra *spectra, int32_t chip)
{
    return spectra->version[chip];
}

const uint32_t *fly_spectra_of(const struct fly_spectra *spectra, int32_t chip)
{
    return spectra->counts + (size_t)chip * (size_t)spectra->config.n_channels;
}

uint64_t fly_spectra_total(const struct fly_spectra *spectra, int32_t chip)
{
    return spectra->totals[chip];
}

uint64_t fly_spectra_dwell_ns(const struct fly_spectra *spectra, int32_t chip)
{
    return spectra->dwell_ns[chip];
}

int32_t fly_spectra_drain_dirty(struct fly_spectra *spectra, int32_t *chips, int32_t cap)
{
    struct fly_spectra *s = spectra;
    int32_t n = 0, words = (s->n_chips + 63) / 64;

    for (int32_t w = 0; w < words && n < cap && s->n_dirty; w++)
        while (s->dirty[w] && n < cap) {
            chips[n++] = w * 64 + __builtin_ctzll(s->dirty[w]);
            s->dirty[w] &= s->dirty[w] - 1;
            s->n_dirty--;
        }
    return n;
}
