#!/usr/bin/env bash
# again.sh COMMAND…: runs a command that downloads, up to three times; what it has by then it does not fetch again.
set -euo pipefail
for pause in 5 20; do
  if "$@"; then exit 0; fi
  echo "failed; once more in $pause s: $1" >&2
  sleep "$pause"
done
exec "$@"
