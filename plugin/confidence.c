#include "plugin/confidence.h"

#include <math.h>

static const char *const states[] = {"no_class", "bare", "prior", "fitted"};
static const char *const reasons[] = {"equal", "learned", "alone", "reliability", "given"};

void fly_confidence_of(struct fly_pub_calibration *out, const struct fly_engine *engine)
{
    const struct fly_joint *joint = fly_engine_joint(engine);

    *out = (struct fly_pub_calibration){.there = 0};
    if (!joint)
        return;
    out->there = 1;
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        const struct fly_calibration *c = fly_engine_calibration(engine, (enum fly_modality)m);
        int made = c->state != FLY_CALIBRATION_NONE;

        out->modality[m] = (struct fly_pub_calibrated){.name = fly_modality_name((enum fly_modality)m),
                                                       .state = states[c->state],
                                                       .temperature = made ? c->tau : NAN,
                                                       .scatter = made ? c->scatter : NAN,
                                                       .unknown_above = made ? c->unknown.threshold : NAN,
                                                       .left_out = c->left_out,
                                                       .mistaken = c->mistaken,
                                                       .nll = made ? c->nll : NAN,
                                                       .nll_prior = made ? c->nll_prior : NAN};
    }
    out->weights[0] = joint->weight[0];
    out->weights[1] = joint->weight[1];
    out->weights_from = reasons[joint->reason];
    out->nll = joint->nll;
    out->nll_equal = joint->nll_equal;
}

static void number(struct fly_json *json, const char *key, double value)
{
    fly_json_key(json, key);
    if (isfinite(value))
        fly_json_f64(json, value);
    else
        fly_json_null(json);
}

void fly_confidence_json(struct fly_json *json, const struct fly_pub_calibration *calibration)
{
    if (!calibration->there) {
        fly_json_null(json);
        return;
    }
    fly_json_object(json);
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        const struct fly_pub_calibrated *c = &calibration->modality[m];

        fly_json_key(json, c->name);
        fly_json_object(json);
        fly_json_key(json, "state");
        fly_json_str(json, c->state);
        number(json, "temperature", c->temperature);
        number(json, "scatter", c->scatter);
        number(json, "unknown_above", c->unknown_above);
        fly_json_key(json, "left_out");
        fly_json_int(json, c->left_out);
        fly_json_key(json, "mistaken");
        fly_json_int(json, c->mistaken);
        number(json, "nll", c->nll);
        number(json, "nll_prior", c->nll_prior);
        fly_json_end(json);
    }
    fly_json_key(json, "weights");
    fly_json_row(json);
    fly_json_f64(json, calibration->weights[0]);
    fly_json_f64(json, calibration->weights[1]);
    fly_json_end(json);
    fly_json_key(json, "weights_from");
    fly_json_str(json, calibration->weights_from);
    number(json, "nll", calibration->nll);
    number(json, "nll_equal", calibration->nll_equal);
    fly_json_end(json);
}
