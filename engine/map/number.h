/* engine/map/number.h: numbers for keys, by first appearance from 0.
 *
 * Clusters come under any numbers, tuples of them as pairs; what is told of them must not depend on how they
 * came to be numbered. Everything in this room numbers by first appearance before it looks (golden
 * definition 10), and so does whoever wants the ids of an `exact` map, which has no history.
 *
 * Bytes    24 to 48 a key that there is room for.
 * Threads  one.
 */
#ifndef FLY_MAP_NUMBER_H
#define FLY_MAP_NUMBER_H

#include <stdint.h>

#include "engine/base/arena.h"

struct fly_numbers {
    int32_t cap;
    int32_t count;   /* given */
    size_t slots;    /* of an open hash, at most half full */
    uint64_t *key;   /* (slots) */
    int32_t *number; /* (slots), -1: free */
};

size_t fly_numbers_need(int32_t cap);
void fly_numbers_init(struct fly_numbers *numbers, int32_t cap, struct fly_arena *arena);
void fly_numbers_clear(struct fly_numbers *numbers);

/* The number of key, the next one where it is new; -1: it is new and all cap are given. */
int32_t fly_number(struct fly_numbers *numbers, uint64_t key);

/* -1: it has none. */
int32_t fly_number_find(const struct fly_numbers *numbers, uint64_t key);

/* Forget all, then number labels (n), n up to cap; those below 0 are no clusters and are passed through. out
 * may be labels. Returns how many there are. */
int32_t fly_number_labels(struct fly_numbers *numbers, const int32_t *labels, int32_t n, int32_t *out);

#endif
