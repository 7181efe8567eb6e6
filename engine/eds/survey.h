/* engine/eds/survey.h: the lines of most elements, to recognise a peak by; not to quantify with.
 *
 * Elements of the product table come with its lines. Of the others, which Flyback cannot quantify, it is
 * enough to know where the strongest lines lie: their weights within a family follow simple rules.
 *
 * Sources  energies: the line list of a Velox k-factor export (pyTEMlib, MIT), of which the figures are
 *          facts; Ka2 and Lg1 and the weights of the elements outside the product table by rule (survey.c).
 * Threads  the table is the caller's once filled.
 */
#ifndef FLY_EDS_SURVEY_H
#define FLY_EDS_SURVEY_H

#include "engine/eds/lines.h"

enum { FLY_SURVEY_MAX = 200 };

struct fly_survey_family {
    int32_t z;       /* atomic number; families of an element stand together, the highest energy first */
    int32_t element; /* index in the product table, -1: not in it */
    char name[4];    /* "Ka" */
    double share;    /* photons of this family for one of the next higher family of the element, without
                      * absorption; 0 for the highest */
    int32_t n_lines;
    struct fly_eds_line lines[FLY_FAMILY_LINES]; /* the main line first */
};

/* Fill the table, in the order of atomic numbers. Returns how many, at most FLY_SURVEY_MAX. */
int32_t fly_survey(struct fly_survey_family families[FLY_SURVEY_MAX]);

#endif
