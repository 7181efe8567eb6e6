/* sim/read_velox.h: the parts of the Velox reader: metadata in JSON, and event streams.
 *
 * A stream is one column of 16-bit words for one detector segment: 65535 says that the beam moves
 * to the next pixel, any other word is the channel of one photon in the present pixel; pixels run x
 * fastest, frame after frame, and the very last mark may be missing. A point acquisition has no
 * marks.
 */
#ifndef FLY_SIM_READ_VELOX_H
#define FLY_SIM_READ_VELOX_H

#include <jansson.h>

#include "sim/read_h5.h"

enum { FLY_VELOX_MARK = 65535, FLY_VELOX_WORDS = 65536 };

/* ---- metadata ----------------------------------------------------------------------------------
 */

/* Column `column` of group/Metadata: JSON, as NUL-padded bytes (bytes, columns), as one column of
 * them, or as strings. json_decref the result. FLY_EWIRE: none there, or no JSON; `what` names the
 * object. */
FLY_MUST_USE int fly_velox_meta(json_t **out, const char *path, hid_t group, const char *what,
                                int64_t column);

/* Follow keys to a leaf: "Scan", "DwellTime", NULL. Velox writes all numbers as text. NaN: not
 * there or no number; a text of "nan" counts as there (*there = 1) when there is given. */
double fly_json_number(const json_t *root, int *there, ...);
const char *fly_json_text(const json_t *root, ...); /* "" when not there */

/* Who recorded this image, stream or spectrum: BinaryResult.Detector when a detector has that name;
 * else the one that DetectorIndex tells; else BinaryResult.Detector, whatever it is; else the only
 * detector of that kind (DetectorType; NULL: of any). "" when nobody can tell. Lent from meta. */
const char *fly_velox_recorded_by(const json_t *meta, const char *kind);

/* The entry of Detectors whose DetectorName is name, or NULL. */
const json_t *fly_velox_detector(const json_t *meta, const char *name);

/* Optics, times, pixel size and sample into out->meta. detector: whose collection angles. */
FLY_MUST_USE int fly_velox_facts(struct fly_import *out, const json_t *meta, const char *detector,
                                 int32_t width_px, const struct fly_import_options *options);

/* The size of the scanned raster: Scan.ScanSize times Scan.ScanArea. 1 known, 0 not; *area tells
 * whether ScanArea was there. */
int fly_velox_raster(const json_t *meta, int32_t *height_px, int32_t *width_px, int *area);

/* ---- what lies beside the data -----------------------------------------------------------------
 */

/* Note a version that is not known. */
void fly_velox_version(struct fly_import *out, hid_t file);

enum { FLY_VELOX_LABELS = 128 };
struct fly_velox_labels {
    int32_t n;
    struct {
        char id[40]; /* of a member of Data/Image */
        char label[FLY_NAME_MAX + 1];
    } of[FLY_VELOX_LABELS];
};

/* How operations (first) and displays call the images: "HAADF", "iDPC", "A-C", "Fe". */
FLY_MUST_USE int fly_velox_labels(struct fly_velox_labels *labels, const char *path, hid_t file);
const char *fly_velox_label(const struct fly_velox_labels *labels, const char *id); /* "": none */

enum fly_velox_origin { FLY_VELOX_OTHER, FLY_VELOX_SCANNED, FLY_VELOX_COMPUTED };

/* Who recorded an image ("" when nobody can tell), what people call it, and whether it is a scan of the
 * specimen or one in another contrast that Velox made of its signals (iDPC, A-C). Element maps, filtered
 * copies and cameras are neither. */
enum fly_velox_origin fly_velox_name_image(char detector[FLY_NAME_MAX + 1], char name[FLY_NAME_MAX + 1],
                                           const json_t *meta, const char *label);

/* Add the elements that were chosen for quantification. */
FLY_MUST_USE int fly_velox_elements(struct fly_start *facts, const char *path, hid_t file);

/* The frames that Velox's own spectrum image is made of, from 1; 0, 0 when it does not say. */
FLY_MUST_USE int fly_velox_si_frames(const char *path, hid_t file, int64_t *first, int64_t *last);

/* ---- streams -----------------------------------------------------------------------------------
 */

struct fly_velox_line {
    int64_t at;     /* first word */
    uint32_t words; /* photons and marks */
    uint32_t photons;
    int32_t width_px; /* pixels that the beam reached */
};

struct fly_velox_stream {
    char name[FLY_NAME_MAX + 1]; /* DetectorName, as in the file */
    hid_t group;
    struct fly_h5_set set;
    int64_t words;
    int32_t n_channels;
    double ev_per_channel, ev_offset, takeoff_deg;
    uint64_t events, marks;
    uint64_t *histogram; /* (FLY_VELOX_WORDS), of all words */
    double dwell_us;     /* NaN: not said */
    /* by fly_velox_stream_index */
    int32_t height_px, width_px;
    int64_t frames;
    struct fly_velox_line *lines;        /* (frames, height_px) */
    double *live_fraction;               /* (frames), NaN: not said */
    int64_t untold_frames;               /* without metadata: taken for alive as the frame before */
    double point_live_us, point_real_us; /* of a point acquisition, NaN: not said */
    uint32_t photons_max;                /* of a line */
    uint64_t stray;                      /* photons after the last pixel of a frame: left */
    int64_t short_frame, short_px; /* the first frame that ends early, after short_px; -1: none */
    /* buffers of fly_velox_stream_line */
    uint16_t *raw, *channel;
    uint32_t *pixel, *counts; /* counts: only where pairs would be too many */
};

/* Open Data/SpectrumStream/<id> and count its words. FLY_ERANGE: no stream of X-rays (note it,
 * leave it). */
FLY_MUST_USE int fly_velox_stream_open(struct fly_velox_stream *stream, const char *path,
                                       hid_t file, const char *id,
                                       const struct fly_import_options *options);

/* Find where each line begins, in a scan of this shape. */
FLY_MUST_USE int fly_velox_stream_index(struct fly_velox_stream *stream, const char *path,
                                        int32_t height_px, int32_t width_px,
                                        const struct fly_import_options *options);
void fly_velox_stream_close(struct fly_velox_stream *stream); /* zeros are fine */

/* Velox keeps its own sum of each segment. Equal: the stream is whole. Less in some channels and
 * more in none: a sum over a part of the data, which is noted. More, with no equal sum beside it:
 * the stream has lost events, FLY_EWIRE. Sums belong to streams by BinaryResult.Detector. */
FLY_MUST_USE int fly_velox_check(struct fly_import *out, hid_t file,
                                 const struct fly_velox_stream *streams, int32_t n_streams);

/* The line callback: ctx is the stream. Asked for whole lines. */
FLY_MUST_USE int fly_velox_stream_line(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px,
                                       int32_t width_px, struct fly_import_photons *out);

#endif
