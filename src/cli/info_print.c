/* What a checkpoint, a dataset or a model holds, in words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cnnbn/layer.h"
#include "main_info.h"

static const char option_prefix[] = "option.";

/* A kernel meets every position of the output once: (R, S, C, K) of a convolution P x Q times, (in, out) of a dense layer
 * once; that of a transposed convolution every position of the input. Biases, batch norms, activations and pools are additions or per cent. */
double info_multiplications(const cnnbn_model *model)
{
    double total = 0;
    for (int c = 1; c < model->n_calls; c++) {
        const cnnbn_call *call = &model->calls[c];
        const cnnbn_layer *layer = &model->layers[call->layer];
        cnnbn_shape at =
            strcmp(layer->type->name, "Conv2DTranspose") == 0 ? model->calls[call->inputs[0]].shape : call->shape;
        double positions = 1;
        for (int d = 0; d + 1 < at.rank; d++) positions *= at.dim[d];
        for (int p = 0; p < layer->n_params; p++) {
            const cnnbn_param *param = &model->params[layer->first_param + p];
            if (strstr(param->name, "kernel")) total += positions * (double)param->count;
        }
    }
    return total;
}

cnnbn_status info_list_models(const cnnbn_model_wish *wish)
{
    char shape[48], count[32];
    (void)printf("Built-in models for images %s and %d classes:\n\n",
                 cnnbn_shape_text(wish->input, shape, sizeof shape), wish->n_classes);
    (void)printf("%-16s  %14s  %24s\n", "model", "parameters", "MFLOP of a forward pass");
    for (const char *const *name = cnnbn_model_builtin_names(); *name; name++) {
        cnnbn_model *model;
        cnnbn_status status = cnnbn_model_load(*name, wish, &model);
        if (status == CNNBN_ERR_MODEL || status == CNNBN_ERR_OPTION) { /* too small images, no such --norm */
            (void)printf("%-16s  %s\n", *name, cnnbn_error_message());
            continue;
        }
        CNNBN_TRY(status);
        (void)printf("%-16s  %14s  %24.1f\n", *name, cli_thousands(cnnbn_model_count_params(model, 0), count),
                     2e-6 * info_multiplications(model));
        cnnbn_model_destroy(model);
    }
    return CNNBN_OK;
}

void info_print_model(const cnnbn_model *model)
{
    cnnbn_model_print_summary(model, stdout);
    (void)printf("MFLOP of a forward pass: %.1f an image\n", 2e-6 * info_multiplications(model));
}

static int64_t fact(const cnnbn_checkpoint *checkpoint, const char *key)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(checkpoint, key);
    return m && m->kind == CNNBN_META_INT ? m->i : 0;
}

static const char *text_fact(const cnnbn_checkpoint *checkpoint, const char *key)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(checkpoint, key);
    return m && m->kind == CNNBN_META_TEXT ? m->text : "";
}

static void print_class_names(const char *names)
{
    if (!*names) return;
    (void)printf("  classes    ");
    for (const char *c = names; *c; c++) {
        if (*c == '\n')
            (void)fputs(", ", stdout);
        else
            (void)putchar(*c);
    }
    (void)putchar('\n');
}

static void print_meta(const cnnbn_meta *m, const char *key)
{
    switch (m->kind) {
    case CNNBN_META_INT:
        (void)printf("    %-18s %" PRId64 "\n", key, m->i);
        break;
    case CNNBN_META_FLOAT:
        (void)printf("    %-18s %.9g\n", key, m->f);
        break;
    case CNNBN_META_TEXT:
        if (m->text[0]) (void)printf("    %-18s %s\n", key, m->text);
        break;
    }
}

/* Printed in words above the list of the others, or as the model's table below. */
static int is_told(const char *key)
{
    static const char *const told[] = {"epoch",       "step",       "global_step", "restarts",
                                       "class_names", "written_by", "model_yaml",  NULL};
    for (const char *const *t = told; *t; t++)
        if (strcmp(key, *t) == 0) return 1;
    return 0;
}

static void print_facts(const cnnbn_checkpoint *checkpoint, int options, const char *title)
{
    const size_t n = sizeof option_prefix - 1;
    int any = 0;
    for (int i = 0; i < checkpoint->n_meta; i++) {
        const cnnbn_meta *m = &checkpoint->meta[i];
        int is_option = strncmp(m->key, option_prefix, n) == 0;
        if (is_option != options || is_told(m->key)) continue;
        if (!any++) (void)printf("  %s\n", title);
        print_meta(m, is_option ? m->key + n : m->key);
    }
}

static void print_own(const cnnbn_checkpoint *checkpoint)
{
    int64_t restarts = fact(checkpoint, "restarts");
    if (*text_fact(checkpoint, "written_by")) (void)printf("  written by %s\n", text_fact(checkpoint, "written_by"));
    if (cnnbn_checkpoint_meta(checkpoint, "global_step")) {
        (void)printf("  epoch      %" PRId64 " done, %" PRId64 " steps into the next\n", fact(checkpoint, "epoch"),
                     fact(checkpoint, "step"));
        (void)printf("  step       %" PRId64, fact(checkpoint, "global_step"));
        if (restarts) (void)printf(", %" PRId64 " restart%s", restarts, restarts == 1 ? "" : "s");
        (void)putchar('\n');
    }
    for (int i = 0; i < checkpoint->n_slots; i++) {
        char count[32];
        (void)printf("  optimiser  slot %s, %s values\n", checkpoint->slots[i].name,
                     cli_thousands(checkpoint->slots[i].n, count));
    }
    print_class_names(text_fact(checkpoint, "class_names"));
    print_facts(checkpoint, 1, "options");
    print_facts(checkpoint, 0, "facts");
}

void info_print_checkpoint(const char *path, const cnnbn_checkpoint *checkpoint)
{
    (void)printf("%s: %s\n", path, checkpoint->is_cnnbn ? "checkpoint of cnnbn" : "Keras model without training state");
    (void)printf("  digest     %s\n", checkpoint->digest);
    if (checkpoint->is_cnnbn) print_own(checkpoint);
    if (checkpoint->training_config) (void)printf("  training_config of Keras is there\n");
    (void)putchar('\n');
    info_print_model(checkpoint->model);
}

static void print_floats(const char *name, const float *values, int n)
{
    if (!values) return;
    (void)printf("  %-10s", name);
    for (int c = 0; c < n; c++) (void)printf(" %.6g", (double)values[c]);
    (void)putchar('\n');
}

void info_print_dataset(const cnnbn_dataset_info *info, const char *digest)
{
    char shape[48], counts[2][32];
    (void)printf("%s: dataset\n", info->path);
    (void)printf("  digest     %s\n", digest);
    (void)printf("  images     %s training, %s test\n", cli_thousands(info->n[CNNBN_TRAIN], counts[0]),
                 cli_thousands(info->n[CNNBN_TEST], counts[1]));
    (void)printf("  each       %s %s\n", cnnbn_shape_text(info->shape, shape, sizeof shape),
                 info->is_u8 ? "uint8" : "float32");
    if (info->n_targets)
        (void)printf("  values     %d a sample, from %.6g to %.6g%s", info->n_targets, (double)info->target_least,
                     (double)info->target_most, info->class_names ? ": " : "\n");
    else
        (void)printf("  classes    %d%s", info->n_classes, info->class_names ? ": " : "\n");
    for (int k = 0; info->class_names && k < info->n_classes; k++)
        (void)printf("%s%s", info->class_names[k], k + 1 < info->n_classes ? ", " : "\n");
    print_floats("mean", info->mean, info->shape.dim[2]);
    print_floats("std", info->std, info->shape.dim[2]);
    if (info->source[0]) (void)printf("  source     %s\n", info->source);
    if (info->licence[0]) (void)printf("  licence    %s\n", info->licence);
    (void)printf("  (cnnbn-data info shows the classes' counts)\n");
}
