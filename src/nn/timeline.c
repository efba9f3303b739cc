/* What each thread did when. Every thread writes to a part of its own of the caller's array: no locks, no allocation. */
#include <stdio.h>
#include <string.h>

#include "cnnbn/log.h"
#include "ir.h"

void cnnbn_net_trace(cnnbn_net *net, cnnbn_net_event *events, size_t max_a_thread)
{
    net->trace_room = events ? max_a_thread : 0;
    for (int t = 0; t < net->n_threads; t++) {
        thread_state *ts = &net->threads[t];
        ts->events = events ? events + (size_t)t * max_a_thread : NULL;
        ts->n_events = ts->n_events_lost = 0;
    }
}

size_t cnnbn_net_trace_count(const cnnbn_net *net, int thread, size_t *n_lost)
{
    *n_lost = net->threads[thread].n_events_lost;
    return net->threads[thread].n_events;
}

void cnnbn__trace_add(cnnbn_net *net, int tid, int what, int detail, double start_s, double end_s)
{
    const double notable_s = 1e-6; /* a barrier that everybody has reached is no wait worth an event */
    if (what < 0 && end_s - start_s < notable_s) return;
    thread_state *ts = &net->threads[tid];
    if (ts->n_events == net->trace_room) {
        ts->n_events_lost++;
        return;
    }
    ts->events[ts->n_events++] =
        (cnnbn_net_event){.start_s = start_s, .end_s = end_s, .what = what, .detail = detail, .thread = tid};
}

void cnnbn__activity_end(cnnbn_net *net, int tid, cnnbn_activity what, int detail, double start_s)
{
    const double end_s = cnnbn_now_s();
    if (tid == 0) net->activity_s[-what] += end_s - start_s;
    if (net->trace_room) cnnbn__trace_add(net, tid, what, detail, start_s, end_s);
}

void cnnbn__note_flight(cnnbn_net *net)
{
    const int flies = cnnbn_reduce_under_way(net->reducer) > 0;
    if (flies == (net->flight_start > 0)) return;
    const double now = cnnbn_now_s();
    if (!flies) net->flight_s += now - net->flight_start;
    net->flight_start = flies ? now : 0;
}

void cnnbn_net_profile_between(const cnnbn_net *net, cnnbn_profile_between *out)
{
    const double *s = net->activity_s;
    const double exposed = s[-CNNBN_ACTIVITY_START] + s[-CNNBN_ACTIVITY_PROGRESS] + s[-CNNBN_ACTIVITY_GRADIENTS];
    *out = (cnnbn_profile_between){
        .prepare_s = s[-CNNBN_ACTIVITY_PREPARE],
        .threads_s = s[-CNNBN_ACTIVITY_WAIT] + s[-CNNBN_ACTIVITY_JOIN],
        .sums_s = s[-CNNBN_ACTIVITY_SUMS],
        .exposed_s = exposed,
        .hidden_s = net->flight_s > exposed ? net->flight_s - exposed : 0,
        .optimizer_s = s[-CNNBN_ACTIVITY_OPTIMIZER],
    };
}

void cnnbn_net_trace_name(const cnnbn_net *net, const cnnbn_net_event *event, char *text, size_t bytes)
{
    static const char *const names[CNNBN_ACTIVITY_COUNT] = {
        [-CNNBN_ACTIVITY_WAIT] = "wait for threads",
        [-CNNBN_ACTIVITY_PREPARE] = "prepare weights, level %d",
        [-CNNBN_ACTIVITY_JOIN] = "add threads' gradients, level %d",
        [-CNNBN_ACTIVITY_SUMS] = "reduce batch-norm sums, level %d",
        [-CNNBN_ACTIVITY_START] = "start gradients, level %d",
        [-CNNBN_ACTIVITY_PROGRESS] = "drive gradients",
        [-CNNBN_ACTIVITY_GRADIENTS] = "wait for gradients, bucket %d",
        [-CNNBN_ACTIVITY_OPTIMIZER] = "optimizer",
    };
    if (event->what >= 0 && event->what < net->train.n_instrs) {
        const instr *in = &net->train.instrs[event->what];
        (void)snprintf(text, bytes, "%s %s", cnnbn__op_layer_name(net, in->op), cnnbn__instr_name(in->kind));
        return;
    }
    const char *name = event->what < 0 && event->what > -CNNBN_ACTIVITY_COUNT ? names[-event->what] : "unknown";
    const char *place = strstr(name, "%d");
    if (place)
        (void)snprintf(text, bytes, "%.*s%d", (int)(place - name), name, event->detail);
    else
        (void)snprintf(text, bytes, "%s", name);
}
