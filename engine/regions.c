/* Regions within the engine: the lattice in a square of chips, from the mean image so far. */
#include "engine/state.h"

#include <math.h>
#include <string.h>

enum { SIDE_PX_MAX = 8192 }; /* transform.h; of a larger square its upper left part is looked at */

/* Chips along the side of the largest square. */
static int32_t side_max(const struct fly_grid *grid)
{
    int32_t chips = grid->rows < grid->cols ? grid->rows : grid->cols;
    int32_t most = (SIDE_PX_MAX - grid->side_px) / grid->pitch_px + 1;

    return chips < most ? chips : most;
}

static int32_t side_px_max(const struct fly_grid *grid)
{
    return fly_square_px((struct fly_square){0, 0, side_max(grid)}, grid->side_px, grid->pitch_px);
}

static struct fly_transforms_config transforms_config(const struct fly_engine *e)
{
    const struct fly_grid *grid = &e->config.grid;
    struct fly_transforms_config config = {
        .chip_px = grid->side_px,
        .pitch_px = grid->pitch_px,
        .side_px_max = side_px_max(grid),
        .exact = e->config.profile == FLY_PROFILE_PAPER,
        .f_max = {0.5, 0.5}, /* d_range may change while the session runs */
        .workers = 1,
    };

    if (config.side_px_max < 8)
        config.side_px_max = 8;
    return config;
}

static struct fly_spacing_config spacing_config(const struct fly_region_config *region)
{
    struct fly_spacing_config config = fly_spacing_config_default();

    for (int i = 0; i < 2; i++) {
        config.pixel_nm[i] = region->pixel_nm[i] > 0.0 ? region->pixel_nm[i] : 0.0;
        if (region->d_nm[0] != 0.0 || region->d_nm[1] != 0.0)
            config.d_nm[i] = region->d_nm[i];
    }
    if (config.pixel_nm[0] == 0.0 || config.pixel_nm[1] == 0.0)
        config.pixel_nm[0] = config.pixel_nm[1] = 0.0;
    return config;
}

static size_t arena_need(const struct fly_engine *e)
{
    struct fly_transforms_config config = transforms_config(e);
    size_t side = (size_t)config.side_px_max, chips = (size_t)fly_grid_chips(&e->config.grid);
    size_t need = fly_transforms_need(&config);

    need = fly_size_add(need, fly_arena_need(side * side, sizeof(float)));
    need = fly_size_add(need, fly_arena_need(chips, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(chips, sizeof(float)));
    need = fly_size_add(need, fly_arena_need(chips, sizeof(uint64_t)));
    return fly_size_add(need, fly_squares_need(e->config.grid.cols));
}

static void forget_crystallinity(struct fly_engine *e)
{
    memset(e->crystallinity_of, 0, (size_t)e->n_chips * sizeof *e->crystallinity_of);
}

size_t fly_engine_regions_need(const struct fly_engine *engine)
{
    return engine->config.has_image ? arena_need(engine) : 0;
}

int fly_engine_open_regions(struct fly_engine *engine, const struct fly_region_config *region,
                            const struct fly_alloc *alloc)
{
    struct fly_engine *e = engine;
    struct fly_transforms_config config = transforms_config(e);
    struct fly_spacing_config spacing = spacing_config(region);
    int rc = fly_spacing_check(&spacing);

    if (!e->config.has_image)
        return FLY_OK;
    if (rc == FLY_OK)
        rc = fly_arena_init(&e->regions_arena, arena_need(e), alloc, "regions");
    if (rc == FLY_OK)
        rc = fly_transforms_init(&e->transforms, &config, &e->regions_arena);
    if (rc < 0)
        return rc;
    e->spacing = spacing;
    e->region_px = fly_arena_take(&e->regions_arena, (size_t)config.side_px_max * (size_t)config.side_px_max,
                                  sizeof *e->region_px);
    e->region_labels = fly_arena_take(&e->regions_arena, (size_t)e->n_chips, sizeof *e->region_labels);
    e->crystallinity = fly_arena_take(&e->regions_arena, (size_t)e->n_chips, sizeof *e->crystallinity);
    e->crystallinity_of = fly_arena_take(&e->regions_arena, (size_t)e->n_chips, sizeof *e->crystallinity_of);
    FLY_ASSERT(e->region_px && e->region_labels && e->crystallinity && e->crystallinity_of);
    forget_crystallinity(e);
    return FLY_OK;
}

void fly_engine_close_regions(struct fly_engine *engine)
{
    fly_transforms_fini(&engine->transforms);
    fly_arena_fini(&engine->regions_arena);
}

int fly_engine_set_d_range(struct fly_engine *engine, const double d_nm[2])
{
    struct fly_spacing_config config = engine->spacing;
    int rc;

    if (!engine->config.has_image)
        return FLY_OK;
    config.d_nm[0] = d_nm[0];
    config.d_nm[1] = d_nm[1];
    rc = fly_spacing_check(&config);
    if (rc < 0)
        return rc;
    engine->spacing = config;
    forget_crystallinity(engine);
    return FLY_OK;
}

void fly_engine_squares(struct fly_engine *engine, const int32_t *labels, const int32_t *ids, int32_t n_ids,
                        struct fly_square *squares)
{
    struct fly_engine *e = engine;
    const struct fly_grid *grid = &e->config.grid;
    size_t mark = fly_arena_mark(&e->regions_arena);

    if (!e->config.has_image) {
        for (int32_t i = 0; i < n_ids; i++)
            squares[i] = (struct fly_square){0, 0, 0};
        return;
    }
    for (int32_t k = 0; k < e->n_chips; k++) {
        int32_t low = 0, high = n_ids;

        while (low < high) {
            int32_t middle = (low + high) / 2;

            if (ids[middle] < labels[k])
                low = middle + 1;
            else
                high = middle;
        }
        /* A part of a square that has no pixels is none. */
        e->region_labels[k] =
            low < n_ids && ids[low] == labels[k] && fly_assembly_complete(e->assembly, k) ? low : -1;
    }
    fly_squares_find(squares, n_ids, e->region_labels, grid->rows, grid->cols, &e->regions_arena);
    for (int32_t i = 0; i < n_ids; i++)
        squares[i].n = squares[i].n < side_max(grid) ? squares[i].n : side_max(grid);
    fly_arena_reset(&e->regions_arena, mark);
}

int32_t fly_engine_square_px(const struct fly_engine *engine, struct fly_square square)
{
    return fly_square_px(square, engine->config.grid.side_px, engine->config.grid.pitch_px);
}

int32_t fly_engine_power_px(const struct fly_engine *engine, struct fly_square square)
{
    const struct fly_transform *transform = fly_transforms_for(&engine->transforms, fly_engine_square_px(engine, square));

    return transform ? transform->side : 0;
}

int fly_engine_lattice(struct fly_engine *engine, struct fly_square square, struct fly_spacing *out, float *power)
{
    struct fly_engine *e = engine;
    const struct fly_grid *grid = &e->config.grid;
    int32_t side = fly_engine_square_px(e, square);
    struct fly_picture picture = {e->region_px, side, side, side};

    *out = (struct fly_spacing){.crystallinity = NAN};
    if (!e->config.has_image || side == 0)
        return FLY_EAGAIN;
    fly_assembly_peek(e->assembly, (struct fly_rect){square.row * grid->pitch_px, square.col * grid->pitch_px, side, side},
                      e->region_px);
    if (e->config.profile == FLY_PROFILE_PAPER)
        return fly_spacing_paper(out, &e->transforms, 0, &e->spacing, &picture, power);
    return fly_spacing_robust(out, &e->transforms, 0, &e->spacing, &picture, power);
}

/* ---- crystallinity ------------------------------------------------------------------------------- */

static struct fly_square window_of(const struct fly_engine *e, int32_t chip)
{
    const struct fly_grid *grid = &e->config.grid;

    return fly_crystallinity_window(grid->rows, grid->cols, chip / grid->cols, chip % grid->cols);
}

/* Of what pixels the window of a complete chip is: versions only grow, and so does their sum with any of them. */
static uint64_t versions_of(const struct fly_engine *e, struct fly_square window)
{
    uint64_t sum = 0;

    for (int32_t r = 0; r < window.n; r++)
        for (int32_t c = 0; c < window.n; c++)
            sum += fly_assembly_version(e->assembly, (window.row + r) * e->config.grid.cols + window.col + c);
    return sum;
}

/* The means of its complete chips, of the others nothing: what is still coming has no version yet. */
static void fill_window(struct fly_engine *e, struct fly_square window, int32_t side)
{
    const struct fly_grid *grid = &e->config.grid;
    int32_t px = grid->side_px;

    for (size_t i = 0; i < (size_t)side * (size_t)side; i++)
        e->region_px[i] = NAN;
    for (int32_t r = 0; r < window.n; r++)
        for (int32_t c = 0; c < window.n; c++) {
            int32_t chip = (window.row + r) * grid->cols + window.col + c;
            float *to = e->region_px + (size_t)(r * grid->pitch_px) * (size_t)side + (size_t)(c * grid->pitch_px);

            if (!fly_assembly_complete(e->assembly, chip))
                continue;
            fly_assembly_mean(e->assembly, chip, e->mean);
            for (int32_t y = 0; y < px; y++)
                for (int32_t x = 0; x < px; x++)
                    to[(size_t)y * (size_t)side + (size_t)x] = (float)e->mean[y * px + x];
        }
}

int fly_engine_crystallinity_known(const struct fly_engine *engine, int32_t chip)
{
    return !engine->config.has_image || !fly_assembly_complete(engine->assembly, chip) ||
           engine->crystallinity_of[chip] == versions_of(engine, window_of(engine, chip));
}

float fly_engine_crystallinity(struct fly_engine *engine, int32_t chip)
{
    struct fly_engine *e = engine;
    struct fly_square window = window_of(e, chip);
    int32_t side = fly_engine_square_px(e, window);
    struct fly_picture picture = {e->region_px, side, side, side};
    float *found;

    if (!e->config.has_image || !fly_assembly_complete(e->assembly, chip))
        return NAN;
    found = &e->crystallinity[chip];
    if (fly_engine_crystallinity_known(e, chip))
        return *found;
    fill_window(e, window, side);
    if (fly_crystallinity(found, &e->transforms, 0, &e->spacing, &picture) < 0)
        *found = NAN;
    e->crystallinity_of[chip] = versions_of(e, window);
    return *found;
}
