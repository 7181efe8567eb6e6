/* plugin/recall.h: names and roles out of a recording, until the clusters that they were given to are found again.
 *
 * The id of a community or a Ward cluster follows from every map before it. A session that is read back without
 * thinking (a restart, an analysis) numbers its clusters anew. So a request that names a cluster goes into the
 * recording with two lists of runs, [first chip, how many, ...]:
 *
 *   members   the chips of the cluster; empty for few-shot, whose ids are classes
 *   present   the chips in any cluster of that map, minor ones included
 *
 * A reader in whose map the cluster of that id has exactly these chips gives it the name at once: it follows the
 * epochs, or is the session itself. Any other keeps the name until an epoch finds nothing left to think about, and
 * gives it to the cluster with the largest Jaccard index, over the chips present then, if that is 0.3 or more (story.h:
 * below, it may be another thing; and while members are not measured again they count as missing). It never takes the
 * place of a name that is there; of two that wait for one cluster the later gets it. What finds no cluster waits on.
 *
 * Of a map in very many pieces the lists hold the uppermost: what is left out counts as not present.
 *
 * Bytes    one a chip for each name that waits, of at most FLY_NAMES_MAX a map.
 * Threads  the session's.
 */
#ifndef FLY_PLUGIN_RECALL_H
#define FLY_PLUGIN_RECALL_H

#include "engine/engine.h"
#include "stream/wire.h"

struct fly_recalled {
    int map;
    int32_t id; /* as it was called then */
    int has_name, has_role;
    char name[FLY_CLUSTER_NAME_MAX + 1];
    enum fly_role role;
    uint8_t *chip; /* (K) recall.c's; NULL for few-shot */
};

struct fly_recall {
    int32_t n_chips, n;
    int untried[FLY_MAPS];     /* the map changed since it was looked through, or something new waits for it */
    struct fly_recalled *item; /* (n) in the order given */
};

void fly_recall_init(struct fly_recall *recall, int32_t n_chips);
void fly_recall_fini(struct fly_recall *recall);

/* The arguments of cluster.name and cluster.role as they are recorded: those keys that the two have, and the chips of
 * the cluster where one of that id lives in the map (-1: there is none). Whatever else was in them, `members` of a
 * client included, is left out. */
void fly_recall_pack(struct fly_pack *out, struct fly_value args, struct fly_engine *engine, int map, int32_t id);

/* Give a cluster the name, the role or both; at once, or it waits, as said above. Arguments without `members` mean a
 * cluster that lives now. asked->chip NULL.
 *
 * FLY_ERANGE  as fly_names_call; lists that are none; FLY_NAMES_MAX wait for the map.  FLY_ENOMEM */
FLY_MUST_USE int fly_recall_give(struct fly_recall *recall, struct fly_engine *engine, struct fly_value args,
                                 const struct fly_recalled *asked);

/* After every epoch: what waits is given where its cluster is found. */
void fly_recall_epoch(struct fly_recall *recall, struct fly_engine *engine);

#endif
