#!/usr/bin/env bash
# Other people's client against our log: filippo.io/torchwood, unmodified, reads every
# entry, verifies our proofs, and writes proofs that we verify. It runs from the root
# of the repository, needs bin/countersign and bin/countersignd (make build), and ends
# by itself. The first time it fetches torchwood with go.
#
# Everything it writes is in a temporary folder, which it removes.
set -euo pipefail

ROOT=$(pwd)
[ -x "$ROOT/bin/countersign" ] && [ -x "$ROOT/bin/countersignd" ] || { echo "torchwood.sh: run it from the repository, after make build" >&2; exit 2; }
export PATH="$ROOT/bin:$PATH" COUNTERSIGN_REPOSITORY=github.com/benbjohnson/litestream
TMP=$(mktemp -d)
SERVER=
finish() {
  if [ -n "$SERVER" ]; then
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
  fi
  rm -rf "$TMP"
}
trap finish EXIT

say() { printf '%s\n' "— $*"; }
# fails COMMAND… must not succeed.
fails() {
  if "$@" >"$TMP/out" 2>&1; then
    echo "torchwood.sh: this should have been refused: $*" >&2
    exit 1
  fi
  tail -n 1 "$TMP/out"
}

say "torchwood, built from its own module"
(cd testdata/e2e/torchwood && go build -o "$TMP/torchwood" .)
cd "$TMP"

say "a log of more than one tile, from the history of a real project"
git clone -q "$ROOT/testdata/litestream-history.bundle" litestream
git -C litestream fetch -q "$ROOT/testdata/litestream-history.bundle" 'refs/pull/*:refs/pull/*'
mkdir keys
for who in alice bob ci; do countersign keygen --out keys/$who.pem >/dev/null; done
countersign policy init policy --owner alice,bob --person alice,level=staff,email=alice@example.com,key=keys/alice.pub \
  --person bob,level=senior,email=bob@example.com,key=keys/bob.pub --service ci,may=change+admission,key=keys/ci.pub >/dev/null
countersign policy sign policy --key keys/alice.pem --out genesis-1.json >/dev/null
countersign policy sign policy --key keys/bob.pem --with genesis-1.json --out genesis-2.json >/dev/null
countersignd create --data data --origin log.example --genesis genesis-1.json --genesis genesis-2.json --trust trust >/dev/null
countersignd serve --data data --listen 127.0.0.1:0 >server.out 2>server.log &
SERVER=$!
for _ in $(seq 100); do
  URL=$(sed -n 's#.*\(http://127\.0\.0\.1:[0-9]*\).*#\1#p' server.out server.log | head -n 1)
  [ -z "$URL" ] || break
  kill -0 "$SERVER" 2>/dev/null || { cat server.log >&2; exit 1; }
  sleep 0.1
done
[ -n "$URL" ] || { echo "torchwood.sh: the ledger does not say where it listens" >&2; exit 1; }
export COUNTERSIGN_SERVER=$URL
countersign attest range v0.5.0..v0.5.9 --repo litestream --heads 'refs/pull/{id}/head' --missing-heads --key keys/ci.pem | tail -n 1
countersign follow --state seen --trust trust --once
SIZE=$(sed -n 2p seen/checkpoint)
VKEY=$(sed -n 's/^  key: \([^ ]*\).*/\1/p' trust/trust.yaml)
[ "$SIZE" -gt 300 ] || { echo "torchwood.sh: only $SIZE entries" >&2; exit 1; }

say "its tile client reads all of it"
./torchwood read "$VKEY" log.example "$URL" | tee read.out
grep -q "read $SIZE entries" read.out

say "it verifies our proofs, and writes the same"
for index in 0 255 256 "$((SIZE - 1))"; do
  countersign log prove "$index" --trust trust --out "$index.tlog-proof" --leaf "$index.leaf" >/dev/null
  ./torchwood proof "$VKEY" log.example "$index.leaf" "$index.tlog-proof"
  ./torchwood prove "$VKEY" log.example "$URL" "$index" >theirs.tlog-proof
  cmp "$index.tlog-proof" theirs.tlog-proof
  countersign log verify theirs.tlog-proof --leaf "$index.leaf" --trust trust
done
countersign log prove 7 --trust trust --with-leaf --out 7.tlog-proof --leaf 7.leaf >/dev/null
./torchwood proof "$VKEY" log.example 7.leaf 7.tlog-proof

say "both refuse the same"
fails ./torchwood proof "$VKEY" log.example 7.leaf 0.tlog-proof
fails countersign log verify 0.tlog-proof --leaf 7.leaf --trust trust
fails ./torchwood proof "$VKEY" other.example 0.leaf 0.tlog-proof
sed 's/^index 256$/index 257/' 256.tlog-proof >spoilt.tlog-proof
fails ./torchwood proof "$VKEY" log.example 256.leaf spoilt.tlog-proof
fails countersign log verify spoilt.tlog-proof --leaf 256.leaf --trust trust
say "done"
