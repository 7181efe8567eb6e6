/* engine/label/support.h: the classes a person made, and the chips that stand for them.
 *
 * A class has an id, a name and support chips. Ids count from 0 in order of creation and are never
 * used again, so that colours and records keep their meaning. A chip supports at most one class.
 *
 * Index    chip as in engine/chip/grid.h.
 * Threads  one.
 */
#ifndef FLY_LABEL_SUPPORT_H
#define FLY_LABEL_SUPPORT_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

enum {
    FLY_CLASSES_MAX    = 32, /* ids 0 .. 31 in the life of a session */
    FLY_CLASS_NAME_MAX = 64, /* bytes of UTF-8 */
};

struct fly_class {
    char name[FLY_CLASS_NAME_MAX + 1];
    int alive;     /* 0: removed; its id stays used */
    int32_t chips; /* support chips now */
};

struct fly_support {
    struct fly_class classes[FLY_CLASSES_MAX];
    int32_t n_classes; /* ids given so far */
    int32_t n_chips;   /* K */
    int8_t *class_of;  /* (K) the class a chip supports, or -1 */
    uint32_t version;  /* grows with every change */
};

size_t fly_support_need(int32_t n_chips);
void fly_support_init(struct fly_support *support, int32_t n_chips, struct fly_arena *arena);

/* Add chips to the class called name, made when there is none; class_id is filled. Nothing changes on
 * error.
 *
 * FLY_ERANGE  an empty or too long name, a chip outside 0 .. K-1, a chip that supports another class
 *             (named), or no id left
 */
FLY_MUST_USE int fly_support_add(struct fly_support *support, const char *name, const int32_t *chips,
                                 int32_t count, int32_t *class_id);

/* Chips stop supporting whatever they support. FLY_ERANGE: a chip supports nothing (named). */
FLY_MUST_USE int fly_support_remove(struct fly_support *support, const int32_t *chips, int32_t count);

/* FLY_ERANGE: no such class, or the new name is taken, empty or too long. */
FLY_MUST_USE int fly_support_rename(struct fly_support *support, const char *name, const char *to);

/* The class and its support go; its id is not used again. FLY_ERANGE: no such class. */
FLY_MUST_USE int fly_support_drop(struct fly_support *support, const char *name);

/* The id of the living class called name, or -1. */
int32_t fly_support_find(const struct fly_support *support, const char *name);

#endif
