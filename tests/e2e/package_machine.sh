#!/bin/bash
# package_machine.sh WORK DEB NEWER IMAGE: the part of package.sh that changes a machine, in a mount namespace of its own,
# for which the caller cares.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/machine.sh"
enter_machine "$@"

work=$1 deb=$2 newer=$3 image=$4
mkdir "$work/inside"
before_release() { systemctl stop starling.service || true; }
trap 'release_all "$work/inside"' EXIT
export DEBIAN_FRONTEND=noninteractive
lock=/var/lib/starling/starlingd.lock

dpkg -i "$deb" >"$work/inside/dpkg.log" 2>&1 || fail "installing: $(cat "$work/inside/dpkg.log")"
expect "the service" "$(systemctl is-active starling.service)" active
wait_until 20 "its socket" test -S /run/starling/starling.sock
expect "which program" "$(readlink "/proc/$(cat /run/systemctl/starling.service)/exe")" /usr/bin/starlingd
expect "its manual" "$(MANPATH=/usr/share/man man -w starlingd)" /usr/share/man/man8/starlingd.8.gz

mkdir -p "$work/inside/starling"
ln -s /run/starling/starling.sock "$work/inside/starling.sock"
start_containerd "$work/inside"
export CONTAINERD_ADDRESS
starling pull --address "$CONTAINERD_ADDRESS" "$image" >/dev/null
top=$(ctr snapshots --snapshotter stargz ls | awk '/Committed/ { name[$1]; if (NF == 3) parent[$2] }
  END { for (n in name) if (!(n in parent)) print n }')
ctr leases create --id package >/dev/null
export CONTAINERD_LEASE=package
ctr snapshots --snapshotter stargz prepare container "$top" >/dev/null
mkdir "$work/inside/tree"
sh <<<"$(ctr snapshots --snapshotter stargz mounts "$work/inside/tree" container)"
[ -n "$(mounts_below /var/lib/starling)" ] || fail "nothing is lazy"

# Back and forth between two versions, while eight programs read and compare.
cat >"$work/inside/other_version" <<S
case \$(dpkg-query -W -f '\${Version}' starling) in 9.9.9-1) dpkg -i --force-downgrade '$deb' ;; *) dpkg -i '$newer' ;; esac
S
before=$(ls -di /proc/"$(cat /run/systemctl/starling.service)")
python3 "$here/kill_loop.py" --tree "$work/inside/tree" --expected "$work/expected" --lock-file "$lock" --seconds 15 --reload --no-kill \
  --reload-by "sh $work/inside/other_version >>$work/inside/dpkg.log 2>&1" || fail "an upgrade: $(tail -n 20 "$work/inside/dpkg.log")"
expect "the service after upgrades" "$(systemctl is-active starling.service)" active
expect "its keeper, which none of them ended" "$(ls -di /proc/"$(cat /run/systemctl/starling.service)")" "$before"

umount "$work/inside/tree"
ctr snapshots --snapshotter stargz rm container
stop_process "$CONTAINERD_PID"
dpkg -r starling >>"$work/inside/dpkg.log" 2>&1 || fail "removing: $(tail -n 20 "$work/inside/dpkg.log")"
expect "mounts of a removed package" "$(mounts_below /var/lib/starling)" ""
expect "what it fetched" "$([ -d /var/lib/starling/store ] && echo kept)" kept
dpkg -P starling >>"$work/inside/dpkg.log" 2>&1 || fail "purging: $(tail -n 20 "$work/inside/dpkg.log")"
expect "files of a purged package" "$(find /var/lib/starling /etc/starling /usr/bin/starling /usr/bin/starlingd /usr/share/doc/starling \
  /lib/systemd/system/starling.service /run/starling/starling.sock 2>/dev/null | xargs)" ""
expect "the package" "$(dpkg-query -W -f '${db:Status-Status}' starling 2>/dev/null || echo unknown)" unknown
