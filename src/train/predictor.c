/* A trained net for inference: evaluation over ranks, and predictions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "trainer.h"

struct cnnbn_predictor {
    cnnbn_checkpoint *checkpoint;
    const cnnbn_kernels *kernels;
    cnnbn_net *net;
    objective aim;
    char *names_text; /* class names, cut at line ends */
    char **names;
    int n_names;
};

/* The file's numbers for the input, as text in meta: "0.48 0.45 0.40". */
static int parse_floats(const cnnbn_checkpoint *c, const char *key, int n, float *out)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(c, key);
    if (!m || m->kind != CNNBN_META_TEXT || !m->text[0]) return 0;
    char *at = m->text;
    for (int i = 0; i < n; i++) {
        char *end;
        out[i] = strtof(at, &end);
        if (end == at || !isfinite(out[i])) return 0;
        at = end;
    }
    return 1;
}

static cnnbn_status split_names(cnnbn_predictor *p)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(p->checkpoint, "class_names");
    void *memory;
    if (!m || m->kind != CNNBN_META_TEXT || !m->text[0]) return CNNBN_OK;
    CNNBN_TRY(cnnbn_strdup(m->text, &p->names_text));
    int n = 1;
    for (const char *c = p->names_text; *c; c++) n += *c == '\n';
    CNNBN_TRY(cnnbn_alloc_array((size_t)n, sizeof(char *), "class names", &memory));
    p->names = memory;
    for (char *at = p->names_text; at;) {
        p->names[p->n_names++] = at;
        at = strchr(at, '\n');
        if (at) *at++ = '\0';
    }
    return CNNBN_OK;
}

/* Images of one channel also fit a model that takes (H, W). */
static cnnbn_status check_shape(const cnnbn_model *model, const cnnbn_dataset_info *info)
{
    char want[64], have[64];
    cnnbn_shape in = model->input;
    if (in.rank == 2) in = (cnnbn_shape){3, {in.dim[0], in.dim[1], 1}};
    if (in.rank == 3 && memcmp(in.dim, info->shape.dim, sizeof in.dim) == 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_DATA, "%s: images %s, the model wants %s", info->path,
                       cnnbn_shape_text(info->shape, have, sizeof have),
                       cnnbn_shape_text(model->input, want, sizeof want));
}

/* The loss that the checkpoint was made with, else what fits; metrics are of an evaluation. */
static cnnbn_status find_objective(cnnbn_predictor *p, const cnnbn_predictor_options *options)
{
    const cnnbn_meta *metrics = cnnbn_checkpoint_meta(p->checkpoint, "option.metrics");
    char *compiled = NULL;
    if (!options->loss) CNNBN_TRY(cnnbn_checkpoint_read_compiled(options->checkpoint, &compiled));
    objective_wish wish = {.loss = options->loss,
                           .metrics = options->metrics,
                           .label_smoothing = -1,
                           .huber_delta = -1,
                           .compiled = compiled,
                           .compiled_from = options->checkpoint};
    if (!wish.metrics && !options->loss && metrics && metrics->kind == CNNBN_META_TEXT) wish.metrics = metrics->text;
    cnnbn_status status =
        options->evaluates ? objective_choose(&wish, p->checkpoint->model, options->checkpoint, options->data, &p->aim)
                           : objective_of_file(&wish, p->checkpoint->model, &p->aim);
    cnnbn_free(compiled);
    return status;
}

static cnnbn_status make_net(cnnbn_predictor *p, cnnbn_comm *comm, const cnnbn_predictor_options *options)
{
    const cnnbn_model *model = p->checkpoint->model;
    int channels = model->input.dim[model->input.rank - 1];
    if (channels > 4096)
        return cnnbn_error(CNNBN_ERR_MODEL, "%s: %d input channels; at most 4096 are supported", options->checkpoint,
                           channels);
    if (options->data) CNNBN_TRY(check_shape(model, options->data));
    float scale[4096], shift[4096], mean[4096], std[4096];
    CNNBN_TRY(cnnbn_kernels_get(options->kernels ? options->kernels : "auto", &p->kernels));
    cnnbn_dataset_info data = {.is_u8 = 1, .shape = {3, {1, 1, model->input.rank == 3 ? channels : 1}}};
    if (options->data) data = *options->data;
    /* The numbers that the model was trained with, whatever another file says. */
    if (p->checkpoint->is_cnnbn) {
        data.mean = parse_floats(p->checkpoint, "input_mean", data.shape.dim[2], mean) ? mean : NULL;
        data.std = parse_floats(p->checkpoint, "input_std", data.shape.dim[2], std) ? std : NULL;
    }
    input_affine(&data, channels, scale, shift);
    int batch = options->batch_size > 0 ? options->batch_size : 32;
    cnnbn_net_config config = {
        .kernels = p->kernels,
        .comm = comm,
        .slices = 1,
        .batch_size = (size_t)batch,
        .threads = options->threads > 0 ? options->threads : 1,
        .inference_only = 1,
        .input_is_u8 = data.is_u8,
        .input_scale = scale,
        .input_shift = shift,
    };
    objective_configure(&p->aim, &config);
    CNNBN_TRY(cnnbn_net_create(model, &config, &p->net));
    for (int i = 0; i < model->n_params; i++)
        memcpy(cnnbn_net_param(p->net, i), p->checkpoint->params[i], model->params[i].count * sizeof(float));
    return split_names(p);
}

/* Ranks that would compute something else, or in other blocks, are refused by name. */
static cnnbn_status same_everywhere(const cnnbn_predictor *p, cnnbn_comm *comm, int use_ema)
{
    char block[32];
    (void)snprintf(block, sizeof block, "%d", cnnbn_net_block(p->net));
    CNNBN_TRY(cnnbn_comm_same_text(comm, "state of the checkpoint", p->checkpoint->digest));
    CNNBN_TRY(cnnbn_comm_same_text(comm, "option ema", use_ema ? "given" : "not given"));
    CNNBN_TRY(cnnbn_comm_same_text(comm, "kernels (instruction set)", p->kernels->name));
    CNNBN_TRY(cnnbn_comm_same_text(comm, "OpenBLAS core", cnnbn_blas_core()));
    CNNBN_TRY(cnnbn_comm_same_text(comm, "loss", cnnbn_loss_name(p->aim.loss)));
    char metrics[256];
    objective_metrics_text(&p->aim, metrics, sizeof metrics);
    CNNBN_TRY(cnnbn_comm_same_text(comm, "metrics", metrics));
    return cnnbn_comm_same_text(comm, "batch size", block);
}

cnnbn_status cnnbn_predictor_create(cnnbn_comm *comm, const cnnbn_predictor_options *options, cnnbn_predictor **out)
{
    void *memory = NULL;
    *out = NULL;
    cnnbn_blas_init();
    cnnbn_status status = cnnbn_alloc(sizeof(cnnbn_predictor), "a predictor", &memory);
    cnnbn_predictor *p = memory;
    if (status == CNNBN_OK) status = cnnbn_checkpoint_read(options->checkpoint, &p->checkpoint);
    if (status == CNNBN_OK && options->use_ema) status = cnnbn_checkpoint_use_ema(p->checkpoint, options->checkpoint);
    if (status == CNNBN_OK) status = find_objective(p, options);
    if (status == CNNBN_OK) status = make_net(p, comm, options);
    status = cnnbn_comm_agree(comm, status);
    if (status == CNNBN_OK) status = same_everywhere(p, comm, options->use_ema);
    if (status != CNNBN_OK) {
        cnnbn_predictor_destroy(p);
        return status;
    }
    *out = p;
    return CNNBN_OK;
}

void cnnbn_predictor_destroy(cnnbn_predictor *p)
{
    if (!p) return;
    cnnbn_net_destroy(p->net);
    cnnbn_checkpoint_destroy(p->checkpoint);
    cnnbn_free(p->names_text);
    cnnbn_free(p->names);
    cnnbn_free(p);
}

const cnnbn_model *cnnbn_predictor_model(const cnnbn_predictor *p)
{
    return p->checkpoint->model;
}

const cnnbn_checkpoint *cnnbn_predictor_checkpoint(const cnnbn_predictor *p)
{
    return p->checkpoint;
}

const char *cnnbn_predictor_class_name(const cnnbn_predictor *p, int c)
{
    return c >= 0 && c < p->n_names ? p->names[c] : NULL;
}

cnnbn_loss_kind cnnbn_predictor_loss(const cnnbn_predictor *p)
{
    return p->aim.loss;
}

void cnnbn_predictor_run(cnnbn_predictor *p, size_t n, const void *const *images, float *outputs)
{
    cnnbn_net_infer(p->net, n, images, NULL, NULL, outputs);
}

static cnnbn_status check_data(const cnnbn_predictor *p, const cnnbn_dataset_info *info, cnnbn_split split)
{
    const cnnbn_model *model = p->checkpoint->model;
    CNNBN_TRY(check_shape(model, info));
    if (info->n[split] == 0)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: has no %s images", info->path,
                           split == CNNBN_TEST ? "test" : "training");
    return CNNBN_OK;
}

/* Classes of the confusion matrix; 0: a sample may have several, or none. */
static int matrix_classes(const objective *o)
{
    int one_class = o->loss <= CNNBN_LOSS_CATEGORICAL_CROSSENTROPY ||
                    (o->loss == CNNBN_LOSS_BINARY_CROSSENTROPY && o->n_outputs == 1) ||
                    ((!o->has_values || o->one_class) && o->n_outputs > 1);
    return one_class ? (o->n_outputs == 1 ? 2 : o->n_outputs) : 0;
}

static void fill_evaluation(const cnnbn_predictor *p, const double *sums, const evaluation_wish *wish,
                            cnnbn_evaluation *out)
{
    epoch_figures f = {0};
    figures_from_sums(p->net, &p->aim, sums, (double)wish->n_samples, 0, &f);
    *out = (cnnbn_evaluation){.n = wish->n_samples,
                              .n_classes = wish->n_classes,
                              .loss = f.loss,
                              .n_metrics = p->aim.n_metrics,
                              .confusion = wish->confusion};
    memcpy(out->metrics, f.metrics, sizeof out->metrics);
    memcpy(out->names, p->aim.names, sizeof out->names);
}

cnnbn_status cnnbn_predictor_evaluate(cnnbn_predictor *p, cnnbn_comm *comm, cnnbn_dataset *dataset, cnnbn_split split,
                                      cnnbn_evaluation *out)
{
    const size_t memory_limit = (size_t)1 << 30; /* more is streamed */
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    evaluation_wish wish = {
        .n_samples = info->n[split], .n_classes = matrix_classes(&p->aim), .n_outputs = p->aim.n_outputs};
    size_t cells = (size_t)wish.n_classes * (size_t)wish.n_classes;
    int stopped;
    memset(out, 0, sizeof *out);
    void *memory = NULL, *sums = NULL;
    feed *f = NULL;
    char data[CNNBN_DIGEST_TEXT] = "";
    cnnbn_status status = check_data(p, info, split);
    if (status == CNNBN_OK) status = cnnbn_dataset_digest(dataset, data);
    if (status == CNNBN_OK && cells)
        status = cnnbn_alloc_array(cells, sizeof(int64_t), "the confusion matrix", &memory);
    if (status == CNNBN_OK)
        status = cnnbn_alloc_array(cnnbn_net_n_sums(p->net), sizeof(double), "sums of an evaluation", &sums);
    wish.confusion = memory;
    status = cnnbn_comm_agree(comm, status);
    if (status == CNNBN_OK) status = cnnbn_comm_same_text(comm, "dataset", data);
    if (status == CNNBN_OK) status = cnnbn_comm_same_text(comm, "split", split == CNNBN_TEST ? "test" : "train");
    if (status == CNNBN_OK) status = feed_create(comm, dataset, split, memory_limit, 8192, NULL, &f);
    if (status == CNNBN_OK) status = evaluate_split(p->net, comm, f, &wish, &stopped, sums);
    feed_destroy(f);
    if (status == CNNBN_OK)
        fill_evaluation(p, sums, &wish, out);
    else
        cnnbn_free(memory);
    cnnbn_free(sums);
    return status;
}
