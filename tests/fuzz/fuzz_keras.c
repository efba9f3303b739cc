/* Keras 3's archives: the model, model and weights, and weights for a model known. An archive is a container of two files with
 * checksums that a fuzzer hardly gets past: half of the inputs are not an archive but become the content of one. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cnnbn/checkpoint.h"
#include "fuzz_file.h"
#include "fuzz_model_known.h"

static const char config[] =
    "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", \"layers\": [{\"class_name\": \"InputLayer\", "
    "\"config\": {\"batch_shape\": [null, 4], \"name\": \"in\"}}, {\"class_name\": \"Dense\", \"config\": {\"name\": "
    "\"d\", \"units\": 2}}]}}";

typedef struct archive {
    uint8_t *bytes;
    size_t n;
} archive;

static void put(archive *a, const void *data, size_t n)
{
    if (n) memcpy(a->bytes + a->n, data, n);
    a->n += n;
}

static void put_number(archive *a, size_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) a->bytes[a->n++] = i < sizeof value ? (uint8_t)(value >> 8 * i) : 0;
}

/* The fields that a local header and the directory share, from "version needed" to the length of the extra field. */
static void put_entry(archive *a, const char *name, const void *data, size_t n)
{
    put_number(a, 20, 2);
    put_number(a, 0, 2 + 2 + 4); /* flags, stored, time */
    put_number(a, crc32(0, data, (uInt)n), 4);
    put_number(a, n, 4);
    put_number(a, n, 4);
    put_number(a, strlen(name), 2);
    put_number(a, 0, 2);
}

static void make_archive(archive *a, const void *const data[2], const size_t bytes[2])
{
    static const char *const names[] = {"config.json", "model.weights.h5"};
    size_t at[2];
    for (int i = 0; i < 2; i++) {
        at[i] = a->n;
        put(a, "PK\003\004", 4);
        put_entry(a, names[i], data[i], bytes[i]);
        put(a, names[i], strlen(names[i]));
        put(a, data[i], bytes[i]);
    }
    size_t directory = a->n;
    for (int i = 0; i < 2; i++) {
        put(a, "PK\001\002", 4);
        put_number(a, 20, 2);
        put_entry(a, names[i], data[i], bytes[i]);
        put_number(a, 0, 2 + 2 + 2 + 4); /* comment, disk, attributes */
        put_number(a, at[i], 4);
        put(a, names[i], strlen(names[i]));
    }
    size_t length = a->n - directory;
    put(a, "PK\005\006", 4);
    put_number(a, 0, 4);
    put_number(a, 2, 2);
    put_number(a, 2, 2);
    put_number(a, length, 4);
    put_number(a, directory, 4);
    put_number(a, 0, 2);
}

static void read_all(const uint8_t *data, size_t bytes)
{
    const char *path = fuzz_file(0, data, bytes);
    cnnbn_checkpoint *checkpoint;
    cnnbn_model *model;
    fuzz_check(cnnbn_checkpoint_read_model(path, &model) != CNNBN_OK, model);
    cnnbn_model_destroy(model);
    fuzz_check(cnnbn_checkpoint_read(path, &checkpoint) != CNNBN_OK, checkpoint);
    cnnbn_checkpoint_destroy(checkpoint);
    fuzz_read_weights(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes >= 2 && memcmp(data, "PK", 2) == 0) {
        read_all(data, bytes);
        return 0;
    }
    const int is_text = bytes > 0 && data[0] == '{';
    const void *const parts[2] = {is_text ? (const void *)data : config, is_text ? (const void *)"" : data};
    const size_t lengths[2] = {is_text ? bytes : sizeof config - 1, is_text ? 0 : bytes};
    archive a = {malloc(lengths[0] + lengths[1] + 512), 0};
    if (!a.bytes) abort();
    make_archive(&a, parts, lengths);
    read_all(a.bytes, a.n);
    free(a.bytes);
    return 0;
}
