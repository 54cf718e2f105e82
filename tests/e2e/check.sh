#!/bin/bash
# Promise: `starling check` says of every layer how it is brought, as starlingd then does; its advice has the numbers of the
# image and its commands cure it; it asks a registry little and reads no layer; exit codes tell lazy, partly, not, and why it
# failed; every example of docs/check.md works.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
plain=$REGISTRY/t/app:1
lazy=$REGISTRY/t/app:1-esgz
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$plain"
starling convert "$plain" "$lazy" >/dev/null

# check ARGUMENTS: JSON to $work/check.json, its exit code to CODE.
node=$work/node
check() {
  CODE=0
  starling check --config "$work/config.toml" --root "$node" --json "$@" >"$work/check.json" 2>"$work/check.error" || CODE=$?
}
value() {
  jq -r "$1" "$work/check.json"
}
touch "$work/config.toml"
treatments='[.layers[].treatment] | join(" ")'
ids='[.advice[].id] | join(" ")'

# A plain image.
check "$plain"
expect "exit code for a plain image" "$CODE" 7
expect "its layers" "$(value "$treatments")" "whole whole whole"
expect "its advice" "$(value "$ids")" "whole-layers"
size=$(skopeo inspect --raw --tls-verify=false "docker://$plain" | jq '[.layers[].size] | add')
expect "bytes before a start" "$(value .aheadSize)" "$size"
expect "the advice's number" "$(value '.advice[0].numbers.size')" "$size"
expect "a reason" "$(value '.layers[1].reason')" \
  "an ordinary gzip layer has no table of contents: starling convert makes it eStargz"
expect_match "what people see" "$(starling check --config "$work/config.toml" --root "$node" "$plain" || true)" \
  "0 of 3 layers are lazy here.*fetched as a whole: an ordinary gzip layer.*better: 3 of 3 layers"

# As it is converted, and what that costs the registry.
mark=$(registry_mark "$work")
check "$lazy"
expect "exit code for a lazy image" "$CODE" 0
expect "errors" "$(cat "$work/check.error")" ""
expect "its layers" "$(value "$treatments")" "lazy lazy lazy"
expect "bytes before a start" "$(value .aheadSize)" 0
expect "how they are fetched" "$(value '[.layers[].mode] | join(" ")')" "eager lazy eager"
expect "its advice" "$(value "$ids")" "no-first-needs"
read -r requests bytes <<<"$(registry_cost "$work" "$mark")"
[ "$requests" -le 10 ] || fail "$requests requests: $(registry_requests "$work" "$mark")"
[ "$bytes" -lt $((3 * 262144 + 65536)) ] || fail "$bytes bytes"
echo "ok: $requests requests, $bytes bytes"
expect "the files of the second layer" "$(value '.layers[1].files')" \
  "$(starling inspect --json "$lazy" | jq '.layers[1].files')"
starling check --config "$work/config.toml" --root "$node" "$lazy" >/dev/null || fail "check without --json"

# starlingd decides alike: modes, and their reasons.
starlingd_settings=
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS STARLING_ADDRESS=$work/starling.sock
starling pull "$lazy" >/dev/null
for field in mode reason; do
  # A loopback is no ordinary link, so of the small layers only the mode.
  expect "the $field of the large layer, and starlingd's" "$(value ".layers[1].$field")" \
    "$(starling status "$lazy" --json | jq -r ".images[0].layers[1].$field")"
done

# A profile, attached and then kept.
starling profile record --root "$node" "$lazy" -- cat /data/kept >/dev/null 2>&1
starling profile push --root "$node" "$lazy" >/dev/null
check "$lazy"
expect "the advice with a profile" "$(value "$ids")" ""
expect "runs of the profile" "$(value .profile.runs)" 1
expect_match "the reason with a profile" "$(value '.layers[1].reason')" '^0 % of its bytes are needed by runs$'
mv "$node" "$work/former"
check "$lazy"
expect "the advice where it is attached" "$(value "$ids")" "attached-profile"
pull=$(value '.advice[0].commands[0]')
bash -c "${pull/profile pull/profile pull --root $node}" >/dev/null
check "$lazy"
expect "the advice after: $pull" "$(value "$ids")" ""

# Indexes of plain layers: attached, taken without being told, and kept.
starling index create --root "$work/other" "$plain" >/dev/null
starling index push --root "$work/other" "$plain" >/dev/null
check "$plain"
expect "the advice where indexes are attached" "$(value "$ids")" "whole-layers attached-indexes"
expect "how many" "$(value '.advice[1].numbers.layers')" 3
printf '[fetch]\ngzip_indexes_from = ["%s"]\npolicy = "lazy"\n' "$REGISTRY" >"$work/config.toml"
check "$plain"
expect_match "with trust" "$(value '.advice[1].text')" 'at the first pull'
pull=$(value '.advice[1].commands[0]')
bash -c "${pull/index pull/index pull --root $node}" >/dev/null
check "$plain"
expect "exit code with indexes" "$CODE" 0
expect "its layers" "$(value "$treatments")" "index index index"
expect "their reasons, as configured" "$(value '[.layers[].reason] | unique | join(" ")')" "as configured"
printf '[fetch]\nplain_layers = "containerd"\n' >"$work/config.toml"
rm -r "$node"
check "$plain"
expect "plain layers that containerd takes" "$(value "$treatments")" "containerd containerd containerd"
: >"$work/config.toml"

# Partly lazy; large chunks; landmarks; another format; promises that are not kept.
printf '/odd/large\n' >"$work/first"
starling convert --chunk-size 16777216 --prioritize "$work/first" "$plain" "$REGISTRY/t/app:huge" >/dev/null
check "$REGISTRY/t/app:huge"
expect "the advice for large chunks" "$(value "$ids")" "much-prefetch huge-chunks"
expect "the largest chunk" "$(value '.layers[1].largestChunkSize')" 9000000
expect "large chunks" "$(value '.advice[1].numbers | [.chunks, .largestChunkSize] | join(" ")')" "1 9000000"
cure=$(value '.advice[1].commands[0]')
bash -c "$cure" >/dev/null
check "$REGISTRY/t/app:huge-small-chunks"
expect "the advice after: $cure" "$(value "$ids")" "no-first-needs"
starling convert --format zstd:chunked "$plain" "$REGISTRY/t/app:zstd" >/dev/null
check "$REGISTRY/t/app:zstd"
expect "exit code for zstd:chunked" "$CODE" 0
expect "its advice" "$(value "$ids")" "no-first-needs annotations-not-passed"
mkdir "$work/more" && echo more >"$work/more/more"
tar -C "$work/more" -cf "$work/more.tar" .
skopeo copy -q --src-tls-verify=false "docker://$lazy" "oci:$work/partly:1"
umoci raw add-layer --image "$work/partly:1" "$work/more.tar"
check "oci:$work/partly:1"
expect "exit code for a partly lazy image in files" "$CODE" 6
expect "its layers" "$(value "$treatments")" "lazy lazy lazy whole"
expect "lazy layers" "$(value .lazyLayers)" 3
python3 - "$work/partly" <<'P'
# The manifest again, with another layer's TOC promised for the first.
import hashlib, json, os, sys
index = json.load(open(sys.argv[1] + "/index.json"))
blobs = sys.argv[1] + "/blobs/sha256/"
manifest = json.load(open(blobs + index["manifests"][0]["digest"][7:]))
key = "containerd.io/snapshot/stargz/toc.digest"
manifest["layers"][0]["annotations"][key] = manifest["layers"][1]["annotations"][key]
body = json.dumps(manifest).encode()
digest = hashlib.sha256(body).hexdigest()
open(blobs + digest, "wb").write(body)
index["manifests"][0].update(digest="sha256:" + digest, size=len(body))
json.dump(index, open(sys.argv[1] + "/index.json", "w"))
P
check "oci:$work/partly:1"
expect "layers with a broken promise" "$(value "$treatments")" "containerd lazy lazy whole"
expect_match "its reason" "$(value '.layers[0].reason')" 'the manifest promises the TOC sha256:'
expect "its advice" "$(value "$ids")" "whole-layers broken-layers no-first-needs"

# Failures.
check "$REGISTRY/t/app:none"
expect "exit code for no image" "$CODE" 3
check "127.0.0.1:$(free_port)/t/app:1"
expect "exit code for no registry" "$CODE" 5
echo 'rot = 1' >"$work/config.toml"
check "$lazy"
expect "exit code for a broken configuration" "$CODE" 1
expect_match "its error" "$(cat "$work/check.error")" 'config.toml:1:1: '

# The documentation: its examples, and its lists of what there is.
examples=$(sed -n '/^```sh$/,/^```$/p' "$here/../../docs/check.md" | grep '^starling ')
[ "$(wc -l <<<"$examples")" -ge 4 ] || fail "docs/check.md has few examples"
while read -r example; do
  command=${example//ghcr.io\/me\/app:1-esgz/$lazy}
  command=${command//ghcr.io\/me\/app:1/$plain}
  command=${command//oci:images:app/oci:$work/partly:1}
  code=0
  bash -c "$command --root $work/other" >/dev/null || code=$?
  case $code in 0 | 6 | 7) ;; *) fail "$example: exit code $code" ;; esac
  echo "ok: $example"
done <<<"$examples"
for id in $(grep -oE 'Add\("[a-z-]+"' "$here/../../inspect/check.cc" | cut -d'"' -f2); do
  grep -q "^| \`$id\` |" "$here/../../docs/check.md" || fail "docs/check.md does not explain $id"
done
echo PASS
