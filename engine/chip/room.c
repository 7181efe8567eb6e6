/* Which content may leave staging for the base, and in what order. */
#include "engine/chip/assembly.h"

/* Every chip that has a pixel of the block has taken the frame. Pixels of no chip wait for nobody. */
static int may_go(const struct fly_assembly *a, const struct fly_block *b)
{
    const struct fly_staging *s = &a->staging;
    const struct fly_frame *f = &s->frames[b->frame];
    struct fly_rect all = {b->at / s->across * FLY_BLOCK_H, b->at % s->across * FLY_BLOCK_W, FLY_BLOCK_H,
                           FLY_BLOCK_W};
    struct fly_chip_range range = fly_assembly_chips_of(a, f, all);

    for (int32_t r = range.r0; r < range.r1; r++)
        for (int32_t c = range.c0; c < range.c1; c++) {
            int32_t k = r * a->config.grid.cols + c;
            struct fly_rect chip = fly_assembly_chip_rect(a, f, k);
            uint64_t mask = fly_block_bits(b->at % s->across, chip.x0, chip.x0 + chip.w), any = 0;
            int32_t from = chip.y0 > all.y0 ? chip.y0 - all.y0 : 0;
            int32_t to = chip.y0 + chip.h - all.y0 < FLY_BLOCK_H ? chip.y0 + chip.h - all.y0 : FLY_BLOCK_H;

            for (int32_t y = from; y < to; y++)
                any |= b->there[y] & mask;
            if (any && !fly_assembly_took(a, b->frame, k))
                return 0;
        }
    return 1;
}

static int meets(const struct fly_staging *s, int32_t at, struct fly_rect rect)
{
    int32_t row = at / s->across, col = at % s->across;

    return row >= rect.y0 / FLY_BLOCK_H && row <= (rect.y0 + rect.h - 1) / FLY_BLOCK_H &&
           col >= rect.x0 / FLY_BLOCK_W && col <= (rect.x0 + rect.w - 1) / FLY_BLOCK_W;
}

/* Add the content to the base and forget it. */
static void let_go(struct fly_assembly *a, int32_t block)
{
    struct fly_staging *s = &a->staging;
    struct fly_block *b = &s->blocks[block];
    const struct fly_frame *f = &s->frames[b->frame];
    struct fly_content *c = fly_staging_content(s, b->content);
    int32_t y0 = b->at / s->across * FLY_BLOCK_H + f->dy_px;
    int32_t x0 = b->at % s->across * FLY_BLOCK_W + f->dx_px;
    /* What the shift moved out of the scan is left behind. */
    uint64_t inside = fly_block_bits(0, -x0, s->width_px - x0);

    for (int32_t row = 0; row < FLY_BLOCK_H; row++) {
        int32_t y = y0 + row;
        uint64_t bits = c->held[row] & inside;

        if (!bits || y < 0 || y >= s->height_px)
            continue;
        uint64_t finite = fly_exact_finite(a->config.dtype, fly_content_row(s, c, row), bits);

        fly_content_add(a, c, row, finite, a->sums, a->weights, (int64_t)y * s->width_px + x0);
        fly_row_or(a, a->base_bits + (size_t)y * a->bit_words, x0, finite);
    }
    fly_staging_drop_content(s, block);
}

/* The lowest frame that still has content and was not yet found to have nothing to give. */
static int32_t next_victim(const struct fly_staging *s)
{
    int32_t best = FLY_NONE;

    for (int32_t i = 0; i < s->n_live; i++) {
        const struct fly_frame *f = &s->frames[s->live[i]];

        if (f->contents > 0 && !f->stuck && (best < 0 || f->number < s->frames[best].number))
            best = s->live[i];
    }
    return best;
}

/* Doom what may go of a frame until there is enough; `have` counts what is free with the doomed gone.
 * Returns the new head of the chain of doomed blocks. */
static int32_t doom(struct fly_assembly *a, int32_t victim, const struct fly_room *want,
                    struct fly_room *have, int32_t frame, struct fly_rect rect, int32_t chain)
{
    struct fly_staging *s = &a->staging;

    for (int32_t i = s->frames[victim].first; i >= 0; i = s->blocks[i].next) {
        struct fly_block *b = &s->blocks[i];

        if (b->content < 0 || (victim == frame && meets(s, b->at, rect)) || !may_go(a, b))
            continue;
        b->next_doomed = chain;
        chain = i;
        have->contents++;
        have->blocks += fly_staging_whole(s, i);
        have->runs += fly_staging_content(s, b->content)->runs_len;
        if (enough(have, want))
            return chain;
    }
    s->frames[victim].stuck = 1;
    return chain;
}

int fly_assembly_make_room(struct fly_assembly *a, const struct fly_room *room, int32_t frame,
                           struct fly_rect rect)
{
    struct fly_staging *s = &a->staging;
    struct fly_room have = {s->frames_cap - s->n_live, s->blocks_left, s->contents_left, s->runs_left};
    int32_t chain = FLY_NONE, victim;

    if (have.frames < room->frames)
        return fly_fail(FLY_ENOMEM, "%d frames have come in part and their rest may still come: no room "
                        "for one more", s->n_live);
    while (!enough(&have, room) && (victim = next_victim(s)) >= 0)
        chain = doom(a, victim, room, &have, frame, rect, chain);
    int ok = enough(&have, room);

    for (int32_t i = chain, next; i >= 0; i = next) {
        next = s->blocks[i].next_doomed;
        if (ok)
            let_go(a, i);
        else
            s->frames[s->blocks[i].frame].stuck = 0;
    }
    if (frame >= 0)
        s->frames[frame].stuck = 0; /* another rectangle may spare other blocks */
    if (ok)
        return FLY_OK;
    if (have.runs < room->runs)
        return fly_fail(FLY_ENOMEM, "dwell changes %d times within rows of frames not yet taken: room for %d",
                        room->runs - have.runs + s->runs_cap, s->runs_cap);
    return fly_fail(FLY_ENOMEM,
                    "%d blocks of %d x %d px more are needed, of %d reserved (frames_held %d) %d may be freed: "
                    "the others hold frames that chips have not taken yet", room->contents, FLY_BLOCK_H,
                    FLY_BLOCK_W, s->contents_cap, a->config.frames_held, have.contents);
}
