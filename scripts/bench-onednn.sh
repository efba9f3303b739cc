#!/usr/bin/env bash
# bench-onednn.sh [OPTION...] [SHAPE...]: single convolutions of cnnbn beside oneDNN's (Debian: libdnnl-dev), one thread on one core,
# rounds interleaved, medians. SHAPE is N,C,K,H,R,stride[,valid], as for cnnbn-bench kernels; without one, the table of docs/performance.md.
#
#   --rounds N     rounds (5)
#   --seconds S    of each measurement a round, about (0.2)
#   --core N       the core (0)
#   --avx2         both limited to AVX2
#   --only-cnnbn   without oneDNN
#
#   CNNBN_BIN=FOLDER   where cnnbn-bench is (default: build/release/bin, built when missing)
#
# cnnbn's figures count the forms of the weights that Winograd wants; oneDNN's do not count the turning of arrays into its layouts.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=5 seconds=0.2 core=0 kernels=auto isa=DEFAULT peer=1
shapes=()
while [ $# -gt 0 ]; do
    case $1 in
    --rounds | --seconds | --core)
        [ $# -gt 1 ] || die "$1 wants a value"
        declare "${1#--}=$2"
        shift
        ;;
    --avx2) kernels=simd-avx2 isa=AVX2 ;;
    --only-cnnbn) peer=0 ;;
    -h | --help)
        sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    -*) die "no option $1; see --help" ;;
    *) shapes+=("$1") ;;
    esac
    shift
done
if [ "${#shapes[@]}" = 0 ]; then
    read -ra shapes <<< "128,1,32,28,3,1 128,32,64,26,3,1 64,64,64,32,3,1 64,128,128,16,3,1 64,256,256,8,3,1 \
        64,512,512,4,3,1 128,16,16,32,3,1 64,64,128,32,3,2 16,256,64,56,1,1"
fi
if [ -z "${CNNBN_BIN:-}" ]; then
    build release
    CNNBN_BIN=$root/build/release/bin
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "$peer" = 1 ]; then
    need_packages libdnnl-dev
    cc -O2 -o "$work/bench_onednn" "$root/scripts/bench_onednn.c" -ldnnl
fi
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=$isa
ours=()
for shape in "${shapes[@]}"; do ours+=(--shape "$shape"); done
for ((round = 1; round <= rounds; round++)); do
    taskset -c "$core" "$CNNBN_BIN/cnnbn-bench" kernels --only conv --kernels "$kernels" --rounds 1 --round-time "$seconds" --csv - \
        "${ours[@]}" | sed -n 's/^conv,"\([^"]*\)",\([^,]*\),[^,]*,\([^,]*\),\([^,]*\),.*/\1;\2;cnnbn \3;\4/p' >> "$work/figures"
    if [ "$peer" = 1 ]; then
        taskset -c "$core" "$work/bench_onednn" "$seconds" "${shapes[@]}" >> "$work/figures"
    fi
done
awk -F';' -v order="${shapes[*]}" '
    function median(key,    n, i, j, swap) {
        n = count[key]
        for (i = 1; i <= n; i++) a[i] = value[key, i]
        for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { swap = a[j]; a[j] = a[j - 1]; a[j - 1] = swap }
        return n ? (a[int((n + 1) / 2)] + a[int(n / 2) + 1]) / 2 : 0
    }
    { who = $3; if (who ~ /^cnnbn/) { how[$1, $2] = substr(who, 7); who = "cnnbn" }
      key = $1 SUBSEP $2 SUBSEP who; value[key, ++count[key]] = $4 }
    END {
        printf "GFLOP/s of the direct algorithm, medians\n%-22s %-17s %9s %9s %9s %8s\n", "N,C,K,H,R,stride", "", "cnnbn",
            "direct", "auto", "ratio"
        n = split(order, shape, " "); split("forward backward backward-weights", direction, " ")
        for (s = 1; s <= n; s++) for (d = 1; d <= 3; d++) {
            key = shape[s] SUBSEP direction[d] SUBSEP
            c = median(key "cnnbn"); x = median(key "direct"); y = median(key "auto"); best = x > y ? x : y
            printf "%-22s %-17s %9.1f %9.1f %9.1f %8s  %s\n", shape[s], direction[d], c, x, y,
                best ? sprintf("%.2f", c / best) : "", how[shape[s], direction[d]]
        }
    }' "$work/figures"
