# The virtual environment with Keras and PyTorch. To be sourced after `root` is set to the project's folder.
# shellcheck shell=bash

# interop_python: sets `python` to that of the virtual environment in $CNNBN_INTEROP_VENV (default: build/interop-venv), which
# is made from requirements.txt when it is missing or older than that. Fails with the reason as the last line printed.
interop_python() {
    local requirements=${root:?}/tests/interop/requirements.txt folder=${CNNBN_INTEROP_VENV:-${root:?}/build/interop-venv} log
    # shellcheck disable=SC2034 # for the caller
    python=$folder/bin/python
    mkdir -p "$folder" || return 1
    log=$folder/install.log
    # Tests may start at the same time: one of them installs.
    exec {lock}> "$folder/lock"
    flock "$lock"
    if ! cmp -s "$requirements" "$folder/installed.txt"; then
        echo "Installing into $folder (2.4 GB with the CPU build of PyTorch)"
        if ! python3 -m venv "$folder" > "$log" 2>&1; then
            echo "no virtual environment: python3 -m venv fails (Debian: python3-venv); see $log"
            return 1
        fi
        if ! "$folder/bin/pip" install --disable-pip-version-check -r "$requirements" > "$log" 2>&1; then
            echo "no packages: pip could not install tests/interop/requirements.txt (network?); see $log"
            return 1
        fi
        cp "$requirements" "$folder/installed.txt"
    fi
    exec {lock}>&-
}
