#!/usr/bin/env bash
# run_interop.sh [TEST.py [PYTEST OPTION...]]: one of the tests of this folder, in their virtual environment (venv.sh); without one, makes
# the environment.
#
#   CNNBN_BIN=FOLDER            the programs (default: build/release/bin)
#   CNNBN_INTEROP_VENV=FOLDER   the virtual environment
#   CNNBN_INTEROP_MAKE=0        is not made where it is missing
#
# Ends with 77 and the reason on the last line where the environment cannot be made.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=venv.sh
. "$here/venv.sh"
export CNNBN_SOURCE=$root CNNBN_BIN=${CNNBN_BIN:-$root/build/release/bin}
interop_python || exit 77
if [ $# = 0 ]; then
    echo "ready: $python"
    exit 0
fi
test=$1
shift
exec "$python" -m pytest -q -p no:cacheprovider "$here/$test" "$@"
