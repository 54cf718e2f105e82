#!/bin/bash
# Installs what Starling needs from Debian 12 to be built, run and tested. Does nothing when all of it
# is there. Needs root.
set -euo pipefail

build=(ca-certificates ccache cmake g++ git make ninja-build pkg-config protobuf-compiler
  protobuf-compiler-grpc libarchive-dev libcli11-dev libcurl4-openssl-dev libdeflate-dev libfmt-dev
  libfuse3-dev libgrpc++-dev libisal-dev libprotobuf-dev libre2-dev libseccomp-dev libsimdjson-dev
  libspdlog-dev libsqlite3-dev libssl-dev libtomlplusplus-dev libyaml-dev libzstd-dev nlohmann-json3-dev zlib1g-dev)
# The kernel modules and programs that a node needs.
run=(containerd runc)
test=(attr buildah busybox-static bzip2 chromium clang-19 clang-format-19 clang-tidy-19 curl debhelper debootstrap docker-registry
  erofs-utils fakeroot fish golang-go iproute2 jq libbenchmark-dev libclang-rt-19-dev libfuzzer-19-dev libgmock-dev
  libcap2-bin libgtest-dev lintian llvm-19 man-db openssl patchelf procps python3 python3-pip python3-prometheus-client python3-pytest skopeo systemd umoci xfsprogs
  xz-utils zsh zstd)

missing=()
for package in "${build[@]}" "${run[@]}" "${test[@]}"; do
  # A Go that somebody installed from elsewhere is as good as Debian's.
  if [ "$package" = golang-go ] && command -v go >/dev/null; then continue; fi
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "make deps: run as root to install: ${missing[*]}" >&2
  exit 1
fi
echo "installing ${#missing[@]} packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
apt-get install -yq --no-install-recommends "${missing[@]}" >/dev/null
