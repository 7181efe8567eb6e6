/* Chips made tiles, in the order that the beam takes, and what that costs. */
#include <string.h>

#include "engine/steer/policy_own.h"

static double chip_gain(const struct fly_steer_task *t, int32_t k)
{
    return t->view->measured[k] ? fly_steer_gain(t->state->error[k], fly_steer_chip_need(t, k), t->dwell_us) : 1.0;
}

struct fly_steer_tile fly_steer_tile_of(const struct fly_steer_task *t, int32_t k, double score,
                                        enum fly_steer_reason reason)
{
    enum fly_steer_reason best;

    return (struct fly_steer_tile){.row = k / t->state->cols,
                                   .col = k % t->state->cols,
                                   .rows = 1,
                                   .cols = 1,
                                   .dwell_us = t->dwell_us,
                                   .signal = t->signal,
                                   .expected_gain = chip_gain(t, k),
                                   .value = fly_steer_value(t, k, &best),
                                   .score = score,
                                   .reason = reason};
}

/* Insertion: a few hundred at most, and the library's sort may ask for memory. */
static void sort_by_chip(struct fly_steer_pick *sorted, const struct fly_steer_pick *pick, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t at = i;

        for (; at > 0 && sorted[at - 1].chip > pick[i].chip; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = pick[i];
    }
}

/* The next chip of the same row makes the tile longer. */
static int joins(const struct fly_steer_tile *tile, const struct fly_steer_tile *next)
{
    return tile->row == next->row && tile->col + tile->cols == next->col;
}

static void join(struct fly_steer_tile *tile, const struct fly_steer_tile *next)
{
    tile->cols++;
    tile->expected_gain += next->expected_gain;
    tile->value += next->value;
    if (next->score > tile->score) {
        tile->score = next->score;
        tile->reason = next->reason;
    }
}

/* Every second row that is visited, from right to left. */
static void turn_rows(struct fly_steer_plan *plan)
{
    int odd = 0;

    for (int32_t first = 0, end; first < plan->n_tiles; first = end, odd = !odd) {
        for (end = first + 1; end < plan->n_tiles && plan->tiles[end].row == plan->tiles[first].row;)
            end++;
        for (int32_t i = first, j = end - 1; odd && i < j; i++, j--) {
            struct fly_steer_tile tile = plan->tiles[i];

            plan->tiles[i] = plan->tiles[j];
            plan->tiles[j] = tile;
        }
    }
}

/* The beam waits where the last line of a tile began. */
static double cost_of(const struct fly_steer_task *t, const struct fly_steer_plan *plan)
{
    const struct fly_steer_view *v = t->view;
    double y = v->beam_px[0], x = v->beam_px[1], cost = 0.0;

    for (int32_t i = 0; i < plan->n_tiles; i++) {
        const struct fly_steer_tile *tile = &plan->tiles[i];
        double y0 = (double)tile->row * v->pitch_px, x0 = (double)tile->col * v->pitch_px;
        double width = (double)(tile->cols - 1) * v->pitch_px + v->side_px;

        if (!isnan(y) && !isnan(x))
            cost += fly_steer_way(t, y0 - y, x0 - x);
        cost += t->config->settle_us + v->side_px * (width * t->dwell_us + t->config->flyback_us);
        y = y0 + v->side_px - 1;
        x = x0;
    }
    return cost;
}

void fly_steer_lay(const struct fly_steer_task *t, const struct fly_steer_pick *chosen, int32_t n,
                   struct fly_steer_plan *plan)
{
    struct fly_steer_pick *pick = t->state->pick;

    sort_by_chip(pick, chosen, n);
    memset(plan->tiles, 0, sizeof plan->tiles);
    plan->n_tiles = 0;
    plan->expected_gain = 0.0;
    for (int32_t i = 0; i < n; i++) {
        struct fly_steer_tile tile = fly_steer_tile_of(t, pick[i].chip, pick[i].key, pick[i].reason);

        plan->expected_gain += tile.expected_gain;
        if (plan->n_tiles > 0 && joins(&plan->tiles[plan->n_tiles - 1], &tile))
            join(&plan->tiles[plan->n_tiles - 1], &tile);
        else
            plan->tiles[plan->n_tiles++] = tile;
    }
    turn_rows(plan);
    plan->dwell_us = t->dwell_us;
    plan->signal = t->signal;
    plan->dose_us = n * t->dwell_us * t->overlap / t->state->n;
    plan->cost_us = cost_of(t, plan);
}
