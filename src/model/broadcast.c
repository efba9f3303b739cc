/* Inputs of merging layers that meet along axes of one. */
#include "internal.h"

cnnbn_status cnnbn__broadcast_shape(int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    *out = in[0];
    for (int i = 1; i < n_in; i++) {
        int fits = in[i].rank == out->rank;
        for (int d = 0; fits && d < out->rank; d++) {
            if (out->dim[d] == 1) out->dim[d] = in[i].dim[d];
            fits = in[i].dim[d] == 1 || in[i].dim[d] == out->dim[d];
        }
        if (!fits)
            return cnnbn__unlike(in[0], in[i], "their dimensions must be as many, and equal or 1 in one of them");
    }
    return CNNBN_OK;
}

/* Rows and columns by repeating pixels; channels, with all pixels as rows of one column and one channel, in the same way. */
int cnnbn__lower_broadcast(cnnbn_builder *b, int x, cnnbn_shape from, cnnbn_shape to)
{
    if (cnnbn__same_dims(from, to, 0)) return x;
    cnnbn_shape a = {3, {1, 1, 1}}, z = a;
    for (int d = 0; d < to.rank; d++) {
        a.dim[d + 3 - to.rank] = from.dim[d];
        z.dim[d + 3 - to.rank] = to.dim[d];
    }
    cnnbn_shape now = from;
    if (a.dim[0] != z.dim[0] || a.dim[1] != z.dim[1]) {
        if (now.rank < 3) x = b->ops->reshape(b, x, a);
        x = b->ops->upsample(b, x, z.dim[0] / a.dim[0], z.dim[1] / a.dim[1]);
        now = (cnnbn_shape){3, {z.dim[0], z.dim[1], a.dim[2]}};
    }
    if (a.dim[2] != z.dim[2]) {
        int pixels = z.dim[0] * z.dim[1];
        x = b->ops->upsample(b, b->ops->reshape(b, x, (cnnbn_shape){3, {pixels, 1, 1}}), 1, z.dim[2]);
        now = (cnnbn_shape){3, {pixels, z.dim[2], 1}};
    }
    return cnnbn__same_dims(now, to, 0) ? x : b->ops->reshape(b, x, to);
}
