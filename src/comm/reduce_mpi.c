/* --reduce mpi: a rank's own sum, then MPI's all-reduce as it is. The order of additions is MPI's business. */
#include <string.h>

#include "reduce_internal.h"

cnnbn_status cnnbn__mpi_reduce_f64(cnnbn_reducer *r, const double *nodes, size_t stride, size_t n, double *out,
                                   double *extra, size_t n_extra)
{
    double *sum = r->list + n_extra;
    if (n + n_extra == 0) return CNNBN_OK;
    for (size_t i = 0; i < n_extra; i++) r->list[i] = extra[i];
    for (size_t i = 0; i < n; i++) sum[i] = 0;
    for (int e = 0; e < r->n_nodes; e++)
        for (size_t i = 0; i < n; i++) sum[i] += nodes[(size_t)e * stride + i];
    cnnbn__count(r, (n + n_extra) * sizeof(double));
    CNNBN_TRY(cnnbn__mpi_check(MPI_Allreduce(MPI_IN_PLACE, r->list, (int)(n + n_extra), MPI_DOUBLE, MPI_SUM, r->mpi),
                               "MPI_Allreduce"));
    if (n) memcpy(out, sum, n * sizeof *out);
    if (n_extra) memcpy(extra, r->list, n_extra * sizeof *extra);
    return CNNBN_OK;
}

cnnbn_status cnnbn__mpi_reduce_f32_start(cnnbn_reducer *r, cnnbn_request *request)
{
    float *sum = request->nodes;
    if (!r->n_nodes) memset(sum, 0, request->n * sizeof *sum);
    for (int e = 1; e < r->n_nodes; e++) {
        const float *node = request->nodes + (size_t)e * request->stride;
        for (size_t i = 0; i < request->n; i++) sum[i] += node[i];
    }
    cnnbn__count(r, request->n * sizeof(float));
    return cnnbn__mpi_check(
        MPI_Iallreduce(MPI_IN_PLACE, sum, (int)request->n, MPI_FLOAT, MPI_SUM, r->mpi, &request->pending),
        "MPI_Iallreduce");
}
