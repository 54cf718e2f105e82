#!/bin/bash
# stage.sh SOURCE BUILD ROOT PREFIX: everything that an installed Starling consists of, below ROOT. The one list of it:
# `make install`, the Debian package and the archive take theirs from here.
set -euo pipefail
source=$1 build=$2 root=$3 prefix=$4
share=$root$prefix/share
starling=$build/apps/starling/starling
starlingd=$build/apps/starlingd/starlingd

install -D -m 0755 -t "$root$prefix/bin" "$starling" "$starlingd"
install -d "$share/man/man1" "$share/man/man8"
"$starling" manual "$share/man/man1" >/dev/null
"$starlingd" --print-man-page >"$share/man/man8/starlingd.8"
install -d "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d"
"$starling" completion bash >"$share/bash-completion/completions/starling"
"$starling" completion zsh >"$share/zsh/vendor-completions/_starling"
"$starling" completion fish >"$share/fish/vendor_completions.d/starling.fish"
install -D -m 0644 -t "$share/doc/starling" "$source/README.md" "$source/SECURITY.md" "$source/CHANGELOG.md"
install -D -m 0644 -t "$share/doc/starling/docs" "$source"/docs/*.md "$source"/docs/*.json "$source"/docs/*.svg
install -D -m 0644 -t "$share/doc/starling/docs/pictures" "$source"/docs/pictures/*.svg
"$source/packaging/sbom.py" "$source" "$build" >"$share/doc/starling/starling.spdx.json"
# systemd looks for units that are not of a package of the system below /usr/local, too.
install -d "$root$prefix/lib/systemd/system"
for unit in starling.service starling.socket; do
  sed "s|/usr/local/bin/|$prefix/bin/|" "$source/systemd/$unit" >"$root$prefix/lib/systemd/system/$unit"
done
chmod 0644 "$root$prefix"/lib/systemd/system/starling.* "$share/man/man8/starlingd.8" "$share/bash-completion/completions/starling" \
  "$share/zsh/vendor-completions/_starling" "$share/fish/vendor_completions.d/starling.fish"
