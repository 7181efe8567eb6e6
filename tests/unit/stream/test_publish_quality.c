#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "stream/publish.h"

static unsigned char room[FLY_HEADER_MAX];
static struct fly_pub_message message;
static struct fly_published read;

/* `quality` of a metrics message as a subscriber has it. */
static struct fly_value published(const struct fly_pub_quality *quality)
{
    struct fly_pub_metrics metrics = {.quality = quality};
    struct fly_pack pack;
    struct fly_value value;

    fly_pack_init(&pack, room, sizeof room);
    assert_int_equal(fly_pub_metrics(&message, &pack, &(struct fly_pub_id){"s", 3, 5}, &metrics), FLY_OK);
    assert_int_equal(fly_published_decode(&read, message.parts, message.n_parts), FLY_OK);
    assert_true(fly_value_get(read.header, "quality", &value));
    return value;
}

static struct fly_value get(struct fly_value map, const char *key)
{
    struct fly_value value;

    if (!fly_value_get(map, key, &value))
        fail_msg("no key %s", key);
    return value;
}

static void assert_number(struct fly_value map, const char *key, double want)
{
    double number;

    assert_true(fly_value_f64(get(map, key), &number));
    assert_true(number == want);
}

static void assert_nil(struct fly_value map, const char *key)
{
    assert_int_equal(fly_value_kind(get(map, key)), FLY_KIND_NIL);
}

static void assert_word(struct fly_value map, const char *key, const char *want)
{
    const char *text;
    size_t len;

    assert_true(fly_value_str(get(map, key), &text, &len));
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

static void every_number_comes_back_under_its_key(void **state)
{
    const struct fly_pub_quality quality = {
        1, 1, {64, 100, 0.25, 0.5, 81}, {0.125, 0.0625, 4095, -3},
        {7, 2, 8, 1.5, -2.5, 0.25, 0.75, 0.875, 1, 3, -4, 5.5, 6, 5},
        {7, 30, "share", 4, 9, "O", -0.25},
        {"coarse", 20, 9.5, 2.75, 128, 1}, 1, "mixed"};
    struct fly_value q = published(&quality), part;

    assert_int_equal(fly_value_count(q), 6);
    part = get(q, "counts");
    assert_int_equal(fly_value_count(part), 5);
    assert_number(part, "chips", 64);
    assert_number(part, "needed", 100);
    assert_number(part, "too_few", 0.25);
    assert_number(part, "pooled", 0.5);
    assert_number(part, "median", 81);
    part = get(q, "saturation");
    assert_int_equal(fly_value_count(part), 4);
    assert_number(part, "top", 0.125);
    assert_number(part, "bottom", 0.0625);
    assert_number(part, "top_value", 4095);
    assert_number(part, "bottom_value", -3);
    part = get(q, "drift");
    assert_int_equal(fly_value_count(part), 14);
    assert_number(part, "frames", 7);
    assert_number(part, "unmeasured", 2);
    assert_number(part, "frame", 8);
    assert_number(part, "dy_px", 1.5);
    assert_number(part, "dx_px", -2.5);
    assert_number(part, "sigma_dy_px", 0.25);
    assert_number(part, "sigma_dx_px", 0.75);
    assert_number(part, "correlation", 0.875);
    assert_int_equal(fly_value_kind(get(part, "ambiguous")), FLY_KIND_BOOL);
    assert_number(part, "applied_dy_px", 3);
    assert_number(part, "applied_dx_px", -4);
    assert_number(part, "largest_px", 5.5);
    assert_number(part, "largest_frame", 6);
    assert_number(part, "adopted", 5);
    part = get(q, "damage");
    assert_int_equal(fly_value_count(part), 6);
    assert_number(part, "chips", 7);
    assert_number(part, "barred", 30);
    assert_word(part, "sign", "share");
    assert_int_equal(fly_value_count(get(part, "chip")), 2);
    assert_word(part, "element", "O");
    assert_number(part, "change", -0.25);
    part = get(q, "chip_size");
    assert_int_equal(fly_value_count(part), 6);
    assert_word(part, "reason", "coarse");
    assert_number(part, "advised_px", 20);
    assert_number(part, "cell_px", 9.5);
    assert_number(part, "cells", 2.75);
    assert_number(part, "lines", 128);
    assert_int_equal(fly_value_kind(get(part, "final")), FLY_KIND_BOOL);
    part = get(q, "calibration");
    assert_int_equal(fly_value_count(part), 2);
    assert_int_equal(fly_value_kind(get(part, "pixel")), FLY_KIND_BOOL);
    assert_word(part, "k_factors", "mixed");
}

static void what_is_not_there_is_nil(void **state)
{
    struct fly_pub_quality quality = {.has_image = 1, .has_eds = 1, .counts = {0, 100, NAN, NAN, NAN},
                                      .drift = {.frame = -1, .largest_frame = -1, .dy_px = NAN, .sigma_dx_px = INFINITY},
                                      .damage = {.row = -1, .col = -1, .change = NAN}, .chip_size = {.cell_px = NAN}};
    struct fly_value q = published(&quality);

    assert_nil(get(q, "counts"), "too_few");
    assert_nil(get(q, "counts"), "median");
    assert_nil(get(q, "drift"), "frame");
    assert_nil(get(q, "drift"), "largest_frame");
    assert_nil(get(q, "drift"), "dy_px");
    assert_nil(get(q, "drift"), "sigma_dx_px");
    assert_nil(get(q, "damage"), "sign");
    assert_nil(get(q, "damage"), "chip");
    assert_nil(get(q, "damage"), "element");
    assert_nil(get(q, "damage"), "change");
    assert_nil(get(q, "chip_size"), "reason");
    assert_nil(get(q, "chip_size"), "advised_px");
    assert_nil(get(q, "calibration"), "k_factors");
    quality.has_image = 0;
    q = published(&quality);
    assert_nil(q, "saturation");
    assert_nil(q, "drift");
    assert_nil(q, "chip_size");
    assert_int_equal(fly_value_kind(get(q, "counts")), FLY_KIND_MAP);
    quality.has_image = 1;
    quality.has_eds = 0;
    q = published(&quality);
    assert_nil(q, "counts");
    assert_int_equal(fly_value_kind(get(q, "drift")), FLY_KIND_MAP);
    assert_int_equal(fly_value_kind(published(NULL)), FLY_KIND_NIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_comes_back_under_its_key),
        cmocka_unit_test(what_is_not_there_is_nil),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
