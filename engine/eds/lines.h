/* engine/eds/lines.h: which X-rays an element sends, what it weighs, and how a detector sees it.
 *
 * Two sets of the same shape. `golden` is golden definition 7 to the letter: twelve elements, invented
 * but plausible k-factors, areas counted in the main line. `product` is for real data: eighteen elements,
 * every line of a shell, k-factors of one real instrument, areas counted over the whole shell.
 *
 * A family is what one shell sends: lines in fixed ratio, named by its main line. A k-factor belongs to
 * a family and is a Cliff-Lorimer weight factor: C_A / C_B = k_A I_A / (k_B I_B). Only ratios within
 * one set mean anything: k-factors of different instruments are never to be mixed.
 *
 * Energies in keV, masses in unified atomic mass units.
 * Threads  all of it is constant.
 */
#ifndef FLY_EDS_LINES_H
#define FLY_EDS_LINES_H

#include <stdint.h>

#include "engine/base/err.h"

enum {
    FLY_ELEMENTS_MAX = 18, /* of a set */
    FLY_FAMILY_LINES = 10,
    FLY_FAMILIES_MAX = 3,  /* of an element: K, L, M */
};

enum fly_line_set { FLY_LINES_GOLDEN, FLY_LINES_PRODUCT, FLY_LINE_SETS };

struct fly_eds_line {
    double kev;
    double weight; /* relative within the family */
};

struct fly_eds_family {
    const char *name;        /* "Ka": the main line, which stands first */
    double k_200kv, k_300kv; /* weight factor of the family; 0: none is known, it can be fitted only */
    int32_t n_lines;
    struct fly_eds_line lines[FLY_FAMILY_LINES];
};

struct fly_element {
    const char *symbol;
    double mass_u;
    int32_t n_families;
    struct fly_eds_family families[FLY_FAMILIES_MAX]; /* the one to quantify by first */
};

/* The elements of a set, in the set's order (golden: the paper's). Returns how many. */
int32_t fly_elements(enum fly_line_set set, const struct fly_element **elements);

/* Look up "Fe" or "Fe_Ka" (Velox's "Fe_Ka1" too): index of the element in the set and of the family
 * within the element; without a line the family is the one the set quantifies by, and *named is 0.
 *
 * FLY_ERANGE  the set has no such element, or the element no such family; nothing is filled
 */
FLY_MUST_USE int fly_line_find(enum fly_line_set set, const char *name, int32_t *element, int32_t *family,
                               int *named);

/* Index of the element of that symbol, -1 when the set lacks it. */
int32_t fly_element_find(enum fly_line_set set, const char *symbol);

/* A family's k at a beam energy: straight between the two that are known, held beyond them. */
double fly_family_k(const struct fly_eds_family *family, double beam_kev);

/* Detector resolution, keV, at an energy, from its FWHM at Mn Ka (5.8987 keV). Fiori and Newbury 1978,
 * as HyperSpy: sqrt(2.5 (E - E_Mn) + FWHM_Mn^2), E in eV. Never below 20 eV, where the formula ends. */
double fly_fwhm_kev(double kev, double fwhm_mn_ev);

#endif
