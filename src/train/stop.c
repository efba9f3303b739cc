/* When to stop: signals set a flag that the next step's reduction carries to all ranks; clocks do the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cnnbn/log.h"
#include "trainer.h"

static volatile sig_atomic_t came;

static void on_signal(int number)
{
    if (number == SIGINT &&
        came == SIGINT) { /* a second Ctrl-C: end at once; files are renamed into place, so none is torn */
        (void)signal(SIGINT, SIG_DFL);
        (void)raise(SIGINT);
        return;
    }
    came = number;
}

/* HUP: the terminal is gone; PIPE: whoever read the output is; XCPU: the soft limit of processor time. */
static const int caught[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGPIPE, SIGXCPU};
enum { N_CAUGHT = sizeof caught / sizeof *caught };
static struct sigaction before[N_CAUGHT];

void stop_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    (void)sigemptyset(&action.sa_mask);
    came = 0;
    for (int i = 0; i < N_CAUGHT; i++) {
        (void)sigaction(caught[i], NULL, &before[i]);
        int by_nohup = caught[i] == SIGHUP && before[i].sa_handler == SIG_IGN;
        if (!by_nohup) (void)sigaction(caught[i], &action, NULL);
    }
}

void stop_uninstall(void)
{
    /* After a signal the run is winding up with exit code 75: the same one again (Slurm and mpirun both send TERM) must not
     * end it with another. */
    for (int i = 0; i < N_CAUGHT; i++) {
        if (came && caught[i] != SIGINT)
            (void)signal(caught[i], SIG_IGN);
        else
            (void)sigaction(caught[i], &before[i], NULL);
    }
}

int stop_signal(void)
{
    return (int)came;
}

double stop_deadline_s(double start_s, double max_time_s)
{
    const double slurm_reserve_s = 30; /* what Slurm and mpirun need to wind up */
    double deadline = max_time_s > 0 ? start_s + max_time_s : INFINITY;
    const char *text = getenv("SLURM_JOB_END_TIME"); /* seconds since 1970 */
    if (text && *text) {
        char *end;
        double at = strtod(text, &end);
        if (*end == '\0' && at > 1e9) {
            double slurm = cnnbn_now_s() + (at - (double)time(NULL)) - slurm_reserve_s;
            if (slurm < deadline) deadline = slurm;
        }
    }
    return deadline;
}
