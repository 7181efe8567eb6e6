/* Commands of the plugin: judged, written down and sent on, or refused. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/guard/guard_state.h"

static void note(struct fly_guard *g, const char *cmd_id, enum fly_guard_verdict verdict, const char *why)
{
    const char *name = fly_guard_verdict_name(verdict);

    g->last_verdict = verdict;
    snprintf(g->last_id, sizeof g->last_id, "%s", cmd_id);
    if (verdict == FLY_GUARD_PASS) {
        g->passed++;
        snprintf(g->last, sizeof g->last, "%s passed", cmd_id);
        fly_guard_say(g, FLY_GUARD_DEBUG, "pass", "%s", cmd_id);
        return;
    }
    g->refused++;
    snprintf(g->last, sizeof g->last, "%s refused, %s: %s", cmd_id, name, why);
    fly_guard_say(g, FLY_GUARD_WARNING, "refused", "%s, %s: %s", cmd_id, name, why);
}

static void refuse(struct fly_guard *g, const struct fly_command *command, enum fly_guard_verdict verdict,
                   const char *why)
{
    char reason[FLY_ACK_REASON_MAX + 1];

    snprintf(reason, sizeof reason, "%s: %.200s", fly_guard_verdict_name(verdict), why);
    if (verdict != FLY_GUARD_JOURNAL)
        fly_guard_wrote(g, fly_guard_journal_command(&g->journal, fly_guard_unix(g), command, verdict, why));
    else /* whether it can be written again: the next command may pass then */
        (void)fly_guard_journal_command(&g->journal, fly_guard_unix(g), command, verdict, why);
    if (g->has_book && command->cmd_id[0])
        fly_guard_book_refuse(&g->book, command->cmd_id);
    note(g, command->cmd_id, verdict, why);
    if (command->cmd_id[0])
        fly_guard_plugin_reject(g, command->cmd_id, reason);
}

/* Written down as passed, but it did not leave: as if the acquisition had rejected it. */
static void stay_behind(struct fly_guard *g, const struct fly_command *command, enum fly_guard_verdict verdict,
                        const char *why)
{
    struct fly_ack ack = {.status = FLY_ACK_REJECTED};

    memcpy(ack.cmd_id, command->cmd_id, sizeof ack.cmd_id);
    snprintf(ack.reason, sizeof ack.reason, "guard: %s: %.200s", fly_guard_verdict_name(verdict), why);
    fly_guard_book_ack(&g->book, &ack, fly_guard_mono(g));
    fly_guard_wrote(g, fly_guard_journal_ack(&g->journal, fly_guard_unix(g), &ack));
    note(g, command->cmd_id, verdict, why);
    fly_guard_plugin_ack(g, &ack);
}

/* On the disk first, then in the book, then out. */
static void let_pass(struct fly_guard *g, const struct fly_command *command)
{
    if (fly_guard_journal_command(&g->journal, fly_guard_unix(g), command, FLY_GUARD_PASS, "") < 0) {
        char why[FLY_GUARD_WORDS];

        snprintf(why, sizeof why, "%s", fly_fail_text());
        fly_guard_say(g, FLY_GUARD_ERROR, "journal", "%s: no command passes", why);
        fly_guard_book_refuse(&g->book, command->cmd_id);
        note(g, command->cmd_id, FLY_GUARD_JOURNAL, why);
        fly_guard_plugin_reject(g, command->cmd_id, why);
        return;
    }
    fly_guard_book_take(&g->book, command, fly_guard_mono(g));
    if (command->valid_until_ns <= fly_guard_unix(g)) {
        stay_behind(g, command, FLY_GUARD_EXPIRED, "the disk took longer than it was valid");
        return;
    }
    g->order.active = 0; /* what the acquisition does now is what this command says */
    if (fly_guard_acquisition_command(g, command) == FLY_OK) {
        note(g, command->cmd_id, FLY_GUARD_PASS, "");
        return;
    }
    stay_behind(g, command, FLY_GUARD_DETACHED, "the acquisition cannot be reached");
    fly_guard_part(g, "cannot be reached", 1);
}

/* Out first: nothing may stand in their way. */
static void let_stop(struct fly_guard *g, const struct fly_command *command)
{
    int rc = fly_guard_acquisition_command(g, command);

    memcpy(g->stop_id, command->cmd_id, sizeof g->stop_id);
    fly_guard_wrote(g, fly_guard_journal_command(&g->journal, fly_guard_unix(g), command, FLY_GUARD_PASS, ""));
    if (g->has_book)
        fly_guard_book_refuse(&g->book, command->cmd_id); /* used up */
    note(g, command->cmd_id, FLY_GUARD_PASS, "");
    if (rc < 0)
        fly_guard_plugin_reject(g, command->cmd_id, "the acquisition cannot be reached");
}

/* A stop that is told badly is a stop. */
static int stop_of(struct fly_value header, struct fly_command *command)
{
    char kind[16];

    if (!fly_guard_get_str(header, "kind", kind, sizeof kind))
        return 0;
    if (strcmp(kind, "stop") == 0)
        command->kind = FLY_COMMAND_STOP;
    else if (strcmp(kind, "blank") == 0)
        command->kind = FLY_COMMAND_BLANK;
    else
        return 0;
    command->n_targets = 0;
    command->frame = -1;
    command->frames = 0;
    command->dwell_us = NAN;
    command->as_of.count = 0;
    command->decision_id[0] = '\0';
    command->valid_until_ns = INT64_MAX;
    return 1;
}

/* One that was not taken apart. */
static void refuse_unread(struct fly_guard *g, const char *cmd_id, enum fly_guard_verdict verdict, const char *why)
{
    char reason[FLY_ACK_REASON_MAX + 1];

    snprintf(reason, sizeof reason, "%s: %.200s", fly_guard_verdict_name(verdict), why);
    fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), "malformed", cmd_id, why));
    if (g->has_book && cmd_id[0])
        fly_guard_book_refuse(&g->book, cmd_id);
    note(g, cmd_id, verdict, why);
    if (cmd_id[0])
        fly_guard_plugin_reject(g, cmd_id, reason);
}

static enum fly_refusal decode(struct fly_guard *g, struct fly_command *command, const struct fly_part *parts,
                               int32_t n_parts)
{
    const struct fly_guard_session *s = &g->book.session;
    struct fly_steer_field field = {.height_px = s->height_px, .width_px = s->width_px,
                                    .pixel_nm = {s->pixel_nm[0], s->pixel_nm[1]}};

    *command = (struct fly_command){.targets = g->targets, .targets_cap = FLY_TARGETS_MAX};
    return fly_command_decode(command, g->has_book ? &field : NULL, parts, n_parts);
}

static void judge(struct fly_guard *g, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_guard_now now = {.mono_ns = fly_guard_mono(g), .unix_ns = fly_guard_unix(g),
                                .session = g->plugin.session,
                                .attached = g->plugin.attached && fly_guard_wants_commands(g) && !g->plugin.lost,
                                .held = fly_guard_held(g),
                                .held_by = g->held ? g->held_by : "held at the plugin",
                                .ledger_asked = g->plugin.ledger_answered,
                                .journal_ok = g->journal.ok && !g->journal.broken && (!g->has_book || g->session_kept)};
    struct fly_command command;
    enum fly_guard_verdict verdict;
    char why[FLY_GUARD_WORDS];

    if (decode(g, &command, parts, n_parts) != FLY_REFUSE_NONE) {
        snprintf(why, sizeof why, "%s", fly_fail_text());
        refuse_unread(g, command.cmd_id, FLY_GUARD_MALFORMED, why);
        return;
    }
    verdict = fly_guard_judge(&g->in_force, g->has_book ? &g->book : NULL, &now, &command);
    if (verdict == FLY_GUARD_PASS) {
        let_pass(g, &command);
        return;
    }
    snprintf(why, sizeof why, "%s", fly_fail_text());
    refuse(g, &command, verdict, why);
}

void fly_guard_commands_drop(struct fly_guard *g, const char *why)
{
    struct fly_command command;

    for (int i = 0; i < g->n_pending; i++) {
        struct fly_msg *msg = &g->pending[i].msg;

        if (decode(g, &command, msg->parts + 1, fly_guard_n_parts(msg)) == FLY_REFUSE_NONE)
            refuse(g, &command, FLY_GUARD_HELD, why);
        else
            refuse_unread(g, command.cmd_id, FLY_GUARD_MALFORMED, why);
        fly_msg_close(msg);
    }
    g->n_pending = 0;
}

/* A command does not say of which session it is, but messages of one socket keep their order: a status that came
 * after it was said after it. A ledger that was asked for is waited for, too. */
void fly_guard_commands_judge(struct fly_guard *g)
{
    const struct fly_guard_plugin *p = &g->plugin;
    int n = 0;

    if (p->ledger_id && !p->ledger_answered)
        return;
    while (n < g->n_pending && g->pending[n].status_id <= p->status_seen) {
        judge(g, g->pending[n].msg.parts + 1, fly_guard_n_parts(&g->pending[n].msg));
        fly_msg_close(&g->pending[n++].msg);
    }
    g->n_pending -= n;
    memmove(g->pending, g->pending + n, (size_t)g->n_pending * sizeof *g->pending);
}

void fly_guard_commands_take(struct fly_guard *g, struct fly_msg *msg)
{
    struct fly_command command;
    const struct fly_part *parts = msg->parts + 1;
    enum fly_refusal decoded = decode(g, &command, parts, fly_guard_n_parts(msg));

    if (decoded == FLY_REFUSE_NONE ? command.kind == FLY_COMMAND_STOP || command.kind == FLY_COMMAND_BLANK
                                   : stop_of(fly_value_root(parts[0].bytes, parts[0].len), &command)) {
        if (command.cmd_id[0])
            let_stop(g, &command);
        else /* nobody could acknowledge it: it becomes an order of ours */
            fly_guard_give_order(g, command.kind, "the plugin, without an id");
        /* They waited for a status, it did not: nothing that was said before it may begin after it. */
        fly_guard_commands_drop(g, "a stop came after it");
        return;
    }
    if (g->n_pending == FLY_GUARD_PENDING) {
        refuse_unread(g, command.cmd_id, FLY_GUARD_OPEN, "more commands at once than can be judged");
        return;
    }
    g->pending[g->n_pending++] = (struct fly_guard_pending){*msg, fly_guard_plugin_ask_status(g)};
    *msg = (struct fly_msg){0};
}
