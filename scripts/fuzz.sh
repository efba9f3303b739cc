#!/usr/bin/env bash
# fuzz.sh [--build DIR] TARGET SECONDS [LIBFUZZER OPTION...]: feeds one of the readers of files with inputs that libFuzzer makes.
#
# TARGET: model (YAML, JSON), h5 (checkpoints, Keras models, datasets), keras (.keras archives), idx, image (PNG, JPEG).
# Needs clang and its libraries (Debian: clang libclang-rt-dev). Builds into build/fuzz, unless DIR says where a build is.
# The corpus grows in DIR/corpus/TARGET; an input that breaks something is left in DIR/found/TARGET, and the exit code is not 0.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
folder=
if [ "${1:-}" = --build ]; then
    [ $# -gt 1 ] || die "--build wants a folder"
    folder=$2
    shift 2
fi
case ${1:-} in
model | h5 | keras | idx | image) target=$1 ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
seconds=${2:?how many seconds?}
shift 2
if [ -z "$folder" ]; then
    folder=$root/build/fuzz
    need_packages "${packages_build[@]}" "${packages_test[@]}" clang libclang-rt-dev
    build fuzz
fi
mkdir -p "$folder/corpus/$target" "$folder/found/$target"
sources=("$folder/corpus/$target" "$folder/seeds/$target")
if [ -d "$root/tests/fuzz/corpus/$target" ]; then sources+=("$root/tests/fuzz/corpus/$target"); fi
# A file that keeps HDF5 busy for ever costs what its trials are given, several times over.
timeout=60
case $target in h5 | keras) timeout=300 ;; esac
dictionary=()
if [ -f "$root/tests/fuzz/$target.dict" ]; then dictionary=("-dict=$root/tests/fuzz/$target.dict"); fi
export LSAN_OPTIONS="suppressions=$root/tests/fuzz/lsan.supp:print_suppressions=0"
export ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1:fast_unwind_on_fatal=1:${ASAN_OPTIONS:-}"
exec "$folder/bin/fuzz_$target" -max_total_time="$seconds" -timeout="$timeout" -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$folder/found/$target/" "${dictionary[@]}" "$@" "${sources[@]}"
