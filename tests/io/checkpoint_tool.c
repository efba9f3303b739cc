/* For the fault tests: one checkpoint written, or a folder looked through, by a process that may be killed on the way.
 *
 * checkpoint_tool write PATH SEED [MODEL]   a checkpoint whose weights come of SEED
 * checkpoint_tool newest DIR                the step of the newest good one, or "none"
 * checkpoint_tool digest FILE               digest of its state
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_made.h"

static int failed(cnnbn_status status)
{
    if (status == CNNBN_OK) return 0;
    (void)fprintf(stderr, "checkpoint_tool: %s\n", cnnbn_error_message());
    return cnnbn_status_exit_code(status);
}

static int write_one(const char *path, uint64_t seed, const char *model)
{
    made_checkpoint made;
    made_create(&made, model, seed);
    int code = failed(cnnbn_checkpoint_write(path, &made.checkpoint));
    made_destroy(&made);
    return code;
}

static int newest(const char *dir)
{
    char path[PATH_MAX];
    cnnbn_checkpoint *checkpoint;
    int code = failed(cnnbn_checkpoint_newest(dir, &checkpoint, path, sizeof path));
    if (code) return code;
    const cnnbn_meta *step = checkpoint ? cnnbn_checkpoint_meta(checkpoint, "step") : NULL;
    if (step)
        (void)printf("%lld\n", (long long)step->i);
    else
        (void)printf("none\n");
    cnnbn_checkpoint_destroy(checkpoint);
    return 0;
}

static int digest(const char *path)
{
    cnnbn_checkpoint *checkpoint;
    int code = failed(cnnbn_checkpoint_read(path, &checkpoint));
    if (code) return code;
    (void)printf("%s\n", checkpoint->digest);
    cnnbn_checkpoint_destroy(checkpoint);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "write") == 0)
        return write_one(argv[2], strtoull(argv[3], NULL, 10), argc > 4 ? argv[4] : MADE_MODEL);
    if (argc == 3 && strcmp(argv[1], "newest") == 0) return newest(argv[2]);
    if (argc == 3 && strcmp(argv[1], "digest") == 0) return digest(argv[2]);
    (void)fprintf(stderr, "usage: checkpoint_tool write PATH SEED [MODEL] | newest DIR | digest FILE\n");
    return 1;
}
