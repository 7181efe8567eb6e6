/* flyback: one program, its subcommands in one table. The one file that sees both sides of the wire. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/commands.h"
#include "plugin/proposal.h"
#include "sim/commands.h"
#include "tests/bench/bench.h"

/* The two sides of the wire meet: what is imported is a recording, whose spectra speak of elements. */
static int import(int argc, char **argv)
{
    return fly_cmd_import(argc, argv, fly_proposal_tell);
}

/* Playing the instrument is the other side's; making decisions again is the plugin's. */
static int replay(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--decisions") == 0)
            return fly_cmd_decisions(argc, argv);
    return fly_cmd_replay(argc, argv);
}

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("flyback %s\n", FLY_VERSION);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *brief;
} commands[] = {
    {"demo", fly_cmd_demo, "a simulated microscope against the plugin, with a live view and final maps"},
    {"run", fly_cmd_run, "the plugin: takes the instrument's stream, records it, publishes maps"},
    {"sim", fly_cmd_sim, "a simulated microscope on the other side of the wire"},
    {"replay", replay, "send a recording again, byte for byte; or make its decisions again"},
    {"import", import, "make a recording of HyperSpy, Velox, Gatan, image or array files"},
    {"watch-folder", fly_cmd_watch_folder, "saved microscope files become sessions and maps at once"},
    {"analyze", fly_cmd_analyze, "the same engine on files, without sockets"},
    {"export", fly_cmd_export, "a recording's results as HyperSpy, NumPy, CSV, SVG, PNG and a report"},
    {"session", fly_cmd_session, "list and verify recordings"},
    {"watch", fly_cmd_watch, "the live map in a terminal"},
    {"keygen", fly_cmd_keygen, "a pair of keys, for a server that other machines reach and for its clients"},
    {"guard", fly_cmd_guard, "the supervisor of steering: lets commands through that keep to its limits"},
    {"check", fly_cmd_check, "validate a configuration, support set or recording"},
    {"bench", fly_cmd_bench, "measure, one JSON line per case"},
    {"version", version, "print the version"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out)
{
    fprintf(out, "Usage: flyback COMMAND [options]\n\n"
                 "Live maps of what a scanning electron microscope sees, while it still scans.\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].brief);
    fprintf(out, "\nflyback COMMAND --help says more of each.\n\n"
                 "Examples\n"
                 "  flyback demo --seconds 20\n"
                 "  flyback run --set chip.size_px=15\n");
}

int main(int argc, char **argv)
{
    /* Products run one at a time on each of our workers: a library's own threads would fight them, and bits may
     * hang on their number. */
    openblas_set_num_threads(1);
    if (argc < 2) {
        help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        return version(argc, argv);
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "flyback: '%s' is no command (see flyback --help)\n", argv[1]);
    return 2;
}
