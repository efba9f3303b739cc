#include "doc.h"

#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/memory.h"

/* Nodes and texts live in blocks that are freed together. */
typedef struct block {
    struct block *next;
    size_t used, bytes;
    char data[];
} block;

struct cnnbn__doc {
    block *blocks;
    cnnbn__node *root;
    int n_nodes;
};

/* An open list or map; `key` waits for its value. */
typedef struct level {
    cnnbn__node *node, *last;
    const char *key;
} level;

typedef struct reader {
    cnnbn__doc *doc;
    struct fy_parser *parser;
    struct fy_diag *diag;
    level levels[CNNBN__DOC_DEPTH_MAX];
    int depth;
    int n_documents;
    char message[256]; /* first complaint of libfyaml */
} reader;

static cnnbn_status take(cnnbn__doc *doc, size_t bytes, void **out)
{
    static const size_t block_bytes = 64 << 10;
    bytes = (bytes + 15) & ~(size_t)15;
    block *b = doc->blocks;
    if (!b || b->bytes - b->used < bytes) {
        size_t wanted = bytes > block_bytes ? bytes : block_bytes;
        void *memory;
        *out = NULL;
        CNNBN_TRY(cnnbn_alloc(sizeof *b + wanted, "the text of a model", &memory));
        b = memory;
        b->bytes = wanted;
        b->next = doc->blocks;
        doc->blocks = b;
    }
    *out = b->data + b->used;
    b->used += bytes;
    return CNNBN_OK;
}

void cnnbn__doc_destroy(cnnbn__doc *doc)
{
    if (!doc) return;
    while (doc->blocks) {
        block *next = doc->blocks->next;
        cnnbn_free(doc->blocks);
        doc->blocks = next;
    }
    cnnbn_free(doc);
}

const cnnbn__node *cnnbn__doc_root(const cnnbn__doc *doc)
{
    return doc->root;
}

/* libfyaml writes its complaints to stderr unless it is given a place for them. */
static void collect(struct fy_diag *diag, void *user, const char *text, size_t bytes)
{
    (void)diag;
    reader *r = user;
    if (r->message[0]) return;
    size_t n = 0;
    while (n < bytes && n < sizeof r->message - 1 && text[n] != '\n') n++;
    memcpy(r->message, text, n);
    r->message[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)r->message[i] < ' ') r->message[i] = ' ';
}

static int line_of(struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    return mark ? mark->line + 1 : 0;
}

static cnnbn_status copy_text(reader *r, struct fy_event *event, const char **out)
{
    size_t bytes = 0;
    struct fy_token *token = fy_event_get_token(event);
    const char *text = token ? fy_token_get_text(token, &bytes) : "";
    if (!text) return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a text that cannot be decoded", line_of(event));
    if (memchr(text, '\0', bytes))
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a text with a NUL byte in it", line_of(event));
    void *copy;
    CNNBN_TRY(take(r->doc, bytes + 1, &copy));
    memcpy(copy, text, bytes);
    ((char *)copy)[bytes] = '\0';
    *out = copy;
    return CNNBN_OK;
}

/* A map's first scalar is a key; afterwards key and value alternate. */
static cnnbn_status take_key(level *open, const char *key, int line)
{
    if (open->node->n >= CNNBN__DOC_KEYS_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: more than %d keys in one map", line, CNNBN__DOC_KEYS_MAX);
    if (cnnbn__node_get(open->node, key))
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: key \"%.60s\" is there twice", line, key);
    open->key = key;
    return CNNBN_OK;
}

static cnnbn_status add_node(reader *r, cnnbn__node_kind kind, struct fy_event *event, cnnbn__node **out)
{
    int line = line_of(event);
    level *open = r->depth ? &r->levels[r->depth - 1] : NULL;
    if (open && open->node->kind == CNNBN__MAP && !open->key)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a key must be a word, found a list or map", line);
    if (r->doc->n_nodes >= CNNBN__DOC_NODES_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "more than %d values in the text", CNNBN__DOC_NODES_MAX);
    void *memory;
    CNNBN_TRY(take(r->doc, sizeof(cnnbn__node), &memory));
    r->doc->n_nodes++;
    cnnbn__node *node = memory;
    node->kind = kind;
    node->line = line;
    if (!open) {
        r->doc->root = node;
    } else {
        node->key = open->key;
        open->key = NULL;
        if (open->last) open->last->next = node;
        if (!open->node->first) open->node->first = node;
        open->last = node;
        open->node->n++;
    }
    *out = node;
    return CNNBN_OK;
}

static cnnbn_status read_scalar(reader *r, struct fy_event *event)
{
    const char *text = "";
    CNNBN_TRY(copy_text(r, event, &text));
    level *open = r->depth ? &r->levels[r->depth - 1] : NULL;
    if (open && open->node->kind == CNNBN__MAP && !open->key) return take_key(open, text, line_of(event));
    cnnbn__node *node = NULL;
    CNNBN_TRY(add_node(r, CNNBN__SCALAR, event, &node));
    struct fy_token *token = fy_event_get_token(event);
    node->text = text;
    node->quoted = token && fy_token_scalar_style(token) != FYSS_PLAIN;
    return CNNBN_OK;
}

static cnnbn_status open_level(reader *r, cnnbn__node_kind kind, struct fy_event *event)
{
    if (r->depth >= CNNBN__DOC_DEPTH_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: nested deeper than %d", line_of(event), CNNBN__DOC_DEPTH_MAX);
    cnnbn__node *node = NULL;
    CNNBN_TRY(add_node(r, kind, event, &node));
    r->levels[r->depth++] = (level){node, NULL, NULL};
    return CNNBN_OK;
}

static cnnbn_status read_event(reader *r, struct fy_event *event)
{
    /* Aliases are how a small text becomes a huge tree ("billion laughs"); tags name types of other languages. */
    if (event->type == FYET_ALIAS || fy_event_get_anchor_token(event))
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: anchors (&) and aliases (*) are not taken; write the value out",
                           line_of(event));
    if (fy_event_get_tag_token(event))
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: tags (!) are not taken; remove it", line_of(event));
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (r->n_documents++)
            return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a second document; one is expected", line_of(event));
        return CNNBN_OK;
    case FYET_SCALAR:
        return read_scalar(r, event);
    case FYET_SEQUENCE_START:
        return open_level(r, CNNBN__LIST, event);
    case FYET_MAPPING_START:
        return open_level(r, CNNBN__MAP, event);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        if (r->depth) r->depth--;
        return CNNBN_OK;
    default:
        return CNNBN_OK;
    }
}

static cnnbn_status read_events(reader *r)
{
    for (;;) {
        struct fy_event *event = fy_parser_parse(r->parser);
        if (!event) break;
        cnnbn_status status = read_event(r, event);
        int end = event->type == FYET_STREAM_END;
        fy_parser_event_free(r->parser, event);
        if (status != CNNBN_OK) return status;
        if (end) break;
    }
    void *place = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(r->diag, &place);
    if (first && first->msg)
        return cnnbn_error(CNNBN_ERR_MODEL, "not valid YAML or JSON: line %d, column %d: %s", first->line,
                           first->column, first->msg);
    if (fy_parser_get_stream_error(r->parser) || r->message[0] || r->depth)
        return cnnbn_error(CNNBN_ERR_MODEL, "not valid YAML or JSON: %s", r->message[0] ? r->message : "it ends early");
    if (!r->doc->root) return cnnbn_error(CNNBN_ERR_MODEL, "the text is empty");
    return CNNBN_OK;
}

static cnnbn_status parse_as(const char *text, size_t bytes, int json, cnnbn__doc **out)
{
    reader r = {.depth = 0};
    void *memory;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof *r.doc, "the text of a model", &memory));
    r.doc = memory;
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.output_fn = collect;
    diag_cfg.user = &r;
    diag_cfg.level = FYET_ERROR;
    diag_cfg.colorize = false;
    diag_cfg.show_source = diag_cfg.show_type = diag_cfg.show_module = false;
    diag_cfg.show_position = true;
    r.diag = fy_diag_create(&diag_cfg);
    /* Collected, not written: libfyaml 0.7.12 writes the source beside its complaints, unasked, and reads past it. */
    if (r.diag) fy_diag_set_collect_errors(r.diag, true);
    const struct fy_parse_cfg cfg = {
        .search_path = "", .flags = json ? FYPCF_JSON_FORCE : FYPCF_JSON_NONE, .userdata = NULL, .diag = r.diag};
    r.parser = r.diag ? fy_parser_create(&cfg) : NULL;
    cnnbn_status status = CNNBN_OK;
    if (!r.parser || fy_parser_set_string(r.parser, text, bytes) != 0)
        status = cnnbn_error(CNNBN_ERR_MEMORY, "no memory for the parser of a model's text");
    if (status == CNNBN_OK) status = read_events(&r);
    if (r.parser) fy_parser_destroy(r.parser);
    if (r.diag) fy_diag_destroy(r.diag);
    if (status != CNNBN_OK) {
        cnnbn__doc_destroy(r.doc);
        return status;
    }
    *out = r.doc;
    return CNNBN_OK;
}

/* A directive (%YAML, %TAG) is a line that begins with a '%'; no model needs one, and libfyaml 0.7.12 loops for ever in some. Ends of
 * lines are those of YAML 1.1 too: NEL, LS and PS, by their last byte. */
static cnnbn_status refuse_directives(const char *text, size_t bytes)
{
    static const char ends[] = "\n\r\xBF\x85\xA8\xA9"; /* \xBF: of a byte order mark */
    int line = 1;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '%' && (i == 0 || (text[i - 1] && strchr(ends, text[i - 1]))))
            return cnnbn_error(CNNBN_ERR_MODEL, "line %d: directives (%%) are not taken; remove it", line);
        if (text[i] == '\n') line++;
    }
    return CNNBN_OK;
}

/* JSON is YAML but for details that Keras' files can hold (tabs, keys longer than YAML's 1024 bytes), so a text that
 * begins like JSON is tried as such; Python's NaN and Infinity, and YAML in braces, then go the YAML way. */
cnnbn_status cnnbn__doc_parse(const char *text, size_t bytes, cnnbn__doc **out)
{
    *out = NULL;
    if (bytes > CNNBN__DOC_BYTES_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "a text of %zu bytes; at most %d are read", bytes, CNNBN__DOC_BYTES_MAX);
    size_t start = 0;
    while (start < bytes && strchr(" \t\r\n", text[start]) && text[start]) start++;
    if (start == bytes) return cnnbn_error(CNNBN_ERR_MODEL, "the text is empty");
    CNNBN_TRY(refuse_directives(text, bytes));
    if (text[start] == '{' && parse_as(text, bytes, 1, out) == CNNBN_OK) return CNNBN_OK;
    return parse_as(text, bytes, 0, out);
}
