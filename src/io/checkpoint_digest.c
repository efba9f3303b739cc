#include "checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

size_t cnnbn__checkpoint_slot_length(const cnnbn_model *model, const char *name)
{
    size_t n = 0;
    int is_of_all = strcmp(name, "ema") == 0;
    for (int i = 0; i < model->n_params; i++)
        if (model->params[i].trainable || is_of_all) n += model->params[i].count;
    return n;
}

cnnbn_status cnnbn_checkpoint_use_ema(cnnbn_checkpoint *checkpoint, const char *path)
{
    const cnnbn_model *model = checkpoint->model;
    const float *from = NULL;
    for (int k = 0; k < checkpoint->n_slots; k++)
        if (strcmp(checkpoint->slots[k].name, "ema") == 0) from = checkpoint->slots[k].data;
    if (!from)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                           "--ema: %s holds no averages of its weights; cnnbn-train --ema 0.999 would make them", path);
    for (int i = 0; i < model->n_params; i++) {
        memcpy(checkpoint->params[i], from, model->params[i].count * sizeof(float));
        from += model->params[i].count;
    }
    return CNNBN_OK;
}

int cnnbn__checkpoint_key_is_reserved(const char *key)
{
    return strcmp(key, "format") == 0 || strcmp(key, "digest") == 0 || strcmp(key, "state_digest") == 0;
}

cnnbn_status cnnbn_checkpoint_state_digest(const cnnbn_checkpoint *checkpoint, char text[CNNBN_DIGEST_TEXT])
{
    const cnnbn_model *model = checkpoint->model;
    cnnbn_digest *digest;
    text[0] = '\0';
    CNNBN_TRY(cnnbn_digest_create(&digest));
    for (int i = 0; i < model->n_params; i++) {
        const cnnbn_param *param = &model->params[i];
        int32_t shape[1 + CNNBN_PARAM_RANK_MAX] = {param->rank};
        for (int d = 0; d < param->rank; d++) shape[1 + d] = param->dim[d];
        cnnbn_digest_add(digest, shape, sizeof shape);
        cnnbn_digest_add(digest, checkpoint->params[i], param->count * sizeof(float));
    }
    for (int i = 0; i < checkpoint->n_slots; i++) {
        const cnnbn_slot *slot = &checkpoint->slots[i];
        uint64_t n = slot->n;
        cnnbn_digest_add_text(digest, slot->name);
        cnnbn_digest_add(digest, &n, sizeof n);
        cnnbn_digest_add(digest, slot->data, slot->n * sizeof(float));
    }
    cnnbn_digest_end(digest, text);
    return CNNBN_OK;
}

static int by_key(const void *a, const void *b)
{
    const cnnbn_meta *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static void add_meta(cnnbn_digest *digest, const cnnbn_meta *meta)
{
    int32_t kind = (int32_t)meta->kind;
    cnnbn_digest_add_text(digest, meta->key);
    cnnbn_digest_add(digest, &kind, sizeof kind);
    switch (meta->kind) {
    case CNNBN_META_INT:
        cnnbn_digest_add(digest, &meta->i, sizeof meta->i);
        break;
    case CNNBN_META_FLOAT:
        cnnbn_digest_add(digest, &meta->f, sizeof meta->f);
        break;
    case CNNBN_META_TEXT:
        cnnbn_digest_add_text(digest, meta->text);
        break;
    }
}

cnnbn_status cnnbn__checkpoint_digest(const cnnbn_checkpoint *checkpoint, const char *model_json,
                                      const char *state_digest, char text[CNNBN_DIGEST_TEXT])
{
    cnnbn_digest *digest;
    void *sorted;
    CNNBN_TRY(cnnbn_alloc_array((size_t)checkpoint->n_meta, sizeof(cnnbn_meta *), "a checkpoint's facts", &sorted));
    const cnnbn_meta **meta = sorted;
    for (int i = 0; i < checkpoint->n_meta; i++) meta[i] = &checkpoint->meta[i];
    if (checkpoint->n_meta) qsort(meta, (size_t)checkpoint->n_meta, sizeof *meta, by_key);
    cnnbn_status status = cnnbn_digest_create(&digest);
    if (status == CNNBN_OK) {
        cnnbn_digest_add_text(digest, state_digest);
        cnnbn_digest_add_text(digest, model_json);
        cnnbn_digest_add_text(digest, checkpoint->training_config ? checkpoint->training_config : "");
        for (int i = 0; i < checkpoint->n_meta; i++) add_meta(digest, meta[i]);
        cnnbn_digest_end(digest, text);
    }
    cnnbn_free(sorted);
    return status;
}
