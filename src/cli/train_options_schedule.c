/* The learning rate of cnnbn-train over time, and what may end a run early. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train_options.h"

enum option_key {
    OPT_SCHEDULE = 256,
    OPT_WARMUP,
    OPT_WARMUP_START,
    OPT_LR_SCALE_BATCH,
    OPT_MILESTONES,
    OPT_GAMMA,
    OPT_DECAY_STEPS,
    OPT_DECAY_RATE,
    OPT_STAIRCASE,
    OPT_ALPHA,
    OPT_END_LR,
    OPT_POWER,
    OPT_PCT_START,
    OPT_DIV_FACTOR,
    OPT_FINAL_DIV_FACTOR,
    OPT_PLATEAU,
    OPT_PLATEAU_PATIENCE,
    OPT_PLATEAU_MIN_DELTA,
    OPT_PLATEAU_COOLDOWN,
    OPT_PLATEAU_MIN_LR,
    OPT_PLATEAU_MONITOR,
    OPT_EARLY_STOPPING,
    OPT_EARLY_STOPPING_MIN_DELTA,
    OPT_EARLY_STOPPING_MONITOR,
    OPT_RESTORE_BEST
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Learning rate over time, and when to stop (N: 500s steps or 5e epochs):", 35},
    {"schedule", OPT_SCHEDULE, "NAME", 0,
     "constant, step, exponential, cosine, one-cycle, polynomial (default constant)", 0},
    {"warmup", OPT_WARMUP, "N", 0, "linear warm-up in front of the schedule (default: none)", 0},
    {"warmup-start", OPT_WARMUP_START, "X", 0, "part of the rate that the warm-up starts from (default 0)", 0},
    {"lr-scale-batch", OPT_LR_SCALE_BATCH, "B0", 0, "--lr is meant for batches of B0: multiply it by batch/B0", 0},
    {"milestones", OPT_MILESTONES, "N,N,...", 0, "step: where the rate is multiplied by --gamma, from the run's start",
     0},
    {"gamma", OPT_GAMMA, "X", 0, "step (default 0.1)", 0},
    {"decay-steps", OPT_DECAY_STEPS, "N", 0,
     "length of the schedule, or of one step of it (step, exponential) (default: what is left of the run; exponential "
     "1e)",
     0},
    {"decay-rate", OPT_DECAY_RATE, "X", 0, "exponential: factor in each --decay-steps (default 0.96)", 0},
    {"staircase", OPT_STAIRCASE, NULL, 0, "exponential: all at once at the end of each --decay-steps", 0},
    {"alpha", OPT_ALPHA, "X", 0, "cosine: least rate as a part of --lr (default 0)", 0},
    {"end-lr", OPT_END_LR, "X", 0, "polynomial: least rate (default 0.0001)", 0},
    {"power", OPT_POWER, "X", 0, "polynomial (default 1)", 0},
    {"pct-start", OPT_PCT_START, "X", 0, "one-cycle: part of the steps in which the rate rises (default 0.3)", 0},
    {"div-factor", OPT_DIV_FACTOR, "X", 0, "one-cycle: starts from lr/X (default 25)", 0},
    {"final-div-factor", OPT_FINAL_DIV_FACTOR, "X", 0,
     "one-cycle: ends with a rate X times smaller still (default 10000)", 0},
    {"reduce-lr-on-plateau", OPT_PLATEAU, "FACTOR", 0, "multiply the rate when an epoch's figure stays no better", 0},
    {"plateau-patience", OPT_PLATEAU_PATIENCE, "EPOCHS", 0, "for so long (default 10)", 0},
    {"plateau-min-delta", OPT_PLATEAU_MIN_DELTA, "X", 0, "better means by more than X (default 0.0001)", 0},
    {"plateau-cooldown", OPT_PLATEAU_COOLDOWN, "EPOCHS", 0, "not looked at after a change (default 0)", 0},
    {"plateau-min-lr", OPT_PLATEAU_MIN_LR, "X", 0, "least rate (default 0)", 0},
    {"plateau-monitor", OPT_PLATEAU_MONITOR, "METRIC", 0,
     "loss, a metric of the run, or one with val_ (default val_loss)", 0},
    {"early-stopping", OPT_EARLY_STOPPING, "EPOCHS", 0,
     "end the run when an epoch's figure stays no better for so long", 0},
    {"early-stopping-min-delta", OPT_EARLY_STOPPING_MIN_DELTA, "X", 0, "better means by more than X (default 0)", 0},
    {"early-stopping-monitor", OPT_EARLY_STOPPING_MONITOR, "METRIC", 0,
     "loss, a metric of the run, or one with val_ (default val_loss)", 0},
    {"restore-best", OPT_RESTORE_BEST, NULL, 0, "with --early-stopping: the run ends with the weights of best.h5", 0},
    {0},
};

/* "500s", "5e", "0.5e"; *rest behind it. */
static int read_duration(const char *text, const char **rest, cnnbn_duration *out)
{
    char *end;
    double n = strtod(text, &end);
    if (end == text || !(n > 0) || n > 1e12 || (*end != 's' && *end != 'e')) return 0;
    if (*end == 's' && n != floor(n)) return 0;
    *out = (cnnbn_duration){.n = n, .is_epochs = *end == 'e'};
    *rest = end + 1;
    return 1;
}

static void get_duration(const char *option, const char *text, cnnbn_duration *out)
{
    const char *rest = "";
    if (!read_duration(text, &rest, out) || *rest)
        cli_check(cnnbn_error(CNNBN_ERR_OPTION, "%s '%s': 500s (steps) or 5e (epochs) is expected", option, text));
}

static void get_milestones(const char *text, cnnbn_schedule *s)
{
    const char *at = text;
    for (s->n_milestones = 0; s->n_milestones < CNNBN_MILESTONES_MAX;) {
        if (!read_duration(at, &at, &s->milestones[s->n_milestones])) break;
        s->n_milestones++;
        if (!*at) return;
        if (*at++ != ',') break;
    }
    cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--milestones '%s': up to %d such as 80e,120e or 3000s are expected", text,
                          CNNBN_MILESTONES_MAX));
}

static error_t parse_plateau(int key, char *arg, cnnbn_plateau *p)
{
    switch (key) {
    case OPT_PLATEAU:
        p->factor = train_real("--reduce-lr-on-plateau", arg, 1e-9, 0.999999);
        break;
    case OPT_PLATEAU_PATIENCE:
        p->patience = train_int("--plateau-patience", arg, 0, 1000000000);
        break;
    case OPT_PLATEAU_MIN_DELTA:
        p->min_delta = train_real("--plateau-min-delta", arg, 0, 1e9);
        break;
    case OPT_PLATEAU_COOLDOWN:
        p->cooldown = train_int("--plateau-cooldown", arg, 0, 1000000000);
        break;
    case OPT_PLATEAU_MIN_LR:
        p->min_lr = train_real("--plateau-min-lr", arg, 0, 1e6);
        break;
    case OPT_PLATEAU_MONITOR:
        p->monitor = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_stopping(int key, char *arg, cnnbn_early_stopping *e)
{
    switch (key) {
    case OPT_EARLY_STOPPING:
        e->patience = train_int("--early-stopping", arg, 0, 1000000000);
        e->is_on = 1;
        break;
    case OPT_EARLY_STOPPING_MIN_DELTA:
        e->min_delta = train_real("--early-stopping-min-delta", arg, 0, 1e9);
        break;
    case OPT_EARLY_STOPPING_MONITOR:
        e->monitor = arg;
        break;
    case OPT_RESTORE_BEST:
        e->restore_best = 1;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_schedule(int key, char *arg, cnnbn_train_options *o)
{
    static const char *const schedules[] = {"constant",  "step",       "exponential", "cosine",
                                            "one-cycle", "polynomial", NULL}; /* order of cnnbn_schedule_kind */
    cnnbn_schedule *s = &o->schedule;
    switch (key) {
    case OPT_SCHEDULE:
        s->kind = (cnnbn_schedule_kind)train_word("--schedule", arg, schedules);
        break;
    case OPT_WARMUP:
        get_duration("--warmup", arg, &s->warmup);
        break;
    case OPT_WARMUP_START:
        s->warmup_start = train_real("--warmup-start", arg, 0, 1);
        break;
    case OPT_LR_SCALE_BATCH:
        o->lr_scale_batch = (size_t)train_int("--lr-scale-batch", arg, 1, 1 << 24);
        break;
    case OPT_MILESTONES:
        get_milestones(arg, s);
        break;
    case OPT_GAMMA:
        s->gamma = train_real("--gamma", arg, 0, 1e6);
        break;
    case OPT_DECAY_STEPS:
        get_duration("--decay-steps", arg, &s->decay);
        break;
    case OPT_DECAY_RATE:
        s->decay_rate = train_real("--decay-rate", arg, 1e-30, 1e6);
        break;
    case OPT_STAIRCASE:
        s->staircase = 1;
        break;
    case OPT_ALPHA:
        s->alpha = train_real("--alpha", arg, 0, 1);
        break;
    case OPT_END_LR:
        s->end_lr = train_real("--end-lr", arg, 0, 1e6);
        break;
    case OPT_POWER:
        s->power = train_real("--power", arg, 1e-9, 1e6);
        break;
    case OPT_PCT_START:
        s->pct_start = train_real("--pct-start", arg, 0, 1);
        break;
    case OPT_DIV_FACTOR:
        s->div_factor = train_real("--div-factor", arg, 1, 1e12);
        break;
    case OPT_FINAL_DIV_FACTOR:
        s->final_div_factor = train_real("--final-div-factor", arg, 1, 1e12);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    train_settings *s = state->input;
    error_t done = parse_schedule(key, arg, &s->opt);
    if (done == ARGP_ERR_UNKNOWN) done = parse_plateau(key, arg, &s->opt.plateau);
    if (done == ARGP_ERR_UNKNOWN) done = parse_stopping(key, arg, &s->opt.early_stopping);
    if (done != ARGP_ERR_UNKNOWN) s->schedule_given |= UINT64_C(1) << (key - OPT_SCHEDULE);
    return done;
}

const struct argp train_options_schedule = {.options = options, .parser = parse};

static const char *name_of(int key)
{
    for (const struct argp_option *o = options; o->name || o->doc; o++)
        if (o->key == key) return o->name;
    return "";
}

/* An option of a schedule that is not chosen would be ignored: refused by name. */
static cnnbn_status check_owners(const train_settings *s)
{
    static const struct {
        int key;
        unsigned int schedules; /* bits of cnnbn_schedule_kind */
        const char *owner;
    } owners[] = {
        {OPT_MILESTONES, 1 << CNNBN_SCHEDULE_STEP, "--schedule step"},
        {OPT_GAMMA, 1 << CNNBN_SCHEDULE_STEP, "--schedule step"},
        {OPT_DECAY_STEPS, ~(1U << CNNBN_SCHEDULE_CONSTANT), "a --schedule that is not constant"},
        {OPT_DECAY_RATE, 1 << CNNBN_SCHEDULE_EXPONENTIAL, "--schedule exponential"},
        {OPT_STAIRCASE, 1 << CNNBN_SCHEDULE_EXPONENTIAL, "--schedule exponential"},
        {OPT_ALPHA, 1 << CNNBN_SCHEDULE_COSINE, "--schedule cosine"},
        {OPT_END_LR, 1 << CNNBN_SCHEDULE_POLYNOMIAL, "--schedule polynomial"},
        {OPT_POWER, 1 << CNNBN_SCHEDULE_POLYNOMIAL, "--schedule polynomial"},
        {OPT_PCT_START, 1 << CNNBN_SCHEDULE_ONE_CYCLE, "--schedule one-cycle"},
        {OPT_DIV_FACTOR, 1 << CNNBN_SCHEDULE_ONE_CYCLE, "--schedule one-cycle"},
        {OPT_FINAL_DIV_FACTOR, 1 << CNNBN_SCHEDULE_ONE_CYCLE, "--schedule one-cycle"},
        {OPT_WARMUP, ~(1U << CNNBN_SCHEDULE_ONE_CYCLE), "a --schedule but one-cycle, which rises by itself"},
    };
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
        if ((s->schedule_given >> (owners[i].key - OPT_SCHEDULE) & 1) &&
            !(owners[i].schedules >> s->opt.schedule.kind & 1))
            return cnnbn_error(CNNBN_ERR_OPTION, "--%s goes with %s", name_of(owners[i].key), owners[i].owner);
    return CNNBN_OK;
}

/* Options that say how another one works. */
static cnnbn_status check_masters(const train_settings *s)
{
    static const struct {
        int first, last, master;
    } masters[] = {
        {OPT_WARMUP_START, OPT_WARMUP_START, OPT_WARMUP},
        {OPT_PLATEAU_PATIENCE, OPT_PLATEAU_MONITOR, OPT_PLATEAU},
        {OPT_EARLY_STOPPING_MIN_DELTA, OPT_RESTORE_BEST, OPT_EARLY_STOPPING},
    };
    for (size_t i = 0; i < sizeof masters / sizeof *masters; i++)
        for (int key = masters[i].first; key <= masters[i].last; key++)
            if ((s->schedule_given >> (key - OPT_SCHEDULE) & 1) &&
                !(s->schedule_given >> (masters[i].master - OPT_SCHEDULE) & 1))
                return cnnbn_error(CNNBN_ERR_OPTION, "--%s needs --%s", name_of(key), name_of(masters[i].master));
    return CNNBN_OK;
}

cnnbn_status train_complete_schedule(train_settings *s)
{
    const cnnbn_train_options *o = &s->opt;
    const cnnbn_early_stopping *e = &o->early_stopping;
    CNNBN_TRY(check_owners(s));
    CNNBN_TRY(check_masters(s));
    if (o->plateau.factor > 0 && o->schedule.kind != CNNBN_SCHEDULE_CONSTANT)
        return cnnbn_error(CNNBN_ERR_OPTION, "--reduce-lr-on-plateau goes with --schedule constant");
    if (e->restore_best && !o->checkpoint_dir)
        return cnnbn_error(CNNBN_ERR_OPTION, "--restore-best needs --checkpoint-dir, where best.h5 is");
    if (e->restore_best && o->checkpoint_best && strcmp(o->checkpoint_best, e->monitor) != 0)
        return cnnbn_error(CNNBN_ERR_OPTION, "--restore-best: best.h5 is by --checkpoint-best %s, not by %s",
                           o->checkpoint_best, e->monitor);
    return CNNBN_OK;
}
