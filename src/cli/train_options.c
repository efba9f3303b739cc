/* What the parsers of cnnbn-train's options share. */
#include "train_options.h"

long long train_int(const char *option, const char *text, long long least, long long most)
{
    long long value = 0;
    cli_check(cli_int(option, text, least, most, &value));
    return value;
}

double train_real(const char *option, const char *text, double least, double most)
{
    double value = 0;
    cli_check(cli_real(option, text, least, most, &value));
    return value;
}

int train_word(const char *option, const char *text, const char *const *words)
{
    int value = 0;
    cli_check(cli_word(option, text, words, &value));
    return value;
}
