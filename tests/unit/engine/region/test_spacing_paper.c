#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/region/square.h"
#include "tests/support/golden.h"
#include "tests/unit/engine/region/region_golden.h"
#include "tests/unit/engine/region/region_rig.h"

static struct fly_spacing paper(struct region_rig *rig, const struct fly_picture *view)
{
    struct fly_spacing out;

    assert_int_equal(fly_spacing_paper(&out, &rig->transforms, 0, &rig->config, view, NULL), FLY_OK);
    return out;
}

/* As the reference writes a bin: 7 * (1 / 48) * 48 is 6.999..., and loses its fraction. */
static int bin_as_written(int32_t k, int32_t n)
{
    volatile double frequency = k * (1.0 / n);

    return (int)(frequency * n);
}

/* One entry of the golden files against ours: d within 1e-4 nm, snr within 1e-3. */
static void compare(const struct fly_spacing *ours, int32_t n, const char *json)
{
    assert_float_equal(ours->d, number_behind(json, "d"), 1e-4);
    assert_int_equal(bin_as_written(ours->ky, n), (int)number_behind(json, "ky"));
    assert_int_equal(bin_as_written(ours->kx, n), (int)number_behind(json, "kx"));
    assert_float_equal(ours->spot[0].fy, number_behind(json, "fy"), 1e-5);
    assert_float_equal(ours->spot[0].fx, number_behind(json, "fx"), 1e-5);
    assert_float_equal(ours->snr, number_behind(json, "snr"), 1e-3 * number_behind(json, "snr"));
    assert_int_equal(ours->crystalline, truth_behind(json, "crystalline"));
}

static void read_pixels(struct picture *out, const char *folder, const char *name)
{
    struct golden g = golden_open(folder, name);

    *out = picture_new((int32_t)g.npy.shape[0], (int32_t)g.npy.shape[1]);
    for (int64_t i = 0; i < g.npy.items; i++) {
        uint16_t u16;
        double f64;
        float f32;

        if (g.npy.type == FLY_NPY_U16) {
            memcpy(&u16, (const char *)g.npy.data + 2 * i, sizeof u16);
            f32 = (float)u16;
        } else if (g.npy.type == FLY_NPY_F64) {
            memcpy(&f64, (const char *)g.npy.data + 8 * i, sizeof f64);
            f32 = (float)f64;
        } else {
            assert_int_equal(g.npy.type, FLY_NPY_F32);
            memcpy(&f32, (const char *)g.npy.data + 4 * i, sizeof f32);
        }
        out->pixels[i] = f32;
    }
    golden_close(&g);
}

static void edge_cases(void **state)
{
    static const char *const names[] = {"cos60", "cos150", "cos48", "px71", "white_noise"};
    char *text = text_of(FLY_TEST_DIR "/golden/edge/edge.json");
    const char *all = behind(text, "dspacing");

    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const char *json = behind(all, names[k]);
        double px = number_behind(json, "px_nm");
        struct picture p;
        struct region_rig rig;
        struct fly_picture view;
        struct fly_spacing ours;

        read_pixels(&p, FLY_TEST_DIR "/golden/edge/dspacing", names[k]);
        rig = region_rig_open(region_config(px, px), p.h, p.h, 1, 1);
        view = picture_of(&p);
        ours = paper(&rig, &view);
        compare(&ours, p.h, json);
        region_rig_close(&rig);
        free(p.pixels);
    }
    free(text);
}

static void constant_and_too_small_have_none(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), 40, 40, 1, 1);
    struct picture p = picture_new(40, 40);
    struct fly_picture view = picture_of(&p);
    struct fly_spacing ours;

    (void)state;
    for (int k = 0; k < 4; k++) {
        fill(&p, k == 0 ? 7.0 : k == 1 ? 0.1 : k == 2 ? 0.0 : NAN);
        ours = paper(&rig, &view);
        assert_int_equal(ours.state, FLY_SPACING_NONE);
        assert_true(ours.d == 0.0 && ours.snr == 0.0 && !ours.crystalline && ours.ky == 0 && ours.kx == 0);
    }
    fill(&p, 0.0);
    add_wave(&p, 1.0, 0.12, 0.0, 0.0);
    view.h = view.w = 7;
    ours = paper(&rig, &view);
    assert_int_equal(ours.state, FLY_SPACING_NONE);
    assert_true(ours.d == 0.0 && !ours.crystalline);
    region_rig_close(&rig);
    free(p.pixels);
}

static void what_is_no_planned_square_is_refused(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), 20, 40, 1, 1);
    struct picture p = picture_new(40, 40);
    struct fly_picture view = picture_of(&p);
    struct fly_spacing out = {.ky = 77};

    (void)state;
    view.w = 20;
    assert_int_equal(fly_spacing_paper(&out, &rig.transforms, 0, &rig.config, &view, NULL), FLY_ERANGE);
    view.w = view.h = 30;
    assert_int_equal(fly_spacing_paper(&out, &rig.transforms, 0, &rig.config, &view, NULL), FLY_ERANGE);
    view.w = view.h = 0;
    assert_int_equal(fly_spacing_paper(&out, &rig.transforms, 0, &rig.config, &view, NULL), FLY_ERANGE);
    assert_int_equal(out.ky, 77);
    region_rig_close(&rig);
    free(p.pixels);
}

/* d is right along each axis of oblong pixels, and where pixels are missing. */
static void oblong_pixels_and_holes(void **state)
{
    const double py = 0.04, px = 0.06;
    struct region_rig rig = region_rig_open(region_config(py, px), 120, 120, 1, 1);
    struct picture p = picture_new(120, 120);
    struct fly_picture view = picture_of(&p);

    (void)state;
    for (int k = 0; k < 3; k++) {
        double angle = k * 0.7;

        fill(&p, 50.0);
        add_wave(&p, 10.0, sin(angle) / 0.4 * py, cos(angle) / 0.4 * px, 0.3);
        assert_float_equal(paper(&rig, &view).d, 0.4, 0.002);
        for (int32_t i = 0; i < 120 * 120; i += 7)
            p.pixels[i] = i % 2 ? NAN : INFINITY;
        assert_float_equal(paper(&rig, &view).d, 0.4, 0.003);
        assert_float_equal(paper(&rig, &view).missing, 1.0 / 7.0, 1e-3);
    }
    region_rig_close(&rig);
    free(p.pixels);
}

/* ---- the golden scenes -------------------------------------------------------------------------- */

struct labels {
    int32_t *label;
    int32_t most;
};

static struct labels read_labels(const char *folder, const char *name)
{
    struct golden g = golden_open(folder, name);
    struct labels l = {.label = calloc((size_t)g.npy.items, sizeof(int32_t))};

    for (int64_t i = 0; i < g.npy.items; i++) {
        if (g.npy.type == FLY_NPY_I32) {
            memcpy(&l.label[i], (const char *)g.npy.data + 4 * i, 4);
        } else {
            int64_t value;

            assert_int_equal(g.npy.type, FLY_NPY_I64);
            memcpy(&value, (const char *)g.npy.data + 8 * i, 8);
            l.label[i] = (int32_t)value;
        }
        l.most = l.label[i] > l.most ? l.label[i] : l.most;
    }
    golden_close(&g);
    return l;
}

/* Squares and d-spacings of one labelling; how many regions. */
static int compare_labelling(const char *json, const struct labels *labels, int32_t rows, int32_t cols, int32_t chip,
                             const struct picture *p, struct region_rig *rig)
{
    struct fly_square squares[64];
    struct fly_arena arena;
    int regions = 0;

    assert_true(labels->most < 64);
    assert_int_equal(fly_arena_init(&arena, fly_squares_need(cols), NULL, "squares"), FLY_OK);
    fly_squares_find(squares, labels->most + 1, labels->label, rows, cols, &arena);
    fly_arena_fini(&arena);
    for (int32_t v = 0; v <= labels->most; v++) {
        double square[3];
        char key[16];
        const char *one;
        struct fly_picture view = {.stride = p->w};
        struct fly_spacing ours;

        if (squares[v].n == 0)
            continue;
        snprintf(key, sizeof key, "%d", (int)v);
        one = behind(json, key);
        assert_non_null(one);
        assert_int_equal(numbers_of(behind(one, "square"), square, 3), 3);
        assert_int_equal(squares[v].row, (int32_t)square[0]);
        assert_int_equal(squares[v].col, (int32_t)square[1]);
        assert_int_equal(squares[v].n, (int32_t)square[2]);
        view.pixels = p->pixels + squares[v].row * chip * p->w + squares[v].col * chip;
        view.h = view.w = squares[v].n * chip;
        ours = paper(rig, &view);
        compare(&ours, view.h, one);
        regions++;
    }
    return regions;
}

static int compare_case(const char *folder)
{
    char path[600];
    char *params, *expected;
    const char *post;
    struct region_rig rig;
    struct picture p;
    int32_t chip, rows, cols;
    double px, weights[2];
    char first[64];
    int regions = 0;

    snprintf(path, sizeof path, "%s/params.json", folder);
    params = text_of(path);
    snprintf(path, sizeof path, "%s/expected/expected.json", folder);
    expected = text_of(path);
    assert_true(params && expected);
    post = behind(expected, "post");
    chip = (int32_t)number_behind(params, "chip");
    rows = (int32_t)number_behind(params, "rows");
    cols = (int32_t)number_behind(params, "cols");
    px = number_behind(params, "px_nm");
    read_pixels(&p, folder, "haadf");
    assert_int_equal(numbers_of(behind(params, "ens_weights"), weights, 2), 2);
    snprintf(first, sizeof first, "fs_label_ens_%g_%g", weights[0], weights[1]);
    rig = region_rig_open(region_config(px, px), chip, (rows < cols ? rows : cols) * chip, 1, 1);
    for (int k = 0; k < 3; k++) {
        static const char *const names[] = {"fewshot", "ward", "truth"};
        const char *const arrays[] = {first, "ward_vote", "truth_chip"};
        struct labels labels;

        snprintf(path, sizeof path, "%s%s", folder, k < 2 ? "/expected" : "");
        labels = read_labels(path, arrays[k]);
        regions += compare_labelling(behind(post, names[k]), &labels, rows, cols, chip, &p, &rig);
        free(labels.label);
    }
    region_rig_close(&rig);
    free(p.pixels);
    free(params);
    free(expected);
    return regions;
}

static void the_tiny_scene(void **state)
{
    (void)state;
    assert_true(compare_case(FLY_TEST_DIR "/golden/a_tiny") >= 6);
}

static void the_golden_scenes(void **state)
{
    static const char *const cases[] = {"a_tiny", "b_pristine01", "c_defective0", "d_defective01", "e_size64_tv",
                                        "f_gmp_coarse", "table2_pristine_0", "table2_pristine_0.1",
                                        "table2_defective_0", "table2_defective_0.1"};
    int regions = 0;

    (void)state;
    if (!golden_there(FLY_SHARED_DIR "/golden/b_pristine01"))
        skip();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char folder[512];

        snprintf(folder, sizeof folder, FLY_SHARED_DIR "/golden/%s", cases[k]);
        regions += compare_case(folder);
    }
    assert_true(regions >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edge_cases),
        cmocka_unit_test(constant_and_too_small_have_none),
        cmocka_unit_test(what_is_no_planned_square_is_refused),
        cmocka_unit_test(oblong_pixels_and_holes),
        cmocka_unit_test(the_tiny_scene),
        cmocka_unit_test(the_golden_scenes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
