/* Questions to a node of a text. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"

const cnnbn__node *cnnbn__node_get(const cnnbn__node *map, const char *key)
{
    if (!map || map->kind != CNNBN__MAP) return NULL;
    for (const cnnbn__node *n = map->first; n; n = n->next)
        if (strcmp(n->key, key) == 0) return n;
    return NULL;
}

const cnnbn__node *cnnbn__node_at(const cnnbn__node *list, int index)
{
    if (!list || list->kind != CNNBN__LIST) return NULL;
    const cnnbn__node *n = list->first;
    while (n && index-- > 0) n = n->next;
    return n;
}

int cnnbn__node_is(const cnnbn__node *node, const char *text)
{
    return node && node->kind == CNNBN__SCALAR && strcmp(node->text, text) == 0;
}

static int is_plain(const cnnbn__node *node)
{
    return node && node->kind == CNNBN__SCALAR && !node->quoted;
}

static int is_one_of(const cnnbn__node *node, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(node->text, *words) == 0) return 1;
    return 0;
}

int cnnbn__node_is_null(const cnnbn__node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", "None", NULL};
    return is_plain(node) && is_one_of(node, words);
}

int cnnbn__node_to_int(const cnnbn__node *node, int *out)
{
    if (!is_plain(node) || !node->text[0]) return 0;
    const char *digits = node->text + (node->text[0] == '-' || node->text[0] == '+');
    if (!*digits || digits[strspn(digits, "0123456789")]) return 0;
    errno = 0;
    long value = strtol(node->text, NULL, 10);
    if (errno || value > INT_MAX || value < INT_MIN) return 0;
    *out = (int)value;
    return 1;
}

int cnnbn__node_to_bool(const cnnbn__node *node, int *out)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE", NULL};
    if (!is_plain(node)) return 0;
    *out = is_one_of(node, yes);
    return *out || is_one_of(node, no);
}

int cnnbn__node_to_float(const cnnbn__node *node, double *out)
{
    static const char *const infinity[] = {".inf", "Infinity", "inf", NULL};
    if (!is_plain(node) || !node->text[0]) return 0;
    if (is_one_of(node, infinity)) {
        *out = INFINITY;
        return 1;
    }
    /* Only digits, sign, point and exponent: strtod would take hexadecimal numbers and NaN too. */
    if (node->text[strspn(node->text, "0123456789+-.eE")]) return 0;
    char *end;
    double value = strtod(node->text, &end);
    if (*end || !isfinite(value)) return 0;
    *out = value;
    return 1;
}

typedef struct writer {
    char *text;
    size_t used, bytes;
} writer;

static void put(writer *w, const char *format, ...) CNNBN_PRINTF(2, 3);
static void put(writer *w, const char *format, ...)
{
    if (w->used + 1 >= w->bytes) return;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(w->text + w->used, w->bytes - w->used, format, args);
    va_end(args);
    w->used += length < 0 ? 0 : (size_t)length;
    if (w->used >= w->bytes) w->used = w->bytes - 1;
}

static void put_node(writer *w, const cnnbn__node *node, int depth)
{
    if (node->kind == CNNBN__SCALAR) {
        put(w, node->quoted ? "\"%.60s\"" : "%.60s", node->text[0] || node->quoted ? node->text : "null");
        return;
    }
    int map = node->kind == CNNBN__MAP;
    put(w, map ? "{" : "[");
    int i = 0;
    for (const cnnbn__node *n = node->first; n; n = n->next) {
        if (i) put(w, ", ");
        if (i++ >= 8 || depth >= 3) {
            put(w, "...");
            break;
        }
        if (map) put(w, "%.60s: ", n->key);
        put_node(w, n, depth + 1);
    }
    put(w, map ? "}" : "]");
}

const char *cnnbn__node_show(const cnnbn__node *node, char *text, size_t bytes)
{
    writer w = {text, 0, bytes};
    text[0] = '\0';
    if (node) put_node(&w, node, 0);
    if (w.used + 1 >= bytes && bytes > 4) memcpy(text + bytes - 4, "...", 4);
    return text;
}
