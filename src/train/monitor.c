/* What looks at the figures of an epoch: the best checkpoint, --reduce-lr-on-plateau, --early-stopping; and the learning rate. All
 * that these remember is in run_state, and so in the checkpoint. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/log.h"
#include "trainer.h"

/* Better by more than min_delta; anything but a NaN is better than nothing. */
static int is_better(const trainer *t, const char *what, double now, double best, double min_delta)
{
    if (isnan(best)) return !isnan(now);
    return figure_falls(&t->aim, what) ? now < best - min_delta : now > best + min_delta;
}

static int speaks(const trainer *t)
{
    return !t->opt.quiet && cnnbn_comm_rank(t->comm) == 0;
}

double rate_of_step(const trainer *t, int64_t global_step)
{
    return cnnbn_schedule_rate(&t->opt.schedule, t->state.lr, global_step);
}

/* ---------------------------------------------------------------- at the end of an epoch */

int monitor_best(trainer *t, const epoch_figures *f)
{
    const char *what = t->opt.checkpoint_best;
    if (!what || !is_better(t, what, figure_of(&t->aim, f, what), t->state.best, 0)) return 0;
    t->state.best = figure_of(&t->aim, f, what);
    t->state.best_epoch = t->state.epoch + 1;
    return 1;
}

/* The order of Keras' ReduceLROnPlateau: an epoch of the cooldown is none of the patience. */
void monitor_plateau(trainer *t, const epoch_figures *f)
{
    const cnnbn_plateau *p = &t->opt.plateau;
    run_state *st = &t->state;
    if (p->factor <= 0) return;
    double now = figure_of(&t->aim, f, p->monitor);
    if (st->cooldown > 0) {
        st->cooldown--;
        st->plateau.wait = 0;
    }
    if (is_better(t, p->monitor, now, st->plateau.best, p->min_delta)) {
        st->plateau = (watched){now, 0};
        return;
    }
    if (st->cooldown > 0 || ++st->plateau.wait < p->patience || st->lr <= p->min_lr) return;
    st->lr = fmax(st->lr * p->factor, p->min_lr);
    st->cooldown = p->cooldown;
    st->plateau.wait = 0;
    if (!speaks(t)) return;
    progress_clear(t->show);
    (void)printf("epoch %" PRId64 ": no better %s than %.6g; lr is now %g\n", st->epoch + 1, p->monitor,
                 st->plateau.best, st->lr);
}

void monitor_stopping(trainer *t, const epoch_figures *f)
{
    const cnnbn_early_stopping *e = &t->opt.early_stopping;
    run_state *st = &t->state;
    if (!e->is_on) return;
    double now = figure_of(&t->aim, f, e->monitor);
    if (is_better(t, e->monitor, now, st->early.best, e->min_delta)) {
        st->early = (watched){now, 0};
        return;
    }
    if (++st->early.wait < e->patience || st->epoch == 0) return; /* Keras never stops after the first epoch */
    st->stopped = 1;
    if (!speaks(t)) return;
    progress_clear(t->show);
    (void)printf("epoch %" PRId64 ": early stopping: no better %s than %.6g for %" PRId64 " epochs\n", st->epoch + 1,
                 e->monitor, st->early.best, st->early.wait);
}

/* ---------------------------------------------------------------- before the start */

static cnnbn_status check_monitor(const trainer *t, const char *option, const char *monitor)
{
    CNNBN_TRY(figure_check(&t->aim, option, monitor));
    if (strncmp(monitor, "val_", 4) == 0 && (!t->opt.validate || t->info->n[CNNBN_TEST] == 0))
        return cnnbn_error(CNNBN_ERR_OPTION, "%s %s: there is no validation in this run", option, monitor);
    return CNNBN_OK;
}

cnnbn_status monitor_check(const trainer *t)
{
    const cnnbn_train_options *o = &t->opt;
    if (o->checkpoint_best) CNNBN_TRY(check_monitor(t, "--checkpoint-best", o->checkpoint_best));
    if (o->plateau.factor > 0) CNNBN_TRY(check_monitor(t, "--plateau-monitor", o->plateau.monitor));
    if (!o->early_stopping.is_on) return CNNBN_OK;
    return check_monitor(t, "--early-stopping-monitor", o->early_stopping.monitor);
}

/* ---------------------------------------------------------------- --restore-best */

static cnnbn_status read_best(trainer *t)
{
    char path[4200];
    cnnbn_checkpoint *best = NULL;
    (void)snprintf(path, sizeof path, "%s/best.h5", t->opt.checkpoint_dir);
    CNNBN_TRY(saver_wait(t->save));
    CNNBN_TRY(cnnbn_checkpoint_read(path, &best));
    const cnnbn_meta *epoch = cnnbn_checkpoint_meta(best, "epoch");
    cnnbn_status status = state_check_model(t, best, path);
    if (status == CNNBN_OK && (!epoch || epoch->kind != CNNBN_META_INT || epoch->i != t->state.best_epoch))
        status =
            cnnbn_error(CNNBN_ERR_CHECKPOINT, "--restore-best: %s is of epoch %" PRId64 ", the best was epoch %" PRId64,
                        path, epoch ? epoch->i : 0, t->state.best_epoch);
    for (int i = 0; status == CNNBN_OK && i < t->model->n_params; i++)
        memcpy(cnnbn_net_param(t->net, i), best->params[i], t->model->params[i].count * sizeof(float));
    if (status == CNNBN_OK) status = state_restore_ema(t, best, path);
    cnnbn_checkpoint_destroy(best);
    return status;
}

cnnbn_status monitor_restore_best(trainer *t)
{
    run_state *st = &t->state;
    int is_over = st->stopped || st->epoch >= t->opt.epochs; /* --steps may be a pause */
    if (!is_over || !t->opt.early_stopping.restore_best || st->restored || st->best_epoch == 0) return CNNBN_OK;
    cnnbn_status status = cnnbn_comm_rank(t->comm) == 0 ? read_best(t) : CNNBN_OK;
    CNNBN_TRY(cnnbn_comm_agree(t->comm, status));
    st->restored = st->best_epoch;
    CNNBN_TRY(state_broadcast(t));
    if (!speaks(t)) return CNNBN_OK;
    progress_clear(t->show);
    (void)printf("The weights are those of epoch %" PRId64 " (%s %.6g)\n", st->restored, t->opt.checkpoint_best,
                 st->best);
    return CNNBN_OK;
}
