#!/usr/bin/env bash
# cnnbn-bench: usage, exit codes, messages, the columns of its tables and of its CSV files. Nothing here is about time.
set -u
program=$CNNBN_BIN/cnnbn-bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export TMPDIR=$work
unset OPENBLAS_CORETYPE
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

# refuse REGEX COMMAND...: exit code 2 and one line of message.
refuse() {
    expect 2 "$@"
    [ "$(wc -l < err)" = 1 ] || complain "${*:2}: more than one line: $(cat err)"
    grep -q '^cnnbn-bench: ' err || complain "${*:2}: message without the program's name: $(cat err)"
}

# csv FILE COLUMNS ROWS: every line has as many columns as the header, and there are ROWS lines at least; no figure is missing.
csv() {
    local columns
    columns=$(head -n 1 "$1" | awk -F, '{ print NF }')
    [ "$columns" = "$2" ] || complain "$1: $columns columns, not $2"
    [ "$(wc -l < "$1")" -ge "$3" ] || complain "$1: fewer than $3 lines: $(cat "$1")"
    # Commas between quotes do not count.
    sed 's/"[^"]*"/q/g' "$1" | awk -F, -v n="$2" 'NF != n { exit 1 }' || complain "$1: a line of another length: $(cat "$1")"
    if grep -Eiq '(^|,)-?(nan|inf)' "$1"; then complain "$1: NaN or Inf: $(cat "$1")"; fi
}

quick=(--rounds 2 --round-time 0.0005)

# Usage.
expect 0 'Usage: cnnbn-bench' "$program" --help
expect 0 '^cnnbn-bench [0-9]+\.[0-9]+\.[0-9]+$' "$program" --version
for command in peak kernels step reduce scaling checkpoint; do expect 0 '--round-time' "$program" "$command" --help; done
expect 1 'is expected' "$program"
expect 1 "no command 'speed'" "$program" speed
expect 1 'unrecognized option' "$program" step --no-such-option
expect 1 "unexpected argument 'x'" "$program" peak x
refuse '--rounds: 0 is out of range' "$program" peak --rounds 0
refuse "--round-time: 'x' is not a number" "$program" peak --round-time x
refuse '--shape: N,C,K,H,R,stride' "$program" kernels --shape 1,2,3
refuse "--shape: '0'|--shape: 0 is out of range" "$program" kernels --shape 0,1,1,8,3,1
refuse 'a window of 9 does not fit images of 8' "$program" kernels --shape 1,1,1,8,9,1,valid
refuse 'kernels "simd-none"' "$program" kernels --kernels simd-none
refuse "--conv: 'fft' is none of" "$program" kernels --conv fft
refuse 'an item of the list is empty' "$program" kernels --kernels ref,,ref
refuse "--only: 'x' is none of" "$program" kernels --only x
refuse "--input: '32x32'" "$program" step --input 32x32
refuse '--batch-size: 0 is out of range' "$program" step --batch-size 0
refuse 'at most 8 are possible' "$program" step --kernels ref,ref,ref --conv auto,direct --reduce ordered,mpi
refuse 'no-such-model' "$program" step --model no-such-model
refuse "--sizes: '12Q'" "$program" reduce --sizes 12Q
refuse '--sizes: 2 is out of range' "$program" reduce --sizes 2
refuse '--np: 0 is out of range' "$program" scaling --np 0
refuse '--kernels: .* one value is expected' "$program" scaling --kernels auto,ref
expect 2 'no-such-launcher cannot be started' "$program" scaling --launcher no-such-launcher
refuse '--every: 0 is out of range' "$program" checkpoint --every 0
expect 3 '--dir missing' "$program" checkpoint --dir missing --threads 1 --every 1 --checkpoints 1 --rounds 1
expect 3 'no-such.h5' "$program" checkpoint --data no-such.h5
expect 3 '--csv: cannot write missing/x.csv' "$program" reduce --sizes 1K "${quick[@]}" --csv missing/x.csv

# Every command prints its table and its CSV.
expect 0 'Multiply-adds' "$program" peak "${quick[@]}" --csv peak.csv
csv peak.csv 7 14
grep -q '^baseline,multiply-add,registers,0,' peak.csv || complain "peak.csv has no line of the baseline"

expect 0 '3,4,5,9,3,1,valid +forward' "$program" kernels --shape 3,4,5,9,3,1,valid --shape 2,16,16,8,3,1 \
    --kernels auto,ref --conv direct,winograd "${quick[@]}" --csv kernels.csv
csv kernels.csv 9 19
grep -q WRONG out && complain "kernels differ: $(cat out)"
grep -q '^conv,"2,16,16,8,3,1",backward-weights,ref,ref,' kernels.csv || complain "kernels.csv has no line of ref"
expect 0 'adam' "$program" kernels --only elementwise --rounds 1 --round-time 0 --csv elementwise.csv
csv elementwise.csv 9 40

expect 0 'By operation' "$program" step --batch-size 6 --threads 1 --model lenet5-bn "${quick[@]}" --csv step.csv
csv step.csv 20 8
grep -q '^step,"lenet5-bn",6,' step.csv || complain "step.csv has no line of the step"
expect 0 'images/s' "$program" step --batch-size 4 --threads 2 --slices 4 --model resnet20 --input 8x8x1 --classes 3 --brief \
    --kernels auto,ref --rounds 1 --round-time 0
grep -q 'By operation' out && complain "--brief prints operations"
expect 0 '^kind,model' "$program" step --batch-size 4 --threads 1 --brief "${quick[@]}" --csv -
[ "$(wc -l < out)" = 2 ] || complain "--csv - prints more than the CSV: $(cat out)"

expect 0 'ordered' "$program" reduce --sizes 1K,5K --doubles 7 "${quick[@]}" --csv reduce.csv
csv reduce.csv 8 7

# Under mpirun, more ranks than slices among them: one table, from rank 0.
expect 0 'Ranks: 3' "$CNNBN_MPIRUN" 3 "$program" reduce --slices 2 --sizes 1K --doubles 3 "${quick[@]}"
[ "$(grep -c 'Ranks: ' out)" = 1 ] || complain "more than one rank speaks: $(cat out)"
expect 0 'images/s' "$CNNBN_MPIRUN" 2 "$program" step --batch-size 8 --threads 1 --reduce ordered,mpi --bn sync,local \
    "${quick[@]}" --csv step2.csv
csv step2.csv 20 8
expect 2 'no-such-model' "$CNNBN_MPIRUN" 2 "$program" step --model no-such-model

expect 2 'starts mpirun itself' "$CNNBN_MPIRUN" 2 "$program" scaling

# scaling starts mpirun, with more ranks than cores too.
if command -v "${MPIRUN:-mpirun}" > mpirun_path; then
    expect 0 'efficiency' "$program" scaling --np 1,2,5 --batch-size 10 --model lenet5 "${quick[@]}" --csv scaling.csv
    csv scaling.csv 11 4
    grep -q '^"lenet5",10,5,1,' scaling.csv || complain "scaling.csv has no line of 5 ranks: $(cat scaling.csv)"
    expect 3 'ended with code' "$program" scaling --model no-such-model --rounds 1
fi

# Checkpoints are written, and nothing of them is left.
expect 0 'with checkpoints' "$CNNBN_MPIRUN" 2 "$program" checkpoint --every 2 --checkpoints 2 --threads 1 --batch-size 8 \
    --model lenet5 --rounds 2 --csv checkpoint.csv
csv checkpoint.csv 12 2
awk -F, 'NR == 2 && $11 < 100000 { exit 1 }' checkpoint.csv || complain "no file was written: $(cat checkpoint.csv)"
for left in "$TMPDIR"/cnnbn-bench-*; do if [ -e "$left" ]; then complain "$left is left"; fi; done

# What slows OpenBLAS down is said once.
OPENBLAS_CORETYPE=Haswell expect 0 'OPENBLAS_CORETYPE is set to Haswell' "$program" reduce --sizes 1K --doubles 1 "${quick[@]}"
[ "$(grep -c OPENBLAS_CORETYPE err)" = 1 ] || complain "more than one warning: $(cat err)"

[ "$failures" = 0 ] || exit 1
echo "cnnbn-bench: all well"
