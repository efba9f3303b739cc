/* Loss and metrics: choosing them, whether they fit model and data, and what they are called. */
#include "objective.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"

/* A row of float classes sums to 1 but for rounding, of float16 too. */
static const double sum_tolerance = 1e-2;

static int is_categorical(cnnbn_loss_kind loss)
{
    return loss == CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY || loss == CNNBN_LOSS_CATEGORICAL_CROSSENTROPY;
}

static int is_crossentropy(cnnbn_loss_kind loss)
{
    return is_categorical(loss) || loss == CNNBN_LOSS_BINARY_CROSSENTROPY;
}

/* ---------------------------------------------------------------- the loss */

static int find_loss(const char *name, cnnbn_loss_kind *out)
{
    for (int k = 0; k <= CNNBN_LOSS_HUBER; k++)
        if (strcmp(name, cnnbn_loss_name((cnnbn_loss_kind)k)) == 0) {
            *out = (cnnbn_loss_kind)k;
            return 1;
        }
    return 0;
}

static cnnbn_status loss_of_option(const char *name, objective *o)
{
    if (find_loss(name, &o->loss)) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_OPTION,
                       "--loss '%s': must be sparse_categorical_crossentropy, categorical_crossentropy, "
                       "binary_crossentropy, mse, mae or huber",
                       name);
}

/* *found: the file names one. Its smoothing and delta hold where the options say nothing. */
static cnnbn_status loss_of_file(const objective_wish *wish, objective *o, int *found)
{
    cnnbn_compiled compiled;
    *found = 0;
    if (!wish->compiled) return CNNBN_OK;
    CNNBN_TRY(cnnbn_model_compiled(wish->compiled, wish->compiled_from, &compiled));
    if (!compiled.loss[0]) return CNNBN_OK;
    if (!find_loss(compiled.loss, &o->loss))
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: was compiled with the loss %s, which is not known here: give --loss",
                           wish->compiled_from, compiled.loss);
    if (wish->label_smoothing < 0) o->label_smoothing = compiled.label_smoothing;
    if (wish->huber_delta < 0) o->huber_delta = compiled.delta;
    *found = 1;
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1) || !(o->huber_delta > 0 && isfinite(o->huber_delta)))
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "%s: was compiled with label_smoothing %g and delta %g, expected 0 to 1 and above 0: give "
                           "--loss, --label-smoothing and --huber-delta",
                           wish->compiled_from, o->label_smoothing, o->huber_delta);
    return CNNBN_OK;
}

static cnnbn_status default_loss(const cnnbn_dataset_info *data, const char *model_name, objective *o)
{
    int in_unit = data->target_least >= 0 && data->target_most <= 1;
    if (!o->has_values && o->end == CNNBN_END_LINEAR && o->n_outputs == 1 && !o->from_logits)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "model %s has one linear output and %s: %s holds class numbers: --loss binary_crossentropy "
                           "for classes 0 and 1, or --loss mse for numbers?",
                           model_name, data->path, data->y_name);
    if (o->end == CNNBN_END_SIGMOID || (o->end == CNNBN_END_LINEAR && o->n_outputs == 1 && !o->has_values))
        o->loss = o->has_values && !in_unit ? CNNBN_LOSS_MSE : CNNBN_LOSS_BINARY_CROSSENTROPY;
    else if (!o->has_values)
        o->loss = CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
    else
        o->loss = o->end == CNNBN_END_SOFTMAX ? CNNBN_LOSS_CATEGORICAL_CROSSENTROPY : CNNBN_LOSS_MSE;
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- whether y fits */

static cnnbn_status check_classes(const objective *o, const char *model_name, const cnnbn_dataset_info *data)
{
    if (o->n_outputs == 1 && is_crossentropy(o->loss) && data->n_classes > 2)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %s holds %d classes; %s of one output expects 0 and 1", data->path,
                           data->y_name, data->n_classes, cnnbn_loss_name(o->loss));
    if (o->n_outputs > 1 && o->n_outputs < data->n_classes)
        return cnnbn_error(CNNBN_ERR_MODEL, "model %s has %d outputs, %s has labels of %d classes", model_name,
                           o->n_outputs, data->path, data->n_classes);
    return CNNBN_OK;
}

static cnnbn_status check_values(const objective *o, const char *model_name, const cnnbn_dataset_info *data)
{
    if (o->loss == CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY)
        return cnnbn_error(CNNBN_ERR_DATA,
                           "%s: %s holds %d values a sample, sparse_categorical_crossentropy expects class numbers: "
                           "--loss categorical_crossentropy",
                           data->path, data->y_name, data->n_targets);
    if (data->n_targets != o->n_outputs)
        return cnnbn_error(CNNBN_ERR_MODEL, "model %s has %d output%s, %s: %s holds %d value%s a sample", model_name,
                           o->n_outputs, o->n_outputs == 1 ? "" : "s", data->path, data->y_name, data->n_targets,
                           data->n_targets == 1 ? "" : "s");
    if (!is_crossentropy(o->loss)) return CNNBN_OK;
    if (data->target_least < 0 || data->target_most > 1)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %s holds values from %g to %g, %s expects 0 to 1", data->path,
                           data->y_name, (double)data->target_least, (double)data->target_most,
                           cnnbn_loss_name(o->loss));
    if (is_categorical(o->loss) && data->target_sum_error > sum_tolerance)
        cnnbn_warn("%s: samples of %s do not sum to 1 (off by up to %.3g): several classes a sample are for a sigmoid "
                   "and binary_crossentropy",
                   data->path, data->y_name, data->target_sum_error);
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- metrics */

static int counts_classes(const objective *o)
{
    return is_crossentropy(o->loss) || !o->has_values || o->one_class;
}

static const char *default_metrics(const objective *o)
{
    if (o->loss == CNNBN_LOSS_BINARY_CROSSENTROPY && o->has_values && o->n_outputs > 1) return "binary_accuracy";
    if (is_crossentropy(o->loss) || (!o->has_values && o->n_outputs > 1)) return "accuracy";
    return o->loss == CNNBN_LOSS_MAE ? "mse" : "mae";
}

static cnnbn_status read_metric(const char *name, const objective *o, cnnbn_metric *out)
{
    static const struct {
        const char *name;
        cnnbn_metric_kind kind;
    } words[] = {{"accuracy", CNNBN_METRIC_ACCURACY},
                 {"binary_accuracy", CNNBN_METRIC_BINARY_ACCURACY},
                 {"auc", CNNBN_METRIC_AUC},
                 {"mae", CNNBN_METRIC_MAE},
                 {"mse", CNNBN_METRIC_MSE}};
    int known = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].name) == 0) {
            *out = (cnnbn_metric){words[i].kind, 0};
            known = 1;
        }
    if (strncmp(name, "top-", 4) == 0) {
        char *end;
        long k = strtol(name + 4, &end, 10);
        if (name[4] < '1' || name[4] > '9' || *end || k > o->n_outputs)
            return cnnbn_error(CNNBN_ERR_OPTION, "--metrics %s: top-1 to top-%d are possible with %d output%s", name,
                               o->n_outputs, o->n_outputs, o->n_outputs == 1 ? "" : "s");
        *out = (cnnbn_metric){CNNBN_METRIC_TOP, (int)k};
        known = 1;
    }
    if (!known)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "--metrics '%s': must be some of accuracy, top-K, binary_accuracy, auc, mae, mse, or none",
                           name);
    int is_distance = out->kind == CNNBN_METRIC_MAE || out->kind == CNNBN_METRIC_MSE;
    if (!is_distance && !counts_classes(o))
        return cnnbn_error(CNNBN_ERR_OPTION, "--metrics %s: y holds values and the loss is %s: mae or mse", name,
                           cnnbn_loss_name(o->loss));
    return CNNBN_OK;
}

static cnnbn_status read_metrics(const char *list, objective *o)
{
    o->n_metrics = 0;
    if (strcmp(list, "none") == 0) return CNNBN_OK;
    for (const char *at = list;;) {
        size_t length = strcspn(at, ",");
        if (o->n_metrics == CNNBN_METRICS_MAX)
            return cnnbn_error(CNNBN_ERR_OPTION, "--metrics %s: at most %d are possible", list, CNNBN_METRICS_MAX);
        char *name = o->names[o->n_metrics];
        if (length >= sizeof o->names[0]) length = sizeof o->names[0] - 1;
        memcpy(name, at, length);
        name[length] = '\0';
        CNNBN_TRY(read_metric(name, o, &o->metrics[o->n_metrics]));
        for (int m = 0; m < o->n_metrics; m++)
            if (strcmp(o->names[m], name) == 0)
                return cnnbn_error(CNNBN_ERR_OPTION, "--metrics %s: %s is there twice", list, name);
        o->n_metrics++;
        at += strcspn(at, ",");
        if (!*at) return CNNBN_OK;
        at++;
    }
}

/* ---------------------------------------------------------------- all of it */

static cnnbn_status begin(const objective_wish *wish, const cnnbn_model *model, objective *o, int *found)
{
    memset(o, 0, sizeof *o);
    *found = 1;
    o->from_logits = wish->from_logits;
    o->label_smoothing = wish->label_smoothing > 0 ? wish->label_smoothing : 0;
    o->huber_delta = wish->huber_delta > 0 ? wish->huber_delta : 1;
    o->n_outputs = cnnbn_model_n_outputs(model);
    CNNBN_TRY(cnnbn_net_model_end(model, &o->end));
    return wish->loss ? loss_of_option(wish->loss, o) : loss_of_file(wish, o, found);
}

cnnbn_status objective_choose(const objective_wish *wish, const cnnbn_model *model, const char *model_name,
                              const cnnbn_dataset_info *data, objective *o)
{
    int found;
    CNNBN_TRY(begin(wish, model, o, &found));
    o->has_values = data->n_targets > 0;
    o->one_class = data->n_targets > 1 && data->target_least >= 0 && data->target_most <= 1 &&
                   data->target_sum_error <= sum_tolerance;
    if (!found) CNNBN_TRY(default_loss(data, model_name, o));
    CNNBN_TRY(o->has_values ? check_values(o, model_name, data) : check_classes(o, model_name, data));
    if (wish->label_smoothing > 0 && !is_crossentropy(o->loss))
        return cnnbn_error(CNNBN_ERR_OPTION, "--label-smoothing %g: the loss %s has no labels to smooth",
                           wish->label_smoothing, cnnbn_loss_name(o->loss));
    if (wish->huber_delta > 0 && o->loss != CNNBN_LOSS_HUBER)
        return cnnbn_error(CNNBN_ERR_OPTION, "--huber-delta %g: the loss is %s; add --loss huber", wish->huber_delta,
                           cnnbn_loss_name(o->loss));
    return read_metrics(wish->metrics ? wish->metrics : default_metrics(o), o);
}

cnnbn_status objective_of_file(const objective_wish *wish, const cnnbn_model *model, objective *o)
{
    int found;
    CNNBN_TRY(begin(wish, model, o, &found));
    if (found) return CNNBN_OK;
    o->loss = o->end == CNNBN_END_SIGMOID                      ? CNNBN_LOSS_BINARY_CROSSENTROPY
              : o->end == CNNBN_END_OTHER || o->n_outputs == 1 ? CNNBN_LOSS_MSE
                                                               : CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
    return CNNBN_OK;
}

void objective_configure(const objective *o, cnnbn_net_config *config)
{
    config->loss = o->loss;
    config->from_logits = o->from_logits;
    config->label_smoothing = (float)o->label_smoothing;
    config->huber_delta = (float)o->huber_delta;
    config->n_metrics = o->n_metrics;
    memcpy(config->metrics, o->metrics, sizeof config->metrics);
}

void objective_metrics_text(const objective *o, char *text, size_t bytes)
{
    size_t used = 0;
    (void)snprintf(text, bytes, "none");
    for (int m = 0; m < o->n_metrics && used < bytes; m++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", m ? "," : "", o->names[m]);
}
