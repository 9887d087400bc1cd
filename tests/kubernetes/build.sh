#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster, and helm, into target/kubernetes/bin. Builds nothing where the files that
# pin their versions are those of the last build; cold, it takes five minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

helm=v4.3.1
bin=$PWD/target/kubernetes/bin
programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl)

pins=$(cat tests/kubernetes/cluster/{go.mod,go.sum,etcd.go} <(echo "$helm") | sha256sum)
complete() {
  local program
  for program in "${programs[@]}" etcd helm; do [ -x "$bin/$program" ] || return 1; done
}
if complete && [ "$(cat "$bin/.pins" 2>/dev/null)" = "$pins" ]; then exit 0; fi

if ! command -v go >/dev/null; then
  need=$(sed -n 's/^go //p' tests/kubernetes/cluster/go.mod)
  echo "Go $need or later is missing: install it (https://go.dev/doc/install), then run make again." >&2
  exit 2
fi
mkdir -p "$bin"
module=tests/kubernetes/cluster
# What `kubectl version` and a chart's `kubeVersion` go by; a build of the module knows no tag of its own.
version=$(sed -n 's/^require k8s.io\/kubernetes //p; s/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$module/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
package=k8s.io/component-base/version
flags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
tests/step.sh "build Kubernetes $version" \
  go build -C "$module" -trimpath -ldflags "$flags" -o "$bin/" "${programs[@]/#/k8s.io/kubernetes/cmd/}"
tests/step.sh "build etcd" go build -C "$module" -trimpath -ldflags '-s -w' -o "$bin/etcd" .
tests/step.sh "build helm $helm" env GOBIN="$bin" go install -trimpath -ldflags '-s -w' "helm.sh/helm/v4/cmd/helm@$helm"
echo "$pins" > "$bin/.pins"
