#!/bin/bash
# go_program.sh MODULE [PACKAGE]: builds a program of tests/e2e/MODULE (PACKAGE: of another module that it requires), with modules
# from the Go module proxy, once for each state of its sources. Prints the program's path.
set -euo pipefail

module=$(dirname "$(realpath "$0")")/$1
package=${2:-.}
name=$(basename "$module")
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
state=$(find "$module" -type f -print0 | sort -z | xargs -0 cat | sha256sum | head -c 16)
program=$cache/$name-$state
mkdir -p "$cache"
exec 8>"$cache/$name.lock"
flock 8
if [ ! -x "$program" ]; then
  go=$("$module/../../../packaging/go.sh")
  (cd "$module" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
    "$go" build -buildvcs=false -o "$program.new" "$package" 1>&2)
  mv "$program.new" "$program"
fi
echo "$program"
