#!/usr/bin/env bash
# Says everything that this machine lacks and that make cannot install itself, before anything starts. The README has
# the same list.
#
#   tests/prerequisites.sh demo         for the laboratory: root, Debian, Rust, kernel, memory, disk
#   tests/prerequisites.sh check        rustfmt and clippy as well
#   tests/prerequisites.sh go           Go as well
#   tests/prerequisites.sh kubernetes   Go as well, and more memory and disk
#   tests/prerequisites.sh test         all of it, for the whole suite
set -uo pipefail
cd "$(dirname "$0")/.."
for_what=${1:-demo}

toolchain=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
kernel=5.11
case "$for_what" in
  test | kubernetes) memory=12 disk=20 ;;
  *) memory=3 disk=6 ;;
esac

missing=()
lack() { missing+=("$*"); }
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # wanted, found

if [ "$(id -u)" != 0 ]; then
  lack "root: the tests make network namespaces and install packages; run make as root (sudo -E make ...)"
fi
if ! command -v apt-get >/dev/null; then
  lack "Debian 12: what else is needed is installed by apt-get; on another system use a container or a machine with it"
fi
command -v git >/dev/null || lack "git: apt-get install git"
if ! rust=$(cargo --version 2>&1); then
  lack "Rust $toolchain: install it with rustup (https://rustup.rs), then
    rustup toolchain install $toolchain --profile minimal --component rustfmt --component clippy
  ($(head -n 1 <<<"$rust"))"
elif [[ $for_what =~ ^(check|test)$ ]] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
  lack "rustfmt and clippy: rustup component add --toolchain $toolchain rustfmt clippy"
fi
if [[ $for_what =~ ^(go|kubernetes|test)$ ]]; then
  go=$(sed -n 's/^go //p' tests/kubernetes/cluster/go.mod)
  found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)
  if [ -z "$found" ]; then
    lack "Go $go or later, which builds Kubernetes and OpenTofu: https://go.dev/doc/install"
  elif ! at_least "$go" "${found#go}"; then
    lack "Go $go or later, which builds Kubernetes and OpenTofu; ${found#go} is installed: https://go.dev/doc/install"
  fi
fi
if ! at_least "$kernel" "$(uname -r | grep -oE '^[0-9]+\.[0-9]+')"; then
  lack "Linux $kernel or newer: $(uname -r) is running"
fi
if ! grep -qw bpf /proc/filesystems; then
  lack "a kernel with BPF (CONFIG_BPF_SYSCALL): $(uname -r) knows no file system of type bpf"
fi
found=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
if [ "$found" -lt "$memory" ]; then
  lack "$memory GiB of free memory: $found GiB are available"
fi
# What is built already does not need to fit once more, here or in caches.
if [ -d target/debug ]; then disk=3; fi
found=$(df --output=avail --block-size=1G . | tail -n 1)
if [ "$found" -lt "$disk" ]; then
  lack "$disk GiB of free disk here: $((found)) GiB are free"
fi

if [ "${#missing[@]}" -gt 0 ]; then
  echo "This machine lacks:" >&2
  printf -- '- %s\n' "${missing[@]}" >&2
  exit 2
fi
system=$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")
if [ "$system" != "debian 12" ]; then
  echo "note: this is $system; the suite runs on debian 12, and packages have other names elsewhere" >&2
fi
if [ "$(nproc)" -lt 2 ]; then
  echo "note: one core only; with two the timings are those of the README" >&2
fi
