/* One block of memory a node, shared by its ranks. */
#include <stdint.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "comm_internal.h"

struct cnnbn_shared {
    cnnbn_comm *comm;
    MPI_Win window; /* MPI_WIN_NULL where the node has one rank: `data` is plain memory then */
    void *data;
};

/* Each rank maps the block at an address of its own; only the distance from the window's start is common, so rank 0 of
 * the node picks the aligned start and tells the others. */
static cnnbn_status find_block(cnnbn_shared *shared)
{
    MPI_Aint mapped = 0;
    int unit = 0;
    char *base = NULL;
    CNNBN_TRY(cnnbn__mpi_check(MPI_Win_shared_query(shared->window, 0, &mapped, &unit, &base), "MPI_Win_shared_query"));
    uint64_t skip = (uint64_t)(-(uintptr_t)base & (uintptr_t)(CNNBN_ALIGN - 1));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Bcast(&skip, 1, MPI_UINT64_T, 0, shared->comm->node), "MPI_Bcast"));
    shared->data = base + skip;
    if ((uintptr_t)shared->data % CNNBN_ALIGN)
        return cnnbn_error(CNNBN_ERR_INTERNAL,
                           "a shared window starts at %p here: not aligned as on the node's first rank", (void *)base);
    return CNNBN_OK;
}

static cnnbn_status open_window(cnnbn_shared *shared, size_t bytes)
{
    const cnnbn_comm *comm = shared->comm;
    void *own_part = NULL;
    size_t wanted = comm->node_rank == 0 ? cnnbn_align_up(bytes) + CNNBN_ALIGN : 0; /* all of it on one rank */
    cnnbn_status status = cnnbn__mpi_check(
        MPI_Win_allocate_shared((MPI_Aint)wanted, 1, MPI_INFO_NULL, comm->node, &own_part, &shared->window),
        "MPI_Win_allocate_shared");
    if (status != CNNBN_OK) {
        shared->window = MPI_WIN_NULL;
        status = cnnbn_error_context(CNNBN_ERR_MEMORY,
                                     "no memory shared by the ranks of a node: %zu bytes wanted (room in "
                                     "/dev/shm or the MPI library's folder?)",
                                     bytes);
    }
    /* Freeing a window is collective over the node: where only some ranks have one, it must be left alone. */
    int failed = status != CNNBN_OK;
    CNNBN_TRY(cnnbn__mpi_check(MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, comm->node), "MPI_Allreduce"));
    if (failed) shared->window = MPI_WIN_NULL;
    if (failed) return status;
    CNNBN_TRY(cnnbn__mpi_check(MPI_Win_set_errhandler(shared->window, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler"));
    /* One passive epoch for the window's whole life: loads and stores need only MPI_Win_sync and a barrier then. */
    CNNBN_TRY(cnnbn__mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, shared->window), "MPI_Win_lock_all"));
    CNNBN_TRY(find_block(shared));
    if (comm->node_rank == 0) memset(shared->data, 0, bytes);
    return cnnbn_shared_fence(shared);
}

cnnbn_status cnnbn_shared_create(cnnbn_comm *comm, size_t bytes, cnnbn_shared **out)
{
    void *block = NULL;
    *out = NULL;
    cnnbn_status status = cnnbn_alloc(sizeof(cnnbn_shared), "a shared block's handle", &block);
    if (bytes > (size_t)PTRDIFF_MAX - 2 * CNNBN_ALIGN)
        status = cnnbn_error(CNNBN_ERR_MEMORY, "no memory shared by the ranks of a node: %zu bytes wanted", bytes);
    status = cnnbn_comm_agree(comm, status);
    if (status != CNNBN_OK) {
        cnnbn_free(block);
        return status;
    }
    cnnbn_shared *shared = block;
    *shared = (cnnbn_shared){comm, MPI_WIN_NULL, NULL};
    status = comm->node_size > 1 ? open_window(shared, bytes) : cnnbn_alloc(bytes, "a shared block", &shared->data);
    status = cnnbn_comm_agree(comm, status);
    if (status != CNNBN_OK) {
        cnnbn_shared_destroy(shared);
        return status;
    }
    *out = shared;
    return CNNBN_OK;
}

void *cnnbn_shared_data(cnnbn_shared *shared)
{
    return shared->data;
}

cnnbn_status cnnbn_shared_fence(cnnbn_shared *shared)
{
    if (shared->window == MPI_WIN_NULL) return CNNBN_OK;
    /* The standard's recipe for shared windows: our stores out, everyone here, the others' stores in. */
    CNNBN_TRY(cnnbn__mpi_check(MPI_Win_sync(shared->window), "MPI_Win_sync"));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Barrier(shared->comm->node), "MPI_Barrier"));
    return cnnbn__mpi_check(MPI_Win_sync(shared->window), "MPI_Win_sync");
}

void cnnbn_shared_destroy(cnnbn_shared *shared)
{
    if (!shared) return;
    if (shared->comm->node_size == 1) {
        cnnbn_free(shared->data);
    } else if (shared->window != MPI_WIN_NULL) {
        (void)MPI_Win_unlock_all(shared->window);
        (void)MPI_Win_free(&shared->window);
    }
    cnnbn_free(shared);
}
