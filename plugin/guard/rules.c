#include "plugin/guard/rules.h"

#include <math.h>
#include <string.h>

static const char *const names[FLY_GUARD_VERDICTS] = {
    [FLY_GUARD_PASS] = "pass",
    [FLY_GUARD_MALFORMED] = "malformed",
    [FLY_GUARD_KIND] = "kind",
    [FLY_GUARD_JOURNAL] = "journal",
    [FLY_GUARD_DETACHED] = "detached",
    [FLY_GUARD_HELD] = "held",
    [FLY_GUARD_SESSION] = "session",
    [FLY_GUARD_LEDGER] = "ledger",
    [FLY_GUARD_CALIBRATION] = "calibration",
    [FLY_GUARD_ID] = "id",
    [FLY_GUARD_REPEATED] = "repeated",
    [FLY_GUARD_DECISION] = "decision",
    [FLY_GUARD_FULL] = "full",
    [FLY_GUARD_ID_ORDER] = "id_order",
    [FLY_GUARD_EXPIRED] = "expired",
    [FLY_GUARD_AHEAD] = "ahead",
    [FLY_GUARD_STALE] = "stale",
    [FLY_GUARD_FRAMES] = "frames",
    [FLY_GUARD_FRAME_ORDER] = "frame_order",
    [FLY_GUARD_TARGETS] = "targets",
    [FLY_GUARD_NUMBER] = "number",
    [FLY_GUARD_DWELL] = "dwell",
    [FLY_GUARD_SLEW] = "slew",
    [FLY_GUARD_OUTSIDE] = "outside",
    [FLY_GUARD_BOX] = "box",
    [FLY_GUARD_OVERLAP] = "overlap",
    [FLY_GUARD_LINE_ORDER] = "line_order",
    [FLY_GUARD_STEP] = "step",
    [FLY_GUARD_OPEN] = "open",
    [FLY_GUARD_RATE] = "rate",
    [FLY_GUARD_REVISIT] = "revisit",
    [FLY_GUARD_CHIP_DOSE] = "chip_dose",
    [FLY_GUARD_TOTAL_DOSE] = "total_dose",
};

const char *fly_guard_verdict_name(enum fly_guard_verdict verdict)
{
    FLY_ASSERT((int)verdict >= 0 && verdict < FLY_GUARD_VERDICTS);
    return names[verdict];
}

#define NO(why, ...) (fly_fail(FLY_ERANGE, __VA_ARGS__), (why))

/* What is judged, and against what. */
struct hearing {
    const struct fly_guard_limits *limits;
    struct fly_guard_book *book;
    const struct fly_guard_now *now;
    const struct fly_command *command;
};

/* ---- the world --------------------------------------------------------------------------------------- */

static enum fly_guard_verdict judge_world(const struct hearing *h)
{
    const struct fly_guard_now *now = h->now;
    const struct fly_guard_book *book = h->book;

    if (!now->journal_ok)
        return NO(FLY_GUARD_JOURNAL, "the journal cannot be written");
    if (!now->attached)
        return NO(FLY_GUARD_DETACHED, "plugin and acquisition are not both attached, in ask or auto");
    if (now->held)
        return NO(FLY_GUARD_HELD, "%s", now->held_by ? now->held_by : "held");
    if (!book)
        return NO(FLY_GUARD_SESSION, "no session is known");
    if (strcmp(book->session.id, now->session) != 0)
        return NO(FLY_GUARD_SESSION, "session '%s' is booked, the plugin's is '%s'", book->session.id, now->session);
    if (!now->ledger_asked)
        return NO(FLY_GUARD_LEDGER, "the plugin has not told its ledger yet");
    if (!(book->factor > 0))
        return NO(FLY_GUARD_CALIBRATION, "beam_current_na and pixel_nm are not known: no dose can be told");
    if (book->survey_ns <= 0)
        return NO(FLY_GUARD_CALIBRATION, "pixel_time_us is not known: the survey's dose cannot be booked");
    return FLY_GUARD_PASS;
}

/* ---- ids and times ----------------------------------------------------------------------------------- */

static int is_id(const char *id)
{
    size_t len = strnlen(id, FLY_CMD_ID_MAX + 1);

    return len >= 1 && len <= FLY_CMD_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static enum fly_guard_verdict judge_ids(const struct hearing *h)
{
    const struct fly_guard_book *book = h->book;
    const struct fly_command *command = h->command;
    uint64_t number;
    size_t prefix_len;

    if (!is_id(command->cmd_id))
        return NO(FLY_GUARD_ID, "cmd_id is 1 .. %d of [A-Za-z0-9._-]", FLY_CMD_ID_MAX);
    if (strncmp(command->cmd_id, "guard-", 6) == 0)
        return NO(FLY_GUARD_ID, "cmd_id %s: those that begin with guard- are the guard's own", command->cmd_id);
    if (fly_guard_ids_has(&book->commands, command->cmd_id))
        return NO(FLY_GUARD_REPEATED, "cmd_id %s was here already", command->cmd_id);
    if (!is_id(command->decision_id) && (command->decision_id[0] || fly_command_measures(command->kind)))
        return NO(FLY_GUARD_DECISION, "decision_id is 1 .. %d of [A-Za-z0-9._-]", FLY_CMD_ID_MAX);
    if (command->decision_id[0] && fly_guard_ids_has(&book->decisions, command->decision_id))
        return NO(FLY_GUARD_DECISION, "decision %s was sent on already", command->decision_id);
    if (book->commands.count >= FLY_GUARD_IDS_MAX || book->decisions.count >= FLY_GUARD_IDS_MAX)
        return NO(FLY_GUARD_FULL, "%d commands of one session are remembered, no more", FLY_GUARD_IDS_MAX);
    if (book->has_id && fly_guard_id_number(command->cmd_id, &number, &prefix_len) &&
        strlen(book->id_prefix) == prefix_len && memcmp(book->id_prefix, command->cmd_id, prefix_len) == 0 &&
        number <= book->id_number)
        return NO(FLY_GUARD_ID_ORDER, "cmd_id %s after %s%llu", command->cmd_id, book->id_prefix,
                  (unsigned long long)book->id_number);
    return FLY_GUARD_PASS;
}

/* A decision on less data than the one before was overtaken by it. */
static enum fly_guard_verdict judge_as_of(const struct hearing *h)
{
    const struct fly_as_of *before = &h->book->as_of, *as_of = &h->command->as_of;

    for (int32_t i = 0; i < before->count; i++) {
        int32_t j = 0;

        while (j < as_of->count && strcmp(as_of->names[j], before->names[i]) != 0)
            j++;
        if (j == as_of->count)
            return NO(FLY_GUARD_STALE, "as_of says nothing of stream %s", before->names[i]);
        if (as_of->seq[j] < before->seq[i])
            return NO(FLY_GUARD_STALE, "as_of %s %llu, the command before knew %llu", before->names[i],
                      (unsigned long long)as_of->seq[j], (unsigned long long)before->seq[i]);
    }
    return FLY_GUARD_PASS;
}

static enum fly_guard_verdict judge_times(const struct hearing *h)
{
    const struct fly_command *command = h->command;
    double left_s = ((double)command->valid_until_ns - (double)h->now->unix_ns) * 1e-9;

    if (command->valid_until_ns <= h->now->unix_ns)
        return NO(FLY_GUARD_EXPIRED, "void since %.3f s", -left_s);
    if (left_s > h->limits->valid_ahead_s)
        return NO(FLY_GUARD_AHEAD, "valid for %.3f s, valid_ahead_s allows %g", left_s, h->limits->valid_ahead_s);
    if (command->as_of.count < 1 || command->as_of.count > FLY_STREAMS_MAX)
        return NO(FLY_GUARD_STALE, "as_of names no stream: nobody knows how old the decision is");
    return judge_as_of(h);
}

static enum fly_guard_verdict judge_frames(const struct hearing *h)
{
    const struct fly_command *command = h->command;

    if (command->frames < 1 || command->frames > h->limits->frames_per_command)
        return NO(FLY_GUARD_FRAMES, "%d frames, 1 .. %d are allowed", command->frames, h->limits->frames_per_command);
    if (command->frame < h->book->next_frame || command->frame > FLY_FRAMES_MAX - command->frames)
        return NO(FLY_GUARD_FRAME_ORDER, "frame %lld and %d more, allowed are %lld .. %d", (long long)command->frame,
                  command->frames - 1, (long long)h->book->next_frame, FLY_FRAMES_MAX - 1);
    return FLY_GUARD_PASS;
}

/* ---- targets ----------------------------------------------------------------------------------------- */

static enum fly_guard_verdict judge_list(const struct hearing *h)
{
    static const enum fly_target_kind wanted[] = {[FLY_COMMAND_BOX] = FLY_TARGET_BOX,
                                                  [FLY_COMMAND_POINT_LIST] = FLY_TARGET_POINT,
                                                  [FLY_COMMAND_LINE] = FLY_TARGET_LINE};
    const struct fly_command *command = h->command;

    if (command->kind == FLY_COMMAND_RASTER && command->n_targets != 0)
        return NO(FLY_GUARD_TARGETS, "raster has no targets, here are %d", command->n_targets);
    if (command->kind == FLY_COMMAND_RASTER && h->limits->margin_px > 0)
        return NO(FLY_GUARD_OUTSIDE, "raster exposes the whole field, margin_px %d keeps some of it out",
                  h->limits->margin_px);
    if (command->kind == FLY_COMMAND_RASTER)
        return FLY_GUARD_PASS;
    if (command->n_targets < 1 || command->n_targets > h->limits->targets_per_command)
        return NO(FLY_GUARD_TARGETS, "%d targets, 1 .. %d are allowed", command->n_targets,
                  h->limits->targets_per_command);
    for (int32_t i = 0; i < command->n_targets; i++)
        if (command->targets[i].kind != wanted[command->kind])
            return NO(FLY_GUARD_TARGETS, "targets[%d] is of another kind than the command, %s", i,
                      fly_command_kind_name(command->kind));
    return FLY_GUARD_PASS;
}

static enum fly_guard_verdict judge_dwell(const struct hearing *h)
{
    const struct fly_command *command = h->command;
    const struct fly_guard_limits *limits = h->limits;

    if (!(command->dwell_us >= limits->dwell_min_us && command->dwell_us <= limits->dwell_max_us))
        return NO(FLY_GUARD_DWELL, "dwell_us %g, %g .. %g are allowed", command->dwell_us, limits->dwell_min_us,
                  limits->dwell_max_us);
    if (command->kind == FLY_COMMAND_RASTER && !(1 / command->dwell_us <= limits->slew_px_per_us))
        return NO(FLY_GUARD_SLEW, "raster moves the beam by %g px/us, at most %g are allowed", 1 / command->dwell_us,
                  limits->slew_px_per_us);
    for (int32_t i = 0; i < command->n_targets; i++) {
        double dwell_us = command->targets[i].dwell_us;

        if (!(dwell_us >= limits->dwell_min_us && dwell_us <= command->dwell_us))
            return NO(FLY_GUARD_DWELL, "targets[%d] dwells %g us, %g .. %g, the command's, are allowed", i, dwell_us,
                      limits->dwell_min_us, command->dwell_us);
    }
    return FLY_GUARD_PASS;
}

/* A pixel in each dwell time; along a diagonal line pixels lie up to sqrt 2 apart. */
static enum fly_guard_verdict judge_slew(const struct hearing *h, int32_t i)
{
    const struct fly_target *target = &h->command->targets[i];
    double pixel_px = 1, speed;

    if (target->kind == FLY_TARGET_POINT)
        return FLY_GUARD_PASS;
    if (target->kind == FLY_TARGET_LINE) {
        double dy = fabs(target->px[2] - target->px[0]), dx = fabs(target->px[3] - target->px[1]);

        pixel_px = fmax(dy, dx) > 0 ? hypot(dy, dx) / fmax(dy, dx) : 0;
    }
    speed = pixel_px / target->dwell_us;
    if (!(speed <= h->limits->slew_px_per_us))
        return NO(FLY_GUARD_SLEW, "targets[%d] moves the beam by %g px/us, at most %g are allowed", i, speed,
                  h->limits->slew_px_per_us);
    return FLY_GUARD_PASS;
}

static enum fly_guard_verdict judge_place(const struct hearing *h, int32_t i)
{
    const struct fly_target *target = &h->command->targets[i];
    const struct fly_guard_session *s = &h->book->session;
    int numbers = target->kind == FLY_TARGET_POINT ? 2 : 4;
    double margin = h->limits->margin_px, y0, x0, y1, x1;

    for (int k = 0; k < numbers; k++)
        if (!(fabs(target->px[k]) < 0x1p30))
            return NO(FLY_GUARD_NUMBER, "targets[%d].px[%d] is %g", i, k, target->px[k]);
    /* Of a fraction each acquisition makes other pixels. */
    for (int k = 0; k < numbers; k++)
        if (target->px[k] != floor(target->px[k]))
            return NO(FLY_GUARD_NUMBER, "targets[%d].px[%d] is %.9g, whole pixels are allowed", i, k, target->px[k]);
    if (target->kind == FLY_TARGET_BOX && !(target->px[2] > 0 && target->px[3] > 0))
        return NO(FLY_GUARD_NUMBER, "targets[%d] is a box of %g x %g px", i, target->px[2], target->px[3]);
    y0 = target->px[0];
    x0 = target->px[1];
    y1 = target->kind == FLY_TARGET_BOX ? y0 + target->px[2] : y0;
    x1 = target->kind == FLY_TARGET_BOX ? x0 + target->px[3] : x0;
    if (target->kind == FLY_TARGET_LINE) {
        y1 = fmax(y0, target->px[2]);
        x1 = fmax(x0, target->px[3]);
        y0 = fmin(y0, target->px[2]);
        x0 = fmin(x0, target->px[3]);
    }
    /* A point or a line's end lies in a pixel, the end of a box on its edge. */
    if (y0 < margin || x0 < margin || y1 > s->height_px - margin || x1 > s->width_px - margin ||
        (target->kind != FLY_TARGET_BOX && (y1 >= s->height_px - margin || x1 >= s->width_px - margin)))
        return NO(FLY_GUARD_OUTSIDE, "targets[%d] reaches from [%g, %g] to [%g, %g], allowed are [%g, %g] to [%g, %g]",
                  i, y0, x0, y1, x1, margin, margin, s->height_px - margin, s->width_px - margin);
    if (fmax(y1 - y0, x1 - x0) > h->limits->box_px)
        return NO(FLY_GUARD_BOX, "targets[%d] has a side of %g px, at most %g are allowed", i, fmax(y1 - y0, x1 - x0),
                  h->limits->box_px);
    return judge_slew(h, i);
}

static int overlap(const struct fly_guard_area *a, const struct fly_guard_area *b)
{
    return a->y0 < b->y1 && b->y0 < a->y1 && a->x0 < b->x1 && b->x0 < a->x1;
}

/* Out of line order; why: because it lies on another target, or because the beam would turn back. */
static enum fly_guard_verdict disorder(const struct hearing *h, int32_t i)
{
    struct fly_guard_area area = fly_guard_area_of(&h->command->targets[i]);

    for (int32_t j = 0; j < i; j++) {
        struct fly_guard_area other = fly_guard_area_of(&h->command->targets[j]);

        if (overlap(&area, &other))
            return NO(FLY_GUARD_OVERLAP, "targets[%d] lies on targets[%d]", i, j);
    }
    return NO(FLY_GUARD_LINE_ORDER, "targets[%d] turns back: targets go down or up the scan, and one way along a line",
              i);
}

/* Each target lies wholly beyond the one before, in the direction gone so far: so none can lie on another. */
static enum fly_guard_verdict judge_order(const struct hearing *h)
{
    int down = 0, right = 0; /* 1, -1, 0 not known yet; right is of the band */
    struct fly_guard_area before = fly_guard_area_of(&h->command->targets[0]);

    for (int32_t i = 1; i < h->command->n_targets; i++) {
        struct fly_guard_area area = fly_guard_area_of(&h->command->targets[i]);
        int band = area.y0 == before.y0 && area.y1 == before.y1;
        int way = band ? area.x0 >= before.x1 ? 1 : area.x1 <= before.x0 ? -1 : 0
                       : area.y0 >= before.y1 ? 1 : area.y1 <= before.y0 ? -1 : 0;
        int *so_far = band ? &right : &down;

        if (way == 0 || (*so_far && way != *so_far))
            return disorder(h, i);
        *so_far = way;
        if (!band)
            right = 0;
        before = area;
    }
    return FLY_GUARD_PASS;
}

static enum fly_guard_verdict judge_step(const struct hearing *h, double y, double x, int32_t to, const char *from)
{
    struct fly_guard_area area = fly_guard_area_of(&h->command->targets[to]);
    double step = hypot(area.y0 - y, area.x0 - x);

    if (step > h->limits->step_px)
        return NO(FLY_GUARD_STEP, "%g px from %s to targets[%d], at most %g are allowed", step, from, to,
                  h->limits->step_px);
    return FLY_GUARD_PASS;
}

static enum fly_guard_verdict judge_steps(const struct hearing *h)
{
    const struct fly_command *command = h->command;
    enum fly_guard_verdict why = FLY_GUARD_PASS;
    struct fly_guard_area last = fly_guard_area_of(&command->targets[command->n_targets - 1]);

    if (h->book->has_beam)
        why = judge_step(h, h->book->beam_px[0], h->book->beam_px[1], 0, "the command before");
    if (why == FLY_GUARD_PASS && command->frames > 1)
        why = judge_step(h, last.y1 - 1, last.x1 - 1, 0, "one frame's end");
    for (int32_t i = 1; i < command->n_targets && why == FLY_GUARD_PASS; i++) {
        struct fly_guard_area before = fly_guard_area_of(&command->targets[i - 1]);

        why = judge_step(h, before.y1 - 1, before.x1 - 1, i, "the target before");
    }
    return why;
}

static enum fly_guard_verdict judge_targets(const struct hearing *h)
{
    enum fly_guard_verdict why = FLY_GUARD_PASS;

    for (int32_t i = 0; i < h->command->n_targets && why == FLY_GUARD_PASS; i++)
        why = judge_place(h, i);
    if (why == FLY_GUARD_PASS && h->command->n_targets > 0)
        why = judge_order(h);
    if (why == FLY_GUARD_PASS && h->command->n_targets > 0)
        why = judge_steps(h);
    return why;
}

/* ---- rate and dose ----------------------------------------------------------------------------------- */

static enum fly_guard_verdict judge_rate(const struct hearing *h)
{
    const struct fly_guard_book *book = h->book;
    int32_t count = h->limits->commands_per_s < 1 ? 1 : (int32_t)h->limits->commands_per_s;
    double window_ns = count / h->limits->commands_per_s * 1e9;

    if (book->n_open >= h->limits->open_commands)
        return NO(FLY_GUARD_OPEN, "%d command%s under way already, open_commands allows %d", book->n_open,
                  fly_plural(book->n_open), h->limits->open_commands);
    FLY_ASSERT(count <= FLY_GUARD_RATE_MAX);
    if (book->n_sent >= count) {
        double since_ns = (double)(h->now->mono_ns - book->sent_ns[(book->n_sent - count) % FLY_GUARD_RATE_MAX]);

        if (since_ns < window_ns)
            return NO(FLY_GUARD_RATE, "%d commands in %.3f s, commands_per_s allows %g", count + 1, since_ns * 1e-9,
                      h->limits->commands_per_s);
    }
    return FLY_GUARD_PASS;
}

static enum fly_guard_verdict judge_cell(const struct hearing *h, size_t k, int64_t add_ns, int64_t cap_ns)
{
    struct fly_guard_book *book = h->book;
    double rest_ns = h->limits->revisit_ms * 1e6;

    book->hits[k]++;
    if (rest_ns > 0 && (book->busy[k] || (book->last_ns[k] != INT64_MIN &&
                                          (double)(h->now->mono_ns - book->last_ns[k]) < rest_ns)))
        return NO(FLY_GUARD_REVISIT, "a place that %s, revisit_ms asks for %g ms of rest",
                  book->busy[k] ? "is under way" : "was just exposed", h->limits->revisit_ms);
    if (book->dose_ns[k] + book->hits[k] * add_ns > cap_ns)
        return NO(FLY_GUARD_CHIP_DOSE, "%g e-/A^2 at [%d, %d] px with this command, at most %g are allowed",
                  (double)(book->dose_ns[k] + book->hits[k] * add_ns) * 1e-3 * book->factor,
                  (int)(k / (size_t)book->cols) * book->cell_px,
                  (int)(k % (size_t)book->cols) * book->cell_px, h->limits->chip_dose_e_per_A2);
    return FLY_GUARD_PASS;
}

static struct fly_guard_area area_at(const struct hearing *h, int32_t i)
{
    if (h->command->kind == FLY_COMMAND_RASTER)
        return (struct fly_guard_area){0, 0, h->book->session.height_px, h->book->session.width_px};
    return fly_guard_area_of(&h->command->targets[i]);
}

/* Cells that several targets touch get the dose of each: hits counts them, and is zero again afterwards. */
static enum fly_guard_verdict judge_dose(const struct hearing *h)
{
    struct fly_guard_book *book = h->book;
    const struct fly_command *command = h->command;
    double cap = floor(h->limits->chip_dose_e_per_A2 / book->factor * 1e3), pixels = 0;
    int64_t add_ns = (int64_t)ceil(command->dwell_us * 1e3) * command->frames;
    int64_t cap_ns = cap < 0x1p61 ? (int64_t)cap : (int64_t)1 << 61;
    double field = (double)book->session.height_px * book->session.width_px;
    int32_t n = command->kind == FLY_COMMAND_RASTER ? 1 : command->n_targets;
    enum fly_guard_verdict why = FLY_GUARD_PASS;
    int32_t seen;

    for (seen = 0; seen < n && why == FLY_GUARD_PASS; seen++) {
        struct fly_guard_area area = area_at(h, seen), at = fly_guard_cells(book, &area);

        pixels += command->kind == FLY_COMMAND_RASTER ? field : fly_guard_pixels_of(&command->targets[seen]);
        for (int32_t r = at.y0; r <= at.y1 && why == FLY_GUARD_PASS; r++)
            for (int32_t c = at.x0; c <= at.x1 && why == FLY_GUARD_PASS; c++)
                why = judge_cell(h, (size_t)r * book->cols + c, add_ns, cap_ns);
    }
    for (int32_t i = 0; i < seen; i++) {
        struct fly_guard_area area = area_at(h, i), at = fly_guard_cells(book, &area);

        for (int32_t r = at.y0; r <= at.y1; r++)
            memset(book->hits + (size_t)r * book->cols + at.x0, 0, (size_t)(at.x1 - at.x0 + 1) * sizeof *book->hits);
    }
    if (why == FLY_GUARD_PASS &&
        !((book->total_pixel_ns + pixels * (double)add_ns) * 1e-3 * book->factor <=
          h->limits->total_dose_e_per_A2 * field))
        return NO(FLY_GUARD_TOTAL_DOSE, "%g e-/A^2 over the field with this command, at most %g are allowed",
                  (book->total_pixel_ns + pixels * (double)add_ns) * 1e-3 * book->factor / field,
                  h->limits->total_dose_e_per_A2);
    return why;
}

enum fly_guard_verdict fly_guard_judge(const struct fly_guard_limits *limits, struct fly_guard_book *book,
                                       const struct fly_guard_now *now, const struct fly_command *command)
{
    static enum fly_guard_verdict (*const rules[])(const struct hearing *) = {
        judge_world, judge_ids,   judge_times,   judge_frames, judge_list,
        judge_dwell, judge_targets, judge_rate, judge_dose};
    struct hearing h = {limits, book, now, command};
    enum fly_guard_verdict why = FLY_GUARD_PASS;

    if (command->kind == FLY_COMMAND_STOP || command->kind == FLY_COMMAND_BLANK)
        return FLY_GUARD_PASS;
    if ((int)command->kind < 0 || command->kind >= FLY_COMMAND_KINDS)
        return NO(FLY_GUARD_KIND, "a kind of command that is none");
    for (size_t i = 0; i < sizeof rules / sizeof *rules && why == FLY_GUARD_PASS; i++)
        why = rules[i](&h);
    return why;
}
