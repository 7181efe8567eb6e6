#include "plugin/clusters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- news ---------------------------------------------------------------------------------------- */

static struct fly_cluster_new *news_of(struct fly_cluster_news *news, int32_t id)
{
    for (int32_t i = 0; i < news->n; i++)
        if (news->of[i].id == id)
            return &news->of[i];
    if (news->n == FLY_CLUSTER_NEWS) {
        news->omitted++;
        return NULL;
    }
    news->of[news->n] = (struct fly_cluster_new){.id = id};
    return &news->of[news->n++];
}

static void add_parent(struct fly_cluster_new *item, int32_t id)
{
    for (int32_t p = 0; p < item->n_parents; p++)
        if (item->parents[p] == id)
            return;
    if (item->n_parents < FLY_CLUSTER_PARENTS)
        item->parents[item->n_parents++] = id;
}

void fly_cluster_news_add(struct fly_cluster_news *news, const struct fly_story *story)
{
    for (int32_t c = 0; c < story->count + story->gone; c++) {
        const struct fly_cluster *cluster = &story->cluster[c];
        struct fly_cluster_new *item = cluster->events ? news_of(news, cluster->id) : NULL;

        if (!item)
            continue;
        item->events |= cluster->events;
        for (int32_t p = 0; p < cluster->parents; p++)
            add_parent(item, cluster->parent[p]);
    }
}

/* What happened to a cluster that has so many chips now. One that went and came back is not gone. */
static void tell_news(struct fly_cluster_out *to, const struct fly_cluster_news *news)
{
    for (int32_t i = 0; i < news->n; i++) {
        const struct fly_cluster_new *item = &news->of[i];

        if (item->id != to->id)
            continue;
        to->event = fly_cluster_word(&(struct fly_cluster){
            .id = to->id, .events = to->chips ? item->events & ~(uint32_t)FLY_CLUSTER_GONE : item->events});
        to->n_parents = item->n_parents;
        memcpy(to->parents, item->parents, sizeof to->parents);
        return;
    }
}

/* ---- making -------------------------------------------------------------------------------------- */

static void tell_name(struct fly_cluster_out *to, const struct fly_names *names)
{
    const struct fly_name *name = names ? fly_names_find(names, to->id) : NULL;

    if (!name)
        return;
    memcpy(to->name, name->name, sizeof to->name);
    to->role = name->role;
}

static void tell_composition(struct fly_cluster_out *to, struct fly_engine *engine, const int32_t *labels)
{
    struct fly_composition made;

    to->composed = fly_engine_region(engine, labels, to->id, &made) > 0 && made.status != FLY_QUANTIFY_TOO_FEW;
    if (!to->composed)
        return;
    memcpy(to->percent, made.percent, sizeof to->percent);
    memcpy(to->sigma, made.sigma, sizeof to->sigma);
}

static void tell_gone(struct fly_clusters *out, const struct fly_cluster_news *news, const struct fly_names *names)
{
    int32_t living = out->n;

    for (int32_t i = 0; i < news->n; i++) {
        struct fly_cluster_out *to = &out->cluster[out->n];
        int lives = !(news->of[i].events & FLY_CLUSTER_GONE);

        for (int32_t c = 0; c < living && !lives; c++)
            lives = out->cluster[c].id == news->of[i].id;
        if (lives)
            continue;
        *to = (struct fly_cluster_out){.id = news->of[i].id, .spacing.crystallinity = NAN};
        tell_news(to, news);
        tell_name(to, names);
        out->n++;
    }
}

void fly_clusters_make(struct fly_clusters *out, struct fly_engine *engine, const struct fly_map_set *set, int map,
                       struct fly_cluster_news *news)
{
    const struct fly_quantifier *quantifier = fly_engine_quantifier(engine);
    const struct fly_names *names = fly_engine_names(engine, map);
    int32_t ids[FLY_MAP_CLASSES_MAX], chips[FLY_MAP_CLASSES_MAX];
    struct fly_square squares[FLY_MAP_CLASSES_MAX];
    const int32_t *labels = set->labels[map];

    out->serial = set->serial;
    out->map = map;
    out->final = set->final;
    memcpy(out->as_of, set->as_of, sizeof out->as_of);
    memcpy(out->classes, set->classes, sizeof out->classes);
    out->n_elements = 0;
    if (quantifier)
        fly_engine_percent(engine, &out->n_elements, NULL);
    for (int32_t i = 0; i < out->n_elements; i++)
        snprintf(out->element[i], sizeof out->element[i], "%s", fly_quantifier_line(quantifier, i).symbol);
    out->n = fly_label_ids(labels, set->n_chips, ids, chips, FLY_MAP_CLASSES_MAX, &out->more);
    fly_engine_squares(engine, labels, ids, out->n, squares);
    for (int32_t c = 0; c < out->n; c++) {
        struct fly_cluster_out *to = &out->cluster[c];

        *to = (struct fly_cluster_out){.id = ids[c], .chips = chips[c], .spacing.crystallinity = NAN};
        tell_composition(to, engine, labels);
        tell_name(to, names);
        tell_news(to, news);
        if (fly_engine_lattice(engine, squares[c], &to->spacing, NULL) == FLY_OK)
            to->square = squares[c];
    }
    tell_gone(out, news, names);
    news->n = news->omitted = 0;
}

void fly_clusters_carry(struct fly_clusters *to, const struct fly_clusters *unread)
{
    int32_t told = to->n;

    for (int32_t i = 0; i < unread->n; i++) {
        const struct fly_cluster_out *old = &unread->cluster[i];
        struct fly_cluster_out *mine = NULL;

        for (int32_t c = 0; c < told && !mine; c++)
            if (to->cluster[c].id == old->id)
                mine = &to->cluster[c];
        if (!old->event || (mine && mine->event))
            continue;
        if (mine && old->chips) { /* one that was gone and is there again has nothing to tell */
            mine->event = old->event;
            mine->n_parents = old->n_parents;
            memcpy(mine->parents, old->parents, sizeof mine->parents);
        } else if (!mine && !old->chips && to->n < FLY_MAP_CLASSES_MAX + FLY_CLUSTER_NEWS) {
            to->cluster[to->n++] = *old;
        }
    }
}

void fly_difference_of(struct fly_difference *out, const double *a, const double *a_sigma, const double *b,
                       const double *b_sigma, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        double mean = 0.5 * (a[i] + b[i]);

        out->relative[i] = out->relative_sigma[i] = out->symmetric[i] = out->symmetric_sigma[i] = NAN;
        if (a[i] > 0.0) {
            out->relative[i] = fly_percent_difference(a[i], b[i]);
            out->relative_sigma[i] = 100.0 / a[i] * hypot(b_sigma[i], b[i] / a[i] * a_sigma[i]);
        }
        if (mean > 0.0) {
            out->symmetric[i] = fly_percent_difference_symmetric(a[i], b[i]);
            out->symmetric_sigma[i] = 100.0 / (mean * mean) * hypot(b[i] * a_sigma[i], a[i] * b_sigma[i]);
        }
    }
}

/* ---- the message --------------------------------------------------------------------------------- */

/* Everything that the message points to. */
struct letter {
    struct fly_pub_cluster items[FLY_MAP_CLASSES_MAX + FLY_CLUSTER_NEWS];
    struct fly_pub_region regions[FLY_MAP_CLASSES_MAX + FLY_CLUSTER_NEWS];
    char names[FLY_MAP_CLASSES_MAX + FLY_CLUSTER_NEWS][24];
    struct fly_difference difference;
    struct fly_pub_difference pub_difference;
};

static void write_vector(struct fly_pub_vector *to, const struct fly_spot *spot, int in_px, const double pixel_nm[2])
{
    double length = hypot(spot->fy, spot->fx);

    *to = (struct fly_pub_vector){spot->fy, spot->fx, {NAN, NAN}, {NAN, NAN}};
    to->d_px[0] = length > 0.0 ? 1.0 / length : NAN;
    if (in_px) {
        to->d_px[1] = spot->d_sd;
        return;
    }
    to->d_nm[0] = spot->d;
    to->d_nm[1] = spot->d_sd;
    /* Along one direction a pixel has one size, and errors the same part of it. */
    if (pixel_nm[0] == pixel_nm[1])
        to->d_px[1] = spot->d_sd / pixel_nm[0];
}

static void write_region(struct fly_pub_region *to, const struct fly_cluster_out *from, const double pixel_nm[2])
{
    const struct fly_spacing *s = &from->spacing;

    *to = (struct fly_pub_region){.square = {from->square.row, from->square.col, from->square.n},
                                  .found = s->crystalline                       ? "crystalline"
                                           : s->state == FLY_SPACING_DISORDERED ||
                                                     s->state == FLY_SPACING_MEASURED
                                               ? "not_crystalline"
                                               : "not_measurable",
                                  .snr = s->snr > 0.0 ? s->snr : NAN,
                                  .n_vectors = s->spots,
                                  .angle_deg = s->spots == 2 ? s->angle_deg : NAN};
    for (int32_t v = 0; v < s->spots; v++)
        write_vector(&to->vectors[v], &s->spot[v], s->in_px, pixel_nm);
}

static void write_cluster(struct letter *letter, int32_t c, const struct fly_clusters *clusters, const double pixel_nm[2])
{
    const struct fly_cluster_out *from = &clusters->cluster[c];
    const struct fly_spacing *s = &from->spacing;
    enum fly_method method = fly_map_method(clusters->map);
    int measured = s->crystalline && !s->in_px;

    fly_cluster_call(letter->names[c], sizeof letter->names[c], method, from->id);
    if (from->square.n)
        write_region(&letter->regions[c], from, pixel_nm);
    letter->items[c] = (struct fly_pub_cluster){
        .id = from->id,
        .name = method == FLY_FEWSHOT && from->id < FLY_CLASSES_MAX ? clusters->classes[from->id].name
                : from->name[0]                                     ? from->name
                                                                    : letter->names[c],
        .role = fly_role_word(from->role),
        .chips = from->chips,
        .parents = from->parents,
        .n_parents = from->n_parents,
        .event = from->event,
        .percent = from->composed ? from->percent : NULL,
        .sigma = from->composed ? from->sigma : NULL,
        .d_spacing_nm = {measured ? s->d : NAN, measured ? s->d_sd : NAN},
        .crystallinity = s->crystallinity,
        .region = from->square.n ? &letter->regions[c] : NULL,
    };
}

/* The largest with a composition that a person takes for `role`; NULL: none. */
static const struct fly_cluster_out *largest_of(const struct fly_clusters *clusters, enum fly_role role)
{
    const struct fly_cluster_out *best = NULL;

    for (int32_t c = 0; c < clusters->n; c++) {
        const struct fly_cluster_out *cluster = &clusters->cluster[c];

        if (cluster->role == role && cluster->composed && (!best || cluster->chips > best->chips))
            best = cluster;
    }
    return best;
}

static const struct fly_pub_difference *write_difference(struct letter *letter, const struct fly_clusters *clusters)
{
    const struct fly_cluster_out *a = largest_of(clusters, FLY_ROLE_ORDERED);
    const struct fly_cluster_out *b = largest_of(clusters, FLY_ROLE_DISORDERED);

    if (!a || !b)
        return NULL;
    fly_difference_of(&letter->difference, a->percent, a->sigma, b->percent, b->sigma, clusters->n_elements);
    letter->pub_difference = (struct fly_pub_difference){a->id, b->id, letter->difference.relative,
                                                         letter->difference.relative_sigma, letter->difference.symmetric,
                                                         letter->difference.symmetric_sigma};
    return &letter->pub_difference;
}

int fly_clusters_message(struct fly_pub_message *message, struct fly_pack *pack, const struct fly_pub_id *id,
                         const struct fly_clusters *clusters, const struct fly_session_info *info)
{
    struct letter *letter = malloc(sizeof *letter);
    const char *elements[FLY_ELEMENTS_MAX];
    struct fly_pub_clusters out;
    int rc;

    if (!letter)
        return fly_fail(FLY_ENOMEM, "clusters: no memory for the message");
    out = (struct fly_pub_clusters){.method = fly_method_name(fly_map_method(clusters->map)),
                                    .modality = fly_modality_name(fly_map_modality(clusters->map)),
                                    .final = clusters->final,
                                    .elements = elements,
                                    .n_elements = clusters->n_elements,
                                    .clusters = letter->items,
                                    .n_clusters = clusters->n,
                                    .more = clusters->more};
    fly_streams_of(&out.as_of, info, clusters->as_of);
    for (int32_t i = 0; i < clusters->n_elements; i++)
        elements[i] = clusters->element[i];
    for (int32_t c = 0; c < clusters->n; c++)
        write_cluster(letter, c, clusters, info->plan.pixel_nm);
    out.difference = write_difference(letter, clusters);
    rc = fly_pub_clusters(message, pack, id, &out);
    free(letter);
    return rc;
}
