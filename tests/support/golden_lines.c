#include "golden_lines.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

FILE *golden_open(void)
{
    const char *path = getenv("CNNBN_TEST_GOLDEN");
    assert_non_null(path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    return file;
}

int golden_next(FILE *file, const char *what, golden_line *line)
{
    static char text[1 << 16];
    while (fgets(text, sizeof text, file)) {
        int used = 0, groups = 0;
        assert_non_null(strchr(text, '\n')); /* all of it was read */
        if (sscanf(text, "%31s %63s%n", line->what, line->name, &used) != 2 || strcmp(line->what, what) != 0) continue;
        memset(line->n, 0, sizeof line->n);
        for (char *at = text + used, *end;; at = end) {
            size_t n = strtoul(at, &end, 10);
            if (end == at || groups == GOLDEN_GROUPS) break;
            assert_true(n <= GOLDEN_NUMBERS);
            for (size_t i = 0; i < n; i++) line->numbers[groups][i] = strtod(end, &end);
            line->n[groups++] = n;
        }
        return 1;
    }
    return 0;
}
