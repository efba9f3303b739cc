/* Models and weights in other projects' files: Keras 3's `.keras` and `.weights.h5`, and ONNX. Reading is behind checkpoint.h: its
 * functions take these files of Keras wherever they take an .h5.
 */
#ifndef CNNBN_CONVERT_H
#define CNNBN_CONVERT_H

#include "cnnbn/checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes a `.keras` file (zip): the model, without defaults, so that every Keras 3 opens it, and its weights. Slots, meta and
 * training_config have no place there. The same model and weights make the same bytes. Written to PATH.tmp and renamed.
 * Local. Errors: CNNBN_ERR_IO; CNNBN_ERR_CHECKPOINT when this build has no libzip. */
CNNBN_API cnnbn_status cnnbn_keras_write(const char *path, const cnnbn_checkpoint *checkpoint) CNNBN_MUST_CHECK;

/* Writes Keras 3's `.weights.h5`: model.load_weights("x.weights.h5") reads it into the same model. Else as cnnbn_keras_write. */
CNNBN_API cnnbn_status cnnbn_keras_write_weights(const char *path, const cnnbn_checkpoint *checkpoint) CNNBN_MUST_CHECK;

/* Writes the model, for inference, as ONNX (opset 17, IR version 8). The graph's input has the model's input's name and its shape,
 * (batch, height, width, channels) with any batch size: the arrays that Keras takes. The output has the name of the model's last
 * layer. metadata_props: class_names, input_layout, preprocessing, as far as the checkpoint's meta has them.
 * fold_bn: a batch normalisation right behind a convolution or dense layer becomes part of its weights.
 * Errors: CNNBN_ERR_MODEL, naming a layer that ONNX has no words for here; CNNBN_ERR_CHECKPOINT when this build has no
 * protobuf-c; CNNBN_ERR_IO. Local. */
CNNBN_API cnnbn_status cnnbn_onnx_write(const char *path, const cnnbn_checkpoint *checkpoint,
                                        int fold_bn) CNNBN_MUST_CHECK;

typedef struct cnnbn_convert_options {
    const char *model; /* where the input has weights only: a built-in model's name or a file with a model; or NULL */
    int fold_bn;       /* ONNX only */
    int use_ema;       /* the averages that a checkpoint holds instead of its weights; not to .h5 and texts */
    int overwrite;     /* else an output that is there is refused */
} cnnbn_convert_options;

/* Converts a file into another by their endings: .h5/.hdf5, .keras, .weights.h5, .yaml/.yml, .json, .onnx (output only). A text
 * holds no weights, so it converts to texts only. Local. CNNBN_ERR_OPTION names endings that cannot be had. */
CNNBN_API cnnbn_status cnnbn_convert(const char *in, const char *out,
                                     const cnnbn_convert_options *options) CNNBN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
