/* Regularisers and constraints of weights (model.h has the formulas). A weight is worked on by one thread as a whole, and the
 * penalties are added in the order of the weights: the same bits at any number of threads. All of it comes after the reduction
 * over ranks, so that it is done once. */
#include <math.h>

#include "cnnbn/memory.h"
#include "ir.h"

static const double epsilon = 1e-7; /* keras.backend.epsilon() */

static int is_regularized(const cnnbn_param *p)
{
    return p->regularizer.l1 > 0 || p->regularizer.l2 > 0;
}

static double penalty_of(const cnnbn_net *net, int i)
{
    const cnnbn_param *p = &net->model->params[i];
    const float *w = net->weights + net->param_offset[i];
    double penalty = 0;
    if (p->regularizer.l1 > 0) penalty += p->regularizer.l1 * net->kernels->sum_abs(p->count, w);
    if (p->regularizer.l2 > 0) penalty += p->regularizer.l2 * net->kernels->sum_squares(p->count, w);
    return penalty;
}

double cnnbn_net_penalty(const cnnbn_net *net)
{
    double sum = 0;
    for (int i = 0; i < net->model->n_params; i++)
        if (is_regularized(&net->model->params[i])) sum += penalty_of(net, i);
    return sum;
}

void cnnbn__rules_penalize(cnnbn_net *net, int tid)
{
    for (int i = tid; i < net->model->n_params; i += net->n_threads) {
        const cnnbn_param *p = &net->model->params[i];
        if (!is_regularized(p)) continue;
        size_t offset = net->param_offset[i];
        net->penalties[i] = penalty_of(net, i);
        net->kernels->penalty_bwd(p->count, (float)p->regularizer.l1, (float)p->regularizer.l2, net->weights + offset,
                                  net->grads + offset);
    }
}

double cnnbn__rules_sum(const cnnbn_net *net)
{
    double sum = 0;
    for (int i = 0; i < net->model->n_params; i++) sum += net->penalties[i];
    return sum;
}

/* ---------------------------------------------------------------- constraints */

/* Axes of a weight from the last to the first: how far an element's norm is from that of the element before it on the axis; 0
 * where the axis is summed over. Returns the number of norms. */
static size_t norm_strides(const cnnbn_param *p, size_t strides[CNNBN_PARAM_RANK_MAX])
{
    size_t n = 1;
    for (int d = p->rank - 1; d >= 0; d--) {
        int summed = 0;
        for (int k = 0; k < p->constraint.n_axes; k++) summed |= p->constraint.axes[k] == d;
        strides[d] = summed ? 0 : n;
        if (!summed) n *= (size_t)p->dim[d];
    }
    return n;
}

static int has_norms(const cnnbn_param *p)
{
    return p->constraint.kind != CNNBN_CONSTRAINT_NONE && p->constraint.kind != CNNBN_CONSTRAINT_NON_NEG;
}

cnnbn_status cnnbn__rules_alloc(cnnbn_net *net)
{
    const cnnbn_model *model = net->model;
    size_t strides[CNNBN_PARAM_RANK_MAX], n_norms = 0;
    void *memory;
    for (int i = 0; i < model->n_params; i++) {
        net->has_penalties |= is_regularized(&model->params[i]);
        net->has_constraints |= model->params[i].constraint.kind != CNNBN_CONSTRAINT_NONE;
        if (has_norms(&model->params[i])) n_norms += norm_strides(&model->params[i], strides);
    }
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_params + n_norms + 1, sizeof(double), "regularisers and constraints",
                                &memory));
    net->penalties = memory;
    return CNNBN_OK;
}

typedef struct row_walk { /* over the rows of a weight's last axis */
    const cnnbn_param *p;
    size_t strides[CNNBN_PARAM_RANK_MAX];
} row_walk;

/* Where the norms of a row begin. */
static size_t norm_at(const row_walk *walk, size_t row)
{
    size_t at = 0;
    for (int d = walk->p->rank - 2; d >= 0; d--) {
        size_t n = (size_t)walk->p->dim[d];
        at += row % n * walk->strides[d];
        row /= n;
    }
    return at;
}

static double factor(const cnnbn_constraint *c, double norm)
{
    double clipped = norm < c->min ? c->min : norm > c->max ? c->max : norm;
    return (c->rate * clipped + (1 - c->rate) * norm) / (epsilon + norm);
}

static void scale_by_norms(const cnnbn_param *p, double *norms, float *w)
{
    row_walk walk = {.p = p};
    size_t n = norm_strides(p, walk.strides), step = walk.strides[p->rank - 1], width = (size_t)p->dim[p->rank - 1];
    for (size_t i = 0; i < n; i++) norms[i] = 0;
    for (size_t i = 0, row = 0; i < p->count; row++) {
        double *norm = norms + norm_at(&walk, row);
        for (size_t k = 0; k < width; k++, i++) norm[k * step] += (double)w[i] * (double)w[i];
    }
    for (size_t i = 0; i < n; i++) norms[i] = factor(&p->constraint, sqrt(norms[i]));
    for (size_t i = 0, row = 0; i < p->count; row++) {
        const double *norm = norms + norm_at(&walk, row);
        for (size_t k = 0; k < width; k++, i++) w[i] = (float)((double)w[i] * norm[k * step]);
    }
}

void cnnbn__rules_constrain(cnnbn_net *net, int tid)
{
    size_t strides[CNNBN_PARAM_RANK_MAX];
    double *norms = net->penalties + net->model->n_params;
    for (int i = 0; i < net->model->n_params; i++) {
        const cnnbn_param *p = &net->model->params[i];
        float *w = net->weights + net->param_offset[i];
        int mine = i % net->n_threads == tid;
        if (mine && has_norms(p)) scale_by_norms(p, norms, w);
        if (mine && p->constraint.kind == CNNBN_CONSTRAINT_NON_NEG)
            for (size_t k = 0; k < p->count; k++)
                if (w[k] < 0) w[k] = 0; /* a NaN stays */
        if (has_norms(p)) norms += norm_strides(p, strides);
    }
}
