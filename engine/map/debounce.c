#include "engine/map/debounce.h"

#include <string.h>

#include "engine/base/err.h"
#include "engine/map/identity.h"

size_t fly_debounce_need(int32_t n)
{
    return 2 * fly_arena_need((size_t)n, sizeof(int32_t));
}

void fly_debounce_init(struct fly_debounce *debounce, int32_t n, struct fly_arena *arena)
{
    debounce->n = n;
    debounce->waiting = debounce->rest = 0;
    debounce->shown = fly_arena_take(arena, (size_t)n, sizeof *debounce->shown);
    debounce->last = fly_arena_take(arena, (size_t)n, sizeof *debounce->last);
    FLY_ASSERT(debounce->shown && debounce->last);
    for (int32_t i = 0; i < n; i++)
        debounce->shown[i] = debounce->last[i] = FLY_MAP_NONE;
}

static void remember(struct fly_debounce *debounce, const int32_t *labels)
{
    memcpy(debounce->last, labels, (size_t)debounce->n * sizeof *labels);
    debounce->rest = 0;
}

static int is_again(struct fly_debounce *debounce, const int32_t *labels)
{
    return memcmp(debounce->last, labels, (size_t)debounce->n * sizeof *labels) == 0;
}

int fly_debounce_step(struct fly_debounce *debounce, const int32_t *labels, const float *margin,
                      const struct fly_story *story)
{
    int changed = 0;

    if (is_again(debounce, labels))
        return debounce->waiting > 0 && ++debounce->rest == FLY_SHOWN_REST && fly_debounce_settle(debounce, labels);
    debounce->waiting = 0;
    for (int32_t i = 0; i < debounce->n; i++) {
        int32_t *shown = &debounce->shown[i], label = labels[i];

        if (*shown == label)
            continue;
        /* Below 0 it shows no cluster either. */
        if (label < 0 || label == debounce->last[i] || (margin && margin[i] > FLY_SHOWN_MARGIN) ||
            !fly_story_find(story, *shown)) {
            *shown = label;
            changed = 1;
        } else {
            debounce->waiting++;
        }
    }
    remember(debounce, labels);
    return changed;
}

int fly_debounce_settle(struct fly_debounce *debounce, const int32_t *labels)
{
    size_t bytes = (size_t)debounce->n * sizeof *labels;
    int changed = memcmp(debounce->shown, labels, bytes) != 0;

    memcpy(debounce->shown, labels, bytes);
    debounce->waiting = 0;
    remember(debounce, labels);
    return changed;
}
