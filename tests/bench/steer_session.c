#include "tests/bench/steer_session.h"

#include <string.h>

#include "plugin/follow.h"
#include "plugin/look.h"
#include "plugin/session.h"
#include "sim/stack.h"
#include "stream/disk.h"
#include "tests/bench/measure.h"

static const size_t STACK_MAX = (size_t)2 << 30;

struct steer_session {
    struct fly_stack *stack;
    struct fly_instrument instrument;
    struct fly_start start;
    struct fly_options options;
    struct fly_exec exec;
    struct fly_embedder *embedder;
    struct fly_session *session;
    struct steer_session_facts facts;
    double recorded_us; /* dwell of a frame */
};

static const char id[] = "steer-bench"; /* under which it is lived again */

/* ---- opening ----------------------------------------------------------------------------------------- */

static int read_options(struct steer_session *s, const char *path)
{
    int rc;

    fly_options_default(&s->options);
    rc = fly_follow_options(path, &s->options);
    s->options.graph.chips_max = s->options.tree.chips_max = 0;
    return rc == FLY_OK ? fly_options_check(&s->options) : rc;
}

static int open_session(struct steer_session *s)
{
    struct fly_session_view none = {NULL, NULL, 0, NULL};
    struct fly_session_info *info;
    struct fly_message message;
    struct fly_ingest msg;
    int rc;

    s->instrument.start(s->instrument.ctx, 1, &message);
    if (fly_ingest_decode(&msg, &s->start, message.parts, message.n_parts, &none) != FLY_REFUSE_NONE)
        return FLY_EWIRE;
    rc = fly_session_info_make(&info, id, &s->start, &message.parts[0], &s->options);
    if (rc < 0)
        return rc;
    s->start.pixel_time_us = info->start.pixel_time_us;
    if (info->plan.image > 0)
        rc = fly_embedder_from_options(&s->embedder, &s->options, s->exec.width);
    if (rc == FLY_OK)
        rc = fly_session_open(&s->session, info, s->embedder, NULL, 0, &s->exec);
    fly_session_info_drop(&info);
    return rc;
}

static int is_support(const char *op)
{
    return !strncmp(op, "support.", 8) || !strncmp(op, "class.", 6);
}

/* What was refused then is refused again. */
static void ask_again(struct steer_session *s, const struct fly_journal *journal)
{
    unsigned char *result = bench_need(1, FLY_RESULT_CAP);

    for (size_t i = 0; i < journal->n_items; i++) {
        struct fly_value args;
        struct fly_pack pack;
        const char *code;
        char op[64];
        int rc;

        if (!fly_journal_request(&journal->items[i], op, &args) || !is_support(op) || !fly_session_control_known(op))
            continue;
        fly_pack_init(&pack, result, FLY_RESULT_CAP);
        rc = fly_session_control(s->session, op, args, &pack, &code);
        (void)rc;
    }
    free(result);
}

static int read_support(struct steer_session *s, const char *path)
{
    struct fly_disk disk = fly_disk_system();
    const struct fly_support *support = fly_engine_support(fly_session_engine(s->session));
    struct fly_journal journal = {0};
    struct fly_recording *recording;
    int rc = fly_recording_open(&recording, path, &disk), classes = 0;

    if (rc < 0)
        return rc;
    rc = fly_journal_read(&journal, recording, 0);
    if (rc == FLY_OK)
        ask_again(s, &journal);
    fly_journal_free(&journal);
    fly_recording_close(&recording);
    for (int32_t c = 0; c < support->n_classes; c++)
        classes += support->classes[c].alive && support->classes[c].chips > 0;
    if (rc == FLY_OK && classes < 2)
        rc = fly_fail(FLY_ERANGE, "%s: a support set is needed, and %s was set when it was recorded (support.add)", path,
                      classes ? "that of one class alone" : "none");
    return rc;
}

static struct fly_rect chip_box(const struct steer_session *s, int32_t chip)
{
    const struct fly_grid *grid = fly_engine_grid(fly_session_engine(s->session));

    return (struct fly_rect){chip / grid->cols * grid->pitch_px, chip % grid->cols * grid->pitch_px, grid->side_px,
                             grid->side_px};
}

static int32_t chip_left(const struct steer_session *s, int32_t chip)
{
    struct fly_rect box = chip_box(s, chip);
    int32_t least = INT32_MAX;

    for (int32_t y = box.y0; y < box.y0 + box.h; y++)
        for (int32_t x = box.x0; x < box.x0 + box.w; x++) {
            int32_t left = fly_stack_left(s->stack, y, x);

            least = left < least ? left : least;
        }
    return least;
}

static int count_frames(struct steer_session *s, const char *path, double dwell_us)
{
    const struct fly_grid *grid = fly_engine_grid(fly_session_engine(s->session));
    struct fly_stack_facts facts;

    fly_stack_facts(s->stack, &facts);
    s->recorded_us = facts.dwell_us;
    s->facts = (struct steer_session_facts){facts.height_px, facts.width_px, INT32_MAX,
                                            dwell_us > 0.0 ? dwell_us : facts.dwell_us};
    if (grid->pitch_px < grid->side_px)
        return fly_fail(FLY_ERANGE, "%s: its chips overlap (%d px every %d px): a frame of one would be one of its "
                        "neighbours, too", path, grid->side_px, grid->pitch_px);
    for (int32_t k = 0; k < grid->rows * grid->cols; k++) {
        int32_t left = chip_left(s, k);

        s->facts.frames = left < s->facts.frames ? left : s->facts.frames;
    }
    if (s->facts.frames < 2)
        return fly_fail(FLY_ERANGE, "%s: a chip has %d frames, there must be 2 to have something to choose", path,
                        s->facts.frames);
    return FLY_OK;
}

int steer_session_open(struct steer_session **out, const char *path, double dwell_us)
{
    struct steer_session *s = bench_need(1, sizeof *s);
    int rc = read_options(s, path);

    s->exec = fly_exec_serial();
    if (rc == FLY_OK)
        rc = fly_stack_open(&s->stack, path, id, STACK_MAX);
    if (rc == FLY_OK) {
        s->instrument = fly_stack_instrument(s->stack);
        rc = open_session(s);
    }
    if (rc == FLY_OK)
        rc = count_frames(s, path, dwell_us);
    if (rc == FLY_OK)
        rc = read_support(s, path);
    if (rc < 0)
        steer_session_close(&s);
    *out = s;
    return rc;
}

void steer_session_close(struct steer_session **session)
{
    struct steer_session *s = *session;

    if (!s)
        return;
    fly_session_close(&s->session);
    fly_embedder_close(&s->embedder);
    fly_stack_close(&s->stack);
    free(s);
    *session = NULL;
}

void steer_session_facts(const struct steer_session *session, struct steer_session_facts *facts)
{
    *facts = session->facts;
}

struct fly_engine *steer_session_engine(struct steer_session *session)
{
    return fly_session_engine(session->session);
}

/* ---- buying ------------------------------------------------------------------------------------------ */

static int wanted(const struct steer_session *s, int32_t stream, enum fly_signal signal)
{
    int image = stream <= s->instrument.n_images;

    return image ? signal != FLY_SIGNAL_EDS : signal != FLY_SIGNAL_HAADF;
}

static void apply(struct steer_session *s, const struct fly_message *message, int64_t stamp)
{
    struct fly_session_view view = {id, &s->start, 0, NULL};
    struct fly_effect effect;
    struct fly_start again;
    struct fly_ingest msg;

    if (fly_ingest_decode(&msg, &again, message->parts, message->n_parts, &view) != FLY_REFUSE_NONE)
        bench_check(FLY_EWIRE);
    msg.dwell_ns = (uint64_t)llround(1e3 * s->facts.dwell_us);
    fly_session_apply(s->session, &msg, stamp, &effect);
    FLY_ASSERT(!effect.conflict && !effect.unassembled);
}

/* As many lines of the chip as a patch may have. */
static void measure(struct steer_session *s, const struct fly_patch *patch, enum fly_signal signal, int64_t stamp)
{
    for (int32_t stream = 1; stream < s->instrument.n_streams; stream++) {
        struct fly_message message;

        if (!wanted(s, stream, signal))
            continue;
        bench_check(s->instrument.measure(s->instrument.ctx, patch, stream, stamp, &message));
        if (message.n_parts)
            apply(s, &message, stamp);
    }
    s->instrument.done(s->instrument.ctx, patch);
}

int steer_session_buy(struct steer_session *session, int64_t frame, int32_t chip, enum fly_signal signal, int64_t stamp)
{
    struct steer_session *s = session;
    struct fly_rect box = chip_box(s, chip);
    int32_t lines = (int32_t)(s->instrument.patch_px / box.w);

    if (chip_left(s, chip) < 1)
        return 0;
    for (int32_t y = 0; y < box.h; y += lines) {
        struct fly_patch patch = {.frame = frame, .y0_px = box.y0 + y, .x0_px = box.x0,
                                  .h = box.h - y < lines ? box.h - y : lines, .w = box.w, .dwell_us = s->recorded_us};

        measure(s, &patch, signal, stamp);
    }
    return 1;
}
