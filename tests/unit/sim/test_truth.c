#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/npy.h"
#include "sim/truth.h"
#include "stream/disk.h"

static const int32_t origin[2] = {0, 0};

static struct fly_specimen *sample(int32_t i)
{
    const struct fly_geometry *g = fly_geometry_at(i);
    struct fly_specimen_config config = {g->height_px, g->width_px, g->pixel_nm, g->growth, g->dpa, g->cap, 1.0, 2, 0.0};
    struct fly_specimen *s = NULL;

    assert_int_equal(fly_specimen_open(&s, &config), FLY_OK);
    return s;
}

static void the_four_samples_have_table_2s_grids_and_their_classes(void **state)
{
    static const int chips[4] = {1089, 576, 1156, 2601};

    for (int32_t i = 0; i < FLY_GEOMETRIES; i++) {
        const struct fly_geometry *g = fly_geometry_at(i);
        struct fly_specimen *s = sample(i);
        struct fly_truth *t = NULL;

        assert_ptr_equal(fly_geometry_find(g->name), g);
        assert_int_equal(fly_truth_open(&t, s, g->chip_px, 0, origin, g->rows, g->cols), FLY_OK);
        assert_int_equal(t->rows * t->cols, chips[i]);
        assert_true(t->count[FLY_STO] > 20 && t->count[FLY_LFO] > 20 && t->count[FLY_CAP] > 20);
        if (i == 0)
            assert_int_equal(t->count[FLY_LFO_DISORDERED], 0);
        else
            assert_true(t->count[FLY_LFO_DISORDERED] > 20);
        fly_truth_close(&t);
        fly_specimen_close(&s);
    }
    assert_null(fly_geometry_find("table2_pristine_1"));
}

static void labels_are_the_majority_of_their_pixels(void **state)
{
    struct fly_specimen *s = sample(3);
    const int32_t shifted[2] = {3, 5};
    struct fly_truth *t = NULL;

    assert_int_equal(fly_truth_open(&t, s, 12, 7, shifted, 0, 0), FLY_OK);
    assert_int_equal(t->rows, (512 - 3 - 12) / 7 + 1);
    for (int32_t k = 0; k < t->rows * t->cols; k += 11) {
        int seen[FLY_PHASES] = {0}, best = 0;

        for (int32_t i = 0; i < 144; i++)
            seen[s->phase[fly_specimen_at(s, 3 + k / t->cols * 7 + i / 12, 5 + k % t->cols * 7 + i % 12)]]++;
        for (int p = 0; p < FLY_PHASES; p++)
            best = seen[p] > seen[best] ? p : best;
        assert_int_equal(t->label[k], best);
        assert_true(t->purity[k] == (float)(seen[best] / 144.0));
    }
    fly_truth_close(&t);
    fly_specimen_close(&s);
}

static void support_chips_are_pure_spread_and_of_their_class(void **state)
{
    for (int32_t g = 0; g < FLY_GEOMETRIES; g++) {
        struct fly_specimen *s = sample(g);
        struct fly_truth *t = NULL;
        int32_t chips[6];

        assert_int_equal(fly_truth_open(&t, s, fly_geometry_at(g)->chip_px, 0, origin,
                                        fly_geometry_at(g)->rows, fly_geometry_at(g)->cols), FLY_OK);
        for (int p = 0; p < FLY_PHASES; p++) {
            int32_t n = fly_truth_support(t, (enum fly_phase)p, 6, chips);

            assert_int_equal(n, t->count[p] < 6 ? t->count[p] : 6);
            for (int32_t i = 0; i < n; i++) {
                int32_t purer = 0;

                assert_int_equal(t->label[chips[i]], p);
                for (int32_t k = 0; k < t->rows * t->cols; k++)
                    purer += t->label[k] == p && t->purity[k] > t->purity[chips[i]];
                assert_true(purer < 6); /* none was passed over for a less pure one */
                if (i)
                    assert_true(chips[i] > chips[i - 1] && (p == FLY_LFO_DISORDERED ||
                                                            chips[i] - chips[i - 1] > t->cols / 2));
            }
        }
        fly_truth_close(&t);
        fly_specimen_close(&s);
    }
}

static json_t *load(const char *dir, const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    json_t *json = json_load_file(path, 0, NULL);

    unlink(path);
    assert_non_null(json);
    return json;
}

static void files_say_what_is_true(void **state)
{
    char dir[] = "/tmp/flyback-truth-XXXXXX", path[300];
    struct fly_beam_config settings = fly_beam_config_default();
    struct fly_specimen *s = sample(1);
    struct fly_truth *t = NULL;
    struct fly_beam *b = NULL;
    unsigned char *bytes;
    struct fly_npy npy;
    size_t len;

    assert_non_null(mkdtemp(dir));
    settings.eds_counts = 0.5;
    assert_int_equal(fly_beam_open(&b, s, &settings), FLY_OK);
    assert_int_equal(fly_truth_open(&t, s, 20, 0, origin, 24, 24), FLY_OK);
    assert_int_equal(fly_truth_write(t, s, b, dir), FLY_OK);
    snprintf(path, sizeof path, "%s/truth_px.npy", dir);
    assert_int_equal(fly_file_read(path, 1 << 20, &bytes, &len), FLY_OK);
    assert_int_equal(fly_npy_view(&npy, bytes, len, "truth_px"), FLY_OK);
    assert_true(npy.type == FLY_NPY_U8 && npy.dims == 2 && npy.shape[0] == 512 && npy.shape[1] == 512);
    assert_int_equal(((const uint8_t *)npy.data)[300 * 512 + 17], s->phase[fly_specimen_at(s, 300, 17)]);
    free(bytes);
    unlink(path);
    snprintf(path, sizeof path, "%s/truth_chip.npy", dir);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/truth_purity.npy", dir);
    assert_int_equal(unlink(path), 0);
    json_t *json = load(dir, "truth.json"), *first = json_array_get(json_object_get(json, "classes"), 1);

    assert_string_equal(json_string_value(json_object_get(first, "name")), "LFO");
    assert_int_equal(json_integer_value(json_object_get(first, "chips")), t->count[FLY_LFO]);
    assert_true(json_real_value(json_object_get(json_object_get(first, "atomic_percent"), "La")) > 15.0);
    json_decref(json);
    snprintf(path, sizeof path, "%s/support.json", dir);
    assert_int_equal(fly_truth_write_support(t, 4, path), FLY_OK);
    json = load(dir, "support.json");
    assert_int_equal(json_object_size(json), 4);
    assert_int_equal(json_array_size(json_object_get(json, "LFO_disordered")), 4);
    json_decref(json);
    assert_int_equal(fly_truth_write(t, s, b, "/dev/null/dir"), FLY_EIO);
    rmdir(dir);
    fly_truth_close(&t);
    assert_int_equal(fly_truth_open(&t, s, 20, 0, origin, 26, 0), FLY_ERANGE);
    assert_null(t);
    fly_beam_close(&b);
    fly_specimen_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_four_samples_have_table_2s_grids_and_their_classes),
        cmocka_unit_test(labels_are_the_majority_of_their_pixels),
        cmocka_unit_test(support_chips_are_pure_spread_and_of_their_class),
        cmocka_unit_test(files_say_what_is_true),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
