#!/bin/sh
# For any CI, and for a hook of a git server: what to call with nothing but a clone, with
# COUNTERSIGN_SERVER, COUNTERSIGN_REPOSITORY and COUNTERSIGN_KEY (a key file) in the
# environment, and for a release COUNTERSIGN_ENVIRONMENT, COUNTERSIGN_TRUST and
# COUNTERSIGN_TOKEN.
#
#   shell.sh change ID          a change under review, whose head is refs/pull/ID/head
#   shell.sh push OLD [NEW]     what came to the branch since OLD
#   shell.sh release NAME FILE… files that were built from HEAD; fails unless they may go
set -eu

what=${1:?change, push or release}
shift
case $what in
  change) exec countersign ci --fetch --change "$1" ;;
  push) exec countersign ci --fetch --from "$1" --head "${2:-HEAD}" ;;
  release)
    : "${COUNTERSIGN_ENVIRONMENT:?where is it to go}"
    name=$1
    shift
    exec countersign ci --fetch --release "$name" "$@"
    ;;
  *) echo "shell.sh: $what is none of change, push, release" >&2; exit 2 ;;
esac
