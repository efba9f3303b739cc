#!/usr/bin/env bash
# bench-peers.sh [OPTION...]: training speed of cnnbn beside PyTorch and Keras on this machine, the tables of docs/performance.md.
# Same model, batch, optimiser (Adam) and images; one thread on one core each; rounds interleaved; medians and bests; the ratio to
# the best fp32 peer is printed last.
#
#   --models LIST    of example-128, example-32, resnet20-128, resnet18-cifar-64 (default: all)
#   --peers LIST     of torch, torch-cl (channels_last), torch-compile, keras, keras-xla, torch-bf16 (bfloat16 autocast, for
#                    information); default: all but torch-compile
#   --rounds N       rounds (7)
#   --seconds S      of each program a round, about (8)
#   --core N         the core (0)
#   --np2            two ranks on two cores beside PyTorch DDP (gloo; its batch normalisation is local: its synchronous one
#                    wants a GPU)
#   --avx2           everybody limited to AVX2
#
#   CNNBN_BIN=FOLDER            the programs (default: build/release/bin, built when missing)
#   CNNBN_INTEROP_VENV=FOLDER   the virtual environment (default: build/interop-venv, made when missing)
#
# For figures that mean something nothing else may run.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=../tests/interop/venv.sh
. "$root/tests/interop/venv.sh"
case ${1:-} in
-h | --help)
    sed -n '2,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
if [ -z "${CNNBN_BIN:-}" ]; then
    build release
    CNNBN_BIN=$root/build/release/bin
fi
# They would slow OpenBLAS down, or speed it up by tuning that a user does not have.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export CNNBN_BIN CNNBN_SOURCE=$root PYTHONDONTWRITEBYTECODE=1
interop_python || exit 77
exec "$python" "$root/scripts/bench_peers.py" "$@"
