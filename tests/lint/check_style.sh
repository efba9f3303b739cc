#!/usr/bin/env bash
# check_style.sh [ROOT]: the rules of CONTRIBUTING.md that a grep can hold.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:-$here/../..}
root=$(cd "$root" && pwd)
. "$here/checks.sh"

top=(CMakeLists.txt CMakePresets.json README.md CONTRIBUTING.md CHANGELOG.md cmake include src tests scripts docs datasets .ci)
c='*.c *.h *.inc'
mapfile -t c_files < <(list_files "$c" src include tests)
read_code "${c_files[@]}"
mapfile -t test_c_files < <(list_files "$c" tests)
mapfile -t source_files < <(list_files "$c" src)
mapfile -t kernel_files < <(list_files "$c" src/kernels)
mapfile -t library_files < <(list_files "$c" src/base src/comm src/data src/model src/nn src/io src/train)
mapfile -t silent_files < <(list_files "$c" src/base src/comm src/data src/model src/nn src/io) # train shows the progress
mapfile -t script_files < <(list_files '*.sh *.sbatch *.py run' "${top[@]}")
mapfile -t test_scripts < <(list_files '*.sh *.py' tests)
mapfile -t build_files < <(list_files 'CMakeLists.txt CMakePresets.json *.cmake *.sh *.sbatch *.py run' "${top[@]}")
mapfile -t text_files < <(list_files "$c *.sh *.sbatch *.py run *.md *.yaml *.yml *.txt *.cmake *.in CMakePresets.json" "${top[@]}")

# The rules name what they ban: the lint folder itself is left out where a rule would find itself.
without_lint() {
    local file
    for file in "$@"; do
        case $file in tests/lint/*) ;; *) printf '%s\n' "$file" ;; esac
    done
}
mapfile -t build_files < <(without_lint "${build_files[@]}")
mapfile -t text_rule_files < <(without_lint "${text_files[@]}")

ban_in_code '\bassert_float_(not_)?equal\b' 'passes NaN and Inf: use check_near or check_close (tests/support)' "${test_c_files[@]}"
ban_in_text '-ffast-math|-Ofast|-funsafe-math' 'voids the NaN guard and the promise of equal bits' "${build_files[@]}"
ban_in_code '^[[:space:]]*#[[:space:]]*if[[:space:]]+0\b' 'dead code' "${c_files[@]}"
ban_in_code '(\}|typedef[^;]*)[[:space:]*][A-Za-z0-9_]+_t;|\b(struct|enum|union)[[:space:]]+[A-Za-z0-9_]+_t\b' \
    'names ending in _t belong to C and POSIX' "${c_files[@]}"
ban_in_code '\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|free|cnnbn_alloc(_array)?|cnnbn_free|f?printf|puts|exit|abort)[[:space:]]*\(' \
    'kernels neither allocate, print nor exit' "${kernel_files[@]}"
ban_in_code '\b(exit|quick_exit)[[:space:]]*\(' 'only programs exit' "${library_files[@]}"
ban_in_code '\b(v?printf|puts|putchar|perror)[[:space:]]*\(|\bv?fprintf[[:space:]]*\([[:space:]]*stdout\b' \
    'only programs print: return an error, or take a FILE' "${silent_files[@]}"

# One place ends a job, and it is in comm.
mapfile -t aborts < <(find_in "$code" '\bMPI_Abort[[:space:]]*\(' "${source_files[@]}" | cut -d: -f1,2)
if [ "${#aborts[@]}" -gt 1 ]; then
    for where in "${aborts[@]}"; do complain "$where" "MPI_Abort has one call site, cnnbn_comm_abort"; done
fi

ban_in_text '\b(TODO|FIXME|XXX)\b' 'open ends belong in an issue' "${text_rule_files[@]}"
ban_in_text '(^|[^A-Za-z0-9_.}-])/(tmp|work|home|root|mnt|Users)/' 'a path of one machine' "${text_rule_files[@]}"
ban_in_text $'\r' 'carriage return' "${text_files[@]}"
ban_in_text $'\t' 'tab' "${text_files[@]}"
ban_in_text ' +$' 'trailing blank' "${text_files[@]}"

# A test that sleeps is slow or wrong; what must be waited for is polled by wait_until (tests/support/wait.sh).
ban_in_code '\b(u|nano|clock_nano)?sleep[[:space:]]*\(' 'no sleeping in tests' "${test_c_files[@]}"
mapfile -t sleepers < <(without_lint "${test_scripts[@]}" | grep -vx tests/support/wait.sh || true)
ban_in_text '(^|[;&|(]|\bdo\b|\bthen\b|\btime\.)[[:space:]]*sleep[[:space:](]+[0-9.$"]' 'no sleeping in tests: use wait_until (tests/support/wait.sh)' "${sleepers[@]}"

while read -r n_lines file; do
    if [ "$file" != total ] && [ "$n_lines" -gt 600 ]; then complain "$file" "$n_lines lines: more than 600 is more than one module"; fi
done < <(cd "$root" && wc -l -- "${c_files[@]}" "${script_files[@]}")

while read -r name; do
    complain "$name" "file name used twice: $(printf '%s\n' "${c_files[@]}" "${script_files[@]}" | grep -E "(^|/)${name//./\\.}$" | paste -sd ' ')"
done < <(printf '%s\n' "${c_files[@]}" "${script_files[@]}" | sed '/^$/d; s|.*/||' | LC_ALL=C sort | uniq -d)

finish style
