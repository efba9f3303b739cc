/* HDF5 files: as a checkpoint or a Keras model, as weights for a model known, and as a dataset. */
#include "cnnbn/checkpoint.h"
#include "cnnbn/dataset.h"
#include "cnnbn/memory.h"
#include "fuzz_file.h"
#include "fuzz_model_known.h"

static void as_dataset(const char *path)
{
    cnnbn_dataset *dataset;
    void *images;
    int failed = cnnbn_dataset_open(path, NULL, &dataset) != CNNBN_OK;
    fuzz_check(failed, dataset);
    if (failed) return;
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    size_t count = info->n[CNNBN_TRAIN] < 64 ? info->n[CNNBN_TRAIN] : 64;
    if (cnnbn_alloc_array(count, info->sample_bytes, "images", &images) == CNNBN_OK) {
        fuzz_check(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 0, count, images) != CNNBN_OK, NULL);
        cnnbn_free(images);
    }
    cnnbn_dataset_close(dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *path = fuzz_file(0, data, bytes);
    cnnbn_checkpoint *checkpoint;
    fuzz_check(cnnbn_checkpoint_read(path, &checkpoint) != CNNBN_OK, checkpoint);
    cnnbn_checkpoint_destroy(checkpoint);
    fuzz_read_weights(path);
    as_dataset(path);
    return 0;
}
