#!/usr/bin/env bash
# The demo: a real release of a real project goes through the gate. Every line
# behind a "$" is a command that you could have typed, with its real output.
#
#   run.sh           tell the story, then stop the ledger
#   run.sh --serve   set the same ledger up and leave it running
#
# It needs bin/countersign and bin/countersignd (make build), git, and nothing
# from outside the repository. Everything it writes is in demo/.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DEMO=${COUNTERSIGN_DEMO_DIR:-$ROOT/demo}
LISTEN=${COUNTERSIGN_DEMO_LISTEN:-127.0.0.1:7391}
SERVE=${1:-}
REPO=github.com/benbjohnson/litestream
export PATH="$ROOT/bin:$PATH" COUNTERSIGN_SERVER="http://$LISTEN"

bold='' dim='' off=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi

chapter() { printf '\n%s%s%s\n\n' "$bold" "$*" "$off"; }
say()     { printf '%s%s%s\n' "$dim" "$*" "$off"; }
# run prints a command as it would be typed, and runs it.
run()     { printf '\n$ %s\n' "$*"; "$@"; }
# refused runs a command that must exit with the code given first.
refused() {
  local want=$1 got=0; shift
  printf '\n$ %s\n' "$*"
  "$@" || got=$?
  say "(exit $got)"
  [ "$got" = "$want" ] || { echo "demo: expected exit $want, got $got" >&2; exit 1; }
}

SERVER=
stop() { if [ -n "$SERVER" ]; then kill "$SERVER" 2>/dev/null || true; wait "$SERVER" 2>/dev/null || true; fi; }
trap stop EXIT
