#include "cli_names.h"

#include "cli.h"
#include "cnnbn/file.h"

char *cli_file_name(const char *what, char *name)
{
    if (!*name) cli_check(cnnbn_error(CNNBN_ERR_OPTION, "%s: the name of a file is expected, it is empty", what));
    return name;
}

static cnnbn_status apart(const cli_named_file *written, const cli_named_file *other)
{
    if (!cnnbn_same_file(written->path, other->path)) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_OPTION, "%s %s: is the file of %s, which would be lost; name another one",
                       written->option, written->path, other->option);
}

cnnbn_status cli_files_apart(const cli_named_file *written, int n_written, const cli_named_file *read, int n_read)
{
    for (int i = 0; i < n_written; i++) {
        for (int j = 0; j < n_read; j++) CNNBN_TRY(apart(&written[i], &read[j]));
        for (int j = 0; j < i; j++) CNNBN_TRY(apart(&written[i], &written[j]));
    }
    return CNNBN_OK;
}
