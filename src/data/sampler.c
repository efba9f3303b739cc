#include "cnnbn/sampler.h"

#include "cnnbn/rng.h"

void cnnbn_sampler_order(uint32_t *order, size_t n, uint64_t seed, uint64_t epoch, int shuffle)
{
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    if (!shuffle) return;
    uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_SHUFFLE, epoch, 0, 0);
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)cnnbn_rng_below(key, i, i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

size_t cnnbn_sampler_steps(size_t n, size_t batch_size, int drop_last)
{
    return drop_last ? n / batch_size : n / batch_size + (n % batch_size != 0);
}

void cnnbn_sampler_batch(size_t n, size_t batch_size, size_t step, size_t *first, size_t *count)
{
    size_t begin = step * batch_size;
    *first = begin < n ? begin : n;
    *count = n - *first < batch_size ? n - *first : batch_size;
}
