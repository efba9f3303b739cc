# The virtual environment with Keras and PyTorch. To be sourced after `root` is set to the project's folder.
# shellcheck shell=bash

# interop_python: sets `python` to that of the virtual environment in $CNNBN_INTEROP_VENV (default: build/interop-venv), which
# is made from requirements.txt when it is missing or older than that, and CNNBN_KERAS_OLD to a folder for PYTHONPATH with what
# requirements-alone.txt names: an older Keras, which would replace the other one, and tf_keras, which would bring another TensorFlow.
# Byte code is written when a module is first imported, into the same folder: pip would compile all 13,000 for a minute and more.
# With CNNBN_INTEROP_MAKE=0 nothing is installed. Fails with the reason as the last line printed.
interop_python() {
    local here=${root:?}/tests/interop folder=${CNNBN_INTEROP_VENV:-${root:?}/build/interop-venv} log wanted
    # shellcheck disable=SC2034 # for the caller
    python=$folder/bin/python
    export CNNBN_KERAS_OLD=$folder/alone PYTHONPYCACHEPREFIX=$folder/pycache
    mkdir -p "$folder" || return 1
    log=$folder/install.log
    # Tests may start at the same time: one of them installs.
    exec {lock}> "$folder/lock"
    flock "$lock"
    wanted=$(cat "$here/requirements.txt" "$here/requirements-alone.txt")
    if [ "$wanted" != "$(cat "$folder/installed.txt" 2> /dev/null)" ]; then
        if [ "${CNNBN_INTEROP_MAKE:-1}" = 0 ]; then
            echo "no virtual environment in $folder (test interop-venv makes it)"
            return 1
        fi
        echo "Installing into $folder (2.8 GB with the CPU build of PyTorch)"
        rm -f "$folder/installed.txt"
        if ! python3 -m venv "$folder" > "$log" 2>&1; then
            echo "no virtual environment: python3 -m venv fails (Debian: python3-venv); see $log"
            return 1
        fi
        if ! "$folder/bin/pip" install --disable-pip-version-check --no-compile -r "$here/requirements.txt" > "$log" 2>&1; then
            echo "no packages: pip could not install tests/interop/requirements.txt (network?); see $log"
            return 1
        fi
        rm -rf "$folder/alone"
        if ! "$folder/bin/pip" install --disable-pip-version-check --no-compile --no-deps --target "$folder/alone" \
            -r "$here/requirements-alone.txt" >> "$log" 2>&1; then
            echo "no packages: pip could not install tests/interop/requirements-alone.txt (network?); see $log"
            return 1
        fi
        echo "$wanted" > "$folder/installed.txt"
    fi
    exec {lock}>&-
}
