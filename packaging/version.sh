#!/bin/bash
# version.sh SOURCE: the version, as CMakeLists.txt says it, and its day, as CHANGELOG.md does: "0.1.0 2026-11-29".
set -euo pipefail
version=$(sed -n 's/^project(starling VERSION \([0-9.]*\) .*/\1/p' "$1/CMakeLists.txt")
day=$(sed -n "s/^## ${version//./\\.} - \([0-9-]*\)$/\1/p" "$1/CHANGELOG.md")
if [ -z "$version" ] || [ -z "$day" ]; then
  echo "CHANGELOG.md has no heading '## ${version:-VERSION} - YYYY-MM-DD'" >&2
  exit 1
fi
echo "$version $day"
