#include "engine/steer/ledger.h"

#include <math.h>
#include <string.h>

enum { SIDE = FLY_LEDGER_BLOCK_PX, BLOCK = SIDE * SIDE, UNKNOWN = 255 };

/* A block of a frame. Its marks: 0 not exposed, 1 .. of its own dwells, UNKNOWN. */
struct slot {
    int64_t frame; /* -1: free */
    int32_t n_dwells;
    int32_t late;  /* 1: the frame was held here before */
    uint64_t dwell_ns[FLY_LEDGER_DWELLS];
};

struct shift {
    int16_t dy_px, dx_px;
};

struct fly_ledger {
    struct fly_ledger_config config;
    struct fly_cover_config geometry;
    int32_t n_chips, nbx, n_blocks;
    uint64_t *ns;            /* (H, W) */
    struct slot *slots;      /* (n_blocks, frames_held) */
    uint8_t *marks;          /* (n_blocks, frames_held, BLOCK) */
    int32_t *recent;         /* (n_blocks) the slot of the block that was used last */
    int64_t *gone;           /* (n_blocks) highest frame that gave up its slot, -1 none */
    struct shift *shifts;    /* (frames_max) */
    uint64_t *dirty;         /* (K bits) */
    float *mean_us, *max_us; /* (K) as last looked at */
    int64_t *unknown, *last_ns, *last_frame; /* (K) */
    uint64_t survey_ns;      /* of frame 0 */
    int64_t survey_px;
    struct fly_ledger_counts counts;
};

/* ---- opening ------------------------------------------------------------------------------------- */

/* With a NULL arena it only counts, so that what is counted is what is taken. NULL, too, when the arena is full. */
static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    return arena ? fly_arena_take(arena, count, size) : NULL;
}

static size_t lay_out(struct fly_ledger *l, struct fly_arena *arena)
{
    const struct fly_ledger_config *c = &l->config;
    size_t k = (size_t)l->n_chips, px = (size_t)c->height_px * (size_t)c->width_px;
    size_t blocks = (size_t)l->n_blocks, slots = blocks * (size_t)c->frames_held, need = 0;

    l->ns = take(arena, &need, px, sizeof *l->ns);
    l->slots = take(arena, &need, slots, sizeof *l->slots);
    l->marks = take(arena, &need, slots, BLOCK);
    l->recent = take(arena, &need, blocks, sizeof *l->recent);
    l->gone = take(arena, &need, blocks, sizeof *l->gone);
    l->shifts = take(arena, &need, (size_t)c->frames_max, sizeof *l->shifts);
    l->dirty = take(arena, &need, (k + 63) / 64, sizeof *l->dirty);
    l->mean_us = take(arena, &need, k, sizeof *l->mean_us);
    l->max_us = take(arena, &need, k, sizeof *l->max_us);
    l->unknown = take(arena, &need, k, sizeof *l->unknown);
    l->last_ns = take(arena, &need, k, sizeof *l->last_ns);
    l->last_frame = take(arena, &need, k, sizeof *l->last_frame);
    return need;
}

static struct fly_ledger planned(const struct fly_ledger_config *config)
{
    struct fly_ledger l = {
        .config = *config,
        .geometry = {.height_px = config->height_px,
                     .width_px = config->width_px,
                     .side_px = config->side_px,
                     .pitch_px = config->pitch_px,
                     .rows = config->rows,
                     .cols = config->cols},
        .n_chips = config->rows * config->cols,
        .nbx = (config->width_px + SIDE - 1) / SIDE,
    };

    l.n_blocks = (config->height_px + SIDE - 1) / SIDE * l.nbx;
    return l;
}

size_t fly_ledger_need(const struct fly_ledger_config *config)
{
    struct fly_ledger l = planned(config);

    return fly_size_add(fly_arena_need(1, sizeof l), lay_out(&l, NULL));
}

int fly_ledger_open(struct fly_ledger **out, const struct fly_ledger_config *config, struct fly_arena *arena)
{
    struct fly_ledger *l;
    size_t k;

    if (config->frames_held < 1 || config->frames_held > 4096)
        return fly_fail(FLY_ERANGE, "engine.frames_held %d, allowed are 1 .. 4096", config->frames_held);
    if (config->frames_max < 1 || config->frames_max > 1 << 20)
        return fly_fail(FLY_ERANGE, "%lld frames, allowed are 1 .. %d", (long long)config->frames_max, 1 << 20);
    if (arena->cap - arena->used < fly_ledger_need(config))
        return fly_fail(FLY_ENOMEM, "dose ledger: the reserve is too small");
    l = fly_arena_take(arena, 1, sizeof *l);
    *l = planned(config);
    lay_out(l, arena);
    k = (size_t)l->n_chips;
    memset(l->ns, 0, (size_t)config->height_px * (size_t)config->width_px * sizeof *l->ns);
    for (size_t i = 0; i < (size_t)l->n_blocks * (size_t)config->frames_held; i++)
        l->slots[i] = (struct slot){.frame = -1}; /* its marks are wiped when it is taken */
    memset(l->recent, 0, (size_t)l->n_blocks * sizeof *l->recent);
    for (int32_t i = 0; i < l->n_blocks; i++)
        l->gone[i] = -1;
    memset(l->shifts, 0, (size_t)config->frames_max * sizeof *l->shifts);
    memset(l->dirty, 0, (k + 63) / 64 * sizeof *l->dirty);
    memset(l->mean_us, 0, k * sizeof *l->mean_us);
    memset(l->max_us, 0, k * sizeof *l->max_us);
    memset(l->unknown, 0, k * sizeof *l->unknown);
    memset(l->last_ns, 0, k * sizeof *l->last_ns);
    for (size_t i = 0; i < k; i++)
        l->last_frame[i] = -1;
    *out = l;
    return FLY_OK;
}

/* ---- the specimen -------------------------------------------------------------------------------- */

/* A run of pixels of a row. */
struct run {
    int32_t y, x, n;
};

static struct shift shift_of(const struct fly_ledger *l, int64_t frame)
{
    return frame < l->config.frames_max ? l->shifts[frame] : (struct shift){0, 0};
}

/* Where a shift puts a run of a frame; what is beyond the scan is cut off. */
static struct run moved(const struct fly_ledger *l, struct shift by, struct run run)
{
    int32_t y = run.y + by.dy_px, x = run.x + by.dx_px, end = x + run.n;

    if (x < 0)
        x = 0;
    if (end > l->config.width_px)
        end = l->config.width_px;
    return (struct run){y, x, y >= 0 && y < l->config.height_px && end > x ? end - x : 0};
}

/* The chips that a rectangle of a frame lies in, shifted by `by`. */
static struct fly_cover_range chips_under(const struct fly_ledger *l, struct shift by, struct fly_cover_rect rect)
{
    rect.y0 += by.dy_px;
    rect.x0 += by.dx_px;
    return fly_cover_touched(&l->geometry, rect);
}

static void mark_dirty(struct fly_ledger *l, struct fly_cover_range chips)
{
    for (int32_t r = chips.r0; r < chips.r1; r++)
        for (int32_t c = chips.c0; c < chips.c1; c++) {
            int32_t k = r * l->config.cols + c;

            l->dirty[k >> 6] |= UINT64_C(1) << (k & 63);
        }
}

static void tell_last(struct fly_ledger *l, struct fly_cover_range chips, int64_t frame, int64_t stamp)
{
    for (int32_t r = chips.r0; r < chips.r1; r++)
        for (int32_t c = chips.c0; c < chips.c1; c++) {
            int32_t k = r * l->config.cols + c;

            if (frame > l->last_frame[k])
                l->last_frame[k] = frame;
            if (stamp > l->last_ns[k])
                l->last_ns[k] = stamp;
        }
}

static void count_unknown(struct fly_ledger *l, struct run run, int sign)
{
    struct fly_cover_range chips = fly_cover_touched(&l->geometry, (struct fly_cover_rect){run.y, run.x, 1, run.n});

    for (int32_t r = chips.r0; r < chips.r1; r++)
        for (int32_t c = chips.c0; c < chips.c1; c++) {
            int32_t x0 = c * l->config.pitch_px, x1 = x0 + l->config.side_px;

            x0 = x0 > run.x ? x0 : run.x;
            x1 = x1 < run.x + run.n ? x1 : run.x + run.n;
            l->unknown[r * l->config.cols + c] += sign * (x1 - x0);
        }
}

/* Dwell (or, of a mark UNKNOWN, so many exposures) comes to a run of a frame that lies shifted by `by`, or goes. */
static void give(struct fly_ledger *l, struct shift by, struct run run, uint64_t ns, int sign)
{
    struct run at = moved(l, by, run);
    uint64_t *to, add = sign > 0 ? ns : 0 - ns;

    if (at.n == 0)
        return;
    to = l->ns + (size_t)at.y * (size_t)l->config.width_px + at.x;
    for (int32_t i = 0; i < at.n; i++)
        to[i] += add;
}

static void give_unknown(struct fly_ledger *l, struct shift by, struct run run, int sign)
{
    struct run at = moved(l, by, run);

    l->counts.unknown += sign * run.n;
    if (at.n)
        count_unknown(l, at, sign);
}

/* ---- exposures ----------------------------------------------------------------------------------- */

static struct slot *slots_of(const struct fly_ledger *l, int32_t block)
{
    return l->slots + (size_t)block * (size_t)l->config.frames_held;
}

static uint8_t *marks_of(const struct fly_ledger *l, const struct slot *slot)
{
    return l->marks + (size_t)(slot - l->slots) * BLOCK;
}

static struct slot *find(struct fly_ledger *l, int32_t block, int64_t frame)
{
    struct slot *slots = slots_of(l, block);

    if (slots[l->recent[block]].frame == frame)
        return &slots[l->recent[block]];
    for (int32_t i = 0; i < l->config.frames_held; i++)
        if (slots[i].frame == frame) {
            l->recent[block] = i;
            return &slots[i];
        }
    return NULL;
}

static void wipe(struct fly_ledger *l, struct slot *slot, int64_t frame, int late)
{
    memset(marks_of(l, slot), 0, BLOCK);
    slot->frame = frame;
    slot->n_dwells = 0;
    slot->late = late;
}

/* A slot for a frame that has none: a free one, else that of the lowest frame. */
static struct slot *open_slot(struct fly_ledger *l, int32_t block, int64_t frame)
{
    struct slot *slots = slots_of(l, block), *lowest = &slots[0];

    for (int32_t i = 1; i < l->config.frames_held; i++)
        if (slots[i].frame < lowest->frame)
            lowest = &slots[i];
    if (lowest->frame > l->gone[block])
        l->gone[block] = lowest->frame;
    wipe(l, lowest, frame, frame <= l->gone[block]);
    l->recent[block] = (int32_t)(lowest - slots);
    return lowest;
}

/* The mark of a dwell. A block with more dwells than it can hold starts anew, as a frame that comes late does. */
static uint8_t mark_for(struct fly_ledger *l, int32_t block, struct slot *slot, uint64_t dwell_ns)
{
    if (dwell_ns == FLY_DWELL_UNKNOWN_NS)
        return UNKNOWN;
    for (int32_t i = 0; i < slot->n_dwells; i++)
        if (slot->dwell_ns[i] == dwell_ns)
            return (uint8_t)(i + 1);
    if (slot->n_dwells == FLY_LEDGER_DWELLS) {
        if (slot->frame > l->gone[block])
            l->gone[block] = slot->frame;
        wipe(l, slot, slot->frame, 1);
    }
    slot->dwell_ns[slot->n_dwells++] = dwell_ns;
    return (uint8_t)slot->n_dwells;
}

static int all_are(const uint8_t *marks, int32_t n, uint8_t mark)
{
    uint8_t other = 0;

    for (int32_t i = 0; i < n; i++)
        other |= marks[i] ^ mark;
    return other == 0;
}

/* n pixels with the same mark are exposed for dwell_ns, whose mark is `mark`. 1: that is news. */
static int expose(struct fly_ledger *l, struct slot *slot, struct run run, uint8_t *marks, uint8_t mark,
                  uint64_t dwell_ns)
{
    struct shift by = shift_of(l, slot->frame);
    uint64_t before = marks[0] && marks[0] != UNKNOWN ? slot->dwell_ns[marks[0] - 1] : 0;

    if (marks[0] && (mark == UNKNOWN || dwell_ns <= before))
        return 0;
    if (marks[0] == 0) {
        l->counts.exposures += run.n;
        l->counts.late += slot->late ? run.n : 0;
        l->counts.outside += run.n - moved(l, by, run).n;
    }
    if (marks[0] == UNKNOWN)
        give_unknown(l, by, run, -1);
    if (mark == UNKNOWN)
        give_unknown(l, by, run, 1);
    else
        give(l, by, run, dwell_ns - before, 1);
    if (slot->frame == 0 && mark != UNKNOWN) {
        l->survey_ns += (dwell_ns - before) * (uint64_t)run.n;
        l->survey_px += before ? 0 : run.n;
    }
    memset(marks, mark, (size_t)run.n);
    return 1;
}

/* A run of a row, within one block. 1: that is news. */
static int book_run(struct fly_ledger *l, struct slot *slot, struct run run, uint8_t *marks, uint8_t mark,
                    uint64_t dwell_ns)
{
    int news = 0;

    for (int32_t i = 0, n; i < run.n; i += n) {
        n = run.n - i;
        if (!all_are(marks + i, n, marks[i]))
            for (n = 1; marks[i + n] == marks[i]; n++)
                continue;
        news |= expose(l, slot, (struct run){run.y, run.x + i, n}, marks + i, mark, dwell_ns);
    }
    return news;
}

static int32_t at_most(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t at_least(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* What of a rectangle lies in one block. 1: that is news. */
static int book_block(struct fly_ledger *l, int32_t by, int32_t bx, int64_t frame, struct fly_cover_rect rect,
                      uint64_t dwell_ns, int fresh)
{
    int32_t block = by * l->nbx + bx, x0 = at_least(rect.x0, bx * SIDE), y0 = at_least(rect.y0, by * SIDE);
    int32_t x1 = at_most(rect.x0 + rect.w, (bx + 1) * SIDE), y1 = at_most(rect.y0 + rect.h, (by + 1) * SIDE);
    struct slot *slot = find(l, block, frame);
    uint8_t mark;
    int news = 0;

    if (!slot && !fresh)
        return 0; /* what it tells was booked before the block let go */
    if (!slot)
        slot = open_slot(l, block, frame);
    mark = mark_for(l, block, slot, dwell_ns);
    for (int32_t y = y0; y < y1; y++) {
        struct run run = {y, x0, x1 - x0};

        news |= book_run(l, slot, run, marks_of(l, slot) + (y - by * SIDE) * SIDE + x0 - bx * SIDE, mark, dwell_ns);
    }
    return news;
}

void fly_ledger_book(struct fly_ledger *ledger, int64_t frame, struct fly_cover_rect rect, uint64_t dwell_ns,
                     int fresh, int64_t stamp)
{
    struct fly_ledger *l = ledger;
    struct fly_cover_range chips = chips_under(l, shift_of(l, frame), rect);
    int news = 0;

    FLY_ASSERT(frame >= 0 && dwell_ns >= 1);
    FLY_ASSERT(rect.y0 >= 0 && rect.x0 >= 0 && rect.h > 0 && rect.w > 0 &&
               rect.y0 + rect.h <= l->config.height_px && rect.x0 + rect.w <= l->config.width_px);
    for (int32_t by = rect.y0 / SIDE; by <= (rect.y0 + rect.h - 1) / SIDE; by++)
        for (int32_t bx = rect.x0 / SIDE; bx <= (rect.x0 + rect.w - 1) / SIDE; bx++)
            news |= book_block(l, by, bx, frame, rect, dwell_ns, fresh);
    if (fresh)
        tell_last(l, chips, frame, stamp);
    if (news)
        mark_dirty(l, chips);
    l->counts.version += (uint64_t)news;
}

/* ---- shift --------------------------------------------------------------------------------------- */

/* All that is held of a block of a frame goes (sign -1) from where `by` has it, or comes (1) there. */
static void give_block(struct fly_ledger *l, int32_t block, struct slot *slot, struct shift by, int sign)
{
    const uint8_t *marks = marks_of(l, slot);
    int32_t y0 = block / l->nbx * SIDE, x0 = block % l->nbx * SIDE;

    for (int32_t at = 0, n; at < BLOCK; at += n) {
        struct run run;

        for (n = 1; (at + n) % SIDE && marks[at + n] == marks[at]; n++)
            continue;
        if (marks[at] == 0)
            continue;
        run = (struct run){y0 + at / SIDE, x0 + at % SIDE, n};
        l->counts.outside += sign * (n - moved(l, by, run).n);
        if (marks[at] == UNKNOWN)
            give_unknown(l, by, run, sign);
        else
            give(l, by, run, slot->dwell_ns[marks[at] - 1], sign);
        if (sign > 0)
            tell_last(l, chips_under(l, by, (struct fly_cover_rect){run.y, run.x, 1, run.n}), slot->frame, 0);
    }
    mark_dirty(l, chips_under(l, by, (struct fly_cover_rect){y0, x0, SIDE, SIDE}));
}

void fly_ledger_shift(struct fly_ledger *ledger, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    struct fly_ledger *l = ledger;
    struct shift from, to = {(int16_t)dy_px, (int16_t)dx_px};

    FLY_ASSERT(frame >= 0 && frame < l->config.frames_max);
    FLY_ASSERT(dy_px > -l->config.height_px && dy_px < l->config.height_px && dx_px > -l->config.width_px &&
               dx_px < l->config.width_px);
    from = l->shifts[frame];
    if (from.dy_px == to.dy_px && from.dx_px == to.dx_px)
        return;
    for (int32_t block = 0; block < l->n_blocks; block++) {
        struct slot *slot = find(l, block, frame);

        /* A frame that is held anew has let go of some of what it gave. */
        l->counts.unmoved += slot ? slot->late : frame <= l->gone[block];
        if (!slot)
            continue;
        give_block(l, block, slot, from, -1);
        give_block(l, block, slot, to, 1);
    }
    l->shifts[frame] = to;
    l->counts.version++;
}

/* ---- looking ------------------------------------------------------------------------------------- */

static void sum_chip(struct fly_ledger *l, int32_t k)
{
    int32_t side = l->config.side_px;
    size_t width = (size_t)l->config.width_px;
    const uint64_t *px = l->ns + (size_t)(k / l->config.cols * l->config.pitch_px) * width +
                         (size_t)(k % l->config.cols * l->config.pitch_px);
    uint64_t sum = 0, most = 0;

    for (int32_t y = 0; y < side; y++, px += width)
        for (int32_t x = 0; x < side; x++) {
            sum += px[x];
            most = px[x] > most ? px[x] : most;
        }
    l->mean_us[k] = (float)((double)sum / (1e3 * side * side));
    l->max_us[k] = (float)((double)most / 1e3);
}

void fly_ledger_look(struct fly_ledger *ledger, struct fly_ledger_view *view)
{
    struct fly_ledger *l = ledger;

    for (int32_t w = 0; w < (l->n_chips + 63) / 64; w++)
        for (; l->dirty[w]; l->dirty[w] &= l->dirty[w] - 1)
            sum_chip(l, w * 64 + __builtin_ctzll(l->dirty[w]));
    *view = (struct fly_ledger_view){.mean_us = l->mean_us,
                                     .max_us = l->max_us,
                                     .unknown = l->unknown,
                                     .last_ns = l->last_ns,
                                     .last_frame = l->last_frame};
}

void fly_ledger_pixels(const struct fly_ledger *ledger, struct fly_cover_rect rect, float *out)
{
    for (int32_t y = 0; y < rect.h; y++)
        for (int32_t x = 0; x < rect.w; x++)
            *out++ = (float)((double)ledger->ns[(size_t)(rect.y0 + y) * (size_t)ledger->config.width_px +
                                                (size_t)(rect.x0 + x)] / 1e3);
}

struct fly_ledger_counts fly_ledger_counts(const struct fly_ledger *ledger)
{
    struct fly_ledger_counts counts = ledger->counts;

    counts.survey_us = ledger->survey_px ? (double)ledger->survey_ns / (1e3 * (double)ledger->survey_px) : NAN;
    return counts;
}
