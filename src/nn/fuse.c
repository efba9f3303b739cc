/* Fusion by rule over the graph:
 *
 * - PAD with zeros whose consumers are all CONV: their own padding.
 * - CONV or DENSE, then ACT (the only consumer, derivative known from the output): the activation becomes the epilogue.
 * - BN [, ADD of two] [, ACT], each the only consumer: one operation z = act(affine(x) + add).
 * - BN without an add whose consumers are all CONV or DENSE (a RESHAPE may stand between): never written; its consumers
 *   apply affine and activation as they load (prologue).
 */
#include "ir.h"

static int single_consumer(const cnnbn_net *net, int v)
{
    if (net->graph_values[v].n_uses != 1) return -1;
    for (int i = 0; i < net->n_ops; i++) {
        const op *o = &net->ops[i];
        if (o->dead) continue;
        for (int k = 0; k < o->n_in; k++)
            if (o->in[k] == v) return i;
        if (o->add == v) return i;
    }
    return -1; /* the one use is the output */
}

static void take_over_output(cnnbn_net *net, int producer, int consumer)
{
    op *p = &net->ops[producer], *c = &net->ops[consumer];
    p->out = c->out;
    net->graph_values[p->out].producer = producer;
    c->dead = 1;
}

static void fuse_activations(cnnbn_net *net)
{
    for (int i = 0; i < net->n_ops; i++) {
        op *o = &net->ops[i];
        if (o->dead || (o->kind != OP_CONV && o->kind != OP_DENSE)) continue;
        int next = single_consumer(net, o->out);
        if (next < 0 || net->ops[next].kind != OP_ACT || !cnnbn_act_from_output(net->ops[next].act)) continue;
        o->act = net->ops[next].act;
        take_over_output(net, i, next);
    }
}

/* The batch norm moves to the later operation's place, so that everything it reads stands before it. */
static void move_batchnorm(cnnbn_net *net, int from, int to)
{
    op *bn = &net->ops[from], *slot = &net->ops[to];
    int out = slot->out;
    slot->kind = OP_BN;
    slot->layer = bn->layer;
    slot->n_in = 1;
    slot->in[0] = bn->in[0];
    slot->bn = bn->bn;
    slot->add = bn->add;
    slot->act = bn->act;
    slot->out = out;
    net->bns[bn->bn].op = to;
    bn->dead = 1;
}

static void fuse_batchnorms(cnnbn_net *net)
{
    for (int i = 0; i < net->n_ops; i++) {
        if (net->ops[i].dead || net->ops[i].kind != OP_BN || net->ops[i].add >= 0 || !cnnbn__is_linear(net->ops[i].act))
            continue;
        int next = single_consumer(net, net->ops[i].out), at = i;
        if (next > i && net->ops[next].kind == OP_ADD && net->ops[next].n_in == 2) {
            op *sum = &net->ops[next];
            int other = sum->in[0] == net->ops[i].out ? sum->in[1] : sum->in[0];
            /* Of two batch norms that meet in a sum the later one takes the other in. */
            const op *maker = &net->ops[net->graph_values[other].producer];
            int wait = !maker->dead && maker->kind == OP_BN && maker->add < 0 && cnnbn__is_linear(maker->act) &&
                       net->graph_values[other].n_uses == 1 && net->graph_values[other].producer > i;
            if (!wait && other != net->ops[i].out) {
                net->ops[i].add = other;
                move_batchnorm(net, i, next);
                at = next;
                next = single_consumer(net, net->ops[at].out);
            } else {
                continue;
            }
        }
        if (next > at && net->ops[next].kind == OP_ACT &&
            (net->ops[at].add < 0 || cnnbn_act_from_output(net->ops[next].act))) {
            net->ops[at].act = net->ops[next].act;
            move_batchnorm(net, at, next);
        }
    }
}

/* Whether all uses of v, through reshapes, are convolutions of C channels or dense layers; the number found is counted. (A reshape
 * keeps the order of the values, so a batch norm's channel is still index % C; a convolution counts channels its own way.) */
static int only_feeds_products(const cnnbn_net *net, int v, int C, int *n_found)
{
    for (int i = 0; i < net->n_ops; i++) {
        const op *o = &net->ops[i];
        if (o->dead) continue;
        if (o->add == v) return 0;
        for (int k = 0; k < o->n_in; k++) {
            if (o->in[k] != v) continue;
            (*n_found)++;
            if (o->kind == OP_RESHAPE) {
                int inner = 0;
                if (!only_feeds_products(net, o->out, C, &inner) || inner != net->graph_values[o->out].n_uses) return 0;
            } else if ((o->kind != OP_CONV && o->kind != OP_DENSE) || o->prologue >= 0 ||
                       (o->kind == OP_CONV && o->conv.C != C)) {
                return 0;
            }
        }
    }
    return 1;
}

static void set_prologue(cnnbn_net *net, int v, int bn)
{
    for (int i = 0; i < net->n_ops; i++) {
        op *o = &net->ops[i];
        if (o->dead || o->n_in != 1 || o->in[0] != v) continue;
        if (o->kind == OP_RESHAPE)
            set_prologue(net, o->out, bn);
        else
            o->prologue = bn;
    }
}

static void make_prologues(cnnbn_net *net)
{
    for (int i = 0; i < net->n_ops; i++) {
        op *o = &net->ops[i];
        if (o->dead || o->kind != OP_BN || o->add >= 0) continue;
        int found = 0;
        bn_state *bn = &net->bns[o->bn];
        if (!only_feeds_products(net, o->out, bn->C, &found) || found == 0 || found != net->graph_values[o->out].n_uses)
            continue;
        bn->is_prologue = 1;
        bn->act = o->act;
        set_prologue(net, o->out, o->bn);
    }
}

/* Zeros in front of and behind one axis as a window's padding: no window may lie in them alone. */
static int axis_takes(int size, int window, int dil, int stride, int n_out, int pad, int front, int behind)
{
    return front >= 0 && behind >= 0 && pad + front <= (window - 1) * dil && (n_out - 1) * stride - pad - front < size;
}

static int takes_padding(const op *conv, const op *pad, cnnbn_shape in, cnnbn_shape out)
{
    const cnnbn_conv_geom *g = &conv->conv;
    int top = pad->plain.top, left = pad->plain.left;
    return conv->kind == OP_CONV && in.rank == 3 &&
           axis_takes(in.dim[0], g->R, g->dil_h, g->stride_h, g->P, g->pad_top, top, out.dim[0] - in.dim[0] - top) &&
           axis_takes(in.dim[1], g->S, g->dil_w, g->stride_w, g->Q, g->pad_left, left, out.dim[1] - in.dim[1] - left);
}

static void fold_padding(cnnbn_net *net, int index)
{
    op *pad = &net->ops[index];
    int x = pad->in[0], v = pad->out, n = 0;
    cnnbn_shape in = net->graph_values[x].shape;
    for (int i = index + 1; i < net->n_ops; i++)
        for (int k = 0; k < net->ops[i].n_in; k++)
            if (net->ops[i].in[k] == v) n += takes_padding(&net->ops[i], pad, in, net->graph_values[v].shape);
    if (!n || n != net->graph_values[v].n_uses) return;
    for (int i = index + 1; i < net->n_ops; i++) {
        op *o = &net->ops[i];
        if (o->kind != OP_CONV || o->in[0] != v) continue;
        o->in[0] = x;
        o->conv.H = in.dim[0];
        o->conv.W = in.dim[1];
        o->conv.pad_top += pad->plain.top;
        o->conv.pad_left += pad->plain.left;
    }
    net->graph_values[x].n_uses += n - 1;
    pad->dead = 1;
}

static void fold_paddings(cnnbn_net *net)
{
    for (int i = 0; i < net->n_ops; i++)
        if (net->ops[i].kind == OP_PLAIN && net->ops[i].plain.kind == PLAIN_PAD) fold_padding(net, i);
}

void cnnbn__net_fuse(cnnbn_net *net)
{
    fold_paddings(net);
    fuse_activations(net);
    fuse_batchnorms(net);
    make_prologues(net);
}
