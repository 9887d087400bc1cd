#!/usr/bin/env bash
# Builds the container image from the Dockerfile, without a daemon: a root file system of Debian
# packages, the binary, buildah. Writes target/image/egret.tar (docker-archive) and says its size.
#
#   EGRET_PROFILE=dev    the unoptimized binary of `make build` (default: release)
#   EGRET_BINARY=FILE    this binary instead
#   EGRET_CNI_BINARY=FILE  this CNI plugin, linked statically, instead
#   EGRET_TAG=TAG        another tag; the archive is target/image/egret-TAG.tar then
#   EGRET_ARCH=arm64     another architecture; needs EGRET_BINARY, EGRET_CNI_BINARY of it
#   EGRET_ROOTFS=new     fetch the packages again, though their list has not changed
set -euo pipefail
cd "$(dirname "$0")/.."

limit_mb=250
# nft: the SNAT back end. iptables: its -save commands find others that use Egret's mark. ip, ss: for
# a person with `kubectl exec`. libgcc: of the binary.
packages=nftables,iptables,iproute2,ca-certificates,libgcc-s1

for tool in mmdebstrap buildah strip; do
  command -v "$tool" >/dev/null || {
    echo "the tool $tool is missing: apt-get install mmdebstrap buildah binutils" >&2
    exit 2
  }
done
if [ "$(id -u)" != 0 ]; then
  echo "files of the image belong to root: run this as root (sudo -E make image)" >&2
  exit 2
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
tag=${EGRET_TAG:-$version}
name=egret.dev/egret:$tag
arch=${EGRET_ARCH:-$(dpkg --print-architecture)}
archive=target/image/egret${EGRET_TAG:+-$EGRET_TAG}.tar
folder=target/image/$arch
mkdir -p "$folder"

binary() {
  if [ -n "${EGRET_BINARY:-}" ]; then
    echo "$EGRET_BINARY"
    return
  fi
  local profile=${EGRET_PROFILE:-release}
  tests/step.sh "build of egret ($profile)" env -u RUSTC_WORKSPACE_WRAPPER cargo build --locked --profile "$profile" -p egret \
    --features egret/aws,egret/gcp >&2
  echo "${CARGO_TARGET_DIR:-target}/${profile/dev/debug}/egret"
}

# The CNI plugin runs on the host, whose C library is not known: linked statically.
plugin() {
  if [ -n "${EGRET_CNI_BINARY:-}" ]; then
    echo "$EGRET_CNI_BINARY"
    return
  fi
  tests/step.sh "build of egret-cni" env -u RUSTC_WORKSPACE_WRAPPER cargo rustc --locked --release -p egret-cni --bin egret-cni -- \
    -C target-feature=+crt-static -C strip=debuginfo >&2
  echo "${CARGO_TARGET_DIR:-target}/release/egret-cni"
}

# The packages' files without running any of their scripts: neither a shell nor dpkg is needed in
# there. What is installed is kept where scanners of images look (status.d).
rootfs() {
  local root=$1 stamp=$folder/rootfs.stamp want suite sources=()
  want=$(sha256sum tests/image.sh)
  if [ "${EGRET_ROOTFS:-}" != new ] && [ -d "$root" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
    return
  fi
  rm -rf "$root" "$stamp"
  # The binary was linked against this host's C library: the same release, from the same mirrors.
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
    if [ -s "$file" ]; then sources+=("$file"); fi
  done
  tests/step.sh "root file system ($arch)" mmdebstrap --quiet --mode=root --variant=extract \
    --architectures="$arch" --include="$packages" --extract-hook='tests/image.sh packages "$1"' \
    "$suite" "$root" "${sources[@]}"
  trim "$root"
  echo "$want" >"$stamp"
}

# Called by mmdebstrap, while the downloaded packages are there.
record_packages() {
  local deb package
  mkdir -p "$1/var/lib/dpkg/status.d"
  for deb in "$1"/var/cache/apt/archives/*.deb; do
    package=$(dpkg-deb -f "$deb" Package)
    { dpkg-deb -f "$deb" && echo "Status: install ok installed"; } >"$1/var/lib/dpkg/status.d/$package"
  done
}

trim() {
  local root=$1
  (
    cd "$root"
    cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
    # Licences stay.
    find usr/share/doc -type f ! -name copyright -delete
    rm -rf usr/share/{man,locale,info,lintian,bug,debconf,perl5,pixmaps,bash-completion,ca-certificates} \
      usr/bin/{debconf*,openssl,c_rehash,routel} usr/sbin/{dpkg-*,*-apply,update-ca-certificates,arpd,genl} \
      sbin/{capsh,getcap,getpcaps,setcap,dcb,devlink,rtacct,rtmon,tipc,vdpa} usr/lib/*/gconv \
      etc/{debconf.conf,apt,dpkg,resolv.conf,hostname,fstab} var/lib/apt var/cache var/log
    mkdir -p dev proc run sys tmp var/lib/egret
    chmod 1777 tmp
    ln -sfn /run var/run
    printf 'root:x:0:0:root:/:/nologin\negret:x:65532:65532:egret:/:/nologin\n' >etc/passwd
    printf 'root:x:0:\negret:x:65532:\n' >etc/group
    printf 'passwd: files\ngroup: files\nhosts: files dns\n' >etc/nsswitch.conf
  )
}

# What the documents promise, looked at in the files that go into the image.
check() {
  local root=$1/root found
  cp -a "$folder/rootfs" "$root"
  cp -a "$folder/bin/." "$root/usr/bin/"
  found=$(find "$root" -xdev \( -perm /6000 -o -name 'sh' -o -name 'bash' -o -name 'dash' -o -name 'busybox' \
    -o -name 'dpkg' -o -name 'apt*' \) -type f)
  if [ -n "$found" ]; then
    echo "the image has a shell, a package manager or files with setuid: $found" >&2
    return 1
  fi
  # Programs of another architecture cannot be run here.
  if [ "$arch" = "$(dpkg --print-architecture)" ]; then
    chroot "$root" /usr/bin/egret --version
    chroot "$root" /usr/bin/kubectl-egret --version
    chroot "$root" /usr/sbin/nft --version
    # Of EC2, whose certificates are those of a public authority.
    grep -q -- 'BEGIN CERTIFICATE' "$root/etc/ssl/certs/ca-certificates.crt"
    # With nothing around it.
    mkdir "$root/alone"
    cp "$root/usr/bin/egret-cni" "$root/alone/"
    echo '{}' | CNI_COMMAND=VERSION chroot "$root/alone" /egret-cni
    rm -r "$root/alone"
    chroot "$root" /usr/sbin/iptables-nft-save --version
    chroot "$root" /bin/ip -V
  fi
}

image() {
  local storage
  storage=$(mktemp -d "${TMPDIR:-/tmp}/egret-image.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$storage'" EXIT
  tests/step.sh "contents of the image" "$0" check "$storage"
  local store=(--root "$storage/root" --runroot "$storage/run" --storage-driver vfs)
  # The commit's time in place of now: the same commit gives the same layers.
  tests/step.sh "image $name" buildah "${store[@]}" bud --isolation chroot --format docker \
    --platform "linux/$arch" --timestamp "$(git log -1 --format=%ct)" \
    --build-arg VERSION="$tag" --build-arg REVISION="$(git rev-parse HEAD)" -t "$name" -f Dockerfile .
  rm -f "$archive"
  tests/step.sh "archive $archive" buildah "${store[@]}" push -q "$name" "docker-archive:$archive:$name"
}

case "${1:-}" in
  packages)
    record_packages "$2"
    exit
    ;;
  check)
    check "$2"
    exit
    ;;
esac
binary=$(binary)
rootfs "$folder/rootfs"
rm -rf "$folder/bin"
mkdir -p "$folder/bin"
# Names stay, for backtraces; the rest of the debug information is most of the file.
if ! strip --strip-debug -o "$folder/bin/egret" "$binary" 2>/dev/null; then
  [ "$arch" != "$(dpkg --print-architecture)" ] || exit 1
  cp "$binary" "$folder/bin/egret"
fi
ln -s egret "$folder/bin/kubectl-egret"
cp "$(plugin)" "$folder/bin/egret-cni"
image
# Layers in the archive are not compressed.
size=$(($(stat -c %s "$archive") / 1000000))
echo "$archive: $name, linux/$arch, $size MB uncompressed (limit $limit_mb)"
[ "$size" -lt "$limit_mb" ]
