#include "engine/region/transform.h"

#include <fftw3.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/base/clones.h"

enum { LINES, COLUMNS, CORNERS, PLANS };

/* Columns beyond the highest frequency: neighbours of a spot, and its background ring. */
enum { MARGIN = 6, CORNER = 8, GROUP = 8, SIDE_MIN = 8, SIDE_MAX = 8192 };

/* The smallest multiple of 8 not below px with factors 2, 5 and at most one 3: sizes that FFTW does fast (measured:
 * 300 takes nearly twice as long as 320). */
static int32_t fast_size(int32_t px)
{
    for (int32_t size = (px + 7) / 8 * 8;; size += 8) {
        int32_t rest = size % 3 ? size : size / 3;

        while (rest % 2 == 0)
            rest /= 2;
        while (rest % 5 == 0)
            rest /= 5;
        if (rest == 1)
            return size;
    }
}

static int32_t planned_size(const struct fly_transforms_config *config, int32_t px)
{
    return config->exact ? px : fast_size(px < SIDE_MIN ? SIDE_MIN : px);
}

/* The size after `size` (0: the first), or 0. */
static int32_t next_size(const struct fly_transforms_config *config, int32_t size)
{
    int32_t most = planned_size(config, config->side_px_max);

    for (int32_t px = config->chip_px; px <= config->side_px_max; px += config->pitch_px)
        if (px >= SIDE_MIN && planned_size(config, px) > size)
            return planned_size(config, px);
    return most > size ? most : 0;
}

static int32_t count_sizes(const struct fly_transforms_config *config, int32_t *most)
{
    int32_t count = 0;

    for (int32_t size = next_size(config, 0); size; size = next_size(config, size)) {
        *most = size;
        count++;
    }
    return count;
}

static int32_t reach_of(double f_max, int32_t side)
{
    int32_t reach = (int32_t)ceil(f_max * side) + MARGIN;

    return reach < side / 2 ? reach : side / 2;
}

/* Corner columns begin at an even one: SIMD wants pairs of complex numbers. */
static struct fly_transform layout(const struct fly_transforms_config *config, int32_t side)
{
    int32_t corners = side / 16 + 1;

    return (struct fly_transform){.side = side,
                                  .columns = reach_of(config->f_max[1], side) + 1,
                                  .reach = reach_of(config->f_max[0], side),
                                  .corner = (side / 2 + 1 - (corners < CORNER ? corners : CORNER)) / 2 * 2};
}

static size_t half_stride(int32_t side)
{
    return ((size_t)side / 2 + 1 + 7) / 8 * 8;
}

static size_t column_stride(int32_t side)
{
    return ((size_t)side + 7) / 8 * 8;
}

static size_t input_floats(int32_t side)
{
    size_t input = ((size_t)side + 1) / 2 * 2 * column_stride(side);
    size_t out = 2 * column_stride(side) * half_stride(side); /* columns in whole groups */

    return input > out ? input : out;
}

/* An odd number of lines has one more, of zeros. */
static size_t half_floats(int32_t side)
{
    return ((size_t)side + 1) / 2 * 2 * half_stride(side) * 2;
}

static int check(const struct fly_transforms_config *config)
{
    if (config->side_px_max < SIDE_MIN || config->side_px_max > SIDE_MAX)
        return fly_fail(FLY_ERANGE, "squares of up to %d px: %d .. %d", config->side_px_max, SIDE_MIN, SIDE_MAX);
    if (config->chip_px < 1 || config->chip_px > config->side_px_max)
        return fly_fail(FLY_ERANGE, "squares of chips of %d px: 1 .. %d", config->chip_px, config->side_px_max);
    if (config->pitch_px < 1 || config->pitch_px > config->chip_px)
        return fly_fail(FLY_ERANGE, "chips of %d px every %d px: 1 .. %d", config->chip_px, config->pitch_px,
                        config->chip_px);
    for (int i = 0; i < 2; i++)
        if (!(config->f_max[i] > 0.0) || config->f_max[i] > 0.5)
            return fly_fail(FLY_ERANGE, "frequencies of up to %g cycles a pixel: above 0 .. 0.5", config->f_max[i]);
    if (config->workers < 1)
        return fly_fail(FLY_ERANGE, "%d workers transform: at least 1", config->workers);
    return FLY_OK;
}

size_t fly_transforms_need(const struct fly_transforms_config *config)
{
    int32_t side = 0, count = check(config) == FLY_OK ? count_sizes(config, &side) : 0;
    size_t bytes = fly_size_add(fly_arena_need((size_t)count, sizeof(struct fly_transform)),
                                fly_arena_need((size_t)config->workers, sizeof(struct fly_transform_work)));

    for (int32_t w = 0; count && w < config->workers; w++) {
        bytes = fly_size_add(bytes, fly_arena_need((size_t)side * (size_t)side, sizeof(float)));
        bytes = fly_size_add(bytes, fly_arena_need(FLY_TRANSFORM_TABLES * (size_t)side, sizeof(double)));
        bytes = fly_size_add(bytes, fly_arena_need(input_floats(side), sizeof(float)));
        bytes = fly_size_add(bytes, fly_arena_need(half_floats(side), sizeof(float)));
    }
    return bytes;
}

/* The second pass turns columns of `half` into rows, so that power is read along ky. */
static fftwf_plan plan_columns(int32_t side, int32_t first, int32_t count, struct fly_transform_work *work)
{
    fftwf_complex *half = (fftwf_complex *)work->half + first, *out = (fftwf_complex *)work->input;

    return fftwf_plan_many_dft(1, &side, count, half, NULL, (int)half_stride(side), 1, out, NULL, 1,
                               (int)column_stride(side), FFTW_FORWARD, FFTW_ESTIMATE);
}

static int plan(struct fly_transform *t, struct fly_transform_work *work)
{
    fftwf_complex *pairs = (fftwf_complex *)work->input;
    int32_t side = t->side;

    t->plan[LINES] = fftwf_plan_many_dft(1, &side, (side + 1) / 2, pairs, NULL, 1, (int)fly_transform_stride(t), pairs,
                                         NULL, 1, (int)fly_transform_stride(t), FFTW_FORWARD, FFTW_ESTIMATE);
    t->plan[COLUMNS] = plan_columns(side, 0, GROUP, work);
    t->plan[CORNERS] = plan_columns(side, t->corner, side / 2 + 1 - t->corner, work);
    return t->plan[LINES] && t->plan[COLUMNS] && t->plan[CORNERS];
}

int fly_transforms_init(struct fly_transforms *transforms, const struct fly_transforms_config *config,
                        struct fly_arena *arena)
{
    int32_t side = 0, i = 0;
    int rc = check(config);

    if (rc < 0)
        return rc;
    *transforms = (struct fly_transforms){.count = count_sizes(config, &side)};
    transforms->transform = fly_arena_take(arena, (size_t)transforms->count, sizeof *transforms->transform);
    transforms->work = fly_arena_take(arena, (size_t)config->workers, sizeof *transforms->work);
    FLY_ASSERT(transforms->transform && transforms->work);
    memset(transforms->transform, 0, (size_t)transforms->count * sizeof *transforms->transform);
    for (int32_t w = 0; w < config->workers; w++) {
        struct fly_transform_work *work = &transforms->work[w];

        work->flat = fly_arena_take(arena, (size_t)side * (size_t)side, sizeof(float));
        work->table = fly_arena_take(arena, FLY_TRANSFORM_TABLES * (size_t)side, sizeof(double));
        work->input = fly_arena_take(arena, input_floats(side), sizeof(float));
        work->half = fly_arena_take(arena, half_floats(side), sizeof(float));
        FLY_ASSERT(work->flat && work->table && work->input && work->half);
    }
    for (int32_t size = next_size(config, 0); size; size = next_size(config, size), i++) {
        transforms->transform[i] = layout(config, size);
        if (!plan(&transforms->transform[i], &transforms->work[0])) {
            fly_transforms_fini(transforms);
            return fly_fail(FLY_ENOMEM, "regions: FFTW makes no plan for %d x %d", size, size);
        }
    }
    return FLY_OK;
}

void fly_transforms_fini(struct fly_transforms *transforms)
{
    for (int32_t i = 0; i < transforms->count; i++)
        for (int p = 0; p < PLANS; p++)
            if (transforms->transform[i].plan[p])
                fftwf_destroy_plan(transforms->transform[i].plan[p]);
    *transforms = (struct fly_transforms){0};
}

const struct fly_transform *fly_transforms_for(const struct fly_transforms *transforms, int32_t side_px)
{
    for (int32_t i = 0; i < transforms->count; i++)
        if (transforms->transform[i].side >= side_px)
            return &transforms->transform[i];
    return NULL;
}

struct fly_transform fly_transform_within(const struct fly_transform *t, const double f_max[2])
{
    struct fly_transform within = *t;
    int32_t columns = reach_of(f_max[1], t->side) + 1, reach = reach_of(f_max[0], t->side);

    within.columns = columns < t->columns ? columns : t->columns;
    within.reach = reach < t->reach ? reach : t->reach;
    return within;
}

float fly_select(float *values, int32_t n, int32_t rank)
{
    int32_t low = 0, high = n - 1;

    FLY_ASSERT(rank >= 0 && rank < n);
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        int32_t i = low, j = high;

        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                float swap = values[i];

                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            break;
    }
    return values[rank];
}

double fly_median(float *values, int32_t n)
{
    float upper = fly_select(values, n, n / 2), lower;

    if (n % 2)
        return (double)upper;
    lower = values[0]; /* of the lower half, which selection has left of it */
    for (int32_t i = 1; i < n / 2; i++)
        if (values[i] > lower)
            lower = values[i];
    return 0.5 * ((double)lower + (double)upper);
}

FLY_CLONES static void square_of(float *restrict power, const float *restrict wave, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        power[i] = wave[2 * i] * wave[2 * i] + wave[2 * i + 1] * wave[2 * i + 1];
}

/* From the corner columns, which lie at the beginning of the input's memory; behind them is room. */
static double floor_of(const struct fly_transform *t, struct fly_transform_work *work)
{
    int32_t side = t->side, reach = side / 8, columns = side / 2 + 1 - t->corner, n = 0;
    const float *out = work->input;
    float *corner = work->input + 2 * (size_t)columns * column_stride(side);

    for (int32_t c = 0; c < columns; c++)
        for (int32_t ky = side / 2 - reach; ky <= side / 2 + reach; ky++) {
            const float *wave = out + 2 * ((size_t)c * column_stride(side) + (size_t)ky);

            corner[n++] = wave[0] * wave[0] + wave[1] * wave[1];
        }
    return fly_median(corner, n) / 0.69314718055994531;
}

static void draw(const struct fly_transform *t, const float *out, float *picture, double scale)
{
    int32_t side = t->side, middle = side / 2;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            int32_t ky = y - middle, kx = x - middle, turn = kx < 0 ? -1 : 1;
            int32_t at = (turn * ky + side) % side;
            const float *wave = out + 2 * ((size_t)(turn * kx) * column_stride(side) + (size_t)at);
            double power = (double)wave[0] * (double)wave[0] + (double)wave[1] * (double)wave[1];

            picture[(size_t)y * (size_t)side + (size_t)x] = (float)log10(fmax(power / scale, (double)FLT_MIN));
        }
}

/* Z = A + i B of two real lines: A(k) = (Z(k) + conj Z(-k)) / 2, B(k) = (Z(k) - conj Z(-k)) / 2i, for k of
 * first .. end - 1, first > 0. */
FLY_CLONES static void part_lines(float *restrict a, float *restrict b, const float *restrict z, int32_t first,
                                 int32_t end, int32_t side)
{
    const float *restrict mirror = z + 2 * (side - end + 1);
    int32_t n = end - first;

    for (int32_t i = 0; i < n; i++) {
        float re = z[2 * (first + i)], im = z[2 * (first + i) + 1];
        float mirror_re = mirror[2 * (n - 1 - i)], mirror_im = mirror[2 * (n - 1 - i) + 1];

        a[2 * (first + i)] = 0.5f * (re + mirror_re);
        a[2 * (first + i) + 1] = 0.5f * (im - mirror_im);
        b[2 * (first + i)] = 0.5f * (im + mirror_im);
        b[2 * (first + i) + 1] = 0.5f * (mirror_re - re);
    }
}

static void part_all(const struct fly_transform *t, struct fly_transform_work *work, int whole)
{
    int32_t side = t->side, end = whole ? side / 2 + 1 : t->columns, corner = t->corner > end ? t->corner : end;
    size_t line = 2 * half_stride(side);

    for (int32_t y = 0; y < side; y += 2) {
        const float *z = work->input + fly_transform_at(t, y, 0);
        float *a = work->half + (size_t)y * line, *b = a + line;

        a[0] = z[0];
        b[0] = z[1];
        a[1] = b[1] = 0.0f;
        part_lines(a, b, z, 1, end, side);
        part_lines(a, b, z, corner, side / 2 + 1, side);
    }
}

/* The second pass of columns 0 .. count - 1. The last group may have columns of no meaning, which nobody reads. */
static void columns_of(const struct fly_transform *t, struct fly_transform_work *work, int32_t count)
{
    fftwf_complex *half = (fftwf_complex *)work->half, *out = (fftwf_complex *)work->input;

    for (int32_t kx = 0; kx < count; kx += GROUP)
        fftwf_execute_dft(t->plan[COLUMNS], half + kx, out + (size_t)kx * column_stride(t->side));
}

void fly_transform_power(const struct fly_transform *t, struct fly_transform_work *work, double *noise_floor,
                         float *picture, double scale)
{
    fftwf_complex *half = (fftwf_complex *)work->half, *out = (fftwf_complex *)work->input;
    int32_t side = t->side;

    fftwf_execute_dft(t->plan[LINES], out, out);
    part_all(t, work, picture != NULL);
    if (picture) {
        columns_of(t, work, side / 2 + 1);
        draw(t, work->input, picture, scale);
    }
    fftwf_execute_dft(t->plan[CORNERS], half + t->corner, out);
    *noise_floor = floor_of(t, work);
    columns_of(t, work, t->columns);
    for (int32_t kx = 0; kx < t->columns; kx++) {
        float *power = work->half + (size_t)kx * (size_t)side;
        const float *wave = work->input + 2 * (size_t)kx * column_stride(side);
        int32_t last = side - t->reach > t->reach ? side - t->reach : t->reach + 1; /* of ky = -reach */

        square_of(power, wave, t->reach + 1);
        square_of(power + last, wave + 2 * last, side - last);
    }
}
