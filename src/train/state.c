/* What a checkpoint holds beside the weights, and whether it belongs to this run. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/cnnbn_version.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

/* ---------------------------------------------------------------- identity */

static void put(identity *id, const char *key, const char *format, ...) CNNBN_PRINTF(3, 4);

static void put(identity *id, const char *key, const char *format, ...)
{
    if (id->n >= IDENTITY_MAX) return;
    identity_entry *e = &id->entries[id->n++];
    (void)snprintf(e->key, sizeof e->key, "%s", key);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->value, sizeof e->value, format, args);
    va_end(args);
}

/* What happens to the rate and when the run ends. */
static void put_recipe(identity *id, const cnnbn_train_options *o)
{
    char text[192];
    const cnnbn_plateau *p = &o->plateau;
    const cnnbn_early_stopping *e = &o->early_stopping;
    put(id, "schedule", "%s", cnnbn_schedule_text(&o->schedule, text, sizeof text));
    if (o->schedule.warmup.steps)
        put(id, "warmup", "%" PRId64 " from %.9g", o->schedule.warmup.steps, o->schedule.warmup_start);
    else
        put(id, "warmup", "none");
    if (p->factor > 0)
        put(id, "reduce-lr-on-plateau",
            "%.9g, patience %" PRId64 ", min-delta %.9g, cooldown %" PRId64 ", min-lr %.9g, %s", p->factor, p->patience,
            p->min_delta, p->cooldown, p->min_lr, p->monitor);
    else
        put(id, "reduce-lr-on-plateau", "none");
    if (e->is_on)
        put(id, "early-stopping", "%" PRId64 ", min-delta %.9g, %s%s", e->patience, e->min_delta, e->monitor,
            e->restore_best ? ", restore-best" : "");
    else
        put(id, "early-stopping", "none");
}

/* Everything that decides the mathematics of a run; each under the name of its option. */
void identity_fill(const trainer *t, const char *data_digest, identity *out)
{
    static const char *const kinds[] = {"adam", "adamw", "sgd", "rmsprop", "lars", "lamb"};
    static const char *const clips[] = {"none", "value", "norm", "global-norm"};
    static const char *const flips[] = {"none", "horizontal", "vertical", "both"};
    const cnnbn_train_options *o = &t->opt;
    const cnnbn_optimizer *opt = &o->optimizer;
    memset(out, 0, sizeof *out);
    put(out, "batch-size", "%zu", o->batch_size);
    put(out, "slices", "%d", o->slices);
    put(out, "optimizer", "%s", kinds[opt->kind]);
    put(out, "lr", "%.17g", opt->lr);
    put_recipe(out, o);
    if (opt->kind == CNNBN_SGD || opt->kind == CNNBN_LARS || opt->kind == CNNBN_RMSPROP)
        put(out, "momentum", "%.17g", opt->momentum);
    if (opt->kind == CNNBN_SGD || opt->kind == CNNBN_LARS) {
        put(out, "nesterov", "%d", opt->nesterov);
    } else {
        put(out, "epsilon", "%.17g", opt->epsilon);
    }
    if (opt->kind == CNNBN_ADAM || opt->kind == CNNBN_ADAMW || opt->kind == CNNBN_LAMB) {
        put(out, "beta-1", "%.17g", opt->beta1);
        put(out, "beta-2", "%.17g", opt->beta2);
    }
    if (opt->kind == CNNBN_RMSPROP) put(out, "rho", "%.17g", opt->rho);
    if (opt->kind == CNNBN_LARS) put(out, "trust-coefficient", "%.17g", opt->trust);
    put(out, "accumulate", "%d", o->accumulate);
    put(out, "ema", "%.17g", o->ema_decay);
    put(out, "weight-decay", "%.17g", opt->weight_decay);
    put(out, "clip", "%s %.17g", clips[opt->clip], opt->clip == CNNBN_CLIP_NONE ? 0.0 : opt->clip_limit);
    put(out, "loss", "%s", cnnbn_loss_name(t->aim.loss));
    put(out, "label-smoothing", "%.9g", t->aim.label_smoothing);
    if (t->aim.loss == CNNBN_LOSS_HUBER) put(out, "huber-delta", "%.17g", t->aim.huber_delta);
    char metrics[256];
    objective_metrics_text(&t->aim, metrics, sizeof metrics);
    put(out, "metrics", "%s", metrics);
    put(out, "random-flip", "%s", flips[2 * o->augment.flip_vertical + o->augment.flip_horizontal]);
    put(out, "random-crop", "%d", o->augment.crop_pad);
    put(out, "random-translation", "%.17g", o->augment.translation);
    put(out, "random-rotation", "%.17g", o->augment.rotation);
    put(out, "random-contrast", "%.17g", o->augment.contrast);
    put(out, "cutout", "%d", o->augment.cutout);
    put(out, "mixup", "%.17g", o->augment.mixup);
    put(out, "seed", "%" PRIu64, o->seed);
    put(out, "shuffle", "%d", o->shuffle);
    put(out, "drop-last", "%d", o->drop_last);
    put(out, "bn", "%s", o->bn_local ? "local" : "sync");
    put(out, "reduce", "%s", o->reduce == CNNBN_REDUCE_ORDERED ? "ordered" : "mpi");
    put(out, "conv", "%s", cnnbn_conv_algo_name(o->conv));
    put(out, "no-fusion", "%d", o->no_fusion);
    put(out, "data", "%s", data_digest);
}

static int is_overridden(const char *list, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = list; at && *at;) {
        size_t part = strcspn(at, ",");
        if (part == length && strncmp(at, key, length) == 0) return 1;
        at += part + (at[part] == ',');
    }
    return 0;
}

static int is_of_identity(const identity *id, const char *name, size_t length)
{
    /* What other optimisers and losses have. */
    static const char *const conditional[] = {"momentum", "nesterov", "epsilon",           "beta-1",
                                              "beta-2",   "rho",      "trust-coefficient", "huber-delta"};
    for (size_t i = 0; i < sizeof conditional / sizeof *conditional; i++)
        if (strlen(conditional[i]) == length && strncmp(conditional[i], name, length) == 0) return 1;
    for (int i = 0; i < id->n; i++)
        if (strlen(id->entries[i].key) == length && strncmp(id->entries[i].key, name, length) == 0) return 1;
    return 0;
}

cnnbn_status identity_check_override(const identity *id, const char *list)
{
    char names[600] = "";
    for (const char *at = list; at && *at;) {
        size_t part = strcspn(at, ",");
        if (!is_of_identity(id, at, part)) {
            for (int i = 0; i < id->n && strlen(names) + sizeof id->entries[i].key < sizeof names; i++)
                (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "",
                               id->entries[i].key);
            return cnnbn_error(CNNBN_ERR_OPTION, "--override: found '%.*s', expected names of %s", (int)part, at,
                               names);
        }
        at += part + (at[part] == ',');
    }
    return CNNBN_OK;
}

static cnnbn_status check_identity(const trainer *t, const cnnbn_checkpoint *c, const char *path)
{
    for (int i = 0; i < t->id.n; i++) {
        const identity_entry *e = &t->id.entries[i];
        char key[48];
        (void)snprintf(key, sizeof key, "option.%s", e->key);
        const cnnbn_meta *m = cnnbn_checkpoint_meta(c, key);
        if (!m || m->kind != CNNBN_META_TEXT || strcmp(m->text, e->value) == 0) continue;
        if (is_overridden(t->opt.override, e->key)) {
            cnnbn_warn("--override %s: the checkpoint was made with %s, this run goes on with %s", e->key, m->text,
                       e->value);
            continue;
        }
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "checkpoint %s was made with %s %s, this run has %s: give the same, or --override %s to go "
                           "on all the same, or --resume none to start anew",
                           path, e->key, m->text, e->value, e->key);
    }
    const cnnbn_meta *kernels = cnnbn_checkpoint_meta(c, "kernels");
    if (kernels && kernels->kind == CNNBN_META_TEXT && strcmp(kernels->text, t->kernels->name) != 0)
        cnnbn_warn("checkpoint %s was made with kernels %s, this run has %s: it goes on, but not with the same bits",
                   path, kernels->text, t->kernels->name);
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- snapshot */

enum { META_MAX = IDENTITY_MAX + 32, SUM_TEXT = 26 /* "%.17g " */ };

struct snapshot {
    cnnbn_checkpoint file; /* borrows the buffers below */
    float **params;
    cnnbn_slot slots[4];
    cnnbn_meta meta[META_MAX];
    char *class_names; /* one a line */
    char *model_yaml;  /* what Keras' words cannot say (batch norm's `unbiased`) must not be lost on resume */
    char mean_text[512], std_text[512];
    char *epoch_sums, *training_config;
    identity id;
    void *memory[8];
};

/* The average of the weights is a slot of every weight, moving statistics too. */
static const char *const ema_name = "ema";

static size_t total_count(const cnnbn_model *model)
{
    size_t n = 0;
    for (int i = 0; i < model->n_params; i++) n += model->params[i].count;
    return n;
}

static size_t trained_count(const cnnbn_model *model)
{
    size_t n = 0;
    for (int i = 0; i < model->n_params; i++) n += model->params[i].trainable ? model->params[i].count : 0;
    return n;
}

static void floats_text(const float *values, int n, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; values && i < n && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%.9g", i ? " " : "", (double)values[i]);
}

static cnnbn_status join_class_names(const cnnbn_dataset_info *info, char **out)
{
    size_t bytes = 1;
    void *memory;
    *out = NULL;
    for (int c = 0; info->class_names && c < info->n_classes; c++) bytes += strlen(info->class_names[c]) + 1;
    CNNBN_TRY(cnnbn_alloc(bytes, "class names", &memory));
    char *text = memory;
    for (int c = 0; info->class_names && c < info->n_classes; c++) {
        if (c) *text++ = '\n';
        size_t length = strlen(info->class_names[c]);
        memcpy(text, info->class_names[c], length);
        text += length;
    }
    *out = memory;
    return CNNBN_OK;
}

cnnbn_status snapshot_create(const trainer *t, snapshot **out)
{
    void *memory;
    const cnnbn_model *model = t->model;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(snapshot), "a snapshot", &memory));
    snapshot *s = memory;
    size_t total = total_count(model);
    cnnbn_status status = cnnbn_alloc_array((size_t)model->n_params + 1, sizeof(float *), "a snapshot", &s->memory[0]);
    if (status == CNNBN_OK)
        status = cnnbn_alloc_array(total, sizeof(float), "a snapshot of the weights", &s->memory[1]);
    s->params = s->memory[0];
    float *at = s->memory[1];
    for (int i = 0; status == CNNBN_OK && i < model->n_params; i++) {
        s->params[i] = at;
        at += model->params[i].count;
    }
    s->file.n_slots = cnnbn_net_n_slots(t->net);
    int has_ema = t->opt.ema_decay > 0;
    s->file.n_slots += has_ema;
    for (int k = 0; status == CNNBN_OK && k < s->file.n_slots; k++) {
        int is_ema = has_ema && k == s->file.n_slots - 1;
        s->slots[k].n = is_ema ? total : trained_count(model);
        (void)snprintf(s->slots[k].name, sizeof s->slots[k].name, "%s",
                       is_ema ? ema_name : cnnbn_net_slot_name(t->net, k));
        status = cnnbn_alloc_array(s->slots[k].n, sizeof(float), "a snapshot of the optimiser", &s->memory[2 + k]);
        s->slots[k].data = s->memory[2 + k];
    }
    if (status == CNNBN_OK) status = cnnbn_alloc_array(cnnbn_net_n_sums(t->net), SUM_TEXT, "sums of an epoch", &memory);
    if (status == CNNBN_OK) s->epoch_sums = memory;
    if (status == CNNBN_OK) status = objective_to_keras(&t->aim, &t->opt.optimizer, &s->training_config);
    s->file.training_config = s->training_config;
    if (status == CNNBN_OK) status = join_class_names(t->info, &s->class_names);
    if (status == CNNBN_OK) status = cnnbn_model_to_yaml(model, &s->model_yaml);
    if (status != CNNBN_OK) {
        snapshot_destroy(s);
        return status;
    }
    floats_text(t->info->mean, t->info->shape.dim[2], s->mean_text, sizeof s->mean_text);
    floats_text(t->info->std, t->info->shape.dim[2], s->std_text, sizeof s->std_text);
    s->id = t->id;
    s->file.model = t->model;
    s->file.params = s->params;
    s->file.slots = s->slots;
    s->file.meta = s->meta;
    *out = s;
    return CNNBN_OK;
}

void snapshot_destroy(snapshot *s)
{
    if (!s) return;
    for (size_t i = 0; i < sizeof s->memory / sizeof *s->memory; i++) cnnbn_free(s->memory[i]);
    cnnbn_free(s->class_names);
    cnnbn_free(s->epoch_sums);
    cnnbn_free(s->training_config);
    cnnbn_free(s->model_yaml);
    cnnbn_free(s);
}

static cnnbn_meta *new_meta(snapshot *s, const char *key, cnnbn_meta_kind kind)
{
    cnnbn_meta *m = &s->meta[s->file.n_meta++];
    memset(m, 0, sizeof *m);
    (void)snprintf(m->key, sizeof m->key, "%s", key);
    m->kind = kind;
    return m;
}

static void meta_int(snapshot *s, const char *key, int64_t value)
{
    new_meta(s, key, CNNBN_META_INT)->i = value;
}

static void meta_float(snapshot *s, const char *key, double value)
{
    new_meta(s, key, CNNBN_META_FLOAT)->f = value;
}

static void meta_text(snapshot *s, const char *key, const char *value)
{
    new_meta(s, key, CNNBN_META_TEXT)->text = (char *)(uintptr_t)value; /* only read */
}

static void sums_text(const trainer *t, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < cnnbn_net_n_sums(t->net); i++)
        text += snprintf(text, SUM_TEXT, "%s%.17g", i ? " " : "", t->epoch_sums[i]);
}

static void fill_meta(snapshot *s, const trainer *t)
{
    const run_state *st = &t->state;
    s->file.n_meta = 0;
    meta_int(s, "epoch", st->epoch);
    meta_int(s, "step", st->step);
    meta_int(s, "global_step", st->global_step);
    meta_int(s, "iterations", cnnbn_net_iterations(t->net));
    meta_int(s, "epoch_samples", st->epoch_samples);
    sums_text(t, s->epoch_sums);
    meta_text(s, "epoch_sums", s->epoch_sums);
    if (!isnan(st->best)) meta_float(s, "best", st->best);
    meta_int(s, "best_epoch", st->best_epoch);
    meta_float(s, "lr", st->lr);
    if (!isnan(st->plateau.best)) meta_float(s, "plateau_best", st->plateau.best);
    meta_int(s, "plateau_wait", st->plateau.wait);
    meta_int(s, "plateau_cooldown", st->cooldown);
    if (!isnan(st->early.best)) meta_float(s, "early_stopping_best", st->early.best);
    meta_int(s, "early_stopping_wait", st->early.wait);
    meta_int(s, "early_stopping_stopped", st->stopped);
    meta_int(s, "restored_epoch", st->restored);
    meta_int(s, "restarts", st->restarts);
    meta_int(s, "input_is_u8", t->info->is_u8);
    meta_text(s, "input_mean", s->mean_text);
    meta_text(s, "input_std", s->std_text);
    meta_text(s, "class_names", s->class_names);
    meta_text(s, "model_yaml", s->model_yaml);
    meta_text(s, "kernels", t->kernels->name);
    meta_text(s, "written_by", "cnnbn " CNNBN_VERSION);
    for (int i = 0; i < s->id.n; i++) {
        char key[48];
        (void)snprintf(key, sizeof key, "option.%s", s->id.entries[i].key);
        meta_text(s, key, s->id.entries[i].value);
    }
}

void snapshot_take(snapshot *s, trainer *t)
{
    const cnnbn_model *model = t->model;
    for (int i = 0; i < model->n_params; i++)
        memcpy(s->params[i], cnnbn_net_param(t->net, i), model->params[i].count * sizeof(float));
    for (int k = 0; k < s->file.n_slots; k++) {
        float *to = s->slots[k].data;
        for (int i = 0; i < model->n_params; i++) {
            const float *from = k < cnnbn_net_n_slots(t->net) ? cnnbn_net_slot(t->net, k, i) : cnnbn_net_ema(t->net, i);
            if (!from) continue;
            memcpy(to, from, model->params[i].count * sizeof(float));
            to += model->params[i].count;
        }
    }
    fill_meta(s, t);
}

static cnnbn_status still_ours(const void *own)
{
    return owner_check(own);
}

cnnbn_status snapshot_write(const snapshot *s, const char *path, const owner *own)
{
    cnnbn_checkpoint file = s->file;
    file.may_publish = still_ours;
    file.may_publish_context = own;
    return cnnbn_checkpoint_write(path, &file);
}

/* ---------------------------------------------------------------- restoring */

static int64_t meta_get_int(const cnnbn_checkpoint *c, const char *key, int64_t fallback)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(c, key);
    return m && m->kind == CNNBN_META_INT ? m->i : fallback;
}

static double meta_get_float(const cnnbn_checkpoint *c, const char *key, double fallback)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(c, key);
    return m && m->kind == CNNBN_META_FLOAT ? m->f : fallback;
}

static const cnnbn_slot *find_slot(const cnnbn_checkpoint *c, const char *name)
{
    for (int i = 0; i < c->n_slots; i++)
        if (strcmp(c->slots[i].name, name) == 0) return &c->slots[i];
    return NULL;
}

static cnnbn_status restore_slots(trainer *t, const cnnbn_checkpoint *c, const char *path)
{
    for (int k = 0; k < cnnbn_net_n_slots(t->net); k++) {
        const char *name = cnnbn_net_slot_name(t->net, k);
        const cnnbn_slot *slot = find_slot(c, name);
        if (!slot || slot->n != trained_count(t->model)) {
            if (is_overridden(t->opt.override, "optimizer")) continue; /* the new optimiser starts from zero */
            return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: optimiser state \"%s\" of %zu values expected, found %zu",
                               path, name, trained_count(t->model), slot ? slot->n : 0);
        }
        const float *from = slot->data;
        for (int i = 0; i < t->model->n_params; i++) {
            float *to = cnnbn_net_slot(t->net, k, i);
            if (!to) continue;
            memcpy(to, from, t->model->params[i].count * sizeof(float));
            from += t->model->params[i].count;
        }
    }
    return CNNBN_OK;
}

/* Whether the checkpoint's sums of the epoch are of this run's metrics; with others (--override metrics) the epoch's figures begin here. */
static int restore_sums(trainer *t, const cnnbn_checkpoint *c)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(c, "epoch_sums"), *of = cnnbn_checkpoint_meta(c, "option.metrics");
    char metrics[256], *end;
    size_t n = cnnbn_net_n_sums(t->net);
    objective_metrics_text(&t->aim, metrics, sizeof metrics);
    if (!m || m->kind != CNNBN_META_TEXT || !of || of->kind != CNNBN_META_TEXT || strcmp(of->text, metrics) != 0)
        return 0;
    const char *at = m->text;
    for (size_t i = 0; i < n; i++, at = end) {
        t->epoch_sums[i] = strtod(at, &end);
        if (end == at) {
            memset(t->epoch_sums, 0, n * sizeof *t->epoch_sums);
            return 0;
        }
    }
    return 1;
}

/* An average that --override ema lets begin here begins as the checkpoint's weights. */
cnnbn_status state_restore_ema(trainer *t, const cnnbn_checkpoint *c, const char *path)
{
    if (t->opt.ema_decay <= 0) return CNNBN_OK;
    const cnnbn_slot *slot = find_slot(c, ema_name);
    if ((!slot || slot->n != total_count(t->model)) && !is_overridden(t->opt.override, "ema"))
        return cnnbn_error(
            CNNBN_ERR_CHECKPOINT,
            "%s: has no average of its weights to go on with: leave --ema out, or --override ema to begin "
            "it here",
            path);
    const float *from = slot ? slot->data : NULL;
    for (int i = 0; i < t->model->n_params; i++) {
        size_t count = t->model->params[i].count;
        memcpy(cnnbn_net_ema(t->net, i), from ? from : c->params[i], count * sizeof(float));
        if (from) from += count;
    }
    return CNNBN_OK;
}

/* The model as YAML where the checkpoint has it, else as Keras' JSON says it. */
cnnbn_status state_check_model(const trainer *t, const cnnbn_checkpoint *c, const char *path)
{
    const cnnbn_meta *yaml = cnnbn_checkpoint_meta(c, "model_yaml");
    cnnbn_model *model = NULL;
    cnnbn_status status = CNNBN_OK;
    if (yaml && yaml->kind == CNNBN_META_TEXT)
        status = cnnbn_model_from_text(yaml->text, strlen(yaml->text), path, NULL, &model);
    if (status == CNNBN_OK) status = cnnbn_model_same(t->model, model ? model : c->model);
    if (status != CNNBN_OK) status = cnnbn_error_context(status, "checkpoint %s is of another model", path);
    cnnbn_model_destroy(model);
    return status;
}

/* A rate that --override names is the run's new one, also where a plateau has lowered the old one. */
static void restore_monitors(trainer *t, const cnnbn_checkpoint *c)
{
    run_state *st = &t->state;
    st->best_epoch = meta_get_int(c, "best_epoch", 0);
    if (!is_overridden(t->opt.override, "lr")) st->lr = meta_get_float(c, "lr", st->lr);
    st->plateau.best = meta_get_float(c, "plateau_best", (double)NAN);
    st->plateau.wait = meta_get_int(c, "plateau_wait", 0);
    st->cooldown = meta_get_int(c, "plateau_cooldown", 0);
    st->early.best = meta_get_float(c, "early_stopping_best", (double)NAN);
    st->early.wait = meta_get_int(c, "early_stopping_wait", 0);
    st->stopped = meta_get_int(c, "early_stopping_stopped", 0) && !is_overridden(t->opt.override, "early-stopping");
    st->restored = meta_get_int(c, "restored_epoch", 0);
}

cnnbn_status state_restore(trainer *t, const cnnbn_checkpoint *c, const char *path)
{
    if (!c->is_cnnbn)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                           "%s is a Keras file without cnnbn's training state: --init-from starts from its weights",
                           path);
    CNNBN_TRY(state_check_model(t, c, path));
    CNNBN_TRY(check_identity(t, c, path));
    CNNBN_TRY(restore_slots(t, c, path));
    CNNBN_TRY(state_restore_ema(t, c, path));
    for (int i = 0; i < t->model->n_params; i++)
        memcpy(cnnbn_net_param(t->net, i), c->params[i], t->model->params[i].count * sizeof(float));
    cnnbn_net_set_iterations(t->net, meta_get_int(c, "iterations", 0));
    run_state *st = &t->state;
    st->epoch = meta_get_int(c, "epoch", 0);
    st->step = meta_get_int(c, "step", 0);
    st->global_step = meta_get_int(c, "global_step", 0);
    st->epoch_samples = meta_get_int(c, "epoch_samples", 0);
    if (!restore_sums(t, c)) st->epoch_samples = 0;
    st->best = meta_get_float(c, "best", (double)NAN);
    restore_monitors(t, c);
    st->restarts = meta_get_int(c, "restarts", 0) + 1;
    if (st->epoch < 0 || st->step < 0 || st->step > t->steps_per_epoch || st->global_step < 0)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                           "%s: epoch %" PRId64 ", step %" PRId64 " do not fit a run of %" PRId64 " steps an epoch",
                           path, st->epoch, st->step, t->steps_per_epoch);
    if (st->restored && !st->stopped && st->epoch < t->opt.epochs)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "%s ends a run: it holds the best weights, of epoch %" PRId64
                           ", by --restore-best. --resume an "
                           "earlier checkpoint, or start anew with --init-from",
                           path, st->restored);
    t->resumed = 1;
    return CNNBN_OK;
}

cnnbn_status state_broadcast(trainer *t)
{
    struct {
        run_state state;
        int64_t iterations;
        int resumed;
    } packet;
    memset(&packet, 0, sizeof packet);
    packet.state = t->state;
    packet.iterations = cnnbn_net_iterations(t->net);
    packet.resumed = t->resumed;
    CNNBN_TRY(cnnbn_comm_bcast(t->comm, &packet, sizeof packet, 0));
    CNNBN_TRY(cnnbn_comm_bcast(t->comm, t->epoch_sums, cnnbn_net_n_sums(t->net) * sizeof *t->epoch_sums, 0));
    t->state = packet.state;
    t->resumed = packet.resumed;
    cnnbn_net_set_iterations(t->net, packet.iterations);
    for (int i = 0; i < t->model->n_params; i++) {
        size_t bytes = t->model->params[i].count * sizeof(float);
        CNNBN_TRY(cnnbn_comm_bcast(t->comm, cnnbn_net_param(t->net, i), bytes, 0));
        if (cnnbn_net_ema(t->net, i)) CNNBN_TRY(cnnbn_comm_bcast(t->comm, cnnbn_net_ema(t->net, i), bytes, 0));
        for (int k = 0; k < cnnbn_net_n_slots(t->net); k++)
            if (cnnbn_net_slot(t->net, k, i))
                CNNBN_TRY(cnnbn_comm_bcast(t->comm, cnnbn_net_slot(t->net, k, i), bytes, 0));
    }
    return CNNBN_OK;
}
