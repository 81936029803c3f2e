#!/usr/bin/env bash
# A whole SLURM cluster on this machine, for tests: Debian's packages, one node, one partition, everything in one folder.
#
#   tests/slurm.sh install          as root, with ERASE_TESTS_INSTALL=1; exit code 3 and a reason where it cannot be
#   tests/slurm.sh start <folder>   then: export SLURM_CONF=<folder>/slurm.conf
#   tests/slurm.sh stop <folder>
set -euo pipefail

no() { echo "$1"; exit 3; }

install() {
  local missing=""
  for name in slurmctld slurmd munged sbatch srun; do command -v $name > /dev/null || missing=$name; done
  [ -n "$missing" ] || return 0
  [ -n "${ERASE_TESTS_INSTALL:-}" ] || no "$missing is not installed: install it, or let root's \`make proof\` do so"
  command -v apt-get > /dev/null || no "neither $missing nor apt-get is here"
  [ "$(id -u)" = 0 ] || no "$missing is not installed, and only root can install it"
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1  # its services are not to start: ours have a folder of their own
  apt-get -qq update > /dev/null || no "apt-get update failed"
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends slurmctld slurmd slurm-client munge > /dev/null || no "apt-get install failed"
}

start() {
  mkdir -p "$1"
  local at; at=$(cd "$1" && pwd)
  mkdir -p "$at/state" "$at/spool" "$at/munge"
  chmod 700 "$at/munge"
  head -c 128 /dev/urandom > "$at/munge/key"
  chmod 400 "$at/munge/key"
  munged --force --key-file="$at/munge/key" --socket="$at/munge/socket" --pid-file="$at/munge/pid" \
    --log-file="$at/munge/log" --seed-file="$at/munge/seed"
  local port=$((20000 + RANDOM % 20000)) node; node=$(hostname -s)
  cat > "$at/slurm.conf" << CONF
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$at/munge/socket,cred_expire=5  # as long a job that is queued again must wait
CredType=cred/munge
StateSaveLocation=$at/state
SlurmdSpoolDir=$at/spool
SlurmctldPidFile=$at/slurmctld.pid
SlurmdPidFile=$at/slurmd.pid
SlurmctldLogFile=$at/slurmctld.log
SlurmdLogFile=$at/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
ReturnToService=2
KillWait=2
JobRequeue=1
MpiDefault=none
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc --all) State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF="$at/slurm.conf"
  slurmctld
  slurmd
  for _ in $(seq 60); do
    [ "$(sinfo -h -o %t 2> /dev/null)" = idle ] && return
    sleep 0.5
  done
  tail -n 5 "$at"/slurm*.log
  stop "$at"
  no "the node did not become idle"
}

stop() {
  export SLURM_CONF="$1/slurm.conf"
  scancel --user "$(id -un)" || true
  for _ in $(seq 20); do  # slurmd does not end before its jobs
    [ -n "$(squeue -h 2> /dev/null)" ] || break
    sleep 0.5
  done
  for file in "$1/slurmd.pid" "$1/slurmctld.pid" "$1/munge/pid"; do
    [ ! -f "$file" ] || kill "$(cat "$file")" || true
  done
}

"$@"
