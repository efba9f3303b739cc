/* A thread a rank that ends the job when nothing moves for too long, saying who, where and what it waits for. It makes no MPI call:
 * _exit with a code is what mpirun and srun end a job for. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

enum { EXIT_STUCK = 3, STEP_FACTOR = 10 }; /* a step may take ten times the slowest so far */

/* What a rank shows the others of its node; written by it alone. */
typedef struct board_line {
    atomic_long step, beats;
    char padding[112];
} board_line;

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ending_changed;
    int ending, started;
    cnnbn_comm *comm;
    cnnbn_shared *board;
    board_line *lines;
    int line;
    double limit_s;
    _Atomic double slowest_s;
    _Atomic(const char *) phase;
    _Atomic(const cnnbn_net *) net;
};

static uint64_t net_count(watchdog *w, char *text, size_t bytes)
{
    uint64_t count = 0;
    const cnnbn_net *net = atomic_load(&w->net);
    (void)snprintf(text, bytes, "between steps");
    if (net) cnnbn_net_position(net, text, bytes, &count);
    return count;
}

/* Ranks of this node whose step is behind: the likely culprits. */
static void name_others(watchdog *w, char *text, size_t bytes)
{
    int rank = cnnbn_comm_rank(w->comm), size = cnnbn_comm_size(w->comm), line = 0;
    long mine = atomic_load(&w->lines[w->line].step);
    size_t used = 0;
    text[0] = '\0';
    for (int r = 0; r < size && used < bytes; r++) {
        if (strcmp(cnnbn_comm_host(w->comm, r), cnnbn_comm_host(w->comm, rank)) != 0) continue;
        long step = atomic_load(&w->lines[line].step);
        if (line != w->line && step < mine)
            used += (size_t)snprintf(text + used, bytes - used, "%s%d (at step %ld)", used ? ", " : "", r, step);
        line++;
    }
}

static void bark(watchdog *w, double still_s)
{
    char where[160], others[512];
    (void)net_count(w, where, sizeof where);
    name_others(w, others, sizeof others);
    int rank = cnnbn_comm_rank(w->comm);
    long step = atomic_load(&w->lines[w->line].step);
    (void)fprintf(stderr,
                  "cnnbn: watchdog: rank %d on %s: no progress for %.0f s in %s, step %ld, at: %s; it waits for itself "
                  "or another rank%s%s; ending the job (--watchdog)\n",
                  rank, cnnbn_comm_host(w->comm, rank), still_s, atomic_load(&w->phase), step, where,
                  others[0] ? "; behind on this host: rank " : "", others);
    (void)fflush(stderr);
    _exit(EXIT_STUCK);
}

static void *watch(void *context)
{
    watchdog *w = context;
    char where[160];
    uint64_t seen = 0;
    long beats = -1;
    double since = cnnbn_now_s();
    (void)pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        double wait = w->limit_s / 8 < 1 ? w->limit_s / 8 : 1;
        long nanoseconds = until.tv_nsec + (long)((wait - (double)(long)wait) * 1e9);
        until.tv_sec += (time_t)wait + nanoseconds / 1000000000;
        until.tv_nsec = nanoseconds % 1000000000;
        (void)pthread_cond_timedwait(&w->ending_changed, &w->lock, &until);
        if (w->ending) break;
        uint64_t count = net_count(w, where, sizeof where);
        long beat = atomic_load(&w->lines[w->line].beats);
        double now = cnnbn_now_s(), slowest = atomic_load(&w->slowest_s) * STEP_FACTOR;
        if (count != seen || beat != beats) {
            seen = count;
            beats = beat;
            since = now;
        } else if (now - since > (w->limit_s > slowest ? w->limit_s : slowest)) {
            bark(w, now - since);
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

cnnbn_status watchdog_start(cnnbn_comm *comm, double limit_s, watchdog **out)
{
    void *memory = NULL;
    *out = NULL;
    if (limit_s <= 0) return CNNBN_OK;
    cnnbn_status status = cnnbn_comm_agree(comm, cnnbn_alloc(sizeof(watchdog), "the watchdog", &memory));
    if (status != CNNBN_OK) {
        cnnbn_free(memory);
        return status;
    }
    watchdog *w = memory;
    w->comm = comm;
    w->limit_s = limit_s;
    w->line = cnnbn_comm_node_rank(comm);
    atomic_store(&w->phase, "start-up");
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->ending_changed, NULL);
    status = cnnbn_shared_create(comm, (size_t)cnnbn_comm_node_size(comm) * sizeof(board_line), &w->board);
    if (status != CNNBN_OK) {
        cnnbn_free(w);
        return status;
    }
    w->lines = cnnbn_shared_data(w->board);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    w->started = pthread_create(&w->thread, NULL, watch, w) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!w->started) cnnbn_warn("the watchdog's thread could not be started: a stuck run would not be noticed");
    *out = w;
    return CNNBN_OK;
}

void watchdog_stop(watchdog *w)
{
    if (!w) return;
    if (w->started) {
        (void)pthread_mutex_lock(&w->lock);
        w->ending = 1;
        (void)pthread_cond_broadcast(&w->ending_changed);
        (void)pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    cnnbn_shared_destroy(w->board);
    (void)pthread_cond_destroy(&w->ending_changed);
    (void)pthread_mutex_destroy(&w->lock);
    cnnbn_free(w);
}

void watchdog_net(watchdog *w, const cnnbn_net *net)
{
    if (w) atomic_store(&w->net, net);
}

void watchdog_phase(watchdog *w, const char *phase, int64_t step)
{
    if (!w) return;
    atomic_store(&w->phase, phase);
    atomic_store(&w->lines[w->line].step, (long)step);
    (void)atomic_fetch_add(&w->lines[w->line].beats, 1);
}

void watchdog_step_seconds(watchdog *w, double seconds)
{
    if (w && seconds > atomic_load(&w->slowest_s)) atomic_store(&w->slowest_s, seconds);
}
