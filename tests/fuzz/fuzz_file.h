/* What the fuzz targets share: an input as a file that has a path. */
#ifndef CNNBN_FUZZ_FILE_H
#define CNNBN_FUZZ_FILE_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer calls this with every input; 0: the input may join the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A file in memory with the input as its content; its path, borrowed until the next call with the same slot (0 or 1). Ends the
 * process when the system has none. */
const char *fuzz_file(int slot, const uint8_t *data, size_t bytes);

/* Ends the process unless a failure came with a message and without a result. */
void fuzz_check(int failed, const void *result);

#endif
