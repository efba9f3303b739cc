/* Internal: the parts of a training run. */
#ifndef CNNBN_TRAIN_INTERNAL_H
#define CNNBN_TRAIN_INTERNAL_H

#include <signal.h>
#include <stdio.h>

#include "cnnbn/checkpoint.h"
#include "cnnbn/train.h"
#include "objective.h"

/* ---------------------------------------------------------------- feed.c: samples to this rank */

/* One copy of a split a node in shared memory, or a stream of chunks when that is more than allowed. */
typedef struct feed feed;
typedef struct watchdog watchdog;
cnnbn_status feed_create(cnnbn_comm *comm, cnnbn_dataset *dataset, cnnbn_split split, size_t memory_bytes,
                         int max_batch, watchdog *w, feed **out);
void feed_destroy(feed *f); /* collective */
int feed_is_shared(const feed *f);
/* Announces the samples of a coming batch (streams read ahead); at most two batches ahead of feed_take. */
cnnbn_status feed_ask(feed *f, const uint32_t *ids, size_t n);
/* Pointers to the images, targets and ids of the oldest batch asked for; borrowed until the next take. */
cnnbn_status feed_take(feed *f, const void *const **images, cnnbn_targets *targets, const uint64_t **ids, size_t *n);
void feed_forget(feed *f); /* drops what was asked for and not taken */

/* ---------------------------------------------------------------- mixup.c */

typedef struct mixup mixup;
/* For batches of up to max_batch samples on this rank and n_targets outputs; *out NULL when alpha is 0. */
cnnbn_status mixup_create(double alpha, int n_targets, size_t max_batch, mixup **out);
void mixup_destroy(mixup *m);
/* What to ask of the feed for the samples [first, first + n) of a batch of `count`: these n, then their n partners. Borrowed until
 * the next call. */
const uint32_t *mixup_ids(mixup *m, const uint32_t *batch, size_t count, size_t first, size_t n);
/* Of a batch that holds, behind images, targets and ids of its n_local samples, those of their partners: draws the weights and
 * mixes the targets. The net mixes the images. Borrowed until the next call. */
void mixup_apply(mixup *m, uint64_t seed, cnnbn_batch *batch);

/* ---------------------------------------------------------------- stop.c: signals and time */

typedef enum stop_reason { STOP_NONE = 0, STOP_SIGNAL, STOP_TIME } stop_reason;
void stop_install(
    void); /* TERM, INT, USR1, HUP, PIPE, XCPU set a flag (HUP not under nohup); a second INT ends at once */
void stop_uninstall(void); /* as before; all but INT stay ignored where one came */
int stop_signal(void);     /* the signal that came, or 0 */
/* Time by which to stop, as cnnbn_now_s; INFINITY: none. From max_time_s (after start_s) and SLURM_JOB_END_TIME. */
double stop_deadline_s(double start_s, double max_time_s);

/* ---------------------------------------------------------------- logs.c: CSV files */

typedef struct csv_log csv_log;
/* Opens path for writing; when keep_below >= 0, rows whose first number is smaller stay (a torn last line goes). */
cnnbn_status csv_open(const char *path, const char *header, int64_t keep_below, csv_log **out);
void csv_row(csv_log *log, const char *format, ...) CNNBN_PRINTF(2, 3);
cnnbn_status csv_flush(csv_log *log); /* to the disk: before a checkpoint that counts on it */
cnnbn_status csv_close(csv_log *log); /* NULL is fine */

/* ---------------------------------------------------------------- owner.c: whose folder of checkpoints it is */

/* The newest run in a folder leaves its name in DIR/run.owner; an older one that is still alive somewhere, cut off from its
 * launcher or its peers, reads it before it writes, and leaves the files alone. */
typedef struct owner {
    char path[4200];
    char line[512];
} owner;
cnnbn_status owner_claim(const char *dir, const char *host, int64_t restarts, owner *out);
/* CNNBN_ERR_IO with the other's name when the folder is another run's by now. */
cnnbn_status owner_check(const owner *own);

/* ---------------------------------------------------------------- state.c: what a checkpoint holds */

/* The best figure so far, and for how long it has been the best (monitor.c). */
typedef struct watched {
    double best; /* NAN: none yet */
    int64_t wait;
} watched;

typedef struct run_state {
    int64_t epoch; /* epochs completed */
    int64_t step;  /* steps done in the current epoch */
    int64_t global_step;
    int64_t epoch_samples; /* of the current epoch so far */
    double best;           /* of --checkpoint-best; NAN: none yet */
    int64_t best_epoch;    /* epochs completed with it */
    double lr;             /* what --reduce-lr-on-plateau has left of the rate */
    watched plateau, early;
    int64_t cooldown; /* epochs left, of --reduce-lr-on-plateau */
    int64_t stopped;  /* 1: --early-stopping has ended the run */
    int64_t restored; /* epoch whose weights --restore-best has put back; 0: none */
    int64_t restarts; /* how often the run was resumed */
} run_state;

/* One option that decides the mathematics, as text. */
typedef struct identity_entry {
    char key[32];
    char value[192];
} identity_entry;
enum { IDENTITY_MAX = 64 };
typedef struct identity {
    int n;
    identity_entry entries[IDENTITY_MAX];
} identity;

typedef struct trainer trainer;

void identity_fill(const trainer *t, const char *data_digest, identity *out);
cnnbn_status identity_check_override(const identity *id, const char *list); /* of names that can be in an identity */
/* Copies weights and slots out of the net into buffers of the snapshot; meta from the state. Rank 0 only. */
typedef struct snapshot snapshot;
cnnbn_status snapshot_create(const trainer *t, snapshot **out);
void snapshot_destroy(snapshot *s);
void snapshot_take(snapshot *s, trainer *t);
cnnbn_status snapshot_write(const snapshot *s, const char *path, const owner *own);
/* Puts a checkpoint into the net and the state, after checking that it belongs to this run. Rank 0 only. */
cnnbn_status state_restore(trainer *t, const cnnbn_checkpoint *checkpoint, const char *path);
/* Whether a checkpoint is of the run's model. */
cnnbn_status state_check_model(const trainer *t, const cnnbn_checkpoint *checkpoint, const char *path);
/* The average of the weights, with --ema; rank 0. */
cnnbn_status state_restore_ema(trainer *t, const cnnbn_checkpoint *checkpoint, const char *path);
/* Everything restored on rank 0 to all ranks. Collective. */
cnnbn_status state_broadcast(trainer *t);

/* ---------------------------------------------------------------- saver.c: writing beside the training */

typedef struct saver saver;
typedef struct saver_job {
    char path[4096];
    char best_path[4096]; /* "" or a second name for the same contents */
} saver_job;
cnnbn_status saver_create(trainer *t, saver **out);
/* Waits for the write before, takes a snapshot, starts writing. Returns the outcome of the write before. */
cnnbn_status saver_submit(saver *s, trainer *t, const saver_job *job);
cnnbn_status saver_wait(saver *s); /* outcome of the last write */
int saver_has_failed(saver *s);    /* without waiting; cleared by saver_wait or saver_submit */
int saver_is_cut_off(saver *s);    /* another run has taken the folder over: nothing is written any more */
double saver_seconds(saver *s);    /* of the longest write so far */
void saver_destroy(saver *s);

/* ---------------------------------------------------------------- progress.c: what is seen */

typedef struct progress progress;
cnnbn_status progress_create(int quiet, int mode, const objective *names, progress **out); /* names are borrowed */
void progress_destroy(progress *p);
void progress_epoch(progress *p, int64_t epoch, int64_t epochs, int64_t first_step, int64_t steps);
void progress_step(progress *p, int64_t step, size_t images, const epoch_figures *so_far);
void progress_epoch_end(progress *p, double seconds, double images_per_s, const epoch_figures *f);
void progress_clear(progress *p); /* removes an unfinished bar, so that other lines can be printed */

/* ---------------------------------------------------------------- watchdog.c */

cnnbn_status watchdog_start(cnnbn_comm *comm, double limit_s,
                            watchdog **out);          /* collective; *out NULL when limit_s is 0 */
void watchdog_stop(watchdog *w);                      /* collective; NULL is fine */
void watchdog_net(watchdog *w, const cnnbn_net *net); /* borrows the net; NULL: none */
/* What this rank does now ("training", "validation", ...), and the step; text must live for ever. NULL w is fine. */
void watchdog_phase(watchdog *w, const char *phase, int64_t step);
void watchdog_step_seconds(watchdog *w, double seconds); /* the limit grows with the slowest step */

/* ---------------------------------------------------------------- evaluate.c */

typedef struct evaluation_wish {
    size_t n_samples;
    int64_t *confusion; /* [n_classes][n_classes], where a sample has one class; or NULL */
    int n_classes, n_outputs;
    watchdog *dog;
    int (*stop)(void *); /* or NULL */
    void *stop_context;
} evaluation_wish;
/* Whole split over all ranks: sums [cnnbn_net_n_sums] of all samples, the regularisers' penalty in the loss of each. *stopped is set when a rank's stop flag ended it early (then
 * there is no result). Collective. */
cnnbn_status evaluate_split(cnnbn_net *net, cnnbn_comm *comm, feed *f, const evaluation_wish *wish, int *stopped,
                            double *sums);

/* ---------------------------------------------------------------- monitor.c: what looks at an epoch's figures */

/* At the end of an epoch; local, equal on all ranks as the figures are. */
int monitor_best(trainer *t, const epoch_figures *f);       /* whether it is the best by --checkpoint-best */
void monitor_plateau(trainer *t, const epoch_figures *f);   /* may lower state.lr */
void monitor_stopping(trainer *t, const epoch_figures *f);  /* may set state.stopped */
cnnbn_status monitor_check(const trainer *t);               /* options that do not go together; before the start */
double rate_of_step(const trainer *t, int64_t global_step); /* learning rate */
/* --restore-best: the weights of best.h5 to all ranks; nothing when the option is off or they are there. Collective. */
cnnbn_status monitor_restore_best(trainer *t);

/* ---------------------------------------------------------------- trace.c: a timeline of the first steps */

typedef struct trace trace;
/* What the run itself does; beside the net's activities (net.h). */
typedef enum trace_what { TRACE_STEP = -100, TRACE_DATA = -101, TRACE_CHECKPOINT = -102 } trace_what;
cnnbn_status trace_open(trainer *t); /* collective; nothing without --trace */
/* Ends now, started at start_s. */
void trace_note(trainer *t, trace_what what, double start_s);
int trace_is_complete(const trainer *t); /* as many steps as asked for; equal on all ranks */
/* Gathers and writes, once; nothing when it has been written. Collective. A file that cannot be written is a warning. */
cnnbn_status trace_write(trainer *t);
void trace_discard(trainer *t); /* local */

/* ---------------------------------------------------------------- the run */

struct trainer {
    cnnbn_comm *comm;
    cnnbn_train_options opt; /* resolved: slices, threads filled in */
    const cnnbn_kernels *kernels;
    cnnbn_dataset *dataset;
    const cnnbn_dataset_info *info;
    char data_digest[CNNBN_DIGEST_TEXT];
    cnnbn_model *model;
    objective aim;
    cnnbn_net *net;
    double *epoch_sums, *test_sums, *step_sums; /* [n_sums]: of the current epoch so far; of a validation; of a step */
    feed *feeds[2];
    uint32_t *order;
    mixup *mix;                                 /* or NULL */
    int64_t batches_per_epoch, steps_per_epoch; /* opt.accumulate batches a step */
    int64_t asked;                              /* batches of the epoch that the feed knows of */
    run_state state;
    identity id;
    saver *save;
    progress *show;
    watchdog *dog;
    trace *timeline; /* while it is recorded, else NULL */
    csv_log *log, *log_steps;
    double start_s, deadline_s, last_checkpoint_s, slowest_step_s;
    double train_s;              /* spent in steps, this process */
    double loop_s, checkpoint_s; /* for the report (train.h) */
    int64_t train_images;
    double epoch_s; /* of the current epoch, in steps */
    double data_s;  /* of these, asking and waiting for batches */
    int64_t epoch_images;
    int stop_now; /* stop_reason agreed on by all ranks */
    int resumed;
};

/* timing.c: what the operations took in the epoch */
void profile_report(const trainer *t);           /* rank 0 */
cnnbn_status straggler_report(const trainer *t); /* collective */

/* setup.c */
cnnbn_status trainer_open(trainer *t);
void trainer_close(trainer *t);
/* header.c */
void header_print(const trainer *t, FILE *out);
/* For the n innermost values of the model's input: the images' channels, or the columns where the model takes (H, W). */
void input_affine(const cnnbn_dataset_info *info, int n, float *scale, float *shift);

#endif
