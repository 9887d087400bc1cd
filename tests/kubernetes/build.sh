#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster, etcd and helm, into target/kubernetes/bin; as `build.sh oldest` the API server
# of the oldest version that is maintained, into target/kubernetes/oldest. Builds nothing where the files that pin their
# versions are those of the last build; cold, each takes minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$PWD/target/kubernetes/bin
programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl)

oldest=$PWD/target/kubernetes/oldest
# A stamp per folder of programs: a new version of one does not build the other again.
pins() { cat "$@" tests/kubernetes/build.sh | sha256sum; }
pins_bin=$(pins tests/kubernetes/cluster/{go.mod,go.sum,etcd/main.go})
pins_oldest=$(pins tests/kubernetes/oldest/{go.mod,go.sum})
complete() { # folder, stamp, programs
  local program
  for program in "${@:3}"; do [ -x "$1/$program" ] || return 1; done
  [ "$(cat "$1/.pins" 2>/dev/null)" = "$2" ]
}
is_bin() { complete "$bin" "$pins_bin" "${programs[@]}" etcd helm; }
is_oldest() { complete "$oldest" "$pins_oldest" kube-apiserver; }
what=${1:-bin}
case "$what" in
  bin | oldest) if "is_$what"; then exit 0; fi ;;
  *)
    echo "tests/kubernetes/build.sh: say nothing, or oldest; not $what" >&2
    exit 2
    ;;
esac

# What `kubectl version` and a chart's `kubeVersion` go by; a build of the module knows no tag of its own.
kubernetes() { # module, output, programs
  local module=tests/kubernetes/$1 package=k8s.io/component-base/version version major minor flags verbose
  version=$(sed -n 's/^require k8s.io\/kubernetes //p; s/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$module/go.mod")
  IFS=. read -r major minor _ <<<"${version#v}"
  flags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  mkdir -p "$2"
  # On a terminal the names of its 2,500 packages show how it goes.
  [ -t 1 ] && verbose=-v || verbose=
  # Nobody debugs these programs; what the compiler writes for that is a tenth of its time.
  tests/step.sh "build Kubernetes $version" \
    tests/again.sh go build -C "$module" ${verbose:+"$verbose"} -trimpath -gcflags all=-dwarf=false -ldflags "$flags" -o "$2/" "${@:3}"
}
if [ "$what" = bin ]; then
  # One module and one build: helm's and etcd's libraries are those of Kubernetes, compiled once.
  kubernetes cluster "$bin" "${programs[@]/#/k8s.io/kubernetes/cmd/}" helm.sh/helm/v4/cmd/helm ./etcd
  echo "$pins_bin" >"$bin/.pins"
fi
if [ "$what" = oldest ]; then
  kubernetes oldest "$oldest" k8s.io/kubernetes/cmd/kube-apiserver
  echo "$pins_oldest" >"$oldest/.pins"
fi
