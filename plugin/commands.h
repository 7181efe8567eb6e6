/* plugin/commands.h: the subcommands that live in plugin/. argv[0] is the subcommand's name.
 *
 * Results go to stdout, talk to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration,
 * 130 interrupted.
 */
#ifndef FLY_PLUGIN_COMMANDS_H
#define FLY_PLUGIN_COMMANDS_H

int fly_cmd_run(int argc, char **argv);
int fly_cmd_analyze(int argc, char **argv);
int fly_cmd_demo(int argc, char **argv);
int fly_cmd_watch(int argc, char **argv);
int fly_cmd_check(int argc, char **argv);
int fly_cmd_guard(int argc, char **argv);
int fly_cmd_export(int argc, char **argv);
int fly_cmd_session(int argc, char **argv);
int fly_cmd_decisions(int argc, char **argv); /* flyback replay SESSION.fly --decisions */
int fly_cmd_keygen(int argc, char **argv);

#endif
