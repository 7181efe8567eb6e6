/* engine/embed/safetensors.h: named arrays of numbers out of a safetensors file's bytes.
 *
 * The format (github.com/huggingface/safetensors, "Format"): 8 bytes length of the header, little
 * endian; the header, a JSON object from tensor name to {dtype, shape, data_offsets [begin, end)} and
 * optionally "__metadata__", a map of strings; the data. As there, the tensors' ranges must neither
 * overlap nor leave a byte of the data unused. Nothing here trusts a number of the file.
 *
 * The bytes stay the caller's and must live as long as the object.
 *
 * Threads  a plain value after open: read it from anywhere.
 */
#ifndef FLY_EMBED_SAFETENSORS_H
#define FLY_EMBED_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

enum {
    FLY_TENSOR_DIMS = 8,
    FLY_SAFETENSORS_HEADER_CAP = 16 << 20, /* bytes; VGG16's is under 4000 */
};

struct fly_tensor {
    const char *name;
    const char *dtype;            /* "F32"; as the format names them */
    int32_t dims;                 /* 0 .. FLY_TENSOR_DIMS */
    int64_t shape[FLY_TENSOR_DIMS];
    int64_t items;                /* product of shape */
    const unsigned char *data;    /* inside the bytes handed in; may be unaligned */
};

struct fly_safetensors;

/* `name` is what messages call the file; it is copied.
 *
 * FLY_EWIRE   truncated, a header over its cap, not the JSON described above, an unknown dtype, a name
 *             twice, a range outside the data, unlike its shape, overlapping another or leaving a hole
 * FLY_ENOMEM
 */
FLY_MUST_USE int fly_safetensors_open(struct fly_safetensors **out, const void *bytes, size_t len,
                                      const char *name);
void fly_safetensors_close(struct fly_safetensors **file); /* NULL inside is fine */

/* In the order of their data. at: 0 .. count-1. */
int32_t fly_safetensors_count(const struct fly_safetensors *file);
const struct fly_tensor *fly_safetensors_at(const struct fly_safetensors *file, int32_t at);

/* NULL when there is none of that name. */
const struct fly_tensor *fly_safetensors_find(const struct fly_safetensors *file, const char *name);
const char *fly_safetensors_metadata(const struct fly_safetensors *file, const char *key);

/* The tensor's items as float into out (items of shape). F32 as they are; F16, BF16 and F64 converted,
 * F64 rounded to nearest.
 *
 * FLY_EWIRE  no tensor of that name, other dimensions than (dims, shape), not a float type, or a value
 *            that is not a finite float
 */
FLY_MUST_USE int fly_safetensors_read(const struct fly_safetensors *file, const char *name,
                                      int32_t dims, const int64_t *shape, float *out);

#endif
