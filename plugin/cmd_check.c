/* flyback check: is this configuration, support set or recording whole, and if not, what is wrong where? */
#include "plugin/commands.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/guard/limits.h"
#include "plugin/k_factor_file.h"
#include "plugin/options.h"
#include "plugin/proposal.h"
#include "plugin/support_file.h"
#include "plugin/verify.h"
#include "stream/disk.h"

static void print_help(void)
{
    printf("Usage: flyback check FILE [FILE ...]\n"
           "\n"
           "Reads each file as Flyback would and says what is wrong where.\n"
           "\n"
           "  FILE.yaml, FILE.yml   a configuration: keys, types, ranges, what keys ask of each other, and the\n"
           "                        file of eds.k_factor_file; or, where its first key is guard_limits, the\n"
           "                        limits of flyback guard\n"
           "  FILE.json             a support set {class: [[row, col], ...]}\n"
           "  FILE.fly              a recording: every record and checksum; and the elements that its spectra speak of\n"
           "  --grid ROWSxCOLS      for support sets: the chip grid they must lie in\n"
           "\n"
           "Exit codes: 0 all are right, 1 something is wrong, 2 wrong usage.\n"
           "\n"
           "Examples\n"
           "  flyback check configs/default.yaml\n"
           "  flyback check --grid 34x34 support.json recordings/monday.fly\n");
}

static int check_configuration(const char *path)
{
    struct fly_options *options = malloc(sizeof *options);
    int32_t count, set = 0;
    const struct fly_option *table = fly_option_table(&count);
    int rc;

    if (!options)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", path);
    fly_options_default(options);
    rc = fly_options_load_file(options, path);
    if (rc == FLY_OK)
        rc = fly_options_check(options);
    for (int32_t i = 0; rc == FLY_OK && i < count; i++)
        set += strcmp(fly_options_origin(options, table[i].key), "default") != 0;
    if (rc == FLY_OK)
        rc = fly_k_factor_file_resolve(options);
    if (rc == FLY_OK)
        printf("%s: a configuration of %d of %d keys\n", path, (int)set, (int)count);
    free(options);
    return rc;
}

/* 1: limits of the guard, and *rc tells whether they are right; 0: something else. */
static int check_limits(const char *path, int *rc)
{
    struct fly_guard_limits limits;
    unsigned char *bytes = NULL;
    size_t len = 0;
    int is = fly_file_read(path, FLY_OPTIONS_FILE_MAX, &bytes, &len) == FLY_OK &&
             fly_guard_limits_is((const char *)bytes, len);

    if (is)
        *rc = fly_guard_limits_read(&limits, (const char *)bytes, len, path);
    if (is && *rc == FLY_OK)
        printf("%s: limits of the guard: %g e-/A^2 a chip, %g over the field, safe state %s\n", path,
               limits.chip_dose_e_per_A2, limits.total_dose_e_per_A2,
               fly_guard_safe_name((enum fly_guard_safe)limits.safe_state));
    free(bytes);
    return is;
}

static int check_support(const char *path, int32_t rows, int32_t cols)
{
    struct fly_support_set set;
    int64_t chips = 0;
    int rc = fly_support_set_load(&set, path, rows, cols);

    if (rc < 0)
        return rc;
    for (int32_t c = 0; c < set.n_classes; c++)
        chips += set.classes[c].n_chips;
    printf("%s: a support set of %d classes, %" PRId64 " chips\n", path, (int)set.n_classes, chips);
    fly_support_set_fini(&set);
    return FLY_OK;
}

static int check_recording(const char *path)
{
    struct fly_verified *v = calloc(1, sizeof *v);
    int rc = v ? fly_verify(v, path) : fly_fail(FLY_ENOMEM, "%s: no memory to read it", path);

    if (rc == FLY_OK) {
        printf("%s: a recording of %" PRIu64 " records, %" PRIu64 " messages, %" PRIu64 " requests, %s\n", path,
               v->records, v->messages, v->requests,
               v->finished ? "finished" : "not finished: Flyback resumes it at its next start");
        if (v->gaps)
            printf("%s: %" PRIu64 " gaps in it are told: messages that went by unrecorded\n", path, v->gaps);
        if (v->wrong[0])
            rc = fly_fail(FLY_EWIRE, "%s: %s", path, v->wrong);
        else if (v->messages)
            rc = fly_proposal_tell(path, stdout);
    }
    free(v);
    return rc;
}

static int ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

int fly_cmd_check(int argc, char **argv)
{
    static const struct option options[] = {{"grid", 1, 0, 'g'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
    int rows = 0, cols = 0, option, wrong = 0, used = 0;

    optind = 0; /* glibc: begin anew */
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'g':
            if (sscanf(optarg, "%dx%d%n", &rows, &cols, &used) != 2 || optarg[used] || rows < 1 ||
                cols < 1 || rows > 4096 || cols > 4096) {
                fprintf(stderr, "flyback check: --grid %s: it is ROWSxCOLS, each 1 .. 4096\n", optarg);
                return 2;
            }
            break;
        case 'h':
            print_help();
            return 0;
        default:
            return 2; /* getopt has said why */
        }
    }
    if (optind == argc) {
        fprintf(stderr, "flyback check: no file named, see --help\n");
        return 2;
    }
    for (int i = optind; i < argc; i++) {
        const char *path = argv[i];
        int rc = FLY_OK;

        if (ends_with(path, ".yaml") || ends_with(path, ".yml")) {
            if (!check_limits(path, &rc))
                rc = check_configuration(path);
        } else if (ends_with(path, ".json")) {
            rc = check_support(path, rows, cols);
        } else if (ends_with(path, ".fly")) {
            rc = check_recording(path);
        } else {
            fprintf(stderr, "flyback check: %s: by its name neither .yaml, .json nor .fly\n", path);
            return 2;
        }
        if (rc < 0) {
            fprintf(stderr, "%s\n", fly_fail_text());
            wrong = 1;
        }
    }
    return wrong;
}
