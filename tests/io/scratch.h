/* A folder for the files of one test program, beside where it runs; removed at its end. */
#ifndef CNNBN_TEST_SCRATCH_H
#define CNNBN_TEST_SCRATCH_H

#include <stddef.h>

int scratch_create(void **state); /* cmocka's group set-up and tear-down */
int scratch_remove(void **state);
/* Path of a file in it; one of 8 buffers that go round. */
const char *scratch_path(const char *name);
/* Reads or writes a whole file; ends the test when that fails. scratch_read: *bytes and a block to be freed by free(). */
unsigned char *scratch_read(const char *path, size_t *bytes);
void scratch_write(const char *path, const void *data, size_t bytes);
int scratch_exists(const char *path);

#endif
