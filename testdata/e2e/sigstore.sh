#!/usr/bin/env bash
# Clients of Sigstore, unmodified, against a ledger: cosign, sigstore-go, sigstore-js and
# openssl verify what our client logged (A); cosign signs into the ledger with a key (B)
# and with an identity of a Fulcio and an OIDC issuer of one's own (C); another log takes
# over (D).
#
# Everything talks over loopback; where unshare(1) may, in a network of nothing else. The
# clients are installed once into COUNTERSIGN_E2E_CACHE (cosign alone takes minutes).
# It ends by itself, and prints what each client said. Exit 1 when one said otherwise.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
HERE=$ROOT/testdata/e2e
CACHE=${COUNTERSIGN_E2E_CACHE:-$HOME/.cache/countersign-e2e}
LIMIT=${COUNTERSIGN_E2E_LIMIT:-300} # seconds, of the steps
COSIGN=v3.1.3 FULCIO=v1.8.8
NODE=$CACHE/npm/node_modules/node-$(uname -s | tr A-Z a-z)-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/bin/node

install() {
  mkdir -p "$CACHE/bin" "$CACHE/npm"
  [ -x "$CACHE/bin/cosign" ] || GOBIN=$CACHE/bin go install "github.com/sigstore/cosign/v3/cmd/cosign@$COSIGN"
  [ -x "$CACHE/bin/fulcio" ] || GOBIN=$CACHE/bin go install "github.com/sigstore/fulcio@$FULCIO"
  local node=${NODE#"$CACHE/npm/node_modules/"}
  [ -x "$NODE" ] && [ -d "$CACHE/npm/node_modules/@sigstore/verify" ] ||
    (cd "$CACHE/npm" && npm install --no-audit --no-fund --silent "${node%%/*}@22" @sigstore/verify@^4.1.0 @sigstore/bundle @sigstore/sign @sigstore/protobuf-specs)
  echo "e2e: building countersign, countersignd and the programs of testdata/e2e"
  mkdir -p "$1/bin"
  go build -C "$ROOT" -o "$1/bin/" ./cmd/countersign ./cmd/countersignd ./testdata/e2e/issuer ./testdata/e2e/sigstorego
}

if [ "${1:-}" != --inside ]; then
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  install "$WORK"
  isolate=()
  if unshare -rn true 2>/dev/null && command -v ip >/dev/null; then isolate=(unshare -rn); fi
  code=0
  timeout --kill-after=10 "$LIMIT" "${isolate[@]}" "$0" --inside "$WORK" "${isolate[*]:+isolated}" || code=$?
  [ "$code" != 124 ] || echo "e2e: not done after $LIMIT seconds" >&2
  exit "$code"
fi

WORK=$2
if [ "${3:-}" = isolated ]; then
  ip link set lo up
  echo "e2e: in a network that has loopback only"
fi
export HOME=$WORK/home PATH=$WORK/bin:$CACHE/bin:$PATH NODE_PATH=$CACHE/npm/node_modules
export COSIGN_PASSWORD='' COSIGN_YES=true NO_COLOR=1 COUNTERSIGN_REPOSITORY=example.com/org/app
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
unset COUNTERSIGN_SERVER COUNTERSIGN_TRUST COUNTERSIGN_DATA SIGSTORE_ID_TOKEN || true
mkdir -p "$HOME" "$WORK/keys"
cd "$WORK"

STARTED=()
stop() {
  local p
  for p in "${STARTED[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap stop EXIT
trap 'exit 124' TERM INT

RESULTS=() FAILED=0
note() { RESULTS+=("| $1 | $2 | $3 |"); }
# says yes|no CLIENT WHAT COMMAND…: the client must agree, or refuse.
says() {
  local want=$1 client=$2 what=$3 got=yes
  shift 3
  printf '\n$ %s\n' "$*"
  timeout 60 "$@" > said 2>&1 || got=no
  sed 's/^/  /' said | tail -n 6
  if [ "$got" = "$want" ]; then
    if [ "$want" = yes ]; then note "$client" "$what" works; else note "$client" "$what" "refused, as it must be"; fi
  else
    note "$client" "$what" "**$got, and must be $want**"
    FAILED=1
  fi
}
# waits FILE: for the first line of a server's output.
waits() { for _ in $(seq 100); do [ -s "$1" ] && return; sleep 0.1; done; echo "e2e: nothing in $1" >&2; cat "${1%.out}.log" >&2 || true; exit 1; }
chapter() { printf '\n── %s\n' "$*"; }

# identities starts the issuer and the Fulcio, which the policy and the trust folder name.
identities() {
  issuer --ca issuer.pem > issuer.out 2> issuer.log &
  STARTED+=($!)
  waits issuer.out
  ISSUER=$(cat issuer.out)
  local base=$((20000 + RANDOM % 20000))
  NEXT=$((base + 3)) # port of the log that comes later
  FULCIO_URL=http://127.0.0.1:$base
  printf 'oidc-issuers:\n  %s:\n    issuer-url: %s\n    client-id: sigstore\n    type: email\n' "$ISSUER" "$ISSUER" > fulcio.yaml
  # Its metrics have no address to choose, only a port.
  SSL_CERT_FILE=$WORK/issuer.pem fulcio serve --ca ephemeralca --ct-log-url '' --config-path fulcio.yaml --host 127.0.0.1 --port "$base" \
    --grpc-host 127.0.0.1 --grpc-port $((base + 1)) --metrics-port $((base + 2)) --legacy-unix-domain-socket "@countersign-e2e-$$" > fulcio.log 2>&1 &
  STARTED+=($!)
  for _ in $(seq 100); do curl -sf -o fulcio.pem "$FULCIO_URL/api/v1/rootCert" && return; sleep 0.1; done
  cat fulcio.log >&2
  exit 1
}

ledger() {
  local who since
  since=$(date -u -d '1 hour ago' +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v-1H +%Y-%m-%dT%H:%M:%SZ)
  for who in alice bob ci builder gate; do countersign keygen --out "keys/$who.pem" > /dev/null; done
  countersign policy init policy --owner alice,bob --person alice,level=staff,email=alice@example.com,key=keys/alice.pub \
    --person bob,level=senior,email=bob@example.com,key=keys/bob.pub --service ci,may=change+admission,key=keys/ci.pub \
    --service builder,may=release,key=keys/builder.pub --service gate,may=deployment,key=keys/gate.pub > /dev/null
  printf '  - id: keyless\n    may: [release]\n    from: %s\n    identities:\n      - {issuer: "%s", subject: keyless@example.com, from: %s}\n' "$since" "$ISSUER" "$since" >> policy/people.yaml
  countersign policy sign policy --key keys/alice.pem --out g1.json > /dev/null
  countersign policy sign policy --key keys/bob.pem --with g1.json --out g2.json > /dev/null
  countersignd create --data data --origin 127.0.0.1 --genesis g1.json --genesis g2.json
  cp fulcio.pem data/trust/fulcio.pem
  printf 'certificateAuthorities:\n  - certificates: fulcio.pem\n    transparency: none\n    from: %s\n' "$since" >> data/trust/trust.yaml
  countersignd serve --data data --listen 127.0.0.1:0 > server.out 2> server.log &
  SERVER=$!
  STARTED+=($SERVER)
  waits server.out
  COUNTERSIGN_SERVER=$(sed -n 's/.* is served at \([^ ]*\) .*/\1/p' server.out)
  export COUNTERSIGN_SERVER
  countersignd trust tuf init --data data --url "$COUNTERSIGN_SERVER" --fulcio "$FULCIO_URL" --oidc "$ISSUER"
  curl -sf -o trusted_root.json "$COUNTERSIGN_SERVER/trusted_root.json"
}

artifact() {
  local g=(git -C app -c user.name=alice -c user.email=alice@example.com)
  git init -q -b main app
  "${g[@]}" commit -q --allow-empty -m one
  git -C app tag v1
  echo one > app/file
  git -C app add file
  "${g[@]}" commit -q -m two
  git -C app archive --format=tar -o ../app.tar main
  echo else > else.tar
}

# statement NAME: what is signed, each time another one.
statement() { countersign attest release app.tar --repo app --name "$1" --from v1 --to main --print --key keys/builder.pem > statement.json; }

TYPE=https://countersign.dev/release/v1
# verified NAME BUNDLE KEY: by everybody, and each with a twin that is refused.
verified() {
  local name=$1 b=$2 key=$3
  says yes "cosign $COSIGN" "$name: verify-blob-attestation, no flag but the key" cosign verify-blob-attestation --bundle "$b" --key "$key" --type "$TYPE" app.tar
  says yes "cosign $COSIGN" "$name: the same with --trusted-root and --use-signed-timestamps" cosign verify-blob-attestation --bundle "$b" --trusted-root trusted_root.json --use-signed-timestamps --key "$key" --type "$TYPE" app.tar
  says no "cosign $COSIGN" "$name: another artifact" cosign verify-blob-attestation --bundle "$b" --key "$key" --type "$TYPE" else.tar
  says no "cosign $COSIGN" "$name: another key" cosign verify-blob-attestation --bundle "$b" --key keys/ci.pub --type "$TYPE" app.tar
  says yes "sigstore-go" "$name: one log entry, one signed timestamp" sigstorego --key "$key" trusted_root.json "$b" app.tar
  says no "sigstore-go" "$name: another artifact" sigstorego --key "$key" trusted_root.json "$b" else.tar
  says yes "sigstore-js, node $("$NODE" --version)" "$name: one log entry, one signed timestamp" "$NODE" "$HERE/verify.cjs" trusted_root.json "$b" app.tar "$key"
  says no "sigstore-js" "$name: another key" "$NODE" "$HERE/verify.cjs" trusted_root.json "$b" app.tar keys/ci.pub
}

step_a() {
  chapter "A  What our client logs, others verify"
  countersign attest release app.tar --repo app --name v2 --from v1 --to main --key keys/builder.pem --out logged.json
  says yes "cosign $COSIGN" "initialize from the ledger's TUF repository" cosign initialize --mirror "$COUNTERSIGN_SERVER/tuf" --root data/trust/tuf/1.root.json
  verified "logged by countersign" logged.json keys/builder.pub
  sed 's/"logIndex":"\([0-9]*\)"/"logIndex":"1\1"/' logged.json > moved.json
  says no "cosign $COSIGN" "logged by countersign: at another index" cosign verify-blob-attestation --bundle moved.json --key keys/builder.pub --type "$TYPE" app.tar

  openssl ts -query -data app.tar -sha256 -cert -out app.tsq 2> /dev/null
  curl -sf -H 'Content-Type: application/timestamp-query' --data-binary @app.tsq -o app.tsr "$COUNTERSIGN_SERVER/api/v1/timestamp"
  curl -sf -o tsa.pem "$COUNTERSIGN_SERVER/api/v1/timestamp/certchain"
  says yes "openssl ts, $(openssl version | cut -d' ' -f2)" "a timestamp of the ledger's authority" openssl ts -verify -data app.tar -in app.tsr -CAfile tsa.pem -untrusted tsa.pem
  says no "openssl ts" "the same timestamp for another file" openssl ts -verify -data else.tar -in app.tsr -CAfile tsa.pem -untrusted tsa.pem
}

# rolled_back serves an older TUF repository to a cosign that has seen a newer one.
rolled_back() {
  local verify=(cosign verify-blob-attestation --bundle logged.json --key keys/builder.pub --type "$TYPE" app.tar)
  cp -r data/trust/tuf older
  countersignd trust tuf publish --data data --operator e2e > /dev/null
  says yes "cosign $COSIGN" "after another version is published" "${verify[@]}"
  mv data/trust/tuf newer && mv older data/trust/tuf
  says no "cosign $COSIGN" "a TUF repository that is rolled back" "${verify[@]}"
  mv data/trust/tuf older && mv newer data/trust/tuf
  says yes "cosign $COSIGN" "the newer one again" "${verify[@]}"
}

# writable asks the endpoint with what it must refuse: 404 means that there is none.
writable() {
  local status
  status=$(curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' --data '{}' "$COUNTERSIGN_SERVER/api/v2/log/entries")
  [ "$status" = 400 ]
}

step_b() {
  chapter "B  cosign signs into the ledger, with a key"
  cosign import-key-pair --key keys/builder.pem --output-key-prefix builder > /dev/null 2>&1
  statement v2-by-cosign
  says yes "cosign $COSIGN" "attest-blob with a key, no other flag" cosign attest-blob --key builder.key --statement statement.json --bundle keyed.json app.tar
  [ -s keyed.json ] || return 0
  verified "logged by cosign with a key" keyed.json keys/builder.pub
  says yes countersign "attach what cosign logged" countersign attach keyed.json
}

# vouched NAME BUNDLE: what was signed with an identity, by everybody.
vouched() {
  local name=$1 b=$2
  local who=(--certificate-identity keyless@example.com --certificate-oidc-issuer "$ISSUER" --insecure-ignore-sct --use-signed-timestamps)
  says yes "cosign $COSIGN" "$name: verify-blob-attestation" cosign verify-blob-attestation --bundle "$b" "${who[@]}" --type "$TYPE" app.tar
  says no "cosign $COSIGN" "$name: another artifact" cosign verify-blob-attestation --bundle "$b" "${who[@]}" --type "$TYPE" else.tar
  says yes sigstore-go "$name: verify" sigstorego --identity keyless@example.com --issuer "$ISSUER" trusted_root.json "$b" app.tar
  says no sigstore-go "$name: another identity" sigstorego --identity else@example.com --issuer "$ISSUER" trusted_root.json "$b" app.tar
  says yes sigstore-js "$name: verify" "$NODE" "$HERE/verify.cjs" trusted_root.json "$b" app.tar keyless@example.com "$ISSUER"
  says no sigstore-js "$name: another identity" "$NODE" "$HERE/verify.cjs" trusted_root.json "$b" app.tar else@example.com "$ISSUER"
  says yes countersign "$name: attach" countersign attach "$b"
}

step_c() {
  chapter "C  cosign and sigstore-js sign into the ledger, with an identity"
  curl -sf --cacert issuer.pem -X POST -o token "$ISSUER/token?email=keyless@example.com"
  curl -sf -o signing_config.json "$COUNTERSIGN_SERVER/signing_config.v0.2.json"
  statement v2-by-cosign-with-identity
  says yes "cosign $COSIGN, fulcio $FULCIO" "attest-blob with an identity token, no other flag" cosign attest-blob --identity-token token --statement statement.json --bundle keyless.json app.tar
  [ ! -s keyless.json ] || vouched "logged by cosign with an identity" keyless.json
  SIGSTORE_ID_TOKEN=$(cat token) says yes "fulcio $FULCIO" "countersign ci signs with an identity token and no key, and logs" \
    countersign ci --repo app --fulcio "$FULCIO_URL" --release v2-by-ci --no-verify app.tar
  SIGSTORE_ID_TOKEN=eyJhbGciOiJub25lIn0.e30.x says no "fulcio $FULCIO" "countersign ci with a token that nobody gave" \
    countersign ci --repo app --fulcio "$FULCIO_URL" --release v2-by-ci --no-verify app.tar
  statement v2-by-js-with-identity
  says yes "sigstore-js" "sign with an identity token and the ledger's signing configuration" "$NODE" "$HERE/sign.cjs" signing_config.json statement.json token js.json
  [ ! -s js.json ] || vouched "logged by sigstore-js with an identity" js.json
}

step_d() {
  chapter "D  Another log takes over, and the old one is frozen"
  kill "$SERVER" && wait "$SERVER" || true
  curl -s -o /dev/null "$COUNTERSIGN_SERVER" && exit 1
  countersignd trust rotate log --data data --new data-2 --origin localhost --genesis g1.json --genesis g2.json --url "http://localhost:$NEXT"
  countersignd trust tuf publish --data data-2 > /dev/null
  countersignd serve --data data --listen "${COUNTERSIGN_SERVER#http://}" > server.out 2>> server.log &
  STARTED+=($!)
  countersignd serve --data data-2 --listen "127.0.0.1:$NEXT" > server-2.out 2> server-2.log &
  STARTED+=($!)
  waits server.out
  waits server-2.out
  says yes "cosign $COSIGN" "after a rotation: a bundle of the frozen log, no flag but the key" cosign verify-blob-attestation --bundle logged.json --key keys/builder.pub --type "$TYPE" app.tar
  curl -sf -o trusted_root.json "http://localhost:$NEXT/trusted_root.json"
  says yes sigstore-go "after a rotation: a bundle of the frozen log" sigstorego --key keys/builder.pub trusted_root.json logged.json app.tar
  says yes sigstore-js "after a rotation: a bundle of the frozen log" "$NODE" "$HERE/verify.cjs" trusted_root.json logged.json app.tar keys/builder.pub
  writable || return 0
  statement v2-into-the-new-log
  says yes "cosign $COSIGN" "after a rotation: attest-blob into the new log, no new flag" cosign attest-blob --key builder.key --statement statement.json --bundle new.json app.tar
  says yes "cosign $COSIGN" "after a rotation: verify it" cosign verify-blob-attestation --bundle new.json --key keys/builder.pub --type "$TYPE" app.tar
  statement v2-into-the-old-log
  says no "cosign $COSIGN" "after a rotation: attest-blob into the frozen log" cosign attest-blob --key builder.key --signing-config signing_config.json --trusted-root trusted_root.json --statement statement.json --bundle none.json app.tar
}

identities
ledger
artifact
step_a
rolled_back
if writable; then
  step_b
  step_c
else
  chapter "B, C  skipped: this server has no POST /api/v2/log/entries"
fi
step_d
printf '\n| client | what was tried | result |\n|---|---|---|\n'
printf '%s\n' "${RESULTS[@]}"
exit "$FAILED"
