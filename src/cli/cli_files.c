#include "cli_files.h"

#include <libfyaml.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cnnbn/memory.h"

static const char *const data_name = "fashion-mnist-7000.h5";

static int is_file(const char *path)
{
    return access(path, R_OK) == 0;
}

const char *cli_bundled_data(void)
{
    static char path[PATH_MAX + 128];
    char program[PATH_MAX];
    const char *folder = getenv("CNNBN_DATASETS");
    if (folder && *folder) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, data_name);
        return path;
    }
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = '\0';
        char *slash = strrchr(program, '/');
        if (slash) *slash = '\0';
        /* PREFIX/bin/.., and SOURCE/build/PRESET/bin/../../.. */
        static const char *const places[] = {"../share/cnnbn/datasets", "../../../datasets", "../../datasets"};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            (void)snprintf(path, sizeof path, "%s/%s/%s", program, places[i], data_name);
            char *resolved = is_file(path) ? realpath(path, NULL) : NULL;
            if (!resolved) continue;
            (void)snprintf(path, sizeof path, "%s", resolved);
            free(resolved);
            return path;
        }
    }
    (void)snprintf(path, sizeof path, "datasets/%s", data_name);
    return path;
}

/* ---------------------------------------------------------------- --config */

typedef struct arguments {
    int n, room;
    char **list;
} arguments;

static cnnbn_status append(arguments *a, const char *text)
{
    if (a->n + 1 >= a->room) {
        int room = a->room ? 2 * a->room : 64;
        void *bigger;
        CNNBN_TRY(cnnbn_alloc_array((size_t)room, sizeof(char *), "options", &bigger));
        if (a->n) memcpy(bigger, a->list, (size_t)a->n * sizeof(char *));
        cnnbn_free(a->list);
        a->list = bigger;
        a->room = room;
    }
    char *copy;
    CNNBN_TRY(cnnbn_strdup(text, &copy));
    a->list[a->n++] = copy;
    a->list[a->n] = NULL;
    return CNNBN_OK;
}

static cnnbn_status append_pair(arguments *a, const char *path, struct fy_node_pair *pair)
{
    size_t key_length = 0, value_length = 0;
    const char *key = fy_node_get_scalar(fy_node_pair_key(pair), &key_length);
    const char *value = fy_node_get_scalar(fy_node_pair_value(pair), &value_length);
    char text[PATH_MAX + 64];
    if (!key || !value || key_length == 0 || key_length + value_length + 8 > sizeof text)
        return cnnbn_error(CNNBN_ERR_OPTION, "--config %s: %.*s: a single value is expected", path,
                           key ? (int)key_length : 1, key ? key : "?");
    if (key_length == 6 && strncmp(key, "config", 6) == 0)
        return cnnbn_error(CNNBN_ERR_OPTION, "--config %s: a file of options cannot name another one", path);
    if (value_length == 5 && strncmp(value, "false", 5) == 0) return CNNBN_OK;
    int flag = value_length == 4 && strncmp(value, "true", 4) == 0;
    (void)snprintf(text, sizeof text, "--%.*s%s%.*s", (int)key_length, key, flag ? "" : "=",
                   flag ? 0 : (int)value_length, value);
    for (char *c = text + 2; *c && *c != '='; c++)
        if (*c == '_') *c = '-';
    return append(a, text);
}

/* libfyaml writes its complaints to stderr, FYPCF_QUIET or not, unless it is given a place for them. */
static void ignore(struct fy_diag *diag, void *user, const char *text, size_t bytes)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)bytes;
}

static cnnbn_status append_file(arguments *a, const char *path)
{
    if (!is_file(path)) return cnnbn_error(CNNBN_ERR_OPTION, "--config %s: the file cannot be read", path);
    struct fy_diag_cfg silent;
    fy_diag_cfg_default(&silent);
    silent.fp = NULL;
    silent.output_fn = ignore;
    struct fy_diag *diag = fy_diag_create(&silent);
    const struct fy_parse_cfg config = {.flags = FYPCF_QUIET, .diag = diag};
    struct fy_document *doc = fy_document_build_from_file(&config, path);
    struct fy_node *root = doc ? fy_document_root(doc) : NULL;
    cnnbn_status status = CNNBN_OK;
    if (!root || !fy_node_is_mapping(root))
        status = cnnbn_error(CNNBN_ERR_OPTION, "--config %s: a YAML mapping of options to values is expected", path);
    void *at = NULL;
    struct fy_node_pair *pair;
    while (status == CNNBN_OK && (pair = fy_node_mapping_iterate(root, &at)) != NULL)
        status = append_pair(a, path, pair);
    fy_document_destroy(doc);
    if (diag) fy_diag_unref(diag);
    return status;
}

cnnbn_status cli_with_config(int argc, char **argv, int *new_argc, char ***new_argv)
{
    static arguments a; /* argp's options point into it until the process ends */
    CNNBN_TRY(append(&a, argv[0]));
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            CNNBN_TRY(append_file(&a, argv[++i]));
        else if (strncmp(argv[i], "--config=", 9) == 0)
            CNNBN_TRY(append_file(&a, argv[i] + 9));
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            i++;
        else if (strncmp(argv[i], "--config=", 9) != 0)
            CNNBN_TRY(append(&a, argv[i]));
    }
    *new_argc = a.n;
    *new_argv = a.list;
    return CNNBN_OK;
}
