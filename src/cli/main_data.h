/* cnnbn-data's sub-commands; each parses argv (argv[0]: "cnnbn-data NAME") and gives the program's exit code. */
#ifndef CNNBN_MAIN_DATA_H
#define CNNBN_MAIN_DATA_H

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    char title[32]; /* becomes the command's argv[0] */
} command;

/* Runs the command of the list (its end: run NULL) that the first argument names; wrong usage ends the program. */
int run_command(command *list, const char *names, const char *doc, int argc, char **argv);

int data_import(int argc, char **argv);
int data_info(int argc, char **argv);
int data_split(int argc, char **argv);

#endif
