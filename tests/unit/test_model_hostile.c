/* model: no bytes crash the readers. Every truncation of valid files, and random changes of them; what still is a model must
 * write texts that read back. Meant for the sanitizer build above all. CNNBN_FUZZ_ROUNDS sets the number of changes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/memory.h"
#include "cnnbn/model.h"
#include "cnnbn/rng.h"

static const char yaml[] =
    "name: graph\ninput: [8, 8, 4]\nlayers:\n"
    "  - Conv2D: {name: a, filters: 4, kernel_size: [3, 3], padding: same, activation: relu}\n"
    "  - BatchNormalization: {epsilon: 1e-5, unbiased: true}\n"
    "  - again: {layer: a}\n"
    "  - Add: {from: [a, \"a:1\"]}\n"
    "  - Reshape: {target_shape: [-1, 16]}\n"
    "  - Flatten\n  - Dense: {units: 3, kernel_initializer: {class_name: RandomNormal, config: {stddev: 0.1}}}\n";

static const char *const files[] = {"keras3_shared.json", "keras2_functional.json", "keras3_every_layer.json"};
enum { N_TEXTS = 1 + sizeof files / sizeof *files };
static char *texts[N_TEXTS];
static size_t lengths[N_TEXTS];

static void read_golden(int k, const char *name)
{
    char path[4096];
    const char *folder = getenv("CNNBN_TEST_GOLDEN");
    if (!folder) fail_msg("CNNBN_TEST_GOLDEN is not set: run me by ctest");
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s: cannot be opened", path);
    texts[k] = malloc(1 << 20);
    assert_non_null(texts[k]);
    lengths[k] = fread(texts[k], 1, 1 << 20, file);
    (void)fclose(file);
}

static int load_texts(void **state)
{
    (void)state;
    texts[0] = malloc(sizeof yaml);
    assert_non_null(texts[0]);
    memcpy(texts[0], yaml, sizeof yaml);
    lengths[0] = sizeof yaml - 1;
    for (int k = 1; k < N_TEXTS; k++) read_golden(k, files[k - 1]);
    return 0;
}

static int free_texts(void **state)
{
    (void)state;
    for (int k = 0; k < N_TEXTS; k++) free(texts[k]);
    return 0;
}

/* A block of its own, of exactly this size, so that a read beyond the end is seen. Returns whether it was a model. */
static int try_text(const char *text, size_t bytes)
{
    char *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    cnnbn_model *m = NULL, *back = NULL;
    cnnbn_status status = cnnbn_model_from_text(copy, bytes, "fuzz", NULL, &m);
    free(copy);
    if (status != CNNBN_OK) {
        assert_null(m);
        assert_true(status == CNNBN_ERR_MODEL);
        assert_true(strlen(cnnbn_error_message()) > 6);
        return 0;
    }
    char *out = NULL;
    check_ok(cnnbn_model_to_yaml(m, &out));
    check_ok(cnnbn_model_from_text(out, strlen(out), "back", NULL, &back));
    check_ok(cnnbn_model_same(m, back));
    cnnbn_model_destroy(back);
    cnnbn_free(out);
    check_ok(cnnbn_model_to_json(m, &out));
    check_ok(cnnbn_model_from_text(out, strlen(out), "back", NULL, &back));
    cnnbn_model_destroy(back);
    cnnbn_free(out);
    cnnbn_model_destroy(m);
    return 1;
}

static void every_truncation(void **state)
{
    (void)state;
    for (int k = 0; k < N_TEXTS; k++) {
        assert_int_equal(try_text(texts[k], lengths[k]), 1);
        /* The largest file is cut at every 61st byte: all cuts take minutes in a sanitizer build. */
        size_t step = lengths[k] > 8000 ? 61 : 1;
        for (size_t n = 0; n < lengths[k]; n += step) (void)try_text(texts[k], n);
    }
}

static void random_changes(void **state)
{
    (void)state;
    const char *rounds_text = getenv("CNNBN_FUZZ_ROUNDS");
    long rounds = rounds_text ? atol(rounds_text) : 800;
    static const char pieces[] = "{}[]:,&*!|>'\"%@`#-\n\t 0919.eE+\\\xff\x80\xc3";
    uint64_t key = cnnbn_rng_key(3, CNNBN_RNG_TEST, 0, 0, 0), counter = 0;
    uint32_t r[4];
    for (long round = 0; round < rounds; round++) {
        int k = (int)(round % N_TEXTS);
        char *copy = malloc(lengths[k]);
        assert_non_null(copy);
        memcpy(copy, texts[k], lengths[k]);
        cnnbn_philox(key, counter++, r);
        uint32_t n_changes = 1 + r[0] % 4;
        for (uint32_t i = 0; i < n_changes; i++) {
            cnnbn_philox(key, counter++, r);
            size_t at = r[0] % lengths[k], from = r[1] % lengths[k], n = r[2] % 24;
            if (r[3] % 4 == 0)
                copy[at] = (char)(copy[at] ^ (1 << (r[2] & 7)));
            else if (r[3] % 4 == 1)
                copy[at] = (char)r[2];
            else if (r[3] % 4 == 2)
                copy[at] = pieces[r[2] % (sizeof pieces - 1)];
            else if (at + n < lengths[k] && from + n < lengths[k])
                memmove(copy + at, copy + from, n);
        }
        (void)try_text(copy, lengths[k]);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_truncation), cmocka_unit_test(random_changes)};
    return cmocka_run_group_tests_name("model_hostile", tests, load_texts, free_texts);
}
