# Shared by the tests of cnnbn-train: a small dataset, a small model with everything random in it, runs and comparisons. To be
# sourced; makes and enters a folder of its own, `work`.
# shellcheck shell=bash disable=SC2034
# shellcheck source=../support/wait.sh
. "$CNNBN_SOURCE/tests/support/wait.sh"
trainer=$CNNBN_BIN/cnnbn-train
info=$CNNBN_BIN/cnnbn-info
export OMP_WAIT_POLICY=passive OMPI_MCA_mpi_yield_when_idle=1 # more ranks than cores, and other tests beside this one
work=$(mktemp -d)
trap 'finish_processes; rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
reference="" # digest of the run that was never stopped
code=0
launched="" # the launcher that runs in the background

complain() {
    printf 'FAILED: %s\n' "$*" >&2
    failures=$((failures + 1))
}

verdict() {
    if [ "$failures" != 0 ]; then
        echo "$failures failure(s)"
        exit 1
    fi
    echo "$1"
}

finish_processes() {
    if [ -n "$launched" ]; then kill -KILL "$launched" 2> /dev/null || true; fi
    kill_ranks
}

# 220 + 130 images: five steps of 50, the last one short.
"$CNNBN_BIN/cnnbn-data" split "$CNNBN_SOURCE/datasets/fashion-mnist-7000.h5" --train 220 --test 130 -o small.h5 > /dev/null || exit 1
cat > small.yaml << 'END'
input: [28, 28, 1]
layers:
  - Conv2D: {filters: 4, kernel_size: 5, strides: 4, activation: relu}
  - BatchNormalization
  - Dropout: {rate: 0.3}
  - Flatten
  - Dense: {units: 10, activation: softmax}
END
# Larger convolutions: a step of 50 images takes some 20 ms.
cat > slow.yaml << 'END'
input: [28, 28, 1]
layers:
  - Conv2D: {filters: 16, kernel_size: 7, padding: same, activation: relu}
  - BatchNormalization
  - Conv2D: {filters: 8, kernel_size: 7, padding: same, activation: relu}
  - GlobalAveragePooling2D
  - Dense: {units: 10, activation: softmax}
END
common=(--data small.h5 --model small.yaml --batch-size 50 --progress lines)

# train NP OPTION...: runs to its end; out, err, code.
train() {
    local np=$1
    shift
    code=0
    "$CNNBN_MPIRUN" "$np" "$trainer" "${common[@]}" --threads 1 "$@" > out 2> err < /dev/null || code=$?
}

# must CODE WHAT: what the run before ended with.
must() {
    if [ "$code" != "$1" ]; then complain "$2: exit code $code, expected $1: $(cat out err | tail -n 5)"; fi
}

# says REGEX WHAT: a line of the run before.
says() {
    if ! cat out err | grep -Eq -- "$1"; then complain "$2: no '$1' in: $(cat out err | tail -n 8)"; fi
}

says_not() {
    if cat out err | grep -Eq -- "$1"; then complain "$2: '$1' in: $(cat out err | grep -E -- "$1" | head -n 3)"; fi
}

# newest DIR, n_files DIR, digest_of DIR: of the checkpoints in a folder.
newest() { find "$1" -maxdepth 1 -name 'ckpt-*.h5' | LC_ALL=C sort -t- -k3 | tail -n 1; }
n_files() { find "$1" -maxdepth 1 -name 'ckpt-*.h5' | wc -l; }
digest_of() { "$info" --digest "$(newest "$1")" | cut -d' ' -f1; }

# same_as DIR WHAT: the newest checkpoint of DIR has the state of the run that was never stopped.
same_as() {
    local found
    found=$(digest_of "$1")
    if [ "$found" != "$reference" ]; then complain "$2: digest $found, expected $reference"; fi
}

# same_logs EPOCHS.csv STEPS.csv WHAT: the same rows as of the run that was never stopped, clocks left out.
same_logs() {
    if ! diff <(cut -d, -f1-6 reference.csv) <(cut -d, -f1-6 "$1") > difference; then complain "$3: --log differs: $(head -n 5 difference)"; fi
    if ! diff reference-steps.csv "$2" > difference; then complain "$3: --log-steps differs: $(head -n 5 difference)"; fi
}

# begin NP OPTION...: starts in the background; launched, out, err.
begin() {
    local np=$1
    shift
    "$CNNBN_MPIRUN" "$np" "$trainer" "${common[@]}" --threads 1 "$@" > out 2> err < /dev/null &
    launched=$!
}

# end_within SECONDS: waits for it; code, or 999 when it did not end.
end_within() {
    code=0
    if wait_until "$1" has_ended; then wait "$launched" || code=$?; else code=999; fi
    if [ "$code" = 999 ]; then finish_processes; fi
    launched=""
}

has_ended() { ! kill -0 "$launched" 2> /dev/null || [ "$(state_of "$launched")" = Z ]; }
state_of() { sed -E 's/^.*\) (.).*/\1/' "/proc/$1/stat" 2> /dev/null || echo gone; }

# The ranks of this test's own runs: processes of the trainer whose folder is this test's. "rank pid" a line, by rank.
ranks() {
    local exe pid
    # One process looks through /proc: a few for each entry take seconds on a loaded machine, in which a run may end.
    find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$(readlink -f "$trainer")" 2> /dev/null | while read -r exe; do
        pid=${exe#/proc/} pid=${pid%/exe}
        [ "$(readlink "/proc/$pid/cwd" 2> /dev/null)" = "$work" ] || continue
        [ "$(state_of "$pid")" != Z ] || continue
        printf '%s %s\n' "$(tr '\0' '\n' < "/proc/$pid/environ" 2> /dev/null | sed -n 's/^\(OMPI_COMM_WORLD_RANK\|PMI_RANK\)=//p')" "$pid"
    done | sort -n
}
rank_pid() { ranks | sed -n "s/^$1 //p" | head -n 1; }
no_ranks() { [ -z "$(ranks)" ]; }
kill_ranks() {
    local pid
    ranks | cut -d' ' -f2 | while read -r pid; do kill -KILL "$pid" 2> /dev/null || true; done
    wait_until 20 no_ranks || complain "processes are left"
}

# has_rows FILE N: the CSV has at least N rows. (Rows are flushed at checkpoints.)
has_rows() { [ -e "$1" ] && [ "$(wc -l < "$1")" -gt "$2" ]; }
has_files() { [ "$(n_files "$1" 2> /dev/null || echo 0)" -ge "$2" ]; }
