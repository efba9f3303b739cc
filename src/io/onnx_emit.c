#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "onnx_internal.h"

struct cnnbn__onnx_block {
    struct cnnbn__onnx_block *next;
    _Alignas(16) char data[];
};

void *cnnbn__onnx_grab(cnnbn__onnx_file *f, size_t bytes)
{
    void *block = NULL;
    if (f->status == CNNBN_OK)
        f->status = cnnbn_alloc(sizeof(struct cnnbn__onnx_block) + bytes, "an ONNX file", &block);
    if (!block) return NULL;
    struct cnnbn__onnx_block *b = block;
    b->next = f->blocks;
    f->blocks = b;
    return b->data;
}

void cnnbn__onnx_release(cnnbn__onnx_file *f)
{
    while (f->blocks) {
        struct cnnbn__onnx_block *next = f->blocks->next;
        cnnbn_free(f->blocks);
        f->blocks = next;
    }
}

char *cnnbn__onnx_text(cnnbn__onnx_file *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = cnnbn__onnx_grab(f, (size_t)(n > 0 ? n : 0) + 1);
    if (!text) return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)(n > 0 ? n : 0) + 1, format, args);
    va_end(args);
    return text;
}

void cnnbn__onnx_append(cnnbn__onnx_file *f, cnnbn__onnx_list *list, void *item)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        void **bigger = cnnbn__onnx_grab(f, room * sizeof(void *));
        if (!bigger) return;
        if (list->n) memcpy(bigger, list->items, list->n * sizeof(void *));
        list->items = bigger;
        list->room = room;
    }
    list->items[list->n++] = item;
}

Onnx__NodeProto *cnnbn__onnx_node(cnnbn__onnx_file *f, const char *type, char *output, int n, char *const *inputs)
{
    Onnx__NodeProto *node = cnnbn__onnx_grab(f, sizeof *node);
    char **names = cnnbn__onnx_grab(f, ((size_t)n + 1) * sizeof(char *));
    char *type_text = cnnbn__onnx_text(f, "%s", type);
    Onnx__AttributeProto **attributes = cnnbn__onnx_grab(f, 8 * sizeof *attributes); /* none has more */
    if (!node || !names || !type_text || !attributes) return NULL;
    onnx__node_proto__init(node);
    for (int i = 0; i < n; i++) names[i] = inputs[i];
    names[n] = output;
    node->n_input = (size_t)n;
    node->input = names;
    node->n_output = 1;
    node->output = names + n;
    node->name = output;
    node->op_type = type_text;
    node->attribute = attributes;
    cnnbn__onnx_append(f, &f->nodes, node);
    return node;
}

static Onnx__AttributeProto *attribute(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name,
                                       Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = cnnbn__onnx_grab(f, sizeof *a);
    char *text = cnnbn__onnx_text(f, "%s", name);
    if (!a || !text || !node) return NULL;
    onnx__attribute_proto__init(a);
    a->name = text;
    a->has_type = 1;
    a->type = type;
    node->attribute[node->n_attribute++] = a;
    return a;
}

void cnnbn__onnx_int(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *a = attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a) return;
    a->has_i = 1;
    a->i = value;
}

void cnnbn__onnx_word(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, const char *value)
{
    char *copy = cnnbn__onnx_text(f, "%s", value);
    Onnx__AttributeProto *a = attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!a || !copy) return;
    a->has_s = 1;
    a->s = (ProtobufCBinaryData){strlen(copy), (uint8_t *)copy};
}

void cnnbn__onnx_ints(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, int n, const int64_t *values)
{
    int64_t *copy = cnnbn__onnx_grab(f, (size_t)n * sizeof *copy);
    Onnx__AttributeProto *a = attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!a || !copy) return;
    memcpy(copy, values, (size_t)n * sizeof *copy);
    a->n_ints = (size_t)n;
    a->ints = copy;
}

void cnnbn__onnx_float(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, float value)
{
    Onnx__AttributeProto *a = attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a) return;
    a->has_f = 1;
    a->f = value;
}

/* raw_data is little-endian; so are the machines that this is built for. */
static char *initializer(cnnbn__onnx_file *f, char *name, int type, int rank, const int64_t *dim, const void *data,
                         size_t elem_bytes)
{
    size_t bytes = elem_bytes;
    for (int d = 0; d < rank; d++) bytes *= (size_t)dim[d];
    Onnx__TensorProto *tensor = cnnbn__onnx_grab(f, sizeof *tensor);
    int64_t *dims = cnnbn__onnx_grab(f, ((size_t)rank + 1) * sizeof *dims);
    void *raw = cnnbn__onnx_grab(f, bytes);
    if (!tensor || !dims || !raw) return name;
    onnx__tensor_proto__init(tensor);
    if (rank) memcpy(dims, dim, (size_t)rank * sizeof *dims);
    memcpy(raw, data, bytes);
    tensor->name = name;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->n_dims = (size_t)rank;
    tensor->dims = dims;
    tensor->has_raw_data = 1;
    tensor->raw_data = (ProtobufCBinaryData){bytes, raw};
    f->weight_bytes += bytes;
    cnnbn__onnx_append(f, &f->initializers, tensor);
    return name;
}

char *cnnbn__onnx_floats(cnnbn__onnx_file *f, char *name, int rank, const int64_t *dim, const float *data)
{
    return initializer(f, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dim, data, sizeof(float));
}

char *cnnbn__onnx_scalar(cnnbn__onnx_file *f, char *name, double value)
{
    float rounded = (float)value;
    return cnnbn__onnx_floats(f, name, 0, NULL, &rounded);
}

char *cnnbn__onnx_shape(cnnbn__onnx_file *f, char *name, int n, const int64_t *values)
{
    const int64_t length = n;
    return initializer(f, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &length, values, sizeof(int64_t));
}
