#!/usr/bin/env bash
# A real OpenTofu, unmodified: it plans and applies, and the gate stands between. Its
# built-in provider is all that it needs, so nothing is downloaded and nothing in the world
# is changed: terraform_data holds values in the state.
#
# It runs from the root of the repository, needs bin/countersign and bin/countersignd
# (make build), talks to 127.0.0.1 only, ends by itself, and writes into a temporary
# folder, which it removes. tofu is built once, from the Go module proxy, into
# COUNTERSIGN_E2E_CACHE; that takes many minutes.
set -euo pipefail

TOFU=v1.11.0
ROOT=$(pwd)
[ -x "$ROOT/bin/countersign" ] && [ -x "$ROOT/bin/countersignd" ] || { echo "plan.sh: run it from the repository, after make build" >&2; exit 2; }
CACHE=${COUNTERSIGN_E2E_CACHE:-$HOME/.cache/countersign-e2e}
mkdir -p "$CACHE/bin"
if [ ! -x "$CACHE/bin/tofu" ]; then
  echo "building tofu $TOFU (once; it is large)"
  source=$(cd / && go mod download -json "github.com/opentofu/opentofu@$TOFU" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  go build -C "$source" -trimpath -o "$CACHE/bin/tofu" ./cmd/tofu
fi

WORK=$(mktemp -d)
SERVER=
finish() { [ -z "$SERVER" ] || { kill "$SERVER" 2>/dev/null || true; wait "$SERVER" 2>/dev/null || true; }; rm -rf "$WORK"; }
trap finish EXIT
cd "$WORK"
mkdir -p tools
ln -s "$CACHE/bin/tofu" tools/tofu
export PATH="$ROOT/bin:$WORK/tools:$PATH" HOME=$WORK NO_COLOR=1 CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_CLI_ARGS=-no-color
export COUNTERSIGN_REPOSITORY=example.com/org/infra COUNTERSIGN_TRUST=$WORK/trust
unset TF_CLI_CONFIG_FILE TF_LOG TF_DATA_DIR COUNTERSIGN_TOKEN COUNTERSIGN_KEY COUNTERSIGN_KEY_PEM || true

say() { printf '\n── %s\n' "$*"; }
# expect CODE TEXT COMMAND…: it ends so, and says so.
expect() {
  local want=$1 text=$2 got=0
  shift 2
  printf '$ %s\n' "$*"
  "$@" > said 2>&1 || got=$?
  sed 's/^/  /' said | head -n 12
  [ "$got" = "$want" ] || { echo "plan.sh: exit $got, and $want was expected" >&2; sed 's/^/  /' said >&2; exit 1; }
  grep -qE -- "$text" said || { echo "plan.sh: it does not say $text" >&2; sed 's/^/  /' said >&2; exit 1; }
}

say "$(tofu version | head -n 1), a ledger, and a policy for plans"
for who in alice bob carol claude gate; do countersign keygen --out $who.pem > /dev/null; done
mkdir policy
cat > policy/policy.yaml <<'YAML'
name: plans
version: 1
levels: [senior]
tiers: [low, high]
environments: [{name: production, approvals: beforeRelease}]
validFor: 15m
rules:
  - {id: reviewed, title: Somebody else approves every change, require: {approvals: [{count: 1}]}}
  - {id: plan-reviewed, about: plan, title: Somebody else approves every plan, require: {approvals: [{count: 1}]}}
  - {id: plan-two, about: plan, title: Two people approve what loses state, when: plan.losesState, require: {approvals: [{count: 2}]}}
  - {id: plan-permitted, about: plan, title: An agent does what it was permitted, when: plan.byAgent, require: {permitted: true}}
YAML
cat > policy/domains.yaml <<'YAML'
domains:
  - {name: data, tier: low, paths: ["*.tf"], resources: [{kind: terraform_data}], reason: values in a state}
YAML
countersign policy init policy --owner alice,bob --person alice,level=senior,key=alice.pub --person bob,level=senior,key=bob.pub \
  --person carol,level=senior,key=carol.pub --agent claude,operator=carol,key=claude.pub --service gate,may=operation,key=gate.pub > /dev/null
countersign policy sign policy --key alice.pem --out g1.json > /dev/null
countersign policy sign policy --key bob.pem --with g1.json --out g2.json > /dev/null
countersignd create --data data --origin log.example --genesis g1.json --genesis g2.json --trust trust > /dev/null
countersignd serve --data data --listen 127.0.0.1:0 > server.out 2> server.log &
SERVER=$!
for _ in $(seq 100); do
  COUNTERSIGN_SERVER=$(sed -n 's/.* is served at \([^ ]*\) .*/\1/p' server.out)
  [ -z "$COUNTERSIGN_SERVER" ] || break
  sleep 0.1
done
export COUNTERSIGN_SERVER

say "What runs already"
mkdir infra && cd infra
cat > main.tf <<'TF'
resource "terraform_data" "web" { input = "v1" }
resource "terraform_data" "database" {
  input            = sensitive("s3cret-before")
  triggers_replace = ["db-1"]
}
resource "terraform_data" "old" { input = "stays, and is forgotten" }
resource "terraform_data" "named" { input = "moves" }
resource "terraform_data" "gone" { input = "goes" }
TF
tofu init -input=false > ../init.log
tofu apply -input=false -auto-approve > ../apply.log

say "A plan with everything in it: update, replace, forget, move, import, create, delete, a secret"
cat > main.tf <<'TF'
resource "terraform_data" "web" { input = "v2" }
resource "terraform_data" "database" {
  input            = sensitive("s3cret-after")
  triggers_replace = ["db-2"]
}
removed {
  from = terraform_data.old
}
resource "terraform_data" "renamed" { input = "moves" }
moved {
  from = terraform_data.named
  to   = terraform_data.renamed
}
resource "terraform_data" "imported" {}
import {
  to = terraform_data.imported
  id = "from-elsewhere"
}
resource "terraform_data" "more" {
  count = 2
  input = count.index
}
TF
tofu plan -input=false -out prod.tfplan > ../plan.log
expect 1 'NO_PLAN' countersign verify prod.tfplan --tool tofu --environment production
expect 0 'read by tofu' countersign attest plan prod.tfplan --tool tofu --environment production --origin human --key ../carol.pem
for line in 'replace terraform_data.database  \(cannot be undone\)' 'delete terraform_data.gone  \(cannot be undone\)'; do
  grep -qE -- "$line" said || { echo "plan.sh: it does not say $line" >&2; cat said >&2; exit 1; }
done
expect 0 'gate says what plan' countersign attest plan prod.tfplan --tool tofu --environment production --key ../gate.pem
expect 0 approved countersign approve --plan prod.tfplan --tool tofu --environment production --key ../alice.pem --yes
expect 1 'plan-two' countersign verify prod.tfplan --tool tofu --environment production
expect 0 approved countersign approve --plan prod.tfplan --tool tofu --environment production --key ../bob.pem --yes
expect 0 '^ALLOW' countersign verify prod.tfplan --tool tofu --environment production
grep -E 'does|read here' said
countersign attest plan prod.tfplan --tool tofu --environment production --key ../carol.pem --print > ../statement.json
grep -q terraform_data.database ../statement.json || { echo "plan.sh: the statement does not name the database" >&2; exit 1; }
if grep -q s3cret ../statement.json; then echo "plan.sh: a secret is in what is logged" >&2; exit 1; fi

say "Another plan of the same configuration is another plan"
tofu plan -input=false -out again.tfplan > ../plan.log
expect 1 'NO_PLAN' countersign verify again.tfplan --tool tofu --environment production

say "What was allowed is applied; then it is stale, and tofu says so itself"
tofu apply -input=false prod.tfplan | tail -n 2
expect 1 'stale' tofu apply -input=false again.tfplan

say "An agent's plan, and what it was permitted"
sed -i 's/"v2"/"v3"/' main.tf
tofu plan -input=false -out agent.tfplan > ../plan.log
expect 0 'claude says' countersign attest plan agent.tfplan --tool tofu --environment production --key ../claude.pem
expect 0 'gate says' countersign attest plan agent.tfplan --tool tofu --environment production --key ../gate.pem
expect 0 approved countersign approve --plan agent.tfplan --tool tofu --environment production --key ../bob.pem --yes
expect 1 'NOT_PERMITTED' countersign verify agent.tfplan --tool tofu --environment production
expect 0 'permissions of claude' countersign attest agent-permissions claude --operator carol --not-after 2126-01-01T00:00:00Z \
  --grant 'capability=update,resource=terraform_data.web,environment=production' --key ../carol.pem
expect 0 '^ALLOW' countersign verify agent.tfplan --tool tofu --environment production

say "A plan of 1,000 resources"
sed -i 's/count = 2/count = 1000/' main.tf
tofu plan -input=false -out large.tfplan > ../plan.log
began=$(date +%s%N)
expect 0 '998 create' countersign attest plan large.tfplan --tool tofu --environment production --origin human --key ../carol.pem
echo "attest plan took $(((($(date +%s%N) - began)) / 1000000)) ms, tofu's reading included"
expect 0 'gate says' countersign attest plan large.tfplan --tool tofu --environment production --key ../gate.pem
expect 0 approved countersign approve --plan large.tfplan --tool tofu --environment production --key ../alice.pem --yes
expect 0 '^ALLOW' countersign verify large.tfplan --tool tofu --environment production

say "done: $(tofu version | head -n 1)"
