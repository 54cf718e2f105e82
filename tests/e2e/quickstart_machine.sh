#!/bin/bash
# quickstart_machine.sh WORK BIN: the part of quickstart.sh that changes a machine, in a mount namespace of its own, for
# which the caller cares.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/machine.sh"
enter_machine "$@"
work=$1/inside
mkdir "$work"
before_release() {
  systemctl stop containerd.service starling.service || true
}
trap 'release_all "$work"' EXIT
install -m 0755 -t /usr/bin "$2"/*
rm -rf /etc/containerd /etc/nerdctl
systemctl start containerd.service
wait_until 30 "containerd's first answer" ctr version

cd "$1/clone"
DEBIAN_FRONTEND=noninteractive bash -euxo pipefail "$1/lines" >"$work/output" 2>"$work/steps.log" || fail "a line does not work: $(tail -n 30 "$work/output" "$work/steps.log")"
for words in "hello from a lazy image" "hello from nerdctl" "built on a lazy base" "made by Python"; do
  expect "what a container says" "$(grep -cx "$words" "$work/output")" 1
done
[ -n "$(mounts_below /var/lib/starling)" ] || fail "no layer is lazy"
