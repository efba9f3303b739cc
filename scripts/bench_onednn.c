/* Single convolutions by oneDNN 2.x, one thread: started by bench-onednn.sh. Layouts are those that oneDNN likes best, and turning
 * arrays into them is not counted. For each SHAPE (N,C,K,H,R,stride[,valid], as in cnnbn-bench kernels), algorithm and direction a
 * line "shape;direction;algorithm;GFLOP/s" of the direct algorithm's operations; backward is data and weights. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if DNNL_VERSION_MAJOR != 2
#error "written for oneDNN 2.x (Debian 12: libdnnl-dev 2.6); 3.x has another C interface"
#endif

enum { ARRAYS = 3, WARM_UP = 2 };

typedef struct shape {
    int N, C, K, H, R, stride, P, pad, pad_after;
} shape;

typedef struct pass {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[ARRAYS];
} pass;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success) return;
    (void)fprintf(stderr, "bench_onednn: %s: oneDNN's status %d\n", what, (int)status);
    exit(1);
}

static int parse(const char *text, shape *s)
{
    int end = 0, fields = sscanf(text, "%d,%d,%d,%d,%d,%d%n", &s->N, &s->C, &s->K, &s->H, &s->R, &s->stride, &end);
    if (fields != 6 || (text[end] && strcmp(text + end, ",valid") != 0)) return 0;
    if (s->N < 1 || s->C < 1 || s->K < 1 || s->R < 1 || s->H < s->R || s->stride < 1) return 0;
    int valid = text[end] != 0, all;
    s->P = valid ? (s->H - s->R) / s->stride + 1 : (s->H + s->stride - 1) / s->stride;
    all = (s->P - 1) * s->stride + s->R - s->H;
    if (all < 0) all = 0;
    s->pad = all / 2;
    s->pad_after = all - s->pad;
    return 1;
}

static dnnl_memory_desc_t any(int a, int b, int c, int d)
{
    dnnl_memory_desc_t md;
    const dnnl_dims_t dims = {a, b, c, d};
    check(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, dnnl_format_tag_any), "describing an array");
    return md;
}

static dnnl_exec_arg_t array(const pass *p, dnnl_query_t what, int arg)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(p->desc, what, 0);
    dnnl_memory_t memory;
    void *data;
    check(dnnl_memory_create(&memory, md, engine, DNNL_MEMORY_ALLOCATE), "allocating an array");
    check(dnnl_memory_get_data_handle(memory, &data), "reaching an array");
    for (size_t i = 0; i < dnnl_memory_desc_get_size(md) / sizeof(float); i++)
        ((float *)data)[i] = (float)((i * 2654435761u >> 8) % 2001) * 1e-3f - 1;
    return (dnnl_exec_arg_t){arg, memory};
}

static void finish(pass *p, const dnnl_query_t what[ARRAYS], const int arg[ARRAYS])
{
    check(dnnl_primitive_create(&p->primitive, p->desc), "making a convolution");
    for (int i = 0; i < ARRAYS; i++) p->args[i] = array(p, what[i], arg[i]);
}

static pass forward(const shape *s, dnnl_alg_kind_t algorithm)
{
    static const dnnl_query_t what[ARRAYS] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    static const int arg[ARRAYS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_memory_desc_t x = any(s->N, s->C, s->H, s->H), w = any(s->K, s->C, s->R, s->R);
    dnnl_memory_desc_t y = any(s->N, s->K, s->P, s->P);
    const dnnl_dims_t strides = {s->stride, s->stride}, before = {s->pad, s->pad}, after = {s->pad_after, s->pad_after};
    dnnl_convolution_desc_t desc;
    pass p;
    check(dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training, algorithm, &x, &w, NULL, &y, strides, before,
                                             after),
          "describing a convolution");
    check(dnnl_primitive_desc_create(&p.desc, &desc, NULL, engine, NULL), "planning a convolution");
    finish(&p, what, arg);
    return p;
}

static pass backward(const shape *s, dnnl_alg_kind_t algorithm, const pass *fwd, int weights)
{
    static const dnnl_query_t what[2][ARRAYS] = {
        {dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md},
        {dnnl_query_src_md, dnnl_query_diff_dst_md, dnnl_query_diff_weights_md}};
    static const int arg[2][ARRAYS] = {{DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
                                       {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS}};
    dnnl_memory_desc_t x = any(s->N, s->C, s->H, s->H), w = any(s->K, s->C, s->R, s->R);
    dnnl_memory_desc_t y = any(s->N, s->K, s->P, s->P);
    const dnnl_dims_t strides = {s->stride, s->stride}, before = {s->pad, s->pad}, after = {s->pad_after, s->pad_after};
    dnnl_convolution_desc_t desc;
    pass p;
    check(weights
              ? dnnl_convolution_backward_weights_desc_init(&desc, algorithm, &x, &w, NULL, &y, strides, before, after)
              : dnnl_convolution_backward_data_desc_init(&desc, algorithm, &x, &w, &y, strides, before, after),
          "describing a convolution");
    check(dnnl_primitive_desc_create(&p.desc, &desc, NULL, engine, fwd->desc), "planning a convolution");
    finish(&p, what[weights], arg[weights]);
    return p;
}

static void run(const pass *p)
{
    check(dnnl_primitive_execute(p->primitive, stream, ARRAYS, p->args), "a convolution");
    check(dnnl_stream_wait(stream), "a convolution");
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_of(const pass *p, double least)
{
    for (int i = 0; i < WARM_UP; i++) run(p);
    double start = now_s(), end;
    int n = 0;
    do {
        run(p);
        n++;
        end = now_s();
    } while (end - start < least);
    return (end - start) / n;
}

static void drop(pass *p)
{
    for (int i = 0; i < ARRAYS; i++) check(dnnl_memory_destroy(p->args[i].memory), "freeing an array");
    check(dnnl_primitive_destroy(p->primitive), "freeing a convolution");
    check(dnnl_primitive_desc_destroy(p->desc), "freeing a plan");
}

static void measure(const char *text, const shape *s, dnnl_alg_kind_t algorithm, const char *name, double least)
{
    const double gflop = 2e-9 * s->N * s->P * s->P * s->K * s->R * s->R * s->C;
    pass fwd = forward(s, algorithm), data = backward(s, algorithm, &fwd, 0), weights = backward(s, algorithm, &fwd, 1);
    const double f = seconds_of(&fwd, least), d = seconds_of(&data, least), w = seconds_of(&weights, least);
    (void)printf("%s;forward;%s;%.2f\n%s;backward;%s;%.2f\n%s;backward-weights;%s;%.2f\n", text, name, gflop / f, text,
                 name, 2 * gflop / (d + w), text, name, gflop / w);
    drop(&weights);
    drop(&data);
    drop(&fwd);
}

int main(int argc, char **argv)
{
    const double least = argc > 1 ? atof(argv[1]) : 0;
    if (argc < 3 || !(least > 0)) {
        (void)fprintf(stderr, "usage: bench_onednn SECONDS SHAPE...\n");
        return 64;
    }
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "starting oneDNN");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "starting oneDNN");
    for (int i = 2; i < argc; i++) {
        shape s;
        if (!parse(argv[i], &s)) {
            (void)fprintf(stderr, "bench_onednn: found the shape '%s', expected N,C,K,H,R,stride[,valid]\n", argv[i]);
            return 64;
        }
        measure(argv[i], &s, dnnl_convolution_direct, "direct", least);
        measure(argv[i], &s, dnnl_convolution_auto, "auto", least);
    }
    check(dnnl_stream_destroy(stream), "ending oneDNN");
    check(dnnl_engine_destroy(engine), "ending oneDNN");
    return 0;
}
