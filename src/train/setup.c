/* From options to a run that can take its first step. Everything that can fail on one rank alone is agreed on before the next
 * collective call. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cnnbn/cnnbn_version.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/sampler.h"
#include "trainer.h"

/* ---------------------------------------------------------------- data and model */

static cnnbn_status open_data(trainer *t)
{
    CNNBN_TRY(cnnbn_dataset_open(t->opt.data, &t->opt.paths, &t->dataset));
    t->info = cnnbn_dataset_get_info(t->dataset);
    if (t->info->n[CNNBN_TRAIN] >= UINT32_MAX)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %zu training samples; at most %u are supported", t->opt.data,
                           t->info->n[CNNBN_TRAIN], UINT32_MAX - 1);
    return cnnbn_dataset_digest(t->dataset, t->data_digest);
}

static int has_ending(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static int is_model_file(const char *model)
{
    return has_ending(model, ".h5") || has_ending(model, ".hdf5") || has_ending(model, ".keras");
}

static cnnbn_status open_model(trainer *t)
{
    cnnbn_model_wish wish = {t->info->shape, t->info->n_classes, t->opt.norm};
    int in_file = is_model_file(t->opt.model);
    if (in_file && t->opt.norm != CNNBN_NORM_OWN)
        return cnnbn_error(CNNBN_ERR_OPTION, "--norm is for built-in models; %s says itself how it normalises",
                           t->opt.model);
    if (in_file)
        CNNBN_TRY(cnnbn_checkpoint_read_model(t->opt.model, &t->model));
    else
        CNNBN_TRY(cnnbn_model_load(t->opt.model, &wish, &t->model));
    char want[64], have[64];
    cnnbn_shape in = t->model->input;
    if (in.rank == 2) in = (cnnbn_shape){3, {in.dim[0], in.dim[1], 1}};
    if (in.rank != 3 || memcmp(in.dim, t->info->shape.dim, sizeof in.dim) != 0)
        return cnnbn_error(CNNBN_ERR_MODEL, "model %s wants input %s, the images of %s are %s", t->opt.model,
                           cnnbn_shape_text(t->model->input, want, sizeof want), t->opt.data,
                           cnnbn_shape_text(t->info->shape, have, sizeof have));
    return CNNBN_OK;
}

static cnnbn_status choose_objective(trainer *t)
{
    const cnnbn_train_options *o = &t->opt;
    char *compiled = NULL;
    if (is_model_file(o->model) && !o->loss) CNNBN_TRY(cnnbn_checkpoint_read_compiled(o->model, &compiled));
    const objective_wish wish = {.loss = o->loss,
                                 .metrics = o->metrics,
                                 .from_logits = o->from_logits,
                                 .label_smoothing = o->label_smoothing,
                                 .huber_delta = o->huber_delta,
                                 .compiled = compiled,
                                 .compiled_from = o->model};
    cnnbn_status status = objective_choose(&wish, t->model, o->model, t->info, &t->aim);
    cnnbn_free(compiled);
    return status;
}

/* ---------------------------------------------------------------- resources */

/* Threads of a rank: the cores of its affinity mask; when the mask is the whole host and several ranks share it, its part. */
static int default_threads(const trainer *t)
{
    int allowed = cnnbn_cpu_cores_allowed(), ranks = cnnbn_comm_node_size(t->comm);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int share = allowed >= online && ranks > 1 ? allowed / ranks : allowed;
    return share > 0 ? share : 1;
}

/* Half of what the host and the job's memory limit leave; 1 GB where they do not say. */
static size_t default_data_memory(void)
{
    size_t available = cnnbn_get_memory_left().available_bytes;
    return available < SIZE_MAX ? available / 2 : (size_t)1 << 30;
}

static void resolve(trainer *t)
{
    cnnbn_train_options *o = &t->opt;
    if (o->slices == 0) o->slices = cnnbn_slices_default(o->batch_size);
    if (o->threads == 0) o->threads = default_threads(t);
    if (o->data_memory_bytes == 0) o->data_memory_bytes = default_data_memory();
    t->batches_per_epoch = (int64_t)cnnbn_sampler_steps(t->info->n[CNNBN_TRAIN], o->batch_size, o->drop_last);
    t->steps_per_epoch = (t->batches_per_epoch + o->accumulate - 1) / o->accumulate;
    t->state.best = t->state.plateau.best = t->state.early.best = (double)NAN;
    if (o->lr_scale_batch) o->optimizer.lr *= (double)o->batch_size * o->accumulate / (double)o->lr_scale_batch;
    t->state.lr = o->optimizer.lr;
    if (o->early_stopping.restore_best && !o->checkpoint_best) o->checkpoint_best = o->early_stopping.monitor;
    t->deadline_s = stop_deadline_s(t->start_s, o->max_time_s);
}

static cnnbn_status check_options(const trainer *t)
{
    if (t->steps_per_epoch == 0)
        return cnnbn_error(
            CNNBN_ERR_OPTION,
            "--drop-last: batch size %zu is greater than the %zu training samples, no step would be left",
            t->opt.batch_size, t->info->n[CNNBN_TRAIN]);
    CNNBN_TRY(monitor_check(t));
    return CNNBN_OK;
}

/* Options that decide which collective calls come when: ranks that differ here would wait for each other. What rank 0 alone
 * looks at (folders, logs, times) may differ. */
static cnnbn_status same_course(const trainer *t)
{
    const cnnbn_train_options *o = &t->opt;
    const struct {
        const char *name;
        double value;
    } course[] = {
        {"epochs", (double)o->epochs},
        {"steps", (double)o->steps},
        {"restore-best", o->early_stopping.restore_best},
        {"no-validation", !o->validate},
        {"dry-run", o->dry_run},
        {"watchdog", o->watchdog_s},
        {"checkpoint-dir given", o->checkpoint_dir != NULL},
        {"checkpoint-best given", o->checkpoint_best != NULL},
        {"checkpoint-every", o->checkpoint_every},
        {"unit of checkpoint-every", (double)o->checkpoint_unit},
    };
    for (size_t i = 0; i < sizeof course / sizeof *course; i++) {
        char what[64], value[32];
        (void)snprintf(what, sizeof what, "option %s", course[i].name);
        (void)snprintf(value, sizeof value, "%.17g", course[i].value);
        CNNBN_TRY(cnnbn_comm_same_text(t->comm, what, value));
    }
    return CNNBN_OK;
}

/* Ranks that would compute something else are refused, by name. */
static cnnbn_status same_everywhere(const trainer *t)
{
    CNNBN_TRY(cnnbn_comm_same_text(t->comm, "cnnbn version", CNNBN_VERSION));
    CNNBN_TRY(cnnbn_comm_same_text(t->comm, "kernels (instruction set)", t->kernels->name));
    CNNBN_TRY(cnnbn_comm_same_text(t->comm, "OpenBLAS core", cnnbn_blas_core()));
    for (int i = 0; i < t->id.n; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "option %s", t->id.entries[i].key);
        CNNBN_TRY(cnnbn_comm_same_text(t->comm, what, t->id.entries[i].value));
    }
    CNNBN_TRY(same_course(t));
    char *text = NULL;
    cnnbn_status status = cnnbn_comm_agree(t->comm, cnnbn_model_to_json(t->model, &text));
    if (status == CNNBN_OK) status = cnnbn_comm_same_text(t->comm, "model", text);
    cnnbn_free(text);
    return status;
}

static void give_advice(const trainer *t)
{
    if (cnnbn_comm_rank(t->comm) != 0) return;
    int workers = cnnbn_comm_size(t->comm) * t->opt.threads, here = cnnbn_comm_node_size(t->comm) * t->opt.threads;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (here > cores)
        cnnbn_warn("%d ranks x %d threads on a host of %ld cores: they will wait for each other",
                   cnnbn_comm_node_size(t->comm), t->opt.threads, cores);
    if (t->opt.slices < workers) {
        int wanted = t->opt.slices;
        while (wanted < workers && wanted < CNNBN_SLICES_MAX) wanted *= 2;
        cnnbn_warn("%d slices keep %d of %d workers (ranks x threads) busy; --slices %d would use them all (it changes "
                   "the bits of the run)",
                   t->opt.slices, t->opt.slices, workers, wanted);
    }
    const char *core = cnnbn_blas_core();
    if (strstr(t->kernels->name, "blas") && cnnbn_cpu_supports(CNNBN_ISA_AVX512) &&
        (strcmp(core, "Haswell") == 0 || strcmp(core, "Zen") == 0))
        cnnbn_warn("OpenBLAS runs its AVX2 core (%s) on a CPU with AVX-512: is OPENBLAS_CORETYPE set? Unset it for "
                   "twice the speed",
                   core);
}

/* ---------------------------------------------------------------- net */

static cnnbn_status open_net(trainer *t)
{
    float scale[4096], shift[4096];
    int channels = t->model->input.dim[t->model->input.rank - 1];
    if (channels > 4096)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %d channels; at most 4096 are supported", t->opt.data, channels);
    input_affine(t->info, channels, scale, shift);
    cnnbn_net_config config = {
        .kernels = t->kernels,
        .conv = t->opt.conv,
        .no_fusion = t->opt.no_fusion,
        .comm = t->comm,
        .reduce = t->opt.reduce,
        .bn_local = t->opt.bn_local,
        .slices = t->opt.slices,
        .batch_size = t->opt.batch_size,
        .threads = t->opt.threads,
        .seed = t->opt.seed,
        .input_is_u8 = t->info->is_u8,
        .input_scale = scale,
        .input_shift = shift,
        .optimizer = t->opt.optimizer,
        .augment = t->opt.augment,
        .accumulate = t->opt.accumulate,
        .ema_decay = t->opt.ema_decay,
    };
    objective_configure(&t->aim, &config);
    CNNBN_TRY(cnnbn_net_create(t->model, &config, &t->net));
    cnnbn_net_init(t->net, t->opt.seed);
    void *memory;
    size_t n_sums = cnnbn_net_n_sums(t->net);
    CNNBN_TRY(cnnbn_alloc_array(3 * n_sums, sizeof(double), "sums of an epoch", &memory));
    t->epoch_sums = memory;
    t->test_sums = t->epoch_sums + n_sums;
    t->step_sums = t->test_sums + n_sums;
    return CNNBN_OK;
}

static cnnbn_status init_from(trainer *t)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)t->model->n_params + 1, sizeof(float *), "weights", &memory));
    float **params = memory;
    for (int i = 0; i < t->model->n_params; i++) params[i] = cnnbn_net_param(t->net, i);
    cnnbn_status status = cnnbn_checkpoint_read_weights(t->opt.init_from, t->model, params);
    cnnbn_free(memory);
    return status;
}

/* A run that does not go on from the newest checkpoint of its folder: newer ones are another run's future, which --keep would count
 * and the next start would take. */
static cnnbn_status begin_branch(const trainer *t, int64_t step)
{
    return t->opt.checkpoint_dir ? cnnbn_checkpoint_set_aside(t->opt.checkpoint_dir, step) : CNNBN_OK;
}

static const char *resume_from(const trainer *t)
{
    return t->opt.resume ? t->opt.resume : t->opt.checkpoint_dir ? "auto" : "none";
}

/* Rank 0 reads; its checkpoint is everybody's. */
static cnnbn_status resume(trainer *t)
{
    const char *from = resume_from(t);
    if (strcmp(from, "none") == 0) return begin_branch(t, -1);
    cnnbn_checkpoint *checkpoint = NULL;
    char path[4096];
    cnnbn_status status;
    if (strcmp(from, "auto") == 0) {
        if (!t->opt.checkpoint_dir) return cnnbn_error(CNNBN_ERR_OPTION, "--resume auto needs --checkpoint-dir");
        status = cnnbn_checkpoint_newest(t->opt.checkpoint_dir, &checkpoint, path, sizeof path);
    } else {
        (void)snprintf(path, sizeof path, "%s", from);
        status = cnnbn_checkpoint_read(path, &checkpoint);
    }
    if (status == CNNBN_OK && checkpoint) status = state_restore(t, checkpoint, path);
    if (status == CNNBN_OK && checkpoint && !t->opt.quiet)
        (void)printf("going on from %s: epoch %ld, step %ld\n", path, (long)t->state.epoch + 1, (long)t->state.step);
    if (status == CNNBN_OK && checkpoint && strcmp(from, "auto") != 0) status = begin_branch(t, t->state.global_step);
    cnnbn_checkpoint_destroy(checkpoint);
    return status;
}

/* The start is accepted and takes the folder over. A run that was cut off may have written a checkpoint between the choice and this:
 * it counts on rows of the logs that this run would cut off, so the choice is made again. */
static cnnbn_status take_over(trainer *t, const char *newest_before)
{
    char newest[256];
    CNNBN_TRY(saver_create(t, &t->save));
    if (strcmp(resume_from(t), "auto") != 0) return begin_branch(t, t->resumed ? t->state.global_step : -1);
    CNNBN_TRY(cnnbn_checkpoint_newest_name(t->opt.checkpoint_dir, newest, sizeof newest));
    return strcmp(newest, newest_before) == 0 ? CNNBN_OK : resume(t);
}

static cnnbn_status start_at_root(trainer *t)
{
    char newest[256] = "";
    if (t->opt.checkpoint_dir) {
        CNNBN_TRY(cnnbn_checkpoint_prepare_dir(t->opt.checkpoint_dir));
        CNNBN_TRY(cnnbn_checkpoint_newest_name(t->opt.checkpoint_dir, newest, sizeof newest));
    }
    CNNBN_TRY(resume(t));
    if (!t->resumed && t->opt.init_from) CNNBN_TRY(init_from(t));
    return t->opt.checkpoint_dir ? take_over(t, newest) : CNNBN_OK;
}

static cnnbn_status start_weights(trainer *t)
{
    CNNBN_TRY(cnnbn_comm_agree(t->comm, cnnbn_comm_rank(t->comm) == 0 ? start_at_root(t) : CNNBN_OK));
    return state_broadcast(t);
}

static cnnbn_status open_files(trainer *t)
{
    if (cnnbn_comm_rank(t->comm) != 0) return CNNBN_OK;
    char columns[FIGURES_TEXT], header[FIGURES_TEXT + 64];
    int64_t epoch = t->resumed ? t->state.epoch : -1, step = t->resumed ? t->state.global_step : -1;
    if (t->opt.log) {
        int has_val = t->opt.validate && t->info->n[CNNBN_TEST] > 0;
        figures_columns(&t->aim, has_val, NULL, columns, sizeof columns);
        (void)snprintf(header, sizeof header, "epoch%s,lr,images_per_s,seconds", columns);
        CNNBN_TRY(csv_open(t->opt.log, header, epoch, &t->log));
    }
    if (t->opt.log_steps) {
        objective_metrics_text(&t->aim, columns, sizeof columns);
        (void)snprintf(header, sizeof header, "step,loss%s%s", t->aim.n_metrics ? "," : "",
                       t->aim.n_metrics ? columns : "");
        CNNBN_TRY(csv_open(t->opt.log_steps, header, step, &t->log_steps));
    }
    return progress_create(t->opt.quiet, t->opt.progress, &t->aim, &t->show);
}

static cnnbn_status open_feeds(trainer *t)
{
    size_t total = (t->info->n[0] + t->info->n[1]) * t->info->sample_bytes, allowed = t->opt.data_memory_bytes;
    size_t test_bytes = t->info->n[1] * t->info->sample_bytes;
    if (cnnbn_comm_rank(t->comm) != 0) allowed = 0;
    CNNBN_TRY(cnnbn_comm_bcast(t->comm, &t->opt.data_memory_bytes, sizeof t->opt.data_memory_bytes,
                               0)); /* one decision for all */
    allowed = t->opt.data_memory_bytes;
    size_t for_train = total <= allowed ? allowed : allowed > test_bytes ? allowed - test_bytes : allowed / 2;
    int batch = (int)t->opt.batch_size, round = 8192;
    int of_train = t->opt.augment.mixup > 0 ? 2 * batch : batch; /* with the partners */
    CNNBN_TRY(feed_create(t->comm, t->dataset, CNNBN_TRAIN, for_train, of_train, t->dog, &t->feeds[0]));
    if (t->info->n[1] == 0) return CNNBN_OK;
    return feed_create(t->comm, t->dataset, CNNBN_TEST, total <= allowed ? allowed : allowed / 2,
                       batch > round ? batch : round, t->dog, &t->feeds[1]);
}

cnnbn_status trainer_open(trainer *t)
{
    cnnbn_blas_init();
    cnnbn_status status = cnnbn_kernels_get(t->opt.kernels, &t->kernels);
    if (status == CNNBN_OK) status = open_data(t);
    if (status == CNNBN_OK) status = open_model(t);
    if (status == CNNBN_OK) status = choose_objective(t);
    if (status == CNNBN_OK) {
        resolve(t);
        status = check_options(t);
    }
    if (status == CNNBN_OK) {
        int64_t total = t->opt.epochs * t->steps_per_epoch;
        if (t->opt.steps > 0 && t->opt.steps < total) total = t->opt.steps;
        status = cnnbn_schedule_resolve(&t->opt.schedule, t->steps_per_epoch, total);
        identity_fill(t, t->data_digest, &t->id);
        if (status == CNNBN_OK) status = identity_check_override(&t->id, t->opt.override);
    }
    CNNBN_TRY(cnnbn_comm_agree(t->comm, status));
    CNNBN_TRY(same_everywhere(t));
    give_advice(t);
    CNNBN_TRY(watchdog_start(t->comm, t->opt.dry_run ? 0 : t->opt.watchdog_s, &t->dog));
    watchdog_phase(t->dog, "reading data", 0);
    CNNBN_TRY(open_feeds(t));
    CNNBN_TRY(cnnbn_comm_agree(t->comm, open_net(t)));
    watchdog_net(t->dog, t->net);
    void *memory = NULL;
    status = cnnbn_alloc_array(t->info->n[0] + 1, sizeof(uint32_t), "the order of an epoch", &memory);
    t->order = memory;
    if (status == CNNBN_OK)
        status = mixup_create(t->opt.augment.mixup, cnnbn_model_n_outputs(t->model), t->opt.batch_size, &t->mix);
    CNNBN_TRY(cnnbn_comm_agree(t->comm, status));
    if (t->opt.dry_run) return CNNBN_OK;
    CNNBN_TRY(start_weights(t));
    CNNBN_TRY(cnnbn_comm_agree(t->comm, open_files(t)));
    return trace_open(t);
}

void trainer_close(trainer *t)
{
    watchdog_net(t->dog, NULL);
    watchdog_stop(t->dog);
    trace_discard(t);
    saver_destroy(t->save);
    progress_destroy(t->show);
    (void)(csv_close(t->log) == CNNBN_OK);
    (void)(csv_close(t->log_steps) == CNNBN_OK);
    cnnbn_net_destroy(t->net);
    feed_destroy(t->feeds[0]);
    feed_destroy(t->feeds[1]);
    cnnbn_model_destroy(t->model);
    cnnbn_dataset_close(t->dataset);
    cnnbn_free(t->order);
    mixup_destroy(t->mix);
    cnnbn_free(t->epoch_sums);
}
