/* Is a view one that a plan can be made from; and the hash of all that it holds. */
#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/steer/policy_own.h"

static const double sum_slack = 1e-6; /* of a posterior: its numbers were rounded elsewhere */

static int check_sizes(const struct fly_steer *state, const struct fly_steer_view *v)
{
    if (v->rows != state->rows || v->cols != state->cols)
        return fly_fail(FLY_ERANGE, "steering view of %d x %d chips, its state is for %d x %d", v->rows, v->cols,
                        state->rows, state->cols);
    if (v->classes < 1 || v->classes > state->classes_cap)
        return fly_fail(FLY_ERANGE, "steering view of %d classes, 1 .. %d are possible", v->classes, state->classes_cap);
    if (v->side_px < 1 || v->pitch_px < 1 || v->pitch_px > v->side_px)
        return fly_fail(FLY_ERANGE, "steering view: chips of %d px every %d px, 1 .. %d px are possible", v->side_px,
                        v->pitch_px, v->side_px);
    if (!v->has_haadf && !v->has_eds)
        return fly_fail(FLY_ERANGE, "steering view: a session without image and X-rays");
    if (!v->posterior || !v->measured || !v->mean_us || !v->max_us)
        return fly_fail(FLY_ERANGE, "steering view: posterior, measured, mean_us and max_us are needed");
    return FLY_OK;
}

static int check_numbers(const struct fly_steer_view *v)
{
    if (!(v->survey_us >= 1e-3 && v->survey_us <= 1e9))
        return fly_fail(FLY_ERANGE, "steering view: survey dwell %g us, 0.001 .. 1e9 are possible", v->survey_us);
    if (!(v->dose_left_us >= 0.0))
        return fly_fail(FLY_ERANGE, "steering view: %g us of dose left, at least 0", v->dose_left_us);
    if (!(v->time_left_us >= 0.0))
        return fly_fail(FLY_ERANGE, "steering view: %g us of time left, at least 0", v->time_left_us);
    if (v->agreement < -1.0 || v->agreement > 1.0)
        return fly_fail(FLY_ERANGE, "steering view: agreement %g, -1 .. 1 are possible", v->agreement);
    if (isinf(v->beam_px[0]) || isinf(v->beam_px[1]))
        return fly_fail(FLY_ERANGE, "steering view: the beam is at %g, %g", v->beam_px[0], v->beam_px[1]);
    for (int32_t c = 0; v->composition_error && c < v->classes; c++)
        if (v->composition_error[c] < 0.0)
            return fly_fail(FLY_ERANGE, "steering view: composition of class %d has error %g, at least 0", c,
                            v->composition_error[c]);
    return FLY_OK;
}

static int check_rates(const struct fly_steer_view *v, const double *rate, const char *of)
{
    for (int32_t a = 0; rate && a < v->classes; a++)
        for (int32_t b = 0; b < v->classes; b++) {
            double r = rate[a * v->classes + b];

            if (a != b && (r < 0.0 || isinf(r)))
                return fly_fail(FLY_ERANGE, "steering view: %s rate %g of classes %d and %d, finite and at least 0", of, r, a,
                                b);
        }
    return FLY_OK;
}

static int check_posterior(const struct fly_steer_view *v, int32_t k)
{
    const double *p = v->posterior + (size_t)k * (size_t)v->classes;
    double sum = 0.0;

    for (int32_t c = 0; c < v->classes; c++) {
        if (!(p[c] >= 0.0))
            return fly_fail(FLY_ERANGE, "steering view: chip %d has posterior %g of class %d, at least 0", k, p[c], c);
        sum += p[c];
    }
    if (!(fabs(sum - 1.0) <= sum_slack))
        return fly_fail(FLY_ERANGE, "steering view: posteriors of chip %d sum to %.9g, not to 1", k, sum);
    return FLY_OK;
}

static int check_chips(const struct fly_steer *state, const struct fly_steer_view *v)
{
    int rc = FLY_OK;

    for (int32_t k = 0; rc == FLY_OK && k < state->n; k++) {
        float mean = v->mean_us[k], max = v->max_us[k];

        if (!(mean >= 0.0f) || isinf(mean) || !(max >= 0.0f) || isinf(max))
            return fly_fail(FLY_ERANGE, "steering view: chip %d has dose %g, largest pixel %g us, finite and at least 0", k,
                            (double)mean, (double)max);
        if (v->novel && (v->novel[k] < 0.0f || v->novel[k] > 1.0f))
            return fly_fail(FLY_ERANGE, "steering view: chip %d is novel by %g, 0 .. 1 are possible", k,
                            (double)v->novel[k]);
        if (v->measured[k])
            rc = check_posterior(v, k);
    }
    return rc;
}

static int check_signal(const struct fly_steer_config *c, const struct fly_steer_view *v)
{
    int image = c->signal == FLY_SIGNAL_BOTH || c->signal == FLY_SIGNAL_HAADF;
    int eds = c->signal == FLY_SIGNAL_BOTH || c->signal == FLY_SIGNAL_EDS;

    if ((image && !v->has_haadf) || (eds && !v->has_eds))
        return fly_fail(FLY_ERANGE, "steering: signal %s, but the session has no %s",
                        fly_signal_name((enum fly_signal)c->signal), v->has_haadf ? "X-rays" : "image");
    return FLY_OK;
}

int fly_steer_view_check(const struct fly_steer *state, const struct fly_steer_config *config,
                         const struct fly_steer_view *view)
{
    int rc = fly_steer_config_check(config);

    if (rc == FLY_OK)
        rc = check_sizes(state, view);
    if (rc == FLY_OK)
        rc = check_signal(config, view);
    if (rc == FLY_OK)
        rc = check_numbers(view);
    if (rc == FLY_OK)
        rc = check_rates(view, view->rate_haadf, "image");
    if (rc == FLY_OK)
        rc = check_rates(view, view->rate_eds, "X-ray");
    return rc == FLY_OK ? check_chips(state, view) : rc;
}

/* ---- hash ---------------------------------------------------------------------------------------- */

/* Eight lanes, so that a multiplication need not wait for the one before. */
enum { LANES = 8 };

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    uint64_t lane[LANES], word[LANES];

    if (!bytes)
        return fly_mix64(hash + 1);
    for (uint64_t i = 0; i < LANES; i++)
        lane[i] = fly_mix64(hash + len + i);
    for (; len >= sizeof word; at += sizeof word, len -= sizeof word) {
        memcpy(word, at, sizeof word);
        for (int i = 0; i < LANES; i++) {
            lane[i] = (lane[i] ^ word[i]) * 0xBF58476D1CE4E5B9u;
            lane[i] ^= lane[i] >> 32;
        }
    }
    memset(word, 0, sizeof word);
    memcpy(word, at, len);
    for (int i = 0; i < LANES; i++)
        hash = fly_mix64(hash ^ lane[i] ^ word[i] * 0x94D049BB133111EBu);
    return hash;
}

uint64_t fly_steer_view_hash(const struct fly_steer_view *view)
{
    const struct fly_steer_view *v = view;
    size_t k = (size_t)v->rows * (size_t)v->cols, c = (size_t)v->classes;
    const int64_t whole[] = {v->rows,      v->cols,     v->side_px, v->pitch_px,      v->classes,
                             v->has_haadf, v->has_eds, v->surveyed, (int64_t)v->epoch, v->now_ns,
                             (int64_t)v->births};
    const double numbers[] = {v->survey_us, v->dose_left_us, v->time_left_us, v->agreement, v->beam_px[0], v->beam_px[1]};
    uint64_t hash = hash_bytes(0, whole, sizeof whole);

    hash = hash_bytes(hash, numbers, sizeof numbers);
    hash = hash_bytes(hash, v->posterior, k * c * sizeof *v->posterior);
    hash = hash_bytes(hash, v->measured, k);
    hash = hash_bytes(hash, v->novel, k * sizeof *v->novel);
    hash = hash_bytes(hash, v->label_haadf, k * sizeof *v->label_haadf);
    hash = hash_bytes(hash, v->label_eds, k * sizeof *v->label_eds);
    hash = hash_bytes(hash, v->rate_haadf, c * c * sizeof *v->rate_haadf);
    hash = hash_bytes(hash, v->rate_eds, c * c * sizeof *v->rate_eds);
    hash = hash_bytes(hash, v->mean_us, k * sizeof *v->mean_us);
    hash = hash_bytes(hash, v->max_us, k * sizeof *v->max_us);
    hash = hash_bytes(hash, v->last_ns, k * sizeof *v->last_ns);
    hash = hash_bytes(hash, v->barred, k);
    hash = hash_bytes(hash, v->taught, k);
    return hash_bytes(hash, v->composition_error, c * sizeof *v->composition_error);
}
