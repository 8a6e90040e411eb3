#!/usr/bin/env bash
# The demo: a real release of a real project goes through the gate. Every line
# behind a "$" is a command that you could have typed, with its real output.
#
#   run.sh           tell the story, then stop the ledger
#   run.sh --serve   set the same ledger up and leave it running
#
# It needs bin/countersign and bin/countersignd (make build) and git, and nothing
# from outside the repository. Everything it writes is in demo/.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DEMO=${COUNTERSIGN_DEMO_DIR:-$ROOT/demo}
LISTEN=${COUNTERSIGN_DEMO_LISTEN:-127.0.0.1:7391}
HEADS='refs/pull/{id}/head'
export PATH="$ROOT/bin:$PATH" COUNTERSIGN_SERVER="http://$LISTEN" COUNTERSIGN_REPOSITORY=github.com/benbjohnson/litestream

bold='' dim='' off=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
chapter() { printf '\n%s── %s%s\n' "$bold" "$*" "$off"; }
say() { printf '%s%s%s\n' "$dim" "$*" "$off"; }
typed() {
  printf '\n$'
  local w
  for w in "$@"; do
    case $w in *[\ \{\}\*\$]*) printf " '%s'" "$w" ;; *) printf ' %s' "$w" ;; esac
  done
  printf '\n'
}
run() { typed "$@"; "$@"; }
quiet() { "$@" >/dev/null; }
# ends CODE COMMAND… runs a command that must exit with CODE.
ends() {
  local want=$1 got=0
  shift
  typed "$@"
  "$@" || got=$?
  say "(exit $got)"
  [ "$got" = "$want" ] || { echo "demo: expected exit $want, got $got" >&2; exit 1; }
}

SERVER= TOKEN_AGENT=
unplug() {
  [ -z "$TOKEN_AGENT" ] || { kill "$TOKEN_AGENT" 2>/dev/null; wait "$TOKEN_AGENT" 2>/dev/null; } || true
  TOKEN_AGENT=
}
stop() {
  if [ -n "$SERVER" ]; then
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
    SERVER=
  fi
}
trap 'stop; unplug' EXIT

# The people are the history's pseudonyms. dev-b3d8d0 committed everything and
# wrote nothing: it is the forge. Levels and roles are the story's.
PEOPLE="dev-9f384c:staff dev-ea3d90:senior dev-6ac6e5:senior dev-e1cebd:mid dev-6a45df:mid dev-401fb9:junior dev-6ae108:junior dev-c2e475:junior"
OTHERS="claude ci builder gate"

setup() {
  if [ -e "$DEMO" ]; then
    [ -e "$DEMO/.countersign-demo" ] || { echo "demo: $DEMO exists and is not a demo's folder" >&2; exit 2; }
    rm -rf "$DEMO"
  fi
  mkdir -p "$DEMO/keys" && touch "$DEMO/.countersign-demo"
  cp -r "$ROOT/testdata/demo/policy" "$ROOT/testdata/demo/plans" "$DEMO/"
  git clone -q "$ROOT/testdata/litestream-history.bundle" "$DEMO/litestream"
  git -C "$DEMO/litestream" fetch -q "$ROOT/testdata/litestream-history.bundle" 'refs/pull/*:refs/pull/*'
  cd "$DEMO"
}

begin() {
  chapter "1  A ledger, and the policy that it begins with"
  say "In the environment: COUNTERSIGN_SERVER=$COUNTERSIGN_SERVER COUNTERSIGN_REPOSITORY=$COUNTERSIGN_REPOSITORY"
  say "Keys for people, an agent and services (made alike for $(echo $PEOPLE | sed 's/:[a-z]*//g') $OTHERS):"
  run countersign keygen --out keys/dev-9f384c.pem
  # dev-9f384c also has a security key, which a program plays, behind an ssh-agent's socket.
  (cd "$ROOT" && go build -o "$DEMO/securitykey" ./testdata/demo/securitykey)
  ./securitykey agent.sock security-key.pub &
  TOKEN_AGENT=$!
  local p args=()
  for p in $(seq 50); do [ -s security-key.pub ] && break; sleep 0.1; done
  for p in $PEOPLE; do
    [ "${p%:*}" = dev-9f384c ] || quiet countersign keygen --out "keys/${p%:*}.pem"
    args+=(--person "${p%:*},level=${p#*:},email=${p%:*}@example.com,key=keys/${p%:*}.pub$([ "${p%:*}" != dev-9f384c ] || echo ,ssh=security-key.pub)")
  done
  for p in $OTHERS; do quiet countersign keygen --out "keys/$p.pem"; done
  say "Rules and domains are in policy/ already; who there is goes beside them:"
  run countersign policy init policy --owner dev-9f384c,dev-ea3d90 "${args[@]}" \
    --agent claude,operator=dev-6a45df,email=noreply@anthropic.com,key=keys/claude.pub \
    --service ci,may=change+admission,key=keys/ci.pub \
    --service builder,may=release,key=keys/builder.pub \
    --service gate,may=deployment+operation,key=keys/gate.pub \
    --service forge,forge,email=dev-b3d8d0@example.com
  say "Both owners sign the same bytes; what they signed is entries 0 and 1 of the log:"
  run countersign policy sign policy --key keys/dev-9f384c.pem --out genesis-1.json
  run countersign policy sign policy --key keys/dev-ea3d90.pem --with genesis-1.json --out genesis-2.json
  run countersignd create --data data --origin demo.countersign.local --genesis genesis-1.json --genesis genesis-2.json --console "http://localhost:${LISTEN##*:}" --trust trust
  start
  run countersign policy show policy
  run countersign trust show trust
}

start() {
  (umask 077; printf 'a-secret-of-the-gate-in-this-demo' > gate.token)
  typed countersignd serve --data data --listen "$LISTEN" --gate gate=gate.token --console '&'
  countersignd serve --data data --listen "$LISTEN" --gate gate=gate.token --console 2> server.log &
  SERVER=$!
  local i
  for i in $(seq 100); do
    countersign log checkpoint >/dev/null 2>&1 && return
    kill -0 "$SERVER" 2>/dev/null || { cat server.log >&2; exit 1; }
    sleep 0.1
  done
  echo "demo: the ledger does not answer" >&2; cat server.log >&2; exit 1
}

# ids FROM..TO lists the ids of the changes in a range, on one line.
ids() { git -C litestream log --first-parent --reverse --format=%s "$1" | sed -n 's/.*(#\([0-9]*\))$/\1/p' | tr '\n' ' '; }
# ids_by AUTHOR FROM..TO lists those that one person wrote.
ids_by() { git -C litestream log --first-parent --reverse --author="$1" --format=%s "${@:2}" | sed -n 's/.*(#\([0-9]*\))$/\1/p' | tr '\n' ' '; }
archive() { run git -C litestream archive --format=tar -o "../litestream-${1#v}.tar" "$1"; }

release_one() {
  chapter "2  Release one, v0.5.8, went the old way: no approvals on record"
  run countersign attest range v0.5.7..v0.5.8 --repo litestream --heads "$HEADS" --key keys/ci.pem
  archive v0.5.8
  run countersign attest release litestream-0.5.8.tar --repo litestream --from v0.5.7 --to v0.5.8 --key keys/builder.pem
  say "A gate asks. It has a token, so the verdict is logged; it has the trust folder, so it believes nobody:"
  export COUNTERSIGN_TOKEN; COUNTERSIGN_TOKEN=$(cat gate.token)
  ends 1 countersign verify litestream-0.5.8.tar --environment staging --trust trust
}

# authorships RANGE: each author says, under their own key, what wrote
# their changes: AI where the commits say so, a human where they do not.
authorships() {
  local range=$1 a list
  for a in dev-6a45df dev-9f384c dev-401fb9; do
    list=$(ids_by $a "$range" --grep=noreply@anthropic.com)
    [ -z "$list" ] || quiet countersign attest authorship $list --origin ai --agent claude --key keys/$a.pem
    list=$(ids_by $a "$range" --grep=noreply@anthropic.com --invert-grep)
    [ -z "$list" ] || quiet countersign attest authorship $list --origin human --key keys/$a.pem
  done
}

release_two() {
  chapter "3  Release two, v0.5.9: reviewed before the merge"
  local range=v0.5.8..v0.5.9 all
  all=$(ids $range)
  say "Change 1145 is pushed with one commit; CI attests that head, and dev-9f384c approves it:"
  run countersign attest change 1145 --repo litestream --head refs/pull/1145/head~1 --target v0.5.9~1 --key keys/ci.pem
  run countersign approve 1145 --environment production --key keys/dev-9f384c.pem --yes
  say "Then comes another commit. CI attests the heads of all 28 changes as they are reviewed:"
  run countersign attest range $range --changes-only --repo litestream --heads "$HEADS" --key keys/ci.pem
  say "The authors say under their own keys what wrote the code: 25 times AI, 3 times a human (shown for one):"
  authorships $range
  run countersign attest authorship 1026 --origin human --key keys/dev-c2e475.pem
  quiet countersign attest authorship 1026 --origin human --key keys/dev-6ae108.pem
  say "The author of 1145 approves it, and so does the agent. Both are put on record:"
  run countersign approve 1145 --environment production --key keys/dev-6a45df.pem --yes
  run countersign approve 1145 --environment production --key keys/claude.pem --yes
  say "dev-ea3d90 and dev-6ac6e5 review everything:"
  run countersign approve $all --environment production --key keys/dev-ea3d90.pem --yes
  quiet countersign approve $all --environment production --key keys/dev-6ac6e5.pem --yes
  say "The merges are admitted, and the artifact is released:"
  run countersign attest range $range --admissions-only --repo litestream --heads "$HEADS" --key keys/ci.pem
  archive v0.5.9
  run countersign attest release litestream-0.5.9.tar --repo litestream --from v0.5.8 --to v0.5.9 --key keys/builder.pem
  run countersign log checkpoint --trust trust --out before.checkpoint
  ends 0 countersign verify litestream-0.5.9.tar --environment production --trust trust --repo litestream --out verdict.json
}

late() {
  chapter "4  Release one again, with approvals that come late"
  local range=v0.5.7..v0.5.8 all
  all=$(ids $range)
  authorships $range
  say "dev-ea3d90 and dev-6ac6e5 approve what was merged long ago:"
  quiet countersign approve $all --environment production,staging --key keys/dev-ea3d90.pem --yes
  run countersign approve $all --environment production,staging --key keys/dev-6ac6e5.pem --yes
  say "Staging wants approvals before the release goes out. They are there, and shown as late:"
  ends 0 countersign verify litestream-0.5.8.tar --environment staging --trust trust
  say "Production wants them before the merge. No approval can mend that now:"
  ends 1 countersign verify litestream-0.5.8.tar --environment production --trust trust
}

lying() {
  chapter "5  A CI job that lies"
  say "It takes a path out of what it says about change 1145, and signs that:"
  typed countersign attest change 1145 --print … '|' sed 's#"s3/replica_client.go",##' '>' lie.json
  countersign attest change 1145 --repo litestream --head refs/pull/1145/head --target v0.5.9~1 --print |
    sed 's#"s3/replica_client.go",##' > lie.json
  ends 2 countersign attest statement lie.json --key keys/ci.pem
  say "It attests only the last commit of main, and releases from there, as if the ones before did not exist:"
  git -C litestream tag -f v0.5.10-rc1 "$(git -C litestream rev-list --first-parent --reverse v0.5.9..HEAD | sed -n 3p)" >/dev/null
  run countersign attest range v0.5.10-rc1~1..v0.5.10-rc1 --repo litestream --heads "$HEADS" --missing-heads --key keys/ci.pem
  archive v0.5.10-rc1
  run countersign attest release litestream-0.5.10-rc1.tar --repo litestream --from v0.5.10-rc1~1 --to v0.5.10-rc1 --key keys/builder.pem
  ends 1 countersign verify litestream-0.5.10-rc1.tar --environment production --trust trust
}

plans() {
  chapter "6  An agent that would make the environment anew"
  say "The agent was asked to fix a bug. Its script deletes the staging environment and makes it again:"
  run cat plans/recreate.sh plans/operation.yaml
  run countersign attest plan plans/recreate.sh --manifest plans/operation.yaml --environment staging --key keys/claude.pem
  say "Two people wave it through:"
  run countersign approve --plan plans/recreate.sh --environment staging --key keys/dev-ea3d90.pem --yes
  quiet countersign approve --plan plans/recreate.sh --environment staging --key keys/dev-6ac6e5.pem --yes
  ends 1 countersign verify plans/recreate.sh --plan --environment staging --trust trust
  say "A person decides to do it, under their own key. The script is theirs now, and so it is another file:"
  sed 's/^# claude/# dev-401fb9/' plans/recreate.sh > plans/move.sh
  quiet countersign attest plan plans/move.sh --manifest plans/operation.yaml --environment staging --origin human --key keys/dev-401fb9.pem
  ends 1 countersign verify plans/move.sh --plan --environment staging --trust trust
  quiet countersign approve --plan plans/move.sh --environment staging --key keys/dev-ea3d90.pem --yes
  quiet countersign approve --plan plans/move.sh --environment staging --key keys/dev-6ac6e5.pem --yes
  ends 0 countersign verify plans/move.sh --plan --environment staging --trust trust
}

presence() {
  chapter "7  Somebody who is there"
  say "Production asks for more where state is lost: somebody who touches a security key or a passkey."
  say "The same script, for production, and two approvals by key files, which any program could read:"
  quiet countersign attest plan plans/move.sh --manifest plans/operation.yaml --environment production --origin human --key keys/dev-401fb9.pem
  quiet countersign approve --plan plans/move.sh --environment production --key keys/dev-ea3d90.pem --yes
  run countersign approve --plan plans/move.sh --environment production --key keys/dev-6ac6e5.pem --yes
  ends 1 countersign verify plans/move.sh --plan --environment production --trust trust
  say "dev-9f384c has a security key on the roster:"
  run countersign inbox --as dev-9f384c --environment production
  say "It signs when it is touched. (Here a program plays it, testdata/demo/securitykey, and touches itself. A real one"
  say "does not, and owners vouch for touch only where they have seen the hardware.)"
  export SSH_AUTH_SOCK=$PWD/agent.sock
  run countersign approve --plan plans/move.sh --environment production --ssh=security-key.pub --yes
  unset SSH_AUTH_SOCK
  ends 0 countersign verify plans/move.sh --plan --environment production --trust trust
  say "On a page it is a passkey: http://localhost:${LISTEN##*:}/console/ while the ledger runs (make serve). make e2e-console"
  say "does it in a real Chromium, with what must be refused: another page's answer, a replay, no PIN, a copied key."
}

auditor() {
  chapter "8  An auditor, without the ledger"
  run countersign pack litestream-0.5.9.tar --environment production --out v0.5.9.pack
  run countersign log inclusion 187 --trust trust --out inclusion.json
  run countersign log consistency before.checkpoint --trust trust --out consistency.json
  say "The ledger is stopped. What follows needs the files, and the trust folder:"
  stop
  ends 0 countersign verify litestream-0.5.9.tar --environment production --pack v0.5.9.pack --trust trust
  run countersign log verify verdict.json inclusion.json before.checkpoint consistency.json --trust trust
  say "One byte of the pack is flipped:"
  cp v0.5.9.pack flipped.pack
  local at=$(( $(stat -c %s flipped.pack 2>/dev/null || stat -f %z flipped.pack) / 2 )) byte
  byte=$(od -An -tu1 -j $at -N1 flipped.pack | tr -d ' ')
  printf "\\$(printf %03o $((byte ^ 1)))" | dd of=flipped.pack bs=1 seek=$at conv=notrunc 2>/dev/null
  ends 3 countersign verify litestream-0.5.9.tar --environment production --pack flipped.pack --trust trust
}

setup
begin
if [ "${1:-}" = --serve ]; then
  release_one
  chapter "The ledger is running at $COUNTERSIGN_SERVER; stop it with Ctrl-C"
  say "cd $DEMO, put $ROOT/bin on your PATH, and go on from there."
  wait "$SERVER"
  exit
fi
release_one
release_two
late
lying
plans
presence
auditor
chapter "Done. Everything is in $DEMO; rm -rf it when you have seen it."
