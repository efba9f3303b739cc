/* IDX files, gzipped or not: images and labels in one input, the first four bytes being the length of the labels' file. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cnnbn/import.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char out[64];
    if (!out[0]) (void)snprintf(out, sizeof out, "/dev/shm/fuzz-idx-%ld.h5", (long)getpid());
    if (bytes < 4) return -1;
    size_t rest = bytes - 4, n_labels = (size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16;
    if (n_labels > rest) n_labels = rest;
    const uint8_t *labels = data + 4, *images = labels + n_labels;
    cnnbn_idx_files files = {.train_images = fuzz_file(0, images, rest - n_labels),
                             .train_labels = fuzz_file(1, labels, n_labels)};
    cnnbn_import_options options = {.out = out, .overwrite = 1, .limit = {data[3], 0}};
    int failed = cnnbn_import_idx(&files, &options) != CNNBN_OK;
    fuzz_check(failed, NULL);
    if (failed == (access(out, F_OK) == 0)) abort(); /* there when it is whole, and only then */
    (void)unlink(out);
    return 0;
}
