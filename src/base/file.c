#include "cnnbn/file.h"

#include <string.h>
#include <sys/stat.h>

int cnnbn_same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (!a || !b) return 0;
    int has_x = stat(a, &x) == 0, has_y = stat(b, &y) == 0;
    if (!has_x && !has_y) return strcmp(a, b) == 0;
    return has_x && has_y && S_ISREG(x.st_mode) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
