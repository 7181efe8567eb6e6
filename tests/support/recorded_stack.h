/* A session of some frames in a recording, as an acquisition would have sent it. After cmocka.h. */
#ifndef TESTS_RECORDED_STACK_H
#define TESTS_RECORDED_STACK_H

#include <unistd.h>

#include "sim/acquire.h"
#include "sim/tool.h"
#include "stream/disk.h"
#include "stream/recording.h"

struct recorded_stack {
    const char *path;                             /* what is there goes */
    struct fly_specimen *specimen;                /* lent */
    struct fly_beam *beam;                        /* lent */
    struct fly_acquire_config scan;
    int32_t cut_px;                               /* of the last frame only the blocks that end there, or above */
    int backwards;                                /* the last frame first */
    void (*taught)(struct fly_recorder *recorder); /* what a person said after the start, or NULL */
};

static inline void recorded_append(struct fly_recorder *recorder, const struct fly_message *m)
{
    uint64_t ticket = 0;
    int rc;

    while ((rc = fly_recorder_append(recorder, FLY_REC_INGEST, 1, m->parts, m->n_parts, &ticket)) == FLY_EAGAIN)
        assert_int_equal(fly_recorder_wait(recorder, ticket, 10000), FLY_OK);
    assert_int_equal(rc, FLY_OK);
}

static inline void recorded_frame(struct fly_recorder *recorder, const struct recorded_stack *stack,
                                  struct fly_acquire *acquire, int64_t frame)
{
    const struct fly_acquire_config *scan = &stack->scan;
    struct fly_message m;

    for (int32_t step = 0; step < fly_scan_blocks(&scan->scan); step++) {
        int32_t y0, lines;

        fly_scan_block(&scan->scan, frame, step, &y0, &lines);
        if (frame == scan->frames - 1 && y0 + lines > stack->cut_px)
            continue;
        for (int32_t stream = 1; stream < fly_acquire_streams(acquire); stream++) {
            assert_int_equal(fly_acquire_block(acquire, frame, step, stream, 5, &m), FLY_OK);
            recorded_append(recorder, &m);
        }
    }
}

static inline void record_stack(const struct recorded_stack *stack)
{
    struct fly_recorder_config config = {.path = stack->path, .disk = fly_disk_system(), .clock = fly_tool_clock(),
                                         .ring_bytes = 1 << 24, .sync_ms = 5, .writers = 1, .wake_fd = -1};
    struct fly_acquire *acquire = NULL;
    struct fly_recorder *recorder = NULL;
    struct fly_message m;

    unlink(stack->path);
    assert_int_equal(fly_acquire_open(&acquire, stack->specimen, stack->beam, &stack->scan), FLY_OK);
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    fly_acquire_start(acquire, 1000, &m);
    recorded_append(recorder, &m);
    if (stack->taught)
        stack->taught(recorder);
    for (int64_t i = 0; i < stack->scan.frames; i++)
        recorded_frame(recorder, stack, acquire, stack->backwards ? stack->scan.frames - 1 - i : i);
    fly_acquire_stop(acquire, 9000, "success", "", &m);
    recorded_append(recorder, &m);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    fly_acquire_close(&acquire);
}

#endif
