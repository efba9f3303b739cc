#!/usr/bin/env bash
# An exact resume: a run that was stopped anywhere and goes on with other ranks, threads and another data path ends in the bits, and
# with the logs, of one that was never stopped; what does not belong together is refused.
set -u
# shellcheck source=train_lib.sh
. "$CNNBN_SOURCE/tests/cli/train_lib.sh"
mathematics=(--optimizer sgd --momentum 0.9 --global-clip-norm 1 --seed 5)
common+=("${mathematics[@]}")

# 3 epochs of 5 steps, never stopped.
train 2 --epochs 3 --checkpoint-dir whole --log reference.csv --log-steps reference-steps.csv
must 0 "the whole run"
reference=$(digest_of whole)
[ "$(cat reference.csv reference-steps.csv | wc -l)" = 20 ] || complain "the logs of the whole run have gaps"

# Stopped by --steps in mid-epoch (2, 7), at an epoch's end (5, 10), before the short last batch (4), and at the very end.
layout=("1 --threads 2" "3 --threads 1" "4 --data-memory 100K" "2 --threads 3" "7" "1")
turn=0
for steps in 2 4 5 7 10 15; do
    run=at-$steps
    train $((turn % 3 + 1)) --epochs 3 --steps "$steps" --checkpoint-dir "$run" --log "$run.csv" --log-steps "$run-steps.csv"
    must 0 "$steps steps"
    # shellcheck disable=SC2086 # words
    train ${layout[turn]} --epochs 3 --checkpoint-dir "$run" --log "$run.csv" --log-steps "$run-steps.csv"
    must 0 "on from step $steps"
    says "going on from $run/ckpt-.*-0*$steps.h5" "on from step $steps"
    same_as "$run" "stopped at step $steps, resumed by ${layout[turn]}"
    same_logs "$run.csv" "$run-steps.csv" "stopped at step $steps"
    turn=$((turn + 1))
done

# Stopped three times on the way, a step at a time; rows beyond the checkpoint, a torn row and a file without its last line end.
rm -rf run
for steps in 3 6 9; do
    train $((steps / 3)) --epochs 3 --steps "$steps" --checkpoint-dir run --log run.csv --log-steps run-steps.csv
    must 0 "to step $steps"
    echo "7,0.5,0.5,0.5,0.5,0.001,1.0,1.000" >> run.csv
    printf '%s,0.25,0.5\n' "$steps" $((steps + 1)) >> run-steps.csv
    printf '%s,0.12' $((steps + 2)) >> run-steps.csv
done
train 2 --epochs 3 --checkpoint-dir run --log run.csv --log-steps run-steps.csv
must 0 "on from step 9"
same_as run "stopped three times"
same_logs run.csv run-steps.csv "stopped three times, logs torn"
"$info" "$(newest run)" | grep -q '3 restarts' || complain "the number of restarts is not kept: $("$info" "$(newest run)" | grep -i restart)"

# Another set of columns is not emptied but refused.
cp run.csv before.csv
train 1 --epochs 4 --checkpoint-dir run --log run.csv --no-validation
must 2 "a log with other columns"
says 'run.csv: .*another file' "a log with other columns"
cmp run.csv before.csv || complain "a refused log was changed"

# --epochs raised: as if it had been so from the beginning.
train 1 --epochs 2 --checkpoint-dir more
train 3 --epochs 3 --checkpoint-dir more
must 0 "raised --epochs"
same_as more "raised --epochs"
train 2 --epochs 3 --checkpoint-dir more
must 0 "a run that is done already"
same_as more "a run that is done already"

# What would change the mathematics is refused by name, and nothing in the folder changes.
train 1 --epochs 3 --steps 7 --checkpoint-dir kept
find kept -type f -exec cksum {} + > kept-before
# refused NAME OPTION...
refused() {
    local name=$1
    shift
    train 1 --epochs 3 --checkpoint-dir kept "$@"
    must 2 "changed: $name"
    says "checkpoint kept/.* $name .*--override $name" "changed: $name"
}
refused batch-size --batch-size 40
refused slices --slices 4
refused lr --lr 0.02
refused momentum --momentum 0.8
refused nesterov --nesterov
refused weight-decay --weight-decay 0.1
refused label-smoothing --label-smoothing 0.1
refused seed --seed 6
refused shuffle --no-shuffle
refused drop-last --drop-last
refused bn --bn local
refused reduce --reduce mpi
refused conv --conv blas
"$CNNBN_BIN/cnnbn-data" split "$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5" --train 220 --test 130 --seed 3 -o other.h5 > /dev/null
refused data --data other.h5
common_before=("${common[@]}")
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines --optimizer sgd --momentum 0.9 --seed 5)
refused clip
refused clip --global-clip-norm 2
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines --global-clip-norm 1 --seed 5 --lr 0.01)
refused optimizer --optimizer adam
common=("${common_before[@]}")
sed 's/filters: 4/filters: 5/' small.yaml > wider.yaml
train 1 --epochs 3 --checkpoint-dir kept --model wider.yaml
must 2 "another model"
says 'kept/.* is of another model' "another model"
find kept -type f -exec cksum {} + | diff - kept-before > difference || complain "a refused start changed the folder: $(cat difference)"

# ... and accepted when it is named.
cp -r kept overridden
train 2 --epochs 3 --checkpoint-dir overridden --lr 0.001 --batch-size 40 --override lr,batch-size
must 0 "--override"
says 'warning: --override lr: .*0.01.*0.001' "--override"
cp -r kept switched
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines --global-clip-norm 1 --seed 5)
train 2 --epochs 3 --checkpoint-dir switched --optimizer adam --lr 0.01 --override optimizer
must 0 "--override optimizer"
common=("${common_before[@]}")
train 1 --epochs 3 --checkpoint-dir kept --lr 0.001 --override batch-size
must 2 "--override of another option"

# --checkpoint-every in epochs, steps, minutes; --keep.
train 1 --epochs 3 --checkpoint-dir every-2e --checkpoint-every 2e --keep 9
(cd every-2e && echo ckpt-*) | grep -qx 'ckpt-0002-00000010.h5 ckpt-0003-00000015.h5' || complain "every 2e: $(ls every-2e)"
# Step 15 twice: before the validation, and the end of the run.
train 2 --epochs 3 --checkpoint-dir every-3s --checkpoint-every 3s --keep 9
[ "$(n_files every-3s)" = 6 ] || complain "every 3s: $(ls every-3s)"
train 1 --epochs 3 --checkpoint-dir keep-2 --checkpoint-every 4s --keep 2
(cd keep-2 && echo ckpt-*) | grep -qx 'ckpt-0002-00000012.h5 ckpt-0003-00000015.h5' || complain "keep 2: $(ls keep-2)"
train 2 --epochs 3 --checkpoint-dir every-min --checkpoint-every 0.00001min --keep 99
[ "$(n_files every-min)" -ge 5 ] || complain "every 0.6 ms: $(ls every-min)"
for run in every-2e every-3s keep-2 every-min; do same_as "$run" "$run"; done

# A damaged newest one is skipped by name; --keep 1 keeps the only good one until there is another; all damaged: from the start.
cp -r every-3s damaged
rm damaged/*15.h5
head -c 30000 every-3s/ckpt-0002-00000012.h5 > damaged/ckpt-0002-00000012.h5
: > damaged/ckpt-0001-00000009.h5
train 3 --epochs 3 --checkpoint-dir damaged --keep 1 --checkpoint-every 2s
must 0 "damaged newest"
says 'warning: checkpoint skipped: .*00000012.h5' "damaged newest"
says 'warning: checkpoint skipped: .*00000009.h5' "damaged newest"
says 'going on from damaged/ckpt-0001-00000006.h5' "damaged newest"
same_as damaged "damaged newest"
[ "$(n_files damaged)" = 1 ] || complain "--keep 1: $(ls damaged)"
cp -r every-3s damaged-all
for file in damaged-all/*.h5; do head -c 2000 "$file" > part && mv part "$file"; done
train 2 --epochs 3 --checkpoint-dir damaged-all
must 0 "all damaged"
says_not 'going on from' "all damaged"
same_as damaged-all "all damaged"

# --resume FILE: back to an older one; newer ones are another run's and step aside.
cp -r every-3s back
train 2 --epochs 3 --checkpoint-dir back --resume back/ckpt-0001-00000006.h5
must 0 "--resume FILE"
says 'going on from back/ckpt-0001-00000006.h5' "--resume FILE"
says '4 checkpoints of an earlier run moved to back/earlier-1' "--resume FILE"
same_as back "--resume FILE"
train 1 --epochs 3 --resume every-3s/ckpt-0001-00000006.h5 --checkpoint-dir elsewhere
must 0 "--resume FILE of another folder"
same_as elsewhere "--resume FILE of another folder"
train 1 --epochs 3 --resume damaged-none.h5
must 3 "--resume of a file that is not there"
head -c 30000 every-3s/ckpt-0002-00000012.h5 > torn.h5
train 1 --epochs 3 --resume torn.h5
must 2 "--resume of a torn file"
says 'torn.h5' "--resume of a torn file"

# --resume none: from the start, and a start after that goes on from there, not from the earlier run's end.
cp -r every-3s anew
train 1 --epochs 3 --steps 4 --checkpoint-dir anew --resume none --seed 6 --keep 1
must 0 "--resume none"
says 'checkpoints of an earlier run moved to anew/earlier-1' "--resume none"
says_not 'going on from' "--resume none"
[ "$(n_files anew)" = 1 ] || complain "--resume none: $(ls anew)"
train 1 --epochs 3 --steps 6 --checkpoint-dir anew --seed 6
must 0 "on after --resume none"
says 'going on from anew/ckpt-0000-00000004.h5' "on after --resume none"

# --checkpoint-best: the best by the metric, over a resume too.
train 2 --epochs 3 --checkpoint-dir best --checkpoint-best val_loss --log best.csv
best_epoch=$(tail -n +2 best.csv | sort -t, -k5,5g | head -n 1 | cut -d, -f1)
"$info" --digest best/best.h5 best/ckpt-000$((best_epoch + 1))-*.h5 | cut -d' ' -f1 | uniq | wc -l | grep -qx 1 ||
    complain "best.h5 is not of epoch $best_epoch"
train 1 --epochs 1 --checkpoint-dir best2 --checkpoint-best val_loss
train 2 --epochs 3 --checkpoint-dir best2 --checkpoint-best val_loss
cmp -s <("$info" --digest best/best.h5 | cut -d' ' -f1) <("$info" --digest best2/best.h5 | cut -d' ' -f1) || complain "best.h5 differs after a resume"

# Two runs in one folder: the later start owns it, and the earlier one ends with a word of it instead of writing into it.
common=(--data small.h5 --model slow.yaml --batch-size 50 --progress lines)
begin 2 --epochs 500 --checkpoint-dir shared --checkpoint-every 1s
wait_until 60 has_files shared 2 || complain "the first run writes nothing: $(cat out err)"
cp out first-out
printf 'host elsewhere, process 1, restart 1, since 1.000000000\n' > shared/run.owner
end_within 60
must 3 "a folder taken over"
says 'taken over by a newer run \(shared/run.owner: host elsewhere' "a folder taken over"
# The earlier run goes on writing between the later one's choice of a checkpoint and its taking the folder over (made long here): the
# later one goes on from the newest then. Else the rows of the logs that it cuts off are missing when it is killed, too.
if command -v strace > /dev/null && strace -qq -o /dev/null true 2> /dev/null; then
    train 1 --epochs 5000 --checkpoint-dir late --checkpoint-every 1s --steps 2 --log late.csv --log-steps late-steps.csv
    begin 1 --epochs 5000 --checkpoint-dir late --checkpoint-every 1s --log late.csv --log-steps late-steps.csv
    wait_until 60 has_files late 3 || complain "the first run writes nothing: $(cat out err)"
    "$CNNBN_MPIRUN" 1 strace -f -qq -o late.trace -e trace=rename -e inject=rename:delay_enter=3000000:when=1 \
        "$trainer" "${common[@]}" --threads 1 --epochs 5000 --checkpoint-dir late --checkpoint-every 1000e --log late.csv --log-steps \
        late-steps.csv > late-out 2> late-err < /dev/null &
    second=$!
    has_cut_the_log() { grep -q 'late-steps.csv") = 0' late.trace 2> /dev/null; }
    wait_until 60 has_cut_the_log || complain "the second run does not start: $(cat late-out late-err)"
    first=$launched
    kill -KILL "$second"
    kill_ranks # of both runs
    wait "$first" "$second" 2> /dev/null
    grep -q 'late/run.owner") = 0 (DELAYED)' late.trace || complain "the claim was not delayed: $(grep rename late.trace)"
    launched=""
    train 1 --epochs 5000 --checkpoint-dir late --steps $((10#$(newest late | sed 's/.*-\([0-9]*\).h5/\1/') + 3)) --log late.csv --log-steps late-steps.csv
    must 0 "after a slow start"
    tail -n +2 late-steps.csv | cut -d, -f1 | cmp -s - <(seq 0 $(($(wc -l < late-steps.csv) - 2))) ||
        complain "after a slow start: rows of the log are missing: $(tail -n +2 late-steps.csv | cut -d, -f1 | tr '\n' ' ' | cut -c1-300)"
fi

# A log may be a pipe: it is written to, not replaced.
mkfifo pipe.csv
cat pipe.csv > piped.csv &
train 1 --epochs 1 --log pipe.csv
wait $!
must 0 "a pipe as log"
if [ ! -p pipe.csv ] || [ "$(wc -l < piped.csv)" != 2 ]; then complain "a pipe as log: $(ls -l pipe.csv), $(wc -l < piped.csv) rows"; fi
verdict "resume: all as expected"
