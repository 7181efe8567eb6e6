#include "engine/eds/survey.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/periodic.h"

/* Energies in eV; 0: out of any detector's view, or weak. */
struct known {
    int16_t z;
    int32_t ka, kb, la, lb1, lb2, ma, mb;
};

static const struct known others[] = {
    {9, 677, 0, 0, 0, 0, 0, 0},
    {11, 1041, 1071, 0, 0, 0, 0, 0},
    {12, 1254, 1302, 0, 0, 0, 0, 0},
    {15, 2013, 2139, 0, 0, 0, 0, 0},
    {16, 2307, 2464, 0, 0, 0, 0, 0},
    {17, 2622, 2816, 0, 0, 0, 0, 0},
    {19, 3314, 3590, 0, 0, 0, 0, 0},
    {21, 4091, 4461, 394, 400, 0, 0, 0},
    {23, 4952, 5427, 505, 518, 0, 0, 0},
    {25, 5899, 6490, 633, 644, 0, 0, 0},
    {28, 7478, 8265, 851, 868, 0, 0, 0},
    {30, 8639, 9572, 1012, 1035, 0, 0, 0},
    {33, 10544, 11726, 1282, 1317, 0, 0, 0},
    {34, 11222, 12496, 1379, 1420, 0, 0, 0},
    {35, 11924, 13292, 1481, 1526, 0, 0, 0},
    {37, 13395, 14961, 1694, 1752, 0, 0, 0},
    {39, 14958, 16738, 1923, 1996, 0, 0, 0},
    {40, 15775, 17667, 2042, 2124, 2219, 0, 0},
    {41, 16615, 18623, 2166, 2257, 2367, 0, 0},
    {44, 19279, 21657, 2558, 2683, 2836, 0, 0},
    {45, 20216, 22724, 2697, 2834, 3001, 0, 0},
    {46, 21177, 23819, 2839, 2990, 3172, 0, 0},
    {47, 22163, 24942, 2984, 3151, 3348, 0, 0},
    {48, 0, 0, 3134, 3316, 3528, 0, 0},
    {49, 0, 0, 3287, 3487, 3714, 0, 0},
    {50, 0, 0, 3444, 3663, 3905, 0, 0},
    {51, 0, 0, 3605, 3844, 4101, 0, 0},
    {52, 0, 0, 3769, 4030, 4302, 0, 0},
    {53, 0, 0, 3938, 4221, 4508, 0, 0},
    {55, 0, 0, 4286, 4620, 4935, 0, 0},
    {56, 0, 0, 4466, 4828, 5157, 0, 0},
    {58, 0, 0, 4840, 5263, 5613, 883, 902},
    {59, 0, 0, 5033, 5489, 5851, 925, 950},
    {60, 0, 0, 5230, 5722, 6090, 972, 997},
    {62, 0, 0, 5636, 6206, 6587, 1074, 1101},
    {63, 0, 0, 5846, 6457, 6844, 1125, 1158},
    {64, 0, 0, 6058, 6713, 7102, 1177, 1208},
    {65, 0, 0, 6273, 6977, 7367, 1233, 1266},
    {66, 0, 0, 6495, 7248, 7636, 1291, 1328},
    {67, 0, 0, 6720, 7526, 7910, 1348, 1388},
    {68, 0, 0, 6949, 7811, 8190, 1405, 1449},
    {69, 0, 0, 7180, 8102, 8468, 1462, 1509},
    {70, 0, 0, 7416, 8402, 8759, 1522, 1570},
    {71, 0, 0, 7656, 8709, 9049, 1582, 1633},
    {72, 0, 0, 7899, 9023, 9347, 1645, 1699},
    {73, 0, 0, 8146, 9343, 9652, 1710, 1768},
    {74, 0, 0, 8398, 9672, 9961, 1776, 1835},
    {75, 0, 0, 8652, 10010, 10275, 1842, 1908},
    {76, 0, 0, 8911, 10354, 10598, 1914, 1985},
    {77, 0, 0, 9175, 10708, 10920, 1980, 2053},
    {79, 0, 0, 9713, 11443, 11585, 2123, 2205},
    {80, 0, 0, 9989, 11824, 11924, 2196, 2283},
    {81, 0, 0, 10268, 12213, 12271, 2271, 2362},
    {82, 0, 0, 10551, 12614, 12622, 2346, 2443},
    {83, 0, 0, 10839, 13024, 12979, 2422, 2526},
    {90, 0, 0, 12968, 16202, 15624, 2997, 3146},
    {92, 0, 0, 13615, 17220, 16429, 3171, 3336},
};

static void add_line(struct fly_survey_family *family, double ev, double weight)
{
    if (ev > 0.0 && weight > 0.0)
        family->lines[family->n_lines++] = (struct fly_eds_line){ev / 1000.0, weight};
}

/* Kb grows from nothing as the M shell fills, and is a good eighth from the transition metals on. Ka2
 * leaves Ka1 with the fourth power of Z: 84 eV at Zr. */
static void fill_k(struct fly_survey_family *family, const struct known *of)
{
    double z = of->z, kb = z < 19.0 ? 0.0013 * (z - 10.0) * (z - 10.0) : 0.105 + 0.0012 * (z - 19.0);

    strcpy(family->name, "Ka");
    add_line(family, of->ka, 1.0);
    if (z > 30.0)
        add_line(family, of->ka - 84.0 * pow(z / 40.0, 4.0), 0.52);
    add_line(family, of->kb, z > 30.0 ? 1.52 * kb : kb);
}

/* Lg1 lies as far above Lb1 as Lb2 above La, as both end at N shells. */
static void fill_l(struct fly_survey_family *family, const struct known *of)
{
    strcpy(family->name, "La");
    add_line(family, of->la, 1.0);
    add_line(family, of->lb1, of->z < 30 ? 0.2 : 0.42);
    add_line(family, of->lb2, of->z < 45 ? 0.05 : 0.2);
    add_line(family, of->lb2 ? of->lb1 + 1.03 * (of->lb2 - of->la) : 0.0, of->z < 45 ? 0.02 : 0.08);
    add_line(family, of->z < 38 ? 0.0 : 0.88 * of->la, 0.04);
}

static void fill_m(struct fly_survey_family *family, const struct known *of)
{
    strcpy(family->name, "Ma");
    add_line(family, of->ma, 1.0);
    add_line(family, of->mb, 0.6);
    add_line(family, 1.137 * of->ma, 0.08);
    add_line(family, 0.79 * of->ma, 0.02);
}

/* L photons for one of K: as many at Zn, 3.3 times as many at Zr; M for one of L: 2.4 (Pt, Au). From the
 * k-factors of the source. */
static double share_of(int32_t z, const char *name)
{
    if (name[0] == 'L')
        return z <= 30 ? (z < 26 ? 0.35 : 0.7) : exp(0.12 * (z - 30));
    return name[0] == 'M' ? 2.4 : 0.0;
}

static int32_t add_other(struct fly_survey_family *families, int32_t n, const struct known *of)
{
    static void (*const fill[])(struct fly_survey_family *, const struct known *) = {fill_k, fill_l, fill_m};
    const int32_t main[] = {of->ka, of->la, of->ma};
    int first = 1;

    for (int shell = 0; shell < 3; shell++) {
        struct fly_survey_family *family = &families[n];

        if (main[shell] == 0)
            continue;
        memset(family, 0, sizeof *family);
        family->z = of->z;
        family->element = -1;
        fill[shell](family, of);
        family->share = first ? 0.0 : share_of(of->z, family->name);
        first = 0;
        n++;
    }
    return n;
}

/* The element's families, the highest energy first. */
static int32_t add_product(struct fly_survey_family *families, int32_t n, int32_t element)
{
    const struct fly_element *elements;
    const struct fly_eds_family *above = NULL;
    const char *const names[] = {"Ka", "La", "Ma"};

    fly_elements(FLY_LINES_PRODUCT, &elements);
    for (int shell = 0; shell < 3; shell++)
        for (int32_t f = 0; f < elements[element].n_families; f++) {
            const struct fly_eds_family *from = &elements[element].families[f];
            struct fly_survey_family *family = &families[n];

            if (strcmp(from->name, names[shell]) != 0)
                continue;
            memset(family, 0, sizeof *family);
            family->z = fly_atomic_number(elements[element].symbol, strlen(elements[element].symbol));
            family->element = element;
            snprintf(family->name, sizeof family->name, "%s", from->name);
            family->n_lines = from->n_lines;
            memcpy(family->lines, from->lines, sizeof family->lines);
            if (above && above->k_200kv > 0.0 && from->k_200kv > 0.0)
                family->share = above->k_200kv / from->k_200kv;
            else if (above)
                family->share = share_of(family->z, from->name);
            above = from;
            n++;
        }
    return n;
}

int32_t fly_survey(struct fly_survey_family families[FLY_SURVEY_MAX])
{
    size_t n_others = sizeof others / sizeof *others, next = 0;
    int32_t n = 0;

    for (int32_t z = 1; z <= FLY_ATOMIC_NUMBER_MAX; z++) {
        int32_t element = fly_element_find(FLY_LINES_PRODUCT, fly_symbol(z));

        if (element >= 0)
            n = add_product(families, n, element);
        else if (next < n_others && others[next].z == z)
            n = add_other(families, n, &others[next++]);
    }
    FLY_ASSERT(next == n_others && n <= FLY_SURVEY_MAX);
    return n;
}
