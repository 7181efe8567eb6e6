#include "tests/bench/bench_steer.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "sim/tool.h"
#include "tests/bench/measure.h"
#include "tests/bench/steer_score.h"

/* Seeds 1 .. 20 are there to tune by, these to judge by, once. */
enum { JUDGE_FIRST = 101, JUDGE_LAST = 120 };
enum { SPECIMENS_MAX = 8, RARE_PERCENT = 1 };

struct specimen_kind {
    const char *name;
    const char *geometry;
    double inclusion;
    int taught;
};

static const struct specimen_kind kinds[] = {
    {"pristine_0", "table2_pristine_0", 0.0, 0},
    {"pristine_0.1", "table2_pristine_0.1", 0.0, 0},
    {"defective_0", "table2_defective_0", 0.0, 0},
    {"defective_0.1", "table2_defective_0.1", 0.0, 0},
    {"rare", "table2_defective_0", RARE_PERCENT / 100.0, 1},
    {"novel", "table2_defective_0", RARE_PERCENT / 100.0, 0},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char help_text[] =
    "Usage: flyback bench steer [options]\n"
    "\n"
    "A closed loop in one process: simulated specimen, engine, policy, beam. Prints one JSON line a run, with\n"
    "a curve of dose, time and how right the map is; tests/bench/steer_benefit.py makes tables of it.\n"
    "\n"
    "  --policy LIST      adaptive, margin, interlaced, raster, random, frozen (adaptive,interlaced)\n"
    "  --from FILE        a recorded session of several frames is the specimen, and its chips' frames are what is\n"
    "                     bought: a policy's dwell is whole frames, and no chip has more than there are. Settings and\n"
    "                     support set are the recording's. What is aimed at is the map of all its frames\n"
    "  --truth FILE       with --from: truth_chip.npy of `flyback sim --truth`, to be judged by, too\n"
    "  --specimen LIST    pristine_0, pristine_0.1, defective_0, defective_0.1 (Table II), rare (defective_0 with one\n"
    "                     inclusion of 1 % of the area, taught), novel (the same, not taught) (all of them)\n"
    "  --seeds A-B        1 .. 1000000 (1-1); 101-120 need --judge\n"
    "  --judge HASH       the commit in which simulator, inference and scoring were frozen; told in every line\n"
    "  --budget N         mean dose of the map, survey dwells, 1 .. 64 (8: every chip at its cap)\n"
    "  --survey-us D      dwell of the survey, 0.1 .. 1000 (2; with --from the recorded one; another is told the engine\n"
    "                     in its place: the same counts by another beam)\n"
    "  --hits C           image counts of a survey pixel on a La column, 0.1 .. 1000 (3)\n"
    "  --photons C        X-ray photons of a chip in the survey, 1 .. 100000 (12)\n"
    "  --shots N          support chips of a class, 1 .. 16 (8)\n"
    "  --set LIST         other constants of the policy: boundary=0,novel=0 (see --help-set)\n"
    "  --help-set         their names and values; stop_error and stop_floor are 0 here, so that curves go on\n"
    "  --out FILE         append there (stdout)\n"
    "  --quiet            no progress\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
    "\n"
    "Examples\n"
    "  flyback bench steer --policy adaptive,interlaced --specimen pristine_0,rare --seeds 1-5 --out runs.jsonl\n"
    "  flyback bench steer --from recordings/monday.fly\n";

struct bench_steer {
    int policies[FLY_STEER_POLICIES], n_policies;
    int specimens[SPECIMENS_MAX], n_specimens;
    int64_t first, last; /* 0: none was asked for */
    const char *judge, *set, *out;
    double budget;
    double survey_us; /* 0: none was asked for */
    struct steer_rig_config rig;
    int quiet, done;
    FILE *to;
};

/* ---- constants of the policy ---------------------------------------------------------------------------- */

#define FIELD(name) {#name, offsetof(struct fly_steer_config, name), 0}
#define WHOLE(name) {#name, offsetof(struct fly_steer_config, name), 1}
static const struct {
    const char *name;
    size_t at;
    int whole; /* an int32_t, else a double */
} fields[] = {
    WHOLE(signal),       FIELD(alpha),        FIELD(hysteresis),   FIELD(potts_beta),       WHOLE(potts_iterations),
    FIELD(boundary),     FIELD(novel),        FIELD(again),        FIELD(disagree),         FIELD(composition),
    FIELD(support),      FIELD(explore),      FIELD(dwell_max),    FIELD(dwell_min),    WHOLE(tiles),            WHOLE(apart),
    FIELD(uneven),       FIELD(rate_floor),   FIELD(rate_unknown), FIELD(hopeless),         FIELD(cap),
    FIELD(rest_ms),      FIELD(settle_us),    FIELD(flyback_us),   FIELD(slew_px_per_us),   FIELD(stop_error),
    WHOLE(stop_epochs),  FIELD(stop_agreement), FIELD(stop_composition), FIELD(stop_floor),
};
enum { FIELDS = sizeof fields / sizeof *fields };

static double *real_at(struct fly_steer_config *config, int f)
{
    return (double *)((char *)config + fields[f].at);
}

static int32_t *whole_at(struct fly_steer_config *config, int f)
{
    return (int32_t *)((char *)config + fields[f].at);
}

static void print_fields(const struct fly_steer_config *defaults)
{
    struct fly_steer_config config = *defaults;

    for (int f = 0; f < FIELDS; f++)
        printf("  %-18s %g\n", fields[f].name, fields[f].whole ? *whole_at(&config, f) : *real_at(&config, f));
    printf("  %-18s 0 (adaptive and margin first expose the support chips for so many survey dwells)\n", "teach");
}

static int set_one(struct steer_rig_config *rig, const char *name, const char *text)
{
    struct fly_steer_config *config = &rig->steer;

    if (!strcmp(name, "teach"))
        return fly_tool_f64(name, text, 0.0, 15.0, &rig->teach);
    for (int f = 0; f < FIELDS; f++) {
        double value;
        int rc;

        if (strcmp(fields[f].name, name) != 0)
            continue;
        rc = fly_tool_f64(name, text, -1.0, 1e12, &value);
        if (rc == FLY_OK && fields[f].whole)
            *whole_at(config, f) = (int32_t)value;
        else if (rc == FLY_OK)
            *real_at(config, f) = value;
        return rc;
    }
    return fly_fail(FLY_ERANGE, "--set %.40s: no such constant (see --help-set)", name);
}

/* ---- command line ---------------------------------------------------------------------------------------- */

static int policy_named(const char *word)
{
    return fly_steer_policy_of_name(word);
}

static int specimen_named(const char *word)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(word, kinds[i].name))
            return i;
    return -1;
}

static int read_list(const char *option, const char *list, int (*named)(const char *), int *out, int *count, int cap)
{
    char copy[256], *save = NULL;

    *count = 0;
    if (strlen(list) >= sizeof copy)
        return fly_fail(FLY_ERANGE, "%s: longer than %zu letters", option, sizeof copy - 1);
    strcpy(copy, list);
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        int value = named(word);

        if (value < 0 || *count == cap)
            return fly_fail(FLY_ERANGE, "%s %.40s: not one of those that --help names, or too many", option, word);
        out[(*count)++] = value;
    }
    return FLY_OK;
}

static int read_set(struct steer_rig_config *rig, const char *list)
{
    char copy[512], *save = NULL;
    int rc = FLY_OK;

    if (strlen(list) >= sizeof copy || strpbrk(list, "\"\\"))
        return fly_fail(FLY_ERANGE, "--set: NAME=VALUE,... of at most %zu letters", sizeof copy - 1);
    strcpy(copy, list);
    for (char *item = strtok_r(copy, ",", &save); item && rc == FLY_OK; item = strtok_r(NULL, ",", &save)) {
        char *value = strchr(item, '=');

        if (!value)
            return fly_fail(FLY_ERANGE, "--set %.40s: NAME=VALUE is meant", item);
        *value = '\0';
        rc = set_one(rig, item, value + 1);
    }
    return rc == FLY_OK ? fly_steer_config_check(&rig->steer) : rc;
}

static int read_seeds(struct bench_steer *b, const char *text)
{
    char copy[64], *dash;
    int rc;

    if (strlen(text) >= sizeof copy)
        return fly_fail(FLY_ERANGE, "--seeds: A-B");
    strcpy(copy, text);
    dash = strchr(copy, '-');
    if (dash)
        *dash = '\0';
    rc = fly_tool_int("--seeds", copy, 1, 1000000, &b->first);
    b->last = b->first;
    if (rc == FLY_OK && dash)
        rc = fly_tool_int("--seeds", dash + 1, b->first, 1000000, &b->last);
    return rc;
}

enum { OPT_POLICY = 1000, OPT_SPECIMEN, OPT_SEEDS, OPT_JUDGE, OPT_BUDGET, OPT_SURVEY, OPT_HITS, OPT_PHOTONS, OPT_SHOTS,
       OPT_SET, OPT_FROM, OPT_TRUTH, OPT_HELP_SET, OPT_OUT, OPT_QUIET, OPT_HELP };

static int read_option(struct bench_steer *b, int id, const char *option, const char *text)
{
    int64_t count;
    int rc;

    switch (id) {
    case OPT_POLICY:
        return read_list(option, text, policy_named, b->policies, &b->n_policies, FLY_STEER_POLICIES);
    case OPT_SPECIMEN:
        return read_list(option, text, specimen_named, b->specimens, &b->n_specimens, SPECIMENS_MAX);
    case OPT_SEEDS:
        return read_seeds(b, text);
    case OPT_JUDGE:
        b->judge = text;
        return strspn(text, "0123456789abcdef") == strlen(text) && strlen(text) >= 7 && strlen(text) <= 64
                   ? FLY_OK
                   : fly_fail(FLY_ERANGE, "--judge %.80s: the hash of a commit is meant", text);
    case OPT_BUDGET:
        return fly_tool_f64(option, text, 1.0, 64.0, &b->budget);
    case OPT_SURVEY:
        return fly_tool_f64(option, text, 0.1, 1000.0, &b->survey_us);
    case OPT_HITS:
        return fly_tool_f64(option, text, 0.1, 1000.0, &b->rig.hits);
    case OPT_PHOTONS:
        return fly_tool_f64(option, text, 1.0, 100000.0, &b->rig.photons);
    case OPT_SHOTS:
        rc = fly_tool_int(option, text, 1, 16, &count);
        b->rig.shots = rc == FLY_OK ? (int32_t)count : b->rig.shots;
        return rc;
    case OPT_SET:
        b->set = text;
        return read_set(&b->rig, text);
    case OPT_FROM:
        b->rig.from = text;
        return FLY_OK;
    case OPT_TRUTH:
        b->rig.truth = text;
        return FLY_OK;
    case OPT_OUT:
        b->out = text;
        return FLY_OK;
    case OPT_QUIET:
        b->quiet = 1;
        return FLY_OK;
    default:
        b->done = 1;
        if (id == OPT_HELP_SET)
            print_fields(&b->rig.steer);
        else
            fputs(help_text, stdout);
        return FLY_OK;
    }
}

static int read_options(struct bench_steer *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"policy", 1, NULL, OPT_POLICY},   {"specimen", 1, NULL, OPT_SPECIMEN}, {"seeds", 1, NULL, OPT_SEEDS},
        {"judge", 1, NULL, OPT_JUDGE},     {"budget", 1, NULL, OPT_BUDGET},     {"survey-us", 1, NULL, OPT_SURVEY},
        {"hits", 1, NULL, OPT_HITS},       {"photons", 1, NULL, OPT_PHOTONS},   {"shots", 1, NULL, OPT_SHOTS},
        {"set", 1, NULL, OPT_SET},         {"help-set", 0, NULL, OPT_HELP_SET}, {"out", 1, NULL, OPT_OUT},
        {"from", 1, NULL, OPT_FROM},       {"truth", 1, NULL, OPT_TRUTH},       {"quiet", 0, NULL, OPT_QUIET},
        {"help", 0, NULL, OPT_HELP},         {0},
    };
    int id, at = 0, rc = FLY_OK;

    optind = 0;
    opterr = 0;
    while (rc == FLY_OK && !b->done && (id = getopt_long(argc, argv, "", options, &at)) != -1) {
        char option[40];

        if (id == '?')
            return fly_fail(FLY_ERANGE, "%.80s: no such option, or its value is missing",
                            argv[optind > 0 ? optind - 1 : 0]);
        snprintf(option, sizeof option, "--%s", options[at].name);
        rc = read_option(b, id, option, optarg);
    }
    if (rc == FLY_OK && optind < argc && !b->done)
        rc = fly_fail(FLY_ERANGE, "%.80s: no word is expected here", argv[optind]);
    if (rc == FLY_OK && b->rig.from && (b->first || b->n_specimens))
        rc = fly_fail(FLY_ERANGE, "--from: a recording is one specimen, without --specimen and --seeds");
    if (rc == FLY_OK && b->rig.truth && !b->rig.from)
        rc = fly_fail(FLY_ERANGE, "--truth: only with --from");
    if (rc == FLY_OK && !b->judge && b->first <= JUDGE_LAST && b->last >= JUDGE_FIRST)
        rc = fly_fail(FLY_ERANGE, "--seeds %lld-%lld: %d-%d judge, once, and need --judge HASH", (long long)b->first,
                      (long long)b->last, JUDGE_FIRST, JUDGE_LAST);
    return rc;
}

/* ---- runs ------------------------------------------------------------------------------------------------- */

/* JSON has no NaN. */
static void print_number(FILE *to, double value)
{
    if (isnan(value))
        fputs("null", to);
    else
        fprintf(to, "%.6g", value);
}

static const char *const columns[] = {"dose", "time_ms", "accuracy", "smoothed", "likeliest", "agreement", "ami",
                                      "worst_recall", "rare_recall", "max_dose", "gini", "error_told", "plans", "stop"};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void print_look(FILE *to, const struct steer_look *look)
{
    const double values[COLUMNS] = {look->dose, look->time_ms, look->accuracy, look->smoothed, look->likeliest,
                                    look->agreement, look->ami, look->worst_recall, look->rare_recall,
                                    look->max_dose, look->gini, look->error_told, look->plans, look->stop};

    for (int i = 0; i < COLUMNS; i++) {
        fputc(i ? ',' : '[', to);
        print_number(to, values[i]);
    }
    fputc(']', to);
}

static void print_reference(FILE *to, const struct steer_look *reference)
{
    const struct {
        const char *name;
        double value;
    } of[] = {
        {"accuracy", reference->accuracy},   {"smoothed", reference->smoothed},
        {"likeliest", reference->likeliest}, {"agreement", 1.0},
        {"worst_recall", reference->worst_recall}, {"rare_recall", reference->rare_recall},
    };

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        fprintf(to, "%s\"%s\": ", i ? ", " : "\"reference\": {", of[i].name);
        print_number(to, of[i].value);
    }
    fputc('}', to);
}

static void print_head(const struct bench_steer *b, const struct steer_rig_config *config, const char *specimen,
                       const struct steer_look *reference, int32_t frames)
{
    FILE *to = b->to;

    fprintf(to, "{\"specimen\": \"%s\", \"seed\": %llu, \"policy\": \"%s\", \"set\": \"%s\", ", specimen,
            (unsigned long long)config->seed, fly_steer_policy_name(config->steer.policy), b->set ? b->set : "");
    fprintf(to, "\"judge\": \"%s\", \"chips\": %d, \"budget\": %g, \"survey_us\": %g, ", b->judge ? b->judge : "",
            config->geometry.rows * config->geometry.cols, b->budget, config->survey_us);
    if (frames)
        fprintf(to, "\"frames\": %d, ", frames);
    else
        fprintf(to, "\"hits\": %g, \"photons\": %g, \"shots\": %d, ", config->hits, config->photons, config->shots);
    fprintf(to, "\"teach\": %g, ", config->teach);
    print_reference(to, reference);
    fprintf(to, ", \"columns\": [");
    for (int i = 0; i < COLUMNS; i++)
        fprintf(to, "%s\"%s\"", i ? ", " : "", columns[i]);
    fprintf(to, "], \"curve\": [");
}

static void run_policy(const struct bench_steer *b, struct steer_rig_config config, const char *specimen,
                       const int32_t *reference_labels, const struct steer_look *reference)
{
    double begin = bench_now_s();
    struct steer_look look;
    struct steer_rig rig;
    int more = 1;

    config.steer.budget = b->budget;
    steer_rig_open(&rig, &config);
    print_head(b, &rig.config, specimen, reference, rig.frames);
    steer_rig_pass(&rig, 1.0);
    if (config.teach > 0.0 && config.steer.policy <= FLY_STEER_MARGIN)
        steer_rig_teach(&rig, config.teach);
    while (more) {
        steer_score(&rig, reference_labels, &look);
        print_look(b->to, &look);
        more = steer_rig_step(&rig);
        fputs(more ? "," : "", b->to);
    }
    fprintf(b->to, "], \"stop\": \"%s\", \"cpu_s\": %.3g}\n", fly_steer_stop_name(rig.plan.stop),
            bench_now_s() - begin);
    fflush(b->to);
    if (!b->quiet)
        fprintf(stderr, "%-14s seed %llu %-11s dose %.2f accuracy %.3f of %.3f, agreement %.3f, %d plans, "
                "%.1f s\n", specimen, (unsigned long long)config.seed, fly_steer_policy_name(config.steer.policy),
                look.dose, look.accuracy, reference->accuracy, look.agreement, look.plans, bench_now_s() - begin);
    steer_rig_close(&rig);
}

/* One uniform frame of the whole budget, by another beam; of a recording all of its frames. */
static void run_specimen(const struct bench_steer *b, struct steer_rig_config config, const char *name)
{
    struct steer_rig_config whole = config;
    struct steer_look reference;
    struct steer_rig rig;
    int32_t *labels;

    whole.beam_stream = 1;
    whole.dwell_most = b->budget;
    steer_rig_open(&rig, &whole);
    steer_rig_pass(&rig, rig.frames ? rig.frames : b->budget);
    steer_score(&rig, NULL, &reference);
    labels = bench_need((size_t)rig.chips, sizeof *labels);
    memcpy(labels, steer_labels(&rig), (size_t)rig.chips * sizeof *labels);
    steer_rig_close(&rig);
    for (int p = 0; p < b->n_policies; p++) {
        config.steer.policy = (enum fly_steer_policy)b->policies[p];
        run_policy(b, config, name, labels, &reference);
    }
    free(labels);
}

static void run_simulated(const struct bench_steer *b, const struct specimen_kind *kind, int64_t seed)
{
    struct steer_rig_config config = b->rig;

    if (b->survey_us > 0.0)
        config.survey_us = b->survey_us;
    config.geometry = *fly_geometry_find(kind->geometry);
    config.inclusion = kind->inclusion;
    config.taught = kind->taught;
    config.seed = (uint64_t)seed;
    run_specimen(b, config, kind->name);
}

static void run_recorded(const struct bench_steer *b)
{
    struct steer_rig_config config = b->rig;

    config.seed = 0; /* nobody knows it */
    config.survey_us = b->survey_us;
    run_specimen(b, config, "recorded");
}

static void run_all(const struct bench_steer *b)
{
    int64_t first = b->first ? b->first : 1, last = b->first ? b->last : 1;

    if (b->rig.from) {
        run_recorded(b);
        return;
    }
    for (int64_t seed = first; seed <= last; seed++)
        for (int i = 0; i < (b->n_specimens ? b->n_specimens : KINDS); i++)
            run_simulated(b, &kinds[b->n_specimens ? b->specimens[i] : i], seed);
}

int fly_bench_steer(int argc, char **argv)
{
    struct bench_steer b = {.policies = {FLY_STEER_ADAPTIVE, FLY_STEER_INTERLACED}, .n_policies = 2, .budget = 8.0,
                            .rig = steer_rig_default(), .to = stdout};

    /* A survey as poor as one that is to be steered from: of the map that the whole budget makes it has four fifths, and
     * uniform passes need three to five for most of the rest. Of 10 counts and 40 photons it has nine tenths. */
    b.rig.hits = 3.0;
    b.rig.photons = 12.0;
    if (read_options(&b, argc, argv) < 0) {
        fprintf(stderr, "flyback bench steer: %s\n", fly_fail_text());
        return 2;
    }
    if (b.done)
        return 0;
    if (b.out && !(b.to = fopen(b.out, "a"))) {
        fprintf(stderr, "flyback bench steer: %s: %s\n", b.out, strerror(errno));
        return 1;
    }
    run_all(&b);
    return ferror(b.to) || (b.out && fclose(b.to)) ? 1 : 0;
}
