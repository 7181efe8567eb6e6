/* engine/base/arena.h: memory reserved once, handed out in order, given back all at once.
 *
 * An engine reserves its memory at start, from the session's geometry, through the allocator it is
 * handed, and refuses with a message when that does not fit. Work that lives for one step marks the
 * arena, takes what it needs, and resets.
 *
 * Threads  an arena belongs to one thread at a time.
 */
#ifndef FLY_BASE_ARENA_H
#define FLY_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* Where memory comes from. get returns zeroed memory aligned to 64 bytes, or NULL. */
struct fly_alloc {
    void *(*get)(void *ctx, size_t bytes);
    void (*put)(void *ctx, void *ptr, size_t bytes);
    void *ctx;
};

/* The C library's, 64-byte aligned and zeroed. */
struct fly_alloc fly_alloc_system(void);

/* The same, but large blocks are pages that the system finds when they are first written to: for reserves of which
 * most sessions use a part. */
struct fly_alloc fly_alloc_lazy(void);

struct fly_arena {
    unsigned char *base;
    size_t cap;
    size_t used;
    size_t peak;
    struct fly_alloc alloc;
};

/* Reserve bytes. FLY_ENOMEM names `what` and the size. */
FLY_MUST_USE int fly_arena_init(struct fly_arena *arena, size_t bytes, const struct fly_alloc *alloc,
                                const char *what);
void fly_arena_fini(struct fly_arena *arena); /* an arena of zeros is fine */

/* count * size bytes, 64-byte aligned, NOT zeroed after a reset. NULL when the arena is full or the
 * product overflows: whoever reserved it counted wrong, so callers that sized it themselves assert. */
void *fly_arena_take(struct fly_arena *arena, size_t count, size_t size);

size_t fly_arena_mark(const struct fly_arena *arena);
void fly_arena_reset(struct fly_arena *arena, size_t mark);

/* bytes that `count` items of `size` occupy in an arena, rounded up to its alignment; SIZE_MAX when
 * that overflows. Sum these with fly_size_add to learn the reserve before it is made. */
size_t fly_arena_need(size_t count, size_t size);
size_t fly_size_add(size_t a, size_t b); /* saturates at SIZE_MAX */

#endif
