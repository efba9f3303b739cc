# Waiting in tests: the one place that sleeps. To be sourced.
# shellcheck shell=bash

# wait_until SECONDS COMMAND...: runs the command every 0.1 s until it succeeds; fails when SECONDS are over.
wait_until() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$limit" ]; then return 1; fi
        sleep 0.1
    done
}
