#!/usr/bin/env bash
# verify-bits.sh [OPTION ...] [-- OPTION OF cnnbn-train ...]: the same bits at any number of ranks and threads, seen on this
# machine. Trains the same few steps in every layout and compares the digest of the trained state (weights, moving statistics,
# optimiser) and the CSV files. Ends with 0 when all are equal, else with 1.
#
#   --np LIST        numbers of ranks (default "1 2 3 4 5 7 8")
#   --threads LIST   numbers of threads a rank (default "1 2 4")
#   --layouts LIST   pairs such as "1x1 3x2", instead of all of --np and --threads
#   --kernels LIST   repeat for these, such as "simd-avx2 blas ref", or "all" of this CPU (default auto). Each has bits of
#                    its own: they are compared within a kind, not between kinds
#   --steps N        steps of 50 images; the seventh is a short one, and the eighth begins the second epoch (default 9)
#   --programs DIR   where cnnbn-train is (default: $CNNBN_BIN, a build in build/*/bin, or PATH)
#
# What stands after -- goes to cnnbn-train in every layout: -- --model resnet20, -- --data mine.h5 --batch-size 100, ...
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
# shellcheck disable=SC2154 # root: of lib.sh
launch=${CNNBN_MPIRUN:-$root/scripts/mpirun.sh}
ranks="1 2 3 4 5 7 8" threads="1 2 4" layouts="" kinds=auto steps=9 programs=${CNNBN_BIN:-}
while [ $# -gt 0 ]; do
    case $1 in
    --np | --threads | --layouts | --kernels | --steps | --programs)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --np) ranks=$2 ;;
        --threads) threads=$2 ;;
        --layouts) layouts=$2 ;;
        --kernels) kinds=$2 ;;
        --steps) steps=$2 ;;
        --programs) programs=$2 ;;
        esac
        shift 2
        ;;
    --help | -h)
        sed -n '2,/^set -eu/{/^set -eu/!s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    --)
        shift
        break
        ;;
    *) die "unknown option $1 (--help)" ;;
    esac
done
find_programs "$programs"
if [ -z "$layouts" ]; then
    for np in $ranks; do for t in $threads; do layouts="$layouts ${np}x$t"; done; done
fi
if [ "$kinds" = all ]; then
    kinds="ref blas simd-baseline"
    for set in avx2 avx512 neon; do
        if "$programs/cnnbn-train" --dry-run --quiet --kernels "simd-$set" > /dev/null 2>&1; then kinds="$kinds simd-$set"; fi
    done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Many threads on few cores: those that wait must not spin.
export OMP_WAIT_POLICY=passive
data=()
case " $* " in
*" --data "*) ;;
*)
    "$programs/cnnbn-data" split "$root/datasets/fashion-mnist-7000.h5" --train 333 --test 101 -o "$work/data.h5" > /dev/null
    data=(--data "$work/data.h5")
    ;;
esac

# Of a CSV, what does not depend on the clock.
timeless() { case $1 in *epochs.csv) cut -d, -f1-6 "$1" ;; *) cat "$1" ;; esac | cksum | cut -d' ' -f1; }

failures=0
printf '%-14s %5s %7s  %-32s %-11s %-11s\n' kernels ranks threads 'digest of the state' 'log' 'log-steps'
for kind in $kinds; do
    first=""
    for layout in $layouts; do
        np=${layout%x*} t=${layout#*x}
        rm -rf "$work/run" "$work"/*.csv
        if ! "$launch" "$np" "$programs/cnnbn-train" "${data[@]}" --batch-size 50 --epochs 100 --steps "$steps" --quiet \
            --kernels "$kind" "$@" --threads "$t" --checkpoint-dir "$work/run" --resume none \
            --log "$work/epochs.csv" --log-steps "$work/steps.csv" > "$work/out" 2>&1 < /dev/null; then
            printf '%-14s %5s %7s  %s\n' "$kind" "$np" "$t" "FAILED: $(tail -n 1 "$work/out")"
            failures=$((failures + 1))
            continue
        fi
        digest=$("$programs/cnnbn-info" --digest "$work/run/"ckpt-*"$(printf '%08d' "$steps")".h5)
        found="${digest%% *} $(timeless "$work/epochs.csv") $(timeless "$work/steps.csv")"
        verdict=""
        [ -n "$first" ] || first=$found
        if [ "$found" != "$first" ]; then
            verdict="  DIFFERENT"
            failures=$((failures + 1))
        fi
        # shellcheck disable=SC2086 # three words
        printf '%-14s %5s %7s  %-32s %-11s %-11s%s\n' "$kind" "$np" "$t" $found "$verdict"
    done
done
if [ "$failures" != 0 ]; then
    echo "NOT THE SAME: $failures of the runs above"
    exit 1
fi
echo "The same bits in every run."
