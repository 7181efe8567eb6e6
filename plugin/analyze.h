/* plugin/analyze.h: files in, the live path's own messages out, results written as arrays.
 *
 * Used by `flyback analyze` alone. A source makes the wire messages an instrument would have sent
 * for the same data, in the order asked for; they are decoded by the wire's own rules and applied to
 * a session, exactly as live.
 */
#ifndef FLY_PLUGIN_ANALYZE_H
#define FLY_PLUGIN_ANALYZE_H

#include <stdint.h>

#include "engine/base/npy.h"
#include "plugin/options.h"
#include "plugin/session.h"

/* A .npy file in memory. */
struct fly_array {
    unsigned char *bytes; /* NULL: not given */
    struct fly_npy npy;
};
FLY_MUST_USE int fly_array_read(struct fly_array *array, const char *path);
void fly_array_free(struct fly_array *array);
int64_t fly_array_int(const struct fly_array *array, int64_t i); /* item as an integer; type is one */
int fly_array_is_int(const struct fly_array *array);

enum { FLY_CASE_CLASSES = FLY_CLASSES_MAX, FLY_CASE_SUPPORT = 64, FLY_CASE_WEIGHTS = 16 };

/* What is to be analysed, besides the options. */
struct fly_analysis {
    struct fly_array haadf;               /* (H, W) */
    struct fly_array cube;                /* (H, W, E) or none */
    struct fly_array ev_y, ev_x, ev_ch;   /* (N) each, or none */
    struct fly_array emb;                 /* (K, D) or none: in place of the embedding stage */
    struct fly_array truth;               /* (K) class of each chip, or none */
    char support_file[1024];              /* "" none */
    int is_case;                          /* support and weights below come from params.json */
    int32_t n_classes;
    char class_name[FLY_CASE_CLASSES][FLY_CLASS_NAME_MAX + 1];
    int32_t support_len[FLY_CASE_CLASSES];
    int32_t support[FLY_CASE_CLASSES][FLY_CASE_SUPPORT]; /* chip indices */
    int32_t n_weights;
    double weights[FLY_CASE_WEIGHTS][2];  /* ensembles asked for */
    uint64_t order_seed;
    int random;                           /* 0: raster */
};

/* Read CASE/params.json and its arrays; sets the options that the case fixes (not those given later by
 * --config and --set, which win). FLY_EIO, FLY_EWIRE, FLY_ERANGE: the file and the key are named. */
FLY_MUST_USE int fly_case_read(struct fly_analysis *analysis, struct fly_options *options,
                               const char *folder);
void fly_analysis_free(struct fly_analysis *analysis);

/* The start message such an instrument would send. bytes: at least FLY_HEADER_MAX. */
FLY_MUST_USE int fly_source_start(const struct fly_analysis *analysis, const struct fly_options *options,
                                  unsigned char *bytes, struct fly_part *header, struct fly_start *start);

/* Send everything, in order, to `apply`. */
typedef int fly_source_apply(void *ctx, const struct fly_ingest *msg);
FLY_MUST_USE int fly_source_run(const struct fly_analysis *analysis, const struct fly_start *start,
                                fly_source_apply *apply, void *ctx);

/* Write the results of a finished session into dir. */
FLY_MUST_USE int fly_results_write(struct fly_session *session, const struct fly_analysis *analysis,
                                   struct fly_embedder *embedder, const char *dir);

/* The paper's figures of a finished session (plugin/figures.h) into dir: figure2.png .. table1.png. */
FLY_MUST_USE int fly_results_figures(struct fly_session *session, const char *dir);

/* What those figures are drawn from, lent to `take` for the call; its error is the result. */
struct fly_figures;
FLY_MUST_USE int fly_results_draw(struct fly_session *session,
                                  int (*take)(void *ctx, const struct fly_figures *figures), void *ctx);

/* The figure of a map (fly_map_index) that the session has, as PNG over the HAADF image. */
FLY_MUST_USE int fly_results_picture(struct fly_session *session, int map, const char *path);

/* The dose of its chips as PNG; nothing where none is known. */
FLY_MUST_USE int fly_results_dose_picture(struct fly_session *session, const char *path);

#endif
