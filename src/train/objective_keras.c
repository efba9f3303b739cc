/* Loss and metrics in Keras' words: the training_config of a checkpoint. Words that Keras 2 and 3 read alike. */
#include "objective.h"

#include <stdarg.h>
#include <stdio.h>

#include "cnnbn/memory.h"

typedef struct words {
    char text[4096];
    size_t used;
} words;

static void add(words *w, const char *format, ...) CNNBN_PRINTF(2, 3);

static void add(words *w, const char *format, ...)
{
    if (w->used >= sizeof w->text) return;
    va_list args;
    va_start(args, format);
    w->used += (size_t)vsnprintf(w->text + w->used, sizeof w->text - w->used, format, args);
    va_end(args);
}

static int is_crossentropy(const objective *o)
{
    return o->loss <= CNNBN_LOSS_BINARY_CROSSENTROPY;
}

static const char *boolean(int value)
{
    return value ? "true" : "false";
}

/* A cross-entropy's name where the defaults hold; else the class, whose other arguments keep theirs. (Keras 3 does not read the short
 * names of the others from an .h5.) */
static void add_loss(words *w, const objective *o)
{
    static const char *const classes[] = {"SparseCategoricalCrossentropy",
                                          "CategoricalCrossentropy",
                                          "BinaryCrossentropy",
                                          "MeanSquaredError",
                                          "MeanAbsoluteError",
                                          "Huber"};
    int logits = is_crossentropy(o) && o->end == CNNBN_END_LINEAR;
    int smooths = is_crossentropy(o) && o->loss != CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY && o->label_smoothing > 0;
    if (is_crossentropy(o) && !logits && !smooths) {
        add(w, "\"%s\"", cnnbn_loss_name(o->loss));
        return;
    }
    add(w, "{\"class_name\": \"%s\", \"config\": {", classes[o->loss]);
    if (o->loss == CNNBN_LOSS_HUBER) add(w, "\"delta\": %.17g", o->huber_delta);
    if (is_crossentropy(o)) add(w, "\"from_logits\": %s", boolean(logits));
    if (smooths) add(w, ", \"label_smoothing\": %.17g", o->label_smoothing);
    add(w, "}}");
}

static void add_metric(words *w, const objective *o, int m)
{
    int logits = o->end == CNNBN_END_LINEAR && o->loss == CNNBN_LOSS_BINARY_CROSSENTROPY;
    const cnnbn_metric *metric = &o->metrics[m];
    int kind = (int)metric->kind;
    if (kind == CNNBN_METRIC_ACCURACY && o->n_outputs == 1) kind = CNNBN_METRIC_BINARY_ACCURACY;
    switch ((cnnbn_metric_kind)kind) {
    case CNNBN_METRIC_ACCURACY:
        add(w, "\"%s\"", o->names[m]);
        break;
    case CNNBN_METRIC_MAE: /* Keras would call a plain "mae" by its long name once it is loaded */
    case CNNBN_METRIC_MSE:
        add(w, "{\"class_name\": \"Mean%sError\", \"config\": {\"name\": \"%s\"}}",
            kind == CNNBN_METRIC_MAE ? "Absolute" : "Squared", o->names[m]);
        break;
    case CNNBN_METRIC_TOP:
        add(w, "{\"class_name\": \"%sTopKCategoricalAccuracy\", \"config\": {\"name\": \"%s\", \"k\": %d}}",
            o->has_values ? "" : "Sparse", o->names[m], metric->top);
        break;
    case CNNBN_METRIC_BINARY_ACCURACY:
        add(w, "{\"class_name\": \"BinaryAccuracy\", \"config\": {\"name\": \"%s\", \"threshold\": %s}}", o->names[m],
            logits ? "0.0" : "0.5");
        break;
    case CNNBN_METRIC_AUC:
        add(w, "{\"class_name\": \"AUC\", \"config\": {\"name\": \"%s\", \"from_logits\": %s}}", o->names[m],
            boolean(logits));
        break;
    }
}

/* Keras makes it anew, without a state: a rate to go on with. Other optimisers' words are not all versions': AdamW and LAMB
 * become Adam, LARS SGD. */
static void add_optimizer(words *w, const cnnbn_optimizer *opt)
{
    if (opt->kind == CNNBN_RMSPROP)
        add(w,
            "{\"class_name\": \"RMSprop\", \"config\": {\"name\": \"RMSprop\", \"learning_rate\": %.17g, \"rho\": "
            "%.17g, "
            "\"momentum\": %.17g, \"epsilon\": %.17g}}",
            opt->lr, opt->rho, opt->momentum, opt->epsilon);
    else if (opt->kind == CNNBN_SGD || opt->kind == CNNBN_LARS)
        add(w,
            "{\"class_name\": \"SGD\", \"config\": {\"name\": \"SGD\", \"learning_rate\": %.17g, \"momentum\": %.17g, "
            "\"nesterov\": %s}}",
            opt->lr, opt->momentum, boolean(opt->nesterov));
    else
        add(w,
            "{\"class_name\": \"Adam\", \"config\": {\"name\": \"Adam\", \"learning_rate\": %.17g, \"beta_1\": %.17g, "
            "\"beta_2\": %.17g, \"epsilon\": %.17g}}",
            opt->lr, opt->beta1, opt->beta2, opt->epsilon);
}

cnnbn_status objective_to_keras(const objective *o, const cnnbn_optimizer *optimizer, char **out)
{
    words w = {.used = 0};
    add(&w, "{\"optimizer_config\": ");
    add_optimizer(&w, optimizer);
    add(&w, ", \"loss\": ");
    add_loss(&w, o);
    add(&w, ", \"metrics\": [");
    for (int m = 0; m < o->n_metrics; m++) {
        if (m) add(&w, ", ");
        add_metric(&w, o, m);
    }
    add(&w, "], \"weighted_metrics\": null, \"loss_weights\": null}");
    *out = NULL;
    if (w.used >= sizeof w.text)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "a training_config of %zu bytes, expected less than %zu", w.used,
                           sizeof w.text);
    return cnnbn_strdup(w.text, out);
}
