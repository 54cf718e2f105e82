#!/bin/bash
# node.sh install|uninstall [--host DIRECTORY] [--archive FILE] [--client cri|k3s] [--stay]: puts Starling on the machine whose
# root directory is DIRECTORY (/host), from the archive of `make tarball`, and takes it away again.
#
# The daemon is a service of the machine's systemd, not a process of the pod that runs this: a pod that ends, is evicted or
# replaced takes no mount with it. A later archive replaces the programs, and the running keeper has the new daemon take over,
# so a node need not be drained. containerd is told once, and restarted when its file was changed: containers outlive that.
#
# Exit codes: 0 done, 1 failed: nothing is half replaced, 2 wrong usage.
set -euo pipefail

usage() {
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
}

fail() {
  echo "node.sh: $*" >&2
  exit 1
}

action=${1:-}
case $action in install | uninstall) shift ;; *) usage ;; esac
host=/host archive= client=cri stay=
while [ $# -gt 0 ]; do
  case $1 in
    --host) host=${2:?} && shift 2 ;;
    --archive) archive=${2:?} && shift 2 ;;
    --client) client=${2:?} && shift 2 ;;
    --stay) stay=1 && shift ;;
    *) usage ;;
  esac
done

programs=/opt/starling
unit=/etc/systemd/system/starling.service
configuration=/etc/starling/config.toml

on_host() {
  chroot "$host" "$@"
}

[ -d "$host/run/systemd/system" ] || fail "$host has no systemd that runs; mount the machine's / there, or use starlingd without it"
on_host systemctl --version >/dev/null 2>&1 || fail "$host has no systemctl"

# containerd_service: the service that `setup` speaks of.
containerd_service() {
  case $client in
    cri) echo containerd.service ;;
    k3s) on_host systemctl -q is-active k3s-agent.service && echo k3s-agent.service || echo k3s.service ;;
    *) usage ;;
  esac
}

# setup_client OPTION: tells containerd, or takes it back; restarts it when its files are others than before.
setup_client() {
  local before after
  before=$(files_of_client)
  on_host "$programs/bin/starling" setup "$client" "$1" || fail "starling setup $client $1 did not do it; what it says is above"
  after=$(files_of_client)
  if [ "$before" != "$after" ]; then
    echo "$(containerd_service) is restarted for its new configuration"
    on_host systemctl restart "$(containerd_service)"
  fi
}

files_of_client() {
  find "$host/etc/containerd" "$host/var/lib/rancher/k3s/agent/etc/containerd" -name '*.toml*' -type f -exec sha256sum {} + 2>/dev/null | sort || true
}

install_programs() {
  local new=$host$programs/.new file
  rm -rf "$new"
  mkdir -p "$new"
  tar -C "$new" --strip-components=1 -xzf "$archive" || fail "$archive is no archive of make tarball"
  on_host "$programs/.new/bin/starlingd" --version >/dev/null || fail "the programs in $archive do not run on this machine"
  # Each file in one step, what is loaded before what loads it: a server that is started meanwhile finds either.
  for file in $(cd "$new" && find lib share bin -type f | LC_ALL=C sort -r | awk '/^bin/ { last = last $0 "\n"; next } { print } END { printf "%s", last }'); do
    mkdir -p "$host$programs/$(dirname "$file")"
    mv -f "$new/$file" "$host$programs/$file"
  done
  rm -rf "$new"
}

install_all() {
  [ -n "$archive" ] || archive=$(echo /opt/starling-*.tar.gz)
  [ -f "$archive" ] || fail "there is no archive $archive"
  install_programs
  if [ -f "${STARLING_CONFIGURATION:-}" ]; then
    mkdir -p "$host$(dirname "$configuration")"
    cat "$STARLING_CONFIGURATION" >"$host$configuration.new"
    mv "$host$configuration.new" "$host$configuration"
  fi
  sed "s|=/usr/local/bin/|=$programs/bin/|" "$host$programs/lib/systemd/system/starling.service" >"$host$unit.new"
  mv "$host$unit.new" "$host$unit"
  on_host systemctl daemon-reload
  on_host systemctl enable starling.service
  if on_host systemctl -q is-active starling.service; then
    on_host "$programs/bin/starling" upgrade || fail "the daemon that runs stays the old one; see journalctl -u starling on the machine"
  else
    on_host systemctl start starling.service
  fi
  setup_client --apply
}

uninstall_all() {
  [ -x "$host$programs/bin/starling" ] || { echo "nothing is installed"; return; }
  setup_client --undo
  on_host systemctl stop starling.service
  on_host systemctl disable starling.service
  rm -f "$host$unit"
  on_host systemctl daemon-reload
  # What was fetched stays: an image that is still wanted need not come again.
  rm -rf "${host:?}$programs"
}

"${action}_all"
echo "$action: done"
if [ -n "$stay" ]; then
  trap 'exit 0' TERM INT
  touch /tmp/ready
  while :; do sleep 3600 & wait $!; done
fi
