#include <stdio.h>
#include <string.h>

#include "cnnbn/cnnbn_version.h"
#include "cnnbn/convert.h"
#include "cnnbn/memory.h"
#include "convert_internal.h"
#include "onnx_internal.h"

enum { IR_VERSION = 8, OPSET = 17 }; /* a pair: onnx 1.12, 2022 */

/* protobuf's own limit on a message. */
static const size_t message_max = (size_t)2000 << 20;

static Onnx__ValueInfoProto *value_info(cnnbn__onnx_file *f, char *name, cnnbn_shape shape)
{
    int rank = shape.rank + 1;
    Onnx__ValueInfoProto *info = cnnbn__onnx_grab(f, sizeof *info);
    Onnx__TypeProto *type = cnnbn__onnx_grab(f, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = cnnbn__onnx_grab(f, sizeof *tensor);
    Onnx__TensorShapeProto *dims = cnnbn__onnx_grab(f, sizeof *dims);
    Onnx__TensorShapeProto__Dimension **list = cnnbn__onnx_grab(f, (size_t)rank * sizeof *list),
                                      *dim = cnnbn__onnx_grab(f, (size_t)rank * sizeof *dim);
    char *batch = cnnbn__onnx_text(f, "batch");
    if (!info || !type || !tensor || !dims || !list || !dim || !batch) return NULL;
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(dims);
    for (int d = 0; d < rank; d++) {
        onnx__tensor_shape_proto__dimension__init(&dim[d]);
        list[d] = &dim[d];
        dim[d].value_case = d ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                              : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        if (d)
            dim[d].dim_value = shape.dim[d - 1];
        else
            dim[d].dim_param = batch;
    }
    dims->n_dim = (size_t)rank;
    dims->dim = list;
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = dims;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->name = name;
    info->type = type;
    return info;
}

/* ---------------------------------------------------------------- what the numbers mean */

static void add_fact(cnnbn__onnx_file *f, cnnbn__onnx_list *facts, const char *key, char *value)
{
    Onnx__StringStringEntryProto *entry = cnnbn__onnx_grab(f, sizeof *entry);
    char *name = cnnbn__onnx_text(f, "%s", key);
    if (!entry || !name || !value) return;
    onnx__string_string_entry_proto__init(entry);
    entry->key = name;
    entry->value = value;
    cnnbn__onnx_append(f, facts, entry);
}

static const char *meta_text(const cnnbn_checkpoint *checkpoint, const char *key)
{
    const cnnbn_meta *meta = cnnbn_checkpoint_meta(checkpoint, key);
    return meta && meta->kind == CNNBN_META_TEXT && meta->text && meta->text[0] ? meta->text : NULL;
}

/* Lines, or words, as a JSON list; `quoted` for texts. */
static char *json_list(cnnbn__onnx_file *f, const char *text, const char *between, int quoted)
{
    char *list = cnnbn__onnx_grab(f, 6 * strlen(text) + 8), *to = list;
    if (!list) return NULL;
    *to++ = '[';
    for (const char *at = text + strspn(text, between); *at; at += strspn(at, between)) {
        size_t n = strcspn(at, between);
        if (to > list + 1) *to++ = ',', *to++ = ' ';
        if (quoted) *to++ = '"';
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)at[i];
            if (c < ' ') {
                to += sprintf(to, "\\u%04x", c);
                continue;
            }
            if (c == '"' || c == '\\') *to++ = '\\';
            *to++ = (char)c;
        }
        if (quoted) *to++ = '"';
        at += n;
    }
    *to++ = ']';
    return list;
}

/* value = (raw * scale - mean) / std, channel by channel; only a checkpoint of ours says it. */
static void add_facts(cnnbn__onnx_file *f, const cnnbn_checkpoint *checkpoint, cnnbn__onnx_list *facts)
{
    const char *names = meta_text(checkpoint, "class_names"), *mean = meta_text(checkpoint, "input_mean"),
               *std = meta_text(checkpoint, "input_std");
    const cnnbn_meta *is_u8 = cnnbn_checkpoint_meta(checkpoint, "input_is_u8");
    static const char *const layouts[] = {"NC", "NLC", "NHWC"};
    if (names) add_fact(f, facts, "class_names", json_list(f, names, "\n", 1));
    add_fact(f, facts, "input_layout", cnnbn__onnx_text(f, "%s", layouts[checkpoint->model->input.rank - 1]));
    if (!is_u8 || is_u8->kind != CNNBN_META_INT) return;
    char *mean_list = mean ? json_list(f, mean, " ", 0) : NULL, *std_list = std ? json_list(f, std, " ", 0) : NULL;
    add_fact(f, facts, "preprocessing",
             cnnbn__onnx_text(
                 f, "{\"formula\": \"(raw * scale - mean) / std\", \"scale\": %s, \"mean\": %s, \"std\": %s}",
                 is_u8->i ? "0.00392156862745098" : "1", mean_list ? mean_list : "0", std_list ? std_list : "1"));
}

/* ---------------------------------------------------------------- the file */

static cnnbn_status pack(cnnbn__onnx_file *f, const char *path, Onnx__ModelProto *model)
{
    void *bytes;
    if (f->weight_bytes > message_max)
        return cnnbn_error(CNNBN_ERR_MODEL, "%s: %.1f MB of weights; an ONNX file holds at most 2000 MB", path,
                           (double)f->weight_bytes / (1 << 20));
    size_t n = onnx__model_proto__get_packed_size(model);
    CNNBN_TRY(cnnbn_alloc(n, "an ONNX file", &bytes));
    (void)onnx__model_proto__pack(model, bytes);
    cnnbn_status status = cnnbn__convert_publish(path, bytes, n);
    cnnbn_free(bytes);
    return status;
}

static cnnbn_status write_model(cnnbn__onnx_file *f, const char *path, const cnnbn_checkpoint *checkpoint)
{
    const cnnbn__onnx_graph *g = f->graph;
    Onnx__ModelProto *model = cnnbn__onnx_grab(f, sizeof *model);
    Onnx__GraphProto *graph = cnnbn__onnx_grab(f, sizeof *graph);
    Onnx__OperatorSetIdProto *opset = cnnbn__onnx_grab(f, sizeof *opset),
                             **opsets = cnnbn__onnx_grab(f, sizeof *opsets);
    Onnx__ValueInfoProto **ends = cnnbn__onnx_grab(f, 2 * sizeof *ends);
    cnnbn__onnx_list facts = {0};
    char *name = cnnbn__onnx_text(f, "%s", g->model->name), *producer = cnnbn__onnx_text(f, "cnnbn"),
         *version = cnnbn__onnx_text(f, "%s", CNNBN_VERSION), *domain = cnnbn__onnx_text(f, "%s", "");
    CNNBN_TRY(f->status);
    onnx__model_proto__init(model);
    onnx__graph_proto__init(graph);
    onnx__operator_set_id_proto__init(opset);
    ends[0] = value_info(f, f->input, g->ops[0].shape);
    ends[1] = value_info(f, f->output, g->ops[g->output].shape);
    add_facts(f, checkpoint, &facts);
    CNNBN_TRY(f->status);
    opset->domain = domain;
    opset->has_version = 1;
    opset->version = OPSET;
    opsets[0] = opset;
    graph->name = name;
    graph->n_node = f->nodes.n;
    graph->node = (Onnx__NodeProto **)(void *)f->nodes.items;
    graph->n_initializer = f->initializers.n;
    graph->initializer = (Onnx__TensorProto **)(void *)f->initializers.items;
    graph->n_input = graph->n_output = 1;
    graph->input = ends;
    graph->output = ends + 1;
    model->has_ir_version = 1;
    model->ir_version = IR_VERSION;
    model->n_opset_import = 1;
    model->opset_import = opsets;
    model->producer_name = producer;
    model->producer_version = version;
    model->graph = graph;
    model->n_metadata_props = facts.n;
    model->metadata_props = (Onnx__StringStringEntryProto **)(void *)facts.items;
    return pack(f, path, model);
}

static void emit_all(cnnbn__onnx_file *f)
{
    const cnnbn__onnx_graph *g = f->graph;
    const cnnbn_model *model = g->model;
    int last = model->calls[model->output].layer;
    f->names = cnnbn__onnx_grab(f, 2 * (size_t)g->n * sizeof(char *));
    f->shared = cnnbn__onnx_grab(f, ((size_t)model->n_params + 1) * sizeof(char *));
    f->input = cnnbn__onnx_text(f, "%s", model->input_name);
    f->output = cnnbn__onnx_text(f, "%s", last < 0 ? "output" : model->layers[last].name);
    for (int op = 0; op < g->n && f->status == CNNBN_OK; op++) cnnbn__onnx_emit(f, op);
    if (f->status != CNNBN_OK) return;
    char *made = cnnbn__onnx_value(f, g->output, 0);
    if (made && f->output && strcmp(made, f->output) != 0) (void)cnnbn__onnx_node(f, "Identity", f->output, 1, &made);
}

cnnbn_status cnnbn_onnx_write(const char *path, const cnnbn_checkpoint *checkpoint, int fold_bn)
{
    cnnbn__onnx_graph graph;
    cnnbn_status status = cnnbn__onnx_graph_build(checkpoint->model, fold_bn, &graph);
    if (status != CNNBN_OK) return cnnbn_error_context(status, "%s", path);
    cnnbn__onnx_file f = {.graph = &graph, .params = checkpoint->params};
    graph.output = cnnbn__onnx_graph_value(&graph, graph.output);
    emit_all(&f);
    status = f.status;
    if (status == CNNBN_OK) status = write_model(&f, path, checkpoint);
    cnnbn__onnx_release(&f);
    cnnbn__onnx_graph_release(&graph);
    return status;
}
