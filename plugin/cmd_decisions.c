/* flyback replay SESSION.fly --decisions: every decision of a recording is made again and compared with what stands there. */
#include "plugin/commands.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/recorded.h"
#include "plugin/steering.h"

extern char **environ;

enum { RESULT_CAP = 96 };

static void print_help(void)
{
    printf("Usage: flyback replay SESSION.fly --decisions [--set key=value ...]\n"
           "\n"
           "Follows a recording as it was lived and makes every decision of steering again, from the data, the maps and what\n"
           "its journal says it hung on. Prints one line for each. Fails at the first decision that does not come out the\n"
           "same to the bit, and names it.\n"
           "\n"
           "Columns\n"
           "  decision    its number, Unix ms or one more than the last\n"
           "  epoch       of the maps that it was made from\n"
           "  mode        in force: advise, ask or auto\n"
           "  places      how many it named; 0: it stopped, or all that wanted beam had to wait\n"
           "  gain        by how many chips these were to lower the map's expected error\n"
           "  error       expected of the map, 0 .. 1\n"
           "  result      what became of it, one of these\n"
           "\n"
           "    told        it was a suggestion and nothing more: nobody had the beam, or a newer one took its place\n"
           "    approved    a person said yes, and no command came of it\n"
           "    vetoed      a person said no\n"
           "    void        it was not decided, or could not leave, in time; and why\n"
           "    sent        commanded, and nothing was heard of the command\n"
           "    received    the acquisition has the command; the last that was heard\n"
           "    started     the beam is at it; the last that was heard\n"
           "    done        measured, so many px\n"
           "    rejected    by the acquisition or the guard; and why\n"
           "    withdrawn   the command was taken back; and why\n"
           "\n"
           "  Behind what became of a command stands the error that was expected at the next decision.\n"
           "\n"
           "  --set key=value   a setting over the recorded ones: where weights lie now, say\n"
           "\n"
           "Exit codes: 0 all are the same, 1 one is not or the recording cannot be followed, 2 wrong usage.\n"
           "\n"
           "Example\n"
           "  flyback replay recordings/monday.fly --decisions\n");
}

/* One decision, and what the journal says came of it. */
struct decision {
    char id[FLY_CMD_ID_MAX + 1], cmd_id[FLY_CMD_ID_MAX + 1];
    char mode[8], result[RESULT_CAP];
    uint64_t epoch;
    int32_t targets;
    double gain, error;
};

struct decisions {
    struct decision *rows;
    size_t n, cap;
    struct fly_steering_inputs inputs;
    struct fly_steer_plan plan;
    uint8_t *barred;
    int32_t barred_len;
    unsigned char *again; /* FLY_HEADER_MAX: the record as it would be written now */
};

/* ---- comparing ----------------------------------------------------------------------------------- */

static struct fly_value entry(struct fly_value map, const char *key)
{
    struct fly_value value;

    return fly_value_get(map, key, &value) ? value : fly_value_root("\xc0", 1);
}

static void text_of(struct fly_value map, const char *key, char *out, size_t cap)
{
    struct fly_value value = entry(map, key);
    const char *text;
    size_t len;

    out[0] = '\0';
    if (fly_value_str(value, &text, &len) && len < cap) {
        memcpy(out, text, len);
        out[len] = '\0';
    }
}

static double number_of(struct fly_value map, const char *key)
{
    double number;

    return fly_value_f64(entry(map, key), &number) ? number : NAN;
}

static int same(struct fly_value a, struct fly_value b)
{
    const void *x, *y;
    size_t n = fly_value_bytes(a, &x), m = fly_value_bytes(b, &y);

    return n == m && memcmp(x, y, n) == 0;
}

/* The first key of `then` that says something else now, or NULL. */
static const char *first_difference(struct fly_value then, struct fly_value now, char *key, size_t cap)
{
    struct fly_value_iter it = {0};
    struct fly_value name, value;
    const char *text;
    size_t len;

    while (fly_value_next(then, &it, &name, &value)) {
        if (!fly_value_str(name, &text, &len) || len >= cap)
            return "keys";
        memcpy(key, text, len);
        key[len] = '\0';
        if (!same(value, entry(now, key)))
            return key;
    }
    return NULL;
}

static int compare(struct fly_value then, struct fly_value now, const char *id)
{
    struct fly_value was = entry(then, "outcome"), is = entry(now, "outcome");
    char key[64];
    const char *differs;

    if (!same(entry(then, "config_hash"), entry(now, "config_hash")))
        return fly_fail(FLY_EWIRE, "decision %s was made by another policy than the settings in force now make", id);
    if (fly_value_kind(was) != FLY_KIND_MAP || fly_value_count(was) != fly_value_count(is))
        return fly_fail(FLY_EWIRE, "decision %s: its record lacks the outcome, or part of it, that is made now", id);
    differs = first_difference(was, is, key, sizeof key);
    if (differs)
        return fly_fail(FLY_EWIRE, "decision %s differs: its %s do not come out as recorded", id, differs);
    return FLY_OK;
}

/* ---- the journal, entry by entry ------------------------------------------------------------------- */

static struct decision *add_row(struct decisions *d)
{
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 256;
        struct decision *rows = realloc(d->rows, cap * sizeof *rows);

        if (!rows)
            return NULL;
        d->rows = rows;
        d->cap = cap;
    }
    d->rows[d->n] = (struct decision){.gain = NAN, .error = NAN};
    return &d->rows[d->n++];
}

static int room_for(struct decisions *d, int32_t chips)
{
    if (d->barred_len >= chips)
        return FLY_OK;
    free(d->barred);
    d->barred = malloc((size_t)chips);
    d->barred_len = d->barred ? chips : 0;
    return d->barred ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for %d chips", chips);
}

static int take_plan(struct decisions *d, struct fly_session *session, struct fly_value args)
{
    struct fly_value outcome = entry(args, "outcome");
    struct fly_pack pack;
    struct decision *row;
    int rc = fly_steering_unpack(args, &d->inputs);

    if (rc == FLY_OK)
        rc = room_for(d, fly_grid_chips(fly_engine_grid(fly_session_engine(session))));
    if (rc < 0)
        return rc;
    rc = fly_steering_plan(session, &d->inputs, d->barred, &d->plan);
    if (rc < 0)
        return fly_fail(FLY_EWIRE, "decision %s cannot be made again: %s", d->inputs.decision_id,
                        rc == FLY_EAGAIN ? "there is nothing to decide from" : fly_fail_text());
    fly_pack_init(&pack, d->again, FLY_HEADER_MAX);
    fly_steering_pack(&pack, session, &d->inputs, &d->plan);
    rc = compare(args, fly_value_root(d->again, pack.len), d->inputs.decision_id);
    row = rc == FLY_OK ? add_row(d) : NULL;
    if (rc == FLY_OK && !row)
        rc = fly_fail(FLY_ENOMEM, "no memory for the list of decisions");
    if (rc < 0)
        return rc;
    memcpy(row->id, d->inputs.decision_id, sizeof row->id);
    text_of(entry(args, "inputs"), "mode", row->mode, sizeof row->mode);
    row->epoch = d->inputs.epoch;
    row->targets = (int32_t)fly_value_count(entry(outcome, "targets"));
    row->gain = number_of(outcome, "expected_gain");
    row->error = number_of(outcome, "expected_error");
    return FLY_OK;
}

/* The decision that an entry of the journal speaks of, by its number or by that of its command. */
static struct decision *row_of(struct decisions *d, struct fly_value args)
{
    char id[FLY_CMD_ID_MAX + 1], cmd_id[FLY_CMD_ID_MAX + 1];

    text_of(args, "decision_id", id, sizeof id);
    text_of(args, "cmd_id", cmd_id, sizeof cmd_id);
    for (size_t i = d->n; i-- > 0;)
        if (id[0] ? strcmp(d->rows[i].id, id) == 0 : cmd_id[0] && strcmp(d->rows[i].cmd_id, cmd_id) == 0)
            return &d->rows[i];
    return NULL;
}

static void take_ack(struct decision *row, struct fly_value args)
{
    char status[16], reason[FLY_ACK_REASON_MAX + 1];
    int64_t pixels;

    text_of(args, "status", status, sizeof status);
    text_of(args, "reason", reason, sizeof reason);
    if (fly_value_int(entry(args, "pixels"), &pixels))
        snprintf(row->result, sizeof row->result, "%s, %" PRId64 " px", status, pixels);
    else
        snprintf(row->result, sizeof row->result, "%s%s%.60s", status, reason[0] ? ": " : "", reason);
}

static void take_fate(struct decisions *d, const char *op, struct fly_value args)
{
    struct decision *row = row_of(d, args);
    char why[64], verdict[16];

    if (!row)
        return;
    text_of(args, "why", why, sizeof why);
    if (strcmp(op, "steer.command") == 0) {
        text_of(args, "cmd_id", row->cmd_id, sizeof row->cmd_id);
        snprintf(row->result, sizeof row->result, "sent");
    } else if (strcmp(op, "steer.ack") == 0) {
        take_ack(row, args);
    } else if (strcmp(op, "steer.decide") == 0) {
        text_of(args, "verdict", verdict, sizeof verdict);
        snprintf(row->result, sizeof row->result, "%s", strcmp(verdict, "veto") == 0 ? "vetoed" : "approved");
    } else if (strcmp(op, "steer.expire") == 0) {
        snprintf(row->result, sizeof row->result, "void: %s", why);
    } else if (strcmp(op, "steer.withdraw") == 0) {
        snprintf(row->result, sizeof row->result, "withdrawn: %s", why);
    }
}

static int take_entry(void *ctx, struct fly_session *session, const struct fly_journal_item *item)
{
    struct decisions *d = ctx;
    struct fly_value args;
    char op[64];

    if (!fly_journal_request(item, op, &args))
        return FLY_OK;
    if (strcmp(op, "steer.plan") == 0)
        return take_plan(d, session, args);
    take_fate(d, op, args);
    return FLY_OK;
}

static int pass_epoch(void *ctx, struct fly_session *session, uint64_t epoch)
{
    (void)ctx;
    (void)session;
    (void)epoch;
    return FLY_OK;
}

/* ---- the table ------------------------------------------------------------------------------------- */

/* A command's gain shows in the first decision after it. */
static void print_rows(const struct decisions *d)
{
    if (!d->n)
        return;
    printf("%-14s %6s %-7s %6s %9s %8s  %s\n", "decision", "epoch", "mode", "places", "gain", "error", "result");
    for (size_t i = 0; i < d->n; i++) {
        const struct decision *row = &d->rows[i];

        printf("%-14s %6" PRIu64 " %-7s %6d %9.3f %8.5f  %s", row->id, row->epoch, row->mode, row->targets, row->gain,
               row->error, row->result[0] ? row->result : "told");
        if (row->cmd_id[0] && i + 1 < d->n)
            printf("; error %.5f then", d->rows[i + 1].error);
        printf("\n");
    }
}

/* ---- the command ----------------------------------------------------------------------------------- */

/* FLY_OK; 1 when the help was printed. */
static int parse(const char **path, int argc, char **argv)
{
    static const struct option longs[] = {{"help", 0, 0, 'h'}, {"decisions", 0, 0, 'd'}, {0}};
    int c;

    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (c == 'h') {
            print_help();
            return 1;
        }
        if (c != 'd')
            return fly_fail(FLY_ERANGE, "%s: no such option beside --decisions (see --decisions --help)", argv[optind - 1]);
    }
    if (argc - optind != 1)
        return fly_fail(FLY_ERANGE, "one recording, SESSION.fly, is needed");
    *path = argv[optind];
    return FLY_OK;
}

/* The recording's path comes before its settings can be read: the first argument that is no option. */
static const char *path_among(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--set") == 0 || strcmp(argv[i], "--config") == 0)
            i++;
        else if (argv[i][0] != '-')
            return argv[i];
    }
    return NULL;
}

static int run(struct decisions *d, struct fly_recorded *recorded)
{
    int rc;

    d->again = malloc(FLY_HEADER_MAX);
    if (!d->again)
        return fly_fail(FLY_ENOMEM, "no memory to compare decisions");
    recorded->epoch = pass_epoch;
    recorded->steer = take_entry;
    recorded->ctx = d;
    rc = fly_recorded_run(recorded, NULL);
    print_rows(d);
    if (rc == FLY_OK)
        printf(d->n == 1 ? "%zu decision, which comes out as recorded\n" : "%zu decisions, all come out as recorded\n", d->n);
    return rc;
}

int fly_cmd_decisions(int argc, char **argv)
{
    struct fly_recorded *recorded = calloc(1, sizeof *recorded);
    struct decisions *d = calloc(1, sizeof *d);
    const char *path = path_among(argc, argv);
    int rc = recorded && d ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory"), wrong = 0;

    if (rc == FLY_OK && path)
        rc = fly_recorded_options(&recorded->options, path, &argc, argv, environ);
    if (rc == FLY_OK) {
        rc = parse(&path, argc, argv);
        wrong = rc < 0;
    }
    if (rc == FLY_OK) {
        recorded->path = path;
        rc = run(d, recorded);
    }
    if (rc < 0)
        fprintf(stderr, "flyback replay --decisions: %s\n", fly_fail_text());
    if (recorded)
        fly_recorded_close(recorded);
    if (d) {
        free(d->rows);
        free(d->barred);
        free(d->again);
    }
    free(recorded);
    free(d);
    return rc < 0 ? wrong || rc == FLY_ERANGE ? 2 : 1 : 0;
}
