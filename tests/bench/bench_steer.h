/* tests/bench/bench_steer.h: `flyback bench steer`: what a policy gains, on specimens whose truth is known.
 *
 * One run is one specimen, seed and policy, from the survey to the end of the budget; it becomes one JSON line:
 *
 *   {"specimen", "seed", "policy", "set", "chips", "reference": {"accuracy", "smoothed", ...}, "columns": [...],
 *    "curve": [[...], ...], "stop"}
 *
 * columns name what a row of the curve holds (struct steer_look), one row at the survey and one after each plan.
 * reference is a map of the same specimen by one uniform frame as long as the whole budget, of noise of its own.
 */
#ifndef FLY_TESTS_BENCH_BENCH_STEER_H
#define FLY_TESTS_BENCH_BENCH_STEER_H

/* argv[0] is the subcommand's name. Returns what the program exits with. */
int fly_bench_steer(int argc, char **argv);

#endif
