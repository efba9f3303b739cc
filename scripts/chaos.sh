#!/usr/bin/env bash
# chaos.sh N [OPTION ...]: kills a training run N times with SIGKILL at random moments, and lets it go on each time with another
# number of ranks and threads, until it is done; then the next run begins. Each run must end with the digest and the logs of one
# that was never killed. Ends with 0 when all did.
#
#   --seed S         seed of all that is random (default: from the clock; printed)
#   --replay S       one round with this seed, as printed for a round that went wrong
#   --steps N        steps of a run (default 100)
#   --ranks N        at most so many ranks (default 4)
#   --programs DIR   where cnnbn-train is (default: $CNNBN_BIN, a build in build/*/bin, or PATH)
#   --keep-going     do not stop at the first wrong round
#
# What is killed, in turn by chance: a random rank, rank 0, or mpirun itself. When: after a random time; when a checkpoint's
# temporary file is seen; or, where strace may trace, at a random system call of the writing (write, fsync, close, rename,
# unlink, ...), which rank 0 dies in. Checkpoints are written every two steps, so that many kills hit them.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
# shellcheck disable=SC2154 # root: of lib.sh
launch=${CNNBN_MPIRUN:-$root/scripts/mpirun.sh}
kills="" seed=$(date +%s) replay="" steps=100 most=4 programs=${CNNBN_BIN:-} keep_going=0
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h)
        sed -n '2,/^set -eu/{/^set -eu/!s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    --keep-going) keep_going=1 ;;
    --seed | --replay | --steps | --ranks | --programs)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --seed) seed=$2 ;;
        --replay) replay=$2 ;;
        --steps) steps=$2 ;;
        --ranks) most=$2 ;;
        --programs) programs=$2 ;;
        esac
        shift
        ;;
    -*) die "unknown option $1 (--help)" ;;
    *) kills=$1 ;;
    esac
    shift
done
if [ -n "$replay" ]; then kills=1 seed=$replay; fi
case $kills in '' | *[!0-9]*) die "how many kills? chaos.sh N (--help)" ;; esac
find_programs "$programs"
trainer=$(readlink -f "$programs/cnnbn-train")
export OMP_WAIT_POLICY=passive OMPI_MCA_mpi_yield_when_idle=1 # more ranks than cores

work=$(mktemp -d)
die() {
    echo "chaos.sh: $*"
    exit 1
}
launched=""
trap 'end_all; rm -rf "$work"' EXIT
cd "$work"
"$programs/cnnbn-data" split "$root/datasets/fashion-mnist-7000.h5" --train 330 --test 150 -o data.h5 > /dev/null
cat > model.yaml << 'END'
input: [28, 28, 1]
layers:
  - Conv2D: {filters: 4, kernel_size: 5, strides: 4, activation: relu}
  - BatchNormalization
  - Dropout: {rate: 0.3}
  - Flatten
  - Dense: {units: 10, activation: softmax}
END
arguments=(--data data.h5 --model model.yaml --batch-size 50 --epochs 1000 --steps "$steps" --quiet --watchdog 60)

# ---------------------------------------------------------------- chance: every draw is of the seed, the round and the draw's number

draws=0
draw() { # draw N: 0 <= drawn < N
    draws=$((draws + 1))
    drawn=$(($(printf '%s %s' "$round_seed" "$draws" | cksum | cut -d' ' -f1) % $1))
}

# ---------------------------------------------------------------- processes of this script's own runs

state_of() { sed -E 's/^.*\) (.).*/\1/' "/proc/$1/stat" 2> /dev/null || echo Z; }

# Pids of the ranks that are alive: the trainer, in this folder. With an argument: of that rank only.
ranks() {
    local p
    find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$trainer" 2> /dev/null | while read -r p; do
        p=${p%/exe}
        if [ "$(readlink "$p/cwd" 2> /dev/null)" != "$work" ] || [ "$(state_of "${p#/proc/}")" = Z ]; then continue; fi
        if [ -n "${1:-}" ] && ! tr '\0' '\n' 2> /dev/null < "$p/environ" | grep -Eqx "(OMPI_COMM_WORLD_RANK|PMI_RANK)=$1"; then continue; fi
        echo "${p#/proc/}"
    done
}

kill_9() { # kill_9 PID...: what is gone already is fine
    local pid
    for pid in "$@"; do kill -KILL "$pid" 2> /dev/null || true; done
}

end_all() {
    local tries=0 left
    if [ -n "$launched" ]; then
        kill_9 "$launched"
        wait "$launched" 2> /dev/null || true
        launched=""
    fi
    while left=$(ranks) && [ -n "$left" ]; do
        # shellcheck disable=SC2086 # a list
        kill_9 $left
        tries=$((tries + 1))
        if [ "$tries" -gt 200 ]; then die "processes that cannot be killed: $left"; fi
        sleep 0.05
    done
}

is_over() { [ "$(state_of "$launched")" = Z ]; }

# after CONDITION MS: waits until the condition holds (or the run is over), then so many milliseconds.
after() {
    local limit=$((SECONDS + 60))
    until "$1" || is_over; do
        if [ "$SECONDS" -ge "$limit" ]; then return; fi
        sleep 0.01
    done
    if [ "$2" -gt 0 ] && ! is_over; then sleep "$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))"; fi
}
at_once() { true; }
# shellcheck disable=SC2317 # by name
is_training() { [ -n "$(find run -name 'ckpt-*.h5' -newer stamp 2> /dev/null | head -n 1)" ]; }
# shellcheck disable=SC2317 # by name
is_writing() { compgen -G 'run/*.tmp' > /dev/null; }

# ---------------------------------------------------------------- a run, and its end

digest() { "$programs/cnnbn-info" --digest "run/"ckpt-*"$(printf '%08d' "$steps").h5" | cut -d' ' -f1 | sort -u; }
timeless() { cut -d, -f1-6 run.csv | cksum; cksum < run-steps.csv; }
clean() { rm -rf run run.csv run-steps.csv; }

start() { # start NP THREADS [PREFIX...]
    local np=$1 threads=$2 data=()
    shift 2
    draw 3
    if [ "$drawn" = 0 ]; then data=(--data-memory 100K); fi
    touch stamp
    "$launch" "$np" "$@" "$trainer" "${arguments[@]}" --threads "$threads" "${data[@]}" --checkpoint-dir run --checkpoint-every 2s \
        --log run.csv --log-steps run-steps.csv > out 2>&1 < /dev/null &
    launched=$!
}

can_trace=0
if command -v strace > /dev/null && strace -qq -o /dev/null true 2> /dev/null; then can_trace=1; fi

# One kill: starts, kills, says what it did. `ended` is 1 when the run was done before.
n_rank=0 n_root=0 n_launcher=0 n_call=0 n_done=0
strike() {
    local np threads victim moment delay what pid calls=(write fsync close rename unlink openat) call files="" name s
    draw "$most"
    np=$((drawn + 1))
    draw 3
    threads=$((drawn + 1))
    draw 10
    moment=$drawn
    draw 150
    delay=$drawn
    draw 4
    victim=$drawn
    if [ "$moment" -ge 7 ] && [ "$can_trace" = 1 ]; then
        # Rank 0 dies in the when-th such call on a file of the run's folder.
        draw ${#calls[@]}
        call=${calls[drawn]}
        draw 40
        for ((s = 2; s <= steps; s += 2)); do name=run/ckpt-$(printf '%04d-%08d' $(((s - 1) / 7)) "$s").h5 && files="$files -P $name -P $name.tmp"; done
        what="rank 0 in $call $((drawn + 1)) of the run's files"
        cat > traced << END
#!/usr/bin/env bash
if [ "\${OMPI_COMM_WORLD_RANK:-\${PMI_RANK:-0}}" != 0 ]; then exec "\$@"; fi
mkdir -p run
exec strace -f -qq -o trace -P run $files -e trace=$call -e inject=$call:signal=KILL:when=$((drawn + 1)) "\$@"
END
        start "$np" "$threads" bash traced
        after is_over 0
        count=n_call
    else
        start "$np" "$threads"
        case $moment in
        0 | 1) after at_once $((delay * 3)) ;;
        2 | 3 | 4) after is_training "$delay" ;;
        *) after is_writing 0 ;;
        esac
        case $victim in
        0)
            what=mpirun pid=$launched
            count=n_launcher
            ;;
        1)
            what="rank 0" pid=$(ranks 0)
            count=n_root
            ;;
        *)
            draw "$np"
            what="rank $drawn" pid=$(ranks "$drawn")
            count=n_rank
            ;;
        esac
        # shellcheck disable=SC2086 # one or none
        kill_9 $pid
    fi
    # The next start does not wait for the ranks of a killed mpirun half of the time: they must not harm their successor's files.
    draw 2
    if [ "$what" != mpirun ] || [ "$drawn" = 0 ]; then after is_over 0; fi
    ended=0
    if is_over; then
        local code=0
        wait "$launched" 2> /dev/null || code=$?
        launched=""
        if [ "$code" = 0 ]; then
            ended=1
            n_done=$((n_done + 1))
            what="$what (the run was done before)"
        fi
    fi
    if [ "$ended" = 0 ]; then
        printf -v "$count" %d $((${!count} + 1))
        struck=$((struck + 1))
    fi
    if [ "$what" = mpirun ] && [ "$drawn" = 1 ]; then what="mpirun, its ranks left alive"; else end_all; fi
    story="$story
  np $np, threads $threads: killed $what; newest $(find run -name 'ckpt-*.h5' 2> /dev/null | sort | tail -n 1)"
}

# A round: kills until the run is done by itself; at most so many.
round() {
    local budget=$1 code=0 np
    round_seed=$2 draws=0 story="" struck=0 ended=0
    clean
    while [ "$struck" -lt "$budget" ] && [ "$ended" = 0 ]; do
        strike
        if [ "$struck" -ge 8 ]; then break; fi
    done
    # Undisturbed to the end.
    end_survivors
    draw "$most"
    np=$((drawn + 1))
    start "$np" 1
    wait "$launched" || code=$?
    launched=""
    end_all
    if [ "$code" != 0 ]; then
        story="$story
  the last start ended with $code: $(tail -n 3 out)"
        return 1
    fi
    found=$(digest) logs=$(timeless)
    [ "$found" = "$expected" ] || story="$story
  digest $found, expected $expected"
    [ "$logs" = "$expected_logs" ] || story="$story
  the logs differ from those of the undisturbed run"
    [ "$found" = "$expected" ] && [ "$logs" = "$expected_logs" ]
}

# Ranks that a killed mpirun left alive go on for a moment beside the next start: on purpose, see strike.
end_survivors() { if [ -n "$(ranks)" ] && [ -z "$launched" ]; then draw 2; if [ "$drawn" = 0 ]; then end_all; fi; fi; }

round_seed=$seed
clean
start 2 1
wait "$launched" || die "the undisturbed run failed: $(tail -n 3 out)"
launched=""
expected=$(digest) expected_logs=$(timeless)
echo "undisturbed: $expected, $steps steps; seed $seed; $([ "$can_trace" = 1 ] && echo "kills in system calls too" || echo "no strace: no kills in system calls")"

exec 2> shell # the shell's own word on what was killed
done_kills=0 rounds=0 bad=0
while [ "$done_kills" -lt "$kills" ]; do
    this_seed=$seed-$rounds
    budget=$((kills - done_kills))
    if [ -n "$replay" ]; then this_seed=$replay budget=8; fi
    verdict=equal
    round "$budget" "$this_seed" || verdict=WRONG
    rounds=$((rounds + 1))
    done_kills=$((done_kills + struck))
    echo "round $rounds: $struck kills, $verdict (--replay $this_seed)"
    if [ "$verdict" = WRONG ]; then
        echo "$story"
        bad=$((bad + 1))
        if [ "$keep_going" = 0 ]; then break; fi
    fi
done
echo "$done_kills kills in $rounds runs: $n_rank of a random rank, $n_root of rank 0, $n_launcher of mpirun, $n_call in a system call of the writing; $n_done more came after the end; $bad runs wrong"
[ "$bad" = 0 ]
