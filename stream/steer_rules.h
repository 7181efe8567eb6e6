/* stream/steer_rules.h: what holds of targets, commands and acks whoever says them, and the reading of
 * targets. For stream/steer*.c alone.
 *
 *   steer.c          words, rules, encoders of command and ack
 *   steer_read.c     decoders
 *   steer_suggest.c  the topic suggest, both ways
 */
#ifndef FLY_STREAM_STEER_RULES_H
#define FLY_STREAM_STEER_RULES_H

#include "stream/steer.h"
#include "stream/wire_keys.h"

extern const char *const fly_command_words[FLY_COMMAND_KINDS];
extern const char *const fly_target_words[FLY_TARGET_KINDS];
extern const char *const fly_ack_words[FLY_ACK_STATUSES];

/* How many numbers px, frac and nm of a target have. */
int fly_target_numbers(enum fly_target_kind kind);

/* field may be NULL. name, such as "targets[3]", is for the words. */
enum fly_refusal fly_target_check(const struct fly_target *target, const struct fly_steer_field *field,
                                  const char *name);
enum fly_refusal fly_command_check(const struct fly_command *command, const struct fly_steer_field *field);

/* frac or nm of a target: its px in units of `unit` (y, x). */
void fly_target_scaled(double out[4], const struct fly_target *target, const double unit[2]);

/* A target as a map of nine keys. */
void fly_target_pack(struct fly_pack *pack, const struct fly_target *target,
                     const struct fly_steer_field *field);
void fly_as_of_pack(struct fly_pack *pack, const struct fly_as_of *as_of);

/* A key of a header: what it must be, and after fly_wanted_find where it is; at is NULL where it is absent,
 * or nil and not required. */
struct fly_wanted {
    const char *name;
    enum fly_want want;
    int required;
    struct fly_value value;
};
void fly_wanted_find(struct fly_wanted *wanted, size_t n_wanted, struct fly_value map);
enum fly_refusal fly_wanted_check(const struct fly_wanted *wanted, size_t n_wanted, const char *what);

/* list is a list of maps. Types of all targets come before the values of any; nonfinite as in
 * wire_decode.h, between the two. name as "targets". */
enum fly_refusal fly_targets_read(struct fly_target *targets, int32_t cap, int32_t *count,
                                  struct fly_value list, const struct fly_steer_field *field,
                                  const char *name, int nonfinite);
/* map is a map to integers. */
enum fly_refusal fly_as_of_read(struct fly_as_of *as_of, struct fly_value map);

/* A string of 1 .. 64 of [A-Za-z0-9._-], or where integers are meant too one >= 0, as its digits. */
enum fly_refusal fly_steer_id_read(char out[FLY_CMD_ID_MAX + 1], struct fly_value value, const char *name);

#endif
