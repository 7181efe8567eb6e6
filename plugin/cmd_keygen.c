/* flyback keygen: a pair of keys in a folder, and what to do with it. */
#include "plugin/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "plugin/text.h"
#include "stream/keys.h"

static const char help_text[] =
    "Usage: flyback keygen [--role ROLE] [--name NAME] [--out DIR]\n"
    "       flyback keygen --check ALLOW\n"
    "\n"
    "A pair of keys for a Flyback that other machines reach (security.keys, security.allow), or for one of its\n"
    "clients. DIR gets secret.key (mode 0600, never leaves the folder) and public.key. Nothing is overwritten.\n"
    "\n"
    "  --role ROLE   server, or what a client may do, several with commas between (viewer):\n"
    "                  viewer      hears what is published, asks for maps and chips, may hold steering\n"
    "                  instrument  sends a scan; asks for `status`\n"
    "                  controller  what a viewer may, and executes the commands of steering\n"
    "                  operator    everything but sending and being the guard\n"
    "                  guard       steers as `flyback guard`; stands alone\n"
    "  --name NAME   whose pair it is, 1 .. 64 of [A-Za-z0-9._-]; stands in logs (the role)\n"
    "  --out DIR     the folder (keys/NAME)\n"
    "  --check ALLOW look through an allow-list: its clients on stdout, or what is wrong in which line\n"
    "  --help        this text\n"
    "\n"
    "On stdout: of a client its line for the allow-list (public key, role, name); of a server its public key.\n"
    "The line is all that a server needs of a client; a client needs the server's public.key.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
    "\n"
    "Examples\n"
    "  flyback keygen --role server --out keys/server\n"
    "  flyback keygen --role instrument --name acquisition-pc >> keys/allow.txt\n"
    "  flyback run --set security.keys=keys/server --set security.allow=keys/allow.txt\n"
    "  flyback sim --keys keys/acquisition-pc --server-key keys/server/public.key\n";

struct keygen {
    const char *role, *name, *out, *check;
};

/* -1: go on; else the exit code. */
static int read_args(struct keygen *k, int argc, char **argv)
{
    static const struct option longs[] = {{"role", 1, 0, 'r'}, {"name", 1, 0, 'n'}, {"out", 1, 0, 'o'},
                                          {"check", 1, 0, 'c'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
    int c;

    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        switch (c) {
        case 'r': k->role = optarg; break;
        case 'n': k->name = optarg; break;
        case 'o': k->out = optarg; break;
        case 'c': k->check = optarg; break;
        case 'h': fputs(help_text, stdout); return 0;
        default:
            fprintf(stderr, "flyback keygen: %s: %s (see flyback keygen --help)\n", argv[optind - 1],
                    c == ':' ? "its value is missing" : "no such option");
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "flyback keygen: %s: no file or word is expected here (see flyback keygen --help)\n", argv[optind]);
        return 2;
    }
    if (k->check && (k->role || k->name || k->out)) {
        fprintf(stderr, "flyback keygen: --check makes no keys: it stands alone (see flyback keygen --help)\n");
        return 2;
    }
    return -1;
}

static int check_list(const char *path)
{
    struct fly_allow_list list = {0};
    struct fly_allow_print print;
    char roles[64];

    if (fly_allow_read(&list, path, &print) < 0) {
        fprintf(stderr, "flyback keygen: %s\n", fly_fail_text());
        return 1;
    }
    for (int32_t i = 0; i < list.count; i++)
        printf("%s %-12s %s\n", list.items[i].key, fly_peer_roles_text(list.items[i].roles, roles, sizeof roles),
               list.items[i].name);
    fprintf(stderr, "%s: %d client%s\n", path, (int)list.count, fly_plural(list.count));
    fly_allow_fini(&list);
    return 0;
}

static void tell(const struct fly_key_pair *pair, const char *folder)
{
    int server = strcmp(pair->role, "server") == 0;

    if (server)
        printf("%s\n", pair->public_key);
    else
        printf("%s %s %s\n", pair->public_key, pair->role, pair->name);
    fprintf(stderr, "%s/" FLY_SECRET_FILE "  stays here (mode 0600)\n%s/" FLY_PUBLIC_FILE "  %s\n", folder, folder,
            server ? "is what clients need: --server-key" : "says the same as the line on stdout, which belongs into the "
                                                            "allow-list");
}

int fly_cmd_keygen(int argc, char **argv)
{
    struct keygen k = {0};
    struct fly_key_pair pair;
    char folder[128];
    int code = read_args(&k, argc, argv), rc;

    if (code >= 0)
        return code;
    if (k.check)
        return check_list(k.check);
    if (!k.role)
        k.role = "viewer";
    if (!k.name)
        k.name = strchr(k.role, ',') ? "client" : k.role;
    rc = fly_key_pair_make(&pair, k.name, k.role);
    if (rc < 0) {
        fprintf(stderr, "flyback keygen: %s\n", fly_fail_text());
        return rc == FLY_ERANGE ? 2 : 1;
    }
    snprintf(folder, sizeof folder, "keys/%s", pair.name);
    rc = fly_key_pair_write(&pair, k.out ? k.out : folder);
    if (rc == FLY_OK)
        tell(&pair, k.out ? k.out : folder);
    else
        fprintf(stderr, "flyback keygen: %s\n", fly_fail_text());
    fly_key_pair_wipe(&pair);
    /* The line on stdout is half of the work. */
    if (rc == FLY_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "flyback keygen: the line for the allow-list cannot be written: it stands in %s/" FLY_PUBLIC_FILE "\n",
                k.out ? k.out : folder);
        return 1;
    }
    return rc == FLY_OK ? 0 : 1;
}
