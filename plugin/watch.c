#include "plugin/watch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/label/fewshot.h"
#include "plugin/palette.h"

enum { CHIPS_MAX = 1 << 24 }; /* 4096 x 4096: a scan of 16384 px in chips of 4 */

static void forget_numbers(struct fly_view *view)
{
    view->lines_s = view->p50_ms = view->p99_ms = NAN;
    view->ami[0] = view->ami[1] = view->ami[2] = view->threshold = view->modularity = NAN;
    view->leads[0] = '\0';
    view->has_reliability = 0;
    view->backlog_chips = view->gaps = view->undurable = -1;
}

void fly_watch_init(struct fly_watch *watch, const char *method, const char *modality)
{
    memset(watch, 0, sizeof *watch);
    forget_numbers(&watch->view);
    snprintf(watch->view.method, sizeof watch->view.method, "%s", method);
    snprintf(watch->view.modality, sizeof watch->view.modality, "%s", modality);
}

void fly_watch_fini(struct fly_watch *watch)
{
    free(watch->labels);
    memset(watch, 0, sizeof *watch);
}

/* An empty map of that shape. */
static int shape_map(struct fly_watch *watch, int32_t rows, int32_t cols)
{
    size_t count = (size_t)rows * (size_t)cols;
    int32_t *labels;

    if (rows < 1 || cols < 1 || count > CHIPS_MAX)
        return fly_fail(FLY_EWIRE, "a grid of %d x %d chips, at most %d are drawn", (int)rows, (int)cols,
                        CHIPS_MAX);
    labels = malloc(count * sizeof *labels);
    if (!labels)
        return fly_fail(FLY_ENOMEM, "no memory for a map of %d x %d chips", (int)rows, (int)cols);
    for (size_t k = 0; k < count; k++)
        labels[k] = FLY_LABEL_PENDING;
    free(watch->labels);
    watch->labels = labels;
    watch->view.labels = labels;
    watch->view.map_rows = rows;
    watch->view.map_cols = cols;
    watch->map_seq = 0;
    return FLY_OK;
}

/* A message of another session than ours begins a new view. */
static void follow(struct fly_watch *watch, const char *session)
{
    struct fly_view *view = &watch->view;

    if (strcmp(view->session, session) == 0)
        return;
    snprintf(view->session, sizeof view->session, "%s", session);
    forget_numbers(view);
    view->dose.there = 0;
    view->final = 0;
    view->n_classes = 0;
    view->map_rows = view->map_cols = 0;
    view->labels = NULL;
    free(watch->labels);
    watch->labels = NULL;
    watch->map_seq = 0;
    watch->wants_map = watch->started = watch->stopped = watch->complete = watch->has_rate = 0;
}

static int take_start(struct fly_watch *watch, const struct fly_published *msg)
{
    struct fly_value shape, item, key;
    struct fly_value_iter it = {0};
    int64_t size[2] = {0, 0};
    int n = 0;

    if (!fly_value_get(msg->header, "grid_shape", &shape) || fly_value_kind(shape) != FLY_KIND_ARRAY)
        return fly_fail(FLY_EWIRE, "start: grid_shape is missing");
    for (; n < 2 && fly_value_next(shape, &it, &key, &item); n++) {
        if (!fly_value_int(item, &size[n]) || size[n] < 1 || size[n] > 16384)
            return fly_fail(FLY_EWIRE, "start: grid_shape[%d] is no size", n);
    }
    follow(watch, msg->session);
    if (watch->started) /* a repeat for a late joiner */
        return FLY_OK;
    watch->started = 1;
    if (watch->map_seq > 0) /* maps came first and know better */
        return FLY_OK;
    return shape_map(watch, (int32_t)size[0], (int32_t)size[1]);
}

static void take_classes(struct fly_view *view, struct fly_value classes)
{
    struct fly_value item, key;
    struct fly_value_iter it = {0};

    view->n_classes = 0;
    while (view->n_classes < FLY_VIEW_CLASSES_MAX && fly_value_next(classes, &it, &key, &item)) {
        struct fly_view_class *c = &view->classes[view->n_classes];
        int64_t id;
        const char *name;
        size_t len;
        char color[8];

        if (!fly_map_class(item, &id, &name, &len, color) || id < 0 || id > INT32_MAX)
            continue;
        c->id = (int32_t)id;
        if (!fly_colour_parse(color, strlen(color), &c->colour))
            c->colour = fly_palette_colour(c->id);
        snprintf(c->name, sizeof c->name, "%.*s", (int)(len < FLY_VIEW_NAME_MAX ? len : FLY_VIEW_NAME_MAX), name);
        view->n_classes++;
    }
}

/* keyframe: take it whole whatever it builds on. */
static int take_map(struct fly_watch *watch, const struct fly_map_read *map, uint64_t seq, int keyframe)
{
    struct fly_view *view = &watch->view;
    int rc;

    if (strcmp(map->method, view->method) != 0 || strcmp(map->modality, view->modality) != 0)
        return FLY_OK;
    if (seq <= watch->map_seq)
        return FLY_OK; /* we have it, or a newer one */
    if (!keyframe && map->base_seq != watch->map_seq) {
        watch->wants_map = 1;
        return FLY_OK;
    }
    if (map->full_shape[0] != view->map_rows || map->full_shape[1] != view->map_cols || !watch->labels) {
        rc = shape_map(watch, map->full_shape[0], map->full_shape[1]);
        if (rc < 0)
            return rc;
    }
    for (int32_t r = 0; r < map->bbox[2]; r++)
        memcpy(watch->labels + (size_t)(map->bbox[0] + r) * (size_t)view->map_cols + (size_t)map->bbox[1],
               map->shown + (size_t)r * (size_t)map->bbox[3] * 4, (size_t)map->bbox[3] * 4);
    take_classes(view, map->classes);
    view->final = map->final;
    watch->map_seq = seq;
    watch->changed = 1;
    if (keyframe)
        watch->wants_map = 0;
    if (view->final && watch->stopped)
        watch->complete = 1;
    return FLY_OK;
}

int fly_watch_take_map(struct fly_watch *watch, struct fly_value header, const struct fly_part *payloads,
                       int32_t n_payloads)
{
    struct fly_map_read map;
    struct fly_value value;
    const char *session;
    size_t len;
    uint64_t seq;
    int rc = fly_map_decode(&map, header, payloads, n_payloads);

    if (rc < 0)
        return rc;
    if (!fly_value_get(header, "seq", &value) || !fly_value_uint(value, &seq))
        return fly_fail(FLY_EWIRE, "map.get: the map has no seq");
    if (!fly_value_get(header, "session", &value) || !fly_value_str(value, &session, &len))
        return fly_fail(FLY_EWIRE, "map.get: the map has no session");
    if (len != strlen(watch->view.session) || memcmp(session, watch->view.session, len) != 0)
        return FLY_OK; /* the answer came after the next session began */
    return take_map(watch, &map, seq, 1);
}

/* Messages of {stream: seq}, all streams together. */
static uint64_t sum_streams(struct fly_value header, const char *key)
{
    struct fly_value map, name, value;
    struct fly_value_iter it = {0};
    uint64_t sum = 0, seq;

    if (!fly_value_get(header, key, &map) || fly_value_kind(map) != FLY_KIND_MAP)
        return 0;
    while (fly_value_next(map, &it, &name, &value))
        sum += fly_value_uint(value, &seq) ? seq : 0;
    return sum;
}

static int counter(struct fly_value header, const char *name, uint64_t *out)
{
    struct fly_value counters, value;

    return fly_value_get(header, "counters", &counters) && fly_value_kind(counters) == FLY_KIND_MAP &&
           fly_value_get(counters, name, &value) && fly_value_uint(value, out);
}

static void take_rate(struct fly_watch *watch, const struct fly_published *msg)
{
    uint64_t lines;
    int64_t passed = msg->t_ns - watch->rate_t_ns;

    if (!counter(msg->header, "lines", &lines))
        return;
    if (watch->has_rate && lines >= watch->rate_lines && passed >= 900000000 && passed < 60000000000)
        watch->view.lines_s = (double)(lines - watch->rate_lines) / ((double)passed * 1e-9);
    if (!watch->has_rate || passed >= 900000000 || passed < 0 || lines < watch->rate_lines) {
        watch->rate_t_ns = msg->t_ns;
        watch->rate_lines = lines;
        watch->has_rate = 1;
    }
}

static void take_heartbeat(struct fly_watch *watch, const struct fly_published *msg)
{
    struct fly_view *view = &watch->view;
    struct fly_value value;
    const char *text;
    size_t len;
    uint64_t gaps, last, durable;

    if (msg->session[0])
        follow(watch, msg->session);
    watch->heard = 1;
    if (fly_value_get(msg->header, "state", &value) && fly_value_str(value, &text, &len))
        snprintf(view->state, sizeof view->state, "%.*s", (int)(len < 15 ? len : 15), text);
    if (fly_value_get(msg->header, "backlog_chips", &value))
        fly_value_int(value, &view->backlog_chips);
    if (counter(msg->header, "gap", &gaps))
        view->gaps = (int64_t)gaps;
    last = sum_streams(msg->header, "last_seq");
    durable = sum_streams(msg->header, "durable_seq");
    view->undurable = last == 0 ? -1 : last > durable ? (int64_t)(last - durable) : 0;
    take_rate(watch, msg);
    watch->changed = 1;
}

/* {p50, p99} of latency_ms, which metrics and stop both have; what is nil stays. */
static void take_latency(struct fly_view *view, struct fly_value header)
{
    struct fly_value latency, value;
    double ms;

    if (!fly_value_get(header, "latency_ms", &latency) || fly_value_kind(latency) != FLY_KIND_MAP)
        return;
    if (fly_value_get(latency, "p50", &value) && fly_value_f64(value, &ms))
        view->p50_ms = ms;
    if (fly_value_get(latency, "p99", &value) && fly_value_f64(value, &ms))
        view->p99_ms = ms;
}

/* header[key][name], NaN where it is nil or not there. */
static double number_at(struct fly_value header, const char *key, const char *name, struct fly_value *at)
{
    struct fly_value map;
    double number;

    if (!fly_value_get(header, key, &map) || fly_value_kind(map) != FLY_KIND_MAP || !fly_value_get(map, name, at) ||
        !fly_value_f64(*at, &number))
        return NAN;
    return number;
}

/* How the modalities agree by our method, and what its graph is like. */
static void take_agreement(struct fly_view *view, struct fly_value header)
{
    static const char *const pairs[] = {"haadf_eds", "haadf_ens", "eds_ens"};
    struct fly_value methods, mine, value;
    const char *text;
    size_t len;

    view->leads[0] = '\0';
    for (int p = 0; p < 3; p++)
        view->ami[p] = NAN;
    if (fly_value_get(header, "ami", &methods) && fly_value_kind(methods) == FLY_KIND_MAP &&
        fly_value_get(methods, view->method, &mine) && fly_value_kind(mine) == FLY_KIND_MAP)
        for (int p = 0; p < 3; p++)
            if (fly_value_get(mine, pairs[p], &value) && !fly_value_f64(value, &view->ami[p]))
                view->ami[p] = NAN;
    if (fly_value_get(header, "leads", &methods) && fly_value_kind(methods) == FLY_KIND_MAP &&
        fly_value_get(methods, view->method, &value) && fly_value_str(value, &text, &len))
        snprintf(view->leads, sizeof view->leads, "%.*s", (int)(len < 15 ? len : 15), text);
    if (strcmp(view->method, "community") != 0)
        return;
    view->threshold = number_at(header, "threshold", view->modality, &value);
    view->modularity = number_at(header, "modularity", view->modality, &value);
}

/* How well both repeat themselves, as our method compares them. */
static void take_reliability(struct fly_view *view, struct fly_value header)
{
    struct fly_value uses, mine, haadf, eds;

    view->has_reliability = fly_value_get(header, "reliability", &uses) && fly_value_kind(uses) == FLY_KIND_MAP &&
                            fly_value_get(uses, view->method, &mine) && fly_value_kind(mine) == FLY_KIND_MAP &&
                            fly_value_get(mine, "haadf", &haadf) && fly_value_f64(haadf, &view->reliability[0]) &&
                            fly_value_get(mine, "eds", &eds) && fly_value_f64(eds, &view->reliability[1]);
}

/* map[key] as a text of less than cap bytes; "" where it is none. */
static void text_at(char *out, size_t cap, struct fly_value map, const char *key)
{
    struct fly_value value;
    const char *text;
    size_t len;

    out[0] = '\0';
    if (fly_value_get(map, key, &value) && fly_value_str(value, &text, &len))
        snprintf(out, cap, "%.*s", (int)(len < cap ? len : cap - 1), text);
}

void fly_watch_take_status(struct fly_watch *watch, struct fly_value result)
{
    struct fly_view_steer steer = {.expected_error = NAN};
    struct fly_value map, value;
    char guard[8];

    if (fly_value_get(result, "steer", &map) && fly_value_kind(map) == FLY_KIND_MAP) {
        text_at(steer.mode, sizeof steer.mode, map, "mode");
        text_at(steer.policy, sizeof steer.policy, map, "policy");
        text_at(steer.stop, sizeof steer.stop, map, "stop");
        if (!fly_value_get(map, "held", &value) || !fly_value_bool(value, &steer.held))
            steer.held = 0;
        text_at(guard, sizeof guard, map, "guard_held");
        steer.held |= guard[0] != '\0';
        if (!fly_value_get(map, "pending", &value) || !fly_value_int(value, &steer.pending))
            steer.pending = 0;
        if (!fly_value_get(map, "expected_error", &value) || !fly_value_f64(value, &steer.expected_error))
            steer.expected_error = NAN;
        steer.there = steer.mode[0] != '\0' && (strcmp(steer.mode, "off") != 0 || steer.held);
    }
    watch->view.steer = steer;
    watch->changed = 1;
}

static void take_dose(struct fly_watch *watch, const struct fly_published *msg)
{
    struct fly_dose_read read;

    if (strcmp(watch->view.session, msg->session) != 0 ||
        fly_dose_decode(&read, msg->header, msg->payloads, msg->n_payloads) < 0)
        return;
    watch->view.dose = (struct fly_view_dose){1, read.calibrated, read.mean, read.max};
    watch->changed = 1;
}

static void take_event(struct fly_view *view, struct fly_value header)
{
    const char *keys[] = {"level", "code", "text"}, *text;
    char part[3][160];
    size_t len;

    for (int i = 0; i < 3; i++) {
        struct fly_value value;

        part[i][0] = '\0';
        if (fly_value_get(header, keys[i], &value) && fly_value_str(value, &text, &len))
            snprintf(part[i], sizeof part[i], "%.*s", (int)(len < 159 ? len : 159), text);
    }
    snprintf(view->event, sizeof view->event, "%.10s %.40s: %.145s", part[0], part[1], part[2]);
}

static void take_stop(struct fly_watch *watch, const struct fly_published *msg)
{
    struct fly_value value;
    const char *text;
    size_t len;

    /* Outside a session of ours it is the one we have just heard of. */
    if (watch->view.session[0] && strcmp(watch->view.session, msg->session) != 0)
        return;
    follow(watch, msg->session);
    if (fly_value_get(msg->header, "exit_status", &value) && fly_value_str(value, &text, &len))
        snprintf(watch->exit_status, sizeof watch->exit_status, "%.*s", (int)(len < 15 ? len : 15), text);
    snprintf(watch->view.state, sizeof watch->view.state, "stopped");
    watch->view.backlog_chips = 0;
    take_latency(&watch->view, msg->header);
    watch->stopped = 1;
    watch->complete = watch->view.final;
    watch->changed = 1;
}

int fly_watch_take(struct fly_watch *watch, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_published msg;
    int rc = fly_published_decode(&msg, parts, n_parts);

    if (rc < 0)
        return rc;
    if (strcmp(msg.type, "start") == 0) {
        rc = take_start(watch, &msg);
        watch->changed = 1;
    } else if (strcmp(msg.type, "map") == 0) {
        struct fly_map_read map;

        rc = fly_map_decode(&map, msg.header, msg.payloads, msg.n_payloads);
        if (rc == FLY_OK) {
            follow(watch, msg.session);
            rc = take_map(watch, &map, msg.seq, map.has_base && map.base_seq == 0);
        }
    } else if (strcmp(msg.type, "heartbeat") == 0) {
        take_heartbeat(watch, &msg);
    } else if (strcmp(msg.type, "metrics") == 0) {
        take_latency(&watch->view, msg.header);
        take_agreement(&watch->view, msg.header);
        take_reliability(&watch->view, msg.header);
        watch->changed = 1;
    } else if (strcmp(msg.type, "event") == 0) {
        take_event(&watch->view, msg.header);
        watch->changed = 1;
    } else if (strcmp(msg.type, "dose") == 0) {
        take_dose(watch, &msg);
    } else if (strcmp(msg.type, "stop") == 0) {
        take_stop(watch, &msg);
    }
    return rc;
}
