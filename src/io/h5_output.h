/* A file driver for HDF5 that only writes new files and never fails.
 *
 * HDF5 does not survive a failing disk: a write that fails while it closes a dataset or a file leaves the object half closed,
 * and HDF5 crashes over it when the program ends. So a write that fails is kept in mind here and HDF5 is told that all is well;
 * whoever writes asks afterwards, and throws the file away. From the first failure on nothing more is written. */
#ifndef CNNBN_IO_H5_OUTPUT_H
#define CNNBN_IO_H5_OUTPUT_H

#include "h5_internal.h"

/* What went wrong with one file, lives as long as the file is open. error: an errno, 0 while all is well. */
typedef struct cnnbn__h5_output {
    int error;
} cnnbn__h5_output;

/* Creates a file, or empties it, on a file access list of which other properties are set already. Negative when that fails:
 * output->error says why, else HDF5 does.
 * Called inside a scope. */
hid_t cnnbn__h5_create_output(const char *path, hid_t access, cnnbn__h5_output *output);

#endif
