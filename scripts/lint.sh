#!/usr/bin/env bash
# lint.sh: formatting (clang-format), shell scripts (shellcheck), layering and style (tests/lint). Exit code 1 when any
# of them complains.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
failed=()

# check NAME COMMAND...
check() {
    local name=$1
    shift
    say "$name"
    if "$@"; then echo "$name: ok"; else failed+=("$name"); fi
}

need_packages "${packages_lint[@]}"
mapfile -t c_files < <(find include src tests \( -name .venv -o -name build \) -prune -o \( -name '*.c' -o -name '*.h' \) -print | LC_ALL=C sort)
mapfile -t shell_files < <(find scripts tests \( -name .venv -o -name build \) -prune -o \( -name '*.sh' -o -name '*.sbatch' \) -print | LC_ALL=C sort)
check clang-format clang-format --dry-run --Werror "${c_files[@]}"
check shellcheck shellcheck --external-sources --source-path=SCRIPTDIR "${shell_files[@]}" .ci/run
check layering tests/lint/check_layering.sh
check style tests/lint/check_style.sh
check self-test tests/lint/selftest.sh

if [ "${#failed[@]}" -gt 0 ]; then
    printf '\nlint: failed: %s\n' "${failed[*]}"
    exit 1
fi
printf '\nlint: clean\n'
