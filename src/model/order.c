/* Topological order of the calls. */
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

enum { UNSEEN, OPEN, DONE };

/* Depth first from the given order, by an explicit stack (a chain of 20,000 calls would be as deep a recursion). A call is
 * put out after its inputs, so an order that is topological stays as it is. */
typedef struct walk {
    const cnnbn_model *model;
    int *stack, *next_input, *order;
    unsigned char *state;
    int depth, n_ordered;
} walk;

static const char *call_name(const cnnbn_model *model, int call)
{
    return call ? model->layers[model->calls[call].layer].name : model->input_name;
}

static void push(walk *w, int call)
{
    w->state[call] = OPEN;
    w->next_input[call] = 0;
    w->stack[w->depth++] = call;
}

static cnnbn_status visit(walk *w, int start)
{
    if (w->state[start] == UNSEEN) push(w, start);
    while (w->depth) {
        int c = w->stack[w->depth - 1];
        const cnnbn_call *call = &w->model->calls[c];
        if (w->next_input[c] == call->n_inputs) {
            w->state[c] = DONE;
            w->order[w->n_ordered++] = c;
            w->depth--;
            continue;
        }
        int input = call->inputs[w->next_input[c]++];
        if (w->state[input] == OPEN)
            return cnnbn_error(CNNBN_ERR_MODEL, "layers form a cycle through %s and %s", call_name(w->model, input),
                               call_name(w->model, c));
        if (w->state[input] == UNSEEN) push(w, input);
    }
    return CNNBN_OK;
}

static cnnbn_status reorder(cnnbn_model *model, const walk *w)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_calls, sizeof *model->calls, "a model's graph", &memory));
    cnnbn_call *calls = memory;
    int *place = w->next_input; /* done with */
    for (int k = 0; k < model->n_calls; k++) place[w->order[k]] = k;
    for (int k = 0; k < model->n_calls; k++) {
        calls[k] = model->calls[w->order[k]];
        for (int i = 0; i < calls[k].n_inputs; i++) calls[k].inputs[i] = place[calls[k].inputs[i]];
    }
    model->output = place[model->output];
    cnnbn_free(model->calls);
    model->calls = calls;
    return CNNBN_OK;
}

cnnbn_status cnnbn__order_calls(cnnbn_model *model, int *place)
{
    size_t n = (size_t)model->n_calls;
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(n, 2 * sizeof(int) + 1, "the order of a model's layers", &memory));
    int *ints = memory;
    walk w = {.model = model, .stack = ints, .next_input = place, .order = ints + n};
    w.state = (unsigned char *)(ints + 2 * n);
    cnnbn_status status = CNNBN_OK;
    for (int c = 0; c < model->n_calls && status == CNNBN_OK; c++) status = visit(&w, c);
    if (status == CNNBN_OK) status = reorder(model, &w);
    cnnbn_free(memory);
    return status;
}

cnnbn_status cnnbn__check_reach(const cnnbn_model *model, unsigned char *state, int *n_unused)
{
    enum { REACHED = 1 };
    *n_unused = 0;
    state[model->output] = REACHED;
    for (int c = model->n_calls - 1; c >= 0; c--) {
        if (!state[c] || (state[c] != REACHED && c == 0))
            return cnnbn_error(
                CNNBN_ERR_MODEL,
                "layer %s does not lead to the output %s; remove it, or name it in a `from` on the way there",
                call_name(model, c), call_name(model, model->output));
        *n_unused += state[c] != REACHED;
        for (int i = 0; i < model->calls[c].n_inputs; i++) {
            unsigned char *input = &state[model->calls[c].inputs[i]];
            if (*input != REACHED) *input = state[c];
        }
    }
    return CNNBN_OK;
}

int cnnbn__is_chain(const cnnbn_model *model)
{
    if (model->n_calls != model->n_layers + 1) return 0;
    for (int c = 1; c < model->n_calls; c++) {
        const cnnbn_call *call = &model->calls[c];
        if (call->layer != c - 1 || call->n_inputs != 1 || call->inputs[0] != c - 1) return 0;
    }
    return model->output == model->n_calls - 1;
}

cnnbn_status cnnbn__list_uses(const cnnbn_model *model, cnnbn__uses *uses)
{
    size_t n_layers = (size_t)model->n_layers, n_calls = (size_t)model->n_calls;
    void *memory;
    memset(uses, 0, sizeof *uses);
    CNNBN_TRY(cnnbn_alloc_array(n_layers + 2 * n_calls, sizeof(int), "the uses of a model's layers", &memory));
    uses->first = memory;
    uses->next = uses->first + n_layers;
    uses->use = uses->next + n_calls;
    for (int c = model->n_calls - 1; c > 0; c--) {
        int *first = &uses->first[model->calls[c].layer];
        uses->next[c] = *first;
        *first = c;
    }
    for (int l = 0; l < model->n_layers; l++)
        for (int c = uses->first[l], use = 0; c; c = uses->next[c]) uses->use[c] = use++;
    return CNNBN_OK;
}
