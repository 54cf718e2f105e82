#!/bin/bash
# ruff and mypy --strict over the Python package and its tests. Both are fetched once, as the versions and files that
# lint-requirements.txt names. Ends with 77, and why, where they cannot be had.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
python=${1:-python3}
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
tools=$cache/python-lint-$({ "$python" -V && cat "$here/lint-requirements.txt"; } | sha256sum | cut -c 1-16)
mkdir -p "$cache"
exec 8>"$cache/python-lint.lock"
flock 8
if [ ! -e "$tools/complete" ]; then
  rm -rf "$tools"
  if ! "$python" -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
    --require-hashes -r "$here/lint-requirements.txt" --target "$tools"; then
    echo "SKIP: ruff and mypy cannot be had from the package index" >&2
    exit 77
  fi
  touch "$tools/complete"
fi
cd "$root"
paths=(python/src tests/python)
"$tools/bin/ruff" check -q --no-cache --config python/pyproject.toml "${paths[@]}"
"$tools/bin/ruff" format --check -q --no-cache --config python/pyproject.toml "${paths[@]}"
PYTHONPATH=$tools "$python" -B -m mypy --config-file python/pyproject.toml --cache-dir "$tools/mypy-cache" python/src
