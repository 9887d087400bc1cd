#!/bin/bash
# The first process of the machine of tests/vm/run.sh: mounts what a machine has, runs the command that it finds in the
# folder which that script shares, leaves its exit code there and ends the machine.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm /run/netns /run/vm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
# What is printed is read by programs, not shown by a terminal: no carriage returns, no colours.
stty -onlcr
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 run /run/vm
bash /run/vm/command 2>&1 | cat
echo "${PIPESTATUS[0]}" >/run/vm/status
sync
# Qemu takes it for the end (-no-reboot).
echo b >/proc/sysrq-trigger
sleep 60
