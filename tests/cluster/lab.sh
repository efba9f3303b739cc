# A cluster in a box: hosts made of namespaces on one machine, each with its own network address, process table and
# shared memory, and a real Slurm on top. To be sourced by the tests of this folder; needs root.
# shellcheck shell=bash
#
#   n1 n2 ...    10.77.0.1 and up: hosts that run slurmd
#   head         10.77.0.100: slurmctld, and where the tests type their commands
#
# The file system is the machine's own, so every host sees every path. Whatever is made here goes with the test: by a
# trap at its end, by the parent-death signal when it is killed.

# shellcheck source=../support/wait.sh
. "$CNNBN_SOURCE/tests/support/wait.sh"

lab_dir=""
lab_pids=()    # processes of this test
lab_daemons=() # those of them that serve the cluster as a whole

skip() {
    echo "skipped: $*"
    exit 77
}

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

lab_require() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    local program
    for program in slurmctld slurmd sbatch munged ip nsenter unshare setpriv; do
        command -v "$program" > /dev/null || skip "needs $program (packages slurm-wlm munge iproute2)"
    done
    unshare -n -u -i -m -p -f --mount-proc true 2> /dev/null || skip "needs leave to make namespaces"
    setpriv --pdeathsig KILL true 2> /dev/null || skip "needs setpriv --pdeathsig"
    unshare -n ip link add br0 type bridge 2> /dev/null || skip "needs network bridges in the kernel"
    unshare -n ip link add v0 type veth peer name v1 2> /dev/null || skip "needs veth devices in the kernel"
}

# Starts a process that dies with this shell; lab_last is its id.
lab_spawn() {
    setpriv --pdeathsig KILL "$@" < /dev/null > /dev/null 2>&1 &
    lab_last=$!
    lab_pids+=("$lab_last")
    disown "$lab_last" # no notice when it is killed
}

lab_pid() { cat "$lab_dir/pid.$1"; }

# lab_on HOST COMMAND...
lab_on() {
    local host=$1 namespaces=(-n -u -i -m)
    shift
    if [ "$host" != head ]; then namespaces+=(-p); fi
    nsenter -t "$(lab_pid "$host")" "${namespaces[@]}" --wdns="$PWD" -- "$@"
}

lab_switch() { nsenter -t "$(lab_pid switch)" -n ip link "$@"; }

# First process of a host: waits for others, so that orphans are reaped. head stays in the machine's process table.
lab_make_host() {
    local host=$1 processes=(-p --mount-proc) unshare_pid
    if [ "$host" = head ]; then processes=(); fi
    # shellcheck disable=SC2016
    lab_spawn unshare -n -u -i -m "${processes[@]}" -f --kill-child --propagation private bash -c '
        hostname "$1" && mount -t tmpfs -o size=2g tmpfs /dev/shm && mount --bind "$2/hosts" /etc/hosts &&
            ip link set lo up && echo up > "$2/up.$1" || exit 1
        sleep infinity &
        while :; do wait; done' host "$host" "$lab_dir"
    unshare_pid=$lab_last
    wait_until 10 test -e "$lab_dir/up.$host" || fail "host $host did not start"
    tr -d ' ' < "/proc/$unshare_pid/task/$unshare_pid/children" > "$lab_dir/pid.$host"
}

lab_connect() {
    local host=$1 address=$2
    lab_switch add "v$host" type veth peer name eth0 netns "$(lab_pid "$host")"
    lab_switch set "v$host" master br0 up
    nsenter -t "$(lab_pid "$host")" -n ip addr add "$address/24" dev eth0
    nsenter -t "$(lab_pid "$host")" -n ip link set eth0 up
}

# The power goes: nothing is said to anybody, the network falls silent.
lab_power_off() {
    lab_switch set "v$1" down
    kill -9 "$(lab_pid "$1")"
}

lab_daemons_gone() { ! kill -0 "${lab_daemons[@]}" 2> /dev/null; }

lab_all_gone() { ! kill -0 "${lab_pids[@]}" 2> /dev/null; }

# The daemons first and politely, so that they reap their children; then the hosts, with all that runs on them.
lab_down() {
    local file
    if [ "${#lab_pids[@]}" -gt 0 ]; then
        kill "${lab_daemons[@]}" 2> /dev/null || true
        for file in "$lab_dir"/pid.n*; do kill -9 "$(cat "$file")" 2> /dev/null || true; done
        wait_until 3 lab_daemons_gone || true
        kill -9 "${lab_pids[@]}" 2> /dev/null || true
        wait_until 3 lab_all_gone || true
    fi
    if [ -n "$lab_dir" ]; then rm -rf "$lab_dir"; fi
}

lab_slurm_conf() {
    local n_hosts=$1 cpus=$2 i
    cat << END
ClusterName=lab
SlurmctldHost=head(10.77.0.100)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$lab_dir/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$lab_dir/state
SlurmdSpoolDir=$lab_dir/spool.%n
SlurmctldPidFile=$lab_dir/slurmctld.pid
SlurmdPidFile=$lab_dir/slurmd.%n.pid
SlurmctldLogFile=$lab_dir/slurmctld.log
SlurmdLogFile=$lab_dir/slurmd.%n.log
TmpFS=$lab_dir/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=10
SlurmdTimeout=10
SlurmctldTimeout=30
MessageTimeout=5
InactiveLimit=0
MinJobAge=3600
JobRequeue=1
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
END
    for ((i = 1; i <= n_hosts; i++)); do echo "NodeName=n$i NodeAddr=10.77.0.$i CPUs=$cpus State=UNKNOWN"; done
    echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
}

lab_all_idle() { [ "$(lab_on head sinfo -h -t idle -o %D 2> /dev/null)" = "$1" ]; }

# lab_up N_HOSTS: hosts n1.. and Slurm on them, each pretending to have 8 CPUs.
lab_up() {
    local n_hosts=$1 host i
    lab_dir=$(mktemp -d)
    chmod 755 "$lab_dir"
    trap lab_down EXIT
    trap 'exit 130' INT TERM

    echo "127.0.0.1 localhost" > "$lab_dir/hosts"
    for ((i = 1; i <= n_hosts; i++)); do echo "10.77.0.$i n$i" >> "$lab_dir/hosts"; done
    echo "10.77.0.100 head" >> "$lab_dir/hosts"
    lab_make_host switch
    lab_switch add br0 type bridge
    lab_switch set br0 up
    for ((i = 1; i <= n_hosts; i++)); do
        lab_make_host "n$i"
        lab_connect "n$i" "10.77.0.$i"
        mkdir "$lab_dir/spool.n$i" "$lab_dir/tmp.n$i"
    done
    lab_make_host head
    lab_connect head 10.77.0.100

    mkdir "$lab_dir/munge" "$lab_dir/state"
    (umask 077 && head -c 128 /dev/urandom > "$lab_dir/munge/key")
    lab_slurm_conf "$n_hosts" 8 > "$lab_dir/slurm.conf"
    export SLURM_CONF=$lab_dir/slurm.conf
    lab_spawn munged --force --foreground --num-threads=2 --key-file="$lab_dir/munge/key" --socket="$lab_dir/munge/socket" \
        --pid-file="$lab_dir/munge/pid" --log-file="$lab_dir/munge/log" --seed-file="$lab_dir/munge/seed"
    lab_daemons+=("$lab_last")
    wait_until 10 test -S "$lab_dir/munge/socket" || fail "munged did not start"
    # lab_on is a function: lab_spawn wants the program itself.
    lab_spawn nsenter -t "$(lab_pid head)" -n -u -i -m -- slurmctld -D
    lab_daemons+=("$lab_last")
    for ((i = 1; i <= n_hosts; i++)); do
        host=n$i
        lab_spawn nsenter -t "$(lab_pid "$host")" -n -u -i -m -p -- slurmd -D -N "$host"
    done
    wait_until 30 lab_all_idle "$n_hosts" || fail "Slurm did not start: $(tail -n 5 "$lab_dir/slurmctld.log")"

    # What MPI would find out by itself on a real cluster, and 2 cores that pretend to be many.
    export OMPI_MCA_btl=tcp,vader,self OMPI_MCA_pml=ob1 OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
    export OMPI_MCA_mpi_yield_when_idle=1
}

# ---------------------------------------------------------------- jobs

# job_field JOB NAME: a field of `scontrol show job`, such as JobState or Restarts.
job_field() { lab_on head scontrol -o show job "$1" 2> /dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1; }

job_is() { [ "$(job_field "$1" JobState)" = "$2" ]; }

job_ended() {
    case $(job_field "$1" JobState) in
    COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | BOOT_FAIL | OUT_OF_MEMORY) return 0 ;;
    *) return 1 ;;
    esac
}

# job_wait JOB SECONDS: waits for the end, and wants it to be a good one.
job_wait() {
    wait_until "$2" job_ended "$1" || fail "job $1 is still $(job_field "$1" JobState) after $2 s"
    job_is "$1" COMPLETED || fail "job $1 ended as $(job_field "$1" JobState)"
}
