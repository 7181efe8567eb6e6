/* sim/commands.h: the subcommands of flyback that stand on the other side of the wire.
 *
 * Each takes its own name as argv[0] and returns the exit code: 0 done, 1 failed, 2 wrong usage, 130
 * interrupted. Results go to stdout, talk to stderr.
 */
#ifndef FLY_SIM_COMMANDS_H
#define FLY_SIM_COMMANDS_H

#include <stdio.h>

int fly_cmd_sim(int argc, char **argv);
int fly_cmd_replay(int argc, char **argv);

/* propose: tells the elements that a recording's spectra speak of, or fails with a message; called when
 * nobody named elements, or when asked to. NULL: nobody can tell. */
int fly_cmd_import(int argc, char **argv, int (*propose)(const char *recording, FILE *to));
int fly_cmd_watch_folder(int argc, char **argv);

#endif
