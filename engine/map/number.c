#include "engine/map/number.h"

#include <string.h>

#include "engine/base/err.h"
#include "engine/base/rng.h"

static size_t slots_for(int32_t cap)
{
    size_t slots = 16;

    while (slots < 2 * (size_t)cap)
        slots *= 2;
    return slots;
}

size_t fly_numbers_need(int32_t cap)
{
    size_t slots = slots_for(cap);

    return fly_size_add(fly_arena_need(slots, sizeof(uint64_t)), fly_arena_need(slots, sizeof(int32_t)));
}

void fly_numbers_init(struct fly_numbers *numbers, int32_t cap, struct fly_arena *arena)
{
    *numbers = (struct fly_numbers){.cap = cap, .slots = slots_for(cap)};
    numbers->key = fly_arena_take(arena, numbers->slots, sizeof *numbers->key);
    numbers->number = fly_arena_take(arena, numbers->slots, sizeof *numbers->number);
    FLY_ASSERT(numbers->key && numbers->number);
    fly_numbers_clear(numbers);
}

void fly_numbers_clear(struct fly_numbers *numbers)
{
    memset(numbers->number, 0xff, numbers->slots * sizeof *numbers->number);
    numbers->count = 0;
}

/* Where key is, or where it would be. */
static size_t place(const struct fly_numbers *numbers, uint64_t key)
{
    size_t at = (size_t)fly_mix64(key) & (numbers->slots - 1);

    while (numbers->number[at] >= 0 && numbers->key[at] != key)
        at = (at + 1) & (numbers->slots - 1);
    return at;
}

int32_t fly_number(struct fly_numbers *numbers, uint64_t key)
{
    size_t at = place(numbers, key);

    if (numbers->number[at] < 0 && numbers->count < numbers->cap) {
        numbers->key[at] = key;
        numbers->number[at] = numbers->count++;
    }
    return numbers->number[at];
}

int32_t fly_number_find(const struct fly_numbers *numbers, uint64_t key)
{
    return numbers->number[place(numbers, key)];
}

int32_t fly_number_labels(struct fly_numbers *numbers, const int32_t *labels, int32_t n, int32_t *out)
{
    FLY_ASSERT(n <= numbers->cap);
    fly_numbers_clear(numbers);
    for (int32_t i = 0; i < n; i++)
        out[i] = labels[i] < 0 ? labels[i] : fly_number(numbers, (uint64_t)labels[i]);
    return numbers->count;
}
