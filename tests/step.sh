#!/usr/bin/env bash
# Runs a long step. On a terminal its output is shown; in a log one line says what it took, and the
# output appears only where the step failed. Where EGRET_TIMES names a file, a line there says what it took.
set -uo pipefail
name=$1
shift
begin=$(date +%s)
if [ -t 1 ]; then
  echo "── $name"
  status=0
  "$@" || status=$?
else
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  status=0
  "$@" >"$log" 2>&1 || status=$?
fi
seconds=$(($(date +%s) - begin))
outcome=ok
[ "$status" = 0 ] || outcome=FAILED
if [ -n "${EGRET_TIMES:-}" ]; then
  printf 'step\t%s\t%d\t1\t%s\n' "$name" "$seconds" "$outcome" >>"$EGRET_TIMES"
fi
if [ "$status" != 0 ]; then
  [ -t 1 ] || cat "$log"
  echo "$name: failed ($status) after $seconds s: $*"
  exit "$status"
fi
[ -t 1 ] || echo "$name: ok, $seconds s"
