#!/bin/bash
# Makes the benchmark image `ml` (Debian base, python3 with numpy scipy pandas sklearn, 256 MiB of random
# weights; 3 layers, 1.39 GB) as the OCI layout $1/oci, tag ml, with its layers as $1/l{1,2,3}.tar.
# Takes two minutes; does only what is missing. Needs root.
set -euo pipefail
image=${1:?usage: ml-image.sh DIRECTORY}
mkdir -p "$image"
cd "$image"

release_mounts() {
  umount l2/merged/dev l2/merged/proc l2/merged 2>/dev/null || true
}
trap release_mounts EXIT

if [ ! -f l1.tar ]; then
  rm -rf rootfs
  debootstrap --variant=minbase --include=python3-minimal,ca-certificates bookworm rootfs >debootstrap.log
  tar -C rootfs -cf l1.tar.new .
  mv l1.tar.new l1.tar
fi

if [ ! -f l2.tar ]; then
  rm -rf l2
  mkdir -p l2/{upper,work,merged}
  mount -t overlay overlay -o lowerdir=rootfs,upperdir=l2/upper,workdir=l2/work l2/merged
  cp -r /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d l2/merged/etc/apt/ 2>/dev/null || true
  cp /etc/resolv.conf /etc/hosts l2/merged/etc/
  mount --bind /dev l2/merged/dev
  mount -t proc proc l2/merged/proc
  chroot l2/merged sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq \
    --no-install-recommends python3 python3-pip python3-numpy python3-scipy python3-pandas python3-sklearn' >l2.log 2>&1
  release_mounts
  # Overlay's whiteouts in the form of image layers.
  find l2/upper -type c | while read -r file; do
    rm "$file"
    : >"$(dirname "$file")/.wh.$(basename "$file")"
  done
  tar --xattrs --xattrs-include='security.*' -C l2/upper -cf l2.tar.new .
  mv l2.tar.new l2.tar
fi

if [ ! -f l3.tar ]; then
  mkdir -p l3/app l3/models
  head -c 268435456 /dev/urandom >l3/models/weights.bin
  cat >l3/app/main.py <<'P'
import time
start = time.time()
import numpy, pandas, sklearn.svm
from sklearn.datasets import load_iris
x, y = load_iris(return_X_y=True)
model = sklearn.svm.SVC().fit(x, y)
print("score", model.score(x, y), "in", round(time.time() - start, 2), flush=True)
P
  tar -C l3 -cf l3.tar.new .
  mv l3.tar.new l3.tar
fi

if [ ! -f oci/index.json ]; then
  rm -rf oci
  umoci init --layout oci
  umoci new --image oci:ml
  for layer in l1 l2 l3; do
    umoci raw add-layer --image oci:ml $layer.tar
  done
  umoci config --image oci:ml --config.cmd python3 --config.cmd /app/main.py --os linux --architecture amd64 \
    --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fi
echo "$image/oci:ml"
