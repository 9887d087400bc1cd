#!/usr/bin/env bash
# Checks deploy/helm and deploy/kustomize: lint, values, refusals of the schema, the kustomize base,
# and, against a real API server, every object and every refusal of the admission policies.
#
#   tests/chart.sh            all of it
#   tests/chart.sh files      all but what needs the API server (cargo test -p egret-kubernetes has it)
#   tests/chart.sh update     writes the chart's copies of deploy/crds* and deploy/kustomize/base/{crds,egret}.yaml anew
set -euo pipefail
cd "$(dirname "$0")/.."

bin=target/kubernetes/bin
for tool in helm kubectl; do
  [ -x "$bin/$tool" ] || {
    echo "$bin/$tool is missing: run tests/setup.sh kubernetes" >&2
    exit 2
  }
done
chart=deploy/helm/egret
base=deploy/kustomize/base
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
helm() { "$bin/helm" "$@"; }
render() { helm template egret "$chart" --namespace egret-system "$@"; }
fail() {
  echo "chart: $*" >&2
  exit 1
}

generate() {
  render --no-hooks --set crds.install=false |
    sed -e '/^# Source: /d' -e '/helm.sh\/chart: /d' -e '/app.kubernetes.io\/managed-by: /d' \
      -e '/app.kubernetes.io\/instance: /d' >"$1/egret.yaml"
  for file in deploy/crds/*.yaml; do
    echo "---"
    sed '/^---$/d' "$file"
  done >"$1/crds.yaml"
}

check_values() {
  helm lint --strict --quiet "$chart" || fail "helm lint"
  local set
  for set in crds.install=false crds.keep=false crds.nirmata=true startupTaint.enabled=true \
    admissionPolicies.enabled=false uninstall.enabled=false aggregateRoles.enabled=false \
    apiServer.host=api.example,apiServer.port=6443 'imagePullSecrets={one,two}' \
    'agent.uplinks={eth0,eth1},agent.podLabels.a=b,agent.podAnnotations.a=b' \
    agent.endpointsFrom=InternalIP 'agent.endpoints={10.1.0.0/16},agent.nodeEndpoints.worker-7={10.9.0.7,fd00::/64}' \
    agent.cni.chained.enabled=true agent.cni.chained.remove=true,agent.cni.chained.keepPlugin=true,agent.cni.chained.failClosed=true \
    'controller.extraArgs={--log=debug},controller.affinity.nodeAffinity.x=y' \
    'controller.extraEnv[0].name=A,controller.extraEnv[0].valueFrom.secretKeyRef.name=a,controller.extraEnv[0].valueFrom.secretKeyRef.key=a' \
    controller.avoidNodeLabels=null controller.readAPIServers=false 'controller.avoidNodeLabels.node-role\.kubernetes\.io/egress=' \
    'controller.serviceAccount.annotations.eks\.amazonaws\.com/role-arn=arn:aws:iam::111122223333:role/egret' \
    'controller.aws.region=eu-central-1,controller.aws.endpoint=https://ec2.example,controller.aws.interfaceTags.Egret\ role=a=b' \
    'controller.aws.allowManagedInterfaces=true,controller.aws.maxCallsPerSecond=5,controller.cloudScanInterval=30s' \
    'controller.gcp.endpoint=https://compute.example,controller.gcp.callTimeout=5s' \
    controller.gcp=null controller.gcp.workloadIdentity=null controller.gcp.keySecret=egret-gcp-key \
    'controller.gcp.workloadIdentity.audience=//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c' \
    'cluster.podCIDRs={10.244.0.0/16,fd00:10:244::/56}' metrics.podMonitor.enabled=true \
    "image.digest=sha256:$(printf 'a%.0s' {1..64})" resourceQuota.enabled=true; do
    render --set "$set" >"$work/rendered.yaml" || fail "does not render with $set"
  done
  # Not through a pipe: grep ends at its first match, and helm may still be writing.
  render >"$work/rendered.yaml"
  grep -q 'namespace: default$' "$work/rendered.yaml" || fail "no Role in the namespace default"
  render --set controller.readAPIServers=false >"$work/rendered.yaml"
  if grep -q 'namespace: default$' "$work/rendered.yaml"; then
    fail "something is in the namespace default with controller.readAPIServers=false"
  fi
}

# What is refused, and a part of the sentence.
check_refusals() {
  local set said
  while IFS='|' read -r set said; do
    if render --set "$set" >"$work/out" 2>"$work/said"; then fail "$set is taken"; fi
    grep -qF -- "$said" "$work/said" || fail "$set is refused, but with: $(cat "$work/said")"
  done <<'REFUSED'
image.tagg=1|additional properties 'tagg' not allowed
agent.privileged=true|additional properties 'privileged' not allowed
network.mark=0x1001|'/network/mark'
network.tunnelPort=70000|'/network/tunnelPort'
cluster.podCIDRs={10.0.0.0}|'/cluster/podCIDRs/0'
cluster.maxLease=10|'/cluster/maxLease'
controller.replicas=0|'/controller/replicas'
controller.avoidNodeLabels=a|'/controller/avoidNodeLabels'
controller.cloudScanInterval=5|'/controller/cloudScanInterval'
controller.aws.region=EU|'/controller/aws/region'
controller.aws.endpoint=ec2.example|'/controller/aws/endpoint'
controller.aws.interfaceTags.a=1|'/controller/aws/interfaceTags/a'
controller.aws.maxCallsPerSecond=0|'/controller/aws/maxCallsPerSecond'
controller.aws.callTimeout=10|'/controller/aws/callTimeout'
controller.aws.elasticIPTags.a=b|additional properties 'elasticIPTags' not allowed
controller.gcp.endpoint=compute.example|'/controller/gcp/endpoint'
controller.gcp.callTimeout=10|'/controller/gcp/callTimeout'
controller.gcp.workloadIdentity.audience=//iam.googleapis.com/projects/p|'/controller/gcp/workloadIdentity/audience'
controller.gcp.keySecret=Key|'/controller/gcp/keySecret'
controller.gcp.keySecret=key,controller.gcp.workloadIdentity.audience=//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c|controller.gcp.keySecret, controller.gcp.workloadIdentity.audience: set one of them
agent.terminationGracePeriodSeconds=5|'/agent/terminationGracePeriodSeconds'
agent.seccompProfile.type=None|'/agent/seccompProfile/type'
agent.uplinks={a/b}|'/agent/uplinks/0'
agent.cni.chained.binDir=bin|'/agent/cni/chained/binDir'
log.format=xml|'/log/format'
image.digest=sha256:1|'/image/digest'
apiServer.host=api.example|apiServer.port: set it together with apiServer.host
apiServer.port=6443|apiServer.host: set it together with apiServer.port
REFUSED
}

check_contents() {
  local version file name
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
  render >"$work/default.yaml"
  grep -qx "version: $version" "$chart/Chart.yaml" || fail "version in Chart.yaml is not $version"
  grep -qx "appVersion: $version" "$chart/Chart.yaml" || fail "appVersion in Chart.yaml is not $version"
  grep -q "image: egret.dev/egret:$version$" "$work/default.yaml" ||
    fail "the default image is not the one that tests/image.sh builds, egret.dev/egret:$version"
  for file in deploy/crds/*.yaml; do
    name=$(sed -n '/^metadata:/,/^spec:/s/^  name: //p' "$file")
    grep -qx "  name: $name" "$work/default.yaml" || fail "the chart lacks the CRD of $file"
  done
  # Every value by topic is in the docs' table.
  for name in $(sed -n 's/^\([a-zA-Z]*\):.*/\1/p' "$chart/values.yaml"); do
    grep -q "\`$name" docs/install.md || fail "docs/install.md says nothing of the value $name"
  done
}

# What the controller is told of its credentials, and what is mounted where they are.
check_credentials() {
  local folder=/var/run/secrets/egret.dev/gcp set file volume
  while IFS='|' read -r set file volume; do
    render --set "$set" --show-only templates/controller-deployment.yaml >"$work/rendered.yaml"
    grep -qF "value: $folder/$file" "$work/rendered.yaml" || fail "$set: GOOGLE_APPLICATION_CREDENTIALS is not $folder/$file"
    grep -qF "mountPath: $folder" "$work/rendered.yaml" || fail "$set: nothing is mounted at $folder"
    grep -qF "$volume" "$work/rendered.yaml" || fail "$set: no volume has $volume"
  done <<'CREDENTIALS'
controller.gcp.keySecret=my-key|key.json|secretName: my-key
controller.gcp.workloadIdentity.audience=//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c|credentials.json|name: egret-controller-gcp
CREDENTIALS
  render --show-only templates/controller-deployment.yaml >"$work/rendered.yaml"
  if grep -q GOOGLE_APPLICATION_CREDENTIALS "$work/rendered.yaml"; then fail "there are credentials by default"; fi
}

# Leader and holder do not die together where that can be helped: gateways are avoided, not forbidden.
check_placement() {
  local set said
  while IFS='|' read -r set said; do
    render --set "$set" --show-only templates/controller-deployment.yaml >"$work/rendered.yaml"
    grep -qF -- "$said" "$work/rendered.yaml" || fail "$set: the controllers' placement lacks $said"
    if grep -q requiredDuringScheduling "$work/rendered.yaml"; then fail "$set: a node is forbidden to controllers"; fi
  done <<'PLACEMENT'
controller.replicas=2|- {key: "egret.dev/gateway", operator: NotIn, values: ["true"]}
controller.avoidNodeLabels.role=egress|- {key: "role", operator: NotIn, values: ["egress"]}
controller.avoidNodeLabels=null|topologyKey: kubernetes.io/hostname
PLACEMENT
  for set in controller.avoidNodeLabels=null controller.affinity.podAffinity.x=y; do
    render --set "$set" --show-only templates/controller-deployment.yaml >"$work/rendered.yaml"
    if grep -q 'operator: NotIn' "$work/rendered.yaml"; then fail "$set: gateways are avoided all the same"; fi
  done
}

# The kinds are files of the chart, no links, which an installation from Git may leave out.
check_kinds() {
  local kinds said="$work/said"
  for kinds in crds crds-nirmata; do
    if [ -n "$(find "$chart/files/$kinds" -type l)" ]; then fail "$chart/files/$kinds is a link"; fi
    diff -r "deploy/$kinds" "$chart/files/$kinds" >/dev/null ||
      fail "$chart/files/$kinds is not deploy/$kinds: run tests/chart.sh update"
  done
  cp -r "$chart" "$work/bare" && rm -r "$work/bare/files/crds"
  if helm template egret "$work/bare" >/dev/null 2>"$said"; then fail "a chart without the kinds is taken"; fi
  grep -q 'lacks the kinds of Egret' "$said" || fail "a chart without the kinds is refused with: $(cat "$said")"
  helm template egret "$work/bare" --set crds.install=false >/dev/null || fail "crds.install=false needs the kinds"
}

# A chart of another version, with the same image, starts no pod anew.
check_pods() {
  local pods
  cp -r "$chart" "$work/newer" && sed -i 's/^version: .*/version: 9.9.9/' "$work/newer/Chart.yaml"
  for pods in agent-daemonset controller-deployment; do
    render --show-only "templates/$pods.yaml" | sed -n '/^  template:/,$p' >"$work/this"
    helm template egret "$work/newer" --namespace egret-system --show-only "templates/$pods.yaml" |
      sed -n '/^  template:/,$p' >"$work/next"
    [ -s "$work/this" ] || fail "$pods has no pod template"
    cmp -s "$work/this" "$work/next" || fail "$pods: another version of the chart changes the pods: $(diff "$work/this" "$work/next")"
  done
}

check_kustomize() {
  mkdir "$work/base"
  generate "$work/base"
  for file in egret crds; do
    cmp -s "$work/base/$file.yaml" "$base/$file.yaml" ||
      fail "$base/$file.yaml is stale: run tests/chart.sh update"
  done
  "$bin/kubectl" kustomize "$base" >"$work/kustomized.yaml" || fail "kustomize build"
}

if [ "${1:-}" = update ]; then
  for kinds in crds crds-nirmata; do
    rm -rf "$chart/files/$kinds"
    cp -r "deploy/$kinds" "$chart/files/"
  done
  generate "$base"
  exit
fi
check_values
check_refusals
check_contents
check_credentials
check_placement
check_kinds
check_pods
check_kustomize
echo "chart: lint, values, refusals, contents, credentials, placement, kinds, pods, kustomize: ok"
if [ "${1:-}" != files ]; then
  cargo test --locked -p egret-kubernetes --test chart
fi
