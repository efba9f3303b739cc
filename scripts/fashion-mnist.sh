# Where Fashion-MNIST's four IDX files are, and how they become HDF5. Sourced by get-fashion-mnist.sh and make-datasets.sh
# after lib.sh.
# shellcheck shell=bash

fashion_package=dataset-fashion-mnist
fashion_attributes=(--class-names "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    --source "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist"
    --licence "MIT, Copyright (c) 2017 Zalando SE")

# The program: $CNNBN_BIN's, else that of build/release, else the one in PATH.
find_cnnbn_data() {
    local candidate
    for candidate in "${CNNBN_BIN:+$CNNBN_BIN/cnnbn-data}" "${root:?}/build/release/bin/cnnbn-data" \
        "$(command -v cnnbn-data || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    die "no cnnbn-data: build first (scripts/quickstart.sh does, or cmake --preset release && cmake --build build/release)," \
        "or say where it is with CNNBN_BIN=FOLDER"
}

# find_idx NAME: the path of NAME.gz or NAME, from $FASHION_MNIST_DIR or from the package's list of files.
find_idx() {
    local name=$1 path
    if [ -n "${FASHION_MNIST_DIR:-}" ]; then
        for path in "$FASHION_MNIST_DIR/$name.gz" "$FASHION_MNIST_DIR/$name"; do
            if [ -e "$path" ]; then
                printf '%s\n' "$path"
                return 0
            fi
        done
        die "no $name.gz in $FASHION_MNIST_DIR"
    fi
    path=$(dpkg -L "$fashion_package" 2> /dev/null | grep -E "/$name(\.gz)?\$" | head -n 1) || true
    [ -n "$path" ] || die "no $name in Debian's package $fashion_package"
    printf '%s\n' "$path"
}

# Installs the package where that is possible, else says what to do.
need_fashion_mnist() {
    if [ -n "${FASHION_MNIST_DIR:-}" ]; then return 0; fi
    if ! command -v dpkg-query > /dev/null || ! package_known; then
        die "no Debian package $fashion_package here; put the four .gz files of" \
            "https://github.com/zalandoresearch/fashion-mnist (data/fashion) into a folder and set FASHION_MNIST_DIR=FOLDER"
    fi
    need_packages "$fashion_package"
}

# Whether it is installed, or apt knows it (after an update, which only root can do).
package_known() {
    package_present "$fashion_package" || [ "$(id -u)" = 0 ] || apt-cache show "$fashion_package" > /dev/null 2>&1
}

# import_fashion_mnist OUT [OPTION...]
import_fashion_mnist() {
    local out=$1 program files=() name path
    shift
    program=$(find_cnnbn_data)
    for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
        path=$(find_idx "$name-ubyte")
        files+=("$path")
    done
    "$program" import idx --train-images "${files[0]}" --train-labels "${files[1]}" --test-images "${files[2]}" \
        --test-labels "${files[3]}" "${fashion_attributes[@]}" "$@" -o "$out"
}
