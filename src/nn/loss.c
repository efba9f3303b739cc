/* The loss and the metrics: which value they read, which kernels make them, where their sums stand. */
#include <string.h>

#include "cnnbn/memory.h"
#include "ir.h"

static const char *const loss_names[] = {
    [CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY] = "sparse_categorical_crossentropy",
    [CNNBN_LOSS_CATEGORICAL_CROSSENTROPY] = "categorical_crossentropy",
    [CNNBN_LOSS_BINARY_CROSSENTROPY] = "binary_crossentropy",
    [CNNBN_LOSS_MSE] = "mse",
    [CNNBN_LOSS_MAE] = "mae",
    [CNNBN_LOSS_HUBER] = "huber",
};

const char *cnnbn_loss_name(cnnbn_loss_kind kind)
{
    return loss_names[kind];
}

static int is_categorical(const cnnbn_net *net)
{
    return net->config.loss <= CNNBN_LOSS_CATEGORICAL_CROSSENTROPY;
}

static int is_sigmoid(const op *o)
{
    return o->kind == OP_ACT && o->act.kind == CNNBN_ACT_SIGMOID;
}

/* The operation that makes the outputs' values: not a Flatten or Reshape behind it. */
static const op *maker_of(const cnnbn_net *net)
{
    const op *o = &net->ops[net->graph_values[net->output_value].producer];
    while (o->kind == OP_RESHAPE) o = &net->ops[net->graph_values[o->in[0]].producer];
    return o;
}

cnnbn_status cnnbn_net_model_end(const cnnbn_model *model, cnnbn_net_end *out)
{
    void *memory;
    *out = CNNBN_END_OTHER;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_net), "a net", &memory));
    cnnbn_net *net = memory;
    net->model = model;
    cnnbn_status status = cnnbn__net_build(net);
    if (status == CNNBN_OK) {
        const op *last = maker_of(net);
        *out = last->kind == OP_SOFTMAX ? CNNBN_END_SOFTMAX
               : is_sigmoid(last)       ? CNNBN_END_SIGMOID
               : last->kind == OP_ACT   ? CNNBN_END_OTHER
                                        : CNNBN_END_LINEAR;
    }
    cnnbn_net_destroy(net);
    return status;
}

static void read_logits(cnnbn_net *net, const op *last)
{
    net->loss_value = last->in[0];
    net->graph_values[net->loss_value].n_uses++; /* keeps the activation apart from what is in front of it */
}

static cnnbn_status find_categorical(cnnbn_net *net, const op *last, const char *layer)
{
    const value *out = &net->graph_values[net->output_value];
    net->loss = net->kernels->softmax_xent;
    if (last->kind == OP_SOFTMAX && last->out != net->output_value)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "layer %s: the softmax must come last: put it behind the Flatten or Reshape", layer);
    if (last->kind == OP_ACT)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "layer %s: the output's activation must be softmax or linear for the loss %s", layer,
                           cnnbn_loss_name(net->config.loss));
    if (out->count < 2)
        return cnnbn_error(CNNBN_ERR_MODEL, "layer %s: %zu output; %s wants at least 2 classes", layer, out->count,
                           cnnbn_loss_name(net->config.loss));
    if (last->kind == OP_SOFTMAX)
        read_logits(net, last);
    else
        net->outputs_are_logits = 1;
    return CNNBN_OK;
}

static cnnbn_status find_binary(cnnbn_net *net, const op *last, const char *layer)
{
    int is_probability = last->kind == OP_SOFTMAX || is_sigmoid(last) ||
                         (last->kind == OP_ACT && last->act.kind == CNNBN_ACT_HARD_SIGMOID);
    if (last->kind == OP_ACT && !is_probability)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "layer %s: the output's activation must be sigmoid or linear for the loss %s (hard_sigmoid "
                           "and softmax are possible)",
                           layer, cnnbn_loss_name(net->config.loss));
    net->loss = is_probability ? net->kernels->binary_xent : net->kernels->sigmoid_xent;
    net->outputs_are_logits = !is_probability;
    if (!is_sigmoid(last) || last->out != net->output_value) return CNNBN_OK;
    net->loss = net->kernels->sigmoid_xent;
    read_logits(net, last);
    return CNNBN_OK;
}

static void find_regression(cnnbn_net *net)
{
    net->loss = net->config.loss == CNNBN_LOSS_MSE   ? net->kernels->squared_error
                : net->config.loss == CNNBN_LOSS_MAE ? net->kernels->absolute_error
                                                     : net->kernels->huber;
}

/* Keras' AUC clips what it gets to [0, 1]: logits would make it a number without a meaning. */
static cnnbn_status check_auc(const cnnbn_net *net, const char *layer)
{
    if (net->config.loss == CNNBN_LOSS_BINARY_CROSSENTROPY) return CNNBN_OK;
    if (net->config.loss == CNNBN_LOSS_CATEGORICAL_CROSSENTROPY && !net->outputs_are_logits) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_OPTION,
                       "--metrics auc: layer %s with the loss %s gives no probabilities of classes by themselves; auc "
                       "wants binary_crossentropy, or categorical_crossentropy behind a softmax",
                       layer, cnnbn_loss_name(net->config.loss));
}

static cnnbn_status place_metrics(cnnbn_net *net, const char *layer)
{
    const cnnbn_net_config *config = &net->config;
    size_t outputs = net->graph_values[net->output_value].count;
    net->n_sums = is_categorical(net) ? 2 : 1;
    for (int m = 0; m < config->n_metrics; m++) {
        const cnnbn_metric *metric = &config->metrics[m];
        if (metric->kind == CNNBN_METRIC_TOP && outputs < 2)
            return cnnbn_error(CNNBN_ERR_OPTION, "--metrics top-%d: layer %s has one output; it wants classes",
                               metric->top, layer);
        if (metric->kind == CNNBN_METRIC_AUC) CNNBN_TRY(check_auc(net, layer));
        int is_distance = metric->kind == CNNBN_METRIC_MAE || metric->kind == CNNBN_METRIC_MSE;
        int is_area = metric->kind == CNNBN_METRIC_AUC && is_categorical(net);
        if ((is_distance || is_area) && net->loss_value != net->output_value) net->metrics_want_output = 1;
        if (metric->kind == CNNBN_METRIC_ACCURACY && is_categorical(net)) {
            net->metric_at[m] = 1;
            continue;
        }
        net->metric_at[m] = net->n_sums;
        net->n_sums += metric->kind == CNNBN_METRIC_AUC ? 2 * (size_t)CNNBN_AUC_BINS : 1;
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__net_find_loss(cnnbn_net *net)
{
    const value *out = &net->graph_values[net->output_value];
    const op *last = maker_of(net);
    const char *layer = last->layer >= 0 ? net->model->layers[last->layer].name : "input";
    net->loss_value = net->output_value;
    if (out->shape.rank != 1)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "layer %s: the output has %d axes; classification and regression want one: add Flatten or "
                           "GlobalAveragePooling2D, then Dense",
                           layer, out->shape.rank);
    if (is_categorical(net))
        CNNBN_TRY(find_categorical(net, last, layer));
    else if (net->config.loss == CNNBN_LOSS_BINARY_CROSSENTROPY)
        CNNBN_TRY(find_binary(net, last, layer));
    else
        find_regression(net);
    if (net->config.from_logits && !net->outputs_are_logits)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "--from-logits: layer %s with the loss %s gives no logits: it wants a cross-entropy and a "
                           "last layer without activation",
                           layer, cnnbn_loss_name(net->config.loss));
    return place_metrics(net, layer);
}

/* ---------------------------------------------------------------- on a unit */

cnnbn_targets cnnbn__targets_from(const cnnbn_targets *targets, size_t first)
{
    return (cnnbn_targets){targets->labels ? targets->labels + first : NULL,
                           targets->rows ? targets->rows + first : NULL};
}

/* Logits are on their side of 0: of the end's own sigmoid, or of one that Keras' metric is told of. */
static int reads_logits(const cnnbn_net *net)
{
    return net->loss == net->kernels->sigmoid_xent;
}

static void run_metric(const cnnbn_net *net, const cnnbn_metric *metric, const cnnbn_loss *of_loss,
                       const cnnbn_loss *of_output)
{
    const cnnbn_kernels *k = net->kernels;
    int kind = (int)metric->kind;
    if (kind == CNNBN_METRIC_ACCURACY && of_loss->C == 1) kind = CNNBN_METRIC_BINARY_ACCURACY;
    switch ((cnnbn_metric_kind)kind) {
    case CNNBN_METRIC_ACCURACY:
        k->class_hits(of_loss, 0);
        break;
    case CNNBN_METRIC_TOP:
        k->class_hits(of_loss, metric->top);
        break;
    case CNNBN_METRIC_BINARY_ACCURACY:
        k->binary_hits(of_loss, reads_logits(net) ? 0.0f : 0.5f);
        break;
    case CNNBN_METRIC_AUC:
        k->auc_counts(is_categorical(net) ? of_output : of_loss, reads_logits(net));
        break;
    case CNNBN_METRIC_MAE:
        k->absolute_error(of_output);
        break;
    case CNNBN_METRIC_MSE:
        k->squared_error(of_output);
        break;
    }
}

/* The smoothing of the categorical and binary losses is a part of them, in evaluation too, as in Keras, whose sparse one has none. */
static float smoothing_of(const work_unit *u)
{
    const cnnbn_net_config *config = &u->net->config;
    return u->prog->training || config->loss != CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? config->label_smoothing
                                                                                           : 0.0f;
}

void cnnbn__run_loss(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    const net_level *lv = &u->prog->levels[in->level];
    if (!u->targets.labels && !u->targets.rows) return;
    double *sums = u->sums + lv->loss_offset;
    cnnbn_loss args = {
        .run = u->run,
        .C = (int)u->prog->values[in->in[0]].count,
        .x = cnnbn__instr_array(u, in->in[0]),
        .target = u->targets,
        .label_smoothing = smoothing_of(u),
        .delta = net->config.huber_delta,
        .grad_scale = net->grad_scale,
        .dx = in->out >= 0 ? cnnbn__instr_array(u, in->out) : NULL,
        .sums = sums,
        .sums_stride = lv->payload,
    };
    net->loss(&args);
    cnnbn_loss of_output = args;
    of_output.x = cnnbn__instr_array(u, in->in[in->n_in - 1]);
    args.dx = of_output.dx = NULL;
    for (int m = 0; m < net->config.n_metrics; m++) {
        if (net->metric_at[m] == 1 && is_categorical(net)) continue; /* came with the loss */
        args.sums = of_output.sums = sums + net->metric_at[m];
        run_metric(net, &net->config.metrics[m], &args, &of_output);
    }
}

void cnnbn__make_outputs(const cnnbn_net *net, size_t n, size_t count, const float *y, float *outputs)
{
    if (!net->outputs_are_logits)
        memcpy(outputs, y, n * count * sizeof *outputs);
    else if (is_categorical(net))
        net->kernels->softmax(n, (int)count, y, outputs);
    else
        net->kernels->act_fwd(n * count, (cnnbn_activation){CNNBN_ACT_SIGMOID, 0, 0, 0}, y, outputs);
}

/* ---------------------------------------------------------------- figures */

size_t cnnbn_net_n_sums(const cnnbn_net *net)
{
    return net->n_sums;
}

/* Keras' AUC(): true against false positive rate at the thresholds between the bins, by trapezoids. */
static double area(const double *positives, const double *negatives)
{
    double all_positives = 0, all_negatives = 0, tp = 0, fp = 0, sum = 0;
    for (int b = 0; b < CNNBN_AUC_BINS; b++) {
        all_positives += positives[b];
        all_negatives += negatives[b];
    }
    if (!(all_positives > 0) || !(all_negatives > 0)) return 0; /* a rate without cases is 0 there */
    for (int b = CNNBN_AUC_BINS - 1; b >= 0; b--) {
        sum += negatives[b] * (tp + positives[b] / 2);
        tp += positives[b];
        fp += negatives[b];
    }
    return sum / (tp * fp);
}

double cnnbn_net_metric(const cnnbn_net *net, int i, const double *sums, double n)
{
    const double *at = sums + net->metric_at[i];
    size_t outputs = net->graph_values[net->output_value].count;
    if (net->config.metrics[i].kind == CNNBN_METRIC_AUC) return area(at, at + CNNBN_AUC_BINS);
    return *at / (net->config.metrics[i].kind == CNNBN_METRIC_BINARY_ACCURACY ? n * (double)outputs : n);
}
