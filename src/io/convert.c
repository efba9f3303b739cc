#include "cnnbn/convert.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cnnbn/file.h"
#include "cnnbn/memory.h"
#include "convert_internal.h"

typedef enum file_kind {
    KIND_WEIGHTS,
    KIND_H5,
    KIND_KERAS,
    KIND_YAML,
    KIND_JSON,
    KIND_ONNX,
    KIND_BUILTIN,
    KIND_NONE
} file_kind;

/* The first that fits: .weights.h5 before .h5. */
static const struct {
    const char *ending;
    file_kind kind;
} endings[] = {{".weights.h5", KIND_WEIGHTS}, {".h5", KIND_H5},    {".hdf5", KIND_H5},   {".keras", KIND_KERAS},
               {".yaml", KIND_YAML},          {".yml", KIND_YAML}, {".json", KIND_JSON}, {".onnx", KIND_ONNX}};

static file_kind kind_of(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i].ending);
        if (length > n && strcasecmp(path + length - n, endings[i].ending) == 0) return endings[i].kind;
    }
    return KIND_NONE;
}

/* A name that is no file may be a built-in model's. */
static file_kind kind_of_input(const char *path)
{
    file_kind kind = kind_of(path);
    const char *const *names = cnnbn_model_builtin_names();
    for (int i = 0; kind == KIND_NONE && names[i]; i++)
        if (strcmp(names[i], path) == 0) kind = KIND_BUILTIN;
    return kind;
}

static int is_text(file_kind kind)
{
    return kind == KIND_YAML || kind == KIND_JSON || kind == KIND_BUILTIN;
}

static cnnbn_status check_kinds(const char *in, const char *out, const cnnbn_convert_options *options)
{
    file_kind from = kind_of_input(in), to = kind_of(out);
    if (from == KIND_NONE || to == KIND_NONE)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "%s: its ending says nothing; expected .h5, .keras, .weights.h5, .yaml, .json%s",
                           from == KIND_NONE ? in : out, from == KIND_NONE ? "" : " or .onnx");
    if (from == KIND_ONNX)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: ONNX files are written, not read; convert the model it came from",
                           in);
    if (is_text(from) && !is_text(to))
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "%s holds no weights, which %s wants: take a trained model, or --model %s and a file of "
                           "weights",
                           in, out, in);
    if (from == KIND_WEIGHTS && !options->model)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s holds weights only: say by --model whose they are (a name or a file)",
                           in);
    if (from != KIND_WEIGHTS && options->model)
        return cnnbn_error(CNNBN_ERR_OPTION, "--model %s: %s has a model of its own", options->model, in);
    if (options->fold_bn && to != KIND_ONNX)
        return cnnbn_error(CNNBN_ERR_OPTION, "--fold-bn is for .onnx files; %s is none", out);
    if (options->use_ema && (is_text(to) || to == KIND_H5))
        return cnnbn_error(
            CNNBN_ERR_OPTION, "--ema: %s %s", out,
            to == KIND_H5 ? "would keep the training state of other weights; cnnbn-info --export-weights OUT.h5 --ema "
                            "leaves it out"
                          : "holds no weights");
    if (cnnbn_same_file(in, out)) return cnnbn_error(CNNBN_ERR_OPTION, "%s would be written over itself", in);
    if (!options->overwrite && access(out, F_OK) == 0)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s is there already; --force replaces it", out);
    return CNNBN_OK;
}

static cnnbn_status read_model(const char *path, cnnbn_model **out)
{
    file_kind kind = kind_of(path);
    if (kind == KIND_H5 || kind == KIND_KERAS) return cnnbn_checkpoint_read_model(path, out);
    return cnnbn_model_load(path, NULL, out);
}

static cnnbn_status alloc_params(cnnbn_checkpoint *checkpoint)
{
    const cnnbn_model *model = checkpoint->model;
    void *block;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_params, sizeof(float *), "weights", &block));
    checkpoint->params = block;
    for (int i = 0; i < model->n_params; i++) {
        CNNBN_TRY(cnnbn_alloc_array(model->params[i].count, sizeof(float), "weights", &block));
        checkpoint->params[i] = block;
    }
    return CNNBN_OK;
}

/* A file of weights and the model that they are of. */
static cnnbn_status read_weights(const char *path, const char *model, cnnbn_checkpoint **out)
{
    void *block;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_checkpoint), "a checkpoint", &block));
    cnnbn_checkpoint *checkpoint = block;
    cnnbn_status status = read_model(model, &checkpoint->model);
    if (status == CNNBN_OK) status = alloc_params(checkpoint);
    if (status == CNNBN_OK) status = cnnbn_checkpoint_read_weights(path, checkpoint->model, checkpoint->params);
    if (status == CNNBN_OK)
        *out = checkpoint;
    else
        cnnbn_checkpoint_destroy(checkpoint);
    return status;
}

static cnnbn_status write_text(const char *path, file_kind kind, const cnnbn_model *model)
{
    char *text;
    CNNBN_TRY(kind == KIND_YAML ? cnnbn_model_to_yaml(model, &text) : cnnbn__convert_keras_json(model, &text));
    cnnbn_status status = cnnbn__convert_publish(path, text, strlen(text));
    cnnbn_free(text);
    return status;
}

static cnnbn_status write_checkpoint(const char *path, file_kind kind, const cnnbn_checkpoint *checkpoint,
                                     const cnnbn_convert_options *options)
{
    switch (kind) {
    case KIND_WEIGHTS:
        return cnnbn_keras_write_weights(path, checkpoint);
    case KIND_H5:
        return cnnbn_checkpoint_write(path, checkpoint);
    case KIND_KERAS:
        return cnnbn_keras_write(path, checkpoint);
    case KIND_ONNX:
        return cnnbn_onnx_write(path, checkpoint, options->fold_bn);
    default:
        return write_text(path, kind, checkpoint->model);
    }
}

cnnbn_status cnnbn_convert(const char *in, const char *out, const cnnbn_convert_options *options)
{
    file_kind from = kind_of_input(in), to = kind_of(out);
    CNNBN_TRY(check_kinds(in, out, options));
    if (is_text(to) && from != KIND_H5) {
        cnnbn_model *model;
        CNNBN_TRY(read_model(from == KIND_WEIGHTS ? options->model : in, &model));
        cnnbn_status status = write_text(out, to, model);
        cnnbn_model_destroy(model);
        return status;
    }
    cnnbn_checkpoint *checkpoint;
    CNNBN_TRY(from == KIND_WEIGHTS ? read_weights(in, options->model, &checkpoint)
                                   : cnnbn_checkpoint_read(in, &checkpoint));
    /* Keras' words cannot say all of a model of ours; a checkpoint keeps it as YAML too. */
    const cnnbn_meta *yaml = to == KIND_YAML ? cnnbn_checkpoint_meta(checkpoint, "model_yaml") : NULL;
    cnnbn_status status = options->use_ema ? cnnbn_checkpoint_use_ema(checkpoint, in) : CNNBN_OK;
    if (status != CNNBN_OK) {
        cnnbn_checkpoint_destroy(checkpoint);
        return status;
    }
    if (yaml && yaml->kind == CNNBN_META_TEXT)
        status = cnnbn__convert_publish(out, yaml->text, strlen(yaml->text));
    else
        status = write_checkpoint(out, to, checkpoint, options);
    cnnbn_checkpoint_destroy(checkpoint);
    return status;
}
