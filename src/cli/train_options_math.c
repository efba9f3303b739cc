/* Optimiser, loss, and whatever else decides the numbers of cnnbn-train. */
#include "train_options.h"

enum option_key {
    OPT_BATCH_SIZE = 256,
    OPT_OPTIMIZER,
    OPT_LR,
    OPT_BETA_1,
    OPT_BETA_2,
    OPT_EPSILON,
    OPT_MOMENTUM,
    OPT_RHO,
    OPT_TRUST,
    OPT_ACCUMULATE,
    OPT_EMA,
    OPT_NESTEROV,
    OPT_WEIGHT_DECAY,
    OPT_CLIP_VALUE,
    OPT_CLIP_NORM,
    OPT_GLOBAL_CLIP_NORM,
    OPT_LOSS,
    OPT_FROM_LOGITS,
    OPT_LABEL_SMOOTHING,
    OPT_HUBER_DELTA,
    OPT_METRICS,
    OPT_BN,
    OPT_SEED,
    OPT_NO_SHUFFLE,
    OPT_DROP_LAST,
    OPT_NO_VALIDATION
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Mathematics:", 30},
    {"batch-size", OPT_BATCH_SIZE, "B", 0, "GLOBAL batch, shared out over the ranks (default 32)", 0},
    {"optimizer", OPT_OPTIMIZER, "NAME", 0, "adam, adamw, sgd, rmsprop, lars, lamb (default adam)", 0},
    {"lr", OPT_LR, "X", 0, "learning rate (default 0.001; sgd, lars 0.01)", 0},
    {"beta-1", OPT_BETA_1, "X", 0, "Adam, LAMB (default 0.9)", 0},
    {"beta-2", OPT_BETA_2, "X", 0, "Adam, LAMB (default 0.999)", 0},
    {"epsilon", OPT_EPSILON, "X", 0, "Adam, LAMB, RMSprop (default 1e-7)", 0},
    {"momentum", OPT_MOMENTUM, "X", 0, "SGD, RMSprop, LARS (default 0; lars 0.9)", 0},
    {"rho", OPT_RHO, "X", 0, "RMSprop (default 0.9)", 0},
    {"trust-coefficient", OPT_TRUST, "X", 0, "LARS (default 0.001)", 0},
    {"nesterov", OPT_NESTEROV, NULL, 0, "SGD and LARS with Nesterov momentum", 0},
    {"weight-decay", OPT_WEIGHT_DECAY, "X", 0,
     "of kernels; decoupled, but with lars part of the gradient (default 0; adamw 0.004)", 0},
    {"accumulate", OPT_ACCUMULATE, "K", 0, "a step is K batches of --batch-size, their gradients added (default 1)", 0},
    {"ema", OPT_EMA, "DECAY", 0, "average the weights, 0.999 say; what validation and --checkpoint-best look at", 0},
    {"clip-value", OPT_CLIP_VALUE, "X", 0, "clip each gradient to [-X, X]", 0},
    {"clip-norm", OPT_CLIP_NORM, "X", 0, "clip the norm of each weight's gradient", 0},
    {"global-clip-norm", OPT_GLOBAL_CLIP_NORM, "X", 0, "clip the norm of the whole gradient", 0},
    {"loss", OPT_LOSS, "NAME", 0,
     "sparse_categorical_crossentropy, categorical_crossentropy, binary_crossentropy, mse, mae, huber (default: that "
     "of "
     "the model's file, else what fits the data and the model's last activation)",
     0},
    {"from-logits", OPT_FROM_LOGITS, NULL, 0,
     "the model's outputs are the logits of a cross-entropy: refused where they are not", 0},
    {"label-smoothing", OPT_LABEL_SMOOTHING, "X", 0, "0 <= X < 1 (default 0)", 0},
    {"huber-delta", OPT_HUBER_DELTA, "X", 0, "where huber changes from a square to a line (default 1)", 0},
    {"metrics", OPT_METRICS, "NAMES", 0,
     "comma-separated: accuracy, top-K, binary_accuracy, auc, mae, mse; or none (default: one that fits the loss)", 0},
    {"bn", OPT_BN, "MODE", 0, "sync: statistics of the global batch; local: of each rank's images (default sync)", 0},
    {"seed", OPT_SEED, "N", 0, "order, initial weights, dropout, augmentation (default 0)", 0},
    {"no-shuffle", OPT_NO_SHUFFLE, NULL, 0, "samples in the order of the file", 0},
    {"drop-last", OPT_DROP_LAST, NULL, 0, "leave the short last batch out", 0},
    {"no-validation", OPT_NO_VALIDATION, NULL, 0, "no pass over the test set after an epoch", 0},
    {0},
};

static void set_clip(train_settings *s, cnnbn_clip_kind kind, const char *option, const char *text)
{
    s->clips_given++;
    s->opt.optimizer.clip = kind;
    cli_check(cli_real(option, text, 1e-30, 1e30, &s->opt.optimizer.clip_limit));
    if (s->clips_given > 1)
        cli_check(
            cnnbn_error(CNNBN_ERR_OPTION, "%s: at most one of --clip-value, --clip-norm, --global-clip-norm", option));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const optimizers[] = {"adam", "adamw", "sgd", "rmsprop", "lars", "lamb", NULL};
    static const char *const bn_modes[] = {"sync", "local", NULL};
    train_settings *s = state->input;
    cnnbn_train_options *o = &s->opt;
    cnnbn_optimizer *opt = &o->optimizer;
    switch (key) {
    case OPT_BATCH_SIZE:
        o->batch_size = (size_t)train_int("--batch-size", arg, 1, 1 << 24);
        break;
    case OPT_OPTIMIZER:
        opt->kind = (cnnbn_optimizer_kind)train_word("--optimizer", arg, optimizers);
        break;
    case OPT_LR:
        opt->lr = train_real("--lr", arg, 0, 1e6);
        s->lr_given = 1;
        break;
    case OPT_BETA_1:
        opt->beta1 = train_real("--beta-1", arg, 0, 0.999999999);
        break;
    case OPT_BETA_2:
        opt->beta2 = train_real("--beta-2", arg, 0, 0.999999999);
        break;
    case OPT_EPSILON:
        opt->epsilon = train_real("--epsilon", arg, 1e-30, 1);
        break;
    case OPT_MOMENTUM:
        opt->momentum = train_real("--momentum", arg, 0, 1);
        s->momentum_given = 1;
        break;
    case OPT_RHO:
        opt->rho = train_real("--rho", arg, 0, 0.999999999);
        s->rho_given = 1;
        break;
    case OPT_TRUST:
        opt->trust = train_real("--trust-coefficient", arg, 1e-30, 1e6);
        s->trust_given = 1;
        break;
    case OPT_ACCUMULATE:
        o->accumulate = (int)train_int("--accumulate", arg, 1, 1 << 20);
        break;
    case OPT_EMA:
        o->ema_decay = train_real("--ema", arg, 1e-9, 0.999999999);
        break;
    case OPT_NESTEROV:
        opt->nesterov = 1;
        break;
    case OPT_WEIGHT_DECAY:
        opt->weight_decay = train_real("--weight-decay", arg, 0, 1e3);
        s->decay_given = 1;
        break;
    case OPT_CLIP_VALUE:
        set_clip(s, CNNBN_CLIP_VALUE, "--clip-value", arg);
        break;
    case OPT_CLIP_NORM:
        set_clip(s, CNNBN_CLIP_NORM, "--clip-norm", arg);
        break;
    case OPT_GLOBAL_CLIP_NORM:
        set_clip(s, CNNBN_CLIP_GLOBAL_NORM, "--global-clip-norm", arg);
        break;
    case OPT_LOSS:
        o->loss = arg;
        break;
    case OPT_FROM_LOGITS:
        o->from_logits = 1;
        break;
    case OPT_HUBER_DELTA:
        o->huber_delta = train_real("--huber-delta", arg, 1e-6, 1e30);
        break;
    case OPT_METRICS:
        o->metrics = arg;
        break;
    case OPT_LABEL_SMOOTHING:
        o->label_smoothing = train_real("--label-smoothing", arg, 0, 0.999999);
        break;
    case OPT_BN:
        o->bn_local = train_word("--bn", arg, bn_modes);
        break;
    case OPT_SEED:
        cli_check(cli_u64("--seed", arg, &o->seed));
        break;
    case OPT_NO_SHUFFLE:
        o->shuffle = 0;
        break;
    case OPT_DROP_LAST:
        o->drop_last = 1;
        break;
    case OPT_NO_VALIDATION:
        o->validate = 0;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp train_options_math = {.options = options, .parser = parse};

cnnbn_status train_complete_math(train_settings *s)
{
    cnnbn_optimizer *opt = &s->opt.optimizer;
    int has_big_rate = opt->kind == CNNBN_SGD || opt->kind == CNNBN_LARS;
    if (!s->lr_given && has_big_rate) opt->lr = 0.01;                           /* Keras' SGD */
    if (!s->momentum_given && opt->kind == CNNBN_LARS) opt->momentum = 0.9;     /* You et al. 2017 */
    if (!s->decay_given && opt->kind == CNNBN_ADAMW) opt->weight_decay = 0.004; /* Keras' AdamW */
    if (opt->kind == CNNBN_ADAM && opt->weight_decay > 0) opt->kind = CNNBN_ADAMW;
    if (s->momentum_given && !has_big_rate && opt->kind != CNNBN_RMSPROP)
        return cnnbn_error(CNNBN_ERR_OPTION, "--momentum is of SGD, RMSprop and LARS; add --optimizer sgd");
    if (opt->nesterov && !has_big_rate)
        return cnnbn_error(CNNBN_ERR_OPTION, "--nesterov is of SGD and LARS; add --optimizer sgd");
    if (s->rho_given && opt->kind != CNNBN_RMSPROP)
        return cnnbn_error(CNNBN_ERR_OPTION, "--rho is RMSprop's; add --optimizer rmsprop");
    if (s->trust_given && opt->kind != CNNBN_LARS)
        return cnnbn_error(CNNBN_ERR_OPTION, "--trust-coefficient is of LARS; add --optimizer lars");
    return CNNBN_OK;
}
