/* engine/reliability.h: how well image and X-rays repeat themselves, and what the ensemble makes of it.
 *
 * The halves of engine/label/reliability.h, within the engine. FLY_RELIABILITY_CHIPS chips are chosen when a session
 * opens, spread over the scan. Of the image, the means of their even and of their odd frames are embedded; of the
 * X-rays, photons are parted by a coin, in the features that few-shot and communities compare: a composition is made of
 * both halves as it was of the whole, alone or together with its neighbours.
 *
 * When     with each of the first eight frames that all of those chips have of both, then with a quarter more of them,
 *          and once more when all data are in: the last measurement is a function of what was assembled alone. It is
 *          made in steps of fly_engine_step that cost what others do, after all that chips need for the first time.
 * Weights  lie on steps of 1 / FLY_WEIGHT_STEPS. Others are adopted where they lie three quarters of a step from those
 *          in force, and in any case by the last measurement. Few-shot in the robust profile uses them where the
 *          support set cannot teach any; communities where struct fly_graph_config says so.
 * Robust   alone: in the paper profile nothing is measured.
 * Worth    table2.py --part weights, 72 sessions of 50 photons a chip or more, seeds 21 .. 23. Few-shot of one chip a
 *          class: 90.7 % right for 90.0 % at equal weights; 88.9 for 86.7 with a fiftieth of the image's counts, and at
 *          no dose worse by more than 0.3. Communities: AMI to truth 0.6 % below equal weights, 3.2 % at 200 photons:
 *          an image that repeats itself to 0.99 drowns X-rays of 0.9 that tell phases apart better. So communities
 *          have to be told to use them.
 * Memory   reserved by fly_engine_open: 2 x 64 rows of each feature, 2.3 MiB at 4096 channels; and in assembly, odd
 *          frames of 64 chips.
 */
#ifndef FLY_ENGINE_RELIABILITY_H
#define FLY_ENGINE_RELIABILITY_H

#include <stdint.h>

struct fly_engine;

enum fly_reliability_use { FLY_REPEAT_FEWSHOT = 0, FLY_REPEAT_COMMUNITY, FLY_REPEAT_USES };

enum fly_reliability_reason {
    FLY_REPEAT_ALONE = 0, /* the session has not both, or its profile is paper: nothing is measured */
    FLY_REPEAT_AWAITED,   /* not measured yet */
    FLY_REPEAT_NO_HALVES, /* fewer than three chips have odd and even frames, or embeddings are given */
    FLY_REPEAT_TOO_FEW,   /* fewer than three chips have X-rays enough to be compared */
    FLY_REPEAT_EVEN,      /* both repeat themselves wholly, or neither at all: equal weights */
    FLY_REPEAT_MEASURED,
};

struct fly_reliability_view {
    double haadf, eds;   /* 0 .. 1; NaN: not known */
    double weights[2];   /* by them; both 0.5 for any reason but FLY_REPEAT_MEASURED */
    int used;            /* 1: they are the ensemble's */
    enum fly_reliability_reason reason;
};

void fly_engine_reliability(const struct fly_engine *engine, enum fly_reliability_use use,
                            struct fly_reliability_view *view);

#endif
