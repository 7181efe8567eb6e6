#include "engine/map/names.h"

#include <string.h>

static const char *const words[] = {NULL, "ordered", "disordered", "other"};
enum { WORDS = sizeof words / sizeof *words };

void fly_names_init(struct fly_names *names)
{
    memset(names, 0, sizeof *names);
}

int fly_role_of(const char *word, enum fly_role *role)
{
    for (int r = 1; r < WORDS; r++)
        if (strcmp(word, words[r]) == 0) {
            *role = (enum fly_role)r;
            return FLY_OK;
        }
    return fly_fail(FLY_ERANGE, "cluster role '%.64s', allowed are ordered, disordered, other", word);
}

const char *fly_role_word(enum fly_role role)
{
    return words[role];
}

static int32_t find(const struct fly_names *names, int32_t id)
{
    for (int32_t k = 0; k < names->count; k++)
        if (names->name[k].id == id)
            return k;
    return -1;
}

const struct fly_name *fly_names_find(const struct fly_names *names, int32_t id)
{
    int32_t k = find(names, id);

    return k >= 0 ? &names->name[k] : NULL;
}

/* The entry of an id as it is, or an empty one to be. */
static int look_up(const struct fly_names *names, const struct fly_story *story, int32_t id, int32_t *at,
                   struct fly_name *name)
{
    *at = find(names, id);
    if (*at >= 0) {
        *name = names->name[*at];
        name->doubtful = 0; /* a person looked at it */
        return FLY_OK;
    }
    if (!fly_story_find(story, id))
        return fly_fail(FLY_ERANGE, "no cluster has the id %d now, of %d in this map", id, story->count);
    if (names->count == FLY_NAMES_MAX)
        return fly_fail(FLY_ERANGE, "cluster %d would be number %d with a name or a role, %d are allowed", id,
                        FLY_NAMES_MAX + 1, FLY_NAMES_MAX);
    *at = names->count;
    *name = (struct fly_name){.id = id};
    return FLY_OK;
}

static void put(struct fly_names *names, int32_t at, const struct fly_name *name)
{
    if (name->name[0] || name->role != FLY_ROLE_NONE) {
        names->name[at] = *name;
        names->count += at == names->count;
    } else if (at < names->count) {
        names->count--;
        memmove(names->name + at, names->name + at + 1, (size_t)(names->count - at) * sizeof *names->name);
    }
    names->version++;
}

int fly_names_call(struct fly_names *names, const struct fly_story *story, int32_t id, const char *to)
{
    struct fly_name name;
    size_t len = strlen(to);
    int32_t at;
    int rc;

    if (len > FLY_CLUSTER_NAME_MAX)
        return fly_fail(FLY_ERANGE, "cluster name of %zu bytes, allowed are 0 .. %d", len, FLY_CLUSTER_NAME_MAX);
    rc = look_up(names, story, id, &at, &name);
    if (rc < 0)
        return rc;
    memcpy(name.name, to, len + 1);
    put(names, at, &name);
    return FLY_OK;
}

int fly_names_take_for(struct fly_names *names, const struct fly_story *story, int32_t id, enum fly_role role)
{
    struct fly_name name;
    int32_t at;
    int rc = look_up(names, story, id, &at, &name);

    if (rc < 0)
        return rc;
    name.role = role;
    put(names, at, &name);
    return FLY_OK;
}

int fly_names_follow(struct fly_names *names, const struct fly_story *story)
{
    int changed = 0;

    for (int32_t k = 0; k < names->count; k++) {
        const struct fly_cluster *cluster = fly_story_find(story, names->name[k].id);

        if (!cluster || !(cluster->events & FLY_CLUSTER_WEAK) || names->name[k].doubtful)
            continue;
        names->name[k].doubtful = 1;
        changed = 1;
    }
    names->version += (uint32_t)changed;
    return changed;
}
