#!/usr/bin/env bash
# comm_abort.sh PROGRAM: trouble on one rank of three ends all three, within seconds, with one message and the right code.
set -u
program=$1
mpirun=${CNNBN_MPIRUN:?}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# MPICH's launcher ends the other ranks by a signal and gives that as its code, whatever MPI_Abort was told.
aborted=any
if "${MPIRUN:-mpirun}" --version 2>&1 | grep -q "Open MPI\|OpenRTE"; then aborted=same; fi

# expect CODE TEXT COMMAND...: the code, and exactly one line that holds the text.
# expect_abort: after an abort under a launcher of its own mind, any code but 0.
expect_abort() { expect_as "$aborted" "$@"; }
expect() { expect_as same "$@"; }
expect_as() {
    local which=$1 code=$2 text=$3 start end got lines wrong=0
    shift 3
    start=$(date +%s%N)
    timeout 30 "$@" >"$log" 2>&1
    got=$?
    end=$(date +%s%N)
    lines=$(grep -c -F -- "$text" "$log")
    if [ "$which" = same ]; then
        [ "$got" -eq "$code" ] || wrong=1
    else
        if [ "$got" -eq 0 ] || [ "$got" -eq 124 ]; then wrong=1; fi
    fi
    if [ "$wrong" -ne 0 ] || [ "$lines" -ne 1 ] || [ $((end - start)) -gt 15000000000 ]; then
        echo "FAILED: ${*: -1}: code $got, expected $code; \"$text\" on $lines lines; $(((end - start) / 1000000)) ms"
        sed 's/^/    /' "$log"
        failed=1
    else
        echo "ok: ${*: -1}: code $got in $(((end - start) / 1000000)) ms"
    fi
}

host=$(uname -n)
expect_abort 4 "cnnbn: rank 1 on $host: the tree has two roots" "$mpirun" 3 "$program" abort
expect_abort 3 "cnnbn: rank 1 on $host: MPI_Testall of a reduction failed: " "$mpirun" 3 "$program" mpi
expect 2 "cnnbn: rank 1 on $host: label 12 of image 3, expected 0 to 9" "$mpirun" 3 "$program" agree
expect 6 "cnnbn: no ranks at all" "$program" self
expect 7 "cnnbn: before the start" "$program" null
# Started alone, without mpirun.
expect 0 "" bash -c "echo; exec '$program' alone"

# A rank that leaves without a word: the code is the launcher's (Open MPI: the rank's own); that it ends is what counts.
timeout 30 "$mpirun" 3 "$program" exit >"$log" 2>&1
got=$?
if [ "$got" -eq 0 ] || [ "$got" -eq 124 ]; then
    echo "FAILED: exit: code $got"
    failed=1
fi
exit "$failed"
