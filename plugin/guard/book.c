#include "plugin/guard/book.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/dose.h"
#include "engine/base/rng.h"

/* Data of a command that is done may still be on their way into the plugin's ledger: what ended less than this before
 * the ledger was asked counts as not in it. */
#define SETTLE_NS (2 * INT64_C(1000000000))
/* An acquisition may begin a command until valid_until_ns, and its word of that may take as long again. */
#define LAPSE_NS (2 * INT64_C(1000000000))

/* Further than any limit: sums stop here instead of wrapping around. */
#define DOSE_MAX_NS ((int64_t)1 << 61)

enum { SLOTS = 2 * FLY_GUARD_IDS_MAX };

/* ---- dose of a pixel ---------------------------------------------------------------------------------- */

static double larger(double own, double said)
{
    return said > own ? said : own; /* NaN and 0 are not said */
}

static double smaller(double own, double said)
{
    if (!(own > 0))
        return said > 0 ? said : 0;
    return said > 0 && said < own ? said : own;
}

double fly_guard_factor(const struct fly_guard_limits *limits, const struct fly_guard_session *session)
{
    double current_na = larger(limits->beam_current_na, session->beam_current_na);
    double y_nm = smaller(limits->pixel_nm, session->pixel_nm[0]);
    double x_nm = smaller(limits->pixel_nm, session->pixel_nm[1]);
    double factor = fly_dose_factor(current_na, (const double[]){y_nm, x_nm});

    return factor > 0 ? factor : 0;
}

struct fly_guard_area fly_guard_area_of(const struct fly_target *target)
{
    const double *px = target->px;

    if (target->kind == FLY_TARGET_BOX)
        return (struct fly_guard_area){(int32_t)floor(px[0]), (int32_t)floor(px[1]), (int32_t)ceil(px[0] + px[2]),
                                       (int32_t)ceil(px[1] + px[3])};
    if (target->kind == FLY_TARGET_LINE)
        return (struct fly_guard_area){(int32_t)floor(fmin(px[0], px[2])), (int32_t)floor(fmin(px[1], px[3])),
                                       (int32_t)floor(fmax(px[0], px[2])) + 1, (int32_t)floor(fmax(px[1], px[3])) + 1};
    return (struct fly_guard_area){(int32_t)floor(px[0]), (int32_t)floor(px[1]), (int32_t)floor(px[0]) + 1,
                                   (int32_t)floor(px[1]) + 1};
}

double fly_guard_pixels_of(const struct fly_target *target)
{
    struct fly_guard_area area = fly_guard_area_of(target);
    double h = area.y1 - area.y0, w = area.x1 - area.x0;

    /* A slanted line touches a pixel more for each row that it crosses. */
    return target->kind == FLY_TARGET_LINE ? h + w - 1 : h * w;
}

/* ---- cells ------------------------------------------------------------------------------------------- */

struct fly_guard_area fly_guard_cells(const struct fly_guard_book *book, const struct fly_guard_area *area)
{
    return (struct fly_guard_area){
        area->y0 / book->cell_px, area->x0 / book->cell_px, (area->y1 - 1) / book->cell_px,
        (area->x1 - 1) / book->cell_px};
}

int fly_guard_session_fits(const struct fly_guard_session *s)
{
    if (s->height_px < 1 || s->width_px < 1 || s->height_px > FLY_SCAN_SIDE_MAX || s->width_px > FLY_SCAN_SIDE_MAX)
        return 0;
    if (s->rows == 0 && s->cols == 0)
        return 1;
    return s->rows >= 1 && s->cols >= 1 && s->chip_px >= 1 && s->pitch_px >= 1 &&
           (int64_t)(s->rows - 1) * s->pitch_px + s->chip_px <= s->height_px &&
           (int64_t)(s->cols - 1) * s->pitch_px + s->chip_px <= s->width_px;
}

static void lay_cells(struct fly_guard_book *book, const struct fly_guard_limits *limits)
{
    const struct fly_guard_session *s = &book->session;
    int32_t side = limits->cell_px ? limits->cell_px : s->pitch_px > 0 ? s->pitch_px : 1;
    int32_t unit = side;

    for (;; side += unit) {
        book->rows = (s->height_px - 1) / side + 1;
        book->cols = (s->width_px - 1) / side + 1;
        if ((int64_t)book->rows * book->cols <= FLY_GUARD_CELLS_MAX)
            break;
    }
    book->cell_px = side;
}

static void add_area(struct fly_guard_book *book, const struct fly_guard_area *area, int64_t *cells, int64_t ns)
{
    struct fly_guard_area at = fly_guard_cells(book, area);

    for (int32_t r = at.y0; r <= at.y1; r++)
        for (int32_t c = at.x0; c <= at.x1; c++)
            cells[(size_t)r * book->cols + c] += ns;
}

static void find_worst(struct fly_guard_book *book)
{
    book->worst_ns = 0;
    for (int64_t k = 0; k < (int64_t)book->rows * book->cols; k++)
        if (book->dose_ns[k] > book->worst_ns)
            book->worst_ns = book->dose_ns[k];
}

void fly_guard_book_frame(struct fly_guard_book *book)
{
    for (int64_t k = 0; k < (int64_t)book->rows * book->cols; k++)
        if (book->dose_ns[k] < DOSE_MAX_NS)
            book->dose_ns[k] += book->survey_ns;
    find_worst(book);
    book->total_pixel_ns += (double)book->survey_ns * book->session.height_px * book->session.width_px;
}

int fly_guard_book_open(struct fly_guard_book *book, const struct fly_guard_limits *limits,
                        const struct fly_guard_session *session)
{
    double dwell_us = larger(limits->survey_dwell_us, session->pixel_time_us);
    size_t n;

    *book = (struct fly_guard_book){.session = *session};
    lay_cells(book, limits);
    n = (size_t)book->rows * (size_t)book->cols;
    book->dose_ns = calloc(n, sizeof *book->dose_ns);
    book->unsettled_ns = calloc(n, sizeof *book->unsettled_ns);
    book->last_ns = malloc(n * sizeof *book->last_ns);
    book->hits = calloc(n, sizeof *book->hits);
    book->busy = calloc(n, sizeof *book->busy);
    book->tracks = calloc(FLY_GUARD_TRACKED, sizeof *book->tracks);
    if (fly_guard_ids_open(&book->commands) < 0 || fly_guard_ids_open(&book->decisions) < 0 || !book->dose_ns ||
        !book->unsettled_ns || !book->last_ns || !book->hits || !book->busy || !book->tracks) {
        fly_guard_book_close(book);
        return fly_fail(FLY_ENOMEM, "session %s: no memory to book the dose of %zu cells", session->id, n);
    }
    for (size_t k = 0; k < n; k++)
        book->last_ns[k] = INT64_MIN;
    book->factor = fly_guard_factor(limits, session);
    book->survey_ns = dwell_us > 0 ? (int64_t)ceil(fmin(dwell_us * 1e3, (double)DOSE_MAX_NS)) : 0;
    book->survey_frames = session->frames_planned > 0 ? session->frames_planned : limits->survey_frames;
    book->next_frame = book->survey_frames;
    book->worst_ns = book->survey_ns > DOSE_MAX_NS / book->survey_frames ? DOSE_MAX_NS
                                                                        : book->survey_ns * book->survey_frames;
    for (size_t k = 0; k < n; k++)
        book->dose_ns[k] = book->worst_ns;
    book->total_pixel_ns = (double)book->worst_ns * session->height_px * session->width_px;
    return FLY_OK;
}

void fly_guard_book_close(struct fly_guard_book *book)
{
    free(book->dose_ns);
    free(book->unsettled_ns);
    free(book->last_ns);
    free(book->hits);
    free(book->busy);
    fly_guard_ids_close(&book->commands);
    fly_guard_ids_close(&book->decisions);
    free(book->tracks);
    *book = (struct fly_guard_book){0};
}

/* ---- ids --------------------------------------------------------------------------------------------- */

/* By a 64-bit hash: two ids that share one would refuse a command, never let one through. */
static uint64_t hash_id(const char *id)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 1099511628211u;
    h = fly_mix64(h);
    return h ? h : 1;
}

static uint64_t *slot_of(const struct fly_guard_id_set *set, uint64_t hash)
{
    size_t at = hash % SLOTS;

    while (set->slots[at] && set->slots[at] != hash)
        at = (at + 1) % SLOTS;
    return &set->slots[at];
}

int fly_guard_ids_open(struct fly_guard_id_set *set)
{
    *set = (struct fly_guard_id_set){.slots = calloc(SLOTS, sizeof *set->slots)};
    return set->slots ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for %d ids", FLY_GUARD_IDS_MAX);
}

void fly_guard_ids_close(struct fly_guard_id_set *set)
{
    free(set->slots);
    *set = (struct fly_guard_id_set){0};
}

int fly_guard_ids_has(const struct fly_guard_id_set *set, const char *id)
{
    return *slot_of(set, hash_id(id)) != 0;
}

void fly_guard_ids_add(struct fly_guard_id_set *set, const char *id)
{
    uint64_t hash = hash_id(id), *slot = slot_of(set, hash);

    if (*slot || set->count >= FLY_GUARD_IDS_MAX)
        return; /* a full set lets nothing pass any more: the judge sees to that */
    *slot = hash;
    set->count++;
}

int fly_guard_id_number(const char *id, uint64_t *number, size_t *prefix_len)
{
    size_t len = strlen(id), at = len;
    uint64_t value = 0;

    while (at > 0 && id[at - 1] >= '0' && id[at - 1] <= '9')
        at--;
    if (at == len || len - at > 18)
        return 0;
    for (size_t i = at; i < len; i++)
        value = value * 10 + (uint64_t)(id[i] - '0');
    *number = value;
    *prefix_len = at;
    return 1;
}

void fly_guard_book_refuse(struct fly_guard_book *book, const char *cmd_id)
{
    fly_guard_ids_add(&book->commands, cmd_id);
}

static void note_ids(struct fly_guard_book *book, const struct fly_command *command)
{
    size_t prefix_len;

    fly_guard_ids_add(&book->commands, command->cmd_id);
    if (command->decision_id[0])
        fly_guard_ids_add(&book->decisions, command->decision_id);
    book->has_id = fly_guard_id_number(command->cmd_id, &book->id_number, &prefix_len);
    if (book->has_id) {
        memcpy(book->id_prefix, command->cmd_id, prefix_len);
        book->id_prefix[prefix_len] = '\0';
    }
    book->next_frame = command->frame + command->frames;
    book->as_of = command->as_of;
}

/* ---- commands under way ------------------------------------------------------------------------------ */

static void settle(struct fly_guard_book *book, struct fly_guard_track *track)
{
    for (int32_t i = 0; i < track->n_areas; i++)
        add_area(book, &track->areas[i], book->unsettled_ns, -track->each_ns);
    book->unsettled_pixel_ns -= track->pixel_ns;
    track->stage = FLY_GUARD_FREE;
}

/* A free place; when there is none, that of the command done longest ago, which only then counts as in the ledger
 * unasked. The judge lets no more than 16 be open. */
static struct fly_guard_track *free_track(struct fly_guard_book *book)
{
    struct fly_guard_track *oldest = NULL;

    for (int i = 0; i < FLY_GUARD_TRACKED; i++) {
        struct fly_guard_track *track = &book->tracks[i];

        if (track->stage == FLY_GUARD_FREE)
            return track;
        if (track->stage == FLY_GUARD_DONE && (!oldest || track->done_ns < oldest->done_ns))
            oldest = track;
    }
    FLY_ASSERT(oldest);
    settle(book, oldest);
    return oldest;
}

static void mark_busy(struct fly_guard_book *book, const struct fly_guard_track *track, int more, int64_t mono_ns)
{
    for (int32_t i = 0; i < track->n_areas; i++) {
        struct fly_guard_area at = fly_guard_cells(book, &track->areas[i]);

        for (int32_t r = at.y0; r <= at.y1; r++)
            for (int32_t c = at.x0; c <= at.x1; c++) {
                size_t k = (size_t)r * book->cols + c;

                /* A cell that several targets of one command touch is busy once for each. */
                book->busy[k] = (uint16_t)(book->busy[k] + more);
                book->last_ns[k] = mono_ns;
            }
    }
}

void fly_guard_book_take(struct fly_guard_book *book, const struct fly_command *command, int64_t mono_ns)
{
    struct fly_guard_track *track = free_track(book);
    struct fly_guard_area whole = {0, 0, book->session.height_px, book->session.width_px};

    memcpy(track->cmd_id, command->cmd_id, sizeof track->cmd_id);
    track->stage = FLY_GUARD_SENT;
    track->valid_until_ns = command->valid_until_ns;
    track->each_ns = (int64_t)ceil(command->dwell_us * 1e3) * command->frames;
    track->pixel_ns = 0;
    track->n_areas = command->n_targets;
    for (int32_t i = 0; i < command->n_targets; i++) {
        track->areas[i] = fly_guard_area_of(&command->targets[i]);
        track->pixel_ns += (double)track->each_ns * fly_guard_pixels_of(&command->targets[i]);
    }
    if (command->kind == FLY_COMMAND_RASTER) {
        track->n_areas = 1;
        track->areas[0] = whole;
        track->pixel_ns = (double)track->each_ns * whole.y1 * whole.x1;
        book->has_beam = 0;
    } else {
        struct fly_guard_area end = track->areas[track->n_areas - 1];

        book->has_beam = 1;
        book->beam_px[0] = end.y1 - 1;
        book->beam_px[1] = end.x1 - 1;
    }
    for (int32_t i = 0; i < track->n_areas; i++) {
        add_area(book, &track->areas[i], book->dose_ns, track->each_ns);
        add_area(book, &track->areas[i], book->unsettled_ns, track->each_ns);
    }
    mark_busy(book, track, 1, mono_ns);
    book->total_pixel_ns += track->pixel_ns;
    book->unsettled_pixel_ns += track->pixel_ns;
    find_worst(book);
    book->n_open++;
    book->sent_ns[book->n_sent++ % FLY_GUARD_RATE_MAX] = mono_ns;
    note_ids(book, command);
}

static void finish(struct fly_guard_book *book, struct fly_guard_track *track, int64_t mono_ns)
{
    mark_busy(book, track, -1, mono_ns);
    track->stage = FLY_GUARD_DONE;
    track->done_ns = mono_ns;
    book->n_open--;
}

/* Never begun: the beam was not there. */
static void give_back(struct fly_guard_book *book, struct fly_guard_track *track, int64_t mono_ns)
{
    finish(book, track, mono_ns);
    for (int32_t i = 0; i < track->n_areas; i++)
        add_area(book, &track->areas[i], book->dose_ns, -track->each_ns);
    book->total_pixel_ns -= track->pixel_ns;
    settle(book, track);
    find_worst(book);
}

void fly_guard_book_ack(struct fly_guard_book *book, const struct fly_ack *ack, int64_t mono_ns)
{
    struct fly_guard_track *track = NULL;

    for (int i = 0; i < FLY_GUARD_TRACKED; i++) {
        enum fly_guard_stage stage = book->tracks[i].stage;

        if ((stage == FLY_GUARD_SENT || stage == FLY_GUARD_STARTED) &&
            strcmp(book->tracks[i].cmd_id, ack->cmd_id) == 0)
            track = &book->tracks[i];
    }
    if (!track)
        return;
    if (ack->status == FLY_ACK_STARTED)
        track->stage = FLY_GUARD_STARTED;
    else if (ack->status == FLY_ACK_DONE)
        finish(book, track, mono_ns);
    else if (ack->status == FLY_ACK_REJECTED && track->stage == FLY_GUARD_SENT)
        give_back(book, track, mono_ns);
    else if (ack->status == FLY_ACK_REJECTED)
        finish(book, track, mono_ns);
}

void fly_guard_book_abandon(struct fly_guard_book *book, int64_t mono_ns)
{
    for (int i = 0; i < FLY_GUARD_TRACKED; i++)
        if (book->tracks[i].stage == FLY_GUARD_SENT || book->tracks[i].stage == FLY_GUARD_STARTED)
            finish(book, &book->tracks[i], mono_ns);
    book->has_beam = 0;
}

void fly_guard_book_lapse(struct fly_guard_book *book, int64_t unix_ns, int64_t mono_ns)
{
    for (int i = 0; i < FLY_GUARD_TRACKED; i++)
        if (book->tracks[i].stage == FLY_GUARD_SENT && unix_ns - book->tracks[i].valid_until_ns > LAPSE_NS)
            finish(book, &book->tracks[i], mono_ns);
}

void fly_guard_book_room(struct fly_guard_book *book, int64_t unix_ns, int64_t mono_ns)
{
    struct fly_guard_track *first = &book->tracks[0];

    fly_guard_book_lapse(book, unix_ns, mono_ns);
    if (book->n_open < FLY_GUARD_TRACKED)
        return;
    for (int i = 1; i < FLY_GUARD_TRACKED; i++)
        if (book->tracks[i].valid_until_ns < first->valid_until_ns)
            first = &book->tracks[i];
    finish(book, first, mono_ns);
}

/* ---- the plugin's ledger ----------------------------------------------------------------------------- */

static int ledger_fits(const struct fly_guard_book *book, const float *max_us, int32_t rows, int32_t cols,
                       double mean_us)
{
    const struct fly_guard_session *s = &book->session;

    if (rows != s->rows || cols != s->cols)
        return fly_fail(FLY_ERANGE, "ledger of %d x %d chips, the session has %d x %d", rows, cols, s->rows, s->cols);
    if (mean_us < 0 || mean_us > 1e12)
        return fly_fail(FLY_ERANGE, "ledger with a mean of %g us", mean_us);
    for (int64_t k = 0; k < (int64_t)rows * cols; k++)
        if (max_us[k] < 0 || max_us[k] > 1e12f)
            return fly_fail(FLY_ERANGE, "ledger with %g us at chip %lld", (double)max_us[k], (long long)k);
    return FLY_OK;
}

int fly_guard_book_ledger(struct fly_guard_book *book, const float *max_us, int32_t rows, int32_t cols,
                          double mean_us, int64_t asked_ns)
{
    const struct fly_guard_session *s = &book->session;
    double mean_ns = isnan(mean_us) ? 0 : mean_us * 1e3 * s->height_px * s->width_px;

    if (ledger_fits(book, max_us, rows, cols, mean_us) < 0)
        return FLY_ERANGE;
    for (int i = 0; i < FLY_GUARD_TRACKED; i++)
        if (book->tracks[i].stage == FLY_GUARD_DONE && asked_ns - book->tracks[i].done_ns > SETTLE_NS)
            settle(book, &book->tracks[i]);
    for (int32_t k = 0; k < rows * cols; k++) {
        int32_t y = k / cols * s->pitch_px, x = k % cols * s->pitch_px;
        struct fly_guard_area area = {y, x, y + s->chip_px, x + s->chip_px}, at = fly_guard_cells(book, &area);
        int64_t ns = isnan(max_us[k]) ? 0 : (int64_t)ceil((double)max_us[k] * 1e3);

        for (int32_t r = at.y0; r <= at.y1; r++)
            for (int32_t c = at.x0; c <= at.x1; c++) {
                size_t cell = (size_t)r * book->cols + c;

                if (ns + book->unsettled_ns[cell] > book->dose_ns[cell])
                    book->dose_ns[cell] = ns + book->unsettled_ns[cell];
            }
    }
    if (mean_ns + book->unsettled_pixel_ns > book->total_pixel_ns)
        book->total_pixel_ns = mean_ns + book->unsettled_pixel_ns;
    find_worst(book);
    return FLY_OK;
}

double fly_guard_book_worst(const struct fly_guard_book *book)
{
    return book->factor > 0 ? (double)book->worst_ns * 1e-3 * book->factor : NAN;
}

double fly_guard_book_mean(const struct fly_guard_book *book)
{
    return book->factor > 0 ? book->total_pixel_ns * 1e-3 * book->factor / book->session.height_px /
                                  book->session.width_px
                            : NAN;
}
