#!/bin/bash
# Promise: starlingd reads lazily from a private registry with Kubernetes' pull secrets in files, and from another by kubelet's
# credential provider plugins; a password that changes under a container is found again in both; no secret is in a log, an
# argument, or where starlingd keeps its data.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
old=recognisable-old new=recognisable-new

# guard NAME: a registry with a token server, whose tokens last 3 seconds, and an image of its own; sets GUARDED.
guard() {
  mkdir "$work/$1"
  make_image "$work/$1"
  starling convert "oci:$work/$1/oci:plain" "oci:$work/$1/oci:esgz" >/dev/null
  echo "$old" >"$work/$1.password"
  start_process "$work/$1.log" python3 "$here/guarded_registry.py" "$work/$1/oci" esgz "$work/$1.password"
  wait_until 20 "the start of $1" test -s "$work/$1.log"
  GUARDED=$(head -n 1 "$work/$1.log" | cut -d' ' -f1)
}
guard by_secret
by_secret=$GUARDED
guard by_plugin
by_plugin=$GUARDED

mkdir -p "$work/home" "$work/secrets" "$work/plugins"
# pull_secret PASSWORD: as `kubectl get secret -o yaml` shows one.
pull_secret() {
  local config
  config=$(jq -nc --arg host "$by_secret/t" --arg auth "$(printf 'reader:%s' "$1" | base64)" '{auths: {($host): {auth: $auth}}}')
  cat >"$work/secrets/new" <<S
apiVersion: v1
kind: Secret
metadata:
  name: regcred
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: $(printf %s "$config" | base64 -w 0)
S
  mv "$work/secrets/new" "$work/secrets/regcred.yaml"
}
pull_secret "$old"
cat >"$work/plugins.yaml" <<P
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: provider
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages: ["*.0.0.1:${by_plugin#*:}"]
    defaultCacheDuration: 12h
    env: [{name: PASSWORD_FILE, value: $work/by_plugin.password}]
P
cat >"$work/plugins/provider" <<'P'
#!/bin/sh
image=$(jq -r .image)
echo "$image" >>"$PASSWORD_FILE.asked"
jq -n --rawfile password "$PASSWORD_FILE" --arg host "${image%%/*}" \
  '{kind: "CredentialProviderResponse", apiVersion: "credentialprovider.kubelet.k8s.io/v1", cacheKeyType: "Registry",
    auth: {($host): {username: "reader", password: ($password | rtrimstr("\n"))}}}'
P
chmod +x "$work/plugins/provider"

export HOME=$work/home DOCKER_CONFIG=$work/home
starlingd_settings="
[fetch]
policy = \"lazy\"
prefetch = false
background = false
[credentials]
pull_secrets = [\"$work/secrets\"]
image_credential_provider_config = \"$work/plugins.yaml\"
image_credential_provider_bin_dir = \"$work/plugins\""
start_starlingd "$work"
start_containerd "$work"
export CONTAINERD_ADDRESS LOGIN=reader:$old

pull() {
  starling pull --json --secret env:LOGIN "$1/t/image:esgz" | tee -a "$work/pull.json" |
    jq -c '[.lazyLayers, .presentLayers, .downloadedLayers]'
}
# reads_on WHAT REGISTRY ROTATE DIR SOURCE: a container reads while its registry's password changes.
reads_on() {
  local container large
  large=$(tar -xOf "$4/layer2.tar" ./odd/large | sha256sum | cut -d' ' -f1)
  expect "layers of the pull, $1" "$(pull "$2")" "[3,0,0]"
  mkdir -p "$work/shared"
  rm -f "$work/shared/go"
  : >"$work/container.out"
  ctr run --rm --log-uri "file://$work/container.out" --snapshotter stargz --mount "type=bind,src=$work/shared,dst=/run,options=rbind:ro" "$2/t/image:esgz" c1 \
    /bin/sh -c 'cat /data/kept; until test -e /run/go; do sleep 0.1; done; sha256sum /odd/large' \
    2>"$work/container.err" &
  container=$!
  wait_until 30 "the container's first words, $1" grep -q changed "$work/container.out"
  "$3"
  # Its token has ended by then, and a plugin may be asked anew.
  sleep 16
  touch "$work/shared/go"
  wait "$container" || fail "the container, $1: $(cat "$work"/container.*)"
  expect "a read with a password that has changed, $1" "$(tail -n 1 "$work/container.out")" "$large  /odd/large"
  starling status --address "$work/starling.sock" "$2/t/image:esgz" --json >"$work/status.json"
  expect "where its credentials came from, $1" "$(jq -r '.images[0].credentials' "$work/status.json")" "$5"
  ctr images rm --sync "$2/t/image:esgz" >/dev/null
}
change_secret() {
  echo "$new" >"$work/by_secret.password"
  pull_secret "$new"
}
change_password() {
  echo "$new" >"$work/by_plugin.password"
}
reads_on "by a pull secret" "$by_secret" change_secret "$work/by_secret" "pull secrets"
expect "questions to the plugin for another registry" "$(cat "$work/by_plugin.password.asked" 2>/dev/null)" ""
reads_on "by a plugin" "$by_plugin" change_password "$work/by_plugin" "kubelet's credential provider plugins"
expect "questions to the plugin" "$(sort "$work/by_plugin.password.asked" | uniq -c | sed 's/^ *//')" "2 $by_plugin/t/image"

arguments() {
  local pid
  for pid in "${E2E_PIDS[@]}" $(pgrep -P "$STARLINGD_PID"); do tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true; done
}
arguments >"$work/arguments.log"
printf '%s\n' "$old" "$new" "$(printf 'reader:%s' "$old" | base64)" "$(printf 'reader:%s' "$new" | base64)" >"$work/needles"
found=$(grep -lFf "$work/needles" "$work"/starlingd.log "$work"/arguments.log "$work"/pull.json "$work"/status.json "$work"/container.* || true)
expect "files with secrets" "$found" ""
expect "secrets on the disk" "$(grep -rlFf "$work/needles" "$work/starling" "$work/home" || true)" ""
echo PASS
