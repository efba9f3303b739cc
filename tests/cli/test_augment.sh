#!/usr/bin/env bash
# test_augment.sh: augmentation by options and by layers: the same bits in every layout of ranks and threads, from the shared copy
# and from a stream, and after a stop in the middle of an epoch; every option counts, is refused when it changes, and leaves
# validation alone.
set -u
# shellcheck source=train_lib.sh
. "$CNNBN_SOURCE/tests/cli/train_lib.sh"
verify=$CNNBN_SOURCE/scripts/verify-bits.sh
cat > random.yaml << 'END'
input: [28, 28, 1]
layers:
  - RandomFlip: {mode: horizontal}
  - RandomTranslation: {height_factor: 0.1, width_factor: 0.1}
  - RandomRotation: {factor: 0.05, fill_mode: constant}
  - RandomContrast: {factor: 0.3}
  - RandomCrop: {height: 24, width: 26}
  - Normalization: {mean: 0.29, variance: 0.12}
  - Conv2D: {filters: 4, kernel_size: 5, strides: 4, activation: relu}
  - BatchNormalization
  - Normalization
  - RandomFlip: {mode: vertical}
  - Flatten
  - Dense: {units: 10, activation: softmax}
END
all=(--random-flip both --random-crop 3 --random-translation 0.1 --random-rotation 0.1 --random-contrast 0.4 --cutout 7 --mixup 0.4)

# same WHAT OPTION...: of verify-bits.sh; digest: what the table shows.
same() {
    local what=$1
    shift
    if ! bash "$verify" --programs "$CNNBN_BIN" "$@" > out 2> err < /dev/null; then complain "$what: $(cat out err)"; fi
    digest=$(sed -n 's/.* \([0-9a-f]\{32\}\) .*/\1/p' out | sort -u)
}
same "options and layers" --layouts "1x1 2x2 3x1 5x2" --steps 8 -- --model random.yaml --data small.h5 "${all[@]}"
shared=$digest
same "options and layers, streamed" --layouts "1x2 3x1" --steps 8 -- --model random.yaml --data small.h5 "${all[@]}" --data-memory 100K
[ "$digest" = "$shared" ] || complain "streamed data differ from the shared copy: $digest, $shared"
same "more ranks than slices, short batches" --layouts "1x1 5x1 7x1" -- --model small.yaml --data small.h5 "${all[@]}" --batch-size 6 --slices 4

# Each option changes what is trained on.
seen=$(mktemp -p .)
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines --seed 5)
count=0
for option in "" "--random-flip horizontal" "--random-flip vertical" "--random-flip both" "--random-crop 3" \
    "--random-translation 0.1" "--random-rotation 0.1" "--random-contrast 0.4" "--cutout 7" "--mixup 0.4"; do
    rm -rf one
    # shellcheck disable=SC2086
    train 1 --steps 2 --checkpoint-dir one $option
    must 0 "option $option"
    if [ -n "$option" ]; then says "^augment +${option#--}" "header with $option"; fi
    digest_of one >> "$seen"
    count=$((count + 1))
done
[ "$(sort -u "$seen" | wc -l)" = "$count" ] || complain "an option changes nothing: $(cat "$seen")"

# A stop in the second epoch, after its second step, on another number of ranks; then the end.
common=(--data small.h5 --model random.yaml --batch-size 50 --progress lines --seed 5 "${all[@]}")
train 2 --epochs 3 --checkpoint-dir whole --log reference.csv --log-steps reference-steps.csv
must 0 "a whole run"
reference=$(digest_of whole)
train 3 --epochs 3 --steps 7 --checkpoint-dir parts --log parts.csv --log-steps parts-steps.csv
train 1 --epochs 3 --checkpoint-dir parts --log parts.csv --log-steps parts-steps.csv --data-memory 100K
must 0 "the second part"
says 'going on from parts/ckpt-0001-00000007.h5: epoch 2, step 2' "the second part"
same_as parts "a run in parts"
same_logs parts.csv parts-steps.csv "a run in parts"

# Other options are refused by name.
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines --seed 5)
train 1 --epochs 3 --steps 7 --checkpoint-dir kept
for option in "random-flip both" "random-crop 3" "random-translation 0.1" "random-rotation 0.1" "random-contrast 0.4" "cutout 7" "mixup 0.4"; do
    # shellcheck disable=SC2086
    train 1 --epochs 3 --checkpoint-dir kept --$option
    must 2 "changed: $option"
    says "checkpoint kept/.* ${option% *} .*--override ${option% *}" "changed: $option"
done

# Validation sees the images as they are: with weights that do not move and no batch norm its loss stays, the training's does not.
grep -v 'BatchNormalization\|Dropout' small.yaml > still.yaml
common=(--data small.h5 --model still.yaml --batch-size 50 --progress lines --seed 5 --optimizer sgd --lr 0 --epochs 1)
train 1 --log plain.csv
train 2 --log changed.csv "${all[@]}"
must 0 "validation"
cmp -s <(tail -n 1 plain.csv | cut -d, -f4,5) <(tail -n 1 changed.csv | cut -d, -f4,5) || complain "validation differs: $(tail -n 1 plain.csv) and $(tail -n 1 changed.csv)"
cmp -s <(tail -n 1 plain.csv | cut -d, -f3) <(tail -n 1 changed.csv | cut -d, -f3) && complain "training does not differ: $(tail -n 1 plain.csv)"

# What does not go.
# wrong MESSAGE OPTION...
wrong() {
    local message=$1
    shift
    train 1 --steps 1 "$@"
    must 2 "$*"
    says "$message" "$*"
}
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines)
wrong '--random-flip.*diagonal' --random-flip diagonal
wrong '--random-crop 28: expected 1 to 27 pixels for images of 28x28' --random-crop 28
wrong '--cutout 29: expected 1 to 28 pixels for images of 28x28' --cutout 29
wrong '--random-rotation' --random-rotation 1.5
wrong '--mixup' --mixup -1
wrong '--mixup 1e-9: expected 0 or from 1e-6' --mixup 1e-9
verdict "augmentation: all as expected"
