/* The options of cnnbn-train, a file for each topic: its table, its parser (an argp that main_train.c joins with the others; what
 * they parse into is one train_settings), and what follows from several options together. Keys are of a file alone. */
#ifndef CNNBN_TRAIN_OPTIONS_H
#define CNNBN_TRAIN_OPTIONS_H

#include "cli.h"
#include "cli_files.h"
#include "cli_names.h"
#include "cnnbn/train.h"

typedef struct train_settings {
    cnnbn_train_options opt;
    int lr_given, decay_given, momentum_given, clips_given, rho_given, trust_given;
    uint64_t schedule_given; /* bits of train_options_schedule.c */
} train_settings;

extern const struct argp train_options_data, train_options_math, train_options_augment, train_options_schedule,
    train_options_execution, train_options_files;

/* After parsing: defaults that depend on other options, and options that do not go together. */
cnnbn_status train_complete_data(train_settings *settings) CNNBN_MUST_CHECK;
cnnbn_status train_complete_math(train_settings *settings) CNNBN_MUST_CHECK;
cnnbn_status train_complete_schedule(train_settings *settings) CNNBN_MUST_CHECK;
cnnbn_status train_complete_files(train_settings *settings) CNNBN_MUST_CHECK;

/* An option's value; a wrong one ends the program (cli_check). `option` is its name for the message, "--epochs". */
long long train_int(const char *option, const char *text, long long least, long long most);
double train_real(const char *option, const char *text, double least, double most);
int train_word(const char *option, const char *text, const char *const *words); /* index in the NULL-ended list */

#endif
