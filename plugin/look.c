#include "plugin/look.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/maps.h"
#include "plugin/sweep.h"

enum { SIMILAR = 8 };

static void failed(struct fly_job *job, const char *code)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "%s", code);
    snprintf(job->message, sizeof job->message, "%s", fly_fail_text());
}

int fly_look_is_exact(const struct fly_job *job)
{
    int exact = 0;

    return strcmp(job->request.op, "map.get") == 0 &&
           fly_arg_bool(job->request.args, "exact", 0, &exact) == FLY_REFUSE_NONE && exact;
}

double fly_look_complete(struct fly_session *session)
{
    struct fly_engine *engine = fly_session_engine(session);
    int32_t chips = fly_grid_chips(fly_engine_grid(engine)), n = 0;
    const uint8_t *measured;

    if (fly_session_facts(session)->plan.image > 0)
        return fly_engine_coverage(engine);
    fly_engine_spectra(engine, NULL, &measured);
    for (int32_t k = 0; k < chips; k++)
        n += measured[k];
    return (double)n / (double)chips;
}

enum fly_refusal fly_map_args(struct fly_value args, const struct fly_session_info *info, int *map)
{
    static const char *const methods[] = {"fewshot", "community", "ward"};
    static const char *const modalities[] = {"haadf", "eds", "ensemble"};
    int32_t method, m;
    enum fly_refusal why = fly_arg_word(args, "method", methods, FLY_METHODS, &method);

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_word(args, "modality", modalities, FLY_MODALITIES, &m);
    if (why != FLY_REFUSE_NONE)
        return why;
    *map = fly_map_index((enum fly_method)method, (enum fly_modality)m);
    if (!fly_maps_has(info, (enum fly_modality)m)) {
        fly_fail(FLY_ERANGE, "args.modality: this session has no %s map", modalities[m]);
        return FLY_REFUSE_BAD_VALUE;
    }
    if (!fly_maps_has_map(info, *map)) {
        if (fly_map_method(*map) == FLY_COMMUNITY)
            fly_fail(FLY_ERANGE, "args.method: this session has no communities: it has more chips than "
                                 "graph.chips_max, %d", (int)info->options.graph.chips_max);
        else
            fly_fail(FLY_ERANGE, "args.method: this session has no hierarchies: it has more chips than "
                                 "tree.chips_max, %d", (int)info->options.tree.chips_max);
        return FLY_REFUSE_BAD_VALUE;
    }
    return FLY_REFUSE_NONE;
}

int fly_look_give_map(struct fly_job *job, const struct fly_pub_id *id, struct fly_map_out *out)
{
    struct fly_part payloads[FLY_PUB_MAP_PAYLOADS];
    struct fly_pack pack;
    int32_t n;

    job->result = malloc(FLY_HEADER_MAX);
    if (!job->result)
        return fly_fail(FLY_ENOMEM, "no memory for the reply");
    fly_pack_init(&pack, job->result, FLY_HEADER_MAX);
    fly_pub_map_header(&pack, id, &out->map);
    job->result_len = pack.len;
    n = fly_pub_map_payloads(payloads, &out->map);
    for (int32_t i = 0; i < n; i++) {
        job->payload[i] = malloc(payloads[i].len ? payloads[i].len : 1);
        if (!job->payload[i])
            return fly_fail(FLY_ENOMEM, "no memory for the reply");
        memcpy(job->payload[i], payloads[i].bytes, payloads[i].len);
        job->payload_len[i] = payloads[i].len;
        job->n_payloads = i + 1;
    }
    job->ok = 1;
    return FLY_OK;
}

/* The epoch was cut with nothing left to embed: what the views show of few-shot is the batch result, and its ids
 * are the classes' own. Communities are the cold partition and Ward's clusters the same, numbered anew. */
static int exact_map(struct fly_session *session, struct fly_job *job, int map,
                     const uint64_t as_of[FLY_STREAMS_MAX], int final, int64_t t_ns)
{
    const struct fly_session_info *info = fly_session_facts(session);
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_support *support = fly_engine_support(engine);
    int32_t chips = fly_grid_chips(fly_engine_grid(engine));
    struct fly_map_out out = {0};
    struct fly_map_set set;
    struct fly_map_view view;
    int rc = fly_map_set_init(&set, chips, FLY_MAPS);

    if (rc < 0)
        return rc;
    rc = fly_map_out_init(&out, chips);
    if (rc == FLY_OK) {
        fly_engine_map(engine, fly_map_method(map), fly_map_modality(map), &view);
        if (fly_map_method(map) == FLY_COMMUNITY) {
            struct fly_graph_view graph;

            rc = fly_engine_exact(engine, fly_map_modality(map), set.labels[map], set.confidence[map], &graph);
        } else if (fly_map_method(map) == FLY_WARD) {
            rc = fly_engine_ward_exact(engine, fly_map_modality(map), set.labels[map], set.confidence[map]);
        } else {
            memcpy(set.labels[map], view.labels, (size_t)chips * sizeof *view.labels);
            memcpy(set.confidence[map], view.confidence, (size_t)chips * sizeof *view.confidence);
        }
    }
    if (rc == FLY_OK) {
        memcpy(set.age[map], view.age, (size_t)chips * sizeof *view.age);
        memcpy(set.shown[map], set.labels[map], (size_t)chips * sizeof *set.labels[map]);
        set.calm = (enum fly_profile)info->options.profile == FLY_PROFILE_ROBUST;
        memcpy(set.classes, support->classes, sizeof set.classes);
        set.n_classes = support->n_classes;
        memcpy(set.as_of, as_of, sizeof set.as_of);
        set.final = final;
        fly_map_out_fill(&out, info, &set, map, NULL);
        out.map.base = FLY_PUB_EXACT;
        rc = fly_look_give_map(job, &(struct fly_pub_id){info->id, 0, t_ns}, &out);
    }
    fly_map_out_fini(&out);
    fly_map_set_fini(&set);
    return rc;
}

/* ---- chip.get ---------------------------------------------------------------------------------- */

static void pack_modalities(struct fly_pack *pack, const char *key, struct fly_session *session)
{
    fly_pack_str(pack, key);
    uint32_t n = 0;

    for (int m = 0; m < FLY_MODALITIES; m++)
        n += fly_maps_has(fly_session_facts(session), (enum fly_modality)m) != 0;
    fly_pack_map(pack, n);
}

/* The chips whose embeddings point most nearly the same way, by cosine. */
static void pack_similar(struct fly_pack *pack, struct fly_engine *engine, int32_t chip)
{
    const uint8_t *measured;
    int32_t width, cols = fly_engine_grid(engine)->cols, chips = fly_grid_chips(fly_engine_grid(engine));
    const float *emb = fly_engine_comparable(engine);
    int32_t best[SIMILAR], n = 0;
    double value[SIMILAR], norm = 0.0;

    fly_engine_embeddings(engine, &width, &measured);
    fly_pack_str(pack, "similar");
    for (int32_t i = 0; emb && i < width; i++)
        norm += (double)emb[(size_t)chip * (size_t)width + (size_t)i] *
                (double)emb[(size_t)chip * (size_t)width + (size_t)i];
    for (int32_t k = 0; emb && measured[chip] && norm > 0.0 && k < chips; k++) {
        const float *a = emb + (size_t)chip * (size_t)width, *b = emb + (size_t)k * (size_t)width;
        double dot = 0.0, square = 0.0;
        int32_t at;

        if (k == chip || !measured[k])
            continue;
        for (int32_t i = 0; i < width; i++) {
            dot += (double)a[i] * (double)b[i];
            square += (double)b[i] * (double)b[i];
        }
        double cosine = square > 0.0 ? dot / sqrt(norm * square) : 0.0;

        for (at = n; at > 0 && value[at - 1] < cosine; at--)
            if (at < SIMILAR) {
                value[at] = value[at - 1];
                best[at] = best[at - 1];
            }
        if (at < SIMILAR) {
            value[at] = cosine;
            best[at] = k;
            n += n < SIMILAR;
        }
    }
    fly_pack_array(pack, (uint32_t)n);
    for (int32_t i = 0; i < n; i++) {
        fly_pack_array(pack, 3);
        fly_pack_int(pack, best[i] / cols);
        fly_pack_int(pack, best[i] % cols);
        fly_pack_f64(pack, value[i]);
    }
}

static void pack_scores(struct fly_pack *pack, struct fly_session *session, int32_t chip)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_support *support = fly_engine_support(engine);
    uint32_t alive = 0;

    for (int32_t c = 0; c < support->n_classes; c++)
        alive += support->classes[c].alive != 0;
    pack_modalities(pack, "scores", session);
    for (int m = 0; m < FLY_MODALITIES; m++) {
        const double *scores = fly_engine_scores(engine, (enum fly_modality)m);
        struct fly_map_view view;

        if (!fly_maps_has(fly_session_facts(session), (enum fly_modality)m))
            continue;
        fly_engine_map(engine, FLY_FEWSHOT, (enum fly_modality)m, &view);
        fly_pack_str(pack, fly_modality_name((enum fly_modality)m));
        if (view.labels[chip] < 0) {
            fly_pack_nil(pack);
            continue;
        }
        fly_pack_map(pack, alive);
        for (int32_t c = 0; c < support->n_classes; c++)
            if (support->classes[c].alive) {
                fly_pack_str(pack, support->classes[c].name);
                fly_pack_f64(pack, scores[(size_t)chip * FLY_CLASSES_MAX + (size_t)c]);
            }
    }
}

/* {element: {value, sigma, limit}}, nil where nothing can be said; and whether neighbours had to help. */
static void pack_composition(struct fly_pack *pack, struct fly_engine *engine, int32_t chip)
{
    static const char *const words[] = {"own", "too_few", "pooled"};
    struct fly_composition made;
    int there = fly_engine_composition(engine, chip, &made) == FLY_OK;

    fly_pack_str(pack, "atomic_percent_from");
    if (there)
        fly_pack_str(pack, words[made.status]);
    else
        fly_pack_nil(pack);
    fly_pack_str(pack, "atomic_percent");
    if (!there || made.status == FLY_QUANTIFY_TOO_FEW) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, (uint32_t)made.n_elements);
    for (int32_t i = 0; i < made.n_elements; i++) {
        fly_pack_str(pack, fly_quantifier_line(fly_engine_quantifier(engine), i).symbol);
        fly_pack_map(pack, 3);
        fly_pack_str(pack, "value");
        fly_pack_f64(pack, made.percent[i]);
        fly_pack_str(pack, "sigma");
        fly_pack_f64(pack, made.sigma[i]);
        fly_pack_str(pack, "limit");
        fly_pack_f64(pack, made.limit[i]); /* NaN goes out as nil: the element was found */
    }
}

/* {modality: id}: of the modalities that have such a map. */
static void pack_clusters(struct fly_pack *pack, const char *key, enum fly_method method, struct fly_session *session,
                          int32_t chip)
{
    const struct fly_session_info *info = fly_session_facts(session);
    struct fly_map_view view;
    uint32_t n = 0;

    for (int m = 0; m < FLY_MODALITIES; m++)
        n += fly_maps_has_map(info, fly_map_index(method, (enum fly_modality)m)) != 0;
    fly_pack_str(pack, key);
    fly_pack_map(pack, n);
    for (int m = 0; m < FLY_MODALITIES; m++) {
        if (!fly_maps_has_map(info, fly_map_index(method, (enum fly_modality)m)))
            continue;
        fly_engine_map(fly_session_engine(session), method, (enum fly_modality)m, &view);
        fly_pack_str(pack, fly_modality_name((enum fly_modality)m));
        fly_pack_int(pack, view.labels[chip]);
    }
}

static int chip_get(struct fly_session *session, struct fly_job *job)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    const uint32_t *spectra;
    int32_t channels, chip;
    uint64_t counts = 0;
    struct fly_pack pack;
    int64_t r, c;
    enum fly_refusal why = fly_arg_int(job->request.args, "r", 0, grid->rows - 1, &r);

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_int(job->request.args, "c", 0, grid->cols - 1, &c);
    if (why != FLY_REFUSE_NONE) {
        failed(job, fly_refusal_name(why));
        return FLY_OK;
    }
    chip = (int32_t)r * grid->cols + (int32_t)c;
    job->result = malloc(FLY_RESULT_CAP);
    if (!job->result)
        return fly_fail(FLY_ENOMEM, "no memory for the reply");
    fly_pack_init(&pack, job->result, FLY_RESULT_CAP);
    spectra = fly_engine_spectra(engine, &channels, NULL);
    for (int32_t e = 0; spectra && e < channels; e++)
        counts += spectra[(size_t)chip * (size_t)channels + (size_t)e];
    fly_pack_map(&pack, 13);
    pack_clusters(&pack, "communities", FLY_COMMUNITY, session, chip);
    pack_clusters(&pack, "ward", FLY_WARD, session, chip);
    pack_modalities(&pack, "labels", session);
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_map_view view;

        if (!fly_maps_has(fly_session_facts(session), (enum fly_modality)m))
            continue;
        fly_engine_map(engine, FLY_FEWSHOT, (enum fly_modality)m, &view);
        fly_pack_str(&pack, fly_modality_name((enum fly_modality)m));
        fly_pack_int(&pack, view.labels[chip]);
    }
    pack_scores(&pack, session, chip);
    pack_composition(&pack, engine, chip);
    fly_pack_str(&pack, "counts");
    if (spectra)
        fly_pack_uint(&pack, counts);
    else
        fly_pack_nil(&pack);
    pack_modalities(&pack, "age", session);
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_map_view view;

        if (!fly_maps_has(fly_session_facts(session), (enum fly_modality)m))
            continue;
        fly_engine_map(engine, FLY_FEWSHOT, (enum fly_modality)m, &view);
        fly_pack_str(&pack, fly_modality_name((enum fly_modality)m));
        fly_pack_uint(&pack, view.age[chip]);
    }
    fly_pack_str(&pack, "crystallinity");
    fly_pack_f64(&pack, (double)fly_engine_crystallinity(engine, chip)); /* NaN goes out as nil */
    pack_similar(&pack, engine, chip);
    fly_sweep_pack_axis(&pack, session);
    job->result_len = pack.len;
    job->payload_len[0] = (size_t)channels * sizeof(uint32_t);
    job->payload[0] = malloc(job->payload_len[0] ? job->payload_len[0] : 1);
    if (!job->payload[0])
        return fly_fail(FLY_ENOMEM, "no memory for the reply");
    if (spectra)
        memcpy(job->payload[0], spectra + (size_t)chip * (size_t)channels, job->payload_len[0]);
    job->n_payloads = 1;
    job->ok = 1;
    return FLY_OK;
}

void fly_look(struct fly_session *session, struct fly_job *job, const uint64_t as_of[FLY_STREAMS_MAX],
              int final, int64_t t_ns)
{
    enum fly_refusal why;
    int map, rc = FLY_OK;

    if (!session) {
        fly_fail(FLY_ERANGE, "there is no session yet");
        failed(job, "no_session");
        return;
    }
    if (strcmp(job->request.op, "chip.get") == 0) {
        rc = chip_get(session, job);
    } else {
        why = fly_map_args(job->request.args, fly_session_facts(session), &map);
        if (why != FLY_REFUSE_NONE)
            failed(job, fly_refusal_name(why));
        else
            rc = exact_map(session, job, map, as_of, final, t_ns);
    }
    if (rc < 0)
        failed(job, "memory");
}
