/* Regularisers and constraints of weights, by Keras' names or in Keras' object form. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* "L2" or "l2", and the members of its config; a bare name or another spelling leaves config NULL. */
static const char *rule_name(const cnnbn__node *node, const cnnbn__node **config)
{
    const cnnbn__node *class_name = cnnbn__node_get(node, "class_name");
    *config = NULL;
    if (node->kind == CNNBN__SCALAR) return node->text;
    if (!class_name || class_name->kind != CNNBN__SCALAR) return NULL;
    *config = cnnbn__node_get(node, "config");
    return class_name->text;
}

static cnnbn_status read_number(const char *rule, const cnnbn__node *member, double min, double max, double *out)
{
    char shown[CNNBN__SHOW_MAX];
    if (cnnbn__node_to_float(member, out) && *out >= min && *out <= max) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "%s: %s = %s, expected a number from %g to %g", rule, member->key,
                       cnnbn__node_show(member, shown, sizeof shown), min, max);
}

/* ---------------------------------------------------------------- regularisers */

enum { HAS_L1 = 1, HAS_L2 = 2 };

static const struct {
    const char *name, *class_name;
    int has;
} regularizers[] = {{"l1", "L1", HAS_L1}, {"l2", "L2", HAS_L2}, {"l1_l2", "L1L2", HAS_L1 | HAS_L2}};

static cnnbn_status read_strengths(const cnnbn__node *map, const char *rule, int has, cnnbn_regularizer *out)
{
    for (const cnnbn__node *n = map && map->kind == CNNBN__MAP ? map->first : NULL; n; n = n->next) {
        int is_l1 = strcmp(n->key, "l1") == 0, is_l2 = strcmp(n->key, "l2") == 0;
        if (!(is_l1 && (has & HAS_L1)) && !(is_l2 && (has & HAS_L2)))
            return cnnbn_error(CNNBN_ERR_MODEL, "regularizer %s has no argument %.60s", rule, n->key);
        CNNBN_TRY(read_number(rule, n, 0, 1e30, is_l1 ? &out->l1 : &out->l2));
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__regularizer_read(const cnnbn__node *node, cnnbn_regularizer *out)
{
    const double fallback = 0.01; /* of Keras' L1 and L2 */
    char shown[CNNBN__SHOW_MAX];
    const cnnbn__node *config;
    const char *name = rule_name(node, &config);
    *out = (cnnbn_regularizer){0, 0};
    if (!name && (cnnbn__node_get(node, "l1") || cnnbn__node_get(node, "l2")))
        return read_strengths(node, "l1_l2", HAS_L1 | HAS_L2, out);
    for (size_t i = 0; name && i < sizeof regularizers / sizeof *regularizers; i++) {
        if (strcmp(name, regularizers[i].name) != 0 && strcmp(name, regularizers[i].class_name) != 0) continue;
        int has = regularizers[i].has;
        /* Keras 2 takes the bare name for 0.01 and 0.01, Keras 3 for nothing at all. */
        if (has == (HAS_L1 | HAS_L2) && !config)
            return cnnbn_error(CNNBN_ERR_MODEL, "regularizer l1_l2: state how strong, as in {l1: 0.001, l2: 0.001}");
        if (has != (HAS_L1 | HAS_L2)) *(has == HAS_L1 ? &out->l1 : &out->l2) = fallback;
        return read_strengths(config, regularizers[i].name, has, out);
    }
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "regularizer %s is not supported; use l1, l2 or l1_l2, such as {l2: 0.0001}, or remove it",
                       cnnbn__node_show(node, shown, sizeof shown));
}

void cnnbn__regularizer_write(cnnbn__text *text, const cnnbn_regularizer *rule, int keras)
{
    /* L1L2 with both numbers: every Keras knows it. */
    cnnbn__text_add(text, keras ? "{\"class_name\": \"L1L2\", \"config\": {\"l1\": " : "{l1: ");
    cnnbn__text_add_number(text, rule->l1);
    cnnbn__text_add(text, keras ? ", \"l2\": " : ", l2: ");
    cnnbn__text_add_number(text, rule->l2);
    cnnbn__text_add(text, keras ? "}}" : "}");
}

/* ---------------------------------------------------------------- constraints */

/* Keras' names and defaults. Members of the config that a kind does not have are NAN. */
static const struct {
    const char *name, *class_name;
    double min, max, rate;
    int has_axis;
} constraints[] = {
    [CNNBN_CONSTRAINT_MAX_NORM] = {"max_norm", "MaxNorm", (double)NAN, 2, (double)NAN, 1},
    [CNNBN_CONSTRAINT_NON_NEG] = {"non_neg", "NonNeg", (double)NAN, (double)NAN, (double)NAN, 0},
    [CNNBN_CONSTRAINT_UNIT_NORM] = {"unit_norm", "UnitNorm", (double)NAN, (double)NAN, (double)NAN, 1},
    [CNNBN_CONSTRAINT_MIN_MAX_NORM] = {"min_max_norm", "MinMaxNorm", 0, 1, 1, 1},
};
enum { N_CONSTRAINTS = sizeof constraints / sizeof *constraints };

static cnnbn_status read_axes(const cnnbn__node *node, cnnbn_constraint *out)
{
    char shown[CNNBN__SHOW_MAX];
    int list = node->kind == CNNBN__LIST, ok = !list || (node->n >= 1 && node->n <= CNNBN_PARAM_RANK_MAX);
    out->n_axes = list ? node->n : 1;
    const cnnbn__node *item = list ? node->first : node;
    for (int d = 0; ok && d < out->n_axes; d++, item = item->next)
        ok = cnnbn__node_to_int(item, &out->axes[d]) && out->axes[d] >= -CNNBN_PARAM_RANK_MAX &&
             out->axes[d] < CNNBN_PARAM_RANK_MAX;
    return ok ? CNNBN_OK
              : cnnbn_error(CNNBN_ERR_MODEL, "axis = %s: expected an axis of the weight, or a list of up to %d of them",
                            cnnbn__node_show(node, shown, sizeof shown), CNNBN_PARAM_RANK_MAX);
}

static cnnbn_status read_member(const cnnbn__node *n, cnnbn_constraint *out)
{
    const char *rule = constraints[out->kind].name;
    if (strcmp(n->key, "axis") == 0 && constraints[out->kind].has_axis) return read_axes(n, out);
    if (strcmp(n->key, "max_value") == 0 && !isnan(out->max)) return read_number(rule, n, 0, 1e30, &out->max);
    if (strcmp(n->key, "min_value") == 0 && !isnan(out->min)) return read_number(rule, n, 0, 1e30, &out->min);
    if (strcmp(n->key, "rate") == 0 && !isnan(out->rate)) return read_number(rule, n, 0, 1, &out->rate);
    return cnnbn_error(CNNBN_ERR_MODEL, "has no argument %.60s", n->key);
}

/* What a kind does not have takes the value that makes it a case of min_max_norm. */
static cnnbn_status complete(cnnbn_constraint *out)
{
    if (out->kind == CNNBN_CONSTRAINT_UNIT_NORM) out->min = out->max = 1;
    if (isnan(out->min)) out->min = 0;
    if (isnan(out->max)) out->max = 0;
    if (isnan(out->rate)) out->rate = 1;
    if (out->min <= out->max) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "min_value %g is above max_value %g", out->min, out->max);
}

cnnbn_status cnnbn__constraint_read(const cnnbn__node *node, cnnbn_constraint *out)
{
    char shown[CNNBN__SHOW_MAX];
    const cnnbn__node *config;
    const char *name = rule_name(node, &config);
    int k = CNNBN_CONSTRAINT_MAX_NORM;
    while (name && k < N_CONSTRAINTS && strcmp(name, constraints[k].name) != 0 &&
           strcmp(name, constraints[k].class_name) != 0)
        k++;
    if (!name || k == N_CONSTRAINTS)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "constraint %s is not supported; use max_norm, non_neg, unit_norm or min_max_norm, or "
                           "remove it",
                           cnnbn__node_show(node, shown, sizeof shown));
    *out = (cnnbn_constraint){.kind = (cnnbn_constraint_kind)k,
                              .min = constraints[k].min,
                              .max = constraints[k].max,
                              .rate = constraints[k].rate,
                              .n_axes = constraints[k].has_axis};
    cnnbn_status status = CNNBN_OK;
    for (const cnnbn__node *n = config && config->kind == CNNBN__MAP ? config->first : NULL; n && status == CNNBN_OK;
         n = n->next)
        status = read_member(n, out);
    if (status == CNNBN_OK) status = complete(out);
    return status == CNNBN_OK ? status : cnnbn_error_context(status, "constraint %s", constraints[k].name);
}

static void member(cnnbn__text *text, const char *name, double value, int keras, int *first)
{
    cnnbn__text_add(text, keras ? "%s\"%s\": " : "%s%s: ", *first ? "" : ", ", name);
    cnnbn__text_add_number(text, value);
    *first = 0;
}

void cnnbn__constraint_write(cnnbn__text *text, const cnnbn_constraint *rule, int keras)
{
    int first = 1, k = (int)rule->kind;
    cnnbn__text_add(text, keras ? "{\"class_name\": \"%s\", \"config\": {" : "{class_name: %s, config: {",
                    constraints[k].class_name);
    if (!isnan(constraints[k].min)) member(text, "min_value", rule->min, keras, &first);
    if (!isnan(constraints[k].max)) member(text, "max_value", rule->max, keras, &first);
    if (!isnan(constraints[k].rate)) member(text, "rate", rule->rate, keras, &first);
    if (rule->n_axes) {
        cnnbn__text_add(text, keras ? "%s\"axis\": " : "%saxis: ", first ? "" : ", ");
        for (int d = 0; d < rule->n_axes; d++)
            cnnbn__text_add(text, "%s%d", d ? ", " : rule->n_axes > 1 ? "[" : "", rule->axes[d]);
        if (rule->n_axes > 1) cnnbn__text_add(text, "]");
    }
    cnnbn__text_add(text, "}}");
}

/* ---------------------------------------------------------------- of a weight */

/* "kernel_regularizer" of "kernel", but "depthwise_regularizer" of "depthwise_kernel". */
static const cnnbn_arg *rule_of(const cnnbn_layer *layer, const char *weight, const char *rule)
{
    char name[64];
    size_t n = strlen(weight);
    if (n > 7 && strcmp(weight + n - 7, "_kernel") == 0) n -= 7;
    (void)snprintf(name, sizeof name, "%.*s_%s", (int)n, weight, rule);
    const cnnbn_arg_spec *spec = cnnbn__arg_find(layer->type, name);
    return spec ? &layer->args[spec - layer->type->args] : NULL;
}

static cnnbn_status count_axes(const cnnbn_param *p, cnnbn_constraint *c)
{
    unsigned seen = 0;
    for (int d = 0; d < c->n_axes; d++) {
        int axis = c->axes[d] < 0 ? c->axes[d] + p->rank : c->axes[d];
        if (axis < 0 || axis >= p->rank || (seen >> axis & 1))
            return cnnbn_error(CNNBN_ERR_MODEL, "constraint of %s: axis %d is %s of its %d axes", p->name, c->axes[d],
                               axis < 0 || axis >= p->rank ? "none" : "named twice", p->rank);
        seen |= 1U << axis;
        c->axes[d] = axis;
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__param_rules(const cnnbn_layer *layer, cnnbn_param *p)
{
    if (!p->trainable) return CNNBN_OK; /* as in Keras 3: what does not train has no penalty, and is not updated */
    const cnnbn_arg *regularizer = rule_of(layer, p->name, "regularizer"),
                    *constraint = rule_of(layer, p->name, "constraint");
    if (regularizer) p->regularizer = regularizer->regularizer;
    if (!constraint) return CNNBN_OK;
    p->constraint = constraint->constraint;
    return count_axes(p, &p->constraint);
}
