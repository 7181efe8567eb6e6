#include "engine/base/periodic.h"

#include <string.h>

static const char symbols[FLY_ATOMIC_NUMBER_MAX][3] = {
    "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",
    "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm",
};

const char *fly_symbol(int64_t atomic_number)
{
    return atomic_number >= 1 && atomic_number <= FLY_ATOMIC_NUMBER_MAX ? symbols[atomic_number - 1] : NULL;
}

int32_t fly_atomic_number(const char *symbol, size_t len)
{
    for (int32_t z = 1; z <= FLY_ATOMIC_NUMBER_MAX; z++)
        if (strlen(symbols[z - 1]) == len && memcmp(symbols[z - 1], symbol, len) == 0)
            return z;
    return 0;
}
