/* Internal: what a run makes small and what it measures. */
#ifndef CNNBN_OBJECTIVE_INTERNAL_H
#define CNNBN_OBJECTIVE_INTERNAL_H

#include "cnnbn/train.h"

typedef struct objective {
    cnnbn_loss_kind loss;
    int from_logits;
    double label_smoothing, huber_delta;
    cnnbn_net_end end; /* of the model */
    int n_outputs;
    int has_values; /* y holds values, not class numbers */
    int one_class;  /* of which a sample's are one of K classes */
    int n_metrics;
    cnnbn_metric metrics[CNNBN_METRICS_MAX];
    char names[CNNBN_METRICS_MAX][24]; /* as given: columns of logs are called so */
} objective;

/* What was asked for; NULL, and a negative smoothing or delta: chosen. */
typedef struct objective_wish {
    const char *loss, *metrics;
    int from_logits;
    double label_smoothing, huber_delta;
    const char *compiled, *compiled_from; /* cnnbn_model_compiled's text and its file; NULL: none */
} objective_wish;

/* The loss: asked for, or what a file was compiled with, or what fits data and model; and checks that both fit it. Messages name the
 * data's file and path in it: CNNBN_ERR_OPTION, CNNBN_ERR_MODEL, CNNBN_ERR_DATA. */
cnnbn_status objective_choose(const objective_wish *wish, const cnnbn_model *model, const char *model_name,
                              const cnnbn_dataset_info *data, objective *out) CNNBN_MUST_CHECK;
/* The loss alone, where there is no data to look at. */
cnnbn_status objective_of_file(const objective_wish *wish, const cnnbn_model *model, objective *out) CNNBN_MUST_CHECK;

/* Its part of the configuration of a net. */
void objective_configure(const objective *o, cnnbn_net_config *config);

/* "accuracy,top-5" */
void objective_metrics_text(const objective *o, char *text, size_t bytes);
/* Keras' training_config: loss and metrics, with the optimiser by its class and rate. Owned: cnnbn_free. */
cnnbn_status objective_to_keras(const objective *o, const cnnbn_optimizer *optimizer, char **out) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- figures of an epoch */

typedef struct epoch_figures {
    int has_val;
    double loss, val_loss;
    double metrics[CNNBN_METRICS_MAX], val_metrics[CNNBN_METRICS_MAX];
} epoch_figures;

/* Whether a name such as "val_accuracy" is one of the run's; CNNBN_ERR_OPTION with those there are. */
cnnbn_status figure_check(const objective *o, const char *option, const char *name) CNNBN_MUST_CHECK;
double figure_of(const objective *o, const epoch_figures *f, const char *name);
/* Losses and distances: smaller is better. */
int figure_falls(const objective *o, const char *name);
/* Columns of a CSV file as Keras' CSVLogger orders them, by their names, each with a comma in front: their names (f NULL), or their
 * values. */
void figures_columns(const objective *o, int has_val, const epoch_figures *f, char *text, size_t bytes);
/* " - loss: 0.1234 - accuracy: 0.5678", with has_val also " - val_loss: ..." */
void figures_line(const objective *o, const epoch_figures *f, char *text, size_t bytes);
/* The figures of sums (net.h) over n samples: those of training, or with is_val those of validation. */
void figures_from_sums(const cnnbn_net *net, const objective *o, const double *sums, double n, int is_val,
                       epoch_figures *f);
enum { FIGURES_TEXT = 1024 };

#endif
