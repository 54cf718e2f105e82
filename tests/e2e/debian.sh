#!/bin/bash
# Prints the path of a tar of Debian 12 with a C compiler and without Python, made once from Debian's archive. Ends with 77, and
# why, where that cannot be.
set -euo pipefail

suite=bookworm
cache=${STARLING_TEST_CACHE:-/var/cache/starling-test}
tar=$cache/$suite-gcc.tar
mkdir -p "$cache"
exec 8>"$cache/debian.lock"
flock 8
if [ ! -e "$tar" ]; then
  if ! command -v debootstrap >/dev/null; then
    echo "SKIP: no debootstrap" >&2
    exit 77
  fi
  work=$(mktemp -d "$cache/debian.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if ! debootstrap --variant=minbase --include=gcc,libc6-dev "$suite" "$work/root" >"$work/log" 2>&1; then
    tail -n 5 "$work/log" >&2
    echo "SKIP: Debian's archive cannot be had" >&2
    exit 77
  fi
  rm -rf "$work"/root/var/{cache/apt,lib/apt/lists}/* "$work"/root/usr/share/{doc,man,locale}/*
  tar -C "$work/root" --sort=name --exclude=./dev/* -cf "$work/tar" .
  mv "$work/tar" "$tar"
fi
echo "$tar"
