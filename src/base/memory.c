#include "cnnbn/memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "cnnbn/log.h"

/* Huge pages pay from a few megabytes on: a fresh 19 MB block costs 8.6 ms of page faults with 4 KB pages. */
static const size_t huge_page = (size_t)2 << 20;
static const size_t huge_from = (size_t)4 << 20;

/* From here on a block is held against what there is: the kernel promises more than it has, and kills when it is touched. */
static const size_t checked_from = (size_t)256 << 20;

static atomic_size_t n_allocs;

static cnnbn_status check_left(size_t bytes, const char *what)
{
    const double giga = 1e9;
    cnnbn_memory_left left = cnnbn_get_memory_left();
    if (bytes > left.limit_bytes)
        return cnnbn_error(CNNBN_ERR_MEMORY,
                           "no memory: %.1f GB wanted for %s; the limit of this host or job is %.1f GB",
                           (double)bytes / giga, what, (double)left.limit_bytes / giga);
    if (bytes > left.available_bytes)
        cnnbn_warn("%.1f GB wanted for %s, %.1f GB are available: the kernel may end this process",
                   (double)bytes / giga, what, (double)left.available_bytes / giga);
    return CNNBN_OK;
}

cnnbn_status cnnbn_alloc(size_t bytes, const char *what, void **out)
{
    *out = NULL;
    if (bytes >= checked_from) CNNBN_TRY(check_left(bytes, what));
    size_t align = bytes >= huge_from ? huge_page : (size_t)CNNBN_ALIGN;
    size_t wanted = bytes ? bytes : 1;
    void *block = NULL;
    if (wanted <= SIZE_MAX - align) {
        size_t rounded = (wanted + align - 1) & ~(align - 1);
        if (posix_memalign(&block, align, rounded) != 0) block = NULL;
        if (block) {
#ifdef MADV_HUGEPAGE
            if (align == huge_page) (void)madvise(block, rounded, MADV_HUGEPAGE);
#endif
            memset(block, 0, rounded);
        }
    }
    if (!block) return cnnbn_error(CNNBN_ERR_MEMORY, "no memory: %zu bytes wanted for %s", bytes, what);
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    *out = block;
    return CNNBN_OK;
}

/* A block's pages: whole huge ones. 0: too many. */
static size_t mapped_bytes(size_t bytes)
{
    return bytes <= SIZE_MAX - 2 * huge_page ? (bytes / huge_page + 1) * huge_page : 0;
}

cnnbn_status cnnbn_alloc_pages(size_t bytes, const char *what, void **out)
{
    const size_t wanted = mapped_bytes(bytes);
    *out = NULL;
    if (bytes >= checked_from) CNNBN_TRY(check_left(bytes, what));
    char *map = wanted ? mmap(NULL, wanted + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                       : MAP_FAILED;
    if (map == MAP_FAILED) return cnnbn_error(CNNBN_ERR_MEMORY, "no memory: %zu bytes wanted for %s", bytes, what);
    const size_t front = (huge_page - (uintptr_t)map % huge_page) % huge_page;
    if (front) (void)munmap(map, front);
    if (front < huge_page) (void)munmap(map + front + wanted, huge_page - front);
#ifdef MADV_HUGEPAGE
    if (bytes >= huge_from) (void)madvise(map + front, wanted, MADV_HUGEPAGE);
#endif
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    *out = map + front;
    return CNNBN_OK;
}

void cnnbn_free_pages(void *block, size_t bytes)
{
    if (block) (void)munmap(block, mapped_bytes(bytes));
}

cnnbn_status cnnbn_alloc_array(size_t n, size_t elem_bytes, const char *what, void **out)
{
    *out = NULL;
    if (elem_bytes && n > SIZE_MAX / elem_bytes)
        return cnnbn_error(CNNBN_ERR_MEMORY, "no memory: %zu elements of %zu bytes wanted for %s", n, elem_bytes, what);
    return cnnbn_alloc(n * elem_bytes, what, out);
}

void cnnbn_free(void *block)
{
    free(block);
}

cnnbn_status cnnbn_strdup(const char *text, char **out)
{
    void *copy = NULL;
    size_t bytes = strlen(text) + 1;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(bytes, "a text", &copy));
    memcpy(copy, text, bytes);
    *out = copy;
    return CNNBN_OK;
}

size_t cnnbn_alloc_count(void)
{
    return atomic_load_explicit(&n_allocs, memory_order_relaxed);
}

size_t cnnbn_peak_memory_bytes(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (size_t)usage.ru_maxrss * 1024; /* Linux gives kilobytes */
}
