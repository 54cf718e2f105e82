#!/bin/bash
# Promise: the DaemonSet's image, built by `starling build`, puts the daemon on a node: containerd's service is told and restarted once, kubelet's
# kind of pull is lazy, a later pod replaces the daemon below a running container without a restart of containerd, and the
# removal puts back containerd's configuration byte for byte. The manifests are what a strict API server accepts.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
. "$here/build_bases.sh"
crictl=$("$here/go_program.sh" crictl sigs.k8s.io/cri-tools/cmd/crictl)
manifests=$("$here/go_program.sh" manifests)
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
packaging=$(realpath "$here/../../packaging")
build=$(realpath "$(dirname "$(command -v starling)")/../..")

kinds=$'Namespace starling\nServiceAccount starling\nConfigMap starling\nDaemonSet starling'
expect "the manifests" "$("$manifests" check <"$packaging/kubernetes/starling.yaml")" "$kinds"
expect "the manifests that are kept, and those of the chart" "$("$packaging/kubernetes/render.sh" | sha256sum)" \
  "$(sha256sum <"$packaging/kubernetes/starling.yaml")"
expect "the chart with everything said" \
  "$("$packaging/kubernetes/render.sh" client=k3s image.tag=2 'imagePullSecrets[0].name=pull' maxUnavailable=10% | tee "$work/all.yaml" | "$manifests" check)" "$kinds"
expect_match "a value of it" "$(cat "$work/all.yaml")" 'image: "registry.example/starling:2"'
for break in 's/hostPID/hostPIDs/' 's/privileged: true/privileged: "yes"/' '0,/name: host$/s//name: other/' 's/kind: DaemonSet/kind: DemonSet/'; do
  if sed "$break" "$packaging/kubernetes/starling.yaml" | "$manifests" check >/dev/null 2>&1; then fail "accepted after $break"; fi
done
echo "ok: manifests with mistakes are refused"

# The image, from the archive; its base has what a slim Debian has of what the script needs.
archive=$("$packaging/tarball.sh" "$build" "$work/packages")
start_registry "$work"
make_base "$work" debian /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*')
start_starlingd "$work"
start_containerd "$work"
starling build -f "$packaging/kubernetes/Dockerfile" --build-arg "BASE=$REGISTRY/debian:latest" --build-context "packages=$work/packages" \
  -o "type=local,dest=$work/image" "$packaging/kubernetes" >"$work/build.log" 2>&1 || fail "the image: $(tail -n 20 "$work/build.log")"
expect "the archive in the image" "$(sha256sum <"$work/image/opt/$(basename "$archive")")" "$(sha256sum <"$archive")"
stop_process "$CONTAINERD_PID"
stop_process "$STARLINGD_PID"

make_image "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/image:esgz" >/dev/null
umoci config --image "$work/oci:plain" --tag pause --config.cmd sleep --config.cmd infinity
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:pause" "docker://$REGISTRY/t/pause:1"
unshare --mount --propagation private "$here/kubernetes_machine.sh" "$work" "$crictl" "$REGISTRY"
echo PASS
