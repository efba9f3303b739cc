/* Fencing. A rank 0 that was cut off (its launcher killed, its node without network) may live on for a while beside the run that was
 * started in its place. Between two reductions it can have at most one write under way; the name in the folder stops that one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trainer.h"

static cnnbn_status cannot(const owner *own, const char *what)
{
    return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be %s: %s", own->path, what, strerror(errno));
}

cnnbn_status owner_claim(const char *dir, const char *host, int64_t restarts, owner *out)
{
    char temporary[sizeof out->path + 32];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(out->path, sizeof out->path, "%s/run.owner", dir);
    (void)snprintf(temporary, sizeof temporary, "%s.%ld", out->path, (long)getpid());
    (void)snprintf(out->line, sizeof out->line, "host %.300s, process %ld, restart %" PRId64 ", since %lld.%09ld\n",
                   host, (long)getpid(), restarts, (long long)now.tv_sec, now.tv_nsec);
    FILE *file = fopen(temporary, "w");
    if (!file) return cannot(out, "written");
    int bad = fputs(out->line, file) < 0;
    if (fclose(file) != 0 || bad || rename(temporary, out->path) != 0) {
        cnnbn_status status = cannot(out, "written");
        (void)unlink(temporary);
        return status;
    }
    return CNNBN_OK;
}

cnnbn_status owner_check(const owner *own)
{
    char line[sizeof own->line] = "";
    FILE *file = fopen(own->path, "r");
    /* A file that is not there or cannot be read names nobody else. */
    if (!file) return CNNBN_OK;
    int found = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    if (!found || strcmp(line, own->line) == 0) return CNNBN_OK;
    line[strcspn(line, "\n")] = '\0';
    return cnnbn_error(
        CNNBN_ERR_IO,
        "this folder of checkpoints has been taken over by a newer run (%s: %s); this run writes nothing "
        "more and ends",
        own->path, line);
}
