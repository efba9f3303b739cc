/* mixup (Zhang, Cisse, Dauphin, Lopez-Paz: "mixup: Beyond empirical risk minimization", 2018): sample p of a batch of n is mixed
 * with sample n - 1 - p, its place in the mirror, whichever ranks hold them. */
#include <string.h>

#include "cnnbn/memory.h"
#include "cnnbn/rng.h"
#include "trainer.h"

struct mixup {
    double alpha;
    int n_targets;
    uint32_t *ids;      /* [2 * batch]: a batch's samples, then their partners */
    float *weights;     /* [batch] */
    float *targets;     /* [batch][n_targets] */
    const float **rows; /* [batch] */
    void *memory[4];
};

cnnbn_status mixup_create(double alpha, int n_targets, size_t max_batch, mixup **out)
{
    void *memory;
    *out = NULL;
    if (!(alpha > 0)) return CNNBN_OK;
    CNNBN_TRY(cnnbn_alloc(sizeof(mixup), "mixup", &memory));
    mixup *m = memory;
    size_t floats = max_batch * (size_t)n_targets;
    cnnbn_status status = cnnbn_alloc_array(2 * max_batch, sizeof(uint32_t), "samples to mix", &m->memory[0]);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(max_batch, sizeof(float), "weights of mixup", &m->memory[1]);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(floats, sizeof(float), "targets of mixup", &m->memory[2]);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(max_batch, sizeof(float *), "targets of mixup", &m->memory[3]);
    if (status != CNNBN_OK) {
        mixup_destroy(m);
        return status;
    }
    m->alpha = alpha;
    m->n_targets = n_targets;
    m->ids = m->memory[0];
    m->weights = m->memory[1];
    m->targets = m->memory[2];
    m->rows = m->memory[3];
    *out = m;
    return CNNBN_OK;
}

void mixup_destroy(mixup *m)
{
    if (!m) return;
    for (size_t i = 0; i < sizeof m->memory / sizeof *m->memory; i++) cnnbn_free(m->memory[i]);
    cnnbn_free(m);
}

const uint32_t *mixup_ids(mixup *m, const uint32_t *batch, size_t count, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        m->ids[i] = batch[first + i];
        m->ids[n + i] = batch[count - 1 - (first + i)];
    }
    return m->ids;
}

static void add_target(const mixup *m, const cnnbn_targets *from, size_t i, float weight, float *to)
{
    if (from->rows)
        for (int c = 0; c < m->n_targets; c++) to[c] += weight * from->rows[i][c];
    else if (m->n_targets == 1)
        to[0] += weight * (float)from->labels[i];
    else
        to[from->labels[i]] += weight;
}

void mixup_apply(mixup *m, uint64_t seed, cnnbn_batch *batch)
{
    size_t n = batch->n_local;
    memset(m->targets, 0, n * (size_t)m->n_targets * sizeof *m->targets);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_MIXUP, batch->epoch, batch->ids[i], 0);
        float *target = m->targets + i * (size_t)m->n_targets;
        m->weights[i] = (float)cnnbn_rng_beta(key, m->alpha);
        add_target(m, &batch->targets, i, m->weights[i], target);
        add_target(m, &batch->targets, n + i, 1 - m->weights[i], target);
        m->rows[i] = target;
    }
    batch->partners = batch->images + n;
    batch->partner_ids = batch->ids + n;
    batch->weights = m->weights;
    batch->targets = (cnnbn_targets){.rows = m->rows};
}
