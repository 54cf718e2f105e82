#!/bin/bash
# Promise: --lock writes what the names in a build stood for, and with --locked they stand for it still: a tag and a branch that
# have moved are not followed, a download that has changed is refused, and so is what the lock does not have. Packages of a
# recipe stay as they were, and two machines make the same digests of them.
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

# What a recipe installs: two machines have the same image of it, though every index has newer packages by then.
archives=$("$here/python_archives.sh")
debian=$("$here/debian.sh")
wheels=$("$here/uv_wheels.sh")
export STARLING_PYTHON_SOURCE=$archives STARLING_PYTHON_TABLE=$archives/SHA256SUMS STARLING_UV_SOURCE=$wheels SOURCE_DATE_EPOCH=1700000000
# publish VERSION: of everything.
publish() {
  for name in low foo baz qux; do
    "$here/package_index.py" wheel "$work/web/simple" $name "$1" $([ $name != foo ] || echo low)
  done
  "$here/package_index.py" deb "$work/web/apt" e2e-low "$1"
  "$here/package_index.py" deb "$work/web/apt" e2e-app "$1" e2e-low
}
publish 1.0
cp "$debian" "$work/empty/root.tar"
cat >"$work/Dockerfile.debian" <<D
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN rm -rf /etc/apt/sources.list.d/* && echo "deb [trusted=yes] http://$web/apt ./" >/etc/apt/sources.list
D
starling build -q "${common[@]}" -f "$work/Dockerfile.debian" -t "$REGISTRY/t/debian:1" --push "$work/empty" >/dev/null
mkdir "$work/project"
printf -- '--index-url http://%s/simple/\nqux # of the file\n' "$web" >"$work/project/requirements.txt"
jq -n --arg base "$REGISTRY/t/debian:1" --arg index "http://$web/simple/" '{version: 1, steps: [
  {step: "from", image: $base},
  {step: "add_python", version: "3.12.3"},
  {step: "apt", packages: ["e2e-app"]},
  {step: "pip", packages: ["foo"], index_url: $index},
  {step: "uv_pip", packages: ["baz"], requirements: [{context: "local-1", path: "requirements.txt"}]},
  {step: "run", commands: ["cd /usr/share/e2e && echo $(cat e2e-app e2e-low; python -c \"import foo, low, baz, qux; print(foo.VERSION, low.VERSION, baz.VERSION, qux.VERSION)\")"]}]}' >"$work/recipe.json"
recipe=(build --recipe "$work/recipe.json" --build-context "local-1=$work/project")
# recipe NAME OPTIONS...: what its last step said is in $work/NAME.said.
recipe() {
  local name=$1
  shift
  starling "${recipe[@]}" "${common[@]}" -t "$REGISTRY/t/$name:1" "$@" >"$work/$name.digest" 2>"$work/$name.log" || fail "$name: $(tail -n 20 "$work/$name.log")"
  grep -oE '([12]\.0 ){5}[12]\.0$' "$work/$name.log" | tail -n 1 >"$work/$name.said" || true
}
recipe one --lock "$work/one.lock"
expect "what is installed" "$(cat "$work/one.said")" "1.0 1.0 1.0 1.0 1.0 1.0"
wheel=http://$web/simple/
sha() { sha256sum "$work/web/simple/$1/$1-1.0-py3-none-any.whl" | cut -d' ' -f1; }
expect "packages in the lock" "$(jq -c .packages "$work/one.lock")" \
  "$(jq -nc --arg pip "linux/amd64 python -m pip install foo --index-url $wheel" \
    --arg uv "linux/amd64 uv pip install -r /.uv/0/requirements.txt baz sha256:$(sha256sum "$work/project/requirements.txt" | cut -d' ' -f1)" \
    --arg foo "$(sha foo)" --arg low "$(sha low)" --arg baz "$(sha baz)" --arg qux "$(sha qux)" '{
      "linux/amd64 apt-get install -y e2e-app": ["e2e-app=1.0", "e2e-low=1.0"],
      ($pip): ["foo==1.0 --hash=sha256:\($foo)", "low==1.0 --hash=sha256:\($low)"],
      ($uv): ["baz==1.0 --hash=sha256:\($baz)", "qux==1.0 --hash=sha256:\($qux)"]}')"
expect "the tool in the lock" "$(jq -c '.tools | map_values(.digest)' "$work/one.lock")" \
  "{\"uv 0.13.9 amd64\":\"sha256:$(sha256sum "$wheels"/uv-0.13.9-*.whl | cut -d' ' -f1)\"}"

publish 2.0
recipe again --lock "$work/one.lock" --locked
expect "the image once more" "$(cat "$work/again.digest")" "$(cat "$work/one.digest")"
expect "steps that were done for it" "$(grep -cE '([12]\.0 ){5}' "$work/again.log" || true)" 0
(
  # Another machine: nothing of the first one's is here but the lock.
  mkdir "$work/other"
  start_starlingd "$work/other"
  start_containerd "$work/other" "$bin"
  common=(--progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/other/state")
  recipe two --lock "$work/one.lock" --locked
  stop_process "$CONTAINERD_PID"
  stop_process "$STARLINGD_PID"
)
expect "what another machine installs" "$(cat "$work/two.said")" "1.0 1.0 1.0 1.0 1.0 1.0"
expect "its image" "$(cat "$work/two.digest")" "$(cat "$work/one.digest")"
recipe new --lock "$work/new.lock"
expect "what is installed with a new lock" "$(cat "$work/new.said")" "2.0 2.0 2.0 2.0 2.0 2.0"
# Compiled files that name contents: flags are 3 for those of pip, whose sources are looked at, and 1 for uv's, which stand.
flags='import sys; print(*(open(f"/usr/local/lib/python3.12/site-packages/__pycache__/{name}.cpython-312.pyc", "rb").read()[4] for name in sys.argv[1:]))'
expect "kinds of compiled files" \
  "$("$bin/ctr" run --rm --log-uri "file://$work/flags" --snapshotter stargz "$REGISTRY/t/one:1" flags python -c "$flags" foo low baz qux && cat "$work/flags")" "3 3 1 1"

refuse_recipe() {
  if starling "${recipe[@]}" "${common[@]}" "${@:3}" >"$work/refused.out" 2>"$work/refused.log"; then fail "$1 was built"; fi
  expect_match "$1" "$(cat "$work/refused.log")" "$2"
}
cp "$work/project/requirements.txt" "$work/requirements.before"
echo low >>"$work/project/requirements.txt"
refuse_recipe "another file of requirements" 'recipe: /steps/4: what "linux/amd64 uv pip install .*" installs is not in .*one.lock; build once with --lock' \
  --lock "$work/one.lock" --locked
mv "$work/requirements.before" "$work/project/requirements.txt"
jq '.steps[2] = {step: "micromamba", packages: ["x"]}' "$work/recipe.json" >"$work/refused.json"
recipe=(build --recipe "$work/refused.json" --build-context "local-1=$work/project")
refuse_recipe "what cannot be locked" "/steps/2: what micromamba installs is locked by conda-lock's own NAME-lock.yml alone, .*; build it without --lock and --locked" --lock "$work/x.lock"
[ ! -e "$work/x.lock" ] || fail "a lock was written"

# One package more than twenty: the nineteen, and what stands below, are there.
names=$(printf 'p%d ' {1..20})
for name in $names p21; do "$here/package_index.py" wheel "$work/web/simple" "$name" 1.0; done
many() {
  # What comes by plain HTTP pip keeps of hosts that are trusted alone.
  starling image from-registry "$REGISTRY/t/debian:1" --env "PIP_INDEX_URL=http://$web/simple/" --env "PIP_TRUSTED_HOST=$web" --add-python 3.12.3 --apt-install e2e-app \
    --pip-install $names "$@" "${common[@]}" >/dev/null 2>"$work/many.log" || fail "$(tail -n 20 "$work/many.log")"
}
wheels_sent() { grep -c 'GET /simple/p.*\.whl HTTP[^"]*" 200' "$work/web.log" || true; }
many
expect "wheels that are fetched for twenty packages" "$(wheels_sent)" 20
many p21
expect "for one more" "$(wheels_sent)" 21
expect "what stands below" "$(grep -A 1 -E 'RUN .*apt-get install|COPY .*python-3' "$work/many.log" | grep -c CACHED || true)" 2
echo PASS
