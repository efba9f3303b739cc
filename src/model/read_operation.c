/* Operations that stand in a Keras graph without a layer: x + y, 2 * x, -x. Keras 3 writes a node with the operation's class, Keras 2
 * one of the class TFOpLambda with the function of TensorFlow. With a number in the place of a tensor they are a Rescaling, between
 * tensors the layer of that name: that is how the model is written, and what every Keras reads. */
#include <math.h>
#include <string.h>

#include "layer_types.h"
#include "read_keras.h"

typedef enum operation_kind { ADD, SUBTRACT, MULTIPLY, DIVIDE, NEGATIVE, MAXIMUM, MINIMUM } operation_kind;

static const struct {
    const char *name; /* the class, or the function without tf.math or __operators__ */
    operation_kind kind;
    int of_keras2;
} operations[] = {
    {"Add", ADD, 0},       {"Subtract", SUBTRACT, 0}, {"Multiply", MULTIPLY, 0}, {"TrueDivide", DIVIDE, 0},
    {"Divide", DIVIDE, 0}, {"Negative", NEGATIVE, 0}, {"Maximum", MAXIMUM, 0},   {"Minimum", MINIMUM, 0},
    {"add", ADD, 1},       {"subtract", SUBTRACT, 1}, {"multiply", MULTIPLY, 1}, {"truediv", DIVIDE, 1},
    {"divide", DIVIDE, 1}, {"negative", NEGATIVE, 1}, {"maximum", MAXIMUM, 1},   {"minimum", MINIMUM, 1},
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };

static const cnnbn_layer_type *const types[] = {
    [ADD] = &cnnbn__layer_add,         [SUBTRACT] = &cnnbn__layer_subtract, [MULTIPLY] = &cnnbn__layer_multiply,
    [MAXIMUM] = &cnnbn__layer_maximum, [MINIMUM] = &cnnbn__layer_minimum,
};

/* "math.add" and "__operators__.add" are one function; a name without either is none of TensorFlow's that are known here. */
static const char *short_name(const char *function)
{
    static const char *const modules[] = {"math.", "__operators__."};
    for (int k = 0; k < 2; k++) {
        size_t n = strlen(modules[k]);
        if (function && strncmp(function, modules[k], n) == 0) return function + n;
    }
    return NULL;
}

/* -1: none that is known. */
static int find(const char *name, int of_keras2)
{
    for (int k = 0; k < N_OPERATIONS; k++)
        if (name && operations[k].of_keras2 == of_keras2 && strcmp(operations[k].name, name) == 0) return k;
    return -1;
}

/* In an .h5, Keras 3 leaves the module out, and does not open the file itself. A layer of the same name is called on a list. */
int cnnbn__is_operation(const cnnbn__node *layer)
{
    static const char in_keras3[] = "keras.src.ops.";
    const char *class_name = cnnbn__keras_text(layer, "class_name"), *module = cnnbn__keras_text(layer, "module");
    if (!class_name) return 0;
    if (strcmp(class_name, "TFOpLambda") == 0) return 1;
    if (find(class_name, 0) < 0) return 0;
    if (module) return strncmp(module, in_keras3, sizeof in_keras3 - 1) == 0;
    const cnnbn__node *call = cnnbn__node_at(cnnbn__node_get(layer, "inbound_nodes"), 0);
    const cnnbn__node *first = call ? cnnbn__node_at(cnnbn__node_get(call, "args"), 0) : NULL;
    return first && first->kind != CNNBN__LIST;
}

/* The operand at place k of a call: a tensor, a number, or NULL. Keras 2: [layer, node, tensor, {y: ..}], or
 * ["_CONSTANT_VALUE", -1, number, {y: ..}]. */
static const cnnbn__node *operand(const cnnbn__node *call, int k)
{
    if (call->kind == CNNBN__MAP) {
        const cnnbn__node *of_args = cnnbn__node_at(cnnbn__node_get(call, "args"), k);
        const cnnbn__node *history = cnnbn__node_get(cnnbn__node_get(of_args, "config"), "keras_history");
        return history ? history : of_args;
    }
    if (k == 1) return cnnbn__node_get(cnnbn__node_at(call, 3), "y");
    if (k) return NULL;
    return cnnbn__node_is(cnnbn__node_at(call, 0), "_CONSTANT_VALUE") ? cnnbn__node_at(call, 2) : call;
}

const cnnbn__node *cnnbn__operation_tensor(const cnnbn__node *call, int k)
{
    const cnnbn__node *found;
    for (int i = 0; (found = operand(call, i)); i++)
        if (found->kind == CNNBN__LIST && k-- == 0) return found;
    return NULL;
}

/* Keras 2 has the second operand among the arguments by name. */
static cnnbn_status check_call(const cnnbn__node *call)
{
    char shown[CNNBN__SHOW_MAX];
    if (call->kind == CNNBN__MAP) return CNNBN_OK; /* looked at as every layer's */
    const cnnbn__node *named = call->kind == CNNBN__LIST ? cnnbn__node_at(call, 3) : NULL;
    for (const cnnbn__node *n = named && named->kind == CNNBN__MAP ? named->first : NULL; n; n = n->next)
        if (strcmp(n->key, "y") != 0 && !(strcmp(n->key, "name") == 0 && cnnbn__node_is_null(n)))
            return cnnbn_error(CNNBN_ERR_MODEL, "is called with %.60s = %s, which is not supported", n->key,
                               cnnbn__node_show(n, shown, sizeof shown));
    return CNNBN_OK;
}

/* x*scale + offset of an operation on a tensor and a number, which stands at `place`. */
static cnnbn_status rescale(operation_kind kind, int place, double number, double *scale, double *offset)
{
    *scale = 1;
    *offset = 0;
    switch (kind) {
    case ADD:
        *offset = number;
        return CNNBN_OK;
    case SUBTRACT:
        *scale = place ? 1 : -1;
        *offset = place ? 0 - number : number;
        return CNNBN_OK;
    case MULTIPLY:
        *scale = number;
        return CNNBN_OK;
    case DIVIDE:
        *scale = 1 / number;
        if (place && isfinite(*scale)) return CNNBN_OK;
        return cnnbn_error(CNNBN_ERR_MODEL,
                           place ? "divides by %g; expected a number other than zero"
                                 : "divides %g by a tensor, which is not supported; a tensor can be "
                                   "divided by a number",
                           number);
    case NEGATIVE:
        *scale = -1;
        return CNNBN_OK;
    default:
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "takes the %s of a tensor and %g; tensors of layers are expected: ReLU with its max_value "
                           "and threshold cuts at numbers",
                           kind == MAXIMUM ? "maximum" : "minimum", number);
    }
}

static cnnbn_status read_numbers(operation_kind kind, const cnnbn__node *calls, cnnbn__operation *out)
{
    const cnnbn__node *call = cnnbn__node_at(calls, 0);
    char shown[CNNBN__SHOW_MAX];
    int n_operands = kind == NEGATIVE ? 1 : 2, place = -1;
    double number = 0;
    if (!call) return cnnbn_error(CNNBN_ERR_MODEL, "has no inbound_nodes: nothing leads to it");
    CNNBN_TRY(check_call(call));
    for (int k = 0; k < n_operands; k++) {
        const cnnbn__node *of = operand(call, k);
        if (of && of->kind == CNNBN__LIST) continue;
        if (!of || !cnnbn__node_to_float(of, &number) || !isfinite(number) || place >= 0 || kind == NEGATIVE)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "is called on %s; expected %s, of which one may be a number: numbers for each channel "
                               "come in by Rescaling",
                               of ? cnnbn__node_show(of, shown, sizeof shown) : "too little",
                               kind == NEGATIVE ? "a tensor" : "two tensors");
        place = k;
    }
    if (operand(call, n_operands))
        return cnnbn_error(CNNBN_ERR_MODEL, "is called on more than %d operands", n_operands);
    if (place < 0 && kind != NEGATIVE) {
        if (kind == DIVIDE)
            return cnnbn_error(
                CNNBN_ERR_MODEL,
                "divides one tensor by another, which is not supported; a tensor can be divided by a number");
        out->type = types[kind];
        return CNNBN_OK;
    }
    if (cnnbn__node_at(calls, 1))
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "is called several times, with numbers; call an operation of its own each time");
    out->type = &cnnbn__layer_rescaling;
    return rescale(kind, place, number, &out->scale, &out->offset);
}

cnnbn_status cnnbn__read_operation(const cnnbn__node *layer, cnnbn__operation *out)
{
    const char *name = cnnbn__keras_text(layer, "class_name");
    const cnnbn__node *config = cnnbn__node_get(layer, "config");
    int of_keras2 = strcmp(name, "TFOpLambda") == 0;
    *out = (cnnbn__operation){0};
    if (of_keras2) name = cnnbn__keras_text(config, "function");
    int k = find(of_keras2 ? short_name(name) : name, of_keras2);
    if (k < 0)
        return cnnbn_error(
            CNNBN_ERR_MODEL,
            "the function %.60s of TensorFlow is not known here; known are add, subtract, multiply, truediv, "
            "divide, negative, maximum and minimum of tf.math",
            name ? name : "(none)");
    for (const cnnbn__node *n = config->first; n; n = n->next) {
        if (strcmp(n->key, "dtype") == 0) CNNBN_TRY(cnnbn__inert_check(NULL, n));
        if (strcmp(n->key, "name") != 0 && strcmp(n->key, "trainable") != 0 && strcmp(n->key, "dtype") != 0 &&
            strcmp(n->key, "function") != 0)
            return cnnbn_error(CNNBN_ERR_MODEL, "argument %.60s is not known", n->key);
    }
    return read_numbers(operations[k].kind, cnnbn__node_get(layer, "inbound_nodes"), out);
}
