/* CSV as RFC 4180 has it. */
#ifndef CNNBN_CLI_CSV_H
#define CNNBN_CLI_CSV_H

#include <stdio.h>

/* A text field: in quotation marks, doubled inside, where it holds a comma, a quotation mark or a line end. */
void cli_csv_text(FILE *out, const char *text);

#endif
