# Shared by the tests of the programs: a folder of its own, expectations, small inputs. To be sourced.
# shellcheck shell=bash disable=SC2034
train=$CNNBN_BIN/cnnbn-train
eval=$CNNBN_BIN/cnnbn-eval
predict=$CNNBN_BIN/cnnbn-predict
info=$CNNBN_BIN/cnnbn-info
make=$CNNBN_BIN/../tests/make_inputs
export OMP_WAIT_POLICY=passive # more ranks than cores
unset CNNBN_DATASETS SLURM_JOB_END_TIME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

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

# expect CODE REGEX COMMAND...: the exit code, and a line of stdout or stderr that matches.
expect() {
    local wanted=$1 regex=$2 got=0 limit
    shift 2
    if [ "$(type -t "$1")" = function ]; then limit=(); else limit=(timeout -k 5 90); fi
    "${limit[@]}" "$@" > out 2> err < /dev/null || got=$?
    [ "$got" = "$wanted" ] || complain "$* ended with $got, not $wanted: $(cat err)"
    if [ -n "$regex" ] && ! cat out err | grep -Eq -- "$regex"; then complain "$*: no '$regex' in: $(cat out err)"; fi
}

# expect_not REGEX: no such line in the last output.
expect_not() {
    if cat out err | grep -Eq -- "$1"; then complain "'$1' in: $(cat out err)"; fi
}

# refuse CODE REGEX COMMAND...: also exactly one line of message, on stderr, which begins with the program's name.
refuse() {
    local message_of
    expect "$@"
    message_of=$(basename "$3")
    [ "$(wc -l < err)" = 1 ] || complain "${*:3}: not one line of message: $(cat err)"
    grep -q "^$message_of: " err || complain "${*:3}: message without the program's name: $(cat err)"
}

# refuse_at NP CODE REGEX COMMAND...: the same on ranks, launched by mpirun, whose own lines do not count.
refuse_at() {
    local np=$1 wanted=$2 regex=$3
    shift 3
    expect "$wanted" "$regex" "$CNNBN_MPIRUN" "$np" "$@"
    [ "$(grep -c '^cnnbn-[a-z]*: ' err)" = 1 ] || complain "$* on $np ranks: not one message: $(cat err)"
}

# by_rank RANK WORDS OTHERS PROGRAM ARGS...: a program that gets WORDS on that rank and OTHERS on the rest.
cat > by_rank << 'END'
#!/usr/bin/env bash
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-0}}}
words=$3
if [ "$rank" = "$1" ]; then words=$2; fi
shift 3
exec "$@" $words
END
chmod +x by_rank

# The small dataset of `make_inputs data good` has images of 8x8 in 4 classes.
"$make" data good good.h5 || exit 1
cat > small.yaml << 'END'
input: [8, 8, 1]
layers:
  - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
  - BatchNormalization
  - Flatten
  - Dense: {units: 4, activation: softmax}
END
small=(--data good.h5 --model small.yaml --batch-size 8 --threads 1 --progress lines)
