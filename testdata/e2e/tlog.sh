#!/usr/bin/env bash
# Other people's log tools, unmodified, against our log, and our own mirror: tessera's
# fsck and its mirror, then a primary that is killed, a mirror that answers in its place,
# and a restore. At the end it runs torchwood.sh and witness.sh beside it.
#
# It runs from the root of the repository, needs bin/countersign and bin/countersignd
# (make build), talks to 127.0.0.1 only, ends by itself, and writes into a temporary
# folder, which it removes. The tools are built once, into COUNTERSIGN_E2E_CACHE.
set -euo pipefail

ROOT=$(pwd)
[ -x "$ROOT/bin/countersign" ] && [ -x "$ROOT/bin/countersignd" ] || { echo "tlog.sh: run it from the repository, after make build" >&2; exit 2; }
CACHE=${COUNTERSIGN_E2E_CACHE:-$HOME/.cache/countersign-e2e}
export E2E_BIN=$CACHE/bin PATH="$ROOT/bin:$CACHE/bin:$PATH" COUNTERSIGN_REPOSITORY=github.com/benbjohnson/litestream

say() { printf '\n── %s\n' "$*"; }
# tool NAME MODULE builds a tool where it is missing.
tool() {
  [ -x "$E2E_BIN/$1" ] && return
  echo "building $1 (once; a minute or two)"
  (cd / && GOBIN="$E2E_BIN" GOFLAGS=-mod=mod go install "$2" 2>&1 | grep -v downloading || true)
  [ -x "$E2E_BIN/$1" ] || { echo "tlog.sh: $2 does not build" >&2; exit 1; }
}
say "tools, from their own modules"
mkdir -p "$E2E_BIN"
tool fsck github.com/transparency-dev/tessera/cmd/fsck@v1.0.4
tool posix github.com/transparency-dev/tessera/cmd/experimental/mirror/posix@v1.0.4
tool litewitness filippo.io/torchwood/cmd/litewitness@v0.9.0
tool omniwitness github.com/transparency-dev/witness/cmd/omniwitness@v0.0.0-20260720115447-2e1c6971d19e
ls "$E2E_BIN" | tr '\n' ' '

TMP=$(mktemp -d)
PIDS=()
finish() {
  for p in "${PIDS[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${PIDS[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$TMP"
}
trap finish EXIT
cd "$TMP"

# serve NAME COMMAND… starts a server and waits until it says where it listens: URL, PID.
serve() {
  local name=$1
  shift
  : >"$name.out"
  "$@" >"$name.out" 2>"$name.log" &
  PID=$!
  PIDS+=("$PID")
  for _ in $(seq 150); do
    URL=$(sed -n 's#.*served at \(http://127\.0\.0\.1:[0-9]*\).*#\1#p' "$name.out" | head -n 1)
    [ -z "$URL" ] || return 0
    kill -0 "$PID" 2>/dev/null || { cat "$name.log" >&2; exit 1; }
    sleep 0.1
  done
  echo "tlog.sh: $name does not say where it listens" >&2
  exit 1
}
# refuses CODE COMMAND… must end with that exit code.
refuses() {
  local want=$1 got=0
  shift
  "$@" >refused.out 2>&1 || got=$?
  tail -n 2 refused.out
  [ "$got" = "$want" ] || { echo "tlog.sh: exit $got instead of $want: $*" >&2; exit 1; }
}

say "a log of more than one tile, from the history of a real project"
git clone -q "$ROOT/testdata/litestream-history.bundle" litestream
git -C litestream fetch -q "$ROOT/testdata/litestream-history.bundle" 'refs/pull/*:refs/pull/*'
mkdir keys
for who in alice bob ci builder; do countersign keygen --out keys/$who.pem >/dev/null; done
cp -r "$ROOT/testdata/demo/policy" policy
countersign policy init policy --owner alice,bob --person alice,level=staff,email=alice@example.com,key=keys/alice.pub \
  --person bob,level=senior,email=bob@example.com,key=keys/bob.pub \
  --service ci,may=change+admission,key=keys/ci.pub --service builder,may=release,key=keys/builder.pub --service gate,may=deployment >/dev/null
countersign policy sign policy --key keys/alice.pem --out genesis-1.json >/dev/null
countersign policy sign policy --key keys/bob.pem --with genesis-1.json --out genesis-2.json >/dev/null
countersignd create --data primary --origin log.example --genesis genesis-1.json --genesis genesis-2.json --trust trust >/dev/null
serve primary countersignd serve --data primary --listen 127.0.0.1:0
PRIMARY=$PID
export COUNTERSIGN_SERVER=$URL
countersign attest range v0.5.0..v0.5.9 --repo litestream --heads 'refs/pull/{id}/head' --missing-heads --key keys/ci.pem | tail -n 1
git -C litestream archive --format=tar -o "$TMP/app.tar" v0.5.9
countersign attest release app.tar --repo litestream --name v0.5.9 --to "$(git -C litestream rev-parse v0.5.9^0)" --key keys/builder.pem

say "tessera's fsck reads the whole log and builds its tree again"
sed -n 's/^  key: //p' trust/trust.yaml | head -n 1 >log.vkey
fsck --storage_url="$URL/" --public_key=log.vkey --ui=false 2>&1 | tail -n 3
sed 's/^log\.example/other.example/' log.vkey >other.vkey
if fsck --storage_url="$URL/" --public_key=other.vkey --ui=false >fsck.out 2>&1; then
  echo "tlog.sh: fsck took the log for another" >&2
  exit 1
fi
echo "another log's key: refused"

say "tessera's mirror copies it, byte for byte"
mkdir tessera
posix --source_url="$URL/" --storage_dir=tessera >posix.out 2>&1 || { tail -n 20 posix.out >&2; exit 1; }
n=0
while IFS= read -r file; do
  curl -fsS "$URL/$file" | cmp -s - "tessera/$file" || { echo "tlog.sh: $file differs" >&2; exit 1; }
  n=$((n + 1))
done < <(cd tessera && find tile -type f | sort)
cmp -s <(curl -fsS "$URL/checkpoint") tessera/checkpoint
echo "$n tiles and the checkpoint are the same"

say "our mirror copies everything, and answers when the primary is killed"
serve mirror countersignd mirror "$COUNTERSIGN_SERVER" --data mirror --trust trust --listen 127.0.0.1:0 --interval 200ms
MIRROR=$PID MIRRORED=$URL
countersign log checkpoint --trust trust --out seen.checkpoint
sleep 0.5
kill -KILL "$PRIMARY"
wait "$PRIMARY" 2>/dev/null || true
export COUNTERSIGN_SERVER=$MIRRORED
countersign log search --type release --repository "$COUNTERSIGN_REPOSITORY"
countersign log consistency seen.checkpoint --trust trust
got=0
countersign verify app.tar --environment production --trust trust >verdict.out 2>&1 || got=$?
head -n 2 verdict.out
grep -q "dry run" verdict.out && grep -q "same verdict: true" verdict.out && [ "$got" = 1 ] || { cat verdict.out >&2; exit 1; }
fsck --storage_url="$MIRRORED/" --public_key=log.vkey --ui=false 2>&1 | tail -n 1
refuses 3 countersign attest release app.tar --repo litestream --name again --to "$(git -C litestream rev-parse v0.5.9^0)" --key keys/builder.pem

say "a new primary is made of the mirror, and the same log goes on"
kill "$MIRROR"
wait "$MIRROR" 2>/dev/null || true
cp -r primary/keys saved-keys
countersignd restore --from-mirror mirror --data restored --keys saved-keys --seen seen.checkpoint
countersignd check --data restored --keys saved-keys | tail -n 2
serve restored countersignd serve --data restored --keys saved-keys --listen 127.0.0.1:0
export COUNTERSIGN_SERVER=$URL
countersign attest release app.tar --repo litestream --name again --to "$(git -C litestream rev-parse v0.5.9^0)" --key keys/builder.pem
countersign log consistency seen.checkpoint --trust trust
countersign log checkpoint --trust trust --out newer.checkpoint >/dev/null
refuses 3 countersignd restore --from-mirror mirror --data less --keys saved-keys --seen newer.checkpoint
[ ! -e less ]

cd "$ROOT"
for script in torchwood witness; do
  say "$script.sh"
  testdata/e2e/$script.sh
done
say "all held"
