#!/usr/bin/env bash
# test.sh [OPTION...] [CTEST OPTION...]: packages, build, tests; ends with ctest's summary and its exit code.
#
#   --all           also the tests against Keras (label interop) and on a Slurm made of namespaces (label cluster)
#   --long          also those that take many minutes (label long), and the fuzzers
#   --preset NAME   release (default), debug, asan+ubsan
#   --filter REGEX  only tests whose names match
#   --without LABEL leaves out the tests with this label
set -eu -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
all=0 long=0 preset=release
left_out=() arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --all) all=1 ;;
    --long) long=1 ;;
    --preset | --filter | --without)
        [ $# -gt 1 ] || die "$1 wants a value"
        case $1 in
        --preset) preset=$2 ;;
        --filter) arguments+=(-R "$2") ;;
        --without) left_out+=("$2") ;;
        esac
        shift
        ;;
    -h | --help)
        sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) arguments+=("$1") ;;
    esac
    shift
done

# say_why_skipped SUMMARY LOG: ctest names the tests that were skipped; the reason is the last line that each of them printed.
say_why_skipped() {
    local name
    sed -n 's/^.*: \([^ ]*\) .*\*\*\*Skipped.*/\1/p' "$1" | while read -r name; do
        printf 'skipped: %s: ' "$name"
        awk -v name="$name" '$2 == "Testing:" { inside = $3 == name } inside && /^<end of output>/ { print last } { last = $0 }' "$2"
    done
}

say "Packages"
need_packages "${packages_build[@]}" "${packages_test[@]}"
if [ "$all" = 0 ]; then
    left_out+=(interop cluster)
elif ! need_packages "${packages_test_all[@]}"; then
    echo "Going on without them: the tests that need them are skipped."
fi
if [ "$long" = 0 ]; then left_out+=(long); fi

say "Build into build/$preset"
build "$preset" -DCNNBN_TESTS=ON

say "Tests"
if [ "${#left_out[@]}" -gt 0 ]; then
    arguments=(-LE "^($(IFS='|' && echo "${left_out[*]}"))\$" "${arguments[@]}")
fi
# What Open MPI and its helpers never free is no leak of ours.
export LSAN_OPTIONS="suppressions=$root/tests/support/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
failed=0
log=$root/build/$preset/Testing/summary.log
mkdir -p "${log%/*}"
ctest --test-dir "$root/build/$preset" --no-tests=error --output-on-failure --parallel "$(nproc)" "${arguments[@]}" < /dev/null | tee "$log" ||
    failed=${PIPESTATUS[0]}
say_why_skipped "$log" "${log%/*}/Temporary/LastTest.log"
if [ "$long" = 1 ]; then
    say "Fuzzers, a minute each (preset fuzz)"
    need_packages clang libclang-rt-dev
    build fuzz
    ctest --test-dir "$root/build/fuzz" --output-on-failure "${arguments[@]}" < /dev/null || failed=$?
fi
exit "$failed"
