#!/usr/bin/env bash
# Runs a command in an emulated machine that has Debian 12's own kernel (6.1), with what a distribution builds as
# modules (IPVS), whatever kernel this machine runs.
#
#   tests/vm/run.sh uname -r
#   tests/vm/run.sh target/debug/deps/nft_contract-… --ignored
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=tests/vm/run.sh cargo test … -- --ignored    a test's binary, by cargo
#
#   VM_LIMIT=SECONDS      ends the machine after that (default: 900)
#   VM_MEMORY=MIB         what the machine has (default: 4096)
#
# The machine sees this checkout and its target folder, under the same path and read-only; the command runs in the
# current folder, as root, without a network, with the variables EGRET_*, RUST_* and CARGO_MANIFEST_*. What it writes
# elsewhere is gone afterwards. The exit code is the command's. tests/setup.sh vm makes the machine's disk (target/vm).
#
# It emulates every instruction, since a machine inside a machine often cannot do else: it starts in 15 to 25 s, tests in
# namespaces take seven times as long as on this machine, and what computes thirty times. No place for a test that judges times.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
vm=$root/target/vm
limit=${VM_LIMIT:-900}

fail() {
  echo "vm: $*" >&2
  exit 2
}

if [ $# = 0 ] || [ "$1" = --help ]; then
  sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"
  exit 2
fi
command -v qemu-system-x86_64 >/dev/null ||
  fail "qemu-system-x86_64 is missing: tests/setup.sh vm installs it (apt-get install qemu-system-x86)"
[ -s "$vm/disk" ] || fail "the machine's disk is missing: tests/setup.sh vm makes it"
case "$PWD/" in
  "$root/"*) ;;
  *) fail "the machine sees nothing outside $root: run it there" ;;
esac

run=$(mktemp -d "$vm/run.XXXXXX")
qemu=
finish() {
  if [ -n "$qemu" ]; then kill "$qemu" 2>/dev/null && wait "$qemu" || true; fi
  rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

{
  printf 'set -e\nmkdir -p %q\n' "$root"
  printf 'mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose checkout %q\n' "$root"
  printf 'cd %q\n' "$PWD"
  for name in $(compgen -e | grep -E '^(EGRET|RUST|CARGO_MANIFEST)_'); do
    printf 'export %s=%q\n' "$name" "${!name}"
  done
  printf '%q ' "$@"
} >"$run/command"

# What is written to the disk goes to TMPDIR and is gone. -cpu max is as fast, and was seen to hang on one machine.
TMPDIR=$run timeout "$limit" qemu-system-x86_64 \
  -machine q35 -accel tcg,thread=multi -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt -smp 2 -m "${VM_MEMORY:-4096}" \
  -nodefaults -no-user-config -display none -no-reboot -serial stdio \
  -kernel "$vm/vmlinuz" -initrd "$vm/initrd" \
  -append "console=ttyS0 root=/dev/vda rw init=/vm.sh panic=-1 mitigations=off quiet loglevel=1" \
  -drive "file=${vm//,/,,}/disk,if=virtio,format=raw,snapshot=on" \
  -virtfs "local,path=${root//,/,,},mount_tag=checkout,security_model=none,readonly=on,multidevs=remap" \
  -virtfs "local,path=${run//,/,,},mount_tag=run,security_model=none,multidevs=remap" \
  </dev/null &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=
if [ "$ended" = 124 ]; then fail "not done after $limit s (VM_LIMIT)"; fi
[ -s "$run/status" ] || fail "the machine ended before its command did (qemu: $ended)"
exit "$(cat "$run/status")"
