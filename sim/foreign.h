/* sim/foreign.h: files that import does not read, called by their names.
 *
 * Threads  pure but for libhdf5.
 */
#ifndef FLY_SIM_FOREIGN_H
#define FLY_SIM_FOREIGN_H

#include "sim/read_h5.h"

enum { FLY_MAGIC_BYTES = 32 };

/* FLY_ERANGE with a sentence on what a file of these first bytes is and what to do. */
FLY_MUST_USE int fly_foreign_refuse(const char *path, const unsigned char *magic, size_t len);

/* The same for an open HDF5 file that is neither HyperSpy's nor Velox's. */
FLY_MUST_USE int fly_foreign_refuse_h5(const char *path, hid_t file);

#endif
