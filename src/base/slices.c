#include "cnnbn/slices.h"

int cnnbn_slices_default(size_t batch_size)
{
    size_t by_eight = batch_size / 8, by_four = batch_size / 4;
    size_t wanted = by_four < 8 ? by_four : by_eight > 8 ? by_eight : 8;
    if (wanted > CNNBN_SLICES_MAX) wanted = CNNBN_SLICES_MAX;
    int slices = 1;
    while ((size_t)slices * 2 <= wanted) slices *= 2;
    return slices;
}

/* A node whose sibling on the right would start past the last slice is its own parent. */
static cnnbn_node promote(int S, cnnbn_node node)
{
    while (node.index % 2 == 0 && ((long)1 << node.level) < S && ((long)(node.index + 1) << node.level) >= S) {
        node.level++;
        node.index /= 2;
    }
    return node;
}

int cnnbn_tree_push(int S, cnnbn_node *stack, int *height, cnnbn_node node)
{
    int merges = 0;
    node = promote(S, node);
    while (*height > 0 && node.index % 2 == 1 && stack[*height - 1].level == node.level &&
           stack[*height - 1].index == node.index - 1) {
        (*height)--;
        node = promote(S, (cnnbn_node){node.level + 1, node.index / 2});
        merges++;
    }
    stack[(*height)++] = node;
    return merges;
}

int cnnbn_tree_nodes(int S, int first, int n_slices, cnnbn_node *nodes)
{
    int height = 0;
    for (int s = 0; s < n_slices; s++) (void)cnnbn_tree_push(S, nodes, &height, (cnnbn_node){0, first + s});
    return height;
}

void cnnbn_run_fill(cnnbn_run *run, size_t n, int S, int first, int n_slices, int *bounds, unsigned char *n_merge)
{
    size_t begin = cnnbn_slice_begin(n, S, first);
    int height = 0, depth = 0;
    run->n_slices = n_slices;
    run->first = first;
    run->bounds = bounds;
    run->n_merge = n_merge;
    for (int s = 0; s <= n_slices; s++) bounds[s] = (int)(cnnbn_slice_begin(n, S, first + s) - begin);
    for (int s = 0; s < n_slices; s++) {
        if (height + 1 > depth) depth = height + 1;
        n_merge[s] = (unsigned char)cnnbn_tree_push(S, run->nodes, &height, (cnnbn_node){0, first + s});
    }
    run->depth = depth;
    run->n_nodes = height;
}
