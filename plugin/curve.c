#include "plugin/curve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/look.h"
#include "plugin/maps.h"

static const double THRESHOLD_MAX = 1.9;

static void refuse(struct fly_job *job, enum fly_refusal why)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "%s", fly_refusal_name(why));
    snprintf(job->message, sizeof job->message, "%s", fly_fail_text());
}

static enum fly_refusal threshold_arg(struct fly_value args, const char *key, double fallback, double *out)
{
    struct fly_value value;

    *out = fallback;
    if (!fly_value_get(args, key, &value) || fly_value_kind(value) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    if (!fly_value_f64(value, out)) {
        fly_fail(FLY_ERANGE, "args.%s: a number of 0 .. %g is needed", key, THRESHOLD_MAX);
        return FLY_REFUSE_BAD_TYPE;
    }
    if (!(*out >= 0.0 && *out <= THRESHOLD_MAX)) {
        fly_fail(FLY_ERANGE, "args.%s: %g, allowed is 0 .. %g", key, *out, THRESHOLD_MAX);
        return FLY_REFUSE_BAD_VALUE;
    }
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_args(struct fly_curve_job *curve, struct fly_session *session, struct fly_value args)
{
    static const char *const modalities[] = {"haadf", "eds", "ensemble"};
    struct fly_value value;
    double from, to;
    int64_t n = 51;
    int32_t modality;
    enum fly_refusal why = fly_arg_word(args, "modality", modalities, FLY_MODALITIES, &modality);

    if (why == FLY_REFUSE_NONE &&
        !fly_maps_has_map(fly_session_facts(session), fly_map_index(FLY_COMMUNITY, (enum fly_modality)modality))) {
        fly_fail(FLY_ERANGE, "args.modality: this session has no affinity graph of %s", modalities[modality]);
        why = FLY_REFUSE_BAD_VALUE;
    }
    if (why == FLY_REFUSE_NONE)
        why = threshold_arg(args, "from", 0.0, &from);
    if (why == FLY_REFUSE_NONE)
        why = threshold_arg(args, "to", 1.0, &to);
    if (why == FLY_REFUSE_NONE && fly_value_get(args, "points", &value) && fly_value_kind(value) != FLY_KIND_NIL)
        why = fly_arg_int(args, "points", 1, FLY_CURVE_POINTS, &n);
    if (why != FLY_REFUSE_NONE)
        return why;
    *curve = (struct fly_curve_job){.modality = (enum fly_modality)modality, .n = (int32_t)n};
    for (int32_t i = 0; i < curve->n; i++)
        curve->points[i].threshold = n > 1 ? from + (to - from) * i / (double)(n - 1) : from;
    return FLY_REFUSE_NONE;
}

static uint64_t epoch_of(struct fly_session *session)
{
    struct fly_engine_counts counts;

    fly_engine_count(fly_session_engine(session), &counts);
    return counts.epochs;
}

int fly_curve_begin(struct fly_curve_job *curve, struct fly_session *session, struct fly_job *job)
{
    enum fly_refusal why = read_args(curve, session, job->request.args);

    if (why != FLY_REFUSE_NONE) {
        refuse(job, why);
        return 0;
    }
    curve->first_epoch = epoch_of(session);
    return 1;
}

enum { THRESHOLD, MODULARITY, COMMUNITIES, MINOR, EDGES, NOW, FEWSHOT, COLUMNS };

static void pack_cell(struct fly_pack *pack, const struct fly_graph_point *point, int column)
{
    switch (column) {
    case THRESHOLD:
        fly_pack_f64(pack, point->threshold);
        break;
    case MODULARITY:
        fly_pack_f64(pack, point->modularity);
        break;
    case COMMUNITIES:
        fly_pack_int(pack, point->communities);
        break;
    case MINOR:
        fly_pack_int(pack, point->minor_chips);
        break;
    case EDGES:
        fly_pack_int(pack, point->edges);
        break;
    case NOW:
        fly_pack_f64(pack, point->ami_now); /* NaN goes out as nil */
        break;
    case FEWSHOT:
        fly_pack_f64(pack, point->ami_fewshot);
        break;
    default:
        break;
    }
}

static void answer(const struct fly_curve_job *curve, struct fly_session *session, struct fly_job *job)
{
    static const char *const keys[COLUMNS] = {"thresholds", "modularity", "communities", "minor_chips",
                                              "edges",      "ami_now",    "ami_fewshot"};
    struct fly_pack pack;

    job->result = malloc(FLY_RESULT_CAP);
    if (!job->result) {
        snprintf(job->code, sizeof job->code, "memory");
        snprintf(job->message, sizeof job->message, "no memory for the reply");
        return;
    }
    fly_pack_init(&pack, job->result, FLY_RESULT_CAP);
    fly_pack_map(&pack, 2 + COLUMNS);
    fly_pack_str(&pack, "modality");
    fly_pack_str(&pack, fly_modality_name(curve->modality));
    fly_pack_str(&pack, "epochs");
    fly_pack_array(&pack, 2);
    fly_pack_uint(&pack, curve->first_epoch);
    fly_pack_uint(&pack, epoch_of(session));
    for (int column = 0; column < COLUMNS; column++) {
        fly_pack_str(&pack, keys[column]);
        fly_pack_array(&pack, (uint32_t)curve->n);
        for (int32_t i = 0; i < curve->n; i++)
            pack_cell(&pack, &curve->points[i], column);
    }
    job->result_len = pack.len;
    job->ok = 1;
}

int fly_curve_step(struct fly_curve_job *curve, struct fly_session *session, struct fly_job *job)
{
    if (fly_engine_curve(fly_session_engine(session), curve->modality, &curve->points[curve->next], 1) < 0) {
        refuse(job, FLY_REFUSE_BAD_VALUE);
        return 1;
    }
    if (++curve->next < curve->n)
        return 0;
    answer(curve, session, job);
    return 1;
}
