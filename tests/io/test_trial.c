/* io: files that nothing vouches for are tried in a child process first; none of them ends this one. CNNBN_TEST_LONG: as many
 * changes as docs/reliability.md states. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "checkpoint_made.h"
#include "cnnbn/dataset.h"
#include "cnnbn/rng.h"
#include "scratch.h"
#include "trial.h"

static const char *tried;
static int touched;

static cnnbn_status succeed(void *context)
{
    (void)context;
    touched = 1;
    return CNNBN_OK;
}

static cnnbn_status complain(void *context)
{
    (void)context;
    return cnnbn_error(CNNBN_ERR_MODEL, "what the child says");
}

static cnnbn_status crash(void *context)
{
    (void)signal(*(int *)context, SIG_DFL);
    (void)raise(*(int *)context);
    return CNNBN_OK;
}

static cnnbn_status leave(void *context)
{
    (void)context;
    _exit(0); /* no report: as good as dead */
}

static cnnbn_status devour(void *context)
{
    (void)context;
    for (size_t n = 0; n < 64; n++)
        if (!malloc((size_t)1 << 30)) return cnnbn_error(CNNBN_ERR_MEMORY, "no memory after %zu GB", n);
    return CNNBN_OK;
}

static cnnbn_status shout(void *context)
{
    (void)context;
    (void)fprintf(stderr, "this is not to be seen\n");
    (void)fflush(stderr);
    return CNNBN_OK;
}

static void a_trial_reports_what_happened(void **state)
{
    (void)state;
    static const int signals[] = {SIGSEGV, SIGABRT, SIGKILL, SIGXCPU};
    tried = scratch_path("file");
    scratch_write(tried, "x", 1);
    check_ok(cnnbn__trial(tried, CNNBN_ERR_DATA, succeed, NULL));
    assert_int_equal(touched, 0); /* it ran in another process */
    check_status(cnnbn__trial(tried, CNNBN_ERR_DATA, complain, NULL), CNNBN_ERR_MODEL, "what the child says");
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int which = signals[i];
        check_status(cnnbn__trial(tried, CNNBN_ERR_DATA, crash, &which), CNNBN_ERR_DATA, "damaged or hostile");
    }
    assert_non_null(strstr(cnnbn_error_message(), "processor time"));
    check_status(cnnbn__trial(tried, CNNBN_ERR_CHECKPOINT, leave, NULL), CNNBN_ERR_CHECKPOINT, "did not survive");
    assert_int_not_equal(cnnbn__trial(tried, CNNBN_ERR_DATA, devour, NULL), CNNBN_OK);
    check_ok(cnnbn__trial(tried, CNNBN_ERR_DATA, shout, NULL));
    assert_int_equal(setenv("CNNBN_TRUST_FILES", "1", 1), 0);
    check_ok(cnnbn__trial(tried, CNNBN_ERR_DATA, complain, NULL));
    assert_int_equal(unsetenv("CNNBN_TRUST_FILES"), 0);
}

typedef struct tally {
    int refused, same, died;
} tally;

static void count(tally *t, cnnbn_status status, cnnbn_status bad)
{
    if (status == CNNBN_OK) {
        t->same++;
        return;
    }
    assert_true(status == bad || status == CNNBN_ERR_MODEL || status == CNNBN_ERR_MEMORY);
    assert_true(cnnbn_error_message()[0] != '\0');
    t->refused++;
    if (strstr(cnnbn_error_message(), "did not survive")) t->died++;
}

static void read_checkpoint(const char *path, const char *digest, tally *t)
{
    cnnbn_checkpoint *checkpoint;
    cnnbn_status status = cnnbn_checkpoint_read(path, &checkpoint);
    if (status == CNNBN_OK) assert_string_equal(checkpoint->digest, digest);
    cnnbn_checkpoint_destroy(checkpoint);
    count(t, status, CNNBN_ERR_CHECKPOINT);
}

static void read_dataset(const char *path, const char *digest, tally *t)
{
    (void)digest;
    cnnbn_dataset *dataset;
    cnnbn_status status = cnnbn_dataset_open(path, NULL, &dataset);
    cnnbn_dataset_close(dataset);
    count(t, status, CNNBN_ERR_DATA);
}

/* One bit at a time, in `bytes` bytes; in every eighth file a run of 1 to 16 bytes is random instead. */
static void damage(const char *what, const unsigned char *good, size_t bytes, uint64_t n, uint64_t seed,
                   const char *digest, void (*read)(const char *, const char *, tally *))
{
    tally flips = {0}, runs = {0};
    char path[256];
    (void)snprintf(path, sizeof path, "%s", scratch_path("damaged.h5"));
    unsigned char *data = malloc(bytes);
    assert_non_null(data);
    uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_TEST, 0, 0, 0), at_random = 0;
    for (uint64_t i = 0; i < n + n / 8; i++) {
        memcpy(data, good, bytes);
        size_t at = cnnbn_rng_below(key, at_random++, bytes);
        if (i < n) {
            data[at] ^= (unsigned char)(1U << cnnbn_rng_below(key, at_random++, 8));
        } else {
            size_t length = 1 + cnnbn_rng_below(key, at_random++, 16);
            for (size_t k = at; k < at + length && k < bytes; k++)
                data[k] = (unsigned char)cnnbn_rng_below(key, at_random++, 256);
        }
        scratch_write(path, data, bytes);
        read(path, digest, i < n ? &flips : &runs);
    }
    free(data);
    print_message("%s: %llu bits flipped: %d refused (%d of them where HDF5 died in the trial), %d read as before; "
                  "%llu runs of bytes: %d refused (%d), %d read\n",
                  what, (unsigned long long)n, flips.refused, flips.died, flips.same, (unsigned long long)(n / 8),
                  runs.refused, runs.died, runs.same);
    assert_true(flips.refused > 0 && flips.same > 0);
}

static uint64_t rounds(void)
{
    return getenv("CNNBN_TEST_LONG") ? 2000 : 200;
}

static void unsealed_checkpoints_do_not_end_the_process(void **state)
{
    (void)state;
    enum { SEAL_BYTES = 512 };
    made_checkpoint made;
    char digest[CNNBN_DIGEST_TEXT];
    size_t bytes;
    made_create(&made, MADE_MODEL, 5);
    check_ok(cnnbn_checkpoint_state_digest(&made.checkpoint, digest));
    check_ok(cnnbn_checkpoint_write(scratch_path("good.h5"), &made.checkpoint));
    made_destroy(&made);
    unsigned char *data = scratch_read(scratch_path("good.h5"), &bytes);
    damage("checkpoint without its seal", data + SEAL_BYTES, bytes - SEAL_BYTES, rounds(), 21, digest, read_checkpoint);
    free(data);
}

static void datasets_do_not_end_the_process(void **state)
{
    (void)state;
    enum { N = 6, SIDE = 5 };
    static const int32_t labels[N] = {0, 1, 0, 1, 1, 0};
    static const uint8_t images[N * SIDE * SIDE];
    const cnnbn_dataset_spec spec = {.n = {N, N}, .shape = {3, {SIDE, SIDE, 1}}, .n_classes = 2, .gzip = 1};
    cnnbn_dataset_writer *writer;
    size_t bytes;
    check_ok(cnnbn_dataset_writer_create(scratch_path("data.h5"), &spec, &writer));
    for (int s = 0; s < 2; s++) check_ok(cnnbn_dataset_writer_append(writer, (cnnbn_split)s, N, images, labels));
    check_ok(cnnbn_dataset_writer_end(writer));
    unsigned char *data = scratch_read(scratch_path("data.h5"), &bytes);
    damage("dataset", data, bytes, rounds(), 22, "", read_dataset);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trial_reports_what_happened),
        cmocka_unit_test(unsealed_checkpoints_do_not_end_the_process),
        cmocka_unit_test(datasets_do_not_end_the_process),
    };
    return cmocka_run_group_tests_name("trial", tests, scratch_create, scratch_remove);
}
