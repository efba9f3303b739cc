#!/usr/bin/env bash
# selftest.sh: plants violations in a small tree, each in a file of its own, and wants each to be found there. A check that cannot
# fail is no check.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy" "$copy.found"' EXIT

# A tree of its own, small and clean.
fresh_tree() {
    local folder
    for folder in base kernels comm data model nn io train cli; do mkdir -p "$copy/src/$folder"; done
    mkdir -p "$copy/include/cnnbn" "$copy/tests/unit" "$copy/tests/support" "$copy/scripts" "$copy/docs"
    for folder in comm kernels model slices; do echo "int $folder;" > "$copy/include/cnnbn/$folder.h"; done
    cat > "$copy/src/kernels/relu_plant.c" <<'END'
/* Never malloc(), printf() or exit() here: this comment must not count. */
#include "cnnbn/kernels.h"
static const char text[] = "free(x) in a string must not count \" nor this: exit(1)";
END
    printf '#include <mpi.h>\nint ends(void) { return MPI_Abort(0, 1); }\n' > "$copy/src/comm/ends_plant.c"
    mkdir -p "$copy/src/kernels/simd"
    printf 'int own;\n' > "$copy/src/kernels/simd/own_plant.h"
    printf '#include "own_plant.h"\n' > "$copy/src/kernels/use_plant.c"
    printf '# A page\n' > "$copy/docs/page.md"
}

planted=() # CHECK FILE TEXT

# finds CHECK TEXT FILE LINE...: appends the lines to FILE (plant.c: to a plant of its own); CHECK must say TEXT of it.
finds() {
    local check=$1 text=$2 file=${3/\/plant./\/plant${#planted[@]}.}
    shift 3
    mkdir -p "$(dirname "$copy/$file")"
    printf "%b\n" "$@" >> "$copy/$file"
    planted+=("$check ${file##*/} $text")
}

# find_planted CHECK: runs it, and looks for all that was planted for it.
find_planted() {
    local check file text
    if bash "$here/$1" "$copy" > "$copy.found" 2>&1; then
        echo "FAIL: $1 found nothing"
        exit 1
    fi
    for plant in "${planted[@]}"; do
        read -r check file text <<< "$plant"
        if [ "$check" = "$1" ] && ! grep -F -- "$file:" "$copy.found" | grep -qF -- "$text"; then
            printf 'FAIL: %s: no "%s" of %s in:\n%s\n' "$check" "$text" "$file" "$(cat "$copy.found")"
            exit 1
        fi
    done
}

fresh_tree
bash "$here/check_layering.sh" "$copy"
bash "$here/check_style.sh" "$copy"

layering() { finds check_layering.sh "$@"; }
for header in cnnbn/comm.h cnnbn/model.h mpi.h hdf5.h stdio.h cnnbn/log.h; do
    layering "kernels must not include $header" src/kernels/plant.c "#include \"$header\""
done
layering "kernels must not include mpi.h" src/kernels/simd/plant.c '#  include <mpi.h>'
for header in cnnbn/kernels.h cnnbn/model.h; do layering "comm must not include $header" src/comm/plant.c "#include \"$header\""; done
for header in mpi.h cnnbn/comm.h cnnbn/dataset.h stdio.h hdf5.h; do layering "data must not include $header" src/data/plant.c "#include \"$header\""; done
for header in cnnbn/kernels.h hdf5.h mpi.h; do layering "model must not include $header" src/model/plant.c "#include \"$header\""; done
for header in mpi.h hdf5.h cnnbn/checkpoint.h cnnbn/dataset.h; do layering "nn must not include $header" src/nn/plant.c "#include \"$header\""; done
for header in mpi.h cnnbn/kernels.h cnnbn/comm.h; do layering "io must not include $header" src/io/plant.c "#include \"$header\""; done
for header in mpi.h hdf5.h cblas.h; do layering "train must not include $header" src/train/plant.c "#include <$header>"; done
layering "cli must not include cnnbn/kernels.h" src/cli/plant.c '#include "cnnbn/kernels.h"'
for header in mpi.h hdf5.h cblas.h; do
    layering "a public header must not include $header" include/cnnbn/comm.h "#include <$header>"
done
layering "model must not include own_plant.h, which belongs to kernels" src/model/plant.c '#include "own_plant.h"'
layering "base must not include cnnbn/comm.h" include/cnnbn/slices.h '#include "cnnbn/comm.h"'
layering "has no folder" include/cnnbn/plant.h 'int x;'
layering "train must not call this" src/train/plant.c 'int f(void) { return MPI_Barrier(0); }'
layering "train must not call this" src/train/plant.c 'int f(void) { return H5Fclose(0); }'
layering "nn must not call this" src/nn/plant.c 'int f(void) { cblas_sgemm (0); }'
layering "not in tests/lint/layers.txt" src/extra/plant.c 'int x;'

style() { finds check_style.sh "$@"; }
style "passes NaN" tests/unit/plant.c 'int f(void) { assert_float_equal(a, b, c); }'
style "equal bits" CMakeLists.txt 'add_compile_options(-ffast-math)'
style "equal bits" cmake/plant.cmake 'set(flags -Ofast)'
style "dead code" src/nn/plant.c '#if 0' 'int x;' '#endif'
style "belong to C" src/nn/plant.c 'typedef int size_of_t;'
style "belong to C" src/nn/plant.c 'typedef struct net {' 'int x;' '} net_t;'
style "belong to C" src/nn/plant.c 'struct net_t;'
for call in 'malloc(1)' 'calloc (1, 1)' 'free(p)' 'printf("x")' 'fprintf(f, "x")' 'exit(1)' 'cnnbn_alloc(1)'; do
    style "kernels neither" src/kernels/plant.c "/* here */ void f(void) { $call; }"
done
style "only programs exit" src/train/plant.c 'void f(void) { exit(1); }'
style "only programs print" src/io/plant.c 'void f(void) { printf("x"); }'
style "one call site" src/comm/plant.c 'void f(void) { MPI_Abort(0, 1); }'
for word in TODO FIXME XXX; do style "open ends" src/nn/plant.c "/* $word: later */"; done
style "path of one machine" scripts/plant.sh 'cd /home/someone/cnnbn'
style "path of one machine" docs/plant.md "see '/tmp/run'"
style "carriage return" docs/plant.md 'a line\r'
style "tab" src/nn/plant.c '\tint x;'
style "trailing blank" src/nn/plant.c 'int x; '
style "no sleeping" tests/unit/plant.c 'void f(void) { usleep(5); }'
style "no sleeping" tests/unit/plant.sh 'true; sleep 5'
style "no sleeping" tests/unit/plant.py 'time.sleep(5)'
style "more than 600" src/nn/plant.c "$(printf 'int x;\\n%.0s' {1..601})"
style "file name used twice" src/nn/relu_plant.c 'int x;'

find_planted check_layering.sh
find_planted check_style.sh
echo "self-test: ${#planted[@]} planted violations found"
