/* Samples to this rank: one copy a node, or a stream. Both give the same batches, since a batch is a list of sample numbers. */
#include <stdio.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "trainer.h"

enum { AHEAD = 3 }; /* batches asked for and not yet replaced: two ahead and the one in use */

typedef struct batch_list {
    size_t n;
    uint64_t *ids;
    int32_t *labels;    /* or: */
    const float **rows; /* of values */
    const void **images;
} batch_list;

struct feed {
    cnnbn_dataset *dataset;
    cnnbn_split split;
    size_t sample_bytes;
    cnnbn_shared *shared, *shared_values; /* images; y where it holds values */
    const char *data;
    size_t n_targets;
    cnnbn_stream *stream;
    void *blank; /* stands for images that could not be read */
    batch_list lists[AHEAD];
    int head, n_waiting; /* oldest list asked for; how many */
};

/* Piece by piece: each is a sign of life, as a large file may take longer than a watchdog waits. */
static cnnbn_status read_pieces(feed *f, size_t n, watchdog *w)
{
    const size_t piece_bytes = (size_t)64 << 20;
    size_t piece = piece_bytes / f->sample_bytes ? piece_bytes / f->sample_bytes : 1;
    char *to = cnnbn_shared_data(f->shared);
    for (size_t i = 0; i < n; i += piece) {
        watchdog_phase(w, "reading data", 0);
        CNNBN_TRY(cnnbn_dataset_read(f->dataset, f->split, i, n - i < piece ? n - i : piece, to + i * f->sample_bytes));
    }
    return CNNBN_OK;
}

/* Rank 0 of each node reads the split into the node's block. */
static cnnbn_status load_shared(feed *f, cnnbn_comm *comm, size_t bytes, size_t n, watchdog *w)
{
    CNNBN_TRY(cnnbn_shared_create(comm, bytes, &f->shared));
    f->data = cnnbn_shared_data(f->shared);
    cnnbn_status status = CNNBN_OK;
    if (cnnbn_comm_node_rank(comm) == 0) status = read_pieces(f, n, w);
    status = cnnbn_comm_agree(comm, status);
    if (status != CNNBN_OK) return status;
    return cnnbn_shared_fence(f->shared);
}

/* Values of y, a block of samples at a time; one copy a node whether images are streamed or not. */
static cnnbn_status read_values(feed *f, size_t n)
{
    const size_t piece_bytes = (size_t)16 << 20;
    size_t piece = piece_bytes / (f->n_targets * sizeof(float)) ? piece_bytes / (f->n_targets * sizeof(float)) : 1;
    float *to = cnnbn_shared_data(f->shared_values);
    for (size_t i = 0; i < n; i += piece)
        CNNBN_TRY(
            cnnbn_dataset_read_targets(f->dataset, f->split, i, n - i < piece ? n - i : piece, to + i * f->n_targets));
    return CNNBN_OK;
}

static cnnbn_status load_values(feed *f, cnnbn_comm *comm, size_t n)
{
    if (!f->n_targets) return CNNBN_OK;
    CNNBN_TRY(cnnbn_shared_create(comm, n * f->n_targets * sizeof(float), &f->shared_values));
    cnnbn_status status = cnnbn_comm_node_rank(comm) == 0 ? read_values(f, n) : CNNBN_OK;
    status = cnnbn_comm_agree(comm, status);
    return status != CNNBN_OK ? status : cnnbn_shared_fence(f->shared_values);
}

static cnnbn_status alloc_lists(feed *f, size_t max_batch)
{
    void *memory;
    for (int i = 0; i < AHEAD; i++) {
        CNNBN_TRY(cnnbn_alloc_array(max_batch, sizeof(uint64_t), "sample numbers of a batch", &memory));
        f->lists[i].ids = memory;
        CNNBN_TRY(cnnbn_alloc_array(max_batch, sizeof(void *), "targets of a batch", &memory));
        if (f->n_targets)
            f->lists[i].rows = memory;
        else
            f->lists[i].labels = memory;
        CNNBN_TRY(cnnbn_alloc_array(max_batch, sizeof(void *), "images of a batch", &memory));
        f->lists[i].images = memory;
    }
    return CNNBN_OK;
}

cnnbn_status feed_create(cnnbn_comm *comm, cnnbn_dataset *dataset, cnnbn_split split, size_t memory_bytes,
                         int max_batch, watchdog *w, feed **out)
{
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    size_t n = info->n[split], bytes = n * info->sample_bytes;
    void *memory = NULL;
    *out = NULL;
    cnnbn_status status = cnnbn_alloc(sizeof(feed), "a feed", &memory);
    feed *f = memory;
    if (f) {
        f->dataset = dataset;
        f->split = split;
        f->sample_bytes = info->sample_bytes;
        f->n_targets = (size_t)info->n_targets;
        status = alloc_lists(f, (size_t)max_batch + 1);
        if (status == CNNBN_OK) status = cnnbn_alloc(f->sample_bytes, "a blank image", &f->blank);
    }
    status = cnnbn_comm_agree(comm, status);
    if (status == CNNBN_OK) status = load_values(f, comm, n);
    if (status == CNNBN_OK && bytes <= memory_bytes) {
        status = load_shared(f, comm, bytes, n, w);
    } else if (status == CNNBN_OK) {
        size_t part = memory_bytes / (size_t)cnnbn_comm_node_size(comm);
        status = cnnbn_comm_agree(comm, cnnbn_stream_open(dataset, split, part, max_batch, &f->stream));
    }
    if (status != CNNBN_OK) {
        feed_destroy(f);
        return status;
    }
    *out = f;
    return CNNBN_OK;
}

void feed_destroy(feed *f)
{
    if (!f) return;
    cnnbn_stream_close(f->stream);
    cnnbn_shared_destroy(f->shared);
    cnnbn_shared_destroy(f->shared_values);
    cnnbn_free(f->blank);
    for (int i = 0; i < AHEAD; i++) {
        cnnbn_free(f->lists[i].ids);
        cnnbn_free(f->lists[i].labels);
        cnnbn_free((void *)f->lists[i].rows);
        cnnbn_free((void *)f->lists[i].images);
    }
    cnnbn_free(f);
}

int feed_is_shared(const feed *f)
{
    return f->shared != NULL;
}

cnnbn_status feed_ask(feed *f, const uint32_t *ids, size_t n)
{
    batch_list *list = &f->lists[(f->head + f->n_waiting) % AHEAD];
    const int32_t *labels = cnnbn_dataset_labels(f->dataset, f->split);
    const float *values = f->shared_values ? cnnbn_shared_data(f->shared_values) : NULL;
    list->n = n;
    for (size_t i = 0; i < n; i++) {
        list->ids[i] = ids[i];
        if (values)
            list->rows[i] = values + (size_t)ids[i] * f->n_targets;
        else
            list->labels[i] = labels[ids[i]];
        list->images[i] = f->data ? f->data + (size_t)ids[i] * f->sample_bytes : NULL;
    }
    f->n_waiting++;
    return f->stream ? cnnbn_stream_ask(f->stream, list->ids, (int)n) : CNNBN_OK;
}

cnnbn_status feed_take(feed *f, const void *const **images, cnnbn_targets *targets, const uint64_t **ids, size_t *n)
{
    batch_list *list = &f->lists[f->head];
    f->head = (f->head + 1) % AHEAD;
    f->n_waiting--;
    *images = list->images;
    *targets = (cnnbn_targets){list->labels, list->rows};
    *ids = list->ids;
    *n = list->n;
    if (!f->stream) return CNNBN_OK;
    const void *block = NULL;
    cnnbn_status status = cnnbn_stream_take(f->stream, &block);
    /* A rank that read nothing takes part in the step all the same: its failure rides on the step's reduction. */
    for (size_t i = 0; i < list->n; i++) list->images[i] = block ? (const char *)block + i * f->sample_bytes : f->blank;
    return status;
}

void feed_forget(feed *f)
{
    const void *const *images;
    cnnbn_targets targets;
    const uint64_t *ids;
    size_t n;
    while (f->n_waiting > 0) (void)(feed_take(f, &images, &targets, &ids, &n) == CNNBN_OK);
}
