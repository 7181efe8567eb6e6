#include "plugin/options.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/graph_choice.h"
#include "plugin/number.h"
#include "plugin/page/listen.h"
#include "plugin/quantify_choice.h"

static int32_t row_idx(const struct fly_option *row)
{
    int32_t count;

    return (int32_t)(row - fly_option_table(&count));
}

static void keep_origin(struct fly_options *options, const struct fly_option *row, const char *origin)
{
    char *out = options->origin[row_idx(row)];
    size_t len = strlen(origin);

    /* Of a long path the end tells most, and the line stands there. */
    if (len >= FLY_OPTION_ORIGIN_CAP)
        snprintf(out, FLY_OPTION_ORIGIN_CAP, "...%s", origin + len - (FLY_OPTION_ORIGIN_CAP - 4));
    else
        memcpy(out, origin, len + 1);
}

static void trim(const char **text, size_t *len)
{
    while (*len && isspace((unsigned char)**text)) {
        (*text)++;
        (*len)--;
    }
    while (*len && isspace((unsigned char)(*text)[*len - 1]))
        (*len)--;
}

/* Refusals all read alike: where, which key, what stood there, what is allowed. */
static int refuse(const struct fly_option *row, const char *origin, const char *value, const char *why)
{
    char range[160];

    return fly_fail(FLY_ERANGE, "%s: %s: \"%.60s\" %s; allowed: %s%s%s", origin, row->key, value, why,
                    fly_option_range(row, range, sizeof range), row->refusal ? "; " : "",
                    row->refusal ? row->refusal : "");
}

static int set_int(int32_t *at, const struct fly_option *row, const char *value, const char *origin)
{
    int64_t number;

    if (!fly_integer_parse(value, strlen(value), &number))
        return refuse(row, origin, value, "is not a whole number");
    if ((double)number < row->min || (double)number > row->max)
        return refuse(row, origin, value, "is outside the range");
    if (row->flags & FLY_OPTION_POWER2 && (number & (number - 1)))
        return refuse(row, origin, value, "is not a power of two");
    *at = (int32_t)number;
    return FLY_OK;
}

static int set_floats(double *at, int32_t count, const struct fly_option *row, const char *value,
                      const char *origin)
{
    const char *text = value;
    size_t len = strlen(value);
    int32_t n = 0;

    trim(&text, &len);
    if (row->type == FLY_OPTION_FLOATS && len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    for (const char *end = text + len; text <= end; n++) {
        const char *comma = row->type == FLY_OPTION_FLOATS ? memchr(text, ',', (size_t)(end - text)) : NULL;
        const char *item = text;
        size_t item_len = (size_t)((comma ? comma : end) - text);
        double number;

        trim(&item, &item_len);
        if (!fly_number_parse(item, item_len, &number))
            return refuse(row, origin, value,
                          row->type == FLY_OPTION_FLOATS ? "is not a list of numbers" : "is not a number");
        if (number < row->min || number > row->max)
            return refuse(row, origin, value, "is outside the range");
        if (n < count)
            at[n] = number;
        text = (comma ? comma : end) + 1;
    }
    if (n != count)
        return refuse(row, origin, value, "has the wrong length");
    return FLY_OK;
}

static int is_address(const char *value)
{
    const char *host = value + 6, *port;
    int64_t number;

    if (strncmp(value, "ipc://", 6) == 0)
        return value[6] != '\0';
    if (strncmp(value, "tcp://", 6) != 0)
        return 0;
    port = strrchr(host, ':');
    if (!port || port == host)
        return 0;
    if (strcmp(port + 1, "*") == 0)
        return 1;
    return isdigit((unsigned char)port[1]) && fly_integer_parse(port + 1, strlen(port + 1), &number) &&
           number <= 65535;
}

static int set_string(char *at, const struct fly_option *row, const char *value, const char *origin)
{
    size_t len = strlen(value);

    if (len >= FLY_OPTION_TEXT_CAP)
        return fly_fail(FLY_ERANGE, "%s: %s: a text of %zu bytes, at most %d are kept", origin, row->key,
                        len, FLY_OPTION_TEXT_CAP - 1);
    if (!fly_utf8_valid(value, len))
        return refuse(row, origin, "...", "is not UTF-8");
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7F)
            return refuse(row, origin, "...", "has a control character in it");
    }
    if (row->flags & FLY_OPTION_NONEMPTY && len == 0)
        return refuse(row, origin, value, "is empty");
    if (row->flags & FLY_OPTION_ADDRESS && !is_address(value))
        return refuse(row, origin, value, "is not an address");
    memcpy(at, value, len + 1);
    return FLY_OK;
}

static int set_word(int32_t *at, const struct fly_option *row, const char *value, const char *origin)
{
    for (int32_t i = 0; row->words[i]; i++) {
        if (strcmp(row->words[i], value) == 0) {
            *at = i;
            return FLY_OK;
        }
    }
    return refuse(row, origin, value, "is not one of them");
}

/* Check value and, when it is right, write it at its place. */
static int set_row(struct fly_options *options, const struct fly_option *row, const char *value,
                   const char *origin)
{
    char *at = (char *)options + row->at;
    double kept[8];
    int rc = FLY_OK;

    switch (row->type) {
    case FLY_OPTION_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return refuse(row, origin, value, "is neither");
        *(int *)(void *)at = value[0] == 't';
        break;
    case FLY_OPTION_INT:
        rc = set_int((int32_t *)(void *)at, row, value, origin);
        break;
    case FLY_OPTION_FLOAT:
    case FLY_OPTION_FLOATS: {
        int32_t count = row->type == FLY_OPTION_FLOAT ? 1 : row->count;

        FLY_ASSERT(count <= 8);
        if (row->words && strcmp(value, row->words[0]) == 0)
            for (int32_t i = 0; i < count; i++)
                kept[i] = NAN;
        else
            rc = set_floats(kept, count, row, value, origin);
        if (rc == FLY_OK)
            memcpy(at, kept, (size_t)count * sizeof *kept);
        break;
    }
    case FLY_OPTION_STRING:
        rc = set_string(at, row, value, origin);
        break;
    case FLY_OPTION_ENUM:
        rc = set_word((int32_t *)(void *)at, row, value, origin);
        break;
    }
    if (rc == FLY_OK)
        keep_origin(options, row, origin);
    return rc;
}

void fly_options_default(struct fly_options *options)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);

    memset(options, 0, sizeof *options);
    for (int32_t i = 0; i < count; i++) {
        int rc = set_row(options, &table[i], table[i].initial, "default");

        FLY_ASSERT(rc == FLY_OK);
    }
}

static int no_such_key(const char *key, const char *origin)
{
    const char *nearest = fly_option_nearest(key);

    return fly_fail(FLY_ERANGE, "%s: %.80s: no such key%s%s%s", origin, key,
                    nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "");
}

int fly_options_set(struct fly_options *options, const char *key, const char *value, const char *origin)
{
    const struct fly_option *row = fly_option_find(key);

    if (!row)
        return no_such_key(key, origin);
    return set_row(options, row, value, origin);
}

int fly_options_set_live(struct fly_options *options, const char *key, const char *value,
                         const char *origin)
{
    const struct fly_option *row = fly_option_find(key);
    const struct fly_option *table;
    char list[256] = "";
    size_t len = 0;
    int32_t count;

    if (!row)
        return no_such_key(key, origin);
    if (row->flags & FLY_OPTION_LIVE)
        return set_row(options, row, value, origin);
    table = fly_option_table(&count);
    for (int32_t i = 0; i < count && len < sizeof list; i++) {
        if (table[i].flags & FLY_OPTION_LIVE)
            len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", table[i].key);
    }
    return fly_fail(FLY_ERANGE, "%s: %s is fixed while Flyback runs; these may change: %s", origin, key,
                    list);
}

static int is_local(const char *address)
{
    static const char *const hosts[] = {"tcp://127.", "tcp://localhost:", "tcp://[::1]:", "ipc://"};

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        if (strncmp(address, hosts[i], strlen(hosts[i])) == 0)
            return 1;
    }
    return 0;
}

/* NAME:TYPE, NAME:TYPE: the words of instrument.detectors, which flyback_send.py reads. */
static int check_detectors(const struct fly_options *options)
{
    static const char *const types[] = {"uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"};
    const char *at = options->instrument.detectors;

    at += strspn(at, " ");
    while (*at) {
        size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
        size_t word = at[name] == ':' ? strcspn(at + name + 1, ", ") : 0;
        int known = 0;

        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            known |= strlen(types[i]) == word && strncmp(types[i], at + name + 1, word) == 0;
        if (name < 1 || name > 64 || !known)
            return fly_fail(FLY_ERANGE, "%s: instrument.detectors: \"%.40s\" is not NAME:TYPE; names are 1 .. 64 of "
                            "[A-Za-z0-9._-], types uint8, uint16, uint32, int16, int32, float32, float64",
                            fly_options_origin(options, "instrument.detectors"), at);
        at += name + 1 + word;
        at += strspn(at, " ,");
    }
    return FLY_OK;
}

/* What of the microscope's profile contradicts itself. */
static int check_instrument(const struct fly_options *options)
{
    double dwell_us = options->instrument.pixel_time_us, floor_us = options->instrument.dwell_floor_us;

    if (dwell_us > 0 && dwell_us < floor_us)
        return fly_fail(FLY_ERANGE, "%s: instrument.pixel_time_us: %g is below instrument.dwell_floor_us, %g (%s)",
                        fly_options_origin(options, "instrument.pixel_time_us"), dwell_us, floor_us,
                        fly_options_origin(options, "instrument.dwell_floor_us"));
    return check_detectors(options);
}

/* Whoever answers at guard.plugin says what is booked and what is sent on. */
static int check_guard(const struct fly_options *options)
{
    if (options->guard.plugin[0] && !is_local(options->guard.plugin) && !options->guard.plugin_key[0])
        return fly_fail(FLY_ERANGE, "%s: guard.plugin: \"%.80s\" is another machine, which needs its key: guard.plugin_key, "
                        "with security.keys and security.allow (make them with flyback keygen); allowed without: this "
                        "machine (tcp://127.0.0.1:PORT, ipc://PATH)",
                        fly_options_origin(options, "guard.plugin"), options->guard.plugin);
    if (options->guard.plugin_key[0] && !options->security.keys[0])
        return fly_fail(FLY_ERANGE, "%s: guard.plugin_key: it goes with security.keys, the guard's own pair, which is empty "
                        "(flyback keygen)", fly_options_origin(options, "guard.plugin_key"));
    return FLY_OK;
}

int fly_options_check(const struct fly_options *options)
{
    static const char *const sockets[] = {"sockets.ingest", "sockets.publish", "sockets.control"};
    const char *const addresses[] = {options->sockets.ingest, options->sockets.publish, options->sockets.control};
    const char *weights = options->embed.weights;
    int made = strncmp(weights, "he:", 3) == 0 || strcmp(weights, "closed:") == 0;

    for (int i = 0; i < 3; i++) {
        const char *other = addresses[(i + 1) % 3];
        size_t len = strlen(addresses[i]);
        int any_port = len > 2 && (strcmp(addresses[i] + len - 2, ":*") == 0 || strcmp(addresses[i] + len - 2, ":0") == 0);

        /* Without keys whoever reaches the sockets may do everything. */
        if (!is_local(addresses[i]) && !options->security.keys[0])
            return fly_fail(FLY_ERANGE, "%s: %s: \"%.80s\" is open to other machines, which needs keys: security.keys and "
                            "security.allow (make them with flyback keygen); allowed without: this machine "
                            "(tcp://127.0.0.1:PORT, ipc://PATH)",
                            fly_options_origin(options, sockets[i]), sockets[i], addresses[i]);
        if (strcmp(addresses[i], other) == 0 && !any_port)
            return fly_fail(FLY_ERANGE, "%s: %s: \"%.80s\" is that of %s as well (%s)",
                            fly_options_origin(options, sockets[i]), sockets[i], addresses[i],
                            sockets[(i + 1) % 3], fly_options_origin(options, sockets[(i + 1) % 3]));
    }

    if (!options->security.keys[0] != !options->security.allow[0]) {
        const char *given = options->security.keys[0] ? "security.keys" : "security.allow";

        return fly_fail(FLY_ERANGE, "%s: %s: it goes with %s, which is empty: keys tell who somebody is, the allow-list what "
                        "they may do (flyback keygen)", fly_options_origin(options, given), given,
                        options->security.keys[0] ? "security.allow" : "security.keys");
    }

    struct fly_listen listen;
    char why[320];

    if (options->page.listen[0] && fly_listen_parse(&listen, options->page.listen) < 0) {
        snprintf(why, sizeof why, "%s", fly_fail_text());
        return fly_fail(FLY_ERANGE, "%s: page.listen: %s", fly_options_origin(options, "page.listen"), why);
    }
    if (options->chip.pitch_px > options->chip.size_px)
        return fly_fail(FLY_ERANGE, "%s: chip.pitch_px: %d is wider than chip.size_px, %d (%s): chips leave no gaps",
                        fly_options_origin(options, "chip.pitch_px"), options->chip.pitch_px,
                        options->chip.size_px, fly_options_origin(options, "chip.size_px"));
    if ((options->haadf.lo != 0 || options->haadf.hi != 0) && options->haadf.hi <= options->haadf.lo)
        return fly_fail(FLY_ERANGE, "%s: haadf.hi: %g is not above haadf.lo, %g (%s)",
                        fly_options_origin(options, "haadf.hi"), options->haadf.hi, options->haadf.lo,
                        fly_options_origin(options, "haadf.lo"));
    if (options->fewshot.weights[0] + options->fewshot.weights[1] <= 0)
        return fly_fail(FLY_ERANGE, "%s: fewshot.weights: both are 0, one must weigh something",
                        fly_options_origin(options, "fewshot.weights"));
    if (options->embed.model != FLY_OPTION_SPECTRAL && !weights[0])
        return fly_fail(FLY_ERANGE, "%s: embed.model: %s needs embed.weights, a safetensors file",
                        fly_options_origin(options, "embed.model"), fly_options_word(options, "embed.model"));
    if (options->embed.model == FLY_OPTION_SQUEEZENET && made)
        return fly_fail(FLY_ERANGE, "%s: embed.weights: \"%s\" is for vgg16, squeezenet1_1 needs a file",
                        fly_options_origin(options, "embed.weights"), weights);
    if (options->embed.model == FLY_OPTION_SPECTRAL && weights[0])
        return fly_fail(FLY_ERANGE, "%s: embed.weights: \"%s\" would not be read, embed.model is spectral (%s)",
                        fly_options_origin(options, "embed.weights"), weights,
                        fly_options_origin(options, "embed.model"));
    if (options->region.d_range_nm[1] <= options->region.d_range_nm[0])
        return fly_fail(FLY_ERANGE, "%s: region.d_range_nm: [%g, %g] does not rise; allowed: a smaller number, then a "
                        "greater",
                        fly_options_origin(options, "region.d_range_nm"), options->region.d_range_nm[0],
                        options->region.d_range_nm[1]);
    if (check_guard(options) < 0 || check_instrument(options) < 0 || fly_graph_options_check(options) < 0)
        return FLY_ERANGE;
    return fly_quantify_options_check(options);
}

char *fly_options_get_text(const struct fly_options *options, const char *key, char *out, size_t cap)
{
    const struct fly_option *row = fly_option_find(key);
    const char *at;
    char number[FLY_NUMBER_CAP];
    double value;
    size_t len = 0;

    FLY_ASSERT(row && cap > 0);
    at = (const char *)options + row->at;
    switch (row->type) {
    case FLY_OPTION_BOOL:
        snprintf(out, cap, "%s", *(const int *)(const void *)at ? "true" : "false");
        break;
    case FLY_OPTION_INT:
        snprintf(out, cap, "%d", (int)*(const int32_t *)(const void *)at);
        break;
    case FLY_OPTION_FLOAT:
        memcpy(&value, at, sizeof value);
        snprintf(out, cap, "%s", fly_number_print(number, value));
        break;
    case FLY_OPTION_FLOATS:
        memcpy(&value, at, sizeof value);
        if (isnan(value)) {
            snprintf(out, cap, "%s", row->words[0]);
            break;
        }
        for (int32_t i = 0; i < row->count && len < cap; i++) {
            memcpy(&value, at + (size_t)i * sizeof value, sizeof value);
            len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? ", " : "[",
                                    fly_number_print(number, value));
        }
        if (len < cap)
            snprintf(out + len, cap - len, "]");
        break;
    case FLY_OPTION_STRING:
        snprintf(out, cap, "%s", at);
        break;
    case FLY_OPTION_ENUM:
        snprintf(out, cap, "%s", fly_options_word(options, key));
        break;
    }
    return out;
}

const char *fly_options_origin(const struct fly_options *options, const char *key)
{
    const struct fly_option *row = fly_option_find(key);

    FLY_ASSERT(row);
    return options->origin[row_idx(row)];
}

const char *fly_options_word(const struct fly_options *options, const char *key)
{
    const struct fly_option *row = fly_option_find(key);
    int32_t place;

    FLY_ASSERT(row && row->type == FLY_OPTION_ENUM);
    memcpy(&place, (const char *)options + row->at, sizeof place);
    return row->words[place];
}
