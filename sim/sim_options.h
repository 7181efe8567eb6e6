/* sim/sim_options.h: the command line of `flyback sim`, as numbers that were checked. */
#ifndef FLY_SIM_SIM_OPTIONS_H
#define FLY_SIM_SIM_OPTIONS_H

#include <stdint.h>
#include <stdio.h>

#include "sim/acquire.h"
#include "sim/beam.h"
#include "sim/obey.h"
#include "sim/sender.h"
#include "sim/specimen.h"

/* Of an acquisition that is steered (obey_options.c). */
struct fly_obey_options {
    const char *mode;       /* "ask", "auto"; NULL: nobody steers */
    const char *address;    /* of whom it attaches to */
    const char *key;        /* their public key; NULL: the one of Flyback's control socket in ask, none in auto */
    struct fly_curve curve; /* our keys and theirs */
    const char *from;       /* a recorded session as the specimen; NULL: the simulated one */
    int32_t from_mib;       /* most memory for it */
    struct fly_obey_config config;
    double dwell_max_us;    /* longest dwell that is taken; 0: 32 survey dwells */
    double dose_budget;     /* mean of the map, survey dwells; 0: none */
    double seconds;         /* of the beam's own time; 0: no end */
    enum fly_signal signal; /* what the survey measures */
    char given[32];         /* the first of these options; "": none */
};

struct fly_sim_options {
    struct fly_obey_options obey;
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
    const char *keys, *server_key;     /* the same; read into sender.curve */
    int32_t support_shots;
    double connect_timeout_s, stop_timeout_s, patience_s;
    int quiet, help;
};

/* Fill options from defaults and argv (argv[0] is the subcommand's name). FLY_ERANGE names the option
 * and what is allowed. */
FLY_MUST_USE int fly_sim_options_read(struct fly_sim_options *options, int argc, char **argv);

/* What --help says. Lent. */
const char *fly_sim_help(void);

/* One option of the obeying kind: its name ("--refuse") and its value. FLY_EAGAIN: it is none of them. */
FLY_MUST_USE int fly_obey_option(struct fly_obey_options *options, const char *name, const char *text);
void fly_obey_options_default(struct fly_obey_options *options);

#endif
