#!/bin/bash
# Promise: before anything is built, a recipe's base is looked at by its layers' indexes alone: whether it is for the platform,
# and has what steps call. An entrypoint that does not execute the command behind it is seen in its script, or by running it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
base=$REGISTRY/t/base:1
starling convert "oci:$work/oci:plain" "docker://$base" >/dev/null 2>&1
starlingd_settings=$'[fetch]\nprefetch = false\nbackground = false'
start_starlingd "$work"
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
export CONTAINERD_ADDRESS
common=(--address "$CONTAINERD_ADDRESS" --state-dir "$work/state")

# blob_bytes MARK: of blobs that were sent since then.
blob_bytes() {
  registry_requests "$work" "$1" | awk '$1 == "GET" && $2 ~ "/blobs/" { bytes += $4 } END { print bytes + 0 }'
}

# What calls python on a base without one.
mark=$(registry_mark "$work")
expect_refusal "pip on a base without Python" \
  "^starling image: not possible now: recipe: /steps/1: this step calls python, which $base does not have in its PATH \(/bin\); begin with another image, add a Python with .add_python., or install python in a step before" \
  starling image from-registry "$base" --pip-install polars -q "${common[@]}"
fetched=$(blob_bytes "$mark")
[ "$fetched" -gt 0 ] && [ "$fetched" -lt 3000000 ] || fail "$fetched bytes of blobs were fetched for a look at 9 MB of files"
echo "ok: $fetched bytes were fetched"
# With the layers of a pull, but without the knowledge, another look needs nothing but the manifest.
starling pull --address "$CONTAINERD_ADDRESS" "$base" >/dev/null 2>&1
rm -r "$work/state/python/bases"
mark=$(registry_mark "$work")
expect_refusal "once more" "/steps/1: this step calls python" \
  starling image from-registry "$base" --pip-install polars -q "${common[@]}"
expect "bytes of blobs for another look" "$(blob_bytes "$mark")" 0
mark=$(ls "$work/state/python/bases")
expect_refusal "what was seen" "/steps/1: this step calls python" \
  starling image from-registry "$base" --pip-install polars -q "${common[@]}"
expect "what is known" "$(ls "$work/state/python/bases")" "$mark"

# A base of another platform: one that names it, and an image without an index.
mkdir "$work/empty"
printf 'FROM scratch\nCOPY <<E /file\nE\n' >"$work/Dockerfile.arm"
starling build -f "$work/Dockerfile.arm" --platform linux/arm64 -t "$REGISTRY/t/arm:1" --push -q "${common[@]}" "$work/empty" >/dev/null
expect_refusal "a base of another platform" \
  "^starling image: not possible now: $REGISTRY/t/arm:1 is an image for linux/arm64, and one for linux/amd64 is needed; name another, or build for that one with --platform linux/arm64$" \
  starling image from-registry "$REGISTRY/t/arm:1" --env A=b -q --platform linux/amd64 "${common[@]}"
starling image from-registry "$REGISTRY/t/arm:1" --env A=b -q --platform linux/arm64 "${common[@]}" >/dev/null
echo "ok: for its own platform it is built"
printf 'FROM --platform=linux/arm64 %s\n' "$REGISTRY/t/arm:1" >"$work/Dockerfile.other"
starling image from-dockerfile "$work/Dockerfile.other" --env A=b -q --platform linux/amd64 "${common[@]}" >/dev/null
echo "ok: and where a Dockerfile says so"

# Entrypoints: what their text tells, and what they do.
# try NAME OPTIONS...: a recipe whose entrypoint is the script on standard input.
try() {
  local name=$1
  shift
  jq -Rs --arg image "$base" --arg name "/$name" '{version: 1, steps: [{step: "from", image: $image},
    {step: "dockerfile_lines", lines: ["COPY --chmod=755 <<\"END-OF-SCRIPT\" \($name)\n" + . + "END-OF-SCRIPT"]},
    {step: "entrypoint", command: [$name]}]}' >"$work/$name.json"
  starling build --recipe "$work/$name.json" --progress quiet "$@" "${common[@]}"
}
template=$'#!/bin/sh\n\n# Your custom startup commands here.\n\nexec "$@" # Runs the command passed to the entrypoint script.\n'
try good --check-entrypoint --verify-entrypoint <<<"${template%$'\n'}" 2>"$work/good.log" >/dev/null
expect "the template" "$(grep ^entrypoint "$work/good.log")" 'entrypoint: /good executes the command behind it: line 5: exec "$@"'

prints=$'#!/bin/sh\necho "$@"'
try prints <<<"$prints" 2>"$work/prints.log" >/dev/null
expect "a warning" "$(grep ^entrypoint "$work/prints.log")" \
  'entrypoint: /prints does not execute the command behind it: nothing in it executes its arguments; end it with exec "$@"'
expect_refusal "one that prints, by its text" '/prints does not execute the command behind it: nothing in it' try prints --check-entrypoint -q <<<"$prints"
expect_refusal "one that prints, by running it" \
  'verify-entrypoint: /prints was run with a command behind it: it ended with exit code 0 and did not execute it; its last line: /bin/sh -c echo' \
  try prints --verify-entrypoint -q <<<"$prints"

hides=$'#!/bin/sh\neval exec \'"$@"\''
try hides --check-entrypoint --verify-entrypoint <<<"$hides" 2>"$work/hides.log" >/dev/null
expect "one whose text does not tell" "$(grep ^entrypoint "$work/hides.log")" \
  'entrypoint: whether /hides executes the command behind it cannot be told: line 2: "eval exec "$@"" goes on elsewhere'
# An image without an entrypoint, and a Dockerfile's.
starling image from-registry "$base" --check-entrypoint --verify-entrypoint --progress quiet "${common[@]}" 2>"$work/none.log" >/dev/null
expect "no entrypoint" "$(grep ^entrypoint "$work/none.log")" 'entrypoint: the image executes the command behind it: there is no entrypoint'
printf 'FROM %s\nENTRYPOINT echo x\n' "$base" >"$work/Dockerfile.shell"
expect_refusal "an ENTRYPOINT without brackets" \
  '^starling build: not possible now: /bin/sh does not execute the command behind it: the text of sh -c, as of an ENTRYPOINT without brackets: nothing' \
  starling build -f "$work/Dockerfile.shell" --check-entrypoint -q "${common[@]}" "$work/empty"
echo PASS
