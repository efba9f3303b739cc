/* Writing checkpoints beside the training: the state is copied in memory, and a helper thread on rank 0 writes the copy while the
 * next steps run. The thread makes no MPI call. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

struct saver {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    snapshot *shot;
    saver_job job;
    int has_job, ending, started;
    cnnbn_status status;
    char message[CNNBN_ERROR_MAX]; /* error records belong to threads */
    double longest_s;
    char dir[4096];
    int keep;
    owner own;
    int cut_off; /* another run has taken the folder over */
};

/* The best one first: a run that is killed between the two goes on from the checkpoint before, and comes by here again. */
static cnnbn_status write_job(saver *s)
{
    if (s->job.best_path[0]) CNNBN_TRY(snapshot_write(s->shot, s->job.best_path, &s->own));
    CNNBN_TRY(snapshot_write(s->shot, s->job.path, &s->own));
    cnnbn_checkpoint_prune(s->dir, s->keep, s->job.best_path[0] ? s->job.best_path : NULL);
    return CNNBN_OK;
}

static void *work(void *context)
{
    saver *s = context;
    (void)pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->has_job && !s->ending) (void)pthread_cond_wait(&s->changed, &s->lock);
        if (!s->has_job) break;
        (void)pthread_mutex_unlock(&s->lock);
        double start = cnnbn_now_s();
        cnnbn_status status = owner_check(&s->own);
        if (status == CNNBN_OK) status = write_job(s);
        int cut_off = status != CNNBN_OK && owner_check(&s->own) != CNNBN_OK;
        double spent = cnnbn_now_s() - start;
        (void)pthread_mutex_lock(&s->lock);
        if (status != CNNBN_OK) {
            s->status = status;
            (void)snprintf(s->message, sizeof s->message, "%s", cnnbn_error_message());
        }
        s->cut_off |= cut_off;
        if (spent > s->longest_s) s->longest_s = spent;
        s->has_job = 0;
        (void)pthread_cond_broadcast(&s->changed);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

cnnbn_status saver_create(trainer *t, saver **out)
{
    void *memory;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(saver), "the writer of checkpoints", &memory));
    saver *s = memory;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    (void)snprintf(s->dir, sizeof s->dir, "%s", t->opt.checkpoint_dir);
    s->keep = t->opt.keep;
    cnnbn_status status = owner_claim(s->dir, cnnbn_comm_host(t->comm, 0), t->state.restarts, &s->own);
    if (status == CNNBN_OK) status = snapshot_create(t, &s->shot);
    /* Signals are for the main thread. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (status == CNNBN_OK && pthread_create(&s->thread, NULL, work, s) != 0)
        status = cnnbn_error(CNNBN_ERR_MEMORY, "cannot start the thread that writes checkpoints");
    else
        s->started = status == CNNBN_OK;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != CNNBN_OK) {
        saver_destroy(s);
        return status;
    }
    *out = s;
    return CNNBN_OK;
}

/* With the lock held: waits for the write under way and hands its outcome on. */
static cnnbn_status settle(saver *s)
{
    while (s->has_job) (void)pthread_cond_wait(&s->changed, &s->lock);
    cnnbn_status status = s->status;
    s->status = CNNBN_OK;
    return status == CNNBN_OK ? CNNBN_OK : cnnbn_error(status, "%s", s->message);
}

cnnbn_status saver_submit(saver *s, trainer *t, const saver_job *job)
{
    (void)pthread_mutex_lock(&s->lock);
    cnnbn_status status = settle(s);
    snapshot_take(s->shot, t);
    s->job = *job;
    s->has_job = 1;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

cnnbn_status saver_wait(saver *s)
{
    (void)pthread_mutex_lock(&s->lock);
    cnnbn_status status = settle(s);
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

int saver_has_failed(saver *s)
{
    (void)pthread_mutex_lock(&s->lock);
    int failed = s->status != CNNBN_OK;
    (void)pthread_mutex_unlock(&s->lock);
    return failed;
}

int saver_is_cut_off(saver *s)
{
    (void)pthread_mutex_lock(&s->lock);
    int cut_off = s->cut_off;
    (void)pthread_mutex_unlock(&s->lock);
    return cut_off;
}

double saver_seconds(saver *s)
{
    if (!s) return 0;
    (void)pthread_mutex_lock(&s->lock);
    double longest_s = s->longest_s;
    (void)pthread_mutex_unlock(&s->lock);
    return longest_s;
}

void saver_destroy(saver *s)
{
    if (!s) return;
    if (s->started) {
        (void)pthread_mutex_lock(&s->lock);
        s->ending = 1;
        (void)pthread_cond_broadcast(&s->changed);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    snapshot_destroy(s->shot);
    cnnbn_free(s);
}
