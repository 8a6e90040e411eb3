#!/usr/bin/env bash
# A person approves with a passkey on the console's page, in a real Chromium with an
# authenticator in software: registering, publishing, approving, verifying, offline too;
# and what must be refused: another page's answer, a replay, no PIN, a copy of the key.
#
# It needs chromium (Debian: apt-get install chromium; or CHROMIUM=path) and, the first
# time, the Go module proxy. Everything talks over loopback, and ends by itself. With
# COUNTERSIGN_E2E_SHOTS=DIR it leaves pictures of the pages there.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
CACHE=${COUNTERSIGN_E2E_CACHE:-$HOME/.cache/countersign-e2e}
LIMIT=${COUNTERSIGN_E2E_LIMIT:-240} # seconds, of the steps
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || { echo "e2e-console: there is no chromium; install it, or set CHROMIUM" >&2; exit 2; }

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$CACHE/bin" "$WORK/office" ${COUNTERSIGN_E2E_SHOTS:+"$COUNTERSIGN_E2E_SHOTS"}
[ -z "${COUNTERSIGN_E2E_SHOTS:-}" ] || COUNTERSIGN_E2E_SHOTS=$(cd "$COUNTERSIGN_E2E_SHOTS" && pwd)
go build -C "$ROOT/testdata/e2e/console" -o "$CACHE/bin/e2e-console" .

export CHROMIUM COUNTERSIGN_E2E_SHOTS=${COUNTERSIGN_E2E_SHOTS:-} PATH="$ROOT/bin:$PATH" HOME=$WORK NO_COLOR=1
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
unset COUNTERSIGN_SERVER COUNTERSIGN_TRUST COUNTERSIGN_DATA COUNTERSIGN_KEY || true
timeout --kill-after=10 "$LIMIT" "$CACHE/bin/e2e-console" "$WORK/office"
