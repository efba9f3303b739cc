/* --trace: the first steps of a run as a timeline in Chrome's trace format, which opens in Perfetto. A process a rank, a row a
 * thread, all ranks on the clock of rank 0. Memory is asked for at the start; events that find no room are counted. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

enum {
    NET_EVENTS = 1 << 19, /* of a rank: 16 MB */
    OWN_EVENTS = 1 << 14,
    PIECE = 4096,       /* events sent to rank 0 at once */
    ROWS_A_RANK = 1024, /* thread numbers in the file are unique over all ranks */
    PING_PONGS = 20
};

/* Clock of a rank minus the clock of rank 0, measured at the start and at the end: clocks drift. */
typedef struct clock_offset {
    double at_s[2], offset_s[2];
} clock_offset;

struct trace {
    FILE *file; /* rank 0 */
    int64_t first_step, steps;
    double start_s; /* rank 0's clock */
    size_t max_a_thread, n_own, n_own_lost;
    cnnbn_net_event *net_events, *own_events, *piece;
    clock_offset *clocks; /* [size], known to rank 0 */
};

/* ---------------------------------------------------------------- clocks */

/* Offset of rank r by ping-pong: what rank r reads stands between two looks of rank 0; the shortest round counts. */
static cnnbn_status ping_pong(cnnbn_comm *comm, int r, double *offset)
{
    double shortest = (double)INFINITY;
    for (int i = 0; i < PING_PONGS; i++) {
        char ping = 0;
        double before = cnnbn_now_s(), there;
        CNNBN_TRY(cnnbn_comm_bcast(comm, &ping, 1, 0));
        there = cnnbn_now_s();
        CNNBN_TRY(cnnbn_comm_bcast(comm, &there, sizeof there, r));
        double after = cnnbn_now_s();
        CNNBN_TRY(cnnbn_comm_barrier(comm));
        if (after - before >= shortest) continue;
        shortest = after - before;
        *offset = there - (before + after) / 2;
    }
    return CNNBN_OK;
}

/* Ranks of a host have one clock. */
static cnnbn_status look_at_clocks(trainer *t, int which)
{
    clock_offset *clocks = t->timeline->clocks;
    for (int r = 0; r < cnnbn_comm_size(t->comm); r++) {
        int same = 0;
        while (strcmp(cnnbn_comm_host(t->comm, same), cnnbn_comm_host(t->comm, r)) != 0) same++;
        clocks[r].offset_s[which] = r == same ? 0 : clocks[same].offset_s[which];
        if (r == same && r > 0) CNNBN_TRY(ping_pong(t->comm, r, &clocks[r].offset_s[which]));
        clocks[r].at_s[which] = cnnbn_now_s();
    }
    return CNNBN_OK;
}

/* Between the two looks the offset is taken to change evenly. */
static double on_common_clock(const clock_offset *c, double s)
{
    double passed = c->at_s[1] - c->at_s[0];
    double part = passed > 0 ? (s - c->offset_s[0] - c->at_s[0]) / passed : 0;
    return s - (c->offset_s[0] + part * (c->offset_s[1] - c->offset_s[0]));
}

/* ---------------------------------------------------------------- recording */

static cnnbn_status allocate(const trainer *t, trace *tr)
{
    void *memory = NULL;
    CNNBN_TRY(cnnbn_alloc_array(NET_EVENTS, sizeof(cnnbn_net_event), "the timeline", &memory));
    tr->net_events = memory;
    CNNBN_TRY(cnnbn_alloc_array(OWN_EVENTS, sizeof(cnnbn_net_event), "the timeline", &memory));
    tr->own_events = memory;
    CNNBN_TRY(cnnbn_alloc_array(PIECE, sizeof(cnnbn_net_event), "the timeline", &memory));
    tr->piece = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)cnnbn_comm_size(t->comm), sizeof(clock_offset), "the timeline", &memory));
    tr->clocks = memory;
    return CNNBN_OK;
}

static cnnbn_status prepare(trainer *t)
{
    void *memory = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(trace), "the timeline", &memory));
    t->timeline = memory;
    CNNBN_TRY(allocate(t, t->timeline));
    if (cnnbn_comm_rank(t->comm) != 0) return CNNBN_OK;
    t->timeline->file = fopen(t->opt.trace, "we");
    return t->timeline->file
               ? CNNBN_OK
               : cnnbn_error(CNNBN_ERR_IO, "--trace %s: cannot be written: %s", t->opt.trace, strerror(errno));
}

cnnbn_status trace_open(trainer *t)
{
    if (!t->opt.trace) return CNNBN_OK;
    CNNBN_TRY(cnnbn_comm_agree(t->comm, prepare(t)));
    trace *tr = t->timeline;
    CNNBN_TRY(look_at_clocks(t, 0));
    tr->first_step = t->state.global_step;
    tr->start_s = cnnbn_now_s();
    tr->max_a_thread = NET_EVENTS / (size_t)t->opt.threads;
    cnnbn_net_trace(t->net, tr->net_events, tr->max_a_thread);
    return CNNBN_OK;
}

void trace_note(trainer *t, trace_what what, double start_s)
{
    trace *tr = t->timeline;
    if (!tr) return;
    if (what == TRACE_STEP) tr->steps++;
    if (tr->n_own == OWN_EVENTS) {
        tr->n_own_lost++;
        return;
    }
    tr->own_events[tr->n_own++] = (cnnbn_net_event){
        .start_s = start_s,
        .end_s = cnnbn_now_s(),
        .what = (int32_t)what,
        .detail = (int32_t)(t->state.global_step & 0x7fffffff),
    };
}

int trace_is_complete(const trainer *t)
{
    return t->timeline && t->opt.trace_steps > 0 && t->timeline->steps >= t->opt.trace_steps;
}

/* ---------------------------------------------------------------- writing */

/* Events [from, from + max) of this rank, its own and then each thread's, into the piece; returns how many there are. */
static size_t take(const trainer *t, size_t from)
{
    const trace *tr = t->timeline;
    size_t n = 0;
    for (int part = -1; part < t->opt.threads && n < PIECE; part++) {
        size_t lost, count = part < 0 ? tr->n_own : cnnbn_net_trace_count(t->net, part, &lost);
        const cnnbn_net_event *events = part < 0 ? tr->own_events : tr->net_events + (size_t)part * tr->max_a_thread;
        if (from >= count) {
            from -= count;
            continue;
        }
        size_t taken = count - from < PIECE - n ? count - from : PIECE - n;
        memcpy(tr->piece + n, events + from, taken * sizeof *events);
        n += taken;
        from = 0;
    }
    return n;
}

static void put_text(FILE *file, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') (void)fputc('\\', file);
        if (c >= 0x20) (void)fputc(c, file);
    }
}

static const char *category(const cnnbn_net_event *event)
{
    if (event->what >= 0) return "operation";
    switch (event->what) {
    case CNNBN_ACTIVITY_WAIT:
        return "wait";
    case CNNBN_ACTIVITY_SUMS:
    case CNNBN_ACTIVITY_START:
    case CNNBN_ACTIVITY_PROGRESS:
    case CNNBN_ACTIVITY_GRADIENTS:
        return "reduction";
    default:
        return event->what <= (int32_t)TRACE_STEP ? "run" : "other";
    }
}

static void name_event(const trainer *t, const cnnbn_net_event *event, char *text, size_t bytes)
{
    if (event->what == (int32_t)TRACE_STEP)
        (void)snprintf(text, bytes, "step %" PRId32, event->detail);
    else if (event->what == (int32_t)TRACE_DATA)
        (void)snprintf(text, bytes, "wait for data");
    else if (event->what == (int32_t)TRACE_CHECKPOINT)
        (void)snprintf(text, bytes, "checkpoint");
    else
        cnnbn_net_trace_name(t->net, event, text, bytes);
}

static void put_event(const trainer *t, int rank, const cnnbn_net_event *event)
{
    char name[CNNBN_NAME_MAX + 64];
    const trace *tr = t->timeline;
    double start = on_common_clock(&tr->clocks[rank], event->start_s) - tr->start_s;
    name_event(t, event, name, sizeof name);
    (void)fputs(",\n{\"ph\":\"X\",\"name\":\"", tr->file);
    put_text(tr->file, name);
    (void)fprintf(tr->file, "\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f}", category(event),
                  rank + 1, rank * ROWS_A_RANK + event->thread + 1, start * 1e6, (event->end_s - event->start_s) * 1e6);
}

/* Names of the process and its rows. Numbers start at 1: viewers keep 0 for themselves. */
static void put_rank(const trainer *t, int rank)
{
    FILE *file = t->timeline->file;
    (void)fprintf(file, "%s\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"rank %d on ",
                  rank ? "," : "", rank + 1, rank);
    put_text(file, cnnbn_comm_host(t->comm, rank));
    (void)fprintf(file, "\"}},\n{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%d,\"args\":{\"sort_index\":%d}}",
                  rank + 1, rank);
    for (int thread = 0; thread < t->opt.threads; thread++)
        (void)fprintf(file,
                      ",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"thread "
                      "%d\"}}",
                      rank + 1, rank * ROWS_A_RANK + thread + 1, thread);
}

/* A rank's events come to rank 0 piece by piece, whatever their number. */
static cnnbn_status write_rank(const trainer *t, int rank)
{
    const trace *tr = t->timeline;
    int is_mine = cnnbn_comm_rank(t->comm) == rank;
    if (tr->file) put_rank(t, rank);
    for (size_t from = 0;;) {
        size_t n = is_mine ? take(t, from) : 0;
        CNNBN_TRY(cnnbn_comm_bcast(t->comm, &n, sizeof n, rank));
        if (n == 0) return CNNBN_OK;
        CNNBN_TRY(cnnbn_comm_bcast(t->comm, tr->piece, n * sizeof *tr->piece, rank));
        for (size_t i = 0; tr->file && i < n; i++) put_event(t, rank, &tr->piece[i]);
        from += n;
    }
}

static void say_outcome(trainer *t, double lost)
{
    trace *tr = t->timeline;
    errno = 0;
    int failed = ferror(tr->file) || fflush(tr->file) != 0, reason = errno;
    failed |= fclose(tr->file) != 0;
    tr->file = NULL;
    progress_clear(t->show);
    if (failed)
        cnnbn_warn("--trace %s: cannot be written: %s", t->opt.trace, strerror(reason ? reason : errno));
    else if (!t->opt.quiet)
        (void)printf("Timeline of %" PRId64 " steps, from step %" PRId64
                     " on: %s (open it in https://ui.perfetto.dev)\n",
                     tr->steps, tr->first_step, t->opt.trace);
    if (lost > 0)
        cnnbn_warn("--trace: %.0f events of the timeline found no room; ask for fewer steps by --trace-steps", lost);
}

static cnnbn_status write_all(trainer *t)
{
    trace *tr = t->timeline;
    double lost = (double)tr->n_own_lost;
    for (int thread = 0; thread < t->opt.threads; thread++) {
        size_t n;
        (void)cnnbn_net_trace_count(t->net, thread, &n);
        lost += (double)n;
    }
    CNNBN_TRY(cnnbn_comm_sum_f64(t->comm, &lost, 1));
    if (tr->file) (void)fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", tr->file);
    for (int r = 0; r < cnnbn_comm_size(t->comm); r++) CNNBN_TRY(write_rank(t, r));
    if (tr->file) {
        (void)fputs("\n]}\n", tr->file);
        say_outcome(t, lost);
    }
    return CNNBN_OK;
}

cnnbn_status trace_write(trainer *t)
{
    if (!t->timeline) return CNNBN_OK;
    watchdog_phase(t->dog, "writing the trace", t->state.global_step);
    cnnbn_status status = look_at_clocks(t, 1);
    if (status == CNNBN_OK) status = write_all(t);
    trace_discard(t);
    watchdog_phase(t->dog, "training", t->state.global_step);
    return status;
}

void trace_discard(trainer *t)
{
    trace *tr = t->timeline;
    if (!tr) return;
    if (t->net) cnnbn_net_trace(t->net, NULL, 0);
    if (tr->file) (void)fclose(tr->file);
    cnnbn_free(tr->net_events);
    cnnbn_free(tr->own_events);
    cnnbn_free(tr->piece);
    cnnbn_free(tr->clocks);
    cnnbn_free(tr);
    t->timeline = NULL;
}
