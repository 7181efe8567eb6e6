/* What the guard's tests share: limits, a session, and commands that pass until a test spoils them. */
#ifndef TESTS_GUARD_RIG_H
#define TESTS_GUARD_RIG_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/guard/rules.h"

#define RIG_NOW_NS (1700000000 * INT64_C(1000000000))

/* 64 x 64 px in 8 x 8 chips of 8 px; a us of dwell is 624.15 e-/A^2: 1 nA on 10 A^2 (0.31623 nm a side). */
static inline struct fly_guard_session rig_session(void)
{
    struct fly_guard_session s = {.id = "rig", .height_px = 64, .width_px = 64, .frames_planned = 1,
                                  .pixel_nm = {0.31622776601683794, 0.31622776601683794}, .beam_current_na = 1,
                                  .pixel_time_us = 2, .rows = 8, .cols = 8, .chip_px = 8, .pitch_px = 8};

    return s;
}

static inline struct fly_guard_limits rig_limits(void)
{
    return (struct fly_guard_limits){
        .guard_limits = 1, .chip_dose_e_per_A2 = 12000, .total_dose_e_per_A2 = 3000, .dwell_min_us = 1,
        .dwell_max_us = 20, .margin_px = 0, .step_px = 90, .slew_px_per_us = 1, .commands_per_s = 2,
        .open_commands = 2, .targets_per_command = 8, .box_px = 32, .frames_per_command = 4, .revisit_ms = 0,
        .valid_ahead_s = 10, .heartbeat_s = 1.5, .safe_state = FLY_GUARD_SAFE_BLANK, .survey_frames = 1};
}

struct rig {
    struct fly_guard_limits limits;
    struct fly_guard_book book;
    struct fly_guard_now now;
    struct fly_command command;
    struct fly_target targets[FLY_TARGETS_MAX];
    int number;
};

/* The next command that keeps to every limit: two chips of the second band, one frame. */
static inline void rig_next(struct rig *rig)
{
    struct fly_command *c = &rig->command;

    rig->number++;
    memset(rig->targets, 0, sizeof rig->targets);
    *c = (struct fly_command){.kind = FLY_COMMAND_BOX, .targets = rig->targets, .targets_cap = FLY_TARGETS_MAX,
                              .n_targets = 2, .frame = rig->number, .frames = 1, .dwell_us = 2,
                              .valid_until_ns = rig->now.unix_ns + 1000000000, .as_of = {.count = 2}};
    snprintf(c->cmd_id, sizeof c->cmd_id, "c-%d", rig->number);
    snprintf(c->decision_id, sizeof c->decision_id, "d-%d", rig->number);
    strcpy(c->as_of.names[0], "control");
    strcpy(c->as_of.names[1], "HAADF");
    c->as_of.seq[0] = 1;
    c->as_of.seq[1] = 64;
    rig->targets[0] = (struct fly_target){.kind = FLY_TARGET_BOX, .px = {8, 8, 8, 8}, .dwell_us = 2};
    rig->targets[1] = (struct fly_target){.kind = FLY_TARGET_BOX, .px = {8, 24, 8, 16}, .dwell_us = 2};
}

static inline int rig_open(struct rig *rig, const struct fly_guard_limits *limits,
                           const struct fly_guard_session *session)
{
    *rig = (struct rig){.limits = *limits,
                        .now = {.mono_ns = 1000000000, .unix_ns = RIG_NOW_NS, .session = "rig", .attached = 1,
                                .ledger_asked = 1, .journal_ok = 1}};
    if (fly_guard_book_open(&rig->book, limits, session) < 0)
        return 0;
    rig_next(rig);
    return 1;
}

static inline enum fly_guard_verdict rig_judge(struct rig *rig)
{
    return fly_guard_judge(&rig->limits, &rig->book, &rig->now, &rig->command);
}

/* Judged, and booked when it passed; the next one is ready, a second later. */
static inline enum fly_guard_verdict rig_send(struct rig *rig)
{
    enum fly_guard_verdict verdict = rig_judge(rig);

    if (verdict == FLY_GUARD_PASS)
        fly_guard_book_take(&rig->book, &rig->command, rig->now.mono_ns);
    rig->now.mono_ns += 1000000000;
    rig->now.unix_ns += 1000000000;
    rig_next(rig);
    return verdict;
}

static inline void rig_ack(struct rig *rig, const char *cmd_id, enum fly_ack_status status)
{
    struct fly_ack ack = {.status = status};

    snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", cmd_id);
    fly_guard_book_ack(&rig->book, &ack, rig->now.mono_ns);
}

#endif
