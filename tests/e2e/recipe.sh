#!/bin/bash
# Promise: options of `starling image` and a recipe's JSON are the same image, printed in either form, and what is
# printed is a Dockerfile that has no errors; values come through the shell's quoting as they were.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"

starling image from-registry ubuntu:22.04 --add-python 3.11 --env 'A=$HOME "x"' --pip-install polars 'numpy<2' \
  --run 'printf %s\\n "$A"' --copy 'app:src:/app' --cmd '["python", "-c", "print(1)"]' --apt-install git -t app \
  --print=json >recipe.json
starling image from-recipe recipe.json --print=dockerfile >Dockerfile
expect "steps in the order given" "$(cut -d' ' -f1 Dockerfile | tr '\n' ' ')" \
  "FROM COPY ENV ENV RUN RUN COPY CMD RUN "
expect "a literal value" "$(sed -n 4p Dockerfile)" "ENV A='\$HOME \"x\"'"
starling image from-registry ubuntu:22.04 --add-python 3.11 --env 'A=$HOME "x"' --pip-install polars 'numpy<2' \
  --run 'printf %s\\n "$A"' --copy 'app:src:/app' --cmd '["python", "-c", "print(1)"]' --apt-install git -t app \
  --print=dockerfile >again
expect "both forms" "$(cat again)" "$(cat Dockerfile)"
expect_match "the Dockerfile's lint" "$(starling build --check Dockerfile)" "0 warnings, no error"

starling image from-dockerfile Dockerfile --user nobody --print=json | starling image from-recipe - --print=dockerfile >more
expect "a Dockerfile that is gone on with" "$(cat more)" "$(cat Dockerfile; echo 'USER nobody')"

# What the shell makes of a quoted package is the package.
for package in "a'b\"c" 'x[y]<2 ; z > "1"' '$HOME `id`'; do
  line=$(starling image from-scratch --pip-install "$package" --print=dockerfile | tail -n 1)
  expect "quoting of $package" "$(python() { printf '%s' "$4"; }; eval "${line#RUN * }")" "$package"
done

refuse() {
  local want=$1
  shift
  if starling image "$@" >output 2>error; then fail "accepted: $*"; fi
  expect_match "the error of $*" "$(cat error)" "$want"
}
refuse '/steps/1/packages/1: "-r" is an option' from-recipe - --print=json \
  <<<'{"version": 1, "steps": [{"step": "from", "image": "scratch"}, {"step": "pip", "packages": ["a", "-r"]}]}'
refuse '/builder_version: 3 is not a version of the builder that this program knows, which are 1 to 2; a newer Starling may' \
  from-scratch --builder-version 3 --print=json
expect "the builder's version in a recipe" "$(starling image from-scratch --builder-version 1 --print=json | jq .builder_version)" 1
expect "and on the image" "$(starling image from-scratch --label a=b --state-dir "$work/state" --print=config | jq -c .config.Labels)" \
  '{"a":"b","dev.starling.builder-version":"2"}'
refuse '/version: 2 is not' from-recipe - --print=json <<<'{"version": 2, "steps": []}'
refuse "not expected: --pre.*no package; write the command: --run 'python -m pip install --pre NAME'" \
  from-scratch --pip-install polars --pre --print=json
refuse 'CONTEXT:PATH:DESTINATION' from-scratch --copy a:b --print=json
refuse 'one word or a JSON array' from-scratch --cmd 'a b' --print=json
refuse 'NAME=VALUE' from-scratch --env A --print=json
refuse 'no.such: not found|No such file' from-recipe no.such --print=json
echo PASS
