#include "plugin/clusters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void fly_clusters_make(struct fly_clusters *out, struct fly_engine *engine, const struct fly_map_set *set, int map)
{
    const struct fly_quantifier *quantifier = fly_engine_quantifier(engine);
    int32_t ids[FLY_MAP_CLASSES_MAX], chips[FLY_MAP_CLASSES_MAX];
    const int32_t *labels = set->labels[map];
    struct fly_composition made;

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
    for (int32_t c = 0; c < out->n; c++) {
        struct fly_cluster *cluster = &out->cluster[c];

        cluster->id = ids[c];
        cluster->chips = chips[c];
        cluster->composed = fly_engine_region(engine, labels, ids[c], &made) > 0 &&
                            made.status != FLY_QUANTIFY_TOO_FEW;
        if (!cluster->composed)
            continue;
        memcpy(cluster->percent, made.percent, sizeof cluster->percent);
        memcpy(cluster->sigma, made.sigma, sizeof cluster->sigma);
    }
}

int fly_clusters_message(struct fly_pub_message *message, struct fly_pack *pack, const struct fly_pub_id *id,
                         const struct fly_clusters *clusters, const struct fly_session_info *info)
{
    struct fly_pub_cluster items[FLY_MAP_CLASSES_MAX];
    char names[FLY_MAP_CLASSES_MAX][24];
    const char *elements[FLY_ELEMENTS_MAX];
    struct fly_pub_clusters out = {.method = fly_method_name(fly_map_method(clusters->map)),
                                   .modality = fly_modality_name(fly_map_modality(clusters->map)),
                                   .final = clusters->final,
                                   .elements = elements,
                                   .n_elements = clusters->n_elements,
                                   .clusters = items,
                                   .n_clusters = clusters->n,
                                   .more = clusters->more};

    fly_streams_of(&out.as_of, info, clusters->as_of);
    for (int32_t i = 0; i < clusters->n_elements; i++)
        elements[i] = clusters->element[i];
    for (int32_t c = 0; c < clusters->n; c++) {
        const struct fly_cluster *from = &clusters->cluster[c];

        snprintf(names[c], sizeof names[c], "community %d", (int)from->id);
        items[c] = (struct fly_pub_cluster){
            .id = from->id,
            .name = fly_map_method(clusters->map) == FLY_FEWSHOT && from->id < FLY_CLASSES_MAX
                        ? clusters->classes[from->id].name
                        : names[c],
            .chips = from->chips,
            .percent = from->composed ? from->percent : NULL,
            .sigma = from->composed ? from->sigma : NULL,
            .d_spacing_nm = {NAN, NAN},
            .crystallinity = NAN,
        };
    }
    return fly_pub_clusters(message, pack, id, &out);
}
