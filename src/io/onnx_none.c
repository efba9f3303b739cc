#include "cnnbn/convert.h"

cnnbn_status cnnbn_onnx_write(const char *path, const cnnbn_checkpoint *checkpoint, int fold_bn)
{
    (void)checkpoint, (void)fold_bn;
    return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                       "%s: this cnnbn was built without protobuf-c, which writes ONNX files (Debian: "
                       "libprotobuf-c-dev, protobuf-c-compiler)",
                       path);
}
