#!/usr/bin/env bash
# A forge, unmodified, in front of a ledger: Gitea sends its webhooks, reviews on it become
# approvals, its merges become admissions, and the release gate answers. What must be
# allowed is, and its twins, each with one thing missing, are denied.
#
# It runs from the root of the repository, needs bin/countersign and bin/countersignd
# (make build), talks to 127.0.0.1 only, ends by itself, and writes into a temporary
# folder, which it removes. Gitea is built once, into COUNTERSIGN_E2E_CACHE.
set -euo pipefail

ROOT=$(pwd)
[ -x "$ROOT/bin/countersign" ] && [ -x "$ROOT/bin/countersignd" ] || { echo "gitea.sh: run it from the repository, after make build" >&2; exit 2; }
CACHE=${COUNTERSIGN_E2E_CACHE:-$HOME/.cache/countersign-e2e}
GITEA=v1.26.0
HOST=git.example.com # as identities are written; it is at 127.0.0.1
export PATH="$ROOT/bin:$PATH" COUNTERSIGN_REPOSITORY=$HOST/acme/app

say() { printf '\n── %s\n' "$*"; }
fail() { echo "gitea.sh: $*" >&2; tail -n 15 "$TMP"/*.log >&2 2>/dev/null || true; exit 1; }

say "Gitea $GITEA, from the module proxy"
if [ ! -x "$CACHE/gitea/gitea-$GITEA" ]; then
  echo "building it (once; some twenty minutes on two cores)"
  mkdir -p "$CACHE/gitea"
  from=$(cd / && GOFLAGS=-mod=mod go mod download -json "code.gitea.io/gitea@$GITEA" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  rm -rf "$CACHE/gitea/src" && cp -r "$from" "$CACHE/gitea/src" && chmod -R u+w "$CACHE/gitea/src"
  (cd "$CACHE/gitea/src" && go build -trimpath -tags 'sqlite sqlite_unlock_notify' -o "../gitea-$GITEA" .)
fi
TMP=$(mktemp -d)
PIDS=()
finish() {
  for p in "${PIDS[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${PIDS[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$TMP"
}
trap finish EXIT
trap 'exit 124' TERM INT
cd "$TMP"
unset GIT_CONFIG_GLOBAL # Gitea writes to it
export HOME=$TMP GIT_CONFIG_NOSYSTEM=1 GITEA_WORK_DIR=$TMP/gitea GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true
PORT=$((20000 + RANDOM % 20000))
LEDGER=$((PORT + 1))

# ── the forge ──
mkdir -p gitea/custom/conf
cat > gitea/custom/conf/app.ini <<INI
RUN_USER = $(id -un)
RUN_MODE = prod
[database]
DB_TYPE = sqlite3
PATH = $TMP/gitea/gitea.db
[repository]
ROOT = $TMP/gitea/repositories
DEFAULT_BRANCH = main
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = $PORT
ROOT_URL = http://127.0.0.1:$PORT/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = $CACHE/gitea/src
[security]
INSTALL_LOCK = true
SECRET_KEY = for-this-run-only
PASSWORD_HASH_ALGO = pbkdf2
[service]
DISABLE_REGISTRATION = true
NO_REPLY_ADDRESS = noreply.$HOST
[webhook]
ALLOWED_HOST_LIST = loopback
[actions]
ENABLED = false
[log]
LEVEL = Warn
[cron.update_checker]
ENABLED = false
INI
gitea() { "$CACHE/gitea/gitea-$GITEA" --config gitea/custom/conf/app.ini "$@"; }
gitea migrate > migrate.log 2>&1 || fail "Gitea makes no database"
gitea admin user create --admin --username root1 --password 'for-this-run-1' --email root1@example.com --must-change-password=false > user.log 2>&1 || fail "no administrator"
"$CACHE/gitea/gitea-$GITEA" --config gitea/custom/conf/app.ini web > gitea.log 2>&1 &
PIDS+=($!)
API=http://127.0.0.1:$PORT/api/v1
for _ in $(seq 300); do curl -sf -o /dev/null "$API/version" && break; sleep 0.1; done

# api WHO METHOD PATH [BODY] calls the forge as somebody.
api() {
  local who=$1 method=$2 path=$3 body=${4:-}
  curl -sS --fail-with-body -u "$who:for-this-run-1" -X "$method" "$API$path" -H 'Content-Type: application/json' ${body:+-d "$body"} ||
    { echo >&2; fail "$who: $method $path"; }
}
field() { sed -n "s/^{\"$1\":\([0-9]*\),.*/\1/p" | head -n 1; }
for who in alice bob robot; do
  api root1 POST /admin/users "{\"username\":\"$who\",\"email\":\"$who@example.com\",\"password\":\"for-this-run-1\",\"must_change_password\":false}" > "$who.json"
done
api root1 POST /orgs '{"username":"acme"}' > /dev/null
api root1 POST /orgs/acme/repos '{"name":"app","private":true}' > repository.json
for who in alice bob robot; do api root1 PUT "/repos/acme/app/collaborators/$who" '{"permission":"write"}' > /dev/null; done
api root1 POST /users/root1/tokens '{"name":"ledger","scopes":["read:repository","read:issue"]}' | sed -n 's/.*"sha1":"\([0-9a-f]*\)".*/\1/p' > hub.token
chmod 600 hub.token
echo "Gitea answers at http://127.0.0.1:$PORT; alice is account $(field id < alice.json), bob $(field id < bob.json)"

# ── the code, and where the record begins ──
ssh-keygen -q -t ed25519 -N '' -C alice -f alice
git init -q -b main app
git -C app config user.name alice && git -C app config user.email alice@example.com
git -C app config gpg.format ssh && git -C app config user.signingkey "$TMP/alice"
git -C app remote add origin "http://alice:for-this-run-1@127.0.0.1:$PORT/acme/app.git"
echo one > app/file
git -C app add . && git -C app commit -qm 'One' && git -C app push -q origin main 2> push.log
BASE=$(git -C app rev-parse HEAD)

# ── the ledger ──
for who in dora emil builder hub; do countersign keygen --out "$who.pem" > /dev/null; done
mkdir policy
cat > policy/policy.yaml <<YAML
name: forge
version: 1
levels: [member, senior]
tiers: [low, medium, high]
environments:
  - {name: production, approvals: beforeMerge}
validFor: 15m
baselines:
  - {repository: $COUNTERSIGN_REPOSITORY, environment: production, commit: $BASE, reason: where the record begins}
rules:
  - id: reviewed
    title: Somebody else approves every change, on the forge at least
    require:
      approvals: [{count: 1, kinds: [explicit, forge]}]
    remedy: Ask somebody who did not write it for a review.
YAML
printf 'domains:\n  - {name: core, tier: high, paths: ["core/**"]}\n  - {name: everything, tier: medium, paths: ["**"]}\n' > policy/domains.yaml
countersign policy init policy --owner dora,emil --person dora,level=senior,email=dora@example.com,key=dora.pub \
  --person emil,level=senior,email=emil@example.com,key=emil.pub \
  --person "alice,level=member,email=alice@example.com,ssh=alice.pub,account=$HOST/$(field id < alice.json)" \
  --person "bob,level=member,email=bob@example.com,account=$HOST/$(field id < bob.json)" \
  --service builder,may=release,key=builder.pub \
  --service "hub,forge,host=$HOST,may=change+admission+approval,email=robot@example.com,key=hub.pub" > init.log
countersign policy sign policy --key dora.pem --out g1.json > /dev/null
countersign policy sign policy --key emil.pem --with g1.json --out g2.json > /dev/null
countersignd create --data data --origin log.example.com --genesis g1.json --genesis g2.json --trust trust > create.log
head -c 24 /dev/urandom | base64 > hub.secret && chmod 600 hub.secret
cat > countersignd.yaml <<YAML
data: data
listen: 127.0.0.1:$LEDGER
forges:
  - id: hub
    kind: gitea
    host: $HOST
    secretFile: hub.secret
    keyFile: hub.pem
    tokenFile: hub.token
    api: $API
    environments: [production]
    settle: 2s
    repositories:
      - {id: $COUNTERSIGN_REPOSITORY, clone: "http://127.0.0.1:$PORT/acme/app.git", branches: [main]}
YAML
export COUNTERSIGN_SERVER=http://127.0.0.1:$LEDGER
ledger() {
  countersignd serve --config countersignd.yaml > ledger.out 2>> ledger.log &
  LEDGER_PID=$!
  PIDS+=("$LEDGER_PID")
  for _ in $(seq 150); do curl -sf -o /dev/null "$COUNTERSIGN_SERVER/healthz" && return; sleep 0.1; done
  fail "the ledger does not start"
}
ledger
api root1 POST /repos/acme/app/hooks "{\"type\":\"gitea\",\"active\":true,\"events\":[\"push\",\"pull_request\"],\"config\":{\"url\":\"$COUNTERSIGN_SERVER/forge/hub\",\"content_type\":\"json\",\"secret\":\"$(cat hub.secret)\"}}" > /dev/null

# ── what people do ──
# proposes NAME FILE TEXT: alice's branch and pull request; its number is in PR, its head in HEAD.
proposes() {
  git -C app fetch -q origin 2>> push.log && git -C app switch -qc "$1" origin/main
  mkdir -p "app/$(dirname "$2")" && echo "$3" > "app/$2"
  git -C app add . && git -C app commit -q -S -m "$1" && git -C app push -qf origin "$1" 2>> push.log
  HEAD=$(git -C app rev-parse HEAD)
  for branch in main "$1"; do # Gitea takes up a push after it has answered
    for _ in $(seq 100); do curl -sf -o /dev/null -u alice:for-this-run-1 "$API/repos/acme/app/branches/$branch" && break; sleep 0.1; done
  done
  PR=$(api alice POST /repos/acme/app/pulls "{\"title\":\"$1\",\"head\":\"$1\",\"base\":\"main\"}" | sed -n 's/.*"number":\([0-9]*\),"user".*/\1/p')
  [ -n "$PR" ] || fail "no pull request"
}
# settled waits until Gitea shows the branch of PR as it was pushed.
settled() {
  HEAD=$(git -C app rev-parse HEAD)
  for _ in $(seq 100); do
    api alice GET "/repos/acme/app/pulls/$PR" | grep -q "\"sha\":\"$HEAD\"" && return
    sleep 0.1
  done
  fail "change $PR does not get to head $HEAD"
}
# reviews WHO EVENT leaves its number in REVIEW.
reviews() { REVIEW=$(api "$1" POST "/repos/acme/app/pulls/$PR/reviews" "{\"event\":\"$2\",\"body\":\"seen\",\"commit_id\":\"$HEAD\"}" | field id); }
# merges [STYLE] leaves the merged commit in MERGED.
merges() {
  for _ in $(seq 50); do # Gitea looks for conflicts first
    curl -sf -u robot:for-this-run-1 -X POST "$API/repos/acme/app/pulls/$PR/merge" -H 'Content-Type: application/json' -d "{\"Do\":\"${1:-squash}\"}" && break
    sleep 0.2
  done
  MERGED=$(api root1 GET "/repos/acme/app/pulls/$PR" | sed -n 's/.*"merge_commit_sha":"\([0-9a-f]*\)".*/\1/p')
  [ -n "$MERGED" ] || fail "change $PR was not merged"
}
# logged TYPE NUMBER COUNT waits until the log has so many statements about a change.
logged() {
  for _ in $(seq 150); do
    n=$(countersign log search --repository "$COUNTERSIGN_REPOSITORY" --change "$2" --type "$1" --format json | grep -c '"index"' || true)
    [ "$n" -ge "$3" ] && return
    sleep 0.2
  done
  fail "the log has $n $1 of change $2, and should have $3"
}
# asks NAME WANT TEXT…: the gate about a release of MERGED, and what the verdict must name.
asks() {
  local name=$1 want=$2 code=0
  shift 2
  git -C app fetch -q origin 2>> push.log
  git -C app archive --format=tar --output "$TMP/$name.tar" "$MERGED"
  countersign attest release "$name.tar" --repo app --name "$name" --to "$MERGED" --key builder.pem > /dev/null
  countersign verify "$name.tar" --environment production --trust trust > verdict 2>&1 || code=$?
  sed 's/^/  /' verdict
  [ "$code" = "$want" ] || fail "the gate answered $code, and must answer $want"
  for text in "$@"; do grep -q -- "$text" verdict || fail "the verdict does not say: $text"; done
}

say "1. push, review, merge: allowed"
proposes first file two
reviews bob APPROVED
logged approval "$PR" 1
merges
logged admission "$PR" 1
echo later > app/file && git -C app commit -q -S -a -m later && git -C app push -q origin first 2>> push.log # nobody reviewed this
api alice PATCH "/repos/acme/app/pulls/$PR" '{"title":"first, and later"}' > edited.json
asks v1 0 ALLOW bob identity

say "1b. the same with a merge commit, a rebase and a fast-forward"
for style in merge rebase fast-forward-only; do
  proposes "$style" file "$style"
  reviews bob APPROVED
  logged approval "$PR" 1
  merges "$style"
  logged admission "$PR" 1
done
asks v1b 0 ALLOW '4 changes' identity

say "2. its twin without a review: denied"
proposes second file three
merges
logged admission "$PR" 1
asks v2 1 DENY INSUFFICIENT

say "3. force-pushed after the review: denied"
proposes third other four
reviews bob APPROVED
logged approval "$PR" 1
echo five > app/other && git -C app commit -q -S -a --amend -m third && git -C app push -qf origin third 2>> push.log
settled
merges
logged admission "$PR" 1
asks v3 1 DENY STALE_APPROVAL

say "4. changes requested, and dismissed by an administrator: the veto stands"
proposes fourth other six
reviews bob REQUEST_CHANGES
logged approval "$PR" 1
api root1 POST "/repos/acme/app/pulls/$PR/reviews/$REVIEW/dismissals" '{"message":"in a hurry"}' > /dev/null
merges
logged admission "$PR" 1
asks v4 1 DENY veto

say "5. an approval that was dismissed: read again before the admission, and withdrawn"
proposes fifth another seven
reviews bob APPROVED
logged approval "$PR" 1
api root1 POST "/repos/acme/app/pulls/$PR/reviews/$REVIEW/dismissals" '{"message":"not yet"}' > /dev/null
merges
logged admission "$PR" 1
logged approval "$PR" 2

say "6. the ledger is down while a change is reviewed and merged: the next push makes it good"
kill "$LEDGER_PID" && wait "$LEDGER_PID" || true
proposes sixth another eight
reviews bob APPROVED
merges
LOST=$PR
ledger
proposes seventh another nine
reviews bob APPROVED
logged approval "$PR" 1
merges
logged admission "$PR" 1
logged admission "$LOST" 1
logged approval "$LOST" 1

say "7. the highest tier takes no forge's word"
proposes eighth core/key ten
reviews bob APPROVED
logged approval "$PR" 1
merges
logged admission "$PR" 1
asks v8 1 DENY LOW_ASSURANCE

say "8. pushed to the branch without a change: admitted as unreviewed"
git -C app fetch -q origin 2>> push.log && git -C app switch -q main && git -C app reset -q --hard origin/main
echo eleven > app/file && git -C app commit -q -S -a -m "Eleven (#1)" && git -C app push -q origin main 2>> push.log
MERGED=$(git -C app rev-parse HEAD)
logged admission "$MERGED" 1
asks v9 1 DENY

say "9. forged, replayed and foreign deliveries"
refuses() {
  local want=$1 got
  shift
  got=$(curl -s -o answer -w '%{http_code}' "$@")
  [ "$got" = "$want" ] || { cat answer >&2; fail "answered $got, and must answer $want"; }
  echo "$got $(tr -d '\n' < answer)"
}
post=(-X POST "$COUNTERSIGN_SERVER/forge/hub" -H 'X-Gitea-Event: push')
signed() { printf '%s' "$1" | openssl dgst -sha256 -hmac "$(cat hub.secret)" | sed 's/.* //'; }
body="{\"ref\":\"refs/heads/main\",\"after\":\"$MERGED\",\"repository\":{\"full_name\":\"acme/app\"}}"
refuses 401 "${post[@]}" -H 'X-Gitea-Delivery: x-1' -d "$body"
refuses 401 "${post[@]}" -H 'X-Gitea-Delivery: x-1' -H "X-Gitea-Signature: $(signed "$body ")" -d "$body"
refuses 202 "${post[@]}" -H 'X-Gitea-Delivery: x-1' -H "X-Gitea-Signature: $(signed "$body")" -d "$body"
refuses 200 "${post[@]}" -H 'X-Gitea-Delivery: x-1' -H "X-Gitea-Signature: $(signed "$body")" -d "$body"
refuses 409 "${post[@]}" -H 'X-Gitea-Delivery: x-2' -H "X-Gitea-Signature: $(signed "$body")" -d "$body"
other=${body/acme\/app/acme\/other}
refuses 400 "${post[@]}" -H 'X-Gitea-Delivery: x-3' -H "X-Gitea-Signature: $(signed "$other")" -d "$other"
head -c 5000000 /dev/zero > large
refuses 413 "${post[@]}" -H 'X-Gitea-Delivery: x-4' --data-binary @large
curl -sf "$COUNTERSIGN_SERVER/metrics" | grep '^countersign_forge'

say "10. what the forge said in bob's name"
countersign log search --person bob --type approval | tee bob.log
[ "$(grep -c '#[0-9]' bob.log)" -ge 9 ] || fail "bob does not find what was said in his name"

say "all of it as it must be"
