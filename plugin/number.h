/* plugin/number.h: numbers from text and to text, whatever the locale says about commas.
 *
 * Threads  any; pure.
 */
#ifndef FLY_PLUGIN_NUMBER_H
#define FLY_PLUGIN_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum { FLY_NUMBER_CAP = 32 };

/* The shortest of 15, 16 or 17 significant digits that reads back as the same double; "nan", "inf" or
 * "-inf" when not finite. Returns out. */
char *fly_number_print(char out[FLY_NUMBER_CAP], double value);

/* The whole of text[0 .. len) as a decimal number: [+-] digits [. digits] [e [+-] digits], with a digit
 * before or after the point. Neither hexadecimal nor nan nor inf nor white space. 1, or 0 when it is
 * none of that or beyond a double's range. */
int fly_number_parse(const char *text, size_t len, double *out);

/* 1, 2 or 5 times a power of ten: the largest not above x > 0. Lengths of scale bars, steps of axes. */
double fly_number_round(double x);

/* The whole of text[0 .. len) as [+-] digits within int64: 1, or 0. */
int fly_integer_parse(const char *text, size_t len, int64_t *out);

#endif
