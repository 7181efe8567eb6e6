#include "plugin/dose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/decision.h"
#include "plugin/input.h"
#include "plugin/look.h"
#include "plugin/maps.h"

int fly_dose_fit(struct fly_dose *dose, int32_t n_chips)
{
    size_t k = (size_t)n_chips;

    if (dose->cap_chips < n_chips) {
        fly_dose_fini(dose);
        dose->mean = calloc(k, sizeof *dose->mean);
        dose->most = calloc(k, sizeof *dose->most);
        if (!dose->mean || !dose->most) {
            fly_dose_fini(dose);
            return fly_fail(FLY_ENOMEM, "dose of %d chips: no memory", n_chips);
        }
        dose->cap_chips = n_chips;
    }
    dose->n_chips = n_chips;
    dose->told.chips = dose->mean;
    return FLY_OK;
}

void fly_dose_fini(struct fly_dose *dose)
{
    free(dose->mean);
    free(dose->most);
    *dose = (struct fly_dose){.serial = 0};
}

int fly_dose_copy(struct fly_dose *to, const struct fly_dose *from)
{
    size_t k = (size_t)from->n_chips;
    int rc = fly_dose_fit(to, from->n_chips);

    if (rc < 0)
        return rc;
    to->serial = from->serial;
    to->version = from->version;
    to->told = from->told;
    to->told.chips = to->mean;
    memcpy(to->as_of, from->as_of, sizeof to->as_of);
    memcpy(to->mean, from->mean, k * sizeof *to->mean);
    memcpy(to->most, from->most, k * sizeof *to->most);
    return FLY_OK;
}

int fly_dose_differs(const struct fly_dose *dose, struct fly_session *session)
{
    struct fly_ledger_counts counts;

    fly_engine_ledger(fly_session_engine(session), NULL, &counts);
    return dose->version != counts.version;
}

/* Scalars of the chips that have a dose. values: (n_chips) scratch. */
static void sum_up(struct fly_dose *dose, float *values)
{
    double sum = 0.0, most = NAN;
    int32_t n = 0;

    for (int32_t k = 0; k < dose->n_chips; k++) {
        if (isnan(dose->mean[k]))
            continue;
        sum += (double)dose->mean[k];
        most = !((double)dose->most[k] <= most) ? (double)dose->most[k] : most;
        values[n++] = dose->mean[k];
    }
    dose->told.max = most;
    dose->told.mean = n ? sum / n : NAN;
    dose->told.gini = fly_dose_gini(values, n);
}

/* What steering gives no pixel more than; NaN: it does not steer, or knows no survey to count by. */
static double cap_of(const struct fly_options *options, const struct fly_pub_dose *told)
{
    double cap = options->steer.dose_cap * told->survey;

    if (options->steer.mode == FLY_STEER_OFF)
        return NAN;
    return told->calibrated && options->steer.dose_cap_e_per_A2 > 0.0 ? fmin(cap, options->steer.dose_cap_e_per_A2) : cap;
}

int fly_dose_take(struct fly_dose *dose, struct fly_session *session, const uint64_t as_of[FLY_STREAMS_MAX])
{
    const struct fly_session_info *info = fly_session_facts(session);
    const struct fly_grid *grid = &info->plan.grid;
    double factor = fly_dose_factor(info->start.beam_current_na, info->plan.pixel_nm);
    struct fly_ledger_counts counts;
    struct fly_ledger_view view;
    float *values;
    int rc = fly_dose_fit(dose, fly_grid_chips(grid));

    if (rc < 0)
        return rc;
    values = malloc((size_t)dose->n_chips * sizeof *values);
    if (!values)
        return fly_fail(FLY_ENOMEM, "dose of %d chips: no memory", dose->n_chips);
    fly_engine_ledger(fly_session_engine(session), &view, &counts);
    dose->serial = info->serial;
    dose->version = counts.version;
    dose->told = (struct fly_pub_dose){.calibrated = isfinite(factor),
                                       .factor = isfinite(factor) ? factor : 1.0,
                                       .full_shape = {grid->rows, grid->cols},
                                       .unknown = counts.unknown,
                                       .late = counts.late,
                                       .chips = dose->mean};
    dose->told.survey = dose->told.factor * counts.survey_us;
    dose->told.cap = cap_of(fly_session_options(session), &dose->told);
    memcpy(dose->as_of, as_of, sizeof dose->as_of);
    for (int32_t k = 0; k < dose->n_chips; k++) {
        dose->mean[k] = view.unknown[k] ? NAN : (float)(dose->told.factor * (double)view.mean_us[k]);
        dose->most[k] = view.unknown[k] ? NAN : (float)(dose->told.factor * (double)view.max_us[k]);
    }
    sum_up(dose, values);
    free(values);
    return FLY_OK;
}

/* ---- the wire ------------------------------------------------------------------------------------ */

int fly_dose_message(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                     const struct fly_dose *dose, const struct fly_session_info *info)
{
    struct fly_pub_dose told = dose->told;

    fly_streams_of(&told.as_of, info, dose->as_of);
    return fly_pub_dose(out, pack, id, &told);
}

static int answer(struct fly_dose *dose, struct fly_job *job, const struct fly_session_info *info)
{
    struct fly_pack pack;

    job->result = malloc(FLY_HEADER_MAX);
    if (!job->result)
        return fly_fail(FLY_ENOMEM, "no memory for the reply");
    fly_streams_of(&dose->told.as_of, info, dose->as_of);
    fly_pack_init(&pack, job->result, FLY_HEADER_MAX);
    fly_pub_pack_dose(&pack, &dose->told);
    job->result_len = pack.len;
    job->payload[0] = dose->mean; /* its own from here on */
    job->payload[1] = dose->most;
    job->payload_len[0] = job->payload_len[1] = (size_t)dose->n_chips * sizeof *dose->mean;
    job->n_payloads = 2;
    dose->mean = dose->most = NULL;
    job->ok = 1;
    return FLY_OK;
}

void fly_dose_get(struct fly_session *session, struct fly_job *job, const uint64_t as_of[FLY_STREAMS_MAX])
{
    struct fly_dose dose = {.serial = 0};
    int rc = fly_dose_take(&dose, session, as_of);

    if (rc == FLY_OK)
        rc = answer(&dose, job, fly_session_facts(session));
    if (rc < 0) {
        job->ok = 0;
        snprintf(job->code, sizeof job->code, "memory");
        snprintf(job->message, sizeof job->message, "%s", fly_fail_text());
    }
    fly_dose_fini(&dose);
}
