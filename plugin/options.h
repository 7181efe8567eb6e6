/* plugin/options.h: every setting of Flyback, in one table.
 *
 * One row of the table (options_table.c) is a key, its type, unit, range, default and meaning. The YAML
 * file, the environment, the command line, --help and configs/default.yaml all come from it, so none of
 * them can disagree. The values stand in a plain struct; later sources win:
 *
 *   defaults, --config files in their order, environment, --set and --section.key
 *
 * A source is taken whole or not at all: on an error the options are as they were, and the message
 * says where (file:line:col, the variable, the argument), the key, and what is allowed.
 *
 * Adding a setting is one field in the struct and one row in the table; configs/default.yaml is what
 * fly_options_print_yaml prints (a test keeps the two equal).
 *
 * Threads  the options are a plain value; the table is constant.
 */
#ifndef FLY_PLUGIN_OPTIONS_H
#define FLY_PLUGIN_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "plugin/text.h"

enum {
    FLY_OPTION_TEXT_CAP   = 1024,       /* bytes of a string value, NUL included */
    FLY_OPTION_ORIGIN_CAP = 128,
    FLY_OPTIONS_MAX       = 160,        /* rows there is room for */
    FLY_OPTIONS_FILE_MAX  = 256 * 1024, /* bytes of a configuration file */
};

enum fly_option_type {
    FLY_OPTION_BOOL,   /* int: 0, 1 */
    FLY_OPTION_INT,    /* int32_t */
    FLY_OPTION_FLOAT,  /* double */
    FLY_OPTION_STRING, /* char [FLY_OPTION_TEXT_CAP] */
    FLY_OPTION_ENUM,   /* int32_t: the place in words */
    FLY_OPTION_FLOATS, /* double [count], or the first of words: all NaN */
};

enum fly_option_flag {
    FLY_OPTION_LIVE     = 1, /* may change while a session runs (params.set) */
    FLY_OPTION_POWER2   = 2, /* int: powers of two only */
    FLY_OPTION_NONEMPTY = 4, /* string: "" is refused */
    FLY_OPTION_ADDRESS  = 8, /* string: tcp://HOST:PORT or ipc://PATH */
    FLY_OPTION_NUMERAL  = 16, /* string: one of words, or a number min .. max; its reader holds it to that */
    FLY_OPTION_LISTEN   = 32, /* string: HOST:PORT of this machine, or empty */
};

struct fly_option {
    const char *key;            /* "chip.size_px" */
    enum fly_option_type type;
    size_t at;                  /* offset in struct fly_options */
    int32_t count;              /* FLOATS: how many */
    double min, max;            /* INT, FLOAT, FLOATS, NUMERAL: both ends allowed */
    const char *unit;           /* "px"; "" when it has none */
    const char *initial;        /* the default, as a person would write it */
    const char *const *words;   /* ENUM, NUMERAL, FLOATS: NULL after the last; FLOATS may have none */
    unsigned flags;             /* enum fly_option_flag */
    const char *help;           /* one or two sentences */
    const char *refusal;        /* ENUM: why other words are not there; NULL: nothing to add */
};

/* Values of the enum keys that others switch on: places in the words of the table. */
enum fly_option_profile { FLY_OPTION_ROBUST = 0, FLY_OPTION_PAPER };
enum fly_option_model { FLY_OPTION_SPECTRAL = 0, FLY_OPTION_SQUEEZENET, FLY_OPTION_VGG16 };
enum fly_option_eds_method { FLY_OPTION_EDS_AUTO = 0, FLY_OPTION_EDS_FIT, FLY_OPTION_EDS_WINDOW, FLY_OPTION_EDS_ML };
enum fly_option_graph_mode { FLY_OPTION_P100 = 0, FLY_OPTION_M2 };
enum fly_option_preproc { FLY_OPTION_PREPROC_AUTO = 0, FLY_OPTION_PREPROC_CAFFE, FLY_OPTION_PREPROC_TV };

/* Unit, range, default and reason of each field stand in the table (options_table.c). */
struct fly_options {
    int32_t profile;
    double pixel_nm;
    struct {
        char name[FLY_OPTION_TEXT_CAP];
        double dwell_floor_us, pixel_time_us, flyback_time_us; /* 0: not known */
        int32_t rotation_sign;
        char detectors[FLY_OPTION_TEXT_CAP];
    } instrument;
    struct {
        int32_t size_px, pitch_px, rows, cols;
    } chip;
    struct {
        char detector[FLY_OPTION_TEXT_CAP];
        double lo, hi;
        int32_t range_rows;
    } haadf;
    struct {
        int32_t model;
        char weights[FLY_OPTION_TEXT_CAP];
        int32_t input_px;
        int32_t tap, precision, preproc;
    } embed;
    struct {
        int32_t feature_fewshot, feature_community, feature_ward; /* enum fly_eds_feature of engine/engine.h */
        int32_t method, line_table, min_counts, k_basis;
        char elements[FLY_OPTION_TEXT_CAP], k_factors[FLY_OPTION_TEXT_CAP], k_factor_file[FLY_OPTION_TEXT_CAP];
        int32_t n_channels;
        double ev_offset, ev_per_channel;
    } eds;
    struct {
        double weights[2]; /* haadf, eds */
        double temperature;
        char support[FLY_OPTION_TEXT_CAP];
    } fewshot;
    struct {
        char threshold[FLY_OPTION_TEXT_CAP];
        int32_t mode, edge; /* enum fly_option_graph_mode; weight, binary */
        double resolution;
        double weights[2];  /* haadf, eds */
        int32_t min_counts, chips_max;
    } graph;
    struct {
        int32_t k, chips_max;
    } tree;
    struct {
        double d_range_nm[2]; /* from, to */
    } region;
    struct {
        int enabled;
        char dir[FLY_OPTION_TEXT_CAP];
        int32_t sync_ms, ring_mib;
    } recording;
    struct {
        double stop_wait_s;
        int32_t queue_mib;
    } ingest;
    struct {
        int32_t threads, memory_limit_mib, frames_held, frames_max, photons_held_millions;
    } engine;
    struct {
        char ingest[FLY_OPTION_TEXT_CAP], publish[FLY_OPTION_TEXT_CAP], control[FLY_OPTION_TEXT_CAP];
    } sockets;
    struct {
        char keys[FLY_OPTION_TEXT_CAP], allow[FLY_OPTION_TEXT_CAP];
    } security;
    struct {
        char listen[FLY_OPTION_TEXT_CAP], plugin[FLY_OPTION_TEXT_CAP], plugin_key[FLY_OPTION_TEXT_CAP];
        char limits[FLY_OPTION_TEXT_CAP], journal[FLY_OPTION_TEXT_CAP];
    } guard;
    struct {
        int32_t adopt;
    } drift;
    struct {
        char listen[FLY_OPTION_TEXT_CAP];
    } page;
    struct {
        double keyframe_s;
    } publish;
    struct {
        int32_t mode;   /* enum fly_steer_mode of plugin/decision.h: off, advise */
        int32_t policy; /* enum fly_steer_policy of engine/steer/policy.h */
        int32_t signal; /* auto, then enum fly_signal */
        int32_t tiles, cycle_ms, seed;
        int32_t damage; /* 1: chips that change under the beam are barred */
        double dose_cap, dose_cap_e_per_A2, budget, explore, target_error, ask_s, rest_ms, settle_us, slew_px_per_us;
    } steer;
    struct {
        int32_t level;  /* enum fly_log_level of plugin/log.h */
        int32_t format; /* enum fly_log_format */
    } log;

    /* Where the value of row i of the table came from: "default", "demo.yaml:3:12", "FLYBACK_...",
     * "--set". Read it with fly_options_origin. */
    char origin[FLY_OPTIONS_MAX][FLY_OPTION_ORIGIN_CAP];
};

/* ---- the table ---------------------------------------------------------------------------------- */

const struct fly_option *fly_option_table(int32_t *count);
const struct fly_option *fly_option_find(const char *key);       /* NULL: no such key */
const char *fly_option_nearest(const char *key);                 /* what was meant, or NULL */
const char *fly_option_range(const struct fly_option *row, char *out, size_t cap); /* "4 .. 1024 px" */

/* ---- values ------------------------------------------------------------------------------------- */

void fly_options_default(struct fly_options *options);

/* One value from text, as written after --set or in the environment: lists as "0.5, 0.5" or
 * "[0.5, 0.5]". origin is kept (its end, when it is long).
 *
 * FLY_ERANGE  no such key, not of its type, or outside its range; begins with "origin: key: "
 */
FLY_MUST_USE int fly_options_set(struct fly_options *options, const char *key, const char *value,
                                 const char *origin);

/* The same for a running session: FLY_ERANGE also for keys that cannot change then (those that can
 * are listed in the message). */
FLY_MUST_USE int fly_options_set_live(struct fly_options *options, const char *key, const char *value,
                                      const char *origin);

/* Rules between keys: a pitch no wider than the chip, a network that has its weights, addresses that only
 * this machine reaches, ... Call it once all sources are in. FLY_ERANGE names the keys and where their
 * values came from. */
FLY_MUST_USE int fly_options_check(const struct fly_options *options);

/* The value as fly_options_set takes it; returns out, cut at cap. key exists (asserted). */
char *fly_options_get_text(const struct fly_options *options, const char *key, char *out, size_t cap);

const char *fly_options_origin(const struct fly_options *options, const char *key);

/* The word of an ENUM key ("vgg16"). Static. key exists and is one (asserted). */
const char *fly_options_word(const struct fly_options *options, const char *key);

/* ---- sources ------------------------------------------------------------------------------------ */

/* YAML 1.1 of at most FLY_OPTIONS_FILE_MAX bytes: nested sections or dotted keys, plain values, lists.
 * Refused are unknown and duplicate keys, anchors, aliases, tags, directives, a second document. An
 * empty text is fine. name stands in messages and origins.
 *
 * FLY_ERANGE  "name:line:col: what is wrong"
 */
FLY_MUST_USE int fly_options_load_yaml(struct fly_options *options, const char *text, size_t len,
                                       const char *name);

/* Read a file and load it. FLY_EIO when it cannot be read. */
FLY_MUST_USE int fly_options_load_file(struct fly_options *options, const char *path);

/* FLYBACK_CHIP_SIZE_PX=20 and the like; other variables are not looked at, but an unknown FLYBACK_
 * one is refused: a misspelt setting must not be lost silently. */
FLY_MUST_USE int fly_options_load_env(struct fly_options *options, char *const *environment);

/* The whole command line, argv[0] left alone: --config FILE, the environment, --set key=value, --key value,
 * --key=value, in the order of the house. What it knows is taken out of argc and argv (the rest keeps
 * its order, argv[*argc] is NULL); an option with a dot in its name that it does not know is refused;
 * "--" ends it. environment may be NULL. Does not call fly_options_check. */
FLY_MUST_USE int fly_options_load_args(struct fly_options *options, int *argc, char **argv,
                                       char *const *environment);

/* ---- telling people ----------------------------------------------------------------------------- */

/* The options as a commented YAML page that loads back to the same values; keys that are not at their
 * default name their origin. Of the defaults: configs/default.yaml, byte for byte. */
void fly_options_print_yaml(const struct fly_options *options, struct fly_text *out);

/* The list of keys for --help, of the sections given ("chip", "embed", NULL after the last) or, with
 * NULL, of all. */
void fly_options_help(struct fly_text *out, const char *const *sections);

#endif
