#!/bin/bash
# Promise: `starling profile` records what a run of an image reads, merges runs, and carries the
# knowledge to another machine through a registry or a file; nothing stays mounted or running.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
image=$REGISTRY/t/image:esgz
starling convert "oci:$work/oci:plain" "docker://$image" >/dev/null 2>&1
digest=$(starling inspect --json "$image" | jq -r .manifest)
node=$work/node
file=$node/profiles/${digest#sha256:}.json

expect_refusal "nothing known" 'no access profile' starling profile show --root "$node" "$image"
expect_refusal "nothing attached" 'none is of type' starling profile pull --root "$node" "$image"

# Half a megabyte from the middle of a file, and two small files.
read_some='dd if=/odd/large of=/dev/null bs=65536 skip=64 count=8 2>/dev/null; cat /data/kept /odd/owned'
expect "what the command saw" \
  "$(starling profile record --root "$node" "$image" -- sh -c "$read_some" 2>"$work/error")" \
  "$(printf 'changed\nowned')"
expect_match "what is told of it" "$(cat "$work/error")" 'needed .* 1 runs are known'
expect "runs" "$(jq .runs "$file")" 1
expect "image" "$(jq -r .image "$file")" "$digest"
large=$(starling inspect --json "$image" | jq -r '.layers[1].digest')
needed=$(jq --arg layer "$large" '[.layers[] | select(.layer == $layer) | .ranges[][1]] | add' "$file")
[ "$needed" -ge 524288 ] && [ "$needed" -lt 9000000 ] || fail "$needed bytes of $large"
echo "ok: $needed bytes of the layer with the large file"

# The second run reads another file: what both need counts twice.
starling profile record --root "$node" "$image" -- sh -c 'cat /odd/large >/dev/null' 2>/dev/null
expect "runs after two" "$(jq .runs "$file")" 2
expect "how often ranges were needed" \
  "$(jq -c '[.layers[].ranges[][3]] | unique' "$file")" '[1,2]'

# A command that fails is told of, and recorded all the same.
status=0
starling profile record --root "$node" "$image" -- sh -c 'exit 3' 2>"$work/error" || status=$?
expect "exit code of a failing command" "$status" 1
expect_match "its error" "$(cat "$work/error")" 'exit code 3'
expect "runs after three" "$(jq .runs "$file")" 3
expect_refusal "no such command" 'nothing-like-it' \
  starling profile record --root "$node" "$image" -- nothing-like-it

# Through the registry to another machine.
artifact=$(starling profile push --root "$node" "$image")
expect "what is attached" \
  "$(curl -fs -H 'Accept: application/vnd.oci.image.index.v1+json' \
    "http://$REGISTRY/v2/t/image/manifests/${digest/:/-}" |
    jq -r '.manifests[] | .digest + " " + .artifactType')" \
  "$artifact application/vnd.starling.access-profile.v1+json"
other=$work/other
starling profile pull --root "$other" "$image" >/dev/null
cmp "$file" "$other/profiles/${digest#sha256:}.json" || fail "another profile arrived"
starling profile pull --root "$other" "$image" >/dev/null
cmp "$file" "$other/profiles/${digest#sha256:}.json" || fail "the same profile counted twice"
starling profile pull "$image" "$work/pulled.json"
expect "a profile pulled to a file" "$(cat "$work/pulled.json")" "$(cat "$file")"

# And through a file.
starling profile export --root "$other" "$image" "$work/exported.json"
starling profile import --root "$work/third" "$work/exported.json" >/dev/null
expect "an imported profile" "$(starling profile show --json --root "$work/third" "$image")" "$(cat "$file")"
expect_match "a shown file" "$(starling profile show "$work/exported.json")" "runs    3"
starling profile push "$image" "$work/exported.json" >/dev/null

# Of another image, or of none.
jq -c '.image = "sha256:" + ("0" * 64)' "$file" >"$work/foreign.json"
expect_refusal "a profile of another image" 'not of' starling profile push "$image" "$work/foreign.json"
echo '{"version":1}' >"$work/broken.json"
expect_refusal "a broken file" 'broken.json' starling profile import --root "$node" "$work/broken.json"
expect_refusal "an image in files" 'FILE' starling profile push "oci:$work/oci:plain" "$file"
expect_refusal "an image that is not lazy" 'starling convert' \
  starling profile record --root "$node" "oci:$work/oci:plain" -- true

expect "mounts after all" "$(mounts_below "$work"; grep -E '/tmp/starling-(record|run)-' /proc/self/mountinfo || true)" ""
echo PASS
