/* plugin/quantify_choice.h: what a session's spectra are quantified by, from its start and the configuration.
 *
 * The start wins over the configuration, and that over the line table. What cannot be used is left out
 * and told, never refused: a scan is not to be lost to an element that no table has.
 */
#ifndef FLY_PLUGIN_QUANTIFY_CHOICE_H
#define FLY_PLUGIN_QUANTIFY_CHOICE_H

#include "plugin/session.h"

struct fly_quantify_choice {
    struct fly_quantify_config config; /* points into what follows */
    const char *elements[FLY_ELEMENTS_MAX];
    char element_text[FLY_ELEMENTS_MAX][16];
    struct fly_k_factor k[FLY_K_FACTORS_MAX];
    char k_text[FLY_K_FACTORS_MAX][16];
};

/* The options are resolved: eds.k_factor_file is empty (asserted), see k_factor_file.h.
 * 1: filled. 0: these spectra cannot be quantified. note: words for the user, "" when all is as asked. */
int fly_quantify_choose(struct fly_quantify_choice *choice, const struct fly_start *start,
                        const struct fly_plan *plan, const struct fly_options *options, char *note, size_t cap);

/* Do eds.elements and eds.k_factors read well, and is eds.k_factor_file not named beside the latter? The file
 * is not read. FLY_ERANGE names the key and what is wrong. */
FLY_MUST_USE int fly_quantify_options_check(const struct fly_options *options);

#endif
