#!/usr/bin/env bash
# Runs a long step. On a terminal its output is shown; in a log one line says what it took, and the
# output appears only where the step failed.
set -uo pipefail
name=$1
shift
if [ -t 1 ]; then
  echo "── $name"
  exec "$@"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
begin=$(date +%s)
if "$@" >"$log" 2>&1; then
  echo "$name: ok, $(($(date +%s) - begin)) s"
else
  status=$?
  cat "$log"
  echo "$name: failed ($status) after $(($(date +%s) - begin)) s: $*"
  exit "$status"
fi
