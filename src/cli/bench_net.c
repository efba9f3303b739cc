#include "bench_net.h"

#include <string.h>
#include <unistd.h>

#include "cnnbn/checkpoint.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/rng.h"

/* ---------------------------------------------------------------- model */

/* Images that a built-in was made for. */
static cnnbn_shape usual_input(const char *model)
{
    static const char *const of_28[] = {"keras-example", "lenet5", "lenet5-bn"};
    static const char *const of_224[] = {"resnet18", "resnet34", "resnet50"};
    for (size_t i = 0; i < sizeof of_28 / sizeof *of_28; i++)
        if (strcmp(model, of_28[i]) == 0) return (cnnbn_shape){3, {28, 28, 1}};
    for (size_t i = 0; i < sizeof of_224 / sizeof *of_224; i++)
        if (strcmp(model, of_224[i]) == 0) return (cnnbn_shape){3, {224, 224, 3}};
    const char *const *names = cnnbn_model_builtin_names();
    for (int i = 0; names[i]; i++)
        if (strcmp(model, names[i]) == 0) return (cnnbn_shape){3, {32, 32, 3}};
    return (cnnbn_shape){0}; /* a file has its own, as a rule */
}

static int has_ending(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static int default_threads(const cnnbn_comm *comm)
{
    int allowed = cnnbn_cpu_cores_allowed(), ranks = cnnbn_comm_node_size(comm);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int share = allowed >= online && ranks > 1 ? allowed / ranks : allowed;
    return share > 0 ? share : 1;
}

cnnbn_status bench_model_open(cnnbn_comm *comm, bench_setup *setup, cnnbn_model **model)
{
    if (setup->slices == 0) setup->slices = cnnbn_slices_default(setup->batch_size);
    if (setup->threads == 0) setup->threads = default_threads(comm);
    if (setup->input.rank == 0) setup->input = usual_input(setup->model);
    cnnbn_model_wish wish = {setup->input, setup->classes, CNNBN_NORM_OWN};
    *model = NULL;
    cnnbn_status status;
    if (has_ending(setup->model, ".h5") || has_ending(setup->model, ".hdf5"))
        status = cnnbn_checkpoint_read_model(setup->model, model);
    else
        status = cnnbn_model_load(setup->model, &wish, model);
    return cnnbn_comm_agree(comm, status);
}

/* ---------------------------------------------------------------- net and data */

cnnbn_status bench_net_open(cnnbn_comm *comm, const bench_setup *setup, const bench_variant *variant,
                            const cnnbn_model *model, cnnbn_net **net)
{
    static const double default_lr[] = {1e-3, 1e-3, 0.01}; /* Keras' */
    size_t channels = (size_t)model->input.dim[model->input.rank - 1];
    void *memory;
    *net = NULL;
    CNNBN_TRY(cnnbn_comm_agree(comm, cnnbn_alloc_array(2 * channels, sizeof(float), "scaling of the input", &memory)));
    float *scale = memory, *shift = scale + channels;
    for (size_t c = 0; c < channels; c++) scale[c] = 1.0f / 255;
    const cnnbn_optimizer_kind kind = (cnnbn_optimizer_kind)setup->optimizer;
    const cnnbn_net_config config = {
        .kernels = variant->kernels,
        .conv = variant->conv,
        .comm = comm,
        .reduce = variant->reduce,
        .bn_local = variant->bn_local,
        .no_fusion = variant->no_fusion,
        .slices = setup->slices,
        .batch_size = setup->batch_size,
        .threads = setup->threads,
        .input_is_u8 = 1,
        .input_scale = scale,
        .input_shift = shift,
        .optimizer = {.kind = kind,
                      .lr = default_lr[kind],
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .epsilon = 1e-7,
                      .momentum = kind == CNNBN_SGD ? 0.9 : 0,
                      .weight_decay = kind == CNNBN_ADAMW ? 0.004 : 0},
    };
    cnnbn_status status = cnnbn_comm_agree(comm, cnnbn_net_create(model, &config, net));
    cnnbn_free(memory);
    if (status == CNNBN_OK) cnnbn_net_init(*net, 0);
    return status;
}

/* The pools' arrays in one block: pointers, ids, labels, then the images. */
static void lay_out(bench_data *data, size_t sample_bytes)
{
    size_t n = data->n_local;
    const void **pointers = data->memory;
    uint64_t *ids = (uint64_t *)(pointers + BENCH_POOL * n);
    int32_t *labels = (int32_t *)(ids + BENCH_POOL * n);
    unsigned char *images = (unsigned char *)(labels + BENCH_POOL * n);
    for (int p = 0; p < BENCH_POOL; p++) {
        data->images[p] = pointers + (size_t)p * n;
        data->ids[p] = ids + (size_t)p * n;
        data->labels[p] = labels + (size_t)p * n;
        for (size_t i = 0; i < n; i++) data->images[p][i] = images + ((size_t)p * n + i) * sample_bytes;
    }
}

cnnbn_status bench_data_open(cnnbn_comm *comm, const bench_setup *setup, const cnnbn_model *model, const cnnbn_net *net,
                             bench_data *data)
{
    size_t first, bytes = cnnbn_shape_count(model->input);
    *data = (bench_data){.n_global = setup->batch_size};
    cnnbn_net_local_samples(net, data->n_global, &first, &data->n_local);
    size_t each = sizeof(void *) + sizeof(uint64_t) + sizeof(int32_t) + bytes;
    CNNBN_TRY(
        cnnbn_comm_agree(comm, cnnbn_alloc_array(BENCH_POOL * data->n_local, each, "made-up images", &data->memory)));
    lay_out(data, bytes);
    uint64_t classes = (uint64_t)cnnbn_model_n_outputs(model);
    for (int p = 0; p < BENCH_POOL; p++)
        for (size_t i = 0; i < data->n_local; i++) {
            uint64_t id = (uint64_t)p * data->n_global + first + i;
            uint64_t key = cnnbn_rng_key(0, CNNBN_RNG_TEST, id, 0, 0);
            unsigned char *image = (unsigned char *)(uintptr_t)data->images[p][i];
            for (size_t b = 0; b < bytes; b++) image[b] = (unsigned char)((key = key * 6364136223846793005u + 1) >> 56);
            data->labels[p][i] = (int32_t)(key % classes);
            data->ids[p][i] = id;
        }
    return CNNBN_OK;
}

void bench_data_close(bench_data *data)
{
    cnnbn_free(data->memory);
    data->memory = NULL;
}

cnnbn_status bench_net_steps(cnnbn_comm *comm, cnnbn_net *net, const bench_data *data, int n, double *seconds)
{
    const double no_flags[4] = {0, 0, 0, 0};
    cnnbn_step_result result;
    CNNBN_TRY(cnnbn_comm_barrier(comm));
    double start = cnnbn_now_s();
    for (int i = 0; i < n; i++) {
        int p = i % BENCH_POOL;
        const cnnbn_batch batch = {.n_global = data->n_global,
                                   .n_local = data->n_local,
                                   .images = data->images[p],
                                   .targets = {.labels = data->labels[p]},
                                   .ids = data->ids[p]};
        CNNBN_TRY(cnnbn_net_train_step(net, &batch, no_flags, &result));
    }
    *seconds = cnnbn_now_s() - start;
    return cnnbn_comm_max_f64(comm, seconds, 1);
}
