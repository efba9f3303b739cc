#!/usr/bin/env bash
# test_chaos.sh N: N kills at random moments; each run ends in the bits of one that was never killed. The seed is today's, so that
# new moments are tried each day, and is printed.
set -eu
exec "$CNNBN_SOURCE/scripts/chaos.sh" "${1:-20}" --seed "$(date +%Y%m%d)" --programs "$CNNBN_BIN"
