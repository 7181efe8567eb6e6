/* plugin/k_factor_file.h: an instrument's k-factors on disk, as JSON
 *
 *   {"k_basis": "weight", "k_factors": {"Fe_Ka": 1.35, "O_Ka": 1.9}}
 *
 * or as a table of text, such as Velox exports (k_factor_csv.c says which):
 *
 *   Line identifier,Energy level,Intensity,Chi-Rho-Tau absorption,K-factor
 *   -,eV,counts,-,-
 *   Fe-Ka1,6.40390e+03,8.53115e+02,0.00000e+00,4.32916e-01
 *
 * k_basis is "weight" or "atomic" and may be absent; of JSON nothing else stands there. A file belongs to one
 * instrument and outlives many configurations; a recording outlives the file. So what it says is taken into
 * eds.k_factors and eds.k_basis before a session begins, and travels with the recording.
 *
 * Threads  pure but for the file calls.
 */
#ifndef FLY_PLUGIN_K_FACTOR_FILE_H
#define FLY_PLUGIN_K_FACTOR_FILE_H

#include "engine/eds/lines.h"
#include "plugin/options.h"

enum { FLY_K_FACTOR_FILE_MAX = 64 * 1024 };

struct fly_k_factor_set {
    char factors[FLY_OPTION_TEXT_CAP]; /* as eds.k_factors takes them: Fe_Ka=1.35,O_Ka=1.9 */
    int32_t basis;                     /* as eds.k_basis, -1: the file does not say */
};

/* Read factors from JSON; the lines are those of a line table. On an error the set is untouched.
 *
 * FLY_EWIRE   no JSON, a key twice, or not of that shape; the message has name, and line and column or key
 * FLY_ERANGE  a factor not above 0, a line that the table lacks (it is listed), one under two names
 */
FLY_MUST_USE int fly_k_factor_set_parse(struct fly_k_factor_set *set, const char *text, size_t len,
                                        const char *name, enum fly_line_set lines);

/* Read factors from a table of text: rows of a line or an element, and of factors; a header names the columns.
 * A factor of a family is that of its main line (Ka1, La1, Ma1); other lines, and elements that the table lacks,
 * are passed over. Factors relative to nothing in particular become relative to Si Ka when it is among them, as
 * those of the table are.
 *
 * FLY_EWIRE   no header that names a line and a factor, a row that is none; the message has name and line number
 * FLY_ERANGE  no element of that name, a factor not above 0, a family twice, no line of the table at all */
FLY_MUST_USE int fly_k_factor_set_parse_csv(struct fly_k_factor_set *set, const char *text, size_t len,
                                            const char *name, enum fly_line_set lines);

/* Put what the file of eds.k_factor_file says into eds.k_factors and eds.k_basis, with the file as their
 * origin, and empty that key. Nothing happens when it names none. Call it after fly_options_check and
 * before a session. On an error the options are untouched.
 *
 * FLY_EIO when the file cannot be read, FLY_EWIRE and FLY_ERANGE as above; begins with "origin: key: "
 */
FLY_MUST_USE int fly_k_factor_file_resolve(struct fly_options *options);

#endif
