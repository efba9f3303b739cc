/* fuzz_seeds GOLDEN OUT: writes the inputs that the fuzzers start from into OUT/TARGET. GOLDEN: tests/golden/keras_json. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "checkpoint_made.h"
#include "cnnbn/convert.h"
#include "cnnbn/dataset.h"
#include "cnnbn/memory.h"
#include "make_files.h"

enum { SEAL_BYTES = 512, SIDE = 5, N = 6 };

static const char *out;

static void must(cnnbn_status status)
{
    if (status == CNNBN_OK) return;
    (void)fprintf(stderr, "fuzz_seeds: %s\n", cnnbn_error_message());
    exit(1);
}

/* OUT/TARGET/NAME, in one of four buffers that go round. */
static const char *seed(const char *target, const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", out, target);
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof paths[0], "%s/%s/%s", out, target, name);
    return path;
}

static void models(const char *golden)
{
    static const char *const files[] = {"keras2_functional.json", "keras2_sequential.json", "keras3_every_layer.json",
                                        "keras3_example.json", "keras3_shared.json"};
    static const char *const built_in[] = {"keras-example", "lenet5", "resnet20", "mobilenet-v2"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        size_t n;
        (void)snprintf(path, sizeof path, "%s/%s", golden, files[i]);
        uint8_t *text = read_bytes(path, &n);
        write_bytes(seed("model", files[i]), text, n);
        free(text);
    }
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
        cnnbn_model *model;
        char *text;
        cnnbn_model_wish wish = {.input = {3, {28, 28, 1}}, .n_classes = 10};
        must(cnnbn_model_load(built_in[i], &wish, &model));
        must(cnnbn_model_to_yaml(model, &text));
        write_bytes(seed("model", built_in[i]), text, strlen(text));
        cnnbn_free(text);
        cnnbn_model_destroy(model);
    }
}

static void small_dataset(const char *path, int gzip)
{
    const cnnbn_dataset_spec spec = {.n = {N, N}, .shape = {3, {SIDE, SIDE, 1}}, .n_classes = 2, .gzip = gzip};
    static uint8_t images[N * SIDE * SIDE];
    static const int32_t labels[N] = {0, 1, 0, 1, 1, 0};
    cnnbn_dataset_writer *writer;
    for (size_t i = 0; i < sizeof images; i++) images[i] = (uint8_t)(i * i);
    must(cnnbn_dataset_writer_create(path, &spec, &writer));
    for (int split = 0; split < 2; split++)
        must(cnnbn_dataset_writer_append(writer, (cnnbn_split)split, N, images, labels));
    must(cnnbn_dataset_writer_end(writer));
}

/* A fuzzer does not get past the seal: the checkpoint is given without it, which HDF5 reads as well. */
static void checkpoints(void)
{
    made_checkpoint made;
    size_t n;
    made_create(&made, MADE_MODEL, 1);
    must(cnnbn_checkpoint_write(seed("h5", "checkpoint"), &made.checkpoint));
    uint8_t *bytes = read_bytes(seed("h5", "checkpoint"), &n);
    write_bytes(seed("h5", "checkpoint"), bytes + SEAL_BYTES, n - SEAL_BYTES);
    free(bytes);
    must(cnnbn_keras_write(seed("keras", "model"), &made.checkpoint));
    must(cnnbn_keras_write_weights(seed("keras", "weights.h5"), &made.checkpoint));
    must(cnnbn_keras_write_weights(seed("h5", "weights"), &made.checkpoint));
    made_destroy(&made);
    small_dataset(seed("h5", "dataset"), 0);
    small_dataset(seed("h5", "dataset-gzip"), 1);
    static const char config[] =
        "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", \"layers\": [{\"class_name\": \"InputLayer\", "
        "\"config\": {\"batch_shape\": [null, 4], \"name\": \"in\"}}, {\"class_name\": \"Dense\", \"config\": "
        "{\"name\": \"d\", \"units\": 2}}]}}";
    write_bytes(seed("keras", "config.json"), config, sizeof config - 1);
}

/* As fuzz_idx.c wants it: length of the labels' file, a limit, the labels' file, the images'. */
static void idx(const char *name, int gzip)
{
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 1};
    static const uint8_t images[16 + 3 * 4] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6};
    uint8_t whole[512];
    size_t n, used = 4;
    const void *const parts[] = {labels, images};
    const size_t bytes[] = {sizeof labels, sizeof images};
    for (int i = 0; i < 2; i++) {
        const char *path = seed("idx", "part");
        if (gzip)
            write_gzip(path, parts[i], bytes[i]);
        else
            write_bytes(path, parts[i], bytes[i]);
        uint8_t *part = read_bytes(path, &n);
        memcpy(whole + used, part, n);
        free(part);
        (void)remove(path);
        if (i == 0) {
            whole[0] = (uint8_t)n;
            whole[1] = whole[2] = whole[3] = 0;
        }
        used += n;
    }
    write_bytes(seed("idx", name), whole, used);
}

static void images(void)
{
    enum { H = 7, W = 9 };
    static uint8_t pixels[H * W * 8];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7 + i / 50);
    write_plain_png(seed("image", "grey.png"), H, W, 1, pixels);
    write_plain_png(seed("image", "rgb.png"), H, W, 3, pixels);
    write_png(seed("image", "rgba16.png"), H, W, (png_kind){PNG_COLOR_TYPE_RGB_ALPHA, 16, 1, 0}, pixels, 8 * W);
    write_png(seed("image", "palette.png"), H, W, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, 0, 256}, pixels, W);
    write_png(seed("image", "bits.png"), H, W, (png_kind){PNG_COLOR_TYPE_GRAY, 2, 1, 0}, pixels, (2 * W + 7) / 8);
    write_jpeg(seed("image", "grey.jpg"), H, W, 1, 80, 0, pixels);
    write_jpeg(seed("image", "rgb.jpg"), H, W, 3, 60, 1, pixels);
    write_jpeg(seed("image", "cmyk.jpg"), H, W, 4, 70, 0, pixels);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: fuzz_seeds GOLDEN OUT\n");
        return 1;
    }
    out = argv[2];
    (void)mkdir(out, 0777);
    models(argv[1]);
    checkpoints();
    idx("plain", 0);
    idx("gzip", 1);
    images();
    return 0;
}
