#!/usr/bin/env bash
# Recipes - what happens to the rate, the gradient and the weights over a run - inside the promises: the same bits at any number of
# ranks and threads, and after an interruption in the middle of an epoch.
set -u
# shellcheck source=train_lib.sh
. "$CNNBN_SOURCE/tests/cli/train_lib.sh"
common+=(--seed 5)

# exact NAME OPTION...: a run of 4 epochs of 5 steps on 2 ranks; one with 2 threads that is stopped in its third epoch and goes on on
# 3 ranks, with the same bits and rows. Leaves NAME (the folder), reference.csv and out of the whole run.
exact() {
    local name=$1
    shift
    rm -f reference.csv reference-steps.csv part.csv part-steps.csv
    train 1 --threads 2 --epochs 4 --checkpoint-dir "part-$name" --log part.csv --log-steps part-steps.csv "$@" --steps 12
    must 0 "$name: 12 steps"
    train 3 --epochs 4 --checkpoint-dir "part-$name" --log part.csv --log-steps part-steps.csv "$@"
    must 0 "$name: on from step 12"
    says "going on from part-$name/ckpt-0002-00000012.h5" "$name: on from step 12"
    train 2 --epochs 4 --checkpoint-dir "$name" --log reference.csv --log-steps reference-steps.csv "$@"
    must 0 "$name"
    reference=$(digest_of "$name")
    same_as "part-$name" "$name: stopped and resumed on other ranks"
    same_logs part.csv part-steps.csv "$name: stopped and resumed on other ranks"
}

# rates: the column lr of the whole run.
rates() { tail -n +2 reference.csv | cut -d, -f6 | paste -sd ' '; }
rates_are() { if [ "$(rates)" != "$1" ]; then complain "$2: rates $(rates), expected $1"; fi; }

# ---------------------------------------------------------------- the learning rate
exact cosine --optimizer sgd --momentum 0.9 --lr 0.02 --schedule cosine --warmup 1e --decay-steps 15s
rates_are "0.016 0.0166913061 0.00690983006 0.000218523993" cosine # the last step of each epoch: 4 of 5, then 4, 9, 14 of 15
exact steps --lr 0.01 --schedule step --milestones 7s,2e,3e --gamma 0.5
rates_are "0.01 0.005 0.0025 0.00125" steps
# No epoch is better by 10: once in two epochs.
exact plateau --lr 0.01 --reduce-lr-on-plateau 0.1 --plateau-patience 2 --plateau-min-delta 10
rates_are "0.01 0.01 0.01 0.001" plateau
exact scaled --optimizer sgd --lr 0.05 --lr-scale-batch 100
rates_are "0.025 0.025 0.025 0.025" scaled

# ---------------------------------------------------------------- optimisers, micro-batches, averages
exact lars --optimizer lars --lr 3 --weight-decay 0.01 --trust-coefficient 0.02
exact lamb --optimizer lamb --lr 0.01 --weight-decay 0.01 --global-clip-norm 1
exact rmsprop --optimizer rmsprop --momentum 0.5
# 9 batches, the last of 20 images, are 5 steps, the last of one batch.
exact accumulate --batch-size 25 --accumulate 2 --ema 0.8 --checkpoint-best val_loss
[ "$(wc -l < reference-steps.csv)" = 21 ] || complain "accumulate: $(wc -l < reference-steps.csv) rows"
# They leave the checkpoint as a Keras file of their own, and cnnbn-eval finds with them what the validation found.
val=$(tail -n 1 reference.csv | cut -d, -f5)
"$CNNBN_BIN/cnnbn-eval" --data small.h5 --batch-size 50 --threads 1 --ema "$(newest accumulate)" > evaluated || complain "cnnbn-eval --ema"
grep -q 'h5 (averages of the weights) on small.h5' evaluated || complain "cnnbn-eval --ema does not say so: $(head -n 3 evaluated)"
"$CNNBN_BIN/cnnbn-eval" --data small.h5 "$(newest accumulate)" > without || complain "cnnbn-eval without --ema"
grep -q 'It also holds averages of the weights.*--ema' without || complain "cnnbn-eval without --ema: $(head -n 3 without)"
if "$CNNBN_BIN/cnnbn-eval" --data small.h5 "$(newest lamb)" | grep averages; then complain "a checkpoint without averages"; fi
"$info" "$(newest accumulate)" --export-weights averages.h5 --ema || complain "--export-weights --ema"
"$CNNBN_BIN/cnnbn-eval" --data small.h5 --batch-size 50 --threads 1 averages.h5 > exported || complain "cnnbn-eval of an export"
diff <(grep -i loss evaluated) <(grep -i loss exported) || complain "--export-weights --ema: $(grep -i loss evaluated exported)"
grep -i loss evaluated | grep -q "${val:0:6}" || complain "cnnbn-eval --ema: $(grep -i loss evaluated), the validation: $val"
"$CNNBN_BIN/cnnbn-convert" --ema "$(newest accumulate)" averages.keras || complain "cnnbn-convert --ema"
"$info" averages.h5 averages.keras > compared || true
grep -q '^different: 0 values' compared || grep -q '^equal' compared || complain "cnnbn-convert --ema: $(cat compared)"
for what in "cnnbn-info $(newest lamb) --export-weights x.h5 --ema" "cnnbn-convert --ema $(newest lamb) x.keras"; do
    # shellcheck disable=SC2086 # words
    if "$CNNBN_BIN"/$what 2> err; then complain "$what: no averages, no failure"; fi
    grep -q 'holds no averages of its weights' err || complain "$what: $(cat err)"
done
if "$CNNBN_BIN/cnnbn-convert" --ema "$(newest accumulate)" y.h5 2> err; then complain "--ema to an .h5"; fi
# The validation looks at the averages: other figures, and the same training.
cp reference.csv averaged.csv
exact plain --batch-size 25 --accumulate 2
diff <(cut -d, -f1-3 reference.csv) <(cut -d, -f1-3 averaged.csv) > /dev/null || complain "--ema changes the training"
if diff <(cut -d, -f4,5 reference.csv) <(cut -d, -f4,5 averaged.csv) > /dev/null; then complain "--ema does not change the validation"; fi
train 1 --epochs 6 --checkpoint-dir plain --batch-size 25 --accumulate 2 --ema 0.8
must 2 "an average that begins on the way"
train 1 --epochs 6 --checkpoint-dir plain --batch-size 25 --accumulate 2 --ema 0.8 --override ema
must 0 "an average that may begin on the way"

# A gradient that overflows under a loss that does not ends the run on all ranks; the checkpoints before it stay, and are good.
cat > over.yaml << 'END'
input: [28, 28, 1]
layers:
  - Rescaling: {scale: 1e15}
  - Rescaling: {scale: 8e21}
  - Conv2D: {filters: 2, kernel_size: 5, strides: 4, kernel_initializer: zeros, name: hidden}
  - Flatten
  - Dense: {units: 10, activation: softmax, kernel_initializer: {class_name: RandomNormal, config: {stddev: 20}}}
END
over=(--model over.yaml --optimizer sgd --lr 0 --epochs 9 --checkpoint-every 4s)
train 3 "${over[@]}" --checkpoint-dir over
must 4 "a gradient that overflows"
says 'the gradient overflows at step 15 \(epoch 3\), where the loss is 2.302.*gradient of kernel of layer hidden \((inf|nan)\).*The last checkpoint is kept' \
    "a gradient that overflows"
[ "$(newest over)" = over/ckpt-0002-00000012.h5 ] || complain "a gradient that overflows: $(ls over)"
before=$(digest_of over)
train 2 "${over[@]}" --checkpoint-dir over --threads 2
must 4 "the same gradient again"
[ "$(digest_of over)" = "$before" ] || complain "a gradient that overflows changed the checkpoint"

# ---------------------------------------------------------------- the end of a run
exact stopping --lr 0.01 --early-stopping 2 --early-stopping-min-delta 10
says 'epoch 3: early stopping: no better val_loss' stopping
[ "$(tail -n 1 reference.csv | cut -d, -f1)" = 2 ] || complain "early stopping: last epoch $(tail -n 1 reference.csv)"
train 1 --epochs 9 --checkpoint-dir stopping --lr 0.01 --early-stopping 2 --early-stopping-min-delta 10
must 0 "a run that was stopped"
same_as stopping "a run that was stopped is not taken up again"
train 1 --epochs 4 --checkpoint-dir stopping --lr 0.01 --early-stopping 7 --early-stopping-min-delta 10
must 2 "another patience"
says 'early-stopping 2, .*this run has 7,.*--override early-stopping' "another patience"
train 1 --epochs 4 --checkpoint-dir stopping --lr 0.01 --early-stopping 7 --early-stopping-min-delta 10 --override early-stopping
must 0 "more patience"
says 'Done: 4 epochs' "more patience"

# The loss of the test set rises from the first epoch: its weights come back.
grow=(--optimizer sgd --lr 0.3 --momentum 0.9 --global-clip-norm 2 --early-stopping 2 --restore-best)
exact best "${grow[@]}"
says 'The weights are those of epoch 1 \(val_loss' best
"$info" best/best.h5 "$(newest best)" > compared
if ! grep -q '^fact restored_epoch: 0, 1' compared || grep -Ev '^(momentum of|fact|different)' compared; then
    complain "--restore-best: $(cat compared)"
fi
train 1 --epochs 6 --checkpoint-dir best "${grow[@]}" --override early-stopping
must 2 "a run that ended with its best weights"
says 'holds the best weights, of epoch' "a run that ended with its best weights"
mv best/best.h5 elsewhere.h5
rm "$(newest best)"
cp "$(newest best)" best/best.h5
train 2 --epochs 4 --checkpoint-dir best "${grow[@]}"
must 2 "another best.h5"
says 'best.h5 is of epoch' "another best.h5"

# ---------------------------------------------------------------- recipe files
n_recipes=0
for recipe in "$CNNBN_SOURCE"/scripts/recipes/*.yaml; do
    name=$(basename "$recipe" .yaml)
    n_recipes=$((n_recipes + 1))
    code=0
    "$CNNBN_MPIRUN" 2 "$trainer" --config "$recipe" --data small.h5 --batch-size 16 --decay-steps 3e --steps 3 --threads 1 \
        --checkpoint-dir "recipe-$name" --log recipe.csv > out 2> err < /dev/null || code=$?
    must 0 "$name"
    says 'Done: 0 epochs, 3 steps' "$name"
done
[ "$n_recipes" -gt 0 ] || complain "no recipes"

# ---------------------------------------------------------------- refused
# refused REGEX OPTION...
refused() {
    local text=$1
    shift
    train 1 --epochs 1 "$@"
    must 2 "$*"
    says "$text" "$*"
}
refused '--rho is RMSprop' --rho 0.5
refused '--momentum is of' --momentum 0.5
refused '--trust-coefficient is of LARS' --optimizer lamb --trust-coefficient 1
refused '--ema: 1 is out of range' --ema 1
refused '--gamma goes with --schedule step' --schedule cosine --gamma 0.5
refused '--decay-steps goes with' --decay-steps 5s
refused 'one-cycle, which rises by itself' --schedule one-cycle --warmup 1s
refused '--warmup-start needs --warmup' --warmup-start 0.5
refused '--plateau-patience needs --reduce-lr-on-plateau' --plateau-patience 3
refused '--restore-best needs --early-stopping' --restore-best --checkpoint-dir x
refused 'goes with --schedule constant' --schedule cosine --reduce-lr-on-plateau 0.5
refused 'either --milestones' --schedule step
refused "--milestones '2e;3e'" --schedule step --milestones '2e;3e'
refused "--warmup '5'" --warmup 5
refused 'leaves nothing of a run of 5 steps' --schedule cosine --warmup 1e
refused '--early-stopping-monitor val_loss: there is no validation' --early-stopping 3 --no-validation
refused 'best.h5 is by --checkpoint-best loss' --early-stopping 3 --restore-best --checkpoint-best loss --checkpoint-dir x
train 1 --epochs 2 --checkpoint-dir kept --schedule cosine
train 1 --epochs 3 --checkpoint-dir kept --schedule cosine
must 2 "a cosine over other epochs"
says 'schedule cosine, decay-steps 10,.*this run has cosine, decay-steps 15' "a cosine over other epochs"

verdict "recipes: equal bits at any ranks and threads, and after a resume in mid-epoch"
