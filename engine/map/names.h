/* engine/map/names.h: what a person calls the clusters of a map, and takes them for.
 *
 * A name or a role belongs to an id and follows it from map to map. Where clusters merge, the id that stays
 * brings its own; the other's stays with its id and is back when that is revived (identity.h). Where an id stayed
 * on a cluster that has little in common with what it was (story.h: weak), its name is doubtful until a person
 * gives it again.
 *
 * Threads  one.
 */
#ifndef FLY_MAP_NAMES_H
#define FLY_MAP_NAMES_H

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/map/story.h"

enum {
    FLY_NAMES_MAX = 256,        /* clusters of one map with a name or a role, living or not */
    FLY_CLUSTER_NAME_MAX = 64, /* bytes of UTF-8 */
};

enum fly_role { FLY_ROLE_NONE = 0, FLY_ROLE_ORDERED, FLY_ROLE_DISORDERED, FLY_ROLE_OTHER };

struct fly_name {
    int32_t id;
    enum fly_role role;
    int doubtful; /* 1: given to something else, perhaps */
    char name[FLY_CLUSTER_NAME_MAX + 1]; /* "": a role alone */
};

struct fly_names {
    struct fly_name name[FLY_NAMES_MAX]; /* in the order given */
    int32_t count;
    uint32_t version; /* grows with every change */
};

void fly_names_init(struct fly_names *names);

/* "ordered", "disordered" or "other". FLY_ERANGE: another word. */
FLY_MUST_USE int fly_role_of(const char *word, enum fly_role *role);
const char *fly_role_word(enum fly_role role); /* NULL: FLY_ROLE_NONE */

/* Call the cluster `to`, or take it for `role`; "" and FLY_ROLE_NONE take that back. Nothing changes on error.
 *
 * FLY_ERANGE  the id is of no living cluster of the story, the name is too long, or FLY_NAMES_MAX have one (an id
 *             that has one already may be gone, and can always be changed)
 */
FLY_MUST_USE int fly_names_call(struct fly_names *names, const struct fly_story *story, int32_t id,
                                const char *to);
FLY_MUST_USE int fly_names_take_for(struct fly_names *names, const struct fly_story *story, int32_t id,
                                    enum fly_role role);

/* After every fly_story_tell: mark what became doubtful. 1: something did. */
int fly_names_follow(struct fly_names *names, const struct fly_story *story);

/* NULL: the id has neither name nor role. Lent until the next change. */
const struct fly_name *fly_names_find(const struct fly_names *names, int32_t id);

#endif
