#!/bin/bash
# A Slurm cluster of one node, for experiments and tests: slurm/one_node_cluster.sh up | down | status
#
# Needs root and Debian's packages:  apt-get install slurm-wlm munge
# Its configuration and state lie in FOLDER (default /var/tmp/bl30k-one-node); /etc/slurm is left alone, so commands
# find it through SLURM_CONF, which `up` prints:  export SLURM_CONF=/var/tmp/bl30k-one-node/slurm.conf
set -eu

FOLDER=${FOLDER:-/var/tmp/bl30k-one-node}
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$FOLDER/slurm.conf

configure() {
    mkdir -p "$FOLDER/state" "$FOLDER/spool"
    local cpus memory host
    cpus=$(getconf _NPROCESSORS_ONLN)   # nproc would obey OMP_NUM_THREADS
    memory=$(awk '/^MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
    host=$(hostname -s)
    cat > "$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=${CONTROL_PORT:-16817}
SlurmdPort=${NODE_PORT:-16818}
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
SlurmdLogFile=$FOLDER/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
MaxArraySize=${MAX_ARRAY_SIZE:-1001}
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=$host PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
CONF
}

start_munge() {
    if munge -n > /dev/null 2>&1; then return; fi
    mkdir -p /run/munge
    chown munge:munge /run/munge
    [ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 2> /dev/null
        chown munge:munge /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
    runuser -u munge -- munged
}

running() { [ -s "$FOLDER/$1.pid" ] && kill -0 "$(cat "$FOLDER/$1.pid")" 2> /dev/null; }

up() {
    for program in munged slurmctld slurmd; do
        command -v $program > /dev/null || { echo "$program is not installed: apt-get install slurm-wlm munge" >&2; exit 1; }
    done
    running slurmctld || { configure; start_munge; slurmctld; }
    running slurmd || slurmd
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T --partition=main 2> /dev/null | grep -Eq 'idle|mixed|allocated'; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.5
    done
    echo "the node does not come up; see $FOLDER/slurmctld.log and $FOLDER/slurmd.log" >&2
    exit 1
}

down() {
    if running slurmctld; then
        squeue --noheader --format=%A | sort --unique | xargs --no-run-if-empty scancel --quiet || true
        for _ in $(seq 80); do [ -n "$(squeue --noheader)" ] || break; sleep 0.5; done
    fi
    for program in slurmd slurmctld; do
        if running $program; then
            kill "$(cat "$FOLDER/$program.pid")"
            for _ in $(seq 60); do running $program || break; sleep 0.5; done
        fi
    done
    rm -rf "$FOLDER"    # munged is left running: other programs may use it
}

case ${1:-} in
    up) up ;;
    down) down ;;
    status) sinfo && squeue ;;
    *) echo "usage: $0 up | down | status" >&2; exit 2 ;;
esac
