# Small images of every kind of file; to be sourced after lib.sh.
# shellcheck shell=bash

# make_image DIR: an OCI layout $1/oci with the tag `plain`: busybox, then a layer of odd files, then one
# that changes, removes and hides some of them.
make_image() {
  local work=$1 one=$1/layer1 two=$1/layer2 three=$1/layer3 applet
  mkdir -p "$one"/{bin,etc,tmp,proc,sys,dev,run,root} "$two" "$three"
  chmod 1777 "$one/tmp"
  cp "$(command -v busybox)" "$one/bin/busybox"
  for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$one/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$one/etc/passwd"
  mkdir -p "$one/data/old" "$one/data/covered"
  echo kept >"$one/data/kept"
  echo removed >"$one/data/removed"
  echo below >"$one/data/old/below"
  echo first >"$one/data/covered/first"

  mkdir -p "$two"/{odd,data/many,deep/a/b/c/d/e/f/g/h}
  head -c 9000000 /dev/urandom >"$two/odd/large"        # three chunks of 4 MiB at most
  : >"$two/odd/empty"
  echo content >"$two/odd/hard"
  ln "$two/odd/hard" "$two/odd/hard-2"
  ln -s ../data/kept "$two/odd/symlink"
  ln -s /nowhere/at/all "$two/odd/dangling"
  mkfifo "$two/odd/fifo"
  mknod "$two/odd/character" c 1 3
  mknod "$two/odd/block" b 7 200
  echo setuid >"$two/odd/setuid" && chmod 4755 "$two/odd/setuid"
  echo owned >"$two/odd/owned" && chown 1234:4321 "$two/odd/owned"
  echo attributes >"$two/odd/xattr" && setfattr -n user.color -v blue "$two/odd/xattr"
  echo spaces >"$two/odd/name with spaces"
  echo accents >"$two/odd/naïve ünïcödé"
  echo long >"$two/odd/$(printf 'n%.0s' $(seq 1 200))"
  touch -d '2001-02-03 04:05:06 UTC' "$two/odd/empty"
  touch -d '1970-01-01 00:00:01 UTC' "$two/odd/owned"
  for applet in $(seq 1 300); do echo "$applet" >"$two/data/many/file-$applet"; done
  echo deepest >"$two/deep/a/b/c/d/e/f/g/h/file"

  mkdir -p "$three/data/covered" "$three/data/old"
  echo second >"$three/data/covered/second"
  : >"$three/data/covered/.wh..wh..opq"
  : >"$three/data/.wh.removed"
  echo changed >"$three/data/kept"
  : >"$three/data/old/.wh.below"

  umoci init --layout "$work/oci"
  umoci new --image "$work/oci:plain"
  for layer in 1 2 3; do
    tar -C "$work/layer$layer" --xattrs --xattrs-include='*' --sort=name -cf "$work/layer$layer.tar" .
    umoci raw add-layer --image "$work/oci:plain" "$work/layer$layer.tar"
  done
  umoci config --image "$work/oci:plain" --config.cmd /bin/sh --config.env PATH=/bin --os linux \
    --architecture amd64
  rm -rf "$work"/layer[123]
}

# add_large_layers DIR: two more layers for the image of make_image, /big1 and /big2, each with 12 files of 2 MiB of noise.
add_large_layers() {
  local work=$1 layer file
  for layer in 1 2; do
    mkdir -p "$work/tree/big$layer"
    for file in $(seq 1 12); do head -c $((2 << 20)) /dev/urandom >"$work/tree/big$layer/$file"; done
    tar -C "$work/tree" -cf "$work/big$layer.tar" .
    umoci raw add-layer --image "$work/oci:plain" "$work/big$layer.tar"
    rm -rf "$work/tree" "$work/big$layer.tar"
  done
}

# layer_digests LAYOUT:TAG: the digests of its layers, bottom first, a line each.
layer_digests() {
  skopeo inspect "oci:$1" | jq -r '.Layers[]'
}

# make_layers_image DIR LAYERS: an OCI layout $1/oci with the tag `plain`, and what it has in $1/expected: a program, files
# that are small enough to be read again and again (warm-*), and files of which a read needs the registry each time
# (cold-*, half); what kill_loop.py reads.
make_layers_image() {
  local work=$1 expected=$1/expected layers=$2 i
  mkdir -p "$expected"/{bin,many}
  cp "$(command -v busybox)" "$expected/bin/busybox"
  for ((i = 1; i <= 200; i++)); do echo "$i" >"$expected/many/$i"; done
  ln -s many/7 "$expected/link"
  : >"$expected/warm-empty"
  tar -C "$expected" -cf "$work/1.tar" .
  for ((i = 2; i <= layers; i++)); do
    mkdir "$work/layer"
    head -c 700000 /dev/urandom >"$work/layer/warm-$i"
    [ $((i % 3)) != 0 ] || head -c 24000000 /dev/urandom >"$work/layer/cold-$i"
    [ "$i" != 2 ] || head -c 24000000 /dev/urandom >"$work/layer/half"
    tar -C "$work/layer" -cf "$work/$i.tar" $(ls "$work/layer")
    cp -a "$work/layer/." "$expected/"
    rm -r "$work/layer"
  done
  umoci init --layout "$work/oci"
  umoci new --image "$work/oci:plain"
  for ((i = 1; i <= layers; i++)); do umoci raw add-layer --image "$work/oci:plain" "$work/$i.tar"; done
  umoci config --image "$work/oci:plain" --config.cmd /bin/busybox --os linux --architecture amd64
}
