/* What is seen while it runs: Keras' bar on a terminal, one line an epoch elsewhere. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

enum { BAR_WIDTH = 20 };
static const double redraw_s = 0.1;

struct progress {
    int quiet, bar;
    int64_t epoch, epochs, first_step, steps, samples;
    double start_s, drawn_s;
    const objective *names;
    int is_drawn;
};

/* Whether what is printed comes out on a terminal. Open MPI gives each rank a terminal of its own whatever mpirun's output is, so there
 * the launcher's output is looked at: it is the parent of rank 0. */
static int seen_by_person(void)
{
    char path[64], target[256];
    if (!isatty(STDOUT_FILENO)) return 0;
    if (!getenv("OMPI_COMM_WORLD_RANK")) return 1;
    (void)snprintf(path, sizeof path, "/proc/%ld/fd/1", (long)getppid());
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0) return 0;
    target[n] = '\0';
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

cnnbn_status progress_create(int quiet, int mode, const objective *names, progress **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc(sizeof(progress), "progress", &memory));
    progress *p = memory;
    p->quiet = quiet;
    p->names = names;
    p->bar = !quiet && (mode < 0 ? seen_by_person() : mode);
    *out = p;
    return CNNBN_OK;
}

void progress_destroy(progress *p)
{
    cnnbn_free(p);
}

void progress_clear(progress *p)
{
    if (!p || !p->is_drawn) return;
    (void)printf("\r\033[K");
    (void)fflush(stdout);
    p->is_drawn = 0;
}

void progress_epoch(progress *p, int64_t epoch, int64_t epochs, int64_t first_step, int64_t steps)
{
    p->epoch = epoch;
    p->epochs = epochs;
    p->first_step = first_step;
    p->steps = steps;
    p->samples = 0;
    p->start_s = cnnbn_now_s();
    p->drawn_s = 0;
}

static void duration_text(double seconds, char *text, size_t bytes)
{
    long s = lround(seconds);
    if (s >= 3600)
        (void)snprintf(text, bytes, "%ldh%02ldm", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        (void)snprintf(text, bytes, "%ldm%02lds", s / 60, s % 60);
    else
        (void)snprintf(text, bytes, "%lds", s);
}

void progress_step(progress *p, int64_t step, size_t images, const epoch_figures *so_far)
{
    p->samples += (int64_t)images;
    double now = cnnbn_now_s();
    if (!p->bar || (now - p->drawn_s < redraw_s && step != p->steps)) return;
    p->drawn_s = now;
    double spent = now - p->start_s, done = (double)(step - p->first_step);
    char bar[BAR_WIDTH + 1], left[32], figures[FIGURES_TEXT];
    int full = (int)(BAR_WIDTH * step / p->steps);
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < full ? '=' : i == full ? '>' : '.';
    bar[BAR_WIDTH] = '\0';
    duration_text(spent / (done > 0 ? done : 1) * (double)(p->steps - step), left, sizeof left);
    figures_line(p->names, so_far, figures, sizeof figures);
    (void)printf("\rEpoch %ld/%ld  %ld/%ld [%s] %s left, %.0f images/s%s\033[K", (long)p->epoch, (long)p->epochs,
                 (long)step, (long)p->steps, bar, left, (double)p->samples / (spent > 0 ? spent : 1), figures);
    (void)fflush(stdout);
    p->is_drawn = 1;
}

void progress_epoch_end(progress *p, double seconds, double images_per_s, const epoch_figures *f)
{
    if (p->quiet) return;
    progress_clear(p);
    char time[32], figures[FIGURES_TEXT];
    duration_text(seconds, time, sizeof time);
    figures_line(p->names, f, figures, sizeof figures);
    (void)printf("Epoch %ld/%ld  %s, %.0f images/s%s\n", (long)p->epoch, (long)p->epochs, time, images_per_s, figures);
    (void)fflush(stdout);
}
