#include "plugin/quality.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "plugin/text.h"

#define TOLD_AGAIN_NS INT64_C(60000000000)

static const double low_share = 0.5;         /* of chips: then the map is more borrowed than measured */
static const double counts_from = 0.25;      /* of the scan: a strip of vacuum at its top says little of the rest */
static const double clipped_least = 1e-3;    /* of pixels: one in a chip of 30 x 30 px */
static const double drift_share = 0.1;       /* of a chip: so much of its pixels is its neighbour's */
static const double drift_least_px = 1.0, drift_sigmas = 3.0;

/* ---- conditions ---------------------------------------------------------------------------------- */

static int32_t low_chips(const struct fly_quality *q)
{
    return q->counts.too_few + q->counts.pooled;
}

static int clips_top(const struct fly_quality *q)
{
    return q->saturation.top.piled && q->saturation.top.share >= clipped_least;
}

static int clips_bottom(const struct fly_quality *q)
{
    return q->saturation.bottom.piled && q->saturation.bottom.share >= clipped_least &&
           !q->saturation.bottom_may_be_vacuum;
}

/* What a shift in force leaves of the drift of the frame measured last. */
static void left_px(const struct fly_quality *q, double left[2])
{
    left[0] = q->drift.last.dy_px - q->drift.applied_px[0];
    left[1] = q->drift.last.dx_px - q->drift.applied_px[1];
}

static int has_drifted(const struct fly_quality *q)
{
    const struct fly_drift_shift *last = &q->drift.last;
    double left[2], sigma = hypot(last->sigma_dy_px, last->sigma_dx_px), far;

    if (!last->measured)
        return 0;
    left_px(q, left);
    far = hypot(left[0], left[1]);
    return far > drift_least_px && far > drift_share * q->chip_px && far > drift_sigmas * sigma;
}

static int is_mixed(const struct fly_quality *q)
{
    return q->users_k > 0 && q->users_k < q->elements;
}

static int holds(const struct fly_quality *q, enum fly_quality_condition condition)
{
    switch (condition) {
    case FLY_UNCALIBRATED_PIXEL:
        return q->has_image && !(q->pixel_nm > 0.0);
    case FLY_UNCALIBRATED_K_FACTORS:
        return q->users_k < q->elements;
    case FLY_CHIP_BELOW_CELL:
        return q->advice.reason == FLY_ADVICE_BELOW_CELL;
    case FLY_CHIP_SIZE:
        return q->advice_final && (q->advice.reason == FLY_ADVICE_FITS || q->advice.reason == FLY_ADVICE_COARSE);
    case FLY_COUNTS_LOW:
        return q->counts.chips >= counts_from * q->counts.of && low_chips(q) > low_share * q->counts.chips;
    case FLY_SATURATION:
        return clips_top(q) || clips_bottom(q);
    case FLY_DRIFT:
        return has_drifted(q);
    case FLY_DAMAGE:
        return q->damage.chips > 0;
    default:
        return 0;
    }
}

/* ---- words --------------------------------------------------------------------------------------- */

/* One event being written: its words, and a map of numbers. */
struct letter {
    struct fly_event *event;
    struct fly_pack pack;
    size_t len; /* of the words */
};

static void say(struct letter *letter, const char *format, ...) FLY_PRINTF(2, 3);
static void say(struct letter *letter, const char *format, ...)
{
    size_t room = sizeof letter->event->text - letter->len;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(letter->event->text + letter->len, room, format, args);
    va_end(args);
    letter->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void begin(struct letter *letter, struct fly_event *event, enum fly_level level, const char *code, uint32_t keys)
{
    *event = (struct fly_event){.level = level};
    snprintf(event->code, sizeof event->code, "%s", code);
    *letter = (struct letter){.event = event};
    fly_pack_init(&letter->pack, event->data, sizeof event->data);
    fly_pack_map(&letter->pack, keys);
}

static void put_int(struct letter *letter, const char *key, int64_t number)
{
    fly_pack_str(&letter->pack, key);
    fly_pack_int(&letter->pack, number);
}

static void put_f64(struct letter *letter, const char *key, double number)
{
    fly_pack_str(&letter->pack, key);
    fly_pack_f64(&letter->pack, number);
}

/* " (0.39 nm)", where it is known. */
static void say_nm(struct letter *letter, const struct fly_quality *q, double px)
{
    if (q->pixel_nm > 0.0)
        say(letter, " (%.3g nm)", px * q->pixel_nm);
}

static void write_pixel(struct letter *letter, struct fly_event *event)
{
    begin(letter, event, FLY_WARNING, "uncalibrated_pixel", 0);
    say(letter, "the pixel size is not known: lattice spacings are in pixels, and chips cannot be held against 0.5 .. 1 "
                "nm; give pixel_nm with the scan or in the configuration");
}

static void write_k_factors(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    begin(letter, event, is_mixed(q) ? FLY_WARNING : FLY_INFO, "uncalibrated_k_factors", 2);
    if (is_mixed(q))
        say(letter, "%d of %d elements have k-factors of yours, the others those of the table: sets that were not measured "
                    "together shift all atomic percents; give all of them in eds.k_factors",
            q->users_k, q->elements);
    else
        say(letter, "k-factors are those of the built-in table, not measured on this detector: atomic percents compare "
                    "within the session, their absolute values are uncalibrated; eds.k_factors takes yours");
    put_int(letter, "elements", q->elements);
    put_int(letter, "users", q->users_k);
}

static void put_advice(struct letter *letter, const struct fly_quality *q)
{
    put_int(letter, "chip_px", q->chip_px);
    put_int(letter, "advised_px", q->advice.chip_px);
    put_f64(letter, "cell_px", q->advice.cell_px);
    put_f64(letter, "cells", q->advice.cells);
}

static void write_below(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    begin(letter, event, FLY_WARNING, "chip_below_cell", 4);
    say(letter, "a chip of %d px holds %.2f of a unit cell, which is %.1f px", q->chip_px, q->advice.cells,
        q->advice.cell_px);
    say_nm(letter, q, q->advice.cell_px);
    say(letter, " wide: too little to tell phases by their lattice; chip.size_px %d", q->advice.chip_px);
    say_nm(letter, q, q->advice.chip_px);
    say(letter, " is advised");
    put_advice(letter, q);
}

static void write_size(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    begin(letter, event, FLY_INFO, "chip_size", 4);
    say(letter, "a chip of %d px", q->chip_px);
    say_nm(letter, q, q->chip_px);
    say(letter, " holds %.1f unit cells of %.1f px side by side: ", q->advice.cells, q->advice.cell_px);
    if (q->advice.reason == FLY_ADVICE_FITS) {
        say(letter, "that fits");
    } else {
        say(letter, "more than needed, and phase boundaries blur; chip.size_px %d", q->advice.chip_px);
        say_nm(letter, q, q->advice.chip_px);
        say(letter, " is advised");
    }
    put_advice(letter, q);
}

static void write_counts(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    const struct fly_quality_counts *c = &q->counts;

    begin(letter, event, FLY_WARNING, "counts_low", 5);
    say(letter, "%.0f %% of %d chips have fewer X-ray counts than the %d that a composition needs (median %.0f a chip): ",
        100.0 * low_chips(q) / c->chips, c->chips, c->needed, c->median);
    say(letter, "%d are told with their neighbours' counts, %d not at all; a longer dwell, more frames or larger chips help",
        c->pooled, c->too_few);
    put_int(letter, "chips", c->chips);
    put_int(letter, "too_few", c->too_few);
    put_int(letter, "pooled", c->pooled);
    put_int(letter, "needed", c->needed);
    put_f64(letter, "median", c->median);
}

static void write_saturation(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    const struct fly_pile *top = &q->saturation.top, *bottom = &q->saturation.bottom;

    begin(letter, event, FLY_WARNING, "saturation", 4);
    if (clips_top(q))
        say(letter, "%.2g %% of the pixels lie at the detector's highest value, %g: contrast above it is lost; less gain "
                    "or brightness helps%s",
            100.0 * top->share, top->value, clips_bottom(q) ? ". " : "");
    if (clips_bottom(q))
        say(letter, "%.2g %% lie at its lowest, %g: a higher black level helps", 100.0 * bottom->share, bottom->value);
    put_f64(letter, "top", clips_top(q) ? top->share : 0.0);
    put_f64(letter, "top_value", top->value);
    put_f64(letter, "bottom", clips_bottom(q) ? bottom->share : 0.0);
    put_f64(letter, "bottom_value", bottom->value);
}

static void write_drift(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    const struct fly_drift_shift *last = &q->drift.last;
    const double *applied = q->drift.applied_px;
    double left[2];

    left_px(q, left);
    begin(letter, event, FLY_WARNING, "drift", 8);
    say(letter, "frame %lld lies (%+.1f, %+.1f) px (y, x) from the first, +- (%.1f, %.1f)", (long long)last->frame,
        last->dy_px, last->dx_px, last->sigma_dy_px, last->sigma_dx_px);
    if (applied[0] != 0.0 || applied[1] != 0.0)
        say(letter, ", of which a shift of (%+.0f, %+.0f) is made good", applied[0], applied[1]);
    say(letter, ": %.0f %% of a chip, so that chips mix with their neighbours; frame.shift or drift.adopt makes it good",
        100.0 * hypot(left[0], left[1]) / q->chip_px);
    if (last->ambiguous)
        say(letter, "; the lattice looks the same a cell farther, at (%+.1f, %+.1f)", last->rival_dy_px, last->rival_dx_px);
    put_int(letter, "frame", last->frame);
    put_f64(letter, "dy_px", last->dy_px);
    put_f64(letter, "dx_px", last->dx_px);
    put_f64(letter, "sigma_dy_px", last->sigma_dy_px);
    put_f64(letter, "sigma_dx_px", last->sigma_dx_px);
    put_f64(letter, "applied_dy_px", applied[0]);
    put_f64(letter, "applied_dx_px", applied[1]);
    fly_pack_str(&letter->pack, "ambiguous");
    fly_pack_bool(&letter->pack, last->ambiguous);
}

static const char *sign_word(const struct fly_quality *q)
{
    return q->damage.last.sign == FLY_DAMAGE_NONE ? NULL : fly_damage_sign_name(q->damage.last.sign);
}

static void write_damage(struct letter *letter, struct fly_event *event, const struct fly_quality *q)
{
    const struct fly_damage_finding *last = &q->damage.last;
    int32_t cols = q->chip_cols;

    begin(letter, event, FLY_WARNING, "damage", 8);
    say(letter, "%d %s under the beam: the newest, chip (%d, %d)%s, ", q->damage.chips,
        q->damage.chips == 1 ? "chip changes" : "chips change", last->chip / cols, last->chip % cols,
        last->together ? " with its neighbours" : "");
    if (last->sign == FLY_DAMAGE_SHARE)
        say(letter, "has the share of %s in its X-rays", q->damage.element);
    else
        say(letter, last->sign == FLY_DAMAGE_RATE ? "has its X-rays for a dose" : "has its mean intensity");
    say(letter, " changed by %+.0f %% since it was first exposed (p = %.0e); ", 100.0 * last->change, last->p);
    say(letter, "%d chip%s, damaged or beside such, %s not proposed any more unless steer.damage is false; less dose helps",
        q->damage.barred, fly_plural(q->damage.barred), q->damage.barred == 1 ? "is" : "are");
    put_int(letter, "chips", q->damage.chips);
    put_int(letter, "barred", q->damage.barred);
    fly_pack_str(&letter->pack, "sign");
    fly_pack_str(&letter->pack, sign_word(q));
    fly_pack_str(&letter->pack, "chip");
    fly_pack_array(&letter->pack, 2);
    fly_pack_int(&letter->pack, last->chip / cols);
    fly_pack_int(&letter->pack, last->chip % cols);
    fly_pack_str(&letter->pack, "element");
    if (q->damage.element)
        fly_pack_str(&letter->pack, q->damage.element);
    else
        fly_pack_nil(&letter->pack);
    put_f64(letter, "change", last->change);
    put_f64(letter, "p", last->p);
    put_f64(letter, "dose_us", last->dose_us);
}

static void write_event(struct fly_event *event, enum fly_quality_condition condition, const struct fly_quality *q)
{
    struct letter letter;

    switch (condition) {
    case FLY_UNCALIBRATED_PIXEL:
        write_pixel(&letter, event);
        break;
    case FLY_UNCALIBRATED_K_FACTORS:
        write_k_factors(&letter, event, q);
        break;
    case FLY_CHIP_BELOW_CELL:
        write_below(&letter, event, q);
        break;
    case FLY_CHIP_SIZE:
        write_size(&letter, event, q);
        break;
    case FLY_COUNTS_LOW:
        write_counts(&letter, event, q);
        break;
    case FLY_SATURATION:
        write_saturation(&letter, event, q);
        break;
    case FLY_DAMAGE:
        write_damage(&letter, event, q);
        break;
    default:
        write_drift(&letter, event, q);
        break;
    }
    FLY_ASSERT(!letter.pack.full);
    event->data_len = letter.pack.len;
}

int fly_quality_watch_next(struct fly_quality_watch *watch, const struct fly_quality *quality, int64_t now_ns,
                           struct fly_event *event)
{
    for (int c = 0; c < FLY_QUALITY_CONDITIONS; c++) {
        int now = holds(quality, (enum fly_quality_condition)c), recent;

        if (c == FLY_DAMAGE && quality->damage.chips / 2 >= watch->damaged)
            watch->of[c].holds = 0; /* news */
        recent = watch->of[c].told && now_ns - watch->of[c].told_ns < TOLD_AGAIN_NS;
        if (now && !watch->of[c].holds && !recent) {
            watch->of[c].holds = watch->of[c].told = 1;
            watch->of[c].told_ns = now_ns;
            if (c == FLY_DAMAGE)
                watch->damaged = quality->damage.chips;
            write_event(event, (enum fly_quality_condition)c, quality);
            return 1;
        }
        watch->of[c].holds = now && watch->of[c].holds; /* one that came back too soon is told when it is time */
    }
    return 0;
}

/* ---- numbers ------------------------------------------------------------------------------------- */

static const char *advice_word(enum fly_advice_reason reason)
{
    static const char *const words[] = {[FLY_ADVICE_TOO_LITTLE] = "too_little",
                                        [FLY_ADVICE_NO_LATTICE] = "no_lattice",
                                        [FLY_ADVICE_BELOW_CELL] = "below_cell",
                                        [FLY_ADVICE_COARSE] = "coarse",
                                        [FLY_ADVICE_FITS] = "fits"};

    return words[reason];
}

static double share(int32_t n, int32_t of)
{
    return of > 0 ? (double)n / of : NAN;
}

static void tell_drift(struct fly_pub_quality *out, const struct fly_quality_drift *drift)
{
    const struct fly_drift_shift *last = &drift->last;
    int any = drift->frames.measured + drift->frames.unmeasurable > 0, good = any && last->measured;

    out->drift.frames = drift->frames.measured;
    out->drift.unmeasured = drift->frames.unmeasurable + drift->frames.given_up;
    out->drift.frame = any ? last->frame : -1;
    out->drift.dy_px = good ? last->dy_px : NAN;
    out->drift.dx_px = good ? last->dx_px : NAN;
    out->drift.sigma_dy_px = good ? last->sigma_dy_px : NAN;
    out->drift.sigma_dx_px = good ? last->sigma_dx_px : NAN;
    out->drift.correlation = good ? last->correlation : NAN;
    out->drift.ambiguous = good && last->ambiguous;
    out->drift.applied_dy_px = any ? drift->applied_px[0] : NAN;
    out->drift.applied_dx_px = any ? drift->applied_px[1] : NAN;
    out->drift.largest_px = drift->frames.measured ? drift->largest_px : NAN;
    out->drift.largest_frame = drift->frames.measured ? drift->largest_frame : -1;
    out->drift.adopted = drift->adopted;
}

static void tell_damage(struct fly_pub_quality *out, const struct fly_quality *q)
{
    const struct fly_damage_finding *last = &q->damage.last;
    int any = q->damage.chips > 0;

    out->damage.chips = q->damage.chips;
    out->damage.barred = q->damage.barred;
    out->damage.sign = sign_word(q);
    out->damage.row = any ? last->chip / q->chip_cols : -1;
    out->damage.col = any ? last->chip % q->chip_cols : -1;
    out->damage.element = q->damage.element;
    out->damage.change = any ? last->change : NAN;
}

void fly_quality_told(struct fly_pub_quality *out, const struct fly_quality *quality)
{
    const struct fly_quality *q = quality;
    int found = q->advice.chip_px > 0;

    *out = (struct fly_pub_quality){.has_image = q->has_image, .has_eds = q->has_eds};
    out->counts.chips = q->counts.chips;
    out->counts.needed = q->counts.needed;
    out->counts.too_few = share(q->counts.too_few, q->counts.chips);
    out->counts.pooled = share(q->counts.pooled, q->counts.chips);
    out->counts.median = q->counts.median;
    out->saturation.top = q->saturation.top.piled ? q->saturation.top.share : 0.0;
    out->saturation.bottom = q->saturation.bottom.piled ? q->saturation.bottom.share : 0.0;
    out->saturation.top_value = q->saturation.top.value;
    out->saturation.bottom_value = q->saturation.bottom.value;
    tell_drift(out, &q->drift);
    tell_damage(out, q);
    out->chip_size.reason = advice_word(q->advice.reason);
    out->chip_size.advised_px = q->advice.chip_px;
    out->chip_size.cell_px = found ? q->advice.cell_px : NAN;
    out->chip_size.cells = found ? q->advice.cells : NAN;
    out->chip_size.lines = q->advice.lines;
    out->chip_size.final = q->advice_final;
    out->pixel_known = q->pixel_nm > 0.0;
    out->k_factors = q->elements == 0           ? NULL
                     : is_mixed(q)              ? "mixed"
                     : q->users_k == q->elements ? "user"
                                                : "table";
}
