#!/bin/bash
# Promise: packages of the real package index are installed by uv, by pip and by poetry, named or by files that name them, into a
# Python that add_python has put on Debian, and the image runs lazily on a node that has nothing: every package is imported.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

archives=$("$here/python_archives.sh")
debian=$("$here/debian.sh")
"$here/uv_wheels.sh" >/dev/null
if ! curl -fsS -o "$work/index" https://pypi.org/simple/polars/; then
  echo "SKIP: the package index cannot be reached" >&2
  exit 77
fi
mkdir "$work/empty"

start_registry "$work"
start_starlingd "$work"
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
PATH=$bin:$PATH
export STARLING_PYTHON_SOURCE=$archives STARLING_PYTHON_TABLE=$archives/SHA256SUMS
common=(--progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" --host-ca /etc/ssl/certs/ca-certificates.crt)
cp "$debian" "$work/empty/root.tar"
printf 'FROM scratch\nADD root.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' >"$work/Dockerfile"
starling build -f "$work/Dockerfile" "${common[@]}" -t "$REGISTRY/base:1" --push "$work/empty" >/dev/null 2>"$work/base.log" ||
  fail "$(tail -n 20 "$work/base.log")"

export PYTHONPATH=$here/../../python/src PYTHONDONTWRITEBYTECODE=1
# A project of poetry's, and what poetry itself locks of it: by the pages of an index, as mirrors serve them.
mkdir "$work/project"
cat >"$work/project/pyproject.toml" <<'T'
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["tabulate (>=0.9)"]
[tool.poetry]
package-mode = false
[[tool.poetry.source]]
name = "index"
url = "https://pypi.org/simple/"
priority = "primary"
[tool.poetry.group.dev.dependencies]
iniconfig = "*"
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
wcwidth = "*"
T
cat >"$work/lock.py" <<'P'
import sys

import starling

registry, project, *options = sys.argv[1:]
debian_image = starling.Image.from_registry(f"{registry}/base:1", add_python="3.12")
poetry = debian_image.pip_install("poetry").add_local_file(f"{project}/pyproject.toml", "/project/", copy=True)
poetry.run("sh", "-c", "cd /project && poetry lock >&2 && cat poetry.lock", options=["-q", *options])
P
cat >"$work/poetry.py" <<'P'
import sys

import starling

registry, project, *options = sys.argv[1:]
debian_image = starling.Image.from_registry(f"{registry}/base:1", add_python="3.12")
image = debian_image.poetry_install_from_file(f"{project}/pyproject.toml", with_=["docs"], without=["dev"])
image.push(f"{registry}/poetry:1", options=options)
lock = f"{project}/locked/poetry.lock"
image.poetry_install_from_file(f"{project}/pyproject.toml", lock, only=["dev"], poetry_version=None).run_commands(
    "python -c 'import iniconfig'"
).build(options=options)
P
# The same for projects of others.
mkdir "$work/uv"
cat >"$work/uv/pyproject.toml" <<'T'
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["tabulate"]
[project.optional-dependencies]
more = ["sortedcontainers"]
[dependency-groups]
docs = ["wcwidth"]
T
echo iniconfig >"$work/uv/requirements.txt"
echo 'NAME = "here"' >"$work/uv/mine.py"
cat >"$work/uv.py" <<'P'
import importlib
import sys

import starling

registry, work, project, *options = sys.argv[1:]
sys.path.insert(0, project)
MODULES = ["tabulate", "wcwidth", "sortedcontainers"]


def say():
    with open("/said", "w") as file:
        print(*(importlib.import_module(name).__name__ for name in MODULES), file=file)


debian_image = starling.Image.from_registry(f"{registry}/base:1", add_python="3.12")
if project == f"{work}/uv":
    debian_image.uv_sync(project).run("cat", "/.uv/uv.lock", options=options)
else:
    image = debian_image.pip_install_from_requirements(f"{project}/requirements.txt")
    image = image.pip_install_from_pyproject(f"{project}/pyproject.toml", ["more"])
    image = image.run_commands("python -c 'import iniconfig, sortedcontainers'")
    image = image.uv_sync(project, groups=["docs"], extras=["more"]).run_function(say).add_local_python_source("mine")
    image.push(f"{registry}/files:1", lock=f"{work}/files.lock", options=options)
P
uv() {
  python3 "$work/uv.py" "$REGISTRY" "$work" "$work/uv" "${common[@]:2}" >"$work/uv.lock"
  cp -r "$work/uv" "$work/files"
  cp "$work/uv.lock" "$work/files/"
  python3 "$work/uv.py" "$REGISTRY" "$work" "$work/files" "${common[@]:2}" >"$work/files.out"
}
poetry() {
  mkdir "$work/project/locked"
  python3 "$work/lock.py" "$REGISTRY" "$work/project" "${common[@]:2}" >"$work/project/locked/poetry.lock"
  cp "$work/project/locked/poetry.lock" "$work/project/"
  python3 "$work/poetry.py" "$REGISTRY" "$work/project" "${common[@]:2}" >"$work/poetry.out"
}
# At the same time as what follows: most of it waits for the index.
poetry 2>"$work/poetry.log" &
poetry_pid=$!
uv 2>"$work/uv.log" &
uv_pid=$!
E2E_PIDS+=("$poetry_pid" "$uv_pid")

# The seed's own lines, but for where the images are.
python3 - "$REGISTRY" "$work" "${common[@]:2}" <<'P' >"$work/python.out" 2>"$work/python.log" ||
import sys

import starling

registry, work, *options = sys.argv[1:]
debian_image = starling.Image.from_registry(f"{registry}/base:1", add_python="3.12")
data_science_image = debian_image.uv_pip_install("polars", "datasette")
data_science_image.push(f"{registry}/uv:1", lock=f"{work}/uv.lock", options=options)
starling.Image.from_registry(f"{registry}/base:1", add_python="3.11").pip_install("numpy==1.26.4", "scikit-learn").push(
    f"{registry}/pip:1", lock=f"{work}/pip.lock", options=options
)
P
  fail "$(tail -n 20 "$work/python.log")"

wait "$poetry_pid" || fail "$(tail -n 20 "$work/poetry.log")"
wait "$uv_pid" || fail "$(tail -n 20 "$work/uv.log")"
expect_match "poetry's own installation" "$(cat "$work/poetry.log")" "RUN .*python -m pip install poetry"
expect_match "what poetry does" "$(cat "$work/poetry.log")" "Installing tabulate"

# Whichever build needed it first has fetched it for all; none of those that need it is quiet.
expect_match "uv's origin" "$(cat "$work"/{python,uv,poetry}.log)" "uv from https://files.pythonhosted.org/packages/.*/uv-0.13.9-"
# locked FILE NAME: how a package stands in a lock, without digits of digests.
locked() {
  jq -r '.packages | to_entries[].value[]' "$work/$1" | grep "^$2==" | sed -E 's/[0-9a-f]{64}/../g; s/( --hash=sha256:..)+/ --hash=sha256:../'
}
expect_match "polars in the lock" "$(locked uv.lock polars)" "^polars==[0-9.]+ --hash=sha256:..$"
expect "numpy in the lock" "$(locked pip.lock numpy)" "numpy==1.26.4 --hash=sha256:.."
expect_match "what it needs, too" "$(locked pip.lock scipy)" "^scipy==[0-9.]+ --hash=sha256:..$"
expect_match "what files name" "$(locked files.lock iniconfig) $(locked files.lock sortedcontainers)" "^iniconfig==[^ ]+ --hash=sha256:.. sortedcontainers==[^ ]+ --hash=sha256:..$"

mkdir "$work/cold"
start_starlingd "$work/cold"
start_containerd "$work/cold" "$bin"
# run NAME CODE: on the cold node.
run() {
  local mark size
  mark=$(registry_mark "$work")
  size=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/$1" | jq '[.layers[].size] | add')
  starling pull --address "$CONTAINERD_ADDRESS" "$REGISTRY/$1" >/dev/null 2>&1
  ctr -a "$CONTAINERD_ADDRESS" run --rm --snapshotter stargz "$REGISTRY/$1" "python-packages-$BASHPID" python -c "$2"
  registry_cost "$work" "$mark" | { read -r requests bytes && echo "$1: $bytes of $size bytes in $requests requests" >&2; }
}
expect "what uv has installed" "$(run uv:1 'import polars, datasette; print(polars.DataFrame({"a": [1, 2, 3]})["a"].sum())')" 6
expect "what pip has installed" \
  "$(run pip:1 'import numpy, sklearn.svm; print(numpy.__version__, sklearn.svm.SVC().fit([[0], [1]], [0, 1]).predict([[1]])[0])')" "1.26.4 1"
expect "what poetry has installed" \
  "$(run poetry:1 'import importlib.util as i; print(*[n for n in ("tabulate", "wcwidth", "iniconfig") if i.find_spec(n) and __import__(n)])')" \
  "tabulate wcwidth"
expect "what uv's lock names, a function, and a module of this machine" \
  "$(run files:1 'import sys; sys.path.append("/root"); import tabulate, wcwidth, mine; print(open("/said").read().strip(), mine.NAME)')" \
  "tabulate wcwidth sortedcontainers here"
echo PASS
