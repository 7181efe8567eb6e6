/* sim/import.h: what a vendor's file holds, in neutral words, and how that becomes a session.
 *
 * A reader (read_*.c) opens one file and describes it as image detectors and photon detectors that
 * hand out one scan line at a time; nothing of a file's size is held in memory unless its format
 * forces it. The writer (import_write.c) walks frames and lines in the order of the scan and hands
 * wire messages to a sink; import_session.c is the sink that makes a recording.
 *
 * Axes     y runs down the slow scan, x along the fast scan, frames from 0.
 * Memory   a fly_import owns its file; line callbacks fill the caller's memory or lend their own
 *          until their next call. fly_import_close frees, also after a failed open.
 * Threads  one import belongs to one thread (libhdf5 is used without its locks).
 * Errors   FLY_EWIRE the file is damaged or not what it says, FLY_ERANGE it holds what we do not
 *          take or an option is missing, FLY_EIO the system, FLY_ENOMEM, FLY_EAGAIN interrupted by
 *          tick. Messages name the file, what is wrong and what is allowed.
 */
#ifndef FLY_SIM_IMPORT_H
#define FLY_SIM_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/dtype.h"
#include "engine/base/err.h"
#include "engine/base/npy.h"
#include "stream/recording.h"
#include "stream/wire.h"

enum { FLY_IMPORT_FILES_MAX = 16 };
/* A message's payload as the import makes it; the wire allows four times as much. */
#define FLY_IMPORT_PAYLOAD_MAX ((size_t)64 * 1024 * 1024)
/* A line of more photons than this does not come as pairs. */
#define FLY_IMPORT_PAIRS_MAX ((int64_t)10 * 1024 * 1024)

/* One image detector. line() fills width_px items of dtype. */
struct fly_import_image {
    char name[FLY_NAME_MAX + 1];
    enum fly_dtype dtype;
    int32_t height_px, width_px;
    int64_t frames;
    int (*line)(void *ctx, int64_t frame, int32_t y_px, void *out);
    void *ctx;
};

/* Photons of the pixels x0_px .. x0_px + width_px - 1 of one line, in one of two forms. */
struct fly_import_photons {
    int32_t x0_px, width_px; /* width 0: the beam never got here, there is nothing to tell */
    const uint32_t *counts;  /* (width_px, n_channels), or NULL: the two arrays below */
    int64_t n;
    const uint32_t *pixel;             /* (n), x - x0_px, never falling */
    const uint16_t *channel;           /* (n) */
    double live_time_us, real_time_us; /* NaN: not said */
};

/* One photon detector. A line is asked for in blocks of at most block_px pixels, left to right. */
struct fly_import_eds {
    struct fly_segment segment;
    int32_t height_px, width_px;
    int64_t frames;
    int32_t block_px;
    int64_t photons_max; /* most of a block in pairs, 0: it comes as counts */
    uint64_t events;     /* handed out so far by readers that learn it only then */
    uint64_t marks;      /* "next pixel" values found in an event stream, 0 for other forms */
    int (*line)(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                struct fly_import_photons *out);
    void *ctx;
};

/* What the command line adds to a file, and how a long job tells where it is. */
struct fly_import_options {
    double pixel_nm[2];               /* y, x; NaN: as the file says */
    const char *detector;             /* name of the first image, or NULL */
    double ev_per_channel, ev_offset; /* NaN: as the files say (.npy says nothing) */
    int32_t channels;                 /* of an event list, 0: not given */
    int32_t n_elements;               /* replace what files say; -1: as they say */
    char elements[FLY_START_ELEMENTS_MAX][4];
    int32_t image_px[2]; /* H, W of an image given before, 0, 0: none; tells cubes from stacks */
    /* what: a few words; 0 <= done <= 1. Returns 1 to stop the job. May be NULL. */
    int (*tick)(void *ctx, const char *what, double done);
    void *tick_ctx;
};
struct fly_import_options fly_import_options_default(void);

/* FLY_OK, or FLY_EAGAIN "interrupted" when tick says stop. */
FLY_MUST_USE int fly_import_tick(const struct fly_import_options *options, const char *what,
                                 double done);

/* A detector listed in the report that sends nothing: its stream in the file is empty. */
struct fly_import_silent {
    char name[FLY_NAME_MAX + 1];
};

struct fly_import {
    char path[1024];
    int32_t n_images, n_eds, n_silent;
    struct fly_import_image images[FLY_DETECTORS_MAX];
    struct fly_import_eds eds[FLY_SEGMENTS_MAX];
    struct fly_import_silent silent[FLY_SEGMENTS_MAX];
    /* What the file tells of the session; shape, detectors and segments in it are not used. */
    struct fly_start meta;
    int64_t t0_ns;        /* start of acquisition, or of the file's last change; Unix ns */
    double line_time_us;  /* from line to line, NaN: width * pixel_time_us */
    double frame_time_us; /* from frame to frame, NaN: height * line_time_us */
    char *notes;          /* lines for the user: what was left, what is odd; NULL: none */
    void *ctx;
    void (*close)(void *ctx);
};

/* Open a file by its first bytes, whatever its name ends in: HyperSpy and Velox HDF5, Gatan DM3 and
 * DM4, PNG, TIFF, JPEG, .npy image or stack of images. as_eds: a .npy is a cube (H, W, E), other
 * formats ignore it. */
FLY_MUST_USE int fly_import_open(struct fly_import *out, const char *path, int as_eds,
                                 const struct fly_import_options *options);

/* An event list: three .npy arrays of n integers each, over a scan of height_px x width_px. */
FLY_MUST_USE int fly_import_open_events(struct fly_import *out, const char *path_y,
                                        const char *path_x, const char *path_ch, int32_t height_px,
                                        int32_t width_px, const struct fly_import_options *options);
void fly_import_close(struct fly_import *import);

/* Add a line to the notes. Does nothing when memory is short. */
void fly_import_note(struct fly_import *import, const char *format, ...) FLY_PRINTF(2, 3);

/* ---- for readers ------------------------------------------------------------------------------
 */

/* An import of zeros and NaNs over a path, with the file's last change as its time. */
void fly_import_init(struct fly_import *import, const char *path);

/* FLY_ERANGE unless the shape is within the wire's limits. frames >= 1. */
FLY_MUST_USE int fly_import_shape(const char *path, const char *what, int64_t frames,
                                  int64_t height, int64_t width);

/* A name made of [A-Za-z0-9._-], at most FLY_NAME_MAX long, never empty or "control". */
void fly_import_name(char out[FLY_NAME_MAX + 1], const char *text, const char *otherwise);

/* Smallest and largest of many values, of integers alone. */
struct fly_import_range {
    int64_t lo, hi; /* of signed types; lo > hi: nothing seen */
    uint64_t top;   /* of unsigned types */
};
struct fly_import_range fly_import_range_none(void);
void fly_import_range_add(struct fly_import_range *range, enum fly_npy_type type, const void *in,
                          size_t n);

/* Which type of the wire holds all of them without loss; 64-bit types need their range. -1: none.
 */
int fly_import_dtype(enum fly_npy_type type, const struct fly_import_range *range);

/* n values to a type that fly_import_dtype gave. */
void fly_import_convert(enum fly_dtype to, void *out, enum fly_npy_type from, const void *in,
                        size_t n);

/* n values to counts. Returns n, or the index of the first that is not a whole number 0 .. 2^32-1.
 */
size_t fly_import_counts(uint32_t *out, enum fly_npy_type from, const void *in, size_t n);

/* ---- from imports to messages ------------------------------------------------------------------
 */

/* Where messages go: kind is FLY_REC_INGEST for wire messages. Parts are lent for the call. */
struct fly_import_sink {
    int (*put)(void *ctx, enum fly_record_kind kind, int64_t t_ns, const struct fly_part *parts,
               int32_t n_parts);
    void *ctx;
};

/* Files of one session brought together: unique names, one scan shape, one set of facts. */
struct fly_import_plan {
    struct fly_import *const *files; /* lent */
    int32_t n_files;
    struct fly_start start;
    int64_t frames;
    int64_t t0_ns;
    double line_time_us, frame_time_us;
    char session[FLY_SESSION_MAX + 1];
};

/* Bring files together; their detectors are renamed where two have the same name, in file order.
 * FLY_ERANGE: shapes, pixel sizes or numbers of detectors that do not go together. */
FLY_MUST_USE int fly_import_plan(struct fly_import_plan *plan, struct fly_import *const *files,
                                 int32_t n_files, const struct fly_import_options *options);

/* Name the session: the stem of its first file and a hash of all bytes of all files and of the
 * facts in its start, so that the same import has the same id anywhere. */
FLY_MUST_USE int fly_import_identify(struct fly_import_plan *plan, const char *const *paths,
                                     int32_t n_paths, const struct fly_import_options *options);

/* Pack the start message of a plan. The pack's memory is the caller's, FLY_HEADER_MAX at most. */
void fly_import_pack_start(struct fly_pack *pack, const struct fly_import_plan *plan);

/* Send it all: session record, start, lines and eds as the scan goes, stop, end. */
FLY_MUST_USE int fly_import_write(const struct fly_import_plan *plan,
                                  const struct fly_import_options *options,
                                  const struct fly_import_sink *sink);

/* The largest record that fly_import_write will make, in bytes. */
size_t fly_import_record_max(const struct fly_import_plan *plan);

/* Write the plan's session to a file: to a temporary name beside it, synced, then renamed. On any
 * error nothing is left. A recording that is there already is replaced only if it is an import of
 * the very same session: what was measured is never overwritten. FLY_ERANGE tells which it is. */
FLY_MUST_USE int fly_import_record(const struct fly_import_plan *plan,
                                   const struct fly_import_options *options, const char *path);

/* The temporary name that process `pid` writes path under, to sweep up after one that died. Returns
 * 1, or 0 when it does not fit cap. */
int fly_import_temporary(char *out, size_t cap, const char *path, int64_t pid);

#endif
