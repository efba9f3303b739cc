/* A stream: samples by number, from blocks that a helper thread reads and keeps.
 *
 * A block is a chunk of the dataset, or, where it is contiguous, a run of samples of about the same size. The thread copies
 * a request's samples out of a block as soon as it has it, so that one block in the cache is enough for any request; all
 * others save reading again. Blocks leave by the clock rule (second chance), which is right for both orders: in file order
 * every block is used up before the next, in random order no rule does better.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "dataset_internal.h"

enum { BLOCK_BYTES = 64 * 1024, N_WAITING = 2, N_BUFFERS = N_WAITING + 1 };

typedef struct wish {
    uint64_t block;
    int at; /* place in the request */
} wish;

/* Buffers go round: asked of, filled, taken, and free again with the next take. */
typedef struct request {
    uint64_t *ids;
    int n;
    unsigned char *images;
    cnnbn_status status;
    char message[CNNBN_ERROR_MAX];
} request;

struct cnnbn_stream {
    cnnbn_dataset *dataset;
    cnnbn_split split;
    int max_batch;
    size_t sample_bytes, n_samples;
    size_t block_samples, n_blocks;

    /* the thread's own */
    wish *wishes;
    size_t n_slots, hand;
    unsigned char *slots;    /* [n_slots] blocks */
    int64_t *slot_block;     /* [n_slots] block kept there, or -1 */
    unsigned char *slot_hit; /* [n_slots] used since the hand passed */
    int32_t *slot_of;        /* [n_blocks] slot, or -1 */

    pthread_t thread;
    int has_thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    int stopping;
    uint64_t n_asked, n_done, n_taken;
    request requests[N_BUFFERS];
};

static int by_block(const void *a, const void *b)
{
    const wish *x = a, *y = b;
    return x->block != y->block ? (x->block < y->block ? -1 : 1) : x->at - y->at;
}

static size_t free_a_slot(cnnbn_stream *stream)
{
    for (;;) {
        size_t slot = stream->hand;
        stream->hand = (slot + 1) % stream->n_slots;
        if (stream->slot_block[slot] >= 0 && stream->slot_hit[slot]) {
            stream->slot_hit[slot] = 0;
            continue;
        }
        if (stream->slot_block[slot] >= 0) stream->slot_of[stream->slot_block[slot]] = -1;
        stream->slot_block[slot] = -1;
        return slot;
    }
}

static cnnbn_status fetch(cnnbn_stream *stream, uint64_t block, size_t *slot)
{
    *slot = free_a_slot(stream);
    size_t first = block * stream->block_samples, count = stream->n_samples - first;
    if (count > stream->block_samples) count = stream->block_samples;
    unsigned char *to = stream->slots + *slot * stream->block_samples * stream->sample_bytes;
    CNNBN_TRY(cnnbn_dataset_read(stream->dataset, stream->split, first, count, to));
    stream->slot_block[*slot] = (int64_t)block;
    stream->slot_of[block] = (int32_t)*slot;
    return CNNBN_OK;
}

/* wishes[0..n) are of one block that lies in `slot`. */
static void copy_out(cnnbn_stream *stream, request *r, const wish *wishes, int n, size_t slot)
{
    const unsigned char *block = stream->slots + slot * stream->block_samples * stream->sample_bytes;
    for (int i = 0; i < n; i++) {
        size_t within = r->ids[wishes[i].at] % stream->block_samples;
        memcpy(r->images + (size_t)wishes[i].at * stream->sample_bytes, block + within * stream->sample_bytes,
               stream->sample_bytes);
    }
    stream->slot_hit[slot] = 1;
}

static cnnbn_status serve(cnnbn_stream *stream, request *r)
{
    wish *wishes = stream->wishes;
    for (int i = 0; i < r->n; i++) wishes[i] = (wish){r->ids[i] / stream->block_samples, i};
    if (r->n) qsort(wishes, (size_t)r->n, sizeof *wishes, by_block);
    /* First what is kept, before a block that is wanted makes room for another one. */
    for (int missing = 0; missing < 2; missing++)
        for (int i = 0, end; i < r->n; i = end) {
            uint64_t block = wishes[i].block;
            for (end = i + 1; end < r->n && wishes[end].block == block;) end++;
            if (wishes[i].at < 0) continue; /* copied in the first round */
            size_t slot = stream->slot_of[block] < 0 ? 0 : (size_t)stream->slot_of[block];
            if (stream->slot_of[block] < 0) {
                if (!missing) continue;
                CNNBN_TRY(fetch(stream, block, &slot));
            }
            copy_out(stream, r, wishes + i, end - i, slot);
            wishes[i].at = -1;
        }
    return CNNBN_OK;
}

static void *run(void *data)
{
    cnnbn_stream *stream = data;
    (void)pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (!stream->stopping && stream->n_done == stream->n_asked)
            (void)pthread_cond_wait(&stream->changed, &stream->lock);
        if (stream->stopping) break;
        request *r = &stream->requests[stream->n_done % N_BUFFERS];
        (void)pthread_mutex_unlock(&stream->lock);
        r->status = serve(stream, r);
        if (r->status != CNNBN_OK) (void)snprintf(r->message, sizeof r->message, "%s", cnnbn_error_message());
        (void)pthread_mutex_lock(&stream->lock);
        stream->n_done++;
        (void)pthread_cond_broadcast(&stream->changed);
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return NULL;
}

/* Signals are the main thread's: its flags must not be set from here. */
static cnnbn_status start(cnnbn_stream *stream)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&stream->thread, NULL, run, stream);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return cnnbn_error(CNNBN_ERR_MEMORY, "no thread to read the data ahead: %s", strerror(error));
    stream->has_thread = 1;
    return CNNBN_OK;
}

static cnnbn_status allocate(cnnbn_stream *stream)
{
    void *block;
    size_t batch = (size_t)stream->max_batch;
    for (int b = 0; b < N_BUFFERS; b++) {
        CNNBN_TRY(cnnbn_alloc_array(batch, sizeof(uint64_t), "sample numbers", &block));
        stream->requests[b].ids = block;
        CNNBN_TRY(cnnbn_alloc_array(batch, stream->sample_bytes, "a batch of images", &block));
        stream->requests[b].images = block;
    }
    CNNBN_TRY(cnnbn_alloc_array(batch, sizeof(wish), "sample numbers", &block));
    stream->wishes = block;
    CNNBN_TRY(cnnbn_alloc_array(stream->n_slots, stream->block_samples * stream->sample_bytes, "the cache of a stream",
                                &block));
    stream->slots = block;
    CNNBN_TRY(cnnbn_alloc_array(stream->n_slots, sizeof(int64_t), "the cache of a stream", &block));
    stream->slot_block = block;
    CNNBN_TRY(cnnbn_alloc_array(stream->n_slots, 1, "the cache of a stream", &block));
    stream->slot_hit = block;
    CNNBN_TRY(cnnbn_alloc_array(stream->n_blocks, sizeof(int32_t), "the cache of a stream", &block));
    stream->slot_of = block;
    for (size_t i = 0; i < stream->n_slots; i++) stream->slot_block[i] = -1;
    for (size_t i = 0; i < stream->n_blocks; i++) stream->slot_of[i] = -1;
    return CNNBN_OK;
}

/* How many blocks the memory holds beside the batches; one at least. */
static void plan(cnnbn_stream *stream, size_t chunk_samples, size_t memory_bytes)
{
    size_t per_block = BLOCK_BYTES / stream->sample_bytes;
    stream->block_samples = chunk_samples ? chunk_samples : per_block ? per_block : 1;
    if (stream->block_samples > stream->n_samples) stream->block_samples = stream->n_samples;
    stream->n_blocks = (stream->n_samples + stream->block_samples - 1) / stream->block_samples;
    size_t block_bytes = stream->block_samples * stream->sample_bytes;
    size_t batches_bytes = N_BUFFERS * (size_t)stream->max_batch * stream->sample_bytes;
    if (memory_bytes < batches_bytes + block_bytes) {
        cnnbn_warn("%s: %.1f MB are needed to stream batches of %d samples, more than the %.1f MB allowed",
                   cnnbn_dataset_get_info(stream->dataset)->path, (double)(batches_bytes + block_bytes) / 1e6,
                   stream->max_batch, (double)memory_bytes / 1e6);
        memory_bytes = batches_bytes + block_bytes;
    }
    stream->n_slots = (memory_bytes - batches_bytes) / block_bytes;
    if (stream->n_slots > stream->n_blocks) stream->n_slots = stream->n_blocks;
    if (stream->n_slots > INT32_MAX) stream->n_slots = INT32_MAX;
}

cnnbn_status cnnbn_stream_open(cnnbn_dataset *dataset, cnnbn_split split, size_t memory_bytes, int max_batch,
                               cnnbn_stream **out)
{
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    *out = NULL;
    if (max_batch < 1 || info->n[split] == 0)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "a stream of %zu samples in batches of %d", info->n[split], max_batch);
    void *block;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_stream), "a stream", &block));
    cnnbn_stream *stream = block;
    (void)pthread_mutex_init(&stream->lock, NULL);
    (void)pthread_cond_init(&stream->changed, NULL);
    stream->dataset = dataset;
    stream->split = split;
    stream->max_batch = max_batch;
    stream->sample_bytes = info->sample_bytes;
    stream->n_samples = info->n[split];
    plan(stream, dataset->split[split].chunk_samples, memory_bytes);
    cnnbn_status status = allocate(stream);
    if (status == CNNBN_OK) status = start(stream);
    if (status == CNNBN_OK)
        *out = stream;
    else
        cnnbn_stream_close(stream);
    return status;
}

cnnbn_status cnnbn_stream_ask(cnnbn_stream *stream, const uint64_t *ids, int n)
{
    if (n < 0 || n > stream->max_batch)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "%d samples asked of a stream, at most %d go", n, stream->max_batch);
    for (int i = 0; i < n; i++)
        if (ids[i] >= stream->n_samples)
            return cnnbn_error(CNNBN_ERR_INTERNAL, "sample %llu asked of a stream of %zu", (unsigned long long)ids[i],
                               stream->n_samples);
    cnnbn_status status = CNNBN_OK;
    (void)pthread_mutex_lock(&stream->lock);
    if (stream->n_asked - stream->n_taken >= N_WAITING) {
        status = cnnbn_error(CNNBN_ERR_INTERNAL, "a stream has %d requests waiting already", N_WAITING);
    } else {
        request *r = &stream->requests[stream->n_asked % N_BUFFERS];
        if (n) memcpy(r->ids, ids, (size_t)n * sizeof *ids);
        r->n = n;
        stream->n_asked++;
        (void)pthread_cond_broadcast(&stream->changed);
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return status;
}

cnnbn_status cnnbn_stream_take(cnnbn_stream *stream, const void **images)
{
    *images = NULL;
    (void)pthread_mutex_lock(&stream->lock);
    if (stream->n_taken == stream->n_asked) {
        (void)pthread_mutex_unlock(&stream->lock);
        return cnnbn_error(CNNBN_ERR_INTERNAL, "nothing was asked of the stream");
    }
    while (stream->n_done <= stream->n_taken) (void)pthread_cond_wait(&stream->changed, &stream->lock);
    request *r = &stream->requests[stream->n_taken++ % N_BUFFERS];
    (void)pthread_mutex_unlock(&stream->lock);
    if (r->status != CNNBN_OK) return cnnbn_error(r->status, "%s", r->message);
    *images = r->images;
    return CNNBN_OK;
}

void cnnbn_stream_close(cnnbn_stream *stream)
{
    if (!stream) return;
    if (stream->has_thread) {
        (void)pthread_mutex_lock(&stream->lock);
        stream->stopping = 1;
        (void)pthread_cond_broadcast(&stream->changed);
        (void)pthread_mutex_unlock(&stream->lock);
        (void)pthread_join(stream->thread, NULL);
    }
    (void)pthread_cond_destroy(&stream->changed);
    (void)pthread_mutex_destroy(&stream->lock);
    for (int b = 0; b < N_BUFFERS; b++) {
        cnnbn_free(stream->requests[b].ids);
        cnnbn_free(stream->requests[b].images);
    }
    cnnbn_free(stream->wishes);
    cnnbn_free(stream->slots);
    cnnbn_free(stream->slot_block);
    cnnbn_free(stream->slot_hit);
    cnnbn_free(stream->slot_of);
    cnnbn_free(stream);
}
