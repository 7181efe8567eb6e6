/* Any bytes: a DM file is refused with a message, or it is one: every image that can be read as pixels lies
 * whole within the bytes, and its texts and axes are ended and bounded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim/read_dm.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(int holds)
{
    if (!holds)
        abort();
}

static void check_text(const char text[FLY_DM_TEXT])
{
    must(memchr(text, '\0', FLY_DM_TEXT) != NULL);
}

static void check_image(const struct fly_dm_image *image, size_t len)
{
    int type = fly_dm_type(image->data_type);

    must(image->n_dims >= 0 && image->n_dims <= FLY_DM_DIMS);
    must(image->data_bytes <= len && image->data_at <= len - image->data_bytes);
    if (type >= 0 && image->data_bytes && image->n_dims) {
        uint64_t need = fly_npy_type_size((enum fly_npy_type)type);

        for (int32_t d = 0; d < image->n_dims; d++) {
            must(image->shape[d] >= 1 && (uint64_t)image->shape[d] <= image->data_bytes / need);
            need *= (uint64_t)image->shape[d];
        }
        must(need <= image->data_bytes);
    }
    check_text(image->name);
    check_text(image->signal_name);
    check_text(image->signal);
    check_text(image->format);
    check_text(image->date);
    check_text(image->time);
    check_text(image->specimen);
    for (int32_t d = 0; d < FLY_DM_DIMS; d++)
        check_text(image->axes[d].units);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct fly_dm dm;
    int rc = fly_dm_parse(&dm, bytes, len, "fuzz");

    if (rc < 0) {
        must((rc == FLY_EWIRE || rc == FLY_ERANGE) && *fly_fail_text());
        return 0;
    }
    must(dm.version == 3 || dm.version == 4);
    must(dm.n_images >= 0 && dm.n_images <= FLY_DM_IMAGES);
    for (int32_t i = 0; i < dm.n_images; i++)
        check_image(&dm.images[i], len);
    return 0;
}
