#include "cnnbn/schedule.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

void cnnbn_schedule_defaults(cnnbn_schedule *s)
{
    memset(s, 0, sizeof *s);
    s->gamma = 0.1;       /* PyTorch's StepLR and MultiStepLR */
    s->decay_rate = 0.96; /* of Keras' example: ExponentialDecay has no default */
    s->end_lr = 0.0001;   /* Keras' PolynomialDecay */
    s->power = 1;
    s->pct_start = 0.3; /* PyTorch's OneCycleLR */
    s->div_factor = 25;
    s->final_div_factor = 1e4;
}

/* ---------------------------------------------------------------- durations */

static cnnbn_status resolve_duration(const char *option, cnnbn_duration *d, int64_t steps_per_epoch)
{
    double steps = d->is_epochs ? floor(d->n * (double)steps_per_epoch + 0.5) : d->n;
    if (!(steps >= 1) || steps > 1e15)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "%s %g%s: that is %g steps of %" PRId64 " an epoch; 1 to 1e15 are possible", option, d->n,
                           d->is_epochs ? "e" : "s", steps, steps_per_epoch);
    d->steps = (int64_t)steps;
    return CNNBN_OK;
}

static cnnbn_status resolve_milestones(cnnbn_schedule *s, int64_t steps_per_epoch)
{
    for (int i = 0; i < s->n_milestones; i++) {
        CNNBN_TRY(resolve_duration("--milestones", &s->milestones[i], steps_per_epoch));
        if (i && s->milestones[i].steps <= s->milestones[i - 1].steps)
            return cnnbn_error(CNNBN_ERR_OPTION,
                               "--milestones: steps %" PRId64 " and %" PRId64 " follow each other; they must ascend",
                               s->milestones[i - 1].steps, s->milestones[i].steps);
    }
    return CNNBN_OK;
}

static cnnbn_status default_decay(cnnbn_schedule *s, int64_t steps_per_epoch, int64_t total_steps)
{
    s->decay.steps = s->kind == CNNBN_SCHEDULE_EXPONENTIAL ? steps_per_epoch : total_steps - s->warmup.steps;
    if (s->decay.steps < 1)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "--warmup of %" PRId64 " steps leaves nothing of a run of %" PRId64
                           " steps to the schedule: shorten it, or give --decay-steps",
                           s->warmup.steps, total_steps);
    return CNNBN_OK;
}

cnnbn_status cnnbn_schedule_resolve(cnnbn_schedule *s, int64_t steps_per_epoch, int64_t total_steps)
{
    if (s->warmup.n > 0) CNNBN_TRY(resolve_duration("--warmup", &s->warmup, steps_per_epoch));
    if (s->decay.n > 0) CNNBN_TRY(resolve_duration("--decay-steps", &s->decay, steps_per_epoch));
    CNNBN_TRY(resolve_milestones(s, steps_per_epoch));
    if (s->kind == CNNBN_SCHEDULE_STEP) {
        if ((s->n_milestones > 0) == (s->decay.n > 0))
            return cnnbn_error(CNNBN_ERR_OPTION,
                               "--schedule step: either --milestones 80e,120e or --decay-steps 30e is expected");
        return CNNBN_OK;
    }
    if (s->kind == CNNBN_SCHEDULE_CONSTANT || s->decay.n > 0) return CNNBN_OK;
    return default_decay(s, steps_per_epoch, total_steps);
}

/* ---------------------------------------------------------------- rates */

static double between_cosine(double from, double to, double part)
{
    return to + (from - to) / 2 * (1 + cos(pi * part));
}

/* Up from lr/div_factor until pct_start of the steps, then down to lr/(div_factor*final_div_factor). */
static double one_cycle(const cnnbn_schedule *s, double lr, int64_t step)
{
    double top = s->pct_start * (double)s->decay.steps - 1, last = (double)s->decay.steps - 1;
    double first_lr = lr / s->div_factor, least = first_lr / s->final_div_factor, at = (double)step;
    if (at >= last) return last > 0 ? least : first_lr;
    if (at <= top) return between_cosine(first_lr, lr, top > 0 ? at / top : 1);
    return between_cosine(lr, least, (at - top) / (last - top));
}

/* Behind the warm-up; `step` counts from there, `run_step` from the start of the run. */
static double decayed(const cnnbn_schedule *s, double lr, int64_t step, int64_t run_step)
{
    double length = (double)s->decay.steps, at = (double)step;
    int passed = 0;
    switch (s->kind) {
    case CNNBN_SCHEDULE_STEP:
        while (passed < s->n_milestones && s->milestones[passed].steps <= run_step) passed++;
        return lr * pow(s->gamma, s->n_milestones ? passed : floor(at / length));
    case CNNBN_SCHEDULE_EXPONENTIAL:
        return lr * pow(s->decay_rate, s->staircase ? floor(at / length) : at / length);
    case CNNBN_SCHEDULE_COSINE:
        return lr * between_cosine(1, s->alpha, at < length ? at / length : 1);
    case CNNBN_SCHEDULE_POLYNOMIAL:
        return (lr - s->end_lr) * pow(1 - (at < length ? at / length : 1), s->power) + s->end_lr;
    default:
        return lr;
    }
}

double cnnbn_schedule_rate(const cnnbn_schedule *s, double lr, int64_t step)
{
    if (s->kind == CNNBN_SCHEDULE_ONE_CYCLE) return one_cycle(s, lr, step);
    int64_t warm = s->warmup.steps;
    if (step >= warm) return decayed(s, lr, step - warm, step);
    double part = (double)step / (double)warm;
    return decayed(s, lr, 0, step) * (s->warmup_start + (1 - s->warmup_start) * part);
}

/* ---------------------------------------------------------------- text */

static void put_milestones(const cnnbn_schedule *s, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "step, milestones");
    for (int i = 0; i < s->n_milestones && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%" PRId64, i ? "," : " ", s->milestones[i].steps);
    if (used < bytes) (void)snprintf(text + used, bytes - used, ", gamma %.9g", s->gamma);
}

const char *cnnbn_schedule_text(const cnnbn_schedule *s, char *text, size_t bytes)
{
    int64_t n = s->decay.steps;
    switch (s->kind) {
    case CNNBN_SCHEDULE_STEP:
        if (s->n_milestones)
            put_milestones(s, text, bytes);
        else
            (void)snprintf(text, bytes, "step, decay-steps %" PRId64 ", gamma %.9g", n, s->gamma);
        break;
    case CNNBN_SCHEDULE_EXPONENTIAL:
        (void)snprintf(text, bytes, "exponential, decay-steps %" PRId64 ", decay-rate %.9g%s", n, s->decay_rate,
                       s->staircase ? ", staircase" : "");
        break;
    case CNNBN_SCHEDULE_COSINE:
        (void)snprintf(text, bytes, "cosine, decay-steps %" PRId64 ", alpha %.9g", n, s->alpha);
        break;
    case CNNBN_SCHEDULE_ONE_CYCLE:
        (void)snprintf(text, bytes, "one-cycle, decay-steps %" PRId64 ", %.9g up, div-factor %.9g and %.9g", n,
                       s->pct_start, s->div_factor, s->final_div_factor);
        break;
    case CNNBN_SCHEDULE_POLYNOMIAL:
        (void)snprintf(text, bytes, "polynomial, decay-steps %" PRId64 ", end-lr %.9g, power %.9g", n, s->end_lr,
                       s->power);
        break;
    default:
        (void)snprintf(text, bytes, "constant");
        break;
    }
    return text;
}
