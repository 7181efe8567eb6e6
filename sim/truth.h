/* sim/truth.h: what a map of a specimen should say, chip by chip, and the files that tell it.
 *
 * A chip's class is the phase that most of its pixels have (ties to the lower class); its purity is
 * their share. Classes are numbered as enum fly_phase and named by fly_phase_name. Truth is that of
 * the specimen where frame 0 finds it.
 *
 * Index    chip k = row * cols + col, as in the engine.
 * Threads  a truth is constant once open.
 */
#ifndef FLY_SIM_TRUTH_H
#define FLY_SIM_TRUTH_H

#include <stdint.h>

#include "engine/base/err.h"
#include "sim/beam.h"
#include "sim/specimen.h"

struct fly_truth {
    int32_t chip_px, pitch_px, origin_px[2];
    int32_t rows, cols;
    int32_t *label;  /* (rows, cols), enum fly_phase */
    float *purity;   /* (rows, cols), 0.25 .. 1 */
    int32_t count[FLY_PHASES];
};

/* Chips of chip_px, pitch_px apart (0: chip_px) from origin_px y, x. rows, cols 0: as many as fit.
 * FLY_ERANGE: they leave the scan; FLY_ENOMEM. */
FLY_MUST_USE int fly_truth_open(struct fly_truth **out, const struct fly_specimen *specimen,
                                int32_t chip_px, int32_t pitch_px, const int32_t origin_px[2],
                                int32_t rows, int32_t cols);
void fly_truth_close(struct fly_truth **truth);

/* Up to `shots` chips of a class for a support set, the purest ones, as far apart as taking every so
 * manieth of them in index order makes it. Fills chips, returns how many. */
int32_t fly_truth_support(const struct fly_truth *truth, enum fly_phase phase, int32_t shots,
                          int32_t *chips);

/* A support set {class: [[r, c] ...]} of the classes that the scan shows. FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_truth_write_support(const struct fly_truth *truth, int32_t shots, const char *path);

/* Into dir, made if absent: truth_px.npy (H, W) u8, truth_chip.npy (rows, cols) i32, truth_purity.npy
 * f32, and truth.json: classes with d-spacing and composition, geometry, seeds, rates. */
FLY_MUST_USE int fly_truth_write(const struct fly_truth *truth, const struct fly_specimen *specimen,
                                 const struct fly_beam *beam, const char *dir);

#endif
