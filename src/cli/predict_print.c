#include "predict_print.h"

#include <math.h>
#include <stdio.h>

#include "cli_csv.h"

int predict_is_class(const cnnbn_predictor *predictor)
{
    return cnnbn_predictor_loss(predictor) <= CNNBN_LOSS_CATEGORICAL_CROSSENTROPY;
}

void predict_print_header(const predict_format *format, const cnnbn_predictor *predictor)
{
    if (!format->csv) return;
    if (!predict_is_class(predictor)) {
        (void)fputs("input", stdout);
        for (int k = 0; k < cnnbn_model_n_outputs(cnnbn_predictor_model(predictor)); k++) (void)printf(",value_%d", k);
        (void)putchar('\n');
        return;
    }
    (void)fputs("input,class,name,probability", stdout);
    for (int i = 2; i <= format->top; i++) (void)printf(",class_%d,name_%d,probability_%d", i, i, i);
    (void)putchar('\n');
}

/* NaN comes last. */
static int comes_before(const float *p, int a, int b)
{
    if (isnan(p[a]) || isnan(p[b])) return !isnan(p[a]) || (isnan(p[b]) && a < b);
    return p[a] > p[b] || (!(p[a] < p[b]) && a < b);
}

/* The class after `last` in the order of comes_before; the first one for last = -1. */
static int next_class(const float *p, int n, int last)
{
    int best = -1;
    for (int k = 0; k < n; k++) {
        if (k == last || (last >= 0 && !comes_before(p, last, k))) continue;
        if (best < 0 || comes_before(p, k, best)) best = k;
    }
    return best;
}

static const char *class_name(const cnnbn_predictor *predictor, const cnnbn_dataset_info *data, int k)
{
    const char *name = cnnbn_predictor_class_name(predictor, k);
    if (!name && data && data->class_names && k < data->n_classes) name = data->class_names[k];
    return name ? name : "";
}

static void print_values(const predict_format *format, const cnnbn_predictor *predictor, const cnnbn_dataset_info *data,
                         int n, const float *outputs)
{
    for (int k = 0; k < n; k++) {
        const char *name = n > 1 ? class_name(predictor, data, k) : "";
        if (format->csv)
            (void)printf(",%.9g", (double)outputs[k]);
        else
            (void)printf("%s %s%s%.6g", k ? "," : "", name, *name ? " " : "", (double)outputs[k]);
    }
}

void predict_print(const predict_format *format, const cnnbn_predictor *predictor, const cnnbn_dataset_info *data,
                   const char *input, const float *outputs)
{
    int n = cnnbn_model_n_outputs(cnnbn_predictor_model(predictor)), k = -1;
    if (format->csv)
        cli_csv_text(stdout, input);
    else
        (void)printf("%s:", input);
    int is_class = predict_is_class(predictor);
    if (!is_class) print_values(format, predictor, data, n, outputs);
    for (int i = 0; is_class && i < format->top && i < n; i++) {
        k = next_class(outputs, n, k);
        const char *name = class_name(predictor, data, k);
        double p = (double)outputs[k];
        if (format->csv) {
            (void)printf(",%d,", k);
            cli_csv_text(stdout, name);
            (void)printf(",%.9g", p);
        } else {
            (void)printf("%s %d%s%s %.4f", i ? "," : "", k, *name ? " " : "", name, p);
        }
    }
    (void)putchar('\n');
}
