#!/usr/bin/env bash
# job_tests.sh CASE LAUNCHER: the batch scripts of scripts/slurm on a real Slurm. Every case ends with the bits of a run
# on one host that nothing disturbed.
#
#   CASE       whole      runs to its end on two hosts
#              requeue    a signal as before the time limit: one checkpoint, exit code 75, back into the queue
#              lost HOST  the power of one host goes: ended within 60 s, back into the queue, on other hosts
#   LAUNCHER   mpirun (train.sbatch) or srun (train-srun.sbatch)
set -eu
# Slurm may give a job hosts again in the very moment in which its last start is ended, and then itself refuses the start ("Job credential
# revoked", job FAILED). That is no end of ours: such a try is made once more.
if [ "$1" = lost ] && [ -z "${CNNBN_LOST_TRY:-}" ]; then
    said=$(mktemp)
    code=0
    CNNBN_LOST_TRY=1 bash "${BASH_SOURCE[0]}" "$@" > "$said" 2>&1 || code=$?
    cat "$said"
    if [ "$code" = 1 ] && grep -q 'Job credential revoked' "$said"; then
        echo "once more: Slurm refused its own start"
        code=0
        CNNBN_LOST_TRY=2 bash "${BASH_SOURCE[0]}" "$@" || code=$?
    fi
    rm -f "$said"
    exit "$code"
fi
# shellcheck source=lab.sh
. "$CNNBN_SOURCE/tests/cluster/lab.sh"
case=$1 launcher=$2 lost=${3:-}
batch_script=$CNNBN_SOURCE/scripts/slurm/train.sbatch
if [ "$launcher" = srun ]; then batch_script=$CNNBN_SOURCE/scripts/slurm/train-srun.sbatch; fi

lab_require
n_hosts=2
if [ "$case" = lost ]; then n_hosts=3; fi
lab_up "$n_hosts"
if [ "$launcher" = srun ]; then lab_on head srun --mpi=list 2>&1 | grep -q pmix || skip "this Slurm has no pmix plugin"; fi
work=$lab_dir/work
mkdir "$work"
cd "$work"

# Long enough to be disturbed (about 8 s), however fast this machine is.
options=(--data "$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5" --batch-size 64 --seed 5 --threads 1 --checkpoint-every 25s)
started=$(date +%s%N)
"$CNNBN_MPIRUN" 2 "$CNNBN_BIN/cnnbn-train" "${options[@]}" --epochs 1 --checkpoint-dir "$work/probe" > probe.out
epoch_ms=$((($(date +%s%N) - started) / 1000000))
epochs=$((8000 / (epoch_ms + 1) + 1))
if [ "$epochs" -lt 2 ]; then epochs=2; fi
if [ "$epochs" -gt 100 ]; then epochs=100; fi
options+=(--epochs "$epochs")
echo "an epoch takes about $epoch_ms ms: $epochs epochs"
"$CNNBN_MPIRUN" 2 "$CNNBN_BIN/cnnbn-train" "${options[@]}" --checkpoint-dir "$work/unbroken" > unbroken.out

newest() { find "$1" -name 'ckpt-*.h5' 2> /dev/null | LC_ALL=C sort | tail -n 1; }
digest() { "$CNNBN_BIN/cnnbn-info" "$(newest "$1")" --digest | cut -d ' ' -f 1; }
said() { grep -q "$1" job.out 2> /dev/null; }
has_checkpoint() { [ -n "$(newest "$work/run")" ]; }

export RUN_DIR=$work/run CNNBN_TRAIN=$CNNBN_BIN/cnnbn-train MPIRUN_BINDING="--bind-to none"
job=$(lab_on head sbatch --parsable --nodes=2 --ntasks-per-node=1 --cpus-per-task=1 --time=10 --output=job.out \
    "$batch_script" "${options[@]}")
show_output() { if [ -s "$work/job.out" ]; then sed 's/^/job: /' "$work/job.out" | tr '\r' '\n' | tail -n 60; fi; }
at_end() {
    if [ "$1" != 0 ]; then
        show_output
        tail -n 20 "$lab_dir/slurmctld.log"
    fi
    lab_down
}
trap 'at_end $?' EXIT

interrupted_with="" # lost: any
case $case in
whole) ;;
requeue)
    wait_until 60 has_checkpoint || fail "no checkpoint after 60 s"
    lab_on head scancel --batch --signal=USR1 "$job"
    wait_until 30 said 'start 1: exit code' || fail "still running 30 s after the signal"
    said 'start 1: exit code 75' || fail "exit code is not 75"
    [ -z "$(find "$work/run" -name '*.tmp')" ] || fail "a temporary file is left"
    interrupted_with=$(newest "$work/run")
    echo "interrupted with $(basename "$interrupted_with")"
    ;;
lost)
    wait_until 60 has_checkpoint || fail "no checkpoint after 60 s"
    went=$SECONDS
    lab_power_off "$lost"
    off_the_hosts() { case $(job_field "$job" JobState) in RUNNING) [ "$(job_field "$job" Restarts)" != 0 ] ;; *) true ;; esac }
    wait_until 60 off_the_hosts || fail "the job did not notice within 60 s that $lost is gone"
    echo "$lost lost: off the hosts $((SECONDS - went)) s later"
    ;;
*) fail "unknown case $case" ;;
esac

job_wait "$job" 240
restarts=$(job_field "$job" Restarts)
case $case in
whole) [ "$restarts" = 0 ] || fail "was restarted $restarts times" ;;
*)
    [ "$restarts" = 1 ] || fail "was restarted $restarts times instead of once"
    # Starting anew would end in the same bits.
    said "going on from $interrupted_with" || fail "did not go on from its checkpoint"
    ;;
esac
said "start $((restarts + 1)): exit code 0" || fail "did not end with exit code 0"
if [ "$case" = lost ] && grep 'start 2, nodes' job.out | grep -q "$lost"; then fail "restarted on the lost host"; fi

unbroken=$(digest "$work/unbroken")
broken=$(digest "$work/run")
echo "digest of the unbroken run $unbroken, of the job $broken"
[ -n "$unbroken" ] || fail "no digest"
[ "$unbroken" = "$broken" ] || fail "digests differ"
