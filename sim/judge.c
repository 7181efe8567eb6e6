#include "sim/judge.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/agreement.h"
#include "stream/disk.h"

enum { MAPS_MAX = 16, CLASSES_MAX = 64, HISTORY_MAX = 1 << 20 };

/* One (method, modality) as last known. */
struct follow {
    char method[32], modality[32];
    uint64_t seq;      /* of the map in labels; 0: no keyframe yet */
    int32_t *labels;   /* (K) */
    int32_t last;      /* index of its newest score, -1: none */
    struct fly_clusters_score *clusters; /* as last told, NULL: never */
};

struct fly_judge {
    const struct fly_specimen *specimen;
    char session[FLY_SESSION_MAX + 1];
    struct fly_truth *truth; /* NULL until the start was heard */
    struct follow maps[MAPS_MAX];
    int32_t n_maps;
    struct fly_score *scores;
    int32_t n_scores, cap_scores;
    int32_t *pair;           /* (2, K): truth and label of the labelled chips */
    uint64_t missed;
    int64_t start_t_ns;      /* of the last start heard */
};

int fly_judge_open(struct fly_judge **out, const struct fly_specimen *specimen, const char *session)
{
    struct fly_judge *judge = calloc(1, sizeof *judge);

    if (!judge)
        return fly_fail(FLY_ENOMEM, "judge: no memory");
    FLY_ASSERT(strlen(session) <= FLY_SESSION_MAX);
    judge->specimen = specimen;
    strcpy(judge->session, session);
    *out = judge;
    return FLY_OK;
}

static void forget_maps(struct fly_judge *judge)
{
    for (int32_t i = 0; i < judge->n_maps; i++) {
        free(judge->maps[i].labels);
        free(judge->maps[i].clusters);
    }
    judge->n_maps = 0;
}

void fly_judge_close(struct fly_judge **judge)
{
    if (!*judge)
        return;
    forget_maps(*judge);
    fly_truth_close(&(*judge)->truth);
    free((*judge)->scores);
    free((*judge)->pair);
    free(*judge);
    *judge = NULL;
}

static int read_ints(struct fly_value map, const char *key, int64_t *out, int32_t count)
{
    struct fly_value_iter it = {0};
    struct fly_value list, value;

    if (!fly_value_get(map, key, &list))
        return 0;
    if (count == 1)
        return fly_value_int(list, out) && *out >= 0 && *out <= FLY_SPECIMEN_SIDE_MAX;
    if (fly_value_kind(list) != FLY_KIND_ARRAY || fly_value_count(list) != (uint32_t)count)
        return 0;
    for (int32_t i = 0; i < count; i++)
        if (!fly_value_next(list, &it, NULL, &value) || !fly_value_int(value, &out[i]) || out[i] < 0 ||
            out[i] > FLY_SPECIMEN_SIDE_MAX)
            return 0;
    return 1;
}

/* Chips may be laid anew by a resumed session only in the same way; then what is known stands. */
static int hear_start(struct fly_judge *judge, const struct fly_published *message)
{
    int64_t grid[2], origin[2], chip, pitch;

    if (judge->truth)
        return FLY_OK;
    if (!read_ints(message->header, "grid_shape", grid, 2) || !read_ints(message->header, "chip_px", &chip, 1) ||
        !read_ints(message->header, "pitch_px", &pitch, 1) ||
        !read_ints(message->header, "origin_px", origin, 2))
        return fly_fail(FLY_EWIRE, "published start: grid_shape, chip_px, pitch_px or origin_px is missing or "
                        "wrong");
    int32_t origin_px[2] = {(int32_t)origin[0], (int32_t)origin[1]};
    int rc = fly_truth_open(&judge->truth, judge->specimen, (int32_t)chip, (int32_t)pitch, origin_px,
                            (int32_t)grid[0], (int32_t)grid[1]);

    if (rc < 0)
        return rc;
    judge->pair = malloc(2 * (size_t)judge->truth->rows * (size_t)judge->truth->cols * sizeof *judge->pair);
    if (!judge->pair) {
        fly_truth_close(&judge->truth);
        return fly_fail(FLY_ENOMEM, "judge: no memory for %lld x %lld chips", (long long)grid[0],
                        (long long)grid[1]);
    }
    return FLY_OK;
}

static struct follow *find_map(struct fly_judge *judge, const char *method, const char *modality)
{
    size_t chips = (size_t)judge->truth->rows * (size_t)judge->truth->cols;

    for (int32_t i = 0; i < judge->n_maps; i++)
        if (!strcmp(judge->maps[i].method, method) && !strcmp(judge->maps[i].modality, modality))
            return &judge->maps[i];
    int32_t *labels = judge->n_maps < MAPS_MAX ? malloc(chips * sizeof *labels) : NULL;

    if (!labels)
        return NULL;
    struct follow *follow = &judge->maps[judge->n_maps++];

    *follow = (struct follow){.labels = labels, .last = -1};
    strcpy(follow->method, method);
    strcpy(follow->modality, modality);
    return follow;
}

/* Which truth class each id of the map is called, -1: none of them. */
struct naming {
    int32_t count;
    struct {
        int64_t id;
        int32_t phase;
    } items[CLASSES_MAX];
    int known; /* one of them at least */
};

static void read_naming(struct naming *naming, struct fly_value classes)
{
    struct fly_value_iter it = {0};
    struct fly_value entry;
    const char *name;
    char color[8];
    size_t len;

    *naming = (struct naming){0};
    while (naming->count < CLASSES_MAX && fly_value_next(classes, &it, NULL, &entry)) {
        int64_t id;

        if (!fly_map_class(entry, &id, &name, &len, color))
            continue;
        naming->items[naming->count].id = id;
        naming->items[naming->count].phase = -1;
        for (int p = 0; p < FLY_PHASES; p++) {
            const char *truth = fly_phase_name((enum fly_phase)p);

            if (strlen(truth) == len && !memcmp(truth, name, len)) {
                naming->items[naming->count].phase = p;
                naming->known = 1;
            }
        }
        naming->count++;
    }
}

static int32_t phase_named(const struct naming *naming, int64_t id)
{
    for (int32_t i = 0; i < naming->count; i++)
        if (naming->items[i].id == id)
            return naming->items[i].phase;
    return -1;
}

static int keep_score(struct fly_judge *judge, struct follow *follow, const struct fly_score *score)
{
    if (judge->n_scores == judge->cap_scores) {
        int32_t cap = judge->cap_scores ? 2 * judge->cap_scores : 256;
        struct fly_score *more = cap <= HISTORY_MAX ? realloc(judge->scores, (size_t)cap * sizeof *more)
                                                    : NULL;

        if (!more)
            return fly_fail(FLY_ENOMEM, "judge: no room for more than %d scores", judge->cap_scores);
        judge->scores = more;
        judge->cap_scores = cap;
    }
    follow->last = judge->n_scores;
    judge->scores[judge->n_scores++] = *score;
    return FLY_OK;
}

static int score_map(struct fly_judge *judge, struct follow *follow, const struct fly_map_read *map,
                     double time_s, double scanned)
{
    int32_t chips = judge->truth->rows * judge->truth->cols, labelled = 0, right = 0;
    int32_t *truth = judge->pair, *label = judge->pair + chips;
    struct naming naming;
    struct fly_score score = {.time_s = time_s, .scanned = scanned, .seq = follow->seq, .final = map->final,
                              .accuracy = NAN, .accuracy_all = NAN, .ami = NAN, .ari = NAN};

    strcpy(score.method, follow->method);
    strcpy(score.modality, follow->modality);
    read_naming(&naming, map->classes);
    for (int32_t k = 0; k < chips; k++) {
        if (follow->labels[k] < 0)
            continue;
        truth[labelled] = judge->truth->label[k];
        label[labelled++] = follow->labels[k];
        right += phase_named(&naming, follow->labels[k]) == judge->truth->label[k];
    }
    score.labelled = (double)labelled / chips;
    if (naming.known) {
        score.accuracy = labelled ? (double)right / labelled : NAN;
        score.accuracy_all = (double)right / chips;
    }
    if (labelled) {
        score.ami = fly_ami(truth, label, labelled);
        score.ari = fly_ari(truth, label, labelled);
    }
    return keep_score(judge, follow, &score);
}

static int hear_map(struct fly_judge *judge, const struct fly_published *message, double time_s,
                    double scanned)
{
    struct fly_map_read map;
    int rc = fly_map_decode(&map, message->header, message->payloads, message->n_payloads);

    if (rc < 0)
        return rc;
    if (!judge->truth) {
        judge->missed++; /* a map before its start: the keyframe comes again */
        return FLY_OK;
    }
    if (map.full_shape[0] != judge->truth->rows || map.full_shape[1] != judge->truth->cols)
        return fly_fail(FLY_EWIRE, "map of %d x %d chips in a session of %d x %d", map.full_shape[0],
                        map.full_shape[1], judge->truth->rows, judge->truth->cols);
    struct follow *follow = find_map(judge, map.method, map.modality);

    if (!follow)
        return fly_fail(FLY_ENOMEM, "judge: no room for the map %s/%s", map.method, map.modality);
    if (message->seq <= follow->seq)
        return FLY_OK; /* a keyframe repeated for someone who came late */
    if (!map.has_base || (map.base_seq && map.base_seq != follow->seq)) {
        judge->missed++;
        return FLY_OK;
    }
    for (int32_t i = 0; i < map.bbox[2]; i++)
        memcpy(follow->labels + (size_t)(map.bbox[0] + i) * (size_t)judge->truth->cols + map.bbox[1],
               map.labels + (size_t)i * (size_t)map.bbox[3] * sizeof(int32_t),
               (size_t)map.bbox[3] * sizeof(int32_t));
    follow->seq = message->seq;
    return score_map(judge, follow, &map, time_s, scanned);
}

/* They come after the map that they are of. */
static int hear_clusters(struct fly_judge *judge, const struct fly_published *message, double time_s, double scanned)
{
    struct fly_clusters_read clusters;
    struct fly_clusters_score score;
    struct follow *follow;
    int rc = fly_clusters_decode(&clusters, message->header);

    if (rc < 0 || !judge->truth)
        return rc;
    follow = find_map(judge, clusters.method, clusters.modality);
    if (follow && !follow->clusters)
        follow->clusters = calloc(1, sizeof *follow->clusters);
    if (!follow || !follow->clusters)
        return fly_fail(FLY_ENOMEM, "judge: no room for the clusters of %s/%s", clusters.method, clusters.modality);
    if (message->seq <= follow->clusters->seq)
        return FLY_OK; /* repeated for someone who came late */
    rc = fly_clusters_judge(&score, &clusters, judge->specimen, judge->truth, follow->seq ? follow->labels : NULL);
    if (rc < 0)
        return rc;
    score.time_s = time_s;
    score.scanned = scanned;
    score.seq = message->seq;
    *follow->clusters = score;
    return FLY_OK;
}

int fly_judge_hear(struct fly_judge *judge, const struct fly_published *message, double time_s,
                   double scanned)
{
    if (strcmp(message->session, judge->session) != 0)
        return FLY_OK;
    if (!strcmp(message->type, "start")) {
        struct fly_value resumed;
        int yes = 0;

        /* A restarted Flyback counts its maps from 1 again. The same start repeated for someone who
         * came late says nothing new. */
        if (message->t_ns != judge->start_t_ns && fly_value_get(message->header, "resumed", &resumed) &&
            fly_value_bool(resumed, &yes) && yes)
            for (int32_t i = 0; i < judge->n_maps; i++) {
                judge->maps[i].seq = 0;
                if (judge->maps[i].clusters)
                    judge->maps[i].clusters->seq = 0;
            }
        judge->start_t_ns = message->t_ns;
        return hear_start(judge, message);
    }
    if (!strcmp(message->type, "clusters"))
        return hear_clusters(judge, message, time_s, scanned);
    return strcmp(message->type, "map") ? FLY_OK : hear_map(judge, message, time_s, scanned);
}

int32_t fly_judge_scores(const struct fly_judge *judge, const struct fly_score **scores)
{
    *scores = judge->scores;
    return judge->n_scores;
}

int32_t fly_judge_last(const struct fly_judge *judge, struct fly_score *scores, int32_t cap)
{
    int32_t count = 0;

    for (int32_t i = 0; i < judge->n_maps; i++)
        if (judge->maps[i].last >= 0) {
            if (count < cap)
                scores[count] = judge->scores[judge->maps[i].last];
            count++;
        }
    return count;
}

int32_t fly_judge_clusters(const struct fly_judge *judge, const struct fly_clusters_score **scores, int32_t cap)
{
    int32_t count = 0;

    for (int32_t i = 0; i < judge->n_maps; i++)
        if (judge->maps[i].clusters) {
            if (count < cap)
                scores[count] = judge->maps[i].clusters;
            count++;
        }
    return count;
}

uint64_t fly_judge_missed(const struct fly_judge *judge)
{
    return judge->missed;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *score_json(const struct fly_score *s)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:b, s:o, s:o, s:o, s:o, s:o}", "method", s->method, "modality",
                     s->modality, "time_s", number(s->time_s), "scanned", number(s->scanned), "seq",
                     (json_int_t)s->seq, "final", s->final, "labelled", number(s->labelled), "accuracy",
                     number(s->accuracy), "accuracy_all", number(s->accuracy_all), "ami", number(s->ami), "ari",
                     number(s->ari));
}

static json_t *phase_json(int32_t phase)
{
    return phase < 0 ? json_null() : json_string(fly_phase_name((enum fly_phase)phase));
}

static json_t *yes_no(int value)
{
    return value < 0 ? json_null() : json_boolean(value);
}

static json_t *cluster_json(const struct fly_cluster_score *c)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
                     (json_int_t)c->id, "chips", (json_int_t)c->chips, "phase", phase_json(c->phase), "purity", number(c->purity),
                     "square_phase", phase_json(c->square_phase), "square_purity", number(c->square_purity),
                     "crystalline", yes_no(c->told), "right", yes_no(c->right), "d_nm", number(c->d_nm), "d_sigma_nm",
                     number(c->d_sigma_nm), "d_true_nm", number(c->d_true_nm), "d_error_percent",
                     number(c->d_error_percent), "d_error_sigma", number(c->d_error_sigma), "percent_error",
                     number(c->percent_error), "percent_sigma", number(c->percent_sigma));
}

static json_t *clusters_json(const struct fly_clusters_score *s)
{
    struct fly_clusters_sum sum = fly_clusters_sum(s);
    json_t *list = json_array();

    for (int32_t c = 0; c < s->n; c++)
        json_array_append_new(list, cluster_json(&s->cluster[c]));
    return json_pack("{s:o, s:o, s:I, s:b, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "time_s", number(s->time_s), "scanned",
                     number(s->scanned), "seq", (json_int_t)s->seq, "final", s->final, "lattices_told", sum.told,
                     "lattices_right", sum.right, "d_error_percent", number(sum.d_error_percent), "d_error_sigma",
                     number(sum.d_error_sigma), "percent_error", number(sum.percent_error), "percent_sigma",
                     number(sum.percent_sigma), "clusters", list);
}

/* object[method][modality] = value, which is taken. */
static void set_map(json_t *object, const struct follow *follow, json_t *value)
{
    if (!json_object_get(object, follow->method))
        json_object_set_new(object, follow->method, json_object());
    json_object_set_new(json_object_get(object, follow->method), follow->modality, value);
}

int fly_judge_write(const struct fly_judge *judge, const char *path)
{
    json_t *history = json_array(), *last = json_object(), *clusters = json_object();

    for (int32_t i = 0; i < judge->n_scores; i++)
        json_array_append_new(history, score_json(&judge->scores[i]));
    for (int32_t i = 0; i < judge->n_maps; i++) {
        const struct follow *follow = &judge->maps[i];

        if (follow->last >= 0)
            set_map(last, follow, score_json(&judge->scores[follow->last]));
        if (follow->clusters)
            set_map(clusters, follow, clusters_json(follow->clusters));
    }
    json_t *json = json_pack("{s:s, s:[i,i], s:I, s:o, s:o, s:o}", "session", judge->session, "grid_shape",
                             judge->truth ? judge->truth->rows : 0, judge->truth ? judge->truth->cols : 0,
                             "missed", (json_int_t)judge->missed, "final", last, "clusters", clusters,
                             "history", history);
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) : NULL;
    int rc = text ? fly_file_write(path, text, strlen(text)) : fly_fail(FLY_ENOMEM, "%s: no memory", path);

    free(text);
    json_decref(json);
    return rc;
}
