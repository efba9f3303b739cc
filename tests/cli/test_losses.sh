#!/usr/bin/env bash
# Losses, metrics and what y may hold, end to end: cnnbn-train, -eval, -predict, -data; the same bits in every layout and after a
# resume; refusals.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"
data=$CNNBN_BIN/cnnbn-data
for kind in two number numbers one-hot several soft beyond nan-y; do "$make" data "$kind" "$kind.h5" || exit 1; done

# model NAME UNITS ACTIVATION
model() {
    printf 'input: [8, 8, 1]\nlayers:\n  - Conv2D: {filters: 4, kernel_size: 3, activation: relu}\n  - BatchNormalization\n' > "$1.yaml"
    printf '  - Dropout: {rate: 0.1}\n  - Flatten\n  - Dense: {units: %s, activation: %s}\n' "$2" "$3" >> "$1.yaml"
}
model softmax4 4 softmax
model softmax3 3 softmax
model sigmoid1 1 sigmoid
model sigmoid3 3 sigmoid
model linear1 1 linear
model linear2 2 linear
model linear4 4 linear
model tanh4 4 tanh

# run DATA MODEL OPTION...: what both share.
run() {
    "$train" --data "$1.h5" --model "$2.yaml" --batch-size 8 --threads 1 --progress lines --lr 0.01 "${@:3}"
}
cnnbn-train() { run "$@"; } # for the messages of refuse

# What fits by itself: said in the header, and it learns.
fits() { # DATA MODEL LOSS REGEX OF THE LAST EPOCH
    expect 0 "^loss +$3\$" run "$1" "$2" --epochs 25
    tail -n 20 out | grep -Eq -- "^Epoch 25/25 .*$4" || complain "$1 with $2 does not learn: $(grep '^Epoch 25' out)"
}
fits good softmax4 'sparse_categorical_crossentropy; metrics accuracy' 'val_accuracy: 1.0000'
fits good linear4 'sparse_categorical_crossentropy from logits; metrics accuracy' 'val_accuracy: 1.0000'
fits one-hot softmax4 'categorical_crossentropy; metrics accuracy' 'val_accuracy: 1.0000'
fits soft softmax4 'categorical_crossentropy; metrics accuracy' 'val_accuracy: 1.0000'
fits two sigmoid1 'binary_crossentropy; metrics accuracy' 'val_accuracy: 1.0000'
fits several sigmoid3 'binary_crossentropy; metrics binary_accuracy' 'val_binary_accuracy: 1.0000'
fits number linear1 'mse; metrics mae' ' mae: 0.[01].* val_mae: 0.[0-3]'
fits numbers linear2 'mse; metrics mae' ' mae: 0.[01].* val_mae: 0.[0-3]'
for loss in mse mae huber categorical_crossentropy binary_crossentropy; do # behind a softmax, with one-hot rows of class numbers
    expect 0 'val_accuracy: (1|0.9)' run good softmax4 --loss $loss --metrics accuracy --epochs 40 --lr 0.02
done
expect 0 '^loss +binary_crossentropy from logits' run two linear1 --from-logits --epochs 1
expect 0 '^loss +huber, delta 0.3; metrics mae,mse' run numbers linear2 --loss huber --huber-delta 0.3 --metrics mae,mse --epochs 1
expect 0 '^loss +mse; metrics none' run numbers linear2 --metrics none --epochs 1 --log none.csv --log-steps none-steps.csv
[ "$(head -n 1 none.csv)" = epoch,loss,val_loss,lr,images_per_s,seconds ] || complain "columns: $(head -n 1 none.csv)"
[ "$(head -n 1 none-steps.csv)" = step,loss ] || complain "columns: $(head -n 1 none-steps.csv)"

# Evaluated: what the last epoch's validation was, to the digit; the classes only where a sample has one.
evaluated() { # DATA MODEL METRICS CLASSES OPTION...
    local name value of
    rm -rf kept
    expect 0 '' run "$1" "$2" --metrics "$3" --epochs 2 --checkpoint-dir kept --log log.csv "${@:5}"
    of=$(find kept -name 'ckpt-0002*.h5')
    for np in 1 3; do
        expect 0 'loss: ' "$CNNBN_MPIRUN" $np "$eval" "$of" --data "$1.h5" --batch-size 1
        if grep -q 'precision' out; then [ "$4" = classes ]; else [ "$4" = none ]; fi || complain "$1: classes shown, or not: $(cat out)"
        for name in loss $(tr ',' ' ' <<< "$3"); do
            value=$(awk -F, -v name="val_$name" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i } END { print $at }' log.csv)
            awk -v name="$name" -v value="$value" '$1 == name || (name == "loss" && $1 " " $2 == "mean loss") {
                    found = name == "loss" ? $3 + 0 : $2 + 0; d = found - value; seen = d < 1e-6 && d > -1e-6 } END { exit !seen }' out ||
                complain "$1 with $2 at $np: $name is not $value: $(tail -n 8 out)"
        done
    done
}
evaluated two sigmoid1 accuracy,auc,mae classes
evaluated several sigmoid3 binary_accuracy,auc none
evaluated one-hot softmax4 accuracy,top-2,auc,mse classes
evaluated soft softmax4 accuracy,top-2 classes --label-smoothing 0.1
evaluated good softmax4 accuracy,top-3 classes
evaluated number linear1 mae,mse none --loss huber --huber-delta 0.2
numbers_checkpoint=$(find kept -name 'ckpt-0002*.h5')
expect 0 '' "$eval" "$numbers_checkpoint" --data number.h5 --csv figures.csv
[ "$(cut -d, -f1 figures.csv | paste -sd ' ')" = 'figure loss mae mse' ] || complain "--csv of a regression: $(cat figures.csv)"
expect 0 '^mse: ' "$eval" "$numbers_checkpoint" --data number.h5 --loss mae --metrics mse
refuse 2 "loss 'l2': must be" "$eval" "$numbers_checkpoint" --data number.h5 --loss l2
refuse 2 'has 1 output, numbers.h5: y_train holds 2 values a sample' "$eval" "$numbers_checkpoint" --data numbers.h5

# Predicted: numbers, not classes.
expect 0 '^0: -?[0-9.]+$' "$predict" "$numbers_checkpoint" number.h5 --count 2
expect 0 '^1,-?[0-9.]+$' "$predict" "$numbers_checkpoint" number.h5 --count 2 --csv
[ "$(head -n 1 out)" = input,value_0 ] || complain "columns of values: $(head -n 1 out)"
refuse 2 'gives values \(its loss is huber\)' "$predict" "$numbers_checkpoint" number.h5 --top 1

# A checkpoint as a model brings its loss along; another one can be asked for.
expect 0 '^loss +huber, delta 0.2; metrics mae' run number x --model "$numbers_checkpoint" --epochs 1
expect 0 '^loss +mae; metrics mse' run number x --model "$numbers_checkpoint" --loss mae --epochs 1
expect 0 'training_config of Keras is there' "$info" "$numbers_checkpoint"

# The best by any figure; distances fall, shares rise.
expect 0 '' run number linear1 --epochs 3 --checkpoint-dir best --checkpoint-best val_mae --log best.csv
least=$(sed 1d best.csv | sort -t, -gk5 | head -n 1 | cut -d, -f1)
expect 0 "epoch +$((least + 1))" "$info" best/best.h5
[ "$(head -n 1 best.csv)" = epoch,loss,mae,val_loss,val_mae,lr,images_per_s,seconds ] || complain "columns: $(head -n 1 best.csv)"

# The same bits in every layout and at streamed images, sums and figures too; an exact resume in mid-epoch.
layouts() { # DATA MODEL OPTION...
    local np threads reference="" found
    for np in 1 2 3 5; do
        for threads in 1 2; do
            rm -rf kept
            expect 0 '' "$CNNBN_MPIRUN" $np "$train" --data "$1.h5" --model "$2.yaml" --batch-size 12 --slices 7 --progress lines \
                --quiet --epochs 2 --checkpoint-dir kept --log log.csv --log-steps steps.csv "${@:3}" --threads $threads
            found="$("$info" --digest kept/ckpt-0002*.h5 | cut -d' ' -f1) $(rev log.csv | cut -d, -f3- | rev | cat - steps.csv | md5sum)"
            [ "${reference:=$found}" = "$found" ] || complain "$1: other bits on $np ranks with $threads threads"
        done
    done
    rm -rf kept
    expect 0 '' "$CNNBN_MPIRUN" 3 "$train" --data "$1.h5" --model "$2.yaml" --batch-size 12 --slices 7 --quiet --epochs 2 \
        --checkpoint-dir kept --log log.csv --log-steps steps.csv "${@:3}" --threads 1 --data-memory 1K
    found="$("$info" --digest kept/ckpt-0002*.h5 | cut -d' ' -f1) $(rev log.csv | cut -d, -f3- | rev | cat - steps.csv | md5sum)"
    [ "$reference" = "$found" ] || complain "$1: other bits with streamed images"
    rm -rf kept
    for steps in 2 5 8; do
        expect 0 '' "$CNNBN_MPIRUN" $((steps % 3 + 1)) "$train" --data "$1.h5" --model "$2.yaml" --batch-size 12 --slices 7 --quiet \
            --epochs 2 --checkpoint-dir kept --log log.csv --log-steps steps.csv "${@:3}" --threads 1 --steps $steps
    done
    found="$("$info" --digest kept/ckpt-0002*.h5 | cut -d' ' -f1) $(rev log.csv | cut -d, -f3- | rev | cat - steps.csv | md5sum)"
    [ "$reference" = "$found" ] || complain "$1: other bits after resumes: $(cat log.csv)"
}
layouts several sigmoid3 --metrics binary_accuracy,auc,mae --label-smoothing 0.1
refuse 2 'was made with metrics binary_accuracy,auc,mae, this run has binary_accuracy' cnnbn-train several sigmoid3 --batch-size 12 --slices 7 \
    --lr 0.001 --label-smoothing 0.1 --epochs 3 --checkpoint-dir kept
layouts numbers linear2 --loss huber --huber-delta 0.3 --metrics mae,mse --optimizer sgd --momentum 0.9
refuse 2 'was made with huber-delta' cnnbn-train numbers linear2 --loss huber --metrics mae,mse --optimizer sgd --momentum 0.9 --batch-size 12 \
    --slices 7 --epochs 3 --checkpoint-dir kept
expect 0 'override loss' run numbers linear2 --metrics mae,mse --optimizer sgd --momentum 0.9 --batch-size 12 --slices 7 --epochs 3 \
    --checkpoint-dir kept --override loss,metrics,lr

# Refused: file, path in it, what was found, what was expected.
refuse 2 "nan-y.h5: y_train: sample 2 holds NaN at value 1" cnnbn-train nan-y linear2
refuse 2 'beyond.h5: y_train holds values from 0 to 2, categorical_crossentropy expects 0 to 1' cnnbn-train beyond softmax4
refuse 2 'several.h5: y_train holds 3 values a sample, sparse_categorical_crossentropy expects class numbers' cnnbn-train several softmax3 \
    --loss sparse_categorical_crossentropy
refuse 2 'has 4 outputs, several.h5: y_train holds 3 values a sample' cnnbn-train several softmax4
refuse 2 'good.h5: y_train holds 4 classes; binary_crossentropy of one output expects 0 and 1' cnnbn-train good sigmoid1
refuse 2 'has one linear output and two.h5: y_train holds class numbers' cnnbn-train two linear1
refuse 2 "--loss 'hinge': must be sparse_categorical_crossentropy" cnnbn-train two linear1 --loss hinge
refuse 2 'must be softmax or linear for the loss sparse_categorical_crossentropy' cnnbn-train good tanh4
refuse 2 "--metrics 'f1': must be some of" cnnbn-train good softmax4 --metrics f1
refuse 2 '--metrics top-9: top-1 to top-4' cnnbn-train good softmax4 --metrics top-9
refuse 2 'accuracy is there twice' cnnbn-train good softmax4 --metrics accuracy,top-2,accuracy
refuse 2 '--metrics accuracy: y holds values and the loss is mse' cnnbn-train number linear1 --metrics accuracy
refuse 2 '--metrics auc' cnnbn-train good softmax4 --metrics auc
refuse 2 '--from-logits' cnnbn-train good softmax4 --from-logits
refuse 2 '--label-smoothing 0.1: the loss mse has no labels' cnnbn-train number linear1 --label-smoothing 0.1
refuse 2 '--huber-delta 2: the loss is mse' cnnbn-train number linear1 --huber-delta 2
refuse 2 "'accuracy': must be loss or a metric of the run \\(mae\\)" cnnbn-train number linear1 --checkpoint-dir kept2 --checkpoint-best accuracy
expect 0 'warning.*do not sum to 1 \(off by up to 2\)' run several softmax3 --epochs 1

# cnnbn-data.
expect 0 'y +3 values a sample, from 0 to 1' "$data" info several.h5
for kind in number several one-hot; do
    expect 0 '' "$data" split "$kind.h5" -o part.h5 --train 12 --test 24 --force
    expect_not 'warning'
    expect 0 'y +[134] values? a sample' "$data" info part.h5
    expect 0 '^  values +[134] a sample, from ' "$info" part.h5
done
# The same test set after a split: the same evaluation.
evaluated number linear1 mae none
kept_model=$(find kept -name 'ckpt-0002*.h5')
"$data" split number.h5 -o part.h5 --train 12 --test 24 --force > /dev/null
[ "$("$eval" "$kept_model" --data number.h5 | tail -n 1)" = "$("$eval" "$kept_model" --data part.h5 | tail -n 1)" ] || complain "another test set after a split"
verdict "losses, metrics and targets: all as expected"
