#!/usr/bin/env bash
# test_bits.sh [all]: the same bits in every layout of ranks and threads, for what might break them: dropout, shuffling, clipping by
# the global norm, a short last batch, more ranks than slices, streamed data, OpenBLAS' products, residual networks. Digests
# and CSV files are compared by scripts/verify-bits.sh. `all`: the whole matrix, and every instruction set.
set -u
# shellcheck source=train_lib.sh
. "$CNNBN_SOURCE/tests/cli/train_lib.sh"
verify=$CNNBN_SOURCE/scripts/verify-bits.sh

# same WHAT OPTION...: of verify-bits.sh.
same() {
    local what=$1
    shift
    if ! bash "$verify" --programs "$CNNBN_BIN" "$@" > out 2> err < /dev/null; then complain "$what: $(cat out err)"; fi
}
# digests: what the table before shows, each once.
digests() { sed -n 's/.* \([0-9a-f]\{32\}\) .*/\1/p' out | sort -u; }

if [ "${1:-}" = all ]; then
    same "the whole matrix, every instruction set" --kernels all
    cat out
    same "the whole matrix, dropout and clipping" -- --model small.yaml --data small.h5 --global-clip-norm 0.5
    same "the whole matrix, resnet20" --threads "1 2" --steps 3 -- --model resnet20 --data small.h5
    verdict "bits: the whole matrix"
    exit
fi

same "example model" --layouts "1x1 2x2 3x1 5x1"
with_dropout=(--model small.yaml --data small.h5 --optimizer sgd --momentum 0.9 --nesterov --global-clip-norm 0.5 --label-smoothing 0.1)
same "dropout, shuffling, clipping" --layouts "1x1 1x4 4x1 7x2 8x1" --steps 12 -- "${with_dropout[@]}"
shuffled=$(digests)
same "streamed data" --layouts "1x1 3x2" --steps 12 -- "${with_dropout[@]}" --data-memory 100K
[ "$(digests)" = "$shuffled" ] || complain "streamed data differ from the shared copy: $(digests), $shuffled"
same "file order" --layouts "1x1 3x1" --steps 12 -- "${with_dropout[@]}" --no-shuffle
[ "$(digests)" != "$shuffled" ] || complain "--no-shuffle changes nothing: is anything compared here?"
same "more ranks than slices" --layouts "1x1 5x1 8x2" -- --model small.yaml --data small.h5 --slices 4
same "fewer images than ranks in a batch" --layouts "1x1 7x1" --steps 12 -- --model small.yaml --data small.h5 --batch-size 6
same "weights' gradients by the other kernel, ref" --layouts "1x1 3x2" --kernels ref -- --model small.yaml --data small.h5
same "OpenBLAS" --layouts "1x1 2x2 3x1" --kernels blas --steps 6
blas=$(digests)
if grep -qw avx2 /proc/cpuinfo; then
    export OPENBLAS_CORETYPE=Haswell
    same "OpenBLAS, its AVX2 core" --layouts "1x1 2x2 3x1" --kernels blas --steps 6
    unset OPENBLAS_CORETYPE
    if grep -qw avx512f /proc/cpuinfo && [ "$(digests)" = "$blas" ]; then echo "note: OpenBLAS' two cores have the same bits here"; fi
fi
same "resnet20" --layouts "1x1 3x1" --steps 2 -- --model resnet20 --data small.h5
verdict "bits: the same in every layout"
