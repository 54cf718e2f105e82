#!/bin/bash
# Promise: starlingd reads lazily from ECR with a role by web identity, and a container that was started with a login of
# 30 seconds reads on after 60; requests are signed as AWS wants it; a secret named for a command logs in to ECR and to
# Google's registry; a failure says what was tried; no secret is in a log, an error, the output or a process's arguments.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
starling convert "oci:$work/oci:plain" "oci:$work/oci:esgz" >/dev/null
large=$(tar -xOf "$work/layer2.tar" ./odd/large | sha256sum | cut -d' ' -f1)

mkdir "$work/cloud" "$work/home"
echo recognisable-web-identity >"$work/cloud/web-identity"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/google.pem" 2>/dev/null
openssl pkey -in "$work/google.pem" -pubout -out "$work/cloud/google.pub"
start_process "$work/cloud.log" python3 "$here/cloud_registry.py" "$work/oci" esgz "$work/cloud"
wait_until 20 "the cloud's start" test -s "$work/cloud.log"
cloud=$(head -n 1 "$work/cloud.log")
ecr=123456789012.dkr.ecr.eu-west-1.amazonaws.com
google=europe-docker.pkg.dev

export HOME=$work/home AWS_ENDPOINT_URL_STS=http://$cloud/sts AWS_ENDPOINT_URL_ECR=http://$cloud/ecr
# The registries have no names here: the cloud is their proxy. Nobody else is spoken to.
export AWS_EC2_METADATA_DISABLED=true no_proxy=127.0.0.1
unset DOCKER_CONFIG
with_cloud() {
  http_proxy=http://$cloud "$@"
}
as_role() {
  AWS_ROLE_ARN=arn:aws:iam::123456789012:role/node AWS_WEB_IDENTITY_TOKEN_FILE=$work/cloud/web-identity \
    with_cloud "$@"
}
starlingd_settings=$'[fetch]\nprefetch = false\nbackground = false\n[registry]\nplain_http_hosts = ["'$ecr'"]'
as_role start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS

expect "layers of the pull" \
  "$(as_role starling pull --json --plain-http "$ecr" "$ecr/app:esgz" | tee "$work/pull.json" |
    jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]')" "[3,0,0]"
touch "$work/container.out"
ctr run --rm --log-uri "file://$work/container.out" --snapshotter stargz "$ecr/app:esgz" c1 \
  /bin/sh -c 'cat /data/kept; sleep 60; sha256sum /odd/large' 2>"$work/container.err" &
container=$!
wait_until 30 "the container's first words" grep -q changed "$work/container.out"

# Meanwhile: secrets named for a command.
good=$(jq -nc '{AWS_ACCESS_KEY_ID: "AKIDSTATIC", AWS_SECRET_ACCESS_KEY: "static-secret-key", AWS_REGION: "eu-west-1"}')
expect "an image of ECR by a secret's keys" \
  "$(SECRET=$good with_cloud starling inspect --json --secret env:SECRET --plain-http "$ecr" "$ecr/app:esgz" | jq .lazy)" true
jq -n --rawfile key "$work/google.pem" --arg uri "http://$cloud/google" \
  '{type: "service_account", client_email: "me@project.example", private_key: $key, token_uri: $uri}' >"$work/key.json"
expect "an image of Google's registry by a service account's key" \
  "$(with_cloud starling inspect --json --secret "file:$work/key.json" --plain-http $google $google/app:esgz | jq .lazy)" true
bad=$(jq -nc '{AWS_ACCESS_KEY_ID: "AKIDSTATIC", AWS_SECRET_ACCESS_KEY: "recognisable-wrong-key"}')
SECRET=$bad with_cloud expect_refusal "wrong keys" \
  "$ecr/app.*secret env:SECRET failed: ecr GetAuthorizationToken in eu-west-1: .*does not match.*AWS has none: no AWS_ACCESS_KEY_ID" \
  starling inspect --secret env:SECRET --plain-http "$ecr" "$ecr/app:esgz"
cp "$work/error" "$work/refused.log"
with_cloud expect_refusal "no keys" "$google/app.*Google has none: no SERVICE_ACCOUNT_JSON.*log in to $google" \
  starling inspect --plain-http $google $google/app:esgz
cp "$work/error" "$work/refused-2.log"

logins=$(grep -c ' /ecr 200' "$work/cloud.log")
# arguments: what everybody can see of our processes.
arguments() {
  local pid
  for pid in "${E2E_PIDS[@]}" "$container"; do tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true; done
}
arguments >"$work/arguments.log"
wait "$container" || fail "the container: $(cat "$work"/container.*)"
expect "a read with a login that ended 30 seconds ago" "$(tail -n 1 "$work/container.out")" "$large  /odd/large"
[ "$(grep -c ' /ecr 200' "$work/cloud.log")" -gt "$logins" ] || fail "no new login was asked for"
echo "ok: it was asked for anew"
expect "requests with a login that had ended" "$(grep -c ' 403$' "$work/cloud.log" || true)" 0

{
  cat "$work/cloud/secrets"
  printf '%s\n' recognisable-web-identity static-secret-key recognisable-wrong-key
  sed -n 2p "$work/google.pem"
  # As Basic sends them.
  while read -r secret; do
    printf 'AWS:%s' "$secret" | base64 -w 0
    echo
  done <"$work/cloud/secrets"
} >"$work/needles"
[ "$(wc -l <"$work/needles")" -ge 12 ] || fail "too few secrets were given out to look for"
found=$(grep -lFf "$work/needles" "$work"/starlingd.log "$work"/refused*.log "$work"/pull.json "$work"/arguments.log \
  "$work"/container.* "$work"/containerd.log || true)
expect "files with secrets" "$found" ""
kept=$(grep -rlFf "$work/needles" "$work/starling" "$work/home" || true)
expect "secrets on the disk" "$kept" ""
echo PASS
