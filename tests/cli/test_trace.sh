#!/usr/bin/env bash
# cnnbn-train --trace: a file in Chrome's trace format with every rank and thread, whole events, and nothing lost.
set -u
program=$CNNBN_BIN/cnnbn-train
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

complain() {
    printf 'FAILED: %s\n' "$*" >&2
    failures=$((failures + 1))
}

quick=(--batch-size 32 --no-validation --watchdog 0)

# has FILE TEXT [TIMES]: so many lines of the file have the text (default: any).
has() {
    local n
    n=$(grep -cF -- "$2" "$1")
    if [ -n "${3:-}" ]; then
        [ "$n" = "$3" ] || complain "$1: '$2' stands in $n lines, not $3"
    elif [ "$n" = 0 ]; then
        complain "$1: no '$2'"
    fi
}

# Two ranks with two threads, six of nine steps, a checkpoint among them.
"$CNNBN_MPIRUN" 2 "$program" "${quick[@]}" --threads 2 --steps 9 --trace t.json --trace-steps 6 --checkpoint-dir ckpt \
    --checkpoint-every 3s > out 2> err || complain "training with --trace failed: $(cat err)"
grep -q '^Timeline of 6 steps, from step 0 on: t.json' out || complain "no word of the timeline: $(tail -n 5 out)"
has t.json '"name":"process_name"' 2
has t.json '"name":"thread_name"' 4
for step in 0 5; do has t.json "\"name\":\"step $step\"" 2; done
has t.json '"name":"step 6"' 0
has t.json '"name":"checkpoint"' 2
for name in 'conv2d forward' 'conv2d_1 backward' 'dense backward weights' 'reduce batch-norm sums, level 0' \
    'start gradients, level 4' optimizer; do
    has t.json "\"name\":\"$name\""
done
for row in '"pid":1,"tid":1,' '"pid":1,"tid":2,' '"pid":2,"tid":1025,' '"pid":2,"tid":1026,'; do has t.json "$row\"ts\""; done

# One event a line; times are numbers, none negative or longer than the run; the file is closed.
[ "$(head -n 1 t.json)" = '{"displayTimeUnit":"ms","traceEvents":[' ] || complain "t.json begins with $(head -n 1 t.json)"
[ "$(tail -n 1 t.json)" = ']}' ] || complain "t.json ends with $(tail -n 1 t.json)"
sed -n '2,$p' t.json | grep -vE '^\{"ph":"M",.*\}\},?$|^\{"ph":"X","name":"[^"]+","cat":"[a-z]+","pid":[12],"tid":[0-9]+,"ts":-?[0-9]+\.[0-9]{3},"dur":[0-9]{1,9}\.[0-9]{3}\},?$|^\]\}$' > odd
[ -s odd ] && complain "t.json has lines of another form: $(head -n 3 odd)"

# Without --trace-steps the first epoch; a name with quotes in it; the same bits with and without.
cat > quoted.yaml << 'END'
input: [28, 28, 1]
layers:
  - Conv2D: {filters: 4, kernel_size: 5, strides: 4, name: 'a"b'}
  - Flatten
  - Dense: {units: 10, activation: softmax}
END
"$program" "${quick[@]}" --batch-size 500 --threads 1 --model quoted.yaml --epochs 2 --trace q.json --log-steps with.csv > out 2> err ||
    complain "training with --trace failed: $(cat err)"
"$program" "${quick[@]}" --batch-size 500 --threads 1 --model quoted.yaml --epochs 2 --log-steps without.csv > out2 2> err ||
    complain "training without --trace failed: $(cat err)"
cmp -s with.csv without.csv || complain "--trace changes the losses"
grep -q '^Timeline of 12 steps' out || complain "no word of the first epoch's timeline: $(tail -n 5 out)"
# shellcheck disable=SC1003
has q.json 'a\"b forward'

# What cannot be written is said at the start, or at the end without harm to the run.
"$program" "${quick[@]}" --steps 1 --trace missing/t.json > out 2> err
[ $? = 3 ] || complain "a trace that cannot be opened ended with another code"
grep -q -- '--trace missing/t.json' err || complain "no message: $(cat err)"
if [ -e /dev/full ]; then
    "$program" "${quick[@]}" --steps 1 --trace /dev/full > out 2> err || complain "a full disk for a trace ended the run"
    grep -q 'warning: --trace /dev/full' err || complain "no warning: $(cat err)"
fi
"$program" --trace-steps 3 > out 2> err
[ $? = 2 ] || complain "--trace-steps without --trace ended with another code"

[ "$failures" = 0 ] || exit 1
echo "--trace: all well"
