#!/usr/bin/env bash
# Every system call of one checkpoint's write fails once with ENOSPC, once with EIO, and once the process dies there. Whatever
# happens, the folder's newest good checkpoint is the old one or the whole new one; a failure is one message that says so, and
# leaves nothing behind.
set -u
tool=$CNNBN_CHECKPOINT_TOOL
if ! command -v strace > /dev/null; then
    echo "skipped: strace is not installed"
    exit 77
fi
dir=$(mktemp -d)
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
if ! strace -qq -o /dev/null true 2> /dev/null; then
    echo "skipped: strace cannot trace here (ptrace is not allowed)"
    exit 77
fi
export ASAN_OPTIONS=detect_leaks=0 # the leak checker cannot run under strace

run=$dir/run old=$dir/run/ckpt-0000-00000001.h5 new=$dir/run/ckpt-0000-00000002.h5
n_cases=0 n_bad=0
complain() {
    echo "$*"
    cat "$dir/err"
    n_bad=$((n_bad + 1))
}

fresh() {
    chmod -f u+rwx "$run"
    rm -rf "$run"
    mkdir -p "$run"
    cp "$dir/first.h5" "$old"
}

# verdict WHAT CODE: the state of the folder after a write that ended with CODE (above 128: killed)
verdict() {
    local what=$1 code=$2 newest
    n_cases=$((n_cases + 1))
    newest=$("$tool" newest "$run" 2> "$dir/warnings")
    case $newest in
    1) [ "$code" -ne 0 ] || [ "${what#lying}" != "$what" ] || complain "$what: success was told, but the new checkpoint is not there" ;;
    2) ;; # also after an error: the folder's sync and what comes after the rename
    *) complain "$what: newest good checkpoint is '$newest', expected 1 or 2" ;;
    esac
    if [ "$code" -eq 3 ]; then
        if ! { [ "$(wc -l < "$dir/err")" -eq 1 ] && grep -q "not written\|no memory" "$dir/err"; }; then complain "$what: expected one clear message"; fi
    fi
    if [ "$code" -le 3 ] && [ -e "$new.tmp" ]; then complain "$what: a temporary file is left"; fi
    if [ -s "$dir/warnings" ] && [ "${what#lying}" = "$what" ]; then
        cp "$dir/warnings" "$dir/err"
        complain "$what: a damaged checkpoint is in the folder"
    fi
}

mkdir -p "$run"
"$tool" write "$dir/first.h5" 1 || exit 1
calls=(openat write fsync close rename statfs fstatfs)
strace -f -qq -e trace="$(IFS=,; echo "${calls[*]}")" -o "$dir/trace" "$tool" write "$new" 2 || exit 1
grep -q 'fsync(' "$dir/trace" || { echo "no fsync in the trace: what is traced here?"; exit 1; }
# The file is on the disk before it gets its name, and its name before success is told.
order=$(sed -nE 's/^[0-9]+ +(fsync|rename)\(.*/\1/p' "$dir/trace" | tr '\n' ' ')
[[ $order == *"fsync rename fsync "* ]] || { echo "expected fsync, rename, fsync; seen: $order"; exit 1; }

# The checkpoint's own calls are those from the first look at its folder on; before that the program is being loaded.
first=$(grep -n "\"$run\"" "$dir/trace" | head -n 1 | cut -d: -f1)
for call in "${calls[@]}"; do
    before=$(head -n $((first - 1)) "$dir/trace" | grep -cE "(^| )$call\(")
    n=$(grep -cE "(^| )$call\(" "$dir/trace")
    for ((when = before + 1; when <= n; when++)); do
        for fault in error=ENOSPC error=EIO signal=KILL; do
            fresh
            strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:$fault:when=$when" "$tool" write "$new" 2 2> "$dir/err" > /dev/null
            code=$?
            verdict "$call $when $fault" "$code"
            # Where a fault does nothing it was not injected, but for these: the free space may remain unknown, HDF5 looks
            # whether its file in memory is on the disk, and closing the folder decides nothing.
            case "$call $fault $(grep -E "(^| )$call\(" "$dir/trace" | sed -n "${when}p")" in
            statfs\ error=ENOSPC* | *'"/dev/null/'*) ;;
            close*) [ "$code" -ne 0 ] || [ "$when" -eq "$n" ] || complain "$call $when $fault: no effect" ;;
            *) [ "$code" -ne 0 ] || complain "$call $when $fault: no effect" ;;
            esac
        done
    done
done 2> "$dir/shell" # the shell's own word on what was killed

# From the first failing call on nothing works any more, as on a disk that is really full.
for call in write fsync; do
    fresh
    strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:error=ENOSPC:when=1+" "$tool" write "$new" 2 2> /dev/null
    code=$?
    echo "checkpoint not written" > "$dir/err" # its own words cannot be written either
    verdict "$call always" "$code"
done

# A disk that takes bytes and loses them: success is told, the seal tells the truth. (The first write is the seal itself; a
# file without it is whole HDF5, and the digest inside vouches for it.)
when=2
fresh
strace -f -qq -o /dev/null -e trace=write -e "inject=write:retval=512:when=$when" "$tool" write "$new" 2 2> "$dir/err"
verdict "lying write $when" $?
[ "$("$tool" newest "$run" 2> /dev/null)" = 1 ] || complain "lying write $when: lost bytes were believed"

# A real short write: a limit within the file.
fresh
(
    trap '' XFSZ
    ulimit -f 20
    "$tool" write "$new" 2 2> "$dir/err"
)
code=$?
verdict "file size limit" "$code"
[ "$code" -eq 3 ] || complain "file size limit: exit code $code, expected 3"

# The folder goes away, or may not be written in.
fresh
rm -rf "$run"
"$tool" write "$new" 2 2> "$dir/err"
code=$?
if ! { [ "$code" -eq 3 ] && grep -q 'No such file' "$dir/err"; }; then complain "removed folder: expected exit code 3 and its reason"; fi
if [ "$(id -u)" -ne 0 ]; then
    fresh
    chmod a-w "$run"
    "$tool" write "$new" 2 2> "$dir/err"
    verdict "read-only folder" $?
fi

# A dataset is written by HDF5 itself: after a failure it must still be able to close, at the program's end too.
data=$dir/run/data.h5
fresh
calls=(pwrite64 ftruncate fsync rename)
strace -f -qq -e trace="$(IFS=,; echo "${calls[*]}")" -o "$dir/trace" "$tool" dataset "$data" || exit 1
for call in "${calls[@]}"; do
    n=$(grep -cE "(^| )$call\(" "$dir/trace")
    for ((when = 1; when <= n; when++)); do
        for fault in ENOSPC EIO; do
            fresh
            strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:error=$fault:when=$when" "$tool" dataset "$data" 2> "$dir/err"
            code=$?
            n_cases=$((n_cases + 1))
            what="dataset: $call $when $fault"
            if [ "$code" -eq 0 ]; then
                [ "$call $when" = "fsync $n" ] || complain "$what: no effect"
            else
                if ! { [ "$code" -eq 3 ] && [ "$(wc -l < "$dir/err")" -eq 1 ]; }; then complain "$what: exit code $code, expected 3 and one message"; fi
                [ ! -e "$data" ] || [ "$call $when" = "fsync $n" ] || complain "$what: a file that is not whole is there"
                [ ! -e "$data.tmp" ] || complain "$what: a temporary file is left"
            fi
        done
    done
done

echo "$n_cases faults, $n_bad bad"
[ "$n_bad" -eq 0 ]
