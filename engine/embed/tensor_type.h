/* engine/embed/tensor_type.h: the number types a safetensors file may hold, and those that weights may
 * have.
 *
 * Threads  constant data: any.
 */
#ifndef FLY_EMBED_TENSOR_TYPE_H
#define FLY_EMBED_TENSOR_TYPE_H

#include <stdint.h>

struct fly_tensor_type {
    const char *name;                              /* as the format names it, "F32" */
    int64_t bytes;                                 /* of one item */
    float (*as_float)(const unsigned char *item);  /* rounded to nearest; NULL: never weights */
};

/* NULL when the format has no type of that name. */
const struct fly_tensor_type *fly_tensor_type_find(const char *name);

#endif
