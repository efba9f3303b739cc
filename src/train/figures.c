/* Figures of an epoch by their names: loss, accuracy, val_loss, ... */
#include <stdio.h>
#include <string.h>

#include "objective.h"

/* The metric that is called so; -1: the loss; -2: none. */
static int find(const objective *o, const char *name)
{
    if (strncmp(name, "val_", 4) == 0) name += 4;
    if (strcmp(name, "loss") == 0) return -1;
    for (int m = 0; m < o->n_metrics; m++)
        if (strcmp(name, o->names[m]) == 0) return m;
    return -2;
}

cnnbn_status figure_check(const objective *o, const char *option, const char *name)
{
    char metrics[256];
    if (find(o, name) != -2) return CNNBN_OK;
    objective_metrics_text(o, metrics, sizeof metrics);
    return cnnbn_error(CNNBN_ERR_OPTION, "%s '%s': must be loss or a metric of the run (%s), or one with val_", option,
                       name, metrics);
}

double figure_of(const objective *o, const epoch_figures *f, const char *name)
{
    int m = find(o, name), is_val = strncmp(name, "val_", 4) == 0;
    if (m < 0) return is_val ? f->val_loss : f->loss;
    return is_val ? f->val_metrics[m] : f->metrics[m];
}

int figure_falls(const objective *o, const char *name)
{
    int m = find(o, name);
    return m < 0 || o->metrics[m].kind == CNNBN_METRIC_MAE || o->metrics[m].kind == CNNBN_METRIC_MSE;
}

static double value_of(const epoch_figures *f, int m, int is_val)
{
    if (m < 0) return is_val ? f->val_loss : f->loss;
    return is_val ? f->val_metrics[m] : f->metrics[m];
}

static const char *name_of(const objective *o, int m)
{
    return m < 0 ? "loss" : o->names[m];
}

/* The figure whose name comes after that of `last` (-2: the first one); -2 when there is none. */
static int next_by_name(const objective *o, int last)
{
    int next = -2;
    for (int m = -1; m < o->n_metrics; m++) {
        if (last != -2 && strcmp(name_of(o, m), name_of(o, last)) <= 0) continue;
        if (next == -2 || strcmp(name_of(o, m), name_of(o, next)) < 0) next = m;
    }
    return next;
}

void figures_columns(const objective *o, int has_val, const epoch_figures *f, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int is_val = 0; is_val <= has_val; is_val++)
        for (int m = next_by_name(o, -2); m != -2 && used < bytes; m = next_by_name(o, m))
            used += (size_t)(f ? snprintf(text + used, bytes - used, ",%.9g", value_of(f, m, is_val))
                               : snprintf(text + used, bytes - used, ",%s%s", is_val ? "val_" : "", name_of(o, m)));
}

void figures_line(const objective *o, const epoch_figures *f, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int is_val = 0; is_val <= f->has_val; is_val++)
        for (int m = -1; m < o->n_metrics && used < bytes; m++)
            used += (size_t)snprintf(text + used, bytes - used, " - %s%s: %.4f", is_val ? "val_" : "", name_of(o, m),
                                     value_of(f, m, is_val));
}

void figures_from_sums(const cnnbn_net *net, const objective *o, const double *sums, double n, int is_val,
                       epoch_figures *f)
{
    *(is_val ? &f->val_loss : &f->loss) = sums[0] / n;
    for (int m = 0; m < o->n_metrics; m++)
        (is_val ? f->val_metrics : f->metrics)[m] = cnnbn_net_metric(net, m, sums, n);
}
