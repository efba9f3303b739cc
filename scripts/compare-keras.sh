#!/usr/bin/env bash
# compare-keras.sh [--accuracy] [OPTION...]: cnnbn beside Keras, the tables of docs/interop.md.
#
# Without --accuracy: loss of every step of the example model from Keras' own initial weights, at one, two and three ranks.
# With it: test accuracy after whole trainings with Keras' defaults, on all of Fashion-MNIST (hours), beside Keras' own.
#
#   --epochs N   epochs of a training (10)
#   --seeds N    initial weights or trainings (3)
#   --ranks N    ranks of a training (2)
#   --data FILE  another dataset for the trainings (datasets/fashion-mnist.h5, made when missing)
#
#   CNNBN_BIN=FOLDER            the programs (default: build/release/bin, built when missing)
#   CNNBN_INTEROP_VENV=FOLDER   the virtual environment (default: build/interop-venv, made when missing)
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=../tests/interop/venv.sh
. "$root/tests/interop/venv.sh"
case ${1:-} in
-h | --help)
    sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
if [ -z "${CNNBN_BIN:-}" ]; then
    build release
    CNNBN_BIN=$root/build/release/bin
fi
export CNNBN_BIN CNNBN_SOURCE=$root PYTHONPATH=$root/tests/interop PYTHONDONTWRITEBYTECODE=1
interop_python || exit 77
case " $* " in
*" --data"*) ;;
*" --accuracy "*) "$root/scripts/get-fashion-mnist.sh" ;;
esac
exec "$python" "$root/scripts/compare_keras.py" "$@"
