/* engine/eds/quantifier.h: what a quantifier holds. For quantify*.c alone; the contract is quantify.h. */
#ifndef FLY_EDS_QUANTIFIER_H
#define FLY_EDS_QUANTIFIER_H

#include "engine/eds/quantify.h"

struct fly_quantifier {
    struct fly_eds_axis axis;
    enum fly_quantify_method method;
    int32_t min_counts;
    int32_t n;         /* elements quantified: the first of the choices */
    int32_t n_choices; /* with those that are only fitted */
    struct fly_eds_choice choices[FLY_ELEMENTS_MAX];
    double k[FLY_ELEMENTS_MAX], mass_u[FLY_ELEMENTS_MAX];
    uint8_t users_k[FLY_ELEMENTS_MAX];
    int k_mixed;
    int32_t first;     /* channel that is not masked */
    int32_t m;
    struct fly_eds_column columns[FLY_COLUMNS_MAX];
    double *p;         /* fit, window: (E, n) */
    int32_t *bin_of;   /* ml: (E), of channels from first on */
    struct fly_mixture mixture; /* ml */
};

#endif
