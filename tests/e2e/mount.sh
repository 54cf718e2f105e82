#!/bin/bash
# Promise: `starling mount` shows an image without containerd and without a daemon, from a registry, a layout or an
# archive; whatever is wrong with the image, the registry or the machine gives one clear error and
# leaves nothing mounted.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
before_release() {
  for directory in "$work"/at*; do starling umount "$directory" 2>/dev/null; done
}
trap 'release_all "$work"' EXIT

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null 2>&1
starling convert "oci:$work/oci:plain" "oci-archive:$work/image.tar:esgz" >/dev/null 2>&1
start_registry "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/image:esgz" >/dev/null 2>&1

# The image unpacked by umoci and overlayfs' rules is what every mount must equal.
umoci unpack --image "$work/oci:plain" "$work/bundle" >/dev/null 2>&1
python3 "$here/tree.py" "$work/bundle/rootfs" | grep -v '^/ ' >"$work/wanted.txt"

number=0
for image in "oci:$work/oci:esgz" "oci-archive:$work/image.tar:esgz" "$REGISTRY/t/image:esgz"; do
  number=$((number + 1))
  at=$work/at$number
  mkdir "$at"
  starling mount --root "$work/root$number" "$image" "$at"
  python3 "$here/tree.py" "$at" | grep -v '^/ ' >"$work/seen.txt"
  diff "$work/wanted.txt" "$work/seen.txt" | head -n 10
  cmp "$work/wanted.txt" "$work/seen.txt" || fail "$image differs from its unpacking"
  echo "ok: $(wc -l <"$work/seen.txt") files of $image"
  status=0
  starling mount --root "$work/root-other" "$image" "$at" 2>"$work/error" || status=$?
  expect "exit code of mounting twice" "$status" 1
  expect_match "the error of mounting twice" "$(cat "$work/error")" 'already'
  starling umount "$at"
  expect "what is left of $image" "$(mounts_below "$work"; ls "$at")" ""
done

# Data that was read stays: another mount of the same directory asks for manifest and nothing else.
mark=$(registry_mark "$work")
starling mount --root "$work/root3" "$REGISTRY/t/image:esgz" "$work/at3"
cat "$work/at3/data/kept" "$work/at3/odd/large" >/dev/null
starling umount "$work/at3"
expect "blob requests of a second mount" \
  "$(registry_requests "$work" "$mark" | grep -c 'blobs/' || true)" 0

# refused WHAT IMAGE REGEX [PREFIX...]: one line of error, exit code 1, nothing mounted, no process.
refused() {
  local what=$1 image=$2 regex=$3 status=0
  shift 3
  mkdir -p "$work/at-bad"
  timeout 60 "$@" starling mount --root "$work/root-bad" "$image" "$work/at-bad" 2>"$work/error" || status=$?
  expect "$what: exit code" "$status" 1
  expect "$what: lines of error" "$(wc -l <"$work/error")" 1
  expect_match "$what: error" "$(cat "$work/error")" "$regex"
  expect "$what: mounts" "$(mounts_below "$work")" ""
  rm -rf "$work/root-bad"
}

coproc BAD { exec python3 "$here/bad_registry.py" "$work/oci" esgz; }
E2E_PIDS+=("$BAD_PID")
read -r bad <&"${BAD[0]}"
refused "no such tag" "oci:$work/oci:nothing" 'nothing'
refused "no such layout" "oci:$work/none:x" 'none'
refused "no such archive" "oci-archive:$work/none.tar" 'none'
refused "no image" "oci-archive:$here/image.sh" 'image.sh'
refused "401" "$bad/unauthorized/image:1" '401|authenticat|log ?in'
refused "404" "$bad/missing/image:1" '404|not found'
refused "manifest is no JSON" "$bad/not-json/image:1" 'manifest|JSON'
refused "truncated layers" "$bad/truncated/image:1" 'bytes|size|Content-Range'
refused "wrong TOC digest" "$bad/wrong-toc/image:1" 'TOC'
refused "nobody listens" "127.0.0.1:1/t/image:1" '127.0.0.1:1'
refused "odd name" "docker://UPPER/Case:1" 'UPPER|reference|name'
refused "500" "$bad/broken/image:1" '500'
refused "silence" "$bad/silent/image:1" 'timed out|deadline|seconds|timeout'
refused "not root" "oci:$work/oci:esgz" 'root|permission|Permission|permitted' \
  setpriv --reuid 65534 --regid 65534 --clear-groups
refused "no /dev/fuse" "oci:$work/oci:esgz" '/dev/fuse' \
  unshare --mount sh -c 'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "$@"' -

# Wrong bytes in chunks: what is intact can be read, the rest is an I/O error, and never wrong.
mkdir "$work/at-chunk"
starling mount --root "$work/root-chunk" "$bad/wrong-chunk/image:1" "$work/at-chunk"
status=0
cat "$work/at-chunk/odd/large" >"$work/large" 2>"$work/error" || status=$?
expect "reading a file with wrong chunks" "$status" 1
expect_match "its error" "$(cat "$work/error")" 'Input/output error'
expect "a file that is intact" "$(cat "$work/at-chunk/data/kept")" changed
starling umount "$work/at-chunk"

# A server that was killed leaves a dead mount, which umount takes away.
mkdir "$work/at-killed"
starling mount --root "$work/root-killed" "oci:$work/oci:esgz" "$work/at-killed"
server=$(pgrep -f "starling mount --root $work/root-killed")
kill -KILL "$server"
wait_until 10 "the end of the killed server" bash -c "! kill -0 $server"
starling umount "$work/at-killed"
expect "mounts after all" "$(mounts_below "$work")" ""
status=0
starling umount "$work/at-killed" 2>"$work/error" || status=$?
expect "exit code of umount without a mount" "$status" 1
echo PASS
