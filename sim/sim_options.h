/* sim/sim_options.h: the command line of `flyback sim`, as numbers that were checked. */
#ifndef FLY_SIM_SIM_OPTIONS_H
#define FLY_SIM_SIM_OPTIONS_H

#include <stdint.h>
#include <stdio.h>

#include "sim/acquire.h"
#include "sim/beam.h"
#include "sim/sender.h"
#include "sim/specimen.h"

struct fly_sim_options {
    struct fly_specimen_config specimen;
    struct fly_beam_config beam;
    struct fly_acquire_config acquire; /* session points into `session` */
    struct fly_sender_config sender;   /* addresses point into argv or at defaults */
    char session[FLY_SESSION_MAX + 1];
    char sample[128];
    int32_t chip_px, rows, cols;       /* for truth and support; rows, cols 0: as many as fit */
    double pace;                       /* 1 real time, 0 as fast as taken */
    int64_t t0_ns;                     /* stamp of the first pixel; 0: now */
    const char *truth_dir, *support_file, *judge_file; /* NULL: none */
    int32_t support_shots;
    double connect_timeout_s, stop_timeout_s, patience_s;
    int quiet, help;
};

/* Fill options from defaults and argv (argv[0] is the subcommand's name). FLY_ERANGE names the option
 * and what is allowed. */
FLY_MUST_USE int fly_sim_options_read(struct fly_sim_options *options, int argc, char **argv);

/* What --help says. Lent. */
const char *fly_sim_help(void);

#endif
