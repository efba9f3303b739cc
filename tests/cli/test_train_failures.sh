#!/usr/bin/env bash
# What goes wrong while cnnbn-train runs: a loss that is not finite, a disk that is full, a folder that goes away. The older
# checkpoint stays good.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

# The first step's input is too large for float; the place is named: exit code 4, at any number of ranks.
"$make" data huge huge.h5
for np in 1 3; do
    refuse_at "$np" 4 '^cnnbn-train: the loss is (nan|inf|-inf) at step 1 \(epoch 1\); first value that is not finite: output of layer (conv2d|batch_normalization|dense) on rank [0-2]\. No checkpoint was asked for' \
        "$train" "${small[@]}" --data huge.h5
done

# A learning rate out of all measure, after a good first epoch: the last checkpoint is kept, and is good.
expect 0 '' "$train" "${small[@]}" --optimizer sgd --epochs 1 --checkpoint-dir run --quiet
good=$("$info" --digest run/ckpt-0001-00000005.h5)
for np in 1 3; do
    refuse_at "$np" 4 'the loss is (nan|inf|-inf) at step [0-9]+ \(epoch [0-9]+\).*The last checkpoint is kept' \
        "$train" "${small[@]}" --optimizer sgd --lr 1e6 --override lr --epochs 60 --checkpoint-dir run --checkpoint-every 100e --quiet
    [ "$("$info" --digest run/ckpt-0001-00000005.h5)" = "$good" ] || complain "the last checkpoint is not kept"
    [ "$(cd run && echo ./*.h5*)" = ./ckpt-0001-00000005.h5 ] || complain "files of a run that failed: $(ls run)"
done

# The product of a dry run is what it prints; that of a training are its files. Closed descriptors are as bad as full disks: the files
# that a run opens must not take their place.
into() { # into FILE COMMAND...; FILE of & is a closed stdout
    local to=$1
    shift
    if [ "$to" = "&" ]; then "$@" >&-; else "$@" > "$to"; fi
}
expect 3 'the output cannot be written' into /dev/full "$train" "${small[@]}" --dry-run
expect 0 'warning: the output cannot be written: Bad file descriptor' \
    into "&" "$train" "${small[@]}" --optimizer sgd --epochs 1 --checkpoint-dir closed --log closed.csv
[ "$("$info" --digest closed/ckpt-0001-00000005.h5 | cut -d' ' -f1)" = "${good%% *}" ] || complain "closed stdout: another state"
[ "$(wc -l < closed.csv)" = 2 ] || complain "closed stdout: what is printed goes into the log: $(cat closed.csv)"

# A full disk: 1 MB, filled after the first checkpoint. The run goes on and says so; or ends, with --checkpoint-strict. At its end
# a checkpoint that is missing counts.
if ! unshare -m true 2> /dev/null; then
    echo "full disk: left out, mounting is not allowed here"
else
    cat > on_small_disk << 'END'
#!/usr/bin/env bash
# on_small_disk FILL COMMAND...: in a folder `disk` of 1 MB, of which FILL KB are taken
mkdir -p disk
mount -t tmpfs -o size=1m tmpfs disk || exit 99
cp run/ckpt-0001-00000005.h5 disk/
head -c "$1"k /dev/zero > disk/filler
shift
code=0
"$@" || code=$?
"$info" --digest disk/ckpt-0001-00000005.h5 || echo "the older checkpoint is lost"
ls disk
exit "$code"
END
    chmod +x on_small_disk
    export info
    on_disk() { unshare -m ./on_small_disk "$@"; }
    command=("$train" "${small[@]}" --optimizer sgd --checkpoint-dir disk --progress lines)
    expect 3 'No space left|free' on_disk 960 "${command[@]}" --epochs 4
    grep -q 'checkpoint not written, training goes on' err || complain "a full disk without a word: $(cat err)"
    grep -q '^Epoch 4/4' out || complain "training did not go on: $(cat out)"
    grep -q "${good%% *}" out || complain "the older checkpoint is not good: $(cat out)"
    if grep -q 'tmp' <(tail -n 3 out); then complain "a temporary file is left: $(cat out)"; fi
    expect 3 'No space left|free' on_disk 960 "${command[@]}" --epochs 40 --checkpoint-strict
    if grep -q '^Epoch 40/40' out; then complain "--checkpoint-strict goes on: $(cat out)"; fi
    grep -q "${good%% *}" out || complain "the older checkpoint is not good: $(cat out)"
    [ "$(grep -c '^cnnbn-train: ' err)" = 1 ] || complain "--checkpoint-strict: not one message: $(cat err)"
    expect 0 'ckpt-0004-00000020.h5' on_disk 0 "${command[@]}" --epochs 4
fi

# A damaged newest checkpoint is skipped with a warning; the one before goes on.
expect 0 '' "$train" "${small[@]}" --epochs 3 --checkpoint-dir three --quiet
newest=three/ckpt-0003-00000015.h5
printf 'X' | dd of="$newest" bs=1 seek=5000 conv=notrunc 2> /dev/null
expect 0 'going on from three/ckpt-0002-00000010.h5' "$train" "${small[@]}" --epochs 3 --checkpoint-dir three
grep -q "warning: .*$newest" err || complain "the damaged checkpoint is skipped without a word: $(cat err)"
expect 0 '' "$info" --digest "$newest"
verdict "failures while cnnbn-train runs: all as expected"
