/* The handle over MPI: start, end, abort, who and where the ranks are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "comm_internal.h"

cnnbn_status cnnbn__mpi_check(int code, const char *operation)
{
    if (code == MPI_SUCCESS) return CNNBN_OK;
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS || length <= 0)
        return cnnbn_error(CNNBN_ERR_MPI, "%s failed with code %d", operation, code);
    return cnnbn_error(CNNBN_ERR_MPI, "%s failed: %s", operation, text);
}

/* By the words of Open MPI's launcher, which all ranks get alike; without any launcher there is one rank. */
static int is_on_one_host(void)
{
    const char *size = getenv("OMPI_COMM_WORLD_SIZE"), *here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    if (size && here) return strcmp(size, here) == 0;
    return !getenv("PMIX_RANK") && !getenv("PMI_RANK");
}

/* Open MPI's component for networks that match messages themselves (Omni-Path, libfabric) takes 0.2 s of every start to find that there
 * is none, mostly waiting. Ranks of one host talk through memory: it is left out, unless the user chooses. */
static int init_mpi(int *argc, char ***argv, int *level)
{
    const char *choice = "OMPI_MCA_pml";
    int left_out = !getenv(choice) && is_on_one_host() && setenv(choice, "^cm", 0) == 0;
    int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, level);
    if (left_out) (void)unsetenv(choice); /* a job that this process starts may have more hosts */
    return code;
}

static cnnbn_status start_mpi(int *argc, char ***argv, cnnbn_comm *comm)
{
    int running = 0, level = MPI_THREAD_SINGLE;
    CNNBN_TRY(cnnbn__mpi_check(MPI_Initialized(&running), "MPI_Initialized"));
    if (running) {
        CNNBN_TRY(cnnbn__mpi_check(MPI_Query_thread(&level), "MPI_Query_thread"));
    } else {
        CNNBN_TRY(cnnbn__mpi_check(init_mpi(argc, argv, &level), "MPI_Init_thread"));
        comm->started_mpi = 1;
        /* Errors of calls that have no communicator (MPI_Testall, MPI_Error_string) go to these two's handlers. */
        CNNBN_TRY(
            cnnbn__mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
        CNNBN_TRY(
            cnnbn__mpi_check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    }
    /* Threads of our own run beside MPI, so a library that allows none cannot be used. */
    if (level < MPI_THREAD_FUNNELED)
        return cnnbn_error(
            CNNBN_ERR_MPI,
            "the MPI library gives thread level %d; MPI_THREAD_FUNNELED (%d) is needed: use an MPI built "
            "with thread support",
            level, MPI_THREAD_FUNNELED);
    return CNNBN_OK;
}

static cnnbn_status own_communicators(cnnbn_comm *comm)
{
    CNNBN_TRY(cnnbn__mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &comm->world), "MPI_Comm_dup"));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Comm_set_errhandler(comm->world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Comm_rank(comm->world, &comm->rank), "MPI_Comm_rank"));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Comm_size(comm->world, &comm->size), "MPI_Comm_size"));
    /* The key keeps the order of ranks, so node_rank 0 is the lowest rank of its node. */
    CNNBN_TRY(
        cnnbn__mpi_check(MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &comm->node),
                         "MPI_Comm_split_type"));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Comm_set_errhandler(comm->node, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Comm_rank(comm->node, &comm->node_rank), "MPI_Comm_rank"));
    return cnnbn__mpi_check(MPI_Comm_size(comm->node, &comm->node_size), "MPI_Comm_size");
}

static cnnbn_status gather_hosts(cnnbn_comm *comm)
{
    void *hosts = NULL;
    CNNBN_TRY(cnnbn_comm_agree(comm, cnnbn_alloc_array((size_t)comm->size, CNNBN__HOST_MAX, "names of hosts", &hosts)));
    comm->hosts = hosts;
    char name[MPI_MAX_PROCESSOR_NAME + 1] = "", mine[CNNBN__HOST_MAX] = "";
    int length = 0;
    CNNBN_TRY(cnnbn__mpi_check(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name"));
    (void)snprintf(mine, sizeof mine, "%s", name);
    CNNBN_TRY(cnnbn_comm_gather_all(comm, mine, sizeof mine, comm->hosts));
    int64_t firsts = comm->node_rank == 0;
    CNNBN_TRY(cnnbn_comm_sum_i64(comm, &firsts, 1));
    comm->n_nodes = (int)firsts;
    return CNNBN_OK;
}

static cnnbn_status read_library(cnnbn_comm *comm)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING + 1]; /* 8 KB in MPICH: not for a stack; written once, at start */
    int length = 0;
    CNNBN_TRY(cnnbn__mpi_check(MPI_Get_library_version(text, &length), "MPI_Get_library_version"));
    text[strcspn(text, "\n")] = '\0';
    for (char *c = text; *c; c++)
        if (*c == '\t') *c = ' ';
    (void)snprintf(comm->library, sizeof comm->library, "%s", text);
    return CNNBN_OK;
}

static cnnbn_status open_handle(int *argc, char ***argv, cnnbn_comm *comm)
{
    CNNBN_TRY(start_mpi(argc, argv, comm));
    CNNBN_TRY(own_communicators(comm));
    CNNBN_TRY(read_library(comm));
    return gather_hosts(comm);
}

cnnbn_status cnnbn_comm_init(int *argc, char ***argv, cnnbn_comm **out)
{
    void *block;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_comm), "the handle of the ranks", &block));
    cnnbn_comm *comm = block;
    *comm = (cnnbn_comm){.size = 1, .node_size = 1, .n_nodes = 1, .world = MPI_COMM_NULL, .node = MPI_COMM_NULL};
    cnnbn_status status = open_handle(argc, argv, comm);
    if (status != CNNBN_OK) {
        cnnbn_comm_finalize(comm);
        return status;
    }
    *out = comm;
    return CNNBN_OK;
}

void cnnbn_comm_finalize(cnnbn_comm *comm)
{
    if (!comm) return;
    if (comm->node != MPI_COMM_NULL) (void)MPI_Comm_free(&comm->node);
    if (comm->world != MPI_COMM_NULL) (void)MPI_Comm_free(&comm->world);
    if (comm->started_mpi) (void)MPI_Finalize();
    cnnbn_free(comm->hosts);
    cnnbn_free(comm);
}

void cnnbn_comm_abort(cnnbn_comm *comm, int exit_code, const char *message)
{
    char line[CNNBN_ERROR_MAX + CNNBN__HOST_MAX + 64];
    int running = 0, ended = 0;
    if (comm && comm->size > 1)
        (void)snprintf(line, sizeof line, "cnnbn: rank %d on %s: %s\n", comm->rank, cnnbn_comm_host(comm, comm->rank),
                       message);
    else
        (void)snprintf(line, sizeof line, "cnnbn: %s\n", message);
    (void)fputs(line, stderr); /* one write: lines of several ranks do not mix */
    (void)fflush(NULL);
    (void)MPI_Initialized(&running);
    (void)MPI_Finalized(&ended);
    if (running && !ended)
        (void)MPI_Abort(comm && comm->world != MPI_COMM_NULL ? comm->world : MPI_COMM_WORLD, exit_code);
    _Exit(exit_code);
}

int cnnbn_comm_rank(const cnnbn_comm *comm)
{
    return comm->rank;
}

int cnnbn_comm_size(const cnnbn_comm *comm)
{
    return comm->size;
}

int cnnbn_comm_node_rank(const cnnbn_comm *comm)
{
    return comm->node_rank;
}

int cnnbn_comm_node_size(const cnnbn_comm *comm)
{
    return comm->node_size;
}

int cnnbn_comm_n_nodes(const cnnbn_comm *comm)
{
    return comm->n_nodes;
}

const char *cnnbn_comm_host(const cnnbn_comm *comm, int rank)
{
    /* An abort may come before the names are known. */
    return comm->hosts && rank >= 0 && rank < comm->size ? comm->hosts + (size_t)rank * CNNBN__HOST_MAX
                                                         : "unknown host";
}

const char *cnnbn_comm_library(const cnnbn_comm *comm)
{
    return comm->library;
}
