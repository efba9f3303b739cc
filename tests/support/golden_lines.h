/* Lines of tests/golden/recipes.txt: `what name`, then groups of `count numbers`. */
#ifndef CNNBN_TEST_GOLDEN_LINES_H
#define CNNBN_TEST_GOLDEN_LINES_H

#include <stddef.h>
#include <stdio.h>

enum { GOLDEN_GROUPS = 4, GOLDEN_NUMBERS = 1024 };

typedef struct golden_line {
    char what[32], name[64];
    size_t n[GOLDEN_GROUPS];
    double numbers[GOLDEN_GROUPS][GOLDEN_NUMBERS];
} golden_line;

/* The file named by $CNNBN_TEST_GOLDEN. */
FILE *golden_open(void);

/* The next line of `what`; 0 at the end. */
int golden_next(FILE *file, const char *what, golden_line *line);

#endif
