/* The requests that change a session: read whole and checked before anything is touched. */
#include "plugin/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/graph_choice.h"
#include "plugin/look.h"
#include "plugin/options_pack.h"
#include "plugin/steering.h"
#include "plugin/support_file.h"
#include "stream/request.h"

enum { CHIPS_MAX = 4096 };

struct change {
    struct fly_session *session;
    struct fly_value args;
    struct fly_pack *result;
    const char *code; /* of the error */
};

/* A refused argument: its words stand, its code is the refusal's name. */
static int refused(struct change *change, enum fly_refusal why)
{
    change->code = fly_refusal_name(why);
    return FLY_ERANGE;
}

/* "what is in force": the classes with their support; with more chips than a reply has room for, how many
 * they are instead of which. */
static void pack_classes(const struct fly_engine *engine, const struct fly_support *support,
                         struct fly_pack *out)
{
    int32_t cols = fly_engine_grid(engine)->cols;
    uint32_t alive = 0;
    int32_t chips = 0;

    for (int32_t c = 0; c < support->n_classes; c++) {
        alive += support->classes[c].alive != 0;
        chips += support->classes[c].alive ? support->classes[c].chips : 0;
    }
    fly_pack_array(out, alive);
    for (int32_t c = 0; c < support->n_classes; c++) {
        if (!support->classes[c].alive)
            continue;
        fly_pack_map(out, 3);
        fly_pack_str(out, "id");
        fly_pack_int(out, c);
        fly_pack_str(out, "name");
        fly_pack_str(out, support->classes[c].name);
        if (chips > CHIPS_MAX) {
            fly_pack_str(out, "n_chips");
            fly_pack_int(out, support->classes[c].chips);
            continue;
        }
        fly_pack_str(out, "chips");
        fly_pack_array(out, (uint32_t)support->classes[c].chips);
        for (int32_t k = 0; k < support->n_chips; k++)
            if (support->class_of[k] == c) {
                fly_pack_array(out, 2);
                fly_pack_int(out, k / cols);
                fly_pack_int(out, k % cols);
            }
    }
}

static int answer_classes(struct change *change, int rc, int32_t class_id)
{
    struct fly_engine *engine = fly_session_engine(change->session);

    if (rc < 0)
        return rc;
    fly_engine_support_changed(engine);
    fly_pack_map(change->result, class_id >= 0 ? 2 : 1);
    if (class_id >= 0) {
        fly_pack_str(change->result, "class_id");
        fly_pack_int(change->result, class_id);
    }
    fly_pack_str(change->result, "classes");
    pack_classes(engine, fly_engine_support(engine), change->result);
    return FLY_OK;
}

static int support_chips(struct change *change, const char *name, int add)
{
    struct fly_engine *engine = fly_session_engine(change->session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    int32_t *chips = malloc(CHIPS_MAX * sizeof *chips), n = 0, class_id = -1;
    enum fly_refusal why;
    int rc;

    if (!chips)
        return fly_fail(FLY_ENOMEM, "no memory for the list of chips");
    why = fly_arg_chips(change->args, "chips", grid->rows, grid->cols, chips, CHIPS_MAX, &n);
    if (why != FLY_REFUSE_NONE)
        rc = refused(change, why);
    else if (add)
        rc = fly_support_add(fly_engine_support(engine), name, chips, n, &class_id);
    else
        rc = fly_support_remove(fly_engine_support(engine), chips, n);
    free(chips);
    return answer_classes(change, rc, class_id);
}

static int support_add(struct change *change)
{
    char name[FLY_CLASS_NAME_MAX + 1];
    enum fly_refusal why = fly_arg_str(change->args, "class", FLY_CLASS_NAME_MAX, name);

    return why != FLY_REFUSE_NONE ? refused(change, why) : support_chips(change, name, 1);
}

static int support_remove(struct change *change)
{
    return support_chips(change, NULL, 0);
}

static int class_rename(struct change *change)
{
    char name[FLY_CLASS_NAME_MAX + 1], to[FLY_CLASS_NAME_MAX + 1];
    enum fly_refusal why = fly_arg_str(change->args, "class", FLY_CLASS_NAME_MAX, name);

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_str(change->args, "to", FLY_CLASS_NAME_MAX, to);
    if (why != FLY_REFUSE_NONE)
        return refused(change, why);
    return answer_classes(
        change, fly_support_rename(fly_engine_support(fly_session_engine(change->session)), name, to), -1);
}

static int class_remove(struct change *change)
{
    char name[FLY_CLASS_NAME_MAX + 1];
    enum fly_refusal why = fly_arg_str(change->args, "class", FLY_CLASS_NAME_MAX, name);

    if (why != FLY_REFUSE_NONE)
        return refused(change, why);
    return answer_classes(
        change, fly_support_drop(fly_engine_support(fly_session_engine(change->session)), name), -1);
}

/* In force at the next decision (steering.h). */
static int check_steering(struct change *change, const struct fly_options *asked)
{
    const struct fly_steer_limits none = {NAN, NAN, NAN};
    struct fly_steer_config config =
        fly_steering_config(asked, &fly_session_facts(change->session)->start, &none, NAN);

    return fly_steer_config_check(&config);
}

static int params_set(struct change *change)
{
    struct fly_engine *engine = fly_session_engine(change->session);
    struct fly_options *options = fly_session_options_mutable(change->session), *asked = malloc(sizeof *asked);
    int quantified = fly_engine_quantifier(engine) != NULL;
    struct fly_graph_config graph;
    int rc = asked ? FLY_OK : fly_fail(FLY_ENOMEM, "params.set: no memory");

    if (rc == FLY_OK) {
        *asked = *options;
        rc = fly_options_set_packed(asked, change->args, change->result);
    }
    if (rc == FLY_OK && !quantified && asked->eds.feature_fewshot == FLY_EDS_COMPOSITION)
        rc = fly_fail(FLY_ERANGE, "eds.feature.fewshot: composition, but this session's spectra are not "
                                  "quantified: spectrum is possible");
    if (rc == FLY_OK)
        rc = check_steering(change, asked);
    if (rc == FLY_OK && fly_session_facts(change->session)->plan.communities) {
        fly_graph_choose(&graph, asked, quantified);
        rc = fly_engine_set_graph(engine, &graph);
    }
    if (rc == FLY_OK && fly_session_facts(change->session)->plan.ward)
        rc = fly_engine_set_tree_k(engine, asked->tree.k);
    if (rc == FLY_OK)
        rc = fly_engine_set_d_range(engine, asked->region.d_range_nm);
    /* fly_options_check has the same rules: these cannot refuse what that took. */
    if (rc == FLY_OK)
        rc = fly_engine_set_ensemble(engine, asked->fewshot.weights, asked->fewshot.temperature);
    if (rc == FLY_OK && quantified)
        rc = fly_engine_set_fewshot_feature(engine, (enum fly_eds_feature)asked->eds.feature_fewshot);
    if (rc == FLY_OK)
        *options = *asked;
    free(asked);
    return rc;
}

/* ---- names and roles of clusters ----------------------------------------------------------------- */

static int pack_named(struct change *change, int map, int32_t id)
{
    const struct fly_name *found =
        fly_names_find(fly_engine_names(fly_session_engine(change->session), map), id);
    const char *role = found ? fly_role_word(found->role) : NULL;

    fly_pack_map(change->result, 5);
    fly_pack_str(change->result, "method");
    fly_pack_str(change->result, fly_method_name(fly_map_method(map)));
    fly_pack_str(change->result, "modality");
    fly_pack_str(change->result, fly_modality_name(fly_map_modality(map)));
    fly_pack_str(change->result, "id");
    fly_pack_int(change->result, id);
    fly_pack_str(change->result, "name");
    if (found && found->name[0])
        fly_pack_str(change->result, found->name);
    else
        fly_pack_nil(change->result);
    fly_pack_str(change->result, "role");
    if (role)
        fly_pack_str(change->result, role);
    else
        fly_pack_nil(change->result);
    return FLY_OK;
}

/* Which cluster: a map, and a label in it. */
static int which_cluster(struct change *change, int *map, int32_t *id)
{
    int64_t label;
    enum fly_refusal why = fly_map_args(change->args, fly_session_facts(change->session), map);

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_int(change->args, "id", 0, INT32_MAX, &label);
    if (why != FLY_REFUSE_NONE)
        return refused(change, why);
    *id = (int32_t)label;
    return FLY_OK;
}

static int give(struct change *change, const struct fly_recalled *asked)
{
    int rc = fly_recall_give(fly_session_recall(change->session), fly_session_engine(change->session), change->args,
                             asked);

    return rc < 0 ? rc : pack_named(change, asked->map, asked->id);
}

static int cluster_name(struct change *change)
{
    struct fly_recalled asked = {.has_name = 1};
    int rc = which_cluster(change, &asked.map, &asked.id);
    enum fly_refusal why;

    if (rc < 0)
        return rc;
    if (fly_map_method(asked.map) == FLY_FEWSHOT)
        return fly_fail(FLY_ERANGE, "args.method: classes of few-shot are named by class.rename");
    why = fly_arg_str(change->args, "to", FLY_CLUSTER_NAME_MAX, asked.name);
    return why != FLY_REFUSE_NONE ? refused(change, why) : give(change, &asked);
}

static int cluster_role(struct change *change)
{
    static const char *const roles[] = {"none", "ordered", "disordered", "other"};
    struct fly_recalled asked = {.has_role = 1};
    int32_t role;
    int rc = which_cluster(change, &asked.map, &asked.id);
    enum fly_refusal why;

    if (rc < 0)
        return rc;
    why = fly_arg_word(change->args, "to", roles, (int32_t)(sizeof roles / sizeof *roles), &role);
    if (why != FLY_REFUSE_NONE)
        return refused(change, why);
    asked.role = (enum fly_role)role;
    return give(change, &asked);
}

struct fly_value fly_session_control_args(struct fly_session *session, const char *op, struct fly_value args,
                                          void *bytes)
{
    struct change change = {.session = session, .args = args};
    struct fly_pack pack;
    int32_t id = -1;
    int map;

    if (strcmp(op, "cluster.name") != 0 && strcmp(op, "cluster.role") != 0)
        return args;
    if (which_cluster(&change, &map, &id) < 0)
        map = -1;
    fly_pack_init(&pack, bytes, FLY_HEADER_MAX);
    fly_recall_pack(&pack, args, fly_session_engine(session), map, id);
    FLY_ASSERT(!pack.full);
    return fly_value_root(bytes, pack.len);
}

/* Not whoever measured it elsewhere, but the engine stage, which adopts what the engine has measured. */
static int is_adopted(struct fly_value args)
{
    struct fly_value value;
    const char *by;
    size_t len;

    return fly_value_get(args, "by", &value) && fly_value_str(value, &by, &len) && len == strlen(FLY_SHIFT_BY_DRIFT) &&
           memcmp(by, FLY_SHIFT_BY_DRIFT, len) == 0;
}

/* frame.shift {frame, dy_px, dx_px}: a frame's drift against the reference, as whoever measured it says. */
static int frame_shift(struct change *change)
{
    int64_t frame, dy, dx;
    enum fly_refusal why = fly_arg_int(change->args, "frame", 0, (1 << 20) - 1, &frame);
    int rc;

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_int(change->args, "dy_px", -FLY_SCAN_MAX_PX, FLY_SCAN_MAX_PX, &dy);
    if (why == FLY_REFUSE_NONE)
        why = fly_arg_int(change->args, "dx_px", -FLY_SCAN_MAX_PX, FLY_SCAN_MAX_PX, &dx);
    if (why != FLY_REFUSE_NONE)
        return refused(change, why);
    rc = fly_engine_shift(fly_session_engine(change->session), frame, (int32_t)dy, (int32_t)dx);
    if (rc < 0)
        return rc;
    if (is_adopted(change->args))
        fly_engine_adopted(fly_session_engine(change->session), frame);
    fly_pack_map(change->result, 3);
    fly_pack_str(change->result, "frame");
    fly_pack_int(change->result, frame);
    fly_pack_str(change->result, "dy_px");
    fly_pack_int(change->result, dy);
    fly_pack_str(change->result, "dx_px");
    fly_pack_int(change->result, dx);
    return FLY_OK;
}

static const struct {
    const char *op;
    int (*run)(struct change *change);
} changes[] = {
    {"support.add", support_add},   {"support.remove", support_remove}, {"class.rename", class_rename},
    {"class.remove", class_remove}, {"params.set", params_set},         {"frame.shift", frame_shift},
    {"cluster.name", cluster_name}, {"cluster.role", cluster_role},
};

int fly_session_control_known(const char *op)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (strcmp(op, changes[i].op) == 0)
            return 1;
    return 0;
}

int fly_session_control(struct fly_session *session, const char *op, struct fly_value args,
                        struct fly_pack *result, const char **code)
{
    struct change change = {session, args, result, fly_refusal_name(FLY_REFUSE_BAD_VALUE)};
    int rc = FLY_ERANGE;

    FLY_ASSERT(fly_session_control_known(op));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (strcmp(op, changes[i].op) == 0)
            rc = changes[i].run(&change);
    FLY_ASSERT(rc < 0 || !result->full); /* the longest answer has CHIPS_MAX chips */
    *code = change.code;
    return rc;
}

int fly_session_load_support(struct fly_session *session, const char *path)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    struct fly_support_set set;
    int rc = fly_support_set_load(&set, path, grid->rows, grid->cols);

    if (rc < 0)
        return rc;
    rc = fly_support_set_apply(&set, fly_engine_support(engine), grid->cols);
    fly_support_set_fini(&set);
    fly_engine_support_changed(engine);
    return rc;
}
