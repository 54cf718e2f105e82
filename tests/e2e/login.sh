#!/bin/bash
# Promise: `starling login` checks a password with the registry (htpasswd, and a token server), stores it by docker's
# credential helper, or in the file when told so, and leaves the rest of that alone; `starling logout` takes it away; what
# was stored reads private images; no password is shown, printed, logged, an argument, or on the disk without being told.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
password=recognisable-password

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
password_file "$work/htpasswd" me "$password"
start_registry "$work" "$work/htpasswd"
echo "$password" >"$work/password"
start_process "$work/guarded.log" python3 "$here/guarded_registry.py" "$work/oci" esgz "$work/password"
wait_until 20 "the guarded registry's start" test -s "$work/guarded.log"
guarded=$(head -n 1 "$work/guarded.log" | cut -d' ' -f1)

mkdir "$work/docker" "$work/bin" "$work/keeper"
cp "$here/keeper_helper.py" "$work/bin/docker-credential-keeper"
export DOCKER_CONFIG=$work/docker STARLING_TEST_KEEPER=$work/keeper PATH=$work/bin:$PATH
# log_in HOST USER PASSWORD [ARGUMENTS...]
log_in() {
  local host=$1 user=$2 word=$3
  shift 3
  starling login "$host" -u "$user" --password-stdin "$@" <<<"$word"
}

# Without a helper nothing is stored unless that was said, and nobody types a password in vain.
mark=$(registry_mark "$work")
expect_refusal "no helper" "config.json names no credential helper.*docker-credential-pass.*--plaintext" \
  log_in "$REGISTRY" me "$password"
expect "requests before a place is known" "$(registry_requests "$work" "$mark")" ""
expect "files" "$(ls -A "$work/docker")" ""

# In the file.
expect "a login in clear" "$(log_in "$REGISTRY" me "$password" --plaintext)" \
  "logged in to $REGISTRY; stored in $work/docker/config.json"
expect "mode of the file" "$(stat -c %a "$work/docker/config.json")" 600
expect "docker's form" "$(jq -r ".auths[\"$REGISTRY\"].auth" "$work/docker/config.json" | base64 -d)" "me:$password"
starling convert "oci:$work/oci:esgz" "docker://$REGISTRY/t/image:esgz" >/dev/null
expect "a private image" "$(starling inspect --json "$REGISTRY/t/image:esgz" | jq .lazy)" true
expect "skopeo reads the same file" \
  "$(skopeo inspect --authfile "$work/docker/config.json" --tls-verify=false "docker://$REGISTRY/t/image:esgz" | jq '.Layers | length')" 3

# By a helper: what lay in the file in clear goes, the rest of it stays as it was.
printf '{\n\t"credsStore": "keeper",\n\t"odd": [1.50, 1e3],\n\t"auths": {\n\t\t"%s": {"auth": "%s"}\n\t},\n\t"HttpHeaders": {}\n}\n' \
  "$REGISTRY" "$(printf me:old | base64)" >"$work/docker/config.json"
expect "a login by a helper" "$(log_in "http://$REGISTRY/" me "$password" --json | jq -c)" \
  '{"registry":"'"$REGISTRY"'","username":"me","verified":true,"storedIn":"docker-credential-keeper"}'
expect "the file" "$(cat "$work/docker/config.json")" \
  $'{\n\t"credsStore": "keeper",\n\t"odd": [1.50, 1e3],\n\t"auths": {},\n\t"HttpHeaders": {}\n}'
expect "what the helper was told" "$(cat "$work/keeper/$REGISTRY")" \
  '{"ServerURL":"'"$REGISTRY"'","Username":"me","Secret":"'"$password"'"}'
expect "a private image by the helper's login" "$(starling inspect --json "$REGISTRY/t/image:esgz" | jq .lazy)" true

# A token server decides.
expect_match "a login by a token server" "$(log_in "$guarded" reader "$password")" "logged in to $guarded; "
expect "the token server was asked" "$(grep -c 'GET /token 200' "$work/guarded.log")" 1
for host in "$guarded" "$REGISTRY"; do
  expect_refusal "a wrong password at $host" "$host.*answered 401 Unauthorized.*nothing was stored" \
    log_in "$host" me recognisable-wrong
  cat "$work/error" >>"$work/refused.log"
done
expect "the earlier login stayed" "$(starling inspect --json "$REGISTRY/t/image:esgz" | jq .lazy)" true

# On a terminal, which does not show it.
printf 'me\n%s\n' "$password" | "$here/on_terminal.py" starling login "$REGISTRY" >"$work/terminal.log"
expect "the terminal" "$(tr -d '\r' <"$work/terminal.log")" \
  $'User name: me\nPassword: \nlogged in to '"$REGISTRY; stored in docker-credential-keeper"

# How it must not be said.
for arguments in "-p recognisable-argument" "--password=recognisable-argument" "-precognisable-argument"; do
  status=0
  # shellcheck disable=SC2086
  starling login "$REGISTRY" -u me $arguments >"$work/usage.log" 2>&1 </dev/null || status=$?
  expect "$arguments: exit code" "$status" 2
  expect_match "$arguments: the right way" "$(cat "$work/usage.log")" "--password-stdin"
  ! grep -q recognisable-argument "$work/usage.log" || fail "the password was printed"
done
expect_refusal "no terminal" "--password-stdin" starling login "$REGISTRY" -u me </dev/null
expect_refusal "a path" "\"$REGISTRY/t/image\" is not the host of a registry" starling login "$REGISTRY/t/image" -u me

expect "a logout" "$(starling logout "$REGISTRY" --json | jq -c)" \
  '{"registry":"'"$REGISTRY"'","erasedFrom":["docker-credential-keeper"]}'
test ! -e "$work/keeper/$REGISTRY" || fail "the helper still has it"
expect "a second logout" "$(starling logout "$REGISTRY")" "not logged in to $REGISTRY"
expect_refusal "a private image after it" "$REGISTRY/t/image.*nor has docker-credential-keeper.*log in to $REGISTRY" \
  starling inspect "$REGISTRY/t/image:esgz"
cat "$work/error" >>"$work/refused.log"
expect "Docker Hub is meant without a host" "$(starling logout)" "not logged in to docker.io"

expect "words that helpers were called with" "$(sort -u "$work/keeper/calls" | tr '\n' ' ')" "erase get store "
printf '%s\n' "$password" "$(printf 'me:%s' "$password" | base64)" recognisable-wrong >"$work/needles"
found=$(grep -lFf "$work/needles" "$work"/refused.log "$work"/terminal.log "$work"/registry.log "$work"/docker/* || true)
expect "files with passwords" "$found" ""
echo PASS
