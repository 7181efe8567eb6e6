#include "plugin/reliability.h"

#include <math.h>

static const char *reason_word(enum fly_reliability_reason reason)
{
    static const char *const words[] = {
        [FLY_REPEAT_ALONE] = "alone",         [FLY_REPEAT_AWAITED] = "awaited", [FLY_REPEAT_NO_HALVES] = "no_halves",
        [FLY_REPEAT_TOO_FEW] = "too_few", [FLY_REPEAT_EVEN] = "even",       [FLY_REPEAT_MEASURED] = "measured"};

    return words[reason];
}

static void tell(struct fly_pub_reliability *out, const struct fly_engine *engine, enum fly_reliability_use use,
                 const char *name)
{
    struct fly_reliability_view view;

    fly_engine_reliability(engine, use, &view);
    out->of[out->n++] = (struct fly_pub_repeat){.use = name,
                                                .haadf = view.haadf,
                                                .eds = view.eds,
                                                .weights = {view.weights[0], view.weights[1]},
                                                .used = view.used,
                                                .reason = reason_word(view.reason)};
}

void fly_reliability_of(struct fly_pub_reliability *out, const struct fly_engine *engine)
{
    *out = (struct fly_pub_reliability){.n = 0};
    if (!fly_engine_joint(engine))
        return; /* paper */
    tell(out, engine, FLY_REPEAT_FEWSHOT, fly_method_name(FLY_FEWSHOT));
    if (fly_engine_has_graph(engine, FLY_ENSEMBLE))
        tell(out, engine, FLY_REPEAT_COMMUNITY, fly_method_name(FLY_COMMUNITY));
}

static void number(struct fly_json *json, const char *key, double value)
{
    fly_json_key(json, key);
    if (isfinite(value))
        fly_json_f64(json, value);
    else
        fly_json_null(json);
}

void fly_reliability_json(struct fly_json *json, const struct fly_pub_reliability *reliability)
{
    if (reliability->n == 0) {
        fly_json_null(json);
        return;
    }
    fly_json_object(json);
    for (int32_t i = 0; i < reliability->n; i++) {
        const struct fly_pub_repeat *repeat = &reliability->of[i];

        fly_json_key(json, repeat->use);
        fly_json_object(json);
        number(json, "haadf", repeat->haadf);
        number(json, "eds", repeat->eds);
        fly_json_key(json, "weights");
        fly_json_row(json);
        fly_json_f64(json, repeat->weights[0]);
        fly_json_f64(json, repeat->weights[1]);
        fly_json_end(json);
        fly_json_key(json, "used");
        fly_json_bool(json, repeat->used);
        fly_json_key(json, "reason");
        fly_json_str(json, repeat->reason);
        fly_json_end(json);
    }
    fly_json_end(json);
}
