#!/usr/bin/env bash
# A number that `sbatch` has said may be another job's a moment later
#
# `sbatch` prints the job's number when the controller has taken the job, and the controller writes its jobs down up to five seconds later.
# One that is killed within that time (a crash, the OOM killer, power) comes back without those jobs, and gives their numbers to the next
# ones. Who then asks `squeue --jobs` or `scancel` by the number that it was told is shown, and ends, another job; no job ever fails. A
# name that no other job has (`--job-name`) tells them apart.
#
# Version: Slurm 22.05.8 (Debian 12's slurmctld 22.05.8-4+deb12u3, slurm-client), munge 0.5.15.
# Source of the guess: sbatch(1): "If the command is successful, a job identification number is returned"; `SlurmctldParameters` and `StateSaveLocation`
# of slurm.conf(5): "Fully qualified pathname of a directory into which the Slurm controller, slurmctld, saves its state".
# Needs root: munge and the controller check who owns their files.
set -euo pipefail
folder=$(mktemp -d)
stop() { for file in "$folder"/*.pid; do [ -e "$file" ] && kill "$(cat "$file")" 2> /dev/null; done; sleep 0.5; rm -rf "$folder"; }
trap stop EXIT
chmod 755 "$folder"
cd "$folder"
packages="slurmctld slurm-client slurm-wlm-basic-plugins munge libmunge2 libjwt0 libjansson4 libhwloc15"
# shellcheck disable=SC2086  # a list of package names
apt-get -qq -o APT::Sandbox::User=root download $packages
for file in ./*.deb; do dpkg -x "$file" root; done
libraries=$(echo "$folder"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH="$libraries:$libraries/slurm-wlm" PATH="$folder/root/usr/bin:$folder/root/usr/sbin:$PATH" SLURM_CONF="$folder/slurm.conf"
ctld=$(command -v slurmctld-wlm || command -v slurmctld)
head -c 128 /dev/urandom > key
chmod 400 key
munged --force --key-file="$folder/key" --socket="$folder/munge" --pid-file="$folder/munge.pid" --log-file="$folder/munge.log" --seed-file="$folder/seed"
mkdir state
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > slurm.conf << CONFIG
ClusterName=try
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
AuthInfo=socket=$folder/munge
PluginDir=$libraries/slurm-wlm
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/ctld.pid
SlurmctldLogFile=$folder/ctld.log
ProctrackType=proctrack/linuxproc
NodeName=far NodeHostname=far NodeAddr=127.0.0.1 Port=1 CPUs=1
PartitionName=main Nodes=ALL Default=YES
CONFIG
start() {
    "$ctld"
    until squeue > /dev/null 2>&1; do sleep 0.1; done
}
submit() { (cd "$folder" && sbatch --parsable --hold --job-name="$1" --output=/dev/null --wrap true); }
start
kept=$(submit kept)
sleep 1.5 # it is written down; the next one will be later
lost=$(submit lost)
kill -9 "$(cat ctld.pid)"
start
other=$(submit other)
name=$(squeue --noheader --states=all --jobs="$lost" --format=%j)
if [ "$other $name" != "$lost other" ]; then
    echo "changed: sbatch said $lost for 'lost' and $other for 'other'; squeue shows '$name'"
    exit 1
fi
[ "$(squeue --noheader --jobs="$kept" --format=%j)" = kept ]
echo "as seen: job $lost was 'lost' and is 'other'"
