#include "text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cnnbn/memory.h"

static int make_room(cnnbn__text *text, size_t more)
{
    if (text->status != CNNBN_OK) return 0;
    if (text->used + more + 1 <= text->bytes) return 1;
    size_t bytes = text->bytes ? text->bytes : 1024;
    while (bytes < text->used + more + 1) bytes *= 2;
    void *memory;
    text->status = cnnbn_alloc(bytes, "a model's text", &memory);
    if (text->status != CNNBN_OK) return 0;
    if (text->used) memcpy(memory, text->data, text->used);
    cnnbn_free(text->data);
    text->data = memory;
    text->bytes = bytes;
    return 1;
}

void cnnbn__text_add(cnnbn__text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length > 0 && make_room(text, (size_t)length)) {
        (void)vsnprintf(text->data + text->used, (size_t)length + 1, format, again);
        text->used += (size_t)length;
    }
    va_end(again);
}

void cnnbn__text_add_bytes(cnnbn__text *text, const char *bytes, size_t n)
{
    if (!make_room(text, n)) return;
    memcpy(text->data + text->used, bytes, n);
    text->used += n;
    text->data[text->used] = '\0';
}

void cnnbn__text_add_quoted(cnnbn__text *text, const char *value)
{
    cnnbn__text_add(text, "\"");
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\')
            cnnbn__text_add(text, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            cnnbn__text_add(text, "\\u%04x", c);
        else
            cnnbn__text_add(text, "%c", c);
    }
    cnnbn__text_add(text, "\"");
}

void cnnbn__text_add_word(cnnbn__text *text, const char *value)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char *const taken[] = {"null", "true", "false", "yes", "no", "on", "off", "none", "y", "n"};
    int plain = value[0] && strchr(letters, value[0]);
    for (const char *c = value; *c && plain; c++) plain = strchr(letters, *c) || strchr("0123456789-.", *c);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcasecmp(value, taken[i]) == 0) plain = 0;
    if (plain)
        cnnbn__text_add(text, "%s", value);
    else
        cnnbn__text_add_quoted(text, value);
}

void cnnbn__text_add_number(cnnbn__text *text, double value)
{
    char digits[40];
    if (isinf(value)) {
        cnnbn__text_add(text, value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (!(strtod(digits, NULL) < value) && !(strtod(digits, NULL) > value)) break;
    }
    int whole = !digits[strcspn(digits, ".e")];
    cnnbn__text_add(text, "%s%s", digits, whole ? ".0" : "");
}

cnnbn_status cnnbn__text_end(cnnbn__text *text, char **out)
{
    cnnbn_status status = text->status;
    *out = NULL;
    if (status == CNNBN_OK && !text->data) {
        cnnbn__text_add(text, "\n");
        status = text->status;
    }
    if (status == CNNBN_OK)
        *out = text->data;
    else
        cnnbn_free(text->data);
    *text = (cnnbn__text){0};
    return status;
}
