#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster, and helm, into target/kubernetes/bin; as `build.sh oldest` the API server
# of the oldest version that is maintained, into target/kubernetes/oldest. Builds nothing where the files that pin their
# versions are those of the last build; cold, each takes minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

helm=v4.3.1
bin=$PWD/target/kubernetes/bin
programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl)

oldest=$PWD/target/kubernetes/oldest
# A stamp per folder of programs: a new version of one does not build the other again.
pins() { cat "$@" tests/kubernetes/build.sh | sha256sum; }
pins_bin=$(pins tests/kubernetes/cluster/{go.mod,go.sum,etcd.go})
pins_oldest=$(pins tests/kubernetes/oldest/{go.mod,go.sum})
complete() { # folder, stamp, programs
  local program
  for program in "${@:3}"; do [ -x "$1/$program" ] || return 1; done
  [ "$(cat "$1/.pins" 2>/dev/null)" = "$2" ]
}
is_bin() { complete "$bin" "$pins_bin" "${programs[@]}" etcd helm; }
is_oldest() { complete "$oldest" "$pins_oldest" kube-apiserver; }
what=${1:-bin}
if "is_$what"; then exit 0; fi

if ! command -v go >/dev/null; then
  need=$(sed -n 's/^go //p' tests/kubernetes/cluster/go.mod)
  echo "Go $need or later is missing: install it (https://go.dev/doc/install), then run make again." >&2
  exit 2
fi
# What `kubectl version` and a chart's `kubeVersion` go by; a build of the module knows no tag of its own.
kubernetes() { # module, output, programs
  local module=tests/kubernetes/$1 package=k8s.io/component-base/version version major minor flags
  version=$(sed -n 's/^require k8s.io\/kubernetes //p; s/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$module/go.mod")
  IFS=. read -r major minor _ <<<"${version#v}"
  flags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  mkdir -p "$2"
  tests/step.sh "build Kubernetes $version" \
    go build -C "$module" -trimpath -ldflags "$flags" -o "$2/" "${@:3}"
}
if [ "$what" = bin ]; then
  kubernetes cluster "$bin" "${programs[@]/#/k8s.io/kubernetes/cmd/}"
  tests/step.sh "build etcd" go build -C tests/kubernetes/cluster -trimpath -ldflags '-s -w' -o "$bin/etcd" .
  tests/step.sh "build helm $helm" \
    env GOBIN="$bin" go install -trimpath -ldflags '-s -w' "helm.sh/helm/v4/cmd/helm@$helm"
  echo "$pins_bin" >"$bin/.pins"
fi
if [ "$what" = oldest ]; then
  kubernetes oldest "$oldest" k8s.io/kubernetes/cmd/kube-apiserver
  echo "$pins_oldest" >"$oldest/.pins"
fi
