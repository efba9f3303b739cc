/* memfd_create */
#define _GNU_SOURCE
#include "fuzz_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cnnbn/status.h"

enum { SLOTS = 2 };

static void need(int right, const char *what)
{
    if (right) return;
    (void)fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

const char *fuzz_file(int slot, const uint8_t *data, size_t bytes)
{
    static int files[SLOTS] = {-1, -1};
    static char paths[SLOTS][32];
    need(slot >= 0 && slot < SLOTS, "no such slot");
    if (files[slot] < 0) {
        files[slot] = memfd_create("input", MFD_CLOEXEC);
        need(files[slot] >= 0, "the system makes no file in memory");
        (void)snprintf(paths[slot], sizeof paths[slot], "/proc/self/fd/%d", files[slot]);
    }
    need(ftruncate(files[slot], 0) == 0, "the file cannot be emptied");
    need(pwrite(files[slot], data, bytes, 0) == (ssize_t)bytes, "the file cannot be written");
    return paths[slot];
}

void fuzz_check(int failed, const void *result)
{
    if (!failed) return;
    need(!result, "a result in spite of a failure");
    need(cnnbn_error_message()[0] != '\0', "a failure without a message");
}
