#!/bin/bash
# Promise: `starling build` makes the files and the configuration that buildah makes of the same Dockerfile and context, for every
# case of the tables beside the repository; where it does not, build_cases.py says why.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
tables=${STARLING_ACCEPTANCE_DIR:-$here/../../../shared/acceptance}/dockerfile
if [ ! -e "$tables/conformance/cases.json" ]; then
  echo "SKIP: no $tables/conformance/cases.json; name its directory with STARLING_ACCEPTANCE_DIR" >&2
  exit 77
fi
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

# make_base NAME [FILE...]: one image for every base that the cases name, and programs of this machine in it.
make_base() {
  local name=$1 root=$work/root-$1 file
  shift
  mkdir -p "$root"/{bin,dev,etc,home,lib64,proc,root,run,sys,usr/bin,usr/local/bin,var/spool/mail}
  mkdir -m 1777 "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  busybox --list | grep -vx busybox | xargs -I '{}' ln -s busybox "$root/bin/{}"
  printf '%s\n' root:x:0:0:root:/root:/bin/sh bin:x:1:1::/bin:/bin/false daemon:x:2:2::/sbin:/bin/false \
    lp:x:4:7::/var/spool/lpd:/bin/false mail:x:8:12::/var/spool/mail:/bin/false docker:x:1000:1000::/home:/bin/sh >"$root/etc/passwd"
  printf '%s\n' root:x:0: bin:x:1: daemon:x:2: adm:x:4: lp:x:7: mail:x:12: docker:x:1000: >"$root/etc/group"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  echo "ID=$name" >"$root/etc/os-release"
  for file in "$@"; do
    cp -L --parents "$file" "$root"
  done
  [ ! -e "$root/bin/bash" ] || ln -sf bash "$root/bin/sh"
  find "$root" -exec touch -h -d @1485449953 '{}' +
  tar -C "$root" --sort=name -cf "$work/$name.tar" .
  umoci init --layout "$work/$name"
  umoci new --image "$work/$name:1"
  umoci raw add-layer --image "$work/$name:1" "$work/$name.tar"
  umoci config --image "$work/$name:1" --config.cmd /bin/sh --os linux --architecture amd64 \
    --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  skopeo copy -q --dest-tls-verify=false "oci:$work/$name:1" "docker://$REGISTRY/$name:latest"
}

start_registry "$work"
make_base busybox
make_base alpine
# shellcheck disable=SC2046  # a list of files
make_base centos /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*')
start_starlingd "$work"
start_containerd "$work" "$("$here/tools.sh")"
"$here/build_cases.py" --tables "$tables" --registry "$REGISTRY" --containerd "$CONTAINERD_ADDRESS" --work "$work/cases" "$@"
expect "mounts that builds left" "$(grep -c starling-build /proc/self/mounts || true)" 0
echo PASS
