#include "plugin/overview.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/look.h"
#include "plugin/palette.h"

enum {
    RUNS_MAX = 64,         /* of rows; what is behind the last goes with it */
    NEAR_ROWS = 8,         /* runs so near are one: to ask twice costs more than so many rows */
    CHIPS_MAX = 4096,      /* named in a reply */
    NUMBERS_MAX = 1 << 22, /* of a payload: a turn of the engine's of some 25 ms */
};

static const char *const ops[] = {"changes.get", "elements.get", "support.get"};

int fly_overview_known(const char *op)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(op, ops[i]) == 0)
            return 1;
    return 0;
}

static void refuse(struct fly_job *job, const char *code)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "%s", code);
    snprintf(job->message, sizeof job->message, "%s", fly_fail_text());
}

/* ---- changes.get --------------------------------------------------------------------------------- */

static int32_t runs_since(const struct fly_engine *engine, uint64_t since, int32_t runs[RUNS_MAX][2], uint64_t *newest)
{
    const uint64_t *change = fly_engine_rows(engine, newest);
    int32_t n = 0;

    for (int32_t y = 0; change && y < fly_engine_grid(engine)->height_px; y++) {
        /* A number from another session brings all that was measured. */
        if (change[y] == 0 || (change[y] <= since && since <= *newest))
            continue;
        if (n && (y - (runs[n - 1][0] + runs[n - 1][1]) < NEAR_ROWS || n == RUNS_MAX)) {
            runs[n - 1][1] = y + 1 - runs[n - 1][0];
        } else {
            runs[n][0] = y;
            runs[n++][1] = 1;
        }
    }
    return n;
}

static void changes_get(struct fly_session *session, struct fly_job *job, struct fly_pack *pack)
{
    struct fly_engine *engine = fly_session_engine(session);
    int32_t runs[RUNS_MAX][2], n;
    uint64_t newest, compositions;
    int64_t since = 0;
    struct fly_value value;
    enum fly_refusal why = FLY_REFUSE_NONE;

    if (fly_value_get(job->request.args, "image", &value) && fly_value_kind(value) != FLY_KIND_NIL)
        why = fly_arg_int(job->request.args, "image", 0, INT64_MAX, &since);
    if (why != FLY_REFUSE_NONE) {
        refuse(job, fly_refusal_name(why));
        return;
    }
    n = runs_since(engine, (uint64_t)since, runs, &newest);
    fly_engine_percent_sigma(engine, &compositions);
    fly_pack_map(pack, 5);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, fly_session_facts(session)->id);
    fly_pack_str(pack, "image");
    fly_pack_uint(pack, newest);
    fly_pack_str(pack, "rows_px");
    fly_pack_array(pack, (uint32_t)n);
    for (int32_t i = 0; i < n; i++) {
        fly_pack_array(pack, 2);
        fly_pack_int(pack, runs[i][0]);
        fly_pack_int(pack, runs[i][1]);
    }
    fly_pack_str(pack, "elements");
    fly_pack_uint(pack, compositions);
    fly_pack_str(pack, "support");
    fly_pack_uint(pack, fly_engine_support(engine)->version);
    job->ok = 1;
}

/* ---- elements.get -------------------------------------------------------------------------------- */

/* From rows of chips to maps of elements. Rows not made yet are zero there, and NaN here. */
static void turn_over(float *percent, float *sigma, struct fly_engine *engine, int32_t n, int32_t chips)
{
    const uint8_t *status;
    const double *from = fly_engine_percent(engine, NULL, &status);
    const float *error = fly_engine_percent_sigma(engine, NULL);

    for (int32_t k = 0; k < chips; k++) {
        const double *row = from + (size_t)k * (size_t)n;
        double sum = 0.0;

        for (int32_t el = 0; el < n; el++)
            sum += fabs(row[el]);
        for (int32_t el = 0; el < n; el++) {
            size_t at = (size_t)el * (size_t)chips + (size_t)k;
            int made = status[k] != FLY_QUANTIFY_TOO_FEW && sum > 0.0;

            percent[at] = made ? (float)row[el] : NAN;
            sigma[at] = made ? error[(size_t)k * (size_t)n + (size_t)el] : NAN;
        }
    }
}

static void elements_get(struct fly_session *session, struct fly_job *job, struct fly_pack *pack)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    int32_t n = 0, chips = fly_grid_chips(grid);
    size_t len;

    if (!fly_engine_percent(engine, &n, NULL)) {
        fly_fail(FLY_ERANGE, "this session has no compositions: %s",
                 fly_session_facts(session)->plan.n_segments ? "its spectra are not quantified" : "it has no spectra");
        refuse(job, "bad_value");
        return;
    }
    if ((int64_t)n * chips > NUMBERS_MAX) {
        fly_fail(FLY_ERANGE, "%d elements of %d chips are more than %d numbers: ask chip.get or region.get", (int)n,
                 (int)chips, NUMBERS_MAX);
        refuse(job, "bad_value");
        return;
    }
    len = (size_t)n * (size_t)chips * sizeof(float);
    for (int i = 0; i < 2; i++) {
        job->payload[i] = malloc(len);
        job->payload_len[i] = len;
        job->n_payloads = i + 1;
    }
    if (!job->payload[0] || !job->payload[1]) {
        fly_fail(FLY_ENOMEM, "no memory for the reply");
        refuse(job, "memory");
        return;
    }
    turn_over(job->payload[0], job->payload[1], engine, n, chips);
    fly_pack_map(pack, 2);
    fly_pack_str(pack, "elements");
    fly_pack_array(pack, (uint32_t)n);
    for (int32_t el = 0; el < n; el++)
        fly_pack_str(pack, fly_quantifier_line(fly_engine_quantifier(engine), el).symbol);
    fly_pack_str(pack, "grid_shape");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, grid->rows);
    fly_pack_int(pack, grid->cols);
    job->ok = 1;
}

/* ---- support.get --------------------------------------------------------------------------------- */

static void support_get(struct fly_session *session, struct fly_job *job, struct fly_pack *pack)
{
    const struct fly_support *support = fly_engine_support(fly_session_engine(session));
    int32_t cols = fly_engine_grid(fly_session_engine(session))->cols, chips = 0;
    uint32_t alive = 0;

    for (int32_t c = 0; c < support->n_classes; c++) {
        alive += support->classes[c].alive != 0;
        chips += support->classes[c].alive ? support->classes[c].chips : 0;
    }
    fly_pack_map(pack, 1);
    fly_pack_str(pack, "classes");
    fly_pack_array(pack, alive);
    for (int32_t c = 0; c < support->n_classes; c++) {
        char colour[FLY_COLOUR_TEXT];

        if (!support->classes[c].alive)
            continue;
        fly_colour_text(colour, fly_palette_colour(c));
        fly_pack_map(pack, 4);
        fly_pack_str(pack, "id");
        fly_pack_int(pack, c);
        fly_pack_str(pack, "name");
        fly_pack_str(pack, support->classes[c].name);
        fly_pack_str(pack, "color");
        fly_pack_str(pack, colour);
        if (chips > CHIPS_MAX) {
            fly_pack_str(pack, "n_chips");
            fly_pack_int(pack, support->classes[c].chips);
            continue;
        }
        fly_pack_str(pack, "chips");
        fly_pack_array(pack, (uint32_t)support->classes[c].chips);
        for (int32_t k = 0; k < support->n_chips; k++)
            if (support->class_of[k] == c) {
                fly_pack_array(pack, 2);
                fly_pack_int(pack, k / cols);
                fly_pack_int(pack, k % cols);
            }
    }
    job->ok = 1;
}

void fly_overview(struct fly_session *session, struct fly_job *job)
{
    static void (*const looks[])(struct fly_session *, struct fly_job *, struct fly_pack *) = {
        changes_get, elements_get, support_get};
    struct fly_pack pack;

    job->result = malloc(FLY_RESULT_CAP);
    if (!job->result) {
        fly_fail(FLY_ENOMEM, "no memory for the reply");
        refuse(job, "memory");
        return;
    }
    fly_pack_init(&pack, job->result, FLY_RESULT_CAP);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(job->request.op, ops[i]) == 0)
            looks[i](session, job, &pack);
    FLY_ASSERT(!pack.full); /* the longest has CHIPS_MAX chips */
    job->result_len = pack.len;
}
