#include "plugin/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/eds/lines.h"
#include "plugin/look.h"

enum {
    TURN_PX = 1 << 18,
    TURN_CHANNELS = 1 << 20,
    NUMBERS_MAX = 1 << 24, /* of a result: 64 MiB */
    STEP_MAX = 1024,
};
static const double LINE_LEAST = 0.05; /* of the strongest of its shell: a weaker one is not pointed at */

int fly_sweep_known(const char *op)
{
    return strcmp(op, "image.get") == 0 || strcmp(op, "region.get") == 0;
}

void fly_sweep_fini(struct fly_sweep *sweep)
{
    free(sweep->row);
    free(sweep->sum);
    free(sweep->count);
    free(sweep->chips);
    free(sweep->spectrum);
    memset(sweep, 0, sizeof *sweep);
}

static int refused(struct fly_job *job, const char *code)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "%s", code);
    snprintf(job->message, sizeof job->message, "%s", fly_fail_text());
    return 1;
}

static int refused_why(struct fly_job *job, enum fly_refusal why)
{
    return refused(job, fly_refusal_name(why));
}

static int no_memory(struct fly_job *job)
{
    fly_fail(FLY_ENOMEM, "no memory for the reply");
    return refused(job, "memory");
}

static int has(struct fly_value args, const char *key)
{
    struct fly_value value;

    return fly_value_get(args, key, &value) && fly_value_kind(value) != FLY_KIND_NIL;
}

static int begin_result(struct fly_job *job, struct fly_pack *pack, uint32_t entries, size_t payload_len)
{
    if (!job->result)
        job->result = malloc(FLY_RESULT_CAP);
    if (!job->payload[0])
        job->payload[0] = malloc(payload_len ? payload_len : 1);
    if (!job->result || !job->payload[0])
        return 0;
    job->payload_len[0] = payload_len;
    fly_pack_init(pack, job->result, FLY_RESULT_CAP);
    fly_pack_map(pack, entries);
    return 1;
}

static int done(struct fly_job *job, const struct fly_pack *pack)
{
    job->result_len = pack->len;
    job->n_payloads = 1;
    job->ok = 1;
    return 1;
}

/* ---- image.get ----------------------------------------------------------------------------------- */

static enum fly_refusal int_or(struct fly_value args, const char *key, int64_t lo, int64_t hi, int64_t fallback,
                               int32_t *out)
{
    int64_t number = fallback;
    enum fly_refusal why = has(args, key) ? fly_arg_int(args, key, lo, hi, &number) : FLY_REFUSE_NONE;

    *out = (int32_t)number;
    return why;
}

/* 1: answered, with words for what is wrong. */
static int begin_image(struct fly_sweep *s, struct fly_session *session, struct fly_job *job)
{
    const struct fly_grid *grid = fly_engine_grid(fly_session_engine(session));
    struct fly_value args = job->request.args;
    struct fly_rect *r = &s->rect;
    enum fly_refusal why;
    int64_t count;

    if (fly_session_facts(session)->plan.image < 1) {
        fly_fail(FLY_ERANGE, "this session has no image");
        return refused(job, "bad_value");
    }
    why = int_or(args, "y0_px", 0, grid->height_px - 1, 0, &r->y0);
    if (why == FLY_REFUSE_NONE)
        why = int_or(args, "x0_px", 0, grid->width_px - 1, 0, &r->x0);
    if (why == FLY_REFUSE_NONE)
        why = int_or(args, "h", 1, grid->height_px - r->y0, grid->height_px - r->y0, &r->h);
    if (why == FLY_REFUSE_NONE)
        why = int_or(args, "w", 1, grid->width_px - r->x0, grid->width_px - r->x0, &r->w);
    if (why == FLY_REFUSE_NONE)
        why = int_or(args, "step", 1, STEP_MAX, 1, &s->step);
    if (why != FLY_REFUSE_NONE)
        return refused_why(job, why);
    s->w = (r->w + s->step - 1) / s->step;
    count = (int64_t)((r->h + s->step - 1) / s->step) * s->w;
    if (count > NUMBERS_MAX) {
        fly_fail(FLY_ERANGE, "args.step: %d makes %lld numbers, at most %d are given: take a part, or a larger step",
                 (int)s->step, (long long)count, NUMBERS_MAX);
        return refused(job, "bad_value");
    }
    job->payload_len[0] = (size_t)count * sizeof(float);
    job->payload[0] = malloc(job->payload_len[0]);
    s->row = malloc((size_t)r->w * sizeof *s->row);
    s->sum = calloc((size_t)s->w, sizeof *s->sum);
    s->count = calloc((size_t)s->w, sizeof *s->count);
    return job->payload[0] && s->row && s->sum && s->count ? 0 : no_memory(job);
}

static void add_row(struct fly_sweep *s)
{
    for (int32_t x = 0; x < s->rect.w; x++)
        if (!isnan(s->row[x])) {
            s->sum[x / s->step] += (double)s->row[x];
            s->count[x / s->step]++;
        }
}

static void end_block_row(struct fly_sweep *s, float *out)
{
    for (int32_t x = 0; x < s->w; x++)
        out[x] = s->count[x] ? (float)(s->sum[x] / s->count[x]) : NAN;
    memset(s->sum, 0, (size_t)s->w * sizeof *s->sum);
    memset(s->count, 0, (size_t)s->w * sizeof *s->count);
}

static int answer_image(struct fly_sweep *s, struct fly_session *session, struct fly_job *job)
{
    struct fly_pack pack;
    double lo, hi;
    int known = fly_engine_range(fly_session_engine(session), &lo, &hi);

    if (!begin_result(job, &pack, 6, job->payload_len[0]))
        return no_memory(job);
    fly_pack_str(&pack, "shape");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, (s->rect.h + s->step - 1) / s->step);
    fly_pack_int(&pack, s->w);
    fly_pack_str(&pack, "step");
    fly_pack_int(&pack, s->step);
    fly_pack_str(&pack, "y0_px");
    fly_pack_int(&pack, s->rect.y0);
    fly_pack_str(&pack, "x0_px");
    fly_pack_int(&pack, s->rect.x0);
    fly_pack_str(&pack, "lo");
    fly_pack_f64(&pack, known ? lo : NAN); /* NaN goes out as nil */
    fly_pack_str(&pack, "hi");
    fly_pack_f64(&pack, known ? hi : NAN);
    return done(job, &pack);
}

static int step_image(struct fly_sweep *s, struct fly_session *session, struct fly_job *job)
{
    struct fly_engine *engine = fly_session_engine(session);
    int32_t rows = TURN_PX / s->rect.w + 1;

    for (; rows > 0 && s->next_px < s->rect.h; rows--) {
        struct fly_rect one = {s->rect.y0 + s->next_px, s->rect.x0, 1, s->rect.w};
        int32_t to = s->next_px / s->step;

        fly_engine_peek(engine, one, s->row);
        add_row(s);
        s->next_px++;
        if (s->next_px % s->step == 0 || s->next_px == s->rect.h)
            end_block_row(s, (float *)job->payload[0] + (size_t)to * (size_t)s->w);
    }
    return s->next_px == s->rect.h && answer_image(s, session, job);
}

/* ---- region.get ---------------------------------------------------------------------------------- */

/* Chips that a mark (K) stands at, in their order. */
static void list_marked(struct fly_sweep *s, const uint8_t *mark, int32_t n)
{
    for (int32_t k = 0; k < n; k++)
        if (mark[k])
            s->chips[s->n_chips++] = k;
}

static enum fly_refusal mark_chips(struct fly_value args, const struct fly_grid *grid, int32_t *scratch, uint8_t *mark)
{
    int32_t n;
    enum fly_refusal why =
        fly_arg_chips(args, "chips", grid->rows, grid->cols, scratch, fly_grid_chips(grid), &n);

    for (int32_t i = 0; why == FLY_REFUSE_NONE && i < n; i++)
        mark[scratch[i]] = 1;
    return why;
}

static enum fly_refusal mark_box(struct fly_value args, const struct fly_grid *grid, uint8_t *mark)
{
    struct fly_value list, key, item;
    struct fly_value_iter it = {0};
    int64_t box[4] = {-1, -1, 0, 0};
    int n = 0;

    if (!fly_value_get(args, "box", &list) || fly_value_kind(list) != FLY_KIND_ARRAY || fly_value_count(list) != 4) {
        fly_fail(FLY_ERANGE, "args.box: four integers are needed, [r0, c0, nr, nc] in chips");
        return FLY_REFUSE_BAD_TYPE;
    }
    while (fly_value_next(list, &it, &key, &item))
        if (!fly_value_int(item, &box[n++])) {
            fly_fail(FLY_ERANGE, "args.box: four integers are needed, [r0, c0, nr, nc] in chips");
            return FLY_REFUSE_BAD_TYPE;
        }
    if (box[0] < 0 || box[1] < 0 || box[2] < 1 || box[3] < 1 || box[0] >= grid->rows || box[1] >= grid->cols ||
        box[2] > grid->rows - box[0] || box[3] > grid->cols - box[1]) {
        fly_fail(FLY_ERANGE, "args.box: it leaves the grid of %d x %d chips, or is empty", (int)grid->rows,
                 (int)grid->cols);
        return FLY_REFUSE_BAD_VALUE;
    }
    for (int64_t r = box[0]; r < box[0] + box[2]; r++)
        memset(mark + r * grid->cols + box[1], 1, (size_t)box[3]);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal mark_class(struct fly_value args, struct fly_engine *engine, uint8_t *mark)
{
    const struct fly_support *support = fly_engine_support(engine);
    char name[FLY_CLASS_NAME_MAX + 1];
    enum fly_refusal why = fly_arg_str(args, "class", FLY_CLASS_NAME_MAX, name);
    int32_t id = why == FLY_REFUSE_NONE ? fly_support_find(support, name) : -1;

    if (why != FLY_REFUSE_NONE)
        return why;
    if (id < 0) {
        fly_fail(FLY_ERANGE, "args.class: there is no class called '%s'", name);
        return FLY_REFUSE_BAD_VALUE;
    }
    for (int32_t k = 0; k < support->n_chips; k++)
        mark[k] = support->class_of[k] == id;
    return FLY_REFUSE_NONE;
}

static enum fly_refusal mark_label(struct fly_value args, struct fly_session *session, uint8_t *mark)
{
    struct fly_map_view view;
    int64_t id;
    int map;
    enum fly_refusal why = fly_map_args(args, fly_session_facts(session), &map);

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_int(args, "id", INT32_MIN, INT32_MAX, &id);
    if (why != FLY_REFUSE_NONE)
        return why;
    fly_engine_map(fly_session_engine(session), fly_map_method(map), fly_map_modality(map), &view);
    for (int32_t k = 0; k < fly_grid_chips(fly_engine_grid(fly_session_engine(session))); k++)
        mark[k] = view.labels[k] == id;
    return FLY_REFUSE_NONE;
}

static enum fly_refusal mark_region(struct fly_sweep *s, struct fly_session *session, struct fly_value args,
                                    uint8_t *mark)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_grid *grid = fly_engine_grid(engine);

    if (has(args, "chips") + has(args, "box") + has(args, "class") + has(args, "method") != 1) {
        fly_fail(FLY_ERANGE, "args: one of chips, box, class, or method with modality and id is needed");
        return FLY_REFUSE_BAD_KEY;
    }
    if (has(args, "chips"))
        return mark_chips(args, grid, s->chips, mark);
    if (has(args, "box"))
        return mark_box(args, grid, mark);
    return has(args, "class") ? mark_class(args, engine, mark) : mark_label(args, session, mark);
}

static int begin_region(struct fly_sweep *s, struct fly_session *session, struct fly_job *job)
{
    struct fly_engine *engine = fly_session_engine(session);
    int32_t channels, n = fly_grid_chips(fly_engine_grid(engine));
    enum fly_refusal why;
    uint8_t *mark;

    if (!fly_engine_spectra(engine, &channels, NULL)) {
        fly_fail(FLY_ERANGE, "this session has no spectra");
        return refused(job, "bad_value");
    }
    s->chips = malloc((size_t)n * sizeof *s->chips);
    s->spectrum = calloc((size_t)channels, sizeof *s->spectrum);
    mark = calloc((size_t)n, 1);
    if (!s->chips || !s->spectrum || !mark) {
        free(mark);
        return no_memory(job);
    }
    why = mark_region(s, session, job->request.args, mark);
    if (why == FLY_REFUSE_NONE)
        list_marked(s, mark, n);
    free(mark);
    return why != FLY_REFUSE_NONE && refused_why(job, why);
}

static void pack_percent(struct fly_pack *pack, struct fly_engine *engine, const struct fly_sweep *s)
{
    struct fly_composition made;

    fly_pack_str(pack, "atomic_percent");
    if (!s->complete || fly_engine_compose(engine, s->spectrum, &made) < 0 || made.status == FLY_QUANTIFY_TOO_FEW) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, (uint32_t)made.n_elements);
    for (int32_t i = 0; i < made.n_elements; i++) {
        fly_pack_str(pack, fly_quantifier_line(fly_engine_quantifier(engine), i).symbol);
        fly_pack_map(pack, 2);
        fly_pack_str(pack, "value");
        fly_pack_f64(pack, made.percent[i]);
        fly_pack_str(pack, "sigma");
        fly_pack_f64(pack, made.sigma[i]);
    }
}

static int answer_region(struct fly_sweep *s, struct fly_session *session, struct fly_job *job)
{
    struct fly_engine *engine = fly_session_engine(session);
    struct fly_pack pack;
    uint64_t counts = 0;
    int32_t channels;

    fly_engine_spectra(engine, &channels, NULL);
    if (!begin_result(job, &pack, 6, (size_t)channels * sizeof(uint64_t)))
        return no_memory(job);
    memcpy(job->payload[0], s->spectrum, (size_t)channels * sizeof(uint64_t));
    for (int32_t e = 0; e < channels; e++)
        counts += s->spectrum[e];
    fly_pack_str(&pack, "chips");
    fly_pack_int(&pack, s->complete);
    fly_pack_str(&pack, "counts");
    fly_pack_uint(&pack, counts);
    pack_percent(&pack, engine, s);
    fly_sweep_pack_axis(&pack, session);
    return done(job, &pack);
}

static int step_region(struct fly_sweep *s, struct fly_session *session, struct fly_job *job)
{
    const uint8_t *measured;
    int32_t channels;
    const uint32_t *spectra = fly_engine_spectra(fly_session_engine(session), &channels, &measured);

    for (int32_t left = TURN_CHANNELS / channels + 1; left > 0 && s->next_chip < s->n_chips; left--) {
        int32_t k = s->chips[s->next_chip++];
        const uint32_t *from = spectra + (size_t)k * (size_t)channels;

        if (!measured[k])
            continue;
        s->complete++;
        for (int32_t e = 0; e < channels; e++)
            s->spectrum[e] += from[e];
    }
    return s->next_chip == s->n_chips && answer_region(s, session, job);
}

/* ---- the axis of spectra ------------------------------------------------------------------------- */

struct line_out {
    char name[16];
    double kev, weight;
};
enum { LINES_MAX = FLY_ELEMENTS_MAX * FLY_FAMILIES_MAX * FLY_FAMILY_LINES };

/* The main line has a name of its own; of the others the shell is what is known. */
static int32_t lines_of(const struct fly_element *element, double lo_kev, double hi_kev, struct line_out *out)
{
    int32_t n = 0;

    for (int32_t f = 0; f < element->n_families; f++) {
        const struct fly_eds_family *family = &element->families[f];
        double most = 0.0;

        for (int32_t i = 0; i < family->n_lines; i++)
            most = fmax(most, family->lines[i].weight);
        for (int32_t i = 0; i < family->n_lines; i++) {
            const struct fly_eds_line *line = &family->lines[i];

            if (line->kev < lo_kev || line->kev > hi_kev || line->weight < LINE_LEAST * most)
                continue;
            snprintf(out[n].name, sizeof out[n].name, "%.4s_%.*s", element->symbol, i ? 1 : 4, family->name);
            out[n].kev = line->kev;
            out[n++].weight = line->weight / most;
        }
    }
    return n;
}

static int32_t all_lines(struct fly_session *session, struct line_out *out)
{
    const struct fly_plan *plan = &fly_session_facts(session)->plan;
    const struct fly_quantifier *quantifier = fly_engine_quantifier(fly_session_engine(session));
    const struct fly_element *elements;
    enum fly_line_set set = fly_session_options(session)->eds.line_table == 0 ? FLY_LINES_GOLDEN : FLY_LINES_PRODUCT;
    double lo = plan->ev_offset / 1e3, hi = lo + plan->ev_per_channel * plan->n_channels / 1e3;
    int32_t n_elements = 0, n = 0;

    fly_elements(set, &elements);
    if (quantifier)
        fly_engine_percent(fly_session_engine(session), &n_elements, NULL);
    for (int32_t i = 0; i < n_elements; i++) {
        int32_t at = fly_element_find(set, fly_quantifier_line(quantifier, i).symbol);

        if (at >= 0)
            n += lines_of(&elements[at], lo, hi, out + n);
    }
    return n;
}

void fly_sweep_pack_axis(struct fly_pack *pack, struct fly_session *session)
{
    const struct fly_plan *plan = &fly_session_facts(session)->plan;
    struct line_out lines[LINES_MAX];
    int32_t n = plan->n_segments ? all_lines(session, lines) : 0;

    fly_pack_str(pack, "ev_per_channel");
    fly_pack_f64(pack, plan->n_segments ? plan->ev_per_channel : NAN); /* NaN goes out as nil */
    fly_pack_str(pack, "ev_offset");
    fly_pack_f64(pack, plan->n_segments ? plan->ev_offset : NAN);
    fly_pack_str(pack, "lines");
    fly_pack_array(pack, (uint32_t)n);
    for (int32_t i = 0; i < n; i++) {
        fly_pack_map(pack, 3);
        fly_pack_str(pack, "name");
        fly_pack_str(pack, lines[i].name);
        fly_pack_str(pack, "kev");
        fly_pack_f64(pack, lines[i].kev);
        fly_pack_str(pack, "weight");
        fly_pack_f64(pack, lines[i].weight);
    }
}

/* ---- turns --------------------------------------------------------------------------------------- */

int fly_sweep_step(struct fly_sweep *sweep, struct fly_session *session, struct fly_job *job)
{
    int image = strcmp(job->request.op, "image.get") == 0, over;

    if (!sweep->begun) {
        sweep->begun = 1;
        over = image ? begin_image(sweep, session, job) : begin_region(sweep, session, job);
    } else {
        over = image ? step_image(sweep, session, job) : step_region(sweep, session, job);
    }
    if (over)
        fly_sweep_fini(sweep);
    return over;
}
