#include "sim/units.h"

#include <stdio.h>
#include <string.h>

double fly_unit_nm(const char *units)
{
    static const struct {
        const char *name;
        double nm;
    } table[] = {
        {"m", 1e9},         {"cm", 1e7},           {"mm", 1e6},     {"\xc2\xb5m", 1e3},
        {"\xce\xbcm", 1e3}, {"um", 1e3},           {"micron", 1e3}, {"nm", 1.0},
        {"\xc3\x85", 0.1},  {"\xe2\x84\xab", 0.1}, {"A", 0.1},      {"angstrom", 0.1},
        {"Angstrom", 0.1},  {"pm", 1e-3},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(units, table[i].name) == 0)
            return table[i].nm;
    return 0.0;
}

double fly_unit_ev(const char *units)
{
    return strcmp(units, "keV") == 0 ? 1e3 : strcmp(units, "eV") == 0 ? 1.0 : 0.0;
}

int fly_unit_of_pattern(const char *units)
{
    return strchr(units, '/') || strstr(units, "rad");
}

void fly_detector_of_title(char out[FLY_NAME_MAX + 1], const char *title)
{
    static const char *const known[] = {"HAADF", "MAADF", "LAADF", "ADF",  "ABF",  "DF4", "DF2", "DF",
                                        "BF",    "SE",    "BSE",   "iDPC", "dDPC", "iCOM"};
    char words[256];
    char *rest = words, *word;

    snprintf(words, sizeof words, "%s", title);
    while ((word = strtok_r(rest, " _-.,;:()[]/", &rest)) != NULL)
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcasecmp(word, known[i]) == 0) {
                snprintf(out, FLY_NAME_MAX + 1, "%s", known[i]);
                return;
            }
    snprintf(out, FLY_NAME_MAX + 1, "HAADF");
}
