/* HDF5 for this folder: one lock, ids that close themselves, errors told in one sentence, checked opening and reading.
 *
 * HDF5's objects are told in messages as "FILE: /path/inside". Links to other files, virtual datasets and external
 * storage are refused: a file must be all of itself.
 */
#ifndef CNNBN_IO_H5_INTERNAL_H
#define CNNBN_IO_H5_INTERNAL_H

#include <hdf5.h>
#include <stdint.h>

#include "cnnbn/memory.h"
#include "cnnbn/status.h"

/* Holds HDF5's lock, which is process-wide and recursive, and the ids to be closed, from enter to leave. */
enum { CNNBN_H5_SCOPE_MAX = 32 };
typedef struct cnnbn__h5_scope {
    int n;
    hid_t ids[CNNBN_H5_SCOPE_MAX];
} cnnbn__h5_scope;

void cnnbn__h5_enter(cnnbn__h5_scope *scope);
void cnnbn__h5_leave(cnnbn__h5_scope *scope);          /* closes the ids, the last one first, and gives the lock back */
hid_t cnnbn__h5_own(cnnbn__h5_scope *scope, hid_t id); /* returns id; a negative one is not kept */
void cnnbn__h5_disown(cnnbn__h5_scope *scope, hid_t id); /* the caller closes it, by cnnbn__h5_release */
void cnnbn__h5_release(hid_t id);                        /* drops a reference to any id; a negative one is fine */

/* In the child of a fork that happened inside a scope: gives the child a lock of its own, free. */
void cnnbn__h5_after_fork(void);

/* What HDF5 says went wrong, innermost first, of the last failed call in this thread; borrowed until the next call. */
const char *cnnbn__h5_reason(void);

/* A file that is read. `bad` is the status of what is wrong inside it. */
typedef struct cnnbn__h5_file {
    hid_t id;
    const char *path; /* borrowed */
    uint64_t bytes;
    cnnbn_status bad;
} cnnbn__h5_file;

/* Opens for reading, without file locking. CNNBN_ERR_IO when the system refuses, `bad` when HDF5 does. The scope owns
 * file->id. Called inside a scope. */
cnnbn_status cnnbn__h5_open_file(cnnbn__h5_scope *scope, const char *path, cnnbn_status bad,
                                 cnnbn__h5_file *file) CNNBN_MUST_CHECK;

enum { CNNBN_H5_RANK_MAX = 8 };
typedef struct cnnbn__h5_array {
    hid_t id;
    int rank;
    size_t dim[CNNBN_H5_RANK_MAX];
    size_t count; /* product of dim */
    H5T_class_t kind;
    size_t elem_bytes; /* in the file */
    int is_signed;
    size_t chunk[CNNBN_H5_RANK_MAX];
    int chunked;
} cnnbn__h5_array;

/* Opens a dataset of numbers and checks it: in this file, all of it written, sizes that the file can hold. `shown` is
 * its path for messages. The scope owns array->id. */
cnnbn_status cnnbn__h5_open_array(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t where, const char *name,
                                  const char *shown, cnnbn__h5_array *array) CNNBN_MUST_CHECK;
/* All of it, converted to mem_type (as many elements as array->count). */
cnnbn_status cnnbn__h5_read_array(const cnnbn__h5_file *file, const cnnbn__h5_array *array, const char *shown,
                                  hid_t mem_type, void *data) CNNBN_MUST_CHECK;

/* Opens a group; *out is negative, with CNNBN_OK, when nothing of that name is there and it is optional. */
cnnbn_status cnnbn__h5_open_group(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t where, const char *name,
                                  const char *shown, int optional, hid_t *out) CNNBN_MUST_CHECK;

/* 1 when a link of that path is there, each part of it, and leads to an object. */
int cnnbn__h5_exists(hid_t where, const char *name);

/* "float64 (60000, 28, 28)"; returns text. */
const char *cnnbn__h5_array_text(const cnnbn__h5_array *array, char *text, size_t bytes);
const char *cnnbn__h5_dims_text(int rank, const size_t *dim, char *text, size_t bytes);

/* The names in a group, "a, b, c", cut to fit; returns text. */
const char *cnnbn__h5_list(hid_t group, char *text, size_t bytes);

/* ---------------------------------------------------------------- attributes (h5_attr.c) */

/* Strings of an attribute of any string type, as one block: (*out)[n] pointers and their text, freed by cnnbn_free.
 * *out = NULL and *n = 0 with CNNBN_OK when the attribute is not there. */
cnnbn_status cnnbn__h5_read_strings(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                                    char ***out, size_t *n) CNNBN_MUST_CHECK;
/* One string; *out = NULL when not there; owned: cnnbn_free. */
cnnbn_status cnnbn__h5_read_text(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                                 char **out) CNNBN_MUST_CHECK;
/* Numbers, converted to float; *out = NULL when not there; owned: cnnbn_free. */
cnnbn_status cnnbn__h5_read_floats(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                                   float **out, size_t *n) CNNBN_MUST_CHECK;

/* Writing; a negative result means HDF5 failed (cnnbn__h5_reason). Strings are variable-length UTF-8. */
herr_t cnnbn__h5_write_strings(hid_t object, const char *name, const char *const *texts, size_t n);
herr_t cnnbn__h5_write_text(hid_t object, const char *name, const char *text);
herr_t cnnbn__h5_write_number(hid_t object, const char *name, hid_t file_type, hid_t mem_type, const void *value);

#endif
