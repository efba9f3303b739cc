#!/usr/bin/env bash
# A dataset with one damaged chunk, streamed: the ranks that meet it say so and all end, at once and with exit code 2. (The rank that
# could not read used to look for the others' agreement while they were in the step: the watchdog ended the job.)
set -u
data=$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5
[ -x "$CNNBN_BIN/cnnbn-train" ] || { echo "cnnbn-train is not built"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$data" "$folder/bad.h5"
printf '\125\125' | dd of="$folder/bad.h5" bs=1 seek=$(($(stat -c %s "$data") * 45 / 100)) conv=notrunc 2>/dev/null
for ranks in 1 3; do
    timeout 100 "$CNNBN_MPIRUN" $ranks "$CNNBN_BIN/cnnbn-train" --data "$folder/bad.h5" --data-memory 1M --batch-size 48 \
        --epochs 1 --threads 1 --no-validation --watchdog 60 >"$folder/log" 2>&1
    code=$?
    if [ $code -ne 2 ] || ! grep -q "bad.h5" "$folder/log"; then
        echo "$ranks ranks: exit code $code, expected 2 and a message that names the file"
        cat "$folder/log"
        exit 1
    fi
done
