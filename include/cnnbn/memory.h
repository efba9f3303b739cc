/* Memory: aligned blocks, an arena, and the count of allocations that a test holds at zero in a step. */
#ifndef CNNBN_MEMORY_H
#define CNNBN_MEMORY_H

#include <stddef.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CNNBN_ALIGN = 64 }; /* bytes: a cache line, and an AVX-512 vector */

/* Zeroed block, aligned to CNNBN_ALIGN; blocks of 4 MB and more are aligned to 2 MB and ask for huge
 * pages. *out owns it: cnnbn_free(). bytes = 0 gives a valid pointer. On failure *out = NULL and
 * CNNBN_ERR_MEMORY whose message says how many bytes for what. Blocks of 256 MB and more: one that the host or the job's memory
 * limit can never hold is refused before the kernel kills for it; one larger than what is available is warned of. */
CNNBN_API cnnbn_status cnnbn_alloc(size_t bytes, const char *what, void **out) CNNBN_MUST_CHECK;

/* n elements of elem_bytes each, the product checked for overflow; else as cnnbn_alloc. */
CNNBN_API cnnbn_status cnnbn_alloc_array(size_t n, size_t elem_bytes, const char *what, void **out) CNNBN_MUST_CHECK;

CNNBN_API void cnnbn_free(void *block); /* NULL is fine */

/* A zeroed block of its own pages, none of which is touched: each comes to stand in the memory next to the core that writes to it
 * first. Aligned and checked as by cnnbn_alloc. *out: cnnbn_free_pages with the same bytes. */
CNNBN_API cnnbn_status cnnbn_alloc_pages(size_t bytes, const char *what, void **out) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_free_pages(void *block, size_t bytes); /* NULL is fine */

/* Copy of a NUL-ended string; *out owns it (cnnbn_free). */
CNNBN_API cnnbn_status cnnbn_strdup(const char *text, char **out) CNNBN_MUST_CHECK;

/* Calls of cnnbn_alloc* so far in this process, all threads. */
CNNBN_API size_t cnnbn_alloc_count(void);

/* bytes rounded up to a multiple of CNNBN_ALIGN. */
static inline size_t cnnbn_align_up(size_t bytes)
{
    return (bytes + (size_t)CNNBN_ALIGN - 1) & ~((size_t)CNNBN_ALIGN - 1);
}

/* Memory that this process could still get, swap included: of the host and of the memory cgroups it is in (batch jobs,
 * containers). SIZE_MAX where it cannot be told. */
typedef struct cnnbn_memory_left {
    size_t available_bytes; /* now */
    size_t limit_bytes;     /* at most, were nothing else there */
} cnnbn_memory_left;
CNNBN_API cnnbn_memory_left cnnbn_get_memory_left(void);

/* Peak resident memory of this process in bytes (ru_maxrss); 0 where it cannot be told. */
CNNBN_API size_t cnnbn_peak_memory_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
