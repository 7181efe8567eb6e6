/* engine/steer/policy.h: what to measure next, so that the map gets right for the least dose and time.
 *
 * After a survey of the whole scan each chip is a sequential test (Wald 1945, doi:10.1214/aoms/1177731118) between its
 * two likeliest classes: it is given beam until the odds are what the error allowed asks for, and no more. Of all chips
 * that want beam those come first that promise the most for a microsecond of it, moves included. A tenth goes to the
 * least-dosed chips whatever the odds say: a loop that looks only where it is in doubt never learns that it was wrong.
 *
 * Words, for a chip with posterior p over C classes, a its likeliest and b the next:
 *
 *   smoothed   q(c) ~ p(c) exp(beta * sum of the four neighbours' q(c)): mean field of a Potts model (Potts 1952; Celeux
 *              et al. 2003, doi:10.1016/S0031-3203(02)00027-4), all chips at once, a fixed number of times from q = p
 *   perr       (1 - novel)(1 - q(a)): expected error of the map there, in chips; 1 where nothing was measured. What is
 *              like no class is not helped by telling two of them apart
 *   llr        log q(a)/q(b);  target  log((1 - alpha)/alpha)
 *   queue      a chip joins it with llr < target and leaves it with llr > hysteresis * target
 *   rate       nats that a us of dwell adds to llr: of the signal planned, between a and b
 *   need       max(0, hysteresis * target - llr) / rate, us, of a chip of the queue; 0 of others
 *   gain       perr * (1 - exp(-dwell / need)): fall of the expected error, chips
 *   value      gain + boundary + novel + disagree + composition + support, each a weight times 0 .. 1. They rank the chips
 *              of the queue and bring none into it, but composition, novel and support: chips of a class whose composition
 *              is not known well enough, chips that look like no class, and support chips, are taken beside the queue
 *   cost       us of beam time: pixels * dwell, a flyback for each line, settling, and the way of the beam from
 *              the nearest chip chosen before; the better half of a plan is chosen first, as if there were no way
 *   score      value / cost
 *
 * Dwell    one for all tiles of a plan, and one signal: the median of what its chips need and may have, between one
 *          survey dwell and dwell_max of them. For `haadf` alone it may be as short as dwell_min: that signal is planned
 *          where image and X-rays are both there and the image alone brings the median chip home within less than a
 *          survey dwell. In every other case `both`, for its X-rays come with the same electrons.
 * Never    a chip whose largest pixel would pass its cap; one that is barred or rests; two chips of one plan that share
 *          pixels; more than the dose or time that is left. Whatever the view says.
 * Results  a plan is a function of (config, state, view) alone, to the bit, on any number of threads; given the same
 *          view again it is the same plan, so that a map that stands still is no cause to wander.
 * Tried    on 48 x 48 chips of four classes, two of them much alike, of 60 photons a chip and survey dwell, templates
 *          known: mean dose to 98 % right in survey dwells, of six seeds. Plans of 32, 64, 128, 256 chips: 1.6, 1.8, 2.2,
 *          3.3; so plans are as short as the cycle lets them be. dwell_max 1, 2, 8: 2.1, 2.2, 2.7, while the first takes 1.2
 *          times the beam time of the second. Neighbours bring home what alone would not get there: with `hopeless` 1, 5,
 *          20, 1000 it is 6.2, 4.7, 2.2, 2.2. With rates told five times too high: 2.5. Margin 2.1, interlaced 6.4. In the
 *          closed loop (see Even), chips beside a chosen one taken into its tile for their dwell alone: no more right chips
 *          in the same beam time, 0.5 % fewer for the same dose.
 * Unknown  a chip that is like no class after a short look is so by its noise more often than by what it is: it wants beam
 *          whatever q says, and as long as it looks so.
 * Even     how far a class's chips may lie from one another, and from those of the support set, is known best of chips with
 *          as much dose as they have. So nobody gets far ahead of the mean; those that want beam and have had more than
 *          their share wait, and where nobody else wants any it goes to the least dosed until the mean has risen, support
 *          chips among them; stop_floor counts what those who wait would gain.
 *          Unknown and Even, by `flyback bench steer`, seeds 1-3 of all six specimens, chips right as a share of those
 *          that the whole budget makes right, at a mean dose of 1.25, 1.5, 2, 2.5, 3 survey dwells: interlaced .897, .926,
 *          .936, .935, .940; adaptive without Even .921, .940, .951, .959, .962; without Unknown .913, .931, .959, .949,
 *          .961; with both .924, .949, .967, .980, .965. Support chips exposed by themselves for two or seven survey
 *          dwells first, then with both: .925, .948, .956, .968, .986; without Even .909, .929, .955, .968, .983.
 * Support  all chips are compared with those of the support set, and none at more dose than these have (engine/levels.c): so
 *          they want beam, too, as far ahead of the others as Even lets anybody be. By the same bench, seeds 1-10, at a
 *          mean dose of 1.5, 2, 3, 4: .955, .973, .995, 1.002; without .956, .975, .985, .991; interlaced .933, .946, .959,
 *          .970. Of a phase that nobody taught .08, .14, .26, .74 are told unknown; without .08, .04, .03, .25; interlaced
 *          .01, .23, .45, .53. The whole support set at once for 1 or 3 survey dwells, and without: .958, .974, .986, 1.000
 *          and .946, .975, .996, 1.005.
 * Overlap  a pixel exposed counts in every chip that it belongs to. With side s, pitch p and r = ceil(s/p) - 1 a chip's
 *          exposure adds ((2r + 1) - r (r + 1) p/s)^2 times its dwell to the sum of the chips' means, less at the border
 *          of the map: dose_us and what holds the budget take it for all chips.
 * Dose     enters through cap, Even, exploration and budget alone. What was much exposed is not thereby doubted.
 * Units    dwell and dose in us of dwell per pixel (engine/steer/ledger.h); a survey dwell is the view's survey_us.
 * Axes     chip k = row * cols + col; y down the slow scan, x along the fast scan.
 * Honest   expected_error is as good as the posteriors: what is wrong and sure of itself is not in it. `flyback bench
 *          steer`, seed 1, six specimens, 1.2 survey dwells: 0.6, 12, 15, 14, 13 and 14 % told where 4, 10, 25, 17, 20 and
 *          17 % were wrong. By q, which neighbours make sure of itself, it was 3 to 7 % for 7 to 15 %, and a map was left
 *          that had a tenth to gain.
 * Cost     O(K (C + log tiles)), and tiles squared for the way: `flyback bench steer_plan` tells.
 * Threads  one plan at a time of a state.
 */
#ifndef FLY_STEER_POLICY_H
#define FLY_STEER_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/signal.h"

/* Those after the first are there to be compared with. They keep to every limit, and stop when it does. */
enum fly_steer_policy {
    FLY_STEER_ADAPTIVE = 0,
    FLY_STEER_MARGIN,     /* smallest llr first, a survey dwell each; no rates, no exploration, no queue */
    FLY_STEER_INTERLACED, /* the whole scan again and again, a survey dwell each: rows 0, 8, ..., then 4, 12, ..., then
                           * 2, 6, ..., then 1, 3, ... */
    FLY_STEER_RASTER,     /* the same, rows from the top */
    FLY_STEER_RANDOM,     /* chips drawn anew for each plan, a survey dwell each */
    FLY_STEER_FROZEN,     /* nothing, ever */
    FLY_STEER_POLICIES
};
const char *fly_steer_policy_name(enum fly_steer_policy policy); /* "adaptive", "margin", ... */
int fly_steer_policy_of_name(const char *name);                  /* or -1 */

/* The term of its value that counts most with a chip: why it was chosen. */
enum fly_steer_reason {
    FLY_STEER_FOR_SURVEY = 0,  /* the survey missed it */
    FLY_STEER_FOR_MARGIN,      /* its two likeliest classes are not told apart */
    FLY_STEER_FOR_BOUNDARY,    /* a neighbour has another label */
    FLY_STEER_FOR_NOVEL,       /* whether it is like any of the classes is open */
    FLY_STEER_FOR_DISAGREE,    /* image and X-rays name different classes */
    FLY_STEER_FOR_COMPOSITION, /* the composition of its class is not known well enough */
    FLY_STEER_FOR_SUPPORT,     /* a support chip, with which others are compared */
    FLY_STEER_FOR_EXPLORE,     /* one of the least-dosed chips of its part of the map */
    FLY_STEER_FOR_PASS,        /* its turn in a uniform or a random policy */
    FLY_STEER_REASONS
};
const char *fly_steer_reason_name(enum fly_steer_reason reason); /* "survey", "margin", ..., "pass" */

enum fly_steer_stop {
    FLY_STEER_GO = 0,
    FLY_STEER_STOP_ERROR, /* the map is as right as was asked: see stop_error */
    FLY_STEER_STOP_FLOOR, /* what can be gained is not worth the time */
    FLY_STEER_STOP_DOSE,  /* the map's budget is spent, or every chip that might be chosen is at its cap */
    FLY_STEER_STOP_TIME,  /* no time is left for one chip */
    FLY_STEER_STOPS
};
const char *fly_steer_stop_name(enum fly_steer_stop stop); /* "go", "error", "floor", "dose", "time" */

enum {
    FLY_STEER_TILES_MAX = 512,      /* of a plan, and of a message on the wire */
    FLY_STEER_ALTERNATIVES_MAX = 8,
    FLY_STEER_CLASSES_MAX = 64,
    FLY_STEER_CHIPS_MAX = 1 << 20,
    FLY_STEER_SIGNAL_AUTO = -1,
};

struct fly_steer_config {
    enum fly_steer_policy policy; /* default adaptive */
    uint64_t seed;                /* of exploration and of the random policy; default 1 */
    int32_t signal;               /* enum fly_signal, or AUTO (default): see Dwell above */

    double alpha;            /* error allowed of a chip, 1e-9 .. 0.4, default 0.01: a map of 1 % wrong chips is beyond
                              * what boundaries let one tell */
    double hysteresis;       /* 1 .. 4, default 1.2: at 1 a chip at the target would leave and join by turns */
    double potts_beta;       /* 0 .. 4, default 0.8: four neighbours of one mind count 3.2 nats, less than the target */
    int32_t potts_iterations; /* 0 .. 16, default 3: what is more than three chips away is no neighbour */
    double boundary;         /* weights of the terms beside gain, 0 .. 1; default 0.05: half a chip of gain beats ten */
    double novel;            /* times 4 n (1 - n), default 0.1: a phase that nobody named is worth two boundaries as long
                              * as it is open whether it is one; once it is plain, more beam does not name it */
    double again;            /* times n where n >= 0.5, in its place where it is more; 0 .. 1, default 0.5: see Unknown */
    double disagree;         /* default 0.05 */
    double composition;      /* times relative sigma over stop_composition - 1, at most 1; default 0.02: it takes many
                              * chips of a class, any of them */
    double support;          /* of a support chip, 0 .. 1, default 0.5: see Support */
    double explore;          /* share of a plan's chips, 0 .. 1, default 0.1; of a plan without a chip that wants beam and
                              * may have it all of them, or this share where none wants any. 0: nobody ever */

    double dwell_max;        /* survey dwells of one plan, 1 .. 64, default 2: see Tried */
    double dwell_min;        /* the same for haadf alone, 0.01 .. 1, default 0.125 */
    int32_t tiles;           /* chips of a plan at most, 1 .. FLY_STEER_TILES_MAX, default 64: see Tried. Neighbours in a
                              * row are one tile */
    int apart;               /* 1 (default): no two chips of a plan touch, corners included, so that a chip's neighbours
                              * have cooled and are known better when its turn comes; 0: they may. Uniform passes
                              * touch in any case. Chips that overlap are always apart */
    double uneven;           /* a chip waits for the others once its dose and half a survey dwell are more than this times
                              * the map's mean (a survey dwell at least), 1 .. 1e6, default 2: see Even */
    double rate_floor;       /* nats a survey dwell, 1e-9 .. 1, default 0.001: two classes less apart are hopeless */
    double rate_unknown;     /* the same, 1e-6 .. 1000, default 1: of pairs whose rate is not known */
    double hopeless;         /* a chip is where its need is more than this times what its cap leaves, 1 .. 1e6, default
                              * 20: see Tried */

    double cap;              /* dose of a chip's largest pixel, survey dwells, 1 .. 1e6, default 8 */
    double cap_us;           /* the same in us, > 0, default INFINITY; the lower of both holds */
    double budget;           /* mean dose of the map, survey dwells, >= 0; 0 (default): none */
    double rest_ms;          /* >= 0, default 0: since its last exposure */

    double settle_us;        /* before each tile, 0 .. 1e6, default 100: scan coils, ramped */
    double flyback_us;       /* after each line, 0 .. 1e6, default 50 */
    double slew_px_per_us;   /* between tiles, > 0, INFINITY: at once; default 20 */

    double stop_error;       /* expected error of the map, 0 .. 1, default 0.02; with all of the three below */
    int32_t stop_epochs;     /* without a cluster born, 0 .. 1000, default 3 */
    double stop_agreement;   /* change of the agreement between image and X-rays since the epoch before, 0 .. 2,
                              * default 0.02; where it is not known it is not asked for */
    double stop_composition; /* largest relative sigma of a class's composition, > 0, default 0.1; INFINITY: not asked */
    double stop_floor;       /* chips of gain for a second of beam of the whole plan, >= 0, default 0.01: a chip in
                              * two minutes */
};

struct fly_steer_config fly_steer_config_default(void);
/* FLY_ERANGE names the field that is wrong and what is allowed. */
FLY_MUST_USE int fly_steer_config_check(const struct fly_steer_config *config);

/* What a plan looks at: K = rows * cols chips, C = classes. Lent for the call. NULL arrays are not known, but for
 * posterior, measured, mean_us and max_us, which there must be. */
struct fly_steer_view {
    int32_t rows, cols;
    int32_t side_px, pitch_px;
    int32_t classes;            /* C, 1 .. FLY_STEER_CLASSES_MAX */
    uint64_t epoch;             /* of the map: a plan of the same epoch counts none */
    uint64_t births;            /* clusters born so far: what counts is whether there are more than at the plan before */
    int has_haadf, has_eds;     /* detectors of the session, at least one */
    int surveyed;               /* 1: the survey has passed: what it has not measured it has missed */

    const double *posterior;    /* (K, C) each >= 0, sum 1 within 1e-6; rows of chips not measured count in view_hash alone */
    const uint8_t *measured;    /* (K) 1: the chip has a posterior */
    const float *novel;         /* (K) 0 .. 1: how little like any class; NaN: not known */
    const int32_t *label_haadf; /* (K) class by one modality alone; below 0: it does not say */
    const int32_t *label_eds;   /* (K) */
    const double *rate_haadf;   /* (C, C) [a][b] nats that a us of dwell adds to log p(a)/p(b) of a chip of class a,
                                 * >= 0; NaN: not known. The diagonal is not read */
    const double *rate_eds;     /* (C, C) */
    const float *mean_us;       /* (K) dose so far, of the chip's mean pixel, finite, >= 0 */
    const float *max_us;        /* (K) of its largest one */
    const int64_t *last_ns;     /* (K) when it was last exposed, in the time of now_ns; 0: never, or not known */
    const uint8_t *barred;      /* (K) 1: not to be planned: masked, asked for and under way, damaged */
    const uint8_t *taught;      /* (K) 1: a support chip */

    double survey_us;           /* dwell of the survey, 1e-3 .. 1e9 */
    int64_t now_ns;
    double dose_left_us;        /* mean dose the map may still have, beside config.budget; >= 0, INFINITY: any */
    double time_left_us;        /* beam time, the same */
    double agreement;           /* of image and X-rays, AMI or the like, -1 .. 1; NaN: not known */
    const double *composition_error; /* (C) relative sigma of each class's composition; NaN: not known */
    double beam_px[2];          /* y, x where the beam is; NaN: not known */
};

/* A box of whole chips of one row, left to right lines from top to bottom. */
struct fly_steer_tile {
    int32_t row, col;
    int32_t rows, cols;       /* rows is 1 */
    double dwell_us;          /* of each pixel: also the dose it brings */
    double expected_gain;     /* fall of the map's expected error, chips */
    double value;             /* its terms together */
    double score;             /* value for a us of beam time: of its best chip */
    enum fly_signal signal;
    enum fly_steer_reason reason; /* of its best chip */
};

/* Bytes that hold nothing are 0: equal plans are equal in every byte. */
struct fly_steer_plan {
    int32_t n_tiles;
    struct fly_steer_tile tiles[FLY_STEER_TILES_MAX]; /* line-hops: rows from the top, columns within a row rising in
                                                       * one row and falling in the next */
    double dwell_us;          /* of every tile; 0 without any */
    enum fly_signal signal;   /* of every tile */
    enum fly_steer_stop stop; /* GO with no tiles: nothing may be exposed just now */

    double expected_error;    /* of the map as it is shown, 0 .. 1: mean of (1 - novel)(1 - largest p), of p and not q, for
                               * labels are not smoothed; 1 where nothing was measured; chips neither measured nor to be
                               * are no part of it */
    double disagreement;      /* share of chips in which image and X-rays name different classes, of those where both
                               * name one; NaN without any */
    double expected_gain;     /* of the tiles together, chips */
    double dose_us;           /* that they add to the map's mean, at most: see Overlap above */
    double cost_us;           /* of beam time, moves included */

    int32_t queued;           /* chips in the queue */
    int32_t unmeasured;       /* that the survey missed */
    int32_t barred, resting, capped; /* of chips queued or not measured: why they wait; each counted once, in that order */
    int32_t hopeless;         /* queued, and needing more than their cap leaves them (hopeless times): not chosen but to explore */
    int32_t n_alternatives;
    struct fly_steer_tile alternatives[FLY_STEER_ALTERNATIVES_MAX]; /* the best single chips that were not chosen, best
                                                                     * first, at this plan's dwell */
    uint64_t view_hash;       /* of all that the view holds, to the bit */
    uint64_t epoch;           /* the view's */
};

/* What is kept from plan to plan: who is in the queue, epochs without a birth, the last agreement. Each a number
 * of the maps: it may be packed, and restored in another process. */
struct fly_steer;

/* Bytes of an arena; SIZE_MAX when they cannot be counted. classes: the most that a view will have. */
size_t fly_steer_need(int32_t rows, int32_t cols, int32_t classes);

/* FLY_ERANGE a size is outside its range; FLY_ENOMEM the arena is too small */
FLY_MUST_USE int fly_steer_init(struct fly_steer **out, int32_t rows, int32_t cols, int32_t classes,
                                struct fly_arena *arena);

/* Forget all: as after init. */
void fly_steer_clear(struct fly_steer *state);

/* Plan, and take the state on to this view.
 *
 * FLY_EAGAIN  the survey has not passed yet, and chips are not measured: nothing changed
 * FLY_ERANGE  config or view is wrong (what, where and what is allowed), or of another size than the state: nothing
 *             changed */
FLY_MUST_USE int fly_steer_plan(struct fly_steer *state, const struct fly_steer_config *config,
                                const struct fly_steer_view *view, struct fly_steer_plan *out);

/* The plain twin, O(K^2) and no memory of its own but what it is lent: the same bytes. For tests. */
FLY_MUST_USE int fly_steer_plan_ref(struct fly_steer *state, const struct fly_steer_config *config,
                                    const struct fly_steer_view *view, struct fly_steer_plan *out);

/* The state as bytes, for a journal: little-endian, no padding. pack fills fly_steer_state_len bytes. */
size_t fly_steer_state_len(const struct fly_steer *state);
void fly_steer_state_pack(const struct fly_steer *state, unsigned char *bytes);
/* FLY_EWIRE: not a state of this size: nothing changed. */
FLY_MUST_USE int fly_steer_state_unpack(struct fly_steer *state, const unsigned char *bytes, size_t len);

/* Unpacked where epochs and births are counted from elsewhere: the next view is a new epoch, and has births if it has more
 * than these. */
void fly_steer_anew(struct fly_steer *state, uint64_t births);

/* 1: the chip is in the queue. */
int fly_steer_queued(const struct fly_steer *state, int32_t chip);

/* What the last plan held against its config beside expected_error. */
struct fly_steer_found {
    int32_t quiet;            /* epochs without a birth: stop_epochs */
    double agreement_change;  /* since the epoch before, NaN: not known: stop_agreement */
    double composition_error; /* the largest of a class, NaN: not known of any: stop_composition */
    double mean_us;           /* dose of the map: budget */
};
struct fly_steer_found fly_steer_found(const struct fly_steer *state);

/* Smoothed posteriors of the last plan, (K, C) of its view; NULL before the first. Lent until the next. */
const double *fly_steer_smoothed(const struct fly_steer *state);

/* Tiles of a plan, best first: order (n_tiles) indices by falling score, ties by index. */
void fly_steer_best_first(const struct fly_steer_plan *plan, int32_t *order);

/* The median of doses, or the like, of n values; order is left undefined. n > 0. O(n) but for
 * numbers made to be awkward. */
double fly_steer_median(double *values, int32_t n);

#endif
