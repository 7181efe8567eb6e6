#include <math.h>

#include "engine/tree/ward_state.h"

/* Told ids: points, then N + the number of a merge. */
static int32_t size_of(const struct fly_ward *ward, int32_t id)
{
    return id < ward->state->n ? 1 : ward->merge[id - ward->state->n].size;
}

/* Between the centroids of what a merge joins: its height without the sizes. */
static double centroids_apart(const struct fly_ward *ward, const struct fly_ward_merge *m)
{
    return m->height / sqrt(2.0 * fly_ward_merged(size_of(ward, m->a), size_of(ward, m->b)));
}

int32_t fly_ward_cut(struct fly_ward *ward, int32_t k, int32_t *label)
{
    struct fly_ward_state *s = ward->state;
    int32_t *root = s->label, *number = root + s->nodes, clusters = 0, n = s->n;
    int32_t below = ward->count - (k < ward->count ? k : ward->count);

    FLY_ASSERT(k >= 1);
    s->cut = k < ward->count ? k : ward->count;
    for (int32_t id = 0; id < s->nodes; id++) {
        root[id] = id;
        number[id] = -1;
    }
    for (int32_t m = below - 1; m >= 0; m--)
        root[ward->merge[m].a] = root[ward->merge[m].b] = root[n + m];
    for (int32_t i = 0; i < n; i++) {
        label[i] = -1;
        if (!s->there[i])
            continue;
        if (number[root[i]] < 0)
            number[root[i]] = clusters++;
        label[i] = number[root[i]];
    }
    return clusters;
}

double fly_ward_height(const struct fly_ward *ward, int32_t k)
{
    FLY_ASSERT(k >= 1);
    if (k == 1)
        return INFINITY;
    return k > ward->count ? 0.0 : ward->merge[ward->count - k].height;
}

void fly_ward_confidence(struct fly_ward *ward, float *confidence)
{
    struct fly_ward_state *s = ward->state;
    int32_t n = s->n, below = ward->count - s->cut;
    double *d1 = s->down, *d2 = s->down + s->nodes;

    FLY_ASSERT(s->cut > 0 || ward->count == 0);
    for (int32_t id = 0; id < s->nodes; id++) {
        d1[id] = 0.0;
        d2[id] = INFINITY;
    }
    for (int32_t m = ward->count - 2; m >= 0; m--) {
        const struct fly_ward_merge *merge = &ward->merge[m];
        double apart = centroids_apart(ward, merge);
        int32_t minor = size_of(ward, merge->a) < size_of(ward, merge->b) ? merge->a : merge->b;

        if (m >= below) {
            d2[merge->a] = d2[merge->b] = apart;
            continue;
        }
        d1[merge->a] = d1[merge->b] = d1[n + m];
        d2[merge->a] = d2[merge->b] = d2[n + m];
        if (d1[minor] == 0.0)
            d1[minor] = apart;
    }
    for (int32_t i = 0; i < n; i++)
        confidence[i] = !s->there[i]                             ? NAN
                        : d1[i] == 0.0 || isinf(d2[i])           ? 1.0f
                                                                 : (float)(d2[i] / (d1[i] + d2[i]));
}
