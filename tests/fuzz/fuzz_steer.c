/* tests/fuzz/fuzz_steer.c: any bytes as a command, an ack and a suggestion.
 *
 * Holds    whatever is read keeps the ranges that steer.h promises; read, said again and read again it is
 *          the same, and said once more the same to the byte; a refusal has words.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stream/steer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TARGETS = 40 }; /* as many always fit a header */
static const struct fly_steer_field field = {64, 96, {0.1, 0.2}};
static struct fly_target targets[2][TARGETS], alternatives[2][FLY_ALTERNATIVES_MAX];
static unsigned char first[FLY_HEADER_MAX], second[FLY_HEADER_MAX];

static void check_targets(const struct fly_target *list, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const struct fly_target *target = &list[i];
        int box = target->kind == FLY_TARGET_BOX;

        for (int k = 0; k < 4; k++)
            FLY_ASSERT(isfinite(target->px[k]) && target->px[k] >= 0.0);
        FLY_ASSERT(target->px[0] + (box ? target->px[2] : 0.0) <= field.height_px);
        FLY_ASSERT(target->px[1] + (box ? target->px[3] : 0.0) <= field.width_px);
        FLY_ASSERT(target->dwell_us > 0.0 && target->dwell_us * 1e3 <= (double)FLY_DWELL_MAX_NS);
        FLY_ASSERT((unsigned)target->signal < FLY_SIGNALS);
        FLY_ASSERT(!isinf(target->expected_gain) && !isinf(target->dose_e_per_A2));
    }
}

static size_t say_command(unsigned char *room, const struct fly_command *command)
{
    struct fly_pack pack;

    fly_pack_init(&pack, room, FLY_HEADER_MAX);
    FLY_ASSERT(fly_command_encode(&pack, command, &field) == FLY_OK);
    return pack.len;
}

static void check_command(const struct fly_part *header)
{
    struct fly_command command = {.targets = targets[0], .targets_cap = TARGETS};
    struct fly_command again = {.targets = targets[1], .targets_cap = TARGETS};
    struct fly_part part = {first, 0};

    if (fly_command_decode(&command, &field, header, 1) != FLY_REFUSE_NONE) {
        FLY_ASSERT(fly_fail_text()[0]);
        return;
    }
    FLY_ASSERT(!fly_command_measures(command.kind) == (command.n_targets == 0));
    FLY_ASSERT(command.frame >= -1 && command.frame + command.frames <= FLY_FRAMES_MAX);
    check_targets(targets[0], command.n_targets);
    for (int32_t i = 0; i < command.n_targets; i++)
        FLY_ASSERT(targets[0][i].dwell_us <= command.dwell_us && targets[0][i].signal == targets[0][0].signal);
    part.len = say_command(first, &command);
    FLY_ASSERT(fly_command_decode(&again, &field, &part, 1) == FLY_REFUSE_NONE);
    FLY_ASSERT(strcmp(again.cmd_id, command.cmd_id) == 0 && again.kind == command.kind);
    FLY_ASSERT(again.n_targets == command.n_targets && again.frame == command.frame);
    FLY_ASSERT(say_command(second, &again) == part.len && memcmp(first, second, part.len) == 0);
}

static size_t say_ack(unsigned char *room, const struct fly_ack *ack)
{
    struct fly_pack pack;

    fly_pack_init(&pack, room, FLY_HEADER_MAX);
    FLY_ASSERT(fly_ack_encode(&pack, ack) == FLY_OK);
    return pack.len;
}

static void check_ack(const struct fly_part *header)
{
    struct fly_ack ack, again;
    struct fly_part part = {first, 0};

    if (fly_ack_decode(&ack, header, 1) != FLY_REFUSE_NONE)
        return;
    part.len = say_ack(first, &ack);
    FLY_ASSERT(fly_ack_decode(&again, &part, 1) == FLY_REFUSE_NONE);
    FLY_ASSERT(say_ack(second, &again) == part.len && memcmp(first, second, part.len) == 0);
}

static size_t say_suggest(unsigned char *room, const struct fly_suggest *suggest, struct fly_pub_message *out)
{
    const struct fly_pub_id id = {"s", 1, 2};
    struct fly_pack pack;

    fly_pack_init(&pack, room, FLY_HEADER_MAX);
    FLY_ASSERT(fly_pub_suggest(out, &pack, &id, suggest, &field) == FLY_OK);
    return pack.len;
}

static void check_suggest(const struct fly_part *header)
{
    const struct fly_part parts[2] = {{"suggest", 7}, *header};
    struct fly_suggest suggest = {.targets = targets[0], .targets_cap = TARGETS, .alternatives = alternatives[0],
                                  .alternatives_cap = FLY_ALTERNATIVES_MAX};
    struct fly_suggest again = {.targets = targets[1], .targets_cap = TARGETS, .alternatives = alternatives[1],
                                .alternatives_cap = FLY_ALTERNATIVES_MAX};
    struct fly_published published;
    struct fly_pub_message message;
    size_t len;

    if (fly_published_decode(&published, parts, 2) != FLY_OK ||
        fly_suggest_decode(&suggest, published.header, &field) != FLY_OK)
        return;
    check_targets(targets[0], suggest.n_targets);
    check_targets(alternatives[0], suggest.n_alternatives);
    len = say_suggest(first, &suggest, &message);
    FLY_ASSERT(fly_published_decode(&published, message.parts, message.n_parts) == FLY_OK);
    FLY_ASSERT(fly_suggest_decode(&again, published.header, &field) == FLY_OK);
    FLY_ASSERT(again.n_targets == suggest.n_targets && again.n_alternatives == suggest.n_alternatives);
    FLY_ASSERT(say_suggest(second, &again, &message) == len && memcmp(first, second, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy = malloc(size + !size);
    const struct fly_part header = {copy, size};

    if (size > 0)
        memcpy(copy, data, size);
    (void)fly_control_type_of(&header);
    check_command(&header);
    check_ack(&header);
    check_suggest(&header);
    free(copy);
    return 0;
}
