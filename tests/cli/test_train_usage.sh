#!/usr/bin/env bash
# cnnbn-train's options: help, version, what is out of range or does not go together.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

expect 0 'Usage: cnnbn-train' "$train" --help
expect 0 'Exit codes: 0 done' "$train" --help
expect 0 '^cnnbn-train [0-9]+\.[0-9]+\.[0-9]+$' "$train" --version
expect 1 "unrecognized option '--no-such-option'" "$train" --no-such-option
expect 1 "unexpected argument 'good.h5'" "$train" good.h5
expect 1 'requires an argument' "$train" --epochs
expect 1 '--help' "$train" --no-such-option

# Every number has a range, and names say what they could be.
while read -r regex option value; do
    refuse 2 "^cnnbn-train: $option:? .*$regex" "$train" "${small[@]}" "$option" "$value"
    refuse 2 "^cnnbn-train: $option:? .*$regex" "$train" "${small[@]}" "$option=$value"
done << 'END'
range --batch-size 0
range --batch-size -8
whole --batch-size 8x
found..learning-rate'..expected.names.of.batch-size,.* --override lr,learning-rate
range --epochs 0
range --steps -1
range --lr -0.1
number --lr nan
number --lr fast
range --beta-1 1
range --beta-2 -0.5
range --epsilon 0
range --epsilon -1e-7
range --momentum 1.5
range --weight-decay -1
range --clip-value 0
range --clip-norm -1
range --global-clip-norm 0
range --label-smoothing 1
whole --seed -1
range --slices 0
range --threads 0
range --threads 100000
range --keep 0
range --watchdog -1
adam --optimizer adagrad
sync --bn global
ordered --reduce fast
auto --conv fft
bar --progress dots
range --huber-delta 0
range --huber-delta -1
3h50m --max-time soon
3h50m --max-time 0
16G --data-memory much
16G --data-memory 0
500s --checkpoint-every 1x
500s --checkpoint-every 0
500s --checkpoint-every 1.5e
END
refuse 2 'simd' "$train" "${small[@]}" --kernels cuda

# What does not go together.
refuse 2 'at most one of' "$train" "${small[@]}" --clip-norm 1 --clip-value 1
refuse 2 '--optimizer sgd' "$train" "${small[@]}" --momentum 0.9
refuse 2 '--optimizer sgd' "$train" "${small[@]}" --nesterov
refuse 2 'needs --checkpoint-dir' "$train" "${small[@]}" --checkpoint-best val_loss
refuse 2 'needs --checkpoint-dir' "$train" "${small[@]}" --resume auto
refuse 2 'no step would be left' "$train" "${small[@]}" --batch-size 41 --drop-last
refuse 2 "--checkpoint-best 'f1': must be loss or a metric of the run \(accuracy\)" "$train" "${small[@]}" --checkpoint-dir kept --checkpoint-best f1
refuse 2 'no validation' "$train" "${small[@]}" --no-validation --checkpoint-dir kept --checkpoint-best val_loss

# --config: any option; the command line wins; what is wrong in it is named.
cat > options.yaml << 'END'
data: good.h5
model: small.yaml
batch_size: 8
epochs: 3
threads: 1
no-shuffle: true
nesterov: false
log: by-config.csv
END
expect 0 'global batch 8, 5 steps an epoch, seed 0, not shuffled' "$train" --config options.yaml
[ "$(wc -l < by-config.csv)" = 4 ] || complain "epochs of --config: $(cat by-config.csv)"
expect 0 'images/s' "$train" --epochs 1 --config=options.yaml --log by-both.csv
[ "$(wc -l < by-both.csv)" = 2 ] || complain "the command line does not win: $(cat by-both.csv)"
refuse 2 'absent.yaml: the file cannot be read' "$train" --config absent.yaml
echo 'no mapping' > list.yaml
refuse 2 'list.yaml: a YAML mapping' "$train" --config list.yaml
echo 'no-such-option: 3' > unknown.yaml
expect 1 "unrecognized option '--no-such-option=3'" "$train" --config unknown.yaml
echo 'epochs: 0' > zero.yaml
refuse 2 '--epochs: 0 is out of range' "$train" --config zero.yaml
echo 'config: options.yaml' > nested.yaml
refuse 2 'cannot name another one' "$train" --config nested.yaml
echo 'epochs: [1, 2]' > sequence.yaml
refuse 2 'epochs: a single value is expected' "$train" --config sequence.yaml
printf 'epochs: {\n' > torn.yaml
refuse 2 'torn.yaml' "$train" --config torn.yaml

# A wrong option of all ranks is one message, whoever is first.
for _ in 1 2 3; do refuse_at 3 2 '^cnnbn-train: --epochs: 0 is out of range' "$train" "${small[@]}" --epochs 0; done
expect 1 "unrecognized option '--no-such-option'" "$CNNBN_MPIRUN" 3 "$train" --no-such-option
[ "$(grep -c 'unrecognized option' err)" = 1 ] || complain "not one message on 3 ranks: $(cat err)"
verdict "cnnbn-train's options: all as expected"
