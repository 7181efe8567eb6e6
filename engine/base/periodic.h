/* engine/base/periodic.h: symbols of the chemical elements and their atomic numbers.
 *
 * Threads  all of it is constant.
 */
#ifndef FLY_BASE_PERIODIC_H
#define FLY_BASE_PERIODIC_H

#include <stddef.h>
#include <stdint.h>

enum { FLY_ATOMIC_NUMBER_MAX = 96 }; /* curium: no specimen holds more */

/* "H" for 1; NULL outside 1 .. FLY_ATOMIC_NUMBER_MAX. */
const char *fly_symbol(int64_t atomic_number);

/* 26 for the two bytes "Fe"; 0 when they are no element's symbol. Capitals matter: "CO" is none. */
int32_t fly_atomic_number(const char *symbol, size_t len);

#endif
