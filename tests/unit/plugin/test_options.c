#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/log.h"
#include "plugin/options.h"
#include "stream/disk.h"

static struct fly_options options, before;

static void assert_same(const struct fly_options *a, const struct fly_options *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static void every_row_has_its_own_key_place_words_and_variable(void **state)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);
    char names[FLY_OPTIONS_MAX][128];

    (void)state;
    assert_true(count > 30);
    for (int32_t i = 0; i < count; i++) {
        assert_true(strlen(table[i].help) > 10);
        assert_true(table[i].at + 4 <= sizeof options);
        assert_ptr_equal(fly_option_find(table[i].key), &table[i]);
        for (size_t k = 0; k <= strlen(table[i].key); k++)
            names[i][k] = table[i].key[k] == '.' ? '_' : table[i].key[k];
        for (int32_t j = 0; j < i; j++) {
            assert_string_not_equal(table[i].key, table[j].key);
            assert_string_not_equal(names[i], names[j]);
            assert_int_not_equal(table[i].at, table[j].at);
        }
        if (table[i].type == FLY_OPTION_INT || table[i].type == FLY_OPTION_FLOAT ||
            table[i].type == FLY_OPTION_FLOATS)
            assert_true(table[i].min < table[i].max);
    }
    assert_null(fly_option_find("chip"));
    assert_null(fly_option_find(""));
}

static void defaults_are_those_of_the_house(void **state)
{
    (void)state;
    fly_options_default(&options);
    assert_int_equal(options.profile, FLY_OPTION_ROBUST);
    assert_int_equal(options.chip.size_px, 15);
    assert_int_equal(options.embed.model, FLY_OPTION_SPECTRAL);
    assert_string_equal(fly_options_word(&options, "embed.tap"), "pool5_gap");
    assert_true(options.recording.enabled);
    assert_int_equal(options.recording.sync_ms, 50);
    assert_true(options.ingest.stop_wait_s == 2.0);
    assert_true(options.fewshot.weights[0] == 0.5 && options.fewshot.weights[1] == 0.5);
    assert_string_equal(options.sockets.ingest, "tcp://127.0.0.1:5570");
    assert_string_equal(options.sockets.control, "tcp://127.0.0.1:5572");
    assert_string_equal(fly_options_origin(&options, "chip.size_px"), "default");
    assert_int_equal(fly_options_check(&options), FLY_OK);
}

static void the_words_of_the_log_are_in_the_order_of_its_enum(void **state)
{
    const struct fly_option *row = fly_option_find("log.level");

    (void)state;
    for (int level = FLY_LOG_ERROR; level <= FLY_LOG_DEBUG; level++)
        assert_string_equal(row->words[level], fly_log_level_name((enum fly_log_level)level));
    assert_string_equal(fly_option_find("log.format")->words[FLY_LOG_JSON], "json");
    assert_string_equal(fly_option_find("profile")->words[FLY_OPTION_PAPER], "paper");
    assert_string_equal(fly_option_find("embed.model")->words[FLY_OPTION_VGG16], "vgg16");
    assert_string_equal(fly_option_find("embed.preproc")->words[FLY_OPTION_PREPROC_TV], "tv");
}

static void a_near_miss_is_guessed_and_a_far_one_is_not(void **state)
{
    (void)state;
    assert_string_equal(fly_option_nearest("chip.size_pxl"), "chip.size_px");
    assert_string_equal(fly_option_nearest("size_px"), "chip.size_px");
    assert_string_equal(fly_option_nearest("recording.sync_sm"), "recording.sync_ms");
    assert_string_equal(fly_option_nearest("profil"), "profile");
    assert_string_equal(fly_option_nearest("chip.size"), "chip.size_px");
    assert_string_equal(fly_option_nearest("graph.treshold"), "graph.threshold");
    assert_null(fly_option_nearest("surveillance.camera"));
    assert_null(fly_option_nearest("x"));
}

/* ---- YAML --------------------------------------------------------------------------------------- */

static int load(const char *text)
{
    return fly_options_load_yaml(&options, text, strlen(text), "t.yaml");
}

static void a_file_sets_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    fly_options_default(&options);
    before = options;
    assert_int_equal(load("# a comment\n"
                          "profile: paper\n"
                          "chip:\n  size_px: 20\n  pitch_px: 10\n"
                          "haadf: {detector: \"HAADF 2\", lo: -1.5e2, hi: 1e3}\n"
                          "eds:\n  feature:\n    fewshot: spectrum\n"
                          "fewshot:\n  weights:\n    - 0.45\n    - 1\n"
                          "recording.enabled: false\n"
                          "sockets:\n  ingest: ipc:///run/fly\n"),
                     FLY_OK);
    assert_int_equal(options.profile, FLY_OPTION_PAPER);
    assert_int_equal(options.chip.size_px, 20);
    assert_int_equal(options.chip.pitch_px, 10);
    assert_string_equal(options.haadf.detector, "HAADF 2");
    assert_true(options.haadf.lo == -150 && options.haadf.hi == 1000);
    assert_true(options.fewshot.weights[0] == 0.45 && options.fewshot.weights[1] == 1);
    assert_false(options.recording.enabled);
    assert_string_equal(options.sockets.ingest, "ipc:///run/fly");
    assert_string_equal(fly_options_origin(&options, "chip.size_px"), "t.yaml:4:12");
    assert_string_equal(fly_options_origin(&options, "fewshot.weights"), "t.yaml:12:5");
    assert_int_equal(options.chip.rows, before.chip.rows);
    assert_string_equal(fly_options_origin(&options, "chip.rows"), "default");
}

static void an_empty_file_is_all_defaults(void **state)
{
    (void)state;
    fly_options_default(&options);
    before = options;
    assert_int_equal(load(""), FLY_OK);
    assert_int_equal(load("# nothing\n"), FLY_OK);
    assert_int_equal(load("---\n"), FLY_OK);
    assert_int_equal(load("{}\n"), FLY_OK);
    assert_same(&options, &before);
}

static void each_bad_file_is_refused_at_its_place_and_changes_nothing(void **state)
{
    /* What stands there, where it is refused, and a piece of what is said. */
    static const struct {
        const char *text, *place, *words;
    } cases[] = {
        /* keys */
        {"chip:\n  size_xp: 3\n", "t.yaml:2:3: ", "did you mean chip.size_px?"},
        {"chips:\n  size_px: 3\n", "t.yaml:1:1: ", "no such key"},
        {"surveillance:\n  camera: 1\n", "t.yaml:1:1: surveillance: no such key", ""},
        {"graph:\n  treshold: mode\n", "t.yaml:2:3: ", "did you mean graph.threshold?"},
        {"size_px: 3\n", "t.yaml:1:1: ", "did you mean chip.size_px?"},
        {"chip:\n  size_px: 9\n  size_px: 9\n", "t.yaml:3:3: ", "chip.size_px was given already, in line 2"},
        {"chip: {rows: 1}\nhaadf: {lo: 0}\nchip: {cols: 1}\n", "t.yaml:3:1: ", "chip was given already, in line 1"},
        {"chip: {rows: 1}\nchip.rows: 2\n", "t.yaml:2:1: ", "chip.rows was given already, in line 1"},
        {"? [chip]\n: 3\n", "t.yaml:1:3: ", "a key is a word"},
        {"? {a: b}\n: 3\n", "t.yaml:1:3: ", "a key is a word"},
        {"\"\": 3\n", "t.yaml:1:1: ", "no such key"},
        {"<<: {chip: 3}\n", "t.yaml:1:1: ", "no such key"},
        {"chip..size_px: 3\n", "t.yaml:1:1: ", "no such key"},
        /* types */
        {"chip:\n  size_px: fifteen\n", "t.yaml:2:12: chip.size_px: ", "is not a whole number; allowed: 1 .. 1024 px"},
        {"chip:\n  size_px: 15.5\n", "t.yaml:2:12: chip.size_px: ", "is not a whole number"},
        {"chip:\n  size_px: 1e2\n", "t.yaml:2:12: chip.size_px: ", "is not a whole number"},
        {"chip:\n  size_px: 0x10\n", "t.yaml:2:12: chip.size_px: ", "is not a whole number"},
        {"chip:\n  size_px: \"15\"\n", "t.yaml:2:12: chip.size_px: ", "a text in quotes stands there"},
        {"chip:\n  size_px: true\n", "t.yaml:2:12: chip.size_px: ", "is not a whole number"},
        {"chip:\n  size_px:\n", "t.yaml:2:11: chip.size_px: ", "nothing stands there"},
        {"chip:\n  size_px: ~\n", "t.yaml:2:12: chip.size_px: ", "nothing stands there"},
        {"chip:\n  size_px: [15]\n", "t.yaml:2:12: chip.size_px: ", "a list stands there"},
        {"chip:\n  size_px: {px: 15}\n", "t.yaml:2:12: chip.size_px: ", "a section stands there"},
        {"chip: 15\n", "t.yaml:1:7: chip is a section", ""},
        {"chip: [15]\n", "t.yaml:1:7: chip is a section", ""},
        {"chip:\nhaadf: {lo: 1}\n", "t.yaml:1:6: chip is a section", ""},
        {"recording:\n  enabled: yes\n", "t.yaml:2:12: recording.enabled: ", "allowed: true, false"},
        {"recording:\n  enabled: 1\n", "t.yaml:2:12: recording.enabled: ", "allowed: true, false"},
        {"recording:\n  enabled: True\n", "t.yaml:2:12: recording.enabled: ", "allowed: true, false"},
        {"recording:\n  dir: 7\n", "t.yaml:2:8: recording.dir: ", "goes in quotes"},
        {"recording:\n  dir: no\n", "t.yaml:2:8: recording.dir: ", "goes in quotes"},
        {"recording:\n  dir: null\n", "t.yaml:2:8: recording.dir: ", "nothing stands there"},
        {"recording:\n  dir: \"\"\n", "t.yaml:2:8: recording.dir: ", "is empty"},
        {"recording:\n  dir: \"a\\nb\"\n", "t.yaml:2:8: recording.dir: ", "control character"},
        {"recording:\n  dir: \"a\\0b\"\n", "t.yaml:2:8: ", "NUL"},
        {"fewshot:\n  weights: 0.5\n", "t.yaml:2:12: fewshot.weights: ", "a single value stands there"},
        {"fewshot:\n  weights: [0.5]\n", "t.yaml:2:12: fewshot.weights: ", "wrong length; allowed: 2 numbers"},
        {"fewshot:\n  weights: []\n", "t.yaml:2:12: fewshot.weights: ", "allowed: 2 numbers"},
        {"fewshot:\n  weights: [1, 2, 3]\n", "t.yaml:2:12: fewshot.weights: ", "wrong length"},
        {"fewshot:\n  weights: [1, a]\n", "t.yaml:2:16: fewshot.weights: ", "an item that is no number"},
        {"fewshot:\n  weights: [1, [2]]\n", "t.yaml:2:16: fewshot.weights: ", "a list or map inside"},
        {"fewshot:\n  weights: [1, \"2\"]\n", "t.yaml:2:16: fewshot.weights: ", "an item that is no number"},
        /* ranges */
        {"chip:\n  size_px: 0\n", "t.yaml:2:12: chip.size_px: ", "\"0\" is outside the range; allowed: 1 .. 1024 px"},
        {"chip:\n  size_px: 1025\n", "t.yaml:2:12: chip.size_px: ", "1 .. 1024 px"},
        {"chip:\n  size_px: 99999999999999999999\n", "t.yaml:2:12: chip.size_px: ", "1 .. 1024 px"},
        {"chip:\n  rows: -1\n", "t.yaml:2:9: chip.rows: ", "0 .. 4096 chips"},
        {"fewshot:\n  temperature: 0\n", "t.yaml:2:16: fewshot.temperature: ", "is outside the range"},
        {"fewshot:\n  temperature: .nan\n", "t.yaml:2:16: fewshot.temperature: ", "is not a number"},
        {"fewshot:\n  temperature: nan\n", "t.yaml:2:16: fewshot.temperature: ", "is not a number"},
        {"fewshot:\n  temperature: .inf\n", "t.yaml:2:16: fewshot.temperature: ", "is not a number"},
        {"fewshot:\n  temperature: 1e999\n", "t.yaml:2:16: fewshot.temperature: ", "is not a number"},
        {"fewshot:\n  weights: [1, -1]\n", "t.yaml:2:12: fewshot.weights: ", "is outside the range"},
        {"recording:\n  ring_mib: 48\n", "t.yaml:2:13: recording.ring_mib: ", "not a power of two"},
        {"profile: papers\n", "t.yaml:1:10: profile: ", "allowed: robust, paper"},
        {"embed:\n  precision: bf16\n", "t.yaml:2:14: embed.precision: ", "built for fp32 alone"},
        {"graph:\n  mode: m1\n", "t.yaml:2:9: graph.mode: ", "allowed: p100, m2; m1, whose bins move"},
        {"graph:\n  edge: length\n", "t.yaml:2:9: graph.edge: ", "allowed: weight, binary"},
        {"graph:\n  threshold: \"\"\n", "t.yaml:2:14: graph.threshold: ", "is empty"},
        {"graph:\n  resolution: 0\n", "t.yaml:2:15: graph.resolution: ", "allowed: 0.001 .. 64"},
        {"graph:\n  resolution: 65\n", "t.yaml:2:15: graph.resolution: ", "allowed: 0.001 .. 64"},
        {"graph:\n  weights: [1]\n", "t.yaml:2:12: graph.weights: ", "allowed: 2 numbers"},
        {"graph:\n  weights: [1, -1]\n", "t.yaml:2:12: graph.weights: ", "is outside the range"},
        {"graph:\n  chips_max: -1\n", "t.yaml:2:14: graph.chips_max: ", "0 .. 65536 chips"},
        {"embed:\n  model: builtin\n", "t.yaml:2:10: embed.model: ", "spectral, squeezenet1_1, vgg16"},
        {"sockets:\n  ingest: udp://127.0.0.1:1\n", "t.yaml:2:11: sockets.ingest: ", "tcp://HOST:PORT or ipc://PATH"},
        {"sockets:\n  ingest: tcp://127.0.0.1\n", "t.yaml:2:11: sockets.ingest: ", "is not an address"},
        {"sockets:\n  ingest: tcp://127.0.0.1:65536\n", "t.yaml:2:11: sockets.ingest: ", "is not an address"},
        {"sockets:\n  ingest: tcp://127.0.0.1:-1\n", "t.yaml:2:11: sockets.ingest: ", "is not an address"},
        {"sockets:\n  ingest: \"ipc://\"\n", "t.yaml:2:11: sockets.ingest: ", "is not an address"},
        /* YAML beyond need */
        {"chip:\n  size_px: &a 15\n", "t.yaml:2:12: ", "anchors (&a) are not taken"},
        {"chip: &c\n  size_px: 15\n", "t.yaml:1:7: ", "anchors (&c) are not taken"},
        {"chip:\n  size_px: *a\n", "t.yaml:2:12: ", "aliases (*a)"},
        {"chip:\n  size_px: !!int 15\n", "t.yaml:2:12: ", "tags ("},
        {"!!map {profile: paper}\n", "t.yaml:1:1: ", "tags ("},
        {"fewshot:\n  weights: !!seq [1, 2]\n", "t.yaml:2:12: ", "tags ("},
        {"%YAML 1.1\n---\nprofile: paper\n", "t.yaml:1:1: ", "directives"},
        {"profile: paper\n---\nprofile: robust\n", "t.yaml:2:1: ", "a second document"},
        {"profile: paper\n...\n---\n{}\n", "t.yaml:3:1: ", "a second document"},
        {"- profile\n", "t.yaml:1:1: ", "sections and keys"},
        {"profile\n", "t.yaml:1:1: ", "sections and keys"},
        {"\"\"\n", "t.yaml:1:1: ", "sections and keys"},
        /* not YAML */
        {"chip:\n\tsize_px: 15\n", "t.yaml:2:1: YAML", ""},
        {"chip: {size_px: 15\n", "t.yaml:2:1: YAML", ""},
        {"chip:\n   size_px: 15\n  rows: 3\n", "t.yaml:3:3: YAML", ""},
        {"profile: 'paper\n", "t.yaml:", "YAML"},
        {"profile: paper\n}\n", "t.yaml:2:1: YAML", ""},
        {"recording:\n  dir: \"\xFF\xFE\"\n", "t.yaml:", "UTF-8"},
        {"\xFF\xFEp\x01", "t.yaml:", ""},
        {"profile: pap\x01r\n", "t.yaml:", "control characters"},
    };

    (void)state;
    assert_true(sizeof cases / sizeof *cases >= 40);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc;

        fly_options_default(&options);
        options.chip.cols = 77;
        before = options;
        rc = load(cases[i].text);
        if (rc != FLY_ERANGE)
            fail_msg("\"%s\" returned %s", cases[i].text, fly_err_name(rc));
        if (strncmp(fly_fail_text(), cases[i].place, strlen(cases[i].place)) != 0 ||
            !strstr(fly_fail_text(), cases[i].words))
            fail_msg("\"%s\" said \"%s\", not \"%s... %s\"", cases[i].text, fly_fail_text(), cases[i].place,
                     cases[i].words);
        assert_same(&options, &before);
    }
}

static void a_file_of_more_than_256_kib_is_not_even_read(void **state)
{
    char *text = malloc(FLY_OPTIONS_FILE_MAX + 1);

    (void)state;
    assert_non_null(text);
    memset(text, '#', FLY_OPTIONS_FILE_MAX + 1);
    fly_options_default(&options);
    assert_int_equal(fly_options_load_yaml(&options, text, FLY_OPTIONS_FILE_MAX, "t.yaml"), FLY_OK);
    assert_int_equal(fly_options_load_yaml(&options, text, FLY_OPTIONS_FILE_MAX + 1, "t.yaml"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "262145 bytes"));
    free(text);
}

/* Nested flow lists make libyaml's scanner slow; we stop at the first that has no place here. */
static void deep_nesting_ends_at_once(void **state)
{
    size_t len = FLY_OPTIONS_FILE_MAX;
    char *text = malloc(len);

    (void)state;
    assert_non_null(text);
    memset(text, '[', len);
    memcpy(text, "fewshot.weights: ", 17);
    fly_options_default(&options);
    assert_int_equal(fly_options_load_yaml(&options, text, len, "t.yaml"), FLY_ERANGE);
    free(text);
}

/* ---- what is told to people --------------------------------------------------------------------- */

static void default_yaml_is_what_the_table_prints(void **state)
{
    struct fly_text text;
    unsigned char *bytes;
    size_t len;

    (void)state;
    fly_options_default(&options);
    fly_text_init(&text);
    fly_options_print_yaml(&options, &text);
    assert_int_equal(fly_file_read(FLY_TEST_DIR "/../configs/default.yaml", 1 << 20, &bytes, &len), FLY_OK);
    if (len != text.len || memcmp(bytes, text.bytes, len) != 0)
        fail_msg("configs/default.yaml differs from `flyback run --print-config`: write it anew");
    free(bytes);
    fly_text_fini(&text);
}

static void the_configurations_that_ship_are_right(void **state)
{
    static const char *const paths[] = {"/../configs/default.yaml", "/../configs/demo.yaml",
                                        "/../configs/microscope-themis-z.yaml", "/../configs/microscope-spectra.yaml",
                                        "/../configs/microscope-nion-ultrastem.yaml",
                                        "/../configs/microscope-jem-arm200f.yaml",
                                        "/../configs/microscope-titan-gatan.yaml"};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char path[1024];

        snprintf(path, sizeof path, "%s%s", FLY_TEST_DIR, paths[i]);
        fly_options_default(&options);
        if (fly_options_load_file(&options, path) < 0 || fly_options_check(&options) < 0)
            fail_msg("%s", fly_fail_text());
    }
}

/* Everything but the origins. */
static void assert_same_values(const struct fly_options *a, const struct fly_options *b)
{
    assert_memory_equal(a, b, offsetof(struct fly_options, origin));
}

static void what_is_printed_loads_back_to_the_same_values(void **state)
{
    struct fly_text text;

    (void)state;
    fly_options_default(&options);
    assert_int_equal(fly_options_set(&options, "recording.dir", "a \"b\" \\ c: # \xC3\xA9", "--set"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "fewshot.weights", "0.1,0.30000000000000004", "--set"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "pixel_nm", "1e-5", "--set"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "recording.enabled", "false", "--set"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "profile", "paper", "--set"), FLY_OK);
    before = options;
    fly_text_init(&text);
    fly_options_print_yaml(&options, &text);
    assert_non_null(strstr(text.bytes, "  # set by --set\n  enabled: false\n"));
    fly_options_default(&options);
    if (load(text.bytes) < 0)
        fail_msg("%s", fly_fail_text());
    assert_same_values(&options, &before);
    fly_text_fini(&text);
}

static void every_value_sets_back_from_its_own_text(void **state)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);
    char text[FLY_OPTION_TEXT_CAP];

    (void)state;
    fly_options_default(&options);
    before = options;
    for (int32_t i = 0; i < count; i++) {
        fly_options_get_text(&options, table[i].key, text, sizeof text);
        assert_string_equal(text, table[i].initial);
        assert_int_equal(fly_options_set(&options, table[i].key, text, "x"), FLY_OK);
    }
    assert_same_values(&options, &before);
}

static void help_lists_the_sections_asked_for(void **state)
{
    struct fly_text text;

    (void)state;
    fly_text_init(&text);
    fly_options_help(&text, (const char *const[]){"chip", "profile", NULL});
    assert_non_null(strstr(text.bytes, "  --chip.size_px\n"));
    assert_non_null(strstr(text.bytes, "1 .. 1024 px; default 15"));
    assert_non_null(strstr(text.bytes, "  --profile\n"));
    assert_null(strstr(text.bytes, "--embed"));
    fly_text_clear(&text);
    fly_options_help(&text, NULL);
    assert_non_null(strstr(text.bytes, "  --embed.model\n"));
    fly_text_fini(&text);
}

/* ---- environment and command line --------------------------------------------------------------- */

static void the_environment_sets_keys_by_their_capitals(void **state)
{
    char *good[] = {"PATH=/bin", "FLYBACK_CHIP_SIZE_PX=21", "FLYBACK_EDS_FEATURE_FEWSHOT=spectrum",
                    "FLYBACK_PROFILE=paper", "FLYBACK_FEWSHOT_WEIGHTS=1,3", NULL};
    char *unknown[] = {"FLYBACK_CHIP_SIZ_PX=21", NULL};
    char *wrong[] = {"FLYBACK_CHIP_ROWS=3", "FLYBACK_CHIP_SIZE_PX=big", NULL};

    (void)state;
    fly_options_default(&options);
    assert_int_equal(fly_options_load_env(&options, good), FLY_OK);
    assert_int_equal(options.chip.size_px, 21);
    assert_int_equal(options.profile, FLY_OPTION_PAPER);
    assert_true(options.fewshot.weights[1] == 3);
    assert_string_equal(fly_options_origin(&options, "chip.size_px"), "FLYBACK_CHIP_SIZE_PX");
    before = options;
    assert_int_equal(fly_options_load_env(&options, unknown), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "FLYBACK_CHIP_SIZ_PX: no such key (did you mean FLYBACK_CHIP_SIZE_PX?)"));
    assert_int_equal(fly_options_load_env(&options, wrong), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "FLYBACK_CHIP_SIZE_PX: chip.size_px: \"big\" is not a whole number"));
    assert_same(&options, &before);
}

static int args(int *argc, char **argv, char *const *environment)
{
    *argc = 0;
    while (argv[*argc])
        (*argc)++;
    return fly_options_load_args(&options, argc, argv, environment);
}

static void the_command_line_keeps_what_is_not_ours_in_order(void **state)
{
    char *argv[] = {"analyze", "--haadf", "h.npy", "--set", "chip.size_px=20", "--out", "dir", "--chip.rows", "5",
                    "--chip.cols=6", "in.fly", "--profile=paper", "--set=pixel_nm=0.5", "--", "--chip.rows", NULL};
    static const char *const rest[] = {"analyze", "--haadf", "h.npy", "--out", "dir", "in.fly", "--", "--chip.rows"};
    int argc;

    (void)state;
    fly_options_default(&options);
    assert_int_equal(args(&argc, argv, NULL), FLY_OK);
    assert_int_equal(options.chip.size_px, 20);
    assert_int_equal(options.chip.rows, 5);
    assert_int_equal(options.chip.cols, 6);
    assert_int_equal(options.profile, FLY_OPTION_PAPER);
    assert_true(options.pixel_nm == 0.5);
    assert_string_equal(fly_options_origin(&options, "chip.rows"), "--chip.rows");
    assert_string_equal(fly_options_origin(&options, "chip.size_px"), "--set");
    assert_int_equal(argc, (int)(sizeof rest / sizeof *rest));
    for (int i = 0; i < argc; i++)
        assert_string_equal(argv[i], rest[i]);
    assert_null(argv[argc]);
}

static void bad_arguments_are_refused_and_change_nothing(void **state)
{
    static const struct {
        const char *args[4], *words;
    } cases[] = {
        {{"--chip.size", "3"}, "--chip.size: no such key (did you mean --chip.size_px?)"},
        {{"--surveillance.camera=1"}, "--surveillance.camera: no such key"},
        {{"--graph.treshold=mode"}, "--graph.treshold: no such key (did you mean --graph.threshold?)"},
        {{"--graph.mode=m1"}, "--graph.mode: graph.mode: \"m1\" is not one of them; allowed: p100, m2"},
        {{"--set", "chip.size_px"}, "is not key=value"},
        {{"--set", "=3"}, "is not key=value"},
        {{"--set"}, "is missing"},
        {{"--chip.rows"}, "--chip.rows: what it is to be is missing"},
        {{"--set", "chip.rows=x"}, "--set: chip.rows: \"x\" is not a whole number"},
        {{"--set", "chip.row=1"}, "--set: chip.row: no such key (did you mean chip.rows?)"},
        {{"--config", "/nowhere/x.yaml"}, "/nowhere/x.yaml"},
        {{"--chip.cols", "3", "--chip.rows=-2"}, "--chip.rows: chip.rows: \"-2\" is outside"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[6] = {"run"};
        int argc;

        for (int k = 0; k < 4; k++)
            argv[1 + k] = (char *)(uintptr_t)cases[i].args[k];
        fly_options_default(&options);
        before = options;
        assert_true(args(&argc, argv, NULL) < 0);
        if (!strstr(fly_fail_text(), cases[i].words))
            fail_msg("%s said \"%s\"", cases[i].args[0], fly_fail_text());
        assert_same(&options, &before);
    }
}

static void later_sources_win(void **state)
{
    char path[] = "/tmp/fly-options-XXXXXX", second[] = "/tmp/fly-options-XXXXXX";
    const char *text = "chip: {size_px: 30, rows: 30, cols: 30}\n", *more = "chip: {cols: 31}\n";
    int fd = mkstemp(path), fd2 = mkstemp(second), argc;
    char *environment[] = {"FLYBACK_CHIP_SIZE_PX=40", "FLYBACK_CHIP_ROWS=40", NULL};
    char *argv[] = {"run", "--chip.size_px=50", "--config", path, "--config", second, NULL};

    (void)state;
    assert_true(fd >= 0 && fd2 >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(write(fd2, more, strlen(more)), strlen(more));
    close(fd);
    close(fd2);
    fly_options_default(&options);
    assert_int_equal(args(&argc, argv, environment), FLY_OK);
    unlink(path);
    unlink(second);
    assert_int_equal(options.chip.size_px, 50); /* the command line, although it stood first */
    assert_int_equal(options.chip.rows, 40);    /* the environment */
    assert_int_equal(options.chip.cols, 31);    /* the second file */
    assert_int_equal(argc, 1);
}

/* graph.weights: two numbers, or auto. */
static void a_word_may_stand_in_place_of_a_list(void **state)
{
    char text[64], file[128];

    (void)state;
    fly_options_default(&options);
    assert_int_equal(load("graph:\n  weights: auto\n"), FLY_OK);
    assert_true(isnan(options.graph.weights[0]) && isnan(options.graph.weights[1]));
    assert_int_equal(fly_options_check(&options), FLY_OK);
    fly_options_get_text(&options, "graph.weights", text, sizeof text);
    assert_string_equal(text, "auto");
    snprintf(file, sizeof file, "graph.weights: %s\n", text);
    assert_int_equal(load(file), FLY_OK);
    assert_true(isnan(options.graph.weights[0]));
    before = options;
    assert_int_equal(fly_options_set(&options, "graph.weights", "automatic", "--set"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "or auto"));
    assert_int_equal(fly_options_set(&options, "graph.weights", "nan, nan", "--set"), FLY_ERANGE);
    assert_int_equal(fly_options_set(&options, "fewshot.weights", "auto", "--set"), FLY_ERANGE);
    assert_int_equal(load("graph:\n  weights: 1\n"), FLY_ERANGE);
    assert_int_equal(load("fewshot:\n  weights: auto\n"), FLY_ERANGE);
    assert_int_equal(load("graph:\n  weights: [auto, auto]\n"), FLY_ERANGE);
    assert_same(&options, &before);
    assert_int_equal(fly_options_set_live(&options, "graph.weights", "0.25, 0.75", "params.set"), FLY_OK);
    assert_true(options.graph.weights[1] == 0.75);
}

/* ---- run time and rules between keys ------------------------------------------------------------ */

static void only_live_keys_change_while_running(void **state)
{
    (void)state;
    fly_options_default(&options);
    assert_int_equal(fly_options_set_live(&options, "fewshot.weights", "[1, 0]", "params.set"), FLY_OK);
    assert_int_equal(fly_options_set_live(&options, "log.level", "debug", "params.set"), FLY_OK);
    assert_int_equal(fly_options_set_live(&options, "graph.threshold", "0.6", "params.set"), FLY_OK);
    assert_int_equal(fly_options_set_live(&options, "graph.mode", "m2", "params.set"), FLY_OK);
    assert_int_equal(fly_options_set_live(&options, "graph.resolution", "4", "params.set"), FLY_OK);
    assert_int_equal(fly_options_set_live(&options, "graph.weights", "[1, 0]", "params.set"), FLY_OK);
    assert_true(options.fewshot.weights[1] == 0);
    before = options;
    assert_int_equal(fly_options_set_live(&options, "graph.edge", "binary", "params.set"), FLY_ERANGE);
    assert_int_equal(fly_options_set_live(&options, "graph.min_counts", "1", "params.set"), FLY_ERANGE);
    assert_int_equal(fly_options_set_live(&options, "graph.chips_max", "1", "params.set"), FLY_ERANGE);
    assert_int_equal(fly_options_set_live(&options, "chip.size_px", "20", "params.set"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "fewshot.weights, fewshot.temperature"));
    assert_int_equal(fly_options_set_live(&options, "fewshot.temperatur", "1", "params.set"), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "did you mean fewshot.temperature?"));
    assert_int_equal(fly_options_set_live(&options, "fewshot.temperature", "-1", "params.set"), FLY_ERANGE);
    assert_same(&options, &before);
}

static void keys_that_contradict_each_other_are_named(void **state)
{
    static const struct {
        const char *pairs[3][2], *words;
    } cases[] = {
        {{{"chip.pitch_px", "16"}}, "chip.pitch_px: 16 is wider than chip.size_px, 15 (default)"},
        {{{"haadf.lo", "5"}, {"haadf.hi", "5"}}, "haadf.hi: 5 is not above haadf.lo, 5"},
        {{{"haadf.lo", "5"}}, "haadf.hi: 0 is not above"},
        {{{"fewshot.weights", "0,0"}}, "fewshot.weights: both are 0"},
        {{{"graph.weights", "0,0"}}, "--set: graph.weights: both are 0"},
        {{{"graph.threshold", "mood"}}, "--set: graph.threshold: \"mood\" is neither mode, mean, median nor a number of 0 .. 1.9"},
        {{{"graph.threshold", "1.91"}}, "graph.threshold: \"1.91\" is neither"},
        {{{"graph.threshold", "-0.1"}}, "graph.threshold: \"-0.1\" is neither"},
        {{{"graph.threshold", "nan"}}, "graph.threshold: \"nan\" is neither"},
        {{{"graph.threshold", "0.6x"}}, "graph.threshold: \"0.6x\" is neither"},
        {{{"embed.model", "vgg16"}}, "vgg16 needs embed.weights"},
        {{{"embed.model", "squeezenet1_1"}, {"embed.weights", "he:1"}}, "is for vgg16"},
        {{{"embed.weights", "x.safetensors"}}, "would not be read"},
        {{{"eds.k_factors", "Fe_Ka=1"}, {"eds.k_factor_file", "k.json"}},
         "--set: eds.k_factor_file: \"k.json\" and eds.k_factors (--set) both bring factors"},
        {{{"sockets.ingest", "tcp://0.0.0.0:5570"}}, "is open to other machines"},
        {{{"sockets.control", "tcp://*:5572"}}, "is open to other machines"},
        {{{"sockets.publish", "tcp://192.168.1.4:1"}}, "sockets.publish: "},
        {{{"sockets.publish", "tcp://127.0.0.1:5570"}}, "is that of sockets.publish as well"},
    };
    static const char *const thresholds[] = {"mode", "mean", "median", "0", "0.6", "1.9"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fly_options_default(&options);
        for (int k = 0; k < 3 && cases[i].pairs[k][0]; k++)
            assert_int_equal(fly_options_set(&options, cases[i].pairs[k][0], cases[i].pairs[k][1], "--set"), FLY_OK);
        assert_int_equal(fly_options_check(&options), FLY_ERANGE);
        if (!strstr(fly_fail_text(), cases[i].words))
            fail_msg("case %zu said \"%s\"", i, fly_fail_text());
    }
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        fly_options_default(&options);
        assert_int_equal(fly_options_set(&options, "graph.threshold", thresholds[i], "x"), FLY_OK);
        assert_int_equal(fly_options_check(&options), FLY_OK);
    }
    fly_options_default(&options);
    assert_int_equal(fly_options_set(&options, "embed.model", "vgg16", "x"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "embed.weights", "he:1", "x"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "eds.k_factor_file", "/nowhere/k.json", "x"), FLY_OK); /* not read here */
    assert_int_equal(fly_options_set(&options, "sockets.ingest", "tcp://127.0.0.1:*", "x"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "sockets.publish", "tcp://127.0.0.1:*", "x"), FLY_OK);
    assert_int_equal(fly_options_check(&options), FLY_OK);
}

static void a_text_too_long_or_not_utf8_is_refused(void **state)
{
    char text[FLY_OPTION_TEXT_CAP + 1];

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fly_options_default(&options);
    assert_int_equal(fly_options_set(&options, "recording.dir", text, "--set"), FLY_ERANGE);
    text[FLY_OPTION_TEXT_CAP - 1] = '\0';
    assert_int_equal(fly_options_set(&options, "recording.dir", text, "--set"), FLY_OK);
    assert_int_equal(fly_options_set(&options, "recording.dir", "\xC0\xAF", "--set"), FLY_ERANGE);
}

static void a_long_origin_keeps_its_end(void **state)
{
    char origin[400];

    (void)state;
    memset(origin, 'd', sizeof origin);
    snprintf(origin + 380, 20, "/x.yaml:3:5");
    fly_options_default(&options);
    assert_int_equal(fly_options_set(&options, "chip.rows", "3", origin), FLY_OK);
    assert_int_equal(strlen(fly_options_origin(&options, "chip.rows")), FLY_OPTION_ORIGIN_CAP - 1);
    assert_non_null(strstr(fly_options_origin(&options, "chip.rows"), "/x.yaml:3:5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_its_own_key_place_words_and_variable),
        cmocka_unit_test(defaults_are_those_of_the_house),
        cmocka_unit_test(the_words_of_the_log_are_in_the_order_of_its_enum),
        cmocka_unit_test(a_near_miss_is_guessed_and_a_far_one_is_not),
        cmocka_unit_test(a_file_sets_what_it_names_and_nothing_else),
        cmocka_unit_test(an_empty_file_is_all_defaults),
        cmocka_unit_test(each_bad_file_is_refused_at_its_place_and_changes_nothing),
        cmocka_unit_test(a_file_of_more_than_256_kib_is_not_even_read),
        cmocka_unit_test(deep_nesting_ends_at_once),
        cmocka_unit_test(default_yaml_is_what_the_table_prints),
        cmocka_unit_test(the_configurations_that_ship_are_right),
        cmocka_unit_test(what_is_printed_loads_back_to_the_same_values),
        cmocka_unit_test(every_value_sets_back_from_its_own_text),
        cmocka_unit_test(help_lists_the_sections_asked_for),
        cmocka_unit_test(the_environment_sets_keys_by_their_capitals),
        cmocka_unit_test(the_command_line_keeps_what_is_not_ours_in_order),
        cmocka_unit_test(bad_arguments_are_refused_and_change_nothing),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_word_may_stand_in_place_of_a_list),
        cmocka_unit_test(only_live_keys_change_while_running),
        cmocka_unit_test(keys_that_contradict_each_other_are_named),
        cmocka_unit_test(a_text_too_long_or_not_utf8_is_refused),
        cmocka_unit_test(a_long_origin_keeps_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
