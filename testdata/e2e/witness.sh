#!/usr/bin/env bash
# Witnesses, end to end: a ledger that waits for two of three (litewitness,
# omniwitness, and countersignd witness), which come and go.
#
#   testdata/e2e/witness.sh        from the root of the repository
#
# It needs bin/countersign and bin/countersignd (make build), and in $E2E_BIN
# litewitness (filippo.io/torchwood) and omniwitness
# (github.com/transparency-dev/witness); also ssh-agent, sqlite3 and openssl. Everything
# runs on loopback, in a network of its own where the system allows that: omniwitness
# would go and look for the logs that it knows by itself, so without one it is left
# out. It ends by itself.
set -euo pipefail

if [ -z "${WITNESS_E2E_INSIDE:-}" ]; then
  export WITNESS_E2E_INSIDE=shared
  if unshare -rn true 2>/dev/null; then
    export WITNESS_E2E_INSIDE=alone
    exec unshare -rn -- "$0" "$@"
  fi
fi
[ "$WITNESS_E2E_INSIDE" = shared ] || ip link set lo up

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
E2E_BIN=${E2E_BIN:-$HOME/.cache/countersign-e2e/bin}
DIR=$(mktemp -d)
BASE=$((20000 + RANDOM % 20000))
PIDS=()
export PATH="$ROOT/bin:$PATH" COUNTERSIGN_SERVER="http://127.0.0.1:$BASE"

finish() {
  local code=$?
  kill "${PIDS[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  [ "$code" = 0 ] || { echo "--- logs"; tail -n 20 "$DIR"/*.log; } >&2
  rm -rf "$DIR"
  exit "$code"
}
trap finish EXIT
cd "$DIR"

say() { printf '\n── %s\n' "$*"; }
die() { echo "witness.sh: $*" >&2; exit 1; }
# ends CODE COMMAND… runs a command that must exit with CODE.
ends() {
  local want=$1 got=0
  shift
  "$@" > out.txt 2>&1 || got=$?
  sed 's/^/   /' out.txt
  [ "$got" = "$want" ] || die "$* ended with $got, want $want"
}
# start NAME COMMAND… in the background; its process is the last of PIDS.
start() {
  local log=$1.log
  shift
  "$@" >> "$log" 2>&1 &
  PIDS+=($!)
}
# answers PORT waits until somebody listens.
answers() {
  for _ in $(seq 100); do
    (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  die "nobody listens on port $1"
}
bytes() { printf "$(printf '%s' "$1" | sed 's/../\\x&/g')"; } # of hex digits
# vkey NAME KIND HEX prints a verifier key of C2SP signed-note.
id() { { printf '%s\n' "$1"; bytes "$2$3"; } | sha256sum | cut -c1-8; }
vkey() { printf '%s+%s+%s\n' "$1" "$(id "$@")" "$(bytes "$2$3" | base64 -w0)"; }
hex() { od -An -tx1 -v | tr -d ' \n'; }

say "A ledger, with two owners"
cp -r "$ROOT/testdata/demo/policy" policy
for who in alice bob mallory gate; do countersign keygen --out "$who.pem" > /dev/null; done
countersign policy init policy --owner alice,bob \
  --person alice,level=senior,email=alice@example.com,key=alice.pub \
  --person bob,level=senior,email=bob@example.com,key=bob.pub \
  --person mallory,level=junior,email=mallory@example.com,key=mallory.pub \
  --service gate,may=deployment,key=gate.pub > /dev/null
countersign policy sign policy --key alice.pem --out one.json > /dev/null
countersign policy sign policy --key bob.pem --with one.json --out two.json > /dev/null
countersignd create --data data --origin e2e.example --genesis one.json --genesis two.json --trust trust > /dev/null
LOG=$(sed -n 's/^  key: //p' trust/trust.yaml)
echo "   $LOG"

say "Witnesses"
LITE=$((BASE + 1)) OMNI=$((BASE + 2)) OURS=$((BASE + 3))
ssh-keygen -q -t ed25519 -N '' -C '' -f lite
start agent ssh-agent -D -a "$DIR/lite.sock"
for _ in $(seq 50); do [ -S lite.sock ] && break; sleep 0.1; done
SSH_AUTH_SOCK=lite.sock ssh-add -q lite
lite_start() {
  start lite "$E2E_BIN/litewitness" -db lite.db -key "$(ssh-keygen -lf lite.pub | cut -d' ' -f2)" \
    -name lite.example/w -listen "127.0.0.1:$LITE" -ssh-agent lite.sock
  answers "$LITE"
  LITE_PID=${PIDS[-1]}
}
lite_start
# The empty tree's root, as RFC 6962 has it: SHA-256 of nothing.
sqlite3 lite.db "INSERT INTO log VALUES ('e2e.example', 0, '$(printf '' | sha256sum | cut -d' ' -f1 | { read -r h; bytes "$h"; } | base64)');
  INSERT INTO key VALUES ('e2e.example', '$LOG');"
LITE_KEY=$(vkey lite.example/w 04 "$(cut -d' ' -f2 lite.pub | base64 -d | tail -c 32 | hex)")

omni=
if [ "$WITNESS_E2E_INSIDE" = alone ] && [ -x "$E2E_BIN/omniwitness" ]; then
  openssl genpkey -algorithm ed25519 -outform DER -out omni.der
  seed=$(tail -c 32 omni.der | hex)
  pub=$(openssl pkey -inform DER -in omni.der -pubout -outform DER | tail -c 32 | hex)
  printf 'PRIVATE+KEY+omni.example+%s+%s' "$(id omni.example 01 "$pub")" "$(bytes "01$seed" | base64 -w0)" > omni.key
  printf 'Logs:\n  - Origin: e2e.example\n    PublicKey: %s\n    URL: http://127.0.0.1:%s\n' "$LOG" "$BASE" > logs.yaml
  start omni "$E2E_BIN/omniwitness" --listen "127.0.0.1:$OMNI" --metrics_listen "" --private_key_path omni.key \
    --db_file omni.db --additional_logs logs.yaml
  answers "$OMNI"
  omni=omni OMNI_PID=${PIDS[-1]}
else
  echo "   no network of its own, or no omniwitness in $E2E_BIN: it is left out"
fi

countersignd witness init --data ours --name ours.example > /dev/null
start ours countersignd witness --data ours --listen "127.0.0.1:$OURS" --log "$LOG"
answers "$OURS"

{
  echo "log $LOG"
  echo "witness lite $LITE_KEY http://127.0.0.1:$LITE"
  [ -z "$omni" ] || echo "witness omni $(vkey omni.example 04 "$pub") http://127.0.0.1:$OMNI"
  echo "witness ours $(cat ours/witness.vkey) http://127.0.0.1:$OURS"
  echo "group all-of-them all lite $omni ours"
  echo "quorum all-of-them"
} > all.policy
sed 's/^group.*/group two-of-them 2 lite '"$omni"' ours/; s/^quorum.*/quorum two-of-them/' all.policy > two.policy
sed 's/^/   /' two.policy

# trust for verifiers: one of them wants two witnesses, the other all of them.
cp -r trust trust-all
cp two.policy trust/witnesses.policy && echo 'witnesses: witnesses.policy' >> trust/trust.yaml
cp all.policy trust-all/witnesses.policy && echo 'witnesses: witnesses.policy' >> trust-all/trust.yaml

start server countersignd serve --data data --listen "127.0.0.1:$BASE" --witness-policy two.policy
answers "$BASE"

MALLORY=$(openssl pkey -pubin -in mallory.pub -outform DER | sha256sum | cut -d' ' -f1)
# append REASON logs one more statement: a revocation.
append() { countersign attest revocation --revoke-key "$MALLORY" --reason "$1" --by bob --key bob.pem; }
# asked TRUST asks about a commit that nobody knows: the answer is no, from evidence.
asked() {
  countersign verify 0123456789012345678901234567890123456789 --repository github.com/benbjohnson/litestream \
    --environment production --trust "$1"
}
checkpoint() { countersign log checkpoint --out cp.txt "$@" > /dev/null && cat cp.txt; }

say "Append: the receipt waits for two, and the third adds its own"
ends 0 append mistake
n=2
[ -z "$omni" ] || n=3
for _ in $(seq 50); do
  [ "$(curl -s "$COUNTERSIGN_SERVER/checkpoint" | grep -c '^— .*example')" = $((n + 1)) ] && break
  sleep 0.1
done
curl -s "$COUNTERSIGN_SERVER/checkpoint" | tee cp.txt | sed 's/^/   /'
[ "$(grep -c '^— ' cp.txt)" = $((n + 1)) ] || die "want $n cosignatures"

say "A verifier that wants all of them is content"
ends 1 asked trust-all
grep -q 'time: witnessed' out.txt || die "the time is not witnessed"
grep -q 'witness: lite cosigned' out.txt || die "no word of the witness"

if [ -n "$omni" ]; then
  say "omniwitness dies: two are left, and that is the quorum"
  kill "$OMNI_PID"
  ends 0 append departed
  say "and a verifier that wants all of them refuses"
  ends 3 asked trust-all
  grep -q WITNESS_QUORUM out.txt || die "want WITNESS_QUORUM"
  ends 1 asked trust
fi

say "litewitness dies: the quorum is missing, and nothing is acknowledged"
kill "$LITE_PID"
before=$(curl -s "$COUNTERSIGN_SERVER/checkpoint" | sed -n 2p)
ends 3 append compromise
grep -q 'witness' out.txt || die "want a word of the witnesses"
[ "$(curl -s "$COUNTERSIGN_SERVER/checkpoint" | sed -n 2p)" = "$before" ] || die "an uncosigned checkpoint is shown"

say "litewitness is back, and remembers: the log goes on"
lite_start
for _ in $(seq 100); do
  [ "$(curl -s "$COUNTERSIGN_SERVER/checkpoint" | sed -n 2p)" -gt "$before" ] && break
  sleep 0.1
done
curl -s "$COUNTERSIGN_SERVER/checkpoint" | sed 's/^/   /'
ends 1 asked trust

say "All held."
