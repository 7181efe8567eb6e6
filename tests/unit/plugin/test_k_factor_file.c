#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/follow.h"
#include "plugin/k_factor_file.h"
#include "plugin/quantify_choice.h"
#include "stream/disk.h"
#include "stream/recording.h"

static struct fly_options options, before;
static struct fly_k_factor_set set;

static int parse(const char *text, enum fly_line_set lines)
{
    return fly_k_factor_set_parse(&set, text, strlen(text), "k.json", lines);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static void a_file_becomes_the_list_that_the_option_takes(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"k_basis\": \"atomic\", \"k_factors\": {\"Fe_Ka\": 1.35, \"O_Ka\": 2, \"Sr_La\": 1e-3}}",
                           FLY_LINES_PRODUCT), FLY_OK);
    assert_string_equal(set.factors, "Fe_Ka=1.35,O_Ka=2,Sr_La=0.001");
    assert_int_equal(set.basis, FLY_K_ATOMIC);
    assert_int_equal(parse("{\"k_factors\": {\"Fe_Ka1\": 0.1}, \"k_basis\": \"weight\"}", FLY_LINES_PRODUCT), FLY_OK);
    assert_string_equal(set.factors, "Fe_Ka=0.1"); /* as Velox writes it, as the table does */
    assert_int_equal(set.basis, FLY_K_WEIGHT);
    assert_int_equal(parse("{\"k_factors\": {\"Fe_Ka\": 1}}", FLY_LINES_PRODUCT), FLY_OK);
    assert_int_equal(set.basis, -1);
}

/* The longest list there can be: every line with a factor of 17 digits. */
static void every_line_of_a_table_has_room(void **state)
{
    static const char *const number = "1.2345678901234567e-100";
    char text[4096];

    (void)state;
    for (int lines = 0; lines < FLY_LINE_SETS; lines++) {
        const struct fly_element *elements;
        int32_t n = fly_elements((enum fly_line_set)lines, &elements);
        size_t len = (size_t)snprintf(text, sizeof text, "{\"k_factors\": {");

        for (int32_t e = 0; e < n; e++)
            for (int32_t f = 0; f < elements[e].n_families; f++)
                len += (size_t)snprintf(text + len, sizeof text - len, "%s\"%s_%s\": %s", e + f ? ", " : "",
                                        elements[e].symbol, elements[e].families[f].name, number);
        snprintf(text + len, sizeof text - len, "}}");
        if (parse(text, (enum fly_line_set)lines) != FLY_OK)
            fail_msg("%s", fly_fail_text());
        fly_options_default(&options);
        options.eds.line_table = lines;
        assert_int_equal(fly_options_set(&options, "eds.k_factors", set.factors, "x"), FLY_OK);
        if (fly_options_check(&options) != FLY_OK)
            fail_msg("%s", fly_fail_text());
    }
}

static void each_bad_file_is_refused_with_its_place_and_leaves_the_set(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *words;
    } cases[] = {
        {"", FLY_EWIRE, "k.json:1:0: "},
        {"{\n \"k_factors\": {\"Fe_Ka\": 1,}}", FLY_EWIRE, "k.json:2:"},
        {"[]", FLY_EWIRE, "k.json: it is {\"k_basis\""},
        {"{}", FLY_EWIRE, "k_factors is missing"},
        {"{\"k_basis\": \"weight\"}", FLY_EWIRE, "k_factors is missing"},
        {"{\"Fe_Ka\": 1}", FLY_EWIRE, "\"Fe_Ka\": no such key; allowed: k_basis, k_factors"},
        {"{\"k_factors\": {\"Fe_Ka\": 1}, \"note\": \"mine\"}", FLY_EWIRE, "\"note\": no such key; allowed: k_basis, k_f"},
        {"{\"k_factors\": {}}", FLY_EWIRE, "k.json: k_factors: {line: factor, ...} is needed"},
        {"{\"k_factors\": [1]}", FLY_EWIRE, "k_factors: {line: factor, ...} is needed"},
        {"{\"k_factors\": {\"Fe_Ka\": 1}, \"k_basis\": \"mass\"}", FLY_EWIRE, "k_basis: \"weight\" or \"atomic\" is needed"},
        {"{\"k_factors\": {\"Fe_Ka\": 1}, \"k_basis\": 1}", FLY_EWIRE, "k_basis: \"weight\" or \"atomic\" is needed"},
        {"{\"k_factors\": {\"Fe_Ka\": 1}, \"k_basis\": null}", FLY_EWIRE, "k_basis: \"weight\" or"},
        {"{\"k_factors\": {\"Fe_Ka\": 0}}", FLY_ERANGE, "k.json: k_factors: Fe_Ka: a number above 0 is needed"},
        {"{\"k_factors\": {\"Fe_Ka\": 1, \"O_Ka\": -1.5}}", FLY_ERANGE, "k_factors: O_Ka: a number above 0"},
        {"{\"k_factors\": {\"Fe_Ka\": \"1\"}}", FLY_ERANGE, "Fe_Ka: a number above 0"},
        {"{\"k_factors\": {\"Fe_Ka\": null}}", FLY_ERANGE, "Fe_Ka: a number above 0"},
        {"{\"k_factors\": {\"Fe_Ka\": true}}", FLY_ERANGE, "Fe_Ka: a number above 0"},
        {"{\"k_factors\": {\"Fe_Ka\": 1e-400}}", FLY_ERANGE, "Fe_Ka: a number above 0"},
        {"{\"k_factors\": {\"Fe_Ka\": 1e999}}", FLY_EWIRE, "k.json:1:"},
        {"{\"k_factors\": {\"Fe_Ka\": NaN}}", FLY_EWIRE, "k.json:1:"},
        {"{\"k_factors\": {\"Xx_Ka\": 1}}", FLY_ERANGE, "\"Xx_Ka\" is no line of the product table; allowed: Al_Ka, C_Ka, "},
        {"{\"k_factors\": {\"Fe_Kb\": 1}}", FLY_ERANGE, "\"Fe_Kb\" is no line of the product table"},
        {"{\"k_factors\": {\"Fe\": 1}}", FLY_ERANGE, "\"Fe\" is no line"},
        {"{\"k_factors\": {\"\": 1}}", FLY_ERANGE, "\"\" is no line"},
        {"{\"k_factors\": {\"Fe_Ka=1,O_Ka\": 1}}", FLY_ERANGE, "\"Fe_Ka=1,O_Ka\" is no line"},
        {"{\"k_factors\": {\"Fe_Ka\": 1, \"Fe_Ka\": 2}}", FLY_EWIRE, "duplicate"},
        {"{\"k_factors\": {\"Fe_Ka\": 1, \"Fe_Ka1\": 2}}", FLY_ERANGE, "\"Fe_Ka1\" is Fe_Ka, and that is there already"},
        {"{\"k_factors\": {\"Fe_Ka\": 1}, \"k_factors\": {\"O_Ka\": 1}}", FLY_EWIRE, "duplicate"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc;

        set = (struct fly_k_factor_set){.factors = "as it was", .basis = 77};
        rc = parse(cases[i].text, FLY_LINES_PRODUCT);
        if (rc != cases[i].code || !strstr(fly_fail_text(), cases[i].words) ||
            strncmp(fly_fail_text(), "k.json:", 7) != 0)
            fail_msg("%s: %d, \"%s\"", cases[i].text, rc, rc < 0 ? fly_fail_text() : "");
        assert_string_equal(set.factors, "as it was");
        assert_int_equal(set.basis, 77);
    }
}

/* A line of the product table that the golden one lacks; the whole list is told. */
/* ---- tables of text ------------------------------------------------------------------------------ */

static int parse_csv(const char *text)
{
    return fly_k_factor_set_parse_csv(&set, text, strlen(text), "k.csv", FLY_LINES_PRODUCT);
}

static const char velox[] = "Line identifier,Energy level,Intensity,Chi-Rho-Tau absorption,K-factor\r\n"
                            "-,eV,counts,-,-\r\n"
                            "B-Ka1,1.83300e+02,0.00000e+00,0.00000e+00,1.00000e+00\r\n"
                            "Si-Ka1,1.73970e+03,2.08039e+01,0.00000e+00,3.24726e-01\r\n"
                            "Fe-Ka1,6.40390e+03,8.53115e+02,0.00000e+00,4.32916e-01\r\n"
                            "Fe-Ka2,6.39090e+03,4.26557e+02,0.00000e+00,4.32916e-01\r\n"
                            "Fe-Kb1,7.05800e+03,1.74035e+02,0.00000e+00,4.32916e-01\r\n"
                            "Fe-La1,7.04500e+02,0.00000e+00,0.00000e+00,8.76707e-01\r\n"
                            "Fe-Lb1,7.17500e+02,0.00000e+00,0.00000e+00,8.95690e-01\r\n"
                            "La-Mz1,6.42700e+02,0.00000e+00,0.00000e+00,4.58435e-01\r\n"
                            "Pt-Na1,2.56500e+02,0.00000e+00,0.00000e+00,3.89910e+00\r\n"
                            "Mn-Ka1,5.89870e+03,1.74291e+01,0.00000e+00,4.24546e-01\r\n";

/* The factors of two elements apart from rounding: "Fe_Ka=1.3331732... " */
static double factor_of(const char *line)
{
    const char *at = strstr(set.factors, line);

    return at ? strtod(at + strlen(line) + 1, NULL) : NAN;
}

static void an_export_of_velox_gives_its_main_lines_relative_to_silicon(void **state)
{
    const struct fly_element *elements;
    int32_t element = fly_element_find(FLY_LINES_PRODUCT, "Fe");

    (void)state;
    assert_int_equal(parse_csv(velox), FLY_OK);
    fly_elements(FLY_LINES_PRODUCT, &elements);
    assert_float_equal(factor_of("Si_Ka"), 1.0, 1e-12);
    /* The table's own factors come from this export. */
    assert_float_equal(factor_of("Fe_Ka"), elements[element].families[0].k_200kv, 1e-3);
    assert_float_equal(factor_of("Fe_La"), elements[element].families[1].k_200kv, 1e-3);
    assert_null(strstr(set.factors, "Mn"));
    assert_null(strstr(set.factors, "La_"));
    assert_int_equal(set.basis, -1);
    assert_int_equal(fly_options_set(&options, "eds.k_factors", set.factors, "test"), FLY_OK);
}

static void tables_of_other_makes_are_told_by_their_header(void **state)
{
    static const struct {
        const char *text, *factors;
    } cases[] = {
        {"element;line;k\nFe;Ka;1,35\nO;K;2\n", "Fe_Ka=1.35,O_Ka=2"}, /* decimal commas */
        {"Symbol\tX-ray line\tk_factor\nSr\tL\xce\xb1\t1.9\n", "Sr_La=1.9"},
        {"Line,K factor\n\"Fe_Ka\",1.35\nPtMa1,1\n", "Fe_Ka=1.35,Pt_Ma=1"},
        {"Z,Element,K,L,M\n26,Fe,1.3,2.7,\n25,Mn,1.2,-,-\n78,Pt,,2.3,1.0\n", "Fe_Ka=1.3,Fe_La=2.7,Pt_La=2.3,Pt_Ma=1"},
        {"\xef\xbb\xbf" "#FORMAT : k-factors\n\n#K_BASIS : atomic\nelement,line,k-factor\nO,Ka1,2\n\n", "O_Ka=2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (parse_csv(cases[i].text) != FLY_OK)
            fail_msg("case %zu: %s", i, fly_fail_text());
        assert_string_equal(set.factors, cases[i].factors);
        assert_int_equal(set.basis, i == 4 ? FLY_K_ATOMIC : -1);
    }
}

static void a_bad_table_is_refused_with_its_row_and_leaves_the_set(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"a,b,c\n1,2,3\n", FLY_EWIRE, "k.csv:1: neither JSON nor a table of k-factors"},
        {"\n\n# remark\n", FLY_EWIRE, "k.csv:3: no table of k-factors"},
        {"Line,k\nFe-Ka1,1.3\nXx-Ka1,2\n", FLY_ERANGE, "k.csv:3: no element has the symbol \"Xx-Ka1\""},
        {"Line,k\nFe-Ka1,many\n", FLY_EWIRE, "k.csv:2: a number is needed, not \"many\""},
        {"Line,k\nFe-Ka1,\n", FLY_EWIRE, "k.csv:2: a number is needed"},
        {"Line,k\nFe-Ka1\n", FLY_EWIRE, "k.csv:2: a number is needed"},
        {"Line,k\nFe-Ka1,0\n", FLY_ERANGE, "k.csv:2: a k-factor is above 0"},
        {"Line,k\nFe-Ka1,-1\n", FLY_ERANGE, "k.csv:2: a k-factor is above 0"},
        {"Line,k\nFe-Ka1,nan\n", FLY_EWIRE, "k.csv:2: a number is needed"},
        {"Line,k\nFe-Ka1,1,3\nFe-Qa,1\n", FLY_EWIRE, "k.csv:3: an X-ray line like Ka1 or K is needed"},
        {"Line,k\nFe-Ka1,1\nO-Ka1,1\nFe_K,2\n", FLY_ERANGE, "k.csv:4: Fe_Ka has a k-factor in row 2 already"},
        {"Line,k\nMn-Ka1,1\nFe-Kb1,1\n", FLY_ERANGE, "k.csv: none of its 3 rows is of a main line"},
        {"#K_BASIS : volume\nLine,k\nFe-Ka1,1\n", FLY_EWIRE, "k.csv:1: k_basis is weight or atomic"},
    };
    struct fly_k_factor_set untouched;

    (void)state;
    assert_int_equal(parse_csv(velox), FLY_OK);
    untouched = set;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = parse_csv(cases[i].text);

        if (rc != cases[i].code || !strstr(fly_fail_text(), cases[i].says))
            fail_msg("case %zu: %s", i, rc < 0 ? fly_fail_text() : "taken");
        assert_memory_equal(&set, &untouched, sizeof set);
    }
}

/* Every cut, and every bit of every byte: no crash, and no set but a whole one. */
static void no_damaged_table_does_harm(void **state)
{
    size_t len = sizeof velox - 1;

    (void)state;
    for (size_t i = 0; i < len * 9; i++) {
        size_t n = i < len ? i : len;
        char *copy = malloc(n ? n : 1);

        memcpy(copy, velox, n);
        if (i >= len)
            copy[(i - len) / 8] ^= (char)(1 << (i - len) % 8);
        if (fly_k_factor_set_parse_csv(&set, copy, n, "k.csv", FLY_LINES_PRODUCT) == FLY_OK)
            assert_int_equal(fly_options_set(&options, "eds.k_factors", set.factors, "test"), FLY_OK);
        free(copy);
    }
}

static void the_lines_are_those_of_the_table_chosen(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"k_factors\": {\"Si_Ka\": 1}}", FLY_LINES_PRODUCT), FLY_OK);
    assert_int_equal(parse("{\"k_factors\": {\"Si_Ka\": 1}}", FLY_LINES_GOLDEN), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "the golden table; allowed: Al_Ka, "));
    assert_non_null(strstr(fly_fail_text(), "Ti_Ka, Ti_La"));
    assert_int_equal(parse("{\"k_factors\": {\"Xx_Ka\": 1}}", FLY_LINES_PRODUCT), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "Mo_La, Mo_Ka"));
}

/* ---- into the options --------------------------------------------------------------------------- */

static char path[] = "/tmp/fly-k-factors-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void name_file(const char *text)
{
    assert_int_equal(fly_file_write(path, text, strlen(text)), FLY_OK);
    fly_options_default(&options);
    assert_int_equal(fly_options_set(&options, "eds.k_factor_file", path, "--set"), FLY_OK);
}

static void what_the_file_says_stands_in_the_options_with_the_file_as_origin(void **state)
{
    char words[256];

    (void)state;
    name_file("{\"k_basis\": \"atomic\", \"k_factors\": {\"Fe_Ka\": 1.35, \"O_Ka\": 1.9}}");
    assert_int_equal(fly_options_check(&options), FLY_OK);
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_OK);
    assert_string_equal(options.eds.k_factors, "Fe_Ka=1.35,O_Ka=1.9");
    assert_int_equal(options.eds.k_basis, FLY_K_ATOMIC);
    assert_string_equal(options.eds.k_factor_file, "");
    snprintf(words, sizeof words, "%s, the eds.k_factor_file of --set", path);
    assert_string_equal(fly_options_origin(&options, "eds.k_factors"), words);
    assert_string_equal(fly_options_origin(&options, "eds.k_basis"), words);
    assert_int_equal(fly_options_check(&options), FLY_OK);

    before = options;
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_OK); /* a second time there is nothing to do */
    assert_memory_equal(&options, &before, sizeof options);
}

static void a_file_without_a_basis_leaves_that_of_the_options(void **state)
{
    (void)state;
    name_file("{\"k_factors\": {\"Fe_Ka\": 1.35}}");
    assert_int_equal(fly_options_set(&options, "eds.k_basis", "atomic", "--set"), FLY_OK);
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_OK);
    assert_int_equal(options.eds.k_basis, FLY_K_ATOMIC);
    assert_string_equal(fly_options_origin(&options, "eds.k_basis"), "--set");
    name_file("{\"k_factors\": {\"Fe_Ka\": 1.35}, \"k_basis\": \"weight\"}");
    assert_int_equal(fly_options_set(&options, "eds.k_basis", "atomic", "--set"), FLY_OK);
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_OK);
    assert_int_equal(options.eds.k_basis, FLY_K_WEIGHT); /* it knows its own numbers */
}

static void without_a_file_nothing_changes(void **state)
{
    (void)state;
    fly_options_default(&options);
    before = options;
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_OK);
    assert_memory_equal(&options, &before, sizeof options);
}

static void a_file_that_is_no_good_is_told_with_its_key_and_changes_nothing(void **state)
{
    static const char *const none = "/nowhere/k.json";
    char words[256];

    (void)state;
    name_file("{\"k_factors\": {\"Fe_Ka\": -1}}");
    before = options;
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_ERANGE);
    snprintf(words, sizeof words, "--set: eds.k_factor_file: %s: k_factors: Fe_Ka: a number above 0", path);
    if (strncmp(fly_fail_text(), words, strlen(words)) != 0)
        fail_msg("%s", fly_fail_text());
    assert_memory_equal(&options, &before, sizeof options);

    assert_int_equal(fly_options_set(&options, "eds.k_factor_file", none, "my.yaml:3:7"), FLY_OK);
    before = options;
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_EIO);
    assert_string_equal(fly_fail_text(), "my.yaml:3:7: eds.k_factor_file: /nowhere/k.json: No such file or directory");
    assert_memory_equal(&options, &before, sizeof options);

    char *large = calloc(1, FLY_K_FACTOR_FILE_MAX + 1);

    assert_non_null(large);
    assert_int_equal(fly_file_write(path, large, FLY_K_FACTOR_FILE_MAX + 1), FLY_OK);
    free(large);
    assert_int_equal(fly_options_set(&options, "eds.k_factor_file", path, "--set"), FLY_OK);
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "65537 bytes"));
}

static int64_t now_ns(void *ctx)
{
    struct timespec t;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Flyback writes none that name a file; one from elsewhere must not have this machine's file read. */
static void a_recording_that_names_a_file_has_none_read(void **state)
{
    static const char *const yaml = "eds:\n  k_factor_file: /etc/k.json\n  k_factors: \"Fe_Ka=2\"\n";
    char recording[128];
    struct fly_recorder_config config = {.path = recording, .disk = fly_disk_system(),
                                         .clock = {.mono_ns = now_ns, .unix_ns = now_ns}, .ring_bytes = 1 << 20,
                                         .sync_ms = 10, .writers = 1, .wake_fd = -1};
    struct fly_part parts[2] = {{"\x80", 1}, {yaml, strlen(yaml)}};
    struct fly_recorder *recorder;
    uint64_t ticket;

    (void)state;
    snprintf(recording, sizeof recording, "%s.fly", path);
    assert_int_equal(fly_recorder_open(&recorder, &config, 0), FLY_OK);
    assert_int_equal(fly_recorder_append(recorder, FLY_REC_SESSION, 0, parts, 2, &ticket), FLY_OK);
    assert_int_equal(fly_recorder_close(&recorder), FLY_OK);
    fly_options_default(&options);
    if (fly_follow_options(recording, &options) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    unlink(recording);
    assert_string_equal(options.eds.k_factors, "Fe_Ka=2");
    assert_string_equal(options.eds.k_factor_file, "");
}

/* The session's start, then the configuration's, then the line table. */
static void the_start_wins_over_the_file(void **state)
{
    static struct fly_quantify_choice choice;
    static struct fly_start start;
    struct fly_plan plan = {.n_segments = 1, .n_channels = 4096, .ev_per_channel = 10};
    char note[400];

    (void)state;
    name_file("{\"k_basis\": \"atomic\", \"k_factors\": {\"Fe_Ka\": 1.35, \"O_Ka\": 1.9}}");
    assert_int_equal(fly_k_factor_file_resolve(&options), FLY_OK);
    memset(&start, 0, sizeof start);
    start.beam_energy_kev = NAN;
    assert_int_equal(fly_quantify_choose(&choice, &start, &plan, &options, note, sizeof note), 1);
    assert_int_equal(choice.config.n_k, 2);
    assert_int_equal(choice.config.k_basis, FLY_K_ATOMIC);
    assert_string_equal(choice.config.k[0].line, "Fe_Ka");
    assert_true(choice.config.k[0].k == 1.35 && choice.config.k[1].k == 1.9);

    start.n_k_factors = 1;
    snprintf(start.k_factors[0].line, sizeof start.k_factors[0].line, "Sr_Ka");
    start.k_factors[0].value = 4;
    snprintf(start.k_basis, sizeof start.k_basis, "weight");
    assert_int_equal(fly_quantify_choose(&choice, &start, &plan, &options, note, sizeof note), 1);
    assert_int_equal(choice.config.n_k, 1);
    assert_int_equal(choice.config.k_basis, FLY_K_WEIGHT);
    assert_string_equal(choice.config.k[0].line, "Sr_Ka");

    fly_options_default(&options);
    start.n_k_factors = 0;
    assert_int_equal(fly_quantify_choose(&choice, &start, &plan, &options, note, sizeof note), 1);
    assert_int_equal(choice.config.n_k, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_becomes_the_list_that_the_option_takes),
        cmocka_unit_test(every_line_of_a_table_has_room),
        cmocka_unit_test(each_bad_file_is_refused_with_its_place_and_leaves_the_set),
        cmocka_unit_test(an_export_of_velox_gives_its_main_lines_relative_to_silicon),
        cmocka_unit_test(tables_of_other_makes_are_told_by_their_header),
        cmocka_unit_test(a_bad_table_is_refused_with_its_row_and_leaves_the_set),
        cmocka_unit_test(no_damaged_table_does_harm),
        cmocka_unit_test(the_lines_are_those_of_the_table_chosen),
        cmocka_unit_test(what_the_file_says_stands_in_the_options_with_the_file_as_origin),
        cmocka_unit_test(a_file_without_a_basis_leaves_that_of_the_options),
        cmocka_unit_test(without_a_file_nothing_changes),
        cmocka_unit_test(a_file_that_is_no_good_is_told_with_its_key_and_changes_nothing),
        cmocka_unit_test(a_recording_that_names_a_file_has_none_read),
        cmocka_unit_test(the_start_wins_over_the_file),
    };

    return cmocka_run_group_tests(tests, make_file, drop_file);
}
