#define _GNU_SOURCE /* strsignal, prctl */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "h5_internal.h"

/* Far more than a file needs: reading goes at 100 MB/s and more, and compressed data are rarely a tenth of what they stand for. */
enum { SECONDS = 4, BYTES_PER_SECOND = 10 << 20, MEMORY_FACTOR = 32 };
static const rlim_t memory_least = (rlim_t)2 << 30;

typedef struct report { /* shared by both processes */
    int done;
    cnnbn_status status;
    char message[CNNBN_ERROR_MAX];
} report;

/* What the process occupies now; the limit counts that too. */
static rlim_t address_space(void)
{
    char text[32] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) (void)close(fd);
    return got > 0 ? (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) : 0;
}

static void limit(__rlimit_resource_t resource, rlim_t most)
{
    struct rlimit r;
    if (getrlimit(resource, &r) != 0) return;
    if (r.rlim_max == RLIM_INFINITY || most < r.rlim_max) r.rlim_max = most;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(resource, &r);
}

static rlim_t seconds_for(uint64_t bytes)
{
    return SECONDS + bytes / BYTES_PER_SECOND;
}

/* The signals that stop a run are the parent's business: it waits for the child. */
static void prepare_child(uint64_t bytes)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU},
                     stops[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) (void)signal(crashes[i], SIG_DFL);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) (void)signal(stops[i], SIG_IGN);
    rlim_t now = address_space();
    if (now) limit(RLIMIT_AS, now + memory_least + MEMORY_FACTOR * bytes);
    limit(RLIMIT_CPU, seconds_for(bytes));
    limit(RLIMIT_CORE, 0);
    int null = open("/dev/null", O_WRONLY);
    if (null < 0) return;
    (void)dup2(null, STDOUT_FILENO); /* warnings are said by the parent */
    (void)dup2(null, STDERR_FILENO);
}

static CNNBN_NORETURN void run_child(report *shared, uint64_t bytes, cnnbn__trial_job job, void *context)
{
    prepare_child(bytes);
    cnnbn__h5_after_fork();
    shared->status = job(context);
    if (shared->status != CNNBN_OK)
        (void)snprintf(shared->message, sizeof shared->message, "%s", cnnbn_error_message());
    shared->done = 1;
    _exit(0);
}

static cnnbn_status died(const char *path, cnnbn_status bad, int how, uint64_t bytes)
{
    char reason[120];
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        (void)snprintf(reason, sizeof reason, "not done after %llu s of processor time",
                       (unsigned long long)seconds_for(bytes));
    else if (WIFSIGNALED(how))
        (void)snprintf(reason, sizeof reason, "signal %d, %s", WTERMSIG(how), strsignal(WTERMSIG(how)));
    else
        (void)snprintf(reason, sizeof reason, "exit code %d", WIFEXITED(how) ? WEXITSTATUS(how) : how);
    return cnnbn_error(bad,
                       "%s: damaged or hostile: HDF5 did not survive reading it in a trial process (%s); refused. "
                       "h5dump or h5repack may tell more",
                       path, reason);
}

static cnnbn_status run(report *shared, const char *path, cnnbn_status bad, cnnbn__trial_job job, void *context)
{
    struct stat about;
    uint64_t bytes = stat(path, &about) == 0 && about.st_size > 0 ? (uint64_t)about.st_size : 0;
    cnnbn__h5_scope scope;
    /* Nobody else is inside HDF5 while its state is copied. */
    cnnbn__h5_enter(&scope);
    pid_t child = fork();
    if (child == 0) run_child(shared, bytes, job, context);
    cnnbn__h5_leave(&scope);
    if (child < 0)
        return cnnbn_error(CNNBN_ERR_IO,
                           "%s: no process can be made to try it in (%s); CNNBN_TRUST_FILES=1 reads it without a trial",
                           path, strerror(errno));
    int how = 0;
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    if (!shared->done) return died(path, bad, how, bytes);
    return shared->status == CNNBN_OK ? CNNBN_OK : cnnbn_error(shared->status, "%s", shared->message);
}

cnnbn_status cnnbn__trial(const char *path, cnnbn_status bad, cnnbn__trial_job job, void *context)
{
    const char *trust = getenv("CNNBN_TRUST_FILES");
    if (trust && strcmp(trust, "1") == 0) return CNNBN_OK;
    void *memory = mmap(NULL, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return cnnbn_error(CNNBN_ERR_MEMORY, "%s: no memory to try it: %s", path, strerror(errno));
    cnnbn_status status = run(memory, path, bad, job, context);
    (void)munmap(memory, sizeof(report));
    return status;
}
