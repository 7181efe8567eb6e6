#include "plugin/k_factor_file.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/number.h"
#include "stream/disk.h"

/* "Al_Ka, C_Ka, ...": every line of a table. */
static const char *list_lines(enum fly_line_set lines, char *out, size_t cap)
{
    const struct fly_element *elements;
    int32_t n = fly_elements(lines, &elements);
    size_t len = 0;

    out[0] = '\0';
    for (int32_t e = 0; e < n; e++)
        for (int32_t f = 0; f < elements[e].n_families && len < cap; f++)
            len += (size_t)snprintf(out + len, cap - len, "%s%s_%s", len ? ", " : "", elements[e].symbol,
                                    elements[e].families[f].name);
    return out;
}

/* What has been read so far. */
struct reader {
    const char *name;
    enum fly_line_set lines;
    unsigned char seen[FLY_ELEMENTS_MAX][FLY_FAMILIES_MAX];
    struct fly_k_factor_set set;
    size_t len; /* of set.factors */
};

static int read_factor(struct reader *r, const char *key, const json_t *value)
{
    const struct fly_element *elements;
    int32_t element, family;
    int named;
    double k = json_number_value(value); /* 0 when it is none */
    char list[FLY_ELEMENTS_MAX * FLY_FAMILIES_MAX * 8], number[FLY_NUMBER_CAP];

    if (fly_line_find(r->lines, key, &element, &family, &named) < 0 || !named)
        return fly_fail(FLY_ERANGE, "%s: k_factors: \"%.24s\" is no line of the %s table; allowed: %s", r->name,
                        key, r->lines == FLY_LINES_GOLDEN ? "golden" : "product",
                        list_lines(r->lines, list, sizeof list));
    if (!json_is_number(value) || !(k > 0.0) || !isfinite(k))
        return fly_fail(FLY_ERANGE, "%s: k_factors: %.24s: a number above 0 is needed", r->name, key);
    fly_elements(r->lines, &elements);
    if (r->seen[element][family]++)
        return fly_fail(FLY_ERANGE, "%s: k_factors: \"%.24s\" is %s_%s, and that is there already", r->name, key,
                        elements[element].symbol, elements[element].families[family].name);
    r->len += (size_t)snprintf(r->set.factors + r->len, sizeof r->set.factors - r->len, "%s%s_%s=%s",
                               r->len ? "," : "", elements[element].symbol,
                               elements[element].families[family].name, fly_number_print(number, k));
    /* Every line once with 17 digits: the tables are that short. */
    FLY_ASSERT(r->len < sizeof r->set.factors);
    return FLY_OK;
}

static int read_factors(struct reader *r, json_t *factors)
{
    const char *key;
    json_t *value;

    if (!json_is_object(factors) || json_object_size(factors) == 0)
        return fly_fail(FLY_EWIRE, "%s: k_factors: {line: factor, ...} is needed, {\"Fe_Ka\": 1.35}", r->name);
    json_object_foreach(factors, key, value)
    {
        int rc = read_factor(r, key, value);

        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

/* The place of a word of eds.k_basis. */
static int read_basis(struct reader *r, const json_t *basis)
{
    const char *const *words = fly_option_find("eds.k_basis")->words;
    const char *word = json_string_value(basis);

    for (int32_t i = 0; word && words[i]; i++)
        if (strcmp(words[i], word) == 0) {
            r->set.basis = i;
            return FLY_OK;
        }
    return fly_fail(FLY_EWIRE, "%s: k_basis: \"weight\" or \"atomic\" is needed", r->name);
}

static int read_root(struct reader *r, json_t *root)
{
    const char *key;
    json_t *value;
    int rc = FLY_OK, has_factors = 0;

    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "k_basis") == 0) {
            rc = read_basis(r, value);
        } else if (strcmp(key, "k_factors") == 0) {
            has_factors = 1;
            rc = read_factors(r, value);
        } else {
            rc = fly_fail(FLY_EWIRE, "%s: \"%.40s\": no such key; allowed: k_basis, k_factors", r->name, key);
        }
        if (rc < 0)
            return rc;
    }
    if (!has_factors)
        return fly_fail(FLY_EWIRE, "%s: it is {\"k_basis\": \"weight\", \"k_factors\": {\"Fe_Ka\": 1.35, ...}}, and "
                                   "k_factors is missing", r->name);
    return FLY_OK;
}

int fly_k_factor_set_parse(struct fly_k_factor_set *set, const char *text, size_t len, const char *name,
                           enum fly_line_set lines)
{
    struct reader r = {.name = name, .lines = lines, .set.basis = -1};
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    int rc;

    if (!root)
        return fly_fail(FLY_EWIRE, "%s:%d:%d: %s", name, error.line, error.column, error.text);
    rc = read_root(&r, root); /* of a root that is no object, there is nothing to walk */
    json_decref(root);
    if (rc == FLY_OK)
        *set = r.set;
    return rc;
}

/* JSON begins with a bracket; what is empty is refused as JSON, which is what we write ourselves. */
static int is_json(const unsigned char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && (bytes[at] == ' ' || bytes[at] == '\t' || bytes[at] == '\n' || bytes[at] == '\r'))
        at++;
    return at == len || bytes[at] == '{' || bytes[at] == '[';
}

static int load(struct fly_k_factor_set *set, const char *path, enum fly_line_set lines)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    int rc = fly_file_read(path, FLY_K_FACTOR_FILE_MAX, &bytes, &len);

    if (rc == FLY_OK && is_json(bytes, len))
        rc = fly_k_factor_set_parse(set, (const char *)bytes, len, path, lines);
    else if (rc == FLY_OK)
        rc = fly_k_factor_set_parse_csv(set, (const char *)bytes, len, path, lines);
    free(bytes);
    return rc;
}

int fly_k_factor_file_resolve(struct fly_options *options)
{
    struct fly_k_factor_set set;
    char path[FLY_OPTION_TEXT_CAP], origin[FLY_OPTION_TEXT_CAP + 64], words[512];
    int rc;

    if (!options->eds.k_factor_file[0])
        return FLY_OK;
    snprintf(path, sizeof path, "%s", options->eds.k_factor_file);
    rc = load(&set, path, (enum fly_line_set)options->eds.line_table);
    if (rc < 0) {
        snprintf(words, sizeof words, "%s", fly_fail_text());
        return fly_fail(rc, "%s: eds.k_factor_file: %s", fly_options_origin(options, "eds.k_factor_file"), words);
    }
    snprintf(origin, sizeof origin, "%s, the eds.k_factor_file of %s", path,
             fly_options_origin(options, "eds.k_factor_file"));
    rc = fly_options_set(options, "eds.k_factors", set.factors, origin);
    if (rc == FLY_OK && set.basis >= 0)
        rc = fly_options_set(options, "eds.k_basis", fly_option_find("eds.k_basis")->words[set.basis], origin);
    if (rc == FLY_OK)
        rc = fly_options_set(options, "eds.k_factor_file", "", "default");
    FLY_ASSERT(rc == FLY_OK); /* the words of the table, and a list that fly_options_check would pass */
    return rc;
}
