#!/usr/bin/env bash
# Builds Kubernetes' own end-to-end suite into target/conformance: e2e.test, with the specs of the network alone, and
# images.tar, an archive of every image that they name, since none can be pulled: Debian's tools and their own server,
# agnhost. Builds nothing where what it is made of is that of the last build.
set -euo pipefail
cd "$(dirname "$0")/../../.."
module=tests/kubernetes/conformance

# The flags of tests/kubernetes/build.sh, which has compiled most of its packages then.
compile() { # test -c or build, output, packages
  tests/again.sh go "$1" -C "$module" ${go_flags:+$go_flags} -trimpath -gcflags all=-dwarf=false -ldflags '-s -w' -o "${@:2}"
}
programs() {
  mkdir "$work/bin"
  go_flags=-c compile test "$work/e2e.test" .
  compile build "$work/bin/" k8s.io/kubernetes/test/images/{agnhost,regression-issue-74839}
  compile build "$work/bin/coredns" ./dns
}

# What the specs call in their pods.
tools=bash,bind9-dnsutils,ca-certificates,conntrack,curl,hostname,iproute2,iputils-ping,netcat-openbsd,wget
root() {
  local file suite sources=() kubernetes
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
    if [ -s "$file" ]; then sources+=("$file"); fi
  done
  mmdebstrap --quiet --mode=root --variant=essential --include="$tools" "$suite" "$work/root" "${sources[@]}"
  rm -rf "$work"/root/{usr/share/{doc,man,locale,info},var/{lib/apt,cache,log},dev}
  kubernetes=$(go list -C "$module" -m -f '{{.Dir}}' k8s.io/kubernetes)
  cp "$work"/bin/* "$kubernetes"/test/images/agnhost/porter/localhost.* "$work/root/"
  ln -s agnhost "$work/root/agnhost-2"
  mkdir -p "$work"/root/{dev,uploads}
  tar -C "$work/root" --sort=name -cf "$work/layer.tar" .
}

# An archive as `docker save` writes it: two images of one layer, each under every name that the suite has for it.
archive() {
  local architecture path layer image names config configs=() entries=()
  architecture=$(dpkg --print-architecture)
  path=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
  for image in agnhost regression-issue-74839; do
    config=$image.json
    printf '{"architecture":"%s","os":"linux","config":{"Env":["%s"],"Entrypoint":["/%s"],"Cmd":["pause"]},%s}' \
      "$architecture" "$path" "$image" "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$layer\"]}" >"$work/$config"
    names=$image
    # No spec needs more of these than that they run, or than Debian's tools.
    if [ "$image" = agnhost ]; then names+='|busybox|distroless-iptables|glibc-dns-testing|nginx|pause'; fi
    # And one of our own, for dns.yaml.
    names=$({ echo "localhost/$image:1" && "$work/e2e.test" --list-images 2>/dev/null | grep -E "/($names):"; } |
      grep -v authenticated | sed 's/.*/"&"/' | paste -sd ,)
    configs+=("$config")
    entries+=("{\"Config\":\"$config\",\"RepoTags\":[$names],\"Layers\":[\"layer.tar\"]}")
  done
  (IFS=, && echo "[${entries[*]}]") >"$work/manifest.json"
  tar -C "$work" -cf "$work/images.tar" manifest.json "${configs[@]}" layer.tar
}

# The steps, by this script itself.
work=${2:-}
case "${1:-}" in
  programs) programs && exit ;;
  images) root && archive && exit ;;
esac

version() { sed -n 's/.*\bk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "tests/kubernetes/$1/go.mod"; }
if [ "$(version conformance)" != "$(version cluster)" ]; then
  echo "$module/go.mod: Kubernetes $(version conformance) tests a cluster of $(version cluster): make them one version" >&2
  exit 1
fi

out=$PWD/target/conformance
pins=$(cat "$module"/{go.mod,go.sum,suite_test.go,dns/main.go,build.sh} | sha256sum)
if [ -x "$out/e2e.test" ] && [ -s "$out/images.tar" ] && [ "$(cat "$out/.pins" 2>/dev/null)" = "$pins" ]; then exit 0; fi
mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
tests/step.sh "build Kubernetes' own suite" "$module/build.sh" programs "$work"
tests/step.sh "images of Kubernetes' own suite" "$module/build.sh" images "$work"
mv "$work"/{e2e.test,images.tar} "$out/"
echo "$pins" >"$out/.pins"
