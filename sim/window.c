#include "sim/window.h"

#include <stdlib.h>
#include <string.h>

/* One message and its bytes behind it. NULL in the ring: acknowledged, while older ones are not. */
struct entry {
    struct fly_kept kept;
    size_t bytes;
    unsigned char data[];
};

struct fly_window {
    struct entry **ring;
    uint64_t mask;
    uint64_t head, tail, next; /* oldest, one past the newest, next to send; head <= next <= tail */
    size_t bytes, bytes_max;
    int32_t count, messages_max;
    uint64_t resent;
};

int fly_window_open(struct fly_window **out, size_t bytes_max, int32_t messages_max)
{
    if (bytes_max < FLY_HEADER_MAX || messages_max < 16 || messages_max > 1 << 22)
        return fly_fail(FLY_ERANGE, "window of %zu bytes and %d messages, at least %d and 16 .. %d", bytes_max,
                        messages_max, FLY_HEADER_MAX, 1 << 22);
    struct fly_window *w = calloc(1, sizeof *w);
    /* Acknowledged messages leave holes behind an old one that is not: twice the room. */
    uint64_t slots = 64;

    while (slots < 2 * ((uint64_t)messages_max + FLY_WINDOW_CONTROL_RESERVE))
        slots *= 2;
    if (w)
        w->ring = calloc(slots, sizeof *w->ring);
    if (!w || !w->ring) {
        free(w);
        return fly_fail(FLY_ENOMEM, "window of %d messages: no memory", messages_max);
    }
    w->mask = slots - 1;
    w->bytes_max = bytes_max;
    w->messages_max = messages_max;
    *out = w;
    return FLY_OK;
}

void fly_window_close(struct fly_window **window)
{
    if (!*window)
        return;
    for (uint64_t i = (*window)->head; i != (*window)->tail; i++)
        free((*window)->ring[i & (*window)->mask]);
    free((*window)->ring);
    free(*window);
    *window = NULL;
}

int fly_window_put(struct fly_window *w, int32_t stream, uint64_t seq, const struct fly_part *parts,
                   int32_t n_parts)
{
    FLY_ASSERT(seq > 0 && n_parts >= 1 && n_parts <= FLY_PARTS_MAX);
    int32_t reserve = stream == 0 ? FLY_WINDOW_CONTROL_RESERVE : 0;
    size_t bytes = 0;

    for (int32_t i = 0; i < n_parts; i++)
        bytes += parts[i].len;
    if (bytes > w->bytes_max)
        return fly_fail(FLY_ERANGE, "a message of %zu bytes, the window has %zu", bytes, w->bytes_max);
    if (w->count >= w->messages_max + reserve || (!reserve && w->bytes + bytes > w->bytes_max) ||
        w->tail - w->head > w->mask)
        return FLY_EAGAIN;
    struct entry *entry = malloc(sizeof *entry + bytes);

    if (!entry)
        return fly_fail(FLY_ENOMEM, "window: no memory for a message of %zu bytes", bytes);
    entry->kept = (struct fly_kept){.stream = stream, .seq = seq, .n_parts = n_parts};
    entry->bytes = bytes;
    size_t at = 0;

    for (int32_t i = 0; i < n_parts; i++) {
        if (parts[i].len)
            memcpy(entry->data + at, parts[i].bytes, parts[i].len);
        entry->kept.parts[i] = (struct fly_part){entry->data + at, parts[i].len};
        at += parts[i].len;
    }
    w->ring[w->tail++ & w->mask] = entry;
    w->bytes += bytes;
    w->count++;
    return FLY_OK;
}

static void skip_holes(struct fly_window *w)
{
    while (w->head != w->tail && !w->ring[w->head & w->mask])
        w->head++;
    if (w->next < w->head)
        w->next = w->head;
    while (w->next != w->tail && !w->ring[w->next & w->mask])
        w->next++;
}

int fly_window_next(struct fly_window *w, struct fly_kept *kept)
{
    skip_holes(w);
    if (w->next == w->tail)
        return FLY_EAGAIN;
    *kept = w->ring[w->next & w->mask]->kept;
    return FLY_OK;
}

void fly_window_sent(struct fly_window *w)
{
    FLY_ASSERT(w->next != w->tail && w->ring[w->next & w->mask]);
    if (w->ring[w->next & w->mask]->kept.sends++)
        w->resent++;
    w->next++;
}

int32_t fly_window_ack(struct fly_window *w, int32_t stream, uint64_t durable_seq)
{
    int32_t gone = 0;

    for (uint64_t i = w->head; i != w->tail; i++) {
        struct entry *entry = w->ring[i & w->mask];

        if (!entry || entry->kept.stream != stream || entry->kept.seq > durable_seq)
            continue;
        w->bytes -= entry->bytes;
        w->count--;
        gone++;
        free(entry);
        w->ring[i & w->mask] = NULL;
    }
    skip_holes(w);
    return gone;
}

void fly_window_rewind(struct fly_window *w)
{
    w->next = w->head;
}

void fly_window_swap(struct fly_window *w, int32_t back)
{
    uint64_t newest = w->tail - 1, other = newest - (uint64_t)back;

    skip_holes(w);
    if (back < 1 || w->tail - w->next <= (uint64_t)back)
        return;
    struct entry *a = w->ring[newest & w->mask], *b = w->ring[other & w->mask];

    if (!a || !b || a->kept.stream == 0 || b->kept.stream == 0 || a->kept.sends || b->kept.sends)
        return;
    w->ring[newest & w->mask] = b;
    w->ring[other & w->mask] = a;
}

int32_t fly_window_count(const struct fly_window *w)
{
    return w->count;
}

int32_t fly_window_unsent(const struct fly_window *w)
{
    int32_t count = 0;

    for (uint64_t i = w->next; i != w->tail; i++)
        count += w->ring[i & w->mask] != NULL;
    return count;
}

size_t fly_window_bytes(const struct fly_window *w)
{
    return w->bytes;
}

uint64_t fly_window_resent(const struct fly_window *w)
{
    return w->resent;
}
