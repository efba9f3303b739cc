/* The figures of an evaluation, as tables and as CSV. */
#ifndef CNNBN_CLI_EVAL_REPORT_H
#define CNNBN_CLI_EVAL_REPORT_H

#include <stdio.h>
#include "cnnbn/train.h"

typedef struct eval_report {
    const char *checkpoint;
    const cnnbn_predictor *predictor;
    int of_averages; /* --ema */
    const cnnbn_dataset_info *data;
    cnnbn_split split;
    const cnnbn_evaluation *result;
    const char **names; /* [n_classes], "" where there is none */
} eval_report;

/* To stdout; the classes one by one where a sample has one class. The matrix of more than 20 classes only when it is asked for, else the most frequent confusions. */
void eval_print(const eval_report *report, int show_matrix);

/* class,name,precision,recall,f1,support,predicted_0,...: a row a class. What is not defined (no image of a class, or none
 * taken for it) is empty. Without classes: figure,value. */
void eval_write_csv(const eval_report *report, FILE *out);

#endif
