#include "engine/eds/lines.h"

#include <math.h>
#include <string.h>

/* Golden definition 7: energies and weights as in HyperSpy 1.7.3's table (exspy's xray_lines), masses the
 * standard atomic weights it uses; the k-factors are invented. */
static const struct fly_element golden[] = {
    {"Al", 26.9815386, 1, {
        {"Ka", 1.05, 1.05, 2, {{1.4865, 1.0}, {1.5596, 0.0132}}},
    }},
    {"C", 12.0107, 1, {
        {"Ka", 3.2, 3.2, 1, {{0.2774, 1.0}}},
    }},
    {"Cr", 51.9961, 2, {
        {"Ka", 1.15, 1.15, 2, {{5.4147, 1.0}, {5.9467, 0.134}}},
        {"La", 0.0, 0.0, 2, {{0.5722, 1.0}, {0.5004, 0.6903}}},
    }},
    {"Cu", 63.546, 2, {
        {"Ka", 1.5, 1.5, 2, {{8.0478, 1.0}, {8.9053, 0.1316}}},
        {"La", 0.0, 0.0, 2, {{0.9295, 1.0}, {0.8113, 0.084}}},
    }},
    {"Fe", 55.845, 2, {
        {"Ka", 1.3, 1.3, 2, {{6.4039, 1.0}, {7.058, 0.1272}}},
        {"La", 0.0, 0.0, 2, {{0.7045, 1.0}, {0.6152, 0.3086}}},
    }},
    {"Ga", 69.723, 2, {
        {"Ka", 1.8, 1.8, 2, {{9.2517, 1.0}, {10.2642, 0.1287}}},
        {"La", 0.0, 0.0, 2, {{1.098, 1.0}, {1.1249, 0.167}}},
    }},
    {"La", 138.90547, 2, {
        {"La", 2.4, 2.4, 5,
         {{4.651, 1.0}, {5.0421, 0.4263}, {5.3838, 0.1958}, {5.1429, 0.1341}, {5.7917, 0.0766}}},
        {"Ma", 0.0, 0.0, 2, {{0.8173, 1.0}, {1.0245, 0.4}}},
    }},
    {"N", 14.0067, 1, {
        {"Ka", 3.4, 3.4, 1, {{0.3924, 1.0}}},
    }},
    {"O", 15.9994, 1, {
        {"Ka", 2.0, 2.0, 1, {{0.5249, 1.0}}},
    }},
    {"Pt", 195.084, 2, {
        {"La", 3.6, 3.6, 4, {{9.4421, 1.0}, {11.0707, 0.4088}, {11.2504, 0.2183}, {8.2677, 0.0554}}},
        {"Ma", 0.0, 0.0, 2, {{2.0505, 1.0}, {2.1276, 0.5944}}},
    }},
    {"Sr", 87.62, 2, {
        {"La", 1.9, 1.9, 2, {{1.8065, 1.0}, {1.8718, 0.3797}}},
        {"Ka", 0.0, 0.0, 2, {{14.165, 1.0}, {15.8355, 0.15}}},
    }},
    {"Ti", 47.867, 2, {
        {"Ka", 1.1, 1.1, 2, {{4.5109, 1.0}, {4.9318, 0.1167}}},
        {"La", 0.0, 0.0, 2, {{0.4555, 0.694}, {0.3952, 1.0}}},
    }},
};

/* Energies and weights: exspy's xray_lines, of which the figures are facts. It gives the energy of
 * alpha-1 alone; where alpha-2 lies far enough to widen the peak, Sr and Mo K, both stand here, so that
 * their mean is xraylib 4.0's (14.142 and 17.443 keV). Masses: IUPAC standard atomic weights.
 * k: weight factors at 200 kV relative to Si Ka1, exported by Velox on a Spectra 300 (pyTEMlib,
 * MIT), the main line's for the whole family; at 300 kV scaled by the ratio of the ionisation cross-
 * sections, which changes no ratio by more than 2.5 %. La M and the K lines of La and Pt have none. The
 * weights of the soft L lines of Ti, Cr and Fe are uncertain: they are fitted, not quantified by. Sr is
 * quantified by K: on SrTiO3 its L lines, among which those of Si lie, give a tenth too much. */
static const struct fly_element product[] = {
    {"Al", 26.9815, 1, {
        {"Ka", 1.0185, 1.0199, 2,
         {{1.4865, 1.0}, {1.5596, 0.0132}}},
    }},
    {"C", 12.011, 1, {
        {"Ka", 1.6473, 1.6684, 1,
         {{0.2774, 1.0}}},
    }},
    {"Cr", 51.9961, 2, {
        {"Ka", 1.24, 1.2241, 2,
         {{5.4147, 1.0}, {5.9467, 0.134}}},
        {"La", 3.2428, 3.2665, 4,
         {{0.5722, 1.0}, {0.6521, 0.0309}, {0.5004, 0.6903}, {0.5096, 0.2353}}},
    }},
    {"Cu", 63.546, 2, {
        {"Ka", 1.5806, 1.5551, 2,
         {{8.0478, 1.0}, {8.9053, 0.13157}}},
        {"La", 2.1772, 2.1853, 5,
         {{0.9295, 1.0}, {0.9494, 0.03197}, {1.0225, 0.00114}, {0.8113, 0.08401}, {0.8312, 0.01984}}},
    }},
    {"Fe", 55.845, 2, {
        {"Ka", 1.3332, 1.3138, 2,
         {{6.4039, 1.0}, {7.058, 0.1272}}},
        {"La", 2.6998, 2.7155, 4,
         {{0.7045, 1.0}, {0.7921, 0.02448}, {0.6152, 0.3086}, {0.6282, 0.12525}}},
    }},
    {"Ga", 69.723, 2, {
        {"Ka", 1.8474, 1.8164, 2,
         {{9.2517, 1.0}, {10.2642, 0.1287}}},
        {"La", 2.0277, 2.0329, 5,
         {{1.098, 1.0}, {1.1249, 0.16704}, {1.1948, 0.0461}, {0.9573, 0.0544}, {0.9842, 0.02509}}},
    }},
    {"La", 138.9055, 3, {
        {"La", 1.6427, 1.6285, 9,
         {{4.651, 1.0}, {5.0421, 0.42631}, {5.3838, 0.19579}, {5.1429, 0.1341}, {5.0619, 0.0872},
          {5.7917, 0.07656}, {6.0749, 0.0329}, {4.1214, 0.0432}, {4.5293, 0.015}}},
        {"Ka", 0.0, 0.0, 2,
         {{33.4419, 1.0}, {37.8012, 0.15}}},
        {"Ma", 0.0, 0.0, 5,
         {{0.8173, 1.0}, {1.1055, 0.022}, {0.8162, 0.9}, {1.0245, 0.4}, {0.6403, 0.06}}},
    }},
    {"N", 14.007, 1, {
        {"Ka", 1.3046, 1.319, 1,
         {{0.3924, 1.0}}},
    }},
    {"O", 15.999, 1, {
        {"Ka", 1.1453, 1.1557, 1,
         {{0.5249, 1.0}}},
    }},
    {"Pt", 195.084, 3, {
        {"La", 2.3399, 2.3498, 9,
         {{9.4421, 1.0}, {11.0707, 0.4088}, {11.2504, 0.21829}, {11.2345, 0.0783}, {10.8534, 0.0662},
          {12.9418, 0.08448}, {13.3609, 0.0218}, {8.2677, 0.0554}, {9.9766, 0.01399}}},
        {"Ka", 0.0, 0.0, 2,
         {{66.8311, 1.0}, {75.7494, 0.15}}},
        {"Ma", 1.0028, 0.99884, 7,
         {{2.0505, 1.0}, {2.6957, 0.02901}, {2.63796, 0.005}, {2.63927, 0.01}, {2.1276, 0.59443},
          {2.3321, 0.08505}, {1.6026, 0.01344}}},
    }},
    {"Sr", 87.62, 2, {
        {"Ka", 4.3082, 4.235, 3,
         {{14.165, 1.0}, {14.098, 0.52}, {15.8355, 0.228}}},
        {"La", 1.7536, 1.7566, 6,
         {{1.8065, 1.0}, {1.8718, 0.37975}, {1.9472, 0.047}, {2.1964, 0.0065}, {1.5821, 0.04309},
          {1.6493, 0.01669}}},
    }},
    {"Ti", 47.867, 2, {
        {"Ka", 1.1678, 1.1553, 2,
         {{4.5109, 1.0}, {4.9318, 0.11673}}},
        {"La", 4.0034, 4.0382, 4,
         {{0.4555, 0.694}, {0.5291, 0.166}, {0.3952, 1.0}, {0.4012, 0.491}}},
    }},
    {"Si", 28.085, 1, {
        {"Ka", 1.0, 1.0, 2,
         {{1.7397, 1.0}, {1.8389, 0.02779}}},
    }},
    {"Ge", 72.63, 2, {
        {"Ka", 2.0187, 1.99, 2,
         {{9.8864, 1.0}, {10.9823, 0.1322}}},
        {"La", 1.9701, 1.9745, 5,
         {{1.188, 1.0}, {1.2191, 0.16704}, {1.2935, 0.04429}, {1.0367, 0.0511}, {1.0678, 0.02}}},
    }},
    {"Co", 58.9332, 2, {
        {"Ka", 1.4186, 1.397, 2,
         {{6.9303, 1.0}, {7.6494, 0.1277}}},
        {"La", 2.5084, 2.521, 4,
         {{0.7757, 1.0}, {0.8661, 0.0238}, {0.6779, 0.2157}, {0.6929, 0.0833}}},
    }},
    {"Ar", 39.95, 1, {
        {"Ka", 1.1034, 1.0978, 2,
         {{2.9577, 1.0}, {3.1905, 0.10169}}},
    }},
    {"Ca", 40.078, 2, {
        {"Ka", 1.0262, 1.0184, 2,
         {{3.6917, 1.0}, {4.0127, 0.112}}},
        {"La", 5.364, 5.4179, 2,
         {{0.3027, 1.0}, {0.3063, 0.23}}},
    }},
    {"Mo", 95.95, 2, {
        {"La", 1.6188, 1.6141, 8,
         {{2.2932, 1.0}, {2.3948, 0.32736}, {2.5184, 0.04509}, {2.4732, 0.06299}, {2.6233, 0.01335},
          {2.8307, 0.0105}, {2.0156, 0.0415}, {2.1205, 0.0128}}},
        {"Ka", 8.2977, 8.1566, 3,
         {{17.4793, 1.0}, {17.374, 0.52}, {19.6072, 0.228}}},
    }},
};

int32_t fly_elements(enum fly_line_set set, const struct fly_element **elements)
{
    FLY_ASSERT(set < FLY_LINE_SETS);
    *elements = set == FLY_LINES_GOLDEN ? golden : product;
    return set == FLY_LINES_GOLDEN ? (int32_t)(sizeof golden / sizeof *golden)
                                   : (int32_t)(sizeof product / sizeof *product);
}

static int32_t find_element(enum fly_line_set set, const char *symbol, size_t len)
{
    const struct fly_element *elements;
    int32_t n = fly_elements(set, &elements);

    for (int32_t e = 0; e < n; e++)
        if (strlen(elements[e].symbol) == len && memcmp(elements[e].symbol, symbol, len) == 0)
            return e;
    return -1;
}

int32_t fly_element_find(enum fly_line_set set, const char *symbol)
{
    return find_element(set, symbol, strlen(symbol));
}

/* "Ka" or, as Velox writes the first of the alphas, "Ka1". */
static int is_family(const char *line, const char *name)
{
    size_t len = strlen(name);

    return strncmp(line, name, len) == 0 && (line[len] == '\0' || strcmp(line + len, "1") == 0);
}

int fly_line_find(enum fly_line_set set, const char *name, int32_t *element, int32_t *family, int *named)
{
    const char *bar = strchr(name, '_');
    int32_t e = find_element(set, name, bar ? (size_t)(bar - name) : strlen(name));
    const struct fly_element *elements;

    fly_elements(set, &elements);
    if (e < 0)
        return fly_fail(FLY_ERANGE, "element \"%.24s\" is not in the %s line table", name,
                        set == FLY_LINES_GOLDEN ? "golden" : "built-in");
    for (int32_t f = 0; f < elements[e].n_families; f++)
        if (!bar || is_family(bar + 1, elements[e].families[f].name)) {
            *element = e;
            *family = f;
            *named = bar != NULL;
            return FLY_OK;
        }
    return fly_fail(FLY_ERANGE, "line \"%.24s\" is not the main line of a family of %s", name,
                    elements[e].symbol);
}

double fly_family_k(const struct fly_eds_family *family, double beam_kev)
{
    double at = (beam_kev - 200.0) / 100.0;

    at = at < 0.0 ? 0.0 : at > 1.0 ? 1.0 : at;
    return family->k_200kv + (family->k_300kv - family->k_200kv) * at;
}

double fly_fwhm_kev(double kev, double fwhm_mn_ev)
{
    double square = 2.5 * (kev - 5.8987) * 1000.0 + fwhm_mn_ev * fwhm_mn_ev;

    return sqrt(square > 400.0 ? square : 400.0) / 1000.0;
}
