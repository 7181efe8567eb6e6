/* The journal: a restarted guard knows what the one before knew; what broke off is told; a full or failing disk lets
 * nothing pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../support/fault_disk.h"
#include "guard_rig.h"
#include "plugin/guard/journal.h"

static struct fault_disk disk;
static struct fly_guard_journal journal;
static struct fly_guard_past past;
static struct rig rig;

static int open_again(int64_t later_ns)
{
    struct fly_disk table = fault_table(&disk);
    struct fly_guard_limits limits = rig_limits();

    fly_guard_journal_close(&journal);
    fly_guard_book_close(&past.book);
    fly_guard_ids_close(&past.sessions);
    return fly_guard_journal_open(&journal, &table, "guard.jsonl", &limits, RIG_NOW_NS + later_ns, 77000000000, &past);
}

static int begin(void **state)
{
    struct fly_guard_limits limits = rig_limits();
    struct fly_guard_session session = rig_session();

    fault_init(&disk);
    journal = (struct fly_guard_journal){.fd = -1};
    past = (struct fly_guard_past){0};
    assert_int_equal(open_again(0), FLY_OK);
    assert_true(rig_open(&rig, &limits, &session));
    return 0;
}

static int end(void **state)
{
    fly_guard_journal_close(&journal);
    fly_guard_book_close(&past.book);
    fly_guard_ids_close(&past.sessions);
    fly_guard_book_close(&rig.book);
    fault_fini(&disk);
    return 0;
}

static void begin_session(void)
{
    struct fly_guard_session session = rig_session();

    assert_int_equal(fly_guard_journal_begin(&journal, RIG_NOW_NS, &rig.limits), FLY_OK);
    assert_int_equal(fly_guard_journal_session(&journal, RIG_NOW_NS, &session), FLY_OK);
}

/* Journal and book, as the guard does it. */
static void let_pass(void)
{
    assert_int_equal(rig_judge(&rig), FLY_GUARD_PASS);
    assert_int_equal(fly_guard_journal_command(&journal, rig.now.unix_ns, &rig.command, FLY_GUARD_PASS, ""), FLY_OK);
    assert_int_equal(rig_send(&rig), FLY_GUARD_PASS);
}

static void say_ack(const char *cmd_id, enum fly_ack_status status)
{
    struct fly_ack ack = {.status = status, .reason = "because", .has_achieved = 1, .achieved = {1, 64, 2.5}};

    snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", cmd_id);
    assert_int_equal(fly_guard_journal_ack(&journal, rig.now.unix_ns, &ack), FLY_OK);
    fly_guard_book_ack(&rig.book, &ack, rig.now.mono_ns);
}

static void same_book(const struct fly_guard_book *a, const struct fly_guard_book *b)
{
    size_t n = (size_t)a->rows * (size_t)a->cols;

    assert_string_equal(a->session.id, b->session.id);
    assert_int_equal(a->rows, b->rows);
    assert_memory_equal(a->dose_ns, b->dose_ns, n * sizeof *a->dose_ns);
    assert_memory_equal(a->unsettled_ns, b->unsettled_ns, n * sizeof *a->unsettled_ns);
    assert_memory_equal(a->busy, b->busy, n * sizeof *a->busy);
    assert_true(a->total_pixel_ns == b->total_pixel_ns && a->worst_ns == b->worst_ns);
    assert_int_equal(a->n_open, b->n_open);
    assert_int_equal(a->next_frame, b->next_frame);
    assert_int_equal(a->commands.count, b->commands.count);
    assert_int_equal(a->decisions.count, b->decisions.count);
    assert_memory_equal(&a->as_of, &b->as_of, sizeof a->as_of);
    assert_true(a->has_beam == b->has_beam && (!a->has_beam || memcmp(a->beam_px, b->beam_px, sizeof a->beam_px) == 0));
    assert_int_equal(a->has_id, b->has_id);
    assert_string_equal(a->id_prefix, b->id_prefix);
}

static void a_new_journal_knows_nothing(void **state)
{
    assert_int_equal(past.has_session, 0);
    assert_int_equal(past.held, 0);
    assert_int_equal(past.lines, 0);
}

static void a_restart_knows_doses_ids_and_what_is_under_way(void **state)
{
    begin_session();
    rig.command.dwell_us = 2.0000000000000004; /* numbers come back to the bit */
    let_pass();
    say_ack("c-1", FLY_ACK_STARTED);
    say_ack("c-1", FLY_ACK_DONE);
    rig.command.cmd_id[0] = 'x';
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_RATE, "too soon"), FLY_OK);
    fly_guard_book_refuse(&rig.book, rig.command.cmd_id);
    rig_next(&rig);
    let_pass();
    say_ack("c-3", FLY_ACK_REJECTED);
    let_pass();
    assert_int_equal(fly_guard_journal_word(&journal, RIG_NOW_NS, "malformed", "bad-1", "not a command"), FLY_OK);
    fly_guard_book_refuse(&rig.book, "bad-1");
    for (int i = 0; i < 3; i++)
        fly_guard_book_frame(&rig.book);
    assert_int_equal(fly_guard_journal_frames(&journal, RIG_NOW_NS, 3), FLY_OK);
    rig.command.kind = FLY_COMMAND_STOP;
    strcpy(rig.command.cmd_id, "stop-1");
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_OK);
    fly_guard_book_refuse(&rig.book, "stop-1");

    assert_int_equal(open_again(INT64_C(5000000000)), FLY_OK);
    assert_int_equal(past.has_session, 1);
    same_book(&rig.book, &past.book);
    assert_int_equal(past.book.n_open, 1);
    assert_true(fly_guard_ids_has(&past.book.commands, "c-1") && fly_guard_ids_has(&past.book.commands, "x-2") &&
                fly_guard_ids_has(&past.book.commands, "bad-1") && fly_guard_ids_has(&past.book.decisions, "d-4"));
    assert_true(fly_guard_ids_has(&past.sessions, "rig"));
    /* commands left 0, 1 and 2 s after the beginning; it is 5 s later now, and 77 s by this process's clock */
    assert_int_equal(past.book.sent_ns[0], 72000000000);
    assert_int_equal(past.book.sent_ns[2], 74000000000);
}

static void a_command_does_not_pass_twice_though_the_guard_died_between(void **state)
{
    struct fly_guard_now now;
    struct fly_command again;
    struct fly_target targets[FLY_TARGETS_MAX];

    begin_session();
    again = rig.command;
    memcpy(targets, rig.targets, sizeof targets);
    again.targets = targets;
    let_pass();
    assert_int_equal(open_again(0), FLY_OK);
    now = rig.now;
    now.mono_ns = 90000000000;
    assert_int_equal(fly_guard_judge(&rig.limits, &past.book, &now, &again), FLY_GUARD_REPEATED);
}

/* More than are tracked, each void long before the next: to a reader no time passes in between. */
static void commands_that_nobody_answered_do_not_keep_a_guard_from_starting(void **state)
{
    begin_session();
    rig.limits.chip_dose_e_per_A2 = rig.limits.total_dose_e_per_A2 = 1e9;
    for (int i = 0; i < FLY_GUARD_TRACKED + 6; i++) {
        let_pass();
        rig.now.mono_ns += 4000000000;
        rig.now.unix_ns += 4000000000;
        fly_guard_book_lapse(&rig.book, rig.now.unix_ns, rig.now.mono_ns);
        rig.command.valid_until_ns = rig.now.unix_ns + 1000000000;
    }
    assert_int_equal(open_again(0), FLY_OK);
    assert_int_equal(past.book.commands.count, FLY_GUARD_TRACKED + 6);
    assert_true(past.book.worst_ns == rig.book.worst_ns && past.book.total_pixel_ns == rig.book.total_pixel_ns);
}

/* A clock that stood still: none is void, and all are open. */
static void more_commands_than_are_tracked_stay_booked(void **state)
{
    begin_session();
    for (int i = 0; i < FLY_GUARD_TRACKED + 6; i++) {
        assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_OK);
        rig_next(&rig);
    }
    assert_int_equal(open_again(0), FLY_OK);
    assert_int_equal(past.book.n_open, FLY_GUARD_TRACKED);
    assert_int_equal(past.book.worst_ns, 2000 + 2000 * (FLY_GUARD_TRACKED + 6));
}

static void a_refused_command_with_a_number_too_large_is_no_damage(void **state)
{
    begin_session();
    rig.command.as_of.seq[1] = UINT64_MAX;
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_RATE, "x"), FLY_OK);
    assert_int_equal(open_again(0), FLY_OK);
    assert_true(fly_guard_ids_has(&past.book.commands, "c-1"));
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_OK);
    assert_int_equal(fly_guard_journal_begin(&journal, RIG_NOW_NS, &rig.limits), FLY_OK);
    assert_int_equal(open_again(0), FLY_EWIRE); /* one that passed is */
}

static void a_hold_stands_until_it_is_taken_back(void **state)
{
    assert_int_equal(fly_guard_journal_word(&journal, RIG_NOW_NS, "hold", "signal", NULL), FLY_OK);
    assert_int_equal(open_again(0), FLY_OK);
    assert_int_equal(past.held, 1);
    assert_int_equal(fly_guard_journal_word(&journal, RIG_NOW_NS, "resume", "signal", NULL), FLY_OK);
    assert_int_equal(open_again(0), FLY_OK);
    assert_int_equal(past.held, 0);
}

/* Wherever the last line breaks off, what was before is there, the rest is told, and writing goes on. */
static void a_torn_last_line_is_passed_over_and_marked(void **state)
{
    unsigned char *bytes;
    size_t whole, before;

    begin_session();
    let_pass();
    before = disk.file.len;
    let_pass();
    whole = disk.file.len;
    bytes = malloc(whole);
    assert_non_null(bytes);
    memcpy(bytes, disk.file.bytes, whole);
    for (size_t cut = before; cut < whole; cut++) {
        fault_put(&disk, bytes, cut);
        assert_int_equal(open_again(0), FLY_OK);
        assert_int_equal(past.book.commands.count, 1);
        assert_int_equal(journal.torn, cut > before);
        assert_int_equal(fly_guard_journal_begin(&journal, RIG_NOW_NS, &rig.limits), FLY_OK);
        assert_memory_equal(disk.file.bytes, bytes, cut); /* nothing was taken away */
        assert_int_equal(open_again(0), FLY_OK); /* with the mark the torn line is no damage */
        /* one that lacked its line break alone is whole by now: booked, which is the stricter way */
        assert_int_equal(past.book.commands.count, cut + 1 == whole ? 2 : 1);
        assert_int_equal(journal.torn, 0);
    }
    free(bytes);
}

/* The disk is full within the mark, more than once; then there is room, or a restart. */
static void a_mark_that_breaks_off_itself_is_no_damage(void **state)
{
    const int64_t mark_len = 38;

    for (int64_t room = 1; room < mark_len; room++) {
        fault_put(&disk, "", 0);
        assert_int_equal(open_again(0), FLY_OK);
        begin_session();
        for (int n = 0; n < 3; n++) { /* within the line, then twice within its mark */
            disk.space = (int64_t)disk.file.len + (n == 0 ? 40 : room);
            assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_EIO);
        }
        disk.space = -1;
        if (room > 1 && room % 2 == 0)
            assert_int_equal(open_again(0), FLY_OK);
        assert_int_equal(journal.torn, 1);
        assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_OK);
        assert_int_equal(open_again(0), FLY_OK);
        assert_int_equal(past.book.commands.count, 1);
    }
}

static void damage_elsewhere_is_not_guessed_at(void **state)
{
    unsigned char *line;

    begin_session();
    let_pass();
    let_pass();
    line = memchr(disk.file.bytes, '\n', disk.file.len);
    line = memchr(line + 1, '\n', disk.file.len); /* behind the session's line */
    line[30] = '\0';
    assert_int_equal(open_again(0), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "guard.jsonl:3: no line of the guard's journal"));
}

static void a_full_disk_refuses_and_heals(void **state)
{
    begin_session();
    disk.space = (int64_t)disk.file.len + 40; /* the line breaks off */
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_EIO);
    assert_int_equal(journal.ok, 0);
    assert_non_null(strstr(fly_fail_text(), "No space left"));
    disk.space = -1;
    let_pass();
    assert_int_equal(journal.ok, 1);
    assert_int_equal(open_again(0), FLY_OK);
    same_book(&rig.book, &past.book);
}

static void a_failed_sync_is_for_good(void **state)
{
    begin_session();
    disk.sync_error = EIO;
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_EIO);
    disk.sync_error = 0;
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_EIO);
    assert_int_equal(journal.ok, 0);
}

static void what_passed_is_synced_before_it_is_told(void **state)
{
    int64_t syncs;

    begin_session();
    syncs = disk.syncs;
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_RATE, "x"), FLY_OK);
    assert_int_equal(disk.syncs, syncs);
    assert_int_equal(fly_guard_journal_command(&journal, RIG_NOW_NS, &rig.command, FLY_GUARD_PASS, ""), FLY_OK);
    assert_int_equal(disk.syncs, syncs + 1);
    assert_int_equal(disk.truncates, 0); /* only ever appended */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_journal_knows_nothing),
        TEST(a_restart_knows_doses_ids_and_what_is_under_way),
        TEST(a_command_does_not_pass_twice_though_the_guard_died_between),
        TEST(commands_that_nobody_answered_do_not_keep_a_guard_from_starting),
        TEST(more_commands_than_are_tracked_stay_booked),
        TEST(a_refused_command_with_a_number_too_large_is_no_damage),
        TEST(a_hold_stands_until_it_is_taken_back),
        TEST(a_torn_last_line_is_passed_over_and_marked),
        TEST(a_mark_that_breaks_off_itself_is_no_damage),
        TEST(damage_elsewhere_is_not_guessed_at),
        TEST(a_full_disk_refuses_and_heals),
        TEST(a_failed_sync_is_for_good),
        TEST(what_passed_is_synced_before_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
