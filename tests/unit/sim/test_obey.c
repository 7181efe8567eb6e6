#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/obey.h"

enum { H = 48, W = 80, PATCHES = 4096, ACKS = 64 };

/* What the acquisition did, as its instrument and whoever steers it saw it. */
static struct world {
    struct fly_patch patches[PATCHES];
    char cmd_ids[PATCHES][FLY_CMD_ID_MAX + 1];
    double off_px[PATCHES][H][2];
    enum fly_signal signals[PATCHES];
    int n_patches, n_done;
    struct fly_ack acks[ACKS];
    int n_acks;
    int frames_left; /* of the instrument; -1: any number */
} world;

static struct fly_obey *obey;
static struct fly_obey_config config;
static struct fly_instrument instrument;

static int take_ack(void *ctx, const struct fly_ack *ack)
{
    assert_true(world.n_acks < ACKS);
    world.acks[world.n_acks++] = *ack;
    return FLY_OK;
}

static int take_patch(void *ctx, const struct fly_patch *patch, enum fly_signal signal)
{
    assert_true(world.n_patches < PATCHES);
    assert_true((int64_t)patch->h * patch->w <= instrument.patch_px);
    assert_true(patch->y0_px >= 0 && patch->y0_px + patch->h <= H && patch->x0_px >= 0 && patch->x0_px + patch->w <= W);
    snprintf(world.cmd_ids[world.n_patches], sizeof world.cmd_ids[0], "%s", patch->cmd_id);
    memcpy(world.off_px[world.n_patches], patch->off_px, (size_t)patch->h * sizeof patch->off_px[0]);
    world.signals[world.n_patches] = signal;
    world.patches[world.n_patches++] = *patch;
    return FLY_OK;
}

static int is_ready(void *ctx, const struct fly_patch *patch)
{
    if (world.frames_left == 0)
        return fly_fail(FLY_ERANGE, "no frames left");
    return FLY_OK;
}

static double as_asked(void *ctx, double asked_us)
{
    return asked_us;
}

static void is_done(void *ctx, const struct fly_patch *patch)
{
    world.n_done++;
    if (world.frames_left > 0)
        world.frames_left--;
}

static int setup(void **state)
{
    const struct fly_obey_out out = {.ack = take_ack, .measure = take_patch};

    memset(&world, 0, sizeof world);
    world.frames_left = -1;
    instrument = (struct fly_instrument){.n_streams = 3, .n_images = 1, .field = {H, W, {0.05, 0.05}}, .pixel_time_us = 2.0,
                                         .dwell_max_us = 64.0,
                                         .patch_px = 4 * W, .ready = is_ready, .dwell_us = as_asked, .done = is_done};
    if (!config.dead_us)
        config = fly_obey_config_default();
    return fly_obey_open(&obey, &config, &instrument, &out);
}

static int teardown(void **state)
{
    fly_obey_close(&obey);
    config = fly_obey_config_default();
    return 0;
}

/* With other settings. */
static void reopen(void)
{
    fly_obey_close(&obey);
    assert_int_equal(setup(NULL), FLY_OK);
}

/* ---- commands ------------------------------------------------------------------------------------- */

static struct fly_target targets[8];
static struct fly_command command;

static struct fly_target box(double y0, double x0, double h, double w, double dwell_us)
{
    return (struct fly_target){.kind = FLY_TARGET_BOX, .px = {y0, x0, h, w}, .dwell_us = dwell_us, .expected_gain = NAN,
                               .dose_e_per_A2 = NAN};
}

static void make(const char *cmd_id, enum fly_command_kind kind, int n)
{
    command = (struct fly_command){.kind = kind, .targets = targets, .n_targets = n, .targets_cap = 8, .frame = -1,
                                   .dwell_us = NAN, .valid_until_ns = 1000};
    snprintf(command.cmd_id, sizeof command.cmd_id, "%s", cmd_id);
    if (!fly_command_measures(kind))
        return;
    snprintf(command.decision_id, sizeof command.decision_id, "d");
    command.frame = 7;
    command.frames = 1;
    command.dwell_us = 0.0;
    for (int i = 0; i < n; i++)
        command.dwell_us = fmax(command.dwell_us, targets[i].dwell_us);
}

static void say_in(const struct fly_steer_field *field)
{
    static unsigned char header[FLY_HEADER_MAX];
    struct fly_part part;
    struct fly_pack pack;

    fly_pack_init(&pack, header, sizeof header);
    if (fly_command_encode(&pack, &command, field) < 0)
        fail_msg("%s", fly_fail_text());
    part = (struct fly_part){header, pack.len};
    assert_int_equal(fly_obey_hear(obey, &part, 1), FLY_OK);
}

static void say(void)
{
    say_in(&instrument.field);
}

static void run_out(int64_t unix_ns)
{
    int rc;

    while ((rc = fly_obey_step(obey, unix_ns)) == FLY_OK)
        continue;
    assert_int_equal(rc, FLY_EAGAIN);
    assert_false(fly_obey_busy(obey));
}

static void assert_ack(int i, const char *cmd_id, enum fly_ack_status status, const char *words)
{
    assert_true(i < world.n_acks);
    assert_string_equal(world.acks[i].cmd_id, cmd_id);
    assert_int_equal(world.acks[i].status, status);
    if (words && !strstr(world.acks[i].reason, words))
        fail_msg("'%s' does not say '%s'", world.acks[i].reason, words);
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static void every_pixel_of_every_frame_is_measured_once(void **state)
{
    static int seen[2][H][W];

    targets[0] = box(8, 16, 8, 24, 2.0);
    targets[1] = box(30, 3, 11, 60, 4.0);
    make("c-1", FLY_COMMAND_BOX, 2);
    command.frames = 2;
    say();
    run_out(0);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < world.n_patches; i++) {
        const struct fly_patch *p = &world.patches[i];

        assert_string_equal(world.cmd_ids[i], "c-1");
        assert_int_equal(world.signals[i], FLY_SIGNAL_BOTH);
        assert_true(p->frame == 7 || p->frame == 8);
        assert_true(p->dwell_us == (p->y0_px < 20 ? 2.0 : 4.0));
        for (int y = p->y0_px; y < p->y0_px + p->h; y++)
            for (int x = p->x0_px; x < p->x0_px + p->w; x++)
                seen[p->frame - 7][y][x]++;
    }
    for (int f = 0; f < 2; f++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                assert_int_equal(seen[f][y][x], (y >= 8 && y < 16 && x >= 16 && x < 40) ||
                                                    (y >= 30 && y < 41 && x >= 3 && x < 63));
    assert_int_equal(world.n_done, world.n_patches);
    assert_int_equal(world.n_acks, 3);
    assert_ack(0, "c-1", FLY_ACK_RECEIVED, NULL);
    assert_ack(1, "c-1", FLY_ACK_STARTED, NULL);
    assert_ack(2, "c-1", FLY_ACK_DONE, "");
    assert_int_equal(world.acks[2].achieved.frames, 2);
    assert_int_equal(world.acks[2].achieved.pixels, 2 * (8 * 24 + 11 * 60));
    assert_float_equal(world.acks[2].achieved.dwell_us, (8 * 24 * 2.0 + 11 * 60 * 4.0) / (8 * 24 + 11 * 60), 1e-9);
}

static void time_is_dwell_and_moves(void **state)
{
    const struct fly_motion_config *m = &config.motion;
    struct fly_obey_report report;
    double dwell = 8 * 24 * 2.0 + 4 * 10 * 4.0, move;

    config.delay_us = 250.0;
    reopen();
    targets[0] = box(8, 16, 8, 24, 2.0);
    targets[1] = box(30, 3, 4, 10, 4.0);
    make("c-1", FLY_COMMAND_BOX, 2);
    say();
    run_out(0);
    fly_obey_report(obey, &report);
    move = config.dead_us + 250.0 + (hypot(8, 16) + hypot(30 - 15, 3 - 40)) / m->px_per_us + 2 * m->settle_us +
           (7 + 3) * m->flyback_us;
    assert_float_equal(report.beam_us, dwell, 1e-9);
    assert_float_equal(report.move_us, move, 1e-9);
    assert_float_equal(fly_obey_time_us(obey), dwell + move, 1e-9);
    assert_float_equal(fly_obey_mean_us(obey), dwell / (H * W), 1e-12);
}

static void the_first_lines_after_a_jump_are_off(void **state)
{
    double arrival;

    targets[0] = box(40, 70, 6, 10, 2.0);
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    arrival = -config.motion.hysteresis * 40 * exp(-config.motion.settle_us / config.motion.relax_us);
    assert_float_equal(world.off_px[0][0][0], arrival, 1e-12);
    for (int line = 1; line < world.patches[0].h; line++)
        assert_float_equal(world.off_px[0][line][0],
                           world.off_px[0][line - 1][0] * exp(-(20.0 + config.motion.flyback_us) / config.motion.relax_us),
                           1e-12);
}

static void what_came_too_late_is_not_begun(void **state)
{
    targets[0] = box(8, 16, 8, 24, 2.0);
    make("late", FLY_COMMAND_BOX, 1);
    say();
    assert_int_equal(fly_obey_step(obey, 900), FLY_OK); /* its dead time */
    run_out(1001);
    make("in-time", FLY_COMMAND_BOX, 1);
    say();
    run_out(1000);
    assert_ack(1, "late", FLY_ACK_REJECTED, "expired");
    assert_ack(4, "in-time", FLY_ACK_DONE, "");
    for (int i = 0; i < world.n_patches; i++)
        assert_string_equal(world.cmd_ids[i], "in-time");
}

static void a_stop_acts_after_the_line(void **state)
{
    targets[0] = box(8, 16, 12, 24, 2.0);
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    make("c-2", FLY_COMMAND_BOX, 1);
    say();
    while (fly_obey_step(obey, 0) == FLY_OK && fly_obey_mean_us(obey) * H * W < 5 * 24 * 2.0)
        continue;
    make("s-1", FLY_COMMAND_STOP, 0);
    say();
    assert_false(fly_obey_busy(obey));
    assert_int_equal(world.n_patches, 1);
    assert_int_equal(world.patches[0].h, 5);
    assert_ack(3, "s-1", FLY_ACK_RECEIVED, NULL);
    assert_ack(4, "c-1", FLY_ACK_DONE, "stopped");
    assert_int_equal(world.acks[4].achieved.pixels, 5 * 24);
    assert_ack(5, "c-2", FLY_ACK_REJECTED, "stopped");
    assert_ack(6, "s-1", FLY_ACK_DONE, "");
    assert_int_equal(fly_obey_step(obey, 0), FLY_EAGAIN);
}

static void what_comes_again_is_answered_as_before_and_a_stop_stops_again(void **state)
{
    targets[0] = box(8, 16, 8, 24, 2.0);
    make("s-1", FLY_COMMAND_STOP, 0);
    say();
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    say();
    assert_ack(3, "c-1", FLY_ACK_RECEIVED, NULL);
    make("s-1", FLY_COMMAND_STOP, 0);
    say();
    assert_false(fly_obey_busy(obey));
    assert_ack(4, "c-1", FLY_ACK_REJECTED, "stopped");
    assert_ack(5, "s-1", FLY_ACK_DONE, "");
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    assert_ack(6, "c-1", FLY_ACK_REJECTED, "stopped");
    make("c-2", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    assert_ack(9, "c-2", FLY_ACK_DONE, "");
    make("c-2", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    assert_ack(10, "c-2", FLY_ACK_DONE, "");
    assert_int_equal(world.acks[10].achieved.pixels, 8 * 24);
    assert_int_equal(world.n_acks, 11);
}

static void a_stop_is_obeyed_however_late_and_unwell(void **state)
{
    config.refuse = 1.0;
    reopen();
    make("s-1", FLY_COMMAND_BLANK, 0);
    command.valid_until_ns = 0;
    say();
    assert_ack(1, "s-1", FLY_ACK_DONE, "");
}

static void what_cannot_be_done_is_rejected_with_words(void **state)
{
    const struct fly_steer_field large = {1024, 1024, {NAN, NAN}};
    const struct fly_part garbage = {"\x82\xa4type\xa7" "command\xa6" "cmd_id\xa3" "g-1", 25};
    struct fly_instrument no_eds;
    int at = 0;

    targets[0] = box(40, 70, 6, 100, 2.0);
    make("out", FLY_COMMAND_BOX, 1);
    say_in(&large);
    assert_ack(at++, "out", FLY_ACK_REJECTED, "");
    assert_int_equal(fly_obey_hear(obey, &garbage, 1), FLY_OK);
    assert_ack(at++, "g-1", FLY_ACK_REJECTED, "bad_key");
    targets[0] = box(8, 16, 8, 24, 100.0);
    make("long", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    assert_ack(at++, "long", FLY_ACK_RECEIVED, NULL);
    assert_ack(at++, "long", FLY_ACK_REJECTED, "at most 64");
    make("long", FLY_COMMAND_BOX, 1);
    say();
    assert_ack(at++, "long", FLY_ACK_REJECTED, "at most 64"); /* as before */
    no_eds = instrument;
    no_eds.n_streams = 2;
    fly_obey_close(&obey);
    assert_int_equal(fly_obey_open(&obey, &config, &no_eds, &(struct fly_obey_out){take_ack, take_patch, NULL}), FLY_OK);
    targets[0] = box(8, 16, 8, 24, 2.0);
    targets[0].signal = FLY_SIGNAL_EDS;
    make("eds", FLY_COMMAND_BOX, 1);
    say();
    assert_ack(at++, "eds", FLY_ACK_REJECTED, "X-ray");
    assert_int_equal(world.n_patches, 0);
}

static void more_than_can_wait_is_busy(void **state)
{
    char id[16];

    targets[0] = box(8, 16, 8, 24, 2.0);
    for (int i = 0; i < 2 + FLY_OBEY_WAITING; i++) {
        snprintf(id, sizeof id, "c-%d", i);
        make(id, FLY_COMMAND_BOX, 1);
        say();
    }
    assert_ack(1 + FLY_OBEY_WAITING, "c-5", FLY_ACK_REJECTED, "busy");
    run_out(0);
    /* In the order that they came. */
    for (int i = 0; i < world.n_patches; i++)
        assert_true(i == 0 || strcmp(world.cmd_ids[i - 1], world.cmd_ids[i]) <= 0);
    assert_string_equal(world.cmd_ids[world.n_patches - 1], "c-4");
}

static int refused_of_40(uint64_t seed)
{
    struct fly_obey_report report;
    char id[16];

    config.refuse = 0.5;
    config.seed = seed;
    reopen();
    targets[0] = box(8, 16, 1, 1, 2.0);
    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "c-%d", i);
        make(id, FLY_COMMAND_BOX, 1);
        say();
        run_out(0);
        world.n_acks = 0;
    }
    fly_obey_report(obey, &report);
    assert_int_equal(report.done + report.rejected, 40);
    return (int)report.rejected;
}

static void refusals_are_of_the_seed(void **state)
{
    int first = refused_of_40(5);

    assert_true(first > 5 && first < 35);
    assert_int_equal(refused_of_40(5), first);
}

static void a_raster_goes_on_until_something_else_is_wanted(void **state)
{
    int64_t pixels = 0;

    fly_obey_expose(obey, 3, 10, 2.0);
    make("r-1", FLY_COMMAND_RASTER, 0);
    say();
    while (world.n_patches < 2 * (H / 4) + 3)
        assert_int_equal(fly_obey_step(obey, 0), FLY_OK);
    targets[0] = box(8, 16, 1, 1, 2.0);
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    for (int i = 0; i < 2 * (H / 4); i++) {
        assert_int_equal(world.patches[i].frame, 4 + i / (H / 4));
        assert_int_equal(world.patches[i].w, W);
        assert_true(world.patches[i].dwell_us == 2.0);
        pixels += (int64_t)world.patches[i].h * world.patches[i].w;
    }
    assert_int_equal(pixels, 2 * H * W);
    assert_ack(3, "r-1", FLY_ACK_DONE, "another command");
    assert_ack(5, "c-1", FLY_ACK_DONE, "");
}

static void what_waits_behind_a_raster_comes_to_its_turn(void **state)
{
    targets[0] = box(8, 16, 4, 4, 2.0);
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    make("r-1", FLY_COMMAND_RASTER, 0);
    say();
    make("c-2", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    assert_ack(world.n_acks - 1, "c-2", FLY_ACK_DONE, "");
}

static void a_raster_of_so_many_frames_ends(void **state)
{
    make("r-1", FLY_COMMAND_RASTER, 0);
    command.frame = 9;
    command.frames = 2;
    command.dwell_us = 3.0;
    say();
    run_out(0);
    assert_ack(2, "r-1", FLY_ACK_DONE, "");
    assert_int_equal(world.acks[2].achieved.pixels, 2 * H * W);
    assert_int_equal(world.patches[world.n_patches - 1].frame, 10);
    assert_true(world.patches[0].dwell_us == 3.0);
}

static void whoever_falls_silent_ends_it_all(void **state)
{
    targets[0] = box(8, 16, 12, 24, 2.0);
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    for (int i = 0; i < 6; i++)
        assert_int_equal(fly_obey_step(obey, 0), FLY_OK);
    assert_int_equal(fly_obey_safe(obey, "silence"), FLY_OK);
    assert_false(fly_obey_busy(obey));
    assert_ack(2, "c-1", FLY_ACK_DONE, "silence");
    assert_int_equal(world.acks[2].achieved.pixels, world.patches[0].h * 24);
}

static void what_the_instrument_runs_out_of_is_told(void **state)
{
    world.frames_left = 2; /* patches of it */
    targets[0] = box(0, 0, 16, 80, 2.0);
    make("c-1", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    assert_int_equal(world.n_patches, 2);
    assert_ack(2, "c-1", FLY_ACK_DONE, "no frames left");
    assert_int_equal(world.acks[2].achieved.pixels, 2 * 4 * W);
    make("c-2", FLY_COMMAND_BOX, 1);
    say();
    run_out(0);
    assert_ack(4, "c-2", FLY_ACK_REJECTED, "no frames left");
}

/* Against the distance of each pixel from the line, and each column or row once. */
static void a_line_is_the_pixels_nearest_to_it(void **state)
{
    struct fly_rng rng = {31};
    char id[16];

    for (int trial = 0; trial < 300; trial++) {
        double y0 = (double)fly_rng_below(&rng, H), x0 = (double)fly_rng_below(&rng, W);
        double y1 = (double)fly_rng_below(&rng, H), x1 = (double)fly_rng_below(&rng, W);
        double length = fmax(1.0, hypot(y1 - y0, x1 - x0));
        int64_t pixels = 0, longest = (int64_t)fmax(fabs(y1 - y0), fabs(x1 - x0)) + 1;
        int ends = 0;

        world.n_patches = world.n_acks = 0;
        targets[0] = (struct fly_target){.kind = FLY_TARGET_LINE, .px = {y0, x0, y1, x1}, .dwell_us = 1.0,
                                         .expected_gain = NAN, .dose_e_per_A2 = NAN};
        snprintf(id, sizeof id, "l-%d", trial);
        make(id, FLY_COMMAND_LINE, 1);
        say();
        run_out(0);
        for (int i = 0; i < world.n_patches; i++) {
            const struct fly_patch *p = &world.patches[i];

            for (int y = p->y0_px; y < p->y0_px + p->h; y++)
                for (int x = p->x0_px; x < p->x0_px + p->w; x++) {
                    assert_true(fabs((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) / length <= 0.7072);
                    ends += (y == (int)y0 && x == (int)x0) || (y == (int)y1 && x == (int)x1);
                    pixels++;
                }
        }
        assert_int_equal(pixels, longest);
        assert_int_equal(ends, y0 == y1 && x0 == x1 ? 1 : 2);
    }
}

static void points_are_single_pixels(void **state)
{
    for (int i = 0; i < 3; i++)
        targets[i] = (struct fly_target){.kind = FLY_TARGET_POINT, .px = {5.0 * i, 7.4}, .dwell_us = 9.0,
                                         .signal = FLY_SIGNAL_EDS, .expected_gain = NAN, .dose_e_per_A2 = NAN};
    make("p-1", FLY_COMMAND_POINT_LIST, 3);
    say();
    run_out(0);
    assert_int_equal(world.n_patches, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world.patches[i].y0_px, 5 * i);
        assert_int_equal(world.patches[i].x0_px, 7);
        assert_int_equal(world.patches[i].h * world.patches[i].w, 1);
        assert_int_equal(world.signals[i], FLY_SIGNAL_EDS);
    }
}

static void a_wrong_setting_is_named(void **state)
{
    struct fly_obey_config wrong = fly_obey_config_default();

    assert_int_equal(fly_obey_config_check(&wrong), FLY_OK);
    wrong.refuse = 1.5;
    assert_int_equal(fly_obey_config_check(&wrong), FLY_ERANGE);
    wrong = fly_obey_config_default();
    wrong.dead_us = -1.0;
    assert_int_equal(fly_obey_config_check(&wrong), FLY_ERANGE);
    wrong = fly_obey_config_default();
    wrong.delay_us = NAN;
    assert_int_equal(fly_obey_config_check(&wrong), FLY_ERANGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_pixel_of_every_frame_is_measured_once),
        TEST(time_is_dwell_and_moves),
        TEST(the_first_lines_after_a_jump_are_off),
        TEST(what_came_too_late_is_not_begun),
        TEST(a_stop_acts_after_the_line),
        TEST(what_comes_again_is_answered_as_before_and_a_stop_stops_again),
        TEST(a_stop_is_obeyed_however_late_and_unwell),
        TEST(what_cannot_be_done_is_rejected_with_words),
        TEST(more_than_can_wait_is_busy),
        TEST(refusals_are_of_the_seed),
        TEST(a_raster_goes_on_until_something_else_is_wanted),
        TEST(what_waits_behind_a_raster_comes_to_its_turn),
        TEST(a_raster_of_so_many_frames_ends),
        TEST(whoever_falls_silent_ends_it_all),
        TEST(what_the_instrument_runs_out_of_is_told),
        TEST(a_line_is_the_pixels_nearest_to_it),
        TEST(points_are_single_pixels),
        TEST(a_wrong_setting_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
