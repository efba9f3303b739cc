/* What runs where, before it starts. */
#include <inttypes.h>
#include <string.h>

#include "cnnbn/cnnbn_version.h"
#include "trainer.h"

/* x = (raw/255 - mean)/std for uint8, (raw - mean)/std for float: as one product and one sum. A model of (H, W) takes a row
 * for its channels, where images have one: its numbers are every column's. */
void input_affine(const cnnbn_dataset_info *info, int n, float *scale, float *shift)
{
    double unit = info->is_u8 ? 1.0 / 255 : 1;
    for (int c = 0; c < n; c++) {
        int from = n == info->shape.dim[2] ? c : 0;
        double mean = info->mean ? (double)info->mean[from] : 0, std = info->std ? (double)info->std[from] : 1;
        scale[c] = (float)(unit / std);
        shift[c] = (float)(-mean / std);
    }
}

static void print_ranks(const trainer *t, FILE *out)
{
    int size = cnnbn_comm_size(t->comm), nodes = cnnbn_comm_n_nodes(t->comm);
    (void)fprintf(out, "ranks     %d on %d host%s (%s%s), %d thread%s each; %s\n", size, nodes, nodes == 1 ? "" : "s",
                  cnnbn_comm_host(t->comm, 0), nodes > 1 ? ", ..." : "", t->opt.threads, t->opt.threads == 1 ? "" : "s",
                  cnnbn_comm_library(t->comm));
    (void)fprintf(out, "CPU       %s\n", cnnbn_cpu_name());
    (void)fprintf(out, "kernels   %s (instruction set %s; OpenBLAS core %s)\n", t->kernels->name,
                  cnnbn_isa_name(t->kernels->isa), cnnbn_blas_core());
}

static void print_order(const trainer *t, FILE *out)
{
    if (t->opt.reduce == CNNBN_REDUCE_ORDERED)
        (void)fprintf(out,
                      "sums      ordered: a fixed tree over %d slices of the batch; same bits at any number of ranks "
                      "and threads\n",
                      t->opt.slices);
    else
        (void)fprintf(out, "sums      by MPI_Allreduce (%d slices): bits depend on the number of ranks\n",
                      t->opt.slices);
    (void)fprintf(out, "batchnorm %s\n",
                  t->opt.bn_local ? "local: each rank's own images" : "synchronous: statistics of the global batch");
}

static void print_data(const trainer *t, FILE *out)
{
    const cnnbn_dataset_info *d = t->info;
    char shape[64];
    (void)fprintf(out, "data      %s: %zu train + %zu test images %s, %s, %d %s\n", d->path, d->n[0], d->n[1],
                  cnnbn_shape_text(d->shape, shape, sizeof shape), d->is_u8 ? "uint8" : "float32", d->n_classes,
                  !d->n_targets      ? "classes"
                  : d->n_targets > 1 ? "values a sample"
                                     : "value a sample");
    double mb = (double)((d->n[0] + d->n[1]) * d->sample_bytes) / (1 << 20);
    (void)fprintf(out, "          %s%s; %s\n", d->is_u8 ? "scaled by 1/255" : "taken as they are",
                  d->mean || d->std ? ", then (x - mean)/std by the file's attributes" : "",
                  feed_is_shared(t->feeds[0]) ? "one copy a host" : "streamed by chunks with read-ahead");
    if (feed_is_shared(t->feeds[0])) (void)fprintf(out, "          %.1f MB of images in memory\n", mb);
}

static void print_schedule(const trainer *t, FILE *out)
{
    char text[192];
    const cnnbn_schedule *s = &t->opt.schedule;
    if (t->opt.lr_scale_batch) (void)fprintf(out, " (scaled from batches of %zu)", t->opt.lr_scale_batch);
    if (s->warmup.steps) (void)fprintf(out, ", warm-up over %" PRId64 " steps", s->warmup.steps);
    if (s->kind != CNNBN_SCHEDULE_CONSTANT)
        (void)fprintf(out, ", schedule %s", cnnbn_schedule_text(s, text, sizeof text));
}

static void print_optimizer(const trainer *t, FILE *out)
{
    static const char *const names[] = {"Adam", "AdamW", "SGD", "RMSprop", "LARS", "LAMB"};
    const cnnbn_optimizer *o = &t->opt.optimizer;
    (void)fprintf(out, "optimizer %s, lr %g", names[o->kind], o->lr);
    int may_have_momentum = o->kind == CNNBN_SGD || o->kind == CNNBN_RMSPROP || o->kind == CNNBN_LARS;
    if (may_have_momentum && o->momentum != 0)
        (void)fprintf(out, ", %smomentum %g", o->nesterov ? "Nesterov " : "", o->momentum);
    print_schedule(t, out);
    if (o->weight_decay != 0) (void)fprintf(out, ", weight decay %g", o->weight_decay);
    if (o->clip == CNNBN_CLIP_VALUE)
        (void)fprintf(out, ", clipped by value at %g", o->clip_limit);
    else if (o->clip != CNNBN_CLIP_NONE)
        (void)fprintf(out, ", clipped by %s at %g", o->clip == CNNBN_CLIP_NORM ? "norm" : "global norm", o->clip_limit);
    if (t->opt.ema_decay > 0) (void)fprintf(out, ", weights averaged by %g", t->opt.ema_decay);
    (void)fprintf(out, "; ");
    if (t->opt.accumulate > 1) (void)fprintf(out, "%d micro-batches a step, each a ", t->opt.accumulate);
    (void)fprintf(out, "global batch %zu, %" PRId64 " steps an epoch, seed %" PRIu64 "%s\n", t->opt.batch_size,
                  t->steps_per_epoch, t->opt.seed, t->opt.shuffle ? "" : ", not shuffled");
}

static void print_augmentation(const trainer *t, FILE *out)
{
    const cnnbn_augment *a = &t->opt.augment;
    const char *flip = a->flip_horizontal && a->flip_vertical ? "both" : a->flip_vertical ? "vertical" : "horizontal";
    const char *comma = "augment  ";
    const struct {
        const char *name;
        double value;
    } options[] = {{"random-crop", a->crop_pad},
                   {"random-translation", a->translation},
                   {"random-rotation", a->rotation},
                   {"random-contrast", a->contrast},
                   {"cutout", a->cutout},
                   {"mixup", a->mixup}};
    if (a->flip_horizontal || a->flip_vertical) {
        (void)fprintf(out, "%s random-flip %s", comma, flip);
        comma = ",";
    }
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (!(options[i].value > 0)) continue;
        (void)fprintf(out, "%s %s %g", comma, options[i].name, options[i].value);
        comma = ",";
    }
    if (*comma == ',') (void)fprintf(out, "\n");
}

static void print_objective(const trainer *t, FILE *out)
{
    const objective *o = &t->aim;
    char metrics[256];
    objective_metrics_text(o, metrics, sizeof metrics);
    (void)fprintf(out, "loss      %s", cnnbn_loss_name(o->loss));
    if (o->end == CNNBN_END_LINEAR && o->loss <= CNNBN_LOSS_BINARY_CROSSENTROPY) (void)fprintf(out, " from logits");
    if (o->label_smoothing > 0) (void)fprintf(out, ", label smoothing %g", o->label_smoothing);
    if (o->loss == CNNBN_LOSS_HUBER) (void)fprintf(out, ", delta %g", o->huber_delta);
    (void)fprintf(out, "; metrics %s\n", metrics);
}

void header_print(const trainer *t, FILE *out)
{
    (void)fprintf(out, "cnnbn %s\n", CNNBN_VERSION);
    print_ranks(t, out);
    print_order(t, out);
    print_data(t, out);
    print_objective(t, out);
    print_augmentation(t, out);
    print_optimizer(t, out);
    if (t->opt.checkpoint_dir) (void)fprintf(out, "files     %s\n", t->opt.checkpoint_dir);
    (void)fprintf(out, "\n");
    cnnbn_model_print_summary(t->model, out);
    (void)fprintf(out, "\n");
}
