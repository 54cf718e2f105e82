#!/bin/bash
# Promise: each line of docs/quickstart.md works as it stands there on a fresh machine with containerd 2.3, but for the names
# of registries.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
bin=$("$here/tools.sh")
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT
build=$(realpath "$(dirname "$(command -v starling)")/../..")

mkdir "$work/clone"
"$here/../../packaging/deb.sh" "$build" "$work/clone/build/packages" >/dev/null
ln -s "$(realpath "$here/../../python")" "$work/clone/python"
make_image "$work"
start_registry "$work"
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$REGISTRY/library/busybox:1"
sed -n '/^```sh$/,/^```$/p' "$here/../../docs/quickstart.md" | grep -v '^```' |
  sed "s|docker.io/library|$REGISTRY/library|g; s|registry.example|$REGISTRY|g" >"$work/lines"
expect "lines that were found" "$([ "$(wc -l <"$work/lines")" -gt 15 ] && echo many)" many
unshare --mount --propagation private "$here/quickstart_machine.sh" "$work" "$bin"
echo PASS
