#!/bin/bash
# Promise: `starling build --check` says what is wrong with a Dockerfile and where, to people and to programs, and asks
# no server for it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"

# check_exit CODE ARGUMENTS...: output in $work/output.
check_exit() {
  local want=$1 status=0
  shift
  starling build --check "$@" >"$work/output" 2>"$work/error" || status=$?
  expect "exit code of --check $*" "$status" "$want"
}

mkdir clean
printf 'FROM scratch\nCOPY a /\nENTRYPOINT ["/a"]\n' >clean/Dockerfile
check_exit 0 clean
expect "a clean file" "$(cat output)" "clean/Dockerfile: 0 warnings, no error"
check_exit 0 - <clean/Dockerfile
expect "standard input" "$(cat output)" "stdin: 0 warnings, no error"

printf 'a\n' >clean/.dockerignore
check_exit 3 clean/Dockerfile
expect_match "the context's ignore file" "$(cat output)" "Dockerfile:2:6: warning: CopyIgnoredFile"
printf '!a\n' >clean/Dockerfile.dockerignore
check_exit 0 clean

printf 'FROM scratch\nARG PORT\nCOPY --form=x a /\n' >bad
check_exit 4 bad
expect "an error with its place" "$(head -n 3 output)" "bad:3:6: error: unknown flag --form (did you mean --from?)
    3 | COPY --form=x a /
      |      ^~~~~~~~"
check_exit 4 --json bad
expect "the same as JSON" "$(jq -c '[.file, .error.suggestion, .error.range.line, .warnings]' output)" \
  '["bad","--from",3,[]]'

printf 'FROM scratch as base\nARG PORT=none\nEXPOSE $PORT\nFROM base\n' >stages
check_exit 4 stages
check_exit 3 --build-arg PORT=80 stages
expect_match "a warning with its reason" "$(cat output)" "stages:1:1: warning: FromAsCasing: .*= FROM and AS belong together"
PORT=80 check_exit 3 --build-arg PORT --json stages
expect "a warning as JSON" "$(jq -c '.warnings | map([.rule, .range.line])' output)" '[["FromAsCasing",1]]'
{ echo '# check=error=true'; cat stages; } >strict
check_exit 4 --build-arg PORT=80 strict
check_exit 3 --target base --build-arg PORT=80 stages

check_exit 1 missing
expect_match "a file that is not there" "$(cat error)" "starling build: .*missing"
check_exit 1 clean/missing.d
status=0
starling build --check >/dev/null 2>"$work/error" || status=$?
expect "exit code without a path" "$status" 2
echo PASS
