#include "fuzz_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cnnbn/status.h"

enum { SLOTS = 2 };
static int files[SLOTS] = {-1, -1};
static char paths[SLOTS][64];

static void need(int right, const char *what)
{
    if (right) return;
    (void)fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

static void remove_files(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (files[i] >= 0) (void)unlink(paths[i]);
}

/* In a folder in memory; not memfd_create, as HDF5 wants a path that realpath() knows. */
const char *fuzz_file(int slot, const uint8_t *data, size_t bytes)
{
    need(slot >= 0 && slot < SLOTS, "no such slot");
    if (files[slot] < 0) {
        if (files[0] < 0 && files[1] < 0) (void)atexit(remove_files);
        (void)snprintf(paths[slot], sizeof paths[slot], "/dev/shm/cnnbn-fuzz-%ld-%d", (long)getpid(), slot);
        files[slot] = open(paths[slot], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        need(files[slot] >= 0, "no file can be made in /dev/shm");
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
