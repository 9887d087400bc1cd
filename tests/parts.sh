#!/usr/bin/env bash
# Runs targets of make one after another, stops at the first that fails, and says at the end what each took, with the
# longest steps and scenarios, every scenario that ran more than once, and last what failed: who reads only the end of a
# long log has the reason.
#
#   tests/parts.sh check unit lab
#
# Each part, step and scenario is a line of EGRET_TIMES (default target/times.tsv), made anew: kind, name, seconds, how often
# it ran, outcome, why it failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export EGRET_TIMES=${EGRET_TIMES:-$PWD/target/times.tsv}
longest=12

table() {
  awk -F '\t' -v longest="$longest" -v all="$1" '
    function line(name, seconds, note) { printf "  %-60s %6d s  %s\n", substr(name, 1, 60), seconds, note }
    $1 == "part" { parts[++count] = $0; total += $3; if ($5 != "ok") failed++; next }
    { others[++rest] = sprintf("%012.3f\t%s", $3, $0); if ($4 > 1) again[++repeated] = $0
      if ($5 != "ok") bad[++wrong] = $0 }
    END {
      print "\nWhat each part took"
      for (i = 1; i <= count; i++) { split(parts[i], f, "\t"); line(f[2], f[3], f[5] == "ok" ? "" : f[5]) }
      line("in all", total, "")
      print "\nThe longest steps and scenarios"
      for (i = 2; i <= rest; i++) {
        value = others[i]
        for (j = i - 1; j > 0 && others[j] < value; j--) others[j + 1] = others[j]
        others[j + 1] = value
      }
      for (i = 1; i <= rest && i <= longest; i++) {
        split(others[i], f, "\t"); line(f[2] ": " f[3], f[4], f[6] == "ok" ? "" : f[6])
      }
      print "\nRun more than once, after a stall of the machine or a failure beside others: " (repeated ? "" : "none")
      for (i = 1; i <= repeated; i++) {
        split(again[i], f, "\t"); printf "  %s: %s: %d s, %d times, %s%s\n", f[1], f[2], f[3], f[4], f[5],
          (f[5] == "ok" && f[6] != "" ? "; first: " substr(f[6], 1, 400) : "")
      }
      if (count < all) printf "\nNot run after that: %d of %d parts\n", all - count, all
      if (wrong) print "\nFailed"
      for (i = 1; i <= wrong; i++) {
        split(bad[i], f, "\t"); printf "  %s: %s: %s\n", f[1], f[2], f[6] == "" ? "its output is above" : substr(f[6], 1, 400)
      }
      printf "\nparts: %d passed, %d failed\n", count - failed, failed
    }' "$EGRET_TIMES"
}

mkdir -p "$(dirname "$EGRET_TIMES")"
: >"$EGRET_TIMES"
for part in "$@"; do
  begin=$(date +%s)
  echo "━━ make $part"
  status=0
  "${MAKE:-make}" --no-print-directory "$part" || status=$?
  outcome=ok
  [ "$status" = 0 ] || outcome=FAILED
  printf 'part\t%s\t%d\t1\t%s\n' "make $part" "$(($(date +%s) - begin))" "$outcome" >>"$EGRET_TIMES"
  if [ "$status" != 0 ]; then break; fi
done
table $#
exit "$status"
