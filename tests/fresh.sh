#!/usr/bin/env bash
# Runs a command of the project in a pristine Debian 12, as a newcomer would: only what the README names as
# prerequisites is there (make, git, ca-certificates, Rust; Go if asked for), and a fresh clone of what is committed. A run that is
# green on a machine where somebody once installed something by hand proves nothing about another machine.
#
#   tests/fresh.sh make demo                  the checkout around the current folder, as committed
#   FRESH_GO=1 tests/fresh.sh make test       with this machine's Go as well
#
#   FRESH_ROOT=DIR        where the root lives (default: egret-fresh in /var/tmp); made anew at every run
#   FRESH_KEEP=1          keeps the root and what was built in it: the next run with FRESH_KEEP finds it warm
#   FRESH_CACHES=DIR      keeps downloads there (cargo's registry, Go's modules, pip's wheels)
#   FRESH_SETTINGS=LIST   files, separated by colons, that say how this machine reaches its registries
#
# Needs root. The command has a mount namespace of its own whose root is the pristine one (pivot_root, so that
# namespaces and containers work inside as on a machine). Control groups, devices and the kernel are this machine's:
# do not run two at a time. The clone's path has a space in it, /run is empty and no BPF file system is mounted, as on
# a machine that has just booted without systemd.
set -euo pipefail

# Debian 12.
suite=bookworm
# In the pristine root.
home=/root
folder="$home/a clone/egret"

fail() {
  echo "fresh: $*" >&2
  exit 2
}

# A line, so that a long step is not silent.
step() {
  echo "fresh: $*" >&2
}

make_root() { # root
  local root=$1 sources=() file program
  # From where this machine has its packages, where it is of the same release.
  if [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ]; then
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
      if [ -s "$file" ]; then sources+=("$file"); fi
    done
  fi
  step "a pristine Debian ($suite) in $root"
  mmdebstrap --quiet --mode=root --variant=minbase --include=make,git,ca-certificates "$suite" "$root" \
    "${sources[@]}"
  # The same certificates: a proxy's may be among them.
  cp -a /etc/ssl/certs "$root/etc/ssl/"
  mkdir -p "$root$home/.rustup" "$root$home/.cargo/bin" "$root/usr/local/go"
  # What rustup installs, and nothing that cargo installed for somebody.
  for program in rustup cargo cargo-clippy cargo-fmt clippy-driver rustc rustdoc rustfmt; do
    cp -a "${CARGO_HOME:-$HOME/.cargo}/bin/$program" "$root$home/.cargo/bin/"
  done
}

copy_settings() { # root
  local root=$1 file settings
  settings=${FRESH_SETTINGS:-/etc/resolv.conf:/etc/hosts:/etc/pip.conf:$HOME/.npmrc:$HOME/.cargo/config.toml:$HOME/.config/go/env:/etc/apt/apt.conf.d}
  while IFS= read -r -d : file; do
    if [ -d "$file" ]; then
      # Of apt's many files those that say how to fetch; the rest is how somebody set up this machine.
      mkdir -p "$root$file"
      { grep -lrs 'Acquire::' "$file" || true; } | xargs -r cp -Lt "$root$file/"
    elif [ -s "$file" ]; then
      # What is in this user's home is in root's home there.
      local to=${file/#"$HOME"/$home}
      mkdir -p "$root$(dirname "$to")" && cp -L "$file" "$root$to"
    fi
  done <<<"$settings:"
}

clone() { # repository, root
  local repository=$1 folder=$2$folder
  if [ -d "$folder/.git" ]; then
    git -C "$folder" fetch -q "$repository" HEAD
    git -C "$folder" checkout -q --force --detach FETCH_HEAD
  else
    mkdir -p "$(dirname "$folder")"
    git clone -q "$repository" "$folder"
  fi
  step "the commit $(git -C "$folder" log -1 --format='%h %s')"
}

outside() {
  if [ $# = 0 ] || [ "$1" = --help ]; then
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"
    exit 2
  fi
  [ "$(id -u)" = 0 ] || fail "it makes a root file system and mounts: run it as root (sudo -E tests/fresh.sh ...)"
  command -v rustup >/dev/null || fail "rustup is missing: install Rust with it (https://rustup.rs)"
  if [ -n "${FRESH_GO:-}" ] && ! command -v go >/dev/null; then fail "Go is missing: https://go.dev/doc/install"; fi
  if ! command -v mmdebstrap >/dev/null; then
    step "apt-get install mmdebstrap"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
  fi
  local repository root
  repository=$(git rev-parse --show-toplevel)
  root=$(realpath -m "${FRESH_ROOT:-/var/tmp/egret-fresh}")
  if [ -n "${FRESH_CACHES:-}" ]; then FRESH_CACHES=$(realpath -m "$FRESH_CACHES"); fi
  if findmnt -rn -o TARGET | grep "^$root/" >/dev/null; then fail "$root has mounts in it: unmount them first"; fi
  if [ -z "${FRESH_KEEP:-}" ] || [ ! -d "$root$home/.cargo" ]; then
    rm -rf --one-file-system "$root"
    make_root "$root"
  fi
  copy_settings "$root"
  clone "$repository" "$root"
  step "runs in there: $*"
  local status=0
  FRESH_INSIDE=$root unshare --mount --propagation private -- "$0" "$@" || status=$?
  if [ -z "${FRESH_KEEP:-}" ]; then
    # Once more where something was still being written.
    rm -rf --one-file-system "$root" || rm -rf --one-file-system "$root" || step "not all of $root could be removed"
  fi
  exit "$status"
}

mount_all() {
  mount --rbind /dev dev
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount --rbind /sys/fs/cgroup sys/fs/cgroup
  mount -t tmpfs tmpfs run
  mount --bind "${RUSTUP_HOME:-$HOME/.rustup}" ".$home/.rustup"
  if [ -n "${FRESH_GO:-}" ]; then mount --bind "$(go env GOROOT)" usr/local/go; fi
  local cache
  if [ -n "${FRESH_CACHES:-}" ]; then
    for cache in .cargo/registry go/pkg/mod .cache/pip; do
      mkdir -p "$FRESH_CACHES/$cache" ".$home/$cache"
      mount --bind "$FRESH_CACHES/$cache" ".$home/$cache"
    done
  fi
}

inside() {
  local root=$FRESH_INSIDE passed
  mount --bind "$root" "$root"
  cd "$root"
  mount_all
  # How this machine reaches its registries, and what CI says of itself.
  mapfile -t passed < <(env | grep -E '^(GOPROXY|GOSUMDB|GONOSUMDB|GOFLAGS|GOTOOLCHAIN|RUSTUP_AUTO_INSTALL|npm_config_|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY|SSL_CERT|CI=|EGRET_SOAK)' || true)
  mkdir -p .outside
  pivot_root . .outside
  umount -l /.outside
  rmdir /.outside
  exec /usr/bin/env -i HOME="$home" TERM="${TERM:-dumb}" \
    PATH="$home/.cargo/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin" "${passed[@]}" \
    /bin/bash -c 'cd "$0" && exec "$@"' "$folder" "$@"
}

if [ -n "${FRESH_INSIDE:-}" ]; then inside "$@"; else outside "$@"; fi
