#!/usr/bin/env bash
# cnnbn-data: usage, exit codes, messages, and a whole way from IDX files to a smaller dataset.
set -u
# shellcheck source=../support/wait.sh
. "$CNNBN_SOURCE/tests/support/wait.sh"
program=$CNNBN_BIN/cnnbn-data
bundled=$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

complain() {
    printf 'FAILED: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# expect CODE REGEX COMMAND...: the exit code, and a line of stdout or stderr that matches.
expect() {
    local code=$1 regex=$2 got=0
    shift 2
    "$@" > out 2> err < /dev/null || got=$?
    [ "$got" = "$code" ] || complain "$* ended with $got, not $code: $(cat err)"
    if ! cat out err | grep -Eq -- "$regex"; then complain "$*: no '$regex' in: $(cat out err)"; fi
}

# refuse CODE REGEX COMMAND...: also exactly one line of message, which begins with the program's name, and no file left.
refuse() {
    expect "$@"
    [ "$(wc -l < err)" = 1 ] || complain "${*:3}: more than one line: $(cat err)"
    grep -q '^cnnbn-data: ' err || complain "${*:3}: message without the program's name: $(cat err)"
    if [ -e new.h5 ] || [ -e new.h5.tmp ]; then complain "${*:3}: left a file"; fi
}

# Usage.
expect 0 'Usage: cnnbn-data' "$program" --help
expect 0 'import folder' "$program" --help
expect 0 '^cnnbn-data [0-9]+\.[0-9]+\.[0-9]+$' "$program" --version
expect 0 'train-images' "$program" import idx --help
expect 0 'DIR' "$program" import folder --help
expect 0 '^cnnbn-data [0-9]' "$program" import cifar --version
expect 1 'help' "$program"
expect 1 'help' "$program" --no-such-option
expect 1 "no command 'inport'" "$program" inport
expect 1 "idx, cifar or folder" "$program" import
expect 1 'unrecognized option' "$program" import idx --no-such-option
expect 1 'a dataset is needed' "$program" info
expect 1 'too many arguments' "$program" info "$bundled" "$bundled"
expect 1 '-o OUT.h5 is needed' "$program" split "$bundled" --train 5
expect 1 '--train N is needed' "$program" split "$bundled" -o new.h5
expect 1 'an input is needed' "$program" import folder -o new.h5
expect 1 '--train-images' "$program" import idx -o new.h5
refuse 2 "--gzip: 10 is out of range; 0 to 9" "$program" split "$bundled" --train 5 -o new.h5 --gzip 10
refuse 2 "--train: '5x' is not a whole number" "$program" split "$bundled" --train 5x -o new.h5
refuse 2 "--split: 1.5 is out of range" "$program" import folder . -o new.h5 --split 1.5
refuse 2 "--size: '32' is not of the form HxW" "$program" import folder . -o new.h5 --size 32
refuse 2 '--size: height: 0 is out of range' "$program" import folder . -o new.h5 --size 0x5
refuse 2 '--seed' "$program" split "$bundled" --train 5 -o new.h5 --seed -1
refuse 2 'name 1 of' "$program" split "$bundled" --train 5 -o new.h5 --class-names a,,b
refuse 2 '7000 training samples wanted' "$program" split "$bundled" --train 7000 -o new.h5
refuse 3 'nowhere.h5' "$program" info nowhere.h5

# The bundled dataset is what its documents say.
expect 0 '^fashion-mnist-7000.h5: OK' env -C "$CNNBN_SOURCE/datasets" sha256sum -c SHA256SUMS
expect 0 'training  6,000 images' "$program" info "$bundled"
expect 0 '9 +600 +100  Ankle boot' "$program" info "$bundled"
expect 0 'licence +MIT' "$program" info "$bundled"
expect 0 'mean +0\.286915' "$program" info --stats "$bundled"
expect 0 'std +0\.353779' "$program" info --stats "$bundled"

# split: balanced, the same bytes each time, nothing overwritten unasked.
expect 0 'small.h5: 200 training and 50 test images of \(28, 28, 1\), 10 classes' \
    "$program" split "$bundled" --train 200 --test 50 -o small.h5
expect 0 ' 3 +20 +5  Dress' "$program" info small.h5
expect 2 'exists already.*--force' "$program" split "$bundled" --train 20 -o small.h5
expect 0 'training  200 images' "$program" info small.h5
cp small.h5 first.h5
if [ -c /dev/full ]; then
    got=0
    "$program" info small.h5 > /dev/full 2> err || got=$?
    if [ "$got" != 3 ] || ! grep -q 'the output cannot be written' err; then complain "printed to a full disk: exit code $got: $(cat err)"; fi
fi
got=0
(ulimit -f 8 && exec "$program" split "$bundled" --train 200 -o large.h5) > out 2> err || got=$?
if [ "$got" != 3 ] || compgen -G 'large.h5*' > files; then complain "beyond ulimit -f: exit code $got, files $(cat files): $(cat err)"; fi
# shellcheck disable=SC2317 # called by wait_until, as begun below
later() { [ "$(date +%s)" != "$second" ]; }
second=$(date +%s)
wait_until 5 later || complain "the clock stands" # a stored time would differ
expect 0 '' "$program" split "$bundled" --train 200 --test 50 -o small.h5 --force
cmp small.h5 first.h5 || complain "the same command made another file"
expect 0 '' "$program" split "$bundled" --train 200 --test 50 -o seeded.h5 --seed 3
if cmp -s seeded.h5 first.h5; then complain "--seed 3 changed nothing"; fi

# IDX, plain and gzipped: 4 images of 2 x 3, labels 0 1 2 1.
{
    printf '\0\0\10\3\0\0\0\4\0\0\0\2\0\0\0\3'
    printf 'abcdefghijklmnopqrstuvwx'
} > images
printf '\0\0\10\1\0\0\0\4\0\1\2\1' > labels
expect 0 'tiny.h5: 4 training and 0 test images of \(2, 3, 1\), 3 classes' \
    "$program" import idx --train-images images --train-labels labels -o tiny.h5
gzip -k images labels
expect 0 '4 training and 4 test' "$program" import idx --train-images images.gz --train-labels labels.gz \
    --test-images images --test-labels labels -o both.h5 --class-names 'one,two words,three' --source here --licence none
expect 0 ' 1 +2 +2  two words' "$program" info both.h5
expect 0 'source +here' "$program" info both.h5
expect 0 '3 training and 1 test' "$program" import idx --train-images images.gz --train-labels labels.gz \
    --test-images images --test-labels labels -o both.h5 --limit 3,1 --force
refuse 2 'labels: label 2 .*2 class names' \
    "$program" import idx --train-images images --train-labels labels -o new.h5 --class-names a,b
refuse 2 'swapped' "$program" import idx --train-images labels --train-labels images -o new.h5
head -c 30 images > short
refuse 2 'short: truncated: 30 bytes.* asks for 40' \
    "$program" import idx --train-images short --train-labels labels -o new.h5
head -c 30 images.gz > short.gz
refuse 2 'short.gz: truncated' "$program" import idx --train-images short.gz --train-labels labels -o new.h5
refuse 3 'absent' "$program" import idx --train-images absent --train-labels labels -o new.h5
refuse 3 'no/new.h5' "$program" import idx --train-images images --train-labels labels -o no/new.h5

# The script for the whole of Fashion-MNIST, with files that are named as its own.
mkdir fashion
for name in train t10k; do
    cp images.gz fashion/$name-images-idx3-ubyte.gz
    cp labels fashion/$name-labels-idx1-ubyte
done
get=$CNNBN_SOURCE/scripts/get-fashion-mnist.sh
expect 0 '4 training and 4 test.* 10 classes' env FASHION_MNIST_DIR=fashion "$get" whole.h5
expect 0 ' 2 +1 +1  Pullover' "$program" info whole.h5
expect 0 'there already' env FASHION_MNIST_DIR=fashion "$get" whole.h5
rm fashion/t10k-labels-idx1-ubyte
expect 1 'no t10k-labels-idx1-ubyte.gz in fashion' env FASHION_MNIST_DIR=fashion "$get" other.h5
[ ! -e other.h5 ] || complain "get-fashion-mnist.sh left a file"

# CIFAR-10 with three records.
mkdir cifar
for label in '\0' '\1' '\12'; do # the last one, 10, is too much
    printf '%b' "$label"
    head -c 3072 /dev/zero
done > cifar/some.bin
refuse 2 'some.bin: record 2 has label 10' "$program" import cifar cifar/some.bin -o new.h5
head -c 6146 cifar/some.bin > cifar/good.bin
cp cifar/good.bin cifar/good_test.bin
expect 0 '2 training and 2 test images of \(32, 32, 3\), 2 classes' \
    "$program" import cifar cifar/good.bin cifar/good_test.bin -o cifar.h5
refuse 2 'neither' "$program" import cifar cifar -o new.h5

# Folders.
mkdir -p pictures/cat pictures/dog
printf 'no picture' > pictures/cat/a.png
printf 'no picture' > pictures/dog/b.png
refuse 2 'pictures/cat/a.png: neither PNG nor JPEG' "$program" import folder pictures -o new.h5 --split 0
mkdir pictures/empty
refuse 2 'pictures/empty: a class without images' "$program" import folder pictures -o new.h5

# Only rank 0 speaks.
# shellcheck disable=SC2086 # words on purpose
for arguments in --no-such-option "info nowhere.h5" "split both.h5 --train x -o new.h5"; do
    if OMPI_COMM_WORLD_RANK=1 "$program" $arguments > out 2> err; then complain "rank 1 took $arguments"; fi
    if [ -s out ] || [ -s err ]; then complain "rank 1 spoke: $(cat out err)"; fi
    if OMPI_COMM_WORLD_RANK=0 "$program" $arguments > out 2> err; then complain "rank 0 took $arguments"; fi
    [ -s err ] || complain "rank 0 was silent: $arguments"
done

# A signal leaves no file. (Ended by its code, or done before the signal came.)
{
    printf '\0\0\10\3\0\0\200\0\0\0\0\100\0\0\0\100'
    head -c $((32768 * 64 * 64)) /dev/urandom
} > many
{
    printf '\0\0\10\1\0\0\200\0'
    head -c 32768 /dev/zero
} > zeros
"$program" import idx --train-images many --train-labels zeros -o stopped.h5 --gzip 9 > out 2> err &
pid=$!
begun() { [ -s stopped.h5.tmp ] || [ -e stopped.h5 ]; }
wait_until 20 begun || complain "the import did not begin"
kill -TERM "$pid" 2> /dev/null
got=0
wait "$pid" || got=$?
if [ "$got" = 75 ]; then
    grep -q 'interrupted' err || complain "interrupted without a word: $(cat err)"
    if [ -e stopped.h5 ]; then complain "an interrupted import left a file"; fi
elif [ "$got" != 0 ]; then
    complain "an interrupted import ended with $got: $(cat err)"
fi
[ ! -e stopped.h5.tmp ] || complain "an interrupted import left stopped.h5.tmp"

[ "$failures" = 0 ] || exit 1
echo "cnnbn-data: all as expected"
