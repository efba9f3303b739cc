/* Layers that work on one axis: on the last one as they are, on another with a transposition before and after. */
#include "internal.h"

int cnnbn__axis_of(int axis, int rank)
{
    int place = axis < 0 ? axis + rank : axis - 1; /* the batch is axis 0 */
    return place >= 0 && place < rank && axis != 0 ? place : -1;
}

cnnbn_status cnnbn__need_axis(int axis, cnnbn_shape in, int *place)
{
    char text[48];
    *place = cnnbn__axis_of(axis, in.rank);
    if (*place >= 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "argument axis = %d: input %s has axes 1 to %d (0 is the batch), or -1 to -%d",
                       axis, cnnbn_shape_text(in, text, sizeof text), in.rank, in.rank);
}

cnnbn_shape cnnbn__axis_last(cnnbn_shape shape, int place)
{
    cnnbn_shape moved = shape;
    for (int d = place; d + 1 < shape.rank; d++) moved.dim[d] = shape.dim[d + 1];
    moved.dim[shape.rank - 1] = shape.dim[place];
    return moved;
}

static int behind(cnnbn_shape shape, int place)
{
    int product = 1;
    for (int d = place + 1; d < shape.rank; d++) product *= shape.dim[d];
    return product;
}

int cnnbn__lower_axis_last(cnnbn_builder *b, int x, cnnbn_shape shape, int place)
{
    if (place == shape.rank - 1) return x;
    return b->ops->transpose(b, x, shape.dim[place], behind(shape, place), cnnbn__axis_last(shape, place));
}

int cnnbn__lower_axis_back(cnnbn_builder *b, int x, cnnbn_shape shape, int place)
{
    if (place == shape.rank - 1) return x;
    return b->ops->transpose(b, x, behind(shape, place), shape.dim[place], shape);
}

int cnnbn__last_axes(cnnbn_shape axes, int rank)
{
    int named = 0;
    for (int d = 0; d < axes.rank; d++) {
        int place = cnnbn__axis_of(axes.dim[d], rank);
        if (place < 0 || (named >> place & 1)) return 0;
        named |= 1 << place;
    }
    for (int d = 1; d <= axes.rank; d++)
        if (!(named >> (rank - d) & 1)) return 0;
    return axes.rank;
}
