/* tests/bench/bench.h: what `flyback bench` measures. Each prints one JSON line a case:
 *
 *   {"name", "size", "threads", "median", "unit", "reference", "ratio"}
 *
 * reference is the plain or the library's own way, measured in the same run; ratio is median over it, so
 * that more is better. Cases without a reference leave both out. Codes of engine/base/err.h.
 */
#ifndef FLY_TESTS_BENCH_H
#define FLY_TESTS_BENCH_H

#include <stdio.h>

int bench_assembly(FILE *out);  /* lines and photons into chips */
int bench_wire(FILE *out);      /* decoding and hashing */
int bench_embed(FILE *out);     /* the embedders, VGG16 beside oneDNN's own figure */
int bench_label(FILE *out);     /* few-shot: the whole map after a change of the support set */
int bench_recording(FILE *out, const char *dir); /* the session file beside plain writes */
int bench_ingest(FILE *out, const char *dir);    /* a running plugin beside bare sockets */

int fly_cmd_bench(int argc, char **argv);

#endif
