/* A file comes into being whole or not at all: written under a temporary name in the same folder, synced, renamed. */
#ifndef CNNBN_IO_FILE_INTERNAL_H
#define CNNBN_IO_FILE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/status.h"

/* PATH.tmp; *out owned: cnnbn_free. */
cnnbn_status cnnbn__file_temporary(const char *path, char **out) CNNBN_MUST_CHECK;

/* Folder part of a path, "." when it has none; *out owned: cnnbn_free. */
cnnbn_status cnnbn__file_folder(const char *path, char **out) CNNBN_MUST_CHECK;

/* Fails when the folder's file system has not `bytes` free. Where that cannot be told it succeeds. */
cnnbn_status cnnbn__file_check_space(const char *path, uint64_t bytes) CNNBN_MUST_CHECK;

/* Syncs the folder that `path` is in. */
cnnbn_status cnnbn__file_sync_folder(const char *path) CNNBN_MUST_CHECK;

/* Syncs `temporary`, renames it to path, syncs the folder. Until the rename, path is as it was. `temporary` is removed when
 * that fails. */
cnnbn_status cnnbn__file_publish(const char *temporary, const char *path) CNNBN_MUST_CHECK;

/* Asked before the renaming; what it refuses is not published. */
typedef struct cnnbn__file_gate {
    cnnbn_status (*may_publish)(const void *context); /* or NULL */
    const void *context;
} cnnbn__file_gate;

/* Writes the parts, one after the other, to PATH.tmp and publishes it. On failure PATH is as it was and PATH.tmp removed; where
 * the gate refused, PATH.tmp stays: it may be another writer's by then. */
typedef struct cnnbn__file_part {
    const void *data;
    size_t bytes;
} cnnbn__file_part;
cnnbn_status cnnbn__file_write(const char *path, const cnnbn__file_part *parts, int n_parts,
                               cnnbn__file_gate gate) CNNBN_MUST_CHECK;

#endif
