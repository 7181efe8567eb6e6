#include "engine/base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static void *system_get(void *ctx, size_t bytes)
{
    (void)ctx;
    if (bytes > SIZE_MAX - ALIGN)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    void *ptr = aligned_alloc(ALIGN, bytes ? bytes : ALIGN);

    if (ptr)
        memset(ptr, 0, bytes);
    return ptr;
}

static void system_put(void *ctx, void *ptr, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(ptr);
}

struct fly_alloc fly_alloc_system(void)
{
    return (struct fly_alloc){.get = system_get, .put = system_put, .ctx = NULL};
}

/* calloc asks the system for large blocks, and those are zeros already. Where it lay stands before what is handed
 * out. */
static void *lazy_get(void *ctx, size_t bytes)
{
    unsigned char *block = bytes <= SIZE_MAX - 2 * ALIGN ? calloc(1, bytes + 2 * ALIGN) : NULL;
    uintptr_t at = ((uintptr_t)block + 2 * ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);

    (void)ctx;
    if (!block)
        return NULL;
    memcpy((unsigned char *)at - sizeof block, &block, sizeof block);
    return (void *)at;
}

static void lazy_put(void *ctx, void *ptr, size_t bytes)
{
    unsigned char *block;

    (void)ctx;
    (void)bytes;
    memcpy(&block, (unsigned char *)ptr - sizeof block, sizeof block);
    free(block);
}

struct fly_alloc fly_alloc_lazy(void)
{
    return (struct fly_alloc){.get = lazy_get, .put = lazy_put, .ctx = NULL};
}

size_t fly_size_add(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

size_t fly_arena_need(size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - ALIGN) / size)
        return SIZE_MAX;
    return (count * size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

int fly_arena_init(struct fly_arena *arena, size_t bytes, const struct fly_alloc *alloc,
                   const char *what)
{
    struct fly_alloc from = alloc ? *alloc : fly_alloc_system();
    unsigned char *base = bytes < SIZE_MAX ? from.get(from.ctx, bytes) : NULL;

    if (!base)
        return fly_fail(FLY_ENOMEM, "%s: no memory for its %zu MiB", what, bytes >> 20);
    *arena = (struct fly_arena){.base = base, .cap = bytes, .alloc = from};
    return FLY_OK;
}

void fly_arena_fini(struct fly_arena *arena)
{
    if (arena->base)
        arena->alloc.put(arena->alloc.ctx, arena->base, arena->cap);
    *arena = (struct fly_arena){0};
}

void *fly_arena_take(struct fly_arena *arena, size_t count, size_t size)
{
    size_t bytes = fly_arena_need(count, size);

    if (bytes > arena->cap - arena->used)
        return NULL;
    void *ptr = arena->base + arena->used;

    arena->used += bytes;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return ptr;
}

size_t fly_arena_mark(const struct fly_arena *arena)
{
    return arena->used;
}

void fly_arena_reset(struct fly_arena *arena, size_t mark)
{
    FLY_ASSERT(mark <= arena->used);
    arena->used = mark;
}
