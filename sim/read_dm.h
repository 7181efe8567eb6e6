/* sim/read_dm.h: Gatan's DM3 and DM4: a tree of tags over a file's bytes.
 *
 * Header     version (3 or 4), size, byte order of data; then the root group. Everything that describes
 *            is big-endian; sizes and counts are 32 bit in DM3, 64 bit in DM4.
 * Group      sorted, open, number of tags. A tag: 20 group or 21 data, its name's length and name; in
 *            DM4 the tag's size; then the group, or "%%%%", a list of type codes, and the value.
 * Values     of codes 2 i16, 3 i32, 4 u16, 5 u32, 6 f32, 7 f64, 8 bool, 9 i8, 10 u8, 11 i64, 12 u64, in
 *            structs (15), strings (18) and arrays (20); a text is an array of u16, UTF-16.
 * Image      ImageList.N.ImageData: Dimensions (the first varies fastest), DataType, Data and
 *            Calibrations.Dimension.N: value = (index - Origin) * Scale, in Units.
 * Sources    the description by C. Boothroyd (DM3 format notes), openNCEM and RosettaSciIO for DM4.
 *
 * Memory     parse keeps numbers and short texts; bytes are lent and must outlive what is asked later.
 * Threads    pure, but for fly_read_dm (read_files.h).
 */
#ifndef FLY_SIM_READ_DM_H
#define FLY_SIM_READ_DM_H

#include "sim/import.h"

enum {
    FLY_DM_IMAGES = 32,
    FLY_DM_DIMS = 5,
    FLY_DM_TEXT = 64,
    FLY_DM_DEPTH = 64, /* groups within groups; real files have fewer than 16 */
};

struct fly_dm_axis {
    double origin, scale; /* NaN: not said */
    char units[FLY_DM_TEXT];
};

struct fly_dm_image {
    int32_t n_dims;
    int64_t shape[FLY_DM_DIMS]; /* the fastest first */
    struct fly_dm_axis axes[FLY_DM_DIMS];
    int32_t data_type;    /* DataType's code; 0: not said */
    uint64_t data_at;     /* of the first byte */
    uint64_t data_bytes;  /* 0: no data */
    int thumbnail;        /* 1: a small picture of another */
    char name[FLY_DM_TEXT], signal_name[FLY_DM_TEXT];
    char signal[FLY_DM_TEXT]; /* Meta Data.Signal: "X-ray", "EELS" or "" */
    char format[FLY_DM_TEXT]; /* Meta Data.Format: "Spectrum image", "Image" or "" */
    char date[FLY_DM_TEXT], time[FLY_DM_TEXT], specimen[FLY_DM_TEXT];
    int is_eels; /* tags of a spectrometer beside it */
    /* NaN: not said */
    double voltage_v, magnification, current_na, convergence_mrad, elevation_deg;
    double dwell_us; /* of a pixel */
    double live_s, real_s;
};

struct fly_dm {
    int32_t version; /* 3 or 4 */
    int big_endian;  /* of values */
    int32_t n_images;
    struct fly_dm_image images[FLY_DM_IMAGES];
};

/* 1: the first bytes of a DM3 or DM4. */
int fly_dm_magic(const unsigned char *magic, size_t len);

/* Read the tree. Every image with data has data_at + data_bytes <= len and, for a data_type that
 * fly_dm_type knows, at least as many bytes as its shape asks for.
 *
 * FLY_EWIRE   truncated or damaged: the message says where
 * FLY_ERANGE  another version, more than FLY_DM_IMAGES images, groups deeper than FLY_DM_DEPTH
 */
FLY_MUST_USE int fly_dm_parse(struct fly_dm *dm, const unsigned char *bytes, size_t len,
                              const char *name);

/* The type of an image's pixels; -1 for complex, packed, colour and unknown ones. */
int fly_dm_type(int32_t data_type);

#endif
