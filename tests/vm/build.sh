#!/usr/bin/env bash
# Makes the disk of the machine that tests/vm/run.sh runs, with the kernel of Debian 12 and what the project's tests call,
# in target/vm. Makes nothing where what says how is that of the last build; it takes two minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
vm=$PWD/target/vm
suite=bookworm

fail() {
  echo "vm: $*" >&2
  exit 2
}

[ "$(uname -m)" = x86_64 ] || fail "the machine is an x86_64 as the binaries are, and this one is not: run it on such a machine"
[ "$(id -u)" = 0 ] || fail "it makes a root file system: run it as root (sudo -E make vm)"
for program in mmdebstrap mkfs.ext4; do
  command -v "$program" >/dev/null ||
    fail "$program is missing: tests/setup.sh vm installs it (apt-get install mmdebstrap e2fsprogs)"
done
pins=$(cat tests/vm/build.sh tests/vm/init.sh | sha256sum)
if [ "$(cat "$vm/.pins" 2>/dev/null)" = "$pins" ]; then exit 0; fi

# What tests/setup.sh installs for the laboratory, but for what compiles and draws; ipvsadm is kube-proxy's part in IPVS mode.
packages=(linux-image-amd64 nftables iptables ipset iproute2 iputils-ping conntrack ethtool procps util-linux kmod
  python3 ipvsadm)
root=$vm/root
rm -rf --one-file-system "$root"
mkdir -p "$vm"
trap 'rm -rf --one-file-system "$root" "$vm/disk.new"' EXIT
# From where this machine has its packages, where it is of the same release.
sources=()
if [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ]; then
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    if [ -s "$file" ]; then sources+=("$file"); fi
  done
fi
tests/step.sh "a Debian ($suite) with its kernel, for the emulated machine" \
  mmdebstrap --quiet --mode=root --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" \
  "$suite" "$root" "${sources[@]}"
mv "$root"/boot/vmlinuz-* "$vm/vmlinuz"
mv "$root"/boot/initrd.img-* "$vm/initrd"
cp tests/vm/init.sh "$root/vm.sh"
# It holds what is installed and some room; only what is written takes space here.
truncate --size 3G "$vm/disk.new"
mkfs.ext4 -q -d "$root" "$vm/disk.new"
mv "$vm/disk.new" "$vm/disk"
echo "$pins" >"$vm/.pins"
