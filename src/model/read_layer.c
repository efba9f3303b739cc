/* What both readers do with a layer's arguments and with shapes. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

static int in_list(const char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (strcmp(*list, word) == 0) return 1;
    return 0;
}

static cnnbn_status read_member(cnnbn_layer *layer, const cnnbn__node *member, unsigned long long *seen)
{
    const char *alias = cnnbn__arg_alias(layer->type, member->key);
    const cnnbn_arg_spec *spec = cnnbn__arg_find(layer->type, alias ? alias : member->key);
    if (!spec) return cnnbn__inert_check(layer->type, member);
    int at = (int)(spec - layer->type->args);
    if (*seen >> at & 1)
        return cnnbn_error(CNNBN_ERR_MODEL, "argument %s is there twice, as %s too", spec->name, member->key);
    *seen |= 1ull << at;
    return cnnbn__arg_read(spec, member, &layer->args[at]);
}

cnnbn_status cnnbn__read_layer_args(cnnbn_layer *layer, const cnnbn__node *config, const char *const *skip)
{
    unsigned long long seen = 0;
    char shown[CNNBN__SHOW_MAX];
    if (config && config->kind != CNNBN__MAP && !cnnbn__node_is_null(config))
        return cnnbn_error(CNNBN_ERR_MODEL, "arguments %s: expected a map such as {rate: 0.5}",
                           cnnbn__node_show(config, shown, sizeof shown));
    for (const cnnbn__node *member = config && config->kind == CNNBN__MAP ? config->first : NULL; member;
         member = member->next) {
        if (in_list(skip, member->key)) continue;
        if (strcmp(member->key, "trainable") == 0) {
            if (!cnnbn__node_to_bool(member, &layer->trainable))
                return cnnbn_error(CNNBN_ERR_MODEL, "argument trainable = %s: expected true or false",
                                   cnnbn__node_show(member, shown, sizeof shown));
            continue;
        }
        CNNBN_TRY(read_member(layer, member, &seen));
    }
    for (int i = 0; i < layer->type->n_args; i++)
        if (layer->type->args[i].required && !(seen >> i & 1))
            return cnnbn_error(CNNBN_ERR_MODEL, "argument %s is missing", layer->type->args[i].name);
    return CNNBN_OK;
}

static cnnbn_status unknown_dimension(const cnnbn_model_wish *wish, int rank, int d, int *out)
{
    if (!wish || wish->input.rank != rank)
        return cnnbn_error(CNNBN_ERR_MODEL, "the input shape leaves dimension %d open (null); state it in the file",
                           d + 1);
    *out = wish->input.dim[d];
    return CNNBN_OK;
}

cnnbn_status cnnbn__read_shape(const cnnbn__node *list, int batch, const cnnbn_model_wish *wish, cnnbn_shape *out)
{
    char shown[CNNBN__SHOW_MAX];
    memset(out, 0, sizeof *out);
    if (!list || list->kind != CNNBN__LIST || list->n - batch < 1 || list->n - batch > CNNBN_RANK_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "input shape %s: expected %s dimensions, such as %s",
                           list ? cnnbn__node_show(list, shown, sizeof shown) : "(none)",
                           batch ? "the batch's null and 1 to 3" : "1 to 3",
                           batch ? "[null, 28, 28, 1]" : "[28, 28, 1]");
    out->rank = list->n - batch;
    const cnnbn__node *item = batch ? list->first->next : list->first;
    for (int d = 0; d < out->rank; d++, item = item->next) {
        if (cnnbn__node_is_null(item))
            CNNBN_TRY(unknown_dimension(wish, out->rank, d, &out->dim[d]));
        else if (!cnnbn__node_to_int(item, &out->dim[d]))
            return cnnbn_error(CNNBN_ERR_MODEL, "input shape %s: expected integers",
                               cnnbn__node_show(list, shown, sizeof shown));
    }
    return cnnbn__shape_check("the input", *out);
}
