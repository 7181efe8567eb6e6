#include "engine/adoption.h"

#include <math.h>
#include <string.h>

#include "engine/state.h"

const char *fly_adoption_name(enum fly_adoption_verdict verdict)
{
    static const char *const names[FLY_ADOPT_VERDICTS] = {"adopt", "unmeasured", "uncertain", "ambiguous", "far"};

    return names[verdict];
}

void fly_engine_set_adoption(struct fly_engine *engine, int on)
{
    struct fly_adoption_state *a = &engine->quality.adoption;

    if (a->on && !on)
        *a = (struct fly_adoption_state){.on = 0};
    a->on = on;
}

static enum fly_adoption_verdict judge(const struct fly_engine *e, const struct fly_drift_shift *last)
{
    const struct fly_grid *grid = &e->config.grid;

    if (!last->measured)
        return FLY_ADOPT_UNMEASURED;
    if (last->ambiguous)
        return FLY_ADOPT_AMBIGUOUS;
    if (!(last->sigma_dy_px <= FLY_ADOPT_SIGMA_PX) || !(last->sigma_dx_px <= FLY_ADOPT_SIGMA_PX))
        return FLY_ADOPT_UNCERTAIN;
    if (fabs(last->dy_px) > 0.5 * grid->height_px || fabs(last->dx_px) > 0.5 * grid->width_px)
        return FLY_ADOPT_FAR;
    return FLY_ADOPT;
}

/* Where the specimen is, as of this frame, and how far it goes from frame to frame. */
static void keep_drift(struct fly_engine *e, const struct fly_drift_shift *last)
{
    struct fly_adoption_state *a = &e->quality.adoption;
    const double now[2] = {last->dy_px, last->dx_px}, sigma[2] = {last->sigma_dy_px, last->sigma_dx_px};
    int64_t risen = e->quality.risen - (last->frame < e->quality.highest_frame), frames = risen - a->risen;

    for (int i = 0; i < 2; i++) {
        double rate = fabs(now[i] - a->drift_px[i]) / (double)frames;

        if (!a->there)
            a->rate_px[i] = FLY_ADOPT_RATE_PX;
        else if (frames > 0) /* a drift that turns has not ended */
            a->rate_px[i] = a->rated ? fmax(rate, 0.5 * a->rate_px[i]) : rate;
        a->drift_px[i] = now[i];
        a->sigma_px[i] = sigma[i];
    }
    a->rated |= a->there && frames > 0;
    a->risen = risen;
    a->there = 1;
}

void fly_engine_judge_drift(struct fly_engine *engine)
{
    struct fly_adoption_state *a = &engine->quality.adoption;
    const struct fly_drift_shift *last = &engine->quality.drifted.last;
    struct fly_adoption *to;

    if (!a->on)
        return;
    if (a->n == FLY_ADOPTIONS_WAITING) /* nobody asks: the newest count */
        memmove(a->waiting, a->waiting + 1, (size_t)--a->n * sizeof *a->waiting);
    to = &a->waiting[a->n++];
    *to = (struct fly_adoption){.frame = last->frame,
                                .verdict = judge(engine, last),
                                .drift_px = {last->dy_px, last->dx_px},
                                .sigma_px = {last->sigma_dy_px, last->sigma_dx_px}};
    if (to->verdict == FLY_ADOPT) {
        to->dy_px = (int32_t)lround(last->dy_px);
        to->dx_px = (int32_t)lround(last->dx_px);
        keep_drift(engine, last);
    }
}

/* A shift that the frame was given; NULL: none that is remembered. */
static struct fly_quality_applied *applied_to(struct fly_engine *e, int64_t frame)
{
    for (int i = 0; i < FLY_SHIFTS_KEPT; i++)
        if (e->quality.applied[i].frame == frame)
            return &e->quality.applied[i];
    return NULL;
}

/* 1: there is nothing to do about it. */
static int is_settled(struct fly_engine *e, const struct fly_adoption *adoption)
{
    const struct fly_quality_applied *applied = applied_to(e, adoption->frame);
    double y = applied ? applied->dy_px : 0.0, x = applied ? applied->dx_px : 0.0;

    if (applied && !applied->adopted)
        return 1;
    return adoption->verdict == FLY_ADOPT && fabs(adoption->drift_px[0] - y) <= FLY_ADOPT_NEAR_PX &&
           fabs(adoption->drift_px[1] - x) <= FLY_ADOPT_NEAR_PX;
}

int fly_engine_adoption(struct fly_engine *engine, struct fly_adoption *adoption)
{
    struct fly_adoption_state *a = &engine->quality.adoption;

    if (!a->on)
        return 0;
    while (fly_engine_measure_drift(engine))
        continue;
    while (a->n) {
        *adoption = a->waiting[0];
        memmove(a->waiting, a->waiting + 1, (size_t)--a->n * sizeof *a->waiting);
        if (!is_settled(engine, adoption))
            return 1;
    }
    return 0;
}

void fly_engine_frame_begins(struct fly_engine *engine, int64_t frame)
{
    fly_engine_quality_begin(engine, frame);
}

int fly_engine_adoption_ahead(struct fly_engine *engine, int64_t frame, struct fly_adoption *adoption)
{
    const struct fly_adoption_state *a = &engine->quality.adoption;

    *adoption = (struct fly_adoption){.frame = frame, .verdict = FLY_ADOPT};
    fly_engine_frame_begins(engine, frame);
    while (a->on && fly_engine_measure_drift(engine))
        continue;
    if (fly_engine_drift_now(engine, frame, adoption->drift_px, adoption->sigma_px) < 0 ||
        fly_drift_measured(engine->quality.drift, frame) || applied_to(engine, frame))
        return 0;
    adoption->dy_px = (int32_t)lround(a->drift_px[0]);
    adoption->dx_px = (int32_t)lround(a->drift_px[1]);
    return adoption->dy_px != 0 || adoption->dx_px != 0;
}

void fly_engine_adopted(struct fly_engine *engine, int64_t frame)
{
    struct fly_quality_applied *applied = applied_to(engine, frame);

    if (!applied || applied->adopted)
        return;
    applied->adopted = 1;
    engine->quality.drifted.adopted++;
}

int fly_engine_drift_now(const struct fly_engine *engine, int64_t frame, double drift_px[2], double sigma_px[2])
{
    const struct fly_adoption_state *a = &engine->quality.adoption;
    const struct fly_quality_state *q = &engine->quality;
    double frames = (double)(q->risen - a->risen) + (frame > q->highest_frame ? (double)(frame - q->highest_frame) : 0.0);

    if (!a->on || !a->there)
        return FLY_EAGAIN;
    for (int i = 0; i < 2; i++) {
        drift_px[i] = a->drift_px[i];
        sigma_px[i] = hypot(a->sigma_px[i], a->rate_px[i] * frames);
    }
    return FLY_OK;
}
