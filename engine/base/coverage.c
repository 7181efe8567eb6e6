#include "engine/base/coverage.h"

#include <string.h>

#include "engine/base/rng.h"

enum { BLOCK_MIN = 8, BLOCK_MAX = 128 };

/* A chip's pixels are then one block, or few. */
int32_t fly_cover_block_side(int32_t pitch_px)
{
    return pitch_px < BLOCK_MIN ? 16 : pitch_px > BLOCK_MAX ? 64 : pitch_px;
}

static int64_t chips_of(const struct fly_cover_config *config)
{
    return (int64_t)config->rows * config->cols;
}

struct sizes {
    size_t slots, table, words, done_words, blocks, px;
};

static struct sizes count_sizes(const struct fly_cover_config *config)
{
    struct sizes s;
    size_t side = (size_t)fly_cover_block_side(config->pitch_px);
    size_t nby = ((size_t)config->height_px + side - 1) / side;
    size_t nbx = ((size_t)config->width_px + side - 1) / side;

    s.blocks = nby * nbx;
    s.slots = s.blocks * (size_t)config->frames_held;
    for (s.table = 16; s.table < s.slots * 2; s.table *= 2)
        continue;
    s.words = ((size_t)chips_of(config) + 63) / 64;
    s.done_words = ((size_t)config->frames_max + 63) / 64;
    s.px = side * side;
    return s;
}

size_t fly_cover_need(const struct fly_cover_config *config)
{
    struct sizes s = count_sizes(config);
    size_t need = fly_arena_need(1, sizeof(struct fly_cover));

    need = fly_size_add(need, fly_arena_need(s.slots, sizeof(struct fly_cover_slot)));
    need = fly_size_add(need, fly_arena_need(s.slots, s.px));
    need = fly_size_add(need, fly_arena_need(s.slots, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(s.table, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(s.words * FLY_COVER_FRAMES, sizeof(uint64_t)));
    need = fly_size_add(need, 2 * fly_arena_need(s.done_words, sizeof(uint64_t)));
    return fly_size_add(need, fly_arena_need(s.blocks, sizeof(int32_t)));
}

int fly_cover_open(struct fly_cover **out, const struct fly_cover_config *config, struct fly_arena *arena)
{
    struct sizes s;
    struct fly_cover *c;
    uint64_t *bits;

    if (config->frames_held < 1 || config->frames_held > 4096)
        return fly_fail(FLY_ERANGE, "engine.frames_held %d, allowed are 1 .. 4096", config->frames_held);
    if (config->frames_max < 1 || config->frames_max > 1 << 20)
        return fly_fail(FLY_ERANGE, "%lld frames, allowed are 1 .. %d", (long long)config->frames_max, 1 << 20);
    s = count_sizes(config);
    if (s.slots > INT32_MAX / 4)
        return fly_fail(FLY_ENOMEM, "%zu blocks of frames in flight are too many: lower engine.frames_held",
                        s.slots);
    c = fly_arena_take(arena, 1, sizeof *c);
    if (c) {
        memset(c, 0, sizeof *c);
        c->slots = fly_arena_take(arena, s.slots, sizeof *c->slots);
        c->marks = fly_arena_take(arena, s.slots, s.px);
        c->free_slots = fly_arena_take(arena, s.slots, sizeof *c->free_slots);
        c->table = fly_arena_take(arena, s.table, sizeof *c->table);
        bits = fly_arena_take(arena, s.words * FLY_COVER_FRAMES, sizeof *bits);
        c->done = fly_arena_take(arena, s.done_words, sizeof *c->done);
        c->closed = fly_arena_take(arena, s.done_words, sizeof *c->closed);
        c->touched = fly_arena_take(arena, s.blocks, sizeof *c->touched);
    }
    if (!c || !c->touched || !c->done || !c->closed || !bits || !c->table || !c->free_slots || !c->marks || !c->slots)
        return fly_fail(FLY_ENOMEM, "frames in flight: the reserve is too small");
    c->config = *config;
    c->side = fly_cover_block_side(config->pitch_px);
    c->nby = (config->height_px + c->side - 1) / c->side;
    c->nbx = (config->width_px + c->side - 1) / c->side;
    c->n_slots = (int32_t)s.slots;
    c->table_mask = (uint32_t)s.table - 1;
    memset(c->table, -1, s.table * sizeof *c->table);
    memset(c->done, 0, s.done_words * sizeof *c->done);
    memset(c->closed, 0, s.done_words * sizeof *c->closed);
    for (int32_t i = 0; i < c->n_slots; i++) {
        c->slots[i].frame = -1;
        c->free_slots[c->n_free++] = c->n_slots - 1 - i;
    }
    for (int32_t i = 0; i < FLY_COVER_FRAMES; i++) {
        c->frames[i].frame = -1;
        c->frames[i].bits = bits + (size_t)i * s.words;
    }
    c->lowest = -1;
    c->pinned_frame = -1;
    *out = c;
    return FLY_OK;
}

/* ---- geometry ---------------------------------------------------------------------------------- */

static int32_t first_chip(int32_t from, int32_t side, int32_t pitch)
{
    /* the lowest r with r * pitch + side > from */
    return from < side ? 0 : (from - side) / pitch + 1;
}

static int32_t end_chip(int32_t to, int32_t pitch, int32_t count)
{
    /* one past the highest r with r * pitch < to */
    int32_t end = to <= 0 ? 0 : (to - 1) / pitch + 1;

    return end < count ? end : count;
}

struct fly_cover_range fly_cover_touched(const struct fly_cover_config *config, struct fly_cover_rect rect)
{
    return (struct fly_cover_range){
        .r0 = first_chip(rect.y0, config->side_px, config->pitch_px),
        .r1 = end_chip(rect.y0 + rect.h, config->pitch_px, config->rows),
        .c0 = first_chip(rect.x0, config->side_px, config->pitch_px),
        .c1 = end_chip(rect.x0 + rect.w, config->pitch_px, config->cols),
    };
}

struct fly_cover_rect fly_cover_chip(const struct fly_cover *cover, const struct fly_cover_frame *record,
                                     int32_t chip)
{
    const struct fly_cover_config *g = &cover->config;

    return (struct fly_cover_rect){chip / g->cols * g->pitch_px - record->dy_px,
                                   chip % g->cols * g->pitch_px - record->dx_px, g->side_px, g->side_px};
}

static struct fly_cover_rect clip(const struct fly_cover *c, struct fly_cover_rect r)
{
    int32_t y1 = r.y0 + r.h, x1 = r.x0 + r.w;

    r.y0 = r.y0 < 0 ? 0 : r.y0;
    r.x0 = r.x0 < 0 ? 0 : r.x0;
    y1 = y1 > c->config.height_px ? c->config.height_px : y1;
    x1 = x1 > c->config.width_px ? c->config.width_px : x1;
    r.h = y1 > r.y0 ? y1 - r.y0 : 0;
    r.w = x1 > r.x0 ? x1 - r.x0 : 0;
    return r;
}

static int32_t block_pixels(const struct fly_cover *c, int32_t block)
{
    int32_t y = block / c->nbx * c->side, x = block % c->nbx * c->side;
    int32_t h = c->config.height_px - y < c->side ? c->config.height_px - y : c->side;
    int32_t w = c->config.width_px - x < c->side ? c->config.width_px - x : c->side;

    return h * w;
}

/* ---- the table of blocks ----------------------------------------------------------------------- */

static uint32_t place(const struct fly_cover *c, int64_t frame, int32_t block)
{
    return (uint32_t)(fly_mix64((uint64_t)frame * 0x9E3779B97F4A7C15u + (uint64_t)block) >> 32) & c->table_mask;
}

static int32_t find_block(const struct fly_cover *c, int64_t frame, int32_t block)
{
    for (uint32_t at = place(c, frame, block);; at = (at + 1) & c->table_mask) {
        int32_t slot = c->table[at];

        if (slot < 0 || (c->slots[slot].frame == frame && c->slots[slot].block == block))
            return slot;
    }
}

int32_t fly_cover_find(const struct fly_cover *cover, int64_t frame, int32_t by, int32_t bx)
{
    return find_block(cover, frame, by * cover->nbx + bx);
}

static void table_put(struct fly_cover *c, int32_t slot)
{
    uint32_t at = place(c, c->slots[slot].frame, c->slots[slot].block);

    while (c->table[at] >= 0)
        at = (at + 1) & c->table_mask;
    c->table[at] = slot;
}

/* Linear probing without tombstones: what stood behind moves up where it may. */
static void table_drop(struct fly_cover *c, int32_t slot)
{
    uint32_t hole = place(c, c->slots[slot].frame, c->slots[slot].block), at;

    while (c->table[hole] != slot)
        hole = (hole + 1) & c->table_mask;
    for (at = (hole + 1) & c->table_mask; c->table[at] >= 0; at = (at + 1) & c->table_mask) {
        int32_t other = c->table[at];
        uint32_t home = place(c, c->slots[other].frame, c->slots[other].block);

        if (((at - home) & c->table_mask) >= ((at - hole) & c->table_mask)) {
            c->table[hole] = other;
            hole = at;
        }
    }
    c->table[hole] = -1;
}

/* ---- frames ------------------------------------------------------------------------------------ */

static int is_done(const struct fly_cover *c, int64_t frame)
{
    return (int)(c->done[frame >> 6] >> (frame & 63) & 1);
}

static struct fly_cover_frame *find_frame(struct fly_cover *c, int64_t frame)
{
    if (c->frames[c->last_frame].frame == frame)
        return &c->frames[c->last_frame];
    for (int32_t i = 0; i < FLY_COVER_FRAMES; i++)
        if (c->frames[i].frame == frame) {
            c->last_frame = i;
            return &c->frames[i];
        }
    return NULL;
}

/* Every chip that a block's pixels fall into took the frame. record NULL: all chips did. *any: there
 * is such a chip. */
static int chips_took(const struct fly_cover *c, const struct fly_cover_frame *record, int32_t block, int *any)
{
    struct fly_cover_rect rect = {block / c->nbx * c->side + (record ? record->dy_px : 0),
                                  block % c->nbx * c->side + (record ? record->dx_px : 0), c->side, c->side};
    struct fly_cover_range touched = fly_cover_touched(&c->config, rect);

    *any = touched.r0 < touched.r1 && touched.c0 < touched.c1;
    for (int32_t r = touched.r0; record && r < touched.r1; r++)
        for (int32_t col = touched.c0; col < touched.c1; col++)
            if (!fly_cover_has(record, r * c->config.cols + col))
                return 0;
    return 1;
}

/* 1: a pixel is there of the part of a rectangle of the frame that lies in a block. */
static int any_there(const struct fly_cover *c, int32_t slot, struct fly_cover_rect rect)
{
    int32_t side = c->side, by = c->slots[slot].block / c->nbx * side, bx = c->slots[slot].block % c->nbx * side;
    int32_t y0 = rect.y0 > by ? rect.y0 - by : 0, y1 = rect.y0 + rect.h < by + side ? rect.y0 + rect.h - by : side;
    int32_t x0 = rect.x0 > bx ? rect.x0 - bx : 0, x1 = rect.x0 + rect.w < bx + side ? rect.x0 + rect.w - bx : side;
    const uint8_t *marks = fly_cover_marks(c, slot);

    for (int32_t y = y0; y < y1; y++)
        for (int32_t x = x0; x < x1; x++)
            if (marks[y * side + x])
                return 1;
    return 0;
}

/* Every chip that has pixels in the block took the frame. */
static int is_taken(const struct fly_cover *c, const struct fly_cover_frame *record, int32_t slot)
{
    const struct fly_cover_slot *s = &c->slots[slot];
    struct fly_cover_rect rect = {s->block / c->nbx * c->side + record->dy_px,
                                  s->block % c->nbx * c->side + record->dx_px, c->side, c->side};
    struct fly_cover_range touched = fly_cover_touched(&c->config, rect);

    for (int32_t r = touched.r0; s->measured && r < touched.r1; r++)
        for (int32_t col = touched.c0; col < touched.c1; col++) {
            int32_t chip = r * c->config.cols + col;

            if (!fly_cover_has(record, chip) && any_there(c, slot, fly_cover_chip(c, record, chip)))
                return 0;
        }
    return 1;
}

static int may_go(struct fly_cover *c, int32_t slot)
{
    const struct fly_cover_slot *s = &c->slots[slot];
    int32_t by = s->block / c->nbx, bx = s->block % c->nbx;

    if (s->frame < 0)
        return 0;
    if (s->frame == c->pinned_frame && by >= c->pinned.by0 && by <= c->pinned.by1 && bx >= c->pinned.bx0 &&
        bx <= c->pinned.bx1)
        return 0;
    return is_done(c, s->frame) || is_taken(c, &c->frames[s->record], slot);
}

static void link_slot(struct fly_cover *c, struct fly_cover_frame *record, int32_t slot)
{
    struct fly_cover_slot *s = &c->slots[slot];

    s->record = (int32_t)(record - c->frames);
    s->before = -1;
    s->after = record->first;
    if (record->first >= 0)
        c->slots[record->first].before = slot;
    record->first = slot;
    record->held++;
}

static void unlink_slot(struct fly_cover *c, int32_t slot)
{
    const struct fly_cover_slot *s = &c->slots[slot];
    struct fly_cover_frame *record = &c->frames[s->record];
    int any;

    if (s->before >= 0)
        c->slots[s->before].after = s->after;
    else
        record->first = s->after;
    if (s->after >= 0)
        c->slots[s->after].before = s->before;
    record->held--;
    /* Else the chips that took it tell a shift that it is gone. */
    record->parted |= s->measured > 0 && !(chips_took(c, record, s->block, &any) && any);
}

static void release(struct fly_cover *c, int32_t slot)
{
    if (!is_done(c, c->slots[slot].frame))
        unlink_slot(c, slot);
    table_drop(c, slot);
    c->slots[slot].frame = -1;
    c->free_slots[c->n_free++] = slot;
    if (c->config.on_evict)
        c->config.on_evict(c->config.ctx, slot);
}

static void close_frame(struct fly_cover *c, struct fly_cover_frame *record)
{
    uint64_t bit = UINT64_C(1) << (record->frame & 63);

    if (c->config.on_close)
        c->config.on_close(c->config.ctx, record);
    while (record->first >= 0)
        release(c, record->first);
    c->done[record->frame >> 6] |= bit;
    c->closed[record->frame >> 6] |= bit;
    record->frame = -1;
}

int fly_cover_close_oldest(struct fly_cover *cover, int64_t but)
{
    struct fly_cover_frame *oldest = NULL;
    int32_t holding = 0;

    for (int32_t i = 0; i < FLY_COVER_FRAMES; i++) {
        struct fly_cover_frame *f = &cover->frames[i];

        if (f->frame < 0 || f->frame == but || f->held == 0)
            continue;
        holding++;
        if (!oldest || f->used < oldest->used)
            oldest = f;
    }
    if (holding < cover->config.frames_held)
        return 0;
    close_frame(cover, oldest);
    return 1;
}

static struct fly_cover_frame *make_frame(struct fly_cover *c, int64_t frame)
{
    struct fly_cover_frame *record = find_frame(c, -1);

    if (!record) {
        record = &c->frames[0];
        for (int32_t i = 1; i < FLY_COVER_FRAMES; i++)
            if (c->frames[i].used < record->used)
                record = &c->frames[i];
        close_frame(c, record);
    }
    record->frame = frame;
    record->dy_px = record->dx_px = 0;
    record->taken = record->held = record->parted = 0;
    record->first = -1;
    record->used = ++c->calls;
    memset(record->bits, 0, ((size_t)chips_of(&c->config) + 63) / 64 * sizeof *record->bits);
    return record;
}

int fly_cover_evict(struct fly_cover *cover)
{
    /* The hand goes round: slots are filled in order, so what it meets first is oldest. */
    for (int32_t i = 0; i < cover->n_slots; i++) {
        int32_t slot = cover->hand;

        cover->hand = cover->hand + 1 < cover->n_slots ? cover->hand + 1 : 0;
        if (may_go(cover, slot)) {
            release(cover, slot);
            return 1;
        }
    }
    return 0;
}

/* ---- a rectangle comes ------------------------------------------------------------------------- */

static int dwell_fits(const struct fly_cover_slot *s, uint64_t dwell_ns)
{
    for (int32_t i = 0; i < s->n_dwells; i++)
        if (s->dwell_ns[i] == dwell_ns)
            return 1;
    return s->n_dwells < FLY_COVER_DWELLS;
}

static int32_t make_slot(struct fly_cover *c, int64_t frame, int32_t block)
{
    int32_t slot;

    if (!c->n_free && !fly_cover_evict(c) && !fly_cover_close_oldest(c, frame))
        return -1;
    slot = c->free_slots[--c->n_free];
    c->slots[slot] = (struct fly_cover_slot){.frame = frame, .block = block};
    memset(fly_cover_marks(c, slot), 0, (size_t)c->side * (size_t)c->side);
    table_put(c, slot);
    return slot;
}

static int begin_blocks(struct fly_cover *c, struct fly_cover_frame *record, int64_t frame,
                        struct fly_cover_rect rect, uint64_t dwell_ns)
{
    int32_t by1 = (rect.y0 + rect.h - 1) / c->side, bx1 = (rect.x0 + rect.w - 1) / c->side, n = 0;

    for (int32_t by = rect.y0 / c->side; by <= by1; by++)
        for (int32_t bx = rect.x0 / c->side; bx <= bx1; bx++) {
            int32_t block = by * c->nbx + bx, slot = find_block(c, frame, block);
            int any;

            if (slot >= 0 && !dwell_fits(&c->slots[slot], dwell_ns))
                return fly_fail(FLY_ENOMEM, "frame %lld has more than %d dwell times in one block of %d px",
                                (long long)frame, FLY_COVER_DWELLS, c->side);
            if (slot < 0 && !(chips_took(c, record, block, &any) && any)) {
                slot = make_slot(c, frame, block);
                if (slot >= 0 && record)
                    link_slot(c, record, slot);
                if (slot < 0)
                    return fly_fail(FLY_ENOMEM,
                                    "frame %lld: %d blocks of frames in flight are unfinished; "
                                    "engine.frames_held %d allows no more",
                                    (long long)frame, c->n_slots - c->n_free, c->config.frames_held);
            }
            c->touched[n++] = slot;
        }
    return FLY_OK;
}

int fly_cover_begin(struct fly_cover *cover, int64_t frame, struct fly_cover_rect rect, uint64_t dwell_ns,
                    struct fly_cover_frame **record)
{
    if (frame < 0 || frame >= cover->config.frames_max)
        return fly_fail(FLY_ERANGE, "frame %lld, allowed are 0 .. %lld", (long long)frame,
                        (long long)cover->config.frames_max - 1);
    if (dwell_ns < 1 || dwell_ns > UINT64_C(1) << 40)
        return fly_fail(FLY_ERANGE, "a dwell of %llu ns, allowed are 1 .. 2^40", (unsigned long long)dwell_ns);
    if (cover->closed[frame >> 6] >> (frame & 63) & 1)
        return fly_fail(FLY_ENOMEM,
                        "frame %lld made room for others when nothing had come of it for long, and takes no more: "
                        "engine.frames_held %d, unfinished frames remembered %d",
                        (long long)frame, cover->config.frames_held, FLY_COVER_FRAMES);
    *record = find_frame(cover, frame);
    if (!*record && !is_done(cover, frame))
        *record = make_frame(cover, frame);
    if (*record)
        (*record)->used = ++cover->calls;
    int32_t side = cover->side;

    cover->pinned_frame = frame;
    cover->pinned.by0 = rect.y0 / side;
    cover->pinned.by1 = (rect.y0 + rect.h - 1) / side;
    cover->pinned.bx0 = rect.x0 / side;
    cover->pinned.bx1 = (rect.x0 + rect.w - 1) / side;
    int rc = begin_blocks(cover, *record, frame, rect, dwell_ns);

    cover->pinned_frame = -1;
    if (rc == FLY_OK && (cover->lowest < 0 || frame < cover->lowest))
        cover->lowest = frame;
    return rc;
}

uint8_t fly_cover_dwell(struct fly_cover *cover, int32_t slot, uint64_t dwell_ns)
{
    struct fly_cover_slot *s = &cover->slots[slot];

    for (int32_t i = 0; i < s->n_dwells; i++)
        if (s->dwell_ns[i] == dwell_ns)
            return (uint8_t)(i + 1);
    FLY_ASSERT(s->n_dwells < FLY_COVER_DWELLS);
    s->dwell_ns[s->n_dwells++] = dwell_ns;
    return (uint8_t)s->n_dwells;
}

/* ---- chips ------------------------------------------------------------------------------------- */

int fly_cover_whole(const struct fly_cover *cover, const struct fly_cover_frame *record, int32_t chip)
{
    struct fly_cover_rect rect = fly_cover_chip(cover, record, chip), in = clip(cover, rect);

    return in.h == rect.h && in.w == rect.w;
}

int fly_cover_ready(const struct fly_cover *cover, const struct fly_cover_frame *record, int32_t chip)
{
    const struct fly_cover *c = cover;
    struct fly_cover_rect rect = clip(c, fly_cover_chip(c, record, chip));
    int32_t side = c->side;

    if (fly_cover_has(record, chip) || !rect.h || !rect.w)
        return 0;
    /* From the last block: in a raster scan it is the one that misses something. */
    for (int32_t by = (rect.y0 + rect.h - 1) / side; by >= rect.y0 / side; by--)
        for (int32_t bx = (rect.x0 + rect.w - 1) / side; bx >= rect.x0 / side; bx--) {
            int32_t slot = find_block(c, record->frame, by * c->nbx + bx);

            if (slot < 0)
                return 0;
            if (c->slots[slot].measured == block_pixels(c, by * c->nbx + bx))
                continue;
            const uint8_t *marks = fly_cover_marks(c, slot);
            int32_t y0 = rect.y0 > by * side ? rect.y0 - by * side : 0;
            int32_t y1 = rect.y0 + rect.h < (by + 1) * side ? rect.y0 + rect.h - by * side : side;
            int32_t x0 = rect.x0 > bx * side ? rect.x0 - bx * side : 0;
            int32_t x1 = rect.x0 + rect.w < (bx + 1) * side ? rect.x0 + rect.w - bx * side : side;

            for (int32_t y = y1 - 1; y >= y0; y--)
                if (memchr(marks + (size_t)y * (size_t)side + x0, 0, (size_t)(x1 - x0)))
                    return 0;
        }
    return 1;
}

int fly_cover_take(struct fly_cover *cover, struct fly_cover_frame *record, int32_t chip)
{
    FLY_ASSERT(!fly_cover_has(record, chip));
    record->bits[chip >> 6] |= UINT64_C(1) << (chip & 63);
    record->taken++;
    if (record->taken < chips_of(&cover->config) || record->dy_px || record->dx_px)
        return 0;
    cover->done[record->frame >> 6] |= UINT64_C(1) << (record->frame & 63);
    record->frame = -1;
    return 1;
}

static int not_held(int64_t frame)
{
    return fly_fail(FLY_ERANGE, "frame %lld is not held any more: shift it sooner, or raise engine.frames_held",
                    (long long)frame);
}

static int holds_any(const struct fly_cover *c, int64_t frame)
{
    for (int32_t i = 0; i < c->n_slots; i++)
        if (c->slots[i].frame == frame)
            return 1;
    return 0;
}

int fly_cover_shift(struct fly_cover *cover, int64_t frame, int32_t dy_px, int32_t dx_px,
                    struct fly_cover_frame **record)
{
    struct fly_cover *c = cover;
    struct fly_cover_frame *r;

    if (frame < 0 || frame >= c->config.frames_max)
        return fly_fail(FLY_ERANGE, "frame %lld, allowed are 0 .. %lld", (long long)frame,
                        (long long)c->config.frames_max - 1);
    if (dy_px <= -c->config.height_px || dy_px >= c->config.height_px || dx_px <= -c->config.width_px ||
        dx_px >= c->config.width_px)
        return fly_fail(FLY_ERANGE, "a shift of %d, %d px is larger than the scan of %d x %d", dy_px, dx_px,
                        c->config.height_px, c->config.width_px);
    r = find_frame(c, frame);
    if ((!r && is_done(c, frame) && !holds_any(c, frame)) || (r && r->parted))
        return not_held(frame);
    if (!r) {
        r = make_frame(c, frame);
        if (is_done(c, frame)) {
            for (int32_t k = 0; k < chips_of(&c->config); k++)
                r->bits[k >> 6] |= UINT64_C(1) << (k & 63);
            r->taken = (int32_t)chips_of(&c->config);
            for (int32_t i = 0; i < c->n_slots; i++)
                if (c->slots[i].frame == frame)
                    link_slot(c, r, i);
        }
    }
    for (int32_t k = 0; r->taken && k < chips_of(&c->config); k++) {
        struct fly_cover_rect rect = fly_cover_chip(c, r, k);
        int32_t by1 = (rect.y0 + rect.h - 1) / c->side, bx1 = (rect.x0 + rect.w - 1) / c->side;

        if (!fly_cover_has(r, k))
            continue;
        for (int32_t by = rect.y0 < 0 ? 0 : rect.y0 / c->side; by <= by1 && by < c->nby; by++)
            for (int32_t bx = rect.x0 < 0 ? 0 : rect.x0 / c->side; bx <= bx1 && bx < c->nbx; bx++)
                if (find_block(c, frame, by * c->nbx + bx) < 0) {
                    if (is_done(c, frame))
                        r->frame = -1;
                    return not_held(frame);
                }
    }
    c->done[frame >> 6] &= ~(UINT64_C(1) << (frame & 63));
    *record = r;
    return FLY_OK;
}

/* ---- walking ----------------------------------------------------------------------------------- */

int fly_cover_next(const struct fly_cover *cover, int64_t frame, struct fly_cover_rect rect,
                   struct fly_cover_walk *w, struct fly_cover_run *run)
{
    const struct fly_cover *c = cover;
    int32_t side = c->side;

    if (!w->started) {
        w->started = 1;
        w->rect = clip(c, rect);
        if (!w->rect.h || !w->rect.w)
            return 0;
        w->by = w->rect.y0 / side;
        w->bx = w->rect.x0 / side;
        w->y = w->rect.y0;
        w->slot = find_block(c, frame, w->by * c->nbx + w->bx);
    }
    if (!w->rect.h || !w->rect.w)
        return 0;
    for (;;) {
        int32_t y1 = w->rect.y0 + w->rect.h, x1 = w->rect.x0 + w->rect.w;
        int32_t block_end = (w->by + 1) * side < y1 ? (w->by + 1) * side : y1;

        if (w->slot >= 0 && w->y < block_end) {
            int32_t x = w->rect.x0 > w->bx * side ? w->rect.x0 : w->bx * side;
            int32_t end = (w->bx + 1) * side < x1 ? (w->bx + 1) * side : x1;

            *run = (struct fly_cover_run){.slot = w->slot,
                                          .at = (w->y - w->by * side) * side + x - w->bx * side,
                                          .y = w->y,
                                          .x = x,
                                          .len = end - x};
            w->y++;
            return 1;
        }
        if ((w->bx + 1) * side < x1) {
            w->bx++;
        } else if ((w->by + 1) * side < y1) {
            w->by++;
            w->bx = w->rect.x0 / side;
        } else {
            return 0;
        }
        w->y = w->rect.y0 > w->by * side ? w->rect.y0 : w->by * side;
        w->slot = find_block(c, frame, w->by * c->nbx + w->bx);
    }
}
