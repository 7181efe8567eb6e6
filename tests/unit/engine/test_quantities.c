#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/pool_exec.h"
#include "tests/unit/engine/engine_rig.h"

enum { SMALL = 4, SMALL_CHIPS = 8 * 10, COLS = 5, CHIPS = 4 * COLS, PIECES = 48 };

/* (K, 2) in place of an embedder's: those of a chip's two sides differ. */
static const float *given(void)
{
    static float rows[SMALL_CHIPS][2];

    for (int k = 0; k < SMALL_CHIPS; k++) {
        rows[k][0] = (float)(k % 5 < 3);
        rows[k][1] = 0.01F * (float)k;
    }
    return rows[0];
}

static struct fly_engine_counts counts_of(const struct fly_engine *engine)
{
    struct fly_engine_counts counts;

    fly_engine_count(engine, &counts);
    return counts;
}

static struct fly_map_view map_of(const struct fly_engine *engine, enum fly_modality modality)
{
    struct fly_map_view view;

    fly_engine_map(engine, FLY_FEWSHOT, modality, &view);
    return view;
}

static void put_eds(struct fly_engine *engine, const struct scene *s, int64_t frame, struct fly_rect rect,
                    int64_t stamp)
{
    put(engine, s, &(struct piece){.eds = 1, .frame = frame, .rect = rect, .stamp = stamp});
}

static void put_both(struct fly_engine *engine, const struct scene *s, int64_t frame, struct fly_rect rect)
{
    put(engine, s, &(struct piece){.frame = frame, .rect = rect, .stamp = 1});
    put_eds(engine, s, frame, rect, 1);
}

static struct fly_rect rows_of(int32_t first, int32_t count, int32_t side)
{
    return (struct fly_rect){first * side, 0, count * side, W};
}

/* ---- prefix-exact ------------------------------------------------------------------------------ */

struct history {
    struct piece pieces[PIECES];
    int n_pieces, finished, shifted[FRAMES];
    int32_t shift[FRAMES][2];
};

static void shift(struct fly_engine *engine, const struct history *h, int64_t frame)
{
    assert_int_equal(fly_engine_shift(engine, frame, h->shift[frame][0], h->shift[frame][1]), FLY_OK);
}

/* The same data backwards, all at once, on one thread. */
static struct fly_engine *batch_of(const struct history *h, const struct scene *s, struct fly_embedder *embedder,
                                   const struct rig_options *rig)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine *batch = rig_open(embedder, &serial, rig);

    for (int64_t f = 0; f < FRAMES; f++)
        if (h->shifted[f])
            shift(batch, h, f);
    for (int i = h->n_pieces - 1; i >= 0; i--)
        put(batch, s, &h->pieces[i]);
    if (h->finished)
        fly_engine_finish(batch);
    think(batch);
    return batch;
}

static void add_piece(struct history *h, struct fly_rng *rng, const struct rig_options *rig)
{
    struct piece *p = &h->pieces[h->n_pieces++];

    *p = random_piece(rng);
    p->eds |= fly_rng_below(rng, 3) == 0;
    p->segment = p->eds ? (int32_t)fly_rng_below(rng, (uint64_t)rig->segments) : 0;
    p->stamp = h->n_pieces;
    if (h->n_pieces == 5) /* the topmost chip row of frame 0 settles the range */
        *p = (struct piece){.rect = {0, 0, SIDE, W}, .stamp = 5};
}

static void random_shift(struct history *h, struct fly_rng *rng, struct fly_engine *live)
{
    int64_t f = (int64_t)fly_rng_below(rng, FRAMES);

    h->shifted[f] = 1;
    h->shift[f][0] = (int32_t)fly_rng_below(rng, 5) - 2;
    h->shift[f][1] = (int32_t)fly_rng_below(rng, 5) - 2;
    shift(live, h, f);
}

static void any_mix_of_data_steps_epochs_and_changes_of_mind_ends_as_batch(void **state)
{
    struct pool_exec pool = {.width = 2};
    struct fly_exec parallel = pool_exec(&pool);
    struct fly_embedder *one = spectral_open(1), *two = spectral_open(2);
    struct fly_rng rng = {17};

    (void)state;
    memset(status_seen, 0, sizeof status_seen);
    for (int round = 0; round < 24; round++) {
        struct rig_options rig = {.profile = round % 4 == 3 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST,
                                  .segments = 1 + round / 2 % 2, .step_chips = 1 + round % 5};
        struct scene *s = scene_make((uint64_t)round);
        struct fly_engine *live = rig_open(two, &parallel, &rig);
        struct history h = {.n_pieces = 0};

        for (int turn = 0; turn < 140 && !h.finished; turn++) {
            switch (fly_rng_below(&rng, 12)) {
            case 0:
            case 1:
                fly_engine_epoch(live);
                break;
            case 2:
                rig.feature = rig.feature == FLY_EDS_COMPOSITION ? FLY_EDS_SPECTRUM : FLY_EDS_COMPOSITION;
                assert_int_equal(fly_engine_set_fewshot_feature(live, rig.feature), FLY_OK);
                break;
            case 3:
                if (round % 3)
                    random_shift(&h, &rng, live);
                break;
            case 4:
                h.finished = turn > 100;
                if (h.finished)
                    fly_engine_finish(live);
                break;
            case 5:
            case 6:
            case 7:
                if (h.n_pieces < PIECES) {
                    add_piece(&h, &rng, &rig);
                    put(live, s, &h.pieces[h.n_pieces - 1]);
                }
                break;
            default:
                (void)!fly_engine_step(live);
            }
            if (turn % 20 == 19 || h.finished) {
                struct fly_engine *batch = batch_of(&h, s, one, &rig);

                think(live);
                same(live, batch);
                fly_engine_close(&batch);
            }
        }
        fly_engine_close(&live);
        free(s);
    }
    fly_embedder_close(&one);
    fly_embedder_close(&two);
    for (int i = 0; i < 3; i++)
        assert_true(status_seen[i] > 0);
}

/* Once a shift leaves the topmost chips without their pixels, what waited is done no more, and what was done is
 * taken back. */
static void a_shift_takes_back_what_it_uncovers(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.profile = FLY_PROFILE_ROBUST, .given = given()};
    struct scene *s = scene_make(2);

    (void)state;
    for (int done = 0; done < 2; done++) {
        struct fly_engine *e = rig_open(NULL, &serial, &rig);
        const uint8_t *embedded, *complete;
        struct fly_engine_counts before;
        int32_t first, again;

        put_both(e, s, 0, rows_of(0, 2, SIDE));
        if (done)
            think(e);
        before = counts_of(e);
        assert_int_equal(fly_engine_shift(e, 0, 1, 0), FLY_OK);
        fly_engine_embeddings(e, NULL, &embedded);
        fly_engine_spectra(e, NULL, &complete);
        for (int k = 0; k < COLS; k++) {
            assert_int_equal(embedded[k], 0);
            assert_int_equal(complete[k], 0);
            assert_true(fly_engine_percent(e, NULL, NULL)[k * 3] == 0.0);
        }
        /* the second row waits, for both: for the first time, or again */
        assert_int_equal(fly_engine_backlog(e, &first, &again), 2 * COLS);
        assert_int_equal(first, done ? 0 : 2 * COLS);
        /* twice the first row was taken back, as far as there was something */
        assert_int_equal(counts_of(e).features_changed - before.features_changed, done ? 2 * COLS : COLS);
        think(e);
        for (int m = 0; m < FLY_MODALITIES; m++)
            for (int k = 0; k < COLS; k++)
                assert_int_equal(map_of(e, (enum fly_modality)m).labels[k], FLY_LABEL_PENDING);
        fly_engine_close(&e);
    }
    free(s);
}

/* ---- the order of steps ------------------------------------------------------------------------ */

/* Take one step: 'E' or 'e' for first embeddings or revisions, 'Q' or 'q' for compositions, '-' for none. */
static char step_kind(struct fly_engine *engine, int32_t *n)
{
    struct fly_engine_counts a = counts_of(engine), b;
    int32_t first_before, first_after;

    fly_engine_backlog(engine, &first_before, NULL);
    if (fly_engine_step(engine) == FLY_EAGAIN)
        return '-';
    b = counts_of(engine);
    fly_engine_backlog(engine, &first_after, NULL);
    *n = (int32_t)(b.embedded_first - a.embedded_first + b.embedded_again - a.embedded_again +
                   b.chips_quantified - a.chips_quantified);
    if (b.embedded_first > a.embedded_first)
        return 'E';
    if (b.embedded_again > a.embedded_again)
        return 'e';
    return first_after < first_before ? 'Q' : 'q';
}

static void what_is_needed_first_precedes_revisions_and_those_take_turns(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.side_px = SMALL, .given = given(), .step_chips = 20, .min_counts = 1};
    struct scene *s = scene_make(3);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    const struct {
        char kind;
        int32_t n;
    } expected[] = {{'E', 10}, {'Q', 10}, {'e', 20}, {'q', 64}, {'e', 20}, {'q', 6},
                    {'e', 20}, {'e', 10}};
    int32_t n, first, again;

    (void)state;
    put_both(e, s, 0, rows_of(0, 7, SMALL));
    think(e);
    put_both(e, s, 1, rows_of(0, 7, SMALL));
    put_both(e, s, 0, rows_of(7, 1, SMALL));
    assert_int_equal(fly_engine_backlog(e, &first, &again), 2 * SMALL_CHIPS); /* a chip that waits for both: twice */
    assert_int_equal(first, 2 * 10);
    assert_int_equal(again, 2 * 70);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        n = 0;
        assert_int_equal(step_kind(e, &n), expected[i].kind);
        assert_int_equal(n, expected[i].n);
    }
    while (step_kind(e, &n) != '-')
        assert_int_equal(n, 0); /* halves are compared (engine/reliability.h) */
    assert_int_equal(fly_engine_backlog(e, NULL, NULL), 0);
    fly_engine_close(&e);
    free(s);
}

static void a_first_composition_overtakes_revisions_that_wait(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.side_px = SMALL, .given = given(), .step_chips = 20, .min_counts = 1};
    struct scene *s = scene_make(3);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    int32_t n = 0;

    (void)state;
    put_both(e, s, 0, rows_of(0, 7, SMALL));
    think(e);
    put_both(e, s, 1, rows_of(0, 7, SMALL));
    assert_int_equal(step_kind(e, &n), 'e');
    assert_int_equal(step_kind(e, &n), 'q');
    put_both(e, s, 0, rows_of(7, 1, SMALL));
    assert_int_equal(step_kind(e, &n), 'E');
    assert_int_equal(step_kind(e, &n), 'Q');
    assert_int_equal(step_kind(e, &n), 'e'); /* whose turn it is was not forgotten */
    assert_int_equal(step_kind(e, &n), 'q');
    fly_engine_close(&e);
    free(s);
}

static void compositions_do_not_wait_for_the_range(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(4);
    struct fly_engine *e = rig_open(embedder, &serial, &(struct rig_options){.profile = FLY_PROFILE_ROBUST});
    int32_t n = 0;

    (void)state;
    put_both(e, s, 0, rows_of(1, 2, SIDE)); /* of the range's row, nothing */
    assert_int_equal(fly_engine_backlog(e, NULL, NULL), 4 * COLS);
    assert_int_equal(step_kind(e, &n), 'Q');
    assert_int_equal(n, 2 * COLS);
    assert_int_equal(step_kind(e, &n), '-');
    assert_int_equal(fly_engine_backlog(e, NULL, NULL), 2 * COLS);
    put(e, s, &(struct piece){.rect = rows_of(0, 1, SIDE)});
    assert_int_equal(step_kind(e, &n), 'E');
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

/* Interim states too: a journal tells steps by their number, and is followed with other threads. */
static void a_step_is_the_same_on_any_number_of_threads(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct pool_exec pool = {.width = 5};
    struct fly_exec parallel = pool_exec(&pool);
    struct rig_options rig = {.side_px = SMALL, .given = given(), .step_chips = 12, .min_counts = 60};
    struct scene *s = scene_make(8);
    struct fly_engine *a = rig_open(NULL, &serial, &rig), *b = rig_open(NULL, &parallel, &rig);
    struct fly_rng rng = {5};

    (void)state;
    for (int turn = 0; turn < 60; turn++) {
        struct piece p = random_piece(&rng);

        if (turn % 10 == 0) /* more than one step can do */
            p = (struct piece){.eds = turn / 10 % 2, .frame = turn / 20, .rect = {0, 0, H, W}};
        put(a, s, &p);
        put(b, s, &p);
        for (uint64_t i = fly_rng_below(&rng, 4); i > 0; i--) {
            assert_int_equal(fly_engine_step(a), fly_engine_step(b));
            fly_engine_epoch(a);
            fly_engine_epoch(b);
            same(a, b);
        }
    }
    fly_engine_close(&a);
    fly_engine_close(&b);
    free(s);
}

/* ---- borrowing --------------------------------------------------------------------------------- */

static void a_neighbours_photons_remake_what_borrows_and_nothing_else(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.profile = FLY_PROFILE_ROBUST, .given = given(), .min_counts = 250};
    struct scene *s = scene_make(9);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    const int32_t borrower = 1 * COLS + 1, lender = 1 * COLS + 2;
    const struct fly_rect all = {0, 0, H, W}, lent = {SIDE, 2 * SIDE, SIDE, SIDE};
    int32_t near[9], n_near = fly_quantify_touched(4, COLS, lender, near), n = 0;
    struct fly_engine_counts before;
    struct fly_composition made;
    const uint8_t *status;
    const double *percent = fly_engine_percent(e, NULL, &status);
    double was[3];

    (void)state;
    put(e, s, &(struct piece){.rect = all, .stamp = 3});
    put_eds(e, s, 0, all, 3);
    think(e);
    /* others get counts enough of their own: they borrow no more */
    for (int32_t i = 1; i < n_near; i++)
        if (near[i] != borrower)
            for (int64_t f = 1; f < FRAMES; f++)
                put_eds(e, s, f, (struct fly_rect){near[i] / COLS * SIDE, near[i] % COLS * SIDE, SIDE, SIDE}, 4);
    think(e);
    for (int32_t i = 1; i < n_near; i++)
        assert_int_equal(status[near[i]], near[i] == borrower ? FLY_QUANTIFY_POOLED : FLY_QUANTIFY_OK);
    memcpy(was, percent + borrower * 3, sizeof was);
    before = counts_of(e);
    put_eds(e, s, 1, lent, 7);
    while (step_kind(e, &n) != '-')
        continue;
    assert_int_equal(counts_of(e).chips_quantified - before.chips_quantified, 2);
    assert_memory_not_equal(was, percent + borrower * 3, sizeof was);
    assert_int_equal(fly_engine_composition(e, borrower, &made), FLY_OK);
    assert_memory_equal(made.percent, percent + borrower * 3, sizeof was);
    assert_int_equal(fly_engine_epoch(e), 1);
    /* the lender's data are in its own label; the borrower has nothing that could be late */
    assert_int_equal(map_of(e, FLY_EDS).stamp[lender], 7);
    assert_int_equal(map_of(e, FLY_EDS).stamp[borrower], 0);
    assert_int_equal(map_of(e, FLY_ENSEMBLE).stamp[lender], 7);
    assert_int_equal(map_of(e, FLY_ENSEMBLE).stamp[borrower], 0);
    fly_engine_close(&e);
    free(s);
}

static void a_borrower_with_data_of_its_own_keeps_their_stamp(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.profile = FLY_PROFILE_ROBUST, .given = given(), .min_counts = 100000};
    struct scene *s = scene_make(9);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    const struct fly_rect mine = {0, 0, SIDE, SIDE}, other = {0, SIDE, SIDE, SIDE};

    (void)state;
    put(e, s, &(struct piece){.rect = {0, 0, H, W}, .stamp = 3});
    put_eds(e, s, 0, mine, 5);
    while (fly_engine_step(e) == FLY_OK) /* made, not shown yet */
        continue;
    put_eds(e, s, 0, other, 6);
    think(e); /* made again for what it borrows */
    assert_int_equal(counts_of(e).chips_quantified, 3);
    assert_int_equal(map_of(e, FLY_EDS).stamp[0], 5);
    assert_int_equal(map_of(e, FLY_ENSEMBLE).stamp[0], 5);
    fly_engine_epoch(e);
    assert_int_equal(map_of(e, FLY_EDS).stamp[0], 0);
    assert_int_equal(map_of(e, FLY_ENSEMBLE).stamp[0], 0);
    fly_engine_close(&e);
    free(s);
}

/* One of two segments reports the lender: it is not complete, and yet it lends. */
static void a_chip_that_is_not_complete_lends_what_it_has(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.profile = FLY_PROFILE_ROBUST, .given = given(), .segments = 2, .min_counts = 300};
    struct scene *s = scene_make(13);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    struct piece p = {.eds = 1, .rect = {0, 0, SIDE, SIDE}, .stamp = 2};
    const uint8_t *status, *complete;
    const double *percent = fly_engine_percent(e, NULL, &status);
    struct fly_composition made;

    (void)state;
    for (p.segment = 0; p.segment < 2; p.segment++)
        put(e, s, &p);
    think(e);
    assert_int_equal(status[0], FLY_QUANTIFY_TOO_FEW);
    p = (struct piece){.eds = 1, .rect = {0, SIDE, SIDE, SIDE}, .stamp = 3};
    put(e, s, &p);
    think(e);
    fly_engine_spectra(e, NULL, &complete);
    assert_int_equal(complete[1], 0);
    assert_int_equal(status[0], FLY_QUANTIFY_POOLED);
    assert_int_equal(fly_engine_composition(e, 0, &made), FLY_OK);
    assert_memory_equal(made.percent, percent, 3 * sizeof *percent);
    assert_int_equal(map_of(e, FLY_EDS).labels[1], FLY_LABEL_PENDING);
    fly_engine_close(&e);
    free(s);
}

/* Chip 0 has no photon of its own, but neighbours to borrow from: that is a composition, and no label. What it
 * lacked is told as of its making, whatever came since. */
static void what_was_only_borrowed_leaves_the_word_to_the_image(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.profile = FLY_PROFILE_ROBUST, .given = given(), .min_counts = 20};
    struct scene *s = scene_make(9);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    const uint8_t *status;

    (void)state;
    memset(s->counts[0], 0, sizeof s->counts[0]);
    memset(s->counts[0][0][SIDE], 3, CHANNELS); /* all that chip 1 has */
    s->counts[0][3 * SIDE][4 * SIDE][9] = 5;    /* all that the last one has, and those around it */
    put_both(e, s, 0, (struct fly_rect){0, 0, H, W});
    think(e);
    fly_engine_percent(e, NULL, &status);
    assert_int_equal(status[0], FLY_QUANTIFY_POOLED);
    assert_int_equal(status[CHIPS - 1], FLY_QUANTIFY_TOO_FEW);
    for (int late = 0; late < 2; late++) {
        for (int i = 0; i < 2; i++) {
            int k = i ? CHIPS - 1 : 0;

            assert_int_equal(map_of(e, FLY_EDS).labels[k], FLY_LABEL_TOO_LITTLE);
            assert_int_equal(map_of(e, FLY_ENSEMBLE).labels[k], map_of(e, FLY_HAADF).labels[k]);
            assert_true(map_of(e, FLY_ENSEMBLE).confidence[k] == map_of(e, FLY_HAADF).confidence[k]);
        }
        put_eds(e, s, 1, (struct fly_rect){0, 0, SIDE, SIDE}, 5);
        fly_engine_support_changed(e);
        fly_engine_epoch(e);
    }
    think(e);
    assert_int_equal(status[0], FLY_QUANTIFY_OK);
    assert_true(map_of(e, FLY_EDS).labels[0] >= 0);
    fly_engine_close(&e);
    free(s);
}

/* ---- the feature, live ------------------------------------------------------------------------- */

/* Of two rows of chips one has its compositions, the other waits for its first ones. No pooling: the row that is
 * made knows nothing of the other. */
static void a_feature_switched_while_chips_wait_shows_what_there_is(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.profile = FLY_PROFILE_PAPER, .given = given()}, by_spectrum = rig;
    struct scene *s = scene_make(10);
    struct fly_engine *e = rig_open(NULL, &serial, &rig), *half = rig_open(NULL, &serial, &rig), *spectrum, *whole;
    const struct fly_rect top = rows_of(0, 1, SIDE), next = rows_of(1, 1, SIDE);
    const uint8_t *complete;

    (void)state;
    by_spectrum.feature = FLY_EDS_SPECTRUM;
    spectrum = rig_open(NULL, &serial, &by_spectrum);
    whole = rig_open(NULL, &serial, &rig);
    struct fly_engine *const all[] = {e, half, spectrum, whole};

    for (int i = 0; i < 4; i++) {
        put(all[i], s, &(struct piece){.rect = rows_of(0, 2, SIDE), .stamp = 1});
        put_eds(all[i], s, 0, top, 1);
        if (all[i] != spectrum && all[i] != whole)
            think(all[i]);
        if (all[i] != half)
            put_eds(all[i], s, 0, next, 8);
    }
    think(spectrum);
    think(whole);
    for (int k = 0; k < COLS; k++) /* there are compositions to compare */
        assert_true(fly_engine_percent(half, NULL, NULL)[k * 3 + 1] > 10.0);

    for (int again = 0; again < 2; again++) {
        /* by composition the second row is pending, and supports nothing: chips 5, 6 and 9 would */
        fly_engine_support_changed(e);
        fly_engine_epoch(e);
        fly_engine_spectra(e, NULL, &complete);
        for (int m = FLY_EDS; m < FLY_MODALITIES; m++) {
            enum fly_modality mod = (enum fly_modality)m;

            assert_memory_equal(map_of(e, mod).labels, map_of(half, mod).labels, CHIPS * sizeof(int32_t));
            assert_memory_equal(fly_engine_scores(e, mod), fly_engine_scores(half, mod),
                                CHIPS * FLY_CLASSES_MAX * sizeof(double));
        }
        for (int k = COLS; k < 2 * COLS; k++) {
            assert_int_equal(complete[k], 1);
            assert_int_equal(map_of(e, FLY_EDS).labels[k], FLY_LABEL_PENDING);
            assert_int_equal(map_of(e, FLY_EDS).stamp[k], 0);
        }
        /* by spectrum it is labelled without a step, by the data that wait */
        assert_int_equal(fly_engine_set_fewshot_feature(e, FLY_EDS_SPECTRUM), FLY_OK);
        assert_int_equal(fly_engine_epoch(e), 1);
        assert_memory_equal(map_of(e, FLY_EDS).labels, map_of(spectrum, FLY_EDS).labels, CHIPS * sizeof(int32_t));
        assert_memory_equal(fly_engine_scores(e, FLY_EDS), fly_engine_scores(spectrum, FLY_EDS),
                            CHIPS * FLY_CLASSES_MAX * sizeof(double));
        for (int k = 0; k < 2 * COLS; k++) {
            assert_true(map_of(e, FLY_EDS).labels[k] >= 0);
            assert_int_equal(map_of(e, FLY_EDS).stamp[k], k < COLS ? 0 : 8);
        }
        assert_int_equal(fly_engine_backlog(e, NULL, NULL), COLS);
        assert_int_equal(fly_engine_set_fewshot_feature(e, FLY_EDS_COMPOSITION), FLY_OK);
    }
    think(e);
    same(e, whole);
    for (int k = 0; k < 2 * COLS; k++)
        assert_int_equal(map_of(e, FLY_EDS).stamp[k], k < COLS ? 0 : 8);
    fly_engine_close(&e);
    fly_engine_close(&half);
    fly_engine_close(&spectrum);
    fly_engine_close(&whole);
    free(s);
}

/* By spectrum a label does not wait for a composition, and a composition changes no label. */
static void by_spectrum_nothing_waits_for_a_composition(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct rig_options rig = {.given = given(), .feature = FLY_EDS_SPECTRUM};
    struct scene *s = scene_make(12);
    struct fly_engine *e = rig_open(NULL, &serial, &rig);
    struct fly_engine_counts before;
    int32_t n = 0;

    (void)state;
    put_eds(e, s, 0, rows_of(0, 2, SIDE), 4);
    assert_int_equal(counts_of(e).features_changed, 2 * COLS);
    assert_int_equal(fly_engine_epoch(e), 1);
    for (int k = 0; k < 2 * COLS; k++) {
        assert_true(map_of(e, FLY_EDS).labels[k] >= 0);
        assert_int_equal(map_of(e, FLY_EDS).stamp[k], 4);
    }
    before = counts_of(e);
    assert_int_equal(step_kind(e, &n), 'Q');
    assert_int_equal(n, 2 * COLS);
    assert_int_equal(fly_engine_epoch(e), 0);
    assert_int_equal(counts_of(e).features_changed, before.features_changed);
    assert_int_equal(counts_of(e).chips_scored, before.chips_scored);
    fly_engine_close(&e);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_mix_of_data_steps_epochs_and_changes_of_mind_ends_as_batch),
        cmocka_unit_test(a_shift_takes_back_what_it_uncovers),
        cmocka_unit_test(what_is_needed_first_precedes_revisions_and_those_take_turns),
        cmocka_unit_test(a_first_composition_overtakes_revisions_that_wait),
        cmocka_unit_test(compositions_do_not_wait_for_the_range),
        cmocka_unit_test(a_step_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(a_neighbours_photons_remake_what_borrows_and_nothing_else),
        cmocka_unit_test(a_borrower_with_data_of_its_own_keeps_their_stamp),
        cmocka_unit_test(a_chip_that_is_not_complete_lends_what_it_has),
        cmocka_unit_test(what_was_only_borrowed_leaves_the_word_to_the_image),
        cmocka_unit_test(a_feature_switched_while_chips_wait_shows_what_there_is),
        cmocka_unit_test(by_spectrum_nothing_waits_for_a_composition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
