#!/bin/bash
# The main job on real input: a Debian + python3 image is converted to eStargz, pushed to a registry on
# loopback, pulled lazily through containerd, and a Python program runs in it; next to it, the same
# image is pulled in full with overlayfs. Prints requests, bytes and times. Removes all it made.
# demo.sh PROGRAMS   the directory that holds starlingd/starlingd and starling/starling
set -euo pipefail
programs=$(realpath "${1:?usage: demo.sh PROGRAMS}")
PATH=$programs/starling:$programs/starlingd:$PATH
[ "$(id -u)" = 0 ] || { echo "demo: needs root, for containers and mounts" >&2; exit 1; }
[ -e /dev/fuse ] || { echo "demo: needs /dev/fuse (modprobe fuse)" >&2; exit 1; }

here=$(dirname "$(realpath "$0")")
# shellcheck source=../tests/e2e/lib.sh
. "$here/../tests/e2e/lib.sh"
work=$(mktemp -d /tmp/starling-demo.XXXXXX)
trap 'release_all "$work"' EXIT
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. A Debian + python3 image, two layers and a program"
debootstrap --variant=minbase bookworm "$work/base" >"$work/debootstrap.log" 2>&1 ||
  { tail -n 5 "$work/debootstrap.log"; exit 1; }
mkdir -p "$work"/{upper,overlay,merged,app/srv}
mount -t overlay overlay -o "lowerdir=$work/base,upperdir=$work/upper,workdir=$work/overlay" "$work/merged"
cp /etc/resolv.conf /etc/hosts "$work/merged/etc/"
cp -r /etc/apt/apt.conf.d "$work/merged/etc/apt/"
mount --bind /dev "$work/merged/dev"
chroot "$work/merged" sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq \
  --no-install-recommends python3' >"$work/python3.log" 2>&1 || { tail -n 5 "$work/python3.log"; exit 1; }
umount "$work/merged/dev" "$work/merged"
cat >"$work/app/srv/hello.py" <<'P'
import json, platform, statistics
print(json.dumps({"python": platform.python_version(), "mean": statistics.mean([1, 2, 6])}))
P
umoci init --layout "$work/oci"
umoci new --image "$work/oci:plain"
tar -C "$work/base" -cf "$work/1.tar" .
# Whiteouts of the overlay take the form that image layers have.
find "$work/upper" -type c -print0 | while IFS= read -r -d '' file; do
  rm "$file"; : >"$(dirname "$file")/.wh.$(basename "$file")"
done
tar -C "$work/upper" -cf "$work/2.tar" .
tar -C "$work/app" -cf "$work/3.tar" .
for layer in 1 2 3; do umoci raw add-layer --image "$work/oci:plain" "$work/$layer.tar"; done
umoci config --image "$work/oci:plain" --config.cmd python3 --config.cmd /srv/hello.py --os linux \
  --architecture amd64 --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
rm -rf "$work"/{base,upper,overlay,merged,app,?.tar}

say "2. Converted to eStargz and pushed to a registry on loopback"
start_registry "$work"
plain=$REGISTRY/demo/python:plain lazy=$REGISTRY/demo/python:esgz
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$plain"
seconds convert starling convert "oci:$work/oci:plain" "docker://$lazy"
starling inspect "$lazy"

say "3. starlingd and a containerd of its own"
# Without background work, so that the table shows what the pull and the program ask for.
starlingd_settings=$'[fetch]\nbackground = false'
start_starlingd "$work"
start_containerd "$work"
echo "registry $REGISTRY, containerd $CONTAINERD_ADDRESS"

say "4. Lazy: pull and run"
mark=$(registry_mark "$work")
seconds lazy_pull starling pull --address "$CONTAINERD_ADDRESS" "$lazy"
lazy_pull_cost=$(registry_cost "$work" "$mark")
seconds lazy_run ctr run --rm --snapshotter stargz "$lazy" lazy-1
lazy_cost=$(registry_cost "$work" "$mark")
seconds lazy_again ctr run --rm --snapshotter stargz "$lazy" lazy-2

say "5. Eager: the same image in full, with overlayfs"
mark=$(registry_mark "$work")
seconds eager_pull ctr images pull --plain-http "$plain" >"$work/eager.log"
seconds eager_run ctr run --rm "$plain" eager-1
eager_cost=$(registry_cost "$work" "$mark")
seconds eager_again ctr run --rm "$plain" eager-2

say "Result"
printf '%-12s%10s%14s%14s%14s%14s\n' '' 'pull s' 'first run s' 'second run s' 'requests' 'KiB moved'
row() { printf '%-12s%10s%14s%14s%14s%14s\n' "$1" "$2" "$3" "$4" "${5% *}" "$((${5#* } / 1024))"; }
row starling "$lazy_pull_seconds" "$lazy_run_seconds" "$lazy_again_seconds" "$lazy_cost"
row overlayfs "$eager_pull_seconds" "$eager_run_seconds" "$eager_again_seconds" "$eager_cost"
echo "of which the lazy pull itself: ${lazy_pull_cost% *} requests, $((${lazy_pull_cost#* } / 1024)) KiB"
