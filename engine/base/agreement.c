#include "engine/base/agreement.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/base/rng.h"

/* Slots of an open hash for n keys: a power of two, at most half full. */
static size_t slots_for(int32_t n)
{
    size_t slots = 16;

    while (slots < 2 * (size_t)n)
        slots *= 2;
    return slots;
}

/* The index of key among those met so far, from 0; a new key gets the next. */
static int32_t find_or_add(uint64_t key, uint64_t *keys, int32_t *index, size_t slots, int32_t *count)
{
    size_t at = (size_t)fly_mix64(key) & (slots - 1);

    while (index[at] >= 0) {
        if (keys[at] == key)
            return index[at];
        at = (at + 1) & (slots - 1);
    }
    keys[at] = key;
    index[at] = *count;
    return (*count)++;
}

static void hash_take(struct fly_arena *arena, size_t slots, uint64_t **keys, int32_t **index)
{
    *keys = fly_arena_take(arena, slots, sizeof **keys);
    *index = fly_arena_take(arena, slots, sizeof **index);
    FLY_ASSERT(*keys && *index);
    memset(*index, 0xff, slots * sizeof **index);
}

size_t fly_canon_need(int32_t n)
{
    size_t slots = slots_for(n);

    return fly_size_add(fly_arena_need(slots, sizeof(uint64_t)), fly_arena_need(slots, sizeof(int32_t)));
}

int32_t fly_canon(int32_t *out, const int32_t *labels, int32_t n, struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena), slots = slots_for(n);
    uint64_t *keys;
    int32_t *index, count = 0;

    hash_take(arena, slots, &keys, &index);
    for (int32_t i = 0; i < n; i++)
        out[i] = find_or_add((uint32_t)labels[i], keys, index, slots, &count);
    fly_arena_reset(arena, mark);
    return count;
}

size_t fly_contingency_need(int32_t n)
{
    size_t need = fly_canon_need(n); /* also the hash of the cells, later */

    for (int i = 0; i < 7; i++)
        need = fly_size_add(need, fly_arena_need((size_t)n, sizeof(int32_t)));
    return need;
}

void fly_contingency_fill(struct fly_contingency *table, const int32_t *a, const int32_t *b, int32_t n,
                          struct fly_arena *arena)
{
    FLY_ASSERT(n >= 0);
    int32_t **arrays[5] = {&table->size_a, &table->size_b, &table->cell_a, &table->cell_b,
                           &table->cell_count};

    table->n = n;
    for (int i = 0; i < 5; i++) {
        *arrays[i] = fly_arena_take(arena, (size_t)n, sizeof(int32_t));
        FLY_ASSERT(*arrays[i]);
        memset(*arrays[i], 0, (size_t)n * sizeof(int32_t));
    }
    size_t mark = fly_arena_mark(arena), slots = slots_for(n);
    int32_t *part_a = fly_arena_take(arena, (size_t)n, sizeof *part_a);
    int32_t *part_b = fly_arena_take(arena, (size_t)n, sizeof *part_b);
    uint64_t *keys;
    int32_t *index;

    FLY_ASSERT(part_a && part_b);
    table->n_a = fly_canon(part_a, a, n, arena);
    table->n_b = fly_canon(part_b, b, n, arena);
    table->n_cells = 0;
    hash_take(arena, slots, &keys, &index);
    for (int32_t i = 0; i < n; i++) {
        int32_t cell = find_or_add((uint64_t)part_a[i] << 32 | (uint32_t)part_b[i], keys, index, slots,
                                   &table->n_cells);

        table->cell_a[cell] = part_a[i];
        table->cell_b[cell] = part_b[i];
        table->cell_count[cell]++;
        table->size_a[part_a[i]]++;
        table->size_b[part_b[i]]++;
    }
    fly_arena_reset(arena, mark);
}

static int same_partition(const struct fly_contingency *table)
{
    return table->n_cells == table->n_a && table->n_cells == table->n_b;
}

/* Ordered pairs of different things within the same part. */
static __int128 pairs(const int32_t *count, int32_t parts)
{
    __int128 sum = 0;

    for (int32_t i = 0; i < parts; i++)
        sum += (__int128)count[i] * (count[i] - 1);
    return sum;
}

/* Hubert and Arabie by the four counts of pairs, as scikit-learn forms them. */
double fly_contingency_ari(const struct fly_contingency *table)
{
    if (same_partition(table))
        return 1.0;
    __int128 all = (__int128)table->n * (table->n - 1);
    __int128 both = pairs(table->cell_count, table->n_cells);
    __int128 only_a = pairs(table->size_a, table->n_a) - both;
    __int128 only_b = pairs(table->size_b, table->n_b) - both;
    __int128 neither = all - both - only_a - only_b;
    /* Two partitions that differ, differ in a pair: the denominator is not 0. Its terms stay below
     * 2^124, since n < 2^31. */
    double above = (double)(both * neither - only_a * only_b);
    double below = (double)((both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither));

    return 2.0 * above / below;
}

static double entropy(const int32_t *size, int32_t parts, int32_t n)
{
    double sum = 0.0;

    for (int32_t i = 0; i < parts; i++)
        sum -= (double)size[i] / n * log((double)size[i] / n);
    return sum;
}

static double mutual_information(const struct fly_contingency *table)
{
    double sum = 0.0, n = table->n;

    for (int32_t i = 0; i < table->n_cells; i++) {
        double count = table->cell_count[i];
        double a = table->size_a[table->cell_a[i]], b = table->size_b[table->cell_b[i]];

        sum += count / n * log(n * count / (a * b));
    }
    return sum > 0.0 ? sum : 0.0;
}

/* Sizes that occur, ascending, and how many parts have each. Returns how many sizes. */
static int32_t sizes_of(const int32_t *size, int32_t parts, int32_t n, int32_t *histogram, int32_t *value,
                        int32_t *times)
{
    int32_t distinct = 0;

    memset(histogram, 0, ((size_t)n + 1) * sizeof *histogram);
    for (int32_t i = 0; i < parts; i++)
        histogram[size[i]]++;
    for (int32_t s = 1; s <= n; s++)
        if (histogram[s]) {
            value[distinct] = s;
            times[distinct++] = histogram[s];
        }
    return distinct;
}

/* What a cell of parts of a and b things brings on average when the things are dealt at random:
 * eq. 24a of Vinh et al., the hypergeometric law in logarithms of factorials. */
static double expected_cell(int32_t a, int32_t b, int32_t n, const double *log_fact)
{
    int32_t low = a + b - n > 1 ? a + b - n : 1, high = a < b ? a : b;
    double sides = log_fact[a] + log_fact[b] + log_fact[n - a] + log_fact[n - b] - log_fact[n];
    double sum = 0.0;

    for (int32_t k = low; k <= high; k++) {
        double chance = exp(sides - log_fact[k] - log_fact[a - k] - log_fact[b - k] -
                            log_fact[n - a - b + k]);

        sum += (double)k / n * log((double)n * k / ((double)a * b)) * chance;
    }
    return sum;
}

/* Sizes that differ add up to n at most, so there are fewer than sqrt(2 n) of them. */
static size_t sizes_cap(int32_t n)
{
    return (size_t)sqrt(2.0 * n) + 1;
}

size_t fly_agreement_need(int32_t n)
{
    size_t need = fly_size_add(fly_arena_need((size_t)n + 1, sizeof(double)),
                               fly_arena_need((size_t)n + 1, sizeof(int32_t)));

    for (int i = 0; i < 4; i++)
        need = fly_size_add(need, fly_arena_need(sizes_cap(n), sizeof(int32_t)));
    return need;
}

static double expected_information(const struct fly_contingency *table, struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    int32_t n = table->n, *lists[4];
    int sign; /* of gamma: lgamma would put it into a variable that threads share */
    double *log_fact = fly_arena_take(arena, (size_t)n + 1, sizeof *log_fact), sum = 0.0;
    int32_t *histogram = fly_arena_take(arena, (size_t)n + 1, sizeof *histogram);

    FLY_ASSERT(log_fact && histogram);
    for (int i = 0; i < 4; i++) {
        lists[i] = fly_arena_take(arena, sizes_cap(n), sizeof(int32_t));
        FLY_ASSERT(lists[i]);
    }
    /* lgamma itself, not a running sum of logarithms: its error does not grow with n. */
    for (int32_t i = 0; i <= n; i++)
        log_fact[i] = lgamma_r((double)i + 1.0, &sign);
    int32_t n_a = sizes_of(table->size_a, table->n_a, n, histogram, lists[0], lists[1]);
    int32_t n_b = sizes_of(table->size_b, table->n_b, n, histogram, lists[2], lists[3]);

    for (int32_t i = 0; i < n_a; i++)
        for (int32_t j = 0; j < n_b; j++)
            sum += (double)lists[1][i] * lists[3][j] *
                   expected_cell(lists[0][i], lists[2][j], n, log_fact);
    fly_arena_reset(arena, mark);
    return sum;
}

double fly_contingency_ami(const struct fly_contingency *table, struct fly_arena *arena)
{
    if (same_partition(table))
        return 1.0;
    double information = mutual_information(table), expected = expected_information(table, arena);
    double mean = 0.5 * (entropy(table->size_a, table->n_a, table->n) +
                         entropy(table->size_b, table->n_b, table->n));
    double span = mean - expected;

    /* The sign is kept and a 0 avoided, as scikit-learn does. */
    span = span < 0.0 ? fmin(span, -DBL_EPSILON) : fmax(span, DBL_EPSILON);
    return (information - expected) / span;
}

static double from_labels(const int32_t *a, const int32_t *b, int32_t n, int want_ari)
{
    struct fly_alloc alloc = fly_alloc_system();
    struct fly_contingency table;
    struct fly_arena arena;
    double value;

    if (n < 0 || fly_arena_init(&arena, fly_size_add(fly_contingency_need(n), fly_agreement_need(n)), &alloc,
                                "agreement of two partitions") < 0)
        return NAN;
    fly_contingency_fill(&table, a, b, n, &arena);
    value = want_ari ? fly_contingency_ari(&table) : fly_contingency_ami(&table, &arena);
    fly_arena_fini(&arena);
    return value;
}

double fly_ari(const int32_t *a, const int32_t *b, int32_t n)
{
    return from_labels(a, b, n, 1);
}

double fly_ami(const int32_t *a, const int32_t *b, int32_t n)
{
    return from_labels(a, b, n, 0);
}
