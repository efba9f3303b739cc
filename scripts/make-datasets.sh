#!/usr/bin/env bash
# make-datasets.sh [OUT.h5]: makes the bundled datasets/fashion-mnist-7000.h5 again, byte for byte (with the same HDF5 and
# zlib): the first 600 training and 100 test images of each class of Fashion-MNIST, in the order of its files. Without
# OUT.h5 it also writes datasets/SHA256SUMS. Variables as in get-fashion-mnist.sh.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/fashion-mnist.sh"
case ${1:-} in
-h | --help)
    sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
-*) die "no option $1; see --help" ;;
esac
name=fashion-mnist-7000.h5
need_fashion_mnist
import_fashion_mnist "${1:-$root/datasets/$name}" --limit 6000,1000 --gzip 9 --force
if [ $# = 0 ]; then
    cd "$root/datasets"
    sha256sum "$name" > SHA256SUMS
    cat SHA256SUMS
fi
