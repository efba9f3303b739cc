#include "checkpoint_made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "cnnbn/rng.h"

static void must(cnnbn_status status)
{
    if (status == CNNBN_OK) return;
    (void)fprintf(stderr, "a checkpoint for the test cannot be made: %s\n", cnnbn_error_message());
    exit(99);
}

static float *numbers(size_t n, uint64_t seed, uint32_t which)
{
    void *block;
    must(cnnbn_alloc_array(n, sizeof(float), "a test", &block));
    uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_TEST, which, 0, 0);
    for (size_t i = 0; i < n; i++) ((float *)block)[i] = 2 * cnnbn_rng_uniform(key, i) - 1;
    return block;
}

static cnnbn_meta fact(const char *key, cnnbn_meta_kind kind)
{
    cnnbn_meta meta = {.kind = kind};
    (void)snprintf(meta.key, sizeof meta.key, "%s", key);
    return meta;
}

void made_create(made_checkpoint *made, const char *model, uint64_t seed)
{
    static char options[] = "batch_size: 32\noptimizer: adam\n";
    *made = (made_checkpoint){0};
    cnnbn_checkpoint *checkpoint = &made->checkpoint;
    if (model[0] == '{') {
        must(cnnbn_model_from_text(model, strlen(model), "the test's model", NULL, &checkpoint->model));
    } else {
        cnnbn_model_wish wish = {.input = {3, {28, 28, 1}}, .n_classes = 10};
        must(cnnbn_model_load(model, &wish, &checkpoint->model));
    }
    const cnnbn_model *m = checkpoint->model;
    void *block;
    size_t n_trainable = 0;
    must(cnnbn_alloc_array((size_t)m->n_params, sizeof(float *), "a test", &block));
    checkpoint->params = block;
    for (int i = 0; i < m->n_params; i++) {
        checkpoint->params[i] = numbers(m->params[i].count, seed, (uint32_t)i);
        if (m->params[i].trainable) n_trainable += m->params[i].count;
    }
    static const char *const names[] = {"v", "m"}; /* not in the order of the alphabet */
    for (int s = 0; s < 2; s++) {
        made->slots[s].n = n_trainable;
        made->slots[s].data = numbers(n_trainable, seed, (uint32_t)(m->n_params + s));
        (void)snprintf(made->slots[s].name, sizeof made->slots[s].name, "%s", names[s]);
    }
    made->meta[0] = fact("step", CNNBN_META_INT);
    made->meta[0].i = (int64_t)seed;
    made->meta[1] = fact("seed", CNNBN_META_INT);
    made->meta[1].i = INT64_MIN;
    made->meta[2] = fact("learning_rate", CNNBN_META_FLOAT);
    made->meta[2].f = 0.1;
    made->meta[3] = fact("options", CNNBN_META_TEXT);
    made->meta[3].text = options;
    checkpoint->slots = made->slots;
    checkpoint->n_slots = 2;
    checkpoint->meta = made->meta;
    checkpoint->n_meta = 4;
}

void made_destroy(made_checkpoint *made)
{
    for (int i = 0; i < made->checkpoint.model->n_params; i++) cnnbn_free(made->checkpoint.params[i]);
    cnnbn_free(made->checkpoint.params);
    cnnbn_free(made->slots[0].data);
    cnnbn_free(made->slots[1].data);
    cnnbn_model_destroy(made->checkpoint.model);
}
