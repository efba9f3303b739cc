#!/usr/bin/env bash
# What cnnbn-train refuses: models, datasets, checkpoints and folders; one message each, before anything is trained or lost.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

# model TEXT...: writes m.yaml
model() { printf '%s\n' 'input: [8, 8, 1]' 'layers:' "$@" > m.yaml; }
tail_of_model=('  - Flatten' '  - Dense: {units: 4, activation: softmax}')

# Models: the layer and the shapes are named.
model '  - Conv2D: {name: first, filters: 4, kernel_size: 3}' '  - Conv2D: {name: second, filters: 4, kernel_size: 9}' "${tail_of_model[@]}"
refuse 2 'm.yaml: .*second.*9.*6' "$train" "${small[@]}" --model m.yaml
model '  - BatchNormalization: {name: norm, epsilon: 0}' "${tail_of_model[@]}"
refuse 2 'm.yaml: .*norm.*epsilon' "$train" "${small[@]}" --model m.yaml
model '  - BatchNormalization: {name: norm, epsilon: -0.001}' "${tail_of_model[@]}"
refuse 2 'm.yaml: .*norm.*epsilon' "$train" "${small[@]}" --model m.yaml
model '  - Conv3D: {filters: 4, kernel_size: 3}' "${tail_of_model[@]}"
refuse 2 'Conv3D' "$train" "${small[@]}" --model m.yaml
model '  - Conv2D: {filters: 0, kernel_size: 3}' "${tail_of_model[@]}"
refuse 2 'filters' "$train" "${small[@]}" --model m.yaml
model '  - Conv2D: {filters: 4, kernel_size: 3, colour: red}' "${tail_of_model[@]}"
refuse 2 'colour' "$train" "${small[@]}" --model m.yaml
model '  - Conv2D: {filters: 4, kernel_size: 3}' '  - Dense: {name: top, units: 4, activation: softmax}'
refuse 2 'm.yaml|top|outputs' "$train" "${small[@]}" --model m.yaml
model '  - Flatten' '  - Dense: {units: 3, activation: softmax}'
refuse 2 '3 outputs, good.h5 has labels of 4 classes' "$train" "${small[@]}" --model m.yaml
printf 'input: [28, 28, 1]\nlayers:\n  - Flatten\n  - Dense: {units: 4, activation: softmax}\n' > large.yaml
refuse 2 'wants input \(28, 28, 1\), the images of good.h5 are \(8, 8, 1\)' "$train" "${small[@]}" --model large.yaml
printf 'input: [8, 8, 1\n' > torn.yaml
refuse 2 'torn.yaml' "$train" "${small[@]}" --model torn.yaml
refuse 2 'resnet9000 is no built-in model' "$train" "${small[@]}" --model resnet9000
refuse 2 'lenet5 needs images of 12x12' "$train" "${small[@]}" --model lenet5
refuse 3 'absent.yaml: cannot be opened' "$train" "${small[@]}" --model absent.yaml
refuse 3 'absent.h5: cannot be opened' "$train" "${small[@]}" --model absent.h5
refuse 2 'good.h5: .*model_config' "$train" "${small[@]}" --model good.h5

# Datasets: file, path in it, what was found.
data() { local code=$1 regex=$2; refuse "$code" "$regex" "$train" "${small[@]}" --data "${@:3}"; }
for kind in rank2 label negative classes lengths no-labels nan rgb float; do "$make" data "$kind" "$kind.h5"; done
echo 'this is no HDF5 file' > text.h5
head -c 1500 good.h5 > short.h5
: > empty.h5
mkdir folder.h5
data 3 'absent.h5: cannot be opened' absent.h5
data 2 'text.h5: is not an HDF5 file' text.h5
data 2 'empty.h5: ' empty.h5
data 3 'folder.h5: ' folder.h5
data 2 'short.h5: .*truncated|short.h5: .*HDF5' short.h5
data 2 'rank2.h5: x_train.*\(N, ?H, ?W' rank2.h5
data 2 'label.h5: y_train.* 4' label.h5
data 2 'negative.h5: y_train.*-1' negative.h5
data 2 '4 outputs, classes.h5 has labels of 5 classes' classes.h5
data 2 'lengths.h5: .*40.*39|lengths.h5: .*39.*40' lengths.h5
data 2 'no-labels.h5: .*y_train' no-labels.h5
data 2 'nan.h5: x_train.*sample 7|nan.h5: x_train.* 7' nan.h5
data 2 'wants input \(8, 8, 1\), the images of rgb.h5 are \(8, 8, 3\)' rgb.h5
data 2 'good.h5: .*pictures' good.h5 --x-train pictures
data 2 'x_test|y_test' good.h5 --x-test y_test
refuse_at 3 2 '^cnnbn-train: (rank 0 on [^ ]*: )?nan.h5: x_train' "$train" "${small[@]}" --data nan.h5
refuse_at 3 2 '^cnnbn-train: nan.h5: x_train' "$train" "${small[@]}" --data nan.h5 --data-memory 2K

# Checkpoints.
expect 0 '' "$train" "${small[@]}" --epochs 1 --checkpoint-dir kept --quiet
kept=kept/ckpt-0001-00000005.h5
before=$(cat kept/* | cksum)
model '  - Conv2D: {filters: 5, kernel_size: 3, activation: relu}' '  - BatchNormalization' "${tail_of_model[@]}"
refuse 2 "checkpoint $kept is of another model: .*filters" "$train" "${small[@]}" --model m.yaml --checkpoint-dir kept --epochs 2
refuse 2 "$kept was made with batch-size 8, this run has 10.*--override batch-size" "$train" "${small[@]}" --batch-size 10 --checkpoint-dir kept --epochs 2
refuse 2 'was made with lr' "$train" "${small[@]}" --lr 0.5 --checkpoint-dir kept --epochs 2
refuse 2 'was made with optimizer adam' "$train" "${small[@]}" --optimizer sgd --lr 0.001 --checkpoint-dir kept --epochs 2
refuse 2 'was made with data' "$train" "${small[@]}" --data float.h5 --checkpoint-dir kept --epochs 2
refuse 3 'absent.h5: cannot be opened' "$train" "${small[@]}" --resume absent.h5
head -c 3000 "$kept" > cut.h5
refuse 2 'cut.h5: .*(truncated|3000)' "$train" "${small[@]}" --resume cut.h5
refuse 2 'cut.h5: .*(truncated|3000)' "$train" "${small[@]}" --init-from cut.h5
refuse 2 'text.h5' "$train" "${small[@]}" --init-from text.h5
refuse 2 'good.h5: .*layer_names' "$train" "${small[@]}" --init-from good.h5 --model m.yaml
refuse 2 "$kept: .*\(3, 3, 1, 4\).*\(3, 3, 1, 5\)" "$train" "${small[@]}" --init-from "$kept" --model m.yaml
"$info" "$kept" --export-weights weights.h5 || complain "no export"
expect 0 'images/s$' "$train" "${small[@]}" --init-from weights.h5 --steps 1
refuse 2 'weights.h5: optimiser state' "$train" "${small[@]}" --resume weights.h5
[ "$(cat kept/* | cksum)" = "$before" ] || complain "the refused runs changed the folder"

# Folders and files that cannot be written (a file in a folder's place: works for root too).
echo file > taken
refuse 3 'taken: the folder cannot be created: Not a directory' "$train" "${small[@]}" --checkpoint-dir taken
refuse 3 'taken: the folder cannot be created: Not a directory' "$train" "${small[@]}" --checkpoint-dir taken/below
refuse 3 'nowhere/log.csv' "$train" "${small[@]}" --log nowhere/log.csv
refuse 3 'nowhere/log.csv' "$train" "${small[@]}" --log-steps nowhere/log.csv
[ "$(cat taken)" = file ] || complain "the file in the folder's place has changed"

# Files that a run would write over: its own inputs, and what is no log. A link to a log stays one.
before=$(cat good.h5 small.yaml "$kept" taken | cksum)
ln -s good.h5 link.h5
refuse 2 '--log link.h5: is the file of --data' "$train" "${small[@]}" --log link.h5
refuse 2 '--log-steps ./small.yaml: is the file of --model' "$train" "${small[@]}" --log-steps ./small.yaml
refuse 2 "--trace $kept: is the file of --init-from" "$train" "${small[@]}" --trace "$kept" --init-from "$kept"
refuse 2 '--log-steps new.csv: is the file of --log' "$train" "${small[@]}" --log new.csv --log-steps new.csv
refuse 2 'taken: is there already and is no log' "$train" "${small[@]}" --log taken
[ "$(cat good.h5 small.yaml "$kept" taken | cksum)" = "$before" ] || complain "files that a run would write over have changed"
refuse 2 '--data: the name of a file is expected, it is empty' "$train" "${small[@]}" --data ''
touch behind.csv
ln -s behind.csv link.csv
"$train" "${small[@]}" --epochs 1 --log link.csv --log-steps /dev/stdout 2> err < /dev/null | cat > piped
if ! [ -L link.csv ] || ! grep -q '^0,' behind.csv; then complain "a link to a log: $(ls -l link.csv behind.csv) $(cat err)"; fi
grep -q '^4,' piped || complain "--log-steps /dev/stdout: $(cat piped err)"

refuse_at 3 3 'taken: the folder cannot be created: Not a directory' "$train" "${small[@]}" --checkpoint-dir taken
verdict "what cnnbn-train refuses: all as expected"
