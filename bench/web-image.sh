#!/bin/bash
# Makes the benchmark image `web` (Debian base, nginx, a small site; 3 layers) as the OCI layout $1/oci, tag web.
# Its job starts nginx, asks it for one page and prints the answer's first line. $2 is the directory of image
# `ml`, whose base layer it shares. Does only what is missing. Needs root.
set -euo pipefail
image=${1:?usage: web-image.sh DIRECTORY ML_DIRECTORY}
base=$(realpath "${2:?usage: web-image.sh DIRECTORY ML_DIRECTORY}")/l1.tar
mkdir -p "$image"
cd "$image"
[ ! -f oci/index.json ] || exit 0

release_mounts() {
  umount l2/merged/dev l2/merged 2>/dev/null || true
}
trap release_mounts EXIT

rm -rf rootfs l2 l3 oci.new
mkdir -p rootfs l2/{upper,work,merged}
tar -C rootfs -xf "$base"
mount -t overlay overlay -o lowerdir=rootfs,upperdir=l2/upper,workdir=l2/work l2/merged
cp -r /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d l2/merged/etc/apt/ 2>/dev/null || true
cp /etc/resolv.conf /etc/hosts l2/merged/etc/
mount --bind /dev l2/merged/dev
chroot l2/merged sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq \
  --no-install-recommends nginx-light && apt-get clean' >l2.log 2>&1
release_mounts
# Overlay's whiteouts in the form of image layers.
find l2/upper -type c | while read -r file; do
  rm "$file"
  : >"$(dirname "$file")/.wh.$(basename "$file")"
done
tar -C l2/upper -cf l2.tar .

mkdir -p l3/srv/site
for page in $(seq 200); do
  printf '<!doctype html><title>Page %s</title>\n' "$page" >"l3/srv/site/$page.html"
  head -c 6000 /dev/urandom | base64 >>"l3/srv/site/$page.html"
done
cat >l3/srv/nginx.conf <<'N'
daemon off;
pid /run/nginx.pid;
error_log stderr;
events {}
http {
  include /etc/nginx/mime.types;
  access_log off;
  server {
    listen unix:/run/web.sock;
    root /srv/site;
  }
}
N
cat >l3/srv/first_answer.py <<'P'
import socket, subprocess, time
server = subprocess.Popen(["nginx", "-c", "/srv/nginx.conf"])
while True:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect("/run/web.sock")
        break
    except OSError:
        if server.poll() is not None:
            raise SystemExit("nginx ended")
        time.sleep(0.005)
client.sendall(b"GET /137.html HTTP/1.0\r\n\r\n")
answer = b""
while part := client.recv(65536):
    answer += part
print(answer.split(b"\r\n")[0].decode(), len(answer), "bytes", flush=True)
server.terminate()
server.wait()
P
tar -C l3 -cf l3.tar .

umoci init --layout oci.new
umoci new --image oci.new:web
for layer in "$base" l2.tar l3.tar; do
  umoci raw add-layer --image oci.new:web "$layer"
done
umoci config --image oci.new:web --config.cmd python3 --config.cmd /srv/first_answer.py --os linux --architecture amd64 \
  --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
rm -rf rootfs l2 l3 l2.tar l3.tar
mv oci.new oci
