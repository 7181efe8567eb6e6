/* plugin/export/export.h: what a finished session leaves, for the tools that people use afterwards.
 *
 * A session is gathered once into plain arrays, and each writer turns them into one kind of file: HyperSpy (.hspy),
 * NumPy arrays, a table (.csv), a vector picture (.svg), a report (.html). Every file is written whole (FILE.tmp,
 * fsync, rename) or not at all, but for .hspy, which HDF5 writes itself to FILE.tmp before the rename.
 *
 * Positions  a pixel (y, x) lies at (y, x) * pixel_nm, its centre; a chip where its centre does.
 * Energies   channel c lies at ev_offset + c * ev_per_channel.
 * Units      nm and keV; px without a pixel size.
 * Threads    one.
 */
#ifndef FLY_PLUGIN_EXPORT_H
#define FLY_PLUGIN_EXPORT_H

#include "plugin/clusters.h"
#include "plugin/dose.h"
#include "plugin/json.h"
#include "plugin/recorded.h"

enum { FLY_EXPORT_CLUSTERS = FLY_MAP_CLASSES_MAX, FLY_SHA256_TEXT = 65 };

/* A group of a map's chips: a class, a community, a cluster. */
struct fly_export_cluster {
    int32_t id, chips;
    char name[FLY_CLUSTER_NAME_MAX + 24]; /* a person's, else "ward 3" */
    enum fly_role role;
    struct fly_composition made; /* of its summed spectra; n_elements 0: not quantified */
    struct fly_square square;    /* n 0: none */
    struct fly_spacing spacing;  /* state NONE where nobody looked */
};

struct fly_export_map {
    int there;
    struct fly_map_view view; /* lent by the engine */
    int32_t n, more;          /* clusters by chips, largest first; more: those there is no room for */
    struct fly_export_cluster *cluster; /* (n) */
};

struct fly_export {
    const struct fly_recorded *recorded;
    const struct fly_session_info *info;
    struct fly_engine *engine;
    const struct fly_grid *grid;
    int32_t chips;
    char sha256[FLY_SHA256_TEXT];         /* of the recording, hex */
    int64_t bytes;                        /* of it */
    char weights_sha256[FLY_SHA256_TEXT]; /* of the network's weights; "": there is no file */
    float *image;                         /* (H, W), NaN where not measured; NULL: no image */
    int32_t n_elements;                   /* 0: not quantified */
    const char *elements[FLY_ELEMENTS_MAX];
    float *percent, *sigma;               /* (n, R, C) at.%, NaN where there is none */
    const uint32_t *spectra;              /* (K, E), lent by the engine; NULL: no EDS */
    int32_t channels;
    struct fly_dose dose;                 /* as_of is left out */
    struct fly_export_map map[FLY_MAPS];
    double ami[FLY_METHODS][3], ari[FLY_METHODS][3]; /* haadf-eds, haadf-ensemble, eds-ensemble; NaN: none */
};

/* Gather a session that fly_recorded_run ran; recorded is lent until _free. FLY_ENOMEM; FLY_EIO: a file cannot be
 * read again for its hash. */
FLY_MUST_USE int fly_export_gather(struct fly_export *out, const struct fly_recorded *recorded);
void fly_export_free(struct fly_export *export); /* zeros are fine */

/* The map that one picture of a session shows: few-shot where a person made classes, else communities, else Ward's; of
 * the ensemble where there is one (fly_map_index). */
int fly_export_main_map(const struct fly_export *export);

/* The position of row r of chips along y (axis 0) or column along x (axis 1): offset + r * scale; units "nm" or "px". */
struct fly_export_axis {
    double scale, offset;
    const char *units;
};
struct fly_export_axis fly_export_pixels(const struct fly_export *export, int axis);
struct fly_export_axis fly_export_chips(const struct fly_export *export, int axis);

/* What the dose is called where its unit has no other place: "dose_e_per_A2", "dose_us". */
const char *fly_export_dose_name(const struct fly_export *export);

/* The summed spectrum of the chips that a map gives this label, (E). */
void fly_export_sum(const struct fly_export *export, const int32_t *labels, int32_t label, uint64_t *sum);

/* Where it all comes from: version, network, profile, settings, recording with its hash; the value after a key. */
void fly_export_provenance(const struct fly_export *export, struct fly_json *json);

/* Writers. FLY_EIO names the file and what the system or the library said; FLY_ENOMEM. */
FLY_MUST_USE int fly_export_hspy(const struct fly_export *export, const char *path);
/* Into a folder that is there: .npy arrays and export.json, which names their axes. */
FLY_MUST_USE int fly_export_npy(const struct fly_export *export, const char *dir);
/* Clusters of all maps, a row each; and the chips, a row each, in PATH with "_chips" before its ending. */
FLY_MUST_USE int fly_export_csv(const struct fly_export *export, const char *path);
FLY_MUST_USE int fly_export_svg(const struct fly_export *export, int map, const char *path);
FLY_MUST_USE int fly_export_report(const struct fly_export *export, const char *path);

/* SHA-256 of a file, hex with a NUL. FLY_EIO. */
FLY_MUST_USE int fly_sha256_file(char out[FLY_SHA256_TEXT], const char *path);

#endif
