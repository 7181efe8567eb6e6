#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/eds/lines.h"
#include "plugin/proposal.h"
#include "stream/recording.h"

enum { CHANNELS = 1024, PHOTONS_MAX = 200000 };

static char path[] = "/tmp/fly-proposal-XXXXXX";
static uint32_t spectrum[CHANNELS]; /* iron on a flat background */
static uint16_t photons[PHOTONS_MAX];
static uint32_t pixels[PHOTONS_MAX];
static uint32_t n_photons;

static int make_spectrum(void **state)
{
    double sigma = fly_fwhm_kev(6.4039, 130.0) / 2.3548;
    int fd = mkstemp(path);

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    for (int32_t i = 0; i < CHANNELS; i++) {
        double kev = -0.2 + 0.01 * i, mean = kev > 0.15 ? 20.0 : 0.0;
        const double lines[2][2] = {{6.4039, 20000.0}, {7.058, 2544.0}};

        for (int l = 0; l < 2; l++) {
            double t = (kev - lines[l][0]) / sigma;

            mean += lines[l][1] * exp(-0.5 * t * t) * 0.01 / (sigma * sqrt(2.0 * M_PI));
        }
        spectrum[i] = (uint32_t)(mean + 0.5);
        for (uint32_t n = 0; n < spectrum[i]; n++)
            photons[n_photons++] = (uint16_t)i;
    }
    return 0;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* ---- a recording ------------------------------------------------------------------------------ */

struct writer {
    struct fly_recorder *recorder;
    uint64_t seq[4];
    unsigned char bytes[4096];
    struct fly_pack pack;
};

static void pack_shape(struct fly_pack *pack, int64_t h, int64_t w)
{
    fly_pack_array(pack, 2);
    fly_pack_int(pack, h);
    fly_pack_int(pack, w);
}

static void begin_header(struct writer *w, uint32_t entries, const char *type, const char *stream, int idx)
{
    fly_pack_init(&w->pack, w->bytes, sizeof w->bytes);
    fly_pack_map(&w->pack, entries);
    fly_pack_str(&w->pack, "type");
    fly_pack_str(&w->pack, type);
    fly_pack_str(&w->pack, "session");
    fly_pack_str(&w->pack, "s1");
    fly_pack_str(&w->pack, "stream");
    fly_pack_str(&w->pack, stream);
    fly_pack_str(&w->pack, "seq");
    fly_pack_uint(&w->pack, ++w->seq[idx]);
    fly_pack_str(&w->pack, "t_ns");
    fly_pack_int(&w->pack, 1);
}

static void put(struct writer *w, const void *a, size_t a_len, const void *b, size_t b_len)
{
    struct fly_part parts[3] = {{w->bytes, w->pack.len}, {a, a_len}, {b, b_len}};
    uint64_t ticket;

    assert_false(w->pack.full);
    assert_int_equal(fly_recorder_append(w->recorder, FLY_REC_INGEST, 1, parts, b ? 3 : a ? 2 : 1, &ticket), FLY_OK);
}

static void put_segment(struct fly_pack *pack, const char *name, double ev)
{
    fly_pack_map(pack, 4);
    fly_pack_str(pack, "name");
    fly_pack_str(pack, name);
    fly_pack_str(pack, "n_channels");
    fly_pack_int(pack, CHANNELS);
    fly_pack_str(pack, "ev_per_channel");
    fly_pack_f64(pack, ev);
    fly_pack_str(pack, "ev_offset");
    fly_pack_f64(pack, -200.0);
}

static void put_start(struct writer *w, int segments, const char *element)
{
    begin_header(w, element ? 11 : 10, "start", "control", 0);
    fly_pack_str(&w->pack, "schema");
    pack_shape(&w->pack, 1, 0);
    fly_pack_str(&w->pack, "scan_shape_px");
    pack_shape(&w->pack, 4, 1);
    fly_pack_str(&w->pack, "detectors");
    fly_pack_array(&w->pack, segments ? 0 : 1);
    if (!segments) {
        fly_pack_map(&w->pack, 2);
        fly_pack_str(&w->pack, "name");
        fly_pack_str(&w->pack, "HAADF");
        fly_pack_str(&w->pack, "dtype");
        fly_pack_str(&w->pack, "<u2");
    }
    fly_pack_str(&w->pack, "eds");
    fly_pack_array(&w->pack, (uint32_t)segments);
    for (int i = 0; i < segments; i++)
        put_segment(&w->pack, (const char *[]){"A", "B", "C"}[i], i == 2 ? 5.0 : 10.0);
    fly_pack_str(&w->pack, "beam_energy_kev");
    fly_pack_f64(&w->pack, 200.0);
    if (element) {
        fly_pack_str(&w->pack, "elements");
        fly_pack_array(&w->pack, 1);
        fly_pack_str(&w->pack, element);
    }
    put(w, NULL, 0, NULL, 0);
}

static void begin_eds(struct writer *w, const char *stream, int idx, int y, const char *layout, const char *dtype)
{
    begin_header(w, dtype ? 11 : 10, "eds", stream, idx);
    fly_pack_str(&w->pack, "frame");
    fly_pack_int(&w->pack, 0);
    fly_pack_str(&w->pack, "y0_px");
    fly_pack_int(&w->pack, y);
    fly_pack_str(&w->pack, "x0_px");
    fly_pack_int(&w->pack, 0);
    fly_pack_str(&w->pack, "shape");
    pack_shape(&w->pack, 1, 1);
    fly_pack_str(&w->pack, "layout");
    fly_pack_str(&w->pack, layout);
    if (dtype) {
        fly_pack_str(&w->pack, "dtype");
        fly_pack_str(&w->pack, dtype);
    }
}

static int64_t no_time(void *ctx)
{
    (void)ctx;
    return 1;
}

static void open_writer(struct writer *w)
{
    struct fly_recorder_config config = {.path = path, .disk = fly_disk_system(),
                                         .clock = {.mono_ns = no_time, .unix_ns = no_time}, .ring_bytes = 1 << 22,
                                         .sync_ms = 10, .writers = 1, .wake_fd = -1};

    unlink(path); /* a recorder makes its file anew */
    memset(w, 0, sizeof *w);
    assert_int_equal(fly_recorder_open(&w->recorder, &config, 0), FLY_OK);
}

/* What fly_proposal_tell says of the recording. */
static int tell(char words[4096])
{
    FILE *file = tmpfile();
    int rc = fly_proposal_tell(path, file);
    size_t len;

    rewind(file);
    len = fread(words, 1, 4095, file);
    words[len] = '\0';
    fclose(file);
    return rc;
}

/* ---- claims ----------------------------------------------------------------------------------- */

static void photons_of_every_layout_add_up(void **state)
{
    struct fly_proposals *out = malloc(sizeof *out);
    struct fly_proposal_source *source = malloc(sizeof *source);
    const uint32_t rows[2] = {0, n_photons};
    uint16_t small[CHANNELS];
    struct writer w;
    uint64_t unmasked = 0;

    (void)state;
    for (int32_t i = 0; i < CHANNELS; i++) {
        small[i] = (uint16_t)spectrum[i];
        unmasked += -200.0 + 10.0 * i >= 150.0 ? spectrum[i] : 0;
    }
    open_writer(&w);
    put_start(&w, 3, NULL);
    begin_eds(&w, "A", 1, 0, "dense", "<u4");
    put(&w, spectrum, sizeof spectrum, NULL, 0);
    begin_eds(&w, "B", 2, 0, "dense", "<u2");
    put(&w, small, sizeof small, NULL, 0);
    begin_eds(&w, "A", 1, 1, "csr", NULL);
    put(&w, rows, sizeof rows, photons, n_photons * sizeof *photons);
    begin_eds(&w, "B", 2, 1, "pairs", NULL);
    put(&w, pixels, n_photons * sizeof *pixels, photons, n_photons * sizeof *photons);
    begin_eds(&w, "C", 3, 0, "dense", "<u4"); /* counts in other steps: not added */
    put(&w, spectrum, sizeof spectrum, NULL, 0);
    assert_int_equal(fly_recorder_close(&w.recorder), FLY_OK);

    assert_int_equal(fly_proposal_of_recording(out, source, path), FLY_OK);
    assert_int_equal(source->start.n_segments, 3);
    assert_float_equal(out->photons, 4.0 * (double)unmasked, 60.0 * 20); /* the last bin may be cut */
    assert_true(out->n >= 1);
    assert_string_equal(out->of[0].what, "Fe");
    assert_float_equal(out->of[0].counts, 4.0 * 22544.0, 3000.0);
    free(out);
    free(source);
}

static void words_name_the_elements_and_what_to_do(void **state)
{
    char words[4096];
    struct writer w;

    (void)state;
    open_writer(&w);
    put_start(&w, 1, NULL);
    begin_eds(&w, "A", 1, 0, "dense", "<u4");
    put(&w, spectrum, sizeof spectrum, NULL, 0);
    assert_int_equal(fly_recorder_close(&w.recorder), FLY_OK);
    assert_int_equal(tell(words), FLY_OK);
    assert_non_null(strstr(words, "photons speak of"));
    assert_non_null(strstr(words, "\n  Fe Ka  6.404 keV: "));
    assert_non_null(strstr(words, "To name them: --set eds.elements=Fe\n"));

    open_writer(&w);
    put_start(&w, 1, "Co");
    begin_eds(&w, "A", 1, 0, "dense", "<u4");
    put(&w, spectrum, sizeof spectrum, NULL, 0);
    assert_int_equal(fly_recorder_close(&w.recorder), FLY_OK);
    assert_int_equal(tell(words), FLY_OK);
    assert_non_null(strstr(words, "The session itself names Co.\n"));
    assert_null(strstr(words, "To name them"));
}

static void without_photons_or_spectra_nothing_is_proposed(void **state)
{
    char words[4096];
    struct writer w;

    (void)state;
    open_writer(&w);
    put_start(&w, 1, NULL);
    assert_int_equal(fly_recorder_close(&w.recorder), FLY_OK);
    assert_int_equal(tell(words), FLY_OK);
    assert_non_null(strstr(words, "0 photons speak of no element: too few of them"));

    open_writer(&w);
    put_start(&w, 0, NULL);
    assert_int_equal(fly_recorder_close(&w.recorder), FLY_OK);
    assert_int_equal(tell(words), FLY_OK);
    assert_non_null(strstr(words, "no spectra, so no elements to propose"));

    open_writer(&w);
    assert_int_equal(fly_recorder_close(&w.recorder), FLY_OK);
    assert_int_equal(tell(words), FLY_OK);
    assert_string_equal(words, ""); /* no session: others tell that */
}

static void a_recording_that_is_not_there_is_told(void **state)
{
    char words[4096], was[sizeof path];

    (void)state;
    memcpy(was, path, sizeof was);
    path[sizeof path - 2] ^= 1;
    unlink(path);
    assert_int_equal(tell(words), FLY_EIO);
    assert_string_equal(words, "");
    memcpy(path, was, sizeof was);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(photons_of_every_layout_add_up),
        cmocka_unit_test(words_name_the_elements_and_what_to_do),
        cmocka_unit_test(without_photons_or_spectra_nothing_is_proposed),
        cmocka_unit_test(a_recording_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, make_spectrum, drop_file);
}
