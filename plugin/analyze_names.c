/* What persons called the clusters, as an analysis tells it. */
#include "plugin/analyze_out.h"

/* The label in the arrays written, whose exact ids are others than those that stay from map to map; -1: in none. */
static int32_t label_of(const struct fly_analyze_out *out, int map, int32_t id)
{
    const int32_t *written = fly_analyze_labels(out, fly_map_method(map), fly_map_modality(map));
    struct fly_map_view view;

    fly_engine_map(out->engine, fly_map_method(map), fly_map_modality(map), &view);
    for (int32_t k = 0; written && view.labels && k < out->chips; k++)
        if (view.labels[k] == id)
            return written[k];
    return -1;
}

static void text_or_null(struct fly_json *json, const char *key, const char *text)
{
    fly_json_key(json, key);
    if (text && text[0])
        fly_json_str(json, text);
    else
        fly_json_null(json);
}

static void tell_one(struct fly_json *json, int map, int32_t label, const char *name, enum fly_role role)
{
    fly_json_object(json);
    fly_json_key(json, "method");
    fly_json_str(json, fly_method_name(fly_map_method(map)));
    fly_json_key(json, "modality");
    fly_json_str(json, fly_modality_name(fly_map_modality(map)));
    fly_json_key(json, "id");
    if (label >= 0)
        fly_json_int(json, label);
    else
        fly_json_null(json);
    text_or_null(json, "name", name);
    text_or_null(json, "role", fly_role_word(role));
    fly_json_end(json);
}

void fly_analyze_tell_names(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_recall *recall = fly_session_recall(out->session);
    const struct fly_support *support = fly_engine_support(out->engine);

    fly_json_key(json, "names");
    fly_json_array(json);
    for (int map = 0; map < FLY_MAPS; map++) {
        const struct fly_names *names = fly_engine_names(out->engine, map);

        for (int32_t i = 0; names && i < names->count; i++) {
            const struct fly_name *name = &names->name[i];
            int is_class = fly_map_method(map) == FLY_FEWSHOT && name->id < support->n_classes;

            tell_one(json, map, label_of(out, map, name->id), is_class ? support->classes[name->id].name : name->name,
                     name->role);
        }
        for (int32_t i = 0; i < recall->n; i++)
            if (recall->item[i].map == map)
                tell_one(json, map, -1, recall->item[i].has_name ? recall->item[i].name : NULL, recall->item[i].role);
    }
    fly_json_end(json);
}
