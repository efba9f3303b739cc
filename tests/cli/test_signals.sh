#!/usr/bin/env bash
# test_signals.sh [all]: signals and clocks: wherever one comes, all ranks stop at the same step with one checkpoint and exit code 75, and the run that goes
# on from it ends in the bits of one that was never stopped.
set -u
all=${1:-}
# shellcheck source=train_lib.sh
. "$CNNBN_SOURCE/tests/cli/train_lib.sh"
"$CNNBN_BIN/cnnbn-data" split "$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5" --train 2000 --test 990 -o data.h5 > /dev/null
# 40 steps an epoch: more than a second from the first checkpoint to the end.
common=(--data data.h5 --model slow.yaml --batch-size 50 --progress lines)
# mpirun gives its ranks one second after TERM and INT; the batch scripts set this, too.
export OMPI_MCA_odls_base_sigkill_timeout=5
# mpirun of Open MPI says 1 of its own when it is sent TERM or INT itself, whatever its ranks end with; USR1 it hands on.
launcher_code=1
if ! "${MPIRUN:-mpirun}" --version 2>&1 | grep -q "Open MPI"; then launcher_code=75; fi

train 2 --epochs 2 --checkpoint-dir whole --log reference.csv --log-steps reference-steps.csv
must 0 "the whole run"
reference=$(digest_of whole)

# stopped WHAT NP: ended with 75 and a checkpoint; goes on by NP ranks to the right end.
stopped() {
    must 75 "$1"
    says 'checkpoint written, run again to go on' "$1"
    [ "$(grep -c 'run again to go on' err)" = 1 ] || complain "$1: not one message: $(cat err)"
    [ "$(n_files run)" -ge 1 ] || complain "$1: no checkpoint"
    no_ranks || complain "$1: processes are left"
    [ ! -e "$(newest run).tmp" ] || complain "$1: an unfinished file is left"
    common=(--data data.h5 --model slow.yaml --batch-size 50 --progress lines)
    train "$2" --epochs 2 --checkpoint-dir run --log run.csv --log-steps run-steps.csv
    must 0 "$1, resumed"
    says 'going on from' "$1, resumed"
    same_as run "$1, resumed"
    same_logs run.csv run-steps.csv "$1, resumed"
}

begin_run() {
    rm -rf run run.csv run-steps.csv
    begin "$1" --epochs 2 --checkpoint-dir run --checkpoint-every 4s --keep 4 --log run.csv --log-steps run-steps.csv
}

# is_validating: the checkpoint of the epoch's last step is there, that of the next epoch's first is not.
is_validating() { [ -e run/ckpt-0000-00000040.h5 ]; }

# in_training: some steps are done.
in_training() { has_files run 1; }

begin_run 2
wait_until 60 in_training || complain "it does not start: $(cat out err)"
kill -USR1 "$launched"
end_within 60
stopped "USR1 to mpirun" 3

begin_run 3
wait_until 60 in_training || complain "it does not start: $(cat out err)"
kill -PIPE "$(rank_pid 1)" # as when nobody reads its output any more
end_within 60
stopped "PIPE to rank 1 alone" 2

if [ "$all" = all ]; then
    # mpirun itself waits some seconds before it sends the ranks TERM for its own TERM or INT: a longer run, stopped on the way.
    long=(--epochs 20 --no-validation)
    train 2 "${long[@]}" --checkpoint-dir whole-long
    short_reference=$reference reference=$(digest_of whole-long)
    for signal in TERM INT; do
        rm -rf run
        begin 2 "${long[@]}" --checkpoint-dir run
        wait_until 60 has_files run 1 || complain "it does not start: $(cat out err)"
        kill -"$signal" "$launched"
        end_within 60
        must "$launcher_code" "$signal to mpirun"
        says 'checkpoint written, run again to go on' "$signal to mpirun"
        no_ranks || complain "$signal to mpirun: processes are left"
        train 3 "${long[@]}" --checkpoint-dir run
        must 0 "$signal to mpirun, resumed"
        same_as run "$signal to mpirun, resumed"
    done
    reference=$short_reference
fi

begin_run 2
wait_until 60 is_validating || complain "it does not get to the validation: $(cat out err)"
kill -HUP "$(rank_pid 0)" # a terminal that goes away
end_within 60
stopped "HUP to rank 0 in the validation" 3

# The same signal again and again while it winds up: still 75.
begin_run 2
wait_until 60 in_training || complain "it does not start: $(cat out err)"
pid=$(rank_pid 1)
again() {
    kill -TERM "$pid" 2> /dev/null
    has_ended
}
wait_until 60 again || complain "TERM many times: it does not end"
end_within 1
stopped "TERM many times" 2

if [ "$all" = all ]; then
    # A second INT ends at once, without harm.
    begin_run 1
    wait_until 60 in_training || complain "it does not start: $(cat out err)"
    pid=$(rank_pid 0)
    kill -STOP "$pid" # both come before it can go on
    kill -INT "$pid"
    kill -CONT "$pid"
    took_it() { kill -INT "$pid" 2> /dev/null; no_ranks; }
    wait_until 20 took_it || complain "a second INT does not end it"
    end_within 20
    if [ "$code" = 0 ] || [ "$code" = 999 ]; then complain "a second INT: exit code $code"; fi
    common=(--data data.h5 --model slow.yaml --batch-size 50 --progress lines)
    train 2 --epochs 2 --checkpoint-dir run --log run.csv --log-steps run-steps.csv
    must 0 "a second INT, resumed"
    same_as run "a second INT, resumed"
fi

# Clocks: --max-time, and Slurm's.
rm -rf run run.csv run-steps.csv
train 2 --epochs 2 --checkpoint-dir run --log run.csv --log-steps run-steps.csv --max-time 1.5s
says 'the time is up at epoch 1' "--max-time"
stopped "--max-time" 1
rm -rf run run.csv run-steps.csv
export SLURM_JOB_END_TIME=$(($(date +%s) + 31))
train 2 --epochs 2 --checkpoint-dir run --log run.csv --log-steps run-steps.csv
unset SLURM_JOB_END_TIME
says 'the time is up at epoch' "SLURM_JOB_END_TIME"
stopped "SLURM_JOB_END_TIME" 3
SLURM_JOB_END_TIME=$(($(date +%s) + 86400)) train 1 --epochs 2 --checkpoint-dir whole
must 0 "SLURM_JOB_END_TIME far away"

# Without a folder nothing can be kept, and the message says so.
begin 2 --epochs 100 --log-steps nothing.csv
begun() { [ -n "$(rank_pid 1)" ] && grep -q 'Total params' out; }
wait_until 60 begun || complain "it does not start: $(cat out err)"
kill -USR1 "$launched"
end_within 60
must 75 "no folder"
says 'nothing was kept' "no folder"
verdict "signals: all as expected"
