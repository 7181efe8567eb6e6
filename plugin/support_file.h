/* plugin/support_file.h: support sets on disk: {"STO": [[10, 2], [10, 3]], "LFO": [[0, 0]]} in JSON.
 *
 * The order of the classes in the file is the order of their ids. What is read is checked as far as a
 * file can be: names, pairs of whole numbers, no chip twice; the session checks against its grid
 * (or the caller hands the grid in).
 *
 * Threads  pure but for the file calls.
 */
#ifndef FLY_PLUGIN_SUPPORT_FILE_H
#define FLY_PLUGIN_SUPPORT_FILE_H

#include <stdint.h>

#include "engine/label/support.h"
#include "plugin/text.h"

enum { FLY_SUPPORT_FILE_MAX = 4 * 1024 * 1024, FLY_SUPPORT_CHIPS_MAX = 16384 };

struct fly_support_chip {
    int32_t row, col;
};

struct fly_support_set {
    int32_t n_classes;
    struct {
        char name[FLY_CLASS_NAME_MAX + 1];
        int32_t n_chips;
        struct fly_support_chip *chips;
    } classes[FLY_CLASSES_MAX];
};

/* Read a set from JSON. rows, cols: the grid its chips must lie in, 0: not known. Fini it after FLY_OK; on
 * an error it is empty.
 *
 * FLY_EWIRE   no JSON, or not of that shape; the message has name, and line and column or class and chip
 * FLY_ERANGE  a chip outside the grid, twice, or in two classes; too many classes; a name too long
 * FLY_ENOMEM
 */
FLY_MUST_USE int fly_support_set_parse(struct fly_support_set *set, const char *text, size_t len,
                                       const char *name, int32_t rows, int32_t cols);

/* The same from a file of at most FLY_SUPPORT_FILE_MAX bytes. FLY_EIO when it cannot be read. */
FLY_MUST_USE int fly_support_set_load(struct fly_support_set *set, const char *path, int32_t rows,
                                      int32_t cols);

void fly_support_set_fini(struct fly_support_set *set); /* a set of zeros is fine */

/* Add all of it to a session's support, as if by support.add. Chips that are in the set lie within
 * rows x cols (asserted). FLY_ERANGE as fly_support_add; classes before the refused one stay added. */
FLY_MUST_USE int fly_support_set_apply(const struct fly_support_set *set, struct fly_support *support,
                                       int32_t cols);

/* The JSON of a session's living classes, one class a line, chips in index order. */
void fly_support_write(const struct fly_support *support, int32_t cols, struct fly_text *out);

#endif
