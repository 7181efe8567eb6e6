/* What the helm's tests share: a world for it, peers that ask, decisions, and what became of them. */
#ifndef TESTS_HELM_RIG_H
#define TESTS_HELM_RIG_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/helm.h"

#define MS     INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define BORN   (INT64_C(1767225600) * SECOND) /* Unix time at which the rig's clock begins */

enum { SENT_MAX = 64, NOTES_MAX = 256 };

/* A world that remembers what the helm did to it. */
struct rig {
    struct fly_helm helm;
    int64_t now;
    struct fly_command sent[SENT_MAX];
    char to[SENT_MAX][16];
    int n_sent;
    int send_rc, keep_rc, hold_rc;
    char hold[32];             /* as kept for the next process, "": none is */
    char notes[NOTES_MAX][32]; /* ops of the journal */
    int n_notes;
    char events[NOTES_MAX][32];
    int n_events;
    int64_t reserved;          /* asked for */
    int counts[FLY_COUNTERS];
};

static inline int64_t mono_ns(void *ctx)
{
    return ((struct rig *)ctx)->now;
}

static inline int64_t unix_ns(void *ctx)
{
    return BORN + ((struct rig *)ctx)->now;
}

static inline int rig_send(void *ctx, const void *peer, size_t peer_len, const struct fly_command *command)
{
    struct rig *rig = ctx;

    assert_true(rig->n_sent < SENT_MAX);
    rig->sent[rig->n_sent] = *command;
    assert_int_equal(*(const char *)peer, 0);
    snprintf(rig->to[rig->n_sent++], sizeof rig->to[0], "%.*s", (int)peer_len - 1, (const char *)peer + 1);
    return rig->send_rc;
}

static inline int rig_keep(void *ctx, const char *op, const void *args, size_t args_len)
{
    struct rig *rig = ctx;

    assert_int_equal(fly_wire_scan(args, args_len), FLY_REFUSE_NONE);
    if (rig->keep_rc < 0)
        return rig->keep_rc;
    assert_true(rig->n_notes < NOTES_MAX);
    snprintf(rig->notes[rig->n_notes++], sizeof rig->notes[0], "%s", op);
    return FLY_OK;
}

static inline int rig_keep_hold(void *ctx, const char *by)
{
    struct rig *rig = ctx;

    if (rig->hold_rc == FLY_OK)
        snprintf(rig->hold, sizeof rig->hold, "%s", by ? by : "");
    return rig->hold_rc;
}

static inline int rig_reserve(void *ctx, int64_t through)
{
    ((struct rig *)ctx)->reserved = through;
    return FLY_OK;
}

static inline void rig_tell(void *ctx, enum fly_level level, const char *code, const void *data, size_t data_len,
                            const char *text)
{
    struct rig *rig = ctx;

    (void)level;
    assert_int_equal(fly_wire_scan(data, data_len), FLY_REFUSE_NONE);
    assert_true(strlen(text) > 0 && rig->n_events < NOTES_MAX);
    snprintf(rig->events[rig->n_events++], sizeof rig->events[0], "%s", code);
}

static inline void rig_count(void *ctx, enum fly_counter counter)
{
    ((struct rig *)ctx)->counts[counter]++;
}

static const struct fly_helm_facts calibrated = {.serial = 1, .beam_current_na = 0.1, .pixel_nm = {0.05, 0.05},
                                                 .frames_planned = 3, .frames_max = 1000, .chip_px = 15,
                                                 .cycle_ns = 500 * MS, .ask_ns = 10 * SECOND};

static inline struct rig *rig_new(const struct fly_helm_facts *facts)
{
    static struct rig rig;

    memset(&rig, 0, sizeof rig);
    rig.now = 1000 * SECOND;
    fly_helm_init(&rig.helm,
                  &(struct fly_helm_out){rig_send, rig_keep, rig_keep_hold, rig_reserve, rig_tell, rig_count, &rig},
                  &(struct fly_clock){mono_ns, unix_ns, &rig});
    if (facts)
        fly_helm_begin(&rig.helm, facts, NULL);
    return &rig;
}

/* Under an id as a ROUTER gives them: it begins with 0. */
static inline struct fly_helm_peer peer(const char *name)
{
    static char ids[16][16];
    static int next;
    char *id = ids[next++ % 16];

    snprintf(id + 1, sizeof ids[0] - 1, "%s", name);
    return (struct fly_helm_peer){id, strlen(name) + 1, name, "", "viewer", "id"};
}

static inline int attach(struct rig *rig, const char *name, enum fly_steer_mode mode, int guard, const char **code)
{
    struct fly_helm_peer who = peer(name);
    struct fly_helm_ask ask = {.mode = mode, .limits = {NAN, NAN, NAN}, .guard = guard};
    int rc;

    *code = "";
    rc = fly_helm_attach(&rig->helm, &who, &ask, code);
    if (rc == FLY_OK && rig->helm.reserving)
        fly_helm_reserved(&rig->helm, rig->reserved);
    return rc;
}

static inline void attach_well(struct rig *rig, const char *name, enum fly_steer_mode mode)
{
    const char *code;

    assert_int_equal(attach(rig, name, mode, mode == FLY_STEER_AUTO, &code), FLY_OK);
}

/* Two boxes of one chip each. */
static inline int decide_under(struct rig *rig, const char *id, uint64_t orders)
{
    struct fly_decision d = {.serial = 1, .orders = orders, .epoch = 7, .n_targets = 2, .cost_us = 1000,
                             .beam_px = {14, 44}, .boxes = {{0, 0, 1, 1}, {0, 2, 1, 1}}, .best_first = {1, 0}};

    snprintf(d.id, sizeof d.id, "%s", id);
    for (int i = 0; i < 2; i++)
        d.targets[i] = (struct fly_target){.kind = FLY_TARGET_BOX, .px = {0, 30.0 * i, 15, 15}, .dwell_us = 2.0,
                                           .expected_gain = 0.5, .dose_e_per_A2 = 10.0, .reason = "margin"};
    return fly_helm_decision(&rig->helm, &d);
}

static inline void decide(struct rig *rig, const char *id)
{
    assert_int_equal(decide_under(rig, id, fly_helm_orders(&rig->helm)->version), rig->helm.in_session);
}

static inline int verdict(struct rig *rig, const char *id, int approve, const char **code)
{
    struct fly_helm_peer who = peer("person");

    *code = "";
    return fly_helm_decide(&rig->helm, &who, id, approve, "", code);
}

static inline void ack(struct rig *rig, const char *from, const char *cmd_id, enum fly_ack_status status)
{
    struct fly_helm_peer who = peer(from);
    struct fly_ack a = {.status = status};

    snprintf(a.cmd_id, sizeof a.cmd_id, "%.*s", FLY_CMD_ID_MAX, cmd_id);
    fly_helm_ack(&rig->helm, &who, &a);
}

/* Time passes, the owner being there. */
static inline void pass(struct rig *rig, int64_t ns)
{
    struct fly_helm_peer who = {rig->helm.owner, rig->helm.owner_len, "owner", "", "", ""};

    rig->now += ns;
    fly_helm_heard(&rig->helm, &who);
    fly_helm_tick(&rig->helm);
}

static inline int told(const struct rig *rig, const char *code)
{
    int n = 0;

    for (int i = 0; i < rig->n_events; i++)
        n += strcmp(rig->events[i], code) == 0;
    return n;
}

static inline int noted(const struct rig *rig, const char *op)
{
    int n = 0;

    for (int i = 0; i < rig->n_notes; i++)
        n += strcmp(rig->notes[i], op) == 0;
    return n;
}

/* Commands to measure: all but stops. */
static inline int commanded(const struct rig *rig)
{
    int n = 0;

    for (int i = 0; i < rig->n_sent; i++)
        n += rig->sent[i].kind != FLY_COMMAND_STOP;
    return n;
}

static inline int barred(struct rig *rig)
{
    return fly_helm_orders(&rig->helm)->n_barred;
}

#endif
