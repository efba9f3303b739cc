#!/usr/bin/env bash
# test_mpi_fault.sh LIBRARY: a call of MPI that fails on one rank within a step ends all ranks, at once and with code 3, and the
# message names the rank, the step, the layer and the operation.
set -u
library=$1
[ -x "$CNNBN_BIN/cnnbn-train" ] || { echo "cnnbn-train is not built"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# MPICH's launcher may say 9 of its own after an abort.
aborted=3
if ! "${MPIRUN:-mpirun}" --version 2>&1 | grep -q "Open MPI"; then aborted="3 or 9"; fi
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
failed=0

# fault OPERATION AT OPTION...: the AT-th call on rank 1 of 3 fails.
fault() {
    local operation=$1 at=$2 code=0 expected
    shift 2
    timeout 100 "$CNNBN_MPIRUN" 3 env LD_PRELOAD="$library" FAULT_RANK=1 FAULT_AT="$at" "$CNNBN_BIN/cnnbn-train" \
        --data "$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5" --batch-size 48 --steps 20 --threads 1 --no-validation --watchdog 60 \
        "$@" > "$folder/log" 2>&1 < /dev/null || code=$?
    expected="^cnnbn: rank 1 on $(uname -n): step [0-9]+, after .*(conv2d|batch_norm|dense).*: $operation .*failed: .*"
    if [[ "$aborted" != *"$code"* ]] || [ "$(grep -Ec "$expected" "$log")" != 1 ]; then
        echo "FAILED: $operation: exit code $code, expected $aborted, and one line as $expected in:"
        cat "$log"
        failed=1
    else
        grep -E "$expected" "$log"
    fi
}
log=$folder/log
fault MPI_Isend 100
fault MPI_Iallreduce 20 --reduce mpi
exit $failed
