# A machine to install things on: a view of this one in which everything is there, and what is changed is in DIR and goes with it.
# To be sourced by scripts that run in a mount namespace of their own, with private propagation.
# shellcheck shell=bash

# make_machine DIR: its root directory is DIR/root. /tmp and the tree that is tested are this machine's; systemctl is
# systemctl.py, as no systemd runs.
make_machine() {
  local here tree directory
  here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
  tree=$(realpath "$here/../..")
  mkdir -p "$1"
  mount -t tmpfs machine "$1"
  mkdir "$1"/{upper,work,root} "$1.state"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
  for directory in proc sys dev; do mount --rbind "/$directory" "$1/root/$directory"; done
  # Not what others have mounted there, which they could not unmount any more.
  mount --bind /tmp "$1/root/tmp"
  case $tree in
    /tmp/*) ;;
    *) mkdir -p "$1/root$tree" && mount --rbind "$tree" "$1/root$tree" ;;
  esac
  # On a disk that overlayfs can write to.
  cp -a /var/lib/dpkg /var/lib/systemd "$1.state/"
  mount --bind "$1.state" "$1/root/var/lib"
  mount -t tmpfs run "$1/root/run"
  mkdir -p "$1"/root/run/{systemd/system,lock}
  install -m 0755 "$here/systemctl.py" "$1/root/usr/bin/systemctl"
  # What images of containers leave out or forbid, a machine has.
  rm -rf "$1/root/usr/sbin/policy-rc.d" "$1/root/etc/dpkg/dpkg.cfg.d"
}

# enter_machine WORK ARGUMENTS...: the calling script begins anew with the same arguments, on a machine of its own: its root
# directory is that of the mount namespace, as containers need it. The second time it goes on.
enter_machine() {
  [ -z "${STARLING_MACHINE:-}" ] || return 0
  make_machine "$1/machine"
  cd "$1/machine/root"
  mkdir -p old
  pivot_root . old
  umount -l /old
  cd /
  mkdir -p /run/systemctl
  # Who starts services, wherever it is called from.
  echo $$ >/run/systemctl/machine
  # Nothing of the build is to be found by accident.
  STARLING_MACHINE=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin exec "$(realpath "$0")" "$@"
}
