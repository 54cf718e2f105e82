#!/bin/sh
# In the place of the program micromamba, which no package index has: takes of `micromamba install` what builds say, and refuses
# every other word. Packages come from the noarch directory of one channel, or by what a file of conda-lock's names, each held
# against its SHA-256; dependencies of dependencies it does not follow.
set -eu

refuse() {
  echo "micromamba: $*" >&2
  exit 109
}
[ "${1:-}" = install ] || refuse "no subcommand: $*"
shift
specs='' channel='' file='' name='' copy='' yes=''
while [ $# -gt 0 ]; do
  case $1 in
    -c) channel=$2 && shift ;;
    -f) file=$2 && shift ;;
    -n) name=$2 && shift ;;
    --always-copy) copy=1 ;;
    --yes) yes=1 ;;
    -*) refuse "The following argument was not expected: $1" ;;
    *) specs="$specs $1" ;;
  esac
  shift
done
# It would ask, link into the cache of packages, or make an environment in the home directory.
[ -n "$yes" ] && [ -n "$copy" ] && [ "$name" = base ] && [ -n "$MAMBA_ROOT_PREFIX" ] || refuse "would not do what a build needs"

# take URL SHA256
take() {
  package=$CONDA_PKGS_DIRS/$(basename "$1")
  [ -e "$package" ] || wget -q -O "$package" "$1"
  echo "$2  $package" | sha256sum -c >/dev/null || refuse "$package: another SHA-256"
  mkdir -p "$MAMBA_ROOT_PREFIX/conda-meta"
  tar -xjf "$package" -C "$MAMBA_ROOT_PREFIX"
  rm -r "$MAMBA_ROOT_PREFIX/info"
  echo "Linking $(basename "$1")"
}
case $file in
  '') ;;
  *-lock.yml) sed -n 's/^  url: //p; s/^    sha256: //p' "$file" | while read -r url && read -r digest; do take "$url" "$digest"; done ;;
  *) refuse "$file: is no file of conda-lock's" ;;
esac
[ -z "$specs" ] || wget -q -O /tmp/repodata "$channel/noarch/repodata.json"
for spec in $specs; do
  line=$(grep "^\"${spec%%=*}-${spec#*=}-0\.tar\.bz2\"" /tmp/repodata) || refuse "nothing provides $spec"
  take "$channel/noarch/$(echo "$line" | cut -d'"' -f2)" "$(echo "$line" | sed 's/.*"sha256": "\([0-9a-f]*\)".*/\1/')"
done
rm -f /tmp/repodata
