#include "engine/graph/code.h"

#include <math.h>

#include "engine/base/err.h"

/* Before any step is moved onto an edge of p100. The steps lie halfway between two weights, except that
 * every sixteenth lies on its weight: there m2 has its edges and centres. */
static int32_t plain_code(double similarity)
{
    double x = similarity * FLY_WEIGHT_ONE;
    int32_t code;

    if (x >= FLY_CODE_TOP)
        return FLY_CODE_TOP;
    code = (int32_t)(x + 0.5);
    code -= code % 16 == 0 && x < (double)code;
    return code > 1 ? code : 1;
}

uint16_t fly_code_of_p100(int32_t k)
{
    double edge = fly_p100_edge(k);
    int32_t code = plain_code(edge);

    FLY_ASSERT(k >= 0 && k <= FLY_P100_BINS);
    if (k == 0)
        return 0;
    /* What lies below the edge in its step goes to the code before, unless a step of m2 stands between:
     * then what lies above goes to the code after. */
    return (uint16_t)(code % 16 == 0 && edge * FLY_WEIGHT_ONE > (double)code ? code + 1 : code);
}

uint16_t fly_code_of(double similarity)
{
    int32_t code, bin, first;

    FLY_ASSERT(similarity >= -1.0);
    if (similarity == 0.0)
        return 0;
    if (similarity < 0.0) {
        bin = (int32_t)((similarity + 1.0) * 1024.0);
        return (uint16_t)(FLY_CODE_NEGATIVE + (bin < 1023 ? bin : 1023));
    }
    code = plain_code(similarity);
    bin = similarity < 1.0 ? (int32_t)(similarity * 100.0) : FLY_P100_BINS;
    bin -= similarity < fly_p100_edge(bin);
    bin += bin < FLY_P100_BINS && similarity >= fly_p100_edge(bin + 1);
    first = fly_code_of_p100(bin);
    if (code < first)
        return (uint16_t)first;
    if (bin < FLY_P100_BINS && code >= fly_code_of_p100(bin + 1))
        return (uint16_t)(fly_code_of_p100(bin + 1) - 1);
    return (uint16_t)code;
}

double fly_code_middle(uint16_t code)
{
    if (code == FLY_CODE_NONE)
        return NAN;
    if (code >= FLY_CODE_NEGATIVE)
        return -1.0 + ((double)(code - FLY_CODE_NEGATIVE) + 0.5) / 1024.0;
    return (double)code / FLY_WEIGHT_ONE;
}
