#!/usr/bin/env bash
# mpirun.sh N COMMAND [ARG ...]: runs COMMAND on N ranks of this machine, as root too, with more ranks than cores too, under
# Open MPI or MPICH (whichever `mpirun` in PATH, or $MPIRUN, is). Used by the tests and scripts.
set -eu
ranks=$1
shift
launcher=${MPIRUN:-mpirun}
cores=$(nproc)
# The name behind the links tells Open MPI in no time; else the launcher is asked.
is_open_mpi() {
    case $(readlink -f "$(command -v "$launcher")") in
    */orterun | */prterun) true ;;
    *) "$launcher" --version 2>&1 | grep -q "Open MPI\|OpenRTE" ;;
    esac
}
if is_open_mpi; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    # Waiting ranks give their core away where there are more ranks than cores: 100 to 1,000 times faster there.
    if [ "$ranks" -gt "$cores" ]; then export OMPI_MCA_mpi_yield_when_idle=1; fi
    exec "$launcher" --oversubscribe --bind-to none -np "$ranks" "$@"
fi
exec "$launcher" -np "$ranks" "$@"
