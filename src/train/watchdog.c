/* A thread a rank that ends the job when nothing moves for too long, saying who, where and what it waits for. It makes no MPI call:
 * _exit with a code is what mpirun and srun end a job for.
 *
 * The ranks of a host see one another on a board in shared memory. As long as one of them moves, nobody is stuck: a slow rank is
 * not killed while it gets on. And the threads themselves leave a sign there, so that a process that does not run at all (stopped,
 * dead) is told from one that waits. */
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

static const double silent_s = 3; /* a process whose watchdog leaves no sign for so long does not run */

/* What a rank shows the others of its host; written by it alone. */
typedef struct board_line {
    atomic_long process;
    atomic_long step;
    atomic_long beats; /* phases begun: by the main thread */
    atomic_long base;  /* operations done when the phase began */
    atomic_long count; /* operations done: as the watchdog saw last */
    atomic_long signs; /* looks that the watchdog has taken */
    char padding[128 - 6 * sizeof(atomic_long)];
} board_line;

/* What the watchdog remembers of a line. */
typedef struct memory_line {
    long signs, moves;
    double sign_s; /* when `signs` was seen to change */
} memory_line;

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ending_changed;
    int ending, started;
    cnnbn_comm *comm;
    cnnbn_shared *board;
    board_line *lines;
    memory_line *memories;
    int line, n_lines;
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

typedef enum lag { LAG_NONE, LAG_BEHIND, LAG_SILENT } lag;

/* How another rank of the host stands to this one. Within a step only this much can be told: operations are done in parts, and
 * ranks have unlike numbers of parts; but one that has not begun the step is behind. */
static lag judge(const watchdog *w, int line, double silence)
{
    const board_line *mine = &w->lines[w->line], *other = &w->lines[line];
    long step = atomic_load(&other->step), my_step = atomic_load(&mine->step);
    if (silence > silent_s && silence > w->limit_s / 4) return LAG_SILENT;
    if (step < my_step) return LAG_BEHIND;
    int has_begun = atomic_load(&other->count) != atomic_load(&other->base);
    int i_have_begun = atomic_load(&mine->count) != atomic_load(&mine->base);
    return step == my_step && i_have_begun && !has_begun ? LAG_BEHIND : LAG_NONE;
}

/* Whom this rank waits for, as far as the board of its host tells: the ranks of one kind of lag. */
static void name_others(watchdog *w, double now, lag kind, char *text, size_t bytes)
{
    int rank = cnnbn_comm_rank(w->comm), size = cnnbn_comm_size(w->comm), line = 0;
    size_t used = 0;
    text[0] = '\0';
    for (int r = 0; r < size && line < w->n_lines && used < bytes; r++) {
        if (strcmp(cnnbn_comm_host(w->comm, r), cnnbn_comm_host(w->comm, rank)) != 0) continue;
        double silence = now - w->memories[line].sign_s;
        if (r != rank && judge(w, line, silence) == kind) {
            used += (size_t)snprintf(text + used, bytes - used, "%s rank %d (process %ld, step %ld), which ",
                                     used ? "," : "", r, atomic_load(&w->lines[line].process),
                                     atomic_load(&w->lines[line].step));
            if (kind == LAG_SILENT && used < bytes)
                used += (size_t)snprintf(text + used, bytes - used, "does not run: no sign of it for %.0f s", silence);
            else if (used < bytes)
                used += (size_t)snprintf(text + used, bytes - used, "is behind");
        }
        line++;
    }
}

static void bark(watchdog *w, double now, double still_s)
{
    char where[160], others[1024];
    (void)net_count(w, where, sizeof where);
    name_others(w, now, LAG_SILENT, others, sizeof others);
    if (!others[0]) name_others(w, now, LAG_BEHIND, others, sizeof others);
    int rank = cnnbn_comm_rank(w->comm);
    (void)fprintf(stderr,
                  "cnnbn: watchdog: rank %d on %s: no progress for %.0f s in %s, step %ld, at: %s; it waits for%s; "
                  "ending the job (--watchdog)\n",
                  rank, cnnbn_comm_host(w->comm, rank), still_s, atomic_load(&w->phase),
                  atomic_load(&w->lines[w->line].step), where,
                  others[0] ? others : " itself or a rank of another host: no rank of this host is behind");
    (void)fflush(stderr);
    _exit(EXIT_STUCK);
}

/* Leaves this rank's sign and looks at all lines: 1 when anything has moved. */
static int look(watchdog *w, double now)
{
    char where[160];
    int moved = 0;
    board_line *mine = &w->lines[w->line];
    atomic_store(&mine->count, (long)net_count(w, where, sizeof where));
    (void)atomic_fetch_add(&mine->signs, 1);
    for (int i = 0; i < w->n_lines; i++) {
        memory_line *m = &w->memories[i];
        long signs = atomic_load(&w->lines[i].signs);
        long moves = atomic_load(&w->lines[i].count) + atomic_load(&w->lines[i].beats);
        if (signs != m->signs) m->sign_s = now;
        if (moves != m->moves) moved = 1;
        m->signs = signs;
        m->moves = moves;
    }
    return moved;
}

static void wait_a_little(watchdog *w)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    double wait = w->limit_s / 8 < 1 ? w->limit_s / 8 : 1;
    long nanoseconds = until.tv_nsec + (long)((wait - (double)(long)wait) * 1e9);
    until.tv_sec += (time_t)wait + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    (void)pthread_cond_timedwait(&w->ending_changed, &w->lock, &until);
}

static void *watch(void *context)
{
    watchdog *w = context;
    double since = cnnbn_now_s(), last = since;
    (void)pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        wait_a_little(w);
        if (w->ending) break;
        double now = cnnbn_now_s(), slowest = atomic_load(&w->slowest_s) * STEP_FACTOR;
        /* This process itself was stopped: what it has not seen meanwhile says nothing. */
        int slept = now - last > 2 * silent_s;
        last = now;
        if (look(w, now) || slept)
            since = now;
        else if (now - since > (w->limit_s > slowest ? w->limit_s : slowest))
            bark(w, now, now - since);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

static cnnbn_status watchdog_alloc(cnnbn_comm *comm, watchdog **out)
{
    void *memory;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(watchdog), "the watchdog", &memory));
    *out = memory;
    (*out)->n_lines = cnnbn_comm_node_size(comm);
    CNNBN_TRY(cnnbn_alloc_array((size_t)(*out)->n_lines, sizeof(memory_line), "the watchdog", &memory));
    (*out)->memories = memory;
    return CNNBN_OK;
}

static void watchdog_free(watchdog *w)
{
    if (w) cnnbn_free(w->memories);
    cnnbn_free(w);
}

cnnbn_status watchdog_start(cnnbn_comm *comm, double limit_s, watchdog **out)
{
    watchdog *w;
    *out = NULL;
    if (limit_s <= 0) return CNNBN_OK;
    cnnbn_status status = cnnbn_comm_agree(comm, watchdog_alloc(comm, &w));
    if (status != CNNBN_OK) {
        watchdog_free(w);
        return status;
    }
    w->comm = comm;
    w->limit_s = limit_s;
    w->line = cnnbn_comm_node_rank(comm);
    atomic_store(&w->phase, "start-up");
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->ending_changed, NULL);
    status = cnnbn_shared_create(comm, (size_t)cnnbn_comm_node_size(comm) * sizeof(board_line), &w->board);
    if (status != CNNBN_OK) {
        watchdog_free(w);
        return status;
    }
    w->lines = cnnbn_shared_data(w->board);
    atomic_store(&w->lines[w->line].process, (long)getpid());
    for (int i = 0; i < w->n_lines; i++) w->memories[i].sign_s = cnnbn_now_s();
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
    watchdog_free(w);
}

void watchdog_net(watchdog *w, const cnnbn_net *net)
{
    if (w) atomic_store(&w->net, net);
}

void watchdog_phase(watchdog *w, const char *phase, int64_t step)
{
    if (!w) return;
    char where[160];
    board_line *mine = &w->lines[w->line];
    long count = (long)net_count(w, where, sizeof where);
    atomic_store(&w->phase, phase);
    atomic_store(&mine->base, count);
    atomic_store(&mine->count, count);
    atomic_store(&mine->step, (long)step);
    (void)atomic_fetch_add(&mine->beats, 1);
}

void watchdog_step_seconds(watchdog *w, double seconds)
{
    if (w && seconds > atomic_load(&w->slowest_s)) atomic_store(&w->slowest_s, seconds);
}
