/* tests/bench/bench_wire.c: what a message costs before it is assembled: scan, decode, hash, note.
 *
 * Prints one JSON object a line: name, size (bytes of the message), threads, median, unit. The median is
 * over rounds of many calls each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

#include "stream/publish.h"
#include "stream/sequence.h"
#include "stream/wire.h"

static FILE *bench_out;

enum { ROUNDS = 31 };

static struct fly_session_view view;
static struct fly_start start, scratch;
static struct fly_part parts[3];
static int32_t n_parts;
static struct fly_sequence sequence;
static uint64_t next_seq;
static uint64_t sink; /* results end here, so that nothing is optimised away */

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(const char *name, void (*call)(void), int calls, double bytes)
{
    double round[ROUNDS];
    size_t size = 0;

    for (int32_t i = 0; i < n_parts; i++)
        size += parts[i].len;
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now_ns();

        for (int i = 0; i < calls; i++)
            call();
        round[r] = (now_ns() - begin) / calls;
    }
    qsort(round, ROUNDS, sizeof round[0], by_value);
    if (bytes > 0)
        fprintf(bench_out, "{\"name\": \"%s\", \"size\": %zu, \"threads\": 1, \"median\": %.3f, \"unit\": \"GB/s\"}\n",
               name, size, bytes / round[ROUNDS / 2]);
    else
        fprintf(bench_out, "{\"name\": \"%s\", \"size\": %zu, \"threads\": 1, \"median\": %.1f, \"unit\": \"ns\"}\n",
               name, size, round[ROUNDS / 2]);
}

static void call_scan(void)
{
    sink += fly_wire_scan(parts[0].bytes, parts[0].len);
}

static void call_decode(void)
{
    struct fly_ingest msg;

    sink += fly_ingest_decode(&msg, &scratch, parts, n_parts, &view);
    sink += msg.seq;
}

static void call_hash(void)
{
    sink += fly_hash_parts(parts, n_parts);
}

static void call_note(void)
{
    struct fly_noted noted;

    next_seq++;
    sink += (uint64_t)fly_sequence_note(&sequence, next_seq, next_seq * 31, &noted);
    fly_sequence_mark(&sequence, next_seq, next_seq);
    sink += fly_sequence_advance(&sequence, next_seq);
}

static void call_all(void)
{
    call_decode();
    call_hash();
    call_note();
}

static void open_header(struct fly_pack *pack, uint32_t more, const char *type, const char *stream)
{
    fly_pack_map(pack, 5 + more);
    fly_pack_str(pack, "type");
    fly_pack_str(pack, type);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, "0f1d6c1e-4a53-4b3c-9a54-9d6a3f0c9a11");
    fly_pack_str(pack, "stream");
    fly_pack_str(pack, stream);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, 123456);
    fly_pack_str(pack, "t_ns");
    fly_pack_int(pack, 1700000000000000000);
}

static void pack_place(struct fly_pack *pack, int64_t h, int64_t w)
{
    fly_pack_str(pack, "frame");
    fly_pack_int(pack, 0);
    fly_pack_str(pack, "y0_px");
    fly_pack_int(pack, 0);
    fly_pack_str(pack, "x0_px");
    fly_pack_int(pack, 0);
    fly_pack_str(pack, "shape");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, h);
    fly_pack_int(pack, w);
}

static void *zeros(size_t len)
{
    void *bytes = calloc(1, len);

    FLY_ASSERT(bytes);
    return bytes;
}

int bench_wire(FILE *out)
{
    static unsigned char header[4096];
    const size_t window_bytes = fly_sequence_need(FLY_SEQUENCE_WINDOW);
    const int64_t photons = 2000000;
    struct fly_pack pack;
    uint32_t *rows;
    void *memory = zeros(window_bytes), *channels = zeros(2 * (size_t)photons);

    bench_out = out;
    fly_sequence_init(&sequence, memory, FLY_SEQUENCE_WINDOW);
    start = (struct fly_start){.height_px = 1024, .width_px = 1024, .n_detectors = 1, .n_segments = 1,
                               .pixel_time_us = 2.0};
    memcpy(start.detectors[0].name, "haadf", 6);
    start.detectors[0].dtype = FLY_U16;
    memcpy(start.segments[0].name, "sdd", 4);
    start.segments[0].n_channels = 4096;
    view = (struct fly_session_view){"0f1d6c1e-4a53-4b3c-9a54-9d6a3f0c9a11", &start, 0, NULL};

    fly_pack_init(&pack, header, sizeof header);
    open_header(&pack, 6, "lines", "haadf");
    pack_place(&pack, 1, 512);
    fly_pack_str(&pack, "dtype");
    fly_pack_str(&pack, "<u2");
    fly_pack_str(&pack, "dwell_us");
    fly_pack_f64(&pack, 2.0);
    parts[0] = (struct fly_part){header, pack.len};
    parts[1] = (struct fly_part){zeros(1024), 1024};
    n_parts = 2;
    FLY_ASSERT(fly_ingest_decode(&(struct fly_ingest){0}, &scratch, parts, n_parts, &view) ==
               FLY_REFUSE_NONE);
    measure("wire.lines.scan", call_scan, 20000, 0);
    measure("wire.lines.decode", call_decode, 20000, 0);
    measure("wire.lines.hash", call_hash, 20000, 0);
    measure("wire.lines.note_mark_advance", call_note, 20000, 0);
    measure("wire.lines.decode_hash_note", call_all, 20000, 0);

    fly_pack_init(&pack, header, sizeof header);
    open_header(&pack, 5, "eds", "sdd");
    pack_place(&pack, 1024, 1024);
    fly_pack_str(&pack, "layout");
    fly_pack_str(&pack, "csr");
    rows = zeros(4 * (1024 * 1024 + 1));
    for (uint32_t i = 0; i <= 1024 * 1024; i++)
        rows[i] = (uint32_t)((uint64_t)i * (uint64_t)photons >> 20);
    parts[0] = (struct fly_part){header, pack.len};
    parts[1] = (struct fly_part){rows, 4 * (1024 * 1024 + 1)};
    parts[2] = (struct fly_part){channels, 2 * (size_t)photons};
    n_parts = 3;
    FLY_ASSERT(fly_ingest_decode(&(struct fly_ingest){0}, &scratch, parts, n_parts, &view) ==
               FLY_REFUSE_NONE);
    measure("wire.eds_csr.decode", call_decode, 10, (double)parts[1].len);
    measure("wire.hash", call_hash, 10, (double)(parts[1].len + parts[2].len));

    free((void *)rows);
    free(channels);
    free(memory);
    /* sink keeps the calls from being thought away */
    return sink == 42 ? FLY_EAGAIN : FLY_OK;
}
