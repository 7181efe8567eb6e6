#include "engine/chip/staging.h"

#include <string.h>

#include "engine/base/rng.h"

_Static_assert(sizeof(struct fly_content) <= FLY_CONTENT_HEAD, "the pixels lie behind the head");

static const uint64_t no_key = UINT64_MAX;
static const uint32_t frame_key = UINT32_MAX;

static void *reserve(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    return arena ? fly_arena_take(arena, count, size) : NULL;
}

void fly_staging_reserve(struct fly_staging *s, const struct fly_assembly_config *config,
                         struct fly_arena *arena, size_t *need)
{
    const struct fly_grid *grid = &config->grid;

    *s = (struct fly_staging){.height_px = grid->height_px, .width_px = grid->width_px};
    s->down = (grid->height_px + FLY_BLOCK_H - 1) / FLY_BLOCK_H;
    s->across = (grid->width_px + FLY_BLOCK_W - 1) / FLY_BLOCK_W;
    s->n_blocks = s->down * s->across;
    s->px_size = fly_dtype_size(config->dtype);
    s->stride = FLY_CONTENT_HEAD + (size_t)FLY_BLOCK_W * FLY_BLOCK_H * s->px_size;
    /* At most 4096 * 2^18 contents: below 2^31 with what is added. */
    s->contents_cap = config->frames_held * s->n_blocks;
    s->blocks_cap = s->contents_cap + FLY_ASSEMBLY_BLOCKS_KEPT;
    s->frames_cap = config->frames_held + FLY_ASSEMBLY_FRAMES_PARTIAL;
    s->full_words = ((size_t)s->n_blocks + 63) / 64;
    int64_t runs = (int64_t)FLY_RUNS_PER_BLOCK * s->contents_cap;

    s->runs_cap = runs < INT32_MAX ? (int32_t)runs : INT32_MAX;
    uint64_t slots = 64;

    while (slots < 2 * ((uint64_t)s->blocks_cap + (uint64_t)s->frames_cap))
        slots *= 2;
    s->table_mask = slots - 1;
    s->table = reserve(arena, need, (size_t)slots, sizeof *s->table);
    s->frames = reserve(arena, need, (size_t)s->frames_cap, sizeof *s->frames);
    s->full = reserve(arena, need, (size_t)s->frames_cap * s->full_words, sizeof *s->full);
    s->live = reserve(arena, need, (size_t)s->frames_cap, sizeof *s->live);
    s->blocks = reserve(arena, need, (size_t)s->blocks_cap, sizeof *s->blocks);
    s->contents = reserve(arena, need, (size_t)s->contents_cap, s->stride);
    s->runs = reserve(arena, need, (size_t)s->runs_cap, sizeof *s->runs);
    s->settled = reserve(arena, need, (size_t)(config->frames_max + 63) / 64, sizeof *s->settled);
}

void fly_staging_clear(struct fly_staging *s, int64_t frames_max)
{
    for (uint64_t i = 0; i <= s->table_mask; i++)
        s->table[i].key = no_key;
    for (int32_t i = 0; i < s->frames_cap; i++)
        s->frames[i].live_at = i + 1 < s->frames_cap ? i + 1 : FLY_NONE;
    for (int32_t i = 0; i < s->blocks_cap; i++)
        s->blocks[i].next = i + 1 < s->blocks_cap ? i + 1 : FLY_NONE;
    for (int32_t i = 0; i < s->contents_cap; i++)
        fly_staging_content(s, i)->runs = i + 1 < s->contents_cap ? i + 1 : FLY_NONE;
    for (int32_t i = 0; i < s->runs_cap; i++)
        s->runs[i].next = i + 1 < s->runs_cap ? i + 1 : FLY_NONE;
    s->n_live = s->free_frame = s->free_block = s->free_content = s->free_run = 0;
    s->blocks_left = s->blocks_cap;
    s->contents_left = s->contents_cap;
    s->runs_left = s->runs_cap;
    memset(s->settled, 0, (size_t)(frames_max + 63) / 64 * sizeof *s->settled);
}

/* ---- the table: open addressing, at most half full ----------------------------------------------- */

static uint64_t key_of(int64_t number, uint32_t at)
{
    return (uint64_t)number << 32 | at;
}

static uint64_t slot_of(const struct fly_staging *s, uint64_t key)
{
    uint64_t i = fly_mix64(key) & s->table_mask;

    while (s->table[i].key != key && s->table[i].key != no_key)
        i = (i + 1) & s->table_mask;
    return i;
}

static int32_t table_get(const struct fly_staging *s, uint64_t key)
{
    const struct fly_slot *slot = &s->table[slot_of(s, key)];

    return slot->key == key ? slot->value : FLY_NONE;
}

static void table_put(struct fly_staging *s, uint64_t key, int32_t value)
{
    struct fly_slot *slot = &s->table[slot_of(s, key)];

    FLY_ASSERT(slot->key == no_key);
    *slot = (struct fly_slot){key, value};
}

/* Later entries of the same run move up where their own chain passes the hole (Knuth 6.4, algorithm R),
 * so that no look-up ever meets a gravestone. */
static void table_remove(struct fly_staging *s, uint64_t key)
{
    uint64_t hole = slot_of(s, key), mask = s->table_mask;

    FLY_ASSERT(s->table[hole].key == key);
    for (uint64_t i = (hole + 1) & mask; s->table[i].key != no_key; i = (i + 1) & mask) {
        uint64_t home = fly_mix64(s->table[i].key) & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            s->table[hole] = s->table[i];
            hole = i;
        }
    }
    s->table[hole].key = no_key;
}

/* ---- frames and blocks --------------------------------------------------------------------------- */

int fly_staging_settled(const struct fly_staging *s, int64_t number)
{
    return s->settled[number / 64] >> number % 64 & 1;
}

int32_t fly_staging_frame(const struct fly_staging *s, int64_t number)
{
    return table_get(s, key_of(number, frame_key));
}

static uint64_t *full_word(const struct fly_staging *s, int32_t frame, int32_t at)
{
    return &s->full[(size_t)frame * s->full_words + (size_t)at / 64];
}

int32_t fly_staging_block(const struct fly_staging *s, int32_t frame, int32_t at)
{
    if (frame < 0)
        return FLY_NONE;
    const struct fly_frame *f = &s->frames[frame];

    if (f->full && *full_word(s, frame, at) >> at % 64 & 1)
        return FLY_FULL;
    return table_get(s, key_of(f->number, (uint32_t)at));
}

int32_t fly_staging_add_frame(struct fly_staging *s, int64_t number)
{
    int32_t place = s->free_frame;

    FLY_ASSERT(place >= 0 && s->n_live < s->frames_cap);
    struct fly_frame *f = &s->frames[place];

    s->free_frame = f->live_at;
    *f = (struct fly_frame){.number = number, .first = FLY_NONE, .live_at = s->n_live};
    s->live[s->n_live++] = place;
    memset(full_word(s, place, 0), 0, s->full_words * sizeof *s->full);
    table_put(s, key_of(number, frame_key), place);
    return place;
}

static void settle(struct fly_staging *s, int32_t place)
{
    struct fly_frame *f = &s->frames[place];
    int32_t last = s->live[--s->n_live];

    FLY_ASSERT(f->first == FLY_NONE && f->contents == 0);
    s->settled[f->number / 64] |= 1ull << f->number % 64;
    table_remove(s, key_of(f->number, frame_key));
    s->live[f->live_at] = last;
    s->frames[last].live_at = f->live_at;
    f->live_at = s->free_frame;
    s->free_frame = place;
}

int32_t fly_staging_add_block(struct fly_staging *s, int32_t frame, int32_t at)
{
    int32_t place = s->free_block;
    struct fly_frame *f = &s->frames[frame];

    FLY_ASSERT(place >= 0);
    struct fly_block *b = &s->blocks[place];

    s->free_block = b->next;
    s->blocks_left--;
    *b = (struct fly_block){.at = at, .frame = frame, .next = f->first, .prev = FLY_NONE, .content = FLY_NONE};
    if (f->first >= 0)
        s->blocks[f->first].prev = place;
    f->first = place;
    table_put(s, key_of(f->number, (uint32_t)at), place);
    return place;
}

void fly_staging_add_content(struct fly_staging *s, int32_t block)
{
    int32_t place = s->free_content;

    FLY_ASSERT(place >= 0 && s->blocks[block].content == FLY_NONE);
    struct fly_content *c = fly_staging_content(s, place);

    s->free_content = c->runs;
    s->contents_left--;
    *c = (struct fly_content){.runs = FLY_NONE};
    s->blocks[block].content = place;
    s->frames[s->blocks[block].frame].contents++;
}

int fly_staging_whole(const struct fly_staging *s, int32_t block)
{
    const struct fly_block *b = &s->blocks[block];
    int32_t y0 = b->at / s->across * FLY_BLOCK_H;
    uint64_t row = fly_block_bits(b->at % s->across, 0, s->width_px);

    for (int32_t y = 0; y < FLY_BLOCK_H && y0 + y < s->height_px; y++)
        if (b->there[y] != row)
            return 0;
    return 1;
}

void fly_staging_drop_content(struct fly_staging *s, int32_t block)
{
    struct fly_block *b = &s->blocks[block];
    struct fly_frame *f = &s->frames[b->frame];
    struct fly_content *c = fly_staging_content(s, b->content);

    while (c->runs >= 0) {
        struct fly_run *run = &s->runs[c->runs];
        int32_t next = run->next;

        run->next = s->free_run;
        s->free_run = c->runs;
        s->runs_left++;
        c->runs = next;
    }
    c->runs = s->free_content;
    s->free_content = b->content;
    s->contents_left++;
    b->content = FLY_NONE;
    f->contents--;
    f->lost = 1;
    if (!fly_staging_whole(s, block))
        return;
    *full_word(s, b->frame, b->at) |= 1ull << b->at % 64;
    f->full++;
    table_remove(s, key_of(f->number, (uint32_t)b->at));
    if (b->prev >= 0)
        s->blocks[b->prev].next = b->next;
    else
        f->first = b->next;
    if (b->next >= 0)
        s->blocks[b->next].prev = b->prev;
    b->next = s->free_block;
    s->free_block = block;
    s->blocks_left++;
    if (f->full == s->n_blocks)
        settle(s, b->frame);
}

/* ---- dwell --------------------------------------------------------------------------------------- */

int fly_staging_needs_run(const struct fly_staging *s, const struct fly_content *c, int32_t row,
                          uint64_t dwell_ns)
{
    if (!c->held[row] || c->dwell_ns[row] == dwell_ns)
        return 0;
    for (int32_t i = c->runs; i >= 0; i = s->runs[i].next)
        if (s->runs[i].row == row && s->runs[i].dwell_ns == dwell_ns)
            return 0;
    return 1;
}

void fly_staging_set_dwell(struct fly_staging *s, struct fly_content *c, int32_t row, uint64_t bits,
                           uint64_t dwell_ns)
{
    if (!c->held[row])
        c->dwell_ns[row] = dwell_ns;
    if (c->dwell_ns[row] == dwell_ns)
        return;
    for (int32_t i = c->runs; i >= 0; i = s->runs[i].next)
        if (s->runs[i].row == row && s->runs[i].dwell_ns == dwell_ns) {
            s->runs[i].bits |= bits;
            return;
        }
    int32_t place = s->free_run;

    FLY_ASSERT(place >= 0);
    s->free_run = s->runs[place].next;
    s->runs_left--;
    s->runs[place] = (struct fly_run){bits, dwell_ns, row, c->runs};
    c->runs = place;
    c->runs_len++;
}

/* ---- what has come ------------------------------------------------------------------------------- */

int fly_staging_has(const struct fly_staging *s, int32_t frame, struct fly_rect rect)
{
    int32_t x1 = rect.x0 + rect.w, y1 = rect.y0 + rect.h;

    /* From below: in the order of most scans the last line is the one that is missing. */
    for (int32_t row = (y1 - 1) / FLY_BLOCK_H; row >= rect.y0 / FLY_BLOCK_H; row--)
        for (int32_t col = rect.x0 / FLY_BLOCK_W; col <= (x1 - 1) / FLY_BLOCK_W; col++) {
            int32_t b = fly_staging_block(s, frame, row * s->across + col), top = row * FLY_BLOCK_H;
            uint64_t want = fly_block_bits(col, rect.x0, x1);

            if (b == FLY_FULL)
                continue;
            if (b == FLY_NONE)
                return 0;
            int32_t from = rect.y0 > top ? rect.y0 - top : 0;
            int32_t to = y1 < top + FLY_BLOCK_H ? y1 - top : FLY_BLOCK_H;

            for (int32_t y = to - 1; y >= from; y--)
                if (want & ~s->blocks[b].there[y])
                    return 0;
        }
    return 1;
}

int fly_staging_columns(const struct fly_staging *s, int32_t frame, int32_t y0, int32_t y1, int32_t b0,
                        int32_t b1, uint64_t *columns)
{
    uint64_t any = 1;

    for (int32_t col = b0; col < b1; col++)
        columns[col] = ~0ull;
    for (int32_t row = (y1 - 1) / FLY_BLOCK_H; row >= y0 / FLY_BLOCK_H && any; row--) {
        int32_t top = row * FLY_BLOCK_H;
        int32_t from = y0 > top ? y0 - top : 0, to = y1 < top + FLY_BLOCK_H ? y1 - top : FLY_BLOCK_H;

        any = 0;
        for (int32_t col = b0; col < b1; col++) {
            int32_t b = fly_staging_block(s, frame, row * s->across + col);
            uint64_t all = columns[col];

            if (b == FLY_NONE)
                all = 0;
            else if (b >= 0)
                for (int32_t y = to - 1; y >= from && all; y--)
                    all &= s->blocks[b].there[y];
            columns[col] = all;
            any |= all;
        }
    }
    return any != 0;
}
