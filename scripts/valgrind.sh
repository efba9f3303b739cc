#!/usr/bin/env bash
# valgrind.sh [PROGRAMS]: the programs in short runs under valgrind's memcheck: import, training on 1 and 2 ranks, going on, a checkpoint
# that cannot be written, evaluation, prediction, conversion. Ends with 0 when no process made an error. PROGRAMS: the folder of
# the programs (default: $CNNBN_BIN, a build in build/*/bin, or PATH).
#
# Valgrind shows the programs a CPU without AVX-512, so the AVX2 kernels run. Reads of memory that is not initialised are what the
# sanitizers (scripts/test.sh --preset asan+ubsan) do not see; leaks are left to them.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
case ${1:-} in
-h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
need_packages valgrind
find_programs "${1:-${CNNBN_BIN:-}}"
bin=$(cd "$programs" && pwd)
# shellcheck disable=SC2154 # root: of lib.sh
data=$root/datasets/fashion-mnist-7000.h5 mpirun=$root/scripts/mpirun.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir logs
export OMP_WAIT_POLICY=passive
bad=0

# check CODE NAME [RANKS] PROGRAM ARGUMENT...: runs it; each process has a log. MPI's launcher itself is not looked at.
check() {
    local wanted=$1 name=$2 code=0 launch=() log
    shift 2
    case $1 in [0-9]*) launch=("$mpirun" "$1") && shift ;; esac
    "${launch[@]}" valgrind --quiet --num-callers=30 --suppressions="$root/tests/support/valgrind.supp" \
        --log-file="logs/$name.%p" "$bin/$1" "${@:2}" > out 2>&1 < /dev/null || code=$?
    if [ "$code" != "$wanted" ]; then
        echo "$name: ended with $code, not $wanted: $(tail -n 3 out)"
        bad=1
    fi
    for log in logs/"$name".*; do
        if grep -q '^==[0-9]*== ' "$log"; then
            echo "$name: errors of memory:"
            cat "$log"
            bad=1
        fi
    done
    echo "$name: done"
}

cat > model.yaml << 'END'
input: [28, 28, 1]
layers:
  - Conv2D: {filters: 4, kernel_size: 5, strides: 2, activation: relu}
  - BatchNormalization
  - MaxPooling2D
  - Dropout: {rate: 0.3}
  - Flatten
  - Dense: {units: 10, activation: softmax}
END
check 0 split cnnbn-data split "$data" --train 90 --test 20 -o small.h5
training=(cnnbn-train --data small.h5 --model model.yaml --batch-size 20 --threads 2 --checkpoint-dir run --checkpoint-every 2s
    --log log.csv --log-steps steps.csv --random-flip horizontal --ema 0.9)
check 0 train 1 "${training[@]}" --steps 3
check 0 resume 2 "${training[@]}" --epochs 2
mkdir run/ckpt-0002-00000012.h5.tmp # a file cannot be written in its place
check 3 unwritten 1 "${training[@]}" --steps 12 --epochs 3 --data-memory 100K
checkpoint=run/ckpt-0002-00000010.h5
check 0 eval 2 cnnbn-eval "$checkpoint" --data small.h5 --csv eval.csv
check 0 predict cnnbn-predict "$checkpoint" small.h5 --top 3 --ema
check 0 info cnnbn-info "$checkpoint"
check 0 keras cnnbn-convert "$checkpoint" whole.keras
check 0 onnx cnnbn-convert "$checkpoint" whole.onnx --fold-bn
head -c 3000 "$checkpoint" > cut.h5
check 2 cut cnnbn-info cut.h5
if [ "$bad" = 0 ]; then echo "valgrind: no errors of memory"; fi
exit "$bad"
