#!/usr/bin/env bash
# cnnbn-info: what files hold, digests, differences, weights alone, models.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

expect 0 'Usage: cnnbn-info' "$info" --help
expect 0 '^cnnbn-info [0-9]+\.[0-9]+\.[0-9]+$' "$info" --version
expect 1 'a file or the name of a model is needed' "$info"
expect 1 'unrecognized option' "$info" --no-such-option
expect 1 'one file is shown, two are compared' "$info" a b c
expect 1 'one file is expected, 2 were given' "$info" --yaml a b
expect 1 '--models takes no file' "$info" --models a
expect 1 'only one of --digest' "$info" --models --yaml a
refuse 2 "--input: '28x28' is not of the form HxWxC" "$info" --models --input 28x28
refuse 2 '--classes: 0 is out of range' "$info" --models --classes 0

# Models.
expect 0 '^keras-example +387,850 +22\.4$' "$info" --models
expect 0 '^lenet5 +model lenet5 needs images of 12x12' "$info" --models --input 8x8x1
expect 0 '^resnet50 +23,[0-9,]+' "$info" --models
# By hand, multiply-adds in thousands: keras-example 26^2*9*32 = 195, 24^2*9*32*64 = 10,617, 24^2*64*10 = 369: 11,180. resnet20: 32^2*27*16 =
# 442; six times 32^2*9*16*16 = 14,156; 16^2*9*16*32 = 1,180 and five times 16^2*9*32*32 = 11,796; the same in 8^2 with twice the
# filters; two shortcuts of 131; 64*10: 40,813. The paper of MobileNet: 569 million; VGG's D: 15.5 thousand million; torchvision: 1.81, 300.8 million.
expect 0 '^resnet20 +274,042 +81\.6$' "$info" --models --input 32x32x3
"$info" --models --input 224x224x3 --classes 1000 > large
for row in 'mobilenet-v1 4,253,864 1137.5' 'mobilenet-v2 3,538,984 601.5' 'resnet18 11,699,112 3628.1' 'vgg16-bn 138,374,440 30940.5'; do
    tr -s ' ' < large | grep -qx "$row" || complain "--models: not $row: $(grep "^${row%% *}" large)"
done
expect 0 '^Total params: 387,850' "$info" keras-example
expect 0 '^Total params: 636' "$info" small.yaml
expect 0 '^Total params: 636' "$info" --summary small.yaml
expect 0 '"class_name": ?"Conv2D"' "$info" --json small.yaml
expect 0 'Conv2D: \{' "$info" --yaml small.yaml
cp out again.yaml
expect 0 '' "$info" --yaml again.yaml
cmp -s out again.yaml || complain "--yaml of --yaml differs: $(diff out again.yaml)"
"$info" --json small.yaml > small.json
expect 0 '^Total params: 636' "$info" small.json
# The drawing: a box each use of a layer, an arrow each connection.
expect 0 '^digraph "resnet20" \{$' "$info" --dot resnet20
[ "$(grep -c ' -> ' out)" = 81 ] || complain "--dot: $(grep -c ' -> ' out) arrows"
[ "$(grep -c 'label=' out)" = 73 ] || complain "--dot: $(grep -c 'label=' out) boxes"
grep -q 's2b1_0_conv.nConv2D.n(14, 14, 32).n512 parameters' out || complain "--dot: no box of s2b1_0_conv"
if command -v dot > /dev/null; then dot -Tsvg out > resnet20.svg || complain "Graphviz does not take the drawing"; fi
printf 'input: [3]\nlayers: [{ReLU: {name: "a\\"b"}}, {again: {layer: "a\\"b"}}]\n' > quoted.yaml
expect 0 'c1 \[label="a\\"b\\nReLU\\n\(3\)"\];' "$info" --dot quoted.yaml
expect 0 'c2 \[label="a\\"b \(use 2\)' "$info" --dot quoted.yaml
# Normalisation.
expect 0 '^Model: "resnet20-norm-group"' "$info" --norm group resnet20
expect 0 'GroupNormalization' "$info" --norm group resnet20
expect 0 '^lenet5 +--norm none: model lenet5 has no such variant' "$info" --models --norm none
refuse 2 "'instance' is none of batch, layer, group and none" "$info" --norm instance resnet20
refuse 2 '--norm is for built-in models; ./small.yaml says itself' "$info" --norm layer ./small.yaml
refuse 2 'resnet9000 is no built-in model' "$info" resnet9000
refuse 3 'absent.yaml: cannot be opened' "$info" absent.yaml
refuse 2 '--digest: small.yaml is a model without weights' "$info" --digest small.yaml

# A checkpoint.
expect 0 '' "$train" "${small[@]}" --steps 7 --checkpoint-dir a --quiet
expect 0 '' "$CNNBN_MPIRUN" 3 "$train" "${small[@]}" --steps 7 --checkpoint-dir b --quiet
expect 0 '' "$train" "${small[@]}" --steps 7 --seed 1 --checkpoint-dir c --quiet
a=a/ckpt-0001-00000007.h5 b=b/ckpt-0001-00000007.h5 c=c/ckpt-0001-00000007.h5
expect 0 "^$a: checkpoint of cnnbn" "$info" "$a"
for regex in '^  digest +[0-9a-f]{32}$' '^  epoch +1 done, 2 steps into the next' '^  step +7$' '^  optimiser +slot m, 628 values' \
    '^  classes +top left, a, "b"' '^    batch-size +8$' '^    optimizer +adam$' '^    seed +0$' '^    iterations +7$' \
    '^Total params: 636'; do
    grep -Eq -- "$regex" out || complain "no '$regex' in: $(cat out)"
done
expect 0 "^[0-9a-f]{32}  $a$" "$info" --digest "$a"
[ "$(wc -l < out)" = 1 ] || complain "--digest: more than a line: $(cat out)"
expect 0 '' "$info" --digest "$a" "$b" "$c" good.h5
[ "$(wc -l < out)" = 4 ] || complain "--digest of four files: $(cat out)"
[ "$(cut -d' ' -f1 out | sort -u | wc -l)" = 3 ] || complain "digests of 1 and 3 ranks should be equal, the others not: $(cat out)"
expect 0 'Conv2D: \{' "$info" --yaml "$a"

# Two checkpoints: 0 equal, 5 different, and what.
expect 0 '^equal: the trained state has the digest [0-9a-f]{32}$' "$info" "$a" "$b"
expect 5 '^conv2d/kernel +36 of +36 values differ, by [0-9]' "$info" "$a" "$c"
for regex in '^m of dense/bias +4 of +4 values' '^fact option.seed: "0", "1"$' '^different: [0-9]+ values$'; do
    grep -Eq -- "$regex" out || complain "no '$regex' in: $(cat out)"
done
"$make" poison "$a" poison.h5
expect 5 '^conv2d/kernel +1 of +36 values differ, by -?nan at most$' "$info" "$a" poison.h5
[ "$(wc -l < out)" = 2 ] || complain "one value differs, not: $(cat out)"
expect 5 'different: 1 values' "$info" poison.h5 "$a"
expect 0 '^equal' "$info" poison.h5 poison.h5
sed 's/filters: 4/filters: 5/' small.yaml > five.yaml
expect 0 '' "$train" "${small[@]}" --model five.yaml --steps 1 --checkpoint-dir five --quiet
expect 5 'the models differ: .*filters' "$info" "$a" five/*.h5

# Weights alone.
expect 0 '' "$info" "$a" --export-weights weights.h5
expect 0 '^  classes +top left' "$info" weights.h5
expect_not 'slot m'
expect 5 'optimiser slot m is not the same, or only in' "$info" "$a" weights.h5
expect_not 'kernel'
[ "$(stat -c %s weights.h5)" -lt "$(stat -c %s "$a")" ] || complain "the weights alone are not smaller"
"$eval" "$a" --data good.h5 | tail -n 1 > whole
"$eval" weights.h5 --data good.h5 | tail -n 1 > alone
cmp -s whole alone || complain "the weights alone evaluate otherwise: $(cat whole alone)"
before=$(cksum < weights.h5)
refuse 3 'absent.h5: cannot be opened' "$info" absent.h5 --export-weights weights.h5
[ "$(cksum < weights.h5)" = "$before" ] || complain "a failed export touched its target"
refuse 2 '--export-weights ./weights.h5: is the file of FILE' "$info" weights.h5 --export-weights ./weights.h5
[ "$(cksum < weights.h5)" = "$before" ] || complain "an export over itself touched the file"
refuse 3 'nowhere/w.h5' "$info" "$a" --export-weights nowhere/w.h5

# A dataset, and what is neither.
expect 0 '^good.h5: dataset' "$info" good.h5
expect 0 'images +40 training, 24 test' "$info" good.h5
expect 0 'each +\(8, 8, 1\) uint8' "$info" good.h5
echo 'this is no HDF5 file' > text.h5
head -c 3000 "$a" > cut.h5
head -c 1500 good.h5 > short.h5
cp "$a" flipped.h5
printf 'X' | dd of=flipped.h5 bs=1 seek=5000 conv=notrunc 2> /dev/null
"$make" data label label.h5
refuse 3 'absent.h5: cannot be opened' "$info" absent.h5
refuse 2 'text.h5' "$info" text.h5
refuse 2 'cut.h5: .*(truncated|3000)' "$info" cut.h5
refuse 2 'flipped.h5: .*damaged' "$info" flipped.h5
refuse 2 'flipped.h5' "$info" "$a" flipped.h5
refuse 2 'short.h5' "$info" short.h5
refuse 2 'label.h5: y_train' "$info" label.h5
refuse 2 'good.h5: .*model_config' "$info" good.h5 "$a"
expect 2 "^[0-9a-f]{32}  $c$" "$info" --digest "$a" flipped.h5 "$c"
[ "$(wc -l < out)" = 2 ] || complain "a damaged file hides the others: $(cat out)"
verdict "cnnbn-info: all as expected"
