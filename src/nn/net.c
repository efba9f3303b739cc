/* Creating and destroying a net: the order of the compiler's passes, and every byte of memory. */
#include <omp.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "augment.h"
#include "ir.h"

static cnnbn_status alloc_doubles(size_t n, const char *what, double **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(double), what, &memory));
    *out = memory;
    return CNNBN_OK;
}

static cnnbn_status alloc_floats(size_t n, const char *what, float **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(float), what, &memory));
    *out = memory;
    return CNNBN_OK;
}

static cnnbn_status alloc_ints(size_t n, const char *what, int **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(int), what, &memory));
    *out = memory;
    return CNNBN_OK;
}

static cnnbn_status alloc_bytes(size_t n, const char *what, unsigned char **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc(n, what, &memory));
    *out = memory;
    return CNNBN_OK;
}

static cnnbn_status check_config(const cnnbn_net_config *config)
{
    if (config->batch_size < 1 || config->batch_size > 1u << 24)
        return cnnbn_error(CNNBN_ERR_OPTION, "--batch-size %zu: must be between 1 and %u", config->batch_size,
                           1u << 24);
    if (config->slices < 1 || config->slices > CNNBN_SLICES_MAX)
        return cnnbn_error(CNNBN_ERR_OPTION, "--slices %d: must be between 1 and %d", config->slices, CNNBN_SLICES_MAX);
    if (config->threads < 1 || config->threads > 1024)
        return cnnbn_error(CNNBN_ERR_OPTION, "--threads %d: must be between 1 and 1024", config->threads);
    if (config->threads > omp_get_thread_limit()) /* a smaller team would leave slices undone */
        return cnnbn_error(CNNBN_ERR_OPTION, "--threads %d: OpenMP allows %d here; see OMP_THREAD_LIMIT",
                           config->threads, omp_get_thread_limit());
    return CNNBN_OK;
}

static cnnbn_status alloc_bns(cnnbn_net *net)
{
    size_t channels = 0;
    for (int b = 0; b < net->n_bns; b++) channels += ((size_t)net->bns[b].C + 15) / 16 * 16;
    CNNBN_TRY(cnnbn_alloc_array(channels, 8 * sizeof(float) + 4 * sizeof(double), "batch-norm coefficients",
                                &net->bn_memory));
    double *d = net->bn_memory;
    float *f = (float *)(d + 4 * channels);
    for (int b = 0; b < net->n_bns; b++) {
        bn_state *bn = &net->bns[b];
        size_t n = ((size_t)bn->C + 15) / 16 * 16;
        bn->inv_std = d;
        bn->mean_error = d + n;
        bn->batch_mean = d + 2 * n;
        bn->batch_var = d + 3 * n;
        d += 4 * n;
        float **arrays[] = {&bn->mean, &bn->scale, &bn->shift, &bn->a, &bn->b, &bn->c0, &bn->ones, &bn->zeros};
        for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++, f += n) *arrays[k] = f;
        for (int c = 0; c < bn->C; c++) bn->ones[c] = 1;
        bn->stat_shift = cnnbn_net_param(net, bn->moving_mean);
    }
    return CNNBN_OK;
}

/* The script that joins the threads' nodes: what each thread's run leaves, pushed from left to right (slices.h). Entry
 * `place` of the stack says where a node's data stand; a merge adds the right one to the left one in place. */
static cnnbn_status plan_join(cnnbn_net *net)
{
    void *memory;
    size_t most = (size_t)net->n_threads * CNNBN_TREE_DEPTH;
    CNNBN_TRY(cnnbn_alloc_array(most, sizeof(join_add), "the join of threads", &memory));
    net->joins = memory;
    CNNBN_TRY(cnnbn_alloc_array(CNNBN_TREE_DEPTH, sizeof(join_copy), "the join of threads", &memory));
    net->copies = memory;
    cnnbn_node labels[2 * CNNBN_TREE_DEPTH], nodes[CNNBN_TREE_DEPTH];
    join_copy place[2 * CNNBN_TREE_DEPTH];
    int height = 0;
    for (int t = 0; t < net->n_threads; t++) {
        int n = cnnbn_tree_nodes(net->S, net->threads[t].first, net->threads[t].n_slices, nodes);
        for (int e = 0; e < n; e++) {
            place[height] = (join_copy){t, e};
            int merges = cnnbn_tree_push(net->S, labels, &height, nodes[e]);
            for (int m = merges; m > 0; m--) {
                join_copy left = place[height + m - 2], right = place[height + m - 1];
                net->joins[net->n_joins++] = (join_add){left.thread, left.entry, right.thread, right.entry};
            }
        }
    }
    net->n_copies = height;
    memcpy(net->copies, place, (size_t)height * sizeof *place);
    return CNNBN_OK;
}

/* Level after which a weight's gradients are complete; -1: never computed (no path to the loss). */
static int done_level(const cnnbn_net *net, int param)
{
    int level = -1;
    for (int i = 0; i < net->train.n_instrs; i++) {
        const instr *in = &net->train.instrs[i];
        int bn = in->bn >= 0 ? in->bn : in->sums_bn;
        if (in->op < 0 ||
            (in->kind != I_CONV_BWD && in->kind != I_DENSE_BWD_WEIGHTS && in->kind != I_PLAIN_BWD && bn < 0))
            continue;
        const op *o = &net->ops[in->op];
        int is_its = (bn >= 0 && (net->bns[bn].gamma == param || net->bns[bn].beta == param)) ||
                     (in->bn < 0 && (o->kernel == param || o->bias == param));
        if (is_its && in->level > level) level = in->level;
    }
    return level;
}

/* Buckets: from the last layer to the first, neighbouring weights are put together until a bucket holds bucket_floats; it starts
 * after the level that completes the last of them. The layout depends on the model alone. */
static cnnbn_status plan_buckets(cnnbn_net *net)
{
    const size_t bucket_floats = (size_t)1 << 18; /* 1 MB */
    const cnnbn_model *model = net->model;
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)CNNBN_REDUCE_REQUESTS, sizeof(bucket), "gradient buckets", &memory));
    net->buckets = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)CNNBN_REDUCE_REQUESTS, sizeof(cnnbn_request *), "gradient buckets", &memory));
    net->requests = memory;
    size_t least = net->n_reduced / (CNNBN_REDUCE_REQUESTS - 1) + 1;
    if (least < bucket_floats) least = bucket_floats;
    size_t end = net->n_reduced;
    int level = 0;
    for (int i = 0; i < net->n_agains; i++) { /* these stand behind the last weight: they go with the first bucket */
        int done = done_level(net, net->agains[i].param);
        if (net->agains[i].other < net->n_reduced && done > level) level = done;
    }
    for (int i = model->n_params - 1; i >= 0; i--) {
        const cnnbn_param *p = &model->params[i];
        if (!p->trainable || net->param_offset[i] >= net->n_reduced) continue;
        int done = done_level(net, i);
        if (done > level) level = done;
        if (end - net->param_offset[i] < least && net->param_offset[i] > 0) continue;
        net->buckets[net->n_buckets++] = (bucket){level, net->param_offset[i], end - net->param_offset[i]};
        end = net->param_offset[i];
        level = 0;
    }
    return CNNBN_OK;
}

static cnnbn_status copy_input_affine(cnnbn_net *net)
{
    size_t channels = (size_t)net->model->input.dim[net->model->input.rank - 1];
    CNNBN_TRY(alloc_floats(channels, "input scaling", &net->input_scale));
    CNNBN_TRY(alloc_floats(channels, "input scaling", &net->input_shift));
    for (size_t c = 0; c < channels; c++) {
        net->input_scale[c] = net->config.input_scale ? net->config.input_scale[c] : 1;
        net->input_shift[c] = net->config.input_shift ? net->config.input_shift[c] : 0;
    }
    if (!net->config.input_is_u8) return CNNBN_OK;
    CNNBN_TRY(alloc_floats(channels, "input scaling", &net->input_white));
    for (size_t c = 0; c < channels; c++) net->input_white[c] = 255 * net->input_scale[c] + net->input_shift[c];
    return CNNBN_OK;
}

/* Slices and samples of this rank, and the reducer that decides them. */
static cnnbn_status plan_rank(cnnbn_net *net)
{
    const cnnbn_net_config *config = &net->config;
    net->S = config->slices;
    net->n_threads = config->threads;
    net->first_slice = cnnbn_part_begin(net->S, cnnbn_comm_size(config->comm), cnnbn_comm_rank(config->comm));
    net->n_slices =
        cnnbn_part_begin(net->S, cnnbn_comm_size(config->comm), cnnbn_comm_rank(config->comm) + 1) - net->first_slice;
    cnnbn_node nodes[CNNBN_TREE_DEPTH];
    net->n_nodes = cnnbn_tree_nodes(net->S, net->first_slice, net->n_slices, nodes);
    size_t slice = (config->batch_size + (size_t)net->S - 1) / (size_t)net->S;
    net->block = (int)slice;
    net->max_local = slice * (size_t)net->n_slices;
    CNNBN_TRY(alloc_ints((size_t)net->n_slices + 2, "bounds of slices", &net->rank_bounds));
    return alloc_bytes((size_t)net->n_slices + 2, "merges of slices", &net->rank_merge);
}

static cnnbn_status create(cnnbn_net *net)
{
    const cnnbn_net_config *config = &net->config;
    void *memory;
    CNNBN_TRY(check_config(config));
    CNNBN_TRY(cnnbn__augment_check(net->model, &config->augment));
    CNNBN_TRY(plan_rank(net));
    CNNBN_TRY(copy_input_affine(net));
    CNNBN_TRY(cnnbn__net_build(net));
    CNNBN_TRY(cnnbn__net_find_loss(net));
    CNNBN_TRY(cnnbn__net_alloc_params(net)); /* knows from the batch norms which gradients are summed already */
    CNNBN_TRY(cnnbn__rules_alloc(net));
    if (!config->no_fusion) cnnbn__net_fuse(net);
    CNNBN_TRY(alloc_bns(net));
    CNNBN_TRY(cnnbn__net_emit(net, &net->infer, 0));
    CNNBN_TRY(cnnbn__net_plan(net, &net->infer, 0, net->block));
    if (!config->inference_only) {
        CNNBN_TRY(cnnbn__net_emit(net, &net->train, 1));
        CNNBN_TRY(cnnbn__net_plan(net, &net->train, (int)net->max_local, net->block));
    }
    CNNBN_TRY(cnnbn__threads_create(net));
    CNNBN_TRY(plan_join(net));
    CNNBN_TRY(cnnbn__weight_sums_alloc(net));
    const program *train = &net->train, *infer = &net->infer;
    CNNBN_TRY(cnnbn_alloc_pages(train->arena_floats * sizeof(float), "activations and gradients", &memory));
    net->arena = memory;
    cnnbn__threads_touch_arena(net);
    size_t prepared = train->prepared_floats > infer->prepared_floats ? train->prepared_floats : infer->prepared_floats;
    CNNBN_TRY(alloc_floats(prepared, "prepared weights", &net->prepared));
    CNNBN_TRY(alloc_doubles(((size_t)net->n_nodes + 1) * train->payload_max, "sums of the rank", &net->nodes));
    CNNBN_TRY(alloc_doubles(train->payload_max, "sums over all ranks", &net->reduced));
    CNNBN_TRY(alloc_doubles(net->n_sums, "sums of the loss", &net->loss_sums));
    return CNNBN_OK;
}

cnnbn_status cnnbn_net_create(const cnnbn_model *model, const cnnbn_net_config *config, cnnbn_net **out)
{
    void *memory;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_net), "a net", &memory));
    cnnbn_net *net = memory;
    net->model = model;
    net->config = *config;
    net->kernels = config->kernels;
    net->position_instr = -1;
    omp_set_dynamic(0); /* as many threads as asked for: each has its slices */
    cnnbn_status status = create(net);
    if (!config->inference_only) {
        /* From here on collective: a rank that failed says so before the others wait for it. */
        status = cnnbn_comm_agree(config->comm, status);
        if (status == CNNBN_OK) status = plan_buckets(net);
        if (status == CNNBN_OK)
            status = cnnbn_reducer_create(config->comm, config->reduce, net->S, net->n_reduced, net->train.payload_max,
                                          &net->reducer);
    }
    if (status != CNNBN_OK) {
        cnnbn_net_destroy(net);
        return status;
    }
    *out = net;
    return CNNBN_OK;
}

void cnnbn_net_destroy(cnnbn_net *net)
{
    if (!net) return;
    cnnbn_reducer_destroy(net->reducer);
    for (int i = 0; i < net->n_ops; i++) {
        cnnbn_free(net->ops[i].in);
        cnnbn_free(net->ops[i].plain.scale);
    }
    cnnbn__threads_destroy(net);
    cnnbn_free_pages(net->arena, net->train.arena_floats * sizeof(float));
    cnnbn__program_free(&net->train);
    cnnbn__program_free(&net->infer);
    void *const blocks[] = {net->input_scale, net->input_shift, net->input_white,  net->ops,         net->graph_values,
                            net->bns,         net->bn_memory,   net->param_offset, net->agains,      net->weights,
                            net->state,       net->grads,       net->slots[0],     net->slots[1],    net->norms,
                            net->penalties,   net->prepared,    net->nodes,        net->reduced,     net->joins,
                            net->copies,      net->buckets,     net->requests,     net->rank_bounds, net->rank_merge,
                            net->loss_sums,   net->bn_partial,  net->bn_join,      net->centred,     net->ratios,
                            net->accumulated, net->ema,         net->ema_state,    net->state_before};
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) cnnbn_free(blocks[k]);
    cnnbn_free(net);
}

void cnnbn_net_local_samples(const cnnbn_net *net, size_t n, size_t *first, size_t *count)
{
    *first = cnnbn_slice_begin(n, net->S, net->first_slice);
    *count = cnnbn_slice_begin(n, net->S, net->first_slice + net->n_slices) - *first;
}

cnnbn_status cnnbn_net_average_statistics(cnnbn_net *net)
{
    int size = cnnbn_comm_size(net->config.comm);
    if (size == 1 || net->n_state == 0) return CNNBN_OK;
    double *sums;
    cnnbn_status status = CNNBN_OK;
    CNNBN_TRY(alloc_doubles(net->n_state, "moving statistics", &sums));
    float *const states[] = {net->state, net->ema_state};
    for (int k = 0; k < (net->ema ? 2 : 1) && status == CNNBN_OK; k++) {
        for (size_t i = 0; i < net->n_state; i++) sums[i] = (double)states[k][i];
        status = cnnbn_comm_sum_f64(net->config.comm, sums, net->n_state);
        for (size_t i = 0; status == CNNBN_OK && i < net->n_state; i++) states[k][i] = (float)(sums[i] / size);
    }
    cnnbn_free(sums);
    return status;
}
