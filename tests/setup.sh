#!/usr/bin/env bash
# Installs what building and testing need on Debian 12, and nothing that is already there.
#   tests/setup.sh              for the build and the laboratory
#   tests/setup.sh unit         and what tests of single crates need
#   tests/setup.sh check        the same, with rustfmt and clippy
#   tests/setup.sh licences     and cargo-deny
#   tests/setup.sh kubernetes   and what a real cluster is made of, in target/kubernetes/bin
#   tests/setup.sh oldest       and the oldest API server that is maintained, in target/kubernetes/oldest
#   tests/setup.sh conformance  and Kubernetes' own specs of the network, in target/conformance
#   tests/setup.sh vm           and the emulated machine with Debian's own kernel, in target/vm
#   tests/setup.sh image        and what makes the container image
#   tests/setup.sh aws          and the EC2 double's Python, in target/aws/venv
#   tests/setup.sh gcp          and the Compute Engine double's Python, in target/gcp/venv
#   tests/setup.sh terraform    only what the checks of the Terraform modules need, in target/terraform
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  check | kubernetes) tests/prerequisites.sh "$1" ;;
  oldest | conformance) tests/prerequisites.sh kubernetes ;;
  terraform) tests/prerequisites.sh go ;;
  *) tests/prerequisites.sh demo ;;
esac
# The build lints what it compiles.
if [ -n "${RUSTC_WORKSPACE_WRAPPER:-}" ]; then tests/prerequisites.sh check; fi
if [ "${1:-}" = terraform ]; then exec tests/terraform/setup.sh; fi

# What each is for: clang + headers compile the BPF programs; nft, ip, ethtool, conntrack are what the datapath and
# its tests look at; systemd boots what has Egret's unit; rsvg-convert makes the picture of the demo.
packages=(clang libbpf-dev linux-libc-dev gcc libc6-dev nftables iptables iproute2 iputils-ping
  conntrack ethtool procps util-linux systemd python3 librsvg2-bin fonts-dejavu-core)
# A worker is containerd, runc and the CNI's plugins; busybox is in its pods; buildah and mmdebstrap make the image.
if [ "${1:-}" = kubernetes ]; then
  packages+=(containerd runc containernetworking-plugins busybox-static openssl curl ipset buildah mmdebstrap
    ca-certificates)
fi
# The machine is qemu's, and its disk a Debian.
if [ "${1:-}" = vm ]; then
  packages+=(qemu-system-x86 mmdebstrap e2fsprogs)
fi
if [ "${1:-}" = image ]; then
  packages+=(buildah mmdebstrap binutils ca-certificates)
fi
# The module of a cloud's double; both doubles are made alike.
double=
case "${1:-}" in
  aws) double=egret_ec2 ;;
  gcp) double=egret_gce ;;
esac
if [ -n "$double" ]; then
  packages+=(python3-venv)
fi
# The BPF programs are compiled with the headers of another architecture, too.
if [ "${1:-}" = unit ]; then
  case "$(dpkg --print-architecture)" in
    amd64) packages+=(linux-libc-dev-arm64-cross) ;;
    *) packages+=(linux-libc-dev-amd64-cross) ;;
  esac
fi
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  tests/step.sh "apt-get update" apt-get update -qq
  tests/step.sh "install ${missing[*]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# promtool judges the metrics. Out of its package alone: installed, that would run a Prometheus on this machine.
promtool=target/promtool
if [ "${1:-}" = unit ] && [ ! -x "$promtool/promtool" ]; then
  mkdir -p "$promtool"
  tests/step.sh "unpack promtool" bash -c '
    set -e
    cd "$1"
    apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
    dpkg -x prometheus_*.deb package
    mv package/usr/bin/promtool .
    rm -r package prometheus_*.deb' promtool "$promtool"
fi

# Unoptimized and without debug information, it builds in a third of the time.
deny=0.20.2
if [ "${1:-}" = licences ] && [ "$(cargo deny --version 2>/dev/null)" != "cargo-deny $deny" ]; then
  tests/step.sh "install cargo-deny $deny" \
    env CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --force --version "$deny" cargo-deny
fi

case "${1:-}" in
  kubernetes) tests/kubernetes/build.sh ;;
  oldest) tests/kubernetes/build.sh oldest ;;
  conformance) tests/kubernetes/conformance/build.sh ;;
  vm) tests/vm/build.sh ;;
esac

# The versions are exact, so what is installed is right as long as the list has not changed.
if [ -n "$double" ]; then
  venv=target/$1/venv
  list=tests/$1/double/requirements.txt
  if ! cmp -s "$list" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    tests/step.sh "install the Python of tests/$1/double" \
      "$venv/bin/pip" install --disable-pip-version-check --no-deps --requirement "$list"
    # `python -m egret_ec2` or `egret_gce` from anywhere.
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    realpath --relative-to="$site" "tests/$1/double" >"$site/$double.pth"
    cp "$list" "$venv/requirements.txt"
  fi
fi
