/* tests/bench/bench.h: what `flyback bench` measures. Each prints one JSON line a case:
 *
 *   {"name", "size", "threads", "median", "unit", "reference", "ratio"}
 *
 * and what a case has to say besides. reference is the plain or the library's own way, measured in the
 * same run; ratio is median over it, so that more is better. (Where the unit is a time or bytes it is the
 * reference over the median, for the same reason.) Cases without a reference leave both out. Codes of
 * engine/base/err.h.
 */
#ifndef FLY_TESTS_BENCH_H
#define FLY_TESTS_BENCH_H

#include <stdio.h>

struct bench_options {
    const char *dir;   /* where recordings are written and removed again */
    const char *write; /* louvain, scan, ward: leave graph, features and labels in this folder; NULL: do not */
    const char *cases; /* calibrate: a folder of golden cases table2_* */
    int quick;         /* page, graph, louvain, growth, quantify, live, map, stages, scan, calibrate: fewer rounds, smaller
                        * sizes */
};

int bench_assembly(FILE *out);  /* lines and photons into chips */
int bench_quality(FILE *out);   /* watching the quality of what comes in */
int bench_wire(FILE *out);      /* decoding and hashing */
int bench_embed(FILE *out);     /* the embedders, VGG16 beside oneDNN's own figure */
int bench_label(FILE *out);     /* few-shot: the whole map after a change of the support set */
int bench_calibrate(FILE *out, const struct bench_options *options); /* few-shot's confidences: cost, and do they hold */
int bench_recording(FILE *out, const char *dir); /* the session file beside plain writes */
int bench_ingest(FILE *out, const char *dir);    /* a running plugin beside bare sockets */
int bench_page(FILE *out, const struct bench_options *options); /* viewers of the live page */
int bench_graph(FILE *out, const struct bench_options *options);    /* similarities and what is kept of them */
int bench_louvain(FILE *out, const struct bench_options *options);  /* communities, from nothing and after a row */
int bench_growth(FILE *out, const struct bench_options *options);   /* both at more and more chips */
int bench_quantify(FILE *out, const struct bench_options *options); /* atomic percents */
int bench_live(FILE *out, const struct bench_options *options);     /* all of it, row by row */
int bench_map(FILE *out, const struct bench_options *options);      /* stable ids and stories, an epoch */
int bench_region(FILE *out, const struct bench_options *options);   /* squares, d-spacings, crystallinity */
int bench_ward(FILE *out, const struct bench_options *options);     /* Ward's tree, from nothing and after a row */
int bench_guard(FILE *out, const struct bench_options *options);    /* a steering command past its supervisor */
int bench_stages(FILE *out, const struct bench_options *options);   /* all after the features of a row but its graphs */
int bench_steer_plan(FILE *out, const struct bench_options *options); /* what to measure next: a plan */
int bench_damage(FILE *out, const struct bench_options *options);   /* the damage watch: cost, false alarms, power */
int bench_scan(FILE *out, const struct bench_options *options);     /* a whole scan, for compare_igraph.py */

int fly_cmd_bench(int argc, char **argv);

#endif
