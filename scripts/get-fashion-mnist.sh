#!/usr/bin/env bash
# get-fashion-mnist.sh [OUT.h5]: the whole of Fashion-MNIST (60,000 + 10,000 images) as one HDF5 file, by default
# datasets/fashion-mnist.h5, from Debian's package dataset-fashion-mnist; root gets it installed where it is missing.
#
#   FASHION_MNIST_DIR=FOLDER  takes the four files from there instead (train-images-idx3-ubyte.gz and so on)
#   CNNBN_BIN=FOLDER          where cnnbn-data is (default: build/release/bin)
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/fashion-mnist.sh"
case ${1:-} in
-h | --help)
    sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
-*) die "no option $1; see --help" ;;
esac
out=${1:-$root/datasets/fashion-mnist.h5}
if [ -e "$out" ]; then
    echo "$out is there already"
    exit 0
fi
need_fashion_mnist
import_fashion_mnist "$out"
