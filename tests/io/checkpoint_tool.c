/* For the fault tests: one checkpoint written, or a folder looked through, by a process that may be killed on the way.
 *
 * checkpoint_tool write PATH SEED [MODEL]   a checkpoint whose weights come of SEED
 * checkpoint_tool newest DIR                the step of the newest good one, or "none"
 * checkpoint_tool digest FILE               digest of its state
 * checkpoint_tool dataset PATH              a dataset of 2,000 random images
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_made.h"
#include "cnnbn/dataset.h"
#include "cnnbn/rng.h"

static int failed(cnnbn_status status)
{
    if (status == CNNBN_OK) return 0;
    (void)fprintf(stderr, "checkpoint_tool: %s\n", cnnbn_error_message());
    return cnnbn_status_exit_code(status);
}

static int write_one(const char *path, uint64_t seed, const char *model)
{
    made_checkpoint made;
    made_create(&made, model, seed);
    int code = failed(cnnbn_checkpoint_write(path, &made.checkpoint));
    made_destroy(&made);
    return code;
}

static int newest(const char *dir)
{
    char path[PATH_MAX];
    cnnbn_checkpoint *checkpoint;
    int code = failed(cnnbn_checkpoint_newest(dir, &checkpoint, path, sizeof path));
    if (code) return code;
    const cnnbn_meta *step = checkpoint ? cnnbn_checkpoint_meta(checkpoint, "step") : NULL;
    if (step)
        (void)printf("%lld\n", (long long)step->i);
    else
        (void)printf("none\n");
    cnnbn_checkpoint_destroy(checkpoint);
    return 0;
}

static int digest(const char *path)
{
    cnnbn_checkpoint *checkpoint;
    int code = failed(cnnbn_checkpoint_read(path, &checkpoint));
    if (code) return code;
    (void)printf("%s\n", checkpoint->digest);
    cnnbn_checkpoint_destroy(checkpoint);
    return 0;
}

static cnnbn_status write_images(cnnbn_dataset_writer *writer)
{
    enum { PART = 100, IMAGE = 28 * 28 };
    static uint8_t images[PART * IMAGE];
    static const int32_t labels[PART];
    for (uint64_t i = 0; i < PART * IMAGE; i++) images[i] = (uint8_t)cnnbn_rng_below(7, i, 256);
    for (int part = 0; part < 2000 / PART; part++)
        CNNBN_TRY(cnnbn_dataset_writer_append(writer, CNNBN_TRAIN, PART, images, labels));
    return CNNBN_OK;
}

static cnnbn_status write_dataset(const char *path)
{
    static const cnnbn_dataset_spec spec = {.n = {2000, 0}, .shape = {3, {28, 28, 1}}, .n_classes = 10, .gzip = 1};
    cnnbn_dataset_writer *writer;
    CNNBN_TRY(cnnbn_dataset_writer_create(path, &spec, &writer));
    cnnbn_status status = write_images(writer);
    if (status == CNNBN_OK) return cnnbn_dataset_writer_end(writer);
    cnnbn_dataset_writer_abort(writer);
    return status;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "write") == 0)
        return write_one(argv[2], strtoull(argv[3], NULL, 10), argc > 4 ? argv[4] : MADE_MODEL);
    if (argc == 3 && strcmp(argv[1], "newest") == 0) return newest(argv[2]);
    if (argc == 3 && strcmp(argv[1], "digest") == 0) return digest(argv[2]);
    if (argc == 3 && strcmp(argv[1], "dataset") == 0) return failed(write_dataset(argv[2]));
    (void)fprintf(stderr, "usage: checkpoint_tool write PATH SEED [MODEL] | newest DIR | digest FILE | dataset PATH\n");
    return 1;
}
