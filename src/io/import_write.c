/* The common end of all importers: choosing samples and writing them. */
#include "import_source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/rng.h"

static const size_t block_bytes = (size_t)1 << 20; /* images handed to the writer at once */
static const char *const split_names[2] = {"training", "test"};

cnnbn_status cnnbn__labels_add(cnnbn__labels *labels, int32_t label)
{
    if (labels->n == labels->room) {
        size_t room = labels->room ? 2 * labels->room : 1024;
        void *grown = NULL;
        CNNBN_TRY(cnnbn_alloc_array(room, sizeof *labels->label, "labels", &grown));
        if (labels->n) memcpy(grown, labels->label, labels->n * sizeof *labels->label);
        cnnbn_free(labels->label);
        labels->label = grown;
        labels->room = room;
    }
    labels->label[labels->n++] = label;
    return CNNBN_OK;
}

cnnbn_status cnnbn__import_check_out(const cnnbn_import_options *options)
{
    struct stat status;
    if (stat(options->out, &status) != 0) return CNNBN_OK;
    if (!S_ISREG(status.st_mode)) return cnnbn_error(CNNBN_ERR_OPTION, "%s: is not a file", options->out);
    if (!options->overwrite)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: exists already; remove it, choose another name, or use --force",
                           options->out);
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- which samples */

typedef struct candidate {
    uint64_t key;
    size_t index;
} candidate;

static int compare_candidates(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Shares `want` among the classes as evenly as their sizes allow; what one class lacks goes to the others. */
static void share_out(size_t want, const size_t *have, size_t n_classes, size_t *quota)
{
    memset(quota, 0, n_classes * sizeof *quota);
    for (;;) {
        size_t open = 0;
        for (size_t k = 0; k < n_classes; k++) open += quota[k] < have[k];
        if (!open || !want) return;
        size_t each = want / open;
        for (size_t k = 0; k < n_classes && want; k++) {
            size_t left = have[k] - quota[k], more = each ? each : 1;
            if (more > left) more = left;
            quota[k] += more;
            want -= more;
        }
    }
}

typedef struct chooser {
    candidate *candidates; /* [n] */
    size_t *have, *quota;  /* [n_classes] */
} chooser;

static void warn_of_imbalance(const chooser *c, size_t n_classes)
{
    size_t most = 0;
    for (size_t k = 0; k < n_classes; k++) most = c->quota[k] > most ? c->quota[k] : most;
    for (size_t k = 0; k < n_classes; k++)
        if (c->quota[k] + 1 < most) {
            cnnbn_warn("not balanced: there are only %zu samples of class %zu, and up to %zu of others were taken",
                       c->have[k], k, most);
            return;
        }
}

static void choose_with(const chooser *c, const int32_t *labels, size_t n, size_t n_classes, size_t want,
                        const uint64_t *seed, unsigned char *marks, unsigned char mark)
{
    size_t n_free = 0;
    memset(c->have, 0, n_classes * sizeof *c->have);
    for (size_t i = 0; i < n; i++) {
        if (marks[i]) continue;
        c->have[labels[i]]++;
        c->candidates[n_free].key = seed ? cnnbn_rng_key(*seed, CNNBN_RNG_SHUFFLE, mark, i, n) : i;
        c->candidates[n_free++].index = i;
    }
    if (seed) qsort(c->candidates, n_free, sizeof *c->candidates, compare_candidates);
    share_out(want, c->have, n_classes, c->quota);
    if (want < n_free) warn_of_imbalance(c, n_classes);
    for (size_t j = 0; j < n_free; j++) {
        size_t i = c->candidates[j].index, k = (size_t)labels[i];
        if (c->quota[k]) {
            c->quota[k]--;
            marks[i] = mark;
        }
    }
}

/* Marks `want` of the samples whose mark is 0, classes balanced. */
static cnnbn_status choose(const int32_t *labels, size_t n, int n_classes, size_t want, const uint64_t *seed,
                           unsigned char *marks, unsigned char mark)
{
    size_t k = (size_t)n_classes;
    void *candidates = NULL, *have = NULL, *quota = NULL;
    cnnbn_status status = cnnbn_alloc_array(n, sizeof(candidate), "the choice of samples", &candidates);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(k, sizeof(size_t), "the choice of samples", &have);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(k, sizeof(size_t), "the choice of samples", &quota);
    if (status == CNNBN_OK) {
        chooser c = {candidates, have, quota};
        choose_with(&c, labels, n, k, want, seed, marks, mark);
    }
    cnnbn_free(candidates);
    cnnbn_free(have);
    cnnbn_free(quota);
    return status;
}

/* ---------------------------------------------------------------- writing */

typedef struct job {
    const cnnbn__source *source;
    const cnnbn_import_options *options;
    int n_classes;
    unsigned char *marks[2]; /* by split of the source: 0, or 1 + the split it goes to */
    cnnbn_split from[2];     /* split of the source that each split of the output is taken from */
    size_t n[2];             /* of the output */
    cnnbn_dataset_writer *writer;
    uint8_t *images; /* [block] */
    int32_t *labels; /* [block] */
    float *targets;  /* [block][n_targets], or NULL */
    size_t block, done;
} job;

static cnnbn_status count_classes(job *j)
{
    const cnnbn__source *s = j->source;
    int n_names = s->n_targets              ? 0
                  : j->options->class_names ? j->options->n_class_names
                  : s->class_names          ? s->n_classes
                                            : 0;
    int top = 0;
    for (int split = 0; split < 2; split++)
        for (size_t i = 0; i < s->n[split]; i++) {
            int32_t label = s->labels[split][i];
            if (n_names && label >= n_names)
                return cnnbn_error(CNNBN_ERR_DATA, "%s: label %d of %s sample %zu, but there are %d class names",
                                   s->labels_from[split], (int)label, split_names[split], i, n_names);
            if (label >= CNNBN_IMPORT_CLASSES_MAX)
                return cnnbn_error(CNNBN_ERR_DATA, "%s: label %d of %s sample %zu; at most %d classes are possible",
                                   s->labels_from[split], (int)label, split_names[split], i, CNNBN_IMPORT_CLASSES_MAX);
            if (label >= top) top = label + 1;
        }
    if (s->n_classes > top) top = s->n_classes;
    if (n_names && top > n_names) return cnnbn_error(CNNBN_ERR_OPTION, "%d class names for %d classes", n_names, top);
    j->n_classes = n_names ? n_names : top;
    return CNNBN_OK;
}

static cnnbn_status choose_all(job *j)
{
    const cnnbn__source *s = j->source;
    for (int split = 0; split < 2; split++) {
        void *marks = NULL;
        CNNBN_TRY(cnnbn_alloc(s->n[split], "the choice of samples", &marks));
        j->marks[split] = marks;
    }
    for (int split = 0; split < 2; split++) {
        size_t limit = j->options->limit[split];
        cnnbn_split from = (cnnbn_split)split;
        if (split == CNNBN_TEST && !s->n[CNNBN_TEST] && s->random_access) from = CNNBN_TRAIN;
        size_t free_ones = 0;
        for (size_t i = 0; i < s->n[from]; i++) free_ones += !j->marks[from][i];
        if (s->exact && limit > free_ones)
            return cnnbn_error(CNNBN_ERR_OPTION, "%zu %s samples wanted, %s has %zu%s", limit, split_names[split],
                               s->labels_from[from], free_ones,
                               from == CNNBN_TRAIN && split == CNNBN_TEST ? " beside those taken for training" : "");
        size_t want = limit && limit < free_ones ? limit : s->exact && !limit ? 0 : free_ones;
        j->from[split] = from;
        j->n[split] = want;
        if (want)
            CNNBN_TRY(choose(s->labels[from], s->n[from], j->n_classes, want, j->options->limit_seed, j->marks[from],
                             (unsigned char)(split + 1)));
    }
    if (!j->n[CNNBN_TRAIN]) return cnnbn_error(CNNBN_ERR_DATA, "%s: no training samples", s->labels_from[CNNBN_TRAIN]);
    return CNNBN_OK;
}

static cnnbn_status write_split(job *j, cnnbn_split split)
{
    const cnnbn__source *s = j->source;
    const cnnbn_import_options *o = j->options;
    cnnbn_split from = j->from[split];
    size_t sample = cnnbn_shape_count(s->shape), filled = 0, left = j->n[split];
    for (size_t i = 0; i < s->n[from] && left; i++) {
        if (j->marks[from][i] != split + 1) continue;
        CNNBN_TRY(s->read(s->context, from, i, j->images + filled * sample));
        if (j->targets) CNNBN_TRY(s->read_targets(s->context, from, i, j->targets + filled * (size_t)s->n_targets));
        j->labels[filled++] = s->labels[from][i];
        left--;
        if (filled == j->block || !left) {
            CNNBN_TRY(j->targets ? cnnbn_dataset_writer_append_targets(j->writer, split, filled, j->images, j->targets)
                                 : cnnbn_dataset_writer_append(j->writer, split, filled, j->images, j->labels));
            filled = 0;
        }
        j->done++;
        if (o->progress && o->progress(o->progress_context, j->done, j->n[0] + j->n[1]))
            return cnnbn_error(CNNBN_ERR_INTERRUPTED, "interrupted; %s was not written", o->out);
    }
    if (s->finish && s->n[split]) CNNBN_TRY(s->finish(s->context, split));
    return CNNBN_OK;
}

static cnnbn_status write_all(job *j)
{
    const cnnbn__source *s = j->source;
    const cnnbn_import_options *o = j->options;
    CNNBN_TRY(count_classes(j));
    CNNBN_TRY(choose_all(j));
    size_t sample = cnnbn_shape_count(s->shape);
    j->block = sample < block_bytes ? block_bytes / sample : 1;
    void *images = NULL, *labels = NULL;
    CNNBN_TRY(cnnbn_alloc_array(j->block, sample, "images", &images));
    j->images = images;
    CNNBN_TRY(cnnbn_alloc_array(j->block, sizeof *j->labels, "labels", &labels));
    j->labels = labels;
    void *targets = NULL;
    if (s->n_targets)
        CNNBN_TRY(cnnbn_alloc_array(j->block * (size_t)s->n_targets, sizeof *j->targets, "values of y", &targets));
    j->targets = targets;
    cnnbn_dataset_spec spec = {.n = {j->n[0], j->n[1]},
                               .shape = s->shape,
                               .squeeze = 1, /* (N, H, W) for grey images, as Keras' own MNIST */
                               .n_classes = s->n_targets ? s->n_targets : j->n_classes,
                               .n_targets = s->n_targets,
                               .class_names = o->class_names ? o->class_names : s->class_names,
                               .source = o->source ? o->source : s->source,
                               .licence = o->licence ? o->licence : s->licence,
                               .gzip = o->gzip};
    CNNBN_TRY(cnnbn_dataset_writer_create(o->out, &spec, &j->writer));
    CNNBN_TRY(write_split(j, CNNBN_TRAIN));
    return write_split(j, CNNBN_TEST);
}

cnnbn_status cnnbn__import_write(const cnnbn__source *source, const cnnbn_import_options *options)
{
    job j = {.source = source, .options = options};
    cnnbn_status status = cnnbn__import_check_out(options);
    if (status == CNNBN_OK) status = write_all(&j);
    if (j.writer) {
        if (status == CNNBN_OK)
            status = cnnbn_dataset_writer_end(j.writer);
        else
            cnnbn_dataset_writer_abort(j.writer);
    }
    cnnbn_free(j.marks[0]);
    cnnbn_free(j.marks[1]);
    cnnbn_free(j.images);
    cnnbn_free(j.labels);
    cnnbn_free(j.targets);
    return status;
}
