#!/bin/bash
# Runs every fuzz target for a while, from its corpus. A find is left in the current directory as
# crash-*; commit it as tests/fuzz/corpus/<target>/regress-<what> with its fix.
# run.sh DIRECTORY_OF_TARGETS SECONDS_EACH
set -euo pipefail
directory=${1:?usage: run.sh DIRECTORY SECONDS} seconds=${2:?usage: run.sh DIRECTORY SECONDS}
here=$(dirname "$(realpath "$0")")
count=0
for target in "$directory"/*_fuzz; do
  name=$(basename "${target%_fuzz}")
  fresh=$(mktemp -d)
  dictionary=()
  [ -e "$here/$name.dict" ] && dictionary=("-dict=$here/$name.dict")
  echo "== $name"
  "$target" "$fresh" "$here/corpus/$name" "${dictionary[@]}" -max_total_time="$seconds" \
    -rss_limit_mb=2048 -timeout=10 2>&1 | tail -n 3
  rm -rf "$fresh"
  count=$((count + 1))
done
echo "$count fuzz targets ran for $seconds s each"
[ "$count" -gt 0 ]
