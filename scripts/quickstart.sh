#!/usr/bin/env bash
# quickstart.sh: from a fresh clone to a trained network: packages, build, data, training on two ranks, test accuracy, one
# prediction. Works offline when the packages are there, and as a plain user. About two minutes of work on two cores.
#
#   EPOCHS=N    epochs to train (5)
#   RANKS=N     ranks (2)
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
epochs=${EPOCHS:-5}
ranks=${RANKS:-2}
data=datasets/fashion-mnist-7000.h5
bin=build/release/bin

say "1/5 Packages"
need_packages "${packages_build[@]}"

say "2/5 Build into build/release"
build release -DCNNBN_TESTS=OFF

say "3/5 Data"
[ -s "$data" ] || die "$data is missing: this clone is not whole (git checkout -- datasets)"
"$bin/cnnbn-data" info "$data"
echo "(The whole set, 60,000 + 10,000 images: scripts/get-fashion-mnist.sh)"

say "4/5 Train on $ranks ranks: mpirun -np $ranks cnnbn-train --epochs $epochs"
run=$(mktemp -d "$root/build/quickstart-XXXXXX")
scripts/mpirun.sh "$ranks" "$bin/cnnbn-train" --data "$data" --epochs "$epochs" --checkpoint-dir "$run"
checkpoint=$(find "$run" -name 'ckpt-*.h5' | LC_ALL=C sort | tail -n 1)
[ -n "$checkpoint" ] || die "no checkpoint in $run"
checkpoint=${checkpoint#"$root/"}

say "5/5 Test accuracy, and three predictions"
"$bin/cnnbn-eval" "$checkpoint" --data "$data"
"$bin/cnnbn-predict" "$checkpoint" "$data" | sed -n 1,3p

cat << END

Done. What to type next:

  export PATH=\$PWD/$bin:\$PATH
  cnnbn-train --help
  mpirun -np 2 cnnbn-train --epochs 10 --checkpoint-dir run1        # stop it with ctrl-C; the same line goes on
  mpirun -np 2 cnnbn-train --model resnet20 --epochs 5
  cnnbn-info $checkpoint
  cnnbn-predict $checkpoint my-picture.png
  scripts/get-fashion-mnist.sh                                      # the whole of Fashion-MNIST
  scripts/test.sh                                                   # all tests
END
if [ "$(id -u)" = 0 ]; then
    echo "
As root, Open MPI's mpirun wants OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 in the environment;
scripts/mpirun.sh N COMMAND sets them."
fi
