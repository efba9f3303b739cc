#!/usr/bin/env bash
# What cnnbn-train prints and writes: header, table, progress, summary, CSV files, checkpoints; --quiet and --dry-run.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

for np in 1 3; do
    launch=("$CNNBN_MPIRUN" "$np" "$train")
    expect 0 'images/s$' "${launch[@]}" "${small[@]}" --epochs 2 --checkpoint-dir "run$np" --log "log$np.csv" --log-steps "steps$np.csv"
    for regex in '^cnnbn [0-9]' "^ranks +$np on 1 host" '^kernels ' '^sums +ordered' '^batchnorm +synchronous' \
        '^data +good.h5: 40 train \+ 24 test images \(8, 8, 1\), uint8, 4 classes' 'scaled by 1/255' \
        '^optimizer Adam, lr 0.001; global batch 8, 5 steps an epoch, seed 0' '^conv2d \(Conv2D\) .*\(None, 6, 6, 4\) +40$' \
        '^Total params: 636' '^Non-trainable params: 8' '^Epoch 1/2' 'val_accuracy: [01]\.' '^Done: 2 epochs, 10 steps' \
        "^Checkpoint: run$np/ckpt-0002-00000010.h5" '^Training speed: [0-9]+ images/s$'; do
        grep -Eq -- "$regex" out || complain "$np ranks: no '$regex' in: $(cat out)"
    done
    [ "$(grep -c '^Done' out)" = 1 ] || complain "not one rank alone speaks: $(cat out)"
    tail -n 1 out | grep -Eq '[0-9]+ images/s$' || complain "the last line is no speed: $(tail -n 1 out)"
    [ -s "run$np/ckpt-0002-00000010.h5" ] || complain "no checkpoint"
done
[ "$("$info" --digest run1/ckpt-0002-00000010.h5 | cut -d' ' -f1)" = "$("$info" --digest run3/ckpt-0002-00000010.h5 | cut -d' ' -f1)" ] ||
    complain "1 and 3 ranks trained other bits"

# CSV: Keras' columns first, a row an epoch and a row a step, digits that tell floats apart; the same at 1 and 3 ranks.
[ "$(head -n 1 log1.csv)" = epoch,accuracy,loss,val_accuracy,val_loss,lr,images_per_s,seconds ] || complain "columns of --log: $(head -n 1 log1.csv)"
[ "$(head -n 1 steps1.csv)" = step,loss,accuracy ] || complain "columns of --log-steps: $(head -n 1 steps1.csv)"
[ "$(cut -d, -f1 log1.csv | paste -sd ' ')" = 'epoch 0 1' ] || complain "epochs of --log: $(cat log1.csv)"
[ "$(cut -d, -f1 steps1.csv | paste -sd ' ')" = 'step 0 1 2 3 4 5 6 7 8 9' ] || complain "steps of --log-steps: $(cat steps1.csv)"
sed 1d steps1.csv | cut -d, -f2 | grep -vqE '^[0-9]+\.[0-9]{6,}' && complain "losses of few digits: $(cat steps1.csv)"
cmp -s steps1.csv steps3.csv || complain "--log-steps differs at 1 and 3 ranks"
[ "$(cut -d, -f1-6 log1.csv)" = "$(cut -d, -f1-6 log3.csv)" ] || complain "--log differs at 1 and 3 ranks"
# Without what the tests set to make starts short (cmake/cnnbn.cmake): as a user's start is.
expect 0 '' env -u OMPI_MCA_ess_singleton_isolated "$train" "${small[@]}" --epochs 1 --no-validation --log plain.csv
[ "$(head -n 1 plain.csv)" = epoch,accuracy,loss,lr,images_per_s,seconds ] || complain "columns without validation: $(head -n 1 plain.csv)"
expect_not 'val_loss'
"$make" data no-test no-test.h5
expect 0 'images/s$' "$train" "${small[@]}" --data no-test.h5 --epochs 1
expect_not 'val_loss'

# --quiet: nothing, not even under mpirun. --steps ends in mid-epoch. --dry-run: much, and nothing is trained or written.
expect 0 '' "$train" "${small[@]}" --quiet --steps 7
if [ -s out ] || [ -s err ]; then complain "--quiet speaks: $(cat out err)"; fi
expect 0 '' "$CNNBN_MPIRUN" 2 "$train" "${small[@]}" --quiet --steps 2
if [ -s out ] || [ -s err ]; then complain "--quiet speaks on 2 ranks: $(cat out err)"; fi
expect 0 '^Done: 1 epochs, 7 steps' "$train" "${small[@]}" --steps 7
for np in 1 3; do
    expect 0 'conv2d' "$CNNBN_MPIRUN" "$np" "$train" "${small[@]}" --dry-run --checkpoint-dir dry --log dry.csv
    expect 0 'MB' "$CNNBN_MPIRUN" "$np" "$train" "${small[@]}" --dry-run --checkpoint-dir dry --log dry.csv
    expect_not '^Epoch|images/s$'
    if [ -e dry ] || [ -e dry.csv ]; then complain "--dry-run wrote"; fi
done
expect 0 'conv2d .*s +[0-9.]+ % +[0-9.]+ GFLOP/s a core +[0-9]+ % of peak' "$CNNBN_MPIRUN" 2 "$train" "${small[@]}" --epochs 1 --profile
for part in 'forms of the weights' 'batch-norm sums over ranks' 'gradients over ranks, exposed' 'optimizer' 'data: '; do
    grep -Eq "^  $part.* s +[0-9.]+ %" out || complain "--profile does not say: $part"
done
# The parts are all of the time, and no more.
shares=$(awk '/^Time of rank 0/ { on = 1; next } /^  Gradients were/ { on = 0 }
    on { for (i = 1; i <= NF; i++) if ($i == "s" && $(i + 2) == "%") sum += $(i + 1) } END { printf "%.0f", sum }' out)
if [ "$shares" -lt 97 ] || [ "$shares" -gt 103 ]; then complain "the parts of --profile are $shares % of the time"; fi

# --keep; weights of another file; models of all kinds.
expect 0 '' "$train" "${small[@]}" --epochs 5 --keep 2 --checkpoint-dir few --quiet
[ "$(find few -name 'ckpt-*.h5' | wc -l)" = 2 ] || complain "--keep 2 kept $(ls few)"
expect 0 '' "$train" "${small[@]}" --epochs 2 --checkpoint-dir best --checkpoint-best val_accuracy --quiet
[ -s best/best.h5 ] || complain "no best.h5"
expect 0 'images/s$' "$train" "${small[@]}" --steps 1 --init-from run1/ckpt-0002-00000010.h5
expect 0 'images/s$' "$train" "${small[@]}" --steps 1 --model run1/ckpt-0002-00000010.h5
expect 0 'Model: "keras-example"' "$train" "${small[@]}" --steps 1 --model keras-example
"$info" --json small.yaml > small.json || complain "no JSON"
expect 0 '^Total params: 636' "$train" "${small[@]}" --steps 1 --model small.json
# A model of (H, W) takes images of one channel.
printf 'input: [8, 8]\nlayers:\n  - Flatten\n  - Dense: {units: 4, activation: softmax}\n' > flat.yaml
expect 0 'images/s$' "$train" "${small[@]}" --epochs 1 --model flat.yaml --checkpoint-dir flat
expect 0 '^accuracy: ' "$eval" flat/ckpt-0001-00000005.h5 --data good.h5
# It learns: four bright quarters are easy.
expect 0 'val_accuracy: 1.0000' "$train" "${small[@]}" --epochs 30 --lr 0.01
verdict "cnnbn-train's output: all as expected"
