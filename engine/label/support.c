#include "engine/label/support.h"

#include <string.h>

size_t fly_support_need(int32_t n_chips)
{
    return fly_arena_need((size_t)n_chips, sizeof(int8_t));
}

void fly_support_init(struct fly_support *support, int32_t n_chips, struct fly_arena *arena)
{
    memset(support, 0, sizeof *support);
    support->n_chips = n_chips;
    support->class_of = fly_arena_take(arena, (size_t)n_chips, sizeof(int8_t));
    FLY_ASSERT(support->class_of);
    memset(support->class_of, -1, (size_t)n_chips);
}

int32_t fly_support_find(const struct fly_support *support, const char *name)
{
    for (int32_t c = 0; c < support->n_classes; c++)
        if (support->classes[c].alive && strcmp(support->classes[c].name, name) == 0)
            return c;
    return -1;
}

static int check_name(const char *name)
{
    size_t len = strlen(name);

    if (len < 1 || len > FLY_CLASS_NAME_MAX)
        return fly_fail(FLY_ERANGE, "class name of %zu bytes, allowed are 1 .. %d", len,
                        FLY_CLASS_NAME_MAX);
    return FLY_OK;
}

static int find_or_fail(const struct fly_support *support, const char *name)
{
    int32_t c = fly_support_find(support, name);

    return c >= 0 ? c : fly_fail(FLY_ERANGE, "no class is called '%.64s'", name);
}

int fly_support_add(struct fly_support *support, const char *name, const int32_t *chips, int32_t count,
                    int32_t *class_id)
{
    int rc = check_name(name);
    int32_t c;

    if (rc < 0)
        return rc;
    c = fly_support_find(support, name);
    if (c < 0 && support->n_classes == FLY_CLASSES_MAX)
        return fly_fail(FLY_ERANGE, "class '%s' would be number %d of this session, %d are allowed", name,
                        FLY_CLASSES_MAX + 1, FLY_CLASSES_MAX);
    for (int32_t i = 0; i < count; i++) {
        if (chips[i] < 0 || chips[i] >= support->n_chips)
            return fly_fail(FLY_ERANGE, "chip %d, the grid has 0 .. %d", chips[i], support->n_chips - 1);
        int32_t holder = support->class_of[chips[i]];

        if (holder >= 0 && holder != c)
            return fly_fail(FLY_ERANGE, "chip %d already supports class '%s'", chips[i],
                            support->classes[holder].name);
    }
    if (c < 0) {
        c = support->n_classes++;
        support->classes[c] = (struct fly_class){.alive = 1};
        memcpy(support->classes[c].name, name, strlen(name) + 1);
    }
    for (int32_t i = 0; i < count; i++) {
        support->classes[c].chips += support->class_of[chips[i]] != c;
        support->class_of[chips[i]] = (int8_t)c;
    }
    support->version++;
    *class_id = c;
    return FLY_OK;
}

int fly_support_remove(struct fly_support *support, const int32_t *chips, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (chips[i] < 0 || chips[i] >= support->n_chips)
            return fly_fail(FLY_ERANGE, "chip %d, the grid has 0 .. %d", chips[i], support->n_chips - 1);
        if (support->class_of[chips[i]] < 0)
            return fly_fail(FLY_ERANGE, "chip %d supports no class", chips[i]);
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t holder = support->class_of[chips[i]];

        if (holder < 0)
            continue; /* named twice in this call */
        support->classes[holder].chips--;
        support->class_of[chips[i]] = -1;
    }
    support->version++;
    return FLY_OK;
}

int fly_support_rename(struct fly_support *support, const char *name, const char *to)
{
    int32_t c = find_or_fail(support, name), taken;
    int rc = check_name(to);

    if (c < 0)
        return c;
    if (rc < 0)
        return rc;
    taken = fly_support_find(support, to);
    if (taken >= 0 && taken != c)
        return fly_fail(FLY_ERANGE, "a class is already called '%s'", to);
    memcpy(support->classes[c].name, to, strlen(to) + 1);
    support->version++;
    return FLY_OK;
}

int fly_support_drop(struct fly_support *support, const char *name)
{
    int32_t c = find_or_fail(support, name);

    if (c < 0)
        return c;
    for (int32_t k = 0; k < support->n_chips; k++)
        if (support->class_of[k] == c)
            support->class_of[k] = -1;
    support->classes[c].alive = 0;
    support->classes[c].chips = 0;
    support->version++;
    return FLY_OK;
}
