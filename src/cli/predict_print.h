/* A prediction as a line. */
#ifndef CNNBN_CLI_PREDICT_PRINT_H
#define CNNBN_CLI_PREDICT_PRINT_H

#include "cnnbn/train.h"

typedef struct predict_format {
    int top; /* most probable classes shown, 1 .. number of classes; 0: not asked for */
    int csv;
} predict_format;

/* Whether a sample has one class, of the most probable output: else the outputs themselves are shown. */
int predict_is_class(const cnnbn_predictor *predictor);

/* input,class,name,probability[,class_2,name_2,probability_2,...], or input,value_0,value_1,... */
void predict_print_header(const predict_format *format, const cnnbn_predictor *predictor);

/* outputs [classes]: of `input`, a file's name or a sample's number. names: class names of the data they came from, or
 * NULL: the checkpoint's. Equal probabilities: the smaller class first. */
void predict_print(const predict_format *format, const cnnbn_predictor *predictor, const cnnbn_dataset_info *data,
                   const char *input, const float *outputs);

#endif
