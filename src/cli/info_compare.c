/* Two checkpoints beside each other, and a checkpoint without its training state. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "main_info.h"

typedef struct difference {
    size_t n;       /* values whose bits differ */
    double largest; /* absolute difference; NAN as soon as one value is NaN or infinite */
} difference;

static difference compare(const float *a, const float *b, size_t n)
{
    difference d = {0, 0};
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) == 0) continue;
        double by = fabs((double)a[i] - (double)b[i]);
        d.n++;
        if (!isfinite(by))
            d.largest = (double)NAN;
        else if (by > d.largest) /* never true once it is NaN */
            d.largest = by;
    }
    return d;
}

/* One line for a tensor that differs; returns the number of values that do. */
static size_t report(const cnnbn_model *model, const char *prefix, int param, const float *a, const float *b)
{
    const cnnbn_param *p = &model->params[param];
    char name[2 * CNNBN_NAME_MAX];
    difference d = compare(a, b, p->count);
    if (d.n == 0) return 0;
    (void)snprintf(name, sizeof name, "%s%s/%s", prefix, model->layers[p->layer].name, p->name);
    (void)printf("%-40s %10zu of %10zu values differ, by %.6g at most\n", name, d.n, p->count, d.largest);
    return d.n;
}

static const cnnbn_slot *find_slot(const cnnbn_checkpoint *checkpoint, const char *name)
{
    for (int i = 0; i < checkpoint->n_slots; i++)
        if (strcmp(checkpoint->slots[i].name, name) == 0) return &checkpoint->slots[i];
    return NULL;
}

/* A slot has the values of each trainable weight, or of every weight, in the order of the model's weights. */
static size_t compare_slot(const cnnbn_model *model, const cnnbn_slot *a, const cnnbn_slot *b)
{
    char prefix[64];
    size_t at = 0, n = 0, all = 0;
    for (int i = 0; i < model->n_params; i++) all += model->params[i].count;
    (void)snprintf(prefix, sizeof prefix, "%s of ", a->name);
    for (int i = 0; i < model->n_params; i++) {
        if (!model->params[i].trainable && a->n != all) continue;
        n += report(model, prefix, i, a->data + at, b->data + at);
        at += model->params[i].count;
    }
    return n;
}

static int compare_slots(const char *const path[2], const cnnbn_checkpoint *const checkpoint[2], size_t *n)
{
    int alike = 1;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < checkpoint[side]->n_slots; i++) {
            const cnnbn_slot *mine = &checkpoint[side]->slots[i], *other = find_slot(checkpoint[!side], mine->name);
            if (other && other->n == mine->n) {
                if (side == 0) *n += compare_slot(checkpoint[0]->model, mine, other);
                continue;
            }
            alike = 0;
            if (other && side) continue; /* told already */
            (void)printf("optimiser slot %s is not the same, or only in %s\n", mine->name, path[side]);
        }
    return alike;
}

static void meta_text(const cnnbn_meta *m, char *text, size_t bytes)
{
    if (!m)
        (void)snprintf(text, bytes, "nothing");
    else if (m->kind == CNNBN_META_INT)
        (void)snprintf(text, bytes, "%" PRId64, m->i);
    else if (m->kind == CNNBN_META_FLOAT)
        (void)snprintf(text, bytes, "%.17g", m->f);
    else
        (void)snprintf(text, bytes, "\"%.120s\"", m->text);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
}

static int same_meta(const cnnbn_meta *a, const cnnbn_meta *b)
{
    if (!a || !b || a->kind != b->kind) return 0;
    if (a->kind == CNNBN_META_INT) return a->i == b->i;
    if (a->kind == CNNBN_META_FLOAT) return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    return strcmp(a->text, b->text) == 0;
}

/* Facts are told, but do not decide: a resumed run has another count of restarts and the same state. */
static void report_facts(const cnnbn_checkpoint *const checkpoint[2])
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < checkpoint[side]->n_meta; i++) {
            const cnnbn_meta *mine = &checkpoint[side]->meta[i];
            const cnnbn_meta *other = cnnbn_checkpoint_meta(checkpoint[!side], mine->key);
            if ((other && side) || same_meta(mine, other)) continue;
            char text[2][160];
            meta_text(side ? other : mine, text[0], sizeof text[0]);
            meta_text(side ? mine : other, text[1], sizeof text[1]);
            (void)printf("fact %s: %s, %s\n", mine->key, text[0], text[1]);
        }
}

cnnbn_status info_compare(const char *const path[2], const cnnbn_checkpoint *const checkpoint[2], int *equal)
{
    const cnnbn_model *model = checkpoint[0]->model;
    size_t n = 0;
    *equal = 0;
    cnnbn_status status = cnnbn_model_same(model, checkpoint[1]->model);
    if (status != CNNBN_OK && status != CNNBN_ERR_MODEL) return status;
    if (status == CNNBN_ERR_MODEL) {
        (void)printf("the models differ: %s\ndifferent\n", cnnbn_error_message());
        return CNNBN_OK;
    }
    for (int i = 0; i < model->n_params; i++)
        n += report(model, "", i, checkpoint[0]->params[i], checkpoint[1]->params[i]);
    int alike = compare_slots(path, checkpoint, &n);
    if (checkpoint[0]->n_slots && checkpoint[1]->n_slots) report_facts(checkpoint);
    *equal = n == 0 && alike && strcmp(checkpoint[0]->digest, checkpoint[1]->digest) == 0;
    if (*equal)
        (void)printf("equal: the trained state has the digest %s\n", checkpoint[0]->digest);
    else
        (void)printf("different: %zu values%s\n", n, alike ? "" : ", and not the same optimiser state");
    return CNNBN_OK;
}

cnnbn_status info_export_weights(const cnnbn_checkpoint *checkpoint, const char *path)
{
    static const char *const kept[] = {"class_names", "input_is_u8", "input_mean",
                                       "input_std",   "model_yaml",  "written_by"};
    cnnbn_meta meta[sizeof kept / sizeof *kept];
    cnnbn_checkpoint file = {.model = checkpoint->model,
                             .params = checkpoint->params,
                             .meta = meta,
                             .training_config = checkpoint->training_config};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const cnnbn_meta *m = cnnbn_checkpoint_meta(checkpoint, kept[i]);
        if (m) meta[file.n_meta++] = *m;
    }
    return cnnbn_checkpoint_write(path, &file);
}
