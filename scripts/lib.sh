# Functions that the scripts share. To be sourced; sets `root`, the project's folder.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The packages (Debian 12 names), here and nowhere else.
packages_build=(build-essential cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libopenblas-dev libhdf5-dev
    libfyaml-dev zlib1g-dev libpng-dev libjpeg62-turbo-dev libxxhash-dev libzip-dev libprotobuf-c-dev
    protobuf-c-compiler)
packages_test=(libcmocka-dev)
packages_test_all=(python3-venv slurm-wlm munge iproute2 strace valgrind clang libclang-rt-dev)
packages_lint=(clang-format shellcheck)

say() { printf '\n== %s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

package_present() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

# need_packages PACKAGE...: makes sure that the packages are there. Touches no network when they are. Root installs what is
# missing; anybody else is told which they are. Where there is no dpkg, or CNNBN_SKIP_PACKAGES=1 (modules, Spack, conda),
# CMake is left to say what it does not find.
need_packages() {
    local missing=() package
    if [ "${CNNBN_SKIP_PACKAGES:-0}" = 1 ] || ! command -v dpkg-query > /dev/null; then
        echo "packages: not looked at; CMake will name what it does not find"
        return 0
    fi
    for package in "$@"; do
        if ! package_present "$package"; then missing+=("$package"); fi
    done
    if [ "${#missing[@]}" = 0 ]; then
        echo "packages: all $# present"
        return 0
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        cat >&2 << END
Missing packages: ${missing[*]}
Install them with
    sudo apt-get install -y --no-install-recommends ${missing[*]}
and run this again. (Libraries from modules, Spack or conda? Set CNNBN_SKIP_PACKAGES=1.)
END
        return 1
    fi
    echo "packages: installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        < /dev/null > "$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "Could not install: ${missing[*]}" >&2
        return 1
    fi
    rm -f "$log"
}

# build PRESET [CMAKE OPTION...]: configures and builds into build/PRESET; by Ninja where there is one.
build() {
    local preset=$1 generator=()
    shift
    if [ ! -e "$root/build/$preset/CMakeCache.txt" ] && command -v ninja > /dev/null; then generator=(-G Ninja); fi
    local log=$root/build/$preset/configure.log
    mkdir -p "$root/build/$preset"
    if ! (cd "$root" && cmake --preset "$preset" "${generator[@]}" "$@") < /dev/null > "$log" 2>&1; then
        tail -n 30 "$log" >&2
        return 1
    fi
    cmake --build "$root/build/$preset" --parallel "$(nproc)" < /dev/null
}

# find_programs DIR: sets `programs` to the folder of cnnbn-train: DIR when it is not empty, else the newest build, else PATH.
find_programs() {
    programs=$1
    if [ -z "$programs" ]; then
        local newest
        # shellcheck disable=SC2012 # names of the build folders are the project's own
        newest=$(ls -t "$root"/build/*/bin/cnnbn-train 2> /dev/null | head -n 1)
        [ -n "$newest" ] || newest=$(command -v cnnbn-train) || die "cnnbn-train is not built: scripts/quickstart.sh"
        programs=$(dirname "$newest")
    fi
    [ -x "$programs/cnnbn-train" ] || die "no cnnbn-train in $programs"
}
