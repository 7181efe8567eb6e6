#include "plugin/quantify_choice.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next item of a comma-separated list, without spaces around it; 0 at the end, -1 when too long. */
static int next_item(const char **at, char *out, size_t cap)
{
    size_t n = 0;

    while (**at == ' ' || **at == ',')
        ++*at;
    if (!**at)
        return 0;
    while (**at && **at != ',') {
        if (n + 1 < cap)
            out[n] = **at;
        n++;
        ++*at;
    }
    while (n > 0 && n < cap && out[n - 1] == ' ')
        n--;
    if (n >= cap)
        return -1;
    out[n] = '\0';
    return 1;
}

/* "Fe_Ka=1.35": 1 when it reads so. */
static int split_k(char *item, double *value)
{
    char *sign = strchr(item, '='), *end;

    if (!sign)
        return 0;
    *sign = '\0';
    for (char *back = sign; back > item && back[-1] == ' '; back--)
        back[-1] = '\0';
    *value = strtod(sign + 1, &end);
    while (isspace((unsigned char)*end))
        end++;
    return item[0] && *end == '\0' && end != sign + 1 && *value > 0.0 && isfinite(*value);
}

int fly_quantify_options_check(const struct fly_options *options)
{
    const char *at = options->eds.elements;
    enum fly_line_set set = (enum fly_line_set)options->eds.line_table;
    int32_t element, family, n = 0;
    char item[16], pair[48];
    double value;
    int named, more;

    while ((more = next_item(&at, item, sizeof item)) != 0) {
        if (more < 0 || fly_line_find(set, item, &element, &family, &named) < 0)
            return fly_fail(FLY_ERANGE, "%s: eds.elements: %s", fly_options_origin(options, "eds.elements"),
                            more < 0 ? "a list like Sr,Ti,O is needed" : fly_fail_text());
        if (++n > FLY_ELEMENTS_MAX)
            return fly_fail(FLY_ERANGE, "%s: eds.elements: more than %d", fly_options_origin(options, "eds.elements"),
                            FLY_ELEMENTS_MAX);
    }
    if (options->eds.k_factors[0] && options->eds.k_factor_file[0])
        return fly_fail(FLY_ERANGE, "%s: eds.k_factor_file: \"%.80s\" and eds.k_factors (%s) both bring factors: "
                                    "one of them must be empty",
                        fly_options_origin(options, "eds.k_factor_file"), options->eds.k_factor_file,
                        fly_options_origin(options, "eds.k_factors"));
    at = options->eds.k_factors;
    while ((more = next_item(&at, pair, sizeof pair)) != 0)
        if (more < 0 || !split_k(pair, &value) || strlen(pair) >= 16 ||
            fly_line_find(set, pair, &element, &family, &named) < 0 || !named)
            return fly_fail(FLY_ERANGE, "%s: eds.k_factors: \"%.40s\": LINE=FACTOR of the line table is needed, "
                                        "Fe_Ka=1.35, the factor above 0",
                            fly_options_origin(options, "eds.k_factors"), pair);
    return FLY_OK;
}

static void add_note(char *note, size_t cap, const char *format, const char *what)
{
    size_t len = strlen(note);

    if (len + 1 < cap)
        len += (size_t)snprintf(note + len, cap - len, "%s", len ? "; " : "");
    if (len + 1 < cap)
        snprintf(note + len, cap - len, format, what);
}

static void add_element(struct fly_quantify_choice *c, enum fly_line_set set, const char *name, char *note, size_t cap)
{
    int32_t element, family;
    int named;

    if (fly_line_find(set, name, &element, &family, &named) < 0 || c->config.n_elements == FLY_ELEMENTS_MAX) {
        add_note(note, cap, "%s is not in the line table and is left out", name);
        return;
    }
    int32_t i = c->config.n_elements++;

    snprintf(c->element_text[i], sizeof c->element_text[i], "%s", name);
    c->elements[i] = c->element_text[i];
}

static void add_k(struct fly_quantify_choice *c, const char *line, double value)
{
    int32_t i = c->config.n_k++;

    snprintf(c->k_text[i], sizeof c->k_text[i], "%.15s", line); /* checked: lines are shorter */
    c->k[i] = (struct fly_k_factor){c->k_text[i], value};
}

static void choose_elements(struct fly_quantify_choice *c, const struct fly_start *start,
                            const struct fly_options *o, char *note, size_t cap)
{
    const char *at = o->eds.elements;
    const struct fly_element *all;
    char item[16];

    for (int32_t i = 0; i < start->n_elements; i++)
        add_element(c, c->config.set, start->elements[i], note, cap);
    while (start->n_elements == 0 && next_item(&at, item, sizeof item) > 0)
        add_element(c, c->config.set, item, note, cap);
    if (c->config.n_elements > 0)
        return;
    int32_t n = fly_elements(c->config.set, &all);

    for (int32_t i = 0; i < n; i++)
        add_element(c, c->config.set, all[i].symbol, note, cap);
}

static void choose_k(struct fly_quantify_choice *c, const struct fly_start *start, const struct fly_options *o)
{
    const char *at = o->eds.k_factors;
    char item[48];
    double value;

    FLY_ASSERT(!o->eds.k_factor_file[0]); /* what it says stands in eds.k_factors by now */
    c->config.k_basis = strcmp(start->k_basis, "atomic") == 0 ? FLY_K_ATOMIC : FLY_K_WEIGHT;
    for (int32_t i = 0; i < start->n_k_factors; i++)
        add_k(c, start->k_factors[i].line, start->k_factors[i].value);
    if (start->n_k_factors > 0)
        return;
    c->config.k_basis = (enum fly_k_basis)o->eds.k_basis;
    while (c->config.n_k < FLY_K_FACTORS_MAX && next_item(&at, item, sizeof item) > 0)
        if (split_k(item, &value))
            add_k(c, item, value);
}

/* Leave out the elements without a line in view, one after the other, until the rest can be opened. */
static int drop_until_it_opens(struct fly_quantify_choice *c, char *note, size_t cap)
{
    struct fly_quantify_config *config = &c->config;
    struct fly_alloc alloc = fly_alloc_system();

    for (int32_t i = 0; i <= config->n_elements;) {
        struct fly_quantify_config trial = *config;
        struct fly_quantifier *quantifier;
        struct fly_arena arena;
        int rc;

        trial.n_elements = i < config->n_elements ? 1 : config->n_elements;
        trial.elements = i < config->n_elements ? config->elements + i : config->elements;
        if (trial.n_elements == 0)
            return 0;
        rc = fly_arena_init(&arena, fly_quantifier_need(&trial), &alloc, "quantification");
        if (rc < 0)
            return 0;
        rc = fly_quantifier_open(&quantifier, &trial, &arena);
        fly_arena_fini(&arena);
        if (rc == FLY_OK && i == config->n_elements)
            return 1;
        if (rc == FLY_OK) {
            i++;
            continue;
        }
        add_note(note, cap, "%s", fly_fail_text());
        if (i == config->n_elements)
            return 0;
        for (int32_t j = i; j + 1 < config->n_elements; j++)
            c->elements[j] = c->elements[j + 1];
        config->n_elements--;
    }
    return 0;
}

int fly_quantify_choose(struct fly_quantify_choice *choice, const struct fly_start *start,
                        const struct fly_plan *plan, const struct fly_options *options, char *note, size_t cap)
{
    static const enum fly_quantify_method methods[] = {FLY_QUANTIFY_ML, FLY_QUANTIFY_FIT, FLY_QUANTIFY_WINDOW,
                                                       FLY_QUANTIFY_ML};
    struct fly_quantify_config *config = &choice->config;
    int paper = options->profile == FLY_OPTION_PAPER;

    memset(choice, 0, sizeof *choice);
    note[0] = '\0';
    *config = fly_quantify_config_default();
    config->n_channels = plan->n_channels;
    config->ev_offset = plan->ev_offset;
    config->ev_per_channel = plan->ev_per_channel;
    config->set = (enum fly_line_set)options->eds.line_table;
    config->method = options->eds.method == FLY_OPTION_EDS_AUTO && paper ? FLY_QUANTIFY_FIT
                                                                         : methods[options->eds.method];
    config->min_counts = paper ? 0 : options->eds.min_counts;
    if (isfinite(start->beam_energy_kev) && start->beam_energy_kev >= 10 && start->beam_energy_kev <= 400)
        config->beam_kev = start->beam_energy_kev;
    config->n_elements = 0;
    config->elements = choice->elements;
    config->n_k = 0;
    config->k = choice->k;
    choose_elements(choice, start, options, note, cap);
    choose_k(choice, start, options);
    if (drop_until_it_opens(choice, note, cap))
        return 1;
    add_note(note, cap, "%s", "spectra are not quantified, and few-shot compares them as counted");
    return 0;
}
