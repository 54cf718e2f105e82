#!/bin/bash
# Promise: --lock writes what the names in a build stood for, and with --locked they stand for it still: a tag and a branch that
# have moved are not followed, a download that has changed is refused, and so is what the lock does not have.
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
start_starlingd "$work"
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
export CONTAINERD_ADDRESS
common=(--progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state")

# A server of a file and of a repository.
mkdir -p "$work/web" "$work/git" "$work/empty"
export HOME=$work GIT_CONFIG_GLOBAL=$work/gitconfig
git config --global user.email e2e@host.example
git config --global user.name e2e
git init -q -b main "$work/git/source"
commit() {
  echo "$1" >"$work/git/source/file"
  git -C "$work/git/source" add file
  git -C "$work/git/source" commit -q -m "$1"
  git -C "$work/git/source" push -q "$work/git/lib.git" main
}
git init -q --bare -b main "$work/git/lib.git"
commit first
echo download >"$work/web/file"
start_process "$work/web.log" python3 "$here/file_server.py" "$work/web" "$work/git"
wait_until 20 "the server's start" test -s "$work/web.log"
web=$(head -n 1 "$work/web.log")

cat >"$work/Dockerfile" <<D
FROM $base
ADD http://$web/file /
ADD http://$web/git/lib.git#main /lib
RUN cat /file /lib/file /data/kept
D
# build NAME OPTIONS...: what RUN printed is in $work/NAME.said.
build() {
  local name=$1
  shift
  starling build "${common[@]}" -f "$work/Dockerfile" "$@" "$work/empty" >"$work/$name.digest" 2>"$work/$name.log" ||
    fail "$name: $(tail -n 20 "$work/$name.log")"
}
lock=$work/app.lock
build first --lock "$lock"
tag_digest() { curl -sI -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/t/base/manifests/1" | tr -d '\r' | awk 'tolower($1) == "docker-content-digest:" { print $2 }'; }
first=$(git -C "$work/git/source" rev-parse HEAD)
expect "what the lock has" "$(jq -c . "$lock")" \
  "{\"version\":1,\"images\":{\"$base\":\"$(tag_digest)\"},\"downloads\":{\"http://$web/file\":\"sha256:$(echo download | sha256sum | cut -d' ' -f1)\"},\"repositories\":{\"http://$web/git/lib.git#main\":\"$first\"}}"

# Everything that can move moves.
printf 'FROM %s\nRUN echo moved >/data/kept\n' "$base" >"$work/Dockerfile.moved"
starling build -q "${common[@]}" -f "$work/Dockerfile.moved" -t "$base" --push "$work/empty" >/dev/null
commit second
build locked --lock "$lock" --locked
expect "the image of the lock" "$(cat "$work/locked.digest")" "$(cat "$work/first.digest")"
cp "$lock" "$work/empty/starling.lock"
(cd "$work/empty" && starling build -q "${common[@]}" -f "$work/Dockerfile" --locked "$work/empty") >"$work/default.digest"
expect "by the lock of the working directory" "$(cat "$work/default.digest")" "$(cat "$work/first.digest")"
rm "$work/empty/starling.lock"
# On another machine, which has done nothing yet: no result is known there.
build fresh --lock "$lock" --locked --no-cache
expect "the files of the lock" "$(grep -oE ' (download|first|second|changed|moved)$' "$work/fresh.log" | tr -d '\n')" " download first changed"
build open --lock "$work/new.lock"
expect "without it" "$(grep -oE ' (download|first|second|changed|moved)$' "$work/open.log" | tr -d '\n')" " download second moved"
expect "names in the new lock" "$(jq -r '.images, .repositories | to_entries[] | .value' "$work/new.lock")" \
  "$(tag_digest)"$'\n'"$(git -C "$work/git/source" rev-parse HEAD)"

# refused WHAT REGEX: of a build with the lock.
refused() {
  if starling build "${common[@]}" -f "$work/Dockerfile" --lock "$lock" --locked "$work/empty" >"$work/refused.out" 2>"$work/refused.log"; then
    fail "$1 was built"
  fi
  expect_match "$1" "$(cat "$work/refused.log")" "$2"
}
cp "$lock" "$work/before.lock"
echo changed >"$work/web/file"
refused "a download that has changed" "http://$web/file.*sha256:$(echo changed | sha256sum | cut -d' ' -f1).*sha256:$(echo download | sha256sum | cut -d' ' -f1)"
echo "ADD http://$web/other /" >>"$work/Dockerfile"
echo "ADD http://$web/git/lib.git#v2 /" >>"$work/Dockerfile"
refused "downloads that it does not have" "http://$web/other is not in $lock; .*the repository http://$web/git/lib.git#v2 is not in $lock"
echo "COPY --from=$REGISTRY/t/other:2 / /" >>"$work/Dockerfile"
refused "an image that it does not have" "Dockerfile:7:.*the image $REGISTRY/t/other:2 is not in $lock; build once with --lock"
cmp "$lock" "$work/before.lock"
echo "ok: the lock is as it was"
echo '{"version": 1, "images": {"a": "b"}}' >"$lock"
refused "a lock that is none" "$lock: .*/images/a: "
rm "$lock"
refused "no lock" "--locked: .*app.lock"
echo PASS
