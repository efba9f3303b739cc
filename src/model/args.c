/* Values of arguments: read, compared, defaulted. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

const cnnbn_arg_spec *cnnbn__arg_find(const cnnbn_layer_type *type, const char *name)
{
    for (int i = 0; i < type->n_args; i++)
        if (strcmp(type->args[i].name, name) == 0) return &type->args[i];
    return NULL;
}

static cnnbn_status wrong(const cnnbn_arg_spec *spec, const cnnbn__node *node, const char *expected)
{
    char shown[CNNBN__SHOW_MAX];
    return cnnbn_error(CNNBN_ERR_MODEL, "argument %s = %s: %s", spec->name, cnnbn__node_show(node, shown, sizeof shown),
                       expected);
}

static cnnbn_status in_argument(const cnnbn_arg_spec *spec, cnnbn_status status)
{
    return status == CNNBN_OK ? CNNBN_OK : cnnbn_error_context(status, "argument %s", spec->name);
}

static cnnbn_status out_of_range(const cnnbn_arg_spec *spec, const cnnbn__node *node)
{
    char expected[120];
    if (isinf(spec->max))
        (void)snprintf(expected, sizeof expected, "expected at least %.9g", spec->min);
    else
        (void)snprintf(expected, sizeof expected, "expected %.9g to %.9g", spec->min, spec->max);
    return wrong(spec, node, expected);
}

static int in_range(const cnnbn_arg_spec *spec, double value)
{
    return value >= spec->min && value <= spec->max;
}

/* Keras 2 writes the axis of a batch normalisation as a list of one. */
static cnnbn_status read_int(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    const cnnbn__node *value = node->kind == CNNBN__LIST && node->n == 1 ? node->first : node;
    if (!cnnbn__node_to_int(value, &out->i[0])) return wrong(spec, node, "expected an integer");
    return in_range(spec, out->i[0]) ? CNNBN_OK : out_of_range(spec, node);
}

static cnnbn_status read_pair(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    int pair = node->kind == CNNBN__LIST && node->n == 2;
    const cnnbn__node *first = pair ? node->first : node, *second = pair ? node->first->next : node;
    if (!cnnbn__node_to_int(first, &out->i[0]) || !cnnbn__node_to_int(second, &out->i[1]))
        return wrong(spec, node, "expected an integer or a pair of them");
    return in_range(spec, out->i[0]) && in_range(spec, out->i[1]) ? CNNBN_OK : out_of_range(spec, node);
}

static cnnbn_status read_choice(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    char expected[200] = "expected one of";
    for (int i = 0; spec->choices[i]; i++) {
        if (cnnbn__node_is(node, spec->choices[i])) {
            out->i[0] = i;
            return CNNBN_OK;
        }
        size_t used = strlen(expected);
        (void)snprintf(expected + used, sizeof expected - used, "%s %s", i ? "," : "", spec->choices[i]);
    }
    return wrong(spec, node, expected);
}

static cnnbn_status read_shape(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    int n_unknown = 0;
    if (node->kind != CNNBN__LIST || node->n < 1 || node->n > CNNBN_RANK_MAX)
        return wrong(spec, node, "expected a list of 1 to 3 dimensions");
    out->shape.rank = node->n;
    const cnnbn__node *item = node->first;
    for (int d = 0; d < node->n; d++, item = item->next) {
        if (!cnnbn__node_to_int(item, &out->shape.dim[d]) || out->shape.dim[d] < -1 || out->shape.dim[d] == 0)
            return wrong(spec, node,
                         "expected dimensions of at least 1, or -1 for the one that follows from the others");
        n_unknown += out->shape.dim[d] == -1;
    }
    return n_unknown <= 1 ? CNNBN_OK : wrong(spec, node, "only one dimension can be -1");
}

static cnnbn_status read_axes(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    int list = node->kind == CNNBN__LIST;
    if (cnnbn__node_is_null(node) || (list && !node->n)) return CNNBN_OK; /* none: a layer may refuse it */
    if (list && node->n > CNNBN_RANK_MAX) return wrong(spec, node, "expected 1 to 3 axes");
    out->shape.rank = list ? node->n : 1;
    const cnnbn__node *item = list ? node->first : node;
    for (int d = 0; d < out->shape.rank; d++, item = item->next)
        if (!cnnbn__node_to_int(item, &out->shape.dim[d]) || out->shape.dim[d] < -CNNBN_RANK_MAX ||
            out->shape.dim[d] > CNNBN_RANK_MAX || out->shape.dim[d] == 0)
            return wrong(spec, node, "expected an axis or a list of axes, 1 to 3 or -1 to -3 (0 is the batch)");
    return CNNBN_OK;
}

/* [null, 1, 1, null]: the batch, then each axis. Every sample draws on its own. */
static cnnbn_status read_noise(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    static const char expected[] =
        "expected a list such as [null, 1, 1, null]: null for the batch, whose samples draw on "
        "their own, then for each axis 1, or null for its size";
    if (node->kind != CNNBN__LIST || node->n < 2 || node->n > CNNBN_RANK_MAX + 1 || !cnnbn__node_is_null(node->first))
        return wrong(spec, node, expected);
    out->shape.rank = node->n - 1;
    const cnnbn__node *item = node->first->next;
    for (int d = 0; d < out->shape.rank; d++, item = item->next) {
        if (cnnbn__node_is_null(item)) continue;
        if (!cnnbn__node_to_int(item, &out->shape.dim[d]) || out->shape.dim[d] < 1) return wrong(spec, node, expected);
    }
    return CNNBN_OK;
}

/* 1: on every side; [1, 2]: above and below, left and right; [[1, 0], [2, 0]]: each side. */
static cnnbn_status read_border(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    int pair = node->kind == CNNBN__LIST && node->n == 2;
    const cnnbn__node *side = pair ? node->first : node;
    for (int axis = 0; axis < 2; axis++, side = pair && side ? side->next : side) {
        int both = side->kind == CNNBN__LIST && side->n == 2;
        const cnnbn__node *before = both ? side->first : side, *after = both ? side->first->next : side;
        if (!cnnbn__node_to_int(before, &out->i[2 * axis]) || !cnnbn__node_to_int(after, &out->i[2 * axis + 1]))
            return wrong(spec, node, "expected a number, a pair, or a pair of pairs such as [[0, 1], [0, 1]]");
        if (!in_range(spec, out->i[2 * axis]) || !in_range(spec, out->i[2 * axis + 1])) return out_of_range(spec, node);
    }
    return CNNBN_OK;
}

/* Keras 2 writes numbers that went through float32 (0.30000001192092896): equal as floats is equal. */
static int same_number(double a, double b)
{
    float x = (float)a, y = (float)b;
    return !(x < y) && !(x > y);
}

static cnnbn_status read_interval(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    double *to = out->interval;
    int symmetric = same_number(spec->min, -spec->max), from_zero = same_number(spec->min, 0);
    if (node->kind == CNNBN__LIST) {
        if (node->n != 2 || !cnnbn__node_to_float(node->first, &to[0]) ||
            !cnnbn__node_to_float(node->first->next, &to[1]))
            return wrong(spec, node, "expected a list of two numbers");
        if (!(to[0] <= to[1])) return wrong(spec, node, "expected the lower number first");
    } else {
        if (!(symmetric || from_zero)) return wrong(spec, node, "expected a list of two numbers");
        if (!cnnbn__node_to_float(node, &to[1])) return wrong(spec, node, "expected a number or a list of two");
        to[1] = symmetric ? fabs(to[1]) : to[1];
        to[0] = symmetric ? 0 - to[1] : to[1]; /* no -0 */
    }
    return in_range(spec, to[0]) && in_range(spec, to[1]) ? CNNBN_OK : out_of_range(spec, node);
}

static cnnbn_status read_list(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    int list = node->kind == CNNBN__LIST;
    char expected[64];
    (void)snprintf(expected, sizeof expected, "expected a number or a list of 1 to %d of them", CNNBN_LIST_MAX);
    if (list && (node->n < 1 || node->n > CNNBN_LIST_MAX)) return wrong(spec, node, expected);
    out->list.n = list ? node->n : 1;
    const cnnbn__node *item = list ? node->first : node;
    for (int i = 0; i < out->list.n; i++, item = item->next) {
        if (!cnnbn__node_to_float(item, &out->list.value[i])) return wrong(spec, node, expected);
        if (!in_range(spec, out->list.value[i])) return out_of_range(spec, node);
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__arg_read(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out)
{
    memset(out, 0, sizeof *out);
    if (cnnbn__node_is_null(node) && spec->fallback && strcmp(spec->fallback, "null") == 0) {
        if (spec->kind == CNNBN_ARG_FLOAT) out->f = (double)INFINITY;
        if (spec->kind == CNNBN_ARG_PAIR) out->i[0] = out->i[1] = (int)spec->min - 1;
        return CNNBN_OK;
    }
    switch (spec->kind) {
    case CNNBN_ARG_INT:
        return read_int(spec, node, out);
    case CNNBN_ARG_PAIR:
        return read_pair(spec, node, out);
    case CNNBN_ARG_FLOAT:
        if (!cnnbn__node_to_float(node, &out->f) || isinf(out->f)) return wrong(spec, node, "expected a number");
        return in_range(spec, out->f) ? CNNBN_OK : out_of_range(spec, node);
    case CNNBN_ARG_BOOL:
        return cnnbn__node_to_bool(node, &out->i[0]) ? CNNBN_OK : wrong(spec, node, "expected true or false");
    case CNNBN_ARG_CHOICE:
        return read_choice(spec, node, out);
    case CNNBN_ARG_ACTIVATION:
        return in_argument(spec, cnnbn__activation_read(node, &out->act));
    case CNNBN_ARG_INITIALIZER:
        return in_argument(spec, cnnbn__initializer_read(node, &out->init));
    case CNNBN_ARG_REGULARIZER:
        return in_argument(spec, cnnbn__regularizer_read(node, &out->regularizer));
    case CNNBN_ARG_CONSTRAINT:
        return in_argument(spec, cnnbn__constraint_read(node, &out->constraint));
    case CNNBN_ARG_SHAPE:
        return read_shape(spec, node, out);
    case CNNBN_ARG_AXES:
        return read_axes(spec, node, out);
    case CNNBN_ARG_NOISE:
        return read_noise(spec, node, out);
    case CNNBN_ARG_BORDER:
        return read_border(spec, node, out);
    case CNNBN_ARG_INTERVAL:
        return read_interval(spec, node, out);
    case CNNBN_ARG_LIST:
        return read_list(spec, node, out);
    }
    return cnnbn_error(CNNBN_ERR_INTERNAL, "argument %s has no known kind", spec->name);
}

cnnbn_status cnnbn__arg_default(const cnnbn_arg_spec *spec, cnnbn_arg *out)
{
    memset(out, 0, sizeof *out);
    if (!spec->fallback) return CNNBN_OK;
    if (spec->kind == CNNBN_ARG_INTERVAL &&
        sscanf(spec->fallback, "%lf %lf", &out->interval[0], &out->interval[1]) == 2)
        return CNNBN_OK;
    const cnnbn__node node = {.kind = CNNBN__SCALAR, .text = spec->fallback};
    return cnnbn__arg_read(spec, &node, out);
}

static int same_constraint(const cnnbn_constraint *a, const cnnbn_constraint *b)
{
    int same = a->kind == b->kind && a->n_axes == b->n_axes && same_number(a->min, b->min) &&
               same_number(a->max, b->max) && same_number(a->rate, b->rate);
    for (int d = 0; same && d < a->n_axes; d++) same = a->axes[d] == b->axes[d];
    return same;
}

int cnnbn__arg_equal(const cnnbn_arg_spec *spec, const cnnbn_arg *a, const cnnbn_arg *b)
{
    switch (spec->kind) {
    case CNNBN_ARG_PAIR:
        return a->i[0] == b->i[0] && a->i[1] == b->i[1];
    case CNNBN_ARG_FLOAT:
        return same_number(a->f, b->f);
    case CNNBN_ARG_ACTIVATION:
        return a->act.softmax == b->act.softmax && a->act.act.kind == b->act.act.kind &&
               same_number((double)a->act.act.p0, (double)b->act.act.p0) &&
               same_number((double)a->act.act.p1, (double)b->act.act.p1) &&
               same_number((double)a->act.act.p2, (double)b->act.act.p2);
    case CNNBN_ARG_INITIALIZER:
        return a->init.kind == b->init.kind && same_number(a->init.a, b->init.a) && same_number(a->init.b, b->init.b) &&
               a->init.fan == b->init.fan && a->init.spread == b->init.spread;
    case CNNBN_ARG_REGULARIZER:
        return same_number(a->regularizer.l1, b->regularizer.l1) && same_number(a->regularizer.l2, b->regularizer.l2);
    case CNNBN_ARG_CONSTRAINT:
        return same_constraint(&a->constraint, &b->constraint);
    case CNNBN_ARG_BORDER:
        return memcmp(a->i, b->i, sizeof a->i) == 0;
    case CNNBN_ARG_INTERVAL:
        return same_number(a->interval[0], b->interval[0]) && same_number(a->interval[1], b->interval[1]);
    case CNNBN_ARG_LIST:
        if (a->list.n != b->list.n) return 0;
        for (int i = 0; i < a->list.n; i++)
            if (!same_number(a->list.value[i], b->list.value[i])) return 0;
        return 1;
    case CNNBN_ARG_SHAPE:
    case CNNBN_ARG_AXES:
    case CNNBN_ARG_NOISE:
        if (a->shape.rank != b->shape.rank) return 0;
        for (int d = 0; d < a->shape.rank; d++)
            if (a->shape.dim[d] != b->shape.dim[d]) return 0;
        return 1;
    default:
        return a->i[0] == b->i[0];
    }
}

int cnnbn__arg_is_default(const cnnbn_arg_spec *spec, const cnnbn_arg *arg)
{
    cnnbn_arg fallback;
    if (spec->required || cnnbn__arg_default(spec, &fallback) != CNNBN_OK) return 0;
    return cnnbn__arg_equal(spec, arg, &fallback);
}

const cnnbn_arg *cnnbn_layer_arg(const cnnbn_layer *layer, const char *name)
{
    int i = 0;
    while (strcmp(layer->type->args[i].name, name) != 0) i++;
    return &layer->args[i];
}

int cnnbn__arg_int(const cnnbn_layer *layer, const char *name)
{
    return cnnbn_layer_arg(layer, name)->i[0];
}

const int *cnnbn__arg_pair(const cnnbn_layer *layer, const char *name)
{
    return cnnbn_layer_arg(layer, name)->i;
}

double cnnbn__arg_float(const cnnbn_layer *layer, const char *name)
{
    return cnnbn_layer_arg(layer, name)->f;
}
