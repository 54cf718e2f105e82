#!/bin/bash
# Promise: what a recipe becomes is built: each literal arrives as it was, what is ignored does not, a secret is there during
# its step only, a Python is added beside a base without one, and a function runs by it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/base:1" >/dev/null 2>&1
start_starlingd "$work"
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
export CONTAINERD_ADDRESS

# A Python as the tree of one: it shows how it was called.
mkdir -p "$work/tree/python/bin" "$work/source/a [1]" "$work/empty"
printf '#!/bin/sh\necho "python $(basename "$1")"; tail -n +2 "$1"\n' >"$work/tree/python/bin/python3"
chmod 755 "$work/tree/python/bin/python3"
ln -s python3 "$work/tree/python/bin/python"
touch "$work/source/a [1]/kept.txt" "$work/source/a [1]/left.pyc" "$work/source/a [1]/out of.it"

cat >"$work/recipe.json" <<R
{"version": 1, "steps": [
  {"step": "from", "image": "$REGISTRY/t/base:1"},
  {"step": "run", "commands": ["mkdir -p /usr/bin && ln -s /bin/env /usr/bin/env"]},
  {"step": "add_python", "version": "3.11"},
  {"step": "env", "variables": {"PATH": "/usr/local/bin:/bin"}},
  {"step": "workdir", "path": "/w \$x/'q'"},
  {"step": "env", "variables": {"VALUE": "\$HOME \"two\" it's \\\\ #"}},
  {"step": "copy", "source": {"context": "local-1", "path": "a [1]"}, "destination": "/copied here/", "ignore": ["*.pyc", "out of.*"]},
  {"step": "run", "commands": ["printf %s \"\$VALUE\" >value", "pwd >/where\nls '/copied here' >/listed"]},
  {"step": "run", "commands": ["printf %s \"\$TOKEN\" | wc -c >/length"], "secrets": [{"id": "token", "variable": "TOKEN"}]},
  {"step": "run", "commands": ["printf %s \"\${TOKEN-none}\" >/after"]},
  {"step": "python_function", "script": "print('\$VALUE')\n"},
  {"step": "run", "commands": ["python /where >/by-name"]},
  {"step": "dockerfile_lines", "lines": ["COPY [\"a [[]1]/kept.txt\", \"/kept\"]"], "context": "local-1"}
]}
R
app=$REGISTRY/t/recipe:1
# build ARGUMENTS...: into $work/build.log.
build() {
  TOKEN=s3cret starling build --progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" -t "$app" \
    --build-context "local-1=$work/source" --build-context "python-3.11=$work/tree" --secret id=token,env=TOKEN "$@" \
    >"$work/build.out" 2>"$work/build.log" || fail "starling build: $(tail -n 20 "$work/build.log")"
}
build --recipe "$work/recipe.json"
# read_file PATH: of the image.
read_file() {
  "$bin/ctr" run --rm --log-uri "file://$work/run.log" --snapshotter stargz "$app" c1 /bin/cat "$1" >/dev/null && cat "$work/run.log" && rm "$work/run.log"
}
expect "a literal value of the environment" "$(read_file "/w \$x/'q'/value")" "\$HOME \"two\" it's \\ #"
expect "the working directory of a script" "$(read_file /where)" "/w \$x/'q'"
expect "what is copied" "$(read_file /listed)" "kept.txt"
expect "the secret's length" "$(read_file /length)" 6
expect "the secret afterwards" "$(read_file /after)" none
expect "python by its name" "$(read_file /by-name | head -n 1)" "python where"
expect_match "the function" "$(cat "$work/build.log")" "print\('\\\$VALUE'\)"
expect "lines with a context" "$(read_file /kept)" ""

starling build --recipe - --print=dockerfile <"$work/recipe.json" >"$work/Dockerfile"
build -f "$work/Dockerfile" "$work/empty"
expect "steps of the equal Dockerfile that are done again" "$(grep -c 'print(' "$work/build.log" || true)" 0

if starling build --recipe "$work/recipe.json" --build-context "python-3.11=$work/tree" >"$work/build.out" 2>"$work/build.log"; then
  fail "built without a context"
fi
expect_match "a context that is missing" "$(cat "$work/build.log")" "--build-context local-1=DIRECTORY"
rm "$work/tree/python/bin/python"
if starling build --recipe "$work/recipe.json" --build-context "local-1=$work/source" --build-context "python-3.11=$work/tree" \
  >"$work/build.out" 2>"$work/build.log"; then
  fail "built with a Python without its name"
fi
expect_match "a Python without its name" "$(cat "$work/build.log")" "there is no .*/tree/python/bin/python; link it to python3"

# From Python: the same words, with values of secrets in the environment alone.
mkdir "$work/project"
echo "from Python" >"$work/project/file"
cd "$work/project"
PYTHONPATH=$here/../../python/src python3 -B - "$REGISTRY/t/base:1" "$work" <<'P' >"$work/python.out" 2>"$work/build.log" || fail "$(tail -n 20 "$work/build.log")"
import os
import sys

import starling

image = (
    starling.Image.from_registry(sys.argv[1])
    .workdir("/w")
    .env({"LINES": "one\ntwo $x"})
    .run_commands('printf %s "$LINES$MODE$TOKEN" >/said', env={"MODE": "!"}, secrets=[starling.Secret.from_dict({"TOKEN": "?"})])
    .add_local_file("file", "/w/")
)
options = ["--address", os.environ["CONTAINERD_ADDRESS"], "--state-dir", sys.argv[2] + "/state"]
os.mkdir("whole")
open("whole/file", "w").close()
with open("whole/Dockerfile", "w") as file:
    file.write(f"FROM {sys.argv[1]}\nCOPY . /all/\n")
with open("whole/.dockerignore", "w") as file:
    file.write("file\n")
open("whole/left.out", "w").close()
whole = starling.Image.from_dockerfile("whole/Dockerfile", context_dir="whole", ignore=["*.out", ".dockerignore"]).dockerfile_commands(
    'RUN printf %s "$MODE$TOKEN" | tr a-z A-Z >/lines && ls /all >>/lines',
    env={"MODE": "m"}, secrets=[starling.Secret.from_dict({"TOKEN": "t"})])
whole.build("whole:1", options=options)
print(image.build("python:1", options=options), flush=True)
image.run("cat", "/w/file", options=[*options, "-q"])
P
expect_match "the digest" "$(cat "$work/python.out")" "sha256:[0-9a-f]{64}"
app=docker.io/library/python:1
expect "lines in a variable" "$(read_file /said)" $'one\ntwo $x!?'
expect "the last file" "$(read_file /w/file)" "from Python"
app=docker.io/library/whole:1
expect "lines with a secret, and what a Dockerfile has for a context" "$(read_file /lines)" $'MTDockerfile\nfile'
expect "what a run from Python prints" "$(tail -n 1 "$work/python.out")" "from Python"

# micromamba, of a version whose digest is known, installs from a channel on a base that has neither. Its place is taken by a
# program that knows the same words.
mkdir -p "$work/web/9.9.9-0" "$work/web/2.8.1-0" "$work/conda"
cp "$here/micromamba.sh" "$work/web/9.9.9-0/micromamba-linux-64"
cp "$here/micromamba.sh" "$work/web/2.8.1-0/micromamba-linux-64"
(cd "$work/web" && sha256sum 9.9.9-0/micromamba-linux-64 >"$work/tools.sha256")
for name in e2e-app e2e-low; do "$here/package_index.py" conda "$work/web/channel" $name 1.0; done
start_process "$work/web.log" python3 "$here/file_server.py" "$work/web" "$work/git"
wait_until 20 "the server's start" test -s "$work/web.log"
web=$(head -n 1 "$work/web.log")
{
  echo 'package:'
  for name in e2e-app e2e-low; do
    package=noarch/$name-1.0-0.tar.bz2
    printf -- '- name: %s\n  version: "1.0"\n  manager: conda\n  platform: linux-64\n  dependencies: {}\n  url: http://%s/channel/%s\n  hash:\n    sha256: %s\n  category: main\n  optional: false\n' \
      $name "$web" $package "$(sha256sum "$work/web/channel/$package" | cut -d' ' -f1)"
  done
} >"$work/conda/conda-lock.yml"
export STARLING_MICROMAMBA_SOURCE=http://$web
cat >"$work/conda.py" <<'P'
import os
import sys

import starling

base, work, web, version, *options = sys.argv[1:]
image = starling.Image.from_registry(base)
if "--lock" in options:
    image = image.micromamba_install(spec_file=f"{work}/conda/conda-lock.yml", micromamba_version=version)
else:
    image = image.micromamba_install("e2e-app=1.0", "e2e-low=1.0", channels=[f"http://{web}/channel"], micromamba_version=version)
image.build("conda:1", options=["--address", os.environ["CONTAINERD_ADDRESS"], "--state-dir", f"{work}/state", "--progress", "plain", *options])
P
# conda VERSION OPTIONS...
conda() { PYTHONPATH=$here/../../python/src python3 -B "$work/conda.py" "$REGISTRY/t/base:1" "$work" "$web" "$@" >"$work/build.out" 2>"$work/build.log"; }
app=docker.io/library/conda:1
conda 9.9.9 --python-table "$work/tools.sha256" || fail "$(tail -n 20 "$work/build.log")"
expect_match "where micromamba comes from" "$(cat "$work/build.log")" "micromamba from http://$web/9.9.9-0/micromamba-linux-64"
expect "packages of a channel" "$(read_file /opt/conda/share/e2e-app)$(read_file /opt/conda/share/e2e-low)" 1.01.0
if conda 2.8.1; then fail "another program was run as micromamba"; fi
expect_match "another program in its place" "$(cat "$work/build.log")" \
  "micromamba-2.8.1: .*2.8.1-0/micromamba-linux-64.*sha256:$(sha256sum "$here/micromamba.sh" | cut -d' ' -f1), not sha256:9689782d863c"
if conda 9.9.9; then fail "a version without a digest was run"; fi
expect_match "a version that is not known" "$(cat "$work/build.log")" \
  "micromamba 9.9.9 for amd64: known are 2.8.1-0; add the digest of its file by --python-table"
conda 9.9.9 --python-table "$work/tools.sha256" --lock "$work/conda.lock" || fail "$(tail -n 20 "$work/build.log")"
expect "micromamba in a lock" "$(jq -c .tools "$work/conda.lock")" \
  "{\"micromamba 9.9.9 amd64\":{\"file\":\"9.9.9-0/micromamba-linux-64\",\"digest\":\"sha256:$(sha256sum "$here/micromamba.sh" | cut -d' ' -f1)\"}}"
conda 9.9.9 --no-cache --locked --lock "$work/conda.lock" || fail "$(tail -n 20 "$work/build.log")"
expect "packages of a lock, from the cache of packages" "$(grep -c 'GET /channel/noarch/e2e-.*bz2 ' "$work/web.log")" 2
expect_match "what is linked" "$(cat "$work/build.log")" "Linking e2e-low-1.0-0.tar.bz2"

# Once more, with nothing changed: the registry is asked what the name stands for, the snapshotter whether the layers are there,
# and nobody anything else.
cat >"$work/rebuild.py" <<'P'
import os
import sys

import starling

image = starling.Image.from_registry(sys.argv[1]).run_commands(*[f"echo {i} >/said" for i in range(10)]).add_local_dir("whole", "/app")
image.build("rebuilt:1", options=["-q", "--address", os.environ["CONTAINERD_ADDRESS"], "--state-dir", sys.argv[2] + "/state"])
P
rebuild() {
  PYTHONPATH=$here/../../python/src python3 -B "$work/rebuild.py" "$REGISTRY/t/base:1" "$work" >"$work/python.out" 2>"$work/build.log" ||
    fail "$(tail -n 20 "$work/build.log")"
}
rebuild
mark=$(registry_mark "$work")
calls=$(grep -c '"rpc"' "$work/starlingd.log")
seconds rebuild rebuild
expect "requests of a rebuild" "$(registry_requests "$work" "$mark" | cut -d' ' -f 1,2)" "GET /v2/t/base/manifests/1"
# containerd's collector comes when it likes.
expect "calls of the snapshotter for it" \
  "$(grep -o '"rpc":"[A-Za-z]*"' "$work/starlingd.log" | tail -n "+$((calls + 1))" | grep -v -E '"(List|Remove|Cleanup)"' | xargs)" "rpc:Stat"
echo "a rebuild with nothing changed takes $rebuild_seconds s, Python's start included"

# By options: the same step, so it is there already; and a run ends as its command does.
common=(--address "$CONTAINERD_ADDRESS" --state-dir "$work/state" -q)
starling image from-registry "$REGISTRY/t/base:1" --run 'echo x >/x' "${common[@]}" >"$work/one"
printf 'FROM %s\nRUN echo x >/x\n' "$REGISTRY/t/base:1" >"$work/Dockerfile.x"
starling build -f "$work/Dockerfile.x" --explain --json "${common[@]}" "$work/empty" >"$work/explained"
expect "a step of options and of a Dockerfile" "$(jq -r '.[0].cached' "$work/explained")" true
starling build -f "$work/Dockerfile.x" --build-arg A=b --print=recipe "$work/empty" >"$work/of-dockerfile.json"
expect "a Dockerfile as a recipe" "$(jq -c '[.steps[0].step, .steps[0].build_arguments]' "$work/of-dockerfile.json")" '["dockerfile",{"A":"b"}]'
starling build --recipe "$work/of-dockerfile.json" --explain --json "${common[@]}" "$work/empty" >"$work/explained-recipe"
expect "keys of both" "$(jq -c '[.[].key]' "$work/explained-recipe")" "$(jq -c '[.[].key]' "$work/explained")"
starling build --recipe "$work/of-dockerfile.json" --print=dockerfile "$work/empty" | cmp - "$work/Dockerfile.x" || fail "another Dockerfile"
status=0
starling run -f "$work/Dockerfile.x" "${common[@]}" "$work/empty" -- sh -c 'cat /x; exit 5' >"$work/ran" || status=$?
expect "a run's end" "$status $(cat "$work/ran")" "5 x"
echo PASS
