/* k-factors from tables of text. Columns are told apart by tabs, semicolons (then a comma may be the decimal
 * point) or commas, whichever stands first in the header of
 *
 *   a line a row    "Line identifier", "Line", "X-ray line"; the element in it (Fe-Ka1, Fe_Ka, FeKa) or in a column
 *                   "Element"; and "K-factor", "k"
 *   an element a row   "Element", and columns "K", "L", "M" with a factor each, or nothing
 *
 * Rows that begin with # are remarks; of those "#K_BASIS : atomic" is heard. A row of units ("-,eV,...") may
 * follow the header. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/periodic.h"
#include "plugin/k_factor_file.h"
#include "plugin/number.h"

enum { CELLS_MAX = 32, CELL_CAP = 64 };
enum column { COLUMN_LINE, COLUMN_ELEMENT, COLUMN_FACTOR, COLUMN_K, COLUMN_L, COLUMN_M, COLUMNS };

struct table {
    const char *name; /* of the file */
    enum fly_line_set lines;
    int row; /* line number, from 1 */
    char delimiter;
    int32_t place[COLUMNS]; /* in a row, -1: there is none */
    double k[FLY_ELEMENTS_MAX][FLY_FAMILIES_MAX];
    double si; /* of Si Ka, whether the table has it or not; 0: not among them */
    int row_of[FLY_ELEMENTS_MAX][FLY_FAMILIES_MAX]; /* 0: not seen */
    int32_t basis;
};

struct cells {
    int32_t n;
    char text[CELLS_MAX][CELL_CAP];
};

static int bad_row(const struct table *table, const char *what, const char *value)
{
    return fly_fail(FLY_EWIRE, "%s:%d: %s \"%.40s\"", table->name, table->row, what, value);
}

/* ---- rows ------------------------------------------------------------------------------------- */

static void add_cell(struct cells *cells, const char *from, size_t len)
{
    char *to;

    while (len && (isspace((unsigned char)*from) || *from == '"')) {
        from++;
        len--;
    }
    while (len && (isspace((unsigned char)from[len - 1]) || from[len - 1] == '"'))
        len--;
    if (cells->n == CELLS_MAX)
        return; /* no table has that many; what is needed stands before */
    to = cells->text[cells->n++];
    snprintf(to, CELL_CAP, "%.*s", (int)(len < CELL_CAP ? len : CELL_CAP - 1), from);
}

/* Quotes only keep a delimiter from being one; none of our cells has a quote in it. */
static void split(struct cells *cells, char delimiter, const char *row, size_t len)
{
    size_t begin = 0;
    int quoted = 0;

    cells->n = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && row[i] == '"')
            quoted = !quoted;
        if (i == len || (row[i] == delimiter && !quoted)) {
            add_cell(cells, row + begin, i - begin);
            begin = i + 1;
        }
    }
}

/* A cell's letters and digits alone, small: "K-factor" and "k_factor" are "kfactor". */
static void plain(char out[CELL_CAP], const char *cell)
{
    size_t n = 0;

    for (; *cell; cell++)
        if (isalnum((unsigned char)*cell))
            out[n++] = (char)tolower((unsigned char)*cell);
    out[n] = '\0';
}

static int read_header(struct table *table, const char *row, size_t len)
{
    static const struct {
        const char *name;
        enum column column;
    } known[] = {
        {"lineidentifier", COLUMN_LINE}, {"line", COLUMN_LINE}, {"xrayline", COLUMN_LINE},
        {"linefamily", COLUMN_LINE}, {"family", COLUMN_LINE}, {"element", COLUMN_ELEMENT},
        {"symbol", COLUMN_ELEMENT}, {"kfactor", COLUMN_FACTOR}, {"kab", COLUMN_FACTOR}, {"factor", COLUMN_FACTOR},
        {"k", COLUMN_K}, {"l", COLUMN_L}, {"m", COLUMN_M},
    };
    static const char delimiters[] = "\t;,";
    struct cells cells;
    char name[CELL_CAP];

    for (const char *d = delimiters; *d && !table->delimiter; d++)
        if (memchr(row, *d, len))
            table->delimiter = *d;
    split(&cells, table->delimiter ? table->delimiter : ',', row, len);
    for (int c = 0; c < COLUMNS; c++)
        table->place[c] = -1;
    for (int32_t i = 0; i < cells.n; i++) {
        plain(name, cells.text[i]);
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (strcmp(name, known[k].name) == 0 && table->place[known[k].column] < 0)
                table->place[known[k].column] = i;
    }
    /* Beside a line, "k" is the factor; beside an element alone it is that of the K family. */
    if (table->place[COLUMN_LINE] >= 0 && table->place[COLUMN_FACTOR] < 0)
        table->place[COLUMN_FACTOR] = table->place[COLUMN_K];
    if ((table->place[COLUMN_LINE] >= 0 && table->place[COLUMN_FACTOR] >= 0) ||
        (table->place[COLUMN_ELEMENT] >= 0 && (table->place[COLUMN_K] >= 0 || table->place[COLUMN_L] >= 0)))
        return FLY_OK;
    return fly_fail(FLY_EWIRE, "%s:%d: neither JSON nor a table of k-factors: a header with \"Line identifier\" and "
                               "\"K-factor\" is needed, or with \"Element\" and \"K\", \"L\", \"M\"",
                    table->name, table->row);
}

/* ---- cells ------------------------------------------------------------------------------------- */

static const char *cell_of(const struct table *table, const struct cells *cells, enum column column)
{
    int32_t i = table->place[column];

    return i >= 0 && i < cells->n ? cells->text[i] : "";
}

static int is_blank(const char *cell)
{
    return cell[0] == '\0' || strcmp(cell, "-") == 0 || strcmp(cell, "n/a") == 0;
}

static int read_number(const struct table *table, const char *cell, double *out)
{
    char text[CELL_CAP], *comma;

    snprintf(text, sizeof text, "%s", cell);
    comma = table->delimiter != ',' ? strchr(text, ',') : NULL;
    if (comma)
        *comma = '.';
    if (!fly_number_parse(text, strlen(text), out))
        return bad_row(table, "a number is needed, not", cell);
    if (!(*out > 0.0))
        return fly_fail(FLY_ERANGE, "%s:%d: a k-factor is above 0, not %.40s", table->name, table->row, cell);
    return FLY_OK;
}

/* "Fe-Ka1" into "Fe" and "Ka1"; an element's cell of its own is put before. Greek letters are written out. */
static void name_line(const char *element, const char *line, char symbol[4], char family[CELL_CAP])
{
    size_t n = 0;

    symbol[0] = family[0] = '\0';
    if (element[0])
        snprintf(symbol, 4, "%.3s", element);
    else if (isupper((unsigned char)line[0])) {
        size_t len = islower((unsigned char)line[1]) ? 2 : 1;

        snprintf(symbol, 4, "%.*s", (int)len, line);
        line += len;
    }
    while (*line == '-' || *line == '_' || *line == ' ')
        line++;
    for (; *line && n + 1 < CELL_CAP; line++) {
        if ((unsigned char)line[0] == 0xCE && ((unsigned char)line[1] == 0xB1 || (unsigned char)line[1] == 0xB2)) {
            family[n++] = (unsigned char)line[1] == 0xB1 ? 'a' : 'b';
            line++;
        } else {
            family[n++] = *line;
        }
    }
    family[n] = '\0';
}

/* 'K' for the family's main line, 0 for its others, -1 for what is no X-ray line. */
static int shell_of(const char *family)
{
    static const char *const main_lines[] = {"", "a", "a1", "a1,2", "a12", " series", "-series"};

    if (family[0] != 'K' && family[0] != 'L' && family[0] != 'M' && family[0] != 'N')
        return -1;
    for (size_t i = 0; i < sizeof main_lines / sizeof *main_lines; i++)
        if (strcmp(family + 1, main_lines[i]) == 0)
            return family[0] == 'N' ? 0 : family[0];
    return islower((unsigned char)family[1]) ? 0 : -1;
}

static int keep(struct table *table, const char *symbol, int shell, double k)
{
    int32_t element, family;
    char line[16];
    int named;

    if (strcmp(symbol, "Si") == 0 && shell == 'K')
        table->si = k;
    snprintf(line, sizeof line, "%s_%ca", symbol, shell);
    if (fly_line_find(table->lines, line, &element, &family, &named) < 0 || !named)
        return FLY_OK; /* an element, or a family of it, that this table lacks */
    if (table->row_of[element][family])
        return fly_fail(FLY_ERANGE, "%s:%d: %s has a k-factor in row %d already", table->name, table->row, line,
                        table->row_of[element][family]);
    table->row_of[element][family] = table->row;
    table->k[element][family] = k;
    return FLY_OK;
}

static int read_row(struct table *table, const char *row, size_t len)
{
    static const char shells[] = "KLM";
    const char *line, *element;
    char symbol[4], family[CELL_CAP];
    struct cells cells;
    double k;
    int rc = FLY_OK, shell;

    split(&cells, table->delimiter, row, len);
    line = cell_of(table, &cells, COLUMN_LINE);
    element = cell_of(table, &cells, COLUMN_ELEMENT);
    if (is_blank(line) && is_blank(element))
        return FLY_OK; /* units */
    name_line(element, line, symbol, family);
    if (fly_atomic_number(symbol, strlen(symbol)) == 0)
        return fly_fail(FLY_ERANGE, "%s:%d: no element has the symbol \"%.20s\"", table->name, table->row,
                        element[0] ? element : line);
    if (table->place[COLUMN_LINE] >= 0) {
        shell = shell_of(family);
        if (shell < 0)
            return bad_row(table, "an X-ray line like Ka1 or K is needed, not", line);
        rc = read_number(table, cell_of(table, &cells, COLUMN_FACTOR), &k);
        return rc < 0 || shell == 0 ? rc : keep(table, symbol, shell, k);
    }
    for (int i = 0; i < 3 && rc == FLY_OK; i++) {
        const char *cell = cell_of(table, &cells, (enum column)(COLUMN_K + i));

        if (is_blank(cell))
            continue;
        rc = read_number(table, cell, &k);
        if (rc == FLY_OK)
            rc = keep(table, symbol, shells[i], k);
    }
    return rc;
}

/* "#K_BASIS : atomic" */
static int read_remark(struct table *table, const char *row, size_t len)
{
    const char *const *words = fly_option_find("eds.k_basis")->words;
    const char *colon = memchr(row, ':', len);
    char key[CELL_CAP], word[CELL_CAP], text[CELL_CAP];

    if (!colon)
        return FLY_OK;
    snprintf(text, sizeof text, "%.*s", (int)(colon - row), row);
    plain(key, text);
    if (strcmp(key, "kbasis") != 0)
        return FLY_OK;
    snprintf(text, sizeof text, "%.*s", (int)(len - (size_t)(colon - row) - 1), colon + 1);
    plain(word, text);
    for (int32_t i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) {
            table->basis = i;
            return FLY_OK;
        }
    return bad_row(table, "k_basis is weight or atomic, not", text);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static int write_set(const struct table *table, struct fly_k_factor_set *set)
{
    const struct fly_element *elements;
    int32_t n = fly_elements(table->lines, &elements);
    char number[FLY_NUMBER_CAP];
    struct fly_k_factor_set made = {.basis = table->basis};
    size_t len = 0;

    for (int32_t e = 0; e < n; e++)
        for (int32_t f = 0; f < elements[e].n_families; f++) {
            double k = table->k[e][f];

            if (!table->row_of[e][f])
                continue;
            if (table->si > 0.0 && table->lines == FLY_LINES_PRODUCT)
                k /= table->si;
            len += (size_t)snprintf(made.factors + len, sizeof made.factors - len, "%s%s_%s=%s", len ? "," : "",
                                    elements[e].symbol, elements[e].families[f].name, fly_number_print(number, k));
            FLY_ASSERT(len < sizeof made.factors); /* every line once with 17 digits has room */
        }
    if (len == 0)
        return fly_fail(FLY_ERANGE, "%s: none of its %d rows is of a main line in the line table (Fe-Ka1, Sr-La1, ...)",
                        table->name, table->row);
    *set = made;
    return FLY_OK;
}

static int is_empty(const char *row, size_t len)
{
    while (len && strchr(" \t,;", row[len - 1]) && row[len - 1])
        len--;
    return len == 0;
}

int fly_k_factor_set_parse_csv(struct fly_k_factor_set *set, const char *text, size_t len, const char *name,
                               enum fly_line_set lines)
{
    struct table table = {.name = name, .lines = lines, .basis = -1};
    const char *end = text + len;
    int has_header = 0, rc = FLY_OK;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3; /* what spreadsheets put before UTF-8 */
    while (text < end && rc == FLY_OK) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t row = (size_t)((stop ? stop : end) - text);
        const char *next = text + row + 1;

        table.row++;
        if (row && text[row - 1] == '\r')
            row--;
        if (row && *text == '#') {
            rc = read_remark(&table, text + 1, row - 1);
        } else if (!is_empty(text, row)) {
            rc = has_header ? read_row(&table, text, row) : read_header(&table, text, row);
            has_header = 1;
        }
        text = next;
    }
    if (rc == FLY_OK && !has_header)
        rc = fly_fail(FLY_EWIRE, "%s:%d: no table of k-factors in it", name, table.row);
    return rc < 0 ? rc : write_set(&table, set);
}
