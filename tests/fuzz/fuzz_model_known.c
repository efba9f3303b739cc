#include "fuzz_model_known.h"

#include <stdlib.h>

#include "checkpoint_made.h"
#include "fuzz_file.h"

void fuzz_read_weights(const char *path)
{
    static made_checkpoint made;
    if (!made.checkpoint.model) made_create(&made, MADE_MODEL, 1);
    fuzz_check(cnnbn_checkpoint_read_weights(path, made.checkpoint.model, made.checkpoint.params) != CNNBN_OK, NULL);
}
