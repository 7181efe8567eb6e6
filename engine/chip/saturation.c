#include "engine/chip/saturation.h"

#include <math.h>
#include <string.h>

enum { VALUES = FLY_SATURATION_VALUES, BLOCK = 64, FEW = 4 };

void fly_saturation_init(struct fly_saturation *saturation, enum fly_dtype dtype)
{
    *saturation = (struct fly_saturation){.dtype = dtype};
}

/* ---- one value at a time ------------------------------------------------------------------------------- */

/* sign 1: the highest are kept, -1: the lowest. */
static void add(struct fly_tail *tail, double value, int sign)
{
    int32_t at = 0;

    while (at < tail->n && sign * tail->value[at] > sign * value)
        at++;
    if (at < tail->n && tail->value[at] == value) {
        tail->count[at]++;
        return;
    }
    if (at == VALUES)
        return;
    if (tail->n < VALUES)
        tail->n++;
    for (int32_t i = tail->n - 1; i > at; i--) {
        tail->value[i] = tail->value[i - 1];
        tail->count[i] = tail->count[i - 1];
    }
    tail->value[at] = value + 0.0; /* not -0, which equals it */
    tail->count[at] = 1;
}

void fly_saturation_put_ref(struct fly_saturation *saturation, const void *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value = fly_dtype_value(saturation->dtype, pixels, i);

        if (!isfinite(value)) {
            saturation->nonfinite++;
            continue;
        }
        saturation->total++;
        add(&saturation->top, value, 1);
        add(&saturation->bottom, value, -1);
    }
}

/* ---- a block at a time --------------------------------------------------------------------------------- */

#define FINITE_INT(v)   1
#define FINITE_FLOAT(v) ((v) - (v) == 0)

/* Most blocks have no value far enough out, which one pass without a branch tells. Where values repeat much, as
 * low counts do, those already known are counted by one such pass each: from FEW on that is quicker. Loops of a block's
 * fixed length become vectors where the counter, which holds BLOCK, is as wide as the type. */
#define LOOK(name, type, counter, lowest, highest, finite)                                                   \
    static inline void tail_##name(struct fly_tail *tail, const type *v, int32_t n, type limit, int32_t hits,\
                                   int sign)                                                                 \
    {                                                                                                        \
        int32_t count[VALUES], known = 0;                                                                    \
                                                                                                             \
        if (hits >= FEW)                                                                                     \
            for (int32_t j = 0; j < tail->n; j++) {                                                          \
                type value = (type)tail->value[j];                                                           \
                counter equal = 0;                                                                           \
                                                                                                             \
                for (int32_t i = 0; i < n; i++)                                                              \
                    equal += v[i] == value;                                                                  \
                count[j] = (int32_t)equal;                                                                   \
                known += count[j];                                                                           \
            }                                                                                                \
        if (known == hits) {                                                                                 \
            for (int32_t j = 0; j < tail->n; j++)                                                            \
                tail->count[j] += count[j];                                                                  \
            return;                                                                                          \
        }                                                                                                    \
        for (int32_t i = 0; i < n; i++)                                                                      \
            if ((sign > 0 ? v[i] >= limit : v[i] <= limit) && finite(v[i]))                                  \
                add(tail, (double)v[i], sign);                                                               \
    }                                                                                                        \
    static inline void block_##name(struct fly_saturation *s, const type *v, int32_t n)                      \
    {                                                                                                        \
        type top = s->top.n == VALUES ? (type)s->top.value[VALUES - 1] : (type)(lowest);                     \
        type bottom = s->bottom.n == VALUES ? (type)s->bottom.value[VALUES - 1] : (type)(highest);           \
        counter tops = 0, bottoms = 0, numbers = 0;                                                          \
                                                                                                             \
        for (int32_t i = 0; i < n; i++) {                                                                    \
            tops += (v[i] >= top) & finite(v[i]);                                                            \
            bottoms += (v[i] <= bottom) & finite(v[i]);                                                      \
            numbers += finite(v[i]);                                                                         \
        }                                                                                                    \
        s->total += (int64_t)numbers;                                                                        \
        s->nonfinite += n - (int32_t)numbers;                                                                \
        if (tops)                                                                                            \
            tail_##name(&s->top, v, n, top, (int32_t)tops, 1);                                               \
        if (bottoms)                                                                                         \
            tail_##name(&s->bottom, v, n, bottom, (int32_t)bottoms, -1);                                     \
    }                                                                                                        \
    static void put_##name(struct fly_saturation *s, const unsigned char *px, size_t n)                      \
    {                                                                                                        \
        type v[BLOCK];                                                                                       \
                                                                                                             \
        for (; n >= BLOCK; n -= BLOCK, px += sizeof v) {                                                     \
            memcpy(v, px, sizeof v);                                                                         \
            block_##name(s, v, BLOCK);                                                                       \
        }                                                                                                    \
        if (n) {                                                                                             \
            memcpy(v, px, n * sizeof *v);                                                                    \
            block_##name(s, v, (int32_t)n);                                                                  \
        }                                                                                                    \
    }

LOOK(u8, uint8_t, uint8_t, 0, UINT8_MAX, FINITE_INT)
LOOK(u16, uint16_t, uint16_t, 0, UINT16_MAX, FINITE_INT)
LOOK(u32, uint32_t, uint32_t, 0, UINT32_MAX, FINITE_INT)
LOOK(i16, int16_t, uint16_t, INT16_MIN, INT16_MAX, FINITE_INT)
LOOK(i32, int32_t, uint32_t, INT32_MIN, INT32_MAX, FINITE_INT)
LOOK(f32, float, uint32_t, -INFINITY, INFINITY, FINITE_FLOAT)
LOOK(f64, double, uint64_t, -INFINITY, INFINITY, FINITE_FLOAT)

void fly_saturation_put(struct fly_saturation *saturation, const void *pixels, size_t n)
{
    static void (*const put[FLY_DTYPES])(struct fly_saturation *s, const unsigned char *px, size_t n) = {
        [FLY_U8] = put_u8,   [FLY_U16] = put_u16, [FLY_U32] = put_u32, [FLY_I16] = put_i16,
        [FLY_I32] = put_i32, [FLY_F32] = put_f32, [FLY_F64] = put_f64,
    };

    put[saturation->dtype](saturation, pixels, n);
}

/* ---- what it means ------------------------------------------------------------------------------------- */

/* How many pixels value j may have at the end of a tail that is not cut off; it has two neighbours. */
static double most(const struct fly_tail *tail, int32_t j)
{
    double next = (double)tail->count[j + 1], most = next * next / (double)tail->count[j + 2];

    for (int32_t i = j + 1; i < tail->n; i++)
        most = fmax(most, (double)tail->count[i]);
    return 4.0 * most + 16.0;
}

static struct fly_pile pile_of(const struct fly_tail *tail, int64_t total)
{
    struct fly_pile pile = {.value = NAN};
    int64_t beyond = 0;

    if (!tail->n)
        return pile;
    pile.value = tail->value[0];
    pile.share = (double)tail->count[0] / (double)total;
    for (int32_t j = 0; j + 2 < tail->n; j++) {
        beyond += tail->count[j];
        if ((double)tail->count[j] <= most(tail, j))
            continue;
        pile.piled = 1;
        pile.value = tail->value[j];
        pile.share = (double)beyond / (double)total;
    }
    return pile;
}

struct fly_pile fly_saturation_top(const struct fly_saturation *saturation)
{
    return pile_of(&saturation->top, saturation->total);
}

struct fly_pile fly_saturation_bottom(const struct fly_saturation *saturation)
{
    return pile_of(&saturation->bottom, saturation->total);
}
