# The tables beside the repository, and images in the place of the bases that they name; to be sourced after lib.sh.
# shellcheck shell=bash

# need_tables FILE: sets TABLES to the Dockerfile tables' directory; ends the test as skipped where there are none.
need_tables() {
  TABLES=${STARLING_ACCEPTANCE_DIR:-$here/../../../shared/acceptance}/dockerfile
  if [ ! -e "$TABLES/$1" ]; then
    echo "SKIP: no $TABLES/$1; name the tables' directory with STARLING_ACCEPTANCE_DIR" >&2
    exit 77
  fi
}

# make_base DIR NAME [FILE...]: $REGISTRY/NAME:latest, and programs of this machine in it.
make_base() {
  local work=$1 name=$2 root=$1/root-$2 file
  shift 2
  mkdir -p "$root"/{bin,dev,etc,home,lib64,proc,root,run,sys,usr/bin,usr/local/bin,var/spool/mail}
  mkdir -m 1777 "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  busybox --list | grep -vx busybox | xargs -I '{}' ln -s busybox "$root/bin/{}"
  printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1::/sbin:/bin/false bin:x:2:2::/bin:/bin/false \
    lp:x:4:7::/var/spool/lpd:/bin/false mail:x:8:12::/var/spool/mail:/bin/false docker:x:1000:1000::/home:/bin/sh \
    nobody:x:65534:65534::/home:/bin/false >"$root/etc/passwd"
  printf '%s\n' root:x:0: daemon:x:1: bin:x:2: adm:x:4: lp:x:7: wheel:x:10:root mail:x:12: docker:x:1000: nobody:x:65534: >"$root/etc/group"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  echo "ID=$name" | tee "$root/etc/os-release" >"$root/etc/$name-release"
  # adduser -D [-u UID] NAME, which Debian's busybox lacks.
  cat >"$root/bin/adduser" <<'S'
#!/bin/sh
uid=1001
for name; do :; done
while getopts Du: option; do [ $option != u ] || uid=$OPTARG; done
while grep -q ":x:$uid:" /etc/passwd; do uid=$((uid + 1)); done
echo "$name:x:$uid:$uid::/home/$name:/bin/sh" >>/etc/passwd
echo "$name:x:$uid:" >>/etc/group
mkdir -p "/home/$name"
chown "$uid:$uid" "/home/$name"
S
  chmod 755 "$root/bin/adduser"
  for file in "$@"; do
    cp -L --parents "$file" "$root"
  done
  [ ! -e "$root/bin/bash" ] || ln -sf bash "$root/bin/sh"
  find "$root" -exec touch -h -d @1485449953 '{}' +
  tar -C "$root" --sort=name -cf "$work/$name.tar" .
  umoci init --layout "$work/$name"
  umoci new --image "$work/$name:1"
  umoci raw add-layer --image "$work/$name:1" "$work/$name.tar"
  umoci config --image "$work/$name:1" --config.cmd /bin/sh --os linux --architecture amd64 \
    --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  skopeo copy -q --dest-tls-verify=false "oci:$work/$name:1" "docker://$REGISTRY/$name:latest"
}

# make_bases DIR: busybox, alpine and centos in $REGISTRY, all of them busybox; centos has bash.
make_bases() {
  make_base "$1" busybox
  make_base "$1" alpine
  # shellcheck disable=SC2046  # a list of files
  make_base "$1" centos /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*')
}
