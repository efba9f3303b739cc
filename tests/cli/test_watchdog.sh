#!/usr/bin/env bash
# test_watchdog.sh [all]: never a hang without a word: a rank that is stopped is named by the others within the limit and the job ends with code 3; a rank
# that is killed ends the job within seconds; a rank that is slow is left alone. Nothing is left behind.
set -u
# shellcheck source=train_lib.sh
. "$CNNBN_SOURCE/tests/cli/train_lib.sh"
common=(--data small.h5 --model slow.yaml --batch-size 50 --progress lines)
host=$(hostname)
# After an abort MPICH's launcher may say 9 of its own: it kills the other ranks.
aborted=3
if ! "${MPIRUN:-mpirun}" --version 2>&1 | grep -q "Open MPI"; then aborted="3 or 9"; fi
begin_run() {
    rm -rf run
    begin "$1" --epochs 100000 --checkpoint-dir run --checkpoint-every 1e --keep 2 --watchdog 4
    wait_until 60 has_files run 2 || complain "it does not start: $(cat out err)"
}

# A stopped rank that is not rank 0, then rank 0. mpirun's own kill ends the stopped process: SIGKILL works on it, too.
cases=1
if [ "${1:-}" = all ]; then cases="1 0"; fi
for stopped in $cases; do
    begin_run 3
    pid=$(rank_pid "$stopped")
    kill -STOP "$pid"
    begun=$SECONDS
    end_within 60
    case "$aborted" in *"$code"*) ;; *) complain "rank $stopped is stopped: exit code $code, expected $aborted" ;; esac
    [ $((SECONDS - begun)) -le 25 ] || complain "rank $stopped is stopped: it took $((SECONDS - begun)) s"
    line=$(grep -E "cnnbn: watchdog: rank [0-9]+ on $host: no progress" err | head -n 1)
    says "cnnbn: watchdog: rank [0-9]+ on $host: no progress for [0-9]+ s in (training|validation|checkpoint), step [0-9]+, at: [a-z]" "rank $stopped is stopped"
    says "it waits for rank $stopped \(process $pid, step [0-9]+\), which does not run: no sign of it for [0-9]+ s" "rank $stopped is stopped"
    says_not "watchdog: rank $stopped on" "the stopped rank itself speaks"
    [ "$(state_of "$pid")" = gone ] || [ "$(state_of "$pid")" = Z ] || complain "the stopped process $pid is left behind: $(state_of "$pid")"
    no_ranks || complain "processes are left: $(ranks)"
    echo "$line"
done

# Dead: mpirun ends the job.
begin_run 3
kill -KILL "$(rank_pid 2)"
begun=$SECONDS
end_within 30
if [ "$code" = 0 ] || [ "$code" = 999 ]; then complain "a killed rank: exit code $code"; fi
[ $((SECONDS - begun)) -le 15 ] || complain "a killed rank: it took $((SECONDS - begun)) s"
no_ranks || complain "a killed rank: processes are left"

# Slow: stopped and let go for longer than the limit in all, but never for the whole limit; the run gets on and is left alone.
begin_run 2
pid=$(rank_pid 1)
first=$(newest run)
until=$((SECONDS + 7))
stutter() {
    kill -STOP "$pid" 2> /dev/null
    wait_until 1 false # a second
    kill -CONT "$pid" 2> /dev/null
    [ "$SECONDS" -ge "$until" ]
}
wait_until 30 stutter
has_ended && complain "a slow rank was taken for a stuck one: $(cat err)"
moved() { [ "$(newest run)" != "$first" ]; }
wait_until 20 moved || complain "a slow rank: no new checkpoint"
kill -USR1 "$launched"
end_within 60
must 75 "a slow rank"
says_not 'watchdog' "a slow rank"

# The rank that holds the others up is named at the end of an epoch: one that has its core for a quarter of the time.
rm -rf run
"$CNNBN_BIN/cnnbn-data" split "$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5" --train 3000 -o long.h5 > /dev/null
begin 3 --data long.h5 --epochs 2 --no-validation --checkpoint-dir run --checkpoint-every 5s
wait_until 60 has_files run 1 || complain "it does not start: $(cat out err)"
pid=$(rank_pid 1)
rest() {
    looks=$((looks + 1))
    [ "$looks" -gt "$1" ]
}
starve() {
    kill -STOP "$pid" 2> /dev/null
    looks=0
    wait_until 5 rest 3
    kill -CONT "$pid" 2> /dev/null
    looks=0
    wait_until 5 rest 1
    has_ended || grep -q '^slowest rank' out
}
wait_until 60 starve || complain "a starved rank: no epoch ends"
end_within 60
must 0 "a starved rank"
says "^slowest rank 1 on $host: [0-9.]+x the median in [a-z0-9_]+ \\([a-z' ]+\\)" "a starved rank"

# --watchdog 0: nobody looks.
rm -rf run
begin 2 --epochs 100000 --checkpoint-dir run --watchdog 0
wait_until 60 has_files run 1 || complain "without a watchdog it does not start: $(cat out err)"
[ "$(find "/proc/$(rank_pid 1)/task" -maxdepth 1 -mindepth 1 | wc -l)" -ge 1 ] || complain "no rank 1"
kill -USR1 "$launched"
end_within 60
must 75 "--watchdog 0"
verdict "watchdog: all as expected"
