/* The loop: epochs of steps, validation, checkpoints, and the ways out. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/sampler.h"
#include "trainer.h"

/* Numbers that ride on a step's reduction (route "carry"). */
enum { FLAG_STOP, FLAG_TIME, FLAG_CHECKPOINT, FLAG_FAILED };

static int is_root(const trainer *t)
{
    return cnnbn_comm_rank(t->comm) == 0;
}

/* ---------------------------------------------------------------- checkpoints */

static cnnbn_status flush_logs(trainer *t)
{
    cnnbn_status status = csv_flush(t->log), other = csv_flush(t->log_steps);
    return status != CNNBN_OK ? status : other;
}

/* Rank 0 copies the state and lets its helper write it; `final` waits for the file. */
static cnnbn_status submit(trainer *t, int final, int is_best)
{
    saver_job job;
    memset(&job, 0, sizeof job);
    CNNBN_TRY(
        cnnbn_checkpoint_path(t->opt.checkpoint_dir, t->state.epoch, t->state.global_step, job.path, sizeof job.path));
    if (is_best) (void)snprintf(job.best_path, sizeof job.best_path, "%s/best.h5", t->opt.checkpoint_dir);
    CNNBN_TRY(saver_submit(t->save, t, &job));
    return final ? saver_wait(t->save) : CNNBN_OK;
}

/* What counts on rank 0. The last one of a run must succeed; before that a failed write is said, and the run goes on unless
 * --checkpoint-strict or another run owns the folder. A log that cannot be written keeps no checkpoint from being written. */
static cnnbn_status save(trainer *t, int final, int is_best)
{
    watchdog_phase(t->dog, "checkpoint", t->state.global_step);
    cnnbn_status logged = flush_logs(t);
    if (logged != CNNBN_OK && t->opt.checkpoint_strict) return logged;
    if (logged != CNNBN_OK) {
        progress_clear(t->show);
        cnnbn_warn("training goes on, but %s", cnnbn_error_message());
    }
    cnnbn_status status = submit(t, final, is_best);
    if (status == CNNBN_OK || final || t->opt.checkpoint_strict || saver_is_cut_off(t->save)) return status;
    progress_clear(t->show);
    cnnbn_warn("checkpoint not written, training goes on: %s", cnnbn_error_message());
    return CNNBN_OK;
}

/* Collective; the same status on all ranks. */
static cnnbn_status checkpoint(trainer *t, int final, int is_best)
{
    if (!t->opt.checkpoint_dir) return CNNBN_OK;
    if (t->opt.bn_local) CNNBN_TRY(cnnbn_net_average_statistics(t->net));
    t->last_checkpoint_s = cnnbn_now_s();
    cnnbn_status status = cnnbn_comm_agree(t->comm, is_root(t) ? save(t, final, is_best) : CNNBN_OK);
    watchdog_phase(t->dog, "training", t->state.global_step);
    return status;
}

static int due_by_steps(const trainer *t)
{
    return t->opt.checkpoint_dir && t->opt.checkpoint_unit == CNNBN_EVERY_STEPS && t->opt.checkpoint_every >= 1 &&
           t->state.global_step % (int64_t)t->opt.checkpoint_every == 0;
}

static int due_by_time(const trainer *t)
{
    return t->opt.checkpoint_dir && t->opt.checkpoint_unit == CNNBN_EVERY_SECONDS &&
           cnnbn_now_s() - t->last_checkpoint_s >= t->opt.checkpoint_every;
}

static int due_by_epochs(const trainer *t)
{
    return t->opt.checkpoint_dir && t->opt.checkpoint_unit == CNNBN_EVERY_EPOCHS && t->opt.checkpoint_every >= 1 &&
           t->state.epoch % (int64_t)t->opt.checkpoint_every == 0;
}

/* ---------------------------------------------------------------- a step */

static int time_is_up(const trainer *t)
{
    /* Room for the step under way and for writing the state. */
    double reserve = 2 * t->slowest_step_s + 2 * saver_seconds(t->save) + 1;
    return cnnbn_now_s() + reserve > t->deadline_s;
}

/* A checkpoint that failed ends the run only by --checkpoint-strict; a folder that another run has taken over always does. */
static int must_end(const trainer *t)
{
    return t->save && (saver_is_cut_off(t->save) || (t->opt.checkpoint_strict && saver_has_failed(t->save)));
}

/* Keeps two batches of the epoch ahead of `batch`, the next one taken. */
static void ask_batches(trainer *t, int64_t batch, cnnbn_status *status)
{
    for (; t->asked < t->batches_per_epoch && t->asked < batch + 2; t->asked++) {
        size_t first, count, local_first, local_count;
        cnnbn_sampler_batch(t->info->n[CNNBN_TRAIN], t->opt.batch_size, (size_t)t->asked, &first, &count);
        cnnbn_net_local_samples(t->net, count, &local_first, &local_count);
        const uint32_t *ids = t->order + first + local_first;
        if (t->mix) ids = mixup_ids(t->mix, t->order + first, count, local_first, local_count);
        cnnbn_status asked = feed_ask(t->feeds[0], ids, t->mix ? 2 * local_count : local_count);
        if (*status == CNNBN_OK) *status = asked;
    }
}

/* Names what was not finite, on all ranks alike: the first in forward order of the lowest rank that has it. */
static cnnbn_status explain_nonfinite(trainer *t, double loss)
{
    char mine[256], step[64];
    struct {
        int order;
        char text[256];
    } found, *all;
    void *memory;
    memset(&found, 0, sizeof found);
    cnnbn_net_find_nonfinite(t->net, &found.order, mine, sizeof mine);
    memcpy(found.text, mine, sizeof found.text);
    CNNBN_TRY(cnnbn_alloc_array((size_t)cnnbn_comm_size(t->comm), sizeof found, "a report", &memory));
    all = memory;
    cnnbn_status status = cnnbn_comm_gather_all(t->comm, &found, sizeof found, all);
    int best = 0;
    for (int r = 1; r < cnnbn_comm_size(t->comm); r++)
        if (all[r].order < all[best].order) best = r;
    (void)snprintf(step, sizeof step, "step %" PRId64 " (epoch %" PRId64 ")", t->state.global_step + 1,
                   t->state.epoch + 1);
    const char *kept = t->opt.checkpoint_dir ? "The last checkpoint is kept; " : "No checkpoint was asked for; ";
    const char *first = all[best].text[0] ? all[best].text : "the loss itself";
    if (status == CNNBN_OK && isfinite(loss))
        status = cnnbn_error(CNNBN_ERR_NONFINITE,
                             "the gradient overflows at %s, where the loss is %.6g; first: %s. %stry a smaller --lr or "
                             "--clip-norm",
                             step, loss, first, kept);
    else if (status == CNNBN_OK)
        status = cnnbn_error(
            CNNBN_ERR_NONFINITE,
            "the loss is %s at %s; first value that is not finite: %s on rank %d. %stry a smaller --lr or --clip-norm",
            isnan(loss) ? "nan"
            : loss > 0  ? "inf"
                        : "-inf",
            step, first, best, kept);
    cnnbn_free(memory);
    return status;
}

/* What comes of a step, over all its micro-batches. */
typedef struct step_outcome {
    size_t n_images;
    double loss_sum, flags[4];
} step_outcome;

static void count_batch(trainer *t, const cnnbn_step_result *result, size_t n_images, step_outcome *step)
{
    run_state *st = &t->state;
    double loss_sum = result->loss * (double)n_images; /* with the regularisers' penalty */
    st->epoch_samples += (int64_t)n_images;
    t->epoch_sums[0] += loss_sum;
    for (size_t i = 1; i < cnnbn_net_n_sums(t->net); i++) {
        t->epoch_sums[i] += result->sums[i];
        t->step_sums[i] += result->sums[i];
    }
    t->train_images += (int64_t)n_images;
    t->epoch_images += (int64_t)n_images;
    step->n_images += n_images;
    step->loss_sum += loss_sum;
    for (int f = 0; f < 4; f++) step->flags[f] += result->flags[f];
}

/* Micro-batch `part` of the step under way. */
static cnnbn_status train_batch(trainer *t, cnnbn_batch *batch, int64_t number, cnnbn_status fed, step_outcome *step)
{
    size_t first, n_local;
    cnnbn_step_result result;
    cnnbn_sampler_batch(t->info->n[CNNBN_TRAIN], t->opt.batch_size, (size_t)number, &first, &batch->n_global);
    double start = cnnbn_now_s();
    cnnbn_status taken = feed_take(t->feeds[0], &batch->images, &batch->targets, &batch->ids, &n_local);
    t->data_s += cnnbn_now_s() - start;
    trace_note(t, TRACE_DATA, start);
    if (fed == CNNBN_OK) fed = taken;
    batch->n_local = t->mix ? n_local / 2 : n_local;
    if (t->mix) mixup_apply(t->mix, t->opt.seed, batch);
    double flags[4] = {stop_signal() != 0, is_root(t) && time_is_up(t), is_root(t) && due_by_time(t),
                       fed != CNNBN_OK || (is_root(t) && must_end(t))};
    cnnbn_status status = cnnbn_net_train_step(t->net, batch, flags, &result);
    if (status == CNNBN_ERR_NONFINITE) return explain_nonfinite(t, result.loss);
    if (status != CNNBN_OK) {
        char where[160];
        uint64_t ignored;
        cnnbn_net_position(t->net, where, sizeof where, &ignored);
        status = cnnbn_error_context(status, "step %" PRId64 ", after %s", t->state.global_step + 1, where);
        cnnbn_comm_abort(t->comm, cnnbn_status_exit_code(status), cnnbn_error_message());
    }
    if (result.flags[FLAG_FAILED] > 0) {
        if (fed == CNNBN_OK && is_root(t) && t->save) fed = saver_wait(t->save);
        return cnnbn_comm_agree(t->comm, fed);
    }
    count_batch(t, &result, batch->n_global, step);
    return CNNBN_OK;
}

static cnnbn_status train_step(trainer *t, cnnbn_status *fed, step_outcome *step)
{
    int64_t first = t->state.step * t->opt.accumulate, left = t->batches_per_epoch - first;
    size_t first_sample, last_sample, last_count, ignored;
    memset(step, 0, sizeof *step);
    memset(t->step_sums, 0, cnnbn_net_n_sums(t->net) * sizeof *t->step_sums);
    cnnbn_batch batch = {.epoch = (uint64_t)t->state.epoch,
                         .n_parts = (int)(left < t->opt.accumulate ? left : t->opt.accumulate)};
    cnnbn_sampler_batch(t->info->n[CNNBN_TRAIN], t->opt.batch_size, (size_t)first, &first_sample, &ignored);
    cnnbn_sampler_batch(t->info->n[CNNBN_TRAIN], t->opt.batch_size, (size_t)(first + batch.n_parts - 1), &last_sample,
                        &last_count);
    batch.n_step = last_sample + last_count - first_sample;
    cnnbn_net_set_lr(t->net, rate_of_step(t, t->state.global_step));
    for (; batch.part < batch.n_parts; batch.part++) {
        double start = cnnbn_now_s();
        ask_batches(t, first + batch.part, fed);
        t->data_s += cnnbn_now_s() - start;
        CNNBN_TRY(train_batch(t, &batch, first + batch.part, *fed, step));
    }
    return CNNBN_OK;
}

static void log_step(trainer *t, const step_outcome *step)
{
    char row[FIGURES_TEXT];
    size_t used = (size_t)snprintf(row, sizeof row, "%.9g", step->loss_sum / (double)step->n_images);
    if (!t->log_steps) return;
    for (int m = 0; m < t->aim.n_metrics && used < sizeof row; m++)
        used += (size_t)snprintf(row + used, sizeof row - used, ",%.9g",
                                 cnnbn_net_metric(t->net, m, t->step_sums, (double)step->n_images));
    csv_row(t->log_steps, "%" PRId64 ",%s\n", t->state.global_step - 1, row);
}

static void count_step(trainer *t, const step_outcome *step, double seconds)
{
    run_state *st = &t->state;
    st->step++;
    st->global_step++;
    t->train_s += seconds;
    t->epoch_s += seconds;
    if (seconds > t->slowest_step_s) t->slowest_step_s = seconds;
    watchdog_step_seconds(t->dog, seconds);
    watchdog_phase(t->dog, "training", st->global_step);
    log_step(t, step);
    if (is_root(t)) {
        epoch_figures so_far = {0};
        figures_from_sums(t->net, &t->aim, t->epoch_sums, (double)st->epoch_samples, 0, &so_far);
        progress_step(t->show, st->step, step->n_images, &so_far);
    }
    if (step->flags[FLAG_STOP] > 0)
        t->stop_now = STOP_SIGNAL;
    else if (step->flags[FLAG_TIME] > 0)
        t->stop_now = STOP_TIME;
}

static int limit_reached(const trainer *t)
{
    return t->opt.steps > 0 && t->state.global_step >= t->opt.steps;
}

static cnnbn_status train_epoch(trainer *t)
{
    cnnbn_status fed = CNNBN_OK;
    int64_t last = t->steps_per_epoch;
    t->asked = t->state.step * t->opt.accumulate;
    cnnbn_sampler_order(t->order, t->info->n[CNNBN_TRAIN], t->opt.seed, (uint64_t)t->state.epoch, t->opt.shuffle);
    if (is_root(t)) progress_epoch(t->show, t->state.epoch + 1, t->opt.epochs, t->state.step, last);
    t->epoch_s = t->data_s = 0;
    t->epoch_images = 0;
    double loop_start = cnnbn_now_s();
    while (t->state.step < last && !t->stop_now && !limit_reached(t)) {
        double start = cnnbn_now_s();
        step_outcome step;
        CNNBN_TRY(train_step(t, &fed, &step));
        trace_note(t, TRACE_STEP, start);
        count_step(t, &step, cnnbn_now_s() - start);
        if (trace_is_complete(t)) CNNBN_TRY(trace_write(t));
        if (t->stop_now) break;
        if (!due_by_steps(t) && step.flags[FLAG_CHECKPOINT] <= 0) continue;
        start = cnnbn_now_s();
        CNNBN_TRY(checkpoint(t, 0, 0));
        t->checkpoint_s += cnnbn_now_s() - start;
        trace_note(t, TRACE_CHECKPOINT, start);
    }
    t->loop_s += cnnbn_now_s() - loop_start;
    feed_forget(t->feeds[0]);
    return trace_write(t);
}

/* ---------------------------------------------------------------- the end of an epoch */

static int stop_flag(void *context)
{
    const trainer *t = context;
    return stop_signal() != 0 || (is_root(t) && time_is_up(t));
}

/* Why the validation was stopped: by a signal on any rank, or by time. */
static cnnbn_status name_reason(trainer *t)
{
    double is_signal = stop_signal() != 0;
    CNNBN_TRY(cnnbn_comm_max_f64(t->comm, &is_signal, 1));
    t->stop_now = is_signal > 0 ? STOP_SIGNAL : STOP_TIME;
    return CNNBN_OK;
}

static cnnbn_status validate(trainer *t, epoch_figures *f)
{
    int stopped = 0;
    const evaluation_wish wish = {
        .n_samples = t->info->n[CNNBN_TEST], .dog = t->dog, .stop = stop_flag, .stop_context = t};
    if (!t->opt.validate || !t->feeds[1]) return CNNBN_OK;
    if (t->opt.bn_local) CNNBN_TRY(cnnbn_net_average_statistics(t->net));
    if (t->opt.ema_decay > 0) cnnbn_net_swap_ema(t->net);
    cnnbn_status status = evaluate_split(t->net, t->comm, t->feeds[1], &wish, &stopped, t->test_sums);
    if (t->opt.ema_decay > 0) cnnbn_net_swap_ema(t->net);
    CNNBN_TRY(status);
    if (stopped) CNNBN_TRY(name_reason(t));
    watchdog_phase(t->dog, "training", t->state.global_step);
    f->has_val = !stopped;
    if (!stopped) figures_from_sums(t->net, &t->aim, t->test_sums, (double)wish.n_samples, 1, f);
    return CNNBN_OK;
}

static cnnbn_status end_epoch(trainer *t)
{
    run_state *st = &t->state;
    epoch_figures f = {0};
    char columns[FIGURES_TEXT];
    double samples = st->epoch_samples ? (double)st->epoch_samples : 1;
    double speed = t->epoch_s > 0 ? (double)t->epoch_images / t->epoch_s : 0;
    double lr = rate_of_step(t, st->global_step - 1);
    figures_from_sums(t->net, &t->aim, t->epoch_sums, samples, 0, &f);
    CNNBN_TRY(validate(t, &f));
    if (t->stop_now) return CNNBN_OK; /* the epoch's end comes again after the resume */
    if (is_root(t)) {
        progress_epoch_end(t->show, t->epoch_s, speed, &f);
        figures_columns(&t->aim, f.has_val, &f, columns, sizeof columns);
        csv_row(t->log, "%" PRId64 "%s,%.9g,%.1f,%.3f\n", st->epoch, columns, lr, speed, t->epoch_s);
        if (t->opt.profile) profile_report(t);
    }
    CNNBN_TRY(straggler_report(t));
    cnnbn_net_profile_reset(t->net);
    int is_best = monitor_best(t, &f);
    monitor_plateau(t, &f);
    monitor_stopping(t, &f);
    st->epoch++;
    st->step = 0;
    st->epoch_samples = 0;
    memset(t->epoch_sums, 0, cnnbn_net_n_sums(t->net) * sizeof *t->epoch_sums);
    if (due_by_epochs(t) || is_best) CNNBN_TRY(checkpoint(t, 0, is_best));
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- the run */

static void print_summary(const trainer *t)
{
    char path[4096];
    if (t->opt.quiet) return;
    (void)printf("\nDone: %" PRId64 " epochs, %" PRId64 " steps", t->state.epoch, t->state.global_step);
    if (t->state.restarts)
        (void)printf(", %" PRId64 " restart%s", t->state.restarts, t->state.restarts == 1 ? "" : "s");
    (void)printf("; %.1f s in all, peak memory %.0f MB a rank\n", cnnbn_now_s() - t->start_s,
                 (double)cnnbn_peak_memory_bytes() / (1 << 20));
    if (t->opt.checkpoint_dir && cnnbn_checkpoint_path(t->opt.checkpoint_dir, t->state.epoch, t->state.global_step,
                                                       path, sizeof path) == CNNBN_OK)
        (void)printf("Checkpoint: %s\n", path);
    (void)printf("Training speed: %.0f images/s\n", t->train_s > 0 ? (double)t->train_images / t->train_s : 0);
}

static cnnbn_status interrupted(trainer *t)
{
    const char *why = t->stop_now == STOP_TIME ? "the time is up" : "stopped by a signal";
    if (is_root(t)) progress_clear(t->show);
    if (!t->opt.checkpoint_dir)
        return cnnbn_error(CNNBN_ERR_INTERRUPTED, "%s; nothing was kept (no --checkpoint-dir)", why);
    CNNBN_TRY(checkpoint(t, 1, 0));
    return cnnbn_error(CNNBN_ERR_INTERRUPTED,
                       "%s at epoch %" PRId64 ", step %" PRId64 "; checkpoint written, run again to go on", why,
                       t->state.epoch + 1, t->state.step);
}

static cnnbn_status run(trainer *t)
{
    t->last_checkpoint_s = cnnbn_now_s();
    while (t->state.epoch < t->opt.epochs && !t->state.stopped) {
        CNNBN_TRY(train_epoch(t));
        if (t->stop_now) return interrupted(t);
        if (t->state.step < t->steps_per_epoch) break; /* --steps */
        CNNBN_TRY(end_epoch(t));
        if (t->stop_now) return interrupted(t);
        if (limit_reached(t)) break;
    }
    CNNBN_TRY(monitor_restore_best(t));
    CNNBN_TRY(checkpoint(t, 1, 0));
    if (is_root(t)) {
        progress_clear(t->show);
        cnnbn_status status = flush_logs(t);
        if (status != CNNBN_OK) cnnbn_warn("%s", cnnbn_error_message());
        print_summary(t);
    }
    return CNNBN_OK;
}

static void fill_report(const trainer *t, cnnbn_train_report *report)
{
    *report = (cnnbn_train_report){
        .steps = t->state.global_step,
        .images = t->train_images,
        .steps_s = t->train_s,
        .loop_s = t->loop_s,
        .checkpoint_s = t->checkpoint_s,
        .longest_write_s = saver_seconds(t->save),
    };
}

cnnbn_status cnnbn_train_run(cnnbn_comm *comm, const cnnbn_train_options *options)
{
    void *memory = NULL;
    cnnbn_status status = cnnbn_comm_agree(comm, cnnbn_alloc(sizeof(trainer), "a run", &memory));
    if (status != CNNBN_OK) {
        cnnbn_free(memory);
        return status;
    }
    trainer *t = memory;
    t->comm = comm;
    t->opt = *options;
    t->start_s = cnnbn_now_s();
    if (cnnbn_comm_rank(comm) != 0) cnnbn_log_set_level(CNNBN_LOG_QUIET);
    stop_install();
    status = trainer_open(t);
    if (status == CNNBN_OK && is_root(t) && (!t->opt.quiet || t->opt.dry_run)) {
        header_print(t, stdout);
        if (t->opt.dry_run) cnnbn_net_print_plan(t->net, stdout);
        (void)fflush(stdout);
    }
    if (status == CNNBN_OK && !t->opt.dry_run) status = run(t);
    /* The message must outlive the clean-up. */
    char message[CNNBN_ERROR_MAX];
    (void)snprintf(message, sizeof message, "%s", cnnbn_error_message());
    if (is_root(t) && t->show) progress_clear(t->show);
    if (t->opt.report) fill_report(t, t->opt.report);
    trainer_close(t);
    cnnbn_free(t);
    stop_uninstall();
    return status == CNNBN_OK ? CNNBN_OK : cnnbn_error(status, "%s", message);
}
